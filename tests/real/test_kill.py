"""kill -9 and restart at seeded instants of a virtual day: nothing over quota, no page lost (invariants 1, 2 and 5).

Emulator and targets live in the test's process and share a clock with the daemon's, which is a real process that is
really killed. At rate 300 a day takes five minutes; `make test` runs the short form.
"""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import anyio
import pytest
import yaml
from anyio.abc import TaskStatus
from starlette.applications import Starlette

from tests.app import world
from tests.app.observer import observe
from tests.conftest import EPOCH
from tests.real.processes import free_port, running
from tests.real.sink import sink
from watcher.app.report import episodes
from watcher.clock import DAY, HOUR, VirtualClock, rfc3339
from watcher.emulator.agora import build_agora
from watcher.emulator.scenario import reads
from watcher.httpserver import serve
from watcher.store import open_readonly

RATE = 300.0
START = EPOCH + 6 * HOUR
PROJECTS = [
    {
        "name": "classroom",
        "app_id": world.APP_ID,
        "signals": ["users", "video_freeze_ratio", "audio_freeze_ratio", "network_delay_ratio", "join_success_ratio"],
    }
]


def incidents(dice: random.Random, *, hours: float) -> list[dict[str, Any]]:
    """One incident per twenty minutes, each of five to fifteen minutes, from well after the start."""
    names = {"videoFreezeRate": "14%", "audioFreezeRate": "9%", "joinSuccessRate": "80%"}
    found = []
    for i in range(int(hours * 3)):
        name = dice.choice(sorted(names))
        start = START - EPOCH + (i + dice.uniform(0.1, 0.5)) * 1200
        product = dice.choice(["Native", "WebRTC"])
        if name == "audioFreezeRate":
            product = "Native"
        found.append(world.incident(start, dice.uniform(5, 15), product, **{name: names[name]}))
    return found


async def campaign(folder: Path, *, hours: float, kills: int, seed: int) -> dict[str, Any]:
    """Run for so many virtual hours with so many kills; what the vendor, the targets and the state say of it."""
    dice = random.Random(seed)
    started = time.monotonic()
    clock = VirtualClock(epoch=START, rate=RATE, started=started)
    tale = world.scenario(incidents=incidents(dice, hours=hours - 1.5))
    emulator = build_agora(reads(yaml.safe_dump(tale), epoch=EPOCH), clock)
    async with sink() as hook, anyio.create_task_group() as tasks:
        vendor = await tasks.start(_serve_vendor, emulator.app)
        data = world.config(folder, projects=PROJECTS)
        data["accounts"][0]["base_urls"] = [f"http://127.0.0.1:{vendor}", f"http://localhost:{vendor}"]
        data["targets"] = {"pager": f"json://127.0.0.1:{hook.port}/", "mail": f"json://127.0.0.1:{hook.port}/"}
        data["http"] = {"listen": f"127.0.0.1:{free_port()}"}
        (folder / "config.yaml").write_text(yaml.safe_dump(data))
        words = ["run", "-c", "config.yaml", "--virtual-clock", f"{START},{RATE},{started!r}"]
        instants = sorted(START + dice.uniform(0.02, 0.85) * hours * HOUR for _ in range(kills))
        for instant in instants:
            with running(words, folder=folder) as process:
                await clock.sleep_until(instant)
                assert process.poll() is None, "the daemon ended by itself"
                process.kill()
        with running(words, folder=folder) as process:
            await clock.sleep_until(START + hours * HOUR)
            assert process.poll() is None, "the daemon ended by itself"
        report = emulator.report()
        tasks.cancel_scope.cancel()
    reader = open_readonly(f"sqlite:///{folder}/state.db")
    found = episodes(reader.transitions(), reader.notifications(0.0), {o.id: o for o in reader.obligations()})
    gaps = reader.gaps(0.0)
    notifications = reader.notifications(0.0)
    reader.close()
    late = VirtualClock(epoch=START + hours * HOUR)
    fired, _ = await observe(clock=late, folder=folder, story=tale, epoch=EPOCH, since=START - HOUR, data=data)
    return {
        "quotas": report["quotas"],
        "episodes": found,
        "gaps": gaps,
        "hook": hook,
        "notifications": notifications,
        "fired": {f for f in fired if START <= f[2] < START + (hours - 1) * HOUR},
    }


async def _serve_vendor(app: Starlette, *, task_status: TaskStatus[int]) -> None:
    await serve(app, host="127.0.0.1", port=0, date_header=False, task_status=task_status)


def judge(result: dict[str, Any], *, kills: int) -> None:
    """Invariants 1, 2 and 5 by the counts of everyone but the daemon."""
    for row in result["quotas"]:
        assert row["refused"] == 0, row
        assert row["spent"] < row["limit"], row
    paged = {
        (e.rule, tuple(sorted(e.labels.items())), e.fired_at) for e in result["episodes"] if e.notified_at is not None
    }
    missed = result["fired"] - paged
    assert result["fired"], "a campaign without incidents proves nothing"
    assert not missed, sorted((rule, rfc3339(at)) for rule, _, at in missed)
    received = result["hook"].references()
    sent = {n.id for n in result["notifications"] if n.sent_at is not None}
    assert sent <= set(received)
    assert len(received) - len(set(received)) <= kills * 2, "only what was in flight may come twice"
    print(
        f"{kills} kills: {sum(r['refused'] for r in result['quotas'])} refused, {len(result['fired'])} fired, "
        f"{len(missed)} missed, {len(received)} messages received, {len(received) - len(set(received))} of them twice, "
        f"{len(result['gaps'])} gaps"
    )


@pytest.mark.serial
@pytest.mark.timeout(180)
async def test_kills_in_three_hours(tmp_path: Path) -> None:
    """Six kills in three virtual hours: nothing over quota, no page lost, repeats only with the same id.

    Alone, since a real second is five minutes here: starts on a busy machine take longer than the vendor looks back.
    """
    judge(await campaign(tmp_path, hours=3, kills=6, seed=3), kills=6)


@pytest.mark.soak
@pytest.mark.timeout(900)
async def test_fifty_kills_in_a_day(tmp_path: Path) -> None:
    """Fifty kills across the UTC day boundary: nothing over quota, no page lost."""
    judge(await campaign(tmp_path, hours=DAY / HOUR, kills=50, seed=50), kills=50)
