"""Debian's VictoriaMetrics and `vmalert -replay` as a second opinion: the same points and rules, judged by others.

Both run on loopback in a folder of their own, and their CPU seconds are read from /proc, so what else the machine does
does not count. Reading points in is counted apart from judging them.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import yaml

from tests.real.processes import free_port, program, started
from watcher.clock import rfc3339
from watcher.model import Points
from watcher.rules.rule import Rule

Firing = tuple[str, str, int, int | None]
"""Rule, project, event time at which it fired, event time at which it no longer did (None: still firing at the end)."""

PACKAGE = "victoria-metrics"

_TICK = os.sysconf("SC_CLK_TCK")
_PATIENCE = 120.0  # seconds for the server to come up


@dataclass(frozen=True, slots=True)
class Replayed:
    """What vmalert fired, and the CPU seconds of both programs: for reading points in, and for judging."""

    fired: frozenset[Firing]
    reading: float
    judging: float


def replay(points: Sequence[Points], rules: Sequence[Rule], folder: Path) -> Replayed:
    """Judge whole series by averages of a minute, at every event time."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    begin = min(int(p.start[0]) + p.width for p in points)
    end = max(int(p.start[-1]) + p.width for p in points)
    width = points[0].width
    arguments = [
        program("victoria-metrics", PACKAGE),
        f"-storageDataPath={folder / 'data'}",
        f"-httpListenAddr=127.0.0.1:{port}",
        "-retentionPeriod=100y",
        "-search.latencyOffset=0s",
        "-loggerLevel=ERROR",
    ]
    log = "victoria-metrics.log"
    with started(arguments, folder=folder, log=log) as server, httpx.Client(base_url=url, timeout=60) as http:
        _until_up(http)
        for at in range(0, len(points), 50):
            http.post("/api/v1/import", content=b"".join(_line(p) for p in points[at : at + 50])).raise_for_status()
        http.get("/internal/force_flush").raise_for_status()
        reading = _cpu(server.pid)
        vmalert = _vmalert(url, rules, folder, begin=begin, end=end, width=width)
        judging = _cpu(server.pid) - reading + vmalert
        http.get("/internal/force_flush").raise_for_status()
        fired = frozenset(_fired(http, width=width, end=end))
    return Replayed(fired, reading, judging)


def _vmalert(url: str, rules: Sequence[Rule], folder: Path, *, begin: int, end: int, width: int) -> float:
    """Run the replay to its end; its CPU seconds."""
    (folder / "rules.yaml").write_text(yaml.safe_dump(_group(rules, width)))
    before = os.times()
    ended = subprocess.run(
        [
            program("vmalert", PACKAGE),
            f"-rule={folder / 'rules.yaml'}",
            f"-datasource.url={url}",
            f"-remoteWrite.url={url}",
            f"-replay.timeFrom={rfc3339(begin)}",
            f"-replay.timeTo={rfc3339(end)}",
            f"-datasource.queryStep={width}s",
            "-replay.maxDatapointsPerQuery=100000",
            "-replay.rulesDelay=0s",
            "-replay.disableProgressBar",
            "-remoteWrite.flushInterval=100ms",
            "-remoteWrite.maxQueueSize=10000000",  # a replay pushes faster than it is written
            "-loggerLevel=ERROR",
        ],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def _group(rules: Sequence[Rule], width: int) -> Mapping[str, object]:
    each = [
        {
            "alert": rule.name,
            "expr": f"avg_over_time({rule.signal}[{rule.aggregate.seconds}s]) > {rule.level.value!r}",
            "for": f"{rule.hold}s",
        }
        for rule in rules
    ]
    return {"groups": [{"name": "bench", "interval": f"{width}s", "rules": each}]}


def _line(points: Points) -> bytes:
    """A whole series as VictoriaMetrics imports it, at event times."""
    metric = {"__name__": points.series.signal, "project": points.series.project}
    stamps = ((points.start + points.width) * 1000).tolist()
    return json.dumps({"metric": metric, "values": points.value.tolist(), "timestamps": stamps}).encode() + b"\n"


def _fired(http: httpx.Client, *, width: int, end: int) -> Iterator[Firing]:
    """The stretches of event times for which vmalert wrote `ALERTS{alertstate="firing"}`."""
    with http.stream("GET", "/api/v1/export", params={"match[]": '{__name__="ALERTS",alertstate="firing"}'}) as reply:
        reply.raise_for_status()
        for line in reply.iter_lines():
            row = json.loads(line)
            times = np.array(row["timestamps"], dtype=np.int64) // 1000
            cut = np.flatnonzero(np.diff(times) > width) + 1
            for stretch in np.split(times, cut):
                last = int(stretch[-1])
                over = last + width if last < end else None
                yield row["metric"]["alertname"], row["metric"]["project"], int(stretch[0]), over


# ── processes ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _until_up(http: httpx.Client) -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        with contextlib.suppress(httpx.TransportError):
            if http.get("/health").is_success:
                return
        assert time.monotonic() < deadline, "victoria-metrics did not come up"
        time.sleep(0.05)


def _cpu(pid: int) -> float:
    """CPU seconds of a running process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK
