"""Each endpoint's documented shape, who may ask, and what is refused in which order."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest

from tests.conftest import EPOCH
from tests.emulator.helpers import APP, NOON, OTHER_APP, PATHS, Caller, account, basic, plain, project
from tests.emulator.test_scenario import EXAMPLE
from watcher.clock import VirtualClock
from watcher.emulator.agora import build_agora
from watcher.emulator.scenario import read

DOC = 1_631_837_410  # the worked example's startTs


@pytest.fixture
def then() -> VirtualClock:
    """A clock in the minutes of the dossier's examples."""
    return VirtualClock(epoch=DOC + 300.0, jumping=True)


@pytest.fixture
def now() -> VirtualClock:
    """Noon of the first day."""
    return VirtualClock(epoch=NOON, jumping=True)


# ── shapes ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_usage_rows_of_the_worked_example(then: VirtualClock) -> None:
    """startTs's slot is in, endTs's slot is out: three rows, keyed by the metric's own name, ascending."""
    body = await Caller(plain(), then).body("usage", startTs=DOC, endTs=DOC + 60)
    assert body == {
        "code": 200,
        "message": "success",
        "data": [{"userCount": 100, "ts": 1_631_837_400 + 20 * i} for i in range(3)],
    }


@pytest.mark.parametrize(
    ("start", "end", "slots"),
    [
        (1_631_837_400, 1_631_837_420, [1_631_837_400]),
        (1_631_837_400, 1_631_837_419, []),
        (1_631_837_419, 1_631_837_420, [1_631_837_400]),
        (1_631_837_419, 1_631_837_459, [1_631_837_400, 1_631_837_420]),
        (1_631_837_420, 1_631_837_400, []),
    ],
)
async def test_slot_arithmetic(then: VirtualClock, start: int, end: int, slots: list[int]) -> None:
    """Both ends are floored to the 20 s grid; an empty or reversed range has no rows."""
    assert [row["ts"] for row in await Caller(plain(), then).rows("usage", startTs=start, endTs=end)] == slots


async def test_channel_count_and_single_channels(now: VirtualClock) -> None:
    """50 users in one named channel and 50 in channels of eight are 1 + 7; by name a channel counts as one."""
    caller = Caller(plain(), now)
    assert {row["channelCount"] for row in await caller.rows("usage", metric="channelCount")} == {8}
    assert {row["channelCount"] for row in await caller.rows("usage", metric="channelCount", cname="room")} == {1}
    assert {row["userCount"] for row in await caller.rows("usage", cname="room")} == {50}
    assert {row["userCount"] for row in await caller.rows("usage", productType="WebRTC")} == {30}
    assert await caller.rows("usage", cname="nowhere") == []
    assert await caller.rows("quality", cname="nowhere") == []


@pytest.mark.parametrize(
    ("metric", "level"),
    [
        ("joinSuccessRate", 0.996),
        ("joinSuccessIn5sRate", 0.985),
        ("audioFreezeRate", 0.004),
        ("videoFreezeRate", 0.009),
        ("networkDelay", 0.008),
    ],
)
async def test_quality_metrics(now: VirtualClock, metric: str, level: float) -> None:
    """Each rate is a fraction under its own name."""
    rows = await Caller(plain(), now).rows("quality", metric=metric)
    assert len(rows) == 30
    assert [list(row) for row in rows] == [[metric, "ts"]] * 30
    assert [row[metric] for row in rows] == pytest.approx([level] * 30)


async def test_audio_freeze_is_not_measured_on_the_web(now: VirtualClock) -> None:
    """The question is allowed, its answer is empty."""
    caller = Caller(plain(), now)
    assert await caller.rows("quality", metric="audioFreezeRate", productType="WebRTC") == []
    assert await caller.rows("quality_top20", metric="audioFreezeRate", productType="WebRTC") == []
    assert await caller.rows("quality", metric="videoFreezeRate", productType="WebRTC") != []


async def test_whole_numbers_are_json_integers_and_others_long_floats(now: VirtualClock) -> None:
    """A rate of nothing is `0`, not `0.0`, a rate of all is `1`; small fractions keep their digits."""
    data = plain(jitter="5%")
    data["accounts"][0]["projects"] = [project(healthy={"videoFreezeRate": 0, "joinSuccessRate": 1})]
    caller = Caller(data, now)
    assert '"videoFreezeRate":0,' in (await caller.get("quality")).text
    assert '"joinSuccessRate":1,' in (await caller.get("quality", metric="joinSuccessRate")).text
    values = [row["networkDelay"] for row in await caller.rows("quality", metric="networkDelay")]
    assert max(len(str(value)) for value in values) >= 18


async def test_uids_nest(now: VirtualClock) -> None:
    """With a channel, rows hang under each uid asked for, beyond 2^31 too; an unknown uid is not there."""
    caller = Caller(plain(), now)
    data = await caller.rows("quality", cname="room", uids="2963430861,5,2303692334", metric="networkDelay")
    assert [entry["uid"] for entry in data] == [2_963_430_861, 2_303_692_334]
    assert list(data[0]) == ["uid", "values"]
    assert [list(row) for row in data[0]["values"]] == [["ts", "networkDelay"]] * 30
    assert await caller.rows("quality", cname="room", uids="5") == []


async def test_uids_without_a_channel_are_ignored(now: VirtualClock) -> None:
    """No cname: the project's flat rows, and not even a check of the uids."""
    rows = await Caller(plain(), now).rows("quality", uids="x")
    assert list(rows[0]) == ["videoFreezeRate", "ts"]


async def test_dimension_rows(now: VirtualClock) -> None:
    """Flat rows, slot by slot, in the order of the quoted values; unknown values have no rows; message is null."""
    caller = Caller(plain(), now)
    body = await caller.body("usage", dimension="sdk", dimensionValues='"3.6.1.1","9.9","4.1.1"')
    assert body["message"] is None
    first, second, third = body["data"][:3]
    assert list(first) == ["userCount", "sdk", "ts"]
    assert (first["sdk"], second["sdk"]) == ("3.6.1.1", "4.1.1")
    assert first["ts"] == second["ts"] == third["ts"] - 20
    quality = await caller.rows("quality", dimension="country", cname="room", dimensionValues='"China"')
    assert list(quality[0]) == ["videoFreezeRate", "country", "ts"]
    everyone = await caller.rows("usage", dimension="os")
    assert sum(row["userCount"] for row in everyone if row["ts"] == everyone[0]["ts"]) == 100


async def test_dimension_on_channel_count_is_ignored(now: VirtualClock) -> None:
    """It only works with userCount."""
    rows = await Caller(plain(), now).rows("usage", metric="channelCount", dimension="bogus")
    assert list(rows[0]) == ["channelCount", "ts"]


async def test_quotes_travel_percent_encoded(now: VirtualClock) -> None:
    """%22 around each value is what the documentation sends."""
    caller = Caller(plain(), now)
    query = (
        f"startTs={int(NOON) - 200}&endTs={int(NOON) - 100}&appid={APP}&productType=Native&metric=userCount"
        "&dimension=sdk&dimensionValues=%224.1.1%22%2C%223.6.1.1%22"
    )
    rows = (await caller.fetch(f"{PATHS['usage']}?{query}")).json()["data"]
    assert [row["sdk"] for row in rows[:2]] == ["4.1.1", "3.6.1.1"]


@pytest.mark.parametrize(("dimension", "most"), [("country", 20), ("device", 50), ("net", 6)])
async def test_top20(now: VirtualClock, dimension: str, most: int) -> None:
    """Under data.list: 20 groups, 50 devices, metric descending, the window echoed even where it is off the grid."""
    data = plain(jitter="5%")
    data["accounts"][0]["projects"] = [project(products={"Native": {"peak_users": 5000}})]
    caller = Caller(data, now)
    ts = int(NOON) - 113
    body = await caller.body("quality_top20", dimension=dimension, ts=ts, extraMetrics="userCount")
    rows = body["data"]["list"]
    assert body["message"] is None
    assert len(rows) == most
    assert set(rows[0]) == {"videoFreezeRate", "userCount", dimension, "windowStartTs", "windowEndTs"}
    assert (rows[0]["windowStartTs"], rows[0]["windowEndTs"]) == (ts, ts + 20)
    assert [row["videoFreezeRate"] for row in rows] == sorted((r["videoFreezeRate"] for r in rows), reverse=True)
    usage = await caller.rows("usage_top20", dimension=dimension, ts=ts, extraMetrics="ignored")
    assert set(usage[0]) == {dimension, "userCount", "windowStartTs", "windowEndTs"}
    assert usage[0]["userCount"] == max(row["userCount"] for row in usage)
    assert {r[dimension]: r["userCount"] for r in rows}[usage[0][dimension]] == usage[0]["userCount"]


@pytest.mark.parametrize(("policy", "expected"), [("absent", "no row"), ("zero", 0), ("null", None)])
async def test_slots_without_users(now: VirtualClock, policy: str, expected: object) -> None:
    """By default they are absent; a switch makes them zero or null, but never for what does not exist."""
    data = plain(accounts=[account(answers={"empty_usage": policy, "empty_quality": policy})])
    data["incidents"] = [{"project": "classroom", "start": "+11h58m20s", "duration": "20s", "levels": {"userCount": 0}}]
    caller = Caller(data, now)
    empty = int(NOON) - 100
    for endpoint, metric in (("usage", "userCount"), ("usage", "channelCount"), ("quality", "videoFreezeRate")):
        rows = {row["ts"]: row[metric] for row in await caller.rows(endpoint, metric=metric)}
        assert rows.get(empty, "no row") == expected
        assert rows[empty - 20] > 0
        assert await caller.rows(endpoint, metric=metric, cname="nowhere") == []


# ── who may ask ──────────────────────────────────────────────────────────────────────────────────────────────────────


WRONG = "Invalid authentication credentials"
NO_TEXT = base64.b64encode(bytes([255, 254])).decode()


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({}, "Unauthorized"),
        ({"Authorization": "Bearer x"}, "Unauthorized"),
        (basic(password="wrong"), WRONG),
        (basic(user="nobody"), WRONG),
        ({"Authorization": "Basic %%%"}, WRONG),
        ({"Authorization": f"Basic {NO_TEXT}"}, WRONG),
        ({"Authorization": "Basic"}, WRONG),
    ],
)
async def test_gateway_refuses_strangers(now: VirtualClock, headers: Mapping[str, str], message: str) -> None:
    """HTTP 401 with a body that has no `code`; nobody's quota is touched."""
    caller = Caller(plain(), now)
    response = await caller.get("usage", headers=headers)
    assert (response.status_code, response.json()) == (401, {"message": message})
    assert caller.emulator.report()["quotas"] == []
    assert caller.emulator.report()["requests"] == {"usage": {"401": 1}}


@pytest.mark.parametrize("scheme", ["Basic", "basic", "BASIC"])
async def test_the_scheme_word_has_no_case(now: VirtualClock, scheme: str) -> None:
    """The vendor's own sample sends it in lower case."""
    response = await Caller(plain(), now).get("usage", headers=basic(scheme=scheme))
    assert response.json()["code"] == 200


async def test_an_app_of_somebody_else_is_refused_by_the_gateway(now: VirtualClock) -> None:
    """Credentials must match the App ID; one account never sees another's project."""
    data = plain()
    other = project(name="other", app_id=OTHER_APP)
    data["accounts"].append(account(name="beta", customer_id="id2", customer_secret="s2", projects=[other]))
    caller = Caller(data, now)
    response = await caller.get("usage", appid=OTHER_APP)
    assert (response.status_code, response.json()) == (401, {"message": "Invalid authentication credentials"})
    assert (await caller.get("usage", appid=OTHER_APP, headers=basic("id2", "s2"))).json()["code"] == 200


async def test_unknown_paths_and_methods(now: VirtualClock) -> None:
    """HTTP 404 in the gateway's words, to strangers too, with a Date; a slash at the end is another path."""
    caller = Caller(plain(), now)
    for path in ("/beta/realtime/usage", "/beta/realtime/usage/by_time_20sec/", "/"):
        response = await caller.get(path, headers={})
        assert (response.status_code, response.json()) == (404, {"message": "no Route matched with those values"})
        assert "date" in response.headers
    post = await caller.fetch(PATHS["usage"], method="POST")
    assert post.status_code == 404
    assert caller.emulator.report()["requests"] == {"unknown path": {"404": 4}}


# ── refusals in their order ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("endpoint", ["usage", "quality"])
async def test_the_first_missing_parameter_is_named(now: VirtualClock, endpoint: str) -> None:
    """In the documented order, missing or empty, before anything else is looked at."""
    caller = Caller(plain(), now)
    missing: dict[str, Any] = {}
    for name in ("metric", "productType", "appid", "endTs", "startTs"):
        missing[name] = None if len(missing) % 2 else ""
        body = await caller.body(endpoint, **missing)
        assert body == {"code": 400, "message": f"Bad request, parameter : {name} can not be null", "data": None}


async def test_the_first_missing_parameter_of_top20(now: VirtualClock) -> None:
    """The same for the other pair of endpoints, with their own table."""
    caller = Caller(plain(), now)
    missing: dict[str, Any] = {}
    for name in ("dimension", "metric", "productType", "appid", "ts"):
        missing[name] = None
        body = await caller.body("quality_top20", **missing)
        assert body["message"] == f"Bad request, parameter : {name} can not be null"


@pytest.mark.parametrize(
    ("endpoint", "given", "name"),
    [
        ("usage", {"startTs": "soon"}, "startTs"),
        ("usage", {"endTs": "-5"}, "endTs"),
        ("usage", {"productType": "native"}, "productType"),
        ("usage", {"metric": "userCount,channelCount"}, "metric"),
        ("usage", {"metric": "networkDelay"}, "metric"),
        ("quality", {"metric": "userCount"}, "metric"),
        ("quality", {"cname": "room", "uids": ",".join("1" * 11)}, "uids"),
        ("quality", {"cname": "room", "uids": "1,x"}, "uids"),
        ("quality", {"dimension": "planet"}, "dimension"),
        ("quality", {"dimension": "sdk", "dimensionValues": "4.1.1"}, "dimensionValues"),
        ("quality", {"dimension": "sdk", "dimensionValues": '"4.1.1",'}, "dimensionValues"),
        ("usage_top20", {"metric": "channelCount"}, "metric"),
        ("usage_top20", {"dimension": "planet"}, "dimension"),
        ("quality_top20", {"extraMetrics": "channelCount"}, "extraMetrics"),
    ],
)
async def test_unreadable_values(now: VirtualClock, endpoint: str, given: dict[str, Any], name: str) -> None:
    """Code 400 in a body of HTTP 200, naming the parameter."""
    body = await Caller(plain(), now).body(endpoint, **given)
    assert body == {"code": 400, "message": f"Bad request, parameter : {name} is invalid", "data": None}


@pytest.mark.parametrize("query", ["&".join("a=1" for _ in range(100)), "startTs=%FF", ""])
async def test_a_query_that_cannot_be_read_has_no_parameters(now: VirtualClock, query: str) -> None:
    """Too many fields, or bytes that are no text: as if nothing had been said."""
    response = await Caller(plain(), now).fetch(f"{PATHS['usage']}?{query}")
    assert response.json()["message"] == "Bad request, parameter : startTs can not be null"


async def test_milliseconds_are_an_unknown_error(now: VirtualClock) -> None:
    """As in a real ticket: code 500."""
    body = await Caller(plain(), now).body("usage", startTs=int(NOON) * 1000, endTs=int(NOON) * 1000 + 1)
    assert body == {"code": 500, "message": "Unknown Error", "data": None}


NO_AUTH = "you have no auth to access this service, please buy or upgrade your service package"
LATENCY, RANGE, DURATION = "query latency limit error", "query time range limit error", "query duration limit error"


async def test_refusals_come_in_the_documented_order(now: VirtualClock) -> None:
    """Parameters, plan, quota, range, latency, duration: each mended request meets the next refusal."""
    wrong_all = {"startTs": int(NOON) - 90_000, "endTs": int(NOON)}
    tight = {"per_minute": 1, "per_day": 1_000}
    locked = Caller(plain(accounts=[account(plan="standard", limits=tight)]), now)
    assert (await locked.body("usage", metric="x", **wrong_all))["code"] == 400
    assert (await locked.body("usage", **wrong_all))["message"] == NO_AUTH
    spent = Caller(plain(accounts=[account(limits=tight)]), now)
    assert (await spent.body("usage", metric="x", **wrong_all))["code"] == 400
    assert (await spent.body("usage", **wrong_all))["message"] == "qpm limit error"
    free = Caller(plain(), now)
    body = await free.body("usage", **wrong_all)
    assert body == {"code": 300, "message": RANGE, "data": None}
    late = {"startTs": int(NOON) - 3599, "endTs": int(NOON) + 3600}
    assert (await free.body("usage", **late))["message"] == LATENCY
    long = plain(accounts=[account(limits={"per_minute": 1000, "per_day": 1000, "span": "30m"})])
    assert (await Caller(long, now).body("usage", **{**late, "endTs": int(NOON) - 60}))["message"] == DURATION


@pytest.mark.parametrize(("plan", "back", "delay"), [("premium", 2400, 40), ("enterprise", 3600, 20)])
async def test_every_limit_is_strict(plan: str, back: int, delay: int) -> None:
    """endTs < now - delay, startTs > now - range, end - start < span: one second decides each."""
    clock = VirtualClock(epoch=NOON + 0.9, jumping=True)  # the server counts whole seconds
    caller = Caller(plain(accounts=[account(plan=plan)]), clock)
    now = int(NOON)
    for start, end, expected in (
        (now - 600, now - delay - 1, "success"),
        (now - 600, now - delay, LATENCY),
        (now - back + 1, now - 600, "success"),
        (now - back, now - 600, RANGE),
    ):
        assert (await caller.body("usage", startTs=start, endTs=end))["message"] == expected
    narrow = {"per_minute": 1000, "per_day": 1000, "span": "10m"}
    caller = Caller(plain(accounts=[account(plan=plan, limits=narrow)]), clock)
    for width, expected in ((599, "success"), (600, DURATION)):
        start = now - 1000
        assert (await caller.body("usage", startTs=start, endTs=start + width))["message"] == expected


async def test_the_limits_of_top20_are_those_of_its_window(now: VirtualClock) -> None:
    """ts + 20 must be older than the delay, ts younger than the range."""
    caller = Caller(plain(), now)
    assert (await caller.body("usage_top20", ts=int(NOON) - 41))["code"] == 200
    assert (await caller.body("usage_top20", ts=int(NOON) - 40))["message"] == LATENCY
    assert (await caller.body("usage_top20", ts=int(NOON) - 3600))["message"] == RANGE


async def test_the_recommended_request_brings_every_slot_of_a_long_gap(now: VirtualClock) -> None:
    """The dossier's formula on Premium: 118 or 119 slots at every second of a slot, never a refusal."""
    caller = Caller(plain(accounts=[account(plan="premium", limits={"per_minute": 1000, "per_day": 1000})]), now)
    for _ in range(21):
        at = int(now.now())
        end = (at - 40 - 1) // 20 * 20
        start = max(end - 2400 + 20, (at - 2400) // 20 * 20 + 40)
        rows = await caller.rows("usage", startTs=start, endTs=end)
        assert len(rows) == (end - start) // 20
        assert len(rows) >= 115
        await now.sleep_until(now.now() + 1)


@pytest.mark.parametrize("prefix", [False, True])
@pytest.mark.parametrize("span", ["duration", "length"])
async def test_message_switches(now: VirtualClock, prefix: bool, span: str) -> None:
    """Limit messages come plain or behind the vendor's prefix, in either wording; parameters are never prefixed."""
    limits = {"per_minute": 1000, "per_day": 1000, "span": "5m"}
    caller = Caller(
        plain(accounts=[account(limits=limits, answers={"message_prefix": prefix, "span_refusal": span})]), now
    )
    words = {"duration": DURATION, "length": "query time length limit error"}[span]
    start = "Service package limit check error, " if prefix else ""
    assert (await caller.body("usage"))["message"] == start + words
    assert (await caller.body("usage", metric=""))["message"].startswith("Bad request, ")


# ── quotas ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_premium_minute_and_day(now: VirtualClock) -> None:
    """Read strictly, two requests pass in a UTC minute; the third is refused in a body; the next minute is free."""
    caller = Caller(plain(accounts=[account(plan="premium", limits={})]), now)
    await now.sleep_until(NOON + 58)
    messages = [(await caller.body("usage"))["message"] for _ in range(3)]
    assert messages == ["success", "success", "qpm limit error"]
    await now.sleep_until(NOON + 60)
    assert (await caller.body("quality"))["message"] == "success"
    rows: Any = caller.emulator.report()["quotas"]
    assert [(r["family"], r["window"], r["limit"], r["spent"], r["total"], r["refused"]) for r in rows] == [
        ("realtime", "minute", 3, 3, 4, 1),
        ("realtime", "day", 480, 4, 4, 0),
    ]


async def test_the_day_is_the_utc_day(now: VirtualClock) -> None:
    """A used-up day is refused until midnight, and not a second longer."""
    caller = Caller(plain(accounts=[account(limits={"per_minute": 1000, "per_day": 3})]), now)
    await now.sleep_until(EPOCH + 86_399)
    messages = [(await caller.body("usage"))["message"] for _ in range(3)]
    assert messages == ["success", "success", "qpd limit error"]
    await now.sleep_until(EPOCH + 86_400)
    assert (await caller.body("usage"))["message"] == "success"


async def test_an_optional_limit_per_second(now: VirtualClock) -> None:
    """A plan may count seconds; that refusal comes before the others."""
    limits = {"per_second": 2, "per_minute": 2, "per_day": 1000}
    caller = Caller(plain(accounts=[account(limits=limits)]), now)
    assert [(await caller.body("usage"))["message"] for _ in range(2)] == ["success", "qps limit error"]


async def test_the_limit_may_be_read_inclusively_and_refused_by_the_gateway(now: VirtualClock) -> None:
    """The other readings of the dossier: the limit itself passes; the refusal is HTTP 429 without a code."""
    quota = {"strict": False, "refuse_with": "gateway"}
    caller = Caller(plain(accounts=[account(plan="premium", limits={}, quota=quota)]), now)
    for _ in range(3):
        assert (await caller.body("usage"))["message"] == "success"
    response = await caller.get("usage")
    assert (response.status_code, response.json()) == (429, {"message": "API rate limit exceeded"})
    rows: Any = caller.emulator.report()["quotas"]
    assert rows[0]["refused"] == 1


@pytest.mark.parametrize(
    ("scope", "pools"),
    [
        ("account", {("realtime", "")}),
        ("family", {("realtime", "")}),
        ("endpoint", {("realtime", "usage"), ("realtime", "quality")}),
        ("app_id", {("realtime", APP), ("realtime", OTHER_APP)}),
    ],
)
async def test_quota_scopes(now: VirtualClock, scope: str, pools: set[tuple[str, str]]) -> None:
    """What shares a set of counters is a switch; two of each endpoint and App ID pass or fail accordingly."""
    projects = [project(), project(name="second", app_id=OTHER_APP)]
    one = account(plan="premium", limits={}, quota={"scope": scope}, projects=projects)
    caller = Caller(plain(accounts=[one]), now)
    for endpoint, app in (("usage", APP), ("quality", OTHER_APP), ("usage", APP), ("quality", OTHER_APP)):
        body = await caller.body(endpoint, appid=app)
        assert body["code"] in (200, 300)
    rows: Any = caller.emulator.report()["quotas"]
    assert {(row["family"], row["part"]) for row in rows} == pools
    assert sum(row["refused"] for row in rows) == (2 if len(pools) == 1 else 0)


async def test_refused_requests_count(now: VirtualClock) -> None:
    """Bad parameters, bad App IDs and refusals fill the window like answers."""
    caller = Caller(plain(accounts=[account(plan="premium", limits={})]), now)
    await caller.get("usage", metric="x")
    await caller.get("usage", appid="somebody-elses")
    assert (await caller.body("usage"))["message"] == "qpm limit error"


# ── the report ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_report_is_served_and_says_what_was_handed_out(now: VirtualClock) -> None:
    """Per query the union of answered slots; refusals hand out nothing; the page itself counts nothing."""
    caller = Caller(plain(), now)
    at = int(NOON)
    for start, end in ((at - 600, at - 500), (at - 500, at - 400), (at - 300, at - 200), (at - 50, at)):
        await caller.body("usage", startTs=start, endTs=end)
    await caller.body("quality", cname="room", uids="2303692334", startTs=at - 100, endTs=at - 60)
    await caller.body("usage_top20", ts=at - 100)
    page = await caller.fetch("/_emulator/report", headers={})
    report = page.json()
    assert report == json.loads(json.dumps(caller.emulator.report()))
    assert report["vendor"] == "agora"
    assert report["now"] == "2026-01-01T12:00:00Z"
    assert report["requests"] == {
        "quality": {"answered": 1},
        "usage": {"answered": 3, LATENCY: 1},
        "usage_top20": {"answered": 1},
    }
    slots = {(s["endpoint"], s["cname"], s["split"]): s["intervals"] for s in report["slots"]}
    assert slots == {
        ("usage", "", ""): [[at - 600, at - 400], [at - 300, at - 200]],
        ("quality", "room", "uids"): [[at - 100, at - 60]],
        ("usage_top20", "", "sdk"): [[at - 100, at - 80]],
    }
    assert report["slots"][0]["account"] == "acme"
    assert report["slots"][0]["project"] == "classroom"


async def test_the_date_is_the_run_clocks(now: VirtualClock) -> None:
    """Every answer carries the server's time, not the machine's."""
    response = await Caller(plain(), now).get("usage")
    assert parsedate_to_datetime(response.headers["date"]).timestamp() == NOON


async def test_same_seed_same_bytes_in_any_order(now: VirtualClock) -> None:
    """Two servers of one scenario answer alike, whatever was asked before."""
    data = plain(jitter="5%", seed=11)
    one, two = Caller(data, now), Caller(data, now)
    asks: list[tuple[str, dict[str, Any]]] = [
        ("usage", {}),
        ("quality", {"metric": "networkDelay"}),
        ("quality", {"dimension": "os"}),
        ("quality_top20", {}),
    ]
    first = [(await one.get(endpoint, **given)).content for endpoint, given in asks]
    again = [(await two.get(endpoint, **given)).content for endpoint, given in reversed(asks)]
    assert first == again[::-1]
    other = Caller({**data, "seed": 12}, now)
    assert (await other.get("usage")).content != first[0]


async def test_the_example_plays(now: VirtualClock) -> None:
    """The shipped scenario, started at noon: the incident before the start is found by looking back, and no further."""
    emulator = build_agora(read(EXAMPLE, epoch=NOON), now)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=emulator.app)) as client:
        at = int(NOON)
        given = {"startTs": str(at - 2399), "endTs": str(at - 41), "appid": APP, "productType": "Native"}
        response = await client.get(
            f"http://api.example.com{PATHS['quality']}",
            params={**given, "metric": "videoFreezeRate"},
            headers=basic("acme-id", "acme-secret"),
        )
    rows = response.json()["data"]
    assert [row["ts"] for row in rows] == list(range(at - 2400, at - 60, 20))
    bad = [row["ts"] for row in rows if row["videoFreezeRate"] > 0.1]
    assert bad == list(range(at - 1200, at - 900, 20))
    assert all(row["videoFreezeRate"] < 0.015 for row in rows if row["ts"] not in bad)


async def test_top20_finds_the_group_of_an_incident(now: VirtualClock) -> None:
    """Worst first with the users behind it, while the users of groups stay as they are."""
    incident = {"project": "classroom", "start": "+11h", "duration": "2h", "levels": {"videoFreezeRate": "40%"}}
    data = plain(incidents=[{**incident, "where": {"sdk": "4.2.1"}}])
    data["accounts"][0]["projects"] = [project(products={"Native": {"peak_users": 10_000}})]
    caller = Caller(data, now)
    first, second, *_ = await caller.rows("quality_top20", extraMetrics="userCount")
    assert (first["sdk"], first["videoFreezeRate"]) == ("4.2.1", 0.4)
    assert second["videoFreezeRate"] == pytest.approx(0.009, abs=1e-3)
    users = {row["sdk"]: row["userCount"] for row in await caller.rows("usage_top20")}
    assert first["userCount"] == users["4.2.1"] == 358
    assert next(iter(users)) == "4.1.1"
