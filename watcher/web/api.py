"""`/api/v1`: what fires and who has it in hand, silences, and the two things a person at night wants to change.

Reading is open to the machine itself, since whoever is on it can read the state file; from elsewhere, and for changing
anything, `http.token` must be shown. Without a token configured nothing can be changed over HTTP. The comparison takes
the same time wherever the first difference is.

A page in a browser on the same machine is on the machine too, so an open read must also name a local host: a site that
points its own name at 127.0.0.1 is refused. Changes are safe from such pages, which cannot know the token.

What comes in is JSON of a fixed shape, bounded in every part; what is refused says what to do.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Annotated, Any, Protocol, TypeVar

import msgspec
from msgspec import Meta
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from watcher.errors import Refused
from watcher.secret import Secret

MAX_BODY = 16 * 1024
MAX_SILENCE = 366 * 86_400  # seconds

T = TypeVar("T")
Line = Annotated[str, Meta(max_length=500)]
Name = Annotated[str, Meta(min_length=1, max_length=100)]
Values = Annotated[tuple[Annotated[str, Meta(max_length=500)], ...], Meta(min_length=1, max_length=50)]


class NewSilence(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `POST /api/v1/silences` takes: `seconds` from now, or less if the last matching alert ends before."""

    match: Annotated[dict[Name, Values], Meta(min_length=1, max_length=20)]
    seconds: Annotated[int, Meta(ge=1, le=MAX_SILENCE)]
    author: Name
    comment: Line = ""
    until_resolved: bool = False


class NewAck(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `POST /api/v1/alerts/ID/ack` takes."""

    author: Name
    comment: Line = ""


class Actions(Protocol):
    """What the API shows and changes. Documents are plain JSON data; changes raise `Refused`."""

    def alerts(self) -> list[dict[str, Any]]: ...

    def silences(self) -> list[dict[str, Any]]: ...

    async def add_silence(self, wish: NewSilence) -> dict[str, Any]: ...

    async def expire_silence(self, silence: str) -> dict[str, Any]: ...

    async def acknowledge(self, alert: str, wish: NewAck) -> dict[str, Any]: ...


def routes(actions: Actions, token: Callable[[], Secret | None]) -> list[BaseRoute]:
    """The API; `token` is asked at each request, since a reload may change it."""

    def reading(show: Callable[[], list[dict[str, Any]]], name: str) -> Callable[[Request], Awaitable[Response]]:
        async def read(request: Request) -> Response:
            if not (_is_local(request) or _shows(request, token())):
                raise HTTPException(401, "show http.token: Authorization: Bearer …", {"www-authenticate": "Bearer"})
            try:
                return JSONResponse({name: show()})
            except Refused as refused:
                raise HTTPException(refused.status, str(refused)) from None

        return read

    def changing(change: Callable[[Request], Awaitable[Mapping[str, Any]]]) -> Callable[[Request], Awaitable[Response]]:
        async def write(request: Request) -> Response:
            if token() is None:
                raise HTTPException(403, "nothing can be changed here: set http.token in the configuration")
            if not _shows(request, token()):
                raise HTTPException(401, "show http.token: Authorization: Bearer …", {"www-authenticate": "Bearer"})
            try:
                return JSONResponse(await change(request))
            except Refused as refused:
                raise HTTPException(refused.status, str(refused)) from None

        return write

    async def add(request: Request) -> Mapping[str, Any]:
        return await actions.add_silence(await _body(request, NewSilence))

    async def expire(request: Request) -> Mapping[str, Any]:
        return await actions.expire_silence(request.path_params["silence"])

    async def acknowledge(request: Request) -> Mapping[str, Any]:
        return await actions.acknowledge(request.path_params["alert"], await _body(request, NewAck))

    return [
        Route("/api/v1/alerts", reading(actions.alerts, "alerts"), methods=["GET"]),
        Route("/api/v1/alerts/{alert}/ack", changing(acknowledge), methods=["POST"]),
        Route("/api/v1/silences", reading(actions.silences, "silences"), methods=["GET"]),
        Route("/api/v1/silences", changing(add), methods=["POST"]),
        Route("/api/v1/silences/{silence}", changing(expire), methods=["DELETE"]),
    ]


def _is_local(request: Request) -> bool:
    """Whether the request comes from this machine and was meant for it."""
    return request.client is not None and _loopback(request.client.host) and _loopback(request.url.hostname or "")


def _loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _shows(request: Request, token: Secret | None) -> bool:
    """Whether the request carries the token."""
    scheme, _, shown = request.headers.get("authorization", "").partition(" ")
    if token is None or scheme.lower() != "bearer":
        return False
    return hmac.compare_digest(shown.strip().encode(), token.reveal().encode())


async def _body(request: Request, kind: type[T]) -> T:
    """The JSON body as a shape. Answers 413 and 422 otherwise."""
    too_large = HTTPException(413, f"the body is larger than {MAX_BODY} bytes")
    if int(request.headers.get("content-length", "0")) > MAX_BODY:  # the server has checked that it is a number
        raise too_large
    raw = bytearray()
    async with aclosing(request.stream()) as chunks:
        async for chunk in chunks:
            raw += chunk
            if len(raw) > MAX_BODY:
                raise too_large
    try:
        return msgspec.json.decode(bytes(raw), type=kind)
    except msgspec.DecodeError as error:
        raise HTTPException(422, str(error)[:300]) from None
