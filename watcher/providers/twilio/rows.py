"""Rows of the two lists as values: each field may be missing, null, of another kind, or a word nobody has heard of
(dossier sections 2, 2.1, 2.2).

Read field by field and not into structs: one odd field of one row must cost that field and no more, and the rows of a
look are hundreds, so there is no speed to win. Numbers in quotes are read and counted.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from sys import intern
from typing import NamedTuple

from watcher.clock import DAY
from watcher.errors import clip

Row = Mapping[str, object]


class Oddity(StrEnum):
    """What was repaired or dropped: a closed set, so that it can be a metric label."""

    MISTYPED = "mistyped"  # a value of another kind than documented: taken for none
    QUOTED = "quoted"  # a number in quotes: read all the same
    NO_SID = "no_sid"  # a row without a readable identity: dropped, as the next ones
    NO_TIME = "no_time"  # a time that cannot be read; somebody who left at no known time is not counted
    FUTURE = "future"  # somebody who leaves later than the vendor's own clock
    NOT_ASKED = "not_asked"  # a participant of another room
    OUTDATED = "outdated"  # somebody whose window is no longer kept: longer calls than `longest`
    IMPOSSIBLE = "impossible"  # a negative duration, or left before joining: taken for none
    DUPLICATE = "duplicate"  # a row twice in one list: the later one holds
    UNKNOWN_WORD = "unknown_word"  # a state that nobody has heard of
    UNKNOWN_ENDING = "unknown_ending"  # an `end_reason` or `error_code` likewise: named in the log
    CONFLICT = "conflict"  # the two contradict each other
    NO_META = "no_meta"  # a page without `meta`: taken for the last one
    NO_LIST = "no_list"  # a page without rows at all
    FOREIGN_LINK = "foreign_link"  # the next page is somewhere else: not followed
    LOOP = "loop"  # pages that go in a circle: stopped
    VANISHED = "vanished"  # a room that was listed and is not there
    FAILED_ROOM = "failed_room"  # a room whose participants could not be read this time
    GIVEN_UP = "given_up"  # a room that could not be read again and again
    UNSETTLED = "unsettled"  # a room that never became final, accepted as it was an hour after its end
    UNREAD = "unread"  # left for the next look, because the budget of this one was spent
    STOOD = "stood"  # a minute on record of which less was found after a restart, but not for certain: it stands
    OVERFLOW = "overflow"  # what a bound of ours cost


Tally = Counter[Oddity]

HIDING = (  # what may have cost a room or somebody in it
    Oddity.MISTYPED,
    Oddity.NO_SID,
    Oddity.NO_TIME,
    Oddity.NOT_ASKED,
    Oddity.NO_META,
    Oddity.OVERFLOW,
)

_HUGE = 10**12  # no count or duration is so long; JSON has no bound
_MAX_CLIENT = 40  # characters of a client's name: text of end users

ROOM = re.compile(r"RM[0-9a-f]{32}\Z")
PARTICIPANT = re.compile(r"PA[0-9a-f]{32}\Z")
_FINAL = ("complete", "timeout")  # timeout: the vendor gave up, so nothing more will come (INFERRED)
_OPEN = ("in_progress", "not_started", "")
_THERE = ("in_progress", "connected")
_GONE = ("completed", "disconnected")


@dataclass(frozen=True, slots=True)
class RoomRow:
    """`created` and `ended` in Unix seconds, None where the row does not say, as `running` where its state is none."""

    sid: str
    created: float | None
    ended: float | None
    final: bool
    name: str = ""
    running: bool | None = None


class Client(NamedTuple):
    """With what somebody came, and where their media went; empty where the row does not say."""

    sdk: str = ""
    browser: str = ""
    media_region: str = ""


@dataclass(frozen=True, slots=True)
class StayRow:
    """Somebody who left: when (Unix seconds), for how long they had been there, and what the row says of why."""

    sid: str
    left: float
    duration: float | None
    reason: str | None
    code: int | None
    client: Client


def room(row: Row, tally: Tally) -> RoomRow | None:
    """A room; None, counted, where it cannot be named."""
    sid = text(row, "room_sid", tally)
    if sid is None or not ROOM.match(sid):
        tally[Oddity.NO_SID] += 1
        return None
    state = word(row, "processing_state", tally)
    if state not in _FINAL + _OPEN:
        tally[Oddity.UNKNOWN_WORD] += 1
    created, ended = (instant(row, key, tally) for key in ("create_time", "end_time"))
    status = word(row, "room_status", tally)
    return RoomRow(
        sid=sid,
        created=created,
        ended=ended,
        final=state in _FINAL,
        name=clip(text(row, "room_name", tally) or "", 200),
        running={"in_progress": True, "completed": False}.get(status),
    )


def stay(row: Row, room: str, now: float, tally: Tally) -> StayRow | None:
    """Somebody who left that room by `now`; None for whoever is still there, and, counted, for what cannot be used."""
    sid = text(row, "participant_sid", tally)
    if sid is None or not PARTICIPANT.match(sid):
        tally[Oddity.NO_SID] += 1
        return None
    if (text(row, "room_sid", tally) or room) != room:
        tally[Oddity.NOT_ASKED] += 1
        return None
    status = word(row, "status", tally)
    if status in _THERE:
        return None
    if status not in _GONE:
        tally[Oddity.UNKNOWN_WORD] += 1
    left = instant(row, "leave_time", tally)
    if left is None:
        tally[Oddity.NO_TIME] += row.get("leave_time") is None and status in _GONE
        return None
    if left > now:
        tally[Oddity.FUTURE] += 1
        return None
    return StayRow(
        sid=sid,
        left=left,
        duration=_duration(row, left, tally),
        reason=text(row, "end_reason", tally),
        code=whole(row, "error_code", tally),
        client=client_of(row, tally),
    )


def client_of(row: Row, tally: Tally) -> Client:
    """As the row of a participant says it."""
    publisher = row.get("publisher_info")
    if not isinstance(publisher, dict):
        tally[Oddity.MISTYPED] += publisher is not None
        publisher = {}
    sdk, version, browser, major = (
        text(publisher, key, tally) for key in ("name", "sdk_version", "browser_name", "browser_major")
    )
    return Client(_joined(sdk, version), _joined(browser, major), _joined(text(row, "media_region", tally)))


def _joined(*parts: str | None) -> str:
    return intern(clip(" ".join(part for part in parts if part), _MAX_CLIENT))


def _duration(row: Row, left: float, tally: Tally) -> float | None:
    duration, joined = whole(row, "duration_sec", tally), instant(row, "join_time", tally)
    if (duration is not None and duration < 0) or (joined is not None and joined > left):
        tally[Oddity.IMPOSSIBLE] += 1
        return None
    return None if duration is None else float(duration)


def text(row: Row, key: str, tally: Tally) -> str | None:
    """A text of at most 200 characters; None where it is not there, or empty."""
    value = row.get(key)
    if value is None or isinstance(value, str):
        return value[:200] if value else None
    tally[Oddity.MISTYPED] += 1
    return None


def word(row: Row, key: str, tally: Tally) -> str:
    """A state in the enum's spelling; prose and older copies write hyphens."""
    return (text(row, key, tally) or "").lower().replace("-", "_")


def whole(row: Row, key: str, tally: Tally) -> int | None:
    """A whole number, in quotes or not."""
    value = row.get(key)
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,12}", value):
        tally[Oddity.QUOTED] += 1
        return int(value)
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and abs(value) < _HUGE):
        return value
    tally[Oddity.MISTYPED] += 1
    return None


def instant(row: Row, key: str, tally: Tally) -> float | None:
    """An ISO 8601 time with a zone, with or without fractions; anything else counts as unreadable."""
    value = row.get(key)
    if value is None:
        return None
    try:
        at = datetime.fromisoformat(value[:40]) if isinstance(value, str) else None
        seconds = at.timestamp() if at is not None and at.tzinfo is not None else math.nan
    except (ValueError, OverflowError):
        seconds = math.nan
    if not seconds > DAY:
        tally[Oddity.NO_TIME] += 1
        return None
    return seconds
