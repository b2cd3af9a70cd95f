"""The points behind the page's charts, read once for all readers, and again only for series that were looked at.

A chart ends with the minute up to which its account is known, not at the reader's "now": until its next look nothing
about it changes, so it is the same value and neither read nor drawn nor sent again. What the engine keeps in memory
reaches back an hour at most and less of what is decided, so the points come from the record; one walk of a series costs
a tenth of a millisecond, in a thread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from watcher.alerts.chart import series_of
from watcher.app.material import Turn
from watcher.clock import MINUTE
from watcher.errors import StoreError
from watcher.model import Points, Series, State, StoreReader, Transition, fold
from watcher.web.views import SHOWN_OF_ALERT, Curve, Stay

Levels = Callable[[Series], tuple[float | None, float | None]]


class Curves:
    """What was read, by series; only that of the last board is kept."""

    def __init__(self) -> None:
        self._known: dict[Series, tuple[tuple[object, ...], Curve | None]] = {}

    def of_signals(
        self, series: Sequence[Series], levels: Levels, turns: Mapping[str, Turn], reader: StoreReader | None
    ) -> list[Curve | None]:
        """The last hour of each."""
        before, self._known = self._known, {}
        found: list[Curve | None] = []
        for one in series:
            turn = turns.get(one.account)
            end, (threshold, clear) = _end(turn), levels(one)
            state = (end, turn.covered.get(one) if turn else None, threshold, clear)
            known = before.get(one)
            if known is None or known[0] != state:
                curve = read(reader, one, end - SHOWN_OF_ALERT, end)
                known = state, None if curve is None else replace(curve, threshold=threshold, clear=clear)
            self._known[one] = known
            found.append(known[1])
        return found

    def of_alerts(
        self,
        alerts: Sequence[Transition],
        clears: Mapping[str, float | None],
        turns: Mapping[str, Turn],
        now: float,
        reader: StoreReader | None,
    ) -> dict[str, Curve]:
        """By the alert's id, for those that are about one series. Call after `of_signals`, which has read most."""
        found: dict[str, Curve] = {}
        for entry in alerts:
            series, turn = series_of(entry), turns.get(entry.labels.get("account", ""))
            if series is None or turn is None:
                continue
            end, known = _end(turn), self._known.get(series)
            curve = known[1] if known is not None else read(reader, series, end - SHOWN_OF_ALERT, end)
            if curve is not None:
                found[entry.alert_id] = dressed(curve, entry, clears.get(entry.rule), _log(reader, entry, now))
        return found


def _end(turn: Turn | None) -> int:
    return 0 if turn is None else -(-turn.known_until // MINUTE) * MINUTE


def read(reader: StoreReader | None, series: Series, start: int, end: int) -> Curve | None:
    """A series between two event times; None where nothing is recorded or can be read."""
    try:
        points = None if reader is None else reader.points(series, start)
    except StoreError:
        return None
    return None if points is None else curve_of(points, start, end)


def curve_of(points: Points, start: int, end: int) -> Curve | None:
    """Points whose windows end in (start, end]."""
    ends = points.start + points.width
    inside = (ends > start) & (ends <= end)
    if not inside.any():
        return None
    return Curve(
        signal=points.series.signal,
        start=start,
        end=end,
        width=points.width,
        ends=np.asarray(ends[inside]),
        values=np.asarray(points.value[inside]),
    )


def dressed(curve: Curve, entry: Transition, clear: float | None, log: Sequence[Transition]) -> Curve:
    """A curve with an alert's lines and stays."""
    return replace(curve, threshold=entry.threshold, clear=clear, stays=stays(log, entry, curve.start))


def stays(log: Sequence[Transition], entry: Transition, since: int) -> tuple[Stay, ...]:
    """When the alert was pending and firing after `since`, as far as `log` tells; `entry` is its last change.

    The log may begin in the middle: what was before its first entry is not known, but for how the last episode began.
    """
    timeline = fold([*log, *(() if log and log[-1].seq == entry.seq else (entry,))])
    if len(timeline) == 1 and entry.state is State.FIRING and entry.starts_at < entry.at:
        timeline.insert(0, (entry.starts_at, State.PENDING))
    ends: list[int | None] = [at for at, _ in timeline[1:]]
    return tuple(
        Stay(firing=state is State.FIRING, start=at, end=end)
        for (at, state), end in zip(timeline, [*ends, None], strict=True)
        if state in (State.PENDING, State.FIRING) and (end is None or end > since)
    )


def _log(reader: StoreReader | None, entry: Transition, now: float) -> Sequence[Transition]:
    try:
        return [] if reader is None else reader.transitions(alert=entry.alert_id, since=now - 2 * SHOWN_OF_ALERT)
    except StoreError:
        return []
