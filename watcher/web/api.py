"""`/api/v1`: everything that the status page shows, as JSON, the three things a person at night wants to change, and
what only the vendors know: one call, and whole days by groups.

One table, `endpoints`, says what there is: the routes are made of it, and so is the description that others generate
their clients from (`openapi`), so that neither can know of something that the other does not.

What comes in is JSON of a fixed shape, bounded in every part; what is refused says what to do. What goes out is a part
of the same board that the page is drawn from. Who may is decided by `access`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TypeVar

import anyio
import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from watcher.clock import HOUR
from watcher.errors import Refused
from watcher.model import Series
from watcher.web import openapi, shapes
from watcher.web.access import Access
from watcher.web.asking import AskedCall, AskedGroups, ShownCall, ShownGroups
from watcher.web.shapes import NewAck, NewSilence, Shape
from watcher.web.views import LONGEST_SERIES, Views

PREFIX = "/api/v1"
MAX_BODY = 16 * 1024

T = TypeVar("T")
JSON = "application/json"
_NEEDED = ("account", "provider", "project", "signal")  # of a series


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """What a path or a query string takes; `lowest` and `highest` make it a whole number."""

    name: str
    help: str
    where: str = "path"
    required: bool = True
    lowest: int | None = None
    highest: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One operation: its name is unique and the description's `operationId`."""

    name: str
    method: str
    path: str
    help: str
    answer: type[Shape]
    handle: Callable[[Request], Awaitable[Shape]]
    takes: type[msgspec.Struct] | None = None
    parameters: Sequence[Parameter] = ()
    changes: bool = False


def endpoints(views: Views) -> Sequence[Endpoint]:
    """Everything there is under `/api/v1`."""

    async def alert(request: Request) -> Shape:
        return (await views.alert(request.path_params["alert"]))[0]

    async def series(request: Request) -> Shape:
        asked = request.query_params
        missing = [name for name in _NEEDED if not asked.get(name)]
        if missing:
            raise Refused(422, f"name {' and '.join(missing)} in the query string")
        account, provider, project, product, channel, signal = (asked.get(name, "") for name in Series._fields)
        seconds = _whole(asked.get("seconds", str(HOUR)), "seconds", 1, LONGEST_SERIES)
        return await views.series(Series(account, provider, project, product, channel, signal), seconds)

    async def explain(request: Request) -> Shape:
        return await views.explain(request.path_params["rule"])

    async def silence(request: Request) -> Shape:
        return await views.add_silence(await _body(request, NewSilence))

    async def expire(request: Request) -> Shape:
        return await views.expire_silence(request.path_params["silence"])

    async def acknowledge(request: Request) -> Shape:
        return await views.acknowledge(request.path_params["alert"], await _body(request, NewAck))

    async def call(request: Request) -> Shape:
        asked = await _body(request, AskedCall)
        return await _while_there(request, lambda: views.call(request.path_params["account"], asked))

    async def groups(request: Request) -> Shape:
        asked = await _body(request, AskedGroups)
        return await _while_there(request, lambda: views.groups(request.path_params["account"], asked))

    def part(name: str, help_: str, answer: type[Shape]) -> Endpoint:
        async def read(request: Request) -> Shape:
            found: Shape = getattr(await views.board(), name)
            return found

        return Endpoint(name=name, method="GET", path=f"/{name}", help=help_, answer=answer, handle=read)

    account = Parameter(name="account", help="The account's name in the configuration.")
    alert_id = Parameter(name="alert", help="The alert's id, as the list has it.")
    return (
        part("status", "What fires, what cannot be seen, and how old the data is.", shapes.Status),
        part("alerts", "What fires or is about to, the worst first.", shapes.Alerts),
        Endpoint(
            name="alert",
            method="GET",
            path="/alerts/{alert}",
            help="One alert: its log, what was sent about it and what was not, and its last hour.",
            answer=shapes.AlertDetail,
            handle=alert,
            parameters=(alert_id,),
        ),
        Endpoint(
            name="acknowledge",
            method="POST",
            path="/alerts/{alert}/ack",
            help="Somebody has the alert in hand: it is not repeated until it changes.",
            answer=shapes.ChangedAck,
            handle=acknowledge,
            takes=NewAck,
            parameters=(alert_id,),
            changes=True,
        ),
        part("silences", "Silences that hold, will hold, or ended within a day.", shapes.Silences),
        Endpoint(
            name="add_silence",
            method="POST",
            path="/silences",
            help="Keep matching alerts from being said, for a while.",
            answer=shapes.ChangedSilence,
            handle=silence,
            takes=NewSilence,
            changes=True,
        ),
        Endpoint(
            name="expire_silence",
            method="DELETE",
            path="/silences/{silence}",
            help="End a silence now; what it muted and still fires is said.",
            answer=shapes.ChangedSilence,
            handle=expire,
            parameters=(Parameter(name="silence", help="The silence's id, as the list has it."),),
            changes=True,
        ),
        part("signals", "The newest value of every series.", shapes.Signals),
        Endpoint(
            name="series",
            method="GET",
            path="/series",
            help="One series: its points up to the newest.",
            answer=shapes.SeriesPoints,
            handle=series,
            parameters=(
                *(
                    Parameter(name=name, help=f"The series' {name}.", where="query", required=name in _NEEDED)
                    for name in Series._fields
                ),
                Parameter(
                    name="seconds",
                    help="How far back.",
                    where="query",
                    required=False,
                    lowest=1,
                    highest=LONGEST_SERIES,
                ),
            ),
        ),
        part("accounts", "Every account: whether it can be seen, its coverage and its quotas.", shapes.Accounts),
        Endpoint(
            name="call",
            method="POST",
            path="/accounts/{account}/call",
            help="One call of a channel: who was in it, and how each fared. Spends of the account's requests.",
            answer=ShownCall,
            handle=call,
            takes=AskedCall,
            parameters=(account,),
            changes=True,
        ),
        Endpoint(
            name="groups",
            method="POST",
            path="/accounts/{account}/groups",
            help="A signal of whole days by groups of users. Spends of the account's requests.",
            answer=ShownGroups,
            handle=groups,
            takes=AskedGroups,
            parameters=(account,),
            changes=True,
        ),
        part("schedule", "The next looks, and why.", shapes.Schedule),
        part("rules", "Every rule, and how many of its alerts fire.", shapes.Rules),
        Endpoint(
            name="explain",
            method="GET",
            path="/rules/{rule}/explain",
            help="Why a rule is or is not firing, how soon it can page, and what is spent to know.",
            answer=shapes.Explained,
            handle=explain,
            parameters=(Parameter(name="rule", help="The rule's name."),),
        ),
        part("targets", "Every target's outbox.", shapes.Targets),
    )


def routes(views: Views, access: Access) -> list[BaseRoute]:
    """The API and its description."""
    operations = endpoints(views)
    description = msgspec.json.encode(openapi.describe(operations))

    async def describe(request: Request) -> Response:
        access.check_read(request)
        return Response(description, media_type=JSON)

    return [
        Route(f"{PREFIX}/openapi.json", describe, methods=["GET"]),
        *(Route(f"{PREFIX}{one.path}", _served(one, access), methods=[one.method]) for one in operations),
    ]


def _served(endpoint: Endpoint, access: Access) -> Callable[[Request], Awaitable[Response]]:
    check = access.check_change if endpoint.changes else access.check_read

    async def serve(request: Request) -> Response:
        check(request)
        try:
            return Response(msgspec.json.encode(await endpoint.handle(request)), media_type=JSON)
        except Refused as refused:
            raise HTTPException(refused.status, str(refused)) from None

    return serve


async def _while_there(request: Request, work: Callable[[], Awaitable[Shape]]) -> Shape:
    """The answer, unless whoever asked goes away first: a server cancels nothing by itself, and vendors cost requests.

    Raises what `work` does.
    """
    found: list[Shape | Exception] = []

    async def until_gone(scope: anyio.CancelScope) -> None:
        while (await request.receive())["type"] != "http.disconnect":
            """What else comes belongs to a body that was read."""
        scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(until_gone, tasks.cancel_scope)
        try:
            found.append(await work())
        except Exception as error:  # noqa: BLE001 - raised below as it is, and not as a group
            found.append(error)
        tasks.cancel_scope.cancel()
    answer = found[0] if found else Refused(499, "whoever asked has gone")
    if isinstance(answer, Exception):
        raise answer
    return answer


def _whole(text: str, name: str, lowest: int, highest: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10 and lowest <= int(text) <= highest):
        raise Refused(422, f"{name} is a whole number from {lowest} to {highest}")
    return int(text)


async def body_of(request: Request) -> bytes:
    """The body, bounded. Answers 413 otherwise."""
    too_large = HTTPException(413, f"the body is larger than {MAX_BODY} bytes")
    if int(request.headers.get("content-length", "0")) > MAX_BODY:  # the server has checked that it is a number
        raise too_large
    raw = bytearray()
    async with aclosing(request.stream()) as chunks:
        async for chunk in chunks:
            raw += chunk
            if len(raw) > MAX_BODY:
                raise too_large
    return bytes(raw)


async def _body(request: Request, kind: type[T]) -> T:
    """The JSON body as a shape. Answers 413 and 422 otherwise."""
    raw = await body_of(request)
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.DecodeError as error:
        raise HTTPException(422, str(error)[:300]) from None
