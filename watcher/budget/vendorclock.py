"""What time it is at the vendor: quotas are counted by the server's UTC time (dossier, section 6), so ours must follow.

Vendor time is kept as `monotonic + base`, because the monotonic clock never steps: when the wall clock does, vendor
time goes on unmoved, in either direction. `base` is an interval. Each answer narrows it: its `Date` (whole seconds) was
written between sending and receiving, so base lies in [date - received, date + 1 - sent]; intervals of several answers
are intersected, and an answer that contradicts them by little (drift) replaces them.

Two things are not believed at once. A wall clock that disagrees with the monotonic one may have stepped, or the machine
may have slept, which the monotonic clock does not count: until the next `Date` all stamps carry the step as *doubt*.
And a `Date` far off from what earlier ones said (one server of many with a wrong clock, a cached answer) moves nothing
until a second one agrees: else a single wrong header could put today's spends into yesterday and open the day again.
The same holds for a first `Date` that is more than a day from our own clock.

Considered and not taken: the wall clock plus an offset. It is wrong from a step to the next answer, and that is when a
clock set back would open windows again. The `offset` to the wall clock is still offered, for those who schedule by it.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

from watcher.budget.quota import MIN_SKEW
from watcher.clock import DAY

STEP = 2.0
"""Seconds by which wall and monotonic clock may disagree, and by which a saved base may be out of date."""

ARRIVAL = 4.0
"""Seconds that a request may take to arrive before its stamp is corrected."""

_FAR = float(DAY)
"""Seconds by which a first `Date` may differ from our own clock and be believed at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """What one `Date` taught: `shift` is by how much vendor time moved, `settled` that a doubt is over."""

    believed: bool
    settled: bool = False
    shift: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """What survives a restart. `base` means the same only within one boot; `unsure_since` is vendor time."""

    boot: str
    learned: bool
    base: float
    half: float
    offset: float
    doubt: float
    unsure_since: float | None

    def text(self) -> str:
        return json.dumps({name: getattr(self, name) for name in self.__slots__}, sort_keys=True)

    @classmethod
    def parse(cls, text: str) -> Saved | None:
        """None where it is not one: a hand-edited or foreign note must not stop the daemon."""
        try:
            data = json.loads(text)
            since = data["unsure_since"]
            numbers = {name: float(data[name]) for name in ("base", "half", "offset", "doubt")}
            saved = cls(
                boot=str(data["boot"]),
                learned=data["learned"] is True,
                unsure_since=None if since is None else float(since),
                **numbers,
            )
        except (ValueError, TypeError, KeyError, AttributeError):
            return None
        return saved if all(map(math.isfinite, (*numbers.values(), saved.unsure_since or 0.0))) else None


class VendorClock:
    """Vendor time from our clocks and the vendor's `Date`. Reads no clock: every method is told `now` and `mono`."""

    def __init__(self, *, now: float, mono: float, boot: str, saved: Saved | None = None) -> None:
        """Start from what was saved, if anything; `boot` names this boot of the machine, empty where unknown."""
        self.boot = boot
        self.base = now - mono
        self.half = 1.0
        self.doubt = 0.0
        self.learned = False
        self.unsure_since: float | None = None
        self.same_boot = bool(saved and boot and saved.boot == boot)
        self.loaded_unsure_since = -math.inf
        """Stamps of earlier runs from here on are unsure."""
        self._epoch = now - mono
        self._suspect: float | None = None
        if saved:
            self.half = saved.half + STEP
            self.unsure_since = saved.unsure_since
            self.loaded_unsure_since = math.inf if saved.unsure_since is None else saved.unsure_since
        if saved and self.same_boot:  # the monotonic clock went on meanwhile, so vendor time did
            self.base, self.doubt = saved.base, saved.doubt
            self.learned = saved.learned
            self._epoch = saved.base - saved.offset
            self.watch(now, mono)
        elif saved:
            self.base += saved.offset
        if not self.learned and self.unsure_since is None:
            self.unsure_since = self.at(mono)

    def at(self, mono: float) -> float:
        """Vendor time when the monotonic clock reads `mono`."""
        return mono + self.base

    def not_before(self, at: float, mono: float) -> None:
        """It was `at` already, by the vendor's own word: a wall clock set back meanwhile is not followed."""
        if self.at(mono) < at and not self.learned:
            self.base = at - mono
            self.unsure_since = at if self.unsure_since is None else max(self.unsure_since, at)

    @property
    def offset(self) -> float:
        """Vendor time less wall clock."""
        return self.base - self._epoch

    @property
    def skew(self) -> float:
        """Uncertainty of a stamp against other stamps, in seconds."""
        return max(MIN_SKEW, self.half + ARRIVAL)

    def saved(self) -> Saved:
        return Saved(
            boot=self.boot,
            learned=self.learned,
            base=self.base,
            half=self.half,
            offset=self.offset,
            doubt=self.doubt,
            unsure_since=self.unsure_since,
        )

    def covers(self, saved: Saved | None) -> bool:
        """True where starting again from `saved` would know enough, so that it need not be written anew."""
        return (
            saved is not None
            and (saved.boot, saved.learned, saved.doubt) == (self.boot, self.learned, self.doubt)
            and saved.unsure_since == self.unsure_since
            and abs(saved.offset - self.offset) <= STEP
            and abs(saved.base - self.base) + self.half <= saved.half + STEP
        )

    def watch(self, now: float, mono: float) -> float:
        """Compare the clocks. The step in seconds, where the wall clock made one since the last call; else 0."""
        step = (now - mono) - self._epoch
        if abs(step) <= STEP:
            return 0.0
        self._epoch = now - mono
        self.doubt += abs(step)
        if self.unsure_since is None:
            self.unsure_since = self.at(mono)
        return step

    def learn(self, *, sent: float, received: float, date: float, now: float) -> Lesson:
        """Take in the `Date` of an answer; `sent` and `received` are monotonic, `now` is the wall clock on receipt."""
        if not math.isfinite(date):
            return Lesson(believed=False)
        low, high = date - received, date + 1.0 - sent
        middle, half = (low + high) / 2, (high - low) / 2
        apart = abs(middle - self.base) - half - self.half
        surprising = apart > self.doubt + MIN_SKEW if self.learned else abs(date - now) > _FAR
        agrees = self._suspect is not None and abs(middle - self._suspect) <= half + MIN_SKEW
        if surprising and not agrees:
            self._suspect = middle
            return Lesson(believed=False)
        before, settled = self.base, self.unsure_since is not None
        if self.learned and not settled and apart <= 0:
            low, high = max(low, self.base - self.half), min(high, self.base + self.half)
        self.base, self.half = (low + high) / 2, (high - low) / 2
        self.doubt, self.learned, self.unsure_since, self._suspect = 0.0, True, None, None
        self._epoch = now - received
        return Lesson(believed=True, settled=settled, shift=self.base - before)
