"""Twilio's Log Analyzer as one ASGI app, from the dossier alone.

The vendor refuses plain HTTP; this server does not, since whoever tests against it may not have a certificate. Links in
answers lead to the scheme and host that were asked.

`GET /_emulator/report` is ours and no part of the vendor's API: the same as `Emulator.report()`, and with
`?participants=all` or `?rooms=all` (and `&since=`, `&until=` in Unix seconds) what those methods know. No credentials,
nothing counted, no faults.
"""

from __future__ import annotations

import math
from email.utils import formatdate

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from watcher.clock import Clock
from watcher.emulator.replies import JSON, deliver, header
from watcher.emulator.twilio.api import Api, Asked
from watcher.emulator.twilio.ask import ROOMS_PATH
from watcher.emulator.twilio.refusals import missing, refusal
from watcher.emulator.twilio.world import Scenario

REPORT_PATH = "/_emulator/report"


class Emulator:
    """A running Twilio: `app` is ASGI, `report()` is what was counted."""

    def __init__(self, *, scenario: Scenario, clock: Clock) -> None:
        self._api = Api(scenario)
        self._clock = clock
        self._scenario = scenario
        paths = {
            "rooms": ROOMS_PATH,
            "room": f"{ROOMS_PATH}/{{room}}",
            "participants": f"{ROOMS_PATH}/{{room}}/Participants",
            "participant": f"{ROOMS_PATH}/{{room}}/Participants/{{participant}}",
        }
        self.app = Starlette(
            routes=[
                *(
                    Route(path, _Handler(self._api, endpoint, clock), methods=["GET"], name=endpoint)
                    for endpoint, path in paths.items()
                ),
                Route(REPORT_PATH, self._serve_report, methods=["GET"]),
            ],
            exception_handlers={404: self._no_route, 405: self._no_route},
        )
        self.app.router.redirect_slashes = False

    def account_sid(self, account: str) -> str:
        """The sid of an account, for whoever has to configure it. Raises `KeyError`."""
        return {one.name: one.sid for one in self._scenario.accounts}[account]

    def room_sid(self, account: str, name: str) -> str:
        """The sid of the first room written down under that name. Raises `KeyError`."""
        named = next((one.named for one in self._scenario.accounts if one.name == account), ())
        return {room.name: room.sid for room in reversed(named)}[name]

    def report(self) -> dict[str, object]:
        """Everything counted so far, JSON-able.

        `quotas`: per account the rate: `limit`, `spent` (the worst second), `total`, `refused`, `foreign`.
        `under_way`: per account the requests at once: `limit`, `worst`, `refused`. `requests`: per endpoint, how many
        ended how: `answered`, a code of the vendor's, an HTTP status, or a fault. `faults`: per kind, how often it
        struck. `participants`: how many different ones reached the client, how many rows came again, and of how many
        the last row was final. `participant_reads`: how many rooms' participants were asked for, in how many pages, and
        the most for one room. `dropped`: what the bounds cost.
        """
        return self._api.report(self._clock.now())

    def rooms(self, *, since: float | None = None) -> list[dict[str, object]]:
        """Every room that has ended since: when it was or will be published and settled (None: never), how many
        participants it has, and how often these were asked for. `since` defaults to the scenario's epoch."""
        return self._api.rooms(self._clock.now(), self._scenario.epoch if since is None else since)

    def participants(self, *, since: float | None = None, until: float | None = None) -> list[dict[str, object]]:
        """The truth: every participant who left in [since, until), what their final row says or will say, whether it
        shows by now, and how often it was handed out. Defaults: the scenario's epoch, and now."""
        now = self._clock.now()
        return self._api.participants(
            now, self._scenario.epoch if since is None else since, now if until is None else until
        )

    async def _serve_report(self, request: Request) -> Response:
        report = self.report()
        given = request.query_params
        try:
            since, until = (float(given.get(name, "nan")) for name in ("since", "until"))
        except ValueError:
            return Response("since and until are Unix seconds", 400)
        first = since if math.isfinite(since) else None
        if given.get("participants") == "all":
            report["stays"] = self.participants(since=first, until=until if math.isfinite(until) else None)
        if given.get("rooms") == "all":
            report["rooms"] = self.rooms(since=first)
        return Response(msgspec.json.encode(report), media_type=JSON)

    async def _no_route(self, request: Request, error: Exception) -> Response:
        status = getattr(error, "status_code", 404)
        self._api.requests["unknown path", str(status)] += 1
        answers, path = self._scenario.answers, request.url.path
        reply = missing(path, answers) if status == 404 else refusal(20004, answers, path=path)
        at = self._api.server_time(header(request.scope, b"host") or "", self._clock.now())
        return Response(reply.body, reply.status, {"date": formatdate(at, usegmt=True)}, reply.media)


def build_twilio(scenario: Scenario, clock: Clock) -> Emulator:
    """Twilio's Log Analyzer as a server that plays `scenario` on `clock`."""
    return Emulator(scenario=scenario, clock=clock)


class _Handler:
    """One endpoint as ASGI. A class, so that Starlette hands over the raw connection: some answers are no answers."""

    def __init__(self, api: Api, endpoint: str, clock: Clock) -> None:
        self._api = api
        self._endpoint = endpoint
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        host = header(scope, b"host") or ""
        path = scope["path_params"]
        asked = Asked(
            endpoint=self._endpoint,
            base=f"{scope['scheme']}://{host}",
            path=scope["path"],
            host=host,
            authorization=header(scope, b"authorization"),
            room=path.get("room", ""),
            participant=path.get("participant", ""),
            query=scope["query_string"],
        )
        verdict = self._api.begin(asked, self._clock.now())
        sent = False
        try:
            sent = await deliver(
                verdict.reply,
                scope,
                receive,
                send,
                clock=self._clock,
                server_time=lambda: self._api.server_time(host, self._clock.now()),
            )
        finally:
            self._api.end(verdict, sent=sent)
