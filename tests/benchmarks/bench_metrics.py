"""What `/metrics` costs beside a bare custom collector that renders as many samples, in the same run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from statistics import median

from prometheus_client import generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from watcher.metrics import SeriesValue, Snapshot, render
from watcher.model import SIGNALS, Series

NOW = 1_767_225_600.0
LABELS = ("account", "provider", "project", "product", "channel")


def values(series: int) -> list[SeriesValue]:
    """So many series: every signal, many channels."""
    names = list(SIGNALS)
    return [
        SeriesValue(
            Series(
                "acme", "agora", f"project-{n % 7}", ("Native", "WebRTC")[n % 2], f"room-{n}", names[n % len(names)]
            ),
            n / 7,
            NOW - n % 60,
            600.0,
        )
        for n in range(series)
    ]


class Bare(Collector):
    """The least that prometheus-client needs: families, label values, numbers, nothing looked at or cleaned."""

    def __init__(self, shown: list[SeriesValue]) -> None:
        self._rows: dict[str, list[tuple[tuple[str, ...], float, float]]] = {}
        for value in shown:
            row = (tuple(value.series[:-1]), value.value, value.ended_at)
            self._rows.setdefault(value.series.signal, []).append(row)

    def collect(self) -> Iterator[Metric]:
        for signal, rows in self._rows.items():
            numbers = GaugeMetricFamily(f"watcher_{signal}", "A value.", labels=LABELS)
            times = GaugeMetricFamily(f"watcher_{signal}_timestamp_seconds", "Its time.", labels=LABELS)
            for labels, number, at in rows:
                numbers.add_metric(labels, number)
                times.add_metric(labels, at)
            yield numbers
            yield times


def measure(*, series: int = 10_000, rounds: int = 7) -> tuple[float, float, float]:
    """Median of ours / bare over interleaved rounds, and the best seconds of each."""
    shown = values(series)
    snapshot = Snapshot(now=NOW, version="0", started_at=NOW, values=shown)
    bare = Bare(shown)
    ours = render(snapshot)
    assert samples(ours) == samples(generate_latest(bare)) == 2 * series
    mine, theirs = [], []
    for _ in range(rounds):
        mine.append(timed(lambda: render(snapshot)))
        theirs.append(timed(lambda: generate_latest(bare)))
    return median(m / t for m, t in zip(mine, theirs, strict=True)), min(mine), min(theirs)


def samples(body: bytes) -> int:
    """Samples of the signals in a body."""
    return sum(line.startswith(b"watcher_") and b'channel="' in line for line in body.splitlines())


def timed(call: Callable[[], bytes]) -> float:
    """CPU seconds of one call: the other core's work does not count."""
    started = time.process_time()
    call()
    return time.process_time() - started
