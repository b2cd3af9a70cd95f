"""At least once, in order, to one target: the only place of alerts with effects.

The order of effects is the contract (design, invariant 5): record the message with what it discharges; note durably
that it is being sent; send; note that it is sent. A crash between any two repeats a message under its own id at
worst. After a restart everything queued or being sent is sent again. `step` does what is due and says when to come
back, so that tests call steps; `run` only waits between them.

One target, one outbox, own threads: a target that hangs delays no other. Within a target:

* One attempt at a time. One that is not over within the deadline (real time) is *hung*: it stays in flight until its
  thread returns, and then its outcome counts, also a late success. Cancelling it and trying again was considered: the
  thread cannot be stopped, and the message would come twice. Its alerts wait; other alerts go on, beside up to
  `MAX_ATTEMPTS_AT_ONCE - 1` hung attempts. Where all hang and none ever returns, this target is stuck until the
  restart: logged, and shown as `hung`. Socket timeouts make that rare: only a peer that drips bytes for ever gets
  there.
* A failed message waits on its own (doubling, with jitter from its id, at most five minutes, or what the target asked
  for); others overtake it, but never one of the same alert (`pipeline`). The least tried goes first, so that a fresh
  page does not queue behind a hundred retries.
* Given up after `give_up_after`: EXPIRED; refused for good: REFUSED. Both are logged as errors and counted.

While a target is down, at most `MAX_QUEUED` messages are written; further obligations stay open in the store, where a
firing and its resolve become one message.

Where the store fails, what is decided goes out from memory, marked (`backlog`).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

import anyio
from anyio.abc import TaskGroup

from watcher import log
from watcher.alerts import message, pipeline
from watcher.alerts.backlog import Backlog
from watcher.alerts.heard import Heard
from watcher.alerts.limits import Limits
from watcher.alerts.mutes import Mutes
from watcher.alerts.pipeline import View
from watcher.alerts.reasons import Dropped, Held, Said
from watcher.alerts.route import Group, Timing
from watcher.alerts.send import MAX_ATTEMPTS_AT_ONCE
from watcher.alerts.settings import DeliverySettings
from watcher.clock import HOUR, Clock, real_deadline
from watcher.errors import SendError, StoreError, clip
from watcher.model import Commit, Delivery, Detail, Notification, Obligation, Sender, Standing, State, Store
from watcher.workers import Workers

T = TypeVar("T")
R = TypeVar("R", Notification, Obligation)

MAX_QUEUED = 100
FIRST_RETRY = 5.0  # run seconds
LONGEST_RETRY = 300.0
LONGEST_WISH = 3600.0  # a target's own `Retry-After` is honoured up to this
STORE_RETRY = 5.0
_MAX_GROUPS = 5000  # whose last message is remembered
_SAVE_WITHIN = 5.0  # real seconds that a cancelled attempt may take to note its outcome


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
    failing: bool


@dataclass(slots=True, eq=False)
class _Flight:
    """One attempt until its thread returns."""

    message: Notification
    over: anyio.Event = field(default_factory=anyio.Event)
    hung: bool = False


class Outbox:
    """Delivers one target's obligations. `timing` says how a group waits; `delivery` holds deadline and give-up.

    `mutes` is asked at each step; `detailed` messages carry data beside their text.
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
        detailed: bool = False,
    ) -> None:
        self.target = target
        self.sender = sender
        self._store = store
        self._workers = workers
        self._clock = clock
        self._timing = timing
        self._delivery = delivery
        self._mutes = mutes
        self._limits = limits
        self._detailed = detailed
        self._heard = Heard(within=limits.flapping.within)
        self._log = log.get("outbox").bind(target=target)
        self._backlog = Backlog()
        self._flights: dict[str, _Flight] = {}
        self._spoke_at: dict[Group, float] = {}
        self._restored = False
        self._draining = False
        self._failing = False
        self._store_failing = False
        self._not_before = 0.0
        self._waiting: tuple[Obligation, ...] = ()
        self._counts: Counter[str] = Counter()
        self._failed: Counter[str] = Counter(error=0, deadline=0)
        self._said: Counter[Said] = Counter(dict.fromkeys(Said, 0))
        self._dropped: Counter[Dropped] = Counter(dict.fromkeys(Dropped, 0))
        self._held: Mapping[str, Held] = {}
        self._attempts: TaskGroup | None = None
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
        self._draining = True
        self._quiet = anyio.Event()
        self.wake()
        with real_deadline(deadline):
            await self._quiet.wait()

    def stats(self) -> OutboxStats:
        """Counters and gauges as of now."""
        now = self._clock.now()
        queue = self._backlog.queue.values()
        born = [*(m.created_at for m in queue), *(o.created_at for o in self._waiting)]
        return OutboxStats(
            target=self.target,
            sent=self._counts["sent"],
            failed=dict(self._failed),
            expired=self._counts["expired"],
            refused=self._counts["refused"],
            said=dict(self._said),
            dropped=dict(self._dropped),
            held={reason: list(self._held.values()).count(reason) for reason in Held},
            not_durable=self._counts["not_durable"],
            overflowed=self._backlog.overflowed,
            store_errors=self._counts["store_errors"],
            open=len(born),
            oldest_age=max(0.0, now - min(born)) if born else 0.0,
            in_flight=len(self._flights),
            hung=sum(flight.hung for flight in self._flights.values()),
            failing=self._failing,
        )

    def told(self) -> list[Standing]:
        """The alerts that the target believes to fire, and when it last heard of each."""
        fires = (known for known in self._heard.standing.values() if known.told)
        return [known for known in fires if known.latest.transition.state is State.FIRING]

    # ── steps ────────────────────────────────────────────────────────────────────────────────────────────────────────

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Outbox]:
        """Attempts live in this context; leaving it abandons those in flight, to be sent again after a start."""
        try:
            async with anyio.create_task_group() as attempts:
                self._attempts = attempts
                yield self
                attempts.cancel_scope.cancel()
        finally:
            self._attempts = None

    async def step(self) -> float | None:
        """Do what is due; the run-clock instant to come back at, or None to wait for `wake`."""
        await self._restore()
        again = await self._decide()
        after = await self._deliver()
        self._note_quiet()
        store = self._clock.now() + STORE_RETRY if self._store_failing else None
        return min((at for at in (again, after, store) if at is not None), default=None)

    async def _restore(self) -> None:
        """Once: take over what an earlier process recorded and did not finish."""
        if self._restored:
            return
        since = self._clock.now() - max(HOUR, self._limits.flapping.within)
        try:
            unsent = await self._stored(partial(self._store.unsent, self.target))
            standing = await self._stored(partial(self._store.standing, self.target))
            obliged = await self._stored(partial(self._store.obligations, since))
            messages = await self._stored(partial(self._store.notifications, since))
        except StoreError as error:
            self._store_fails(error)
            return
        self._restored = True
        self._heard.restore(standing, self._mine(obliged), self._mine(messages))
        for message_ in unsent:
            self._backlog.queue.setdefault(message_.id, replace(message_, delivery=Delivery.QUEUED))

    async def _decide(self) -> float | None:
        """Record what the store missed, then turn open obligations into recorded messages and recorded reasons."""
        stored = await self._open_obligations()
        waiting = self._backlog.beginnings() if stored is None else self._backlog.undecided(stored)
        overtaken = self._backlog.overtaken(waiting)
        waiting = [o for o in waiting if o.id not in overtaken]
        self._waiting = tuple(waiting)
        if self._draining:
            waiting = [o for o in waiting if o.id in self._backlog.offered]
        if len(self._backlog.queue) >= MAX_QUEUED:
            return None  # a delivery makes room, and steps again
        now = self._clock.now()
        self._heard.note(waiting)
        self._heard.forget(now)
        view = self._view(remind=not (stored is None or self._draining or self._store_failing))
        decision = pipeline.plan(waiting, view=view, timing=self._timing, now=now)
        recorded = {o.id: o for o in stored or ()}
        await self._drop({**decision.dropped, **overtaken}, waiting, recorded, now)
        for draft in decision.drafts:
            await self._record(draft, recorded, now)
        self._note_held(decision.held)
        self._waiting = tuple(o for o in waiting if o.id in decision.held)
        return decision.next_at

    def _view(self, *, remind: bool) -> View:
        """What the plan depends on. While the store fails nobody is reminded: news first."""
        return View(
            busy=self._backlog.busy(),
            spoke_at=self._spoke_at,
            standing=self._heard.standing,
            began=self._heard.began,
            sent=self._heard.sent,
            mutes=self._mutes(),
            limits=self._limits,
            remind=remind,
        )

    def _mine(self, records: Iterable[R]) -> list[R]:
        return [record for record in records if record.target == self.target]

    def _note_held(self, held: Mapping[str, Held]) -> None:
        """Logged once for each obligation and reason."""
        new = Counter(str(reason) for id_, reason in held.items() if self._held.get(id_) is not reason)
        self._held = dict(held)
        if new:
            self._log.info("obligations_held", reasons=dict(new))

    async def _open_obligations(self) -> list[Obligation] | None:
        """What the store has open, without what it learns just now; None where it cannot be read."""
        if not self._restored:
            return None
        try:
            stored = await self._stored(partial(self._store.open_obligations, self.target))
        except StoreError as error:
            self._store_fails(error)
            return None
        learned: set[str] = set()
        try:
            for message_ in self._backlog.recordable({o.id for o in stored}):
                await self._stored(partial(self._store.record_notification, message_))
                self._backlog.recorded(message_)
                learned.update(message_.obligations)
            while missed := next(iter(self._backlog.unsaved.values()), None):
                await self._stored(partial(self._store.update_notification, missed))
                self._backlog.saved(missed)
            if self._store_failing:
                await self._stored(self._store.probe)
                self._store_works()
        except StoreError as error:
            self._store_fails(error)
        return [o for o in stored if o.id not in learned]

    async def _drop(
        self,
        reasons: Mapping[str, Dropped],
        waiting: Sequence[Obligation],
        recorded: Mapping[str, Obligation],
        now: float,
    ) -> None:
        if not reasons:
            return
        durable = {i: reason for i, reason in reasons.items() if i in recorded}
        try:
            if durable:
                await self._stored(partial(self._store.drop_obligations, durable, now))
        except StoreError as error:
            self._store_fails(error)  # nothing was said; the next step decides the same
            return
        self._heard.dropped([o for o in waiting if o.id in reasons])
        for obligation, reason in reasons.items():
            self._backlog.offered.pop(obligation, None)
            self._dropped[reason] += 1
        self._log.info("obligations_dropped", reasons=dict(Counter(map(str, reasons.values()))))

    async def _record(self, draft: pipeline.Draft, recorded: Mapping[str, Obligation], now: float) -> None:
        """Record a draft as a message; where that fails, keep it in memory, marked.

        What reminders oblige is recorded first: a crash in between leaves them open, and they are said after it. Where
        that fails nothing of the draft is said; without its reminders it is decided anew at the next step.
        """
        duties = [o for item in draft.items for o in item.obligations]
        known = set(recorded)
        if new := [o for o in draft.reminders if o.id not in known]:
            try:
                await self._stored(partial(self._store.commit, Commit(obligations=new)))
            except StoreError as error:
                self._store_fails(error)
                return
            known |= {o.id for o in new}
        if set(draft.obligations) <= known:
            durable = self._notification(draft, now, durable=True)
            try:
                await self._stored(partial(self._store.record_notification, durable))
            except StoreError as error:
                self._store_fails(error)
            else:
                self._backlog.queue[durable.id] = durable
                self._note_said(draft, duties, now)
                return
        self._counts["not_durable"] += 1
        self._backlog.add_volatile(self._notification(draft, now, durable=False), duties)
        self._note_said(draft, duties, now)

    def _notification(self, draft: pipeline.Draft, now: float, *, durable: bool) -> Notification:
        written = message.compose(draft.items, reference=draft.id, durable=durable, full_until=draft.until)
        return Notification(
            id=draft.id,
            target=self.target,
            obligations=draft.obligations,
            alerts=draft.alerts,
            kind=str(written.kind),
            title=written.title,
            text=written.text,
            html=written.html,
            created_at=now,
            next_at=now,
            reason=str(draft.reason),
            details=tuple(_detail(item) for item in draft.items) if self._detailed else (),
        )

    def _note_said(self, draft: pipeline.Draft, duties: Sequence[Obligation], now: float) -> None:
        for group in draft.groups:
            self._spoke_at[group] = now
        while len(self._spoke_at) > _MAX_GROUPS:  # a group that is forgotten speaks at once
            del self._spoke_at[min(self._spoke_at, key=self._spoke_at.__getitem__)]
        self._heard.said(duties, now)
        self._heard.sent.append(now)
        self._said[draft.reason] += 1
        self._log.info("message_queued", id=draft.id, reason=str(draft.reason), alerts=list(draft.alerts[:10]))

    # ── delivery ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _deliver(self) -> float | None:
        """Make the attempt that is due, if any; when the next one is."""
        now = self._clock.now()
        await self._expire(now)
        if len(self._flights) >= MAX_ATTEMPTS_AT_ONCE:
            return None  # all hang: the first that returns wakes us
        idle = [m for m in self._backlog.queue.values() if m.id not in self._flights and self._may_go(m)]
        if not idle:
            return None
        chosen = min(idle, key=lambda m: (self._due_at(m, now) > now, m.attempts, m.created_at, m.id))
        if self._due_at(chosen, now) > now:
            return min(self._due_at(m, now) for m in idle)
        await self._attempt(chosen)
        return self._clock.now()

    def _may_go(self, message_: Notification) -> bool:
        """While draining, only what would otherwise be lost."""
        return not self._draining or (message_.id in self._backlog.volatile and not message_.attempts)

    def _due_at(self, message_: Notification, now: float) -> float:
        """When it may go. A wait longer than any that is given out means that the clock was set back: now."""
        waits = ((message_.next_at, LONGEST_RETRY), (self._not_before, LONGEST_WISH))
        return max(at if at <= now + longest else now for at, longest in waits)

    async def _attempt(self, message_: Notification) -> None:
        """Start an attempt and stay with it for the deadline; beyond it, it goes on as hung."""
        assert self._attempts is not None, "steps are made inside `opened` or `run`"
        sending = replace(message_, delivery=Delivery.SENDING, attempts=message_.attempts + 1)
        self._backlog.queue[sending.id] = sending
        await self._save(sending)
        flight = _Flight(sending)
        self._flights[sending.id] = flight
        self._attempts.start_soon(self._fly, flight)
        with real_deadline(self._delivery.deadline):
            await flight.over.wait()
        if not flight.over.is_set():
            flight.hung = True
            self._failed["deadline"] += 1
            self._target_fails("not answered within the deadline")

    async def _fly(self, flight: _Flight) -> None:
        """One attempt and its outcome, noted also where the attempt is cancelled just after it succeeded."""
        try:
            try:
                await self.sender.send(flight.message)
            except SendError as error:
                after = self._failed_attempt(flight.message, error)
            else:
                after = self._delivered(flight.message)
            with anyio.CancelScope(shield=True), real_deadline(_SAVE_WITHIN):
                await self._save(after)
        finally:
            del self._flights[flight.message.id]
            flight.over.set()
            self._note_quiet()
            self.wake()

    def _delivered(self, message_: Notification) -> Notification:
        self._counts["sent"] += 1
        if self._failing:
            self._failing = False
            self._log.info("target_recovered")
        self._not_before = 0.0
        del self._backlog.queue[message_.id]
        return replace(message_, delivery=Delivery.SENT, sent_at=self._clock.now(), error="")

    def _failed_attempt(self, message_: Notification, error: SendError) -> Notification:
        now = self._clock.now()
        self._failed["error"] += 1
        self._target_fails(error.detail)
        if error.permanent:
            return self._finish(replace(message_, delivery=Delivery.REFUSED, error=error.detail))
        if error.retry_after is not None:
            self._not_before = now + min(max(error.retry_after, 0.0), LONGEST_WISH)
        wait = retry_delay(message_.id, message_.attempts)
        after = replace(message_, delivery=Delivery.QUEUED, next_at=now + wait, error=error.detail)
        self._backlog.queue[after.id] = after
        return after

    async def _expire(self, now: float) -> None:
        """Give up what is too old; an attempt in flight is let finish."""
        for message_ in list(self._backlog.queue.values()):
            if now - message_.created_at > self._delivery.give_up_after and message_.id not in self._flights:
                await self._save(self._finish(replace(message_, delivery=Delivery.EXPIRED)))

    def _finish(self, message_: Notification) -> Notification:
        """Undeliverable, for good: the one outcome that must never be quiet."""
        del self._backlog.queue[message_.id]
        self._counts[str(message_.delivery)] += 1
        self._log.error(
            "message_undeliverable",
            outcome=str(message_.delivery),
            id=message_.id,
            alerts=list(message_.alerts[:10]),
            attempts=message_.attempts,
            detail=message_.error,
        )
        return message_

    # ── the store ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _stored(self, call: Callable[[], T]) -> T:
        return await self._workers.run(call)

    async def _save(self, message_: Notification) -> None:
        """Note a message's state durably, or remember that this is still to be done."""
        if message_.id in self._backlog.volatile:
            self._backlog.volatile[message_.id] = message_
            return
        self._backlog.keep_unsaved(message_)
        try:
            await self._stored(partial(self._store.update_notification, message_))
        except StoreError as error:
            self._store_fails(error)
        else:
            self._backlog.saved(message_)

    def _store_fails(self, error: StoreError) -> None:
        self._counts["store_errors"] += 1
        if not self._store_failing:
            self._store_failing = True
            self._log.error("outbox_not_durable", detail=clip(str(error)))

    def _store_works(self) -> None:
        self._store_failing = False
        self._log.info("outbox_durable_again")

    # ── waiting ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _target_fails(self, detail: str) -> None:
        if not self._failing:
            self._failing = True
            self._log.warning("target_failing", detail=detail)

    def _note_quiet(self) -> None:
        """Tell `drain` that nothing is in flight and nothing is left that only memory holds."""
        unsaid = self._backlog.offered or any(self._may_go(m) for m in self._backlog.queue.values())
        if self._draining and not self._flights and not unsaid:
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


def retry_delay(message_id: str, attempts: int) -> float:
    """Run seconds to wait after so many attempts: doubling, cut, and spread by the id so that retries do not march."""
    whole = min(LONGEST_RETRY, FIRST_RETRY * 2.0 ** min(attempts - 1, 20))
    digest = hashlib.sha256(f"{message_id}:{attempts}".encode()).digest()
    return whole * (0.5 + digest[0] / 510)


def _detail(item: message.Item) -> Detail:
    fires = item.first.state is State.FIRING
    return Detail.of(item.last, fired_at=item.first.at if fires else None)
