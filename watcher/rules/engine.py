"""The evaluator: answers go in, transitions come out. The daemon and later the backtest use this one.

It holds a board of alerts per judged series and decides which boards an answer concerns: those of its own series, and
those that join them (`require`, and `users`, which tells idleness). Everything that is said is returned as `Verdicts`,
to be recorded in one transaction with the points; nothing is kept elsewhere.

Evaluation is synchronous and takes its instants as arguments. A rule that crashes is named, counted and left as it was;
all others go on (invariant 9). An evaluator that runs every rule on a timer, as Prometheus does, was considered: it
judges by polling phase, and here every window has its own time.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from watcher import log
from watcher.errors import clip
from watcher.model import USERS, Answer, Labels, Query, SavedAlert, Series, Span, State, Transition
from watcher.rules import memory
from watcher.rules.alert import Alert, Change, judge, new_alert, skip
from watcher.rules.columns import Column, Losses
from watcher.rules.frame import Frame
from watcher.rules.known import KEPT, Known, PointsOf, Project, project_of
from watcher.rules.rule import Rule, companions, feeds
from watcher.rules.settings import Judging
from watcher.rules.speech import Speaker, ended_by_rule
from watcher.rules.timeline import Entry

MAX_RETIRED = 10_000  # alerts that no rule means any more; the oldest are forgotten first

_log = log.get("rules")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdicts:
    """What one step changed, to be recorded together: log entries, alerts' memories, ids no longer kept."""

    transitions: tuple[Transition, ...] = ()
    alerts: tuple[SavedAlert, ...] = ()
    forgotten: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertView:
    """One alert as it stands, for metrics and pages.

    `since` is the event time at which the state was entered (0: never left inactive), `frontier` the one up to which
    the series is known. `marks`: `idle` and `no_data` say what the newest window is, `late` that newer ones were asked
    for, `undecided` that the verdict waits for a `require`, `unguarded` that it did not.
    """

    id: str
    rule: str
    labels: Labels
    severity: str
    state: State
    since: int
    value: float | None
    threshold: float | None
    frontier: int
    marks: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """What was lost or went wrong so far, for the metrics."""

    losses: Losses
    crashes: Mapping[str, int]  # rule -> evaluations that crashed
    unrendered: int  # texts that fell back to plain words
    unreadable: int  # memories that were not understood after a restart
    forgotten: int  # retired alerts dropped because there were too many


@dataclass(slots=True)
class _Board:
    """All alerts on one series."""

    series: Series
    column: Column
    alerts: list[Alert] = field(default_factory=list)
    signals: frozenset[str] = frozenset()  # companions that some rule here joins
    look_back: int = 0  # windows before the first judged one that some rule here needs


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
        self._boards: dict[Series, _Board] = {}
        self._neighbours: dict[Project, list[_Board]] = {}
        self._retired: dict[str, memory.Retired] = {}
        self._crashes: dict[str, int] = {}
        self._broken: set[str] = set()  # rules whose last evaluation crashed: logged once
        self._unreadable = 0
        self._forgotten = 0
        self._rules: tuple[Rule, ...] = ()
        self._learn(rules)

    def _learn(self, rules: Sequence[Rule]) -> None:
        self._rules = tuple(rules)
        self._speaker.learn(rules)

    # ── steps ──

    def receive(self, answer: Answer, now: float) -> Verdicts:
        """Take in what one look brought, and judge what it concerns. `now` is the run clock."""
        step = _Step(now)
        changed = self._known.absorb(answer)
        for series in changed:
            if series not in self._boards:
                self._open(series, after=self._known.decided(answer.asked.start))
        for board in self._concerned(changed):
            self._judge(board, step)
        for series in changed:
            self._trim(series)
        return step.verdicts()

    def tick(self, now: float) -> Verdicts:
        """Go on where a `require` has been waited for long enough; nothing else depends on the run clock."""
        step = _Step(now)
        for board in self._boards.values():
            if any(self._is_due(alert, now) for alert in board.alerts):
                self._judge(board, step)
        return step.verdicts()

    def due(self) -> float | None:
        """The run-clock instant at which `tick` next has something to do."""
        waits = [a.undecided_since for a in self._alerts() if a.undecided_since is not None]
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
        for series in query.series:
            if (board := self._boards.get(series)) is None:
                continue
            board.column.turn_back(to)
            for alert in board.alerts:
                alert.rebase(to, board.column.width)
                alert.holes = ()
                step.changed[alert.id] = memory.save(alert)
        return step.verdicts()

    def reload(self, rules: Sequence[Rule], now: float) -> Verdicts:
        """Judge by other rules from now on (invariant 10).

        A rule that is gone, or means other labels, resolves its alerts (`rule_changed`); one whose condition changed
        keeps its alerts' states and judges from each series' newest window; nothing earlier is judged again.
        """
        step = _Step(now)
        self._learn(rules)
        for board in self._boards.values():
            self._reseat(board, step)
        return step.verdicts()

    def restore(
        self,
        saved: Sequence[SavedAlert],
        *,
        queries: Sequence[Query],
        covered: Mapping[str, int],
        points: PointsOf,
        now: float,
    ) -> Verdicts:
        """Go on after a restart as if there had been none. Call once, before anything else.

        `covered` maps a query's id to the end of what it was asked for so far, `points` reads a series' recorded points
        from a window start on. Rules that changed meanwhile are treated as by `reload`.
        """
        step = _Step(now)
        bodies = self._read(saved)
        self._recall_columns(list(bodies.values()), queries, covered, points)
        for series, column in self._known.columns.items():
            self._open(series, after=column.frontier)
        for alert in self._alerts():
            if (body := bodies.pop(alert.id, None)) is not None:
                memory.recall(alert, body)
                if body.key != alert.key:
                    column = self._known.columns[alert.series]
                    alert.rebase(column.frontier, column.width)
        for identity, body in bodies.items():
            self._retire_body(identity, body, step)
        for board in self._boards.values():
            self._judge(board, step)
        return step.verdicts()

    # ── what the rest of the program asks ──

    def wanted(self) -> frozenset[Series]:
        """The companions that undecided alerts wait for: looking at them comes first.

        Where none of a companion's series was ever seen, every place where it may be found is named.
        """
        return frozenset(
            place
            for alert in self._alerts()
            for signal in alert.awaits
            for place in self._known.places(alert.series, signal)
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

    def alerts(self) -> tuple[AlertView, ...]:
        """Every alert as it stands."""
        views: list[AlertView] = []
        for board in self._boards.values():
            if board.alerts:
                frame = self._frame(board, after=board.column.frontier - board.column.width)
                views += [self._view(alert, board.column, frame) for alert in board.alerts]
        return tuple(views)

    def standing(self) -> Counter[tuple[State, str]]:
        """How many alerts are pending and firing, by severity: what a scrape needs, and no window is read for it."""
        return Counter((a.state, a.rule.severity) for a in self._alerts() if a.state in (State.PENDING, State.FIRING))

    def firing(self) -> Counter[str]:
        """How many alerts of each rule fire."""
        return Counter(a.rule.name for a in self._alerts() if a.state is State.FIRING)

    def _view(self, alert: Alert, column: Column, frame: Frame) -> AlertView:
        head = alert.head
        marks = {
            "late": column.asked_until > column.frontier,
            "undecided": alert.undecided_since is not None,
            "unguarded": head is not None and head.unguarded and head.state in (State.PENDING, State.FIRING),
        }
        return AlertView(
            id=alert.id,
            rule=alert.rule.name,
            labels=alert.labels,
            severity=alert.rule.severity,
            state=alert.state,
            since=head.at if head is not None else 0,
            value=None if alert.silence else frame.latest(alert.rule),
            threshold=None if alert.silence else alert.rule.level.value,
            frontier=frame.until,
            marks=frozenset({name for name, is_so in marks.items() if is_so} | set(frame.newest_marks())),
        )

    def _alerts(self) -> Iterator[Alert]:
        for board in self._boards.values():
            yield from board.alerts

    # ── boards ──

    def _open(self, series: Series, *, after: int) -> None:
        """A board for a series that is new, judged from event time `after` on."""
        board = self._boards[series] = _Board(series, self._known.columns[series])
        self._neighbours.setdefault(project_of(series), []).append(board)
        self._seat(board, [self._new(rule, series, silence, after) for rule, silence in self._meant(series)])

    def _meant(self, series: Series) -> list[tuple[Rule, bool]]:
        """The alerts that the rules mean for a series: rule, and whether it is the companion for silence."""
        mine = [rule for rule in self._rules if feeds(rule, series)]
        return [(r, False) for r in mine] + [(r, True) for r in mine if r.no_data_after is not None]

    def _new(self, rule: Rule, series: Series, silence: bool, after: int) -> Alert:
        """An alert; one that was retired goes on counting its entries where it stopped."""
        alert = new_alert(rule, series, silence=silence, after=after)
        if (retired := self._retired.pop(alert.id, None)) is not None:
            alert.seq = retired.seq
        return alert

    def _seat(self, board: _Board, alerts: list[Alert]) -> None:
        rules = [alert.rule for alert in alerts]
        board.alerts = alerts
        board.signals = (
            frozenset({USERS} | {r.signal for rule in rules for r in rule.require}) if rules else frozenset()
        )
        board.look_back = max((rule.aggregate.windows(board.column.width) for rule in rules), default=0)

    def _reseat(self, board: _Board, step: _Step) -> None:
        """Keep the alerts that are still meant, retire the others, and begin new ones."""
        frontier = board.column.frontier
        old = {alert.id: alert for alert in board.alerts}
        kept: list[Alert] = []
        for rule, silence in self._meant(board.series):
            fresh = self._new(rule, board.series, silence, frontier)
            alert = old.pop(fresh.id, fresh)
            if alert is fresh or alert.key != fresh.key:
                alert.rebase(frontier, board.column.width)
            if alert is fresh or alert.rule != rule:
                alert.rule, alert.key, alert.saved = rule, fresh.key, True
                step.changed[alert.id] = memory.save(alert)
            kept.append(alert)
        for alert in old.values():
            rule = alert.rule
            self._retire(
                alert.id,
                rule.name,
                board.series,
                alert.labels,
                rule.severity,
                seq=alert.seq,
                head=alert.head,
                at=frontier,
                step=step,
            )
        self._seat(board, kept)

    def _retire_body(self, identity: str, body: memory.Body, step: _Step) -> None:
        """Retire an alert whose rule, or whose series, went while the daemon was down."""
        last = body.tail[-1] if body.tail else body.base
        head = None if last is None else Entry(**last.model_dump())
        series = memory.series_of(body)
        column = self._known.columns.get(series)
        at = body.mark.at if column is None else column.frontier
        self._retire(identity, body.rule, series, body.labels, body.severity, seq=body.seq, head=head, at=at, step=step)

    def _retire(
        self,
        identity: str,
        rule: str,
        series: Series,
        labels: Labels,
        severity: str,
        *,
        seq: int,
        head: Entry | None,
        at: int,
        step: _Step,
    ) -> None:
        """No rule means it any more: what it said is taken to its end, and only its count of entries is kept."""
        if head is not None and head.state in (State.FIRING, State.PENDING):
            seq += 1
            step.transitions.append(
                ended_by_rule(
                    alert_id=identity,
                    seq=seq,
                    rule=rule,
                    labels=labels,
                    severity=severity,
                    head=head,
                    at=at,
                    now=step.now,
                )
            )
        if not seq:
            step.forgotten.append(identity)
            return
        self._retired[identity] = memory.Retired(identity, rule, series, seq)
        step.changed[identity] = self._retired[identity].saved()
        while len(self._retired) > MAX_RETIRED:
            oldest = next(iter(self._retired))
            del self._retired[oldest]
            step.changed.pop(oldest, None)
            step.forgotten.append(oldest)
            self._forgotten += 1

    def _concerned(self, changed: Iterable[Series]) -> list[_Board]:
        """The boards whose series changed, or that join one that did."""
        found: dict[Series, _Board] = {}
        for series in changed:
            for board in self._neighbours.get(project_of(series), ()):
                joins = series.signal in board.signals and series in companions(board.series, series.signal)
                if joins or board.series == series:
                    found[board.series] = board
        return list(found.values())

    def _trim(self, series: Series) -> None:
        """Forget the windows of a series that no alert of its project will look at again."""
        boards = self._neighbours[project_of(series)]
        marks = [alert.mark.at for board in boards for alert in board.alerts]
        look_back = max(board.look_back for board in boards)
        self._known.trim(series, before=min(marks, default=0), look_back=look_back)

    # ── judging ──

    def _frame(self, board: _Board, *, after: int) -> Frame:
        joined = self._known.companions(board.series, board.signals)
        return Frame(board.series, board.column, joined, after=after, look_back=board.look_back)

    def _judge(self, board: _Board, step: _Step) -> None:
        if not board.alerts:
            return
        decided = self._known.decided(board.column.frontier)
        frame = self._frame(board, after=min(alert.mark.at for alert in board.alerts))
        for i, alert in enumerate(board.alerts):
            if _nothing_to_do(alert, frame):
                moved = skip(alert, min(decided, frame.until))
            else:
                before = copy.copy(alert)
                changes = self._contained(alert, frame, decided, step.now)
                if changes is None:
                    board.alerts[i] = before
                    continue
                step.transitions += self._speaker.say(alert, changes, frame, step.now)
                moved = alert != before
            if _note_holes(alert, board.column) or moved or not alert.saved:
                alert.saved = True
                step.changed[alert.id] = memory.save(alert)

    def _contained(self, alert: Alert, frame: Frame, decided: int, now: float) -> list[Change] | None:
        """Judge; None where the rule crashed. It is named once, until it works again."""
        name = alert.rule.name
        try:
            changes = judge(alert, frame, decided=decided, now=now, settings=self._settings)
        except Exception as error:  # noqa: BLE001 - one rule's fault must not stop the others (invariant 9)
            self._crashes[name] = self._crashes.get(name, 0) + 1
            if name not in self._broken:
                self._broken.add(name)
                _log.error("rule_crashed", rule=name, error=type(error).__name__, detail=clip(str(error)))
            return None
        self._broken.discard(name)
        return changes

    # ── after a restart ──

    def _read(self, saved: Sequence[SavedAlert]) -> dict[str, memory.Body]:
        bodies: dict[str, memory.Body] = {}
        for one in saved:
            match memory.read(one):
                case memory.Retired() as retired:
                    self._retired[one.alert_id] = retired
                case memory.Body() as body:
                    bodies[one.alert_id] = body
                case None:
                    self._unreadable += 1
                    _log.error("memory_unreadable", alert=one.alert_id, rule=one.rule)
        return bodies

    def _recall_columns(
        self, bodies: Sequence[memory.Body], queries: Sequence[Query], covered: Mapping[str, int], points: PointsOf
    ) -> None:
        """Columns from the earliest mark of each project on: a companion is needed as far back as what joins it."""
        since: dict[Project, int] = {}
        holes: dict[Series, tuple[tuple[int, int], ...]] = {}
        for body in sorted(bodies, key=lambda body: -body.mark.at):
            series = memory.series_of(body)
            since[project_of(series)] = body.mark.at
            holes[series] = body.holes
        for query in queries:
            if query.id not in covered:
                continue
            until = covered[query.id]
            for series in query.series:
                self._known.recall(
                    query,
                    series,
                    covered=until,
                    since=since.get(project_of(series), until - KEPT),
                    look_back=max((rule.aggregate.windows(query.width) for rule in self._rules), default=0),
                    holes=holes.get(series, ()),
                    points=points,
                )


def _nothing_to_do(alert: Alert, frame: Frame) -> bool:
    """True where nothing runs, nothing that was said can be contradicted, and nothing can begin."""
    if alert.tail or not alert.mark.quiet or alert.undecided_since is not None:
        return False
    return not (frame.may_be_silent() if alert.silence else frame.may_hold(alert.rule))


def _note_holes(alert: Alert, column: Column) -> bool:
    """Keep with the alert which windows after its mark nobody answered for; True where that is news."""
    after = alert.mark.at
    spans = column.holes()
    if column.known_from > after:
        spans = (Span(after, column.known_from), *spans)
    mine = tuple(span for span in spans if span.end > after) if spans else ()
    if mine == alert.holes:
        return False
    alert.holes = mine
    return True
