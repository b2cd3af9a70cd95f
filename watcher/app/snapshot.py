"""What the parts know, as the metrics want it: read at each scrape, written nowhere.

A series' age limit is twice the longest gap that the schedule promises for its query, plus the vendor's delay (design,
section 8; of days, `account.age_limit`): older than that, the last value would be a memory shown as a fact.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict

from watcher import __version__
from watcher.alerts.outbox import Outbox
from watcher.app.account import AccountLoop, age_limit
from watcher.app.recorder import Recorder
from watcher.config import AccountConfig, Config
from watcher.metrics import AccountHealth, PoolHealth, QuotaHealth, RuleHealth, SeriesValue, Snapshot, TargetHealth
from watcher.model import SHARE
from watcher.rules.rule import Rule


def take(
    *,
    now: float,
    started_at: float,
    config: Config,
    loops: Mapping[str, AccountLoop],
    outboxes: Sequence[Outbox],
    recorder: Recorder | None,
    reloads: Mapping[bool, int],
    reloaded_at: float | None,
    restarts: Mapping[str, int],
    hooks: Mapping[tuple[str, str], int],
) -> Snapshot:
    """Everything as of `now`. Accounts that have not begun yet are shown with nothing."""
    errors = Counter({rule.name: 0 for rule in config.rules})
    for loop in loops.values():
        errors.update(loop.engine.stats.crashes)
    firing = sum((loop.engine.firing() for loop in loops.values()), Counter())
    learning = sum((loop.engine.learning() for loop in loops.values()), Counter())
    return Snapshot(
        now=now,
        version=__version__,
        started_at=started_at,
        values=[value for account in config.accounts for value in _values(account, loops.get(account.name))],
        accounts=[_account(account, loops[account.name], now) for account in config.accounts if account.name in loops],
        targets=[_target(outbox) for outbox in outboxes],
        severities=sorted({rule.severity for rule in config.rules}),
        alerts=sum((loop.engine.standing() for loop in loops.values()), Counter()),
        transitions=recorder.entered if recorder else {},
        rules=[_rule(rule, firing[rule.name], learning[rule.name]) for rule in config.rules],
        rule_errors=errors,
        unrouted=recorder.unrouted if recorder else 0,
        store_errors=recorder.failures if recorder else 0,
        reloads=reloads,
        reloaded_at=reloaded_at,
        restarts=restarts,
        hooks=hooks,
        limits={
            "kept_transitions": recorder.overflowed if recorder else 0,
            "retired_alerts": sum(loop.engine.stats.forgotten for loop in loops.values()),
        },
    )


def _values(account: AccountConfig, loop: AccountLoop | None) -> Iterator[SeriesValue]:
    if loop is None:
        return
    limits = {s: age_limit(query, account.gaps[query.id]) for query in account.queries for s in query.series}
    ahead = loop.ledger.offset
    for series, value, ended_at in loop.engine.newest():
        if series in limits:
            yield SeriesValue(series, value, ended_at - ahead, limits[series])


def _account(account: AccountConfig, loop: AccountLoop, now: float) -> AccountHealth:
    stats, usage = loop.stats, loop.ledger.usage(now)
    losses = loop.engine.stats.losses
    return AccountHealth(
        account=account.name,
        provider=account.settings.provider,
        signals=sorted({series.signal for query in account.queries for series in query.series}),
        looks=stats.outcomes,
        look_seconds=stats.seconds,
        scheduled=stats.reasons,
        budget_refusals=stats.budget_refusals,
        windows_covered=stats.covered_windows,
        windows_lost=stats.lost_windows,
        oddities=loop.oddities,
        limits=asdict(losses),
        covered_at={state.query.id: state.covered_until for state in loop.states},
        age_limits={q.id: age_limit(q, account.gaps.get(q.id, q.reach)) for q in account.queries},
        quotas=[
            QuotaHealth(
                pool=u.pool,
                family=u.family,
                window=u.window,
                spent=u.spent,
                allowed=u.allowed,
                limit=u.limit,
                worst=u.worst,
                resets_at=u.resets_at,
            )
            for u in usage
        ],
        pools=[
            PoolHealth(pool=u.pool, family=u.family, requests=u.granted, refused=u.refused_by_vendor)
            for u in {u.pool: u for u in usage}.values()
        ],
        blind=loop.sight.reason(),
        inquiries={str(outcome): n for outcome, n in loop.inquiries.outcomes.items()},
        inquiry_requests=loop.inquiries.allowance.requests,
        questions={str(outcome): n for outcome, n in loop.questions.outcomes.items()},
        question_requests=loop.questions.requests,
    )


def _rule(rule: Rule, firing: int, learning: int) -> RuleHealth:
    moves = rule.share is None and rule.baseline is not None
    level, clear = (rule.level, rule.clear) if rule.share is None else (rule.share.level, rule.share.clear)
    return RuleHealth(
        rule=rule.name,
        signal=rule.parts[0].measures if rule.share is None else f"{SHARE}/{rule.signal}",
        severity=rule.severity,
        threshold=None if moves else level.value,
        clear=None if moves else (clear or level).value,
        firing=firing,
        learning=learning,
    )


def _target(outbox: Outbox) -> TargetHealth:
    stats = outbox.stats()
    return TargetHealth(
        target=stats.target,
        notifications={"sent": stats.sent, "expired": stats.expired, "refused": stats.refused},
        failures=stats.failed,
        dropped={str(reason): n for reason, n in stats.dropped.items()},
        held={str(reason): n for reason, n in stats.held.items()},
        said={str(reason): n for reason, n in stats.said.items()},
        not_durable=stats.not_durable,
        overflowed=stats.overflowed,
        open=stats.open,
        oldest_age=stats.oldest_age,
        undelivered_age=stats.undelivered_age,
        in_flight=stats.in_flight,
        hung=stats.hung,
        failing=stats.failing_since is not None,
    )
