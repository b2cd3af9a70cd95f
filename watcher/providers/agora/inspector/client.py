"""The six calls of Call Inspector: parameters and answers (dossier section 8).

Pure transport: which call, which users and how often is `sample`'s and `callview`'s part. All of them raise
`ProviderError`. Spans are [start, end) in Unix seconds; the vendor wants them strictly inside the plan's numbers.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from watcher.model import Purse, Span
from watcher.providers.agora.exchange import Exchange
from watcher.providers.agora.inspector import rows, streams
from watcher.providers.agora.inspector.rows import MAX_ROWS, Call, Count, PageOf, Session
from watcher.providers.agora.inspector.streams import MIDS, Stream
from watcher.providers.agora.refusals import gateway_refusal
from watcher.providers.agora.values import Column, Tally

MAX_UIDS = 10  # section 8.2
MAX_SIDS = 20  # section 8.3

Freeze = Literal["audio_freeze_rate", "video_freeze_rate"]
PerMinute = Literal[
    "user_count", "audio_freeze_rate", "video_freeze_rate", "audio_freeze_user_count", "video_freeze_user_count"
]
Dimension = Literal["country", "region", "net", "sdk", "os", "device"]

_PATH = "/beta/analytics/call/"


@dataclass(frozen=True, slots=True, kw_only=True)
class CallPage:
    """A page of the calls of a project, the newest first."""

    calls: tuple[Call, ...]
    page: PageOf


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionPage:
    """A page of the sessions of a call, the latest joiner first."""

    sessions: tuple[Session, ...]
    page: PageOf


class InspectorClient:
    """Call Inspector of one account."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    async def lists(
        self, app_id: str, span: Span, purse: Purse, tally: Tally, *, page: int = 1, channel: str = ""
    ) -> CallPage:
        """Calls of a project, or of one channel."""
        params = _span(app_id, span) | _page(page) | ({"cname": channel} if channel else {})
        body = await self._exchange.page(_PATH + "lists", params, "call_lists", purse)
        found = rows.calls(rows.under("call_lists", body, tally), tally)
        return CallPage(calls=found, page=rows.page_of(body, page, len(found)))

    async def sessions(
        self,
        app_id: str,
        call: str,
        span: Span,
        purse: Purse,
        tally: Tally,
        *,
        page: int = 1,
        uids: Collection[int] = (),
    ) -> SessionPage:
        """Sessions of a call, or of up to ten users of it; without server users (recorders, agents)."""
        if len(uids) > MAX_UIDS:
            raise ValueError(f"sessions can be asked of at most {MAX_UIDS} users")
        own = {"uids": ",".join(map(str, uids))} if uids else {}
        params = _span(app_id, span) | {"call_id": call} | _page(page) | own
        body = await self._exchange.page(_PATH + "sessions", params, "call_info", purse)
        found = rows.sessions(rows.under("call_info", body, tally), tally)
        return SessionPage(sessions=found, page=rows.page_of(body, page, len(found)))

    async def metrics(
        self,
        app_id: str,
        call: str,
        span: Span,
        sids: Sequence[str],
        purse: Purse,
        tally: Tally,
        *,
        wanted: Collection[int] = frozenset(MIDS),
    ) -> tuple[Stream, ...]:
        """Everything measured of up to 20 sessions of a call; of the `wanted` metric ids only, to save the reading."""
        if not 0 < len(sids) <= MAX_SIDS or any("," in sid for sid in sids):
            raise ValueError(f"metrics need 1 to {MAX_SIDS} sessions")
        params = _span(app_id, span) | {"call_id": call, "sids": ",".join(sids)}
        reply = await self._exchange.reply("GET", _PATH + "metrics", params, purse, limit_bytes=streams.BODY_LIMIT)
        if reply.status != 200:
            raise gateway_refusal(reply, self._exchange.scrub)
        return streams.read(reply, self._exchange.scrub, span, frozenset(sids), wanted, tally)

    async def statistics(
        self, app_id: str, call: str, span: Span, metric: Freeze, dimension: Dimension, purse: Purse, tally: Tally
    ) -> tuple[Count, ...]:
        """The mean freeze rate of a call's users by group, the worst first."""
        params = _span(app_id, span) | {"call_id": call, "metric": metric, "dimension": dimension}
        return rows.groups(await self._exchange.get(_PATH + "statistics", params, purse), tally)

    async def freeze_buckets(
        self, app_id: str, call: str, span: Span, metric: Freeze, purse: Purse, tally: Tally
    ) -> tuple[Count, ...]:
        """How many users of a call had how much of it, from the lowest bucket."""
        params = _span(app_id, span) | {"call_id": call, "metric": metric}
        return rows.buckets(await self._exchange.get(_PATH + "freeze/bucket", params, purse), tally)

    async def by_minute(
        self, app_id: str, call: str, span: Span, metric: PerMinute, purse: Purse, tally: Tally
    ) -> Column:
        """A call minute by minute."""
        params = _span(app_id, span) | {"call_id": call, "metric": metric}
        data = await self._exchange.get(_PATH + "statistics/time", params, purse)
        return rows.minutes(data, span, tally, ratio=metric.endswith("_rate"))


def _span(app_id: str, span: Span) -> dict[str, str]:
    return {"start_ts": str(span.start), "end_ts": str(span.end), "appid": app_id}


def _page(page: int) -> dict[str, str]:
    return {"page_no": str(page), "page_size": str(MAX_ROWS)}
