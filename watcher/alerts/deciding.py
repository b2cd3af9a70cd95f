"""From open obligations to recorded messages and recorded reasons, for one target.

`pipeline` decides, and this is the effect: it gathers what the decision depends on, records what was decided in the
order that a crash cannot spoil, and keeps in memory what the next decision needs. Apart from `attempts`, which sends,
since the two meet only in the backlog's queue.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

from structlog.typing import FilteringBoundLogger

from watcher.alerts import chart, message, pipeline
from watcher.alerts.heard import Heard
from watcher.alerts.keeping import Keeping
from watcher.alerts.limits import Limits
from watcher.alerts.mutes import Mutes
from watcher.alerts.pipeline import View
from watcher.alerts.reasons import Dropped, Held, Said
from watcher.alerts.route import Group, Timing
from watcher.clock import HOUR, Clock
from watcher.model import (
    Chart,
    Commit,
    Delivery,
    Detail,
    Notification,
    Obligation,
    Points,
    Series,
    Standing,
    State,
    Transition,
)

R = TypeVar("R", Notification, Obligation)

MAX_QUEUED = 100
MAX_CHARTS = 3  # of one message: the most urgent alerts
_MAX_LOOKED_UP = 20  # ended alerts of one message whose users are looked up
_MAX_GROUPS = 5000  # whose last message is remembered


class Deciding:
    """Mutable, owned by one outbox. Counters count since start; `waiting` are the obligations held as of the last step.

    `timing` says how a group waits, `mutes` and `unseen` are asked at each step; `detailed` messages carry data beside
    their text, `charted` ones what to draw.
    """

    def __init__(
        self,
        *,
        target: str,
        keeping: Keeping,
        clock: Clock,
        timing: Callable[[Obligation], Timing],
        mutes: Callable[[], Mutes],
        limits: Limits,
        unseen: Callable[[], Mapping[str, Transition]],
        detailed: bool,
        charted: bool,
        log: FilteringBoundLogger,
    ) -> None:
        self.waiting: tuple[Obligation, ...] = ()
        self.held: Mapping[str, Held] = {}
        self.said: Counter[Said] = Counter(dict.fromkeys(Said, 0))
        self.dropped: Counter[Dropped] = Counter(dict.fromkeys(Dropped, 0))
        self.not_durable = 0
        self._target = target
        self._keeping = keeping
        self._backlog = keeping.backlog
        self._store = keeping.store
        self._clock = clock
        self._timing = timing
        self._mutes = mutes
        self._limits = limits
        self._unseen = unseen
        self._detailed = detailed
        self._charted = charted
        self._log = log
        self._heard = Heard(within=limits.flapping.within)
        self._spoke_at: dict[Group, float] = {}
        self._restored = False

    async def restore(self) -> None:
        """Once: take over what an earlier process recorded and did not finish."""
        if self._restored:
            return
        since = self._clock.now() - max(HOUR, self._limits.flapping.within)
        read, store = self._keeping.read, self._store
        if (unsent := await read(partial(store.unsent, self._target))) is None:
            return
        if (standing := await read(partial(store.standing, self._target))) is None:
            return
        if (obliged := await read(partial(store.obligations, since))) is None:
            return
        if (messages := await read(partial(store.notifications, since))) is None:
            return
        self._restored = True
        self._heard.restore(standing, self._mine(obliged), self._mine(messages))
        for message_ in unsent:
            self._backlog.queue.setdefault(message_.id, replace(message_, delivery=Delivery.QUEUED))

    async def decide(self, *, draining: bool) -> float | None:
        """Record what the store missed, then decide about every open obligation; when to decide anew.

        While draining only what memory alone holds is decided: the rest stays in the store for the next start.
        """
        stored = await self._keeping.open_obligations() if self._restored else None
        waiting = self._backlog.beginnings() if stored is None else self._backlog.undecided(stored)
        overtaken = self._backlog.overtaken(waiting)
        waiting = [o for o in waiting if o.id not in overtaken]
        self.waiting = tuple(waiting)
        if draining:
            waiting = [o for o in waiting if o.id in self._backlog.offered]
        if len(self._backlog.queue) >= MAX_QUEUED:
            return None  # a delivery makes room, and steps again
        now = self._clock.now()
        self._heard.note(waiting)
        self._heard.forget(now)
        view = self._view(remind=not (stored is None or draining or self._keeping.failing))
        decision = pipeline.plan(waiting, view=view, timing=self._timing, now=now)
        recorded = {o.id: o for o in stored or ()}
        await self._drop({**decision.dropped, **overtaken}, waiting, recorded, now)
        for draft in decision.drafts:
            await self._record(draft, recorded, now)
        self._note_held(decision.held)
        self.waiting = tuple(o for o in waiting if o.id in decision.held)
        return decision.next_at

    def told(self) -> list[Standing]:
        """The alerts that the target believes to fire, and when it last heard of each."""
        fires = (known for known in self._heard.standing.values() if known.told)
        return [known for known in fires if known.latest.transition.state is State.FIRING]

    def _view(self, *, remind: bool) -> View:
        """What the plan depends on. While the store fails nobody is reminded: news first."""
        return View(
            busy=self._backlog.busy(),
            spoke_at=self._spoke_at,
            standing=self._heard.standing,
            began=self._heard.began,
            sent=self._heard.sent,
            mutes=self._mutes(),
            limits=self._limits,
            remind=remind,
        )

    def _mine(self, records: Iterable[R]) -> list[R]:
        return [record for record in records if record.target == self._target]

    # ── effects ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _drop(
        self,
        reasons: Mapping[str, Dropped],
        waiting: Sequence[Obligation],
        recorded: Mapping[str, Obligation],
        now: float,
    ) -> None:
        if not reasons:
            return
        durable = {i: reason for i, reason in reasons.items() if i in recorded}
        if durable and not await self._keeping.write(partial(self._store.drop_obligations, durable, now)):
            return  # nothing was said; the next step decides the same
        self._heard.dropped([o for o in waiting if o.id in reasons])
        for obligation, reason in reasons.items():
            self._backlog.offered.pop(obligation, None)
            self.dropped[reason] += 1
        self._log.info("obligations_dropped", reasons=dict(Counter(map(str, reasons.values()))))

    async def _record(self, draft: pipeline.Draft, recorded: Mapping[str, Obligation], now: float) -> None:
        """Record a draft as a message; where that fails, keep it in memory, marked.

        What reminders oblige is recorded first: a crash in between leaves them open, and they are said after it. Where
        that fails nothing of the draft is said; without its reminders it is decided anew at the next step.
        """
        duties = [o for item in draft.items for o in item.obligations]
        known = set(recorded)
        if new := [o for o in draft.reminders if o.id not in known]:
            if not await self._keeping.write(partial(self._store.commit, Commit(obligations=new))):
                return
            known |= {o.id for o in new}
        seen = await self._look_up(draft, now)
        if set(draft.obligations) <= known:
            durable = self._notification(draft, seen, now, durable=True)
            if await self._keeping.write(partial(self._store.record_notification, durable)):
                self._backlog.queue[durable.id] = durable
                self._note_said(draft, duties, now)
                return
        self.not_durable += 1
        self._backlog.add_volatile(self._notification(draft, seen, now, durable=False), duties)
        self._note_said(draft, duties, now)

    async def _look_up(self, draft: pipeline.Draft, now: float) -> _Seen:
        """What recorded points say of the most urgent alerts. A store that cannot be read costs a picture, no page."""
        seen = _Seen()
        if self._keeping.failing:
            return seen
        for number, item in enumerate(message.by_urgency(draft.items)[:_MAX_LOOKED_UP]):
            series = chart.series_of(item.last)
            pictured = self._charted and number < MAX_CHARTS
            if series is None or not (pictured or item.last.state is not State.FIRING):
                continue
            since = chart.since(item, now)
            found = await self._keeping.read(partial(self._points, series, since))
            if found is None:
                break
            points, users = found
            if pictured and points is not None and (picture := chart.chart_of(item, points)) is not None:
                seen.charts.append(picture)
            if (most := chart.most_users(item, users, points)) is not None:
                seen.most_users[item.last.alert_id] = most
        return seen

    def _points(self, series: Series, since: int) -> tuple[Points | None, Points | None]:
        """Of the series, and of who was there. Blocking."""
        return self._store.points(series, since), self._store.points(chart.users_of(series), since)

    def _notification(self, draft: pipeline.Draft, seen: _Seen, now: float, *, durable: bool) -> Notification:
        known = message.Known(most_users=seen.most_users, unseen=self._unseen())
        written = message.compose(draft.items, reference=draft.id, durable=durable, full_until=draft.until, known=known)
        return Notification(
            id=draft.id,
            target=self._target,
            obligations=draft.obligations,
            alerts=draft.alerts,
            kind=str(written.kind),
            title=written.title,
            text=written.text,
            html=written.html,
            created_at=now,
            next_at=now,
            reason=str(draft.reason),
            details=tuple(_detail(item, seen) for item in draft.items) if self._detailed else (),
            brief=written.brief,
            charts=tuple(seen.charts),
        )

    def _note_said(self, draft: pipeline.Draft, duties: Sequence[Obligation], now: float) -> None:
        for group in draft.groups if draft.reason is not Said.UPDATE else ():
            self._spoke_at[group] = now
        while len(self._spoke_at) > _MAX_GROUPS:  # a group that is forgotten speaks at once
            del self._spoke_at[min(self._spoke_at, key=self._spoke_at.__getitem__)]
        self._heard.said(duties, now)
        self._heard.sent.append(now)
        self.said[draft.reason] += 1
        self._log.info("message_queued", id=draft.id, reason=str(draft.reason), alerts=list(draft.alerts[:10]))

    def _note_held(self, held: Mapping[str, Held]) -> None:
        """Logged once for each obligation and reason."""
        new = Counter(str(reason) for id_, reason in held.items() if self.held.get(id_) is not reason)
        self.held = dict(held)
        if new:
            self._log.info("obligations_held", reasons=dict(new))


@dataclass(slots=True)
class _Seen:
    """What was looked up for one message."""

    charts: list[Chart] = field(default_factory=list)
    most_users: dict[str, float] = field(default_factory=dict)


def _detail(item: message.Item, seen: _Seen) -> Detail:
    fired_at = item.first.at if item.first.state is State.FIRING else None
    return Detail.of(item.last, fired_at=fired_at, most_users=seen.most_users.get(item.last.alert_id))
