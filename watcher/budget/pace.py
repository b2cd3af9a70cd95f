"""Quotas per second: kept by the order of requests and answers, not by stamps.

A stamp is known to some seconds, so a window of one second counted by stamps would hold eleven. But a request that was
answered had arrived by then, and one that is not sent yet arrives later. So with k allowed a second, the next request
may leave a second after the first of the last k was *answered*: then those k + 1 cannot have arrived within one second,
however long each was on its way. All of it is monotonic time here: no clock can be wrong about it.

A request that was not answered may arrive at any time until `LONGEST_REQUEST`, and counts as arriving now. What an
earlier run sent is not known, so a start counts as k requests.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from watcher.budget.quota import Kind, Pool

LONGEST_REQUEST = 30.0
"""Real seconds after which an unanswered request has arrived, or never will (above every transport deadline)."""


@dataclass(slots=True)
class _Request:
    spend: str
    sent: float
    answered: float | None = None


class Pace:
    """The last requests of every pool that has a quota per second. Instants are monotonic seconds."""

    def __init__(self, pools: Iterable[Pool], *, opened: float, longest: float = LONGEST_REQUEST) -> None:
        limits = {p.id: q.allowed for p in pools for q in p.quotas if q.kind is Kind.SECOND}
        self._limits = limits
        self._longest = longest
        self._last = {pool: deque([_Request("", opened, opened)] * n, maxlen=n) for pool, n in limits.items()}

    def free_at(self, pool: str, mono: float) -> float:
        """The first instant at which one more request may leave; minus infinity where there is no such quota."""
        last = self._last.get(pool)
        if last is None or len(last) < self._limits[pool]:
            return -math.inf
        return min(self._arrived_by(request, mono) for request in last) + 1.0

    def left(self, pool: str, mono: float) -> int:
        """How many could leave now."""
        last = self._last[pool]
        return self._limits[pool] - sum(self._arrived_by(request, mono) + 1.0 > mono for request in last)

    def sent(self, spend: str, pools: Iterable[str], mono: float) -> None:
        """A request is about to leave."""
        for pool in pools:
            if pool in self._last:
                self._last[pool].append(_Request(spend, mono))

    def answered(self, spend: str, mono: float) -> None:
        """It had arrived by now."""
        for last in self._last.values():
            for request in last:
                if request.spend == spend:
                    request.answered = mono

    def refunded(self, spend: str) -> None:
        """It never left."""
        for last in self._last.values():
            for request in last:
                if request.spend == spend:
                    request.answered = request.sent

    def _arrived_by(self, request: _Request, mono: float) -> float:
        if request.answered is not None:
            return request.answered
        return min(mono, request.sent + self._longest)
