"""What a vendor can send that it should not: refusals, links that lead astray, odd rows. Counted, and not believed."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx
import pytest

from tests.emulator.twilio.helpers import KEY, NOON, SECRET
from tests.providers.doubles import Vendor, answer
from tests.providers.twilio.stage import HOST, Script, account
from watcher.clock import DAY, HOUR, MINUTE, VirtualClock, rfc3339
from watcher.errors import ProviderError, Reason
from watcher.providers.http import Reply
from watcher.providers.twilio.refusals import refused
from watcher.providers.twilio.settings import HOST as VENDOR

RM, PA, PB = "RM" + "1" * 32, "PA" + "1" * 32, "PA" + "2" * 32
Respond = Callable[[httpx.Request], httpx.Response]


def room(**changes: Any) -> dict[str, Any]:
    """A room that was over at 11:40."""
    own = {"room_sid": RM, "create_time": "2026-01-01T11:00:00Z", "end_time": "2026-01-01T11:40:00Z"}
    return {**own, "room_status": "completed", "processing_state": "complete", **changes}


def stay(**changes: Any) -> dict[str, Any]:
    """Somebody whose media failed at 11:30."""
    own = {"participant_sid": PA, "room_sid": RM, "status": "disconnected", "duration_sec": 600, "error_code": 53405}
    times = {"join_time": "2026-01-01T11:20:00Z", "leave_time": "2026-01-01T11:30:00Z"}
    return {**own, **times, "end_reason": None, **changes}


def page(key: str, rows: object, following: object = None) -> dict[str, Any]:
    return {key: rows, "meta": {"key": key, "next_page_url": following}}


def vendor(*, rooms: object = None, people: object = None, now: float = NOON) -> Vendor:
    """Answers with these rows, bodies or responses, and says that it is `now`."""

    def made(found: object, key: str) -> httpx.Response:
        if isinstance(found, httpx.Response):
            return found
        return answer(found if isinstance(found, dict | bytes) else page(key, found), at=now)

    def respond(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/Participants"):
            return made([stay()] if people is None else people, "participants")
        return made([room()] if rooms is None else rooms, "rooms")

    return Vendor(respond)


def script(*, rooms: object = None, people: object = None) -> Script:
    return Script(VirtualClock(epoch=NOON, jumping=True), vendor(rooms=rooms, people=people))


async def test_a_look_asks_as_documented() -> None:
    """Both bounds of the list in whole seconds of UTC, large pages, and the credential in the header only."""
    here = script()
    await here.look()
    listed, people = here.vendor.requests
    assert dict(listed.url.params) == {
        "CreatedAfter": "2025-12-31T10:29:00Z",
        "CreatedBefore": "2026-01-01T11:59:56Z",
        "PageSize": "1000",
    }
    assert people.url.path == f"/v1/Video/Rooms/{RM}/Participants"
    assert httpx.BasicAuth(KEY, SECRET)._auth_header == listed.headers["authorization"]
    assert SECRET not in str(listed.url)


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (401, {"code": 20003, "detail": "", "message": "Authenticate", "status": 401}, Reason.AUTH),
        (403, {"type": "https://example.com", "title": "Denied", "status": 403, "code": 20006}, Reason.AUTH),
        (403, {"code": "20403", "message": "closed"}, Reason.AUTH),
        (401, b"<html>", Reason.AUTH),
        (400, {"code": 20001, "message": "PageSize"}, Reason.REQUEST),
        (404, {"code": 20404, "message": "The requested resource was not found"}, Reason.REQUEST),
        (429, {"code": 20429, "message": "Too Many Requests"}, Reason.RATE),
        (429, b"", Reason.RATE),
        (500, {"code": 20500, "message": "oops"}, Reason.SERVER),
        (503, {"code": 20503, "message": "later"}, Reason.SERVER),
        (502, b"<html>bad gateway</html>", Reason.SERVER),
        (302, b"", Reason.AUTH),
        (200, b"<html>", Reason.MALFORMED),
        (200, b'{"rooms": [', Reason.MALFORMED),
        (200, b"[]", Reason.MALFORMED),
    ],
)
async def test_a_refused_list_fails_the_look_with_its_reason(status: int, body: object, reason: Reason) -> None:
    """By the vendor's code in either body, else by the status."""
    here = script(rooms=answer(body, status=status, at=NOON))
    with pytest.raises(ProviderError) as caught:
        await here.look()
    assert caught.value.reason is reason


@pytest.mark.parametrize(
    ("header", "wait"),
    [({}, None), ({"retry_after": "7"}, 7.0), ({"retry_after": "Thu, 01 Jan 2026 12:00:09 GMT"}, 9.0)],
)
async def test_the_vendors_wish_to_wait_is_passed_on(header: dict[str, str], wait: float | None) -> None:
    """429 with no word, seconds or a date."""
    here = script(rooms=answer({"code": 20429}, status=429, at=NOON, **header))
    with pytest.raises(ProviderError) as caught:
        await here.look()
    assert caught.value.retry_after == wait


async def test_a_secret_that_is_echoed_is_not_shown() -> None:
    """A gateway that repeats the request shows neither the secret nor the header made of it."""
    token = httpx.BasicAuth(KEY, SECRET)._auth_header.removeprefix("Basic ")
    here = script(rooms=answer({"code": 20003, "message": f"{SECRET} in {token}"}, status=401))
    with pytest.raises(ProviderError) as caught:
        await here.look()
    assert SECRET not in str(caught.value)
    assert token not in str(caught.value)


async def test_a_rooms_error_costs_that_room_only() -> None:
    """Two rooms are read and one is not: its failure is counted, the look goes on, and it is read ten minutes later."""
    sids = [f"RM{n}" + "0" * 31 for n in range(3)]
    broken = {sids[1]}

    def respond(request: httpx.Request) -> httpx.Response:
        sid = request.url.path.split("/")[4] if "Participants" in request.url.path else ""
        if not sid:
            return answer(page("rooms", [room(room_sid=one) for one in sids]))
        if sid in broken:
            return answer(b"", status=500)
        return answer(page("participants", [stay(room_sid=sid, participant_sid="PA" + sid[2:])]))

    here = Script(VirtualClock(epoch=NOON, jumping=True), Vendor(respond))
    await here.look()
    assert (here.people(), here.oddities()) == (2, {"failed_room": 1})
    broken.clear()
    await here.looks(11 * MINUTE)
    assert here.people() == 3


@pytest.mark.parametrize(("status", "running"), [(500, False), (404, True)])
async def test_a_room_that_stays_broken_holds_back_an_hour_at_most(status: int, running: bool) -> None:
    """After a restart: what was told before waits for it, and whether a minute was empty; then it goes on without."""
    sids = [f"RM{n}" + "0" * 31 for n in range(3)]

    def respond(request: httpx.Request) -> httpx.Response:
        if "Participants" not in request.url.path:
            open_one = {"end_time": None, "processing_state": "in_progress"} if running else {}
            return answer(page("rooms", [room(room_sid=one, **(open_one if one == sids[0] else {})) for one in sids]))
        sid = request.url.path.split("/")[4]
        row = stay(room_sid=sid, participant_sid="PA" + sid[2:])
        return answer(b"", status=status) if sid == sids[0] else answer(page("participants", [row]))

    here = Script(VirtualClock(epoch=NOON, jumping=True), Vendor(respond))
    here.covered = int(NOON)
    await here.looks(30 * MINUTE)
    assert (here.people(), here.answers[-1].settled) == (0, NOON - 30 * MINUTE)
    await here.looks(40 * MINUTE)
    assert here.people() == 2
    assert here.answers[-1].settled >= here.clock.now() - 32 * MINUTE


async def test_a_vendor_whose_rooms_all_fail_is_said_to_fail() -> None:
    """No room could be read: that is not the rooms' fault. One that failed before is: no later look fails for it."""

    def respond(request: httpx.Request) -> httpx.Response:
        return answer(b"", status=500) if "Participants" in request.url.path else answer(page("rooms", [room()]))

    here = Script(VirtualClock(epoch=NOON, jumping=True), Vendor(respond))
    with pytest.raises(ProviderError):
        await here.look()
    for _ in range(3):
        await here.clock.sleep_until(here.clock.now() + 11 * MINUTE)
        answered = await here.look()
    assert answered.oddities == {"failed_room": 1}


async def test_a_missing_room_is_counted_and_let_go() -> None:
    """404 on a final room: expired or deleted, and not asked for again."""
    here = script(people=answer({"code": 20404}, status=404))
    await here.looks(HOUR)
    assert here.oddities() == {"vanished": 1}
    assert sum("Participants" in request.url.path for request in here.vendor.requests) == 1


@pytest.mark.parametrize(
    ("following", "oddity"),
    [
        ("https://evil.example.com/v1/Video/Rooms?Page=1", "foreign_link"),
        (f"http://{HOST}:81/v1/Video/Rooms?Page=1", "foreign_link"),
        (f"http://user@{HOST}/v1/Video/Rooms?Page=1", "foreign_link"),
        (f"http://{HOST}/v1/Accounts?Page=1", "foreign_link"),
        ("//evil.example.com/v1/Video/Rooms", "foreign_link"),
        ("http://[", "foreign_link"),
        ("ftp://x", "foreign_link"),
        (7, "mistyped"),
        (f"http://{HOST}/v1/Video/Rooms?Page=1", "loop"),
    ],
)
async def test_a_link_elsewhere_is_not_followed(following: object, oddity: str) -> None:
    """The credential goes with a link: only to the same list at the same origin, and not in circles."""
    here = script(rooms=page("rooms", [room()], following))
    before = here.watch.stays.floor
    got = await here.look()
    assert here.oddities()[oddity] == 1
    assert {request.url.host for request in here.vendor.requests} == {HOST}
    assert {request.url.path.split("/")[2] for request in here.vendor.requests} == {"Video"}
    assert here.people() == 1
    assert got.settled == (got.asked.start if oddity != "mistyped" else got.settled) > before


async def test_links_of_the_vendor_are_followed_through_a_gateway() -> None:
    """Where requests go through another host, the vendor's own links still name the vendor: their page is asked for
    there, and the credential goes nowhere else."""

    def respond(request: httpx.Request) -> httpx.Response:
        if "Participants" in request.url.path:
            return answer(page("participants", [stay()]))
        if request.url.params.get("PageToken") == "b":
            return answer(page("rooms", [room()]))
        return answer(page("rooms", [], f"{VENDOR}/v1/Video/Rooms?PageToken=b"))

    here = Script(VirtualClock(epoch=NOON, jumping=True), Vendor(respond), account(base_url=f"http://{HOST}/gateway"))
    await here.look()
    assert (here.people(), here.oddities()) == (1, {})
    assert {request.url.host for request in here.vendor.requests} == {HOST}
    assert all(request.url.path.startswith("/gateway/v1/Video/Rooms") for request in here.vendor.requests)


async def test_a_list_of_participants_that_never_ends_is_read_six_times() -> None:
    """Its end leads elsewhere each time: who is on it counts, and it is accepted after six reads and not at the first,
    however long ago the room was."""

    def respond(request: httpx.Request) -> httpx.Response:
        if "Participants" in request.url.path:
            return answer(page("participants", [stay()], "https://evil.example.com/v1"))
        return answer(page("rooms", [room()]))

    here = Script(VirtualClock(epoch=NOON + 90 * MINUTE, jumping=True), Vendor(respond))
    here.covered = int(NOON)
    await here.looks(90 * MINUTE)
    assert sum("Participants" in request.url.path for request in here.vendor.requests) == 6
    assert (here.people(), here.oddities()) == (1, {"foreign_link": 6, "unsettled": 1})


async def test_pages_without_end_are_cut() -> None:
    """A next page for ever is a hundred requests, counted."""

    def respond(request: httpx.Request) -> httpx.Response:
        number = int(request.url.params.get("Page", 0)) + 1
        return answer(page("rooms", [], f"http://{HOST}/v1/Video/Rooms?Page={number}"))

    here = Script(VirtualClock(epoch=NOON, jumping=True), Vendor(respond))
    await here.look()
    assert len(here.vendor.requests) == 100
    assert here.oddities() == {"overflow": 1}


@pytest.mark.parametrize(
    ("change", "people", "failed", "oddities"),
    [
        ({}, 1, 1, {}),
        ({"error_code": 0}, 1, 0, {}),
        ({"error_code": "53405"}, 1, 1, {"quoted": 1}),
        ({"error_code": [1], "end_reason": 9}, 1, 0, {"mistyped": 2}),
        ({"error_code": 59999}, 1, 1, {"unknown_ending": 1}),
        ({"end_reason": "went_for_tea", "error_code": None}, 1, 0, {"unknown_ending": 1}),
        ({"end_reason": "disconnected_via_api"}, 1, 1, {"conflict": 1}),
        ({"leave_time": "2026-01-01T11:30:00.250Z"}, 1, 1, {}),
        ({"leave_time": "2026-01-01T11:30:00"}, 0, 0, {"no_time": 1}),
        ({"leave_time": "yesterday"}, 0, 0, {"no_time": 1}),
        ({"leave_time": 5}, 0, 0, {"no_time": 1}),
        ({"leave_time": None}, 0, 0, {"no_time": 1}),
        ({"leave_time": None, "status": "connected"}, 0, 0, {}),
        ({"status": "in-progress"}, 0, 0, {}),
        ({"status": "levitating"}, 1, 1, {"unknown_word": 1}),
        ({"leave_time": "2026-01-01T12:30:00Z"}, 0, 0, {"future": 1}),
        ({"leave_time": "2026-01-01T08:30:00Z", "join_time": None}, 0, 0, {"outdated": 1}),
        ({"duration_sec": -5}, 1, 1, {"impossible": 1}),
        ({"join_time": "2026-01-01T11:31:00Z"}, 1, 1, {"impossible": 1}),
        ({"participant_sid": None}, 0, 0, {"no_sid": 1}),
        ({"participant_sid": "PA../../x"}, 0, 0, {"no_sid": 1}),
        ({"room_sid": "RM" + "9" * 32}, 0, 0, {"not_asked": 1}),
        ({"participant_identity": "<script>" * 1000, "surprise": {"a": [1]}}, 1, 1, {}),
    ],
)
async def test_an_odd_row_costs_its_odd_field(
    change: dict[str, Any], people: int, failed: int, oddities: dict[str, int]
) -> None:
    """What can be read of a row counts, the rest is counted as what it is."""
    here = script(people=[stay(**change)])
    await here.look()
    assert (here.people(), here.counted("participant_failure_ratio"), here.oddities()) == (people, failed, oddities)


@pytest.mark.parametrize(
    ("rooms", "oddities"),
    [
        ([room(room_sid="RM/../x")], {"no_sid": 1}),
        ([room(room_sid=None), 7, None], {"no_sid": 1, "mistyped": 2}),
        ([room(), room()], {"duplicate": 1}),
        ([room(processing_state="pondering")], {"unknown_word": 1}),
        ([room(create_time="soon")], {"no_time": 1}),
        ({"rooms": None, "meta": {}}, {"no_list": 1}),
        ({"rooms": [], "meta": None}, {"no_meta": 1}),
        ({"rooms": {}}, {"no_meta": 1, "no_list": 1}),
    ],
)
async def test_an_odd_list_is_counted(rooms: object, oddities: dict[str, int]) -> None:
    """Rows that cannot be named are dropped; a list that is none settles nothing."""
    here = script(rooms=rooms)
    got = await here.look()
    assert here.oddities() == oddities
    if "no_list" in oddities:
        assert got.settled == got.asked.start


async def test_who_is_listed_twice_counts_once() -> None:
    """The same participant twice in a page, then in another room: one, as the last row has it."""
    here = script(people=[stay(), stay(error_code=0), stay(participant_sid=PB)])
    await here.look()
    assert (here.people(), here.counted("participant_failure_ratio")) == (2, 1)
    assert here.oddities() == {"duplicate": 1}


async def test_an_amended_row_moves_to_its_minute() -> None:
    """A room that is not final says another time later: the first minute is emptied, not left standing."""
    times = iter(["2026-01-01T11:30:00Z", "2026-01-01T11:32:00Z"])

    def respond(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/Participants"):
            return answer(page("participants", [stay(leave_time=next(times))]))
        return answer(page("rooms", [room(processing_state="in-progress", end_time="2026-01-01T11:55:00Z")]))

    here = Script(VirtualClock(epoch=NOON, jumping=True), Vendor(respond))
    await here.looks(12 * MINUTE)
    assert sorted(here.values["users"].values()) == [(0.0, 0.0), (1.0, 1.0)]
    assert sorted(here.values["participant_failure_ratio"].values()) == [(0.0, 0.0), (1.0, 1.0)]


OTHER = "RM" + "2" * 32
THIRD = "RM" + "3" * 32


@pytest.mark.parametrize(
    ("first", "then", "found"),
    [
        pytest.param({}, {}, [0, 1], id="at once"),
        pytest.param({"rooms": 400}, {}, [0, 1], id="once the list can be read"),
        pytest.param({OTHER: (500, b"")}, {}, [0, 1], id="once the other room can be read"),
        pytest.param(*[{OTHER: (500, b"")}] * 2, [1, 1], id="not while a room is broken"),
        pytest.param(*[{OTHER: (404, b"")}] * 2, [1, 1], id="not where a room is gone"),
        pytest.param(
            *[{OTHER: (200, page("participants", [], "https://e.example.com"))}] * 2, [1, 1], id="not by a part"
        ),
        pytest.param(
            *[{OTHER: (200, page("participants", [stay(participant_sid=7)]))}] * 2, [1, 1], id="not by a guess"
        ),
        pytest.param(*[{"rooms": "https://e.example.com/"}] * 2, [1, 1], id="not by the short list alone"),
    ],
)
async def test_who_was_moved_while_nobody_looked_is_taken_back(
    first: dict[str, Any], then: dict[str, Any], found: list[int]
) -> None:
    """A row is amended between two runs: its person counts in one minute only, once it is certain that nobody else is
    in the old one. `first` and `then` say what is wrong half an hour and afterwards."""
    now, amended = VirtualClock(epoch=NOON, jumping=True), False

    def respond(request: httpx.Request) -> httpx.Response:
        wrong = {} if not amended else first if now.now() < NOON + HOUR else then
        if "Participants" not in request.url.path:
            if wrong.get("rooms") == 400:
                return answer({"code": 20001}, status=400)
            return answer(page("rooms", [room(), room(room_sid=OTHER)], wrong.get("rooms")))
        sid = request.url.path.split("/")[4]
        if sid == OTHER:
            status, body = wrong.get(OTHER, (200, page("participants", [])))
            return answer(body, status=status)
        return answer(page("participants", [stay(leave_time=f"2026-01-01T11:{32 if amended else 30}:00Z")]))

    here = Script(now, Vendor(respond))
    await here.looks(30 * MINUTE)
    assert list(here.values["users"].values()) == [(1.0, 1.0)]
    amended = True
    here.open()
    while now.now() < NOON + 3 * HOUR:
        with suppress(ProviderError):
            await here.look()
        await now.sleep_until(now.now() + MINUTE)
    assert [users for _, (users, _) in sorted(here.values["users"].items())] == found


async def test_who_was_moved_in_a_long_absence_is_taken_back() -> None:
    """Down for six hours, which is longer than memory reaches: it is kept until that is certain."""
    now, people = VirtualClock(epoch=NOON, jumping=True), [stay()]
    here = Script(now, Vendor(lambda request: vendor(people=people, now=now.now()).respond(request)))
    await here.looks(30 * MINUTE)
    await now.sleep_until(NOON + 6 * HOUR)
    people[:] = [stay(leave_time="2026-01-01T11:32:00Z")]
    here.open()
    await here.looks(30 * MINUTE)
    assert [users for _, (users, _) in sorted(here.values["users"].items())] == [0.0, 1.0]


async def test_what_memory_let_go_is_not_taken_back() -> None:
    """It is certain only two hours after the restart, since a running room cannot be read before: who left in a minute
    that is forgotten by then stays."""
    now, listed = VirtualClock(epoch=NOON, jumping=True), [room()]

    def respond(request: httpx.Request) -> httpx.Response:
        if "Participants" not in request.url.path:
            return answer(page("rooms", listed), at=now.now())
        if OTHER in request.url.path and now.now() < NOON + 2.5 * HOUR:
            return answer(b"", status=500, at=now.now())
        return answer(page("participants", [stay()] if RM in request.url.path else []), at=now.now())

    here = Script(now, Vendor(respond), account({"longest": "10m"}, delay="10m"))
    await here.looks(30 * MINUTE)
    listed[:] = [room(room_sid=OTHER, end_time=None, processing_state="in_progress"), room(room_sid=THIRD)]
    here.open()
    while now.now() < NOON + 4 * HOUR:
        with suppress(ProviderError):
            await here.look()
        await now.sleep_until(now.now() + MINUTE)
    assert list(here.values["users"].values()) == [(1.0, 1.0)]


@pytest.mark.parametrize("rooms", [[], [room(room_sid=OTHER, create_time="2026-01-01T12:31:00Z", end_time=None)]])
async def test_a_list_without_the_rooms_of_before_empties_nothing(rooms: list[dict[str, Any]]) -> None:
    """Somebody was in a room, so a list that names none, or only one that began since, is not the whole of them."""
    now, listed = VirtualClock(epoch=NOON, jumping=True), [room()]
    people = [stay()]
    here = Script(now, Vendor(lambda request: vendor(rooms=listed, people=people, now=now.now()).respond(request)))
    await here.looks(30 * MINUTE)
    listed[:], people[:] = rooms, []
    here.open()
    await here.looks(30 * MINUTE)
    assert list(here.values["users"].values()) == [(1.0, 1.0)]


class Listing:
    """A vendor of rooms whose two people each left at 11:30, and failed in those that `fail`; it lists `listed`."""

    def __init__(self, *listed: str, fail: tuple[str, ...] = (RM,)) -> None:
        self.listed = list(listed)
        self.here = Script(VirtualClock(epoch=NOON, jumping=True), Vendor(self._respond))
        self._fail = fail

    def _respond(self, request: httpx.Request) -> httpx.Response:
        if "Participants" not in request.url.path:
            return answer(page("rooms", [room(room_sid=sid) for sid in self.listed]))
        sid = request.url.path.split("/")[4]
        code = 53405 if sid in self._fail else 0
        people = [stay(room_sid=sid, participant_sid=f"PA{sid[2:-1]}{n}", error_code=code) for n in "ab"]
        return answer(page("participants", people))

    def restart(self, *listed: str) -> None:
        self.listed[:] = listed
        self.here.open()

    def told(self) -> tuple[float, int]:
        """People, and failures, on record."""
        return self.here.people(), self.here.counted("participant_failure_ratio")


async def test_a_room_that_one_list_leaves_out_is_not_taken_back() -> None:
    """After a restart the list is well-formed, whole and without one of two rooms for ten minutes: at no look is less
    told than is on record, and nothing is missing or doubled afterwards."""
    vendor = Listing(RM, OTHER)
    await vendor.here.looks(30 * MINUTE)
    vendor.restart(OTHER)
    for _ in range(10):
        await vendor.here.look()
        assert vendor.told() == (4.0, 2)
        await vendor.here.clock.sleep_until(vendor.here.clock.now() + MINUTE)
    vendor.listed.append(RM)
    await vendor.here.looks(HOUR)
    assert vendor.told() == (4.0, 2)


@pytest.mark.parametrize("restarted", [True, False])
async def test_one_list_takes_nothing_back_however_memory_begins_anew(restarted: bool) -> None:
    """A clock that was ahead: what is covered is not known any more at a restart, or an answer was thrown away."""
    vendor = Listing(RM, OTHER)
    await vendor.here.looks(10 * MINUTE)
    assert vendor.here.covered is not None
    if restarted:
        vendor.here.open()
        vendor.here.covered = None
    else:
        vendor.here.covered -= 60
    vendor.listed[:] = [OTHER]
    await vendor.here.look()
    assert vendor.told() == (4.0, 2)


async def test_the_hour_for_what_is_missing_begins_with_an_answer() -> None:
    """The vendor fails for fifty minutes after a long absence: whoever was moved meanwhile is taken back still."""
    now, people, works = VirtualClock(epoch=NOON, jumping=True), [stay()], True

    def respond(request: httpx.Request) -> httpx.Response:
        return vendor(people=people, now=now.now()).respond(request) if works else answer(b"", status=503, at=now.now())

    here = Script(now, Vendor(respond))
    await here.looks(30 * MINUTE)
    await now.sleep_until(NOON + 6 * HOUR)
    people[:], works = [stay(leave_time="2026-01-01T11:32:00Z")], False
    here.open()
    while now.now() < NOON + 6 * HOUR + 50 * MINUTE:
        with pytest.raises(ProviderError):
            await here.look()
        await now.sleep_until(now.now() + MINUTE)
    works = True
    await here.looks(30 * MINUTE)
    assert [users for _, (users, _) in sorted(here.values["users"].items())] == [0.0, 1.0]


async def test_what_is_older_than_memory_is_not_emptied_by_two_lists() -> None:
    """After a restart that knows no coverage, memory begins an hour back: what is on record of before says nothing."""
    now, listed = VirtualClock(epoch=NOON, jumping=True), [room()]
    here = Script(now, Vendor(lambda request: vendor(rooms=listed, now=now.now()).respond(request)))
    await here.looks(2 * HOUR)
    assert list(here.values["users"].values()) == [(1.0, 1.0)]
    here.open()
    here.covered = None
    await here.looks(HOUR)
    assert list(here.values["users"].values()) == [(1.0, 1.0)]


@pytest.mark.parametrize(
    ("rooms", "people"),
    [({"processing_state": "brand_new"}, {}), ({}, {"status": "brand_new"})],
    ids=["room", "participant"],
)
async def test_a_new_word_hides_nobody(rooms: dict[str, Any], people: dict[str, Any]) -> None:
    """In every list, or in each row of people: who was moved while watcher was down is taken back all the same."""
    now, found = VirtualClock(epoch=NOON, jumping=True), [stay()]
    listed = [room()]
    here = Script(now, Vendor(lambda request: vendor(rooms=listed, people=found, now=now.now()).respond(request)))
    await here.looks(30 * MINUTE)
    listed[:], found[:] = [room(**rooms)], [stay(leave_time="2026-01-01T11:32:00Z", **people)]
    here.open()
    await here.looks(30 * MINUTE)
    assert here.oddities()["unknown_word"] >= 1
    assert [users for _, (users, _) in sorted(here.values["users"].items())] == [0.0, 1.0]


@pytest.mark.parametrize("sound", [0, 10 * MINUTE])
async def test_two_sound_lists_after_odd_ones_are_believed(sound: float) -> None:
    """A row of the second list cannot be read, or of the first two: the next two agree, and only then is it certain."""
    now, people = VirtualClock(epoch=NOON, jumping=True), [stay()]
    listed = [room()]
    here = Script(now, Vendor(lambda request: vendor(rooms=listed, people=people, now=now.now()).respond(request)))
    await here.looks(30 * MINUTE)
    people[:] = [stay(leave_time="2026-01-01T11:32:00Z")]
    here.open()
    await here.looks(sound)
    listed.append({"room_sid": None})
    await here.looks(20 * MINUTE - sound)
    listed.pop()
    await here.looks(20 * MINUTE)
    assert here.people() == 2
    await here.looks(10 * MINUTE)
    assert [users for _, (users, _) in sorted(here.values["users"].items())] == [0.0, 1.0]


async def test_a_row_of_people_that_cannot_be_read_hides_whoever_it_is() -> None:
    """However sound the lists of rooms are: who is missing may be who is in it."""
    now, people = VirtualClock(epoch=NOON, jumping=True), [stay()]
    here = Script(now, Vendor(lambda request: vendor(people=people, now=now.now()).respond(request)))
    await here.looks(30 * MINUTE)
    people[:] = [stay(participant_sid=None)]
    here.open()
    await here.looks(50 * MINUTE)
    assert list(here.values["users"].values()) == [(1.0, 1.0)]


async def test_what_is_never_certain_stands_and_is_counted() -> None:
    """A row of each list cannot be read, so nobody knows whom it hides: the minute of before stays as it was."""
    now, people = VirtualClock(epoch=NOON, jumping=True), [stay()]
    listed = [room()]
    here = Script(now, Vendor(lambda request: vendor(rooms=listed, people=people, now=now.now()).respond(request)))
    await here.looks(30 * MINUTE)
    people[:] = [stay(leave_time="2026-01-01T11:32:00Z")]
    listed.append({"room_sid": None})
    here.open()
    await here.looks(5 * HOUR)
    assert (here.people(), here.oddities()["stood"]) == (2.0, 1)


async def test_a_room_that_two_lists_leave_out_is_taken_back() -> None:
    """A quarter of an hour later it is not there either: whoever was in it counts elsewhere, and not twice. Where it is
    listed after all, it counts again."""
    vendor = Listing(RM, OTHER)
    await vendor.here.looks(30 * MINUTE)
    vendor.restart(OTHER)
    await vendor.here.looks(14 * MINUTE)
    assert vendor.told() == (4.0, 2)
    await vendor.here.looks(2 * MINUTE)
    assert vendor.told() == (2.0, 0)
    vendor.listed.append(RM)
    await vendor.here.looks(MINUTE)
    assert vendor.told() == (4.0, 2)


async def test_a_late_room_is_told_at_once_after_a_restart() -> None:
    """A minute that holds as much as on record waits for no second list: an outage's rooms come late."""
    vendor = Listing(RM, fail=(RM, OTHER))
    await vendor.here.looks(15 * MINUTE)
    vendor.restart(RM, OTHER)
    await vendor.here.look()
    assert vendor.told() == (4.0, 4)


async def test_a_late_room_does_not_stand_in_for_one_that_is_left_out() -> None:
    """As many people as on record, and fewer failures: that is less, and it waits."""
    vendor = Listing(RM)
    await vendor.here.looks(15 * MINUTE)
    vendor.restart(OTHER)
    await vendor.here.looks(10 * MINUTE)
    assert vendor.told() == (2.0, 2)
    vendor.listed.append(RM)
    await vendor.here.look()
    assert vendor.told() == (4.0, 2)


async def test_what_is_amended_after_it_was_told_anew_waits_for_no_list() -> None:
    """A room that is there after the restart is taken at its word from then on."""
    now, code = VirtualClock(epoch=NOON, jumping=True), 53405
    row = room(processing_state="in-progress", end_time="2026-01-01T11:55:00Z")

    def respond(request: httpx.Request) -> httpx.Response:
        if "Participants" in request.url.path:
            return answer(page("participants", [stay(error_code=code)]))
        return answer(page("rooms", [row, room(room_sid=OTHER)]))

    here = Script(now, Vendor(respond))
    await here.looks(5 * MINUTE)
    here.open()
    await here.look()
    assert here.counted("participant_failure_ratio") == 1
    code = 0
    await here.looks(11 * MINUTE)
    assert here.counted("participant_failure_ratio") == 0


async def test_which_rooms_are_on_record_is_noted_once() -> None:
    """Not at every look that tells something: the state is not written for what the record says itself."""
    vendor = Listing(RM)
    await vendor.here.look()
    vendor.listed.append(OTHER)
    await vendor.here.looks(5 * MINUTE)
    assert vendor.told() == (4.0, 2)
    assert [found.learned is not None for found in vendor.here.answers] == [True, *[False] * 5]
    vendor.restart(RM, OTHER, THIRD)
    assert (await vendor.here.look()).learned is None
    assert vendor.told() == (6.0, 2)


async def test_which_rooms_are_on_record_is_noted_again_until_an_answer_was_taken() -> None:
    """An answer that was thrown away noted nothing; the next one does, once."""
    here = Listing(RM).here
    first = (await here.look()).learned
    here.covered = here.learned = None
    assert (await here.look()).learned == first is not None
    await here.clock.sleep_until(here.clock.now() + MINUTE)
    assert (await here.look()).learned is None


async def test_a_project_that_is_never_read_whole_is_recalled_all_the_same() -> None:
    """For twelve days no list ends by itself, so that nothing is forgotten, while a room of one ends every six hours;
    whoever is moved by two minutes while watcher is down counts once."""
    now, moved, following = VirtualClock(epoch=NOON, jumping=True), 0, "https://e.example.com"

    def respond(request: httpx.Request) -> httpx.Response:
        number = int((now.now() - NOON) // (6 * HOUR))
        left = int(NOON + number * 6 * HOUR - 40 * MINUTE)
        if "Participants" in request.url.path:
            who = {"room_sid": f"RM{number:032x}", "participant_sid": f"PA{number:032x}"}
            times = {"join_time": rfc3339(left - 600), "leave_time": rfc3339(left + moved)}
            return answer(page("participants", [stay(**who, **times)]), at=now.now())
        ends = {"create_time": rfc3339(left - 1800), "end_time": rfc3339(left + 300)}
        return answer(page("rooms", [room(room_sid=f"RM{number:032x}", **ends)], following), at=now.now())

    here = Script(now, Vendor(respond))
    await here.looks(12 * DAY, every=6 * HOUR)
    await here.look()
    assert here.people() == 49
    moved, following = 2 * 60, ""
    here.open()
    await here.looks(30 * MINUTE)
    assert here.people() == 49
    assert here.values["users"][int(now.now() // DAY * DAY + 11 * HOUR + 20 * MINUTE)] == (0.0, 0.0)


async def test_what_the_vendor_no_longer_keeps_is_not_taken_back() -> None:
    """Watcher was down for three days, and the vendor lists small rooms for two."""
    now = VirtualClock(epoch=NOON, jumping=True)
    listed, people = [room()], [stay()]
    here = Script(now, Vendor(lambda request: vendor(rooms=listed, people=people, now=now.now()).respond(request)))
    await here.looks(30 * MINUTE)
    await now.sleep_until(NOON + 3 * DAY)
    people.clear()
    listed[:] = [room(room_sid=OTHER, create_time="2026-01-03T11:00:00Z", end_time="2026-01-03T11:40:00Z")]
    here.open()
    await here.looks(30 * MINUTE)
    assert here.values["users"][int(NOON) - 30 * 60] == (1.0, 1.0)


@pytest.mark.parametrize("changes", [{"only": {"room_types": ("go",)}}, {"api_key": "SK" + "9" * 32}])
async def test_of_other_rooms_nothing_is_taken_back(changes: dict[str, Any]) -> None:
    """Another choice of rooms, or another account under the same name: who was there before is not there to be seen."""
    now = VirtualClock(epoch=NOON, jumping=True)
    people = [stay()]
    here = Script(now, Vendor(lambda request: vendor(people=people, now=now.now()).respond(request)))
    await here.looks(30 * MINUTE)
    people.clear()
    here.settings = account(changes)
    for _ in range(2):  # nor after one more restart: what is on record of before stays of the other rooms
        here.open()
        await here.looks(30 * MINUTE)
        assert list(here.values["users"].values()) == [(1.0, 1.0)]


@pytest.mark.parametrize(
    "note",
    ["", "{", "[1]", '{"QUERY": 5}', '{"QUERY": ["ROOMS"]}', '{"QUERY": ["", 0]}', '{"acme/calls": ["ROOMS", 0]}'],
)
async def test_a_note_of_whose_record_it_is_that_cannot_be_read_is_none(note: str) -> None:
    """Another version's, damaged, or of another project: nothing is taken back, the looks go on, and it is written
    anew."""
    now, people = VirtualClock(epoch=NOON, jumping=True), [stay()]
    here = Script(now, Vendor(lambda request: vendor(people=people, now=now.now()).respond(request)))
    await here.look()
    ((query, (rooms, since)),) = json.loads(here.learned or "").items()
    assert since == 0
    here.learned = note.replace("QUERY", query).replace("ROOMS", rooms)
    people[:] = [stay(leave_time="2026-01-01T11:31:00Z")]
    covered = here.covered
    here.open()
    await here.looks(30 * MINUTE)
    assert list(here.values["users"].values()) == [(1.0, 1.0)] * 2
    assert json.loads(here.learned or "") == {query: [rooms, covered]}


async def test_a_record_of_the_future_is_none() -> None:
    """A clock that was ahead told of five people in five minutes; of the one who leaves then it is told at once."""
    now, listed, people = VirtualClock(epoch=NOON, jumping=True), [room()], [stay()]
    here = Script(now, Vendor(lambda request: vendor(rooms=listed, people=people, now=now.now()).respond(request)))
    await here.look()
    ahead = int(NOON + 5 * MINUTE)
    here.values["users"][ahead] = (5.0, 5.0)
    here.open()
    await here.look()
    await now.sleep_until(NOON + 11 * MINUTE)
    listed[:] = [room(room_sid=OTHER, end_time="2026-01-01T12:06:00Z")]
    people[:] = [stay(room_sid=OTHER, participant_sid=PB, leave_time="2026-01-01T12:05:30Z")]
    await here.look()
    assert here.values["users"][ahead] == (1.0, 1.0)


def test_rows_are_json() -> None:
    """What the script answers with is what a vendor could."""
    assert json.loads(json.dumps([room(), stay()]))


def test_a_secret_is_taken_out_before_words_are_cut() -> None:
    """Where an echo would be cut in the middle of it, its first part must not stay."""
    body = json.dumps({"code": 20001, "message": "x" * 150 + SECRET}).encode()
    reply = Reply(status=400, body=body, date=None, retry_after=None)
    error = refused(reply, lambda text: text.replace(SECRET, "***"))
    assert error is not None
    assert SECRET[:8] not in error.detail
