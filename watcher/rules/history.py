"""What was normal: the past of one series as the mean of every five minutes, and a moving limit made of it.

A rule against a baseline looks back for weeks, and a column keeps a day at most. So what a column forgets, its history
keeps as means of *slots*: 8,064 numbers for four weeks instead of 121,000 windows, 64 kB a series. A slot is worked out
the same way whether its windows are still in the column or not, and only windows that can no longer be revised are
forgotten, so a limit is a function of the final points however they came (invariant 3). Whether the rule fired is no
part of it: a baseline that left out its own incidents would depend on what was said, not on what was measured.

*Normal* is the median of the reference slots, and the limit lies `spread` times 1.4826 MAD beyond it (for a normal
distribution, so many standard deviations), but at least `at_least`: a series that never moved has no spread, and would
else page for a hair. The reference is the same hour of the week in each of some weeks before, by the wall clock of a
time zone, or the newest `span` seconds before the windows that are being judged, their `for` included. What daylight
saving skipped in a week is not known of it, and of what it repeated the first counts. One odd week
out of four, a holiday or an outage, moves a median little; a fault of half a trailing span is normal from then on.
While less than half of the reference is known there is no limit, and the window is not judged.

Considered and not taken. Means and standard deviations, as recording rules on `avg_over_time` and `stddev_over_time`
make them: one outage last week hides this week's. Comparing with one value a week ago (`offset 1w`): noise twice over.
Forecasts (Holt-Winters, as `double_exponential_smoothing`): they learn the incident while it lasts, and nobody can say
at three in the morning where the limit came from. Medians of slots: an average is what rules judge, and for a signal
that is mostly nothing with bursts its median says zero.
"""

from __future__ import annotations

import numpy as np

from watcher.model import Floats, Ints
from watcher.rules.aggregates import rolling
from watcher.rules.hours import instants, offsets
from watcher.rules.rule import Aggregate, Baseline, Kind

MAX_SLOTS = 20_000  # of one series: 69 days of five minutes
_TO_SIGMA = 1.4826  # of a MAD, where values are normally distributed


class Slots:
    """Means on a dense grid of slots, NaN where nothing was judged: slot `n` is the seconds [n, n + 1) x `length`."""

    __slots__ = ("base", "length", "means")

    def __init__(self, length: int, base: int = 0, means: Floats | None = None) -> None:
        self.length = length
        self.base = base
        self.means = np.empty(0) if means is None else means

    @classmethod
    def of(cls, values: Floats, weights: Floats | None, *, first: int, width: int, slot: int) -> Slots:
        """The slots that end within some windows; `first` is the grid index of the first window.

        Means are those of `avg`: weighted where weights are known.
        """
        length = slot_length(width, slot)
        each = length // width
        missing = first % each
        if missing:
            values = np.concatenate([np.full(missing, np.nan), values])
            weights = None if weights is None else np.concatenate([np.full(missing, np.nan), weights])
        means = rolling(values, weights, Aggregate(kind=Kind.AVG, seconds=length), width)[each - 1 :: each]
        return cls(length, (first - missing) // each, means)

    @property
    def end(self) -> int:
        """The slot after the last one."""
        return self.base + len(self.means)

    @property
    def first(self) -> int | None:
        """The first slot that is known; None where none is."""
        known = np.flatnonzero(~np.isnan(self.means))
        return self.base + int(known[0]) if len(known) else None

    def followed_by(self, later: Slots) -> Slots:
        """These and those of `later`, which counts where both know a slot."""
        if not len(later.means):
            return self
        if not len(self.means):
            return later
        base = min(self.base, later.base)
        means = np.full(max(self.end, later.end) - base, np.nan)
        means[self.base - base : self.end - base] = self.means
        both = slice(later.base - base, later.end - base)
        means[both] = np.where(np.isnan(later.means), means[both], later.means)
        return Slots(self.length, base, means)

    def since(self, first: int) -> Slots:
        """Those from slot `first` on."""
        gone = min(max(first - self.base, 0), len(self.means))
        return Slots(self.length, self.base + gone, self.means[gone:].copy()) if gone else self

    def until(self, end: int) -> Slots:
        """Those before slot `end`."""
        return Slots(self.length, self.base, self.means[: max(end - self.base, 0)])

    def at(self, index: Ints) -> Floats:
        """The means of some slots, of any shape; NaN where there is none."""
        found = np.full(index.shape, np.nan)
        at = index - self.base
        inside = (at >= 0) & (at < len(self.means))
        found[inside] = self.means[at[inside]]
        return found


def slot_length(width: int, slot: int) -> int:
    """The smallest number of whole windows that is no shorter than `slot` seconds."""
    return -(-slot // width) * width


class History:
    """The sealed slots of one series: of windows that its column has forgotten. Mutable, owned by the engine."""

    def __init__(self, *, width: int, slot: int, reach: int) -> None:
        self.slot = slot
        self.length = slot_length(width, slot)
        self.recalled = False  # whether what was recorded earlier was read
        self._keep = min(-(-reach // self.length) + 1, MAX_SLOTS)
        self._sealed = Slots(self.length)
        self._told = Slots(self.length)  # by the vendor, afterwards: it counts before the first slot that was measured

    def __len__(self) -> int:
        return len(self._sealed.means)

    @property
    def reach(self) -> int:
        """How many seconds of the past are kept."""
        return self._keep * self.length

    def boundary(self, before: int) -> int:
        """The last instant at or before `before` at which a slot begins: windows are forgotten up to there."""
        return before // self.length * self.length

    def seal(self, slots: Slots, *, until: int) -> None:
        """Keep the slots that end by `until`."""
        known = self._sealed.followed_by(slots.until(until // self.length))
        self._sealed = known.since(known.end - self._keep)

    def tell(self, slots: Slots) -> None:
        """Keep what the vendor's own statistics say; told again, a slot is amended."""
        known = self._told.followed_by(slots)
        self._told = known.since(known.end - self._keep)

    def take_over(self, other: History, *, until: int) -> None:
        """Begin with what another history of the series knows, of what ends by `until`."""
        self.tell(other._told)
        self.seal(other._sealed, until=until)

    def turn_back(self, to: int) -> None:
        """Forget what ends after `to`."""
        self._sealed, self._told = self._sealed.until(to // self.length), self._told.until(to // self.length)

    @property
    def begins(self) -> int | None:
        """Where the first slot begins that was measured and is kept here; None where none is."""
        first = self._sealed.first
        return None if first is None else first * self.length

    def measured(self, live: Slots) -> Slots:
        """What is sealed, and the slots of the windows that the column still has."""
        return self._sealed.followed_by(live)

    def with_(self, live: Slots) -> Slots:
        """Everything known: what was measured, and what the vendor told of the time before."""
        measured = self.measured(live)
        return self._told_before(measured).followed_by(measured)

    def _told_before(self, measured: Slots) -> Slots:
        """Of later times an empty slot is a fact of its own: nobody was there, or nobody looked."""
        first = measured.first if len(self._told.means) else None
        return self._told if first is None else self._told.until(first)

    def is_told(self, live: Slots, baseline: Baseline, start: int, before: int) -> bool:
        """Whether a part of what is normal for the window that begins at `start` is the vendor's word alone."""
        if not len(self._told.means):
            return False
        measured = self.measured(live)
        rows = _reference(measured, baseline, _anchors(measured, baseline, np.array([start]), before))
        return bool((~np.isnan(self._told_before(measured).at(rows))).any())


# ── the limit ────────────────────────────────────────────────────────────────────────────────────────────────────────


def limits(slots: Slots, baseline: Baseline, *, above: bool, starts: Ints, before: int) -> tuple[Floats, Floats]:
    """What was normal, and the limit, for windows that begin at `starts`; NaN where too little is known.

    `before` is how many seconds before a window's end nothing may be taken from (a trailing baseline ends there).
    """
    anchors = _anchors(slots, baseline, starts, before)
    each, which = np.unique(anchors, return_inverse=True)
    normal, spread = _middle(slots.at(_reference(slots, baseline, each)))
    room = np.maximum(baseline.spread * _TO_SIGMA * spread, baseline.at_least)
    limit = normal + room if above else normal - room
    return normal[which], limit[which]


def _anchors(slots: Slots, baseline: Baseline, starts: Ints, before: int) -> Ints:
    """What windows with the same reference share: the wall clock's hour in which they begin, or where the span ends."""
    if baseline.period:
        return (starts + offsets(baseline.zone, starts)) // baseline.span * baseline.span
    return (starts - before) // slots.length * slots.length


def _reference(slots: Slots, baseline: Baseline, anchors: Ints) -> Ints:
    """The slots that tell what is normal at each anchor: one row each."""
    within = np.arange(max(baseline.span // slots.length, 1))
    if not baseline.period:
        return anchors[:, None] // slots.length - 1 - within
    wall = (anchors[:, None] - baseline.period * np.arange(1, baseline.cycles + 1)).ravel()
    begins = instants(baseline.zone, (wall[:, None] + within * slots.length).ravel())
    rows: Ints = (begins // slots.length).reshape(len(anchors), baseline.cycles * len(within))
    return rows


def _middle(rows: Floats) -> tuple[Floats, Floats]:
    """Of each row the median and the median distance from it; NaN where less than half of the row is known."""
    median = _medians(rows)
    distance = _medians(np.abs(rows - median[:, None]))
    known = np.count_nonzero(~np.isnan(rows), axis=1) * 2 >= rows.shape[1]
    return np.where(known, median, np.nan), np.where(known, distance, np.nan)


def _medians(rows: Floats) -> Floats:
    """Of what is present in each row; NaN where nothing is. (numpy's own warns of such rows.)"""
    ordered = np.sort(rows, axis=1)  # NaN sorts last
    count = np.count_nonzero(~np.isnan(rows), axis=1)
    at = np.arange(len(rows))
    low, high = ordered[at, np.maximum(count - 1, 0) // 2], ordered[at, np.minimum(count // 2, rows.shape[1] - 1)]
    return np.asarray((low + high) / 2)
