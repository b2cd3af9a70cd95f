"""Days in the whole program: what a rule needs of Data Insights comes in time, through a quota of two a minute."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from tests.app import world
from tests.conftest import EPOCH
from watcher.app.daemon import Daemon
from watcher.clock import DAY, HOUR, VirtualClock
from watcher.metrics import render

# the example of docs/agora.md, at a level that a healthy day exceeds, and a peak whose spelling is not known
RULES = """
rules:
  - alert: FreezesOfTheDay
    signal: daily_video_freeze_ratio
    where: {provider: agora}
    when: {last: 1, above: 0.5%}
    require: {daily_users: {above: 100}}
    severity: critical
    summary: "{{ value | percent }} frozen"
  - alert: BusyDay
    signal: daily_peak_users
    when: {last: 1, above: 100}
    severity: critical
    summary: "{{ value }} at once"
"""


def shown(daemon: Daemon) -> list[float]:
    """The ends of the days on /metrics."""
    lines = render(daemon.snapshot()).decode().splitlines()
    told = [line for line in lines if line.startswith("watcher_daily_") and "_timestamp_seconds{" in line]
    return [float(round(float(line.rpartition(" ")[2]))) for line in told]


@pytest.mark.parametrize(("plan", "delay"), [("premium", 12 * HOUR), ("enterprise", 6 * HOUR)])
async def test_a_page_on_days(tmp_path: Path, clock: VirtualClock, plan: str, delay: int) -> None:
    """Every product's day is judged with the users beside it; yesterday is read, and no series vanishes before."""
    story = world.scenario(plan=plan)
    story["accounts"][0]["answers"]["peaks"] = "current"
    here = world.World(clock=clock, folder=tmp_path, story=story, epoch=EPOCH)
    daemon = here.daemon(world.config(tmp_path, plan=plan, rules_text=RULES))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(daemon.run)
        await clock.sleep_until(EPOCH + 600)
        report = await daemon.report()
        await clock.sleep_until(EPOCH + delay - 1)
        before = shown(daemon)
        await clock.sleep_until(EPOCH + 13 * HOUR)
        meanwhile = shown(daemon)
        await clock.sleep_until(EPOCH + 15 * HOUR)
        after = shown(daemon)
        await daemon.stop()
    assert {(a["rule"], a["labels"].get("product")) for a in report["alerts"]} == {
        ("FreezesOfTheDay", "daily Native"), ("FreezesOfTheDay", "daily WebRTC"), ("BusyDay", None)
    }  # fmt: skip
    assert not any("unguarded" in sending.notification.text for sending in here.senders["pager"].accepted)
    assert before == [EPOCH - DAY] * 4  # the end of the day before yesterday
    assert len(meanwhile) == 4  # nothing vanishes while the next day is not due
    assert after == [EPOCH] * 4
    assert here.refused() == 0
