"""Who was in which call when: a pure function of the traffic, cut out of any stretch of time and never kept.

A channel's users in a slot are its seats (`seats`). A *session* is a seat being taken without a break: it begins where
the seat is taken, ends where it is free, and its user leaves after `stay` at the latest, when the next one sits down. A
*call* is a channel having users without a break; after `length` at the latest everybody leaves and comes back, so that
a channel that is never empty has calls all the same, and no call reaches further back than that. Joins fall into the
first half of a slot and leaves into the second, so that the sessions touching a slot are exactly its users.

Ids are the thing itself, sealed with the project's key: a call is its channel and first slot, a session its product,
seat and first slot. So an id is found again without a list, and one that was made up is recognised.

Drawing sessions with random arrivals and counting them for realtime was considered: every real-time slot would then
need all sessions around it, and a level of users asked for by a scenario would only be met on average.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from watcher.emulator.agora.seats import Seats
from watcher.emulator.chance import draws
from watcher.emulator.dice import bits, unit
from watcher.emulator.traffic import SLOT, Bools, Traffic
from watcher.emulator.world import PRODUCTS
from watcher.model import Ints

_CHUNK = 1024  # seats looked at together: what bounds memory, whatever the call
_MOST_SEATS = 1 << 27
_MOST_SLOTS = 1 << 33
_MOST_TABLES = 8
_HALF = SLOT // 2


class Channel(NamedTuple):
    """A place for calls: a named channel (`row` of it, both products), or `number` of one product's others."""

    row: int
    product: str = ""
    number: int = 0


@dataclass(frozen=True, slots=True)
class Call:
    """Slots [begin, end) of a channel. `end` is the vendor's business only where `finished`."""

    channel: Channel
    name: str
    begin: int
    end: int
    finished: bool

    @property
    def created(self) -> int:
        """When the first user came, to the slot."""
        return self.begin

    @property
    def destroyed(self) -> int:
        """When the last one had left."""
        return self.end - 1


@dataclass(frozen=True, slots=True)
class Session:
    """One stay of one user: slots [begin, end) of a seat, and the seconds of join and leave inside the outer two.

    `left` is None while it lasts; only the emulator knows of `leaves` before. `speaker`: sends audio and video.
    """

    product: str
    seat: int
    begin: int
    end: int
    uid: int
    joined: int
    leaves: int
    left: int | None
    speaker: bool


class Calls:
    """The calls of one project. Every method takes `fresh`: what happened after it is not known yet.

    A slot more than that is looked at, to know who leaves within the slot that `fresh` lies in.
    """

    def __init__(self, traffic: Traffic) -> None:
        self.traffic = traffic
        self.speakers = traffic.project.calls.speakers
        self.servers = traffic.project.calls.servers
        self._length = traffic.project.calls.length // SLOT * SLOT
        self._stay = traffic.project.calls.stay // SLOT * SLOT
        self._tables: dict[tuple[str, int, int], Ints] = {}
        self.seats = {
            (product, row): Seats(traffic, product, row)
            for product in PRODUCTS
            for row in (*range(len(traffic.project.channels)), -1)
        }

    # ── calls ────────────────────────────────────────────────────────────────────────────────────────────────────

    def within(self, start: int, end: int, fresh: int, name: str = "") -> list[Call]:
        """Calls that overlap [start, end], the newest first; of one channel, where it has a name."""
        slots = _grid(start - self._length, min(end + self._length, fresh + SLOT))
        found = [
            call
            for channel, used in self._used(slots, name)
            for call in self._cut(channel, used, slots, fresh)
            if call.begin <= end and call.end > start
        ]
        return sorted(found, key=lambda call: (-call.begin, call.name))

    def call(self, call_id: str, fresh: int) -> Call | None:
        """The call of an id; None where there is none (yet)."""
        payload = self._open("call", call_id, prefix="c")
        if payload is None:
            return None
        kind, place, first = payload >> 60, payload >> 33 & (_MOST_SEATS - 1), (payload & (_MOST_SLOTS - 1)) * SLOT
        channel = Channel(place) if kind == 0 else Channel(-1, PRODUCTS[kind - 1], place)
        slots = _grid(first, min(first + self._length, fresh + SLOT))
        used = self.users(channel, slots) > 0
        return next((call for call in self._cut(channel, used, slots, fresh) if call.begin == first), None)

    def id_of(self, call: Call) -> str:
        """The call's id."""
        channel = call.channel
        kind = PRODUCTS.index(channel.product) + 1 if channel.product else 0
        place = channel.number if channel.product else channel.row
        return "c" + self._seal("call", kind << 60 | place << 33 | call.begin // SLOT)

    def users(self, channel: Channel, slots: Ints) -> Ints:
        """Users of the channel in each slot, of all its products."""
        total = np.zeros(len(slots), dtype=np.int64)
        for product, first, last in self.places(channel):
            total += np.clip(self._taken(product, channel.row, slots), first, last) - first
        return total

    def places(self, channel: Channel) -> list[tuple[str, int, int]]:
        """Product and seats [first, last) of each of its parts."""
        if not channel.product:
            return [(product, 0, _MOST_SEATS) for product in PRODUCTS]
        size = self.traffic.project.users_per_channel
        return [(channel.product, channel.number * size, (channel.number + 1) * size)]

    def _taken(self, product: str, row: int, slots: Ints) -> Ints:
        """`Seats.taken`, of a table that is made once for all channels of a request."""
        if not len(slots):
            return np.zeros(0, dtype=np.int64)
        key = (product, int(slots[0]), len(slots))  # always a stretch of the grid
        if key not in self._tables:
            if len(self._tables) >= _MOST_TABLES:
                self._tables.clear()
            self._tables[key] = self.traffic.heads(product, slots)
        taken: Ints = self._tables[key][row]
        return taken

    def _used(self, slots: Ints, name: str) -> Iterator[tuple[Channel, Bools]]:
        """Channels, and in which slots they have users."""
        names = [channel.name for channel in self.traffic.project.channels]
        for row, known in enumerate(names):
            if name in ("", known):
                yield Channel(row), self.users(Channel(row), slots) > 0
        size = self.traffic.project.users_per_channel
        for product in PRODUCTS if name not in names else ():
            taken = self._taken(product, -1, slots)
            for index in range(-(-int(taken.max(initial=0)) // size)):
                channel = Channel(-1, product, index)
                if name in ("", self._name(channel)):
                    yield channel, taken > index * size

    def _cut(self, channel: Channel, used: Bools, slots: Ints, fresh: int) -> list[Call]:
        key = self.traffic.key("call", channel.product, self._name(channel))
        fresh_start = (slots - _phase(key, self._length)) % self._length == 0
        begins, ends = _runs(used, fresh_start)
        return [
            Call(channel, self._name(channel), begin, end, finished=end - 1 <= fresh)
            for begin, end in zip(slots[begins].tolist(), (slots[ends - 1] + SLOT).tolist(), strict=True)
            if begin <= fresh
        ]

    def _name(self, channel: Channel) -> str:
        if not channel.product:
            return self.traffic.project.channels[channel.row].name
        return f"{channel.product.lower()}-{channel.number}"

    # ── sessions ─────────────────────────────────────────────────────────────────────────────────────────────────

    def sessions(
        self, call: Call, start: int, end: int, fresh: int, *, speakers_only: bool = False
    ) -> Iterator[Session]:
        """The call's sessions that overlap [start, end], in order of seat; a few seats at a time."""
        slots = _grid(  # nobody's stay reaches further than that
            max(call.begin, start - self._stay), min(call.end - 1, end + self._stay, fresh + SLOT)
        )
        for product, first, last in self.places(call.channel):
            most = min(int(self._taken(product, call.channel.row, slots).max(initial=0)), last)
            if speakers_only:
                most = min(most, first + self.speakers)
            for at in range(first, most, _CHUNK):
                seats = np.arange(at, min(at + _CHUNK, most), dtype=np.int64)
                for session in self._sit(call, product, seats, slots, fresh):
                    if session.joined <= end and (session.left is None or session.left >= start):
                        yield session

    def session(self, call: Call, sid: str, fresh: int) -> Session | None:
        """The session of an id within a call; None where there is none (yet)."""
        payload = self._open("session", sid)
        if payload is None:
            return None
        product, seat = PRODUCTS[payload >> 60 & 1], payload >> 33 & (_MOST_SEATS - 1)
        begin = (payload & (_MOST_SLOTS - 1)) * SLOT
        for known, first, last in self.places(call.channel):
            if known == product and first <= seat < last and call.begin <= begin < call.end:
                slots = _grid(call.begin, min(call.end - 1, fresh + SLOT))
                sat = self._sit(call, product, np.array([seat], dtype=np.int64), slots, fresh)
                return next((session for session in sat if session.begin == begin), None)
        return None

    def sid_of(self, session: Session) -> str:
        """The session's id: 32 upper-case hexadecimal digits."""
        payload = PRODUCTS.index(session.product) << 60 | session.seat << 33 | session.begin // SLOT
        return self._seal("session", payload).upper()

    def _sit(self, call: Call, product: str, seats: Ints, slots: Ints, fresh: int) -> list[Session]:
        """The sessions of some seats during the call's slots, which are known up to `fresh`."""
        row = call.channel.row
        label = (product, self.seats[product, row].name)
        phases = np.floor(draws(self.traffic.key("stay", *label), seats) * self._stay / SLOT).astype(np.int64) * SLOT
        here = seats[:, None] < self._taken(product, row, slots)
        handed_over = (slots - phases[:, None]) % self._stay == 0
        at_seat, begins, ends = _runs_of_rows(here, handed_over)
        first = self.places(call.channel)[0][1]
        uids = self.traffic.project.channels[row].uids.get(product, ()) if row >= 0 else ()
        joins = self.traffic.key("join", *label)
        users = self.traffic.key("user", *label)
        found = []
        for place, b, e in zip(at_seat.tolist(), begins.tolist(), ends.tolist(), strict=True):
            seat, begin, end = int(seats[place]), int(slots[b]), int(slots[e - 1]) + SLOT
            chance = bits(joins ^ seat, begin // SLOT)
            joined, leaves = begin + chance % _HALF, end - SLOT + _HALF + chance // 64 % _HALF
            turn = (begin - int(phases[place])) // self._stay
            if joined <= fresh:
                found.append(
                    Session(
                        product=product,
                        seat=seat,
                        begin=begin,
                        end=end,
                        uid=uids[seat] if seat < len(uids) else 1 + bits(users ^ seat, turn) % (2**32 - 1),
                        joined=joined,
                        leaves=leaves,
                        left=leaves if leaves <= fresh else None,
                        speaker=seat - first < self.speakers,
                    )
                )
        return found

    # ── ids ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _seal(self, what: str, payload: int) -> str:
        key = self.traffic.key("id", what)
        check = bits(key ^ payload, 1)
        return f"{check:016x}{payload ^ bits(key ^ check, 2):016x}"

    def _open(self, what: str, text: str, prefix: str = "") -> int | None:
        digits = text.removeprefix(prefix)
        if len(digits) != 32 or not text.startswith(prefix) or not set(digits.lower()) <= set("0123456789abcdef"):
            return None
        key = self.traffic.key("id", what)
        check, hidden = int(digits[:16], 16), int(digits[16:], 16)
        payload = hidden ^ bits(key ^ check, 2)
        return payload if bits(key ^ payload, 1) == check else None


def distinct(sessions: Sequence[Session]) -> int:
    """How many users they are."""
    return len({session.uid for session in sessions})


def _grid(start: int, last: int) -> Ints:
    """The slots from the one that holds `start` to the one that holds `last`."""
    return np.arange(start // SLOT * SLOT, last // SLOT * SLOT + 1, SLOT, dtype=np.int64)


def _phase(key: int, period: int) -> int:
    return int(unit(bits(key)) * period) // SLOT * SLOT


def _runs(used: Bools, cuts: Bools) -> tuple[Ints, Ints]:
    """Starts and ends of the runs of `used`, also cut before each of `cuts`."""
    _, begins, ends = _runs_of_rows(used[None, :], cuts[None, :])
    return begins, ends


def _runs_of_rows(used: Bools, cuts: Bools) -> tuple[Ints, Ints, Ints]:
    """Row, start and end of each run, row by row."""
    before = np.zeros_like(used)
    before[:, 1:] = used[:, :-1] & ~cuts[:, 1:]
    after = np.zeros_like(used)
    after[:, :-1] = used[:, 1:] & ~cuts[:, 1:]
    rows, begins = np.nonzero(used & ~before)
    _, lasts = np.nonzero(used & ~after)
    return rows.astype(np.int64), begins.astype(np.int64), lasts.astype(np.int64) + 1
