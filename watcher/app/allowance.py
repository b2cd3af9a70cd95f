"""What may be spent on who is affected, and what it is best spent on: an account's cap of a day, and its experience.

The cap holds to the request, through restarts: a request is counted in the state before it leaves, and where it cannot
be counted, none may leave. Where what was spent cannot be read, today's share counts as spent. The day is the vendor's,
and never an earlier one than before: where time goes back over midnight, the newer day's cap is the one that is left.

Which dimensions are worth the few requests is learned: those that told something before go first (`worth`), and one
that has not been asked yet counts as even odds, so that what never tells makes room.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import msgspec

from watcher.budget.ledger import Ledger
from watcher.clock import DAY
from watcher.model import Dimension, LedgerStore
from watcher.workers import Workers

SHARE = 0.02  # of a day's requests, where the configuration says nothing: part of the reserve
WITHOUT_A_DAY = 100  # requests a day, where the vendor counts none by the day

_NOTE = "affected"
_UNKNOWN = 1_000_000  # requests, where it cannot be read what was spent: more than any cap
_MEMORY = 20  # questions of a dimension that count for its worth


class _Tried(msgspec.Struct):
    """How often a dimension was asked, and how often it told something."""

    told: int = 0
    asked: int = 0


class _Memory(msgspec.Struct):
    """What outlives a restart: requests of the vendor's day, and what each dimension was worth."""

    day: int = 0
    spent: int = 0
    tried: dict[Dimension, _Tried] = msgspec.field(default_factory=dict)


class Allowance:
    """One account's. `per_day` as in `AffectedSettings`; `requests` are those since the start."""

    def __init__(
        self, *, per_day: int | None, account: str, ledger: Ledger, notes: LedgerStore, workers: Workers
    ) -> None:
        self.requests = 0
        self._per_day = per_day
        self._account = account
        self._ledger = ledger
        self._notes = notes
        self._workers = workers
        self._memory = _Memory()

    async def recall(self) -> None:
        """What was spent and learned before this start. Raises `StoreError`; what was spent is unknown then."""
        self._memory = _Memory(day=self._day(), spent=_UNKNOWN)
        text = await self._workers.run(partial(self._notes.note, self._account, _NOTE))
        try:
            self._memory = msgspec.json.decode(text, type=_Memory) if text is not None else _Memory()
        except msgspec.DecodeError:
            return

    def cap(self, pools: Sequence[str]) -> int:
        """Requests of a day: as configured, or a share of the smallest day of these pools."""
        if self._per_day is not None:
            return self._per_day
        days = [pool.day.allowed for pool in self._ledger.pools if pool.id in pools and pool.day is not None]
        return int(SHARE * min(days)) if days else WITHOUT_A_DAY

    def left(self, pools: Sequence[str]) -> int:
        """Requests that the day's cap still has."""
        return max(0, self.cap(pools) - self._spent())

    async def count(self) -> None:
        """Count a request durably, before it leaves. Raises `StoreError`: then none may."""
        self._memory.spent = self._spent() + 1
        text = msgspec.json.encode(self._memory).decode()
        await self._workers.run(partial(self._notes.put_note, self._account, _NOTE, text))
        self.requests += 1

    def learn(self, dimension: Dimension, *, told: bool) -> None:
        """Written with the next request: what is forgotten in a crash is one try."""
        tried = self._memory.tried.setdefault(dimension, _Tried())
        if tried.asked >= _MEMORY:
            tried.asked, tried.told = tried.asked // 2, tried.told // 2
        tried.asked, tried.told = tried.asked + 1, tried.told + told

    def worth(self, dimension: Dimension) -> float:
        """How likely it tells something; even odds where it was never asked."""
        tried = self._memory.tried.get(dimension, _Tried())
        return (tried.told + 1) / (tried.asked + 2)

    def _spent(self) -> int:
        """Of the newest day that was. One further ahead than tomorrow was a wrong clock's: it would hold for ever."""
        today = self._day()
        if self._memory.day < today:
            self._memory.day, self._memory.spent = today, 0
        self._memory.day = min(self._memory.day, today + 1)
        return self._memory.spent

    def _day(self) -> int:
        return int(self._ledger.vendor_now() // DAY)
