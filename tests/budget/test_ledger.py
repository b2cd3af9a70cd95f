"""The ledger: durable before granted, safe at every boundary, honest about what it does not know."""

from __future__ import annotations

import math

import anyio
import pytest

from tests.budget.doubles import NOON, HandClock, MemoryStore, agora, opened, run
from watcher.budget import Ledger, LookPurse, Pool, Quota, Refusal
from watcher.clock import DAY, HOUR, day_start
from watcher.errors import Reason, StoreError
from watcher.model import Spend
from watcher.workers import InlineWorkers, ThreadWorkers

POOL = agora()
POOLS = (POOL.id,)
TODAY = day_start(NOON)
MIDNIGHT = TODAY + DAY


def granted(ledger: Ledger, pools: tuple[str, ...] = POOLS) -> Spend:
    """A spend that must be granted."""
    decision = run(ledger.spend(pools))
    assert isinstance(decision, Spend), decision
    return decision


def refused(ledger: Ledger, pools: tuple[str, ...] = POOLS) -> Refusal:
    """A spend that must be refused."""
    decision = run(ledger.spend(pools))
    assert isinstance(decision, Refusal), decision
    return decision


def spent_today(ledger: Ledger, clock: HandClock) -> float:
    """What the day's quota of the first pool holds."""
    return next(u.spent for u in ledger.usage(clock.now()) if u.window == "day")


# ── durability ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_grant_is_in_the_store_before_it_is_handed_out() -> None:
    """A crash right after it finds it counted."""
    clock, store = HandClock(), MemoryStore()
    spend = granted(opened(clock, store))
    assert store.rows[spend.id] == spend
    assert spend.skew >= 5
    granted(opened(clock, store))
    assert refused(opened(clock, store)).window == "minute"


def test_what_cannot_be_recorded_is_not_granted_and_not_counted() -> None:
    """A full disk stops requests, and does not eat the budget meanwhile."""
    clock, store = HandClock(), MemoryStore()
    ledger = opened(clock, store)
    store.broken = True
    for _ in range(5):
        with pytest.raises(StoreError):
            run(ledger.spend(POOLS))
    store.broken = False
    granted(ledger)
    granted(ledger)
    assert (ledger.counts.granted, ledger.counts.store_failures) == (2, 5)


def test_a_refund_is_durable_and_gives_the_unit_back() -> None:
    """Only the caller knows that nothing was written; where the refund cannot be recorded, the spend stands."""
    clock, store = HandClock(), MemoryStore()
    ledger = opened(clock, store)
    first, second = granted(ledger), granted(ledger)
    store.broken = True
    with pytest.raises(StoreError):
        run(ledger.refund(first))
    store.broken = False
    refused(ledger)
    run(ledger.refund(first))
    assert set(store.rows) >= {second.id}
    assert first.id not in store.rows
    granted(ledger)
    refused(opened(clock, store))
    assert ledger.counts.refunded == 1


async def test_a_spend_cancelled_while_being_written_stays_counted() -> None:
    """The record may have become durable, so memory keeps it too."""
    clock, store = HandClock(), MemoryStore()
    ledger = Ledger(account="acme", pools=(POOL,), store=store, clock=clock, workers=ThreadWorkers(1))
    with anyio.CancelScope() as scope:
        scope.cancel()
        await ledger.open()
    await ledger.open()
    for _ in range(2):
        with anyio.CancelScope() as scope:
            scope.cancel()
            await ledger.spend(POOLS)
    assert isinstance(await ledger.spend(POOLS), Refusal)


def test_a_store_that_fails_under_a_correction_fails_no_look() -> None:
    """What was learned holds in memory and is written with the next spend."""
    clock, store = HandClock(), MemoryStore()
    ledger = opened(clock, store)
    spend = granted(ledger)
    store.broken = True
    run(ledger.answered(spend, clock.now() + 3000))
    run(ledger.exhausted(POOL.id, None, Reason.RATE))
    assert ledger.offset == pytest.approx(3000, abs=1)
    store.broken = False
    clock.wait(200)
    granted(ledger)
    assert store.rows[spend.id].at == pytest.approx(NOON + 3000, abs=1)
    assert ("acme", f"blind/{POOL.id}") in store.notes
    assert opened(clock, store).offset == pytest.approx(3000, abs=1)


# ── boundaries ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_refusal_names_the_instant_from_which_it_is_granted() -> None:
    """Waking then is enough, to the millisecond."""
    clock, store = HandClock(), MemoryStore()
    ledger = opened(clock, store)
    for _ in range(2):
        run(ledger.answered(granted(ledger), None))
    refusal = refused(ledger)
    assert refusal.at == pytest.approx(NOON + 70, abs=0.01)
    clock.wait(refusal.at - clock.now() - 0.01)
    refused(ledger)
    clock.wait(0.01)
    granted(ledger)


def test_the_day_ends_at_utc_midnight_and_not_before_it_surely_has() -> None:
    """Four a day, spent: the next leaves at 00:00:05."""
    clock, store = HandClock(TODAY), MemoryStore()
    pool = agora(minute=100, day=5)
    ledger = opened(clock, store, pool)
    clock.wait(10)
    for _ in range(4):
        granted(ledger)
    assert refused(ledger).at == pytest.approx(MIDNIGHT + 5, abs=0.01)
    clock.wait(DAY - 10 + 4.9)
    refused(ledger)
    clock.wait(0.1)
    granted(ledger)


def test_without_a_record_of_today_its_elapsed_share_counts_as_spent() -> None:
    """At noon half the day is gone, durably, once; and nothing is assumed again by the next start or the next day."""
    clock, store = HandClock(), MemoryStore()
    ledger = opened(clock, store)
    assert spent_today(ledger, clock) == 240
    assert ledger.counts.assumed_units == 240
    clock.wait(3 * HOUR)
    again = opened(clock, store)
    assert spent_today(again, clock) == 240
    granted(again)
    clock.wait(DAY)
    granted(again)
    assert spent_today(again, clock) == 1
    third = opened(clock, store)
    assert spent_today(third, clock) == 1


def test_a_start_seconds_after_midnight_assumes_yesterday_spent() -> None:
    """The vendor may still be in yesterday, of which nothing is known."""
    clock, store = HandClock(TODAY + 2), MemoryStore()
    ledger = opened(clock, store)
    assert refused(ledger).at == pytest.approx(TODAY + 5, abs=0.01)
    clock.wait(3.01)
    granted(ledger)


def test_pools_of_other_accounts_and_former_pools_do_not_count() -> None:
    """A record of a pool that is no longer configured is left alone."""
    clock, store = HandClock(), MemoryStore()
    old = opened(clock, store, agora(pool="acme/other"))
    granted(old, ("acme/other",))
    store.record_spend(Spend(id="x", account="zeta", pools=POOLS, at=NOON, skew=5.0, units=500))
    ledger = opened(clock, store)
    granted(ledger)
    granted(ledger)


# ── the vendor's refusals ────────────────────────────────────────────────────────────────────────────────────────────


def test_a_spent_day_is_believed_until_midnight_and_over_a_restart() -> None:
    """The vendor said so: someone else may share the quota."""
    clock, store = HandClock(), MemoryStore()
    ledger = opened(clock, store)
    run(ledger.exhausted(POOL.id, None, Reason.DAY_QUOTA))
    for held, skew in ((ledger, 5), (opened(clock, store), 7)):  # a restart knows the vendor's time a little less well
        refusal = refused(held)
        assert refusal.at == pytest.approx(MIDNIGHT + skew, abs=0.01)
        assert (refusal.window, refusal.reason) == ("day", Reason.DAY_QUOTA)
        usage = held.usage(clock.now())
        assert all(u.blocked_until == pytest.approx(MIDNIGHT + skew, abs=0.01) for u in usage)
        assert all(u.reason is Reason.DAY_QUOTA for u in usage)
    run(ledger.exhausted(POOL.id, None, Reason.RATE))  # a lesser refusal shortens nothing
    assert refused(ledger).at == pytest.approx(MIDNIGHT + 5, abs=0.01)
    assert [u.refused_by_vendor for u in ledger.usage(clock.now())] == [2, 2]
    clock.wait(DAY / 2 + 6)
    granted(ledger)
    assert all(u.blocked_until is None for u in ledger.usage(clock.now()))


@pytest.mark.parametrize(
    ("until", "at"),
    [(None, NOON + 65), (NOON + 300, NOON + 305), (NOON + 9 * DAY, MIDNIGHT + 5), (NOON - 50, NOON + 5)],
)
def test_a_refusal_of_the_minute_holds_as_long_as_the_vendor_wishes_within_reason(
    until: float | None, at: float
) -> None:
    """Until the next minute, or its `Retry-After`, never past the day."""
    clock, store = HandClock(), MemoryStore()
    ledger = opened(clock, store)
    run(ledger.exhausted(POOL.id, until, Reason.RATE))
    assert refused(ledger).at == pytest.approx(at, abs=0.01)


@pytest.mark.parametrize("text", ["", "x", "{}", "[1]", '{"until": 1, "window": "day", "reason": "mood"}'])
def test_a_foreign_note_blinds_nobody(text: str) -> None:
    """What cannot be read is not believed."""
    clock, store = HandClock(), MemoryStore()
    store.put_note("acme", f"blind/{POOL.id}", text)
    store.put_note("acme", "clock", text)
    granted(opened(clock, store))


# ── time ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_stamps_follow_the_vendors_clock_once_it_is_known() -> None:
    """The first answer corrects its own stamp and all later ones; a new start remembers."""
    clock, store = HandClock(), MemoryStore()
    ledger = opened(clock, store)
    first = granted(ledger)
    assert first.at == NOON
    clock.wait(0.4)
    run(ledger.answered(first, math.floor(NOON + 600)))
    assert store.rows[first.id].at == pytest.approx(NOON + 600, abs=1)
    assert ledger.offset == pytest.approx(600, abs=1)
    assert ledger.vendor_now() == pytest.approx(clock.now() + 600, abs=1)
    clock.wait(60)
    second = granted(ledger)
    assert second.at == pytest.approx(clock.now() + 600, abs=1)
    writes = store.writes
    run(ledger.answered(second, math.floor(second.at)))
    assert store.writes == writes  # nothing new was learned
    clock.wait(60)
    assert granted(opened(clock, store)).at == pytest.approx(clock.now() + 600, abs=1)


def test_a_late_arrival_is_stamped_when_it_arrived() -> None:
    """A request that took 40 s counts in the minute in which the vendor saw it."""
    clock, store = HandClock(), MemoryStore()
    ledger = opened(clock, store)
    slow, quick = granted(ledger), granted(ledger)
    run(ledger.answered(quick, NOON))
    clock.wait(40)
    run(ledger.answered(slow, NOON + 40))
    clock.wait(31)  # 71 s after both were granted
    granted(ledger)
    assert refused(ledger).at > NOON + 100


def test_a_request_that_never_answered_may_have_arrived_until_the_next() -> None:
    """Its stamp moves to the latest, durably, before the next is decided; but not for ever."""
    clock, store = HandClock(), MemoryStore()
    ledger = opened(clock, store)
    lost = granted(ledger)
    clock.wait(20)
    granted(ledger)
    assert store.rows[lost.id].at == NOON + 20
    other = refused(ledger)
    assert other.at == pytest.approx(NOON + 90, abs=0.01)
    clock.wait(600)
    last = granted(ledger)
    assert sorted(s.at for s in store.rows.values()) == [TODAY, NOON + 30, NOON + 50, last.at]


@pytest.mark.parametrize("step", [-6 * HOUR, 6 * HOUR, -90.0, 90.0])
def test_a_stepped_clock_opens_no_minute_and_widens_stamps_until_the_vendor_speaks(step: float) -> None:
    """Two were spent; the step changes nothing about when the third may leave, only what is known of it."""
    clock, store = HandClock(), MemoryStore()
    ledger = opened(clock, store)
    first = granted(ledger)
    run(ledger.answered(first, NOON))
    granted(ledger)
    clock.step(step)
    refusal = refused(ledger)
    assert refusal.at - clock.now() == pytest.approx(70, abs=1.1)
    assert ledger.counts.clock_steps == 1
    clock.wait(71)
    unsure = granted(ledger)
    assert unsure.skew == pytest.approx(5 + abs(step), abs=0.5)
    assert store.rows[unsure.id].skew == unsure.skew
    run(ledger.answered(unsure, math.floor(NOON + 71)))
    assert store.rows[unsure.id].skew == pytest.approx(5, abs=0.5)
    clock.wait(71)
    assert granted(ledger).skew == pytest.approx(5, abs=0.5)


def test_a_clock_stepped_while_the_daemon_was_down_opens_nothing() -> None:
    """In the same boot the monotonic clock tells."""
    clock, store = HandClock(MIDNIGHT - 1800), MemoryStore()
    pool = agora(minute=10, day=6)
    ledger = opened(clock, store, pool)  # assumes all of today but nothing: 5 allowed, 5 assumed
    assert refused(ledger).window == "day"
    clock.step(6 * HOUR)
    assert refused(opened(clock, store, pool)).window == "day"
    clock.step(-12 * HOUR)
    assert refused(opened(clock, store, pool)).window == "day"


def test_one_wrong_date_does_not_open_the_day_again() -> None:
    """A header 20 hours back or ahead is counted and not followed."""
    clock, store = HandClock(), MemoryStore()
    ledger = opened(clock, store)
    run(ledger.answered(granted(ledger), NOON))
    held = spent_today(ledger, clock)
    for lie in (-20 * HOUR, 20 * HOUR):
        clock.wait(100)
        run(ledger.answered(granted(ledger), clock.now() + lie))
        clock.wait(100)
        run(ledger.answered(granted(ledger), clock.now()))
    assert spent_today(ledger, clock) == held + 4
    assert ledger.counts.dates_not_believed == 2


@pytest.mark.parametrize("jump", [5 * HOUR, 3 * DAY])
def test_a_vendor_clock_that_was_ahead_for_a_while_leaves_no_spend_in_the_future(jump: float) -> None:
    """What was sent meanwhile counts as sent by now: the minute is free a minute later, today holds it, durably."""
    clock, store = HandClock(), MemoryStore()
    ledger = opened(clock, store)

    def look(ahead: float) -> Spend:
        spend = granted(ledger)
        run(ledger.answered(spend, clock.now() + ahead))
        clock.wait(70)
        return spend

    before = [look(0) for _ in range(3)]
    meanwhile = [look(jump) for _ in range(4)]
    assert ledger.offset == pytest.approx(jump, abs=1)
    after = [look(0) for _ in range(3)]
    assert ledger.offset == pytest.approx(0, abs=1)
    assert all(store.rows[spend.id].at < clock.now() for spend in (*before, *meanwhile, *after))
    assert spent_today(ledger, clock) == 240 + 10
    again = opened(clock, store)
    assert spent_today(again, clock) == 240 + 10
    granted(again)


def test_a_block_until_a_midnight_that_was_not_ends_at_the_next_one() -> None:
    """A refusal by a vendor whose clock was days ahead holds until 00:00 UTC of the day it turned out to be."""
    clock, store = HandClock(), MemoryStore()
    ledger = opened(clock, store)
    for ahead in (0, 3 * DAY, 3 * DAY):
        run(ledger.answered(granted(ledger), clock.now() + ahead))
        clock.wait(70)
    late = [granted(ledger), granted(ledger)]
    run(ledger.exhausted(POOL.id, None, Reason.DAY_QUOTA))
    for spend in late:
        run(ledger.answered(spend, clock.now()))
    assert refused(ledger).at == pytest.approx(MIDNIGHT + 5, abs=2)
    assert refused(opened(clock, store)).at == pytest.approx(MIDNIGHT + 5, abs=10)


@pytest.mark.parametrize("days", [9, -9])
def test_a_machine_whose_clock_is_days_wrong_finds_its_record_once_it_knows(days: int) -> None:
    """Started in the wrong week, the ledger asks on, and counts all of today as soon as two answers agree."""
    clock, store = HandClock(), MemoryStore()
    pool = agora(minute=10, day=480)
    ledger = opened(clock, store, pool)
    for _ in range(5):
        run(ledger.answered(granted(ledger), math.floor(clock.now())))
    clock.wait(600)
    lost = HandClock(clock.now() + days * DAY, uptime=50.0)
    again = opened(lost, store, pool, boot="boot-2")
    for _ in range(2):
        run(again.answered(granted(again), math.floor(lost.now() - days * DAY)))
        lost.wait(60)
    assert again.offset == pytest.approx(-days * DAY, abs=2)
    assert spent_today(again, lost) == 240 + 5 + 2


def test_a_clock_set_back_while_the_machine_was_down_neither_opens_nor_blinds() -> None:
    """It cannot be earlier than the newest spend that the vendor dated."""
    clock, store = HandClock(), MemoryStore()
    ledger = opened(clock, store)
    for _ in range(2):
        run(ledger.answered(granted(ledger), math.floor(clock.now())))
    back = HandClock(clock.now() - 6 * HOUR, uptime=50.0)
    again = opened(back, store, boot="boot-2")
    refusal = refused(again)
    assert refusal.at - back.now() < 75
    back.wait(75)
    granted(again)


# ── one look ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_look_may_ask_once_more_and_no_oftener() -> None:
    """The second domain is a new spend; a refund gives it back to the account, not to the look."""
    clock, store = HandClock(), MemoryStore()
    ledger = opened(clock, store)
    purse = LookPurse(ledger=ledger, pools=POOLS, first=granted(ledger))
    run(purse.refund())
    run(purse.refund())
    assert run(purse.spend())
    assert not run(purse.spend())
    assert purse.refusal is None
    run(purse.answered(clock.now() + 600))
    assert ledger.offset == pytest.approx(600, abs=1)
    assert (ledger.counts.granted, ledger.counts.refunded) == (2, 1)


def test_a_look_learns_that_the_budget_refuses() -> None:
    """No request may leave then, and the log can say why."""
    clock, store = HandClock(), MemoryStore()
    ledger = opened(clock, store)
    granted(ledger)
    purse = LookPurse(ledger=ledger, pools=POOLS, first=granted(ledger), extra=3)
    assert not run(purse.spend())
    assert purse.refusal is not None
    assert purse.refusal.window == "minute"


# ── what is reported, and bounds ─────────────────────────────────────────────────────────────────────────────────────


def test_usage_says_what_an_auditor_would_count() -> None:
    """Per quota: the current window, the worst one, the total, what is left and until when."""
    clock, store = HandClock(TODAY), MemoryStore()
    ledger = opened(clock, store, agora(minute=4))
    clock.wait(10)
    for _ in range(3):
        granted(ledger)
    clock.wait(120)
    run(ledger.refund(granted(ledger)))
    granted(ledger)
    minute, day = ledger.usage(clock.now())
    assert (minute.window, minute.spent, minute.worst, minute.total) == ("minute", 1, 3, 4)
    assert (minute.allowed, minute.limit, minute.left) == (3, 4, 2)
    assert minute.resets_at == pytest.approx(TODAY + 180, abs=0.01)
    assert (day.window, day.spent, day.worst, day.total, day.left) == ("day", 4, 4, 4, 475)
    assert day.resets_at == pytest.approx(MIDNIGHT + 5, abs=0.01)
    assert day.free_at == pytest.approx(clock.now(), abs=0.01)
    assert (day.account, day.family, day.pool) == ("acme", "realtime", POOL.id)


def test_right_after_midnight_the_day_is_the_one_that_decisions_see() -> None:
    """Until the vendor's day has surely begun, what is left is yesterday's, and resets in seconds."""
    clock, store = HandClock(TODAY), MemoryStore()
    ledger = opened(clock, store)
    clock.wait(100)
    granted(ledger)
    clock.wait(DAY - 100 + 2)
    day = ledger.usage(clock.now())[1]
    assert (day.spent, day.left) == (1, 478)
    assert day.resets_at == pytest.approx(MIDNIGHT + 5, abs=0.01)
    clock.wait(3.1)
    day = ledger.usage(clock.now())[1]
    assert (day.spent, day.left) == (0, 479)
    assert day.resets_at == pytest.approx(MIDNIGHT + DAY + 5, abs=0.01)


def test_memory_holds_two_days_of_spends_and_the_report_all() -> None:
    """Ten days at full pace: what is kept stays bounded, what is counted does not shrink."""
    clock, store = HandClock(TODAY), MemoryStore()
    ledger = opened(clock, store)
    clock.wait(10)
    count = 0
    while clock.now() < TODAY + 10 * DAY:
        run(ledger.answered(granted(ledger), math.floor(clock.now())))
        count += 1
        clock.wait(200)
    assert len(ledger._book) <= 432 * 2 + 40
    assert len(ledger._sent) + len(ledger._unsure) + len(ledger._waiting) + len(ledger._dirty) == 0
    day = ledger.usage(clock.now())[1]
    assert (day.total, day.worst) == (count, 432)


def test_requests_that_never_answer_are_forgotten_in_time() -> None:
    """Neither does what waits for an answer grow for ever."""
    clock, store = HandClock(TODAY), MemoryStore()
    ledger = opened(clock, store)
    clock.wait(10)
    for _ in range(5 * 432):
        granted(ledger)
        clock.wait(200)
    assert len(ledger._sent) <= 432 * 2 + 40
    assert len(ledger._unsure) <= 432 * 2 + 40


def test_accounts_and_pools_are_counted_apart() -> None:
    """A full pool refuses only its own."""
    clock, store = HandClock(), MemoryStore()
    other = Pool(id="acme/calls", account="acme", family="calls", quotas=(Quota.rolling(3, 30),))
    ledger = Ledger(account="acme", pools=(POOL, other), store=store, clock=clock, workers=InlineWorkers())
    run(ledger.open())
    granted(ledger)
    granted(ledger)
    refused(ledger)
    granted(ledger, (other.id,))
    assert refused(ledger, (*POOLS, other.id)).pool == POOL.id
    assert [u.window for u in ledger.usage(clock.now())] == ["minute", "day", "30s"]
