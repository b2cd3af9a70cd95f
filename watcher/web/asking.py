"""The shapes of what is asked of a vendor: one call, or days by groups (`shapes` holds the rest of the API's).

In a module of their own, since they show no part of the board: they are made for one person, and nothing else has them.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from watcher.calls import MOST_REQUESTS
from watcher.web.shapes import Shape, Time

Word = Annotated[str, Meta(max_length=300)]


class AskedCall(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The call of a channel that ran at a time, or the latest; `user` narrows it to one of them.

    `project` may be left out where the account has one. At most `requests` are spent.
    """

    channel: Annotated[str, Meta(min_length=1, max_length=300)]
    project: Word = ""
    user: Word = ""
    at: Time | None = None
    requests: Annotated[int, Meta(ge=1, le=MOST_REQUESTS)] = 20


class CallStay(Shape, frozen=True, kw_only=True):
    """One user's time in the call. `values` by signal (ratios 0-1, seconds, bytes per second) are means over it, empty
    where they were not read."""

    user: str
    name: str
    joined: Time | None
    left: Time | None
    client: str
    place: str
    ending: str
    failed: bool
    values: dict[str, float]


class CallMinute(Shape, frozen=True, kw_only=True):
    """The call in one window, or the one user who was asked for."""

    at: Time
    values: dict[str, float]


class CallBucket(Shape, frozen=True, kw_only=True):
    """Users with a value from `low` up to, not with, `high`."""

    low: float
    high: float
    users: int


class CallSpread(Shape, frozen=True, kw_only=True):
    """Users by how much of a signal they had."""

    signal: str
    buckets: list[CallBucket]


class CallGroup(Shape, frozen=True, kw_only=True):
    """A group of the call's users, and the mean of a signal in it; `counts` is what `users` are (users, streams…)."""

    dimension: str
    group: str
    signal: str
    value: float
    users: float
    counts: str


class CallElse(Shape, frozen=True, kw_only=True):
    """Another call of the same channel."""

    call: str
    began: Time | None
    ended: Time | None
    users: int | None


class ShownCall(Shape, frozen=True, kw_only=True):
    """One call, as the vendor told it at `read_at`: who was in it, how each fared, and what is missing and why."""

    account: str
    provider: str
    project: str
    channel: str
    call: str
    began: Time | None
    ended: Time | None
    running: bool | None
    users: int | None
    stays: list[CallStay]
    minutes: list[CallMinute]
    spreads: list[CallSpread]
    groups: list[CallGroup]
    others: list[CallElse]
    notes: list[str]
    read_at: Time
    requests: int


class AskedGroups(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A signal of whole UTC days, up to the newest or to `until`, by groups of users.

    `project` and `product` may be left out where there is one. `country` narrows a breakdown by region.
    """

    signal: Annotated[str, Meta(min_length=1, max_length=100)]
    by: Annotated[str, Meta(min_length=1, max_length=100)]
    project: Word = ""
    product: Word = ""
    until: Time | None = None
    days: Annotated[int, Meta(ge=1, le=31)] = 7
    country: Word = ""


class DayGroup(Shape, frozen=True, kw_only=True):
    """One group; `behind` is what its value is a share of, where the vendor says (see `counts`)."""

    group: str
    value: float
    behind: float | None


class ShownGroups(Shape, frozen=True, kw_only=True):
    """A signal over the days [start, end) by groups, the largest first, and as a whole."""

    account: str
    provider: str
    project: str
    product: str
    signal: str
    by: str
    start: Time
    end: Time
    whole: float | None
    groups: list[DayGroup]
    counts: str
    notes: list[str]
    read_at: Time
    requests: int
