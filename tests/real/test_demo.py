"""`watcher demo --for 60s` as a newcomer runs it: a page, its resolve, a summary, the report; and what it needs."""

from __future__ import annotations

import json
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.real.processes import command
from watcher.clock import parse_rfc3339

LIMIT_MB = 150  # of peak resident memory, with three vendors emulated in the process
STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z\Z")


class Demo:
    """One run to its end: what it said and when (wall seconds), its document, and its peak memory."""

    def __init__(self, folder: Path) -> None:
        self.lines: list[tuple[float, str]] = []
        self.peak_mb = 0.0
        began = time.monotonic()
        line = command("demo", "--for", "60s", "--report", "report.json", "--json")
        with subprocess.Popen(line, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            for text in process.stderr:
                self.lines.append((time.monotonic() - began, text.rstrip("\n")))
                self._watch(process.pid)
            self.stdout = process.stdout.read()
        self.seconds = time.monotonic() - began
        self.code = process.returncode
        self.report: dict[str, Any] = json.loads((folder / "report.json").read_text())

    def _watch(self, pid: int) -> None:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
        if found:
            self.peak_mb = max(self.peak_mb, int(found[1]) / 1024)

    def first(self, words: str) -> float:
        """Wall seconds until a line first held these words."""
        return next(at for at, line in self.lines if words in line)


@pytest.mark.timeout(150)
def test_a_minute_of_the_demo(tmp_path: Path) -> None:
    """What a newcomer sees, what scripts read, and what the machine pays, in one run: it takes a minute."""
    demo = Demo(tmp_path)
    assert_page_and_resolve_in_time(demo)
    assert_report_is_as_agreed(demo)
    print(f"demo: peak resident memory {demo.peak_mb:.0f} MB of {LIMIT_MB}")
    assert 0 < demo.peak_mb < LIMIT_MB


def test_a_report_that_cannot_be_written_is_told_at_once(tmp_path: Path) -> None:
    """Not after a minute, and not as a traceback."""
    ended = subprocess.run(
        command("demo", "--for", "60s", "--report", "no/such/folder/report.json"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 2
    assert "Error:" in ended.stderr
    assert "Traceback" not in ended.stderr


def assert_page_and_resolve_in_time(demo: Demo) -> None:
    """The first page within 20 s of wall time, a resolve within 60, a summary, exit 0."""
    assert demo.code == 0
    assert demo.first("[FIRING]") < 20
    assert demo.first("[RESOLVED]") < 60
    assert 60 <= demo.seconds < 80
    closing = "\n".join(line for _, line in demo.lines[-30:])
    for words in ("judged", "requests", "alert "):
        assert words in closing
    assert "Traceback" not in closing


def assert_report_is_as_agreed(demo: Demo) -> None:
    """Alerts, requests and points with exactly the agreed keys; the file and stdout say the same."""
    assert json.loads(demo.stdout) == demo.report
    assert {"alerts", "requests", "points"} <= set(demo.report)
    assert len(demo.report["alerts"]) >= 2
    for alert in demo.report["alerts"]:
        keys = {"rule", "labels", "starts_at", "fired_at", "notified_at", "ended_at", "delivered_to"}
        assert keys <= set(alert)
        for key in ("starts_at", "fired_at", "notified_at", "ended_at"):
            assert alert[key] is None or STAMP.match(alert[key]), alert
        starts, fired, told = (parse_rfc3339(alert[key]) for key in ("starts_at", "fired_at", "notified_at"))
        assert starts <= fired <= told
        assert alert["delivered_to"] == ["terminal"]
        assert {"account", "provider", "project"} <= set(alert["labels"])
    windows = {row["window"] for row in demo.report["requests"]}
    assert windows == {"minute", "day", "30s", "1s"}
    assert {alert["labels"]["provider"] for alert in demo.report["alerts"]} == {"agora", "vonage", "twilio"}
    for row in demo.report["requests"]:
        assert {"account", "family", "window", "spent", "limit", "total", "refused_by_vendor"} <= set(row)
        assert row["spent"] < row["limit"]
        assert row["refused_by_vendor"] == 0
    points = demo.report["points"]
    assert set(points) == {"received", "judged", "lost"}
    assert points["judged"] == points["received"] > 1000
    assert points["lost"] == 0
