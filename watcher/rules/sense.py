"""What makes no sense in a rule although its types are right: each with its place in the file and what to do.

One rule here is about people rather than types: a ratio says nothing about how much stands behind it, and one bad phone
among three users is 33 %. So a rule on a ratio must name a minimum (`require` of users, channels or weight), and one
without is refused rather than warned of: whoever means "any number" can write `above: 0`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from watcher.clock import DAY, HOUR
from watcher.errors import Problem
from watcher.model import SIGNALS, Unit, Worse
from watcher.rules import template
from watcher.rules.rule import SLOT, WEIGHT
from watcher.rules.shapes import (
    NAME,
    PERCENTILE,
    BaselineShape,
    BurnShape,
    ObjectiveShape,
    Of,
    Pair,
    PartShape,
    RuleShape,
    Side,
    When,
    unknown_signal,
)
from watcher.rules.template import duration
from watcher.yamlfile import Document, Loc

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
_LONGEST_LOOK_BACK = DAY  # of an aggregate: every column is kept for as long
_SHORTEST_SPAN, _LONGEST_SPAN = HOUR, 7 * DAY  # of a trailing baseline
_WIDEST = 100  # spreads
_NO_CLEAR = "clear has a level, but what it is cleared from moves", "leave only `for` in it"
_UNITS = {
    Unit.RATIO: "shares of 1",
    Unit.SECONDS: "seconds",
    Unit.BYTES_PER_SECOND: "bytes a second",
    Unit.COUNT: "whole numbers",
}
_LEVELS = {Unit.RATIO: "%", Unit.SECONDS: "s"}  # the unit that a literal may carry, by the signal's unit


def problems_of(document: Document, loc: Loc, shape: RuleShape, *, pages: bool = True) -> list[Problem]:
    """Everything about one rule that its types do not say; where it `pages` nobody, a minimum may be missing."""
    check = _Check(document, loc, shape, pages)
    check.all()
    return check.problems


def aggregates(when: When) -> list[tuple[str, int | Of]]:
    """The aggregates that a condition names: there should be one."""
    named = (("last", when.last), ("avg", when.avg), ("min", when.min), ("max", when.max), ("of", when.of))
    found: list[tuple[str, int | Of]] = [(name, value) for name, value in named if value is not None]
    return found + [(name, value) for name, value in (when.model_extra or {}).items() if PERCENTILE.match(name)]


def limit_of(when: When) -> tuple[str, BaselineShape] | None:
    """The side and the baseline of a condition whose limit moves."""
    sides = (("above", when.above), ("below", when.below))
    return next(((name, limit) for name, limit in sides if isinstance(limit, BaselineShape)), None)


def texts_of(rule: RuleShape) -> Iterator[tuple[str, Loc, str]]:
    """Every template of a rule: annotation name, place, source."""
    own = (("summary", rule.summary), ("description", rule.description), ("runbook", rule.runbook))
    for name, text in own:
        if text is not None:
            yield name, (name,), text
    for name, text in rule.annotations.items():
        yield name, ("annotations", name), text


class _Measured(NamedTuple):
    """What a level is held against."""

    name: str
    unit: Unit


def _of_signal(name: str) -> _Measured:
    return _Measured(name, SIGNALS[name].unit)


@dataclass(slots=True)
class _Check:
    """Everything about one rule that its types do not say."""

    document: Document
    loc: Loc
    rule: RuleShape
    pages: bool
    problems: list[Problem] = field(default_factory=list)

    def all(self) -> None:
        self._where()
        self._form()
        for loc, part in self._parts():
            self._condition(loc, part)
        if self.rule.objective is not None:
            self._objective(self.rule.objective)
        self._share()
        self._clear()
        self._require()
        if self.pages:
            self._minimum()
        self._no_data()
        self._labels()
        self._texts()

    def _add(self, loc: Loc, what: str, remedy: str, *, at_key: bool = False) -> None:
        self.problems.append(self.document.problem(self.loc + loc, what, remedy, at_key=at_key))

    # ── conditions ──

    def _where(self) -> None:
        for name, values in self.rule.where:
            if values == ():
                self._add(("where", name), f"where.{name} is an empty list", "name a value, or leave the key out")

    def _form(self) -> None:
        """One condition, or a list of them."""
        rule = self.rule
        lists = [name for name, conditions in (("all", rule.all), ("any", rule.any)) if conditions is not None]
        single = [name for name in ("signal", "ratio", "when", "objective") if getattr(rule, name) is not None]
        if len(lists) == 2:
            self._add(("any",), "a rule has both all and any", "keep one of them", at_key=True)
        elif lists and single:
            what = f"{' and '.join(single)} beside {lists[0]}"
            self._add((single[0],), what, f"move it into {lists[0]}, or take {lists[0]} out", at_key=True)
        elif not lists:
            if rule.signal is None and rule.ratio is None:
                self._add((), "signal is missing", "add `signal:`, `ratio:`, `all:` or `any:`", at_key=True)
            if rule.when is None and rule.objective is None:
                self._add((), "when is missing", "add `when:`", at_key=True)
            elif rule.when is not None and rule.objective is not None:
                self._add(("objective",), "a rule has both when and objective", "keep one of them", at_key=True)

    def _parts(self) -> Iterator[tuple[Loc, PartShape]]:
        rule = self.rule
        for name, conditions in (("all", rule.all), ("any", rule.any)):
            for i, part in enumerate(conditions or ()):
                yield (name, i), part
        if rule.when is not None and rule.all is None and rule.any is None:
            yield (), PartShape(signal=rule.signal, ratio=rule.ratio, when=rule.when)

    def _subjects(self) -> Iterator[tuple[Loc, str | None, Pair | None]]:
        """What each condition is about."""
        for loc, part in self._parts():
            yield loc, part.signal, part.ratio
        if self.rule.objective is not None:
            yield (), self.rule.signal, self.rule.ratio

    def _condition(self, loc: Loc, part: PartShape) -> None:
        measured = self._measured(loc, part.signal, part.ratio)
        self._when((*loc, "when"), part.when, measured)
        if (moving := limit_of(part.when)) is not None:
            side, shape = moving
            self._baseline((*loc, "when"), side, shape, part, measured)
            if part.clear is not None:
                self._add((*loc, "clear"), *_NO_CLEAR, at_key=True)
        elif part.clear is not None:
            self._one_side((*loc, "clear"), part.clear, measured)
            self._healthy((*loc, "clear"), part.clear, part.when)

    def _measured(self, loc: Loc, signal: str | None, ratio: Pair | None) -> _Measured | None:
        """What a condition measures, where that is plain."""
        if signal is not None and ratio is not None:
            self._add((*loc, "ratio"), "a condition has both signal and ratio", "keep one of them", at_key=True)
            return None
        if ratio is not None:
            return self._pair((*loc, "ratio"), ratio)
        if signal is None:
            if loc:
                self._add(loc, "signal is missing", "add `signal:` or `ratio:`", at_key=True)
            return None
        return _of_signal(signal)

    def _baseline(self, loc: Loc, side: str, shape: BaselineShape, part: PartShape, measured: _Measured | None) -> None:
        """A limit that moves: what it can be of, and numbers that mean something."""
        at = (*loc, side)
        if part.ratio is not None:
            self._add(at, "a baseline of a pair of counts is not kept", "name one signal", at_key=True)
        averaged = [value for name, value in aggregates(part.when) if name == "avg" and isinstance(value, int)]
        if not averaged or averaged[0] < SLOT:
            what = f"{_words(at)} is made of averages of {duration(SLOT)}, and only the like can be held against it"
            self._add(at, what, f"write avg: {duration(SLOT)}, or longer", at_key=True)
        if shape.baseline and not _SHORTEST_SPAN <= shape.baseline <= _LONGEST_SPAN:
            what = f"{_words(at)}.baseline must be {duration(_SHORTEST_SPAN)} to {duration(_LONGEST_SPAN)}, or week"
            self._add((*at, "baseline"), what, "write it like 2h")
        for key in ("weeks", "time_zone"):
            if shape.baseline and getattr(shape, key) is not None:
                self._add((*at, key), f"{key} says nothing of a trailing baseline", "take it out", at_key=True)
        if not 0 < shape.spread <= _WIDEST:
            self._add((*at, "spread"), f"{_words(at)}.spread must be above 0 and at most {_WIDEST}", "write it like 4")
        if shape.at_least <= 0:
            self._add((*at, "at_least"), f"{_words(at)}.at_least must be above 0", "say how little would not matter")
        elif measured is not None:
            self._level((*at, "at_least"), shape.at_least, measured, above=False)

    def _objective(self, objective: ObjectiveShape) -> None:
        """A share that can be missed, of something that has a bad side, and burns that can be reached."""
        rule = self.rule
        measured = self._measured((), rule.signal, rule.ratio)
        name = rule.signal
        if name is not None and (SIGNALS[name].unit is not Unit.RATIO or SIGNALS[name].worse is Worse.CONTEXT):
            self._add(("signal",), f"{name} is no share of failures, so it has no objective", "use `when`")
        elif measured is not None and not 0 < objective.target < 1:
            remedy = "write it like 99.5%, the share that should be well"
            self._add(("objective", "target"), "objective.target must lie between 0% and 100%", remedy)
        elif measured is not None:
            for i, burn in enumerate(objective.burn):
                self._burn(("objective", "burn", i), burn, 1 - objective.target)

    def _burn(self, loc: Loc, burn: BurnShape, budget: float) -> None:
        if not 0 < burn.short < burn.long <= _LONGEST_LOOK_BACK:
            what = f"{_words(loc)} must have 0s < short < long <= 1d"
            self._add(loc, what, "write it like {long: 1h, short: 5m, factor: 14.4}")
        if burn.factor <= 0:
            self._add((*loc, "factor"), f"{_words(loc)}.factor must be above 0", "write it like 14.4")
        elif burn.factor * budget >= 1:
            what = f"{_words(loc)} can never be reached: {burn.factor:g} times {budget:.3g} is all there is"
            self._add((*loc, "factor"), what, f"write less than {1 / budget:.3g}")

    def _pair(self, loc: Loc, pair: Pair) -> _Measured:
        for key, signal in (("failed", pair.failed), ("total", pair.total)):
            if SIGNALS[signal].unit is not Unit.COUNT:
                remedy = "name what is counted" if SIGNALS[signal].unit is not Unit.RATIO else f"use `signal: {signal}`"
                self._add((*loc, key), f"ratio.{key} is {signal}, which is no count", remedy)
        if pair.failed == pair.total:
            self._add((*loc, "total"), "a count divided by itself is always 1", "name another total")
        return _Measured(f"{pair.failed}/{pair.total}", Unit.RATIO)

    def _when(self, loc: Loc, when: When, measured: _Measured | None) -> None:
        named = [name for name, _ in aggregates(when)]
        for name in when.model_extra or {}:
            if not PERCENTILE.match(name):
                near = difflib.get_close_matches(name, (*When.model_fields, "p50", "p95", "p99"), n=1)
                remedy = f"did you mean `{near[0]}`?" if near else "remove it"
                self._add((*loc, name), f"unknown key when.{name}", remedy, at_key=True)
        if len(named) != 1:
            what = f"when has {' and '.join(named)}" if named else "when has no aggregate"
            self._add(loc, what, "write exactly one of last: 1, avg|min|max|pNN: DURATION, of: {k, n}", at_key=True)
        for name, value in aggregates(when):
            if isinstance(value, int) and name != "last" and not 0 < value <= _LONGEST_LOOK_BACK:
                self._add((*loc, name), f"when.{name} must be longer than 0 and at most a day", "write it like 1m")
        if when.of is not None and when.of.k > when.of.n:
            self._add((*loc, "of"), f"of {when.of.n} windows never {when.of.k} hold", "make k at most n")
        self._one_side(loc, when, measured)

    def _one_side(self, loc: Loc, side: When | Side, measured: _Measured | None) -> None:
        if (side.above is None) == (side.below is None):
            has = "both above and below" if side.above is not None else "neither above nor below"
            self._add(loc, f"{_words(loc)} has {has}", "write one of them", at_key=True)
        if measured is not None:
            for name, value in (("above", side.above), ("below", side.below)):
                if not isinstance(value, BaselineShape):
                    self._level((*loc, name), value, measured, above=name == "above")

    def _level(self, loc: Loc, value: float | None, measured: _Measured, *, above: bool) -> None:
        """A level in the unit of what is measured, that values can be on the named side of."""
        if value is None:
            return
        name, unit = measured
        key, written = _words(loc), _literal(self.document, self.loc + loc)
        suffix = "%" if written.endswith("%") else "s" if written.endswith("s") else ""
        if suffix and suffix != _LEVELS.get(unit):
            named = {"%": "a percentage", "s": "a time"}[suffix]
            like = {Unit.RATIO: "it like 5%", Unit.SECONDS: "it like 400ms"}.get(unit, "a plain number")
            self._add(loc, f"{key} is {named}, but {name} is measured in {_UNITS[unit]}", f"write {like}")
        elif unit is Unit.RATIO and not 0 <= value <= 1:
            remedy = f"did you mean {value:g}%?" if 1 < value <= 100 and not suffix else "write it between 0% and 100%"
            self._add(loc, f"{key} is outside 0 to 1, where {name} lives", remedy)
        elif unit is Unit.RATIO and value == (1 if above else 0):
            self._add(loc, f"{key} can never be passed: {name} ends there", "choose another level")
        elif value < 0 or (value == 0 and not above):
            self._add(loc, f"{key} can never be passed: {name} is never negative", "choose another level")

    # ── what stands around them ──

    def _share(self) -> None:
        if self.rule.share is not None:
            self._level(("share", "above"), self.rule.share.above, _Measured("a share", Unit.RATIO), above=True)

    def _clear(self) -> None:
        """`clear` of the whole rule: a time, and a level where there is one thing that it can be held against."""
        clear, rule = self.rule.clear, self.rule
        if clear is None:
            return
        if clear.above is None and clear.below is None:
            if not clear.for_:
                self._add(("clear",), "clear says nothing", "give it a level, a `for`, or leave it out", at_key=True)
            return
        if rule.share is not None:
            self._one_side(("clear",), clear, _Measured("a share", Unit.RATIO))
            self._healthy(("clear",), clear, Side(above=rule.share.above), "share")
            return
        if rule.objective is not None or any(limit_of(part.when) for _, part in self._parts()):
            self._add(("clear",), *_NO_CLEAR, at_key=True)
            return
        if rule.all is not None or rule.any is not None:
            remedy = "give each condition its own `clear`, and leave only `for` here"
            self._add(("clear",), "clear has a level, but the rule has several conditions", remedy, at_key=True)
            return
        parts = [part for _, part in self._parts()]
        if parts:
            measured = _Measured("a ratio", Unit.RATIO) if parts[0].ratio else None
            measured = _of_signal(parts[0].signal) if parts[0].signal is not None else measured
            self._one_side(("clear",), clear, measured)
            self._healthy(("clear",), clear, parts[0].when)

    def _healthy(self, loc: Loc, clear: Side, when: When | Side, name: str = "when") -> None:
        """`clear` on the other side than `when`, and on the healthy side of it."""
        if clear.above is not None and clear.below is not None:
            return
        pairs = (("above", when.above, "below", clear.below), ("below", when.below, "above", clear.above))
        for side, level, other, back in pairs:
            if level is None or isinstance(level, BaselineShape):
                continue
            wrong = clear.above if side == "above" else clear.below
            if wrong is not None:
                self._add(loc, f"clear is {side}, as {name} is", f"write clear: {{{other}: …}}", at_key=True)
            elif back is not None and (back >= level if side == "above" else back <= level):
                remedy = f"make it {'lower' if side == 'above' else 'higher'} than {level:g}, or leave it out"
                self._add((*loc, other), f"clear.{other} is not on the healthy side of {name}.{side}", remedy)

    def _require(self) -> None:
        judged = {signal for _, signal, _ in self._subjects()}
        for signal, side in self.rule.require.items():
            loc: Loc = ("require", signal)
            if signal == WEIGHT:
                if self.rule.all is not None or self.rule.any is not None:
                    what = "require.weight beside several conditions does not say whose"
                    self._add(loc, what, "require users or channels", at_key=True)
                self._one_side(loc, side, _Measured("weight", Unit.COUNT))
                continue
            if signal not in SIGNALS:
                what, remedy = unknown_signal(signal)
                self._add(loc, what, remedy, at_key=True)
                continue
            if signal in judged:
                self._add(loc, f"require joins {signal} with itself", "use `when`", at_key=True)
            self._one_side(loc, side, _of_signal(signal))

    def _minimum(self) -> None:
        """A ratio without a number of users, channels or streams behind it pages for one bad phone."""
        counts = [WEIGHT, *(name for name, info in SIGNALS.items() if info.unit is Unit.COUNT)]
        require = self.rule.require
        if any(name in counts and (side.above is not None or side.below is None) for name, side in require.items()):
            return
        if any(name not in SIGNALS for name in require):
            return  # misspelt, and said so
        for loc, signal, ratio in self._subjects():
            is_ratio = ratio is not None or (signal and SIGNALS[signal].unit is Unit.RATIO)
            if is_ratio:
                name = signal or "ratio"
                key = "signal" if signal is not None else "ratio"
                what = f"{name} is a ratio with no minimum behind it: one bad user among three is 33%"
                remedy = "add `require: {users: {above: 20}}`, or `weight` where the vendor gives one"
                self._add((*loc, key), what, remedy, at_key=True)
                return

    def _no_data(self) -> None:
        rule = self.rule
        if rule.no_data is None:
            return
        if not rule.no_data.after:
            self._add(("no_data", "after"), "no_data.after is 0", "give the vendor some time, like 10m")
        if rule.all is not None or rule.any is not None or rule.ratio is not None or rule.share is not None:
            what = "no_data in a rule of several series does not say whose"
            self._add(("no_data",), what, "put it in a rule of one signal", at_key=True)
        elif rule.objective is not None or any(limit_of(part.when) for _, part in self._parts()):
            what = "no_data beside a baseline or an objective"
            self._add(("no_data",), what, "put it in a rule of this signal with a plain level", at_key=True)

    def _labels(self) -> None:
        for name, value in self.rule.labels.items():
            loc = ("labels", name)
            if not NAME.match(name) or name.startswith("__"):
                self._add(loc, f"{name[:60]!r} is not a label name", "use letters, digits and _", at_key=True)
            elif name in RESERVED_LABELS:
                self._add(loc, f"label {name} is set by the program", "choose another name", at_key=True)
            if not value or len(value) > 200:
                self._add(loc, f"label {name[:60]} should have 1 to 200 characters", "shorten it or leave it out")

    def _texts(self) -> None:
        for name, loc, text in texts_of(self.rule):
            if name in ("summary", "description", "runbook") and loc[0] == "annotations":
                self._add(loc, f"annotation {name} has its own key", f"write {name}: beside alert:", at_key=True)
            if not NAME.match(name):
                self._add(loc, f"{name[:60]!r} is not an annotation name", "use letters, digits and _", at_key=True)
            if (complaint := template.complaint(text, self.rule.labels)) is not None:
                self._add(loc, f"{'.'.join(map(str, loc))} cannot be rendered: {complaint}", "mend the template")


def _words(loc: Loc) -> str:
    """`all[1].when.above`"""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in loc).lstrip(".")


def _literal(document: Document, loc: Loc) -> str:
    """A scalar as it stands in the file, where it is text."""
    part: Any = document.data
    for step in loc:
        part = part[step]
    return part.strip() if isinstance(part, str) else ""
