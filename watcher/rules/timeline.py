"""The state machine of event time: from judged windows to the settled timeline of one alert (design, section 5).

Pure: a `Mark` (where the alert stood at an event time), a `Track` (the judged windows after it, with the condition
worked out) and the rule's `Timers` give the entries that follow and the mark at the end. The same track in two pieces
gives the same entries as in one (invariant 3), which is also how the mark is moved on.

It steps over *runs* of windows in which the condition holds, or in which clear holds, and finds the window at which a
timer is full by counting: an hour of health costs nothing, a page costs a few comparisons. Stepping window by window is
the obvious way (the oracle in the tests does so), and fifty times slower. It only goes forward: a rule made by hand
that calls clear what its condition is flaps from window to window, and ends.

How timers run. Elapsed time is the event time between two judged windows less the missing windows between them, so it
is the number of judged windows counted times their width: a missing window holds a timer and adds nothing. Three
missing in a row restart it: what is pending becomes inactive at the third. `keep_firing_for` is plain event time, as
in Prometheus, but only a judged window resolves.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from watcher.model import Cause, Floats, Ints, State
from watcher.rules.rule import Bools

RESTART = 3  # missing windows in a row that restart a running timer


@dataclass(frozen=True, slots=True)
class Timers:
    """How long things must last, in seconds of event time."""

    hold: int
    clear: int
    keep: int
    forget: int


@dataclass(frozen=True, slots=True)
class Track:
    """Judged windows in order: their event times, and the positions at which the condition is met.

    `unknown` goes with `met`: there the condition is met only because a `require` is unknown.
    `clear` is worked out only when something fires.
    """

    width: int
    times: Ints
    met: Ints
    unknown: Bools
    clear: Callable[[], Bools]
    values: Floats | None
    worse_above: bool

    def until(self, at: int) -> Track:
        """The part with event times up to `at`."""
        n = int(np.searchsorted(self.times, at, side="right"))
        m = int(np.searchsorted(self.met, n))
        return replace(
            self,
            times=self.times[:n],
            met=self.met[:m],
            unknown=self.unknown[:m],
            clear=lambda: self.clear()[:n],
            values=None if self.values is None else self.values[:n],
        )

    def after(self, at: int) -> Track:
        """The part with event times after `at`."""
        n = int(np.searchsorted(self.times, at, side="right"))
        m = int(np.searchsorted(self.met, n))
        return replace(
            self,
            times=self.times[n:],
            met=self.met[m:] - n,
            unknown=self.unknown[m:],
            clear=lambda: self.clear()[n:],
            values=None if self.values is None else self.values[n:],
        )

    def doubting(self, doubts: Ints) -> Track:
        """The same windows, but for those with event times in `doubts`: judged, and neither met nor clear."""
        times = np.union1d(self.times, doubts)
        at = np.searchsorted(times, self.times)
        sure = ~np.isin(self.times[self.met], doubts)
        clear = np.zeros(len(times), dtype=np.bool_)
        clear[at] = self.clear()
        clear[np.searchsorted(times, doubts)] = False
        return replace(
            self, times=times, met=at[self.met[sure]], unknown=self.unknown[sure], clear=lambda: clear, values=None
        )

    def lacking(self, doubts: Ints) -> Track:
        """The same windows without those with event times in `doubts`: missing."""
        kept = ~np.isin(self.times, doubts)
        at = np.cumsum(kept) - 1
        sure = kept[self.met]
        return replace(
            self,
            times=self.times[kept],
            met=at[self.met[sure]],
            unknown=self.unknown[sure],
            clear=lambda: self.clear()[kept],
            values=None,
        )


@dataclass(frozen=True, slots=True)
class Mark:
    """Where an alert stood once all windows up to event time `at` were judged. Numbers of Unix seconds, or windows."""

    at: int
    state: State = State.INACTIVE
    entered: int = 0  # event time at which `state` was entered
    since: int = 0  # event time at which the episode's condition began to hold
    held: int = 0  # judged windows since then, while pending
    peak: float | None = None
    unguarded: bool = False
    last: int = 0  # event time of the newest judged window
    falling: int | None = None  # while firing: first judged window since the condition was last met
    cleared: int | None = None  # while firing: judged windows since clear began to hold

    @property
    def quiet(self) -> bool:
        """True where no timer runs and nothing can end."""
        return self.state is State.INACTIVE or self.state is State.RESOLVED


class Entry(NamedTuple):
    """One entry of a settled timeline."""

    at: int
    state: State
    starts_at: int
    cause: Cause
    peak: float | None
    unguarded: bool


class Run(NamedTuple):
    """Positions [start, end) in a row, with fewer than `RESTART` windows missing between any two."""

    start: int
    end: int


def advance(timers: Timers, track: Track, mark: Mark, until: int) -> tuple[list[Entry], Mark]:
    """The entries after `mark` up to event time `until`, and the mark there.

    Windows up to `until` that are not on the track count as missing.
    """
    return _Walk(timers, track, mark, until).walk()


class _Walk:
    """One pass over a track. Positions count judged windows; `-1 - n` stands for n+1 windows before the track."""

    def __init__(self, timers: Timers, track: Track, mark: Mark, until: int) -> None:
        self.track, self.mark, self.until = track, mark, until
        self.times, self.count = track.times, len(track.times)
        self.need = -(-timers.hold // track.width)
        self.need_clear = -(-timers.clear // track.width)
        self.keep = timers.keep
        self.patience = -(-timers.forget // track.width) * track.width
        self.gaps = self._gaps()
        self.runs = self._runs(track.met)
        self.some_unknown = bool(track.unknown.any())
        self.entries: list[Entry] = []
        self.state, self.since = mark.state, mark.since
        self.peak, self.unguarded = mark.peak, mark.unguarded
        self.counted = 0  # positions before this one are in `peak`
        self.origin = -1 - mark.held  # while pending: where the condition began
        self.fired = -1  # while firing: where it fired, if on this track

    # ── the ground ──

    def _gaps(self) -> list[int]:
        """Positions before which timers restarted."""
        if not self.count:
            return []
        width, times = self.track.width, self.times
        first, last = int(times[0]), int(times[-1])
        gaps = [0] if first - self.mark.last > RESTART * width else []
        if last - first > (self.count - 1) * width:
            gaps += (np.flatnonzero(times[1:] - times[:-1] > RESTART * width) + 1).tolist()
        return gaps

    def _runs(self, positions: Ints) -> list[Run]:
        """Ascending positions as runs; a run also ends before a gap."""
        if not len(positions):
            return []
        cut = positions[1:] != positions[:-1] + 1
        if self.gaps and self.gaps[-1] > 0:
            broken = np.zeros(self.count, dtype=np.bool_)
            broken[self.gaps] = True
            cut |= broken[positions[1:]]
        at = np.flatnonzero(cut)
        starts = positions[np.concatenate([[0], at + 1])].tolist()
        ends = (positions[np.concatenate([at, [-1]])] + 1).tolist()
        return [Run(a, b) for a, b in zip(starts, ends, strict=True)]

    def _is_gap(self, position: int) -> bool:
        at = bisect_left(self.gaps, position)
        return at < len(self.gaps) and self.gaps[at] == position

    def _time(self, position: int) -> int:
        """Event time at a position; -1 is the newest judged window before the track."""
        return int(self.times[position]) if position >= 0 else self.mark.last

    def _third_missing(self, after: int) -> int:
        return self._time(after) + RESTART * self.track.width

    # ── the walk ──

    def walk(self) -> tuple[list[Entry], Mark]:
        position: int | None = 0
        while position is not None:
            match self.state:
                case State.PENDING:
                    position = self._pending(position)
                case State.FIRING:
                    position = self._firing(position)
                case _:
                    position = self._inactive(position)
        return self.entries, self._mark()

    def _inactive(self, position: int) -> int | None:
        """Begin at the next run, if any."""
        at = bisect_right(self.runs, position, key=_end)
        if at == len(self.runs):
            return None
        start = max(self.runs[at].start, position)
        self.since, self.origin = self._time(start), start
        self.peak, self.unguarded, self.counted = None, False, start
        self._look(start + 1)
        if self.need == 0:
            self._fire(start)
        else:
            self._enter(State.PENDING, self._time(start), Cause.THRESHOLD)
        return start + 1

    def _pending(self, position: int) -> int | None:
        """The condition holds since `origin`: fire when it has held long enough, give up where it broke."""
        end = self._end_of_run(position)
        fires = max(self.origin + self.need, position)
        if fires < end:
            self._look(fires + 1)
            self._fire(fires)
            return fires + 1
        self._look(end)
        if end < self.count:
            at = self._third_missing(end - 1) if self._is_gap(end) else self._time(end)
        else:
            at = self._third_missing(self.count - 1)
            if at > self.until:
                return None
        self._enter(State.INACTIVE, at, Cause.THRESHOLD)
        return end

    def _end_of_run(self, position: int) -> int:
        """Where a run that has already begun ends, seen from `position`."""
        at = bisect_right(self.runs, position, key=_end)
        if at == len(self.runs) or self.runs[at].start > position or self._is_gap(position):
            return position
        return self.runs[at].end

    def _fire(self, position: int) -> None:
        self.fired = position
        self._enter(State.FIRING, self._time(position), Cause.THRESHOLD)

    def _firing(self, position: int) -> int | None:
        """Resolve where clear has held long enough, or where nothing was judged for too long."""
        clears = self._clears(position)
        gone = self._gone(position)
        if gone is not None and (clears is None or gone <= clears):
            self._look(gone)
            self._enter(State.RESOLVED, self._time(gone - 1) + self.patience, Cause.EXPIRED)
            return gone
        if clears is None:
            self._look(self.count)
            return None
        self._look(clears + 1)
        self._enter(State.RESOLVED, self._time(clears), Cause.THRESHOLD)
        return clears + 1

    def _clears(self, position: int) -> int | None:
        """The first position at which clear has held for its time, and the condition has been false for `keep`."""
        for at in range(bisect_right(self.clear_runs, position, key=_end), len(self.clear_runs)):
            run = self.clear_runs[at]
            origin = self._clear_origin(run)
            full = max(origin + self.need_clear, run.start, position)
            if self.keep:
                kept = self._falling_at(run.start) + self.keep
                full = max(full, int(np.searchsorted(self.times, kept)))
            if full < run.end:
                return full
        return None

    @cached_property
    def clear_runs(self) -> list[Run]:
        """All runs of clear windows. None spans a window that fired: the condition and clear exclude each other."""
        return self._runs(np.flatnonzero(self.track.clear()))

    def _clear_origin(self, run: Run) -> int:
        """Where clear began to hold: before the track, if it held at the mark and goes on without a break."""
        carried = self.fired < 0 and run.start == 0 and self.mark.cleared is not None and not self._is_gap(0)
        return -1 - (self.mark.cleared or 0) if carried else run.start

    def _falling_at(self, position: int) -> int:
        """Event time of the first judged window since the condition was last met, seen from `position`."""
        at = int(np.searchsorted(self.track.met, position)) - 1
        if at >= 0:
            return self._time(int(self.track.met[at]) + 1)
        return self._time(0) if self.mark.falling is None else self.mark.falling

    def _gone(self, position: int) -> int | None:
        """The position before which nothing was judged for `patience`; the end of the track where that is so there."""
        for gap in self.gaps[bisect_left(self.gaps, position) :]:
            if self._time(gap) - self._time(gap - 1) > self.patience:
                return gap
        return self.count if self.until - self._time(self.count - 1) >= self.patience else None

    # ── what is noted on the way ──

    def _enter(self, state: State, at: int, cause: Cause) -> None:
        self.state = state
        self.entries.append(Entry(at, state, self.since, cause, self.peak, self.unguarded))

    def _look(self, end: int) -> None:
        """Take the positions up to `end` into the episode's peak and, until it fires, into "unguarded"."""
        values = self.track.values
        if end <= self.counted:
            return
        if values is not None:
            if end - self.counted == 1:
                worst = float(values[self.counted])
            else:
                worst = float((np.fmax if self.track.worse_above else np.fmin).reduce(values[self.counted : end]))
            pick = max if self.track.worse_above else min
            if not math.isnan(worst):
                self.peak = worst if self.peak is None else pick(self.peak, worst)
        if self.state is not State.FIRING and self.some_unknown:
            a, b = np.searchsorted(self.track.met, [self.counted, end])
            self.unguarded |= bool(self.track.unknown[a:b].any())
        self.counted = end

    def _mark(self) -> Mark:
        last = self._time(self.count - 1) if self.count else self.mark.last
        entered = self.entries[-1].at if self.entries else self.mark.entered
        mark = Mark(self.until, self.state, entered, self.since, last=last)
        if self.state is State.PENDING:
            return replace(mark, held=self.count - 1 - self.origin, peak=self.peak, unguarded=self.unguarded)
        if self.state is State.FIRING:
            return replace(
                mark, peak=self.peak, unguarded=self.unguarded, falling=self._final_fall(), cleared=self._final_clear()
            )
        return mark

    def _final_fall(self) -> int | None:
        if not self.count:
            return self.mark.falling
        if len(self.track.met) and int(self.track.met[-1]) == self.count - 1:
            return None
        return self._falling_at(self.count)

    def _final_clear(self) -> int | None:
        """Judged windows since clear began to hold, where it still does."""
        if not self.count:
            return self.mark.cleared
        if not self.clear_runs or self.clear_runs[-1].end != self.count:
            return None
        return self.count - 1 - self._clear_origin(self.clear_runs[-1])


def _end(run: Run) -> int:
    return run.end
