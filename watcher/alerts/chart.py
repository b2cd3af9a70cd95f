"""A signal around an incident: which points a picture of it shows, and how many users there were.

Plain decisions over recorded points; `picture` draws, the outbox reads the store. The points go into the record of the
message and not the picture, so that a message that is sent again after a crash shows the same, a hundred of them stay
small, and nothing is drawn for a message that is never sent.
"""

from __future__ import annotations

import numpy as np

from watcher.alerts.matching import PLACE
from watcher.alerts.message import Item
from watcher.model import SIGNALS, USERS, Chart, Points, Series, State, Transition, Worse

LONGEST = 86_400  # seconds shown; of a longer incident the end
LEAST_LEAD = 900  # seconds before the beginning
_MAX_POINTS = 240  # what is more is thinned, by the worst of neighbours


def series_of(entry: Transition) -> Series | None:
    """The series that an alert is about; None for the daemon's own."""
    if not entry.signal:
        return None
    labels = {name: entry.labels.get(name, "") for name in PLACE}
    return Series(**labels, signal=entry.signal)


def users_of(series: Series) -> Series:
    """Who was there."""
    return series.sibling(USERS)


def since(item: Item, now: float) -> int:
    """From where on its points are shown: some time of calm before the beginning."""
    begun = item.first.starts_at
    end = _end(item)
    lead = max(LEAST_LEAD, ((now if end is None else end) - begun) / 4)
    return int(max(begun - lead, now - LONGEST))


def chart_of(item: Item, points: Points) -> Chart | None:
    """What to draw; None where there is no line to see."""
    entry = item.last
    if len(points) < 2:
        return None
    info = SIGNALS.get(entry.signal)
    ends, values = points.start + points.width, points.value
    thin = -(-len(points) // _MAX_POINTS)
    shown: list[tuple[int, float]] = []
    for first in range(0, len(points), thin):
        part = values[first : first + thin]
        worst = int(np.argmin(part) if info is not None and info.worse is Worse.DOWN else np.argmax(part))
        shown.append((int(ends[first + worst]), float(part[worst])))
    return Chart(
        alert_id=entry.alert_id,
        signal=entry.signal,
        starts_at=item.first.starts_at,
        ended_at=_end(item),
        threshold=entry.threshold,
        width=points.width * thin,
        points=tuple(shown),
    )


def most_users(item: Item, users: Points | None, own: Points | None) -> float | None:
    """The most users of any window of an incident that is over; by the signal's own weights where nothing counts them.

    Windows end within the incident: the last of them is the one in which it ended.
    """
    end = _end(item)
    if end is None:
        return None
    for points, counts in ((users, None if users is None else users.value), (own, None if own is None else own.weight)):
        if points is not None and counts is not None:
            ends = points.start + points.width
            within = counts[(ends >= item.first.starts_at) & (ends <= end)]
            if len(within):
                return float(within.max())
    return None


def _end(item: Item) -> int | None:
    return None if item.last.state is State.FIRING else item.last.at
