"""What the page and the API show, as one value, and the port to whoever knows it (`app.viewing`).

The whole is made at once and shared: fifty readers cost one. What only one reader asks for (an alert's log, a rule's
explanation, another hour of a series) is asked for by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from watcher.model import Floats, Ints, Series
from watcher.web.asking import AskedCall, AskedGroups, ShownCall, ShownGroups
from watcher.web.shapes import (
    Accounts,
    AlertDetail,
    Alerts,
    ChangedAck,
    ChangedSilence,
    Explained,
    NewAck,
    NewSilence,
    PastAlert,
    Rules,
    Schedule,
    SeriesPoints,
    Signals,
    Silences,
    Status,
    Targets,
)

SHOWN_OF_ALERT = 3600  # seconds that a chart spans
MAX_ALERTS = 200
MAX_CHARTS = 500
MAX_LOOKS = 500
LONGEST_SERIES = 86_400  # seconds of one series that are given out at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Stay:
    """For how long an alert was in a state, in event time; `end` None while it is."""

    firing: bool
    start: int
    end: int | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Curve:
    """A signal over [start, end]: `ends[i]` is a window's end, `values[i]` its value, `width` its length in seconds."""

    signal: str
    start: int
    end: int
    width: int
    ends: Ints
    values: Floats
    threshold: float | None = None
    clear: float | None = None
    stays: tuple[Stay, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """Everything at one instant. `curves` are in the order of `signals`, `alert_curves` by the alert's id."""

    status: Status
    alerts: Alerts
    past: Sequence[PastAlert]
    silences: Silences
    signals: Signals
    accounts: Accounts
    schedule: Schedule
    rules: Rules
    targets: Targets
    curves: Sequence[Curve | None] = ()
    alert_curves: Mapping[str, Curve] = field(default_factory=dict)


class Views(Protocol):
    """What can be seen and changed. Every method raises `Refused` with words for a person."""

    async def board(self) -> Board:
        """Everything, a few seconds old at most; the same value until something is looked at anew."""
        ...

    async def alert(self, alert: str) -> tuple[AlertDetail, Curve | None]:
        """One alert with its history and the chart of its last hour."""
        ...

    async def series(self, series: Series, seconds: int) -> SeriesPoints:
        """One series over the last `seconds` of what is known."""
        ...

    async def explain(self, rule: str) -> Explained:
        """Why a rule is or is not firing."""
        ...

    async def add_silence(self, wish: NewSilence) -> ChangedSilence: ...

    async def expire_silence(self, silence: str) -> ChangedSilence: ...

    async def acknowledge(self, alert: str, wish: NewAck) -> ChangedAck: ...

    async def call(self, account: str, asked: AskedCall) -> ShownCall:
        """One call, read now within the account's budget; it may take half a minute."""
        ...

    async def groups(self, account: str, asked: AskedGroups) -> ShownGroups:
        """Whole days by groups, likewise."""
        ...
