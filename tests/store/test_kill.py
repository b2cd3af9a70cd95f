"""kill -9 at any instant leaves all of a step or nothing, and what had returned is there (design, invariants 1 and 5).

Real processes, killed at seeded instants. A killed process leaves its writes to the kernel, so this shows that
transactions are whole and that nothing is acknowledged early; that a power cut takes nothing back rests on
`synchronous=FULL`, which `test_files` asserts.
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import defaultdict
from contextlib import closing
from pathlib import Path

from tests.store.worker import ALERTS, SERIES, values
from watcher.model import Delivery
from watcher.store import SqliteStore, open_store, state_path

KILLS = 30
ROOT = Path(__file__).parents[2]


def run_and_kill(url: str, chance: random.Random) -> dict[str, set[int]]:
    """Let a worker go on for a seeded number of calls and a seeded part of the next, kill it; what it had said."""
    said: dict[str, set[int]] = defaultdict(set)
    command = [sys.executable, "-m", "tests.store.worker", url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as child:
        assert child.stdout is not None
        lines = iter(child.stdout.readline, b"")
        for _ in range(chance.randint(1, 12)):
            what, step = next(lines).split()
            said[what.decode()].add(int(step))
        time.sleep(chance.uniform(0.0, 0.003))
        os.kill(child.pid, signal.SIGKILL)
        for line in lines:
            if line.endswith(b"\n"):
                what, step = line.split()
                said[what.decode()].add(int(step))
    return said


def check(store: SqliteStore, said: dict[str, set[int]]) -> None:
    """Everything that was said is there, and of every step all or nothing."""
    log = store.transitions()
    steps = [t.at // 20 for t in log]
    assert steps == list(range(len(steps)))
    count = len(steps)
    assert said["commit"] <= set(steps)

    for series in SERIES:
        points = store.points(series, 0)
        found = {} if points is None else dict(zip(points.start.tolist(), points.value.tolist(), strict=True))
        assert found == {start: value for step in steps for start, value in values(step, series).items()}
    assert store.covered() == ({"q": 20 * count} if count else {})
    assert sorted(a.body["step"] for a in store.alerts()) == steps[-ALERTS:]  # type: ignore[type-var] # it is a number

    owed = store.obligations()
    assert [o.transition for o in owed] == [t for t in log for _ in range(2)]
    messages = store.notifications(0.0)
    discharged = {o for m in messages for o in m.obligations}
    open_ = {o.id for target in ("slack", "mail") for o in store.open_obligations(target)}
    assert discharged | open_ == {o.id for o in owed}
    assert not discharged & open_
    assert said["notification"] <= {int(m.id[1:]) for m in messages}
    assert said["sent"] <= {int(m.id[1:]) for m in messages if m.delivery is Delivery.SENT}
    assert said["spend"] <= {int(s.id[1:]) for s in store.spends("acme", 0.0)}


def test_killed_at_any_instant(tmp_path: Path) -> None:
    """Thirty processes on one state, each killed in the middle of its work: never half a step, nothing lost."""
    url = f"sqlite:///{tmp_path}/s.db"
    chance = random.Random(20260101)
    all_said: dict[str, set[int]] = defaultdict(set)
    for _ in range(KILLS):
        for what, steps in run_and_kill(url, chance).items():
            all_said[what] |= steps
        store = open_store(url)  # at once: no stale lock
        check(store, all_said)
        store.close()
    with closing(sqlite3.connect(state_path(url))) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
