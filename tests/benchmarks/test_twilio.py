"""Twilio's numbers: everybody counted once, no request over the caps, two requests a room."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.app.test_twilio import NOON
from tests.benchmarks.bench_twilio import Stretch, stretch
from watcher.clock import VirtualClock


def assert_kept(found: Stretch) -> None:
    """As many as the vendor's own rows have, each once, at no more than 2.2 requests a room."""
    assert found.people_told == found.people_there
    assert found.failed_told == found.failed_there
    assert found.refused == 0
    assert found.requests_per_room <= 2.2


async def test_some_hours_of_full_rooms(tmp_path: Path) -> None:
    """Four hours at the rate of a thousand rooms a day, twelve people each."""
    clock = VirtualClock(epoch=NOON, jumping=True)
    found = await stretch(clock, tmp_path, hours=4, rooms_per_day=1_000, participants=12)
    assert_kept(found)
    assert found.people_there > 800
    assert found.list_requests <= 4 * 60 + 4 * 4 * 2  # one page a look, a second one every quarter of an hour
    assert found.failed_there > 30


@pytest.mark.bench
@pytest.mark.timeout(1800)
async def test_a_day_of_two_thousand_rooms(tmp_path: Path) -> None:
    """Prints what a day of 24,000 participants takes."""
    clock = VirtualClock(epoch=NOON, jumping=True)
    found = await stretch(clock, tmp_path, hours=26, rooms_per_day=2_000, participants=12)
    print(
        f"twilio: {found.rooms} rooms, {found.people_told} of {found.people_there} people and {found.failed_told} of "
        f"{found.failed_there} failed ones counted, {found.requests_per_room:.2f} participant requests a room, "
        f"{found.list_requests} requests for the list, {found.refused} refused"
    )
    assert_kept(found)
    assert found.people_there > 23_000
