"""Bodies of the real-time API: refusals, and rows as columns of values (dossier sections 3, 3.5, 7). Pure.

Two readings decide everything here. A refusal usually arrives as HTTP 200 with `code: 300`, so a 200 proves nothing
until the body's code was read; a gateway's body has no code, so the HTTP status is read before its absence may mean
success; `message` is read for refusals only, since success says "success", "null", null or nothing. And what is not
there is not zero: `data` null or empty, a missing slot, key or value are all no point at all (design, invariant 4).

Rows are the vendor's word and may be anything. What can be read for certain is kept, what cannot is dropped, and both
are counted by an `Oddity`, so that a change at the vendor's shows before someone trusts a thin chart. Numbers as text
are read (the vendor's own examples disagree about `uid`); times in milliseconds are not: sent in our requests they are
an error at the vendor's, and a factor of 1,000 guessed wrongly would file points under a wrong year.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

import numpy as np

from watcher.errors import ProviderError, Reason, clip
from watcher.model import Floats, Ints, Span
from watcher.providers.agora.queries import Metric
from watcher.providers.agora.slots import SLOT
from watcher.providers.http import Reply, decode, status_error

MAX_GROUPS = 50  # what dimension/top20 returns at most (section 3.3)

_REFUSALS = (
    ("qpd limit", Reason.DAY_QUOTA),
    ("qpm limit", Reason.RATE),
    ("qps limit", Reason.RATE),
    ("rate limit", Reason.RATE),
    ("latency limit", Reason.TOO_FRESH),
    ("time range limit", Reason.TOO_OLD),
    ("duration limit", Reason.TOO_LONG),
    ("time length limit", Reason.TOO_LONG),
    ("no auth", Reason.PLAN),
)
"""What a refusal's message contains, in lower case (section 7). Matched within, since a prefix was seen in the wild."""

_UNREADABLE = -1
_CODES = {
    400: Reason.REQUEST,
    401: Reason.AUTH,
    403: Reason.AUTH,
    404: Reason.REQUEST,
    429: Reason.RATE,
    _UNREADABLE: Reason.MALFORMED,
}
_MILLISECONDS = 1e11  # seconds reach this in the year 5138
_MOST = 1e15  # larger numbers are no count of anything here
_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d{1,3})?\Z", re.ASCII)

Scrub = Callable[[str], str]
K = TypeVar("K")


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


Tally = Counter[Oddity]


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """Values of one metric: `start[i]` is a slot's start in Unix seconds, ascending and unique."""

    start: Ints
    value: Floats


@dataclass(frozen=True, slots=True)
class Group:
    """One group of a `dimension/top20` answer; `users` where they were asked for and given."""

    name: str
    value: float
    users: float | None


# ── refusals ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def contents(reply: Reply, scrub: Scrub) -> object:
    """The `data` of a reply that is a success, None where the vendor has nothing.

    Raises `ProviderError` for everything else. `scrub` takes secrets out of vendor text that is shown.
    """
    if reply.status != 200:
        raise _gateway_refusal(reply, scrub)
    body = decode(reply)
    if not isinstance(body, dict):
        raise ProviderError(Reason.MALFORMED, "the answer is no JSON object", vendor_time=reply.date)
    code = _code(body)
    if code == 200 or (code in (0, None) and "data" in body):
        return body.get("data")
    if code in (0, None):
        raise ProviderError(Reason.MALFORMED, "the answer has neither code nor data", vendor_time=reply.date)
    message = _message(body)
    reason = _refusal(message)
    if reason is None:
        reason = Reason.SERVER if 500 <= code < 600 else _CODES.get(code, Reason.OTHER)
    raise ProviderError(reason, f"code {code}: {scrub(message)}", vendor_time=reply.date)


def _gateway_refusal(reply: Reply, scrub: Scrub) -> ProviderError:
    message = ""
    try:
        body = decode(reply)
    except ProviderError:
        body = None  # HTML, mostly: the status says enough
    if isinstance(body, dict):
        message = _message(body)
    error = status_error(reply, scrub(message))
    if error is None:
        return ProviderError(Reason.MALFORMED, f"HTTP {reply.status} with no answer", vendor_time=reply.date)
    if 400 <= reply.status < 500 and (reason := _refusal(message)) is not None:
        return ProviderError(reason, error.detail, retry_after=error.retry_after, vendor_time=reply.date)
    return error


def _code(body: Mapping[str, object]) -> int | None:
    """The body's code, None where it has none. One that is no number is a code nevertheless, and not success."""
    code = body.get("code")
    if code is None:
        return None
    number = _number(code, Tally())
    return int(number) if number is not None and number.is_integer() else _UNREADABLE


def _message(body: Mapping[str, object]) -> str:
    message = body.get("message")
    return clip(message, 160) if isinstance(message, str) else ""


def _refusal(message: str) -> Reason | None:
    lower = message.lower()
    return next((reason for words, reason in _REFUSALS if words in lower), None)


# ── rows ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def flat(data: object, metric: Metric, asked: Span, tally: Tally) -> Column:
    """Rows `{"<metric>": value, "ts": slot}` of one series. Raises `ProviderError` where `data` is no list."""
    return _column(_rows(data), metric, asked, tally)


def by_uid(data: object, metric: Metric, asked: Span, uids: Collection[int], tally: Tally) -> dict[int, Column]:
    """Rows `{"uid": n, "values": [row, …]}`: a column for each of `uids` that has any value."""
    rows: dict[int, list[object]] = {}
    for entry in _objects(_rows(data), tally):
        uid = _whole(entry.get("uid"), tally)
        values = entry.get("values")
        if uid is None or uid not in uids:
            tally[Oddity.UNASKED] += 1
        elif values is None:
            tally[Oddity.NO_VALUE] += 1
        elif not isinstance(values, list):
            tally[Oddity.NOT_A_ROW] += 1
        else:
            rows.setdefault(uid, []).extend(values)
    return _columns(rows, metric, asked, tally)


def by_group(
    data: object, metric: Metric, dimension: str, asked: Span, names: Collection[str], tally: Tally
) -> dict[str, Column]:
    """Rows `{"<metric>": value, "<dimension>": name, "ts": slot}`: a column for each of `names` that has any value."""
    rows: dict[str, list[object]] = {}
    for row in _objects(_rows(data), tally):
        name = row.get(dimension)
        if isinstance(name, str) and name in names:
            rows.setdefault(name, []).append(row)
        else:
            tally[Oddity.UNASKED] += 1
    return _columns(rows, metric, asked, tally)


def top(data: object, metric: Metric, dimension: str, low_is_worse: bool, tally: Tally) -> tuple[Group, ...]:
    """The groups of a `dimension/top20` answer, worst first.

    The vendor's order is not documented for every metric, so it is not relied on. `data.list` is what the examples
    show; a bare array, which the schema promises, is read too (section 3.3).
    """
    if isinstance(data, dict):
        data = data.get("list")
    groups: list[Group] = []
    for row in _objects(_rows(data), tally):
        name = row.get(dimension)
        value = _value(row.get(metric.name), metric, tally)
        if not isinstance(name, str):
            tally[Oddity.NOT_A_ROW] += 1
        elif value is not None and len(groups) >= MAX_GROUPS:
            tally[Oddity.TOO_MANY] += 1
        elif value is not None:
            users = row.get("userCount")
            groups.append(Group(clip(name, 100), value, None if users is None else _number(users, tally)))
    return tuple(sorted(groups, key=lambda g: (g.value if low_is_worse else -g.value, g.name)))


def _rows(data: object) -> list[object]:
    if data is None:
        return []
    if not isinstance(data, list):
        raise ProviderError(Reason.MALFORMED, f"data is {type(data).__name__}, not a list of rows")
    return data


def _objects(rows: list[object], tally: Tally) -> Iterator[dict[str, object]]:
    for row in rows:
        if isinstance(row, dict):
            yield row
        else:
            tally[Oddity.NOT_A_ROW] += 1


def _columns(rows: Mapping[K, list[object]], metric: Metric, asked: Span, tally: Tally) -> dict[K, Column]:
    columns = {key: _column(own, metric, asked, tally) for key, own in rows.items()}
    return {key: column for key, column in columns.items() if len(column.start)}


def _column(rows: list[object], metric: Metric, asked: Span, tally: Tally) -> Column:
    values: dict[int, float] = {}
    before: int | None = None
    unsorted = False
    for row in _objects(rows, tally):
        slot = _slot(row.get("ts"), asked, tally)
        if slot is None:
            continue
        unsorted |= before is not None and slot < before
        before = slot
        value = _value(row.get(metric.name), metric, tally)
        if value is None:
            continue
        if slot in values:
            tally[Oddity.DUPLICATE] += 1
        values[slot] = value
    if unsorted:
        tally[Oddity.UNSORTED] += 1
    slots = sorted(values)
    return Column(np.array(slots, np.int64), np.array([values[slot] for slot in slots], np.float64))


def _slot(ts: object, asked: Span, tally: Tally) -> int | None:
    at = _number(ts, tally)
    if at is None or not at.is_integer():
        tally[Oddity.NO_TIME] += 1
    elif at >= _MILLISECONDS:
        tally[Oddity.MILLISECONDS] += 1
    elif at % SLOT:
        tally[Oddity.UNALIGNED] += 1
    elif not asked.start <= at < asked.end:
        tally[Oddity.OUTSIDE] += 1
    else:
        return int(at)
    return None


def _value(raw: object, metric: Metric, tally: Tally) -> float | None:
    if raw is None:
        tally[Oddity.NO_VALUE] += 1
        return None
    value = _number(raw, tally)
    if value is None:
        tally[Oddity.NOT_A_NUMBER] += 1
    elif value < 0 or (metric.ratio and value > 1):
        tally[Oddity.IMPOSSIBLE] += 1
    else:
        return value
    return None


def _whole(raw: object, tally: Tally) -> int | None:
    number = _number(raw, tally)
    return int(number) if number is not None and number.is_integer() else None


def _number(raw: object, tally: Tally) -> float | None:
    """A finite number of sensible size, or None. A bool is none, though Python says otherwise."""
    match raw:
        case bool():
            return None
        case int() | float():
            return float(raw) if abs(raw) < _MOST else None
        case str() if len(raw) <= 40 and _NUMBER.match(raw.strip()):
            number = float(raw)
            if abs(number) < _MOST:
                tally[Oddity.TEXT_NUMBER] += 1
                return number
    return None
