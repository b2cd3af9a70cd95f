"""What each fault does to an answer, and that the books stay true."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.emulator.twilio.helpers import NOON, ROOMS, Caller, account, people, plain, room, traffic
from watcher.clock import VirtualClock

CODES = {
    20001: 400,
    20003: 401,
    20005: 403,
    20006: 403,
    20008: 403,
    20403: 403,
    20404: 404,
    20429: 429,
    20500: 500,
    20503: 503,
}


@pytest.fixture
def now() -> VirtualClock:
    """Noon of the first day."""
    return VirtualClock(epoch=NOON, jumping=True)


def with_fault(kind: str, **settings: Any) -> dict[str, Any]:
    """A scenario with one fault and a room of forty, half of whom were dropped."""
    crowd = people(*[{}, {"ending": 53405}] * 20)
    return plain(accounts=[account(rooms=[crowd])], faults=[{"kind": kind, **settings}])


def busy(kind: str, **settings: Any) -> dict[str, Any]:
    """A scenario with one fault and rooms all day."""
    return plain(accounts=[account(rooms=[], traffic=traffic())], faults=[{"kind": kind, **settings}])


async def people_of(caller: Caller) -> httpx.Response:
    """Ask for everybody in `board`."""
    return await caller.get(f"{caller.path()}/Participants")


def handed(caller: Caller) -> int:
    """How many rows went out, by the emulator's books."""
    count: int = caller.report()["participants"]["handed_out"]
    return count


# ── in place of an answer ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 502, 503, 504])
async def test_gateway_statuses(now: VirtualClock, status: int) -> None:
    """Above 499 the body is a page; no row is on the books."""
    caller = Caller(with_fault(f"http_{status}"), now)
    response = await people_of(caller)
    assert response.status_code == status
    assert ("html" in response.headers["content-type"]) == (status >= 500)
    assert handed(caller) == 0
    assert caller.report()["requests"] == {"participants": {str(status): 1}}
    assert caller.report()["faults"] == {f"http_{status}": 1}


@pytest.mark.parametrize(("code", "status"), CODES.items())
@pytest.mark.parametrize("errors", ["legacy", "rfc9457"])
async def test_every_code(now: VirtualClock, code: int, status: int, errors: str) -> None:
    """With its status, in both bodies."""
    caller = Caller({**with_fault(f"error_{code}"), "answers": {"errors": errors}}, now)
    response = await people_of(caller)
    assert response.status_code == status
    assert (response.json()["code"], response.json()["status"]) == (code, status)
    assert ("type" in response.json()) == (errors == "rfc9457")
    assert caller.report()["requests"] == {"participants": {str(code): 1}}


async def test_a_page_and_the_way_to_the_login(now: VirtualClock) -> None:
    """HTML with 200; a redirect somewhere else."""
    response = await people_of(Caller(with_fault("html"), now))
    assert (response.status_code, response.headers["content-type"]) == (200, "text/html; charset=utf-8")
    response = await people_of(Caller(with_fault("redirect"), now))
    assert (response.status_code, response.headers["location"]) == (302, "https://login.example.com/")


@pytest.mark.parametrize("kind", ["reset", "cut_off"])
async def test_broken_connections(now: VirtualClock, kind: str) -> None:
    """In-process they raise what the client's transport maps; the request is no longer under way."""
    caller = Caller(with_fault(kind, every=2), now)
    await people_of(caller)
    before = handed(caller)
    with pytest.raises(ConnectionResetError):
        await caller.get(f"{caller.path()}/Participants", PageSize=1)
    assert handed(caller) == before
    assert (await caller.get()).headers["twilio-concurrent-requests"] == "1"


async def test_truncated_and_huge(now: VirtualClock) -> None:
    """Half a document; a document that goes on. Neither counts as handed out."""
    caller = Caller(with_fault("truncated"), now)
    with pytest.raises(json.JSONDecodeError):
        (await people_of(caller)).json()
    assert handed(caller) == 0
    caller = Caller(with_fault("huge", bytes=300_000), now)
    assert len((await people_of(caller)).content) == 300_000
    assert handed(caller) == 0


async def test_slow(now: VirtualClock) -> None:
    """Later by so many seconds of the run clock, beside what every answer takes."""
    caller = Caller({**with_fault("slow", seconds=7), "limits": {"latency": "500ms"}}, now)
    await people_of(caller)
    assert now.now() - NOON == pytest.approx(7.5, abs=0.2)


async def test_clock_skew(now: VirtualClock) -> None:
    """The server's clock decides about Date, not about what can be seen."""
    caller = Caller(with_fault("clock_skew", seconds=-7200), now)
    response = await people_of(caller)
    assert response.headers["date"] == "Thu, 01 Jan 2026 10:00:00 GMT"
    assert len(response.json()["participants"]) == 40


async def test_faults_by_place(now: VirtualClock) -> None:
    """Only what they are limited to: endpoint, account, host."""
    caller = Caller(with_fault("http_500", where={"endpoint": ["participants"], "account": ["acme"]}), now)
    assert (await people_of(caller)).status_code == 500
    assert (await caller.get()).status_code == 200
    assert (await caller.get(caller.path())).status_code == 200
    elsewhere = Caller(with_fault("http_500", where={"host": ["other.example.com"]}), now)
    assert (await people_of(elsewhere)).status_code == 200


# ── pages ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_page_that_names_itself(now: VirtualClock) -> None:
    """The next page is this page, for ever."""
    caller = Caller(busy("loop_page"), now)
    body = await caller.body(PageSize=3)
    assert body["meta"]["next_page_url"] == body["meta"]["url"]
    assert (await caller.body(body["meta"]["next_page_url"]))["rooms"] == body["rooms"]


async def test_a_page_that_comes_again(now: VirtualClock) -> None:
    """The second page has the rows of the first, then the list goes on: rows come twice, none is lost."""
    caller = Caller(busy("repeat_page", every=2), now)
    pages = await caller.pages(PageSize=40, CreatedAfter="2026-01-01T02:00:00Z")
    whole = await Caller(busy("repeat_page", every=999), now).rooms(PageSize=1000, CreatedAfter="2026-01-01T02:00:00Z")
    assert pages[1] == pages[0]
    assert pages[3] == pages[2] != pages[1]
    assert len(pages) > len(whole) / 40
    assert list(dict.fromkeys(one["room_sid"] for page in pages for one in page)) == [one["room_sid"] for one in whole]


async def test_a_page_that_shrinks(now: VirtualClock) -> None:
    """Half a page and a next one: whoever takes a short page for the last loses the rest."""
    whole = await Caller(busy("short_page", probability="0%"), now).pages(PageSize=100)
    caller = Caller(busy("short_page"), now)
    pages = await caller.pages(PageSize=100)
    assert {len(page) for page in pages[:-1]} == {50}
    assert [one for page in pages for one in page] == [one for page in whole for one in page]


async def test_an_empty_page_in_the_middle(now: VirtualClock) -> None:
    """No rows, and a next page that has those which were due."""
    caller = Caller(busy("empty_page", every=2), now)
    pages = await caller.pages(PageSize=100)
    whole = await Caller(busy("empty_page", probability="0%"), now).rooms(PageSize=1000)
    assert [len(page) for page in pages[:4]] == [100, 0, 100, 0]
    assert [one for page in pages for one in page] == whole


async def test_a_next_page_elsewhere(now: VirtualClock) -> None:
    """Another origin, the same path; a last page has no next one there either."""
    caller = Caller(busy("next_elsewhere", text="https://elsewhere.example.net/"), now)
    url = (await caller.body(PageSize=3))["meta"]["next_page_url"]
    assert url.startswith(f"https://elsewhere.example.net{ROOMS}?PageSize=3&PageToken=")
    assert (await caller.body(PageSize=1000))["meta"]["next_page_url"] is None


async def test_lists_without_rows_or_meta(now: VirtualClock) -> None:
    """`null` for the list; no meta beside it. Rows of neither are counted as read where there are none."""
    caller = Caller(with_fault("data_null"), now)
    assert (await people_of(caller)).json()["participants"] is None
    assert handed(caller) == 0
    caller = Caller(with_fault("no_meta"), now)
    assert list((await people_of(caller)).json()) == ["participants"]
    assert handed(caller) == 40


async def test_order_and_repetition(now: VirtualClock) -> None:
    """The same rows in no order; one of them twice. The books count each once."""
    straight = (await people_of(Caller(plain(accounts=with_fault("html")["accounts"]), now))).json()["participants"]
    shuffled = Caller(with_fault("shuffled"), now)
    mixed = (await people_of(shuffled)).json()["participants"]
    assert mixed != straight
    assert sorted(row["participant_sid"] for row in mixed) == sorted(row["participant_sid"] for row in straight)
    twice = Caller(with_fault("duplicates"), now)
    assert (await people_of(twice)).json()["participants"] == [*straight, straight[0]]
    assert handed(shuffled) == handed(twice) == 40


async def test_rooms_that_are_deleted(now: VirtualClock) -> None:
    """Out of the list, and 404 for whoever knew them; the pages shrink by them."""
    caller = Caller(busy("vanish", share="40%"), now)
    whole = await Caller(busy("vanish", share="0%"), now).rooms(PageSize=100)
    left = await caller.rooms(PageSize=100)
    assert 40 < len(left) < 80
    kept = {one["room_sid"] for one in left}
    assert kept < {one["room_sid"] for one in whole}
    for one in whole[:20]:
        status = 200 if one["room_sid"] in kept else 404
        assert (await caller.get(one["url"])).status_code == status
        assert (await caller.get(one["links"]["participants"])).status_code == status


# ── rows ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_rows_of_nulls(now: VirtualClock) -> None:
    """Half the rows have nothing but their sids; these are not on the books."""
    caller = Caller(with_fault("null_values", share="50%"), now)
    rows = (await people_of(caller)).json()["participants"]
    empty = [row for row in rows if row["leave_time"] is None]
    assert 8 < len(empty) < 32
    assert all(set(map(type, row.values())) == {str, type(None)} for row in empty)
    assert all(row["participant_sid"] and row["room_sid"] for row in rows)
    assert handed(caller) == 40 - len(empty)
    rooms = await Caller(busy("null_values", share="100%"), now).rooms()
    assert {one["processing_state"] for one in rooms} == {None}


async def test_rows_with_a_field_less(now: VirtualClock) -> None:
    """Any field; without sid or leaving a row is of no use."""
    caller = Caller(with_fault("missing_fields", share="100%"), now)
    rows = (await people_of(caller)).json()["participants"]
    assert {len(row) for row in rows} == {16}
    useless = [row for row in rows if not {"participant_sid", "leave_time"} <= set(row)]
    assert handed(caller) == 40 - len(useless)


async def test_words_and_numbers_nobody_has_heard_of(now: VirtualClock) -> None:
    """In every place where there is a closed set; codes likewise; fields as well."""
    caller = Caller(with_fault("unknown_values"), now)
    rows = (await people_of(caller)).json()["participants"]
    assert {(row["status"], row["end_reason"], row["media_region"], row["codecs"][-1]) for row in rows} == {
        ("unheard_of", "unheard_of", "unheard_of", "AV9")
    }
    one = (await caller.rooms())[0]
    assert {one["room_type"], one["room_status"], one["processing_state"], one["end_reason"]} == {"unheard_of"}
    rows = (await people_of(Caller(with_fault("unknown_codes", share="50%"), now))).json()["participants"]
    assert 8 < sum(row["error_code"] == 59_999 for row in rows) < 32
    assert "error_code" not in (await Caller(with_fault("unknown_codes"), now).rooms())[0]
    rows = (await people_of(Caller(with_fault("extra_fields"), now))).json()["participants"]
    assert all("unheard_of" in row for row in rows)


async def test_numbers_in_quotes(now: VirtualClock) -> None:
    """Every number of a row, truth values left alone."""
    caller = Caller(with_fault("numbers_as_text"), now)
    rows = (await people_of(caller)).json()["participants"]
    assert {row["error_code"] for row in rows} == {None, "53405"}
    assert {row["duration_sec"] for row in rows} == {"600"}
    one = (await caller.rooms())[0]
    assert (one["duration_sec"], one["unique_participants"], one["recording_enabled"]) == ("3600", "40", False)


async def test_times_that_cannot_be(now: VirtualClock) -> None:
    """Before everything, after everything, or no time at all."""
    caller = Caller(with_fault("bad_times", share="100%"), now)
    rows = (await people_of(caller)).json()["participants"]
    assert {row["leave_time"][:4] for row in rows} == {"1970", "2027", "yest"}
    assert handed(caller) == 0
    assert (await caller.rooms())[0]["end_time"][:4] in ("1970", "2027", "yest")


async def test_names_that_want_to_be_markup(now: VirtualClock) -> None:
    """Identities and room names are what end users make of them."""
    caller = Caller(with_fault("hostile_text"), now)
    rows = (await people_of(caller)).json()["participants"]
    assert all("<script>" in row["participant_identity"] for row in rows)
    assert all("\u0000" in row["participant_identity"] for row in rows)
    assert "@everyone" in (await caller.rooms())[0]["room_name"]


async def test_a_bent_room_is_not_remembered(now: VirtualClock) -> None:
    """After the fault the record is whole again, as the one before it was."""
    faults = [{"kind": "unknown_values", "from": "+12h1m", "until": "+12h2m"}]
    caller = Caller(plain(accounts=[account(rooms=[room()])], faults=faults), now)
    before = await caller.rooms()
    await now.sleep_until(NOON + 61)
    assert (await caller.rooms())[0]["room_type"] == "unheard_of"
    await now.sleep_until(NOON + 121)
    assert await caller.rooms() == before
