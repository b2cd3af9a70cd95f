"""The evaluator: answers go in, transitions come out. The daemon and later the backtest use this one.

It holds the boards of alerts and decides which of them an answer concerns: those of its own series, and those that join
them (`require`, other parts of a rule, and `users`, which tells idleness). Everything that is said is returned as
`Verdicts`, to be recorded in one transaction with the points; nothing is kept elsewhere.

Evaluation is synchronous and takes its instants as arguments. A rule that crashes is named, counted and left as it was;
all others go on (invariant 9). An evaluator that runs every rule on a timer, as Prometheus does, was considered: it
judges by polling phase, and here every window has its own time.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from watcher import log
from watcher.errors import clip
from watcher.model import Answer, Points, PointsOf, Query, SavedAlert, Series, Span, State, Transition
from watcher.rules import memory
from watcher.rules.alert import Alert, Change, judge, new_alert, skip
from watcher.rules.board import Board, Boards, JoinedBoard
from watcher.rules.columns import Losses
from watcher.rules.frame import Frame
from watcher.rules.ground import Ground
from watcher.rules.joined import Joined
from watcher.rules.known import Known
from watcher.rules.memory import Last
from watcher.rules.recall import recall_columns
from watcher.rules.rule import Rule, feeds
from watcher.rules.settings import Judging
from watcher.rules.speech import Speaker, ended_by_rule
from watcher.rules.view import AlertView, view_of

LogOf = Callable[[str], Sequence[Transition]]
"""What was said of an alert so far, by its id."""

MAX_RETIRED = 10_000  # alerts that no rule means any more; the oldest are forgotten first

_log = log.get("rules")


def no_log(identity: str) -> Sequence[Transition]:
    """Nothing was ever said."""
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdicts:
    """What one step changed, to be recorded together: log entries, alerts' memories, ids no longer kept."""

    transitions: tuple[Transition, ...] = ()
    alerts: tuple[SavedAlert, ...] = ()
    forgotten: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """What was lost or went wrong so far, for the metrics."""

    losses: Losses
    crashes: Mapping[str, int]  # rule -> evaluations that crashed
    unrendered: int  # texts that fell back to plain words
    unreadable: int  # memories that were not understood after a restart
    forgotten: int  # retired alerts dropped because there were too many


@dataclass(slots=True)
class _Step:
    """What is being gathered while one call works."""

    now: float
    transitions: list[Transition] = field(default_factory=list)
    changed: dict[str, SavedAlert] = field(default_factory=dict)
    forgotten: list[str] = field(default_factory=list)

    def verdicts(self) -> Verdicts:
        return Verdicts(
            transitions=tuple(self.transitions), alerts=tuple(self.changed.values()), forgotten=tuple(self.forgotten)
        )


class Engine:
    """Boards of alerts, and what follows when points come in. Not thread-safe; one owner."""

    def __init__(self, *, rules: Sequence[Rule], settings: Judging) -> None:
        self._settings = settings
        self._known = Known(horizon=settings.horizon)
        self._speaker = Speaker()
        self._boards = Boards(known=self._known, horizon=settings.horizon)
        self._retired: dict[str, memory.Retired] = {}
        self._crashes: dict[str, int] = {}
        self._broken: set[str] = set()  # rules whose last evaluation crashed: logged once
        self._unreadable = 0
        self._forgotten = 0
        self._rules: tuple[Rule, ...] = ()
        self._learn(rules)

    def _learn(self, rules: Sequence[Rule]) -> None:
        self._rules = tuple(rules)
        self._alone = [rule for rule in self._rules if not rule.is_joined]
        self._joined = [rule for rule in self._rules if rule.is_joined]
        self._speaker.learn(rules)
        self._known.past.learn(rules)

    # ── steps ──

    def receive(self, answer: Answer, now: float) -> Verdicts:
        """Take in what one look brought, and judge what it concerns. `now` is the run clock."""
        step = _Step(now)
        changed = self._known.absorb(answer)
        for series in changed:
            if series not in self._boards:
                self._open(series, after=self._known.decided(answer.asked.start))
        for board in self._boards.concerned(changed):
            self._judge(board, step)
        for series in changed:
            self._boards.trim(series)
        return step.verdicts()

    def tick(self, now: float) -> Verdicts:
        """Go on where something unknown has been waited for long enough; nothing else depends on the run clock."""
        step = _Step(now)
        for board in self._boards:
            if any(self._is_due(alert, now) for alert in board.alerts):
                self._judge(board, step)
        return step.verdicts()

    def due(self) -> float | None:
        """The run-clock instant at which `tick` next has something to do."""
        waits = [a.undecided_since for a in self._boards.alerts() if a.undecided_since is not None]
        return min(waits) + self._settings.undecided_for if waits else None

    def _is_due(self, alert: Alert, now: float) -> bool:
        since = alert.undecided_since
        return since is not None and now - since >= self._settings.undecided_for

    def turn_back(self, query: Query, to: int, now: float) -> Verdicts:
        """What this query was told of later than event time `to` came from a clock that was ahead: judge from `to` on.

        Else its windows would be "decided already" until that time is reached, and nothing would page. Alerts go on
        from the states they were last said to be in; of what was said nothing is taken back, for nobody knows better.
        """
        step = _Step(now)
        known = [series for series in query.series if series in self._known.columns]
        for series in known:
            self._known.columns[series].turn_back(to)
            self._known.past.turn_back(series, to)
        for board in self._boards.concerned(known):
            for alert in board.alerts:
                if alert.mark.at > to:  # else it can still be revised, as anything within the horizon
                    alert.rebase(to, query.width)
                    alert.holes = ()
                    step.changed[alert.id] = memory.save(alert)
        return step.verdicts()

    def say_more(self, entry: Transition) -> Verdicts:
        """Append what is an update of an alert's last entry (`Transition.updates`) under the next number.

        Nothing where the alert no longer fires or another entry was said meanwhile. Neither mark nor timeline moves, so
        the fold of the log is what it was (invariant 3).
        """
        alert = next((a for a in self._boards.alerts() if a.id == entry.alert_id), None)
        if alert is None or alert.state is not State.FIRING or alert.seq != entry.seq:
            return Verdicts()
        alert.seq += 1
        said = replace(entry, seq=alert.seq, updates=entry.change, retracts=None)
        return Verdicts(transitions=(said,), alerts=(memory.save(alert),))

    def tell(self, points: Points) -> None:
        """What the vendor's own statistics say of a series' past: the next answer is judged with it."""
        self._known.past.tell(points)

    def lacks_past(self, series: Series) -> Span | None:
        """The time before everything measured that some rule looks back on; None where there is none."""
        return self._known.past.lacks(series)

    def reload(self, rules: Sequence[Rule], now: float) -> Verdicts:
        """Judge by other rules from now on (invariant 10).

        A rule that is gone, or means other labels, resolves its alerts (`rule_changed`); one whose condition changed
        keeps its alerts' states and judges from each series' newest window; nothing earlier is judged again.
        """
        step = _Step(now)
        old = {alert.id: (alert, extent.until) for alert, extent in self._boards.extents()}
        self._learn(rules)
        self._boards.clear()
        for series, column in self._known.columns.items():
            self._open(series, after=column.frontier)
        for board in self._boards:
            ground = board.ground(self._known, after=None)
            board.seat([self._kept(fresh, old, ground, step) for fresh in board.alerts])
        for alert, at in old.values():
            self._retire(Last.of(alert), at=max(at, self._known.until(alert.series, otherwise=at)), step=step)
        return step.verdicts()

    def _kept(self, fresh: Alert, old: dict[str, tuple[Alert, int]], ground: Ground, step: _Step) -> Alert:
        """The alert that is still meant, by the rule as it is now; or the new one."""
        alert, _ = old.pop(fresh.id, (fresh, 0))
        if alert is fresh or alert.key != fresh.key:
            alert.rebase(ground.until, ground.width)
        if alert is fresh or alert.rule != fresh.rule:
            alert.rule, alert.series, alert.key, alert.saved = fresh.rule, fresh.series, fresh.key, True
            step.changed[alert.id] = memory.save(alert)
        return alert

    def restore(
        self,
        saved: Sequence[SavedAlert],
        *,
        queries: Sequence[Query],
        covered: Mapping[str, int],
        points: PointsOf,
        now: float,
        log_of: LogOf = no_log,
        earlier: PointsOf | None = None,
    ) -> Verdicts:
        """Go on after a restart as if there had been none. Call once, before anything else.

        `covered` maps a query's id to the end of what it was asked for so far, `points` reads a series' recorded points
        from a window start on. Rules that changed meanwhile are treated as by `reload`. `log_of` reads what was said of
        an alert: one whose memory cannot be read goes on from there, judging from now. `earlier` is a second source of
        the past that baselines look back on, believed where `points` has nothing; its windows may be longer.
        """
        steps = self.restoring(
            saved, queries=queries, covered=covered, points=points, now=now, log_of=log_of, earlier=earlier
        )
        return next(verdicts for verdicts in steps if verdicts is not None)

    def restoring(
        self,
        saved: Sequence[SavedAlert],
        *,
        queries: Sequence[Query],
        covered: Mapping[str, int],
        points: PointsOf,
        now: float,
        log_of: LogOf = no_log,
        earlier: PointsOf | None = None,
    ) -> Iterator[Verdicts | None]:
        """`restore` in pieces, None after each and the verdicts in the end: weeks of many series take seconds to read.

        Nothing else may be asked of the engine before the end.
        """
        step = _Step(now)
        self._known.expected = frozenset(series for query in queries for series in query.series)
        bodies, unreadable = self._read(saved)
        recall_columns(self._known, list(bodies.values()), queries, covered, points, self._rules)
        yield None
        for _ in self._known.past.recall(points, earlier):
            yield None
        for series, column in self._known.columns.items():
            self._open(series, after=column.frontier)
        for board in self._boards:
            for alert in board.alerts:
                self._recall(alert, board, bodies, unreadable, log_of)
        for identity, body in bodies.items():
            at = self._known.until(memory.series_of(body), otherwise=body.mark.at)
            self._retire(Last.of_body(identity, body), at=at, step=step)
        accounts = {query.account for query in queries}
        for identity in unreadable:  # whose it is stands in the log alone
            if (last := Last.of_log(log_of(identity))) is not None and last.series.account in accounts:
                self._retire(last, at=last.head.at if last.head else 0, step=step)
        for board in self._boards:
            self._judge(board, step)
        yield step.verdicts()

    def _recall(
        self, alert: Alert, board: Board, bodies: dict[str, memory.Body], unreadable: set[str], log_of: LogOf
    ) -> None:
        """Put an alert back to where its memory says, or else to where the log of what was said does."""
        body = bodies.pop(alert.id, None)
        if body is not None:
            memory.recall(alert, body)
        elif alert.id in unreadable and (last := Last.of_log(log_of(alert.id))) is not None:
            alert.seq, alert.base = last.seq, last.head
        unreadable.discard(alert.id)
        if body is None and not alert.seq:
            return
        if body is None or body.key != alert.key:
            ground = board.ground(self._known, after=None)
            alert.rebase(ground.until, ground.width)

    # ── what the rest of the program asks ──

    def wanted(self) -> frozenset[Series]:
        """What undecided alerts wait for: looking at it comes first.

        Where none of a companion's series was ever seen, every place where it may be found is named.
        """
        return frozenset(
            place
            for alert in self._boards.alerts()
            for series, signal in alert.awaits
            for place in self._known.places(series, signal)
        )

    @property
    def stats(self) -> Stats:
        """What was lost or went wrong so far."""
        return Stats(
            losses=self._known.losses,
            crashes=dict(self._crashes),
            unrendered=self._speaker.unrendered,
            unreadable=self._unreadable,
            forgotten=self._forgotten,
        )

    def newest(self) -> Iterator[tuple[Series, float, int]]:
        """The newest value of every series, as the vendor gave it, and its event time."""
        for series, column in self._known.columns.items():
            if (newest := column.newest()) is not None:
                yield series, *newest

    def alerts(self, states: Collection[State] = frozenset(State)) -> tuple[AlertView, ...]:
        """Every alert as it stands; of a storm's thousands of quiet ones nothing is read where only some are asked."""
        return tuple(
            view_of(alert, ground, is_late=board.is_late(self._known))
            for board in self._boards
            if any(alert.state in states for alert in board.alerts)
            for ground in (board.ground(self._known, after=None),)
            for alert in board.alerts
            if alert.state in states
        )

    def standing(self) -> Counter[tuple[State, str]]:
        """How many alerts are pending and firing, by severity: what a scrape needs, and no window is read for it."""
        shown = (State.PENDING, State.FIRING)
        return Counter((a.state, a.rule.severity) for a in self._boards.alerts() if a.state in shown)

    def firing(self) -> Counter[str]:
        """How many alerts of each rule fire."""
        return Counter(a.rule.name for a in self._boards.alerts() if a.state is State.FIRING)

    def learning(self) -> Counter[str]:
        """At how many places each rule is not judged, since too little is known of the past."""
        return Counter(
            board.rule.name for board in self._boards if isinstance(board, JoinedBoard) and board.is_learning
        )

    def judged_from(self) -> Iterator[tuple[str, Series, int | None]]:
        """Each rule that looks back, each place of it, and the event time from which it could judge (None: never)."""
        for board in self._boards:
            if isinstance(board, JoinedBoard) and any(p.baseline or p.burn for p in board.rule.parts):
                yield board.rule.name, board.place, board.judged_from

    # ── alerts ──

    def _open(self, series: Series, *, after: int) -> None:
        """Boards for a series that is new, judged from event time `after` on."""
        board = self._boards.open(series)
        board.seat([self._new(rule, series, silence, after) for rule, silence in self._meant(series)])
        for rule in self._joined:
            if feeds(rule, series):
                joined, is_new = self._boards.join(rule, series)
                if is_new:
                    joined.seat([self._new(rule, joined.place, False, after)])

    def _meant(self, series: Series) -> list[tuple[Rule, bool]]:
        """The alerts that the rules mean for one series: rule, and whether it is the companion for silence."""
        mine = [rule for rule in self._alone if feeds(rule, series)]
        return [(r, False) for r in mine] + [(r, True) for r in mine if r.no_data_after is not None]

    def _new(self, rule: Rule, series: Series, silence: bool, after: int) -> Alert:
        """An alert; one that was retired goes on counting its entries where it stopped."""
        alert = new_alert(rule, series, silence=silence, after=after)
        if (retired := self._retired.pop(alert.id, None)) is not None:
            alert.seq = retired.seq
        return alert

    def _retire(self, last: Last, *, at: int, step: _Step) -> None:
        """No rule means it any more: what it said is taken to its end, and only its count of entries is kept."""
        seq = last.seq
        if last.head is not None and last.head.state in (State.FIRING, State.PENDING):
            seq += 1
            step.transitions.append(
                ended_by_rule(
                    alert_id=last.id,
                    seq=seq,
                    rule=last.rule,
                    signal=last.series.signal,
                    labels=last.labels,
                    severity=last.severity,
                    head=last.head,
                    at=at,
                    now=step.now,
                )
            )
        if not seq:
            step.forgotten.append(last.id)
            return
        self._retired[last.id] = memory.Retired(last.id, last.rule, last.series, seq)
        step.changed[last.id] = self._retired[last.id].saved()
        while len(self._retired) > MAX_RETIRED:
            oldest = next(iter(self._retired))
            del self._retired[oldest]
            step.changed.pop(oldest, None)
            step.forgotten.append(oldest)
            self._forgotten += 1

    # ── judging ──

    def _judge(self, board: Board, step: _Step) -> None:
        if not board.alerts:
            return
        ground: Ground = board.ground(self._known, after=min(alert.mark.at for alert in board.alerts))
        if isinstance(ground, Joined) and isinstance(board, JoinedBoard):
            board.is_learning = ground.is_learning
            if board.judged_from is None:
                board.judged_from = ground.judged_from
        decided = self._known.decided(ground.firm)
        for i, alert in enumerate(board.alerts):
            if _nothing_to_do(alert, ground):
                moved = skip(alert, min(decided, ground.until))
            else:
                before = copy.copy(alert)
                changes = self._contained(alert, ground, decided, step.now)
                if changes is None:
                    board.alerts[i] = before
                    continue
                step.transitions += self._speaker.say(alert, changes, ground, step.now)
                moved = alert != before
            if _note_holes(alert, board) or moved or not alert.saved:
                alert.saved = True
                step.changed[alert.id] = memory.save(alert)

    def _contained(self, alert: Alert, ground: Ground, decided: int, now: float) -> list[Change] | None:
        """Judge; None where the rule crashed. It is named once, until it works again."""
        name = alert.rule.name
        try:
            changes = judge(alert, ground, decided=decided, now=now, settings=self._settings)
        except Exception as error:  # noqa: BLE001 - one rule's fault must not stop the others (invariant 9)
            self._crashes[name] = self._crashes.get(name, 0) + 1
            if name not in self._broken:
                self._broken.add(name)
                _log.error("rule_crashed", rule=name, error=type(error).__name__, detail=clip(str(error)))
            return None
        self._broken.discard(name)
        return changes

    def _read(self, saved: Sequence[SavedAlert]) -> tuple[dict[str, memory.Body], set[str]]:
        """The memories of live alerts, and the ids of those that are not understood."""
        bodies: dict[str, memory.Body] = {}
        unreadable: set[str] = set()
        for one in saved:
            match memory.read(one):
                case memory.Retired() as retired:
                    self._retired[one.alert_id] = retired
                case memory.Body() as body:
                    bodies[one.alert_id] = body
                case None:
                    self._unreadable += 1
                    unreadable.add(one.alert_id)
                    _log.error("memory_unreadable", alert=one.alert_id, rule=one.rule)
        return bodies, unreadable


def _nothing_to_do(alert: Alert, ground: Ground) -> bool:
    """True where nothing runs, nothing that was said can be contradicted, and nothing can begin."""
    if alert.tail or not alert.mark.quiet or alert.undecided_since is not None:
        return False
    if alert.silence:
        return not (isinstance(ground, Frame) and ground.may_be_silent())
    return not ground.may_hold(alert.rule)


def _note_holes(alert: Alert, board: Board) -> bool:
    """Keep with the alert which windows after its mark nobody answered for; True where that is news."""
    mine = board.holes(alert.mark.at)
    if mine == alert.holes:
        return False
    alert.holes = mine
    return True
