"""Real programs and sockets, in real time: asyncio, as in production."""

from __future__ import annotations

import pytest


@pytest.fixture
def anyio_backend() -> str:
    """The event loop of production."""
    return "asyncio"
