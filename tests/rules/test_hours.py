"""Active hours and mute windows: the wall clock of a time zone, both nights of daylight saving, and what fires then."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from tests.rules.series import answer, rule, series
from tests.rules.test_semantics import LONG_AGO, short
from watcher.model import Cause
from watcher.rules.engine import Engine
from watcher.rules.hours import NEVER, Hours, Weekly, instants
from watcher.rules.settings import Judging

BERLIN = "Europe/Berlin"


def at(text: str, zone: str = BERLIN, *, fold: int = 0) -> int:
    """Unix seconds of a wall-clock time."""
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp())


def open_at(hours: Weekly, text: str, *, fold: int = 0) -> bool:
    """Whether a window that begins then lies in the hours."""
    return bool(hours.hold(np.array([at(text, hours.zone, fold=fold)]))[0])


OFFICE = Weekly(days=(0, 1, 2, 3, 4), start=8 * 60, end=18 * 60, zone=BERLIN)
NIGHT = Weekly(days=(4,), start=22 * 60, end=6 * 60, zone=BERLIN)  # Friday's night


@pytest.mark.parametrize(
    ("hours", "when", "expected"),
    [
        (OFFICE, "2026-01-05T07:59:59", False),  # a Monday
        (OFFICE, "2026-01-05T08:00:00", True),
        (OFFICE, "2026-01-05T17:59:40", True),
        (OFFICE, "2026-01-05T18:00:00", False),
        (OFFICE, "2026-01-04T12:00:00", False),  # a Sunday
        (OFFICE, "2026-07-06T08:00:00", True),  # summer time: another hour in UTC, the same on the wall
        (OFFICE, "2026-07-06T07:59:59", False),
        (NIGHT, "2026-01-09T21:59:59", False),
        (NIGHT, "2026-01-09T22:00:00", True),
        (NIGHT, "2026-01-10T05:59:59", True),  # Saturday morning belongs to Friday's night
        (NIGHT, "2026-01-10T06:00:00", False),
        (NIGHT, "2026-01-10T23:00:00", False),
        (NIGHT, "2026-01-09T03:00:00", False),
        (Weekly(), "2026-01-10T23:59:59", True),
        (Weekly(days=(6,), start=0, end=1440), "2026-01-04T23:59:59", True),
        (Weekly(zone="Asia/Kolkata", start=9 * 60, end=10 * 60), "2026-01-05T09:00:00", True),
    ],
)
def test_what_the_wall_clock_shows(hours: Weekly, when: str, expected: bool) -> None:
    """A window belongs to the hour in which it begins."""
    assert open_at(hours, when) is expected


def test_the_hour_that_is_skipped_does_not_occur() -> None:
    """In spring 02:00 to 03:00 is no time at all, and 01:00 to 05:00 is three hours long."""
    skipped = Weekly(start=120, end=180, zone=BERLIN)
    span = Weekly(start=60, end=300, zone=BERLIN)
    windows = np.arange(at("2026-03-29T00:00:00"), at("2026-03-29T12:00:00"), 20)
    assert not skipped.hold(windows).any()
    assert int(span.hold(windows).sum()) * 20 == 3 * 3600


@pytest.mark.parametrize(
    "zone",
    [
        "Europe/Berlin",
        "America/New_York",
        "America/St_Johns",
        "Australia/Lord_Howe",
        "Pacific/Chatham",
        "Asia/Kathmandu",
        "UTC",
    ],
)
def test_when_a_wall_clock_showed_that(zone: str) -> None:
    """Every quarter of an hour of two years, against the standard library; what was skipped was never."""
    quarters = [datetime(2025, 1, 1) + timedelta(minutes=15 * n) for n in range(2 * 365 * 96)]  # noqa: DTZ001 - a wall
    expected = []
    for wall in quarters:
        instant = wall.replace(tzinfo=ZoneInfo(zone)).timestamp()
        there = datetime.fromtimestamp(instant, ZoneInfo(zone)).replace(tzinfo=None) == wall
        expected.append(int(instant) if there else NEVER)
    shown = np.array([int(wall.replace(tzinfo=UTC).timestamp()) for wall in quarters])
    assert instants(zone, shown).tolist() == expected


def test_the_hour_that_comes_twice_counts_twice() -> None:
    """In autumn 02:00 to 03:00 lasts for two hours, and 01:00 to 05:00 for five."""
    twice = Weekly(start=120, end=180, zone=BERLIN)
    span = Weekly(start=60, end=300, zone=BERLIN)
    windows = np.arange(at("2026-10-25T00:00:00"), at("2026-10-25T12:00:00"), 20)
    assert int(twice.hold(windows).sum()) * 20 == 2 * 3600
    assert int(span.hold(windows).sum()) * 20 == 5 * 3600
    assert open_at(twice, "2026-10-25T02:30:00")
    assert open_at(twice, "2026-10-25T02:30:00", fold=1)


def test_mute_is_taken_out_of_active() -> None:
    """In one of `active`, in none of `mute`; without `active`, always but for `mute`."""
    lunch = Weekly(start=12 * 60, end=13 * 60, zone=BERLIN)
    starts = np.array([at(f"2026-01-05T{hour}:30:00") for hour in ("07", "09", "12", "19")])
    assert Hours(active=(OFFICE,), mute=(lunch,)).hold(starts).tolist() == [False, True, False, False]
    assert Hours(mute=(lunch,)).hold(starts).tolist() == [True, True, False, True]


def test_nothing_begins_out_of_hours_and_what_fires_ends_with_that_reason() -> None:
    """Judging begins and ends with the hours, by event time; the end says that it may be going on."""
    minutes = Weekly(start=1, end=3)  # 00:01 to 00:03 UTC: windows 3 to 8
    of = replace(rule(hold=20, clear=0.03), hours=Hours(active=(minutes,)))
    engine = Engine(rules=[of], settings=Judging())
    log = engine.receive(answer(series(), "9%x20"), LONG_AGO).transitions
    assert short(log) == "P3 F4 R9"
    assert [t.cause for t in log] == [Cause.THRESHOLD, Cause.THRESHOLD, Cause.OUT_OF_HOURS]
    assert log[2].annotations["summary"].endswith("is not judged on classroom Native at this hour: it may be going on")


def test_silence_is_not_told_out_of_hours() -> None:
    """A school that is closed at night is not missed then."""
    of = replace(rule(no_data_after=40), hours=Hours(mute=(Weekly(start=0, end=2),)))  # windows 0 to 5
    engine = Engine(rules=[of], settings=Judging())
    log = engine.receive(answer(series(), "1% _x12"), LONG_AGO).transitions
    assert short([t for t in log if t.labels.get("reason")]) == "F8"


def test_hours_hold_for_joined_rules_too() -> None:
    """A share that fires when the hours end is over."""
    from watcher.rules.rule import Level, Share

    share = Share(level=Level(above=True, value=0.5), at_least=2)
    of = replace(rule(), share=share, hours=Hours(active=(Weekly(start=1, end=3),)))
    engine = Engine(rules=[of], settings=Judging())
    log = [
        t for name in ("a", "b") for t in engine.receive(answer(series(channel=name), "9%x20"), LONG_AGO).transitions
    ]
    assert short(log) == "F3 R9"
