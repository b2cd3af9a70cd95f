"""The running program: one task group, built from a configuration, replaced whole by the next one.

A reload is a restart of the inside: accounts finish the look they are in, outboxes what is in flight, and everything is
built again from the new configuration and the recorded state, under the same lock and listener. Since a restart neither
repeats nor forgets a page (design, invariant 5), a reload needs no second mechanism with its own faults; changing parts
in place was considered and would be one. What it costs is memory that is not recorded: counters and the order of looks.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import anyio
import httpx

from watcher import log
from watcher.alerts.blind import BLIND, NOT_DURABLE, own_troubles
from watcher.alerts.desk import KEEP_OVER, Desk
from watcher.alerts.http import AlertmanagerSender
from watcher.alerts.outbox import Outbox
from watcher.alerts.route import Routing, obliged, told_before
from watcher.alerts.targets import AlertmanagerSettings, HeartbeatSettings, HttpTarget
from watcher.app.account import AccountLoop
from watcher.app.desk import Live
from watcher.app.recorder import Recorder
from watcher.app.report import Report, report
from watcher.app.senders import EVERYTHING, beat, keep_alertmanager, sender_of, timing_of
from watcher.app.sight import Sight
from watcher.app.snapshot import take
from watcher.app.supervise import supervise
from watcher.budget.ledger import KEEP, Ledger
from watcher.clock import DAY, HOUR, Clock, boot_id, real_deadline, sleep
from watcher.config import AccountConfig, Config
from watcher.errors import Refused, StoreError
from watcher.metrics import Snapshot
from watcher.model import Commit, SavedAlert, Sender, Transition
from watcher.rules.engine import Engine, Verdicts
from watcher.schedule.even import EvenPolicy
from watcher.secret import Secret
from watcher.store import SqliteStore, open_store
from watcher.web import NewAck, NewSilence
from watcher.workers import InlineWorkers, ThreadWorkers, Workers

T = TypeVar("T")

DRAIN = 8.0  # real seconds: accounts first, then what is in flight; a service manager usually waits 10 at least
ACCOUNTS_STOP = 4.0  # of them, for looks under way
TROUBLES_EVERY = 15.0  # run seconds between two judgements of the daemon's own sight
UPKEEP_EVERY = float(HOUR)
RECORDS_KEPT = 90 * DAY  # run seconds for which finished transitions, obligations and messages are kept

Senders = Callable[[str, Secret | HttpTarget], Sender]


@dataclass(slots=True)
class _Parts:
    """What one configuration became: replaced whole by a reload."""

    config: Config
    recorder: Recorder
    outboxes: Mapping[str, Outbox]
    sights: Mapping[str, Sight]
    desk: Desk
    loops: dict[str, AccountLoop] = field(default_factory=dict)
    own: dict[str, Transition] = field(default_factory=dict)  # last transition of each of the daemon's own alerts


class Daemon:
    """Everything but the process: `service` adds listener and signals.

    `transports` replace the network per account, `senders` the targets' senders: for tests in virtual time.
    """

    def __init__(
        self,
        *,
        config: Config,
        clock: Clock,
        transports: Mapping[str, httpx.AsyncBaseTransport] | None = None,
        senders: Senders | None = None,
    ) -> None:
        """Takes hold of the state. Raises `StateLocked` or `StoreError`."""
        self.config = config
        self.started_at = clock.now()
        self.reloads: dict[bool, int] = {True: 0, False: 0}
        self.restarts: dict[str, int] = {}
        self._clock = clock
        self._transports = transports or {}
        self._senders = senders or self._sender
        self._store_workers = self._threads(1)
        self._store: SqliteStore = open_store(config.state)
        self._parts: _Parts | None = None
        self._next: Config | None = None
        self._reloaded_at: float | None = None
        self._stopping = False
        self._over = anyio.Event()
        self._turn = anyio.Event()
        self._log = log.get("daemon")

    # ── from outside ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def run(self) -> None:
        """Go on until `stop`, through any number of reloads."""
        try:
            while not self._stopping:
                self._turn = anyio.Event()
                await self._generation()
                self.config, self._next = self._next or self.config, None
        finally:
            with anyio.CancelScope(shield=True):
                await self._store_workers.run(self._store.close)
            self._over.set()

    async def stop(self) -> None:
        """Drain and stop: looks under way and messages in flight are finished, the rest stays recorded."""
        self._stopping = True
        self._turn.set()
        await self._over.wait()

    def reload(self, config: Config) -> None:
        """Go on with another configuration, which must have been checked. The state's URL stays what it was."""
        self._next = config
        self._reloaded_at = self._clock.now()
        self.reloads[True] += 1
        self._turn.set()

    def reload_refused(self) -> None:
        """A configuration was wrong: the running one stays."""
        self.reloads[False] += 1

    async def writable(self) -> bool:
        """Whether the state could be written now."""
        try:
            await self._store_workers.run(self._store.probe)
        except StoreError:
            return False
        return True

    def snapshot(self) -> Snapshot:
        """Everything the metrics show, as of now."""
        parts = self._parts
        return take(
            now=self._clock.now(),
            started_at=self.started_at,
            config=self.config,
            loops=parts.loops if parts else {},
            outboxes=tuple(parts.outboxes.values()) if parts else (),
            recorder=parts.recorder if parts else None,
            reloads=self.reloads,
            reloaded_at=self._reloaded_at,
            restarts=self.restarts,
        )

    # ── for people (`web.Actions`): between two configurations there is nobody to ask ─────────────────────────────────

    def alerts(self) -> list[dict[str, Any]]:
        """What fires."""
        return self._live().alerts()

    def silences(self) -> list[dict[str, Any]]:
        """Those that hold, will hold, or ended lately."""
        return self._live().silences()

    async def add_silence(self, wish: NewSilence) -> dict[str, Any]:
        """Begin a silence. Raises `Refused`."""
        return await self._live().add_silence(wish)

    async def expire_silence(self, silence: str) -> dict[str, Any]:
        """End a silence now. Raises `Refused`."""
        return await self._live().expire_silence(silence)

    async def acknowledge(self, alert: str, wish: NewAck) -> dict[str, Any]:
        """Note that somebody has an alert in hand. Raises `Refused`."""
        return await self._live().acknowledge(alert, wish)

    def _live(self) -> Live:
        if self._parts is None:
            raise Refused(503, "the daemon is starting: try again")
        return Live(desk=self._parts.desk, recorder=self._parts.recorder, clock=self._clock)

    async def report(self) -> Report:
        """What happened since the state began (design, section 8)."""
        parts = self._parts
        loops = [] if parts is None else list(parts.loops.values())
        return await self._store_workers.run(partial(report, self._store, loops, now=self._clock.now()))

    # ── one configuration's life ─────────────────────────────────────────────────────────────────────────────────────

    async def _generation(self) -> None:
        parts = await self._build(self.config)
        self._parts = parts
        async with anyio.create_task_group() as tasks:
            for target, outbox in parts.outboxes.items():
                tasks.start_soon(self._supervised, f"outbox {target}", outbox.run)
                if isinstance(sender := outbox.sender, AlertmanagerSender):
                    keep = partial(keep_alertmanager, target, sender, outbox, clock=self._clock)
                    tasks.start_soon(self._supervised, f"alertmanager {target}", keep)
            for name, settings in parts.config.alerts.targets.items():
                if isinstance(settings, HeartbeatSettings):
                    pulse = partial(beat, name, settings, parts.sights, clock=self._clock)
                    tasks.start_soon(self._supervised, f"heartbeat {name}", pulse)
            accounts = _Group()
            for account in parts.config.accounts:
                work, sight = partial(self._account, account), parts.sights[account.name]
                task = f"account {account.name}"
                tasks.start_soon(accounts.run, partial(self._supervised, task, work, sight))
            tasks.start_soon(self._supervised, "troubles", self._watch_own_troubles)
            tasks.start_soon(self._supervised, "upkeep", self._upkeep)
            self._log.info("running", accounts=len(parts.config.accounts), rules=len(parts.config.rules))
            await self._turn.wait()
            await self._wind_down(parts, accounts)
            tasks.cancel_scope.cancel()

    async def _wind_down(self, parts: _Parts, accounts: _Group) -> None:
        with real_deadline(DRAIN):
            for loop in parts.loops.values():
                loop.stop()
            with real_deadline(ACCOUNTS_STOP):
                await accounts.empty()
            async with anyio.create_task_group() as drains:
                for outbox in parts.outboxes.values():
                    drains.start_soon(outbox.drain, DRAIN)

    async def _build(self, config: Config) -> _Parts:
        """The parts that accounts share, as the recorded state says."""
        routing = Routing.of(config.alerts, page_ended_within=config.judging.page_ended_within)
        transitions, obligations = await self._stored(lambda: (self._store.transitions(), self._store.obligations()))
        desk = Desk(config.alerts)
        since = self._clock.now() - KEEP_OVER
        silences, acks = await self._stored(lambda: (self._store.silences(since), self._store.acks()))
        desk.restore(transitions, silences, acks)
        outboxes = {
            name: self._outbox(name, target, config, routing, desk)
            for name, target in config.alerts.targets.items()
            if not isinstance(target, HeartbeatSettings)
        }
        recorder = Recorder(
            store=self._store,
            workers=self._store_workers,
            clock=self._clock,
            routing=routing,
            told=told_before(transitions, obliged(obligations), tuple(config.alerts.targets)),
            outboxes=outboxes,
            desk=desk,
        )
        await self._retire_removed_accounts(config, recorder)
        own = {t.alert_id: t for t in transitions if t.rule in (BLIND, NOT_DURABLE)}
        sights = {
            account.name: Sight(account=account.name, provider=account.settings.provider, queries=len(account.queries))
            for account in config.accounts
        }
        return _Parts(config=config, recorder=recorder, outboxes=outboxes, sights=sights, desk=desk, own=own)

    async def _retire_removed_accounts(self, config: Config, recorder: Recorder) -> None:
        """Alerts of accounts that are no longer configured end, as those of removed rules do."""
        names = {account.name for account in config.accounts}
        saved = [s for s in await self._stored(self._store.alerts) if _account_of(s) not in ("", *names)]
        if saved:
            nobody = Engine(rules=(), settings=config.judging)
            ended = nobody.restore(saved, queries=(), covered={}, points=self._store.points, now=self._clock.now())
            await recorder.record(_commit(ended))

    def _outbox(self, name: str, target: Secret | HttpTarget, config: Config, routing: Routing, desk: Desk) -> Outbox:
        return Outbox(
            target=name,
            sender=self._senders(name, target),
            store=self._store,
            workers=self._store_workers,
            clock=self._clock,
            timing=timing_of(target, routing.timing),
            delivery=config.alerts.delivery,
            mutes=desk.mutes,
            limits=EVERYTHING if isinstance(target, AlertmanagerSettings) else config.alerts.limits(),
            detailed=not isinstance(target, Secret),
        )

    def _sender(self, name: str, target: Secret | HttpTarget) -> Sender:
        return sender_of(target, clock=self._clock, threads=self._threads)

    # ── tasks ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _account(self, account: AccountConfig) -> None:
        """One account from its recorded state on; begun anew after a crash, so nothing half-done is kept."""
        parts = self._parts
        assert parts is not None
        engine = Engine(rules=parts.config.rules, settings=parts.config.judging)
        store, now = self._store, self._clock.now()
        ids = {query.id for query in account.queries}
        covered = {k: v for k, v in (await self._stored(store.covered)).items() if k in ids}
        saved = [s for s in await self._stored(store.alerts) if _account_of(s) in ("", account.name)]
        verdicts = await self._stored(
            lambda: engine.restore(saved, queries=account.queries, covered=covered, points=store.points, now=now)
        )
        ledger = Ledger(
            account=account.name,
            pools=account.pools,
            store=store,
            clock=self._clock,
            workers=self._store_workers,
            boot=boot_id(self._clock),
        )
        source = account.provider.open(
            account.settings, account.needed, clock=self._clock, transport=self._transports.get(account.name)
        )
        try:
            loop = parts.loops[account.name] = AccountLoop(
                account=account.name,
                source=source,
                ledger=ledger,
                policy=EvenPolicy(),
                engine=engine,
                recorder=parts.recorder,
                clock=self._clock,
                sight=parts.sights[account.name],
                covered=covered,
            )
            await parts.recorder.record(_commit(verdicts))
            await loop.run()
        finally:
            with anyio.CancelScope(shield=True), real_deadline(2):
                await source.aclose()

    async def _watch_own_troubles(self) -> None:
        """Blindness pages (invariant 11), and what the failing store kept waiting goes in as soon as it can."""
        parts = self._parts
        assert parts is not None
        while True:
            sights = [sight.view() for sight in parts.sights.values()]
            found = own_troubles(sights, parts.recorder.sight, parts.own, now=self._clock.now())
            parts.own.update({t.alert_id: t for t in found})
            if found or parts.recorder.waiting:
                await parts.recorder.record(Commit(transitions=found))
            await sleep(self._clock, TROUBLES_EVERY)

    async def _upkeep(self) -> None:
        """Forget what is older than the history that is kept."""
        while True:
            now = self._clock.now()
            prune = partial(
                self._store.prune,
                points_before=int(now - self.config.history),
                records_before=now - max(RECORDS_KEPT, KEEP),
            )
            try:
                while await self._store_workers.run(prune):
                    pass
            except StoreError as error:
                self._log.warning("upkeep_failed", detail=str(error))
            await sleep(self._clock, UPKEEP_EVERY)

    async def _supervised(self, name: str, work: Callable[[], Awaitable[None]], sight: Sight | None = None) -> None:
        def crashed() -> None:
            self.restarts[name] = self.restarts.get(name, 0) + 1
            if sight is not None:
                sight.crashed(self._clock.now())

        await supervise(name, work, clock=self._clock, on_crash=crashed)

    # ── threads ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _threads(self, limit: int) -> Workers:
        return InlineWorkers() if self._clock.virtual else ThreadWorkers(limit)

    async def _stored(self, call: Callable[[], T]) -> T:
        return await self._store_workers.run(call)


class _Group:
    """Tasks that are waited for together."""

    def __init__(self) -> None:
        self._running = 0
        self._idle = anyio.Event()

    async def run(self, work: Callable[[], Awaitable[None]]) -> None:
        self._running += 1
        try:
            await work()
        finally:
            self._running -= 1
            if not self._running:
                self._idle.set()

    async def empty(self) -> None:
        if self._running:
            await self._idle.wait()


def _commit(verdicts: Verdicts) -> Commit:
    return Commit(alerts=verdicts.alerts, forgotten=verdicts.forgotten, transitions=verdicts.transitions)


def _account_of(saved: SavedAlert) -> str:
    """The account of a saved alert; empty for one whose memory no longer says."""
    series = saved.body.get("series")
    return str(series[0]) if isinstance(series, Sequence) and series else ""
