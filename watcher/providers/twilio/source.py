"""A Twilio account as the rest of the program sees it (port `model.Source`): each query goes to its project's watch."""

from __future__ import annotations

import math
from collections.abc import Set

import httpx

from watcher.calls import CallReader, CallView, CallWish
from watcher.clock import Clock
from watcher.model import Answer, Purse, Query, Source
from watcher.providers import http
from watcher.providers.twilio.callview import read_call
from watcher.providers.twilio.client import LONGEST, Client
from watcher.providers.twilio.queries import pool_of, queries, query_id
from watcher.providers.twilio.settings import Project, TwilioAccount
from watcher.providers.twilio.watch import Watch
from watcher.providers.vendortime import VendorTime


def open_source(
    settings: TwilioAccount,
    needed: Set[str],
    *,
    clock: Clock,
    offset: float = 0.0,
    learned: str | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
) -> TwilioSource:
    """The source of an account that `check` accepts. Nothing is `learned` here. Raises `SecretMissing`."""
    for project in settings.projects:
        project.credential()[1].resolve()
    return TwilioSource(
        settings=settings,
        needed=needed,
        clock=clock,
        vendor_time=VendorTime(clock=clock, offset=offset),
        connections=http.open_client(transport=transport),
    )


class TwilioSource:
    """All projects of an account. Looks of an account follow each other."""

    def __init__(
        self,
        *,
        settings: TwilioAccount,
        needed: Set[str],
        clock: Clock,
        vendor_time: VendorTime,
        connections: httpx.AsyncClient,
    ) -> None:
        self._settings = settings
        self._vendor_time = vendor_time
        self._connections = connections
        self._queries = queries(settings, needed)
        self.watches = {
            query.id: Watch(
                account=settings,
                project=project,
                client=Client(
                    project=project,
                    base_url=settings.base_url,
                    vendor_time=vendor_time,
                    connections=connections,
                    longest=math.inf if clock.virtual else LONGEST,
                ),
                vendor_time=vendor_time,
                clock=clock,
            )
            for project, query in zip(settings.projects, self._queries, strict=True)
        }

    @property
    def queries(self) -> tuple[Query, ...]:
        return self._queries

    async def look(self, query: Query, covered: int | None, purse: Purse) -> Answer:
        """See `model.Source`."""
        return await self.watches[query.id].look(query, covered, purse)

    def call_pools(self, project: str) -> tuple[str, ...]:
        """See `calls.CallReader`."""
        return (pool_of(self._settings, self._project(project)),)

    async def read_call(self, wish: CallWish, purse: Purse) -> CallView | None:
        """See `calls.CallReader`."""
        watch = self.watches[query_id(self._settings, self._project(wish.project))]
        return await read_call(wish, watch.talk(purse), watch.judge, self._vendor_time.earliest())

    def _project(self, name: str) -> Project:
        return next(project for project in self._settings.projects if project.name == name)

    async def aclose(self) -> None:
        await self._connections.aclose()


def _ports(source: TwilioSource) -> tuple[Source, CallReader]:
    """That a `TwilioSource` is both is for the type checker to say."""
    return source, source
