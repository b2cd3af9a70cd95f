"""Reading a request: path, parameters, page tokens (dossier, sections 1 and 3).

Undocumented and chosen here (INFERRED): a parameter that is unknown, given twice where it is no list, or out of range
is 400 with 20001; a page token that the API did not issue likewise; `Page` alone decides nothing.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import parse_qsl, quote, urlencode

import msgspec

from watcher.emulator.twilio.rooms import Wanted
from watcher.emulator.twilio.world import CODECS, ROOM_TYPES

ROOMS_PATH = "/v1/Video/Rooms"
DEFAULT_SIZE, LARGEST_SIZE = 50, 1000

_FILTERS = ("RoomType", "Codec", "RoomName", "CreatedAfter", "CreatedBefore")
_PAGING = ("PageSize", "Page", "PageToken")
_LISTS: Mapping[str, tuple[str, ...]] = {"RoomType": ROOM_TYPES, "Codec": CODECS}
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)\Z")
_NUMBER = re.compile(r"[0-9]{1,9}\Z")
_MOST_OFFSET = 10_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Bad:
    """Why a request cannot be answered: a sentence for code 20001."""

    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """Which page of a list is asked for; `filters` as given, for the links to other pages."""

    wanted: Wanted
    filters: tuple[tuple[str, str], ...]
    size: int
    page: int
    offset: int
    token: str


class _Place(msgspec.Struct, forbid_unknown_fields=True):
    pageOffset: int  # noqa: N815 - as on the wire


def sheet(query: bytes, *, filters: bool) -> Sheet | Bad:
    """The parameters of a list. `filters`: whether it has any but the paging ones."""
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=100)
    except (UnicodeDecodeError, ValueError):
        return Bad(words="The query string is malformed")
    known = (*_FILTERS, *_PAGING) if filters else _PAGING
    given: dict[str, list[str]] = {}
    for name, value in pairs:
        if name not in known:
            return Bad(words=f"Unknown parameter {name}")
        given.setdefault(name, []).append(value)
    for name, values in given.items():
        if name not in _LISTS and len(values) > 1:
            return Bad(words=f"Parameter {name} is given twice")
    wanted = _wanted(given)
    if isinstance(wanted, Bad):
        return wanted
    size = _number(given, "PageSize", DEFAULT_SIZE)
    page = _number(given, "Page", 0)
    offset = _offset(given.get("PageToken", [""])[0])
    if size is None or not 1 <= size <= LARGEST_SIZE:
        return Bad(words=f"PageSize must be from 1 to {LARGEST_SIZE}")
    if page is None:
        return Bad(words="Page must be a number")
    if offset is None:
        return Bad(words="PageToken is invalid")
    kept = tuple((name, value) for name, value in pairs if name in _FILTERS)
    token = given.get("PageToken", [""])[0]
    return Sheet(wanted=wanted, filters=kept, size=size, page=page, offset=offset, token=token)


def _wanted(given: Mapping[str, Sequence[str]]) -> Wanted | Bad:
    for name, words in _LISTS.items():
        for value in given.get(name, ()):
            if value not in words:
                return Bad(words=f"{name} must be one of {', '.join(words)}")
    times: dict[str, float | None] = {}
    for name in ("CreatedAfter", "CreatedBefore"):
        times[name] = None
        if name in given and (at := _time(given[name][0])) is None:
            return Bad(words=f"{name} must be an ISO 8601 date-time")
        if name in given:
            times[name] = at
    return Wanted(
        types=tuple(given.get("RoomType", ())),
        codecs=tuple(given.get("Codec", ())),
        name=given.get("RoomName", [""])[0],
        after=times["CreatedAfter"],
        before=times["CreatedBefore"],
    )


def _time(text: str) -> float | None:
    if not _TIME.match(text):
        return None
    try:
        return datetime.fromisoformat(text.upper()).timestamp()
    except (ValueError, OverflowError):  # the thirtieth of February; the year 0
        return None


def _number(given: Mapping[str, Sequence[str]], name: str, default: int) -> int | None:
    text = given.get(name, [str(default)])[0]
    return int(text) if _NUMBER.match(text) else None


# ── page tokens ──────────────────────────────────────────────────────────────────────────────────────────────────────


def token(offset: int) -> str:
    """The vendor's form: `PT` and the base64 of a JSON object (dossier, section 3; the offset counts rows)."""
    return "PT" + base64.b64encode(msgspec.json.encode({"pageOffset": offset})).decode()


def _offset(text: str) -> int | None:
    if not text:
        return 0
    if not text.startswith("PT"):
        return None
    try:
        place = msgspec.json.decode(base64.b64decode(text[2:], validate=True), type=_Place)
    except (binascii.Error, msgspec.DecodeError, ValueError):
        return None
    return place.pageOffset if 0 <= place.pageOffset <= _MOST_OFFSET else None


def link(url: str, asked: Sheet, *, page: int, offset: int | None) -> str:
    """A page's address: the filters first, then size, token and number; no token on the first."""
    pairs = [*asked.filters, ("PageSize", str(asked.size))]
    if offset is not None:
        pairs.append(("PageToken", token(offset)))
    pairs.append(("Page", str(page)))
    return f"{url}?{urlencode(pairs, quote_via=quote, safe='=')}"
