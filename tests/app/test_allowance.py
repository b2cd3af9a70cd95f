"""The cap of a day on questions who is affected: it holds whatever the clock does."""

from __future__ import annotations

import pytest

from tests.providers.doubles import HandClock
from tests.rules.series import START
from watcher.app.allowance import Allowance
from watcher.budget.ledger import Ledger
from watcher.budget.quota import Pool, Quota
from watcher.clock import DAY, HOUR
from watcher.store import SqliteStore
from watcher.workers import InlineWorkers

CAP = 5
MIDNIGHT = float(START + DAY)
POOL = "acme/live"


class House:
    """The allowance of an account whose vendor's time is moved by hand, as a correction of it does."""

    def __init__(self, store: SqliteStore, at: float) -> None:
        pool = Pool(id=POOL, account="acme", family="live", quotas=(Quota.per_day(1000),))
        self.clock = clock = HandClock(at)
        self.ledger = Ledger(account="acme", pools=[pool], store=store, clock=clock, workers=InlineWorkers())
        self.store = store
        self.allowance = self.made()

    def made(self) -> Allowance:
        return Allowance(per_day=CAP, account="acme", ledger=self.ledger, notes=self.store, workers=InlineWorkers())

    async def at(self, instant: float, *, most: int = 100) -> int:
        """Spend what is left at an instant, after a restart: how many requests those were."""
        self.clock.advance(instant - self.clock.now())
        self.allowance = self.made()
        await self.allowance.recall()
        return await self.spend(most)

    async def spend(self, most: int = 100) -> int:
        n = min(self.allowance.left([POOL]), most)
        for _ in range(n):
            await self.allowance.count()
        return n


@pytest.fixture
async def house(store: SqliteStore) -> House:
    """Half an hour before midnight."""
    made = House(store, MIDNIGHT - HOUR / 2)
    await made.ledger.open()
    return made


async def test_each_day_has_its_cap(house: House) -> None:
    """Through restarts."""
    found = [await house.at(MIDNIGHT + hours * HOUR) for hours in (-1, -0.5, 0, 1, 23, 24, 100)]
    assert found == [CAP, 0, CAP, 0, 0, CAP, CAP]


async def test_a_day_that_comes_back_has_no_second_cap(house: House) -> None:
    """Five after midnight, then the clock proves to have been an hour fast: none more until the midnight after."""
    found = [await house.at(MIDNIGHT + hours * HOUR) for hours in (0.5, -0.5, 1, 23.9, 24)]
    assert found == [CAP, 0, 0, 0, CAP]


async def test_days_that_come_and_go_have_two_caps_at_most(house: House) -> None:
    """However often midnight is crossed: what two days have is never exceeded."""
    hours = (-1.0, 1.0, -1.0, 1.0, -1.0, 23.9)
    assert sum([await house.at(MIDNIGHT + each * HOUR, most=3) for each in hours]) == 3 + CAP


async def test_it_is_the_same_without_a_restart(house: House) -> None:
    """What is in memory holds as what was recorded does."""
    await house.at(MIDNIGHT + 1)
    house.clock.advance(-HOUR)
    assert await house.spend() == 0
    house.clock.advance(HOUR)
    assert await house.spend() == 0
    house.clock.advance(DAY)
    assert await house.spend() == CAP


async def test_a_far_future_is_believed_for_a_day(house: House) -> None:
    """A clock that was ten years ahead at the first start does not end the questions of ten years."""
    assert await house.at(MIDNIGHT + 3650 * DAY) == CAP
    assert await house.at(MIDNIGHT) == 0
    house.clock.advance(DAY)
    assert await house.spend() == 0
    house.clock.advance(DAY)
    assert await house.spend() == CAP
