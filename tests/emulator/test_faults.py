"""Each fault knob in-process: what the client meets, when, and that it is counted. The wire's own are in test_wire."""

from __future__ import annotations

import json
from email.utils import parsedate_to_datetime
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.emulator.helpers import NOON, OTHER_APP, Caller, account, basic, plain, project
from watcher.clock import VirtualClock
from watcher.emulator.faults import Facts, Fault, Injector, Where


@pytest.fixture
def now() -> VirtualClock:
    """Noon of the first day."""
    return VirtualClock(epoch=NOON, jumping=True)


def with_faults(*faults: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """`plain` with faults, and some noise so that values differ."""
    return plain(jitter="5%", faults=list(faults), **changes)


def handed_out(caller: Caller) -> list[list[int]]:
    """The intervals of the one query asked."""
    slots: Any = caller.emulator.report()["slots"]
    return [interval for entry in slots for interval in entry["intervals"]]


def struck(caller: Caller) -> dict[str, int]:
    """How often each kind struck."""
    faults: Any = caller.emulator.report()["faults"]
    return dict(faults)


# ── when and where ───────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_fault_has_a_beginning_and_an_end(now: VirtualClock) -> None:
    """From its first second to before its last; the count says how often it struck."""
    caller = Caller(with_faults({"kind": "http_429", "from": "+12h1m", "until": "+12h2m"}), now)
    found = []
    for at in (59, 60, 119, 120):
        await now.sleep_until(NOON + at)
        found.append((await caller.get("usage")).status_code)
    assert found == [200, 429, 429, 200]
    assert struck(caller) == {"http_429": 2}


async def test_every_third_request_of_those_in_its_place(now: VirtualClock) -> None:
    """`every` counts the requests that `where` lets through, and no others."""
    caller = Caller(with_faults({"kind": "http_500", "every": 3, "where": {"endpoint": ["quality"]}}), now)
    found = [(await caller.get(endpoint)).status_code for endpoint in ("quality", "usage") * 6]
    assert found[1::2] == [200] * 6
    assert found[0::2] == [200, 200, 500, 200, 200, 500]


async def test_probability_is_drawn_from_the_seed(now: VirtualClock) -> None:
    """About the share asked for, and the same requests again for the same seed."""
    data = with_faults({"kind": "http_500", "probability": "30%"})
    runs = []
    for _ in range(2):
        caller = Caller(data, now)
        runs.append([(await caller.get("usage")).status_code for _ in range(200)])
    assert runs[0] == runs[1]
    assert 40 <= runs[0].count(500) <= 80


@pytest.mark.parametrize(
    ("where", "hit"),
    [
        ({"host": ["api-one.example.com"]}, False),
        ({"host": ["api.example.com"]}, True),
        ({"endpoint": ["usage"]}, True),
        ({"endpoint": ["usage_top20", "quality"]}, False),
        ({"metric": ["userCount"]}, True),
        ({"metric": ["channelCount"]}, False),
        ({"product": ["WebRTC"]}, False),
        ({"product": ["Native"], "account": ["acme"], "project": ["classroom"]}, True),
        ({"product": ["Native"], "account": ["acme"], "project": ["second"]}, False),
        ({"account": ["beta"]}, False),
    ],
)
async def test_a_fault_has_a_place(now: VirtualClock, where: dict[str, Any], hit: bool) -> None:
    """Each part of `where` must agree, so that one host, account, project or query can fail alone."""
    second = account(name="beta", customer_id="i2", projects=[project(name="second", app_id=OTHER_APP)])
    data = with_faults({"kind": "http_502", "where": where}, accounts=[account(), second])
    assert ((await Caller(data, now).get("usage")).status_code == 502) is hit


async def test_one_domain_fails_and_the_other_answers(now: VirtualClock) -> None:
    """The same server under two names: what failover needs."""
    data = with_faults({"kind": "reset", "where": {"host": ["api.example.com:8443"]}})
    caller = Caller(data, now)
    with pytest.raises(ConnectionResetError):
        await caller.get("usage", host="api.example.com:8443")
    assert (await caller.get("usage", host="api.sd.example.com:8443")).status_code == 200
    assert (await caller.get("usage", host="api.example.com:8444")).status_code == 200


@given(
    st.lists(st.floats(0, 100), max_size=40),
    st.integers(1, 5),
    st.one_of(st.none(), st.floats(0, 1)),
)
@settings(max_examples=60, deadline=None)
def test_the_injector_counts_what_it_strikes(times: list[float], every: int, probability: float | None) -> None:
    """Only inside the time, only every n-th there, and the count is the number of strikes."""
    fault = Fault(kind="reset", since=20.0, until=80.0, every=every, probability=probability, where=Where())
    injector = Injector(faults=[fault], seed=1)
    hits = [bool(injector.strike(Facts(), at)) for at in times]
    inside = [hit for hit, at in zip(hits, times, strict=True) if 20 <= at < 80]
    assert sum(inside) == sum(hits) == injector.struck["reset"]
    if probability is None:
        assert inside == [(i + 1) % every == 0 for i in range(len(inside))]


# ── instead of an answer ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("kind", "status", "body"),
    [
        ("http_401", 401, {"message": "Unauthorized"}),
        ("http_404", 404, {"message": "no Route matched with those values"}),
        ("http_429", 429, {"message": "API rate limit exceeded"}),
        ("http_500", 500, {"code": 500, "message": "Unknown Error", "data": None}),
        ("code_500", 200, {"code": 500, "message": "Unknown Error", "data": None}),
        ("qps", 200, {"code": 300, "message": "qps limit error", "data": None}),
        ("qpm", 200, {"code": 300, "message": "qpm limit error", "data": None}),
        ("qpd", 200, {"code": 300, "message": "qpd limit error", "data": None}),
        (
            "no_auth",
            200,
            {
                "code": 300,
                "message": "you have no auth to access this service, please buy or upgrade your service package",
                "data": None,
            },
        ),
    ],
)
async def test_refusals_on_order(now: VirtualClock, kind: str, status: int, body: dict[str, Any]) -> None:
    """The gateway's and the service's refusals can be forced; nothing is handed out, the request still counts."""
    caller = Caller(with_faults({"kind": kind}), now)
    response = await caller.get("quality")
    assert (response.status_code, response.json()) == (status, body)
    assert handed_out(caller) == []
    rows: Any = caller.emulator.report()["quotas"]
    assert rows[0]["total"] == 1
    assert rows[0]["refused"] == 0  # a forced refusal is not the quota's


@pytest.mark.parametrize(("kind", "status"), [("html", 200), ("http_502", 502)])
async def test_html_instead_of_json(now: VirtualClock, kind: str, status: int) -> None:
    """A page, with its media type, under a good or a bad status."""
    response = await Caller(with_faults({"kind": kind}), now).get("usage")
    assert response.status_code == status
    assert response.headers["content-type"].startswith("text/html")
    assert response.text.startswith("<!DOCTYPE html>")


async def test_a_slow_answer_takes_run_time(now: VirtualClock) -> None:
    """Eight virtual seconds pass; `Date` is when the answer left."""
    caller = Caller(with_faults({"kind": "slow", "seconds": 8}), now)
    response = await caller.get("usage")
    assert now.now() == pytest.approx(NOON + 8, abs=0.01)
    assert parsedate_to_datetime(response.headers["date"]).timestamp() == NOON + 8
    assert response.json()["code"] == 200


async def test_a_silent_server_waits_for_the_callers_deadline(now: VirtualClock) -> None:
    """In-process nothing ever comes; the caller's own deadline ends it."""
    caller = Caller(with_faults({"kind": "timeout"}), now)
    with anyio.move_on_after(3600) as scope:
        await caller.get("usage")
    assert scope.cancelled_caught
    assert now.now() == pytest.approx(NOON + 3600, abs=0.01)


@pytest.mark.parametrize("kind", ["reset", "cut_off"])
async def test_a_broken_connection_is_an_exception_in_process(now: VirtualClock, kind: str) -> None:
    """There is no wire to break, so the app raises what a transport maps to a read error; nothing was handed out."""
    caller = Caller(with_faults({"kind": kind}), now)
    with pytest.raises(ConnectionResetError):
        await caller.get("usage")
    assert handed_out(caller) == []


# ── spoiled answers ──────────────────────────────────────────────────────────────────────────────────────────────────


async def test_truncated_json(now: VirtualClock) -> None:
    """A whole HTTP answer with half of its JSON."""
    caller = Caller(with_faults({"kind": "truncated"}), now)
    response = await caller.get("usage")
    assert int(response.headers["content-length"]) == len(response.content)
    with pytest.raises(json.JSONDecodeError):
        response.json()
    assert handed_out(caller) == []


async def test_a_huge_body_is_as_large_as_asked(now: VirtualClock) -> None:
    """The answer goes on in blanks."""
    response = await Caller(with_faults({"kind": "huge", "bytes": 1_000_001}), now).get("usage")
    assert len(response.content) == 1_000_001
    assert "content-length" not in response.headers


@pytest.mark.parametrize(
    ("fault", "field", "value"),
    [
        ({"kind": "message"}, "message", None),
        ({"kind": "message", "text": "null"}, "message", "null"),
        ({"kind": "message", "text": ""}, "message", ""),
        ({"kind": "message", "text": "success"}, "message", "success"),
        ({"kind": "code_zero"}, "code", 0),
    ],
)
async def test_variants_of_success(now: VirtualClock, fault: dict[str, Any], field: str, value: object) -> None:
    """The message may be anything and the code 0: the rows are the same, and handed out."""
    honest = await Caller(with_faults(), now).body("usage", dimension="sdk")
    caller = Caller(with_faults(fault), now)
    body = await caller.body("usage", dimension="sdk")
    assert body[field] == value
    assert body["data"] == honest["data"]
    assert handed_out(caller)


@pytest.mark.parametrize(("kind", "flat", "top"), [("data_null", None, None), ("data_empty", [], {"list": []})])
async def test_no_data_at_all(now: VirtualClock, kind: str, flat: object, top: object) -> None:
    """Code 200 around nothing: not handed out."""
    caller = Caller(with_faults({"kind": kind}), now)
    assert (await caller.body("usage"))["data"] == flat
    assert (await caller.body("usage_top20"))["data"] == top
    assert handed_out(caller) == []


async def test_holes_stay_holes(now: VirtualClock) -> None:
    """About the share asked for is missing, the same slots at every look, and only those are not handed out."""
    caller = Caller(with_faults({"kind": "holes", "share": "30%"}), now)
    at = int(NOON)
    first = [row["ts"] for row in await caller.rows("usage", startTs=at - 3590, endTs=at - 60)]
    again = [row["ts"] for row in await caller.rows("usage", startTs=at - 3000, endTs=at - 60)]
    whole = range((at - 3590) // 20 * 20, at - 60, 20)
    assert 0.55 < len(first) / len(whole) < 0.85
    assert again == [ts for ts in first if ts >= at - 3000]
    assert [ts for start, end in handed_out(caller) for ts in range(start, end, 20)] == first


async def test_null_and_zero_values(now: VirtualClock) -> None:
    """The rows are there with null (not handed out) or 0 (handed out, and a lie)."""
    honest = await Caller(with_faults(), now).rows("quality")
    for kind, value in (("null_values", None), ("zero_values", 0)):
        caller = Caller(with_faults({"kind": kind}), now)
        rows = await caller.rows("quality")
        assert [row["ts"] for row in rows] == [row["ts"] for row in honest]
        hit = [row["ts"] for row in rows if row["videoFreezeRate"] == value]
        assert 3 <= len(hit) <= 20
        told = {ts for start, end in handed_out(caller) for ts in range(start, end, 20)}
        assert told == {row["ts"] for row in rows} - (set(hit) if value is None else set())


@pytest.mark.parametrize(
    ("endpoint", "given"),
    [("usage", {}), ("quality", {"dimension": "sdk"}), ("quality_top20", {}), ("quality", {"cname": "room"})],
)
async def test_shuffled_rows_are_the_same_rows(now: VirtualClock, endpoint: str, given: dict[str, Any]) -> None:
    """Another order, nothing else."""
    honest = await Caller(with_faults(), now).rows(endpoint, **given)
    rows = await Caller(with_faults({"kind": "shuffled"}), now).rows(endpoint, **given)
    assert rows != honest
    assert sorted(rows, key=str) == sorted(honest, key=str)


async def test_shuffled_rows_of_a_uid(now: VirtualClock) -> None:
    """Nested rows are shuffled inside their uid."""
    given = {"cname": "room", "uids": "2303692334"}
    (honest,) = await Caller(with_faults(), now).rows("quality", **given)
    (mixed,) = await Caller(with_faults({"kind": "shuffled"}), now).rows("quality", **given)
    assert mixed["values"] != honest["values"]
    assert sorted(mixed["values"], key=lambda row: row["ts"]) == honest["values"]


async def test_the_newest_slots_are_provisional(now: VirtualClock) -> None:
    """The newest two of those offered are missing or too low; forty seconds later they are final."""
    data = with_faults({"kind": "late_slots", "slots": 2})
    final = with_faults()
    caller, honest = Caller(data, now), Caller(final, now)
    seen = {"missing": 0, "low": 0}
    for _ in range(15):
        end = int(now.now()) - 21
        ask = {"startTs": end - 200, "endTs": end}
        truth = {row["ts"]: row["userCount"] for row in await honest.rows("usage", **ask)}
        rows = {row["ts"]: row["userCount"] for row in await caller.rows("usage", **ask)}
        newest = sorted(truth)[-2:]
        assert {ts: n for ts, n in rows.items() if ts not in newest} == {
            ts: n for ts, n in truth.items() if ts not in newest
        }
        for ts in newest:
            assert rows.get(ts, 0) < truth[ts]
            seen["low" if ts in rows else "missing"] += 1
        await now.sleep_until(now.now() + 20)
    assert min(seen.values()) >= 5
    assert handed_out(caller)[0][0] == int(NOON) - 240


async def test_rows_are_revised(now: VirtualClock) -> None:
    """Rows younger than ten minutes are twice their final value; rates stay at most 1."""
    data = with_faults({"kind": "revised", "after": "10m", "factor": 2}, incidents=[
        {"project": "classroom", "start": "+11h", "duration": "2h", "levels": {"networkDelay": 0.8}}
    ])  # fmt: skip
    caller, honest = Caller(data, now), Caller({**data, "faults": []}, now)
    ask = {"startTs": int(NOON) - 1200, "endTs": int(NOON) - 60}
    truth, rows = await honest.rows("usage", **ask), await caller.rows("usage", **ask)
    for row, true in zip(rows, truth, strict=True):
        young = NOON - (row["ts"] + 20) < 600
        assert row["userCount"] == true["userCount"] * (2 if young else 1)
    assert {row["networkDelay"] for row in await caller.rows("quality", metric="networkDelay", **ask)} >= {1}


# ── clock and quota ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("skew", [-90, 90])
async def test_the_servers_clock_may_be_wrong(now: VirtualClock, skew: int) -> None:
    """`Date`, freshness, look-back and quota windows follow it; the clock of another host may be right."""
    caller = Caller(with_faults({"kind": "clock_skew", "seconds": skew, "where": {"host": ["off.example.com"]}}), now)
    response = await caller.get("usage", host="off.example.com")
    assert parsedate_to_datetime(response.headers["date"]).timestamp() == NOON + skew
    right = await caller.get("usage")
    assert parsedate_to_datetime(right.headers["date"]).timestamp() == NOON
    edge = int(NOON) + skew - 21
    assert (await caller.body("usage", host="off.example.com", endTs=edge))["message"] == "success"
    assert (await caller.body("usage", host="off.example.com", endTs=edge + 1))["code"] == 300
    old = int(NOON) + skew - 3599
    given = {"host": "off.example.com", "endTs": old + 60}
    assert (await caller.body("usage", startTs=old, **given))["message"] == "success"
    assert (await caller.body("usage", startTs=old - 1, **given))["message"] == "query time range limit error"


async def test_quota_windows_follow_the_servers_clock(now: VirtualClock) -> None:
    """A server 30 s ahead begins its minute 30 s early."""
    data = with_faults({"kind": "clock_skew", "seconds": 30}, accounts=[account(plan="premium", limits={})])
    caller = Caller(data, now)
    messages = []
    for at in (28, 29, 29.5, 30, 31, 59):
        await now.sleep_until(NOON + at)
        messages.append((await caller.body("usage", startTs=int(NOON) - 600, endTs=int(NOON) - 100))["message"])
    over = "qpm limit error"
    assert messages == ["success", "success", over, "success", "success", over]


async def test_somebody_else_shares_the_quota(now: VirtualClock) -> None:
    """One foreign request a minute leaves one of Premium's two, only while it lasts and only to that account."""
    second = account(
        name="beta", customer_id="i2", plan="premium", limits={}, projects=[project(name="p2", app_id=OTHER_APP)]
    )
    fault = {"kind": "foreign", "per_minute": 1, "from": "+11h", "until": "+12h5m", "where": {"account": ["acme"]}}
    caller = Caller(with_faults(fault, accounts=[account(plan="premium", limits={}), second]), now)

    async def pair(**given: Any) -> list[str]:
        return [(await caller.body("usage", **given))["message"] for _ in range(2)]

    await now.sleep_until(NOON + 61)
    assert await pair() == ["success", "success"]  # the foreign one of this minute comes at its end
    await now.sleep_until(NOON + 120)
    assert await pair(appid=OTHER_APP, headers=basic("i2")) == ["success", "success"]
    await now.sleep_until(NOON + 600)
    assert await pair() == ["success", "success"]
    rows: Any = caller.emulator.report()["quotas"]
    by = {(row["account"], row["window"]): row for row in rows}
    assert by["acme", "day"]["foreign"] == 65
    assert by["beta", "day"]["foreign"] == 0


async def test_a_busy_stranger_leaves_nothing(now: VirtualClock) -> None:
    """One foreign request a second: ten seconds into the minute it is spent, and free again once that is over."""
    fault = {"kind": "foreign", "per_minute": 60, "from": "+12h", "until": "+12h5m"}
    limits = {"per_day": 1_000_000}
    caller = Caller(with_faults(fault, accounts=[account(plan="premium", limits=limits)]), now)
    assert (await caller.body("usage"))["message"] == "success"
    await now.sleep_until(NOON + 70)
    assert (await caller.body("usage"))["message"] == "qpm limit error"
    await now.sleep_until(NOON + 360)
    assert (await caller.body("usage"))["message"] == "success"
