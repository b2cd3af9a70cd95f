"""What the API answers with: one shape per document, from which body, page and description are made alike.

msgspec's structs and not pydantic's models, though the configuration is read with those: what goes out is made by us
and needs no validation, msgspec writes 500 series in a millisecond, what comes in here is read by it already, and its
JSON Schema of the same types is the API's description (`openapi`). Two libraries for one document would be two truths.

Instants are RFC 3339 in UTC, values base units (ratios 0-1), spans of time seconds. Text of vendors and users is cut by
whoever fills these in (`app.board`), and escaped by whoever shows it.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Time = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
Severity = str
AlertState = Literal["pending", "firing"]
Sight = Literal["seen", "late", "blind", "starting"]
MAX_SILENCE = 366 * 86_400  # seconds

Line = Annotated[str, Meta(max_length=500)]
Name = Annotated[str, Meta(min_length=1, max_length=100)]
Values = Annotated[tuple[Annotated[str, Meta(max_length=500)], ...], Meta(min_length=1, max_length=50)]


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """Base of what goes out."""


# ── what comes in ────────────────────────────────────────────────────────────────────────────────────────────────────


class NewSilence(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A silence of `seconds` from now, or less if `until_resolved` and the last matching alert ends before."""

    match: Annotated[dict[Name, Values], Meta(min_length=1, max_length=20)]
    seconds: Annotated[int, Meta(ge=1, le=MAX_SILENCE)]
    author: Name
    comment: Line = ""
    until_resolved: bool = False


class NewAck(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who has an alert in hand."""

    author: Name
    comment: Line = ""


# ── alerts ───────────────────────────────────────────────────────────────────────────────────────────────────────────


class Affected(Shape, frozen=True, kw_only=True):
    """A group of users that stands out: its value of `signal` and its users, beside the whole's value (`base`)."""

    dimension: str
    group: str
    signal: str
    value: float
    users: float
    base: float


class Alert(Shape, frozen=True, kw_only=True):
    """An alert that fires or is about to. `unjudged_since`: its account cannot be seen, so it stands as it was.

    `normal` is what would have been usual, where its rule compares with that. `affected_says` is who is hurt in words,
    or why that is not known; empty while nobody has asked.
    """

    id: str
    rule: str
    state: AlertState
    severity: Severity
    labels: dict[str, str]
    starts_at: Time
    fired_at: Time | None
    value: float | None
    threshold: float | None
    normal: float | None
    users: float | None
    summary: str
    affected: list[Affected]
    affected_says: str
    silenced: bool
    acknowledged_by: str | None
    unjudged_since: Time | None


class ShownAlert(Alert, frozen=True, kw_only=True):
    """An alert with what the running daemon knows of it.

    `why` is a sentence; `known_until` the event time up to which its windows are known; `told` the targets that it
    is or will be told to; `muted` why nobody is told of it now; `holds` and `clears` are the rule's timers in seconds.
    """

    signal: str
    clear: float | None
    peak: float | None
    description: str
    runbook: str
    why: str
    known_until: Time | None
    told: list[str]
    muted: str | None
    holds: int
    clears: int
    unguarded: bool


class Alerts(Shape, frozen=True, kw_only=True):
    """What fires or is about to, the worst first; `left_out` more there are than shown."""

    alerts: list[ShownAlert]
    left_out: int


class PastAlert(Shape, frozen=True, kw_only=True):
    """An alert that ended lately."""

    id: str
    rule: str
    severity: Severity
    labels: dict[str, str]
    starts_at: Time
    ended_at: Time
    signal: str
    peak: float | None
    threshold: float | None
    cause: str


class LogEntry(Shape, frozen=True, kw_only=True):
    """A change of an alert's state at an event time, and when that became known.

    Where `updates` is set nothing changed: more became known of the entry with that number.
    """

    seq: int
    state: str
    at: Time
    known_at: Time
    cause: str
    value: float | None
    threshold: float | None
    users: float | None
    retracts: Time | None
    updates: int | None


class Message(Shape, frozen=True, kw_only=True):
    """A message about an alert, to one target."""

    target: str
    kind: str
    title: str
    reason: str
    delivery: str
    created_at: Time
    sent_at: Time | None
    attempts: int
    error: str


class Unsaid(Shape, frozen=True, kw_only=True):
    """That a target was not told of a change, and why."""

    target: str
    seq: int
    reason: str


class Span(Shape, frozen=True, kw_only=True):
    """How long an alert was pending or firing; `ends_at` is None while it is."""

    state: AlertState
    starts_at: Time
    ends_at: Time | None


class Chart(Shape, frozen=True, kw_only=True):
    """A signal over time: `points` are (end of the window as Unix seconds, value)."""

    signal: str
    starts_at: Time
    ends_at: Time
    threshold: float | None
    clear: float | None
    points: list[tuple[int, float]]
    spans: list[Span]


class AlertDetail(Shape, frozen=True, kw_only=True):
    """One alert with its log, what was sent about it and what was not, and the chart of its last hour.

    `alert` is None where it neither fires nor is about to; `rule` and `labels` name it in any case.
    """

    id: str
    rule: str
    labels: dict[str, str]
    alert: ShownAlert | None
    log: list[LogEntry]
    notifications: list[Message]
    unsaid: list[Unsaid]
    chart: Chart | None


# ── silences ─────────────────────────────────────────────────────────────────────────────────────────────────────────


class ShownSilence(Shape, frozen=True, kw_only=True):
    """A silence that holds, will hold, or ended within a day."""

    id: str
    match: dict[str, list[str]]
    starts_at: Time
    ends_at: Time
    author: str
    comment: str
    created_at: Time
    until_resolved: bool
    state: Literal["pending", "active", "expired"]


class Silences(Shape, frozen=True, kw_only=True):
    """All of them, oldest first."""

    silences: list[ShownSilence]


class ChangedSilence(Shape, frozen=True, kw_only=True):
    """What a change came to: how many alerts that fire now it matches. Not `durable` where the state cannot be written
    now."""

    silence: ShownSilence
    matching: int
    durable: bool


class ShownAck(Shape, frozen=True, kw_only=True):
    """Somebody has an alert in hand until its log grows past `seq`."""

    alert_id: str
    seq: int
    author: str
    comment: str
    at: Time


class ChangedAck(Shape, frozen=True, kw_only=True):
    """What an acknowledgement came to."""

    ack: ShownAck
    durable: bool


# ── signals ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class Signal(Shape, frozen=True, kw_only=True):
    """The newest value of a series; `stale` where it is older than was promised."""

    account: str
    provider: str
    project: str
    product: str
    channel: str
    signal: str
    unit: str
    value: float
    at: Time
    stale: bool
    threshold: float | None
    clear: float | None


class Signals(Shape, frozen=True, kw_only=True):
    """The series there are; `left_out` more than shown."""

    signals: list[Signal]
    left_out: int


class SeriesPoints(Shape, frozen=True, kw_only=True):
    """One series over the time asked for."""

    account: str
    provider: str
    project: str
    product: str
    channel: str
    chart: Chart


# ── accounts, budget and schedule ────────────────────────────────────────────────────────────────────────────────────


class Quota(Shape, frozen=True, kw_only=True):
    """One quota window in requests. `expected` is what it holds at its reset at the pace of the last hour."""

    pool: str
    family: str
    window: str
    spent: float
    allowed: int
    limit: int
    expected: float
    resets_at: Time


class Account(Shape, frozen=True, kw_only=True):
    """One account. `observed_ratio` is the share of the last day's windows not lost, all of its
    queries that were answered are known up to `data_until`; `sight` says whether it can be seen, `reason` and `since`
    why not and since when."""

    account: str
    provider: str
    sight: Sight
    reason: str
    since: Time | None
    observed_ratio: float
    windows_lost: int
    data_until: Time | None
    data_age_seconds: float | None
    quotas: list[Quota]


class Accounts(Shape, frozen=True, kw_only=True):
    """Every account that is configured."""

    accounts: list[Account]


class Look(Shape, frozen=True, kw_only=True):
    """When a query is looked at next, and why. `certain` is the account's very next look; of the others `at` is the
    latest time that was promised."""

    account: str
    query: str
    at: Time | None
    reason: str
    certain: bool
    last_at: Time | None
    covered_until: Time | None
    failures: int


class Schedule(Shape, frozen=True, kw_only=True):
    """The next looks, soonest first; `left_out` more queries than shown."""

    looks: list[Look]
    left_out: int


# ── rules and targets ────────────────────────────────────────────────────────────────────────────────────────────────


class RuleRow(Shape, frozen=True, kw_only=True):
    """A rule, and how many of its alerts fire now. Limits that move with what is normal are None."""

    rule: str
    signal: str
    severity: Severity
    condition: str
    holds: int
    threshold: float | None
    clear: float | None
    firing: int
    errors: int


class Rules(Shape, frozen=True, kw_only=True):
    """Every rule that is judged."""

    rules: list[RuleRow]


class PageSeconds(Shape, frozen=True, kw_only=True):
    """From the condition to the page."""

    earliest: float
    mean: float
    p95: float
    worst: float


class OnsetSeconds(Shape, frozen=True, kw_only=True):
    """From the onset of the trouble to the page."""

    mean: float
    p95: float
    worst: float


class ExplainedAlert(Shape, frozen=True, kw_only=True):
    """One alert of the rule as it stands, and why."""

    labels: dict[str, str]
    state: str
    since: Time | None
    value: float | None
    threshold: float | None
    known_until: Time | None
    marks: list[str]
    why: str
    affected: str


class ExplainedAccount(Shape, frozen=True, kw_only=True):
    """The rule for one account: how soon it can page, and what is spent to know."""

    account: str
    page_seconds: PageSeconds
    onset_to_page_seconds: OnsetSeconds
    looks_per_day: float
    requests_today: float
    requests_allowed: int
    alerts: list[ExplainedAlert]


class Explained(Shape, frozen=True, kw_only=True):
    """Why a rule is or is not firing, as `watcher explain RULE --json` prints it."""

    rule: str
    signal: str
    accounts: list[ExplainedAccount]


class Target(Shape, frozen=True, kw_only=True):
    """One target's outbox: what waits, since when (seconds), and what became of messages since the start."""

    target: str
    failing: bool
    open: int
    oldest_age_seconds: float
    in_flight: int
    hung: int
    sent: int
    expired: int
    refused: int
    not_durable: int
    held: dict[str, int]
    dropped: dict[str, int]
    failed: dict[str, int]


class Targets(Shape, frozen=True, kw_only=True):
    """Every target that is told of alerts."""

    targets: list[Target]


# ── the whole ────────────────────────────────────────────────────────────────────────────────────────────────────────


class Trouble(Shape, frozen=True, kw_only=True):
    """What the daemon cannot see, record or tell now, in a sentence."""

    kind: Literal["starting", "blind", "late", "state", "target", "rule"]
    what: str
    since: Time | None


class Status(Shape, frozen=True, kw_only=True):
    """The first screen: what fires by severity, who is affected, what cannot be seen, how old the oldest data is.

    `users` are those in calls where something fires, as far as they are counted; `projects` where that is.
    """

    version: str
    now: Time
    started_at: Time
    firing: dict[str, int]
    pending: int
    since: Time | None
    users: float | None
    projects: list[str]
    troubles: list[Trouble]
    data_until: Time | None
    data_age_seconds: float | None
    can_change: bool


class Problem(Shape, frozen=True, kw_only=True):
    """Why a request was refused, and what to do."""

    error: str
