"""The driver: accounts and outboxes stepped on a clock set by hand, from the recording's first window past its last.

Nothing here decides anything: it builds the parts that the daemon builds (`app.daemon`), less what a month of virtual
time would spend its CPU on, which is waiting. The clock jumps to the next instant at which some part has something to
do; a part that slept would have found nothing changed meanwhile, so nothing is missed by not waking it. Looks take no
time, and neither does a target: `wait_seconds` is what budget, schedule, delay and grouping cost.

Driving the whole daemon on a jumping event loop was considered (the tests do): it takes ten times as long.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Literal

from watcher.alerts.affected import AffectedSettings
from watcher.alerts.desk import Desk
from watcher.alerts.outbox import Outbox
from watcher.alerts.route import Routing
from watcher.alerts.targets import HeartbeatSettings
from watcher.app.account import AccountLoop
from watcher.app.attention import Attention
from watcher.app.daemon import policy_for
from watcher.app.recorder import Recorder
from watcher.app.senders import limits_of, timing_of
from watcher.app.sight import Sight
from watcher.backtest.memory import MemoryStore
from watcher.backtest.recording import Recording
from watcher.backtest.source import RecordedSource, remember
from watcher.budget.ledger import Ledger
from watcher.clock import DAY, Clock
from watcher.config import AccountConfig, Config
from watcher.model import Notification, Sender
from watcher.rules.engine import Engine
from watcher.schedule import EvenPolicy, Policy
from watcher.workers import InlineWorkers

PolicyName = Literal["adaptive", "even"]

_LEAST = 0.001  # seconds by which the clock moves on where a part asks to be called again at once without a look
_HELD = 3600.0  # seconds for which grouping may hold a last message back; what repeats then is not of the recording
_TAIL = float(DAY)  # seconds after the last window in which looks and messages still come


class SteppingClock:
    """A run clock that stands still until it is set. Port `clock.Clock`."""

    rate = 1.0
    virtual = True

    def __init__(self, at: float) -> None:
        self._epoch = at
        self._now = at

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._now - self._epoch

    async def sleep_until(self, at: float) -> None:
        self.set(at)

    def set(self, at: float) -> None:
        """It is `at` now; never earlier than it was."""
        self._now = max(self._now, at)


class _Accepts:
    """A target that takes every message at once. Port `model.Sender`."""

    async def send(self, notification: Notification) -> None:
        return


@dataclass(slots=True, kw_only=True)
class Replay:
    """What a run left behind."""

    store: MemoryStore
    loops: Sequence[AccountLoop]
    sources: Sequence[RecordedSource]
    ended_at: float


def policy_of(name: PolicyName, account: AccountConfig) -> Policy:
    """The schedule of that name for an account."""
    return policy_for(account) if name == "adaptive" else EvenPolicy()


async def replay(config: Config, recording: Recording, *, policy: PolicyName, past: Recording | None = None) -> Replay:
    """Live through the recording with this configuration, knowing what `past` holds of the time before it."""
    clock = SteppingClock(recording.begin)
    messages = Messages(config, clock)
    sources = [
        RecordedSource(queries=account.queries, recording=recording, clock=clock, gaps=account.gaps)
        for account in config.accounts
    ]
    loops = [
        _loop(account, config, source, messages, clock, policy)
        for account, source in zip(config.accounts, sources, strict=True)
    ]
    for account, loop in zip(config.accounts, loops, strict=True):
        remember(loop.engine, account.queries, account.past, past, recording.begin)
    due = dict.fromkeys(range(len(loops)), clock.now())
    async with messages.opened():
        for loop in loops:
            await loop.ledger.open()
            await loop.open()
        last = recording.end + _TAIL
        while due and (at := min(*due.values(), messages.due)) <= last:
            clock.set(at)
            for index in [i for i, when in due.items() if when <= at]:
                due[index] = await _advance(loops[index], clock)
                if _is_over(loops[index], recording.end):
                    del due[index]
            await messages.deliver()
        ended_at = clock.now()
        await messages.finish()
    return Replay(store=messages.store, loops=loops, sources=sources, ended_at=ended_at)


def _loop(
    account: AccountConfig,
    config: Config,
    source: RecordedSource,
    messages: Messages,
    clock: Clock,
    policy: PolicyName,
) -> AccountLoop:
    return AccountLoop(
        account=account.name,
        source=source,
        ledger=Ledger(
            account=account.name,
            pools=account.pools,
            store=messages.store,
            clock=clock,
            workers=InlineWorkers(),
        ),
        policy=policy_of(policy, account),
        engine=Engine(rules=config.rules, settings=config.judging),
        recorder=messages.recorder,
        clock=clock,
        sight=Sight(account=account.name, provider=account.settings.provider, queries=len(account.queries)),
        covered={},
        attention=Attention(queries=account.queries, rules=config.rules),
        notes=messages.store,
        workers=InlineWorkers(),
        affected=AffectedSettings(per_day=0),  # a recording has no groups
        firing={},
    )


async def _advance(loop: AccountLoop, clock: SteppingClock) -> float:
    """One step of an account; when the next has something to do. (The daemon also naps, for clocks that step.)"""
    now = clock.now()
    at = await loop.step()
    if loop.slot is not None and loop.slot.at > now:
        verdict = loop.engine.due()
        return max(loop.slot.at if verdict is None else min(loop.slot.at, verdict), now + _LEAST)
    return at


def _is_over(loop: AccountLoop, end: int) -> bool:
    """Every query has seen the recording's end, and no verdict waits."""
    covered = loop.covered
    return loop.engine.due() is None and all(
        covered.get(s.query.id, 0) >= end - end % s.query.width for s in loop.states
    )


class Messages:
    """Recorder and outboxes of a configuration, on a store in memory: from transitions to delivered messages."""

    def __init__(self, config: Config, clock: SteppingClock) -> None:
        self.store = MemoryStore()
        self.due = float("inf")
        routing = Routing.of(config.alerts, page_ended_within=config.judging.page_ended_within)
        desk = Desk(config.alerts)
        desk.restore((), (), ())
        self._clock = clock
        self._seen = 0
        self._outboxes: Mapping[str, Outbox] = {
            name: Outbox(
                target=name,
                sender=_Accepts(),
                store=self.store,
                workers=InlineWorkers(),
                clock=clock,
                timing=timing_of(target, routing.timing),
                delivery=config.alerts.delivery,
                mutes=desk.mutes,
                limits=limits_of(target, config.alerts),
            )
            for name, target in config.alerts.targets.items()
            if not isinstance(target, HeartbeatSettings)
        }
        self.recorder = Recorder(
            store=self.store,
            workers=InlineWorkers(),
            clock=clock,
            routing=routing,
            told={},
            outboxes=self._outboxes,
            desk=desk,
        )

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """To be entered around everything else: attempts live in it."""
        async with AsyncExitStack() as stack:
            for outbox in self._outboxes.values():
                await stack.enter_async_context(outbox.opened())
            yield

    async def deliver(self) -> None:
        """Send what is due by now, where there is anything new or held back until now."""
        now = self._clock.now()
        if len(self.store.log) == self._seen and self.due > now:
            return
        self._seen = len(self.store.log)
        waits = [await self._empty(outbox, now) for outbox in self._outboxes.values()]
        self.due = min((at for at in waits if at is not None), default=float("inf"))

    async def finish(self) -> None:
        """Send what is still held back by grouping; what fires for ever is not repeated for ever."""
        await self.deliver()
        until = self._clock.now() + _HELD
        while self.due <= until:
            self._clock.set(self.due)
            await self.deliver()

    async def _empty(self, outbox: Outbox, now: float) -> float | None:
        while (at := await outbox.step()) is not None and at <= now:
            pass
        return at


_: tuple[Callable[[float], Clock], Callable[[], Sender]] = (SteppingClock, _Accepts)
