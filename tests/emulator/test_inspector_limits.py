"""Call Inspector: its limits, refusals and faults, and what the dossier leaves open."""

from __future__ import annotations

from typing import Any

import pytest

from tests.emulator.helpers import NOON, Caller, account, plain
from tests.emulator.test_inspector import everyone, product_of, series, the_call, world
from watcher.clock import DAY, HOUR, VirtualClock

N = int(NOON)


@pytest.fixture
def now() -> VirtualClock:
    """Noon of the first day."""
    return VirtualClock(epoch=NOON, jumping=True)


# ── limits ───────────────────────────────────────────────────────────────────────────────────────────────────────────

LATENCY, RANGE, DURATION = "query latency limit error", "query time range limit error", "query duration limit error"


def free(plan: str, **changes: Any) -> dict[str, Any]:
    """A plan with its delays and spans, without its frequencies."""
    off = {"per_second": 1000, "per_day": 100_000}
    return world() | {"accounts": [account(plan=plan, limits={"call_lists": off, "call_details": off}, **changes)]}


@pytest.mark.parametrize(
    ("plan", "back", "lists", "details"),
    [
        ("standard", DAY, (8 * HOUR, 60), (HOUR, 300)),
        ("premium", 7 * DAY, (16 * HOUR, 20), (3 * HOUR, 150)),
        ("enterprise", 15 * DAY, (24 * HOUR, 20), (6 * HOUR, 100)),
    ],
)
async def test_range_span_and_delay_per_plan(
    now: VirtualClock, plan: str, back: int, lists: tuple[int, int], details: tuple[int, int]
) -> None:
    """The dossier's table, to the second, for lists and for the five others; Standard included."""
    caller = Caller(free(plan), now)
    others = {
        "call_sessions": {}, "call_metrics": {"sids": "x"}, "call_freeze_bucket": {"metric": "video_freeze_rate"},
        "call_statistics": {"metric": "video_freeze_rate", "dimension": "os"},
        "call_statistics_time": {"metric": "user_count"},
    }  # fmt: skip
    asked = [("call_lists", lists, {}), *((name, details, {"call_id": "c1", **more}) for name, more in others.items())]
    for endpoint, (span, delay), more in asked:
        for start, end, expected in (
            (N - delay - 100, N - delay - 1, ""),
            (N - delay - 100, N - delay, LATENCY),
            (N - back + 1, N - back + 10, ""),
            (N - back, N - back + 10, RANGE),
            (N - delay - span, N - delay - 1, ""),
            (N - delay - span - 1, N - delay - 1, DURATION),
        ):
            body = await caller.body(endpoint, start_ts=start, end_ts=end, **more)
            assert body["message"] == expected or (not expected and body["code"] == 200), (endpoint, start, end)


async def test_starter_has_no_rest_at_all(now: VirtualClock) -> None:
    """The refusal in the vendor's words, for every family."""
    caller = Caller(world(accounts=[account(plan="starter", limits={})]), now)
    for endpoint in ("usage", "call_lists", "insight_usage"):
        body = await caller.body(endpoint)
        assert body["code"] == 300
        assert body["message"].startswith("you have no auth to access this service")
        assert body["data"] is None
    standard = Caller(world(accounts=[account(plan="standard", limits={})]), now)
    assert (await standard.body("insight_usage"))["code"] == 300
    assert (await standard.body("usage"))["code"] == 300


@pytest.mark.parametrize(
    ("plan", "second", "day"), [("standard", 1, 1000), ("premium", 3, 2000), ("enterprise", 10, 10_000)]
)
async def test_frequencies_per_plan(now: VirtualClock, plan: str, second: int, day: int) -> None:
    """Per second and day, lists apart from the five others; what is over is counted where it belongs."""
    quota = {"strict": False}
    caller = Caller(world(accounts=[account(plan=plan, limits={}, quota=quota)]), now)
    for _ in range(second):
        assert (await caller.body("call_lists"))["code"] == 200
    body = await caller.body("call_lists")
    assert body == {"code": 300, "message": "qps limit error", "data": None}
    for i in range(second):
        endpoint, more = [("call_sessions", {}), ("call_metrics", {"sids": "x"})][i % 2]
        assert (await caller.body(endpoint, call_id="c1", **more))["code"] == 200
    assert (await caller.body("call_freeze_bucket", call_id="c1", metric="video_freeze_rate"))["code"] == 300
    await now.sleep_until(NOON + 1)
    assert (await caller.body("call_lists"))["code"] == 200
    rows: Any = caller.emulator.report()["quotas"]
    assert [(r["family"], r["window"], r["limit"], r["spent"], r["total"], r["refused"]) for r in rows] == [
        ("call_lists", "second", second, second + 1, second + 2, 1),
        ("call_lists", "day", day, second + 2, second + 2, 0),
        ("call_details", "second", second, second + 1, second + 1, 1),
        ("call_details", "day", day, second + 1, second + 1, 0),
    ]


async def test_the_widest_scope_pools_the_two_groups(now: VirtualClock) -> None:
    """ "Judged on the whole account": lists and sessions share one second."""
    data = world(accounts=[account(plan="premium", limits={}, quota={"scope": "account", "strict": False})])
    caller = Caller(data, now)
    for endpoint, more in (("call_lists", {}), ("call_sessions", {"call_id": "c1"}), ("call_lists", {})):
        assert (await caller.body(endpoint, **more))["code"] == 200
    assert (await caller.body("call_sessions", call_id="c1"))["message"] == "qps limit error"
    assert (await caller.body("usage"))["code"] == 200


# ── refusals ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("endpoint", "names"),
    [
        ("call_lists", ["start_ts", "end_ts", "appid"]),
        ("call_sessions", ["start_ts", "end_ts", "appid", "call_id"]),
        ("call_metrics", ["start_ts", "end_ts", "appid", "call_id", "sids"]),
        ("call_statistics", ["start_ts", "end_ts", "appid", "call_id", "metric", "dimension"]),
        ("call_freeze_bucket", ["start_ts", "end_ts", "appid", "call_id", "metric"]),
        ("call_statistics_time", ["start_ts", "end_ts", "appid", "call_id", "metric"]),
    ],
)
async def test_the_first_missing_parameter_is_named(now: VirtualClock, endpoint: str, names: list[str]) -> None:
    """In the order of the endpoint's table; the names of realtime are not known here."""
    caller = Caller(plain(), now)
    given: dict[str, Any] = {
        "call_id": "c1", "sids": "x", "metric": "video_freeze_rate", "dimension": "os", "startTs": N, "endTs": N,
    }  # fmt: skip
    for name in reversed(names):
        given[name] = None
        body = await caller.body(endpoint, **given)
        assert body == {"code": 400, "message": f"Bad request, parameter : {name} can not be null", "data": None}


@pytest.mark.parametrize(
    ("endpoint", "given", "name"),
    [
        ("call_lists", {"start_ts": "soon"}, "start_ts"),
        ("call_lists", {"page_no": "0"}, "page_no"),
        ("call_lists", {"page_size": "x"}, "page_size"),
        ("call_sessions", {"uids": ",".join("1" * 11)}, "uids"),
        ("call_sessions", {"uids": "ann"}, "uids"),
        ("call_sessions", {"exclude_server_user": "no"}, "exclude_server_user"),
        ("call_metrics", {"sids": ",".join(str(i) for i in range(21))}, "sids"),
        ("call_statistics", {"metric": "user_count", "dimension": "os"}, "metric"),
        ("call_statistics", {"metric": "video_freeze_rate", "dimension": "planet"}, "dimension"),
        ("call_freeze_bucket", {"metric": "audio_freeze_user_count"}, "metric"),
        ("call_statistics_time", {"metric": "networkDelay"}, "metric"),
    ],
)
async def test_unreadable_values(now: VirtualClock, endpoint: str, given: dict[str, Any], name: str) -> None:
    """Code 400 in a body of HTTP 200, naming the parameter."""
    body = await Caller(plain(), now).body(endpoint, **{"call_id": "c1", "sids": "x", **given})
    assert body == {"code": 400, "message": f"Bad request, parameter : {name} is invalid", "data": None}


async def test_twenty_sids_pass(now: VirtualClock) -> None:
    """Twenty, each counted once; milliseconds are an unknown error."""
    caller = Caller(plain(), now)
    sids = ",".join([*(str(i) for i in range(20)), "0"])
    assert (await caller.body("call_metrics", call_id="c1", sids=sids))["code"] == 200
    assert (await caller.body("call_lists", start_ts=N * 1000))["code"] == 500


# ── what the dossier leaves open ─────────────────────────────────────────────────────────────────────────────────────


def with_answers(**answers: Any) -> dict[str, Any]:
    """`world` with switches."""
    data = world(jitter="5%")
    data["accounts"][0]["answers"] = answers
    return data


async def test_success_may_be_code_0(now: VirtualClock) -> None:
    """Lists, sessions and metrics then look like the examples; the three others have always had 200."""
    caller = Caller(with_answers(call_success="0"), now)
    body = await caller.body("call_lists", cname="room")
    assert (body["code"], body["message"]) == (0, "string")
    call_id = body["call_lists"][0]["call_id"]
    assert (await caller.body("call_sessions", call_id=call_id))["code"] == 0
    assert (await caller.body("call_metrics", call_id=call_id, sids="x"))["code"] == 0
    assert (await caller.body("call_freeze_bucket", call_id=call_id, metric="video_freeze_rate"))["code"] == 200


@pytest.mark.parametrize(("live", "expected"), [("null", {"destroyed_ts": None}), ("zero", {"destroyed_ts": 0})])
async def test_what_a_live_call_says_of_its_end(now: VirtualClock, live: str, expected: dict[str, Any]) -> None:
    """Absent by default; null and 0 by switch."""
    (row,) = (await Caller(with_answers(live_destroyed=live), now).body("call_lists", cname="room"))["call_lists"]
    assert not row["finished"]
    assert {key: value for key, value in row.items() if key == "destroyed_ts"} == expected


async def test_other_readings_of_lists_and_sessions(now: VirtualClock) -> None:
    """ACU as an average, rates in percent, total as a page's, has_more of sessions, uid as text, roles as text."""
    usual = Caller(with_answers(), now)
    other = Caller(
        with_answers(
            call_acu="average", call_rates="percent", total_size="page", session_has_more=True, uid="string",
            roles="string",
        ),
        now,
    )  # fmt: skip
    one, two = [(await c.body("call_lists", cname="room"))["call_lists"][0] for c in (usual, other)]
    assert two["call_acu"] < one["call_acu"]
    assert two["call_acu"] == pytest.approx(65, abs=3)
    assert two["call_video_freeze_rate"] == pytest.approx(100 * one["call_video_freeze_rate"])
    call_id = one["call_id"]
    full = await usual.body("call_sessions", call_id=call_id)
    page = await other.body("call_sessions", call_id=call_id)
    assert (full["total_size"] > 20, page["total_size"], page["has_more"]) == (True, 20, True)
    assert "has_more" not in full
    for a, b in zip(full["call_info"], page["call_info"], strict=True):
        assert (b["uid"], [b["roles"]]) == (str(a["uid"]), a["roles"])
        assert b["user_video_freeze_rate"] == pytest.approx(100 * a["user_video_freeze_rate"])


async def test_other_readings_of_the_samples(now: VirtualClock) -> None:
    """Loss as a fraction, high and low stream swapped, picture quality there, memory not."""
    usual = Caller(with_answers(), now)
    other = Caller(with_answers(loss="fraction", streams="high_first", picture_qp=True, memory=False), now)
    speakers = [s for s in await everyone(usual, await the_call(usual)) if s["speaker"] and product_of(s) == "Native"]
    one, two = [(await series(caller, speakers[:1]))[speakers[0]["sid"]] for caller in (usual, other)]
    mean = {
        (which, row["mid"]): sum(v for _, v in row["kvs"]) / len(row["kvs"])
        for which, rows in (("one", one), ("two", two))
        for row in rows
        if row["peer_uid"] == 0
    }
    assert mean["one", 20024] == mean["two", 20006] > 3 * mean["one", 20006] == 3 * mean["two", 20024]
    assert mean["two", 20017] == pytest.approx(mean["one", 20017] / 100, rel=0.05)
    assert ("two", 20013) in mean
    assert ("one", 20013) not in mean
    assert ("two", 20039) not in mean
    assert ("two", 20040) not in mean


# ── faults ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("kind", "status", "words"),
    [
        ({"kind": "http_429"}, 429, "API rate limit exceeded"),
        ({"kind": "http_502"}, 502, "Temporarily"),
        ({"kind": "html"}, 200, "<!DOCTYPE"),
        ({"kind": "code_500"}, 200, "Unknown Error"),
        ({"kind": "qpd"}, 200, "qpd limit error"),
        ({"kind": "no_auth"}, 200, "you have no auth"),
        ({"kind": "data_null"}, 200, '"call_lists":null'),
        ({"kind": "data_empty"}, 200, '"call_lists":[]'),
        ({"kind": "message", "text": "null"}, 200, '"message":"null"'),
        ({"kind": "code_zero"}, 200, '{"code":0'),
    ],
)
async def test_faults_strike_lists_too(now: VirtualClock, kind: dict[str, Any], status: int, words: str) -> None:
    """What goes wrong with realtime goes wrong here, by the endpoint's name."""
    caller = Caller(plain(faults=[{**kind, "where": {"endpoint": ["call_lists"]}}]), now)
    response = await caller.get("call_lists")
    assert response.status_code == status
    assert words in response.text
    assert (await caller.body("call_sessions", call_id="c1"))["code"] == 200
    assert caller.emulator.report()["faults"] == {kind["kind"]: 1}


async def test_faults_bend_samples(now: VirtualClock) -> None:
    """Holes, nulls, zeros, no order, the first twice: in lists, sessions and kvs."""
    whole = Caller(world(), now)
    sessions = (await everyone(whole, await the_call(whole)))[-1:]
    usual = (await series(whole, sessions))[sessions[0]["sid"]][0]["kvs"]
    found = {}
    for kind in ("holes", "null_values", "zero_values", "shuffled", "duplicates"):
        caller = Caller(world(faults=[{"kind": kind, "where": {"endpoint": ["call_metrics"]}}]), now)
        found[kind] = (await series(caller, sessions))[sessions[0]["sid"]][0]["kvs"]
    assert 0 < len(found["holes"]) < len(usual)
    assert all(pair in usual for pair in found["holes"])
    assert None in [value for _, value in found["null_values"]]
    assert 0 in [value for _, value in found["zero_values"]]
    assert found["shuffled"] != usual == sorted(found["shuffled"])
    assert found["duplicates"] == [*usual, usual[0]]
    twice = Caller(world(faults=[{"kind": "duplicates"}]), now)
    rows = (await twice.body("call_lists"))["call_lists"]
    assert rows[0] == rows[-1]


async def test_same_seed_same_bytes(now: VirtualClock) -> None:
    """Two servers of one scenario answer alike, whatever was asked before; another seed has other users."""
    one, two = Caller(world(jitter="5%"), now), Caller(world(jitter="5%"), now)
    call_id = await the_call(two)
    assert (await one.get("call_sessions", call_id=call_id)).content == (
        await two.get("call_sessions", call_id=call_id)
    ).content
    assert await the_call(Caller(world(jitter="5%", seed=9), now)) != call_id
