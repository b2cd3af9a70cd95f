"""Requests counted over a window that slides, not on a grid.

"Fewer than 100 per 30 seconds" (dossier, 4.1) says nothing about where the 30 seconds begin, so the emulator takes the
reading that a client cannot slip through: at every request the ones of the last 30 seconds are counted, refused ones
too. Kept apart from `emulator.counting`, whose windows lie on the UTC grid, because Agora's do.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from watcher.emulator.counting import Pool

_MAX_POOLS = 1_000
_MAX_STAMPS = 20_000  # per pool: whoever sends more in one window is far beyond every limit


@dataclass(slots=True)
class _Tally:
    seconds: float
    limit: int
    stamps: deque[float] = field(default_factory=lambda: deque(maxlen=_MAX_STAMPS))
    spent: int = 0
    total: int = 0
    refused: int = 0
    foreign: int = 0


class Meter:
    """Counts requests per pool in a window that slides."""

    def __init__(self) -> None:
        self._tallies: dict[Pool, _Tally] = {}
        self.dropped_pools = 0  # requests not counted, because there were too many different pools

    def spend(
        self, pool: Pool, now: float, *, seconds: float, limit: int, foreign: Callable[[float, float], int]
    ) -> bool:
        """Count one request at server time `now`; whether it stays below `limit` (0: there is none).

        `foreign(start, end)` is how many requests of others fell into a stretch of server time.
        """
        tally = self._tallies.get(pool)
        if tally is None:
            if len(self._tallies) >= _MAX_POOLS:
                self.dropped_pools += 1
                return True
            tally = self._tallies[pool] = _Tally(seconds, limit)
        tally.stamps.append(now)
        while tally.stamps[0] <= now - seconds:
            tally.stamps.popleft()
        own, others = len(tally.stamps), foreign(now - seconds, now)
        tally.spent = max(tally.spent, own)
        tally.foreign = max(tally.foreign, others)
        tally.total += 1
        fits = limit == 0 or own + others < limit
        tally.refused += not fits
        return fits

    def report(self) -> list[dict[str, object]]:
        """One object per pool, in the words of `emulator.counting`: `spent` is the worst stretch of that length."""
        return [
            {
                "account": pool.account,
                "family": pool.family,
                "part": pool.part,
                "window": f"{tally.seconds:g}s",
                "limit": tally.limit,
                "spent": tally.spent,
                "total": tally.total,
                "refused": tally.refused,
                "foreign": tally.foreign,
            }
            for pool, tally in self._tallies.items()
        ]
