"""What one outbox writes into the store, and what it remembers where that fails.

One door to the store for deciding and delivering alike, so that a disk that fails is noticed once, logged once, and
found to work again in one place. What it costs meanwhile is bookkeeping: `Backlog`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from structlog.typing import FilteringBoundLogger

from watcher.alerts.backlog import Backlog
from watcher.errors import StoreError, clip
from watcher.model import Notification, Obligation, Store
from watcher.workers import Workers

T = TypeVar("T")


class Keeping:
    """Mutable, owned by one outbox. `errors` counts since start."""

    def __init__(self, *, target: str, store: Store, workers: Workers, log: FilteringBoundLogger) -> None:
        self.backlog = Backlog()
        self.store = store
        self.failing = False
        self.errors = 0
        self._target = target
        self._workers = workers
        self._log = log

    async def read(self, call: Callable[[], T]) -> T | None:
        """What the store answers; None where it fails."""
        try:
            return await self._workers.run(call)
        except StoreError as error:
            self._fails(error)
            return None

    async def write(self, call: Callable[[], None]) -> bool:
        """Whether the store took it."""
        try:
            await self._workers.run(call)
        except StoreError as error:
            self._fails(error)
            return False
        return True

    async def save(self, message: Notification) -> None:
        """Note a message's state durably, or remember that this is still to be done."""
        if message.id in self.backlog.volatile:
            self.backlog.volatile[message.id] = message
            return
        self.backlog.keep_unsaved(message)
        if await self.write(partial(self.store.update_notification, message)):
            self.backlog.saved(message)

    async def open_obligations(self) -> list[Obligation] | None:
        """What the store has open, without what it learns just now; None where it cannot be read."""
        stored = await self.read(partial(self.store.open_obligations, self._target))
        if stored is None:
            return None
        learned: set[str] = set()
        await self._catch_up(stored, learned)
        return [o for o in stored if o.id not in learned]

    async def _catch_up(self, stored: list[Obligation], learned: set[str]) -> None:
        """Record what was said from memory before anything new is decided, as far as the store takes it."""
        for message in self.backlog.recordable({o.id for o in stored}):
            if not await self.write(partial(self.store.record_notification, message)):
                return
            self.backlog.recorded(message)
            learned.update(message.obligations)
        while missed := next(iter(self.backlog.unsaved.values()), None):
            if not await self.write(partial(self.store.update_notification, missed)):
                return
            self.backlog.saved(missed)
        if self.failing and await self.write(self.store.probe):
            self.failing = False
            self._log.info("outbox_durable_again")

    def _fails(self, error: StoreError) -> None:
        self.errors += 1
        if not self.failing:
            self.failing = True
            self._log.error("outbox_not_durable", detail=clip(str(error)))
