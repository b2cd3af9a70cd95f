"""The demo: three emulated vendors and the daemon in one process, on an accelerated clock, over real HTTP.

Nothing in it is staged: the daemon is the one that `watcher run` starts, with the shipped rules; the emulator is the
one that `watcher emulate` serves; messages go through Apprise to a web hook that prints them. Only the clock differs:
an hour passes in a minute. Two incidents at Agora and at Vonage: one that had begun before the start (one look at the
vendor's history is enough to page for it), and one that begins while we watch. One at Twilio, which tells of calls when
they are over: it is paged for as it becomes known.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import anyio
import msgspec
from anyio.abc import TaskStatus
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from watcher.app.daemon import Daemon
from watcher.clock import VirtualClock, hhmm, real_sleep, rfc3339
from watcher.config import build
from watcher.emulator.agora import build_agora
from watcher.emulator.scenario import read as read_scenario
from watcher.emulator.twilio.scenario import read as read_twilio
from watcher.emulator.twilio.server import build_twilio
from watcher.emulator.vonage.scenario import read as read_vonage
from watcher.emulator.vonage.server import build_vonage
from watcher.httpserver import serve
from watcher.yamlfile import loads

EPOCH = 1_767_261_600.0  # 2026-01-01T10:00:00Z: a Thursday morning, calls under way
_HERE = Path(__file__).parent
_MAX_MESSAGE = 100_000

Say = Callable[[str], None]


async def run_demo(*, seconds: float, rate: float, say: Say) -> dict[str, Any]:
    """Run for `seconds` of wall time at `rate` run seconds per second; returns the report of design section 8."""
    clock = VirtualClock(epoch=EPOCH, rate=rate)
    epoch = clock.now()
    scenario = read_scenario(_HERE / "scenario.yaml", epoch=epoch)
    emulator = build_agora(scenario, clock)
    second = build_vonage(read_vonage(_HERE / "vonage.yaml", epoch=epoch), clock)
    third = build_twilio(read_twilio(_HERE / "twilio.yaml", epoch=epoch), clock)
    say(f"An hour of calls in {3600 / rate:.0f} seconds, starting at {hhmm(EPOCH)} UTC; stops after {seconds:.0f} s.\n")
    with tempfile.TemporaryDirectory(prefix="watcher-demo-") as folder:
        async with anyio.create_task_group() as tasks:
            vendor = await tasks.start(lambda task_status: _serve(emulator.app, task_status, date_header=False))
            vonage = await tasks.start(lambda task_status: _serve(second.app, task_status, date_header=False))
            twilio = await tasks.start(lambda task_status: _serve(third.app, task_status, date_header=False))
            hook = await tasks.start(lambda task_status: _serve(_printer(clock, say), task_status))
            ports = {"vendor": vendor, "vonage": vonage, "twilio": twilio}
            document = loads(_config(ports, hook=hook, folder=Path(folder)), "demo config")
            daemon = Daemon(config=build(document, _HERE), clock=clock)
            tasks.start_soon(daemon.run)
            await real_sleep(seconds)
            report = await daemon.report()
            await daemon.stop()
            tasks.cancel_scope.cancel()
    say(_closing(report, emulator.report()))
    return report


def shipped_rules() -> Path:
    """The folder of rule packs: beside the package in a checkout, under the prefix where it is installed."""
    checkout = _HERE.parent.parent / "rules"
    return checkout if (checkout / "agora.yaml").is_file() else Path(sys.prefix) / "share" / "watcher" / "rules"


def _config(vendors: Mapping[str, int], *, hook: int, folder: Path) -> str:
    text = (_HERE / "config.yaml").read_text()
    fill = {
        **{name: f"http://127.0.0.1:{port}" for name, port in vendors.items()},
        "hook": f"json://127.0.0.1:{hook}/",
        "rules": str(shipped_rules()),
        "state": f"sqlite:///{folder}/state.db",
    }
    return re.sub(r"\{(\w+)\}", lambda m: fill.get(m[1], m[0]), text)


async def _serve(app: Starlette, task_status: TaskStatus[int], *, date_header: bool = True) -> None:
    await serve(app, host="127.0.0.1", port=0, date_header=date_header, task_status=task_status)


def _printer(clock: VirtualClock, say: Say) -> Starlette:
    """A web hook that prints what it is sent."""

    async def receive(request: Request) -> Response:
        body = await request.body()
        message = msgspec.json.decode(body[:_MAX_MESSAGE], type=dict[str, Any])
        say(_box(clock.now(), str(message.get("title", "")), str(message.get("message", ""))))
        return Response(status_code=204)

    return Starlette(routes=[Route("/", receive, methods=["POST"])])


def _box(now: float, title: str, body: str) -> str:
    lines = [f"  │ {line}" for line in body.splitlines()]
    return "\n".join([f"{(rfc3339(int(now)) or '')[11:19]}  {title}", *lines, ""])


def _closing(report: dict[str, Any], vendor: dict[str, Any]) -> str:
    """The summary a newcomer reads last."""
    points = report["points"]
    lines = [
        "What happened",
        f"  windows   {points['judged']} judged of {points['received']} received, {points['lost']} lost",
    ]
    lines += [
        f"  requests  {row['account']} {row['family']}: {row['total']} in all, at most {row['spent']} of "
        f"{row['limit']} a {row['window']}, {row['refused_by_vendor']} refused by the vendor"
        for row in report["requests"]
    ]
    lines += [f"  alert     {_alert(alert)}" for alert in report["alerts"]]
    return "\n".join(lines)


def _alert(alert: dict[str, Any]) -> str:
    where = ", ".join(v for k, v in alert["labels"].items() if k in ("project", "product", "channel"))
    told = alert["notified_at"]
    paged = f"paged {told[11:19]}" if told else "not paged"
    ended = f"over {alert['ended_at'][11:19]}" if alert["ended_at"] else "still firing"
    return f"{alert['rule']} ({where}): fired {alert['fired_at'][11:19]}, {paged}, {ended}"
