"""Data that comes late and settles: when rooms show, what their participants read until then, running rooms."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import EPOCH
from tests.emulator.twilio.helpers import NOON, Caller, account, people, plain, room, scenario, traffic
from watcher.clock import VirtualClock
from watcher.emulator.twilio.life import Lives
from watcher.emulator.twilio.rooms import Rooms
from watcher.emulator.twilio.view import View

OVER = EPOCH + 11 * 3600  # when `board` ends


def states(caller: Caller) -> VirtualClock:
    """The clock of a caller."""
    assert isinstance(caller.clock, VirtualClock)
    return caller.clock


def watched(**visibility: Any) -> Caller:
    """`board`, seen from the moment it ends."""
    data = plain(accounts=[account(visibility=visibility)])
    return Caller(data, VirtualClock(epoch=OVER, jumping=True))


async def test_a_room_shows_after_its_delay_and_settles() -> None:
    """Nothing for ten minutes, then in progress, five minutes later complete; its instance and people alike."""
    caller = watched()
    clock = states(caller)
    await clock.sleep_until(OVER + 599)
    assert await caller.rooms() == []
    assert (await caller.get(caller.path())).status_code == 404
    await clock.sleep_until(OVER + 600)
    assert [(one["room_status"], one["processing_state"]) for one in await caller.rooms()] == [
        ("completed", "in_progress")
    ]
    assert len(await caller.participants()) == 3
    await clock.sleep_until(OVER + 899)
    assert (await caller.body(caller.path()))["processing_state"] == "in_progress"
    await clock.sleep_until(OVER + 900)
    assert (await caller.body(caller.path()))["processing_state"] == "complete"


@pytest.mark.parametrize(
    ("visibility", "before", "after"),
    [
        ({"timeout": "100%"}, "in_progress", "timeout"),
        ({"stuck": "100%"}, "in_progress", "in_progress"),
        ({"not_started": "100%"}, "not_started", "complete"),
    ],
)
async def test_other_ways_to_settle(visibility: dict[str, Any], before: str, after: str) -> None:
    """Twilio gives up, never finishes, or has not begun when the room shows."""
    caller = watched(**visibility)
    await states(caller).sleep_until(OVER + 700)
    assert (await caller.rooms())[0]["processing_state"] == before
    await states(caller).sleep_until(OVER + 30_000)
    assert (await caller.rooms())[0]["processing_state"] == after


@pytest.mark.parametrize(("spelling", "word"), [("hyphen", "in-progress"), ("nothing", None)])
async def test_spellings_of_the_state(spelling: str, word: str | None) -> None:
    """Prose and enum differ; the field may be null as well. A final state is never affected."""
    data = plain(answers={"processing": spelling})
    caller = Caller(data, VirtualClock(epoch=OVER + 700, jumping=True))
    assert (await caller.rooms())[0]["processing_state"] == word
    await states(caller).sleep_until(OVER + 900)
    assert (await caller.rooms())[0]["processing_state"] == "complete"


async def test_backlogs_hold_rooms_back() -> None:
    """What would have shown in a stretch without publishing shows at its end; what came before it has come."""
    rooms = [room(), room(name="before", start="+9h55m")]
    visibility = {"backlogs": [{"start": "+11h10m", "duration": "1h"}, {"start": "+12h10m", "duration": "10m"}]}
    caller = Caller(
        plain(accounts=[account(rooms=rooms, visibility=visibility)]), VirtualClock(epoch=NOON, jumping=True)
    )
    assert [one["room_name"] for one in await caller.rooms()] == ["before"]
    await states(caller).sleep_until(NOON + 1199)
    assert len(await caller.rooms()) == 1
    await states(caller).sleep_until(NOON + 1200)
    assert [one["processing_state"] for one in await caller.rooms()] == ["in_progress", "complete"]


def test_slow_rooms_are_as_many_as_asked_for() -> None:
    """A tenth takes up to half an hour, evenly; the rest takes the delay to the second."""
    visibility = {"slow": {"share": "10%", "by": "30m"}}
    world = scenario(plain(accounts=[account(rooms=[], traffic=traffic(rooms=100), visibility=visibility)]))
    rooms = Rooms(world.accounts[0]).within(EPOCH, EPOCH + 36_000)
    waits = [room.published - room.end for room in rooms]
    assert {wait for wait in waits if abs(wait - 600) < 0.001} != set()
    slow = [wait for wait in waits if wait > 600.001]
    assert 0.07 < len(slow) / len(waits) < 0.13
    assert max(slow) <= 1800
    assert 1100 < sum(slow) / len(slow) < 1300


# ── participants ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_participants_may_come_after_their_room() -> None:
    """The list grows for five minutes, and the room's own numbers with it; nobody vanishes."""
    crowd = people(*[{}] * 40)
    data = plain(accounts=[account(rooms=[crowd], visibility={"late": {"share": "50%", "by": "5m"}})])
    caller = Caller(data, VirtualClock(epoch=OVER + 600, jumping=True))
    seen: list[set[str]] = []
    for minute in range(7):
        await states(caller).sleep_until(OVER + 600 + 60 * minute)
        rows = await caller.participants()
        assert (await caller.rooms())[0]["unique_participants"] == len(rows)
        seen.append({row["participant_sid"] for row in rows})
    assert 10 < len(seen[0]) < 30
    assert len(seen[-1]) == 40
    assert all(earlier <= later for earlier, later in pairwise(seen))
    assert len({len(one) for one in seen}) > 3


async def test_rows_may_say_something_else_first() -> None:
    """Still there, gone for no reason, or gone for a wrong one; at settling each says what the truth says."""
    crowd = people(*[{}, {"ending": 53405}] * 20)
    data = plain(accounts=[account(rooms=[crowd], visibility={"amended": "100%"})])
    caller = Caller(data, VirtualClock(epoch=OVER + 600, jumping=True))
    early = await caller.participants()
    assert {(row["status"], row["end_reason"], row["error_code"]) for row in early} == {
        ("connected", None, None),
        ("completed", None, None),
        ("disconnected", "signaling_connection_disconnected", 53001),
        ("completed", "disconnected_via_api", None),
    }
    assert all((row["leave_time"] is None) == (row["status"] == "connected") for row in early)
    assert caller.report()["participants"]["final"] == 0
    await states(caller).sleep_until(OVER + 900)
    late = await caller.participants()
    truth = {row["participant"]: row for row in caller.emulator.participants()}
    assert {row["participant_sid"]: (row["end_reason"], row["error_code"]) for row in late} == {
        sid: (row["end_reason"], row["error_code"]) for sid, row in truth.items()
    }
    assert caller.report()["participants"] == {"handed_out": 40, "handed_again": 40, "final": 40}


async def test_contradictions_of_code_and_reason() -> None:
    """A share of normal endings has an error code beside them."""
    data = plain(accounts=[account(rooms=[room(participants=50)], conflicts="40%")])
    caller = Caller(data, VirtualClock(epoch=NOON, jumping=True))
    rows = await caller.participants()
    odd = [row for row in rows if row["error_code"]]
    assert 8 < len(odd) < 32
    assert {(row["end_reason"], row["error_code"]) for row in odd} == {
        ("disconnected_via_api", 53205),
        ("disconnected_via_api", 53002),
    }


async def test_attempts_without_a_duration() -> None:
    """A failed attempt may have no duration; a stay always has one."""
    data = plain(accounts=[account(rooms=[people({}, {"ending": 53000})], no_duration="100%")])
    caller = Caller(data, VirtualClock(epoch=NOON, jumping=True))
    assert {row["error_code"]: row["duration_sec"] for row in await caller.participants()} == {None: 600, 53000: None}


# ── running rooms ────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_running_rooms_where_they_show() -> None:
    """A minute after each event: the room, who joined, who left; at the end still to be processed."""
    written = people({"stay": "1h"}, {"join": "10m", "stay": "5m", "ending": 53405})
    data = plain(accounts=[account(rooms=[written], visibility={"running": "shown", "lag": "60s"})])
    caller = Caller(data, VirtualClock(epoch=EPOCH + 36_000, jumping=True))
    clock = states(caller)
    assert await caller.rooms() == []
    await clock.sleep_until(EPOCH + 36_000 + 60)
    (one,) = await caller.rooms()
    assert (one["room_status"], one["end_time"], one["end_reason"], one["duration_sec"]) == (
        "in_progress",
        None,
        None,
        None,
    )
    assert (one["processing_state"], one["unique_participants"]) == ("in_progress", 1)
    await clock.sleep_until(EPOCH + 36_000 + 659)
    assert len(await caller.participants()) == 1
    await clock.sleep_until(EPOCH + 36_000 + 660)
    first, second = await caller.participants()
    assert (first["status"], first["leave_time"], first["end_reason"], first["duration_sec"]) == (
        "connected",
        None,
        None,
        None,
    )
    await clock.sleep_until(EPOCH + 36_000 + 960)
    first, second = await caller.participants()
    assert (first["status"], first["error_code"], first["leave_time"]) == (
        "disconnected",
        53405,
        "2026-01-01T10:15:00Z",
    )
    assert second["status"] == "connected"
    await clock.sleep_until(OVER + 60)
    (one,) = await caller.rooms()
    assert (one["room_status"], one["processing_state"]) == ("completed", "in_progress")
    await clock.sleep_until(OVER + 900)
    assert (await caller.rooms())[0]["processing_state"] == "complete"


@given(st.integers(0, 2**32), st.integers(0, 7200), st.booleans())
def test_what_shows_only_grows_until_it_is_final(seed: int, since: int, running: bool) -> None:
    """At any two instants: who shows stays, who is final does not change, and in the end all are."""
    visibility = {"late": {"share": "30%"}, "amended": "30%", "running": "shown" if running else "hidden"}
    data = plain(seed=seed, accounts=[account(rooms=[room(participants=12)], endings=None, visibility=visibility)])
    world = scenario(data)
    one = Rooms(world.accounts[0]).within(EPOCH, NOON)[0]
    stays = Lives(()).stays(one)

    def seen(now: float) -> dict[str, Any]:
        return {s.stay.sid: s for s in View(now=now, answers=world.answers).stays(one, stays)}

    before, after, end = seen(EPOCH + 36_000 + since), seen(EPOCH + 36_000 + since + 400), seen(OVER + 86_400)
    assert set(before) <= set(after) <= set(end)
    assert all(end[sid] == one for sid, one in after.items() if one.final)
    assert len(end) == len(stays)
    assert all(one.final for one in end.values())
