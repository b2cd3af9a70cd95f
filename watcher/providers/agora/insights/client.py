"""The four calls of Data Insights: parameters and answers (dossier section 5). All raise `ProviderError`.

`endTs` is *inclusive* here, unlike in the real-time API: a span [start, end) is asked for as start to end less a
second. The spelling of the peak metrics differs between the vendor's own pages: the first is tried, the other one on
code 400 if the purse grants it, and what worked is kept.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from watcher.errors import ProviderError, Reason, clip
from watcher.model import Purse, Span
from watcher.providers.agora.exchange import Exchange
from watcher.providers.agora.insights.settings import METRICS, InsightMetric
from watcher.providers.agora.values import Column, Oddity, Tally, instant, measured, number, objects, rows_of

MAX_GROUPS = 50  # of one dimension (section 5.2)

Granularity = Literal["1d", "1h"]
Dimension = Literal["country", "region", "net", "sdk", "os", "device", "channelSize"]
_QUALITY_NAMES: Mapping[str, str] = {"net": "network", "sdk": "sdkVersion"}
"""How quality's aggregation calls two of the dimensions (section 5.2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupTotal:
    """One group over a span; `name` empty for all of it. `behind` is the divisor of a rate: joins, or seconds."""

    name: str
    value: float
    behind: float | None


class InsightClient:
    """Data Insights of one account."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._names: dict[str, str] = {}  # signal -> the spelling that the vendor took

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
        name = self._names.get(signal, metric.name)
        try:
            data = await self._exchange.get(path, params | {"metric": name}, purse)
        except ProviderError as error:
            other = metric.other if name == metric.name else metric.name
            if error.reason is not Reason.REQUEST or not metric.other or not await purse.spend():
                raise
            data = await self._exchange.get(path, params | {"metric": other}, purse)
            tally[Oddity.OTHER_NAME] += 1
            name = self._names[signal] = other
        return _column(data, (name, metric.name, metric.other), metric, span, tally)

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
        """A signal over [start, end) by group, the largest first; as a whole without a dimension.

        `country` narrows a breakdown by region. The peaks of usage know no dimension.
        """
        metric = METRICS[signal]
        if (dimension is None and (names or country)) or (country and dimension != "region") or len(names) > MAX_GROUPS:
            raise ValueError(f"names, at most {MAX_GROUPS}, need a dimension, and a country the dimension region")
        if dimension is not None and (metric.other or (dimension == "channelSize" and not metric.quality)):
            raise ValueError(f"{signal} has no dimension {dimension}")
        key = _QUALITY_NAMES.get(dimension or "", dimension or "") if metric.quality else dimension or ""
        body: dict[str, object] = {"startTs": span.start, "endTs": span.end - 1, "metric": metric.name}
        body |= {"productType": product} if metric.quality else {}
        body |= {"dimension": key} if key else {}
        body |= {"dimensionValues": list(names)} if names else {}
        body |= {"filters": [{"name": "country", "value": country}]} if country else {}
        path = f"/beta/insight/{'quality' if metric.quality else 'usage'}/aggregation"
        data = await self._exchange.post(path, {"appid": app_id}, body, purse)
        return _groups(data, metric, signal, {key, dimension or ""}, tally)


def _column(data: object, names: Sequence[str], metric: InsightMetric, span: Span, tally: Tally) -> Column:
    found: dict[int, float] = {}
    for row in objects(rows_of(data), tally):
        at = instant(row.get("ts"), tally)
        raw = next((row[name] for name in names if name and name in row), None)
        value = measured(raw, tally, most=1.0 if metric.quality else math.inf)
        if at is None or value is None:
            continue
        if at in found:
            tally[Oddity.DUPLICATE] += 1
        found[at] = value * metric.scale
    starts = sorted(found)
    return Column(np.array(starts, np.int64), np.array([found[at] for at in starts], np.float64))


def _groups(data: object, metric: InsightMetric, signal: str, keys: set[str], tally: Tally) -> tuple[GroupTotal, ...]:
    minutes = 1.0 if "join" in signal else 60.0  # what a rate is a share of: joins, else minutes of media
    found: list[GroupTotal] = []
    for row in objects(rows_of(data), tally):
        name = next((row[key] for key in keys if key in row), "" if keys == {""} else None)
        value = measured(row.get(metric.name), tally, most=1.0 if metric.quality else math.inf)
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
