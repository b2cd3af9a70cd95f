"""What is to be said to one target now, what never, and what later: every obligation gets a decision with a reason.

    open obligations ─► in order ─► superseded ─► flapping ─┐
    what still fires ─► repeat, unless acknowledged ────────┤
                                                            ▼
    silence ─► inhibit ─► maintenance ─► off hours ─► not told ─► group (wait, interval) ─► rate cap ─► drafts

Each stage is a small decision in a function or module of its own, and `plan` is the pipeline, to be read from top to
bottom. The decision is made anew each time and holds no state of its own, so a crash before it is recorded costs
nothing. A draft's id is a hash of its obligations, so planning the same again gives the same id.

Order per alert follows from one rule: an alert with a message that is not yet delivered (`busy`) says nothing more
until that message is through, expired or refused. A resolve therefore cannot overtake its firing, however late a hung
attempt returns, and meanwhile firing and resolve of a further episode gather and become one message.

Groups: the first message of a group leaves after `group_wait`, the next no sooner than `group_interval` after it.
When a group last spoke is given in; after a restart it is unknown and the group speaks at once: early beats late.
An update says more of what was said: it neither waits for the interval nor begins one, so no page is late for it.
When one alert of a group is due to be repeated, all that still fire in it are, so that they stay one message.

The cap counts messages of an hour. The last one that fits takes everything that is ready, whatever its group, and says
that the rest waits; when there is room again, one message says what was held back. So a storm never drops anything and
never sends more than the cap. Capping by dropping was considered; nobody would hear that the dropped ones had ended.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from watcher.alerts.flapping import damp
from watcher.alerts.limits import Limits
from watcher.alerts.message import Item, Kind, by_urgency, urgency
from watcher.alerts.mutes import Firing, Mutes
from watcher.alerts.reasons import Dropped, Held, Said
from watcher.alerts.route import Group, Timing
from watcher.clock import HOUR, MINUTE, minute_start
from watcher.model import Obligation, Standing, State, obligation_id

MAX_OBLIGATIONS = 500  # of one message: what is more goes into the group's next


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What a target's plan depends on beside its open obligations.

    `busy` are alerts with an undelivered message; `spoke_at` says when each group last got a draft; `sent` holds the
    instants of the last hour's messages; `began` the recent beginnings of each alert.
    """

    busy: Collection[str] = ()
    spoke_at: Mapping[Group, float] = field(default_factory=dict)
    standing: Mapping[str, Standing] = field(default_factory=dict)
    began: Mapping[str, Sequence[float]] = field(default_factory=dict)
    sent: Sequence[float] = ()
    mutes: Mutes = field(default_factory=Mutes)
    limits: Limits = field(default_factory=Limits)
    remind: bool = True

    def told(self, alert: str) -> bool:
        """Whether the target believes that the alert fires."""
        known = self.standing.get(alert)
        return known is not None and known.told


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """One message to write and record. `reminders` are those of its obligations that are not recorded yet."""

    id: str
    groups: tuple[Group, ...]
    items: tuple[Item, ...]
    reason: Said = Said.NEWS
    until: float | None = None  # of a summary: when there is room for more

    @property
    def obligations(self) -> tuple[str, ...]:
        return tuple(o.id for item in self.items for o in item.obligations)

    @property
    def alerts(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(item.last.alert_id for item in self.items))

    @property
    def reminders(self) -> tuple[Obligation, ...]:
        return tuple(o for item in self.items if item.reminder for o in item.obligations)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Every open obligation is in a draft, dropped, or held; `next_at` is when a held one may be due by itself.

    Held are also, by the obligation that was said or muted last, alerts whose repeat is acknowledged or muted.
    """

    drafts: tuple[Draft, ...]
    dropped: Mapping[str, Dropped]  # obligation id -> reason
    held: Mapping[str, Held]
    next_at: float | None


@dataclass(slots=True)
class _Sorting:
    """The plan while it is made."""

    dropped: dict[str, Dropped] = field(default_factory=dict)
    held: dict[str, Held] = field(default_factory=dict)
    waits: list[float] = field(default_factory=list)

    def drop(self, obligations: Sequence[Obligation], reason: Dropped) -> None:
        self.dropped |= dict.fromkeys((o.id for o in obligations), reason)

    def hold(self, obligations: Sequence[Obligation], reason: Held, until: float | None = None) -> None:
        self.held |= dict.fromkeys((o.id for o in obligations), reason)
        if until is not None:
            self.waits.append(until)


def plan(obligations: Sequence[Obligation], *, view: View, timing: Callable[[Obligation], Timing], now: float) -> Plan:
    """Decide about the open obligations of one target, and which alerts to remind it of."""
    sorting = _Sorting()
    open_ = _by_alert(obligations)
    firing = _firing(open_, view)
    groups: dict[Group, list[Item]] = {}
    for alert, own in open_.items():
        if alert in view.busy:
            sorting.hold(own, Held.IN_ORDER)
            continue
        says = _news(alert, own, view, sorting, now)
        items = [item for item in says if _passes(item, view, firing, timing, sorting, now)]
        if items:  # all of one alert in one group, or its end could leave before its beginning
            groups.setdefault(_group(items[0].obligations[0]), []).extend(items)
    if view.remind:
        for group, items in _reminders(open_.keys() | set(view.busy), view, firing, timing, sorting, now).items():
            groups.setdefault(group, []).extend(items)
    ready = [draft for group, items in groups.items() for draft in _paced(group, items, view, timing, sorting, now)]
    drafts = _capped(ready, view, sorting, now)
    return Plan(
        drafts=tuple(drafts), dropped=sorting.dropped, held=sorting.held, next_at=min(sorting.waits, default=None)
    )


# ── what there is to say of an alert ─────────────────────────────────────────────────────────────────────────────────


def _by_alert(obligations: Sequence[Obligation]) -> dict[str, list[Obligation]]:
    found: dict[str, list[Obligation]] = {}
    for obligation in sorted(obligations, key=lambda o: (o.transition.alert_id, o.transition.seq, o.created_at)):
        found.setdefault(obligation.transition.alert_id, []).append(obligation)
    return found


def _firing(open_: Mapping[str, Sequence[Obligation]], view: View) -> Firing:
    """What fires as far as this target is obliged to hear, said or not: only that may inhibit anything here."""
    newest = {alert: known.latest for alert, known in view.standing.items()}
    newest |= {alert: own[-1] for alert, own in open_.items()}
    alerts = [o.transition for o in newest.values() if o.transition.state is State.FIRING]
    return Firing(alerts, view.mutes.inhibits)


def _news(alert: str, own: Sequence[Obligation], view: View, sorting: _Sorting, now: float) -> list[Item]:
    """The items of one alert's open obligations, without what was taken back and what flapping damps."""
    kept, void = _without_superseded(own)
    sorting.drop(void, Dropped.SUPERSEDED)
    if not kept:
        return []
    flapping = view.limits.flapping
    flaps = flapping.flaps(view.began.get(alert, ()), now)
    if not flaps:
        return _says(kept, told=view.told(alert))
    damped = damp(kept, told=view.told(alert), flaps=flaps, calm=flapping.calm, now=now)
    sorting.drop(damped.dropped, Dropped.FLAPPING)
    if damped.held is not None:
        sorting.hold([damped.held], Held.FLAPPING, damped.until)
    return [damped.item] if damped.item is not None else []


def _without_superseded(own: Sequence[Obligation]) -> tuple[list[Obligation], list[Obligation]]:
    """Take out what was retracted before it was said, together with the correction that says so."""
    kept: list[Obligation] = []
    void: list[Obligation] = []
    for obligation in own:
        retracts = obligation.transition.retracts
        while retracts is not None and kept and _is_update(kept[-1]) and kept[-1].transition.at >= retracts:
            void.append(kept.pop())
        if retracts is not None and kept and kept[-1].transition.at >= retracts:
            void += [kept.pop(), obligation]
        else:
            kept.append(obligation)
    return kept, void


def _is_update(obligation: Obligation) -> bool:
    return obligation.transition.updates is not None


def _says(own: Sequence[Obligation], *, told: bool) -> list[Item]:
    """One item per beginning or end; a beginning whose end is known too is one item.

    An update goes with the beginning or the end that is said anyway. Alone it is an item of its own for who was `told`
    that the alert fires, and the beginning itself for who was not.
    """
    items: list[Item] = []
    for obligation in own:
        before = items[-1] if items else None
        begins = before is not None and before.kind in (Kind.FIRING, Kind.UPDATE)
        if (
            before is not None
            and begins
            and (_is_update(obligation) or obligation.transition.state is not State.FIRING)
        ):
            kind = before.kind
            if not _is_update(obligation):
                kind = Kind.WAS_FIRING if kind is Kind.FIRING else Kind.RESOLVED
            items[-1] = Item(kind=kind, obligations=(*before.obligations, obligation))
        elif obligation.transition.state is State.FIRING:
            kind = Kind.UPDATE if _is_update(obligation) and told else Kind.FIRING
            items.append(Item(kind=kind, obligations=(obligation,)))
        else:
            items.append(Item(kind=Kind.RESOLVED, obligations=(obligation,)))
    return items


# ── stages ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _passes(
    item: Item,
    view: View,
    firing: Firing,
    timing: Callable[[Obligation], Timing],
    sorting: _Sorting,
    now: float,
) -> bool:
    """Silence, inhibition, maintenance, hours for what begins; for what ends, whether its beginning was heard."""
    if item.kind is Kind.RESOLVED:
        reason = None if view.told(item.last.alert_id) else Dropped.NOT_TOLD
    else:
        reason = view.mutes.muted(item.first, firing, at=now, since=item.obligations[0].created_at)
        if reason is None and not timing(item.obligations[0]).speaks(now):
            reason = Dropped.OFF_HOURS
        if reason is None and _is_update(item.obligations[0]):
            reason = _unwanted(item, view, now)
        if reason is not None and item.kind in (Kind.FIRING, Kind.UPDATE):
            sorting.waits.append(_next_minute(now))
    if reason is not None:
        sorting.drop(item.obligations, reason)
    return reason is None


def _unwanted(item: Item, view: View, now: float) -> Dropped | None:
    """Why an update is not said: like a repeat it may not disturb who has it in hand, nor take the room of news."""
    if view.mutes.in_hand(item.last):
        return Dropped.IN_HAND
    lately = sum(at > now - HOUR for at in view.sent)
    return Dropped.NO_ROOM if item.kind is Kind.UPDATE and 2 * lately >= view.limits.per_hour else None


def _reminders(
    taken: Collection[str],
    view: View,
    firing: Firing,
    timing: Callable[[Obligation], Timing],
    sorting: _Sorting,
    now: float,
) -> dict[Group, list[Item]]:
    """What still fires and is due to be said again, or for the first time since nothing mutes it any more."""
    due: set[Group] = set()
    found: dict[Group, list[Item]] = {}
    for alert, known in view.standing.items():
        latest = known.latest
        if alert in taken or latest.transition.state is not State.FIRING:
            continue
        if view.mutes.in_hand(latest.transition):
            sorting.hold([latest], Held.ACKNOWLEDGED)
            continue
        pace = timing(latest)
        if not pace.routed:
            continue
        at = now
        if known.told and known.said_at is not None:
            at = min(known.said_at, now) + pace.repeat
        if at > now:
            sorting.waits += [at] if at < math.inf else []
        elif not pace.speaks(now) or view.mutes.muted(latest.transition, firing, at=now, since=now) is not None:
            sorting.hold([latest], Held.MUTED, _next_minute(now))
            continue
        else:
            due.add(_group(latest))
        if not known.told or pace.repeat < math.inf:
            found.setdefault(_group(latest), []).append(_reminder(known, now))
    return {
        group: [
            item
            for item in items
            if view.mutes.muted(item.first, firing, at=now, since=now) is None
            and timing(item.obligations[0]).speaks(now)
        ]
        for group, items in found.items()
        if group in due
    }


def _next_minute(now: float) -> float:
    """When to look again whether a mute is over: windows end on full minutes, and silences need no better."""
    return minute_start(now) + MINUTE


def _reminder(known: Standing, now: float) -> Item:
    latest = known.latest
    again = replace(
        latest, id=f"{obligation_id(latest.transition, latest.target)}-again-{int(now)}", created_at=now, dropped=""
    )
    return Item(kind=Kind.STILL_FIRING if known.told else Kind.FIRING, obligations=(again,), reminder=True)


# ── groups ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _group(obligation: Obligation) -> Group:
    return tuple(sorted(obligation.route.items()))


def _paced(
    group: Group,
    items: Sequence[Item],
    view: View,
    timing: Callable[[Obligation], Timing],
    sorting: _Sorting,
    now: float,
) -> list[Draft]:
    """The group's draft where it may speak; what has to wait is held."""
    if not items:
        return []
    pace = timing(items[0].obligations[0])
    due, reason = _due(group, items, view.spoke_at, pace, now)
    ready = _fitting(items if due <= now else [item for item in items if item.kind is Kind.UPDATE])
    taken = set(map(id, ready))
    if rest := [item for item in items if id(item) not in taken]:
        if ready and due <= now:
            due, reason = now + pace.interval, Held.GROUP_INTERVAL
        sorting.hold([o for item in rest if not item.reminder for o in item.obligations], reason, due)
    return [_draft((group,), ready)] if ready else []


def _due(
    group: Group, items: Sequence[Item], spoke_at: Mapping[Group, float], pace: Timing, now: float
) -> tuple[float, Held]:
    """When the group may speak, and what it waits for until then. A clock stepped back delays by one wait at most."""
    if group in spoke_at:
        return min(spoke_at[group], now) + pace.interval, Held.GROUP_INTERVAL
    news = [o.created_at for item in items if not item.reminder for o in item.obligations]
    return (min(*news, now) + pace.wait if news else now), Held.GROUP_WAIT


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


# ── the cap ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _capped(ready: Sequence[Draft], view: View, sorting: _Sorting, now: float) -> list[Draft]:
    """The drafts that fit into the hour, the most urgent first; the last that fits is a summary of all others."""
    sent = sorted(min(at, now) for at in view.sent if at > now - HOUR)
    room = view.limits.per_hour - len(sent)
    if len(ready) < room or not ready:
        return list(ready)
    oldest = max(0, -room)  # the message whose hour must be over before there is room again
    until = (sent[oldest] if len(sent) > oldest else now) + HOUR
    ordered = sorted(ready, key=lambda draft: min(map(urgency, draft.items)))
    if room <= 0:
        for draft in ordered:
            sorting.hold(
                [o for item in draft.items if not item.reminder for o in item.obligations], Held.RATE_CAP, until
            )
        return []
    alone, rest = ordered[: room - 1], ordered[room - 1 :]
    items = by_urgency([item for draft in rest for item in draft.items])
    fitting = _fitting(items)
    if left := items[len(fitting) :]:
        sorting.hold([o for item in left if not item.reminder for o in item.obligations], Held.RATE_CAP, until)
    groups = tuple(dict.fromkeys(group for draft in rest for group in draft.groups))
    return [*alone, replace(_draft(groups, fitting), reason=Said.SUMMARY, until=until)]


def _draft(groups: tuple[Group, ...], items: Sequence[Item]) -> Draft:
    ids = sorted(o.id for item in items for o in item.obligations)
    digest = hashlib.sha256("\n".join(ids).encode()).hexdigest()[:16]
    reason = Said.NEWS
    if all(item.kind is Kind.UPDATE for item in items):
        reason = Said.UPDATE
    elif all(item.reminder for item in items):
        reason = Said.REPEAT if any(item.kind is Kind.STILL_FIRING for item in items) else Said.UNMUTED
    return Draft(id=digest, groups=groups, items=tuple(items), reason=reason)
