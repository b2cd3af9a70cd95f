"""`/metrics`: rendered at each scrape, on the event loop.

There, because the snapshot reads what the daemon's tasks write, and between two awaits it is consistent without locks.
A page of 10,000 series costs about 150 ms of CPU; a worker thread was considered, and would compete for the same
interpreter while it needs a copy of everything.
"""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from watcher.metrics import CONTENT_TYPE


def routes(metrics: Callable[[], bytes], check: Callable[[Request], None] = lambda _: None) -> list[BaseRoute]:
    """`/metrics`, for whom `check` lets in."""

    async def scrape(request: Request) -> Response:
        check(request)
        return Response(metrics(), headers={"content-type": CONTENT_TYPE})

    return [Route("/metrics", scrape)]
