"""What a moving limit is worth: rules with a baseline beside plain levels, on traces with weekly seasons and drift.

Eight weeks of one-minute windows a series. Each project has a level of its own, is worse in the busy hours of workdays
(one in ten is a holiday, and quiet), and drifts by up to half over the eight weeks. After four weeks come incidents of
15 to 60 minutes, 2.5 to 6 points high.
An episode that begins within an incident, or ten minutes after it, found it; any other is a false page. The plain level
that is best for all projects together is chosen afterwards, knowing the incidents, which no user can.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tests.rules.series import answer, query, rule, series
from watcher.clock import DAY, HOUR, MINUTE
from watcher.model import Answer, Points, Span, State
from watcher.rules.engine import Engine
from watcher.rules.rule import Aggregate, Baseline, Kind, Level, Rule
from watcher.rules.settings import Judging

WEEK = 7 * DAY
MONDAY = 1_767_571_200  # 2026-01-05T00:00:00Z
LEARNED, WEEKS = 4, 8
_FOUND = 10 * MINUTE  # after its end


@dataclass(frozen=True, slots=True)
class Trace:
    """One project: its windows, and when its incidents begin and end."""

    points: Points
    incidents: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Score:
    """What a rule did on all traces."""

    name: str
    false_pages: int
    missed: int
    incidents: int


def traces(count: int, *, seed: int = 7) -> list[Trace]:
    """Projects, each of its own kind."""
    return [_trace(np.random.default_rng([seed, number]), number) for number in range(count)]


def _trace(rng: np.random.Generator, number: int) -> Trace:
    starts = MONDAY + MINUTE * np.arange(WEEKS * WEEK // MINUTE)
    hour = (starts - MONDAY) // HOUR % 24
    day_of = (starts - MONDAY) // DAY
    works = (np.arange(WEEKS * 7) % 7 < 5) & (rng.random(WEEKS * 7) >= 0.1)
    busy = (hour >= 8) & (hour < 18) & works[day_of]
    level = rng.uniform(0.004, 0.02) * np.where(busy, rng.uniform(1.5, 3.5), 1.0)
    drift = 1 + rng.uniform(-0.5, 0.5) * (starts - MONDAY) / (WEEKS * WEEK)
    values = level * drift * np.exp(rng.normal(0, 0.25, len(starts)))
    incidents = []
    for day in range(LEARNED * 7, WEEKS * 7):
        if rng.random() < 0.3:
            begin = MONDAY + day * DAY + MINUTE * int(rng.integers(0, 22 * 60))
            span = Span(begin, begin + MINUTE * int(rng.integers(15, 61)))
            values[(starts >= span.start) & (starts < span.end)] += rng.uniform(0.025, 0.06)
            incidents.append(span)
    of = series()._replace(project=f"project-{number}")
    return Trace(Points(series=of, width=MINUTE, start=starts, value=np.round(values, 6)), tuple(incidents))


def five_minutes(level: float, name: str, baseline: Baseline | None = None) -> Rule:
    """On the average of five minutes, for five minutes, until ten minutes have been well."""
    five = Aggregate(kind=Kind.AVG, seconds=5 * MINUTE)
    plain = rule(name, aggregate=five, above=level, hold=5 * MINUTE, clear_for=10 * MINUTE)
    return plain if baseline is None else replace(plain, level=Level(above=True, value=float("nan")), baseline=baseline)


def weekly() -> Rule:
    """The same hour of the last four weeks."""
    return five_minutes(0, "week", Baseline(spread=4, at_least=0.02, period=WEEK, cycles=4))


def trailing() -> Rule:
    """The two hours before."""
    return five_minutes(0, "trailing", Baseline(spread=4, at_least=0.02, span=2 * HOUR))


def compare(found: Sequence[Trace]) -> list[Score]:
    """The vendor's line, the best plain level, and both baselines."""
    levels = [five_minutes(level, f"above {level:.1%}") for level in np.arange(0.02, 0.1001, 0.005).tolist()]
    scores = {one.name: one for one in score(found, [*levels, weekly(), trailing()])}
    best = min((scores[r.name] for r in levels), key=lambda one: (one.false_pages + one.missed, one.false_pages))
    named = (("plain, the vendor's 5 %", scores["above 5.0%"]), (f"plain, the best afterwards ({best.name})", best))
    return [
        *(replace(one, name=name) for name, one in named),
        replace(scores["trailing"], name="baseline, the two hours before"),
        replace(scores["week"], name="baseline, the same hour of four weeks"),
    ]


def score(found: Sequence[Trace], rules: Sequence[Rule]) -> list[Score]:
    """False pages and missed incidents of each rule, from the fifth week on."""
    false, missed = dict.fromkeys([r.name for r in rules], 0), dict.fromkeys([r.name for r in rules], 0)
    for trace in found:
        engine = Engine(rules=rules, settings=Judging())
        said = engine.receive(whole(trace.points), 0.0).transitions
        for one in rules:
            fired = [t.at for t in said if t.rule == one.name and t.state is State.FIRING]
            counted = [at for at in fired if at >= MONDAY + LEARNED * WEEK]
            within = [[at for at in counted if i.start < at <= i.end + _FOUND] for i in trace.incidents]
            false[one.name] += len(counted) - sum(map(len, within))
            missed[one.name] += sum(not each for each in within)
    total = sum(len(trace.incidents) for trace in found)
    return [Score(r.name, false[r.name], missed[r.name], total) for r in rules]


def whole(column: Points) -> Answer:
    """A series as one answer: how points are cut changes nothing (design, invariant 3)."""
    span = Span(int(column.start[0]), int(column.start[-1]) + column.width)
    looked = query(column.series, width=column.width)
    return Answer(query=looked, asked=span, settled=span.end, points=(column,), received_at=float(span.end))


def cost_of_a_look(one: Rule, *, looks: int = 40) -> float:
    """Median CPU seconds of a `receive` with nine windows of 20 s, four weeks of history behind it."""
    of, width, begin = series(), 20, MONDAY + LEARNED * WEEK
    starts = MONDAY + width * np.arange(LEARNED * WEEK // width)
    recorded = Points(series=of, width=width, start=starts, value=np.full(len(starts), 0.01))
    engine = Engine(rules=[one], settings=Judging())
    covered = {query(of).id: begin}
    engine.restore([], queries=[query(of)], covered=covered, points=lambda s, since: recorded, now=0.0)
    spent = []
    for look in range(looks):
        brought = answer(of, "1%x8", start=begin + look * 9 * width)
        before = time.process_time()
        engine.receive(brought, 0.0)
        spent.append(time.process_time() - before)
    return float(np.median(spent))
