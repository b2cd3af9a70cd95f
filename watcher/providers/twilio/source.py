"""A Twilio account as the rest of the program sees it (port `model.Source`): each query goes to its project's watch.

After a restart each watch is told what is on record of its project, as the store has it, so that somebody who was
amended into another minute meanwhile can be taken back. That holds for the same rooms only: with another credential, or
another choice of rooms, a minute without anybody means something else. So it is noted since when a project's record is
of which rooms, which is written when that changes and at no other time: with every answer until one was followed on
from, as one that was thrown away has noted nothing.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Set
from dataclasses import replace

import httpx
import msgspec

from watcher.calls import CallReader, CallView, CallWish
from watcher.clock import Clock
from watcher.model import Answer, PointsOf, Purse, Query, Rereader, Source
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
    """The source of an account that `check` accepts. Raises `SecretMissing`."""
    for project in settings.projects:
        project.credential()[1].resolve()
    return TwilioSource(
        settings=settings,
        needed=needed,
        clock=clock,
        vendor_time=VendorTime(clock=clock, offset=offset),
        known=_read(learned),
        connections=http.open_client(transport=transport),
    )


Known = Mapping[str, tuple[str, int]]  # query -> which rooms, and the minute from which on its record is of those


class TwilioSource:
    """All projects of an account. Looks of an account follow each other."""

    def __init__(
        self,
        *,
        settings: TwilioAccount,
        needed: Set[str],
        clock: Clock,
        vendor_time: VendorTime,
        known: Known,
        connections: httpx.AsyncClient,
    ) -> None:
        self._settings = settings
        self._vendor_time = vendor_time
        self._connections = connections
        self._queries = queries(settings, needed)
        self._rooms = {q.id: _rooms(p) for p, q in zip(settings.projects, self._queries, strict=True)}
        self._known = {id_: known[id_] for id_ in self._rooms if id_ in known}
        self._offered: set[str] = set()  # queries whose note may not be kept yet
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
        answer = await self.watches[query.id].look(query, covered, purse)
        rooms, since = self._known.get(query.id, ("", 0))
        if (covered or 0) > since:
            self._offered.discard(query.id)
        if rooms == self._rooms[query.id] and query.id not in self._offered:
            return answer
        self._known[query.id] = self._rooms[query.id], covered or 0
        self._offered.add(query.id)
        return replace(answer, learned=msgspec.json.encode(self._known).decode())

    def recall(self, recorded: PointsOf, covered: Mapping[str, int]) -> None:
        """See `model.Rereader`."""
        for query in self._queries:
            rooms, since = self._known.get(query.id, ("", 0))
            if rooms == self._rooms[query.id] and query.id in covered:
                self.watches[query.id].recall(query, recorded, since, covered[query.id])

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


def _rooms(project: Project) -> str:
    """Which rooms a project is about: those that a credential shows, as far as they are chosen."""
    user, _ = project.credential()
    chosen = msgspec.json.encode([user, project.only.parameters()], order="sorted")
    return hashlib.sha256(chosen).hexdigest()[:16]


def _read(note: str | None) -> Known:
    """Nothing where it is not readable: a foreign note must not stop the daemon."""
    try:
        return msgspec.json.decode(note or "{}", type=dict[str, tuple[str, int]])
    except msgspec.DecodeError:
        return {}


def _ports(source: TwilioSource) -> tuple[Source, CallReader, Rereader]:
    """That a `TwilioSource` is all of them is for the type checker to say."""
    return source, source, source
