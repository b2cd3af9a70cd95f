"""Who may read and who may change: tokens, sessions, proxies, and pages of other sites that try."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import httpx
import pytest

from tests.web import boards
from tests.web.fakes import NOW, FakeViews, application
from watcher.listener import ProxySettings
from watcher.web.access import COOKIE, SESSION

pytestmark = pytest.mark.anyio

TOKEN = "0123456789abcdef-token"
FAR = "192.0.2.7"
SITE = "http://watcher.example.com"
OURS = {"origin": SITE, "sec-fetch-site": "same-origin"}
ACK = {"author": "kim"}
ALERT = f"/api/v1/alerts/{0:016x}/ack"
PROXY = ProxySettings(header="X-Auth-User", networks=("192.0.2.0/28", "fd00::/8"))


class Time:
    """A run clock that a test moves."""

    now = NOW


@asynccontextmanager
async def client(
    *,
    token: str | None = TOKEN,
    peer: str = FAR,
    base: str = SITE,
    time: Time | None = None,
    proxy: ProxySettings | None = None,
    views: FakeViews | None = None,
) -> AsyncIterator[httpx.AsyncClient]:
    """A browser somewhere else."""
    clock = time or Time()
    app = application(views, token=token, now=lambda: clock.now, proxy=proxy)
    transport = httpx.ASGITransport(app, client=(peer, 12345))
    async with httpx.AsyncClient(transport=transport, base_url=base) as found:
        yield found


async def sign_in(web: httpx.AsyncClient, token: str = TOKEN, **headers: str) -> httpx.Response:
    """Show the token in the form."""
    return await web.post("/login", data={"token": token, "after": "/"}, headers={**OURS, **headers})


PAGES = ["/", "/live", "/live/alerts", "/alerts/x", "/rules/x", "/metrics", "/api/v1/status", "/api/v1/openapi.json"]


@pytest.mark.parametrize("path", PAGES)
async def test_whoever_comes_from_elsewhere_shows_something(path: str) -> None:
    """Nothing of the board is in the refusal; health, and files that hold nothing, are open."""
    views = FakeViews(boards.board(alerts=1, channel="s3cret-room"))
    async with client(views=views) as web:
        answer = await web.get(path)
        assert answer.status_code == 401
        assert "s3cret-room" not in answer.text
        assert "Freezing" not in answer.text
        assert views.asked == 0
        for open_ in ("/healthz", "/readyz", "/static/page.css"):
            assert (await web.get(open_)).status_code == 200


async def test_the_token_once_is_a_session() -> None:
    """For reading and for changing, for twelve hours, in a cookie that no script and no other site gets."""
    time, views = Time(), FakeViews()
    async with client(time=time, views=views) as web:
        answer = await sign_in(web)
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        cookie = answer.headers["set-cookie"].lower()
        for word in ("httponly", "samesite=strict", "path=/", f"max-age={SESSION}"):
            assert word in cookie
        assert TOKEN not in cookie
        assert (await web.get("/")).status_code == 200
        assert (await web.post(ALERT, json=ACK, headers=OURS)).status_code == 200
        assert len(views.wishes) == 1
        time.now += SESSION + 1
        assert (await web.get("/")).status_code == 401
        assert (await web.post(ALERT, json=ACK, headers=OURS)).status_code == 401


async def test_a_cookie_over_https_stays_there() -> None:
    """`Secure`, where the browser came by HTTPS, also by a proxy's word."""
    async with client() as web:
        assert "secure" not in (await sign_in(web)).headers["set-cookie"].lower()
        assert "secure" in (await sign_in(web, **{"x-forwarded-proto": "https"})).headers["set-cookie"].lower()


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "https://evil.example.com"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site", "origin": SITE},
        {"sec-fetch-site": "none"},
    ],
)
async def test_no_other_site_changes_anything_with_the_session(headers: Mapping[str, str]) -> None:
    """Were the cookie sent, the request must still come from our own page; signing in and out as well."""
    views = FakeViews()
    async with client(views=views) as web:
        await sign_in(web)
        answer = await web.post(ALERT, json=ACK, headers=headers)
        assert answer.status_code == 403
        assert (await web.post("/login", data={"token": TOKEN}, headers=headers)).status_code == 403
        await web.post("/logout", headers=headers)
        assert (await web.get("/")).status_code == 200, "still signed in"
    assert views.wishes == []


async def test_an_old_browser_s_origin_will_do_and_signing_out_ends_it() -> None:
    """Where it does not say `Sec-Fetch-Site`."""
    async with client() as web:
        await web.post("/login", data={"token": TOKEN}, headers={"origin": SITE})
        assert (await web.post(ALERT, json=ACK, headers={"origin": SITE})).status_code == 200
        await web.post("/logout", headers={"origin": SITE})
        assert (await web.get("/")).status_code == 401


@pytest.mark.parametrize(
    "cookie",
    [
        "",
        "x",
        f"{int(NOW) + 60}.",
        f"{int(NOW) + 60}.{'0' * 64}",
        f"{int(NOW) + 10 * SESSION}.{'0' * 64}",
        f"-1.{'0' * 64}",
        f"{'9' * 400}.{'0' * 64}",
        "1767225600.\xe9",
    ],
)
async def test_a_made_up_session_is_none(cookie: str) -> None:
    """Whatever is in it."""
    async with client() as web:
        answer = await web.get("/", headers={b"cookie": f"{COOKIE}={cookie}".encode("latin-1")})
    assert answer.status_code == 401


async def test_another_token_ends_every_session_and_none_allows_none() -> None:
    """The signature is made with it; a later end cannot be written over it either."""
    async with client() as web:
        cookie = (await sign_in(web)).cookies[COOKIE]
        until, _, signature = cookie.partition(".")
    for token in ("another-token-of-16", None):
        async with client(token=token) as web:
            assert (await web.get("/", headers={"cookie": f"{COOKIE}={cookie}"})).status_code == 401
    async with client() as web:
        later = f"{COOKIE}={int(until) - 1}.{signature}"
        assert (await web.get("/", headers={"cookie": later})).status_code == 401


@pytest.mark.parametrize("token", ["", "0123456789abcdef-toke", f"{TOKEN}x", "é" * 20])
async def test_a_wrong_token_begins_nothing(token: str) -> None:
    """And is told so, on a page that does not repeat it."""
    async with client() as web:
        answer = await sign_in(web, token)
    assert (answer.status_code, "set-cookie" in answer.headers) == (401, False)
    assert "That is not the token." in answer.text
    assert not token or token not in answer.text


@pytest.mark.parametrize(
    ("after", "location"),
    [
        ("/alerts/x", "/alerts/x"),
        ("//evil.example.com", "/"),
        ("/\\evil.example.com", "/"),
        ("https://evil.example.com/", "/"),
        ("javascript:alert(1)", "/"),
        ("", "/"),
    ],
)
async def test_signing_in_leads_to_our_own_pages_only(after: str, location: str) -> None:
    """Wherever the form says."""
    async with client() as web:
        answer = await web.post("/login", data={"token": TOKEN, "after": after}, headers=OURS)
    assert answer.headers["location"] == location


@pytest.mark.parametrize(
    ("peer", "headers", "status"),
    [
        ("192.0.2.7", {"x-auth-user": "kim"}, 200),
        ("::ffff:192.0.2.7", {"x-auth-user": "kim"}, 200),
        ("fd00::1", {"x-auth-user": "kim"}, 200),
        ("192.0.2.7", {"x-auth-user": " "}, 401),
        ("192.0.2.7", {}, 401),
        ("192.0.2.99", {"x-auth-user": "kim"}, 401),
        ("nonsense", {"x-auth-user": "kim"}, 401),
    ],
)
async def test_a_trusted_proxy_lets_read_and_not_change(peer: str, headers: dict[str, str], status: int) -> None:
    """By its address and its header together."""
    async with client(peer=peer, proxy=PROXY) as web:
        assert (await web.get("/", headers=headers)).status_code == status
        assert (await web.post(ALERT, json=ACK, headers={**headers, **OURS})).status_code == 401


@pytest.mark.parametrize("name", ["forwarded", "x-forwarded-for", "x-real-ip", "via", "x-forwarded-host"])
async def test_what_a_proxy_on_this_machine_hands_on_is_not_local(name: str) -> None:
    """It comes from loopback and may come from anywhere."""
    async with client(peer="127.0.0.1", base="http://127.0.0.1:9469") as web:
        assert (await web.get("/")).status_code == 200
        assert (await web.get("/", headers={name: "203.0.113.9"})).status_code == 401


async def test_a_rebound_name_reads_nothing() -> None:
    """A site that points its own name at 127.0.0.1 has the peer, and not the host."""
    async with client(peer="127.0.0.1", base="http://rebound.example.com:9469") as web:
        for path in PAGES:
            assert (await web.get(path)).status_code == 401
