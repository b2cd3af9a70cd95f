"""Boards: where alerts sit. One per judged series, for the rules of that series alone; one per place of a joined rule.

A board knows which answers concern it and makes the ground that its alerts are judged on. The rules of one series share
a board because they share its frame (aggregates are worked out once per kind, not once per rule). A joined rule has a
board of its own: what it reads is its own affair, and a crash in it stops nobody else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from watcher.model import USERS, Series, Span
from watcher.rules.alert import Alert
from watcher.rules.columns import Column
from watcher.rules.frame import Frame
from watcher.rules.ground import Ground
from watcher.rules.joined import Joined
from watcher.rules.known import Known, Project, project_of
from watcher.rules.rule import Rule, companions, feeds


@dataclass(slots=True, eq=False, kw_only=True)
class SeriesBoard:
    """All alerts on one series."""

    series: Series
    column: Column
    alerts: list[Alert] = field(default_factory=list)
    signals: frozenset[str] = frozenset()  # companions that some rule here joins
    look_back: int = 0  # windows before the first judged one that some rule here needs

    def seat(self, alerts: list[Alert]) -> None:
        """These alerts from now on."""
        rules = [alert.rule for alert in alerts]
        self.alerts = alerts
        self.signals = frozenset({USERS}.union(*(rule.joins for rule in rules))) if rules else frozenset()
        self.look_back = max((rule.windows(self.column.width) for rule in rules), default=0)

    def needs(self, width: int) -> int:
        """How many windows of a length it looks back on."""
        return self.look_back

    def concerns(self, series: Series) -> bool:
        """Whether points of `series` may change a verdict here."""
        joins = series.signal in self.signals and series in companions(self.series, series.signal)
        return joins or self.series == series

    def ground(self, known: Known, *, after: int | None) -> Frame:
        """The windows after event time `after`; only the newest for None."""
        joined = known.companions(self.series, self.signals)
        after = self.column.frontier - self.column.width if after is None else after
        return Frame(self.series, self.column, joined, after=after, look_back=self.look_back)

    def is_late(self, known: Known) -> bool:
        """Whether newer windows were asked for than the vendor has given."""
        return self.column.asked_until > self.column.frontier

    def holes(self, after: int) -> tuple[Span, ...]:
        """The windows after event time `after` that nobody answered for."""
        spans = self.column.holes()
        if self.column.known_from > after:
            spans = (Span(after, self.column.known_from), *spans)
        return tuple(span for span in spans if span.end > after) if spans else ()


@dataclass(slots=True, eq=False, kw_only=True)
class JoinedBoard:
    """The alert of a joined rule at one place, judged at `members`: that place, or every label set of a share."""

    rule: Rule
    place: Series
    horizon: int
    members: list[Series] = field(default_factory=list)
    is_learning: bool = False  # when last judged: some limit was not known for want of history
    judged_from: int | None = None  # event time from which enough was known of the past, where the rule looks back
    alerts: list[Alert] = field(default_factory=list)

    def needs(self, width: int) -> int:
        """How many windows of a length it looks back on."""
        return self.rule.windows(width)

    def seat(self, alerts: list[Alert]) -> None:
        """These alerts from now on."""
        self.alerts = alerts

    def concerns(self, series: Series) -> bool:
        """Whether points of `series` may change the verdict here."""
        reads = series.signal in self.rule.judges or series.signal in self.rule.joins or series.signal == USERS
        return reads and any(series in companions(member, series.signal) for member in self.members)

    def ground(self, known: Known, *, after: int | None) -> Joined:
        """The windows after event time `after`; only the newest for None."""
        signals = self.rule.judges | self.rule.joins | {USERS}
        columns_of = partial(known.companions, signals=signals)
        return Joined(
            self.rule,
            self.members,
            columns_of,
            known.awaits,
            known.past.at,
            after=after,
            horizon=self.horizon,
        )

    def is_late(self, known: Known) -> bool:
        """Whether, anywhere here, newer windows were asked for than the vendor has given."""
        return any(
            column.asked_until > column.frontier
            for member in self.members
            for column in known.companions(member, self.rule.judges).values()
        )

    def holes(self, after: int) -> tuple[Span, ...]:
        """None: only `no_data` needs them, and a joined rule has none."""
        return ()


Board = SeriesBoard | JoinedBoard


class Boards:
    """All boards, found by what they read. Companions are looked for within one project of one account."""

    def __init__(self, *, known: Known, horizon: int) -> None:
        self._known = known
        self._horizon = horizon
        self.clear()

    def clear(self) -> None:
        """Forget them all."""
        self._alone: dict[Series, SeriesBoard] = {}
        self._joined: dict[tuple[str, Series], JoinedBoard] = {}
        self._neighbours: dict[Project, list[Board]] = {}

    def __contains__(self, series: Series) -> bool:
        return series in self._alone

    def __iter__(self) -> Iterator[Board]:
        yield from self._alone.values()
        yield from self._joined.values()

    def alerts(self) -> Iterator[Alert]:
        """Every alert of every board."""
        for board in self:
            yield from board.alerts

    def extents(self) -> Iterator[tuple[Alert, Ground]]:
        """Every alert with the newest windows it is judged on."""
        for board in self:
            if board.alerts:
                ground = board.ground(self._known, after=None)
                yield from ((alert, ground) for alert in board.alerts)

    def open(self, series: Series) -> SeriesBoard:
        """The board of a series that has none yet."""
        board = self._alone[series] = SeriesBoard(series=series, column=self._known.columns[series])
        self._neighbours.setdefault(project_of(series), []).append(board)
        return board

    def join(self, rule: Rule, series: Series) -> tuple[JoinedBoard, bool]:
        """The board on which a joined rule judges `series`, and whether it is new."""
        member = series.sibling(rule.signal)
        place = member if rule.share is None else rule.share.place(series)
        board = self._joined.get((rule.name, place))
        is_new = board is None
        if board is None:
            board = self._joined[rule.name, place] = JoinedBoard(rule=rule, place=place, horizon=self._horizon)
            for other in self._expected(rule, place):
                self._add(board, other)
        self._add(board, member)
        return board, is_new

    def _expected(self, rule: Rule, place: Series) -> list[Series]:
        """The label sets that will count towards a share once they are asked for."""
        if rule.share is None:
            return []
        expected = (s for s in self._known.expected if s.signal == rule.signal and feeds(rule, s))
        return sorted(s for s in expected if rule.share.place(s) == place)

    def _add(self, board: JoinedBoard, member: Series) -> None:
        if member in board.members:
            return
        board.members.append(member)
        neighbours = self._neighbours.setdefault(project_of(member), [])
        if board not in neighbours:
            neighbours.append(board)

    def concerned(self, changed: Sequence[Series]) -> list[Board]:
        """The boards on which some of the changed series may change a verdict."""
        found = {
            id(board): board
            for series in changed
            for board in self._neighbours.get(project_of(series), ())
            if board.concerns(series)
        }
        return list(found.values())

    def trim(self, series: Series) -> None:
        """Forget the windows of a series that no alert of its project will look at again."""
        boards = self._neighbours[project_of(series)]
        marks = [alert.mark.at for board in boards for alert in board.alerts]
        width = self._known.columns[series].width
        look_back = max(board.needs(width) for board in boards)
        self._known.trim(series, before=min(marks, default=0), look_back=look_back)
