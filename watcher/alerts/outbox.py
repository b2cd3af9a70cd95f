"""At least once, in order, to one target: the only place of alerts with effects.

The order of effects is the contract (design, invariant 5): record the message with what it discharges; note durably
that it is being sent; send; note that it is sent. A crash between any two repeats a message under its own id at
worst. After a restart everything queued or being sent is sent again. `step` does what is due and says when to come
back, so that tests call steps; `run` only waits between them.

    obligations in the store ─► deciding ─► the backlog's queue ─► attempts ─► the target
                                    └────────── keeping (the store) ──┘

One target, one outbox, own threads: a target that hangs delays no other. While a target is down, at most `MAX_QUEUED`
messages are written; further obligations stay open in the store, where a firing and its resolve become one message.

Where the store fails, what is decided goes out from memory, marked (`backlog`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio

from watcher import log
from watcher.alerts.attempts import Attempts
from watcher.alerts.deciding import Deciding
from watcher.alerts.keeping import Keeping
from watcher.alerts.limits import Limits
from watcher.alerts.mutes import Mutes
from watcher.alerts.reasons import Dropped, Held, Said
from watcher.alerts.route import Timing
from watcher.alerts.settings import DeliverySettings
from watcher.clock import Clock, real_deadline
from watcher.model import Delivery, Obligation, Sender, Standing, Store, Transition
from watcher.workers import Workers

STORE_RETRY = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxStats:
    """What metrics and pages show of one outbox. Counters count since start; `oldest_age` is in run seconds."""

    target: str
    sent: int
    failed: Mapping[str, int]  # "error", "deadline"
    expired: int
    refused: int
    said: Mapping[Said, int]  # messages, by why they went out
    dropped: Mapping[Dropped, int]
    held: Mapping[Held, int]  # obligations that wait now
    not_durable: int
    overflowed: int
    store_errors: int
    open: int  # obligations waiting, and messages undelivered
    oldest_age: float
    in_flight: int
    hung: int
    failing_since: float | None  # run clock; None while it accepts


class Outbox:
    """Delivers one target's obligations. `timing` says how a group waits; `delivery` holds deadline and give-up.

    `mutes` (what keeps alerts from being said) and `unseen` (accounts that cannot be seen) are asked at each step;
    `detailed` messages carry data beside their text, `charted` ones what to draw.
    """

    def __init__(
        self,
        *,
        target: str,
        sender: Sender,
        store: Store,
        workers: Workers,
        clock: Clock,
        timing: Callable[[Obligation], Timing],
        delivery: DeliverySettings,
        mutes: Callable[[], Mutes] = Mutes,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        unseen: Callable[[], Mapping[str, Transition]] = dict,
        detailed: bool = False,
        charted: bool = False,
    ) -> None:
        self.target = target
        self.sender = sender
        self._clock = clock
        own = log.get("outbox").bind(target=target)
        self._keeping = Keeping(target=target, store=store, workers=workers, log=own)
        self._backlog = self._keeping.backlog
        self._deciding = Deciding(
            target=target,
            keeping=self._keeping,
            clock=clock,
            timing=timing,
            mutes=mutes,
            limits=limits,
            unseen=unseen,
            detailed=detailed,
            charted=charted,
            log=own,
        )
        self._attempts = Attempts(
            sender=sender, keeping=self._keeping, clock=clock, delivery=delivery, landed=self._landed, log=own
        )
        self._bell = anyio.Event()
        self._quiet = anyio.Event()

    # ── for the app ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def run(self) -> None:
        """Deliver until cancelled."""
        async with self.opened():
            while True:
                self._bell = anyio.Event()  # before the step: a wake during it is not lost
                await self._sleep_until(await self.step())

    def wake(self) -> None:
        """There is something new in the store."""
        self._bell.set()

    def offer(self, obligations: Sequence[Obligation]) -> None:
        """Obligations of this target that could not be recorded: they go out from memory, marked as not durable."""
        self._backlog.offer(obligations)
        self.wake()

    async def drain(self, deadline: float) -> None:
        """Start nothing more; return once nothing is in flight, at the latest after `deadline` real seconds.

        What is recorded stays in the store for the next start. What is only in memory is tried, since it has no other
        chance. `run` must be running.
        """
        self._attempts.draining = True
        self._quiet = anyio.Event()
        self.wake()
        with real_deadline(deadline):
            await self._quiet.wait()

    def stats(self) -> OutboxStats:
        """Counters and gauges as of now."""
        now, deciding, attempts = self._clock.now(), self._deciding, self._attempts
        born = [*(m.created_at for m in self._backlog.queue.values()), *(o.created_at for o in deciding.waiting)]
        held = list(deciding.held.values())
        return OutboxStats(
            target=self.target,
            sent=attempts.outcomes[Delivery.SENT],
            failed=dict(attempts.failed),
            expired=attempts.outcomes[Delivery.EXPIRED],
            refused=attempts.outcomes[Delivery.REFUSED],
            said=dict(deciding.said),
            dropped=dict(deciding.dropped),
            held={reason: held.count(reason) for reason in Held},
            not_durable=deciding.not_durable,
            overflowed=self._backlog.overflowed,
            store_errors=self._keeping.errors,
            open=len(born),
            oldest_age=max(0.0, now - min(born)) if born else 0.0,
            in_flight=len(attempts.flights),
            hung=sum(flight.hung for flight in attempts.flights.values()),
            failing_since=attempts.failing_since,
        )

    def told(self) -> list[Standing]:
        """The alerts that the target believes to fire, and when it last heard of each."""
        return self._deciding.told()

    # ── steps ────────────────────────────────────────────────────────────────────────────────────────────────────────

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Outbox]:
        """Attempts live in this context; leaving it abandons those in flight, to be sent again after a start."""
        try:
            async with anyio.create_task_group() as tasks:
                self._attempts.opens(tasks)
                yield self
                tasks.cancel_scope.cancel()
        finally:
            self._attempts.opens(None)

    async def step(self) -> float | None:
        """Do what is due; the run-clock instant to come back at, or None to wait for `wake`."""
        await self._deciding.restore()
        again = await self._deciding.decide(draining=self._attempts.draining)
        after = await self._attempts.deliver()
        self._note_quiet()
        store = self._clock.now() + STORE_RETRY if self._keeping.failing else None
        return min((at for at in (again, after, store) if at is not None), default=None)

    # ── waiting ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _landed(self) -> None:
        self._note_quiet()
        self.wake()

    def _note_quiet(self) -> None:
        """Tell `drain` that there is nothing left to wait for."""
        if self._attempts.drained():
            self._quiet.set()

    async def _sleep_until(self, at: float | None) -> None:
        """Until the bell rings, or the run clock reaches `at`."""
        async with anyio.create_task_group() as both:
            if at is not None:
                both.start_soon(self._ring_at, at)
            await self._bell.wait()
            both.cancel_scope.cancel()

    async def _ring_at(self, at: float) -> None:
        await self._clock.sleep_until(at)
        self.wake()
