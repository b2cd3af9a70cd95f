"""Quotas per second: what a vendor counts, however long each request was on its way."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.budget.doubles import HandClock, MemoryStore
from watcher.budget.ledger import Ledger
from watcher.budget.pace import Pace
from watcher.budget.purse import LookPurse
from watcher.budget.quota import SECOND, Kind, Pool, Quota, Refusal
from watcher.model import Spend
from watcher.workers import InlineWorkers


def pool(limit: int) -> Pool:
    """A pool with a quota per second and a day's."""
    return Pool(id="a/x", account="a", family="x", quotas=(Quota.per_second(limit), Quota.per_day(1000)))


def ledger(clock: HandClock, limit: int) -> Ledger:
    """One over an empty record, at noon: half of the day counts as spent."""
    return Ledger(account="a", pools=[pool(limit)], store=MemoryStore(), clock=clock, workers=InlineWorkers())


@given(
    allowed=st.integers(1, 5),
    trips=st.lists(st.tuples(st.floats(0, 3), st.floats(0, 3), st.floats(0, 2)), min_size=1, max_size=40),
)
def test_no_second_of_the_vendors_holds_more(allowed: int, trips: Sequence[tuple[float, float, float]]) -> None:
    """Requests arrive somewhere between being sent and being answered: never one more than allowed in any second."""
    pace = Pace([pool(allowed + 1)], opened=0.0)
    now = 0.0
    arrived: list[float] = []
    for number, (there, back, idle) in enumerate(trips):
        now = max(now, pace.free_at("a/x", now))
        assert pace.left("a/x", now) >= 1
        pace.sent(str(number), ["a/x"], now)
        arrived.append(now + there)
        now += there + back
        pace.answered(str(number), now)
        now += idle
    for at in arrived:
        assert sum(at <= other < at + 1.0 - 1e-9 for other in arrived) <= allowed


def test_an_unanswered_request_may_arrive_at_any_time() -> None:
    """Until it no longer can; one that never left weighs nothing beyond its own second."""
    pace = Pace([pool(1)], opened=0.0)
    assert pace.free_at("a/x", 0.0) == 1.0  # what an earlier run sent is not known
    pace.sent("lost", ["a/x"], 5.0)
    assert pace.free_at("a/x", 20.0) == 21.0
    assert pace.free_at("a/x", 60.0) == 36.0
    pace.sent("back", ["a/x"], 60.0)
    pace.refunded("back")
    assert pace.free_at("a/x", 60.5) == 61.0
    assert pace.free_at("other", 0.0) == -math.inf


@pytest.mark.parametrize(("limit", "allowed"), [(1, 1), (3, 2), (10, 9)])
def test_what_a_second_allows(limit: int, allowed: int) -> None:
    """One below the vendor's number, but for one that allows one."""
    quota = Quota.per_second(limit)
    assert (quota.allowed, quota.window, quota.kind) == (allowed, SECOND, Kind.SECOND)
    with pytest.raises(ValueError, match="a second lasts 1 s"):
        Quota(limit=3, kind=Kind.SECOND, window_seconds=2)


async def test_the_ledger_refuses_until_the_second_is_over_and_the_purse_waits_for_it() -> None:
    """A look of five requests at two a second takes two seconds, and spends five; the record says so."""
    clock = HandClock()
    own = ledger(clock, 3)
    await own.open()
    first = await own.spend(["a/x"])
    assert isinstance(first, Refusal)
    assert first.window == SECOND
    assert first.at - clock.now() == pytest.approx(1.0, abs=0.01)
    await own.wait_until(first.at)
    spend = await own.spend(["a/x"])
    assert isinstance(spend, Spend)
    purse = LookPurse(ledger=own, pools=["a/x"], first=spend, extra=4)
    began = clock.now()
    await purse.answered(None)
    for _ in range(4):
        assert await purse.spend()
        await purse.answered(None)
    assert clock.now() - began == pytest.approx(2.0, abs=0.05)
    assert not await purse.spend()
    second, day = own.usage(clock.now())
    assert (second.window, second.left, second.limit) == (SECOND, 1.0, 3)
    assert second.free_at == clock.now()
    assert day.spent == 500 + 5


async def test_a_purse_does_not_wait_for_ever() -> None:
    """Where a request was never answered, a look ends after two more seconds."""
    clock = HandClock()
    own = ledger(clock, 1)
    await own.open()
    clock.wait(2.0)
    began = clock.now()
    spend = await own.spend(["a/x"])
    assert isinstance(spend, Spend)
    purse = LookPurse(ledger=own, pools=["a/x"], first=spend, extra=4)
    assert not await purse.spend()
    assert clock.now() - began == pytest.approx(2.0, abs=0.05)
    assert purse.refusal is not None
