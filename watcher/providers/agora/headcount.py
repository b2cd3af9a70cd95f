"""Users of a project by the minute, as its real-time looks counted them: what a sample is a share of. Pure.

The looks of one family tell another here, inside the source, and for nothing: no request is made for a headcount.
A minute is known where the vendor has answered for every product that the account asks for. Without users a product
has no rows at all, and now and then a row is missing: a minute without one has the users of the nearest slot that has,
which of a product that nobody uses any more is the last user or two, and of one that was never used nobody.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from watcher.clock import HOUR, MINUTE
from watcher.model import USERS, Answer, Span
from watcher.providers.agora.slots import SLOT

KEPT = 2 * HOUR  # seconds of slots: a sample is of the last hour


@dataclass(slots=True)
class _Counts:
    """Of one product of a project: users by slot, and the slots that the vendor has answered for."""

    users: dict[int, float] = field(default_factory=dict)
    answered: Span | None = None

    def take(self, slots: Iterable[tuple[int, float]], answered: Span) -> None:
        self.users.update(slots)
        before = self.answered or answered
        end = max(before.end, answered.end)
        self.answered = Span(max(min(before.start, answered.start), end - KEPT), end)
        self.users = {slot: users for slot, users in self.users.items() if slot >= end - KEPT}

    def during(self, minute: int) -> float | None:
        """The mean of the slots of a minute; None where the vendor has not answered for it."""
        found = [self.users[slot] for slot in range(minute, minute + MINUTE, SLOT) if slot in self.users]
        if found:
            return sum(found) / len(found)
        if self.answered is None or not self.answered.start <= minute < self.answered.end:
            return None
        return self.users[min(self.users, key=lambda slot: (abs(slot - minute), slot))] if self.users else 0.0


class Headcount:
    """Of all projects of an account."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], _Counts] = defaultdict(_Counts)

    def take(self, answer: Answer) -> None:
        """Remember what a look counted, where it counted the users of a whole project, live."""
        series = answer.query.series[0]
        if series.signal != USERS or series.channel or answer.query.width != SLOT:
            return
        slots = [pair for p in answer.points for pair in zip(p.start.tolist(), p.value.tolist(), strict=True)]
        answered = Span(answer.asked.start, max(answer.asked.start, answer.settled))
        self._counts[series.project, series.product].take(slots, answered)

    def by_minute(self, project: str, products: Collection[str], asked: Span) -> dict[int, float]:
        """Users of all the products together, for the minutes of [start, end) in which that is known."""
        counts = [self._counts[project, product] for product in sorted(products)]
        found: dict[int, float] = {}
        for minute in range(asked.start, asked.end, MINUTE):
            parts = [part for of in counts if (part := of.during(minute)) is not None]
            if len(parts) == len(counts) and sum(parts) > 0:
                found[minute] = sum(parts)
        return found
