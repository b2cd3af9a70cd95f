"""What a long-lived daemon meets: a clock that is set back, a target that is renamed, a record that contradicts."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import anyio
import pytest

from tests.alerts.fakes import Fail
from tests.app import world
from tests.conftest import EPOCH
from watcher import clock as clocks
from watcher.alerts.reasons import Dropped
from watcher.app.daemon import Daemon
from watcher.app.sight import Sight
from watcher.clock import HOUR, Clock, VirtualClock, sleep
from watcher.errors import StoreError
from watcher.model import Delivery
from watcher.store import open_readonly
from watcher.workers import StoreWorkers, ThreadWorkers

FREEZE = {"videoFreezeRate": "14%"}


class StepClock:
    """The machine's clock as somebody sets it: `shift` moves the wall, monotonic time goes on."""

    rate = 1.0
    virtual = True

    def __init__(self, inner: VirtualClock) -> None:
        self._inner = inner
        self.shift = 0.0

    def now(self) -> float:
        return self._inner.now() + self.shift

    def monotonic(self) -> float:
        return self._inner.monotonic()

    async def sleep_until(self, at: float) -> None:
        await clocks._sleep_until(self, at)


_: type[Clock] = StepClock


@pytest.mark.parametrize("step", [-7200.0, -60.0, 90.0, 7200.0])
async def test_a_clock_that_is_set_loses_no_window_and_no_page(tmp_path: Path, step: float) -> None:
    """The wall is moved by seconds or hours: looks go on, the incident after it is paged, no window is lost.

    At noon: within the step's length of midnight, yesterday's full day may count until the vendor's next answer.
    """
    clock = VirtualClock(epoch=EPOCH + 12 * HOUR, jumping=True)
    tale = world.scenario(plan="premium", incidents=[world.incident(14 * HOUR, 20, "Native", **FREEZE)])
    here = world.World(clock=clock, folder=tmp_path, story=tale, epoch=EPOCH)
    wall = StepClock(clock)
    data = world.config(tmp_path, plan="premium")
    daemon = Daemon(
        config=world.built(data, tmp_path), clock=wall, transports={"acme": here.wire}, senders=here.sender
    )  # fmt: skip
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(daemon.run)
        await sleep(clock, HOUR)
        wall.shift = step
        await sleep(clock, 3 * HOUR)
        report = await daemon.report()
        await daemon.stop()
    assert report["points"]["lost"] == 0
    assert [(a["rule"], a["notified_at"] is not None) for a in report["alerts"]] == [("VideoFreezing", True)]
    assert here.refused() == 0


async def test_a_renamed_target_inherits_what_still_fires(tmp_path: Path, clock: VirtualClock) -> None:
    """The pager's URL was broken and is replaced under another name: the page reaches the new, the old is closed."""
    tale = world.scenario(incidents=[world.incident(600, 300, "Native", **FREEZE)])
    here = world.World(clock=clock, folder=tmp_path, story=tale, epoch=EPOCH)
    data = world.config(tmp_path) | {"targets": {"pager": "json://pager.invalid/"}, "routes": [{"to": ["pager"]}]}
    here.sender("pager", None).default = Fail()
    first = await here.live(data, HOUR)
    assert first["alerts"][0]["notified_at"] is None
    data |= {"targets": {"slack": "json://slack.invalid/"}, "routes": [{"to": ["slack"]}], "operators": ["slack"]}
    second = await here.live(data, HOUR)
    assert second["alerts"][0]["delivered_to"] == ["slack"]
    reader = open_readonly(f"sqlite:///{tmp_path}/state.db")
    old = [n for n in reader.notifications(0.0) if n.target == "pager"]
    reader.close()
    assert {(n.delivery, n.error) for n in old} == {(Delivery.EXPIRED, Dropped.TARGET_REMOVED)}


async def test_an_alert_whose_memory_is_unreadable_stops_nobody(tmp_path: Path, clock: VirtualClock) -> None:
    """Its numbers begin again and contradict the log: that step is given up, the rest is recorded, and pages go on."""
    tale = world.scenario(
        incidents=[world.incident(600, 20, "Native", **FREEZE), world.incident(4 * HOUR, 20, "Native", **FREEZE)]
    )
    here = world.World(clock=clock, folder=tmp_path, story=tale, epoch=EPOCH)
    data = world.config(tmp_path)
    await here.live(data, HOUR)
    with sqlite3.connect(tmp_path / "state.db") as state:
        state.execute("UPDATE alerts SET body = '{\"v\": 99}'")
    state.close()
    told = len(here.senders["pager"].accepted)
    daemon = here.daemon(data)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(daemon.run)
        await sleep(clock, 5 * HOUR)
        snapshot = daemon.snapshot()
        await daemon.stop()
    assert len(here.senders["pager"].accepted) > told
    covered = [at for account in snapshot.accounts for at in account.covered_at.values() if at is not None]
    assert min(covered) > clock.now() - HOUR
    reader = open_readonly(f"sqlite:///{tmp_path}/state.db")
    assert max(reader.covered().values()) > clock.now() - HOUR
    reader.close()


def test_silence_of_any_cause_is_blindness() -> None:
    """Nobody failed and nobody looked: data far older than promised is reason enough to page the operators."""
    eye = Sight(account="acme", provider="agora", queries=2)
    eye.stale(True, EPOCH)
    view = eye.view()
    assert view.blind_since == EPOCH
    assert view.failed_looks >= 2
    assert "no answer" in view.detail
    eye.stale(False, EPOCH + 60)
    assert eye.reason() is None


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_disk_that_hangs_is_a_store_that_fails() -> None:
    """A call that does not return is given up after a while, and so are those behind it."""
    import threading

    release = threading.Event()
    workers = StoreWorkers(ThreadWorkers(1), patience=0.1)
    for _call in range(2):
        with pytest.raises(StoreError, match="did not answer"):
            await workers.run(lambda: release.wait(10))
    release.set()
    assert await StoreWorkers(ThreadWorkers(1), patience=5.0).run(lambda: 7) == 7
