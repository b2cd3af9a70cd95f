"""The emulated world as frozen values: accounts, projects, channels, plans, incidents.

`scenario` makes these from YAML, `traffic` and `agora` read them. Apart from `scenario`, so that what a thing *is* can
be read without how it is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from watcher.emulator.day import Day
from watcher.emulator.faults import Fault
from watcher.secret import Secret

Empty = Literal["absent", "zero", "null"]

PRODUCTS = ("Native", "WebRTC")
ENDPOINTS = ("usage", "quality", "usage_top20", "quality_top20")
USAGE_METRICS = ("userCount", "channelCount")
QUALITY_METRICS = ("joinSuccessRate", "joinSuccessIn5sRate", "audioFreezeRate", "videoFreezeRate", "networkDelay")

HEALTHY: Mapping[str, float] = {
    "joinSuccessRate": 0.996,
    "joinSuccessIn5sRate": 0.985,
    "audioFreezeRate": 0.004,
    "videoFreezeRate": 0.009,
    "networkDelay": 0.008,
}
"""Between the healthy screens of the dossier's section 9, and well inside every line drawn there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the plan allows on the realtime family. None: no such limit. Times in whole seconds."""

    realtime: bool
    per_second: int | None = None
    per_minute: int | None = None
    per_day: int | None = None
    look_back: int = 0
    span: int = 0
    delay: int = 0


PLANS: Mapping[str, Limits] = {
    "starter": Limits(realtime=False),
    "standard": Limits(realtime=False),
    "premium": Limits(realtime=True, per_minute=3, per_day=480, look_back=2400, span=2400, delay=40),
    "enterprise": Limits(realtime=True, per_minute=10, per_day=1440, look_back=3600, span=3600, delay=20),
}
"""Dossier, section 6."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """How the quotas are counted and refused."""

    scope: Literal["account", "family", "endpoint", "app_id"]
    strict: bool
    refuse_with: Literal["body", "gateway"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What the dossier leaves open about answers, as switches."""

    message_prefix: bool
    span_refusal: Literal["duration", "length"]
    empty_usage: Empty
    empty_quality: Empty


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """A channel with a name. `uids` are those known by number, per product, first to come first."""

    name: str
    share: float
    uids: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """An App ID and its traffic. `peaks` is users at the day's top, per product; `healthy` has every rate."""

    name: str
    app_id: str
    peaks: Mapping[str, float]
    day: Day
    users_per_channel: int
    channels: tuple[Channel, ...]
    healthy: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A customer: credentials, plan, projects."""

    name: str
    customer_id: str
    customer_secret: Secret
    limits: Limits
    quota: Quota
    answers: Answers
    projects: tuple[Project, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """Levels that replace the healthy ones for slots starting in [start, end). Empty `channel`: the whole project.

    With `group`, a dimension and one of its values, only users of that group have them.
    """

    project: str
    products: tuple[str, ...]
    channel: str
    start: float
    end: float
    levels: Mapping[str, float]
    group: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Everything the emulator does, as a value. Instants are Unix seconds of the run clock."""

    seed: int
    epoch: float
    jitter: float
    accounts: tuple[Account, ...]
    incidents: tuple[Incident, ...]
    faults: tuple[Fault, ...]
