"""What the vendor said about one series, on a dense grid of windows: a `Column`.

A grid of floats with NaN for "absent", rather than the sorted list of points that a store keeps: rules look at
neighbours ("the last three windows"), revisions overwrite in place, and whole-column arithmetic is what makes a day of
a thousand series cheap to judge. Kept beside the values is which windows the vendor has *definitively answered* for, so
that absence can be told apart (invariant 4): answered and absent is no data; asked and not yet settled is late; neither
is unlooked or lost. Lost windows need no book-keeping of their own: nothing ever answers for them.

Windows lie on the grid of whole multiples of their width since 1970, as every vendor's do; a point off it is counted
and dropped, since no event time could be given to it.

An answer that omits a window it gave before takes nothing back: vendors revise values, and a hole in a reply is more
often a hiccup than a revision.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from watcher.model import Floats, Ints, Points, Span
from watcher.rules.rule import Bools

_T = TypeVar("_T", bound=np.generic)

_LARGEST = 1e15  # of a value or a weight: beyond it, products of the two would no longer be numbers
MAX_WINDOWS = 200_000  # of one column: 46 days of 20 s; what would grow beyond loses its oldest part


@dataclass(slots=True)
class Losses:
    """What was left out of columns, counted for the metrics: closed names, never per series."""

    stale: int = 0  # older than the horizon: decided, and not judged again
    outside: int = 0  # not among the windows that were asked for
    unaligned: int = 0  # off the grid, or of another window length than the series has
    not_finite: int = 0  # NaN, infinite or absurdly large
    overgrown: int = 0  # windows dropped because a column was full


class Column:
    """The recent windows of one series. Mutable, owned by the engine."""

    __slots__ = ("_answered", "_base", "_holes", "_values", "_weights", "asked_until", "frontier", "version", "width")

    def __init__(self, *, width: int) -> None:
        self.width = width
        self.frontier = 0  # event time of the newest window that is present or answered; 0 before any
        self.asked_until = 0  # event time up to which the vendor has been asked at all
        self.version = 0  # moves whenever anything did
        self._base = 0  # grid index of the first window kept
        self._values: Floats = np.empty(0)
        self._weights: Floats | None = None
        self._answered: Bools = np.empty(0, dtype=np.bool_)
        self._holes: tuple[int, tuple[Span, ...]] = (-1, ())

    def __len__(self) -> int:
        return len(self._values)

    @property
    def begins(self) -> int:
        """Start of the first window kept."""
        return self._base * self.width

    @property
    def known_from(self) -> int:
        """Start of the first window kept; before it nobody answered for anything."""
        return self.begins if len(self) else self.asked_until

    @classmethod
    def pair(cls, top: Column, bottom: Column) -> Column | None:
        """`top` divided by `bottom`, window by window, weighted by `bottom`; known as far as both are.

        None where their windows have not the same length. A window in which `bottom` is 0 weighs nothing: idle.
        """
        if top.width != bottom.width or not len(top) or not len(bottom):
            return None
        column = cls(width=top.width)
        column.frontier = min(top.frontier, bottom.frontier)
        column.asked_until = min(top.asked_until, bottom.asked_until)
        low, high = max(top._base, bottom._base), column.frontier // column.width
        over, _, answered = top.window(low, max(high, low))
        under, _, both = bottom.window(low, max(high, low))
        column._base = low
        column._values = np.full(len(over), np.nan)
        np.divide(over, under, out=column._values, where=under > 0)
        column._values[(under == 0) & ~np.isnan(over)] = 0.0
        column._weights = np.where(np.isnan(column._values), np.nan, under)
        column._answered = answered & both
        return column

    # ── what comes in ──

    def merge(self, points: Points, *, after: int, losses: Losses) -> bool:
        """Take points in, later ones replacing earlier ones of the same window; True where anything changed.

        Windows with event time at or before `after` are decided and left alone.
        """
        start, value, weight = points.start, points.value, points.weight
        if points.width != self.width:
            losses.unaligned += len(start)
            return False
        keep = self._acceptable(start, value, after, losses)
        if not keep.all():
            start, value = start[keep], value[keep]
            weight = None if weight is None else weight[keep]
        if not len(start):
            return False
        index = start // self.width
        low, high = int(index.min()), int(index.max()) + 1
        self._grow(low, high, losses)
        if low < self._base:  # the column was full: its oldest part fell away
            inside = index >= self._base
            index, value = index[inside], value[inside]
            weight = None if weight is None else weight[inside]
        at = index - self._base
        before = self._values[at].copy()
        self._values[at] = value
        changed = not np.array_equal(before, self._values[at], equal_nan=True)
        changed |= self._take_weights(at, weight)
        self.frontier = max(self.frontier, high * self.width)
        self.version += changed
        return changed

    def _acceptable(self, start: Ints, value: Floats, after: int, losses: Losses) -> Bools:
        on_grid: Bools = start % self.width == 0
        finite: Bools = np.abs(value) <= _LARGEST
        fresh: Bools = start + self.width > after
        losses.unaligned += int(np.count_nonzero(~on_grid))
        losses.not_finite += int(np.count_nonzero(on_grid & ~finite))
        losses.stale += int(np.count_nonzero(on_grid & finite & ~fresh))
        result: Bools = on_grid & finite & fresh
        return result

    def _take_weights(self, at: Ints, weight: Floats | None) -> bool:
        """A weight that is not a number of at least zero is unknown."""
        if weight is None and self._weights is None:
            return False
        if self._weights is None:
            self._weights = np.full(len(self._values), np.nan)
        before = self._weights[at].copy()
        self._weights[at] = np.nan if weight is None else _known(weight)
        return not np.array_equal(before, self._weights[at], equal_nan=True)

    def answer(self, asked: Span, settled: int, *, after: int, losses: Losses) -> bool:
        """The vendor answered for `asked`; absence is definitive up to event time `settled`. True where it changed."""
        self.asked_until = max(self.asked_until, asked.end)
        low = max(asked.start, after) // self.width
        high = min(asked.end, settled) // self.width
        if high <= low:
            return False
        self._grow(low, high, losses)
        part = self._answered[max(low - self._base, 0) : high - self._base]
        if part.all():
            return False
        part[:] = True
        self.frontier = max(self.frontier, high * self.width)
        self.version += 1
        return True

    def _grow(self, low: int, high: int, losses: Losses) -> None:
        if not len(self._values):
            self._base = low
        old = self._base + len(self._values)
        low, high = min(low, self._base), max(high, old)
        if high - low > MAX_WINDOWS:
            losses.overgrown += high - low - MAX_WINDOWS
            low = high - MAX_WINDOWS
            self._cut(low)
        before, behind = max(self._base - low, 0), high - self._base - len(self._values)
        if before or behind:
            self._values = _padded(self._values, before, behind)
            self._weights = None if self._weights is None else _padded(self._weights, before, behind)
            self._answered = _padded(self._answered, before, behind, False)
            self._base -= before

    def _cut(self, first: int) -> None:
        """Forget the windows before grid index `first`."""
        gone = first - self._base
        if gone > 0:
            self._values = self._values[gone:].copy()
            self._weights = None if self._weights is None else self._weights[gone:].copy()
            self._answered = self._answered[gone:].copy()
            self._base = first
            self.version += 1

    def restore_answered(self, asked: Span, holes: Iterable[Span], losses: Losses) -> None:
        """After a restart: everything in `asked` was answered for, except `holes`."""
        self.answer(asked, asked.end, after=0, losses=losses)
        for hole in holes:
            low = max(hole.start // self.width - self._base, 0)
            self._answered[low : max(hole.end // self.width - self._base, 0)] = False

    def trim(self, before: int) -> None:
        """Forget the windows that start before `before`."""
        self._cut(min(before // self.width, self._base + len(self._values)))

    def turn_back(self, to: int) -> None:
        """Forget the windows that end after `to`: they were told by a clock that was ahead."""
        kept = max(to // self.width - self._base, 0)
        self._values = self._values[:kept].copy()
        self._weights = None if self._weights is None else self._weights[:kept].copy()
        self._answered = self._answered[:kept].copy()
        self.frontier, self.asked_until = min(self.frontier, to), min(self.asked_until, to)
        self.version += 1

    # ── what goes out ──

    def window(self, low: int, high: int) -> tuple[Floats, Floats | None, Bools]:
        """Values, weights and "answered" of the grid indices [low, high); absent where nothing is kept."""
        a, b = low - self._base, high - self._base
        if a >= 0 and b <= len(self._values):
            weights = None if self._weights is None else self._weights[a:b]
            return self._values[a:b], weights, self._answered[a:b]
        inside = slice(max(a, 0), max(min(b, len(self._values)), 0))
        before = max(inside.start - a, 0) if inside.stop > inside.start else high - low
        behind = high - low - before - max(inside.stop - inside.start, 0)
        weights = None if self._weights is None else _padded(self._weights[inside], before, behind)
        return (
            _padded(self._values[inside], before, behind),
            weights,
            _padded(self._answered[inside], before, behind, False),
        )

    def at(self, starts: Ints) -> Floats:
        """The value of the window that holds each of `starts`; NaN where there is none."""
        return self._picked(self._values, starts)

    def weights_at(self, starts: Ints) -> Floats:
        """The weight of the window that holds each of `starts`; NaN where it is unknown."""
        return np.full(len(starts), np.nan) if self._weights is None else self._picked(self._weights, starts)

    def _picked(self, row: Floats, starts: Ints) -> Floats:
        index = starts // self.width - self._base
        result = np.full(len(starts), np.nan)
        known = (index >= 0) & (index < len(row))
        result[known] = row[index[known]]
        return result

    def value_at(self, start: int) -> float | None:
        """The value of the window that holds `start`."""
        index = start // self.width - self._base
        if not 0 <= index < len(self._values) or np.isnan(self._values[index]):
            return None
        return float(self._values[index])

    def weight_at(self, start: int) -> float | None:
        """The weight of the window that holds `start`."""
        index = start // self.width - self._base
        if self._weights is None or not 0 <= index < len(self._weights) or np.isnan(self._weights[index]):
            return None
        return float(self._weights[index])

    def newest(self) -> tuple[float, int] | None:
        """The newest value and its event time; None where no window is present."""
        present = np.flatnonzero(~np.isnan(self._values))
        if not len(present):
            return None
        last = int(present[-1])
        return float(self._values[last]), (self._base + last + 1) * self.width

    def holes(self) -> tuple[Span, ...]:
        """The spans among the windows kept, up to the newest answered one, that nobody has answered for."""
        if self._holes[0] != self.version:
            self._holes = (self.version, self._find_holes())
        return self._holes[1]

    def _find_holes(self) -> tuple[Span, ...]:
        answered = np.flatnonzero(self._answered)
        if not len(answered):
            return ()
        last = int(answered[-1])
        if len(answered) == last + 1:
            return ()
        open_ = np.concatenate([[False], ~self._answered[: last + 1], [False]])
        edges = np.flatnonzero(open_[1:] != open_[:-1]).reshape(-1, 2) + self._base
        return tuple(Span(int(a) * self.width, int(b) * self.width) for a, b in edges)


def _known(weight: Floats) -> Floats:
    return np.where((weight >= 0) & (weight <= _LARGEST), weight, np.nan)


def _padded(values: npt.NDArray[_T], before: int, behind: int, absent: float = np.nan) -> npt.NDArray[_T]:
    result = np.full(before + len(values) + behind, absent, values.dtype)
    result[before : before + len(values)] = values
    return result
