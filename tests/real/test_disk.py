"""A disk that is really full, under a running process: a file size limit of the kernel stands in for it.

The limit can be set and lifted from outside and needs no privilege, and every write to the state beyond it fails as it
does on a full disk. The log goes to a pipe, which has no size.
"""

from __future__ import annotations

import json
import os
import resource
import sqlite3
import subprocess
import threading
from pathlib import Path
from typing import IO

import anyio
import pytest

from tests.real.processes import command, ended, terminate, until_ready
from tests.real.stand import SECRETS, Stand, eventually, hook, story
from watcher.model import Delivery, State
from watcher.store import open_readonly

LIFTED = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
FULL = (4096, resource.RLIM_INFINITY)


def _collect(pipe: IO[bytes], lines: list[str]) -> None:
    lines.extend(line.decode() for line in pipe)


@pytest.mark.timeout(120)
async def test_a_full_disk_under_a_running_daemon(tmp_path: Path) -> None:
    """No request leaves while it is full, operators hear of it, marked, and with room again it goes on, whole."""
    stand = Stand(tmp_path)
    stand.write_story(story())
    async with hook() as pager, stand.vendor():
        stand.targets = {"pager": pager.url}
        stand.write_config()
        process = subprocess.Popen(
            command("run", "-c", "config.yaml"), cwd=tmp_path, env=os.environ | SECRETS, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        lines: list[str] = []
        assert process.stderr is not None
        reader = threading.Thread(target=_collect, args=(process.stderr, lines))
        reader.start()
        try:
            await until_ready(stand.port)
            await eventually(lambda: any("VideoFreezing" in title for title in pager.titles()), seconds=60)
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, FULL)
            await eventually(lambda: any("WatcherNotDurable" in title for title in pager.titles()), seconds=60)
            before = await _requests(stand)
            await anyio.sleep(3)
            assert await _requests(stand) == before, "a request left without its record"
            assert (await stand.get("/readyz")).status_code == 503
            marked = next(body for body in pager.bodies if "WatcherNotDurable" in body["title"])
            assert "not durable" in marked["message"]
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, LIFTED)
            await eventually(lambda: any("state_writable_again" in line for line in lines), seconds=60)
            assert (await stand.get("/readyz")).status_code == 200
            await eventually(lambda: _resolved(tmp_path), seconds=60)
            terminate(process)
            assert await ended(process, seconds=10) == 0
        finally:
            process.kill()
            process.wait(10)
            reader.join()
            process.stderr.close()
    events = [json.loads(line)["event"] for line in lines]
    assert events.count("state_not_writable") == events.count("state_writable_again") == 1
    _assert_sound(tmp_path, [str(body["message"]).rpartition("ref: ")[2].strip() for body in pager.bodies])


def _resolved(folder: Path) -> bool:
    """Whether the end of the operators' page is on the record: it is said a minute after its beginning."""
    reader = open_readonly(f"sqlite:///{folder}/state.db")
    try:
        return [t.state for t in reader.transitions() if t.rule == "WatcherNotDurable"] == [
            State.FIRING,
            State.RESOLVED,
        ]
    finally:
        reader.close()


async def _requests(stand: Stand) -> object:
    return (await stand.vendor_report())["requests"]


def _assert_sound(folder: Path, received: list[str]) -> None:
    """Nothing is corrupted, and everything that was received is on the record as sent."""
    with sqlite3.connect(folder / "state.db") as state:
        assert state.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    reader = open_readonly(f"sqlite:///{folder}/state.db")
    recorded = {n.id: n.delivery for n in reader.notifications(0.0)}
    reader.close()
    assert len(received) == len(set(received))
    assert {recorded.get(reference) for reference in received} == {Delivery.SENT}
