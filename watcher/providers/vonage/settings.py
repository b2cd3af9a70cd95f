"""What users write for Vonage Video, and the vendor's numbers behind it (dossier sections 1, 3.2, 4.1, 5, 8).

A project carries its own credential: a legacy OpenTok project has a numeric key and a secret, a unified application a
UUID and an RSA key, and one account may hold both. They stand under one account because the vendor also counts requests
per egress address: whatever this daemon asks, for whichever project, comes out of that one count.

Everything the dossier leaves open has a setting with `auto` as its default: how loss is written, in which unit bitrates
come, whether running meetings are shown. What `auto` finds is said in the log and kept over restarts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Set
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator

from watcher.clock import DAY, HOUR, MINUTE
from watcher.errors import clip
from watcher.providers.provider import Account, Address, Fault, Name
from watcher.secret import Secret
from watcher.yamlfile import Duration, Quantity, Strict

MAX_CHANNELS = 50  # over all projects: each name is a label value (design, section 2)
MAX_PROJECTS = 50
RETENTION = 20.5 * DAY  # seconds: 21 days by the vendor, counted from a meeting's beginning; half a day to spare

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")
_SESSION = re.compile(r"[0-9A-Za-z_~-]{3,255}\Z")
_GROUP_NAME = re.compile(r"[0-9A-Za-z._-]{1,32}\Z")

HOSTS: Mapping[str, tuple[str, str]] = {
    "legacy": ("https://insights.opentok.com/graphql", "https://api.opentok.com"),
    "unified": ("https://tools.vonage.com/video/insights-api/graphql", "https://video.api.vonage.com"),
}
"""Kind of credential -> where GraphQL and where REST is asked (section 1.1)."""

_PATHS = {"legacy": "/graphql", "unified": "/video/insights-api/graphql"}


def _key(text: str) -> str:
    if not (0 < len(text) <= 18 and text.isascii() and text.isdigit()):
        raise ValueError("is not an API key; copy the digits from the project's page, in quotes")
    return text


def _application(text: str) -> str:
    if not _UUID.match(text.lower()):
        raise ValueError("is not an application id; copy the UUID from the dashboard")
    return text.lower()


def is_session_id(text: str) -> bool:
    return _SESSION.match(text) is not None


def _session_id(text: str) -> str:
    if not is_session_id(text):
        raise ValueError("is not a session id; they have 3 to 255 letters, digits, - and _")
    return text


def _token(text: str) -> str:
    if not (16 <= len(text) <= 128 and all(c.isalnum() or c in "_-" for c in text) and text.isascii()):
        raise ValueError("is not a path token; use 16 to 128 letters, digits, - and _, hard to guess")
    return text


SessionId = Annotated[str, AfterValidator(_session_id)]
Signal = Literal[
    "users",
    "channels",
    "video_packet_loss_ratio",
    "video_packet_loss_p95_ratio",
    "video_packet_loss_over_ratio",
    "audio_packet_loss_ratio",
    "audio_packet_loss_p95_ratio",
    "audio_packet_loss_over_ratio",
    "video_latency_seconds",
    "video_latency_p95_seconds",
    "audio_latency_seconds",
    "audio_latency_p95_seconds",
    "video_bitrate_bytes_per_second",
    "audio_bitrate_bytes_per_second",
    "video_stall_ratio",
]


class Lines(Strict):
    """Where a stream counts as bad: for the share of streams over the line, and for suspicion (section 8)."""

    video_loss: Annotated[Quantity, Field(gt=0, le=1)] = 0.03
    audio_loss: Annotated[Quantity, Field(gt=0, le=1)] = 0.05
    latency: Annotated[Quantity, Field(gt=0, le=60)] = 0.3


class Feed(Strict):
    """An HTTP address that lists the live sessions as JSON: `["2_MX4…", …]` or `{"sessions": […]}`."""

    url: Secret
    every: Annotated[Duration, Field(ge=30, le=HOUR)] = MINUTE


class Hooks(Strict):
    """Session monitoring: the vendor posts to `/hooks/vonage/<token>`, signed where a `signature` secret is set."""

    token: Secret
    signature: Secret | None = None


class Daily(Strict):
    """Project insights, one point a day. `group_by` splits them as well, by the values that are named."""

    group_by: Literal["country", "sdk_type", "browser"] | None = None
    names: Annotated[tuple[str, ...], Field(max_length=20)] = ()

    @field_validator("names")
    @classmethod
    def _plain(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if not _GROUP_NAME.match(name):
                raise ValueError(f"{clip(name, 40)!r} is not a group; write it like US, JS or CHROME")
        return tuple(dict.fromkeys(names))


class Expected(Strict):
    """How much there is to read, for the plan's arithmetic; more is read all the same, as the budget allows."""

    sessions: Annotated[int, Field(ge=1, le=100_000)] = 50
    publishers: Annotated[int, Field(ge=1, le=1000)] = 5


class Project(Strict):
    """One legacy project or unified application.

    `channels` names sessions that get series of their own; `sessions` are further ids to watch, `feed` lists them by
    HTTP. `longest` is how long a call may last: how far back running ones are looked for.
    """

    name: Name
    key: Annotated[str, AfterValidator(_key)] | None = None
    secret: Secret | None = None
    application: Annotated[str, AfterValidator(_application)] | None = None
    private_key: Secret | None = None
    channels: Mapping[Annotated[str, Field(min_length=1, max_length=64)], SessionId] = Field(default_factory=dict)
    sessions: Annotated[tuple[SessionId, ...], Field(max_length=10_000)] = ()
    feed: Feed | None = None
    hooks: Hooks | None = None
    signals: tuple[Signal, ...] | None = None
    lines: Lines = Lines()
    visibility: Literal["auto", "per_sample", "after_meeting_end"] = "auto"
    loss: Literal["auto", "ratio", "percent"] = "auto"
    bitrate: Literal["auto", "kilobits", "kilobytes"] = "auto"
    longest: Annotated[Duration, Field(ge=HOUR, le=7 * DAY)] = 12 * HOUR
    summaries: bool = True
    daily: Daily | None = Daily()
    expected: Expected = Expected()
    insights_url: Address | None = None
    rest_url: Address | None = None

    @property
    def kind(self) -> Literal["legacy", "unified"]:
        return "legacy" if self.key is not None else "unified"

    @property
    def id(self) -> str:
        """What the vendor calls it, in addresses and queries."""
        return self.key or self.application or ""

    def secret_value(self) -> Secret:
        """The secret of its kind of credential; `check` has seen to it that there is one."""
        found = self.secret if self.key is not None else self.private_key
        assert found is not None
        return found


class RequestQuota(Strict):
    """Requests that the vendor allows in any 30 seconds: it says "fewer than 100"."""

    per_30s: Annotated[int, Field(ge=2, le=100_000)] = 100


class Quotas(Strict):
    """Quotas by family. REST has none that is published: 5 a second at most by default (section 6.3)."""

    insights: RequestQuota = RequestQuota()
    egress: RequestQuota = RequestQuota()
    rest: RequestQuota = RequestQuota(per_30s=150)


def _some(projects: tuple[Project, ...]) -> tuple[Project, ...]:
    if not 0 < len(projects) <= MAX_PROJECTS:
        raise ValueError(f"lists {len(projects)}; list 1 to {MAX_PROJECTS} of them")
    return projects


class VonageAccount(Account):
    """All Vonage Video projects of this daemon.

    `delay` is how far behind Advanced Insights is, `every` the distance of two reads of it. `base_url` stands in for
    the vendor's hosts: GraphQL is asked below it on the path of the credential's kind, REST on `/v2`. `maintenance`
    `none` takes the vendor's windows for ordinary time.
    """

    provider: Literal["vonage"]
    plan: Literal["insights", "advanced"] = "advanced"
    projects: Annotated[tuple[Project, ...], AfterValidator(_some)]
    quotas: Quotas = Quotas()
    margin: Annotated[int, Field(ge=1, le=90_000)] = 1
    delay: Annotated[Duration, Field(ge=0, le=DAY)] = 5 * MINUTE
    every: Annotated[Duration, Field(ge=30, le=HOUR)] = MINUTE
    maintenance: Literal["vendor", "none"] = "vendor"
    most_nodes: Annotated[int, Field(ge=1_000, le=400_000)] = 50_000
    base_url: Address | None = None

    def insights_url(self, project: Project) -> str:
        """Where GraphQL is asked for a project."""
        if project.insights_url is not None:
            return project.insights_url
        if self.base_url is not None:
            return self.base_url + _PATHS[project.kind]
        return HOSTS[project.kind][0]

    def rest_url(self, project: Project) -> str:
        """Where the REST calls of a project go."""
        return project.rest_url or self.base_url or HOSTS[project.kind][1]


def check(account: VonageAccount, needed: Set[str]) -> tuple[Fault, ...]:
    """What cannot work although each field reads well."""
    return (*_quotas(account), *_projects(account))


def _quotas(account: VonageAccount) -> Iterator[Fault]:
    for family in ("insights", "egress", "rest"):
        limit = getattr(account.quotas, family).per_30s
        if limit - account.margin < 10:
            yield Fault(
                ("quotas", family, "per_30s"),
                f"per_30s {limit} leaves fewer than 10 requests above the margin of {account.margin}",
                "raise it or lower `margin`",
            )


def _projects(account: VonageAccount) -> Iterator[Fault]:
    seen: dict[tuple[str, str], int] = {}
    total = 0
    for index, project in enumerate(account.projects):
        loc = ("projects", index)
        yield from _credential(project, index)
        for what, value in (("name", project.name), ("key", project.key), ("application", project.application)):
            if value is not None and seen.setdefault((what, value), index) != index:
                yield Fault((*loc, what), f"{what} {value} is used twice", "give each project its own")
        twice = len(project.channels) - len(set(project.channels.values()))
        if twice:
            yield Fault((*loc, "channels"), "a session has two names here", "give each session one name")
        for name in project.channels:
            if not name.isprintable():
                yield Fault((*loc, "channels"), f"{clip(name, 40)!r} is no name", "use printable characters")
        if account.plan == "insights" and project.channels:
            yield Fault(loc, "without Advanced Insights there are no figures of sessions", "take `channels` out")
        if project.daily is not None and bool(project.daily.group_by) != bool(project.daily.names):
            yield Fault((*loc, "daily"), "group_by and names belong together", "write both, or neither")
        total += len(project.channels)
    if total > MAX_CHANNELS:
        yield Fault(("projects",), f"{total} channels are named, {MAX_CHANNELS} may be", "name fewer")


def _credential(project: Project, index: int) -> Iterator[Fault]:
    legacy = (project.key is not None, project.secret is not None)
    unified = (project.application is not None, project.private_key is not None)
    if (legacy, unified) not in (((True, True), (False, False)), ((False, False), (True, True))):
        yield Fault(
            ("projects", index),
            f"project {project.name} has neither `key` and `secret` nor `application` and `private_key`",
            "write the pair that the project has",
        )
