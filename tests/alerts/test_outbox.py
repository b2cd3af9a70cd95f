"""One target's delivery: the order of effects, retries, hangs, restarts, drain and cancellation."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise

import anyio
import pytest
import structlog

from tests.alerts.build import LABELS, commit, outbox, settle, transition
from tests.alerts.fakes import Accept, Die, Fail, FakeSender, FakeStore, Hang, Killed, SlowWorkers
from tests.conftest import EPOCH
from watcher.alerts.attempts import FIRST_RETRY, LONGEST_RETRY, retry_delay
from watcher.alerts.deciding import MAX_QUEUED
from watcher.alerts.outbox import Outbox
from watcher.alerts.route import Timing
from watcher.alerts.send import MAX_ATTEMPTS_AT_ONCE
from watcher.clock import VirtualClock, sleep
from watcher.model import Delivery, Notification, State, Transition

F, R = State.FIRING, State.RESOLVED

FIRED = transition(F, 0)
ENDED = transition(R, 50, seq=2)


def channel(name: str, state: State = F, seq: int = 1) -> Transition:
    """A transition of another alert."""
    return transition(state, 0, seq=seq, labels={**LABELS, "channel": name})


def stored(store: FakeStore) -> list[Notification]:
    """Every message of the store, oldest first."""
    return list(store.disk.notifications.values())


async def test_record_mark_send_mark_in_this_order(clock: VirtualClock) -> None:
    """Each effect is durable before the next, so that a crash in between repeats at worst."""
    store = FakeStore()
    seen: list[Delivery] = []

    class Watching(FakeSender):
        async def send(self, notification: Notification) -> None:
            seen.append(stored(store)[0].delivery)
            await super().send(notification)

    sender = Watching(clock)
    commit(store, FIRED)
    async with outbox(store, sender, clock).opened() as box:
        await settle(box, clock)
    assert store.writes == ["commit", "record", "update sending", "update sent"]
    assert seen == [Delivery.SENDING]
    (message,) = stored(store)
    assert (message.delivery, message.attempts, message.sent_at) == (Delivery.SENT, 1, EPOCH)
    assert store.open_ids() == set()
    assert [s.notification.id for s in sender.accepted] == [message.id]
    assert message.text.endswith(f"ref: {message.id}")
    assert "not durable" not in message.text


async def test_a_failed_message_is_tried_again_under_its_id(clock: VirtualClock) -> None:
    """With waits that double, and the attempts counted durably."""
    store, sender = FakeStore(), FakeSender(clock, [Fail(), Fail(), Fail()])
    commit(store, FIRED)
    async with outbox(store, sender, clock).opened() as box:
        await settle(box, clock, until=EPOCH + 600)
    times = [s.at - EPOCH for s in sender.attempts]
    gaps = [b - a for a, b in pairwise(times)]
    identity = sender.attempts[0].notification.id
    assert gaps == [pytest.approx(retry_delay(identity, n)) for n in (1, 2, 3)]
    assert {s.notification.id for s in sender.attempts} == {identity}
    assert (stored(store)[0].attempts, stored(store)[0].delivery) == (4, Delivery.SENT)


def test_waits_between_attempts_double_up_to_five_minutes_with_jitter() -> None:
    """The same for the same message, different between messages, never more than the longest."""
    waits = [retry_delay("a", n) for n in range(1, 40)]
    assert all(FIRST_RETRY * 0.5 <= waits[0] <= FIRST_RETRY for _ in [0])
    assert all(w <= LONGEST_RETRY for w in waits)
    assert waits[20] >= LONGEST_RETRY * 0.5
    assert waits == [retry_delay("a", n) for n in range(1, 40)]
    assert len({retry_delay(str(i), 1) for i in range(50)}) > 25


async def test_what_the_target_asks_for_is_honoured_for_all_its_messages(clock: VirtualClock) -> None:
    """Retry-After holds back a fresh page of another alert too; more than an hour is not believed."""
    store, sender = FakeStore(), FakeSender(clock, [Fail(retry_after=90), Fail(retry_after=1e9)])
    commit(store, FIRED)
    async with outbox(store, sender, clock).opened() as box:
        await box.step()
        commit(store, channel("other"))
        await settle(box, clock, until=EPOCH + 80)
        assert len(sender.attempts) == 1
        await settle(box, clock, until=EPOCH + 91)
        assert [s.at - EPOCH for s in sender.attempts] == [0, 90]
        await settle(box, clock, until=EPOCH + 90 + 3600 + 300)
    assert sender.attempts[2].at - EPOCH == 90 + 3600
    assert len(sender.accepted) == 2


async def test_a_refused_message_is_given_up_loudly_and_the_next_goes_on(clock: VirtualClock) -> None:
    """No retry can help: recorded, counted and logged as an error; the alert's end is still sent."""
    store, sender = FakeStore(), FakeSender(clock, [Fail(permanent=True)])
    commit(store, FIRED)
    with structlog.testing.capture_logs() as logs:
        async with outbox(store, sender, clock).opened() as box:
            await settle(box, clock)
            commit(store, ENDED)
            await settle(box, clock)
            stats = box.stats()
    assert [m.delivery for m in stored(store)] == [Delivery.REFUSED, Delivery.SENT]
    assert (stats.refused, stats.sent, stats.expired, stats.failed) == (1, 1, 0, {"error": 1, "deadline": 0})
    (entry,) = [e for e in logs if e["log_level"] == "error"]
    assert (entry["event"], entry["outcome"], entry["id"]) == ("message_undeliverable", "refused", stored(store)[0].id)


async def test_a_message_too_old_is_given_up_loudly(clock: VirtualClock) -> None:
    """After `give_up_after` it is expired, never silently kept or lost."""
    store, sender = FakeStore(), FakeSender(clock, default=Fail())
    commit(store, FIRED)
    async with outbox(store, sender, clock, give_up_after=3600).opened() as box:
        await settle(box, clock, until=EPOCH + 3599)
        assert stored(store)[0].delivery is Delivery.QUEUED
        assert (box.stats().open, box.stats().oldest_age > 3000) == (1, True)
        await settle(box, clock, until=EPOCH + 4200)
        stats = box.stats()
    assert stored(store)[0].delivery is Delivery.EXPIRED
    assert (stats.expired, stats.open, stats.oldest_age) == (1, 0, 0.0)


async def test_an_end_never_overtakes_its_beginning(clock: VirtualClock) -> None:
    """However long the beginning fails; both arrive, in order."""
    store, sender = FakeStore(), FakeSender(clock, [Fail()] * 6)
    commit(store, FIRED)
    async with outbox(store, sender, clock).opened() as box:
        await settle(box, clock)
        commit(store, ENDED)
        await settle(box, clock, until=EPOCH + 3600)
    assert [s.notification.kind for s in sender.accepted] == ["firing", "resolved"]
    assert [s.notification.kind for s in sender.attempts] == ["firing"] * 7 + ["resolved"]


async def test_one_alerts_failures_hold_up_no_other_alert(clock: VirtualClock) -> None:
    """A fresh page goes before the retries of older ones."""
    store, sender = FakeStore(), FakeSender(clock, [Fail()])
    commit(store, FIRED)
    async with outbox(store, sender, clock).opened() as box:
        await settle(box, clock)
        commit(store, channel("other"))
        await settle(box, clock)
        assert [s.notification.alerts[0] for s in sender.accepted] == [channel("other").alert_id]
        await settle(box, clock, until=EPOCH + 60)
    assert len(sender.accepted) == 2


async def test_a_fresh_page_does_not_queue_behind_retries(clock: VirtualClock) -> None:
    """All are due at once: the one that was never tried goes first."""
    store, sender = FakeStore(), FakeSender(clock, [Fail()] * 3)
    async with outbox(store, sender, clock).opened() as box:
        for name in "abc":
            commit(store, channel(name))
            await settle(box, clock)
        await sleep(clock, 60)
        commit(store, channel("fresh"))
        await settle(box, clock)
    assert sender.accepted[0].notification.alerts[0] == channel("fresh").alert_id
    assert len(sender.accepted) == 4


async def test_while_a_target_is_down_only_so_many_messages_are_written(clock: VirtualClock) -> None:
    """The rest stays open in the store, where beginning and end become one message."""
    store, sender = FakeStore(), FakeSender(clock, default=Fail())
    async with outbox(store, sender, clock).opened() as box:
        for number in range(MAX_QUEUED + 20):
            commit(store, channel(str(number)))
            await box.step()
        assert len(stored(store)) == MAX_QUEUED
        assert len(store.open_ids()) == 20
        late = [channel(str(n), R, 2) for n in range(MAX_QUEUED, MAX_QUEUED + 20)]
        commit(store, *late)
        sender.default = Accept()
        await settle(box, clock, until=EPOCH + 900)
    assert store.open_ids() == set()
    assert [m.kind for m in stored(store)][MAX_QUEUED:] == ["was_firing"]


async def test_a_hung_attempt_is_in_flight_until_it_returns(clock: VirtualClock) -> None:
    """No retry beside it, its late success counts, and only then the alert's end goes."""
    store, sender = FakeStore(), FakeSender(clock, [Accept(delay=300)])
    commit(store, FIRED)
    async with outbox(store, sender, clock).opened() as box:
        await box.step()
        assert clock.now() == EPOCH + 20
        assert (box.stats().hung, box.stats().in_flight, box.stats().failing_since is not None) == (1, 1, True)
        commit(store, ENDED)
        await settle(box, clock)
        assert len(sender.attempts) == 1
        await sleep(clock, 281)
        await settle(box, clock)
        stats = box.stats()
    assert [s.notification.kind for s in sender.accepted] == ["firing", "resolved"]
    assert [m.attempts for m in stored(store)] == [1, 1]
    assert (stats.failed["deadline"], stats.sent, stats.hung, stats.failing_since is not None) == (1, 2, 0, False)


async def test_a_hung_attempt_that_fails_in_the_end_is_tried_again(clock: VirtualClock) -> None:
    """Only after its thread returned."""
    store, sender = FakeStore(), FakeSender(clock, [Fail(delay=300)])
    commit(store, FIRED)
    async with outbox(store, sender, clock).opened() as box:
        await settle(box, clock)
        await sleep(clock, 290)
        await settle(box, clock, until=EPOCH + 400)
    assert [s.at - EPOCH > 300 for s in sender.attempts] == [False, True]
    assert sender.at_once == 1


async def test_hung_attempts_hold_up_other_alerts_for_the_deadline_only(clock: VirtualClock) -> None:
    """Up to a bound; beyond it the target is stuck until one returns, and says so."""
    store, sender = FakeStore(), FakeSender(clock, [Hang(), Hang(), Hang()])
    async with outbox(store, sender, clock).opened() as box:
        for name in "abcd":
            commit(store, channel(name))
            await settle(box, clock)
        assert [s.at - EPOCH for s in sender.attempts] == [0, 20, 40, 60]
        assert len(sender.accepted) == 1
        sender.script.append(Accept(delay=3600))
        for name in "ef":
            commit(store, channel(name))
            await settle(box, clock)
        assert (len(sender.attempts), box.stats().hung) == (5, MAX_ATTEMPTS_AT_ONCE)
        await sleep(clock, 3600)
        await settle(box, clock)
        assert len(sender.accepted) == 3
    assert sender.at_once == MAX_ATTEMPTS_AT_ONCE


async def test_a_target_that_hangs_for_an_hour_delays_no_other(clock: VirtualClock) -> None:
    """Each has its own task, so the other's page leaves at once."""
    store = FakeStore()
    slow, quick = FakeSender(clock, default=Accept(delay=3600)), FakeSender(clock)
    async with anyio.create_task_group() as tasks:
        boxes = [outbox(store, slow, clock, target="slow"), outbox(store, quick, clock, target="quick")]
        for box in boxes:
            tasks.start_soon(box.run)
        for minute in range(10):
            commit(store, channel(str(minute)), target="slow")
            commit(store, channel(str(minute)), target="quick")
            for box in boxes:
                box.wake()
            await sleep(clock, 60)
        waits = [(s.accepted_at or 0.0) - s.notification.created_at for s in quick.accepted]
        assert (len(waits), max(waits)) == (10, 0.0)
        assert slow.accepted == []
        tasks.cancel_scope.cancel()


async def test_groups_wait_as_their_route_says(clock: VirtualClock) -> None:
    """First page at once, the rest in a digest an interval later."""
    store, sender = FakeStore(), FakeSender(clock)
    async with outbox(store, sender, clock, timing=Timing(interval=60)).opened() as box:
        for name in "abc":
            commit(store, channel(name))
            await settle(box, clock)
            await sleep(clock, 10)
        await settle(box, clock, until=EPOCH + 61)
    assert [(s.at - EPOCH, len(s.notification.alerts)) for s in sender.accepted] == [(0, 1), (60, 2)]


async def test_what_was_taken_back_before_it_was_said_is_dropped_with_its_reason(clock: VirtualClock) -> None:
    """Beginning and correction both, in the record."""
    store, sender = FakeStore(), FakeSender(clock)
    commit(store, FIRED, transition(State.INACTIVE, 0, seq=2, retracts=0))
    async with outbox(store, sender, clock).opened() as box:
        await settle(box, clock)
        assert {r: n for r, n in box.stats().dropped.items() if n} == {"superseded": 2}
    assert set(store.disk.dropped.values()) == {"superseded"}
    assert sender.attempts == []


@pytest.mark.parametrize("delivery", [Delivery.QUEUED, Delivery.SENDING])
async def test_after_a_restart_what_was_not_finished_is_sent_again_under_its_id(
    clock: VirtualClock, delivery: Delivery
) -> None:
    """Whether it was queued or its outcome is unknown; and before the alert's end."""
    store, sender = FakeStore(), FakeSender(clock)
    commit(store, FIRED)
    store.kill_at_write({Delivery.QUEUED: 0, Delivery.SENDING: 1}[delivery], after_effect=True)
    with pytest.raises(ExceptionGroup) as caught:
        async with outbox(store, sender, clock).opened() as box:
            await settle(box, clock)
    assert caught.group_contains(Killed)
    assert stored(store)[0].delivery is delivery
    store = store.reopened()
    commit(store, ENDED)
    async with outbox(store, sender, clock).opened() as box:
        await settle(box, clock)
    assert [s.notification.kind for s in sender.accepted] == ["firing", "resolved"]
    assert sender.accepted[0].notification.id == stored(store)[0].id


@pytest.mark.parametrize("accepted", [False, True])
async def test_a_crash_during_the_send_repeats_it_under_its_id(clock: VirtualClock, accepted: bool) -> None:
    """At least once: twice where the target had accepted it, and then recognisable as the same."""
    store = FakeStore()
    sender = FakeSender(clock, [Die(store, accepted)])
    commit(store, FIRED)
    with pytest.raises(ExceptionGroup):
        async with outbox(store, sender, clock).opened() as box:
            await settle(box, clock)
    store = store.reopened()
    async with outbox(store, sender, clock).opened() as box:
        await settle(box, clock)
    assert len(sender.accepted) == (2 if accepted else 1)
    assert len({s.notification.id for s in sender.attempts}) == 1
    assert stored(store)[0].delivery is Delivery.SENT


async def test_the_log_speaks_once_per_change(clock: VirtualClock) -> None:
    """A target that fails six times is one warning and one recovery."""
    store, sender = FakeStore(), FakeSender(clock, [Fail()] * 6)
    commit(store, FIRED)
    with structlog.testing.capture_logs() as logs:
        async with outbox(store, sender, clock).opened() as box:
            await settle(box, clock, until=EPOCH + 3600)
    assert [e["event"] for e in logs] == ["message_queued", "target_failing", "target_recovered"]


@asynccontextmanager
async def running(box: Outbox) -> AsyncIterator[Outbox]:
    """The box runs beside the test, and is cancelled at its end."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(box.run)
        yield box
        tasks.cancel_scope.cancel()


async def test_drain_finishes_what_is_in_flight_and_leaves_the_rest_in_the_store(clock: VirtualClock) -> None:
    """It returns as soon as that is done; nothing new is started."""
    store, sender = FakeStore(), FakeSender(clock, default=Accept(delay=3))
    async with running(outbox(store, sender, clock)) as box:
        commit(store, FIRED)
        box.wake()
        await sleep(clock, 1)
        commit(store, channel("other"))
        await box.drain(10)
        assert clock.now() == EPOCH + 3
        await sleep(clock, 60)
    assert [m.delivery for m in stored(store)] == [Delivery.SENT]
    assert len(store.open_ids()) == 1


async def test_drain_gives_up_at_its_deadline(clock: VirtualClock) -> None:
    """A hung target does not keep the process; its message is sent again after the start."""
    store, sender = FakeStore(), FakeSender(clock, default=Hang())
    async with running(outbox(store, sender, clock)) as box:
        commit(store, FIRED)
        box.wake()
        await sleep(clock, 1)
        await box.drain(10)
        assert clock.now() == EPOCH + 11
    assert stored(store)[0].delivery is Delivery.SENDING


async def test_drain_of_an_idle_box_returns_at_once(clock: VirtualClock) -> None:
    """There is nothing to wait for."""
    async with running(outbox(FakeStore(), FakeSender(clock), clock)) as box:
        await sleep(clock, 1)
        await box.drain(10)
        assert clock.now() == EPOCH + 1


async def test_a_running_box_wakes_by_itself_and_when_told(clock: VirtualClock) -> None:
    """For a retry by the clock, for news by `wake`."""
    store, sender = FakeStore(), FakeSender(clock, [Fail()])
    async with running(outbox(store, sender, clock)) as box:
        await sleep(clock, 5)
        commit(store, FIRED)
        box.wake()
        await sleep(clock, 10)
        assert len(sender.attempts) == 2
        assert sender.attempts[0].at == EPOCH + 5


@pytest.mark.parametrize("after", [0.0, 0.5, 1.0, 1.5, 2.0, 25.0])
async def test_cancelled_at_any_stage_the_next_process_goes_on(clock: VirtualClock, after: float) -> None:
    """Before, during and after an attempt, also a hung one: nothing is lost, and nothing that was noted is repeated."""
    store, sender = FakeStore(), FakeSender(clock, [Accept(delay=1), Accept(delay=40)])
    commit(store, FIRED)
    with anyio.move_on_after(after):
        await outbox(store, sender, clock).run()
    noted = {m.id for m in stored(store) if m.delivery is Delivery.SENT}
    before = len(sender.attempts)
    commit(store, ENDED)
    async with outbox(store, sender, clock).opened() as box:
        await settle(box, clock)
        await sleep(clock, 50)
        await settle(box, clock)
    assert store.open_ids() == set()
    assert {m.delivery for m in stored(store)} == {Delivery.SENT}
    assert not noted & {s.notification.id for s in sender.attempts[before:]}
    said = [o for s in sender.accepted for o in s.notification.obligations]
    assert sorted(set(said), key=said.index) == [f"{FIRED.alert_id}-1-slack", f"{FIRED.alert_id}-2-slack"]


async def test_success_is_noted_even_if_cancelled_just_then(clock: VirtualClock) -> None:
    """The note is shielded for a moment, since losing it would repeat the message."""
    store = FakeStore()

    class Cancelling(FakeSender):
        async def send(self, notification: Notification) -> None:
            await super().send(notification)
            scope.cancel()

    sender = Cancelling(clock)
    commit(store, FIRED)
    with anyio.CancelScope() as scope:
        await outbox(store, sender, clock, workers=SlowWorkers(clock, 1.0)).run()
    assert stored(store)[0].delivery is Delivery.SENT


async def test_a_clock_stepped_back_does_not_put_off_a_retry_for_ever(clock: VirtualClock) -> None:
    """A wait longer than any that is given out is no wait."""
    store, sender = FakeStore(), FakeSender(clock, [Fail()])
    commit(store, FIRED)
    async with outbox(store, sender, VirtualClock(epoch=EPOCH + 86_400, jumping=True)).opened() as box:
        await box.step()
    async with outbox(store, sender, clock).opened() as box:
        await settle(box, clock)
    assert len(sender.accepted) == 1
