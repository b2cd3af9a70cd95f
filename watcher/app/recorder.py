"""From transitions to obligations to one transaction: the only place where the daemon writes what it has judged.

Transition and obligations are recorded together or not at all (design, invariant 5). Where the store fails, a step is
kept in memory (bounded) and goes with the next one that works, and its obligations are offered to the outboxes, which
send them marked as not durable. Judging does not run away meanwhile: without a ledger no request leaves, so at most one
step per account and the daemon's own alerts gather here.

Accounts call this concurrently; steps are recorded one at a time and in order: `told` carries from one to the next.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import anyio

from watcher import log
from watcher.alerts.blind import StoreSight
from watcher.alerts.desk import Desk
from watcher.alerts.mutes import Firing
from watcher.alerts.outbox import Outbox
from watcher.alerts.route import Routing, Told, oblige
from watcher.clock import Clock
from watcher.errors import StoreError, StoreRefused, clip
from watcher.model import Commit, Obligation, SavedAlert, State, Store, Transition
from watcher.workers import Workers

MAX_KEPT = 10_000  # transitions in memory while the store fails


class Recorder:
    """Records steps; `told` is what targets were told before, `kept` what is still to be written."""

    def __init__(
        self,
        *,
        store: Store,
        workers: Workers,
        clock: Clock,
        routing: Routing,
        told: Told,
        outboxes: Mapping[str, Outbox],
        desk: Desk,
        kept: Sequence[Commit] = (),
    ) -> None:
        self._store = store
        self._workers = workers
        self._clock = clock
        self._routing = routing
        self._told = told
        self._outboxes = outboxes
        self._desk = desk
        self._turn = anyio.Lock()
        self._kept: list[Commit] = list(kept)
        self._log = log.get("recorder")
        self.sight = StoreSight()
        self.failures = 0
        self.overflowed = 0
        self.refused = 0
        self.unrouted = 0
        self.entered: Counter[State] = Counter()

    async def record(self, step: Commit) -> bool:
        """Record a step with the obligations of its transitions; False where only memory holds it now."""
        async with self._turn:
            now = self._clock.now()
            obliged = oblige(step.transitions, self._routing, self._told, now=now)
            self._told = obliged.told
            self.entered.update(t.state for t in step.transitions if t.updates is None)
            self._count_unrouted(obliged.unrouted, step)
            silences = [*step.silences, *self._desk.ended_with(step.transitions, now)]
            self._desk.note(step.transitions, silences=silences, acks=step.acks, now=now)
            owed = [*step.obligations, *obliged.obligations]
            whole = merge([*self._kept, replace(step, obligations=owed, silences=silences)])
            try:
                await self._workers.run(partial(self._store.commit, whole))
            except StoreRefused as error:
                self._kept.clear()
                self._offer(whole.obligations)
                await self._without_what_is_refused(whole, error)
                return False
            except StoreError as error:
                self._keep(whole)
                self._fails(error, now)
                self._offer(obliged.obligations)
                return False
            self._kept.clear()
            self.works()
            told = {o.target for o in whole.obligations if not o.dropped}
            for target, outbox in self._outboxes.items():
                if target in told or silences or step.acks:
                    outbox.wake()
            return True

    def tells(self, alert: Transition) -> bool:
        """Whether some target would hear now that this alert fires: a route takes it, and nothing mutes it there."""
        now, mutes = self._clock.now(), self._desk.mutes()
        return any(
            not o.dropped
            and self._routing.timing(o).speaks(now)
            and mutes.muted(alert, Firing(self._held(o.target), mutes.inhibits), at=now, since=now) is None
            for o in oblige([alert], self._routing, {}, now=now).obligations
        )

    def _held(self, target: str) -> Iterator[Transition]:
        """What fires as far as a target is obliged to hear."""
        return (entry for entry in self._desk.firing.values() if target in self._told.get(entry.alert_id, ()))

    @property
    def told(self) -> Told:
        """Who was obliged to hear of which firing alert, as decided; the store may not know it yet."""
        return self._told

    @property
    def kept(self) -> Sequence[Commit]:
        """What is only in memory: a reload hands it to the next recorder."""
        return tuple(self._kept)

    @property
    def waiting(self) -> bool:
        """Whether something is in memory that should be recorded."""
        return bool(self._kept)

    async def _without_what_is_refused(self, whole: Commit, error: StoreError) -> None:
        """A step that contradicts the record is never going to fit: its pages go out, its points are kept, and the rest
        of it is given up, loudly. To retry it for ever would take every other account's steps with it."""
        self.refused += 1
        self._log.error("step_refused", detail=clip(str(error)), transitions=len(whole.transitions))
        try:
            await self._workers.run(
                partial(self._store.commit, Commit(points=whole.points, covered=whole.covered, gaps=whole.gaps))
            )
        except StoreError as failure:
            self._fails(failure, self._clock.now())

    def fails(self, error: StoreError) -> None:
        """Somebody else (the ledger) met the failing store."""
        self._fails(error, self._clock.now())

    def works(self) -> None:
        """The store was written. While a step is kept that could not be, that proves little."""
        if self.sight.failing_since is not None and not self._kept:
            self._log.info("state_writable_again")
            self.sight = StoreSight()

    def _fails(self, error: StoreError, now: float) -> None:
        self.failures += 1
        if self.sight.failing_since is None:
            self._log.error("state_not_writable", detail=clip(str(error)))
            self.sight = StoreSight(failing_since=now, detail=clip(str(error)))

    def _keep(self, whole: Commit) -> None:
        if (excess := len(whole.transitions) - MAX_KEPT) > 0:
            self.overflowed += excess
            lost = {(t.alert_id, t.seq) for t in whole.transitions[:excess]}
            obligations = [o for o in whole.obligations if (o.transition.alert_id, o.transition.seq) not in lost]
            whole = replace(whole, transitions=whole.transitions[excess:], obligations=obligations)
        if (excess := len(whole.points) - MAX_KEPT) > 0:
            self.overflowed += excess  # read again after a restart, where the vendor still has them
            whole = replace(whole, points=whole.points[excess:])
        self._kept = [whole]

    def _offer(self, obligations: Sequence[Obligation]) -> None:
        for obligation in obligations:
            if not obligation.dropped and (outbox := self._outboxes.get(obligation.target)) is not None:
                outbox.offer([obligation])

    def _count_unrouted(self, unrouted: int, step: Commit) -> None:
        if unrouted:
            self.unrouted += unrouted
            rules = sorted({t.rule for t in step.transitions if t.state is State.FIRING})
            self._log.warning("alert_without_route", rules=rules[:10])


def merge(steps: Sequence[Commit]) -> Commit:
    """Several steps as one, in order: where two say something of the same thing, the later one counts."""
    if len(steps) == 1:
        return steps[0]
    last: dict[str, SavedAlert | None] = {}  # None: forgotten
    for step in steps:
        last |= dict.fromkeys(step.forgotten)
        last |= {alert.alert_id: alert for alert in step.alerts}
    return Commit(
        points=[p for s in steps for p in s.points],
        covered={k: v for s in steps for k, v in s.covered.items()},
        gaps=[g for s in steps for g in s.gaps],
        alerts=[alert for alert in last.values() if alert is not None],
        forgotten=[alert_id for alert_id, alert in last.items() if alert is None],
        transitions=[t for s in steps for t in s.transitions],
        obligations=[o for s in steps for o in s.obligations],
        silences=[silence for s in steps for silence in s.silences],
        acks=[ack for s in steps for ack in s.acks],
    )
