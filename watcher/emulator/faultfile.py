"""Faults of a scenario file, for every vendor: from shape to value, and what no single setting of one shows.

A vendor adds its kinds, which of them take which settings (`Setting`), and what its faults may be limited by; the rest
is the same for all, down to the words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields

from watcher.emulator.faults import Fault, FaultShape, Where
from watcher.errors import Problem
from watcher.yamlfile import Document, Loc


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting of some kinds of faults: its default, or None where it must be given, and its range."""

    kinds: tuple[str, ...]
    default: float | None
    low: float
    high: float


def fault(shape: FaultShape, kind: str, settings: Mapping[str, Setting], epoch: float) -> Fault:
    """The fault that a shape means; moments count from `epoch`."""

    def setting(name: str) -> float:
        value = getattr(shape, name)
        default = settings[name].default if kind in settings[name].kinds else None
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


def contradictions(
    document: Document, shape: FaultShape, kind: str, settings: Mapping[str, Setting], epoch: float, loc: Loc
) -> Iterator[Problem]:
    """Settings that a kind does not have, lacks or bends, and limits that exclude each other."""
    for name, setting in settings.items():
        value = getattr(shape, name)
        if value is not None and kind not in setting.kinds:
            yield document.problem((*loc, name), f"{kind} has no {name}", "remove it", at_key=True)
        elif value is None and kind in setting.kinds and setting.default is None:
            yield document.problem(loc, f"{kind} needs {name}", f"add `{name}:`")
        elif value is not None and not setting.low <= value <= setting.high:
            what = f"{name} is outside {setting.low:g} to {setting.high:g}"
            yield document.problem((*loc, name), what, "choose one inside")
    if kind == "slow" and shape.seconds is not None and shape.seconds < 0:
        yield document.problem((*loc, "seconds"), "an answer cannot come before its request", "write a positive number")
    if shape.text is not None and kind != "message":
        yield document.problem((*loc, "text"), f"{kind} has no text", "remove it", at_key=True)
    if shape.every is not None and shape.probability is not None:
        yield document.problem((*loc, "probability"), "every and probability exclude each other", "keep one of them")
    if shape.from_ and shape.until and shape.until.at(epoch) <= shape.from_.at(epoch):
        yield document.problem((*loc, "until"), "until is not after from", "mend one of them")
    if kind in ("clock_skew", "foreign") and (shape.every is not None or shape.probability is not None):
        what = f"{kind} has no every and no probability"
        yield document.problem(loc, what, "limit it with from and until")
