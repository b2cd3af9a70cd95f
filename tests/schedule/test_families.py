"""Families of requests beside each other: a sample is nine requests, and nothing it does moves the real-time looks."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from tests.budget.doubles import over
from tests.schedule.vendor import PREMIUM, TODAY, Account
from watcher.budget import Pool, Quota
from watcher.clock import DAY, HOUR, MINUTE
from watcher.model import Query, Series
from watcher.schedule import AdaptivePolicy, QueryState, extra_requests, failed, failing, longest_gaps, looked, unkept
from watcher.schedule.state import related

CAP = 500
SAMPLE = Query(
    id="calls",
    account="acme",
    series=(Series("acme", "agora", "classroom", "Native", "", "video_packet_loss_ratio"),),
    pools=("acme/call_inspector",),
    width=60,
    delay=150.0,
    reach=3410.0,
    settle=1,
    every=60.0,
    requests=9,
    most_requests=9,
    family="call_inspector",
)
REALTIME = tuple(replace(query, family="realtime") for query in PREMIUM.queries(9))


def sampling(cap: int = CAP) -> Pool:
    """The user's cap of the vendor's 2,000."""
    quotas = (Quota.per_second(3), Quota.per_day(2000, margin=2000 - cap))
    return Pool(id="acme/call_inspector", account="acme", family="call_inspector", quotas=quotas, capped=True)


def account(*, samples: bool = True, cap: int = CAP) -> Account:
    """Premium with nine real-time queries, and samples beside them."""
    queries = (*REALTIME, *([SAMPLE] if samples else []))
    pools = (PREMIUM.pool(), *([sampling(cap)] if samples else []))
    found = Account(plan=PREMIUM, queries=queries, pools=pools)
    found.policy = AdaptivePolicy(gaps=longest_gaps(queries, pools))
    return found


def test_a_days_cap_is_spent_in_whole_samples() -> None:
    """At least 95 % of the cap and never one more; no sample is cut short, none later than promised."""
    here = account().until(TODAY + 2 * DAY)
    arrivals = here.arrivals["acme/call_inspector"]
    gap = longest_gaps([SAMPLE], [sampling()])["calls"]
    assert over(arrivals, minute=10_000, day=CAP) == ""
    assert sum(TODAY + DAY <= at < TODAY + 2 * DAY for at in arrivals) >= 0.95 * CAP - 9
    assert here.cut_short == 0
    looks = [at for at, query, *_ in here.looks if query == "calls"]
    assert max(b - a for a, b in pairwise(looks)) <= gap + 1
    assert here.lost["calls"] == 0


def test_samples_leave_the_promised_gaps_as_they_were() -> None:
    """The real-time queries' longest gap is within what was promised without samples, and their day is used."""
    promised = max(longest_gaps(REALTIME, [PREMIUM.pool()]).values())
    for samples in (False, True):
        here = account(samples=samples).until(TODAY + 2 * DAY)
        assert here.refused_by_vendor() == ""
        assert here.gaps(but={"calls"}) <= promised + 1
        assert sum(TODAY + DAY <= at < TODAY + 2 * DAY for at in here.arrivals["acme/realtime"]) >= 0.95 * 479
        assert sum(here.lost.values()) == 0


def test_samples_that_always_fail_change_nothing_for_the_others() -> None:
    """Neither their pace nor their second domain: an outage of one family is not the account's."""
    here = account()
    here.broken = {"calls"}
    here.until(TODAY + 2 * DAY + MINUTE)  # the day's requests last to its end
    assert here.gaps(but={"calls"}) <= max(longest_gaps(REALTIME, [PREMIUM.pool()]).values()) + 1
    assert sum(at >= TODAY + DAY for at in here.arrivals["acme/realtime"]) >= 0.95 * 479
    now = here.clock.now()
    usage = here.ledger.usage(now)
    policy = here.policy
    real = [s for s in here.states if s.query.family == "realtime"]
    calm = [s for s in here.states if s.query.family != "realtime"]
    well = [replace(s, failures=0, last_look=now) for s in calm]
    ill = [replace(s, failures=3, last_look=now) for s in calm]
    slots = [policy.next([*real, *own], usage, now) for own in (well, ill)]
    assert slots[0].query_id in {q.id for q in REALTIME}
    assert slots[0] == slots[1]


def test_a_failure_counts_in_its_own_family() -> None:
    """Calm or not, a second domain or none; and a success there forgives nothing here."""
    first = REALTIME[0]
    states = tuple(QueryState(query=query, covered_until=TODAY, last_look=TODAY) for query in (first, SAMPLE))
    states = failed(states, "calls", at=TODAY + 10)
    assert failing(related(states, SAMPLE))
    assert not failing(related(states, first))
    assert extra_requests(states, first.id) == 1
    assert extra_requests(states, "calls") == 8
    states = looked(states, first.id, at=TODAY + 20, covered_until=TODAY + 20)
    assert next(s for s in states if s.query.id == "calls").unforgiven == 1
    states = failed(states, "calls", at=TODAY + 30)
    assert next(s for s in states if s.query.id == "calls").unforgiven == 2


def test_a_cap_that_is_spent_is_no_promise_kept() -> None:
    """Nine requests a look count as nine: what 229 a day cannot keep is said, what 300 can is not."""
    for cap, kept in ((230, False), (300, True)):
        pools = [sampling(cap)]
        gaps = longest_gaps([SAMPLE], pools)
        assert (unkept([SAMPLE], pools, gaps) == ()) is kept


@pytest.mark.parametrize("hour", [3.0, 20.0])
def test_a_late_start_divides_what_is_left_of_the_cap(hour: float) -> None:
    """The share of the day that has passed counts as spent, and the rest is spread in whole samples."""
    here = account()
    here.start = TODAY + hour * HOUR
    here.__post_init__()
    here.until(TODAY + DAY)
    assert 0 < len(here.arrivals["acme/call_inspector"]) <= CAP * (1 - hour / 24) + 1
    assert here.cut_short == 0
