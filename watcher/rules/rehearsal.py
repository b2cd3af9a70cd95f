"""Tests that users write of their rules: series in shorthand, and the states that alerts should be in at event times.

They run through the same `Engine` as the daemon, with every series answered for in full, so what passes here is what
pages there. A state at an event time is what the alert's log folds to up to then: how and when points were read does
not matter (invariant 3), so a test has no notion of it. promtool's unit tests are the model; its `interval` is `window`
here, and a timeline can be told in one line (`log`), which also catches what should not have happened.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import AfterValidator, BeforeValidator, Field

from watcher.clock import HOUR
from watcher.errors import ConfigError, Problem
from watcher.model import Answer, Points, Query, Series, Span, State, Transition
from watcher.rules.columns import MAX_WINDOWS
from watcher.rules.engine import Engine
from watcher.rules.pack import load_packs
from watcher.rules.rule import NO_DATA_REASON, Rule
from watcher.rules.settings import Judging
from watcher.rules.shapes import SignalName
from watcher.rules.shorthand import windows
from watcher.rules.template import duration
from watcher.yamlfile import Document, Duration, Loc, Quantity, Strict, load
from watcher.yamlfile import duration as seconds_of

MAX_TESTS = 1_000  # of one file
_START = 1_767_225_600  # 2026-01-01T00:00:00Z, a Thursday

_STATES = Literal["inactive", "pending", "firing", "resolved"]


# ── shapes ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _values(value: object) -> object:
    return windows(value) if isinstance(value, str) else windows(str(value))


def _instant(value: object) -> object:
    try:
        found = datetime.fromisoformat(value if isinstance(value, str) else "")
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise ValueError("is not an instant; write it like 2026-01-31T08:00:00Z")
    return int(found.timestamp())


def _width(seconds: int) -> int:
    if not 0 < seconds <= HOUR:
        raise ValueError("is not the length of a window; write it like 20s, at most 1h")
    return seconds


Windows = Annotated[list[float | None], BeforeValidator(_values)]
Width = Annotated[Duration, AfterValidator(_width)]


class LabelsShape(Strict):
    """Where the series of a file are, unless they say otherwise."""

    account: str = "test"
    provider: Literal["agora", "vonage", "twilio"] = "agora"
    project: str = "test"
    product: str = ""
    channel: str = ""


class SeriesShape(Strict):
    """One series: its windows from the test's start on."""

    signal: SignalName
    account: str | None = None
    provider: Literal["agora", "vonage", "twilio"] | None = None
    project: str | None = None
    product: str | None = None
    channel: str | None = None
    values: Windows
    weights: Windows | None = None
    history: Annotated[Windows, Field(min_length=1)] | None = None
    """Windows that were recorded again and again before the test starts, for as long as a baseline looks back."""


class ExpectShape(Strict):
    """One alert's state at one event time, and what was said when it entered it."""

    at: Duration
    alert: str
    labels: dict[str, str] = Field(default_factory=dict)
    state: _STATES
    value: Quantity | None = None
    users: Quantity | None = None
    unguarded: bool | None = None
    summary: str | None = None


class LogShape(Strict):
    """One alert's whole timeline: `pending 4m, firing 6m, resolved 12m`; empty for nothing at all."""

    alert: str
    labels: dict[str, str] = Field(default_factory=dict)
    says: str


class TestShape(Strict):
    """One test."""

    __test__ = False

    name: str
    start: Annotated[int, BeforeValidator(_instant)] = _START
    window: Width | None = None
    series: tuple[SeriesShape, ...]
    expect: tuple[ExpectShape, ...] = ()
    log: tuple[LogShape, ...] = ()


class FileShape(Strict):
    """A whole file. Paths of packs are relative to it."""

    rules: tuple[str, ...]
    window: Width = 20
    labels: LabelsShape = LabelsShape()
    tests: Annotated[tuple[TestShape, ...], Field(max_length=MAX_TESTS)]


# ── running ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Result:
    """How one test went: no failure is a pass."""

    name: str
    failures: tuple[Problem, ...]


def rehearse(path: Path) -> list[Result]:
    """Run the tests of one file. Raises `ConfigError` with everything that is wrong with it or the packs it names."""
    document = load(path)
    file = document.parse(FileShape)
    problems: list[Problem] = []
    if not file.tests:
        problems.append(document.problem(("tests",), "tests is empty", "write at least one test"))
    rules: tuple[Rule, ...] = ()
    try:
        rules = load_packs([path.parent / name for name in file.rules], pages=False)
    except ConfigError as error:
        problems += error.problems
    else:
        names = {rule.name for rule in rules}
        for i, test in enumerate(file.tests):
            problems += _nonsense(document, ("tests", i), test, names)
    if problems:
        raise ConfigError(problems)
    return [_Test(document, ("tests", i), file, test, rules).run() for i, test in enumerate(file.tests)]


def _nonsense(document: Document, loc: Loc, test: TestShape, names: set[str]) -> Iterator[Problem]:
    """What makes no sense in a test although its types are right."""
    if not test.expect and not test.log:
        yield document.problem(loc, f"test {test.name} expects nothing", "write `expect:` or `log:`", at_key=True)
    alerts: list[tuple[Loc, str]] = [(("expect", i), entry.alert) for i, entry in enumerate(test.expect)]
    alerts += [(("log", i), entry.alert) for i, entry in enumerate(test.log)]
    for place, alert in alerts:
        if alert not in names:
            what = f"no rule is named {alert[:100]}"
            yield document.problem((*loc, *place, "alert"), what, "name one of the packs' alerts")
    for i, line in enumerate(test.log):
        try:
            _timeline(line.says)
        except ValueError as error:
            yield document.problem((*loc, "log", i, "says"), str(error), "write it like pending 4m, firing 6m")
    for i, series in enumerate(test.series):
        if series.weights is not None and len(series.weights) != len(series.values):
            what = f"there are {len(series.weights)} weights for {len(series.values)} windows"
            yield document.problem((*loc, "series", i, "weights"), what, "write one for each")


def _timeline(text: str) -> list[tuple[int, str]]:
    """`pending 4m, firing 6m` as seconds and states. Raises `ValueError`."""
    found: list[tuple[int, str]] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        state, _, at = part.partition(" ")
        if state not in list(State):
            raise ValueError(f"{state[:40]!r} is no state")
        try:
            found.append((seconds_of(at.strip()), state))
        except ValueError:
            raise ValueError(f"{at[:40]!r} is not a duration") from None
    return found


class _Test:
    """One test being run."""

    def __init__(self, document: Document, loc: Loc, file: FileShape, test: TestShape, rules: Sequence[Rule]) -> None:
        self._document = document
        self._loc = loc
        self._test = test
        self._width = test.window if test.window is not None else file.window
        self._labels = file.labels
        self._rules = rules

    def run(self) -> Result:
        """Judge, and compare with what was expected."""
        logs = self._judge()
        failures = [*self._states(logs), *self._timelines(logs)]
        return Result(self._test.name, tuple(failures))

    def _judge(self) -> dict[str, list[Transition]]:
        """Everything that is said, by alert, once nothing is waited for any more."""
        settings = Judging()
        engine = Engine(rules=self._rules, settings=settings)
        answers = [self._answer(shape) for shape in self._test.series]
        queries = [answer.query for answer in answers]
        now = max((answer.received_at for answer in answers), default=0.0)
        past = {a.query.series[0]: s.history for a, s in zip(answers, self._test.series, strict=True) if s.history}
        covered = {a.query.id: a.asked.start for a in answers if a.query.series[0] in past}
        engine.restore([], queries=queries, covered=covered, points=partial(self._recorded, past), now=now)
        said = [t for answer in answers for t in engine.receive(answer, now).transitions]
        for _ in range(2):  # what is judged after one wait may wait for something else
            now += settings.undecided_for + 1
            said += engine.tick(now).transitions
        logs: dict[str, list[Transition]] = {}
        for transition in said:
            logs.setdefault(transition.alert_id, []).append(transition)
        return {identity: _standing(log) for identity, log in logs.items()}

    def _recorded(self, past: Mapping[Series, Sequence[float | None]], series: Series, since: int) -> Points | None:
        """What the store would hold of a series: its history, repeated so that it ends where the test starts."""
        history = past.get(series)
        if history is None:
            return None
        width, end = self._width, self._test.start // self._width
        grid = np.arange(max(since // width, end - MAX_WINDOWS), end, dtype=np.int64)
        cycle = np.array([np.nan if value is None else value for value in history], dtype=np.float64)
        values = cycle[(grid - end) % len(cycle)]
        known = ~np.isnan(values)
        return Points(series=series, width=width, start=grid[known] * width, value=values[known])

    def _answer(self, shape: SeriesShape) -> Answer:
        given = {name: value for name in LabelsShape.model_fields if (value := getattr(shape, name)) is not None}
        series = Series(**{**self._labels.model_dump(), **given}, signal=shape.signal)
        start, width = self._test.start // self._width * self._width, self._width
        kept = [i for i, value in enumerate(shape.values) if value is not None]
        weights = None
        if shape.weights is not None:
            told = [shape.weights[i] for i in kept]
            weights = np.array([np.nan if w is None else w for w in told], dtype=np.float64)
        points = Points(
            series=series,
            width=width,
            start=np.array([start + i * width for i in kept], dtype=np.int64),
            value=np.array([shape.values[i] for i in kept], dtype=np.float64),
            weight=weights,
        )
        end = start + len(shape.values) * width
        query = Query(
            id="/".join(series),
            account=series.account,
            series=(series,),
            pools=(),
            width=width,
            delay=0.0,
            reach=float(end - start),
        )
        asked = Span(start, end)
        return Answer(query=query, asked=asked, settled=end, points=(points,), received_at=float(end))

    # ── comparing ──

    def _states(self, logs: Mapping[str, Sequence[Transition]]) -> Iterator[Problem]:
        for i, expected in enumerate(self._test.expect):
            at = self._test.start + expected.at
            found = _matching(logs, expected.alert, expected.labels)
            told = {identity: [t for t in log if t.at <= at] for identity, log in found.items()}
            heads = [log[-1] for log in told.values() if log]
            wanted = [t for t in heads if t.state == expected.state]
            is_so = bool(wanted) if State(expected.state) is not State.INACTIVE else len(wanted) == len(heads)
            loc: Loc = ("expect", i)
            when = f"at {duration(expected.at)} {_called(expected.alert, expected.labels)}"
            if not is_so:
                states = ", ".join(sorted({str(t.state) for t in heads})) or "inactive"
                yield self._failure((*loc, "state"), f"{when} is {states}, not {expected.state}{self._story(found)}")
                continue
            for key, was, want in _facts(expected, wanted):
                yield self._failure((*loc, key), f"{when} has {key} {was}, not {want}")

    def _timelines(self, logs: Mapping[str, Sequence[Transition]]) -> Iterator[Problem]:
        for i, expected in enumerate(self._test.log):
            wanted = [(self._test.start + at, state) for at, state in _timeline(expected.says)]
            found = _matching(logs, expected.alert, expected.labels)
            told = [[(t.at, str(t.state)) for t in log] for log in found.values()]
            if wanted in told or (not wanted and not told):
                continue
            what = f"{_called(expected.alert, expected.labels)} does not go so{self._story(found)}"
            yield self._failure(("log", i, "says"), what)

    def _story(self, found: Mapping[str, Sequence[Transition]]) -> str:
        """The whole timelines of what was found, for whoever has to mend the test."""
        told = [
            ", ".join(f"{t.state} {duration(t.at - self._test.start)}" for t in log) for log in list(found.values())[:3]
        ]
        return f" ({'; '.join(told)})" if told else " (nothing was said of it)"

    def _failure(self, loc: Loc, what: str) -> Problem:
        return self._document.problem(self._loc + loc, f"{self._test.name}: {what}")


def _standing(log: Sequence[Transition]) -> list[Transition]:
    """The entries of a log that were not taken back, without those that change nothing."""
    standing: list[Transition] = []
    for entry in log:
        if entry.retracts is not None:
            standing = [e for e in standing if e.at < entry.retracts]
        if (standing[-1].state if standing else State.INACTIVE) != entry.state:
            standing.append(entry)
    return standing


def _matching(
    logs: Mapping[str, Sequence[Transition]], alert: str, labels: Mapping[str, str]
) -> dict[str, Sequence[Transition]]:
    """The alerts of a rule that have these labels. Silence (`reason`) is another alert: it is found by its label."""
    silent = labels.get("reason") == NO_DATA_REASON
    return {
        identity: log
        for identity, log in logs.items()
        if log
        and log[0].rule == alert
        and ("reason" in log[0].labels) == silent
        and labels.items() <= dict(log[0].labels).items()
    }


def _facts(expected: ExpectShape, found: Sequence[Transition]) -> Iterator[tuple[str, object, object]]:
    """What was said otherwise than expected: key, what it was, what it should be."""
    for key in ("value", "users", "unguarded", "summary"):
        want = getattr(expected, key)
        if want is None:
            continue
        was = [t.annotations.get("summary") if key == "summary" else getattr(t, key) for t in found]
        if not any(_same(one, want) for one in was):
            yield key, was[0] if was else None, want


def _same(was: object, want: object) -> bool:
    if isinstance(was, float | int) and isinstance(want, float):
        return math.isclose(was, want, rel_tol=1e-9, abs_tol=1e-12)
    return was == want


def _called(alert: str, labels: Mapping[str, str]) -> str:
    told = ", ".join(f"{name}={value}" for name, value in sorted(labels.items()))
    return f"{alert}{{{told}}}" if told else alert
