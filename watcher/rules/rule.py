"""A rule as a frozen value: what `pack` reads and what everything else judges by (design, section 5).

Numbers are in base units and seconds; nothing here is text that still has to be understood. The value is apart from the
pydantic shapes of `pack` because the daemon, the tests and later the backtest make rules without YAML, and because a
shape mirrors what users write while this mirrors what is computed.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from watcher.clock import HOUR, MINUTE
from watcher.model import SHARE, USERS, Floats, Labels, Series
from watcher.rules.hours import Hours

Bools = npt.NDArray[np.bool_]

NO_DATA_REASON = "no_data"  # value of the label `reason` of the alert that says that data stopped
SLOT = 5 * MINUTE  # of what a baseline remembers
WEIGHT = "weight"  # in `require`: the users or streams behind the value itself, where the vendor says


class Place(NamedTuple):
    """Where a rule stands in a file, for messages about it. Lines and columns count from 1; 0 is unknown."""

    file: str = ""
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


NOWHERE = Place()


class Kind(StrEnum):
    """How a condition makes one number (or one count) of the windows it looks back on."""

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
    """A companion signal (or `WEIGHT`) that must be on one side of a level in the same window."""

    signal: str
    level: Level


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """The limit is what was normal, give or take the larger of `spread` times its usual spread and `at_least`.

    Normal is the median of `slot`-second means in `span` seconds: those around the same time of `cycles` earlier
    periods (a `period` is a week; `zone` is where its clock hangs), or with no `period` the newest ones.
    """

    spread: float
    at_least: float
    span: int = HOUR
    period: int = 0
    cycles: int = 1
    zone: str = "UTC"
    slot: int = SLOT

    @property
    def reach(self) -> int:
        """Seconds of history that it looks back on; two hours are left for clocks that were put forward or back."""
        return self.cycles * self.period + self.span + 2 * HOUR


@dataclass(frozen=True, slots=True, kw_only=True)
class Burn:
    """A share of failures that would use up an objective's allowance too soon, over a long time and a `short` one too.

    `budget` is the share that the objective allows to fail.
    """

    short: Aggregate
    budget: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One condition: an aggregate of one signal beyond a level. `clear` None means the negation of that.

    With `per`, each window's number is `signal` divided by `per` (failures by attempts), weighted by `per`, so that an
    average over several windows is all failures divided by all attempts. With `baseline` the level is worked out for
    each window and `level.value` is NaN. With `burn` the shorter average must be past the level as well.
    """

    signal: str
    aggregate: Aggregate
    level: Level
    clear: Level | None = None
    per: str = ""
    baseline: Baseline | None = None
    burn: Burn | None = None

    @property
    def measures(self) -> str:
        """What its number is called."""
        return f"{self.signal}/{self.per}" if self.per else self.signal

    @property
    def signals(self) -> tuple[str, ...]:
        """What must be measured for it."""
        return (self.signal, self.per) if self.per else (self.signal,)

    def fills(self, width: int) -> int:
        """How many windows a breach must last to be past the level by itself; a burn is taken for a total failure."""
        windows = self.aggregate.windows(width)
        if self.burn is None:
            return windows
        share = self.level.value if self.level.above else 1 - self.level.value
        return max(1, math.ceil(share * windows))


class Join(StrEnum):
    """How several conditions on one label set make one."""

    ALL = "all"
    ANY = "any"


class By(StrEnum):
    """What series share, of which a share is taken."""

    ACCOUNT = "account"
    PROJECT = "project"
    PRODUCT = "product"


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """The share of label sets whose condition holds, beyond a level; of fewer than `at_least` it says nothing."""

    level: Level
    at_least: int
    by: By = By.PROJECT
    clear: Level | None = None

    def place(self, series: Series) -> Series:
        """The label set that `series` counts towards."""
        return Series(
            series.account,
            series.provider,
            "" if self.by is By.ACCOUNT else series.project,
            series.product if self.by is By.PRODUCT else "",
            "",
            SHARE,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule. `no_data_after` None means that silence is kept.

    `signal`, `per`, `aggregate`, `level`, `clear`, `baseline` and `burn` are its first condition (`lead`); `others`
    join it by `join`. With `share`, the conditions are judged per label set and the alert is about how many hold.
    """

    name: str
    signal: str
    aggregate: Aggregate
    level: Level
    per: str = ""
    baseline: Baseline | None = None
    burn: Burn | None = None
    join: Join = Join.ALL
    others: tuple[Part, ...] = ()
    share: Share | None = None
    where: Mapping[str, frozenset[str]] = field(default_factory=dict)
    hold: int = 0  # `for`, seconds
    keep_firing_for: int = 0
    clear: Level | None = None
    clear_for: int = 0
    require: tuple[Requirement, ...] = ()
    no_data_after: int | None = None
    hours: Hours | None = None  # when it is judged at all
    severity: str = "warning"
    labels: Labels = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)  # annotation name -> template
    detect_within: int | None = None
    place: Place = NOWHERE

    @property
    def parts(self) -> tuple[Part, ...]:
        """Every condition, in the order written."""
        lead = Part(
            signal=self.signal,
            aggregate=self.aggregate,
            level=self.level,
            clear=self.clear,
            per=self.per,
            baseline=self.baseline,
            burn=self.burn,
        )
        return (lead, *self.others)

    @property
    def is_joined(self) -> bool:
        """True where more than one series, or more than the newest windows of one, makes the verdict."""
        return bool(self.others or self.per or self.share or self.baseline or self.burn)

    @property
    def judges(self) -> frozenset[str]:
        """The signals whose points make its verdict."""
        return frozenset(signal for part in self.parts for signal in part.signals)

    @property
    def joins(self) -> frozenset[str]:
        """The companion signals of its `require`."""
        return frozenset(r.signal for r in self.require if r.signal != WEIGHT)

    def windows(self, width: int) -> int:
        """How many windows its verdict looks back on."""
        return max(part.aggregate.windows(width) for part in self.parts)

    def fills(self, width: int) -> int:
        """How many windows a breach must last before its condition can hold."""
        each = [part.fills(width) for part in self.parts]
        return min(each) if self.join is Join.ANY and self.burn is not None else max(each)

    def judging_key(self, *, no_data: bool = False) -> str:
        """Changes exactly when the verdicts may: a threshold that changed judges from now (invariant 10)."""
        meaning = (
            (self.signal, self.no_data_after, self.hours)
            if no_data
            else (
                self.parts,
                self.join,
                self.share,
                self.hold,
                self.keep_firing_for,
                self.clear_for,
                self.require,
                self.hours,
            )
        )
        return hashlib.sha256(repr(meaning).encode()).hexdigest()[:12]


def feeds(rule: Rule, series: Series) -> bool:
    """True where `rule` judges points of `series`."""
    judged = series.signal == rule.signal or (rule.is_joined and series.signal in rule.judges)
    return judged and all(getattr(series, name) in values for name, values in rule.where.items())


def needed_signals(rules: Iterable[Rule]) -> frozenset[str]:
    """Every signal that some rule judges or joins; `users` with any, since idleness is told by it."""
    signals = {signal for rule in rules for signal in rule.judges | rule.joins}
    return frozenset(signals | {USERS} if signals else signals)


def remembered_signals(rules: Iterable[Rule]) -> frozenset[str]:
    """Every signal that some rule holds against what was normal."""
    return frozenset(part.signal for rule in rules for part in rule.parts if part.baseline is not None)


def unfed(rules: Iterable[Rule], available: Iterable[Series]) -> list[tuple[Rule, str]]:
    """Rules that none of `available` can feed, and rules whose `require` none can answer, each with the reason."""
    series = list(available)
    found: list[tuple[Rule, str]] = []
    known = set(series)
    for rule in rules:
        mains = [s for s in series if feeds(rule, s)]
        before = len(found)
        for signal in sorted(rule.judges | rule.joins if mains else rule.judges):
            if any(c in known for main in mains for c in companions(main, signal)):
                continue
            reason = f"no configured account measures {signal} where {rule.name} looks"
            found.append((rule, reason if signal in rule.judges else f"{reason}, so `require` is never met"))
        if len(found) == before and rule.join is Join.ALL and not any(_has_all(rule, main, known) for main in mains):
            found.append((rule, f"no configured account measures {' and '.join(sorted(rule.judges))} in one place"))
    return found


def _has_all(rule: Rule, main: Series, known: Collection[Series]) -> bool:
    """Whether everything that must hold together is measured where `main` is."""
    return all(any(c in known for c in companions(main, signal)) for signal in rule.judges)


def companions(series: Series, signal: str) -> tuple[Series, ...]:
    """Where another signal of the same place may be found: the same labels first, then the wider ones."""
    same = series.sibling(signal)
    return tuple(dict.fromkeys((same, same._replace(channel=""), same._replace(product="", channel=""))))
