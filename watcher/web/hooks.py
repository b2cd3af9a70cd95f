"""`/hooks/agora/TOKEN` and `/hooks/look/TOKEN`: somebody outside says that something is wrong, so look now.

Agora's alert callback has no authentication at all (dossier, section 10.1), so the path carries a token that cannot be
guessed, compared in constant time; a wrong one is a page that does not exist. Nothing that comes in is believed beyond
"look now": no value, no time, no text of it is kept, logged or shown. A project's name only narrows where to look. What
a look costs is the schedule's decision: hints are paid from its reserve, so a flood of them costs the reserve at most.

Agora gives an answer two seconds and sends twice more, so the hint is noted and answered at once, before any look.
A signature was considered and is not to be had from Agora; for the user's own systems the token does the same.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any, Protocol

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from watcher.clock import MINUTE, real_monotonic
from watcher.secret import Secret

MAX_BODY = 16 * 1024  # bytes; Agora's own is below one thousand
PER_MINUTE = 30  # requests with the right token that a hook takes; Agora sends one for each trigger
_LONGEST_NAME = 200

PREFIX = "/hooks/"


class Listener(Protocol):
    """Who looks."""

    def hint(self, *, provider: str | None, account: str | None, project: str | None) -> int:
        """Look soon at what these name (None: any); the number of projects that they name."""
        ...

    def hook_answered(self, hook: str, outcome: str) -> None:
        """For the counters: `accepted`, `unknown`, `malformed`, `too_large` or `flood`."""
        ...


class _Bucket:
    """So many at once, refilled evenly over a minute of real time."""

    def __init__(self, per_minute: int) -> None:
        self._most = float(per_minute)
        self._left = self._most
        self._at = real_monotonic()

    def take(self) -> bool:
        now = real_monotonic()
        self._left = min(self._most, self._left + (now - self._at) * self._most / MINUTE)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


def routes(listener: Listener, token: Callable[[], Secret | None]) -> list[BaseRoute]:
    """The hooks; `token` is asked at each request, since a reload may change it."""

    def hook(name: str, act: Callable[[dict[str, Any]], int]) -> Callable[[Request], Awaitable[Response]]:
        bucket = _Bucket(PER_MINUTE)

        def refuse(status: int, outcome: str, detail: str, **headers: str) -> HTTPException:
            listener.hook_answered(name, outcome)
            return HTTPException(status, detail, headers or None)

        async def answer(request: Request) -> Response:
            if not _fits(request.path_params["token"], token()):
                raise HTTPException(404)
            if not bucket.take():
                raise refuse(429, "flood", "too many hints: they are all the same to us", **{"retry-after": "60"})
            body = await _body(request)
            if body is None:
                raise refuse(413, "too_large", f"at most {MAX_BODY} bytes")
            document = _parsed(body)
            if document is None:
                raise refuse(400, "malformed", "send a JSON object, or nothing")
            found = act(document)
            if not found:
                raise refuse(422, "unknown", "no configured project is meant: compare account and project names")
            listener.hook_answered(name, "accepted")
            return JSONResponse({"looking_at": found}, 202)

        return answer

    def agora(document: dict[str, Any]) -> int:
        """Their project name where it is one of ours, else every project there."""
        named = listener.hint(provider="agora", account=None, project=_name(document, "projectName") or "")
        return named or listener.hint(provider="agora", account=None, project=None)

    def look(document: dict[str, Any]) -> int:
        return listener.hint(provider=None, account=_name(document, "account"), project=_name(document, "project"))

    return [
        Route(PREFIX + "agora/{token}", hook("agora", agora), methods=["POST"]),
        Route(PREFIX + "look/{token}", hook("look", look), methods=["POST"]),
    ]


def _fits(shown: str, token: Secret | None) -> bool:
    """Whether the path's token is the configured one; without one configured, nothing fits."""
    return token is not None and hmac.compare_digest(shown.encode(), token.reveal().encode())


async def _body(request: Request) -> bytes | None:
    """The whole body; None where it is longer than allowed, of which no more than that is read."""
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > MAX_BODY:
        return None
    body = bytearray()
    async with aclosing(request.stream()) as chunks:
        async for chunk in chunks:
            body += chunk
            if len(body) > MAX_BODY:
                return None
    return bytes(body)


def _parsed(body: bytes) -> dict[str, Any] | None:
    """The object in a body; nothing at all is an empty one."""
    if not body.strip():
        return {}
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _name(document: dict[str, Any], key: str) -> str | None:
    value = document.get(key)
    return value[:_LONGEST_NAME] if isinstance(value, str) else None
