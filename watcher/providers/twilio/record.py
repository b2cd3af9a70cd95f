"""What an earlier run told, and when less may be told of it (design, invariant 3). Pure.

Memory does not outlive the process, the record does. After a restart a minute of the record that now holds less, of
people, rooms or one kind of failure, is one of two things, and they look alike: somebody was amended into another
minute while nobody looked, and counts twice until that is told; or the vendor leaves a room out of its list for a
while, and to tell it anew would correct an outage away. So such a minute stands until two lists of all rooms in a row,
a quarter of an hour apart, know no better: both came to their end without an oddity that could hide a room, and the
rooms of memory were read likewise (`memory`). Whoever is missing then is believed to be elsewhere. A room left out for
longer than that is taken back, and told again when it is listed again. One that is listed and gone makes nothing
certain: one false "not found" would shrink an outage.

A word that nobody has heard of hides nobody, since vendors add some; a row that cannot be read hides its own room or
person, for as long as it is there. What is not certain within an hour of answers stands, and is counted: somebody who
counts twice is the smaller harm. The same holds where memory begins anew within a process, by what that told until
then.

A minute that holds as much as on record is told at once, since that is where a late room of an outage goes: to hold
everything for the second list was considered, and pages would come a quarter of an hour later after each restart. To
note each room would settle it without a second list, at the price of a state written at nearly every look.

Never less is told of minutes of more than a day before the restart: the vendor may have dropped their rooms (dossier,
section 5, tells of two days for some, of which a room may last one), so that nobody is found in them says nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from watcher.clock import DAY, HOUR
from watcher.model import Points
from watcher.providers.twilio import rows
from watcher.providers.twilio.points import Minute, count
from watcher.providers.twilio.queries import WIDTH
from watcher.providers.twilio.rows import Oddity, Tally

LISTS = 2  # of all rooms, in a row, that must agree
_SURELY_KEPT = DAY

Counts = Mapping[int, Mapping[str, float]]  # by start: signal -> how many
_ROUNDING = 0.5  # of a count that is a ratio times its weight


def hiding(tally: Tally) -> int:
    """How many oddities there were that may have cost a room or somebody in it."""
    return sum(tally[oddity] for oddity in rows.HIDING)


def counts(columns: Iterable[Points]) -> Counts:
    """Recorded points as counts."""
    found: dict[int, dict[str, float]] = {}
    for column in columns:
        weights = column.value if column.weight is None else column.weight
        for start, value, weight in zip(column.start.tolist(), column.value.tolist(), weights.tolist(), strict=True):
            found.setdefault(start, {})[column.series.signal] = count(column.series.signal, value, weight)
    return found


class Record:
    """The minutes on record that were not told anew since memory began, at `now`."""

    def __init__(self, told: Counts, now: float) -> None:
        self.minutes = {start: counted for start, counted in told.items() if start + WIDTH <= now}
        self._sure = now - _SURELY_KEPT
        self._until = math.inf
        self._lists = 0
        self._stood = 0

    def looked(self, tally: Tally, now: float) -> None:
        """A look was answered; the oddities of the record are added to its own. The hour begins with the first."""
        self._until = min(self._until, now + HOUR)
        tally[Oddity.STOOD] += self._stood
        self._stood = 0

    def listed(self, *, clean: bool) -> None:
        """All rooms were listed, to the end; `clean`: no row of it may have hidden one."""
        self._lists = self._lists + 1 if clean else 0

    def has_more(self, minute: Minute) -> bool:
        """Whether more is on record of a minute than is known of it now."""
        had = self.minutes.get(minute.start, {})
        return any(minute.count(signal) < number - _ROUNDING for signal, number in had.items())

    def told(self, starts: Iterable[int]) -> None:
        """These were told anew: what becomes of them from now on was seen."""
        for start in starts:
            self.minutes.pop(start, None)

    def is_open(self, now: float) -> bool:
        """Whether what is missing may be taken back yet: memory reaches back to it until then, an hour at most."""
        return bool(self.minutes) and now < self._until

    @property
    def is_certain(self) -> bool:
        """Whether what is missing from the record would have been found: once each known room was read to its end."""
        return bool(self.minutes) and self._lists >= LISTS

    def let_go(self, floor: int) -> set[int]:
        """The minutes from `floor` on of which less may be told now; no more is known of them here."""
        self.trim(floor)
        free = {start for start in self.minutes if start >= self._sure}
        self.told(free)
        return free

    def trim(self, floor: int) -> None:
        """Forget the minutes before `floor`."""
        old = [start for start in self.minutes if start < floor]
        self._stood += len(old)
        self.told(old)
