"""`/metrics` stays near what its library needs for as many samples."""

from __future__ import annotations

import pytest

from tests.benchmarks.bench_metrics import measure

LIMIT = 1.3


@pytest.mark.serial
def test_a_scrape_costs_little_more_than_its_samples() -> None:
    """With 10,000 series, 20,000 samples: at most 1.3 times a bare collector, in the same run."""
    ratio, _, _ = measure(rounds=15)
    assert ratio <= LIMIT


@pytest.mark.bench
def test_print_the_cost_of_a_scrape() -> None:
    """The figures of the README."""
    ratio, ours, bare = measure(rounds=15)
    print(
        f"\n/metrics, 10,000 series (20,000 samples): {ratio:.2f} x a bare collector (limit {LIMIT});"
        f" {ours * 1e3:.0f} ms against {bare * 1e3:.0f} ms of CPU"
    )
    assert ratio <= LIMIT
