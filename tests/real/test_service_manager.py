"""The daemon as systemd runs it: readiness, reload and watchdog on a socket like its own, and what SIGABRT leaves."""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from subprocess import Popen

import anyio
import pytest

from tests.real.processes import LOG, ended, started
from tests.real.stand import SECRETS, Stand, eventually, story

CAN_BE_STUCK = """
import signal, sys, time
signal.signal(signal.SIGUSR1, lambda *_: time.sleep(60))
from watcher.cli import main
main(sys.argv[1:])
"""
"""The program, whose event loop stands still once it is asked to: what a call that does not return does to it."""


class Systemd:
    """The receiving end of `$NOTIFY_SOCKET`."""

    def __init__(self, folder: Path) -> None:
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.address = str(folder / "notify")
        self._listener.bind(self.address)
        self._listener.setblocking(False)
        self.words: list[str] = []
        self.feedings = 0

    def heard(self) -> list[str]:
        """Every first word so far, feedings of the watchdog counted apart."""
        while True:
            try:
                first, *_ = lines = self._listener.recv(4096).decode().split("\n")
            except BlockingIOError:
                return self.words
            if first == "WATCHDOG=1":
                self.feedings += 1
            else:
                self.words += [first, *(line for line in lines if line.startswith("STATUS="))]

    def close(self) -> None:
        self._listener.close()


@asynccontextmanager
async def managed(stand: Stand, *, watchdog: float) -> AsyncIterator[tuple[Popen[bytes], Systemd]]:
    """A daemon that was told of a service manager, once it said that it is ready."""
    manager = Systemd(stand.folder)
    environment = {**SECRETS, "NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": str(int(watchdog * 1e6))}
    try:
        line = [sys.executable, "-c", CAN_BE_STUCK, "run", "-c", "config.yaml"]
        with started(line, folder=stand.folder, log=LOG, environment=environment) as process:
            await eventually(manager.heard)
            yield process, manager
    finally:
        manager.close()


@pytest.fixture
def stand(tmp_path: Path) -> Stand:
    """A daemon without targets, at a vendor that is not there: neither matters to a service manager."""
    built = Stand(tmp_path)
    built.write_story(story())
    built.write_config(targets={}, routes=[])
    return built


async def test_a_life_under_systemd(stand: Stand) -> None:
    """Ready once it listens, reloading around each reload, fed while it runs, stopping; a vendor is not needed."""
    async with managed(stand, watchdog=0.6) as (process, manager):
        assert manager.heard() == ["READY=1", "STATUS=1 accounts, 1 rules, 0 targets"]
        assert (await stand.get("/readyz")).status_code == 200
        process.send_signal(signal.SIGHUP)
        await eventually(lambda: len(manager.heard()) >= 5)
        assert manager.heard()[2:] == ["RELOADING=1", "READY=1", "STATUS=1 accounts, 1 rules, 0 targets"]
        stand.write_rules("rules: nonsense")
        process.send_signal(signal.SIGHUP)
        await eventually(lambda: len(manager.heard()) >= 8)
        assert manager.heard()[5:7] == ["RELOADING=1", "READY=1"]
        assert "refused" in manager.heard()[7]
        fed = manager.feedings
        await anyio.sleep(0.7)
        manager.heard()
        assert manager.feedings - fed >= 2
        await stand.stops(process)
        assert manager.heard()[8:] == ["STOPPING=1"]


async def test_a_stuck_daemon_starves_the_watchdog_and_tells_where_it_stood(stand: Stand) -> None:
    """It is not fed while it stands still; SIGABRT ends it with the stack of its loop, and without any secret."""
    async with managed(stand, watchdog=0.6) as (process, manager):
        process.send_signal(signal.SIGUSR1)
        await anyio.sleep(0.5)
        manager.heard()
        fed = manager.feedings
        await anyio.sleep(1.0)
        manager.heard()
        assert manager.feedings == fed
        process.send_signal(signal.SIGABRT)
        assert await ended(process, seconds=10) == -signal.SIGABRT
    said = stand.log()
    assert "Fatal Python error: Aborted" in said
    assert "<lambda>" in said
    assert "run_forever" in said
    assert not any(secret in said for secret in SECRETS.values())
