"""Who was in which room when, and how incidents show: pure, seeded, as many as were asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import EPOCH
from tests.emulator.twilio.helpers import NOON, Caller, account, plain, room, scenario, traffic
from watcher.clock import VirtualClock
from watcher.emulator.twilio.endings import ENDINGS, Manner
from watcher.emulator.twilio.life import Lives, Stay
from watcher.emulator.twilio.rooms import Room, Rooms

QUIET = {"churn": "0%", "completed": "0%", "returns": "0%", "retries": 0}
HOUR = {"account": "acme", "start": "+10h", "duration": "1h"}


def lived(
    *incidents: dict[str, Any], seed: int = 1, rooms: int = 200, **changes: Any
) -> list[tuple[Room, tuple[Stay, ...]]]:
    """The rooms of the hour after ten o'clock, with everybody's stays."""
    day = {"rooms": [], "traffic": traffic(rooms=rooms, participants=10, vary=0), "crowd": QUIET}
    world = scenario(plain(seed=seed, accounts=[account(**{**day, **changes})], incidents=list(incidents)))
    lives = Lives(world.incidents)
    found = Rooms(world.accounts[0]).within(EPOCH + 36_000, EPOCH + 39_600)
    return [(room, lives.stays(room)) for room in found]


def codes(found: Sequence[tuple[Room, tuple[Stay, ...]]], start: float, end: float) -> Counter[int | None]:
    """The codes of those who left in [start, end)."""
    return Counter(stay.code for _, stays in found for stay in stays if start <= stay.leave < end)


def test_the_same_seed_gives_the_same_stays() -> None:
    """And another seed others."""
    first, second, third = (
        [stay.sid for _, stays in lived(seed=seed, endings=None) for stay in stays] for seed in (1, 1, 2)
    )
    assert first == second != third
    assert len(set(first)) == len(first)


@given(st.integers(0, 2**32), st.integers(1, 50), st.integers(10, 7200))
def test_stays_lie_in_their_rooms_and_apart(seed: int, participants: int, length: int) -> None:
    """Whatever goes wrong: inside the room, in order, nobody twice at once, at most twenty each."""
    crowd = {"churn": "50%", "completed": "50%", "returns": "90%", "retries": 10}
    endings = {"53000": "20%", "53001": "50%", "53405": "50%", "unknown": "10%"}
    one = room(duration=f"{length}s", participants=participants)
    world = scenario(plain(seed=seed, accounts=[account(rooms=[one], crowd=crowd, endings=endings)]))
    (board,) = Rooms(world.accounts[0]).within(EPOCH, NOON)
    stays = Lives(()).stays(board)
    people: dict[str, list[Stay]] = {}
    for stay in stays:
        people.setdefault(stay.identity, []).append(stay)
        assert board.start - 0.001 <= stay.join < stay.leave <= board.end + 0.001
    assert len({stay.sid for stay in stays}) == len(stays)
    for own in people.values():
        if participants < 10:  # of many, two may share a made-up identity
            assert len(own) <= 20
            assert all(a.leave <= b.join for a, b in pairwise(own))


def test_healthy_shares() -> None:
    """Of two thousand who come, about as many fail or are cut off as the account says, and no one else."""
    found = lived(endings={"53000": "10%", "53001": "20%"})
    everybody = [stay for _, stays in found for stay in stays]
    count = Counter(stay.code for stay in everybody)
    assert set(count) == {None, 53000, 53001}
    assert len(everybody) > 4000
    assert count[53000] / len(everybody) == pytest.approx(0.1, abs=0.015)
    assert count[53001] / (len(everybody) - count[53000]) == pytest.approx(0.2, abs=0.02)


def test_an_incident_strikes_its_time_only() -> None:
    """Those who come while it lasts cannot connect; nobody before, nobody after."""
    found = lived({**HOUR, "start": "+10h20m", "duration": "10m", "endings": {"53104": "50%"}})
    start, end = EPOCH + 37_200, EPOCH + 37_800
    attempts = [stay for _, stays in found for stay in stays if start <= stay.join < end]
    failed = [stay for stay in attempts if stay.code == 53104]
    assert len(failed) / len(attempts) == pytest.approx(0.5, abs=0.05)
    assert len(failed) == sum(stay.code == 53104 for _, stays in found for stay in stays)
    assert all(stay.leave - stay.join < 15 for stay in failed)


def test_cuts_are_a_share_of_those_present() -> None:
    """A tenth of everybody in a room at that time is thrown out inside it."""
    found = lived({**HOUR, "start": "+10h20m", "duration": "5m", "endings": {"53405": "10%"}})
    start, end = EPOCH + 37_200, EPOCH + 37_500
    present = [stay for _, stays in found for stay in stays if stay.join < end and stay.leave >= start]
    cut = [stay for stay in present if stay.code == 53405]
    assert len(cut) / len(present) == pytest.approx(0.1, abs=0.025)
    assert codes(found, 0, start)[53405] == codes(found, end, NOON * 2)[53405] == 0


def test_the_last_words_of_those_who_leave() -> None:
    """`unknown` and the warning are said of people who left by themselves."""
    found = lived({**HOUR, "duration": "2h", "endings": {"unknown": "30%", "53121": "20%", "none": "10%"}})
    leaves = [stay for _, stays in found for stay in stays if EPOCH + 36_000 <= stay.leave < EPOCH + 39_600]
    count = Counter(stay.ending.reason for stay in leaves)
    assert count["unknown"] / len(leaves) == pytest.approx(0.3, abs=0.03)
    assert count["approaching_room_or_participant_concurrency_limits"] / len(leaves) == pytest.approx(0.2, abs=0.03)
    assert count[None] / len(leaves) == pytest.approx(0.1, abs=0.03)


def test_incidents_by_region_sdk_browser_and_room() -> None:
    """Only who fits all of them is struck."""
    limits: dict[str, Any] = {"regions": ["ie1"], "sdks": ["twilio-video-js 2.34.0"], "browsers": ["Safari 26"]}
    found = lived({**HOUR, "duration": "2h", **limits, "endings": {"53405": "100%"}})
    fits = [
        (stay.region, stay.sdk, stay.browser) == ("ie1", "twilio-video-js 2.34.0", "Safari 26")
        for _, stays in found
        for stay in stays
    ]
    hit = [stay.code == 53405 for _, stays in found for stay in stays]
    long_enough = [stay.leave - stay.join > 60 for _, stays in found for stay in stays]
    assert sum(hit) > 100
    assert all(fit for fit, struck in zip(fits, hit, strict=True) if struck)
    assert sum(fits) - sum(hit) <= sum(1 for fit, long in zip(fits, long_enough, strict=True) if fit and long)
    shared = lived({**HOUR, "duration": "2h", "rooms_share": "30%", "endings": {"53405": "100%"}})
    struck = sum(any(stay.code == 53405 for stay in stays) for _, stays in shared)
    assert struck / len(shared) == pytest.approx(0.3, abs=0.08)


def test_the_later_incident_wins() -> None:
    """Of two that speak of the same ending, at the same time."""
    first = {**HOUR, "endings": {"53104": "80%"}}
    second = {**HOUR, "endings": {"53104": "0%"}}
    assert codes(lived(first, second), EPOCH + 36_000, EPOCH + 39_600)[53104] == 0
    assert codes(lived(second, first), EPOCH + 36_000, EPOCH + 39_600)[53104] > 1000


@pytest.mark.parametrize("ending", [e for e in ENDINGS if e.manner is not Manner.LEAVE], ids=lambda e: str(e.code))
def test_every_ending_can_happen(ending: Any) -> None:
    """By its reason and by its code, in the row with both."""
    for word in (ending.reason, str(ending.code)):
        found = lived({**HOUR, "duration": "2h", "endings": {word: "100%"}}, rooms=2)
        seen = {(stay.ending.reason, stay.code) for _, stays in found for stay in stays}
        assert (ending.reason, ending.code) in seen


def test_retries_and_returns() -> None:
    """Who cannot connect tries again so many times under the same name; who was cut off comes back."""
    stuck = lived({**HOUR, "duration": "2h", "endings": {"53000": "100%"}}, rooms=5, crowd={**QUIET, "retries": 3})
    tries = Counter((room.sid, stay.identity) for room, stays in stuck for stay in stays if room.start > EPOCH + 36_000)
    assert set(tries.values()) == {4}
    cut = lived({**HOUR, "duration": "30m", "endings": {"53001": "100%"}}, crowd={**QUIET, "returns": "100%"})
    whole = [stays for room, stays in cut if room.start < EPOCH + 36_600 and room.end > EPOCH + 37_000]
    after = [stay for stays in whole for stay in stays if stay.code is None]
    assert len(after) > 0.9 * len([stay for stays in whole for stay in stays if stay.code == 53001])


def test_rooms_that_are_ended_over_rest() -> None:
    """Who is still there gets 53118 at the room's end; the others have left before."""
    found = lived(crowd={**QUIET, "completed": "100%"})
    for one, stays in found:
        kicked = [stay for stay in stays if stay.code == 53118]
        assert kicked
        assert {stay.leave for stay in kicked} == {one.end}
        assert all(stay.leave <= one.end for stay in stays)


def test_churn() -> None:
    """A share leaves once and comes back: two sids, one identity, no error."""
    found = lived(crowd={**QUIET, "churn": "50%"})
    again = 0
    for _, stays in found:
        assert all(stay.code is None for stay in stays)
        again += len(stays) - 10
    assert again / (9 * len(found)) == pytest.approx(0.5, abs=0.05)


async def test_the_room_counts_rejoins_apart_from_people() -> None:
    """`unique_participants` counts a rejoin again, `unique_participant_identities` does not."""
    data = plain(accounts=[account(rooms=[room(participants=40)], crowd={**QUIET, "churn": "100%"})])
    caller = Caller(data, VirtualClock(epoch=NOON, jumping=True))
    (one,) = await caller.rooms()
    assert (one["unique_participants"], one["unique_participant_identities"]) == (79, 40)
    assert one["concurrent_participants"] <= 40
    rows = await caller.participants(PageSize=1000)
    assert sum(row["duration_sec"] for row in rows) == one["total_participant_duration_sec"]


def test_lives_have_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is remembered is bounded; remembering less changes nothing but the time."""
    monkeypatch.setattr("watcher.emulator.twilio.life._KEPT_STAYS", 100)
    world = scenario(plain(accounts=[account(traffic=traffic(participants=10), rooms=[])]))
    rooms = Rooms(world.accounts[0]).within(EPOCH, EPOCH + 7200)
    lives = Lives(())
    first = [lives.stays(one) for one in rooms]
    assert len(rooms) > 20
    assert lives.remembered <= 100
    assert lives.stays(rooms[-1]) is first[-1]
    assert [stay.sid for stay in lives.stays(rooms[0])] == [stay.sid for stay in first[0]]
