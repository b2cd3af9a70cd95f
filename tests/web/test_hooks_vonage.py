"""The address that Vonage posts to: what it is answered, and what it may not do."""

from __future__ import annotations

import httpx
import pytest
from starlette.applications import Starlette
from starlette.types import Message

from tests.web.fakes import application
from watcher.providers.provider import Heard
from watcher.web.hooks_vonage import MAX_BODY, routes

pytestmark = pytest.mark.anyio


class Ear:
    """Hears one token, and says what it is told to."""

    def __init__(self, outcome: Heard | None) -> None:
        self.outcome = outcome
        self.heard: list[tuple[str, str | None, bytes]] = []

    def __call__(self, token: str, authorization: str | None, body: bytes) -> Heard | None:
        self.heard.append((token, authorization, body))
        return self.outcome


async def post(ear: Ear, body: bytes, path: str = "/hooks/vonage/token-1234", method: str = "POST") -> int:
    transport = httpx.ASGITransport(application(vonage=ear))
    async with httpx.AsyncClient(transport=transport, base_url="http://example.com") as client:
        response = await client.request(method, path, content=body, headers={"authorization": "Bearer x"})
        return response.status_code


@pytest.mark.parametrize(
    ("outcome", "status"),
    [(Heard.TAKEN, 204), (Heard.IGNORED, 204), (Heard.MALFORMED, 400), (Heard.FORGED, 401), (None, 404)],
)
async def test_every_outcome_has_its_status(outcome: Heard | None, status: int) -> None:
    """Useless events are thanked for, since the vendor retries and gives up; forgeries and strangers are refused."""
    ear = Ear(outcome)
    assert await post(ear, b"{}") == status
    assert ear.heard == [("token-1234", "Bearer x", b"{}")]


async def test_a_body_without_end_is_cut_off() -> None:
    """More than an event ever holds is refused before it is kept; asked by hand, since a client would go on sending."""
    ear = Ear(Heard.TAKEN)
    app = Starlette(routes=routes(ear))
    sent: list[Message] = []
    taken = 0

    async def receive() -> Message:
        nonlocal taken
        taken += 1
        return {"type": "http.request", "body": b"x" * 10_000, "more_body": True}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/hooks/vonage/token-1234", "headers": [], "query_string": b""}
    await app(scope, receive, send)
    assert sent[0]["status"] == 413
    assert taken == MAX_BODY // 10_000 + 1
    assert ear.heard == []


async def test_only_posts_are_taken() -> None:
    """A browser that opens the address learns nothing."""
    assert await post(Ear(Heard.TAKEN), b"", method="GET") == 405
