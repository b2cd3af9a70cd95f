"""Configurations for traces: one account, one project, rules `last: 1` and `for: 40s` on every judged signal."""

from __future__ import annotations

from pathlib import Path

import yaml

from tests.benchmarks.traces import LINES, SIGNALS, Trace
from watcher.backtest.recording import Column, Recording
from watcher.config import Config, build
from watcher.yamlfile import loads

APP_ID = "0123456789abcdef0123456789abcdef"


def rules(signals: tuple[str, ...]) -> str:
    """One rule for each signal that has a line."""
    listed = [
        {
            "alert": f"Bad{signal.title().replace('_', '')}",
            "signal": signal,
            "when": {"last": 1, ("below" if LINES[signal] > 0.5 else "above"): LINES[signal]},
            "for": "40s",
            "severity": "critical",
        }
        for signal in signals
        if signal in LINES
    ]
    return yaml.safe_dump({"rules": listed})


def config(folder: Path, *, plan: str, queries: int) -> Config:
    """A plan with so many queries. No message waits for another: what is measured is the schedule."""
    (folder / "rules.yaml").write_text(rules(SIGNALS[queries]))
    document = {
        "accounts": [
            {
                "name": "acme",
                "provider": "agora",
                "plan": plan,
                "customer_id": "id",
                "customer_secret": "secret",
                "base_url": "http://agora.invalid",
                "projects": [{"name": "classroom", "app_id": APP_ID, "signals": list(SIGNALS[queries])}],
            }
        ],
        "targets": {"pager": "json://pager.invalid/"},
        "routes": [{"to": ["pager"], "group_by": ["rule", "product"], "group_interval": "0s"}],
        "flapping": {"beginnings": 0},
        "rules": ["rules.yaml"],
        "state": "sqlite:///state.db",
    }
    text = yaml.safe_dump(document)
    (folder / "config.yaml").write_text(text)
    return build(loads(text, str(folder / "config.yaml")), folder, pages=False)


def recording(trace: Trace) -> Recording:
    """The trace as if it had been read from a file."""
    columns = {series: Column(start, value) for series, (start, value) in trace.columns.items() if len(start)}
    return Recording(
        columns=columns, begin=trace.start, end=trace.end, rows=sum(len(c.start) for c in columns.values())
    )
