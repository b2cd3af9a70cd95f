"""What all families' requests have in common: endpoints, refusals, and how parameters are read.

The order is the dossier's (section 11.2): a missing parameter first, in the documented order of the endpoint's table;
then values that cannot be read. Missing and empty are the same to the vendor ("can not be null"). The vendor's words
for an unreadable value are not known; the emulator says "is invalid" with code 400 (INFERRED). Timestamps in
milliseconds earn code 500, as in a real ticket (section 2).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple
from urllib.parse import parse_qsl

_MAX_PARAMETERS = 64
_MILLISECONDS = 100_000_000_000  # no time in seconds before the year 5138 looks like this
_NUMBER = re.compile(r"[0-9]{1,19}\Z")


class Endpoint(NamedTuple):
    """One call of the API. `group` names its limits (`world.PLANS`); `top` is of the real-time family only."""

    name: str
    path: str
    group: str
    metrics: tuple[str, ...] = ()
    top: bool = False
    method: str = "GET"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A business error in a body: the HTTP status is 200 (INFERRED for 400 and 500)."""

    code: Literal[300, 400, 500]
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A readable request, as far as the gate wants to know. `start` and `end` are as given, in Unix seconds."""

    endpoint: Endpoint
    app_id: str
    start: int
    end: int


def parameters(query: bytes) -> dict[str, str]:
    """The query string as names and values, the first of each; empty where it cannot be read at all."""
    try:
        pairs = parse_qsl(
            query.decode("ascii"), keep_blank_values=True, max_num_fields=_MAX_PARAMETERS, errors="strict"
        )
    except ValueError:  # too many fields, or bytes that are no text
        return {}
    return dict(reversed(pairs))


def missing(given: Mapping[str, str], required: Sequence[str]) -> Refusal | None:
    """The refusal for the first of `required` that is not given."""
    for name in required:
        if not given.get(name):
            return Refusal(400, f"Bad request, parameter : {name} can not be null")
    return None


def no_times(given: Mapping[str, str], names: Sequence[str]) -> Refusal | None:
    """The refusal for the first of `names`, all given, that is no time in Unix seconds."""
    for name in names:
        if not is_number(given[name]):
            return invalid(name)
        if int(given[name]) >= _MILLISECONDS:
            return Refusal(500, "Unknown Error")
    return None


def is_number(text: str) -> bool:
    """Whether a text is a whole number of no absurd length."""
    return _NUMBER.match(text) is not None


def numbers(text: str, most: int) -> tuple[int, ...] | None:
    """A comma list of at most so many numbers, each once; None where it is none."""
    texts = text.split(",")
    if len(texts) > most or not all(is_number(one) for one in texts):
        return None
    return tuple(dict.fromkeys(int(one) for one in texts))


def invalid(name: str) -> Refusal:
    """The refusal for a value that cannot be read."""
    return Refusal(400, f"Bad request, parameter : {name} is invalid")
