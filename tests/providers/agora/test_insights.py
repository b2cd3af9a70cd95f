"""Data Insights: inclusive ends, both spellings of the peaks, days that are computed again."""

from __future__ import annotations

from typing import Any

import httpx
import msgspec
import pytest

from tests.providers.agora.stage import CALLS, T, purse, query, source, vendor
from tests.providers.doubles import APP, HandClock, account, answer
from watcher.clock import DAY, HOUR
from watcher.errors import ProviderError, Reason
from watcher.groups import GroupTotal
from watcher.model import Answer, Span
from watcher.providers.agora import AGORA
from watcher.providers.agora.insights.settings import METRICS
from watcher.providers.agora.values import Oddity, Tally

NOON = T + 13 * HOUR  # the day before is there on either plan
SPAN = Span(T - 2 * DAY, T)


def days(request: httpx.Request) -> dict[str, Any]:
    """A row for every day asked for, the end included."""
    start, end = (int(request.url.params[name]) for name in ("startTs", "endTs"))
    first = -(-start // DAY) * DAY
    metric = request.url.params["metric"]
    value = 0.25 if metric.endswith(("Rate", "Delay")) else 7
    return {"code": 200, "message": "success", "data": [{metric: value, "ts": at} for at in range(first, end + 1, DAY)]}


def values(found: Answer) -> dict[tuple[str, str], list[float]]:
    """(product, signal) -> values."""
    return {(p.series.product, p.series.signal): p.value.tolist() for p in found.points}


async def test_days_from_query_to_points() -> None:
    """Each series is a request; quality by product and with its product said, usage as a whole; minutes are seconds."""
    wire = vendor(dict.fromkeys(("quality/by_time", "usage/by_time"), lambda request: answer(days(request))))
    needed = {"daily_audio_freeze_ratio", "daily_video_freeze_ratio", "daily_users", "daily_media_seconds"}
    agora = source(wire, HandClock(NOON), needed)
    own = [q for q in agora.queries if q.family == "insights"]
    assert {(q.width, q.requests, q.most_requests, q.pools) for q in own} == {(DAY, 1, 1, ("acme/insights",))}
    found: dict[tuple[str, str], list[float]] = {}
    for each in own:
        spent = purse(2)
        answered = await agora.look(each, T - DAY, spent)
        assert (spent.spent, answered.asked, answered.settled) == (1, Span(T - 3 * DAY, T), T - 2 * DAY)
        assert answered.oddities == {}
        assert {p.start.tolist()[-1] for p in answered.points} == {T - DAY}
        found |= values(answered)
    assert found == {
        ("daily Native", "daily_video_freeze_ratio"): [0.25] * 3,
        ("daily WebRTC", "daily_video_freeze_ratio"): [0.25] * 3,
        ("daily Native", "daily_audio_freeze_ratio"): [0.25] * 3,
        ("", "daily_users"): [7.0] * 3,
        ("", "daily_media_seconds"): [420.0] * 3,
    }
    assert dict(wire.requests[0].url.params) == {
        "startTs": str(T - 3 * DAY),
        "endTs": str(T - 1),
        "appid": APP,
        "productType": "Native",
        "metric": "videoFreezeRate",
        "aggregateGranularity": "1d",
    }
    assert "productType" not in wire.requests[-1].url.params


async def test_each_day_is_read_again_until_it_was_computed_anew() -> None:
    """The vendor computes a day again on day T+2: it is still asked for then, at looks six hours apart."""
    wire = vendor({"usage/by_time": lambda request: answer(days(request))})
    clock = HandClock(T + HOUR)
    agora = source(wire, clock, {"daily_users"})
    covered: int | None = T - 3 * DAY
    asked: set[int] = set()
    for _ in range(24):
        found = await agora.look(query(agora, "daily_users"), covered, purse(1))
        covered = found.asked.end
        if found.asked.start <= T - DAY < found.asked.end:
            asked.add(int(clock.now() - T) // DAY)
        assert found.lost is None
        clock.advance(6 * HOUR)
    assert asked >= {0, 1, 2}  # of day T-1, whose T+2 is day 1


@pytest.mark.parametrize(("plan", "delay", "span", "back"), [("premium", 12, 3, 14), ("enterprise", 6, 7, 30)])
async def test_days_stay_strictly_inside_the_plan(plan: str, delay: int, span: int, back: int) -> None:
    """Never a day whose figures are not due, never longer or further back than allowed; what is gone is said."""
    wire = vendor({"usage/by_time": days})
    for hour in range(0, 24, 3):
        now = T + hour * HOUR
        agora = source(wire, HandClock(now), {"daily_users"}, plan=plan)
        for covered in (None, T, T - 4 * DAY, T - 60 * DAY, T + 5 * DAY):
            found = await agora.look(query(agora, "daily_users"), covered, purse(1))
            start, end = (int(wire.requests[-1].url.params[name]) for name in ("startTs", "endTs"))
            assert end < now - delay * HOUR
            assert end - start < span * DAY
            assert start > now - back * DAY
            assert (found.lost is None) == (covered != T - 60 * DAY)
            assert found.asked == Span(start, end + 1)


async def test_both_spellings_of_the_peaks() -> None:
    """On code 400 the other one is tried, which costs a request; what worked is kept."""

    def old(request: httpx.Request) -> Any:
        if "Concurrent" in request.url.params["metric"]:
            return answer({"code": 400, "message": "Bad request, parameter : metric", "data": None}, at=T)
        return days(request)

    wire = vendor({"usage/by_time": old})
    agora = source(wire, HandClock(NOON), {"daily_peak_users"})
    own = query(agora, "daily_peak_users")
    assert (own.requests, own.most_requests) == (1, 2)
    spent = purse(2)
    found = await agora.look(own, None, spent)
    assert (spent.spent, found.oddities, len(found.points)) == (2, {"other_name": 1}, 1)
    spent = purse(1)
    found = await agora.look(own, None, spent)
    assert (spent.spent, found.oddities) == (1, {})
    assert [r.url.params["metric"] for r in wire.requests] == ["peakConcurrentUsers", *["peakCurrentUsers"] * 2]
    with pytest.raises(ProviderError) as caught:
        await source(wire, HandClock(NOON), {"daily_peak_users"}).look(own, None, purse(1))
    assert caught.value.reason is Reason.REQUEST


async def test_only_a_bad_request_is_asked_in_the_other_spelling() -> None:
    """A quota that is spent is no matter of words."""
    wire = vendor({"usage/by_time": lambda _: {"code": 300, "message": "qpd limit error", "data": None}})
    agora, spent = source(wire, HandClock(NOON), {"daily_peak_users"}), purse(2)
    with pytest.raises(ProviderError) as caught:
        await agora.look(query(agora, "daily_peak_users"), None, spent)
    assert (caught.value.reason, spent.spent, len(wire.requests)) == (Reason.DAY_QUOTA, 1, 1)


async def test_a_row_may_have_either_spelling() -> None:
    """Whatever was asked for."""
    wire = vendor({"usage/by_time": lambda _: {"code": 200, "data": [{"peakCurrentUsers": 5, "ts": T - DAY}]}})
    agora = source(wire, HandClock(NOON), {"daily_peak_users"})
    found = await agora.look(query(agora, "daily_peak_users"), None, purse(2))
    assert values(found) == {("", "daily_peak_users"): [5.0]}


async def test_days_that_begin_at_midnight_in_china() -> None:
    """Some pages of the vendor show them: each is filed under its own date, and counted."""
    rows = [{"userCount": 5, "ts": T - 32 * HOUR}, {"userCount": 6, "ts": T - 8 * HOUR - 30 * DAY}]
    agora = source(vendor({"usage/by_time": lambda _: {"code": 200, "data": rows}}), HandClock(NOON), {"daily_users"})
    found = await agora.look(query(agora, "daily_users"), None, purse(1))
    assert found.points[0].start.tolist() == [T - DAY]
    assert found.oddities == {"other_zone": 2, "outside": 1}


async def test_bent_days() -> None:
    """Nulls, text, shares above one, a day twice: counted; and nothing at all is no point."""
    rows = [
        {"videoFreezeRate": None, "ts": T - DAY},
        {"videoFreezeRate": "0.5", "ts": T - 2 * DAY},
        {"videoFreezeRate": 0.6, "ts": T - 2 * DAY},
        {"videoFreezeRate": 2, "ts": T - 3 * DAY},
        {"ts": T - DAY},
        7,
    ]
    replies: list[Any] = [rows, None]
    wire = vendor({"quality/by_time": lambda _: {"code": 200, "message": "null", "data": replies.pop(0)}})
    agora = source(wire, HandClock(NOON), {"daily_video_freeze_ratio"})
    found = await agora.look(query(agora, "daily Native/daily_video_freeze_ratio"), None, purse(2))
    assert values(found) == {("daily Native", "daily_video_freeze_ratio"): [0.6]}
    assert found.oddities == {"no_value": 2, "text_number": 1, "impossible": 1, "not_a_row": 1, "duplicate": 1}


async def test_groups_of_a_day() -> None:
    """POST with a JSON body; quality calls two dimensions by other names; the divisor comes with a rate."""
    rows = [
        {"sdkVersion": "3.6", "refUsage": 100, "audioFreezeRate": 0.0014},
        {"sdkVersion": "4.1", "refUsage": 500, "audioFreezeRate": 0.0017},
        {"sdkVersion": None, "refUsage": 5, "audioFreezeRate": 0.1},
    ]
    wire = vendor({"quality/aggregation": lambda _: {"code": 200, "message": "null", "data": rows}})
    api, tally = source(wire).insights, Tally()
    found = await api.by_group(
        APP, "daily_audio_freeze_ratio", "Native", SPAN, purse(1), tally, dimension="sdk", names=["3.6", "4.1"]
    )
    assert found == (
        GroupTotal(name="4.1", value=0.0017, behind=30_000.0),
        GroupTotal(name="3.6", value=0.0014, behind=6_000.0),
    )
    request = wire.requests[0]
    assert (request.method, dict(request.url.params)) == ("POST", {"appid": APP})
    assert request.headers["content-type"] == "application/json"
    assert msgspec.json.decode(request.content) == {
        "startTs": SPAN.start,
        "endTs": SPAN.end - 1,
        "metric": "audioFreezeRate",
        "productType": "Native",
        "dimension": "sdkVersion",
        "dimensionValues": ["3.6", "4.1"],
    }
    assert tally == {Oddity.NOT_A_ROW: 1}


async def test_usage_as_a_whole_and_by_region() -> None:
    """Without a dimension there is one row without a name; a country narrows the regions."""
    replies = iter([[{"userCount": 42}], [{"region": "Bavaria", "userCount": 3}]])
    wire = vendor({"usage/aggregation": lambda _: {"code": 200, "data": next(replies)}})
    api = source(wire).insights
    assert await api.by_group(APP, "daily_users", "", SPAN, purse(1), Tally()) == (
        GroupTotal(name="", value=42.0, behind=None),
    )
    found = await api.by_group(APP, "daily_users", "", SPAN, purse(1), Tally(), dimension="region", country="Germany")
    assert [g.name for g in found] == ["Bavaria"]
    sent = msgspec.json.decode(wire.requests[1].content)
    assert sent["filters"] == [{"name": "country", "value": "Germany"}]
    assert "productType" not in sent
    for signal, more in (
        ("daily_users", {"names": ["a"]}),
        ("daily_users", {"dimension": "os", "country": "Germany"}),
        ("daily_peak_users", {"dimension": "os"}),
        ("daily_users", {"dimension": "channelSize"}),
    ):
        with pytest.raises(ValueError, match="dimension"):
            await api.by_group(APP, signal, "", SPAN, purse(1), Tally(), **more)


def test_daily_signals_are_never_live_ones() -> None:
    """Every one has a name of its own, so that no rule judges a day by a live line, or the other way round."""
    queries = AGORA.queries(account(call_inspector=CALLS), AGORA.signals)
    live = {series.signal for query in queries if query.width < DAY for series in query.series}
    assert all(name.startswith("daily_") for name in METRICS)
    assert not live & METRICS.keys()


@pytest.mark.parametrize(
    ("signal", "kept", "dropped"), [("join_success_ratio", [0.5, 0.99], 22), ("video_freeze_ratio", [0.0] * 11, 0)]
)
async def test_hours_without_anybody_are_not_normal(signal: str, kept: list[float], dropped: int) -> None:
    """Filled with 0 they would say that no join ever succeeds: dropped and counted, where lower is worse."""

    def hours(request: httpx.Request) -> Any:
        start, metric = int(request.url.params["startTs"]), request.url.params["metric"]
        values = {12: 0.5, 13: 0.99}
        return {"code": 200, "data": [{metric: values.get(n, 0), "ts": start + n * 3600} for n in range(24)]}

    clock = HandClock(NOON)
    [past] = [q for q in AGORA.past(account(), frozenset({signal})) if q.series[0].product == "Native"]
    found = await source(vendor({"quality/by_time": hours}), clock, {signal}).look(past, None, purse(1))
    [points] = found.points
    assert points.value.tolist()[: len(kept)] == kept
    assert found.oddities.get("empty_hour", 0) == dropped
