"""Who may read and change what over HTTP, and what is refused with which words."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx
import pytest

from tests.web.fakes import FakeViews, application
from watcher.web import NewAck, NewSilence
from watcher.web.asking import AskedCall, ShownCall

TOKEN = "0123456789abcdef-token"
BEARER = {"authorization": f"Bearer {TOKEN}"}
SILENCE = {"match": {"rule": ["VideoFreezing"]}, "seconds": 3600, "author": "kim"}


@asynccontextmanager
async def client(
    views: FakeViews | None = None,
    *,
    token: str | None = TOKEN,
    peer: str = "127.0.0.1",
    base: str = "http://localhost:9469",
) -> AsyncIterator[httpx.AsyncClient]:
    """A client at `peer` that names the host in `base`."""
    transport = httpx.ASGITransport(application(views, token=token), client=(peer, 12345))
    async with httpx.AsyncClient(transport=transport, base_url=base) as found:
        yield found


@pytest.mark.parametrize("path", ["/api/v1/alerts", "/api/v1/silences"])
@pytest.mark.parametrize(
    ("peer", "base", "headers", "status"),
    [
        ("127.0.0.1", "http://localhost:9469", {}, 200),
        ("::1", "http://[::1]:9469", {}, 200),
        ("127.0.0.1", "http://127.0.0.1:9469", {}, 200),
        ("127.0.0.1", "http://rebound.example.com", {}, 401),
        ("192.0.2.7", "http://localhost:9469", {}, 401),
        ("192.0.2.7", "http://watcher.example.com", BEARER, 200),
        ("192.0.2.7", "http://watcher.example.com", {"authorization": f"Bearer {TOKEN}x"}, 401),
        ("192.0.2.7", "http://watcher.example.com", {"authorization": f"Basic {TOKEN}"}, 401),
    ],
)
async def test_reading_is_open_to_the_machine_itself_and_to_the_token(
    path: str, peer: str, base: str, headers: dict[str, str], status: int
) -> None:
    """From loopback and meant for it, or with the token from anywhere."""
    async with client(peer=peer, base=base) as web:
        assert (await web.get(path, headers=headers)).status_code == status


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/api/v1/silences", SILENCE),
        ("DELETE", "/api/v1/silences/s1", None),
        ("POST", "/api/v1/alerts/a1/ack", {"author": "kim"}),
    ],
)
@pytest.mark.parametrize(
    ("token", "headers", "status"),
    [
        (TOKEN, BEARER, 200),
        (TOKEN, {}, 401),
        (TOKEN, {"authorization": "Bearer "}, 401),
        (TOKEN, {"authorization": f"Bearer {TOKEN[:-1]}"}, 401),
        (TOKEN, {"authorization": b"Bearer \xff\xfe"}, 401),
        (None, BEARER, 403),
        (None, {}, 403),
    ],
)
async def test_changing_anything_always_needs_the_token(
    method: str, path: str, body: Any, token: str | None, headers: Any, status: int
) -> None:
    """Also from loopback; without one configured nothing can be changed."""
    views = FakeViews()
    async with client(views, token=token) as web:
        answer = await web.request(method, path, json=body, headers=headers)
    assert answer.status_code == status
    assert bool(views.wishes) is (status == 200)
    assert TOKEN not in answer.text


async def test_what_is_asked_arrives_as_it_was_asked() -> None:
    """The three changes, in their shapes."""
    views = FakeViews()
    async with client(views) as web:
        await web.post("/api/v1/silences", json={**SILENCE, "until_resolved": True}, headers=BEARER)
        await web.delete("/api/v1/silences/s1", headers=BEARER)
        await web.post("/api/v1/alerts/a1/ack", json={"author": "kim", "comment": "looking"}, headers=BEARER)
    match: dict[str, tuple[str, ...]] = {"rule": ("VideoFreezing",)}
    assert views.wishes == [
        NewSilence(match=match, seconds=3600, author="kim", until_resolved=True),
        "s1",
        ("a1", NewAck(author="kim", comment="looking")),
    ]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        json.dumps({**SILENCE, "match": {}}).encode(),
        json.dumps({**SILENCE, "match": {"rule": []}}).encode(),
        json.dumps({**SILENCE, "match": {"rule": "x"}}).encode(),
        json.dumps({**SILENCE, "match": {f"l{i}": ["x"] for i in range(21)}}).encode(),
        json.dumps({**SILENCE, "seconds": 0}).encode(),
        json.dumps({**SILENCE, "seconds": 10**9}).encode(),
        json.dumps({**SILENCE, "author": ""}).encode(),
        json.dumps({**SILENCE, "comment": "x" * 501}).encode(),
        json.dumps({**SILENCE, "extra": 1}).encode(),
    ],
)
async def test_what_is_no_silence_is_refused_with_the_reason(body: bytes) -> None:
    """A silence for everything, for nothing, for ever, or of another shape."""
    views = FakeViews()
    async with client(views) as web:
        answer = await web.post("/api/v1/silences", content=body, headers=BEARER)
    assert (answer.status_code, bool(answer.json()["error"])) == (422, True)
    assert not views.wishes


async def test_bodies_are_bounded_and_refusals_keep_their_words() -> None:
    """Too large is 413; what the daemon refuses has its status and sentence."""
    async with client() as web:
        large = await web.post("/api/v1/silences", content=b" " * 20_000, headers=BEARER)
        gone = await web.delete("/api/v1/silences/none", headers=BEARER)
    assert large.status_code == 413
    assert (gone.status_code, gone.json()) == (404, {"error": "no such silence holds: see the list"})


class Slow(FakeViews):
    """Takes until it is told to go on; notes what became of it."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.ended = anyio.Event(), ""

    async def call(self, account: str, asked: AskedCall) -> ShownCall:
        self.begun.set()
        try:
            await anyio.sleep(60)
        except BaseException:
            self.ended = "left"
            raise
        self.ended = "answered"
        return await super().call(account, asked)


@pytest.mark.parametrize("stays", [True, False])
async def test_whoever_goes_away_is_not_asked_for(stays: bool) -> None:
    """A question costs requests: where the client hangs up while it is answered, it ends there and then."""
    views, hung_up, sent = Slow(), anyio.Event(), list[Any]()
    body = [{"type": "http.request", "body": b'{"channel": "lecture"}', "more_body": False}]

    async def receive() -> dict[str, Any]:
        if body:
            return body.pop()
        await hung_up.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/api/v1/accounts/school/call",
        "query_string": b"",
        "headers": [(b"host", b"localhost"), (b"authorization", f"Bearer {TOKEN}".encode())],
        "client": ("127.0.0.1", 1),
        "server": ("localhost", 80),
        "scheme": "http",
    }
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(application(views, token=TOKEN), scope, receive, send)
        await views.begun.wait()
        if not stays:
            hung_up.set()
    assert views.ended == ("answered" if stays else "left")
    assert sent[0]["status"] == (200 if stays else 499)


async def test_a_fault_in_a_question_is_a_500_as_elsewhere() -> None:
    """In words, as JSON, and not a connection that breaks."""

    class Broken(FakeViews):
        async def call(self, account: str, asked: AskedCall) -> ShownCall:
            raise RuntimeError("a mistake")

    transport = httpx.ASGITransport(application(Broken(), token=TOKEN), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as web:
        answer = await web.post("/api/v1/accounts/school/call", json={"channel": "lecture"}, headers=BEARER)
    assert answer.status_code == 500
    assert "a mistake" not in answer.text
