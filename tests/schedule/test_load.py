"""What is learned of an account's users: by hour of the week, across restarts, and never a number that is none."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.clock import DAY, HOUR
from watcher.model import Points, Series
from watcher.schedule import Load, Profile
from watcher.schedule.load import WEEK

MONDAY = 1_767_571_200
USERS = Series("acme", "agora", "classroom", "Native", "", "users")


def day(users: float, start: int = MONDAY, *, days: int = 1, busy: tuple[int, int] = (9, 17)) -> Points:
    """So many users in busy hours, and nobody else."""
    starts = np.arange(start, start + days * DAY, 20, dtype=np.int64)
    hours = starts % DAY / HOUR
    value = np.where((hours >= busy[0]) & (hours < busy[1]), users, 0.0)
    return Points(series=USERS, width=20, start=starts, value=value)


def risk(load: Load, *hours: float) -> list[float]:
    return [float(found) for found in load.risk(np.array([MONDAY / HOUR + hour for hour in hours]))]


def test_nothing_known_is_an_even_load() -> None:
    """Every hour alike, as the even schedule has it."""
    assert set(risk(Profile().load(), 0, 3, 12, 100)) == {1.0}


def test_a_day_teaches_the_next() -> None:
    """After a Monday, Tuesday's busy hours are expected to be busy and its nights to be quiet."""
    load = Profile().learn(day(400.0)).load()
    noon, night = risk(load, 36.5, 27.5)
    assert noon > 5 * night
    assert night > 0


def test_the_first_day_takes_what_comes_to_be_as_busy_as_any() -> None:
    """At noon of the first day the afternoon counts as much as the busiest hour so far: nothing is spent in advance."""
    points = day(400.0)
    known = points.start < MONDAY + 12 * HOUR
    morning = Points(series=USERS, width=20, start=points.start[known], value=points.value[known])
    expected = Profile().learn(morning).expected()
    hour = MONDAY // HOUR % WEEK
    assert expected[hour + 18] == pytest.approx(400.0)
    assert expected[hour + 3] < 100


def test_weekends_are_told_apart() -> None:
    """Two weeks with quiet weekends: Saturday noon is expected to be quieter than Friday noon."""
    profile = Profile()
    for n in range(14):
        profile = profile.learn(day(50.0 if n % 7 >= 5 else 400.0, MONDAY + n * DAY))
    hour = MONDAY // HOUR % WEEK
    assert profile.expected()[(hour + 4 * 24 + 12) % WEEK] > 3 * profile.expected()[(hour + 5 * 24 + 12) % WEEK]


def test_an_unusual_day_is_taken_to_go_on_so() -> None:
    """After five usual days a first Saturday is at half of them by noon: so its afternoon is expected to be."""
    profile = Profile().learn(day(400.0, days=5))
    saturday = day(200.0, MONDAY + 5 * DAY)
    known = saturday.start < MONDAY + 5 * DAY + 13 * HOUR
    morning = Points(series=USERS, width=20, start=saturday.start[known], value=saturday.value[known])
    hour = MONDAY // HOUR % WEEK
    assert profile.learn(morning).expected()[(hour + 5 * 24 + 15) % WEEK] == pytest.approx(200.0, rel=0.2)


def test_what_is_learned_in_pieces_is_what_is_learned_at_once() -> None:
    """Answers overlap and come in any size; a window counts once."""
    points = day(400.0)
    pieces = Profile()
    for first in range(0, len(points), 90):
        part = slice(max(first - 30, 0), first + 90)
        pieces = pieces.learn(Points(series=USERS, width=20, start=points.start[part], value=points.value[part]))
    whole = Profile().learn(points)
    np.testing.assert_allclose(pieces.mean, whole.mean)
    np.testing.assert_allclose(pieces.weight, whole.weight)


def test_a_busier_day_than_usual_is_followed_for_a_while() -> None:
    """Twice the usual users now: more is expected of the next hour, and hardly more of tomorrow."""
    usual = Profile()
    for n in range(7):
        usual = usual.learn(day(200.0, MONDAY + n * DAY))
    points = day(400.0, MONDAY + 7 * DAY)
    known = points.start < MONDAY + 7 * DAY + 12 * HOUR
    busier = usual.learn(Points(series=USERS, width=20, start=points.start[known], value=points.value[known])).load()
    soon, tomorrow = risk(busier, 7 * 24 + 12.6, 8 * 24 + 13)
    assert soon > 1.3 * tomorrow


def test_a_profile_survives_a_restart() -> None:
    """As text and back: the same expectation, to what rounding leaves."""
    profile = Profile().learn(day(400.0, days=3))
    again = Profile.parse(profile.text())
    assert again is not None
    np.testing.assert_allclose(again.expected(), profile.expected(), atol=0.01)
    assert (again.until, again.level) == (profile.until, profile.level)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nothing",
        "[]",
        "{}",
        "7",
        json.dumps({"v": 1, "mean": [1] * 168, "weight": [1] * 167, "until": 0, "level": 0}),
        json.dumps({"v": 2, "mean": [1] * 168, "weight": [1] * 168, "until": 0, "level": 0}),
        json.dumps({"v": 1, "mean": [-1] * 168, "weight": [1] * 168, "until": 0, "level": 0}),
        json.dumps({"v": 1, "mean": [math.nan] * 168, "weight": [1] * 168, "until": 0, "level": 0}),
        json.dumps({"v": 1, "mean": 1, "weight": 1, "until": 0, "level": 0}),
        json.dumps({"v": 1, "mean": ["x"] * 168, "weight": [1] * 168, "until": 0, "level": 0}),
        json.dumps({"v": 1, "mean": [1] * 168, "weight": [1] * 168, "until": 0, "level": 0}).replace(": 0", ": 1e999"),
        json.dumps({"mean": [1] * 168, "weight": [1] * 168, "until": 0, "level": 0}),
    ],
)
def test_a_note_that_is_none_is_learned_anew(text: str) -> None:
    """Another version's, a damaged or a foreign note is no profile, and no crash."""
    assert Profile.parse(text) is None


@given(
    st.lists(st.tuples(st.integers(0, 3000), st.floats(0, 1e9)), min_size=1, max_size=40, unique_by=lambda p: p[0]),
    st.floats(0, 400),
)
def test_any_users_give_a_risk_that_is_a_number(seen: list[tuple[int, float]], hour: float) -> None:
    """Whatever was seen, what is expected is finite and not negative."""
    seen.sort()
    starts = np.array([MONDAY + n * 20 for n, _ in seen], dtype=np.int64)
    points = Points(series=USERS, width=20, start=starts, value=np.array([v for _, v in seen]))
    (found,) = risk(Profile().learn(points).load(), hour)
    assert math.isfinite(found)
    assert found >= 0
