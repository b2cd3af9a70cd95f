"""Blind spots: what is missing, late, revised or empty is neither health nor trouble (invariants 3 and 4)."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from tests.app import town, world
from tests.app.observer import observe
from tests.app.test_day import NINE
from tests.conftest import EPOCH
from watcher.app.report import Report
from watcher.clock import HOUR, VirtualClock, rfc3339
from watcher.model import State, Transition
from watcher.store import open_readonly

HOURS = 5.0
START = EPOCH + 10 * HOUR

BENDING: dict[str, list[dict[str, Any]]] = {
    "holes": [{"kind": "holes", "share": "20%"}],
    "nulls": [{"kind": "null_values", "share": "20%"}],
    "more holes than rows": [{"kind": "holes", "share": "55%"}],
    "zeros": [{"kind": "zero_values", "share": "10%"}],
}
"""Faults of the data itself: an observer of all windows meets them too."""

PASSING: dict[str, list[dict[str, Any]]] = {
    "shuffled": [{"kind": "shuffled"}],
    "late slots": [{"kind": "late_slots", "slots": 2}],
    "revised": [{"kind": "revised", "after": "1m", "factor": 0.2}],
    "revised upwards": [{"kind": "revised", "after": "1m", "factor": 4}],
    "odd heads": [{"kind": "code_zero", "every": 2}, {"kind": "message", "every": 3}],
}
"""Faults of the telling: who looks late enough does not meet them."""

BENT = {**BENDING, **PASSING, "all at once": [*BENDING["holes"], *(f for each in PASSING.values() for f in each[:1])]}


def story(faults: list[dict[str, Any]]) -> dict[str, Any]:
    """Six incidents in five hours, at seeded instants."""
    dice = random.Random(5)
    levels = {"videoFreezeRate": "12%", "networkDelay": "22%", "joinSuccessRate": "80%"}
    planned = []
    for turn in range(6):
        name = dice.choice(sorted(levels))
        at = (turn + dice.uniform(0.1, 0.5)) * 2400
        product = dice.choice(["Native", "WebRTC"])
        planned.append(world.incident(at, dice.uniform(6, 25), product, **{name: levels[name]}))
    return world.scenario(incidents=planned, faults=faults)


@pytest.mark.parametrize("name", BENT)
async def test_the_report_is_the_observers(tmp_path: Path, name: str) -> None:
    """What fired by the report is what fires for an observer of all windows in their final form."""
    clock = VirtualClock(epoch=START, jumping=True)
    tale = story(BENT[name])
    data = world.config(tmp_path, projects=NINE, flapping={"beginnings": 0})  # or not every episode is a message
    here = world.World(clock=clock, folder=tmp_path, story=tale, epoch=START)
    report = await here.live(data, HOURS * HOUR)
    bent = [fault for fault in BENT[name] if fault["kind"] in {f["kind"] for each in BENDING.values() for f in each}]
    fired, _ = await observe(
        clock=clock, folder=tmp_path, story=tale, epoch=START, since=START - HOUR, data=data, bent=bent
    )
    until = START + (HOURS - 0.4) * HOUR
    wanted = {(rule, labels, rfc3339(at)) for rule, labels, at in fired if at < until}
    assert wanted
    assert {episode for episode in _episodes(report) if episode[2] < (rfc3339(until) or "")} == wanted
    assert all(alert["notified_at"] for alert in report["alerts"] if alert["fired_at"] < rfc3339(until))
    assert here.refused() == 0
    assert report["points"]["lost"] == 0
    assert report["points"]["received"] == _handed_out(here), "a point for each value that was told, and no other"


def _handed_out(here: world.World) -> int:
    """Slots that reached the daemon with a value, by the vendor's own count."""
    rows: Any = here.emulator.report()["slots"]
    return sum((end - start) // 20 for row in rows for start, end in row["intervals"])


def _episodes(report: Report) -> set[tuple[str, tuple[tuple[str, str], ...], str]]:
    return {(a["rule"], tuple(sorted(a["labels"].items())), a["fired_at"]) for a in report["alerts"]}


@pytest.mark.parametrize("kind", ["data_empty", "data_null"])
async def test_an_hour_of_empty_answers_clears_nothing(tmp_path: Path, kind: str) -> None:
    """The account is seen, since it answers; the alert stands, since nothing says that it is over."""
    clock = VirtualClock(epoch=START, jumping=True)
    freeze = world.incident(0.5 * HOUR, 45, "Native", videoFreezeRate="14%")
    tale = world.scenario(incidents=[freeze], faults=[{"kind": kind, "from": "+1h", "until": "+2h"}])
    here = town.Town(clock=clock, folder=tmp_path, tale=tale, epoch=START)
    async with here.running(world.config(tmp_path, projects=NINE)) as daemon:
        await clock.sleep_until(START + 2 * HOUR)
        metrics = town.scrape(daemon)
        meanwhile = transitions(tmp_path)
        await clock.sleep_until(START + 3 * HOUR)
    assert [t.state for t in meanwhile if t.state is not State.PENDING] == [State.FIRING]
    assert town.metric(metrics, "watcher_account_up") == 1
    assert town.metric(metrics, "watcher_looks_total", outcome="ok") == town.metric(metrics, "watcher_looks_total")
    last = transitions(tmp_path)[-1]
    assert last.state is State.RESOLVED
    assert last.known_at >= START + 2 * HOUR


# ── nobody there ─────────────────────────────────────────────────────────────────────────────────────────────────────

_WITH_NO_DATA = world.RULES.replace(
    "    severity: critical\n", "    no_data: {after: 10m, then: alert}\n    severity: critical\n"
)


def night(empty: str, *, incidents: tuple[dict[str, Any], ...] = ()) -> dict[str, Any]:
    """Nobody in calls from the first hour to the third."""
    leave = [world.incident(HOUR, 120, product, userCount="0") for product in ("Native", "WebRTC")]
    tale = world.scenario(incidents=[*incidents, *leave])
    tale["accounts"][0]["answers"] = {"empty_usage": empty}
    return tale


def transitions(folder: Path) -> list[Transition]:
    reader = open_readonly(f"sqlite:///{folder}/state.db")
    try:
        return reader.transitions()
    finally:
        reader.close()


async def test_nobody_there_is_neither_trouble_nor_lack_of_data(tmp_path: Path) -> None:
    """Zero users for two hours: no page, no resolve, no word about missing data, and the metric says zero."""
    clock = VirtualClock(epoch=START, jumping=True)
    here = town.Town(clock=clock, folder=tmp_path, tale=night("zero"), epoch=START)
    data = world.config(tmp_path, projects=NINE, rules_text=_WITH_NO_DATA)
    async with here.running(data) as daemon:
        await clock.sleep_until(START + 2.5 * HOUR)
        metrics = town.scrape(daemon)
        await clock.sleep_until(START + 4 * HOUR)
        report = await daemon.report()
    assert town.metric(metrics, "watcher_users") == 0
    assert town.metric(metrics, "watcher_account_up") == 1
    assert transitions(tmp_path) == []
    assert report["alerts"] == []
    assert report["points"]["lost"] == 0
    assert here.told("pager") == here.told("mail") == []


async def test_everybody_leaves_while_an_alert_fires(tmp_path: Path) -> None:
    """Nobody is left to suffer, and nothing was proved to be well: the page stands until windows with users end it."""
    clock = VirtualClock(epoch=START, jumping=True)
    freeze = world.incident(0.5 * HOUR, 180, "Native", videoFreezeRate="14%")
    here = town.Town(clock=clock, folder=tmp_path, tale=night("zero", incidents=(freeze,)), epoch=START)
    async with here.running(world.config(tmp_path, projects=NINE, rules_text=_WITH_NO_DATA)):
        await clock.sleep_until(START + 3 * HOUR)
        assert [t.state for t in transitions(tmp_path)][-1] is State.FIRING
        await clock.sleep_until(START + 4.5 * HOUR)
    log = [t for t in transitions(tmp_path) if t.state is not State.PENDING]
    assert [(t.rule, t.state) for t in log] == [("VideoFreezing", State.FIRING), ("VideoFreezing", State.RESOLVED)]
    assert log[1].at >= START + 3.5 * HOUR


async def test_a_vendor_that_tells_nothing_of_empty_hours(tmp_path: Path) -> None:
    """Where no rows come at all, idle cannot be told from missing: the rule's own `no_data` speaks, no threshold."""
    clock = VirtualClock(epoch=START, jumping=True)
    here = town.Town(clock=clock, folder=tmp_path, tale=night("absent"), epoch=START)
    async with here.running(world.config(tmp_path, projects=NINE, rules_text=_WITH_NO_DATA)):
        await clock.sleep_until(START + 4.5 * HOUR)
    log = [t for t in transitions(tmp_path) if t.state is not State.PENDING]
    assert {t.cause for t in log if t.state is State.FIRING} == {"no_data"}
    assert {t.rule for t in log} == {"VideoFreezing", "JoinsFailing"}
    for t in log:
        inside = START + HOUR <= t.at <= START + 3 * HOUR + 1200
        assert inside, t
    ends = [t for t in log if t.state is not State.FIRING]
    assert all(t.at >= START + 3 * HOUR for t in ends)
    assert len(ends) == len(log) / 2
