"""The running program: one task group, built from a configuration, replaced whole by the next one.

A reload is a restart of the inside: accounts finish the look they are in, outboxes what is in flight, and everything is
built again from the new configuration and the recorded state, under the same lock and listener. Since a restart neither
repeats nor forgets a page (design, invariant 5), a reload needs no second mechanism with its own faults; changing parts
in place was considered and would be one. What it costs is memory that is not recorded: counters and the order of looks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

import anyio
import httpx

from watcher import log
from watcher.alerts.blind import BLIND, OWN, own_troubles
from watcher.alerts.desk import KEEP_OVER, Desk
from watcher.alerts.http import AlertmanagerSender
from watcher.alerts.outbox import Outbox
from watcher.alerts.reasons import Dropped
from watcher.alerts.route import NEVER_TOLD, Routing, Told
from watcher.alerts.targets import HeartbeatSettings, HttpTarget
from watcher.app.account import LEARNED, AccountLoop, overdue
from watcher.app.attention import Attention
from watcher.app.desk import Live
from watcher.app.material import Material, gather
from watcher.app.past import PastReader
from watcher.app.questions import Questions
from watcher.app.recorder import Recorder
from watcher.app.report import Report, report
from watcher.app.senders import beat, charted, keep_alertmanager, limits_of, sender_of, timing_of
from watcher.app.sight import Sight
from watcher.app.snapshot import take
from watcher.app.supervise import supervise
from watcher.app.troubles import Crashes, rule_sights, target_sights
from watcher.app.viewing import Viewing
from watcher.budget.ledger import KEEP, Ledger
from watcher.clock import DAY, HOUR, Clock, boot_id, real_deadline, sleep
from watcher.config import AccountConfig, Config, divides_a_day
from watcher.errors import Refused, StoreError, clip
from watcher.metrics import Snapshot
from watcher.model import Commit, Delivery, Rereader, SavedAlert, Sender, State, Transition
from watcher.providers.provider import Heard, Hearing
from watcher.rules.engine import Engine, Verdicts
from watcher.rules.past import hourly_of
from watcher.schedule import AdaptivePolicy, EvenPolicy, Policy
from watcher.secret import Secret
from watcher.store import SqliteStore, open_store
from watcher.workers import InlineWorkers, StoreWorkers, ThreadWorkers, Workers

T = TypeVar("T")

STORE_PATIENCE = 20.0  # real seconds after which a disk that does not answer is one that fails
STORE_RETRY = 5.0  # run seconds until a state that could not be read is read again
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
    crashes: Crashes = field(default_factory=Crashes)
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
        self._tasks: set[str] = set()
        self.hooks: Counter[tuple[str, str]] = Counter()  # by hook and outcome
        self._clock = clock
        self._transports = transports or {}
        self._senders = senders or self._sender
        self._store_workers = StoreWorkers(self._threads(1), patience=STORE_PATIENCE)
        self._store: SqliteStore = open_store(config.state)
        self.viewing = Viewing(source=self, workers=self._threads(1), clock=clock)
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
                await self.viewing.close()
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

    def hint(self, *, provider: str | None, account: str | None, project: str | None) -> int:
        """Somebody outside says that something is wrong there: look soon. The number of projects meant."""
        found = 0
        for settings in self.config.accounts:
            if provider not in (None, settings.settings.provider) or account not in (None, settings.name):
                continue
            projects = {s.project for query in settings.queries for s in query.series if project in (None, s.project)}
            found += len(projects)
            loop = self._parts.loops.get(settings.name) if self._parts else None
            if loop is not None:
                for name in projects:
                    loop.hint(name)
        return found

    def hook_answered(self, hook: str, outcome: str) -> None:
        """For the counters."""
        self.hooks[hook, outcome] += 1

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
            restarts={**dict.fromkeys(self._tasks, 0), **self.restarts},
            hooks=self.hooks,
        )

    # ── for people (`viewing.Source`): between two configurations there is nobody to ask ──────────────────────────────

    def material(self) -> Material:
        """What the status page shows, as of now. Raises `Refused`."""
        parts = self._standing()
        return gather(
            config=parts.config,
            snapshot=self.snapshot(),
            desk=parts.desk,
            recorder=parts.recorder,
            sights=[sight.view() for sight in parts.sights.values()],
            loops=parts.loops,
        )

    def desk(self) -> Live:
        """Where silences and acknowledgements are made. Raises `Refused`."""
        parts = self._standing()
        return Live(desk=parts.desk, recorder=parts.recorder, clock=self._clock)

    def questions(self, account: str) -> Questions:
        """Where somebody asks what looks do not tell. Raises `Refused`."""
        parts = self._standing()
        if account not in parts.sights:
            raise Refused(404, f"there is no account {clip(account, 63)}: there are {', '.join(parts.sights)}")
        if (loop := parts.loops.get(account)) is None or not loop.opened:
            raise Refused(503, f"account {account} is starting: try again")
        return loop.questions

    def _standing(self) -> _Parts:
        if self._parts is None:
            raise Refused(503, "the daemon is starting: try again")
        return self._parts

    def heard(self, provider: str, token: str, authorization: str | None, body: bytes) -> Heard | None:
        """A vendor's post to its hook: what became of it; None where the token is nobody's."""
        outcome = None
        for account in self.config.accounts:
            loop = self._parts.loops.get(account.name) if self._parts else None
            if account.settings.provider == provider and loop is not None and isinstance(loop.source, Hearing):
                outcome = outcome or loop.source.hear(token, authorization, body)
        self.hooks[provider, str(outcome or "unknown")] += 1
        return outcome

    async def report(self) -> Report:
        """What happened since the state began (design, section 8)."""
        parts = self._parts
        loops = [] if parts is None else list(parts.loops.values())
        return await self._store_workers.run(partial(report, self._store, loops, now=self._clock.now()))

    # ── one configuration's life ─────────────────────────────────────────────────────────────────────────────────────

    async def _generation(self) -> None:
        self._tasks.clear()
        parts = self._parts = await self._built(self.config)
        async with anyio.create_task_group() as tasks:
            for target, outbox in parts.outboxes.items():
                tasks.start_soon(self._supervised, f"outbox {target}", outbox.run)
                if isinstance(sender := outbox.sender, AlertmanagerSender):
                    keep = partial(keep_alertmanager, target, sender, outbox, parts.desk, clock=self._clock)
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

    async def _built(self, config: Config) -> _Parts:
        """Built from the state. At the start a state that cannot be read ends it; a reload waits until it can be."""
        while True:
            try:
                return await self._build(config, self._parts)
            except StoreError as error:
                if self._parts is None:
                    raise
                self._log.error("reload_waits_for_the_state", detail=clip(str(error)))
            await sleep(self._clock, STORE_RETRY)

    async def _build(self, config: Config, before: _Parts | None) -> _Parts:
        """The parts that accounts share, as the recorded state says, and as the parts `before` know better."""
        routing = Routing.of(config.alerts, page_ended_within=config.judging.page_ended_within)
        latest, holders, owed = await self._stored(
            lambda: (self._store.latest(), self._store.holders(NEVER_TOLD), self._store.owed_targets())
        )
        desk = Desk(config.alerts)
        since = self._clock.now() - KEEP_OVER
        silences, acks = await self._stored(lambda: (self._store.silences(since), self._store.acks()))
        desk.restore(latest, silences, acks)
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
            told=_told(holders, config, before),
            outboxes=outboxes,
            desk=desk,
            kept=before.recorder.kept if before else (),
        )
        await self._give_up_removed_targets(config, owed)
        await recorder.record(Commit(transitions=_unheard(latest, recorder.told)))
        await self._retire_removed_accounts(config, recorder)
        own = {t.alert_id: t for t in latest if t.rule in OWN} | (before.own if before else {})
        told = {t.labels["account"]: t for t in own.values() if t.rule == BLIND and t.state is State.FIRING}
        sights = {
            account.name: Sight(
                account=account.name,
                provider=account.settings.provider,
                queries=len(account.queries),
                told=told.get(account.name),
            )
            for account in config.accounts
        }
        return _Parts(config=config, recorder=recorder, outboxes=outboxes, sights=sights, desk=desk, own=own)

    async def _give_up_removed_targets(self, config: Config, targets: Iterable[str]) -> None:
        """What is still owed to a target that is no longer configured is given up with that reason, and said."""
        now = self._clock.now()
        for target in sorted(set(targets) - {"", *config.alerts.targets}):
            owed = await self._stored(partial(self._store.open_obligations, target))
            unsent = await self._stored(partial(self._store.unsent, target))
            if owed:
                reasons = dict.fromkeys((o.id for o in owed), Dropped.TARGET_REMOVED)
                await self._stored(partial(self._store.drop_obligations, reasons, now))
            for message in unsent:
                over = replace(message, delivery=Delivery.EXPIRED, error=Dropped.TARGET_REMOVED)
                await self._stored(partial(self._store.update_notification, over))
            if owed or unsent:
                self._log.error("removed_target_was_owed", target=target, obligations=len(owed), messages=len(unsent))

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
            limits=limits_of(target, config.alerts),
            unseen=desk.unseen,
            detailed=not isinstance(target, Secret),
            charted=charted(target),
        )

    def _sender(self, name: str, target: Secret | HttpTarget) -> Sender:
        return sender_of(target, clock=self._clock, threads=self._threads)

    # ── tasks ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _account(self, account: AccountConfig) -> None:
        """One account from its recorded state on, as soon as that can be read."""
        parts = self._parts
        assert parts is not None
        while True:
            try:
                return await self._live(account, parts)
            except StoreError as error:
                parts.recorder.fails(error)
            await sleep(self._clock, STORE_RETRY)

    async def _live(self, account: AccountConfig, parts: _Parts) -> None:
        """One account's life; begun anew after a crash, so nothing half-done is kept. Raises `StoreError`."""
        engine = Engine(rules=parts.config.rules, settings=parts.config.judging)
        store, now = self._store, self._clock.now()
        ids = {query.id for query in account.queries}
        everything = await self._stored(store.covered)
        covered = {k: v for k, v in everything.items() if k in ids}
        saved = [s for s in await self._stored(store.alerts) if _account_of(s) in ("", account.name)]
        steps = engine.restoring(
            saved,
            queries=account.queries,
            covered=covered,
            points=store.points,
            now=now,
            log_of=lambda alert: store.transitions(alert=alert),
            earlier=hourly_of(store.points),
        )
        while (verdicts := await self._stored(partial(next, steps))) is None:
            pass
        ledger = Ledger(
            account=account.name,
            pools=(*account.pools, *account.past_pools, *account.asked_pools),
            store=store,
            clock=self._clock,
            workers=self._store_workers,
            boot=boot_id(self._clock),
        )
        await ledger.open()
        learned = await self._stored(partial(store.note, account.name, LEARNED))
        source = account.provider.open(
            account.settings,
            account.needed,
            clock=self._clock,
            offset=ledger.offset,
            learned=learned,
            transport=self._transports.get(account.name),
        )
        try:
            if isinstance(source, Rereader):
                await self._stored(partial(source.recall, store.points, covered))
            loop = parts.loops[account.name] = AccountLoop(
                account=account.name,
                source=source,
                ledger=ledger,
                policy=policy_for(account),
                engine=engine,
                recorder=parts.recorder,
                clock=self._clock,
                sight=parts.sights[account.name],
                covered=covered,
                attention=Attention(queries=account.queries, rules=parts.config.rules),
                notes=store,
                workers=self._store_workers,
                affected=parts.config.alerts.affected,
                firing=parts.desk.firing,
                past=PastReader(
                    account=account.name,
                    queries=account.past,
                    scheduled=account.queries,
                    covered=everything,
                    source=source,
                    ledger=ledger,
                    engine=engine,
                    recorder=parts.recorder,
                    clock=self._clock,
                    notes=store,
                    workers=self._store_workers,
                ),
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
            now = self._clock.now()
            for account in parts.config.accounts:
                loop = parts.loops.get(account.name)
                parts.sights[account.name].stale(loop is not None and overdue(account.gaps, loop), now)
            sights = [sight.view() for sight in parts.sights.values()]
            providers = {account.name: account.settings.provider for account in parts.config.accounts}
            rules = [rule.name for rule in parts.config.rules]
            found = own_troubles(
                sights,
                parts.recorder.sight,
                parts.own,
                now=now,
                targets=target_sights(parts.outboxes.values()),
                rules=rule_sights(parts.crashes, parts.loops, providers, rules, parts.own, now),
            )
            parts.own.update({t.alert_id: t for t in found})
            if found or parts.recorder.waiting:
                await parts.recorder.record(Commit(transitions=found))
            await sleep(self._clock, TROUBLES_EVERY)

    async def _upkeep(self) -> None:
        """Forget what is older than the history that is kept, by the clock that is behind: ours may be days ahead."""
        parts = self._parts
        assert parts is not None
        while True:
            now = min([self._clock.now(), *(loop.ledger.vendor_now() for loop in parts.loops.values())])
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
        self._tasks.add(name)

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


def _told(holders: Told, config: Config, before: _Parts | None) -> Told:
    """Who holds which page, among the targets that exist; what was decided and not recorded counts too."""
    known = {**holders, **(before.recorder.told if before else {})}
    told = {alert: held & config.alerts.targets.keys() for alert, held in known.items()}
    return {alert: held for alert, held in told.items() if held}


def _unheard(latest: Sequence[Transition], told: Told) -> list[Transition]:
    """Alerts that fire and that no target holds: all that did were removed. Today's routes are told."""
    return [entry for entry in latest if entry.state is State.FIRING and entry.alert_id not in told]


def policy_for(account: AccountConfig) -> Policy:
    """The adaptive schedule where a day's budget is to be divided; else there is nothing to save, and even is best."""
    if divides_a_day(account.pools):
        return AdaptivePolicy(gaps=account.gaps)
    return EvenPolicy()


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
