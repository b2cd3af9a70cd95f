"""Doubles of the ports that providers are given, and of the vendor's side of the wire."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from email.utils import formatdate

import httpx

from watcher.clock import Clock
from watcher.model import Purse
from watcher.providers.agora.settings import AgoraAccount
from watcher.secret import Secret

APP = "0123456789abcdef0123456789abcdef"
CUSTOMER, SECRET = "customer-4711", "s3cret/with:signs"
TOKEN = "Y3VzdG9tZXItNDcxMTpzM2NyZXQvd2l0aDpzaWducw=="  # base64 of the two, as HTTP Basic has it


class FakePurse:
    """Counts what a look spends; grants `extra` further requests."""

    def __init__(self, *, extra: int = 1) -> None:
        self.spent = 1  # the first request of a look is spent before it begins
        self.extra = extra
        self.refunds = 0
        self.heard: list[float | None] = []

    async def spend(self) -> bool:
        if self.extra == 0:
            return False
        self.extra -= 1
        self.spent += 1
        return True

    async def refund(self) -> None:
        self.refunds += 1

    async def answered(self, vendor_time: float | None) -> None:
        self.heard.append(vendor_time)


class HandClock:
    """A clock that tests move by hand; `step` moves the wall alone, as a clock that is set."""

    rate = 1.0
    virtual = True

    def __init__(self, at: float) -> None:
        self._monotonic = 1000.0
        self._wall = at - self._monotonic

    def now(self) -> float:
        return self._wall + self._monotonic

    def monotonic(self) -> float:
        return self._monotonic

    async def sleep_until(self, at: float) -> None:
        self.advance(max(at - self.now(), 0.0))

    def advance(self, seconds: float) -> None:
        self._monotonic += seconds

    def step(self, seconds: float) -> None:
        self._wall += seconds


_ports: tuple[Purse, Clock] = (FakePurse(), HandClock(0.0))


class Wire(httpx.AsyncByteStream):
    """A body that arrives as on a wire, so that the client's own reading is what is tested."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._body


def answer(body: object, *, status: int = 200, at: float | None = None, **headers: str) -> httpx.Response:
    """A response as the vendor sends it: bytes as they are, anything else as JSON; `at` is its `Date`."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    own = {name.replace("_", "-"): value for name, value in headers.items()}
    if at is not None:
        own["date"] = formatdate(at, usegmt=True)
    return httpx.Response(status, headers=own, stream=Wire(raw))


class Vendor:
    """A scripted vendor behind `httpx.MockTransport`: keeps the requests, answers by function."""

    def __init__(self, respond: Callable[[httpx.Request], httpx.Response]) -> None:
        self.requests: list[httpx.Request] = []
        self.respond = respond

    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self._handle)

    def _handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self.respond(request)

    @property
    def hosts(self) -> list[str]:
        return [request.url.host for request in self.requests]


def account(**changes: object) -> AgoraAccount:
    """A valid Premium account with one project of both products."""
    return AgoraAccount.model_validate(
        {
            "name": "acme",
            "provider": "agora",
            "plan": "premium",
            "customer_id": Secret.of(CUSTOMER),
            "customer_secret": Secret.of(SECRET),
            "projects": ({"name": "classroom", "app_id": APP},),
        }
        | changes
    )
