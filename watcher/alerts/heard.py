"""What one target was told lately, in memory: where it stands with each alert, and how much it heard this hour.

A working copy of the record (`Store.standing`, `obligations`, `notifications`), which the outbox reads at its start and
keeps up from then on with each decision it records. Apart from `Backlog`, because that is about messages under way and
this about what they said.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from watcher.clock import HOUR
from watcher.model import Notification, Obligation, Standing, State, obligation_id

_MAX_BEGINNINGS = 50  # of one alert, within the window
_MAX_SENT = 10_000


@dataclass(slots=True, kw_only=True)
class Heard:
    """Mutable, owned by one outbox."""

    within: float  # seconds for which beginnings are remembered
    standing: dict[str, Standing] = field(default_factory=dict)
    began: dict[str, deque[float]] = field(default_factory=dict)
    sent: deque[float] = field(default_factory=lambda: deque(maxlen=_MAX_SENT))
    _newest: dict[str, int] = field(default_factory=dict)  # alert -> seq of the last beginning noted

    def restore(
        self, standing: Iterable[Standing], obligations: Iterable[Obligation], messages: Iterable[Notification]
    ) -> None:
        """Take over what the record says; what was noted since the start counts as well."""
        self.standing = {known.latest.transition.alert_id: known for known in standing} | self.standing
        self.note([o for o in obligations if not o.dropped])
        self.sent.extendleft(sorted((m.created_at for m in messages), reverse=True))

    def note(self, obligations: Sequence[Obligation]) -> None:
        """Remember what begins: each beginning once, however often its obligation is seen."""
        for obligation in obligations:
            entry = obligation.transition
            if entry.state is not State.FIRING or entry.retracts is not None or entry.updates is not None:
                continue
            if is_reminder(obligation):
                continue
            if entry.seq > self._newest.get(entry.alert_id, 0):
                self._newest[entry.alert_id] = entry.seq
                self.began.setdefault(entry.alert_id, deque(maxlen=_MAX_BEGINNINGS)).append(obligation.created_at)

    def forget(self, now: float) -> None:
        """Drop what no decision depends on any more."""
        while self.sent and self.sent[0] <= now - HOUR:
            self.sent.popleft()
        for alert in [a for a, began in self.began.items() if began[-1] <= now - self.within]:
            del self.began[alert], self._newest[alert]

    def said(self, obligations: Sequence[Obligation], now: float) -> None:
        """These went into one message."""
        for obligation in sorted(obligations, key=_order):
            fires = obligation.transition.state is State.FIRING
            self._set(Standing(latest=obligation, told=fires, said_at=now))

    def dropped(self, obligations: Sequence[Obligation]) -> None:
        """These are never said."""
        for obligation in sorted(obligations, key=_order):
            known = self.standing.get(obligation.transition.alert_id)
            if known is None:
                self._set(Standing(latest=obligation))
            elif _order(obligation) >= _order(known.latest):
                self._set(replace(known, latest=obligation))

    def _set(self, known: Standing) -> None:
        entry = known.latest.transition
        if known.told or entry.state is State.FIRING:
            self.standing[entry.alert_id] = known
        else:
            self.standing.pop(entry.alert_id, None)


def is_reminder(obligation: Obligation) -> bool:
    """Whether the obligation is to say again what was obliged before."""
    return obligation.id != obligation_id(obligation.transition, obligation.target)


def _order(obligation: Obligation) -> tuple[str, int, float]:
    entry = obligation.transition
    return entry.alert_id, entry.seq, obligation.created_at
