"""A signal of whole days by groups of users, for whoever asks where it has been worse. Values, and the port.

Who is affected by an alert is about one window of now. This is about days of the past, which vendors keep by other
means and tell hours later: it tells a bad release of an SDK from a bad evening.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

from watcher.model import Purse


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupWish:
    """What somebody wants to see: `signal` over the UTC days [start, end), `by` one of `Grouping.by`.

    `country` narrows a breakdown by region. `product` is the vendor's kind of client, empty where it has none.
    """

    signal: str
    project: str
    by: str
    start: int
    end: int
    product: str = ""
    country: str = ""


class GroupTotal(NamedTuple):
    """One group: its value, and what that is a share of, where the vendor says (joins, or seconds of media)."""

    name: str
    value: float
    behind: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupView:
    """The groups, the largest first, of the days that the vendor answered for. `whole` is the value over all users."""

    signal: str
    product: str
    by: str
    start: int
    end: int
    groups: tuple[GroupTotal, ...]
    whole: float | None = None
    counts: str = ""  # what `behind` is: "joins", "seconds", or nothing
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Grouping:
    """What can be asked of a signal of a project: the words for `GroupWish.by`, the products (none where it is of all
    of them), the UTC days [start, end) that the vendor has now, and the pools that it spends in."""

    by: tuple[str, ...]
    products: tuple[str, ...]
    start: int
    end: int
    pools: tuple[str, ...]


@runtime_checkable
class GroupReader(Protocol):
    """A source that can be asked for days by groups."""

    def grouping(self, project: str, signal: str) -> Grouping:
        """Raises `Refused` where nothing is told of that."""
        ...

    async def read_groups(self, wish: GroupWish, purse: Purse) -> GroupView:
        """What `grouping` offers. The first request is already spent; at most one more follows. Raises
        `ProviderError`."""
        ...
