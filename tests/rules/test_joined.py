"""Rules of several series: what `all`, `any`, pairs of counts and shares say, and what they wait for.

Timelines are written as in `test_semantics`: states at windows, counted from 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from tests.rules.series import START, W, answer, query, rule, series
from tests.rules.test_semantics import LONG_AGO, short
from watcher.model import Series, Transition, Unit, unit_of
from watcher.rules.engine import Engine, Verdicts
from watcher.rules.rule import WEIGHT, Aggregate, By, Join, Kind, Level, Part, Requirement, Rule, Share
from watcher.rules.settings import Judging

FREEZE, DELAY = series(), series("network_delay_ratio")
ROOMS = [series(channel=name) for name in ("a", "b", "c", "d")]
LAST = Aggregate(kind=Kind.LAST)
SLOW = Part(signal="network_delay_ratio", aggregate=LAST, level=Level(above=True, value=0.1))


def joined(join: Join, **more: object) -> Rule:
    """Freezes above 5 %, joined with delay above 10 %."""
    return replace(rule("Joined"), join=join, others=(SLOW,), **more)  # type: ignore[arg-type]


def shared(above: float = 0.5, at_least: int = 2, **more: object) -> Rule:
    """More than a share of rooms freezing above 5 %."""
    share = Share(level=Level(above=True, value=above), at_least=at_least)
    return replace(rule("Fleet"), share=share, **more)  # type: ignore[arg-type]


def expecting(of: Rule, *wanted: Series) -> Engine:
    """An engine that was started, and knows what is going to be asked for."""
    engine = Engine(rules=[of], settings=Judging())
    queries = [query(s) for s in wanted]
    engine.restore([], queries=queries, covered={}, points=lambda of_series, since: None, now=0.0)
    return engine


def judged(of: Rule, texts: Mapping[Series, str], *, wait: bool = True) -> list[Transition]:
    """Everything that a rule says of some series, in one look each, once nothing is waited for any more."""
    engine = expecting(of, *texts)
    verdicts: list[Verdicts] = [engine.receive(answer(s, text), LONG_AGO) for s, text in texts.items()]
    if wait:
        verdicts.append(engine.tick(LONG_AGO + 3600))
    return [t for v in verdicts for t in v.transitions]


@pytest.mark.parametrize(
    ("join", "freeze", "delay", "expected"),
    [
        (Join.ALL, "9% 9% 1% 9%", "1% 20% 20% 20%", "F1 R2 F3"),
        (Join.ANY, "9% 1% 1% 9%", "1% 20% 1% 1%", "F0 R2 F3"),
        (Join.ALL, "9% 9% 9%", "20% _ 20%", "F0"),  # one side unknown beside a true one: not judged, nothing clears
        (Join.ALL, "9% 1% 9%", "20% _ 20%", "F0 R1 F2"),  # one side false: it does not matter what the other is
        (Join.ANY, "1% 9% 1%", "_ _ _", "F1"),  # one side true is enough; one side false does not clear
        (Join.ANY, "9% 1%", "_ 1%", "F0 R1"),
    ],
)
def test_three_values(join: Join, freeze: str, delay: str, expected: str) -> None:
    """`all` fails where one part does, `any` holds where one does; else an unknown part leaves the window out."""
    assert short(judged(joined(join), {FREEZE: freeze, DELAY: delay})) == expected


def test_the_end_of_any_quotes_the_side_that_was_wrong() -> None:
    """Not the first one, which was never over its limit."""
    said = judged(joined(Join.ANY), {FREEZE: "1%x4", DELAY: "20% 20% 1% 1%"})
    assert short(said) == "F0 R2"
    assert said[0].annotations["summary"] == said[1].annotations["summary"]
    assert "20%" in said[1].annotations["summary"]


def test_a_timer_is_held_by_what_is_unknown() -> None:
    """`for: 40s` needs three judged windows: one that cannot be judged adds nothing, three in a row start anew."""
    held = judged(joined(Join.ALL, hold=40), {FREEZE: "9%x6", DELAY: "20% 20% _ 20% 1%"})
    assert short(held) == "P0 F3 R4"
    anew = judged(joined(Join.ALL, hold=40), {FREEZE: "9%x6", DELAY: "20% 20% _x3 20% 20%"})
    assert short(anew) == "P0 I4 P5"


def test_each_part_has_its_own_aggregate_and_clear() -> None:
    """An average of one, the newest of the other; clear is where one part is plainly back."""
    avg = Aggregate(kind=Kind.AVG, seconds=60)
    of = replace(joined(Join.ALL), aggregate=avg, clear=Level(above=False, value=0.02))
    texts = {FREEZE: "9% 9% 9% 0% 0% 0%", DELAY: "20% 1% 20%x6"}
    assert short(judged(of, texts)) == "F0 R1 F2 R5"  # the average is 0.06 at 3, 0.03 at 4, 0 at 5
    parted = replace(of, others=(replace(SLOW, clear=Level(above=False, value=0.005)),))
    assert short(judged(parted, texts)) == "F0 R5"  # delay of 1 % is not yet clear


def test_what_is_not_asked_yet_is_waited_for_and_asked_first() -> None:
    """`all`: one side in breach is held back, and the other is wanted; when it comes, it pages at the event time."""
    engine = Engine(rules=[joined(Join.ALL)], settings=Judging())
    engine.receive(answer(DELAY, "1%"), 0.0)
    assert engine.receive(answer(FREEZE, "1% 9% 9%"), 10.0).transitions == ()
    assert engine.wanted() == {DELAY}
    assert engine.due() == 310.0
    log = engine.receive(answer(DELAY, "20% 20%", start=START + W), 20.0).transitions
    assert short(log) == "F1"
    assert engine.wanted() == frozenset()


def test_an_any_pages_without_the_other_side() -> None:
    """One side in breach is enough at once; the other is neither waited for nor wanted."""
    engine = Engine(rules=[joined(Join.ANY)], settings=Judging())
    engine.receive(answer(DELAY, "1%"), 0.0)
    assert short(engine.receive(answer(FREEZE, "1% 9% 9%"), 10.0).transitions) == "F1"
    assert engine.wanted() == frozenset()


def test_an_any_pages_for_what_stands_either_way() -> None:
    """Windows before the breach in which only one side is known cannot make it less of one: nothing waits."""
    engine = Engine(rules=[joined(Join.ANY, hold=40)], settings=Judging())
    engine.receive(answer(DELAY, "1%"), 0.0)
    assert short(engine.receive(answer(FREEZE, "1% 1% 1% 9% 9% 9% 9%"), 10.0).transitions) == "P3 F5"
    assert engine.wanted() == frozenset()
    earlier = engine.receive(answer(DELAY, "1% 20% 20% 20%", start=START + W), 20.0).transitions
    assert short(earlier) == "P2 F4"
    assert earlier[0].retracts == START + 3 * W


def test_an_any_is_not_over_before_every_side_says_so() -> None:
    """The breached side is back and the other was not asked yet: nothing is said, and nothing is urgent."""
    engine = Engine(rules=[joined(Join.ANY)], settings=Judging())
    engine.receive(answer(DELAY, "1%"), 0.0)
    engine.receive(answer(FREEZE, "9%"), 0.0)
    assert engine.receive(answer(FREEZE, "1% 1%", start=START + W), 10.0).transitions == ()
    assert (engine.wanted(), engine.due()) == (frozenset(), None)
    assert short(engine.receive(answer(DELAY, "1% 1%", start=START + W), 20.0).transitions) == "R1"


@pytest.mark.parametrize(
    ("freeze", "said", "then"),
    [
        ("9% 1% 1% 1% 1%", "P0", "I1"),  # three missing in a row would end it at the third
        ("9% 1% 9% 9%", "P0", "I1 P2 F3"),  # a missing window would hold the timer, and fire too soon
    ],
)
def test_nothing_is_said_for_want_of_a_look(freeze: str, said: str, then: str) -> None:
    """What would be said only because a side was not asked yet is held back, and that side is wanted."""
    engine = Engine(rules=[joined(Join.ANY, hold=20)], settings=Judging())
    engine.receive(answer(DELAY, "1%"), 0.0)
    assert short(engine.receive(answer(FREEZE, freeze), 10.0).transitions) == said
    assert engine.wanted() == {DELAY}
    assert engine.due() == 310.0
    assert short(engine.receive(answer(DELAY, "1%x3", start=START + W), 20.0).transitions) == then
    assert engine.wanted() == frozenset()


def test_an_any_ignores_what_the_vendor_never_measured_there() -> None:
    """No audio freezes for Web: the part that has no series is no part."""
    assert short(judged(joined(Join.ANY), {FREEZE: "9% 1%"})) == "F0 R1"


def test_what_was_waited_for_long_enough_is_judged_by_what_is_known() -> None:
    """After five minutes `all` leaves the windows out, and goes on when the other side comes."""
    engine = Engine(rules=[joined(Join.ALL)], settings=Judging())
    engine.receive(answer(DELAY, "1%"), 0.0)
    engine.receive(answer(FREEZE, "1% 9% 9%"), 10.0)
    assert engine.tick(310.0).transitions == ()
    assert engine.wanted() == frozenset()
    assert short(engine.receive(answer(DELAY, "1% 20%", start=START + W), 400.0).transitions) == "F2"


def test_a_side_that_lags_for_longer_than_the_horizon_is_not_waited_for() -> None:
    """A blind query does not hold an `any` back, and marks move on."""
    engine = Engine(rules=[joined(Join.ANY, hold=40)], settings=Judging())
    engine.receive(answer(DELAY, "1%"), 0.0)
    log = engine.receive(answer(FREEZE, "1%x239 9%x5 1%x5"), 10.0).transitions
    assert short(log) == "P240 F242"
    assert engine.wanted() == frozenset()


def test_what_an_alert_quotes() -> None:
    """`all` quotes its first part, `any` one that holds; every part is told in the summary and known to templates."""
    texts = {"summary": "{% for p in parts %}{{ p.signal }} {{ p.value | percent }};{% endfor %}"}
    users = {series("users"): "50x3"}
    fired = judged(joined(Join.ALL), {**users, FREEZE: "9% 1%", DELAY: "20% 1%"})[0]
    assert (fired.signal, fired.value, fired.threshold, fired.users) == ("video_freeze_ratio", 0.09, 0.05, 50)
    assert fired.annotations["summary"] == "video_freeze_ratio 9% and network_delay_ratio 20%; limits 5%, 10%"
    own = judged(joined(Join.ANY, texts=texts), {**users, FREEZE: "1% 1%", DELAY: "20% 1%"})[0]
    assert (own.signal, own.value, own.threshold, own.peak) == ("network_delay_ratio", 0.2, 0.1, None)
    assert own.annotations["summary"] == "network_delay_ratio 20%;video_freeze_ratio 1%;"


# ── pairs of counts ──────────────────────────────────────────────────────────────────────────────────────────────────


def pair(**more: object) -> Rule:
    """Channels by users, above a half, over a minute."""
    avg = Aggregate(kind=Kind.AVG, seconds=60)
    return replace(rule("Pair", "channels", aggregate=avg, above=0.5), per="users", **more)  # type: ignore[arg-type]


def test_a_pair_is_all_failures_by_all_attempts() -> None:
    """1 of 1 and 1 of 9 are 2 of 10, not the mean of 100 % and 11 %; a window of nothing by nothing is idle."""
    of = pair()
    log = judged(of, {series("channels"): "1 1 0 0 8", series("users"): "1 9 0 0 8"})
    assert short(log) == "F0 R1 F4"
    assert [t.value for t in log] == [1.0, 0.2, 1.0]
    assert [(t.signal, t.weight) for t in log] == [("channels/users", 1), ("channels/users", 9), ("channels/users", 8)]


def test_a_pair_is_judged_as_far_as_both_are_known() -> None:
    """What has no denominator yet is not judged, and is no urgency."""
    engine = Engine(rules=[pair()], settings=Judging())
    assert engine.receive(answer(series("channels"), "5 5 5"), 0.0).transitions == ()
    assert short(engine.receive(answer(series("users"), "8"), 0.0).transitions) == "F0"


def test_a_pair_may_require_its_denominator() -> None:
    """`require: {weight: …}` is how many attempts stand behind the ratio."""
    of = pair(require=(Requirement(signal=WEIGHT, level=Level(above=True, value=5)),))
    assert short(judged(of, {series("channels"): "3 3 8", series("users"): "3 4 8"})) == "F2"


# ── shares ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def rooms(*texts: str) -> dict[Series, str]:
    """Freezes of rooms."""
    return dict(zip(ROOMS, texts, strict=False))


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (("9% 9% 1%", "1% 9% 1%", "1% 9% 9%"), "F1 R2"),
        (("9%", "9%", "1%", "1%"), ""),  # a half is not more than a half
        (("9% 9%", "_ 9%", "_ _"), "F1"),  # fewer than two say nothing; what is unknown does not count
        (("9% 9% 9%", "9% _ 1%"), "F0 R2"),  # one alone cannot begin, and its breach does not clear
    ],
)
def test_a_share_is_of_the_rooms_that_are_judged(texts: tuple[str, ...], expected: str) -> None:
    """More than half of at least two rooms: one alert for all of them."""
    log = judged(shared(), rooms(*texts))
    assert short(log) == expected
    assert {t.labels.get("channel") for t in log} <= {None}


def test_a_fleet_wide_fault_is_one_alert() -> None:
    """A hundred rooms freeze: one page that says how many of how many, and some of their names."""
    many = {series(channel=f"room-{i}"): "1%x2" if i < 20 else "1% 9% 9%" for i in range(100)}
    users = {series("users"): "500x2"}
    (fired,) = judged(shared(0.79), {**users, **many})
    assert (fired.value, fired.threshold, fired.users) == (0.8, 0.79, 500)
    assert dict(fired.labels) == {"account": "acme", "provider": "agora", "project": "classroom"}
    assert fired.annotations["summary"] == "80 of 100 in breach: room-20, room-21, room-22, …"


def test_rooms_that_fail_require_do_not_count() -> None:
    """Rooms with too few users neither breach nor dilute."""
    of = shared(require=(Requirement(signal="users", level=Level(above=True, value=20)),))
    users = {
        series("users", channel="a"): "50",
        series("users", channel="b"): "50",
        series("users", channel="c"): "5",
        series("users", channel="d"): "5",
    }
    assert short(judged(of, {**users, **rooms("9%", "9%", "1%", "1%")})) == "F0"
    assert short(judged(of, {**users, **rooms("1%", "1%", "9%", "9%")})) == ""


def test_a_share_waits_for_rooms_that_could_change_it() -> None:
    """Half of the rooms are known and all of these freeze: what is said waits for the others, which are wanted."""
    engine = Engine(rules=[shared()], settings=Judging())
    for room in ROOMS:
        engine.receive(answer(room, "1%"), 0.0)
    for room in ROOMS[:2]:
        log = engine.receive(answer(room, "9%", start=START + W), 10.0).transitions
    assert log == ()
    assert engine.wanted() == set(ROOMS[2:])
    assert short(engine.receive(answer(ROOMS[2], "9%", start=START + W), 20.0).transitions) == "F1"
    assert engine.wanted() == frozenset()


def test_a_share_by_account_spans_projects() -> None:
    """One alert over the projects of an account, whichever of them was looked at."""
    here, there = series(), Series("acme", "agora", "lab", "Native", "", "video_freeze_ratio")
    of = shared(at_least=2)
    assert of.share is not None
    of = replace(of, share=replace(of.share, by=By.ACCOUNT))
    (fired,) = judged(of, {here: "9%", there: "9%"})
    assert fired.labels["project"] == ""
    product = replace(of, share=Share(level=Level(above=True, value=0.5), at_least=1, by=By.PRODUCT))
    log = judged(product, {here: "9%", there: "9%"})
    assert {(t.labels["project"], t.labels["product"]) for t in log} == {("classroom", "Native"), ("lab", "Native")}


def test_a_changed_rule_keeps_its_alert() -> None:
    """A new share judges from now; a rule that becomes one of a single signal ends the alert of the whole project."""
    engine = Engine(rules=[shared()], settings=Judging())
    for room in ROOMS[:2]:
        engine.receive(answer(room, "9%"), 0.0)
    assert engine.reload([shared(0.4)], 1.0).transitions == ()
    assert [v.state for v in engine.alerts()] == ["firing"]
    ended = engine.reload([rule("Fleet")], 2.0).transitions
    assert [(t.state, t.cause) for t in ended] == [("resolved", "rule_changed")]


def test_a_removed_share_ends_where_its_rooms_are_known_to() -> None:
    """Over at the newest window of its rooms, as when the rule is removed while the daemon runs; its unit is known."""
    engine, saved = Engine(rules=[shared()], settings=Judging()), {}
    for room in ROOMS[:2]:
        saved.update({s.alert_id: s for s in engine.receive(answer(room, "9% 9% 9%"), 0.0).alerts})
    known = {room: answer(room, "9% 9% 9%").points[0] for room in ROOMS[:2]}
    again = Engine(rules=[], settings=Judging())
    (over,) = again.restore(
        list(saved.values()),
        queries=[query(room, settle=0) for room in ROOMS[:2]],
        covered={query(room).id: START + 3 * W for room in ROOMS[:2]},
        points=lambda wanted, since: known.get(wanted),
        now=5.0,
    ).transitions
    assert (over.at, unit_of(over.signal)) == (START + 3 * W, Unit.RATIO)
    (ended,) = engine.reload([], 5.0).transitions
    assert ended.at == over.at


def test_a_share_restarts_with_every_project_it_spans() -> None:
    """The alert of an account is recalled with the windows of all of its projects."""
    here, there = series(), Series("acme", "agora", "lab", "Native", "", "video_freeze_ratio")
    of = shared(at_least=2, hold=60)
    assert of.share is not None
    of = replace(of, share=replace(of.share, by=By.ACCOUNT))
    first = Engine(rules=[of], settings=Judging())
    saved = {}
    for of_series in (here, there):
        saved.update({s.alert_id: s for s in first.receive(answer(of_series, "9% 9%"), 0.0).alerts})
    again = Engine(rules=[of], settings=Judging())
    known = {s: answer(s, "9% 9%").points[0] for s in (here, there)}
    again.restore(
        list(saved.values()),
        queries=[query(s, settle=0) for s in (here, there)],
        covered={query(s).id: START + 2 * W for s in (here, there)},
        points=lambda s, since: known.get(s),
        now=0.0,
    )
    log = [t for s in (here, there) for t in again.receive(answer(s, "9% 9%", start=START + 2 * W), 1.0).transitions]
    assert short(log) == "F3"
