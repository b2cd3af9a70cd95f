"""Rooms are read when that tells something new; a stay is in one minute, whatever the vendor says of it later."""

from __future__ import annotations

import math

from watcher.providers.twilio.endings import Verdict
from watcher.providers.twilio.memory import AGAIN, Rooms, Stay, Stays
from watcher.providers.twilio.rows import Client, RoomRow, Tally

ROOM = "RM" + "0" * 32


def stay(start: int, sid: str = "PA1", *, failed: bool = False) -> Stay:
    return Stay(sid, ROOM, start, Verdict(failed=failed), Client())


def sids(stays: Stays, start: int) -> list[str]:
    return [one.sid for one in stays.minute(start)]


def listed(*, final: bool, ended: float | None = 600.0) -> RoomRow:
    return RoomRow(sid=ROOM, created=0.0, ended=ended, final=final)


def test_an_amended_stay_moves_to_its_minute() -> None:
    """It leaves the old one, both are told anew, and it counts once."""
    stays, tally = Stays(0), Tally()
    stays.put(stay(60), tally)
    stays.put(stay(60, "PA2"), tally)
    stays.touched.clear()
    stays.put(stay(180), tally)
    assert (sids(stays, 60), sids(stays, 180)) == (["PA2"], ["PA1"])
    assert stays.touched == {60, 180}
    assert len(stays) == 2


def test_the_same_again_tells_nothing() -> None:
    """Only what is new of somebody touches their minute."""
    stays, tally = Stays(0), Tally()
    stays.put(stay(60), tally)
    stays.touched.clear()
    stays.put(stay(60), tally)
    assert stays.touched == set()
    stays.put(stay(60, failed=True), tally)
    assert stays.touched == {60}
    assert sids(stays, 60) == ["PA1"]


def test_who_is_amended_out_of_memory_is_taken_out() -> None:
    """Their new minute is not whole here any more, and the old one was not theirs."""
    stays, tally = Stays(120), Tally()
    stays.put(stay(180), tally)
    stays.put(stay(60), tally)
    assert sids(stays, 180) == []
    assert len(stays) == 0
    assert tally.total() == 1


def test_a_room_that_becomes_final_is_due_at_once() -> None:
    """Between two reads it waits ten minutes, unless its record is final now; after that it is done."""
    rooms, tally = Rooms(), Tally()
    rooms.take([listed(final=False)], 1_000.0, 0, tally)
    [room] = rooms.due(1_000.0)
    rooms.was_read(room, 1_000.0, tally, whole=True)
    assert rooms.due(1_060.0) == []
    assert rooms.due(1_000.0 + AGAIN) == [room]
    rooms.take([listed(final=True)], 1_120.0, 0, tally)
    assert rooms.due(1_120.0) == [room]
    rooms.was_read(room, 1_120.0, tally, whole=True)
    assert rooms.due(math.inf) == []


def test_a_room_that_fails_waits_behind_those_that_do_not() -> None:
    """However many fail for ever, a new one is read first."""
    rooms, tally = Rooms(), Tally()
    other = RoomRow(sid="RM" + "1" * 32, created=0.0, ended=900.0, final=True)
    rooms.take([listed(final=True)], 1_000.0, 0, tally)
    [broken] = rooms.due(1_000.0)
    rooms.has_failed(broken, 1_000.0, tally)
    rooms.take([other], 1_000.0 + AGAIN, 0, tally)
    assert [room.sid for room in rooms.due(1_000.0 + AGAIN)] == [other.sid, broken.sid]
