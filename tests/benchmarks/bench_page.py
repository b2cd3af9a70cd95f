"""What readers of the page cost: the browser's first paint at the largest size, and looks with and without readers.

The second is the daemon as it runs: its own loop and threads in this process, the vendor in one and fifty readers in
another, 500 series and alerts that fire. How late a look leaves is read where its request leaves, against the slot that
the schedule chose for it. Stretches without and with readers take turns, so that the machine's moods fall on both.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import anyio
import httpx
import yaml

from tests.alerts.fakes import FakeSender
from tests.app import world
from tests.browser.stage import chromium, opened, served
from tests.real.processes import free_port, running
from tests.real.stand import eventually, listening
from watcher.app.daemon import Daemon
from watcher.app.service import GIVE_WAY
from watcher.clock import WallClock
from watcher.httpserver import serve
from watcher.secret import Secret
from watcher.web import Access, ReadyReport, build_web
from watcher.workers import ThreadWorkers

PROJECTS, STRETCH, ROUNDS = 50, 20.0, 3  # three times 40 s: each sees every part of a quota minute
READERS = """
import asyncio, sys, httpx
async def reader(client, number):
    tag = ""
    await asyncio.sleep(number / 10)
    while True:
        answer = await client.get("/live", headers={"if-none-match": tag})
        tag = answer.headers.get("etag", tag)
        await client.get(("/", "/api/v1/alerts", "/api/v1/signals", "/live/alerts")[number % 4])
        await asyncio.sleep(5)
async def main():
    kept = httpx.Limits(keepalive_expiry=3)  # the server lets go of a connection after five seconds
    async with httpx.AsyncClient(base_url=sys.argv[1], timeout=30, limits=kept) as client:
        await asyncio.gather(*(reader(client, number) for number in range(50)))
asyncio.run(main())
"""


async def first_paint(*, rounds: int = 5) -> tuple[float, int]:
    """Milliseconds until Chromium paints the largest page first (median), and the bytes that were sent for it."""
    painted: list[float] = []
    received = 0
    async with chromium() as browser, served(alerts=200, series=500, rules=100, channel="room-1") as site:
        for _ in range(rounds):
            async with opened(browser, site.url) as (page, seen):
                paint: float = await page.evaluate(
                    "performance.getEntriesByName('first-contentful-paint').at(0)?.startTime ?? 0"
                )
                painted.append(paint)
                received = seen.received
    return median(painted), received


class LateTap(httpx.AsyncBaseTransport):
    """A wire that notes how long after its slot each look's request leaves."""

    def __init__(self) -> None:
        self.late: list[float] = []
        self.daemon: Daemon | None = None
        self._clock = WallClock()
        self._inner = httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        assert self.daemon is not None
        parts = self.daemon._parts
        assert parts is not None
        slot = parts.loops["acme"].slot
        assert slot is not None
        self.late.append(self._clock.now() - slot.at)
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        await self._inner.aclose()


async def lateness(folder: Path) -> tuple[list[float], list[float], int]:
    """Seconds that looks left late, without and with fifty readers; and how many alerts fired."""
    tap = LateTap()
    sys.setswitchinterval(GIVE_WAY)
    async with _running(folder, tap) as (daemon, url):
        await anyio.sleep(STRETCH)
        alone: list[float] = []
        read: list[float] = []
        for _ in range(ROUNDS):
            alone += await _stretch(tap)
            with _readers(url):
                read += await _stretch(tap)
        firing = len((await daemon.viewing.board()).alerts.alerts)
    return alone, read, firing


async def _stretch(tap: LateTap) -> list[float]:
    tap.late.clear()
    await anyio.sleep(STRETCH)
    return list(tap.late)


@contextlib.contextmanager
def _readers(url: str) -> Any:
    with subprocess.Popen([sys.executable, "-c", READERS, url]) as process:
        try:
            yield
        finally:
            assert process.poll() is None, "the readers read to the end"
            process.kill()


@contextlib.asynccontextmanager
async def _running(folder: Path, tap: LateTap) -> AsyncIterator[tuple[Daemon, str]]:
    clock, vendor = WallClock(), free_port()
    (folder / "world.yaml").write_text(yaml.safe_dump(_story()))
    projects = [{"name": f"room-{n}", "app_id": f"{n:032x}"} for n in range(1, PROJECTS + 1)]
    data = world.config(folder, projects=projects)
    account = data["accounts"][0]
    account |= {"base_url": f"http://127.0.0.1:{vendor}", "quotas": {"realtime": _LIMITS}}
    del account["base_urls"]
    words = ["emulate", "agora", "--scenario", "world.yaml", "--listen", f"127.0.0.1:{vendor}"]
    with running(words, folder=folder, log="vendor.log"):
        await eventually(partial(listening, vendor), seconds=60)
        daemon = Daemon(
            config=world.built(data, folder),
            clock=clock,
            transports={"acme": tap},
            senders=lambda *_: FakeSender(clock),
        )
        tap.daemon = daemon
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(daemon.run)
            port = await tasks.start(partial(serve, _application(daemon, clock), host="127.0.0.1", port=0))
            yield daemon, f"http://127.0.0.1:{port}"
            await daemon.stop()
            tasks.cancel_scope.cancel()


_LIMITS = {"per_minute": 300, "per_day": 400_000}


def _story() -> dict[str, Any]:
    tale = world.scenario()
    account = tale["accounts"][0]
    account["limits"] = dict(_LIMITS)
    account["projects"] = [
        {
            "name": f"room-{n}",
            "app_id": f"{n:032x}",
            "products": {"Native": {"peak_users": 1200}, "WebRTC": {"peak_users": 300}},
            "day": {"trough": "80%"},
        }
        for n in range(1, PROJECTS + 1)
    ]
    began = {"start": "-20m", "duration": "2h"}
    tale["incidents"] = [
        world.incident(0, 0, "Native", videoFreezeRate="14%") | began | {"project": f"room-{n}"} for n in range(1, 21)
    ]
    return tale


def _application(daemon: Daemon, clock: WallClock) -> Any:
    async def ready() -> ReadyReport:
        return ReadyReport(config=True, state=True, listener=True)

    token: Secret | None = None
    return build_web(
        metrics=lambda: b"",
        ready=ready,
        views=daemon.viewing,
        access=Access(token=lambda: token, now=clock.now),
        workers=ThreadWorkers(1),
        hints=daemon,
        hook_token=lambda: None,
    )


def summary(late: Sequence[float]) -> str:
    """Median, 99th percentile and worst, in milliseconds."""
    return f"{median(late) * 1e3:.0f} / {quantiles(late, n=100)[98] * 1e3:.0f} / {max(late) * 1e3:.0f} ms"
