"""Rows of the real-time API as columns of values (dossier sections 3, 3.5). Pure.

What is not there is not zero: `data` null or empty, a missing slot, key or value are all no point at all (design,
invariant 4). What is odd is counted (`values`).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from watcher.errors import clip
from watcher.model import Span
from watcher.providers.agora.metrics import Metric
from watcher.providers.agora.slots import SLOT
from watcher.providers.agora.values import Column, Oddity, Tally, instant, measured, number, objects, rows_of, whole

MAX_GROUPS = 50  # what dimension/top20 returns at most (section 3.3)

K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class Group:
    """One group of a `dimension/top20` answer; `users` where they were asked for and given."""

    name: str
    value: float
    users: float | None


def flat(data: object, metric: Metric, asked: Span, tally: Tally) -> Column:
    """Rows `{"<metric>": value, "ts": slot}` of one series. Raises `ProviderError` where `data` is no list."""
    return _column(rows_of(data), metric, asked, tally)


def by_uid(data: object, metric: Metric, asked: Span, uids: Collection[int], tally: Tally) -> dict[int, Column]:
    """Rows `{"uid": n, "values": [row, …]}`: a column for each of `uids` that has any value."""
    rows: dict[int, list[object]] = {}
    for entry in objects(rows_of(data), tally):
        uid = whole(entry.get("uid"), tally)
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
    for row in objects(rows_of(data), tally):
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
    for row in objects(rows_of(data), tally):
        name = row.get(dimension)
        value = _value(row.get(metric.name), metric, tally)
        if not isinstance(name, str):
            tally[Oddity.NOT_A_ROW] += 1
        elif value is not None and len(groups) >= MAX_GROUPS:
            tally[Oddity.TOO_MANY] += 1
        elif value is not None:
            users = row.get("userCount")
            groups.append(Group(clip(name, 100), value, None if users is None else number(users, tally)))
    return tuple(sorted(groups, key=lambda g: (g.value if low_is_worse else -g.value, g.name)))


def _columns(rows: Mapping[K, list[object]], metric: Metric, asked: Span, tally: Tally) -> dict[K, Column]:
    columns = {key: _column(own, metric, asked, tally) for key, own in rows.items()}
    return {key: column for key, column in columns.items() if len(column.start)}


def _column(rows: list[object], metric: Metric, asked: Span, tally: Tally) -> Column:
    values: dict[int, float] = {}
    before: int | None = None
    unsorted = False
    for row in objects(rows, tally):
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
    at = instant(ts, tally)
    if at is None:
        return None
    if at % SLOT:
        tally[Oddity.UNALIGNED] += 1
    elif not asked.start <= at < asked.end:
        tally[Oddity.OUTSIDE] += 1
    else:
        return at
    return None


def _value(raw: object, metric: Metric, tally: Tally) -> float | None:
    return measured(raw, tally, most=1.0 if metric.ratio else math.inf)
