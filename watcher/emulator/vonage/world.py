"""The emulated world as frozen values: projects, sessions, what the API shows of them, incidents.

`scenario` makes these from YAML; everything else reads them. Instants are Unix seconds of the run clock, ratios 0-1,
latencies milliseconds and bitrates true kilobits per second: the vendor's words for the vendor's fields (dossier,
section 5.1), before the unit switches bend them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from watcher.clock import DAY
from watcher.emulator.day import Day
from watcher.emulator.faults import Fault
from watcher.secret import Secret

Kind = Literal["legacy", "unified"]
Role = Literal["publisher", "subscriber"]
Mode = Literal["per_sample", "after_meeting_end"]
Unreachable = Literal["frozen", "empty", "error_1012", "http_503", "timeout"]

ROLES: tuple[Role, ...] = ("publisher", "subscriber")
STAT_LEVELS = (
    "audioPacketLoss",
    "videoPacketLoss",
    "audioLatencyMs",
    "videoLatencyMs",
    "audioBitrateKbps",
    "videoBitrateKbps",
)
"""Measured per stream every 30 seconds."""

SHARE_LEVELS = ("networkDisconnected", "connectFailures", "publishFailures", "subscribeFailures")
"""Shares: of connections that an incident cuts, and of attempts that fail (seen in the nightly figures only)."""

HEALTHY: Mapping[str, float] = {
    "audioPacketLoss": 0.003,
    "videoPacketLoss": 0.004,
    "audioLatencyMs": 60.0,
    "videoLatencyMs": 80.0,
    "audioBitrateKbps": 36.0,
    "videoBitrateKbps": 1_100.0,
    "networkDisconnected": 0.02,
    "connectFailures": 0.004,
    "publishFailures": 0.006,
    "subscribeFailures": 0.005,
}
"""The "excellent" rows of the dossier's section 8, and inside every line drawn there."""

MEETING_GAP = 600.0  # nobody connected for so long ends a meeting (dossier, 3.5)
RETENTION = 21 * DAY


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """Who comes to a session and how: the same for all sessions of a project.

    `spread` is how long it takes until all have come, and until all have left. `publishers` at most publish.
    `churn` is the share of participants who drop out once and come back; the rest are shares of endings.
    """

    spread: float
    publishers: int
    churn: float
    audio_only: float
    forced: float
    unpublished: float
    media_stopped: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """Sessions without a name: `rooms` at the day's peak, each `length` long, then `gap` of silence, over and over."""

    rooms: int
    participants: int
    length: float
    gap: float
    day: Day


@dataclass(frozen=True, slots=True, kw_only=True)
class MeetingPlan:
    """One occupation of a named session."""

    start: float
    end: float
    participants: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A session with a name. Its meetings do not overlap and are in order."""

    name: str
    session_id: str
    media_mode: str
    meetings: tuple[MeetingPlan, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleStyle:
    """How statistics rows look; shares of rows. `amended` ones read `amend_factor` times as much at first."""

    dropped: float
    null_latency: float
    bitrate_factor: float
    percent_loss: bool
    early_pair: bool
    amended: float
    amend_after: float
    amend_factor: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Visibility:
    """When the API shows what happened: `lag` after the row or after the meeting; a share comes `late_by` later."""

    mode: Mode
    lag: float
    ten_minute_rule: bool
    late: float
    late_by: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """Where and how session events are posted. `delay` is the longest way; events overtake each other within it."""

    url: str
    signature: Secret | None
    delay: float
    duplicates: float
    lost: float
    attempts: int
    backoff: float
    gives_up: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A legacy project (numeric key, shared secret) or a unified application (UUID, RSA key pair)."""

    name: str
    id: str
    kind: Kind
    secret: Secret  # the API secret, or the public key as PEM
    advanced: bool
    key: int  # of everything drawn for it
    generated: Generated | None
    crowd: Crowd
    named: tuple[Named, ...]
    healthy: Mapping[str, float]
    samples: SampleStyle
    visibility: Visibility
    hooks: Hooks | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """Levels that replace the healthy ones for what happens in [start, end).

    It strikes the named `sessions`, or the share `sessions_share` of all; within them the share `streams` of the
    streams of its `roles`.
    """

    key: int
    project: str
    sessions: tuple[str, ...]
    sessions_share: float
    streams: float
    roles: tuple[Role, ...]
    start: float
    end: float
    levels: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Insights: fewer than `requests` per `seconds`, per key and per address; at most `nodes` a query. 0: no limit."""

    requests: int
    seconds: float
    nodes: int
    rest_requests: int
    rest_seconds: float
    throttle: Literal["http_429", "http_503"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What the dossier leaves open, as switches."""

    over_limit: Literal["clamp", "refuse"]
    cursors: Literal["offset", "sealed"]
    unknown_session: Literal["fail", "drop"]
    range: Literal["created", "overlap"]
    empty_items: Literal["list", "absent"]
    validation: Literal["plain", "coded"]
    nodes: Literal["existing", "pages"]
    slow_fields: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """Nothing is taken in during [start, end); what was missed trickles in until `complete`."""

    start: float
    end: float
    complete: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Maintenance:
    """Regular windows of the vendor (zone of its clock, or none) and further ones; `answer` is the API's in them."""

    zone: Literal["PT", "PST", "none"]
    further: tuple[Outage, ...]
    answer: Unreachable


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Everything the emulator does, as a value."""

    seed: int
    epoch: float
    jitter: float
    projects: tuple[Project, ...]
    limits: Limits
    answers: Answers
    maintenance: Maintenance
    daily_delay: float
    incidents: tuple[Incident, ...]
    faults: tuple[Fault, ...]
