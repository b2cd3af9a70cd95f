"""The way of a point, from slot to record, for one account: read `AccountLoop.step` from top to bottom.

    slot -> grant -> look -> points -> evaluate -> transitions (-> obligations -> outbox: `recorder` and `alerts`)

One task per account runs this and nothing else does, so accounts share no fate but the store (design, invariant 9), and
looks of one account follow each other. Everything that decides is elsewhere and pure: the policy says which query when,
the ledger whether a request may leave, the engine what the points mean. Here is only the order of things, and what a
failure costs: a look that fails is reported to the policy, never repeated on the spot.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import anyio

from watcher import log
from watcher.alerts.affected import AffectedSettings
from watcher.app.attention import Attention
from watcher.app.inquiry import Inquiries
from watcher.app.past import PastReader
from watcher.app.questions import Questions
from watcher.app.recorder import Recorder
from watcher.app.sight import Sight
from watcher.app.worst import named
from watcher.budget.ledger import Ledger
from watcher.budget.purse import LookPurse
from watcher.budget.quota import Refusal
from watcher.clock import MINUTE, Clock, real_deadline, real_monotonic
from watcher.errors import ProviderError, Reason, StoreError
from watcher.model import USERS, Answer, Commit, Gap, LedgerStore, Query, Source, Transition
from watcher.rules.engine import Engine, Verdicts
from watcher.schedule.state import Policy, QueryState, Slot, Why, extra_requests, failed, looked, rewound, wanted
from watcher.workers import Workers

LONGEST_LOOK = 30.0  # real seconds, pages and second domains included
STORE_RETRY = 10.0  # run seconds until a ledger that could not write is asked again
LONGEST_NAP = float(MINUTE)  # run seconds between two looks at the schedule, whatever it said
LONGEST_HELD = 300.0  # run seconds that an answer waits for the users query, as a verdict does for a `require`

YIELDING = frozenset({Why.DUE, Why.NEAR, Why.SIBLING, Why.HINT})
"""Looks that no page and no promise waits for: who is affected by an alert that fires is asked before them."""

OK = "ok"
LEARNED = "learned"  # the note that a source gets back at the next start


@dataclass(slots=True)
class LookStats:
    """What an account's looks came to, for metrics and the report. Counters count since start."""

    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)  # (signal, outcome)
    reasons: Counter[str] = field(default_factory=Counter)  # why the schedule asked
    oddities: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    covered_windows: int = 0
    lost_windows: int = 0
    budget_refusals: int = 0


class AccountLoop:
    """Looks, judges and records, for one account, until told to stop."""

    def __init__(
        self,
        *,
        account: str,
        source: Source,
        ledger: Ledger,
        policy: Policy,
        engine: Engine,
        recorder: Recorder,
        clock: Clock,
        sight: Sight,
        covered: Mapping[str, int],
        attention: Attention,
        notes: LedgerStore,
        workers: Workers,
        affected: AffectedSettings,
        firing: Mapping[str, Transition],
        past: PastReader | None = None,
    ) -> None:
        self.engine = engine
        self.ledger = ledger
        self.sight = sight
        self.stats = LookStats()
        self.covered = dict(covered)
        self.states: tuple[QueryState, ...] = ()
        self.opened = False  # before that it takes no step, and nobody's question has a turn
        self.slot: Slot | None = None
        self.source = source
        self.queries = {query.id: query for query in source.queries}
        self._pools = {pool for query in source.queries for pool in query.pools}  # without what the past alone spends
        self._policy = policy
        self._recorder = recorder
        self._clock = clock
        self._account = account
        self._attention = attention
        self._notes = notes
        self._workers = workers
        self._past = past
        self._log = log.get("account").bind(account=account)
        self.inquiries = Inquiries(
            settings=affected,
            account=account,
            source=source,
            ledger=ledger,
            policy=policy,
            engine=engine,
            recorder=recorder,
            clock=clock,
            notes=notes,
            workers=workers,
            firing=firing,
        )
        self.questions = Questions(
            account=account,
            source=source,
            ledger=ledger,
            policy=policy,
            recorder=recorder,
            clock=clock,
            ring=self._ring,
        )
        self._held: dict[str, Answer] = {}  # silent ones, until it is known whether anybody was there
        self._tellers: dict[str, Answer] = {}  # by query, the newest that can name the calls behind its values
        self._stopping = False
        self._bell = anyio.Event()

    async def run(self) -> None:
        """Go on until `stop`; a look under way is finished."""
        try:
            await self.open()
            while not self._stopping:
                self._bell = anyio.Event()
                await self._sleep_until(await self.step())
        finally:
            self.questions.close()

    async def open(self) -> None:
        """Once, before the first `step` and with an open ledger: learn where each query stands."""
        await self._recall()
        self.states = tuple(
            QueryState(query=q, covered_until=self._on_run_clock(self.covered.get(q.id))) for q in self.source.queries
        )
        await self.inquiries.resume(self.states)
        if self._past is not None:
            await self._past.open()
        self.opened = True

    @property
    def oddities(self) -> Counter[str]:
        """What was repaired or dropped in answers of every kind."""
        past = self._past.oddities if self._past is not None else Counter[str]()
        return self.stats.oddities + self.inquiries.oddities + self.questions.oddities + past

    def hint(self, project: str) -> None:
        """Somebody outside says that something is wrong with a project now: look soon, and believe nothing more."""
        self._attention.hint(project, self.ledger.vendor_now())
        self.questions.hurry()
        self._ring()

    def stop(self) -> None:
        """Begin no further look."""
        self._stopping = True
        self.questions.hurry()
        self._ring()

    async def step(self) -> float:
        """Make the look whose time has come, if there is one; the instant to come back at."""
        now = self._clock.now()
        await self._disbelieve_the_future()
        await self._release(now)
        await self._record_verdicts(self.engine.tick(now))
        covered = {query: self._on_run_clock(until) for query, until in self.covered.items()}
        states = wanted(rewound(self.states, covered, now), self._undecided())
        self.states = self._attention.dress(states, self.covered, self.ledger.offset)
        usage = self.ledger.usage(now)
        self.sight.budget([view for view in usage if view.pool in self._pools], now)
        self.slot = self._policy.next(self.states, usage, now)
        due = self.slot.query_id is not None and self.slot.at <= now
        back = self.slot.at
        verdict = math.inf if (waits := self.engine.due()) is None else waits
        if not due or self.slot.reason in YIELDING:
            free_until = min(math.inf if due else self.slot.at, verdict)
            back = min(back, asked := await self.inquiries.step(self.states, free_until))
            due = due and asked > self._clock.now()  # else something was asked, and the plan is an old one
        if due and self.slot.query_id is not None:
            return await self._look(self.queries[self.slot.query_id], self.slot)
        if await self.questions.step(self.states, back, verdict):
            return self._clock.now()
        if self._past is not None and self.slot.query_id is not None:
            await self._past.step(usage, min(back, verdict))
        return self._wake_at(back, now)

    # ── one look ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _look(self, query: Query, slot: Slot) -> float:
        now = self._clock.now()
        try:
            spend = await self.ledger.spend(query.pools)
        except StoreError as error:
            self._recorder.fails(error)
            return now + STORE_RETRY
        self._recorder.works()
        if isinstance(spend, Refusal):
            self.stats.budget_refusals += 1
            return self._wake_at(spend.at, now)
        self.stats.reasons[str(slot.reason)] += 1
        extra = extra_requests(self.states, query.id)
        purse = LookPurse(ledger=self.ledger, pools=query.pools, first=spend, extra=extra)
        started = real_monotonic()
        try:
            answer = await self._ask(query, self.covered.get(query.id), purse)
        except ProviderError as error:
            await self._failed(query, error)
        except StoreError as error:
            self._recorder.fails(error)
            return now + STORE_RETRY
        else:
            await self._received(query, answer)
        finally:
            self.stats.seconds += real_monotonic() - started
        return self._clock.now()

    async def _ask(self, query: Query, covered: int | None, purse: LookPurse) -> Answer:
        with real_deadline(LONGEST_LOOK):
            return await self.source.look(query, covered, purse)
        raise ProviderError(Reason.TIMEOUT, f"no answer within {LONGEST_LOOK:.0f} s")

    async def _received(self, query: Query, answer: Answer) -> None:
        now = self._clock.now()
        self._note_outcome(query, OK)
        self.stats.oddities.update(answer.oddities)
        had = query.id in self.covered
        await self._disbelieve_the_future()
        if had and query.id not in self.covered:
            self._ask_again(query, now)
            return
        before = self.covered.get(query.id, 0)
        covered = self.covered[query.id] = max(answer.asked.end, before)
        self.stats.covered_windows += (covered - max(answer.asked.start, before)) // query.width
        self.states = looked(self.states, query.id, at=now, covered_until=covered - self.ledger.offset)
        self.sight.answered(query.id, now)
        if (earlier := self._held.pop(query.id, None)) is not None:
            await self._take_in(earlier, earlier.asked.end)
        if self._attention.unexplained(answer) and not self._users_failing():
            self._held[query.id] = answer
            return
        await self._take_in(answer, covered)
        await self._release(now)
        await self._remember()

    def _ask_again(self, query: Query, now: float) -> None:
        """What was asked followed on from what is believed no longer: the next look begins as far back as there is."""
        self.sight.answered(query.id, now)
        self.states = tuple(
            replace(s, covered_until=None) if s.query.id == query.id else s
            for s in looked(self.states, query.id, at=now, covered_until=now)
        )

    async def _take_in(self, answer: Answer, covered: int) -> None:
        """Judge an answer and record everything that follows from it."""
        now = self._clock.now()
        verdicts = self.engine.receive(answer, now)
        if answer.worst is not None or answer.splits is not None:
            self._tellers[answer.query.id] = answer
        said = named(verdicts.transitions, self._tellers.values())
        said = self.inquiries.note(said, (*self._tellers.values(), answer), self.states)
        verdicts = replace(verdicts, transitions=said)
        skipped = self._attention.received(answer, verdicts.transitions, self.covered)
        self.covered |= skipped
        self.states = tuple(
            replace(s, covered_until=self._on_run_clock(skipped[s.query.id])) if s.query.id in skipped else s
            for s in self.states
        )
        if answer.learned is not None:  # first, since what is on record may be read by it after a crash
            await self._keep(answer.learned)
        await self._recorder.record(
            Commit(
                points=answer.points,
                covered={answer.query.id: covered} | skipped,
                gaps=self._gaps(answer.query, answer, now),
                alerts=verdicts.alerts,
                forgotten=verdicts.forgotten,
                transitions=verdicts.transitions,
            )
        )

    async def _keep(self, learned: str) -> None:
        """What the source learned about its vendor; where the store fails, it is learned again after a restart."""
        try:
            await self._workers.run(partial(self._notes.put_note, self._account, LEARNED, learned))
        except StoreError as error:
            self._recorder.fails(error)

    async def _release(self, now: float) -> None:
        """Take in the answers that waited for the users of their place, once those are known or waited for enough."""
        for id_, answer in list(self._held.items()):
            if now - answer.received_at >= LONGEST_HELD or not self._attention.unexplained(answer):
                del self._held[id_]
                await self._take_in(answer, answer.asked.end)

    def _users_failing(self) -> bool:
        """Whether waiting for users could be in vain."""
        return any(s.unforgiven and any(x.signal == USERS for x in s.query.series) for s in self.states)

    def _gaps(self, query: Query, answer: Answer, now: float) -> Sequence[Gap]:
        if answer.lost is None or answer.lost.end <= answer.lost.start:
            return ()
        windows = (answer.lost.end - answer.lost.start) // query.width
        self.stats.lost_windows += windows
        self._log.warning("windows_lost", query=query.id, windows=windows)
        return (Gap(query.id, answer.lost, now, str(self.sight.reason() or "not looked at in time")),)

    async def _record_verdicts(self, verdicts: Verdicts) -> None:
        self._attention.judged(verdicts.transitions)
        verdicts = replace(
            verdicts, transitions=self.inquiries.note(verdicts.transitions, self._tellers.values(), self.states)
        )
        if verdicts.transitions or verdicts.alerts or verdicts.forgotten:
            await self._recorder.record(
                Commit(alerts=verdicts.alerts, forgotten=verdicts.forgotten, transitions=verdicts.transitions)
            )

    # ── when it goes wrong ───────────────────────────────────────────────────────────────────────────────────────────

    async def _failed(self, query: Query, error: ProviderError) -> None:
        now = self._clock.now()
        self._note_outcome(query, str(error.reason))
        self.states = failed(self.states, query.id, at=now, retry_after=error.retry_after)
        await self.ledger.refused(query.pools, error)
        self.sight.failed(query.id, error, now)

    def _note_outcome(self, query: Query, outcome: str) -> None:
        for signal in dict.fromkeys(series.signal for series in query.series):
            self.stats.outcomes[signal, outcome] += 1

    # ── waiting ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _disbelieve_the_future(self) -> None:
        """What is covered ahead of the vendor's time was said by a clock that was wrong: it is fetched anew.

        At once when that is learned, not at the query's next look, by which time the future may have come.
        """
        vendor_now = self.ledger.vendor_now()
        for id_, query in self.queries.items():
            if (covered := self.covered.get(id_, 0)) > vendor_now + query.width:
                self._log.warning("vendor_time_turned_back", query=id_, by=round(covered - vendor_now))
                del self.covered[id_]
                self._held.pop(id_, None)
                await self._record_verdicts(self.engine.turn_back(query, int(vendor_now), self._clock.now()))

    async def _recall(self) -> None:
        """What was learned of the account's users before this start; without it, it is learned anew."""
        found: dict[str, str] = {}
        for key in self._attention.note_keys():
            try:
                text = await self._workers.run(partial(self._notes.note, self._account, key))
            except StoreError as error:
                self._recorder.fails(error)
                break
            if text is not None:
                found[key] = text
        self._attention.recall(self.engine, found)

    async def _remember(self) -> None:
        """Note what was learned, about hourly; a failing store costs an hour of it at most."""
        for key, text in self._attention.notes().items():
            try:
                await self._workers.run(partial(self._notes.put_note, self._account, key, text))
            except StoreError as error:
                self._recorder.fails(error)

    def _undecided(self) -> set[str]:
        """The queries whose answer an undecided verdict waits for."""
        series = self.engine.wanted()
        return {q.id for q in self.queries.values() if not series.isdisjoint(q.series)} if series else set()

    def _on_run_clock(self, covered: int | None) -> float | None:
        """An event time (vendor time) on the run clock, which the schedule lives by."""
        return None if covered is None else covered - self.ledger.offset

    def _wake_at(self, at: float, now: float) -> float:
        due = self.engine.due()
        return min(max(at, now), now + LONGEST_NAP, *(() if due is None else (max(due, now),)))

    async def _sleep_until(self, at: float) -> None:
        """Until the bell rings, or the run clock reaches `at`."""
        async with anyio.create_task_group() as both:
            both.start_soon(self._ring_at, at)
            await self._bell.wait()
            both.cancel_scope.cancel()

    async def _ring_at(self, at: float) -> None:
        await self._clock.sleep_until(at)
        self._ring()

    def _ring(self) -> None:
        self._bell.set()


def age_limit(query: Query, gap: float) -> float:
    """How old a query's newest window may be, in seconds: twice the promised gap, plus the vendor's delay.

    Of days, which are longer than the gap, one gap and the next day: that one cannot be read before it is over.
    """
    return gap + max(gap, query.width) + query.delay


def overdue(gaps: Mapping[str, float], loop: AccountLoop) -> bool:
    """Whether the newest answered window of every query is older than its age limit.

    Data age, not failed looks: whatever keeps the daemon from looking (a clock, a disk, a mistake), this sees it. Of
    every query, since after an outage one after the other is caught up with.
    """
    vendor_now = loop.ledger.vendor_now()
    return bool(loop.covered) and all(
        vendor_now - until > age_limit(loop.queries[query], gaps.get(query, loop.queries[query].reach))
        for query, until in loop.covered.items()
        if query in loop.queries
    )
