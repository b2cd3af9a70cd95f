"""Session monitoring: which events are posted, in what shape, how often, and what happens when nobody answers."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from itertools import pairwise
from typing import Any

import anyio
import httpx
import jwt
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.conftest import EPOCH
from tests.emulator.vonage.helpers import APPLICATION, KEY, application, plain, project, scenario, session
from watcher.clock import VirtualClock
from watcher.emulator.vonage.server import Emulator, build_vonage

URL = "http://hooks.example.com/hooks/vonage/token"
SIGNATURE = "0123456789abcdef0123456789abcdef"
FOUR = session(meetings=[{"start": "+5m", "duration": "20m", "participants": 4}])


class Sink:
    """Somebody's webhook: keeps what is posted, and answers with `statuses` in turn, then 200.

    `enough` is set with so many events taken.
    """

    def __init__(self, *statuses: int, enough: int = 0) -> None:
        self.enough = anyio.Event()
        self._enough = enough
        self._statuses = list(statuses)
        self.events: list[dict[str, Any]] = []
        self.raw: list[tuple[bytes, str]] = []
        self.arrived: list[float] = []
        self.clock: VirtualClock | None = None
        self.app = Starlette(routes=[Route("/hooks/vonage/token", self._take, methods=["POST"])])

    async def _take(self, request: Request) -> Response:
        body = await request.body()
        assert request.headers["content-type"] == "application/json"
        self.raw.append((body, request.headers.get("authorization", "")))
        if self.clock is not None:
            self.arrived.append(self.clock.now())
        status = self._statuses.pop(0) if self._statuses else 200
        if status == 200:
            self.events.append(json.loads(body))
            if len(self.events) == self._enough:
                self.enough.set()
        return Response(status_code=status)


async def play(sink: Sink, seconds: float, data: dict[str, Any], *, start: float = EPOCH) -> Emulator:
    """Run the webhooks of a scenario for some time."""
    clock = VirtualClock(epoch=start, jumping=True)
    sink.clock = clock
    emulator = build_vonage(scenario(data), clock)
    async with anyio.create_task_group() as tasks:

        async def run() -> None:
            await emulator.run(transport=httpx.ASGITransport(app=sink.app))

        tasks.start_soon(run)
        await clock.sleep_until(start + seconds)
        tasks.cancel_scope.cancel()
    return emulator


def hooks(**changes: Any) -> dict[str, Any]:
    """A project with a session of four people and webhooks."""
    return plain(projects=[project(sessions=[dict(FOUR)], webhooks={"url": URL, **changes})])


def tally(emulator: Emulator, name: str = "classroom") -> dict[str, Any]:
    """The emulator's own counts."""
    report: Any = emulator.report()["webhooks"]
    found: dict[str, Any] = report[name]
    return found


def identity(event: dict[str, Any]) -> tuple[str, str]:
    """Event and object: what makes two posts the same."""
    return event["event"], (event.get("connection") or event.get("stream") or {}).get("id", "")


async def test_the_life_of_a_session() -> None:
    """Created with the first client, gone ten minutes after the last; every connection and stream in between."""
    sink = Sink()
    emulator = await play(sink, 40 * 60, hooks())
    kinds = Counter(event["event"] for event in sink.events)
    assert kinds == {
        "sessionCreated": 1, "connectionCreated": 4, "streamCreated": 4,
        "streamDestroyed": 4, "connectionDestroyed": 4, "sessionDestroyed": 1,
    }  # fmt: skip
    assert {(event["sessionId"], event["projectId"]) for event in sink.events} == {
        (emulator.session_id("classroom", "board"), KEY)
    }
    at = {event["event"]: event["timestamp"] for event in sink.events}
    assert at["sessionDestroyed"] == round((EPOCH + 35 * 60) * 1000)
    assert tally(emulator) == {
        "events": 18, "lost": 0, "duplicates": 0, "posts": 18, "delivered": 18, "retries": 0, "failed": 0,
        "dropped": 0, "withheld": 0, "switched_off": False,
    }  # fmt: skip


async def test_the_documented_bodies() -> None:
    """Fields and types as in the vendor's two examples; ids as in the APIs."""
    sink = Sink()
    await play(sink, 40 * 60, hooks())
    gone = next(event for event in sink.events if event["event"] == "connectionDestroyed")
    assert set(gone) == {"sessionId", "projectId", "event", "reason", "timestamp", "connection"}
    assert set(gone["connection"]) == {"id", "createdAt", "data"}
    assert gone["reason"] in ("clientDisconnected", "forceDisconnected", "networkDisconnected")
    assert isinstance(gone["timestamp"], int)
    assert isinstance(gone["projectId"], str)
    came = next(event for event in sink.events if event["event"] == "streamCreated")
    assert set(came) == {"sessionId", "projectId", "event", "timestamp", "stream"}
    assert set(came["stream"]) == {"id", "connection", "createdAt", "name", "videoType"}
    assert came["timestamp"] == came["stream"]["createdAt"]
    connections = {event["connection"]["id"] for event in sink.events if event["event"] == "connectionCreated"}
    assert came["stream"]["connection"]["id"] in connections


async def test_events_overtake_each_other() -> None:
    """Within the longest way; each arrives after it has happened and no later than that."""
    sink = Sink()
    crowd = session(meetings=[{"start": "+5m", "duration": "20m", "participants": 60}])
    data = plain(projects=[project(sessions=[crowd], webhooks={"url": URL, "delay": "20s"})])
    await play(sink, 40 * 60, data)
    stamps = [event["timestamp"] for event in sink.events]
    assert stamps != sorted(stamps)
    for event, arrived in zip(sink.events, sink.arrived, strict=True):
        assert 0 <= arrived - event["timestamp"] / 1000 <= 20.5


async def test_duplicates_and_losses() -> None:
    """Shares of the events, counted; a duplicate is the same to the byte."""
    sink = Sink()
    crowd = session(meetings=[{"start": "+5m", "duration": "20m", "participants": 200}])
    data = plain(projects=[project(sessions=[crowd], webhooks={"url": URL, "duplicates": "30%", "lost": "20%"})])
    emulator = await play(sink, 45 * 60, data)
    counts = tally(emulator)
    assert counts["events"] == 2 + 4 * 200
    assert 0.14 < counts["lost"] / counts["events"] < 0.26
    assert 0.2 < counts["duplicates"] / (counts["events"] - counts["lost"]) < 0.4
    seen = Counter(body for body, _ in sink.raw)
    assert set(seen.values()) == {1, 2}
    assert len(seen) == counts["events"] - counts["lost"]
    assert sum(seen.values()) == counts["posts"] == counts["delivered"]


async def test_a_refused_post_is_tried_again() -> None:
    """After a wait that doubles, so many times, then it is given up and counted."""
    sink = Sink(500, 503, 302)
    data = hooks(delay="0s", retry={"attempts": 3, "backoff": "10s"})
    data["projects"][0]["sessions"] = [session(meetings=[{"start": "+5m", "duration": "10m", "participants": 1}])]
    emulator = await play(sink, 29 * 60, data)
    counts = tally(emulator)
    assert counts["retries"] == 3
    assert counts["failed"] == 0
    assert counts["delivered"] == counts["events"] == 6
    assert sorted(set(map(identity, sink.events))) == sorted(map(identity, sink.events))
    never = Sink(*[500] * 100)
    emulator = await play(never, 29 * 60, data)
    counts = tally(emulator)
    assert (counts["posts"], counts["retries"], counts["failed"], counts["delivered"]) == (18, 12, 6, 0)
    first = [at for (body, _), at in zip(never.raw, never.arrived, strict=True) if body == never.raw[0][0]]
    assert [round(after - before) for before, after in pairwise(first)] == [10, 20]


async def test_nobody_listens() -> None:
    """A connection that fails counts as a failed attempt."""

    async def refuse(scope: Any, receive: Any, send: Any) -> None:
        raise httpx.ConnectError("refused")

    clock = VirtualClock(epoch=EPOCH, jumping=True)
    emulator = build_vonage(scenario(hooks(retry={"attempts": 2, "backoff": "1s"})), clock)
    async with anyio.create_task_group() as tasks:

        async def run() -> None:
            await emulator.run(transport=httpx.ASGITransport(app=refuse))

        tasks.start_soon(run)
        await clock.sleep_until(EPOCH + 45 * 60)
        tasks.cancel_scope.cancel()
    assert tally(emulator)["failed"] == 18


async def test_forwarding_ends_after_too_many_failures() -> None:
    """More than 50 in half an hour, by the older text: nothing more is posted, and that is counted."""
    crowd = session(meetings=[{"start": "+5m", "duration": "20m", "participants": 40}])
    webhooks = {"url": URL, "gives_up": True, "retry": {"attempts": 1}}
    sink = Sink(*[500] * 1000)
    emulator = await play(sink, 45 * 60, plain(projects=[project(sessions=[crowd], webhooks=webhooks)]))
    counts = tally(emulator)
    assert counts["switched_off"] is True
    assert 51 <= counts["posts"] <= 58  # those under way at that moment end
    assert counts["posts"] + counts["withheld"] == counts["events"]


@pytest.mark.parametrize(
    ("kind", "owner"), [(project, ("api_key", KEY)), (application, ("application_id", APPLICATION))]
)
async def test_signatures(kind: Any, owner: tuple[str, str]) -> None:
    """A token over the hash of the body, with the signature secret; none without one."""
    sink = Sink()
    data = plain(projects=[kind(sessions=[dict(FOUR)], webhooks={"url": URL, "signature": SIGNATURE})])
    await play(sink, 40 * 60, data)
    ids = set()
    for body, authorization in sink.raw:
        token = authorization.removeprefix("Bearer ")
        claims = jwt.decode(token, SIGNATURE, algorithms=["HS256"], options={"verify_iat": False})
        assert claims["payload_hash"] == hashlib.sha256(body).hexdigest()
        assert claims["iss"] == "Vonage"
        assert claims[owner[0]] == owner[1]
        ids.add(claims["jti"])
    assert len(ids) == len(sink.raw) == 18
    plain_sink = Sink()
    await play(plain_sink, 40 * 60, hooks())
    assert {authorization for _, authorization in plain_sink.raw} == {""}


async def test_what_was_live_before_is_not_told() -> None:
    """Whoever starts in the middle hears the end only."""
    sink = Sink()
    await play(sink, 40 * 60, hooks(), start=EPOCH + 10 * 60)
    assert {event["event"] for event in sink.events} == {"streamDestroyed", "connectionDestroyed", "sessionDestroyed"}


async def test_a_return_within_ten_minutes_is_the_same_session() -> None:
    """One sessionCreated and one sessionDestroyed around both meetings; a later return is a new one."""
    for pause, times in (("+12m", 1), ("+40m", 2)):
        sink = Sink()
        meetings = [{"start": "+2m", "duration": "5m"}, {"start": pause, "duration": "5m"}]
        data = plain(projects=[project(sessions=[session(meetings=meetings)], webhooks={"url": URL})])
        await play(sink, 70 * 60, data)
        kinds = Counter(event["event"] for event in sink.events)
        assert (kinds["sessionCreated"], kinds["sessionDestroyed"]) == (times, times)
        assert kinds["connectionCreated"] == 4


async def test_no_webhooks_no_task() -> None:
    """A scenario without them has nothing to run."""
    emulator = build_vonage(scenario(plain()), VirtualClock(epoch=EPOCH, jumping=True))
    await emulator.run()
    assert emulator.report()["webhooks"] == {}


async def test_what_waits_is_bounded() -> None:
    """Against somebody who never answers, posts beyond the bound are dropped and counted, and stopping is quick."""
    hang = anyio.Event()

    async def never(scope: Any, receive: Any, send: Any) -> None:
        await hang.wait()

    clock = VirtualClock(epoch=EPOCH, jumping=True)
    traffic = {"sessions": 150, "participants": 40, "length": "5m", "gap": "1m"}
    data = plain(projects=[project(sessions=[], traffic=traffic, webhooks={"url": URL, "delay": "0s"})])
    emulator = build_vonage(scenario(data), clock)
    async with anyio.create_task_group() as tasks:

        async def run() -> None:
            await emulator.run(transport=httpx.ASGITransport(app=never))

        tasks.start_soon(run)
        await clock.sleep_until(EPOCH + 6 * 60)
        tasks.cancel_scope.cancel()
    counts = tally(emulator)
    assert counts["posts"] <= 8 * (6 * 60 / 5 + 1)  # eight at a time, five seconds of patience each
    assert counts["dropped"] > 1_000
    waiting = counts["events"] + counts["retries"] - counts["posts"] - counts["dropped"]
    assert 19_000 < waiting <= 20_000
