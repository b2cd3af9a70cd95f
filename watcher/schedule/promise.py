"""What the adaptive schedule promises: for each query the longest gap between two looks that nothing may break.

A gap is bounded by what the vendor keeps (`Query.reach`), less the time after which a failed look is tried again, so
that a promise kept is no window lost; by the rules' `detect_within`, where given (`within`); and where the budget is
ample by a share of the day, since what an outage may last without loss is the rest of the reach. The users queries
promise a little more: while nobody is in calls only they run, and when somebody comes, all others have to be looked at
before the windows since then are gone.

Whether all of it can be kept is a sum: a day's worth of looks at those gaps must leave the reserve untouched. The order
of looks is not part of it, since short quotas allow several times what a day does; what they cost is in `step`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from watcher.clock import DAY
from watcher.model import USERS, Query
from watcher.schedule.feasibility import worth
from watcher.schedule.pace import EDGE, RESERVE, jam, shortest
from watcher.schedule.state import PoolView

_SHARE = 1 / 3  # of a day's requests that promises may take where the vendor's look-back would allow fewer
_REACH = 0.3  # of the vendor's look-back: a shorter gap buys an outage little
_MOST_STRETCH = 1000.0
_PRECISE = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Unkept:
    """A pool whose promises add up to more looks than a day allows (`needed`, `allowed`)."""

    pool: str
    needed: float
    allowed: float


def longest_gaps(
    queries: Sequence[Query], pools: Sequence[PoolView], within: Mapping[str, float] | None = None
) -> dict[str, float]:
    """Query id -> the longest gap promised, in seconds. `within` bounds some from the rules' side."""
    gaps: dict[str, float] = {}
    for query in sorted(queries, key=_is_users):  # what follows the users queries first
        mine = [pool for pool in pools if pool.id in query.pools]
        gap = query.reach - max((jam(pool.quotas) for pool in mine), default=0.0)  # a failed look is tried again then
        gap = min([gap, *(_comfortable(queries, pool) for pool in mine)])
        gap = min(gap, (within or {}).get(query.id, gap))
        if _is_users(query):
            gap = min([gap, *(_in_time(query, queries, pool, gaps) for pool in mine)])
        gaps[query.id] = max([gap, query.every or 2.0 * query.width, *(step(pool) for pool in mine)])
    return {query.id: gaps[query.id] for query in queries}


def unkept(queries: Sequence[Query], pools: Sequence[PoolView], gaps: Mapping[str, float]) -> tuple[Unkept, ...]:
    """The pools that cannot keep these gaps; empty where all can be kept."""
    found: list[Unkept] = []
    for pool in pools:
        members = [q for q in queries if pool.id in q.pools]
        needed = sum(q.requests * DAY / (gaps[q.id] - min(step(pool), gaps[q.id] / 2)) for q in members)
        daily = [float(q.allowed) for q in pool.quotas if q.window_seconds == DAY]
        short = [DAY / q.window_seconds * q.allowed for q in pool.quotas if q.window_seconds < DAY]
        allowed = min([(1 - RESERVE) * n for n in daily + short], default=math.inf)
        if needed > allowed:
            found.append(Unkept(pool=pool.id, needed=needed, allowed=allowed))
    return tuple(found)


def stretch(queries: Sequence[Query], pools: Sequence[PoolView], within: Mapping[str, float]) -> float:
    """By how much all of `within` must be longer for every promise to be kept; infinite where no length helps."""
    low, high = 1.0, 1.0
    while unkept(queries, pools, longest_gaps(queries, pools, _times(within, high))):
        low, high = high, 2 * high
        if high > _MOST_STRETCH:
            return math.inf
    while high - low > _PRECISE:
        middle = (low + high) / 2
        broken = unkept(queries, pools, longest_gaps(queries, pools, _times(within, middle)))
        low, high = (middle, high) if broken else (low, middle)
    return high


def spared(queries: Sequence[Query], pools: Sequence[PoolView], within: Mapping[str, float]) -> tuple[Query, ...]:
    """The queries cheapest to lose without which the others' promises can be kept; all of them where nothing helps."""
    ranked = sorted(queries, key=worth)
    for count in range(len(ranked)):
        rest = ranked[count:]
        if not unkept(rest, pools, longest_gaps(rest, pools, within)):
            return tuple(ranked[:count])
    return tuple(ranked)


def step(pool: PoolView) -> float:
    """Seconds that one look of several in a row takes: what the short quotas allow, and a second for the answer."""
    return shortest(pool.quotas) + 1.0


def burst(pool: PoolView, looks: int) -> float:
    """Seconds from the first to the last of so many looks in a row, by the short quotas."""
    short = (q for q in pool.quotas if q.window_seconds < DAY)
    waits = ((math.ceil(looks / q.allowed) - 1) * (q.window_seconds + EDGE) for q in short)
    return max(0.0, max(waits, default=0.0))


def _comfortable(queries: Sequence[Query], pool: PoolView) -> float:
    """The gap at which promises take no more than their share of the day, or leave most of the reach to an outage."""
    members = [q for q in queries if pool.id in q.pools]
    daily = [q.allowed for q in pool.quotas if q.window_seconds == DAY]
    ample = _REACH * min((q.reach for q in members), default=math.inf)
    requests = sum(q.requests for q in members)
    return max(requests * DAY / (_SHARE * min(daily)), ample) if daily else math.inf


def _in_time(users: Query, queries: Sequence[Query], pool: PoolView, gaps: Mapping[str, float]) -> float:
    """The gap at which a users look that finds somebody still leaves time to look at all that waited for it.

    Only settled zeros had counted for them, so they have not been seen for a little longer than it; and other users
    queries may come between.
    """
    sharing = [q for q in queries if pool.id in q.pools]
    behind = burst(pool, len(sharing)) + (users.settle + 1) * users.width
    return min((gaps[q.id] for q in sharing if not _is_users(q)), default=math.inf) - behind


def _is_users(query: Query) -> bool:
    return any(series.signal == USERS for series in query.series)


def _times(within: Mapping[str, float], factor: float) -> dict[str, float]:
    return {query: seconds * factor for query, seconds in within.items()}
