"""The pages for machines: metrics, health, and what every answer has in common."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import httpx
import pytest

from tests.web.fakes import application, is_ready
from tests.web.fakes import metrics as page
from watcher import log
from watcher.metrics import CONTENT_TYPE
from watcher.web import ReadyReport
from watcher.web.guard import SECURITY_HEADERS

pytestmark = pytest.mark.anyio

READY = ReadyReport(config=True, state=True, listener=True)


def crash() -> bytes:
    """Metrics that cannot be rendered."""
    raise ValueError("https://example.invalid/?token=hunter2")


def always(report: ReadyReport) -> Callable[[], Awaitable[ReadyReport]]:
    """Readiness that does not change."""

    async def ready() -> ReadyReport:
        return report

    return ready


async def never() -> ReadyReport:
    """A state that does not answer."""
    await anyio.sleep_forever()
    raise AssertionError


@asynccontextmanager
async def client(
    metrics: Callable[[], bytes] = page, ready: Callable[[], Awaitable[ReadyReport]] = is_ready
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application."""
    web = application(metrics=metrics, ready=ready)
    transport = httpx.ASGITransport(web, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost:9469") as found:
        yield found


async def test_metrics_are_served_as_prometheus_reads_them() -> None:
    """The page as rendered, with its content type, compressed where the client can."""
    async with client() as web:
        plain = await web.get("/metrics", headers={"accept-encoding": "identity"})
        packed = await web.get("/metrics", headers={"accept-encoding": "gzip"})
    assert (plain.status_code, plain.headers["content-type"]) == (200, CONTENT_TYPE)
    assert "content-encoding" not in plain.headers
    assert b"watcher_build_info" in plain.content
    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) < len(plain.content)
    assert b"watcher_build_info" in packed.content


async def test_the_process_is_alive() -> None:
    """`/healthz` says so whatever else is wrong."""
    async with client(crash, never) as web:
        answer = await web.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"alive": True})


@pytest.mark.parametrize(
    ("report", "missing"),
    [
        (READY, []),
        (ReadyReport(config=False, state=True, listener=True), ["config"]),
        (ReadyReport(config=True, state=False, listener=True), ["state"]),
        (ReadyReport(config=True, state=False, listener=False), ["state", "listener"]),
    ],
)
async def test_readiness_names_what_is_missing(report: ReadyReport, missing: list[str]) -> None:
    """200 where all is there, else 503 with the parts that are not."""
    async with client(ready=always(report)) as web:
        answer = await web.get("/readyz")
    assert answer.status_code == (503 if missing else 200)
    assert answer.json() == {"ready": not missing, "not_ready": missing}


async def test_a_state_that_does_not_answer_is_not_ready() -> None:
    """A hanging disk is a 503 in time, not a hanging probe."""
    started = anyio.current_time()
    async with client(ready=never) as web:
        answer = await web.get("/readyz")
    assert anyio.current_time() - started <= 5.0
    assert answer.status_code == 503
    assert answer.json()["not_ready"] == ["state"]


@pytest.mark.parametrize(
    "path",
    [
        "/live/nothing",
        "/static/../page.py",
        "/metrics/",
        "/readyz/x",
        "/favicon.ico",
        "/%0d%0aset-cookie:a",
        "/../etc/passwd",
    ],
)
async def test_everything_else_is_not_found(path: str) -> None:
    """404 as JSON, no redirect."""
    async with client() as web:
        answer = await web.get(path)
    assert (answer.status_code, answer.json()) == (404, {"error": "Not Found"})


async def test_only_reading_is_allowed() -> None:
    """Other methods are refused as JSON, with those that are allowed."""
    async with client() as web:
        answer = await web.post("/metrics", content=b"x" * 10_000)
    assert (answer.status_code, answer.json()) == (405, {"error": "Method Not Allowed"})
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}


@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/readyz"])
async def test_head_is_get_without_a_body(path: str) -> None:
    """The same status and type, no content."""
    async with client() as web:
        head, get = await web.head(path), await web.get(path)
    assert (head.status_code, head.headers["content-type"]) == (200, get.headers["content-type"])
    assert head.content == b""


@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/readyz", "/nothing"])
async def test_answers_carry_security_headers_and_no_banner(path: str) -> None:
    """Browsers are told to be careful; nobody is told what runs here."""
    async with client() as web:
        answer = await web.get(path)
    assert {name: answer.headers.get(name) for name in SECURITY_HEADERS} == dict(SECURITY_HEADERS)
    assert "server" not in answer.headers
    assert "x-powered-by" not in answer.headers


async def test_a_crash_is_logged_and_says_nothing_outside() -> None:
    """500 as JSON with the same headers; the log has the kind of error and neither its text nor a trace."""
    logged = io.StringIO()
    log.configure(stream=logged)
    async with client(crash) as web:
        answer = await web.get("/metrics?token=hunter2")
    assert (answer.status_code, answer.json()) == (500, {"error": "Internal Server Error"})
    assert {name: answer.headers.get(name) for name in SECURITY_HEADERS} == dict(SECURITY_HEADERS)
    assert '"page_failed"' in logged.getvalue()
    assert "ValueError" in logged.getvalue()
    assert "hunter2" not in answer.text + logged.getvalue()
