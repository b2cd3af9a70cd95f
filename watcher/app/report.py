"""What happened, as the one document that `demo` and `backtest` print (design, section 8).

Built from what was recorded, not from what was remembered: the transitions' log, the notifications and the ledger.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from watcher.app.account import AccountLoop
from watcher.budget.usage import Usage
from watcher.clock import rfc3339
from watcher.model import Delivery, Labels, Notification, Obligation, State, StoreReader, Transition
from watcher.rules.engine import Engine

_USUAL_WIDTH = 20  # seconds, for gaps of queries that are no longer configured


@dataclass(slots=True)
class Episode:
    """One firing of one alert: from the event time its condition held long enough to the event time it was over."""

    alert_id: str
    rule: str
    labels: Labels
    starts_at: int
    fired_at: int
    entries: list[str] = field(default_factory=list)  # obligation prefixes: `<alert>-<seq>`
    known_at: float = 0.0
    ended_at: int | None = None
    notified_at: float | None = None
    delivered_to: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return {
            "rule": self.rule,
            "labels": dict(self.labels),
            "starts_at": rfc3339(self.starts_at),
            "fired_at": rfc3339(self.fired_at),
            "notified_at": rfc3339(self.notified_at),
            "ended_at": rfc3339(self.ended_at),
            "delivered_to": self.delivered_to,
        }


Report = dict[str, Any]


def report(store: StoreReader, loops: Sequence[AccountLoop], *, now: float) -> Report:
    """The report of design section 8, from the state and the ledgers. Blocking."""
    owed = {o.id: o for o in store.obligations()}
    found = episodes(store.transitions(), store.notifications(0.0), owed)
    received = sum(len(points) for series in store.series() if (points := store.points(series, 0)) is not None)
    unjudged = sum(dropped(loop.engine) for loop in loops)
    lost = sum((gap.span.end - gap.span.start) // _width(loops, gap.query) for gap in store.gaps(0.0))
    return {
        "alerts": [episode.as_json() for episode in found],
        "requests": requests([usage for loop in loops for usage in loop.ledger.usage(now)]),
        "points": {"received": received, "judged": received - unjudged, "lost": lost},
    }


def dropped(engine: Engine) -> int:
    """Windows that were received and left out."""
    losses = engine.stats.losses
    return losses.stale + losses.outside + losses.unaligned + losses.not_finite + losses.overgrown


def _width(loops: Sequence[AccountLoop], query: str) -> int:
    widths = (state.query.width for loop in loops for state in loop.states if state.query.id == query)
    return next(widths, _USUAL_WIDTH)


def requests(usages: Iterable[Usage]) -> list[Report]:
    """One object per account, family and quota window. Of several pools of a family the fullest one counts as `spent`,
    since each has the limit to itself."""
    rows: dict[tuple[str, str, str], Report] = {}
    for usage in usages:
        key = (usage.account, usage.family, usage.window)
        row = rows.setdefault(
            key,
            {
                "account": usage.account,
                "family": usage.family,
                "window": usage.window,
                "spent": 0,
                "limit": usage.limit,
                "total": 0,
                "refused_by_vendor": 0,
            },
        )
        row["spent"] = max(row["spent"], usage.worst)
        row["total"] += usage.total
        row["refused_by_vendor"] += usage.refused_by_vendor
    return list(rows.values())


def episodes(log: Iterable[Transition], told: Sequence[Notification], owed: Mapping[str, Obligation]) -> list[Episode]:
    """Every firing episode of a log that still stands after its corrections, in order of `fired_at`.

    `owed` maps obligation ids to obligations, so that a notification can be traced to the episode it named.
    """
    by_alert: dict[str, list[Transition]] = {}
    for entry in log:
        by_alert.setdefault(entry.alert_id, []).append(entry)
    found = [episode for entries in by_alert.values() for episode in _of_one_alert(entries)]
    _attach(found, told, owed)
    return sorted(found, key=lambda e: (e.fired_at, e.rule, sorted(e.labels.items())))


def _of_one_alert(log: Sequence[Transition]) -> list[Episode]:
    """What was said of an episode that a correction moved was not said again (`alerts.route.oblige`), so it counts as
    said of the episode that is there instead: one of the correction's own that has a time in common with it."""
    standing: list[Transition] = []
    passed_on: dict[str, list[str]] = {}
    for i, entry in enumerate(log):
        if entry.retracts is not None:
            void = [e for e in standing if e.at >= entry.retracts]
            standing = [e for e in standing if e.at < entry.retracts]
            instead = _folded([*standing, *_known_together(log[i:])], passed_on)
            for old in _folded(void, passed_on):
                heir = next((new for new in instead if _overlap(old, new)), None)
                if heir is not None:
                    passed_on.setdefault(heir.entries[0], []).extend(old.entries)
        standing.append(entry)
    return _folded(standing, passed_on)


def _known_together(log: Sequence[Transition]) -> Iterator[Transition]:
    """A correction and what followed from it at once."""
    yield log[0]
    yield from takewhile(lambda e: e.known_at == log[0].known_at and e.retracts is None, log[1:])


def _overlap(one: Episode, other: Episode) -> bool:
    return all(a.ended_at is None or b.fired_at < a.ended_at for a, b in ((one, other), (other, one)))


def _folded(standing: Sequence[Transition], passed_on: Mapping[str, Sequence[str]]) -> list[Episode]:
    """The episodes of entries none of which is void, each with what was `passed_on` to its entries."""
    found: list[Episode] = []
    for entry in standing:
        if entry.state is State.FIRING and (not found or found[-1].ended_at is not None):
            found.append(
                Episode(
                    alert_id=entry.alert_id,
                    rule=entry.rule,
                    labels=entry.labels,
                    starts_at=entry.starts_at,
                    fired_at=entry.at,
                    known_at=entry.known_at,
                )
            )
        elif entry.state is not State.FIRING and found and found[-1].ended_at is None:
            found[-1].ended_at = entry.at
        if found:
            own = f"{entry.alert_id}-{entry.seq}-"
            found[-1].entries += [own, *passed_on.get(own, ())]
    return found


def _attach(found: Sequence[Episode], told: Sequence[Notification], owed: Mapping[str, Obligation]) -> None:
    by_entry = {entry: episode for episode in found for entry in episode.entries}
    for notification in sorted(told, key=lambda n: n.sent_at or n.created_at):
        if notification.delivery is not Delivery.SENT:
            continue
        for duty in notification.obligations:
            obligation = owed.get(duty)
            if obligation is None:
                continue
            transition = obligation.transition
            episode = by_entry.get(f"{transition.alert_id}-{transition.seq}-")
            if episode is None:
                continue
            if episode.notified_at is None:
                episode.notified_at = notification.sent_at
            if notification.target not in episode.delivered_to:
                episode.delivered_to.append(notification.target)
