"""Whole days by groups of users, for whoever asks where it has been worse (port `groups.GroupReader`; dossier 5.2).

One request for the groups, and one more without a dimension for the whole, where the purse gives it. The vendor groups
both families: quality by product, usage over all of them. What is asked for is what the rules know as `daily_…`
signals; a live signal means the same one of days, where there is one. How long one answer may span is not stated for
this endpoint: as long as is kept is asked for (INFERRED).
"""

from __future__ import annotations

import math

from watcher.clock import DAY
from watcher.errors import ProviderError, Refused, clip
from watcher.groups import Grouping, GroupView, GroupWish
from watcher.model import Purse, Span
from watcher.providers.agora.insights.client import Dimension, InsightClient
from watcher.providers.agora.insights.settings import METRICS, PAST, InsightLimits
from watcher.providers.agora.values import Tally
from watcher.providers.vendortime import VendorTime

_WORDS: dict[str, Dimension] = {
    "country": "country",
    "region": "region",
    "network": "net",
    "sdk": "sdk",
    "os": "os",
    "device": "device",
    "channel_size": "channelSize",
}


class Totals:
    """One account's."""

    def __init__(self, *, limits: InsightLimits, client: InsightClient, vendor_time: VendorTime, pool: str) -> None:
        self._limits = limits
        self._client = client
        self._vendor_time = vendor_time
        self._pool = pool

    def grouping(self, products: tuple[str, ...], signal: str) -> Grouping:
        """What can be asked of a project with these products. Raises `Refused`."""
        name = PAST.get(signal, signal)
        metric = METRICS.get(name)
        if metric is None or metric.other:  # peaks know no groups
            known = ", ".join(name for name, one in METRICS.items() if not one.other)
            raise Refused(422, f"Agora has no days by groups of {clip(signal, 60)}: it has {known}")
        now = self._vendor_time.earliest()
        delay = self._limits.quality_delay if metric.quality else self._limits.delay
        heard = tuple(p for p in products if not (name == "daily_audio_freeze_ratio" and p == "WebRTC"))
        return Grouping(
            by=tuple(word for word in _WORDS if metric.quality or word != "channel_size"),
            products=heard if metric.quality else (),
            start=math.ceil((now - self._limits.back + 1) / DAY) * DAY,
            end=math.floor((now - delay - 1) / DAY) * DAY,
            pools=(self._pool,),
        )

    async def read(self, app_id: str, wish: GroupWish, purse: Purse) -> GroupView:
        """Raises `ProviderError` where the groups cannot be had; without the whole they are an answer too."""
        name = PAST.get(wish.signal, wish.signal)
        span, tally = Span(wish.start, wish.end), Tally()
        groups = await self._client.by_group(
            app_id, name, wish.product, span, purse, tally, dimension=_WORDS[wish.by], country=wish.country
        )
        whole: float | None = None
        notes = ["days are computed anew for two days after them, so the newest may still change"]
        try:
            if await purse.spend():
                found = await self._client.by_group(app_id, name, wish.product, span, purse, tally)
                whole = found[0].value if found else None
            else:
                notes.append("the whole was not asked for: no request was left for it")
        except ProviderError as error:
            notes.append(f"the whole is not known: {error}")
        return GroupView(
            signal=name,
            product=wish.product,
            by=wish.by,
            start=wish.start,
            end=wish.end,
            groups=groups,
            whole=whole,
            counts=("joins" if "join" in name else "seconds") if METRICS[name].quality else "",
            notes=tuple(notes),
        )
