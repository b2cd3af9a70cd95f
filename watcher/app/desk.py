"""What people see and change of alerts, for the API and the command line alike.

`Live` changes a running daemon; `Offline` changes the state of one that does not run. Both make the same values, so a
silence means the same whichever way it came in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from watcher import log
from watcher.alerts.affected import AFFECTED
from watcher.alerts.desk import MAX_SILENCES, Desk, new_silence, unseen
from watcher.alerts.matching import matches
from watcher.alerts.mutes import silenced
from watcher.app.recorder import Recorder
from watcher.clock import Clock, rfc3339
from watcher.errors import Refused
from watcher.model import Ack, Commit, Silence, State, Store, StoreReader, Transition
from watcher.web.shapes import Affected, Alert, ChangedAck, ChangedSilence, NewAck, NewSilence, ShownAck, ShownSilence


class Live:
    """What changes a running daemon."""

    def __init__(self, *, desk: Desk, recorder: Recorder, clock: Clock) -> None:
        self._desk = desk
        self._recorder = recorder
        self._clock = clock
        self._log = log.get("desk")

    async def add_silence(self, wish: NewSilence) -> ChangedSilence:
        now = self._clock.now()
        return await self._silenced(make_silence(wish, self._desk.silences, now))

    async def expire_silence(self, silence: str) -> ChangedSilence:
        return await self._silenced(expired(silence, self._desk.silences, self._clock.now()))

    async def acknowledge(self, alert: str, wish: NewAck) -> ChangedAck:
        ack = make_ack(alert, wish, self._desk.firing, self._clock.now())
        durable = await self._recorder.record(Commit(acks=[ack]))
        self._log.info("alert_acknowledged", alert=ack.alert_id, author=ack.author)
        return ChangedAck(ack=_ack_shape(ack), durable=durable)

    async def _silenced(self, silence: Silence) -> ChangedSilence:
        durable = await self._recorder.record(Commit(silences=[silence]))
        ended = silence.ends_at <= self._clock.now()
        self._log.info("silence_ended" if ended else "silence_begun", id=silence.id, author=silence.author)
        return changed_silence(silence, self._desk.firing.values(), self._clock.now(), durable=durable)


class Offline:
    """The same changes while no daemon runs: whoever opened the store holds it. Blocking."""

    def __init__(self, *, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def add_silence(self, wish: NewSilence) -> ChangedSilence:
        now = self._clock.now()
        return self._silenced(make_silence(wish, self._store.silences(now), now))

    def expire_silence(self, silence: str) -> ChangedSilence:
        now = self._clock.now()
        return self._silenced(expired(silence, self._store.silences(now), now))

    def acknowledge(self, alert: str, wish: NewAck) -> ChangedAck:
        firing = {entry.alert_id: entry for entry in self._store.latest() if entry.state is State.FIRING}
        ack = make_ack(alert, wish, firing, self._clock.now())
        self._store.commit(Commit(acks=[ack]))
        return ChangedAck(ack=_ack_shape(ack), durable=True)

    def _silenced(self, silence: Silence) -> ChangedSilence:
        self._store.commit(Commit(silences=[silence]))
        firing = (entry for entry in self._store.latest() if entry.state is State.FIRING)
        return changed_silence(silence, firing, self._clock.now(), durable=True)


def read_alerts(store: StoreReader, now: float) -> list[Alert]:
    """What fires or is about to, according to the state. Blocking."""
    acks = {ack.alert_id: ack for ack in store.acks()}
    shown = [e for e in store.latest() if e.state in (State.FIRING, State.PENDING)]
    return alert_shapes(shown, store.silences(now), acks, now=now)


# ── the changes ──────────────────────────────────────────────────────────────────────────────────────────────────────


def make_silence(wish: NewSilence, known: Sequence[Silence], now: float) -> Silence:
    """The silence that somebody wishes for. Raises `Refused` where there are too many."""
    if sum(silence.ends_at > now for silence in known) >= MAX_SILENCES:
        raise Refused(409, f"there are {MAX_SILENCES} silences already: expire some")
    return new_silence(
        wish.match,
        now=now,
        seconds=wish.seconds,
        author=wish.author,
        comment=wish.comment,
        until_resolved=wish.until_resolved,
    )


def expired(silence: str, known: Sequence[Silence], now: float) -> Silence:
    """A silence with its end now. Raises `Refused` where there is none to end."""
    found = next((s for s in known if s.id == silence and s.ends_at > now), None)
    if found is None:
        raise Refused(404, "no such silence holds: see the list")
    return replace(found, ends_at=now)


def changed_silence(silence: Silence, firing: Iterable[Transition], now: float, *, durable: bool) -> ChangedSilence:
    """What is told of a silence: a slip in a matcher matches nothing, and whoever made it should see that at once."""
    matching = sum(matches(silence.match, entry) for entry in firing)
    return ChangedSilence(silence=silence_shape(silence, now), matching=matching, durable=durable)


def make_ack(alert: str, wish: NewAck, firing: Mapping[str, Transition], now: float) -> Ack:
    """The acknowledgement of an alert as it is now. Raises `Refused` where it does not fire."""
    entry = firing.get(alert)
    if entry is None:
        raise Refused(404, "no such alert fires: see the list")
    return Ack(alert_id=alert, seq=entry.seq, author=wish.author, comment=wish.comment, at=now)


# ── as shapes ────────────────────────────────────────────────────────────────────────────────────────────────────────


def alert_shapes(
    alerts: Iterable[Transition], silences: Sequence[Silence], acks: Mapping[str, Ack], *, now: float
) -> list[Alert]:
    """Alerts, the longest-standing first."""
    ordered = sorted(alerts, key=lambda entry: (entry.starts_at, entry.rule, entry.alert_id))
    blind = unseen(ordered)
    return [alert_shape(entry, silences, acks.get(entry.alert_id), blind, now) for entry in ordered]


def alert_shape(
    entry: Transition, silences: Sequence[Silence], ack: Ack | None, blind: Mapping[str, Transition], now: float
) -> Alert:
    """One alert that fires or is about to; `blind` are the accounts that cannot be seen."""
    unjudged = blind.get(entry.labels.get("account", "")) if entry.signal else None
    held = ack if ack is not None and entry.change <= ack.seq else None
    fires = entry.state is State.FIRING
    return Alert(
        id=entry.alert_id,
        rule=entry.rule,
        state="firing" if fires else "pending",
        severity=entry.severity,
        labels=dict(entry.labels),
        starts_at=_time(entry.starts_at),
        fired_at=_time(entry.at) if fires else None,
        value=entry.value,
        threshold=entry.threshold,
        normal=entry.normal,
        users=entry.users,
        summary=entry.annotations.get("summary", ""),
        affected=[
            Affected(
                dimension=str(h.dimension), group=h.group, signal=h.signal, value=h.value, users=h.users, base=h.base
            )
            for h in entry.affected
        ],
        affected_says=entry.annotations.get(AFFECTED, ""),
        silenced=silenced(entry, silences, at=now, since=now) is not None,
        acknowledged_by=None if held is None else held.author,
        unjudged_since=None if unjudged is None else _time(unjudged.starts_at),
    )


def silence_shape(silence: Silence, now: float) -> ShownSilence:
    """A silence, and whether it holds."""
    return ShownSilence(
        id=silence.id,
        match={name: list(values) for name, values in silence.match.items()},
        starts_at=_time(silence.starts_at),
        ends_at=_time(silence.ends_at),
        author=silence.author,
        comment=silence.comment,
        created_at=_time(silence.created_at),
        until_resolved=silence.until_resolved,
        state="pending" if now < silence.starts_at else "active" if now < silence.ends_at else "expired",
    )


def _ack_shape(ack: Ack) -> ShownAck:
    return ShownAck(alert_id=ack.alert_id, seq=ack.seq, author=ack.author, comment=ack.comment, at=_time(ack.at))


def _time(at: float) -> str:
    return rfc3339(at) or ""
