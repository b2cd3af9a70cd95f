"""What keeps an alert from being said: silences, inhibition, maintenance. Each a small decision of its own.

Only beginnings and repeats are muted. The end of what a target was told always goes, since a silence must not leave an
incident open for ever in whoever opened one; the end of what it was not told has nothing to take back (`NOT_TOLD`).

What is muted is dropped with its reason, on the record. If the alert still fires once nothing mutes it, it is said
after all (`pipeline`, `UNMUTED`): the silence ends, the trouble does not.

Inhibition has two safeguards. An alert never inhibits a more severe one, and only what this target is obliged to hear
inhibits anything there: a page that went to another team is no reason to keep quiet here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from watcher.alerts.maintenance import Maintenance, active
from watcher.alerts.matching import PLACE, label, matches
from watcher.alerts.reasons import Dropped
from watcher.model import Ack, Match, Silence, Transition

_SEVERITY = {"critical": 0, "warning": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Inhibit:
    """`source` alerts mute `target` alerts that agree with them in the labels `equal`.

    With `beneath`, the muted alert must lie beneath the other: in the same place and more narrowly so (the channel of
    the same project, the product of the same account).
    """

    source: Match = field(default_factory=dict)
    target: Match = field(default_factory=dict)
    equal: tuple[str, ...] = ()
    beneath: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutes:
    """What people and the configuration decided, as of now."""

    silences: tuple[Silence, ...] = ()
    maintenance: tuple[Maintenance, ...] = ()
    inhibits: tuple[Inhibit, ...] = ()
    acks: Mapping[str, Ack] = field(default_factory=dict)

    def muted(self, alert: Transition, firing: Firing, *, at: float, since: float) -> Dropped | None:
        """The reason not to say that `alert` fires, or none. `since` is when that became known."""
        return (
            silenced(alert, self.silences, at=at, since=since)
            or firing.inhibits(alert)
            or in_maintenance(alert, self.maintenance, at=at)
        )

    def in_hand(self, alert: Transition) -> bool:
        """Whether somebody acknowledged the alert as it is now."""
        ack = self.acks.get(alert.alert_id)
        return ack is not None and alert.change <= ack.seq


def silenced(alert: Transition, silences: Iterable[Silence], *, at: float, since: float) -> Dropped | None:
    """Whether a silence holds now or held when the alert became known.

    Also then, because one with `until_resolved` ends together with its alert, and an incident that came and went under
    it in one look stays silent.
    """
    for silence in silences:
        holds = any(silence.starts_at <= instant <= silence.ends_at for instant in (at, since))
        if holds and matches(silence.match, alert):
            return Dropped.SILENCED
    return None


def in_maintenance(alert: Transition, windows: Iterable[Maintenance], *, at: float) -> Dropped | None:
    """Whether a maintenance window is open for the alert."""
    return Dropped.MAINTENANCE if any(active(w, at) and matches(w.match, alert) for w in windows) else None


class Firing:
    """The alerts that fire, so prepared that whether one inhibits another is a look-up: a storm is thousands.

    Sources are kept by the labels of place that they have, since those are few: of an alert in a channel only such
    sources are looked up that have no channel.
    """

    def __init__(self, alerts: Iterable[Transition], inhibits: Sequence[Inhibit]) -> None:
        self._inhibits = inhibits
        self._names: list[set[_Names]] = [set() for _ in inhibits]
        self._found: dict[_Key, dict[str, int]] = {}  # at most two alerts of a key: one may be the alert itself
        for alert in alerts:
            for number, inhibit in enumerate(inhibits):
                if _may_inhibit(alert, inhibit):
                    names = _names(alert) if inhibit.beneath else ()
                    self._names[number].add(names)
                    self._add(alert, _key(number, inhibit, alert, names))

    def inhibits(self, alert: Transition) -> Dropped | None:
        """Whether one of them mutes `alert`."""
        rank, own = _rank(alert), _names(alert)
        for number, inhibit in enumerate(self._inhibits):
            if not matches(inhibit.target, alert):
                continue
            if not inhibit.beneath and inhibit.source and matches(inhibit.source, alert):
                continue  # it is a source itself: two of them would mute each other
            for names in self._names[number]:
                if inhibit.beneath and not (len(names) < len(own) and set(names) < set(own)):
                    continue
                sources = self._found.get(_key(number, inhibit, alert, names), {})
                if any(other != alert.alert_id and severity <= rank for other, severity in sources.items()):
                    return Dropped.INHIBITED
        return None

    def _add(self, alert: Transition, key: _Key) -> None:
        sources = self._found.setdefault(key, {})
        sources[alert.alert_id] = _rank(alert)
        if len(sources) > 2:
            del sources[max(sources, key=sources.__getitem__)]  # the mildest: the others mute whatever it would


_Names = tuple[str, ...]
_Key = tuple[int, tuple[str, ...], _Names, tuple[str, ...]]


def _may_inhibit(alert: Transition, inhibit: Inhibit) -> bool:
    """Alerts without a signal are the daemon's own: they say that it cannot see, which mutes nothing by default."""
    return bool(alert.signal or inhibit.source) and matches(inhibit.source, alert)


def _key(number: int, inhibit: Inhibit, alert: Transition, names: _Names) -> _Key:
    """What a source and an alert that it mutes have in common: the labels `equal`, and the source's place."""
    equal = tuple(label(alert, name) for name in inhibit.equal)
    return number, equal, names, tuple(alert.labels[name] for name in names)


def _names(alert: Transition) -> _Names:
    """The labels of place that the alert has."""
    return tuple(name for name in PLACE if alert.labels.get(name))


def _rank(alert: Transition) -> int:
    return _SEVERITY.get(alert.severity, 2)
