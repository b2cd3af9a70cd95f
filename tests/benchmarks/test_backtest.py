"""What a month of backtest costs, and that it keeps what it promises."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.bench_backtest import measure


@pytest.mark.bench
@pytest.mark.timeout(900)
def test_print_what_a_month_of_backtest_costs(tmp_path: Path) -> None:
    """Thirty days of 13 queries on Enterprise: the figures of the README (aim: 60 s and 300 MB)."""
    run = measure(tmp_path, days=30)
    alerts, points = run.report["alerts"], run.report["points"]
    print(
        f"\nbacktest of {run.rows:,} rows: {run.cpu:.0f} s of CPU, {run.peak:.0f} MiB; {len(alerts)} alerts, {points}"
    )
    assert points["lost"] == 0
    assert run.peak < 300
