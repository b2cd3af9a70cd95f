"""One Chromium for all tests here; real time, real sockets, asyncio as in production."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser

from tests.browser.stage import Site, chromium, served


@pytest.fixture(scope="package")
def anyio_backend() -> str:
    """The event loop of production, one for all tests here, since the browser lives in it."""
    return "asyncio"


@pytest.fixture(scope="package")
async def browser(anyio_backend: str) -> AsyncIterator[Browser]:
    """Debian's Chromium."""
    async with chromium() as found:
        yield found


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    """The daemon's web application around a board that the test sets."""
    async with served() as found:
        yield found
