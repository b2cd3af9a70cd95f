"""The share of time that was observed, as the metrics count it."""

from __future__ import annotations

from pathlib import Path

import anyio

from tests.app import world
from tests.conftest import EPOCH
from watcher.clock import HOUR, VirtualClock, sleep
from watcher.store import open_readonly


def covered(folder: Path) -> dict[str, int]:
    """Up to where each query is covered, by the state."""
    reader = open_readonly(f"sqlite:///{folder}/state.db")
    found = dict(reader.covered())
    reader.close()
    return found


async def test_every_window_is_counted_once(clock: VirtualClock, tmp_path: Path) -> None:
    """Looks overlap, since the newest windows may still change; the count is of windows, not of answers."""
    town = world.World(clock=clock, folder=tmp_path, story=world.scenario(), epoch=EPOCH)
    data = world.config(tmp_path)
    await town.live(data, HOUR)
    before = covered(tmp_path)
    daemon = town.daemon(data)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(daemon.run)
        await sleep(clock, HOUR)
        (account,) = daemon.snapshot().accounts
        await daemon.stop()
    after = covered(tmp_path)
    assert account.windows_lost == 0
    assert account.windows_covered == sum((after[q] - before[q]) // 20 for q in after) > 0
    assert set(account.age_limits) == set(after)
