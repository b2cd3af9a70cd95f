"""What a real-time request asks: the query string as a value, or the refusal it earns (dossier, section 3)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from watcher.emulator.agora.ask import Ask, Endpoint, Refusal, invalid, missing, no_times, numbers
from watcher.emulator.traffic import GROUPS, SLOT
from watcher.emulator.world import PRODUCTS, QUALITY_METRICS

MAX_UIDS = 10
_QUOTED = re.compile(r'"([^"]*)"(,(?=")|\Z)')

REALTIME = (
    Endpoint("usage", "/beta/realtime/usage/by_time_20sec", "realtime", ("userCount", "channelCount")),
    Endpoint("quality", "/beta/realtime/quality/by_time_20sec", "realtime", QUALITY_METRICS),
    Endpoint("usage_top20", "/beta/realtime/usage/dimension/top20", "realtime", ("userCount",), top=True),
    Endpoint("quality_top20", "/beta/realtime/quality/dimension/top20", "realtime", QUALITY_METRICS, top=True),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RealtimeAsk(Ask):
    """A readable request; what was ignored is already gone."""

    product: str
    metric: str
    channel: str = ""
    uids: tuple[int, ...] = ()
    dimension: str = ""
    values: tuple[str, ...] | None = None  # None: not told which
    extra_users: bool = False


def ask(endpoint: Endpoint, given: Mapping[str, str]) -> RealtimeAsk | Refusal:
    """What the request wants, or why it cannot be answered."""
    times = ("ts",) if endpoint.top else ("startTs", "endTs")
    required = (*times, "appid", "productType", "metric", *(("dimension",) if endpoint.top else ()))
    refusal = missing(given, required) or no_times(given, times)
    if refusal is not None:
        return refusal
    product, metric = given["productType"], given["metric"]
    if product not in PRODUCTS:
        return invalid("productType")
    if metric not in endpoint.metrics:  # a comma list too: one metric a request
        return invalid("metric")
    start = int(given[times[0]])
    plain = RealtimeAsk(
        endpoint=endpoint,
        start=start,
        end=start + SLOT if endpoint.top else int(given["endTs"]),
        app_id=given["appid"],
        product=product,
        metric=metric,
    )
    return _top(plain, given) if endpoint.top else _by_time(plain, given)


def _top(plain: RealtimeAsk, given: Mapping[str, str]) -> RealtimeAsk | Refusal:
    if given["dimension"] not in GROUPS:
        return invalid("dimension")
    extra = given.get("extraMetrics", "") if plain.endpoint.name == "quality_top20" else ""
    if extra not in ("", "userCount"):
        return invalid("extraMetrics")
    return replace(plain, dimension=given["dimension"], extra_users=bool(extra))


def _by_time(plain: RealtimeAsk, given: Mapping[str, str]) -> RealtimeAsk | Refusal:
    channel = given.get("cname", "")
    uids: tuple[int, ...] = ()
    if channel and plain.endpoint.name == "quality" and given.get("uids"):  # ignored without a channel
        known = numbers(given["uids"], MAX_UIDS)
        if known is None:
            return invalid("uids")
        uids = known
    dimension = given.get("dimension", "")
    if plain.metric == "channelCount" or uids:  # documented for the first, INFERRED for the second: uids go first
        dimension = ""
    if dimension and dimension not in GROUPS:
        return invalid("dimension")
    values: tuple[str, ...] | None = None
    if dimension and given.get("dimensionValues"):
        values = quoted(given["dimensionValues"])
        if values is None:
            return invalid("dimensionValues")
    return replace(plain, channel=channel, uids=uids, dimension=dimension, values=values)


def quoted(text: str) -> tuple[str, ...] | None:
    """`"3.6.1.1","4.1.1"` as its values; None where something stands outside the quotes."""
    values: list[str] = []
    end = 0
    while end < len(text):
        match = _QUOTED.match(text, end)
        if match is None:
            return None
        values.append(match.group(1))
        end = match.end()
    return tuple(dict.fromkeys(values))
