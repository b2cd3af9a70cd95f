"""The machine's Chromium, and the web application that it looks at.

Playwright comes from PyPI with its driver and without a browser; the browser is Debian's, as its users have it.
Whatever a page writes to the console as an error, throws, or asks of another host fails the test that opened it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import anyio
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, CDPSession, Page, async_playwright

from tests.real.processes import program
from tests.web import boards
from tests.web.fakes import FakeViews, application
from watcher.httpserver import serve

TOKEN = "0123456789abcdef-token"
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """The browser, until the end."""
    async with async_playwright() as playwright:
        found = await playwright.chromium.launch(
            executable_path=program("chromium", "chromium"), args=list(FLAGS), timeout=60_000
        )
        yield found
        await found.close()


@dataclass
class Site:
    """What is served, and where."""

    views: FakeViews
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def shows(self, **board: Any) -> None:
        """From now on the board is this one (`boards.board`)."""
        self.views.now = boards.board(**board)


@asynccontextmanager
async def served(**board: Any) -> AsyncIterator[Site]:
    """The application on a free port of loopback, with a token."""
    site = Site(FakeViews(boards.board(**board)))
    app = application(site.views, token=TOKEN)
    async with anyio.create_task_group() as tasks:
        site.port = await tasks.start(partial(serve, app, host="127.0.0.1", port=0))
        yield site
        tasks.cancel_scope.cancel()


@dataclass
class Seen:
    """What a page did that it must not, and what it received."""

    errors: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)
    received: int = 0  # bytes as sent, headers included


@asynccontextmanager
async def opened(
    browser: Browser, url: str, *, refused: bool = False, **context: Any
) -> AsyncIterator[tuple[Page, Seen]]:
    """A page in a fresh profile, loaded. With `refused` the console may say that an answer was a refusal."""
    profile = await browser.new_context(**context)
    page = await profile.new_page()
    seen = Seen()
    page.on("console", lambda m: seen.errors.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: seen.errors.append(str(error)))
    page.on("request", lambda r: seen.foreign.append(r.url) if urlsplit(r.url).hostname != "127.0.0.1" else None)
    page.on("dialog", lambda dialog: seen.dialogs.append(dialog.message))
    wire = await profile.new_cdp_session(page)
    await _count(wire, seen)
    await page.goto(url, wait_until="load")
    yield page, seen
    await profile.close()
    bad = [error for error in seen.errors if not (refused and "Failed to load resource" in error)]
    assert (bad, seen.foreign, seen.dialogs) == ([], [], [])


async def _count(wire: CDPSession, seen: Seen) -> None:
    def finished(event: dict[str, Any]) -> None:
        seen.received += int(event["encodedDataLength"])

    wire.on("Network.loadingFinished", finished)
    await wire.send("Network.enable")


async def accessible(page: Page) -> list[str]:
    """What axe finds wrong: rule, and where."""
    found = await Axe().run(page)
    return [
        f"{v['id']}: {node['target']} {node['failureSummary']}"
        for v in found.response["violations"]
        for node in v["nodes"]
    ]


async def overflows(page: Page) -> bool:
    """Whether one must scroll sideways."""
    found: bool = await page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
    return found
