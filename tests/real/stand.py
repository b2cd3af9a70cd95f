"""Everything around a daemon that is a process of its own: the emulated vendor, mail and web hooks, Prometheus.

At rate 1, with an incident in the vendor's history, so that the first looks find cause to page. Limits are wide: at
whatever hour a test runs, the share of the day that counts as spent must leave enough for the first looks.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from functools import partial
from pathlib import Path
from subprocess import Popen
from typing import Any

import anyio
import httpx
import msgspec
import yaml
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword, Session
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.app import world
from tests.real.processes import LOG, ended, free_port, program, running, started, terminate, until_ready
from watcher.httpserver import serve

CUSTOMER = "cust0mer-4711"
SECRET = "s3cr3t-0815"
PASSWORD = "pa55w0rd"
HOOK_TOKEN = "t0k3n-1234"
SECRETS = {"AGORA_ID": CUSTOMER, "AGORA_SECRET": SECRET}
HIDDEN = (CUSTOMER, SECRET, PASSWORD, HOOK_TOKEN)
"""What may appear in no log, page, metric or message."""

RULES = """
rules:
  - alert: VideoFreezing
    signal: video_freeze_ratio
    when: {avg: 1m, above: 5%}
    for: 1m
    clear: {below: 3%, for: 2m}
    require: {users: {above: 20}}
    severity: critical
    summary: "Video freezes {{ value | percent }} on {{ project }}"
"""

_LIMITS = {"per_minute": 200, "per_day": 200_000}


def story(**more: Any) -> dict[str, Any]:
    """Video of native users has frozen for ten minutes, and goes on."""
    tale = world.scenario(**more)
    account = tale["accounts"][0]
    account |= {"customer_id": CUSTOMER, "customer_secret": SECRET, "limits": dict(_LIMITS)}
    account["projects"][0]["day"] = {"trough": "80%"}
    freeze = world.incident(0, 120, "Native", videoFreezeRate="14%") | {"start": "-10m"}
    return {**tale, "incidents": [freeze]}


class Hook:
    """A web hook that keeps what it accepted; while `hangs` it answers nobody."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.hangs = False
        self.asked = 0
        self.port = 0
        self.app = Starlette(routes=[Route(f"/{HOOK_TOKEN}", self._receive, methods=["POST"])])

    @property
    def url(self) -> str:
        return f"json://127.0.0.1:{self.port}/{HOOK_TOKEN}"

    async def _receive(self, request: Request) -> Response:
        body = msgspec.json.decode(await request.body(), type=dict[str, Any])
        self.asked += 1
        if self.hangs:
            await anyio.sleep_forever()
        self.bodies.append(body)
        return Response(status_code=204)

    def titles(self) -> list[str]:
        return [str(body["title"]) for body in self.bodies]


@contextlib.asynccontextmanager
async def hook() -> AsyncIterator[Hook]:
    """A web hook on loopback."""
    sink = Hook()
    async with anyio.create_task_group() as tasks:
        serving = partial(serve, sink.app, host="127.0.0.1", port=0)
        sink.port = await tasks.start(serving)
        yield sink
        tasks.cancel_scope.cancel()


@dataclass(slots=True)
class Mailbox:
    """What a mail server received: parsed messages."""

    port: int
    mails: list[EmailMessage] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"mailto://oncall:{PASSWORD}@127.0.0.1:{self.port}?from=watcher@example.com&to=oncall@example.com"

    def holds(self, count: int) -> bool:
        """Whether so many arrived."""
        return len(self.mails) == count

    async def handle_DATA(self, server: object, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's
        if not session.authenticated:
            return "530 Authentication required"
        content = envelope.content
        mail = message_from_bytes(content if isinstance(content, bytes) else b"", policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        return "250 OK"


@contextlib.contextmanager
def mailbox() -> Iterator[Mailbox]:
    """A real SMTP server on loopback that wants a password."""
    box = Mailbox(free_port())

    def authenticate(server: object, session: object, envelope: object, mechanism: str, given: object) -> AuthResult:
        right = isinstance(given, LoginPassword) and (given.login, given.password) == (b"oncall", PASSWORD.encode())
        return AuthResult(success=right)

    server = Controller(
        box,
        hostname="127.0.0.1",
        port=box.port,
        authenticator=authenticate,
        auth_require_tls=False,
    )
    server.start()
    try:
        yield box
    finally:
        server.stop()


class Stand:
    """A folder with scenario, rules and configuration, and the addresses of what runs on them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.vendor_port = free_port()
        self.port = free_port()
        self.targets: dict[str, str] = {}
        self.more: dict[str, Any] = {}
        self.write_rules(RULES)

    # ── files ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def write_story(self, tale: Mapping[str, Any]) -> None:
        (self.folder / "world.yaml").write_text(yaml.safe_dump(dict(tale)))

    def write_rules(self, text: str) -> None:
        (self.folder / "rules.yaml").write_text(text)

    def write_config(self, **changes: Any) -> None:
        """The configuration of this stand; secrets come from the environment and from files, as they should."""
        for name, url in self.targets.items():
            (self.folder / f"{name}.url").write_text(url + "\n")
        account = {
            "name": "acme",
            "provider": "agora",
            "plan": "enterprise",
            "customer_id": "ENV AGORA_ID",
            "customer_secret": "ENV AGORA_SECRET",
            "base_url": f"http://127.0.0.1:{self.vendor_port}",
            "quotas": {"realtime": dict(_LIMITS)},
            "projects": [{"name": "classroom", "app_id": world.APP_ID}],
        }
        data = {
            "accounts": [account],
            "targets": {name: f"FILE {self.folder}/{name}.url" for name in self.targets},
            "routes": [{"to": list(self.targets)}],
            "rules": ["rules.yaml"],
            "state": "sqlite:///state.db",
            "http": {"listen": f"127.0.0.1:{self.port}"},
            **self.more,
            **changes,
        }
        text = yaml.safe_dump(data)
        (self.folder / "config.yaml").write_text(text.replace("ENV ", "!env ").replace("FILE ", "!file "))

    # ── processes ────────────────────────────────────────────────────────────────────────────────────────────────────

    @contextlib.asynccontextmanager
    async def vendor(self) -> AsyncIterator[Popen[bytes]]:
        """`watcher emulate agora` on `world.yaml`."""
        words = ["emulate", "agora", "--scenario", "world.yaml", "--listen", f"127.0.0.1:{self.vendor_port}"]
        with running(words, folder=self.folder, log="vendor.log") as process:
            await eventually(lambda: listening(self.vendor_port))
            yield process

    @contextlib.asynccontextmanager
    async def daemon(self) -> AsyncIterator[Popen[bytes]]:
        """`watcher run` on `config.yaml`, once it is ready."""
        with running(["run", "-c", "config.yaml"], folder=self.folder, environment=SECRETS) as process:
            await until_ready(self.port)
            yield process

    async def stops(self, process: Popen[bytes]) -> None:
        """SIGTERM drains within ten seconds, and all is well."""
        terminate(process)
        assert await ended(process, seconds=10) == 0, self.log()

    @contextlib.asynccontextmanager
    async def prometheus(self) -> AsyncIterator[str]:
        """Debian's Prometheus scraping the daemon every second; its address."""
        port = free_port()
        scrape = {
            "job_name": "watcher",
            "scrape_interval": "1s",
            "static_configs": [{"targets": [f"127.0.0.1:{self.port}"]}],
        }
        (self.folder / "prometheus.yaml").write_text(yaml.safe_dump({"scrape_configs": [scrape]}))
        line = [
            program("prometheus", "prometheus"),
            "--config.file=prometheus.yaml",
            "--storage.tsdb.path=tsdb",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
        with started(line, folder=self.folder, log="prometheus.log"):
            await eventually(lambda: listening(port))
            yield f"http://127.0.0.1:{port}"

    # ── what it says ─────────────────────────────────────────────────────────────────────────────────────────────────

    def log(self) -> str:
        return (self.folder / LOG).read_text()

    def events(self) -> list[dict[str, Any]]:
        """The log's events. Anything that is not one JSON object in one line fails."""
        found = [json.loads(line) for line in self.log().splitlines()]
        assert all(isinstance(event, dict) and event["event"] for event in found)
        return found

    def logged(self, event: str) -> list[dict[str, Any]]:
        return [found for found in self.events() if found["event"] == event]

    async def get(self, path: str) -> httpx.Response:
        async with httpx.AsyncClient() as client:
            return await client.get(f"http://127.0.0.1:{self.port}{path}")

    async def metrics(self) -> str:
        return (await self.get("/metrics")).text

    async def vendor_report(self) -> dict[str, Any]:
        async with httpx.AsyncClient() as client:
            report: dict[str, Any] = (await client.get(f"http://127.0.0.1:{self.vendor_port}/_emulator/report")).json()
            return report


async def listening(port: int) -> bool:
    """Whether somebody answers on a port of loopback."""
    try:
        stream = await anyio.connect_tcp("127.0.0.1", port)
    except OSError:
        return False
    await stream.aclose()
    return True


async def eventually(check: Callable[[], Any], *, seconds: float = 20) -> None:
    """Return once `check()` is true; it may be a coroutine function."""
    with anyio.fail_after(seconds):
        while True:
            found = check()
            if hasattr(found, "__await__"):
                found = await found
            if found:
                return
            await anyio.sleep(0.05)
