"""What of a series can be judged, and how the rules' conditions look on it: a `Frame`.

A frame is a stretch of one column, up to its frontier, read once for all rules of the series: aggregates are computed
once per kind, not once per rule, and "can this rule's condition hold anywhere in here at all" is one comparison. That
question is answered "no" for nearly every rule at nearly every look, which is why a thousand rules are affordable.

Which windows are judged (invariant 4). A window is *judged* where the vendor gave a value, except where that value says
that nothing was measured: its weight is 0, or it is a bare 0 of a signal that gets worse upwards beside 0 users (some
vendors fill quiet windows so). Those are *idle*, as are absent windows with 0 users. A value beside 0 users is else
believed: when nobody can join there are no users, and that is the outage to page for. What is absent, answered and not
idle is *no data*; what is absent and not answered is late or was lost. Only judged windows fire or clear a threshold.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import numpy as np

from watcher.model import SIGNALS, USERS, Floats, Ints, Series, Worse
from watcher.rules.aggregates import rolling, rolling_count
from watcher.rules.columns import Column
from watcher.rules.ground import Await, Condition, Shown, Tally
from watcher.rules.history import Slots
from watcher.rules.rule import WEIGHT, Aggregate, Bools, Kind, Part, Requirement, Rule
from watcher.rules.timeline import Track


class Frame:
    """The windows of one series with event time in (`after`, frontier], and `look_back` windows before them."""

    def __init__(
        self, series: Series, column: Column, companions: Mapping[str, Column], *, after: int, look_back: int
    ) -> None:
        self.series = series
        self.width = column.width
        self.until = self.firm = column.frontier
        self.companions = companions
        self._column = column
        self._low = max(after // self.width - look_back, column.begins // self.width)
        self._high = max(column.frontier // self.width, self._low)
        self.values, self.weights, self.answered = column.window(self._low, self._high)
        self.idle = self._idle()
        present = ~np.isnan(self.values)
        if self.idle.any():
            present &= ~self.idle
            self.values = np.where(present, self.values, np.nan)
        self._all_judged = bool(present.all())
        self._judged = np.flatnonzero(present)  # grid positions
        self.times: Ints = (self._judged + (self._low + 1)) * self.width
        self.first = int(np.searchsorted(self.times, after, side="right"))  # the first judged window to be decided
        self._aggregates: dict[Aggregate, Floats] = {}
        self._extremes: dict[Aggregate, tuple[float, float]] = {}

    def _idle(self) -> Bools:
        """Windows in which nothing was measured, because nobody was there."""
        idle: Bools = np.zeros(len(self.values), dtype=np.bool_)
        if self.weights is not None:
            idle |= self.weights == 0
        worse = SIGNALS[self.series.signal].worse
        users = self.companions.get(USERS)
        if worse is not Worse.CONTEXT and users is not None:
            nobody = users.at(np.arange(self._low, self._high) * self.width) == 0
            if nobody.any():
                idle |= nobody & (np.isnan(self.values) | ((self.values == 0) & (worse is Worse.UP)))
        return idle

    # ── conditions ──

    def slots(self, slot: int) -> Slots:
        """The means of every `slot` seconds that ended within the frame."""
        return Slots.of(self.values, self.weights, first=self._low, width=self.width, slot=slot)

    def covered(self, aggregate: Aggregate) -> Bools:
        """For every judged window, whether half of what the aggregate looks back on is known: judged, or idle."""
        k = aggregate.windows(self.width)
        dense = rolling_count(~np.isnan(self.values) | self.idle, k) * 2 >= k
        result: Bools = dense if self._all_judged else dense[self._judged]
        return result

    def measure(self, aggregate: Aggregate) -> Floats:
        """The aggregate at every judged window."""
        found = self._aggregates.get(aggregate)
        if found is None:
            dense = rolling(self.values, self.weights, aggregate, self.width)
            found = self._aggregates[aggregate] = dense if self._all_judged else dense[self._judged]
        return found

    def may_hold(self, rule: Part | Rule) -> bool:
        """False where the rule's `when` holds at none of the windows to be decided: nothing can begin in here."""
        aggregate = _extreme_of(rule.aggregate)
        extremes = self._extremes.get(aggregate)
        if extremes is None:
            values = self.measure(aggregate)
            if rule.aggregate.kind is not Kind.OF:
                values = values[self.first :]  # `of` counts windows before the first too
            extremes = (float(values.max()), float(values.min())) if len(values) else (-np.inf, np.inf)
            self._extremes[aggregate] = extremes
        return extremes[0] > rule.level.value if rule.level.above else extremes[1] < rule.level.value

    def condition(self, rule: Rule, first: int) -> Condition:
        """Where `when` and `require` are met, from position `first` on, in the rule's hours."""
        met = np.flatnonzero(self.when(rule)[first:]) + first
        if rule.hours is not None:
            met = met[rule.hours.hold(self.times[met] - self.width)]
        unknown: Bools = np.zeros(len(met), dtype=np.bool_)
        for requirement in rule.require:
            values = self._required(requirement, met)
            absent = np.isnan(values)
            stays = absent | requirement.level.holds(values)
            met, unknown = met[stays], (unknown | absent)[stays]
        return Condition(met, unknown, begins=self.times[met[unknown]])

    def _required(self, requirement: Requirement, positions: Ints) -> Floats:
        """The companion's values beside some judged windows, NaN where unknown."""
        if requirement.signal == WEIGHT:
            if self.weights is None:
                return np.full(len(positions), np.nan)
            return self.weights[self._judged[positions]]
        column = self.companions.get(requirement.signal)
        if column is None:
            return np.full(len(positions), np.nan)
        return column.at(self.times[positions] - self.width)

    def awaited(self, rule: Rule, at: int) -> tuple[Await, ...]:
        """The companions of `require` that are unknown in the window with event time `at`."""
        found = ((name, self.companions.get(name)) for name in sorted(rule.joins))
        return tuple((self.series, name) for name, c in found if c is None or c.value_at(at - self.width) is None)

    def when(self, rule: Part | Rule) -> Bools:
        """Where the condition itself holds, for every judged window."""
        if rule.aggregate.kind is not Kind.OF:
            return rule.level.holds(self.measure(rule.aggregate))
        return self._at_least_k(rule, rule.level.holds(self.values))

    def clear(self, rule: Part | Rule) -> Bools:
        """Where the rule's `clear` holds, for every judged window: its own level, or the negation of `when`.

        For `of`, the same count at the level of `clear`: clear is where fewer than k of the n are not past it.
        """
        if rule.clear is None:
            return ~self.when(rule)
        if rule.aggregate.kind is not Kind.OF:
            return rule.clear.holds(self.measure(rule.aggregate))
        return ~self._at_least_k(rule, ~np.isnan(self.values) & ~rule.clear.holds(self.values))

    def _at_least_k(self, rule: Part | Rule, holds: Bools) -> Bools:
        dense = rolling_count(holds, rule.aggregate.n) >= rule.aggregate.k
        result: Bools = dense if self._all_judged else dense[self._judged]
        return result

    # ── tracks for the timeline ──

    def threshold_track(self, rule: Rule, condition: Condition, first: int) -> Track:
        """The judged windows from position `first` on, as the timeline wants them."""
        return Track(
            width=self.width,
            times=self.times[first:],
            met=condition.met - first,
            unknown=condition.unknown,
            clear=lambda: released(rule, self.clear(rule)[first:], self.times[first:] - self.width),
            values=self.measure(rule.aggregate)[first:],
            worse_above=rule.level.above,
        )

    @cached_property
    def _silent(self) -> tuple[Ints, Bools]:
        """Event times at which the vendor's word is known, and where that word was nothing at all."""
        judged = np.zeros(len(self.values), dtype=np.bool_)
        judged[self._judged] = True
        nothing = ~judged & ~self.idle & self.answered
        known = np.flatnonzero(judged | self.idle | nothing)
        return (known + (self._low + 1)) * self.width, nothing[known]

    def may_be_silent(self) -> bool:
        """False where no window of the frame is *no data*."""
        return not self._all_judged and bool(self._silent[1].any())

    def silence_track(self, rule: Rule, after: int) -> Track:
        """The windows after event time `after` whose condition is "no data", in the rule's hours."""
        times, nothing = self._silent
        first = int(np.searchsorted(times, after, side="right"))
        nothing = nothing[first:]
        if rule.hours is not None:
            nothing = nothing & rule.hours.hold(times[first:] - self.width)
        met = np.flatnonzero(nothing)
        return Track(
            width=self.width,
            times=times[first:],
            met=met,
            unknown=np.zeros(len(met), dtype=np.bool_),
            clear=lambda: ~nothing,
            values=None,
            worse_above=True,
        )

    def position(self, after: int) -> int:
        """Position of the first judged window with event time later than `after`."""
        return int(np.searchsorted(self.times, after, side="right"))

    # ── details of one window, for messages ──

    def value(self, rule: Part | Rule, at: int | None) -> float | None:
        """The aggregate at event time `at`; None where that window was not judged."""
        if at is None:
            return None
        position = int(self.times.searchsorted(at))
        if position >= len(self.times) or self.times[position] != at:
            return None
        return float(self.measure(rule.aggregate)[position])

    def shown(self, rule: Rule, at: int | None) -> tuple[Shown, ...]:
        """The aggregate at event time `at`, or at the newest judged window."""
        value = self.value(rule, int(self.times[-1]) if at is None and len(self.times) else at)
        return (Shown(rule.signal, value, rule.level.value),)

    def tally(self, at: int) -> Tally | None:
        """One series has no share."""
        return None

    def newest_marks(self) -> tuple[str, ...]:
        """What the newest window is, where it is not judged."""
        if not len(self.values) or not np.isnan(self.values[-1]):
            return ()
        return ("idle",) if self.idle[-1] else ("no_data",) if self.answered[-1] else ()

    def users(self, at: int) -> float | None:
        """How many users were behind the window with event time `at`, where anything says so."""
        column = self.companions.get(USERS)
        known = column.value_at(at - self.width) if column is not None else None
        return self.weight(at) if known is None else known

    def weight(self, at: int) -> float | None:
        """The users or streams behind the window with event time `at`, where the vendor says."""
        return self._column.weight_at(at - self.width)

    def weights_at(self, starts: Ints) -> Floats:
        """The weights of the windows that hold each of `starts`, NaN where unknown."""
        return self._column.weights_at(starts)


def released(rule: Rule, clear: Bools, starts: Ints) -> Bools:
    """`clear`, which holds outside the rule's hours as well: what fires then ends."""
    return clear if rule.hours is None else clear | ~rule.hours.hold(starts)


def _extreme_of(aggregate: Aggregate) -> Aggregate:
    """What must be past the level somewhere for the condition to hold anywhere."""
    return _NEWEST if aggregate.kind is Kind.OF else aggregate


_NEWEST = Aggregate(kind=Kind.OF, k=1, n=1)
