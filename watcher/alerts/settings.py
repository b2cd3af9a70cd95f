"""The shapes of what a config says about messages, from `targets` to `delivery`, and what must hold between them.

A key is accepted only where its behaviour exists, since an on-call team would trust it. All routes that match speak
(see `route`), so there is no `continue` key to forget.

Cross-checks return problems with places instead of raising, because the config composes several packages and reports
everything at once (design, invariant 10). A secret that has to be read from elsewhere is looked at only where the
caller says that it may be: `check` must run on a machine that has none of them (section 8).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import BeforeValidator, Field, model_validator

from watcher.alerts.affected import AffectedSettings
from watcher.alerts.hours import DAYS, Hours, Weekly
from watcher.alerts.limits import Flapping, Limits
from watcher.alerts.maintenance import Maintenance
from watcher.alerts.mutes import Inhibit
from watcher.alerts.send import acceptable
from watcher.alerts.targets import HeartbeatSettings, HttpTarget, TargetSettings, is_web, url_of
from watcher.clock import DAY, parse_rfc3339, wall_time
from watcher.errors import Problem
from watcher.secret import Secret, SecretMissing
from watcher.yamlfile import Document, Duration, Loc, Strict

SEVERITIES = ("critical", "warning", "info")

_TARGET = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}\Z")  # part of ids and a metric's label
_TIME = re.compile(r"([0-2][0-9]):([0-5][0-9])\Z")
_MAX_TARGETS = 50  # a task and a thread each


def _words(value: object) -> tuple[str, ...]:
    """One text or a list of them, as a tuple."""
    values = (value,) if isinstance(value, str) else value
    if isinstance(values, tuple) and values and all(isinstance(v, str) and v for v in values):
        return values
    raise ValueError("is not text or a list of text; write a name, or [one, other], in quotes where it looks like more")


Words = Annotated[tuple[str, ...], BeforeValidator(_words)]


def _clock_time(value: object) -> int:
    match = _TIME.match(value) if isinstance(value, str) else None
    if match is None or int(match[1]) * 60 + int(match[2]) > 1440:
        raise ValueError("is not a time of day; write it like 22:30, at most 24:00")
    return int(match[1]) * 60 + int(match[2])


def _zone(value: object) -> str:
    try:
        wall_time(0.0, value if isinstance(value, str) else "")
    except (ValueError, KeyError, OSError):
        raise ValueError("is not a time zone of this machine; write it like Europe/Berlin or UTC") from None
    return str(value)


def _days(value: object) -> tuple[str, ...]:
    days = _words(value)
    if unknown := [day for day in days if day not in DAYS]:
        raise ValueError(f"has no day {unknown[0]}; use {', '.join(DAYS)}")
    return days


class WeeklySettings(Strict):
    """Hours of the week; where `to` is not later than `from` they run past midnight, and `days` are their first."""

    days: Annotated[tuple[str, ...], BeforeValidator(_days)] = DAYS
    from_: Annotated[int, BeforeValidator(_clock_time)] = Field(default=0, alias="from")
    to: Annotated[int, BeforeValidator(_clock_time)] = 1440
    time_zone: Annotated[str, BeforeValidator(_zone)] = "UTC"

    def value(self) -> Weekly:
        days = frozenset(DAYS.index(day) for day in self.days)
        return Weekly(days=days, start=self.from_, end=self.to, zone=self.time_zone)


def _one_or_more(value: object) -> object:
    return (value,) if isinstance(value, Mapping) else value


Weeklies = Annotated[tuple[WeeklySettings, ...], BeforeValidator(_one_or_more)]


class RouteSettings(Strict):
    """Which alerts go to which targets, and how they are gathered into messages on the way.

    `match` compares `severity`, `rule` or any label; every key must match, by equality with one of its values; an
    empty `match` takes everything. Alerts that agree in `group_by` share a message: the group's first message leaves
    after `group_wait`, the next no sooner than `group_interval` after it (seconds, run clock). The route speaks in its
    `active` hours (none: always) but for those in `mute`; what still fires when they begin is said then.
    """

    match: Mapping[str, Words] = {}
    to: Words
    group_by: tuple[str, ...] = ("rule", "project")
    group_wait: Duration = 0
    group_interval: Duration = 60
    repeat_interval: Duration = 4 * 3600
    active: Weeklies = ()
    mute: Weeklies = ()

    def hours(self) -> Hours:
        return Hours(active=tuple(h.value() for h in self.active), mute=tuple(h.value() for h in self.mute))


class InhibitSettings(Strict):
    """Alerts that match `source` mute those that match `target` and agree with them in `equal` (see `mutes`)."""

    source: Mapping[str, Words] = {}
    target: Mapping[str, Words] = {}
    equal: tuple[str, ...] = ()
    beneath: bool = False

    def value(self) -> Inhibit:
        return Inhibit(source=self.source, target=self.target, equal=self.equal, beneath=self.beneath)


BENEATH = InhibitSettings(equal=("signal",), beneath=True)
"""The default: an alert about a whole project or product mutes those about its parts, on the same signal."""


def _instant(value: object) -> float:
    try:
        return parse_rfc3339(value if isinstance(value, str) else "")
    except ValueError:
        raise ValueError("is not an instant; write it like 2026-01-31T22:30:00Z") from None


class MaintenanceSettings(Strict):
    """A window in which matching alerts are not said: each week by the wall clock of a zone, or once, between instants.

    `from` and `to` are times of day; where `to` is not later the window runs past midnight, and `days` are those on
    which it begins. `starts` and `ends` are instants instead.
    """

    name: str
    match: Mapping[str, Words] = {}
    days: Annotated[tuple[str, ...], BeforeValidator(_days)] = DAYS
    from_: Annotated[int | None, BeforeValidator(_clock_time)] = Field(default=None, alias="from")
    to: Annotated[int | None, BeforeValidator(_clock_time)] = None
    time_zone: Annotated[str, BeforeValidator(_zone)] = "UTC"
    starts: Annotated[float | None, BeforeValidator(_instant)] = None
    ends: Annotated[float | None, BeforeValidator(_instant)] = None

    @model_validator(mode="after")
    def _one_form(self) -> MaintenanceSettings:
        daily, once = (self.from_, self.to), (self.starts, self.ends)
        complete = [form for form in (daily, once) if None not in form]
        if len(complete) != 1 or any(
            part is not None for form in (daily, once) if form not in complete for part in form
        ):
            raise ValueError("says not when; write either from and to, or starts and ends")
        if self.starts is not None and self.ends is not None and self.starts >= self.ends:
            raise ValueError("ends before it starts; swap them")
        return self

    def value(self) -> Maintenance:
        return Maintenance(
            name=self.name,
            match=self.match,
            span=None if self.starts is None or self.ends is None else (self.starts, self.ends),
            days=frozenset(DAYS.index(day) for day in self.days),
            start=self.from_ or 0,
            end=self.to or 0,
            zone=self.time_zone,
        )


class FlappingSettings(Strict):
    """An alert that begins so often within so long is flapping (see `flapping`); `beginnings: 0` turns that off."""

    beginnings: int = 4
    within: Duration = 3600


class DeliverySettings(Strict):
    """How long one attempt may take (real seconds) before it counts as hung, and when a message is given up.

    `max_per_hour` is the cap of each target: the last message that fits is a summary (see `pipeline`).
    """

    deadline: Duration = 20
    give_up_after: Duration = 86_400
    max_per_hour: int = 60


class AlertsSettings(Strict):
    """What a config says about messages. `operators` hear of the daemon's own troubles (default: the first route)."""

    targets: Mapping[str, TargetSettings] = {}
    routes: tuple[RouteSettings, ...] = ()
    operators: tuple[str, ...] = ()
    inhibit: tuple[InhibitSettings, ...] = (BENEATH,)
    maintenance: tuple[MaintenanceSettings, ...] = ()
    flapping: FlappingSettings = FlappingSettings()
    delivery: DeliverySettings = DeliverySettings()
    affected: AffectedSettings = AffectedSettings()

    def limits(self) -> Limits:
        """How much each target hears."""
        flapping = Flapping(beginnings=self.flapping.beginnings, within=float(self.flapping.within))
        return Limits(per_hour=self.delivery.max_per_hour, flapping=flapping)

    def operator_targets(self) -> tuple[str, ...]:
        """Who hears of the daemon's own troubles."""
        return self.operators or (self.routes[0].to if self.routes else ())


def check(document: Document, settings: AlertsSettings, *, secrets: bool = False) -> list[Problem]:
    """What is wrong between the parts. With `secrets`, targets that come from elsewhere are read and checked too."""
    return [
        *_targets(document, settings, secrets),
        *_routes(document, settings),
        *_named(document, settings, ("operators",), settings.operators),
        *_inhibits(document, settings),
        *_maintenance(document, settings),
        *_delivery(document, settings),
    ]


def warnings(document: Document, settings: AlertsSettings) -> list[Problem]:
    """What is allowed and probably not meant."""
    found: list[Problem] = []
    used = {name for route in settings.routes for name in route.to} | set(settings.operators)
    for name, target in settings.targets.items():
        if name not in used and not isinstance(target, HeartbeatSettings):
            what = f"target {name} is in no route"
            found.append(document.problem(("targets", name), what, "add it to a route or remove it", at_key=True))
    loc: Loc = ("routes",) if settings.routes else ()
    for severity in SEVERITIES:
        if not any(severity in route.match.get("severity", (severity,)) for route in settings.routes):
            what = f"no route takes alerts of severity {severity}"
            found.append(document.problem(loc, what, "nobody is told of them: add a route", at_key=True))
    return found


def _targets(document: Document, settings: AlertsSettings, secrets: bool) -> list[Problem]:
    found: list[Problem] = []
    if len(settings.targets) > _MAX_TARGETS:
        found.append(document.problem(("targets",), f"more than {_MAX_TARGETS} targets", "merge some", at_key=True))
    for name, target in settings.targets.items():
        loc: Loc = ("targets", name)
        if not _TARGET.match(name):
            what = f"{name!r} is not a target's name"
            found.append(document.problem(loc, what, "use letters, digits, - and _, at most 63", at_key=True))
        if secrets or url_of(target).kind == "literal":
            found += check_target(document, name, target)
    return found


def check_target(document: Document, name: str, target: Secret | HttpTarget) -> list[Problem]:
    """Whether the target's URL is one that can be spoken to. Reads the secret."""
    url = url_of(target)
    loc: Loc = ("targets", name)
    try:
        if acceptable(url) if isinstance(target, Secret) else is_web(url):
            return []
    except SecretMissing as missing:
        return [document.problem(loc, f"target {name}: {missing}")]
    if isinstance(target, Secret):  # the text itself is never shown: most of it is a secret
        what, remedy = (
            f"target {name} is not a URL that Apprise accepts",
            "see the service's page in Apprise's documentation",
        )
    else:
        what, remedy = f"target {name} is not a web address", "write it like https://example.com/path"
    return [document.problem(loc, what, remedy)]


def _routes(document: Document, settings: AlertsSettings) -> list[Problem]:
    found: list[Problem] = []
    for index, route in enumerate(settings.routes):
        found += _named(document, settings, ("routes", index, "to"), route.to)
        for severity in route.match.get("severity", ()):
            if severity not in SEVERITIES:
                found.append(
                    document.problem(
                        ("routes", index, "match", "severity"),
                        f"unknown severity {severity}",
                        _nearest(severity, SEVERITIES),
                    )
                )
        for key in ("group_wait", "group_interval"):
            if getattr(route, key) > DAY:
                found.append(document.problem(("routes", index, key), f"{key} is over a day", "1m is usual"))
        if 0 < route.repeat_interval < 60:
            what = "repeat_interval is under a minute"
            found.append(document.problem(("routes", index, "repeat_interval"), what, "4h is usual, 0 for never"))
        if len(set(route.group_by)) != len(route.group_by):
            found.append(document.problem(("routes", index, "group_by"), "a label is named twice", "name it once"))
    return found


def _named(document: Document, settings: AlertsSettings, loc: Loc, names: tuple[str, ...]) -> list[Problem]:
    """Names at `loc` that take no messages."""
    found: list[Problem] = []
    for index, name in enumerate(names):
        target = settings.targets.get(name)
        if target is None:
            remedy = _nearest(name, tuple(settings.targets))
            found.append(document.problem((*loc, index), f"unknown target {name}", remedy))
        elif isinstance(target, HeartbeatSettings):
            found.append(document.problem((*loc, index), f"{name} is a heartbeat", "name a target that takes messages"))
    return found


def _inhibits(document: Document, settings: AlertsSettings) -> list[Problem]:
    """An inhibition without any condition would let one alert mute all others."""
    return [
        document.problem(("inhibit", index), "mutes everything", "name source and target, or set beneath: true")
        for index, inhibit in enumerate(settings.inhibit)
        if not inhibit.beneath and not (inhibit.source and inhibit.target)
    ]


def _maintenance(document: Document, settings: AlertsSettings) -> list[Problem]:
    names = [window.name for window in settings.maintenance]
    return [
        document.problem(("maintenance", index, "name"), f"maintenance {name} exists twice", "give each its own name")
        for index, name in enumerate(names)
        if name in names[:index]
    ]


def _delivery(document: Document, settings: AlertsSettings) -> list[Problem]:
    found: list[Problem] = []
    delivery, flapping = settings.delivery, settings.flapping
    if not 2 <= delivery.max_per_hour <= 10_000:
        what = "delivery.max_per_hour is not 2 to 10,000"
        found.append(document.problem(("delivery", "max_per_hour"), what, "60 is usual"))
    if flapping.beginnings and not 2 <= flapping.beginnings <= 50:
        what = "flapping.beginnings is not 2 to 50"
        found.append(document.problem(("flapping", "beginnings"), what, "4 is usual, 0 for never"))
    if not 60 <= flapping.within <= DAY:
        found.append(document.problem(("flapping", "within"), "flapping.within is not 1m to 1d", "1h is usual"))
    if not 1 <= delivery.deadline <= 300:
        found.append(document.problem(("delivery", "deadline"), "delivery.deadline is not 1s to 5m", "20s is usual"))
    if delivery.give_up_after < 60:
        what = "delivery.give_up_after is under a minute"
        found.append(document.problem(("delivery", "give_up_after"), what, "24h is usual"))
    return found


def _nearest(name: str, known: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean `{near[0]}`?" if near else f"use one of {', '.join(known) or 'the targets: there are none'}"
