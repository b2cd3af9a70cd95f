"""Rule packs: YAML as users write it (design, section 7), checked as a whole, made into frozen `Rule`s.

Two steps per rule. Shapes (`shapes`) say which keys exist and what type each has; then plain functions (`sense`) say
what makes no sense together: they need the document's places, the unit of the signal and the other packs. Each rule is
read on its own, so that a wrong type in one does not hide what is wrong with the next, and everything that is wrong
with all files comes as one `ConfigError` (invariant 10). One large pydantic model with validators was considered: it
stops judging a rule's sense at its first wrong type, and its validators do not know where they stand in the file.
(Here, too, the sense of one rule is judged once its types are right.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from watcher.clock import DAY
from watcher.errors import ConfigError, Problem, clip
from watcher.model import SIGNALS, Worse
from watcher.rules.hours import Hours, Weekly
from watcher.rules.rule import Aggregate, Baseline, Burn, By, Join, Kind, Level, Part, Place, Requirement, Rule, Share
from watcher.rules.sense import aggregates, limit_of, problems_of, texts_of
from watcher.rules.shapes import (
    PERCENTILE,
    BaselineShape,
    Of,
    PackShape,
    Pair,
    PartShape,
    RuleShape,
    Side,
    WeeklyShape,
    When,
)
from watcher.yamlfile import Document, Loc, load

MAX_RULES = 1_000
_WEEKS = 4  # that a seasonal baseline looks back on, unless told: one odd week moves a median of four little


def load_packs(paths: Sequence[Path], *, pages: bool = True) -> tuple[Rule, ...]:
    """The rules of all files and folders, in order. Raises `ConfigError` with every problem of every file.

    A folder stands for every `*.yaml` below it, except below folders named `tests` (tests of rules) or beginning with a
    dot (a mounted ConfigMap keeps its versions there). `pages` says that the rules are there to page somebody: rules
    that are only tried out may lack a minimum behind a ratio.
    """
    problems: list[Problem] = []
    rules: list[Rule] = []
    for file in _files(paths, problems):
        try:
            rules += read_pack(load(file), pages=pages)
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
    return Problem(*rule.place, f"alert {rule.name} is already at {known.place}", "give it another name")


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
    """What is not a folder of packs to load: tests, hidden ones, and packs that need a setting, which are named."""
    return any(part in ("tests", "optional") or part.startswith(".") for part in folder.parts)


def read_pack(document: Document, *, pages: bool = True) -> list[Rule]:
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
        found = problems_of(document, loc, shape, pages=pages)
        if found:
            problems += found
        else:
            rules.append(_rule(shape, document, loc))
    if problems:
        raise ConfigError(problems)
    return rules


# ── from shape to rule ───────────────────────────────────────────────────────────────────────────────────────────────


def _rule(shape: RuleShape, document: Document, loc: Loc) -> Rule:
    place = document.problem(loc, "")
    clear, share = shape.clear, shape.share
    lead, *others = _burns(shape) if shape.objective is not None else [_part(part) for part in shape.parts()]
    cleared = _level(clear) if clear is not None and (clear.above, clear.below) != (None, None) else None
    return Rule(
        name=shape.alert,
        signal=lead.signal,
        per=lead.per,
        aggregate=lead.aggregate,
        level=lead.level,
        clear=cleared if share is None and shape.when is not None else lead.clear,
        baseline=lead.baseline,
        burn=lead.burn,
        others=tuple(others),
        join=Join.ALL if shape.any is None and shape.objective is None else Join.ANY,
        share=None
        if share is None
        else Share(level=Level(above=True, value=share.above), at_least=share.at_least, by=By(share.by), clear=cleared),
        where={name: frozenset(values) for name, values in shape.where if values is not None},
        hold=shape.for_,
        keep_firing_for=shape.keep_firing_for,
        clear_for=clear.for_ if clear is not None else 0,
        require=tuple(Requirement(signal=name, level=_level(side)) for name, side in sorted(shape.require.items())),
        no_data_after=shape.no_data.after if shape.no_data is not None and shape.no_data.then == "alert" else None,
        hours=_hours(shape),
        severity=shape.severity,
        labels=dict(shape.labels),
        texts={name: text for name, _, text in texts_of(shape)},
        detect_within=shape.detect_within,
        place=Place(place.file, place.line, place.column),
    )


def _part(shape: PartShape) -> Part:
    """One condition. Its shape was checked: it has a signal or a pair, and one aggregate."""
    signal, per = _measured(shape.signal, shape.ratio)
    moving = limit_of(shape.when)
    return Part(
        signal=signal,
        per=per,
        aggregate=_aggregate(shape.when),
        level=_level(shape.when),
        clear=None if shape.clear is None else _level(shape.clear),
        baseline=None if moving is None else _baseline(moving[1]),
    )


def _measured(signal: str | None, ratio: Pair | None) -> tuple[str, str]:
    """The signal, and what it is divided by."""
    if ratio is not None:
        return ratio.failed, ratio.total
    assert signal is not None
    return signal, ""


def _level(side: When | Side) -> Level:
    above = side.above is not None
    value = side.above if above else side.below
    assert value is not None
    return Level(above=above, value=math.nan if isinstance(value, BaselineShape) else value)


def _baseline(shape: BaselineShape) -> Baseline:
    if shape.baseline:
        return Baseline(spread=shape.spread, at_least=shape.at_least, span=shape.baseline)
    return Baseline(
        spread=shape.spread,
        at_least=shape.at_least,
        period=7 * DAY,
        cycles=shape.weeks or _WEEKS,
        zone=shape.time_zone or "UTC",
    )


def _burns(shape: RuleShape) -> list[Part]:
    """One condition for each burn: an average past the share of failures at which the budget goes so fast."""
    assert shape.objective is not None
    signal, per = _measured(shape.signal, shape.ratio)
    above = bool(per) or SIGNALS[signal].worse is Worse.UP
    budget = 1 - shape.objective.target
    return [
        Part(
            signal=signal,
            per=per,
            aggregate=Aggregate(kind=Kind.AVG, seconds=burn.long),
            level=Level(above=above, value=burn.factor * budget if above else 1 - burn.factor * budget),
            burn=Burn(short=Aggregate(kind=Kind.AVG, seconds=burn.short), budget=budget),
        )
        for burn in shape.objective.burn
    ]


def _aggregate(when: When) -> Aggregate:
    ((name, value),) = aggregates(when)
    if isinstance(value, Of):
        return Aggregate(kind=Kind.OF, k=value.k, n=value.n)
    if name == "last":
        return Aggregate(kind=Kind.LAST)
    if (match := PERCENTILE.match(name)) is not None:
        return Aggregate(kind=Kind.PERCENTILE, seconds=value, percent=int(match[1]))
    return Aggregate(kind=Kind(name), seconds=value)


def _hours(shape: RuleShape) -> Hours | None:
    if not shape.active and not shape.mute:
        return None
    return Hours(active=tuple(map(_weekly, shape.active)), mute=tuple(map(_weekly, shape.mute)))


def _weekly(shape: WeeklyShape) -> Weekly:
    return Weekly(days=shape.days, start=shape.from_, end=shape.to, zone=shape.time_zone)
