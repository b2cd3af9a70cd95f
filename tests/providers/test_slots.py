"""Slot arithmetic: the vendor's strict rules are kept, and no window is lost while the promised gap is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.providers.doubles import HandClock
from watcher.model import Span
from watcher.providers.agora.settings import PLANS, window
from watcher.providers.agora.slots import SETTLE, SLOT, Ask, Learned, Window, choose, floor_slot
from watcher.providers.vendortime import VendorTime

PREMIUM = window(PLANS["premium"])
ENTERPRISE = window(PLANS["enterprise"])
T = 1_767_225_600  # on the grid
TAIL = SETTLE * SLOT


def test_reach_is_what_the_plan_numbers_give() -> None:
    """The arithmetic of the module's text, in numbers."""
    assert (PREMIUM.reach, ENTERPRISE.reach) == (2269.0, 3489.0)
    assert Window(delay=40, look_back=2400, span=600).reach == 580 - 60 - 10


@pytest.mark.parametrize(
    ("second", "covered", "expected"),
    [
        # end: strictly older than now - 40, one second kept
        (0, None, Ask(Span(T - 2360, T - 60), None)),
        (1, None, Ask(Span(T - 2360, T - 40), None)),
        (20.9, None, Ask(Span(T - 2340, T - 40), None)),
        (21, None, Ask(Span(T - 2340, T - 20), None)),
        # the two newest slots again
        (1, T - 60, Ask(Span(T - 100, T - 40), None)),
        (1, T - 40, Ask(Span(T - 80, T - 40), None)),
        # covered in the future, far or near: never an empty request
        (1, T, Ask(Span(T - 80, T - 40), None)),
        (1, T + 86_400, Ask(Span(T - 80, T - 40), None)),
        # covered between two slots: the slot it lies in was not had whole
        (1, T - 55, Ask(Span(T - 100, T - 40), None)),
        # the oldest slot: re-reading what was settled last is given up first, then windows are lost
        (0, T - 2320, Ask(Span(T - 2360, T - 60), None)),
        (0, T - 2340, Ask(Span(T - 2360, T - 60), None)),
        (0, T - 2360, Ask(Span(T - 2360, T - 60), None)),
        (0, T - 2380, Ask(Span(T - 2360, T - 60), Span(T - 2380, T - 2360))),
        (0, T - 86_400, Ask(Span(T - 2360, T - 60), Span(T - 86_400, T - 2360))),
    ],
)
def test_what_one_premium_request_asks(second: float, covered: int | None, expected: Ask) -> None:
    """Delay 40 s, 40 minutes back: start, end and the lost part to the slot."""
    assert choose(now=T + second, covered=covered, window=PREMIUM, learned=Learned()) == expected


def test_a_too_long_request_is_cut_new_end_first_unless_it_is_the_first() -> None:
    """The first look takes the newest slots; later ones go on from where they were, so that nothing is lost."""
    short = Window(delay=40, look_back=2400, span=600)
    assert choose(now=T + 1, covered=None, window=short, learned=Learned()).span == Span(T - 620, T - 40)
    covered, spans = T - 1500, []
    while covered < T - 40:
        ask = choose(now=T + 1, covered=covered, window=short, learned=Learned())
        assert ask.lost is None
        assert ask.span.end - ask.span.start <= 580
        assert ask.span.start == covered - TAIL
        spans.append(ask.span)
        covered = ask.span.end
    assert len(spans) == 3


def test_refusals_teach_slots_within_bounds() -> None:
    """Each teaches one slot, or half the length; none of them can empty a request."""
    learned = Learned()
    for _ in range(100):
        asked = choose(now=T, covered=T - 2000, window=PREMIUM, learned=learned).span
        assert asked.end - asked.start >= 2 * SLOT
        learned = learned.too_fresh().too_old().too_long(asked)
    assert learned == Learned(later=6, shorter_back=6, longest=80)
    first = choose(now=T, covered=None, window=PREMIUM, learned=Learned(later=2, shorter_back=1)).span
    assert first == Span(T - 2340, T - 100)


@st.composite
def windows(draw: st.DrawFn) -> Window:
    """Limits as overrides can make them, with some room for looks to be apart."""
    delay = draw(st.integers(0, 300))
    look_back = delay + draw(st.integers(400, 4000))
    return Window(delay=delay, look_back=look_back, span=draw(st.integers(380, 4000)))


@given(
    limits=st.sampled_from([PREMIUM, ENTERPRISE]) | windows(),
    skew=st.floats(-4.9, 4.9),
    later_steps=st.lists(st.floats(-7200, 7200), max_size=3),
    start=st.floats(T, T + 3600),
    looks=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 4), st.floats(0, 4)), min_size=2, max_size=30),
)
def test_strict_rules_hold_and_every_window_is_handed_out(
    limits: Window,
    skew: float,
    later_steps: list[float],
    start: float,
    looks: list[tuple[float, float, float]],
) -> None:
    """Whatever the look times within the reach, the vendor's clock, latencies, and steps of our own clock.

    The vendor judges a request by its own clock when it arrives; every window is asked for as a new one exactly once,
    and again after it has settled.
    """
    clock = HandClock(start)
    true = start + skew - clock.monotonic()  # vendor time minus our monotonic
    time = VendorTime(clock=clock, offset=0.0)
    covered: int | None = None
    since = 0.0
    for number, (fraction, there, back) in enumerate(looks):
        clock.advance(fraction * max(limits.reach - since, 0.0))
        if number and later_steps:
            clock.step(later_steps[number % len(later_steps)])
        ask = choose(now=time.earliest(), covered=covered, window=limits, learned=Learned())
        clock.advance(there)
        vendor = true + clock.monotonic()
        assert ask.span.end < int(vendor) - limits.delay
        assert ask.span.start > vendor - limits.look_back
        assert 0 < ask.span.end - ask.span.start < limits.span
        assert ask.lost is None
        if covered is not None:
            assert ask.span.start == min(covered, ask.span.end) - TAIL  # nothing skipped, nothing unsettled skipped
        covered = max(ask.span.end, covered or 0)
        clock.advance(back)
        time.heard(float(int(vendor)))
        since = there + back


@given(st.integers(-100_000, 100_000), st.floats(0, 20, exclude_max=True), st.sampled_from([PREMIUM, ENTERPRISE]))
def test_the_lost_part_is_exact(ago: int, second: float, limits: Window) -> None:
    """Lost is from where the query was covered to the first slot asked for, and nothing else ever is."""
    covered = T - ago * SLOT
    now = T + second
    ask = choose(now=now, covered=covered, window=limits, learned=Learned())
    oldest = floor_slot(now - limits.look_back) + 2 * SLOT
    if covered < oldest:
        assert ask.lost == Span(covered, oldest)
        assert ask.span.start == oldest
    else:
        assert ask.lost is None


def test_vendor_time_is_a_lower_bound_and_survives_a_stepped_clock() -> None:
    """First a careful guess, then the newest `Date`, whatever our own clock does; absurd dates are not believed."""
    clock = HandClock(T)
    time = VendorTime(clock=clock, offset=100.0)
    assert time.earliest() == T + 95
    time.heard(T - 30.0)
    clock.step(3600)
    clock.advance(10)
    assert time.earliest() == T - 20
    time.heard(None)
    time.heard(T + 4e9)
    assert time.earliest() == T - 20
