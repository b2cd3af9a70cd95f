"""The vendor's 23 error codes, and what each is answered with (dossier, section 4.3). Pure.

A code says what to do, not merely what went wrong: sign anew, wait, ask for less, split the list of sessions, or stop
and tell the operator. 1014 is the misleading one: it says that the add-on is missing, and a query of too many nodes
gets the same words, so it is answered with a probe of one session (section 4.2). Both shapes of errors are read on
every HTTP status, and anything that is no JSON is a gateway's word: a redirect or a page is a fault of address or
credentials, never data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from watcher.errors import ProviderError, Reason, clip
from watcher.providers.http import Reply

Scrub = Callable[[str], str]


class Action(StrEnum):
    """What a code is answered with."""

    STOP = "stop"  # nobody but the operator can help
    SIGN = "sign"  # a new token, once
    WAIT = "wait"  # the vendor is in trouble
    CLAMP = "clamp"  # a date outside of what is kept: move it, once
    PAGE = "page"  # a parameter is refused: page by the vendor's own cursors, once
    SMALLER = "smaller"  # the query may be too big: probe, then halve
    SPLIT = "split"  # an id among several is unknown: bisect
    BUG = "bug"  # our query is wrong: no repetition helps


class Meaning(NamedTuple):
    """An error code: what to do, under which reason it is counted, and in our words."""

    action: Action
    reason: Reason
    words: str


CODES: Mapping[int, Meaning] = MappingProxyType(
    {
        1000: Meaning(Action.STOP, Reason.AUTH, "the API key or application id is not valid"),
        1001: Meaning(Action.SIGN, Reason.AUTH, "not authenticated"),
        1002: Meaning(Action.CLAMP, Reason.TOO_OLD, "the dates are outside of what is kept"),
        1003: Meaning(Action.BUG, Reason.REQUEST, "more than one interval"),
        1004: Meaning(Action.BUG, Reason.REQUEST, "a parameter is refused"),
        1005: Meaning(Action.PAGE, Reason.REQUEST, "a parameter's value is refused"),
        1006: Meaning(Action.BUG, Reason.REQUEST, "an integer is expected"),
        1007: Meaning(Action.BUG, Reason.REQUEST, "an SDK version is not of the form 0.0.0"),
        1008: Meaning(Action.STOP, Reason.AUTH, "the project id is not valid"),
        1009: Meaning(Action.BUG, Reason.REQUEST, "parameters are refused"),
        1010: Meaning(Action.BUG, Reason.REQUEST, "a parameter takes one value only"),
        1011: Meaning(Action.SIGN, Reason.AUTH, "the token is not valid: is the clock right?"),
        1012: Meaning(Action.WAIT, Reason.SERVER, "internal error"),
        1013: Meaning(Action.BUG, Reason.REQUEST, "a required parameter is missing"),
        1014: Meaning(Action.SMALLER, Reason.PLAN, "the Advanced Insights add-on is missing"),
        1015: Meaning(Action.STOP, Reason.AUTH, "the project is not known"),
        1016: Meaning(Action.SIGN, Reason.AUTH, "the login has expired"),
        1017: Meaning(Action.SPLIT, Reason.REQUEST, "a session is not known"),
        1018: Meaning(Action.BUG, Reason.REQUEST, "no session ids"),
        1019: Meaning(Action.STOP, Reason.AUTH, "the token belongs to another key or application"),
        1020: Meaning(Action.SIGN, Reason.AUTH, "the token could not be validated"),
        1021: Meaning(Action.STOP, Reason.AUTH, "this key may not read the project"),
        1022: Meaning(Action.BUG, Reason.REQUEST, "a type error"),
    }
)
"""Every code that the vendor lists."""

UNKNOWN = Meaning(Action.WAIT, Reason.OTHER, "an error without a known code")


@dataclass(frozen=True, slots=True)
class Refused:
    """The vendor's refusal of a whole query. `code` is None where it gave none."""

    code: int | None
    meaning: Meaning
    detail: str

    def error(self, date: float | None = None) -> ProviderError:
        """As the rest of the program wants it."""
        code = "" if self.code is None else f"{self.code}, "
        text = f"{code}{self.meaning.words}"
        return ProviderError(self.meaning.reason, f"{text} ({self.detail})" if self.detail else text, vendor_time=date)


class _Error(msgspec.Struct):
    """One error, in either shape; whatever else it holds."""

    errorCode: int | str | None = None  # noqa: N815 - the vendor's name
    message: object = None
    path: object = None


def refused(errors: Sequence[object], scrub: Scrub) -> Refused:
    """What a list of errors says: the first with a known code, else the first."""
    read = [e for e in map(_read, errors[:20]) if e is not None] or [_Error()]
    found = next((e for e in read if _code(e) in CODES), read[0])
    code = _code(found)
    words = clip(scrub(found.message), 160) if isinstance(found.message, str) else ""
    return Refused(code, CODES.get(code, UNKNOWN) if code is not None else _uncoded(words), words)


def of_gateway(body: bytes, scrub: Scrub) -> Refused | None:
    """The refusal in a body of any status; None where it holds none that can be read."""
    try:
        found = msgspec.json.decode(body[:65_536])
    except (msgspec.DecodeError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    if isinstance(error := found.get("error"), dict):
        return refused([error], scrub)
    if isinstance(errors := found.get("errors"), list) and errors:
        return refused(errors, scrub)
    return None


def throttled(reply: Reply, detail: str) -> ProviderError:
    """What is taken for a full quota: 429, and what gateways say without a word of the API's (section 4.2)."""
    return ProviderError(Reason.RATE, detail, retry_after=reply.retry_after, vendor_time=reply.date)


def _uncoded(words: str) -> Meaning:
    """Errors of syntax and validation are GraphQL's own and may come without a code."""
    if "add-on" in words:
        return CODES[1014]
    return UNKNOWN


def _read(error: object) -> _Error | None:
    try:
        if isinstance(error, msgspec.Raw):
            error = msgspec.json.decode(error)
        return msgspec.convert(error, _Error, strict=False)
    except (msgspec.DecodeError, RecursionError):
        return None


def _code(error: _Error) -> int | None:
    code = error.errorCode
    if isinstance(code, str):
        return int(code) if code.isascii() and code.isdigit() and len(code) < 6 else None
    return code
