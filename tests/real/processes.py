"""The program as its user has it: the command, in its own process, killed as kill -9 does."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import anyio
import httpx

LOG = "watcher.log"


def command(*words: str) -> list[str]:
    """`watcher …` with this interpreter."""
    return [sys.executable, "-m", "watcher", *words]


@contextlib.contextmanager
def running(words: Sequence[str], *, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process of the program in `folder`; its stderr is appended to a file there. Killed at the end if need be."""
    with (folder / LOG).open("ab") as log:
        process = subprocess.Popen(command(*words), cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
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
