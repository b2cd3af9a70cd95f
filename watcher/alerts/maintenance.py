"""Maintenance windows: times of the wall clock, or one span, in which matching alerts are not said.

A weekly window is what the wall clock of its time zone shows, so daylight saving needs no rule of its own: 01:00–05:00
is an hour shorter or longer on those two nights, and a window that lies in the hour that is skipped does not open.
Computing a start in UTC and adding a length was considered: on those nights it would end an hour off what the people
who planned it read on the wall.

Whole minutes only, so whoever waits for a window to end need look no more often than at each full minute.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from watcher.clock import wall_time
from watcher.model import Match

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True, slots=True, kw_only=True)
class Maintenance:
    """One window: `span` in Unix seconds, or minutes of the day `[start, end)` on `days` (0 is Monday) in `zone`.

    Where `end` is not after `start` it runs past midnight, and `days` are those on which it begins.
    """

    name: str
    match: Match = field(default_factory=dict)
    span: tuple[float, float] | None = None
    days: frozenset[int] = frozenset(range(7))
    start: int = 0
    end: int = 1440
    zone: str = "UTC"


def active(window: Maintenance, at: float) -> bool:
    """Whether the window is open at an instant."""
    if window.span is not None:
        return window.span[0] <= at < window.span[1]
    day, minute = wall_time(at, window.zone)
    if window.start < window.end:
        return day in window.days and window.start <= minute < window.end
    yesterday = (day - 1) % 7
    return (day in window.days and minute >= window.start) or (yesterday in window.days and minute < window.end)
