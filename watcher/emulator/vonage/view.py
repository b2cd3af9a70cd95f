"""How much of what happened the API shows at one instant (dossier, 3.2 to 3.4).

The store behind the API is the world some minutes ago: `lag` ago for each row (`per_sample`), or a whole meeting at
once, `lag` after it is known to be over (`after_meeting_end`); the sources contradict each other, so both exist.
In a maintenance window nothing new is taken in; afterwards what was missed trickles in, in no order, until the window
counts as complete, and meanwhile newer rows are there already. So an offset cursor can point past rows that came later:
the client is warned of that by the dossier, and tested by this.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from watcher.emulator.dice import unit
from watcher.emulator.vonage.samples import Timing
from watcher.emulator.vonage.sessions import Meeting, Session
from watcher.emulator.vonage.world import RETENTION, Outage, Visibility


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranks:
    """The rows of one stream that can be seen: ranks below `end`, but for `hidden` (ascending)."""

    end: int
    hidden: tuple[int, ...] = ()

    def __len__(self) -> int:
        return self.end - len(self.hidden)

    def page(self, offset: int, first: int) -> Sequence[int]:
        """The ranks of one page."""
        if not self.hidden:
            return range(min(offset, self.end), min(offset + first, self.end))
        hidden = set(self.hidden)
        seen = [rank for rank in range(self.hidden[0], self.end) if rank not in hidden]
        early = range(min(offset, self.hidden[0]), min(offset + first, self.hidden[0]))
        skipped = max(0, offset - self.hidden[0])
        return [*early, *seen[skipped : skipped + first - len(early)]]

    def below(self, rank: int) -> int:
        """How many of the ranks seen are below `rank`."""
        rank = min(rank, self.end)
        return rank - sum(1 for hidden in self.hidden if hidden < rank)


class View:
    """One project's store at run time `now`. `outages` are those near enough to matter.

    `cut`: what happened at or before this instant is in the store, in a project that shows running meetings.
    """

    __slots__ = ("cut", "live", "now", "outages", "visibility")

    def __init__(self, *, now: float, visibility: Visibility, outages: tuple[Outage, ...]) -> None:
        self.now = now
        self.visibility = visibility
        self.outages = outages
        self.live = visibility.mode == "per_sample"
        frozen = [outage.start for outage in outages if outage.start <= now < outage.end]
        self.cut = min([now, *frozen]) - visibility.lag

    # ── meetings and what is in them ─────────────────────────────────────────────────────────────────────────────

    def horizon(self) -> float:
        """Nothing that was created before this is kept."""
        return self.now - RETENTION

    def meeting(self, meeting: Meeting) -> bool:
        """Whether the meeting is there."""
        if meeting.start < self.horizon():
            return False
        return meeting.start <= self.cut if self.live else self._opened(meeting) <= self.now

    def meetings(self, session: Session) -> list[Meeting]:
        """The meetings of a session that are there, in order."""
        return [meeting for meeting in session.meetings if self.meeting(meeting)]

    def began(self, start: float) -> bool:
        """Whether something inside a meeting that is there can be seen."""
        return not self.live or start <= self.cut

    def ended(self, end: float) -> float | None:
        """When it ended, as far as the store knows."""
        return end if not self.live or end <= self.cut else None

    def closed(self, meeting: Meeting) -> float | None:
        """When the meeting ended, as far as the store knows: only ten quiet minutes show it."""
        return meeting.end if not self.live or meeting.over <= self.cut else None

    def spent(self, start: float, end: float) -> float:
        """Seconds of [start, end) that are in the store."""
        return max(0.0, (end if not self.live else min(end, self.cut)) - start)

    def _opened(self, meeting: Meeting) -> float:
        """When a meeting that is shown once it is over becomes visible."""
        due = meeting.over + self.visibility.lag
        return max([due, *(outage.complete for outage in self.outages if outage.start <= due < outage.end)])

    # ── rows ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def visible_since(self, meeting: Meeting, at: float) -> float:
        """When a row measured at `at` became visible, but for rows that come late."""
        return at + self.visibility.lag if self.live else self._opened(meeting)

    def ranks(self, timing: Timing, meeting: Meeting) -> Ranks:
        """The rows of a stream of that meeting that can be seen."""
        if not self.live:
            end = timing.until(math.inf)
            opened = self._opened(meeting)
            if self.now >= opened + self.visibility.late_by or not self.visibility.late:
                return Ranks(end=end)
            return Ranks(end=end, hidden=tuple(rank for rank in range(end) if self._is_late(timing, rank)))
        end = timing.until(self.cut)
        if not self.visibility.late and not self.outages:
            return Ranks(end=end)
        return Ranks(end=end, hidden=tuple(sorted({*self._late(timing, end), *self._missed(timing, end)})))

    def _is_late(self, timing: Timing, rank: int) -> bool:
        return timing.late(timing.raw(rank), self.visibility.late)

    def _late(self, timing: Timing, end: int) -> list[int]:
        if not self.visibility.late:
            return []
        sure = timing.until(self.now - self.visibility.lag - self.visibility.late_by)
        return [rank for rank in range(sure, end) if self._is_late(timing, rank)]

    def _missed(self, timing: Timing, end: int) -> list[int]:
        """Rows that fell into a maintenance window and have not come back yet."""
        hidden: list[int] = []
        lag = self.visibility.lag
        for outage in self.outages:
            if not outage.end <= self.now < outage.complete:
                continue
            first, last = timing.until(outage.start - lag - 0.001), timing.until(outage.end - lag - 0.001)
            for rank in range(first, min(last, end)):
                comes = outage.end + (outage.complete - outage.end) * unit(timing.key ^ 0xF111, rank)
                if comes > self.now:
                    hidden.append(rank)
        return hidden
