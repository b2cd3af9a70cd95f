"""Which rooms were read, and who left when: so that everybody counts once (dossier section 5).

A stay is kept under its participant SID, and a minute's figures are made anew from the stays that are in it: reading a
room twice, or once more after a restart, changes nothing, and an amended row moves from one minute to another. So a
point is always of a whole minute, never an addition.

A room is read when it shows, and again once its record is final; in between only every ten minutes, since each read is
a request and most rooms settle in less. What never settles is accepted an hour after its end, and so is a list of
participants that never ends by itself, after six reads.

Memory begins at `floor`. What left before is not counted: its minute is no longer whole here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from watcher.clock import HOUR, MINUTE
from watcher.providers.twilio.endings import Verdict
from watcher.providers.twilio.queries import ROOM_LIFE, WIDTH
from watcher.providers.twilio.rows import Client, Oddity, RoomRow, Tally

AGAIN = 10 * MINUTE  # seconds between two reads of a room that is not final
GIVE_UP = HOUR  # seconds after its end at which a room is accepted as it is
MAX_ROOMS = 200_000
MAX_STAYS = 200_000
_TRIES = 36  # reads of a room that fail, ten minutes apart
_HOLDING = 6  # failed reads for which a room holds back what depends on all of them
_PARTS = 6  # reads of a room whose list did not end by itself


@dataclass(slots=True)
class Room:
    """A room: when it ended as far as known (infinite: not yet), and where reading it stands."""

    sid: str
    since: float  # when it began, or was first seen
    ended: float = math.inf
    final: bool = False
    read: bool = False
    done: bool = False
    next_at: float = 0.0
    failures: int = 0  # reads in a row that failed
    parts: int = 0  # reads in a row whose list did not end
    hides: bool = False  # whether the newest read met a row that may be anybody


@dataclass(frozen=True, slots=True)
class Stay:
    """Somebody who left in the minute that begins at `start`."""

    sid: str
    room: str
    start: int
    verdict: Verdict
    client: Client


class Rooms:
    """All rooms of one project that may still be listed."""

    def __init__(self) -> None:
        self._rooms: dict[str, Room] = {}

    def __len__(self) -> int:
        return len(self._rooms)

    def take(self, rows: Iterable[RoomRow], now: float, floor: float, tally: Tally) -> None:
        """What a list says. Rooms that were over before `floor` hold nobody who still counts."""
        seen: set[str] = set()
        for row in rows:
            tally[Oddity.DUPLICATE] += row.sid in seen
            seen.add(row.sid)
            room = self._rooms.get(row.sid)
            if room is None:
                if len(self._rooms) >= MAX_ROOMS:
                    tally[Oddity.OVERFLOW] += 1
                    continue
                room = self._rooms[row.sid] = Room(sid=row.sid, since=now if row.created is None else row.created)
            if row.ended is not None:
                room.ended = row.ended
            if row.final and not room.final:
                room.final, room.next_at = True, 0.0
            room.done = room.done or (room.final and room.ended < floor)

    def due(self, now: float) -> list[Room]:
        """Rooms whose participants are to be read: those that failed last, new ones first, each kind by its end."""
        found = [room for room in self._rooms.values() if not room.done and room.next_at <= now]
        return sorted(found, key=lambda room: (room.failures > 0, room.read, room.ended))

    def awaited(self, before: float) -> bool:
        """Whether a room that began before then was not read yet, and may still be."""
        open_ones = (r for r in self._rooms.values() if r.since < before and not r.done)
        return any(not r.read and r.failures < _HOLDING for r in open_ones)

    def complete(self, before: float) -> bool:
        """Whether whoever was in a room that began by then is known: each was read to its end, none failed, no row
        hides somebody. Not where there is none at all: somebody was in one."""
        begun = [r for r in self._rooms.values() if r.since <= before]
        return bool(begun) and all((r.read or r.done) and not (r.parts or r.failures or r.hides) for r in begun)

    def was_read(self, room: Room, now: float, tally: Tally, *, whole: bool, hides: bool = False) -> None:
        room.hides = hides
        room.read, room.failures, room.next_at = True, 0, now + AGAIN
        room.parts = 0 if whole else room.parts + 1
        if whole and room.final:
            room.done = True
        elif now - room.ended >= GIVE_UP and (whole or room.parts >= _PARTS):
            room.done = True
            tally[Oddity.UNSETTLED] += 1

    def was_missing(self, room: Room, now: float, tally: Tally) -> None:
        """Expired or deleted where its record was final; else perhaps not there yet."""
        tally[Oddity.VANISHED] += 1
        room.failures += 1
        room.next_at = now + AGAIN
        room.done = room.final or now - room.ended >= GIVE_UP or room.failures >= _TRIES

    def has_failed(self, room: Room, now: float, tally: Tally) -> None:
        tally[Oddity.FAILED_ROOM] += 1
        room.failures += 1
        room.next_at = now + AGAIN
        if room.failures >= _TRIES:
            room.done = True
            tally[Oddity.GIVEN_UP] += 1

    def bring_forward(self, now: float) -> None:
        """Time went back: what was planned by a clock that was ahead, or accepted as too old, is so no longer."""
        for room in self._rooms.values():
            room.next_at = min(room.next_at, now + AGAIN)
            room.done = room.done and room.final

    def trim(self, floor: float) -> None:
        """Forget rooms that no list will show again."""
        gone = [room.sid for room in self._rooms.values() if room.since < floor - ROOM_LIFE]
        for sid in gone:
            del self._rooms[sid]


class Stays:
    """Who left, by minute and by participant SID."""

    def __init__(self, floor: int) -> None:
        self.floor = floor
        self.touched: set[int] = set()  # minutes that changed since they were last told
        self._minutes: dict[int, dict[str, Stay]] = {}
        self._starts: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._starts)

    def put(self, stay: Stay, tally: Tally) -> None:
        """The newest that is known of somebody."""
        if stay.start < self.floor:
            tally[Oddity.OUTDATED] += 1
            self._take_out(stay.sid)
            return
        known = self._starts.get(stay.sid)
        if known is not None and self._minutes[known][stay.sid] == stay:
            return
        self._take_out(stay.sid)
        self._minutes.setdefault(stay.start, {})[stay.sid] = stay
        self._starts[stay.sid] = stay.start
        self.touched.add(stay.start)
        while len(self._starts) > MAX_STAYS:
            tally[Oddity.OVERFLOW] += self.trim(min(self._minutes) + WIDTH)

    @property
    def minutes(self) -> tuple[int, ...]:
        """When those begin in which somebody left."""
        return tuple(start for start, stays in self._minutes.items() if stays)

    def minute(self, start: int) -> Iterator[Stay]:
        """Everybody who left in a minute."""
        return iter(self._minutes.get(start, {}).values())

    def trim(self, floor: int) -> int:
        """Forget the minutes before `floor`; how many stays that were."""
        self.floor = max(self.floor, floor)
        gone = [start for start in self._minutes if start < self.floor]
        sids = [sid for start in gone for sid in self._minutes.pop(start)]
        for sid in sids:
            del self._starts[sid]
        self.touched = {start for start in self.touched if start >= self.floor}
        return len(sids)

    def _take_out(self, sid: str) -> None:
        start = self._starts.pop(sid, None)
        if start is not None:
            del self._minutes[start][sid]
            self.touched.add(start)
