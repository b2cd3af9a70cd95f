"""How badly a call's users fared: freeze rates by session, user, group and minute, a few hundred seats at a time.

Every rate is the mean over slots of `Seats.rates`, so that lists, sessions and statistics of one call agree with one
another, with the samples, and with what realtime said of the channel.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

import numpy as np

from watcher.clock import MINUTE
from watcher.emulator.agora.calls import Call, Calls, Session
from watcher.emulator.traffic import GROUPS, SLOT
from watcher.model import Floats, Ints

FROZEN = {"audioFreezeRate": 0.03, "videoFreezeRate": 0.05}
"""A user above it in a minute is a frozen one (dossier, 8.4)."""
BUCKETS = {"[0%,3%)": 0.03, "[3%,5%)": 0.05, "[5%,10%)": 0.1, "[10%,100%)": math.inf}

_AT_ONCE = 256  # sessions


class Spread:
    """Rates of one call between `start` and `end`, as far as `fresh` lets know."""

    def __init__(self, calls: Calls, call: Call, *, start: int, end: int, fresh: int) -> None:
        self._calls = calls
        self._call = call
        self._start = max(start, call.begin)
        self._end = min(end, call.end, fresh)
        self._last = max(self._start, self._end - 1)  # the last second that counts
        self._fresh = fresh

    def call_rate(self, metric: str) -> float | None:
        """The mean over all users and their time; None where nothing was measured."""
        total = weight = 0.0
        for product, first, last in self._measured(metric):
            slots = self._slots(self._start, self._end)
            seats = self._calls.seats[product, self._call.channel.row]
            taken = np.minimum(seats.taken(slots), last)
            if first == 0 and self._call.channel.row >= 0:  # all seats: their mean is the channel's
                rates = self._calls.traffic.rate(metric, product, self._call.name, slots)
                total += float((np.nan_to_num(rates) * taken).sum())
                weight += float(taken.sum())
            else:
                rates = seats.rates(metric, np.arange(first, last, dtype=np.int64), slots)
                total += float(np.nansum(rates))
                weight += float((~np.isnan(rates)).sum())
        return total / weight if weight else None

    def sessions(self) -> Iterator[Session]:
        """Those between start and end; who comes at the very end has no time in between."""
        found = self._calls.sessions(self._call, self._start, self._end, self._fresh)
        return (session for session in found if session.begin <= self._last)

    def session_rates(self, metric: str, sessions: Iterable[Session]) -> Iterator[tuple[Session, Floats, Ints]]:
        """Each session with its rates per slot, and those slots; sessions without any are left out."""
        for product, same in groupby(sessions, key=lambda session: session.product):
            if (metric, product) == ("audioFreezeRate", "WebRTC"):  # measured on Native only (dossier, 3.6)
                continue
            for some in _batched(same, _AT_ONCE):
                seats = np.unique([session.seat for session in some])
                slots = self._slots(
                    max(self._start, min(s.begin for s in some)), min(self._end, max(s.end for s in some))
                )
                rates = self._calls.seats[product, self._call.channel.row].rates(metric, seats, slots)
                for session in some:
                    inside = (slots >= session.begin) & (slots < session.end)
                    if inside.any():
                        yield session, rates[int(np.searchsorted(seats, session.seat)), inside], slots[inside]

    def users(self, metric: str) -> dict[int, float]:
        """The mean rate of each user."""
        totals: dict[int, tuple[float, int]] = defaultdict(lambda: (0.0, 0))
        for session, rates, _ in self.session_rates(metric, self.sessions()):
            total, count = totals[session.uid]
            totals[session.uid] = (total + float(rates.sum()), count + len(rates))
        return {uid: total / count for uid, (total, count) in totals.items()}

    def groups(self, metric: str, dimension: str) -> list[tuple[str, int, float]]:
        """Each value of a dimension that has users: how many, and their mean rate."""
        users: dict[str, set[int]] = defaultdict(set)
        totals: dict[str, tuple[float, int]] = defaultdict(lambda: (0.0, 0))
        for session, rates, _ in self.session_rates(metric, self.sessions()):
            value = self.group(session, dimension)
            total, count = totals[value]
            totals[value] = (total + float(rates.sum()), count + len(rates))
            users[value].add(session.uid)
        return [(value, len(users[value]), totals[value][0] / totals[value][1]) for value in users]

    def minutes(self, metric: str) -> dict[int, tuple[float, int]]:
        """Per full minute: the mean rate, and how many users were frozen. Minutes without users are left out."""
        first = self._start // MINUTE
        width = self._last // MINUTE - first + 1
        total, count, frozen = np.zeros(width), np.zeros(width), np.zeros(width, dtype=np.int64)
        rated = self.session_rates(metric, self.sessions())
        for _, same in groupby(rated, key=lambda one: one[0].uid):  # one after another: a user keeps to a seat
            own, own_count = np.zeros(width), np.zeros(width)
            for _, rates, slots in same:
                np.add.at(own, slots // MINUTE - first, rates)
                np.add.at(own_count, slots // MINUTE - first, 1)
            frozen += own > FROZEN[metric] * own_count
            total += own
            count += own_count
        return {
            (first + i) * MINUTE: (float(total[i] / count[i]), int(frozen[i])) for i in np.flatnonzero(count).tolist()
        }

    def present(self) -> dict[int, int]:
        """Users per minute. Minutes without users are left out."""
        first = self._start // MINUTE
        width = self._last // MINUTE - first + 1
        users = np.zeros(width, dtype=np.int64)
        for _, same in groupby(self.sessions(), key=lambda session: session.uid):
            here = np.zeros(width, dtype=np.bool_)
            for session in same:
                slots = self._slots(max(self._start, session.begin), min(self._end, session.end))
                here[slots // MINUTE - first] = True
            users += here
        return {(first + i) * MINUTE: int(users[i]) for i in np.flatnonzero(users).tolist()}

    def group(self, session: Session, dimension: str) -> str:
        """The session's value of a dimension."""
        seats = self._calls.seats[session.product, self._call.channel.row]
        return GROUPS[dimension][int(seats.groups(dimension, np.array([session.seat]))[0])]

    def _measured(self, metric: str) -> list[tuple[str, int, int]]:
        places = self._calls.places(self._call.channel)
        return [place for place in places if (metric, place[0]) != ("audioFreezeRate", "WebRTC")]

    @staticmethod
    def _slots(start: int, end: int) -> Ints:
        """The slots that have begun in [start's slot, end); the first of them where that is none."""
        first = start // SLOT * SLOT
        return np.arange(first, max(end, first + 1), SLOT, dtype=np.int64)


def buckets(rates: Iterable[float]) -> dict[str, int]:
    """How many rates fall into each bucket."""
    found = dict.fromkeys(BUCKETS, 0)
    for rate in rates:
        found[next(name for name, top in BUCKETS.items() if round(rate, 9) < top)] += (
            1  # a mean of equal rates is that rate
        )
    return found


def _batched(sessions: Iterable[Session], size: int) -> Iterator[Sequence[Session]]:
    batch: list[Session] = []
    for session in sessions:
        batch.append(session)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
