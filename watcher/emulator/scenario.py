"""Scenarios of the Agora emulator: a YAML file and its frozen result.

What decides is the file alone: seed, traffic, incidents, faults. Nothing here reads a clock; relative moments count
from the `epoch` that the caller passes (usually when the emulator starts), or from the file's own.
Signals go by the vendor's metric names (dossier, section 4), because this side of the wire knows no other.
Everything wrong with a file is told at once, with its place.

The format, with every setting, is in docs/emulator.md, its shape in `shapes`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from watcher.emulator.settings import (
    Once,
    epoch_problems,
    fault,
    fault_problems,
    missing_secret,
)
from watcher.emulator.shapes import FAULTS, AccountShape, IncidentShape, ProjectShape, ScenarioShape
from watcher.emulator.traffic import GROUPS
from watcher.emulator.world import (
    CALL_METRICS,
    ENDPOINTS,
    HEALTHY,
    INSIGHT_METRICS,
    PLANS,
    PRODUCTS,
    QUALITY_METRICS,
    USAGE_METRICS,
    Account,
    Answers,
    Calls,
    Channel,
    Incident,
    Project,
    Quota,
    Scenario,
)
from watcher.errors import ConfigError, Problem
from watcher.yamlfile import Document, Loc, load, loads


def read(path: Path | str, *, epoch: float) -> Scenario:
    """The scenario in a file. Raises `ConfigError` with everything that is wrong."""
    return _scenario(load(path), epoch)


def reads(text: str, *, epoch: float, name: str = "<scenario>") -> Scenario:
    """The scenario in a text; `name` stands for the file in problems. Raises `ConfigError`."""
    return _scenario(loads(text, name), epoch)


def _scenario(document: Document, epoch: float) -> Scenario:
    shape = document.parse(ScenarioShape)
    zero = epoch if shape.epoch is None else shape.epoch.seconds
    problems = list(_contradictions(document, shape, zero))
    if problems:
        raise ConfigError(problems)
    accounts = tuple(_account(account) for account in shape.accounts)
    products = {project.name: tuple(project.peaks) for account in accounts for project in account.projects}
    return Scenario(
        seed=shape.seed,
        epoch=zero,
        jitter=shape.jitter,
        amended_after=shape.amended_after,
        accounts=accounts,
        incidents=tuple(_incident(incident, zero, products) for incident in shape.incidents),
        faults=tuple(fault(f, f.kind, zero, FAULTS) for f in shape.faults),
    )


def _account(shape: AccountShape) -> Account:
    return Account(
        name=shape.name,
        customer_id=shape.customer_id,
        customer_secret=shape.customer_secret,
        limits=shape.limits.over(PLANS[shape.plan]),
        quota=Quota(**shape.quota.model_dump()),
        answers=Answers(**shape.answers.model_dump()),
        projects=tuple(_project(project) for project in shape.projects),
    )


def _project(shape: ProjectShape) -> Project:
    peaks = {"Native": shape.products.native, "WebRTC": shape.products.webrtc}
    return Project(
        name=shape.name,
        app_id=shape.app_id,
        peaks={product: peak.peak_users for product, peak in peaks.items() if peak is not None},
        day=shape.day.day(),
        users_per_channel=shape.users_per_channel,
        calls=Calls(**shape.calls.model_dump()),
        channels=tuple(
            Channel(name=c.name, share=c.share, uids={"Native": c.uids.native, "WebRTC": c.uids.webrtc})
            for c in shape.channels
        ),
        healthy={**HEALTHY, **shape.healthy.levels()},
    )


def _incident(shape: IncidentShape, epoch: float, products: Mapping[str, tuple[str, ...]]) -> Incident:
    start = shape.start.at(epoch)
    return Incident(
        project=shape.project,
        products=shape.products or products[shape.project],
        channel=shape.channel,
        start=start,
        end=start + shape.duration,
        levels=shape.levels.levels(),
        group=next(iter(shape.where.items()), None),
    )


def _contradictions(document: Document, shape: ScenarioShape, epoch: float) -> Iterator[Problem]:
    """What no single value shows: references, sums, and settings that do not go together."""
    yield from epoch_problems(document, shape.epoch)
    projects: dict[str, ProjectShape] = {}
    once = Once(document)
    for a, account in enumerate(shape.accounts):
        yield from once.use("account", account.name, ("accounts", a, "name"))
        yield from once.use("customer_id", account.customer_id, ("accounts", a, "customer_id"))
        yield from missing_secret(document, account.customer_secret, ("accounts", a, "customer_secret"))
        for p, project in enumerate(account.projects):
            loc: Loc = ("accounts", a, "projects", p)
            yield from once.use("project", project.name, (*loc, "name"))
            yield from once.use("app_id", project.app_id, (*loc, "app_id"))
            yield from _project_contradictions(document, project, loc)
            projects.setdefault(project.name, project)
    for i, incident in enumerate(shape.incidents):
        yield from _incident_contradictions(document, incident, projects, ("incidents", i))
    known = {
        "account": [account.name for account in shape.accounts],
        "project": list(projects),
        "endpoint": sorted(ENDPOINTS),
        "metric": sorted({*USAGE_METRICS, *QUALITY_METRICS, *CALL_METRICS, *INSIGHT_METRICS}),
        "product": PRODUCTS,
    }
    for f, one in enumerate(shape.faults):
        yield from fault_problems(document, one, one.kind, rules=FAULTS, known=known, epoch=epoch, loc=("faults", f))


def _project_contradictions(document: Document, project: ProjectShape, loc: Loc) -> Iterator[Problem]:
    if project.products.native is None and project.products.webrtc is None:
        yield document.problem((*loc, "products"), f"project {project.name} has no product", "add Native or WebRTC")
    names: set[str] = set()
    uids: set[tuple[str, int]] = set()
    for c, channel in enumerate(project.channels):
        place: Loc = (*loc, "channels", c)
        if channel.name in names:
            yield document.problem((*place, "name"), f"channel {channel.name} is used twice", "give each its own")
        names.add(channel.name)
        for product, numbers in (("Native", channel.uids.native), ("WebRTC", channel.uids.webrtc)):
            for uid in numbers:
                if (channel.name, uid) in uids:
                    yield document.problem((*place, "uids", product), f"uid {uid} is used twice", "keep one of them")
                uids.add((channel.name, uid))
    if sum(channel.share for channel in project.channels) > 1 + 1e-9:
        yield document.problem((*loc, "channels"), "shares are more than 100% together", "lower some")


def _incident_contradictions(
    document: Document, incident: IncidentShape, projects: Mapping[str, ProjectShape], loc: Loc
) -> Iterator[Problem]:
    project = projects.get(incident.project)
    if project is None:
        known = ", ".join(projects)
        yield document.problem((*loc, "project"), f"unknown project {incident.project}", f"use one of: {known}")
        return
    has = {"Native": project.products.native, "WebRTC": project.products.webrtc}
    for product in incident.products:
        if has[product] is None:
            what = f"project {incident.project} has no {product}"
            yield document.problem((*loc, "products"), what, "drop it or add it to the project")
    if incident.channel and incident.channel not in {channel.name for channel in project.channels}:
        what = f"project {incident.project} has no channel {incident.channel}"
        yield document.problem((*loc, "channel"), what, "name it under the project's channels")
    for dimension, value in incident.where.items():
        if value not in GROUPS[dimension]:
            yield document.problem((*loc, "where"), f"no user has {dimension} {value}", f"use {GROUPS[dimension][0]}")
        if incident.channel:
            yield document.problem((*loc, "where"), "where and channel exclude each other", "keep one of them")
        if incident.levels.users is not None:
            yield document.problem((*loc, "where"), "userCount cannot be limited by where", "use another incident")
    if not incident.levels.levels():
        yield document.problem((*loc, "levels"), "levels are empty", "add a metric such as `videoFreezeRate: 12%`")
    if incident.duration <= 0:
        yield document.problem((*loc, "duration"), "duration is zero", "write it like 5m")
