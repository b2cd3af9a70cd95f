"""Which participants reached the client, and how often each room's were asked for: what the emulator knows better.

With it a test computes, from the server's side, the stays that were never read and what reading cost. Bounded; what
the bounds cost is counted.
"""

from __future__ import annotations

from dataclasses import dataclass

_MAX_STAYS = 500_000
_MAX_ROOMS = 100_000


@dataclass(slots=True)
class Handed:
    """Of one stay: how often its row went out, and whether the last one was final."""

    total: int = 0
    final: bool = False


class Books:
    """What went out whole, in answers that a client can read."""

    def __init__(self) -> None:
        self._stays: dict[int, Handed] = {}
        self._reads: dict[int, int] = {}
        self.dropped_stays = 0
        self.dropped_rooms = 0

    def hand(self, stay: int, *, final: bool) -> None:
        """The row of a stay went out."""
        handed = self._stays.get(stay)
        if handed is None:
            if len(self._stays) >= _MAX_STAYS:
                self.dropped_stays += 1
                return
            handed = self._stays[stay] = Handed()
        handed.total += 1
        handed.final = final

    def read(self, room: int) -> None:
        """A room's participants were asked for, a page of them."""
        if room not in self._reads and len(self._reads) >= _MAX_ROOMS:
            self.dropped_rooms += 1
            return
        self._reads[room] = self._reads.get(room, 0) + 1

    def stay(self, key: int) -> Handed:
        """What is known of a stay."""
        return self._stays.get(key) or Handed()

    def reads(self, room: int) -> int:
        """How many pages of a room's participants were asked for."""
        return self._reads.get(room, 0)

    def report(self) -> dict[str, dict[str, int]]:
        """The totals."""
        total = sum(handed.total for handed in self._stays.values())
        return {
            "participants": {
                "handed_out": len(self._stays),
                "handed_again": total - len(self._stays),
                "final": sum(handed.final for handed in self._stays.values()),
            },
            "participant_reads": {
                "rooms": len(self._reads),
                "requests": sum(self._reads.values()),
                "most": max(self._reads.values(), default=0),
            },
        }
