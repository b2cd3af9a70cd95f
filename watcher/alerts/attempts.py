"""Queued messages to one target: one attempt at a time, in order per alert, until each is sent or given up.

* An attempt that is not over within the deadline (real time) is *hung*: it stays in flight until its thread returns,
  and then its outcome counts, also a late success. Cancelling it and trying again was considered: the thread cannot be
  stopped, and the message would come twice. Its alerts wait; other alerts go on, beside up to
  `MAX_ATTEMPTS_AT_ONCE - 1` hung attempts. Where all hang and none ever returns, this target is stuck until the
  restart: logged, paged to operators, and shown as `hung`. Socket timeouts make that rare: only a peer that drips bytes
  for ever gets there.
* A failed message waits on its own (doubling, with jitter from its id, at most five minutes, or what the target asked
  for); others overtake it, but never one of the same alert (`pipeline`). The least tried goes first, so that a fresh
  page does not queue behind a hundred retries.
* Given up after `give_up_after`: EXPIRED; refused for good: REFUSED. Both are logged as errors and counted.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import anyio
from anyio.abc import TaskGroup
from structlog.typing import FilteringBoundLogger

from watcher.alerts.keeping import Keeping
from watcher.alerts.send import MAX_ATTEMPTS_AT_ONCE
from watcher.alerts.settings import DeliverySettings
from watcher.clock import Clock, real_deadline
from watcher.errors import SendError
from watcher.model import Delivery, Notification, Sender

FIRST_RETRY = 5.0  # run seconds
LONGEST_RETRY = 300.0
LONGEST_WISH = 3600.0  # a target's own `Retry-After` is honoured up to this
_SAVE_WITHIN = 5.0  # real seconds that a cancelled attempt may take to note its outcome


@dataclass(slots=True, eq=False)
class Flight:
    """One attempt until its thread returns."""

    message: Notification
    over: anyio.Event = field(default_factory=anyio.Event)
    hung: bool = False


class Attempts:
    """Mutable, owned by one outbox, which `opens` it with a task group to fly in. Counters count since start.

    `landed` is called whenever an attempt is over. `draining`: nothing more starts but what memory alone holds.
    """

    def __init__(
        self,
        *,
        sender: Sender,
        keeping: Keeping,
        clock: Clock,
        delivery: DeliverySettings,
        landed: Callable[[], None],
        log: FilteringBoundLogger,
    ) -> None:
        self.draining = False
        self.failing_since: float | None = None
        self.flights: dict[str, Flight] = {}
        self.outcomes: Counter[Delivery] = Counter()
        self.failed: Counter[str] = Counter(error=0, deadline=0)
        self._sender = sender
        self._keeping = keeping
        self._backlog = keeping.backlog
        self._clock = clock
        self._delivery = delivery
        self._landed = landed
        self._log = log
        self._not_before = 0.0
        self._tasks: TaskGroup | None = None

    def opens(self, tasks: TaskGroup | None) -> None:
        """Attempts fly in these tasks from now on."""
        self._tasks = tasks

    async def deliver(self) -> float | None:
        """Make the attempt that is due, if any; when the next one is."""
        now = self._clock.now()
        await self._expire(now)
        if len(self.flights) >= MAX_ATTEMPTS_AT_ONCE:
            return None  # all hang: the first that returns wakes us
        idle = [m for m in self._backlog.queue.values() if m.id not in self.flights and self._may_go(m)]
        if not idle:
            return None
        chosen = min(idle, key=lambda m: (self._due_at(m, now) > now, m.attempts, m.created_at, m.id))
        if self._due_at(chosen, now) > now:
            return min(self._due_at(m, now) for m in idle)
        await self._attempt(chosen)
        return self._clock.now()

    def drained(self) -> bool:
        """Whether nothing is in flight, and nothing is left that only memory holds."""
        unsaid = self._backlog.offered or any(self._may_go(m) for m in self._backlog.queue.values())
        return self.draining and not self.flights and not unsaid

    def _may_go(self, message: Notification) -> bool:
        """While draining, only what would otherwise be lost."""
        return not self.draining or (message.id in self._backlog.volatile and not message.attempts)

    def _due_at(self, message: Notification, now: float) -> float:
        """When it may go. A wait longer than any that is given out means that the clock was set back: now."""
        waits = ((message.next_at, LONGEST_RETRY), (self._not_before, LONGEST_WISH))
        return max(at if at <= now + longest else now for at, longest in waits)

    async def _attempt(self, message: Notification) -> None:
        """Start an attempt and stay with it for the deadline; beyond it, it goes on as hung."""
        assert self._tasks is not None, "steps are made inside `opened` or `run`"
        sending = replace(message, delivery=Delivery.SENDING, attempts=message.attempts + 1)
        self._backlog.queue[sending.id] = sending
        await self._keeping.save(sending)
        flight = Flight(sending)
        self.flights[sending.id] = flight
        self._tasks.start_soon(self._fly, flight)
        with real_deadline(self._delivery.deadline):
            await flight.over.wait()
        if not flight.over.is_set():
            flight.hung = True
            self.failed["deadline"] += 1
            self._target_fails("not answered within the deadline")

    async def _fly(self, flight: Flight) -> None:
        """One attempt and its outcome, noted also where the attempt is cancelled just after it succeeded."""
        try:
            try:
                await self._sender.send(flight.message)
            except SendError as error:
                after = self._failed(flight.message, error)
            else:
                after = self._delivered(flight.message)
            with anyio.CancelScope(shield=True), real_deadline(_SAVE_WITHIN):
                await self._keeping.save(after)
        finally:
            del self.flights[flight.message.id]
            flight.over.set()
            self._landed()

    def _delivered(self, message: Notification) -> Notification:
        self.outcomes[Delivery.SENT] += 1
        if self.failing_since is not None:
            self.failing_since = None
            self._log.info("target_recovered")
        self._not_before = 0.0
        del self._backlog.queue[message.id]
        return replace(message, delivery=Delivery.SENT, sent_at=self._clock.now(), error="")

    def _failed(self, message: Notification, error: SendError) -> Notification:
        now = self._clock.now()
        self.failed["error"] += 1
        self._target_fails(error.detail)
        if error.permanent:
            return self._finish(replace(message, delivery=Delivery.REFUSED, error=error.detail))
        if error.retry_after is not None:
            self._not_before = now + min(max(error.retry_after, 0.0), LONGEST_WISH)
        wait = retry_delay(message.id, message.attempts)
        after = replace(message, delivery=Delivery.QUEUED, next_at=now + wait, error=error.detail)
        self._backlog.queue[after.id] = after
        return after

    async def _expire(self, now: float) -> None:
        """Give up what is too old; an attempt in flight is let finish."""
        for message in list(self._backlog.queue.values()):
            if now - message.created_at > self._delivery.give_up_after and message.id not in self.flights:
                await self._keeping.save(self._finish(replace(message, delivery=Delivery.EXPIRED)))

    def _finish(self, message: Notification) -> Notification:
        """Undeliverable, for good: the one outcome that must never be quiet."""
        del self._backlog.queue[message.id]
        self.outcomes[message.delivery] += 1
        self._log.error(
            "message_undeliverable",
            outcome=str(message.delivery),
            id=message.id,
            alerts=list(message.alerts[:10]),
            attempts=message.attempts,
            detail=message.error,
        )
        return message

    def _target_fails(self, detail: str) -> None:
        if self.failing_since is None:
            self.failing_since = self._clock.now()
            self._log.warning("target_failing", detail=detail)


def retry_delay(message_id: str, attempts: int) -> float:
    """Run seconds to wait after so many attempts: doubling, cut, and spread by the id so that retries do not march."""
    whole = min(LONGEST_RETRY, FIRST_RETRY * 2.0 ** min(attempts - 1, 20))
    digest = hashlib.sha256(f"{message_id}:{attempts}".encode()).digest()
    return whole * (0.5 + digest[0] / 510)
