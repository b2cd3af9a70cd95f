"""What one outbox holds in memory: its undelivered messages, and what the store does not know yet.

The store is the truth, and this is its working copy for one target; the outbox is the only writer of both. Apart from
the outbox, because it is plain bookkeeping without waiting, and the rules for a store that fails live here:

* *offered* obligations could not be recorded with their transitions (the disk is full), so they are only here;
* a *volatile* message could not be recorded either: it goes out from here, marked, and is recorded once it can be;
* an *unsaved* message is recorded, but its newest state (being sent, sent) is not.

When the store works again, what was said from memory is recorded as said before anything new is decided, so that
nothing goes out twice. All three are bounded; what a bound costs is counted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from watcher.alerts.reasons import Dropped
from watcher.model import Notification, Obligation, State

MAX_IN_MEMORY = 1000


@dataclass(slots=True, kw_only=True)
class Backlog:
    """Mutable, owned by one outbox."""

    queue: dict[str, Notification] = field(default_factory=dict)  # undelivered
    offered: dict[str, Obligation] = field(default_factory=dict)
    volatile: dict[str, Notification] = field(default_factory=dict)  # newest state; delivered ones too
    unsaved: dict[str, Notification] = field(default_factory=dict)
    overflowed: int = 0
    _said_up_to: dict[str, int] = field(default_factory=dict)  # alert -> seq of the last that memory said

    def offer(self, obligations: Sequence[Obligation]) -> None:
        """Hold obligations that could not be recorded. The newest are refused where there is no room."""
        for obligation in obligations:
            if obligation.dropped or obligation.id in self.offered or obligation.id in self.said():
                continue
            if len(self.offered) >= MAX_IN_MEMORY:
                self.overflowed += 1
            else:
                self.offered[obligation.id] = obligation

    def said(self) -> set[str]:
        """Ids of obligations that a volatile message takes care of."""
        return {o for message in self.volatile.values() for o in message.obligations}

    def undecided(self, stored: Sequence[Obligation]) -> list[Obligation]:
        """The open obligations: recorded ones, and offered ones that the store does not have by now."""
        recorded = {o.id for o in stored}
        self.offered = {i: o for i, o in self.offered.items() if i not in recorded}
        said = self.said()
        return [o for o in (*stored, *self.offered.values()) if o.id not in said]

    def beginnings(self) -> list[Obligation]:
        """What may be said while the store cannot be read: alerts that begin here.

        An end whose beginning may lie unread in the store waits, since it must not overtake it. A beginning goes,
        though the end of an earlier episode may lie there too (`overtaken`): a page early beats a page late.
        """
        begins: dict[str, bool] = {}
        for obligation in sorted(self.offered.values(), key=lambda o: o.transition.seq):
            begins.setdefault(obligation.transition.alert_id, obligation.transition.state is State.FIRING)
        return [o for o in self.offered.values() if begins[o.transition.alert_id]]

    def recordable(self, stored: Collection[str]) -> Iterator[Notification]:
        """Volatile messages whose obligations the store has by now: to be recorded, as far as they have come."""
        for message in list(self.volatile.values()):
            if set(message.obligations) <= set(stored):
                yield message

    def recorded(self, message: Notification) -> None:
        """The store has the message now, as it was when it was handed over; an attempt may have ended meanwhile."""
        newest = self.volatile.pop(message.id, message)
        if newest is not message:
            self.keep_unsaved(newest)

    def saved(self, message: Notification) -> None:
        """The store has this state of the message; a newer one is still to be saved."""
        if self.unsaved.get(message.id) is message:
            del self.unsaved[message.id]

    def add_volatile(self, message: Notification, obligations: Sequence[Obligation]) -> None:
        """A message that the store could not record. The oldest is forgotten where there is no room."""
        if len(self.volatile) >= MAX_IN_MEMORY:
            self._forget(next((i for i in self.volatile if i not in self.queue), next(iter(self.volatile))))
        self.volatile[message.id] = self.queue[message.id] = message
        for obligation in obligations:
            self.offered.pop(obligation.id, None)
            self._said_up_to.pop(obligation.transition.alert_id, None)  # to the end: the oldest is forgotten first
            self._said_up_to[obligation.transition.alert_id] = obligation.transition.seq
        while len(self._said_up_to) > MAX_IN_MEMORY:
            del self._said_up_to[next(iter(self._said_up_to))]

    def overtaken(self, obligations: Sequence[Obligation]) -> dict[str, Dropped]:
        """What memory overtook while the store could not be read, with the reason to drop it: it would mislead now."""
        return {
            o.id: Dropped.OVERTAKEN
            for o in obligations
            if o.transition.seq < self._said_up_to.get(o.transition.alert_id, 0)
        }

    def keep_unsaved(self, message: Notification) -> None:
        """The store could not note the message's newest state: after a crash it may be sent again, with the same id."""
        if message.id not in self.unsaved and len(self.unsaved) >= MAX_IN_MEMORY:
            self.unsaved.pop(next(iter(self.unsaved)))
            self.overflowed += 1
        self.unsaved[message.id] = message

    def busy(self) -> set[str]:
        """Alerts with an undelivered message."""
        return {alert for message in self.queue.values() for alert in message.alerts}

    def _forget(self, message: str) -> None:
        self.volatile.pop(message)
        self.queue.pop(message, None)
        self.overflowed += 1
