"""Scenarios of the Agora emulator: a YAML file and its frozen result.

What decides is the file alone: seed, traffic, incidents, faults. Nothing here reads a clock; relative moments count
from the `epoch` that the caller passes (usually when the emulator starts), or from the file's own.
Signals go by the vendor's metric names (dossier, section 4), because this side of the wire knows no other.
Everything wrong with a file is told at once, with its place.

The format, with every setting, is in docs/emulator.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from watcher.clock import DAY, HOUR, MINUTE
from watcher.emulator.day import DayShape, Share
from watcher.emulator.faults import FaultShape, MomentField
from watcher.emulator.settings import (
    FaultRules,
    Name,
    Once,
    Setting,
    epoch_problems,
    fault,
    fault_problems,
    missing_secret,
)
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
    Empty,
    Incident,
    Limits,
    Project,
    Quota,
    Scenario,
    family_of,
)
from watcher.errors import ConfigError, Problem
from watcher.secret import Secret
from watcher.yamlfile import Document, Duration, Loc, Quantity, Strict, load, loads

Product = Literal["Native", "WebRTC"]
Dimension = Literal["country", "region", "net", "sdk", "os", "device"]


def read(path: Path | str, *, epoch: float) -> Scenario:
    """The scenario in a file. Raises `ConfigError` with everything that is wrong."""
    return _scenario(load(path), epoch)


def reads(text: str, *, epoch: float, name: str = "<scenario>") -> Scenario:
    """The scenario in a text; `name` stands for the file in problems. Raises `ConfigError`."""
    return _scenario(loads(text, name), epoch)


# ── as written ───────────────────────────────────────────────────────────────────────────────────────────────────────

Count = Annotated[int, Field(ge=1, le=1_000_000_000)]
Users = Annotated[Quantity, Field(ge=0, le=100_000_000)]
Reach = Annotated[Duration, Field(le=3 * DAY)]  # bounds an answer: 12,960 slots
FarReach = Annotated[Duration, Field(le=30 * DAY)]
Uid = Annotated[int, Field(ge=1, le=2**32 - 1)]


class _RatesOfRequests(Strict):
    per_second: Count | None = None
    per_minute: Count | None = None
    per_day: Count | None = None


class _FamilyShape(_RatesOfRequests):
    allowed: bool | None = None
    look_back: FarReach | None = None
    span: FarReach | None = None
    delay: FarReach | None = None


class _LimitsShape(_RatesOfRequests):
    realtime: bool | None = None
    look_back: Reach | None = None
    span: Reach | None = None
    delay: Reach | None = None
    call_lists: _FamilyShape = _FamilyShape()
    call_details: _FamilyShape = _FamilyShape()
    insight: _FamilyShape = _FamilyShape()

    def over(self, plan: Mapping[str, Limits]) -> dict[str, Limits]:
        """The plan's limits with these in their place; `insight` is for its four groups."""
        own = self.model_dump(exclude_none=True)
        families = {name: own.pop(name) for name in ("call_lists", "call_details", "insight")}
        if "realtime" in own:
            own["allowed"] = own.pop("realtime")
        families["realtime"] = own
        return {name: replace(limits, **families[family_of(name)]) for name, limits in plan.items()}


class _QuotaShape(Strict):
    scope: Literal["account", "family", "endpoint", "app_id"] = "family"
    strict: bool = True
    refuse_with: Literal["body", "gateway"] = "body"


class _AnswersShape(Strict):
    message_prefix: bool = False
    span_refusal: Literal["duration", "length"] = "duration"
    empty_usage: Empty = "absent"
    empty_quality: Empty = "absent"
    call_success: Literal["200", "0"] = "200"
    call_acu: Literal["accumulated", "average"] = "accumulated"
    call_rates: Literal["fraction", "percent"] = "fraction"
    live_destroyed: Literal["absent", "null", "zero"] = "absent"
    total_size: Literal["all", "page"] = "all"
    session_has_more: bool = False
    uid: Literal["number", "string"] = "number"
    roles: Literal["string", "list"] = "list"
    loss: Literal["percent", "fraction"] = "percent"
    streams: Literal["low_first", "high_first"] = "low_first"
    picture_qp: bool = False
    memory: bool = True
    empty_buckets: bool = False
    day: Literal["utc", "utc+8"] = "utc"
    peaks: Literal["both", "concurrent", "current"] = "both"
    dimensions: Literal["both", "long", "short"] = "both"
    product_type: Literal["required", "optional"] = "required"


class _RatesShape(Strict):
    join: Share | None = Field(None, alias="joinSuccessRate")
    join_5s: Share | None = Field(None, alias="joinSuccessIn5sRate")
    audio_freeze: Share | None = Field(None, alias="audioFreezeRate")
    video_freeze: Share | None = Field(None, alias="videoFreezeRate")
    delay: Share | None = Field(None, alias="networkDelay")
    audio_loss: Share | None = Field(None, alias="audioPacketLoss")
    video_loss: Share | None = Field(None, alias="videoPacketLoss")

    def levels(self) -> dict[str, float]:
        """By the vendor's names."""
        return self.model_dump(by_alias=True, exclude_none=True)


class _LevelsShape(_RatesShape):
    users: Users | None = Field(None, alias="userCount")


class _ProductShape(Strict):
    peak_users: Users


class _ProductsShape(Strict):
    native: _ProductShape | None = Field(None, alias="Native")
    webrtc: _ProductShape | None = Field(None, alias="WebRTC")


class _UidsShape(Strict):
    native: Annotated[tuple[Uid, ...], Field(max_length=1000)] = Field((), alias="Native")
    webrtc: Annotated[tuple[Uid, ...], Field(max_length=1000)] = Field((), alias="WebRTC")


class _DayShape(DayShape):
    trough: Share = 0.2


class _CallsShape(Strict):
    length: Annotated[Duration, Field(ge=60, le=DAY)] = HOUR
    stay: Annotated[Duration, Field(ge=60, le=DAY)] = 40 * MINUTE
    speakers: Annotated[int, Field(ge=0, le=16)] = 2
    servers: Annotated[int, Field(ge=0, le=10)] = 1


class _ChannelShape(Strict):
    name: Name
    share: Share
    uids: _UidsShape = _UidsShape()


class _ProjectShape(Strict):
    name: Name
    app_id: Name
    products: _ProductsShape
    day: _DayShape = _DayShape()
    users_per_channel: Count = 8
    calls: _CallsShape = _CallsShape()
    channels: Annotated[tuple[_ChannelShape, ...], Field(max_length=200)] = ()
    healthy: _RatesShape = _RatesShape()


class _AccountShape(Strict):
    name: Name
    customer_id: Name
    customer_secret: Secret
    plan: Literal["starter", "standard", "premium", "enterprise"]
    limits: _LimitsShape = _LimitsShape()
    quota: _QuotaShape = _QuotaShape()
    answers: _AnswersShape = _AnswersShape()
    projects: Annotated[tuple[_ProjectShape, ...], Field(min_length=1, max_length=200)]


class _IncidentShape(Strict):
    project: Name
    products: tuple[Product, ...] = ()
    channel: str = ""
    start: MomentField
    duration: Duration
    levels: _LevelsShape
    where: dict[Dimension, str] = Field(default_factory=dict, max_length=1)


class _FaultShape(FaultShape):
    kind: Literal[
        "slow", "timeout", "reset", "cut_off", "truncated", "html", "huge",
        "http_401", "http_404", "http_429", "http_500", "http_502", "code_500",
        "clock_skew", "foreign", "qps", "qpm", "qpd", "no_auth",
        "data_null", "data_empty", "holes", "null_values", "zero_values", "shuffled", "late_slots", "revised",
        "message", "code_zero", "duplicates",
    ]  # fmt: skip


class _ScenarioShape(Strict):
    seed: int = 1
    epoch: MomentField | None = None
    jitter: Annotated[Quantity, Field(ge=0, le=0.5)] = 0.05
    amended_after: Annotated[Duration, Field(le=DAY)] = 0
    accounts: Annotated[tuple[_AccountShape, ...], Field(min_length=1, max_length=100)]
    incidents: Annotated[tuple[_IncidentShape, ...], Field(max_length=1000)] = ()
    faults: Annotated[tuple[_FaultShape, ...], Field(max_length=200)] = ()


_FAULTS = FaultRules(
    settings={
        "seconds": Setting(("slow", "clock_skew"), None, -86_400, 86_400),
        "per_minute": Setting(("foreign",), None, 0, 100_000),
        "bytes": Setting(("huge",), 200_000_000, 1, 2e9),
        "share": Setting(("holes", "null_values", "zero_values"), 0.3, 0, 1),
        "slots": Setting(("late_slots",), 2, 1, 10),
        "after": Setting(("revised",), 600, 0, 86_400),
        "factor": Setting(("revised",), 2.0, 0, 100),
    },
    texts=("message",),
    places=("account", "project", "endpoint", "host", "metric", "product"),
    timeless={"clock_skew": ("host",), "foreign": ("account",)},
)


# ── from one to the other ────────────────────────────────────────────────────────────────────────────────────────────


def _scenario(document: Document, epoch: float) -> Scenario:
    shape = document.parse(_ScenarioShape)
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
        faults=tuple(fault(f, f.kind, zero, _FAULTS) for f in shape.faults),
    )


def _account(shape: _AccountShape) -> Account:
    return Account(
        name=shape.name,
        customer_id=shape.customer_id,
        customer_secret=shape.customer_secret,
        limits=shape.limits.over(PLANS[shape.plan]),
        quota=Quota(**shape.quota.model_dump()),
        answers=Answers(**shape.answers.model_dump()),
        projects=tuple(_project(project) for project in shape.projects),
    )


def _project(shape: _ProjectShape) -> Project:
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


def _incident(shape: _IncidentShape, epoch: float, products: Mapping[str, tuple[str, ...]]) -> Incident:
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


def _contradictions(document: Document, shape: _ScenarioShape, epoch: float) -> Iterator[Problem]:
    """What no single value shows: references, sums, and settings that do not go together."""
    yield from epoch_problems(document, shape.epoch)
    projects: dict[str, _ProjectShape] = {}
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
        yield from fault_problems(document, one, one.kind, rules=_FAULTS, known=known, epoch=epoch, loc=("faults", f))


def _project_contradictions(document: Document, project: _ProjectShape, loc: Loc) -> Iterator[Problem]:
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
    document: Document, incident: _IncidentShape, projects: Mapping[str, _ProjectShape], loc: Loc
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
