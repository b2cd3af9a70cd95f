"""The daemon and an emulated Vonage, end to end in virtual time: shipped rules, real routing, no staging."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
import yaml

from tests.alerts.fakes import FakeSender
from tests.conftest import EPOCH
from tests.emulator.vonage.helpers import KEY, SECRET, plain, project, session
from tests.web.fakes import application
from watcher.app.daemon import Daemon
from watcher.clock import VirtualClock, sleep
from watcher.config import build
from watcher.emulator.vonage.scenario import reads
from watcher.emulator.vonage.server import Emulator, build_vonage
from watcher.providers.vonage.stats import StatsWatch
from watcher.yamlfile import loads

NOON = EPOCH + 12 * 3600
TOKEN = "a-token-that-nobody-guesses"
PACK = Path(__file__).parents[2] / "rules" / "vonage.yaml"


def pack(*, hooks: bool) -> str:
    """The shipped rules; those for projects with hooks have their signs taken away where there are hooks."""
    text = PACK.read_text()
    head, _, tail = text.partition("  # - alert: DisconnectsByNetwork")
    return head + "  - alert: DisconnectsByNetwork" + tail.replace("\n  # ", "\n  ") if hooks else text


class Rooms:
    """An emulated vendor, a daemon that watches it, and a target that keeps what it gets."""

    def __init__(self, clock: VirtualClock, folder: Path, scenario: dict[str, Any], **changes: Any) -> None:
        self.clock = clock
        self.emulator: Emulator = build_vonage(reads(json.dumps(scenario), epoch=EPOCH), clock)
        self.sender = FakeSender(clock)
        self._folder = folder
        self._changes = changes
        self.daemon = self.start()

    def start(self) -> Daemon:
        """A daemon on the state that is there."""
        (self._folder / "rules.yaml").write_text(pack(hooks="hooks" in self._changes))
        own = {"name": "classroom", "key": KEY, "secret": SECRET, "visibility": "per_sample", **self._changes}
        config = {
            "accounts": [
                {"name": "acme", "provider": "vonage", "base_url": "http://vonage.example.com", "projects": [own]}
            ],
            "targets": {"oncall": "json://localhost/"},
            "routes": [{"to": ["oncall"]}],
            "rules": ["rules.yaml"],
            "state": f"sqlite:///{self._folder}/state.db",
        }
        transport = httpx.ASGITransport(app=self.emulator.app, client=("10.0.0.1", 1))
        self.daemon = Daemon(
            config=build(loads(yaml.safe_dump(config), "config.yaml"), self._folder),
            clock=self.clock,
            transports={"acme": transport},
            senders=lambda target, url: self.sender,
        )
        return self.daemon

    def hook(self) -> httpx.ASGITransport:
        """The daemon's web application, for the emulator to post to."""

        def hear(*args: Any) -> Any:
            return self.daemon.heard("vonage", *args)

        return httpx.ASGITransport(app=application(hints=self.daemon, vonage=hear))

    async def run(self, seconds: float, *, hooks: bool = False) -> dict[str, Any]:
        """Run the daemon (and the vendor's posts) for so long; the report of design section 8."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.daemon.run)
            if hooks:

                async def post() -> None:
                    await self.emulator.run(transport=self.hook())

                tasks.start_soon(post)
            await sleep(self.clock, seconds)
            report = await self.daemon.report()
            await self.daemon.stop()
            tasks.cancel_scope.cancel()
        return report

    def texts(self) -> list[str]:
        found = [sending.notification for sending in self.sender.accepted]
        return [f"{n.title}\n{n.text}" for n in found]


def lossy(start: str = "+12h10m", duration: str = "10m", **levels: Any) -> dict[str, Any]:
    return {
        "project": "classroom",
        "sessions": ["board"],
        "start": start,
        "duration": duration,
        "levels": levels or {"videoPacketLoss": "9%"},
    }


async def test_packet_loss_pages_with_the_session_named_and_resolves(tmp_path: Path) -> None:
    """Ten minutes of 9 % loss: one page that names the session, at the right event time, and one resolve."""
    clock = VirtualClock(epoch=NOON, jumping=True)
    rooms = Rooms(clock, tmp_path, {**plain(projects=[project()]), "incidents": [lossy()]})
    report = await rooms.run(2400)
    (alert,) = [a for a in report["alerts"] if a["rule"] == "VideoPacketLossHigh"]
    assert alert["fired_at"] == "2026-01-01T12:11:30Z"
    assert alert["notified_at"] <= "2026-01-01T12:18:00Z"
    assert alert["ended_at"] is not None
    page = next(text for text in rooms.texts() if "FIRING" in text and "VideoPacketLossHigh" in text)
    assert rooms.emulator.session_id("classroom", "board")[:59] in page
    assert any("RESOLVED" in text for text in rooms.texts())
    assert all(row["spent"] < row["limit"] for row in report["requests"])
    assert report["points"]["lost"] == 0


async def test_the_page_itself_says_whose_streams_they_are(tmp_path: Path) -> None:
    """By SDK, browser and country, from what was read anyway: in the first message, with no update and no request."""
    clock = VirtualClock(epoch=NOON, jumping=True)
    rooms = Rooms(clock, tmp_path, {**plain(projects=[project()]), "incidents": [lossy()]})
    await rooms.run(1200)
    [page] = [text for text in rooms.texts() if "FIRING" in text and "VideoPacketLossHigh" in text]
    assert "affected: no SDK, browser or country stands out" in page
    assert not any("[UPDATE]" in text for text in rooms.texts())


async def test_a_fault_in_telling_groups_costs_no_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a source does wrong there is logged, and the page leaves and says so."""

    def crash(*_: object) -> None:
        raise ValueError("a row from nowhere")

    monkeypatch.setattr(StatsWatch, "_splits", crash)
    clock = VirtualClock(epoch=NOON, jumping=True)
    rooms = Rooms(clock, tmp_path, {**plain(projects=[project()]), "incidents": [lossy()]})
    report = await rooms.run(1200)
    [page] = [text for text in rooms.texts() if "FIRING" in text and "VideoPacketLossHigh" in text]
    assert "affected: could not be asked: a fault of watcher's" in page
    [alert] = [a for a in report["alerts"] if a["rule"] == "VideoPacketLossHigh"]
    assert alert["notified_at"] is not None


async def test_a_restart_forgets_and_repeats_nothing(tmp_path: Path) -> None:
    """Stopped while firing, begun anew: the page is not repeated, and the resolve comes."""
    clock = VirtualClock(epoch=NOON, jumping=True)
    rooms = Rooms(clock, tmp_path, {**plain(projects=[project()]), "incidents": [lossy()]})
    await rooms.run(1200)
    pages = [text for text in rooms.texts() if "FIRING" in text]
    assert pages
    rooms.start()
    await rooms.run(1500)
    assert [text for text in rooms.texts() if "FIRING" in text] == pages
    assert any("RESOLVED" in text for text in rooms.texts())


async def test_what_was_found_out_is_kept(tmp_path: Path) -> None:
    """The unit of bitrates, told by an hour of rows, is known after a restart that reads five minutes of them."""
    clock = VirtualClock(epoch=NOON, jumping=True)
    rooms = Rooms(clock, tmp_path, plain(projects=[project()]))
    await rooms.run(120)
    rooms.start()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(rooms.daemon.run)
        await sleep(clock, 90)
        assert any(
            series.signal == "video_bitrate_bytes_per_second" and at > NOON - 240
            for series, _, at, *_ in rooms.daemon.snapshot().values
        )
        await rooms.daemon.stop()


async def test_looks_keep_their_distance(tmp_path: Path) -> None:
    """A look a minute, no more: discovery, counts and rows are three requests here."""
    clock = VirtualClock(epoch=NOON, jumping=True)
    report = await Rooms(clock, tmp_path, plain(projects=[project()])).run(1800)
    (insights,) = [row for row in report["requests"] if row["family"] == "insights"]
    assert 30 * 2 <= insights["total"] <= 32 * 3


async def test_webhooks_tell_of_disconnects_before_statistics_do(tmp_path: Path) -> None:
    """A burst of network disconnects pages within three minutes, from posts that come twice and out of order."""
    clock = VirtualClock(epoch=NOON, jumping=True)
    hooks = {"url": f"http://watcher.example.com/hooks/vonage/{TOKEN}", "duplicates": "20%", "delay": "5s"}
    many = [session(meetings=[{"start": "+11h", "duration": "3h", "participants": 60}])]
    scenario = {
        **plain(projects=[project(sessions=many, webhooks=hooks, crowd={"churn": "5%"})]),
        "incidents": [lossy("+12h10m", "3m", networkDisconnected="60%")],
    }
    rooms = Rooms(clock, tmp_path, scenario, hooks={"token": TOKEN})
    report = await rooms.run(1500, hooks=True)
    (alert,) = [a for a in report["alerts"] if a["rule"] == "DisconnectsByNetwork"]
    assert "2026-01-01T12:10:00Z" < alert["notified_at"] <= "2026-01-01T12:14:00Z"
    assert rooms.daemon.hooks["vonage", "taken"] > 60
    posted: Any = rooms.emulator.report()
    assert posted["webhooks"]["classroom"]["duplicates"] > 5
    assert posted["webhooks"]["classroom"]["failed"] == 0


async def test_the_days_failures_page_as_what_they_are(tmp_path: Path) -> None:
    """A day with 15 % failed connections is an `info` that says how old it is, and is never mixed with live figures."""
    clock = VirtualClock(epoch=EPOCH + 3 * 86_400, jumping=True)
    bad_day = {
        "project": "classroom",
        "start": "+8h",
        "duration": "24h",
        "levels": {"connectFailures": "15%"},
    }
    traffic = {"sessions": 3, "participants": 3}
    scenario = {**plain(projects=[project(sessions=[], traffic=traffic)]), "incidents": [bad_day]}
    rooms = Rooms(clock, tmp_path, scenario)
    await rooms.run(4 * 3600)
    page = next(text for text in rooms.texts() if "ConnectFailuresOfTheDay" in text)
    assert "36 to 48 hours old" in page
    assert "daily" in page
