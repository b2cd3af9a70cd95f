"""What is said more of an alert changes nothing that is judged (invariant 3): neither timeline nor fold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.rules.series import query
from tests.rules.series import rule as one_rule
from tests.rules.streams import OF, Delivery, known_at, rules, shuffled
from watcher.model import SavedAlert, State, Transition, fold
from watcher.rules.engine import Engine, Verdicts
from watcher.rules.rule import Rule
from watcher.rules.settings import Judging

JUDGING = Judging()


def judged(rule: Rule, deliveries: Sequence[Delivery], more: Sequence[bool]) -> tuple[list[Transition], Engine]:
    """The log where, after each delivery, more is said of what fires, or not."""
    engine, log = Engine(rules=[rule], settings=JUDGING), list[Transition]()
    for number, (delivery, speak) in enumerate(zip(deliveries, more, strict=True), start=1):
        log += engine.receive(delivery.answer(number), known_at(number)).transitions
        if speak:
            last = {entry.alert_id: entry for entry in log}
            log += [said for entry in last.values() for said in engine.say_more(entry).transitions]
    log += engine.tick(known_at(len(deliveries)) + 1000).transitions
    return log, engine


def by_alert(log: Sequence[Transition]) -> dict[str, list[Transition]]:
    found: dict[str, list[Transition]] = {}
    for entry in log:
        found.setdefault(entry.alert_id, []).append(entry)
    return found


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), rule=rules(), deliveries=shuffled())
def test_the_timeline_is_what_it_was(data: st.DataObject, rule: Rule, deliveries: list[Delivery]) -> None:
    """With updates after any delivery: the same changes, the same fold, and a log numbered without a hole."""
    more = data.draw(st.lists(st.booleans(), min_size=len(deliveries), max_size=len(deliveries)))
    plain, engine = judged(rule, deliveries, [False] * len(deliveries))
    told, other = judged(rule, deliveries, more)
    assert {a: fold(log) for a, log in by_alert(told).items()} == {a: fold(log) for a, log in by_alert(plain).items()}
    changes = [replace(entry, seq=0) for entry in told if entry.updates is None]
    assert changes == [replace(entry, seq=0) for entry in plain]
    for log in by_alert(told).values():
        assert [entry.seq for entry in log] == list(range(1, len(log) + 1))
    assert other.firing() == engine.firing()


def firing() -> tuple[Engine, Transition, list[SavedAlert]]:
    """An engine with one alert that fires."""
    engine = Engine(rules=[one_rule()], settings=JUDGING)
    verdicts = engine.receive(Delivery("main", 0, ((1.0, None),) * 30, 28).answer(1), known_at(1))
    entry = verdicts.transitions[-1]
    assert entry.state is State.FIRING
    return engine, entry, list(verdicts.alerts)


def test_more_is_said_of_what_was_said_last() -> None:
    """Under the next number, as the same state at the same time; a second time it is old news."""
    engine, entry, _ = firing()
    [said] = engine.say_more(replace(entry, annotations={"affected": "x"})).transitions
    assert (said.seq, said.updates, said.state, said.at) == (entry.seq + 1, entry.seq, State.FIRING, entry.at)
    assert said.annotations["affected"] == "x"
    assert engine.say_more(entry) == Verdicts()


def test_a_correction_is_not_made_twice() -> None:
    """An update of an entry that voided others voids nothing itself."""
    engine, entry, _ = firing()
    [said] = engine.say_more(replace(entry, retracts=entry.at)).transitions
    assert said.retracts is None


def test_numbers_go_on_after_a_restart() -> None:
    """The memory that goes with an update counts it: the next entry of the alert has a number of its own."""
    engine, entry, saved = firing()
    more = engine.say_more(entry)
    memories = {alert.alert_id: alert for alert in (*saved, *more.alerts)}
    again = Engine(rules=[], settings=JUDGING)
    ended = again.restore(
        list(memories.values()), queries=[query(OF["main"])], covered={}, points=lambda series, since: None, now=1e9
    )
    assert [(t.state, t.seq) for t in ended.transitions if t.alert_id == entry.alert_id] == [
        (State.RESOLVED, entry.seq + 2)
    ]
