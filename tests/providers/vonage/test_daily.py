"""Project insights: days as they are, grouped as named, with no point where nothing was measured."""

from __future__ import annotations

import pytest

from tests.conftest import EPOCH
from tests.emulator.vonage.helpers import plain, project
from tests.providers.vonage.stage import Stage, account
from watcher.clock import DAY, VirtualClock
from watcher.providers.vonage.queries import DAILY

BAD_DAY = {
    "project": "classroom",
    "start": "+8h",
    "duration": "24h",
    "levels": {"connectFailures": "15%", "publishFailures": "10%"},
}


@pytest.fixture
def clock() -> VirtualClock:
    """Three days and a bit after the bad one began: its figures are there, the next day's are not."""
    return VirtualClock(epoch=EPOCH + 3 * DAY + 6 * 3600, jumping=True)


def stage(clock: VirtualClock, **settings: object) -> Stage:
    scenario = {**plain(projects=[project(sessions=[], traffic={"sessions": 5})]), "incidents": [BAD_DAY]}
    return Stage(clock, scenario, account(settings))


async def test_a_day_is_a_point_at_its_date(clock: VirtualClock) -> None:
    """Failures over attempts, weighed by attempts; usage in seconds; the day is the Pacific one of that date."""
    insight = stage(clock)
    answer = await insight.look("daily")
    value = insight.value("connect_failure_ratio", EPOCH, product=DAILY)
    assert value is not None
    assert value[0] == pytest.approx(0.15, rel=0.02)
    assert value[1] > 10
    before = insight.value("connect_failure_ratio", EPOCH - DAY, product=DAILY)
    assert before is not None
    assert before[0] < 0.02
    minutes = insight.value("daily_published_seconds", EPOCH, product=DAILY)
    assert minutes is not None
    assert minutes[0] > 3600
    assert {points.width for points in answer.points} == {DAY}
    assert {points.series.product for points in answer.points} == {DAILY}
    assert answer.settled <= EPOCH + DAY


async def test_groups_are_those_that_are_named(clock: VirtualClock) -> None:
    """A split by country tells the countries that are named, and no other."""
    insight = stage(clock, daily={"group_by": "country", "names": ("US", "BR")})
    answer = await insight.look("daily")
    assert {points.series.product for points in answer.points} == {DAILY, f"{DAILY} US", f"{DAILY} BR"}
    whole = insight.value("daily_published_seconds", EPOCH, product=DAILY)
    part = insight.value("daily_published_seconds", EPOCH, product=f"{DAILY} US")
    assert whole is not None
    assert part is not None
    assert 0 < part[0] < whole[0]


async def test_a_day_is_read_again_while_it_may_change(clock: VirtualClock) -> None:
    """Later looks go back three days and no further, in one request."""
    insight = stage(clock)
    first = await insight.look("daily")
    await clock.sleep_until(clock.now() + DAY)
    second = await insight.look("daily")
    assert insight.purses[-1].spent == 1
    assert second.asked.start == first.asked.end - 3 * DAY
    assert second.asked.end == first.asked.end + DAY


async def test_days_no_longer_kept_are_a_gap(clock: VirtualClock) -> None:
    """After a year of absence, what the vendor has dropped is said to be lost."""
    insight = stage(clock)
    query = insight.query("daily")
    insight.covered[query.id] = int(EPOCH) - 365 * DAY
    answer = await insight.look("daily")
    assert answer.lost is not None
    assert answer.lost.start == int(EPOCH) - 365 * DAY
    assert answer.lost.end == answer.asked.start
