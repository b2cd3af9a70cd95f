"""`/`: the status page, for a person woken at night, on a telephone, in the dark.

Drawn on the server and readable without a script. A small script keeps it current: every five seconds it asks `/live`
for the tags of the sections, and fetches those that changed. Polling with `If-None-Match` was taken over server-sent
events: a minute in which nothing changes is twelve answers without a body, a telephone that slept need not reconnect, a
proxy has nothing to buffer, and fifty readers hold no fifty connections open.

A board is drawn once, in a thread, for whoever asks meanwhile. Pages bring their own Content-Security-Policy: nothing
but our own files is run, shown or asked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from urllib.parse import parse_qsl, urlsplit

import anyio
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from watcher.errors import Refused
from watcher.web.access import Access, same_origin
from watcher.web.api import body_of
from watcher.web.sections import STATIC, Drawing, Drawn, Part, static
from watcher.web.views import Board, Views
from watcher.workers import Workers

POLICY = "; ".join(
    (
        "default-src 'none'",
        "style-src 'self'",
        "script-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
HTML = "text/html; charset=utf-8"
_FOR_EVER = {"cache-control": "public, max-age=31536000, immutable"}

Handler = Callable[[Request], Awaitable[Response]]


class Page:
    """What was drawn last, and how it is made anew."""

    def __init__(self, views: Views, workers: Workers) -> None:
        self.drawing = Drawing()
        self._views = views
        self._workers = workers
        self._turn = anyio.Lock()
        self._last: tuple[Board, Drawn] | None = None

    async def drawn(self) -> Drawn:
        """The status page as the newest board says. Raises `Refused`."""
        board = await self._views.board()
        async with self._turn:
            if self._last is None or self._last[0] is not board:
                self._last = board, await self._workers.run(partial(self.drawing.board, board))
            return self._last[1]

    async def alert(self, alert: str) -> Part:
        """The page of one alert. Raises `Refused`."""
        board, (detail, curve) = await self._views.board(), await self._views.alert(alert)
        return await self._workers.run(partial(self.drawing.alert, detail, curve, board))

    async def rule(self, rule: str) -> Part:
        """The page of one rule. Raises `Refused`."""
        board, found = await self._views.board(), await self._views.explain(rule)
        return await self._workers.run(partial(self.drawing.rule, found, board))


def routes(views: Views, access: Access, workers: Workers) -> list[BaseRoute]:
    """Everything for browsers."""
    page = Page(views, workers)

    def shown(make: Callable[[Request], Awaitable[Part]]) -> Handler:
        """A page for who may read; the way in for who may not yet."""

        async def show(request: Request) -> Response:
            if not access.may_read(request):
                possible = access.token() is not None
                return _answer(request, page.drawing.login("", request.url.path, possible=possible), status=401)
            try:
                return _answer(request, await make(request))
            except Refused as refused:
                return _answer(request, page.drawing.problem(str(refused)), status=refused.status)

        return show

    async def index(request: Request) -> Part:
        return (await page.drawn()).page

    async def alert(request: Request) -> Part:
        return await page.alert(request.path_params["alert"])

    async def rule(request: Request) -> Part:
        return await page.rule(request.path_params["rule"])

    async def live(request: Request) -> Response:
        access.check_read(request)
        try:
            drawn = await page.drawn()
        except Refused as refused:
            raise HTTPException(refused.status, str(refused)) from None
        part = drawn.sections.get(request.path_params["section"]) if "section" in request.path_params else drawn.live
        if part is None:
            raise HTTPException(404)
        kind = HTML if "section" in request.path_params else "application/json"
        answer = _answer(request, part, kind=kind)
        answer.headers["x-watcher-now"] = drawn.now
        return answer

    async def login(request: Request) -> Response:
        """The token for a session; the form works without a script."""
        form = dict(parse_qsl((await body_of(request)).decode("utf-8", "replace"), max_num_fields=10))
        after = _own_path(form.get("after", "/"))
        if not same_origin(request):
            return _answer(request, page.drawing.problem("a sign-in must come from watcher's own page"), status=403)
        if not access.is_token(form.get("token", "")):
            possible = access.token() is not None
            return _answer(request, page.drawing.login("That is not the token.", after, possible=possible), status=401)
        answer = RedirectResponse(after, 303)
        access.begin(answer, request)
        return answer

    async def logout(request: Request) -> Response:
        answer: Response = RedirectResponse("/", 303)
        if same_origin(request):
            access.end(answer)
        return answer

    async def file(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in STATIC:
            raise HTTPException(404)
        return Response(static(name), media_type=STATIC[name], headers=_FOR_EVER)

    return [
        Route("/", shown(index)),
        Route("/alerts/{alert}", shown(alert)),
        Route("/rules/{rule}", shown(rule)),
        Route("/live", live),
        Route("/live/{section}", live),
        Route("/login", login, methods=["POST"]),
        Route("/logout", logout, methods=["POST"]),
        Route("/static/{name}", file),
    ]


def _answer(request: Request, part: Part, *, status: int = 200, kind: str = HTML) -> Response:
    """A part as the reader can take it: not at all where it is known already, packed where that is understood."""
    headers = {"content-security-policy": POLICY, "etag": part.tag, "vary": "accept-encoding, cookie"}
    if status == 200 and part.tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    if part.packed is not None and "gzip" in request.headers.get("accept-encoding", ""):
        return Response(part.packed, status, {**headers, "content-encoding": "gzip"}, kind)
    return Response(part.body, status, headers, kind)


def _own_path(text: str) -> str:
    """A path of ours to go on to; anything else is the front page."""
    found = urlsplit(text)
    own = text.startswith("/") and not text.startswith(("//", "/\\")) and not found.netloc and not found.scheme
    return found.path if own else "/"
