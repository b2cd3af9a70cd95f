"""Judging: the same alerts as `vmalert -replay` at the same times, at a fraction of the CPU; and what a look costs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.bench_rules import side_by_side
from tests.rules.figures import cost_of_a_look, many_rules

SHARE = 1 / 3


@pytest.mark.timeout(300)
def test_the_same_alerts_as_vmalert(tmp_path: Path) -> None:
    """Thirty series of six hours under five rules: every alert fires and ends at the same event times."""
    ours, theirs = side_by_side(tmp_path, series=30, windows=1080, rules=5)
    assert len(ours.fired) > 20
    assert ours.fired == theirs.fired


@pytest.mark.bench
@pytest.mark.timeout(1800)
def test_print_judging_beside_vmalert(tmp_path: Path) -> None:
    """A thousand series, a day, ten rules: the same alerts, and at most a third of the CPU of the two together."""
    ours, theirs = side_by_side(tmp_path, series=1000)
    print(
        f"\njudging 1,000 series x 24 h x 10 rules ({ours.judgements / 1e6:.1f} M judgements): {ours.seconds:.1f} s of"
        f" CPU, {len(ours.fired)} alerts; vmalert with victoria-metrics: {theirs.judging:.1f} s (and"
        f" {theirs.reading:.1f} s to read the points in), {len(theirs.fired)} alerts;"
        f" {len(ours.fired ^ theirs.fired)} differ; ratio {ours.seconds / theirs.judging:.2f} (limit {SHARE:.2f})"
    )
    assert ours.fired == theirs.fired
    assert ours.seconds <= SHARE * theirs.judging


@pytest.mark.bench
def test_print_the_cost_of_a_look() -> None:
    """Nine new windows under 1, 10 and 1,000 rules; no absolute time is asserted."""
    for count in (1, 10, 1000):
        for name, lowest in (("healthy", 0.3), ("a tenth in breach", 0.01)):
            cost = cost_of_a_look(many_rules(count, lowest=lowest))
            print(
                f"receive, 9 new windows, {count} rules, {name}: "
                f"median {cost.median * 1000:.2f} ms, worst {cost.worst * 1000:.1f} ms, {cost.transitions} entries"
            )
