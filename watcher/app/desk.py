"""What people see and change of alerts, for the API and the command line alike.

`Live` changes a running daemon; `Offline` changes the state of one that does not run. Both make the same values, so a
silence means the same whichever way it came in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from watcher import log
from watcher.alerts.desk import MAX_SILENCES, Desk, new_silence, unseen
from watcher.alerts.mutes import silenced
from watcher.app.recorder import Recorder
from watcher.clock import Clock, rfc3339
from watcher.errors import Refused
from watcher.model import Ack, Commit, Match, Silence, State, Store, StoreReader, Transition
from watcher.web import Actions, NewAck, NewSilence

Document = dict[str, Any]


class Live:
    """`web.api.Actions` of a running daemon."""

    def __init__(self, *, desk: Desk, recorder: Recorder, clock: Clock) -> None:
        self._desk = desk
        self._recorder = recorder
        self._clock = clock
        self._log = log.get("desk")

    def alerts(self) -> list[Document]:
        mutes = self._desk.mutes()
        return alert_documents(self._desk.firing.values(), mutes.silences, mutes.acks, now=self._clock.now())

    def silences(self) -> list[Document]:
        return [silence_document(silence, self._clock.now()) for silence in self._desk.silences]

    async def add_silence(self, wish: NewSilence) -> Document:
        now = self._clock.now()
        return await self._change(Commit(silences=[make_silence(wish, self._desk.silences, now)]))

    async def expire_silence(self, silence: str) -> Document:
        return await self._change(Commit(silences=[expired(silence, self._desk.silences, self._clock.now())]))

    async def acknowledge(self, alert: str, wish: NewAck) -> Document:
        return await self._change(Commit(acks=[make_ack(alert, wish, self._desk.firing, self._clock.now())]))

    async def _change(self, step: Commit) -> Document:
        durable = await self._recorder.record(step)
        for silence in step.silences:
            ended = silence.ends_at <= self._clock.now()
            self._log.info("silence_ended" if ended else "silence_begun", id=silence.id, author=silence.author)
        for ack in step.acks:
            self._log.info("alert_acknowledged", alert=ack.alert_id, author=ack.author)
        return {**change_document(step, self._clock.now()), "durable": durable}


class Offline:
    """The same changes while no daemon runs: whoever opened the store holds it. Blocking."""

    def __init__(self, *, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def add_silence(self, wish: NewSilence) -> Document:
        now = self._clock.now()
        return self._change(Commit(silences=[make_silence(wish, self._store.silences(now), now)]))

    def expire_silence(self, silence: str) -> Document:
        now = self._clock.now()
        return self._change(Commit(silences=[expired(silence, self._store.silences(now), now)]))

    def acknowledge(self, alert: str, wish: NewAck) -> Document:
        firing = {entry.alert_id: entry for entry in self._store.latest() if entry.state is State.FIRING}
        return self._change(Commit(acks=[make_ack(alert, wish, firing, self._clock.now())]))

    def _change(self, step: Commit) -> Document:
        self._store.commit(step)
        return {**change_document(step, self._clock.now()), "durable": True}


_: type[Actions] = Live


def read_alerts(store: StoreReader, now: float) -> list[Document]:
    """What fires or is about to, according to the state. Blocking."""
    acks = {ack.alert_id: ack for ack in store.acks()}
    shown = [e for e in store.latest() if e.state in (State.FIRING, State.PENDING)]
    return alert_documents(shown, store.silences(now), acks, now=now)


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


def make_ack(alert: str, wish: NewAck, firing: Mapping[str, Transition], now: float) -> Ack:
    """The acknowledgement of an alert as it is now. Raises `Refused` where it does not fire."""
    entry = firing.get(alert)
    if entry is None:
        raise Refused(404, "no such alert fires: see the list")
    return Ack(alert_id=alert, seq=entry.seq, author=wish.author, comment=wish.comment, at=now)


# ── as documents ─────────────────────────────────────────────────────────────────────────────────────────────────────


def alert_documents(
    alerts: Iterable[Transition], silences: Sequence[Silence], acks: Mapping[str, Ack], *, now: float
) -> list[Document]:
    """Alerts as JSON data, the longest-standing first."""
    ordered = sorted(alerts, key=lambda entry: (entry.starts_at, entry.rule, entry.alert_id))
    blind = unseen(ordered)
    return [_alert_document(entry, silences, acks.get(entry.alert_id), blind, now) for entry in ordered]


def _alert_document(
    entry: Transition, silences: Sequence[Silence], ack: Ack | None, blind: Mapping[str, Transition], now: float
) -> Document:
    unjudged = blind.get(entry.labels.get("account", "")) if entry.signal else None
    held = ack if ack is not None and entry.seq <= ack.seq else None
    return {
        "id": entry.alert_id,
        "rule": entry.rule,
        "state": str(entry.state),
        "severity": entry.severity,
        "labels": dict(entry.labels),
        "starts_at": rfc3339(entry.starts_at),
        "fired_at": rfc3339(entry.at) if entry.state is State.FIRING else None,
        "value": entry.value,
        "threshold": entry.threshold,
        "normal": entry.normal,
        "users": entry.users,
        "summary": entry.annotations.get("summary", ""),
        "silenced": silenced(entry, silences, at=now, since=now) is not None,
        "acknowledged_by": None if held is None else held.author,
        "unjudged_since": None if unjudged is None else rfc3339(unjudged.starts_at),
    }


def silence_document(silence: Silence, now: float) -> Document:
    """A silence as JSON data."""
    times = {name: rfc3339(getattr(silence, name)) for name in ("starts_at", "ends_at", "created_at")}
    state = "pending" if now < silence.starts_at else "active" if now < silence.ends_at else "expired"
    return {**asdict(silence), "match": _lists(silence.match), **times, "state": state}


def change_document(step: Commit, now: float) -> Document:
    """What a change came to."""
    for silence in step.silences:
        return {"silence": silence_document(silence, now)}
    (ack,) = step.acks
    return {"ack": {**asdict(ack), "at": rfc3339(ack.at)}}


def _lists(match: Match) -> dict[str, list[str]]:
    return {name: list(values) for name, values in match.items()}
