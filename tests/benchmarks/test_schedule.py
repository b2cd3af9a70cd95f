"""What the adaptive schedule is worth: the whole table for `make bench`, a short form of it for `make test`."""

from __future__ import annotations

import pytest

from tests.benchmarks.bench_schedule import VERIFIED_ON, measure, table


@pytest.mark.bench
@pytest.mark.timeout(3600)
def test_print_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    """The README's table, on seeds that nothing was tuned on."""
    with capsys.disabled():
        print()
        table(VERIFIED_ON, 7)


def test_the_budget_goes_where_it_buys_time() -> None:
    """Three days of a day curve on Premium: far sooner than even spacing, with every promise kept."""
    result = measure("premium", 7, "day", seeds=(2,), days=3)
    assert result.share("adaptive", "even", "mean") <= 0.4
    assert result.share("adaptive", "even", "mean_first") <= 0.55
    assert result.share("adaptive", "even", "p95") <= 0.55
    assert result.share("adaptive", "open_loop", "mean") <= 0.8
    assert result.share("adaptive", "open_loop", "mean_first") <= 1.0
    assert result.share("adaptive", "scraping", "mean") <= 0.2
    assert min(result.used) >= 0.95
    assert (result.broken, result.over, result.lost, result.wrong) == (0, 0, 0, 0)
    assert [outcome.missed for outcome in result.outcomes["adaptive"]] == [0]


def test_a_flat_day_loses_nothing_to_even_spacing() -> None:
    """Where there is nothing to know, knowing nothing costs nothing."""
    result = measure("premium", 7, "flat", seeds=(3,), days=3)
    assert result.share("adaptive", "even", "mean") <= 1.05
    assert (result.broken, result.over, result.lost, result.wrong) == (0, 0, 0, 0)


def test_an_adversarial_trace_breaks_no_promise() -> None:
    """Values near the line, lone windows, an alert that flaps and holes: slower perhaps, and never wrong."""
    result = measure("premium", 7, "adversarial", seeds=(1,), days=2)
    assert (result.broken, result.over, result.lost, result.wrong) == (0, 0, 0, 0)
    assert min(result.used) >= 0.95


def test_an_empty_day_costs_the_users_queries() -> None:
    """Nobody in calls: a fraction of the budget, and nothing is lost by it."""
    result = measure("enterprise", 9, "empty", seeds=(1,), days=2)
    assert max(result.used) <= 0.2
    assert (result.broken, result.over, result.lost) == (0, 0, 0)
