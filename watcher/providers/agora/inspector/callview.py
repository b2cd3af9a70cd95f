"""One call, for whoever was paged with its channel: which call is meant, which part of it is read, what it looks like.

    lists of the channel -> the call that ran then -> at most an hour of it -> `reading` -> `CallView`

An hour, since the streams of twenty users over one are tens of megabytes already, and one for everything, so that all
figures are about the same minutes: around the time that was asked for, or the newest. Only the freezes of a stay are
the vendor's own, over the whole of it. Losses of Native and Web users do not compare, so the worst are the worst by
freezes.

The list is as long as the plan allows at once. Going back further until a call turns up was considered: a channel that
is spelled wrongly would cost all requests.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator

from watcher.calls import MOST_STAYS, Breakdown, CallView, CallWish, Minute, OtherCall, Spread, Stay, nearest
from watcher.clock import DAY, HOUR, day_start, hhmm, rfc3339
from watcher.errors import ProviderError, Reason
from watcher.model import Purse, Span
from watcher.providers.agora.inspector import choice, person
from watcher.providers.agora.inspector.client import CallPage, InspectorClient
from watcher.providers.agora.inspector.edge import Edge
from watcher.providers.agora.inspector.figures import MEASURED, NATIVE, WEB, WIDTH, Votes
from watcher.providers.agora.inspector.lossunit import LossUnit
from watcher.providers.agora.inspector.reading import Allowance, Reading
from watcher.providers.agora.inspector.rows import Call, Session
from watcher.providers.agora.inspector.settings import ASKED_PER_DAY, MOST, CallInspector, CallLimits
from watcher.providers.agora.settings import AgoraAccount
from watcher.providers.agora.values import Oddity, Tally

MOST_OTHERS = 20

_AFTER = HOUR  # seconds after the time that is asked for in which calls are listed too: maybe none ran then


class CallViews:
    """Single calls of one account."""

    def __init__(self, *, account: AgoraAccount, limits: CallLimits, client: InspectorClient, edge: Edge) -> None:
        self._plan = account.plan
        self._settings = account.call_inspector or CallInspector(requests_per_day=ASKED_PER_DAY)
        self._limits = limits
        self._client = client
        self._edge = edge
        self._longest = min(MOST, limits.calls.span - WIDTH)

    async def read(self, app_id: str, wish: CallWish, purse: Purse) -> CallView | None:
        """See `calls.CallReader.read_call`."""
        allowance = Allowance(purse=purse, most=wish.requests)
        tally: Tally = Tally()
        page = await self._listed(app_id, wish, allowance, tally)
        calls = [call for call in page.calls if call.channel in ("", wish.channel)]
        tally[Oddity.UNASKED] += len(page.calls) - len(calls)
        call = nearest(calls, wish.at, lambda call: call.created, lambda call: call.ended)
        if call is None:
            return None
        span = self._span(call, wish.at)
        reading = Reading(
            client=self._client,
            app_id=app_id,
            call=call,
            span=span,
            joined=self._joined(call, span),
            user=_uid(wish.user),
            allowance=allowance,
            edge=self._edge,
            votes=Votes(loss_scale=self._settings.loss_scale, lines={}),
            tally=tally,
        )
        if span.start < span.end and (reading.user is not None or not wish.user):
            await reading.carry_out()
        unit = LossUnit(self._settings.loss)
        unit.check(reading.votes, tally)
        return _view(
            reading,
            others=_others(calls, call),
            told=not unit.wrong,
            notes=(*self._said(wish, page, reading, unit), *reading.notes),
        )

    # ── what is asked ────────────────────────────────────────────────────────────────────────────────────────────────

    async def _listed(self, app_id: str, wish: CallWish, purse: Purse, tally: Tally) -> CallPage:
        """The calls of the channel around a time, or the newest: those that began long before it, and some after."""
        limits = self._limits.lists
        oldest, end = self._edge.oldest(limits), self._edge.newest(limits)
        if wish.at is not None and wish.at < oldest:
            await purse.refund()
            what = f"{rfc3339(wish.at)} is further back than calls are kept on {self._plan}: {limits.back // DAY} days"
            raise ProviderError(Reason.TOO_OLD, what, sent=False)
        if wish.at is not None:
            end = min(end, math.floor(wish.at) + _AFTER)
        span = Span(max(oldest, end - limits.span + WIDTH), end)
        try:
            return await self._client.lists(app_id, span, purse, tally, channel=wish.channel)
        except ProviderError as error:
            self._edge.learn(error)
            raise

    def _span(self, call: Call, at: float | None) -> Span:
        """The minutes of a call that are read; none where they are not told yet, or no longer."""
        limits = self._limits.calls
        begin = max(call.created // WIDTH, math.ceil(self._edge.oldest(limits) / WIDTH)) * WIDTH
        end = self._edge.newest(limits) // WIDTH * WIDTH
        if call.ended is not None:
            end = min(end, (call.ended // WIDTH + 1) * WIDTH)
        if end - begin <= self._longest:
            return Span(begin, max(begin, end))
        start = end - self._longest
        if at is not None:
            start = min(max(begin, math.floor(at - self._longest / 2) // WIDTH * WIDTH), start)
        return Span(start, start + self._longest)

    def _joined(self, call: Call, span: Span) -> Span:
        """When sessions are asked for (see `Reading`): from the beginning of the call, as far as the plan goes."""
        limits = self._limits.calls
        return Span(max(call.created, self._edge.oldest(limits), span.end - limits.span + WIDTH), span.end)

    # ── what it says ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _said(self, wish: CallWish, page: CallPage, reading: Reading, unit: LossUnit) -> Iterator[str]:
        """How late, how much of the call, what is missing and doubted."""
        call, span = reading.call, reading.span
        late = self._limits.calls.delay + self._edge.later
        yield f"Call Inspector is {late} s behind on {self._plan}"
        if not page.page.last:
            yield f"only the newest {len(page.calls)} of {page.page.total} calls of the channel were listed"
        if span.start >= span.end:
            young = call.created > self._edge.oldest(self._limits.calls)
            yield "nothing of the call is told yet: ask again in a minute" if young else "the call is no longer kept"
            return
        cut = span.end - span.start == self._longest
        if cut or span.start > call.created or (call.ended is not None and span.end < call.ended):
            began = hhmm(call.created) if day_start(call.created) == day_start(span.start) else rfc3339(call.created)
            yield f"figures of {hhmm(span.start)} to {hhmm(span.end)} UTC, of a call that began {began}"
        if wish.user and reading.user is None:
            yield "users are asked for by their number (uid)"
        elif wish.user and reading.answered and not reading.there:
            yield f"no user {reading.user} was found in the call then"
        if unit.doubted:
            doubt = "left out" if unit.wrong else "doubted"
            yield f"packet loss is {doubt}: its values do not fit `loss: {self._settings.loss}` in `call_inspector`"


def _uid(user: str) -> int | None:
    """A user's number; None where it is none, as where nobody is asked for."""
    return int(user) if user.isascii() and user.isdigit() and len(user) <= 10 else None


def _view(reading: Reading, *, others: tuple[OtherCall, ...], told: bool, notes: tuple[str, ...]) -> CallView:
    call = reading.call
    there = choice.worst_first(reading.there)[:MOST_STAYS]
    overall = {
        signal: {**reading.votes.overall(WEB, signal), **reading.votes.overall(NATIVE, signal)}
        for signal, (_, kind) in MEASURED.items()
        if kind == "mean"
    }
    if reading.user is None:
        minutes = tuple(Minute(start, values) for start, values in sorted(reading.minutes.items()))
    else:
        minutes = person.minutes(reading.streams, reading.votes, told=told)
    return CallView(
        call=call.id,
        channel=call.channel,
        began=float(call.created),
        ended=None if call.ended is None else float(call.ended),
        running=None if call.finished is None else not call.finished,
        users=max(call.users or 0, len({session.uid for session in there})) or None,
        stays=tuple(_stay(s, {name: v[s.sid].value for name, v in overall.items() if s.sid in v}) for s in there),
        minutes=minutes,
        spreads=(Spread(signal=reading.frozen, buckets=reading.buckets),) if reading.buckets else (),
        breakdowns=(Breakdown(signal=reading.frozen, splits=tuple(reading.splits)),) if reading.splits else (),
        others=others,
        notes=notes,
        refusal=reading.refusal,
        oddities={str(oddity): count for oddity, count in reading.tally.items() if count},
    )


def _stay(session: Session, streams: dict[str, float]) -> Stay:
    freezes = {"video_freeze_ratio": session.video_freeze, "audio_freeze_ratio": session.audio_freeze}
    return Stay(
        user="" if session.uid is None else str(session.uid),
        name=session.account,
        joined=None if session.joined is None else float(session.joined),
        left=None if session.ended is None else float(session.ended),
        client=" ".join(word for word in (session.sdk, session.platform, session.device) if word),
        place=session.network,
        values={name: value for name, value in freezes.items() if value is not None} | streams,
    )


def _others(calls: Collection[Call], chosen: Call) -> tuple[OtherCall, ...]:
    """The other calls of the channel that are nearest to the chosen one, the newest first."""
    near = sorted((c for c in calls if c is not chosen), key=lambda c: (abs(c.created - chosen.created), c.id))
    newest = sorted(near[:MOST_OTHERS], key=lambda c: (-c.created, c.id))
    return tuple(
        OtherCall(c.id, float(c.created), None if c.ended is None else float(c.ended), c.users) for c in newest
    )
