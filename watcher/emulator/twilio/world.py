"""The emulated world as frozen values: accounts, rooms, what the API shows of them, incidents.

`scenario` makes these from YAML; everything else reads them. Instants are Unix seconds of the run clock, ratios 0-1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from watcher.emulator.day import Day
from watcher.emulator.dice import bits
from watcher.emulator.faults import Fault
from watcher.emulator.twilio.endings import Ending
from watcher.secret import Secret

RoomType = Literal["go", "peer_to_peer", "group", "group_small"]
CreatedMethod = Literal["sdk", "ad_hoc", "api"]
Weights = tuple[tuple[str, float], ...]
"""Names and their running totals, the last of which is 1."""

ROOM_TYPES = ("go", "peer_to_peer", "group", "group_small")
CODECS = ("VP8", "H264", "VP9", "opus")
CAPACITY = 50  # participants of a room (dossier, section 5)

EDGES: Mapping[str, str] = {
    "us1": "ashburn",
    "us2": "umatilla",
    "ie1": "dublin",
    "de1": "frankfurt",
    "sg1": "singapore",
    "au1": "sydney",
    "br1": "sao_paulo",
    "jp1": "tokyo",
}
"""Where a region's people come in; everywhere else is `roaming` (INFERRED)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key of an account: `SK…` and its secret."""

    sid: str
    secret: Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """How people behave, in all rooms of an account. Shares but for `spread` (seconds) and `retries` (a count)."""

    spread: float
    churn: float
    returns: float
    retries: int
    completed: float
    recorded: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """What rooms and people are like."""

    room_types: Weights
    regions: Weights
    sdks: Weights
    browsers: Weights


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """Rooms without a plan: `rooms` at the day's peak. Each lasts `length` less up to `vary` of it."""

    rooms: int
    participants: int
    length: float
    vary: float
    gap: float
    day: Day


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody whose stay is written down: `join` seconds after the room's start, for `stay` seconds.

    Empty `region`, `sdk`, `browser`: drawn as everybody's.
    """

    identity: str
    join: float
    stay: float
    ending: Ending
    code: int | None
    region: str
    sdk: str
    browser: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A room that is written down: its people, or how many of them there are."""

    name: str
    sid: str
    start: float
    end: float
    participants: int
    people: tuple[Person, ...]
    room_type: RoomType
    region: str
    method: CreatedMethod
    completed: bool
    recorded: bool
    callback: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """A stretch in which the vendor publishes nothing; what was due comes at its end."""

    start: float
    end: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Visibility:
    """When the API shows what happened; see `view`."""

    delay: float
    slow: float
    slowest: float
    settle: float
    kept: float
    kept_go: float
    running: bool
    lag: float
    late: float
    late_by: float
    amended: float
    timeout: float
    stuck: float
    not_started: float
    backlogs: tuple[Backlog, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An account or subaccount: nothing is shared between two of them."""

    name: str
    sid: str
    auth_token: Secret | None
    api_keys: tuple[ApiKey, ...]
    key: int  # of everything drawn for it
    generated: Generated | None
    crowd: Crowd
    mix: Mix
    named: tuple[Named, ...]
    endings: Mapping[str, float]
    conflicts: float
    no_duration: float
    visibility: Visibility


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """Shares of endings that replace the healthy ones in [start, end).

    It strikes the named `rooms`, or the share `rooms_share` of all; within them those of its regions, SDKs and browsers
    (empty: all).
    """

    key: int
    account: str
    rooms: tuple[str, ...]
    rooms_share: float
    regions: tuple[str, ...]
    sdks: tuple[str, ...]
    browsers: tuple[str, ...]
    start: float
    end: float
    endings: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Per account: requests under way at once, and requests in any second. 0: no limit."""

    concurrent: int
    per_second: int
    latency: float
    retry_after: Literal["none", "seconds", "date"]
    retry_seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What the dossier leaves open, as switches."""

    errors: Literal["legacy", "rfc9457"]
    no_error: Literal["nothing", "zero", "mixed"]
    normal: Literal["reason", "nothing"]
    failed_attempts: Literal["rows", "nothing"]
    timestamps: Literal["whole", "millis", "mixed"]
    processing: Literal["underscore", "hyphen", "nothing"]
    properties: Literal["camel", "snake", "empty"]
    publisher: Literal["plain", "full", "empty"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Everything the emulator does, as a value."""

    seed: int
    epoch: float
    accounts: tuple[Account, ...]
    limits: Limits
    answers: Answers
    incidents: tuple[Incident, ...]
    faults: tuple[Fault, ...]


def made_up_sid(prefix: str, key: int) -> str:
    """A string identifier that belongs to `key`: two letters and 32 hexadecimal digits."""
    return f"{prefix}{bits(key, 1):016x}{bits(key, 2):016x}"
