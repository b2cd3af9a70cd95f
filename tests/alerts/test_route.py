"""Who must hear of what: the table of `oblige`, and what is told across restarts and reloads."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.alerts.build import LABELS, T0, obligation, route, routing, transition
from tests.alerts.fakes import FakeStore
from watcher.alerts.reasons import Dropped
from watcher.alerts.route import NEVER_TOLD, Obliged, Routing, oblige
from watcher.alerts.settings import RouteSettings
from watcher.model import Cause, Commit, State, Transition, alert_id

F, R, P, I = State.FIRING, State.RESOLVED, State.PENDING, State.INACTIVE  # noqa: E741

ALERT = alert_id("VideoFreezing", LABELS)
BOTH = routing(route("slack"), route("mail"))


def says(obliged: Obliged) -> list[str]:
    """`slack firing`, with the reason where it was dropped at birth."""
    return [f"{o.target} {o.transition.state}{' ' + o.dropped if o.dropped else ''}" for o in obliged.obligations]


def after(*batches: Sequence[Transition], by: Routing = BOTH, now: float | None = None) -> Obliged:
    """What the last of some batches obliges, each told on top of the ones before it."""
    result = Obliged()
    for batch in batches:
        result = oblige(batch, by, result.told, now=T0 + 200 if now is None else now)
    return result


def test_firing_obliges_every_target_of_every_matching_route_once() -> None:
    """Two routes that share a target page it once, grouped as the first of them says."""
    by = routing(route("slack", "mail", group_by=["rule"]), route("mail", "sms", group_by=["project"]))
    result = after([transition(F, 100)], by=by)
    assert [(o.target, dict(o.route)) for o in result.obligations] == [
        ("slack", {"rule": "VideoFreezing"}),
        ("mail", {"rule": "VideoFreezing"}),
        ("sms", {"project": "classroom"}),
    ]
    assert [o.id for o in result.obligations] == [f"{ALERT}-1-slack", f"{ALERT}-1-mail", f"{ALERT}-1-sms"]


@pytest.mark.parametrize(
    ("match", "taken"),
    [
        ({}, True),
        ({"severity": "critical"}, True),
        ({"severity": "warning"}, False),
        ({"rule": "VideoFreezing", "project": "classroom"}, True),
        ({"project": "classroom", "product": "WebRTC"}, False),
        ({"nothing": "x"}, False),
    ],
)
def test_a_route_takes_what_all_its_matchers_take(match: dict[str, str], taken: bool) -> None:
    """Severity, rule and labels alike, by equality."""
    result = after([transition(F, 100)], by=routing(route("slack", **match)))
    assert says(result) == (["slack firing"] if taken else [f" firing {Dropped.NO_ROUTE}"])


def test_a_matcher_may_name_several_values() -> None:
    """A list is an or."""
    by = routing(RouteSettings(match={"product": ("WebRTC", "Native")}, to=("slack",)))
    assert says(after([transition(F, 100)], by=by)) == ["slack firing"]


def test_what_no_route_takes_is_counted_and_recorded_with_its_reason() -> None:
    """Nobody hears of it or of its end, and neither vanishes."""
    by = routing(route("slack", severity="info"))
    result = after([transition(F, 100)], by=by)
    assert (says(result), result.unrouted, dict(result.told)) == ([f" firing {Dropped.NO_ROUTE}"], 1, {})
    assert says(after([transition(F, 100)], [transition(R, 150, seq=2)], by=by)) == []


@pytest.mark.parametrize(
    ("batches", "expected"),
    [
        pytest.param([[transition(P, 90), transition(F, 100, seq=2)]], ["slack firing", "mail firing"], id="pending"),
        pytest.param([[transition(P, 90)], [transition(I, 95, seq=2)]], [], id="pending came to nothing"),
        pytest.param(
            [[transition(F, 100)], [transition(R, 150, seq=2)]], ["mail resolved", "slack resolved"], id="end"
        ),
        pytest.param([[transition(R, 150, seq=2)]], [], id="an end nobody was told the beginning of"),
        pytest.param(
            [[transition(F, 100)], [transition(R, 150, seq=2)], [transition(R, 160, seq=3, retracts=150)]],
            [],
            id="correction moves the end: over all the same",
        ),
        pytest.param(
            [[transition(F, 100)], [transition(I, 100, seq=2, retracts=100, cause=Cause.REVISED)]],
            ["mail inactive", "slack inactive"],
            id="correction takes back the beginning",
        ),
        pytest.param(
            [[transition(F, 100)], [transition(I, 100, seq=2, retracts=100), transition(F, 120, seq=3)]],
            [],
            id="correction moves the beginning: it fires all the same",
        ),
        pytest.param(
            [[transition(F, 100)], [transition(F, 120, seq=2, retracts=100)]],
            [],
            id="correction moves the beginning in one entry",
        ),
        pytest.param(
            [[transition(F, 100)], [transition(R, 150, seq=2)], [transition(F, 100, seq=3, retracts=150)]],
            ["slack firing", "mail firing"],
            id="correction takes back the end",
        ),
        pytest.param(
            [[transition(P, 90)], [transition(I, 90, seq=2, retracts=90)]], [], id="correction of what was never told"
        ),
        pytest.param(
            [
                [transition(F, 100)],
                [transition(I, 100, seq=2, retracts=100), transition(F, 120, seq=3), transition(R, 130, seq=4)],
            ],
            ["mail resolved", "slack resolved"],
            id="correction moves the beginning and brings the end",
        ),
    ],
)
def test_what_each_course_of_an_alert_obliges(batches: list[list[Transition]], expected: list[str]) -> None:
    """Only a change of what somebody was told is worth a message."""
    assert says(after(*batches)) == expected


def test_began_and_ended_recently_obliges_both() -> None:
    """An incident that was over before it was seen counts as paged."""
    result = after([transition(F, 100), transition(R, 150, seq=2)])
    assert says(result) == ["slack firing", "mail firing", "mail resolved", "slack resolved"]
    assert result.told == {}


def test_began_and_ended_long_ago_is_recorded_not_paged() -> None:
    """More than the limit before it became known: both obligations of a page are dropped at birth, with the reason."""
    pair = [transition(F, 100), transition(R, 150, seq=2)]
    late = after(pair, now=T0 + 150 + 3601)
    assert says(late) == [f"slack firing {Dropped.ENDED_LONG_AGO}", f"mail firing {Dropped.ENDED_LONG_AGO}"]
    assert late.told == {}
    assert "slack firing" in says(after(pair, now=T0 + 150 + 3600))
    shorter = routing(route("slack"), page_ended_within=60)
    assert says(after(pair, by=shorter, now=T0 + 211)) == [f"slack firing {Dropped.ENDED_LONG_AGO}"]


def test_an_old_end_of_a_told_beginning_is_told() -> None:
    """Whoever holds the page hears that it is over, however late."""
    assert says(after([transition(F, 100)], [transition(R, 150, seq=2)], now=T0 + 90_000)) == [
        "mail resolved",
        "slack resolved",
    ]


def test_own_troubles_go_to_operators_whatever_the_routes_say() -> None:
    """A route that takes everything does not get them, operators do."""
    by = routing(route("slack"), operators=["ops"])
    blind = transition(F, 100, rule="WatcherAccountBlind", cause=Cause.BLIND)
    assert says(after([blind], by=by)) == ["ops firing"]
    assert says(after([blind], by=routing(route("slack")))) == [f" firing {Dropped.NO_ROUTE}"]


def test_a_target_that_fails_is_the_last_to_hear_of_it() -> None:
    """The other operators are told; where there are none, it is told itself, once it can be."""
    failing = transition(F, 100, rule="WatcherTargetFailing", labels={"target": "ops"}, cause=Cause.BLIND)
    assert says(after([failing], by=routing(route("slack"), operators=["ops", "mail"]))) == ["mail firing"]
    assert says(after([failing], by=routing(route("slack"), operators=["ops"]))) == ["ops firing"]


def test_after_a_reload_the_end_goes_to_those_who_hold_the_page() -> None:
    """Routes decide who hears of a beginning; who heard it hears the end, and nobody else."""
    first = oblige([transition(F, 100)], routing(route("slack")), {}, now=T0 + 100)
    end = oblige([transition(R, 150, seq=2)], routing(route("mail")), first.told, now=T0 + 150)
    assert says(end) == ["slack resolved"]


def test_what_is_told_can_be_read_back_from_the_store() -> None:
    """What the newest obligations say is enough, also with one target told and another not."""
    log = [transition(P, 90), transition(F, 100, seq=2), transition(R, 150, seq=3), transition(F, 160, seq=4)]
    told, store = Obliged(), FakeStore()
    for entry in log:
        told = oblige([entry], BOTH, told.told, now=T0 + 200)
        store.commit(Commit(transitions=[entry], obligations=told.obligations))
        assert store.holders(NEVER_TOLD) == told.told
    assert told.told == {ALERT: frozenset({"slack", "mail"})}
    store.drop_obligations({f"{ALERT}-4-mail": Dropped.TARGET_REMOVED}, T0 + 300)
    assert store.holders(NEVER_TOLD) == {ALERT: frozenset({"slack"})}


def test_a_thousand_alerts_at_once_are_decided_in_linear_time() -> None:
    """Each alert of a storm gets its own obligations."""
    storm = [transition(F, 100, labels={**LABELS, "channel": f"room {i}"}) for i in range(1000)]
    assert len(after(storm).obligations) == 2000


def test_timing_is_that_of_the_route_as_it_is_now() -> None:
    """An obligation waits as the current config says; own troubles as by default."""
    by = routing(
        RouteSettings(to=("slack",), match={"severity": ("critical",)}, group_wait="5s", group_interval="5m"),  # type: ignore[arg-type]
        operators=["slack"],
    )
    page = after([transition(F, 100)], by=by).obligations[0]
    own = after([transition(F, 100, rule="WatcherNotDurable")], by=by).obligations[0]
    assert (by.timing(page).wait, by.timing(page).interval) == (5, 300)
    assert (by.timing(own).wait, by.timing(own).interval) == (0, 60)


def test_hours_of_a_route_are_those_of_every_route_to_the_target() -> None:
    """A route without hours always speaks, so then there are none."""
    office = RouteSettings(to=("slack",), active=({"from": "09:00", "to": "17:00", "time_zone": "Europe/Berlin"},))  # type: ignore[arg-type]
    weekend = RouteSettings(to=("slack",), mute={"days": ("mon", "tue")})  # type: ignore[arg-type]
    page = obligation(transition(F, 100))
    assert len(routing(office, weekend).timing(page).hours) == 2
    assert routing(office, weekend, route("slack")).timing(page).hours == ()
    assert not routing(office).timing(page).speaks(T0)
    assert routing(office, weekend).timing(page).speaks(T0)
