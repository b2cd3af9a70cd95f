"""What is to be said to one target now, what never, and what later: every obligation gets a decision with a reason.

The decision is made anew from the open obligations each time and holds no state of its own, so a crash before it is
recorded costs nothing. A draft's id is a hash of its obligations, so planning the same again gives the same id.

Order per alert follows from one rule: an alert with a message that is not yet delivered (`busy`) says nothing more
until that message is through, expired or refused. A resolve therefore cannot overtake its firing, however late a hung
attempt returns, and meanwhile firing and resolve of a further episode gather and become one message.

Groups: the first message of a group leaves after `group_wait`, the next no sooner than `group_interval` after it.
When a group last spoke is given in; after a restart it is unknown and the group speaks at once: early beats late.
Silence, inhibition, repeats and caps join here as further steps between `_says` and the groups.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from watcher.alerts.message import Item, Kind
from watcher.alerts.route import Group, Timing
from watcher.model import Obligation, State

SUPERSEDED = "superseded"

IN_ORDER = "an earlier message of this alert is not delivered yet"
GROUP_WAIT = "group_wait"
GROUP_INTERVAL = "group_interval"

MAX_OBLIGATIONS = 500  # of one message: what is more goes into the group's next


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """One message to write and record."""

    id: str
    group: Group
    items: tuple[Item, ...]

    @property
    def obligations(self) -> tuple[str, ...]:
        return tuple(o.id for item in self.items for o in item.obligations)

    @property
    def alerts(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(item.last.alert_id for item in self.items))


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Every open obligation is in a draft, dropped, or held; `next_at` is when a held one may be due by itself."""

    drafts: tuple[Draft, ...]
    dropped: Mapping[str, str]  # obligation id -> reason
    held: Mapping[str, str]
    next_at: float | None


def plan(
    obligations: Sequence[Obligation],
    *,
    busy: Collection[str],
    spoke_at: Mapping[Group, float],
    timing: Callable[[Obligation], Timing],
    now: float,
) -> Plan:
    """Decide about the open obligations of one target.

    `busy` are the ids of alerts with an undelivered message; `spoke_at` says when each group last got a draft.
    """
    dropped: dict[str, str] = {}
    held: dict[str, str] = {}
    groups: dict[Group, list[Item]] = {}
    for alert, own in _by_alert(obligations).items():
        if alert in busy:
            held |= {o.id: IN_ORDER for o in own}
            continue
        kept, void = _without_superseded(own)
        dropped |= dict.fromkeys((o.id for o in void), SUPERSEDED)
        if kept:  # all of one alert in one group, or its end could leave before its beginning
            groups.setdefault(_group(kept[0]), []).extend(_says(kept))
    drafts: list[Draft] = []
    waits: list[float] = []
    for group, items in groups.items():
        pace = timing(items[0].obligations[0])
        due, reason = _due(group, items, spoke_at, pace, now)
        ready = _fitting(items) if due <= now else []
        if ready:
            drafts.append(_draft(group, ready))
            due, reason = now + pace.interval, GROUP_INTERVAL  # for what did not fit
        if rest := items[len(ready) :]:
            held |= {o.id: reason for item in rest for o in item.obligations}
            waits.append(due)
    return Plan(drafts=tuple(drafts), dropped=dropped, held=held, next_at=min(waits, default=None))


def _by_alert(obligations: Sequence[Obligation]) -> dict[str, list[Obligation]]:
    found: dict[str, list[Obligation]] = {}
    for obligation in sorted(obligations, key=lambda o: (o.transition.alert_id, o.transition.seq)):
        found.setdefault(obligation.transition.alert_id, []).append(obligation)
    return found


def _without_superseded(own: Sequence[Obligation]) -> tuple[list[Obligation], list[Obligation]]:
    """Take out what was retracted before it was said, together with the correction that says so."""
    kept: list[Obligation] = []
    void: list[Obligation] = []
    for obligation in own:
        retracts = obligation.transition.retracts
        if retracts is not None and kept and kept[-1].transition.at >= retracts:
            void += [kept.pop(), obligation]
        else:
            kept.append(obligation)
    return kept, void


def _says(own: Sequence[Obligation]) -> list[Item]:
    """One item per beginning or end; a beginning whose end is known too is one item."""
    items: list[Item] = []
    for obligation in own:
        if obligation.transition.state is State.FIRING:
            items.append(Item(kind=Kind.FIRING, obligations=(obligation,)))
        elif items and items[-1].kind is Kind.FIRING:
            items[-1] = Item(kind=Kind.WAS_FIRING, obligations=(*items[-1].obligations, obligation))
        else:
            items.append(Item(kind=Kind.RESOLVED, obligations=(obligation,)))
    return items


def _group(obligation: Obligation) -> Group:
    return tuple(sorted(obligation.route.items()))


def _due(
    group: Group, items: Sequence[Item], spoke_at: Mapping[Group, float], pace: Timing, now: float
) -> tuple[float, str]:
    """When the group may speak, and what it waits for until then. A clock stepped back delays by one wait at most."""
    if group in spoke_at:
        return min(spoke_at[group], now) + pace.interval, GROUP_INTERVAL
    first = min(o.created_at for item in items for o in item.obligations)
    return min(first, now) + pace.wait, GROUP_WAIT


def _fitting(items: Sequence[Item]) -> list[Item]:
    """As many items as one message may discharge; at least one."""
    room = MAX_OBLIGATIONS
    ready: list[Item] = []
    for item in items:
        room -= len(item.obligations)
        if room < 0 and ready:
            break
        ready.append(item)
    return ready


def _draft(group: Group, items: Sequence[Item]) -> Draft:
    ids = sorted(o.id for item in items for o in item.obligations)
    digest = hashlib.sha256("\n".join(ids).encode()).hexdigest()[:16]
    return Draft(id=digest, group=group, items=tuple(items))
