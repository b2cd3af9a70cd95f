"""A town: two accounts in one daemon, one in trouble and one that must not notice (design, invariants 4, 9 and 11).

Each account has its own hosts, so that faults of whole servers (a clock, a dead domain) strike one of them only, and a
tap on its wire that notes when requests left.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.app import world
from tests.conftest import EPOCH
from watcher.app.daemon import Daemon
from watcher.app.report import Report
from watcher.clock import HOUR, MINUTE, Clock
from watcher.metrics import render
from watcher.model import Gap, Transition
from watcher.store import open_readonly

START = EPOCH + 12 * HOUR
BETA_APP = "fedcba9876543210fedcba9876543210"
ACME_HOSTS = ("one.example.com", "two.example.com")
BETA_HOST = "three.example.com"
SIGNALS = ("users", "video_freeze_ratio", "join_success_ratio")
"""Six queries for each account, of which two are users."""


def story(
    *, plan: str = "enterprise", incidents: Sequence[dict[str, Any]] = (), faults: Sequence[dict[str, Any]] = ()
) -> dict[str, Any]:
    """Two accounts with one project each; moments count from `START`."""
    tale = world.scenario(plan=plan, incidents=list(incidents), faults=list(faults))
    beta = {
        **tale["accounts"][0],
        "name": "beta",
        "customer_id": "beta-id",
        "projects": [{**tale["accounts"][0]["projects"][0], "name": "arena", "app_id": BETA_APP}],
    }
    return _apart({**tale, "accounts": [tale["accounts"][0], beta]})


def incident(project: str, start: float, minutes: float) -> dict[str, Any]:
    """Video of native users freezes, `start` seconds after `START`."""
    return {**world.incident(start, minutes, "Native", videoFreezeRate="14%"), "project": project}


def config(folder: Path, *, plan: str = "enterprise", **more: Any) -> dict[str, Any]:
    """Both accounts, users' alerts to `pager`, the daemon's own to `ops`."""
    projects = [{"name": "classroom", "app_id": world.APP_ID, "signals": list(SIGNALS)}]
    data = world.config(folder, plan=plan, projects=projects, rules_text=_RULES, **more)
    beta = {
        **data["accounts"][0],
        "name": "beta",
        "customer_id": "beta-id",
        "base_urls": [f"http://{BETA_HOST}"],
        "projects": [{"name": "arena", "app_id": BETA_APP, "signals": list(SIGNALS)}],
    }
    return _apart(
        {
            **data,
            "accounts": [data["accounts"][0], beta],
            "targets": {"pager": "json://pager.invalid/", "ops": "json://ops.invalid/"},
            "routes": [{"to": ["pager"]}],
            "operators": ["ops"],
        }
    )


def _apart(data: dict[str, Any]) -> dict[str, Any]:
    """The same without shared parts, which YAML would write as anchors."""
    copied: dict[str, Any] = json.loads(json.dumps(data))
    return copied


_RULES = """
rules:
  - alert: VideoFreezing
    signal: video_freeze_ratio
    when: {avg: 1m, above: 5%}
    for: 2m
    clear: {below: 3%, for: 2m}
    require: {users: {above: 20}}
    severity: critical
  - alert: JoinsFailing
    signal: join_success_ratio
    when: {avg: 1m, below: 90%}
    for: 1m
    require: {users: {above: 20}}
    severity: critical
"""


class Tap(httpx.AsyncBaseTransport):
    """A wire that notes when each request left."""

    def __init__(self, clock: Clock, inner: httpx.AsyncBaseTransport) -> None:
        self.left: list[float] = []
        self.inner = inner
        self._clock = clock

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.left.append(self._clock.now())
        return await self.inner.handle_async_request(request)


class Town(world.World):
    """The world with two accounts; what it keeps outlives any daemon started in it."""

    def __init__(self, *, clock: Clock, folder: Path, tale: Mapping[str, Any], epoch: float = START) -> None:
        super().__init__(clock=clock, folder=folder, story=tale, epoch=epoch)
        self.taps = {name: Tap(clock, self.wire) for name in ("acme", "beta")}

    def daemon(self, data: Mapping[str, Any]) -> Daemon:
        return Daemon(
            config=world.built(data, self.folder), clock=self.clock, transports=self.taps, senders=self.sender
        )

    @asynccontextmanager
    async def running(self, data: Mapping[str, Any]) -> AsyncIterator[Daemon]:
        """A daemon that is drained and stopped at the end."""
        daemon = self.daemon(data)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(daemon.run)
            yield daemon
            await daemon.stop()

    # ── what became of it ────────────────────────────────────────────────────────────────────────────────────────────

    def transitions(self, account: str) -> list[Transition]:
        """The emitted log of an account's alerts, the daemon's own about it included."""
        with _reading(self.folder) as reader:
            return [t for t in reader.transitions() if t.labels.get("account") == account]

    def gaps(self, account: str) -> list[Gap]:
        with _reading(self.folder) as reader:
            return [gap for gap in reader.gaps(0.0) if gap.query.startswith(f"{account}/")]

    def told(self, target: str) -> list[tuple[float, str]]:
        """When the target accepted what, by its title."""
        sender = self.senders.get(target)
        return [(s.at, s.notification.title) for s in sender.accepted] if sender else []

    def slots(self, account: str) -> dict[tuple[str, str], list[tuple[int, int]]]:
        """(product, metric) -> stretches of slots that the vendor handed out."""
        rows: Any = self.emulator.report()["slots"]
        return {
            (row["product"], row["metric"]): [(start, end) for start, end in row["intervals"]]
            for row in rows
            if row["account"] == account
        }

    def quotas(self, account: str) -> list[dict[str, Any]]:
        """The vendor's own count."""
        rows: Any = self.emulator.report()["quotas"]
        return [row for row in rows if row["account"] == account]


class _reading:  # noqa: N801 - used as a function
    """The recorded state, read beside the daemon or after it."""

    def __init__(self, folder: Path) -> None:
        self._reader = open_readonly(f"sqlite:///{folder}/state.db")

    def __enter__(self) -> Any:
        return self._reader

    def __exit__(self, *_: object) -> None:
        self._reader.close()


Metrics = Mapping[tuple[str, frozenset[tuple[str, str]]], float]


def scrape(daemon: Daemon) -> Metrics:
    """`/metrics` as Prometheus reads it: (name, labels) -> value."""
    text = render(daemon.snapshot()).decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def metric(metrics: Metrics, name: str, **labels: str) -> float:
    """The sum of a metric's samples that have these labels; 0 where there are none."""
    wanted = set(labels.items())
    return sum(value for (found, has), value in metrics.items() if found == name and wanted <= has)


def blind_reasons(metrics: Metrics, account: str) -> set[str]:
    """Why an account cannot be seen, by `watcher_account_blind`."""
    return {
        dict(labels)["reason"]
        for (name, labels), value in metrics.items()
        if name == "watcher_account_blind" and dict(labels)["account"] == account and value
    }


@dataclass(slots=True)
class Probe:
    """What was seen while the daemon ran."""

    before: Metrics = field(default_factory=dict)
    during: Metrics = field(default_factory=dict)
    after: Metrics = field(default_factory=dict)
    report: Report = field(default_factory=dict)


def minutes(count: float) -> float:
    """In seconds."""
    return count * MINUTE
