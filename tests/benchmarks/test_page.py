"""Figures of the page: first paint, and what fifty readers do to looks. Their short forms are asserted elsewhere:
`tests/browser/test_weight.py` counts bytes, `tests/app/test_viewing.py` compares looks with and without readers."""

from __future__ import annotations

from pathlib import Path
from statistics import quantiles

import pytest

from tests.benchmarks.bench_page import first_paint, lateness, summary

pytestmark = [pytest.mark.anyio, pytest.mark.bench]


@pytest.fixture
def anyio_backend() -> str:
    """Real time."""
    return "asyncio"


@pytest.mark.timeout(300)
async def test_print_the_first_paint() -> None:
    """Aim: a second."""
    paint, sent = await first_paint()
    print(
        f"\npage with 200 alerts and 500 charts: first contentful paint {paint:.0f} ms (aim 1,000), {sent / 1e3:.0f} kB"
    )
    assert paint > 0


@pytest.mark.timeout(600)
async def test_print_what_fifty_readers_do_to_looks(tmp_path: Path) -> None:
    """Aim: no look leaves more than 100 ms later."""
    alone, read, firing = await lateness(tmp_path)
    print(
        f"\nlooks after their slot, median / 99 % / worst: alone {summary(alone)} ({len(alone)} looks),"
        f" with 50 readers {summary(read)} ({len(read)} looks); {firing} alerts, 500 series"
    )
    assert len(read) > 0.8 * len(alone)
    assert quantiles(read, n=100)[98] - quantiles(alone, n=100)[98] < 0.1
