"""Hours of the week by the wall clock of a place: when a route speaks, and when maintenance is.

Hours are what the wall clock of their time zone shows, so daylight saving needs no rule of its own: 01:00–05:00 is an
hour shorter or longer on those two nights, and hours that lie in the one that is skipped do not occur. Computing a
start in UTC and adding a length was considered: on those nights it would end an hour off what the people who planned it
read on the wall.

Whole minutes only, so whoever waits for hours to end need look no more often than at each full minute.
"""

from __future__ import annotations

from dataclasses import dataclass

from watcher.clock import wall_time

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True, slots=True, kw_only=True)
class Weekly:
    """Minutes of the day `[start, end)` on `days` (0 is Monday) in `zone`.

    Where `end` is not after `start` they run past midnight, and `days` are those on which they begin.
    """

    days: frozenset[int] = frozenset(range(7))
    start: int = 0
    end: int = 1440
    zone: str = "UTC"

    def hold(self, at: float) -> bool:
        """Whether an instant lies in these hours."""
        day, minute = wall_time(at, self.zone)
        if self.start < self.end:
            return day in self.days and self.start <= minute < self.end
        yesterday = (day - 1) % 7
        return (day in self.days and minute >= self.start) or (yesterday in self.days and minute < self.end)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hours:
    """In one of `active` (none: always) and in none of `mute`."""

    active: tuple[Weekly, ...] = ()
    mute: tuple[Weekly, ...] = ()

    def hold(self, at: float) -> bool:
        """Whether an instant lies in these hours."""
        active = not self.active or any(weekly.hold(at) for weekly in self.active)
        return active and not any(weekly.hold(at) for weekly in self.mute)
