"""One call for whoever asks: when it is read, what it may cost, and what is said where it cannot be."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.app import world
from tests.app.asking import ALL, NOON, POOL, Groups, Sparing, ledger, recorder
from tests.app.test_twilio import Calls as Town
from tests.conftest import EPOCH
from tests.emulator.twilio.helpers import account, people, plain, traffic
from tests.providers.doubles import HandClock
from watcher.alerts.desk import Desk
from watcher.app import answers, questions
from watcher.app.answers import instant
from watcher.app.past import PastReader
from watcher.app.questions import Outcome, Questions, Told
from watcher.budget.ledger import Ledger
from watcher.budget.quota import Pool, Quota
from watcher.calls import CallReader, CallView, CallWish, OtherCall, Stay, nearest
from watcher.clock import DAY, HOUR, MINUTE, VirtualClock, parse_rfc3339, rfc3339, sleep
from watcher.errors import ProviderError, Reason, Refused, StoreError
from watcher.model import Purse, Source, Spend
from watcher.schedule.state import QueryState
from watcher.store import SqliteStore, open_readonly
from watcher.web.asking import AskedCall, AskedGroups
from watcher.workers import InlineWorkers

FAR = NOON + 600  # nothing else is to be done before


class Rooms(Groups):
    """A source that spends as much as it may, and tells how often it was allowed to."""

    def __init__(self, clock: HandClock) -> None:
        super().__init__(clock)
        self.pools: tuple[str, ...] = (POOL,)
        self.wishes: list[CallWish] = []
        self.view: CallView | None = CallView(call="c1")
        self.meanwhile: Callable[[], Awaitable[None]] | None = None

    def call_pools(self, project: str) -> tuple[str, ...]:
        return self.pools

    async def read_call(self, wish: CallWish, purse: Purse) -> CallView | None:
        self.wishes.append(wish)
        if self.fails is not None:
            raise self.fails
        for _ in range(1000):
            if self.meanwhile is not None:
                await self.meanwhile()
            if not await purse.spend():
                return self.view
        raise AssertionError("nothing bounds it")


def asked(channel: str = "room", *, project: str = "", requests: int = 20, **more: Any) -> CallWish:
    return CallWish(channel=channel, project=project, requests=requests, **more)


_ports: tuple[Source, CallReader] = (Rooms(HandClock(NOON)), Rooms(HandClock(NOON)))


class Stingy(Sparing):
    """A policy that has so many requests to spare."""

    def __init__(self, left: float = math.inf) -> None:
        super().__init__()
        self.left = left
        self.later = 0.0
        self.asked = 0

    def spare(self, states: Any, usage: Any, pools: Any, now: float) -> float:
        self.asked += 1
        self.left -= 1
        return now + self.later if self.left >= 0 else math.inf


class House:
    """One account's questions at noon."""

    def __init__(self, store: SqliteStore, *, source: Source | None = None, quota: Quota | None = None) -> None:
        self.store = store
        self.clock = HandClock(NOON)
        self.source = Rooms(self.clock)
        self.ledger: Ledger = ledger(store, self.clock, *([] if quota is None else [quota]))
        self.policy = Stingy()
        self.rings = 0
        self.questions = Questions(
            account="acme",
            source=source or self.source,
            ledger=self.ledger,
            policy=self.policy,
            recorder=recorder(store, self.clock, Desk(ALL)),
            clock=self.clock,
            ring=self._ring,
        )
        self.states: tuple[QueryState, ...] = (QueryState(query=self.source.queries[0], last_look=NOON),)

    def _ring(self) -> None:
        self.rings += 1

    async def ask(self, channel: str = "room", *, free_until: float = FAR, **wish: Any) -> Told[CallView] | Refused:
        """Ask, give it a turn, and what comes of it."""
        found: list[Told[CallView] | Refused] = []

        async def asking() -> None:
            try:
                found.append(await self.questions.call(asked(channel, **wish)))
            except Refused as refused:
                found.append(refused)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(asking)
            await anyio.wait_all_tasks_blocked()
            await self.questions.step(self.states, free_until)
        return found[0]

    async def told(self, **wish: Any) -> Told[CallView]:
        answer = await self.ask(**wish)
        assert isinstance(answer, Told), answer
        return answer

    async def refused(self, status: int, **wish: Any) -> str:
        answer = await self.ask(**wish)
        assert isinstance(answer, Refused)
        assert answer.status == status, answer
        return str(answer)

    def spent(self) -> int:
        return sum(view.granted for view in self.ledger.usage(self.clock.now()) if view.pool == POOL)


@pytest.fixture
async def house(store: SqliteStore) -> House:
    made = House(store)
    await made.ledger.open()
    return made


@pytest.fixture
def real(house: House, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Real time by hand: every request takes two seconds of it."""
    now = [1000.0]
    monkeypatch.setattr(questions, "real_monotonic", lambda: now[0])
    monkeypatch.setattr(HandClock, "virtual", False)

    async def slowly() -> None:
        now[0] += 2.0

    house.source.meanwhile = slowly
    return now


async def test_a_call_is_read_for_at_most_what_is_allowed(house: House) -> None:
    """The first request is one of them; every one is in the ledger and in the answer."""
    answer = await house.told(requests=7, user="kim", at=NOON - 60)
    assert (answer.requests, house.spent(), house.questions.requests) == (7, 7, 7)
    assert house.source.wishes == [
        CallWish(channel="room", project=answer.project, user="kim", at=NOON - 60, requests=7)
    ]
    assert (await house.told(requests=1)).requests == 1
    assert house.questions.outcomes[Outcome.TOLD] == 2
    assert house.rings == 2, "the loop is woken"


async def test_a_look_that_is_near_goes_first(house: House) -> None:
    """Not begun within seconds of the next look; its turn comes after."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: house.questions.call(asked(requests=3)))
        await anyio.wait_all_tasks_blocked()
        assert not await house.questions.step(house.states, NOON + questions.LEAST_ROOM - 0.1)
        assert house.spent() == 0
        assert await house.questions.step(house.states, NOON + questions.LEAST_ROOM)
    assert not await house.questions.step(house.states, FAR), "once"
    assert house.spent() == 3


async def test_where_looks_leave_no_room_some_is_taken(house: House, real: list[float]) -> None:
    """After half the patience, and only a few seconds of it."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: house.questions.call(asked()))
        await anyio.wait_all_tasks_blocked()
        real[0] += questions.PATIENCE / 2
        assert not await house.questions.step(house.states, NOON + 1)
        real[0] += 1
        assert not await house.questions.step(house.states, NOON + 1, NOON + 2), "a page does not wait"
        assert await house.questions.step(house.states, NOON + 1)
    assert house.spent() == 2, "of 6 s, 3 are for it"


def quotas(house: House, *kinds: Quota) -> None:
    """Another pool for looks and questions."""
    pools = [Pool(id=POOL, account="acme", family="live", quotas=kinds)]
    house.ledger = Ledger(account="acme", pools=pools, store=house.store, clock=house.clock, workers=InlineWorkers())
    house.questions._ledger = house.ledger


async def test_of_a_short_quota_a_looks_worth_stays(house: House) -> None:
    """So many requests as a look makes; all of it only if the window is over by the next look."""
    quotas(house, Quota.rolling(10, 30, margin=1))
    await house.ledger.open()
    three = tuple(replace(query, requests=3) for query in house.source.queries)
    house.states = tuple(QueryState(query=query, last_look=NOON) for query in three)
    assert (await house.told(free_until=NOON + 20)).requests == 6
    for _ in range(3):
        assert isinstance(await house.ledger.spend((POOL,)), Spend)
    house.clock.advance(200)
    assert (await house.told(free_until=NOON + 1000)).requests == 9, "the window is over long before the next look"
    assert house.policy.asked == 0, "there is no day to divide"


async def test_a_read_that_began_is_told(house: House) -> None:
    """Who waited nearly a minute for the turn gets what is paid for then, though it takes a while."""

    async def takes() -> None:
        await anyio.sleep(1)

    house.source.meanwhile = takes
    told: list[Told[CallView]] = []

    async def waiting() -> None:
        told.append(await house.questions.call(asked(requests=5)))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(waiting)
        await anyio.sleep(questions.PATIENCE - 2)
        await house.questions.step(house.states, FAR)
    assert told[0].requests == 5
    assert house.questions.outcomes[Outcome.LATE] == 0


@pytest.mark.parametrize(("why", "spent"), [("gone", 4), ("hint", 3)])
async def test_reading_stops_for_a_hint_and_for_nobody(house: House, why: str, spent: int) -> None:
    """The request that is under way is the last one; the next question is read as ever."""
    scope = anyio.CancelScope()

    async def happens() -> None:
        await anyio.sleep(1)
        if len(house.source.wishes) == 1 and house.spent() == 3:
            if why == "hint":
                house.questions.hurry()
            else:
                scope.cancel()

    house.source.meanwhile = happens

    async def waiting() -> None:
        with scope:
            await house.questions.call(asked())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(waiting)
        await anyio.wait_all_tasks_blocked()
        await house.questions.step(house.states, FAR)
    assert house.spent() == spent
    assert (await house.told(requests=5)).requests == 5


async def test_a_vendor_that_hangs_is_given_up(house: House) -> None:
    """Some seconds after the time of the question; what was asked stays spent."""

    async def hangs() -> None:
        await anyio.sleep_forever()

    house.source.meanwhile = hangs
    before = anyio.current_time()
    assert "no answer within 30 s" in await house.refused(502)
    assert anyio.current_time() - before == questions.LONGEST_READ + questions.GRACE
    assert house.spent() == 1


@pytest.mark.usefixtures("real")
async def test_on_a_fast_clock_room_is_real_time(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten minutes at sixty times the pace are ten seconds, of which five are for reading."""
    monkeypatch.setattr(HandClock, "rate", 60.0)
    assert (await house.told()).requests == 3
    assert not await house.questions.step(house.states, NOON + 170)


async def test_what_cannot_be_recorded_in_the_middle_is_said(house: House) -> None:
    """The store fails while pages are read: no answer, in words."""
    house.source.fails = StoreError("disk full")
    assert "cannot be written" in await house.refused(503)
    assert house.questions.outcomes[Outcome.FAILED] == 1


async def test_a_policy_that_spares_one_in_a_second_spares_one_now(house: House) -> None:
    """It counts a quota per second, which is waited for; later than that is no."""
    house.policy.later = 1.0
    assert (await house.told(requests=2)).requests == 2
    house.policy.later = 1.5
    assert "need what is left" in await house.refused(429)


def test_an_instant_of_a_vendor_beyond_the_calendar() -> None:
    """Costs that instant, and not the answer."""
    beyond = parse_rfc3339("9999-12-31T23:59:59-12:00")
    view = CallView(call="c", began=-1e300, stays=(Stay(user="u", joined=NOON, left=beyond),))
    shown = answers.call(Told(view, "acme", "vonage", "p", NOON, 1))
    assert (shown.began, shown.stays[0].joined, shown.stays[0].left) == (None, rfc3339(NOON), None)


async def test_what_is_not_read_in_time_is_left_out(house: House, real: list[float]) -> None:
    """The purse closes before the next look: by then what was read is the answer."""
    assert (await house.told(free_until=NOON + 9)).requests == 3, "of 9 s, 4.5 are for it"
    real[0] = 2000.0
    longest = questions.LONGEST_READ
    assert (await house.told(requests=200)).requests == longest // 2 + 1


async def test_promised_looks_keep_the_day(house: House) -> None:
    """Where looks divide the same day's budget, each request must be one that the policy can spare."""
    house.policy.left = 4
    assert (await house.told()).requests == 4
    assert "need what is left" in await house.refused(429)
    assert house.spent() == 4
    assert house.questions.outcomes[Outcome.BUDGET] == 1


async def test_a_pool_without_looks_needs_no_policy(house: House) -> None:
    """Nor does one that has no day to divide."""
    house.source.pools = ("acme/past",)
    assert (await house.told(requests=5)).requests == 5
    assert house.policy.asked == 0


async def test_the_ledger_has_the_last_word(house: House) -> None:
    """The day's quota is kept to the request; when it begins anew is said."""
    house.source.pools = ("acme/past",)
    await house.told(requests=200)
    assert house.source.wishes[-1].requests == 200
    (left,) = (int(view.left) for view in house.ledger.usage(NOON) if view.pool == "acme/past")
    for _ in range(left // 200):
        await house.told(requests=200)
    assert (await house.told(requests=200)).requests == left % 200 > 0
    assert house.source.wishes[-1].requests == left % 200, "the vendor's part knows what it may count on"
    assert "allows none before 00:00 UTC (day, budget)" in await house.refused(429)


async def test_a_quota_per_second_is_waited_for(store: SqliteStore) -> None:
    """A look of a moment ago costs a second, and is no refusal."""
    house = House(store, quota=Quota.per_second(1))
    await house.ledger.open()
    await house.ledger.spend((POOL,))
    assert isinstance(await house.ask(requests=1), Told)
    assert house.clock.now() > NOON + 0.9


async def test_a_vendor_that_refuses_is_believed(house: House) -> None:
    """In words for whoever asked, and to the ledger: nobody asks again before the vendor wants it."""
    house.source.fails = ProviderError(Reason.RATE, "slow down", retry_after=90)
    assert await house.refused(502) == "the vendor did not say: rate: slow down"
    assert any(view.blocked_until for view in house.ledger.usage(NOON) if view.pool == POOL)
    assert house.questions.outcomes[Outcome.FAILED] == 1


async def test_a_refusal_halfway_is_believed_too(house: House) -> None:
    """What was read is told all the same."""
    house.source.view = CallView(call="c1", refusal=ProviderError(Reason.RATE, retry_after=90), oddities={"odd": 2})
    assert (await house.told()).view.call == "c1"
    assert any(view.blocked_until for view in house.ledger.usage(NOON) if view.pool == POOL)
    assert house.questions.oddities == {"odd": 2}


@pytest.mark.parametrize(("at", "ran"), [(NOON - 61, False), (NOON - 60, True), (NOON - 1, True), (NOON, False)])
async def test_a_call_that_did_not_run_then_says_so(house: House, at: float, ran: bool) -> None:
    """It is the nearest to what was asked for; where neither beginning nor end is told, nothing is said."""
    house.source.view = CallView(call="c1", began=NOON - 60, ended=NOON, notes=("late",))
    notes = (await house.told(at=at)).view.notes
    said = f"no call of it ran at {rfc3339(at)}: this is the nearest"
    assert notes == (("late",) if ran else (said, "late"))
    assert (await house.told()).view.notes == ("late",)
    house.source.view = CallView(call="c1")
    assert (await house.told(at=at)).view.notes == ()


async def test_a_request_that_never_left_is_none(house: House) -> None:
    """What is handed back is not counted, in the ledger or in the answer, and only once."""

    class Declines(Rooms):
        async def read_call(self, wish: CallWish, purse: Purse) -> CallView | None:
            await purse.refund()
            await purse.refund()
            return None

    made = House(house.store, source=Declines(house.clock))
    await made.ledger.open()
    assert (await made.refused(404)).endswith("it took 0 requests")
    assert (made.questions.requests, made.spent()) == (0, 1), "granted, and given back"


async def test_a_call_that_nobody_knows(house: House) -> None:
    """It says what it cost."""
    house.source.view = None
    said = await house.refused(404, requests=2, at=NOON)
    assert "no call 'room'" in said
    assert " at that time, or not yet: " in said
    assert said.endswith("it took 2 requests")


async def test_a_fault_of_ours_costs_that_answer_only(house: House) -> None:
    """The account's loop goes on, and so does the next question."""
    house.source.fails = RuntimeError("a mistake")
    assert "a fault of watcher's" in await house.refused(500)
    house.source.fails = None
    await house.told()


async def test_nothing_leaves_that_cannot_be_recorded(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ledger that cannot write is a refusal."""

    async def fails(pools: object) -> object:
        raise StoreError("disk full")

    monkeypatch.setattr(house.ledger, "spend", fails)
    assert "cannot be written" in await house.refused(503)
    assert house.source.wishes == []


async def test_no_more_than_a_few_wait(house: House) -> None:
    """The next one is refused; whoever goes away frees the place, and costs nothing."""
    async with anyio.create_task_group() as tasks:
        for _ in range(questions.MAX_WAITING):
            tasks.start_soon(lambda: house.questions.call(asked(requests=1)))
        await anyio.wait_all_tasks_blocked()
        assert "others wait" in await house.refused(429, free_until=NOON)
        tasks.cancel_scope.cancel()
    assert not await house.questions.step(house.states, FAR)
    assert house.spent() == 0


async def test_nobody_waits_for_ever(house: House) -> None:
    """Where looks leave no time, that is said after a minute."""
    before = anyio.current_time()
    assert "left no time" in await house.refused(504, free_until=NOON)
    assert anyio.current_time() - before == pytest.approx(questions.PATIENCE)
    assert not await house.questions.step(house.states, FAR)
    assert house.questions.outcomes[Outcome.LATE] == 1


async def test_whoever_waits_hears_of_the_end_of_the_loop(house: House) -> None:
    """At once, and so does whoever asks the old loop afterwards."""
    heard: list[int] = []

    async def waiting() -> None:
        try:
            await house.questions.call(asked())
        except Refused as refused:
            heard.append(refused.status)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(waiting)
        tasks.start_soon(waiting)
        await anyio.wait_all_tasks_blocked()
        house.questions.close()
    await waiting()
    assert heard == [503, 503, 503]
    assert house.spent() == 0


async def test_whose_call(house: House, store: SqliteStore) -> None:
    """The one project need not be named; a wrong one is refused with those there are."""
    name = house.source.queries[0].series[0].project
    assert (await house.told(project=name)).project == name
    assert f"it has {name}" in await house.refused(404, project="other")
    both = Rooms(house.clock)
    first, second = both.queries
    both.queries = (first, replace(second, series=(second.series[0]._replace(project="gym"),)))
    assert await House(store, source=both).refused(422) == f"say which project of account acme: {name}, gym"
    plain_house = House(store, source=Groups(house.clock))
    assert "cannot be asked" in await plain_house.refused(409)


def test_an_instant_is_read_or_refused() -> None:
    """Without a zone it means nothing."""
    assert instant(None) is None
    assert instant("2026-01-01T12:00Z") == EPOCH + 12 * HOUR
    for text in ("noon", "2026-01-01T12:00", "", "0001-01-01T00:00Z", "1999-12-31T23:59Z", "2100-01-01T00:00Z"):
        with pytest.raises(Refused):
            instant(text)


@pytest.mark.parametrize(
    ("at", "expected"),
    [(None, "c"), (5, "long"), (8, "long"), (12, "a"), (15, "a"), (25, "b"), (33, "b"), (45, "c"), (99, "c")],
)
def test_the_call_that_is_meant(at: float | None, expected: str) -> None:
    """That which ran, else the last before, else the first after; the latest of those that overlap."""
    found = [
        OtherCall("b", 20, 32, None),
        OtherCall("c", 40, None, None),
        OtherCall("a", 10, 28, None),
        OtherCall("short", 11, 12, None),
        OtherCall("long", 6, 26, None),
        OtherCall("last", 25.5, 25.75, None),
    ]
    meant = nearest(found, at, lambda call: call.began, lambda call: call.ended)
    assert meant is not None
    assert meant.call == expected
    assert nearest(found[:0], at, lambda call: call.began, lambda call: call.ended) is None


# ── in the running daemon ────────────────────────────────────────────────────────────────────────────────────────────


def busy() -> dict[str, Any]:
    """A room whose first one was cut off, beside others all day."""
    board = people({"ending": "53405", "stay": "30m"}, {"stay": "55m"}, {"stay": "55m"})
    return plain(accounts=[account(rooms=[board], traffic=traffic(rooms=10, participants=4, length="20m"))])


async def _day(clock: VirtualClock, folder: Any, *, asks: bool) -> tuple[Any, list[Any]]:
    """An hour and a half around the end of `board`, with a question every ten minutes, or none."""
    here = Town(clock, folder, busy())
    found: list[Any] = []

    async def asking() -> None:
        for _ in range(8):
            await anyio.sleep(10 * MINUTE)
            try:
                found.append(await here.daemon.viewing.call("rtc", AskedCall(channel="board")))
            except Refused as refused:
                found.append(refused)

    async with anyio.create_task_group() as tasks:
        if asks:
            tasks.start_soon(asking)
        await here.run(1.5 * HOUR)
    vendor: Any = here.emulator.report()
    assert [quota["refused"] for quota in vendor["quotas"]] == [0]
    assert all(tally["refused"] == 0 for tally in vendor["under_way"].values())
    reader = open_readonly(f"sqlite:///{folder}/state.db")
    points = {series: reader.points(series, 0) for series in reader.series()}
    reader.close()
    return {s: list(zip(p.start, p.value, strict=True)) for s, p in points.items() if p is not None}, found


async def test_somebody_asks_beside_the_looks(tmp_path: Any) -> None:
    """Not known until the vendor shows it, then all of it; what the looks tell stays as it was."""
    (tmp_path / "with").mkdir()
    (tmp_path / "without").mkdir()
    start = EPOCH + 10.5 * HOUR
    with_it, found = await _day(VirtualClock(epoch=start, jumping=True), tmp_path / "with", asks=True)
    without, _ = await _day(VirtualClock(epoch=start, jumping=True), tmp_path / "without", asks=False)
    unknown = [answer for answer in found if isinstance(answer, Refused)]
    known = [answer for answer in found if not isinstance(answer, Refused)]
    assert {refused.status for refused in unknown} == {404}
    assert len(known) >= 3
    last = known[-1]
    assert (last.account, last.provider, last.project, last.users, last.requests) == ("rtc", "twilio", "support", 3, 2)
    assert (last.stays[0].failed, last.stays[0].left) == (True, rfc3339(EPOCH + 10.5 * HOUR))
    assert with_it == without
    assert sum(map(len, with_it.values())) > 200


GROUPS = {"by": "sdk", "project": "", "product": "Native", "until": None, "days": 3, "country": ""}


WRONG: tuple[tuple[dict[str, Any], int, str], ...] = (
    ({"by": "weekday"}, 422, "can be asked by country, region, network"),
    ({"product": ""}, 422, "say of which product: Native, WebRTC"),
    ({"product": "Desktop"}, 422, "say of which product"),
    ({"signal": "daily_users"}, 422, "daily_users is of all products together: leave the product out"),
    ({"country": "Germany"}, 422, "a country narrows a breakdown by region"),
    ({"until": EPOCH - 60 * DAY}, 422, "the vendor has the days from 2025-12-04T00:00:00Z to 2026-01-02T"),
    ({"project": "other"}, 404, "it has classroom"),
    ({"signal": "users"}, 422, "Agora has no days by groups of users"),
)


async def test_days_by_groups_through_the_daemon(tmp_path: Path) -> None:
    """Two requests from the account's own ledger, told as the vendor tells them. What is wrong costs nothing."""
    clock = VirtualClock(epoch=EPOCH + 37 * HOUR, jumping=True)
    here = world.World(clock=clock, folder=tmp_path, story=world.scenario(), epoch=EPOCH)
    daemon = here.daemon(world.config(tmp_path))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(daemon.run)
        await sleep(clock, MINUTE)
        for changes, status, said in WRONG:
            wish = {"signal": "daily_video_freeze_ratio", **GROUPS, **changes}
            with pytest.raises(Refused, match=said) as refused:
                await daemon.questions("acme").groups(wish.pop("signal"), **wish)
            assert (refused.value.status, daemon.questions("acme").requests) == (status, 0)
        asked = AskedGroups(signal="video_freeze_ratio", by="country", product="Native", days=1)
        found = await daemon.viewing.groups("acme", asked)
        usage = [view for view in daemon._standing().loops["acme"].ledger.usage(clock.now()) if view.window == "day"]
        most = 2
        with contextlib.suppress(Refused):
            for _ in range(40):
                await sleep(clock, MINUTE)
                most += (await daemon.viewing.groups("acme", asked)).requests
        with pytest.raises(Refused, match="there is no account other: there are acme"):
            daemon.questions("other")
        await daemon.stop()
    assert (found.account, found.provider, found.project, found.requests) == ("acme", "agora", "classroom", 2)
    assert (found.start, found.end) == (rfc3339(EPOCH), rfc3339(EPOCH + DAY))
    assert (found.signal, found.by, found.counts) == ("daily_video_freeze_ratio", "country", "seconds")
    assert found.whole is not None
    assert len(found.groups) > 2
    assert {view.family: view.granted for view in usage}["insights"] == 2
    assert most == 13, "of 27 that the afternoon has left, half of an even day's 27 stay for history"
    assert here.refused() == 0


async def test_nobody_waits_for_an_account_that_is_starting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The state answers slowly at the start: whoever asks hears that at once, and has a turn once the looks begin."""
    clock = VirtualClock(epoch=EPOCH + 37 * HOUR, jumping=True)
    here = world.World(clock=clock, folder=tmp_path, story=world.scenario(), epoch=EPOCH)
    inner = PastReader.open

    async def slowly(past: PastReader) -> None:
        await sleep(clock, 45.0)
        await inner(past)

    monkeypatch.setattr(PastReader, "open", slowly)
    daemon = here.daemon(world.config(tmp_path))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(daemon.run)
        await sleep(clock, 30.0)
        assert daemon._standing().loops.keys() == {"acme"}
        with pytest.raises(Refused, match="account acme is starting: try again"):
            daemon.questions("acme")
        await sleep(clock, 30.0)
        asked = AskedGroups(signal="video_freeze_ratio", by="country", product="Native", days=1)
        assert (await daemon.viewing.groups("acme", asked)).account == "acme"
        await daemon.stop()
