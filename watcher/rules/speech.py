"""What is said of an alert: log entries with the numbers of their window, and texts for whoever is paged.

Numbers are those of the window in which the state was entered, not of the newest one: a message says what was wrong
when it went wrong. Texts are rendered here, at the moment of judging, because the rule may be gone when they are sent.
"""

from __future__ import annotations

from collections.abc import Sequence

from watcher.clock import hhmm
from watcher.model import Cause, Labels, State, Transition
from watcher.rules import template
from watcher.rules.alert import Alert, Change
from watcher.rules.frame import Frame
from watcher.rules.rule import Rule
from watcher.rules.timeline import Entry


class Speaker:
    """The texts of the rules in force. `unrendered` counts those that fell back to plain words."""

    def __init__(self) -> None:
        self.unrendered = 0
        self._texts: dict[str, template.Texts] = {}

    def learn(self, rules: Sequence[Rule]) -> None:
        """Speak for these rules from now on."""
        self._texts = {rule.name: template.Texts(rule.texts) for rule in rules}

    def say(self, alert: Alert, changes: Sequence[Change], frame: Frame, now: float) -> list[Transition]:
        """The log entries of some changes; counts the alert's entries on."""
        said: list[Transition] = []
        for change in changes:
            alert.seq += 1
            said.append(self._transition(alert, change, frame, now))
        return said

    def _transition(self, alert: Alert, change: Change, frame: Frame, now: float) -> Transition:
        entry, rule = change.entry, alert.rule
        value = None if alert.silence else frame.value(rule, entry.at)
        threshold = None if alert.silence else rule.level.value
        users = frame.users(entry.at)
        annotations: Labels = {}
        if entry.state in (State.FIRING, State.RESOLVED):
            annotations = self._annotations(alert, entry, value, threshold, users)
        return Transition(
            alert_id=alert.id,
            seq=alert.seq,
            rule=rule.name,
            labels=alert.labels,
            severity=rule.severity,
            state=entry.state,
            at=entry.at,
            starts_at=entry.starts_at,
            known_at=now,
            cause=entry.cause,
            value=value,
            threshold=threshold,
            peak=entry.peak,
            users=users,
            signal="" if alert.silence else rule.signal,
            unguarded=entry.unguarded,
            retracts=change.retracts,
            annotations=annotations,
        )

    def _annotations(
        self, alert: Alert, entry: Entry, value: float | None, threshold: float | None, users: float | None
    ) -> dict[str, str]:
        place = " ".join(filter(None, (alert.series.project, alert.series.product, alert.series.channel)))
        values = template.context(
            labels=alert.labels,
            value=value,
            threshold=threshold,
            peak=entry.peak,
            users=users,
            starts_at=entry.starts_at,
        )
        texts, failed = self._texts[alert.rule.name].render(values, f"{alert.rule.name} on {place}")
        self.unrendered += failed
        if alert.silence:
            since = f"no data for {alert.series.signal} since {hhmm(entry.starts_at)} UTC"
            texts["summary"] = f"{alert.rule.name} cannot be judged on {place}: {since}"
        return texts


def ended_by_rule(
    *, alert_id: str, seq: int, rule: str, labels: Labels, severity: str, head: Entry, at: int, now: float
) -> Transition:
    """The last entry of an alert that no rule means any more: firing is resolved, pending becomes inactive."""
    return Transition(
        alert_id=alert_id,
        seq=seq,
        rule=rule,
        labels=labels,
        severity=severity,
        state=State.RESOLVED if head.state is State.FIRING else State.INACTIVE,
        at=max(at, head.at),
        starts_at=head.starts_at,
        known_at=now,
        cause=Cause.RULE_CHANGED,
        peak=head.peak,
        unguarded=head.unguarded,
    )
