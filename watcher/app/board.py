"""From what the parts know to what the page and the API show: plain functions of `Material` and the recorded state.

Run in a thread. The order of things is decided here: the worst alert first, the soonest look first. So are the bounds:
what is over them is counted and said (`left_out`), never silently missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from watcher.alerts.mutes import Firing
from watcher.app.curves import Curves
from watcher.app.desk import alert_shape, silence_shape
from watcher.app.material import Material, Turn
from watcher.clock import DAY, HOUR, rfc3339
from watcher.config import AccountConfig
from watcher.errors import StoreError, clip
from watcher.explain import condition, why
from watcher.metrics import AccountHealth, QuotaHealth, SeriesValue
from watcher.model import Gap, Labels, Series, State, StoreReader, Transition, judged_by, unit_of
from watcher.rules.rule import Rule, feeds
from watcher.schedule import QueryState, Why
from watcher.web import shapes
from watcher.web.views import MAX_ALERTS, MAX_CHARTS, MAX_LOOKS, Board

_RANK = {"critical": 0, "warning": 1, "info": 2}
_TEXT = 300  # characters of a summary or a label that are shown

REASONS: Mapping[str, str] = {
    "auth": "the vendor refuses the credentials",
    "plan": "the vendor's plan does not include this API",
    "day_quota": "the vendor says that the day's budget is spent",
    "rate": "the vendor says that too many requests came",
    "server": "the vendor's servers fail",
    "network": "the vendor cannot be reached",
    "timeout": "the vendor does not answer in time",
    "malformed": "the vendor answers with something else",
    "maintenance": "the vendor is in maintenance",
    "budget": "our own budget is spent",
}
"""Why an account cannot be seen, for people; what is not here is shown by its slug."""


def compose(material: Material, reader: StoreReader | None, curves: Curves, *, can_change: bool) -> Board:
    """The board. Without a state that can be read it has no charts, no gaps and no pace."""
    snapshot = material.snapshot
    alerts, left_out = _worst_first(material)
    known = Known(material)
    gaps = _gaps(reader, snapshot.now)
    signals = sorted(snapshot.values, key=lambda value: value.series)
    accounts = [_account(material, account, gaps, reader) for account in material.config.accounts]
    ages = [account.data_age_seconds for account in accounts if account.data_age_seconds is not None]
    shown = signals[:MAX_CHARTS]
    levels = _Levels(material.config.rules)
    status = shapes.Status(
        version=snapshot.version,
        now=_time(int(snapshot.now)),
        started_at=_time(snapshot.started_at),
        firing=_by_severity(material.firing),
        pending=len(material.pending),
        since=rfc3339(min((entry.starts_at for entry in material.firing), default=None)),
        users=_affected(material.firing),
        projects=sorted({clip(e.labels["project"], _TEXT) for e in material.firing if e.labels.get("project")}),
        troubles=_troubles(material, accounts),
        data_until=min((a.data_until for a in accounts if a.data_until is not None), default=None),
        data_age_seconds=max(ages, default=None),
        can_change=can_change,
    )
    return Board(
        status=status,
        alerts=shapes.Alerts(alerts=[known.alert(entry) for entry in alerts], left_out=left_out),
        past=[past(entry) for entry in reversed(material.over)],
        silences=shapes.Silences(silences=[silence_shape(s, snapshot.now) for s in material.silences]),
        signals=shapes.Signals(
            signals=[_signal(value, levels, snapshot.now) for value in shown], left_out=len(signals) - len(shown)
        ),
        accounts=shapes.Accounts(accounts=accounts),
        schedule=_schedule(material),
        rules=_rules(material),
        targets=_targets(material),
        curves=curves.of_signals([value.series for value in shown], levels.of, material.turns, reader),
        alert_curves=curves.of_alerts(alerts, known.clears, material.turns, snapshot.now, reader),
    )


# ── alerts ───────────────────────────────────────────────────────────────────────────────────────────────────────────


class Known:
    """The material, so prepared that an alert is shown by look-ups: there may be hundreds."""

    def __init__(self, material: Material) -> None:
        self._material = material
        self._rules = {rule.name: rule for rule in material.config.rules}
        self._firing = Firing(material.firing, material.mutes.inhibits)
        self._values: dict[str, dict[Series, tuple[float, int]]] = {}
        for value in material.snapshot.values:
            self._values.setdefault(value.series.signal, {})[value.series] = (value.value, int(value.ended_at))
        self.clears = {health.rule: health.clear for health in material.snapshot.rules}

    def alert_of(self, alert: str) -> shapes.ShownAlert | None:
        """One of those that stand."""
        standing = (*self._material.firing, *self._material.pending)
        entry = next((e for e in standing if e.alert_id == alert), None)
        return None if entry is None else self.alert(entry)

    def alert(self, entry: Transition) -> shapes.ShownAlert:
        """An alert with what is known of it."""
        material = self._material
        now, mutes = material.snapshot.now, material.mutes
        rule, view = self._rules.get(entry.rule), material.views.get(entry.alert_id)
        base = alert_shape(entry, mutes.silences, mutes.acks.get(entry.alert_id), material.unseen, now)
        fires = entry.state is State.FIRING
        muted = mutes.muted(entry, self._firing, at=now, since=now) if fires else None
        return shapes.ShownAlert(
            **{
                **msgspec.structs.asdict(base),
                "labels": capped(entry.labels),
                "summary": clip(base.summary, _TEXT),
                "value": base.value if view is None or view.value is None else view.value,
            },
            signal=entry.signal,
            clear=self.clears.get(entry.rule) if entry.signal else None,
            peak=entry.peak,
            description=clip(entry.annotations.get("description", ""), 2 * _TEXT),
            runbook=_link(entry.annotations.get("runbook", "")),
            why="" if rule is None or view is None else why(rule, view, self._required(rule)),
            known_until=rfc3339(view.frontier) if view is not None and view.frontier else None,
            told=sorted(material.told.get(entry.alert_id, ())) if fires else [],
            muted=None if muted is None else str(muted),
            holds=0 if rule is None else rule.hold,
            clears=0 if rule is None else max(rule.clear_for, rule.keep_firing_for),
            unguarded=entry.unguarded,
        )

    def _required(self, rule: Rule) -> dict[Series, tuple[float, int]]:
        """The newest values of what a rule joins."""
        return {series: newest for signal in rule.joins for series, newest in self._values.get(signal, {}).items()}


def _worst_first(material: Material) -> tuple[list[Transition], int]:
    """Those that fire before those that are about to, the most severe first, then the oldest; how many are left out."""
    ordered = sorted(
        (*material.firing, *material.pending),
        key=lambda e: (e.state is not State.FIRING, _RANK.get(e.severity, 3), e.starts_at, e.rule, e.alert_id),
    )
    return ordered[:MAX_ALERTS], max(0, len(ordered) - MAX_ALERTS)


def past(entry: Transition) -> shapes.PastAlert:
    """An alert that ended."""
    return shapes.PastAlert(
        id=entry.alert_id,
        rule=entry.rule,
        severity=entry.severity,
        labels=capped(entry.labels),
        starts_at=_time(entry.starts_at),
        ended_at=_time(entry.at),
        signal=entry.signal,
        peak=entry.peak,
        threshold=entry.threshold,
        cause=str(entry.cause),
    )


def capped(labels: Labels) -> dict[str, str]:
    """Labels as they are shown: names that users chose are one short line."""
    return {name: clip(value, _TEXT) for name, value in labels.items()}


def _link(text: str) -> str:
    """A runbook's address, if it is one that a page may link to."""
    return text if text.startswith(("https://", "http://")) and len(text) <= 2 * _TEXT else ""


def _by_severity(firing: Sequence[Transition]) -> dict[str, int]:
    found: dict[str, int] = {}
    for entry in sorted(firing, key=lambda e: _RANK.get(e.severity, 3)):
        found[entry.severity] = found.get(entry.severity, 0) + 1
    return found


def _affected(firing: Sequence[Transition]) -> float | None:
    """Users in calls where something fires: of alerts about the same product of a project, the most."""
    most: dict[tuple[str, ...], float] = {}
    for entry in firing:
        if entry.users is not None:
            place = tuple(entry.labels.get(name, "") for name in ("account", "project", "product"))
            most[place] = max(most.get(place, 0.0), entry.users)
    return sum(most.values()) if most else None


# ── what cannot be seen, recorded or told ────────────────────────────────────────────────────────────────────────────


def _troubles(material: Material, accounts: Sequence[shapes.Account]) -> list[shapes.Trouble]:
    found: list[shapes.Trouble] = []
    for account in accounts:
        if account.sight == "blind":
            what = f"{account.account} cannot be seen: {account.reason}"
            found.append(shapes.Trouble(kind="blind", what=what, since=account.since))
        elif account.sight == "starting":
            what = f"{account.account} was not looked at yet"
            found.append(shapes.Trouble(kind="starting", what=what, since=None))
        elif account.sight == "late":
            what = f"{account.account}: some of its data is older than promised"
            found.append(shapes.Trouble(kind="late", what=what, since=None))
    if (since := material.store.failing_since) is not None:
        what = f"the state cannot be written, so nothing is asked: {material.store.detail}"
        found.append(shapes.Trouble(kind="state", what=what, since=_time(since)))
    for target in material.snapshot.targets:
        if target.failing:
            since = material.snapshot.now - target.undelivered_age
            what = f"{target.target} takes no message, {target.open} wait"
            found.append(shapes.Trouble(kind="target", what=what, since=_time(int(since))))
    for rule in (e for e in material.firing if e.labels.get("rule_name")):
        what = f"{clip(rule.labels['rule_name'], _TEXT)} cannot be judged: the rule fails"
        found.append(shapes.Trouble(kind="rule", what=what, since=_time(rule.starts_at)))
    return found


# ── accounts ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _account(
    material: Material, account: AccountConfig, gaps: Sequence[Gap], reader: StoreReader | None
) -> shapes.Account:
    now = material.snapshot.now
    health = next((h for h in material.snapshot.accounts if h.account == account.name), None)
    sight = next(s for s in material.sights if s.account == account.name)
    until = min((at for at in health.covered_at.values() if at is not None), default=None) if health else None
    spent = _spent_lately(account.name, now, reader)
    detail = f" ({sight.detail})" if sight.detail else ""
    return shapes.Account(
        account=account.name,
        provider=account.settings.provider,
        sight=sight_of(health, blind=sight.blind_since is not None, now=now),
        reason="" if sight.blind_since is None else f"{REASONS.get(sight.reason, sight.reason)}{clip(detail)}",
        since=rfc3339(None if sight.blind_since is None else int(sight.blind_since)),
        observed_ratio=_observed(account, now, gaps),
        windows_lost=health.windows_lost if health else 0,
        data_until=rfc3339(None if until is None else int(until)),
        data_age_seconds=None if until is None else round(now - until, 1),
        quotas=[_quota(quota, spent, now) for quota in (health.quotas if health else ())],
    )


def sight_of(health: AccountHealth | None, *, blind: bool, now: float) -> shapes.Sight:
    """Whether an account can be seen: blind is for operators, late data is not."""
    if blind:
        return "blind"
    if health is None or not any(at is not None for at in health.covered_at.values()):
        return "starting"
    known = ((query, at) for query, at in health.covered_at.items() if at is not None)
    return "late" if any(now - at > health.age_limits.get(query, DAY) for query, at in known) else "seen"


def _observed(account: AccountConfig, now: float, gaps: Sequence[Gap]) -> float:
    """The share of the last day's windows that were not lost, over all queries."""
    queries = {query.id for query in account.queries}
    lost = sum(_within(gap, now) for gap in gaps if gap.query in queries)
    return round(1.0 - min(lost / (DAY * max(len(queries), 1)), 1.0), 5)


def _gaps(reader: StoreReader | None, now: float) -> Sequence[Gap]:
    try:
        return () if reader is None else reader.gaps(now - DAY)
    except StoreError:
        return ()


def _within(gap: Gap, now: float) -> float:
    return max(0.0, min(gap.span.end, now) - max(gap.span.start, now - DAY))


def _spent_lately(account: str, now: float, reader: StoreReader | None) -> dict[str, float]:
    """Units spent in the last hour, by pool."""
    found: dict[str, float] = {}
    if reader is not None:
        try:
            spends = reader.spends(account, now - HOUR)
        except StoreError:
            spends = []
        for spend in spends:
            for pool in spend.pools if spend.units <= 1 else ():  # more: assumed for a past that has no record
                found[pool] = found.get(pool, 0.0) + spend.units
    return found


def _quota(quota: QuotaHealth, spent: Mapping[str, float], now: float) -> shapes.Quota:
    left = max(0.0, quota.resets_at - now)
    return shapes.Quota(
        pool=quota.pool,
        family=quota.family,
        window=quota.window,
        spent=round(quota.spent, 1),
        allowed=quota.allowed,
        limit=quota.limit,
        expected=round(min(quota.spent + spent.get(quota.pool, 0.0) * left / HOUR, quota.allowed), 1),
        resets_at=_time(int(quota.resets_at)),
    )


# ── schedule ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _schedule(material: Material) -> shapes.Schedule:
    looks = [
        _look(state, turn, account)
        for account in material.config.accounts
        if (turn := material.turns.get(account.name)) is not None
        for state in turn.states
    ]
    looks.sort(key=lambda look: (not look.certain, look.at or "", look.query))
    return shapes.Schedule(looks=looks[:MAX_LOOKS], left_out=max(0, len(looks) - MAX_LOOKS))


def _look(state: QueryState, turn: Turn, account: AccountConfig) -> shapes.Look:
    query, slot = state.query, turn.slot
    certain = slot is not None and slot.query_id == query.id
    gap = account.gaps.get(query.id, query.reach)
    latest = None if state.seen is None else max(state.seen + gap, state.not_before)
    at = slot.at if certain and slot is not None else latest
    reason = slot.reason if certain and slot is not None else _why_waits(state)
    covered = state.covered_until
    return shapes.Look(
        account=account.name,
        query=query.id,
        at=rfc3339(None if at is None else int(at)),
        reason=str(reason),
        certain=certain,
        last_at=rfc3339(None if state.last_look is None else int(state.last_look)),
        covered_until=rfc3339(None if covered is None else int(covered + turn.ahead)),
        failures=state.failures,
    )


def _why_waits(state: QueryState) -> Why:
    """What the schedule would say of a query that is not the next one."""
    if state.urgent:
        return Why.URGENT
    if state.failures:
        return Why.RETRY
    if state.evidence is not None:
        return state.evidence.reason
    return Why.IDLE if state.idle else Why.PROMISE if state.seen is not None else Why.CATCH_UP


# ── signals, rules, targets ──────────────────────────────────────────────────────────────────────────────────────────


class _Levels:
    """Series -> threshold and clear of the most severe rule that judges it alone."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        ordered = sorted(rules, key=lambda rule: _RANK.get(rule.severity, 3))
        self._rules: dict[str, list[Rule]] = {}
        for rule in ordered:
            if rule.share is None and not rule.per and not rule.others:
                self._rules.setdefault(rule.signal, []).append(rule)

    def of(self, series: Series) -> tuple[float | None, float | None]:
        rule = next((rule for rule in self._rules.get(series.signal, ()) if feeds(rule, series)), None)
        if rule is None or rule.baseline is not None:  # what is normal moves: only an alert knows its limit
            return None, None
        return rule.level.value, (rule.clear or rule.level).value


def _signal(value: SeriesValue, levels: _Levels, now: float) -> shapes.Signal:
    series = value.series
    threshold, clear = levels.of(series)
    return shapes.Signal(
        account=series.account,
        provider=series.provider,
        project=clip(series.project, _TEXT),
        product=clip(series.product, _TEXT),
        channel=clip(series.channel, _TEXT),
        signal=series.signal,
        unit=str(unit_of(series.signal) or ""),
        value=value.value,
        at=_time(int(value.ended_at)),
        stale=now - value.ended_at > value.max_age,
        threshold=threshold,
        clear=clear,
    )


def _rules(material: Material) -> shapes.Rules:
    healths = {health.rule: health for health in material.snapshot.rules}
    return shapes.Rules(
        rules=[
            shapes.RuleRow(
                rule=rule.name,
                signal=judged_by(healths[rule.name].signal),
                severity=rule.severity,
                condition=condition(rule),
                holds=rule.hold,
                threshold=healths[rule.name].threshold,
                clear=healths[rule.name].clear,
                firing=healths[rule.name].firing,
                errors=material.snapshot.rule_errors.get(rule.name, 0),
            )
            for rule in material.config.rules
        ]
    )


def _targets(material: Material) -> shapes.Targets:
    return shapes.Targets(
        targets=[
            shapes.Target(
                target=t.target,
                failing=t.failing,
                open=t.open,
                oldest_age_seconds=round(t.oldest_age),
                in_flight=t.in_flight,
                hung=t.hung,
                sent=t.notifications.get("sent", 0),
                expired=t.notifications.get("expired", 0),
                refused=t.notifications.get("refused", 0),
                not_durable=t.not_durable,
                held={reason: n for reason, n in t.held.items() if n},
                dropped={reason: n for reason, n in t.dropped.items() if n},
                failed={reason: n for reason, n in t.failures.items() if n},
            )
            for t in material.snapshot.targets
        ]
    )


def _time(at: float) -> str:
    """An instant that is there."""
    return rfc3339(at) or ""
