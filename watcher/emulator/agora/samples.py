"""What a session reported every two seconds: the `kvs` of call/metrics (dossier, 8.3).

Freezes and packet loss come from the scenario: in each slot the freeze times of a stream add up to the seat's freeze
rate, in one piece as real freezes are, and the losses scatter around the seat's loss. Everything else is a plausible
number that belongs to session and second. Now and then a report is missing; the next one then covers both.

Native and WebRTC report loss under different numbers, as in the dossier. A scenario's level is what the product's own
numbers show: the difference between loss after retransmission and raw loss is the scenario's to make.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

import numpy as np

from watcher.emulator.agora.calls import Call, Calls, Session
from watcher.emulator.chance import draws
from watcher.emulator.dice import bits
from watcher.emulator.traffic import SLOT, Bools
from watcher.emulator.world import Answers
from watcher.model import Floats, Ints

STEP = 2
_GAP = 0.03  # share of reports that do not come
_MOST_PEERS = 16


class Base(NamedTuple):
    """A number around which a series lies, and how far from it as a share."""

    around: float
    within: float = 0.2


_DEVICE = {20001: Base(12), 20002: Base(35), 20021: Base(8), 20022: Base(6), 20026: Base(60)}
_MEMORY = {20039: Base(9), 20040: Base(55)}
_SENT = {
    20003: Base(48), 20006: Base(140), 20024: Base(900), 20007: Base(15, 0.1), 20008: Base(15, 0.1),
    20023: Base(15, 0.1), 20025: Base(65), 20027: Base(1280, 0), 20028: Base(720, 0), 20034: Base(320, 0),
    20035: Base(180, 0),
}  # fmt: skip
_QP = {20013: Base(26)}
_RECEIVED = {
    20004: Base(46), 20009: Base(880), 20030: Base(135), 20010: Base(15, 0.1), 20031: Base(15, 0.1),
    20019: Base(1280, 0), 20020: Base(720, 0), 20032: Base(320, 0), 20033: Base(180, 0),
}  # fmt: skip
_SWAPPED = {20006: 20024, 20024: 20006}

_UPLINK = {
    "Native": {20015: "audioPacketLoss", 20017: "videoPacketLoss"},
    "WebRTC": {20037: "audioPacketLoss", 20038: "videoPacketLoss"},
}
_END_TO_END = {
    "Native": {20016: "audioPacketLoss", 20018: "videoPacketLoss"},
    "WebRTC": {20016: "audioPacketLoss", 20036: "videoPacketLoss"},
}
_FREEZE = {
    "Native": {20005: "audioFreezeRate", 20011: "videoFreezeRate"},
    "WebRTC": {20011: "videoFreezeRate"},  # audio freezes are not measured there
}


@dataclass(frozen=True, slots=True)
class Series:
    """One `mid` of one peer; 0: the user's own."""

    mid: int
    peer: int
    at: Ints
    values: Floats


class Samples:
    """What the sessions of a call reported in [start, end), as far as `fresh`."""

    def __init__(self, calls: Calls, call: Call, *, start: int, end: int, fresh: int, answers: Answers) -> None:
        self._calls = calls
        self._call = call
        self._start = start
        self._end = end
        self._fresh = fresh
        self._answers = answers
        self._speakers = self._talking(start, end)
        first = max(call.begin, (start // SLOT - 1) * SLOT)  # a slot more: a gap may reach into the window
        self._slots = np.arange(first, max(first, min(call.end, (end // SLOT + 1) * SLOT)), SLOT, dtype=np.int64)
        self._rated: dict[str, Floats] = {}  # of one session, by metric: the same for every peer

    def of(self, session: Session) -> Iterator[Series]:
        """Every series of it; one that a peer was not there for is empty."""
        key = self._calls.traffic.key("samples", self._calls.sid_of(session))
        self._rated.clear()
        own = {**_DEVICE, **(_MEMORY if self._answers.memory else {})}
        if session.speaker:
            own |= _SENT | (_QP if self._answers.picture_qp else {})
        clock = _Clock.of(session, key, self._slots, self._start, min(self._end, self._fresh + 1))
        if clock is None:
            return
        for mid, base in own.items():
            yield Series(self._mid(mid), 0, *clock.kept(clock.around(base, bits(key, mid))))
        if session.speaker:
            for mid, metric in _UPLINK[session.product].items():
                yield Series(mid, 0, *clock.kept(self._loss(session, metric, clock, bits(key, mid))))
        for uid, same in groupby(self._peers(session), key=lambda peer: peer.uid):  # once, however often they rejoined
            heard = bits(key, uid)
            stays = [(peer.joined, peer.left if peer.left is not None else self._fresh + 1) for peer in same]
            for mid, base in _RECEIVED.items():
                yield Series(mid, uid, *clock.kept(clock.around(base, bits(heard, mid)), *stays))
            for mid, metric in _END_TO_END[session.product].items():
                lost = self._loss(session, metric, clock, bits(heard, mid))
                yield Series(mid, uid, *clock.kept(lost, *stays))
            for mid, metric in _FREEZE[session.product].items():
                frozen = clock.gathered(self._freezes(session, metric, clock, bits(heard, mid)))
                yield Series(mid, uid, *clock.kept(frozen, *stays))

    def _mid(self, mid: int) -> int:
        """The dossier's number, or the swapped one of its other reading."""
        return _SWAPPED.get(mid, mid) if self._answers.streams == "high_first" else mid

    def _talking(self, start: int, end: int) -> list[Session]:
        """Sessions of those who send."""
        return list(self._calls.sessions(self._call, start, end, self._fresh, speakers_only=True))

    def _peers(self, session: Session) -> list[Session]:
        others = [s for s in self._speakers if (s.product, s.seat) != (session.product, session.seat)]
        return others[:_MOST_PEERS]

    def _rates(self, session: Session, metric: str) -> Floats:
        """The seat's rates in `_slots`."""
        if metric not in self._rated:
            seats = self._calls.seats[session.product, self._call.channel.row]
            self._rated[metric] = seats.rates(metric, np.array([session.seat], dtype=np.int64), self._slots)[0]
        return self._rated[metric]

    def _loss(self, session: Session, metric: str, clock: _Clock, key: int) -> Floats:
        """Percent or fraction per report; the reports of a slot scatter in pairs around the slot's own."""
        rates = self._rates(session, metric)[clock.slot]
        apart = draws(key, self._slots[clock.slot] + clock.place // 2) * np.where(clock.place % 2, 1, -1)
        values = np.clip(rates * (1 + np.where(rates <= 0.5, 0.8, 0.0) * apart), 0, 1)
        return np.round(values * 100, 2) if self._answers.loss == "percent" else np.round(values, 4)

    def _freezes(self, session: Session, metric: str, clock: _Clock, key: int) -> Floats:
        """Milliseconds per interval: a slot's freeze time in one piece, begun somewhere in the slot."""
        total = np.rint(self._rates(session, metric)[clock.slot] * STEP * 1000 * clock.count[clock.slot])
        begin = np.floor(draws(key, self._slots) * clock.count).astype(np.int64)[clock.slot]
        order = (clock.place - begin) % clock.count[clock.slot]
        frozen: Floats = np.clip(total - STEP * 1000 * order, 0, STEP * 1000)
        return frozen


@dataclass(frozen=True, slots=True)
class _Clock:
    """The reports of one session around a window: whole slots, so that a value is the same whatever window is asked.

    `at`: seconds of the reports; `slot`: which of the slots each lies in; `place`: its number in the slot; `count`: how
    many each slot has; `there`: those that came; `start` and `end`: the window.
    """

    at: Ints
    slot: Ints
    place: Ints
    count: Ints
    there: Bools
    start: int
    end: int

    @classmethod
    def of(cls, session: Session, key: int, slots: Ints, start: int, end: int) -> _Clock | None:
        at = np.arange(session.joined + STEP, session.leaves + 1, STEP, dtype=np.int64)
        at = at[(at >= slots[0]) & (at < slots[-1] + SLOT)] if len(slots) else at[:0]
        if not len(at):
            return None
        slot = (at - slots[0]) // SLOT
        count = np.bincount(slot, minlength=len(slots))
        place = np.arange(len(at)) - np.concatenate(([0], np.cumsum(count)[:-1]))[slot]
        there = (draws(bits(key, 1), at) >= _GAP) | (at + STEP > session.leaves)
        return cls(at, slot, place, count, there, start, end)

    def around(self, base: Base, key: int) -> Floats:
        """Whole numbers around a base."""
        return np.rint(base.around * (1 + base.within * (2 * draws(key, self.at) - 1)))

    def gathered(self, values: Floats) -> Floats:
        """Values per interval, those of intervals without a report added to the next report."""
        sums = np.cumsum(values)
        kept = np.where(self.there, sums, 0.0)
        before = np.concatenate(([0.0], np.maximum.accumulate(kept)[:-1]))
        return np.where(self.there, sums - before, 0.0)

    def kept(self, values: Floats, *stays: tuple[int, int]) -> tuple[Ints, Floats]:
        """The reports that came in the window; where `stays` are given, in one of their [since, until)."""
        inside = self.there & (self.at >= self.start) & (self.at < self.end)
        if stays:
            inside &= np.any([(self.at >= since) & (self.at < until) for since, until in stays], axis=0)
        return self.at[inside], values[inside]
