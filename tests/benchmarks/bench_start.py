"""From `watcher run` to ready, beside a Python that only imports what such a program stands on."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import yaml

from tests.app import world
from tests.real.processes import free_port, running

YARDSTICK = """
import apprise, httpx, prometheus_client, pydantic, numpy
apprise.Apprise().add("json://localhost")
httpx.AsyncClient()
"""


def measure(folder: Path, *, rounds: int) -> tuple[float, float, float]:
    """Median of start / yardstick over pairs in turn, and the best seconds of each."""
    port = free_port()
    data = {**world.config(folder), "http": {"listen": f"127.0.0.1:{port}"}}
    data["accounts"][0] |= {"base_urls": [f"http://127.0.0.1:{free_port()}"]}
    (folder / "config.yaml").write_text(yaml.safe_dump(data))
    pairs = [(_start(folder, port), _imports()) for _ in range(rounds + 1)][1:]  # the first warms the disk's cache
    return median(s / i for s, i in pairs), min(s for s, _ in pairs), min(i for _, i in pairs)


def _start(folder: Path, port: int) -> float:
    began = time.monotonic()
    with running(["run", "-c", "config.yaml"], folder=folder) as process:
        while not _ready(port):
            assert process.poll() is None, (folder / "watcher.log").read_text()
            time.sleep(0.005)
        return time.monotonic() - began


def _ready(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5) as wire:
        wire.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return b" 200 " in wire.recv(64)
    return False


def _imports() -> float:
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", YARDSTICK], check=True)
    return time.monotonic() - began
