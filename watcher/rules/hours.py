"""When a rule is judged at all: weekly hours of the wall clock (`active`), and hours taken out of them (`mute`).

A window belongs to the hour in which it begins, by event time, so a reply that is read later is judged by the hours of
its windows and not of the reader (invariant 3). Outside its hours a rule's condition does not hold and its `clear`
does: nothing begins, and what fires ends, with that reason. Letting an alert fire on through the night unjudged was
considered: it would repeat itself to people who said that they do not care.

Hours are what the wall clock of their time zone shows, so daylight saving needs no rule of its own: 01:00 to 05:00 is
an hour shorter or longer on those two nights, and an hour that is skipped does not occur. The wall clock is worked out
once per quarter of an hour, since no zone changes its offset between two, and remembered for as many as a month has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from watcher.clock import DAY
from watcher.model import Ints

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
NEVER = -(2**62)  # an instant that is no time at all
_QUARTER = 900  # seconds
_MINUTES = 1440  # of a day
_THURSDAY = 3  # the first day of 1970, counted from Monday


@dataclass(frozen=True, slots=True, kw_only=True)
class Weekly:
    """Minutes of the day `[start, end)` on `days` (0 is Monday), by the wall clock of `zone`.

    Where `end` is not after `start` the hours run past midnight, and `days` are those on which they begin.
    """

    days: tuple[int, ...] = tuple(range(7))
    start: int = 0
    end: int = _MINUTES
    zone: str = "UTC"

    def hold(self, starts: Ints) -> npt.NDArray[np.bool_]:
        """For each window start, whether it lies in these hours."""
        wall = (starts + offsets(self.zone, starts)) // 60
        day, minute = (wall // _MINUTES + _THURSDAY) % 7, wall % _MINUTES
        today = np.isin(day, self.days)
        if self.start < self.end:
            return np.asarray(today & (minute >= self.start) & (minute < self.end))
        begun_yesterday = np.isin((day - 1) % 7, self.days)
        return np.asarray((today & (minute >= self.start)) | (begun_yesterday & (minute < self.end)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Hours:
    """In one of `active` (empty: always) and in none of `mute`."""

    active: tuple[Weekly, ...] = ()
    mute: tuple[Weekly, ...] = ()

    def hold(self, starts: Ints) -> npt.NDArray[np.bool_]:
        """For each window start, whether the rule is judged there."""
        return np.asarray(_any(self.active, starts, none=True) & ~_any(self.mute, starts, none=False))


def _any(hours: Sequence[Weekly], starts: Ints, *, none: bool) -> npt.NDArray[np.bool_]:
    if not hours:
        return np.full(len(starts), none)
    return np.asarray(np.logical_or.reduce([weekly.hold(starts) for weekly in hours]))


def offsets(zone: str, instants: Ints) -> Ints:
    """The seconds by which a wall clock in `zone` is ahead of UTC, at each of `instants`."""
    if zone == "UTC":
        return np.zeros(len(instants), dtype=np.int64)
    first, each = np.unique(instants // _QUARTER, return_inverse=True)
    return np.array([_offset(zone, quarter) for quarter in first.tolist()], dtype=np.int64).reshape(-1)[each]


def instants(zone: str, shown: Ints) -> Ints:
    """When a wall clock in `zone` showed that (seconds, as if it were UTC): at first, where it did so twice, and
    `NEVER` where it was put forward over it. No zone changes its offset twice within three days."""
    if zone == "UTC":
        return shown
    before, after = offsets(zone, shown - DAY), offsets(zone, shown + DAY)
    early, late = shown - before, shown - after
    later = np.where(offsets(zone, late) == after, late, NEVER)
    return np.where(offsets(zone, early) == before, early, later)


@lru_cache(maxsize=4096)
def _offset(zone: str, quarter: int) -> int:
    ahead = datetime.fromtimestamp(quarter * _QUARTER, ZoneInfo(zone)).utcoffset()
    return 0 if ahead is None else int(ahead.total_seconds())
