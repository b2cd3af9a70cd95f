"""The past that nobody watched: read from the vendor's statistics while nothing else is due, no more than needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import httpx
import numpy as np
import pytest

from tests.app import world
from tests.conftest import EPOCH
from tests.providers.agora.stage import T, source, vendor
from tests.providers.doubles import HandClock, account
from tests.providers.doubles import answer as reply
from tests.rules.series import answer, rule
from watcher.alerts.desk import Desk
from watcher.alerts.route import Routing
from watcher.alerts.settings import AlertsSettings
from watcher.app.past import SHARE, PastReader
from watcher.app.recorder import Recorder
from watcher.budget.ledger import Ledger
from watcher.clock import DAY, HOUR, MINUTE, Clock, VirtualClock, sleep
from watcher.emulator.agora import Emulator
from watcher.errors import ProviderError, Reason
from watcher.metrics import render
from watcher.model import Answer, Commit, Points, Purse, Query, Series, Span
from watcher.providers.agora import AGORA
from watcher.rules.engine import Engine
from watcher.rules.past import hourly_of
from watcher.rules.rule import Aggregate, Baseline, Kind, Rule
from watcher.rules.settings import Judging
from watcher.store import SqliteStore, open_store
from watcher.workers import InlineWorkers

NOON = T + 12 * HOUR
WEEK = 7 * DAY
VIDEO = Series("acme", "agora", "classroom", "Native", "", "video_freeze_ratio")
NORMAL = 0.02  # what the vendor says of every hour


def unusual(weeks: int = 4) -> Rule:
    """Five minutes above the same hour of earlier weeks."""
    baseline = Baseline(spread=4, at_least=0.02, period=WEEK, cycles=weeks)
    five = Aggregate(kind=Kind.AVG, seconds=5 * MINUTE)
    return replace(rule(above=float("nan"), aggregate=five), baseline=baseline)


def hours(request: httpx.Request) -> Any:
    """Every hour asked for, and one too many: an inclusive end is easily overdone."""
    start, end = (int(request.url.params[name]) for name in ("startTs", "endTs"))
    metric = request.url.params["metric"]
    return {"code": 200, "data": [{metric: NORMAL, "ts": at} for at in range(start, end + 2, HOUR)]}


Told = Callable[[httpx.Request], Any]


class House:
    """An account whose rules look back for weeks, begun at noon."""

    def __init__(
        self, store: SqliteStore, told: Told, *, rules: Sequence[Rule], plan: str = "premium", daily: Sequence[str] = ()
    ) -> None:
        self.clock = clock = HandClock(NOON)
        self.wire = wire = vendor({"quality/by_time": lambda request: reply(told(request), at=clock.now())})
        self.store = store
        self.settings = account(plan=plan)
        signals = frozenset({"users", "video_freeze_ratio", *daily})
        self.queries = AGORA.queries(self.settings, signals)
        self.past = AGORA.past(self.settings, signals)
        self.engine = Engine(rules=rules, settings=Judging())
        pools = [p for p in AGORA.pools(self.settings) if p.family == "insights"]
        self.ledger = Ledger(account="acme", pools=pools, store=store, clock=self.clock, workers=InlineWorkers())
        settings = AlertsSettings()
        self.reader = PastReader(
            account="acme",
            queries=self.past,
            scheduled=self.queries,
            covered=store.covered(),
            source=source(wire, self.clock, signals, plan=plan),
            ledger=self.ledger,
            engine=self.engine,
            recorder=Recorder(
                store=store,
                workers=InlineWorkers(),
                clock=self.clock,
                routing=Routing.of(settings, page_ended_within=3600),
                told={},
                outboxes={},
                desk=Desk(settings),
            ),
            clock=self.clock,
            notes=store,
            workers=InlineWorkers(),
        )

    async def open(self) -> None:
        """What an account does before its first look."""
        await self.ledger.open()
        await self.reader.open()

    def look(self, text: str = "1%x59", series: Sequence[Series] = (VIDEO,)) -> None:
        """A real-time answer of the newest windows of 20 s."""
        end = int(self.clock.now()) // 20 * 20
        for one in series:
            count = int(text.rpartition("x")[2]) + 1
            self.engine.receive(answer(one, text, start=end - count * 20), self.clock.now())

    async def step(self, *, room: float = 60.0) -> None:
        """What an account does while nothing is due for `room` seconds."""
        await self.reader.step(self.ledger.usage(self.clock.now()), self.clock.now() + room)

    async def while_idle(self, until: float, *, every: float = 5.0 * MINUTE) -> None:
        """Steps of an account until then, each with room."""
        while self.clock.now() < until:
            self.clock.advance(every)
            await self.step()

    def asked(self, metric: str = "videoFreezeRate", product: str = "Native") -> list[Span]:
        """The spans that were asked for."""
        found = [r.url.params for r in self.wire.requests]
        mine = [p for p in found if p["metric"] == metric and p["productType"] == product]
        return [Span(int(p["startTs"]), int(p["endTs"]) + 1) for p in mine]


@pytest.fixture
async def house(store: SqliteStore) -> House:
    """One rule of four weeks on Premium, looked at once."""
    made = House(store, hours, rules=[unusual()])
    await made.open()
    made.look()
    return made


async def test_two_weeks_of_four_are_told_and_a_rule_judges_at_once(house: House) -> None:
    """Premium has 13 whole days, oldest first in pieces of three; the words say whose normal that is."""
    await house.while_idle(NOON + 13 * HOUR)
    begin = T - 13 * DAY
    pieces = [Span(begin + n * 3 * DAY, begin + (n + 1) * 3 * DAY) for n in range(4)]
    assert house.asked()[:5] == [*pieces, Span(T - 3 * DAY, T)]
    house.look("6%x29")
    (view,) = house.engine.alerts()
    assert (view.normal, view.threshold) == pytest.approx((NORMAL, 0.04))
    assert "vendors_past" in view.marks
    assert any("vendor's own statistics" in words for words in view.says)


async def test_each_day_is_read_once_more_after_it_was_computed_anew(house: House) -> None:
    """Day T, that of the first look, is asked for until T+3, when it is settled, and then nothing is asked any more."""
    for day in range(1, 8):
        await house.while_idle(NOON + day * DAY, every=30.0 * MINUTE)
        house.look()
    days = {int(r.url.params["endTs"]) + 1 for r in house.wire.requests}
    assert max(days) == T + 3 * DAY
    last = [span for span in house.asked() if span.end > T]
    assert last == [Span(T + (n - 3) * DAY, T + n * DAY) for n in (1, 2, 3)]


async def test_an_amended_day_counts_as_it_is_told_last(store: SqliteStore) -> None:
    """The record holds the newer figure, and so does what is normal."""
    said = {"value": 0.02}

    def told(request: httpx.Request) -> Any:
        document = hours(request)
        return {"code": 200, "data": [{**row, "videoFreezeRate": said["value"]} for row in document["data"]]}

    house = House(store, told, rules=[unusual()])
    await house.open()
    house.look()
    await house.while_idle(NOON + 13 * HOUR)
    said["value"] = 0.03
    await house.while_idle(NOON + 37 * HOUR)
    recorded = store.points(VIDEO.hourly, 0)
    assert recorded is not None
    assert set(recorded.value[recorded.start >= T - 2 * DAY].tolist()) == {0.03}
    assert set(recorded.value[recorded.start < T - 2 * DAY].tolist()) == {0.02}


async def test_what_was_measured_counts_whenever_the_vendor_speaks(house: House) -> None:
    """A window that was seen is never replaced by the vendor's hour, told before or after."""
    own = answer(VIDEO, "10%x179", start=T - WEEK)
    assert own.points
    house.store.commit(Commit(points=own.points, covered={house.queries[0].id: T}))
    for order in ("told first", "told last"):
        engine = Engine(rules=[unusual(2)], settings=Judging())
        query = Query(id="q", account="acme", series=(VIDEO,), pools=(), width=20, delay=40.0, reach=2400.0)
        hour = Points(series=VIDEO, width=HOUR, start=np.array([T - WEEK]), value=np.array([0.5]))

        def earlier(of: Series, since: int, hour: Points = hour) -> Points | None:
            return hour if of == VIDEO else None

        first = earlier if order == "told first" else None
        engine.restore([], queries=[query], covered={"q": T}, points=house.store.points, now=float(T), earlier=first)
        engine.tell(hour)
        engine.receive(answer(VIDEO, "1%x29", start=T), float(T))
        (view,) = engine.alerts()
        assert view.normal == pytest.approx(0.1), order
        assert "vendors_past" not in view.marks


async def test_a_restart_knows_what_was_told_and_asks_for_none_of_it_again(house: House) -> None:
    """Points and progress are in the state; what five requests brought is not asked for again."""
    await house.while_idle(NOON + 5 * HOUR)
    assert len(house.asked()) == 5
    again = House(house.store, hours, rules=[unusual()])
    again.clock.advance(house.clock.now() - again.clock.now())
    await again.open()
    again.engine.restore(
        [],
        queries=again.queries,
        covered={q.id: int(NOON) for q in again.queries if q.series == (VIDEO,)},
        points=house.store.points,
        now=again.clock.now(),
        earlier=hourly_of(house.store.points),
    )
    again.look()
    await again.while_idle(NOON + 13 * HOUR)
    assert again.asked() == []
    again.look("6%x29")
    assert again.engine.alerts()[0].normal == pytest.approx(NORMAL)


async def test_nothing_leaves_unless_there_is_room_and_it_is_given_up_when_that_is_over(house: House) -> None:
    """Fourteen seconds are too few; a vendor that hangs costs ten seconds at most."""
    await house.step(room=14.0)
    assert not house.wire.requests
    await house.step(room=15.0)
    assert len(house.wire.requests) == 1


async def test_half_of_the_day_stays_for_others(store: SqliteStore) -> None:
    """However much is lacking: half of what an even day has left is always there."""
    signals = ("video_freeze_ratio", "audio_freeze_ratio", "network_delay_ratio", "join_success_ratio")
    house = House(store, hours, rules=[unusual()])
    assert len(AGORA.past(house.settings, frozenset(signals))) == 7  # Web has no audio freezes
    await house.open()
    house.look(series=[VIDEO, VIDEO._replace(product="WebRTC")])
    for _ in range(40):
        house.clock.advance(MINUTE)
        await house.step()
    view = next(v for v in house.ledger.usage(house.clock.now()) if v.window_seconds == DAY)
    rest = (view.resets_at - house.clock.now()) / DAY
    assert len(house.wire.requests) == 9  # a start at noon finds half of the day gone
    assert (1 - SHARE) * view.allowed * rest <= view.left < (1 - SHARE) * view.allowed * rest + 2


@pytest.mark.parametrize(
    ("plan", "daily", "room", "most"),
    [
        ("premium", [], 60.0, 2),  # the minute's quota alone
        ("premium", ["daily_users"], 60.0, 1),  # which leaves the one that the day's look takes
        ("premium", ["daily_users", "daily_joins"], 60.0, 1),  # each of them is a look of one
        ("premium", ["daily_users", "daily_joins"], 70.0, 2),  # the minute is over before anything is due
        ("enterprise", ["daily_users", "daily_joins"], 60.0, 8),
    ],
)
async def test_a_look_of_days_finds_its_minute(
    store: SqliteStore, plan: str, daily: list[str], room: float, most: int
) -> None:
    """Of a minute's requests those of the largest look of the same pool stay, where one may be due within it."""
    house = House(store, hours, rules=[unusual()], plan=plan, daily=daily)
    await house.open()
    house.look(series=[VIDEO, VIDEO._replace(product="WebRTC")])
    for _ in range(20):
        await house.step(room=room)
    assert len(house.wire.requests) == most


def test_of_channels_nothing_is_told() -> None:
    """Data Insights know projects and products; users and channels in number mean something else there."""
    project = {"name": "classroom", "app_id": "0" * 32, "channels": ("lobby",), "products": ("Native",)}
    found = AGORA.past(account(projects=(project,)), AGORA.signals)
    assert {q.series[0].signal for q in found} == {
        "video_freeze_ratio",
        "audio_freeze_ratio",
        "network_delay_ratio",
        "join_success_ratio",
        "join_success_5s_ratio",
    }
    assert [q.series[0].channel for q in found] == [""] * 5


async def test_a_rule_of_the_hours_before_asks_for_nothing(store: SqliteStore) -> None:
    """The vendor is six hours late: what two hours lack it cannot tell."""
    baseline = Baseline(spread=4, at_least=0.02, span=2 * HOUR)
    five = Aggregate(kind=Kind.AVG, seconds=300)
    short = replace(rule(above=float("nan"), aggregate=five), baseline=baseline)
    house = House(store, hours, rules=[short])
    await house.open()
    house.look()
    await house.while_idle(NOON + HOUR)
    assert not house.wire.requests


async def test_where_nobody_is_the_vendor_is_not_asked_for_ever(house: House) -> None:
    """Without users there is no first own slot; what was wanted at first is all that is asked for, restarts or not."""
    house.look("_x59")
    for day in range(1, 20):
        await house.while_idle(NOON + day * DAY, every=HOUR)
        house.look("_x59")
        if day == 2:
            asked, now = house.asked(), house.clock.now()
            house = House(house.store, hours, rules=[unusual()])
            house.clock.advance(now - NOON)
            await house.open()
            house.look("_x59")
    assert max(span.end for span in (*asked, *house.asked())) == T + 3 * DAY


async def test_a_rule_that_looks_back_further_is_told_of_it(store: SqliteStore) -> None:
    """What two weeks did not need is read when four do, once; also where the first try failed before a restart."""
    house = House(store, hours, rules=[unusual(2)], plan="enterprise")
    await house.open()
    house.look()
    await house.while_idle(NOON + 2 * HOUR)
    assert min(span.start for span in house.asked()) == T - 14 * DAY
    house.engine.reload([unusual(4)], house.clock.now())
    house.wire.respond = lambda request: reply({}, status=500, at=NOON)
    await house.step()
    later = House(store, hours, rules=[unusual(4)], plan="enterprise")
    later.clock.advance(house.clock.now() - NOON)
    await later.open()
    later.look()
    await later.while_idle(NOON + 5 * HOUR)
    assert [span.start for span in later.asked()] == [T - n * DAY for n in (28, 21, 14, 7)]


async def test_what_a_clock_that_was_ahead_covered_is_not_believed(store: SqliteStore) -> None:
    """Nobody can have read of days to come: all of it is read, and none of it twice."""
    house = House(store, hours, rules=[unusual()])
    store.commit(Commit(covered={query.id: T + 300 * DAY for query in house.past}))
    house = House(store, hours, rules=[unusual()])
    await house.open()
    house.look()
    await house.while_idle(NOON + 5 * HOUR)
    assert [span.start for span in house.asked()] == [T - n * DAY for n in (13, 10, 7, 4, 3)]


async def test_a_refusal_is_waited_out(store: SqliteStore) -> None:
    """An hour after any failure, a day after the day's quota; nobody is paged for it."""
    refused = {"code": 300, "message": "Only 40 requests per day", "data": None}
    house = House(store, lambda _: refused, rules=[unusual()])
    await house.open()
    house.look()
    await house.step()
    await house.while_idle(NOON + 50 * MINUTE)
    assert len(house.wire.requests) == 1


async def test_a_refusal_outlives_a_restart(store: SqliteStore) -> None:
    """It stands in the ledger: no look asks that pool before midnight, and neither does the next process."""
    refused = {"code": 300, "message": "qpd limit error", "data": None}
    for _ in range(2):
        house = House(store, lambda _: refused, rules=[unusual()])
        await house.open()
        house.look()
        await house.step()
        assert {view.reason for view in house.ledger.usage(NOON)} == {Reason.DAY_QUOTA}
    assert not house.wire.requests


@pytest.mark.parametrize(
    ("what", "hours_off"), [(ProviderError(Reason.SERVER, "500"), 1), (RuntimeError("unforeseen"), 24)]
)
async def test_one_series_that_fails_starves_no_other(
    house: House, monkeypatch: pytest.MonkeyPatch, what: Exception, hours_off: int
) -> None:
    """It is left alone for an hour, or for a day where nobody knows why; nothing else is, and nothing is broken."""
    house.look(series=[VIDEO._replace(product="WebRTC")])
    inner, tried = house.reader._source.look, list[float]()

    async def failing(query: Query, covered: int | None, purse: Purse) -> Answer:
        if query.series[0] == VIDEO:
            tried.append(house.clock.now())
            raise what
        return await inner(query, covered, purse)

    monkeypatch.setattr(house.reader._source, "look", failing)
    await house.while_idle(NOON + HOUR)
    assert len(tried) == 1
    assert len(house.asked(product="WebRTC")) == 5
    await house.while_idle(tried[0] + hours_off * HOUR - 5 * MINUTE)
    for seconds, expected in ((299, 1), (1, 2)):
        house.clock.advance(seconds)
        await house.step()
        assert len(tried) == expected


async def test_a_vendor_that_hangs_is_given_up(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """After `LONGEST` real seconds, and what was covered stays as it was."""
    monkeypatch.setattr("watcher.app.past.LONGEST", 0.05)

    async def hangs(query: Query, covered: int | None, purse: object) -> None:
        await anyio.sleep(30)

    monkeypatch.setattr(house.reader._source, "look", hangs)
    with anyio.fail_after(5):
        await house.step()
    assert house.store.covered() == {}


# ── in the daemon ────────────────────────────────────────────────────────────────────────────────────────────────────

WEEKLY = """
rules:
  - alert: UnusualFreezes
    signal: video_freeze_ratio
    when: {avg: 5m, above: {baseline: week, at_least: 2%}}
    for: 5m
    require: {users: {above: 20}}
    severity: critical
"""


class Telling(world.Wire):
    """The emulated vendor, with Data Insights of a steady past; notes when which was asked."""

    def __init__(self, emulator: Emulator, clock: Clock) -> None:
        super().__init__(emulator)
        self._clock = clock
        self.metrics = ""
        self.live: list[float] = []
        self.told: list[float] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if "/insight/" in request.url.path:
            self.told.append(self._clock.now())
            return reply(hours(request), at=self._clock.now())
        self.live.append(self._clock.now())
        return await super().handle_async_request(request)


async def lived(folder: Path, seconds: float, **account_more: object) -> Telling:
    """Some hours of a daemon with a weekly rule."""
    folder.mkdir()
    clock = VirtualClock(epoch=EPOCH + 7 * HOUR, jumping=True)
    here = world.World(clock=clock, folder=folder, story=world.scenario(), epoch=EPOCH + 7 * HOUR)
    wire = here.wire = Telling(here.emulator, clock)
    data = world.config(folder, rules_text=WEEKLY)
    data["accounts"][0] |= account_more
    daemon = here.daemon(data)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(daemon.run)
        await sleep(clock, seconds)
        wire.metrics = render(daemon.snapshot()).decode()
        await daemon.stop()
    return wire


async def test_no_look_is_later_for_the_past(tmp_path: Path) -> None:
    """With and without Data Insights the daemon looks at the same instants; eight requests bring twice 28 days."""
    with_past = await lived(tmp_path / "with", 2.0 * HOUR)
    without = await lived(tmp_path / "without", 2.0 * HOUR, quotas={"insights": {"per_day": 1}})
    assert without.told == []
    assert len(with_past.told) == 8
    assert with_past.live == without.live
    assert 'watcher_oddities_total{account="acme",kind="outside"} 8.0' in with_past.metrics
    store = open_store(f"sqlite:///{tmp_path / 'with' / 'state.db'}")
    told = store.points(VIDEO.hourly, 0)
    store.close()
    assert told is not None
    assert len(told) == 28 * 24


def test_check_says_whether_the_vendor_helps_where_too_little_is_kept(tmp_path: Path) -> None:
    """A week of history is too short for four, and what Data Insights tell is forgotten as early."""
    built = world.built(world.config(tmp_path, rules_text=WEEKLY, history="7d"), tmp_path)
    (said,) = [w.what for w in built.warnings if "looks back" in w.what]
    assert "`history` keeps 7; the vendor's statistics tell of the 7 days before the first look" in said
    assert [q.id for q in built.accounts[0].past] == [
        f"acme/classroom/{product}/video_freeze_ratio/hours" for product in ("Native", "WebRTC")
    ]
    assert [p.id for p in built.accounts[0].past_pools] == ["acme/insights"]
    data = world.config(tmp_path, rules_text=WEEKLY, history="7d")
    data["accounts"][0]["quotas"] = {"insights": {"per_day": 1}}
    (said,) = [w.what for w in world.built(data, tmp_path).warnings if "looks back" in w.what]
    assert "no vendor tells of the time before" in said
