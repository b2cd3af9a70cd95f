"""What Prometheus sees: a collector over one snapshot, taken when it scrapes (design, section 8).

The parts of the program keep plain counters and know nothing of Prometheus; the app fills a `Snapshot` from them at
each scrape, and only here do numbers get metric names, types and labels. So a series that ended is simply not in the
next snapshot. Gauges that are set where things happen were considered: they must be removed by hand when a call ends,
and they keep showing the last value of an account that cannot be seen: "no data is health", against invariant 4.

Two families for each signal, value and time of that value, since the newest window may be minutes old and a Prometheus
rule must be able to tell. A series vanishes once its point is older than its own limit (`SeriesValue.max_age`).

Label values come from closed sets or from the configuration, and closed sets are shown in full from the start, so that
`rate()` sees the first failure. Names that users chose are cut and cleaned all the same (invariant 7).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from platform import python_version
from typing import NamedTuple

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector

from watcher.errors import Reason, clip
from watcher.model import SIGNALS, Series, State

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
"""What `render` returns, for the HTTP header."""

OK = "ok"
"""The outcome of a look that succeeded; all others are a `Reason`."""

MAX_LABEL = 128  # characters of one label value

_SERIES_LABELS = ("account", "provider", "project", "product", "channel")
_OUTCOMES = (OK, *Reason)
_DELIVERIES = ("sent", "expired", "refused")
_FAILURES = ("error", "deadline")


# ── the snapshot: plain data, filled by the app ──────────────────────────────────────────────────────────────────────


class SeriesValue(NamedTuple):
    """The newest point of a series: `ended_at` is its event time; older than `max_age` seconds it is not shown."""

    series: Series
    value: float
    ended_at: float
    max_age: float


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaHealth:
    """One quota window of a pool, in requests: spent now, allowed to us, the vendor's limit, most in any one window."""

    pool: str
    family: str
    window: str  # "minute", "day", "30s"
    spent: float
    allowed: int
    limit: int
    worst: int
    resets_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolHealth:
    """A quota pool since the start: requests that left, and those that the vendor refused for quota."""

    pool: str
    family: str
    requests: int
    refused: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountHealth:
    """One account. Counters count since the start.

    `looks` is by (signal, outcome), an outcome being `OK` or a `Reason`; `scheduled` by why the schedule asked.
    `covered_at` is, for each query, the event time (run clock) up to which it is covered; None before the first answer.
    `age_limits` is how old the newest window of each may be until it counts as stale, in seconds.
    `blind` is the reason why the account cannot be seen now, if so. `oddities` is by kind of what was repaired in
    payloads, `limits` by what a bound of the judging cost.
    """

    account: str
    provider: str
    signals: Sequence[str]
    looks: Mapping[tuple[str, str], int]
    look_seconds: float
    scheduled: Mapping[str, int]
    budget_refusals: int
    windows_covered: int
    windows_lost: int
    oddities: Mapping[str, int]
    limits: Mapping[str, int]
    covered_at: Mapping[str, float | None]
    age_limits: Mapping[str, float]
    quotas: Sequence[QuotaHealth]
    pools: Sequence[PoolHealth]
    blind: Reason | None = None
    inquiries: Mapping[str, int] = field(default_factory=dict)  # who is affected, by what became of the question
    inquiry_requests: int = 0
    questions: Mapping[str, int] = field(default_factory=dict)  # what people asked, by what became of it
    question_requests: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetHealth:
    """One target's outbox. Counters count since the start, ages are in seconds.

    `oldest_age` is that of the oldest obligation or message, `undelivered_age` that of the oldest message: nothing but
    the target holds that one back.
    """

    target: str
    notifications: Mapping[str, int]  # "sent", "expired", "refused"
    failures: Mapping[str, int]  # attempts: "error", "deadline"
    dropped: Mapping[str, int]  # obligations, by reason
    held: Mapping[str, int]  # obligations that wait now, by reason
    said: Mapping[str, int]  # messages, by why they went out
    not_durable: int
    overflowed: int
    open: int
    oldest_age: float
    undelivered_age: float
    in_flight: int
    hung: int
    failing: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleHealth:
    """One rule: where it fires and where it clears, in the signal's unit, and how many of its alerts fire now."""

    rule: str
    signal: str
    severity: str
    threshold: float | None  # None where it moves
    clear: float | None
    firing: int
    learning: int = 0  # alerts that are not judged yet for want of history


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Everything the metrics show, as of `now` (run clock)."""

    now: float
    version: str
    started_at: float
    values: Sequence[SeriesValue] = ()
    accounts: Sequence[AccountHealth] = ()
    targets: Sequence[TargetHealth] = ()
    severities: Sequence[str] = ()  # those that rules name: shown at 0
    alerts: Mapping[tuple[State, str], int] = field(default_factory=dict)  # by (PENDING or FIRING, severity)
    transitions: Mapping[State, int] = field(default_factory=dict)
    rules: Sequence[RuleHealth] = ()
    rule_errors: Mapping[str, int] = field(default_factory=dict)  # by rule, every rule
    unrouted: int = 0  # alerts that fired and that no route takes
    store_errors: int = 0
    reloads: Mapping[bool, int] = field(default_factory=dict)  # by whether it succeeded
    reloaded_at: float | None = None  # the last that succeeded; None: only the start
    restarts: Mapping[str, int] = field(default_factory=dict)  # by task that crashed
    hooks: Mapping[tuple[str, str], int] = field(default_factory=dict)  # by hook and how it was answered
    limits: Mapping[str, int] = field(default_factory=dict)  # by bound of the program: what it cost


def render(snapshot: Snapshot) -> bytes:
    """The body of `/metrics`, in the text format `CONTENT_TYPE` names."""
    return generate_latest(_Collector(snapshot))


class _Collector(Collector):
    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        snapshot = self._snapshot
        return chain(
            _signals(snapshot),
            _accounts(snapshot.accounts, snapshot.now),
            _quotas(snapshot.accounts),
            _alerts(snapshot),
            _targets(snapshot.targets),
            _program(snapshot),
            ProcessCollector(registry=None).collect(),
        )


# ── signals ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _signals(snapshot: Snapshot) -> Iterator[Metric]:
    by_signal: dict[str, dict[tuple[str, ...], SeriesValue]] = {}
    stale = alike = 0
    for value in snapshot.values:
        if snapshot.now - value.ended_at > value.max_age:
            stale += 1
            continue
        shown = by_signal.setdefault(value.series.signal, {})
        labels = tuple(map(label, value.series[:-1]))
        if labels in shown:  # two names that are the same once cut: Prometheus would refuse the whole page
            alike += 1
        else:
            shown[labels] = value
    for signal in SIGNALS:
        if signal in by_signal:
            yield from _signal(signal, by_signal[signal])
    yield _gauges(
        "watcher_hidden_series",
        "Series that are not shown: too old, or alike once their names are cut.",
        ("reason",),
        [(("stale",), stale), (("alike",), alike)],
    )


def _signal(signal: str, shown: Mapping[tuple[str, ...], SeriesValue]) -> Iterator[Metric]:
    name, help_ = f"watcher_{signal}", SIGNALS[signal].help
    values = GaugeMetricFamily(name, help_)
    times = GaugeMetricFamily(f"{name}_timestamp_seconds", f"End of the window that {name} is about.")
    for labels, value in shown.items():
        both = dict(zip(_SERIES_LABELS, labels, strict=True))
        values.add_sample(values.name, both, value.value)
        times.add_sample(times.name, both, value.ended_at)
    yield values
    yield times


def label(text: str) -> str:
    """A label value: one printable line of at most `MAX_LABEL` characters."""
    return text if len(text) <= MAX_LABEL and text.isprintable() else clip(text, MAX_LABEL)


# ── own health ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _accounts(accounts: Sequence[AccountHealth], now: float) -> Iterator[Metric]:
    yield _gauges(
        "watcher_account_up",
        "1 while the account can be seen, 0 while it cannot.",
        ("account", "provider"),
        [((a.account, a.provider), a.blind is None) for a in accounts],
    )
    yield _gauges(
        "watcher_account_blind",
        "1 for the reason why the account cannot be seen.",
        ("account", "provider", "reason"),
        [((a.account, a.provider, reason), reason is a.blind) for a in accounts for reason in Reason],
    )
    yield _counters(
        "watcher_looks",
        "Looks at a signal, by how they ended.",
        ("account", "signal", "outcome"),
        [
            ((a.account, signal, outcome), a.looks.get((signal, outcome), 0))
            for a in accounts
            for signal in a.signals
            for outcome in _OUTCOMES
        ],
    )
    durations = SummaryMetricFamily(
        "watcher_look_duration_seconds", "Time that looks took, vendor included.", labels=("account",)
    )
    for name, account in {label(a.account): a for a in accounts}.items():
        durations.add_metric((name,), count_value=sum(account.looks.values()), sum_value=account.look_seconds)
    yield durations
    yield _counters(
        "watcher_scheduled_looks",
        "Looks, by why the schedule asked for them.",
        ("account", "reason"),
        [((a.account, reason), count) for a in accounts for reason, count in a.scheduled.items()],
    )
    yield _counters(
        "watcher_budget_refusals",
        "Looks that the account's own budget put off.",
        ("account",),
        [((a.account,), a.budget_refusals) for a in accounts],
    )
    yield _counters(
        "watcher_affected_inquiries",
        "Questions who is affected by an alert, by what became of them.",
        ("account", "outcome"),
        [((a.account, outcome), n) for a in accounts for outcome, n in a.inquiries.items()],
    )
    yield _counters(
        "watcher_affected_requests",
        "Requests spent on who is affected by an alert.",
        ("account",),
        [((a.account,), a.inquiry_requests) for a in accounts],
    )
    yield _counters(
        "watcher_questions",
        "What somebody asked beside the looks (watcher call, watcher groups), by what became of it.",
        ("account", "outcome"),
        [((a.account, outcome), n) for a in accounts for outcome, n in a.questions.items()],
    )
    yield _counters(
        "watcher_question_requests",
        "Requests spent on what somebody asked beside the looks.",
        ("account",),
        [((a.account,), a.question_requests) for a in accounts],
    )
    yield _counters(
        "watcher_covered_windows",
        "Windows that the vendor answered for, an empty answer included.",
        ("account",),
        [((a.account,), a.windows_covered) for a in accounts],
    )
    yield _counters(
        "watcher_lost_windows",
        "Windows that were not fetched while the vendor had them.",
        ("account",),
        [((a.account,), a.windows_lost) for a in accounts],
    )
    yield _counters(
        "watcher_oddities",
        "What was repaired or dropped in the vendor's answers.",
        ("account", "kind"),
        [((a.account, kind), count) for a in accounts for kind, count in a.oddities.items()],
    )
    yield _counters(
        "watcher_unjudged_windows",
        "Windows that were left out of the judging, by the bound that they met.",
        ("account", "limit"),
        [((a.account, limit), count) for a in accounts for limit, count in a.limits.items()],
    )
    yield _gauges(
        "watcher_query_data_age_seconds",
        "Time since the newest window that the vendor answered for.",
        ("account", "query"),
        [((a.account, q), max(0.0, now - at)) for a in accounts for q, at in a.covered_at.items() if at is not None],
    )
    yield _gauges(
        "watcher_query_data_age_limit_seconds",
        "Age from which that window counts as stale: twice the promised gap, or one and a day, and the vendor's delay.",
        ("account", "query"),
        [((a.account, q), limit) for a in accounts for q, limit in a.age_limits.items()],
    )


def _quotas(accounts: Sequence[AccountHealth]) -> Iterator[Metric]:
    labels = ("account", "family", "pool", "window")
    quotas = [((a.account, q.family, q.pool, q.window), q) for a in accounts for q in a.quotas]
    yield _gauges(
        "watcher_quota_spent_requests",
        "Requests spent in the current window of a quota.",
        labels,
        [(key, quota.spent) for key, quota in quotas],
    )
    yield _gauges(
        "watcher_quota_allowed_requests",
        "Requests that the daemon allows itself in a window of a quota.",
        labels,
        [(key, quota.allowed) for key, quota in quotas],
    )
    yield _gauges(
        "watcher_quota_limit_requests",
        "The vendor's limit for a window of a quota.",
        labels,
        [(key, quota.limit) for key, quota in quotas],
    )
    yield _gauges(
        "watcher_quota_worst_requests",
        "Most requests in any one window of a quota.",
        labels,
        [(key, quota.worst) for key, quota in quotas],
    )
    yield _gauges(
        "watcher_quota_reset_timestamp_seconds",
        "When the next window of a quota begins.",
        labels,
        [(key, quota.resets_at) for key, quota in quotas],
    )
    pools = [((a.account, p.family, p.pool), p) for a in accounts for p in a.pools]
    yield _counters(
        "watcher_requests",
        "Requests sent to the vendor.",
        labels[:-1],
        [(key, pool.requests) for key, pool in pools],
    )
    yield _counters(
        "watcher_refused_requests",
        "Requests that the vendor refused for quota.",
        labels[:-1],
        [(key, pool.refused) for key, pool in pools],
    )


def _alerts(snapshot: Snapshot) -> Iterator[Metric]:
    severities = dict.fromkeys((*snapshot.severities, *(severity for _, severity in snapshot.alerts)))
    yield _gauges(
        "watcher_alerts",
        "Alerts by state and severity.",
        ("state", "severity"),
        [
            ((state, severity), snapshot.alerts.get((state, severity), 0))
            for state in (State.PENDING, State.FIRING)
            for severity in severities
        ],
    )
    yield _counters(
        "watcher_transitions",
        "Changes of an alert's state, by the state entered.",
        ("state",),
        [((state,), snapshot.transitions.get(state, 0)) for state in State],
    )
    yield from _rules(snapshot.rules)
    yield _counters(
        "watcher_rule_errors",
        "Evaluations of a rule that crashed.",
        ("rule",),
        [((rule,), count) for rule, count in snapshot.rule_errors.items()],
    )
    yield _counters(
        "watcher_unrouted_alerts", "Alerts that fired and that no route takes.", (), [((), snapshot.unrouted)]
    )


def _rules(rules: Sequence[RuleHealth]) -> Iterator[Metric]:
    labels = ("rule", "signal", "severity")
    numbers: Sequence[float | None]
    for name, help_, numbers in (
        ("watcher_rule_threshold", "The level at which a rule fires.", [r.threshold for r in rules]),
        ("watcher_rule_clear_threshold", "The level at which it clears.", [r.clear for r in rules]),
        ("watcher_rule_firing_alerts", "Alerts of a rule that fire.", [r.firing for r in rules]),
        (
            "watcher_rule_learning_alerts",
            "Alerts of a rule that are not judged yet: too little is known of the past.",
            [r.learning for r in rules],
        ),
    ):
        known = (((r.rule, r.signal, r.severity), n) for r, n in zip(rules, numbers, strict=True) if n is not None)
        yield _gauges(name, help_, labels, known)


def _targets(targets: Sequence[TargetHealth]) -> Iterator[Metric]:
    yield _counters(
        "watcher_notifications",
        "Messages, by how their delivery ended.",
        ("target", "outcome"),
        [((t.target, outcome), t.notifications.get(outcome, 0)) for t in targets for outcome in _DELIVERIES],
    )
    yield _counters(
        "watcher_send_failures",
        "Attempts to send a message that failed.",
        ("target", "reason"),
        [((t.target, reason), t.failures.get(reason, 0)) for t in targets for reason in _FAILURES],
    )
    yield _counters(
        "watcher_dropped_obligations",
        "Obligations to tell a target that were dropped, by reason.",
        ("target", "reason"),
        [((t.target, reason), count) for t in targets for reason, count in t.dropped.items()],
    )
    yield _counters(
        "watcher_messages",
        "Messages written for a target, by why they go out.",
        ("target", "reason"),
        [((t.target, reason), count) for t in targets for reason, count in t.said.items()],
    )
    yield _gauges(
        "watcher_held_obligations",
        "Obligations to tell a target that wait, by reason.",
        ("target", "reason"),
        [((t.target, reason), count) for t in targets for reason, count in t.held.items()],
    )
    names = [(t.target,) for t in targets]
    for name, help_, counts in (
        (
            "watcher_not_durable_notifications",
            "Messages sent from memory, since the state could not be written.",
            [t.not_durable for t in targets],
        ),
        (
            "watcher_overflowed_notifications",
            "Messages given up because memory for them was full.",
            [t.overflowed for t in targets],
        ),
    ):
        yield _counters(name, help_, ("target",), zip(names, counts, strict=True))
    numbers: Sequence[float]
    for name, help_, numbers in (
        ("watcher_obligations_open", "Obligations waiting, and messages undelivered.", [t.open for t in targets]),
        ("watcher_oldest_unsent_age_seconds", "Age of the oldest of them.", [t.oldest_age for t in targets]),
        (
            "watcher_oldest_undelivered_age_seconds",
            "Age of the oldest message that is written and not delivered.",
            [t.undelivered_age for t in targets],
        ),
        ("watcher_sends_in_flight", "Attempts under way.", [t.in_flight for t in targets]),
        ("watcher_sends_hung", "Those past their deadline that have not returned.", [t.hung for t in targets]),
        ("watcher_target_failing", "1 while the target refuses or does not answer.", [t.failing for t in targets]),
    ):
        yield _gauges(name, help_, ("target",), zip(names, numbers, strict=True))


def _program(snapshot: Snapshot) -> Iterator[Metric]:
    yield _gauges(
        "watcher_build_info",
        "The release that runs.",
        ("version", "python"),
        [((snapshot.version, python_version()), 1)],
    )
    yield _gauges(
        "watcher_start_timestamp_seconds", "When the daemon started, on its own clock.", (), [((), snapshot.started_at)]
    )
    yield _counters("watcher_store_errors", "Failed writes and reads of the state.", (), [((), snapshot.store_errors)])
    yield _counters(
        "watcher_config_reloads",
        "Reloads of the configuration, by outcome.",
        ("outcome",),
        [(("success",), snapshot.reloads.get(True, 0)), (("failure",), snapshot.reloads.get(False, 0))],
    )
    yield _gauges(
        "watcher_config_last_success_timestamp_seconds",
        "When the configuration in use was read.",
        (),
        [((), snapshot.started_at if snapshot.reloaded_at is None else snapshot.reloaded_at)],
    )
    yield _counters(
        "watcher_task_restarts",
        "Tasks that crashed and were begun anew.",
        ("task",),
        [((task,), count) for task, count in snapshot.restarts.items()],
    )
    yield _counters(
        "watcher_hook_requests",
        "Hints from outside that showed the token, by hook and how they were answered.",
        ("hook", "outcome"),
        [(key, count) for key, count in snapshot.hooks.items()],
    )
    yield _counters(
        "watcher_limit_losses",
        "What bounds of the program cost.",
        ("limit",),
        [((limit,), count) for limit, count in snapshot.limits.items()],
    )


# ── families ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _gauges(
    name: str, help_: str, labels: Sequence[str], samples: Iterable[tuple[Sequence[str], float]]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, help_, labels=labels)
    for values, number in _distinct(samples):
        family.add_metric(values, number)
    return family


def _counters(
    name: str, help_: str, labels: Sequence[str], samples: Iterable[tuple[Sequence[str], float]]
) -> CounterMetricFamily:
    """`_total` is appended by the exposition."""
    family = CounterMetricFamily(name, help_, labels=labels)
    for values, number in _distinct(samples):
        family.add_metric(values, number)
    return family


def _distinct(samples: Iterable[tuple[Sequence[str], float]]) -> Iterable[tuple[Sequence[str], float]]:
    """Samples with clean labels, one for each set of them: a repeated one would make Prometheus refuse the page."""
    return {tuple(map(label, values)): number for values, number in samples}.items()
