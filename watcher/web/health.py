"""Whether the process lives (`/healthz`) and whether it can do its work (`/readyz`), for systemd and Kubernetes.

Ready means: configuration loaded, state writable, listener up. It never asks how the vendor or the quota is: a daemon
that is restarted or taken out of service because Agora is down would lose the page that says so (design, section 8).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from watcher.clock import real_deadline

READY_WITHIN = 5.0  # real seconds; a state that cannot even be asked by then is not writable


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyReport:
    """Which parts are ready."""

    config: bool
    state: bool
    listener: bool


def routes(ready: Callable[[], Awaitable[ReadyReport]]) -> list[BaseRoute]:
    """`/healthz` and `/readyz`."""

    async def healthz(request: Request) -> Response:
        return JSONResponse({"alive": True})

    async def readyz(request: Request) -> Response:
        with real_deadline(READY_WITHIN) as deadline:
            report = await ready()
        if deadline.cancelled_caught:
            return JSONResponse({"ready": False, "not_ready": ["state"], "detail": "not answered in time"}, 503)
        missing = [part for part, is_ready in asdict(report).items() if not is_ready]
        return JSONResponse({"ready": not missing, "not_ready": missing}, 503 if missing else 200)

    return [Route("/healthz", healthz), Route("/readyz", readyz)]
