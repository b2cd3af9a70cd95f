"""Quotas, pools, and the one decision: may a request leave now, and if not, when.

The decision is a pure function of recorded spends and an instant (design, section 4, invariant 1), so that properties
can prove it: a grant never breaks a quota, and a refusal names the exact first instant that would not.

What makes it exact is one observation. A spend is known only as an interval, [at - skew, at + skew], and a window
counts every spend whose interval *ends* at or after the window's start: later ones too, so that a clock stepped back
reopens nothing. Counts then only fall as a window starts later; of all windows that a new request could lie in, the
one that starts first decides alone. So every spend has, for every quota, one instant of *release* from which it no
longer weighs on a new request, and the earliest grant is the release of the spend that is one too many.

Why this counts right: let several requests truly lie in one window, and take the one decided last. Its own interval
contains its true time, so the first window it could lie in starts no later than theirs; each other interval ends no
earlier than its true time, so each other was counted.

A quota per second is the exception: it is shorter than what is uncertain about a stamp, so it is kept by the order of
requests and answers instead (`pace`), and `decide` leaves it out.

A quota per minute holds for the UTC minute and for any 60 s. The UTC minute is one of the windows of 60 s, so counting
any 60 s is enough; the kind is kept because reports speak of the UTC minute. A day is the UTC day only: a rolling day
would halve what a schedule can promise after midnight, and no vendor documents one.

Considered and not taken: a token bucket. It cannot say "479 in the UTC day", and its state is worth nothing after a
crash, while recorded spends are facts.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, NamedTuple, Protocol

from watcher.clock import DAY, MINUTE
from watcher.errors import Reason

SECOND = "1s"  # the name of a quota per second in reports and refusals

MIN_SKEW = 5.0
"""Seconds by which a spend's time is uncertain even where both clocks agree: it counts on both sides of a boundary."""


class Kind(StrEnum):
    """How a quota's windows lie in time."""

    MINUTE = "utc_minute"  # the UTC minute, and any 60 s
    DAY = "utc_day"  # the UTC day
    ROLLING = "rolling"  # any N seconds
    SECOND = "second"  # any second, by the order of requests and answers


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """At most `limit` requests in each window; we stay `margin` below: vendors' tables use strict inequalities."""

    limit: int
    kind: Kind
    window_seconds: int
    margin: int = 1

    def __post_init__(self) -> None:
        if self.window_seconds < 1 or self.margin < 0 or self.allowed < 1:
            raise ValueError("leaves no request")
        fixed = {Kind.SECOND: 1, Kind.MINUTE: MINUTE, Kind.DAY: DAY}.get(self.kind, self.window_seconds)
        if self.window_seconds != fixed:
            raise ValueError(f"a {self.kind} lasts {fixed} s")

    @classmethod
    def per_second(cls, limit: int, *, margin: int = 1) -> Quota:
        """Where only one is allowed there is no margin to keep: it goes out a full second after the last answer."""
        return cls(limit=limit, kind=Kind.SECOND, window_seconds=1, margin=min(margin, limit - 1))

    @classmethod
    def per_minute(cls, limit: int, *, margin: int = 1) -> Quota:
        return cls(limit=limit, kind=Kind.MINUTE, window_seconds=MINUTE, margin=margin)

    @classmethod
    def per_day(cls, limit: int, *, margin: int = 1) -> Quota:
        return cls(limit=limit, kind=Kind.DAY, window_seconds=DAY, margin=margin)

    @classmethod
    def rolling(cls, limit: int, seconds: int, *, margin: int = 1) -> Quota:
        return cls(limit=limit, kind=Kind.ROLLING, window_seconds=seconds, margin=margin)

    @property
    def allowed(self) -> int:
        """Requests we permit ourselves in a window."""
        return self.limit - self.margin

    @property
    def window(self) -> str:
        """The name in reports and metrics: `minute`, `day`, `30s`."""
        return {Kind.MINUTE: "minute", Kind.DAY: "day"}.get(self.kind, f"{self.window_seconds}s")

    def release(self, end: float, skew: float) -> float:
        """The first instant at which a request known to `skew` seconds is free of a spend that ends at `end`."""
        if self.kind is Kind.DAY:
            return (math.floor(end / self.window_seconds) + 1) * self.window_seconds + skew
        return end + self.window_seconds + skew


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """What is counted together: a request in a pool spends one unit of each of its quotas.

    `capped` says that the user set the day's quota for something extra: where it is spent, nobody is blind.
    """

    id: str
    account: str
    family: str
    quotas: tuple[Quota, ...]
    capped: bool = False

    @property
    def day(self) -> Quota | None:
        """The daily quota, where the pool has one."""
        return next((q for q in self.quotas if q.kind is Kind.DAY), None)


Scope = Literal["family", "endpoint", "app_id"]
"""What a vendor counts together. `family` is the safe reading where it is not documented."""


def pool_id(*, account: str, family: str, scope: Scope, endpoint: str, project: str) -> str:
    """`acme/realtime`, `acme/realtime/quality` or `acme/realtime/classroom`: the pool of a request under a scope."""
    match scope:
        case "family":
            return f"{account}/{family}"
        case "endpoint":
            return f"{account}/{family}/{endpoint}"
        case "app_id":
            return f"{account}/{family}/{project}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """One request may leave at `at`."""

    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """No request may leave; the earliest instant at which one could is `at`.

    `window` names the quota that holds out longest (`minute`, `day`, `30s`). `reason` is `Reason.BUDGET` where our own
    count refuses, and what the vendor said where it did.
    """

    at: float
    pool: str
    window: str
    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """The vendor refused a pool: nothing may arrive there before `until` (vendor time)."""

    until: float
    window: str
    reason: Reason


class Weight(NamedTuple):
    """One spend as a quota sees it: `end` is the last instant at which the vendor may have counted it."""

    end: float
    units: float
    id: str


class Spent(Protocol):
    """What has been spent in a pool, in order of `end`.

    Two views, because one uncertainty is shared by all: a clock that may be wrong moves every stamp alike, so distances
    between stamps, and with them windows that may lie anywhere, are known better than the time of day.
    """

    def near(self, pool: str) -> Sequence[Weight]:
        """For quotas of any N seconds: ends without the shared doubt."""
        ...

    def days(self, pool: str) -> Sequence[Weight]:
        """For the UTC day: one weight for each day on which spends end, with all uncertainty. Only the day matters."""
        ...


def decide(
    pools: Sequence[Pool],
    spent: Spent,
    now: float,
    *,
    skew: float = MIN_SKEW,
    doubt: float = 0.0,
    blocks: Mapping[str, Block] | None = None,
) -> Grant | Refusal:
    """May one more request leave at `now` in all of `pools`? All instants are the vendor's.

    The request's time is uncertain by `skew` seconds against other spends, and by `skew + doubt` against midnight.
    """
    refusal: Refusal | None = None
    for pool in pools:
        for quota in (q for q in pool.quotas if q.kind is not Kind.SECOND):
            at = earliest(quota, *view(quota, spent, pool.id, skew, doubt))
            if at > (refusal.at if refusal else now):
                refusal = Refusal(at=at, pool=pool.id, window=quota.window, reason=Reason.BUDGET)
        block = (blocks or {}).get(pool.id)
        if block and block.until + skew > (refusal.at if refusal else now):
            refusal = Refusal(at=block.until + skew, pool=pool.id, window=block.window, reason=block.reason)
    return refusal or Grant(at=now)


def view(quota: Quota, spent: Spent, pool: str, skew: float, doubt: float) -> tuple[Sequence[Weight], float]:
    """The spends that a quota looks at, and the uncertainty of a new one beside them."""
    if quota.kind is Kind.DAY:
        return spent.days(pool), skew + doubt
    return spent.near(pool), skew


def earliest(quota: Quota, weights: Sequence[Weight], skew: float) -> float:
    """The first instant at which `quota` has room for one more; minus infinity where it always has.

    Walks from the latest and stops at the one too many, so the cost is bounded by the quota, not by the history.
    """
    room = quota.allowed - 1.0
    for weight in reversed(weights):
        room -= weight.units
        if room < 0:
            return quota.release(weight.end, skew)
    return -math.inf


def weighing(quota: Quota, weights: Sequence[Weight], now: float, skew: float) -> float:
    """Units that weigh on a request made at `now`: what `decide` holds against `quota`."""
    first = bisect_right(weights, now, key=lambda weight: quota.release(weight.end, skew))
    return float(sum(weight.units for weight in weights[first:]))
