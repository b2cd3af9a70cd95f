"""`watcher backtest` of many days as its user runs it: a process, from a CSV to a report; CPU and peak memory."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

from tests.benchmarks import traces, worlds
from tests.real.processes import command


class Backtest(NamedTuple):
    """What one run came to: rows of the file, CPU seconds, peak resident MiB, and its report."""

    rows: int
    cpu: float
    peak: float
    report: dict[str, Any]


def measure(folder: Path, *, days: int, plan: str = "enterprise", queries: int = 13) -> Backtest:
    """Write a day trace and its configuration, and run the command on them."""
    worlds.config(folder, plan=plan, queries=queries)
    rows = traces.write_csv(traces.generate("day", seed=11, days=days, queries=queries), folder / "points.csv")
    report = folder / "report.json"
    line = command("backtest", "-c", "config.yaml", "--data", "points.csv", "--json")
    with report.open("wb") as out:
        process = subprocess.Popen(line, cwd=folder, stdout=out, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return Backtest(rows, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, json.loads(report.read_text()))
