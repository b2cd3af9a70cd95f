"""Sending an answer, or failing to: what happens on the wire once a reply is decided.

Over real HTTP the faults are real: a reset is a TCP reset, a cut answer promises more bytes than it sends and closes,
a silent server never answers, a huge body is streamed. In-process (`httpx.ASGITransport`) there is no wire; there a
reset or a cut answer raises `ConnectionResetError` out of the app, which the caller's transport maps to
`httpx.ReadError`, and a silent server waits until the caller's own deadline cancels it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from enum import StrEnum

import anyio
from starlette.types import Receive, Scope, Send

from watcher.clock import Clock, sleep
from watcher.httpserver import RESET

JSON = "application/json"
HTML = "text/html; charset=utf-8"
_CHUNK = 64 * 1024


class Manner(StrEnum):
    """How a reply reaches the client."""

    WHOLE = "whole"
    CUT = "cut"  # half of the promised body, then the connection closes
    HUGE = "huge"  # the body, then blanks up to `size` bytes, without a Content-Length
    RESET = "reset"  # the connection is reset before the first byte
    SILENT = "silent"  # nothing, ever


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A decided answer. `wait` is in seconds of the run clock, before the first byte; `headers` beyond the usual."""

    status: int = 200
    body: bytes = b""
    media: str = JSON
    manner: Manner = Manner.WHOLE
    wait: float = 0.0
    size: int = 0
    headers: tuple[tuple[str, str], ...] = ()


def header(scope: Scope, name: bytes) -> str | None:
    """A request's header; `name` in lower case."""
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), None)


async def deliver(
    reply: Reply, scope: Scope, receive: Receive, send: Send, *, clock: Clock, server_time: Callable[[], float]
) -> bool:
    """Send `reply`; True where it left whole, for a client that had not hung up while it waited.

    `server_time()` is what the server's clock shows, for `Date`, when the answer leaves.
    Raises `ConnectionResetError` in-process only, for a reset or a cut answer.
    """
    if reply.wait:
        await sleep(clock, reply.wait)
        if await _hung_up(receive):
            return False
    if reply.manner is Manner.SILENT:
        await _gone(receive)
        return False
    if reply.manner is Manner.RESET:
        await _reset(scope, receive)
        return False
    headers = [
        (b"content-type", reply.media.encode()),
        (b"date", formatdate(server_time(), usegmt=True).encode()),
        *((name.encode(), value.encode()) for name, value in reply.headers),
    ]
    if reply.manner is not Manner.HUGE:
        headers.append((b"content-length", str(len(reply.body)).encode()))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    match reply.manner:
        case Manner.CUT:
            await send({"type": "http.response.body", "body": reply.body[: len(reply.body) // 2], "more_body": True})
            await _cut(scope)
        case Manner.HUGE:
            await _stream(reply, send)
        case _:
            await send({"type": "http.response.body", "body": reply.body})
    return reply.manner is Manner.WHOLE


async def _stream(reply: Reply, send: Send) -> None:
    await send({"type": "http.response.body", "body": reply.body, "more_body": True})
    left = max(0, reply.size - len(reply.body))
    blanks = b" " * _CHUNK
    while left > 0:
        await send({"type": "http.response.body", "body": blanks[: min(left, _CHUNK)], "more_body": True})
        left -= _CHUNK
    await send({"type": "http.response.body", "body": b""})


async def _reset(scope: Scope, receive: Receive) -> None:
    reset = scope.get("state", {}).get(RESET)
    if reset is None:
        raise ConnectionResetError("the emulator resets the connection")
    reset()
    await _gone(receive)  # the server is to find a closed connection, not an app that forgot to answer


async def _cut(scope: Scope) -> None:
    if RESET not in scope.get("state", {}):
        raise ConnectionResetError("the emulator cuts the answer")
    # Over HTTP an app that returns in the middle of its answer makes the server close the connection.


async def _hung_up(receive: Receive) -> bool:
    """Whether the client has hung up already; does not wait for it."""
    with anyio.move_on_after(0):
        await _gone(receive)
        return True
    return False


async def _gone(receive: Receive) -> None:
    """Wait until the client has hung up."""
    while (await receive())["type"] != "http.disconnect":
        pass
