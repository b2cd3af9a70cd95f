"""The faults that bend rows: nulls, missing fields, words and numbers nobody has heard of, times that cannot be.

Which rows a share hits depends on the row and the fault alone, so a room that is deleted stays deleted for as long as
the fault lasts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from watcher.clock import DAY, rfc3339
from watcher.emulator.dice import bits, unit
from watcher.emulator.faults import Fault

_SALTS = {"vanish": 0xB1, "null_values": 0xB2, "missing_fields": 0xB3, "unknown_codes": 0xB4, "bad_times": 0xB5}
_IDENTITY = ("room_sid", "participant_sid")
_NEEDED = ("participant_sid", "leave_time")  # without these a participant's row is of no use to anybody
_WORDS = (
    "room_type", "room_status", "status", "created_method", "end_reason", "media_region", "edge_location",
    "processing_state",
)  # fmt: skip
_TEXTS = ("room_name", "participant_identity")
_MARKUP = '<script>alert(1)</script> @everyone <!channel> [x](http://evil.example.net) *b* `c` "'
_HOSTILE = _MARKUP + "\u202e\u0000\n" + "A" * 500
_UNKNOWN_CODE = 59_999


def struck(faults: Mapping[str, Fault], kind: str, key: int) -> bool:
    """Whether a fault with a share hits the thing of that key."""
    fault = faults.get(kind)
    return fault is not None and unit(key ^ _SALTS[kind]) < fault.share


def bent(faults: Mapping[str, Fault]) -> bool:
    """Whether any fault reaches into rows."""
    return any(kind in faults for kind in _BENDING)


def bend(record: dict[str, Any], key: int, faults: Mapping[str, Fault], now: float) -> tuple[dict[str, Any], bool]:
    """The row as it goes out, and whether a client can make use of it."""
    usable = True
    if "unknown_values" in faults:
        record |= {name: "unheard_of" for name in _WORDS if record.get(name) is not None}
        record["codecs"] = [*record["codecs"], "AV9"]
    if "error_code" in record and struck(faults, "unknown_codes", key):
        record["error_code"] = _UNKNOWN_CODE
    if "hostile_text" in faults:
        record |= {name: f"{record[name]}{_HOSTILE}" for name in _TEXTS if name in record}
    if struck(faults, "bad_times", key):
        record[_last_time(record)] = _impossible(key, now)
        usable = False
    if struck(faults, "null_values", key):
        record.update(dict.fromkeys(name for name in record if name not in _IDENTITY))
        usable = False
    if struck(faults, "missing_fields", key):
        gone = list(record)[bits(key ^ _SALTS["missing_fields"], 1) % len(record)]
        del record[gone]
        usable = usable and gone not in _NEEDED
    if "numbers_as_text" in faults:
        numbers = {name: value for name, value in record.items() if type(value) is int}
        record |= {name: str(value) for name, value in numbers.items()}
    if "extra_fields" in faults:
        record["unheard_of"] = {"version": 2, "items": [None]}
    return record, usable


_BENDING = (
    "unknown_values", "unknown_codes", "hostile_text", "bad_times", "null_values", "missing_fields", "numbers_as_text",
    "extra_fields",
)  # fmt: skip


def _last_time(record: Mapping[str, Any]) -> str:
    return "leave_time" if "leave_time" in record else "end_time"


def _impossible(key: int, now: float) -> str:
    """Before anything began, after everything, or no time at all."""
    return (rfc3339(0.0) or "", rfc3339(now + 400 * DAY) or "", "yesterday")[bits(key ^ _SALTS["bad_times"], 1) % 3]
