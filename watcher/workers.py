"""Blocking work (SQLite, Apprise) behind one port.

Threads in production; inline where the clock is virtual and jumping, since an autojumping clock leaps ahead while a
real thread works, and deadlines would fire that no one waited for (design, section 9).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

import anyio
from anyio import to_thread

T = TypeVar("T")


class Workers(Protocol):
    """Runs blocking functions off the event loop."""

    async def run(self, call: Callable[[], T], *, abandon_on_cancel: bool = False) -> T:
        """The result of `call()`. With `abandon_on_cancel`, cancellation does not wait for the thread."""
        ...


class ThreadWorkers:
    """One bounded pool; each owner makes its own, so that a slow target cannot take the store's threads."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._limiter: anyio.CapacityLimiter | None = None

    async def run(self, call: Callable[[], T], *, abandon_on_cancel: bool = False) -> T:
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(self._limit)
        return await to_thread.run_sync(call, abandon_on_cancel=abandon_on_cancel, limiter=self._limiter)


class InlineWorkers:
    """Runs on the event loop: for virtual time only."""

    async def run(self, call: Callable[[], T], *, abandon_on_cancel: bool = False) -> T:
        return call()


_: tuple[Workers, ...] = (ThreadWorkers(1), InlineWorkers())
