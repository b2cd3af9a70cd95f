"""Baselines beside plain levels: false pages and missed incidents; what a history weighs and a look at it costs."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from tests.benchmarks.bench_baselines import MONDAY, WEEK, compare, cost_of_a_look, five_minutes, traces, weekly
from watcher.rules.history import History, Slots

MANY = 100


@pytest.mark.timeout(120)
def test_a_weekly_baseline_beats_the_best_plain_level() -> None:
    """On three projects: fewer false pages and no more missed than the vendor's line and than the best line for all."""
    vendors, best, trailing, week = compare(traces(3))
    assert week.incidents > 20
    for plain in (vendors, best):
        assert week.false_pages + week.missed < plain.false_pages + plain.missed
        assert week.missed <= plain.missed
    assert week.false_pages + week.missed < trailing.false_pages + trailing.missed


def test_four_weeks_of_a_hundred_series_weigh_seven_megabytes() -> None:
    """Histories are the means of five minutes: 8,100 numbers of eight bytes each."""
    baseline = weekly().baseline
    assert baseline is not None
    tracemalloc.start()
    kept = []
    for _ in range(MANY):
        history = History(width=20, slot=baseline.slot, reach=baseline.reach)
        windows = baseline.reach // 20 * 2
        slots = Slots.of(np.full(windows, 0.01), None, first=MONDAY // 20, width=20, slot=baseline.slot)
        history.seal(slots, until=MONDAY + 100 * WEEK)
        del slots
        kept.append(history)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 6e6 < held < 7e6
    assert all(len(history) == 8101 for history in kept)


@pytest.mark.bench
@pytest.mark.timeout(600)
def test_print_baselines_beside_plain_levels() -> None:
    """Forty projects, eight weeks."""
    found = compare(traces(40))
    print(f"\n{found[0].incidents} incidents in 40 projects, four weeks: false pages and missed")
    for one in found:
        print(f"{one.name:45} {one.false_pages:6} {one.missed:6}")
    plain, moving = cost_of_a_look(five_minutes(0.5, "plain")), cost_of_a_look(weekly())
    print(f"a look of nine windows: plain {plain * 1e3:.2f} ms, a weekly baseline {moving * 1e3:.2f} ms")
