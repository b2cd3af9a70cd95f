"""One transaction a step, and what happens while it cannot be written (invariant 5)."""

from __future__ import annotations

import pytest

from tests.alerts.build import transition
from tests.alerts.fakes import FakeSender, FakeStore
from watcher.alerts.desk import Desk
from watcher.alerts.outbox import Outbox
from watcher.alerts.route import Routing
from watcher.alerts.settings import AlertsSettings, RouteSettings
from watcher.app.recorder import Recorder, merge
from watcher.clock import VirtualClock
from watcher.errors import StoreError
from watcher.model import Commit, SavedAlert, State
from watcher.secret import Secret
from watcher.workers import InlineWorkers


class Office:
    """A recorder with one target, over a store that can fail."""

    def __init__(self, clock: VirtualClock) -> None:
        self.store = FakeStore()
        self.sender = FakeSender(clock)
        settings = AlertsSettings(targets={"t": Secret.of("json://t.invalid")}, routes=(RouteSettings(to=("t",)),))
        routing = Routing.of(settings, page_ended_within=3600)
        self.outbox = Outbox(
            target="t",
            sender=self.sender,
            store=self.store,
            workers=InlineWorkers(),
            clock=clock,
            timing=routing.timing,
            delivery=settings.delivery,
        )
        self.recorder = Recorder(
            store=self.store,
            workers=InlineWorkers(),
            clock=clock,
            routing=routing,
            told={},
            outboxes={"t": self.outbox},
            desk=Desk(settings),
        )


@pytest.fixture
def desk(clock: VirtualClock) -> Office:
    """A desk in virtual time."""
    return Office(clock)


def failing(desk: Office) -> bool:
    """Whether the recorder knows that the state cannot be written."""
    return desk.recorder.sight.failing_since is not None


async def test_a_transition_and_its_obligation_are_recorded_together(desk: Office) -> None:
    """One write holds both."""
    assert await desk.recorder.record(Commit(transitions=[transition(State.FIRING, 100)]))
    assert len(desk.store.disk.transitions) == 1
    assert len(desk.store.disk.obligations) == 1
    assert desk.store.writes == ["commit"]


async def test_a_full_disk_pages_from_memory_and_is_written_later(desk: Office) -> None:
    """What was decided goes out marked; once the disk has room, the record holds it and nothing is said twice."""
    desk.store.full = True
    assert not await desk.recorder.record(Commit(transitions=[transition(State.FIRING, 100)]))
    assert failing(desk)
    async with desk.outbox.opened():
        await desk.outbox.step()
        assert ["not durable" in s.notification.text for s in desk.sender.accepted] == [True]
        desk.store.full = False
        assert await desk.recorder.record(Commit())
        assert not desk.recorder.waiting
        assert not failing(desk)
        await desk.outbox.step()
    assert len(desk.store.disk.transitions) == 1
    assert len(desk.sender.accepted) == 1


async def test_a_ledger_that_can_write_does_not_say_that_all_is_well(desk: Office) -> None:
    """While a step waits that could not be written; after it was, it does."""
    desk.store.full = True
    await desk.recorder.record(Commit(transitions=[transition(State.FIRING, 100)]))
    desk.recorder.works()
    assert failing(desk)
    desk.store.full = False
    await desk.recorder.record(Commit())
    assert not failing(desk)


async def test_steps_that_could_not_be_written_keep_their_order(desk: Office) -> None:
    """Two steps fail, the third writes all three as one."""
    desk.store.full = True
    for seq, state in ((1, State.FIRING), (2, State.RESOLVED)):
        await desk.recorder.record(Commit(transitions=[transition(state, 100 * seq, seq=seq)], covered={"q": seq}))
    desk.store.full = False
    await desk.recorder.record(Commit(covered={"q": 3}))
    assert [key[1] for key in desk.store.disk.transitions] == [1, 2]
    assert desk.store.disk.covered == {"q": 3}


def test_of_two_words_about_an_alert_the_later_one_counts() -> None:
    """Saved then forgotten is forgotten; forgotten then saved is saved."""
    saved = SavedAlert(alert_id="a", rule="R", body={})
    gone = merge([Commit(alerts=[saved]), Commit(forgotten=["a"])])
    assert (list(gone.alerts), list(gone.forgotten)) == ([], ["a"])
    kept = merge([Commit(forgotten=["a"]), Commit(alerts=[saved])])
    assert (list(kept.alerts), list(kept.forgotten)) == ([saved], [])


async def test_a_failure_met_by_the_ledger_is_known_too(desk: Office) -> None:
    """Whoever meets the failing store says so, and whoever writes it says that it works."""
    desk.recorder.fails(StoreError("disk full"))
    assert desk.recorder.sight.detail == "disk full"
    desk.recorder.works()
    assert desk.recorder.sight.failing_since is None
