"""One call as whoever was paged sees it: who was in it, and how each of them fared. Values, and the port that reads it.

A page names a channel; what the rules judge says nothing of the people in it. That is read when somebody asks for it
(`watcher call`), never by the schedule: it is many requests about one channel. The same values for every vendor, so
that what a person reads at night looks alike; what a vendor does not know stays empty, and `notes` say why.

Sources offer it as a port of its own beside `model.Source`: looks follow a plan and yield points, this follows a wish
and yields something to read, and neither needs to know of the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, TypeVar, runtime_checkable

from watcher.errors import ProviderError
from watcher.model import Purse, Split

T = TypeVar("T")
When = Callable[[T], float | None]

MOST_REQUESTS = 200  # for one question
MOST_STAYS = 2_000  # of one call that are kept


@dataclass(frozen=True, slots=True, kw_only=True)
class CallWish:
    """What somebody wants to see.

    `channel` as it stands in the page: an Agora channel, a Vonage session id or its configured name, a Twilio room by
    SID or name. `project` is the configured name. `user` narrows it to one of them, by the `Stay.user` of a call seen
    before. `at` is when it ran, in vendor time; None for the latest. `requests` is the most that may be spent.
    """

    channel: str
    project: str
    user: str = ""
    at: float | None = None
    requests: int = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Stay:
    """One user's time in a call; who left and came back has several.

    `user` is the vendor's id to ask for them by, `name` the application's own word. Instants are vendor time, None
    where they are not told; `left` None as well while they are there. `client` is what they came with (SDK, OS,
    browser, device), `place` from where (network, country, region). `values` are means over the stay by signal, in the
    signal's unit, empty where they were not read. `ending` says how it ended, where the vendor does, and `failed` that
    this is a failure.
    """

    user: str
    name: str = ""
    joined: float | None = None
    left: float | None = None
    client: str = ""
    place: str = ""
    ending: str = ""
    failed: bool = False
    values: Mapping[str, float] = field(default_factory=dict)


class Minute(NamedTuple):
    """The call, or the one user who was asked for, in one window: its start, and values by signal."""

    start: int
    values: Mapping[str, float]


class Bucket(NamedTuple):
    """How many users had a value from `low` up to, not with, `high`."""

    low: float
    high: float
    users: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Users by how much of a signal they had, from the lowest bucket."""

    signal: str
    buckets: tuple[Bucket, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Breakdown:
    """A signal by groups of users, one dimension after the other."""

    signal: str
    splits: tuple[Split, ...]


class OtherCall(NamedTuple):
    """Another call of the same channel: when it ran, and its users where that is told."""

    call: str
    began: float | None
    ended: float | None
    users: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallView:
    """One call.

    `call` is the vendor's id of it, `channel` its name where it has one. `running` None where that is not told.
    `users` are all who were ever in it, as the vendor counts or as they were listed. Of the `stays`, the worst first,
    those with `values` were read. `minutes` ascend. `notes` are sentences: what is missing and why, how late the
    source is. `refusal` is what the vendor said where that ended the read early, for the ledger. `oddities` as in
    `model.Answer`.
    """

    call: str
    channel: str = ""
    began: float | None = None
    ended: float | None = None
    running: bool | None = None
    users: int | None = None
    stays: tuple[Stay, ...] = ()
    minutes: tuple[Minute, ...] = ()
    spreads: tuple[Spread, ...] = ()
    breakdowns: tuple[Breakdown, ...] = ()
    others: tuple[OtherCall, ...] = ()
    notes: tuple[str, ...] = ()
    refusal: ProviderError | None = None
    oddities: Mapping[str, int] = field(default_factory=dict)


@runtime_checkable
class CallReader(Protocol):
    """A source that can be asked for one call."""

    def call_pools(self, project: str) -> tuple[str, ...]:
        """The pools in which each request for a call of a project spends. Raises `Refused` where there is none: what
        to configure."""
        ...

    async def read_call(self, wish: CallWish, purse: Purse) -> CallView | None:
        """The call, as much of it as the purse allows; None where the vendor knows of none.

        The first request is already spent; every further one is asked of the purse, which also says when the time is
        over: what was read until then is the answer. Raises `ProviderError` where nothing could be read.
        """
        ...


def nearest(found: Iterable[T], at: float | None, began: When[T], ended: When[T]) -> T | None:
    """The call that ran at an instant, else the last one before it, else the first after; the newest without one.

    Of several that ran the one that began last. A beginning that is not told is before all, an end that is not, after.
    """

    def away(one: T) -> tuple[int, float, float]:
        start, end = began(one) or 0.0, ended(one)
        if at is None or (start <= at and (end is None or end > at)):
            return 0, 0.0, -start
        if end is not None and end <= at:
            return 1, at - end, -start
        return 2, start - at, -start

    return min(found, key=away, default=None)


def ran(view: CallView, at: float) -> bool:
    """Whether a call ran at an instant, as far as its beginning and end are told."""
    return (view.began or 0.0) <= at and (view.ended is None or view.ended > at)
