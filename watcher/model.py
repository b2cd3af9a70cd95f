"""The words of the program, as frozen values, and the ports between its parts.

One value per arrow of the data path: `Slot` -> `Grant` (budget) -> `Answer` -> `Points` -> `Transition` -> `Obligation`
-> `Notification`. Everything here is plain data: nothing reads a clock, a file or a socket.

Instants are Unix seconds. Windows are named by their start; a window [s, s+w) has *event time* s+w, which is when it is
judged. Ratios are 0-1. Ports are Protocols so that rules and alerts work against store, providers and targets without
importing them; `tests/` assigns each fake to its port.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Labels = Mapping[str, str]


# ── signals ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class Worse(StrEnum):
    """Which direction of a signal hurts users."""

    UP = "up"
    DOWN = "down"
    CONTEXT = "context"  # neither: says how much the other signals mean


class Unit(StrEnum):
    RATIO = "ratio"
    SECONDS = "seconds"
    BYTES_PER_SECOND = "bytes_per_second"
    COUNT = "count"


class SignalInfo(NamedTuple):
    worse: Worse
    unit: Unit
    help: str


SIGNALS: Mapping[str, SignalInfo] = {
    "video_freeze_ratio": SignalInfo(Worse.UP, Unit.RATIO, "Share of video time that was frozen."),
    "audio_freeze_ratio": SignalInfo(Worse.UP, Unit.RATIO, "Share of audio time that was frozen."),
    "video_stall_ratio": SignalInfo(Worse.UP, Unit.RATIO, "Share of video streams with no bitrate."),
    "network_delay_ratio": SignalInfo(Worse.UP, Unit.RATIO, "Share of media time delayed by more than 400 ms."),
    "join_success_ratio": SignalInfo(Worse.DOWN, Unit.RATIO, "Share of join attempts that succeeded."),
    "join_success_5s_ratio": SignalInfo(Worse.DOWN, Unit.RATIO, "Share of join attempts that succeeded within 5 s."),
    "users": SignalInfo(Worse.CONTEXT, Unit.COUNT, "Users in calls."),
    "channels": SignalInfo(Worse.CONTEXT, Unit.COUNT, "Channels with users."),
    "video_packet_loss_ratio": SignalInfo(Worse.UP, Unit.RATIO, "Share of video packets lost."),
    "audio_packet_loss_ratio": SignalInfo(Worse.UP, Unit.RATIO, "Share of audio packets lost."),
    "video_packet_loss_p95_ratio": SignalInfo(Worse.UP, Unit.RATIO, "95th percentile of video packet loss."),
    "audio_packet_loss_p95_ratio": SignalInfo(Worse.UP, Unit.RATIO, "95th percentile of audio packet loss."),
    "video_packet_loss_over_ratio": SignalInfo(Worse.UP, Unit.RATIO, "Share of video streams over the loss line."),
    "audio_packet_loss_over_ratio": SignalInfo(Worse.UP, Unit.RATIO, "Share of audio streams over the loss line."),
    "video_latency_seconds": SignalInfo(Worse.UP, Unit.SECONDS, "Mean video latency."),
    "audio_latency_seconds": SignalInfo(Worse.UP, Unit.SECONDS, "Mean audio latency."),
    "video_latency_p95_seconds": SignalInfo(Worse.UP, Unit.SECONDS, "95th percentile of video latency."),
    "audio_latency_p95_seconds": SignalInfo(Worse.UP, Unit.SECONDS, "95th percentile of audio latency."),
    "video_bitrate_bytes_per_second": SignalInfo(Worse.DOWN, Unit.BYTES_PER_SECOND, "Mean video bitrate."),
    "audio_bitrate_bytes_per_second": SignalInfo(Worse.DOWN, Unit.BYTES_PER_SECOND, "Mean audio bitrate."),
    "connect_failure_ratio": SignalInfo(Worse.UP, Unit.RATIO, "Share of connection attempts that failed."),
    "publish_failure_ratio": SignalInfo(Worse.UP, Unit.RATIO, "Share of publish attempts that failed."),
    "subscribe_failure_ratio": SignalInfo(Worse.UP, Unit.RATIO, "Share of subscribe attempts that failed."),
    "participant_failure_ratio": SignalInfo(Worse.UP, Unit.RATIO, "Share of participants that failed."),
    "participant_drop_ratio": SignalInfo(Worse.UP, Unit.RATIO, "Share of participants that dropped."),
    "quota_refusal_ratio": SignalInfo(Worse.UP, Unit.RATIO, "Share of participants refused for a full quota."),
    "disconnect_ratio": SignalInfo(Worse.UP, Unit.RATIO, "Share of disconnects caused by the network."),
    "sampled_users_ratio": SignalInfo(Worse.CONTEXT, Unit.RATIO, "Share of the users in calls that a sample covers."),
    "daily_video_freeze_ratio": SignalInfo(Worse.UP, Unit.RATIO, "Share of a day's video time that was frozen."),
    "daily_audio_freeze_ratio": SignalInfo(Worse.UP, Unit.RATIO, "Share of a day's audio time that was frozen."),
    "daily_network_delay_ratio": SignalInfo(
        Worse.UP, Unit.RATIO, "Share of a day's media time delayed by more than 400 ms."
    ),
    "daily_join_success_ratio": SignalInfo(Worse.DOWN, Unit.RATIO, "Share of a day's join attempts that succeeded."),
    "daily_join_success_5s_ratio": SignalInfo(
        Worse.DOWN, Unit.RATIO, "Share of a day's join attempts that succeeded within 5 s."
    ),
    "daily_users": SignalInfo(Worse.CONTEXT, Unit.COUNT, "Users of a day."),
    "daily_channels": SignalInfo(Worse.CONTEXT, Unit.COUNT, "Channels of a day."),
    "daily_joins": SignalInfo(Worse.CONTEXT, Unit.COUNT, "Joins of a day."),
    "daily_peak_users": SignalInfo(Worse.CONTEXT, Unit.COUNT, "The most users at once in a day."),
    "daily_peak_channels": SignalInfo(Worse.CONTEXT, Unit.COUNT, "The most channels at once in a day."),
    "daily_media_seconds": SignalInfo(Worse.CONTEXT, Unit.SECONDS, "A day's time of users in calls."),
    "daily_video_seconds": SignalInfo(Worse.CONTEXT, Unit.SECONDS, "A day's time of users with video."),
    "daily_audio_seconds": SignalInfo(Worse.CONTEXT, Unit.SECONDS, "A day's time of users with audio."),
    "daily_published_seconds": SignalInfo(Worse.CONTEXT, Unit.SECONDS, "A day's time of streams published."),
    "daily_subscribed_seconds": SignalInfo(Worse.CONTEXT, Unit.SECONDS, "A day's time of streams subscribed to."),
    "daily_latency_seconds": SignalInfo(Worse.UP, Unit.SECONDS, "Mean latency over a day."),
    "daily_video_bitrate_bytes_per_second": SignalInfo(
        Worse.DOWN, Unit.BYTES_PER_SECOND, "Mean video bitrate over a day."
    ),
}
"""Every measured quantity, the same across vendors (design, section 6)."""

USERS = "users"


# ── series and points ────────────────────────────────────────────────────────────────────────────────────────────────


class Series(NamedTuple):
    """One series of points: a signal and where it was measured. Empty `product` and `channel` mean "all of it"."""

    account: str
    provider: str
    project: str
    product: str
    channel: str
    signal: str

    def labels(self) -> dict[str, str]:
        """The fingerprint labels: product and channel only where they exist."""
        labels = {"account": self.account, "provider": self.provider, "project": self.project}
        if self.product:
            labels["product"] = self.product
        if self.channel:
            labels["channel"] = self.channel
        return labels

    def sibling(self, signal: str) -> Series:
        """The series of another signal with the same labels."""
        return self._replace(signal=signal)

    @property
    def hourly(self) -> Series:
        """Where the vendor's own statistics of it are recorded, by the hour and hours late: no rule judges those."""
        return self._replace(product=f"hourly {self.product}".rstrip())


class Span(NamedTuple):
    """Window starts in [start, end)."""

    start: int
    end: int


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Points:
    """A column of points of one series: `start[i]` is a window's start (ascending, unique), `value[i]` finite.

    `weight[i]` is the users or streams behind the value, where the vendor says; None where it never does.
    """

    series: Series
    width: int
    start: Ints
    value: Floats
    weight: Floats | None = None

    def __len__(self) -> int:
        return len(self.start)


SHARE = "series_in_breach_ratio"
"""What the number of a rule about a share of series is called: before a slash and what each is judged by."""


def unit_of(measures: str) -> Unit | None:
    """The unit of what a rule measures: a signal, a pair of counts, a share of series; None for anything else."""
    if measures.startswith(SHARE) or "/" in measures:
        return Unit.RATIO
    info = SIGNALS.get(measures)
    return info.unit if info is not None else None


def judged_by(measures: str) -> str:
    """The signal that the number of a rule is about: of a share, what its series are judged by."""
    return measures.removeprefix(SHARE + "/")


# ── queries, looks, answers ──────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One vendor request that yields points, as the schedule, the rules and the store see it.

    `pools` are the quota pools in which each request spends one unit. `delay` is how far behind the vendor is,
    `reach` the longest gap between two looks (seconds) in which no window is lost, `settle` how many of the newest
    windows of an answer may still appear or change. Where one look is several requests (pages), `requests` is how many
    it usually takes and `most_requests` how many it may take; `nodes` is the size of the largest, where the vendor
    counts so. `every` is the shortest time between two looks that makes sense, where that is not the window's length.
    `family` names requests that the vendor serves together: where one of them fails, others are likely to.
    `amended` is for how many seconds after its end a window may still change, where a vendor tells of calls afterwards.
    """

    id: str
    account: str
    series: tuple[Series, ...]
    pools: tuple[str, ...]
    width: int
    delay: float
    reach: float
    settle: int = 0
    every: float = 0.0
    requests: int = 1
    most_requests: int = 1
    nodes: int = 0
    family: str = ""
    amended: float = 0.0

    @property
    def apart(self) -> float:
        """The shortest time between two looks that can bring something new, in seconds."""
        return self.every or float(self.width)


class Dimension(StrEnum):
    """What users have in common: a closed set of words, the same across vendors. The groups' names are the vendor's."""

    NETWORK = "network"
    SDK = "sdk"
    COUNTRY = "country"
    OS = "os"
    DEVICE = "device"
    BROWSER = "browser"
    REGION = "region"
    MEDIA_REGION = "media_region"


class Rest(NamedTuple):
    """All who are not in a group: the value over them, which is of no meaning where they are none, and their number."""

    value: float
    users: float


class Group(NamedTuple):
    """One group of a `Split`: the signal's value in it, and the users (or streams) it is made of.

    `rest` are all others, where the source knows them; else they are worked out from the whole.
    """

    name: str
    value: float
    users: float
    rest: Rest | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """A series by the groups of one dimension, whose `users` are what `counts` says.

    Of one window; of several together where few users are in one, and `whole` is the value over all of those then.
    `oddities` as in `Answer`.
    """

    dimension: Dimension
    groups: tuple[Group, ...]
    counts: str = "users"
    whole: float | None = None
    oddities: Mapping[str, int] = field(default_factory=dict)


Splits = Callable[[Series, int], tuple[Split, ...]]
"""Who is behind a value, from what a source has read anyway: `Answer.splits`, all that such a source implements.

Asked with a series of the answer's query and the event time of one of its windows, at most once for an alert that
fires. One `Split` for each dimension that is known, none where nothing is: no request, no exception. It is asked while
the answer is the query's newest, so it may look at what the source holds by then.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Splitting:
    """What it takes to split a series: one request for each of the `dimensions` (the most telling first, in general).

    Each spends one unit of `pools`. At most `most` of them for one question, answered within `patience` seconds.
    """

    dimensions: tuple[Dimension, ...]
    pools: tuple[str, ...]
    most: int
    patience: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one look brought.

    `asked` are the window starts that the vendor answered for. A window ending at or before `settled` and absent from
    `points` is *no data*; a later one that is absent is merely *late*. `oddities` counts what was repaired or dropped.
    `lost` is the part of the wish that the vendor no longer offers (a recorded gap). `worst` names, for a series and
    an event time, the calls behind its value, worst first, where the source can tell; `splits` the same by groups of
    users, where that is known without a further request. `learned` is what the source shall be told again after a
    restart, where that has changed.
    """

    query: Query
    asked: Span
    settled: int
    points: tuple[Points, ...]
    received_at: float
    lost: Span | None = None
    oddities: Mapping[str, int] = field(default_factory=dict)
    worst: Callable[[Series, int], str] | None = None
    splits: Splits | None = None
    learned: str | None = None


class Gap(NamedTuple):
    """Windows of a query that were never fetched and no longer can be: recorded and shown, never silent."""

    query: str
    span: Span
    noticed_at: float
    reason: str


class Purse(Protocol):
    """The budget as one look sees it: each further request (second domain, next page) is a new spend."""

    async def spend(self) -> bool:
        """Record one more request durably; False where the budget refuses, and then no request may leave."""
        ...

    async def refund(self) -> None:
        """Take back the last spend, durably: only where not one byte of the request was written."""
        ...

    async def answered(self, vendor_time: float | None) -> None:
        """The vendor answered (anything at all) and its `Date` header said `vendor_time`."""
        ...


class Source(Protocol):
    """An account at a vendor: its queries, and how to carry one out."""

    @property
    def queries(self) -> tuple[Query, ...]: ...

    async def look(self, query: Query, covered: int | None, purse: Purse) -> Answer:
        """Fetch what is new since `covered` (event time up to which this query is covered; None: as far back as kept).

        The first request of the look is already spent. Raises `ProviderError`.
        """
        ...

    async def aclose(self) -> None: ...


@runtime_checkable
class Splitter(Protocol):
    """A source that can be asked, for a request, by which groups of users a value is made."""

    def splitting(self, series: Series) -> Splitting | None:
        """What that takes; None where a series cannot be split."""
        ...

    async def split(self, series: Series, dimension: Dimension, start: int, purse: Purse) -> Split:
        """The window that starts at `start`. Its one request is already spent. Raises `ProviderError`."""
        ...


PointsOf = Callable[[Series, int], Points | None]
"""Recorded points of a series from a window start on, as `StoreReader.points`; raises `StoreError`."""


@runtime_checkable
class Rereader(Protocol):
    """A source that reads again after a restart what it told before, and so must know what is on record."""

    def recall(self, recorded: PointsOf, covered: Mapping[str, int]) -> None:
        """Once, before the first look; `covered` is the end of what is on record by query. Raises `StoreError`."""
        ...


# ── alerts ───────────────────────────────────────────────────────────────────────────────────────────────────────────


class State(StrEnum):
    INACTIVE = "inactive"
    PENDING = "pending"
    FIRING = "firing"
    RESOLVED = "resolved"


class Cause(StrEnum):
    """Why an alert changed its state."""

    THRESHOLD = "threshold"  # the rule's own condition began or ended
    NO_DATA = "no_data"  # the vendor answered, with nothing, for longer than the rule allows
    REVISED = "revised"  # the vendor revised points that had been judged
    RULE_CHANGED = "rule_changed"  # the rule was removed or now means other labels
    BLIND = "blind"  # the daemon cannot see an account
    OUT_OF_HOURS = "out_of_hours"  # the rule is judged in certain hours only, and they ended
    EXPIRED = "expired"  # nothing was seen of it for so long that it is forgotten


def alert_id(rule: str, labels: Labels) -> str:
    """The alert's id: a hash of rule name and labels, the same after every restart."""
    text = json.dumps([rule, sorted(labels.items())], ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hurt:
    """A group of users that stands out: its value of `signal` and its users, beside the whole's value (`base`)."""

    dimension: Dimension
    group: str
    signal: str
    value: float
    users: float
    base: float
    counts: str = "users"  # what `users` are


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """A change of an alert's state at an event time: one entry of the append-only log.

    `seq` counts an alert's entries from 1. `at` is the event time at which `state` is entered; for FIRING it is
    `condition_at`. `starts_at` is the event time at which the condition of this episode began. `known_at` is the run
    clock when it was found. Where `retracts` is set, the alert's earlier entries with `at >= retracts` are void: the
    vendor revised its points. Folding the log (`fold`) gives the settled timeline.

    Where `updates` is set, nothing changed: the entry says more of the one with that number (`affected`: who is hurt),
    and is that entry otherwise.
    """

    alert_id: str
    seq: int
    rule: str
    labels: Labels
    severity: str
    state: State
    at: int
    starts_at: int
    known_at: float
    cause: Cause
    value: float | None = None
    threshold: float | None = None
    normal: float | None = None  # what `value` would have been on an ordinary day, or what the objective asks for
    peak: float | None = None
    users: float | None = None
    weight: float | None = None  # users or streams behind `value` itself, where the vendor says
    signal: str = ""  # what value, threshold and peak measure; empty for the daemon's own alerts
    unguarded: bool = False
    retracts: int | None = None
    annotations: Labels = field(default_factory=dict)
    updates: int | None = None
    affected: tuple[Hurt, ...] = ()

    @property
    def change(self) -> int:
        """The number of the entry that this one is about: its own, but for an update."""
        return self.seq if self.updates is None else self.updates


def fold(log: Sequence[Transition]) -> list[tuple[int, State]]:
    """The settled timeline of one alert from its emitted log: (event time, state entered), without no-ops."""
    timeline: list[tuple[int, State]] = []
    for entry in log:
        if entry.retracts is not None:
            while timeline and timeline[-1][0] >= entry.retracts:
                timeline.pop()
        if (timeline[-1][1] if timeline else State.INACTIVE) != entry.state:
            timeline.append((entry.at, entry.state))
    return timeline


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedAlert:
    """What the evaluator needs to go on with an alert after a restart; `body` is its own JSON object."""

    alert_id: str
    rule: str
    body: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Obligation:
    """That a transition must reach a target, or be dropped for a recorded reason. `id` is stable across restarts."""

    id: str
    target: str
    transition: Transition
    created_at: float
    route: Labels = field(default_factory=dict)  # the group's labels, for grouping and for the message
    dropped: str = ""  # reason, where it is dropped at birth


def obligation_id(transition: Transition, target: str) -> str:
    """Stable id of the duty to tell `target` about `transition`."""
    return f"{transition.alert_id}-{transition.seq}-{target}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """What a message says of one alert, for targets that take data; `ended_at` is None while it fires."""

    alert_id: str
    rule: str
    severity: str
    labels: Labels
    annotations: Labels
    starts_at: int
    fired_at: int | None
    ended_at: int | None
    signal: str
    value: float | None
    threshold: float | None
    peak: float | None
    users: float | None
    normal: float | None = None
    most_users: float | None = None  # while it fired; known at its end

    @staticmethod
    def of(entry: Transition, fired_at: int | None = None, most_users: float | None = None) -> Detail:
        """From the entry that says it; `fired_at` where that is the end and its beginning is known."""
        fires = entry.state is State.FIRING
        return Detail(
            alert_id=entry.alert_id,
            rule=entry.rule,
            severity=entry.severity,
            labels=entry.labels,
            annotations=entry.annotations,
            starts_at=entry.starts_at,
            fired_at=entry.at if fires else fired_at,
            ended_at=None if fires else entry.at,
            signal=entry.signal,
            value=entry.value,
            threshold=entry.threshold,
            peak=entry.peak,
            users=entry.users,
            normal=entry.normal,
            most_users=most_users,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A signal around an incident, as recorded with the message that shows it; drawn when that is sent.

    `points` are (event time, value), ascending; `width` is the seconds that each stands for.
    """

    alert_id: str
    signal: str
    starts_at: int
    ended_at: int | None
    threshold: float | None
    width: int
    points: tuple[tuple[int, float], ...]


class Delivery(StrEnum):
    QUEUED = "queued"
    SENDING = "sending"  # an attempt is in flight: its outcome is unknown after a crash
    SENT = "sent"
    EXPIRED = "expired"
    REFUSED = "refused"  # the target says that no retry can help


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """One message for one target, discharging one or more obligations. `id` is the same in every repeat of it."""

    id: str
    target: str
    obligations: tuple[str, ...]
    alerts: tuple[str, ...]
    kind: str  # "firing", "resolved", "was_firing", ...
    title: str
    text: str
    html: str
    created_at: float
    delivery: Delivery = Delivery.QUEUED
    attempts: int = 0
    next_at: float = 0.0
    sent_at: float | None = None
    error: str = ""
    reason: str = ""  # why it goes out: news, a repeat, ... (`alerts.reasons.Said`)
    details: tuple[Detail, ...] = ()  # for targets that take data
    brief: str = ""  # the text, for chats and telephones
    charts: tuple[Chart, ...] = ()  # for targets that show pictures


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a target stands with one alert: the newest obligation about it, and what the target last heard.

    `told` says that the target believes that the alert fires; `said_at` is when it last heard of it (None: never).
    """

    latest: Obligation
    told: bool = False
    said_at: float | None = None


# ── what people decide about alerts ──────────────────────────────────────────────────────────────────────────────────

Match = Mapping[str, tuple[str, ...]]
"""A label, `rule`, `severity`, `signal` or `alert` (an id) -> the values that match; every key must."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """Nobody hears of matching alerts in [starts_at, ends_at], but for the end of what they were told.

    With `until_resolved` it ends early, when the last matching alert does.
    """

    id: str
    match: Match
    starts_at: float
    ends_at: float
    author: str
    comment: str
    created_at: float
    until_resolved: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ack:
    """Somebody has an alert in hand: it is not repeated until it changes, which is when its log grows past `seq`."""

    alert_id: str
    seq: int
    author: str
    comment: str
    at: float


class Sender(Protocol):
    """Hands one message to one target."""

    async def send(self, notification: Notification) -> None:
        """Return once the target accepted it. Raises `SendError`."""
        ...


# ── the durable state ────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Spend:
    """One request that left, or was about to: `at` in vendor time as known then, uncertain by `skew` seconds."""

    id: str
    account: str
    pools: tuple[str, ...]
    at: float
    skew: float
    units: float = 1.0  # more than one only for what is assumed spent before the first record of a day


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """Everything one step changes, recorded in one transaction: after a crash all of it happened, or nothing."""

    points: Sequence[Points] = ()
    covered: Mapping[str, int] = field(default_factory=dict)  # query id -> event time
    gaps: Sequence[Gap] = ()
    alerts: Sequence[SavedAlert] = ()
    forgotten: Sequence[str] = ()  # alert ids no longer kept
    transitions: Sequence[Transition] = ()
    obligations: Sequence[Obligation] = ()
    silences: Sequence[Silence] = ()  # new ones, and known ones whose end has changed
    acks: Sequence[Ack] = ()


class LedgerStore(Protocol):
    """What the ledger needs of the store. Blocking; raises `StoreError`."""

    def spends(self, account: str, since: float) -> list[Spend]: ...

    def record_spend(self, spend: Spend) -> None:
        """Durable on return. Recording the same id again replaces it (a stamp corrected by the vendor's clock)."""
        ...

    def refund(self, spend_id: str) -> None: ...

    def note(self, account: str, key: str) -> str | None:
        """A small durable fact about an account (learned clock offset, blind until)."""
        ...

    def put_note(self, account: str, key: str, value: str) -> None: ...


class Store(LedgerStore, Protocol):
    """The durable state. Blocking, one caller at a time, free of SQLite's particulars. Raises `StoreError`."""

    def commit(self, step: Commit) -> None: ...

    def points(self, series: Series, since: int) -> Points | None:
        """Recorded points of a series whose window starts at or after `since`; None where there are none."""
        ...

    def covered(self) -> dict[str, int]: ...

    def gaps(self, since: float) -> list[Gap]: ...

    def alerts(self) -> list[SavedAlert]: ...

    def transitions(self, *, alert: str | None = None, since: float = 0.0) -> list[Transition]:
        """In the order recorded; `since` is compared with `known_at`."""
        ...

    def latest(self) -> list[Transition]:
        """The newest entry of each alert that has any, in the order recorded."""
        ...

    def holders(self, never_told: Collection[str]) -> dict[str, frozenset[str]]:
        """Alert -> targets whose newest obligation says that it fires; those dropped for these reasons do not count."""
        ...

    def owed_targets(self) -> set[str]:
        """The targets of open obligations and of notifications that were not sent yet."""
        ...

    def open_obligations(self, target: str) -> list[Obligation]:
        """Neither discharged nor dropped, oldest first."""
        ...

    def obligations(self, since: float = 0.0) -> list[Obligation]:
        """All created at or after `since`, in the order recorded; `dropped` holds the reason, if any."""
        ...

    def standing(self, target: str) -> list[Standing]:
        """Of each alert that still fires, or that the target believes to fire."""
        ...

    def silences(self, since: float) -> list[Silence]:
        """Those that end at or after `since`, oldest first."""
        ...

    def acks(self) -> list[Ack]:
        """The newest of each alert."""
        ...

    def drop_obligations(self, reasons: Mapping[str, str], at: float) -> None:
        """Obligation id -> reason."""
        ...

    def record_notification(self, notification: Notification) -> None:
        """Insert with the obligations it discharges, in one transaction."""
        ...

    def update_notification(self, notification: Notification) -> None: ...

    def unsent(self, target: str) -> list[Notification]:
        """QUEUED and SENDING, oldest first."""
        ...

    def notifications(self, since: float) -> list[Notification]: ...

    def prune(self, *, points_before: int, records_before: float) -> int:
        """Forget a bounded batch of old points and finished records; the number of rows removed, 0 once all are."""
        ...

    def probe(self) -> None:
        """Raise `StoreError` unless a write would succeed now."""
        ...

    def close(self) -> None: ...


class StoreReader(Protocol):
    """What other commands read of the state, beside the daemon or without it. Blocking; raises `StoreError`."""

    def series(self) -> list[Series]:
        """Every series that has points."""
        ...

    def points(self, series: Series, since: int) -> Points | None: ...

    def covered(self) -> dict[str, int]: ...

    def gaps(self, since: float) -> list[Gap]: ...

    def alerts(self) -> list[SavedAlert]: ...

    def transitions(self, *, alert: str | None = None, since: float = 0.0) -> list[Transition]: ...

    def latest(self) -> list[Transition]: ...

    def obligations(self, since: float = 0.0) -> list[Obligation]:
        """All created at or after `since`, in the order recorded; `dropped` holds the reason, if any."""
        ...

    def notifications(self, since: float) -> list[Notification]: ...

    def notifications_about(self, alert: str, limit: int) -> list[Notification]:
        """The newest messages about an alert, newest first."""
        ...

    def obligations_about(self, alert: str, limit: int) -> list[Obligation]:
        """The newest duties to tell of an alert, newest first; `dropped` holds the reason, if any."""
        ...

    def silences(self, since: float) -> list[Silence]: ...

    def acks(self) -> list[Ack]: ...

    def spends(self, account: str, since: float) -> list[Spend]: ...

    def close(self) -> None: ...


Wake = Callable[[], None]
AsyncStep = Callable[[], Awaitable[None]]
