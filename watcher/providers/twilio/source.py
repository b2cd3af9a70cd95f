"""A Twilio account as the rest of the program sees it (port `model.Source`): each query goes to its project's watch.

After a restart a source is told again which minutes are on record, a bit for each, so that one which an amendment
emptied meanwhile can be taken back. That holds for the same rooms only: with another credential, or another choice of
rooms, a minute without anybody means something else.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Set
from dataclasses import replace
from typing import Annotated

import httpx
import msgspec

from watcher.calls import CallReader, CallView, CallWish
from watcher.clock import Clock
from watcher.model import Answer, Purse, Query, Source
from watcher.providers import http
from watcher.providers.twilio.callview import read_call
from watcher.providers.twilio.client import LONGEST, Client
from watcher.providers.twilio.queries import WIDTH, pool_of, queries, query_id
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
        on_record=_read(learned),
        connections=http.open_client(transport=transport),
    )


_Start = Annotated[int, msgspec.Meta(multiple_of=WIDTH)]
_Bits = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{1,4096}$")]
Marks = Mapping[str, tuple[int, str]]  # rooms -> the first minute, and in hexadecimal a bit for it and each after it


class TwilioSource:
    """All projects of an account. Looks of an account follow each other."""

    def __init__(
        self,
        *,
        settings: TwilioAccount,
        needed: Set[str],
        clock: Clock,
        vendor_time: VendorTime,
        on_record: Marks,
        connections: httpx.AsyncClient,
    ) -> None:
        self._settings = settings
        self._vendor_time = vendor_time
        self._connections = connections
        self._queries = queries(settings, needed)
        self._rooms = {q.id: _rooms(q, p) for p, q in zip(settings.projects, self._queries, strict=True)}
        self._on_record = {rooms: on_record[rooms] for rooms in self._rooms.values() if rooms in on_record}
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
                on_record=_minutes(on_record.get(self._rooms[query.id])),
            )
            for project, query in zip(settings.projects, self._queries, strict=True)
        }

    @property
    def queries(self) -> tuple[Query, ...]:
        return self._queries

    async def look(self, query: Query, covered: int | None, purse: Purse) -> Answer:
        """See `model.Source`."""
        watch = self.watches[query.id]
        answer = await watch.look(query, covered, purse)
        marks, rooms = _marks(watch.stays.told), self._rooms[query.id]
        if marks == self._on_record.get(rooms):
            return answer
        self._on_record[rooms] = marks
        return replace(answer, learned=msgspec.json.encode(self._on_record).decode())

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


def _rooms(query: Query, project: Project) -> str:
    """Which rooms a query is about: those that a credential shows, as far as they are chosen."""
    user, _ = project.credential()
    chosen = msgspec.json.encode([user, project.only.parameters()], order="sorted")
    return f"{query.id} {hashlib.sha256(chosen).hexdigest()[:16]}"


def _marks(minutes: Set[int]) -> tuple[int, str]:
    first = min(minutes, default=0)
    return first, f"{sum(1 << (start - first) // WIDTH for start in minutes):x}"


def _minutes(marks: tuple[int, str] | None) -> frozenset[int]:
    first, bits = (0, 0) if marks is None else (marks[0], int(marks[1], 16))
    return frozenset(first + i * WIDTH for i in range(bits.bit_length()) if bits >> i & 1)


def _read(note: str | None) -> Marks:
    """Nothing where it is not readable: a foreign note must not stop the daemon."""
    try:
        return msgspec.json.decode(note or "{}", type=dict[str, tuple[_Start, _Bits]])
    except msgspec.DecodeError:
        return {}


def _ports(source: TwilioSource) -> tuple[Source, CallReader]:
    """That a `TwilioSource` is both is for the type checker to say."""
    return source, source
