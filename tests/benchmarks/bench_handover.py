"""From points received to message handed to the target's sender, through the real engine, store and outbox.

1,000 rules judge one series, the worst case for one answer: every answer is judged 1,000 times. One of the rules fires
and clears in turn; measured is the wall time from the answer to the call of `Sender.send`, in the loop, with the
store's thread and its fsync.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import anyio
import numpy as np

from watcher.alerts.desk import Desk
from watcher.alerts.limits import Flapping, Limits
from watcher.alerts.outbox import Outbox
from watcher.alerts.route import Routing
from watcher.alerts.settings import AlertsSettings, RouteSettings
from watcher.app.recorder import Recorder
from watcher.clock import WallClock, real_monotonic
from watcher.model import Answer, Commit, Notification, Points, Query, Series, Span
from watcher.rules.engine import Engine
from watcher.rules.rule import Aggregate, Kind, Level, Rule
from watcher.rules.settings import Judging
from watcher.secret import Secret
from watcher.store import open_store
from watcher.workers import ThreadWorkers

WIDTH = 20
SERIES = Series("acme", "agora", "classroom", "Native", "", "video_freeze_ratio")
QUERY = Query(
    id="q", account="acme", series=(SERIES,), pools=("p",), width=WIDTH, delay=20.0, reach=3489.0, settle=2
)  # fmt: skip


class _Stopwatch:
    """A sender that accepts at once and notes when it was called."""

    def __init__(self) -> None:
        self.called = anyio.Event()
        self.at = 0.0

    async def send(self, notification: Notification) -> None:
        self.at = real_monotonic()
        self.called.set()


def rules(count: int) -> list[Rule]:
    """One rule that the stream fires and clears, and others beside it at every level it never reaches."""
    average = Aggregate(kind=Kind.AVG, seconds=60)
    quiet = [
        Rule(
            name=f"Quiet{i}",
            signal=SERIES.signal,
            aggregate=average,
            level=Level(above=True, value=0.5 + i / (4 * count)),
            hold=60,
        )
        for i in range(count - 1)
    ]
    loud = Rule(
        name="Loud",
        signal=SERIES.signal,
        aggregate=Aggregate(kind=Kind.LAST),
        level=Level(above=True, value=0.05),
        severity="critical",
    )
    return [*quiet, loud]


async def handover(folder: Path, *, count: int = 1000, rounds: int = 200) -> Sequence[float]:
    """Seconds from answer to hand-over, for each round."""
    clock, sender = WallClock(), _Stopwatch()
    store, workers = open_store(f"sqlite:///{folder}/bench.db"), ThreadWorkers(1)
    settings = AlertsSettings(targets={"t": Secret.of("json://t.invalid")}, routes=(RouteSettings(to=("t",), group_interval=0),))  # fmt: skip  # noqa: E501
    routing = Routing.of(settings, page_ended_within=1e12)
    outbox = Outbox(
        target="t",
        sender=sender,
        store=store,
        workers=workers,
        clock=clock,
        timing=routing.timing,
        delivery=settings.delivery,
        limits=Limits(per_hour=10_000, flapping=Flapping(beginnings=0)),
    )
    recorder = Recorder(
        store=store, workers=workers, clock=clock, routing=routing, told={}, outboxes={"t": outbox}, desk=Desk(settings)
    )
    engine = Engine(rules=rules(count), settings=Judging())
    start = int(clock.now()) // WIDTH * WIDTH - rounds * 9 * WIDTH
    times: list[float] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(outbox.run)
        for i in range(rounds):
            answer = _answer(start + i * 9 * WIDTH, 0.2 if i % 2 == 0 else 0.01)
            sender.called = anyio.Event()
            began = real_monotonic()
            verdicts = engine.receive(answer, clock.now())
            await recorder.record(
                Commit(points=answer.points, alerts=verdicts.alerts, transitions=verdicts.transitions)
            )
            with anyio.fail_after(10):
                await sender.called.wait()
            times.append(sender.at - began)
            await anyio.sleep(0.005)  # the outbox notes that it was sent
        tasks.cancel_scope.cancel()
    store.close()
    return times


def _answer(start: int, value: float) -> Answer:
    """Nine new windows, as a look at an even pace on Enterprise brings."""
    starts = np.arange(start, start + 9 * WIDTH, WIDTH, dtype=np.int64)
    values = np.full(9, value) + np.linspace(0.0, 0.001, 9)
    span = Span(start, start + 9 * WIDTH)
    return Answer(
        query=QUERY,
        asked=span,
        settled=span.end,
        points=(Points(series=SERIES, width=WIDTH, start=starts, value=values),),
        received_at=float(span.end),
    )
