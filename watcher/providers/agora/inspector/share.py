"""What a sample is a share of: the users in calls in the minute that is judged (dossier sections 3.1, 8.1, 8.2). Pure.

    sampled   users drawn who were there, of the products that the project names: the mean over the slots of the minute,
              the same user in two calls twice, as the real-time count has it
    there     what real-time counted in that minute (`headcount`)
    about     where it did not: the peaks of the calls that ran in the minute, times what the nearest counted minute was
              of the peaks of its own calls; the peaks alone where no minute was counted, as on Standard

Peaks alone say too much, since calls do not peak together, and add up over a look those that followed each other: of
1,370 users they made 1,690. The last count alone, carried on, would be half an hour old on Premium, and that is when a
lesson begins: a share that is too large makes a small sample look sound. Asking `statistics/time` for every call was
considered: it tells the users of the calls asked for only, for a request each.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from watcher.providers.agora.inspector.figures import WIDTH
from watcher.providers.agora.inspector.rows import Call, Session
from watcher.providers.agora.slots import SLOT


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Users of one minute: `sampled` of `there`; `counted`: the vendor's own number, else an estimate."""

    sampled: float
    there: float
    counted: bool

    @property
    def share(self) -> float:
        return self.sampled / self.there

    def __str__(self) -> str:
        about = "" if self.counted else "about "
        return f"sample of {self.sampled:.0f} of {about}{self.there:.0f} users ({self.share:.1%})"


@dataclass(slots=True, kw_only=True)
class Shares:
    """Of one look. `calls` are all that were listed, `unseen` how many were not; `counted`: users by minute."""

    calls: Sequence[Call]
    unseen: int
    counted: Mapping[int, float]
    _drawn: dict[str, Sequence[Session]] = field(default_factory=dict)

    def take(self, call: Call, drawn: Sequence[Session]) -> None:
        """Users of a call whose streams were read."""
        self._drawn[call.id] = drawn

    def at(self, minute: int) -> Part | None:
        """The sample's part in a minute; None where nobody is known to have been in calls."""
        slots = range(minute, minute + WIDTH, SLOT)
        sampled = sum(_users(drawn, slot) for drawn in self._drawn.values() for slot in slots) / len(slots)
        there = max(self.counted.get(minute, 0.0) or self._about(minute), sampled)
        return Part(sampled=sampled, there=there, counted=minute in self.counted) if there else None

    def _about(self, minute: int) -> float:
        running = self._running(minute)
        if not self.counted:
            return running
        nearest = min(self.counted, key=lambda known: (abs(known - minute), known))
        return running * self.counted[nearest] / (self._running(nearest) or running or 1.0)

    def _running(self, minute: int) -> float:
        """The peaks of the calls that ran in a minute, and one for each that was not listed."""
        return self.unseen + sum(call.peak_users or 1 for call in self.calls if call.runs_in(minute, minute + WIDTH))


def _users(drawn: Collection[Session], slot: int) -> int:
    """Different users who were there in a slot; one without any name is one of their own."""
    return len(
        {
            s.sid if s.uid is None and not s.account else (s.uid, s.account)
            for s in drawn
            if s.there_in(slot, slot + SLOT)
        }
    )
