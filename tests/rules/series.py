"""Series, answers and rules in a few characters, for the tests of this folder.

The notation is that of users' tests (`watcher.rules.shorthand`). The first value belongs to the window that starts at
`START`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from watcher.model import Answer, Points, Query, Series, Span
from watcher.rules.rule import Aggregate, Kind, Level, Requirement, Rule
from watcher.rules.shorthand import windows

START = 1_767_225_600  # 2026-01-01T00:00:00Z
W = 20


def series(signal: str = "video_freeze_ratio", *, product: str = "Native", channel: str = "") -> Series:
    """A series of the one project of these tests."""
    return Series("acme", "agora", "classroom", product, channel, signal)


def query(of: Series, *, width: int = W, settle: int = 2) -> Query:
    """The query that brings one series."""
    return Query(
        id="/".join(of), account="acme", series=(of,), pools=(), width=width, delay=40.0, reach=2320.0, settle=settle
    )


def points(of: Series, text: str | Sequence[float | None], *, start: int = START, width: int = W) -> Points:
    """The present windows of a series in shorthand."""
    read = windows(text) if isinstance(text, str) else list(text)
    kept = [(start + i * width, value) for i, value in enumerate(read) if value is not None]
    return Points(
        series=of,
        width=width,
        start=np.array([s for s, _ in kept], dtype=np.int64),
        value=np.array([v for _, v in kept], dtype=np.float64),
    )


def answer(
    of: Series,
    text: str | Sequence[float | None],
    *,
    start: int = START,
    settled: int | None = None,
    width: int = W,
    weights: Mapping[int, float] | None = None,
) -> Answer:
    """What a look brings: every window of `text` was asked for; all is settled unless told."""
    read = windows(text) if isinstance(text, str) else list(text)
    brought = points(of, read, start=start, width=width)
    if weights is not None:
        by_start = [weights.get(int(s), np.nan) for s in brought.start]
        brought = replace(brought, weight=np.array(by_start, dtype=np.float64))
    end = start + len(read) * width
    return Answer(
        query=query(of, width=width),
        asked=Span(start, end),
        settled=end if settled is None else settled,
        points=(brought,),
        received_at=float(end + 60),
    )


def rule(
    name: str = "VideoFreezing",
    signal: str = "video_freeze_ratio",
    *,
    aggregate: Aggregate | None = None,
    above: float | None = 0.05,
    below: float | None = None,
    hold: int = 0,
    keep_firing_for: int = 0,
    clear: float | None = None,
    clear_for: int = 0,
    require_users_above: float | None = None,
    no_data_after: int | None = None,
    labels: Mapping[str, str] | None = None,
    texts: Mapping[str, str] | None = None,
    severity: str = "critical",
) -> Rule:
    """A rule, `last: 1, above: 5%` unless told."""
    level = Level(above=False, value=below) if below is not None else Level(above=True, value=above or 0.0)
    require: tuple[Requirement, ...] = ()
    if require_users_above is not None:
        require = (Requirement(signal="users", level=Level(above=True, value=require_users_above)),)
    return Rule(
        name=name,
        signal=signal,
        aggregate=aggregate or Aggregate(kind=Kind.LAST),
        level=level,
        hold=hold,
        keep_firing_for=keep_firing_for,
        clear=None if clear is None else Level(above=not level.above, value=clear),
        clear_for=clear_for,
        require=require,
        no_data_after=no_data_after,
        labels=labels or {},
        texts=texts or {},
        severity=severity,
    )
