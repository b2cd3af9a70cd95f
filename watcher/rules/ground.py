"""What an alert is judged on, whatever it is made of: the port between `alert` and its two grounds.

`frame.Frame` is one series, `joined.Joined` several label sets or signals together. Both answer the same few questions:
where the condition is met among the judged windows, which verdicts still wait for something, and what to quote. A
joined series written back into a column of its own was considered: the reasons for a missing window (idle, late, not
asked for) do not survive being made into one number.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np

from watcher.model import Ints, Series
from watcher.rules.rule import Bools, Rule
from watcher.rules.timeline import Track

Await = tuple[Series, str]
"""A companion that a verdict waits for: the label set, and the signal that is unknown there."""

LEARNING = "learning"  # the mark of a window that is measured, and not judged since too little is known of the past
VENDORS = "vendors_past"  # the mark of a limit that is made partly of what the vendor's own statistics say

_NEVER: Ints = np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Condition:
    """Where a rule's condition is met among the judged windows: ascending positions, and which of them only since a
    `require` is unknown and counts as met.

    `begins` are the event times of windows whose verdict waits for something not yet known and may begin something;
    `doubts` those of windows that are judged, or left out, only because something was not yet asked for.
    """

    met: Ints
    unknown: Bools
    begins: Ints = field(default_factory=_NEVER.copy)
    doubts: Ints = field(default_factory=_NEVER.copy)


class Shown(NamedTuple):
    """One number to quote: what it measures, its value in a window, the level it is held against, and what is normal.

    `threshold` is None where it moves and was not known, `normal` where nothing says what is. Of an objective, `normal`
    is what it asks for, `burn` how many times the failures that it allows there were, and `over` in how many seconds.
    `told` says that `normal` is partly the vendor's word, of a time that nobody measured.
    """

    measures: str
    value: float | None
    threshold: float | None
    normal: float | None = None
    burn: float | None = None
    over: int = 0
    told: bool = False


class Tally(NamedTuple):
    """Of a share: how many label sets are in breach in a window, of how many that count, and some of their names."""

    breached: int
    counted: int
    names: tuple[str, ...]


class Ground(Protocol):
    """Windows up to event time `until`, of which those at `times` are judged. `firm` is how far all of it is known."""

    width: int
    until: int
    firm: int
    times: Ints

    def may_hold(self, rule: Rule) -> bool:
        """False where nothing can begin in here."""
        ...

    def position(self, after: int) -> int:
        """Position of the first judged window with event time later than `after`."""
        ...

    def condition(self, rule: Rule, first: int) -> Condition:
        """Where the rule's condition is met, from position `first` on."""
        ...

    def threshold_track(self, rule: Rule, condition: Condition, first: int) -> Track:
        """The judged windows from position `first` on, as the timeline wants them."""
        ...

    def awaited(self, rule: Rule, at: int) -> tuple[Await, ...]:
        """What is unknown in the window with event time `at` and would settle its verdict."""
        ...

    def shown(self, rule: Rule, at: int | None) -> tuple[Shown, ...]:
        """The rule's numbers at event time `at` (None: in the newest judged window), the one to quote first."""
        ...

    def tally(self, at: int) -> Tally | None:
        """For a share rule, what it counted at event time `at`."""
        ...

    def users(self, at: int) -> float | None:
        """How many users were behind the window with event time `at`, where anything says so."""
        ...

    def weight(self, at: int) -> float | None:
        """The users or streams behind the window with event time `at`, where the vendor says."""
        ...

    def newest_marks(self) -> tuple[str, ...]:
        """What the newest window is, where it is not judged."""
        ...
