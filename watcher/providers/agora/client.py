"""One request to Agora's real-time API: authentication, parameters, the second domain (dossier sections 2, 3).

Every request is a spend. The first of a look is recorded before the look begins; a second one goes out only if the
purse grants it, and a spend is handed back only where the edge proves that nothing left (design, invariant 1). What
the second domain is worth is decided in `domains`; cancellation at any point leaves spent what may have been sent.

All four real-time calls are here. The daemon's looks use `series`; the others answer "who is it" about one alert.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import httpx

from watcher.errors import ProviderError
from watcher.log import get
from watcher.model import SIGNALS, Purse, Span, Worse
from watcher.providers import http
from watcher.providers.agora import payload
from watcher.providers.agora.domains import Domains
from watcher.providers.agora.payload import Column, Group, Tally
from watcher.providers.agora.queries import METRICS, Metric
from watcher.providers.agora.settings import Product
from watcher.providers.agora.slots import SLOT
from watcher.providers.vendortime import VendorTime
from watcher.secret import Secret

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
    """The real-time calls of one account. `aclose` it."""

    def __init__(
        self,
        *,
        account: str,
        customer_id: Secret,
        customer_secret: Secret,
        domains: Domains,
        vendor_time: VendorTime,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._log = get("agora").bind(account=account)
        self._id = customer_id
        self._secret = customer_secret
        self._domains = domains
        self._vendor_time = vendor_time
        self._http = http.open_client(transport=transport)

    async def aclose(self) -> None:
        await self._http.aclose()

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
        data = await self._exchange(f"/beta/realtime/{metric.endpoint}/dimension/top20", params, purse)
        tally = Tally()
        return payload.top(data, metric, dimension, SIGNALS[signal].worse is Worse.DOWN, tally), tally

    async def _by_time(
        self, place: Place, metric: Metric, asked: Span, more: Mapping[str, str], purse: Purse
    ) -> object:
        params = {"startTs": str(asked.start), "endTs": str(asked.end), "metric": metric.name}
        path = f"/beta/realtime/{metric.endpoint}/by_time_20sec"
        return await self._exchange(path, params | place.params() | dict(more), purse)

    async def _exchange(self, path: str, params: Mapping[str, str], purse: Purse) -> object:
        """The `data` of one call, on a second domain where the first cannot be reached and the purse grants it."""
        try:
            return await self._request(path, params, purse)
        except ProviderError as error:
            if not error.elsewhere or not self._domains.failed(error):
                raise
            self._log.warning("domain_switched", reason=error.reason, detail=error.detail)
            if not await purse.spend():
                raise
        try:
            return await self._request(path, params, purse)
        except ProviderError as error:
            if error.elsewhere:
                self._domains.failed(error)
            raise

    async def _request(self, path: str, params: Mapping[str, str], purse: Purse) -> object:
        """One spend: ask the current domain, and tell purse and clock what came of it."""
        request = self._http.build_request(
            "GET", self._domains.current + path, params=dict(params), headers={"authorization": self._authorization()}
        )
        try:
            reply = await http.fetch(self._http, request)
        except ProviderError as error:
            if error.vendor_time is not None:
                await self._heard(error.vendor_time, purse)
            if not error.sent:
                await purse.refund()
            raise
        await self._heard(reply.date, purse)
        if reply.status < 500:
            self._domains.worked()
        return payload.contents(reply, self._scrub)

    async def _heard(self, date: float | None, purse: Purse) -> None:
        self._vendor_time.heard(date)
        await purse.answered(date)

    def _authorization(self) -> str:
        pair = f"{self._id.reveal()}:{self._secret.reveal()}"
        return "Basic " + base64.b64encode(pair.encode()).decode()

    def _scrub(self, text: str) -> str:
        """Vendor text without what we sent in secret: a gateway may echo a request."""
        for secret in (self._authorization().removeprefix("Basic "), self._secret.reveal(), self._id.reveal()):
            text = text.replace(secret, "***")
        return text
