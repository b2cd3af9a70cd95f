"""The decision: exact where it refuses, and right where it grants."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.budget.doubles import NOON, agora, over
from watcher.budget import Grant, Kind, Pool, Quota, Refusal, decide, pool_id
from watcher.budget.book import Book
from watcher.budget.quota import Block
from watcher.clock import DAY, day_start
from watcher.errors import Reason
from watcher.model import Spend

POOL = agora()
MIDNIGHT = day_start(NOON) + DAY


def spend(at: float, *, skew: float = 5.0, number: int = 0, pool: str = POOL.id, units: float = 1.0) -> Spend:
    """A recorded request."""
    return Spend(id=f"s{number}", account="acme", pools=(pool,), at=at, skew=skew, units=units)


def book(spends: Sequence[Spend], pool: Pool = POOL) -> Book:
    """The spends as decisions see them."""
    filled = Book([pool])
    for one in spends:
        filled.add(one)
    return filled


def at_of(decision: Grant | Refusal) -> float:
    """When a request could leave."""
    return decision.at


def test_a_limit_is_strict_so_we_stay_one_below() -> None:
    """Premium: 2 a minute and 479 a day."""
    minute, day = POOL.quotas
    assert (minute.allowed, day.allowed) == (2, 479)
    assert (minute.window, day.window, Quota.rolling(100, 30).window) == ("minute", "day", "30s")


@pytest.mark.parametrize(
    ("limit", "kind", "seconds", "margin"),
    [
        (1, Kind.MINUTE, 60, 1),
        (3, Kind.MINUTE, 30, 1),
        (3, Kind.DAY, 60, 1),
        (3, Kind.ROLLING, 0, 1),
        (3, Kind.ROLLING, 9, -1),
    ],
)
def test_a_quota_that_makes_no_sense_is_refused(limit: int, kind: Kind, seconds: int, margin: int) -> None:
    """No request left, a minute of another length, a window of nothing, a margin above the limit."""
    with pytest.raises(ValueError, match=r"leaves no request|lasts"):
        Quota(limit=limit, kind=kind, window_seconds=seconds, margin=margin)


@pytest.mark.parametrize(
    ("scope", "expected"),
    [("family", "acme/realtime"), ("endpoint", "acme/realtime/quality"), ("app_id", "acme/realtime/classroom")],
)
def test_pool_ids_follow_the_scope(scope: str, expected: str) -> None:
    """What a vendor counts together has one name."""
    made = pool_id(account="acme", family="realtime", scope=scope, endpoint="quality", project="classroom")  # type: ignore[arg-type]
    assert made == expected


@pytest.mark.parametrize(
    ("spent_at", "asked_at", "granted_at", "window"),
    [
        ([], 0, 0, None),
        ([0], 1, 1, None),
        ([0, 1], 2, 70, "minute"),  # 60 s and the skew of both
        ([0, 1], 69.9, 70, "minute"),
        ([0, 1], 70, 70, None),
        ([100, 101], 0, 170, "minute"),  # recorded later than now, as after a step back: counts
    ],
)
def test_a_minute_is_any_sixty_seconds(
    spent_at: list[float], asked_at: float, granted_at: float, window: str | None
) -> None:
    """Two a minute, 5 s uncertain on both sides."""
    decision = decide([POOL], book([spend(NOON + t, number=i) for i, t in enumerate(spent_at)]), NOON + asked_at)
    assert decision.at == NOON + granted_at
    assert (decision.window if isinstance(decision, Refusal) else None) == window


@pytest.mark.parametrize(
    ("last", "asked", "granted"),
    [
        (-100, -50, 5),  # today's are spent: tomorrow, once it is tomorrow for sure
        (-5.1, 4.9, 5),
        (-5, 5, DAY + 5),  # within the skew of midnight: counts today and tomorrow
        (3, 5, DAY + 5),  # recorded after midnight
    ],
)
def test_a_spend_near_midnight_counts_on_both_sides(last: float, asked: float, granted: float) -> None:
    """One a day is allowed, and one was spent at `last` seconds from midnight."""
    pool = Pool(id=POOL.id, account="acme", family="realtime", quotas=(Quota.per_day(2),))
    decision = decide([pool], book([spend(MIDNIGHT + last)], pool), MIDNIGHT + asked)
    assert decision.at == MIDNIGHT + granted


def test_assumed_units_weigh_as_many() -> None:
    """A marker of 478 units leaves one."""
    marker = Spend(id="assumed:x", account="acme", pools=(POOL.id,), at=day_start(NOON), skew=0.0, units=478)
    filled = book([marker])
    assert isinstance(decide([POOL], filled, NOON), Grant)
    filled.add(spend(NOON - 600))
    assert decide([POOL], filled, NOON) == Refusal(at=MIDNIGHT + 5, pool=POOL.id, window="day", reason=Reason.BUDGET)


def test_all_pools_must_have_room_and_the_last_to_have_it_is_named() -> None:
    """A request of two pools waits for both; the vendor's own refusal counts as well."""
    other = Pool(id="acme/calls", account="acme", family="calls", quotas=(Quota.rolling(2, 300),))
    filled = Book([POOL, other])
    filled.add(spend(NOON, pool=other.id))
    assert decide([POOL, other], filled, NOON + 1) == Refusal(
        at=NOON + 310, pool=other.id, window="300s", reason=Reason.BUDGET
    )
    block = {POOL.id: Block(until=MIDNIGHT, window="day", reason=Reason.DAY_QUOTA)}
    assert decide([POOL, other], filled, NOON + 1, blocks=block) == Refusal(
        at=MIDNIGHT + 5, pool=POOL.id, window="day", reason=Reason.DAY_QUOTA
    )


def test_shared_doubt_moves_midnight_but_not_distances() -> None:
    """A clock in doubt by an hour may be on either side of midnight, yet a minute is still a minute."""
    filled = Book([POOL])
    for i in range(2):
        filled.add(spend(NOON, skew=3605.0, number=i), doubt=3600.0)
    assert at_of(decide([POOL], filled, NOON + 1, doubt=3600.0)) == NOON + 70
    single = Pool(id=POOL.id, account="acme", family="realtime", quotas=(Quota.per_day(2),))
    filled = Book([single])
    filled.add(spend(MIDNIGHT - 3000, skew=3605.0), doubt=3600.0)
    assert at_of(decide([single], filled, MIDNIGHT - 2000, doubt=3600.0)) == MIDNIGHT + DAY + 3605


# ── properties ───────────────────────────────────────────────────────────────────────────────────────────────────────

QUOTAS = st.one_of(
    st.builds(Quota.per_minute, st.integers(2, 4)),
    st.builds(Quota.per_day, st.integers(2, 5)),
    st.builds(Quota.rolling, st.integers(2, 5), st.integers(1, 400)),
)
INSTANTS = st.integers(-2 * DAY, 2 * DAY) | st.integers(-200, 200)
SPENDS = st.lists(st.tuples(INSTANTS, st.integers(5, 90)), max_size=8)


def windows(quota: Quota, first: float, last: float, ends: list[float]) -> list[float]:
    """The starts of all windows of a quota that touch [first, last], as far as their counts can differ."""
    if quota.kind is Kind.DAY:
        start = math.floor(first / DAY) * DAY
        return [float(start + i * DAY) for i in range(int((last - start) // DAY) + 1)]
    opening = first - quota.window_seconds  # a window [x, x + w) holds `first` where x is later than this
    return [math.nextafter(opening, math.inf)] + [end for end in ends if opening < end <= last]


def fits(quota: Quota, spends: list[Spend], at: float, skew: float) -> bool:
    """The rule as design states it: no window that the request may lie in holds more than allowed."""
    ends = [s.at + s.skew for s in spends]
    return all(
        sum(1 for end in ends if end >= start) + 1 <= quota.allowed
        for start in windows(quota, at - skew, at + skew, ends)
    )


@settings(max_examples=300, deadline=None)
@given(quotas=st.lists(QUOTAS, min_size=1, max_size=3), drawn=SPENDS, now=INSTANTS, skew=st.integers(5, 60))
def test_the_decision_is_the_rule_and_its_instant_is_the_first(
    quotas: list[Quota], drawn: list[tuple[int, int]], now: int, skew: int
) -> None:
    """Grants exactly where every window has room; a refusal's instant is granted, and nothing before it is."""
    pool = Pool(id=POOL.id, account="acme", family="realtime", quotas=tuple(quotas))
    spends = [spend(MIDNIGHT + at, skew=own, number=i) for i, (at, own) in enumerate(drawn)]
    filled = book(spends, pool)

    def allowed(at: float) -> bool:
        return all(fits(quota, spends, at, skew) for quota in quotas)

    decision = decide([pool], filled, MIDNIGHT + now, skew=skew)
    assert isinstance(decision, Grant) == allowed(MIDNIGHT + now)
    if isinstance(decision, Refusal):
        assert isinstance(decide([pool], filled, decision.at, skew=skew), Grant)
        assert allowed(decision.at)
        before = decision.at - 0.001
        assert isinstance(decide([pool], filled, before, skew=skew), Refusal)
        assert not allowed(before)
        assert decision.window in {q.window for q in quotas if not fits(q, spends, before, skew)}


@settings(max_examples=150, deadline=None)
@given(
    steps=st.lists(st.tuples(st.integers(0, 90), st.integers(-5, 5), st.integers(5, 40)), max_size=60),
    start=st.integers(-200, 100),
)
def test_whatever_was_granted_no_window_of_the_vendor_holds_more(steps: list[tuple[int, int, int]], start: int) -> None:
    """Requests asked for at will and arriving anywhere in their intervals: 2 a minute, 5 a day, 2 in 45 s."""
    pool = Pool(
        id=POOL.id, account="acme", family="f", quotas=(Quota.per_minute(3), Quota.per_day(6), Quota.rolling(3, 45))
    )
    filled = Book([pool])
    arrivals: list[float] = []
    now = MIDNIGHT + start
    for number, (wait, error, skew) in enumerate(steps):
        now += wait
        if isinstance(decide([pool], filled, now, skew=skew), Grant):
            filled.add(spend(now, skew=skew, number=number))
            arrivals.append(now + error)
    assert not over(arrivals, minute=2, day=5, rolling=(2, 45.0))
