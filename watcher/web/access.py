"""Who may read and who may change: one place that decides, for pages, API and metrics alike.

Reading is open to the machine itself, since whoever is on it can read the state file. A page in a browser on the same
machine is on the machine too, so an open read must also name a local host: a site that points its own name at 127.0.0.1
is refused. And it must not have been handed on by a proxy: what a reverse proxy on this machine forwards comes from
loopback and may come from anywhere. From elsewhere one shows `http.token`, or comes through a proxy that is trusted
(`http.proxy`): its address and the header in which it names who signed in.

Changing needs the token, always: as `Authorization: Bearer`, or as a session, which is what a browser gets for showing
the token once. A session is a cookie that no script can read and that no other site's request carries
(`SameSite=Strict`); it is signed with the token and holds nothing else, so that nothing is kept here, a restart ends
none, and a new token ends all. A change by session must also be said by the browser to come from this very page
(`Sec-Fetch-Site`, or `Origin` where an old browser does not say). Keeping the token in the page's own storage was
considered: one slip in escaping would then give it away.

Everything secret is compared in constant time.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from watcher.listener import ProxySettings, loopback
from watcher.secret import Secret

COOKIE = "watcher_session"
SESSION = 12 * 3600  # run seconds: a shift

_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
_BEARER = {"www-authenticate": "Bearer"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """`token` and `proxy` are asked at each request, since a reload may change them; `now` is the run clock."""

    token: Callable[[], Secret | None]
    now: Callable[[], float]
    proxy: Callable[[], ProxySettings | None] = lambda: None

    def may_read(self, request: Request) -> bool:
        """Whether the request may see anything."""
        return _is_local(request) or self._trusted(request) or self._bearer(request) or self._session(request)

    def check_read(self, request: Request) -> None:
        """Raises 401 with what to do."""
        if not self.may_read(request):
            raise HTTPException(401, "show http.token: Authorization: Bearer …", _BEARER)

    def check_change(self, request: Request) -> None:
        """Raises 401 or 403 with what to do."""
        if self.token() is None:
            raise HTTPException(403, "nothing can be changed here: set http.token in the configuration")
        if self._bearer(request):
            return
        if not self._session(request):
            raise HTTPException(401, "show http.token: Authorization: Bearer …", _BEARER)
        if not same_origin(request):
            raise HTTPException(403, "a change by session must come from watcher's own page")

    def is_token(self, shown: str) -> bool:
        """Whether that is the token."""
        token = self.token()
        return token is not None and hmac.compare_digest(shown.strip().encode(), token.reveal().encode())

    def begin(self, response: Response, request: Request) -> None:
        """Give a browser a session. Only for who has shown the token."""
        token = self.token()
        assert token is not None
        until = int(self.now()) + SESSION
        secure = "https" in (request.url.scheme, request.headers.get("x-forwarded-proto"))
        response.set_cookie(
            COOKIE, f"{until}.{_sign(token, until)}", max_age=SESSION, httponly=True, samesite="strict", secure=secure
        )

    def end(self, response: Response) -> None:
        """Take a browser's session."""
        response.delete_cookie(COOKIE, httponly=True, samesite="strict")

    def _bearer(self, request: Request) -> bool:
        scheme, _, shown = request.headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and self.is_token(shown)

    def _session(self, request: Request) -> bool:
        token = self.token()
        until, _, signature = request.cookies.get(COOKIE, "").partition(".")
        if token is None or not (until.isascii() and until.isdigit() and len(until) < 16):
            return False
        right = hmac.compare_digest(signature.encode(), _sign(token, int(until)).encode())
        return right and self.now() < int(until) <= self.now() + SESSION

    def _trusted(self, request: Request) -> bool:
        """Whether a proxy that is trusted says who it is."""
        proxy = self.proxy()
        if proxy is None or request.client is None or not request.headers.get(proxy.header, "").strip():
            return False
        return proxy.trusts(request.client.host)


def same_origin(request: Request) -> bool:
    """Whether the browser says that its own page of this host sent it."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = request.headers.get("origin", "")
    return bool(origin) and urlsplit(origin).netloc == request.headers.get("host")


def _sign(token: Secret, until: int) -> str:
    return hmac.new(token.reveal().encode(), f"watcher session until {until}".encode(), hashlib.sha256).hexdigest()


def _is_local(request: Request) -> bool:
    """Whether the request comes from this machine, was meant for it, and nobody handed it on."""
    if request.client is None or any(name in request.headers for name in _FORWARDED):
        return False
    return loopback(request.client.host) and loopback(request.url.hostname or "")
