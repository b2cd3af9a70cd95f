"""A look at running calls: what a sample is made of, what it says, and what odd vendors and small budgets do to it."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.providers.agora.stage import CALLS, T, body, call, listed, purse, query, series, session, source, vendor
from tests.providers.doubles import APP, FakePurse, HandClock, Vendor, answer
from watcher.errors import ProviderError, Reason
from watcher.model import Answer, Points, Source, Span
from watcher.providers.agora.source import AgoraSource

DELAY = 150  # Premium
END = T - 180  # the newest whole minute that is strictly older than that
ASKED = Span(END - 600, END)


def samples(percent: float, start: int = ASKED.start, seconds: int = 600) -> list[tuple[int, float]]:
    """A value every two seconds."""
    return [(at, percent) for at in range(start, start + seconds, 2)]


def native(sid: str, *losses: float, audio: float = 0.0) -> dict[str, Any]:
    """A user of the Native SDKs who receives one stream per loss."""
    data = [series(20018, 100 + n, samples(loss)) for n, loss in enumerate(losses)]
    data += [series(20016, 100, samples(audio)), series(20004, 100, samples(48)), series(20017, 0, samples(77))]
    return {"sid": sid, "data": data}


def web(sid: str, loss: float) -> dict[str, Any]:
    """A Web user."""
    data = [series(20036, 100, samples(loss)), series(20037, 0, samples(77)), series(20038, 0, samples(77))]
    return {"sid": sid, "data": data}


def town(**users: list[dict[str, Any]]) -> dict[str, Any]:
    """Calls by id, each with the metrics of its users; the more users, the larger."""
    calls = [call(name, call_pcu=len(there) * 10) for name, there in users.items()]

    def sessions(request: httpx.Request) -> dict[str, Any]:
        there = users[request.url.params["call_id"]]
        return body("call_info", [session(user["sid"], uid=n + 1) for n, user in enumerate(there)])

    def metrics(request: httpx.Request) -> dict[str, Any]:
        sids = request.url.params["sids"].split(",")
        return body("metrics", [user for user in users[request.url.params["call_id"]] if user["sid"] in sids])

    return {"lists": lambda _: listed(*calls), "sessions": sessions, "metrics": metrics}


def points(found: Answer, signal: str, product: str = "Native") -> Points:
    """The points of a series."""
    return next(p for p in found.points if (p.series.signal, p.series.product) == (signal, product))


async def test_a_sample_from_list_to_points() -> None:
    """The largest calls, their sessions, metrics of some users; every received stream has one vote in each minute."""
    wire = vendor(town(a=[native("A1", 2.0)], b=[native("B1", 10.0, 4.0), web("B2", 20.0)], c=[native("C1", 0.0)] * 0))
    agora: Source = source(wire)
    spent = purse(5)
    found = await agora.look(query(agora), None, spent)  # type: ignore[arg-type]
    assert spent.spent == 5
    assert [r.url.path.rpartition("/")[2] for r in wire.requests] == ["lists", *["sessions", "metrics"] * 2]
    assert [r.url.params.get("call_id") for r in wire.requests[1:]] == ["b", "b", "a", "a"]
    assert (found.asked, found.settled, found.lost) == (ASKED, END - 60, None)
    loss = points(found, "video_packet_loss_ratio")
    assert loss.start.tolist() == list(range(ASKED.start, END, 60))
    assert loss.value == pytest.approx([(0.02 + 0.10 + 0.04) / 3] * 10)
    assert loss.weight is not None
    assert loss.weight.tolist() == [3.0] * 10
    assert points(found, "video_packet_loss_over_ratio").value == pytest.approx([1 / 3] * 10)
    assert points(found, "video_packet_loss_p95_ratio").value == pytest.approx([0.094] * 10)
    assert points(found, "audio_bitrate_bytes_per_second").value == pytest.approx([6000.0] * 10)


async def test_native_and_web_are_never_mixed() -> None:
    """What each counts as lost differs: two series, and a Web user's audio is Web's, whatever its metric id."""
    user = {"sid": "B", "data": [series(20036, 1, samples(30)), series(20016, 1, samples(8))]}
    agora = source(vendor(town(a=[native("A", 1.0, audio=2.0), user])))
    found = await agora.look(query(agora), None, purse(3))
    assert set(points(found, "video_packet_loss_ratio").value) == {0.01}
    assert set(points(found, "video_packet_loss_ratio", "WebRTC").value) == {0.3}
    assert set(points(found, "audio_packet_loss_ratio").value) == {0.02}
    assert set(points(found, "audio_packet_loss_ratio", "WebRTC").value) == {0.08}


async def test_a_platform_called_web_is_web_although_no_metric_says_so() -> None:
    """A Web user who only listens reports none of the ids of Web."""
    own = town(a=[{"sid": "A", "data": [series(20016, 1, samples(8))]}])
    own["sessions"] = lambda _: body("call_info", [session("A", platform="Web")])
    agora = source(vendor(own))
    found = await agora.look(query(agora), None, purse(3))
    assert [p.series.product for p in found.points if p.series.signal == "audio_packet_loss_ratio"] == ["WebRTC"]


async def test_the_share_of_the_sample_is_said() -> None:
    """On a gauge and in the message alike; without a count, by the peaks of running calls, and of unlisted ones."""
    own = town(a=[native(f"A{n}", 5.0) for n in range(8)], b=[native("B1", 9.0)])
    own["lists"] = lambda _, rows=own["lists"]: rows(_) | {"total_size": 12, "has_more": True}
    agora = source(vendor(own))
    found = await agora.look(query(agora), None, purse(5))
    share = points(found, "sampled_users_ratio", "")
    assert share.weight is None
    assert share.value == pytest.approx([4 / (80 + 10 + 10)] * 10)  # three of `a`, one of `b`; ten calls not listed
    assert found.worst is not None
    loss = points(found, "video_packet_loss_ratio").series
    said = found.worst(loss, END)
    assert said == "sample of 4 of about 100 users (4.0%): room-b 9.0% of 1 streams, room-a 5.0% of 3 streams"
    assert found.worst(loss, END + 600) == "sample of 4 of about 100 users (4.0%)"
    assert found.worst(share.series, END) == ""


def counts(**products: dict[int, float]) -> Any:
    """Real-time's users, slot by slot."""

    def users(request: httpx.Request) -> httpx.Response:
        start, end = (int(request.url.params[name]) for name in ("startTs", "endTs"))
        found = products[request.url.params["productType"]]
        rows = [{"userCount": n, "ts": at} for at, n in found.items() if start <= at < end]
        return answer({"code": 200, "data": rows})

    return {"/beta/realtime/usage/by_time_20sec": users}


async def counted(agora: AgoraSource) -> None:
    """Let real-time look once at the users of both products."""
    for product in ("Native", "WebRTC"):
        await agora.look(query(agora, f"{product}/users"), None, purse(1))


LAST = END - 60
SLOTS = range(T - 3000, T, 20)


async def test_the_share_is_of_the_users_whom_real_time_counted_in_that_minute() -> None:
    """Not of the peaks, which calls do not reach together; both products; the mean over the minute; gauge and page."""
    native_users = dict.fromkeys(SLOTS, 30.0) | {LAST: 10.0, LAST + 20: 20.0, LAST + 40: 0.0}
    own = town(a=[native("A", 5.0)], b=[native("B1", 9.0), native("B2", 9.0)])
    agora = source(vendor(own | counts(Native=native_users, WebRTC=dict.fromkeys(SLOTS, 2.0))))
    await counted(agora)
    found = await agora.look(query(agora), None, purse(5))
    share = points(found, "sampled_users_ratio", "")
    assert share.value == pytest.approx([3 / 32] * 9 + [3 / 12])
    assert found.worst is not None
    loss = points(found, "video_packet_loss_ratio").series
    assert found.worst(loss, END).startswith("sample of 3 of 12 users (25.0%): room-b")
    assert found.worst(loss, END - 60).startswith("sample of 3 of 32 users (9.4%): room-b")
    assert found.worst(loss, END + 60) == "sample of 3 of about 12 users (25.0%)"


async def test_a_minute_that_real_time_has_not_told_yet_follows_the_peaks() -> None:
    """Its looks are up to half an hour apart: the nearest counted minute scales the peaks; new calls add theirs."""
    own = town(a=[native("A", 5.0)], b=[native("B1", 9.0), native("B2", 9.0)])
    new = call("new", created_ts=LAST, call_pcu=60)
    own["lists"] = lambda _: listed(
        new, call("b", call_pcu=20), call("a"), call("old", destroyed_ts=LAST - 480, finished=True)
    )
    own["sessions"] = lambda r, usual=own["sessions"]: (
        body("call_info", []) if r.url.params["call_id"] == "new" else usual(r)
    )
    told = {at: 15.0 for at in SLOTS if at != LAST - 480}
    clock = HandClock(T - 240)  # then all up to five minutes ago is told, and settled
    agora = source(vendor(own | counts(Native=told, WebRTC={})), clock, call_inspector=CALLS | {"calls": 3})
    await counted(agora)
    clock.advance(240)
    found = await agora.look(query(agora), None, purse(7))
    share = points(found, "sampled_users_ratio", "")
    assert share.value == pytest.approx([3 / 15] * 9 + [3 / 45])
    assert found.worst is not None
    loss = points(found, "video_packet_loss_ratio").series
    assert found.worst(loss, END).startswith("sample of 3 of about 45 users (6.7%)")
    assert found.worst(loss, ASKED.start + 60).startswith("sample of 3 of 15 users (20.0%)")


async def test_a_count_of_before_the_sample_serves_too() -> None:
    """Real-time last looked twenty minutes ago: what the peaks were worth then they are worth now."""
    clock = HandClock(T - 1200)
    own = town(a=[native("A", 5.0)], b=[native("B1", 9.0), native("B2", 9.0)])
    own["lists"] = lambda _: listed(call("b", call_pcu=20, created_ts=T - 9000), call("a", created_ts=T - 9000))
    agora = source(vendor(own | counts(Native=dict.fromkeys(SLOTS, 15.0), WebRTC={})), clock)
    await counted(agora)
    clock.advance(1200)
    found = await agora.look(query(agora), None, purse(5))
    assert points(found, "sampled_users_ratio", "").value == pytest.approx([3 / 15] * 10)
    assert found.worst is not None
    said = found.worst(points(found, "video_packet_loss_ratio").series, END)
    assert said.startswith("sample of 3 of about 15 users (20.0%)")


async def test_who_has_left_is_no_part_of_the_sample_any_more() -> None:
    """In each minute those drawn who were there, a rejoin as the same user; and no part is more than the whole."""
    own = town(a=[native(f"A{n}", 5.0) for n in range(4)])
    there = [
        session("A0", uid=1, leave_ts=LAST - 300, finished=True),
        session("A1", uid=1, join_ts=LAST - 300),
        session("A2", uid=None, account=""),
        session("A3", uid=None, account=""),
    ]
    own["sessions"] = lambda _: body("call_info", there)
    agora = source(
        vendor(own | counts(Native=dict.fromkeys(SLOTS, 6.0), WebRTC={})), call_inspector=CALLS | {"users_per_call": 20}
    )
    await counted(agora)
    found = await agora.look(query(agora), None, purse(3))
    assert points(found, "sampled_users_ratio", "").value == pytest.approx([3 / 6] * 10)
    there[1] |= {"join_ts": LAST}
    found = await agora.look(query(agora), None, purse(3))
    assert points(found, "sampled_users_ratio", "").value == pytest.approx([3 / 6] * 4 + [2 / 6] * 5 + [3 / 6])
    there += [session(f"B{n}", uid=10 + n) for n in range(9)]
    found = await agora.look(query(agora), None, purse(3))
    assert max(points(found, "sampled_users_ratio", "").value) == 1.0


async def test_users_of_a_product_that_is_not_asked_for_are_in_neither_number() -> None:
    """Real-time counts the products that the project names, and so does the sample."""
    own = town(a=[native("A", 5.0), web("W1", 5.0)])
    agora = source(
        vendor(own | counts(Native=dict.fromkeys(SLOTS, 4.0))),
        projects=({"name": "classroom", "app_id": APP, "products": ("Native",)},),
    )
    await agora.look(query(agora, "Native/users"), None, purse(1))
    found = await agora.look(query(agora), None, purse(3))
    assert points(found, "sampled_users_ratio", "").value == pytest.approx([1 / 4] * 10)


async def test_the_worst_calls_go_first_where_that_is_wished() -> None:
    """By the freeze rates of the list, each against Agora's own line; the users in a call are drawn all the same."""
    rows = [
        call("large", call_pcu=500),
        call("video", call_video_freeze_rate=0.20),
        call("audio", call_audio_freeze_rate=0.15),
    ]
    own: dict[str, Any] = {"lists": lambda _: listed(*rows), "sessions": lambda _: body("call_info", [])}
    for first, expected in (("largest", ["large", "audio"]), ("worst", ["audio", "video"])):
        wire = vendor(own)
        agora = source(wire, call_inspector=CALLS | {"first": first})
        await agora.look(query(agora), None, purse(5))
        assert [r.url.params["call_id"] for r in wire.requests[1:]] == expected


async def test_the_same_users_are_met_again() -> None:
    """Drawn by their sessions' ids, so a value does not move because the sample did."""
    wire = vendor(town(a=[native(f"A{n}", 5.0) for n in range(30)]))
    agora = source(wire)
    await agora.look(query(agora), None, purse(3))
    await agora.look(query(agora), None, purse(3))
    first, second = (r.url.params["sids"] for r in wire.requests if "sids" in r.url.params)
    assert first == second
    assert first != "A0,A1,A2"


async def test_what_is_asked_follows_on() -> None:
    """The newest minute again; at most an hour back, and what is further back is lost and said so."""
    agora = source(vendor(town(a=[native("A", 1.0)])))
    found = await agora.look(query(agora), END - 120, purse(3))
    assert found.asked == Span(END - 180, END)
    found = await agora.look(query(agora), END - 7200, purse(3))
    assert found.asked == Span(END - 3540, END)
    assert found.lost == Span(END - 7200, END - 3540)
    found = await agora.look(query(agora), END + 3600, purse(3))
    assert found.asked == Span(END - 60, END)


async def test_looks_as_far_apart_as_promised_lose_nothing() -> None:
    """The query's reach is kept whatever the second that a look falls on."""
    clock = HandClock(T)
    agora = source(vendor({"lists": lambda _: listed()}), clock)
    own, covered = query(agora), None
    for second in range(60):
        found = await agora.look(own, covered, purse(1))
        assert found.lost is None
        covered = found.asked.end
        clock.advance(own.reach + second % 2)
    assert own.reach > 3000


async def test_nobody_in_calls_costs_one_request() -> None:
    """An answer for the time all the same, with nothing in it."""
    spent = purse(5)
    old = call("old", created_ts=T - 4000, destroyed_ts=T - 3000, finished=True)
    agora = source(vendor({"lists": lambda _: listed(old)}))
    found = await agora.look(query(agora), None, spent)
    assert (spent.spent, found.points, found.asked) == (1, (), ASKED)
    assert found.worst is not None
    assert found.worst(query(agora).series[0], END) == ""


async def test_a_spent_budget_makes_the_sample_smaller() -> None:
    """What was read counts; where nothing was, nothing is answered for, and the next look begins where this one did."""
    own = town(a=[native("A", 2.0)], b=[native("B1", 4.0), native("B2", 4.0)])
    for requests, users in ((5, 3), (4, 2), (3, 2)):
        spent = purse(requests)
        wire = vendor(own)
        agora = source(wire)
        found = await agora.look(query(agora), None, spent)
        assert spent.spent == len(wire.requests) == requests
        assert set(points(found, "sampled_users_ratio", "").value) == {users / 30}
        assert found.asked == ASKED
        assert found.oddities == ({} if requests == 5 else {"unread": 1})
    for requests in (1, 2):
        wire = vendor(own)
        found = await source(wire).look(query(agora), ASKED.start + 60, purse(requests))
        assert len(wire.requests) == requests
        assert (found.points, found.asked) == ((), Span(ASKED.start, ASKED.start))
        assert found.oddities == {"unread": 2}


@pytest.mark.parametrize(
    "gone",
    [
        {"code": 400, "message": "Bad request", "data": None},
        {"code": 404, "message": "no such call"},
        {"code": 300, "message": "query time range limit error", "data": None},
        b"<html>",
    ],
)
async def test_a_call_that_ends_while_it_is_sampled_is_left_out(gone: object) -> None:
    """Of its sessions or of its metrics the vendor knows nothing, or nothing readable; the others are the sample."""
    for path in ("sessions", "metrics"):
        own = town(a=[native("A", 2.0)], b=[native("B1", 4.0), native("B2", 4.0)])
        usual = own[path]
        own[path] = lambda r, usual=usual: answer(gone, at=T) if r.url.params["call_id"] == "b" else usual(r)
        agora = source(vendor(own))
        found = await agora.look(query(agora), None, purse(5))
        assert set(points(found, "video_packet_loss_ratio").value) == {0.02}
        assert found.oddities == {"unreadable" if gone == b"<html>" else "call_gone": 1}


def failing(path: str, failure: int | Exception, *ill: str) -> tuple[Vendor, AgoraSource]:
    """A vendor of three calls that fails on one path of some of them."""
    own = town(a=[native("A", 2.0)], b=[native("B1", 4.0), native("B2", 4.0)], c=[native("C", 3.0)])
    usual = own[path]

    def fail(request: httpx.Request) -> Any:
        if request.url.params["call_id"] not in ill:
            return usual(request)
        if isinstance(failure, Exception):
            raise failure
        return answer(b"", status=failure, at=T)

    wire = vendor(own | {path: fail})
    return wire, source(wire, call_inspector=CALLS | {"calls": 3})


@pytest.mark.parametrize("failure", [503, httpx.ReadTimeout("slow"), httpx.ReadError("reset")])
@pytest.mark.parametrize("path", ["sessions", "metrics"])
async def test_a_vendor_that_stops_answering_leaves_what_was_read(failure: int | Exception, path: str) -> None:
    """The calls before are the sample, and nothing more is tried; where there were none, the look has failed."""
    wire, agora = failing(path, failure, "a", "c")
    found = await agora.look(query(agora), None, purse(9))
    assert (found.asked, found.oddities) == (ASKED, {"unread": 2})
    assert set(points(found, "video_packet_loss_ratio").value) == {0.04}
    assert not [r for r in wire.requests if r.url.params.get("call_id") == "c"]
    _, agora = failing(path, failure, "b")
    with pytest.raises(ProviderError):
        await agora.look(query(agora), None, purse(9))


async def test_all_calls_gone_at_once_is_a_failure() -> None:
    """That is no matter of calls."""
    own = town(a=[native("A", 2.0)], b=[native("B", 4.0)])
    own["sessions"] = lambda _: answer({"code": 400, "message": "Bad request"}, at=T)
    agora = source(vendor(own))
    with pytest.raises(ProviderError) as caught:
        await agora.look(query(agora), None, purse(5))
    assert caught.value.reason is Reason.REQUEST


@pytest.mark.parametrize(
    ("message", "reason"), [("qps limit error", Reason.RATE), ("qpd limit error", Reason.DAY_QUOTA)]
)
async def test_a_refusal_of_the_account_ends_the_look(message: str, reason: Reason) -> None:
    """No further request is tried against a quota that is spent."""
    own = town(a=[native("A", 2.0)], b=[native("B1", 4.0), native("B2", 4.0)])
    own["metrics"] = lambda _: answer({"code": 300, "message": message, "data": None}, at=T)
    wire = vendor(own)
    agora = source(wire)
    with pytest.raises(ProviderError) as caught:
        await agora.look(query(agora), None, purse(5))
    assert (caught.value.reason, len(wire.requests)) == (reason, 3)


async def test_an_answer_too_large_is_asked_for_smaller() -> None:
    """That call is left out, and from then on half as many users are drawn."""
    own = town(a=[native(f"A{n}", 2.0) for n in range(9)], b=[native("B", 4.0)])
    usual = own["metrics"]
    huge = b"[" * 2_000_001
    own["metrics"] = lambda r: answer(huge, at=T) if r.url.params["sids"].count(",") > 1 else usual(r)
    agora = source(vendor(own), call_inspector=CALLS | {"users_per_call": 4})
    found = await agora.look(query(agora), None, purse(5))
    assert found.oddities == {"halved": 1}
    assert set(points(found, "video_packet_loss_ratio").value) == {0.04}
    found = await agora.look(query(agora), None, purse(5))
    assert found.oddities == {}
    weight = points(found, "video_packet_loss_ratio").weight
    assert weight is not None
    assert set(weight) == {3.0}


async def test_too_fresh_is_learned() -> None:
    """The vendor is later than its plan says: the next look ends a minute earlier."""
    wire = vendor({"lists": lambda _: answer({"code": 300, "message": "query latency limit error"}, at=T)})
    agora = source(wire)
    for _ in range(8):
        with pytest.raises(ProviderError):
            await agora.look(query(agora), None, purse(5))
    ends = [int(r.url.params["end_ts"]) for r in wire.requests]
    assert ends == [T - 26, *(T - 21 - 60 * n for n in (1, 2, 3, 4, 5, 5, 5))]  # five seconds: the first guess


async def test_spans_stay_strictly_inside_the_plan() -> None:
    """Of each endpoint: how long, how far back, how far behind; on every plan."""
    limits = {
        "standard": (60, 28_800, 300, 3_600),
        "premium": (20, 57_600, 150, 10_800),
        "enterprise": (20, 86_400, 100, 21_600),
    }
    for plan, (list_delay, list_span, delay, span) in limits.items():
        own = town(a=[native("A", 2.0)])
        own["lists"] = lambda _: listed(call("a", created_ts=T - 40_000))
        wire = vendor(own)
        agora = source(wire, plan=plan, call_inspector=CALLS | {"longest": "7h"})
        await agora.look(query(agora), T - 50_000, purse(3))
        seen = {r.url.path.rpartition("/")[2]: r.url.params for r in wire.requests}
        for name, (behind, longest) in {
            "lists": (list_delay, list_span),
            "sessions": (delay, span),
            "metrics": (delay, span),
        }.items():
            start, end = int(seen[name]["start_ts"]), int(seen[name]["end_ts"])
            assert end < T - behind, (plan, name)
            assert 0 < end - start < longest, (plan, name)


async def test_further_pages_of_the_list() -> None:
    """As many as the user allows, each a spend; the last page ends them."""
    rows = [call(f"c{n}") for n in range(150)]

    def pages(request: httpx.Request) -> dict[str, Any]:
        number = int(request.url.params["page_no"])
        return listed(*rows[100 * (number - 1) : 100 * number], total_size=150)

    wire = vendor({"lists": pages, "sessions": lambda _: body("call_info", [])})
    agora = source(wire, call_inspector=CALLS | {"pages": 5, "calls": 1})
    await agora.look(query(agora), None, purse(9))
    assert [r.url.params.get("page_no") for r in wire.requests if r.url.path.endswith("lists")] == ["1", "2"]


@pytest.mark.parametrize(("more", "count"), [({"total_size": 350}, 150), ({"total_size": 100, "has_more": True}, 1)])
async def test_calls_beyond_the_pages_are_counted(more: dict[str, Any], count: int) -> None:
    """The largest call may be among them; how many they are only `total_size` says, where it counts all."""
    rows = [call(f"c{n:03}") for n in range(200)]

    def pages(request: httpx.Request) -> dict[str, Any]:
        number = int(request.url.params["page_no"])
        return listed(*rows[100 * (number - 1) : 100 * number], **more)

    wire = vendor({"lists": pages, "sessions": lambda _: body("call_info", [])})
    agora = source(wire, call_inspector=CALLS | {"pages": 2, "calls": 1})
    found = await agora.look(query(agora), None, purse(9))
    assert found.oddities == {"unlisted": count}


async def test_a_page_of_the_list_that_repeats_ends_the_pages() -> None:
    """It would be a spend for nothing; the calls are there once, and the vendor is told on."""
    rows = [call(f"c{n:03}") for n in range(100)]
    wire = vendor({"lists": lambda _: listed(*rows, total_size=900), "sessions": lambda _: body("call_info", [])})
    agora = source(wire, call_inspector=CALLS | {"pages": 5, "calls": 1})
    found = await agora.look(query(agora), None, purse(9))
    assert sum(r.url.path.endswith("lists") for r in wire.requests) == 2
    assert found.oddities == {"repeated": 100}


async def test_a_receiver_that_turns_to_the_low_stream_does_not_receive_both() -> None:
    """High for half a minute, low for the rest: the mean of what came at each moment, whether the other is 0 or not."""
    high, low = samples(800, ASKED.start, 30), samples(80, ASKED.start + 30, 30)
    bare = [series(20009, 1, high), series(20030, 1, low)]
    zeros = [
        series(20009, 1, high + [(at, 0.0) for at, _ in low]),
        series(20030, 1, [(at, 0.0) for at, _ in high] + low),
    ]
    both = [series(20009, 1, samples(800, ASKED.start, 60)), series(20030, 1, samples(80, ASKED.start, 60))]
    for data, kbps in ((bare, 440), (zeros, 440), (both, 880)):
        agora = source(vendor(town(a=[{"sid": "A", "data": data}])))
        found = await agora.look(query(agora), None, purse(3))
        assert points(found, "video_bitrate_bytes_per_second").value == pytest.approx([kbps * 125])


async def test_muted_streams_do_not_pull_a_bitrate_down() -> None:
    """Whether a muted stream counts zeros is not documented: zeros say nothing of those that carry something."""
    user = {
        "sid": "A",
        "data": [series(20009, 1, samples(800)), series(20009, 2, samples(0)), series(20030, 1, samples(80))],
    }
    agora = source(vendor(town(a=[user])))
    found = await agora.look(query(agora), None, purse(3))
    bitrate = points(found, "video_bitrate_bytes_per_second")
    assert set(bitrate.value) == {110_000.0}
    assert bitrate.weight is not None
    assert set(bitrate.weight) == {1.0}


async def test_loss_written_as_a_ratio() -> None:
    """A setting, since the vendor's documents show percent and no recording is known."""
    agora = source(vendor(town(a=[native("A", 0.25)])), call_inspector=CALLS | {"loss": "ratio"})
    found = await agora.look(query(agora), None, purse(3))
    assert set(points(found, "video_packet_loss_ratio").value) == {0.25}


async def test_a_failed_request_leaves_its_spend_where_it_may_have_left() -> None:
    """And hands it back only where nothing left, as in every look."""

    def refused(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    agora = source(vendor({"lists": refused}))
    spent = FakePurse(extra=0)
    with pytest.raises(ProviderError):
        await agora.look(query(agora), None, spent)
    assert spent.refunds == 1
    assert APP not in repr(agora)


async def test_calls_are_looked_for_as_far_back_as_they_may_have_begun() -> None:
    """And at least as far back as is asked for."""
    for longest, covered, back in (("4h", None, 14_400), ("10m", END - 3000, 3_214)):
        wire = vendor({"lists": lambda _: listed()})
        agora = source(wire, call_inspector=CALLS | {"longest": longest})
        await agora.look(query(agora), covered, purse(1))
        start, end = (int(wire.requests[0].url.params[name]) for name in ("start_ts", "end_ts"))
        assert end - start == back
