"""Apprise for real: a mail server and HTTP sinks on loopback, in real time, with real threads."""

from __future__ import annotations

import email
import email.policy
import json
import logging
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import anyio
import apprise.plugins.slack
import pytest
import structlog
from aiosmtpd.controller import Controller

from tests.alerts.build import LABELS, commit, obligation, transition
from tests.alerts.fakes import FakeStore
from watcher import log
from watcher.alerts.message import Item, Kind, compose
from watcher.alerts.outbox import Outbox
from watcher.alerts.route import Timing
from watcher.alerts.send import MAX_ATTEMPTS_AT_ONCE, AppriseSender, acceptable
from watcher.alerts.settings import DeliverySettings
from watcher.clock import WallClock
from watcher.errors import SendError
from watcher.model import Delivery, Notification, Sender, State
from watcher.secret import Secret
from watcher.workers import InlineWorkers, ThreadWorkers

HOSTILE = '<b>room</b> @everyone <!channel> <http://evil.example|x> *bold* "quoted"'


@pytest.fixture
def anyio_backend() -> str:
    """The event loop of production."""
    return "asyncio"


@pytest.fixture(autouse=True)
def _no_library_logs(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Loggers as `log.configure` leaves them, and as they were afterwards."""
    names = ("apprise", "urllib3", "requests", "httpx", "httpcore", "uvicorn", "uvicorn.access", "uvicorn.error")
    loggers = [logging.getLogger(name) for name in names]
    before = [(x, list(x.handlers), x.propagate, x.level) for x in loggers]
    yield
    for x, handlers, propagate, level in before:
        x.handlers, x.propagate = handlers, propagate
        x.setLevel(level)
    structlog.reset_defaults()


class Sink:
    """An HTTP server that answers as told, and remembers what it got."""

    def __init__(self, answer: Callable[[BaseHTTPRequestHandler, int], None] | None = None) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.release = threading.Event()
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                sink.bodies.append(json.loads(self.rfile.read(length) or b"{}"))
                sink.paths.append(self.path)
                (answer or ok)(self, len(sink.bodies))

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Say nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                """A client that went away is no error here."""

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = int(self.server.server_address[1])


def reply(handler: BaseHTTPRequestHandler, status: int, **headers: str) -> None:
    """A short answer, in the word that Slack says."""
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", "2")
    handler.end_headers()
    handler.wfile.write(b"ok")


def ok(handler: BaseHTTPRequestHandler, number: int) -> None:
    reply(handler, 200)


def fails(handler: BaseHTTPRequestHandler, number: int) -> None:
    reply(handler, 500)


def resets(handler: BaseHTTPRequestHandler, number: int) -> None:
    """Close with RST instead of an answer."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()


def hangs(handler: BaseHTTPRequestHandler, number: int) -> None:
    time.sleep(3)


@contextmanager
def serving(answer: Callable[[BaseHTTPRequestHandler, int], None] | None = None) -> Iterator[Sink]:
    """A sink on a free port of loopback."""
    sink = Sink(answer)
    thread = threading.Thread(target=sink.server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield sink
    finally:
        sink.release.set()
        sink.server.shutdown()
        sink.server.server_close()
        thread.join()


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def notification(project: str = "classroom", *, kind: Kind = Kind.FIRING) -> Notification:
    """A page about a project."""
    entry = transition(
        State.FIRING,
        100,
        labels={**LABELS, "project": project},
        annotations={"runbook": "https://wiki.example.com/freeze"},
    )
    message = compose([Item(kind=kind, obligations=(obligation(entry),))])
    return Notification(
        id="n1",
        target="t",
        obligations=(),
        alerts=(),
        kind=str(message.kind),
        title=message.title,
        text=message.text,
        html=message.html,
        created_at=0.0,
    )


def sender(url: str, *, threads: int = 1) -> AppriseSender:
    """A sender with its own threads."""
    made = AppriseSender(url=Secret.of(url), workers=ThreadWorkers(threads))
    _: Sender = made
    return made


class Inbox:
    """An SMTP server's handler that keeps what it is given."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []

    async def handle_DATA(self, server: object, session: object, envelope: Any) -> str:  # noqa: N802
        self.mails.append(email.message_from_bytes(envelope.content, policy=email.policy.default))
        return "250 OK"


async def test_a_mail_arrives_whole_and_escaped() -> None:
    """Subject, plain part and HTML part through a real SMTP server, with a hostile name in all three."""
    inbox = Inbox()
    port = free_port()
    controller = Controller(inbox, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        url = f"mailto://127.0.0.1:{port}?from=watcher@example.com&to=oncall@example.com&mode=insecure"
        await sender(url).send(notification(HOSTILE))
    finally:
        controller.stop()
    (mail,) = inbox.mails
    assert str(mail["To"]).endswith("oncall@example.com")
    assert str(mail["Subject"]).startswith("[FIRING] VideoFreezing: ＜b＞room＜/b＞ @\u200beveryone")
    assert mail.get_content_type() == "multipart/alternative"
    text = mail.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    html = mail.get_body(("html",)).get_content()  # type: ignore[union-attr]
    assert "value: 9.3%, limit 5%, worst 12%" in text
    assert "where: project <b>room</b> @\u200beveryone" in text  # plain text of a mail: nothing reads tags there
    assert "&lt;b&gt;room&lt;/b&gt; @\u200beveryone &lt;\u200b!channel&gt; &lt;http:\u200b//evil.example|x&gt;" in html
    assert "<b>room" not in html
    assert '<a href="https://wiki.example.com/freeze">runbook</a>' in html


async def test_a_webhook_gets_plain_text_and_what_kind_of_news_it_is() -> None:
    """Title, text and type as JSON; a resolve is a success, so that incident services close what they opened."""
    with serving() as sink:
        hook = sender(f"json://127.0.0.1:{sink.port}/hook")
        await hook.send(notification())
        await hook.send(notification(kind=Kind.RESOLVED))
    assert [body["type"] for body in sink.bodies] == ["failure", "success"]
    assert sink.bodies[0]["title"] == "[FIRING] VideoFreezing: classroom, Native"
    assert sink.bodies[0]["message"].splitlines()[0] == "FIRING: VideoFreezing (critical)"


async def test_slack_gets_nothing_it_could_read_as_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a mention, a link or bold text, in the payload that leaves."""
    with serving() as sink:
        monkeypatch.setattr(apprise.plugins.slack.NotifySlack, "webhook_url", f"http://127.0.0.1:{sink.port}")
        url = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#oncall"
        await sender(url).send(notification(HOSTILE))
    (body,) = sink.bodies
    assert body["mrkdwn"] is False
    said = json.dumps(body["attachments"], ensure_ascii=False)
    assert "＜b＞room＜/b＞ @\u200beveryone" in said
    for syntax in ("<!", "<http", "@everyone", "*bold*"):
        assert syntax not in said


async def test_mattermost_reads_markdown_in_plain_text_and_finds_none() -> None:
    """A service that declares plain text and renders Markdown all the same."""
    with serving() as sink:
        await sender(f"mmost://127.0.0.1:{sink.port}/abcdefgh12345").send(notification(HOSTILE))
    (body,) = sink.bodies
    assert not set("*`<>|") & set(body["text"])
    assert "@everyone" not in body["text"]


@pytest.mark.parametrize("answer", [fails, resets], ids=["500", "reset"])
async def test_a_failure_is_an_error_that_another_try_may_mend(
    answer: Callable[[BaseHTTPRequestHandler, int], None],
) -> None:
    """One attempt, no more: repeating is the outbox's business."""
    with serving(answer) as sink:
        with pytest.raises(SendError) as caught:
            await sender(f"json://127.0.0.1:{sink.port}/hook").send(notification())
        assert len(sink.bodies) == 1
    assert (caught.value.permanent, caught.value.retry_after) == (False, None)


async def test_nobody_listening_is_an_error() -> None:
    """A refused connection, at once."""
    with pytest.raises(SendError, match="did not accept"):
        await sender(f"json://127.0.0.1:{free_port()}/hook").send(notification())


async def test_what_a_url_asks_for_cannot_hide_a_failure_or_repeat_it() -> None:
    """`optional` would turn it into success, `retry` would send behind our back."""
    with serving(fails) as sink:
        with pytest.raises(SendError):
            await sender(f"json://127.0.0.1:{sink.port}/hook?optional=yes&retry=3&wait=0").send(notification())
        assert len(sink.bodies) == 1


async def test_redirects_are_not_followed() -> None:
    """A token is not carried to wherever an answer points."""
    with serving() as other:

        def moved(handler: BaseHTTPRequestHandler, number: int) -> None:
            reply(handler, 307, Location=f"http://127.0.0.1:{other.port}/elsewhere")

        with serving(moved) as sink:
            with pytest.raises(SendError):
                await sender(f"json://127.0.0.1:{sink.port}/hook").send(notification())
            assert len(sink.bodies) == 1
        assert other.bodies == []


async def test_the_sockets_timeouts_are_set_and_the_url_may_set_them() -> None:
    """A peer that never answers costs its read timeout, not forever."""
    with serving(hangs) as sink:
        began = time.monotonic()
        with pytest.raises(SendError):
            await sender(f"json://127.0.0.1:{sink.port}/hook?rto=0.3").send(notification())
        assert time.monotonic() - began < 2


async def test_a_cancelled_send_does_not_wait_for_its_thread() -> None:
    """A drain is not held up by a hung service."""
    with serving(hangs) as sink:
        began = time.monotonic()
        with anyio.move_on_after(0.3) as scope:
            await sender(f"json://127.0.0.1:{sink.port}/hook").send(notification())
        assert scope.cancelled_caught
        assert time.monotonic() - began < 2


async def test_a_refused_url_is_an_error_without_the_url() -> None:
    """Where it was not checked before, it is named nowhere."""
    with pytest.raises(SendError) as caught:
        await sender("bogus://hunter2").send(notification())
    assert "hunter2" not in str(caught.value)
    assert not acceptable(Secret.of("bogus://hunter2"))


async def test_no_token_is_logged_at_any_level(capfd: pytest.CaptureFixture[str]) -> None:
    """Success, refusal, reset and a bad URL, with every library at its most talkative: nothing of the URL anywhere."""
    records: list[str] = []

    class Everything(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record.getMessage())

    root = logging.getLogger()
    handler, level = Everything(), root.level
    root.addHandler(handler)
    root.setLevel(0)
    try:
        log.configure(level="debug")
        for answer in (ok, fails, resets):
            with serving(answer) as sink:
                url = f"json://user:hunter2@127.0.0.1:{sink.port}/hunter2?+X-Token=hunter2&-q=hunter2"
                try:
                    await sender(url).send(notification())
                except SendError as error:
                    records.append(str(error))
        acceptable(Secret.of("slack://hunter2/hunter2"))
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    captured = capfd.readouterr()
    assert "hunter2" not in "\n".join(records) + captured.out + captured.err
    assert "127.0.0.1" not in "\n".join(records)


def real_outbox(store: FakeStore, url: str, target: str, *, deadline: int = 1) -> Outbox:
    """An outbox with real threads; the store is inline, being memory."""
    return Outbox(
        target=target,
        sender=sender(url, threads=MAX_ATTEMPTS_AT_ONCE),
        store=store,
        workers=InlineWorkers(),
        clock=WallClock(),
        timing=lambda _: Timing(interval=0.0),
        delivery=DeliverySettings(deadline=f"{deadline}s"),  # type: ignore[arg-type]
    )


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait for something that real threads bring about."""
    with anyio.fail_after(seconds):
        while not condition():  # noqa: ASYNC110
            await anyio.sleep(0.02)


async def test_a_hung_thread_is_waited_for_and_its_late_success_counts() -> None:
    """The sink answers after the deadline: one request, no retry, and another target's page left meanwhile."""

    def late(handler: BaseHTTPRequestHandler, number: int) -> None:
        slow.release.wait(10)
        reply(handler, 200)

    store = FakeStore()
    fired = transition(State.FIRING, 0)
    with serving(late) as slow, serving() as quick:
        boxes = {
            "slow": real_outbox(store, f"json://127.0.0.1:{slow.port}/?rto=20", "slow"),
            "quick": real_outbox(store, f"json://127.0.0.1:{quick.port}/", "quick"),
        }
        async with anyio.create_task_group() as tasks:
            for target, box in boxes.items():
                commit(store, fired, target=target)
                tasks.start_soon(box.run)
            await until(lambda: boxes["slow"].stats().hung == 1)
            assert (boxes["quick"].stats().sent, boxes["slow"].stats().sent) == (1, 0)
            slow.release.set()
            await until(lambda: boxes["slow"].stats().sent == 1)
            await until(lambda: {n.delivery for n in store.disk.notifications.values()} == {Delivery.SENT})
            tasks.cancel_scope.cancel()
    assert (len(slow.bodies), len(quick.bodies)) == (1, 1)


async def test_a_sink_that_fails_first_gets_the_page_in_the_end() -> None:
    """A 500, then an answer: the same message twice, in real time."""

    def flaky(handler: BaseHTTPRequestHandler, number: int) -> None:
        (fails, ok)[number - 1](handler, number)

    store = FakeStore()
    with serving(flaky) as sink:
        box = real_outbox(store, f"json://127.0.0.1:{sink.port}/", "slack")
        commit(store, transition(State.FIRING, 0))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(box.run)
            await until(lambda: box.stats().sent == 1)
            tasks.cancel_scope.cancel()
    assert sink.bodies[0]["message"] == sink.bodies[1]["message"]
    (sent,) = store.disk.notifications.values()
    assert (sent.attempts, sent.delivery) == (2, Delivery.SENT)
