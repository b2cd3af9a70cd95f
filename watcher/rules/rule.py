"""A rule as a frozen value: what `pack` reads and what everything else judges by (design, section 5).

Numbers are in base units and seconds; nothing here is text that still has to be understood. The value is apart from the
pydantic shapes of `pack` because the daemon, the tests and later the backtest make rules without YAML, and because a
shape mirrors what users write while this mirrors what is computed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from watcher.model import USERS, Floats, Labels, Series

Bools = npt.NDArray[np.bool_]

NO_DATA_REASON = "no_data"  # value of the label `reason` of the alert that says that data stopped


class Kind(StrEnum):
    """How a rule makes one number (or one count) of the windows it looks back on."""

    LAST = "last"
    AVG = "avg"
    MIN = "min"
    MAX = "max"
    PERCENTILE = "percentile"
    OF = "of"


@dataclass(frozen=True, slots=True, kw_only=True)
class Aggregate:
    """`last: 1`, `avg|min|max|pNN: seconds`, or `of: {k, n}`."""

    kind: Kind
    seconds: int = 0
    percent: int = 0
    k: int = 0
    n: int = 0

    def windows(self, width: int) -> int:
        """How many windows it looks back on: those with event time in (t - seconds, t], so at least one."""
        match self.kind:
            case Kind.LAST:
                return 1
            case Kind.OF:
                return self.n
        return max(1, -(-self.seconds // width))


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """Strictly above, or strictly below, a value."""

    above: bool
    value: float

    def holds(self, values: Floats) -> Bools:
        """Elementwise; absent (NaN) holds nothing."""
        result: Bools = values > self.value if self.above else values < self.value
        return result


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """A companion signal that must be on one side of a level in the same window."""

    signal: str
    level: Level


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule. `clear` None means the negation of `when`; `no_data_after` None means that silence is kept."""

    name: str
    signal: str
    aggregate: Aggregate
    level: Level
    where: Mapping[str, frozenset[str]] = field(default_factory=dict)
    hold: int = 0  # `for`, seconds
    keep_firing_for: int = 0
    clear: Level | None = None
    clear_for: int = 0
    require: tuple[Requirement, ...] = ()
    no_data_after: int | None = None
    severity: str = "warning"
    labels: Labels = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)  # annotation name -> template
    detect_within: int | None = None
    place: str = ""  # file:line of the rule, for messages about it

    def judging_key(self, *, no_data: bool = False) -> str:
        """Changes exactly when the verdicts may: a threshold that changed judges from now (invariant 10)."""
        meaning = (
            (self.signal, self.no_data_after)
            if no_data
            else (
                self.signal,
                self.aggregate,
                self.level,
                self.hold,
                self.keep_firing_for,
                self.clear,
                self.clear_for,
                self.require,
            )
        )
        return hashlib.sha256(repr(meaning).encode()).hexdigest()[:12]


def feeds(rule: Rule, series: Series) -> bool:
    """True where `rule` judges points of `series`."""
    return rule.signal == series.signal and all(getattr(series, name) in values for name, values in rule.where.items())


def needed_signals(rules: Iterable[Rule]) -> frozenset[str]:
    """Every signal that some rule judges or joins; `users` with any, since idleness is told by it."""
    signals = {signal for rule in rules for signal in (rule.signal, *(r.signal for r in rule.require))}
    return frozenset(signals | {USERS} if signals else signals)


def unfed(rules: Iterable[Rule], available: Iterable[Series]) -> list[tuple[Rule, str]]:
    """Rules that none of `available` can feed, and rules whose `require` none can answer, each with the reason."""
    series = list(available)
    found: list[tuple[Rule, str]] = []
    for rule in rules:
        mains = [s for s in series if feeds(rule, s)]
        if not mains:
            found.append((rule, f"no configured account measures {rule.signal} where {rule.name} looks"))
            continue
        known = set(series)
        found.extend(
            (rule, f"no configured account measures {r.signal} where {rule.name} looks, so `require` is never met")
            for r in rule.require
            if not any(c in known for main in mains for c in companions(main, r.signal))
        )
    return found


def companions(series: Series, signal: str) -> tuple[Series, ...]:
    """Where another signal of the same place may be found: the same labels first, then the wider ones."""
    same = series.sibling(signal)
    return tuple(dict.fromkeys((same, same._replace(channel=""), same._replace(product="", channel=""))))
