"""How judging behaves at its edges: the `judging:` part of the config (design, sections 4 and 5).

All of it is about time, and each value answers one question that a rule cannot: they hold for all rules alike, since an
alert that is judged by its neighbours' patience would be hard to explain at three in the morning.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from watcher.clock import DAY, HOUR, MINUTE
from watcher.yamlfile import Duration, Strict


def _some(seconds: int) -> int:
    if seconds < 5 * MINUTE:
        raise ValueError("is too short; give it at least 5m")
    return seconds


def _kept(seconds: int) -> int:
    if seconds > 16 * HOUR:
        raise ValueError("is too long; give it at most 16h")
    return seconds


class Judging(Strict):
    """`judging:` in the config."""

    undecided_for: Duration = 5 * MINUTE
    """Run-clock seconds that a verdict waits for a `require` whose answer is unknown; then it goes on unguarded."""

    horizon: Annotated[Duration, AfterValidator(_some), AfterValidator(_kept)] = HOUR
    """Event-time seconds behind the newest window within which points may still be revised.

    Windows are kept for a day, and up to half a horizon more than it is held open.
    """

    forget_after: Annotated[Duration, AfterValidator(_some)] = DAY
    """Event-time seconds without one judged window after which a firing alert is given up (cause `expired`)."""

    page_ended_within: Duration = HOUR
    """An incident that was over for longer than this when it became known is recorded, not paged."""
