"""Fakes typed against the ports: a store that can fail and be killed, a sender that does as it is told.

`FakeStore` keeps what is durable in a `Disk`; `reopened()` is the store of the next process on the same disk. It can
fail (full disk, unreadable disk) and be killed before or after the n-th write from now, as kill -9 would.
`FakeSender` takes its next `Act` from a script, `Accept()` once that is used up, and records run-clock times.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import anyio

from watcher.clock import Clock, sleep
from watcher.errors import SendError, StoreError
from watcher.model import (
    Ack,
    Commit,
    Delivery,
    Gap,
    Notification,
    Obligation,
    Points,
    SavedAlert,
    Sender,
    Series,
    Silence,
    Spend,
    Standing,
    State,
    Store,
    Transition,
)
from watcher.workers import Workers

T = TypeVar("T")

UNFINISHED = (Delivery.QUEUED, Delivery.SENDING)


class Killed(Exception):  # noqa: N818 - it is not an error of the program but the end of the process
    """The process is gone: whatever runs after this never happened."""


@dataclass(slots=True)
class Disk:
    """What survives a process."""

    points: dict[Series, list[Points]] = field(default_factory=dict)
    covered: dict[str, int] = field(default_factory=dict)
    gaps: list[Gap] = field(default_factory=list)
    alerts: dict[str, SavedAlert] = field(default_factory=dict)
    transitions: dict[tuple[str, int], Transition] = field(default_factory=dict)
    obligations: dict[str, Obligation] = field(default_factory=dict)
    discharged: dict[str, str] = field(default_factory=dict)  # obligation id -> notification id
    dropped: dict[str, str] = field(default_factory=dict)  # obligation id -> reason
    notifications: dict[str, Notification] = field(default_factory=dict)
    spends: dict[str, Spend] = field(default_factory=dict)
    notes: dict[tuple[str, str], str] = field(default_factory=dict)
    silences: dict[str, Silence] = field(default_factory=dict)
    acks: dict[str, Ack] = field(default_factory=dict)


class FakeStore:
    """The `Store` port in memory."""

    def __init__(self, disk: Disk | None = None) -> None:
        self.disk = disk or Disk()
        self.full = False  # writes fail
        self.unreadable = False  # reads and writes fail
        self.dead = False
        self.writes: list[str] = []  # what this process wrote, in order
        self._kill_in: int | None = None
        self._kill_after_effect = False

    def reopened(self) -> FakeStore:
        """The store as the next process finds it."""
        return FakeStore(self.disk)

    def kill_at_write(self, number: int, *, after_effect: bool) -> None:
        """Die at the `number`-th write from now (0: the next), before or after it took effect."""
        self._kill_in, self._kill_after_effect = number, after_effect

    def kill(self) -> None:
        self.dead = True

    def open_ids(self) -> set[str]:
        """Obligations that are neither discharged nor dropped."""
        return self.disk.obligations.keys() - self.disk.discharged.keys() - self.disk.dropped.keys()

    def _reading(self) -> None:
        if self.dead:
            raise Killed
        if self.unreadable:
            raise StoreError("disk I/O error")

    def _writing(self, what: str) -> bool:
        """Whether to die after the effect."""
        self._reading()
        if self.full:
            raise StoreError("database or disk is full")
        self.writes.append(what)
        if self._kill_in is None:
            return False
        self._kill_in -= 1
        if self._kill_in >= 0:
            return False
        self._kill_in = None
        if not self._kill_after_effect:
            self.dead = True
            raise Killed
        return True

    def _written(self, die: bool) -> None:
        if die:
            self.dead = True
            raise Killed

    # ── alerts ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def commit(self, step: Commit) -> None:
        die = self._writing("commit")
        for column in step.points:
            self.disk.points.setdefault(column.series, []).append(column)
        self.disk.covered |= step.covered
        self.disk.gaps += step.gaps
        self.disk.alerts |= {a.alert_id: a for a in step.alerts}
        for alert in step.forgotten:
            self.disk.alerts.pop(alert, None)
        for transition in step.transitions:
            self.disk.transitions.setdefault((transition.alert_id, transition.seq), transition)
        for obligation in step.obligations:
            self.disk.obligations.setdefault(obligation.id, obligation)
            if obligation.dropped:
                self.disk.dropped.setdefault(obligation.id, obligation.dropped)
        self.disk.silences |= {s.id: s for s in step.silences}
        self.disk.acks |= {a.alert_id: a for a in step.acks}
        self._written(die)

    def latest(self) -> list[Transition]:
        self._reading()
        return list({t.alert_id: t for t in self.disk.transitions.values()}.values())

    def holders(self, never_told: Collection[str]) -> dict[str, frozenset[str]]:
        self._reading()
        newest = {
            (o.transition.alert_id, o.target): o.transition.state
            for o in self.disk.obligations.values()
            if self.disk.dropped.get(o.id) not in never_told
        }
        found: dict[str, frozenset[str]] = {}
        for (alert, target), state in newest.items():
            if state is State.FIRING:
                found[alert] = found.get(alert, frozenset()) | {target}
        return found

    def owed_targets(self) -> set[str]:
        self._reading()
        unsent = {n.target for n in self.disk.notifications.values() if n.delivery in UNFINISHED}
        return unsent | {self.disk.obligations[i].target for i in self.open_ids()}

    def alerts(self) -> list[SavedAlert]:
        self._reading()
        return list(self.disk.alerts.values())

    def transitions(self, *, alert: str | None = None, since: float = 0.0) -> list[Transition]:
        self._reading()
        return [t for t in self.disk.transitions.values() if alert in (None, t.alert_id) and t.known_at >= since]

    def open_obligations(self, target: str) -> list[Obligation]:
        self._reading()
        open_ = self.open_ids()
        return [o for o in self.disk.obligations.values() if o.id in open_ and o.target == target]

    def obligations(self, since: float = 0.0) -> list[Obligation]:
        self._reading()
        dropped = self.disk.dropped
        return [
            replace(o, dropped=dropped.get(o.id, "")) for o in self.disk.obligations.values() if o.created_at >= since
        ]

    def standing(self, target: str) -> list[Standing]:
        self._reading()
        newest = {t.alert_id: t for t in sorted(self.disk.transitions.values(), key=lambda t: t.seq)}
        found: dict[str, Standing] = {}
        for owed in self.obligations():
            if owed.target == target:
                alert = owed.transition.alert_id
                known = replace(found.get(alert, Standing(latest=owed)), latest=owed)
                if message := self.disk.discharged.get(owed.id):
                    said_at = self.disk.notifications[message].created_at
                    known = replace(known, told=owed.transition.state is State.FIRING, said_at=said_at)
                found[alert] = known
        fires = State.FIRING
        return [
            k
            for alert, k in found.items()
            if (newest[alert].state is fires if k.latest.transition.state is fires else k.told)
        ]

    def silences(self, since: float) -> list[Silence]:
        self._reading()
        return [s for s in self.disk.silences.values() if s.ends_at >= since]

    def acks(self) -> list[Ack]:
        self._reading()
        return list(self.disk.acks.values())

    def drop_obligations(self, reasons: Mapping[str, str], at: float) -> None:
        die = self._writing("drop")
        self.disk.dropped |= reasons
        self._written(die)

    def record_notification(self, notification: Notification) -> None:
        die = self._writing("record")
        if taken := [o for o in notification.obligations if o not in self.open_ids()]:
            raise StoreError(f"obligations not open: {taken}")
        self.disk.notifications[notification.id] = notification
        self.disk.discharged |= dict.fromkeys(notification.obligations, notification.id)
        self._written(die)

    def update_notification(self, notification: Notification) -> None:
        die = self._writing(f"update {notification.delivery}")
        if notification.id not in self.disk.notifications:
            raise StoreError("no such notification")
        self.disk.notifications[notification.id] = notification
        self._written(die)

    def unsent(self, target: str) -> list[Notification]:
        self._reading()
        return [n for n in self.disk.notifications.values() if n.target == target and n.delivery in UNFINISHED]

    def notifications(self, since: float) -> list[Notification]:
        self._reading()
        return [n for n in self.disk.notifications.values() if n.created_at >= since]

    # ── the rest of the port ─────────────────────────────────────────────────────────────────────────────────────────

    def points(self, series: Series, since: int) -> Points | None:
        self._reading()
        columns = self.disk.points.get(series)
        return columns[-1] if columns and columns[-1].start[-1] >= since else None

    def covered(self) -> dict[str, int]:
        self._reading()
        return dict(self.disk.covered)

    def gaps(self, since: float) -> list[Gap]:
        self._reading()
        return [g for g in self.disk.gaps if g.noticed_at >= since]

    def spends(self, account: str, since: float) -> list[Spend]:
        self._reading()
        return [s for s in self.disk.spends.values() if s.account == account and s.at >= since]

    def record_spend(self, spend: Spend) -> None:
        die = self._writing("spend")
        self.disk.spends[spend.id] = spend
        self._written(die)

    def refund(self, spend_id: str) -> None:
        die = self._writing("refund")
        self.disk.spends.pop(spend_id, None)
        self._written(die)

    def note(self, account: str, key: str) -> str | None:
        self._reading()
        return self.disk.notes.get((account, key))

    def put_note(self, account: str, key: str, value: str) -> None:
        die = self._writing("note")
        self.disk.notes[account, key] = value
        self._written(die)

    def prune(self, *, points_before: int, records_before: float) -> int:
        self._reading()
        return 0

    def probe(self) -> None:
        self._reading()
        if self.full:
            raise StoreError("database or disk is full")

    def close(self) -> None:
        self.dead = True


class SlowWorkers:
    """The `Workers` port in virtual time: one call at a time, each after `seconds` of run time, like a slow disk."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._turn = anyio.Lock()

    async def run(self, call: Callable[[], T], *, abandon_on_cancel: bool = False) -> T:
        async with self._turn:
            await sleep(self._clock, self._seconds)
            return call()


@dataclass(frozen=True, slots=True)
class Accept:
    """Accepts after `delay` run seconds."""

    delay: float = 0.0


@dataclass(frozen=True, slots=True)
class Fail:
    """Fails after `delay` run seconds."""

    permanent: bool = False
    retry_after: float | None = None
    delay: float = 0.0


@dataclass(frozen=True, slots=True)
class Hang:
    """Never returns."""


@dataclass(frozen=True, slots=True)
class Die:
    """The process ends, before or after the target accepted."""

    store: FakeStore
    accepted: bool


Act = Accept | Fail | Hang | Die


@dataclass(frozen=True, slots=True)
class Sending:
    """One attempt: when it began, what, and when it was accepted."""

    at: float
    notification: Notification
    accepted_at: float | None = None


class FakeSender:
    """The `Sender` port. `attempts` and `accepted` record run-clock times; both outlive a process if it is reused."""

    def __init__(self, clock: Clock, script: Sequence[Act] = (), *, default: Act = Accept()) -> None:
        self.script: deque[Act] = deque(script)
        self.default = default
        self.attempts: list[Sending] = []
        self.accepted: list[Sending] = []
        self.at_once = 0  # the most attempts in flight together
        self._in_flight = 0
        self._clock = clock

    async def send(self, notification: Notification) -> None:
        act = self.script.popleft() if self.script else self.default
        sending = Sending(self._clock.now(), notification)
        self.attempts.append(sending)
        self._in_flight += 1
        self.at_once = max(self.at_once, self._in_flight)
        try:
            await self._do(act, sending)
        finally:
            self._in_flight -= 1

    async def _do(self, act: Act, sending: Sending) -> None:
        match act:
            case Accept(delay):
                await self._clock.sleep_until(sending.at + delay)
                self._accept(sending)
            case Fail(permanent, retry_after, delay):
                await self._clock.sleep_until(sending.at + delay)
                raise SendError("refused by the script", permanent=permanent, retry_after=retry_after)
            case Hang():
                await anyio.sleep_forever()
            case Die(store, accepted):
                if accepted:
                    self._accept(sending)
                store.kill()
                raise Killed

    def _accept(self, sending: Sending) -> None:
        self.accepted.append(replace(sending, accepted_at=self._clock.now()))

    def texts(self) -> list[str]:
        """Titles of what was accepted, in order."""
        return [sending.notification.title for sending in self.accepted]


_store: Store = FakeStore()


def _ports(clock: Clock) -> tuple[Sender, Workers]:
    return FakeSender(clock), SlowWorkers(clock, 0.1)
