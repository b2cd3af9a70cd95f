"""Doubles for the budget: a clock set by hand, a store in memory that can fail, and a way to run without a loop."""

from __future__ import annotations

import math
from collections.abc import Coroutine
from typing import Any, TypeVar

from watcher.budget import Ledger, Pool, Quota
from watcher.clock import Clock
from watcher.errors import StoreError
from watcher.model import LedgerStore, Spend
from watcher.workers import InlineWorkers

T = TypeVar("T")

NOON = 1_767_268_800.0  # 2026-01-01T12:00:00Z


class HandClock:
    """Moves only when told: `wait` moves both clocks, `step` only the wall clock."""

    rate = 1.0
    virtual = True

    def __init__(self, now: float = NOON, *, uptime: float = 1000.0) -> None:
        self._true = now
        self._boot = now - uptime
        self.stepped = 0.0

    def now(self) -> float:
        return self._true + self.stepped

    def monotonic(self) -> float:
        return self._true - self._boot

    async def sleep_until(self, at: float) -> None:
        self.wait(at - self.now())

    @property
    def true(self) -> float:
        """The time that no step touches."""
        return self._true

    def wait(self, seconds: float) -> None:
        self._true += max(0.0, seconds)

    def step(self, seconds: float) -> None:
        self.stepped += seconds


class MemoryStore:
    """A `LedgerStore` that counts its writes and fails when told."""

    def __init__(self) -> None:
        self.rows: dict[str, Spend] = {}
        self.notes: dict[tuple[str, str], str] = {}
        self.broken = False
        self.writes = 0

    def spends(self, account: str, since: float) -> list[Spend]:
        self._touch()
        return sorted((s for s in self.rows.values() if s.account == account and s.at >= since), key=lambda s: s.at)

    def record_spend(self, spend: Spend) -> None:
        self._touch()
        self.writes += 1
        self.rows[spend.id] = spend

    def refund(self, spend_id: str) -> None:
        self._touch()
        self.writes += 1
        self.rows.pop(spend_id, None)

    def note(self, account: str, key: str) -> str | None:
        self._touch()
        return self.notes.get((account, key))

    def put_note(self, account: str, key: str, value: str) -> None:
        self._touch()
        self.writes += 1
        self.notes[account, key] = value

    def _touch(self) -> None:
        if self.broken:
            raise StoreError("no space left")


_CLOCK: type[Clock] = HandClock
_STORE: type[LedgerStore] = MemoryStore


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never waits, as all of the ledger's over these doubles."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    raise AssertionError("it waited")


def agora(*, minute: int = 3, day: int = 480, account: str = "acme", pool: str = "acme/realtime") -> Pool:
    """Premium's real-time pool, or another of its shape."""
    return Pool(id=pool, account=account, family="realtime", quotas=(Quota.per_minute(minute), Quota.per_day(day)))


def opened(clock: HandClock, store: MemoryStore, *pools: Pool, boot: str = "boot-1") -> Ledger:
    """An open ledger."""
    ledger = Ledger(
        account="acme", pools=pools or (agora(),), store=store, clock=clock, workers=InlineWorkers(), boot=boot
    )
    run(ledger.open())
    return ledger


def over(
    times: list[float], *, minute: int | None = None, day: int | None = None, rolling: tuple[int, float] | None = None
) -> str:
    """What a vendor that counts arrivals by its own clock would complain of; empty where nothing."""
    times = sorted(times)
    if minute is not None and (found := _fixed(times, 60) or 0) > minute:
        return f"{found} in a UTC minute"
    if minute is not None and (found := _any(times, 60)) > minute:
        return f"{found} in 60 s"
    if day is not None and (found := _fixed(times, 86_400)) > day:
        return f"{found} in a UTC day"
    if rolling is not None and (found := _any(times, rolling[1])) > rolling[0]:
        return f"{found} in {rolling[1]} s"
    return ""


def _fixed(times: list[float], width: float) -> int:
    counts: dict[int, int] = {}
    for time in times:
        counts[math.floor(time / width)] = counts.get(math.floor(time / width), 0) + 1
    return max(counts.values(), default=0)


def _any(times: list[float], width: float) -> int:
    return max((sum(1 for t in times if start <= t < start + width) for start in times), default=0)
