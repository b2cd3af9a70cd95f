"""A thousand alerts in a minute are a few messages, and cost a bounded amount of memory."""

from __future__ import annotations

import math
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks.bench_storm import GROUPS, Storm, storm
from tests.conftest import EPOCH
from watcher.alerts.message import MAX_HTML, MAX_TEXT
from watcher.clock import VirtualClock


def weigh(result: Storm, *, alerts: int, interval: int) -> None:
    """At most 1 + ceil(1 min / group_interval) messages per group and target, and every alert named in one."""
    for target, messages in result.messages.items():
        assert len(messages) == GROUPS
        assert max(messages.values()) <= 1 + math.ceil(60 / interval), (target, messages)
        assert result.named[target] == alerts
    assert result.largest <= MAX_TEXT + MAX_HTML


@pytest.mark.parametrize("interval", [20, 60])
async def test_a_storm_is_a_few_messages(tmp_path: Path, clock: VirtualClock, interval: int) -> None:
    """The short form: three hundred alerts, in twenty steps of the minute."""
    weigh(await storm(tmp_path, clock, alerts=300, steps=20, interval=interval), alerts=300, interval=interval)


async def test_memory_grows_with_what_is_open_and_not_with_what_was_said(tmp_path: Path, clock: VirtualClock) -> None:
    """Twice the alerts take no more than twice the memory, and a few kilobytes each."""
    peaks = []
    for alerts in (100, 200):
        folder = tmp_path / str(alerts)
        folder.mkdir()
        peaks.append(await _peak(folder, VirtualClock(epoch=EPOCH, jumping=True), alerts))
    assert peaks[1] < 2.5 * peaks[0]
    assert peaks[1] < 200 * 50_000


async def _peak(folder: Path, clock: VirtualClock, alerts: int) -> int:
    """The most memory that a storm takes, in bytes."""
    tracemalloc.start()
    try:
        await storm(folder, clock, alerts=alerts, steps=10)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.bench
async def test_a_storm_of_a_thousand_alerts(tmp_path: Path, clock: VirtualClock) -> None:
    """Prints what a step of the storm takes, and the most memory that it took."""
    result = await storm(tmp_path, clock)
    weigh(result, alerts=1000, interval=60)
    times = np.array(result.seconds) * 1000
    worst = max(max(messages.values()) for messages in result.messages.values())
    (tmp_path / "traced").mkdir()
    peak = await _peak(tmp_path / "traced", VirtualClock(epoch=EPOCH, jumping=True), 1000)
    print(
        f"\nstorm of 1,000 alerts in a minute, two targets, ten groups: at most {worst} messages per group and target; "
        f"hand-over p50 {np.percentile(times, 50):.0f} ms, p99 {np.percentile(times, 99):.0f} ms; "
        f"peak {peak / 1e6:.1f} MB"
    )
