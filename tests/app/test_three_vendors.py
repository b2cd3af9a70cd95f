"""All vendors on one daemon: one that hangs on every call is no reason for the others' pages to be late."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import mean

import anyio
import httpx
import pytest
import yaml

from tests.alerts.fakes import FakeSender
from tests.app import test_twilio, test_vonage, world
from tests.conftest import EPOCH
from tests.emulator.twilio import helpers as twilio
from tests.emulator.vonage import helpers as vonage
from watcher.app.daemon import Daemon
from watcher.clock import HOUR, VirtualClock, parse_rfc3339, sleep
from watcher.config import build
from watcher.emulator import scenario as agora_scenario
from watcher.emulator.agora import build_agora
from watcher.emulator.twilio import scenario as twilio_scenario
from watcher.emulator.twilio.server import build_twilio
from watcher.emulator.vonage import scenario as vonage_scenario
from watcher.emulator.vonage.server import build_vonage
from watcher.yamlfile import loads

NOON = EPOCH + 12 * HOUR
LASTS = 2.2 * HOUR
VENDORS = ("agora", "vonage", "twilio")


class Hanging(httpx.AsyncBaseTransport):
    """Takes every request and never answers."""

    def __init__(self) -> None:
        self.requests = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests += 1
        await anyio.sleep_forever()
        raise AssertionError


def transports(clock: VirtualClock) -> dict[str, httpx.AsyncBaseTransport]:
    """Each vendor with incidents from noon on."""
    calls = [world.incident(12 * HOUR + at * 60, 8, "Native", videoFreezeRate="14%") for at in (20, 50, 80)]
    agora = build_agora(agora_scenario.reads(json.dumps(world.scenario(incidents=calls)), epoch=EPOCH), clock)
    board = vonage.session(name="board", meetings=[{"start": "+11h", "duration": "5h", "participants": 6}])
    losses = [test_vonage.lossy(start=f"+12h{at}m", duration="8m") for at in (15, 45)]
    rooms = vonage.plain(projects=[vonage.project(sessions=[board])], incidents=losses)
    stays = test_twilio.busy(test_twilio.outage(), test_twilio.outage(start="+13h", duration="15m"))
    return {
        "agora": world.Wire(agora),
        "vonage": httpx.ASGITransport(
            app=build_vonage(vonage_scenario.reads(json.dumps(rooms), epoch=EPOCH), clock).app, client=("10.0.0.1", 1)
        ),
        "twilio": httpx.ASGITransport(
            app=build_twilio(twilio_scenario.reads(json.dumps(stays), epoch=EPOCH), clock).app
        ),
    }


def accounts() -> list[dict[str, object]]:
    """One account of each vendor, by its name."""
    return [
        {
            "name": "agora",
            "provider": "agora",
            "plan": "enterprise",
            "customer_id": "id",
            "customer_secret": "secret",
            "base_url": "http://agora.example.com",
            "projects": [{"name": "classroom", "app_id": world.APP_ID}],
        },
        {
            "name": "vonage",
            "provider": "vonage",
            "base_url": "http://vonage.example.com",
            "projects": [{"name": "tutoring", "key": vonage.KEY, "secret": vonage.SECRET, "visibility": "per_sample"}],
        },
        {
            "name": "twilio",
            "provider": "twilio",
            "base_url": "http://twilio.example.com",
            "projects": [{"name": "support", "api_key": twilio.KEY, "api_secret": twilio.SECRET}],
        },
    ]


async def waits(folder: Path, clock: VirtualClock, hangs: str = "") -> dict[str, list[float]]:
    """Vendor -> seconds from the begin of each alert's condition to its page, over two hours from noon."""
    wires = transports(clock)
    if hangs:
        wires[hangs] = Hanging()
    config = {
        "accounts": accounts(),
        "targets": {"oncall": "json://localhost/"},
        "routes": [{"to": ["oncall"]}],
        "rules": [str(test_twilio.PACK.with_name(f"{name}.yaml")) for name in VENDORS],
        "state": f"sqlite:///{folder}/state.db",
    }
    sender = FakeSender(clock)
    daemon = Daemon(
        config=build(loads(yaml.safe_dump(config), "config.yaml"), folder),
        clock=clock,
        transports=wires,
        senders=lambda target, url: sender,
    )
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(daemon.run)
        await sleep(clock, LASTS)
        report = await daemon.report()
        await daemon.stop()
        tasks.cancel_scope.cancel()
    found: dict[str, list[float]] = {name: [] for name in VENDORS}
    for alert in report["alerts"]:
        if alert["notified_at"] and alert["labels"].get("provider"):
            began, told = (parse_rfc3339(str(alert[key])) for key in ("starts_at", "notified_at"))
            found[alert["labels"]["provider"]].append(told - began)
    if hangs:
        hanging = wires[hangs]
        assert isinstance(hanging, Hanging)
        assert hanging.requests > 10
    return found


@pytest.mark.timeout(360)  # a minute of computing, if nothing is beside it
async def test_one_vendor_that_hangs_does_not_delay_the_others(tmp_path: Path) -> None:
    """The others' mean time from condition to page is the same within a twentieth, and no page is missing."""
    runs: dict[str, dict[str, list[float]]] = {}
    for hangs in ("", *VENDORS):
        folder = tmp_path / (hangs or "well")
        folder.mkdir()
        runs[hangs] = await waits(folder, VirtualClock(epoch=NOON, jumping=True), hangs)
    well = runs.pop("")
    assert all(len(found) >= 2 for found in well.values())
    for hangs, ill in runs.items():
        for vendor in set(VENDORS) - {hangs}:
            assert len(ill[vendor]) == len(well[vendor])
            assert mean(ill[vendor]) == pytest.approx(mean(well[vendor]), rel=0.05)
