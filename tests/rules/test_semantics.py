"""What a rule means: a table for every sentence of the design (section 5) and for invariant 4.

A timeline is written as states at windows, counted from 0: `P3 F5 R9` is pending at window 3, firing at 5, resolved at
9, inactive (`I`) where pending came to nothing. A window's own event time is its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from tests.rules.series import START, W, answer, rule, series
from watcher.model import Cause, State, Transition
from watcher.rules.engine import Engine, Verdicts
from watcher.rules.rule import Aggregate, Kind, Rule
from watcher.rules.settings import Judging

LETTERS = {State.INACTIVE: "I", State.PENDING: "P", State.FIRING: "F", State.RESOLVED: "R"}
AVG = Aggregate(kind=Kind.AVG, seconds=60)
LONG_AGO = START + 1e6


def event(window: int) -> int:
    """The event time of a window."""
    return START + (window + 1) * W


def short(log: Sequence[Transition]) -> str:
    """A log as states at windows."""
    return " ".join(f"{LETTERS[t.state]}{(t.at - START) // W - 1}" for t in log)


def judged(of: Rule, text: str, *, users: str = "", judging: Judging | None = None, **look: Any) -> list[Transition]:
    """Everything that a rule says of a series, once nothing is waited for any more."""
    engine = Engine(rules=[of], settings=judging or Judging())
    if users:
        engine.receive(answer(series("users"), users), LONG_AGO)
    verdicts: list[Verdicts] = [engine.receive(answer(series(of.signal), text, **look), LONG_AGO)]
    verdicts.append(engine.tick(LONG_AGO + 3600))
    return [t for v in verdicts for t in v.transitions]


def test_a_window_is_judged_at_its_end() -> None:
    """The event time of [s, s+w) is s+w."""
    (fired,) = judged(rule(), "1% 9%")
    assert fired.at == START + 2 * W


@pytest.mark.parametrize(
    ("hold", "text", "expected"),
    [
        (0, "1% 9% 1%", "F1 R2"),  # fires at once; pending is not a state of its own
        (40, "1% 9% 9% 1%", "P1 I3"),  # 40 s needs three windows of 20 s
        (40, "1% 9% 9% 9% 1%", "P1 F3 R4"),
        (20, "9% 9%", "P0 F1"),
        (30, "9% 9% 9%", "P0 F2"),  # the first event time at which 30 s have passed
        (40, "9% 1% 9% 9% 9%", "P0 I1 P2 F4"),
        (40, "5% 5% 5%", ""),  # above is strictly above
    ],
)
def test_for(hold: int, text: str, expected: str) -> None:
    """It fires at the first event time t' where the condition has held since t and t' - t >= for."""
    assert short(judged(rule(hold=hold), text)) == expected


def test_condition_at_and_starts_at() -> None:
    """A firing entry is at `condition_at`; it starts where the condition began to hold."""
    log = judged(rule(hold=40), "1% 9%x1 7% 1%")
    fired, over = log[1], log[2]
    assert [t.at for t in (fired, over)] == [event(3), event(4)]
    assert [t.starts_at for t in (fired, over)] == [event(1), event(1)]
    assert [t.value for t in (fired, over)] == [0.07, 0.01]
    assert [t.peak for t in (fired, over)] == [0.09, 0.09]
    assert {t.threshold for t in log} == {0.05}
    assert {t.cause for t in log} == {Cause.THRESHOLD}


@pytest.mark.parametrize(
    ("aggregate", "text", "expected"),
    [
        (AVG, "1% 1% 12% 1% 1% 1%", ""),
        (AVG, "1% 1% 16% 1% 1% 1%", "F2 R5"),  # three windows of 20 s each
        (AVG, "1% _ 10% _ 1% 1%", "F2 R5"),  # the mean of what is present, each at its own time
        (Aggregate(kind=Kind.MIN, seconds=40), "9% 9% 1% 9% 9%", "F0 R2 F4"),
        (Aggregate(kind=Kind.MAX, seconds=40), "9% 1% 1% 1%", "F0 R2"),
        (Aggregate(kind=Kind.PERCENTILE, seconds=80, percent=50), "1% 9% 9% 1% 1%", "F2 R3"),
        (Aggregate(kind=Kind.OF, k=2, n=3), "9% 1% 9% 1% 1%", "F2 R3"),
        (Aggregate(kind=Kind.OF, k=2, n=3), "9% _ 9% _ 9%", "F2"),  # the last three on the grid
        (Aggregate(kind=Kind.OF, k=2, n=3), "9% _ _ 9% 1%", ""),
    ],
)
def test_when(aggregate: Aggregate, text: str, expected: str) -> None:
    """Each aggregate, over the windows with event time in (t - duration, t], judged at present windows."""
    assert short(judged(rule(aggregate=aggregate), text)) == expected


def test_below() -> None:
    """Signals that get worse downwards, with their worst value as the peak."""
    log = judged(rule(signal="join_success_ratio", below=0.95, hold=20), "99% 90% 80% 95%")
    assert short(log) == "P1 F2 R3"
    assert log[2].peak == pytest.approx(0.8)


def test_averages_are_weighted_where_weights_are_known() -> None:
    """90 users without freezes outweigh ten with."""
    starts = {START: 90.0, START + W: 10.0}
    assert short(judged(rule(aggregate=AVG), "0% 20%", weights=starts)) == ""
    assert short(judged(rule(aggregate=AVG), "0% 20%")) == "F1"


@pytest.mark.parametrize(
    ("hold", "text", "expected"),
    [
        (60, "9% 9% _ 9% 9%", "P0 F4"),  # a missing window holds the timer and adds nothing
        (60, "9% 9% _x2 9% 9%", "P0 F5"),
        (60, "9% 9% _x3 9% 9% 9% 9%", "P0 I4 P5 F8"),  # three in a row restart it
        (60, "9% 9% _ 9% _ 9% _", "P0 F5"),
        (60, "9% 9% _x3", "P0 I4"),
        (60, "9% 9% _x2", "P0"),
    ],
)
def test_missing_windows_and_for(hold: int, text: str, expected: str) -> None:
    """Nothing pending survives three missing windows; fewer only delay it."""
    assert short(judged(rule(hold=hold), text)) == expected


@pytest.mark.parametrize(
    ("clear", "clear_for", "keep", "text", "expected"),
    [
        (None, 0, 0, "9% 5%", "F0 R1"),  # the negation of when
        (0.03, 0, 0, "9% 4% 3% 2%", "F0 R3"),  # its own level
        (0.03, 40, 0, "9% 2% 2% 4% 2% 2% 2%", "F0 R6"),  # its own time, begun anew
        (None, 40, 0, "9% 1% _ 1% 1%", "F0 R4"),  # held by a missing window
        (None, 40, 0, "9% 1% 1% _x3 1% 1% 1%", "F0 R8"),  # restarted by three
        (0.03, 40, 0, "9% 2% 9% 2% 2% 2%", "F0 R5"),
        (None, 0, 60, "9% 1% 1% 1% 1%", "F0 R4"),  # 60 s since the first window that was not true
        (None, 0, 60, "9% 1% 1% 9% 1% 1% 1% 1%", "F0 R7"),
        (None, 0, 60, "9% 1% _x5 1%", "F0 R7"),  # plain time, but only a judged window resolves
        (None, 20, 60, "9% 1% 1% 1% 1%", "F0 R4"),  # both must have passed
        (0.03, 0, 40, "9% 4% 4% 4% 2%", "F0 R4"),  # since the condition was last true, not since clear
    ],
)
def test_clear_and_keep_firing_for(clear: float | None, clear_for: int, keep: int, text: str, expected: str) -> None:
    """Clear has its own level and time; `keep_firing_for` counts from the first window that was not true."""
    of = rule(clear=clear, clear_for=clear_for, keep_firing_for=keep)
    assert short(judged(of, text)) == expected


def test_clear_of_a_count_uses_its_own_level() -> None:
    """Two of three above 5 % fire; clear is where fewer than two of three are at 3 % or more."""
    of = rule(aggregate=Aggregate(kind=Kind.OF, k=2, n=3), clear=0.03)
    assert short(judged(of, "9% 9% 4% 4% 1% 1%")) == "F1 R5"


# ── require ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("users", "text", "expected"),
    [
        ("50 50 50", "9% 9% 1%", "F0 R2"),
        ("20 20 20", "9% 9% 1%", ""),  # above is strictly above
        ("20 50 50", "9% 9% 1%", "F1 R2"),  # the same window, not the newest
        ("50 50 10 10", "9% 9% 9% 1%", "F0 R3"),  # guards firing, not clearing
    ],
)
def test_require_joins_the_same_window(users: str, text: str, expected: str) -> None:
    """A false companion makes the condition false in that window; it does not clear what fires."""
    assert short(judged(rule(require_users_above=20), text, users=users)) == expected


def test_require_that_fails_breaks_what_is_pending() -> None:
    """The condition of a pending alert includes its guard."""
    of = rule(hold=40, require_users_above=20)
    assert short(judged(of, "9% 9% 9% 9%", users="50 50 10 50")) == "P0 I2 P3"


def test_an_unknown_companion_is_waited_for_and_then_done_without() -> None:
    """Undecided for five minutes of run clock, then fired as unguarded: a page too many beats a page missed."""
    engine = Engine(rules=[rule(require_users_above=20)], settings=Judging())
    assert engine.receive(answer(series(), "1% 9% 9% 1%"), 1000.0).transitions == ()
    (view,) = engine.alerts()
    assert view.state is State.INACTIVE
    assert view.marks == {"undecided"}
    assert engine.wanted() == {series("users"), series("users", product="")}
    assert engine.due() == 1300.0
    assert engine.tick(1299.0).transitions == ()
    log = engine.tick(1300.0).transitions
    assert short(log) == "F1 R3"
    assert log[0].unguarded
    assert (log[0].known_at, log[0].at) == (1300.0, event(1))
    assert (engine.due(), engine.wanted()) == (None, frozenset())


def test_a_companion_that_comes_in_time_decides() -> None:
    """Known and met: fires guarded. Known and not met: never was."""
    for users, expected in (("50 50 50", "F1"), ("5 5 5", "")):
        engine = Engine(rules=[rule(require_users_above=20)], settings=Judging())
        engine.receive(answer(series(), "1% 9% 9%"), 1000.0)
        log = engine.receive(answer(series("users"), users), 1100.0).transitions
        assert short(log) == expected
        assert not any(t.unguarded for t in log)
        assert engine.due() is None


def test_a_companion_that_says_no_afterwards_is_a_correction() -> None:
    """What fired unguarded is retracted, and the fold is as if it had never fired."""
    engine = Engine(rules=[rule(require_users_above=20)], settings=Judging())
    engine.receive(answer(series(), "1% 9% 9%"), 1000.0)
    (fired,) = engine.tick(1300.0).transitions
    (void,) = engine.receive(answer(series("users"), "5 5 5"), 1400.0).transitions
    assert (void.cause, void.retracts, void.state, void.seq) == (Cause.REVISED, fired.at, State.INACTIVE, 2)


def test_what_is_known_is_judged_up_to_the_first_undecided_window() -> None:
    """An incident with known users fires while a later, undecided one waits."""
    engine = Engine(rules=[rule(require_users_above=20)], settings=Judging())
    engine.receive(answer(series("users"), "50 50 50"), 0.0)
    assert short(engine.receive(answer(series(), "9% 1% 1% 9% 1%"), 1000.0).transitions) == "F0 R1"
    assert short(engine.tick(1300.0).transitions) == "F3 R4"


def test_while_firing_nothing_is_undecided() -> None:
    """An unknown companion cannot begin what has begun: the resolve does not wait for it."""
    engine = Engine(rules=[rule(require_users_above=20)], settings=Judging())
    engine.receive(answer(series("users"), "50"), 0.0)
    assert short(engine.receive(answer(series(), "9% 9% 9% 1%"), 1000.0).transitions) == "F0 R3"


def test_a_clock_that_steps_back_does_not_make_it_wait_longer() -> None:
    """Undecided since an instant that now lies ahead is undecided since now."""
    engine = Engine(rules=[rule(require_users_above=20)], settings=Judging())
    engine.receive(answer(series(), "9%"), 100_000.0)
    engine.receive(answer(series(), "9% 9%"), 1000.0)
    assert engine.due() == 1300.0


def test_a_companion_of_the_whole_project_stands_in() -> None:
    """A channel without its own users series is guarded by the product's; the channel's own comes first once known."""
    lobby, of = series(channel="lobby"), rule(require_users_above=20)
    engine = Engine(rules=[of], settings=Judging())
    engine.receive(answer(series("users"), "50 50 50"), 0.0)
    assert short(engine.receive(answer(lobby, "1% 9% 9%"), 1000.0).transitions) == "F1"
    void = engine.receive(answer(series("users", channel="lobby"), "5 5 5"), 1100.0).transitions
    assert [(t.cause, t.state) for t in void] == [(Cause.REVISED, State.INACTIVE)]


# ── absence ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "users", "expected"),
    [
        ("9% _x3 1%", "", "F0 R4"),  # no data does not clear
        ("9% _x3 1%", "50 0x2 50", "F0 R4"),  # idle does not clear
        ("9% 0%x2 1%", "50 0x2 50", "F0 R4"),  # nor does a bare 0 beside nobody, which some vendors fill in
        ("9% 1% 9%", "50 0 50", "F0 R1 F2"),  # a value beside nobody is else believed
        ("1% 9% 1%", "50 0 50", "F1 R2"),
    ],
)
def test_absence_neither_fires_nor_clears(text: str, users: str, expected: str) -> None:
    """Idle and missing windows are not judged."""
    assert short(judged(rule(), text, users=users)) == expected


def test_a_total_outage_of_joins_is_not_idle() -> None:
    """Nobody can join, so nobody is there: a success ratio of 0 beside 0 users fires."""
    of = rule(signal="join_success_ratio", below=0.95)
    assert short(judged(of, "99% 0% 0%", users="50 0 0")) == "F1"


def test_a_weight_of_zero_is_idle() -> None:
    """0 of 0 attempts is neither good nor bad."""
    weights = {START: 5.0, START + W: 0.0, START + 2 * W: 0.0, START + 3 * W: 5.0}
    assert short(judged(rule(), "9% 0% 0% 1%", weights=weights)) == "F0 R3"


@pytest.mark.parametrize(
    ("text", "users", "settled", "expected"),
    [
        ("1% _x4", "", 5, "F4"),  # 60 s after the first window without data
        ("1% _x3", "", 4, ""),
        ("1% _x4 1%", "", 6, "F4 R5"),  # resolved at the first present window
        ("1% _x4", "50 0x3", 5, ""),  # idle is not no data
        ("1% _x4 _", "50x4 0", 6, "F4 R5"),  # and ends it
        ("1% _x4", "", 4, ""),  # late is not no data: the last window is not settled
    ],
)
def test_no_data_alerts(text: str, users: str, settled: int, expected: str) -> None:
    """`no_data: {after: 60s, then: alert}` is a companion alert with its own labels, cause and words."""
    log = judged(rule(no_data_after=60), text, users=users, settled=START + settled * W)
    assert short(log) == expected
    for entry in log:
        assert entry.labels["reason"] == "no_data"
        assert entry.cause is Cause.NO_DATA
        assert (entry.value, entry.threshold, entry.peak) == (None, None, None)
    if log:
        assert log[0].starts_at == event(1)
        assert log[0].annotations["summary"] == (
            "VideoFreezing cannot be judged on classroom Native: no data for video_freeze_ratio since 00:00 UTC"
        )


def test_lost_windows_are_not_no_data() -> None:
    """What was never fetched says nothing about the vendor: it holds the run, and three in a row end it."""
    engine = Engine(rules=[rule(no_data_after=60)], settings=Judging())
    log = list(engine.receive(answer(series(), "1% _ _"), 0.0).transitions)
    log += engine.receive(answer(series(), "_x3", start=START + 6 * W), 0.0).transitions
    assert log == []
    log += engine.receive(answer(series(), "_", start=START + 9 * W), 0.0).transitions
    assert short(log) == "F9"
    assert log[0].starts_at == event(6)


def test_what_is_not_asked_for_is_not_judged() -> None:
    """Nothing happens to a firing alert while nobody looks, however long."""
    engine = Engine(rules=[rule(no_data_after=60)], settings=Judging())
    assert short(engine.receive(answer(series(), "9%"), 0.0).transitions) == "F0"
    assert engine.tick(1e9).transitions == ()


def test_what_was_not_seen_for_a_day_is_given_up() -> None:
    """A firing alert without one judged window for `forget_after` resolves as expired, at that event time."""
    log = judged(rule(), "9% _x20", judging=Judging.model_validate({"forget_after": "5m"}))
    assert short(log) == "F0 R15"
    assert log[1].cause is Cause.EXPIRED
    assert (log[1].value, log[1].peak) == (None, 0.09)
    for back, expected in (("9%", "F0 R15 F22"), ("1%", "F0 R15")):
        log = judged(rule(), f"9% _x21 {back}", judging=Judging.model_validate({"forget_after": "5m"}))
        assert short(log) == expected


@pytest.mark.parametrize(
    ("text", "users", "settled", "mark"),
    [
        ("1% _", "50 0", 2, {"idle"}),
        ("1% _", "50 50", 2, {"no_data"}),
        ("1% _", "50 50", 1, {"late"}),
        ("1% 1%", "50 50", 2, set()),
    ],
)
def test_each_kind_of_absence_has_its_mark(text: str, users: str, settled: int, mark: set[str]) -> None:
    """Pages and metrics say which of them it is."""
    engine = Engine(rules=[rule()], settings=Judging())
    engine.receive(answer(series("users"), users), 0.0)
    engine.receive(answer(series(), text, settled=START + settled * W), 0.0)
    (view,) = engine.alerts()
    assert view.marks == mark
