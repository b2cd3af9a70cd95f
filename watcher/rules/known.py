"""What is known: one column per series, filled from answers, read through the nearest place that has an answer.

It decides three things. Which part of an answer is taken: what was asked for, and nothing that is decided already.
How far back a series may be contradicted: `horizon` seconds of event time behind its newest window, moved in
half-horizon steps of event time, so that the limit is a function of the newest window alone (the same after a restart)
and alerts' memories are written twice an hour rather than at every look. And where a companion is found: in the series
of the same labels, or else in that of the whole product or project, where the vendor measures it no finer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from watcher.clock import DAY
from watcher.model import Answer, Points, PointsOf, Query, Series, Span
from watcher.rules.columns import Column, Losses
from watcher.rules.past import Past
from watcher.rules.rule import companions

KEPT = DAY  # at most, for alerts that lag: a series that is no longer asked for must not hold its neighbours' windows

Project = tuple[str, str, str]


def project_of(series: Series) -> Project:
    """Companions are looked for within one project of one account."""
    return series.account, series.provider, series.project


class Known:
    """The columns of all series that were ever answered for."""

    def __init__(self, *, horizon: int) -> None:
        self.columns: dict[Series, Column] = {}
        self.expected: frozenset[Series] = frozenset()  # what is going to be asked for, as far as that is known
        self.losses = Losses()
        self.past = Past(self.columns, self.places)
        self._horizon = horizon
        self._step = horizon // 2

    def decided(self, frontier: int) -> int:
        """The event time up to which a series known up to `frontier` may no longer be revised."""
        return max((frontier - self._horizon) // self._step * self._step, 0)

    def absorb(self, answer: Answer) -> list[Series]:
        """Put an answer into its columns; the series that are new or whose columns changed."""
        by_series: dict[Series, list[Points]] = {series: [] for series in answer.query.series}
        for points in answer.points:
            if points.series in by_series:
                by_series[points.series].append(points)
            else:
                self.losses.outside += len(points)
        return [series for series, brought in by_series.items() if self._put(series, brought, answer)]

    def _put(self, series: Series, brought: Iterable[Points], answer: Answer) -> bool:
        is_new = series not in self.columns
        column = self.columns.setdefault(series, Column(width=answer.query.width))
        if is_new:
            self.past.open(series)
        after, losses = self.decided(column.frontier), self.losses
        moved = [column.merge(_within(p, answer.asked, losses), after=after, losses=losses) for p in brought]
        moved.append(column.answer(answer.asked, answer.settled, after=after, losses=losses))
        return is_new or any(moved)

    def places(self, series: Series, signal: str) -> tuple[Series, ...]:
        """Where a companion is read: the nearest place that was ever answered for, or all places it may be found."""
        wider = companions(series, signal)
        return next(((place,) for place in wider if place in self.columns), wider)

    def until(self, series: Series, *, otherwise: int) -> int:
        """Up to which event time a series is known; of a share, which is no series, any within its place."""
        if (column := self.columns.get(series)) is not None:
            return column.frontier
        place = [column.frontier for other, column in self.columns.items() if _within_place(other, series)]
        return max(place, default=otherwise)

    def companions(self, series: Series, signals: Iterable[str]) -> dict[str, Column]:
        """The columns of the companions that are known."""
        found = {signal: self.columns.get(self.places(series, signal)[0]) for signal in signals}
        return {signal: column for signal, column in found.items() if column is not None}

    def awaits(self, series: Series, signal: str) -> bool:
        """Whether a companion was never answered for, though it is going to be asked for."""
        wider = companions(series, signal)
        return not any(place in self.columns for place in wider) and any(place in self.expected for place in wider)

    def trim(self, series: Series, *, before: int, look_back: int) -> None:
        """Forget the windows of a series that nothing with a mark at or after event time `before` looks at."""
        column = self.columns[series]
        before = max(before, column.frontier - KEPT)
        column.trim(self.past.cut(series, before - (look_back + 1) * column.width))

    def recall(
        self,
        query: Query,
        series: Series,
        *,
        covered: int,
        since: int,
        look_back: int,
        holes: Iterable[tuple[int, int]],
        points: PointsOf,
    ) -> None:
        """After a restart: the column as it was, from recorded points and from what was asked for.

        `covered` is the end of what was asked for, `holes` what nobody answered for after event time `since`.
        """
        column = self.columns[series] = Column(width=query.width)
        self.past.open(series)
        since = max(since, covered - KEPT)
        known = points(series, self.past.cut(series, since - (look_back + 1) * query.width))
        if known is not None:  # a clock that was ahead may have left points beyond
            column.merge(_within(known, Span(0, covered), self.losses), after=0, losses=self.losses)
        asked = Span(since, covered - query.settle * query.width)
        column.restore_answered(asked, (Span(*hole) for hole in holes), self.losses)
        column.asked_until = covered


def _within_place(series: Series, place: Series) -> bool:
    names = ("account", "provider", "project", "product", "channel")
    return all(getattr(place, name) in ("", getattr(series, name)) for name in names)


def _within(points: Points, asked: Span, losses: Losses) -> Points:
    """The points whose windows were asked for."""
    inside = (points.start >= asked.start) & (points.start < asked.end)
    if inside.all():
        return points
    losses.outside += int((~inside).sum())
    return replace(
        points,
        start=points.start[inside],
        value=points.value[inside],
        weight=None if points.weight is None else points.weight[inside],
    )
