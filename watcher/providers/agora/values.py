"""Values inside Agora's rows: what counts as a number, a share, an id; and a name for everything that was odd.

Rows are the vendor's word and may be anything. What can be read for certain is kept, what cannot is dropped, and both
are counted by an `Oddity`, so that a change at the vendor's shows before someone trusts a thin chart. Numbers as text
are read (the vendor's own examples disagree about `uid`); times in milliseconds are not: sent in our requests they are
an error at the vendor's, and a factor of 1,000 guessed wrongly would file points under a wrong year.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from watcher.errors import ProviderError, Reason
from watcher.model import Floats, Ints

MILLISECONDS = 1e11  # seconds reach this in the year 5138
_MOST = 1e15  # larger numbers are no count of anything here
_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d{1,3})?\Z", re.ASCII)


class Oddity(StrEnum):
    """What was repaired or dropped in an answer: a closed set, so that it can be a metric label."""

    UNSORTED = "unsorted"  # rows not in order of time: sorted
    DUPLICATE = "duplicate"  # a slot given twice: the last one holds
    TEXT_NUMBER = "text_number"  # a number written as text: read
    NO_VALUE = "no_value"  # a row without its value, or null: no data
    NOT_A_ROW = "not_a_row"  # something else than an object: dropped, as all below
    NO_TIME = "no_time"  # no readable `ts`
    MILLISECONDS = "milliseconds"
    UNALIGNED = "unaligned"  # not on the 20 s grid
    OUTSIDE = "outside"  # a slot that was not asked for
    NOT_A_NUMBER = "not_a_number"
    IMPOSSIBLE = "impossible"  # a share outside 0-1, a negative count
    UNASKED = "unasked"  # a user or group that was not asked for
    TOO_MANY = "too_many"  # groups beyond the documented number
    NO_ID = "no_id"  # a call or session without a readable id
    UNKNOWN_MID = "unknown_mid"  # a metric id that is in no list
    REPEATED = "repeated"  # a call, session or stream given twice: the first one holds
    NO_ROWS = "no_rows"  # a success without the rows that it is about
    UNLISTED = "unlisted"  # calls beyond the pages that the user allows: older than those listed, maybe over
    CALL_GONE = "call_gone"  # a sampled call that the vendor no longer has
    UNREADABLE = "unreadable"  # an answer about a sampled call that is no JSON
    HALVED = "halved"  # an answer too large to read: the next asks for half as many users
    UNREAD = "unread"  # left out, because the budget was spent or the vendor had stopped answering
    LOSS_UNIT = "loss_unit"  # packet loss that is hardly, or not at all, in the unit that is configured
    OTHER_NAME = "other_name"  # the vendor knows a metric by its other spelling
    EMPTY_HOUR = "empty_hour"  # an hour in which every join is said to have failed, as of one without any: dropped
    OTHER_ZONE = "other_zone"  # a day that does not begin at midnight UTC: filed under its date


Tally = Counter[Oddity]


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """Values of one metric: `start[i]` is a window's start in Unix seconds, ascending and unique."""

    start: Ints
    value: Floats


def objects(rows: list[object], tally: Tally) -> Iterator[dict[str, object]]:
    """Those that are JSON objects."""
    for row in rows:
        if isinstance(row, dict):
            yield row
        else:
            tally[Oddity.NOT_A_ROW] += 1


def rows_of(data: object) -> list[object]:
    """A list of rows, empty where the vendor has nothing. Raises `ProviderError` for anything else."""
    if data is None:
        return []
    if not isinstance(data, list):
        raise ProviderError(Reason.MALFORMED, f"data is {type(data).__name__}, not a list of rows")
    return data


def instant(ts: object, tally: Tally) -> int | None:
    """Unix seconds, whole."""
    at = number(ts, tally)
    if at is None or not at.is_integer() or at < 0:
        tally[Oddity.NO_TIME] += 1
    elif at >= MILLISECONDS:
        tally[Oddity.MILLISECONDS] += 1
    else:
        return int(at)
    return None


def measured(raw: object, tally: Tally, *, most: float) -> float | None:
    """A value between 0 and `most`."""
    if raw is None:
        tally[Oddity.NO_VALUE] += 1
        return None
    value = number(raw, tally)
    if value is None:
        tally[Oddity.NOT_A_NUMBER] += 1
    elif not 0 <= value <= most:
        tally[Oddity.IMPOSSIBLE] += 1
    else:
        return value
    return None


def whole(raw: object, tally: Tally) -> int | None:
    """A whole number: ids go beyond 2^31, and may be text."""
    value = number(raw, tally)
    return int(value) if value is not None and value.is_integer() else None


def number(raw: object, tally: Tally) -> float | None:
    """A finite number of sensible size, or None. A bool is none, though Python says otherwise."""
    match raw:
        case bool():
            return None
        case int() | float():
            return float(raw) if abs(raw) < _MOST else None
        case str() if len(raw) <= 40 and _NUMBER.match(raw.strip()):
            value = float(raw)
            if abs(value) < _MOST:
                tally[Oddity.TEXT_NUMBER] += 1
                return value
    return None
