"""The program as its user has it: the command, in its own process, killed as kill -9 does."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import anyio
import httpx

LOG = "watcher.log"


def command(*words: str) -> list[str]:
    """`watcher …` with this interpreter."""
    return [sys.executable, "-m", "watcher", *words]


def program(name: str, package: str) -> str:
    """The path of a program that these tests need; without it they fail with what to do."""
    path = shutil.which(name)
    if path is None:
        raise AssertionError(f"{name} is not installed. Run: apt-get install --no-install-recommends {package}")
    return path


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(
    words: Sequence[str], *, folder: Path, log: str = LOG, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A process of the program in `folder`; its stderr is appended to a file there. Killed at the end if need be."""
    with started(command(*words), folder=folder, log=log, environment=environment) as process:
        yield process


@contextlib.contextmanager
def started(
    line: Sequence[str], *, folder: Path, log: str, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Any process, likewise."""
    whole = os.environ | dict(environment or {})
    with (folder / log).open("ab") as out:
        process = subprocess.Popen(line, cwd=folder, env=whole, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.wait(10)


async def until_ready(port: int, *, seconds: float = 20) -> None:
    """Return once `/readyz` says so."""
    with anyio.fail_after(seconds):
        async with httpx.AsyncClient() as client:
            while True:
                with contextlib.suppress(httpx.TransportError):
                    if (await client.get(f"http://127.0.0.1:{port}/readyz")).status_code == 200:
                        return
                await anyio.sleep(0.05)


async def ended(process: subprocess.Popen[bytes], *, seconds: float) -> int:
    """The exit code of a process that ends by itself."""
    with anyio.fail_after(seconds):
        while (code := process.poll()) is None:  # noqa: ASYNC110 - a process has no event to wait for
            await anyio.sleep(0.02)
    return code


def terminate(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
