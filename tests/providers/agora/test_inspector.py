"""Call Inspector's six calls: what is asked, and what is made of answers that are odd."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.providers.agora.stage import PATH, T, body, call, listed, purse, series, session, source, vendor
from tests.providers.doubles import APP, SECRET, TOKEN, answer
from watcher.errors import ProviderError, Reason
from watcher.model import Span
from watcher.providers.agora.inspector.rows import Count
from watcher.providers.agora.inspector.streams import MIDS
from watcher.providers.agora.values import Oddity, Tally

SPAN = Span(T - 600, T - 300)


async def test_the_requests_have_the_documented_shape() -> None:
    """Paths, names with underscores, both page parameters, sessions joined by commas."""
    rows: dict[str, Any] = {"lists": listed(), "sessions": body("call_info", []), "metrics": body("metrics", [])}
    rows |= dict.fromkeys(("statistics", "freeze/bucket", "statistics/time"), body("data", []))
    wire = vendor({name: lambda _, found=found: found for name, found in rows.items()})  # type: ignore[misc]
    api, tally = source(wire).inspector, Tally()
    await api.lists(APP, SPAN, purse(1), tally, page=2, channel="a b&c")
    await api.sessions(APP, "c1", SPAN, purse(1), tally)
    await api.metrics(APP, "c1", SPAN, ["A", "B"], purse(1), tally)
    await api.statistics(APP, "c1", SPAN, "video_freeze_rate", "sdk", purse(1), tally)
    await api.freeze_buckets(APP, "c1", SPAN, "audio_freeze_rate", purse(1), tally)
    await api.by_minute(APP, "c1", SPAN, "user_count", purse(1), tally)
    span = {"start_ts": str(T - 600), "end_ts": str(T - 300), "appid": APP}
    one = span | {"call_id": "c1"}
    assert [(r.method, r.url.path.removeprefix(PATH), dict(r.url.params)) for r in wire.requests] == [
        ("GET", "lists", span | {"page_no": "2", "page_size": "100", "cname": "a b&c"}),
        ("GET", "sessions", one | {"page_no": "1", "page_size": "100"}),
        ("GET", "metrics", one | {"sids": "A,B"}),
        ("GET", "statistics", one | {"metric": "video_freeze_rate", "dimension": "sdk"}),
        ("GET", "freeze/bucket", one | {"metric": "audio_freeze_rate"}),
        ("GET", "statistics/time", one | {"metric": "user_count"}),
    ]
    assert not tally
    assert all(r.headers["authorization"] == f"Basic {TOKEN}" for r in wire.requests)


async def test_calls_are_read_and_what_is_odd_is_counted() -> None:
    """A call without an id or a time is dropped, a repeated one kept once, other fields may be missing."""
    rows = [
        call("c1", call_pcu="7", destroyed_ts=None, finished=None, call_video_freeze_rate=1.5),
        call("c1"),
        call("bad,id"),
        call("c2", created_ts=None),
        call("c3", created_ts=(T - 900) * 1000),
        call("c4", cname=7, call_pcu=-1, call_audio_freeze_rate=None),
        "nonsense",
    ]
    api, tally = source(vendor({"lists": lambda _: listed(*rows, total_size="250", has_more=True)})).inspector, Tally()  # type: ignore[arg-type]
    found = await api.lists(APP, SPAN, purse(1), tally)
    assert [c.id for c in found.calls] == ["c1", "c4"]
    first, second = found.calls
    assert (first.peak_users, first.destroyed, first.finished, first.video_freeze) == (7, None, None, None)
    assert (second.channel, second.peak_users, second.audio_freeze) == ("", None, None)
    assert (found.page.total, found.page.last) == (250, False)
    assert dict(tally) == {
        Oddity.TEXT_NUMBER: 1,
        Oddity.IMPOSSIBLE: 1,
        Oddity.REPEATED: 1,
        Oddity.NO_ID: 1,
        Oddity.NO_TIME: 1,
        Oddity.MILLISECONDS: 1,
        Oddity.NOT_A_ROW: 1,
    }


@pytest.mark.parametrize(
    ("destroyed", "finished", "runs"),
    [
        (0, False, True),
        (None, None, True),
        (T - 700, False, True),  # what it says of a running call is not documented
        (T - 700, True, False),
        (T - 700, None, False),
        (T - 590, True, True),
        (0, True, True),
    ],
)
async def test_whether_a_call_runs(destroyed: int | None, finished: bool | None, runs: bool) -> None:
    """By `finished` first, and by its end where that lies before the span."""
    row = call("c1", destroyed_ts=destroyed, finished=finished)
    api = source(vendor({"lists": lambda _: listed(row)})).inspector
    (found,) = (await api.lists(APP, SPAN, purse(1), Tally())).calls
    assert found.runs_in(*SPAN) is runs
    assert not found.runs_in(T - 2000, T - 900)  # it began later


async def test_sessions_are_read_whatever_their_ids_and_roles_are() -> None:
    """A uid beyond 2^31 or as text, roles as text or list, a rejoin as a session of its own."""
    rows = [
        session("A", uid="4294967295", roles="Host"),
        session("B", uid=2_963_430_861, roles=["SPEAKER", 3, "SCREEN_SHARER"], finished="no", speaker=None),
        session("B"),
        session("", uid=1),
        session("C", uid=None, leave_ts=T - 650, finished=True),
    ]
    api, tally = source(vendor({"sessions": lambda _: body("call_info", rows, total_size=3)})).inspector, Tally()
    page = await api.sessions(APP, "c1", SPAN, purse(1), tally)
    assert [(s.sid, s.uid, s.roles) for s in page.sessions] == [
        ("A", 4_294_967_295, ("Host",)),
        ("B", 2_963_430_861, ("SPEAKER", "SCREEN_SHARER")),
        ("C", None, ("SPEAKER",)),
    ]
    assert [s.there_in(*SPAN) for s in page.sessions] == [True, True, False]
    assert tally == {Oddity.TEXT_NUMBER: 1, Oddity.REPEATED: 1, Oddity.NO_ID: 1}


async def test_metrics_become_streams() -> None:
    """Each series of the sessions asked for: peer 0 is the user's own side; only Web reports the ids of Web."""
    pairs = [(T - 590, 3), (T - 588, 5.5), (T - 584, 0)]
    rows = [
        {"sid": "A", "data": [series(20018, 0, pairs), series(20018, 4_294_967_295, pairs)]},
        {"sid": "B", "data": [series(20036, 7, pairs), series(20016, 7, pairs)]},
        {"sid": "Z", "data": [series(20018, 0, pairs)]},
    ]
    api, tally = source(vendor({"metrics": lambda _: body("metrics", rows)})).inspector, Tally()
    found = await api.metrics(APP, "c1", SPAN, ["A", "B"], purse(1), tally)
    assert [(s.sid, s.mid, s.peer, s.web) for s in found] == [
        ("A", 20018, None, False),
        ("A", 20018, 4_294_967_295, False),
        ("B", 20036, 7, True),
        ("B", 20016, 7, True),
    ]
    assert found[0].at.tolist() == [T - 590, T - 588, T - 584]
    assert found[0].value.tolist() == [3.0, 5.5, 0.0]
    assert tally == {Oddity.UNASKED: 1}


async def test_a_stream_that_comes_twice_is_read_once() -> None:
    """A session or a series given again adds nothing: twice the loss would be a page about nobody."""
    own = {"sid": "A", "data": [series(20018, 7, [(T - 590, 3)]), series(20018, 7, [(T - 590, 9)])]}
    again = {"sid": "A", "data": [series(20018, 7, [(T - 590, 9)]), series(20018, 8, [(T - 590, 1)])]}
    api, tally = source(vendor({"metrics": lambda _: body("metrics", [own, again])})).inspector, Tally()
    found = await api.metrics(APP, "c1", SPAN, ["A"], purse(1), tally)
    assert [(s.peer, s.value.tolist()) for s in found] == [(7, [3.0]), (8, [1.0])]
    assert tally == {Oddity.REPEATED: 2}


async def test_a_success_without_its_rows_is_counted() -> None:
    """That a key is missing is no proof that nobody is in calls; null is what an empty answer may say."""
    bare: dict[str, Any] = {"code": 200, "message": "", "requestId": "1"}
    nothing: dict[str, Any] = {"call_lists": None, "call_info": None, "metrics": None}
    for told, count in ((bare, 3), (bare | nothing, 0)):
        wire = vendor({name: lambda _, told=told: told for name in ("lists", "sessions", "metrics")})  # type: ignore[misc]
        api, tally = source(wire), Tally()
        assert (await api.inspector.lists(APP, SPAN, purse(1), tally)).calls == ()
        assert (await api.inspector.sessions(APP, "c1", SPAN, purse(1), tally)).sessions == ()
        assert await api.inspector.metrics(APP, "c1", SPAN, ["A"], purse(1), tally) == ()
        assert dict(tally) == ({Oddity.NO_ROWS: count} if count else {})


async def test_freeze_rates_in_percent_are_no_order() -> None:
    """One that cannot be a share says that the list's are none: else the worst call would be the best of them."""
    rows = [call("a", call_video_freeze_rate=12), call("b", call_video_freeze_rate=0.9, call_audio_freeze_rate=0.5)]
    api, tally = source(vendor({"lists": lambda _: listed(*rows)})).inspector, Tally()
    found = (await api.lists(APP, SPAN, purse(1), tally)).calls
    assert [(c.video_freeze, c.audio_freeze) for c in found] == [(None, None)] * 2
    assert tally == {Oddity.IMPOSSIBLE: 1}


async def test_minutes_that_were_not_asked_for() -> None:
    """Those that touch the span are there, though its start is no minute's; others are counted."""
    rows = [{"ts": at, "value": 1} for at in (T - 660, T - 600, T - 360, T - 300, T)]
    api, tally = source(vendor({"statistics/time": lambda _: body("data", rows)})).inspector, Tally()
    found = await api.by_minute(APP, "c1", Span(T - 590, T - 300), "user_count", purse(1), tally)
    assert found.start.tolist() == [T - 600, T - 360]
    assert tally == {Oddity.OUTSIDE: 3}


async def test_only_wanted_metrics_are_read() -> None:
    """Others are not even looked into: their values may be anything."""
    rows = [{"sid": "A", "data": [{"mid": 20001, "kvs": "anything", "peer_uid": 0}, series(20018, 1, [(T - 590, 1)])]}]
    api, tally = source(vendor({"metrics": lambda _: body("metrics", rows)})).inspector, Tally()
    found = await api.metrics(APP, "c1", SPAN, ["A"], purse(1), tally, wanted={20018})
    assert [s.mid for s in found] == [20018]
    assert not tally


@pytest.mark.parametrize(
    ("data", "kept", "odd"),
    [
        ([series(29999, 1, [(T - 590, 1)])], 0, {Oddity.UNKNOWN_MID: 1}),
        ([series("20018", "1", [(T - 590, 1)])], 1, {Oddity.TEXT_NUMBER: 2}),  # type: ignore[arg-type]
        ([{"mid": None}, {"peer_uid": 1}, 5, None], 0, {Oddity.UNKNOWN_MID: 2, Oddity.NOT_A_ROW: 2}),
        (None, 0, {}),
        ("text", 0, {Oddity.NOT_A_ROW: 1}),
        ([{"mid": 20018, "peer_uid": 1, "kvs": None}], 0, {Oddity.NO_VALUE: 1}),
        ([{"mid": 20018, "peer_uid": 1}], 0, {Oddity.NO_VALUE: 1}),
        ([series(20018, 1, [(T - 590, None), (T - 588, 2)])], 1, {Oddity.NO_VALUE: 1}),
        ([series(20018, 1, [(T - 590, "4"), (None, 2), (T - 586, "x")])], 1, None),
        ([series(20018, 1, [(T - 590, 1, 1), (T - 588,), (T - 586, 1)])], 1, {Oddity.NOT_A_ROW: 2}),
        ([series(20018, 1, [((T - 590) * 1000, 1), (T - 588, 1)])], 1, {Oddity.MILLISECONDS: 1}),
        ([series(20018, 1, [(T - 700, 1), (T - 300, 1), (T - 588, 1)])], 1, {Oddity.OUTSIDE: 2}),
        ([series(20018, 1, [(T - 590, -1), (T - 588, 101), (T - 586, 100)])], 1, {Oddity.IMPOSSIBLE: 2}),
        ([series(20018, 1, [(T - 586, 1), (T - 590, 2)])], 2, {Oddity.UNSORTED: 1}),
        ([series(20018, 1, [(T - 586, 1), (T - 586, 2)])], 1, {Oddity.DUPLICATE: 1}),
    ],
)
async def test_bent_series_cost_themselves_only(data: Any, kept: int, odd: dict[Oddity, int] | None) -> None:
    """Unknown ids, nulls, holes, text, milliseconds, impossible shares: counted, and the rest is read."""
    rows = [{"sid": "A", "data": data}, {"sid": "B", "data": [series(20018, 1, [(T - 590, 9)])]}]
    api, tally = source(vendor({"metrics": lambda _: body("metrics", rows)})).inspector, Tally()
    found = await api.metrics(APP, "c1", SPAN, ["A", "B"], purse(1), tally)
    assert sum(len(s.at) for s in found if s.sid == "A") == kept
    assert [s.value.tolist() for s in found if s.sid == "B"] == [[9.0]]
    if odd is not None:
        assert dict(tally) == odd
    else:
        assert tally[Oddity.NO_TIME] == 1
        assert tally[Oddity.NOT_A_NUMBER] == 1


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (b'{"code":200,"metrics":[{"sid":"A","data":[{"mid":20018,"kvs":[[1,NaN]]}]}]}', Reason.MALFORMED),
        (b"<html>oops</html>", Reason.MALFORMED),
        (b"[1,2]", Reason.MALFORMED),
        (b'{"code":200,"metrics":[{"sid":"A"', Reason.MALFORMED),
        ({"message": "fine"}, Reason.MALFORMED),
        ({"code": 300, "message": "qps limit error", "data": None}, Reason.RATE),
        ({"code": 300, "message": "Service package limit check error, qpd limit error"}, Reason.DAY_QUOTA),
        ({"code": 300, "message": "query latency limit error", "metrics": None}, Reason.TOO_FRESH),
        ({"code": 300, "message": "you have no auth to access this service, please buy"}, Reason.PLAN),
        ({"code": 400, "message": "Bad request, parameter : call_id can not be null"}, Reason.REQUEST),
        (b"[" * 2_000_001, Reason.TOO_LARGE),
    ],
)
async def test_refusals_come_as_http_200(given: object, reason: Reason) -> None:
    """Of every call alike: the code decides, whatever else the body holds."""
    api = source(vendor({"metrics": lambda _: answer(given, at=T)})).inspector
    with pytest.raises(ProviderError) as caught:
        await api.metrics(APP, "c1", SPAN, ["A"], purse(1), Tally())
    assert caught.value.reason is reason


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_an_oversized_body_is_refused_before_it_is_read_whole() -> None:
    """More than 32 MB after inflating."""
    blank = b'{"code":200,"metrics":[' + b" " * (33 * 1024 * 1024) + b"]}"
    api = source(vendor({"metrics": lambda _: answer(blank, at=T)})).inspector
    with pytest.raises(ProviderError, match="larger than") as caught:
        await api.metrics(APP, "c1", SPAN, ["A"], purse(1), Tally())
    assert caught.value.reason is Reason.TOO_LARGE


async def test_a_gateway_refusal_shows_no_secret() -> None:
    """It may echo what was sent; a code 0 with the expected key is a success."""
    echo = {"message": f"bad {TOKEN} {SECRET}"}
    replies = iter([answer(echo, status=401, at=T), answer({"code": 0, "message": "string", "metrics": []}, at=T)])
    api = source(vendor({"metrics": lambda _: next(replies)})).inspector
    with pytest.raises(ProviderError) as caught:
        await api.metrics(APP, "c1", SPAN, ["A"], purse(1), Tally())
    assert caught.value.reason is Reason.AUTH
    assert SECRET not in str(caught.value)
    assert TOKEN not in str(caught.value)
    assert await api.metrics(APP, "c1", SPAN, ["A"], purse(1), Tally()) == ()


async def test_sessions_are_asked_for_twenty_at_a_time() -> None:
    """The vendor's limit is ours, before a request is spent."""
    wire = vendor({})
    api = source(wire).inspector
    for sids in ([], [str(n) for n in range(21)], ["a,b"]):
        with pytest.raises(ValueError, match="metrics need 1 to 20 sessions"):
            await api.metrics(APP, "c1", SPAN, sids, purse(1), Tally())
    assert wire.requests == []


async def test_the_three_statistics() -> None:
    """Groups the worst first, buckets from the lowest, minutes in order although they come unsorted."""
    replies: dict[str, Any] = {
        "statistics": [
            {"dimension_value": "3.7.1", "user_count": 6, "value": 0.007},
            {"dimension_value": "4.2.1", "user_count": "410", "value": 0.22},
            {"dimension_value": None, "user_count": 1, "value": 0.1},
            {"dimension_value": "4.0.0", "user_count": 1, "value": None},
        ],
        "freeze/bucket": [
            {"bucket": "[10%,100%)", "user_count": 1},
            {"bucket": "[3%,5%)", "user_count": 2},
            {"bucket": "many", "user_count": 2},
        ],
        "statistics/time": [
            {"ts": T - 540, "value": 4},
            {"ts": T - 600, "value": 0},
            {"ts": T - 590, "value": 9},
            {"ts": T - 480, "value": None},
        ],
    }

    def data(request: httpx.Request) -> dict[str, Any]:
        return {
            "code": 200,
            "message": "Success request: x",
            "requestId": "1",
            "data": replies[request.url.path.removeprefix(PATH)],
        }

    api, tally = source(vendor(dict.fromkeys(replies, data))).inspector, Tally()
    groups = await api.statistics(APP, "c1", SPAN, "video_freeze_rate", "sdk", purse(1), tally)
    assert groups == (Count(name="4.2.1", users=410, value=0.22), Count(name="3.7.1", users=6, value=0.007))
    buckets = await api.freeze_buckets(APP, "c1", SPAN, "video_freeze_rate", purse(1), tally)
    assert [(b.low, b.high, b.users) for b in buckets] == [(0.03, 0.05, 2), (0.1, 1.0, 1)]
    minutes = await api.by_minute(APP, "c1", SPAN, "user_count", purse(1), tally)
    assert minutes.start.tolist() == [T - 600, T - 540]
    assert minutes.value.tolist() == [0.0, 4.0]
    assert tally == {Oddity.TEXT_NUMBER: 1, Oddity.NOT_A_ROW: 2, Oddity.NO_VALUE: 2, Oddity.UNALIGNED: 1}


def test_the_table_of_metric_ids_is_the_vendors() -> None:
    """20012, 20014 and 20029 were never listed; every other one from 20001 to 20040 is."""
    assert set(MIDS) == set(range(20001, 20041)) - {20012, 20014, 20029}
