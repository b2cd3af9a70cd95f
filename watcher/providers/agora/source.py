"""An Agora account as the rest of the program sees it (port `model.Source`): each query goes to its family's looker."""

from __future__ import annotations

from collections.abc import Iterator, Set
from typing import Protocol

import httpx

from watcher.calls import CallReader, CallView, CallWish
from watcher.clock import Clock
from watcher.errors import Refused
from watcher.groups import Grouping, GroupReader, GroupView, GroupWish
from watcher.model import Answer, Dimension, Purse, Query, Series, Source, Split, Splitter, Splitting
from watcher.providers.agora.client import RealtimeClient
from watcher.providers.agora.domains import Domains
from watcher.providers.agora.exchange import Exchange
from watcher.providers.agora.headcount import Headcount
from watcher.providers.agora.insights.client import InsightClient
from watcher.providers.agora.insights.daily import Daily
from watcher.providers.agora.insights.hourly import Hourly
from watcher.providers.agora.insights.totals import Totals
from watcher.providers.agora.inspector.callview import CallViews
from watcher.providers.agora.inspector.client import InspectorClient
from watcher.providers.agora.inspector.edge import Edge
from watcher.providers.agora.inspector.sample import CallSample
from watcher.providers.agora.queries import DAYS, REALTIME, SAMPLES, Target, calls_pools, days_pools, past, targets
from watcher.providers.agora.realtime import Realtime
from watcher.providers.agora.settings import AgoraAccount, Project, window
from watcher.providers.agora.splits import Splits
from watcher.providers.vendortime import VendorTime


class Looker(Protocol):
    """Carries out the looks of some queries."""

    async def look(self, query: Query, covered: int | None, purse: Purse) -> Answer:
        """See `model.Source.look`."""
        ...


def open_source(
    settings: AgoraAccount,
    needed: Set[str],
    *,
    clock: Clock,
    offset: float = 0.0,
    learned: str | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
) -> AgoraSource:
    """The source of an account that `check` accepts; nothing is `learned` here for later. Raises `SecretMissing`."""
    settings.customer_id.resolve()
    settings.customer_secret.resolve()
    vendor_time = VendorTime(clock=clock, offset=offset)
    exchange = Exchange(
        account=settings.name,
        customer_id=settings.customer_id,
        customer_secret=settings.customer_secret,
        domains=Domains(primaries=settings.primaries(), neighbours=settings.neighbours()),
        vendor_time=vendor_time,
        transport=transport,
    )
    return AgoraSource(
        settings=settings,
        targets=targets(settings, needed),
        past=past(settings, needed),
        exchange=exchange,
        clock=clock,
        vendor_time=vendor_time,
    )


class AgoraSource:
    """One Agora account. Looks of an account follow each other; they are not made for overlap.

    `client`, `inspector` and `insights` are the calls of the three families, for whoever asks more than looks do.
    """

    def __init__(
        self,
        *,
        settings: AgoraAccount,
        targets: tuple[Target, ...],
        past: tuple[Target, ...],
        exchange: Exchange,
        clock: Clock,
        vendor_time: VendorTime,
    ) -> None:
        self.client = RealtimeClient(exchange)
        self.inspector = InspectorClient(exchange)
        self.insights = InsightClient(exchange)
        self._exchange = exchange
        self._settings = settings
        self._targets = targets
        self._past = past
        self._clock = clock
        self._vendor_time = vendor_time
        self._headcount = Headcount()
        self._edge = Edge(account=settings.name, vendor_time=vendor_time)
        self._lookers = dict(self._looking())
        limits = settings.limits()
        days, (pool, *_) = settings.insight_limits(), (*days_pools(settings), "")
        self._totals = (
            Totals(limits=days, client=self.insights, vendor_time=vendor_time, pool=pool) if days and pool else None
        )
        self._splits = Splits(self._of(REALTIME), self.client, limits, settings.margin) if limits is not None else None

    @property
    def queries(self) -> tuple[Query, ...]:
        return tuple(target.query for target in self._targets)

    async def look(self, query: Query, covered: int | None, purse: Purse) -> Answer:
        """See `model.Source`. Raises `ProviderError`; `KeyError` for a foreign query."""
        answer = await self._lookers[query.id].look(query, covered, purse)
        self._headcount.take(answer)
        return answer

    def splitting(self, series: Series) -> Splitting | None:
        """See `model.Splitter`."""
        return None if self._splits is None else self._splits.splitting(series)

    async def split(self, series: Series, dimension: Dimension, start: int, purse: Purse) -> Split:
        """See `model.Splitter`; only for what `splitting` offers."""
        assert self._splits is not None
        return await self._splits.split(series, dimension, start, purse)

    def grouping(self, project: str, signal: str) -> Grouping:
        """See `groups.GroupReader`."""
        if self._totals is None:
            raise Refused(409, f"plan {self._settings.plan} has no Data Insights: they need Premium or Enterprise")
        return self._totals.grouping(self._project(project).products, signal)

    async def read_groups(self, wish: GroupWish, purse: Purse) -> GroupView:
        """See `groups.GroupReader`; only what `grouping` offers."""
        assert self._totals is not None
        return await self._totals.read(self._project(wish.project).app_id, wish, purse)

    def call_pools(self, project: str) -> tuple[str, ...]:
        """See `calls.CallReader`: those of the samples, whatever the project."""
        own = self._settings
        if pools := calls_pools(own):
            return pools
        limits = own.inspector_limits()
        if limits is None:
            raise Refused(409, f"plan {own.plan} of {own.name} has no Call Inspector: Agora offers it from Standard on")
        remedy = "raise quotas.call_inspector.per_day" if own.call_inspector is None else "lower requests_per_day"
        what = (
            f"Call Inspector of {own.name} allows {limits.per_day} requests a day, no more than are planned: {remedy}"
        )
        raise Refused(409, what)

    async def read_call(self, wish: CallWish, purse: Purse) -> CallView | None:
        """See `calls.CallReader`; only where `call_pools` names some."""
        limits = self._settings.inspector_limits()
        assert limits is not None
        views = CallViews(account=self._settings, limits=limits, client=self.inspector, edge=self._edge)
        return await views.read(self._project(wish.project).app_id, wish, purse)

    async def aclose(self) -> None:
        await self._exchange.aclose()

    def _looking(self) -> Iterator[tuple[str, Looker]]:
        """Each query, and who looks for it."""
        own = self._settings
        if (limits := own.limits()) is not None:
            realtime = Realtime(
                account=own.name,
                targets=self._of(REALTIME),
                window=window(limits),
                client=self.client,
                clock=self._clock,
                vendor_time=self._vendor_time,
            )
            yield from ((target.query.id, realtime) for target in self._of(REALTIME))
        if (calls := own.call_limits()) is not None and own.call_inspector is not None:
            for target in self._of(SAMPLES):
                yield (
                    target.query.id,
                    CallSample(
                        query=target.query,
                        app_id=target.project.app_id,
                        settings=own.call_inspector,
                        limits=calls,
                        client=self.inspector,
                        headcount=self._headcount,
                        edge=self._edge,
                        clock=self._clock,
                    ),
                )
        if (days := own.insight_limits()) is not None:
            hourly = Hourly(
                targets=self._past,
                limits=days,
                client=self.insights,
                vendor_time=self._vendor_time,
                clock=self._clock,
            )
            yield from ((target.query.id, hourly) for target in self._past)
            for target in self._of(DAYS):
                yield (
                    target.query.id,
                    Daily(
                        app_id=target.project.app_id,
                        limits=days,
                        client=self.insights,
                        vendor_time=self._vendor_time,
                        clock=self._clock,
                    ),
                )

    def _project(self, name: str) -> Project:
        return next(project for project in self._settings.projects if project.name == name)

    def _of(self, family: str) -> tuple[Target, ...]:
        return tuple(target for target in self._targets if target.query.family == family)


def _ports(source: AgoraSource) -> tuple[Source, Splitter, CallReader, GroupReader]:
    """That an `AgoraSource` is all of these is for the type checker to say."""
    return source, source, source, source
