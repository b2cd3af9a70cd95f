"""Why a rule is or is not firing, how soon it can page, and what was spent to know: `watcher explain RULE`. Pure.

Built beside the daemon or without it, from the configuration and the recorded state: the evaluator is brought to where
it stood, as after a restart, and asked. So what is explained is what is recorded; a look that is under way is not part
of it. Asking the running daemon was considered: the command would then say nothing when it is needed most.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from watcher.alerts.affected import AFFECTED
from watcher.alerts.wording import number
from watcher.clock import day_start, rfc3339
from watcher.config import AccountConfig, Config
from watcher.detection import joined, judges, shortly
from watcher.model import SHARE, Series, State, StoreReader
from watcher.plan import VISIBLE, AccountPlan, RulePlan, plans
from watcher.rules.engine import Engine
from watcher.rules.past import hourly_of
from watcher.rules.rule import Part, Rule
from watcher.rules.template import duration
from watcher.rules.view import AlertView

MAX_SHOWN = 200  # alerts of one rule


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One alert of the rule as it stands, in words; `known_until` is the event time up to which it is known.

    `affected` is who is hurt, as far as it was said.
    """

    alert: AlertView
    why: str
    known_until: int
    affected: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """The rule for one account. `requests` are those of today in the pools it shares, `allowed` a day's; `looks` are
    the planned looks a day at what it needs."""

    account: AccountConfig
    plan: RulePlan
    earliest: float
    looks: float
    requests: float
    allowed: int
    alerts: tuple[Seen, ...]


def explain(config: Config, rule: Rule, reader: StoreReader, *, now: float) -> tuple[Explained, ...]:
    """One entry per account that the rule judges anything of. Raises `StoreError`."""
    covered, saved = reader.covered(), reader.alerts()
    hurt = {e.alert_id: e.annotations.get(AFFECTED, "") for e in reader.latest() if e.state is State.FIRING}
    found: list[Explained] = []
    for plan in plans(config):
        mine = next((r for r in plan.rules if r.rule.name == rule.name), None)
        if mine is None:
            continue
        account = plan.account
        engine = Engine(rules=[rule], settings=config.judging)
        ids = {query.id for query in account.queries}
        engine.restore(
            [s for s in saved if s.rule == rule.name and _account_of(s.body) == account.name],
            queries=account.queries,
            covered={query: until for query, until in covered.items() if query in ids},
            points=reader.points,
            now=now,
            earlier=hourly_of(reader.points),
        )
        views = [v for v in engine.alerts() if v.rule == rule.name and not v.silence]
        newest = {series: (value, at) for series, value, at in engine.newest()}
        found.append(
            Explained(
                account=account,
                plan=mine,
                earliest=min(q.delay for q in account.queries if judges(rule, q)) + VISIBLE,
                looks=_looks(plan, rule),
                requests=sum(s.units for s in reader.spends(account.name, day_start(now))),
                allowed=sum(pool.day.allowed for pool in account.pools if pool.day is not None),
                alerts=tuple(
                    Seen(alert=v, why=why(rule, v, newest), known_until=v.frontier, affected=hurt.get(v.id, ""))
                    for v in views[:MAX_SHOWN]
                ),
            )
        )
    return tuple(found)


def _account_of(body: Mapping[str, object]) -> str:
    series = body.get("series")
    return str(series[0]) if isinstance(series, Sequence) and series else ""


def _looks(plan: AccountPlan, rule: Rule) -> float:
    """Planned looks a day at what the rule judges and joins."""
    queries = plan.account.queries
    needed: set[str] = set()
    for query in (q for q in queries if judges(rule, q)):
        needed |= {query.id, *(other.id for other in joined(rule, query, queries))}
    return sum(q.per_day for q in plan.queries if q.query.id in needed)


def why(rule: Rule, alert: AlertView, newest: Mapping[Series, tuple[float, int]]) -> str:
    """One sentence for a person at night."""
    held = condition(rule)
    measures = rule.parts[0].measures if rule.share is None else SHARE
    value = "" if alert.value is None else f"newest value {number(alert.value, measures)}"
    state = {
        State.FIRING: f"fires since {rfc3339(alert.since)}: {held} held for {rule.hold} s",
        State.PENDING: f"pending since {rfc3339(alert.since)}: {held}, not yet for {rule.hold} s",
        State.RESOLVED: f"over since {rfc3339(alert.since)}",
        State.INACTIVE: f"not so: {held}",
    }[alert.state]
    missing = [_joined(r.signal, r.level.above, r.level.value, alert, newest) for r in rule.require]
    return "; ".join(filter(None, (state, value, *alert.says, *missing)))


def condition(rule: Rule) -> str:
    """What must hold, in the words of the rule."""
    parts = [_part(part) for part in rule.parts]
    held = f" {rule.join} ".replace(" all ", " and ").replace(" any ", " or ").join(parts)
    if rule.share is None:
        return held
    level = number(rule.share.level.value, SHARE)
    return f"{held} for more than {level} of series, at least {rule.share.at_least} of them known"


def _part(part: Part) -> str:
    """One condition: past a level, past what was normal, or past it over two times at once."""
    held = f"{part.measures} {'above' if part.level.above else 'below'}"
    if (baseline := part.baseline) is not None:
        least = number(baseline.at_least, part.measures)
        usual = "the same hour of the week" if baseline.period else f"the {duration(baseline.span)} before"
        return f"{held} what is normal in {usual} by {baseline.spread:g} spreads and at least {least}"
    level = f"{held} {number(part.level.value, part.measures)}"
    if part.burn is None:
        return level
    return f"{level} over {duration(part.aggregate.seconds)} and over {duration(part.burn.short.seconds)}"


def _joined(
    signal: str, above: bool, level: float, alert: AlertView, newest: Mapping[Series, tuple[float, int]]
) -> str:
    """What the rule requires, where the newest value of the same place does not meet it."""
    found = [
        value
        for series, (value, _) in newest.items()
        if series.signal == signal and all(getattr(series, k, "") in (v, "") for k, v in alert.labels.items())
    ]
    met = [value > level if above else value < level for value in found]
    return (
        "" if any(met) or not found else f"{signal} is {found[0]:g}, required {'above' if above else 'below'} {level:g}"
    )


# ── for people and for programs ──────────────────────────────────────────────────────────────────────────────────────


def as_json(rule: Rule, found: Sequence[Explained]) -> dict[str, Any]:
    """One document."""
    return {"rule": rule.name, "signal": rule.signal, "accounts": [_account_json(one) for one in found]}


def _account_json(one: Explained) -> dict[str, Any]:
    return {
        "account": one.account.name,
        "page_seconds": {"earliest": round(one.earliest, 1), **one.plan.wait.as_json()},
        "onset_to_page_seconds": one.plan.onset.as_json(),
        "looks_per_day": round(one.looks, 1),
        "requests_today": one.requests,
        "requests_allowed": one.allowed,
        "alerts": [
            {
                "labels": dict(seen.alert.labels),
                "state": str(seen.alert.state),
                "since": rfc3339(seen.alert.since) if seen.alert.since else None,
                "value": seen.alert.value,
                "threshold": seen.alert.threshold,
                "known_until": rfc3339(seen.known_until) if seen.known_until else None,
                "marks": sorted(seen.alert.marks),
                "why": seen.why,
                "affected": seen.affected,
            }
            for seen in one.alerts
        ],
    }


def lines(rule: Rule, found: Sequence[Explained], *, now: float) -> Iterator[str]:
    """The same as sentences."""
    yield f"{rule.name} judges {condition(rule)}; {rule.severity}, from {rule.place}"
    if not found:
        yield "  no configured account measures it"
    for one in found:
        wait = one.plan.wait
        yield (
            f"  {one.account.name}: once the condition has held, a page comes after {shortly(one.earliest)} at the "
            f"earliest, {shortly(wait.mean)} as a rule, {shortly(wait.worst)} at the latest"
        )
        of = f" of {one.allowed}" if one.allowed else ""
        yield (
            f"    to know it: about {one.looks:.0f} looks a day; "
            f"{one.requests:.0f}{of} requests of the account are spent today"
        )
        for seen in one.alerts:
            place = ", ".join(v for k, v in seen.alert.labels.items() if k in ("project", "product", "channel"))
            known = shortly(max(0.0, now - seen.known_until)) if seen.known_until else ""
            yield f"    {place}: {seen.why}" + (f"; known up to {known} ago" if known else "; not looked at yet")
            if seen.affected:
                yield f"      affected: {seen.affected}"
        if not one.alerts:
            yield "    nothing was seen of it yet"
