"""The shapes of `targets`, `routes`, `operators` and `delivery`, and what must hold between them.

A key is accepted only where its behaviour exists: `repeat_interval` is refused as unknown rather than ignored, since an
on-call team would trust it. All routes that match speak (see `route`), so there is no `continue` key to forget.

Cross-checks return problems with places instead of raising, because the config composes several packages and reports
everything at once (design, invariant 10). A secret that has to be read from elsewhere is looked at only where the
caller says that it may be: `check` must run on a machine that has none of them (section 8).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import BeforeValidator

from watcher.alerts.send import acceptable
from watcher.clock import DAY
from watcher.errors import Problem
from watcher.secret import Secret, SecretMissing
from watcher.yamlfile import Document, Duration, Loc, Strict

SEVERITIES = ("critical", "warning", "info")

_TARGET = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}\Z")  # part of ids and a metric's label
_MAX_TARGETS = 50  # a task and a thread each


def _words(value: object) -> tuple[str, ...]:
    """One text or a list of them, as a tuple."""
    values = (value,) if isinstance(value, str) else value
    if isinstance(values, tuple) and values and all(isinstance(v, str) and v for v in values):
        return values
    raise ValueError("is not text or a list of text; write a name, or [one, other], in quotes where it looks like more")


Words = Annotated[tuple[str, ...], BeforeValidator(_words)]


class RouteSettings(Strict):
    """Which alerts go to which targets, and how they are gathered into messages on the way.

    `match` compares `severity`, `rule` or any label; every key must match, by equality with one of its values; an
    empty `match` takes everything. Alerts that agree in `group_by` share a message: the group's first message leaves
    after `group_wait`, the next no sooner than `group_interval` after it (seconds, run clock).
    """

    match: Mapping[str, Words] = {}
    to: Words
    group_by: tuple[str, ...] = ("rule", "project")
    group_wait: Duration = 0
    group_interval: Duration = 60


class DeliverySettings(Strict):
    """How long one attempt may take (real seconds) before it counts as hung, and when a message is given up."""

    deadline: Duration = 20
    give_up_after: Duration = 86_400


class AlertsSettings(Strict):
    """What a config says about messages. `operators` hear of the daemon's own troubles (default: the first route)."""

    targets: Mapping[str, Secret] = {}
    routes: tuple[RouteSettings, ...] = ()
    operators: tuple[str, ...] = ()
    delivery: DeliverySettings = DeliverySettings()

    def operator_targets(self) -> tuple[str, ...]:
        """Who hears of the daemon's own troubles."""
        return self.operators or (self.routes[0].to if self.routes else ())


def check(document: Document, settings: AlertsSettings, *, secrets: bool = False) -> list[Problem]:
    """What is wrong between the parts. With `secrets`, targets that come from elsewhere are read and checked too."""
    return [
        *_targets(document, settings, secrets),
        *_routes(document, settings),
        *_named(document, settings, ("operators",), settings.operators),
        *_delivery(document, settings.delivery),
    ]


def warnings(document: Document, settings: AlertsSettings) -> list[Problem]:
    """What is allowed and probably not meant."""
    found: list[Problem] = []
    used = {name for route in settings.routes for name in route.to} | set(settings.operators)
    for name in settings.targets:
        if name not in used:
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
    for name, url in settings.targets.items():
        loc: Loc = ("targets", name)
        if not _TARGET.match(name):
            what = f"{name!r} is not a target's name"
            found.append(document.problem(loc, what, "use letters, digits, - and _, at most 63", at_key=True))
        if not (secrets or url.kind == "literal"):
            continue
        try:
            accepted = acceptable(url)
        except SecretMissing as missing:
            found.append(document.problem(loc, f"target {name}: {missing}"))
            continue
        if not accepted:  # the text itself is never shown: most of it is a secret
            what = f"target {name} is not a URL that Apprise accepts"
            found.append(document.problem(loc, what, "see the service's page in Apprise's documentation"))
    return found


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
        if len(set(route.group_by)) != len(route.group_by):
            found.append(document.problem(("routes", index, "group_by"), "a label is named twice", "name it once"))
    return found


def _named(document: Document, settings: AlertsSettings, loc: Loc, names: tuple[str, ...]) -> list[Problem]:
    """Names at `loc` that are no targets."""
    return [
        document.problem((*loc, index), f"unknown target {name}", _nearest(name, tuple(settings.targets)))
        for index, name in enumerate(names)
        if name not in settings.targets
    ]


def _delivery(document: Document, delivery: DeliverySettings) -> list[Problem]:
    found: list[Problem] = []
    if not 1 <= delivery.deadline <= 300:
        found.append(document.problem(("delivery", "deadline"), "delivery.deadline is not 1s to 5m", "20s is usual"))
    if delivery.give_up_after < 60:
        what = "delivery.give_up_after is under a minute"
        found.append(document.problem(("delivery", "give_up_after"), what, "24h is usual"))
    return found


def _nearest(name: str, known: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean `{near[0]}`?" if near else f"use one of {', '.join(known) or 'the targets: there are none'}"
