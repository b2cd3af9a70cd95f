"""What a request to Data Insights asks, or the refusal it earns (dossier, section 5).

The two aggregations are POST: `appid` in the query, everything else in a JSON body. A body that is no JSON object says
nothing, as an unreadable query does (INFERRED).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from watcher.clock import DAY, HOUR
from watcher.emulator.agora.ask import Ask, Endpoint, Refusal, invalid, missing, no_times
from watcher.emulator.agora.realtime_ask import quoted
from watcher.emulator.traffic import GROUPS
from watcher.emulator.world import INSIGHT_METRICS, PRODUCTS, QUALITY_METRICS, Answers

GRANULARITIES = {"1h": HOUR, "1d": DAY}
_LONG = {"network": "net", "sdkVersion": "sdk"}  # the spellings of this family beside those of realtime
_SHORT = {short: long for long, short in _LONG.items()}

INSIGHT = (
    Endpoint("insight_usage", "/beta/insight/usage/by_time", "insight_usage", INSIGHT_METRICS),
    Endpoint("insight_quality", "/beta/insight/quality/by_time", "insight_quality", QUALITY_METRICS),
    Endpoint(
        "insight_usage_aggregation", "/beta/insight/usage/aggregation", "insight_usage_aggregation", INSIGHT_METRICS,
        method="POST",
    ),
    Endpoint(
        "insight_quality_aggregation", "/beta/insight/quality/aggregation", "insight_quality_aggregation",
        QUALITY_METRICS, method="POST",
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class InsightAsk(Ask):
    """A readable request. Empty `product`: both, and so for usage. `spelling`: the dimension as it was written.

    `seconds` per row, of by_time; `country`: the one that rows are limited to.
    """

    metric: str
    product: str = ""
    seconds: int = 0
    dimension: str = ""
    spelling: str = ""
    values: tuple[str, ...] | None = None
    country: str = ""


def parameters(query: Mapping[str, str], content: bytes) -> dict[str, str]:
    """A POST's parameters as texts: `appid` of the query, the others of the body. What is no text stays JSON."""
    given = {"appid": query["appid"]} if "appid" in query else {}
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):  # no JSON, no UTF-8, or brackets without end
        return given
    if not isinstance(body, dict):
        return given
    texts = {k: v if isinstance(v, str) else json.dumps(v) for k, v in body.items() if v is not None and k != "appid"}
    return {**texts, **given}


def ask(endpoint: Endpoint, given: Mapping[str, str], answers: Answers) -> InsightAsk | Refusal:
    """What the request wants, or why it cannot be answered."""
    by_time = endpoint.method == "GET"
    quality = endpoint.metrics is QUALITY_METRICS
    product_needed = quality and (by_time or answers.product_type == "required")
    required = (
        "startTs", "endTs", "appid", "metric", *(("aggregateGranularity",) if by_time else ()),
        *(("productType",) if product_needed else ()),
    )  # fmt: skip
    refusal = missing(given, required) or no_times(given, ("startTs", "endTs"))
    if refusal is not None:
        return refusal
    metric = given["metric"]
    if metric not in endpoint.metrics or not _spelt(metric, answers):  # a comma list too: one metric a request
        return invalid("metric")
    if by_time and given["aggregateGranularity"] not in GRANULARITIES:
        return invalid("aggregateGranularity")
    product = given.get("productType", "") if quality else ""
    if product and product not in PRODUCTS:
        return invalid("productType")
    cut = ("", "", None, "") if by_time else _cut(metric, given, answers)
    if isinstance(cut, Refusal):
        return cut
    dimension, spelling, values, country = cut
    return InsightAsk(
        endpoint=endpoint,
        app_id=given["appid"],
        start=int(given["startTs"]),
        end=int(given["endTs"]),
        metric=metric,
        product=product,
        seconds=GRANULARITIES[given["aggregateGranularity"]] if by_time else 0,
        dimension=dimension,
        spelling=spelling,
        values=values,
        country=country,
    )


def _spelt(metric: str, answers: Answers) -> bool:
    """Whether the peak metrics' spelling is one that this server knows."""
    unknown = {"concurrent": "peakCurrent", "current": "peakConcurrent"}.get(answers.peaks)
    return unknown is None or not metric.startswith(unknown)


def _cut(
    metric: str, given: Mapping[str, str], answers: Answers
) -> tuple[str, str, tuple[str, ...] | None, str] | Refusal:
    """Dimension, its spelling, its values, and the country of the filter. The peaks allow no dimension."""
    spelling = given.get("dimension", "")
    dimension = _LONG.get(spelling, spelling)
    refused = {"long": _SHORT, "short": _LONG}.get(answers.dimensions, {})
    if spelling and (dimension not in GROUPS or spelling in refused or metric.startswith("peak")):
        return invalid("dimension")
    values = _values(given["dimensionValues"]) if given.get("dimensionValues") else None
    if values is None and given.get("dimensionValues"):
        return invalid("dimensionValues")
    country = _country(given["filters"]) if given.get("filters") else ""
    if country is None or (country and dimension != "region"):
        return invalid("filters")
    return dimension, spelling, values, country


def _values(text: str) -> tuple[str, ...] | None:
    """The array of the examples, or the quoted text of the table; None where it is neither."""
    if not text.startswith("["):
        return quoted(text)
    found = json.loads(text)  # was written by `parameters`, or by a client as text
    return tuple(dict.fromkeys(found)) if all(isinstance(value, str) for value in found) else None


def _country(text: str) -> str | None:
    """The country of `[{"name":"country","value":"China"}]`, empty for no filter; None where it is anything else."""
    try:
        match json.loads(text):
            case []:
                return ""
            case [{"name": "country", "value": str(country), **rest}] if not rest:
                return country
    except (ValueError, RecursionError):
        pass
    return None
