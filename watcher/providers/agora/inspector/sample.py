"""A look at one project's running calls: a sample of streams, as large as the user's cap allows (dossier 8.3, 8.5).

    list of calls -> the largest (or worst) that run -> their sessions -> metrics of some users -> points

One look is one sample: `CallInspector.requests` requests, the first of them spent already, in one go, so that all of it
is about the same minutes and is judged once. Spreading the same requests evenly over the day was considered; it makes a
picture that is complete only a round later, twice as late at worst for the same money.

What a look answers for is everything since the last one, at most an hour, up to the vendor's delay. The newest minute
is read again. Where the budget ends early, or the vendor stops answering, the sample is what was read, and smaller;
where nothing was, nothing is answered for and the next look begins where this one did. A call that the vendor no longer
has is left out; a project without calls is an answer with nothing in it.

The share of the sample is said with everything it shows, for the minute that is judged (`share`): as the signal
`sampled_users_ratio`, and in every message.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from watcher.clock import Clock
from watcher.errors import ProviderError, Reason, clip
from watcher.log import get
from watcher.model import Answer, Points, Purse, Query, Series, Span
from watcher.providers.agora.headcount import Headcount
from watcher.providers.agora.inspector import choice
from watcher.providers.agora.inspector.client import InspectorClient
from watcher.providers.agora.inspector.edge import Edge
from watcher.providers.agora.inspector.figures import MEASURED, NATIVE, SAMPLED, WANTED, WEB, WIDTH, Value, Votes
from watcher.providers.agora.inspector.lossunit import LossUnit
from watcher.providers.agora.inspector.rows import Call
from watcher.providers.agora.inspector.settings import MOST, CallInspector, CallLimits
from watcher.providers.agora.inspector.share import Shares
from watcher.providers.agora.values import Oddity, Tally

SETTLE = 1  # windows that are read again
FIRST = 600  # seconds back of a project that was never looked at
REACH = float(MOST - SETTLE * WIDTH - WIDTH - 10)  # the longest gap between looks that loses nothing

_WORST = 3  # calls named in a message
_OF_A_CALL = {
    Reason.REQUEST: Oddity.CALL_GONE,
    Reason.TOO_OLD: Oddity.CALL_GONE,
    Reason.OTHER: Oddity.CALL_GONE,
    Reason.MALFORMED: Oddity.UNREADABLE,
}
"""What the vendor may say of one call, mostly one that is no longer there."""

_AWAY = frozenset({Reason.TIMEOUT, Reason.SERVER, Reason.NETWORK})
"""The vendor has stopped answering: what it told before still holds. Everything else is about the account."""


@dataclass(slots=True)
class _Sampled:
    """What a sample has come to."""

    votes: Votes
    shares: Shares
    calls: int = 0


class CallSample:
    """Samples of one project, look after look. Port: what `AgoraSource` sends a query to."""

    def __init__(
        self,
        *,
        query: Query,
        app_id: str,
        settings: CallInspector,
        limits: CallLimits,
        client: InspectorClient,
        headcount: Headcount,
        edge: Edge,
        clock: Clock,
    ) -> None:
        self._project = query.series[0].project
        self._products = frozenset(series.product for series in query.series if series.signal in MEASURED)
        self._app_id = app_id
        self._settings = settings
        self._limits = limits
        self._client = client
        self._headcount = headcount
        self._edge = edge
        self._clock = clock
        self._users = settings.users_per_call
        self._unit = LossUnit(settings.loss)
        self._log = get("agora").bind(account=query.account)

    async def look(self, query: Query, covered: int | None, purse: Purse) -> Answer:
        """See `model.Source.look`."""
        asked, lost = self._asked(covered)
        tally: Tally = Tally()
        try:
            return await self._look(query, asked, lost, purse, tally)
        except ProviderError as error:
            self._edge.learn(error)
            raise

    async def _look(self, query: Query, asked: Span, lost: Span | None, purse: Purse, tally: Tally) -> Answer:
        listed, unseen = await self._listed(asked, purse, tally)
        recent = Span(asked.start - MOST // WIDTH * WIDTH, asked.end)
        counted = self._headcount.by_minute(self._project, self._products, recent)
        sampled = _Sampled(
            Votes(
                loss_scale=self._settings.loss_scale,
                lines={"video_loss": self._settings.lines.video_loss, "audio_loss": self._settings.lines.audio_loss},
            ),
            Shares(calls=listed, unseen=unseen, counted=counted),
        )
        running = [call for call in listed if call.runs_in(*asked)]
        whole = await self._sample(running, asked, purse, sampled, tally)
        self._trust(sampled.votes, tally)
        answered = asked if whole or sampled.calls else Span(asked.start, asked.start)
        return Answer(
            query=query,
            asked=answered,
            settled=max(answered.start, answered.end - SETTLE * WIDTH),
            points=tuple(self._points(query, answered, sampled)) if sampled.calls else (),
            received_at=self._clock.now(),
            lost=lost,
            oddities={str(oddity): count for oddity, count in tally.items() if count},
            worst=lambda series, at: _worst(series, at - WIDTH, sampled, asked) if sampled.calls else "",
        )

    # ── what is asked ────────────────────────────────────────────────────────────────────────────────────────────────

    def _asked(self, covered: int | None) -> tuple[Span, Span | None]:
        end = self._edge.newest(self._limits.calls) // WIDTH * WIDTH
        if covered is None:
            return Span(end - FIRST, end), None
        seen = min(covered, end)
        start = max(seen - SETTLE * WIDTH, end - MOST)
        return Span(start, end), Span(seen, start) if start > seen else None

    async def _listed(self, asked: Span, purse: Purse, tally: Tally) -> tuple[list[Call], int]:
        """The newest calls, and how many were not listed for want of pages."""
        limits = self._limits.lists
        newest = self._edge.newest(limits)
        back = min(max(self._settings.longest, newest - asked.start), limits.span - 60)
        span = Span(newest - back, newest)
        found: dict[str, Call] = {}
        unseen = 0
        for number in range(1, self._settings.pages + 1):
            if number > 1 and not await purse.spend():
                tally[Oddity.UNREAD] += 1
                break
            got = await self._client.lists(self._app_id, span, purse, tally, page=number)
            before = len(found)
            found |= {call.id: call for call in got.calls}
            if again := before + len(got.calls) - len(found):
                tally[Oddity.REPEATED] += again
            unseen = max(0, got.page.total - len(found))
            if got.page.last or len(found) == before:  # the last page, or one that repeats
                break
        else:
            tally[Oddity.UNLISTED] += max(unseen, 1)
        return list(found.values()), unseen

    async def _sample(self, running: list[Call], asked: Span, purse: Purse, sampled: _Sampled, tally: Tally) -> bool:
        """Read the chosen calls; False where the budget, or the vendor's service, ended before the last of them."""
        chosen = choice.calls(running, self._settings.first, self._settings.calls)
        refused: ProviderError | None = None
        gone = 0
        for number, call in enumerate(chosen):
            try:
                whole = await self._read(call, asked, purse, sampled, tally)
            except ProviderError as error:
                if error.reason is Reason.TOO_LARGE:
                    self._halve(tally)
                elif error.reason in _OF_A_CALL:
                    tally[_OF_A_CALL[error.reason]] += 1
                elif error.reason in _AWAY and sampled.calls:
                    tally[Oddity.UNREAD] += len(chosen) - number
                    return False
                else:
                    raise
                refused, gone = error, gone + 1
                continue
            if not whole:
                tally[Oddity.UNREAD] += len(chosen) - number
                return False
        if refused is not None and gone == len(chosen):
            raise refused  # of all calls at once: that is no matter of calls
        return True

    async def _read(self, call: Call, asked: Span, purse: Purse, sampled: _Sampled, tally: Tally) -> bool:
        """One call: its sessions, and the metrics of some of its users. False where the budget refused."""
        span = self._joined(call, asked)
        if not await purse.spend():
            return False
        page = await self._client.sessions(self._app_id, call.id, span, purse, tally)
        there = [session for session in page.sessions if session.there_in(*asked)]
        drawn = choice.users(there, self._users)
        if not drawn:
            return True
        if not await purse.spend():
            return False
        sids = [session.sid for session in drawn]
        streams = await self._client.metrics(self._app_id, call.id, asked, sids, purse, tally, wanted=WANTED)
        web = frozenset(s.sid for s in drawn if s.is_web)
        sampled.votes.take(call.channel or call.id, streams, web)
        web |= {stream.sid for stream in streams if stream.web}
        sampled.shares.take(call, [s for s in drawn if (WEB if s.sid in web else NATIVE) in self._products])
        sampled.calls += 1
        return True

    def _joined(self, call: Call, asked: Span) -> Span:
        """When users joined who shall be drawn from.

        The vendor lists the latest joiners first, and of a large call only a page is read. Were those of the very end
        taken, hardly one of them would have been there in the windows before; who was there at the beginning mostly
        stays. Of a call that began later than that, everyone so far.
        """
        end = asked.end if call.created >= asked.start else asked.start + WIDTH
        return Span(max(end - self._limits.calls.span + WIDTH, min(call.created, asked.start)), end)

    def _trust(self, votes: Votes, tally: Tally) -> None:
        """Whether packet loss is in the unit that the user says."""
        before = self._unit.doubted
        self._unit.check(votes, tally)
        if self._unit.doubted and not before:
            self._log.warning("loss_unit_doubted", configured=self._settings.loss)

    def _halve(self, tally: Tally) -> None:
        """An answer was too large to read: ask for fewer users from now on."""
        tally[Oddity.HALVED] += 1
        if self._users > 1:
            self._users //= 2
            self._log.warning("sample_halved", users_per_call=self._users)

    # ── what it says ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _points(self, query: Query, asked: Span, sampled: _Sampled) -> list[Points]:
        found = []
        for series in query.series:
            if series.signal == SAMPLED:
                parts = ((start, sampled.shares.at(start)) for start in range(asked.start, asked.end, WIDTH))
                values: Mapping[int, Value] = {start: Value(part.share, math.nan) for start, part in parts if part}
            else:
                values = sampled.votes.windows(series.product, series.signal)
            inside = [start for start in sorted(values) if asked.start <= start < asked.end]
            if inside:
                found.append(
                    Points(
                        series=series,
                        width=WIDTH,
                        start=np.array(inside, np.int64),
                        value=np.array([values[start].value for start in inside], np.float64),
                        weight=np.array([values[start].weight for start in inside], np.float64)
                        if series.signal in MEASURED
                        else None,
                    )
                )
        return found


def _worst(series: Series, start: int, sampled: _Sampled, asked: Span) -> str:
    """`sample of 40 of 640 users (6.2%): lobby 7.1% of 12 streams, …`, the worst first; empty for other signals.

    Of the window that begins at `start`. What is judged may have waited for another query until a later sample came:
    of a window outside of this one the nearest is told, and no calls.
    """
    inside = min(max(start, asked.start), asked.end - WIDTH)
    part = sampled.shares.at(inside)
    if series.signal not in MEASURED or part is None:
        return ""
    found = sampled.votes.by_call(series, start)
    low_is_bad = "bitrate" in series.signal
    ranked = sorted(found.items(), key=lambda item: (item[1].value if low_is_bad else -item[1].value, item[0]))
    calls = ", ".join(
        f"{clip(call, 60)} {_shown(series.signal, value.value)} of {value.weight:.0f} streams"
        for call, value in ranked[:_WORST]
        if low_is_bad or value.value > 0
    )
    said = str(part if inside == start else replace(part, counted=False))
    return f"{said}: {calls}" if calls else said


def _shown(signal: str, value: float) -> str:
    return f"{value * 100:.1f}%" if signal.endswith("_ratio") else f"{value / 125:.0f} kbit/s"
