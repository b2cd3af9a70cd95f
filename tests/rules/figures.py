"""What judging costs: figures for `make bench`, and the loads that the tests count on.

CPU seconds of this process, since the machine is shared; medians over looks, since a look in which memories are written
(twice an hour of event time) costs more than one in which none is.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tests.rules.series import START, W, answer, query, series
from watcher.model import Answer, Points, Series, Span
from watcher.rules.engine import Engine
from watcher.rules.rule import Aggregate, Kind, Level, Requirement, Rule
from watcher.rules.settings import Judging

AGGREGATES = (
    Aggregate(kind=Kind.AVG, seconds=60),
    Aggregate(kind=Kind.LAST),
    Aggregate(kind=Kind.MAX, seconds=120),
    Aggregate(kind=Kind.OF, k=2, n=3),
    Aggregate(kind=Kind.PERCENTILE, seconds=300, percent=95),
)


def many_rules(count: int, *, lowest: float) -> list[Rule]:
    """Rules of every kind on one series, their levels spread from `lowest` to 20 % above it."""
    found = []
    for i in range(count):
        level = lowest + 0.2 * i / count
        found.append(
            Rule(
                name=f"R{i}",
                signal="video_freeze_ratio",
                aggregate=AGGREGATES[i % len(AGGREGATES)],
                level=Level(above=True, value=level),
                hold=120,
                clear=Level(above=False, value=level * 0.6),
                clear_for=180,
                require=(Requirement(signal="users", level=Level(above=True, value=20)),),
                no_data_after=600,
            )
        )
    return found


@dataclass(frozen=True, slots=True)
class LookCost:
    """CPU seconds of one `receive` with nine new windows, and what was said in all looks."""

    median: float
    worst: float
    transitions: int


def cost_of_a_look(rules: Sequence[Rule], *, looks: int = 60) -> LookCost:
    """Feed a noisy series in looks of nine windows after a first of two hours; users are known before."""
    engine, rng = Engine(rules=rules, settings=Judging()), np.random.default_rng(1)
    noise = np.abs(rng.normal(0.02, 0.01, size=360 + 9 * looks))
    seconds: list[float] = []
    said = at = 0
    for look in range(looks):
        windows = 360 if look == 0 else 9
        start = START + at * W
        engine.receive(answer(series("users"), [50.0] * windows, start=start), float(start))
        brought = answer(series(), noise[at : at + windows].tolist(), start=start)
        begun = time.process_time()
        verdicts = engine.receive(brought, float(start + windows * W + 60))
        seconds.append(time.process_time() - begun)
        said += len(verdicts.transitions)
        at += windows
    return LookCost(statistics.median(seconds[1:]), max(seconds[1:]), said)


@dataclass(frozen=True, slots=True)
class DayCost:
    """CPU seconds of judging whole days, and what was said."""

    judgements: int
    seconds: float
    transitions: int


def day_of_series(number: int, rng: np.random.Generator) -> Answer:
    """A day of 20 s windows with four incidents, as one answer."""
    values = np.abs(rng.normal(0.02, 0.008, 4320))
    for _ in range(4):
        at, length = int(rng.integers(0, 4200)), int(rng.integers(3, 90))
        values[at : at + length] += rng.uniform(0.02, 0.15)
    of = Series("acme", "agora", f"project-{number}", "Native", "", "video_freeze_ratio")
    points = Points(series=of, width=W, start=START + W * np.arange(4320), value=values)
    end = START + 86_400
    return Answer(query=query(of), asked=Span(START, end), settled=end, points=(points,), received_at=float(end))


def cost_of_a_day(*, count: int = 1000, rules: int = 10) -> DayCost:
    """`count` series x 4,320 windows x `rules` rules (one-minute average, `for: 3m`), whole columns at once."""
    judged = [
        Rule(
            name=f"R{i}",
            signal="video_freeze_ratio",
            aggregate=Aggregate(kind=Kind.AVG, seconds=60),
            level=Level(above=True, value=0.03 + 0.01 * i),
            hold=180,
        )
        for i in range(rules)
    ]
    engine, rng = Engine(rules=judged, settings=Judging()), np.random.default_rng(1)
    seconds, said = 0.0, 0
    for number in range(count):
        brought = day_of_series(number, rng)
        begun = time.process_time()
        said += len(engine.receive(brought, brought.received_at).transitions)
        seconds += time.process_time() - begun
    return DayCost(count * 4320 * rules, seconds, said)
