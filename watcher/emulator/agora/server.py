"""Agora behind one ASGI app: routes, what arrives, what leaves.

`GET /_emulator/report` is ours and no part of the vendor's API: the same as `Emulator.report()`, for tests of other
processes; no credentials, nothing counted, no faults.
"""

from __future__ import annotations

from email.utils import formatdate

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from watcher.clock import Clock
from watcher.emulator.agora.api import Api
from watcher.emulator.agora.ask import Endpoint
from watcher.emulator.agora.gate import gateway
from watcher.emulator.agora.insight_ask import INSIGHT
from watcher.emulator.agora.inspector_ask import INSPECTOR
from watcher.emulator.agora.realtime_ask import REALTIME
from watcher.emulator.headers import header
from watcher.emulator.replies import JSON, deliver
from watcher.emulator.world import Scenario

REPORT_PATH = "/_emulator/report"
_MOST_BODY = 64 * 1024


class Emulator:
    """A running Agora: `app` is ASGI, `report()` is what it counted."""

    def __init__(self, *, scenario: Scenario, clock: Clock) -> None:
        self._api = Api(scenario)
        self._clock = clock
        endpoints = (*REALTIME, *INSPECTOR, *INSIGHT)
        self.app = Starlette(
            routes=[
                *(Route(e.path, _Handler(self._api, e, clock), methods=[e.method]) for e in endpoints),
                Route(REPORT_PATH, self._serve_report, methods=["GET"]),
            ],
            exception_handlers={404: self._no_route, 405: self._no_route},
        )
        self.app.router.redirect_slashes = False

    def report(self) -> dict[str, object]:
        """Everything counted so far, JSON-able.

        `quotas`: per account, family, part (endpoint or App ID where the scope is one) and window: `limit`, `spent`
        (the worst single window), `total`, `refused`, `foreign` (the worst window of others' requests). `requests`: per
        endpoint, how many ended how. `faults`: per kind, how often it struck. `slots`: per query key the intervals
        [start, end) of slots handed out. `dropped`: what the bounds of this bookkeeping cost.
        """
        return self._api.report(self._clock.now())

    async def _serve_report(self, request: Request) -> Response:
        return Response(msgspec.json.encode(self.report()), media_type=JSON)

    async def _no_route(self, request: Request, error: Exception) -> Response:
        self._api.requests["unknown path", "404"] += 1
        now = self._clock.now()
        date = formatdate(self._api.server_time(_host(request.scope), now), usegmt=True)
        return Response(gateway(404).body, 404, {"date": date}, media_type=JSON)


def build_agora(scenario: Scenario, clock: Clock) -> Emulator:
    """Agora's analytics API as a server that plays `scenario` on `clock`."""
    return Emulator(scenario=scenario, clock=clock)


class _Handler:
    """One endpoint as ASGI. A class, so that Starlette hands over the raw connection: some answers are no answers."""

    def __init__(self, api: Api, endpoint: Endpoint, clock: Clock) -> None:
        self._api = api
        self._endpoint = endpoint
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        host = _host(scope)
        verdict = self._api.decide(
            self._endpoint,
            host=host,
            authorization=header(scope, b"authorization"),
            query=scope["query_string"],
            content=await _content(receive) if self._endpoint.method == "POST" else b"",
            at=self._clock.now(),
        )
        sent = await deliver(
            verdict.reply,
            scope,
            receive,
            send,
            clock=self._clock,
            server_time=lambda: self._api.server_time(host, self._clock.now()),
        )
        if sent and verdict.query is not None:
            self._api.handed_out(verdict.query, verdict.slots)


async def _content(receive: Receive) -> bytes:
    """The body of a request; empty where it is larger than anyone needs. Read to its end, kept no further than that."""
    content = b""
    while True:
        message = await receive()
        if len(content) <= _MOST_BODY:
            content += bytes(message.get("body", b""))
        if not message.get("more_body", False):
            return content if len(content) <= _MOST_BODY else b""


def _host(scope: Scope) -> str:
    return (header(scope, b"host") or "").lower()
