"""The adaptive schedule: look where an alert is likeliest to be found, and never later than promised.

The next look is the first of these that has a cause, and its reason says which it was:

1. *Promise.* Every query has a longest gap (`promise`). Of several that come due together the last must still be in
   time, so the first goes early enough: the backlog is counted back from each deadline. Nothing else may take the room
   in a short quota that a promise needs. What fails cannot keep its promise, and is no reason to miss another's: it has
   none until it is answered, and the day keeps for it what one would cost, and its first retry.
2. *Evidence.* An undecided rule waits for it, a pending alert could be confirmed by it, another signal of the project
   is in breach, somebody outside said so. Not before the windows that it is about can be seen, and one look per cause:
   what was looked at and is quiet is no evidence any more, so an incident calms down by itself.
3. *Retry.* What failed is tried again: at once when the vendor has answered another of its family, and if it fails
   again, at an even distance, then twice, four times as long, up to a round. To leave it to its longest gap would keep
   a pending alert, and the question whether the account can be seen, waiting for a quarter of an hour and more over
   two hiccups in a row. All but the first is paid from what remains beyond all promises, those of the failing
   included; where nothing does, it is tried once in its gap.
4. *Turn.* The rest goes round at the rates of `rates`: with the square root of the users at risk, faster near a rule's
   line, nobody where nobody is, and nothing for queries that no rule judges: a promise is all they have. The one that
   is most overdue by its own rate goes first, which spreads queries out, so that an incident on several signals is met
   by the first of them.

Evidence is paid from a reserve, a share of the day's requests that the turns do not count on: about what seven
incidents cost on the smallest plan. It shrinks in proportion to the risk that is still to come, so that what no
incident asked for is back in the turns as the day goes on, not all in its last hour. Half of what there is of it,
evidence may never take: a noisy morning leaves that for the afternoon. At 24:00 nothing is held back, and promises are
counted before either.

Each look waits for the next window to be there, some seconds at most: a second too early it would read one fewer.

While the latest look of a family failed, nothing of it goes out of turn, and retries are an even distance apart. What
one family of requests suffers changes nothing for another (`state.related`).
Considered and not taken: looking ahead by simulation. It would find a few per cent, and no one could say why it looked.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np

from watcher.clock import DAY
from watcher.model import Floats
from watcher.schedule.pace import jam, shortest
from watcher.schedule.rates import Rates, solve
from watcher.schedule.state import Policy, QueryState, Slot, UsageView, Why, failing, related

RESERVE = 0.05
"""Share of a day's requests that is held back for evidence at the beginning of the day (18-20 of 479 were used)."""

_UNTOUCHED = 1 / 2  # of what is left of the reserve: for the rest of the day
_RIPE = 0.5  # of its own gap that must have passed before a query has its turn
_EARLY = 5.0  # seconds before its deadline at which a promised look leaves
_VISIBLE = 2.5  # seconds after a vendor's delay: whole seconds at their side, and our idea of their time may be late
_STALE = 4.0  # seconds after a window became visible in which it still counts as news
_SOONEST = 2  # windows: no rate asks for less between two looks
_HANGS = 30.0  # seconds that a look which fails may take, when nothing else is asked
_AGAIN = 60.0  # seconds until what failed is first tried again, where an even day would do so sooner


class AdaptivePolicy:
    """See the module. Holds only the promises (query id -> seconds): equal inputs give equal slots."""

    def __init__(self, *, gaps: Mapping[str, float]) -> None:
        self._gaps = dict(gaps)

    def next(self, states: Sequence[QueryState], usage: Sequence[UsageView], now: float) -> Slot:
        """The earliest slot of all groups of queries that are counted together."""
        standing = {pool: tuple(views) for pool, views in groupby(usage, key=lambda view: view.pool)}
        groups = dict.fromkeys(s.query.pools for s in states)
        asked = {pool for ids in groups for pool in ids}
        pools = {pool: self._pool(pool, views, states, now) for pool, views in standing.items() if pool in asked}
        slots = [_next(_group(ids, states, pools, self._gaps, now)) for ids in groups]
        return min(slots, key=lambda slot: slot.at, default=Slot(query_id=None, at=math.inf, reason=Why.IDLE))

    def spare(
        self, states: Sequence[QueryState], usage: Sequence[UsageView], pools: Sequence[str], now: float
    ) -> float:
        """See `Policy`. Paid from the reserve like evidence. The last room of a short quota is for promises, and for
        looks that a page waits for."""
        if not failing(states) and any(s.query.pools == tuple(pools) for s in states):
            standing = {pool: tuple(views) for pool, views in groupby(usage, key=lambda view: view.pool)}
            group = _Group(
                [s for s in states if s.query.pools == tuple(pools)],
                [self._pool(pool, standing[pool], states, now) for pool in pools],
                self._gaps,
                now,
                calm=True,
            )
            if group.spare >= 1 and max(group.blind_until, group.spent_until) <= now:
                due = min([_promised(group).at, *map(group.ready, filter(_confirms, group.states))])
                alone = group.room >= 2 or due > group.soonest + group.jam
                return group.soonest if alone else max(due, group.soonest) + 1.0
        return math.inf

    def _pool(self, pool: str, views: Sequence[UsageView], states: Sequence[QueryState], now: float) -> _Pool:
        """How a pool stands, and how fast its queries are to be looked at."""
        members = [s for s in states if pool in s.query.pools]
        daily = next((v for v in views if v.window_seconds == DAY), None)
        short = [v for v in views if v.window_seconds < DAY]
        fastest = shortest(views)
        gaps = [self._gaps[s.query.id] - fastest - 1.0 for s in members]  # when they are looked at in fact
        if daily is None:
            rates = Rates(now=_even(members, fastest), reserve=0.0)
            spare, surplus = math.inf, math.inf
        else:
            reserve = RESERVE * daily.allowed
            rates = solve(members, gaps, now=now, resets_at=daily.resets_at, reserve=reserve, left=daily.left)
            needed = (
                _needed(s, gap, now, daily.resets_at) * s.query.requests for s, gap in zip(members, gaps, strict=True)
            )
            surplus = daily.left - sum(needed)
            spare = surplus - _UNTOUCHED * rates.reserve
        looks = [s.last_look for s in members if s.last_look is not None and s.last_look <= now]
        cost = min((s.query.requests for s in members), default=1)
        return _Pool(
            rates={s.query.id: float(r) for s, r in zip(members, rates.now, strict=True)},
            last=max(looks, default=-math.inf),
            fastest=fastest,
            jam=jam(views),
            room=min((v.left for v in short), default=math.inf),
            free_at=max(v.free_at for v in views),
            blind_until=max((v.blocked_until or -math.inf for v in views), default=-math.inf),
            spent_until=daily.resets_at if daily is not None and daily.left < cost else -math.inf,
            even=0.0 if daily is None else max(0.0, daily.resets_at - now) / max(1.0, daily.left / cost),
            spare=spare,
            surplus=surplus,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pool:
    """One pool as it stands. `rates` are looks a second; `spare` is what evidence may take, `surplus` what is left
    beyond the promises of the day; `even` is the distance of looks that spends the rest of the day evenly."""

    rates: Mapping[str, float]
    last: float
    fastest: float
    jam: float
    room: float
    free_at: float
    blind_until: float
    spent_until: float
    even: float
    spare: float
    surplus: float


class _Group:
    """Queries that spend the same pools: of what those say, the tightest counts."""

    def __init__(
        self,
        states: Sequence[QueryState],
        pools: Sequence[_Pool],
        gaps: Mapping[str, float],
        now: float,
        calm: bool,
    ) -> None:
        self.states = states
        self.promised = [s for s in states if not s.idle and not s.failures]
        self.now = now
        self.calm = calm
        self.blind_until = max(p.blind_until for p in pools)
        self.spent_until = max(p.spent_until for p in pools)
        self.soonest = max(now, *(p.free_at for p in pools))
        self.step = max(p.fastest for p in pools) + 1.0
        self.jam = max(p.jam for p in pools)
        self.room = min(p.room for p in pools)
        self.spare = min(p.spare for p in pools)
        self.surplus = min(p.surplus for p in pools)
        self.even = max(self.step, *(p.even for p in pools))
        self.spaced = max(p.last + p.fastest for p in pools)
        self.paced = max(p.last + max(p.fastest, p.even) for p in pools)
        self._gaps = gaps
        self._rates = {
            s.query.id: min(*(p.rates[s.query.id] for p in pools), 1 / (s.query.every or _SOONEST * s.query.width))
            for s in states
        }
        self._seen = {s.query.id: _seen(s) for s in states}
        self._ready = {s.query.id: self._ready_at(s) for s in states}

    def rate(self, state: QueryState) -> float:
        return self._rates[state.query.id]

    def seen(self, state: QueryState) -> float:
        """See `_seen`."""
        return self._seen[state.query.id]

    def deadline(self, state: QueryState) -> float:
        return self.seen(state) + self._gaps[state.query.id]

    def overdue(self, state: QueryState, at: float) -> float:
        """How much of its own gap has passed."""
        return (at - self.seen(state)) * self.rate(state)

    def ready(self, state: QueryState) -> float:
        """The first instant at which looking could bring something and is not held back."""
        return self._ready[state.query.id]

    def _ready_at(self, state: QueryState) -> float:
        if state.last_look is None:
            return state.not_before
        if not state.failures:
            return max(state.not_before, state.last_look + state.query.apart)
        if self.surplus < (0 if _hiccup(state) else state.query.requests):  # no more than its own promise would cost
            return max(state.not_before, state.last_look + self._gaps[state.query.id])
        if not state.unforgiven:
            return state.not_before
        longest = max(self.even * len(self.states), state.query.apart)  # a round, or as long as if it were well
        wait = min(max(self.even, _AGAIN) * 2.0 ** min(state.unforgiven - 1, 16), longest)
        lost = self.seen(state) + state.query.reach
        retry = state.last_look + wait
        if lost > state.last_look + self.jam:  # in time for its windows, where there is time
            retry = min(retry, max(state.last_look + self.jam, lost - self.jam))
        return max(state.not_before, retry)


def _group(
    ids: tuple[str, ...],
    states: Sequence[QueryState],
    pools: Mapping[str, _Pool],
    gaps: Mapping[str, float],
    now: float,
) -> _Group:
    mine = [s for s in states if s.query.pools == ids]
    return _Group(mine, [pools[id_] for id_ in ids], gaps, now, calm=not failing(related(states, mine[0].query)))


def _next(group: _Group) -> Slot:
    """The next slot of one group."""
    if group.blind_until > group.now:
        return Slot(query_id=None, at=group.blind_until, reason=Why.BLIND)
    if group.spent_until > group.now:
        return Slot(query_id=None, at=group.spent_until, reason=Why.SPENT)
    promised = _promised(group)
    found = (_evidence(group) if group.calm else None, _retry(group), _turn(group))
    others = [slot for slot in found if slot is not None]
    if not others:
        return promised
    other = min(others, key=lambda slot: slot.at)
    over = other.at + (_HANGS if other.reason is Why.RETRY else 0.0)
    if promised.at <= over:
        return promised
    reserved = sum(group.deadline(s) - _EARLY <= over + group.jam for s in group.promised)
    if reserved and group.room <= reserved:
        # what a short quota has left is for the promises that come due before it has more
        return replace(promised, at=max(group.soonest, other.at))
    return other


def _promised(group: _Group) -> Slot:
    """The look that the promises ask for next: the first by deadline, early enough for all behind it."""
    if not group.promised:
        return Slot(query_id=None, at=math.inf, reason=Why.IDLE)
    first = min(group.promised, key=lambda s: (group.deadline(s), s.last_look or 0.0, s.query.id))
    latest = min(at - n * group.step for n, at in enumerate(sorted(map(group.deadline, group.promised)))) - _EARLY
    at = max(group.soonest, group.ready(first), latest)
    if group.surplus < 0:  # not enough for every promise: at an even pace
        at = max(at, group.paced)
    behind = group.deadline(first) < group.now - group.step
    return Slot(query_id=first.query.id, at=at, reason=Why.CATCH_UP if behind else Why.PROMISE)


def _evidence(group: _Group) -> Slot | None:
    """The look that something calls for, where the reserve has one to give; what a verdict needs takes any."""
    if group.surplus < 1:
        return None
    best: tuple[float, int, float, str] | None = None
    chosen: tuple[QueryState, Why] | None = None
    for state in group.states:
        if state.unforgiven or state.idle:
            continue
        if state.urgent:
            reason, rank, visible = Why.URGENT, -1, group.seen(state) + state.query.width
        elif state.evidence is not None:
            reason, rank = state.evidence.reason, state.evidence.rank
            visible = state.evidence.covers + state.query.delay + _VISIBLE
        else:
            continue
        if group.spare < state.query.requests and reason not in (Why.URGENT, Why.SILENT):
            continue
        at = max(group.soonest, group.ready(state), visible)
        key = (at, rank, group.seen(state), state.query.id)
        if best is None or key < best:
            best, chosen = key, (state, reason)
    if best is None or chosen is None:
        return None
    return Slot(query_id=chosen[0].query.id, at=best[0], reason=chosen[1])


def _confirms(state: QueryState) -> bool:
    """Whether a page waits for this look."""
    pending = state.evidence is not None and state.evidence.reason is Why.PENDING
    return (state.urgent or pending) and not state.idle and not state.unforgiven


def _retry(group: _Group) -> Slot | None:
    """The next look at what failed; of an idle query too, which is not known to be seen before it is answered."""
    failed = [s for s in group.states if s.failures]
    if not failed:
        return None
    first = min(failed, key=lambda s: (group.ready(s), group.seen(s), s.query.id))
    at = max(group.soonest, group.spaced if group.calm else group.paced, group.ready(first))
    return Slot(query_id=first.query.id, at=at, reason=Why.RETRY)


def _turn(group: _Group) -> Slot | None:
    """The next look of the round: of those that are ripe when the turn comes, the most overdue."""
    if group.surplus < min(s.query.requests for s in group.states):
        return None
    taking = [s for s in group.states if s.heat and not s.idle and not s.failures and group.rate(s) > 0]
    if not taking:
        return None
    turn = max(group.soonest, group.spaced, _pace(group, taking))
    found: list[tuple[float, float, str, QueryState]] = []
    for state in taking:
        at = _aligned(state, max(turn, group.ready(state), group.seen(state) + _RIPE / group.rate(state)))
        found.append((at, -group.overdue(state, at), state.query.id, state))
    first = min(at for at, *_ in found)
    at, _, _, chosen = min((f for f in found if f[0] < first + f[3].query.width), key=lambda f: (f[1], f[2]))
    return Slot(query_id=chosen.query.id, at=at, reason=Why.NEAR if chosen.heat > 1 else Why.DUE)


def _pace(group: _Group, taking: Sequence[QueryState]) -> float:
    """When the next turn is due. Of a round that runs evenly the next has waited for all of its gap, the others for
    half of theirs on average: so far, together, they have to come. A look that came late for its window, or early
    for evidence, is made up for by the next ones, which a distance from the last look would not do."""
    waited = sum(group.overdue(s, group.now) for s in taking)
    return group.now + ((len(taking) + 1) / 2 - waited) / sum(map(group.rate, taking))


def _aligned(state: QueryState, at: float) -> float:
    """`at`, or the first instant after it at which one more window is to be seen, where one has just been."""
    if state.covered_until is None:
        return at
    late = (at - state.covered_until - state.query.delay - _VISIBLE) % state.query.width
    return at if late <= _STALE else at + state.query.width - late


def _seen(state: QueryState) -> float:
    """When everything there was to see was seen: at its last look, or what was known without one."""
    looked = -math.inf if state.seen is None else state.seen
    return looked if state.covered_until is None else max(looked, state.covered_until + state.query.delay)


def _hiccup(state: QueryState) -> bool:
    """A first failure: the look that was promised is still to come. After a second there may be none that succeeds."""
    return state.failures == 1


def _needed(state: QueryState, gap: float, now: float, until: float) -> int:
    """Looks that a promise needs before `until`; one that failed was one of them, but for a hiccup. As if just seen
    where nobody is there, who may come at any time."""
    kept = _seen(state) if state.last_look is None or _hiccup(state) else max(_seen(state), state.last_look)
    first = now if state.idle else max(kept, now - gap)
    return max(0, math.floor((until - first) / gap))


def _even(states: Sequence[QueryState], fastest: float) -> Floats:
    """Without a daily quota there is nothing to save: as fast as the short quotas allow, all alike."""
    return np.full(len(states), 1 / max(fastest * len(states), 1.0))


def _port(policy: AdaptivePolicy) -> Policy:
    """That an `AdaptivePolicy` is a `Policy` is for the type checker to say."""
    return policy
