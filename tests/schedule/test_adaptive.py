"""The adaptive schedule: promises that nothing breaks, a day that is used, bounded evidence, reasons that fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import count as counting
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.schedule.vendor import ENTERPRISE, PREMIUM, TODAY, Account, Plan, enterprise, premium
from watcher.budget import Pool, Quota
from watcher.clock import DAY, HOUR
from watcher.model import Query, Series
from watcher.schedule import (
    AdaptivePolicy,
    Evidence,
    Load,
    Policy,
    QueryState,
    Slot,
    UsageView,
    Why,
    failed,
    longest_gaps,
    looked,
)
from watcher.schedule.adaptive import RESERVE

WEEK = 168


def busy_at(*hours: int, users: float = 400.0, quiet: float = 4.0) -> Load:
    """A load that is high in some hours of each day."""
    week = np.full((7, 24), quiet)
    week[:, list(hours)] = users
    return Load(week=week.reshape(WEEK), average=float(week.mean()), bend=0.0, bent_at=0)


@dataclass
class Dressed:
    """The adaptive policy with what an account would say of its queries at each instant."""

    policy: Policy
    dress: Callable[[QueryState, float], QueryState]

    def next(self, states: Sequence[QueryState], usage: Sequence[UsageView], now: float) -> Slot:
        return self.policy.next([self.dress(state, now) for state in states], usage, now)

    def spare(
        self, states: Sequence[QueryState], usage: Sequence[UsageView], pools: Sequence[str], now: float
    ) -> float:
        return self.policy.spare([self.dress(state, now) for state in states], usage, pools, now)


def gaps_of(account: Account) -> dict[str, float]:
    return longest_gaps(account.queries, account.pools)


def adaptive(account: Account, dress: Callable[[QueryState, float], QueryState] | None = None) -> Account:
    """The account with the adaptive policy."""
    policy = AdaptivePolicy(gaps=gaps_of(account))
    account.policy = policy if dress is None else Dressed(policy, dress)
    return account


def loaded(load: Load) -> Callable[[QueryState, float], QueryState]:
    return lambda state, now: replace(state, load=load)


def assert_promises_kept(account: Account, *, slack: float = 1.0) -> None:
    """Nothing over, nothing lost, no gap longer than promised."""
    assert account.refused_by_vendor() == ""
    assert sum(account.lost.values()) == 0
    assert account.gaps() <= max(gaps_of(account).values()) + slack


# ── whole days ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("account", "day"), [(premium(5), 479), (premium(9), 479), (premium(11), 479), (enterprise(5), 1439)]
)
def test_a_day_is_used_and_no_promise_broken(account: Account, day: int) -> None:
    """Two days of a load with busy and quiet hours: at least 95 % of each day spent, never a gap too long."""
    adaptive(account, loaded(busy_at(9, 10, 11, 12, 17, 18))).until(TODAY + 2 * DAY)
    assert_promises_kept(account)
    assert account.spent(TODAY) >= 0.95 * day
    assert account.spent(TODAY + DAY) >= 0.95 * day
    assert account.ledger.counts.refused == 0


def test_looks_go_with_the_square_root_of_the_users() -> None:
    """An hour with a hundred times the users is looked at about ten times as often, less what the floors take."""
    account = adaptive(premium(5), loaded(busy_at(10, 11, 12, 13, users=100.0, quiet=1.0))).until(TODAY + 2 * DAY)
    looks = [(at - TODAY - DAY) / HOUR for at, *_ in account.looks if at >= TODAY + DAY]
    busy = sum(10 <= hour < 14 for hour in looks) / 4
    quiet = sum(hour < 9 or hour >= 15 for hour in looks) / 18
    assert 3.5 <= busy / quiet <= 10


def test_without_knowledge_it_is_as_even_as_the_even_schedule() -> None:
    """No load known: every query gets the same number of looks, spread over the day."""
    account = adaptive(premium(7)).until(TODAY + 2 * DAY)
    assert_promises_kept(account)
    counts = [sum(q == query.id for at, q, *_ in account.looks if at > TODAY + DAY) for query in account.queries]
    assert max(counts) - min(counts) <= 3


@pytest.mark.parametrize("hour", [0.01, 3, 12, 20, 23.5, 23.99])
def test_a_late_start_divides_what_is_left(hour: float) -> None:
    """The share of the day before the start counts as spent; nothing is over, and what is left is used."""
    account = adaptive(premium(9, start=TODAY + hour * HOUR), loaded(busy_at(9, 18))).until(TODAY + 2 * DAY)
    assert_promises_kept(account)
    left = 479 * (1 - hour / 24)
    assert 0.9 * left - 3 <= account.spent() <= left


@pytest.mark.parametrize("hour", [1, 7.3, 13, 22, 23.8])
def test_a_restart_at_any_hour(hour: float) -> None:
    """Up again at once: what is covered is known, and no promise is broken for it."""
    account = adaptive(premium(9), loaded(busy_at(9, 18))).until(TODAY + hour * HOUR)
    account.restart()
    account.until(TODAY + 2 * DAY)
    assert_promises_kept(account)
    assert account.spent() >= 0.95 * 479


@pytest.mark.parametrize("offset", [-90.0, 90.0, -2 * HOUR])
def test_a_clock_that_is_wrong(offset: float) -> None:
    """The day is the vendor's, whatever the machine's clock says."""
    account = adaptive(premium(7, offset=offset)).until(TODAY + 2 * DAY)
    assert account.refused_by_vendor() == ""
    assert sum(account.lost.values()) == 0


anything = given(
    plan=st.sampled_from([PREMIUM, ENTERPRISE]),
    count=st.integers(1, 9),
    hours=st.sets(st.integers(0, 23), min_size=1, max_size=12),
    start=st.floats(0, 23.9),
    noisy=st.floats(0, 1),
)


def assert_kept_under(*, plan: Plan, count: int, hours: set[int], start: float, noisy: float) -> None:
    """A day and a half with these busy hours, and evidence that asks in this share of each 100 minutes."""
    queries = plan.queries(count)
    account = Account(plan=plan, queries=queries, pools=(plan.pool(),), start=TODAY + start * HOUR)
    load = busy_at(*hours)

    def dress(state: QueryState, now: float) -> QueryState:
        asks = (now // 600) % 10 < 10 * noisy and state.covered_until is not None
        evidence = Evidence(reason=Why.SIBLING, covers=now - plan.delay - 30) if asks else None
        return replace(state, load=load, evidence=evidence)

    adaptive(account, dress).until(TODAY + 1.5 * DAY)
    assert_promises_kept(account)


@settings(max_examples=6, derandomize=True)  # `make soak` draws others
@anything
def test_any_load_and_any_noise(plan: Plan, count: int, hours: set[int], start: float, noisy: float) -> None:
    """Whatever the load and however often evidence asks: quotas hold, no window is lost, every gap is kept."""
    assert_kept_under(plan=plan, count=count, hours=hours, start=start, noisy=noisy)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@settings(max_examples=200)
@anything
def test_two_hundred_loads_and_noises(plan: Plan, count: int, hours: set[int], start: float, noisy: float) -> None:
    """The same, at length."""
    assert_kept_under(plan=plan, count=count, hours=hours, start=start, noisy=noisy)


# ── evidence and its reserve ─────────────────────────────────────────────────────────────────────────────────────────


def test_evidence_goes_first_and_says_so() -> None:
    """A pending alert's query is asked as soon as its windows can be seen, before what is due."""
    account = adaptive(premium(5)).until(TODAY + 10 * HOUR)
    now = account.clock.now()
    calm = account.policy.next(account.states, account.ledger.usage(now), now)
    chosen = account.states[3]
    covers = (chosen.covered_until or 0.0) + 200.0
    asked = [
        replace(s, evidence=Evidence(reason=Why.PENDING, covers=covers)) if s is chosen else s for s in account.states
    ]
    slot = account.policy.next(asked, account.ledger.usage(now), now)
    assert (slot.query_id, slot.reason) == (chosen.query.id, Why.PENDING)
    assert slot.at <= max(now, covers + chosen.query.delay + 5)
    assert calm.reason in (Why.DUE, Why.PROMISE)


def test_a_noisy_morning_leaves_a_reserve_for_the_afternoon() -> None:
    """Evidence without end until noon: afterwards evidence still finds its reserve, and promises hold all day."""

    def dress(state: QueryState, now: float) -> QueryState:
        asks = (now - TODAY) % DAY < 12 * HOUR and state.covered_until is not None
        return replace(state, evidence=Evidence(reason=Why.SIBLING, covers=now - 75.0) if asks else None)

    account = adaptive(premium(9), dress).until(TODAY + 12.2 * HOUR)
    now = account.clock.now()
    (daily,) = [u for u in account.ledger.usage(now) if u.window_seconds == DAY]
    promised = sum(11.8 * HOUR / gap for gap in gaps_of(account).values())
    assert daily.left >= promised + RESERVE / 2 * 0.5 * 479
    chosen = replace(account.states[0], evidence=Evidence(reason=Why.PENDING, covers=now - 60))
    slot = AdaptivePolicy(gaps=gaps_of(account)).next([chosen, *account.states[1:]], account.ledger.usage(now), now)
    assert slot.reason in (Why.PENDING, Why.PROMISE)
    account.until(TODAY + DAY)
    assert_promises_kept(account)


def test_the_reserve_is_spent_by_midnight() -> None:
    """With no evidence at all, what was held back for it goes to the turns: the whole day is used."""
    account = adaptive(enterprise(9), loaded(busy_at(8, 9, 10))).until(TODAY + DAY)
    assert account.spent() >= 0.97 * 1439


def test_one_look_answers_a_cause() -> None:
    """What was looked at is no cause any more: a query covered past its evidence waits for its turn again."""
    account = adaptive(premium(5)).until(TODAY + 10 * HOUR)
    now = account.clock.now()
    state = account.states[0]
    evidence = Evidence(reason=Why.PENDING, covers=(state.covered_until or 0.0) + 100)
    asks = [replace(state, evidence=evidence), *account.states[1:]]
    first = account.policy.next(asks, account.ledger.usage(now), now)
    assert first.reason is Why.PENDING
    done = [replace(s, evidence=None) for s in asks]
    assert account.policy.next(done, account.ledger.usage(now), now).reason in (Why.DUE, Why.PROMISE)


# ── nobody in calls ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_nobody_in_calls_leaves_the_users_queries_alone() -> None:
    """Idle queries are not looked at; the users query runs at its promised gap and hardly more often."""
    users, *others = PREMIUM.queries(7)
    users = replace(users, series=(Series("acme", "agora", "classroom", "Native", "", "users"),))
    account = Account(plan=PREMIUM, queries=(users, *others), pools=(PREMIUM.pool(),))

    def dress(state: QueryState, now: float) -> QueryState:
        is_users = state.query.id == users.id
        return replace(state, idle=not is_users and state.covered_until is not None, heat=0.0 if is_users else 1.0)

    adaptive(account, dress).until(TODAY + 2 * DAY)
    looks = [at for at, query, *_ in account.looks if query == users.id and at > TODAY + HOUR]
    assert len({query for at, query, *_ in account.looks if at > TODAY + HOUR}) == 1
    gap = gaps_of(account)[users.id]
    assert max(b - a for a, b in pairwise(looks)) <= gap + 1
    assert len(looks) <= 1.05 * (2 * DAY - HOUR) / gap + 1


# ── trouble ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_outage_is_probed_at_an_even_pace_and_caught_up_with() -> None:
    """While looks fail nothing goes out of turn, so that the recovery has a budget; afterwards all is seen again."""
    account = premium(9)
    account.down = account.outage(TODAY + 10 * HOUR, 2 * HOUR)
    adaptive(account, loaded(busy_at(9, 10, 11, 18))).until(TODAY + 2 * DAY)
    assert account.refused_by_vendor() == ""
    meanwhile = [at for at, *_ in account.looks if TODAY + 10 * HOUR <= at < TODAY + 12 * HOUR]
    assert len(meanwhile) <= 0.2 * 479
    assert all(at <= TODAY + 12.7 * HOUR for at, *_ in account.lost_at)
    assert account.gaps(TODAY + 13 * HOUR) <= max(gaps_of(account).values()) + 1


def test_one_broken_query_starves_nobody() -> None:
    """A query that never answers costs little, and every other keeps its promise."""
    account = premium(7)
    account.broken = {"q03"}
    adaptive(account).until(TODAY + 2 * DAY)
    assert account.refused_by_vendor() == ""
    assert account.gaps(but={"q03"}) <= max(gaps_of(account).values()) + 1
    assert sum(query == "q03" for _, query, *_ in account.looks) <= 0.25 * len(account.looks)


def test_what_failed_twice_by_itself_is_not_left_to_its_promise() -> None:
    """Two hiccups in a row on one query: it is answered one even distance later, and nobody's promise is broken."""
    account = adaptive(premium(9)).until(TODAY + 10 * HOUR)
    account.broken = {"q03"}
    while sum(query == "q03" and not good for _, query, _, good in account.looks) < 2:
        account.until(account.now + 10)
    account.broken = ()
    began, again = [at for at, query, _, good in account.looks if query == "q03" and not good]
    account.until(again + HOUR)
    seen, why = next((at, why) for at, query, why, good in account.looks if query == "q03" and good and at > again)
    assert again - began <= 2.5 * DAY / 479  # at once after the next answer
    assert seen - again <= 1.5 * DAY / 479
    assert why is Why.RETRY
    account.until(TODAY + DAY)
    assert_promises_kept(account)


def test_a_query_that_goes_on_failing_backs_off_to_its_share() -> None:
    """One even distance, two, four, then a round of nine: no more than if it were well, and less than a promise."""
    account = adaptive(premium(9)).until(TODAY + 6 * HOUR)
    account.broken = {"q03"}
    account.until(TODAY + 14 * HOUR)
    tried = [at for at, query, _, good in account.looks if query == "q03" and not good]
    waits = [b - a for a, b in pairwise(tried)]
    even = DAY / 479
    assert waits[2:6] == sorted(waits[2:6])  # before that, another's answer freed it
    assert waits[3] >= 3.5 * even
    assert all(wait <= 10.5 * even for wait in waits)
    assert all(wait >= 8 * even for wait in waits[5:])
    assert account.gaps(but={"q03"}) <= max(gaps_of(account).values()) + 1


def test_an_idle_query_that_failed_is_tried_again() -> None:
    """Nobody is there, so it has nothing to bring but that it can be seen; once that is known it is left alone."""
    account = adaptive(premium(5)).until(TODAY + 10 * HOUR)
    now = account.clock.now()
    idle = [replace(s, idle=s.query.id == "q03") for s in account.states]
    ill = [replace(s, failures=1, last_look=now - 300) if s.idle else s for s in idle]
    freed = [replace(s, failures=1, forgiven=1, last_look=now - 30) if s.idle else s for s in idle]
    usage = account.ledger.usage(now)
    for states in (ill, freed):
        slot = account.policy.next(states, usage, now)
        assert (slot.query_id, slot.reason) == ("q03", Why.RETRY)
    assert account.policy.next(idle, usage, now).query_id != "q03"


def test_a_query_that_no_rule_judges_is_tried_again_after_an_outage() -> None:
    """It has no turns, and its promise may be far: what failed with the others is looked at with them."""
    account = adaptive(premium(5)).until(TODAY + 10 * HOUR)
    now = account.clock.now()
    quiet = [replace(s, heat=0.0 if s.query.id == "q03" else 1.0, covered_until=now - 120) for s in account.states]
    down = failed(quiet, "q03", at=now - 200)
    states = looked(failed(down, "q01", at=now - 100), "q00", at=now - 50, covered_until=now - 110)
    usage = account.ledger.usage(now)
    first = account.policy.next(states, usage, now)
    assert first.query_id is not None
    second = account.policy.next(looked(states, first.query_id, at=now, covered_until=now - 60), usage, now)
    assert {first.query_id, second.query_id} == {"q01", "q03"}
    assert {first.reason, second.reason} == {Why.RETRY}
    assert max(first.at, second.at) <= now + 60


def test_no_retry_is_paid_with_what_promises_need() -> None:
    """With a day that has only its promises left, what failed waits for what its own would cost, forgiven or not."""
    account = adaptive(premium(5)).until(TODAY + 10 * HOUR)
    now = account.clock.now()
    states = [replace(s, failures=1, last_look=now - 900) if s.query.id == "q03" else s for s in account.states]
    needed = sum((14 * HOUR) / gap for gap in gaps_of(account).values())
    poor = [replace(v, left=needed - 5) if v.window_seconds == DAY else v for v in account.ledger.usage(now)]
    assert account.policy.next(states, account.ledger.usage(now), now).reason is Why.RETRY
    gap = gaps_of(account)["q03"]
    for forgiven in (0, 1):
        states = [replace(s, forgiven=forgiven) if s.query.id == "q03" else s for s in states]
        slot = account.policy.next(states, poor, now)
        assert (slot.query_id, slot.reason) == ("q03", Why.RETRY)
        assert slot.at >= now - 900 + gap


def test_the_retry_of_a_first_failure_is_kept_for_it() -> None:
    """With the last request beyond the promises gone on a look that failed: no turn takes what its retry needs."""
    account = adaptive(premium(5)).until(TODAY + 10 * HOUR)
    now = account.clock.now()
    states = [replace(s, last_look=now - 60, covered_until=now - 100) for s in account.states]
    long_ago = now - 0.9 * gaps_of(account)["q03"]
    states[3] = replace(states[3], last_look=long_ago, covered_until=long_ago - 40)
    usage = account.ledger.usage(now)

    def slot(left: float, failures: int = 0, not_before: float = 0.0) -> Slot:
        ill = replace(states[3], failures=failures, forgiven=failures, not_before=not_before)
        asked = [*states[:3], replace(ill, last_look=now - 30) if failures else ill, *states[4:]]
        views = [replace(v, left=left) if v.window_seconds == DAY else v for v in usage]
        return account.policy.next(asked, views, now)

    far = now + HOUR
    turns = next(left for left in range(480) if slot(left, failures=1, not_before=far).reason is Why.DUE)
    retry = slot(turns - 1, failures=1)
    assert (retry.query_id, retry.reason) == ("q03", Why.RETRY)
    assert retry.at <= now + 600  # at an even pace of what is left
    assert all(slot(turns - 2, failures=failures).query_id != "q03" for failures in (1, 2))
    assert slot(turns - 1, failures=2, not_before=far).reason is Why.DUE  # a second is not kept for any more


@pytest.mark.parametrize(("every", "most"), [(60.0, 61), (600.0, 10)])
def test_without_a_daily_quota_a_failing_query_is_not_asked_faster_than_a_sound_one(every: float, most: int) -> None:
    """A hundred in half a minute would be allowed; a sound query would be asked `every` seconds, so no sooner."""
    pool = Pool(id="rooms", account="acme", family="insights", quotas=(Quota.rolling(100, 30),))
    queries = tuple(replace(query, every=every) for query in PREMIUM.queries(1, "rooms"))
    account = adaptive(Account(plan=PREMIUM, queries=queries, pools=(pool,))).until(TODAY + HOUR)
    account.broken = {"q00"}
    account.until(TODAY + 2 * HOUR)
    tried = [at for at, _, _, good in account.looks if not good]
    waits = [b - a for a, b in pairwise(tried)]
    assert waits[0] >= 60
    assert min(waits) >= 40  # in time for windows that would be lost, once a short quota's length later
    assert 4 <= len(tried) <= most


def test_an_outage_is_probed_at_the_pace_of_an_even_day_from_its_first_minutes_on() -> None:
    """Retries do not wait until promises are up: one probe in an even distance, so that the end is seen within one."""
    account = enterprise(5)
    account.down = account.outage(TODAY + 10 * HOUR, HOUR)
    adaptive(account).until(TODAY + 11.5 * HOUR)
    probes = [at for at, *_ in account.looks if TODAY + 10.1 * HOUR <= at < TODAY + 11 * HOUR]
    waits = [b - a for a, b in pairwise(probes)]
    assert min(waits) >= 60
    assert max(waits) <= 75
    assert next(at for at, _, _, good in account.looks if at >= TODAY + 11 * HOUR and good) <= TODAY + 11 * HOUR + 75


@pytest.mark.parametrize(
    ("account", "broken", "hour"), [(premium(9), 3, 10), (premium(7), 2, 3), (enterprise(5), 2, 9)]
)
def test_several_failing_queries(account: Account, broken: int, hour: float) -> None:
    """Some fail for five hours while the others answer: quotas hold, and no promise of the others is broken."""
    adaptive(account).until(TODAY + hour * HOUR)
    bad = {query.id for query in account.queries[:broken]}
    account.broken = bad
    account.until(TODAY + (hour + 5) * HOUR)
    account.broken = ()
    account.until(TODAY + 1.2 * DAY)
    promised = max(gaps_of(account).values())
    assert account.refused_by_vendor() == ""
    assert account.gaps(but=bad) <= promised + 1
    assert account.gaps(since=TODAY + (hour + 5.5) * HOUR) <= promised + 1
    assert all(query in bad for _, query, _ in account.lost_at)


@pytest.mark.parametrize(
    ("account", "broken", "hour"), [(premium(9), 2, 18), (premium(9), 3, 18), (premium(9), 1, 20), (premium(11), 1, 18)]
)
def test_a_failing_query_does_not_hurry_the_looks_at_the_others(account: Account, broken: int, hour: float) -> None:
    """Its promise is broken already, so it is no reason to look at others before theirs: a late day would be spent on
    that before midnight, and their windows lost."""
    adaptive(account).until(TODAY + hour * HOUR)
    bad = {query.id for query in account.queries[:broken]}
    account.broken = bad
    account.until(TODAY + 23 * HOUR)
    early = [b - a for q in account.queries if q.id not in bad for a, b in pairwise(answered(account, q.id, hour))]
    assert min(early) >= DAY / 479
    account.broken = ()
    account.until(TODAY + 1.2 * DAY)
    assert account.refused_by_vendor() == ""
    assert account.gaps(but=bad) <= max(gaps_of(account).values()) + 1
    assert all(query in bad for _, query, _ in account.lost_at)


@pytest.mark.parametrize(
    ("account", "broken", "hour", "lasts"),
    [(premium(9), 3, 21.5, 5), (premium(9), 8, 10, 5), (premium(11), 3, 20, 5), (premium(11), 5, 0, 24)],
)
def test_however_many_fail_no_sound_query_is_kept_waiting(
    account: Account, broken: int, hour: float, lasts: float
) -> None:
    """Late in the day, most of them, or half all day long: each costs what it would if it were well, and what the day
    has beyond that; and it is tried, and seen again soon after it is mended."""
    adaptive(account).until(TODAY + hour * HOUR)
    bad = {query.id for query in account.queries[:broken]}
    account.broken = bad
    account.until(TODAY + (hour + lasts) * HOUR)
    account.broken = ()
    account.until(TODAY + (hour + lasts + 2) * HOUR)
    promised = max(gaps_of(account).values())
    assert account.refused_by_vendor() == ""
    assert account.gaps(but=bad) <= promised + 1
    assert all(query in bad for _, query, _ in account.lost_at)
    for name in bad:
        tried = [at for at, query, *_ in account.looks if query == name and at <= TODAY + (hour + lasts) * HOUR]
        assert max(b - a for a, b in pairwise(tried)) <= promised + 60
        assert answered(account, name, hour + lasts)[0] <= TODAY + (hour + lasts) * HOUR + promised


@pytest.mark.parametrize(("left", "room", "first"), [(20, 2, "q01"), (60, 2, "q03"), (80, 1, "q01"), (110, 1, "q03")])
def test_a_promise_does_not_wait_for_a_retry_that_hangs(left: float, room: int, first: str) -> None:
    """A look that fails may take half a minute, and its room in the short quota is free only that much later."""
    account = adaptive(premium(5)).until(TODAY + 10 * HOUR)
    now = account.clock.now()
    seen = now - gaps_of(account)["q01"] + left
    states = [replace(s, last_look=now - 60, covered_until=now - 100) for s in account.states]
    states[1] = replace(states[1], last_look=seen, covered_until=seen - 40)
    states[3] = replace(states[3], failures=2, last_look=now - 900)
    usage = [replace(v, left=room) if v.window_seconds == 60 else v for v in account.ledger.usage(now)]
    slot = account.policy.next(states, usage, now)
    assert (slot.query_id, slot.reason) == (first, Why.PROMISE if first == "q01" else Why.RETRY)


def test_where_everything_fails_a_full_minute_ends_with_a_retry() -> None:
    """Nothing is promised then, so no room is kept for a promise."""
    account = adaptive(premium(3)).until(TODAY + 10 * HOUR)
    now = account.clock.now()
    states = [replace(s, failures=3, last_look=now - 900) for s in account.states]
    full = [replace(v, left=0, free_at=now + 20) if v.window_seconds == 60 else v for v in account.ledger.usage(now)]
    assert account.policy.next(states, full, now).reason is Why.RETRY


def test_what_is_forgiven_still_waits_as_long_as_the_vendor_wished() -> None:
    """Another's answer ends the back-off, not a `Retry-After`."""
    account = adaptive(premium(5)).until(TODAY + 10 * HOUR)
    now = account.clock.now()
    freed = looked(failed(account.states, "q03", at=now - 20), "q00", at=now - 10, covered_until=now - 50)
    assert account.policy.next(freed, account.ledger.usage(now), now).at <= now + 40  # less than half an even distance
    pending = Evidence(reason=Why.PENDING, covers=now - 300)
    waits = [replace(s, evidence=pending) if s.query.id == "q03" else s for s in freed]
    assert account.policy.next(waits, account.ledger.usage(now), now).reason is Why.PENDING
    states = failed(account.states, "q03", at=now - 20, retry_after=400)
    states = looked(states, "q00", at=now - 10, covered_until=now - 50)
    usage = account.ledger.usage(now)
    assert account.policy.next(states, usage, now).query_id != "q03"
    later = account.policy.next(states, usage, now + 400)
    assert (later.query_id, later.reason) == ("q03", Why.RETRY)


@pytest.mark.parametrize("wish", [60, 600, 3600])
def test_the_last_room_of_a_minute_is_not_for_what_may_not_be_asked_yet(wish: float) -> None:
    """A query is overdue, but has a `Retry-After`: it is not asked before, and others are not asked in its room."""
    account = adaptive(premium(5)).until(TODAY + 10 * HOUR)
    now = account.clock.now()
    states = [replace(s, last_look=now - 30) if s.query.id == "q00" else s for s in account.states]
    late = replace(states[3], failures=1, last_look=now - 200, not_before=now + wish, covered_until=now - 2300)
    states = [late if s.query.id == late.query.id else s for s in states]
    full = [replace(v, left=1) if v.window_seconds == 60 else v for v in account.ledger.usage(now)]
    slot = account.policy.next(states, full, now)
    assert slot.at >= now + min(wish, 60)
    assert slot.query_id != "q03" or slot.at >= now + wish


def answered(account: Account, query: str, hour: float) -> list[float]:
    """When a query was answered after that hour of the day."""
    return [at for at, name, _, good in account.looks if name == query and good and at > TODAY + hour * HOUR]


@pytest.mark.parametrize("every", [9, 12])
def test_looks_that_fail_now_and_then_lose_nothing(every: int) -> None:
    """Every so many looks one fails, whichever query it is: what was promised to the failed is kept by the retry."""
    account = premium(9)
    looks = counting(1)
    account.down = lambda at: next(looks) % every == 0
    adaptive(account).until(TODAY + DAY)
    assert sum(not good for *_, good in account.looks) >= 30
    assert account.refused_by_vendor() == ""
    assert sum(account.lost.values()) == 0
    assert account.gaps() <= max(gaps_of(account).values()) + 1


# ── the policy as a function ─────────────────────────────────────────────────────────────────────────────────────────


def test_equal_inputs_give_equal_slots() -> None:
    """It holds nothing but its promises: asked twice, it answers twice alike."""
    account = adaptive(enterprise(9), loaded(busy_at(9))).until(TODAY + 5 * HOUR)
    now = account.clock.now()
    usage = account.ledger.usage(now)
    assert account.policy.next(account.states, usage, now) == account.policy.next(account.states, usage, now)


def test_two_pools_do_not_disturb_each_other() -> None:
    """A pool that is spent leaves the other's looks alone."""
    first, second = PREMIUM.queries(3, "acme/usage", "u"), PREMIUM.queries(4, "acme/quality", "v")
    pools = (PREMIUM.pool("acme/usage"), PREMIUM.pool("acme/quality"))
    account = adaptive(Account(plan=PREMIUM, queries=(*first, *second), pools=pools)).until(TODAY + 2 * DAY)
    assert_promises_kept(account)
    for prefix in "uv":
        assert sum(q.startswith(prefix) and at > TODAY + DAY for at, q, *_ in account.looks) >= 0.95 * 479


def test_a_noisy_project_breaks_no_other_promise() -> None:
    """One project's evidence takes no more than the reserve: the quiet project's queries keep theirs."""
    noisy: tuple[Query, ...] = PREMIUM.queries(4, prefix="n")
    quiet = PREMIUM.queries(5, prefix="q")
    account = Account(plan=PREMIUM, queries=(*noisy, *quiet), pools=(PREMIUM.pool(),))

    def dress(state: QueryState, now: float) -> QueryState:
        asks = state.query.id.startswith("n") and state.covered_until is not None
        return replace(state, evidence=Evidence(reason=Why.HINT, covers=now - 45) if asks else None)

    adaptive(account, dress).until(TODAY + 2 * DAY)
    assert_promises_kept(account)
