"""Vendor time: learned from answers, unmoved by our own clock, and not led astray by one wrong header."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.budget.doubles import NOON
from watcher.budget.vendorclock import Saved, VendorClock


def fresh(saved: Saved | None = None, *, now: float = NOON, mono: float = 1000.0, boot: str = "b") -> VendorClock:
    """A clock as after a start."""
    return VendorClock(now=now, mono=mono, boot=boot, saved=saved)


def taught(ahead: float = 40.0) -> VendorClock:
    """A clock that has had one answer from a vendor `ahead` of us."""
    clock = fresh()
    clock.learn(sent=1000.0, received=1000.5, date=math.floor(NOON + ahead), now=NOON + 0.5)
    return clock


def test_before_any_answer_our_own_clock_is_believed_to_five_seconds() -> None:
    """No offset, the least skew, and stamps known to be unsure."""
    clock = fresh()
    assert (clock.at(1000.0), clock.offset, clock.skew) == (NOON, 0.0, 5.0)
    assert clock.unsure_since == NOON


def test_an_answer_teaches_the_offset_to_within_its_round_trip() -> None:
    """The middle of what a whole second and half a second on the way leave open."""
    clock = taught()
    assert clock.offset == pytest.approx(40.25, abs=0.01)
    assert clock.half == pytest.approx(0.75)
    assert clock.unsure_since is None


@given(
    offset=st.floats(-5, 5),
    looks=st.lists(st.tuples(st.floats(1, 300), st.floats(0, 4), st.floats(0, 4)), min_size=1, max_size=12),
)
def test_the_true_time_is_always_within_what_is_known(offset: float, looks: list[tuple[float, float, float]]) -> None:
    """Whatever the ways there and back take, and however many answers there are."""
    clock, mono = fresh(), 1000.0
    for wait, there, back in looks:
        sent = mono + wait
        received = sent + there + back
        date = math.floor(NOON + (sent + there - 1000.0) + offset)
        clock.learn(sent=sent, received=received, date=date, now=NOON + received - 1000.0)
        assert abs(clock.at(received) - (NOON + received - 1000.0 + offset)) <= clock.half + 1e-6
        mono = received


@pytest.mark.parametrize("step", [7200.0, -7200.0, 2.5, -2.5])
def test_a_step_of_our_clock_moves_no_vendor_time_but_leaves_a_doubt(step: float) -> None:
    """Vendor time goes on along the monotonic clock; stamps carry the step until the vendor speaks."""
    clock = taught()
    before = clock.at(1010.0)
    assert clock.watch(NOON + 10.0 + step, 1010.0) == pytest.approx(step, abs=0.01)
    assert clock.at(1010.0) == before
    assert clock.doubt == pytest.approx(abs(step), abs=0.01)
    assert clock.unsure_since == before
    lesson = clock.learn(sent=1010.0, received=1010.2, date=math.floor(before), now=NOON + 10.2 + step)
    assert lesson.settled
    assert clock.saved().doubt == 0.0
    assert clock.saved().unsure_since is None
    assert clock.offset == pytest.approx(40.25 - step, abs=1.0)


def test_small_disagreements_are_no_step() -> None:
    """Two seconds are within what clocks do."""
    clock = taught()
    assert clock.watch(NOON + 12.0, 1010.0) == 0.0
    assert clock.doubt == 0.0


def test_after_a_sleep_the_first_answer_moves_vendor_time_on() -> None:
    """The monotonic clock does not count a suspended machine: the wall clock was right, and the vendor says so."""
    clock = taught()
    clock.watch(NOON + 10.0 + 8 * 3600, 1010.0)
    lesson = clock.learn(
        sent=1010.0, received=1010.2, date=math.floor(NOON + 50.0 + 8 * 3600), now=NOON + 10.2 + 8 * 3600
    )
    assert lesson.believed
    assert lesson.shift == pytest.approx(8 * 3600, abs=2)


def test_one_wrong_date_moves_nothing_and_a_second_that_agrees_is_believed() -> None:
    """One server of many with a wrong clock must not open yesterday; a vendor that really moved is followed."""
    clock = taught()
    before = clock.base
    wrong = NOON - 20 * 3600
    assert not clock.learn(sent=1100.0, received=1100.1, date=wrong, now=NOON + 100).believed
    assert clock.base == before
    assert clock.learn(sent=1160.0, received=1160.1, date=math.floor(NOON + 200), now=NOON + 160).believed
    assert abs(clock.base - before) < 1.0
    assert not clock.learn(sent=1200.0, received=1200.1, date=wrong, now=NOON + 200).believed
    assert not clock.learn(sent=1300.0, received=1300.1, date=wrong, now=NOON + 300).believed  # cached: it stands still
    assert clock.learn(sent=1400.0, received=1400.1, date=wrong + 100, now=NOON + 400).believed
    assert clock.at(1400.0) == pytest.approx(wrong + 100, abs=2)


@pytest.mark.parametrize("date", [math.nan, math.inf, -math.inf, 0.0, 9e18])
def test_a_first_date_that_cannot_be_is_not_believed(date: float) -> None:
    """Not a number, 1970, the far future."""
    clock = fresh()
    assert not clock.learn(sent=1000.0, received=1000.1, date=date, now=NOON).believed
    assert clock.at(1000.0) == NOON


def test_a_machine_days_off_is_put_right_by_two_answers() -> None:
    """Our own clock may be the wrong one."""
    clock = fresh()
    truth = NOON + 5 * 86_400
    assert not clock.learn(sent=1000.0, received=1000.1, date=truth, now=NOON).believed
    assert clock.learn(sent=1060.0, received=1060.1, date=truth + 60, now=NOON + 60).believed
    assert clock.at(1060.0) == pytest.approx(truth + 60, abs=1.5)


def test_a_restart_in_the_same_boot_goes_on_along_the_monotonic_clock() -> None:
    """Even where the wall clock was set while nobody watched."""
    saved = taught().saved()
    clock = fresh(Saved.parse(saved.text()), now=NOON + 600 + 7200, mono=1600.0)
    assert clock.at(1600.0) == pytest.approx(NOON + 640.25, abs=0.01)
    assert clock.doubt == pytest.approx(7200.0, abs=0.01)
    assert clock.unsure_since is not None


def test_a_restart_after_a_reboot_trusts_wall_clock_and_offset() -> None:
    """The monotonic clock began anew."""
    clock = fresh(taught().saved(), now=NOON + 600, mono=5.0, boot="other")
    assert clock.at(5.0) == pytest.approx(NOON + 640.25, abs=0.01)
    assert clock.unsure_since is not None


def test_what_was_saved_is_enough_until_it_is_out_by_more_than_two_seconds() -> None:
    """The note is not written at every look."""
    clock = taught()
    saved = clock.saved()
    assert clock.covers(saved)
    clock.learn(sent=1060.0, received=1060.2, date=math.floor(NOON + 100.5), now=NOON + 60.2)
    assert clock.covers(saved)
    clock.learn(sent=1120.0, received=1120.2, date=math.floor(NOON + 164), now=NOON + 120.2)
    assert not clock.covers(saved)
    assert not clock.covers(None)


@given(st.text(max_size=80) | st.sampled_from(["{}", "[]", "null", "1", '{"boot": 1, "base": "x"}', '{"base": NaN}']))
def test_a_foreign_note_is_no_note(text: str) -> None:
    """Whatever stands there, the daemon starts."""
    assert Saved.parse(text) is None
