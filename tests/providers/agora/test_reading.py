"""The requests about one call: what is asked first, what small budgets and refusals leave, what one user is told."""

from __future__ import annotations

from collections import Counter
from typing import Any

import httpx
import pytest

from tests.providers.agora.callstage import END, LATE, SPENT, WHOLE, asked, read, room, span_of, wish
from tests.providers.agora.stage import T, body, purse, series, session, source, vendor
from tests.providers.doubles import FakePurse, answer
from watcher.calls import MOST_STAYS, Minute
from watcher.errors import ProviderError, Reason

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


@pytest.mark.parametrize(("breaks", "requests"), [(1, len(WHOLE) + 1), (2, 7)])
async def test_one_broken_connection_is_tried_once_more(breaks: int, requests: int) -> None:
    """Where there is no second domain to turn to; the next one ends the reading, and is said."""
    left = [None] * breaks

    def breaking(request: httpx.Request) -> Any:
        if left:
            left.pop()
            raise httpx.ReadError("connection reset")
        return room()["freeze/bucket"](request)

    wire = vendor(room() | {"freeze/bucket": breaking})
    found = await read(source(wire, base_url="http://one.example.com"))
    assert len(wire.requests) == requests
    assert any("network" in note for note in found.notes) == (breaks == 2)
    assert (found.refusal is None) == (breaks == 1)


async def test_a_broken_connection_without_a_request_left_is_said() -> None:
    """It was asked, and broke: that is no request that was not allowed."""

    def breaking(request: httpx.Request) -> Any:
        raise httpx.ReadError("connection reset")

    wire = vendor(room() | {"sessions": breaking})
    found = await read(source(wire, base_url="http://one.example.com"), requests=2)
    assert found.refusal is not None
    assert found.refusal.reason is Reason.NETWORK
    assert any(note.startswith("who was in it: network") for note in found.notes)
