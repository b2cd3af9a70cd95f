"""Rule packs: YAML as users write it (design, section 7), checked as a whole, made into frozen `Rule`s.

Two steps per rule. Shapes (pydantic) say which keys exist and what type each has; then plain functions say what makes
no sense together: they need the document's places, the unit of the signal and the other packs. Each rule is read on its
own, so that a wrong type in one does not hide what is wrong with the next, and everything that is wrong with all files
comes as one `ConfigError` (invariant 10). One large pydantic model with validators was considered: it stops judging a
rule's sense at its first wrong type, and its validators do not know where they stand in the file. (Here, too, the sense
of one rule is judged once its types are right.)
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field

from watcher.clock import DAY
from watcher.errors import ConfigError, Problem, clip
from watcher.model import SIGNALS, Unit
from watcher.rules import template
from watcher.rules.rule import Aggregate, Kind, Level, Requirement, Rule
from watcher.yamlfile import Document, Duration, Loc, Quantity, Strict, load

OWN_ALERTS = "Watcher"  # names that begin so are the daemon's own alerts, which have their own route
MAX_RULES = 1_000
_LONGEST_LOOK_BACK = DAY  # of an aggregate: every column is kept for as long

RESERVED_LABELS = template.RESERVED | {
    "account",
    "provider",
    "project",
    "product",
    "channel",
    "signal",
    "rule",
    "severity",
    "reason",
    "alertname",
}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}\Z")
_PERCENTILE = re.compile(r"p([1-9][0-9]?)\Z")
_UNITS = {
    Unit.RATIO: "shares of 1",
    Unit.SECONDS: "seconds",
    Unit.BYTES_PER_SECOND: "bytes a second",
    Unit.COUNT: "whole numbers",
}
_LEVELS = {Unit.RATIO: "%", Unit.SECONDS: "s"}  # the unit that a literal may carry, by the signal's unit


# ── shapes ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _one_or_more(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _alert_name(name: str) -> str:
    if not _NAME.match(name):
        raise ValueError("is not a name; use up to 100 letters, digits and _, like VideoFreezing")
    if name.startswith(OWN_ALERTS):
        raise ValueError(f"begins with {OWN_ALERTS}, as the daemon's own do; choose another name")
    return name


def _signal_name(name: str) -> str:
    if name not in SIGNALS:
        what, remedy = _unknown_signal(name)
        raise ValueError(f"is an {what}; {remedy}")
    return name


def _unknown_signal(name: str) -> tuple[str, str]:
    """What is wrong, and what to do."""
    near = difflib.get_close_matches(name, SIGNALS, n=1)
    remedy = f"did you mean {near[0]}?" if near else f"use one of {', '.join(SIGNALS)}"
    return f"unknown signal {clip(name, 60)}", remedy


AlertName = Annotated[str, AfterValidator(_alert_name)]
SignalName = Annotated[str, AfterValidator(_signal_name)]
Values = Annotated[tuple[str, ...], BeforeValidator(_one_or_more)]
ProviderNames = Annotated[tuple[Literal["agora", "vonage", "twilio"], ...], BeforeValidator(_one_or_more)]
Positive = Annotated[int, Field(ge=1)]


class Where(Strict):
    """`where:` — which series a rule judges. An empty text matches series without that label."""

    provider: ProviderNames | None = None
    account: Values | None = None
    project: Values | None = None
    product: Values | None = None
    channel: Values | None = None


class Of(Strict):
    """`of: {k, n}`"""

    k: Positive
    n: Annotated[int, Field(ge=1, le=1000)]


class When(Strict):
    """`when:` — percentiles (`p95: 5m`) arrive as extra keys, whose names are checked below."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)
    __pydantic_extra__: dict[str, Duration] = Field(init=False)

    last: Literal[1] | None = None
    avg: Duration | None = None
    min: Duration | None = None
    max: Duration | None = None
    of: Of | None = None
    above: Quantity | None = None
    below: Quantity | None = None


class Side(Strict):
    """One side of a level."""

    above: Quantity | None = None
    below: Quantity | None = None


class Clear(Side):
    """`clear:`"""

    for_: Duration = Field(default=0, alias="for")


class NoData(Strict):
    """`no_data:`"""

    after: Duration
    then: Literal["alert", "keep"]


class RuleShape(Strict):
    """One entry of `rules:`."""

    alert: AlertName
    signal: SignalName
    where: Where = Where()
    when: When
    for_: Duration = Field(default=0, alias="for")
    keep_firing_for: Duration = 0
    clear: Clear | None = None
    require: dict[str, Side] = Field(default_factory=dict)
    no_data: NoData | None = None
    severity: Literal["critical", "warning", "info"] = "warning"
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    detect_within: Duration | None = None
    summary: str | None = None
    description: str | None = None
    runbook: str | None = None


class PackShape(Strict):
    """A whole file."""

    rules: tuple[dict[str, Any], ...]


# ── loading ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def load_packs(paths: Sequence[Path]) -> tuple[Rule, ...]:
    """The rules of all files and folders, in order. Raises `ConfigError` with every problem of every file.

    A folder stands for every `*.yaml` below it, except below folders named `tests` (tests of rules) or beginning with a
    dot (a mounted ConfigMap keeps its versions there).
    """
    problems: list[Problem] = []
    rules: list[Rule] = []
    for file in _files(paths, problems):
        try:
            rules += read_pack(load(file))
        except ConfigError as error:
            problems += error.problems
    first: dict[str, Rule] = {}
    for rule in rules:
        known = first.setdefault(rule.name, rule)
        if known is not rule:
            problems.append(_elsewhere(rule, known))
    if len(rules) > MAX_RULES:
        problems.append(Problem(str(paths[0]), 0, 0, f"there are {len(rules)} rules", f"keep at most {MAX_RULES}"))
    if problems:
        raise ConfigError(problems)
    return tuple(rules)


def _elsewhere(rule: Rule, known: Rule) -> Problem:
    file, line = rule.place.rsplit(":", 1)
    return Problem(file, int(line), 5, f"alert {rule.name} is already at {known.place}", "give it another name")


def _files(paths: Sequence[Path], problems: list[Problem]) -> list[Path]:
    found: dict[Path, Path] = {}
    for path in paths:
        try:
            is_folder = path.is_dir()
        except OSError as error:
            problems.append(Problem(clip(str(path)), 0, 0, f"cannot be read ({error.strerror})", "name a file"))
            continue
        if is_folder:
            files = [p for p in sorted(path.rglob("*.yaml")) if not _is_aside(p.relative_to(path).parent)]
            if not files:
                problems.append(Problem(str(path), 0, 0, "holds no *.yaml", "name a rule pack or a folder of them"))
        else:
            files = [path]
        for file in files:
            found.setdefault(file.resolve(), file)
    return list(found.values())


def _is_aside(folder: Path) -> bool:
    return any(part == "tests" or part.startswith(".") for part in folder.parts)


def read_pack(document: Document) -> list[Rule]:
    """The rules of one file. Raises `ConfigError` with every problem of it."""
    pack = document.parse(PackShape)
    problems: list[Problem] = []
    rules: list[Rule] = []
    if not pack.rules:
        problems.append(document.problem(("rules",), "rules is empty", "write at least one rule"))
    for i in range(len(pack.rules)):
        loc: Loc = ("rules", i)
        try:
            shape = document.parse(RuleShape, loc)
        except ConfigError as error:
            problems += error.problems
            continue
        check = _Check(document, loc, shape)
        check.all()
        if check.problems:
            problems += check.problems
        else:
            rules.append(_rule(shape, document, loc))
    if problems:
        raise ConfigError(problems)
    return rules


# ── what makes no sense together ─────────────────────────────────────────────────────────────────────────────────────


@dataclass(slots=True)
class _Check:
    """Everything about one rule that its types do not say."""

    document: Document
    loc: Loc
    rule: RuleShape
    problems: list[Problem] = field(default_factory=list)

    def all(self) -> None:
        self._where()
        self._when()
        self._clear()
        self._require()
        self._no_data()
        self._labels()
        self._texts()

    def _add(self, loc: Loc, what: str, remedy: str, *, at_key: bool = False) -> None:
        self.problems.append(self.document.problem(self.loc + loc, what, remedy, at_key=at_key))

    def _where(self) -> None:
        for name, values in self.rule.where:
            if values == ():
                self._add(("where", name), f"where.{name} is an empty list", "name a value, or leave the key out")

    def _when(self) -> None:
        when, aggregates = self.rule.when, [name for name, _ in _aggregates(self.rule.when)]
        for name in when.model_extra or {}:
            if not _PERCENTILE.match(name):
                near = difflib.get_close_matches(name, (*When.model_fields, "p50", "p95", "p99"), n=1)
                remedy = f"did you mean `{near[0]}`?" if near else "remove it"
                self._add(("when", name), f"unknown key when.{name}", remedy, at_key=True)
        if len(aggregates) != 1:
            what = f"when has {' and '.join(aggregates)}" if aggregates else "when has no aggregate"
            self._add(
                ("when",), what, "write exactly one of last: 1, avg|min|max|pNN: DURATION, of: {k, n}", at_key=True
            )
        for name, value in _aggregates(when):
            if isinstance(value, int) and name != "last" and not 0 < value <= _LONGEST_LOOK_BACK:
                self._add(("when", name), f"when.{name} must be longer than 0 and at most a day", "write it like 1m")
        if when.of is not None and when.of.k > when.of.n:
            self._add(("when", "of"), f"of {when.of.n} windows never {when.of.k} hold", "make k at most n")
        self._one_side(("when",), when, self.rule.signal)

    def _one_side(self, loc: Loc, side: When | Side, signal: str) -> None:
        if (side.above is None) == (side.below is None):
            has = "both above and below" if side.above is not None else "neither above nor below"
            self._add(loc, f"{'.'.join(map(str, loc))} has {has}", "write one of them", at_key=True)
        self._level((*loc, "above"), side.above, signal, above=True)
        self._level((*loc, "below"), side.below, signal, above=False)

    def _level(self, loc: Loc, value: float | None, signal: str, *, above: bool) -> None:
        """A level in the unit of its signal, that values can be on the named side of."""
        if value is None:
            return
        unit, key = SIGNALS[signal].unit, ".".join(map(str, loc))
        written = _literal(self.document, self.loc + loc)
        suffix = "%" if written.endswith("%") else "s" if written.endswith("s") else ""
        if suffix and suffix != _LEVELS.get(unit):
            named = {"%": "a percentage", "s": "a time"}[suffix]
            like = {Unit.RATIO: "it like 5%", Unit.SECONDS: "it like 400ms"}.get(unit, "a plain number")
            self._add(loc, f"{key} is {named}, but {signal} is measured in {_UNITS[unit]}", f"write {like}")
        elif unit is Unit.RATIO and not 0 <= value <= 1:
            remedy = f"did you mean {value:g}%?" if 1 < value <= 100 and not suffix else "write it between 0% and 100%"
            self._add(loc, f"{key} is outside 0 to 1, where {signal} lives", remedy)
        elif unit is Unit.RATIO and value == (1 if above else 0):
            self._add(loc, f"{key} can never be passed: {signal} ends there", "choose another level")
        elif value < 0 or (value == 0 and not above):
            self._add(loc, f"{key} can never be passed: {signal} is never negative", "choose another level")

    def _clear(self) -> None:
        clear, when = self.rule.clear, self.rule.when
        if clear is None:
            return
        if clear.above is None and clear.below is None:
            if not clear.for_:
                self._add(("clear",), "clear says nothing", "give it a level, a `for`, or leave it out", at_key=True)
            return
        self._one_side(("clear",), clear, self.rule.signal)
        if clear.above is not None and clear.below is not None:
            return
        pairs = (("above", when.above, "below", clear.below), ("below", when.below, "above", clear.above))
        for side, level, other, back in pairs:
            if level is None:
                continue
            wrong = clear.above if side == "above" else clear.below
            if wrong is not None:
                self._add(("clear",), f"clear is {side}, as when is", f"write clear: {{{other}: …}}", at_key=True)
            elif back is not None and (back >= level if side == "above" else back <= level):
                remedy = f"make it {'lower' if side == 'above' else 'higher'} than {level:g}, or leave it out"
                self._add(("clear", other), f"clear.{other} is not on the healthy side of when.{side}", remedy)

    def _require(self) -> None:
        for signal, side in self.rule.require.items():
            loc: Loc = ("require", signal)
            if signal not in SIGNALS:
                what, remedy = _unknown_signal(signal)
                self._add(loc, what, remedy, at_key=True)
                continue
            if signal == self.rule.signal:
                self._add(loc, f"require joins {signal} with itself", "use `when`", at_key=True)
            self._one_side(loc, side, signal)

    def _no_data(self) -> None:
        if self.rule.no_data is not None and not self.rule.no_data.after:
            self._add(("no_data", "after"), "no_data.after is 0", "give the vendor some time, like 10m")

    def _labels(self) -> None:
        for name, value in self.rule.labels.items():
            loc = ("labels", name)
            if not _NAME.match(name) or name.startswith("__"):
                self._add(loc, f"{name[:60]!r} is not a label name", "use letters, digits and _", at_key=True)
            elif name in RESERVED_LABELS:
                self._add(loc, f"label {name} is set by the program", "choose another name", at_key=True)
            if not value or len(value) > 200:
                self._add(loc, f"label {name[:60]} should have 1 to 200 characters", "shorten it or leave it out")

    def _texts(self) -> None:
        for name, loc, text in _texts(self.rule):
            if name in ("summary", "description", "runbook") and loc[0] == "annotations":
                self._add(loc, f"annotation {name} has its own key", f"write {name}: beside alert:", at_key=True)
            if not _NAME.match(name):
                self._add(loc, f"{name[:60]!r} is not an annotation name", "use letters, digits and _", at_key=True)
            if (complaint := template.complaint(text, self.rule.labels)) is not None:
                self._add(loc, f"{'.'.join(map(str, loc))} cannot be rendered: {complaint}", "mend the template")


def _literal(document: Document, loc: Loc) -> str:
    """A scalar as it stands in the file, where it is text."""
    part: Any = document.data
    for step in loc:
        part = part[step]
    return part.strip() if isinstance(part, str) else ""


def _aggregates(when: When) -> list[tuple[str, int | Of]]:
    named = (("last", when.last), ("avg", when.avg), ("min", when.min), ("max", when.max), ("of", when.of))
    found: list[tuple[str, int | Of]] = [(name, value) for name, value in named if value is not None]
    return found + [(name, value) for name, value in (when.model_extra or {}).items() if _PERCENTILE.match(name)]


def _texts(rule: RuleShape) -> Iterator[tuple[str, Loc, str]]:
    """Every template of a rule: annotation name, place, source."""
    own = (("summary", rule.summary), ("description", rule.description), ("runbook", rule.runbook))
    for name, text in own:
        if text is not None:
            yield name, (name,), text
    for name, text in rule.annotations.items():
        yield name, ("annotations", name), text


# ── from shape to rule ───────────────────────────────────────────────────────────────────────────────────────────────


def _rule(shape: RuleShape, document: Document, loc: Loc) -> Rule:
    place = document.problem(loc, "")
    clear = shape.clear
    return Rule(
        name=shape.alert,
        signal=shape.signal,
        where={name: frozenset(values) for name, values in shape.where if values is not None},
        aggregate=_aggregate(shape.when),
        level=_level(shape.when),
        hold=shape.for_,
        keep_firing_for=shape.keep_firing_for,
        clear=_level(clear) if clear is not None and (clear.above, clear.below) != (None, None) else None,
        clear_for=clear.for_ if clear is not None else 0,
        require=tuple(Requirement(signal=name, level=_level(side)) for name, side in sorted(shape.require.items())),
        no_data_after=shape.no_data.after if shape.no_data is not None and shape.no_data.then == "alert" else None,
        severity=shape.severity,
        labels=dict(shape.labels),
        texts={name: text for name, _, text in _texts(shape)},
        detect_within=shape.detect_within,
        place=f"{place.file}:{place.line}",
    )


def _level(side: When | Side) -> Level:
    if side.above is not None:
        return Level(above=True, value=side.above)
    assert side.below is not None
    return Level(above=False, value=side.below)


def _aggregate(when: When) -> Aggregate:
    ((name, value),) = _aggregates(when)
    if isinstance(value, Of):
        return Aggregate(kind=Kind.OF, k=value.k, n=value.n)
    if name == "last":
        return Aggregate(kind=Kind.LAST)
    if (match := _PERCENTILE.match(name)) is not None:
        return Aggregate(kind=Kind.PERCENTILE, seconds=value, percent=int(match[1]))
    return Aggregate(kind=Kind(name), seconds=value)
