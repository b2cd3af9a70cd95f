"""The daily curve that traffic follows, as scenario files write it and as a function of time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from watcher.clock import DAY, HOUR
from watcher.model import Floats
from watcher.yamlfile import Quantity, Strict

Share = Annotated[Quantity, Field(ge=0, le=1)]
Level = Annotated[Quantity, Field(ge=0, le=10)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """`trough` of the peak at night; `week` scales each day, Monday first. All in UTC."""

    trough: float
    peak_hour: float
    week: tuple[float, ...]

    def levels(self, at: Floats) -> Floats:
        """Share of the peak at instants."""
        hours = (at % DAY) / HOUR
        wave = (1 + np.cos((hours - self.peak_hour) * (math.tau / 24))) / 2
        weekday = (at // DAY + 3).astype(np.int64) % 7  # 1970-01-01 was a Thursday
        levels: Floats = np.array(self.week)[weekday] * (self.trough + (1 - self.trough) * wave)
        return levels

    def level(self, at: float) -> float:
        """The same at one instant."""
        return float(self.levels(np.array([at]))[0])


class DayShape(Strict):
    """The curve as written; a flat one by default."""

    trough: Share = 1.0
    peak_hour: Annotated[Quantity, Field(ge=0, lt=24)] = 15.0
    week: Annotated[tuple[Level, ...], Field(min_length=7, max_length=7)] = (1.0,) * 7

    def day(self) -> Day:
        """The curve itself."""
        return Day(trough=self.trough, peak_hour=self.peak_hour, week=self.week)
