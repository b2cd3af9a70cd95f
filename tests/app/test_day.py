"""A virtual day against the emulator, by the numbers of the main job (invariants 1, 2 and 3, end to end)."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from tests.app import world
from tests.app.observer import Fired, observe
from tests.conftest import EPOCH
from watcher.app.report import Report
from watcher.clock import DAY, HOUR, VirtualClock, rfc3339

THIRTEEN = [{"name": "classroom", "app_id": world.APP_ID, "signals": list(world.ALL_SIGNALS)}]
NINE = [
    {
        "name": "classroom",
        "app_id": world.APP_ID,
        "signals": [
            "users", "video_freeze_ratio", "audio_freeze_ratio", "network_delay_ratio", "join_success_ratio"
        ],
    }
]  # fmt: skip


def story(*, plan: str, seed: int, incidents: int = 10, **more: Any) -> dict[str, Any]:
    """A day with incidents of 1 to 40 minutes, some touching several signals, at seeded instants."""
    dice = random.Random(seed)
    levels = {
        "videoFreezeRate": "12%",
        "audioFreezeRate": "9%",
        "networkDelay": "22%",
        "joinSuccessRate": "80%",
    }
    planned = []
    for _ in range(incidents):
        names = dice.sample(sorted(levels), k=dice.choice([1, 1, 2, 3]))
        planned.append(
            world.incident(
                dice.uniform(0.02, 0.97) * DAY,
                dice.uniform(1, 40),
                dice.choice(["Native", "WebRTC"]),
                **{name: levels[name] for name in names},
            )
        )
    return world.scenario(plan=plan, incidents=planned, **more)


def paged(report: Report) -> set[tuple[str, tuple[tuple[str, str], ...], str]]:
    """Rule, labels, fired_at of what was paged."""
    return {
        (a["rule"], tuple(sorted(a["labels"].items())), a["fired_at"])
        for a in report["alerts"]
        if a["notified_at"] is not None
    }


def due(fired: set[Fired], until: float) -> set[tuple[str, tuple[tuple[str, str], ...], str | None]]:
    """What must have been paged for by the end of the day: what was visible long enough before it."""
    return {(rule, labels, rfc3339(at)) for rule, labels, at in fired if at < until}


@pytest.mark.parametrize(("plan", "projects", "slack"), [("premium", NINE, 2400), ("enterprise", THIRTEEN, 1200)])
async def test_a_day_inside_the_budget(
    tmp_path: Path, clock: VirtualClock, plan: str, projects: Any, slack: int
) -> None:
    """Nine queries on Premium, thirteen on Enterprise: nothing refused, no window lost, every page sent."""
    tale = story(plan=plan, seed=1)
    data = world.config(tmp_path, plan=plan, projects=projects, affected={})
    here = world.World(clock=clock, folder=tmp_path, story=tale, epoch=EPOCH)
    report = await here.live(data, DAY)
    assert here.refused() == 0
    assert report["points"]["lost"] == 0
    fired, _ = await observe(clock=clock, folder=tmp_path, story=tale, epoch=EPOCH, since=EPOCH, data=data)
    wanted = due(fired, EPOCH + DAY - slack)
    assert len(wanted) >= 8
    assert wanted <= paged(report)
    assert {p for p in paged(report) if p[2] >= (rfc3339(EPOCH) or "")} <= due(fired, EPOCH + 2 * DAY)
    for row in report["requests"]:
        assert row["spent"] < row["limit"]


async def test_an_hour_pages_and_resolves(tmp_path: Path, clock: VirtualClock) -> None:
    """One incident: one page and one resolve for each routed target, with numbers in their unit and a reference."""
    tale = world.scenario(incidents=[world.incident(1200, 12, "Native", videoFreezeRate="14%")])
    here = world.World(clock=clock, folder=tmp_path, story=tale, epoch=EPOCH)
    report = await here.live(world.config(tmp_path), HOUR)
    [alert] = report["alerts"]
    assert alert["rule"] == "VideoFreezing"
    assert sorted(alert["delivered_to"]) == ["mail", "pager"]
    for target in ("mail", "pager"):
        firing, resolved = here.senders[target].accepted
        assert firing.notification.title == "[FIRING] VideoFreezing: classroom, Native"
        assert ", limit 5%" in firing.notification.text
        assert f"ref: {firing.notification.id}" in firing.notification.text
        assert resolved.notification.title == "[RESOLVED] VideoFreezing: classroom, Native"


async def test_every_window_is_fetched(tmp_path: Path, clock: VirtualClock) -> None:
    """By the emulator's own record, each query's slots were handed out without a hole."""
    here = world.World(clock=clock, folder=tmp_path, story=story(plan="premium", seed=4), epoch=EPOCH)
    await here.live(world.config(tmp_path, plan="premium", projects=NINE), DAY / 4)
    handed: Any = here.emulator.report()["slots"]
    assert len(handed) == 9
    for row in handed:
        [[start, end]] = row["intervals"]
        assert start <= EPOCH
        assert end >= EPOCH + DAY / 4 - 2400
