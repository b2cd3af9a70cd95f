"""Who must hear of a transition: the decision that turns transitions into obligations.

What is told is a state of its own: `Told` maps an alert to the targets that were obliged to hear that it fires and
not yet that it is over. FIRING obliges the routed targets that are not in it; leaving FIRING obliges exactly those
that are. So a resolve goes to those who hold the page, also after the routes have changed, never to others, and a
correction obliges only where it changes what somebody was told. Keeping no such state and routing each transition
afresh was considered: after a reload one target would hear only beginnings and another only ends.

`Told` is a value: given in, returned anew, and read from the store after a restart (`holders`, without `NEVER_TOLD`).

All matching routes speak, each target once, grouped as its first matching route says. First-match-wins was considered;
it needs a `continue` key, and forgetting that key silences a team, while forgetting a matcher only costs a message.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from watcher.alerts.hours import Hours
from watcher.alerts.matching import label, matches
from watcher.alerts.reasons import Dropped
from watcher.alerts.settings import AlertsSettings, RouteSettings
from watcher.model import Cause, Labels, Obligation, State, Transition, obligation_id

OWN_RULES = "Watcher"  # rules of the daemon's own troubles begin so; users' rules may not

NEVER_TOLD = (Dropped.NO_ROUTE, Dropped.ENDED_LONG_AGO, Dropped.TARGET_REMOVED)
"""Obligations dropped for these reasons leave nobody with a page. What was muted or superseded later was obliged all
the same: a muted alert is said when it is muted no longer, so its end must find whom to tell."""

Told = Mapping[str, frozenset[str]]
"""Alert id -> targets that were obliged to hear that it fires, and not yet that it is over."""

Group = tuple[tuple[str, str], ...]
"""The labels that the alerts of one message share, sorted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How a group of alerts waits (seconds, run clock): before its first message, between two, and to be repeated.

    Not `routed`: the routes no longer send such alerts to this target, so it is reminded of none. `hours` are those of
    each route that does: it is told while one of them speaks.
    """

    wait: float = 0.0
    interval: float = 60.0
    repeat: float = 4 * 3600.0
    routed: bool = True
    hours: tuple[Hours, ...] = ()

    def speaks(self, at: float) -> bool:
        """Whether beginnings and repeats are said at an instant."""
        return not self.hours or any(hours.hold(at) for hours in self.hours)


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """The routes of a config, and what counts as ended too long ago to page for (seconds)."""

    routes: tuple[RouteSettings, ...]
    operators: tuple[str, ...]
    page_ended_within: float = 3600.0

    @classmethod
    def of(cls, settings: AlertsSettings, *, page_ended_within: float) -> Routing:
        return cls(routes=settings.routes, operators=settings.operator_targets(), page_ended_within=page_ended_within)

    def recipients(self, transition: Transition) -> dict[str, Labels]:
        """Target -> the labels of the group in which it hears of `transition`."""
        if _own(transition):
            labels = _pick(transition, ("rule", "account"))
            about = transition.labels.get("target", "")  # a target that fails is the last to hear of it
            return dict.fromkeys([name for name in self.operators if name != about] or self.operators, labels)
        found: dict[str, Labels] = {}
        for route in self.routes:
            if matches(route.match, transition):
                for target in route.to:
                    found.setdefault(target, _pick(transition, route.group_by))
        return found

    def timing(self, obligation: Obligation) -> Timing:
        """How the obligation's group waits: as the routes say now, since a reload may have changed them."""
        if not _own(obligation.transition):
            to = [r for r in self.routes if obligation.target in r.to and matches(r.match, obligation.transition)]
            if not to:
                return Timing(routed=False)
            first, repeat = to[0], float(to[0].repeat_interval) or math.inf
            hours = tuple(r.hours() for r in to) if all(r.active or r.mute for r in to) else ()
            return Timing(wait=first.group_wait, interval=first.group_interval, repeat=repeat, hours=hours)
        return Timing(routed=obligation.target in self.recipients(obligation.transition))


@dataclass(frozen=True, slots=True, kw_only=True)
class Obliged:
    """What a batch of transitions obliges, and what is told once that is carried out."""

    obligations: list[Obligation] = field(default_factory=list)
    told: Told = field(default_factory=dict)
    unrouted: int = 0  # transitions that fired and that no route takes


def oblige(transitions: Sequence[Transition], routing: Routing, told: Told, *, now: float) -> Obliged:
    """The obligations of transitions that became known together, in the order recorded.

    FIRING obliges those routed and not told; an update of it those routed and told, if there are any; RESOLVED, and a
    correction out of FIRING, those told; PENDING and INACTIVE nobody. A pair that both became known now and ended more
    than `page_ended_within` ago is dropped at birth, and so is what no route takes: recorded with its reason, never
    lost in silence.

    Ask once per batch. Where the commit fails, keep the result, offer it to the outboxes and commit it later as it is:
    asked again together with later transitions, the answer could differ from what has been said from memory.
    """
    obligations: list[Obligation] = []
    after = dict(told)
    unrouted = 0
    ahead: dict[str, deque[Transition]] = {}
    for transition in transitions:
        ahead.setdefault(transition.alert_id, deque()).append(transition)
    for transition in transitions:
        later = ahead[transition.alert_id]
        later.popleft()
        holders = after.get(transition.alert_id, frozenset())
        if transition.updates is not None and holders:
            groups = routing.recipients(transition)
            due = {target: group for target, group in groups.items() if target in holders}
            obligations += [_obligation(transition, target, group, now, "") for target, group in due.items()]
        elif transition.state is State.FIRING:
            routed = routing.recipients(transition)
            if not routed and not holders:
                unrouted += 1
                obligations.append(_obligation(transition, "", {}, now, Dropped.NO_ROUTE))
            due = {target: group for target, group in routed.items() if target not in holders}
            dropped = Dropped.ENDED_LONG_AGO if _over_long_ago(later, routing.page_ended_within, now) else ""
            obligations += [_obligation(transition, target, group, now, dropped) for target, group in due.items()]
            if not dropped and due:
                after[transition.alert_id] = holders | due.keys()
        elif holders and _ends(transition) and not _fires_again(transition, later):
            groups = routing.recipients(transition)
            fallback = _pick(transition, ("rule", "project"))  # a holder that the routes no longer name
            obligations += [
                _obligation(transition, target, groups.get(target, fallback), now, "") for target in sorted(holders)
            ]
            del after[transition.alert_id]
    return Obliged(obligations=obligations, told=after, unrouted=unrouted)


def _ends(transition: Transition) -> bool:
    """Whether a told alert is over by this entry: resolved, or taken back by a correction."""
    return transition.state is State.RESOLVED or transition.retracts is not None


def _fires_again(transition: Transition, later: Iterable[Transition]) -> bool:
    """Whether a correction moves the beginning only: what was told (it fires) stays true, so nobody hears of it."""
    return transition.retracts is not None and any(t.state is State.FIRING for t in later)


def _over_long_ago(later: Iterable[Transition], within: float, now: float) -> bool:
    end = next((t for t in later if _ends(t)), None)
    return end is not None and now - end.at > within


def _own(transition: Transition) -> bool:
    return transition.cause is Cause.BLIND or transition.rule.startswith(OWN_RULES)


def _pick(transition: Transition, names: Iterable[str]) -> Labels:
    return {name: label(transition, name) for name in names}


def _obligation(transition: Transition, target: str, group: Labels, now: float, dropped: str) -> Obligation:
    return Obligation(
        id=obligation_id(transition, target),
        target=target,
        transition=transition,
        created_at=now,
        route=group,
        dropped=dropped,
    )
