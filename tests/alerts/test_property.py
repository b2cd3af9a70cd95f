"""Any course of alerts, through any crashes and failures, to two targets: nothing lost, nothing out of order.

One process after another runs on the same disk. Hypothesis chooses what alerts do (with corrections), what the targets
do (accept, fail, answer after the deadline), when the process is killed (before or after any write, before or after the
target accepted), and when the disk is full. Then everything is mended and the books are checked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import anyio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.alerts.build import LABELS, T0, outbox, route, routing, transition
from tests.alerts.fakes import Accept, Act, Die, Disk, Fail, FakeSender, FakeStore, Killed, SlowWorkers
from tests.conftest import EPOCH
from watcher.alerts.outbox import Outbox
from watcher.alerts.reasons import Dropped
from watcher.alerts.route import NEVER_TOLD, Timing, Told, oblige
from watcher.clock import VirtualClock, sleep
from watcher.errors import StoreError
from watcher.model import Commit, Delivery, State, Transition, alert_id
from watcher.workers import InlineWorkers

TARGETS = ("slack", "mail")
ROUTES = routing(route(*TARGETS))


@dataclass(frozen=True, slots=True)
class Turn:
    """An alert changes: it fires or ends, and where `corrects`, its last change is taken back instead."""

    alert: int
    corrects: bool


@dataclass(frozen=True, slots=True)
class Wait:
    seconds: int


@dataclass(frozen=True, slots=True)
class Script:
    """What the next attempts of a target meet; None stands for the process being killed there."""

    target: str
    acts: tuple[Act | None, ...]


@dataclass(frozen=True, slots=True)
class Kill:
    """At the n-th write from now."""

    write: int
    after_effect: bool


@dataclass(frozen=True, slots=True)
class Full:
    """The disk fills up, or has room again."""

    full: bool


@dataclass(frozen=True, slots=True)
class Unreadable:
    """The disk cannot even be read, or can again."""

    unreadable: bool


Op = Turn | Wait | Script | Kill | Full | Unreadable


@dataclass(frozen=True, slots=True)
class Pace:
    """How groups wait, and how long the disk takes."""

    timing: Timing
    disk: float


acts = st.one_of(
    st.builds(Accept, st.sampled_from([0.0, 3.0, 30.0])),
    st.builds(Fail, delay=st.sampled_from([0.0, 30.0]), retry_after=st.sampled_from([None, 60.0])),
)
peaceful = [
    st.builds(Turn, st.integers(0, 2), st.booleans()),
    st.builds(Turn, st.integers(0, 2), st.just(False)),
    st.builds(Wait, st.sampled_from([0, 1, 7, 61, 400])),
    st.builds(Script, st.sampled_from(TARGETS), st.lists(acts, max_size=3).map(tuple)),
]
deadly = [
    st.builds(Kill, st.integers(0, 4), st.booleans()),
    st.builds(Script, st.sampled_from(TARGETS), st.tuples(st.none())),
]
full = [st.builds(Full, st.booleans()), st.builds(Unreadable, st.booleans())]


class World:
    """A machine: a disk, two targets, and one process after another."""

    def __init__(self, clock: VirtualClock, pace: Pace) -> None:
        self.clock = clock
        self.pace = pace
        self.disk = Disk()
        self.store = FakeStore(self.disk)
        self.senders = {target: FakeSender(clock) for target in TARGETS}
        self.logs: dict[int, list[Transition]] = {}
        self.step = Commit()
        self.boxes: dict[str, Outbox] = {}
        self.told: Told = {}
        self.kills = 0

    def start(self) -> None:
        """What a process does first: read what is told, judge what is new, and open the outboxes."""
        self.told = self.store.holders(NEVER_TOLD)
        self.step = Commit()
        for log in self.logs.values():  # the evaluator finds again what was not recorded
            self.judge([t for t in log if (t.alert_id, t.seq) not in self.disk.transitions])
        self.boxes = {
            target: outbox(
                self.store,
                self.senders[target],
                self.clock,
                target=target,
                timing=self.pace.timing,
                workers=SlowWorkers(self.clock, self.pace.disk) if self.pace.disk else InlineWorkers(),
            )
            for target in TARGETS
        }

    async def live(self) -> None:
        """Run until cancelled; a killed process is followed by the next."""
        while True:
            self.start()
            self.commit()
            try:
                async with anyio.create_task_group() as tasks:
                    for box in self.boxes.values():
                        tasks.start_soon(box.run)
            except* Killed:
                self.kills += 1
                self.store = self.store.reopened()

    def turn(self, turn: Turn) -> None:
        """The evaluator finds a change and hands it on."""
        log = self.logs.setdefault(turn.alert, [])
        log.append(_next(turn, log, int(self.clock.now())))
        if not self.store.dead:
            self.judge([log[-1]])
            self.commit()

    def judge(self, entries: Sequence[Transition]) -> None:
        """Decide once who must hear; the answer is kept until it is recorded."""
        obliged = oblige(entries, ROUTES, self.told, now=self.clock.now())
        self.told = obliged.told
        self.step = Commit(
            transitions=[*self.step.transitions, *entries],
            obligations=[*self.step.obligations, *obliged.obligations],
        )

    def commit(self) -> None:
        """Record what is not recorded yet; where that fails, hand the pages over and try again later."""
        try:
            self.store.commit(self.step)
        except StoreError:
            for target, box in self.boxes.items():
                box.offer([o for o in self.step.obligations if o.target == target])
        except Killed:
            return  # the boxes meet it at their next write
        else:
            self.step = Commit()
        for box in self.boxes.values():
            box.wake()

    async def do(self, op: Op) -> None:
        match op:
            case Turn():
                self.turn(op)
            case Wait(seconds):
                await sleep(self.clock, seconds)
            case Script(target, acts_):
                dying = [
                    Die(self.store, accepted=len(self.disk.notifications) % 2 == 0) if a is None else a for a in acts_
                ]
                self.senders[target].script.extend(dying)
            case Kill(write, after_effect):
                self.store.kill_at_write(write, after_effect=after_effect)
            case Full(is_full):
                self.store.full = is_full
                self.commit()
            case Unreadable(unreadable):
                self.store.unreadable = unreadable
                self.commit()

    async def mend(self) -> None:
        """Everything works again, for long enough."""
        self.store.full = self.store.unreadable = False
        for sender in self.senders.values():
            sender.script.clear()
        for _ in range(20):
            self.store.full = self.store.unreadable = False
            self.commit()
            for box in self.boxes.values():
                box.wake()
            await sleep(self.clock, 400)


def _next(turn: Turn, log: Sequence[Transition], now: int) -> Transition:
    """The alert's next entry: the other state, or its last entry taken back."""
    labels = {**LABELS, "channel": f"room {turn.alert}"}
    firing = bool(log) and log[-1].state is State.FIRING
    state = State.RESOLVED if firing else State.FIRING
    entry = transition(state, now - T0, seq=len(log) + 1, labels=labels)
    if turn.corrects and log:
        return replace(entry, at=log[-1].at, retracts=log[-1].at, state=State.INACTIVE if firing else State.FIRING)
    return entry


def run(ops: Sequence[Op], pace: Pace) -> World:
    """Play the operations in virtual time, mend everything, and return the world."""

    async def play() -> World:
        world = World(VirtualClock(epoch=EPOCH, jumping=True), pace)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(world.live)
            await sleep(world.clock, 1)
            for op in ops:
                await world.do(op)
                await anyio.lowlevel.checkpoint()
            await world.mend()
            tasks.cancel_scope.cancel()
        return world

    options = {"clock": trio.testing.MockClock(autojump_threshold=0)}
    return anyio.run(play, backend="trio", backend_options=options)


def assert_nothing_lost(world: World) -> None:
    """Every transition is recorded, every obligation is discharged by a sent message or dropped for a known reason."""
    assert {(t.alert_id, t.seq) for log in world.logs.values() for t in log} == world.disk.transitions.keys()
    assert world.store.open_ids() == set()
    known = {Dropped.SUPERSEDED, Dropped.OVERTAKEN, Dropped.FLAPPING, Dropped.NOT_TOLD}
    assert set(world.disk.dropped.values()) <= known  # whether it was right to drop is in what targets believe
    assert {n.delivery for n in world.disk.notifications.values()} <= {Delivery.SENT}
    accepted = {o for s in world.senders.values() for a in s.accepted for o in a.notification.obligations}
    assert world.disk.discharged.keys() <= accepted


def assert_believed_is_true(world: World) -> None:
    """What each target believes in the end is so."""
    for target, sender in world.senders.items():
        believed: dict[str, bool] = {}
        for sending in sender.accepted:
            for duty in sending.notification.obligations:
                transition_ = world.disk.obligations[duty].transition
                believed[transition_.alert_id] = transition_.state is State.FIRING
        for log in world.logs.values():
            assert believed.get(log[0].alert_id, False) is (log[-1].state is State.FIRING), target


def assert_in_order(world: World) -> None:
    """Per target and alert, the first time each thing was said follows the order of what happened."""
    for target, sender in world.senders.items():
        firsts: dict[str, None] = {}
        for sending in sender.accepted:
            firsts |= dict.fromkeys(sending.notification.obligations)
        for number in world.logs:
            alert = alert_id("VideoFreezing", {**LABELS, "channel": f"room {number}"})
            seqs = [int(o.split("-")[1]) for o in firsts if o.startswith(alert)]
            assert seqs == sorted(seqs), (target, number)


def attempts_by_id(world: World, target: str) -> dict[str, int]:
    """How often each message was accepted."""
    counts: dict[str, int] = {}
    for sending in world.senders[target].accepted:
        counts[sending.notification.id] = counts.get(sending.notification.id, 0) + 1
    return counts


paces = st.builds(
    Pace,
    st.sampled_from([Timing(interval=0), Timing(), Timing(wait=10, interval=60)]),
    st.sampled_from([0.0, 0.5]),
)


@settings(max_examples=120, deadline=None)
@given(st.lists(st.one_of(*peaceful, *deadly), max_size=25), paces)
def test_through_crashes_and_failing_targets(ops: list[Op], pace: Pace) -> None:
    """Nothing is lost or out of order, and what comes twice was in flight at a crash and carries the same id."""
    world = run(ops, pace)
    assert_nothing_lost(world)
    assert_believed_is_true(world)
    assert_in_order(world)
    for target in TARGETS:
        repeats = [n - 1 for n in attempts_by_id(world, target).values() if n > 1]
        assert sum(repeats) <= world.kills * 2
        said: dict[str, str] = {}
        for sending in world.senders[target].accepted:
            for duty in sending.notification.obligations:
                assert said.setdefault(duty, sending.notification.id) == sending.notification.id


@settings(max_examples=120, deadline=None)
@given(st.lists(st.one_of(*peaceful, *full), max_size=25), paces)
def test_through_full_disks_nothing_comes_twice(ops: list[Op], pace: Pace) -> None:
    """Without a crash, every message is accepted once, whether it went out from the store or from memory."""
    world = run(ops, pace)
    assert_nothing_lost(world)
    assert_believed_is_true(world)
    assert_in_order(world)
    for target in TARGETS:
        assert set(attempts_by_id(world, target).values()) <= {1}
        duties = [o for s in world.senders[target].accepted for o in s.notification.obligations]
        assert len(duties) == len(set(duties))


@settings(max_examples=80, deadline=None)
@given(st.lists(st.one_of(*peaceful, *deadly, *full), max_size=25), paces)
def test_through_everything_at_once_nothing_is_lost(ops: list[Op], pace: Pace) -> None:
    """A page that only memory held may come twice or stay uncorrected, as it says of itself; the record is complete."""
    world = run(ops, pace)
    assert_nothing_lost(world)
