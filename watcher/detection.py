"""How soon a rule can page at worst, and what that asks of the schedule: `detect_within` as gaps between looks. Pure.


The worst time from `condition_at` to hand-over is the longest gap between looks, the time until the vendor shows a
window, and what the route holds messages back (`group_wait`). Where a rule joins a companion (`require`), both must
have been seen, or the companion waited for as long as a verdict waits; so a rule's `detect_within` bounds the gaps of
the queries that it judges and of those that it joins.

Kept apart from `config`, which refuses what cannot be kept, and from `plan`, which shows it: both must say the same
number. A rule's `for` and averages lie before `condition_at`, so they are not part of it (design, section 5).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from watcher.alerts.settings import RouteSettings
from watcher.clock import DAY, HOUR, MINUTE
from watcher.model import Query
from watcher.rules.rule import Rule, companions, feeds
from watcher.schedule.feasibility import visible_after
from watcher.schedule.promise import longest_gaps, spared, stretch, unkept
from watcher.schedule.state import PoolView

_SHOWN = 3  # queries named in a remedy


def judges(rule: Rule, query: Query) -> bool:
    """Whether the rule judges points that the query brings."""
    return any(feeds(rule, series) for series in query.series)


def joined(rule: Rule, query: Query, queries: Sequence[Query]) -> list[Query]:
    """The queries that bring what the rule joins (`require`) with the points of `query`: the nearest place counts."""
    bringing = {series: q for q in queries for series in q.series}
    found: list[Query] = []
    for series in query.series:
        for required in rule.require:
            place = next((p for p in companions(series, required.signal) if p in bringing), None)
            if place is not None and feeds(rule, series):
                found.append(bringing[place])
    return found


def held_back(rule: Rule, routes: Sequence[RouteSettings]) -> int:
    """Seconds that a first message of the rule may wait in its slowest route."""
    return max((route.group_wait for route in routes if _takes(route, rule)), default=0)


def worst(
    rule: Rule,
    query: Query,
    queries: Sequence[Query],
    gaps: Mapping[str, float],
    *,
    routes: Sequence[RouteSettings],
    undecided_for: float,
) -> float:
    """The worst seconds from `condition_at` on a query's points to the hand-over, while the vendor answers."""
    seen = gaps[query.id] + visible_after(query)
    others = [gaps[other.id] + visible_after(other) for other in joined(rule, query, queries)]
    known = max([seen, *(min(other, seen + undecided_for) for other in others)])
    return known + held_back(rule, routes)


def within(rules: Sequence[Rule], queries: Sequence[Query], routes: Sequence[RouteSettings]) -> dict[str, float]:
    """Query id -> the longest gap that every `detect_within` allows; only queries that some rule bounds."""
    found: dict[str, float] = {}
    for rule in rules:
        if rule.detect_within is None:
            continue
        for query in (q for q in queries if judges(rule, q)):
            for other in (query, *joined(rule, query, queries)):
                gap = rule.detect_within - visible_after(other) - held_back(rule, routes)
                found[other.id] = min(gap, found.get(other.id, gap))
    return found


def _takes(route: RouteSettings, rule: Rule) -> bool:
    """Whether the route may take the rule's alerts, as far as the rule alone says."""
    known = {"severity": rule.severity, "rule": rule.name, **rule.labels}
    return all(known[name] in values for name, values in route.match.items() if name in known)


# ── what cannot be kept ──────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class TooLate:
    """A rule whose `detect_within` the account's plan cannot keep: what it can, and the cheapest ways out."""

    rule: Rule
    can_take: float
    remedies: tuple[str, ...]


def too_late(
    rules: Sequence[Rule],
    queries: Sequence[Query],
    pools: Sequence[PoolView],
    routes: Sequence[RouteSettings],
    undecided_for: float,
) -> Iterator[TooLate]:
    """Every rule that promises more than can be kept: alone, or together with what the others promise."""
    bounds = within(rules, queries, routes)
    gaps = longest_gaps(queries, pools, bounds)
    broken = unkept(queries, pools, gaps)
    factor = stretch(queries, pools, bounds) if broken else 1.0
    tight = {q.id for q in queries if any(u.pool in q.pools for u in broken)}
    possible = longest_gaps(queries, pools, {query: gap * factor for query, gap in bounds.items()})
    for rule in rules:
        mine = [q for q in queries if judges(rule, q)]
        if rule.detect_within is None or not mine:
            continue
        can_take = max(worst(rule, q, queries, possible, routes=routes, undecided_for=undecided_for) for q in mine)
        in_broken = any(o.id in tight for q in mine for o in (q, *joined(rule, q, queries)))
        if can_take > rule.detect_within and (in_broken or not broken):
            yield TooLate(
                rule=rule, can_take=can_take, remedies=tuple(_remedies(queries, pools, bounds, mine, can_take))
            )


def _remedies(
    queries: Sequence[Query],
    pools: Sequence[PoolView],
    bounds: Mapping[str, float],
    judged: Sequence[Query],
    can_take: float,
) -> Iterator[str]:
    """The cheapest first: wait longer, ask for less, pay for more."""
    yield f"raise detect_within to {shortly(can_take)}"
    dropped = spared(queries, pools, bounds)
    if dropped and not set(dropped) & set(judged):
        names = ", ".join(q.id for q in dropped[:_SHOWN])
        yield f"drop {names}" + (f" and {len(dropped) - _SHOWN} more" if len(dropped) > _SHOWN else "")
    broken = unkept(queries, pools, longest_gaps(queries, pools, bounds))
    if broken:
        most = max(broken, key=lambda u: u.needed / u.allowed)
        daily = max(
            (q.allowed for p in pools if p.id == most.pool for q in p.quotas if q.window_seconds == DAY), default=0
        )
        if daily:
            yield f"take a plan of {daily * most.needed / most.allowed:,.0f} requests a day"


def shortly(seconds: float) -> str:
    """For people: seconds up to two minutes, minutes up to two hours, hours from there."""
    if seconds < 2 * MINUTE:
        return f"{seconds:.0f} s"
    return f"{seconds / MINUTE:.1f} min" if seconds < 2 * HOUR else f"{seconds / HOUR:.1f} h"
