"""What judging costs: counts that must hold. The figures are printed by tests/benchmarks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.rules.figures import AGGREGATES, cost_of_a_day, cost_of_a_look, many_rules
from tests.rules.series import START, W, answer, series
from watcher.rules import engine as engine_module
from watcher.rules import frame as frame_module
from watcher.rules.engine import Engine
from watcher.rules.settings import Judging


def counted(monkeypatch: pytest.MonkeyPatch, module: object, name: str) -> list[int]:
    """Count the calls of a function of ours."""
    calls, real = [0], getattr(module, name)

    def count(*args: Any, **kwargs: Any) -> Any:
        calls[0] += 1
        return real(*args, **kwargs)

    replacement: Callable[..., Any] = count
    monkeypatch.setattr(module, name, replacement)
    return calls


def test_aggregates_are_shared_and_quiet_rules_are_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand rules on a healthy series: one aggregate per kind and look, no state machine at all."""
    engine = Engine(rules=many_rules(1000, lowest=0.3), settings=Judging())
    engine.receive(answer(series("users"), "50x200"), 0.0)
    engine.receive(answer(series(), "1%x99"), 0.0)
    aggregates = counted(monkeypatch, frame_module, "rolling")
    judged = counted(monkeypatch, engine_module, "judge")
    engine.receive(answer(series(), "2%x8", start=START + 100 * W), 0.0)
    assert aggregates == [len(AGGREGATES)]
    assert judged == [0]


def test_an_answer_that_brings_nothing_new_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same windows with the same values: no frame is made."""
    engine = Engine(rules=many_rules(10, lowest=0.01), settings=Judging())
    engine.receive(answer(series(), "9%x99"), 0.0)
    frames = counted(monkeypatch, engine_module, "Frame")
    assert engine.receive(answer(series(), "9%x99"), 1.0).alerts == ()
    assert frames == [0]


@pytest.mark.serial
def test_ten_times_the_windows_cost_far_less_than_ten_times_as_much() -> None:
    """Whole columns: a day of rules is judged at a small share of what its windows would cost one look at a time."""
    day = cost_of_a_day(count=20)
    by_looks = cost_of_a_look(many_rules(10, lowest=0.3), looks=60)
    per_judgement_in_looks = by_looks.median / (9 * 10)
    assert day.seconds / day.judgements < per_judgement_in_looks / 4
