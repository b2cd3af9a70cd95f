"""What each fault does to an answer, and that the books stay true."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.conftest import EPOCH
from tests.emulator.vonage.helpers import KEY, NOON, Caller, legacy_token, plain, project, session_query
from watcher.clock import VirtualClock

ROWS = """{ resources { sessionId mediaMode meetings { resources { publishers(first: 1) { pageInfo { endCursor }
  resources { stream { streamId videoType } streamStatsCollection(first: 10) {
    totalCount pageInfo { hasNextPage endCursor } resources { createdAt videoCodec videoPacketLoss } } } } } } } }"""
PROJECT = f"{{ project(projectId: {KEY}) {{ __typename }} }}"


@pytest.fixture
def now() -> VirtualClock:
    """Noon of the first day."""
    return VirtualClock(epoch=NOON, jumping=True)


def with_fault(kind: str, **settings: Any) -> dict[str, Any]:
    """A scenario with one fault."""
    return plain(faults=[{"kind": kind, **settings}])


def stats_of(data: dict[str, Any]) -> dict[str, Any]:
    """The statistics of the first stream of an answer to `ROWS`."""
    meeting = data["sessionData"]["sessions"]["resources"][0]["meetings"]["resources"][0]
    found: dict[str, Any] = meeting["publishers"]["resources"][0]["streamStatsCollection"]
    return found


async def post(caller: Caller) -> httpx.Response:
    """Ask for rows of `board`."""
    return await caller.post(session_query(caller.id(), ROWS))


def handed(caller: Caller) -> object:
    """How many rows went out, by the emulator's books."""
    return caller.emulator.report()["rows"]


# ── in place of an answer ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 502, 503, 504])
async def test_gateway_statuses(now: VirtualClock, status: int) -> None:
    """The status, a body that is no GraphQL answer, and no row on the books."""
    caller = Caller(with_fault(f"http_{status}"), now)
    response = await post(caller)
    assert response.status_code == status
    assert ("retry-after" in response.headers) == (status in (429, 503))
    assert handed(caller) == {"handed_out": 0, "handed_again": 0}
    report: Any = caller.emulator.report()
    assert report["requests"] == {"sessions": {str(status): 1}}
    assert report["faults"] == {f"http_{status}": 1}


async def test_html_and_the_way_to_the_login(now: VirtualClock) -> None:
    """A page with 200, or a redirect to one."""
    response = await post(Caller(with_fault("html"), now))
    assert (response.status_code, response.headers["content-type"]) == (200, "text/html; charset=utf-8")
    response = await post(Caller(with_fault("redirect"), now))
    assert response.status_code == 302
    assert response.headers["location"] == "https://login.example.com/"


@pytest.mark.parametrize("kind", ["reset", "cut_off"])
async def test_broken_connections(now: VirtualClock, kind: str) -> None:
    """In-process they raise what the client's transport maps."""
    caller = Caller(with_fault(kind), now)
    with pytest.raises(ConnectionResetError):
        await post(caller)
    assert handed(caller) == {"handed_out": 0, "handed_again": 0}


async def test_truncated_and_huge(now: VirtualClock) -> None:
    """Half a document; a document that goes on. Neither counts as handed out."""
    caller = Caller(with_fault("truncated"), now)
    with pytest.raises(json.JSONDecodeError):
        (await post(caller)).json()
    assert handed(caller) == {"handed_out": 0, "handed_again": 0}
    caller = Caller(with_fault("huge", bytes=300_000), now)
    assert len((await post(caller)).content) == 300_000


async def test_slow(now: VirtualClock) -> None:
    """Later by so many seconds of the run clock."""
    caller = Caller(with_fault("slow", seconds=7), now)
    began = now.now()
    await post(caller)
    assert now.now() - began == pytest.approx(7, abs=0.5)


@pytest.mark.parametrize("code", range(1000, 1023))
async def test_every_error_code(now: VirtualClock, code: int) -> None:
    """Beside data that is null, or alone with 401 for those about authentication."""
    response = await post(Caller(with_fault(f"error_{code}"), now))
    body = response.json()
    if code in (1000, 1001, 1011, 1016, 1020):
        assert response.status_code == 401
        assert body["error"]["errorCode"] == code
    else:
        assert response.status_code == 200
        assert [error["errorCode"] for error in body["errors"]] == [code]
        assert list(body["errors"][0]) == ["message", "locations", "path", "errorCode"]
        assert body["data"]["project"] in (None, {"sessionData": None})


async def test_errors_without_data_and_data_without_anything(now: VirtualClock) -> None:
    """Two more ways to answer nothing."""
    caller = Caller(with_fault("errors_only"), now)
    assert list((await post(caller)).json()) == ["errors"]
    assert handed(caller) == {"handed_out": 0, "handed_again": 0}
    assert (await post(Caller(with_fault("null_data"), now))).json() == {"data": None}


# ── bent answers ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_partial_answers(now: VirtualClock) -> None:
    """Some sessions are null with an error at their place; only the rows of the others are on the books."""
    sessions = [{"name": f"s{i}", "meetings": [{"start": "+11h", "duration": "2h"}]} for i in range(30)]
    data = plain(projects=[project(sessions=sessions)], faults=[{"kind": "partial", "share": "40%"}])
    caller = Caller(data, now)
    response = await caller.post(session_query([caller.id(f"s{i}") for i in range(30)], ROWS))
    body = response.json()
    resources = body["data"]["project"]["sessionData"]["sessions"]["resources"]
    gone = [index for index, session in enumerate(resources) if session is None]
    assert 4 < len(gone) < 20
    assert [error["path"] for error in body["errors"]] == [
        ["project", "sessionData", "sessions", "resources", index] for index in gone
    ]
    assert {error["errorCode"] for error in body["errors"]} == {1012}
    assert handed(caller) == {"handed_out": 10 * (30 - len(gone)), "handed_again": 0}


async def test_sessions_that_vanish(now: VirtualClock) -> None:
    """Between two pages some are gone: fewer than before, and 1017 for who asks for them."""
    traffic = {"sessions": 60, "participants": 2, "length": "1h"}
    faults = [{"kind": "vanish", "share": "30%", "every": 2, "where": {"endpoint": ["sessionSummaries"]}}]
    caller = Caller(plain(projects=[project(sessions=[], traffic=traffic)], faults=faults), now)
    query = """query ($c: String) { project(projectId: 12345678) { sessionData {
      sessionSummaries(start: 1767261600, first: 50, endCursor: $c) { totalCount pageInfo { endCursor }
        resources { sessionId } } } } }"""
    first = (await caller.data(query))["sessionData"]["sessionSummaries"]
    second = (await caller.data(query, {"c": first["pageInfo"]["endCursor"]}))["sessionData"]["sessionSummaries"]
    assert second["totalCount"] < 0.85 * first["totalCount"]
    again = Caller(plain(projects=[project()], faults=[{"kind": "vanish", "share": 1}]), now)
    assert (await post(again)).json()["errors"][0]["errorCode"] == 1017


async def test_cursors_that_loop(now: VirtualClock) -> None:
    """Every page names itself as the next."""
    caller = Caller(with_fault("loop_cursor"), now)
    data = await caller.data(session_query(caller.id(), ROWS))
    info = stats_of(data)["pageInfo"]
    assert info["hasNextPage"] is True
    again = ROWS.replace(
        "streamStatsCollection(first: 10", f'streamStatsCollection(first: 10, endCursor: "{info["endCursor"]}"'
    )
    assert stats_of(await caller.data(session_query(caller.id(), again)))["pageInfo"] == info


async def test_order_and_repetition(now: VirtualClock) -> None:
    """The same rows in no order; one of them twice. The books count each once."""
    straight = Caller(plain(), now)
    rows = stats_of(await straight.data(session_query(straight.id(), ROWS)))["resources"]
    shuffled = Caller(with_fault("shuffled"), now)
    mixed = stats_of(await shuffled.data(session_query(shuffled.id(), ROWS)))["resources"]
    assert mixed != rows
    assert sorted(mixed, key=lambda row: str(row["createdAt"])) == rows
    assert handed(shuffled) == {"handed_out": 10, "handed_again": 0}
    twice = Caller(with_fault("duplicates"), now)
    doubled = stats_of(await twice.data(session_query(twice.id(), ROWS)))["resources"]
    assert doubled == [*rows, rows[0]]


async def test_rows_from_the_future(now: VirtualClock) -> None:
    """On the last page one row more, an hour ahead, which nobody counts."""
    caller = Caller(with_fault("future_rows"), now)
    query = session_query(caller.id(), ROWS.replace("first: 10", "first: 1000"))
    stats = stats_of(await caller.data(query))
    assert len(stats["resources"]) == stats["totalCount"] + 1
    assert stats["resources"][-1]["createdAt"].startswith("2026-01-01T13:00:0")
    assert handed(caller) == {"handed_out": stats["totalCount"], "handed_again": 0}
    assert len(stats_of(await caller.data(session_query(caller.id(), ROWS)))["resources"]) == 10


async def test_nulls_and_missing_fields(now: VirtualClock) -> None:
    """A share of the rows says nothing, or lacks a field; a row without its time is not on the books."""
    caller = Caller(with_fault("null_values", share="50%"), now)
    many = ROWS.replace("first: 10", "first: 1000")
    rows = stats_of(await caller.data(session_query(caller.id(), many)))["resources"]
    nulls = [row for row in rows if row["videoPacketLoss"] is None]
    assert 0.3 < len(nulls) / len(rows) < 0.7
    assert all(row["createdAt"] for row in rows)
    caller = Caller(with_fault("missing_fields", share="100%"), now)
    rows = stats_of(await caller.data(session_query(caller.id(), many)))["resources"]
    timeless = [row for row in rows if "createdAt" not in row]
    assert 0 < len(timeless) < len(rows) / 3
    assert handed(caller) == {"handed_out": len(rows) - len(timeless), "handed_again": 0}


async def test_null_usage() -> None:
    """The nightly figures may lack their usage as well."""
    clock = VirtualClock(epoch=EPOCH + 9 * 86_400, jumping=True)
    caller = Caller(with_fault("null_values", share=1), clock)
    query = f"{{ project(projectId: {KEY}) {{ projectData(start: 0) {{ resources {{ usage {{ hlsMinutes }} }} }} }} }}"
    rows = (await caller.data(query))["projectData"]["resources"]
    assert rows
    assert all(row == {"usage": None} for row in rows)


async def test_words_nobody_has_heard_of(now: VirtualClock) -> None:
    """In every place where there is a closed set."""
    caller = Caller(with_fault("unknown_values"), now)
    data = await caller.data(session_query(caller.id(), ROWS))
    assert data["sessionData"]["sessions"]["resources"][0]["mediaMode"] == "unheardOf"
    assert stats_of(data)["resources"][0]["videoCodec"] == "unheardOf"
    streams = (await caller.get(f"/v2/project/{KEY}/session/{caller.id()}/stream")).json()
    assert {item["videoType"] for item in streams["items"]} == {"unheardOf"}


# ── clocks, others, places ───────────────────────────────────────────────────────────────────────────────────────────


async def test_clock_skew(now: VirtualClock) -> None:
    """The server's clock decides about tokens and Date, not about what can be seen."""
    caller = Caller(with_fault("clock_skew", seconds=-120), now)
    response = await post(caller)
    assert response.status_code == 401
    assert response.headers["date"] == "Thu, 01 Jan 2026 11:58:00 GMT"
    early = {"X-OPENTOK-AUTH": legacy_token(NOON - 120)}
    assert (await caller.post(session_query(caller.id(), ROWS), headers=early)).status_code == 200


async def test_others_spend_the_limit(now: VirtualClock) -> None:
    """With 150 a minute of others, the 25th of ours is one too many."""
    caller = Caller(with_fault("foreign", per_minute=150, where={"project": ["classroom"]}), now)
    statuses = [(await caller.post(PROJECT)).status_code for _ in range(26)]
    assert statuses == [200] * 24 + [429] * 2


async def test_faults_by_endpoint(now: VirtualClock) -> None:
    """Only what they are limited to."""
    caller = Caller(with_fault("http_500", where={"endpoint": ["streams"]}), now)
    assert (await post(caller)).status_code == 200
    base = f"/v2/project/{KEY}/session/{caller.id()}"
    assert (await caller.get(f"{base}/stream")).status_code == 500
    assert (await caller.get(f"{base}/connection")).status_code == 200
    report: Any = caller.emulator.report()
    assert report["requests"] == {"connections": {"answered": 1}, "sessions": {"answered": 1}, "streams": {"500": 1}}
