"""What the schedule knows, and the one question it answers: which query next, when, and why.

A policy is a pure function of the states of an account's queries, of how its quotas stand, and of an instant, so that a
cleverer one can take the place of the even one, and the backtest can run either in virtual time. All instants here are
the run clock's; whoever builds a `QueryState` takes the vendor's offset off its event time.

Quotas are seen through `UsageView` and `PoolView`, which the budget's types satisfy: neither package imports the other.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol

from watcher.clock import DAY
from watcher.model import Query
from watcher.schedule.load import Load


class Why(StrEnum):
    """Why a slot is what it is: a closed set, so that it can be a metric label."""

    DUE = "due"  # its turn in the rotation
    CATCH_UP = "catch_up"  # behind after a start or a pause
    URGENT = "urgent"  # an undecided rule waits for it
    RETRY = "retry"  # its last look failed
    PROMISE = "promise"  # the longest gap it was promised is up
    PENDING = "pending"  # a pending alert could be confirmed
    SIBLING = "sibling"  # another signal or product of the project is in breach
    NEAR = "near"  # its turn, sooner since its values are near a rule's line
    SILENT = "silent"  # the vendor says nothing of a place: is anybody there?
    HINT = "hint"  # somebody outside said that something is wrong
    BLIND = "blind"  # nothing: the vendor refuses until then
    SPENT = "spent"  # nothing: our own budget is spent until then
    IDLE = "idle"  # nothing to look at


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A reason to look out of turn: at windows up to event time `covers` (run clock). Lower `rank` goes first."""

    reason: Why
    covers: float
    rank: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryState:
    """Where one query stands.

    `covered_until` is the event time up to which its windows were fetched, on the run clock; None where none ever was.
    `last_look` is when it was last tried, `failures` how often in a row that failed, `not_before` what the vendor
    wished (`Retry-After`), `urgent` that an undecided rule waits for it. `forgiven` is how many of its failures hold it
    back no longer, since the vendor has answered another of its family.

    The rest is what the account's own points and alerts say of it, for policies that weigh it: `load` the users at risk
    by hour, `idle` that nobody is in calls there, `heat` how much likelier than usual an alert is (0: no rule judges
    it), `evidence` a reason to look out of turn.
    """

    query: Query
    covered_until: float | None = None
    last_look: float | None = None
    failures: int = 0
    forgiven: int = 0
    not_before: float = 0.0
    urgent: bool = False
    load: Load | None = None
    idle: bool = False
    heat: float = 1.0
    evidence: Evidence | None = None

    @property
    def unforgiven(self) -> int:
        """The failures in a row that hold it back."""
        return self.failures - self.forgiven

    @property
    def seen(self) -> float | None:
        """When it was last looked at with success; from what is covered, where that was before a restart."""
        if self.last_look is not None and self.failures == 0:
            return self.last_look
        return None if self.covered_until is None else self.covered_until + self.query.delay


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """The next look: `query_id` at `at`; or nothing (None) until `at`, when to ask again."""

    query_id: str | None
    at: float
    reason: Why


class QuotaView(Protocol):
    """A quota as configured."""

    @property
    def window_seconds(self) -> int: ...

    @property
    def allowed(self) -> int: ...


class PoolView(Protocol):
    """A pool as configured: a request in it spends one of each of its quotas."""

    @property
    def id(self) -> str: ...

    @property
    def quotas(self) -> Sequence[QuotaView]: ...


class UsageView(QuotaView, Protocol):
    """A quota of a pool as it stands now."""

    @property
    def pool(self) -> str: ...

    @property
    def left(self) -> float: ...

    @property
    def resets_at(self) -> float: ...

    @property
    def free_at(self) -> float: ...

    @property
    def blocked_until(self) -> float | None: ...


class Policy(Protocol):
    """Chooses the next look of one account."""

    def next(self, states: Sequence[QueryState], usage: Sequence[UsageView], now: float) -> Slot:
        """The next slot, never before `now`. To be asked again after every look, and when anything becomes urgent."""
        ...

    def spare(
        self, states: Sequence[QueryState], usage: Sequence[UsageView], pools: Sequence[str], now: float
    ) -> float:
        """When a request of these pools could leave that is no look; infinity where promises and reserve have none to
        give now. To be asked again then: it may be later."""
        ...


_LONGEST_WISH = float(DAY)
"""Seconds for which a vendor may ask for a pause; a longer wait means that the clock was set back meanwhile."""

# ── how states change ────────────────────────────────────────────────────────────────────────────────────────────────


def looked(states: Sequence[QueryState], query_id: str, *, at: float, covered_until: float) -> tuple[QueryState, ...]:
    """After an answered look: the vendor answers, so what failed before in its family may be tried at once.

    What was sound all the while says so once to each: who fails again has a trouble of its own, and the day's requests
    would go to such. What had failed by itself is a recovery, and says it to all.
    """
    query, recovered = next(((s.query, s.unforgiven) for s in states if s.query.id == query_id), (None, 0))

    def change(state: QueryState) -> QueryState:
        if state.query.id == query_id:
            return QueryState(query=state.query, covered_until=covered_until, last_look=at)
        kin = query is not None and state.query.family == query.family
        if kin and state.failures and (recovered or not state.forgiven):
            return replace(state, forgiven=state.failures)
        return state

    return tuple(map(change, states))


def failed(
    states: Sequence[QueryState], query_id: str, *, at: float, retry_after: float | None = None
) -> tuple[QueryState, ...]:
    """After a look that failed; `retry_after` in seconds, where the vendor wished for a pause."""
    return tuple(
        replace(s, last_look=at, failures=s.failures + 1, not_before=at + (retry_after or 0.0))
        if s.query.id == query_id
        else s
        for s in states
    )


def rewound(
    states: Sequence[QueryState], covered_until: Mapping[str, float | None], now: float
) -> tuple[QueryState, ...]:
    """After the clock was set back: what was tried "later than now" is judged by what is covered, or nothing would be
    due until it is that late again. `covered_until` is as the clock stands now. Else the states as they are."""
    return tuple(
        replace(
            s,
            last_look=None,
            covered_until=covered_until.get(s.query.id),
            not_before=s.not_before if s.not_before <= now + _LONGEST_WISH else 0.0,
        )
        if max(s.last_look or now, s.covered_until or now) > now or s.not_before > now + _LONGEST_WISH
        else s
        for s in states
    )


def wanted(states: Sequence[QueryState], query_ids: Collection[str]) -> tuple[QueryState, ...]:
    """Exactly these queries are urgent now."""
    return tuple(
        s if s.urgent == (s.query.id in query_ids) else replace(s, urgent=s.query.id in query_ids) for s in states
    )


def related(states: Sequence[QueryState], query: Query) -> tuple[QueryState, ...]:
    """The queries of the same family of requests: what one of them suffers is a sign for the others."""
    return tuple(s for s in states if s.query.family == query.family)


def failing(states: Sequence[QueryState]) -> bool:
    """True where the latest of these looks failed: until one succeeds, it is probed at its normal pace at most."""
    latest = _latest(states)
    return latest is not None and latest.failures > 0


def extra_requests(states: Sequence[QueryState], query_id: str) -> int:
    """How many requests beside its first a look may make: further pages, and one second domain.

    No second domain while failing, so that an outage costs the account no more than its normal pace.
    """
    state = next((s for s in states if s.query.id == query_id), None)
    if state is None:
        return 0 if failing(states) else 1
    return state.query.most_requests - 1 + (0 if state.failures or failing(related(states, state.query)) else 1)


def _latest(states: Sequence[QueryState]) -> QueryState | None:
    """The query that was looked at last, as far as is known."""
    return max((s for s in states if s.last_look is not None), key=lambda s: s.last_look or 0.0, default=None)
