"""The spends of one account in memory, in the orders that decisions and reports need.

A mirror of what the store holds, so that a decision costs no I/O; the ledger keeps both in step. Bounded: spends leave
after two days (`prune`), and no window admits more of them than its quota.

Counts per window are kept as spends come and go rather than recounted: every step of an account and every scrape ask
for them all, and what that costs must not grow with the day. They are true fixed windows by stamp (the UTC minute, the
UTC day, N seconds from the epoch): what an auditor would count, and never more than what decisions assume, which lean
to the safe side. The units of a day by the end of their intervals are kept so too: that is what a daily quota is
decided by.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from watcher.budget.quota import Pool, Quota, Spent, Weight
from watcher.clock import DAY
from watcher.model import Spend

ASSUMED = "assumed:"
"""Ids of spends that no request stands behind begin so: the share of a day that is counted as spent, unrecorded."""


class Entry(NamedTuple):
    """A spend, and which part of its skew is doubt about the clock, shared by all stamps of this run."""

    spend: Spend
    doubt: float


@dataclass(slots=True)
class _Tally:
    """Requests per window of one quota; `most` is the largest of them, `worst` that of windows no longer kept."""

    windows: dict[int, int] = field(default_factory=dict)
    most: int = 0
    worst: int = 0

    def count(self, index: int, step: int) -> None:
        before = self.windows.get(index, 0)
        self.windows[index] = before + step
        if step > 0:
            self.most = max(self.most, before + step)
        elif before == self.most:
            self.most = max(self.windows.values())


class Book:
    """Spends by pool, sorted by the end of their interval."""

    def __init__(self, pools: Iterable[Pool]) -> None:
        self.pools = {pool.id: pool for pool in pools}
        self._entries: dict[str, Entry] = {}
        self._near: dict[str, list[Weight]] = {pool: [] for pool in self.pools}
        self._far: dict[str, list[Weight]] = {pool: [] for pool in self.pools}  # ends with all uncertainty
        self._days: dict[str, dict[int, float]] = {pool: {} for pool in self.pools}  # units by the day of such an end
        self._tallies = {(p.id, q.window): _Tally() for p in self.pools.values() for q in p.quotas}
        self._totals = dict.fromkeys(self.pools, 0)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, spend_id: str) -> bool:
        return spend_id in self._entries

    def __getitem__(self, spend_id: str) -> Entry:
        return self._entries[spend_id]

    def near(self, pool: str) -> Sequence[Weight]:
        return self._near[pool]

    def days(self, pool: str) -> Sequence[Weight]:
        return sorted(Weight(day * float(DAY), units, "") for day, units in self._days[pool].items() if units)

    def add(self, spend: Spend, *, doubt: float = 0.0) -> None:
        """Count a spend; the same id again replaces it. Pools that are no longer configured are not counted."""
        self.remove(spend.id)
        self._entries[spend.id] = Entry(spend, doubt)
        for pool, near, far in self._weights(spend, doubt):
            insort(self._far[pool], far)
            self._weigh(pool, far.end, far.units)
            if not spend.id.startswith(ASSUMED):  # it stands for a share of a day, not for a burst at its stamp
                insort(self._near[pool], near)
                self._totals[pool] += 1
                self._count(pool, spend.at, 1)

    def remove(self, spend_id: str) -> None:
        """Count a spend no longer: it was refunded, or gets another stamp."""
        if entry := self._entries.pop(spend_id, None):
            self._drop(entry)
            if not spend_id.startswith(ASSUMED):
                for pool in self._known(entry.spend):
                    self._totals[pool] -= 1
                    self._count(pool, entry.spend.at, -1)

    def prune(self, before: float) -> tuple[str, ...]:
        """Forget spends whose interval ended before; their part in totals and worst windows stays. Their ids."""
        old = tuple(i for i, e in self._entries.items() if e.spend.at + e.spend.skew < before)
        for spend_id in old:
            self._drop(self._entries.pop(spend_id))
        for (pool, window), tally in self._tallies.items():
            width = next(q.window_seconds for q in self.pools[pool].quotas if q.window == window)
            for index in [i for i in tally.windows if (i + 1) * width < before]:
                tally.worst = max(tally.worst, tally.windows.pop(index))
        for pool, days in self._days.items():
            self._days[pool] = {day: units for day, units in days.items() if units}
        return old

    def later(self, than: float) -> tuple[str, ...]:
        """Ids of requests whose stamp, less what is uncertain about it, is later. Costs nothing where none ends so."""
        ending = {w.id for far in self._far.values() for w in far[bisect_left(far, _first(than)) :]}
        stamps = {i: self._entries[i].spend for i in ending if not i.startswith(ASSUMED)}
        return tuple(i for i, spend in stamps.items() if spend.at - spend.skew > than)

    def requests(self, pool: str, quota: Quota, at: float) -> int:
        """Requests stamped in the fixed window that `at` lies in."""
        return self._tallies[pool, quota.window].windows.get(int(at // quota.window_seconds), 0)

    def assumed(self, pool: str, day: float) -> float:
        """Units that stand for the unrecorded part of the day that begins at `day`."""
        far = self._far[pool]
        at, units = bisect_left(far, _first(day)), 0.0
        while at < len(far) and far[at].end == day:
            units += far[at].units if far[at].id.startswith(ASSUMED) else 0.0
            at += 1
        return units

    def worst(self, pool: str, quota: Quota) -> int:
        """The most requests of any single fixed window so far."""
        tally = self._tallies[pool, quota.window]
        return max(tally.worst, tally.most)

    def total(self, pool: str) -> int:
        """Requests counted since this book was opened, refunds taken off."""
        return self._totals[pool]

    def _known(self, spend: Spend) -> list[str]:
        return [pool for pool in spend.pools if pool in self.pools]

    def _weights(self, spend: Spend, doubt: float) -> list[tuple[str, Weight, Weight]]:
        far = Weight(spend.at + spend.skew, spend.units, spend.id)
        near = Weight(spend.at + spend.skew - doubt, spend.units, spend.id)
        return [(pool, near, far) for pool in self._known(spend)]

    def _drop(self, entry: Entry) -> None:
        for pool, near, far in self._weights(*entry):
            _take(self._far[pool], far)
            _take(self._near[pool], near)
            self._weigh(pool, far.end, -far.units)

    def _weigh(self, pool: str, end: float, units: float) -> None:
        day, days = int(end // DAY), self._days[pool]
        days[day] = days.get(day, 0.0) + units

    def _count(self, pool: str, at: float, step: int) -> None:
        for quota in self.pools[pool].quotas:
            self._tallies[pool, quota.window].count(int(at // quota.window_seconds), step)


def _first(end: float) -> Weight:
    """What sorts before every weight with this end."""
    return Weight(end, -math.inf, "")


def _take(weights: list[Weight], weight: Weight) -> None:
    """Take one weight out of a sorted list, where it is in."""
    index = bisect_left(weights, weight)
    if index < len(weights) and weights[index] == weight:
        del weights[index]


_: Spent = Book(())
