"""The daemon's own troubles reach operators, and users' alerts that cannot be judged say so (design, invariant 11)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import watcher.rules.alert as alert_module
import watcher.rules.engine as engine_module
from tests.alerts.fakes import Accept, Act, Fail, Hang
from tests.app import town, world
from tests.app.town import START, Town
from watcher.app.troubles import Crashes
from watcher.clock import HOUR, MINUTE, VirtualClock
from watcher.rules.alert import Alert, Change


@pytest.fixture
def clock() -> VirtualClock:
    """Virtual time from noon on."""
    return VirtualClock(epoch=START, jumping=True)


def at(minutes: float) -> float:
    """So many minutes into the story."""
    return START + minutes * MINUTE


def freezing(clock: VirtualClock, folder: Path, **more: Any) -> Town:
    """Video of acme freezes from 20 min on, for five hours."""
    return Town(clock=clock, folder=folder, tale=town.story(incidents=[town.incident("classroom", 1200, 300)], **more))


def own(here: Town, rule: str) -> list[str]:
    """What operators heard of one of the daemon's own alerts: the state in each title."""
    return [title[1:].partition("]")[0] for _, title in here.told("ops") if rule in title]


@pytest.mark.parametrize("act", [Fail(), Hang()], ids=["refuses", "hangs"])
async def test_a_target_that_takes_nothing_is_an_operators_page(tmp_path: Path, clock: VirtualClock, act: Act) -> None:
    """Once, ten minutes in, across a restart; over when it takes a message again, and then nothing was lost."""
    here = freezing(clock, tmp_path)
    pager = here.sender("pager", None)
    pager.default = act
    data = town.config(tmp_path) | {"delivery": {"deadline": "1s"}}
    async with here.running(data):
        await clock.sleep_until(at(60))
        assert own(here, "WatcherTargetFailing") == ["FIRING"]
        (page,) = (sent for sent, title in here.told("ops") if "WatcherTargetFailing" in title)
        assert pager.attempts[0].at + 600 <= page <= pager.attempts[0].at + 660
    async with here.running(data):
        await clock.sleep_until(at(80))
        assert own(here, "WatcherTargetFailing") == ["FIRING"], "a restart neither repeats nor resolves it"
        if act == Fail():
            pager.default = Accept()
            await clock.sleep_until(at(100))
            assert own(here, "WatcherTargetFailing") == ["FIRING", "RESOLVED"]
            assert [s.notification.kind for s in pager.accepted] == ["firing"]


async def test_a_target_that_hangs_for_an_hour_delays_no_other(tmp_path: Path) -> None:
    """Another target hears of the same alerts at the same instants as in a run where nobody hangs."""
    heard: dict[bool, list[tuple[float, str]]] = {}
    for hangs in (False, True):
        folder = tmp_path / str(hangs)
        folder.mkdir()
        clock = VirtualClock(epoch=START, jumping=True)
        begun = clock.now()
        tale = town.story(incidents=[town.incident(project, 1200, 30) for project in ("classroom", "arena")])
        here = Town(clock=clock, folder=folder, tale=tale, epoch=begun)
        here.sender("pager", None).default = Hang() if hangs else Accept()
        data = town.config(folder) | {"routes": [{"to": ["pager"]}, {"to": ["ops"]}], "operators": ["pager"]}
        async with here.running(data | {"delivery": {"deadline": "1s"}}):
            await clock.sleep_until(begun + 85 * MINUTE)
        heard[hangs] = [(round(when - begun, 1), title) for when, title in here.told("ops")]
        assert here.told("pager") == [] or not hangs
    assert len(heard[True]) == 4
    assert heard[True] == heard[False]


async def test_a_rule_that_crashes_is_an_operators_page(
    tmp_path: Path, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names rule and account, its alerts stand as they were, and it is over once the rule is judged again."""
    judge = alert_module.judge

    def crash(alert: Alert, *args: Any, **kwargs: Any) -> list[Change]:
        if alert.rule.name == "VideoFreezing" and alert.series.account == "acme" and at(30) < clock.now() < at(90):
            raise ZeroDivisionError
        return judge(alert, *args, **kwargs)

    monkeypatch.setattr(engine_module, "judge", crash)
    here = freezing(clock, tmp_path)
    async with here.running(town.config(tmp_path)) as daemon:
        await clock.sleep_until(at(89))
        assert own(here, "WatcherRuleCrashed") == ["FIRING"]
        (summary,) = (a["summary"] for a in await world.firing(daemon) if a["rule"] == "WatcherRuleCrashed")
        assert summary.startswith("Rule VideoFreezing crashes on acme since 12:")
        await clock.sleep_until(at(130))
        assert own(here, "WatcherRuleCrashed") == ["FIRING", "RESOLVED"]
        (alert,) = (a for a in await world.firing(daemon) if a["rule"] == "VideoFreezing")
        assert alert["state"] == "firing", "it stands as it was"


async def test_alerts_of_an_account_that_is_not_seen_are_marked_not_cleared(
    tmp_path: Path, clock: VirtualClock
) -> None:
    """Their repeats say since when they cannot be judged, so does the API, and both stop when the account is seen."""
    here = freezing(clock, tmp_path)
    data = town.config(tmp_path)
    data["routes"] = [{"to": ["pager"], "repeat_interval": "30m"}]
    async with here.running(data) as daemon:
        await clock.sleep_until(at(60))
        here.wire.down.update(town.ACME_HOSTS)
        await clock.sleep_until(at(150))
        (alert,) = (a for a in await world.firing(daemon) if a["rule"] == "VideoFreezing")
        assert alert["state"] == "firing"
        assert alert["unjudged_since"] is not None
        here.wire.down.clear()
        await clock.sleep_until(at(4 * 60))
        (alert,) = (a for a in await world.firing(daemon) if a["rule"] == "VideoFreezing")
        assert alert["unjudged_since"] is None
    mark = "cannot be judged since 2026-01-01 13:"
    repeats = [s for s in here.senders["pager"].accepted if s.notification.kind == "still_firing"]
    blind, seen = at(60) + HOUR / 2, at(150) + HOUR / 2
    assert [mark in s.notification.text for s in repeats if s.at < at(60)] == [False] * sum(
        s.at < at(60) for s in repeats
    )
    assert all(mark in s.notification.text for s in repeats if blind <= s.at < at(150))
    assert sum(blind <= s.at < at(150) for s in repeats) >= 1
    assert not any(mark in s.notification.text for s in repeats if s.at >= seen)


def test_a_crash_is_over_with_an_answer_to_every_query_and_counted_anew_in_a_new_life() -> None:
    """An answer before the crash is none; a task that begins anew counts from nought, and its first crash counts."""
    crashes, life = Crashes(), object()
    crashes.note("acme", life, {"Bad": 2}, 90.0, 100.0)
    crashes.note("acme", life, {"Bad": 2}, 99.0, 115.0)
    assert crashes.since("acme", "Bad") == 100.0
    crashes.note("acme", life, {"Bad": 3}, 110.0, 130.0)
    assert crashes.since("acme", "Bad") == 100.0, "an answer, and a further crash: it is the same trouble"
    crashes.note("acme", life, {"Bad": 3}, 131.0, 145.0)
    assert crashes.since("acme", "Bad") is None
    crashes.note("acme", object(), {"Bad": 1}, None, 160.0)
    assert crashes.since("acme", "Bad") == 160.0
    assert crashes.known() == {("acme", "Bad")}
