"""Maintenance windows: hours of the week, or one span, in which matching alerts are not said."""

from __future__ import annotations

from dataclasses import dataclass, field

from watcher.alerts.hours import Weekly
from watcher.model import Match


@dataclass(frozen=True, slots=True, kw_only=True)
class Maintenance(Weekly):
    """Its hours, or one `span` in Unix seconds instead."""

    name: str
    match: Match = field(default_factory=dict)
    span: tuple[float, float] | None = None


def active(window: Maintenance, at: float) -> bool:
    """Whether the window is open at an instant."""
    if window.span is not None:
        return window.span[0] <= at < window.span[1]
    return window.hold(at)
