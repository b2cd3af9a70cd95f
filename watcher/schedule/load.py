"""How many users are at risk at which hour: learned from an account's own users signal, per hour of the week.

A `Profile` is a value: `learn` returns the next one, `text` and `parse` carry it over a restart. What it expects of an
hour is, in this order, what that hour of the week was like, what that hour of other days was like, scaled by how this
day of the week compares with them so far, and what the busiest hour so far was like, each counting as much as it was
seen. So a first Saturday that begins at half of a usual day is taken to go on so, and on the first day the hours to
come are taken to be as busy as any, which is the even schedule's view and the safe one: what the morning spends, the
evening lacks. What was seen weighs half as much every week, so that a term or a season is followed.

A `Load` is the profile at work: expectation for hours to come, bent by how the last hour compares with what had been
expected of it, since a day that is busier than usual tends to stay so for a while.

Considered and not taken: a forecast with trend and holidays. What is decided by it is a square root of a ratio; the
difference between a good and a rough profile is a few per cent of the waiting time.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field

import numpy as np

from watcher.clock import HOUR
from watcher.model import Floats, Points

WEEK = 168  # hours
_FULL = 3600.0  # seconds seen of an hour after which what others say of it counts little
_GUESS = 60.0  # seconds that the guess "as busy as the busiest hour" counts for beside what was seen
_MOST = 3 * _FULL  # weight that an hour can gather, so that it goes on learning
_FADE = 0.5  # what a week does to the weight of what was seen
_TREND = 2 * HOUR  # seconds in which half of an unusual level is forgotten
_BEND = 4.0  # how unusual a level may be taken to be, either way
_VERSION = 1


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """Mean users by hour of the week (Unix hours modulo 168), and the seconds behind each mean."""

    mean: Floats = field(default_factory=lambda: np.zeros(WEEK))
    weight: Floats = field(default_factory=lambda: np.zeros(WEEK))
    until: int = 0  # start of the newest window learned
    level: float = 0.0  # users in the newest window learned

    def learn(self, points: Points) -> Profile:
        """Take in windows of the users series that are newer than what is known; older ones were learned."""
        new = points.start > self.until
        if not new.any():
            return self
        start, value = points.start[new], points.value[new]
        mean, weight = self.mean.copy(), self.weight.copy()
        hours = start // HOUR
        for hour in np.unique(hours):
            slot = int(hour % WEEK)
            inside = value[hours == hour]
            if hour != self.until // HOUR:
                weight[slot] *= _FADE
            seconds = float(len(inside) * points.width)
            mean[slot] += (float(inside.mean()) - mean[slot]) * seconds / (weight[slot] + seconds)
            weight[slot] = min(weight[slot] + seconds, _MOST)
        return Profile(mean, weight, int(start[-1]), float(value[-1]))

    def expected(self) -> Floats:
        """Users by hour of the week, with what is not known filled from what is."""
        weight = self.weight
        if not weight.any():
            return np.ones(WEEK)
        overall = float(self.mean[weight > 0].max())
        by_hour, seen = self.mean.reshape(7, 24), weight.reshape(7, 24)
        daily_weight = seen.sum(axis=0)
        daily = (np.sum(by_hour * seen, axis=0) + overall * _GUESS) / (daily_weight + _GUESS)
        filled = np.outer(_scale(by_hour, seen), daily).reshape(WEEK)
        result: Floats = (self.mean * weight + filled * _FULL / 4) / (weight + _FULL / 4)
        return result

    def text(self) -> str:
        """As JSON, for a note in the state."""
        return json.dumps(
            {
                "v": _VERSION,
                "mean": [round(v, 3) for v in self.mean.tolist()],
                "weight": [round(v) for v in self.weight.tolist()],
                "until": self.until,
                "level": self.level,
            },
            separators=(",", ":"),
        )

    @classmethod
    def parse(cls, text: str) -> Profile | None:
        """None where it is not one that this version wrote: then everything is learned again."""
        try:
            data = json.loads(text)
            mean, weight = (np.array(data[name], dtype=np.float64) for name in ("mean", "weight"))
            until, level, version = int(data["until"]), float(data["level"]), data["v"]
        except (ValueError, TypeError, KeyError, OverflowError):
            return None
        numbers = np.concatenate([mean, weight, [level]]) if mean.ndim == weight.ndim == 1 else np.array([math.nan])
        fits = version == _VERSION and mean.shape == weight.shape == (WEEK,) and until >= 0
        return cls(mean, weight, until, level) if fits and bool((np.isfinite(numbers) & (numbers >= 0)).all()) else None

    def load(self, beside: float = 0.0) -> Load:
        """The expectation from now on; `beside` are the mean users of the same place's other products."""
        expected = self.expected()
        average = float(expected.mean())
        if not self.until or average <= 0:
            return Load(week=expected, average=max(average, 1.0), beside=beside, bend=0.0, bent_at=0)
        usual = max(float(_between(expected, np.array([self.until / HOUR]))[0]), 0.02 * average)
        bend = min(max(self.level / usual, 1 / _BEND), _BEND)
        return Load(week=expected, average=average, beside=beside, bend=math.log(bend), bent_at=self.until)


def _scale(by_hour: Floats, seen: Floats) -> Floats:
    """How each day of the week compares with the others in the hours seen of it: 1 where little was."""
    usual = np.sum(by_hour * seen, axis=0) / np.maximum(seen.sum(axis=0), 1.0)
    little = _FULL / 2 * max(float(usual.mean()), 1.0)
    scale: Floats = (np.sum(by_hour * seen, axis=1) + little) / (np.sum(usual * seen, axis=1) + little)
    return scale


@dataclass(frozen=True, slots=True, eq=False)
class Load:
    """Users expected by hour of the week, the mean of all hours, and how unusual it was lately (log of a ratio).

    `beside` are the mean users of other products at the same place.
    """

    week: Floats
    average: float
    bend: float
    bent_at: int
    beside: float = 0.0

    def risk(self, hours: Floats) -> Floats:
        """What is at risk in each of these Unix hours (hours since 1970, whole or not).

        Between two places of different size the bigger one gets more looks, but less than in proportion, since an alert
        is an alert to those who asked for it: users over the square root of the place's average. The products of one
        place count alike, since what goes wrong there goes wrong for either.
        """
        users = _between(self.week, hours)
        if self.bend:
            ago = np.maximum(hours * HOUR - self.bent_at, 0.0)
            users = users * np.exp(self.bend * 0.5 ** (ago / _TREND))
        result: Floats = users / self.average * math.sqrt(self.average + self.beside)
        return result


def _between(week: Floats, hours: Floats) -> Floats:
    """The expectation at these Unix hours: a line between the middles of two hours."""
    at = hours - 0.5
    whole = np.floor(at)
    before = whole.astype(np.int64) % WEEK
    result: Floats = week[before] + (at - whole) * (week[(before + 1) % WEEK] - week[before])
    return result
