"""A new configuration under a running daemon: what was told stays told, what is gone ends, and nothing is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.app import town, world
from tests.app.town import START, Town, minutes
from watcher.clock import HOUR, VirtualClock
from watcher.model import Cause, State, Transition

FREEZE = minutes(20)  # after START, for an hour
STRICTER, LAXER = ("above: 5%", "above: 2%"), ("above: 5%", "above: 40%")


@pytest.fixture
def clock() -> VirtualClock:
    """Virtual time from noon on."""
    return VirtualClock(epoch=START, jumping=True)


def here_with(clock: VirtualClock, folder: Path, **more: Any) -> Town:
    """Both accounts have an incident from 20 min on, for an hour."""
    incidents = [town.incident(project, FREEZE, 60) for project in ("classroom", "arena")]
    return Town(clock=clock, folder=folder, tale=town.story(incidents=[*incidents, *more.pop("incidents", [])], **more))


def changed(data: dict[str, Any], folder: Path, *changes: tuple[str, str]) -> Any:
    """The configuration again, with another text of rules."""
    text = (folder / "rules.yaml").read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / "rules.yaml").write_text(text)
    return world.built(data, folder)


def freezing(here: Town, account: str) -> list[Transition]:
    return [t for t in here.transitions(account) if t.rule == "VideoFreezing"]


def of(here: Town, project: str) -> list[str]:
    """What the pager was told about a project: the state in each title."""
    return [title.partition("]")[0].lstrip("[") for _, title in here.told("pager") if project in title]


async def test_a_removed_rule_ends_its_alerts_with_that_reason(tmp_path: Path, clock: VirtualClock) -> None:
    """Those who hold the page are told that it is over and why, once, at once."""
    here = here_with(clock, tmp_path)
    data = town.config(tmp_path)
    async with here.running(data) as daemon:
        await clock.sleep_until(START + minutes(50))
        assert freezing(here, "acme")[-1].state is State.FIRING
        daemon.reload(changed(data, tmp_path, ("alert: VideoFreezing", "alert: VideoStanding")))
        await clock.sleep_until(START + minutes(51))
        last = freezing(here, "acme")[-1]
        assert (last.state, last.cause) == (State.RESOLVED, Cause.RULE_CHANGED)
        assert of(here, "classroom")[:2] == ["FIRING", "RESOLVED"]
        await clock.sleep_until(START + 3 * HOUR)
    assert len([t for t in freezing(here, "acme") if t.state is State.RESOLVED]) == 1


async def test_a_laxer_threshold_counts_from_now(tmp_path: Path, clock: VirtualClock) -> None:
    """What fired stays fired until new windows clear it; nothing that was said is taken back."""
    here = here_with(clock, tmp_path)
    data = town.config(tmp_path)
    async with here.running(data) as daemon:
        await clock.sleep_until(START + minutes(50))
        before = freezing(here, "acme")
        daemon.reload(changed(data, tmp_path, LAXER, ("below: 3%", "below: 30%")))
        await clock.sleep_until(START + 3 * HOUR)
    after = freezing(here, "acme")[len(before) :]
    assert before[-1].state is State.FIRING
    assert [(t.state, t.cause, t.retracts) for t in after] == [(State.RESOLVED, Cause.THRESHOLD, None)]
    assert after[0].at >= START + minutes(40)
    assert of(here, "classroom") == ["FIRING", "RESOLVED"]


async def test_a_stricter_threshold_counts_from_now(tmp_path: Path, clock: VirtualClock) -> None:
    """A breach of the new level that lies before the change is not paged; the next one is."""
    slight = [
        {**town.incident("classroom", at, 15), "levels": {"videoFreezeRate": "4%"}} for at in (2 * HOUR, 3 * HOUR)
    ]
    here = here_with(clock, tmp_path, incidents=slight)
    data = town.config(tmp_path)
    async with here.running(data) as daemon:
        await clock.sleep_until(START + 2.5 * HOUR)
        daemon.reload(changed(data, tmp_path, STRICTER, ("below: 3%", "below: 1.9%")))
        await clock.sleep_until(START + 4 * HOUR)
    fired = [t.at for t in freezing(here, "acme") if t.state is State.FIRING]
    assert len(fired) == 2
    assert fired[0] < START + 2 * HOUR
    assert fired[1] > START + 3 * HOUR
    assert of(here, "classroom") == ["FIRING", "RESOLVED"] * 2


async def test_a_removed_account_ends_its_alerts_and_leaves_the_other(tmp_path: Path, clock: VirtualClock) -> None:
    """Its requests cease; the other account's page still resolves at its own time."""
    here = here_with(clock, tmp_path)
    data = town.config(tmp_path)
    async with here.running(data) as daemon:
        await clock.sleep_until(START + minutes(50))
        daemon.reload(world.built({**data, "accounts": data["accounts"][1:]}, tmp_path))
        await clock.sleep_until(START + minutes(51))
        last = freezing(here, "acme")[-1]
        assert (last.state, last.cause) == (State.RESOLVED, Cause.RULE_CHANGED)
        assert of(here, "classroom") == ["FIRING", "RESOLVED"]
        assert of(here, "arena") == ["FIRING"]
        await clock.sleep_until(START + 3 * HOUR)
    assert max(here.taps["acme"].left) <= START + minutes(50)
    assert of(here, "arena") == ["FIRING", "RESOLVED"]
    assert freezing(here, "beta")[-1].cause is Cause.THRESHOLD
    assert here.told("ops") == []


async def test_an_added_account_begins(tmp_path: Path, clock: VirtualClock) -> None:
    """It looks back as far as the vendor keeps, and pages for what goes on."""
    here = here_with(clock, tmp_path)
    data = town.config(tmp_path)
    async with here.running({**data, "accounts": data["accounts"][:1]}) as daemon:
        await clock.sleep_until(START + minutes(50))
        assert not here.taps["beta"].left
        daemon.reload(world.built(data, tmp_path))
        await clock.sleep_until(START + minutes(52))
        assert of(here, "arena") == ["FIRING"]
        assert of(here, "classroom") == ["FIRING"]


async def test_reloads_all_the_time(tmp_path: Path, clock: VirtualClock) -> None:
    """Every three minutes for three hours: no window lost, no request too many, no page repeated or forgotten."""
    here = here_with(clock, tmp_path)
    data = town.config(tmp_path)
    async with here.running(data) as daemon:
        for turn in range(60):
            await clock.sleep_until(START + minutes(3 * turn + 1))
            daemon.reload(world.built(data, tmp_path))
        await clock.sleep_until(START + 3.2 * HOUR)
        metrics = town.scrape(daemon)
        assert town.metric(metrics, "watcher_config_reloads_total", outcome="success") == 60
        assert not daemon.restarts
    for account in ("acme", "beta"):
        assert here.gaps(account) == []
        assert all(len(stretches) == 1 for stretches in here.slots(account).values())
        assert all(row["refused"] == 0 and row["spent"] < row["limit"] for row in here.quotas(account))
    assert of(here, "classroom") == of(here, "arena") == ["FIRING", "RESOLVED"]
    assert here.told("ops") == []


async def test_a_reload_while_blind(tmp_path: Path, clock: VirtualClock) -> None:
    """The operators' page stands, unrepeated, until the vendor answers; the user's alert is not cleared by it."""
    fault = {"kind": "http_500", "from": "+30m", "until": "+80m", "where": {"account": ["acme"]}}
    here = here_with(clock, tmp_path, faults=[fault])
    data = town.config(tmp_path)
    async with here.running(data) as daemon:
        await clock.sleep_until(START + minutes(60))
        assert [title.partition("]")[0] for _, title in here.told("ops")] == ["[FIRING"]
        daemon.reload(world.built(data, tmp_path))
        await clock.sleep_until(START + minutes(80) - 1)
        assert town.blind_reasons(town.scrape(daemon), "acme") == {"server"}
        assert of(here, "classroom") == ["FIRING"]
        await clock.sleep_until(START + 3 * HOUR)
    assert [title.partition("]")[0] for _, title in here.told("ops")] == ["[FIRING", "[RESOLVED"]
    assert of(here, "classroom") == ["FIRING", "RESOLVED"]


async def test_a_target_that_is_gone(tmp_path: Path, clock: VirtualClock) -> None:
    """Who holds a page and is no longer configured cannot be told its end: today's routes take over what fires."""
    here = here_with(clock, tmp_path, incidents=[town.incident("classroom", 2.5 * HOUR, 20)])
    data = town.config(tmp_path)
    other = {"targets": {"desk": "json://desk.invalid/", "ops": "json://ops.invalid/"}, "routes": [{"to": ["desk"]}]}
    async with here.running(data) as daemon:
        await clock.sleep_until(START + minutes(50))
        daemon.reload(world.built({**data, **other}, tmp_path))
        await clock.sleep_until(START + 3.5 * HOUR)
        assert not daemon.restarts
    assert of(here, "classroom") == ["FIRING"]
    told = [title for _, title in here.told("desk") if "classroom" in title]
    assert [title.partition("]")[0] for title in told] == ["[FIRING", "[RESOLVED", "[FIRING", "[RESOLVED"]
    assert START + minutes(50) <= here.told("desk")[0][0] < START + minutes(51)
