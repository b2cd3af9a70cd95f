"""One call: which is meant, which part of it is read, and what it looks like."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tests.providers.agora.callstage import END, LATE, WHOLE, asked, read, room, span_of, wish
from tests.providers.agora.stage import T, body, call, listed, purse, series, session, source, vendor
from tests.providers.doubles import APP, HandClock, answer
from watcher.calls import Bucket, CallReader, Minute, OtherCall
from watcher.errors import ProviderError, Reason, Refused
from watcher.model import Dimension, Group, Span
from watcher.providers.agora.inspector.settings import CALL_PLANS

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


# ── who may ask ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_where_a_call_is_paid_for() -> None:
    """In the pool of samples, whether there are samples or not; where there is none, what to configure."""
    for changes in ({}, {"call_inspector": None}, {"plan": "standard"}):
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
