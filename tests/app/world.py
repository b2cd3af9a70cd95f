"""A whole world in one process: the emulated vendor, the daemon, and targets that write down what they get."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import httpx
import msgspec
import yaml

from tests.alerts.fakes import FakeSender
from watcher.alerts.targets import HttpTarget
from watcher.app.daemon import Daemon
from watcher.app.report import Report
from watcher.clock import Clock, sleep
from watcher.config import Config, build
from watcher.emulator.agora import Emulator, build_agora
from watcher.emulator.scenario import reads
from watcher.secret import Secret
from watcher.yamlfile import loads

APP_ID = "0123456789abcdef0123456789abcdef"
ALL_SIGNALS = (
    "users",
    "channels",
    "video_freeze_ratio",
    "audio_freeze_ratio",
    "network_delay_ratio",
    "join_success_ratio",
    "join_success_5s_ratio",
)
RULES = """
rules:
  - alert: VideoFreezing
    signal: video_freeze_ratio
    when: {avg: 1m, above: 5%}
    for: 2m
    clear: {below: 3%, for: 2m}
    require: {users: {above: 20}}
    severity: critical
  - alert: AudioFreezing
    signal: audio_freeze_ratio
    when: {last: 1, above: 3%}
    for: 1m
    require: {users: {above: 20}}
    severity: warning
  - alert: SlowNetwork
    signal: network_delay_ratio
    when: {avg: 1m, above: 10%}
    for: 2m
    require: {users: {above: 20}}
    severity: warning
  - alert: JoinsFailing
    signal: join_success_ratio
    when: {avg: 1m, below: 95%}
    for: 1m
    require: {users: {above: 20}}
    severity: critical
"""


def scenario(*, plan: str = "enterprise", **more: Any) -> dict[str, Any]:
    """One account, one project with both products, the whole day on a curve."""
    return {
        "seed": 7,
        "accounts": [
            {
                "name": "acme",
                "customer_id": "id",
                "customer_secret": "secret",
                "plan": plan,
                "answers": {"empty_usage": "zero"},
                "projects": [
                    {
                        "name": "classroom",
                        "app_id": APP_ID,
                        "products": {"Native": {"peak_users": 1200}, "WebRTC": {"peak_users": 300}},
                    }
                ],
            }
        ],
        **more,
    }


def incident(start: float, minutes: float, product: str, **levels: str) -> dict[str, Any]:
    """An incident `start` seconds after the epoch."""
    return {
        "project": "classroom",
        "products": [product],
        "start": f"+{int(start)}s",
        "duration": f"{int(minutes * 60)}s",
        "levels": levels,
    }


def config(folder: Path, *, plan: str = "enterprise", projects: Any = None, **more: Any) -> dict[str, Any]:
    """A configuration for `scenario`, its rules written to `folder`."""
    (folder / "rules.yaml").write_text(more.pop("rules_text", RULES))
    return {
        "accounts": [
            {
                "name": "acme",
                "provider": "agora",
                "plan": plan,
                "customer_id": "id",
                "customer_secret": "secret",
                "base_urls": ["http://one.example.com", "http://two.example.com"],
                "projects": projects or [{"name": "classroom", "app_id": APP_ID}],
            }
        ],
        "targets": {"pager": "json://pager.invalid/", "mail": "json://mail.invalid/"},
        "routes": [{"match": {"severity": "critical"}, "to": ["pager", "mail"]}, {"to": ["mail"]}],
        "operators": ["pager"],
        "rules": ["rules.yaml"],
        "state": "sqlite:///state.db",
        "affected": {"per_day": 0},  # one message for each change: what follows pages is tested in `test_affected`
        **more,
    }


def built(data: Mapping[str, Any], folder: Path) -> Config:
    """The configuration as the program has it."""
    return build(loads(yaml.safe_dump(dict(data)), str(folder / "config.yaml")), folder)


async def firing(daemon: Daemon) -> list[dict[str, Any]]:
    """What fires, as the API says it."""
    alerts = (await daemon.viewing.board()).alerts.alerts
    return [msgspec.structs.asdict(alert) for alert in alerts if alert.state == "firing"]


class Wire(httpx.AsyncBaseTransport):
    """Into the emulator without a socket; what would be a broken connection becomes httpx's word for it."""

    def __init__(self, emulator: Emulator) -> None:
        self._inner = httpx.ASGITransport(app=emulator.app)
        self.down: set[str] = set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.host in self.down:
            raise httpx.ConnectError("connection refused")
        try:
            return await self._inner.handle_async_request(request)
        except ConnectionResetError as error:
            raise httpx.ReadError("connection reset") from error


def spent(emulator: Emulator) -> dict[str, dict[str, int]]:
    """What Call Inspector's two groups and windows saw in all, by the vendor's own count."""
    quotas: Any = emulator.report()["quotas"]
    calls = [row for row in quotas if row["family"].startswith("call_")]
    return {
        what: {window: sum(row[what] for row in calls if row["window"] == window) for window in ("second", "day")}
        for what in ("total", "spent", "refused")
    }


class World:
    """Emulator and targets, which outlive any daemon started in them."""

    def __init__(self, *, clock: Clock, folder: Path, story: Mapping[str, Any], epoch: float) -> None:
        self.clock = clock
        self.folder = folder
        self.epoch = epoch
        self.emulator = build_agora(reads(yaml.safe_dump(dict(story)), epoch=epoch), clock)
        self.wire = Wire(self.emulator)
        self.senders: dict[str, FakeSender] = {}

    def daemon(self, data: Mapping[str, Any]) -> Daemon:
        return Daemon(
            config=built(data, self.folder),
            clock=self.clock,
            transports={"acme": self.wire},
            senders=self.sender,
        )

    def sender(self, target: str, settings: Secret | HttpTarget | None) -> FakeSender:
        """The target's sender, the same for every daemon started here."""
        return self.senders.setdefault(target, FakeSender(self.clock))

    async def live(self, data: Mapping[str, Any], seconds: float) -> Report:
        """Run a daemon for so long, drain it, and say what happened."""
        daemon = self.daemon(data)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(daemon.run)
            await sleep(self.clock, seconds)
            report = await daemon.report()
            await daemon.stop()
        return report

    def refused(self) -> int:
        """Requests that the vendor refused for quota, by its own count."""
        quotas: Any = self.emulator.report()["quotas"]
        return sum(row["refused"] for row in quotas)
