"""The four calls of Data Insights: parameters and answers (dossier section 5). All raise `ProviderError`.

`endTs` is *inclusive* here, unlike in the real-time API: a span [start, end) is asked for as start to end less a
second. The spelling of the peak metrics and of two dimensions differs between the vendor's own pages: the first is
tried, the other one on code 400 if the purse grants it, and what worked is kept.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Literal

import numpy as np

from watcher.errors import ProviderError, Reason, clip
from watcher.groups import GroupTotal
from watcher.model import Purse, Span
from watcher.providers.agora.exchange import Exchange
from watcher.providers.agora.insights.settings import METRICS, InsightMetric
from watcher.providers.agora.values import Column, Oddity, Tally, instant, measured, number, objects, rows_of

MAX_GROUPS = 50  # of one dimension (section 5.2)

Granularity = Literal["1d", "1h"]
Dimension = Literal["country", "region", "net", "sdk", "os", "device", "channelSize"]
_LONG: Mapping[str, str] = {"net": "network", "sdk": "sdkVersion"}
"""How aggregation calls two of the dimensions, too (section 5.2): on quality's page first, on usage's last."""


class InsightClient:
    """Data Insights of one account."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._names: dict[str, str] = {}  # metric or dimension -> the spelling that the vendor took

    async def by_time(
        self, app_id: str, signal: str, product: str, span: Span, granularity: Granularity, purse: Purse, tally: Tally
    ) -> Column:
        """A signal by day or hour of [start, end), where the vendor says that each begins; `product` for quality."""
        metric = METRICS[signal]
        params = {
            "startTs": str(span.start),
            "endTs": str(span.end - 1),
            "appid": app_id,
            "aggregateGranularity": granularity,
        } | ({"productType": product} if metric.quality else {})
        path = f"/beta/insight/{'quality' if metric.quality else 'usage'}/by_time"

        async def ask(name: str) -> object:
            return await self._exchange.get(path, params | {"metric": name}, purse)

        data = await self._spelt(signal, metric.names, ask, purse, tally)
        return _column(data, metric, tally)

    async def by_group(
        self,
        app_id: str,
        signal: str,
        product: str,
        span: Span,
        purse: Purse,
        tally: Tally,
        *,
        dimension: Dimension | None = None,
        names: Sequence[str] = (),
        country: str = "",
    ) -> tuple[GroupTotal, ...]:
        """A signal over [start, end) by group, the largest first; as a whole, with no name, without a dimension.

        `country` narrows a breakdown by region. The peaks of usage know no dimension.
        """
        metric = METRICS[signal]
        if (dimension is None and (names or country)) or (country and dimension != "region") or len(names) > MAX_GROUPS:
            raise ValueError(f"names, at most {MAX_GROUPS}, need a dimension, and a country the dimension region")
        if dimension is not None and (metric.other or (dimension == "channelSize" and not metric.quality)):
            raise ValueError(f"{signal} has no dimension {dimension}")
        long, short = _LONG.get(dimension or "", ""), dimension or ""
        keys = tuple(key for key in ((long, short) if metric.quality else (short, long)) if key)
        body: dict[str, object] = {"startTs": span.start, "endTs": span.end - 1}
        body |= {"productType": product} if metric.quality else {}
        body |= {"dimensionValues": list(names)} if names else {}
        body |= {"filters": [{"name": "country", "value": country}]} if country else {}
        path = f"/beta/insight/{'quality' if metric.quality else 'usage'}/aggregation"

        async def ask(word: str) -> object:
            spelt = {"metric": metric.name, "dimension": word} if keys else {"metric": word}
            return await self._exchange.post(path, {"appid": app_id}, body | spelt, purse)

        of = f"{path} {dimension}" if keys else signal
        data = await self._spelt(of, keys or metric.names, ask, purse, tally)
        return _groups(data, metric, signal, keys, tally)

    async def _spelt(
        self,
        of: str,
        spellings: Sequence[str],
        ask: Callable[[str], Awaitable[object]],
        purse: Purse,
        tally: Tally,
    ) -> object:
        """What is answered to the spelling that worked last, or to the first; on code 400 to the other one."""
        name = self._names.get(of, spellings[0])
        try:
            return await ask(name)
        except ProviderError as error:
            other = next((spelling for spelling in spellings if spelling != name), "")
            if error.reason is not Reason.REQUEST or not other or not await purse.spend():
                raise
        data = await ask(other)
        tally[Oddity.OTHER_NAME] += 1
        self._names[of] = other
        return data


def _column(data: object, metric: InsightMetric, tally: Tally) -> Column:
    found: dict[int, float] = {}
    for row in objects(rows_of(data), tally):
        at = instant(row.get("ts"), tally)
        value = _value(row, metric, tally)
        if at is None or value is None:
            continue
        if at in found:
            tally[Oddity.DUPLICATE] += 1
        found[at] = value * metric.scale
    starts = sorted(found)
    return Column(np.array(starts, np.int64), np.array([found[at] for at in starts], np.float64))


def _groups(
    data: object, metric: InsightMetric, signal: str, keys: Sequence[str], tally: Tally
) -> tuple[GroupTotal, ...]:
    minutes = 1.0 if "join" in signal else 60.0  # what a rate is a share of: joins, else minutes of media
    found: list[GroupTotal] = []
    for row in objects(rows_of(data), tally):
        name = next((row[key] for key in keys if key in row), None if keys else "")
        value = _value(row, metric, tally)
        if not isinstance(name, str):
            tally[Oddity.NOT_A_ROW] += 1
        elif value is not None and len(found) >= MAX_GROUPS:
            tally[Oddity.TOO_MANY] += 1
        elif value is not None:
            behind = number(row.get("refUsage"), tally) if metric.quality else None
            found.append(
                GroupTotal(
                    name=clip(name, 100),
                    value=value * metric.scale,
                    behind=None if behind is None or behind < 0 else behind * minutes,
                )
            )
    return tuple(sorted(found, key=lambda g: (-(g.behind if g.behind is not None else g.value), g.name)))


def _value(row: Mapping[str, object], metric: InsightMetric, tally: Tally) -> float | None:
    raw = next((row[name] for name in metric.names if name in row), None)
    return measured(raw, tally, most=1.0 if metric.quality else math.inf)
