"""The daemon's own troubles, as alerts with the same life as any other (design, invariant 11).

`WatcherAccountBlind` says that an account cannot be seen (refused, over its quota, the vendor down, its data stale),
`WatcherNotDurable` that the state cannot be written, `WatcherTargetFailing` that a target takes nothing,
`WatcherRuleCrashed` that a rule is not judged. All are ordinary transitions: logged, routed to operators, delivered and
resolved like a user's. Their state is the last recorded transition and nothing else, so a restart neither repeats nor
forgets one. The reason is an annotation, not a label: an account that is refused first and then times out is one
trouble, not two.

An account counts as blind after `after` seconds or two failed looks, whichever is later: on a slow plan one failed look
may span half an hour and be the only one, on a fast one many fail within a minute's hiccup. A target fails after as
long; a crash is one at once. A start is no cure: what was told before it holds until something works again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from watcher.clock import hhmm
from watcher.model import Cause, Labels, State, Transition, alert_id

BLIND = "WatcherAccountBlind"
NOT_DURABLE = "WatcherNotDurable"
TARGET_FAILING = "WatcherTargetFailing"
RULE_CRASHED = "WatcherRuleCrashed"
OWN = (BLIND, NOT_DURABLE, TARGET_FAILING, RULE_CRASHED)

BLIND_AFTER = 600.0  # seconds
BLIND_LOOKS = 2
FAILING_AFTER = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountSight:
    """What is known about an account's sight: `blind_since` is None while it answers (an empty answer counts)."""

    account: str
    provider: str
    blind_since: float | None = None
    failed_looks: int = 0
    reason: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSight:
    """Whether the state can be written: `failing_since` is None while it can."""

    failing_since: float | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetSight:
    """Whether a target takes messages: `failing_since` is None while it does; `worked`: it did since the start."""

    target: str
    failing_since: float | None = None
    waiting: int = 0  # messages and obligations
    hung: int = 0
    worked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSight:
    """Whether a rule can be judged: `crashing_since` is None while it can; `judged`: it was since the start."""

    account: str
    provider: str
    rule: str
    crashing_since: float | None = None
    judged: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trouble:
    """One of the daemon's own alerts as it should stand: it fires while `fires`, and resolves once it is `over`."""

    rule: str
    labels: Labels
    fires: bool
    over: bool
    since: float | None
    notes: Labels


def own_troubles(
    accounts: Sequence[AccountSight],
    store: StoreSight,
    last: Mapping[str, Transition],
    *,
    now: float,
    targets: Sequence[TargetSight] = (),
    rules: Sequence[RuleSight] = (),
    after: float = BLIND_AFTER,
) -> list[Transition]:
    """New transitions of the daemon's own alerts.

    `last` maps an alert's id to its last transition, recorded or not (a full disk cannot record its own alert). What
    is about something that is no longer configured (an account, a target, a rule that is not named) is resolved with
    cause RULE_CHANGED.
    """
    troubles = [
        *(_account(sight, now, after) for sight in accounts),
        _store(store),
        *(_target(sight, now) for sight in targets),
        *(_rule(sight) for sight in rules),
    ]
    found: list[Transition] = []
    named = {alert_id(trouble.rule, trouble.labels): trouble for trouble in troubles}
    for alert, trouble in named.items():
        found += _step(trouble, last.get(alert), now)
    for alert, entry in last.items():
        if alert not in named and entry.rule in OWN and entry.state is State.FIRING:
            what = next(filter(None, (entry.labels.get(name, "") for name in ("rule_name", "target", "account"))), "")
            notes = {"summary": f"{what} is no longer configured"}
            found.append(_after(entry, State.RESOLVED, entry.starts_at, now, Cause.RULE_CHANGED, notes))
    return found


def _step(trouble: _Trouble, last: Transition | None, now: float) -> list[Transition]:
    """The next transition, where there is one."""
    fires = last is not None and last.state is State.FIRING
    if trouble.fires and not fires:
        first = Transition(
            alert_id=alert_id(trouble.rule, trouble.labels),
            seq=0,
            rule=trouble.rule,
            labels=trouble.labels,
            severity="critical",
            state=State.INACTIVE,
            at=int(now),
            starts_at=int(now),
            known_at=now,
            cause=Cause.BLIND,
        )
        starts_at = int(now if trouble.since is None else trouble.since)
        return [_after(last or first, State.FIRING, starts_at, now, Cause.BLIND, trouble.notes)]
    if last is not None and fires and trouble.over:
        return [_after(last, State.RESOLVED, last.starts_at, now, Cause.BLIND, trouble.notes)]
    return []


def _after(last: Transition, state: State, starts_at: int, now: float, cause: Cause, notes: Labels) -> Transition:
    return Transition(
        alert_id=last.alert_id,
        seq=last.seq + 1,
        rule=last.rule,
        labels=last.labels,
        severity=last.severity,
        state=state,
        at=int(now),
        starts_at=starts_at,
        known_at=now,
        cause=cause,
        annotations=notes,
    )


# ── the troubles ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _account(sight: AccountSight, now: float, after: float) -> _Trouble:
    since = sight.blind_since
    return _Trouble(
        rule=BLIND,
        labels={"account": sight.account, "provider": sight.provider, "project": ""},
        fires=since is not None and now - since >= after and sight.failed_looks >= BLIND_LOOKS,
        over=since is None,
        since=since,
        notes=_blind_notes(sight),
    )


def _store(store: StoreSight) -> _Trouble:
    failing = store.failing_since is not None
    return _Trouble(
        rule=NOT_DURABLE,
        labels={},
        fires=failing,
        over=not failing,
        since=store.failing_since,
        notes=_store_notes(store),
    )


def _target(sight: TargetSight, now: float) -> _Trouble:
    since = sight.failing_since
    return _Trouble(
        rule=TARGET_FAILING,
        labels={"target": sight.target},
        fires=since is not None and now - since >= FAILING_AFTER,
        over=since is None and sight.worked,
        since=since,
        notes=_target_notes(sight),
    )


def _rule(sight: RuleSight) -> _Trouble:
    return _Trouble(
        rule=RULE_CRASHED,
        labels={"account": sight.account, "provider": sight.provider, "project": "", "rule_name": sight.rule},
        fires=sight.crashing_since is not None,
        over=sight.crashing_since is None and sight.judged,
        since=sight.crashing_since,
        notes=_rule_notes(sight),
    )


def _blind_notes(sight: AccountSight) -> Labels:
    name = f"{sight.account} ({sight.provider})"
    if sight.blind_since is None:
        return {"summary": f"{name} answers again"}
    why = f"{sight.reason}: {sight.detail}" if sight.detail else sight.reason
    return {
        "summary": f"{name} cannot be seen since {hhmm(sight.blind_since)} UTC, {why}",
        "description": "Its alerts cannot be judged until it answers: no news of them is not good news.",
        "reason": sight.reason,
    }


def _store_notes(store: StoreSight) -> Labels:
    if store.failing_since is None:
        return {"summary": "The state can be written again"}
    return {
        "summary": f"The state cannot be written since {hhmm(store.failing_since)} UTC, {store.detail}",
        "description": "No request leaves without its record: nothing is looked at until this is mended.",
        "reason": "store",
    }


def _target_notes(sight: TargetSight) -> Labels:
    if sight.failing_since is None:
        return {"summary": f"Target {sight.target} takes messages again"}
    hung = f", {sight.hung} attempts hang" if sight.hung else ""
    return {
        "summary": f"Target {sight.target} has taken no message since {hhmm(sight.failing_since)} UTC{hung}",
        "description": f"{sight.waiting} messages wait for it; they are tried until they expire, and kept in order.",
        "reason": "target",
    }


def _rule_notes(sight: RuleSight) -> Labels:
    if sight.crashing_since is None:
        return {"summary": f"Rule {sight.rule} is judged again on {sight.account}"}
    return {
        "summary": f"Rule {sight.rule} crashes on {sight.account} since {hhmm(sight.crashing_since)} UTC",
        "description": "Its alerts stand as they were: no news of them is not good news. The log names the error.",
        "reason": "crash",
    }
