"""Which query runs when: pure choice of the next look, and what it promises (design, section 2: plan, look)."""

from watcher.schedule.even import EvenPolicy
from watcher.schedule.feasibility import Shortfall, overspent, promised_gap, worst_detection
from watcher.schedule.state import (
    Policy,
    PoolView,
    QueryState,
    Slot,
    UsageView,
    Why,
    extra_requests,
    failed,
    failing,
    looked,
    wanted,
)

__all__ = [
    "EvenPolicy",
    "Policy",
    "PoolView",
    "QueryState",
    "Shortfall",
    "Slot",
    "UsageView",
    "Why",
    "extra_requests",
    "failed",
    "failing",
    "looked",
    "overspent",
    "promised_gap",
    "wanted",
    "worst_detection",
]
