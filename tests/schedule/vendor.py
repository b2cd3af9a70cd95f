"""A day at the vendor in a loop: queries, windows that come and go, outages, and an account that follows a policy.

The vendor keeps 20-second windows for a while and counts requests by its own clock; the account runs the real ledger
and the real policy on a clock set by hand. Nothing sleeps, nothing is sent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from tests.budget.doubles import HandClock, MemoryStore, over, run
from watcher.budget import Ledger, Pool, Quota, Refusal
from watcher.budget.purse import LookPurse
from watcher.clock import day_start
from watcher.model import Query, Series, Spend
from watcher.schedule import EvenPolicy, Policy, QueryState, Why, failed, looked, wanted
from watcher.workers import InlineWorkers

WIDTH = 20
TODAY = 1_767_225_600.0  # 2026-01-01T00:00:00Z


@dataclass(frozen=True)
class Plan:
    """What a plan allows: requests, and how windows come and go (dossier, section 6)."""

    minute: int
    day: int
    delay: int
    back: int

    @property
    def reach(self) -> float:
        """The longest gap without loss: windows leave one slot before the look-back ends, newest come after delay."""
        return float(self.back - self.delay - 2 * WIDTH)

    def pool(self, pool_id: str = "acme/realtime") -> Pool:
        quotas = (Quota.per_minute(self.minute), Quota.per_day(self.day))
        return Pool(id=pool_id, account="acme", family="realtime", quotas=quotas)

    def queries(self, count: int, pool_id: str = "acme/realtime", prefix: str = "q") -> tuple[Query, ...]:
        return tuple(
            Query(
                id=f"{prefix}{i:02}",
                account="acme",
                series=(Series("acme", "agora", "classroom", "Native", "", "video_freeze_ratio"),),
                pools=(pool_id,),
                width=WIDTH,
                delay=float(self.delay),
                reach=self.reach,
                settle=2,
            )
            for i in range(count)
        )


PREMIUM = Plan(minute=3, day=480, delay=40, back=2400)
ENTERPRISE = Plan(minute=10, day=1440, delay=20, back=3600)


@dataclass
class Account:
    """One account over hours: what it asked, what it saw, what was lost."""

    plan: Plan
    queries: tuple[Query, ...]
    pools: tuple[Pool, ...]
    start: float = TODAY
    policy: Policy = field(default_factory=EvenPolicy)
    down: Callable[[float], bool] = lambda at: False
    broken: Collection[str] = ()
    urgent: Callable[[float], Collection[str]] = lambda at: ()
    offset: float = 0.0

    def __post_init__(self) -> None:
        self.clock = HandClock(self.start - self.offset)
        self.store = MemoryStore()
        self.arrivals: dict[str, list[float]] = {pool.id: [] for pool in self.pools}
        self.looks: list[tuple[float, str, Why, bool]] = []
        self.lost: dict[str, int] = {query.id: 0 for query in self.queries}
        self.lost_at: list[tuple[float, str, int]] = []
        self.slots = 0
        self.cut_short = 0  # looks that the budget ended early
        self.states: tuple[QueryState, ...] = tuple(QueryState(query=query) for query in self.queries)
        self.restart()

    def restart(self) -> None:
        """A new process: what is covered is known, when it was looked at is not."""
        self.states = tuple(QueryState(query=s.query, covered_until=s.covered_until) for s in self.states)
        self.ledger = Ledger(
            account="acme",
            pools=self.pools,
            store=self.store,
            clock=self.clock,
            workers=InlineWorkers(),
            boot="boot-1",
        )
        run(self.ledger.open())

    @property
    def now(self) -> float:
        """The vendor's time."""
        return self.clock.true + self.offset

    def until(self, end: float) -> Account:
        """Follow the policy until `end` (vendor's time)."""
        while self.now < end:
            now = self.clock.now()
            self.states = wanted(self.states, self.urgent(self.now))
            slot = self.policy.next(self.states, self.ledger.usage(now), now)
            self.slots += 1
            assert slot.at >= now
            if slot.at > now:
                self.clock.wait(min(slot.at - now, end - self.now + 0.001, 600.0))
                continue
            assert slot.query_id is not None
            self._look(next(s.query for s in self.states if s.query.id == slot.query_id), slot.reason)
        return self

    def _look(self, query: Query, why: Why) -> None:
        spend = run(self.ledger.spend(query.pools))
        if isinstance(spend, Refusal):
            self.clock.wait(spend.at - self.clock.now())
            return
        self.clock.wait(0.3)
        for pool in query.pools:
            self.arrivals[pool].append(self.now)
        bad = self.down(self.now) or query.id in self.broken
        self.looks.append((self.now, query.id, why, not bad))
        if bad:
            self.clock.wait(10.0)
            self.states = failed(self.states, query.id, at=self.clock.now())
            return
        if query.requests > 1 and not self._further(query, spend):
            self.cut_short += 1
        self._answer(query, spend)

    def _further(self, query: Query, first: Spend) -> bool:
        """The other requests of a look that is several; False where the budget ended before them."""
        purse = LookPurse(ledger=self.ledger, pools=query.pools, first=first, extra=query.most_requests - 1)
        for _ in range(query.requests - 1):
            run(purse.answered(math.floor(self.now)))
            if not run(purse.spend()):
                return False
            for pool in query.pools:
                self.arrivals[pool].append(self.now)
        return True

    def _answer(self, query: Query, spend: Spend) -> None:
        asked = self.now
        newest = math.floor((asked - self.plan.delay - 1) / WIDTH) * WIDTH
        oldest = math.floor((asked - self.plan.back) / WIDTH) * WIDTH + 2 * WIDTH
        state = next(s for s in self.states if s.query.id == query.id)
        covered = state.covered_until
        if covered is not None and covered + self.ledger.offset < oldest - 1:
            gone = round((oldest - covered - self.ledger.offset) / WIDTH)
            self.lost[query.id] += gone
            self.lost_at.append((asked, query.id, gone))
        self.clock.wait(0.2)
        run(self.ledger.answered(spend, math.floor(self.now)))
        self.states = looked(
            self.states, query.id, at=self.clock.now(), covered_until=float(newest) - self.ledger.offset
        )

    # what to check

    def refused_by_vendor(self) -> str:
        """What the vendor would have refused, by its own count; empty where nothing."""
        for pool in (pool for pool in self.pools if pool.family == "realtime"):
            minute, day = (quota.allowed for quota in pool.quotas)
            if trouble := over(self.arrivals[pool.id], minute=minute, day=day):
                return trouble
        return ""

    def gaps(self, since: float = 0.0, *, but: Collection[str] = ()) -> float:
        """The longest time between two answered looks at one query that ended after `since`."""
        last: dict[str, float] = {}
        longest = 0.0
        for at, query, _, good in self.looks:
            if good:
                if query in last and at > since and query not in but:
                    longest = max(longest, at - last[query])
                last[query] = at
        return longest

    def spent(self, day: float = TODAY) -> int:
        """Requests that arrived on a day."""
        return sum(day_start(at) == day for arrivals in self.arrivals.values() for at in arrivals)

    def outage(self, start: float, seconds: float) -> Callable[[float], bool]:
        return lambda at: start <= at < start + seconds


def premium(count: int = 9, **changes: object) -> Account:
    """An account on Premium."""
    return Account(plan=PREMIUM, queries=PREMIUM.queries(count), pools=(PREMIUM.pool(),), **changes)  # type: ignore[arg-type]


def enterprise(count: int = 13, **changes: object) -> Account:
    """An account on Enterprise."""
    return Account(plan=ENTERPRISE, queries=ENTERPRISE.queries(count), pools=(ENTERPRISE.pool(),), **changes)  # type: ignore[arg-type]
