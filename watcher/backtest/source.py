"""The vendor as a recording knew it: an account's `Source` that answers from columns instead of from the network.

A look sees what a real one would have seen at that instant: windows that are `delay` old (strictly, in whole seconds),
as far back as the query's `reach` promises, the newest `settle` ones read again. Only numbers of the query are used, so
that one source serves every vendor. What lies outside the recording is not asked for at all: before its first and after
its last window nobody knows what the vendor would have said, and "nothing" would be an answer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from watcher.backtest.recording import Column, Recording
from watcher.clock import Clock
from watcher.model import Answer, Points, PointsOf, Purse, Query, Series, Source, Span
from watcher.rules.engine import Engine
from watcher.rules.past import hourly_of


class RecordedSource:
    """Port `model.Source` over a recording."""

    def __init__(
        self, *, queries: tuple[Query, ...], recording: Recording, clock: Clock, gaps: Mapping[str, float]
    ) -> None:
        """`gaps` are the promised ones, by query: how often they were broken is counted here."""
        self.longest = dict.fromkeys(gaps, 0.0)
        self.broken = 0
        self._gaps = gaps
        self._looked: dict[str, float] = {}
        self._queries = queries
        self._columns: Mapping[Series, Column] = recording.columns
        self._begin, self._end = recording.begin, recording.end
        self._clock = clock

    @property
    def queries(self) -> tuple[Query, ...]:
        return self._queries

    async def look(self, query: Query, covered: int | None, purse: Purse) -> Answer:
        """What the vendor would have answered now."""
        now = self._clock.now()
        await purse.answered(math.floor(now))
        for _ in range(query.requests - 1):  # what a real look of several requests would have cost
            if not await purse.spend():
                break
            await purse.answered(math.floor(self._clock.now()))
        self._note_gap(query, now, covered)
        asked, lost = asks(query, now, covered, begin=self._begin, end=self._end)
        found = (points_of(self._columns, series, query.width, asked) for series in query.series)
        return Answer(
            query=query,
            asked=asked,
            settled=asked.end - _again(query) if asked.end < self._end else asked.end,
            points=tuple(p for p in found if p is not None),
            received_at=now,
            lost=lost,
        )

    async def aclose(self) -> None:
        return

    def _note_gap(self, query: Query, now: float, covered: int | None) -> None:
        """Time since the last look, less what was known to be idle meanwhile."""
        last = self._looked.get(query.id)
        self._looked[query.id] = now
        if last is not None and covered is not None and covered < self._end // query.width * query.width:
            gap = now - max(last, covered + query.delay)
            self.longest[query.id] = max(self.longest[query.id], gap)
            self.broken += gap > self._gaps[query.id] + 1.0


def points_of(columns: Mapping[Series, Column], series: Series, width: int, asked: Span) -> Points | None:
    """The recorded windows of a series that start in `asked`; None where there are none."""
    column = columns.get(series)
    if column is None:
        return None
    low, high = np.searchsorted(column.start, asked)
    if low == high:
        return None
    weight = None if column.weight is None else column.weight[low:high]
    return Points(series=series, width=width, start=column.start[low:high], value=column.value[low:high], weight=weight)


def past_of(past: Recording | None, queries: Sequence[Query], *, begin: int) -> PointsOf:
    """What was recorded before a backtest begins, as the store would have it."""
    widths = {series: query.width for query in queries for series in query.series}

    def points(series: Series, since: int) -> Points | None:
        if past is None or series not in widths:
            return None
        return points_of(past.columns, series, widths[series], Span(since, begin))

    return points


def remember(
    engine: Engine, queries: Sequence[Query], told: Sequence[Query], past: Recording | None, begin: int
) -> None:
    """Bring an engine to where it would stand at `begin`, had the daemon recorded `past` and what it was `told`."""
    if past is None:
        return
    points = past_of(past, [*queries, *hourly(told)], begin=begin)
    covered = {query.id: begin // query.width * query.width for query in queries}
    engine.restore((), queries=queries, covered=covered, points=points, now=float(begin), earlier=hourly_of(points))


def hourly(told: Sequence[Query]) -> list[Query]:
    """The series under which a vendor's own statistics are recorded and exported."""
    return [replace(query, series=tuple(series.hourly for series in query.series)) for query in told]


def asks(query: Query, now: float, covered: int | None, *, begin: int, end: int) -> tuple[Span, Span | None]:
    """The windows of a look at `now`, and those before them that were wanted and are gone.

    Two looks `reach` apart lose nothing: the second may begin where the first, less what it reads again, ended.
    """
    width = query.width
    again = _again(query)
    newest = _floor(now - query.delay - 1, width)
    oldest = max(_floor(now - query.reach - query.delay - 1, width) - again, begin)
    stop = max(min(newest, end), begin)
    if covered is None:
        return Span(min(oldest, stop), stop), None
    seen = min(covered, stop)
    start = min(max(seen - again, oldest), stop)
    return Span(start, stop), Span(seen, start) if start > seen else None


def _again(query: Query) -> int:
    """Seconds of an answer that are not final. None where a vendor tells of calls afterwards: its real answers go up to
    the present, these end where everything is there."""
    return 0 if query.amended else query.settle * query.width


def _floor(at: float, width: int) -> int:
    return math.floor(at / width) * width


def _port(source: RecordedSource) -> Source:
    """That a `RecordedSource` is a `Source` is for the type checker to say."""
    return source
