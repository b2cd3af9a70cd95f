"""Numbers, instants and spans of time as people read them: one way to write each, in texts and in pictures."""

from __future__ import annotations

from watcher.clock import hhmm, rfc3339
from watcher.model import Unit, unit_of


def number(value: float, signal: str) -> str:
    """In the unit of what the rule measures; a bare number where that is not known."""
    match unit_of(signal):
        case Unit.RATIO:
            return f"{_short(value * 100)}%"
        case Unit.SECONDS:
            return f"{_short(value * 1000)} ms" if abs(value) < 1 else f"{_short(value)} s"
        case Unit.BYTES_PER_SECOND:
            return f"{_short(value / 1000)} kB/s"
    return _short(value)


def _short(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if abs(value) < 1e6 else f"{value:.4g}"


def when(at: float) -> str:
    """`2026-01-31 10:02:20 UTC`"""
    return (rfc3339(int(at)) or "").replace("T", " ").replace("Z", " UTC")


def period(start: float, end: float) -> str:
    """`10:02–10:09`, with dates where they differ."""
    days = (rfc3339(start) or "")[:10], (rfc3339(end) or "")[:10]
    if days[0] == days[1]:
        return f"{hhmm(start)}–{hhmm(end)}"
    return f"{days[0]} {hhmm(start)}–{days[1]} {hhmm(end)}"


def span(seconds: float) -> str:
    """`95 s`, `12 min`, `3 h 20 min`"""
    whole = int(seconds)
    if whole < 120:
        return f"{whole} s"
    minutes = whole // 60
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
