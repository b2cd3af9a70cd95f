"""How often to look at each query, from now to the reset: the day's budget where it buys detection time.

The wait for an alert is half the gap between looks, so with risk r(t) known the mean wait is least where the rate of
looks goes with the square root of the risk (Sia, Cho and Cho: "Efficient Monitoring Algorithm for Fast News Alerts";
the same holds between sources). With a longest gap G promised, the rate is max(1/G, k * sqrt(r)), and k is what makes
the rates of all hours to come spend what is left: found by water-filling, which ends after a few rounds because a rate
that is at its floor stays there as k falls.

Solved anew before every look. What happened meanwhile (a late start, an incident, someone else's requests) is then
simply part of what is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from watcher.clock import DAY, HOUR
from watcher.model import Floats, Ints
from watcher.schedule.state import QueryState

_ROUNDS = 30
_BEFORE: Floats = np.arange(24.0, -1.0, -1.0) * HOUR  # seconds from each hour of a day to its end


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Looks a second, now, in the order of the states asked about; `reserve` is what is still held back."""

    now: Floats
    reserve: float


def solve(
    states: Sequence[QueryState],
    gaps: Sequence[float],
    *,
    now: float,
    resets_at: float,
    reserve: float,
    left: float,
) -> Rates:
    """Spread what is left over the queries and the hours until the reset.

    A look that is several requests counts as so many. `gaps` are the promises. `reserve` requests are held back at the
    beginning of the day, and then in proportion to the risk that is still to come: with its square root, what nobody
    asked for would all be spent in the last hour.
    """
    rows, members = _rows(states, gaps)
    edges = _edges(now, resets_at)
    current = int(edges.searchsorted(now, side="right")) - 1
    lengths = edges[1:] - edges[:-1]
    risk = _risk([states[m[0]] for m in members], (edges[:-1] + edges[1:]) / 2 / HOUR)
    many = np.array([sum(states[i].query.requests for i in m) for m in members], dtype=np.float64)[:, None]
    floor = np.empty(risk.shape)
    floor[:] = np.array([1 / gaps[m[0]] for m in members])[:, None]
    to_come = np.where(edges[1:] > now, lengths, 0.0)
    idle = np.array([states[m[0]].idle for m in members])
    if idle.any():
        floor[idle, current] = 0.0
        risk[idle, current] = 0.0
    weight = many * risk
    whole, rest = float((weight * lengths).sum()), float((weight * to_come).sum())
    held = reserve * (rest / whole if whole > 0 else (resets_at - now) / DAY)
    k = _level(risk, floor, many * to_come, left - held)
    rates = np.maximum(floor[:, current], k * risk[:, current])
    return Rates(now=rates[rows], reserve=held)


def _rows(states: Sequence[QueryState], gaps: Sequence[float]) -> tuple[Ints, list[list[int]]]:
    """Queries that are alike share a row: the arithmetic does not grow with an account's channels."""
    found: dict[tuple[int, bool, float, float], int] = {}
    members: list[list[int]] = []
    rows = np.empty(len(states), dtype=np.int64)
    for i, (state, gap) in enumerate(zip(states, gaps, strict=True)):
        key = (id(state.load), state.idle, state.heat, gap)
        row = found.setdefault(key, len(members))
        if row == len(members):
            members.append([])
        members[row].append(i)
        rows[i] = row
    return rows, members


def _edges(now: float, resets_at: float) -> Floats:
    """The hours of the day that ends at the reset, cut at `now`."""
    edges: Floats = resets_at - _BEFORE
    at = int(edges.searchsorted(now))
    if at < len(edges) and edges[at] == now:
        return edges
    return np.concatenate((edges[:at], (now,), edges[at:]))


def _risk(states: Sequence[QueryState], hours: Floats) -> Floats:
    """The square root of what is at risk, by row and hour; a row without a profile counts as the mean of the others."""
    loads = {id(state.load): state.load for state in states if state.load is not None}
    of = {key: load.risk(hours) for key, load in loads.items()}  # rows of one place share its load
    found = [of.get(id(state.load)) for state in states]
    risks = [risk for risk in found if risk is not None]
    if len(risks) < len(found):
        instead: Floats = np.mean(risks, axis=0) if risks else np.ones(len(hours))
        risks = [instead if risk is None else risk for risk in found]
    heat = np.array([state.heat for state in states])[:, None]
    result: Floats = np.sqrt(np.array(risks) * heat)
    return result


def _level(risk: Floats, floor: Floats, seconds: Floats, budget: float) -> float:
    """The k for which max(floor, k * risk) spends the budget; 0 where the floors alone take all of it."""
    at_floor = risk <= 0
    by_risk, by_floor = risk * seconds, floor * seconds
    k = 0.0
    for _ in range(_ROUNDS):
        free = float(by_risk[~at_floor].sum())
        left = budget - float(by_floor[at_floor].sum())
        if free <= 0 or left <= 0:
            return 0.0
        k = left / free
        below = ~at_floor & (k * risk < floor)
        if not below.any():
            return k
        at_floor |= below
    return k
