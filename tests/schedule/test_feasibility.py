"""What a plan can keep, and what it says where it cannot."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.schedule.vendor import ENTERPRISE, PREMIUM, Plan
from watcher.budget import Pool, Quota
from watcher.model import Query
from watcher.schedule import overspent, promised_gap, worst_detection


def named(plan: Plan, *names: str, reach: float | None = None) -> tuple[Query, ...]:
    """Queries with these signals; `signal@channel` for one of a channel."""
    made = []
    for query, name in zip(plan.queries(len(names)), names, strict=True):
        signal, _, channel = name.partition("@")
        series = query.series[0]._replace(signal=signal, channel=channel)
        made.append(replace(query, id=name, series=(series,), reach=reach or query.reach))
    return tuple(made)


@pytest.mark.parametrize(
    ("plan", "count", "fits"),
    [
        (PREMIUM, 1, True),
        (PREMIUM, 9, True),
        (PREMIUM, 11, True),
        (PREMIUM, 12, False),
        (PREMIUM, 13, False),
        (ENTERPRISE, 13, True),
        (ENTERPRISE, 50, True),
        (ENTERPRISE, 60, False),
    ],
)
def test_how_many_queries_a_plan_can_keep(plan: Plan, count: int, fits: bool) -> None:
    """9 on Premium and 13 on Enterprise fit; 13 on Premium do not."""
    queries, pools = plan.queries(count), (plan.pool(),)
    assert (overspent(queries, pools) == ()) is fits
    assert all(gap <= plan.reach for gap in promised_gap(queries, pools).values()) is fits


def test_thirteen_on_premium_are_refused_with_the_arithmetic() -> None:
    """How often each would be seen, when windows are lost, what it takes and what there is."""
    (shortfall,) = overspent(PREMIUM.queries(13), (PREMIUM.pool(),))
    assert shortfall.what == (
        "13 queries on acme/realtime: each would be looked at every 2,345 s, but windows are lost after 2,320 s; "
        "13 need 484 a day, 479 are allowed"
    )
    assert shortfall.remedy == "drop q00, q01, or take a plan that allows more"


def test_a_plan_that_holds_only_while_nothing_fails_says_so() -> None:
    """Twelve fit by a hair, until the first retry."""
    (shortfall,) = overspent(PREMIUM.queries(12), (PREMIUM.pool(),))
    assert "every 2,165 s, 2,487 s apart where one look fails, " in shortfall.what
    assert "but windows are lost after 2,320 s" in shortfall.what
    assert len(shortfall.drop) == 1


def test_the_cheapest_to_drop_comes_first_and_users_last() -> None:
    """Context without users, then what another signal sees too, then single channels."""
    queries = named(
        PREMIUM,
        *("users", "video_freeze_ratio", "audio_freeze_ratio@room", "join_success_5s_ratio", "channels"),
        reach=800.0,
    )
    (shortfall,) = overspent(queries, (PREMIUM.pool(),))
    assert shortfall.drop == ("channels", "join_success_5s_ratio", "audio_freeze_ratio@room")
    assert shortfall.remedy.startswith("drop channels, join_success_5s_ratio, audio_freeze_ratio@room, or")
    (shortfall,) = overspent(named(PREMIUM, "users", "video_freeze_ratio", reach=100.0), (PREMIUM.pool(),))
    assert shortfall.drop == ("video_freeze_ratio", "users")


def test_many_to_drop_are_not_all_named() -> None:
    """Three names and a number are enough of a hint."""
    (shortfall,) = overspent(PREMIUM.queries(20), (PREMIUM.pool(),))
    assert shortfall.remedy.startswith("drop q00, q01, q02 and 6 more, or")


def test_pools_are_judged_apart() -> None:
    """Thirteen fit on Premium where each endpoint has a quota of its own."""
    pools = (PREMIUM.pool("acme/realtime/usage"), PREMIUM.pool("acme/realtime/quality"))
    queries = PREMIUM.queries(4, pools[0].id, "u") + PREMIUM.queries(9, pools[1].id, "q")
    assert overspent(queries, pools) == ()
    gaps = promised_gap(queries, pools)
    assert gaps[queries[0]] < gaps[queries[-1]]


def test_a_quota_of_the_minute_alone_can_be_too_small() -> None:
    """Where the minute is the bottleneck, the arithmetic speaks of no day."""
    pool = Pool(id="acme/realtime", account="acme", family="f", quotas=(Quota.per_minute(2), Quota.per_day(5000)))
    (shortfall,) = overspent(PREMIUM.queries(40), (pool,))
    assert "a day" not in shortfall.what
    assert "each would be looked at every 2,800 s, but windows are lost after 2,320 s" in shortfall.what


def test_the_worst_wait_is_the_gap_the_delay_and_the_window() -> None:
    """Premium with nine: ten turns when the reserve is gone, a full minute, 40 s behind, 20 s wide."""
    queries, pools = PREMIUM.queries(9), (PREMIUM.pool(),)
    gap = 10 * 86_400 / (479 * 0.97) + 70
    assert promised_gap(queries, pools)[queries[0]] == pytest.approx(gap)
    assert worst_detection(queries, pools)[queries[0]] == pytest.approx(gap + 40 + 20)


def test_no_query_is_looked_at_more_often_than_it_has_windows() -> None:
    """A generous quota promises no gap below a window."""
    pool = Pool(id="acme/realtime", account="acme", family="f", quotas=(Quota.rolling(1000, 1),))
    queries = PREMIUM.queries(1)
    assert promised_gap(queries, (pool,))[queries[0]] >= 20
