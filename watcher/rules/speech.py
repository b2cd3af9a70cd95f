"""What is said of an alert: log entries with the numbers of their window, and texts for whoever is paged.

Numbers are those of the window in which the state was entered, not of the newest one: a message says what was wrong
when it went wrong. Texts are rendered here, at the moment of judging, because the rule may be gone when they are sent.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from watcher.clock import hhmm
from watcher.model import Cause, Labels, State, Transition, Unit, unit_of
from watcher.rules import template
from watcher.rules.alert import Alert, Change
from watcher.rules.ground import Ground, Shown, Tally
from watcher.rules.rule import Join, Rule
from watcher.rules.timeline import Entry


class Speaker:
    """The texts of the rules in force. `unrendered` counts those that fell back to plain words."""

    def __init__(self) -> None:
        self.unrendered = 0
        self._texts: dict[str, template.Texts] = {}

    def learn(self, rules: Sequence[Rule]) -> None:
        """Speak for these rules from now on."""
        self._texts = {rule.name: template.Texts(rule.texts) for rule in rules}

    def say(self, alert: Alert, changes: Sequence[Change], ground: Ground, now: float) -> list[Transition]:
        """The log entries of some changes; counts the alert's entries on."""
        said: list[Transition] = []
        for change in changes:
            alert.seq += 1
            said.append(self._transition(alert, change, ground, now))
        return said

    def _transition(self, alert: Alert, change: Change, ground: Ground, now: float) -> Transition:
        entry, rule = change.entry, alert.rule
        shown = ground.shown(rule, entry.at)
        value, threshold = (None, None) if alert.silence else (shown[0].value, shown[0].threshold)
        users = ground.users(entry.at)
        annotations: Labels = {}
        if entry.state is State.FIRING or entry.state is State.RESOLVED:
            annotations = self._annotations(alert, entry, shown, users, ground)
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
            cause=Cause.OUT_OF_HOURS if _closed(rule, entry, ground) else entry.cause,
            value=value,
            threshold=threshold,
            normal=None if alert.silence else shown[0].normal,
            peak=entry.peak,
            users=users,
            weight=ground.weight(entry.at),
            signal="" if alert.silence else shown[0].measures,
            unguarded=entry.unguarded,
            retracts=change.retracts,
            annotations=annotations,
        )

    def _annotations(
        self, alert: Alert, entry: Entry, shown: Sequence[Shown], users: float | None, ground: Ground
    ) -> dict[str, str]:
        rule, series = alert.rule, alert.series
        place = " ".join(filter(None, (series.project, series.product, series.channel))) or series.account
        texts: dict[str, str] = {}
        tally = ground.tally(entry.at)
        if entry.state is State.RESOLVED and not alert.silence:
            shown, tally = _what_was_wrong(rule, entry, shown, ground)
        if rule.texts:
            values = template.context(
                labels=alert.labels,
                value=None if alert.silence else shown[0].value,
                threshold=None if alert.silence else shown[0].threshold,
                normal=None if alert.silence else shown[0].normal,
                burn=None if alert.silence else shown[0].burn,
                peak=entry.peak,
                users=users,
                starts_at=entry.starts_at,
                parts=shown,
                tally=tally,
            )
            texts, failed = self._texts[rule.name].render(values, f"{rule.name} on {place}")
            self.unrendered += failed
        if alert.silence:
            since = f"no data for {series.signal} since {hhmm(entry.starts_at)} UTC"
            texts["summary"] = f"{rule.name} cannot be judged on {place}: {since}"
        elif _closed(rule, entry, ground):
            texts["summary"] = f"{rule.name} is not judged on {place} at this hour: it may be going on"
        elif rule.is_joined and "summary" not in rule.texts:
            texts["summary"] = plainly(rule, shown, tally)
        return texts


def _what_was_wrong(
    rule: Rule, entry: Entry, shown: Sequence[Shown], ground: Ground
) -> tuple[Sequence[Shown], Tally | None]:
    """What the texts of an end quote: the window in which the alert began, and the worst value since, if there is one.

    At its end nothing is wrong any more, and a limit that follows the past has risen over the worst value even.
    """
    tally = ground.tally(entry.at)
    begun = ground.shown(rule, entry.starts_at)
    if begun[0].value is not None:
        shown, tally = begun, ground.tally(entry.starts_at)
    if entry.peak is None:
        return shown, tally
    worst = shown[0]._replace(value=entry.peak)
    if rule.burn is not None:
        worst = worst._replace(burn=(entry.peak if rule.level.above else 1 - entry.peak) / rule.burn.budget)
    return [worst, *shown[1:]], tally


def _closed(rule: Rule, entry: Entry, ground: Ground) -> bool:
    """Whether an alert ended because the rule's hours did."""
    if rule.hours is None or entry.state is not State.RESOLVED or entry.cause is not Cause.THRESHOLD:
        return False
    return not rule.hours.hold(np.array([entry.at - ground.width], dtype=np.int64))[0]


def plainly(rule: Rule, shown: Sequence[Shown], tally: Tally | None) -> str:
    """What a joined rule found: `video_freeze_ratio 9% and network_delay_ratio 12%; limits 5%, 10%`."""
    if tally is not None:
        names = f": {', '.join(tally.names)}" + (", …" if tally.breached > len(tally.names) else "")
        return f"{tally.breached} of {tally.counted} in breach{names if tally.names else ''}"
    known = [one for one in shown if one.value is not None]
    if known and rule.burn is not None:
        return _burning(known[0])
    if any(one.normal is not None for one in known):
        return ", ".join(map(_against, known))
    word = " and " if rule.join is Join.ALL else ", "
    told = word.join(f"{one.measures} {_say(one, one.value)}" for one in known)
    return f"{told}; limits {', '.join(_say(one, one.threshold) for one in known)}" if known else ""


def _against(one: Shown) -> str:
    """`video_freeze_ratio 6.1% (normal 1.2%, limit 3.4%)`"""
    whose = " by the vendor's statistics" if one.told else ""
    normal = "" if one.normal is None else f"normal {_say(one, one.normal)}{whose}, "
    return f"{one.measures} {_say(one, one.value)} ({normal}limit {_say(one, one.threshold)})"


def _burning(one: Shown) -> str:
    """`join_success_ratio 92.1% over 1h, objective 99.5%: 15.8 times the failures that it allows`"""
    found = f"{one.measures} {_say(one, one.value)} over {template.duration(one.over)}"
    times = template.number(one.burn)
    return f"{found}, objective {_say(one, one.normal)}: {times} times the failures that it allows"


def _say(one: Shown, value: float | None) -> str:
    match unit_of(one.measures):
        case Unit.RATIO:
            return template.percent(value)
        case Unit.SECONDS:
            return template.duration(value)
    return template.number(value)


def ended_by_rule(
    *, alert_id: str, seq: int, rule: str, signal: str, labels: Labels, severity: str, head: Entry, at: int, now: float
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
        signal=signal,
        unguarded=head.unguarded,
    )
