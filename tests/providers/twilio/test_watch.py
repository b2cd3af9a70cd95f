"""Looks at an emulated Log Analyzer: everybody once, minutes that grow, restarts, budgets, pages."""

from __future__ import annotations

import math
from typing import Any, NoReturn

import pytest

from tests.conftest import EPOCH
from tests.emulator.twilio import helpers
from tests.emulator.twilio.helpers import NOON, account, people, traffic
from tests.providers.twilio import stage
from tests.providers.twilio.stage import Stage
from watcher.clock import HOUR, MINUTE, VirtualClock, rfc3339
from watcher.errors import ProviderError, Reason
from watcher.model import Answer
from watcher.providers.twilio import client
from watcher.providers.twilio.client import Talk
from watcher.providers.vendortime import VendorTime

OVER = EPOCH + 11 * HOUR  # when `board` ends
SHOWN = OVER + 16 * MINUTE  # when it is final
FAILED = {53000, 53001, 53405, 53206}  # of the endings in `busy`, by the dossier; 53205 is none


def clock(at: float = NOON) -> VirtualClock:
    return VirtualClock(epoch=at, jumping=True)


def plain(**changes: Any) -> dict[str, Any]:
    """As the helper's, without the vendor's rate: looks by hand keep none, the ledger does (tests/app)."""
    return helpers.plain(limits={"per_second": 0}, **changes)


def busy(**changes: Any) -> dict[str, Any]:
    """Rooms all day, some of whose people fail."""
    own: dict[str, Any] = {
        "rooms": [],
        "traffic": traffic(rooms=20, participants=6, length="20m", vary="20%"),
        "endings": {"53000": "2%", "53001": "3%", "53405": "3%", "53206": "1%", "53205": "2%"},
    }
    return plain(accounts=[account(**{**own, **changes})])


def truth(here: Stage, since: float, until: float) -> list[dict[str, Any]]:
    """The vendor's own rows of everybody who left in [since, until) and shows."""
    rows: list[Any] = here.emulator.participants(since=since, until=until)
    return [row for row in rows if row["visible"]]


def twins() -> tuple[Stage, Stage]:
    """Two clients, each with a vendor of its own that has the same calls, under one clock."""
    now = clock()
    return Stage(now, busy()), Stage(now, busy())


async def side_by_side(here: Stage, straight: Stage, seconds: float, *, requests: int = 400) -> None:
    """Both look at the same instants; only `here` has so few requests."""
    until = here.clock.now() + seconds
    while here.clock.now() < until:
        await straight.look()
        await here.look(requests=requests)
        await here.clock.sleep_until(here.clock.now() + MINUTE)


def settled_minutes(here: Stage) -> dict[tuple[str, int], tuple[float, float]]:
    """All that was told of minutes that are settled."""
    settled, begin = here.answers[-1].settled, here.answers[0].asked.start
    values = here.values.items()
    return {(name, at): value for name, told in values for at, value in told.items() if begin <= at < settled}


def taken_back(answer: Answer, before: dict[int, tuple[float, float]], covered: int) -> dict[int, float]:
    """The minutes before `covered` that an answer tells of fewer people than they had."""
    told = [zip(p.start.tolist(), p.value.tolist(), strict=True) for p in answer.points if p.series.signal == "users"]
    return {at: n for of in told for at, n in of if at < covered and n < before.get(at, (0.0, 0.0))[0]}


async def test_three_who_left_are_three() -> None:
    """A room of three: each once, in the minutes in which they left, with nothing wrong."""
    here = Stage(clock(), plain())
    await here.look()
    assert here.people() == 3
    assert here.counted("participant_failure_ratio") == 0
    assert sum(value for value, _ in here.values["channels"].values()) >= 1
    assert here.oddities() == {}


@pytest.mark.parametrize(
    ("ending", "stay", "signals"),
    [
        (53405, "10m", {"participant_failure_ratio", "participant_drop_ratio"}),
        (53405, "9s", {"participant_failure_ratio", "participant_drop_ratio", "connect_failure_ratio"}),
        (53104, "10m", {"participant_failure_ratio", "connect_failure_ratio"}),
        (53206, "10m", {"participant_failure_ratio", "quota_refusal_ratio"}),
        (53205, "10m", set[str]()),
        (53118, "10m", set[str]()),
    ],
)
async def test_an_ending_counts_for_its_signals(ending: int, stay: str, signals: set[str]) -> None:
    """One of two fails: half, in exactly the signals of its class."""
    here = Stage(clock(SHOWN), plain(accounts=[account(rooms=[people({"ending": ending, "stay": stay}, {})])]))
    await here.look()
    ratios = [signal for signal in here.values if signal.endswith("_ratio")]
    assert len(ratios) == 4
    assert {signal for signal in ratios if here.counted(signal)} == signals
    assert all(here.counted(signal) <= 1 for signal in ratios)


async def test_credentials_of_both_kinds_read_their_own_account() -> None:
    """A token and a key each read what belongs to them, and count apart."""
    settings = stage.account({}, stage.by_token(name="other"))
    here = Stage(clock(), plain(), settings)
    await here.look()
    assert here.people() == 3
    query = here.source.queries[1]
    answer = await here.source.look(query, None, here.purse)
    assert sum(float(p.value.sum()) for p in answer.points if p.series.signal == "users") == 3
    assert {p.series.project for p in answer.points} == {"other"}


async def test_everybody_is_counted_once_as_rooms_settle() -> None:
    """Two hours with late, amended and slow rooms: each minute ends as the vendor's final rows have it."""
    late = {"delay": "10m", "slow": {"share": "20%", "by": "15m"}, "late": {"share": "20%", "by": "4m"}}
    data = busy(visibility={**late, "settle": "5m", "amended": "20%"})
    here = Stage(clock(), data)
    await here.looks(3 * HOUR)
    since, until = NOON - 30 * MINUTE, NOON + 2 * HOUR
    rows = truth(here, since, until)
    told = {s: sum(v for at, (v, _) in here.values["users"].items() if since <= at < until) for s in ("users",)}
    assert told["users"] == len(rows) > 300
    bad = sum(round(v * w) for at, (v, w) in here.values["participant_failure_ratio"].items() if since <= at < until)
    assert bad == sum(row["error_code"] in FAILED for row in rows) > 20
    assert here.report()["participants"]["handed_again"] > 100  # they were read again, and not counted again


async def test_a_room_costs_two_requests() -> None:
    """Read when it shows and when it is final, and never again."""
    here = Stage(clock(), busy())
    await here.looks(2 * HOUR)
    reads = here.report()["participant_reads"]
    assert reads["rooms"] > 60
    assert reads["requests"] <= 2.2 * reads["rooms"]
    assert reads["most"] <= 2


async def test_a_minute_is_told_before_it_settles_and_again_when_it_grows() -> None:
    """Two rooms end in one minute and show ten and twenty minutes later: its point is told twice, and settles after."""
    rooms = [people({"ending": 53405, "stay": "1h"}), {**people({"stay": "1h"}), "name": "hall"}]
    data = plain(accounts=[account(rooms=rooms, visibility={"slow": {"share": "50%", "by": "10m"}})])
    here = Stage(clock(OVER), data)
    told: list[tuple[float, tuple[float, float]]] = []
    for _ in range(40):
        answer = await here.look()
        told += [(here.clock.now(), value) for value in here.values.get("participant_failure_ratio", {}).values()]
        assert answer.settled <= here.clock.now() - 30 * MINUTE
        await here.clock.sleep_until(here.clock.now() + MINUTE)
    assert told[0][0] <= OVER + 11 * MINUTE
    assert told[-1][1] == (0.5, 2.0)
    assert here.people() == 2


async def test_a_restart_reads_again_and_counts_nobody_twice() -> None:
    """A new client in the middle tells the same minutes with the same figures."""
    here, straight = twins()
    await side_by_side(here, straight, HOUR)
    here.open()
    await side_by_side(here, straight, HOUR)
    told = settled_minutes(straight)
    assert len(told) > 100
    assert settled_minutes(here) == told
    assert here.report()["participants"]["handed_again"] > straight.report()["participants"]["handed_again"]


async def test_a_short_budget_loses_nobody() -> None:
    """Five requests a look: rooms wait, what is covered waits with them, and in the end everybody is there."""
    here, straight = twins()
    await straight.look()
    first = await here.look(requests=5)
    assert here.purse.spent == 5
    await side_by_side(here, straight, HOUR, requests=5)
    assert first.oddities["unread"] > 10
    assert first.asked.end < straight.answers[0].asked.end
    assert first.settled < straight.answers[0].settled  # an empty minute may still fill
    assert here.answers[-1].oddities.get("unread", 0) == 0
    told = settled_minutes(straight)
    assert len(told) > 60
    assert settled_minutes(here) == told


async def test_a_stop_within_a_short_budget_loses_nobody() -> None:
    """A restart while rooms were still unread: they are found again, since nothing newer was covered."""
    here, straight = twins()
    await side_by_side(here, straight, 10 * MINUTE, requests=5)
    assert here.answers[-1].oddities["unread"] > 0
    here.open()
    await side_by_side(here, straight, HOUR)
    told = settled_minutes(straight)
    assert len(told) > 60
    assert settled_minutes(here) == told


@pytest.mark.parametrize("requests", [12, 400])
async def test_what_is_on_record_is_not_taken_back_while_it_is_read_again(requests: int) -> None:
    """After a restart no minute of before is told of fewer people than it had, however slowly rooms are read, and even
    where some of them fail at first."""
    broken = {"kind": "http_500", "from": "+2h", "until": "+2h25m", "every": 5, "where": {"endpoint": ["participants"]}}
    here = Stage(clock(), {**busy(), "faults": [broken]}, epoch=NOON)
    await here.looks(2 * HOUR)
    before, covered = dict(here.values["users"]), here.covered
    assert covered is not None
    here.open()
    for _ in range(60):
        answer = await here.look(requests=requests)
        if here.clock.now() < NOON + 2 * HOUR + 20 * MINUTE:  # a minute that seems empty may be one of a broken room
            assert answer.settled <= covered - 30 * MINUTE
        assert taken_back(answer, before, covered) == {}
        await here.clock.sleep_until(here.clock.now() + MINUTE)
    assert here.oddities()["failed_room"] > 3
    assert here.answers[-1].settled >= here.clock.now() - 32 * MINUTE  # and it goes on


async def test_an_answer_that_was_thrown_away_is_told_again() -> None:
    """A clock was a day ahead for one look; what it said is believed no longer, and nobody is lost by it, nor in a call
    so long that only the list of all rooms finds it."""
    long = {**people({"ending": 53405, "stay": "3h30m"}), "duration": "3h30m"}
    now, data = clock(), busy(rooms=[long])
    here, straight = Stage(now, data), Stage(now, data)
    await side_by_side(here, straight, HOUR)
    kept = here.values["users"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(VendorTime, "earliest", lambda _: here.clock.now() + 20 * HOUR)
        ahead = await here.look()
    assert ahead.asked.end > here.clock.now() + 19 * HOUR
    here.values["users"], here.covered = kept, None  # as the account does, once it learns the time
    await here.clock.sleep_until(here.clock.now() + MINUTE)
    await side_by_side(here, straight, HOUR)
    told = {at: v for (name, at), v in settled_minutes(straight).items() if name == "users"}
    assert len(told) > 60
    assert {at: v for (name, at), v in settled_minutes(here).items() if name == "users"} == told


@pytest.mark.parametrize("wrong", [None, "before", "first"])
async def test_a_date_that_is_wrong_once_loses_nobody(wrong: str | None) -> None:
    """A gateway's clock is 20 hours ahead in one answer, an hour at the first look: what was planned by it is not kept,
    and the call that only the list of all rooms finds is counted."""
    long = {**people({"ending": 53405, "stay": "3h50m"}), "duration": "3h50m"}
    here = Stage(clock(), plain(accounts=[account(rooms=[long])]))
    told = here.watch._vendor_time
    if wrong == "first":
        told.heard(here.clock.now() + HOUR)
    await here.look()
    if wrong == "before":
        told.heard(here.clock.now() + 20 * HOUR)
    await here.looks(4 * HOUR)
    assert here.people() == 1
    assert here.watch._list_all_at <= here.clock.now() + 15 * MINUTE


async def test_a_memory_that_began_by_a_clock_ahead_begins_anew() -> None:
    """An hour ahead at the first look only: the hour and a half before it is told all the same."""
    here, straight = twins()
    here.watch._vendor_time.heard(here.clock.now() + HOUR)
    await side_by_side(here, straight, 5 * MINUTE)
    early = {at: value for at, value in straight.values["users"].items() if at < NOON - 40 * MINUTE}
    assert len(early) > 20
    assert {at: value for at, value in here.values["users"].items() if at in early} == early


async def test_a_look_that_fails_by_a_clock_ahead_leaves_nothing_for_later() -> None:
    """Rooms that were to be read again in 20 hours are read in ten minutes once the time is known."""
    here = Stage(clock(), busy(visibility={"settle": "30m"}))
    await here.look()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(VendorTime, "earliest", lambda _: here.clock.now() + 20 * HOUR)
        patch.setattr(Talk, "participants", fails)
        with pytest.raises(ProviderError):
            await here.look()
    await here.clock.sleep_until(here.clock.now() + MINUTE)
    await here.look()
    assert max(room.next_at for room in here.watch.rooms.due(math.inf)) <= here.clock.now() + 10 * MINUTE


async def fails(_: Talk, __: str) -> NoReturn:
    raise ProviderError(Reason.SERVER, "HTTP 500")


async def test_a_failed_first_look_keeps_where_memory_begins() -> None:
    """The vendor is away for two hours from the first look on: then the hours since are read, not only the last."""
    away = {"kind": "http_500", "from": rfc3339(int(NOON)), "until": rfc3339(int(NOON + 2 * HOUR))}
    here = Stage(clock(), {**busy(), "faults": [away]})
    begin = NOON - 90 * MINUTE
    while here.clock.now() < NOON + 2 * HOUR:
        with pytest.raises(ProviderError):
            await here.look()
        await here.clock.sleep_until(here.clock.now() + 10 * MINUTE)
    answer = await here.look()
    assert answer.asked.start <= begin
    assert min(here.values["users"]) < NOON - HOUR


async def test_a_list_that_is_cut_short_counts_and_concludes_nothing() -> None:
    """One request for three pages of rooms: whoever is on the first page is known; nothing is answered for."""
    data = busy(traffic=traffic(rooms=60, participants=1, length="20m"))
    here, straight = Stage(now := clock(), data), Stage(now, data)
    await straight.look()
    for _ in range(3):
        answer = await here.look(requests=1)
        assert answer.asked.end == answer.settled < straight.answers[0].settled
        assert answer.oddities["unread"] > 0
    assert len(here.watch.rooms) > 900
    await here.look()
    await here.look()
    assert here.values["users"] == straight.values["users"]


async def test_a_list_of_all_rooms_that_no_look_can_read_takes_turns_with_the_short_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Thirty pages, a look reads twenty: calls up to `longest` are found by the short list, and minutes settle;
    so after a restart, which tries the long one three times and goes on."""
    monkeypatch.setattr(client, "PAGE_SIZE", 50)
    here, straight = twins()
    await side_by_side(here, straight, HOUR, requests=20)
    assert here.answers[-1].settled >= here.clock.now() - 32 * MINUTE
    here.open()
    await side_by_side(here, straight, HOUR, requests=20)
    assert here.answers[-1].settled >= here.clock.now() - 32 * MINUTE
    told = settled_minutes(straight)
    assert len(told) > 60
    assert settled_minutes(here) == told


async def test_a_call_that_only_the_list_of_all_rooms_finds_is_not_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a restart that list is cut short at first, and everything that the short one names is read before it."""
    monkeypatch.setattr(client, "PAGE_SIZE", 50)
    long = {**people({"ending": 53405, "stay": "3h28m"}), "duration": "3h28m"}
    here = Stage(clock(), busy(rooms=[long]))
    await here.looks(2.5 * HOUR)
    before, covered = dict(here.values["users"]), here.covered
    assert covered is not None
    assert before[int(NOON + 88 * MINUTE)][0] > 1  # others left in that minute too
    here.open()
    for requests in (3, 300, 3, 300, 300):
        answer = await here.look(requests=requests)
        assert taken_back(answer, before, covered) == {}
        await here.clock.sleep_until(here.clock.now() + MINUTE)
    assert answer.settled >= here.clock.now() - 32 * MINUTE


async def test_a_long_absence_is_caught_up_with_or_said() -> None:
    """Five hours are read afterwards; more than the vendor keeps is a gap."""
    here = Stage(clock(), busy())
    await here.look()
    await here.clock.sleep_until(NOON + 5 * HOUR)
    here.open()
    answer = await here.look()
    assert answer.lost is None
    assert len([at for at in here.values["users"] if NOON <= at < NOON + 4 * HOUR]) > 100
    await here.clock.sleep_until(NOON + 9 * 24 * HOUR)
    here.open()
    covered = here.covered
    answer = await here.look()
    assert answer.lost is not None
    assert answer.lost.start == covered
    assert answer.lost.end >= NOON + 3 * 24 * HOUR


async def test_pages_are_followed_to_the_end() -> None:
    """Thousands of rooms are several pages of one look, and each costs one request."""
    data = busy(traffic=traffic(rooms=60, participants=1, length="20m"))
    here = Stage(clock(), data)
    await here.look()
    assert here.report()["requests"]["rooms"]["answered"] > 2
    rows = truth(here, NOON - HOUR, NOON - 40 * MINUTE)
    told = sum(v for at, (v, _) in here.values["users"].items() if NOON - HOUR <= at < NOON - 40 * MINUTE)
    assert told == len(rows) > 20


async def test_running_rooms_count_only_who_has_left() -> None:
    """Where running rooms show, whoever left one is counted while it runs, and once."""
    long = {**people({"ending": 53405, "stay": "10m"}, {"stay": "3h"}), "duration": "3h"}
    data = plain(accounts=[account(rooms=[long], visibility={"running": "shown", "lag": "60s"})])
    here = Stage(clock(EPOCH + 10 * HOUR + 15 * MINUTE), data)
    await here.look()
    assert (here.people(), here.counted("participant_drop_ratio")) == (1, 1)
    await here.looks(4 * HOUR, every=300)
    assert (here.people(), here.counted("participant_drop_ratio")) == (2, 1)


async def test_a_room_that_never_settles_is_accepted_after_an_hour() -> None:
    """Seven reads at most, then it is taken as it is, counted."""
    here = Stage(clock(OVER), plain(accounts=[account(visibility={"stuck": "100%"})]))
    await here.looks(3 * HOUR)
    assert here.people() == 3
    assert here.oddities() == {"unsettled": 1}
    assert here.report()["participant_reads"]["most"] <= 7


async def test_who_is_behind_a_value_is_named() -> None:
    """The endings and the room of the failures of ten minutes, by id: names come from end users."""
    here = Stage(clock(SHOWN), plain(accounts=[account(rooms=[people({"ending": 53405}, {"ending": 53104}, {})])]))
    answer = await here.look()
    (at,) = here.values["participant_failure_ratio"]
    assert answer.worst is not None
    text = answer.worst(here.series("participant_failure_ratio"), at + 60)
    assert text == f"53104 ×1, 53405 ×1; {here.emulator.room_sid('acme', 'board')} 2 of 3"
    assert answer.worst(here.series("users"), at + 60) == ""
    assert answer.worst(here.series("participant_failure_ratio"), at + 600) == text
    assert answer.worst(here.series("participant_failure_ratio"), at + 660) == ""


async def test_memory_is_let_go() -> None:
    """Rooms and stays that no list and no minute needs any more are forgotten."""
    here = Stage(clock(), busy())
    await here.looks(2 * HOUR, every=600)
    most = len(here.watch.stays)
    await here.looks(40 * HOUR, every=1800)
    assert len(here.watch.stays) <= 3 * most
    assert len(here.watch.rooms) < 20 * 3 * 30 * 2


@pytest.mark.parametrize(
    ("only", "people_left"),
    [
        ({"room_types": ("group",)}, 3),
        ({"room_types": ("go", "group_small")}, 2),
        ({"room_types": ("go", "group"), "room_name": "board"}, 3),
        ({"room_name": "nowhere"}, 0),
        ({}, 5),
    ],
)
async def test_only_the_rooms_that_are_wanted_are_read(only: dict[str, Any], people_left: int) -> None:
    """By type (each value is a parameter of its own) and by name; the others cost no request."""
    small = {**helpers.room(participants=2), "name": "corner", "type": "group_small"}
    here = Stage(clock(), plain(accounts=[account(rooms=[helpers.room(), small])]), stage.account({"only": only}))
    await here.look()
    assert here.people() == people_left
    assert here.report()["participant_reads"]["rooms"] == {0: 0, 2: 1, 3: 1, 5: 2}[people_left]
