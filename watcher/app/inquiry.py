"""Who is affected: a question about an alert that fires, asked when there is a request to spare, answered as an update.

    transitions that fire ─► known already? ─► said in the page itself
                                  │ no
                                  ▼
            inquiry (one per project and product) ─► spare? cap? ─► one request per dimension ─► stand out ─► update

The page has been recorded before anything is asked, so it is never late for this (design, section 4: promises first).
Where a source knows the groups from what it has read (`Answer.splits`), they are in the first message and cost nothing.
Where it must be asked (`Splitter`), alerts of one product within `CALM` are one incident and share one answer.

Three things bound what it costs: the policy, which says when a request can be spared; the day's cap (`allowance`),
which holds through restarts; the source's patience, after which the update says what there is, or that the budget did
not allow it. Where that is known when the alert fires, the page says so itself and no second message comes. While looks
fail nothing is asked, and the question waits for them as long as it has time.

Questions are kept in memory, and the log says which are open: an alert that fires, was found less than the patience
ago and says nothing of whom it hurts is asked about again after a restart (`resume`). Update and memory of the alert
are recorded as one, so nothing is said twice; what had been answered before a crash is paid for once more, within the
cap. Later than the patience nothing is said: whoever was paged has long looked.

What nobody is told is not asked: no route takes the alert, or all who would hear of it are spared it (silence,
maintenance, hours, inhibition). Where that ends while there is time, it is asked then. An alert that somebody has in
hand is asked about: no message follows, but that somebody reads the page.

A fault of ours in all this (any exception that nobody foresaw) costs the answer and no more: it is logged and counted,
whoever was to be told hears that it could not be asked, and looks and pages go on. One in asking ends its own question;
one elsewhere, which may be in any of them, ends all that are open.

One episode of an alert is asked about once. A correction that leaves it firing keeps its question, and what was said of
whom it hurts, or that nobody knows, is said of the corrected entry too.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import TracebackType

from watcher import log
from watcher.alerts.affected import AFFECTED, AffectedSettings, says, stand_out
from watcher.app.allowance import Allowance
from watcher.app.recorder import Recorder
from watcher.budget.ledger import Ledger
from watcher.budget.purse import LookPurse
from watcher.budget.quota import Refusal
from watcher.clock import MINUTE, Clock, real_deadline
from watcher.errors import ProviderError, Reason, StoreError
from watcher.model import (
    SIGNALS,
    Answer,
    Cause,
    Commit,
    Dimension,
    Hurt,
    LedgerStore,
    Query,
    Series,
    Source,
    Split,
    Splits,
    Splitter,
    Splitting,
    State,
    Transition,
    Worse,
    judged_by,
)
from watcher.rules.engine import Engine
from watcher.schedule.state import Policy, QueryState, failing
from watcher.workers import Workers

CALM = 10 * MINUTE  # event-time seconds within which alerts of one product are one incident
LONGEST_ASK = 10.0  # real seconds
LEAST_ASK = 2.0  # where a look is near: it leaves five seconds before what is promised
HANDOVER = 5.0  # run seconds before the patience is over at which the update is written
MUTED_NAP = 10.0  # run seconds after which to see whether somebody is to be told after all
MAX_OPEN = 20


class Outcome(StrEnum):
    """What became of a question: a closed set, so that it can be a metric label."""

    TOLD = "told"
    ALIKE = "alike"  # no group stands out
    BUDGET = "budget"
    BLIND = "blind"  # looks failed until it was too late
    FAILED = "failed"  # the vendor did not answer
    FAULT = "fault"  # of watcher's, or its state did not take the count
    MUTED = "muted"  # nobody would have been told
    OVER = "over"  # the alert ended first
    CROWDED = "crowded"  # too many incidents at once


_EXCUSES = {
    Outcome.BUDGET: "not asked: the request budget did not allow it",
    Outcome.BLIND: "not asked: the looks at the vendor failed",
    Outcome.FAILED: "unknown: the vendor did not say",
    Outcome.FAULT: "could not be asked: a fault of watcher's or its state's",
    Outcome.CROWDED: "not asked: too many incidents at once",
}


_Key = tuple[str, str]  # project and product


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """An answer, and the event time that it is about."""

    at: int
    text: str
    hurts: tuple[Hurt, ...]


@dataclass(slots=True, kw_only=True)
class _Inquiry:
    """One question. `until` (run clock) is when it is answered, whatever there is; `alerts` want to know."""

    series: Series
    start: int
    base: float
    users: float
    until: float
    pools: tuple[str, ...]
    left: list[Dimension]
    alerts: dict[str, Transition]
    again: float = 0.0  # run clock: not before
    splits: list[Split] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Contained:
    """A block in which a fault of ours ends: what is good to know besides must end neither looks nor pages."""

    met: Callable[[Exception], None]

    def __enter__(self) -> None: ...

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> bool:
        if not isinstance(error, Exception):
            return False
        self.met(error)
        return True


class Inquiries:
    """One account's. Owned by its loop."""

    def __init__(
        self,
        *,
        settings: AffectedSettings,
        account: str,
        source: Source,
        ledger: Ledger,
        policy: Policy,
        engine: Engine,
        recorder: Recorder,
        clock: Clock,
        notes: LedgerStore,
        workers: Workers,
        firing: Mapping[str, Transition],
    ) -> None:
        """`firing` are the last entries of what fires, as recorded by now; other accounts' too."""
        self.outcomes: Counter[Outcome] = Counter(dict.fromkeys(Outcome, 0))
        self.oddities: Counter[str] = Counter()
        self.allowance = Allowance(
            per_day=settings.per_day, account=account, ledger=ledger, notes=notes, workers=workers
        )
        self._splitter = source if isinstance(source, Splitter) else None
        self._queries = {s: query for query in source.queries for s in query.series}
        self._account = account
        self._dimensions = settings.dimensions
        self._ledger = ledger
        self._policy = policy
        self._engine = engine
        self._recorder = recorder
        self._clock = clock
        self._firing = firing
        self._log = log.get("affected").bind(account=account)
        self._open: dict[_Key, _Inquiry] = {}
        self._known: dict[_Key, _Known] = {}

    async def resume(self, states: Sequence[QueryState]) -> None:
        """Go on where the last start ended."""
        with self._contained():
            await self._resume(states)

    async def _resume(self, states: Sequence[QueryState]) -> None:
        try:
            await self.allowance.recall()
        except StoreError as error:
            self._recorder.fails(error)
        own = [t for t in self._firing.values() if t.labels.get("account") == self._account]
        begun = [(t, self._noted(t, {}, states, before=None)) for t in own if AFFECTED not in t.annotations]
        await self._say(said for t, said in begun if said is not t)

    # ── what comes in ────────────────────────────────────────────────────────────────────────────────────────────────

    def note(
        self, transitions: Sequence[Transition], answers: Iterable[Answer], states: Sequence[QueryState]
    ) -> tuple[Transition, ...]:
        """Take in what is about to be recorded: what fires is asked about, or comes back with the answer in it.

        `answers` are the newest that can tell something, the one that is judged last.
        """
        by_series = {s: answer for answer in answers for s in answer.query.series} if transitions else {}
        last = {t.alert_id: t for t in transitions}
        over = {t.alert_id for t in transitions if t.state is State.RESOLVED or last[t.alert_id].state != State.FIRING}
        for alert in over:
            self._ended(alert)
        return tuple(
            self._noted(
                t,
                by_series,
                states,
                before=None if t.alert_id in over else self._firing.get(t.alert_id),
            )
            if t.state is State.FIRING and last[t.alert_id] is t
            else t
            for t in transitions
        )

    def _noted(
        self,
        entry: Transition,
        answers: Mapping[Series, Answer],
        states: Sequence[QueryState],
        *,
        before: Transition | None,
    ) -> Transition:
        """As `_begun`; a fault there costs what is known, not the page that waits for it."""
        with self._contained():
            return self._begun(entry, answers.get(_series(entry)), states, before=before)
        self.outcomes[Outcome.FAULT] += 1
        return _with(entry, _EXCUSES[Outcome.FAULT], ())

    def _ended(self, alert: str) -> None:
        for key, inquiry in tuple(self._open.items()):
            if inquiry.alerts.pop(alert, None) is not None and not inquiry.alerts:
                self._close(key, Outcome.OVER)

    def _begun(
        self,
        entry: Transition,
        answer: Answer | None,
        states: Sequence[QueryState],
        *,
        before: Transition | None,
    ) -> Transition:
        """The entry, with what is known; `before` is what it corrects, where the alert fired already."""
        query = self._queries.get(series := _series(entry))
        signal = SIGNALS.get(series.signal)
        if query is None or signal is None or signal.worse is Worse.CONTEXT or entry.cause is Cause.NO_DATA:
            return entry
        base, start = _worst_window(entry, series, query, answer)
        if answer is not None and answer.splits is not None:
            splits = self._read(answer.splits, series, start + query.width)
            return _with(entry, *self._answered(splits, series, base, entry.users or 0.0)) if splits else entry
        splitting = self._splitter.splitting(series) if self._splitter is not None else None
        if splitting is None or not self.allowance.cap(splitting.pools):
            return entry
        key = series.project, series.product
        if before is not None:
            return self._corrected(key, entry, before)
        known = self._known.get(key)
        if known is not None and abs(entry.starts_at - known.at) < CALM:
            return _with(entry, known.text, known.hurts)
        if key in self._open:
            self._open[key].alerts[entry.alert_id] = entry
            return entry
        return self._opened(key, entry, series, splitting, start=start, base=base, states=states)

    def _corrected(self, key: _Key, entry: Transition, before: Transition) -> Transition:
        """An open question is now the corrected entry's; an answer is its own as well."""
        if key in self._open and entry.alert_id in self._open[key].alerts:
            self._open[key].alerts[entry.alert_id] = entry
        said = before.annotations.get(AFFECTED)
        return entry if said is None else _with(entry, said, before.affected)

    def _opened(
        self,
        key: _Key,
        entry: Transition,
        series: Series,
        splitting: Splitting,
        *,
        start: int,
        base: float,
        states: Sequence[QueryState],
    ) -> Transition:
        """A new question; or the entry, saying why there is none. Nothing is said of what was found too long ago."""
        now = self._clock.now()
        until = entry.known_at + splitting.patience - HANDOVER
        dimensions = [d for d in splitting.dimensions if self._dimensions is None or d in self._dimensions]
        if until <= now or not dimensions:
            return entry
        refused = None
        if sum(map(self._is_heard, self._open.values())) >= MAX_OPEN:
            refused = Outcome.CROWDED
        elif not self.allowance.left(splitting.pools) or (
            not failing(states)
            and math.isinf(self._policy.spare(states, self._ledger.usage(now), splitting.pools, now))
        ):
            refused = Outcome.BUDGET
        if refused is not None:
            self.outcomes[refused] += 1
            return _with(entry, _EXCUSES[refused], ())
        dimensions.sort(key=self.allowance.worth, reverse=True)
        self._open[key] = _Inquiry(
            series=series,
            start=start,
            base=base,
            users=entry.users or 0.0,
            until=until,
            pools=splitting.pools,
            left=dimensions[: splitting.most],
            alerts={entry.alert_id: entry},
        )
        return entry

    # ── what goes out ────────────────────────────────────────────────────────────────────────────────────────────────

    async def step(self, states: Sequence[QueryState], free_until: float = math.inf) -> float:
        """Do the one thing whose time has come, if any; when to come back. Looks wait for it from `free_until` on."""
        with self._contained():
            return await self._step(states, free_until)
        with self._contained():
            await self._give_up()
        return math.inf

    async def _step(self, states: Sequence[QueryState], free_until: float) -> float:
        now = self._clock.now()
        for key, inquiry in tuple(self._open.items()):
            if now >= inquiry.until or not inquiry.left:
                await self._expire(key, states)
                return now
        if not self._open:
            return math.inf
        ends = min(i.until for i in self._open.values())
        heard = next((one for one in self._open.items() if self._is_heard(one[1])), None)
        if heard is None:
            return min(ends, now + MUTED_NAP)
        key, inquiry = heard
        at = max(inquiry.again, self._policy.spare(states, self._ledger.usage(now), inquiry.pools, now))
        if at > now:
            return min(at, ends)
        if not self.allowance.left(inquiry.pools):
            await self._finish(key, Outcome.BUDGET)
        else:
            room = (free_until - now) / self._clock.rate
            await self._ask(key, inquiry, patience=min(max(room, LEAST_ASK), LONGEST_ASK))
        return self._clock.now()

    async def _ask(self, key: _Key, inquiry: _Inquiry, *, patience: float) -> None:
        """One request: spent, counted, sent, and waited for so many real seconds."""
        split: Split | None = None
        excuse: Outcome | None = Outcome.FAULT
        with self._contained():
            try:
                split, excuse = await self._spent_on(inquiry, patience), None
            except StoreError as error:
                self._recorder.fails(error)
            except ProviderError as error:
                self._log.info("not_said", reason=str(error.reason), detail=error.detail)
                excuse = Outcome.FAILED
                await self._ledger.refused(inquiry.pools, error)
        if excuse is not None:
            await self._finish(key, excuse)
        if split is None:
            return
        self.oddities.update(split.oddities)
        inquiry.splits.append(split)
        found = stand_out([split], inquiry.series.signal, inquiry.base, inquiry.users)
        self.allowance.learn(split.dimension, told=bool(found))

    async def _spent_on(self, inquiry: _Inquiry, patience: float) -> Split | None:
        """The answer to the next dimension; None where the ledger lets nothing leave yet. Raises what may fail."""
        spend = await self._ledger.spend(inquiry.pools)
        if isinstance(spend, Refusal):
            inquiry.again = spend.at
            return None
        purse = LookPurse(ledger=self._ledger, pools=inquiry.pools, first=spend, extra=0)
        try:
            await self.allowance.count()
        except StoreError:
            await purse.refund()
            raise
        return await self._split(inquiry, inquiry.left.pop(0), purse, patience)

    async def _split(self, inquiry: _Inquiry, dimension: Dimension, purse: LookPurse, patience: float) -> Split:
        assert self._splitter is not None
        with real_deadline(patience):
            return await self._splitter.split(inquiry.series, dimension, inquiry.start, purse)
        raise ProviderError(Reason.TIMEOUT, f"no answer within {patience:.0f} s")

    async def _expire(self, key: _Key, states: Sequence[QueryState]) -> None:
        if not self._open[key].splits and not self._is_heard(self._open[key]):
            self._close(key, Outcome.MUTED)
        else:
            await self._finish(key, Outcome.BLIND if failing(states) else Outcome.BUDGET)

    async def _give_up(self) -> None:
        """All questions end unanswered, and each alert that waits hears it."""
        waiting = [entry for inquiry in self._open.values() for entry in inquiry.alerts.values()]
        self.outcomes[Outcome.FAULT] += len(self._open)
        self._open.clear()
        await self._say(_with(entry, _EXCUSES[Outcome.FAULT], ()) for entry in waiting)

    def _contained(self) -> _Contained:
        return _Contained(self._crashed)

    def _crashed(self, error: Exception) -> None:
        self._log.error("inquiry_crashed", error=type(error).__name__)

    def _is_heard(self, inquiry: _Inquiry) -> bool:
        return any(map(self._recorder.tells, inquiry.alerts.values()))

    async def _finish(self, key: _Key, excuse: Outcome) -> None:
        """Say what there is, or why there is nothing, to all alerts that wait for it: recorded as one step."""
        inquiry = self._open[key]
        text = _EXCUSES[excuse]
        hurts: tuple[Hurt, ...] = ()
        if inquiry.splits:
            text, hurts = self._answered(inquiry.splits, inquiry.series, inquiry.base, inquiry.users)
            self._known[key] = _Known(at=inquiry.start, text=text, hurts=hurts)
            del self._open[key]
        else:
            self._close(key, excuse)
        await self._say(_with(entry, text, hurts) for entry in inquiry.alerts.values())

    async def _say(self, entries: Iterable[Transition]) -> None:
        """Updates of the alerts' last entries, recorded as one step with what the engine remembers of them."""
        verdicts = []
        for entry in entries:
            with self._contained():  # one alert's fault silences no other
                verdicts.append(self._engine.say_more(entry))
        if said := [t for v in verdicts for t in v.transitions]:
            await self._recorder.record(Commit(alerts=[a for v in verdicts for a in v.alerts], transitions=said))

    def _answered(
        self, splits: Sequence[Split], series: Series, base: float, users: float
    ) -> tuple[str, tuple[Hurt, ...]]:
        hurts = stand_out(splits, series.signal, base, users)
        text = says(hurts, series, [split.dimension for split in splits])
        self.outcomes[Outcome.TOLD if hurts else Outcome.ALIKE] += 1
        return text, hurts

    def _close(self, key: _Key, outcome: Outcome) -> None:
        del self._open[key]
        self.outcomes[outcome] += 1

    def _read(self, splits: Splits, series: Series, at: int) -> list[Split]:
        """What the source knows already of the dimensions that are wanted."""
        return [s for s in splits(series, at) if self._dimensions is None or s.dimension in self._dimensions]


def _with(entry: Transition, text: str, hurts: tuple[Hurt, ...]) -> Transition:
    return replace(entry, annotations={**entry.annotations, AFFECTED: text}, affected=hurts)


def _series(entry: Transition) -> Series:
    """What the alert is about: by its labels and by what its number measures."""
    account, provider, project, product, channel = (entry.labels.get(name, "") for name in Series._fields[:-1])
    return Series(account, provider, project, product, channel, judged_by(entry.signal))


def _worst_window(entry: Transition, series: Series, query: Query, answer: Answer | None) -> tuple[float, int]:
    """Value and start of the worst window since the alert fires: in which groups differ most. Settled ones first."""
    usual = entry.value or 0.0, entry.at - query.width
    points = next((p for p in answer.points if p.series == series), None) if answer is not None else None
    if answer is None or points is None:
        return usual
    since = points.start >= entry.at - query.width
    settled = since & (points.start + points.width <= answer.settled)
    chosen = settled if settled.any() else since
    if not chosen.any():
        return usual
    starts, values = points.start[chosen], points.value[chosen]
    worst = int(values.argmin() if SIGNALS[series.signal].worse is Worse.DOWN else values.argmax())
    return float(values[worst]), int(starts[worst])
