"""The Vonage client's numbers: quotas kept, rows read once, replies read at a share of msgspec's speed."""

from __future__ import annotations

import pytest

from tests.benchmarks.bench_vonage import Cost, Hour, cost, hour, large_reply
from tests.providers.vonage.stage import NOON
from watcher.clock import VirtualClock


def assert_kept(hour: Hour) -> None:
    """Nothing over a quota, nothing lost, nothing read twice, nothing late."""
    assert hour.worst < hour.limit
    assert hour.refused == 0
    assert hour.read == hour.visible
    assert hour.again <= hour.read / 10
    assert hour.latest <= 61


def assert_cheap(cost: Cost) -> None:
    assert cost.share >= 0.3
    assert cost.memory <= 4


@pytest.mark.timeout(360)  # a minute of computing, if nothing is beside it
async def test_an_hour_of_twenty_sessions() -> None:
    """By the emulator's count: no refusal, every visible row once, each within a poll interval and a second."""
    assert_kept(await hour(VirtualClock(epoch=NOON, jumping=True), sessions=20, participants=10))


@pytest.mark.serial
def test_a_large_reply_is_read_fast_enough() -> None:
    """Bytes to points at no less than three tenths of msgspec's own speed, in four times the body's memory."""
    assert_cheap(cost(large_reply()))


@pytest.mark.bench
@pytest.mark.timeout(1800)
async def test_an_hour_of_three_hundred_sessions() -> None:
    """Prints what an hour of 3,000 streams takes."""
    found = await hour(VirtualClock(epoch=NOON, jumping=True), sessions=300, participants=10)
    assert_kept(found)
    print(
        f"\nVonage, 300 sessions of 10 for an hour: {found.requests} requests, at most {found.worst} in 30 s "
        f"(limit {found.limit}), {found.read:,} of {found.visible:,} rows read, {found.again} again, "
        f"visible to told {found.latest:.0f} s at most"
    )


@pytest.mark.bench
def test_a_large_reply() -> None:
    """Prints speed and memory."""
    found = cost(large_reply())
    assert_cheap(found)
    print(
        f"\nVonage, a reply of {found.megabytes:.1f} MB to points: {found.seconds * 1000:.0f} ms, "
        f"{found.share:.0%} of msgspec's speed (aim 30%), peak {found.memory:.1f} bodies (aim 4)"
    )
