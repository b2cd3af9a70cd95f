"""The even schedule over virtual days: nothing lost, nothing over, the day used, whatever happens."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.budget.doubles import run
from tests.schedule.vendor import ENTERPRISE, PREMIUM, TODAY, Account, enterprise, premium
from watcher.budget import Usage
from watcher.clock import DAY, HOUR
from watcher.errors import Reason
from watcher.schedule import EvenPolicy, Policy, QueryState, Slot, Why, promised_gap

PACE = DAY / 479
CATCH_UP = 9 * 35 + 80  # nine looks, two in 70 s
_POLICY: Policy = EvenPolicy()


def promise(account: Account) -> float:
    """The longest gap that the plan promises; the same for all queries of these accounts."""
    return max(promised_gap(account.queries, account.pools).values())


# ── whole days ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("account", "day"), [(premium(9), 479), (premium(11), 479), (premium(1), 479), (enterprise(13), 1439)]
)
def test_a_day_is_used_evenly_and_no_window_is_lost(account: Account, day: int) -> None:
    """Two days: all of the second is spent, each hour within one request of its share, and gaps keep the promise."""
    account.until(TODAY + 2 * DAY)
    assert account.refused_by_vendor() == ""
    assert sum(account.lost.values()) == 0
    assert account.gaps() <= promise(account) <= account.plan.reach
    assert account.spent(TODAY) >= 0.99 * day
    assert account.spent(TODAY + DAY) >= 0.99 * day
    hours = Counter(int((at - TODAY - DAY) // HOUR) for at, _, _, _ in account.looks if at >= TODAY + DAY)
    assert all(abs(hours[hour] - day / 24) <= 2 for hour in range(24))
    looks = Counter(query for at, query, _, _ in account.looks if at >= TODAY + DAY)
    assert max(looks.values()) - min(looks.values()) <= 1
    assert account.ledger.counts.refused == 0
    assert account.slots <= 2 * len(account.looks) + 10  # one question before and one after each wait


@pytest.mark.parametrize("hour", [0.01, 3, 12, 20, 23.5, 23.99])
def test_a_late_start_divides_what_is_left(hour: float) -> None:
    """The share of the day before the start counts as spent; the rest is even, and nothing is lost after the start."""
    account = premium(9, start=TODAY + hour * HOUR).until(TODAY + 2 * DAY)
    assert account.refused_by_vendor() == ""
    assert sum(account.lost.values()) == 0
    assert account.gaps() <= PREMIUM.reach
    left = 479 * (1 - hour / 24)
    assert left - 3 <= account.spent() <= left
    if hour <= 12:
        assert len({query for at, query, _, _ in account.looks if at <= account.start + CATCH_UP}) == 9


@pytest.mark.parametrize("hour", [1, 7.3, 13, 22, 23.8])
@pytest.mark.parametrize("pause", [0.0, 25 * 60.0, 3 * HOUR])
def test_a_restart_loses_only_what_the_vendor_dropped_meanwhile(hour: float, pause: float) -> None:
    """Up at once or after a pause, at any hour: what is covered is known, the rest is caught up without a burst."""
    account = premium(9).until(TODAY + hour * HOUR)
    account.clock.wait(pause)
    back = account.now
    account.restart()
    account.until(TODAY + 2 * DAY)
    assert account.refused_by_vendor() == ""
    for at, _, _ in account.lost_at:
        assert at <= back + PACE + CATCH_UP or hour > 21  # late in the day there may be nothing to hurry with
    if pause < 600:
        assert sum(account.lost.values()) == 0
        assert account.gaps() <= PREMIUM.reach
    assert account.spent() >= 479 * (1 - pause / DAY) - 3
    per_minute = Counter(int(at // 60) for at, _, _, _ in account.looks)
    assert max(per_minute.values()) <= 2


def test_a_daemon_that_restarts_every_minute_does_not_eat_the_day() -> None:
    """A crash loop is paced like a run: by what is covered, not by how often it starts."""
    account = premium(9).until(TODAY + HOUR)
    before = len(account.looks)
    while account.now < TODAY + 4 * HOUR:
        account.until(account.now + 60)
        account.restart()
    assert len(account.looks) - before <= 3 * HOUR / PACE + 2
    assert sum(account.lost.values()) == 0


@pytest.mark.parametrize("offset", [-5400.0, -3.0, 4.0, 5400.0])
def test_a_wrong_clock_changes_nothing_once_the_vendor_has_answered(offset: float) -> None:
    """Pace and resets follow the vendor's day, not ours."""
    account = premium(9, offset=offset).until(TODAY + 2 * DAY)
    assert account.refused_by_vendor() == ""
    assert sum(account.lost.values()) == 0
    assert account.spent(TODAY + DAY) >= 0.99 * 479
    assert account.gaps() <= promise(account)


# ── outages ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("minutes", [10, 30, 360])
@pytest.mark.parametrize("hour", [2, 10.2, 17])
def test_an_outage_is_probed_at_the_normal_pace_and_then_caught_up(hour: float, minutes: int) -> None:
    """Failing looks cost no more than healthy ones; once over, every query is seen as fast as the minute allows."""
    start, end = TODAY + hour * HOUR, TODAY + hour * HOUR + minutes * 60
    account = premium(9, down=lambda at: start <= at < end).until(TODAY + 2 * DAY)
    assert account.refused_by_vendor() == ""
    during = sum(start <= at < end for at, _, _, _ in account.looks)
    assert during <= minutes * 60 / PACE + 2
    first = next(at for at, _, _, good in account.looks if at >= end and good)
    assert first <= end + 1.1 * PACE
    if minutes >= 30 and end < TODAY + 22 * HOUR:  # later, the rest of the day would not keep everyone's reach
        assert len({query for at, query, _, _ in account.looks if end <= at <= first + CATCH_UP}) == 9
        assert all(at <= first + CATCH_UP for at, _, _ in account.lost_at)
    assert all(at <= first + 9 * PACE for at, _, _ in account.lost_at)
    assert max(Counter(query for _, query, _ in account.lost_at).values(), default=0) <= 1
    # each loses what the vendor had dropped by then, and not a window more
    assert all(
        gone <= (minutes * 60 + 9 * PACE * 1.1 + PACE + CATCH_UP - PREMIUM.reach) / 20 for _, _, gone in account.lost_at
    )
    if minutes == 10:
        assert sum(account.lost.values()) == 0
    assert account.gaps(since=end + 3 * HOUR) <= PREMIUM.reach
    assert account.spent() >= 0.98 * 479


def test_an_outage_that_ends_near_midnight_breaks_nobodys_reach_afterwards() -> None:
    """Catching up must leave enough of the day for everyone's next look."""
    start, end = TODAY + 22.5 * HOUR, TODAY + 23.2 * HOUR
    account = premium(9, down=lambda at: start <= at < end).until(TODAY + 2 * DAY)
    assert account.refused_by_vendor() == ""
    assert all(at <= end + 9 * PACE * 1.2 for at, _, _ in account.lost_at)
    assert account.gaps(since=end + HOUR) <= PREMIUM.reach


def test_a_query_that_always_fails_harms_no_other() -> None:
    """One of nine is broken: it is tried about as often as if it were not, and the others keep their promise."""
    account = premium(9, broken=("q04",)).until(TODAY + DAY)
    tried = sum(query == "q04" for _, query, _, _ in account.looks)
    assert 20 <= tried <= 479 / 9 * 1.5
    assert account.gaps() <= promise(account)
    assert sum(account.lost.values()) == 0
    assert {why for _, query, why, _ in account.looks[20:] if query == "q04"} <= {Why.RETRY, Why.CATCH_UP}


def test_a_query_that_fails_now_and_then_loses_nothing() -> None:
    """One failed look at the worst moment is retried in time."""
    account = premium(11)
    turns = Counter[str]()

    def down(at: float) -> bool:
        turns["looks"] += 1
        return turns["looks"] % 12 == 0

    account.down = down
    account.until(TODAY + DAY)
    assert sum(not good for _, _, _, good in account.looks) >= 30
    assert sum(account.lost.values()) == 0
    assert account.gaps() <= account.plan.reach


def test_when_the_vendor_says_the_day_is_spent_nothing_runs_until_midnight() -> None:
    """Someone else used the rest: blind until 00:00 UTC, then back at once."""
    account = premium(9).until(TODAY + 20 * HOUR)
    run(account.ledger.exhausted("acme/realtime", None, Reason.DAY_QUOTA))
    now = account.clock.now()
    slot = EvenPolicy().next(account.states, account.ledger.usage(now), now)
    assert (slot.query_id, slot.reason) == (None, Why.BLIND)
    assert TODAY + DAY <= slot.at <= TODAY + DAY + 10
    before = len(account.looks)
    account.until(TODAY + DAY)
    assert len(account.looks) == before
    account.until(TODAY + DAY + CATCH_UP)
    assert len({query for _, query, _, _ in account.looks[before:]}) == 9


# ── urgency, pools ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_an_undecided_rule_waits_for_goes_next() -> None:
    """At once while the reserve lasts, and at the next turn after that; nobody's promise is broken for it."""
    account = premium(9, urgent=lambda at: ("q03",) if int(at / 60) % 30 < 5 else ())
    account.until(TODAY + DAY)
    assert account.refused_by_vendor() == ""
    assert sum(account.lost.values()) == 0
    assert account.gaps() <= promise(account)
    urgent = [at for at, query, why, _ in account.looks if why is Why.URGENT]
    assert len(urgent) >= 24
    soon = sum((at / 60) % 30 < 2 for at in urgent)
    assert soon >= 8  # out of turn, from the reserve
    assert account.spent() <= 479


def test_endless_urgency_is_bounded() -> None:
    """A companion that never answers the rule's question takes one turn a round, no more."""
    account = premium(9, urgent=lambda at: ("q00", "q01")).until(TODAY + DAY)
    assert sum(account.lost.values()) == 0
    assert account.gaps(but=("q00", "q01")) <= promise(account)
    others = Counter(query for _, query, _, _ in account.looks)
    assert min(others.values()) >= 479 / 9 * 0.7


def test_pools_are_paced_apart() -> None:
    """Quotas per endpoint: each spends its own day, whatever the other needs."""
    usage, quality = "acme/realtime/usage", "acme/realtime/quality"
    account = Account(
        plan=PREMIUM,
        queries=PREMIUM.queries(4, usage, "u") + PREMIUM.queries(9, quality, "q"),
        pools=(PREMIUM.pool(usage), PREMIUM.pool(quality)),
    ).until(TODAY + DAY)
    assert account.refused_by_vendor() == ""
    assert sum(account.lost.values()) == 0
    assert [len(arrivals) for arrivals in account.arrivals.values()] == [479, 479]
    looks = Counter(query[0] for _, query, _, _ in account.looks)
    assert abs(looks["u"] - looks["q"]) <= 2


@settings(max_examples=12, deadline=None)
@given(
    count=st.integers(1, 11),
    start=st.floats(0, 24),
    outages=st.lists(st.tuples(st.floats(0, 36), st.floats(60, 6000)), max_size=3),
    restarts=st.lists(st.floats(0, 36), max_size=4),
)
def test_whatever_happens_the_vendor_is_never_asked_too_often(
    count: int, start: float, outages: list[tuple[float, float]], restarts: list[float]
) -> None:
    """Starts, outages and restarts at random: no quota broken, the vendor's count is ours, the day is used."""
    begin = TODAY + start * HOUR
    spans = [(begin + at * HOUR, begin + at * HOUR + length) for at, length in outages]
    account = premium(count, start=begin, down=lambda at: any(a <= at < b for a, b in spans))
    for at in sorted(restarts):
        account.until(begin + at * HOUR)
        account.restart()
    account.until(TODAY + 2 * DAY)
    assert account.refused_by_vendor() == ""
    assert account.spent(TODAY + DAY) >= 0.98 * 479 - len(restarts) or start > 23
    quiet = max([end for _, end in spans], default=begin) + 2 * HOUR
    assert all(at <= quiet for at, _, _ in account.lost_at)


# ── the choice itself ────────────────────────────────────────────────────────────────────────────────────────────────


def standing(
    *, left: float = 240, resets_at: float = TODAY + DAY, free_at: float = 0.0, blocked: float | None = None
) -> Usage:
    """The day's quota of Premium at noon."""
    return Usage(
        account="acme",
        family="realtime",
        pool="acme/realtime",
        window="day",
        window_seconds=DAY,
        limit=480,
        allowed=479,
        spent=479 - left,
        left=left,
        resets_at=resets_at,
        free_at=free_at,
        blocked_until=blocked,
        reason=None,
        worst=0,
        total=0,
        refused_by_vendor=0,
    )


NOW = TODAY + DAY / 2
QUERIES = PREMIUM.queries(3)


def state(index: int, *, ago: float | None = 100.0, **changes: object) -> QueryState:
    """A query that was looked at some time ago."""
    seen = None if ago is None else NOW - ago
    known = QueryState(query=QUERIES[index], covered_until=None if seen is None else seen - 60, last_look=seen)
    return replace(known, **changes)  # type: ignore[arg-type]


def choose(*states: QueryState, usage: Usage | None = None) -> Slot:
    """The even policy's next slot at noon."""
    return EvenPolicy().next(states, [usage or standing()], NOW)


def test_the_longest_unseen_is_next_at_the_even_distance() -> None:
    """After the latest look, by what is left of the day."""
    slot = choose(state(0, ago=400), state(1, ago=200), state(2, ago=30))
    assert (slot.query_id, slot.reason) == ("q00", Why.DUE)
    assert slot.at == pytest.approx(NOW - 30 + (DAY / 2 + 30) / 241, abs=0.01)


def test_no_query_is_nothing_to_do() -> None:
    """An account without queries never wakes."""
    assert EvenPolicy().next([], [standing()], NOW) == Slot(query_id=None, at=math.inf, reason=Why.IDLE)


def test_a_spent_day_waits_for_the_reset() -> None:
    """Our own count refuses until then."""
    assert choose(state(0), usage=standing(left=0)) == Slot(query_id=None, at=TODAY + DAY, reason=Why.SPENT)


def test_a_slot_never_comes_before_the_quotas_allow() -> None:
    """Catching up waits for a full minute to empty."""
    slot = choose(state(0, ago=None), state(1, ago=None), state(2), usage=standing(free_at=NOW + 42))
    assert slot == Slot(query_id="q00", at=NOW + 42, reason=Why.CATCH_UP)


def test_the_vendors_wish_for_a_pause_is_honoured() -> None:
    """`Retry-After` holds its query back, not the others."""
    slot = choose(state(0, ago=700, not_before=NOW + 2000), state(1, ago=350), state(2, ago=180))
    assert slot.query_id == "q01"


@pytest.mark.parametrize(("failures", "turns"), [(1, 1), (2, 2), (3, 3), (9, 3)])
def test_a_failing_query_backs_off_up_to_a_round(failures: int, turns: int) -> None:
    """One turn, two, then a round of three; here alone, so that its own wait decides."""
    states = (
        state(0, ago=0.0, failures=failures),
        *(state(i, ago=0.0, failures=1, not_before=NOW + 9e5) for i in (1, 2)),
    )
    slot = choose(*states)
    assert slot.query_id == "q00"
    assert slot.reason is Why.RETRY
    assert slot.at == pytest.approx(NOW + turns * (DAY / 2) / 241, abs=0.01)


def test_a_retry_comes_before_its_windows_are_lost_where_there_is_time() -> None:
    """Backing off must not cost what one look would have saved."""
    pace = DAY / 2 / 241
    covered = NOW - PREMIUM.reach - 60 + 2.5 * pace  # lost in two and a half turns; the back-off would be three
    slot = choose(
        state(0, ago=0.0, failures=4, covered_until=covered),
        *(state(i, ago=0.0, failures=1, not_before=NOW + 9e5) for i in (1, 2)),
    )
    assert slot.at <= covered + 40 + PREMIUM.reach


@pytest.mark.parametrize("urgent", [False, True])
def test_nothing_goes_out_of_turn_while_the_latest_look_failed(urgent: bool) -> None:
    """Two queries are far behind, but the vendor is in trouble: the next probe comes at the normal pace."""
    troubled = (state(0, ago=30, failures=2), state(1, ago=9000), state(2, ago=8000, urgent=urgent))
    slot = choose(*troubled)
    assert slot.at == pytest.approx(NOW - 30 + (DAY / 2 + 30) / 241, abs=0.01)
    assert slot.query_id == "q01"
    healthy = (state(0, ago=30), *troubled[1:])
    assert choose(*healthy) == Slot(query_id="q01", at=NOW, reason=Why.CATCH_UP)


def test_enterprise_is_paced_by_the_day_not_by_the_minute() -> None:
    """Nine a minute are allowed, one a minute is what the day holds."""
    account = enterprise(5).until(TODAY + HOUR)
    assert max(Counter(int(at // 60) for at, _, _, _ in account.looks[10:]).values()) <= 2
    assert account.plan is ENTERPRISE
