"""Webhook, Alertmanager and heartbeat over real sockets: what is posted, and what each answer means."""

from __future__ import annotations

from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

import anyio
import pytest

from tests.alerts.build import LABELS, T0, commit, settle, transition
from tests.alerts.fakes import FakeStore
from tests.alerts.test_send import fails, free_port, hangs, ok, reply, resets, serving
from tests.conftest import EPOCH
from watcher.alerts import http as targets
from watcher.alerts.http import AlertmanagerSender, HttpPost, WebhookSender, retry_after
from watcher.alerts.outbox import Outbox
from watcher.alerts.route import Timing
from watcher.alerts.settings import DeliverySettings
from watcher.alerts.targets import HeartbeatSettings
from watcher.app.senders import beat
from watcher.app.sight import Sight
from watcher.clock import Clock, VirtualClock, WallClock
from watcher.errors import SendError
from watcher.model import Notification, Sender, State
from watcher.secret import Secret
from watcher.workers import InlineWorkers

TOKEN = "hunter2-secret"
Answer = Callable[[BaseHTTPRequestHandler, int], None]


@pytest.fixture
def anyio_backend() -> str:
    """The event loop of production."""
    return "asyncio"


def post(port: int, *, path: str = "", clock: Clock | None = None) -> HttpPost:
    """Speaks to a port of loopback."""
    url = Secret.of(f"http://127.0.0.1:{port}/hook?token={TOKEN}" if not path else f"http://127.0.0.1:{port}")
    headers = {"x-key": Secret.of(TOKEN)}
    return HttpPost(url=url, headers=headers, clock=clock or WallClock(), path=path)


def note(**more: Any) -> Notification:
    """A message without alerts."""
    fields = {"kind": "firing", "title": "t", "text": "x", "html": "", "created_at": 0.0, **more}
    return Notification(id="n1", target="hook", obligations=(), alerts=(), **fields)


def status(code: int, **headers: str) -> Answer:
    """A server that always says so."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler, number: reply(handler, code, **named)


def box(sender: Sender, clock: Clock, store: FakeStore) -> Outbox:
    """An outbox whose messages carry data."""
    return Outbox(
        target="slack",
        sender=sender,
        store=store,
        workers=InlineWorkers(),
        clock=clock,
        timing=lambda _: Timing(interval=0),
        delivery=DeliverySettings(),
        detailed=True,
    )


@pytest.mark.parametrize(
    ("answer", "detail", "permanent", "wish"),
    [
        (status(429, Retry_After="7"), "HTTP 429", False, 7.0),
        (status(503, Retry_After="not a date"), "HTTP 503", False, None),
        (status(500), "HTTP 500", False, None),
        (status(401), "HTTP 401", False, None),
        (status(302, Location="http://127.0.0.1:1/"), "HTTP 302", False, None),
        (status(400), "HTTP 400", True, None),
        (status(413), "HTTP 413", True, None),
        (resets, "no answer (", False, None),
    ],
)
async def test_each_answer_has_its_meaning(answer: Answer, detail: str, permanent: bool, wish: float | None) -> None:
    """What is final, what the target asks for, and that no error holds the URL or a header."""
    with serving(answer) as sink, pytest.raises(SendError) as caught:
        await WebhookSender(post=post(sink.port)).send(note())
    assert caught.value.detail.startswith(detail)
    assert (caught.value.permanent, caught.value.retry_after) == (permanent, wish)
    assert TOKEN not in repr(caught.value)


async def test_no_answer_in_time_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A target that takes the request and says nothing is left."""
    monkeypatch.setattr(targets, "DEADLINE", 0.5)
    with serving(hangs) as sink, pytest.raises(SendError, match="no answer in time") as caught:
        await WebhookSender(post=post(sink.port)).send(note())
    assert (caught.value.permanent, caught.value.retry_after) == (False, None)
    assert TOKEN not in repr(caught.value)


async def test_nobody_there_is_no_answer() -> None:
    """A refused connection is tried again."""
    with pytest.raises(SendError, match="no answer") as caught:
        await WebhookSender(post=post(free_port())).send(note())
    assert not caught.value.permanent


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None),
        ("120", 120.0),
        (" 0 ", 0.0),
        ("9" * 40, 999_999_999.0),
        ("Thu, 01 Jan 2026 00:01:30 GMT", 90.0),
        ("Thu, 01 Jan 2025 00:01:30 GMT", 0.0),
        ("-5", None),
        ("soon", None),
        ("²", None),
    ],
)
def test_retry_after_is_a_number_or_a_date(text: str | None, seconds: float | None) -> None:
    """On the run clock; nonsense asks for nothing."""
    assert retry_after(text, EPOCH) == seconds


async def test_a_webhook_gets_text_and_data() -> None:
    """Beginning and end in one message: both times, numbers in base units, and the id."""
    store = FakeStore()
    commit(store, transition(State.FIRING, 100, starts_at=20), transition(State.RESOLVED, 500, seq=2, starts_at=20))
    with serving(ok) as sink:
        async with box(WebhookSender(post=post(sink.port)), WallClock(), store).opened() as opened:
            await settle(opened, WallClock())
    (body,) = sink.bodies
    (alert,) = body["alerts"]
    (recorded,) = store.disk.notifications.values()
    assert (body["version"], body["id"], body["kind"], body["reason"]) == (1, recorded.id, "was_firing", "news")
    assert body["text"].startswith("WAS FIRING")
    times = {name: alert[name] for name in ("starts_at", "fired_at", "ended_at")}
    assert times == {
        "starts_at": "2026-01-01T00:00:20Z",
        "fired_at": "2026-01-01T00:01:40Z",
        "ended_at": "2026-01-01T00:08:20Z",
    }
    assert (alert["labels"], alert["value"], alert["peak"], alert["users"]) == (LABELS, 0.093, 0.12, 42.0)


async def test_what_a_webhook_asks_for_is_waited_for() -> None:
    """429 with Retry-After: 2, then 500, then success: the same id each time, not sooner than asked."""

    def answer(handler: BaseHTTPRequestHandler, number: int) -> None:
        (status(429, **{"Retry-After": "600"}) if number == 1 else fails if number == 2 else ok)(handler, number)

    store = FakeStore()
    commit(store, transition(State.FIRING, 100))
    clock = VirtualClock(epoch=EPOCH, rate=600.0)
    with serving(answer) as sink:
        async with box(WebhookSender(post=post(sink.port, clock=clock)), clock, store).opened() as opened:
            await settle(opened, clock, until=EPOCH + 3600)
    assert len({body["id"] for body in sink.bodies}) == 1
    assert len(sink.bodies) == 3
    (message,) = store.disk.notifications.values()
    assert (message.attempts, str(message.delivery)) == (3, "sent")
    assert message.sent_at is not None
    assert message.sent_at >= EPOCH + 600


async def test_an_alertmanager_hears_event_times_and_an_end_that_lies_ahead() -> None:
    """A firing alert is believed for five minutes; its end is the event's; names are made fit."""
    clock = VirtualClock(epoch=EPOCH)
    store = FakeStore()
    labels = {**LABELS, "team-1": "video", "channel": ""}
    commit(store, transition(State.FIRING, 100, starts_at=20, labels=labels, annotations={"summary": "s"}))
    with serving(ok) as sink:
        sender = AlertmanagerSender(post=post(sink.port, path="/api/v2/alerts"), clock=clock)
        async with box(sender, clock, store).opened() as opened:
            await settle(opened, clock)
            await sender.refresh(opened.told)
            commit(store, transition(State.RESOLVED, 500, seq=2, starts_at=20, labels=labels))
            await settle(opened, clock)
            await sender.refresh(opened.told)
    assert sink.paths == ["/api/v2/alerts"] * 3  # the last refresh has nothing to say
    bodies: list[Any] = sink.bodies
    (fired,), (again,), (over,) = bodies
    assert fired["labels"] == {**LABELS, "team_1": "video", "alertname": "VideoFreezing", "severity": "critical"}
    assert (fired["annotations"], fired["startsAt"]) == ({"summary": "s"}, "2026-01-01T00:00:20Z")
    assert fired["endsAt"][:16] == again["endsAt"][:16] == "2026-01-01T00:05"
    assert (over["startsAt"], over["endsAt"]) == ("2026-01-01T00:00:20Z", "2026-01-01T00:08:20Z")


async def test_what_cannot_be_judged_says_so_there_too() -> None:
    """An alert whose account is not seen is said again with that annotation; it is neither ended nor left out."""
    clock = VirtualClock(epoch=EPOCH)
    store = FakeStore()
    commit(store, transition(State.FIRING, 100))
    blind = transition(State.FIRING, 600, rule="WatcherAccountBlind", starts_at=0, signal="")
    with serving() as sink:
        sender = AlertmanagerSender(post=post(sink.port, path="/api/v2/alerts"), clock=clock)
        async with box(sender, clock, store).opened() as opened:
            await settle(opened, clock)
            await sender.refresh(opened.told, lambda: {"acme": blind})
            await sender.refresh(opened.told, lambda: {"beta": blind})
    bodies: list[Any] = sink.bodies
    marks = [alert["annotations"].get("unjudged") for (alert,) in bodies]
    assert marks == [None, "cannot be judged since 2026-01-01 00:00:00 UTC: its account is not seen", None]
    assert len({str(alert["labels"]) for (alert,) in bodies}) == 1


async def test_a_refresh_never_arrives_after_the_end() -> None:
    """One is on its way while the alert ends: the end waits for it, and the next one leaves the alert out."""
    clock = VirtualClock(epoch=EPOCH)
    store = FakeStore()
    commit(store, transition(State.FIRING, 100))

    taken: list[int] = []  # numbers of requests, in the order in which they take effect there

    def slow(handler: BaseHTTPRequestHandler, number: int) -> None:
        if number == 2:
            hangs(handler, number)
        taken.append(number)
        ok(handler, number)

    with serving(slow) as sink:
        sender = AlertmanagerSender(post=post(sink.port, path="/api/v2/alerts"), clock=clock)
        async with box(sender, clock, store).opened() as opened, anyio.create_task_group() as tasks:
            await settle(opened, clock)
            tasks.start_soon(sender.refresh, opened.told)
            await anyio.sleep(0.2)
            commit(store, transition(State.RESOLVED, 500, seq=2))
            tasks.start_soon(sender.refresh, opened.told)
            await settle(opened, clock)
    bodies: list[Any] = sink.bodies
    assert taken == [1, 2, 3]
    assert bodies[-1][0]["endsAt"][:16] == "2026-01-01T00:08"


async def test_a_heartbeat_beats_only_after_an_answered_look() -> None:
    """No look, no beat; one answered look, one beat; an empty answer is an answer; failure is tried again."""
    clock = VirtualClock(epoch=float(T0), rate=600.0)
    sight = Sight(account="acme", provider="agora", queries=1)
    beats: list[str] = []

    def heard(handler: BaseHTTPRequestHandler, number: int) -> None:
        beats.append(handler.path)
        reply(handler, 500 if len(beats) == 1 else 200)

    with serving() as sink:
        sink.server.RequestHandlerClass.do_GET = lambda handler: heard(handler, 0)  # type: ignore[attr-defined]
        url = Secret.of(f"http://127.0.0.1:{sink.port}/ping/{TOKEN}")
        settings = HeartbeatSettings(heartbeat=url, every="2m")  # type: ignore[arg-type]
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: beat("alive", settings, {"acme": sight}, clock=clock))
            await clock.sleep_until(T0 + 500.0)
            assert beats == []
            sight.answered("q", clock.now())
            await clock.sleep_until(T0 + 1500.0)
            assert len(beats) == 2  # the first failed
            sight.answered("q", clock.now())
            await clock.sleep_until(T0 + 2500.0)
            assert len(beats) == 3
            tasks.cancel_scope.cancel()
