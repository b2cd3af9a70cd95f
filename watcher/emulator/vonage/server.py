"""Vonage Video's Insights and REST APIs as one server, from the dossier alone.

Both hosts of the vendor are this one: `/graphql` takes legacy tokens only, `/video/insights-api/graphql` both kinds
(dossier, 1.1), and the REST paths are the same on both. A browser is sent to a login page that is not here.

`GET /_emulator/report` is ours and no part of the vendor's API: the same as `Emulator.report()`, and with `?rows=total`
or `?rows=all` (and `&since=` Unix seconds) what `Emulator.rows()` knows. No credentials, nothing counted, no faults.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from email.utils import formatdate
from typing import Any

import anyio
import httpx
import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from watcher.clock import Clock
from watcher.emulator.breakage import PAGE
from watcher.emulator.replies import HTML, JSON, Reply, deliver, header
from watcher.emulator.vonage import rest
from watcher.emulator.vonage.api import LEGACY_PATH, UNIFIED_PATH, Api, Asked
from watcher.emulator.vonage.graph import MAX_TEXT
from watcher.emulator.vonage.hooks import Poster
from watcher.emulator.vonage.world import Scenario

REPORT_PATH = "/_emulator/report"

_LOGIN = "https://login.example.com/"


class Emulator:
    """A running Vonage: `app` is ASGI, `run` posts the webhooks, `report()` is what was counted."""

    def __init__(self, *, scenario: Scenario, clock: Clock) -> None:
        self._api = Api(scenario)
        self._clock = clock
        self._scenario = scenario
        self._posters = {
            project.name: Poster(
                project=project,
                hooks=project.hooks,
                sessions=self._api.stores[project.id].sessions,
                lives=self._api.lives,
                clock=clock,
            )
            for project in scenario.projects
            if project.hooks is not None
        }
        graphql, calls = _Graphql(self._api, clock), _Rest(self._api, clock)
        base = "/v2/project/{project}/session/{session}"
        self.app = Starlette(
            routes=[
                Route(LEGACY_PATH, graphql, methods=["POST"]),
                Route(UNIFIED_PATH, graphql, methods=["POST"]),
                Route(LEGACY_PATH, _options, methods=["OPTIONS"]),
                Route(UNIFIED_PATH, _options, methods=["OPTIONS"]),
                Route("/", _login, methods=["GET"]),
                Route("/video/insights-api/", _login, methods=["GET"]),
                Route(f"{base}/stream", calls, methods=["GET"], name="streams"),
                Route(f"{base}/stream/{{stream}}", calls, methods=["GET"], name="stream"),
                Route(f"{base}/connection", calls, methods=["GET"], name="connections"),
                Route(REPORT_PATH, self._serve_report, methods=["GET"]),
            ],
            exception_handlers={404: self._no_route, 405: self._no_route},
        )
        self.app.router.redirect_slashes = False

    async def run(self, *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        """Post the webhooks of all projects until cancelled; returns at once where there are none."""
        if not self._posters:
            return
        async with (
            httpx.AsyncClient(transport=transport, follow_redirects=False, trust_env=False) as client,
            anyio.create_task_group() as tasks,
        ):
            for poster in self._posters.values():
                tasks.start_soon(poster.run, client)

    def session_id(self, project: str, name: str) -> str:
        """The id of a named session, for whoever has to configure it. Raises `KeyError`."""
        named = next(p for p in self._scenario.projects if p.name == project).named
        return {session.name: session.session_id for session in named}[name]

    def report(self) -> dict[str, object]:
        """Everything counted so far, JSON-able.

        `quotas`: per project (`account`) or client address (`part`) and family: `limit`, `spent` (the worst 30 s),
        `total`, `refused`, `foreign`. `nodes`: the largest query, all queries, and those refused for it. `requests`:
        per endpoint, how many ended how. `faults`: per kind, how often it struck. `rows`: rows of statistics handed
        out, and how many of them for the first time. `webhooks`: per project. `dropped`: what the bounds cost.
        """
        hooks = {name: poster.tally.report() for name, poster in self._posters.items()}
        return {**self._api.report(self._clock.now()), "webhooks": hooks}

    def rows(self, *, since: float | None = None) -> list[dict[str, object]]:
        """Per stream of all sessions since then: `visible` rows measured at or after `since`, how many different ones
        of those were `handed_out`, and `handed_again`, how often any of its rows came a further time.

        `since` defaults to the scenario's epoch. Cost: a few microseconds per stream that lived in that time.
        """
        return self._api.rows(self._clock.now(), self._scenario.epoch if since is None else since)

    async def _serve_report(self, request: Request) -> Response:
        report = self.report()
        wanted = request.query_params.get("rows")
        if wanted in ("total", "all"):
            try:
                since = float(request.query_params.get("since", "nan"))
            except ValueError:
                return Response("since is not a number", 400)
            rows = self.rows(since=since if math.isfinite(since) else None)
            report["streams"] = rows if wanted == "all" else summary(rows)
        return Response(msgspec.json.encode(report), media_type=JSON)

    async def _no_route(self, request: Request, error: Exception) -> Response:
        self._api.requests["unknown path", "404"] += 1
        at = self._api.server_time(header(request.scope, b"host") or "", self._clock.now())
        return Response(b'{"code":-1,"message":"Not found"}', 404, {"date": formatdate(at, usegmt=True)}, JSON)


def build_vonage(scenario: Scenario, clock: Clock) -> Emulator:
    """Vonage Video's APIs as a server that plays `scenario` on `clock`."""
    return Emulator(scenario=scenario, clock=clock)


def summary(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, object]]:
    """`Emulator.rows()` added up per project and kind; `read` are the streams of which any row was handed out."""
    totals: dict[tuple[str, str], Counter[str]] = {}
    for row in rows:
        total = totals.setdefault((row["project"], row["kind"]), Counter())
        total["streams"] += 1
        for name in ("visible", "handed_out", "handed_again"):
            total[name] += row[name]
        if row["handed_out"]:
            total["read_streams"] += 1
            total["read_visible"] += row["visible"]
    names = ("streams", "visible", "handed_out", "handed_again", "read_streams", "read_visible")
    return [{"project": p, "kind": k, **{name: total[name] for name in names}} for (p, k), total in totals.items()]


# ── ASGI ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


class _Graphql:
    """The two GraphQL paths. A class, so that Starlette hands over the raw connection: some answers are no answers."""

    def __init__(self, api: Api, clock: Clock) -> None:
        self._api = api
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await _body(receive)
        reply = self._api.graphql(_asked(scope), body, self._clock.now())
        await _deliver(reply, scope, receive, send, self._api, self._clock)


class _Rest:
    """The REST paths."""

    def __init__(self, api: Api, clock: Clock) -> None:
        self._api = api
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path_params"]
        endpoint = "stream" if "stream" in path else "streams" if scope["path"].endswith("/stream") else "connections"
        accept = header(scope, b"accept") or ""
        call = rest.Call(
            endpoint=endpoint,
            session_id=path["session"],
            stream_id=path.get("stream", ""),
            accepts_json="json" in accept,
        )
        reply = self._api.rest(_asked(scope), path["project"], call, self._clock.now())
        await _deliver(reply, scope, receive, send, self._api, self._clock)


async def _deliver(reply: Reply, scope: Scope, receive: Receive, send: Send, api: Api, clock: Clock) -> None:
    host = header(scope, b"host") or ""
    await deliver(reply, scope, receive, send, clock=clock, server_time=lambda: api.server_time(host, clock.now()))


async def _options(request: Request) -> Response:
    return Response(status_code=200)


async def _login(request: Request) -> Response:
    return Response(PAGE, 302, {"location": _LOGIN}, HTML)


async def _body(receive: Receive) -> bytes | None:
    """The request's body; None where it is too long to be a query."""
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return b""
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size <= MAX_TEXT:
            chunks.append(chunk)
        if not message.get("more_body"):
            return b"".join(chunks) if size <= MAX_TEXT else None


def _asked(scope: Scope) -> Asked:
    client = scope.get("client")
    return Asked(
        path=scope["path"],
        host=(header(scope, b"host") or "").lower(),
        address=client[0] if client else "",
        legacy=header(scope, b"x-opentok-auth"),
        bearer=header(scope, b"authorization"),
    )
