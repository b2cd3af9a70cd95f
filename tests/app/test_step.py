"""One step of an account: what goes before what, where looks, questions and the past meet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NoReturn

import pytest

from tests.app.asking import NOON, PAST_POOL, POOL, VIDEO, WEB, Groups, Sparing, ledger, recorder
from tests.providers.doubles import HandClock
from tests.rules.series import rule
from watcher.alerts.affected import AffectedSettings
from watcher.alerts.desk import Desk
from watcher.alerts.settings import AlertsSettings
from watcher.app.account import LEARNED, AccountLoop
from watcher.app.attention import Attention
from watcher.app.past import PastReader
from watcher.app.sight import Sight
from watcher.budget.usage import Usage
from watcher.clock import HOUR
from watcher.errors import ProviderError, Reason
from watcher.model import Answer, Commit, Dimension, Purse, Query
from watcher.rules.engine import Engine
from watcher.rules.rule import Rule
from watcher.rules.settings import Judging
from watcher.schedule.state import Slot, Why
from watcher.store import SqliteStore
from watcher.workers import InlineWorkers


class NotingPast(PastReader):
    """Says until when it was told that nothing is due, and reads nothing."""

    def __init__(self) -> None:
        self.free: list[float] = []

    async def open(self) -> None:
        """Nothing is remembered."""

    async def step(self, usage: Sequence[Usage], free_until: float) -> None:
        self.free.append(free_until)


class House:
    """An account whose schedule is written by hand."""

    def __init__(self, store: SqliteStore, rules: Sequence[Rule]) -> None:
        self.clock = clock = HandClock(NOON)
        self.source = Groups(clock)
        self.policy = Sparing()
        self.ledger = ledger(store, clock)
        self.past = NotingPast()
        self.sight = Sight(account="acme", provider="agora", queries=2)
        desk = Desk(AlertsSettings())
        self.loop = AccountLoop(
            account="acme",
            source=self.source,
            ledger=self.ledger,
            policy=self.policy,
            engine=Engine(rules=rules, settings=Judging()),
            recorder=recorder(store, clock, desk),
            clock=clock,
            sight=self.sight,
            covered={},
            attention=Attention(queries=self.source.queries, rules=rules),
            notes=store,
            workers=InlineWorkers(),
            affected=AffectedSettings(),
            firing=desk.firing,
            past=self.past,
        )

    async def open(self) -> None:
        await self.ledger.open()
        await self.loop.open()

    def plan(self, at: float, why: Why = Why.DUE, *, then: bool = False) -> None:
        """The next look: of the first query, or of the other."""
        query = self.source.queries[then]
        self.policy.plan = lambda now: Slot(query_id=query.id, at=max(at, now), reason=why)


async def test_a_look_is_planned_anew_after_a_question_was_asked(store: SqliteStore) -> None:
    """The answer takes eight seconds, after which another look is due: the one that was planned before is not made."""
    house = House(store, [rule()])
    await house.open()
    house.plan(NOON, Why.URGENT)
    await house.loop.step()
    assert (house.source.looked, house.source.asked) == ([VIDEO], [])
    house.source.seconds = 8.0
    house.policy.plan = lambda now: Slot(query_id=house.source.queries[now >= NOON + 16].id, at=now, reason=Why.DUE)
    for _ in range(10):
        if len(house.source.looked) == 2:
            break
        await house.loop.step()
    assert house.source.asked == [Dimension.SDK, Dimension.NETWORK]
    assert house.source.looked == [VIDEO, WEB]


async def test_what_a_source_learned_is_noted_before_its_points_are(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between the two, a source must not find points on record that it does not know to be its own."""
    house = House(store, [rule()])
    await house.open()
    house.plan(NOON, Why.URGENT)
    inner = house.source.look

    async def learning(query: Query, covered: int | None, purse: Purse) -> Answer:
        return replace(await inner(query, covered, purse), learned="which rooms")

    def killed(_: Commit) -> NoReturn:
        raise SystemExit

    monkeypatch.setattr(house.source, "look", learning)
    monkeypatch.setattr(store, "commit", killed)
    with pytest.raises(SystemExit):
        await house.loop.step()
    assert store.note("acme", LEARNED) == "which rooms"
    assert store.points(VIDEO, 0) is None


async def test_nothing_leaves_before_a_verdict_that_is_due(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A verdict that waits for users falls in five minutes, while no look is due for an hour: it may be a page."""
    house = House(store, [rule(require_users_above=20)])
    await house.open()
    house.plan(NOON, Why.URGENT)
    await house.loop.step()
    asked: list[float] = []
    inner = house.loop.inquiries.step

    async def noting(states: Sequence[object], free_until: float) -> float:
        asked.append(free_until)
        return await inner(house.loop.states, free_until)

    monkeypatch.setattr(house.loop.inquiries, "step", noting)
    house.plan(NOON + HOUR)
    await house.loop.step()
    assert (asked, house.past.free) == ([NOON + 300], [NOON + 300])


async def test_somebodys_question_waits_for_looks_and_verdicts(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told how long nothing is due; not at all while a look is; and after one was answered the plan is anew."""
    house = House(store, [rule(require_users_above=20)])
    await house.open()
    free: list[tuple[float, float]] = []

    async def noting(states: Sequence[object], free_until: float, verdict: float) -> bool:
        free.append((free_until, verdict))
        return True

    monkeypatch.setattr(house.loop.questions, "step", noting)
    house.plan(NOON, Why.URGENT)
    await house.loop.step()
    assert (free, house.source.looked) == ([], [VIDEO])
    house.plan(NOON + HOUR)
    assert await house.loop.step() == NOON, "at once again, by a plan that knows of the time it took"
    assert (free, house.past.free) == ([(NOON + HOUR, NOON + 300)], [])
    house.plan(NOON + 60)
    await house.loop.step()
    assert free[-1] == (NOON + 60, NOON + 300)


async def test_a_refusal_of_the_past_blinds_nobody(store: SqliteStore) -> None:
    """A pool that no look spends may be shut until midnight; one that looks spend may not."""
    house = House(store, [rule()])
    await house.open()
    house.plan(NOON + HOUR)
    refusal = ProviderError(Reason.DAY_QUOTA, "40 a day")
    for pool, blind in ((PAST_POOL, None), (POOL, Reason.DAY_QUOTA)):
        await house.ledger.refused([pool], refusal)
        await house.loop.step()
        assert house.sight.reason() is blind
