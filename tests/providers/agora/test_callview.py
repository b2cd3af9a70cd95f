"""One call: which is meant, which part of it is read, what is asked first, what refusals and small budgets leave."""

from __future__ import annotations

from collections import Counter
from typing import Any

import httpx
import pytest

from tests.providers.agora.stage import PATH, T, body, call, listed, purse, series, session, source, vendor
from tests.providers.doubles import APP, FakePurse, HandClock, Vendor, answer
from watcher.calls import MOST_STAYS, Bucket, CallReader, CallView, CallWish, Minute, OtherCall
from watcher.errors import ProviderError, Reason, Refused
from watcher.model import Dimension, Group, Span
from watcher.providers.agora.inspector.settings import CALL_PLANS
from watcher.providers.agora.source import AgoraSource

END = T - 180  # the newest whole minute that is told on Premium, 150 s late
WHOLE = ["lists", "sessions", *["statistics/time"] * 3, "freeze/bucket", *["statistics"] * 6, "metrics"]
SPENT = "not asked, since the requests or the time allowed were spent: "


def room(users: int = 3, **changes: Any) -> dict[str, Any]:
    """A call of some users: user n froze for n thousandths of the video and lost n per cent of it, at most 99."""
    there = [
        session(f"S{n:04}", uid=n, user_video_freeze_rate=n / 1000, user_audio_freeze_rate=0.0)
        for n in range(1, users + 1)
    ]

    def sessions(request: httpx.Request) -> dict[str, Any]:
        first = (int(request.url.params["page_no"]) - 1) * 100
        return body("call_info", there[first : first + 100], total_size=users)

    def metrics(request: httpx.Request) -> dict[str, Any]:
        sids = request.url.params["sids"].split(",")
        rows = [{"sid": sid, "data": [series(20018, 9, [(END - 90, int(sid[1:]) % 100)])]} for sid in sids]
        return body("metrics", rows)

    def minutes(request: httpx.Request) -> dict[str, Any]:
        value = users if request.url.params["metric"] == "user_count" else 0.25
        return body("data", [{"ts": END - 60, "value": value}, {"ts": END - 120, "value": 0}])

    def groups(request: httpx.Request) -> dict[str, Any]:
        name = request.url.params["dimension"]
        return body(
            "data", [{"dimension_value": f"{name}{n}", "user_count": n, "value": n / 100} for n in range(1, 31)]
        )

    return {
        "lists": lambda _: listed(call("a", cname="room")),
        "sessions": sessions,
        "metrics": metrics,
        "statistics/time": minutes,
        "freeze/bucket": lambda _: body("data", [{"bucket": "[3%,5%)", "user_count": 2}]),
        "statistics": groups,
    } | changes


def wish(**changes: Any) -> CallWish:
    """The latest call of a channel."""
    return CallWish(**{"channel": "room", "project": "classroom"} | changes)


async def read(agora: AgoraSource, **changes: Any) -> CallView:
    """A call that is found, with as many requests as are wished."""
    own = wish(**changes)
    found = await agora.read_call(own, purse(own.requests))
    assert found is not None
    return found


def asked(wire: Vendor) -> list[str]:
    """What was asked, in order."""
    return [request.url.path.removeprefix(PATH) for request in wire.requests]


def span_of(request: httpx.Request) -> Span:
    """What a request was about."""
    return Span(int(request.url.params["start_ts"]), int(request.url.params["end_ts"]))


# ── what a call looks like ───────────────────────────────────────────────────────────────────────────────────────────


async def test_a_small_call_is_told_whole() -> None:
    """Who was in it, the worst first, with their figures; minutes, spread, groups; all of the same minutes."""
    wire = vendor(room())
    agora: CallReader = source(wire)
    spent = purse(20)
    found = await agora.read_call(wish(), spent)
    assert found is not None
    assert asked(wire) == WHOLE
    assert spent.spent == len(WHOLE)
    assert {span_of(r) for r in wire.requests[1:]} == {Span(T - 900, END)}
    assert {r.url.params["call_id"] for r in wire.requests[1:]} == {"a"}
    assert {r.url.params["appid"] for r in wire.requests} == {APP}
    assert (found.call, found.channel, found.began, found.ended, found.running) == ("a", "room", T - 900.0, None, True)
    assert found.users == 12
    assert [stay.user for stay in found.stays] == ["3", "2", "1"]
    stay = found.stays[1]
    assert stay.values == {
        "video_freeze_ratio": 0.002, "audio_freeze_ratio": 0.0, "video_packet_loss_ratio": pytest.approx(0.02),
    }  # fmt: skip
    assert (stay.name, stay.joined, stay.left) == ("user-S0002", T - 900.0, None)
    assert (stay.client, stay.place, stay.failed, stay.ending) == ("4.2.1 Android Android (13)", "Wi-Fi", False, "")
    assert found.minutes == (
        Minute(END - 120, {"users": 0.0, "video_freeze_ratio": 0.0, "audio_freeze_ratio": 0.0}),
        Minute(END - 60, {"users": 3.0, "video_freeze_ratio": 0.25, "audio_freeze_ratio": 0.25}),
    )
    (spread,) = found.spreads
    assert (spread.signal, spread.buckets) == ("video_freeze_ratio", (Bucket(0.03, 0.05, 2),))
    (breakdown,) = found.breakdowns
    assert breakdown.signal == "video_freeze_ratio"
    assert [(s.dimension, s.groups[0]) for s in breakdown.splits] == [
        (dimension, Group(f"{word}30", 0.3, 30.0))
        for dimension, word in (
            (Dimension.NETWORK, "net"),
            (Dimension.SDK, "sdk"),
            (Dimension.COUNTRY, "country"),
            (Dimension.OS, "os"),
            (Dimension.DEVICE, "device"),
            (Dimension.REGION, "region"),
        )
    ]
    assert {len(s.groups) for s in breakdown.splits} == {20}
    assert found.notes == ("Call Inspector is 150 s behind on premium",)
    assert (found.oddities, found.others) == ({}, ())


async def test_a_call_without_video_is_told_by_its_audio() -> None:
    """Spread and groups ask for the rate that there is; a call of which no rate is told, for the video's."""
    for rates, word in (((0.01, None), "audio"), ((0.01, 0.02), "video"), ((None, None), "video")):
        audio, video = rates
        row = call("a", cname="room", call_audio_freeze_rate=audio, call_video_freeze_rate=video)
        wire = vendor(room(lists=lambda _, row=row: listed(row)))
        found = await read(source(wire))
        told = [r.url.params["metric"] for r in wire.requests if r.url.path.endswith(("bucket", "statistics"))]
        assert told == [f"{word}_freeze_rate"] * 7
        assert {found.spreads[0].signal, found.breakdowns[0].signal} == {f"{word}_freeze_ratio"}


async def test_who_left_and_who_was_not_there_in_those_minutes() -> None:
    """A rejoin is another stay of the same user; who came or left outside of the minutes that are read is no part."""
    there = [
        session("S1", uid=7, leave_ts=T - 700, finished=True),
        session("S2", uid=7, join_ts=T - 600, leave_ts=0, user_video_freeze_rate=None),
        session("S3", uid=8, join_ts=T - 100),
        session("S4", uid=None, account=""),
    ]
    wire = vendor(room(sessions=lambda _: body("call_info", there)))
    found = await read(source(wire))
    stays = {(stay.user, stay.joined, stay.left) for stay in found.stays}
    assert stays == {("7", T - 900.0, T - 700.0), ("7", T - 600.0, None), ("", T - 900.0, None)}
    assert set(wire.requests[-1].url.params["sids"].split(",")) == {"S1", "S2", "S4"}
    assert "video_freeze_ratio" not in next(stay for stay in found.stays if stay.joined == T - 600).values


async def test_the_users_of_a_call_are_at_least_those_who_were_seen() -> None:
    """What the vendor counts as all who joined may be an average: the peak and the list say more."""
    for counts, expected in (((4, 2), 4), ((2, 4), 4), ((1, 1), 3), ((None, None), 3)):
        row = call("a", cname="room", call_pcu=counts[0], call_acu=counts[1])
        assert (await read(source(vendor(room(lists=lambda _, row=row: listed(row)))))).users == expected


async def test_native_and_web_each_by_their_own_loss() -> None:
    """A stay has the loss of its product; what a Web user sends up is not what they receive."""
    there = [session("N"), session("W", platform="Web"), session("L", platform="Web", sdk_version="4.3.0")]
    data = {
        "N": [series(20018, 1, [(T - 600, 2)])],
        "W": [series(20036, 1, [(T - 600, 30)]), series(20018, 1, [(T - 600, 77)]), series(20038, 0, [(T - 600, 88)])],
        "L": [series(20018, 1, [(T - 600, 77)])],
    }
    rows = [{"sid": sid, "data": found} for sid, found in data.items()]
    wire = vendor(room(sessions=lambda _: body("call_info", there), metrics=lambda _: body("metrics", rows)))
    found = await read(source(wire))
    losses = {stay.client[:9]: stay.values.get("video_packet_loss_ratio") for stay in found.stays}
    assert losses == {"4.2.1 And": pytest.approx(0.02), "4.2.1 Web": pytest.approx(0.3), "4.3.0 Web": None}


# ── which call ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_other_calls_of_the_channel() -> None:
    """The nearest twenty, the newest first; rows of another channel are none of them, and counted."""
    rows = [
        call(f"c{n}", cname="room", created_ts=T - 900 * n, destroyed_ts=T - 900 * (n - 1), finished=True, call_acu=n)
        for n in range(1, 51)
    ]
    rows[30] |= {"finished": False, "destroyed_ts": 0, "call_pcu": 0, "call_acu": 0}
    foreign = call("x", cname="other")
    found = await read(source(vendor(room(lists=lambda _: listed(foreign, *rows)))), at=T - 27_500.0)
    assert found.call == "c31"
    assert [other.call for other in found.others] == [f"c{n}" for n in (*range(21, 31), *range(32, 42))]
    assert found.others[0] == OtherCall("c21", T - 18_900.0, T - 18_000.0, 21)
    assert found.oddities["unasked"] == 1


@pytest.mark.parametrize("rows", [[], [call("x", cname="other")]])
async def test_nobody_knows_of_such_a_call(rows: list[dict[str, Any]]) -> None:
    """Then the list is all that was asked; a vendor that ignores the channel's name does not name a wrong call."""
    wire = vendor({"lists": lambda _: listed(*rows)})
    spent = purse(20)
    assert await source(wire).read_call(wish(), spent) is None
    assert (asked(wire), spent.spent) == (["lists"], 1)
    assert wire.requests[0].url.params["cname"] == "room"


async def test_a_list_of_which_more_pages_follow_says_so() -> None:
    """One page of calls is read."""
    rows = [call(f"c{n}", cname="room", created_ts=T - 900 - n) for n in range(100)]
    found = await read(source(vendor(room(lists=lambda _: listed(*rows, total_size=140, has_more=True)))))
    assert "only the newest 100 of 140 calls of the channel were listed" in found.notes


@pytest.mark.parametrize("plan", ["standard", "premium", "enterprise"])
@pytest.mark.parametrize("ago", [None, 0, 3_000, 40_000, 86_000, 86_200])
@pytest.mark.parametrize("lasted", [None, 900, 20_000])
async def test_every_request_is_strictly_inside_the_plans_numbers(
    plan: str, ago: int | None, lasted: int | None
) -> None:
    """How far back, how long, how near to now; and the list is about the time that was asked for."""
    limits = CALL_PLANS[plan]
    began = T - (ago or 0) - 20_000
    over = {} if lasted is None else {"destroyed_ts": began + lasted, "finished": True}
    there = session("S1", join_ts=began, leave_ts=0)
    lists = listed(call("a", cname="room", created_ts=began, **over))
    wire = vendor(room(lists=lambda _: lists, sessions=lambda _: body("call_info", [there])))
    spent = purse(200)
    at = None if ago is None else float(T - ago)
    agora = source(wire, plan=plan)
    if ago == 86_200 and plan == "standard":  # so near to the edge it would be over it before all is asked
        with pytest.raises(ProviderError) as error:
            await agora.read_call(wish(at=at), spent)
        assert (error.value.reason, error.value.sent, spent.refunds, wire.requests) == (Reason.TOO_OLD, False, 1, [])
        assert "standard: 1 days" in error.value.detail
        return
    assert await agora.read_call(wish(at=at), spent) is not None
    for request in wire.requests:
        reach = limits.lists if request.url.path.endswith("lists") else limits.calls
        start, end = span_of(request)
        assert start > T - reach.back
        assert end < T - reach.delay
        assert 0 < end - start < reach.span
    start, end = span_of(wire.requests[0])
    newest = T - 5 - limits.lists.delay - 1  # its clock was not heard yet
    assert end == (newest if at is None else min(newest, at + 3600))
    assert at is None or start <= at


# ── which part of it ─────────────────────────────────────────────────────────────────────────────────────────────────

BEGAN = T - 30_030
LONG = listed(call("a", cname="room", created_ts=BEGAN))
LATE = "Call Inspector is 150 s behind on premium"


@pytest.mark.parametrize(
    ("at", "start", "said"),
    [
        (None, END - 3540, "22:58 to 23:57"),
        (T - 10.0, END - 3540, "22:58 to 23:57"),
        (T - 7200.0, T - 7200 - 1800, "21:30 to 22:29"),
        (BEGAN + 60.0, BEGAN - 30, "15:39 to 16:38"),
    ],
)
async def test_of_a_long_call_the_hour_around_the_time_is_read(at: float | None, start: int, said: str) -> None:
    """All figures of the same minutes; sessions from further back, for those who joined before; and it is said."""
    wire = vendor(room(lists=lambda _: LONG))
    found = await read(source(wire), at=at)
    assert {span_of(r) for r in wire.requests[2:]} == {Span(start, start + 3540)}
    joined = span_of(wire.requests[1])
    assert joined == Span(max(BEGAN, start + 3540 - 3 * 3600 + 60), start + 3540)
    assert found.notes == (LATE, f"figures of {said} UTC, of a call that began 15:39")


async def test_of_a_call_that_did_not_run_then_the_nearest_part_is_read() -> None:
    """From its beginning, where that was later."""
    wire = vendor(room(lists=lambda _: LONG))
    await read(source(wire), at=T - 32_000.0)
    assert {span_of(r) for r in wire.requests[2:]} == {Span(BEGAN - 30, BEGAN - 30 + 3540)}


async def test_of_a_call_that_is_over_the_last_minute_is_read_as_well() -> None:
    """Up to the end of the minute in which it ended, and no further."""
    row = call("a", cname="room", created_ts=T - 2000, destroyed_ts=T - 1200, finished=True)
    wire = vendor(room(lists=lambda _: listed(row)))
    found = await read(source(wire))
    assert span_of(wire.requests[1]) == Span(T - 2000, T - 1140)
    assert span_of(wire.requests[2]) == Span(T - 2040, T - 1140)
    assert (found.ended, found.running, found.notes) == (T - 1200.0, False, (LATE,))


async def test_a_call_of_yesterday_is_dated() -> None:
    """Its beginning with its day, where that is another than the day of the figures."""
    row = call("a", cname="room", created_ts=T - 50_000)
    clock = HandClock(T + 7200)
    wire = vendor(room(lists=lambda _: answer(listed(row), at=T + 7200)))
    found = await read(source(wire, clock))
    assert found.notes[1] == "figures of 00:58 to 01:57 UTC, of a call that began 2025-12-31T10:06:40Z"


async def test_a_call_that_has_just_begun_is_told_by_the_list_only() -> None:
    """The list is sooner than the figures are: nothing is asked in vain."""
    for created in (T - 60, T - 170):
        wire = vendor(room(lists=lambda _, at=created: listed(call("a", cname="room", created_ts=at))))
        found = await read(source(wire))
        assert asked(wire) == ["lists"]
        assert (found.began, found.stays, found.users) == (float(created), (), 12)
        assert found.notes == (LATE, "nothing of the call is told yet: ask again in a minute")


async def test_a_call_that_is_no_longer_kept() -> None:
    """A list may name what nothing else is told of any more."""
    row = call("a", cname="room", created_ts=T - 8 * 86_400, destroyed_ts=T - 8 * 86_400 + 60, finished=True)
    found = await read(source(vendor(room(lists=lambda _: listed(row)))))
    assert found.notes == (LATE, "the call is no longer kept")


# ── how much of it ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("requests", "expected"),
    [
        (1, ["lists"]),
        (2, ["lists", "sessions"]),
        (3, ["lists", "sessions", "metrics"]),
        (6, [*WHOLE[:5], "metrics"]),
        (12, [*WHOLE[:11], "metrics"]),
        (13, WHOLE),
        (200, WHOLE),
    ],
)
@pytest.mark.parametrize("by_purse", [True, False])
async def test_the_cap_cuts_what_tells_least(requests: int, expected: list[str], by_purse: bool) -> None:
    """Whoever's cap it is: who was there, then how the worst fared, then statistics; what is missing is named."""
    wire = vendor(room())
    spent = purse(requests)
    found = await source(wire).read_call(wish(requests=requests), spent if not by_purse else FakePurse(extra=200))
    assert found is not None
    assert asked(wire) == expected
    missing = [note for note in found.notes if note.startswith(SPENT)]
    assert len(missing) == (requests < 13)
    if requests == 12:
        assert missing == [SPENT + "freezes by region"]


async def test_a_purse_that_refuses_is_not_asked_again() -> None:
    """Each time it might wait; the note names all that is missing."""

    class Counting(FakePurse):
        refused = 0

        async def spend(self) -> bool:
            granted = await super().spend()
            self.refused += not granted
            return granted

    spent = Counting(extra=2)
    found = await source(vendor(room())).read_call(wish(), spent)
    assert found is not None
    assert spent.refused == 1
    assert found.notes[-1].endswith("freezes by region, packet loss and bitrates of 3 of 3 stays")
    assert found.oddities == {"unread": 3}


async def test_of_a_thousand_users_the_worst_are_read() -> None:
    """Twenty requests: all statistics, half of the rest are pages, and of the users on those the worst eighty."""
    wire = vendor(room(1000))
    found = await read(source(wire))
    assert Counter(asked(wire)) == {
        "lists": 1, "sessions": 5, "statistics/time": 3, "freeze/bucket": 1, "statistics": 6, "metrics": 4,
    }  # fmt: skip
    assert [r.url.params["page_no"] for r in wire.requests if r.url.path.endswith("sessions")] == list("12345")
    assert len(found.stays) == 500
    known = ["video_packet_loss_ratio" in stay.values for stay in found.stays]
    assert known == [True] * 80 + [False] * 420
    assert [stay.user for stay in found.stays[:2]] == ["500", "499"]
    assert found.notes[-1] == (
        SPENT + "those who joined before the latest 500, packet loss and bitrates of 420 of 500 stays"
    )
    assert found.oddities == {"unread": 420}


@pytest.mark.parametrize("requests", [71, 200])
async def test_a_call_of_a_thousand_users_is_sixty_one_requests_and_ten_of_statistics(requests: int) -> None:
    """One list, ten pages of sessions, fifty of metrics: nothing is missing, and nothing more is asked."""
    wire = vendor(room(1000))
    spent = purse(requests)
    found = await source(wire).read_call(wish(requests=requests), spent)
    assert found is not None
    assert spent.spent == len(wire.requests) == 71
    assert all("video_packet_loss_ratio" in stay.values for stay in found.stays)
    assert (len(found.stays), found.notes, found.oddities) == (1000, (LATE,), {})


@pytest.mark.parametrize("requests", [2, 11, 12, 25, 40, 60, 70])
async def test_the_cap_is_kept_to_the_request(requests: int) -> None:
    """Whatever it is: all of it is spent on a large call, and not one more."""
    wire = vendor(room(1000))
    spent = purse(1000)
    assert await source(wire).read_call(wish(requests=requests), spent) is not None
    assert spent.spent == len(wire.requests) == requests


@pytest.mark.parametrize(
    ("requests", "expected"),
    [(2, ["lists", "sessions"]), (5, ["lists", "sessions", "sessions", "statistics/time", "metrics"])],
)
async def test_another_domain_is_one_of_the_requests(requests: int, expected: list[str]) -> None:
    """The cap holds for all that leaves."""
    wire = vendor(room(1000))
    answers = wire.respond
    wire.respond = lambda r: answer(b"", status=502, at=T) if len(wire.requests) == 2 else answers(r)
    spent = purse(1000)
    assert await source(wire).read_call(wish(requests=requests), spent) is not None
    assert asked(wire) == expected
    assert spent.spent == requests


async def test_pages_end_where_one_repeats_and_where_enough_are_listed() -> None:
    """Whatever the vendor says of how many there are; a bound says what it cost."""
    own = room(1000)
    page = own["sessions"](httpx.Request("GET", "https://api.example.com/", params={"page_no": "1"}))
    wire = vendor(own | {"sessions": lambda _: page})
    found = await read(source(wire), requests=200)
    assert (Counter(asked(wire))["sessions"], len(found.stays)) == (2, 100)
    assert found.oddities == {"repeated": 100}
    wire = vendor(room(2500))
    found = await read(source(wire), requests=200)
    assert (Counter(asked(wire))["sessions"], len(found.stays)) == (20, MOST_STAYS)
    assert "only the latest 2000 of 2500 stays were listed" in found.notes


# ── one user ─────────────────────────────────────────────────────────────────────────────────────────────────────────

MINUTE = T - 600


def alone(data: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    """A call in which user 7 has one stay with such metrics, and a vendor who tells of user 8 unasked."""
    there = [session("A", uid=7, **changes), session("B", uid=8)]
    return room(
        sessions=lambda _: body("call_info", there), metrics=lambda _: body("metrics", [{"sid": "A", "data": data}])
    )


async def test_one_user_minute_by_minute() -> None:
    """Four requests less than the call's statistics: everything measured, each with its unit, meaned over peers."""
    data = [
        series(20018, 1, [(MINUTE, 4), (MINUTE + 2, 6), (MINUTE + 60, 10)]),
        series(20018, 2, [(MINUTE, 15)]),
        series(20016, 1, [(MINUTE, 2)]),
        series(20009, 1, [(MINUTE, 800)]),
        series(20030, 1, [(MINUTE, 80)]),
        series(20004, 1, [(MINUTE, 40)]),
        series(20011, 1, [(MINUTE, 500), (MINUTE + 2, 0), (MINUTE + 6, 4000)]),
        series(20005, 1, [(MINUTE, 9000)]),
        series(20015, 0, [(MINUTE, 3)]),
        series(20017, 0, [(MINUTE, 7)]),
        series(20001, 0, [(MINUTE, 12)]),
        series(20002, 0, [(MINUTE, 35)]),
        series(20039, 0, [(MINUTE, 9)]),
        series(20040, 0, [(MINUTE, 55)]),
        series(20022, 0, [(MINUTE, 6), (MINUTE + 2, 8)]),
        series(20021, 0, [(MINUTE, 80)]),
        series(20003, 0, [(MINUTE, 48)]),
        series(20024, 0, [(MINUTE, 900)]),
        series(20006, 0, [(MINUTE, 100)]),
        series(20007, 0, [(MINUTE, 15)]),
        series(20008, 0, [(MINUTE, 14)]),
        series(20023, 0, [(MINUTE, 10)]),
        series(20010, 1, [(MINUTE, 0), (MINUTE + 2, 15)]),
        series(20031, 1, [(MINUTE, 15)]),
        series(20019, 1, [(MINUTE, 1280)]),
        series(20032, 1, [(MINUTE, 320)]),
        series(20020, 1, [(MINUTE, 720)]),
        series(20027, 0, [(MINUTE, 640)]),
        series(20028, 0, [(MINUTE, 360)]),
        series(20013, 0, [(MINUTE, 26)]),
        series(20025, 0, [(MINUTE, -20)]),
        series(20026, 0, [(MINUTE, 60)]),
    ]
    wire = vendor(alone(data))
    found = await read(source(wire), user="7")
    assert asked(wire) == ["lists", "sessions", "metrics"]
    assert (wire.requests[1].url.params["uids"], wire.requests[2].url.params["sids"]) == ("7", "A")
    assert [stay.user for stay in found.stays] == ["7"]
    first, second = found.minutes
    assert (first.start, second.start) == (MINUTE, MINUTE + 60)
    assert second.values == {"video_packet_loss_ratio": pytest.approx(0.1)}
    assert first.values == pytest.approx(
        {
            "video_packet_loss_ratio": 0.1, "audio_packet_loss_ratio": 0.02,
            "video_bitrate_bytes_per_second": 110_000.0, "audio_bitrate_bytes_per_second": 5_000.0,
            "video_freeze_ratio": (0.25 + 0 + 1) / 3, "audio_freeze_ratio": 1.0,
            "uplink_video_packet_loss_ratio": 0.07, "uplink_audio_packet_loss_ratio": 0.03,
            "sent_video_bitrate_bytes_per_second": 125_000.0, "sent_audio_bitrate_bytes_per_second": 6_000.0,
            "received_fps": 15.0, "received_width_pixels": 1280.0, "received_height_pixels": 720.0,
            "captured_fps": 15.0, "sent_fps": 14.0, "sent_width_pixels": 640.0, "sent_height_pixels": 360.0,
            "picture_qp": 26.0, "local_rtt_seconds": 0.007, "scheduling_delay_seconds": 0.08,
            "app_cpu_ratio": 0.12, "system_cpu_ratio": 0.35, "app_memory_ratio": 0.09, "system_memory_ratio": 0.55,
            "capture_volume_decibels": -20.0, "playback_volume_decibels": 60.0,
        }
    )  # fmt: skip
    assert (found.spreads, found.breakdowns, found.notes, found.oddities) == ((), (), (LATE,), {"unasked": 1})


async def test_a_web_user_minute_by_minute() -> None:
    """Web reports its losses under ids of its own."""
    data = [series(20036, 1, [(MINUTE, 3)]), series(20037, 0, [(MINUTE, 4)]), series(20038, 0, [(MINUTE, 5)])]
    found = await read(source(vendor(alone(data, platform="Web"))), user="7")
    assert found.minutes[0].values == pytest.approx(
        {
            "video_packet_loss_ratio": 0.03,
            "uplink_audio_packet_loss_ratio": 0.04,
            "uplink_video_packet_loss_ratio": 0.05,
        }
    )


async def test_a_user_with_both_products_in_a_minute() -> None:
    """Losses of both never make one number: the Native one stands, and a minute of Web alone is Web's."""
    there = [session("N", uid=7), session("W", uid=7, platform="Web")]
    rows = [
        {"sid": "N", "data": [series(20018, 1, [(MINUTE, 2)])]},
        {"sid": "W", "data": [series(20036, 1, [(MINUTE, 30), (MINUTE + 60, 40)])]},
    ]
    own = room(sessions=lambda _: body("call_info", there), metrics=lambda _: body("metrics", rows))
    found = await read(source(vendor(own)), user="7")
    assert [m.values["video_packet_loss_ratio"] for m in found.minutes] == pytest.approx([0.02, 0.4])
    assert len(found.stays) == 2


async def test_a_user_who_is_not_there_or_no_number() -> None:
    """The call is told all the same, and why the user is not."""
    wire = vendor(room(sessions=lambda _: body("call_info", [])))
    found = await read(source(wire), user="4711")
    assert (asked(wire), found.stays, found.minutes) == (["lists", "sessions"], (), ())
    assert found.notes[-1] == "no user 4711 was found in the call then"
    for name in ("alice", "²", "-7", "12345678901"):
        wire = vendor(room())
        found = await read(source(wire), user=name)
        assert (asked(wire), found.stays, found.call) == (["lists"], (), "a")
        assert found.notes[-1] == "users are asked for by their number (uid)"
    wire = vendor(room(sessions=lambda _: answer({"code": 500, "message": "Unknown Error", "data": None}, at=T)))
    found = await read(source(wire), user="4711")
    assert found.notes[1:] == ("who was in it: server: code 500: Unknown Error",)


# ── refusals ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def refusal(code: int, message: str) -> Any:
    """A refusal in the vendor's words."""
    return lambda _: answer({"code": code, "message": message, "data": None}, at=T)


async def test_what_is_refused_of_one_request_costs_that_request() -> None:
    """Also where it is no answer at all; the rest is read, and the note names it."""
    own = room()
    groups = own["statistics"]

    def picky(request: httpx.Request) -> Any:
        match request.url.params["dimension"]:
            case "sdk":
                return answer({"code": 400, "message": "Bad request, parameter : dimension"}, at=T)
            case "os":
                return b"{"
            case _:
                return groups(request)

    wire = vendor(own | {"statistics": picky, "freeze/bucket": refusal(300, "query time range limit error")})
    found = await read(source(wire))
    assert asked(wire) == WHOLE
    assert [s.dimension for s in found.breakdowns[0].splits] == ["network", "country", "device", "region"]
    assert (found.spreads, len(found.minutes)) == ((), 2)
    assert found.notes[1:] == (
        "users by their freezes: too_old: code 300: query time range limit error",
        "freezes by sdk: request: code 400: Bad request, parameter : dimension",
        "freezes by os: malformed: not JSON, or cut short",
    )
    assert all("video_packet_loss_ratio" in stay.values for stay in found.stays)


async def test_statistics_that_the_plan_has_not_are_asked_for_once() -> None:
    """Whether all plans have them is not documented; users are read all the same."""
    none = refusal(300, "you have no auth to access this service, please buy or upgrade your service package")
    wire = vendor(room() | {"statistics": none, "statistics/time": none, "freeze/bucket": none})
    found = await read(source(wire))
    assert asked(wire) == ["lists", "sessions", "statistics/time", "freeze/bucket", "statistics", "metrics"]
    assert (found.minutes, found.spreads, found.breakdowns) == ((), (), ())
    assert sum(": plan: " in note for note in found.notes) == 3


@pytest.mark.parametrize(
    ("code", "message", "reason"),
    [
        (401, "no", Reason.AUTH),
        (300, "qps limit error", Reason.RATE),
        (300, "qpd limit error", Reason.DAY_QUOTA),
        (300, "query latency limit error", Reason.TOO_FRESH),
        (500, "Unknown Error", Reason.SERVER),
    ],
)
async def test_what_is_refused_of_the_account_ends_the_reading(code: int, message: str, reason: Reason) -> None:
    """What was read before is the answer; of the very first request it is an error."""
    wire = vendor(room() | {"freeze/bucket": refusal(code, message)})
    found = await read(source(wire))
    assert asked(wire) == WHOLE[:6]
    assert (len(found.stays), len(found.minutes)) == (3, 2)
    assert found.notes[1] == f"users by their freezes: {reason}: code {code}: {message}"
    assert found.notes[2].startswith("not asked, since the vendor failed: freezes by network, freezes by sdk, ")
    wire = vendor({"lists": refusal(code, message)})
    with pytest.raises(ProviderError) as error:
        await source(wire).read_call(wish(), purse(20))
    assert (error.value.reason, len(wire.requests)) == (reason, 1)


async def test_a_vendor_who_is_later_than_the_plan_says() -> None:
    """Is asked a minute later from then on, by whoever asks: for the list, for the rest, and for samples."""
    fresh = refusal(300, "query latency limit error")
    answers = room()
    wire = vendor(answers | {"sessions": fresh})
    agora = source(wire)
    found = await read(agora)
    assert (asked(wire), found.notes[0]) == (["lists", "sessions"], "Call Inspector is 210 s behind on premium")
    wire.respond = vendor(answers).respond
    wire.requests.clear()
    await read(agora)
    assert {span_of(r).end for r in wire.requests[1:]} == {END - 60}
    wire.respond = vendor(answers | {"lists": fresh}).respond
    with pytest.raises(ProviderError):
        await read(agora)
    wire.respond = vendor(answers).respond
    wire.requests.clear()
    await read(agora)
    assert span_of(wire.requests[0]).end == T - 20 - 1 - 120
    assert {span_of(r).end for r in wire.requests[1:]} == {END - 120}


async def test_an_answer_that_is_too_large_is_asked_for_in_halves() -> None:
    """Down to one user; one who is too large alone ends it."""
    own = room(20)
    metrics = own["metrics"]

    def large(request: httpx.Request) -> Any:
        sids = request.url.params["sids"].split(",")
        return b"[" * 2_000_001 if len(sids) > 5 or "S0001" in sids else metrics(request)

    wire = vendor(own | {"metrics": large})
    found = await read(source(wire), requests=40)
    sizes = [len(r.url.params["sids"].split(",")) for r in wire.requests if "sids" in r.url.params]
    assert sizes == [20, 10, 5, 5, 5, 5, 2, 2, 1]
    known = [stay.user for stay in found.stays if "video_packet_loss_ratio" in stay.values]
    assert known == [str(n) for n in range(20, 1, -1)]
    assert found.oddities == {"halved": 3, "unread": 1}
    assert sum("too_large" in note for note in found.notes) == 3


# ── the unit of packet loss ──────────────────────────────────────────────────────────────────────────────────────────


async def test_a_percentage_is_no_fraction_here_either() -> None:
    """Then no loss is told of anybody, up or down, and it is said; freezes are."""
    ratio = {"requests_per_day": 900, "loss": "ratio"}
    found = await read(source(vendor(room(40)), call_inspector=ratio))
    assert all(set(stay.values) == {"video_freeze_ratio", "audio_freeze_ratio"} for stay in found.stays)
    assert found.notes[1] == "packet loss is left out: its values do not fit `loss: ratio` in `call_inspector`"
    assert found.oddities == {"loss_unit": 40}
    data = [series(20018, 1, [(MINUTE, 2)]), series(20017, 0, [(MINUTE, 0.5)]), series(20001, 0, [(MINUTE, 50)])]
    found = await read(source(vendor(alone(data)), call_inspector=ratio), user="7")
    assert found.minutes[0].values == {"app_cpu_ratio": 0.5}
    found = await read(source(vendor(alone([series(20017, 0, [(MINUTE, 0.5), (MINUTE + 60, 2)])]))), user="7")
    assert len(found.minutes) == 2
    uplink = [series(20017, 0, [(MINUTE, 0.5), (MINUTE + 60, 2)]), series(20015, 0, [(MINUTE, 0.5)])]
    found = await read(source(vendor(alone(uplink)), call_inspector=ratio), user="7")
    assert found.minutes == (Minute(MINUTE, {"uplink_audio_packet_loss_ratio": 0.5}),)


async def test_a_loss_that_is_doubted_is_told_with_the_doubt() -> None:
    """A thousand losses of which none is above one per cent may be fractions."""
    values = [(T - 880 + n, 0.5) for n in range(600)]
    rows = [{"sid": f"S000{n}", "data": [series(20018, 9, values)]} for n in (1, 2)]
    found = await read(source(vendor(room(metrics=lambda _: body("metrics", rows)))))
    assert found.notes[1] == "packet loss is doubted: its values do not fit `loss: percent` in `call_inspector`"
    assert sum("video_packet_loss_ratio" in stay.values for stay in found.stays) == 2


# ── who may ask ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_where_a_call_is_paid_for() -> None:
    """In the pool of samples, whether there are samples or not; where there is none, what to configure."""
    for changes in ({}, {"call_inspector": None}, {"plan": "standard", "call_inspector": None}):
        assert source(vendor({}), **changes).call_pools("classroom") == ("acme/call_inspector",)
    with pytest.raises(Refused, match="plan starter of acme has no Call Inspector") as error:
        source(vendor({}), plan="starter", call_inspector=None).call_pools("classroom")
    assert error.value.status == 409
    few = {"call_inspector": {"per_day": 200}}
    with pytest.raises(Refused, match=r"raise quotas\.call_inspector\.per_day"):
        source(vendor({}), call_inspector=None, quotas=few).call_pools("classroom")
    with pytest.raises(Refused, match="lower requests_per_day"):
        source(vendor({}), call_inspector={"requests_per_day": 2000}).call_pools("classroom")


async def test_an_account_without_samples_is_read_as_well() -> None:
    """With the plan's numbers and the documented unit."""
    agora = source(vendor(room()), call_inspector=None)
    found = await read(agora)
    assert found.stays[0].values["video_packet_loss_ratio"] == pytest.approx(0.03)


async def test_sessions_of_more_users_than_the_vendor_takes() -> None:
    """Are not asked for."""
    agora = source(vendor(room()))
    with pytest.raises(ValueError, match="at most 10"):
        await agora.inspector.sessions(APP, "a", Span(0, 1), purse(1), Counter(), uids=range(11))
