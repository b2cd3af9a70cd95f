"""A restart with weeks of history: how long the evaluator takes to know again what is normal, what that weighs, and how
long the event loop stands still meanwhile.

Series as an Agora account has them, by place: users and four signals that a weekly baseline judges, in windows of 20 s,
in a state on disk. They are read as the daemon does it: piece by piece, in the store's thread.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import anyio
import numpy as np

from tests.benchmarks.bench_baselines import MONDAY, WEEK, weekly
from watcher.model import USERS, Commit, Points, Query, Series
from watcher.rules.engine import Engine, Verdicts
from watcher.rules.settings import Judging
from watcher.store import SqliteStore, open_store
from watcher.workers import ThreadWorkers

SIGNALS = (USERS, "video_freeze_ratio", "network_delay_ratio", "join_success_ratio", "join_success_5s_ratio")
_WIDTH = 20
_TICK = 0.001  # seconds that the loop sleeps between two looks at the time


@dataclass(frozen=True, slots=True)
class Restart:
    """`seconds` of the whole, the `longest` piece in seconds, and the longest that the loop stood still."""

    series: int
    seconds: float
    longest: float
    stood_still: float
    pieces: int


def filled(folder: Path, *, series: int, weeks: int) -> str:
    """The URL of a state with that many series."""
    url = f"sqlite:///{folder / 'history.db'}"
    store = open_store(url)
    rng = np.random.default_rng(1)
    starts = np.arange(MONDAY, MONDAY + weeks * WEEK, _WIDTH)
    for number in range(series):
        of = _series(number)
        users = of.signal == USERS
        value = rng.integers(0, 500, len(starts)).astype(float) if users else rng.random(len(starts)) * 0.05
        store.commit(Commit(points=[Points(series=of, width=_WIDTH, start=starts, value=value)]))
    store.close()
    return url


def _series(number: int) -> Series:
    place, signal = divmod(number, len(SIGNALS))
    return Series("acme", "agora", f"project-{place // 2}", ("Native", "WebRTC")[place % 2], "", SIGNALS[signal])


def restoring(store: SqliteStore, *, series: int, weeks: int) -> tuple[Engine, Iterator[Verdicts | None]]:
    """An evaluator that is about to know again."""
    engine = Engine(rules=[replace(weekly(), name=s, signal=s) for s in SIGNALS[1:]], settings=Judging())
    end = MONDAY + weeks * WEEK
    queries = [
        Query(id=f"q{n}", account="acme", series=(_series(n),), pools=(), width=_WIDTH, delay=40.0, reach=2_400.0)
        for n in range(series)
    ]
    covered = {query.id: end for query in queries}
    return engine, engine.restoring((), queries=queries, covered=covered, points=store.points, now=float(end))


async def restart(url: str, *, series: int, weeks: int) -> Restart:
    """Read everything, and look at the clock meanwhile."""
    store, workers = open_store(url), ThreadWorkers(1)
    engine, steps = restoring(store, series=series, weeks=weeks)
    pieces: list[float] = []
    still = 0.0
    began = time.monotonic()

    async def watch() -> None:
        nonlocal still
        while True:
            before = time.monotonic()
            await anyio.sleep(_TICK)
            still = max(still, time.monotonic() - before - _TICK)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        done: Verdicts | None = None
        while done is None:
            before = time.monotonic()
            done = await workers.run(partial(next, steps))
            pieces.append(time.monotonic() - before)
        tasks.cancel_scope.cancel()
    seconds = time.monotonic() - began
    store.close()
    assert bool(engine.learning()) == (weeks < 2)
    return Restart(series, seconds, max(pieces), still, len(pieces))


def most_memory() -> int:
    """Bytes of memory that this process has had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
