"""What webhooks and REST tell about now: who is connected, and how connections end (dossier sections 6, 7.1).

Webhooks come late, twice, in any order, or not at all, so an event only ever adds a fact: this connection exists, that
one has ended, for that reason. A connection that has ended stays ended, whenever its beginning arrives. Each ending
counts once, in the minute it happened: network disconnects over all disconnects is `disconnect_ratio`.

REST is the correction: of a session that is named, or was not heard of for a while, the connection list is the truth.
404 is *idle*: nobody was ever there, or not for long. 408 is a bad id, and no timeout. Where the list of connections is
not offered, the list of streams says at least that somebody is there.

Bounded by `MAX_SESSIONS`, `MAX_CONNECTIONS` and `MAX_ENDED`, oldest first; what that cost is counted.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import jwt
import msgspec
import numpy as np
from jwt.types import Options

from watcher.clock import DAY, HOUR, MINUTE, Clock
from watcher.log import get
from watcher.model import Answer, Points, Purse, Query, Span
from watcher.providers.provider import Heard
from watcher.providers.vendortime import VendorTime
from watcher.providers.vonage.client import Client, OutOfBudget, Talk
from watcher.providers.vonage.queries import LIVE_DELAY, LIVE_WIDTH
from watcher.providers.vonage.settings import Hooks, Project
from watcher.providers.vonage.wire import Oddity, Tally

MAX_SESSIONS = 20_000
MAX_CONNECTIONS = 5_000  # of one session
MAX_ENDED = 50_000  # endings remembered, so that each counts once
MAX_BODY = 64 * 1024
STALE = 5 * MINUTE  # a session not heard of for so long is asked about
RECONCILED = 10  # sessions asked about per look
KEPT = HOUR  # of endings per minute
_FORGET = 6 * HOUR  # a session nobody spoke of

_BY_OUR_CLOCK = Options(verify_exp=False, verify_iat=False, verify_nbf=False, verify_aud=False)
_EVENTS = frozenset(
    {
        "sessionCreated",
        "sessionDestroyed",
        "connectionCreated",
        "connectionDestroyed",
        "streamCreated",
        "streamDestroyed",
    }
)


@dataclass(slots=True)
class _Room:
    """One session. `connected` None: REST says that somebody is there, not who."""

    began: float
    heard: float
    connected: OrderedDict[str, None] = field(default_factory=OrderedDict)
    streaming: bool = False
    ended: float | None = None
    checked: float = 0.0

    @property
    def live(self) -> bool:
        return bool(self.connected) or self.streaming


class _Object(msgspec.Struct, rename="camel"):
    id: str | None = None
    created_at: float | None = None
    connection: Any = None


class _Event(msgspec.Struct, rename="camel"):
    event: str
    session_id: str
    project_id: str | int | None = None
    timestamp: float | None = None
    reason: str | None = None
    connection: _Object | None = None
    stream: _Object | None = None


class _Connection(msgspec.Struct, rename="camel"):
    connection_id: str | None = None
    connection_state: str | None = None


class _Connections(msgspec.Struct):
    count: int | None = None
    items: list[_Connection] | None = None


class Live:
    """One project's presence."""

    def __init__(self, *, project: Project, client: Client, vendor_time: VendorTime, clock: Clock) -> None:
        self.dropped = 0  # what the bounds cost
        self.events = 0
        self._project = project
        self._hooks = project.hooks
        self._client = client
        self._vendor_time = vendor_time
        self._clock = clock
        self._rooms: OrderedDict[str, _Room] = OrderedDict()
        self._ended: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._endings: dict[int, list[int]] = {}  # by minute: by the network, all
        self._lists_connections = True
        self._log = get("vonage").bind(project=project.name)

    # ── webhooks ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def hear(self, token: str, authorization: str | None, body: bytes) -> Heard | None:
        """Take a post in; None where the token is another project's."""
        hooks = self._hooks
        if hooks is None or not hmac.compare_digest(hooks.token.reveal().encode(), token.encode()):
            return None
        if len(body) > MAX_BODY:
            return Heard.MALFORMED
        if hooks.signature is not None and not self._signed(hooks, authorization, body):
            return Heard.FORGED
        try:
            event = msgspec.json.decode(body, type=_Event, strict=False)
        except (msgspec.DecodeError, RecursionError):
            return Heard.MALFORMED
        if not 3 <= len(event.session_id) <= 255 or event.event not in _EVENTS:
            return Heard.IGNORED
        if event.project_id is not None and str(event.project_id) != self._project.id:
            return Heard.IGNORED
        self.events += 1
        self._take(event)
        return Heard.TAKEN

    def _signed(self, hooks: Hooks, authorization: str | None, body: bytes) -> bool:
        """A JWT by the secret that holds the body's hash, not older than the vendor goes on retrying."""
        assert hooks.signature is not None
        kind, _, token = (authorization or "").partition(" ")
        if kind.lower() != "bearer":
            return False
        try:
            claims = jwt.decode(token, hooks.signature.reveal(), algorithms=["HS256"], options=_BY_OUR_CLOCK)
        except jwt.InvalidTokenError:
            return False
        issued, digest = claims.get("iat"), claims.get("payload_hash")
        if not isinstance(issued, int | float) or abs(issued - self._clock.now()) > DAY:
            return False
        expected = hashlib.sha256(body).hexdigest()
        return isinstance(digest, str) and hmac.compare_digest(digest.lower().encode(), expected.encode())

    def _take(self, event: _Event) -> None:
        now = self._clock.now()
        at = now if event.timestamp is None else min(event.timestamp / 1000, now)
        room = self._room(event.session_id, now, began=at)
        room.heard = now
        room.began = min(room.began, at)
        connection = event.connection
        match event.event:
            case "sessionCreated":
                room.ended = None if room.ended is None or room.ended < at else room.ended
            case "sessionDestroyed":
                room.connected.clear()
                room.streaming = False
                room.ended = max(at, room.ended or 0.0)
            case "connectionCreated" if connection is not None and connection.id:
                self._arrived(event.session_id, room, connection.id)
            case "connectionDestroyed" if connection is not None and connection.id:
                self._left(event.session_id, room, connection.id, event.reason, at)

    def _arrived(self, session_id: str, room: _Room, connection: str) -> None:
        if (session_id, connection) in self._ended:
            return
        room.connected[connection] = None
        room.ended = None
        if len(room.connected) > MAX_CONNECTIONS:
            room.connected.popitem(last=False)
            self.dropped += 1

    def _left(self, session_id: str, room: _Room, connection: str, reason: str | None, at: float) -> None:
        key = (session_id, connection)
        if key in self._ended:
            return
        self._ended[key] = None
        if len(self._ended) > MAX_ENDED:
            self._ended.popitem(last=False)
            self.dropped += 1
        room.connected.pop(connection, None)
        if not room.live:
            room.ended = max(at, room.ended or 0.0)
        if at >= self._clock.now() - KEPT:
            counted = self._endings.setdefault(int(at // LIVE_WIDTH) * LIVE_WIDTH, [0, 0])
            counted[0] += reason == "networkDisconnected"
            counted[1] += 1

    def _room(self, session_id: str, now: float, *, began: float) -> _Room:
        room = self._rooms.get(session_id)
        if room is None:
            room = self._rooms[session_id] = _Room(began=began, heard=now)
            if len(self._rooms) > MAX_SESSIONS:
                self._rooms.popitem(last=False)
                self.dropped += 1
        return room

    # ── what others ask ──────────────────────────────────────────────────────────────────────────────────────────────

    def sessions(self, now: float, *, linger: float) -> Iterator[tuple[str, float, float | None]]:
        """Sessions that are live, or were until a while ago, with when they began and, if so, ended."""
        for session_id, room in self._rooms.items():
            if room.live:
                yield session_id, room.began, None
            elif room.ended is not None and room.ended >= now - linger:
                yield session_id, room.began, room.ended

    def connected(self, session_id: str) -> bool:
        """Whether somebody is in this session, as far as webhooks or REST say."""
        room = self._rooms.get(session_id)
        return room is not None and room.live

    def anybody(self, now: float) -> bool:
        """Whether somebody is in any session for long enough that statistics should exist."""
        return any(room.live and room.began < now - 10 * MINUTE for room in self._rooms.values())

    # ── a look ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def look(self, query: Query, covered: int | None, purse: Purse) -> Answer:
        """Ask REST about some sessions, and tell what the webhooks said (port `model.Source.look`)."""
        tally: Tally = Tally()
        talk = self._client.talk(purse, tally)
        now = self._clock.now()
        try:
            for session_id in self._doubtful(now):
                await self._check(talk, session_id)
        except OutOfBudget:
            tally[Oddity.UNREAD] += 1
        if not talk.requests:
            await talk.give_back()
        return self._answer(query, covered, tally)

    def _doubtful(self, now: float) -> list[str]:
        """Sessions whose presence is to be asked: the named ones, then those not heard of for longest."""
        named = list(self._project.channels.values())
        stale = sorted(
            (max(room.heard, room.checked), session_id)
            for session_id, room in self._rooms.items()
            if room.live and session_id not in named and max(room.heard, room.checked) < now - STALE
        )
        silent = [
            session_id
            for session_id, room in self._rooms.items()
            if not room.live and room.heard < now - _FORGET and session_id not in named
        ]
        for session_id in silent:
            del self._rooms[session_id]
        named.sort(key=lambda i: self._rooms[i].checked if i in self._rooms else 0.0)
        return [*named, *(session_id for _, session_id in stale)][:RECONCILED]

    async def _check(self, talk: Talk, session_id: str) -> None:
        """The truth about one session. 404: idle."""
        now = self._clock.now()
        called = await talk.rest(session_id, "connection" if self._lists_connections else "stream")
        room = self._room(session_id, now, began=now)
        room.checked = now
        if called.status == 408:
            talk.tally[Oddity.UNKNOWN_SESSION] += 1
            return
        if called.status == 404:
            if self._lists_connections and room.live:
                await self._check_streams(talk, session_id, room)
            else:
                self._nobody(room, now)
            return
        try:
            listed = msgspec.convert(called.body, _Connections, strict=False)
        except msgspec.ValidationError:
            talk.tally[Oddity.MISTYPED] += 1
            return
        if not self._lists_connections:
            self._streams(room, bool(listed.items or listed.count), now)
            return
        present = [
            item.connection_id
            for item in (listed.items or [])[:MAX_CONNECTIONS]
            if item.connection_id and item.connection_state in (None, "Connected", "Connecting")
        ]
        room.connected = OrderedDict.fromkeys(i for i in present if (session_id, i) not in self._ended)
        room.streaming = False
        if room.connected:
            room.ended = None
        else:
            self._nobody(room, now)

    async def _check_streams(self, talk: Talk, session_id: str, room: _Room) -> None:
        """A session that webhooks call live and the connection list does not know: is that list offered at all?"""
        called = await talk.rest(session_id, "stream")
        now = self._clock.now()
        if called.status == 200:
            self._lists_connections = False
            self._log.warning("connection_list_not_offered")
            body = called.body if isinstance(called.body, dict) else {}
            self._streams(room, bool(body.get("items") or body.get("count")), now)
        else:
            self._nobody(room, now)

    def _streams(self, room: _Room, present: bool, now: float) -> None:
        room.connected.clear()
        room.streaming = present
        if not present:
            self._nobody(room, now)

    @staticmethod
    def _nobody(room: _Room, now: float) -> None:
        room.connected.clear()
        room.streaming = False
        room.ended = room.ended if room.ended is not None else now

    def _answer(self, query: Query, covered: int | None, tally: Tally) -> Answer:
        now = self._vendor_time.earliest()
        end = int((now - LIVE_DELAY) // LIVE_WIDTH) * LIVE_WIDTH
        low = int((self._clock.now() - KEPT) // LIVE_WIDTH) * LIVE_WIDTH
        self._endings = {start: counted for start, counted in self._endings.items() if start >= low}
        begin = min(end, max(low, end - 10 * LIVE_WIDTH if covered is None else covered - 10 * LIVE_WIDTH))
        starts = sorted(start for start in self._endings if begin <= start < end)
        points: tuple[Points, ...] = ()
        if query.series and starts:
            totals = np.array([self._endings[start][1] for start in starts], np.float64)
            by_network = np.array([self._endings[start][0] for start in starts], np.float64)
            points = (
                Points(
                    series=query.series[0],
                    width=LIVE_WIDTH,
                    start=np.array(starts, np.int64),
                    value=by_network / totals,
                    weight=totals,
                ),
            )
        return Answer(
            query=query,
            asked=Span(begin, end),
            settled=end - LIVE_WIDTH,
            points=points,
            received_at=self._clock.now(),
            oddities={str(oddity): count for oddity, count in tally.items() if count},
        )
