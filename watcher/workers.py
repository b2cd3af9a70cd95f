"""Blocking work (SQLite, Apprise) behind one port.

Threads in production; inline where the clock is virtual and jumping, since an autojumping clock leaps ahead while a
real thread works, and deadlines would fire that no one waited for (design, section 9).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

import anyio
from anyio import to_thread

from watcher.clock import real_deadline
from watcher.errors import StoreError

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


class StoreWorkers:
    """The store's one thread, with patience: a disk that hangs is a store that fails, not a daemon that stands still.

    A call given up goes on in its thread and may take effect later; every write of the store is one transaction that
    can be repeated, so nothing is done twice. Those that come meanwhile wait for the thread, as long, and fail too.
    """

    def __init__(self, inner: Workers, *, patience: float) -> None:
        self._inner = inner
        self._patience = patience

    async def run(self, call: Callable[[], T], *, abandon_on_cancel: bool = False) -> T:
        """Raises `StoreError` where the store does not answer within `patience` real seconds."""
        with real_deadline(self._patience):
            return await self._inner.run(call, abandon_on_cancel=True)
        raise StoreError(f"the state did not answer within {self._patience:g} s: look at its disk")


class InlineWorkers:
    """Runs on the event loop: for virtual time only."""

    async def run(self, call: Callable[[], T], *, abandon_on_cancel: bool = False) -> T:
        return call()


_: tuple[Workers, ...] = (ThreadWorkers(1), InlineWorkers(), StoreWorkers(InlineWorkers(), patience=1.0))
