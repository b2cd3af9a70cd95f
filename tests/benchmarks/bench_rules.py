"""What judging costs beside Debian's `vmalert -replay` on VictoriaMetrics: the same points, rules and alerts.

A thousand series of a day of 20-second windows, each with a few incidents, under ten rules on the average of a minute
with `for: 3m`. Values are whole millionths and levels are not a third of one, so no average lies on a level and the
order in which others add three numbers cannot matter.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.benchmarks.victoria import Firing, Replayed, replay
from tests.rules.series import START, W, query
from watcher.model import Answer, Points, Series, Span, State, Transition
from watcher.rules.engine import Engine
from watcher.rules.rule import Aggregate, Kind, Level, Rule
from watcher.rules.settings import Judging


@dataclass(frozen=True, slots=True)
class Judged:
    """What we fired, how many judgements that took, and the CPU seconds."""

    fired: frozenset[Firing]
    judgements: int
    seconds: float


def ten_rules(count: int = 10) -> list[Rule]:
    """Levels from 3 % up."""
    return [
        Rule(
            name=f"R{i}",
            signal="video_freeze_ratio",
            aggregate=Aggregate(kind=Kind.AVG, seconds=60),
            level=Level(above=True, value=0.0300001 + 0.01 * i),
            hold=180,
        )
        for i in range(count)
    ]


def days(count: int, *, windows: int = 4320, seed: int = 1) -> list[Points]:
    """Series with about four incidents a day, some of them short."""
    rng = np.random.default_rng(seed)
    found: list[Points] = []
    for number in range(count):
        values = np.abs(rng.normal(0.02, 0.008, windows))
        for _ in range(max(1, 4 * windows // 4320)):
            at, length = int(rng.integers(0, windows - 9)), int(rng.integers(3, 90))
            values[at : at + length] += rng.uniform(0.02, 0.15)
        series = Series("acme", "agora", f"project-{number}", "Native", "", "video_freeze_ratio")
        starts = START + W * np.arange(windows)
        found.append(Points(series=series, width=W, start=starts, value=np.round(values, 6).astype(np.float64)))
    return found


def judge(points: Sequence[Points], rules: Sequence[Rule]) -> Judged:
    """Through the daemon's evaluator, each series as one answer."""
    engine = Engine(rules=rules, settings=Judging())
    fired: set[Firing] = set()
    seconds = 0.0
    for at in range(0, len(points), 50):  # what was said is not kept, as the daemon does not keep it
        answers = [_answer(column) for column in points[at : at + 50]]
        log: list[Transition] = []
        begun = time.process_time()
        for answer in answers:
            log += engine.receive(answer, answer.received_at).transitions
        seconds += time.process_time() - begun
        fired |= set(firings(log))
    return Judged(frozenset(fired), sum(map(len, points)) * len(rules), seconds)


def _answer(column: Points) -> Answer:
    """A whole series, as one look brings it."""
    span = Span(int(column.start[0]), int(column.start[-1]) + W)
    brought = (column,)
    return Answer(query=query(column.series), asked=span, settled=span.end, points=brought, received_at=float(span.end))


def firings(log: Iterable[Transition]) -> list[Firing]:
    """The firing stretches of a log without corrections."""
    found: list[Firing] = []
    for entry in log:
        place = entry.rule, entry.labels["project"]
        if entry.state is State.FIRING:
            found.append((*place, entry.at, None))
        elif entry.state is State.RESOLVED:
            assert found[-1][:2] == place
            found[-1] = (*place, found[-1][2], entry.at)
    return found


def side_by_side(folder: Path, *, series: int, windows: int = 4320, rules: int = 10) -> tuple[Judged, Replayed]:
    """Both, on the same points and rules."""
    points, judged = days(series, windows=windows), ten_rules(rules)
    return judge(points, judged), replay(points, judged, folder)
