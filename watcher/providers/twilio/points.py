"""From the stays that ended in a minute to the values of signals (design, section 6; dossier section 8). Pure.

Everybody who left has one vote, so weighing minutes by weight weighs people. `users` is how many left and `channels`
in how many rooms: this vendor tells of who was there only when they have gone. A minute in which nobody left has no
point at all, since nothing tells it from a vendor that is behind; one that an amendment emptied says so with zeros, as
its point is out already.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from watcher.model import USERS, Points, Series
from watcher.providers.twilio.memory import Stay
from watcher.providers.twilio.queries import RATIOS, WIDTH

_NAMED = 3  # rooms and endings in a message


@dataclass(frozen=True, slots=True)
class Minute:
    """The figures of one minute: signal -> value, all of `people`."""

    start: int
    people: int
    values: Mapping[str, float]

    def count(self, signal: str) -> float:
        """How many a value stands for."""
        return count(signal, self.values[signal], self.people)

    @property
    def counts(self) -> Mapping[str, float]:
        """Signal -> how many its value stands for."""
        return {signal: self.count(signal) for signal in self.values}


def measure(start: int, stays: Iterable[Stay]) -> Minute:
    """Everybody who left in the minute that begins at `start`, as signals."""
    people, rooms, counts = 0, set[str](), Counter[str]()
    for stay in stays:
        people += 1
        rooms.add(stay.room)
        counts.update(signal for signal in RATIOS if counts_for(stay, signal))
    ratios = {signal: counts[signal] / people if people else 0.0 for signal in RATIOS}
    return Minute(start, people, {USERS: float(people), "channels": float(len(rooms)), **ratios})


def count(signal: str, value: float, people: float) -> float:
    """How many a value stands for: ratios are of `people`, the rest are numbers already."""
    return value * people if signal in RATIOS else value


def counts_for(stay: Stay, signal: str) -> bool:
    """Whether a stay is one of those that a signal is the share of."""
    match signal:
        case "participant_failure_ratio":
            return stay.verdict.failed
        case "participant_drop_ratio":
            return stay.verdict.dropped
        case "connect_failure_ratio":
            return stay.verdict.kept_out
        case "quota_refusal_ratio":
            return stay.verdict.refused
    return False


def columns(minutes: Sequence[Minute], series: Iterable[Series]) -> tuple[Points, ...]:
    """Minutes, ascending, as points of each series; none where there are no minutes."""
    if not minutes:
        return ()
    start = np.array([minute.start for minute in minutes], np.int64)
    weight = np.array([minute.people for minute in minutes], np.float64)
    return tuple(
        Points(
            series=one,
            width=WIDTH,
            start=start,
            value=np.array([minute.values[one.signal] for minute in minutes], np.float64),
            weight=weight,
        )
        for one in series
    )


def worst(stays: Iterable[Stay], signal: str) -> str:
    """Why, and in which rooms: `53405 ×9, 53104 ×2; RM… 5 of 12, …`; empty where nothing is wrong."""
    left, bad, endings = Counter[str](), Counter[str](), Counter[str]()
    for stay in stays:
        left[stay.room] += 1
        if counts_for(stay, signal):
            bad[stay.room] += 1
            endings[stay.verdict.ending] += 1
    if not bad:
        return ""
    why = ", ".join(f"{ending} ×{count}" for ending, count in _most(endings))
    where = ", ".join(f"{room} {count} of {left[room]}" for room, count in _most(bad))
    return f"{why}; {where}"


def _most(counts: Counter[str]) -> list[tuple[str, int]]:
    """The first few, most first; of equals, by name, so that a message does not change for nothing."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_NAMED]
