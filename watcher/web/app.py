"""The web application, put together.

Starlette's own application is enough: no templates, sessions or dependency injection are needed to serve a page of
text. It is built anew for each daemon, so nothing is kept in modules.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware

from watcher.secret import Secret
from watcher.web import api, health, hooks, hooks_vonage, scrape
from watcher.web.api import Actions
from watcher.web.guard import ERROR_HANDLERS, SecurityHeaders
from watcher.web.health import ReadyReport
from watcher.web.hooks import Listener

_COMPRESS_FROM = 1024  # bytes
_COMPRESS_LEVEL = 1  # metrics shrink to a tenth at the fastest level; more would only hold up the event loop


def build_web(
    *,
    metrics: Callable[[], bytes],
    ready: Callable[[], Awaitable[ReadyReport]],
    actions: Actions,
    token: Callable[[], Secret | None],
    hints: Listener,
    hook_token: Callable[[], Secret | None],
    vonage: hooks_vonage.Hear | None = None,
) -> Starlette:
    """The application.

    `metrics` renders `/metrics`, `ready` says what `/readyz` tells, `actions` is behind the API, `hints` hears the
    hooks, and `vonage` the vendor's posts.
    """
    app = Starlette(
        routes=[
            *scrape.routes(metrics),
            *health.routes(ready),
            *api.routes(actions, token),
            *hooks.routes(hints, hook_token),
            *(hooks_vonage.routes(vonage) if vonage is not None else ()),
        ],
        middleware=[
            Middleware(SecurityHeaders),
            Middleware(GZipMiddleware, minimum_size=_COMPRESS_FROM, compresslevel=_COMPRESS_LEVEL),
        ],
        exception_handlers=ERROR_HANDLERS,
    )
    app.router.redirect_slashes = False  # a redirect would repeat the Host header that the client made up
    return app
