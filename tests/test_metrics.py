"""The metrics page: what is shown, what vanishes, and what Prometheus' own tool says of it."""

from __future__ import annotations

import math
import shutil
import subprocess
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from watcher.errors import Reason
from watcher.metrics import (
    MAX_LABEL,
    AccountHealth,
    PoolHealth,
    QuotaHealth,
    RuleHealth,
    SeriesValue,
    Snapshot,
    TargetHealth,
    render,
)
from watcher.model import SIGNALS, Series, State

NOW = 1_767_225_600.0
FREEZE = Series("acme", "agora", "classroom", "Native", "", "video_freeze_ratio")

ACCOUNT = AccountHealth(
    account="acme",
    provider="agora",
    signals=("users", "video_freeze_ratio"),
    looks={("users", "ok"): 7, ("users", "rate"): 2},
    look_seconds=4.5,
    scheduled={"due": 9, "urgent": 0},
    budget_refusals=3,
    windows_covered=96,
    windows_lost=4,
    oddities={"null": 5},
    limits={"stale": 0},
    covered_at={"q1": NOW - 75.0, "q2": None},
    age_limits={"q1": 900.0, "q2": 900.0},
    quotas=[
        QuotaHealth(
            pool="realtime",
            family="realtime",
            window="day",
            spent=9,
            allowed=479,
            limit=480,
            worst=9,
            resets_at=NOW + 60,
        )
    ],
    pools=[PoolHealth(pool="realtime", family="realtime", requests=9, refused=2)],
)
TARGET = TargetHealth(
    target="slack",
    notifications={"sent": 3},
    failures={},
    dropped={"superseded": 1},
    held={"group_interval": 2},
    said={"news": 3},
    not_durable=0,
    overflowed=0,
    open=2,
    oldest_age=30.5,
    in_flight=2,
    hung=1,
    failing=True,
)
SNAPSHOT = Snapshot(
    now=NOW,
    version="0.1.0",
    started_at=NOW - 3600,
    values=[SeriesValue(FREEZE, 0.25, NOW - 60, 300.0)],
    accounts=[ACCOUNT],
    targets=[TARGET],
    severities=("critical",),
    alerts={(State.FIRING, "critical"): 1},
    transitions={State.FIRING: 1},
    rules=[
        RuleHealth(
            rule="VideoFreezing",
            signal="video_freeze_ratio",
            severity="critical",
            threshold=0.05,
            clear=0.03,
            firing=1,
        )
    ],
    rule_errors={"VideoFreezing": 0},
    store_errors=6,
    reloads={True: 1, False: 2},
    reloaded_at=NOW - 10,
    restarts={"upkeep": 1},
    limits={"http_connections": 0},
)


def shown(snapshot: Snapshot) -> dict[str, dict[tuple[str, ...], float]]:
    """Sample name -> label values (by sorted label name) -> number, as Prometheus' own parser reads the page."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(render(snapshot).decode()):
        for sample in family.samples:
            labels = tuple(value for _, value in sorted(sample.labels.items()))
            assert labels not in found.setdefault(sample.name, {}), f"{sample.name}{labels} is there twice"
            found[sample.name][labels] = sample.value
    return found


def with_values(*values: SeriesValue) -> Snapshot:
    """The snapshot with these values."""
    return replace(SNAPSHOT, values=values)


def test_a_signal_has_a_value_and_a_time() -> None:
    """Two families of the same labels; empty labels are there, empty."""
    page = shown(SNAPSHOT)
    labels = ("acme", "", "Native", "classroom", "agora")
    assert page["watcher_video_freeze_ratio"] == {labels: 0.25}
    assert page["watcher_video_freeze_ratio_timestamp_seconds"] == {labels: NOW - 60}
    assert "watcher_users" not in page


def test_a_series_vanishes_with_age() -> None:
    """At its own limit a point is still shown, past it it is not, and the page counts what it hides."""
    old = SeriesValue(FREEZE._replace(channel="b"), 0.5, NOW - 60, 59.5)
    edge = SeriesValue(FREEZE._replace(channel="c"), 0.5, NOW - 60, 60.0)
    page = shown(with_values(old, edge))
    assert [labels[1] for labels in page["watcher_video_freeze_ratio"]] == ["c"]
    assert page["watcher_hidden_series"] == {("stale",): 1.0, ("alike",): 0.0}
    assert "watcher_video_freeze_ratio" not in shown(with_values(old))


def test_own_health_is_shown() -> None:
    """Each number of the snapshot has its place."""
    page = shown(SNAPSHOT)
    pool = ("acme", "realtime", "realtime")
    expected = {
        "watcher_account_up": {("acme", "agora"): 1.0},
        "watcher_look_duration_seconds_count": {("acme",): 9.0},
        "watcher_look_duration_seconds_sum": {("acme",): 4.5},
        "watcher_scheduled_looks_total": {("acme", "due"): 9.0, ("acme", "urgent"): 0.0},
        "watcher_budget_refusals_total": {("acme",): 3.0},
        "watcher_covered_windows_total": {("acme",): 96.0},
        "watcher_lost_windows_total": {("acme",): 4.0},
        "watcher_oddities_total": {("acme", "null"): 5.0},
        "watcher_unjudged_windows_total": {("acme", "stale"): 0.0},
        "watcher_query_data_age_seconds": {("acme", "q1"): 75.0},
        "watcher_query_data_age_limit_seconds": {("acme", "q1"): 900.0, ("acme", "q2"): 900.0},
        "watcher_quota_spent_requests": {(*pool, "day"): 9.0},
        "watcher_quota_allowed_requests": {(*pool, "day"): 479.0},
        "watcher_quota_limit_requests": {(*pool, "day"): 480.0},
        "watcher_quota_worst_requests": {(*pool, "day"): 9.0},
        "watcher_quota_reset_timestamp_seconds": {(*pool, "day"): NOW + 60},
        "watcher_requests_total": {pool: 9.0},
        "watcher_refused_requests_total": {pool: 2.0},
        "watcher_alerts": {("critical", "pending"): 0.0, ("critical", "firing"): 1.0},
        "watcher_rule_threshold": {("VideoFreezing", "critical", "video_freeze_ratio"): 0.05},
        "watcher_rule_clear_threshold": {("VideoFreezing", "critical", "video_freeze_ratio"): 0.03},
        "watcher_rule_firing_alerts": {("VideoFreezing", "critical", "video_freeze_ratio"): 1.0},
        "watcher_rule_errors_total": {("VideoFreezing",): 0.0},
        "watcher_unrouted_alerts_total": {(): 0.0},
        "watcher_dropped_obligations_total": {("superseded", "slack"): 1.0},
        "watcher_messages_total": {("news", "slack"): 3.0},
        "watcher_held_obligations": {("group_interval", "slack"): 2.0},
        "watcher_not_durable_notifications_total": {("slack",): 0.0},
        "watcher_overflowed_notifications_total": {("slack",): 0.0},
        "watcher_obligations_open": {("slack",): 2.0},
        "watcher_oldest_unsent_age_seconds": {("slack",): 30.5},
        "watcher_sends_in_flight": {("slack",): 2.0},
        "watcher_sends_hung": {("slack",): 1.0},
        "watcher_target_failing": {("slack",): 1.0},
        "watcher_start_timestamp_seconds": {(): NOW - 3600},
        "watcher_store_errors_total": {(): 6.0},
        "watcher_config_reloads_total": {("success",): 1.0, ("failure",): 2.0},
        "watcher_config_last_success_timestamp_seconds": {(): NOW - 10},
        "watcher_task_restarts_total": {("upkeep",): 1.0},
        "watcher_limit_losses_total": {("http_connections",): 0.0},
    }
    assert {name: page[name] for name in expected} == expected
    assert page["process_resident_memory_bytes"][()] > 0


def test_closed_sets_are_complete_from_the_start() -> None:
    """Every outcome, state and reason is there at 0 before it ever happened."""
    page = shown(SNAPSHOT)
    looks = page["watcher_looks_total"]
    assert set(looks) == {("acme", o, s) for s in ACCOUNT.signals for o in ("ok", *Reason)}
    assert {labels: n for labels, n in looks.items() if n} == {
        ("acme", "ok", "users"): 7.0,
        ("acme", "rate", "users"): 2.0,
    }
    assert page["watcher_transitions_total"] == {(state,): float(state is State.FIRING) for state in State}
    assert page["watcher_notifications_total"] == {
        ("sent", "slack"): 3.0, ("expired", "slack"): 0.0, ("refused", "slack"): 0.0
    }  # fmt: skip
    assert page["watcher_send_failures_total"] == {("error", "slack"): 0.0, ("deadline", "slack"): 0.0}


def test_blindness_names_its_reason() -> None:
    """A blind account is down, and exactly one reason of the closed set is 1."""
    page = shown(replace(SNAPSHOT, accounts=[replace(ACCOUNT, blind=Reason.AUTH)]))
    assert page["watcher_account_up"] == {("acme", "agora"): 0.0}
    blind = page["watcher_account_blind"]
    assert set(blind) == {("acme", "agora", reason) for reason in Reason}
    assert [labels for labels, number in blind.items() if number] == [("acme", "agora", "auth")]
    assert not any(shown(SNAPSHOT)["watcher_account_blind"].values())


def promtool(page: bytes) -> str:
    """What `promtool check metrics` says: nothing where all is well."""
    found = shutil.which("promtool")
    assert found, "promtool is missing: apt-get install prometheus"
    done = subprocess.run([found, "check", "metrics"], input=page, capture_output=True, check=False)
    return (done.stdout + done.stderr).decode() or ("" if done.returncode == 0 else f"exit {done.returncode}")


HOSTILE = [
    'a"b',
    "a\\b",
    "a\nb",
    "a\r\nb",
    'x"} 1\nwatcher_users 5',
    "é\u202e🎥",
    "\ud800",
    "c\0d",
    "r" * 10_000,
    "{}",
    "",
]


def test_promtool_finds_nothing() -> None:
    """Every family at once, with hostile channel names, passes Prometheus' own lint."""
    values = [SeriesValue(FREEZE._replace(signal=s, channel=c), 1.5, NOW, 60.0) for s in SIGNALS for c in HOSTILE]
    assert promtool(render(with_values(*values))) == ""


def test_promtool_would_find_a_fault() -> None:
    """The check can fail: a repeated sample or a missing help text is reported."""
    assert "no help text" in promtool(b"# TYPE watcher_x gauge\nwatcher_x 1\n")


def test_hostile_names_stay_one_value_of_one_line() -> None:
    """Quotes and line ends are escaped or removed, 10 kB are cut, and no name makes a sample of its own."""
    values = [SeriesValue(FREEZE._replace(channel=c), 1.0, NOW, 60.0) for c in HOSTILE]
    page = shown(with_values(*values))
    channels = [labels[1] for labels in page["watcher_video_freeze_ratio"]]
    assert len(channels) == len(HOSTILE)
    assert 'a"b' in channels
    assert all(len(c) <= MAX_LABEL and "\n" not in c for c in channels)
    assert "watcher_users" not in page


def test_names_alike_once_cut_are_shown_once() -> None:
    """Two long names with the same beginning would be one sample twice: the first is shown, the second is counted."""
    values = [SeriesValue(FREEZE._replace(channel="r" * 500 + end), n, NOW, 60.0) for n, end in enumerate("ab")]
    page = shown(with_values(*values))
    assert list(page["watcher_video_freeze_ratio"].values()) == [0.0]
    assert page["watcher_hidden_series"][("alike",)] == 1.0
    twins = [replace(ACCOUNT, account="n" * 200 + end) for end in "ab"]
    assert len(shown(replace(SNAPSHOT, accounts=twins))["watcher_account_up"]) == 1


@settings(deadline=None)
@given(
    names=st.lists(st.text(st.characters(), max_size=200), max_size=5),  # half surrogate pairs included
    number=st.floats(),
)
def test_any_name_and_number_is_read_back(names: list[str], number: float) -> None:
    """Whatever a channel is called, the page is UTF-8 that Prometheus' parser reads, with the number as it was."""
    values = [SeriesValue(FREEZE._replace(channel=name), number, NOW, 60.0) for name in names]
    found = shown(with_values(*values)).get("watcher_video_freeze_ratio", {})
    assert bool(found) == bool(names)
    for read in found.values():
        assert read == number or math.isnan(number)
