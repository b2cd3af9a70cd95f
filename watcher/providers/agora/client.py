"""The four real-time calls: parameters and answers (dossier section 3).

The daemon's looks use `series`, and `splits` asks `top` who is behind a value. How a request travels is `exchange`'s
part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from watcher.model import SIGNALS, Purse, Span, Worse
from watcher.providers.agora import payload
from watcher.providers.agora.exchange import Exchange
from watcher.providers.agora.metrics import METRICS, Metric
from watcher.providers.agora.payload import Group
from watcher.providers.agora.settings import Product
from watcher.providers.agora.slots import SLOT
from watcher.providers.agora.values import Column, Tally

MAX_UIDS = 10  # section 3.2

Dimension = Literal["country", "region", "net", "sdk", "os", "device"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What a request is about: a project's product, or one channel of it."""

    app_id: str
    product: Product
    channel: str = ""

    def params(self) -> dict[str, str]:
        own = {"appid": self.app_id, "productType": self.product}
        return own | ({"cname": self.channel} if self.channel else {})


class RealtimeClient:
    """The real-time calls of one account."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    async def series(self, place: Place, signal: str, asked: Span, purse: Purse) -> tuple[Column, Tally]:
        """One signal by slot. Raises `ProviderError`, as all calls here."""
        metric = METRICS[signal]
        data = await self._by_time(place, metric, asked, {}, purse)
        tally = Tally()
        return payload.flat(data, metric, asked, tally), tally

    async def by_uid(
        self, place: Place, signal: str, asked: Span, uids: Sequence[int], purse: Purse
    ) -> tuple[Mapping[int, Column], Tally]:
        """A quality signal of up to ten users of one channel, by user and slot."""
        metric = METRICS[signal]
        if metric.endpoint != "quality" or not place.channel or not 0 < len(uids) <= MAX_UIDS:
            raise ValueError(f"uids need a quality signal, a channel, and 1 to {MAX_UIDS} of them")
        data = await self._by_time(place, metric, asked, {"uids": ",".join(map(str, uids))}, purse)
        tally = Tally()
        return payload.by_uid(data, metric, asked, frozenset(uids), tally), tally

    async def by_group(
        self, place: Place, signal: str, asked: Span, dimension: Dimension, names: Sequence[str], purse: Purse
    ) -> tuple[Mapping[str, Column], Tally]:
        """One signal of the named groups of a dimension, by group and slot. `channels` has no dimensions."""
        metric = METRICS[signal]
        if signal == "channels" or not 0 < len(names) <= payload.MAX_GROUPS or any('"' in name for name in names):
            raise ValueError(f"groups need 1 to {payload.MAX_GROUPS} names without quotes, and not the signal channels")
        quoted = ",".join(f'"{name}"' for name in names)
        data = await self._by_time(place, metric, asked, {"dimension": dimension, "dimensionValues": quoted}, purse)
        tally = Tally()
        return payload.by_group(data, metric, dimension, asked, frozenset(names), tally), tally

    async def top(
        self, place: Place, signal: str, slot: int, dimension: Dimension, purse: Purse
    ) -> tuple[tuple[Group, ...], Tally]:
        """The up to 20 groups (50 of `device`) of one slot, worst first. For a project, not for a channel."""
        metric = METRICS[signal]
        if signal == "channels" or place.channel or slot % SLOT:
            raise ValueError("top groups need a signal other than channels, a whole project, and a slot's start")
        params = place.params() | {"ts": str(slot), "metric": metric.name, "dimension": dimension}
        if metric.endpoint == "quality":
            params["extraMetrics"] = METRICS["users"].name  # without it nobody can tell what the share is a share of
        data = await self._exchange.get(f"/beta/realtime/{metric.endpoint}/dimension/top20", params, purse)
        tally = Tally()
        return payload.top(data, metric, dimension, SIGNALS[signal].worse is Worse.DOWN, tally), tally

    async def _by_time(
        self, place: Place, metric: Metric, asked: Span, more: Mapping[str, str], purse: Purse
    ) -> object:
        params = {"startTs": str(asked.start), "endTs": str(asked.end), "metric": metric.name}
        path = f"/beta/realtime/{metric.endpoint}/by_time_20sec"
        return await self._exchange.get(path, params | place.params() | dict(more), purse)
