"""Which rooms there are and when each of them becomes known: those written down, and generated ones (`emulator.grid`).

A generated room's sid holds its place and turn under a mask, so it is found again from the sid alone and no list of
rooms is kept; pages of them are cut out of columns.

When a room shows is drawn here too, since pages are cut by it: `published`, some minutes after the end, and `settled`,
when its record is final (dossier, sections 2.2 and 5).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from watcher.clock import DAY
from watcher.emulator.chance import draws, key_of
from watcher.emulator.dice import bits, millis, unit
from watcher.emulator.grid import Grid
from watcher.emulator.twilio.world import Account, CreatedMethod, Generated, Named, Weights
from watcher.model import Floats, Ints

MOST_LENGTH = DAY  # a room's longest (dossier, section 5)

_LENGTH, _SLOW, _SLOWER = 0x1E46, 0x510E, 0x510F
_PLACE_BITS, _TURN_BITS = 24, 40
_KEPT_ROOMS = 50_000
_TURN_BIAS = 1 << (_TURN_BITS - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """One room, from its creation to its end. `plan`: as written down; None for a generated one.

    `final`: its last processing_state, empty where it never gets one; `early`: the one before.
    """

    account: Account
    key: int
    sid: str
    name: str
    start: float
    end: float
    published: float
    settled: float
    early: str
    final: str
    room_type: str
    codecs: tuple[str, ...]
    region: str
    method: CreatedMethod
    completed: bool
    recorded: bool
    callback: str
    participants: int
    plan: Named | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a list of rooms is limited to; empty or None: not. `after` counts in, `before` does not (dossier, 1.1)."""

    types: tuple[str, ...] = ()
    codecs: tuple[str, ...] = ()
    name: str = ""
    after: float | None = None
    before: float | None = None


class Rooms:
    """The rooms of one account."""

    def __init__(self, account: Account) -> None:
        self.account = account
        generated = account.generated
        self._grid = None if generated is None else _grid(account, generated)
        self._named = tuple(self._written(named) for named in account.named)
        self._by_sid = {room.sid: room for room in self._named}
        self._mask = bits(account.key, 0xA5C)
        places = range(generated.rooms if generated else 0)
        self._types = [chosen(account.mix.room_types, unit(account.key ^ 0x7E7E, place)) for place in places]
        self._codecs = [_codecs(bits(account.key ^ 0xC0DE, place)) for place in places]
        seen = account.visibility
        self._kept = np.array([seen.kept_go if kind == "go" else seen.kept for kind in self._types], dtype=np.float64)
        self._made: dict[tuple[int, int], Room] = {}  # remembered only because making one takes long

    def find(self, sid: str) -> Room | None:
        """The room, past, present or to come; None where there is none of that sid."""
        if (room := self._by_sid.get(sid)) is not None:
            return room
        if self._grid is None or len(sid) != 34:
            return None
        try:
            place = int(sid[2:18], 16) ^ self._mask
        except ValueError:
            return None
        number, turn = place >> _TURN_BITS, (place & ((1 << _TURN_BITS) - 1)) - _TURN_BIAS
        if not self._grid.held(number, turn):
            return None
        room = self._generated(number, turn)
        return room if room.sid == sid else None

    def within(self, start: float, end: float) -> list[Room]:
        """Rooms that exist in [start, end), by creation."""
        found = [room for room in self._named if room.start < end and room.end > start]
        if self._grid is not None:
            places, turns, _ = self._grid.within(start, end)
            pairs = zip(places.tolist(), turns.tolist(), strict=True)
            found += [room for room in (self._generated(place, turn) for place, turn in pairs) if room.end > start]
        return sorted(found, key=lambda room: (room.start, room.sid))

    def page(self, wanted: Wanted, *, now: float, offset: int, size: int) -> tuple[list[Room], bool]:
        """A page of the rooms that are shown at `now`, newest first (INFERRED), and whether there are more.

        Without dates only those completed in the last 24 hours, and running ones where these are shown at all.
        """
        named = [room for room in self._named if self._shown(room, wanted, now)]
        starts = np.array([room.start for room in named], dtype=np.float64)
        places = np.empty(0, dtype=np.int64)
        turns = places
        if self._grid is not None:
            places, turns, generated = self._columns(self._grid, wanted, now)
            starts = np.concatenate([starts, generated])
        order = np.argsort(-starts, kind="stable")
        chosen_rows = order[offset : offset + size].tolist()
        page = [
            named[i] if i < len(named) else self._generated(int(places[i - len(named)]), int(turns[i - len(named)]))
            for i in chosen_rows
        ]
        return page, len(order) > offset + size

    def visible(self, room: Room, now: float) -> bool:
        """Whether the API knows the room."""
        seen = self.account.visibility
        if room.end <= now - (seen.kept_go if room.room_type == "go" else seen.kept):
            return False
        return room.published <= now or (seen.running and room.start + seen.lag <= now)

    def _shown(self, room: Room, wanted: Wanted, now: float) -> bool:
        return (
            self.visible(room, now)
            and (not wanted.types or room.room_type in wanted.types)
            and (not wanted.codecs or bool(set(room.codecs) & set(wanted.codecs)))
            and (not wanted.name or room.name == wanted.name)
            and (wanted.after is None or room.start >= wanted.after)
            and (wanted.before is None or room.start < wanted.before)
            and (wanted.after is not None or wanted.before is not None or room.end > now - DAY)
        )

    def _columns(self, grid: Grid, wanted: Wanted, now: float) -> tuple[Ints, Ints, Floats]:
        """Place, turn and start of the generated rooms that are shown: `_shown` for columns."""
        seen = self.account.visibility
        low = now - max(seen.kept, seen.kept_go) - MOST_LENGTH
        low = low if wanted.after is None else max(low, wanted.after)
        high = now + 1 if wanted.before is None else min(now + 1, wanted.before)
        places, turns, starts = grid.within(low, high)
        keys = grid.keys[places]
        ends = self._ends(keys, turns, starts)
        shown = self._published(keys, turns, ends) <= now
        if seen.running:
            shown |= starts + seen.lag <= now
        shown &= ends > now - self._kept[places]
        if wanted.after is None and wanted.before is None:
            shown &= ends > now - DAY
        else:
            shown &= (starts >= low) & (starts < high)
        if wanted.types or wanted.codecs or wanted.name:
            shown &= np.array([self._fits(place, wanted) for place in range(grid.rooms)], dtype=bool)[places]
        return places[shown], turns[shown], starts[shown]

    def _fits(self, place: int, wanted: Wanted) -> bool:
        return (
            (not wanted.types or self._types[place] in wanted.types)
            and (not wanted.codecs or bool(set(self._codecs[place]) & set(wanted.codecs)))
            and (not wanted.name or self._name(place) == wanted.name)
        )

    # ── when ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _ends(self, keys: npt.NDArray[np.uint64], turns: Ints, starts: Floats) -> Floats:
        generated = self.account.generated
        assert generated is not None
        shorter = generated.vary * draws(keys ^ np.uint64(_LENGTH), turns)
        ends: Floats = np.floor((starts + generated.length * (1 - shorter)) * 1000 + 0.5) / 1000
        return ends

    def _published(self, keys: npt.NDArray[np.uint64], turns: Ints, ends: Floats) -> Floats:
        """When rooms that ended then become visible."""
        seen = self.account.visibility
        further = (seen.slowest - seen.delay) * draws(keys ^ np.uint64(_SLOWER), turns)
        slow = draws(keys ^ np.uint64(_SLOW), turns) < seen.slow
        due: Floats = ends + seen.delay + np.where(slow, further, 0.0)
        for backlog in seen.backlogs:
            due = np.where((due >= backlog.start) & (due < backlog.end), backlog.end, due)
        return due

    # ── making them ──────────────────────────────────────────────────────────────────────────────────────────────

    def _generated(self, place: int, turn: int) -> Room:
        if (room := self._made.get((place, turn))) is None:
            while len(self._made) >= _KEPT_ROOMS:
                del self._made[next(iter(self._made))]
            room = self._made[place, turn] = self._make(place, turn)
        return room

    def _make(self, place: int, turn: int) -> Room:
        account, grid, generated = self.account, self._grid, self.account.generated
        assert grid is not None
        assert generated is not None
        keys, turns = grid.keys[[place]], np.array([turn], dtype=np.int64)
        start = grid.start(place, turn)
        ends = self._ends(keys, turns, np.array([start]))
        key = bits(grid.key(place) ^ 0x70_0135, turn)
        crowd = account.crowd
        return self._room(
            key=key,
            sid=f"RM{((place << _TURN_BITS) | (turn + _TURN_BIAS)) ^ self._mask:016x}{bits(key, 3):016x}",
            name=self._name(place),
            start=start,
            end=float(ends[0]),
            published=float(self._published(keys, turns, ends)[0]),
            room_type=self._types[place],
            codecs=self._codecs[place],
            region=chosen(account.mix.regions, unit(key, 4)),
            method=("sdk", "ad_hoc", "api")[bits(key, 5) % 3],
            completed=unit(key, 6) < crowd.completed,
            recorded=unit(key, 7) < crowd.recorded,
            callback="",
            participants=generated.participants,
            plan=None,
        )

    def _written(self, named: Named) -> Room:
        key = key_of(self.account.key, "room", named.sid)
        keys, turns = np.array([key], dtype=np.uint64), np.zeros(1, dtype=np.int64)
        start, end = millis(named.start), millis(named.end)
        return self._room(
            key=key,
            sid=named.sid,
            name=named.name,
            start=start,
            end=end,
            published=float(self._published(keys, turns, np.array([end]))[0]),
            room_type=named.room_type,
            codecs=_codecs(bits(key, 8)),
            region=named.region,
            method=named.method,
            completed=named.completed,
            recorded=named.recorded,
            callback=named.callback,
            participants=len(named.people) or named.participants,
            plan=named,
        )

    def _room(
        self,
        *,
        key: int,
        sid: str,
        name: str,
        start: float,
        end: float,
        published: float,
        room_type: str,
        codecs: tuple[str, ...],
        region: str,
        method: CreatedMethod,
        completed: bool,
        recorded: bool,
        callback: str,
        participants: int,
        plan: Named | None,
    ) -> Room:
        seen = self.account.visibility
        fate = unit(key, 9)
        return Room(
            account=self.account,
            key=key,
            sid=sid,
            name=name,
            start=start,
            end=end,
            published=published,
            settled=published + seen.settle,
            early="not_started" if unit(key, 10) < seen.not_started else "in_progress",
            final="timeout" if fate < seen.timeout else "" if fate < seen.timeout + seen.stuck else "complete",
            room_type=room_type,
            codecs=codecs,
            region=region,
            method=method,
            completed=completed,
            recorded=recorded,
            callback=callback,
            participants=participants,
            plan=plan,
        )

    def _name(self, place: int) -> str:
        return f"{self.account.name}-{place}"


def _grid(account: Account, generated: Generated) -> Grid:
    return Grid(key=account.key, rooms=generated.rooms, length=generated.length, gap=generated.gap, day=generated.day)


def _codecs(key: int) -> tuple[str, ...]:
    """Three in four rooms are VP8."""
    return ((*("VP8",) * 15, *("H264",) * 4, "VP9")[key % 20], "opus")


def chosen(weights: Weights, chance: float) -> str:
    """The name whose stretch of [0, 1) holds `chance`."""
    return next((name for name, until in weights if chance < until), weights[-1][0])
