"""Can every query be looked at before its windows are lost? And how soon can a rule page at worst? (Invariant 2.)

Answered from the configuration alone, before any request leaves: `check` refuses what cannot be kept, with the
arithmetic in words and the cheapest way out. The promise is the even schedule's (`pace.longest_gap`): the whole round
at the pace that is left when the reserve is gone, one turn of it lost to a retry, one wait for a full minute to empty.
A plan that holds only while nothing ever fails is refused too, since its first failure would lose windows.

Considered and not taken: finding the best mix of gaps for queries of different reach. In one pool reach hardly differs
today, and a mix would have to be explained to the user whose configuration it refuses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from watcher.clock import DAY
from watcher.model import SIGNALS, USERS, Query, Worse
from watcher.schedule.pace import even, longest_gap
from watcher.schedule.state import PoolView


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortfall:
    """A pool that cannot keep its queries' reach: the arithmetic (`what`), and the ways out (`remedy`).

    `drop` are the queries cheapest to lose, as many as it takes.
    """

    pool: str
    what: str
    remedy: str
    drop: tuple[str, ...]


def overspent(queries: Sequence[Query], pools: Sequence[PoolView]) -> tuple[Shortfall, ...]:
    """Every pool in which some query's windows would be lost; empty where all can be kept."""
    found = (_shortfall([q for q in queries if pool.id in q.pools], pool) for pool in pools)
    return tuple(shortfall for shortfall in found if shortfall)


def promised_gap(queries: Sequence[Query], pools: Sequence[PoolView]) -> dict[Query, float]:
    """Per query, the longest time between two looks that the even schedule promises while the vendor answers, seconds.

    It holds from the first round on, and not in the round after a pause.
    """
    gaps: dict[Query, float] = {}
    for pool in pools:
        members = [q for q in queries if pool.id in q.pools]
        round_ = longest_gap(pool, _requests(members))
        for query in members:
            gaps[query] = max(gaps.get(query, float(query.width)), query.every + round_)
    return gaps


def _requests(queries: Sequence[Query]) -> int:
    """Requests of a round: a look of one query may be several."""
    return sum(query.requests for query in queries)


def worst_detection(queries: Sequence[Query], pools: Sequence[PoolView]) -> dict[Query, float]:
    """Per query, the worst seconds from a window's beginning to be bad to its being seen, while the vendor answers.

    The window must end, the vendor must have it, and a look must come. A rule's `for` and averages lie before
    `condition_at`, so they are not part of it.
    """
    return {query: gap + visible_after(query) for query, gap in promised_gap(queries, pools).items()}


def visible_after(query: Query) -> float:
    """Seconds from a window's beginning until the vendor can show it."""
    return query.delay + query.width


def _shortfall(queries: Sequence[Query], pool: PoolView) -> Shortfall | None:
    if _keeps(queries, pool):
        return None
    ranked = sorted(queries, key=worth)
    fitting = next(n for n in range(len(queries) - 1, -1, -1) if _keeps(ranked[len(ranked) - n :], pool))
    drop = tuple(q.id for q in ranked[: len(queries) - fitting])
    shown = ", ".join(drop[:3]) + (f" and {len(drop) - 3} more" if len(drop) > 3 else "")
    return Shortfall(
        pool=pool.id,
        what=f"{len(queries)} queries on {pool.id}: {_arithmetic(queries, pool)}",
        remedy=f"drop {shown}, or take a plan that allows more",
        drop=drop,
    )


def _keeps(queries: Sequence[Query], pool: PoolView) -> bool:
    return all(longest_gap(pool, _requests(queries)) <= q.reach for q in queries)


def _arithmetic(queries: Sequence[Query], pool: PoolView) -> str:
    count = _requests(queries)
    reach = min(q.reach for q in queries)
    cycle, worst = count * even(pool), longest_gap(pool, count)
    lost = f"but windows are lost after {reach:,.0f} s"
    if cycle <= reach:
        return f"each would be looked at every {cycle:,.0f} s, {worst:,.0f} s apart where one look fails, {lost}"
    text = f"each would be looked at every {cycle:,.0f} s, {lost}"
    daily = next((q.allowed for q in pool.quotas if q.window_seconds == DAY), None)
    if daily is None or cycle > count * DAY / daily:
        return text
    return f"{text}; {count} need {max(daily + 1, round(count * DAY / reach))} a day, {daily} are allowed"


def worth(query: Query) -> tuple[int, str]:
    """What losing a query would cost its users, least first: all queries cost the vendor's budget the same."""
    signals = {series.signal for series in query.series}
    if USERS in signals:
        return 4, query.id  # without it no ratio means anything
    if all(SIGNALS[s].worse is Worse.CONTEXT for s in signals if s in SIGNALS):
        return 0, query.id
    if signals <= {"join_success_5s_ratio"}:
        return 1, query.id  # join_success_ratio sees most of what it sees
    return (2 if all(series.channel for series in query.series) else 3), query.id
