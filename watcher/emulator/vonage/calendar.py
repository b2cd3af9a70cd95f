"""The vendor's clock on the wall: Pacific days, and the maintenance windows that follow them.

The rule for daylight saving (second Sunday of March to first Sunday of November, in force since 2007) is written out:
a time zone database is not on every machine, and the emulator must give the same bytes everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Literal

from watcher.clock import DAY, HOUR
from watcher.emulator.vonage.world import Maintenance, Outage

_PST = -8 * HOUR
_SUNDAY = 6  # days since Monday


def pacific_offset(at: float, zone: Literal["PT", "PST"] = "PT") -> float:
    """Seconds to add to UTC: -7 h in summer, else -8 h; always -8 h for PST taken literally."""
    if zone == "PST":
        return _PST
    year = datetime.fromtimestamp(at, UTC).year
    begins = _sunday(year, 3, 2) + 2 * HOUR - _PST
    ends = _sunday(year, 11, 1) + 2 * HOUR - (_PST + HOUR)
    return _PST + HOUR if begins <= at < ends else _PST


def pacific_midnight(at: float) -> float:
    """The start of the Pacific day that `at` lies in, as Unix seconds."""
    local = at + pacific_offset(at)
    start = local // DAY * DAY
    guess = start - pacific_offset(at)
    return start - pacific_offset(guess)  # the night of the change: the offset that held at midnight


def next_midnight(midnight: float) -> float:
    """The Pacific midnight after one: 23, 24 or 25 hours on."""
    return pacific_midnight(midnight + DAY + 2 * HOUR)


def outages(maintenance: Maintenance, start: float, end: float) -> list[Outage]:
    """The maintenance windows that are not complete before `start` and begin before `end`, in order (dossier, 3.4)."""
    found = [o for o in maintenance.further if o.complete > start and o.start < end]
    if maintenance.zone != "none":
        found += [o for o in _regular(maintenance.zone, start, end) if o.complete > start and o.start < end]
    return sorted(found, key=lambda outage: outage.start)


def _regular(zone: Literal["PT", "PST"], start: float, end: float) -> Iterator[Outage]:
    day = (start - 2 * DAY) // DAY * DAY
    while day < end + DAY:
        offset = pacific_offset(day + DAY / 2, zone)
        yield Outage(start=day + 21 * HOUR - offset, end=day + 23 * HOUR - offset, complete=day + 23.5 * HOUR - offset)
        if int(day // DAY + 3) % 7 == _SUNDAY:
            yield Outage(start=day + 4 * HOUR - offset, end=day + 7 * HOUR - offset, complete=day + 8 * HOUR - offset)
        day += DAY


def _sunday(year: int, month: int, which: int) -> float:
    """00:00 UTC of the first, second … Sunday of a month."""
    first = datetime(year, month, 1, tzinfo=UTC)
    return first.timestamp() + ((_SUNDAY - first.weekday()) % 7 + 7 * (which - 1)) * DAY
