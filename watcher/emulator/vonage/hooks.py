"""Session monitoring: posting events to the URL of a project (dossier, 6.4).

Events are those of the project's sessions from the moment this starts; what was live before is not told, as with the
vendor, so a client has to reconcile by REST. Each takes its own time on the way, so they overtake one another; some
come twice and some never. A post that is not answered with 2xx is tried again after a wait that doubles; with
`gives_up`, more than 50 failures in 30 minutes end it for good (the older of the vendor's two texts).

The signature is a JWT in `Authorization`, HS256 with the signature secret, holding the SHA-256 of the body
(`payload_hash`), as the vendor signs its other webhooks (INFERRED for video).

At most `_WAITING` posts wait and `_AT_ONCE` are under way; what does not fit is dropped and counted.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import anyio
import httpx
import jwt
import msgspec

from watcher.clock import Clock, real_deadline
from watcher.emulator.dice import bits, unit, uuid
from watcher.emulator.vonage.life import Connection, Crew, Lives, Publisher
from watcher.emulator.vonage.sessions import Meeting, Session, Sessions
from watcher.emulator.vonage.world import MEETING_GAP, Hooks, Project

_AHEAD = 30.0  # seconds of events worked out at a time
_WAITING = 20_000
_AT_ONCE = 8
_PATIENCE = 5.0  # real seconds until a post counts as failed
_FAILURES, _IN = 50, 1800.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened in a session. `key` belongs to it alone."""

    at: float
    key: int
    body: dict[str, Any]


@dataclass(order=True, slots=True)
class _Post:
    """One way to the client. `attempt` counts from 1."""

    due: float
    number: int
    body: bytes = field(compare=False)
    attempt: int = field(compare=False, default=1)


@dataclass(slots=True)
class Tally:
    """What became of a project's events. `events` happened; `posts` are requests made."""

    events: int = 0
    lost: int = 0
    duplicates: int = 0
    posts: int = 0
    delivered: int = 0
    retries: int = 0
    failed: int = 0
    dropped: int = 0
    withheld: int = 0
    switched_off: bool = False

    def report(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in self.__slots__}


def events(session: Session, crew: Crew, start: float, end: float) -> Iterator[Event]:
    """What happens in one meeting in [start, end), as the bodies that are posted, in no order."""
    base = {"sessionId": session.session_id, "projectId": session.project.id}

    def event(at: float, key: int, body: dict[str, Any]) -> Event:
        return Event(at=at, key=key, body={**base, **body, "timestamp": round(at * 1000)})

    meeting = crew.meeting
    first, last = _borders(session, meeting)
    if first and start <= meeting.start < end:
        yield event(meeting.start, bits(meeting.key, 1), {"event": "sessionCreated"})
    if last and start <= meeting.over < end:
        yield event(meeting.over, bits(meeting.key, 2), {"event": "sessionDestroyed"})
    if meeting.end < start:
        return  # everybody left before; a session ends later than its last connection
    for connection in crew.connections:
        if start <= connection.start < end:
            body: dict[str, Any] = {"event": "connectionCreated", "connection": _connection(connection)}
            yield event(connection.start, bits(connection.key, 1), body)
        if start <= connection.end < end:
            body = {"event": "connectionDestroyed", "reason": connection.reason, "connection": _connection(connection)}
            yield event(connection.end, bits(connection.key, 2), body)
    for publisher in crew.publishers:
        if start <= publisher.start < end:
            yield event(
                publisher.start, bits(publisher.key, 31), {"event": "streamCreated", "stream": _stream(publisher)}
            )
        if start <= publisher.end < end:
            body = {"event": "streamDestroyed", "reason": publisher.reason, "stream": _stream(publisher)}
            yield event(publisher.end, bits(publisher.key, 32), body)


def _borders(session: Session, meeting: Meeting) -> tuple[bool, bool]:
    """Whether a session is created with that meeting, and destroyed after it: not at a return within ten minutes."""
    ids = [other.meeting_id for other in session.meetings]
    index = session.meetings.index(meeting)
    return ids[:index][-1:] != [meeting.meeting_id], ids[index + 1 :][:1] != [meeting.meeting_id]


def _connection(connection: Connection) -> dict[str, Any]:
    return {"id": connection.id, "createdAt": round(connection.start * 1000), "data": ""}


def _stream(publisher: Publisher) -> dict[str, Any]:
    return {
        "id": publisher.id,
        "connection": _connection(publisher.connection),
        "createdAt": round(publisher.start * 1000),
        "name": "",
        **({} if publisher.audio_only else {"videoType": "camera"}),
    }


class Poster:
    """Posts one project's events."""

    def __init__(self, *, project: Project, hooks: Hooks, sessions: Sessions, lives: Lives, clock: Clock) -> None:
        self._project = project
        self._hooks = hooks
        self._sessions = sessions
        self._lives = lives
        self._clock = clock
        self._waiting: list[_Post] = []
        self._made = 0
        self._busy = 0
        self._failures: deque[float] = deque(maxlen=_FAILURES + 1)
        self._wake = anyio.Event()
        self.tally = Tally()

    async def run(self, client: httpx.AsyncClient) -> None:
        """Post until cancelled."""
        known = self._clock.now()
        async with anyio.create_task_group() as tasks:
            while True:
                now = self._clock.now()
                first = self._waiting[0].due if self._waiting and self._busy < _AT_ONCE else known
                if now >= known:
                    self._take(known, known + _AHEAD)
                    known += _AHEAD
                elif first <= now:
                    self._busy += 1
                    tasks.start_soon(self._send, client, heapq.heappop(self._waiting))
                else:
                    await self._sleep(min(known, first))

    async def _sleep(self, until: float) -> None:
        """Until then, or until a post has come to its end."""
        self._wake = anyio.Event()
        async with anyio.create_task_group() as tasks:

            async def timer() -> None:
                await self._clock.sleep_until(until)
                tasks.cancel_scope.cancel()

            async def woken() -> None:
                await self._wake.wait()
                tasks.cancel_scope.cancel()

            tasks.start_soon(timer)
            tasks.start_soon(woken)

    # ── what to post ─────────────────────────────────────────────────────────────────────────────────────────────

    def _take(self, start: float, end: float) -> None:
        hooks, key = self._hooks, self._project.key
        for session in self._sessions.within(start - MEETING_GAP - 1, end):
            for meeting in session.meetings:
                if meeting.start < end and meeting.over >= start:
                    for event in events(session, self._lives.crew(session, meeting), start, end):
                        self.tally.events += 1
                        if unit(event.key ^ key, 1) < hooks.lost:
                            self.tally.lost += 1
                            continue
                        body = msgspec.json.encode(event.body)
                        self._push(event.at + hooks.delay * unit(event.key, 2), body)
                        if unit(event.key ^ key, 3) < hooks.duplicates:
                            self.tally.duplicates += 1
                            self._push(event.at + hooks.delay * (1 + unit(event.key, 4)), body)

    def _push(self, due: float, body: bytes, attempt: int = 1) -> None:
        if self.tally.switched_off:
            self.tally.withheld += 1
        elif len(self._waiting) >= _WAITING:
            self.tally.dropped += 1
        else:
            self._made += 1
            heapq.heappush(self._waiting, _Post(due, self._made, body, attempt))

    # ── posting ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def _send(self, client: httpx.AsyncClient, post: _Post) -> None:
        self.tally.posts += 1
        good = False
        with real_deadline(_PATIENCE):
            try:
                response = await client.post(self._hooks.url, content=post.body, headers=self._headers(post.body))
                good = response.is_success
            except httpx.HTTPError:
                pass  # counted below, as any other failure
        self._busy -= 1
        if good:
            self.tally.delivered += 1
        else:
            self._failed(post)
        self._wake.set()

    def _failed(self, post: _Post) -> None:
        now = self._clock.now()
        self._failures.append(now)
        if self._hooks.gives_up and len(self._failures) > _FAILURES and now - self._failures[0] < _IN:
            self.tally.switched_off = True
            self.tally.withheld += len(self._waiting)
            self._waiting.clear()
        if post.attempt >= self._hooks.attempts:
            self.tally.failed += 1
            return
        self.tally.retries += 1
        self._push(now + self._hooks.backoff * 2 ** (post.attempt - 1), post.body, post.attempt + 1)

    def _headers(self, body: bytes) -> dict[str, str]:
        headers = {"content-type": "application/json"}
        if self._hooks.signature is not None:
            self._made += 1
            owner = "api_key" if self._project.kind == "legacy" else "application_id"
            claims = {
                "iss": "Vonage",
                "iat": int(self._clock.now()),
                "jti": uuid(bits(self._project.key, self._made)),
                "payload_hash": hashlib.sha256(body).hexdigest(),
                owner: self._project.id,
            }
            token = jwt.encode(claims, self._hooks.signature.reveal(), algorithm="HS256")
            headers["authorization"] = f"Bearer {token}"
        return headers
