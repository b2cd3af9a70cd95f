"""The arithmetic that the schedule and its promises share: how fast a pool may be spent, and how long a round takes.

`RESERVE` is the share of a day's allowance that looks out of turn may take in advance. It shrinks with the day, so that
at any hour what is left is at least `1 - RESERVE` of the even share: the pace never falls below `slowest`, which is
what promises are made of.
"""

from __future__ import annotations

from collections.abc import Sequence

from watcher.clock import DAY
from watcher.schedule.state import PoolView, QuotaView

RESERVE = 0.03

EDGE = 10.0
"""Seconds by which a short window is longer than it says, since each request's time is uncertain on both sides."""


def shortest(quotas: Sequence[QuotaView]) -> float:
    """Seconds between two requests that quotas shorter than a day allow in the long run."""
    return max(((q.window_seconds + EDGE) / q.allowed for q in quotas if q.window_seconds < DAY), default=0.0)


def even(pool: PoolView) -> float:
    """Seconds between two requests when a full day is spent evenly."""
    return max([shortest(pool.quotas)] + [DAY / q.allowed for q in pool.quotas if q.window_seconds == DAY])


def slowest(pool: PoolView) -> float:
    """Seconds between two requests when the reserve is gone."""
    daily = [DAY / (q.allowed * (1 - RESERVE)) for q in pool.quotas if q.window_seconds == DAY]
    return max([shortest(pool.quotas), *daily])


def jam(quotas: Sequence[QuotaView]) -> float:
    """Seconds that a request may wait for short windows to empty, after looks out of turn."""
    return max((q.window_seconds + EDGE for q in quotas if q.window_seconds < DAY), default=0.0)


def longest_gap(pool: PoolView, queries: int) -> float:
    """Seconds between two looks at one of `queries` in rotation, at worst: one turn of the round goes to a retry."""
    return (queries + 1) * slowest(pool) + jam(pool.quotas)
