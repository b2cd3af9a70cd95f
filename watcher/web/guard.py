"""What every answer has in common: headers that make browsers careful, and errors as JSON that tell nothing.

The listener is on loopback by default, yet a browser on that machine can be led to it, and what pages show comes from
end users (invariant 7): nothing may be embedded, guessed to be HTML, cached or sent on as a referrer. A route that
needs more (the status page its own style) sets the header itself; one that is set already is left alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from watcher import log
from watcher.web.hooks import PREFIX

SECURITY_HEADERS: Mapping[str, str] = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


class SecurityHeaders:
    """ASGI middleware: `SECURITY_HEADERS` on every answer that has not set them itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_guarded)


async def _refuse(request: Request, error: Exception) -> Response:
    """404, 405 and whatever a route refuses with."""
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, status_code=error.status_code, headers=error.headers)


async def _fail(request: Request, error: Exception) -> Response:
    """A fault of ours: logged with its kind and route; the client learns only that there was one.

    Starlette raises the error again for the server to log, which is silenced (`log`), so it is said here. This answer
    is made outside all middleware, so it carries the headers itself.
    """
    log.get("web").error("page_failed", path=_shown(request.url.path), error=type(error).__name__)
    return JSONResponse({"error": "Internal Server Error"}, status_code=500, headers=dict(SECURITY_HEADERS))


def _shown(path: str) -> str:
    """A path for the log: of a hook's, not the token that it ends with."""
    return f"{PREFIX}…" if path.startswith(PREFIX) else path[:100]


ERROR_HANDLERS: Mapping[Any, Any] = {HTTPException: _refuse, Exception: _fail}  # as Starlette types them
