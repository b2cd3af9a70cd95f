"""An answer before it is sent: what a family found, and how the faults that know no family bend it into a body."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec
import numpy as np

from watcher.emulator.chance import draws, key_of
from watcher.emulator.faults import Fault
from watcher.model import Floats, Ints, Span

Row = TypeVar("Row")

_BENDING = ("holes", "zero_values", "null_values")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A good answer. `data` goes under `key`, after `head`; `nothing` is what that looks like without rows.

    `query` and `slots` are for the count of what was handed out: which query got which slots. None: not counted.
    """

    message: str | None
    data: object
    nothing: object = field(default_factory=list)
    head: Mapping[str, object] = field(default_factory=dict)
    key: str = "data"
    code: int = 200
    query: tuple[str, ...] | None = None
    slots: Sequence[Span] = ()


def body(found: Found, faults: Mapping[str, Fault]) -> tuple[bytes, bool]:
    """The JSON of an answer, and whether it still tells what was found."""
    data = found.data
    if "data_null" in faults:
        data = None
    elif "data_empty" in faults:
        data = found.nothing
    message = found.message
    if (other := faults.get("message")) is not None:
        message = other.text
    code = 0 if "code_zero" in faults else found.code
    raw = msgspec.json.encode({"code": code, "message": message, **found.head, found.key: data})
    return raw, data is found.data


def mix_rows(rows: Sequence[Row], faults: Mapping[str, Fault]) -> list[Row]:
    """Rows in an order that has nothing to do with time, or the first of them twice, where the faults say so."""
    mixed = list(rows)
    if "shuffled" in faults:
        mixed = shuffled(mixed)
    if "duplicates" in faults:
        mixed += mixed[:1]
    return mixed


def shuffled(rows: Sequence[Row]) -> list[Row]:
    """The rows in an order that means nothing, always the same."""
    order = np.argsort(draws(key_of(0, "shuffle"), np.arange(len(rows), dtype=np.int64)))
    return [rows[i] for i in order.tolist()]


def holed(instants: Ints, values: Floats, faults: Mapping[str, Fault], *key: str) -> list[tuple[int, Any]]:
    """Numbers at instants after `holes`, `zero_values` and `null_values`; whole ones as JSON integers.

    Which are hit depends on instant and key alone, so that a hole stays one.
    """
    pairs = list(zip(instants.tolist(), _numbers(values), strict=True))
    if faults.keys().isdisjoint(_BENDING):
        return pairs
    hit = {
        kind: (draws(key_of(0, kind, *key), instants) < faults[kind].share).tolist()
        for kind in _BENDING
        if kind in faults
    }
    never = [False] * len(pairs)
    holes, zeros, nulls = (hit.get(kind, never) for kind in _BENDING)
    return [
        (at, None if null else 0 if zero else value)
        for (at, value), hole, zero, null in zip(pairs, holes, zeros, nulls, strict=True)
        if not hole
    ]


def _numbers(values: Floats) -> list[Any]:
    """`number` of many."""
    if (values == np.floor(values)).all():
        whole: list[Any] = values.astype(np.int64).tolist()
        return whole
    return [number(value) for value in values.tolist()]


def number(value: float) -> int | float:
    """A whole number as a JSON integer, any other with its digits."""
    return int(value) if float(value).is_integer() else value
