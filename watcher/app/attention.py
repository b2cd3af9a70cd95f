"""What an account's own points and alerts tell the schedule: users at risk, idleness, evidence.

    points of users -> profile (learned), idle spans     ┐
    transitions     -> alerts pending and firing         ├ -> the fields of `QueryState` that a policy weighs
    newest values   -> heat, where near a rule's line    ┘

It stands between the engine and the schedule, which do not know each other, and only translates. Kept in memory and
worked out again after a restart from the engine's alerts; profiles alone are worth a note in the state, hourly.

*Idle.* Where the users signal of a place says 0 for every window since a query was last covered, that query has nothing
to fetch: it is counted as covered up to the end of those zeros, and no look is spent on it. Only explicit zeros of
settled windows count; a vendor that says nothing of quiet hours is polled through them.

*Evidence.* A pending alert asks for the look that could confirm it. An alert that fires, or did and is over when it is
found, asks for the other judged queries of its project, up to the time at which they would fire too, had they begun
together: once each, not for those that are known to be in trouble, and again only for an alert that had been quiet for
`CALM`, so that a flapping one does not keep its neighbours busy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from watcher.clock import HOUR, MINUTE
from watcher.model import (
    SIGNALS,
    USERS,
    Answer,
    Cause,
    Floats,
    Ints,
    Labels,
    Points,
    Query,
    Series,
    Span,
    State,
    Transition,
    Unit,
)
from watcher.rules.engine import Engine
from watcher.rules.rule import Rule, companions, feeds
from watcher.schedule.load import Load, Profile
from watcher.schedule.state import Evidence, QueryState, Why

CALM = 10 * MINUTE  # event-time seconds without an alert after which its return is news to its neighbours
APART = 60  # seconds by which signals of one incident may begin apart
APART_HINTS = 5 * MINUTE  # seconds between two hints about a project that are both listened to
SILENCE = 3  # windows without a value after which silence is taken to be one
NEAR = 0.8  # of the way from perfect to a rule's line, from which on a value is near it
HEAT = 2.0  # how much likelier an alert counts there

_NOTE = "load/"


@dataclass(slots=True)
class _Standing:
    """One alert that is pending or firing."""

    series: Series
    state: State
    covers: int  # event time at which it fires, or fired


@dataclass(frozen=True, slots=True)
class _News:
    """An alert that has just been found, perhaps over already: what began at `starts_at` may have begun elsewhere."""

    series: Series
    starts_at: int


class Attention:
    """One account's. Not thread-safe; one owner."""

    def __init__(self, *, queries: Sequence[Query], rules: Sequence[Rule]) -> None:
        self._queries = tuple(queries)
        self._rules = {rule.name: rule for rule in rules}
        self._judging = {q.id: [r for r in rules if any(feeds(r, s) for s in q.series)] for q in queries}
        self._users = _users_of(self._queries)
        self._profiles: dict[Series, Profile] = {}
        self._loads: dict[Series, Load] = {}
        self._zeros: dict[Series, Span] = {}  # newest run of windows with nobody
        self._known: dict[Series, int] = {}  # event time up to which users are settled
        self._standing: dict[str, _Standing] = {}
        self._news: dict[str, _News] = {}  # alert -> until its neighbours were looked at
        self._ended: dict[str, int] = {}  # alert -> event time at which it was last over
        self._near: set[str] = set()
        self._hints: dict[str, float] = {}  # project -> event time that a hint is about
        self._silent: dict[Series, int] = {}  # users -> event time up to which the vendor's silence is to be explained
        self._unsaved: set[Series] = set()

    # ── what comes in ────────────────────────────────────────────────────────────────────────────────────────────────

    def recall(self, engine: Engine, notes: Mapping[str, str]) -> None:
        """After a restart: alerts as they stand, and the profiles in `notes` (by `note_keys`)."""
        for view in engine.alerts():
            rule = self._rules.get(view.rule)
            if rule is None or view.silence or view.state not in (State.PENDING, State.FIRING):
                continue
            series = _series(view.labels, rule.signal)
            self._standing[view.id] = _Standing(series, view.state, view.since + rule.hold)
        for series in set(self._users.values()):
            profile = Profile.parse(text) if (text := notes.get(_key(series))) else None
            if profile is not None:
                self._profiles[series], self._loads[series] = profile, profile.load()

    def note_keys(self) -> tuple[str, ...]:
        """The notes that `recall` wants."""
        return tuple(_key(series) for series in dict.fromkeys(self._users.values()))

    def notes(self) -> dict[str, str]:
        """Profiles that learned another hour since they were asked for: key -> text."""
        found = {_key(series): self._profiles[series].text() for series in self._unsaved}
        self._unsaved.clear()
        return found

    def received(self, answer: Answer, transitions: Sequence[Transition], covered: Mapping[str, int]) -> dict[str, int]:
        """Take in an answer and what was judged by it.

        Returns the queries that are covered further than `covered` says, since nobody was there: id -> event time.
        """
        self.judged(transitions)
        for points in answer.points:
            if points.series.signal == USERS:
                self._count(points, answer.settled)
        self._note_near(answer)
        return {q.id: until for q in self._queries if (until := self._skips(q, covered)) is not None}

    def judged(self, transitions: Sequence[Transition]) -> None:
        """Follow the alerts."""
        for t in transitions:
            rule = self._rules.get(t.rule)
            if rule is None or t.cause is Cause.NO_DATA or "reason" in t.labels:
                continue
            if t.state in (State.PENDING, State.FIRING):
                before = self._standing.get(t.alert_id)
                series = _series(t.labels, rule.signal)
                self._standing[t.alert_id] = _Standing(series, t.state, t.starts_at + rule.hold)
                begins = t.state is State.FIRING and (before is None or before.state is State.PENDING)
                if begins and t.starts_at - self._ended.get(t.alert_id, -CALM) >= CALM:
                    self._news[t.alert_id] = _News(series, t.starts_at)
            elif (over := self._standing.pop(t.alert_id, None)) is not None and over.state is State.FIRING:
                self._ended[t.alert_id] = t.at

    def unexplained(self, answer: Answer) -> bool:
        """Whether an answer holds a silence that may be idleness, for all that is known of the users so far.

        At its end or before people came back. Asks for the users query then: with it, the engine can tell nobody there
        from no data.
        """
        users = self._users.get(answer.query.id)
        patient = any(rule.no_data_after is not None for rule in self._judging[answer.query.id])
        if users is None or users in answer.query.series or not patient:
            return False
        width = answer.query.width
        known = max(answer.asked.start, self._known.get(users, 0))
        heard = np.unique(np.concatenate([np.empty(0, np.int64), *(p.start + p.width for p in answer.points)]))
        ends = np.array(
            [known, *heard[(heard > known) & (heard <= answer.settled)], max(answer.settled, known) + width]
        )
        silences = np.flatnonzero(np.diff(ends) > SILENCE * width)
        if not len(silences):
            return False
        self._silent[users] = max(int(ends[silences[-1] + 1]) - width, self._silent.get(users, 0))
        return True

    def hint(self, project: str, at: float) -> None:
        """Somebody outside says that something is wrong with a project at `at` (event time); no more is believed.

        Who says it again within `APART_HINTS` says nothing new: a flood of hints must not keep a project busy.
        """
        if at - self._hints.get(project, -APART_HINTS) >= APART_HINTS:
            self._hints[project] = at

    # ── what goes out ────────────────────────────────────────────────────────────────────────────────────────────────

    def dress(self, states: Sequence[QueryState], covered: Mapping[str, int], ahead: float) -> tuple[QueryState, ...]:
        """The states with everything that is known of them. `ahead`: vendor time less run clock, seconds."""
        self._forget_old_news(covered)
        return tuple(self._dressed(state, covered.get(state.query.id), ahead) for state in states)

    def _dressed(self, state: QueryState, covered: int | None, ahead: float) -> QueryState:
        query = state.query
        users = self._users.get(query.id)
        load = self._loads.get(users) if users is not None else None
        idle = self._is_idle(query, covered)
        heat = (HEAT if query.id in self._near else 1.0) if self._judging[query.id] else 0.0
        evidence = None if covered is None or idle else self._evidence(query, covered, ahead)
        same = state.load is load and state.idle == idle and state.heat == heat and _same(state.evidence, evidence)
        if same:
            return state
        return replace(state, load=load, idle=idle, heat=heat, evidence=evidence)

    def _evidence(self, query: Query, covered: int, ahead: float) -> Evidence | None:
        """The best reason to look at a query out of turn, if any."""
        best: Evidence | None = None
        for covers, reason, rank in self._causes(query):
            if covered < covers and (best is None or rank < best.rank):
                best = Evidence(reason=reason, covers=covers - ahead, rank=rank)
        return best

    def _causes(self, query: Query) -> Iterator[tuple[float, Why, int]]:
        rules = self._judging[query.id]
        mine = query.series
        known = any(alert.series in mine for alert in self._standing.values())
        for series in mine:
            if series in self._silent:
                yield self._silent[series], Why.SILENT, 0
        for alert in self._standing.values():
            if alert.series in mine and alert.state is State.PENDING:
                yield alert.covers, Why.PENDING, 1
        for news in self._news.values() if rules and not known else ():
            if _together(news.series, mine[0]):
                same_product = news.series.product == mine[0].product
                yield self._would_fire(query, news), Why.SIBLING, 2 if same_product else 3
        if mine[0].project in self._hints and (rules or any(series in self._zeros for series in mine)):
            yield self._hints[mine[0].project] // query.width * query.width, Why.HINT, 4

    def _would_fire(self, query: Query, news: _News) -> int:
        """Event time by which an alert of this query fires too, had it begun with what was found."""
        rules = self._judging[query.id]
        lasts = max((rule.hold + rule.fills(query.width) * query.width for rule in rules), default=0)
        return news.starts_at + lasts + APART

    def _forget_old_news(self, covered: Mapping[str, int]) -> None:
        """News is none any more once every neighbour was looked at."""
        for alert, news in list(self._news.items()):
            neighbours = (q for q in self._queries if self._judging[q.id] and _together(news.series, q.series[0]))
            if all(covered.get(q.id, 0) >= self._would_fire(q, news) for q in neighbours):
                del self._news[alert]

    # ── users ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _count(self, points: Points, settled: int) -> None:
        """Learn users, and follow the newest run of windows with nobody."""
        series, width = points.series, points.width
        keep = points.start + width <= settled
        start, value = points.start[keep], points.value[keep]
        if not len(start):
            return
        before = self._profiles.get(series, Profile())
        after = before.learn(replace(points, start=start, value=value, weight=None))
        if after is not before:
            place = (s for s in self._loads if s != series and s._replace(product=series.product) == series)
            beside = sum(self._loads[s].average for s in place)
            self._profiles[series], self._loads[series] = after, after.load(beside)
            if after.until // HOUR != before.until // HOUR:
                self._unsaved.add(series)
        self._known[series] = int(start[-1]) + width
        if (zeros := _last_zeros(start, value, width, self._zeros.get(series))) is not None:
            self._zeros[series] = zeros

    def _is_idle(self, query: Query, covered: int | None) -> bool:
        """Nobody was there in any window that this query has not seen, as far as users are known."""
        users = self._users.get(query.id)
        if users is None or covered is None or users in query.series:
            return False
        zeros = self._zeros.get(users)
        return zeros is not None and zeros.end == self._known[users] and zeros.start <= covered <= zeros.end

    def _skips(self, query: Query, covered: Mapping[str, int]) -> int | None:
        users, at = self._users.get(query.id), covered.get(query.id)
        if users is None or at is None or users in query.series:
            return None
        zeros = self._zeros.get(users)
        if zeros is None or not zeros.start <= at < zeros.end:
            return None
        until = zeros.end // query.width * query.width
        return until if until > at else None

    # ── near the line ────────────────────────────────────────────────────────────────────────────────────────────────

    def _note_near(self, answer: Answer) -> None:
        near = any(_is_near(rule, points) for rule in self._judging[answer.query.id] for points in answer.points)
        (self._near.add if near else self._near.discard)(answer.query.id)


def _users_of(queries: Sequence[Query]) -> dict[str, Series]:
    """Query id -> the users series that tells its idleness and risk: of the same place, else the nearest wider one."""
    known = {s for q in queries for s in q.series if s.signal == USERS}
    found: dict[str, Series] = {}
    for query in queries:
        one_product = len({series.product for series in query.series}) == 1  # else no one series tells all of it
        places = companions(query.series[0], USERS) if one_product else ()
        if (place := next((p for p in places if p in known), None)) is not None:
            found[query.id] = place
    return found


def _last_zeros(start: Ints, value: Floats, width: int, before: Span | None) -> Span | None:
    """The newest run of windows with nobody, which may be over; joined to the one known before where they meet."""
    zeros = np.flatnonzero(value == 0)
    if not len(zeros):
        return before
    last = int(zeros[-1])
    breaks = np.flatnonzero((value[:last] != 0) | (np.diff(start[: last + 1]) != width))
    first = int(breaks[-1]) + 1 if len(breaks) else 0
    begin, end = int(start[first]), int(start[last]) + width
    if before is not None and first == 0 and before.start <= begin <= before.end:
        begin = before.start
    return Span(begin, end)


def _is_near(rule: Rule, points: Points) -> bool:
    """The newest value is most of the way from perfect to the line, and not past it: there the alert itself speaks."""
    if (
        not len(points)
        or points.series.signal != rule.signal
        or rule.per
        or rule.baseline
        or not feeds(rule, points.series)
    ):
        return False
    value, line = float(points.value[-1]), rule.level.value
    if rule.level.above:
        return NEAR * line < value <= line
    best = 1.0 if SIGNALS[points.series.signal].unit is Unit.RATIO else 2 * line
    return line <= value < best - NEAR * (best - line)


def _same(one: Evidence | None, other: Evidence | None) -> bool:
    """Alike, but for what is learned of the vendor's clock from one answer to the next."""
    if one is None or other is None:
        return one is other
    return (one.reason, one.rank) == (other.reason, other.rank) and abs(one.covers - other.covers) < 0.5


def _series(labels: Labels, signal: str) -> Series:
    """The series that an alert's fingerprint labels name."""
    account, provider, project, product, channel = (labels.get(name, "") for name in Series._fields[:-1])
    return Series(account, provider, project, product, channel, signal)


def _together(one: Series, other: Series) -> bool:
    """Of one project, where what goes wrong tends to go wrong for several signals and products."""
    return (one.account, one.provider, one.project) == (other.account, other.provider, other.project)


def _key(series: Series) -> str:
    return _NOTE + "/".join((series.project, series.product, series.channel))
