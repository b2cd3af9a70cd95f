"""What the scenario files of all vendors have in common, from the shapes to the checks: names, faults, epochs.

A vendor lists the settings of its kinds of faults (`Settings`), what each fault may be limited by (`Places`) and the
names that exist; turning the shape into a `Fault`, and saying what is wrong with it, is the same for all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Annotated

from pydantic import Field

from watcher.emulator.faults import Fault, FaultShape, Moment, Where
from watcher.errors import Problem
from watcher.secret import Secret, SecretMissing
from watcher.yamlfile import Document, Loc

Name = Annotated[str, Field(min_length=1, max_length=200)]


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting of some kinds of faults: its default, or None where it must be given, and its range."""

    kinds: tuple[str, ...]
    default: float | None
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultRules:
    """What one vendor's faults may say.

    `settings` by name; `texts` are the kinds that take a `text`, which has no range. `places` are what a fault may be
    limited by; `timeless` kinds are limited by time and by the places given here, never by number.
    """

    settings: Mapping[str, Setting]
    texts: tuple[str, ...] = ()
    places: tuple[str, ...]
    timeless: Mapping[str, tuple[str, ...]]


def fault(shape: FaultShape, kind: str, epoch: float, rules: FaultRules) -> Fault:
    """The fault as used: instants resolved, defaults filled in."""

    def setting(name: str) -> float:
        known = rules.settings.get(name)
        value = getattr(shape, name)
        default = known.default if known is not None and kind in known.kinds else None
        return float(value if value is not None else default or 0.0)

    return Fault(
        kind=kind,
        since=shape.from_.at(epoch) if shape.from_ else float("-inf"),
        until=shape.until.at(epoch) if shape.until else float("inf"),
        every=shape.every,
        probability=shape.probability,
        where=Where(**{f.name: getattr(shape.where, f.name) for f in fields(Where)}),
        seconds=setting("seconds"),
        per_minute=setting("per_minute"),
        size=int(setting("bytes")),
        share=setting("share"),
        slots=int(setting("slots")),
        after=int(setting("after")),
        factor=setting("factor"),
        text=shape.text,
    )


_SETTINGS = ("seconds", "per_minute", "bytes", "share", "slots", "after", "factor")


def fault_problems(
    document: Document,
    shape: FaultShape,
    kind: str,
    *,
    rules: FaultRules,
    known: Mapping[str, Sequence[str]],
    epoch: float,
    loc: Loc,
) -> Iterator[Problem]:
    """What is wrong with one fault. `known` has the names that exist, for places that have names."""
    for name in _SETTINGS:
        setting, value = rules.settings.get(name), getattr(shape, name)
        if setting is None or kind not in setting.kinds:
            if value is not None:
                yield document.problem((*loc, name), f"{kind} has no {name}", "remove it", at_key=True)
        elif value is None and setting.default is None:
            yield document.problem(loc, f"{kind} needs {name}", f"add `{name}:`")
        elif value is not None and not setting.low <= value <= setting.high:
            what = f"{name} is outside {setting.low:g} to {setting.high:g}"
            yield document.problem((*loc, name), what, "choose one inside")
    if shape.text is not None and kind not in rules.texts:
        yield document.problem((*loc, "text"), f"{kind} has no text", "remove it", at_key=True)
    if kind == "slow" and shape.seconds is not None and shape.seconds < 0:
        yield document.problem((*loc, "seconds"), "an answer cannot come before its request", "write a positive number")
    if shape.every is not None and shape.probability is not None:
        yield document.problem((*loc, "probability"), "every and probability exclude each other", "keep one of them")
    if shape.from_ and shape.until and shape.until.at(epoch) <= shape.from_.at(epoch):
        yield document.problem((*loc, "until"), "until is not after from", "mend one of them")
    if kind in rules.timeless and (shape.every is not None or shape.probability is not None):
        what = f"{kind} has no every and no probability"
        yield document.problem(loc, what, "limit it with from and until")
    yield from _place_problems(document, shape, kind, rules=rules, known=known, loc=(*loc, "where"))


def _place_problems(
    document: Document,
    shape: FaultShape,
    kind: str,
    *,
    rules: FaultRules,
    known: Mapping[str, Sequence[str]],
    loc: Loc,
) -> Iterator[Problem]:
    allowed = rules.timeless.get(kind, rules.places)
    for f in fields(Where):
        values = getattr(shape.where, f.name)
        if values and f.name not in allowed:
            what = f"{kind} cannot be limited by {f.name}"
            yield document.problem((*loc, f.name), what, f"use {' or '.join(allowed)}", at_key=True)
        for value in values:
            if f.name in known and value not in known[f.name]:
                yield document.problem((*loc, f.name), f"unknown {f.name} {value}", "use " + ", ".join(known[f.name]))


def epoch_problems(document: Document, epoch: Moment | None) -> Iterator[Problem]:
    """An epoch that counts from itself."""
    if epoch is not None and epoch.relative:
        yield document.problem(("epoch",), "epoch counts from itself", "write it like 2026-01-31T10:00:00Z")


def missing_secret(document: Document, secret: Secret, loc: Loc) -> Iterator[Problem]:
    """A secret that is not there."""
    try:
        secret.resolve()
    except SecretMissing as missing:
        what, _, remedy = str(missing).partition(": ")
        yield document.problem(loc, what, remedy)


class Once:
    """Tells of what is used twice."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._seen: set[tuple[str, str]] = set()

    def use(self, what: str, value: str, loc: Loc) -> Iterator[Problem]:
        """A problem where the same `what` has had that value before."""
        if (what, value) in self._seen:
            yield self._document.problem(loc, f"{what} {value} is used twice", "give each its own")
        self._seen.add((what, value))
