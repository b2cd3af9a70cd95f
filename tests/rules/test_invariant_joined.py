"""Invariant 3 for rules of several series: joins, pairs and shares settle alike however and whenever points come."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.rules import oracle, oracle_joined
from tests.rules.series import query
from tests.rules.streams import (
    OF,
    ROOMS,
    Delivery,
    Final,
    in_order,
    joined_rules,
    known_at,
    moving_rules,
    run,
    several_windows,
    shuffled,
)
from tests.rules.test_invariant_event_time import HOUR, SHORT, settle
from watcher.model import SavedAlert, Transition, fold
from watcher.rules.engine import Engine
from watcher.rules.rule import Rule
from watcher.rules.settings import Judging

SEVERAL_HUNDRED = settings(max_examples=120, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))

JOINS = (several_windows(), joined_rules())
PAIRS = (several_windows(counts=True), joined_rules(counts=True))
SHARES = (several_windows(rooms=True), joined_rules(share=True))
BASELINES = (several_windows(), moving_rules())
CLOCKS = (several_windows(), moving_rules(clocks=True))
OBJECTIVES = (several_windows(), moving_rules(burn=True))
BY_NAME = {
    "joins": JOINS,
    "pairs": PAIRS,
    "shares": SHARES,
    "baselines": BASELINES,
    "clocks": CLOCKS,
    "objectives": OBJECTIVES,
}
KINDS = {"several": ("joins", "pairs", "shares")} | {k: (k,) for k in ("baselines", "clocks", "objectives")}


def look_of(final: Final, rule: Rule) -> oracle.Look | None:
    """What the oracle judges, where anything was ever answered for."""
    shared = {OF[w].signal: final.world(w) for w in ("users", "channels", "delay") if w in final.firsts}
    if rule.share is not None:
        worlds = [{"users": shared["users"]} if "users" in shared else {} for _ in ROOMS]
        rooms = [
            oracle_joined.Place(rule, {**wide, OF[room].signal: final.world(room)})
            for room, wide in zip(ROOMS, worlds, strict=True)
            if room in final.firsts
        ]
        return oracle_joined.Shared(rule, rooms) if rooms else None
    main = {OF["main"].signal: final.world()} if "main" in final.firsts else {}
    place = oracle_joined.Place(rule, {**shared, **main})
    return oracle_joined.Alone(place) if place.sides() else None


def check(deliveries: Sequence[Delivery], rule: Rule, judging: Judging) -> list[Transition]:
    """The fold of what is emitted is what the oracle says of the final points."""
    final = Final()
    for delivery in deliveries:
        final.take(delivery)
    engine = Engine(rules=[rule], settings=judging)
    log = settle(engine, deliveries, run(engine, deliveries))
    assert not engine.stats.crashes
    look = look_of(final, rule)
    told = oracle.machine(look, rule, forget_after=judging.forget_after) if look is not None else []
    assert fold(log) == [(t.at, t.state) for t in told]
    assert [t.seq for t in log] == list(range(1, len(log) + 1))
    return log


def lateness(deliveries: Sequence[Delivery]) -> int:
    """How many windows behind the newest of any series a delivery begins, at worst."""
    newest, worst = 0, 0
    for delivery in deliveries:
        worst = max(worst, newest - delivery.start)
        newest = max(newest, delivery.start + len(delivery.windows))
    return worst


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", sorted(BY_NAME))
@SEVERAL_HUNDRED
@given(data=st.data())
def test_any_cut_order_delay_and_revision_settles_alike(kind: str, data: st.DataObject) -> None:
    """Answers of any length, in any order, revised, late or lost, fold to what the oracle says of the final points."""
    windows, rules = BY_NAME[kind]
    check(data.draw(shuffled(windows)), data.draw(rules), HOUR)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kinds", sorted(KINDS))
@SEVERAL_HUNDRED
@given(data=st.data())
def test_a_short_horizon_decides_as_it_goes_and_settles_alike(kinds: str, data: st.DataObject) -> None:
    """Deciding as it goes, the fold of looks in order is still what the oracle says of all points."""
    windows, rules = BY_NAME[data.draw(st.sampled_from(KINDS[kinds]))]
    deliveries = data.draw(in_order(windows))
    if lateness(deliveries) < 13:
        check(deliveries, data.draw(rules), SHORT)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kinds", sorted(KINDS))
@SEVERAL_HUNDRED
@given(data=st.data())
def test_a_restart_anywhere_changes_nothing(kinds: str, data: st.DataObject) -> None:
    """Stopped after any looks and restored from JSON each time, the log is the same to the last field."""
    windows, rules = BY_NAME[data.draw(st.sampled_from(KINDS[kinds]))]
    deliveries, rule = data.draw(in_order(windows)), data.draw(rules)
    if lateness(deliveries) >= 13:
        return
    cuts = {0} | data.draw(st.sets(st.integers(1, len(deliveries)), max_size=3))  # at 0 every engine begins
    whole = Engine(rules=[rule], settings=HOUR)
    queries = [query(series) for series in OF.values()]
    whole.restore((), queries=queries, covered={}, points=Final().points, now=known_at(0) - 15)
    expected = settle(whole, deliveries, run(whole, deliveries))

    engine, final = Engine(rules=[rule], settings=HOUR), Final()
    saved: dict[str, SavedAlert] = {}
    covered: dict[str, int] = {}
    log: list[Transition] = []
    for number in range(len(deliveries) + 1):
        if number in cuts:
            memories = [
                SavedAlert(alert_id=s.alert_id, rule=s.rule, body=json.loads(json.dumps(s.body)))
                for s in saved.values()
            ]
            engine = Engine(rules=[rule], settings=HOUR)
            queries = [query(series) for series in OF.values()]
            now = known_at(number) - 15
            said = engine.restore(memories, queries=queries, covered=covered, points=final.points, now=now)
            assert said.transitions == ()
        if number == len(deliveries):
            break
        now, answer = known_at(number), deliveries[number].answer(number)
        for verdicts in (engine.receive(answer, now), engine.tick(now + 30)):
            log += verdicts.transitions
            saved.update({alert.alert_id: alert for alert in verdicts.alerts})
        final.take(deliveries[number])
        covered[answer.query.id] = max(covered.get(answer.query.id, 0), answer.asked.end)
    assert settle(engine, deliveries, log) == expected
