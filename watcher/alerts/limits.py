"""How much one target hears, as plain values: apart, because settings make them and the pipeline obeys them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Flapping:
    """From how many beginnings within how many seconds on an alert flaps; 0 beginnings: never."""

    beginnings: int = 4
    within: float = 3600.0

    @property
    def calm(self) -> float:
        """Seconds without a change after which it has calmed down."""
        return self.within / 4

    def flaps(self, began: Sequence[float], now: float) -> int:
        """The beginnings within the window where they are too many, else 0. A clock stepped back forgets none."""
        recent = sum(at > now - self.within for at in began)
        return recent if self.beginnings and recent >= self.beginnings else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much one target hears: messages in any hour, and from when on an alert flaps."""

    per_hour: int = 60
    flapping: Flapping = Flapping()
