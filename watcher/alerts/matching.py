"""Whether an alert is meant: the one way in which routes, silences, inhibition and maintenance name alerts.

Equality with one of the listed values, every key at once. Regular expressions were considered: they are the part of
Alertmanager's matchers that people get wrong at night, and a silence that matches too much is a page missed.
"""

from __future__ import annotations

from watcher.model import Match, Transition, judged_by

PLACE = ("account", "provider", "project", "product", "channel")
"""The fingerprint labels that say where, widest first (design, section 5)."""


def matches(match: Match, transition: Transition) -> bool:
    """Whether every key of `match` has the alert's value among its own."""
    return all(label(transition, name) in values for name, values in match.items())


def label(transition: Transition, name: str) -> str:
    """What an alert has under a name: a label, or one of the words beside them. Empty where it has nothing."""
    match name:
        case "rule":
            return transition.rule
        case "severity":
            return transition.severity
        case "signal":
            return judged_by(transition.signal)
        case "alert":
            return transition.alert_id
    return transition.labels.get(name, "")
