"""The emulated world as frozen values: accounts, projects, channels, plans, incidents.

`scenario` makes these from YAML, `traffic` and `agora` read them. Apart from `scenario`, so that what a thing *is* can
be read without how it is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from watcher.clock import DAY, HOUR
from watcher.emulator.day import Day
from watcher.emulator.faults import Fault
from watcher.secret import Secret

Empty = Literal["absent", "zero", "null"]

PRODUCTS = ("Native", "WebRTC")
ENDPOINTS = (
    "usage", "quality", "usage_top20", "quality_top20",
    "call_lists", "call_sessions", "call_metrics", "call_statistics", "call_freeze_bucket", "call_statistics_time",
    "insight_usage", "insight_quality", "insight_usage_aggregation", "insight_quality_aggregation",
)  # fmt: skip
USAGE_METRICS = ("userCount", "channelCount")
QUALITY_METRICS = ("joinSuccessRate", "joinSuccessIn5sRate", "audioFreezeRate", "videoFreezeRate", "networkDelay")
CALL_METRICS = (
    "user_count", "audio_freeze_rate", "video_freeze_rate", "audio_freeze_user_count", "video_freeze_user_count",
)  # fmt: skip
INSIGHT_METRICS = (
    "userCount", "sessionCount", "channelCount", "totalDuration", "totalVideoDuration", "totalAudioDuration",
    "peakConcurrentChannels", "peakConcurrentUsers", "peakCurrentChannels", "peakCurrentUsers",
)  # fmt: skip
LOSSES = ("audioPacketLoss", "videoPacketLoss")
"""What a scenario says of packet loss. The vendor has no such metric: it shows in the samples of sessions only."""

HEALTHY: Mapping[str, float] = {
    "joinSuccessRate": 0.996,
    "joinSuccessIn5sRate": 0.985,
    "audioFreezeRate": 0.004,
    "videoFreezeRate": 0.009,
    "networkDelay": 0.008,
    "audioPacketLoss": 0.004,
    "videoPacketLoss": 0.006,
}
"""Between the healthy screens of the dossier's section 9, and well inside every line drawn there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the plan allows on one group of endpoints. None: no such limit. Times in whole seconds."""

    allowed: bool
    per_second: int | None = None
    per_minute: int | None = None
    per_day: int | None = None
    look_back: int = 0
    span: int | None = None
    delay: int = 0


def _calls(second: int, day: int, *, back: int, lists: tuple[int, int], details: tuple[int, int]) -> dict[str, Limits]:
    """Call Inspector: the two groups have the same frequencies, each for itself; (span in hours, delay in seconds)."""
    common = Limits(allowed=True, per_second=second, per_day=day, look_back=back * DAY)
    return {
        name: replace(common, span=span * HOUR, delay=delay)
        for name, (span, delay) in (("call_lists", lists), ("call_details", details))
    }


def _insight(minute: int, day: int, *, back: int, span: int, usage_delay: int) -> dict[str, Limits]:
    """Data Insights: four limits of one quota; days, and the delay of usage in hours (quality is always 6 h behind)."""
    quality = Limits(
        allowed=True, per_minute=minute, per_day=day, look_back=back * DAY, span=span * DAY, delay=6 * HOUR
    )
    usage = replace(quality, delay=usage_delay * HOUR)
    return {
        "insight_usage": usage,
        "insight_quality": quality,
        "insight_usage_aggregation": replace(usage, span=None),  # not stated
        "insight_quality_aggregation": replace(quality, span=None),
    }


_NONE = Limits(allowed=False)
_NO_INSIGHT = dict.fromkeys(_insight(0, 0, back=0, span=0, usage_delay=0), _NONE)

PLANS: Mapping[str, Mapping[str, Limits]] = {
    "starter": {"realtime": _NONE, "call_lists": _NONE, "call_details": _NONE, **_NO_INSIGHT},
    "standard": {
        "realtime": _NONE,
        **_calls(1, 1_000, back=1, lists=(8, 60), details=(1, 300)),
        **_NO_INSIGHT,
    },
    "premium": {
        "realtime": Limits(allowed=True, per_minute=3, per_day=480, look_back=2400, span=2400, delay=40),
        **_calls(3, 2_000, back=7, lists=(16, 20), details=(3, 150)),
        **_insight(3, 40, back=14, span=3, usage_delay=12),
    },
    "enterprise": {
        "realtime": Limits(allowed=True, per_minute=10, per_day=1440, look_back=3600, span=3600, delay=20),
        **_calls(10, 10_000, back=15, lists=(24, 20), details=(6, 100)),
        **_insight(10, 60, back=30, span=7, usage_delay=6),
    },
}
"""Dossier, section 6. Standard's values of the three call endpoints of 2023 are not stated: those of `sessions`."""


def family_of(group: str) -> str:
    """What shares one quota: the four groups of Data Insights have different limits and one frequency."""
    return "insight" if group.startswith("insight") else group


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
    call_success: Literal["200", "0"]
    call_acu: Literal["accumulated", "average"]
    call_rates: Literal["fraction", "percent"]
    live_destroyed: Literal["absent", "null", "zero"]
    total_size: Literal["all", "page"]
    session_has_more: bool
    uid: Literal["number", "string"]
    roles: Literal["string", "list"]
    loss: Literal["percent", "fraction"]
    streams: Literal["low_first", "high_first"]
    picture_qp: bool
    memory: bool
    empty_buckets: bool
    day: Literal["utc", "utc+8"]
    peaks: Literal["both", "concurrent", "current"]
    dimensions: Literal["both", "long", "short"]
    product_type: Literal["required", "optional"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """A channel with a name. `uids` are those known by number, per product, first to come first."""

    name: str
    share: float
    uids: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """How the users of a project are cut into calls and sessions. Times in whole seconds.

    `length`: every call ends after so long at the latest. `stay`: every user leaves after so long at the latest.
    `speakers`: of each product in a channel. `servers`: sessions of recorders and the like in each call.
    """

    length: int
    stay: int
    speakers: int
    servers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """An App ID and its traffic. `peaks` is users at the day's top, per product; `healthy` has every rate."""

    name: str
    app_id: str
    peaks: Mapping[str, float]
    day: Day
    users_per_channel: int
    calls: Calls
    channels: tuple[Channel, ...]
    healthy: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A customer: credentials, plan, projects."""

    name: str
    customer_id: str
    customer_secret: Secret
    limits: Mapping[str, Limits]
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
    amended_after: int = 0  # seconds into day T+2 at which Data Insights are final
