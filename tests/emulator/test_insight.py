"""Data Insights: each documented shape, agreement with realtime, what changes until day T+2, and its own limits."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.emulator.helpers import APP, NOON, OFTEN, Caller, account, plain, project
from watcher.clock import DAY, HOUR, VirtualClock

N = int(NOON)
TODAY = N // DAY * DAY
OLD = TODAY - 3 * DAY  # final


@pytest.fixture
def now() -> VirtualClock:
    """Noon of the first day."""
    return VirtualClock(epoch=NOON, jumping=True)


async def table(caller: Caller, endpoint: str, metric: str, **given: Any) -> dict[int, float]:
    """Value by start of a by_time answer."""
    body = await caller.body(endpoint, metric=metric, **given)
    assert body["code"] == 200, body
    return {row["ts"]: row[metric] for row in body["data"]}


async def total(caller: Caller, endpoint: str, **given: Any) -> list[dict[str, Any]]:
    """Rows of an aggregation over a day that is final."""
    response = await caller.post(endpoint, {"startTs": OLD, "endTs": OLD + DAY, **given})
    body = response.json()
    assert body["code"] == 200, body
    assert body["message"] == "null"
    rows: list[dict[str, Any]] = body["data"]
    return rows


def quality(**more: Any) -> dict[str, Any]:
    """What a question about quality over that day has besides."""
    return {"metric": "videoFreezeRate", "productType": "Native", **more}


# ── by_time ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_end_is_inclusive(now: VirtualClock) -> None:
    """24 hours by hour are 25 rows, keyed by the metric's own name; a day and a day later are two rows."""
    caller = Caller(plain(), now)
    body = await caller.body("insight_quality", startTs=OLD, endTs=OLD + DAY)
    assert (body["code"], body["message"]) == (200, "success")
    assert [row["ts"] for row in body["data"]] == list(range(OLD, OLD + DAY + 1, HOUR))
    assert [list(row) for row in body["data"]] == [["networkDelay", "ts"]] * 25
    days = await table(caller, "insight_usage", "userCount", startTs=OLD, endTs=OLD + DAY, aggregateGranularity="1d")
    assert list(days) == [OLD, OLD + DAY]
    assert len(await table(caller, "insight_usage", "userCount", startTs=OLD, endTs=OLD + DAY - 1)) == 24


async def test_days_begin_at_midnight_utc_or_in_china(now: VirtualClock) -> None:
    """00:00 UTC by default; 16:00 UTC, as the example has it, by switch. Hours are the same."""
    asked = {"startTs": OLD, "endTs": OLD + 2 * DAY, "aggregateGranularity": "1d"}
    data = plain()
    assert list(await table(Caller(data, now), "insight_usage", "userCount", **asked)) == [
        OLD, OLD + DAY, OLD + 2 * DAY,
    ]  # fmt: skip
    data["accounts"][0]["answers"] = {"day": "utc+8"}
    china = Caller(data, now)
    assert [at % DAY // HOUR for at in await table(china, "insight_usage", "userCount", **asked)] == [16, 16, 16]
    hours = await table(china, "insight_usage", "userCount", startTs=OLD, endTs=OLD + HOUR)
    assert list(hours) == [OLD, OLD + HOUR]


async def test_an_hour_is_what_realtime_said_of_it(now: VirtualClock) -> None:
    """A rate is the mean of the slots weighted by their users, minutes are users times time, the peak is the most."""
    clock = VirtualClock(epoch=float(OLD + 2 * HOUR), jumping=True)
    bad = {"project": "classroom", "start": OLD + HOUR + 600, "duration": "10m"}
    stamp = "2025-12-29T01:10:00Z"
    assert bad["start"] == OLD + 4200
    incident = {**bad, "start": stamp, "products": ["Native"], "levels": {"videoFreezeRate": "30%", "userCount": 300}}
    data = plain(jitter="5%", incidents=[incident])
    data["accounts"][0]["limits"] = {**OFTEN, "look_back": "2h", "span": "2h", "insight": OFTEN}
    caller = Caller(data, clock)
    span = {"startTs": OLD + HOUR, "endTs": OLD + 2 * HOUR - 40}
    users = {r["ts"]: r["userCount"] for r in await caller.rows("usage", **span)}
    web = {r["ts"]: r["userCount"] for r in await caller.rows("usage", productType="WebRTC", **span)}
    rates = {r["ts"]: r["videoFreezeRate"] for r in await caller.rows("quality", **span)}
    assert len(users) == 178
    expected = sum(rates[ts] * users[ts] for ts in rates) / sum(users[ts] for ts in rates)
    await clock.sleep_until(float(OLD + 3 * DAY))
    hour = {"startTs": OLD + HOUR, "endTs": OLD + HOUR}
    found = await table(caller, "insight_quality", "videoFreezeRate", **hour)
    assert found[OLD + HOUR] == pytest.approx(expected, rel=0.03)
    assert found[OLD + HOUR] > 0.08
    peak = await table(caller, "insight_usage", "peakConcurrentUsers", **hour)
    assert peak[OLD + HOUR] == max(users[ts] + web[ts] for ts in users)
    minutes = await table(caller, "insight_usage", "totalDuration", **hour)
    assert minutes[OLD + HOUR] == pytest.approx(180 / 178 * sum(users[t] + web[t] for t in users) / 3, rel=0.01)


async def test_every_usage_metric(now: VirtualClock) -> None:
    """Steady traffic of 130 users: what each counts over an hour, and video and audio are the whole."""
    caller = Caller(plain(), now)
    hour = {"startTs": OLD, "endTs": OLD}
    names = (
        "userCount", "sessionCount", "channelCount", "peakConcurrentChannels", "peakConcurrentUsers", "totalDuration",
        "totalVideoDuration", "totalAudioDuration",
    )  # fmt: skip
    found = {name: (await table(caller, "insight_usage", name, **hour))[OLD] for name in names}
    assert found["peakConcurrentUsers"] == 130
    assert found["peakConcurrentChannels"] == found["channelCount"] == 1 + 7 + 2  # a mixed channel counts once
    assert found["totalDuration"] == 130 * 60
    assert found["totalVideoDuration"] + found["totalAudioDuration"] == found["totalDuration"]
    assert found["userCount"] == 130 + 130 * 1.5  # each leaves after 40 minutes
    assert found["sessionCount"] == 130 + 130 * 2.5  # and everybody once an hour, when calls end
    assert all(isinstance(value, int) for value in found.values())


async def test_both_spellings_of_the_peaks(now: VirtualClock) -> None:
    """Either is answered under the name asked for, provisional days alike; by switch one of them is code 400."""
    data = plain()
    data["accounts"][0]["projects"] = [project(products={"Native": {"peak_users": 50_000}})]
    caller = Caller(data, now)
    one = await table(caller, "insight_usage", "peakConcurrentUsers")
    other = await table(caller, "insight_usage", "peakCurrentUsers")
    assert one == other
    for peaks, known, unknown in (("concurrent", "Concurrent", "Current"), ("current", "Current", "Concurrent")):
        data["accounts"][0]["answers"] = {"peaks": peaks}
        caller = Caller(data, now)
        assert await table(caller, "insight_usage", f"peak{known}Channels")
        body = await caller.body("insight_usage", metric=f"peak{unknown}Channels")
        assert body == {"code": 400, "message": "Bad request, parameter : metric is invalid", "data": None}


async def test_audio_freeze_is_not_measured_on_the_web(now: VirtualClock) -> None:
    """The question is allowed, its answer is empty; hours without users have no rates but their zeros."""
    gone = {"project": "classroom", "start": "2025-12-29T00:00:00Z", "duration": "1h", "levels": {"userCount": 0}}
    caller = Caller(plain(incidents=[gone]), now)
    assert await table(caller, "insight_quality", "audioFreezeRate", productType="WebRTC") == {}
    hours = {"startTs": OLD, "endTs": OLD + HOUR}
    assert list(await table(caller, "insight_quality", "audioFreezeRate", **hours)) == [OLD + HOUR]
    assert (await table(caller, "insight_usage", "totalDuration", **hours))[OLD] == 0


@pytest.mark.parametrize("endpoint", ["insight_usage", "insight_quality"])
async def test_a_day_is_amended_on_day_t_plus_2(endpoint: str) -> None:
    """Until two days later a day says something else, always the same; then it changes once, and stays."""
    clock = VirtualClock(epoch=float(OLD + DAY + 12 * HOUR + 1), jumping=True)
    metric = "userCount" if endpoint == "insight_usage" else "networkDelay"
    caller = Caller(plain(jitter="5%"), clock)
    found = []
    for at in (DAY + 12 * HOUR + 1, 2 * DAY - 1, 2 * DAY, 5 * DAY):
        await clock.sleep_until(float(OLD + at))
        found.append((await table(caller, endpoint, metric, startTs=OLD, endTs=OLD, aggregateGranularity="1d"))[OLD])
    assert found[0] == found[1] != found[2] == found[3]
    assert found[0] == pytest.approx(found[2], rel=0.3)
    late = Caller(
        plain(jitter="5%", amended_after="6h"), clock2 := VirtualClock(epoch=float(OLD + 2 * DAY), jumping=True)
    )
    values = []
    for at in (2 * DAY + 6 * HOUR - 1, 2 * DAY + 6 * HOUR):
        await clock2.sleep_until(float(OLD + at))
        values.append((await table(late, endpoint, metric, startTs=OLD, endTs=OLD, aggregateGranularity="1d"))[OLD])
    assert values == [found[0], found[2]]


async def test_a_day_that_is_not_over_grows(now: VirtualClock) -> None:
    """Today's row holds what is old enough: six hours at noon, seven an hour later."""
    caller = Caller(plain(), now)
    asked = {"startTs": TODAY, "endTs": TODAY, "aggregateGranularity": "1d"}
    at_noon = (await table(caller, "insight_usage", "totalDuration", **asked))[TODAY]
    await now.sleep_until(NOON + HOUR)
    later = (await table(caller, "insight_usage", "totalDuration", **asked))[TODAY]
    assert later / at_noon == pytest.approx(7 / 6, abs=0.01)


# ── aggregation ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_one_row_for_the_whole_app(now: VirtualClock) -> None:
    """Without a dimension: the metric alone, with its denominator where it is a rate."""
    caller = Caller(plain(), now)
    assert await total(caller, "insight_usage_aggregation", metric="totalDuration") == [{"totalDuration": 130 * 1440}]
    (row,) = await total(caller, "insight_quality_aggregation", **quality())
    assert row["videoFreezeRate"] == pytest.approx(0.009)
    references = {"videoFreezeRate": 0.75, "audioFreezeRate": 0.25, "networkDelay": 1, "joinSuccessRate": 1.5 / 60}
    for metric, share in references.items():
        (row,) = await total(caller, "insight_quality_aggregation", metric=metric, productType="Native")
        assert row["refUsage"] == pytest.approx(100 * 1440 * share)


async def test_groups_of_an_aggregation(now: VirtualClock) -> None:
    """A row per group with its denominator, the most used first; values limit them; 20 groups, 50 devices."""
    bad = {"project": "classroom", "start": "2025-12-29T00:00:00Z", "duration": "1d", "where": {"sdk": "4.2.1"}}
    data = plain(jitter="5%", incidents=[{**bad, "levels": {"videoFreezeRate": "40%"}}])
    data["accounts"][0]["projects"] = [project(products={"Native": {"peak_users": 2000}})]
    caller = Caller(data, now)
    rows = await total(caller, "insight_quality_aggregation", **quality(dimension="sdkVersion"))
    assert [list(row) for row in rows] == [["sdkVersion", "refUsage", "videoFreezeRate"]] * 12
    assert [row["refUsage"] for row in rows] == sorted((row["refUsage"] for row in rows), reverse=True)
    rates = {row["sdkVersion"]: row["videoFreezeRate"] for row in rows}
    assert rates["4.2.1"] == pytest.approx(0.4, rel=0.05)
    assert max(rate for sdk, rate in rates.items() if sdk != "4.2.1") < 0.02
    (whole,) = await total(caller, "insight_quality_aggregation", **quality())
    mean = sum(row["refUsage"] * row["videoFreezeRate"] for row in rows) / sum(row["refUsage"] for row in rows)
    assert mean == pytest.approx(whole["videoFreezeRate"], rel=0.001)
    two = await total(
        caller,
        "insight_quality_aggregation",
        **quality(dimension="sdkVersion", dimensionValues=["4.1.1", "9", "4.2.1"]),
    )
    assert two == [row for row in rows if row["sdkVersion"] in ("4.1.1", "4.2.1")]
    quoted = await total(
        caller, "insight_quality_aggregation", **quality(dimension="sdkVersion", dimensionValues='"4.1.1","4.2.1"')
    )
    assert quoted == two
    for dimension, count in (("country", 20), ("device", 50), ("region", 6)):
        assert len(await total(caller, "insight_usage_aggregation", metric="userCount", dimension=dimension)) == count


async def test_the_join_rates_of_groups_stay_rates(now: VirtualClock) -> None:
    """Where higher is better, groups are near the healthy level too."""
    rows = await total(
        Caller(plain(), now), "insight_quality_aggregation", metric="joinSuccessRate", productType="Native",
        dimension="net",
    )  # fmt: skip
    assert [row["joinSuccessRate"] for row in rows] == pytest.approx([0.996] * len(rows), abs=1e-3)


async def test_two_spellings_of_dimensions(now: VirtualClock) -> None:
    """Both are known and the one asked for is echoed; by switch one of them is code 400."""
    data = plain()
    pairs = {"long": ("network", "sdkVersion"), "short": ("net", "sdk")}
    for names in pairs.values():
        for name in names:
            rows = await total(Caller(data, now), "insight_usage_aggregation", metric="userCount", dimension=name)
            assert name in rows[0]
    for known, other in (("long", "short"), ("short", "long")):
        data["accounts"][0]["answers"] = {"dimensions": known}
        caller = Caller(data, now)
        assert await total(caller, "insight_usage_aggregation", metric="userCount", dimension=pairs[known][0])
        asked = {"startTs": OLD, "endTs": OLD + DAY, "metric": "userCount", "dimension": pairs[other][1]}
        body = (await caller.post("insight_usage_aggregation", asked)).json()
        assert body["message"] == "Bad request, parameter : dimension is invalid"


async def test_the_filter_of_a_country(now: VirtualClock) -> None:
    """Only with regions: the users of that country; of an unknown one there are none."""
    caller = Caller(plain(), now)
    asked = quality(dimension="region")
    everyone = await total(caller, "insight_quality_aggregation", **asked)
    china = [{"name": "country", "value": "China"}]
    some = await total(caller, "insight_quality_aggregation", **asked, filters=china)
    assert len(some) == len(everyone)
    assert all(0 < a["refUsage"] < b["refUsage"] for a, b in zip(some, everyone, strict=True))
    nowhere = [{"name": "country", "value": "Atlantis"}]
    assert await total(caller, "insight_quality_aggregation", **asked, filters=nowhere) == []
    assert await total(caller, "insight_quality_aggregation", **asked, filters=[]) == everyone


# ── refusals ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("endpoint", ["insight_usage", "insight_quality"])
async def test_the_first_missing_parameter_of_by_time(now: VirtualClock, endpoint: str) -> None:
    """In the documented order; Call Inspector's `start_ts` is not known here, as in a real ticket."""
    caller = Caller(plain(), now)
    names = ["startTs", "endTs", "appid", "metric", "aggregateGranularity"]
    names += ["productType"] if endpoint == "insight_quality" else []
    missing: dict[str, Any] = {"start_ts": OLD, "end_ts": OLD}
    for name in reversed(names):
        missing[name] = None
        body = await caller.body(endpoint, **missing)
        assert body == {"code": 400, "message": f"Bad request, parameter : {name} can not be null", "data": None}


@pytest.mark.parametrize(
    ("given", "code", "words"),
    [
        ({"metric": "userCount,sessionCount"}, 400, "metric is invalid"),
        ({"metric": "networkDelay"}, 400, "metric is invalid"),
        ({"aggregateGranularity": "1m"}, 400, "aggregateGranularity is invalid"),
        ({"startTs": OLD * 1000}, 500, "Unknown Error"),
        ({"endTs": "x"}, 400, "endTs is invalid"),
    ],
)
async def test_unreadable_values(now: VirtualClock, given: dict[str, Any], code: int, words: str) -> None:
    """One metric, hours or days, seconds: anything else is refused in a body."""
    body = await Caller(plain(), now).body("insight_usage", **given)
    assert body["code"] == code
    assert body["message"].endswith(words)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"startTs": None}, "startTs can not be null"),
        ({"metric": ""}, "metric can not be null"),
        ({"productType": None}, "productType can not be null"),
        ({"productType": "native"}, "productType is invalid"),
        ({"metric": ["networkDelay"]}, "metric is invalid"),
        ({"dimension": "channelSize"}, "dimension is invalid"),
        ({"dimension": "os", "dimensionValues": [1]}, "dimensionValues is invalid"),
        ({"dimension": "os", "dimensionValues": "4.1.1"}, "dimensionValues is invalid"),
        ({"dimension": "os", "filters": [{"name": "country", "value": "China"}]}, "filters is invalid"),
        ({"dimension": "region", "filters": [{"name": "planet", "value": "China"}]}, "filters is invalid"),
        ({"dimension": "region", "filters": "["}, "filters is invalid"),
    ],
)
async def test_unreadable_bodies(now: VirtualClock, given: dict[str, Any], words: str) -> None:
    """The same for what stands in a body."""
    asked = {"startTs": OLD, "endTs": OLD + DAY, **quality(), **given}
    body = (await Caller(plain(), now).post("insight_quality_aggregation", asked)).json()
    assert body == {"code": 400, "message": f"Bad request, parameter : {words}", "data": None}


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", b"[" * 100_000, b'{"startTs":' + b" " * 70_000 + b"1}"])
async def test_a_body_that_is_no_object_says_nothing(now: VirtualClock, content: bytes) -> None:
    """No JSON, no object, too deep or too large: as if nothing had been said."""
    body = (await Caller(plain(), now).post("insight_usage_aggregation", content)).json()
    assert body["message"] == "Bad request, parameter : startTs can not be null"


async def test_where_things_belong(now: VirtualClock) -> None:
    """appid is in the query, not in the body; the peaks allow no dimension; GET and POST are not the same."""
    caller = Caller(plain(), now)
    asked = {"startTs": OLD, "endTs": OLD + DAY, "metric": "peakConcurrentUsers"}
    assert (await caller.post("insight_usage_aggregation", asked)).json()["code"] == 200
    body = (await caller.post("insight_usage_aggregation", {**asked, "appid": APP}, query="")).json()
    assert body["message"] == "Bad request, parameter : appid can not be null"
    body = (await caller.post("insight_usage_aggregation", {**asked, "dimension": "os"})).json()
    assert body["message"] == "Bad request, parameter : dimension is invalid"
    assert (await caller.get("insight_usage_aggregation")).status_code == 404
    assert (await caller.post("insight_usage", asked)).status_code == 404


async def test_the_product_may_be_optional(now: VirtualClock) -> None:
    """As the English table has it: without one, both together."""
    data = plain()
    data["accounts"][0]["answers"] = {"product_type": "optional"}
    (row,) = await total(Caller(data, now), "insight_quality_aggregation", metric="networkDelay")
    assert row["refUsage"] == 130 * 1440


# ── limits ───────────────────────────────────────────────────────────────────────────────────────────────────────────

LATENCY, RANGE, DURATION = "query latency limit error", "query time range limit error", "query duration limit error"


@pytest.mark.parametrize(
    ("plan", "endpoint", "back", "span", "delay"),
    [
        ("premium", "insight_usage", 14, 3, 12),
        ("premium", "insight_quality", 14, 3, 6),
        ("premium", "insight_usage_aggregation", 14, None, 12),
        ("premium", "insight_quality_aggregation", 14, None, 6),
        ("enterprise", "insight_usage", 30, 7, 6),
        ("enterprise", "insight_quality", 30, 7, 6),
        ("enterprise", "insight_usage_aggregation", 30, None, 6),
        ("enterprise", "insight_quality_aggregation", 30, None, 6),
    ],
)
async def test_range_span_and_delay_per_plan(
    now: VirtualClock, plan: str, endpoint: str, back: int, span: int | None, delay: int
) -> None:
    """The dossier's table, to the second; the aggregations have no span."""
    caller = Caller(plain(accounts=[account(plan=plan, limits={"insight": OFTEN})]), now)
    end = N - delay * HOUR
    cases = [
        (end - HOUR, end - 1, ""), (end - HOUR, end, LATENCY),
        (N - back * DAY + 1, N - back * DAY + HOUR, ""), (N - back * DAY, N - back * DAY + HOUR, RANGE),
    ]  # fmt: skip
    if span is None:
        cases += [(N - back * DAY + 1, end - 1, "")]
    else:
        cases += [(end - span * DAY, end - 1, ""), (end - span * DAY - 1, end - 1, DURATION)]
    metric = "networkDelay" if "quality" in endpoint else "userCount"
    for start, stop, expected in cases:
        asked = {"startTs": start, "endTs": stop, "metric": metric, "productType": "Native"}
        if "aggregation" in endpoint:
            body = (await caller.post(endpoint, asked)).json()
        else:
            body = await caller.body(endpoint, aggregateGranularity="1d", **asked)
        assert (body["message"] == expected) if expected else (body["code"] == 200), (start, stop, body["message"])


@pytest.mark.parametrize(("plan", "minute", "day"), [("premium", 3, 40), ("enterprise", 10, 60)])
async def test_one_quota_for_all_four(now: VirtualClock, plan: str, minute: int, day: int) -> None:
    """40 or 60 a day and 3 or 10 a minute, whichever of the four; refused with the limit's own words."""
    caller = Caller(plain(accounts=[account(plan=plan, limits={}, quota={"strict": False})]), now)
    hour = {"startTs": OLD, "endTs": OLD}
    messages = []
    asked = {"startTs": OLD, "endTs": OLD + 20, "metric": "userCount"}
    for sent in range(day + 1):
        if sent % minute == 0:
            await now.sleep_until(NOON + sent // minute * 60)
        if sent % 4 == 3:
            messages.append((await caller.post("insight_usage_aggregation", asked)).json()["message"])
        else:
            messages.append((await caller.body(["insight_usage", "insight_quality"][sent % 2], **hour))["message"])
    assert set(messages[:day]) == {"success", "null"}
    assert messages[day] == "qpd limit error"
    quotas: Any = caller.emulator.report()["quotas"]
    rows = {(row["family"], row["window"]): row for row in quotas}
    assert (rows["insight", "minute"]["limit"], rows["insight", "minute"]["spent"]) == (minute, minute)
    assert (rows["insight", "day"]["limit"], rows["insight", "day"]["total"]) == (day, day + 1)
    assert rows["insight", "day"]["refused"] == 1
    requests: Any = caller.emulator.report()["requests"]
    assert sum(sum(outcomes.values()) for outcomes in requests.values()) == day + 1
    await now.sleep_until(NOON + HOUR)
    fresh = Caller(plain(accounts=[account(plan=plan, limits={}, quota={"strict": False})]), now)
    found = [(await fresh.body("insight_usage", **hour))["message"] for _ in range(minute + 1)]
    assert found == ["success"] * minute + ["qpm limit error"]


# ── faults ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_faults_bend_insights(now: VirtualClock) -> None:
    """Holes, nulls, zeros, no order, nothing at all: as with realtime."""
    usual = (await Caller(plain(), now).body("insight_quality"))["data"]
    found = {}
    for kind in ("holes", "null_values", "zero_values", "shuffled", "duplicates", "data_null", "data_empty"):
        found[kind] = (await Caller(plain(faults=[{"kind": kind}]), now).body("insight_quality"))["data"]
    assert 0 < len(found["holes"]) < 25
    assert None in [row["networkDelay"] for row in found["null_values"]]
    assert 0 in [row["networkDelay"] for row in found["zero_values"]]
    assert found["shuffled"] != usual == sorted(found["shuffled"], key=lambda row: row["ts"])
    assert found["duplicates"] == [*usual, usual[0]]
    assert (found["data_null"], found["data_empty"]) == (None, [])


async def test_a_skewed_clock_moves_the_limits(now: VirtualClock) -> None:
    """The server's clock an hour behind refuses the newest hour."""
    asked = {"startTs": N - 9 * HOUR, "endTs": N - 6 * HOUR - 1}
    assert (await Caller(plain(), now).body("insight_quality", **asked))["code"] == 200
    skewed = Caller(plain(faults=[{"kind": "clock_skew", "seconds": -3600}]), now)
    assert (await skewed.body("insight_quality", **asked))["message"] == LATENCY


async def test_faults_know_the_metric_of_a_body(now: VirtualClock) -> None:
    """A fault limited to a metric and product strikes the aggregation that asks for them."""
    where = {"metric": ["networkDelay"], "product": ["Native"]}
    caller = Caller(plain(faults=[{"kind": "http_500", "where": where}]), now)
    asked = {"startTs": OLD, "endTs": OLD + 20, "metric": "networkDelay", "productType": "Native"}
    assert (await caller.post("insight_quality_aggregation", asked)).status_code == 500
    assert (await caller.post("insight_quality_aggregation", {**asked, "productType": "WebRTC"})).status_code == 200
    assert json.dumps(caller.emulator.report())
