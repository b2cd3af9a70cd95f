"""What a request to Call Inspector asks, or the refusal it earns (dossier, section 8)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from watcher.emulator.agora.ask import Ask, Endpoint, Refusal, invalid, is_number, missing, no_times, numbers
from watcher.emulator.traffic import GROUPS
from watcher.emulator.world import CALL_METRICS

MAX_UIDS = 10
MAX_SIDS = 20
MAX_PAGE = 100
_PAGE = 20
_RATES = ("audio_freeze_rate", "video_freeze_rate")

INSPECTOR = (
    Endpoint("call_lists", "/beta/analytics/call/lists", "call_lists"),
    Endpoint("call_sessions", "/beta/analytics/call/sessions", "call_details"),
    Endpoint("call_metrics", "/beta/analytics/call/metrics", "call_details"),
    Endpoint("call_statistics", "/beta/analytics/call/statistics", "call_details", _RATES),
    Endpoint("call_freeze_bucket", "/beta/analytics/call/freeze/bucket", "call_details", _RATES),
    Endpoint("call_statistics_time", "/beta/analytics/call/statistics/time", "call_details", CALL_METRICS),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectorAsk(Ask):
    """A readable request; what its endpoint does not know is left at its default."""

    call_id: str = ""
    channel: str = ""
    page: int = 1
    size: int = _PAGE
    uids: tuple[int, ...] = ()
    sids: tuple[str, ...] = ()
    without_servers: bool = True
    metric: str = ""
    dimension: str = ""


def ask(endpoint: Endpoint, given: Mapping[str, str]) -> InspectorAsk | Refusal:
    """What the request wants, or why it cannot be answered."""
    kind = endpoint.name.removeprefix("call_")
    times = ("start_ts", "end_ts")
    refusal = missing(given, (*times, "appid", *_ALSO[kind])) or no_times(given, times)
    if refusal is not None:
        return refusal
    plain = InspectorAsk(
        endpoint=endpoint,
        app_id=given["appid"],
        start=int(given["start_ts"]),
        end=int(given["end_ts"]),
        call_id=given.get("call_id", ""),
    )
    match kind:
        case "lists":
            return _paged(replace(plain, channel=given.get("cname", "")), given, both=False)
        case "sessions":
            return _sessions(plain, given)
        case "metrics":
            sids = tuple(dict.fromkeys(given["sids"].split(",")))
            return replace(plain, sids=sids) if len(sids) <= MAX_SIDS else invalid("sids")
        case _:
            return _statistics(plain, given)


_ALSO: Mapping[str, tuple[str, ...]] = {
    "lists": (),
    "sessions": ("call_id",),
    "metrics": ("call_id", "sids"),
    "statistics": ("call_id", "metric", "dimension"),
    "freeze_bucket": ("call_id", "metric"),
    "statistics_time": ("call_id", "metric"),
}


def _sessions(plain: InspectorAsk, given: Mapping[str, str]) -> InspectorAsk | Refusal:
    hidden = given.get("exclude_server_user") or "true"
    if hidden not in ("true", "false"):
        return invalid("exclude_server_user")
    uids = numbers(given["uids"], MAX_UIDS) if given.get("uids") else ()
    if uids is None:
        return invalid("uids")
    return _paged(replace(plain, uids=uids, without_servers=hidden == "true"), given, both=True)


def _paged(plain: InspectorAsk, given: Mapping[str, str], *, both: bool) -> InspectorAsk | Refusal:
    """With its page; where `both` are needed to page, one alone is ignored. A size too large is clamped."""
    for name in ("page_no", "page_size"):
        if given.get(name) and not (is_number(given[name]) and int(given[name]) >= 1):
            return invalid(name)
    if both and not (given.get("page_no") and given.get("page_size")):
        return plain
    page, size = int(given.get("page_no") or 1), int(given.get("page_size") or _PAGE)
    return replace(plain, page=page, size=min(size, MAX_PAGE))


def _statistics(plain: InspectorAsk, given: Mapping[str, str]) -> InspectorAsk | Refusal:
    if given["metric"] not in plain.endpoint.metrics:
        return invalid("metric")
    dimension = given["dimension"] if plain.endpoint.name == "call_statistics" else ""
    if dimension and dimension not in GROUPS:
        return invalid("dimension")
    return replace(plain, metric=given["metric"], dimension=dimension)
