"""When the state cannot be written: what is decided goes out from memory, marked, and later nothing goes out twice."""

from __future__ import annotations

from dataclasses import replace

import anyio
import structlog

from tests.alerts.build import LABELS, commit, obligation, outbox, settle, transition
from tests.alerts.fakes import Accept, Fail, FakeSender, FakeStore, SlowWorkers
from tests.conftest import EPOCH
from watcher.alerts.backlog import MAX_IN_MEMORY, Backlog
from watcher.alerts.outbox import STORE_RETRY
from watcher.alerts.reasons import Dropped
from watcher.clock import VirtualClock, sleep
from watcher.model import Delivery, Notification, Obligation, State

F, R = State.FIRING, State.RESOLVED

FIRED = transition(F, 0)
ENDED = transition(R, 50, seq=2)


def page(name: str, state: State = F, seq: int = 1) -> Obligation:
    """An obligation of another alert."""
    return obligation(transition(state, 0, seq=seq, labels={**LABELS, "channel": name}))


async def test_a_page_that_could_not_be_recorded_goes_out_from_memory_marked(clock: VirtualClock) -> None:
    """The app offers what its commit lost; once the commit is made good, it is recorded as sent and not repeated."""
    store, sender = FakeStore(), FakeSender(clock)
    store.full = True
    async with outbox(store, sender, clock).opened() as box:
        box.offer([obligation(FIRED)])
        await settle(box, clock)
        assert "not durable" in sender.accepted[0].notification.text
        assert (box.stats().not_durable, box.stats().sent) == (1, 1)
        store.full = False
        commit(store, FIRED)
        await settle(box, clock)
        commit(store, ENDED)
        await settle(box, clock)
    assert [s.notification.kind for s in sender.accepted] == ["firing", "resolved"]
    assert [n.delivery for n in store.disk.notifications.values()] == [Delivery.SENT, Delivery.SENT]
    assert store.open_ids() == set()


async def test_a_message_that_could_not_be_recorded_goes_out_marked(clock: VirtualClock) -> None:
    """The obligations were recorded before the disk filled up; the message is recorded as sent afterwards."""
    store, sender = FakeStore(), FakeSender(clock)
    commit(store, FIRED)
    store.full = True
    async with outbox(store, sender, clock).opened() as box:
        await settle(box, clock)
        assert "not durable" in sender.accepted[0].notification.text
        store.full = False
        await settle(box, clock, until=EPOCH + 2 * STORE_RETRY)
    (recorded,) = store.disk.notifications.values()
    assert (recorded.delivery, recorded.attempts) == (Delivery.SENT, 1)
    assert len(sender.attempts) == 1


async def test_a_state_that_could_not_be_noted_is_noted_later(clock: VirtualClock) -> None:
    """The disk fills up between record and send: sent once, and noted as sent once it can be."""
    store, sender = FakeStore(), FakeSender(clock, [Accept(delay=5)])
    commit(store, FIRED)
    box = outbox(store, sender, clock)
    with structlog.testing.capture_logs() as logs:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(box.run)
            await sleep(clock, 1)
            store.full = True
            await sleep(clock, 60)
            (message,) = store.disk.notifications.values()
            assert message.delivery is Delivery.SENDING
            store.full = False
            await sleep(clock, 2 * STORE_RETRY)
            (message,) = store.disk.notifications.values()
            assert message.delivery is Delivery.SENT
            tasks.cancel_scope.cancel()
    assert len(sender.attempts) == 1
    assert [e["event"] for e in logs] == ["message_queued", "outbox_not_durable", "outbox_durable_again"]


async def test_recorded_while_its_attempt_runs_its_outcome_is_noted_too(clock: VirtualClock) -> None:
    """The store comes back in the middle of a hung attempt of a page from memory."""
    store, sender = FakeStore(), FakeSender(clock, [Accept(delay=100)])
    store.full = True
    box = outbox(store, sender, clock)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(box.run)
        box.offer([obligation(FIRED)])
        await sleep(clock, 50)
        store.full = False
        commit(store, FIRED)
        box.wake()
        await sleep(clock, 10)
        (message,) = store.disk.notifications.values()
        assert message.delivery is Delivery.SENDING
        await sleep(clock, 60)
        (message,) = store.disk.notifications.values()
        assert message.delivery is Delivery.SENT
        tasks.cancel_scope.cancel()
    assert len(sender.attempts) == 1


async def test_offered_and_then_recorded_before_it_was_said_is_durable_after_all(clock: VirtualClock) -> None:
    """The copy in memory gives way to the store's."""
    store, sender = FakeStore(), FakeSender(clock)
    async with outbox(store, sender, clock).opened() as box:
        box.offer([obligation(FIRED)])
        commit(store, FIRED)
        await settle(box, clock)
        assert box.stats().not_durable == 0
    assert "not durable" not in sender.accepted[0].notification.text
    assert len(sender.accepted) == 1


async def test_an_end_from_memory_does_not_overtake_a_beginning_in_the_store(clock: VirtualClock) -> None:
    """Neither while the beginning fails, nor while the store cannot even be read."""
    store, sender = FakeStore(), FakeSender(clock, [Fail()])
    commit(store, FIRED)
    store.unreadable = True
    async with outbox(store, sender, clock).opened() as box:
        box.offer([obligation(ENDED), page("new")])
        await settle(box, clock, until=EPOCH + 60)
        assert [s.notification.alerts for s in sender.accepted] == [(page("new").transition.alert_id,)]
        store.unreadable, store.full = False, True
        await settle(box, clock, until=EPOCH + 120)
    assert [s.notification.kind for s in sender.accepted] == ["firing", "was_firing"]


async def test_an_end_waits_where_its_beginning_may_lie_unread(clock: VirtualClock) -> None:
    """The store was read before and fails just then: what it holds is unknown, not nothing."""
    store, sender = FakeStore(), FakeSender(clock)
    async with outbox(store, sender, clock).opened() as box:
        await box.step()
        commit(store, FIRED)
        store.unreadable = True
        box.offer([obligation(ENDED)])
        await settle(box, clock, until=EPOCH + 60)
        assert sender.accepted == []
        store.unreadable, store.full = False, True
        await settle(box, clock, until=EPOCH + 120)
    assert [s.notification.kind for s in sender.accepted] == ["was_firing"]


async def test_what_memory_overtook_is_dropped_with_that_reason(clock: VirtualClock) -> None:
    """An end lay unread while the next beginning went out: saying it now would look like the end of that."""
    store, sender = FakeStore(), FakeSender(clock)
    async with outbox(store, sender, clock).opened() as box:
        commit(store, FIRED)
        await settle(box, clock)
        commit(store, ENDED)
        store.unreadable = True
        again = transition(F, 100, seq=3)
        box.offer([obligation(again)])
        await settle(box, clock)
        store.unreadable = False
        commit(store, again)
        await settle(box, clock, until=EPOCH + 60)
    assert [s.notification.kind for s in sender.accepted] == ["firing", "firing"]
    assert store.disk.dropped == {obligation(ENDED).id: Dropped.OVERTAKEN}
    assert store.open_ids() == set()


async def test_an_attempt_that_ends_while_its_message_is_being_recorded_is_noted(clock: VirtualClock) -> None:
    """The record says "being sent" by then; the outcome follows it."""
    store, sender = FakeStore(), FakeSender(clock, [Accept(delay=44.5)])
    box = outbox(store, sender, clock, workers=SlowWorkers(clock, 1.0))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(box.run)
        await sleep(clock, 5)
        store.full = True
        box.offer([obligation(FIRED)])
        await sleep(clock, 30)
        store.full = False
        commit(store, FIRED)
        for _ in range(200):  # a recording is nearly always under way
            box.wake()
            await sleep(clock, 0.1)
        await sleep(clock, 60)
        tasks.cancel_scope.cancel()
    assert len(sender.attempts) == 1
    assert [n.delivery for n in store.disk.notifications.values()] == [Delivery.SENT]


async def test_memory_is_bounded_and_what_that_costs_is_counted(clock: VirtualClock) -> None:
    """The first pages of a storm are kept, the rest is refused and counted."""
    store, sender = FakeStore(), FakeSender(clock)
    store.full = True
    box = outbox(store, sender, clock)
    box.offer([page(str(i)) for i in range(MAX_IN_MEMORY + 25)])
    box.offer([page("0")])
    assert box.stats().overflowed == 25
    async with box.opened():
        await settle(box, clock, until=EPOCH + 3600)
    assert len({a for s in sender.accepted for a in s.notification.alerts}) == MAX_IN_MEMORY


async def test_said_messages_kept_for_the_record_are_bounded_too(clock: VirtualClock) -> None:
    """A disk that stays full for days does not grow the process."""
    store, sender = FakeStore(), FakeSender(clock)
    store.full = True
    async with outbox(store, sender, clock).opened() as box:
        for number in range(MAX_IN_MEMORY + 10):
            box.offer([page(str(number))])
            await box.step()
        assert box.stats().overflowed == 10
    assert len(sender.accepted) == MAX_IN_MEMORY + 10


async def test_drain_tries_what_only_memory_holds(clock: VirtualClock) -> None:
    """It has no other chance; what is recorded waits for the next start."""
    store, sender = FakeStore(), FakeSender(clock, default=Accept(delay=1))
    store.full = True
    box = outbox(store, sender, clock)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(box.run)
        await sleep(clock, 1)
        box.offer([obligation(FIRED), page("b")])
        await box.drain(10)
        tasks.cancel_scope.cancel()
    assert len({a for s in sender.accepted for a in s.notification.alerts}) == 2


async def test_a_drop_that_cannot_be_recorded_is_decided_again(clock: VirtualClock) -> None:
    """Nothing is said meanwhile, and nothing is lost."""
    store, sender = FakeStore(), FakeSender(clock)
    commit(store, FIRED, transition(State.INACTIVE, 0, seq=2, retracts=0))
    store.full = True
    async with outbox(store, sender, clock).opened() as box:
        await settle(box, clock, until=EPOCH + 20)
        assert (sender.attempts, store.disk.dropped) == ([], {})
        assert box.stats().store_errors > 1
        store.full = False
        await settle(box, clock, until=EPOCH + 40)
    assert set(store.disk.dropped.values()) == {"superseded"}


SENDING = Notification(
    id="n", target="t", obligations=("o",), alerts=("a",), kind="firing", title="", text="", html="", created_at=EPOCH
)
SENT = replace(SENDING, delivery=Delivery.SENT)


def test_an_outcome_that_came_while_the_message_was_recorded_is_saved_next() -> None:
    """The record holds the older state, so the newer one is still to be written."""
    backlog = Backlog()
    backlog.add_volatile(SENDING, [])
    backlog.volatile["n"] = SENT
    backlog.recorded(SENDING)
    assert (backlog.volatile, list(backlog.unsaved.values())) == ({}, [SENT])


def test_a_state_that_was_saved_does_not_forget_a_newer_one() -> None:
    """An older save may return after the newest state was put down."""
    backlog = Backlog()
    backlog.keep_unsaved(SENDING)
    backlog.keep_unsaved(SENT)
    backlog.saved(SENDING)
    assert list(backlog.unsaved.values()) == [SENT]
    backlog.saved(SENT)
    assert backlog.unsaved == {}
