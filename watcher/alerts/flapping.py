"""Damping: an alert that begins again and again is said as flapping, once, and then when it has calmed down.

Counted are beginnings, because one is what a page is. From the n-th within the window on, the alert flaps: its next
beginning is said at once and named as flapping; what follows waits until the alert has stayed as it is for a quarter
of the window. Then one message says how it ended, or none where it still fires, which is what was said last.

The changes between are dropped as they are overtaken by the next, with their reason, so that an alert that flaps for
days holds one open obligation and not a thousand. Lengthening `group_interval` for such alerts was considered: it
would delay their neighbours in the group.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from watcher.alerts.message import Item, Kind
from watcher.model import Obligation, State


@dataclass(frozen=True, slots=True, kw_only=True)
class Damped:
    """What is left to say of a flapping alert: an item, or the newest obligation held until `until`."""

    item: Item | None = None
    held: Obligation | None = None
    until: float = 0.0
    dropped: tuple[Obligation, ...] = ()


def damp(own: Sequence[Obligation], *, told: bool, flaps: int, calm: float, now: float) -> Damped:
    """What to do with the open obligations of one flapping alert, oldest first; `told`: the target thinks it fires."""
    beginning = 0 if told else next((i for i, o in enumerate(own) if o.transition.state is State.FIRING), len(own))
    void, own = tuple(own[:beginning]), own[beginning:]  # ends of what was never told
    if not own:
        return Damped(dropped=void)
    last = own[-1]
    fires = last.transition.state is State.FIRING
    if fires and not told:
        return Damped(item=Item(kind=Kind.FIRING, obligations=tuple(own), flaps=flaps), dropped=void)
    until = min(last.created_at, now) + calm
    if until > now:
        return Damped(held=last, until=until, dropped=(*void, *own[:-1]))
    if fires:
        return Damped(dropped=tuple(own))
    kind = Kind.RESOLVED if told else Kind.WAS_FIRING
    return Damped(item=Item(kind=kind, obligations=tuple(own), flaps=flaps), dropped=void)
