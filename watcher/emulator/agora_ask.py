"""What a real-time request asks: the query string as a value, or the refusal it earns.

The order is the dossier's (section 11.2): a missing parameter first, in the documented order of the endpoint's table;
then values that cannot be read. Missing and empty are the same to the vendor ("can not be null"). The vendor's words
for an unreadable value are not known; the emulator says "is invalid" with code 400 (INFERRED). Timestamps in
milliseconds earn code 500, as in a real ticket (section 2).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple
from urllib.parse import parse_qsl

from watcher.emulator.traffic import GROUPS, SLOT
from watcher.emulator.world import PRODUCTS, QUALITY_METRICS

MAX_UIDS = 10
_MAX_PARAMETERS = 64
_MILLISECONDS = 100_000_000_000  # no time in seconds before the year 5138 looks like this
_NUMBER = re.compile(r"[0-9]{1,19}\Z")
_QUOTED = re.compile(r'"([^"]*)"(,(?=")|\Z)')


class Endpoint(NamedTuple):
    """One of the four real-time calls."""

    name: str
    path: str
    metrics: tuple[str, ...]
    top: bool


REALTIME = (
    Endpoint("usage", "/beta/realtime/usage/by_time_20sec", ("userCount", "channelCount"), top=False),
    Endpoint("quality", "/beta/realtime/quality/by_time_20sec", QUALITY_METRICS, top=False),
    Endpoint("usage_top20", "/beta/realtime/usage/dimension/top20", ("userCount",), top=True),
    Endpoint("quality_top20", "/beta/realtime/quality/dimension/top20", QUALITY_METRICS, top=True),
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A business error in a body: the HTTP status is 200 (INFERRED for 400 and 500)."""

    code: Literal[300, 400, 500]
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A readable request. `start` and `end` are as given, in Unix seconds; what was ignored is already gone."""

    endpoint: Endpoint
    start: int
    end: int
    app_id: str
    product: str
    metric: str
    channel: str = ""
    uids: tuple[int, ...] = ()
    dimension: str = ""
    values: tuple[str, ...] | None = None  # None: not told which
    extra_users: bool = False


def parameters(query: bytes) -> Mapping[str, str]:
    """The query string as names and values, the first of each; empty where it cannot be read at all."""
    try:
        pairs = parse_qsl(
            query.decode("ascii"), keep_blank_values=True, max_num_fields=_MAX_PARAMETERS, errors="strict"
        )
    except ValueError:  # too many fields, or bytes that are no text
        return {}
    return dict(reversed(pairs))


def ask(endpoint: Endpoint, given: Mapping[str, str]) -> Ask | Refusal:
    """What the request wants, or why it cannot be answered."""
    times = ("ts",) if endpoint.top else ("startTs", "endTs")
    required = (*times, "appid", "productType", "metric", *(("dimension",) if endpoint.top else ()))
    for name in required:
        if not given.get(name):
            return Refusal(400, f"Bad request, parameter : {name} can not be null")
    for name in times:
        if not _NUMBER.match(given[name]):
            return _invalid(name)
        if int(given[name]) >= _MILLISECONDS:
            return Refusal(500, "Unknown Error")
    product, metric = given["productType"], given["metric"]
    if product not in PRODUCTS:
        return _invalid("productType")
    if metric not in endpoint.metrics:  # a comma list too: one metric a request
        return _invalid("metric")
    start = int(given[times[0]])
    plain = Ask(
        endpoint=endpoint,
        start=start,
        end=start + SLOT if endpoint.top else int(given["endTs"]),
        app_id=given["appid"],
        product=product,
        metric=metric,
    )
    return _top(plain, given) if endpoint.top else _by_time(plain, given)


def _top(plain: Ask, given: Mapping[str, str]) -> Ask | Refusal:
    if given["dimension"] not in GROUPS:
        return _invalid("dimension")
    extra = given.get("extraMetrics", "") if plain.endpoint.name == "quality_top20" else ""
    if extra not in ("", "userCount"):
        return _invalid("extraMetrics")
    return replace(plain, dimension=given["dimension"], extra_users=bool(extra))


def _by_time(plain: Ask, given: Mapping[str, str]) -> Ask | Refusal:
    channel = given.get("cname", "")
    uids: tuple[int, ...] = ()
    if channel and plain.endpoint.name == "quality" and given.get("uids"):  # ignored without a channel
        texts = given["uids"].split(",")
        if len(texts) > MAX_UIDS or not all(_NUMBER.match(text) for text in texts):
            return _invalid("uids")
        uids = tuple(dict.fromkeys(int(text) for text in texts))
    dimension = given.get("dimension", "")
    if plain.metric == "channelCount" or uids:  # documented for the first, INFERRED for the second: uids go first
        dimension = ""
    if dimension and dimension not in GROUPS:
        return _invalid("dimension")
    values: tuple[str, ...] | None = None
    if dimension and given.get("dimensionValues"):
        values = _quoted(given["dimensionValues"])
        if values is None:
            return _invalid("dimensionValues")
    return replace(plain, channel=channel, uids=uids, dimension=dimension, values=values)


def _quoted(text: str) -> tuple[str, ...] | None:
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


def _invalid(name: str) -> Refusal:
    return Refusal(400, f"Bad request, parameter : {name} is invalid")
