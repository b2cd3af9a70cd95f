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
from itertools import combinations

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
        return ack is not None and alert.seq <= ack.seq


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
    """The alerts that fire, so prepared that whether one inhibits another is a look-up: a storm is thousands."""

    def __init__(self, alerts: Iterable[Transition], inhibits: Sequence[Inhibit]) -> None:
        self._inhibits = inhibits
        self._found: dict[_Key, dict[str, int]] = {}  # at most two alerts of a key: one may be the alert itself
        for alert in alerts:
            for number, inhibit in enumerate(inhibits):
                if _may_inhibit(alert, inhibit):
                    self._add(alert, _key(number, inhibit, alert, _place(alert)))

    def inhibits(self, alert: Transition) -> Dropped | None:
        """Whether one of them mutes `alert`."""
        rank = _rank(alert)
        for number, inhibit in enumerate(self._inhibits):
            if not matches(inhibit.target, alert):
                continue
            if not inhibit.beneath and inhibit.source and matches(inhibit.source, alert):
                continue  # it is a source itself: two of them would mute each other
            for place in _above(alert) if inhibit.beneath else [frozenset[tuple[str, str]]()]:
                sources = self._found.get(_key(number, inhibit, alert, place), {})
                if any(other != alert.alert_id and severity <= rank for other, severity in sources.items()):
                    return Dropped.INHIBITED
        return None

    def _add(self, alert: Transition, key: _Key) -> None:
        sources = self._found.setdefault(key, {})
        sources[alert.alert_id] = _rank(alert)
        if len(sources) > 2:
            del sources[max(sources, key=sources.__getitem__)]  # the mildest: the others mute whatever it would


_Key = tuple[int, tuple[str, ...], frozenset[tuple[str, str]]]


def _may_inhibit(alert: Transition, inhibit: Inhibit) -> bool:
    """Alerts without a signal are the daemon's own: they say that it cannot see, which mutes nothing by default."""
    return bool(alert.signal or inhibit.source) and matches(inhibit.source, alert)


def _key(number: int, inhibit: Inhibit, alert: Transition, place: frozenset[tuple[str, str]]) -> _Key:
    return number, tuple(label(alert, name) for name in inhibit.equal), place if inhibit.beneath else frozenset()


def _place(alert: Transition) -> frozenset[tuple[str, str]]:
    return frozenset((name, value) for name in PLACE if (value := alert.labels.get(name)))


def _above(alert: Transition) -> Iterable[frozenset[tuple[str, str]]]:
    """Every wider place that holds the alert's: at most 31, as there are five labels of place."""
    place = sorted(_place(alert))
    return (frozenset(some) for size in range(len(place)) for some in combinations(place, size))


def _rank(alert: Transition) -> int:
    return _SEVERITY.get(alert.severity, 2)
