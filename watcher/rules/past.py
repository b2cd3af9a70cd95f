"""The past of the series that some rule holds against a baseline: what is kept of it, and how it is read again.

A history grows by what its column forgets, so it costs nothing at a look. After a restart, or when a rule with a
baseline is new, it is read from the recorded points, which the store keeps for 30 days unless told otherwise: a new
rule knows at once what is normal. That takes some 30 ms a series for four weeks of 20 s windows
(`tests/benchmarks/bench_history.py`), and is done in pieces, between which others have the store. Keeping histories
themselves in the store was considered: it would save most of that, and is one more thing that can disagree with the
points; means made by SQL too: what is idle would be said in two languages.

Where a time before we looked is wanted, the vendor's own statistics may tell of it, in windows longer than a slot. Each
then stands for every slot that it spans, up to the first that was measured, whenever the vendor's word came. Later ones
that are empty stay so: we know why they are (nobody was there, the daemon was down), and the vendor may fill them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from watcher.clock import DAY, HOUR
from watcher.model import USERS, Points, PointsOf, Series, Span
from watcher.rules.columns import Column, Losses
from watcher.rules.frame import Frame
from watcher.rules.history import History, Slots
from watcher.rules.rule import Baseline, Rule


def hourly_of(points: PointsOf) -> PointsOf:
    """What is recorded of the vendor's own statistics, as points of the series that they are about."""
    return partial(_hourly, points)


def _hourly(points: PointsOf, series: Series, since: int) -> Points | None:
    found = points(series.hourly, since)
    return None if found is None else replace(found, series=series)


class Past:
    """Histories by series. `columns` and `places` are those of what is known; owned by the engine."""

    def __init__(self, columns: Mapping[Series, Column], places: Callable[[Series, str], tuple[Series, ...]]) -> None:
        self._columns = columns
        self._places = places
        self._wanted: dict[str, Baseline] = {}  # signal -> the baseline that looks back furthest
        self._histories: dict[Series, History] = {}

    def __len__(self) -> int:
        return len(self._histories)

    def learn(self, rules: Iterable[Rule]) -> None:
        """Keep from now on the past that these rules look back on, and no other."""
        found = [(p.signal, p.baseline) for rule in rules for p in rule.parts if p.baseline is not None]
        self._wanted = dict(sorted(found, key=lambda one: one[1].reach))
        self._histories = {s: h for s, h in self._histories.items() if s.signal in self._wanted}
        for series in self._columns:
            self.open(series)

    def open(self, series: Series) -> None:
        """A series that was answered for: begin its history, or let it reach as far as is now wanted."""
        if (baseline := self._wanted.get(series.signal)) is None:
            return
        column = self._columns[series]
        history = History(width=column.width, slot=baseline.slot, reach=baseline.reach)
        if (known := self._histories.get(series)) is not None:
            if known.reach >= history.reach:
                return
            history.take_over(known, until=column.frontier)
        self._histories[series] = history

    def at(self, series: Series, signal: str) -> History | None:
        """The history of a signal where it is read for `series`."""
        return self._histories.get(self._places(series, signal)[0])

    # ── what columns forget ──

    def cut(self, series: Series, before: int) -> int:
        """Keep the past of what a column is about to forget; up to where it may, which is where a slot begins."""
        history, column = self._histories.get(series), self._columns[series]
        if history is None:
            return self._beside(series, before) if self._wanted and series.signal == USERS else before
        before = history.boundary(before)
        if len(column) and before > column.begins:
            users = self._columns.get(self._places(series, USERS)[0])
            history.seal(_slots(series, column, users, history), until=before)
        return before

    def _beside(self, users: Series, before: int) -> int:
        """Idleness is told by users: they are kept as long as windows whose means are not made yet, but for a day."""
        open_ = [
            column.begins
            for series in self._histories
            if users.project == series.project and len(column := self._columns[series])
        ]
        return max(min([before - HOUR, *open_]), before - DAY)

    def turn_back(self, series: Series, to: int) -> None:
        """What was told of later than `to` came from a clock that was ahead."""
        if (history := self._histories.get(series)) is not None:
            history.turn_back(to)

    # ── what was recorded ──

    def recall(self, points: PointsOf, told: PointsOf | None) -> Iterator[None]:
        """Read again what the columns do not hold; stops after each series, so that others may have the store.

        `points` reads what was measured, `told` what the vendor's own statistics say (see `tell`).
        """
        users = _Newest(points)
        for series, history in self._histories.items():
            if history.recalled:
                continue
            history.recalled = True
            column = self._columns[series]
            until = history.boundary(column.begins if len(column) else column.frontier)
            known = history.measured(Slots(history.length))
            history.seal(self._recorded(series, points, users, history, until), until=until)
            history.seal(known, until=until)
            if told is not None and (found := told(series, until - history.reach)) is not None:
                self.tell(found)
            yield

    def _recorded(self, series: Series, points: PointsOf, users: _Newest, history: History, until: int) -> Slots:
        since = until - history.reach
        found = _before(points(series, since), until)
        if found is None:
            return Slots(history.length)
        beside = users.column(self._places(series, USERS)[0], since)
        column = _column(found)
        whole = Span(int(found.start[0]), until)  # else a slot whose last windows are missing is cut off
        column.answer(whole, until, after=0, losses=Losses())
        return _slots(series, column, beside, history)

    # ── what the vendor tells afterwards ──

    def tell(self, points: Points) -> None:
        """What the vendor's own statistics say of a series, in windows longer than its own.

        Each stands for every slot that it spans, before the first that was measured; told again, it is amended.
        """
        if (history := self._histories.get(points.series)) is not None and len(points):
            history.tell(_spread(points, history.length))

    def lacks(self, series: Series) -> Span | None:
        """The part of what the rules look back on that lies before everything measured; None where there is none."""
        history, column = self._histories.get(series), self._columns.get(series)
        if history is None or column is None or not column.frontier:
            return None
        begins = history.begins
        begins = column.known_from if begins is None else begins
        since = column.frontier - history.reach
        return Span(since, begins) if since < begins else None


class _Newest:
    """The users of one place at a time: the signals of a place come one after the other, and all have the same."""

    def __init__(self, points: PointsOf) -> None:
        self._points = points
        self._read: tuple[Series, int] | None = None
        self._column: Column | None = None

    def column(self, series: Series, since: int) -> Column | None:
        """Those of windows from `since` on, and some before."""
        if self._read is None or self._read[0] != series or not since - DAY <= self._read[1] <= since:
            begin = since - HOUR
            found = self._points(series, begin)
            self._read, self._column = (series, begin), None if found is None else _column(found)
        return self._column


def _slots(series: Series, column: Column, users: Column | None, history: History) -> Slots:
    """All slots of a column."""
    beside = {} if users is None else {USERS: users}
    return Frame(series, column, beside, after=column.begins, look_back=0).slots(history.slot)


def _before(points: Points | None, until: int) -> Points | None:
    """Those whose windows begin before `until`; None where there are none."""
    n = 0 if points is None else int(np.searchsorted(points.start, until))
    if points is None or not n:
        return None
    weight = None if points.weight is None else points.weight[:n]
    return replace(points, start=points.start[:n], value=points.value[:n], weight=weight)


def _column(points: Points) -> Column:
    column = Column(width=points.width)
    column.merge(points, after=0, losses=Losses())
    return column


def _spread(points: Points, length: int) -> Slots:
    """Windows longer than a slot, as the slots that begin within them."""
    first = int(points.start[0]) // length
    means = np.full((int(points.start[-1]) + points.width) // length - first, np.nan)
    for start, value in zip(points.start.tolist(), points.value.tolist(), strict=True):
        means[-(-start // length) - first : -(-(start + points.width) // length) - first] = value
    return Slots(length, first, means)
