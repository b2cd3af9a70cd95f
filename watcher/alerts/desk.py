"""What people decided about alerts, and which alerts fire: one desk for all targets.

Silences and acknowledgements are recorded with a step like any other (`Commit`), and kept here as the working copy that
every outbox plans by. A silence that ends with its alert is ended in the transaction that records the alert's end, so
that no crash lies between the two.

Text of people is bounded where it enters (`web`, the command line); how many silences there may be is bounded here.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from watcher.alerts.blind import BLIND
from watcher.alerts.matching import matches
from watcher.alerts.mutes import Mutes
from watcher.alerts.settings import AlertsSettings
from watcher.clock import DAY
from watcher.model import Ack, Match, Silence, State, Transition

MAX_SILENCES = 1000  # that are not over
MAX_OVER = 50  # ended alerts that are remembered, for those who look
KEEP_OVER = float(DAY)  # seconds for which a silence that is over is kept here, for those who look


class Desk:
    """Mutable: changed by the recorder only, with what it records."""

    def __init__(self, settings: AlertsSettings) -> None:
        self._maintenance = tuple(window.value() for window in settings.maintenance)
        self._inhibits = tuple(inhibit.value() for inhibit in settings.inhibit)
        self._silences: dict[str, Silence] = {}
        self._acks: dict[str, Ack] = {}
        self._firing: dict[str, Transition] = {}
        self._pending: dict[str, Transition] = {}
        self._over: deque[Transition] = deque(maxlen=MAX_OVER)
        self._mutes = Mutes()

    def restore(self, log: Iterable[Transition], silences: Iterable[Silence], acks: Iterable[Ack]) -> None:
        """Take over what the record says."""
        self.note(tuple(log), silences=tuple(silences), acks=tuple(acks), now=0.0)

    def note(
        self, log: Sequence[Transition], *, silences: Sequence[Silence] = (), acks: Sequence[Ack] = (), now: float
    ) -> None:
        """What a step changed."""
        for entry in log:
            if entry.state is State.FIRING:
                self._firing[entry.alert_id] = entry
            else:
                self._firing.pop(entry.alert_id, None)
                self._acks.pop(entry.alert_id, None)
            if entry.state is State.PENDING:
                self._pending[entry.alert_id] = entry
            else:
                self._pending.pop(entry.alert_id, None)
            if entry.state is State.RESOLVED:
                self._over.append(entry)
        self._silences |= {silence.id: silence for silence in silences}
        self._silences = {i: s for i, s in self._silences.items() if s.ends_at > now - KEEP_OVER}
        self._acks |= {ack.alert_id: ack for ack in acks if ack.alert_id in self._firing}
        self._mutes = Mutes(
            silences=tuple(self._silences.values()),
            maintenance=self._maintenance,
            inhibits=self._inhibits,
            acks=dict(self._acks),
        )

    def mutes(self) -> Mutes:
        """What an outbox plans by."""
        return self._mutes

    @property
    def firing(self) -> Mapping[str, Transition]:
        """The last entry of each alert that fires."""
        return self._firing

    @property
    def pending(self) -> Mapping[str, Transition]:
        """The last entry of each alert whose condition holds and has not held long enough."""
        return self._pending

    @property
    def over(self) -> Sequence[Transition]:
        """The entries with which alerts ended lately, oldest first."""
        return tuple(self._over)

    def unseen(self) -> Mapping[str, Transition]:
        """Accounts that cannot be seen, with the daemon's own alert that says so."""
        return unseen(self._firing.values())

    @property
    def silences(self) -> Sequence[Silence]:
        """Those that hold, will hold, or ended lately."""
        return tuple(self._silences.values())

    def ended_with(self, log: Sequence[Transition], now: float) -> list[Silence]:
        """Silences that end because the last alert they match ends in `log`, with their new end."""
        open_ = [s for s in self._silences.values() if s.until_resolved and s.starts_at <= now < s.ends_at]
        if not open_:
            return []
        firing = dict(self._firing)
        ended: dict[str, Transition] = {}
        for entry in log:
            if entry.state is State.FIRING:
                firing[entry.alert_id] = entry
                ended.pop(entry.alert_id, None)
            elif (known := firing.pop(entry.alert_id, None)) is not None:
                ended[entry.alert_id] = known
        return [
            replace(silence, ends_at=now)
            for silence in open_
            if any(matches(silence.match, entry) for entry in ended.values())
            and not any(matches(silence.match, entry) for entry in firing.values())
        ]


def unseen(alerts: Iterable[Transition]) -> dict[str, Transition]:
    """Account -> that of the alerts which says that it cannot be seen."""
    blind = (entry for entry in alerts if entry.rule == BLIND and entry.state is State.FIRING)
    return {entry.labels.get("account", ""): entry for entry in blind}


def new_silence(
    match: Match, *, now: float, seconds: float, author: str, comment: str, until_resolved: bool = False
) -> Silence:
    """A silence from now on."""
    return Silence(
        id=secrets.token_hex(6),
        match=match,
        starts_at=now,
        ends_at=now + seconds,
        author=author,
        comment=comment,
        created_at=now,
        until_resolved=until_resolved,
    )
