"""Debian's Alertmanager on loopback: our alert shows up there with the right times, stays, and resolves."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from tests.alerts.build import LABELS, T0, commit, settle, transition
from tests.alerts.fakes import FakeStore
from tests.alerts.test_http import box
from tests.real.processes import free_port
from watcher.alerts import http as targets
from watcher.alerts.http import AlertmanagerSender, HttpPost
from watcher.clock import WallClock, rfc3339
from watcher.model import State
from watcher.secret import Secret

CONFIG = "route: {receiver: none}\nreceivers: [{name: none}]\n"


@contextlib.contextmanager
def alertmanager(folder: Path, port: int) -> Iterator[None]:
    """A fresh Alertmanager, alone."""
    program = shutil.which("prometheus-alertmanager")
    assert program, "needed: apt-get install --no-install-recommends prometheus-alertmanager"
    (folder / "am.yml").write_text(CONFIG)
    words = [f"--config.file={folder}/am.yml", f"--storage.path={folder}/am", f"--web.listen-address=127.0.0.1:{port}"]
    with (folder / "am.log").open("wb") as log:
        process = subprocess.Popen([program, *words, "--cluster.listen-address="], stdout=log, stderr=log)
        try:
            yield
        finally:
            process.terminate()
            process.wait(10)


async def shown(port: int) -> list[dict[str, Any]]:
    """What Alertmanager says that fires."""
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"http://127.0.0.1:{port}/api/v2/alerts")
        found: list[dict[str, Any]] = answer.json()
        return found


async def until_up(port: int) -> None:
    with anyio.fail_after(20):
        while True:
            with contextlib.suppress(httpx.TransportError):
                await shown(port)
                return
            await anyio.sleep(0.05)


async def until(port: int, count: int) -> list[dict[str, Any]]:
    """Wait until so many fire there."""
    with anyio.fail_after(20):
        while len(found := await shown(port)) != count:  # noqa: ASYNC110 - it has no event to wait for
            await anyio.sleep(0.1)
    return found


@pytest.mark.timeout(90)
async def test_an_alert_shows_up_stays_and_resolves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Believed for four seconds here: it is gone unless it is said again, stays while it is, and ends when it ends."""
    monkeypatch.setattr(targets, "VALID", 4.0)
    clock, port, store = WallClock(), free_port(), FakeStore()
    began = int(clock.now()) - T0 - 600
    with alertmanager(tmp_path, port):
        await until_up(port)
        post = HttpPost(url=Secret.of(f"http://127.0.0.1:{port}"), headers={}, clock=clock, path="/api/v2/alerts")
        sender = AlertmanagerSender(post=post, clock=clock)
        commit(store, transition(State.FIRING, began + 120, starts_at=began))
        async with box(sender, clock, store).opened() as opened:
            await settle(opened, clock)
            [alert] = await until(port, 1)
            assert alert["labels"] == {**LABELS, "alertname": "VideoFreezing", "severity": "critical"}
            assert alert["startsAt"].removesuffix(".000Z") + "Z" == rfc3339(T0 + began)
            for _ in range(4):
                await anyio.sleep(1.5)
                await sender.refresh(opened.told)
                assert len(await shown(port)) == 1, "said again before it expires there, it stays"
            commit(store, transition(State.RESOLVED, began + 500, seq=2, starts_at=began))
            await settle(opened, clock)
            await until(port, 0)
            commit(store, transition(State.FIRING, began + 590, seq=3, starts_at=began + 560))
            await settle(opened, clock)
            [again] = await until(port, 1)
            assert again["startsAt"].removesuffix(".000Z") + "Z" == rfc3339(T0 + began + 560)
            await until(port, 0)  # nobody says it again: it expires, which is what `refresh` is for
