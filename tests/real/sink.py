"""A web hook on loopback that keeps every body, and can be told to hang."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from watcher.httpserver import serve


class Sink:
    """Bodies in the order accepted; `asked` is set by the first request."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.hang = False
        self.asked = anyio.Event()
        self.port = 0
        self.app = Starlette(routes=[Route("/", self._receive, methods=["POST"])])

    async def _receive(self, request: Request) -> Response:
        body = msgspec.json.decode(await request.body())
        self.asked.set()
        if self.hang:
            await anyio.sleep_forever()
        self.bodies.append(body)
        return Response(status_code=204)

    def references(self) -> list[str]:
        """The id of each message received, from its last line."""
        return [str(b["message"]).rpartition("ref: ")[2].strip() for b in self.bodies]


@asynccontextmanager
async def sink() -> AsyncIterator[Sink]:
    """A running one."""
    hook = Sink()
    async with anyio.create_task_group() as tasks:
        hook.port = await tasks.start(
            lambda task_status: serve(hook.app, host="127.0.0.1", port=0, task_status=task_status)
        )
        yield hook
        tasks.cancel_scope.cancel()
