"""The web application, put together.

Starlette's own application is enough: sessions and dependency injection of a larger framework would stay unused. It
is built anew for each daemon, so nothing is kept in modules.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import BaseRoute

from watcher.secret import Secret
from watcher.web import api, health, hooks, hooks_vonage, page, scrape
from watcher.web.access import Access
from watcher.web.guard import ERROR_HANDLERS, SecurityHeaders
from watcher.web.health import ReadyReport
from watcher.web.hooks import Listener
from watcher.web.views import Views
from watcher.workers import Workers

_COMPRESS_FROM = 1024  # bytes
_COMPRESS_LEVEL = 1  # metrics shrink to a tenth at the fastest level; more would only hold up the event loop


def build_web(
    *,
    metrics: Callable[[], bytes],
    ready: Callable[[], Awaitable[ReadyReport]],
    views: Views,
    access: Access,
    workers: Workers,
    hints: Listener,
    hook_token: Callable[[], Secret | None],
    vonage: hooks_vonage.Hear | None = None,
) -> Starlette:
    """The application.

    `metrics` renders `/metrics`, `ready` says what `/readyz` tells, `views` is behind page and API, `access` says for
    whom, `workers` draw, `hints` hears the hooks, and `vonage` the vendor's posts.
    """
    return _application(
        *scrape.routes(metrics, access.check_read),
        *health.routes(ready),
        *page.routes(views, access, workers),
        *api.routes(views, access),
        *hooks.routes(hints, hook_token),
        *(hooks_vonage.routes(vonage) if vonage is not None else ()),
    )


def build_probes(*, metrics: Callable[[], bytes], ready: Callable[[], Awaitable[ReadyReport]]) -> Starlette:
    """What has an address of its own, open to whoever reaches it: `/metrics` and health, and nothing else."""
    return _application(*scrape.routes(metrics), *health.routes(ready))


def _application(*routes: BaseRoute) -> Starlette:
    app = Starlette(
        routes=routes,
        middleware=[
            Middleware(SecurityHeaders),
            Middleware(GZipMiddleware, minimum_size=_COMPRESS_FROM, compresslevel=_COMPRESS_LEVEL),
        ],
        exception_handlers=ERROR_HANDLERS,
    )
    app.router.redirect_slashes = False  # a redirect would repeat the Host header that the client made up
    return app
