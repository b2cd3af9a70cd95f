"""Slot arithmetic: which 20-second windows one real-time request asks for (dossier sections 3.4 and 6). Pure.

Agora answers for slots t on the UTC grid with floor(startTs/20)*20 <= t < floor(endTs/20)*20 and refuses, strictly,
unless endTs < now - delay, startTs > now - look_back and endTs - startTs < span. So, with `now` a safe lower bound of
the vendor's time (see `vendortime`) and everything on the grid:

    end    = floor20(now - delay - 1)               one second, since the vendor may compare whole seconds
    oldest = floor20(now - look_back) + 40          one slot more than needed, for the time the request travels
    start  = max(covered - 40, oldest)              the two newest slots of the last look may have changed: read again
    end   <= start + longest                        longest = the largest multiple of 20 below span

The dossier's formula cuts a too long request at its old end. Here that happens on the first look only; later the
new end is cut, and the next look goes on from there: late beats lost (design, invariant 2). On the vendor's plans
span = look_back and neither ever happens.

The longest gap that loses nothing. Look 1 at n1 ends at floor20(n1 - delay - 1); look 2 at n2 can begin at
floor20(n2 - look_back) + 40, and must begin 40 s before that end. Both are floors on one grid, so alignment costs
nothing: n2 - look_back + 40 <= n1 - delay - 1 - 40, that is n2 - n1 <= look_back - delay - 81. `ALLOWANCE` is taken off
for how far the lower bound may lag at n1. Premium: 2400 - 40 - 81 - 10 = 2,269 s (2,319 s without re-read and lag).
Where span is the tighter limit, 40 s of re-read, up to 20 s of alignment and the lag must fit into one request:
n2 - n1 <= longest - 60 - 10.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

from watcher.model import Span

SLOT = 20
SETTLE = 2  # the newest slots of an answer, which may still appear or change (section 3.5)
ALLOWANCE = 10.0  # seconds by which `now` may lag behind the vendor's clock: a slow answer, a first guess

_TAIL = SETTLE * SLOT
_MOST_SHIFT = 6  # slots that refusals may teach; what is still refused then is not a matter of slots
_LEAST_LENGTH = 2 * _TAIL  # a look must get on, beyond what it reads again


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A plan's limits on time, in whole seconds: how far behind, how far back, how long one request may be."""

    delay: int
    look_back: int
    span: int

    @property
    def longest(self) -> int:
        """The longest request on the grid that is strictly shorter than `span`."""
        return (self.span - 1) // SLOT * SLOT

    @property
    def reach(self) -> float:
        """The longest gap between two looks, in seconds, in which no slot is lost (module text)."""
        return min(self.look_back - self.delay - 1.0 - SLOT * 2 - _TAIL, self.longest - _TAIL - float(SLOT)) - ALLOWANCE


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What refusals have taught about an account whose limits differ from its plan's; kept while the program runs."""

    later: int = 0  # slots that the newest end stays back, beyond the delay
    shorter_back: int = 0  # slots that the oldest start stays inside the look-back
    longest: int | None = None  # seconds

    def too_fresh(self) -> Learned:
        return replace(self, later=min(self.later + 1, _MOST_SHIFT))

    def too_old(self) -> Learned:
        return replace(self, shorter_back=min(self.shorter_back + 1, _MOST_SHIFT))

    def too_long(self, asked: Span) -> Learned:
        half = floor_slot((asked.end - asked.start) / 2)
        return replace(self, longest=max(half, _LEAST_LENGTH))


class Ask(NamedTuple):
    """Slots to ask for, and the slots before them that were wanted and are gone."""

    span: Span
    lost: Span | None


def choose(*, now: float, covered: int | None, window: Window, learned: Learned) -> Ask:
    """The next request of a query covered up to event time `covered` (None: never asked), at vendor time `now`.

    Never empty: where nothing is new, it reads the newest slots again, since the request is paid for already.
    """
    end = floor_slot(now - window.delay - 1) - learned.later * SLOT
    oldest = floor_slot(now - window.look_back) + (2 + learned.shorter_back) * SLOT
    longest = min(window.longest, learned.longest or window.longest)
    if covered is None:
        return Ask(Span(max(oldest, end - longest), end), None)
    seen = min(floor_slot(covered), end)  # a covered time in the future must not empty the request
    start = max(seen - _TAIL, oldest)
    return Ask(Span(start, min(end, start + longest)), Span(seen, start) if start > seen else None)


def floor_slot(at: float) -> int:
    """The start of the slot that `at` lies in."""
    return math.floor(at / SLOT) * SLOT
