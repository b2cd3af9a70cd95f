"""When Advanced Insights may be unreachable (dossier, section 3.4). Pure.

The vendor names local hours, one text says PST and another PT, so both readings are joined: every day 04:00 to 07:00
UTC and complete by 07:30, Sundays 11:00 to 15:00 and complete by 16:00. Joined windows are wider than either reading,
which costs nothing: inside one, data that comes is judged as ever; only what does not come is unknown instead of wrong.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from watcher.clock import DAY, HOUR


class Window(NamedTuple):
    """Maintenance in [start, end); what was missed is there again by `complete`."""

    start: float
    end: float
    complete: float


_DAILY = (4 * HOUR, 7 * HOUR, 7.5 * HOUR)
_SUNDAY = (11 * HOUR, 15 * HOUR, 16 * HOUR)
_THURSDAY = 3  # the weekday of 1970-01-01


def window_at(at: float) -> Window | None:
    """The window that `at` lies in, until it is complete; None where there is none."""
    day = math.floor(at / DAY)
    for which in (_DAILY, _SUNDAY) if (day + _THURSDAY) % 7 == 6 else (_DAILY,):
        window = Window(*(day * DAY + second for second in which))
        if window.start <= at < window.complete:
            return window
    return None


def pacific_day(stamp: str | None) -> int | None:
    """Project data's days are Pacific ones: the date that a day's beginning stands for, as 00:00 UTC of that date.

    "2020-02-01T08:00:00.000Z" (07:00 in summer) is the beginning of February 1st.
    """
    try:
        at = datetime.fromisoformat(stamp or "")
    except ValueError:
        return None
    at = (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC) - timedelta(hours=4)
    return int(datetime(at.year, at.month, at.day, tzinfo=UTC).timestamp())
