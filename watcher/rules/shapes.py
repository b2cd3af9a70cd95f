"""What a rule may look like in YAML: keys and types, nothing about sense (`sense`) and nothing about judging.

A rule has one condition (`signal` or `ratio`, with `when`), or several under `all:` or `any:`. Both are read into the
same `PartShape`, so that whoever checks or builds a rule knows only a list of conditions.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field

from watcher.errors import clip
from watcher.model import SIGNALS
from watcher.rules.hours import DAYS
from watcher.yamlfile import Duration, Quantity, Strict, duration, quantity

OWN_ALERTS = "Watcher"  # names that begin so are the daemon's own alerts, which have their own route
MAX_CONDITIONS = 8

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}\Z")
PERCENTILE = re.compile(r"p([1-9][0-9]?)\Z")
_TIME = re.compile(r"([0-9]{1,2}):([0-9]{2})\Z")


def _one_or_more(value: object) -> object:
    return (value,) if isinstance(value, str | Mapping) else value


def _alert_name(name: str) -> str:
    if not NAME.match(name):
        raise ValueError("is not a name; use up to 100 letters, digits and _, like VideoFreezing")
    if name.startswith(OWN_ALERTS):
        raise ValueError(f"begins with {OWN_ALERTS}, as the daemon's own do; choose another name")
    return name


def _signal_name(name: str) -> str:
    if name not in SIGNALS:
        what, remedy = unknown_signal(name)
        raise ValueError(f"is an {what}; {remedy}")
    return name


def unknown_signal(name: str) -> tuple[str, str]:
    """What is wrong, and what to do."""
    near = difflib.get_close_matches(name, SIGNALS, n=1)
    remedy = f"did you mean {near[0]}?" if near else f"use one of {', '.join(SIGNALS)}"
    return f"unknown signal {clip(name, 60)}", remedy


def _days(value: object) -> object:
    """Names of days as numbers from Monday, 0."""
    named = (value,) if isinstance(value, str) else value
    if not isinstance(named, tuple) or not named:
        raise ValueError("is not a list of days; write it like [mon, tue]")
    if unknown := [day for day in named if day not in DAYS]:
        raise ValueError(f"has no day {clip(str(unknown[0]), 20)}; use {', '.join(DAYS)}")
    return tuple(sorted({DAYS.index(day) for day in named}))


def _time_of_day(value: object) -> object:
    """Minutes since midnight; 24:00 is the end of a day."""
    match = _TIME.match(value) if isinstance(value, str) else None
    if match is None or int(match[2]) > 59 or int(match[1]) * 60 + int(match[2]) > 1440:
        raise ValueError('is not a time of day; write it like "22:30", at most "24:00"')
    return int(match[1]) * 60 + int(match[2])


def _several(conditions: tuple[PartShape, ...]) -> tuple[PartShape, ...]:
    if not 2 <= len(conditions) <= MAX_CONDITIONS:
        raise ValueError(f"lists {len(conditions)} conditions; list 2 to {MAX_CONDITIONS}, or write one without a list")
    return conditions


def _burns(burns: tuple[BurnShape, ...]) -> tuple[BurnShape, ...]:
    if not 1 <= len(burns) <= MAX_CONDITIONS:
        raise ValueError(
            f"lists {len(burns)} burns; list 1 to {MAX_CONDITIONS}, like {{long: 1h, short: 5m, factor: 14.4}}"
        )
    return burns


def _season(value: object) -> object:
    """Seconds of a trailing span; 0 for the same hour of the week."""
    if value == "week":
        return 0
    try:
        return duration(value)
    except ValueError:
        raise ValueError("is neither week nor a duration; write week, or a time like 2h") from None


def _limit(value: object) -> object:
    """A mapping is a baseline; anything else must be a number, and is told so in the same words as elsewhere."""
    return BaselineShape.model_validate(value) if isinstance(value, Mapping) else quantity(value)


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"is no time zone ({clip(name, 40)}); write it like Europe/Berlin or UTC") from None
    return name


AlertName = Annotated[str, AfterValidator(_alert_name)]
SignalName = Annotated[str, AfterValidator(_signal_name)]
Values = Annotated[tuple[str, ...], BeforeValidator(_one_or_more)]
ProviderNames = Annotated[tuple[Literal["agora", "vonage", "twilio"], ...], BeforeValidator(_one_or_more)]
Positive = Annotated[int, Field(ge=1)]
Season = Annotated[int, BeforeValidator(_season)]
TimeOfDay = Annotated[int, BeforeValidator(_time_of_day)]


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


class BaselineShape(Strict):
    """`above:` or `below:` what was normal: the same hour of the `week`, or the time just before."""

    baseline: Season
    at_least: Quantity
    spread: Quantity = 4.0
    weeks: Annotated[int, Field(ge=2, le=8)] | None = None
    time_zone: Annotated[str, AfterValidator(_zone)] | None = None


Limit = Annotated[Quantity | BaselineShape, BeforeValidator(_limit)]


class When(Strict):
    """`when:` — percentiles (`p95: 5m`) arrive as extra keys, whose names are checked with the sense."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)
    __pydantic_extra__: dict[str, Duration] = Field(init=False)

    last: Literal[1] | None = None
    avg: Duration | None = None
    min: Duration | None = None
    max: Duration | None = None
    of: Of | None = None
    above: Limit | None = None
    below: Limit | None = None


class Pair(Strict):
    """`ratio:` — failures divided by all."""

    failed: SignalName
    total: SignalName


class Side(Strict):
    """One side of a level."""

    above: Quantity | None = None
    below: Quantity | None = None


class Clear(Side):
    """`clear:` of a whole rule"""

    for_: Duration = Field(default=0, alias="for")


class BurnShape(Strict):
    """One entry of `burn:`"""

    long: Duration
    short: Duration
    factor: Quantity


class ObjectiveShape(Strict):
    """`objective:` instead of `when`: a share that should be kept, and how fast what it allows may be used up."""

    target: Quantity
    burn: Annotated[tuple[BurnShape, ...], AfterValidator(_burns)]


class PartShape(Strict):
    """One condition."""

    signal: SignalName | None = None
    ratio: Pair | None = None
    when: When
    clear: Side | None = None


class ShareShape(Strict):
    """`share:`"""

    above: Quantity
    at_least: Annotated[int, Field(ge=2, le=100_000)]
    by: Literal["account", "project", "product"] = "project"


class WeeklyShape(Strict):
    """One entry of `active:` or `mute:`; where `to` is not later than `from` it runs past midnight."""

    days: Annotated[tuple[int, ...], BeforeValidator(_days)] = tuple(range(7))
    from_: TimeOfDay = Field(default=0, alias="from")
    to: TimeOfDay = 1440
    time_zone: Annotated[str, AfterValidator(_zone)] = "UTC"


Weeklies = Annotated[tuple[WeeklyShape, ...], BeforeValidator(_one_or_more)]
Conditions = Annotated[tuple[PartShape, ...], AfterValidator(_several)]


class NoData(Strict):
    """`no_data:`"""

    after: Duration
    then: Literal["alert", "keep"]


class RuleShape(Strict):
    """One entry of `rules:`."""

    alert: AlertName
    signal: SignalName | None = None
    ratio: Pair | None = None
    when: When | None = None
    objective: ObjectiveShape | None = None
    all: Conditions | None = None
    any: Conditions | None = None
    share: ShareShape | None = None
    where: Where = Where()
    for_: Duration = Field(default=0, alias="for")
    keep_firing_for: Duration = 0
    clear: Clear | None = None
    require: dict[str, Side] = Field(default_factory=dict)
    no_data: NoData | None = None
    active: Weeklies = ()
    mute: Weeklies = ()
    severity: Literal["critical", "warning", "info"] = "warning"
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    detect_within: Duration | None = None
    summary: str | None = None
    description: str | None = None
    runbook: str | None = None

    def parts(self) -> tuple[PartShape, ...]:
        """Every condition, in the order written."""
        if self.when is not None:
            return (PartShape(signal=self.signal, ratio=self.ratio, when=self.when),)
        return self.all or self.any or ()


class PackShape(Strict):
    """A whole file."""

    rules: tuple[dict[str, Any], ...]
