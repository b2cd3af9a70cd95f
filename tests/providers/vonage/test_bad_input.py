"""Bad input: whatever the vendor sends, no crash, no row counted twice, no false health, and the cause has a name."""

from __future__ import annotations

from typing import Any

import pytest

from tests.emulator.vonage.helpers import plain, project, session
from tests.providers.vonage.stage import NOON, Stage, account
from watcher.clock import VirtualClock
from watcher.errors import ProviderError, Reason

LAG = 300
SETTLED = {"visibility": "per_sample", "loss": "ratio", "bitrate": "kilobytes"}


@pytest.fixture
def clock() -> VirtualClock:
    """Noon of the emulator's day."""
    return VirtualClock(epoch=NOON, jumping=True)


def stage_with(clock: VirtualClock, *faults: dict[str, Any], sessions: int = 3) -> Stage:
    """Three sessions of four, and faults for five of the first ten minutes."""
    rooms = [session(name=f"board{i}") for i in range(sessions)]
    while_ = [{"from": "+12h3m", "until": "+12h8m", **fault} for fault in faults]
    return Stage(clock, {**plain(projects=[project(sessions=rooms)]), "faults": while_}, account(SETTLED))


async def watch(stage: Stage, minutes: int = 20) -> list[ProviderError]:
    """Look every minute; the errors that looks ended with."""
    errors: list[ProviderError] = []
    for _ in range(minutes):
        try:
            await stage.look()
        except ProviderError as error:
            errors.append(error)
        await stage.clock.sleep_until(stage.clock.now() + 60)
    return errors


async def assert_all_is_well(stage: Stage) -> None:
    """After the fault everything was read, each row has one vote, and every value is what a healthy vendor says."""
    truth = stage_with(stage.clock)
    await truth.look()
    rows = stage.rows(NOON - LAG - 3600)["publisher"]
    newest = stage.rows(stage.clock.now() - 60 - LAG)["publisher"]["visible"]
    assert rows["handed_out"] >= rows["visible"] - newest
    for start in range(int(NOON), int(NOON) + 600, 30):
        value = stage.value("video_packet_loss_ratio", start)
        assert value is not None
        assert value[0] == pytest.approx(0.004)
        assert value[1] == truth.value("video_packet_loss_ratio", start)[1]  # type: ignore[index]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"kind": "html"}, Reason.MALFORMED),
        ({"kind": "redirect"}, Reason.AUTH),
        ({"kind": "truncated"}, Reason.MALFORMED),
        ({"kind": "errors_only"}, Reason.SERVER),
        ({"kind": "null_data"}, Reason.MALFORMED),
        ({"kind": "http_503"}, Reason.SERVER),
        ({"kind": "http_429"}, Reason.RATE),
        ({"kind": "http_502"}, Reason.SERVER),
        ({"kind": "error_1012"}, Reason.SERVER),
        ({"kind": "error_1020"}, Reason.AUTH),
    ],
)
async def test_a_vendor_that_fails_is_named_and_caught_up_with(
    clock: VirtualClock, fault: dict[str, Any], reason: Reason
) -> None:
    """Looks fail under their reason and nothing is told meanwhile; afterwards nothing is missing."""
    stage = stage_with(clock, fault)
    errors = await watch(stage)
    assert {error.reason for error in errors} == {reason}
    assert len(errors) == 5
    await assert_all_is_well(stage)


@pytest.mark.parametrize(
    ("fault", "oddity"),
    [
        ({"kind": "shuffled"}, None),
        ({"kind": "duplicates"}, "duplicate"),
        ({"kind": "loop_cursor"}, "loop"),
        ({"kind": "future_rows", "after": "2h"}, "future"),
        ({"kind": "unknown_values"}, None),
    ],
)
async def test_answers_that_lie_are_seen_through(
    clock: VirtualClock, fault: dict[str, Any], oddity: str | None
) -> None:
    """Order, doubles, circles, the future, unheard-of words: each row still has its one vote at its own time."""
    stage = stage_with(clock, fault)
    assert await watch(stage) == []
    await assert_all_is_well(stage)
    if oddity is not None:
        assert stage.oddities()[oddity] > 0
    assert max(start for _, start in stage.values) < clock.now()


@pytest.mark.parametrize("kind", ["partial", "vanish"])
async def test_sessions_that_go_missing_come_back(clock: VirtualClock, kind: str) -> None:
    """Errors beside data and sessions that vanish cost the others nothing, and are read when they are there again."""
    stage = stage_with(clock, {"kind": kind, "share": 0.5}, sessions=8)
    await watch(stage, minutes=25)
    rows = stage.rows(NOON - LAG - 3600)["publisher"]
    newest = stage.rows(clock.now() - 60 - LAG)["publisher"]["visible"]
    assert rows["handed_out"] >= rows["visible"] - newest
    value = stage.value("video_packet_loss_ratio", NOON + 300)
    assert value is not None
    assert value[1] >= 30
    names = stage.oddities()
    assert names.get("partial", 0) + names.get("unknown_session", 0) > 0


@pytest.mark.parametrize("kind", ["null_values", "missing_fields"])
async def test_rows_with_holes_have_no_false_vote(clock: VirtualClock, kind: str) -> None:
    """A value that is not there is not zero: the votes that remain are right, and there are fewer of them."""
    stage = stage_with(clock, {"kind": kind, "share": 0.8})
    assert await watch(stage) == []
    during = [
        value
        for start in range(int(NOON - 60), int(NOON + 120), 30)
        if (value := stage.value("video_packet_loss_ratio", start)) is not None
    ]
    assert during
    assert all(value == pytest.approx(0.004) for value, _ in during)
    assert min(weight for _, weight in during) < 12


async def test_an_empty_answer_in_maintenance_is_unknown(clock: VirtualClock) -> None:
    """In the vendor's window, errors are maintenance; afterwards everything is read from its start."""
    night = VirtualClock(epoch=NOON - 8.2 * 3600, jumping=True)  # 03:48 UTC
    rooms = [session(meetings=[{"start": "+2h", "duration": "8h", "participants": 4}])]
    outage = {"zone": "none", "answer": "http_503", "windows": [{"start": "+5h", "duration": "2h", "backfill": "30m"}]}
    stage = Stage(night, {**plain(projects=[project(sessions=rooms)]), "maintenance": outage}, account(SETTLED))
    errors = await watch(stage, minutes=260)
    assert {error.reason for error in errors} == {Reason.MAINTENANCE}
    midnight = NOON - 12 * 3600
    values = [stage.value("video_packet_loss_ratio", midnight + 4 * 3600 + i * 30) for i in range(3 * 120)]
    assert all(value is not None for value in values)
    assert {round(value[0], 6) for value in values if value is not None} == {0.004}
    rows = stage.rows(midnight + 4 * 3600)["publisher"]
    newest = stage.rows(night.now() - 60 - LAG)["publisher"]["visible"]
    assert rows["handed_out"] == rows["visible"] - newest
    assert 0 < rows["handed_again"] <= 4 * 30  # a little before the window's start was read again


@pytest.mark.parametrize("answer", ["frozen", "empty"])
async def test_a_silent_maintenance_is_noticed(answer: str) -> None:
    """Where the API answers with nothing new, that is maintenance too: nothing settles, and nothing is lost."""
    night = VirtualClock(epoch=NOON - 8.2 * 3600, jumping=True)
    rooms = [session(meetings=[{"start": "+2h", "duration": "8h", "participants": 4}])]
    outage = {"zone": "none", "answer": answer, "windows": [{"start": "+5h", "duration": "2h", "backfill": "30m"}]}
    stage = Stage(night, {**plain(projects=[project(sessions=rooms)]), "maintenance": outage}, account(SETTLED))
    errors = await watch(stage, minutes=260)
    assert {error.reason for error in errors} == {Reason.MAINTENANCE}
    midnight = NOON - 12 * 3600
    for i in range(3 * 120):
        value = stage.value("video_packet_loss_ratio", midnight + 4 * 3600 + i * 30)
        assert value is not None
        assert value[0] == pytest.approx(0.004)
