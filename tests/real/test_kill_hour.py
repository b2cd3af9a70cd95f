"""kill -9 at seeded instants of one scripted hour: three incidents, two targets, one of them flaky (invariant 5).

The daemon is a real process that is really killed and started again, wherever it is: while it starts, judges, records,
sends. Vendor and targets live in the test's process and share its virtual clock. The targets are the judges: what they
accepted, when, and under which id. `make test` runs the short form.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
import yaml
from anyio.abc import TaskStatus
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.app import world
from tests.conftest import EPOCH
from tests.real.processes import ended, free_port, running, terminate
from watcher.clock import HOUR, MINUTE, VirtualClock
from watcher.emulator.agora import build_agora
from watcher.emulator.scenario import reads
from watcher.httpserver import RESET, serve
from watcher.model import Delivery, State
from watcher.store import open_readonly

START = EPOCH + 12 * HOUR
LIMITS = {"per_minute": 120, "per_day": 100_000}
SLOW = 0.2  # real seconds between a target's accepting and its saying so: whoever is killed then must send again
SIGNALS = ["users", "video_freeze_ratio", "audio_freeze_ratio", "join_success_ratio"]
RULES = """
rules:
  - alert: VideoFreezing
    signal: video_freeze_ratio
    when: {avg: 1m, above: 5%}
    for: 1m
    clear: {below: 3%, for: 1m}
    require: {users: {above: 20}}
    severity: critical
  - alert: AudioFreezing
    signal: audio_freeze_ratio
    when: {last: 1, above: 3%}
    for: 1m
    require: {users: {above: 20}}
    severity: warning
  - alert: JoinsFailing
    signal: join_success_ratio
    when: {avg: 1m, below: 90%}
    for: 1m
    require: {users: {above: 20}}
    severity: critical
"""
INCIDENTS = [
    ("VideoFreezing", 5, 12, "Native", {"videoFreezeRate": "14%"}),
    ("AudioFreezing", 18, 10, "Native", {"audioFreezeRate": "9%"}),
    ("JoinsFailing", 32, 11, "WebRTC", {"joinSuccessRate": "80%"}),
]


@dataclass(frozen=True, slots=True)
class Receipt:
    """One message that a target accepted: when (run clock), and what it says."""

    at: float
    id: str
    states: tuple[tuple[str, bool], ...]  # (rule, whether it is over)


class Judge:
    """A web hook that keeps what it accepted; a flaky one refuses in every way there is, but never what it accepted."""

    def __init__(self, clock: VirtualClock, dice: random.Random | None) -> None:
        self.receipts: list[Receipt] = []
        self.answers: Counter[str] = Counter()
        self.port = 0
        self._clock = clock
        self._dice = dice
        self.app = Starlette(routes=[Route("/", self._receive, methods=["POST"])])

    async def _receive(self, request: Request) -> Response:
        body = msgspec.json.decode(await request.body(), type=dict[str, Any])
        act = (
            "ok"
            if self._dice is None
            else self._dice.choices(["ok", "429", "500", "hang", "reset"], [10, 4, 4, 1, 3])[0]
        )
        self.answers[act] += 1
        match act:
            case "429":
                return Response(status_code=429, headers={"retry-after": "20"})
            case "500":
                return Response(status_code=500)
            case "hang":
                await anyio.sleep(20)
                return Response(status_code=500)
            case "reset":
                request.scope["state"][RESET]()
                return Response(status_code=500)
        states = tuple((alert["rule"], alert["ended_at"] is not None) for alert in body["alerts"])
        self.receipts.append(Receipt(self._clock.now(), body["id"], states))
        await anyio.sleep(SLOW)
        return Response(status_code=204)


@asynccontextmanager
async def judges(clock: VirtualClock, seed: int) -> AsyncIterator[dict[str, Judge]]:
    """A steady target and a flaky one, on loopback."""
    found = {"steady": Judge(clock, None), "flaky": Judge(clock, random.Random(seed))}
    async with anyio.create_task_group() as tasks:
        for judge in found.values():
            judge.port = await tasks.start(partial(serve, judge.app, host="127.0.0.1", port=0))
        yield found
        tasks.cancel_scope.cancel()


@dataclass(slots=True)
class Campaign:
    """What was done, and what came of it."""

    kills: list[float]
    judges: dict[str, Judge]
    refused: int


async def campaign(folder: Path, *, rate: float, kills: int, seed: int) -> Campaign:
    """The scripted hour, and a quarter more for what is late."""
    dice = random.Random(seed)
    started = time.monotonic()
    clock = VirtualClock(epoch=START, rate=rate, started=started)
    incidents = [
        world.incident(START - EPOCH + at * MINUTE, minutes, product, **levels)
        for _, at, minutes, product, levels in INCIDENTS
    ]
    tale = world.scenario(incidents=incidents)
    tale["accounts"][0]["limits"] = LIMITS
    emulator = build_agora(reads(yaml.safe_dump(tale), epoch=EPOCH), clock)
    instants = sorted(START + dice.uniform(0.01, 0.99) * HOUR for _ in range(kills))
    done: list[float] = []
    async with judges(clock, seed) as targets, anyio.create_task_group() as tasks:
        vendor = await tasks.start(_serve_vendor, emulator.app)
        projects = [{"name": "classroom", "app_id": world.APP_ID, "signals": SIGNALS}]
        data = world.config(folder, projects=projects, rules_text=RULES)
        data["accounts"][0] |= {"base_urls": [f"http://127.0.0.1:{vendor}"], "quotas": {"realtime": LIMITS}}
        data["targets"] = {name: {"webhook": f"http://127.0.0.1:{target.port}/"} for name, target in targets.items()}
        data["routes"], data["operators"] = [{"to": list(targets), "repeat_interval": "1m"}], ["steady"]
        data["http"] = {"listen": f"127.0.0.1:{free_port()}"}
        (folder / "config.yaml").write_text(yaml.safe_dump(data))
        words = ["run", "-c", "config.yaml", "--virtual-clock", f"{START},{rate},{started!r}"]
        for instant in instants:
            with running(words, folder=folder) as process:
                await clock.sleep_until(instant)
                assert process.poll() is None, "the daemon ended by itself"
                process.kill()
                process.wait(10)
                done.append(clock.now())
        with running(words, folder=folder) as process:
            await clock.sleep_until(START + 1.25 * HOUR)
            terminate(process)
            assert await ended(process, seconds=15) == 0
        quotas: Any = emulator.report()["quotas"]
        refused = sum(row["refused"] for row in quotas)
        tasks.cancel_scope.cancel()
    return Campaign(kills=done, judges=targets, refused=refused)


async def _serve_vendor(app: Starlette, *, task_status: TaskStatus[int]) -> None:
    await serve(app, host="127.0.0.1", port=0, date_header=False, task_status=task_status)


def weigh(result: Campaign, folder: Path, *, in_flight: float) -> None:
    """0 lost, 0 out of order, and twice only what was in flight: accepted within `in_flight` run seconds of a kill."""
    reader = open_readonly(f"sqlite:///{folder}/state.db")
    obligations = [o for o in reader.obligations() if not o.transition.rule.startswith("Watcher")]
    notifications = {n.id: n for n in reader.notifications(0.0)}
    reader.close()
    duplicates = 0
    for name, target in result.judges.items():
        received = [receipt.id for receipt in target.receipts]
        owed = {o.id for o in obligations if o.target == name and not o.dropped}
        sent = {
            o for n in notifications.values() if n.delivery is Delivery.SENT and n.id in received for o in n.obligations
        }
        assert owed <= sent, f"{name} lost {sorted(owed - sent)}"
        for rule, *_ in INCIDENTS:
            news = _news(target.receipts, rule)
            assert news[-1:] == [True], f"{name} never heard that {rule} is over: {news}"
            assert news.count(True) == 1, f"{name} heard twice that {rule} is over: {news}"
        for number, receipt in enumerate(target.receipts):
            if receipt.id in received[:number]:
                first = target.receipts[received.index(receipt.id)]
                assert receipt.states == first.states
                assert any(0 <= kill - first.at <= in_flight for kill in result.kills), f"{receipt.id} came twice"
                duplicates += 1
    fired = {o.transition.rule for o in obligations if o.transition.state is State.FIRING}
    assert fired == {rule for rule, *_ in INCIDENTS}
    assert result.refused == 0
    flaky = result.judges["flaky"].answers
    assert all(flaky[act] for act in ("429", "500")), "a flaky target that never failed proves nothing"
    in_all = sum(len(target.receipts) for target in result.judges.values())
    print(
        f"{len(result.kills)} kills, {len(obligations)} obligations, {in_all} messages received, "
        f"0 lost, {duplicates} of them twice, "
        f"0 out of order; the flaky target answered {dict(flaky)}"
    )


def _news(receipts: list[Receipt], rule: str) -> list[bool]:
    """What a target heard of a rule, each message once: whether it was over."""
    seen: set[str] = set()
    news = []
    for receipt in receipts:
        if receipt.id not in seen:
            news += [over for name, over in receipt.states if name == rule]
        seen.add(receipt.id)
    return news


@pytest.mark.serial
@pytest.mark.timeout(180)
async def test_ten_kills_in_the_scripted_hour(tmp_path: Path) -> None:
    """The short form, at 120 times the pace."""
    weigh(await campaign(tmp_path, rate=120, kills=10, seed=10), tmp_path, in_flight=240)


@pytest.mark.soak
@pytest.mark.timeout(1800)
async def test_two_hundred_kills_in_the_scripted_hour(tmp_path: Path) -> None:
    """One kill in eighteen seconds of the hour, on the average, so that many strike while it starts."""
    weigh(await campaign(tmp_path, rate=5, kills=200, seed=200), tmp_path, in_flight=15)
