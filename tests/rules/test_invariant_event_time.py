"""Invariant 3: the settled timeline is a function of the final points, and the folded log equals it, always."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.rules import oracle
from tests.rules.series import query, rule
from tests.rules.streams import MAIN, USERS, Delivery, Final, in_order, known_at, rules, run, shuffled
from watcher.model import SavedAlert, State, Transition, alert_id, fold
from watcher.rules.alert import labels_of
from watcher.rules.engine import Engine
from watcher.rules.rule import Rule
from watcher.rules.settings import Judging

HOUR = Judging()
SHORT = Judging(horizon="5m", forget_after="5m")  # type: ignore[arg-type]
pytestmark = pytest.mark.timeout(300)
SEVERAL_HUNDRED = settings(
    max_examples=300,
    deadline=None,
    derandomize=True,  # `make soak` draws others
    suppress_health_check=[HealthCheck.too_slow],
)


def logs(log: Sequence[Transition], rule: Rule) -> tuple[list[Transition], list[Transition]]:
    """The entries of the rule's own alert, and of its companion for silence."""
    ids = [alert_id(rule.name, labels_of(rule, MAIN, silence=silence)) for silence in (False, True)]
    return [t for t in log if t.alert_id == ids[0]], [t for t in log if t.alert_id == ids[1]]


def settle(engine: Engine, deliveries: Sequence[Delivery], log: list[Transition]) -> list[Transition]:
    """Let everything that waits for a companion be waited for."""
    for number in (1, 2):
        log += engine.tick(known_at(len(deliveries)) + number * 1000).transitions
    return log


def check(deliveries: Sequence[Delivery], rule: Rule, judging: Judging) -> list[Transition]:
    """The fold of what is emitted is what the oracle says of the final points."""
    final = Final()
    for delivery in deliveries:
        final.take(delivery)
    engine = Engine(rules=[rule], settings=judging)
    log = settle(engine, deliveries, run(engine, deliveries))
    own, silent = logs(log, rule)
    assert not engine.stats.crashes
    expected = oracle.settled(final.world(), rule, forget_after=judging.forget_after) if final.first is not None else []
    assert fold(own) == [(t.at, t.state) for t in expected]
    if rule.no_data_after is not None and final.first is not None:
        told = oracle.silence(final.world(), rule, forget_after=judging.forget_after)
        assert fold(silent) == [(t.at, t.state) for t in told]
    for entries in (own, silent):
        assert [t.seq for t in entries] == list(range(1, len(entries) + 1))
    return log


@SEVERAL_HUNDRED
@given(shuffled(), rules())
def test_any_cut_order_delay_and_revision_settles_alike(deliveries: list[Delivery], rule: Rule) -> None:
    """Answers of any length, in any order, revised, late or lost, fold to what the oracle says of the final points."""
    check(deliveries, rule, HOUR)


@SEVERAL_HUNDRED
@given(in_order(), rules())
def test_a_short_horizon_decides_as_it_goes_and_settles_alike(deliveries: list[Delivery], rule: Rule) -> None:
    """Deciding as it goes, the fold of looks in order is still what the oracle says of all points."""
    if max_lateness(deliveries) < 13:
        check(deliveries, rule, SHORT)


def max_lateness(deliveries: Sequence[Delivery]) -> int:
    """How many windows behind the main series' newest one a delivery begins, at worst."""
    newest, worst = 0, 0
    for delivery in deliveries:
        worst = max(worst, newest - delivery.start)
        if delivery.which == "main":
            newest = max(newest, delivery.start + len(delivery.windows))
    return worst


@SEVERAL_HUNDRED
@given(in_order(), rules(), st.data())
def test_everything_said_of_an_entry_is_what_the_oracle_says(
    deliveries: list[Delivery], rule: Rule, data: st.DataObject
) -> None:
    """Known companions first and the rest at once: start, peak, cause and "unguarded" of each entry agree as well."""
    final = Final()
    order = sorted(deliveries, key=lambda d: d.which != "users")
    for delivery in order:
        final.take(delivery)
    if final.first is None:
        return
    last = final.lasts["main"]
    whole = tuple(final.values["main"].get(i) for i in range(final.first, last))
    users = [d for d in order if d.which == "users"]
    once = [*users, Delivery("main", final.first, whole, len(whole))]
    final.answered["main"] = set(range(final.first, last))
    engine = Engine(rules=[rule], settings=SHORT)
    own, _ = logs(settle(engine, once, run(engine, once)), rule)
    told = oracle.settled(final.world(), rule, forget_after=SHORT.forget_after)
    ours = [(t.at, t.state, t.starts_at, t.cause == "expired", t.peak, t.unguarded) for t in own]
    assert ours == [(t.at, t.state, t.starts_at, t.expired, t.peak, t.unguarded) for t in told]


def restart(
    saved: Mapping[str, SavedAlert], rule: Rule, judging: Judging, final: Final, covered: Mapping[str, int], now: float
) -> tuple[Engine, tuple[Transition, ...]]:
    """A new engine from what was recorded, through JSON."""
    alerts = [SavedAlert(alert_id=s.alert_id, rule=s.rule, body=json.loads(json.dumps(s.body))) for s in saved.values()]
    engine = Engine(rules=[rule], settings=judging)
    verdicts = engine.restore(
        alerts, queries=[query(MAIN), query(USERS)], covered=covered, points=final.points, now=now
    )
    assert not engine.stats.unreadable
    return engine, verdicts.transitions


@SEVERAL_HUNDRED
@given(in_order(), rules(), st.data(), st.sampled_from([HOUR, SHORT]))
def test_a_restart_anywhere_changes_nothing(
    deliveries: list[Delivery], rule: Rule, data: st.DataObject, judging: Judging
) -> None:
    """Stopped after any looks and restored from JSON each time, the log is the same to the last field."""
    if max_lateness(deliveries) >= 13:
        return
    cuts = data.draw(st.sets(st.integers(0, len(deliveries)), max_size=3))
    whole = Engine(rules=[rule], settings=judging)
    expected = settle(whole, deliveries, run(whole, deliveries))

    engine, final = Engine(rules=[rule], settings=judging), Final()
    saved: dict[str, SavedAlert] = {}
    covered: dict[str, int] = {}
    log: list[Transition] = []
    for number, delivery in enumerate(deliveries):
        if number in cuts:
            engine, said = restart(saved, rule, judging, final, covered, known_at(number) - 15)
            assert said == ()
        now = known_at(number)
        answer = delivery.answer(number)
        for verdicts in (engine.receive(answer, now), engine.tick(now + 30)):
            log += verdicts.transitions
            saved.update({alert.alert_id: alert for alert in verdicts.alerts})
        final.take(delivery)
        covered[answer.query.id] = max(covered.get(answer.query.id, 0), answer.asked.end)
    if len(deliveries) in cuts:
        engine, said = restart(saved, rule, judging, final, covered, known_at(len(deliveries)) - 15)
        assert said == ()
    assert settle(engine, deliveries, log) == expected


def test_the_oracle_fires_at_all() -> None:
    """A guard for the tests above: the oracle is not silent on an obvious incident."""
    world = oracle.World(width=20, first=20, last=100, values={20: 0.0, 40: 0.5, 60: 0.5, 80: 0.5, 100: 0.0})
    told = oracle.settled(world, rule(hold=40), forget_after=300)
    assert [(t.at, t.state) for t in told] == [(40, State.PENDING), (80, State.FIRING), (100, State.RESOLVED)]
