"""The faults that bend what is in an answer: rows that lie, lists in no order, words nobody has heard of.

Which things a share hits depends on the thing and the fault alone, so a session that is missing stays missing for as
long as the fault lasts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from watcher.emulator.breakage import mix
from watcher.emulator.dice import bits, stamp, unit
from watcher.emulator.faults import Fault

_SALTS = {"vanish": 0xA1, "partial": 0xA2, "null_values": 0xA3, "missing_fields": 0xA4}
_IDENTITY = ("createdAt",)


def struck(faults: Mapping[str, Fault], kind: str, key: int) -> bool:
    """Whether a fault with a share hits the thing of that key."""
    fault = faults.get(kind)
    return fault is not None and unit(key ^ _SALTS[kind]) < fault.share


def unknown(faults: Mapping[str, Fault], value: str | None) -> str | None:
    """A word of a closed set, or one that is not in it."""
    if value is None or "unknown_values" not in faults:
        return value
    return "UNHEARD_OF" if value.isupper() else "unheardOf"


def bend_rows(
    rows: list[dict[str, Any]],
    ranks: Sequence[int],
    faults: Mapping[str, Fault],
    stream: int,
    now: float,
    *,
    last: bool,
) -> tuple[list[dict[str, Any]], Sequence[int]]:
    """The rows of statistics as they go out, and the ranks that a client can make use of.

    A row without its time is of no use; one from the future (`future_rows`, on the last page) is nobody's.
    """
    if not faults:
        return rows, ranks
    kept = list(ranks)
    if (null := faults.get("null_values")) is not None:
        for rank, row in zip(ranks, rows, strict=True):
            if unit(stream ^ _SALTS["null_values"], rank) < null.share:
                row.update(dict.fromkeys(name for name in row if name not in _IDENTITY))
    if (missing := faults.get("missing_fields")) is not None:
        for rank, row in zip(ranks, rows, strict=True):
            chance = bits(stream ^ _SALTS["missing_fields"], rank)
            if unit(chance) < missing.share:
                gone = list(row)[chance % len(row)]
                del row[gone]
                if gone in _IDENTITY:
                    kept.remove(rank)
    if "unknown_values" in faults:
        for row in rows:
            row.update({name: "unheardOf" for name in ("audioCodec", "videoCodec", "videoResolution") if name in row})
    if (future := faults.get("future_rows")) is not None and last and rows:
        rows = [*rows, {**rows[-1], "createdAt": stamp(now + future.after)}]
    return mix(rows, faults), kept
