"""What readers of page and API get: one board for all of them, made anew when it is asked for and a few seconds old.

No reader touches the daemon's parts or its store. What the parts know is taken on the event loop, which is references
(`material`); what is made of it is made in a thread of its own, over a connection of its own that only reads, so that
neither the ledger nor a look waits for a reader. While one board is made, everybody waits for that one: fifty readers
cost what one costs, and without a reader nothing is made.

Pushing each change to readers was considered: it would be made for nobody most nights, and a telephone that wakes up
asks anyway.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Generic, Protocol, TypeVar

import anyio
import msgspec

from watcher.alerts.chart import series_of
from watcher.app import answers
from watcher.app import board as boards
from watcher.app.curves import Curves, dressed, read
from watcher.app.desk import Live
from watcher.app.material import Material
from watcher.app.questions import Questions
from watcher.clock import Clock, rfc3339
from watcher.config import Config
from watcher.errors import Refused, StoreError, clip
from watcher.explain import as_json, explain
from watcher.model import Notification, Series, StoreReader, Transition
from watcher.store import SqliteReader, open_readonly
from watcher.web import shapes
from watcher.web.asking import AskedCall, AskedGroups, ShownCall, ShownGroups
from watcher.web.shapes import NewAck, NewSilence
from watcher.web.views import SHOWN_OF_ALERT, Board, Curve, Views
from watcher.workers import Workers

T = TypeVar("T")

FRESH = 4.0  # run seconds for which a board is shown again; one that polls asks every five
FRESH_EXPLAINED = 30.0  # run seconds for which a rule's explanation is shown again: it judges anew what is recorded
MAX_KEPT = 100
MAX_HISTORY = 50  # log entries, messages and duties of one alert


class _Shared(Generic[T]):
    """What was made last, by name: made once for all who ask at the same time and for `fresh` run seconds after."""

    def __init__(self, clock: Clock, workers: Workers, fresh: float) -> None:
        self._clock = clock
        self._workers = workers
        self._fresh = fresh
        self._turn = anyio.Lock()
        self._made: dict[str, tuple[float, T]] = {}

    async def get(self, name: str, how: Callable[[], Callable[[], T]]) -> T:
        """`how` is asked on the event loop for what is then done in the thread."""
        async with self._turn:
            now = self._clock.now()
            known = self._made.get(name)
            if known is not None and 0 <= now - known[0] < self._fresh:
                return known[1]
            found = await self._workers.run(how())
            if len(self._made) >= MAX_KEPT:
                self._made.clear()
            self._made[name] = (now, found)
            return found

    def forget(self) -> None:
        """Make it anew when it is next asked for."""
        self._made.clear()


class Source(Protocol):
    """The running daemon, as far as readers need it; all raise `Refused` between two configurations."""

    @property
    def config(self) -> Config: ...

    def material(self) -> Material: ...

    def desk(self) -> Live: ...

    def questions(self, account: str) -> Questions: ...


class Viewing:
    """Port `web.views.Views` over a running daemon."""

    def __init__(self, *, source: Source, workers: Workers, clock: Clock) -> None:
        self._source = source
        self._workers = workers
        self._boards: _Shared[Board] = _Shared(clock, workers, FRESH)
        self._details: _Shared[tuple[shapes.AlertDetail, Curve | None]] = _Shared(clock, workers, FRESH)
        self._explained: _Shared[shapes.Explained] = _Shared(clock, workers, FRESH_EXPLAINED)
        self._clock = clock
        self._curves = Curves()
        self._reader: SqliteReader | None = None

    async def board(self) -> Board:
        """Everything, at most `FRESH` run seconds old."""
        return await self._boards.get("", lambda: partial(self._compose, self._source.material()))

    async def alert(self, alert: str) -> tuple[shapes.AlertDetail, Curve | None]:
        """One alert, its history and its chart."""
        return await self._details.get(alert, lambda: partial(self._detail, alert, self._source.material()))

    async def series(self, series: Series, seconds: int) -> shapes.SeriesPoints:
        """One series up to where its account is known."""
        return await self._workers.run(partial(self._series, series, seconds, self._source.material()))

    async def explain(self, rule: str) -> shapes.Explained:
        """As `watcher explain` does it, from the recorded state."""
        return await self._explained.get(rule, lambda: partial(self._explain, rule, self._clock.now()))

    async def add_silence(self, wish: NewSilence) -> shapes.ChangedSilence:
        """Begin a silence."""
        return self._anew(await self._source.desk().add_silence(wish))

    async def expire_silence(self, silence: str) -> shapes.ChangedSilence:
        """End a silence now."""
        return self._anew(await self._source.desk().expire_silence(silence))

    async def acknowledge(self, alert: str, wish: NewAck) -> shapes.ChangedAck:
        """Note that somebody has an alert in hand."""
        return self._anew(await self._source.desk().acknowledge(alert, wish))

    async def call(self, account: str, asked: AskedCall) -> ShownCall:
        """One call, read now within the account's budget."""
        return answers.call(await self._source.questions(account).call(answers.wish(asked)))

    async def groups(self, account: str, asked: AskedGroups) -> ShownGroups:
        """Whole days by groups, read now within the account's budget."""
        told = await self._source.questions(account).groups(
            asked.signal,
            by=asked.by,
            project=asked.project,
            product=asked.product,
            until=answers.instant(asked.until, "until"),
            days=asked.days,
            country=asked.country,
        )
        return answers.groups(told)

    async def close(self) -> None:
        """Let go of the state."""
        if self._reader is not None:
            await self._workers.run(self._reader.close)
            self._reader = None

    def _anew(self, changed: T) -> T:
        self._boards.forget()  # whoever changed something sees it at once
        self._details.forget()
        return changed

    # ── in the thread ────────────────────────────────────────────────────────────────────────────────────────────────

    def _compose(self, material: Material) -> Board:
        can_change = self._source.config.http.token is not None
        return boards.compose(material, self._readable(), self._curves, can_change=can_change)

    def _detail(self, alert: str, material: Material) -> tuple[shapes.AlertDetail, Curve | None]:
        reader = self._opened()
        try:
            log = reader.transitions(alert=alert)[-MAX_HISTORY:]
            messages = reader.notifications_about(alert, MAX_HISTORY)
            duties = reader.obligations_about(alert, MAX_HISTORY)
        except StoreError as error:
            raise Refused(503, f"the state cannot be read now: {clip(str(error))}") from None
        known = boards.Known(material)
        standing = known.alert_of(alert)
        if not log:
            raise Refused(404, "no such alert is on record")
        last = log[-1]
        curve = _hour_of(reader, last, material, log, known.clears.get(last.rule))
        detail = shapes.AlertDetail(
            id=alert,
            rule=last.rule,
            labels=boards.capped(last.labels),
            alert=standing,
            log=[_entry(entry) for entry in reversed(log)],
            notifications=[_message(message) for message in messages],
            unsaid=[
                shapes.Unsaid(target=duty.target, seq=duty.transition.seq, reason=duty.dropped)
                for duty in duties
                if duty.dropped
            ],
            chart=None if curve is None else chart_shape(curve),
        )
        return detail, curve

    def _series(self, series: Series, seconds: int, material: Material) -> shapes.SeriesPoints:
        turn = material.turns.get(series.account)
        end = turn.known_until if turn is not None else 0
        curve = read(self._opened(), series, end - seconds, end)
        if curve is None:
            raise Refused(404, "no such series has points in that time")
        return shapes.SeriesPoints(
            account=series.account,
            provider=series.provider,
            project=series.project,
            product=series.product,
            channel=series.channel,
            chart=chart_shape(curve),
        )

    def _explain(self, name: str, now: float) -> shapes.Explained:
        config = self._source.config
        rule = next((rule for rule in config.rules if rule.name == name), None)
        if rule is None:
            raise Refused(404, "there is no such rule")
        try:
            found = explain(config, rule, self._opened(), now=now)
        except StoreError as error:
            raise Refused(503, f"the state cannot be read now: {clip(str(error))}") from None
        return msgspec.convert(as_json(rule, found), shapes.Explained)

    def _readable(self) -> StoreReader | None:
        try:
            return self._opened()
        except Refused:
            return None

    def _opened(self) -> StoreReader:
        """The state, opened at the first need and kept. Raises `Refused`."""
        if self._reader is None:
            try:
                self._reader = open_readonly(self._source.config.state)
            except StoreError as error:
                raise Refused(503, f"the state cannot be read now: {clip(str(error))}") from None
        return self._reader


_: type[Views] = Viewing


def _hour_of(
    reader: StoreReader, last: Transition, material: Material, log: list[Transition], clear: float | None
) -> Curve | None:
    """The last hour of what an alert is about: up to now while it stands, else around its end."""
    series, turn = series_of(last), material.turns.get(last.labels.get("account", ""))
    if series is None or turn is None:
        return None
    stands = any(e.alert_id == last.alert_id for e in (*material.firing, *material.pending))
    end = turn.known_until if stands else min(turn.known_until, last.at + SHOWN_OF_ALERT // 4)
    curve = read(reader, series, end - SHOWN_OF_ALERT, end)
    return None if curve is None else dressed(curve, last, clear, log)


def chart_shape(curve: Curve) -> shapes.Chart:
    """A curve as the API gives it."""
    return shapes.Chart(
        signal=curve.signal,
        starts_at=_time(curve.start),
        ends_at=_time(curve.end),
        threshold=curve.threshold,
        clear=curve.clear,
        points=list(zip(curve.ends.tolist(), curve.values.tolist(), strict=True)),
        spans=[
            shapes.Span(
                state="firing" if stay.firing else "pending", starts_at=_time(stay.start), ends_at=rfc3339(stay.end)
            )
            for stay in curve.stays
        ],
    )


def _entry(entry: Transition) -> shapes.LogEntry:
    return shapes.LogEntry(
        seq=entry.seq,
        state=str(entry.state),
        at=_time(entry.at),
        known_at=_time(int(entry.known_at)),
        cause=str(entry.cause),
        value=entry.value,
        threshold=entry.threshold,
        users=entry.users,
        retracts=rfc3339(entry.retracts),
        updates=entry.updates,
    )


def _message(message: Notification) -> shapes.Message:
    return shapes.Message(
        target=message.target,
        kind=message.kind,
        title=clip(message.title),
        reason=message.reason,
        delivery=str(message.delivery),
        created_at=_time(int(message.created_at)),
        sent_at=rfc3339(None if message.sent_at is None else int(message.sent_at)),
        attempts=message.attempts,
        error=clip(message.error),
    )


def _time(at: float) -> str:
    return rfc3339(at) or ""
