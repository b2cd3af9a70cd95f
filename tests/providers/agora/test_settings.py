"""What a plan gives beside the real-time API, what it costs, and what `check` says where it cannot be."""

from __future__ import annotations

from typing import Any

import pytest

from tests.providers.agora.stage import CALLS
from tests.providers.doubles import APP, account
from watcher.budget.quota import Quota
from watcher.clock import DAY
from watcher.model import SIGNALS
from watcher.providers.agora import AGORA
from watcher.providers.agora.insights.settings import METRICS as DAILY
from watcher.providers.agora.inspector.figures import MEASURED, SAMPLED
from watcher.providers.agora.metrics import METRICS
from watcher.schedule import longest_gaps, overspent, unkept

LOSS = frozenset({"video_packet_loss_ratio"})
PROJECT = {"name": "classroom", "app_id": APP}


def faults(needed: frozenset[str] = LOSS, **changes: object) -> list[str]:
    """What `check` finds, with its remedies."""
    return [f"{'.'.join(map(str, f.loc))}: {f.what}; {f.remedy}" for f in AGORA.check(account(**changes), needed)]


def test_samples_are_a_query_for_each_project_with_pools_of_their_own() -> None:
    """Both products and the share of the sample; the day's limit is the vendor's, what is allowed is the user's cap."""
    settings = account(call_inspector=CALLS, plan="enterprise")
    real, (calls,) = AGORA.queries(account(plan="enterprise"), LOSS), AGORA.queries(settings, LOSS)[-1:]
    assert AGORA.queries(settings, LOSS)[:-1] == real
    assert {(s.product, s.signal) for s in calls.series} == {
        ("", SAMPLED),
        *((product, signal) for product in ("Native", "WebRTC") for signal in MEASURED),
    }
    assert (calls.id, calls.pools, calls.width, calls.delay) == (
        "acme/classroom/calls",
        ("acme/call_inspector",),
        60,
        100.0,
    )
    assert (calls.requests, calls.most_requests, calls.settle) == (5, 5, 1)
    pool = next(p for p in AGORA.pools(settings) if p.family == "call_inspector")
    assert pool.quotas == (Quota.per_second(10), Quota.per_day(10_000, margin=9_100))
    assert (pool.quotas[1].allowed, pool.capped) == (900, True)


def test_standard_has_samples_and_nothing_else() -> None:
    """Where it was refused before; without samples it still is, with the remedy."""
    settings = account(plan="standard", call_inspector=CALLS)
    assert faults(plan="standard", call_inspector=CALLS) == []
    assert [q.id for q in AGORA.queries(settings, AGORA.signals)] == ["acme/classroom/calls"]
    assert [(p.id, p.quotas[0].allowed) for p in AGORA.pools(settings)] == [("acme/call_inspector", 1)]
    (fault,) = faults(plan="standard")
    assert "call_inspector: {requests_per_day: 500}" in fault
    (fault,) = faults(plan="starter", call_inspector=CALLS)
    assert "no REST API at all" in fault
    assert AGORA.queries(account(plan="starter", call_inspector=CALLS), LOSS) == ()


SEVEN = tuple(PROJECT | {"name": f"p{n}", "app_id": f"{n:032}"} for n in range(7))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"call_inspector": {"requests_per_day": 2000}}, "2000 is more than the plan allows; write 1999"),
        ({"call_inspector": {"requests_per_day": 100}}, "write at least 300"),
        ({"call_inspector": CALLS, "projects": SEVEN}, "write at least 1080"),
        (
            {"call_inspector": {"requests_per_day": 900, "calls": 5}},
            "holds up real-time looks for 5 s; sample at most 4 calls",
        ),
        (
            {"call_inspector": CALLS, "quotas": {"call_inspector": {"per_day": 500}}},
            "more than the plan allows; write 499",
        ),
        (
            {"quotas": {"insights": {"per_day": 1}}},
            "quotas.insights.per_day: per_day 1 leaves no request above the margin",
        ),
    ],
)
def test_what_cannot_work_is_refused_with_the_remedy(changes: dict[str, Any], expected: str) -> None:
    """One line each, which says what to write instead."""
    (fault,) = faults(LOSS | {"daily_users"}, **changes)
    assert expected in fault


@pytest.mark.parametrize("plan", ["standard", "premium", "enterprise"])
@pytest.mark.parametrize("calls", [1, 4])
@pytest.mark.parametrize("projects", [1, 3])
def test_the_least_that_is_accepted_loses_no_window(plan: str, calls: int, projects: int) -> None:
    """What `check` asks for is enough for the schedule's own arithmetic."""
    wish = {"requests_per_day": 30 * (projects * (1 + 2 * calls) + 1), "calls": calls}
    settings = account(plan=plan, call_inspector=wish, projects=SEVEN[:projects])
    assert AGORA.check(settings, LOSS) == ()
    queries = [q for q in AGORA.queries(settings, LOSS) if q.family == "call_inspector"]
    pools = [p for p in AGORA.pools(settings) if p.family == "call_inspector"]
    assert overspent(queries, pools) == ()
    gaps = longest_gaps(queries, pools)
    assert unkept(queries, pools, gaps) == ()
    assert all(gaps[q.id] < q.reach for q in queries)


def test_samples_and_days_do_not_touch_what_is_promised_in_real_time() -> None:
    """The gaps are the same to the second, with them and without."""
    for plan in ("premium", "enterprise"):
        needed = frozenset({"video_freeze_ratio", "audio_freeze_ratio", *LOSS, *DAILY})
        for signals in (needed, frozenset(SIGNALS)):
            if plan == "premium" and signals is not needed:
                continue
            bare, full = account(plan=plan), account(plan=plan, call_inspector=CALLS)
            before = longest_gaps(AGORA.queries(bare, signals - DAILY.keys()), AGORA.pools(bare))
            after = longest_gaps(AGORA.queries(full, signals), AGORA.pools(full))
            assert before
            assert {id_: after[id_] for id_ in before} == before


def test_every_signal_that_may_be_missing_says_why() -> None:
    """A rule on it is refused with what to do."""
    assert set(AGORA.missing) == AGORA.signals == {*METRICS, *MEASURED, SAMPLED, *DAILY}
    assert "call_inspector: {requests_per_day" in AGORA.missing["audio_packet_loss_p95_ratio"]


def test_days_are_asked_for_where_a_rule_needs_them() -> None:
    """Not of Standard, which has none; usage once, quality of each product, audio freezes of Native only."""
    needed = frozenset({"daily_users", "daily_audio_freeze_ratio", "daily_join_success_ratio", "daily_peak_users"})
    days = AGORA.queries(account(), needed)[2:]
    assert [(q.id, q.most_requests, q.series[0].product) for q in days] == [
        ("acme/classroom/daily Native/daily_audio_freeze_ratio", 1, "daily Native"),
        ("acme/classroom/daily Native/daily_join_success_ratio", 1, "daily Native"),
        ("acme/classroom/daily WebRTC/daily_join_success_ratio", 1, "daily WebRTC"),
        ("acme/classroom/daily_users", 1, ""),
        ("acme/classroom/daily_peak_users", 2, ""),  # until its spelling is known
    ]
    assert {(q.width, q.delay, q.requests, len(q.series)) for q in days} == {(DAY, 43_200.0, 1, 1)}
    standard = account(plan="standard", call_inspector=CALLS)
    assert [q.id for q in AGORA.queries(standard, needed)] == ["acme/classroom/calls"]
