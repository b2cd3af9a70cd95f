"""Several signals, or several label sets, as one ground to judge on: `all:`, `any:`, pairs of counts, shares of series.

Each part is judged on its own series by the same `Frame` as a rule of one signal, and then verdicts are joined window
by window, with three values: holds, does not, not known. What is not known is never guessed: `all` holds where every
part does and fails where one fails, `any` the other way round, and where neither can be said the window counts as
missing: it holds a running timer and adds nothing (design, section 5).

Signals come by different looks, so one side is usually known further than the other. A window whose verdict hangs on a
side that was *not asked yet* is in doubt: what would be said because of it is held back and that side is asked for
first, as for a `require`; after `judging.undecided_for` it is judged by what is known. A side that was asked and is
late, idle or without data holds nothing back. A side that was not asked for longer than `judging.horizon` behind the
other is not waited for. Judging only as far as every side is known was considered: one blind query would then keep an
`any` from paging for what the others plainly show.

A *share* counts label sets in breach among those judged in the same window; sets that fail `require` are left out, and
a set that is not asked yet is in doubt only where it could change the verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from watcher.errors import clip
from watcher.model import SHARE, USERS, Floats, Ints, Series
from watcher.rules.columns import MAX_WINDOWS, Column
from watcher.rules.frame import Frame, released
from watcher.rules.ground import LEARNING, VENDORS, Await, Condition, Shown, Tally
from watcher.rules.history import History, limits
from watcher.rules.rule import WEIGHT, Baseline, Bools, Join, Part, Requirement, Rule, Share
from watcher.rules.timeline import Track

Columns = Mapping[str, Column]
ColumnsOf = Callable[[Series], Columns]
"""The columns to read at a label set, by signal."""

AwaitsOf = Callable[[Series, str], bool]
"""Whether a signal at a label set was never answered for, though it is going to be asked for."""

HistoryOf = Callable[[Series, str], History | None]
"""The past of a signal as it is read at a label set."""

_NAMES = 3  # of label sets in breach that are told


class Joined:
    """The ground of one rule at one place: a label set, or all the label sets that a share is taken of."""

    def __init__(
        self,
        rule: Rule,
        places: Sequence[Series],
        columns_of: ColumnsOf,
        awaits: AwaitsOf,
        histories: HistoryOf,
        *,
        after: int | None,
        horizon: int,
    ) -> None:
        at_place = [(place, columns_of(place)) for place in places]
        sides = [c for _, columns in at_place for part in rule.parts if (c := _column(part, columns)) is not None]
        self.until = max((column.frontier for column in sides), default=0)
        live = [column.frontier for column in sides if column.frontier > self.until - horizon]
        self.firm = min(live, default=self.until)
        self.width = sides[0].width if sides else 1
        after = self.until - self.width if after is None else after
        low = after // self.width
        starts = np.arange(low, max(self.until // self.width, low), dtype=np.int64) * self.width
        grid = _Grid(starts, after, self.until - horizon, awaits, histories, rule.hold)
        self._grid = grid
        self._members = [_Member(rule, place, columns, grid) for place, columns in at_place]
        open_ = np.ones(len(starts), dtype=np.bool_) if rule.hours is None else rule.hours.hold(starts)
        verdict = _alone(rule, self._members[0]) if rule.share is None else _shared(rule.share, self._members)
        self._verdict = verdict
        self._judged = np.flatnonzero(verdict.judged)
        self.times: Ints = starts[self._judged] + self.width
        self._met: Bools = verdict.met & open_
        self._begins: Ints = starts[verdict.begins & open_] + self.width
        self._doubts: Ints = starts[verdict.doubts & open_] + self.width

    # ── conditions and tracks ──

    def may_hold(self, rule: Rule) -> bool:
        """False where nothing can begin in here."""
        return bool(self._met.any()) or bool(len(self._begins)) or bool(len(self._doubts))

    def position(self, after: int) -> int:
        """Position of the first judged window with event time later than `after`."""
        return int(np.searchsorted(self.times, after, side="right"))

    def condition(self, rule: Rule, first: int) -> Condition:
        """Where the joined condition is met, from position `first` on."""
        met = np.flatnonzero(self._met[self._judged][first:]) + first
        unknown = self._verdict.unknown[self._judged[met]]
        return Condition(met, unknown, begins=self._begins, doubts=self._doubts)

    def threshold_track(self, rule: Rule, condition: Condition, first: int) -> Track:
        """The judged windows from position `first` on. What an `any` measures differs by window: it has no peak."""
        positions = self._judged[first:]
        value = self._verdict.value
        return Track(
            width=self.width,
            times=self.times[first:],
            met=condition.met - first,
            unknown=condition.unknown,
            clear=lambda: released(rule, self._verdict.clear[positions], self._grid.starts[positions]),
            values=None if value is None else value[positions],
            worse_above=rule.share is not None or rule.level.above,
        )

    # ── details of one window ──

    def awaited(self, rule: Rule, at: int) -> tuple[Await, ...]:
        """What is unknown in the window with event time `at` and would settle its verdict."""
        index = self._index(at)
        if index is None:
            return ()
        return tuple(dict.fromkeys(found for member in self._members for found in member.awaited(rule, index)))

    def shown(self, rule: Rule, at: int | None) -> tuple[Shown, ...]:
        """The share; or every part's number, an `any` quoting one that holds first."""
        index = self._index(at)
        if rule.share is not None:
            shares = self._verdict.value
            value = None if index is None or shares is None else _number(shares[index])
            return (Shown(f"{SHARE}/{rule.signal}", value, rule.share.level.value),)
        sides = self._members[0].sides
        if rule.join is Join.ANY and index is not None:
            sides = sorted(sides, key=lambda side: not side.held[index])
        return tuple(side.shown(index) for side in sides)

    def tally(self, at: int) -> Tally | None:
        """What a share counted at event time `at`."""
        index = self._index(at)
        if self._verdict.counted is None or index is None:
            return None
        breached = [m for m in self._members if m.counts[index] and m.held[index]]
        names = tuple(clip(m.place.channel or m.place.product or m.place.project, 60) for m in breached[:_NAMES])
        return Tally(len(breached), int(self._verdict.counted[index]), names)

    def users(self, at: int) -> float | None:
        """How many users were behind the window with event time `at`: of all label sets, each counted once."""
        columns = {id(c): c for m in self._members if (c := m.columns.get(USERS)) is not None}
        known = [n for c in columns.values() if (n := c.value_at(at - self.width)) is not None]
        return sum(known) if known else self.weight(at)

    def weight(self, at: int) -> float | None:
        """The weight of the first part; a share has none."""
        frame = self._members[0].sides[0].frame
        return None if self._verdict.counted is not None or frame is None else frame.weight(at)

    def newest_marks(self) -> tuple[str, ...]:
        """What the newest window of the first part is, where none of it is judged; and where something is learning."""
        frame = self._members[0].sides[0].frame
        learning = (LEARNING,) if self.is_learning else ()
        told = any(side.is_told(len(self._grid.starts) - 1) for member in self._members for side in member.sides)
        marks = (*learning, VENDORS) if told else learning
        return marks if self._verdict.judged[-1:].any() or frame is None else (*marks, *frame.newest_marks())

    @property
    def is_learning(self) -> bool:
        """Whether, in the newest window, something is measured and not judged for want of history."""
        return any(side.unlearned[-1:].any() for member in self._members for side in member.sides)

    @property
    def judged_from(self) -> int | None:
        """The event time of the first window in here for which enough was known of the past; None for none."""
        sides = [s for m in self._members for s in m.sides if s.part.baseline is not None or s.part.burn is not None]
        able = [int(known[0]) for side in sides if len(known := np.flatnonzero(side.judged))]
        return int(self._grid.starts[min(able)]) + self.width if able else None

    def _index(self, at: int | None) -> int | None:
        """Grid index of the window with event time `at`; for None of the newest one that is judged, or learning."""
        if at is None and self.is_learning:
            return len(self._grid.starts) - 1
        if at is None:
            return int(self._judged[-1]) if len(self._judged) else None
        index = int(np.searchsorted(self._grid.starts, at - self.width))
        on_grid = index < len(self._grid.starts) and self._grid.starts[index] == at - self.width
        return index if on_grid else None


# ── one label set ────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class _Grid:
    """The windows that all parts are put on. A side known no further than `abandoned` is not waited for."""

    starts: Ints
    after: int
    abandoned: int
    awaits: AwaitsOf
    histories: HistoryOf
    hold: int  # the rule's `for`


class _Side:
    """One part at one label set, on the common grid."""

    def __init__(self, part: Part, place: Series, columns: Columns, grid: _Grid) -> None:
        self.part = part
        self.frame: Frame | None = None
        self._starts = grid.starts
        self._told: Callable[..., bool] | None = None
        self.value: Floats = np.full(len(grid.starts), np.nan)
        self.normal = self.limit = self.value  # of a baseline
        self.judged: Bools = np.zeros(len(grid.starts), dtype=np.bool_)
        self.held = self.clear = self.judged
        column = _column(part, columns)
        self.is_there = column is not None or any(grid.awaits(place, signal) for signal in part.signals)
        self.unasked: Bools = ~self.judged
        self.unlearned: Bools = self.judged  # measured, and not judged for want of history
        if column is None:
            return
        self.frame = frame = Frame(
            place.sibling(part.signal),
            column,
            columns,
            after=grid.after,
            look_back=MAX_WINDOWS if part.baseline is not None else part.aggregate.windows(column.width),
        )
        times = (grid.starts // column.width + 1) * column.width
        self.unasked = (times > column.frontier) & (column.frontier > grid.abandoned)
        if not len(frame.times):
            return
        at = np.minimum(np.searchsorted(frame.times, times), len(frame.times) - 1)
        measured = frame.times[at] == times
        self.value = np.where(measured, frame.measure(part.aggregate)[at], np.nan)
        if part.baseline is not None:
            self._against(part.baseline, place, frame, grid)
        elif part.burn is not None:
            self.judged = measured & frame.covered(part.aggregate)[at]
            shorter = part.level.holds(frame.measure(part.burn.short))[at]
            self.held = self.judged & frame.when(part)[at] & shorter
            self.clear = self.judged & ~self.held
        else:
            self.judged = measured
            self.held = measured & frame.when(part)[at]
            self.clear = measured & frame.clear(part)[at]
        self.unlearned = measured & ~self.judged

    def _against(self, baseline: Baseline, place: Series, frame: Frame, grid: _Grid) -> None:
        """Judge against what was normal, where enough is known of it."""
        history = grid.histories(place, self.part.signal)
        if history is None:
            return
        live = frame.slots(baseline.slot)
        above, looks = self.part.level.above, self.part.aggregate.windows(frame.width) * frame.width
        before = looks - frame.width + grid.hold
        self.normal, self.limit = limits(history.with_(live), baseline, above=above, starts=grid.starts, before=before)
        self._told = partial(history.is_told, live, baseline, before=before)
        self.judged = ~np.isnan(self.value) & ~np.isnan(self.limit)
        past = self.value > self.limit if above else self.value < self.limit
        self.held = self.judged & past
        self.clear = self.judged & ~past

    def is_told(self, index: int) -> bool:
        """Whether the limit of one window is made partly of what the vendor's own statistics say."""
        if self._told is None or index < 0 or np.isnan(self.limit[index]):
            return False
        return self._told(start=int(self._starts[index]))

    def shown(self, index: int | None) -> Shown:
        """Its number in one window, the level there, and what is normal."""
        part = self.part
        value = None if index is None else _number(self.value[index])
        if part.baseline is not None:
            limit, normal = (None if index is None else _number(of[index]) for of in (self.limit, self.normal))
            told = index is not None and self.is_told(index)
            return Shown(part.measures, value, limit, normal, told=told)
        if part.burn is None:
            return Shown(part.measures, value, part.level.value)
        budget, above = part.burn.budget, part.level.above
        burn = None if value is None else (value if above else 1 - value) / budget
        target = budget if above else 1 - budget
        return Shown(part.measures, value, part.level.value, target, burn, part.aggregate.seconds)


class _Member:
    """One label set: its parts joined, and its `require`."""

    def __init__(self, rule: Rule, place: Series, columns: Columns, grid: _Grid) -> None:
        self.place = place
        self.columns = columns
        self._grid = grid
        self.sides = [_Side(part, place, columns, grid) for part in rule.parts]
        if rule.join is Join.ANY:  # what the vendor never measured here is no part of "any"
            self.sides = [side for side in self.sides if side.is_there] or self.sides
        held, clear = [s.held for s in self.sides], [s.clear for s in self.sides]
        judged, failed = [s.judged for s in self.sides], [s.judged & ~s.held for s in self.sides]
        every, some = np.logical_and.reduce, np.logical_or.reduce
        self.held: Bools = every(held) if rule.join is Join.ALL else some(held)
        self.judged: Bools = every(judged) | (some(failed) if rule.join is Join.ALL else self.held)
        self.clear: Bools = self.judged & (some(clear) if rule.join is Join.ALL else every(clear))
        waits = [s.unasked & ~s.judged for s in self.sides]
        self.waits: Bools = ~self.judged & some(waits)
        self.may_hold: Bools = self.waits & every([s.held | w for s, w in zip(self.sides, waits, strict=True)])
        self.fails, self.unknown = self._guarded(rule.require)
        self.counts: Bools = self.judged & ~self.fails

    def _guarded(self, require: Sequence[Requirement]) -> tuple[Bools, Bools]:
        """Where `require` is not met, and where that is unknown."""
        fails: Bools = np.zeros(len(self._grid.starts), dtype=np.bool_)
        unknown = fails.copy()
        for requirement in require:
            values = self._required(requirement.signal)
            absent = np.isnan(values)
            fails |= ~absent & ~requirement.level.holds(values)
            unknown |= absent
        return fails, unknown & ~fails

    def _required(self, signal: str) -> Floats:
        starts = self._grid.starts
        frame = self.sides[0].frame
        if signal == WEIGHT and frame is not None:
            return frame.weights_at(starts)
        column = self.columns.get(signal)
        return np.full(len(starts), np.nan) if column is None else column.at(starts)

    def awaited(self, rule: Rule, index: int) -> Iterator[Await]:
        """What is unknown here in one window."""
        if self.waits[index]:
            for side in self.sides:
                if side.unasked[index] and not side.judged[index]:
                    yield from ((self.place, signal) for signal in side.part.signals)
        if self.unknown[index]:
            start = int(self._grid.starts[index])
            for name in sorted(rule.joins):
                column = self.columns.get(name)
                if column is None or column.value_at(start) is None:
                    yield self.place, name


def _column(part: Part, columns: Columns) -> Column | None:
    """What the part is judged on, where it was ever answered for."""
    top = columns.get(part.signal)
    if not part.per or top is None:
        return top
    bottom = columns.get(part.per)
    return None if bottom is None else Column.pair(top, bottom)


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


# ── the verdict ──────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class _Verdict:
    """For every window of the grid. `counted` is how many label sets a share was taken of."""

    judged: Bools
    met: Bools
    unknown: Bools
    clear: Bools
    begins: Bools
    doubts: Bools
    value: Floats | None
    counted: Floats | None = None


def _alone(rule: Rule, member: _Member) -> _Verdict:
    """One label set."""
    met = member.held & ~member.fails
    may_begin = member.may_hold & ~member.fails if rule.join is Join.ALL else np.zeros_like(met)
    return _Verdict(
        judged=member.judged,
        met=met,
        unknown=member.unknown,
        clear=member.clear,
        begins=(met & member.unknown) | may_begin,
        doubts=member.waits,
        value=member.sides[0].value if rule.join is Join.ALL else None,
    )


def _shared(share: Share, members: Sequence[_Member]) -> _Verdict:
    """Label sets counted. What is unknown could count one way or the other: a window is in doubt where that matters."""
    breached = _count([m.counts & m.held for m in members])
    counted = _count([m.counts for m in members])
    waiting = _count([m.waits & ~m.fails for m in members])
    maybe_breached = _count([m.counts & m.held & m.unknown for m in members])
    maybe_sound = _count([m.counts & ~m.held & m.unknown for m in members])
    value = _divide(breached, counted)
    best = _divide(breached - maybe_breached, counted - maybe_breached + waiting)
    worst = _divide(breached + waiting, counted - maybe_sound + waiting)
    met = share.level.holds(value) & (counted >= share.at_least)
    must = share.level.holds(best) & (counted - maybe_breached - maybe_sound >= share.at_least)
    might = share.level.holds(worst) & (counted + waiting >= share.at_least)
    clear = share.clear.holds(value) if share.clear is not None else ~share.level.holds(value)
    line = share.clear if share.clear is not None else share.level
    open_ = (might & ~must) | (line.holds(best) != line.holds(worst))
    return _Verdict(
        judged=counted > 0,
        met=met,
        unknown=met & ~must & (maybe_breached + maybe_sound > 0),
        clear=clear & (counted > 0),
        begins=np.zeros_like(met),
        doubts=open_ & (waiting + maybe_breached + maybe_sound > 0),
        value=value,
        counted=counted,
    )


def _count(each: Sequence[Bools]) -> Floats:
    return np.asarray(np.add.reduce(np.array(each, dtype=np.float64)))


def _divide(top: Floats, bottom: Floats) -> Floats:
    result = np.full(len(top), np.nan)
    np.divide(top, bottom, out=result, where=bottom > 0)
    return result
