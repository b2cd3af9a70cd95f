"""Who is affected, asked by one account without its loop: when, when not, and what becomes of each question."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager
from typing import Any, NoReturn

import pytest
from structlog.testing import capture_logs

from tests.alerts.build import route, transition
from tests.app.asking import ALL, NOON, PATIENCE, VIDEO, WEB, Groups, Sparing, ledger, recorder
from tests.providers.doubles import HandClock
from tests.rules.series import W, answer, rule
from watcher.alerts.affected import AFFECTED, AffectedSettings
from watcher.alerts.desk import Desk, new_silence
from watcher.alerts.settings import AlertsSettings, InhibitSettings, MaintenanceSettings, RouteSettings
from watcher.app import inquiry
from watcher.app.inquiry import Inquiries, Outcome
from watcher.clock import HOUR, MINUTE, real_deadline
from watcher.errors import ProviderError, Reason, StoreError
from watcher.model import (
    Commit,
    Dimension,
    Series,
    Silence,
    State,
    Transition,
)
from watcher.rules.engine import Engine, Verdicts
from watcher.rules.settings import Judging
from watcher.schedule.state import QueryState
from watcher.store import SqliteStore
from watcher.workers import InlineWorkers

DEFAULT = AffectedSettings()


class House:
    """An account's questions at noon, beside an engine that judges one series."""

    def __init__(
        self, store: SqliteStore, *, settings: AlertsSettings = ALL, affected: AffectedSettings = DEFAULT
    ) -> None:
        self.clock = clock = HandClock(NOON)
        self.store = store
        self.source = Groups(clock)
        self.engine = Engine(rules=[rule()], settings=Judging())
        self.ledger = ledger(store, clock)
        self.desk = Desk(settings)
        self.recorder = recorder(store, clock, self.desk, settings)
        self.inquiries = Inquiries(
            settings=affected,
            account="acme",
            source=self.source,
            ledger=self.ledger,
            policy=Sparing(),
            engine=self.engine,
            recorder=self.recorder,
            clock=clock,
            notes=store,
            workers=InlineWorkers(),
            firing=self.desk.firing,
        )
        self.states: tuple[QueryState, ...] = (QueryState(query=self.source.queries[0], last_look=NOON),)

    async def look(
        self, text: str, *, of: Series = VIDEO, start: int = int(NOON) - W, settled: int | None = None
    ) -> None:
        """What an account does with an answer."""
        found = answer(of, text, start=start, settled=settled)
        verdicts = self.engine.receive(found, self.clock.now())
        said = self.inquiries.note(verdicts.transitions, [found], self.states)
        await self.recorder.record(Commit(alerts=verdicts.alerts, transitions=said))

    def fail(self) -> None:
        """The last look failed."""
        self.states = (QueryState(query=self.source.queries[0], last_look=NOON, failures=1),)

    def works(self) -> None:
        """The last look was answered."""
        self.states = (QueryState(query=self.source.queries[0], last_look=NOON),)

    async def step(self, *, free_until: float = math.inf) -> float:
        return await self.inquiries.step(self.states, free_until)

    async def until_done(self) -> None:
        """Steps until no question is open, each at its time."""
        while math.isfinite(at := await self.step()):
            self.clock.advance(max(at - self.clock.now(), 0.0))

    @property
    def log(self) -> list[Transition]:
        return self.store.transitions()

    def says(self) -> str:
        """What the alert's last entry says of who is affected."""
        return self.log[-1].annotations.get(AFFECTED, "")

    @property
    def outcomes(self) -> dict[Outcome, int]:
        return {outcome: n for outcome, n in self.inquiries.outcomes.items() if n}


@pytest.fixture
async def house(store: SqliteStore) -> House:
    """One route takes everything."""
    made = House(store)
    await made.ledger.open()
    return made


# ── while looks fail ─────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_question_waits_while_looks_fail(house: House) -> None:
    """It is asked once looks are answered again, if there is time left: the budget had no part in it."""
    house.fail()
    await house.look("10%")
    assert house.says() == ""
    assert await house.step() == NOON + PATIENCE - 5.0
    assert not house.source.asked
    house.clock.advance(MINUTE)
    house.works()
    await house.until_done()
    assert house.says().startswith("SDK 4.1.1 (Native): 40% of video time frozen")
    assert house.outcomes == {Outcome.TOLD: 1}


async def test_where_looks_fail_until_it_is_too_late_the_update_says_that(house: House) -> None:
    """Nothing was spent, and the outcome has a word of its own."""
    house.fail()
    await house.look("10%")
    await house.until_done()
    assert house.clock.now() == NOON + PATIENCE - 5.0
    assert house.says() == "not asked: the looks at the vendor failed"
    assert house.outcomes == {Outcome.BLIND: 1}
    assert not house.source.asked


# ── one episode, one question ────────────────────────────────────────────────────────────────────────────────────────


async def test_a_correction_that_leaves_an_alert_firing_keeps_its_question(house: House) -> None:
    """The dimension that was asked is not asked again, the time is not prolonged, and the update is of what stands."""
    await house.look("1% 10%", start=int(NOON) - 2 * W, settled=int(NOON) - 2 * W)
    await house.step()
    assert house.source.asked == [Dimension.SDK]
    house.clock.advance(MINUTE)
    await house.look("10% 10%", start=int(NOON) - 2 * W)
    corrected = house.log[-1]
    assert (corrected.state, corrected.retracts) == (State.FIRING, int(NOON) - W)
    await house.until_done()
    assert house.source.asked == [Dimension.SDK, Dimension.NETWORK]
    assert house.outcomes == {Outcome.TOLD: 1}
    assert house.log[-1].updates == corrected.seq
    assert house.says().startswith("SDK 4.1.1")


@pytest.mark.parametrize("fails", [False, True])
async def test_a_correction_after_the_answer_repeats_it(house: House, fails: bool) -> None:
    """Also where the vendor did not say: nothing is asked, and the corrected entry says what its alert said."""
    house.source.fails = ProviderError(Reason.SERVER, "500") if fails else None
    await house.look("1% 10%", start=int(NOON) - 2 * W, settled=int(NOON) - 2 * W)
    await house.until_done()
    said, asked = house.says(), len(house.source.asked)
    assert said
    house.source.fails = None
    house.clock.advance(MINUTE)
    await house.look("10% 10%", start=int(NOON) - 2 * W)
    await house.until_done()
    assert (house.log[-1].retracts, house.says()) == (int(NOON) - W, said)
    assert bool(house.log[-1].affected) is not fails
    assert len(house.source.asked) == asked


async def test_an_alert_that_fires_anew_is_asked_about_anew(house: House) -> None:
    """The end of an episode ends its question; the next one, long after, has its own."""
    await house.look("10%")
    await house.until_done()
    house.clock.advance(20 * MINUTE)
    await house.look("1%x59", start=int(NOON))
    assert house.log[-1].state is State.RESOLVED
    await house.look("10%", start=int(NOON) + 60 * W)
    await house.until_done()
    assert house.outcomes == {Outcome.TOLD: 2}
    assert len(house.source.asked) == 4


# ── what nobody is told ──────────────────────────────────────────────────────────────────────────────────────────────


def silence(seconds: float, **match: str) -> Silence:
    """From noon on."""
    matches = {name: (value,) for name, value in match.items()}
    return new_silence(matches, now=NOON, seconds=seconds, author="ann", comment="")


async def test_a_silenced_alert_is_asked_about_once_the_silence_is_over(house: House) -> None:
    """Nothing is spent under it; a minute later there is still time."""
    await house.recorder.record(Commit(silences=[silence(MINUTE, rule="VideoFreezing")]))
    await house.look("10%")
    while house.clock.now() <= NOON + MINUTE:
        assert not house.source.asked
        house.clock.advance(await house.step() - house.clock.now())
    await house.until_done()
    assert house.outcomes == {Outcome.TOLD: 1}
    assert house.log[-1].updates is not None


async def test_what_is_silenced_for_longer_is_not_asked(house: House) -> None:
    """No request, no update, an outcome of its own."""
    await house.recorder.record(Commit(silences=[silence(HOUR, rule="VideoFreezing")]))
    await house.look("10%")
    await house.until_done()
    assert not house.source.asked
    assert house.outcomes == {Outcome.MUTED: 1}
    assert len(house.log) == 1


async def test_a_silenced_alert_holds_up_no_other(house: House) -> None:
    """Its question is older, and comes after that of a place where somebody is told."""
    await house.recorder.record(Commit(silences=[silence(HOUR, product="Native")]))
    await house.look("10%")
    await house.look("10%", of=WEB)
    await house.until_done()
    assert house.outcomes == {Outcome.TOLD: 1, Outcome.MUTED: 1}
    assert [e.labels["product"] for e in house.log if e.updates is not None] == ["WebRTC"]


@pytest.mark.parametrize(
    "more",
    [
        {"routes": (route("pager", severity="info"),)},
        {"maintenance": (MaintenanceSettings.model_validate({"name": "noon", "from": "11:00", "to": "13:00"}),)},
        {"routes": (RouteSettings.model_validate({"to": "pager", "mute": {"from": "11:00", "to": "13:00"}}),)},
    ],
    ids=["no route", "maintenance", "hours"],
)
async def test_what_nobody_hears_is_not_asked(store: SqliteStore, more: dict[str, Any]) -> None:
    """Whatever the reason that the page goes to nobody."""
    house = House(store, settings=AlertsSettings(**{"routes": (route("pager"),), **more}))
    await house.ledger.open()
    await house.look("10%")
    await house.until_done()
    assert not house.source.asked
    assert house.outcomes == {Outcome.MUTED: 1}


@pytest.mark.parametrize(("covers", "expected"), [("pager", Outcome.MUTED), ("mail", Outcome.TOLD)])
async def test_what_another_alert_covers_is_not_asked(store: SqliteStore, covers: str, expected: Outcome) -> None:
    """Unless those who are told of this one do not hear of the other."""
    inhibit = InhibitSettings(source={"rule": ("Outage",)}, target={"rule": ("VideoFreezing",)})
    routes = (route(covers, rule="Outage"), route("pager", rule="VideoFreezing"))
    house = House(store, settings=AlertsSettings(routes=routes, inhibit=(inhibit,)))
    await house.ledger.open()
    await house.recorder.record(Commit(transitions=[transition(State.FIRING, 0, rule="Outage")]))
    await house.look("10%")
    await house.until_done()
    assert house.outcomes == {expected: 1}


async def test_a_dimension_that_is_not_to_be_had_is_no_excuse(store: SqliteStore) -> None:
    """Where the vendor has none of those that are wanted, nothing is said, as where nothing is asked at all."""
    house = House(store, affected=AffectedSettings(dimensions=(Dimension.COUNTRY,)))
    await house.ledger.open()
    await house.look("10%")
    await house.until_done()
    assert (house.says(), house.outcomes, len(house.log)) == ("", {}, 1)


# ── how long a question may take, and what it may break ──────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("room", "rate", "expected"), [(1, 1, 2), (5, 1, 5), (60, 1, 10), (math.inf, 1, 10), (60, 10, 6), (-3, 1, 2)]
)
async def test_a_question_near_a_look_is_given_up_in_time(
    house: House, monkeypatch: pytest.MonkeyPatch, room: float, rate: float, expected: float
) -> None:
    """Two real seconds at least, ten at most, and between them what there is until the look, on whatever clock."""
    waited: list[float] = []

    def noting(seconds: float) -> AbstractContextManager[object]:
        waited.append(seconds)
        return real_deadline(seconds)

    monkeypatch.setattr("watcher.app.inquiry.real_deadline", noting)
    house.clock.rate = float(rate)
    await house.look("10%")
    await house.step(free_until=NOON + room)
    assert waited == [expected]


COULD_NOT = "could not be asked: a fault of watcher's or its state's"


def crash(*_: object) -> NoReturn:
    """A mistake that nobody foresaw."""
    raise RuntimeError("unforeseen")


async def test_a_question_that_crashes_is_told_and_takes_no_other_with_it(house: House) -> None:
    """Its alert hears that it could not be asked, it is counted and logged, and the other incident has its answer."""
    await house.look("10%")
    await house.look("10%", of=WEB)
    house.source.fails = RuntimeError("unforeseen")
    with capture_logs() as logs:
        await house.step()
    assert [(line["event"], line["error"]) for line in logs] == [("inquiry_crashed", "RuntimeError")]
    update = house.log[-1]
    assert (update.labels["product"], update.updates, house.says()) == ("Native", house.log[0].seq, COULD_NOT)
    assert house.outcomes == {Outcome.FAULT: 1}
    house.source.fails = None
    await house.until_done()
    assert house.says().startswith("SDK 4.1.1 (WebRTC)")
    assert house.outcomes == {Outcome.FAULT: 1, Outcome.TOLD: 1}
    assert len(house.log) == 4


async def test_what_was_answered_before_a_crash_is_told(house: House) -> None:
    """The request for the first dimension was not in vain."""
    await house.look("10%")
    await house.step()
    house.source.fails = RuntimeError("unforeseen")
    await house.until_done()
    assert house.says().startswith("SDK 4.1.1 (Native)")
    assert house.outcomes == {Outcome.TOLD: 1}


async def test_a_crash_beside_the_questions_ends_them_all_and_is_told(house: House) -> None:
    """It may be in any of them and come again, so none is left open; the looks go on."""
    await house.look("10%")
    await house.look("10%", of=WEB)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Sparing, "spare", crash)
        assert await house.step() == math.inf
    assert [(e.labels["product"], e.annotations.get(AFFECTED)) for e in house.log if e.updates is not None] == [
        ("Native", COULD_NOT),
        ("WebRTC", COULD_NOT),
    ]
    assert house.outcomes == {Outcome.FAULT: 2}
    assert await house.step() == math.inf
    assert not house.source.asked


async def test_a_crash_in_telling_of_a_crash_ends_with_the_log(house: House) -> None:
    """Nothing can be said then; still the looks go on, and the question does not come back."""
    await house.look("10%")
    with pytest.MonkeyPatch.context() as patch, capture_logs() as logs:
        patch.setattr(Sparing, "spare", crash)
        patch.setattr(Engine, "say_more", crash)
        assert await house.step() == math.inf
    assert [line["event"] for line in logs] == ["inquiry_crashed", "inquiry_crashed"]
    assert await house.step() == math.inf
    assert (len(house.log), house.outcomes) == (1, {Outcome.FAULT: 1})


async def test_a_crash_before_the_page_costs_no_page(house: House) -> None:
    """The page is recorded, and says itself that it could not be asked."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Groups, "splitting", crash)
        await house.look("10%")
    await house.until_done()
    assert ([e.state for e in house.log], house.says()) == ([State.FIRING], COULD_NOT)
    assert house.outcomes == {Outcome.FAULT: 1}


async def test_a_crash_in_reading_what_an_alert_is_about_costs_no_page(house: House) -> None:
    """That too is a question's own trouble."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inquiry, "_series", crash)
        await house.look("10%")
    assert ([e.state for e in house.log], house.says()) == ([State.FIRING], COULD_NOT)


async def test_an_alert_that_cannot_be_told_silences_no_other(house: House) -> None:
    """Of two whose questions end together, one hears of it."""
    await house.look("10%")
    await house.look("10%", of=WEB)
    say_more = Engine.say_more

    def says(engine: Engine, entry: Transition) -> Verdicts:
        if entry.labels["product"] == "Native":
            raise RuntimeError("unforeseen")
        return say_more(engine, entry)

    with pytest.MonkeyPatch.context() as patch, capture_logs() as logs:
        patch.setattr(Sparing, "spare", crash)
        patch.setattr(Engine, "say_more", says)
        await house.step()
    assert [e.labels["product"] for e in house.log if e.updates is not None] == ["WebRTC"]
    assert len(logs) == 2


async def test_a_crash_at_the_start_keeps_no_account_from_its_looks(house: House) -> None:
    """What was open at the last end is not asked then, and the log says so."""
    with pytest.MonkeyPatch.context() as patch, capture_logs() as logs:
        patch.setattr(house.inquiries.allowance, "recall", crash)
        await house.inquiries.resume(house.states)
    assert [line["event"] for line in logs] == ["inquiry_crashed"]


async def test_a_start_says_nothing_of_other_accounts_alerts(house: House) -> None:
    """Not even where it crashes."""
    await house.look("10%", of=VIDEO._replace(account="other"))
    assert len(house.desk.firing) == 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Inquiries, "_begun", crash)
        await house.inquiries.resume(house.states)
    assert len(house.log) == 1


async def test_a_request_that_cannot_be_counted_is_told_as_our_fault(house: House) -> None:
    """It did not leave, so the vendor has nothing to do with it."""
    await house.look("10%")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(house.store, "put_note", failing)
        await house.until_done()
    assert not house.source.asked
    assert (house.says(), house.outcomes) == (COULD_NOT, {Outcome.FAULT: 1})


def failing(*_: object) -> NoReturn:
    """The disk is full."""
    raise StoreError("disk full")
