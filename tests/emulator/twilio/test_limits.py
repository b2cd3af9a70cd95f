"""Who may ask and how often: credentials, accounts apart, the rate, requests under way, and what is counted of it."""

from __future__ import annotations

from email.utils import formatdate
from typing import Any

import anyio
import pytest

from tests.conftest import EPOCH
from tests.emulator.twilio.helpers import (
    KEY,
    NOON,
    ROOMS,
    SECRET,
    SID,
    TOKEN,
    Caller,
    account,
    basic,
    people,
    plain,
    room,
    traffic,
)
from watcher.clock import VirtualClock

OTHER = {"name": "clinic", "sid": "AC" + "c" * 32, "auth_token": "other-token", "api_keys": []}


@pytest.fixture
def now() -> VirtualClock:
    """Noon of the first day."""
    return VirtualClock(epoch=NOON, jumping=True)


# ── credentials ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("user", "password"), [(SID, TOKEN), (KEY, SECRET)])
async def test_both_kinds_of_credentials(now: VirtualClock, user: str, password: str) -> None:
    """Account sid and auth token, key sid and secret; `basic` in any case."""
    caller = Caller(plain(), now)
    assert len((await caller.get(headers=basic(user, password))).json()["rooms"]) == 1
    assert (await caller.get(headers=basic(user, password, scheme="bAsIc"))).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        basic(SID, "wrong"),
        basic(SID, SECRET),
        basic(KEY, TOKEN),
        basic("SK" + "0" * 32, SECRET),
        basic(KEY, SECRET, scheme="Bearer"),
        {"Authorization": "Basic %%%"},
        {"Authorization": "Basic /w=="},
        {"Authorization": "Basic"},
    ],
)
async def test_everybody_else(now: VirtualClock, headers: dict[str, str]) -> None:
    """401 and 20003, in the body that was captured; nothing is counted against an account."""
    caller = Caller(plain(), now)
    response = await caller.get(headers=headers)
    assert (response.status_code, response.headers["content-type"]) == (401, "application/json")
    assert response.json() == {
        "code": 20003,
        "detail": "",
        "message": "Authenticate",
        "more_info": "https://www.twilio.com/docs/errors/20003",
        "status": 401,
    }
    assert caller.report()["quotas"] == []
    assert caller.report()["requests"] == {"rooms": {"20003": 1}}


async def test_a_subaccount_is_an_account_of_its_own(now: VirtualClock) -> None:
    """Neither sees the other's rooms, nor spends the other's rate."""
    data = plain(accounts=[account(), account(**OTHER, rooms=[room(name="ward")])], limits={"per_second": 2})
    caller = Caller(data, now)
    other = basic(str(OTHER["sid"]), "other-token")
    assert [one["room_name"] for one in (await caller.get(headers=other)).json()["rooms"]] == ["ward"]
    assert (await caller.get(caller.path("ward", "clinic"))).status_code == 404
    assert (await caller.get(caller.path("ward", "clinic"), headers=other)).status_code == 200
    assert (await caller.get(caller.path(), headers=other)).status_code == 429
    assert (await caller.get()).status_code == 200
    spent = {quota["account"]: (quota["spent"], quota["refused"]) for quota in caller.report()["quotas"]}
    assert spent == {"acme": (2, 0), "clinic": (3, 1)}


async def test_rfc_9457(now: VirtualClock) -> None:
    """The newer body, with its own media type."""
    caller = Caller(plain(answers={"errors": "rfc9457"}), now)
    response = await caller.get(f"{ROOMS}/RM{'f' * 32}")
    assert (response.status_code, response.headers["content-type"]) == (404, "application/problem+json")
    assert response.json() == {
        "type": "https://www.twilio.com/docs/errors/20404",
        "title": "The requested resource was not found",
        "status": 404,
        "code": 20404,
        "detail": f"The requested resource /Video/Rooms/RM{'f' * 32} was not found",
        "instance": f"{ROOMS}/RM{'f' * 32}",
    }
    assert (await caller.get(headers={})).json()["code"] == 20003


# ── how often ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_rate_is_over_any_second(now: VirtualClock) -> None:
    """Eighty pass, the next is 20429; a second after the first there is room again. Refused ones count."""
    caller = Caller(plain(), now)
    statuses = [(await caller.get()).status_code for _ in range(82)]
    assert statuses == [200] * 80 + [429] * 2
    await now.sleep_until(NOON + 0.9)
    assert (await caller.get()).status_code == 429
    await now.sleep_until(NOON + 1.0)
    response = await caller.get()
    assert response.status_code == 200
    assert caller.report()["quotas"] == [
        {
            "account": "acme",
            "family": "reads",
            "part": "",
            "window": "1s",
            "limit": 80,
            "spent": 83,
            "total": 84,
            "refused": 3,
            "foreign": 0,
        }
    ]


async def test_others_spend_the_rate(now: VirtualClock) -> None:
    """Ten a second of somebody else's leave two of twelve."""
    faults = [{"kind": "foreign", "per_minute": 600, "from": "+0s", "where": {"account": ["acme"]}}]
    caller = Caller(plain(limits={"per_second": 12}, faults=faults), now)
    statuses = [(await caller.get()).status_code for _ in range(3)]
    assert statuses == [200, 200, 429]
    assert caller.report()["quotas"][0]["foreign"] == 10


@pytest.mark.parametrize(
    ("form", "value"), [("none", None), ("seconds", "7"), ("date", formatdate(NOON + 7, usegmt=True))]
)
async def test_retry_after(now: VirtualClock, form: str, value: str | None) -> None:
    """Absent, in seconds, or as a date; on refusals only."""
    caller = Caller(plain(limits={"per_second": 1, "retry_after": form, "retry_in": "7s"}), now)
    assert "retry-after" not in (await caller.get()).headers
    response = await caller.get()
    assert (response.status_code, response.json()["code"]) == (429, 20429)
    assert response.headers.get("retry-after") == value


async def test_requests_under_way(now: VirtualClock) -> None:
    """With two allowed and answers that take a second, of four at once two are refused at once, not processed."""
    caller = Caller(plain(limits={"concurrent": 2, "latency": "1s"}), now)
    answers: list[tuple[int, float, str]] = []

    async def ask() -> None:
        response = await caller.get()
        answers.append((response.status_code, now.now() - NOON, response.headers["twilio-concurrent-requests"]))

    async with anyio.create_task_group() as tasks:
        for _ in range(4):
            tasks.start_soon(ask)
    assert sorted(status for status, _, _ in answers) == [200, 200, 429, 429]
    assert all((after >= 1) == (status == 200) for status, after, _ in answers)
    assert {under_way for _, _, under_way in answers} == {"1", "2", "3"}
    assert (await caller.get()).status_code == 200
    assert caller.report()["under_way"] == {"acme": {"limit": 2, "worst": 3, "refused": 2}}


async def test_a_client_that_hangs_up_frees_its_place(now: VirtualClock) -> None:
    """Cancelled while it waits, its request is no longer under way."""
    caller = Caller(plain(limits={"concurrent": 1, "latency": "10s"}), now)
    for _ in range(3):
        with anyio.move_on_after(1) as scope:
            await caller.get()
        assert scope.cancelled_caught
    assert (await caller.get()).status_code == 200


async def test_others_hold_requests_under_way(now: VirtualClock) -> None:
    """With three of somebody else's, one of four is left; with four none is."""
    for slots, status in ((3, 200), (4, 429)):
        caller = Caller(plain(limits={"concurrent": 4}, faults=[{"kind": "busy", "slots": slots}]), now)
        assert (await caller.get()).status_code == status


# ── what is counted ──────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_books_know_what_was_read(now: VirtualClock) -> None:
    """Every participant, how often each row went out, and how many requests that took."""
    rooms = [people({}, {"ending": 53405}), room(name="other", participants=5)]
    caller = Caller(plain(accounts=[account(rooms=rooms)]), now)
    await caller.participants()
    await caller.participants(PageSize=1)
    report = caller.report()
    assert report["participants"] == {"handed_out": 2, "handed_again": 1, "final": 2}
    assert report["participant_reads"] == {"rooms": 1, "requests": 2, "most": 2}
    truth: list[Any] = caller.emulator.participants()
    assert len(truth) == 7
    assert sorted(row["handed_out"] for row in truth) == [0] * 5 + [1, 2]
    assert [row["error_code"] for row in truth if row["handed_out"]] == [None, 53405]
    by_room = {row["name"]: (row["participants"], row["reads"]) for row in caller.emulator.rooms()}
    assert by_room == {"board": (2, 2), "other": (5, 0)}


async def test_the_truth_is_cut_by_leaving(now: VirtualClock) -> None:
    """Everybody who left in a stretch of time, visible or not; the stretches add up."""
    caller = Caller(plain(accounts=[account(rooms=[], traffic=traffic(), endings=None)]), now)
    whole = caller.emulator.participants(since=EPOCH, until=NOON)
    parts = [caller.emulator.participants(since=EPOCH + 3600 * h, until=EPOCH + 3600 * (h + 1)) for h in range(12)]
    key = [(row["participant"], row["leave"]) for row in whole]
    assert sorted(key) == sorted((row["participant"], row["leave"]) for part in parts for row in part)
    assert len(set(key)) == len(key) > 1000
    hidden = [row for row in whole if not row["visible"]]
    assert {row["visible"] for row in whole if float(str(row["leave"])) < NOON - 3600} == {True}
    assert hidden
    assert not any(row["final"] for row in hidden)


async def test_the_report_over_http(now: VirtualClock) -> None:
    """The same without credentials, the truth if asked for; it counts nothing."""
    caller = Caller(plain(), now)
    await caller.get()
    bare = (await caller.get("/_emulator/report", headers={})).json()
    assert bare["requests"] == {"rooms": {"answered": 1}}
    assert "stays" not in bare
    full = (await caller.get("/_emulator/report", headers={}, participants="all", rooms="all", since=EPOCH)).json()
    assert (len(full["stays"]), len(full["rooms"])) == (3, 1)
    none = (await caller.get("/_emulator/report", headers={}, participants="all", since=NOON)).json()
    assert none["stays"] == []
    assert (await caller.get("/_emulator/report", headers={}, since="x")).status_code == 400
    assert caller.report()["requests"] == {"rooms": {"answered": 1}}


def test_sids_for_who_configures(now: VirtualClock) -> None:
    """By the names in the scenario; of two rooms of one name the first."""
    rooms = [room(sid="RM" + "1" * 32), room(sid="RM" + "2" * 32, start="+12h")]
    caller = Caller(plain(accounts=[account(rooms=rooms)]), now)
    assert caller.emulator.account_sid("acme") == SID
    assert caller.emulator.room_sid("acme", "board") == "RM" + "1" * 32
    with pytest.raises(KeyError):
        caller.emulator.room_sid("acme", "nobody")
    with pytest.raises(KeyError):
        caller.emulator.account_sid("nobody")


async def test_the_same_seed_gives_the_same_bytes() -> None:
    """Whole answers, twice; another seed gives others."""
    answers = []
    for seed in (1, 1, 2):
        data = plain(seed=seed, accounts=[account(rooms=[], traffic=traffic(), endings=None, conflicts="5%")])
        caller = Caller(data, VirtualClock(epoch=NOON, jumping=True))
        rooms = await caller.get(PageSize=20)
        people_ = await caller.get(rooms.json()["rooms"][3]["links"]["participants"])
        answers.append(rooms.content + people_.content)
    assert answers[0] == answers[1] != answers[2]
