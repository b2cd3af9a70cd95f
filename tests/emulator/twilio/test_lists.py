"""Rooms and participants: filters, pages, instances, and what their addresses look like."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import EPOCH
from tests.emulator.twilio.helpers import NOON, ROOMS, SID, Caller, account, people, plain, room, traffic
from watcher.clock import VirtualClock
from watcher.emulator.twilio.ask import Bad, sheet


@pytest.fixture
def now() -> VirtualClock:
    """Noon of the first day."""
    return VirtualClock(epoch=NOON, jumping=True)


def many(**changes: Any) -> dict[str, Any]:
    """An account with rooms all day, none of them written down."""
    return plain(accounts=[account(rooms=[], traffic=traffic(), **changes)])


def names(rooms: list[dict[str, Any]]) -> list[str]:
    """What the rooms are called."""
    return [one["room_name"] for one in rooms]


# ── rows ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_room_with_every_field(now: VirtualClock) -> None:
    """Field for field, and the instance is the same object as in the list."""
    data = plain(accounts=[account(rooms=[room(status_callback="https://hooks.example.com/room", recorded=True)])])
    caller = Caller(data, now)
    (one,) = await caller.rooms()
    url = f"https://insights.example.com{caller.path()}"
    totals = one["total_participant_duration_sec"]
    assert 3 * 3300 < totals <= 3 * 3600
    assert one == {
        "account_sid": SID,
        "room_sid": caller.emulator.room_sid("acme", "board"),
        "room_name": "board",
        "create_time": "2026-01-01T10:00:00Z",
        "end_time": "2026-01-01T11:00:00Z",
        "room_type": "group",
        "room_status": "completed",
        "status_callback": "https://hooks.example.com/room",
        "status_callback_method": "POST",
        "created_method": "sdk",
        "end_reason": "timeout",
        "max_participants": 50,
        "unique_participants": 3,
        "unique_participant_identities": 3,
        "concurrent_participants": 3,
        "max_concurrent_participants": 50,
        "codecs": one["codecs"],
        "media_region": "us1",
        "duration_sec": 3600,
        "total_participant_duration_sec": totals,
        "total_recording_duration_sec": totals,
        "processing_state": "complete",
        "recording_enabled": True,
        "edge_location": "ashburn",
        "url": url,
        "links": {"participants": f"{url}/Participants"},
    }
    assert await caller.body(one["url"]) == one


async def test_a_participant_with_every_field(now: VirtualClock) -> None:
    """A normal stay, a dropped one and a failed attempt, as the dossier's examples have them."""
    written = people(
        {"identity": "user-7", "join": "4s", "stay": "31m", "region": "ie1", "sdk": "twilio-video-js 2.34.0"},
        {"identity": "user-8", "join": "2m", "stay": "31s", "ending": 53405},
        {"identity": "user-9", "join": "3m", "stay": "5s", "ending": "signaling_connection_error"},
    )
    caller = Caller(plain(accounts=[account(rooms=[written])]), now)
    failed, dropped, normal = await caller.participants()
    base = f"https://insights.example.com{caller.path()}/Participants"
    assert normal == {
        "participant_sid": normal["participant_sid"],
        "participant_identity": "user-7",
        "join_time": "2026-01-01T10:00:04Z",
        "leave_time": "2026-01-01T10:31:04Z",
        "duration_sec": 1860,
        "account_sid": SID,
        "room_sid": caller.emulator.room_sid("acme", "board"),
        "status": "completed",
        "codecs": normal["codecs"],
        "end_reason": "disconnected_via_api",
        "error_code": None,
        "error_code_url": None,
        "media_region": "ie1",
        "edge_location": "dublin",
        "properties": {
            "recordOnConnect": False,
            "numAudioTracks": 1,
            "numVideoTracks": 1,
            "numDataTracks": 0,
            "isAdhoc": False,
        },
        "publisher_info": {"name": "twilio-video-js", "sdk_version": "2.34.0"},
        "url": f"{base}/{normal['participant_sid']}",
    }
    assert (dropped["status"], dropped["end_reason"], dropped["error_code"], dropped["duration_sec"]) == (
        "disconnected",
        "media_connection_failed_or_media_activity_ceased",
        53405,
        31,
    )
    assert dropped["error_code_url"] == "https://www.twilio.com/docs/api/errors/53405"
    assert (failed["codecs"], failed["properties"], failed["publisher_info"]) == ([], {}, {})
    assert await caller.body(dropped["url"]) == dropped
    assert list(failed) == list(normal)


@pytest.mark.parametrize(
    ("answers", "wanted"),
    [
        ({"no_error": "zero"}, {"error_code": 0}),
        ({"normal": "nothing"}, {"end_reason": None, "error_code": None}),
        ({"timestamps": "millis"}, {"join_time": "2026-01-01T10:00:00.000Z"}),
        ({"properties": "empty", "publisher": "empty"}, {"properties": {}, "publisher_info": {}}),
    ],
)
async def test_open_questions_about_rows(now: VirtualClock, answers: dict[str, str], wanted: dict[str, Any]) -> None:
    """Each switch changes what it says and nothing else."""
    accounts = [account(rooms=[people({})])]
    before = (await Caller(plain(accounts=accounts), now).participants())[0]
    after = (await Caller(plain(accounts=accounts, answers=answers), now).participants())[0]
    assert {name: after[name] for name in wanted} == wanted
    same = set(before) - set(wanted) - ({"leave_time"} if "join_time" in wanted else set())
    assert {name: after[name] for name in same} == {name: before[name] for name in same}


async def test_other_spellings(now: VirtualClock) -> None:
    """Properties in snake case; a publisher with browser and platform; both kinds of timestamps in one list."""
    answers = {"properties": "snake", "publisher": "full", "timestamps": "mixed", "no_error": "mixed"}
    caller = Caller(plain(accounts=[account(rooms=[people(*[{"sdk": "a-js 1", "browser": "Safari 26"}] * 40)])],
                          answers=answers), now)  # fmt: skip
    rows = await caller.participants()
    assert set(rows[0]["properties"]) >= {"record_on_connect", "num_audio_tracks", "is_adhoc"}
    assert rows[0]["publisher_info"]["browser_name"] == "Safari"
    assert {len(row["join_time"]) for row in rows} == {20, 24}
    assert {row["error_code"] for row in rows} == {None, 0}


async def test_failed_attempts_may_leave_no_trace(now: VirtualClock) -> None:
    """Whether those who never got in have a row is not known; here they have none, in the truth neither."""
    written = people({}, {"ending": 53104})
    data = plain(accounts=[account(rooms=[written])], answers={"failed_attempts": "nothing"})
    caller = Caller(data, now)
    assert [row["end_reason"] for row in await caller.participants()] == ["disconnected_via_api"]
    assert len(caller.emulator.participants()) == 1


# ── filters ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_without_dates_the_last_day_counts(now: VirtualClock) -> None:
    """By its end; and rooms that are not over are not there, whatever the dates."""
    rooms = [
        room(name="old", start="-13h30m", duration="1h"),
        room(name="recent", start="-13h", duration="2h"),
        room(name="today", start="+9h"),
        room(name="running", start="+11h30m"),
        room(name="coming", start="+14h"),
    ]
    caller = Caller(plain(accounts=[account(rooms=rooms)]), now)
    assert names(await caller.rooms()) == ["today", "recent"]
    assert names(await caller.rooms(CreatedAfter="2025-01-01T00:00:00Z")) == ["today", "recent", "old"]


async def test_dates_are_about_the_start(now: VirtualClock) -> None:
    """`CreatedAfter` counts in, `CreatedBefore` does not; offsets and fractions are understood."""
    rooms = [room(name=f"r{hour}", start=f"+{hour}h", duration="10m") for hour in range(1, 6)]
    caller = Caller(plain(accounts=[account(rooms=rooms)]), now)
    after, before = "2026-01-01T02:00:00Z", "2026-01-01T04:00:00Z"
    assert names(await caller.rooms(CreatedAfter=after, CreatedBefore=before)) == ["r3", "r2"]
    assert names(await caller.rooms(CreatedBefore=after)) == ["r1"]
    assert names(await caller.rooms(CreatedAfter="2026-01-01T06:00:00.001+02:00")) == ["r5"]


async def test_types_codecs_and_names(now: VirtualClock) -> None:
    """Repeated keys mean "one of"; a name is matched whole; filters come together."""
    rooms = [
        room(name="a", type="go", start="+1h"),
        room(name="b", type="peer_to_peer", start="+2h"),
        room(name="c", start="+3h"),
        room(name="c", start="+5h"),
    ]
    caller = Caller(plain(accounts=[account(rooms=rooms)]), now)
    assert names(await caller.rooms(RoomType=["go", "group"])) == ["c", "c", "a"]
    assert names(await caller.rooms(RoomType="group_small")) == []
    assert names(await caller.rooms(RoomName="c")) == ["c", "c"]
    assert names(await caller.rooms(RoomName="C")) == []
    assert names(await caller.rooms(RoomName="c", CreatedBefore="2026-01-01T04:00:00Z")) == ["c"]
    assert len(await caller.rooms(Codec="opus")) == 4
    for codec in ("VP8", "H264", "VP9"):
        found = await caller.rooms(Codec=codec)
        assert all(codec in one["codecs"] for one in found)


async def test_generated_rooms_are_filtered_alike(now: VirtualClock) -> None:
    """Columns and rows agree: what a filter gives is what one would pick by hand."""
    caller = Caller(many(mix={"room_types": {"group": 1, "go": 1}}), now)
    everything = await caller.rooms(PageSize=1000, CreatedAfter="2025-12-31T00:00:00Z")
    assert 500 < len(everything) < 1000
    for name, field, value in (
        ("RoomType", "room_type", "go"),
        ("Codec", "codecs", "H264"),
        ("RoomName", "room_name", "acme-3"),
    ):
        found = await caller.rooms(PageSize=1000, CreatedAfter="2025-12-31T00:00:00Z", **{name: value})
        by_hand = [one for one in everything if value == one[field] or (value in one[field] and field == "codecs")]
        assert len(found) > 5
        assert [one["room_sid"] for one in found] == [one["room_sid"] for one in by_hand]
    part = await caller.rooms(PageSize=1000, CreatedAfter="2026-01-01T05:00:00Z", CreatedBefore="2026-01-01T06:00:00Z")
    assert [one["room_sid"] for one in part] == [
        one["room_sid"] for one in everything if "2026-01-01T05" <= one["create_time"] < "2026-01-01T06"
    ]


@pytest.mark.parametrize(
    "given",
    [
        {"PageSize": 0},
        {"PageSize": 1001},
        {"PageSize": "many"},
        {"Page": "-1"},
        {"PageToken": "PT123"},
        {"PageToken": "eyJwYWdlT2Zmc2V0IjoxfQ=="},
        {"PageToken": "PT" + base64.b64encode(b'{"pageOffset":-1}').decode()},
        {"PageToken": "PT" + base64.b64encode(b'{"pageOffset":"1"}').decode()},
        {"RoomType": "large"},
        {"RoomType": "peer-to-peer"},
        {"Codec": "AV1"},
        {"CreatedAfter": "yesterday"},
        {"CreatedAfter": "2026-01-01"},
        {"CreatedBefore": "2026-02-30T00:00:00Z"},
        {"CreatedBefore": "2026-01-01T00:00:00"},
        {"CreatedBefore": ["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"]},
        {"created_after": "2026-01-01T00:00:00Z"},
    ],
)
async def test_what_cannot_be_asked(now: VirtualClock, given: dict[str, Any]) -> None:
    """400 with 20001."""
    caller = Caller(plain(), now)
    response = await caller.get(**given)
    assert (response.status_code, response.json()["code"]) == (400, 20001)
    assert caller.report()["requests"] == {"rooms": {"20001": 1}}


async def test_participants_take_paging_parameters_only(now: VirtualClock) -> None:
    """The filters are the rooms'."""
    caller = Caller(plain(), now)
    assert (await caller.get(f"{caller.path()}/Participants", RoomName="x")).status_code == 400
    assert (await caller.get(f"{caller.path()}/Participants", PageSize=1)).status_code == 200


@given(st.binary(max_size=60))
def test_no_query_string_crashes(query: bytes) -> None:
    """Whatever comes is read or refused."""
    assert isinstance(sheet(query, filters=True), Bad) or b"=" in query or not query.strip(b"&;")


# ── pages ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("size", [1, 7, 50, 1000])
async def test_pages_cover_the_list_once(now: VirtualClock, size: int) -> None:
    """Newest first, none twice, none missing, the last page not full."""
    caller = Caller(many(), now)
    since = "2026-01-01T08:00:00Z"
    pages = await caller.pages(PageSize=size, CreatedAfter=since)
    whole = await caller.rooms(PageSize=1000, CreatedAfter=since)
    flat = [one["room_sid"] for page in pages for one in page]
    assert flat == [one["room_sid"] for one in whole]
    assert len(set(flat)) == len(flat) > 60
    starts = [one["create_time"] for one in whole]
    assert starts == sorted(starts, reverse=True)
    assert {len(page) for page in pages[:-1]} <= {size}


async def test_links_keep_the_filters(now: VirtualClock) -> None:
    """Filters first, then size, token and number; the token is the vendor's form; all on the host that was asked."""
    caller = Caller(many(), now)
    asked: dict[str, Any] = {"RoomType": ["group", "go"], "CreatedAfter": "2026-01-01T06:00:00Z", "PageSize": 2}
    first = await caller.body(**asked)
    second = await caller.body(first["meta"]["next_page_url"])
    meta = second["meta"]
    filters = [("RoomType", "group"), ("RoomType", "go"), ("CreatedAfter", "2026-01-01T06:00:00Z"), ("PageSize", "2")]
    token = "PT" + base64.b64encode(b'{"pageOffset":2}').decode()
    assert parse_qsl(urlsplit(meta["url"]).query) == [*filters, ("PageToken", token), ("Page", "1")]
    assert parse_qsl(urlsplit(meta["first_page_url"]).query) == [*filters, ("Page", "0")]
    assert (meta["page"], meta["page_size"], meta["key"]) == (1, 2, "rooms")
    assert meta["url"] == first["meta"]["next_page_url"]
    assert first["meta"]["previous_page_url"] is None
    back = await caller.body(meta["previous_page_url"])
    assert back["rooms"] == first["rooms"]
    for url in (meta["url"], meta["first_page_url"], meta["next_page_url"], meta["previous_page_url"]):
        assert url.startswith(f"https://insights.example.com{ROOMS}?")


async def test_an_empty_list(now: VirtualClock) -> None:
    """No rows, the same meta."""
    caller = Caller(plain(accounts=[account(rooms=[])]), now)
    body = await caller.body()
    assert body["rooms"] == []
    assert (body["meta"]["next_page_url"], body["meta"]["page_size"], body["meta"]["page"]) == (None, 50, 0)


async def test_the_list_shifts_while_one_pages() -> None:
    """A room that is published between two pages pushes the rest down: its neighbour comes twice, nothing is lost."""
    rooms = [room(name=f"r{minute}", start=f"+10h{minute}m", duration="20m") for minute in range(10, 16)]
    rooms.append(room(name="long", start="+10h30m", duration="70m"))
    clock = VirtualClock(epoch=NOON - 660, jumping=True)  # 11:49; the last room shows at 11:50
    caller = Caller(plain(accounts=[account(rooms=rooms)]), clock)
    first = await caller.body(PageSize=3)
    assert names(first["rooms"]) == ["r15", "r14", "r13"]
    await clock.sleep_until(NOON - 599)
    second = await caller.body(first["meta"]["next_page_url"])
    assert names(second["rooms"]) == ["r13", "r12", "r11"]


async def test_participants_page_too(now: VirtualClock) -> None:
    """By three, newest first, none twice."""
    written = people(*[{"join": f"{minute}m"} for minute in range(10)])
    caller = Caller(plain(accounts=[account(rooms=[written])]), now)
    pages = await caller.pages(f"{caller.path()}/Participants", PageSize=3)
    assert [len(page) for page in pages] == [3, 3, 3, 1]
    assert [row["participant_identity"] for page in pages for row in page] == [f"user-{n}" for n in range(9, -1, -1)]


# ── instances and paths ──────────────────────────────────────────────────────────────────────────────────────────────


async def test_every_generated_room_is_found_by_its_sid(now: VirtualClock) -> None:
    """And every participant by theirs."""
    caller = Caller(many(), now)
    for one in (await caller.rooms(CreatedAfter="2026-01-01T00:00:00Z"))[:20]:
        assert await caller.body(one["url"]) == one
        rows = (await caller.body(one["links"]["participants"]))["participants"]
        assert len(rows) == one["unique_participants"]
        assert await caller.body(rows[-1]["url"]) == rows[-1]


async def test_what_is_not_there(now: VirtualClock) -> None:
    """Rooms that never were, are not over, or lie in the future; participants of other rooms; other paths."""
    rooms = [room(), room(name="other"), room(name="running", start="+11h30m")]
    caller = Caller(plain(accounts=[account(rooms=rooms, traffic=traffic())]), now)
    stranger = (await caller.participants("other"))[0]["participant_sid"]
    generated = (await caller.rooms())[0]["room_sid"]
    last = "0" if generated[-1] != "0" else "1"
    for path in (
        f"{ROOMS}/RM{'f' * 32}",
        f"{ROOMS}/RM{'x' * 32}",
        f"{ROOMS}/nonsense",
        f"{ROOMS}/{generated[:-1]}{last}",
        caller.path("running"),
        f"{caller.path('running')}/Participants",
        f"{caller.path()}/Participants/{stranger}",
        "/v1/Video/Roms",
        f"{ROOMS}/",
    ):
        response = await caller.get(path)
        assert response.status_code == 404, path
        body = response.json()
        assert (body["code"], body["status"]) == (20404, 404)
        assert body["message"] == f"The requested resource {path.removeprefix('/v1')} was not found"
    response = await caller.request("POST", ROOMS)
    assert (response.status_code, response.json()["code"]) == (405, 20004)


async def test_rooms_expire() -> None:
    """Seven days after the end a room is gone, `go` rooms earlier where the scenario says so."""
    rooms = [room(name="group"), room(name="go", type="go")]
    clock = VirtualClock(epoch=NOON, jumping=True)
    caller = Caller(plain(accounts=[account(rooms=rooms, visibility={"kept_go": "2d"})]), clock)
    since = "2025-12-30T00:00:00Z"
    assert len(await caller.rooms(CreatedAfter=since)) == 2
    await clock.sleep_until(EPOCH + 11 * 3600 + 2 * 86_400)
    assert names(await caller.rooms(CreatedAfter=since)) == ["group"]
    assert (await caller.get(f"{caller.path('go')}/Participants")).status_code == 404
    await clock.sleep_until(EPOCH + 11 * 3600 + 7 * 86_400 - 1)
    assert (await caller.get(caller.path("group"))).status_code == 200
    await clock.sleep_until(EPOCH + 11 * 3600 + 7 * 86_400)
    assert await caller.rooms(CreatedAfter=since) == []
    assert (await caller.get(caller.path("group"))).status_code == 404
