"""The past of the series that some rule holds against a baseline: what is kept of it, and how it is read again.

A history grows by what its column forgets, so it costs nothing at a look. After a restart, or when a rule with a
baseline is new, it is read from the recorded points, which the store keeps for 30 days unless told otherwise: a new
rule knows at once what is normal. Keeping histories themselves in the store was considered: it saves a second per
twenty series at a start, and is one more thing that can disagree with the points.

Recorded points may also be longer than the series' windows (a vendor's daily figures of a time before we looked):
each then stands for every slot that it spans, where nothing finer is known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import numpy as np

from watcher.clock import DAY, HOUR
from watcher.model import USERS, Points, Series
from watcher.rules.columns import Column, Losses
from watcher.rules.frame import Frame
from watcher.rules.history import History, Slots
from watcher.rules.rule import Baseline, Rule

PointsOf = Callable[[Series, int], Points | None]
"""Recorded points of a series whose windows start at or after an instant."""


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
            history.seal(known.with_(Slots(history.length)), until=column.frontier)
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

    def recall(self, *points: PointsOf) -> None:
        """Read again what the columns do not hold, from one source or several: the earlier is believed first."""
        for series, history in self._histories.items():
            if history.recalled:
                continue
            history.recalled = True
            column = self._columns[series]
            until = history.boundary(column.begins if len(column) else column.frontier)
            known = history.with_(Slots(history.length))
            for source in reversed(points):
                history.seal(self._recorded(series, source, history, until), until=until)
            history.seal(known, until=until)

    def _recorded(self, series: Series, points: PointsOf, history: History, until: int) -> Slots:
        since = until - history.reach
        found = _before(points(series, since), until)
        if found is None:
            return Slots(history.length)
        if found.width > self._columns[series].width:
            return _spread(found, history.length)
        column = _column(found)
        users = _before(points(self._places(series, USERS)[0], column.begins), until)
        return _slots(series, column, None if users is None else _column(users), history)


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
