"""The even schedule: a day's requests at equal distances, queries in rotation.

One look costs freshness, never history, so evenness is what an account without further knowledge wants: every query is
as fresh as every other at every hour, and the day's budget ends with the day. What is left is divided anew after every
look, so that whatever happened (a late start, refunds, a pause, someone else's requests) the rest of the day is even.

Three things break the rotation, each bounded so that no window is lost for it:

* a query that an undecided rule waits for goes next, out of turn while the reserve lasts (`pace.RESERVE`), else at the
  next turn, if everyone else can wait one turn longer;
* after a start or a pause, queries past their deadline go as fast as the short quotas allow, as long as
  what is left of the day can keep every query's reach until the reset;
* a failing query is tried again at the next turn, then after twice, four times as long, up to a round, but in time for
  its windows where there is time, and again only if everyone else can wait. While the account's latest look failed,
  nothing goes out of turn: an outage must not eat the budget that the recovery needs. (The vendor's advice of 1, 3 and
  6 s is for looks that cost nothing.)

The order is by *deadline*: the instant at which a query was promised its next look, or, where that is earlier, loses
its first window. With equal reach this is plain rotation. Weighing users at risk is left to another policy.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from watcher.clock import DAY
from watcher.schedule.pace import RESERVE, jam, shortest
from watcher.schedule.state import Policy, QueryState, Slot, UsageView, Why, failing


class EvenPolicy:
    """See the module. Holds nothing: equal inputs give equal slots."""

    def next(self, states: Sequence[QueryState], usage: Sequence[UsageView], now: float) -> Slot:
        """The earliest slot of all groups of queries that are counted together."""
        standing: dict[str, list[UsageView]] = {}
        for view in usage:
            standing.setdefault(view.pool, []).append(view)
        troubled = failing(states)
        groups = dict.fromkeys(s.query.pools for s in states)
        slots = [_next(_group(pools, states, standing, now), troubled, now) for pools in groups]
        return min(slots, key=lambda slot: slot.at, default=Slot(query_id=None, at=math.inf, reason=Why.IDLE))

    def spare(
        self, states: Sequence[QueryState], usage: Sequence[UsageView], pools: Sequence[str], now: float
    ) -> float:
        """See `Policy`. From what the day has for looks out of turn, and never the last room of a short quota."""
        mine = [view for view in usage if view.pool in pools]
        if failing(states) or not mine or min(view.left for view in mine) < 2:
            return math.inf
        for view in (v for v in mine if v.window_seconds == DAY):
            if view.left - (1 - RESERVE) * view.allowed * max(0.0, view.resets_at - now) / DAY < 1:
                return math.inf
        return max([now, *(view.free_at for view in mine)])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Group:
    """Queries that spend the same pools, and what those pools have for them, the tightest counting.

    `pace` is the distance of even looks from now on, `turn` when the next is due by it, `free` when one could leave at
    the earliest, `round` how long all queries of the tightest pool take in turn, `promise` the gap that a round with
    one look out of turn makes. `spare` says how many looks out of turn the day has to give for urgency, `surplus` how
    many before some query's reach would be in danger.
    """

    states: tuple[QueryState, ...]
    blind_until: float
    spent_until: float
    pace: float
    turn: float
    free: float
    round: float
    promise: float
    spare: float
    surplus: float

    def seen(self, state: QueryState) -> float:
        return -math.inf if state.seen is None else state.seen

    def deadline(self, state: QueryState) -> float:
        """When it should be looked at again at the latest."""
        return self.seen(state) + min(state.query.reach, state.query.every + self.promise)

    def can_wait(self, at: float, jumper: QueryState) -> bool:
        """Whether all others keep their deadlines if `jumper` goes at `at`, and they in turn after it."""
        others = sorted(self.deadline(s) for s in self.states if s is not jumper and not s.unforgiven)
        return all(deadline >= at + turn * self.pace for turn, deadline in enumerate(others, start=1))

    def ready(self, state: QueryState) -> float:
        """The first instant at which looking could bring something and is not held back."""
        if state.last_look is None or (state.failures and not state.unforgiven):
            return state.not_before
        if not state.failures:
            return max(state.not_before, state.last_look + state.query.apart)  # sooner, nothing can be new
        wait = min(self.pace * 2.0 ** min(state.unforgiven - 1, 16), max(self.round, state.query.every))
        retry = state.last_look + wait
        lost = self.seen(state) + state.query.reach
        if lost > state.last_look + self.pace:
            retry = min(retry, max(state.last_look + self.pace, lost - self.pace))
        return max(state.not_before, retry)


def _group(
    pools: tuple[str, ...], states: Sequence[QueryState], standing: Mapping[str, Sequence[UsageView]], now: float
) -> _Group:
    views = [view for pool in pools for view in standing[pool]]
    sharing = {pool: [s for s in states if pool in s.query.pools] for pool in pools}
    looks = [t for group in sharing.values() for s in group for t in (s.seen, s.last_look) if t is not None]
    last = max((t for t in looks if t <= now), default=-math.inf)
    fastest = max(shortest(standing[pool]) for pool in pools)
    pace, turn, spare, surplus = fastest, last + fastest, math.inf, math.inf
    spent_until = -math.inf
    for view in (v for v in views if v.window_seconds == DAY):
        rest = max(0.0, view.resets_at - now)
        if view.left < 1:
            spent_until = max(spent_until, view.resets_at)
        apart = (view.resets_at - last) / (view.left + 1)
        if not math.isfinite(last) or last + apart < now:  # the turn has passed: the rest is divided from now on
            pace = max(pace, rest / max(1.0, view.left))
        else:
            pace, turn = max(pace, apart), max(turn, last + apart)
        others = sharing[view.pool]
        reaching = rest * sum(1 / s.query.reach for s in others) * (len(others) + 1) / len(others)
        spare = min(spare, view.left - (1 - RESERVE) * view.allowed * rest / DAY)
        surplus = min(surplus, view.left - reaching)
    size = max(len(group) for group in sharing.values())
    return _Group(
        states=tuple(s for s in states if s.query.pools == pools),
        blind_until=max((v.blocked_until or -math.inf for v in views), default=-math.inf),
        spent_until=spent_until,
        pace=pace,
        turn=turn,
        free=max(v.free_at for v in views),
        round=size * pace,
        promise=(size + 1) * pace + max(jam(standing[pool]) for pool in pools),
        spare=spare,
        surplus=surplus,
    )


def _next(group: _Group, troubled: bool, now: float) -> Slot:
    """The next slot of one group."""
    if group.blind_until > now:
        return Slot(query_id=None, at=group.blind_until, reason=Why.BLIND)
    if group.spent_until > now:
        return Slot(query_id=None, at=group.spent_until, reason=Why.SPENT)
    soonest = max(now, group.free)
    if not troubled and (slot := _out_of_turn(group, soonest)):
        return slot
    return _in_turn(group, max(soonest, group.turn))


def _out_of_turn(group: _Group, at: float) -> Slot | None:
    """A look before its turn, where there is cause and budget for one."""
    ready = [s for s in group.states if group.ready(s) <= at]
    urgent = [s for s in ready if s.urgent and group.seen(s) + group.pace <= at]
    if urgent and group.spare >= 1 and group.can_wait(at, first := _first(group, urgent)):
        return Slot(query_id=first.query.id, at=at, reason=Why.URGENT)
    behind = [s for s in ready if not s.unforgiven and group.deadline(s) < at]
    if behind and group.surplus >= 1:
        return Slot(query_id=_first(group, behind).query.id, at=at, reason=Why.CATCH_UP)
    return None


def _in_turn(group: _Group, turn: float) -> Slot:
    """The next look of the rotation; those with a cause to jump it do so where the others can wait a turn longer.

    A failing query is in the rotation itself a round after it was last tried: it starves nobody and is not starved.
    """
    at = max(turn, min(group.ready(s) for s in group.states))
    ready = [s for s in group.states if group.ready(s) <= at]
    regular = [s for s in ready if not s.unforgiven or at >= (s.last_look or 0.0) + group.round]
    jumpers = [s for s in ready if s.urgent] or [s for s in ready if s.unforgiven]
    first = _first(group, regular or ready)
    if jumpers and group.can_wait(at, jumper := _first(group, jumpers)):
        first = jumper
    reason = Why.URGENT if first.urgent else Why.RETRY if first.unforgiven else Why.DUE
    return Slot(query_id=first.query.id, at=at, reason=reason)


def _first(group: _Group, states: Sequence[QueryState]) -> QueryState:
    """The one with the earliest deadline; the longest untried, then the first by name, among equals."""
    return min(states, key=lambda s: (group.deadline(s), s.last_look or -math.inf, s.query.id))


def _port(policy: EvenPolicy) -> Policy:
    """That an `EvenPolicy` is a `Policy` is for the type checker to say."""
    return policy
