"""Pages of an answer: sizes, offsets and cursors (dossier, 3.6), the errors of the API, and what a request knows.

A cursor is base64 of an offset of rows already returned, in clear. A scenario can have them sealed instead, so that
cursors made by hand are refused: whether the vendor takes those was never seen.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from graphql import GraphQLError, GraphQLResolveInfo

from watcher.emulator.dice import bits
from watcher.emulator.faults import Fault
from watcher.emulator.vonage.daily import Nightly
from watcher.emulator.vonage.fast import Row
from watcher.emulator.vonage.life import Lives
from watcher.emulator.vonage.nodes import page_limits
from watcher.emulator.vonage.sessions import Sessions
from watcher.emulator.vonage.view import View
from watcher.emulator.vonage.world import Answers, Project

Info = GraphQLResolveInfo[Any]
T = TypeVar("T")

_CURSOR = "insights-resource:"
_SEAL = 0x5EA1

MESSAGES: Mapping[int, str] = {
    1000: "The API key or application ID is invalid.",
    1001: "Authentication is required.",
    1002: "Invalid date range.",
    1003: "Only one interval is allowed.",
    1004: "Invalid parameter.",
    1005: "Invalid parameter value.",
    1006: "An integer was expected.",
    1007: "Invalid SDK version. Use the form 0.0.0.",
    1008: "You must provide a valid project ID.",
    1009: "Invalid parameters.",
    1010: "The parameter takes one value only.",
    1011: "The token is invalid.",
    1012: "Internal server error.",
    1013: "A required parameter is missing.",
    1014: "This query requires the Advanced Insights add-on",
    1015: "Project not found.",
    1016: "The session has expired.",
    1017: "Session not found.",
    1018: "No session IDs were given.",
    1019: "The token does not belong to this API key or application.",
    1020: "The token could not be validated.",
    1021: "You are not allowed to read this project.",
    1022: "Type error.",
}
"""Our own words, but for 1008 and 1014, which the dossier quotes."""


def failure(code: int, detail: str = "") -> GraphQLError:
    """An error of the API's own kind; `graph` puts the code beside the message."""
    return GraphQLError(detail or MESSAGES[code], extensions={"errorCode": code})


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """One project's world."""

    project: Project
    sessions: Sessions
    lives: Lives
    nightly: Nightly


@dataclass(slots=True, kw_only=True)
class Asking:
    """One request, as its resolvers see it.

    Two fields are filled: `handed` with (stream, ranks) of every row put into the answer, `nodes` with their number
    and that of all other objects of pages.
    """

    store: Store
    known: Mapping[str, Project]  # all projects, by id
    view: View
    answers: Answers
    jitter: float
    faults: Mapping[str, Fault]
    unreachable: str  # how the API answers in the maintenance window it is in; empty outside
    most_nodes: int
    nodes: int = 1  # the project
    handed: list[tuple[int, Sequence[int]]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Window:
    """Which part of a collection is asked for, and the cursor as it was given."""

    offset: int
    first: int
    cursor: str

    def of(self, things: Sequence[T]) -> Sequence[T]:
        """That part of a list."""
        return things[self.offset : self.offset + self.first]


@dataclass(frozen=True, slots=True)
class Page:
    """What a collection's Row stands for: its rows are made when they are asked for."""

    window: Window
    total: int
    make: Callable[[], list[Any]]
    most: Callable[[], int]

    @property
    def end(self) -> int:
        """The offset after the last row of the page."""
        return min(self.window.offset + self.window.first, self.total)


def window(ask: Asking, kind: str, given: Mapping[str, Any]) -> Window:
    """What the arguments of a collection ask for; `kind` is the name of its type."""
    default, most = page_limits(kind)
    first = default if given.get("first") is None else given["first"]
    if first < 1:
        raise failure(1004)  # INFERRED
    if first > most and ask.answers.over_limit == "refuse":
        raise failure(1005)
    cursor = given.get("endCursor") or ""
    return Window(_offset(ask, cursor), min(first, most), cursor)


def page(part: Window, total: int, make: Callable[[], list[Any]], most: Callable[[], int] = int) -> Row:
    """A collection. `make` makes the rows of the page, `most` says how many were there at once."""
    return Row({"totalCount": total}, Page(part, total, make, most))


def resources(source: Row, info: Info) -> list[Any]:
    """The rows of a page, if the answer has room for so many nodes."""
    ask: Asking = info.context
    found: Page = source.of
    ask.nodes += max(0, found.end - found.window.offset)
    if ask.nodes > ask.most_nodes:
        raise failure(1014)  # `graph` then answers with nothing but this
    return found.make()


def page_info(source: Row, info: Info) -> Row:
    """Where the next page starts."""
    ask: Asking = info.context
    found: Page = source.of
    if "loop_cursor" in ask.faults:
        return Row({"hasNextPage": True, "endCursor": found.window.cursor or _cursor(ask, 0)})
    more = found.end < found.total
    return Row({"hasNextPage": more, "endCursor": _cursor(ask, found.end) if more else None})


def _cursor(ask: Asking, offset: int) -> str:
    text = f"{_CURSOR}{offset}"
    if ask.answers.cursors == "sealed":
        text += f":{_seal(offset)}"
    return base64.b64encode(text.encode()).decode()


def _offset(ask: Asking, cursor: str) -> int:
    """The offset in a cursor; the padding may be missing (dossier, 3.6)."""
    if not cursor:
        return 0
    body = cursor.rstrip("=")
    try:
        text = base64.b64decode(body + "=" * (-len(body) % 4), validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise failure(1005) from None
    number, _, seal = text.removeprefix(_CURSOR).partition(":")
    if not text.startswith(_CURSOR) or not number.isascii() or not number.isdigit() or len(number) > 15:
        raise failure(1005)
    if ask.answers.cursors == "sealed" and seal != _seal(int(number)):
        raise failure(1005)
    return int(number)


def _seal(offset: int) -> str:
    """What a cursor made by hand lacks, where the scenario wants those refused."""
    return f"{bits(_SEAL, offset):016x}"
