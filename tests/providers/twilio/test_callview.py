"""One room for whoever was paged with it, read from an emulated Log Analyzer and from a scripted one."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.emulator.twilio.helpers import NOON, account, people, room, traffic
from tests.providers.doubles import FakePurse, Vendor, answer
from tests.providers.twilio import stage
from tests.providers.twilio.stage import Script, Stage
from tests.providers.twilio.test_watch import OVER, SHOWN, busy, clock, plain
from watcher.calls import CallReader, CallView, CallWish
from watcher.clock import HOUR, MINUTE, rfc3339
from watcher.errors import ProviderError, Reason
from watcher.model import Dimension

ROOM, OTHER = "RM" + "1" * 32, "RM" + "2" * 32
ONE, TWO = "PA" + "1" * 32, "PA" + "2" * 32


def failing() -> dict[str, Any]:
    """The room `board`: one whose media path broke, two who left well."""
    return plain(accounts=[account(rooms=[people({"ending": "53405"}, {}, {"join": "5m"})])])


async def read(here: Stage | Script, channel: str, *, requests: int = 20, **wish: Any) -> tuple[CallView | None, int]:
    """What is read, and the requests that it took."""
    purse = FakePurse(extra=requests - 1)
    asked = CallWish(channel=channel, project="calls", requests=requests, **wish)
    return await here.source.read_call(asked, purse), purse.spent - purse.refunds


async def seen(here: Stage | Script, channel: str, **wish: Any) -> CallView:
    """The same, where there has to be something."""
    view, _ = await read(here, channel, **wish)
    assert view is not None
    return view


async def test_a_room_by_its_sid_is_two_requests() -> None:
    """Who was in it, from when to when, with what, and how it ended: the failed first."""
    here = Stage(clock(SHOWN), failing())
    sid = here.emulator.room_sid("acme", "board")
    view, spent = await read(here, sid)
    assert view is not None
    assert spent == 2
    assert (view.call, view.channel, view.users, view.running) == (sid, "board", 3, False)
    assert (view.began, view.ended) == (OVER - HOUR, OVER)
    assert [(stay.name, stay.failed) for stay in view.stays] == [("user-0", True), ("user-1", False), ("user-2", False)]
    worst = view.stays[0]
    assert worst.ending == "53405 media_connection_failed_or_media_activity_ceased"
    assert (worst.joined, worst.left) == (OVER - HOUR, OVER - HOUR + 10 * MINUTE)
    assert worst.client
    assert worst.place
    assert all(stay.ending for stay in view.stays)


async def test_who_was_there_minute_by_minute() -> None:
    """Everybody from the minute of joining to that of leaving, which says how they left."""
    here = Stage(clock(SHOWN), failing())
    view = await seen(here, here.emulator.room_sid("acme", "board"))
    minutes = {int(minute.start - (OVER - HOUR)) // MINUTE: minute.values for minute in view.minutes}
    assert {at: values["users"] for at, values in minutes.items() if at in (0, 4, 5, 10, 12, 15)} == {
        0: 2.0,
        4: 2.0,
        5: 3.0,
        10: 3.0,
        12: 1.0,
        15: 1.0,
    }
    assert (minutes[10]["left"], minutes[10]["failed"]) == (2.0, 1.0)
    assert (minutes[15]["left"], minutes[15]["failed"]) == (1.0, 0.0)
    assert sum(values["left"] for values in minutes.values()) == 3.0


async def test_who_came_back_at_once_is_one_user() -> None:
    """In the minute of leaving and coming back, too."""
    again = person(TWO, join_time=rfc3339(OVER - MINUTE + 5), leave_time=rfc3339(OVER))
    view = await seen(answering(row(), person(ONE), again), ROOM)
    minutes = {int(minute.start - OVER) // MINUTE: minute.values for minute in view.minutes}
    assert (minutes[-1]["users"], minutes[-1]["left"], view.users, len(view.stays)) == (1.0, 1.0, 1, 2)


async def test_a_room_by_its_name_is_the_one_that_ran_then() -> None:
    """Of the same name: the latest, or the one at the time; the rest are named beside it."""
    rooms = [room(), room(start="+7h"), room(start="+5h", duration="30m", name="other")]
    here = Stage(clock(NOON + HOUR), plain(accounts=[account(rooms=rooms)]))
    latest = await seen(here, "board")
    assert latest.began == OVER - HOUR
    assert [other.began for other in latest.others] == [OVER - 4 * HOUR]
    early = await seen(here, "board", at=OVER - 3.5 * HOUR)
    assert early.began == OVER - 4 * HOUR
    between = await seen(here, "board", at=OVER - 2 * HOUR)
    assert between.began == OVER - 4 * HOUR, "the last one before"


async def test_one_of_them_by_sid_is_one_request_more_than_the_room() -> None:
    """By identity the list is read, as the same one may have come back."""
    here = Stage(clock(SHOWN), failing())
    sid = here.emulator.room_sid("acme", "board")
    everybody = await seen(here, sid)
    wanted = everybody.stays[0]
    alone, spent = await read(here, sid, user=wanted.user)
    assert alone is not None
    assert (alone.stays, spent) == ((wanted,), 2)
    assert alone.users is None, "not all of them were counted"
    assert (await seen(here, sid, user="user-0")).stays == (wanted,)
    nobody = await seen(here, sid, user="user-9")
    assert nobody.stays == ()
    assert "nobody user-9 was in it" in nobody.notes


async def test_the_requests_end_before_the_list_does() -> None:
    """What was read is the answer, and says of how much it is."""

    def respond(request: httpx.Request) -> httpx.Response:
        if not request.url.path.endswith("/Participants"):
            return answer(row())
        number = int(request.url.params.get("Page", "0"))
        following = f"{request.url.copy_set_param('Page', number + 1)}"
        rows = [person(f"PA{number * 10 + n:032x}", participant_identity=f"user-{number * 10 + n}") for n in range(10)]
        return answer({"participants": rows, "meta": {"next_page_url": following if number < 2 else None}})

    whole, spent = await read(scripted(respond), ROOM)
    assert whole is not None
    assert (spent, len(whole.stays), whole.users) == (4, 30, 30)
    part, spent = await read(scripted(respond), ROOM, requests=3)
    assert part is not None
    assert (spent, len(part.stays), part.users) == (3, 20, None)
    assert "20 participants were read: the requests allowed, or the time, were spent" in part.notes
    only, spent = await read(scripted(respond), ROOM, requests=1)
    assert only is not None
    assert (spent, only.stays, only.began) == (1, (), OVER - HOUR)


async def test_no_such_room_is_no_call() -> None:
    """Neither by SID nor by name, nor before the vendor shows it."""
    here = Stage(clock(OVER + MINUTE), failing())
    assert await read(here, ROOM) == (None, 1)
    assert await read(here, "nobody") == (None, 1)
    assert await read(here, here.emulator.room_sid("acme", "board")) == (None, 1)
    assert await read(here, "board", at=NOON + 100 * HOUR) == (None, 0)


async def test_a_failure_has_a_client() -> None:
    """By SDK, browser and region, where there is something to compare."""
    here = Stage(clock(), busy(rooms=[room(participants=50)], endings={"53405": "30%"}))
    view = await seen(here, here.emulator.room_sid("acme", "board"))
    (found,) = view.breakdowns
    assert found.signal == "participant_failure_ratio"
    assert Dimension.SDK in {split.dimension for split in found.splits}
    failed = sum(stay.failed for stay in view.stays)
    for split in found.splits:
        assert sum(group.value * group.users for group in split.groups) == pytest.approx(failed)


async def test_what_somebody_asks_changes_no_look() -> None:
    """The same points with and without it in between."""
    now = clock(SHOWN)
    story = busy(traffic=traffic(rooms=6, participants=4, length="20m"))
    asking, quiet = Stage(now, story), Stage(now, story)
    for _ in range(20):
        await quiet.look()
        await asking.look()
        found = asking.emulator.rooms(since=now.now() - 2 * HOUR)
        await read(asking, str(found[0]["room"]))
        await now.sleep_until(now.now() + MINUTE)
    assert asking.values == quiet.values


# ── a vendor that says odd things ────────────────────────────────────────────────────────────────────────────────────


def scripted(respond: Any) -> Script:
    return Script(clock(), Vendor(respond))


def row(sid: str = ROOM, **changes: Any) -> dict[str, Any]:
    plain_row = {"room_sid": sid, "room_name": "board", "create_time": rfc3339(OVER - HOUR), "end_time": rfc3339(OVER)}
    return {**plain_row, "processing_state": "complete", "room_status": "completed", **changes}


def person(sid: str = ONE, **changes: Any) -> dict[str, Any]:
    at = {"join_time": rfc3339(OVER - HOUR), "leave_time": rfc3339(OVER - MINUTE)}
    return {
        "participant_sid": sid,
        "room_sid": ROOM,
        "participant_identity": "kim",
        "status": "completed",
        **at,
        **changes,
    }


def answering(one: dict[str, Any], *found: dict[str, Any]) -> Script:
    """A room, and the people in it."""

    def respond(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/Participants"):
            return answer({"participants": list(found), "meta": {"next_page_url": None}})
        return answer(one)

    return scripted(respond)


async def test_odd_fields_cost_themselves_only() -> None:
    """No times, no client, codes as text, somebody still there, one row twice, one without an identity."""
    here = answering(
        row(end_time=None, room_status="in_progress", processing_state="in_progress"),
        person(ONE, leave_time=None, status="connected", participant_identity="a\nb"),
        person(TWO, join_time=None, duration_sec="60", error_code="53405", publisher_info=7),
        person(TWO, join_time=None, duration_sec="60", error_code="53405", publisher_info=7),
        person("nobody"),
    )
    view = await seen(here, ROOM)
    assert (view.running, view.ended, view.users) == (True, None, 2)
    assert "the vendor is not done with this room: more may come" in view.notes
    two, one = view.stays
    assert (two.user, two.failed, two.joined, two.ending) == (TWO, True, OVER - 2 * MINUTE, "53405")
    assert (one.name, one.left, one.failed) == ("a b", None, False)
    assert {"no_sid", "duplicate", "quoted", "mistyped"} <= set(view.oddities)
    assert view.minutes[-1].values["users"] == 1.0, "who is still there is counted up to now"
    assert view.minutes[-1].start >= NOON - 2 * MINUTE


async def test_a_room_that_was_not_asked_for_is_no_answer() -> None:
    """Another SID than asked for is a fault, and a name that only begins alike is another room."""
    with pytest.raises(ProviderError) as refused:
        await read(answering(row(OTHER)), ROOM)
    assert refused.value.reason is Reason.MALFORMED
    similar = scripted(lambda _: answer({"rooms": [row(room_name="board-2")], "meta": {}}))
    assert await read(similar, "board") == (None, 1)


async def test_the_vendor_refuses_halfway() -> None:
    """The room alone is told, with what was said; the ledger hears of the refusal."""

    def respond(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/Participants"):
            return answer({"code": 20429, "message": "Slow down"}, status=429, retry_after="7")
        return answer(row())

    view = await seen(scripted(respond), ROOM)
    assert view.stays == ()
    assert view.refusal is not None
    assert (view.refusal.reason, view.refusal.retry_after) == (Reason.RATE, 7.0)
    assert any(note.startswith("participants were not read: rate") for note in view.notes)


async def test_a_refusal_of_the_first_request_is_raised() -> None:
    """There is nothing to show."""
    with pytest.raises(ProviderError) as refused:
        await read(scripted(lambda _: answer({"code": 20003}, status=401)), ROOM)
    assert refused.value.reason is Reason.AUTH


async def test_a_name_is_asked_for_among_rooms_of_every_type() -> None:
    """What the project reads by is not what somebody asks for; both bounds of time are sent."""
    here = scripted(lambda _: answer({"rooms": [], "meta": {}}))
    here.settings = stage.account({"only": {"room_types": ("group",), "room_name": "lobby"}})
    here.open()
    assert await read(here, "board", at=NOON + 100 * HOUR) == (None, 0)
    assert here.vendor.requests == [], "nothing runs in the future"
    await read(here, "board", at=OVER)
    asked = here.vendor.requests[0].url.params
    assert asked["RoomName"] == "board"
    assert asked["CreatedAfter"] == rfc3339(OVER - 24 * HOUR)
    assert asked["CreatedBefore"] == rfc3339(OVER + MINUTE + 1)
    assert set(asked) == {"RoomName", "CreatedAfter", "CreatedBefore", "PageSize"}


async def test_a_source_reads_calls() -> None:
    """The program sees the port, and the pool of the project."""
    here = scripted(lambda _: answer(b"", status=500))
    assert isinstance(here.source, CallReader)
    assert here.source.call_pools("calls") == here.query.pools
