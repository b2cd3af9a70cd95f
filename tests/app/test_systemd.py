"""What the service manager is told, on a real datagram socket."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from structlog.testing import capture_logs

from watcher.app.systemd import ServiceManager

PID = 4711


@pytest.fixture
def manager_socket(tmp_path: Path) -> Iterator[socket.socket]:
    """What systemd would listen on."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.setblocking(False)
        yield listener


def received(listener: socket.socket) -> list[str]:
    """Every datagram that has come."""
    found = []
    while True:
        try:
            found.append(listener.recv(4096).decode())
        except BlockingIOError:
            return found


def test_states_are_told_in_the_protocols_words(manager_socket: socket.socket) -> None:
    """Ready with a status, reloading with the monotonic time that systemd compares, stopping."""
    manager = ServiceManager(address=manager_socket.getsockname())
    before = time.monotonic_ns() // 1000
    manager.ready("2 accounts")
    manager.reloading()
    manager.stopping()
    ready, reloading, stopping = received(manager_socket)
    assert ready == "READY=1\nSTATUS=2 accounts"
    word, micros = reloading.split("\n")
    assert word == "RELOADING=1"
    assert before <= int(micros.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000
    assert stopping == "STOPPING=1"


def test_an_abstract_address_is_reached() -> None:
    """A leading @ stands for the zero byte of Linux' abstract names."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0watcher-test-{os.getpid()}")
        listener.setblocking(False)
        ServiceManager(address=f"@watcher-test-{os.getpid()}").stopping()
        assert received(listener) == ["STOPPING=1"]


async def test_without_systemd_nothing_is_sent_and_nothing_runs() -> None:
    """No address: no words, no watchdog task, no warning."""
    with capture_logs() as logs:
        manager = ServiceManager.of({}, pid=PID)
        manager.ready("fine")
        await manager.keep_fed()
    assert logs == []


def test_a_socket_that_is_gone_costs_a_warning(tmp_path: Path) -> None:
    """The daemon's work does not hang on being able to say so."""
    with capture_logs() as logs:
        ServiceManager(address=str(tmp_path / "nobody")).stopping()
    assert [(entry["event"], entry["error"]) for entry in logs] == [("not_told", "No such file or directory")]


def test_a_reader_that_is_busy_is_not_waited_for(manager_socket: socket.socket) -> None:
    """A full socket loses words instead of stopping the event loop."""
    manager = ServiceManager(address=manager_socket.getsockname())
    began = time.monotonic()
    with capture_logs() as logs:
        for _ in range(10_000):
            manager.stopping()
            if logs:
                break
    assert logs
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("environment", "interval"),
    [
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(PID)}, 60.0),
        ({"WATCHDOG_USEC": "60000000"}, 60.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}, 0.0),
        ({"WATCHDOG_USEC": "soon"}, 0.0),
        ({}, 0.0),
    ],
)
def test_whose_watchdog_it_is(environment: dict[str, str], interval: float) -> None:
    """Only one that is meant for this process is fed."""
    assert ServiceManager.of({"NOTIFY_SOCKET": "/n", **environment}, pid=PID).interval == interval


async def test_the_watchdog_is_fed_three_times_an_interval(manager_socket: socket.socket) -> None:
    """One feeding may be lost without a restart."""
    manager = ServiceManager(address=manager_socket.getsockname(), interval=60.0)
    with anyio.move_on_after(119):
        await manager.keep_fed()
    assert received(manager_socket) == ["WATCHDOG=1"] * 6


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_an_event_loop_that_stands_still_feeds_nobody(manager_socket: socket.socket) -> None:
    """Feeding comes from the loop itself, so it stops with it and goes on with it."""
    manager = ServiceManager(address=manager_socket.getsockname(), interval=0.15)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(manager.keep_fed)
        await anyio.sleep(0.2)
        assert len(received(manager_socket)) >= 3
        time.sleep(0.5)  # noqa: ASYNC251 - a loop that is stuck is the point
        assert received(manager_socket) == []
        await anyio.sleep(0.2)
        assert received(manager_socket)
        tasks.cancel_scope.cancel()
