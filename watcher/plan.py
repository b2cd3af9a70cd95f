"""What a configuration will look at, what it spends, and how soon each rule can page: `watcher plan`. Pure.

Three times per rule, from the event time at which its condition has held long enough (`condition_at`) to the hand-over
of the message, and from the onset of the trouble, which comes the rule's own windows and `for` earlier:

* *worst* is the promise: the longest gap between looks that the schedule keeps, whatever else it does (`detection`). A
  `detect_within` that is shorter has been refused by `check` before anything gets here.
* *mean* and *95 %* are what a day without any knowledge comes to: the day's requests spread by the schedule's own
  arithmetic over an even load, so that a look comes at any point of a gap. Where the load follows the day, busy hours
  are looked at more often, and after the first alert of an incident its neighbours are looked at within a minute or
  two: `watcher backtest` says what that comes to on recorded days.

Nothing here is simulated: a plan must be explainable from the numbers it prints.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from watcher.budget.quota import Pool
from watcher.clock import DAY
from watcher.config import AccountConfig, Config
from watcher.detection import held_back, joined, judges, shortly, worst
from watcher.model import Query
from watcher.rules.rule import Rule
from watcher.schedule.adaptive import RESERVE
from watcher.schedule.pace import even, shortest
from watcher.schedule.rates import solve
from watcher.schedule.state import PoolView, QueryState

VISIBLE = 1.0  # seconds beyond the vendor's delay, since limits are strict


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryPlan:
    """One query: seconds between looks on an even day, the longest promised, and looks a day of either."""

    query: Query
    judged: bool
    usual_gap: float
    longest_gap: float

    @property
    def per_day(self) -> float:
        return DAY / self.usual_gap

    @property
    def least_per_day(self) -> float:
        return DAY / self.longest_gap


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Seconds."""

    mean: float
    p95: float
    worst: float

    def later(self, seconds: float) -> Times:
        return Times(mean=self.mean + seconds, p95=self.p95 + seconds, worst=self.worst + seconds)

    def as_json(self) -> dict[str, float]:
        return {"mean": round(self.mean, 1), "p95": round(self.p95, 1), "worst": round(self.worst, 1)}


@dataclass(frozen=True, slots=True, kw_only=True)
class RulePlan:
    """How soon a rule can page for an account: from `condition_at` (`wait`) and from the onset."""

    rule: Rule
    wait: Times
    onset: Times


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountPlan:
    account: AccountConfig
    queries: tuple[QueryPlan, ...]
    rules: tuple[RulePlan, ...]

    @property
    def not_asked(self) -> list[str]:
        """Signals that the vendor has and that nothing asks for."""
        asked = {series.signal for plan in self.queries for series in plan.query.series}
        return sorted(self.account.provider.signals - asked)


def plans(config: Config) -> tuple[AccountPlan, ...]:
    """The plan of every account."""
    return tuple(_account(account, config) for account in config.accounts)


def _account(account: AccountConfig, config: Config) -> AccountPlan:
    usual = _usual_gaps(account, config.rules)
    queries = tuple(
        QueryPlan(
            query=query,
            judged=any(judges(rule, query) for rule in config.rules),
            usual_gap=min(usual[query.id], account.gaps[query.id]),
            longest_gap=account.gaps[query.id],
        )
        for query in account.queries
    )
    rules = [r for rule in config.rules if (r := _rule(rule, queries, account, config)) is not None]
    return AccountPlan(account=account, queries=queries, rules=tuple(rules))


def _usual_gaps(account: AccountConfig, rules: Sequence[Rule]) -> dict[str, float]:
    """Seconds between looks on a day of even load, per query: in its slowest pool."""
    found: dict[str, float] = {}
    for pool in account.pools:
        members = [q for q in account.queries if pool.id in q.pools]
        states = [QueryState(query=q, heat=float(any(judges(r, q) for r in rules))) for q in members]
        for query, gap in zip(members, _gaps_in(pool, states, [account.gaps[q.id] for q in members]), strict=True):
            found[query.id] = max(gap, found.get(query.id, 0.0))
    return found


def _gaps_in(pool: PoolView, states: Sequence[QueryState], gaps: Sequence[float]) -> list[float]:
    daily = min((q.allowed for q in pool.quotas if q.window_seconds == DAY), default=None)
    if daily is None:
        round_ = even(pool) * sum(state.query.requests for state in states)
        return [max(round_, state.query.apart) for state in states]
    rates = solve(states, gaps, now=0.0, resets_at=float(DAY), reserve=RESERVE * daily, left=float(daily))
    least = shortest(pool.quotas) * len(states)
    return [max(1 / rate, least, s.query.every) for rate, s in zip(rates.now.tolist(), states, strict=True)]


def _rule(rule: Rule, queries: Sequence[QueryPlan], account: AccountConfig, config: Config) -> RulePlan | None:
    """None where the account has nothing that the rule judges. Of several queries, the slowest counts."""
    mine = [plan for plan in queries if judges(rule, plan.query)]
    if not mine:
        return None
    waits = [_wait(rule, plan, account, config) for plan in mine]
    wait = Times(mean=max(w.mean for w in waits), p95=max(w.p95 for w in waits), worst=max(w.worst for w in waits))
    lasts = max(rule.hold + rule.fills(p.query.width) * p.query.width for p in mine)
    return RulePlan(rule=rule, wait=wait, onset=wait.later(lasts))


def _wait(rule: Rule, plan: QueryPlan, account: AccountConfig, config: Config) -> Times:
    """From an event time to the hand-over: the first look that sees it, what it joins, and the route's patience.

    What a rule joins is asked for at once when it is missing, so as a rule it costs a place in the short quotas.
    """
    routes, undecided_for = config.alerts.routes, config.judging.undecided_for
    held = held_back(rule, routes)
    shown = plan.query.delay + VISIBLE + held
    also = max((shortest(pool.quotas) for pool in account.pools), default=0.0) if _joins(rule, plan, account) else 0.0
    return Times(
        mean=shown + plan.usual_gap / 2 + also,
        p95=shown + 0.95 * plan.usual_gap + also,
        worst=worst(rule, plan.query, account.queries, account.gaps, routes=routes, undecided_for=undecided_for),
    )


def _joins(rule: Rule, plan: QueryPlan, account: AccountConfig) -> bool:
    """Whether the rule needs another query's answer."""
    return any(other is not plan.query for other in joined(rule, plan.query, account.queries))


# ── for people and for programs ──────────────────────────────────────────────────────────────────────────────────────


def as_json(found: Sequence[AccountPlan]) -> dict[str, Any]:
    """One document: accounts with pools, queries and rules. All times in seconds."""
    return {"accounts": [_account_json(plan) for plan in found]}


def _account_json(plan: AccountPlan) -> dict[str, Any]:
    account = plan.account
    return {
        "account": account.name,
        "provider": account.settings.provider,
        "pools": [
            {
                "pool": pool.id,
                "quotas": [{"window": q.window, "limit": q.limit, "allowed": q.allowed} for q in pool.quotas],
                "queries": sum(pool.id in q.query.pools for q in plan.queries),
                "promised_per_day": round(_promised(plan, pool), 1),
                "reserve_per_day": round(RESERVE * pool.day.allowed, 1) if pool.day is not None else None,
            }
            for pool in account.pools
        ],
        "queries": [
            {
                "query": q.query.id,
                "pools": list(q.query.pools),
                "judged": q.judged,
                "looks_per_day": round(q.per_day, 1),
                "usual_gap_seconds": round(q.usual_gap, 1),
                "longest_gap_seconds": round(q.longest_gap, 1),
                "vendor_delay_seconds": q.query.delay,
                "window_seconds": q.query.width,
                "requests_per_look": q.query.requests,
                "nodes_per_request": q.query.nodes or None,
            }
            for q in plan.queries
        ],
        "rules": [
            {
                "rule": r.rule.name,
                "wait_seconds": r.wait.as_json(),
                "onset_to_page_seconds": r.onset.as_json(),
                "detect_within": r.rule.detect_within,
            }
            for r in plan.rules
        ],
        "not_asked": plan.not_asked,
    }


def _promised(plan: AccountPlan, pool: Pool) -> float:
    """Requests a day of a pool that the longest gaps alone take."""
    return sum(q.least_per_day * q.query.requests for q in plan.queries if pool.id in q.query.pools)


def lines(found: Sequence[AccountPlan]) -> Iterator[str]:
    """The same as a table."""
    for plan in found:
        yield f"{plan.account.name} ({plan.account.settings.provider}): {len(plan.queries)} queries"
        for pool in plan.account.pools:
            quotas = ", ".join(f"{q.allowed} a {q.window}" for q in pool.quotas)
            rest = ", the rest goes where users are" if pool.day is not None else ""
            yield f"  {pool.id}: at most {quotas}; promises take {_promised(plan, pool):.0f} a day{rest}"
        yield f"  {'query':52} {'looks a day':>12} {'usual gap':>10} {'longest':>10}"
        for q in plan.queries:
            longest, usual = shortly(q.longest_gap), shortly(q.usual_gap)
            nodes = f"  at most {q.query.nodes:,} nodes a request" if q.query.nodes else ""
            yield f"  {q.query.id:52} {q.per_day:12.0f} {usual:>10} {longest:>10}{nodes}"
        if plan.not_asked:
            yield f"  not asked, since no rule needs it: {', '.join(plan.not_asked)}"
        if plan.rules:
            head = "rule: time to the page, from condition_at"
            yield f"  {head:52} {'mean':>12} {'95 %':>10} {'worst':>10}  from onset, worst"
        for r in plan.rules:
            wait = r.wait
            cells = f"{shortly(wait.mean):>12} {shortly(wait.p95):>10} {shortly(wait.worst):>10}"
            yield f"  {r.rule.name:52} {cells}  {shortly(r.onset.worst)}"
