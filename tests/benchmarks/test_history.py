"""A restart reads the past in pieces that leave store and event loop to others."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from tests.benchmarks.bench_history import filled, most_memory, restart


@pytest.mark.bench
@pytest.mark.timeout(600)
def test_print_a_restart_with_four_weeks_of_a_hundred_series(tmp_path: Path) -> None:
    """The figures of docs/rules.md."""
    url = filled(tmp_path, series=100, weeks=4)
    before = most_memory()
    found = anyio.run(lambda: restart(url, series=100, weeks=4))
    more = most_memory() - before
    print(
        f"\n{found.series} series, four weeks of 20 s windows: {found.seconds:.1f} s, a piece at most "
        f"{found.longest:.2f} s, the loop stood still {found.stood_still * 1e3:.0f} ms at most; "
        f"{more / 1e6:.0f} MB more at most"
    )
    assert found.pieces == 80 + 2  # one for each judged series
