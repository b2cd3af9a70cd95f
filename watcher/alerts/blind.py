"""The daemon's own troubles, as alerts with the same life as any other (design, invariant 11).

`WatcherAccountBlind` says that an account cannot be seen, `WatcherNotDurable` that the state cannot be written. Both
are ordinary transitions: logged, routed to operators, delivered and resolved like a user's. Their state is the last
recorded transition and nothing else, so a restart neither repeats nor forgets one. The reason is an annotation, not a
label: an account that is refused first and then times out is one trouble, not two.

An account counts as blind after `after` seconds or two failed looks, whichever is later: on a slow plan one failed look
may span half an hour and be the only one, on a fast one many fail within a minute's hiccup.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from watcher.clock import hhmm
from watcher.model import Cause, Labels, State, Transition, alert_id

BLIND = "WatcherAccountBlind"
NOT_DURABLE = "WatcherNotDurable"

BLIND_AFTER = 600.0  # seconds
BLIND_LOOKS = 2


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


def own_troubles(
    accounts: Sequence[AccountSight],
    store: StoreSight,
    last: Mapping[str, Transition],
    *,
    now: float,
    after: float = BLIND_AFTER,
) -> list[Transition]:
    """New transitions of the daemon's own alerts.

    `last` maps an alert's id to its last transition, recorded or not (a full disk cannot record its own alert). An
    account that is no longer configured is resolved with cause RULE_CHANGED.
    """
    found: list[Transition] = []
    seen: set[str] = set()
    for sight in accounts:
        labels = {"account": sight.account, "provider": sight.provider, "project": ""}
        seen.add(alert := alert_id(BLIND, labels))
        since = sight.blind_since
        firing = since is not None and now - since >= after and sight.failed_looks >= BLIND_LOOKS
        blind = since is not None
        found += _step(BLIND, labels, last.get(alert), firing, blind, since, now, _blind_notes(sight))
    seen.add(alert := alert_id(NOT_DURABLE, {}))
    failing = store.failing_since is not None
    found += _step(NOT_DURABLE, {}, last.get(alert), failing, failing, store.failing_since, now, _store_notes(store))
    for alert, entry in last.items():
        if alert not in seen and entry.rule == BLIND and entry.state is State.FIRING:
            notes = {"summary": f"{entry.labels.get('account', '')} is no longer configured"}
            found.append(_after(entry, State.RESOLVED, int(now), entry.starts_at, now, Cause.RULE_CHANGED, notes))
    return found


def _step(
    rule: str,
    labels: Labels,
    last: Transition | None,
    firing: bool,
    bad: bool,
    since: float | None,
    now: float,
    notes: Labels,
) -> list[Transition]:
    """The next transition, where there is one: fires when `firing`, resolves once nothing is `bad`."""
    fires = last is not None and last.state is State.FIRING
    if firing and not fires:
        first = Transition(
            alert_id=alert_id(rule, labels),
            seq=0,
            rule=rule,
            labels=labels,
            severity="critical",
            state=State.INACTIVE,
            at=int(now),
            starts_at=int(now),
            known_at=now,
            cause=Cause.BLIND,
        )
        starts_at = int(now if since is None else since)
        return [_after(last or first, State.FIRING, int(now), starts_at, now, Cause.BLIND, notes)]
    if last is not None and fires and not bad:
        return [_after(last, State.RESOLVED, int(now), last.starts_at, now, Cause.BLIND, notes)]
    return []


def _after(
    last: Transition, state: State, at: int, starts_at: int, now: float, cause: Cause, notes: Labels
) -> Transition:
    return Transition(
        alert_id=last.alert_id,
        seq=last.seq + 1,
        rule=last.rule,
        labels=last.labels,
        severity=last.severity,
        state=state,
        at=at,
        starts_at=starts_at,
        known_at=now,
        cause=cause,
        annotations=notes,
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
