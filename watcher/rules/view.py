"""An alert as it stands, for metrics, pages and commands, and the words for why it says nothing (invariant 4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from watcher.model import Labels, State
from watcher.rules.alert import Alert
from watcher.rules.ground import LEARNING, VENDORS, Ground

WORDS: Mapping[str, str] = {
    "idle": "nobody was in calls: there is nothing to measure",
    "late": "asked for, and the vendor does not have it yet",
    "no_data": "the vendor answers for this time, with no data",
    LEARNING: "too little is known of the past to say what is normal now: it is not judged, and will not page",
    VENDORS: "what is normal comes partly from the vendor's own statistics, of a time that was not watched",
    "undecided": "the verdict waits for another signal, which is asked for first",
    "unguarded": "judged without the signal that the rule requires, which stayed unknown",
}
"""What each mark of an alert means, for people. What was *not looked at* yet lies after `frontier` and has no mark:
event time has no "now", so only the schedule can say how much of it there is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertView:
    """One alert as it stands.

    `since` is the event time at which the state was entered (0: never left inactive), `frontier` the one up to which
    its windows are known. `marks`: `idle` and `no_data` say what the newest window is, `learning` that it is not judged
    for want of history, `vendors_past` that its limit is partly the vendor's word, `late` that newer ones were asked
    for, `undecided` that the verdict waits for something unknown, `unguarded` that it did not (`WORDS`).
    """

    id: str
    rule: str
    labels: Labels
    severity: str
    state: State
    since: int
    value: float | None
    threshold: float | None
    normal: float | None
    silence: bool  # it says that data stopped
    frontier: int
    marks: frozenset[str]

    @property
    def says(self) -> tuple[str, ...]:
        """The marks in words, for people."""
        return tuple(WORDS[mark] for mark in sorted(self.marks))


def view_of(alert: Alert, ground: Ground, *, is_late: bool) -> AlertView:
    """An alert as it stands on the newest windows of its ground."""
    head = alert.head
    marks = {
        "late": is_late,
        "undecided": alert.undecided_since is not None,
        "unguarded": head is not None and head.unguarded and head.state in (State.PENDING, State.FIRING),
    }
    shown = ground.shown(alert.rule, None)[0]
    return AlertView(
        id=alert.id,
        rule=alert.rule.name,
        labels=alert.labels,
        severity=alert.rule.severity,
        state=alert.state,
        since=head.at if head is not None else 0,
        value=None if alert.silence else shown.value,
        threshold=None if alert.silence else shown.threshold,
        normal=None if alert.silence else shown.normal,
        silence=alert.silence,
        frontier=ground.until,
        marks=frozenset({name for name, is_so in marks.items() if is_so} | set(ground.newest_marks())),
    )
