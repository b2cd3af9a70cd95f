"""One account at noon whose source can be asked for groups: doubles for what asks, and for the loop that it runs in."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from tests.alerts.build import route
from tests.providers.doubles import HandClock
from tests.rules.series import START, W, answer, query, series
from watcher.alerts.desk import Desk
from watcher.alerts.route import Routing
from watcher.alerts.settings import AlertsSettings
from watcher.app.recorder import Recorder
from watcher.budget.ledger import Ledger
from watcher.budget.quota import Pool, Quota
from watcher.clock import HOUR
from watcher.model import Answer, Dimension, Group, Purse, Query, Series, Split, Splitter, Splitting
from watcher.schedule.state import Policy, QueryState, Slot, UsageView, Why
from watcher.store import SqliteStore
from watcher.workers import InlineWorkers

NOON = float(START + 12 * HOUR)
PATIENCE = 180.0
VIDEO, WEB = series(), series(product="WebRTC")
POOL, PAST_POOL = "acme/live", "acme/past"
ALL = AlertsSettings(routes=(route("pager"),))


class Groups:
    """A source with two series, whose users with SDK 4.1.1 suffer; what it says takes `seconds`."""

    def __init__(self, clock: HandClock) -> None:
        self.queries: tuple[Query, ...] = tuple(replace(query(s), pools=(POOL,)) for s in (VIDEO, WEB))
        self.dimensions: tuple[Dimension, ...] = (Dimension.SDK, Dimension.NETWORK)
        self.asked: list[Dimension] = []
        self.looked: list[Series] = []
        self.says = "10%"
        self.seconds = 0.0
        self.fails: Exception | None = None
        self._clock = clock

    async def look(self, query: Query, covered: int | None, purse: Purse) -> Answer:
        self.looked.append(query.series[0])
        start = int(self._clock.now()) // W * W - W
        return replace(answer(query.series[0], self.says, start=start), query=query)

    async def aclose(self) -> None:
        """Nothing is open."""

    def splitting(self, series: Series) -> Splitting | None:
        return Splitting(dimensions=self.dimensions, pools=(POOL,), most=2, patience=PATIENCE)

    async def split(self, series: Series, dimension: Dimension, start: int, purse: Purse) -> Split:
        self.asked.append(dimension)
        self._clock.advance(self.seconds)
        if self.fails is not None:
            raise self.fails
        if dimension is Dimension.SDK:
            return Split(dimension=dimension, groups=(Group("4.1.1", 0.4, 100.0), Group("4.2.0", 0.01, 900.0)))
        return Split(dimension=dimension, groups=(Group("Wi-Fi", 0.1, 600.0), Group("4G", 0.1, 400.0)))


class Sparing:
    """A policy that always has a request to spare unless looks fail, and plans what it is told."""

    def __init__(self) -> None:
        self.plan: Callable[[float], Slot] = lambda now: Slot(query_id=None, at=math.inf, reason=Why.DUE)

    def next(self, states: Sequence[QueryState], usage: Sequence[UsageView], now: float) -> Slot:
        return self.plan(now)

    def spare(
        self, states: Sequence[QueryState], usage: Sequence[UsageView], pools: Sequence[str], now: float
    ) -> float:
        return math.inf if any(state.failures for state in states) else now


_clock = HandClock(NOON)
_ports: tuple[Splitter, Policy] = (Groups(_clock), Sparing())


def ledger(store: SqliteStore, clock: HandClock, *more: Quota) -> Ledger:
    """A pool for looks and questions, with `more` quotas than that of the day, and one that only the past spends."""
    pools = [
        Pool(id=POOL, account="acme", family="live", quotas=(*more, Quota.per_day(1000))),
        Pool(id=PAST_POOL, account="acme", family="past", quotas=(Quota.per_day(1000),), capped=True),
    ]
    return Ledger(account="acme", pools=pools, store=store, clock=clock, workers=InlineWorkers())


def recorder(store: SqliteStore, clock: HandClock, desk: Desk, settings: AlertsSettings = ALL) -> Recorder:
    """Nobody is sent anything."""
    return Recorder(
        store=store,
        workers=InlineWorkers(),
        clock=clock,
        routing=Routing.of(settings, page_ended_within=3600),
        told={},
        outboxes={},
        desk=desk,
    )
