"""How long a page takes inside the program."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks.bench_handover import handover


@pytest.fixture
def anyio_backend() -> str:
    """Real time and real threads."""
    return "asyncio"


@pytest.mark.bench
async def test_handover_with_a_thousand_rules(tmp_path: Path) -> None:
    """Prints the percentiles."""
    times = np.array(await handover(tmp_path)) * 1000
    print(
        f"\npoints to hand-over, 1,000 rules on one series: "
        f"p50 {np.percentile(times, 50):.1f} ms, p99 {np.percentile(times, 99):.1f} ms (aim 100 ms)"
    )


async def test_every_page_is_handed_over(tmp_path: Path) -> None:
    """The short form: each of twenty changes reaches the sender."""
    assert len(await handover(tmp_path, count=100, rounds=20)) == 20
