"""Which query runs when: pure choice of the next look, and what it promises (design, section 2: plan, look)."""

from watcher.schedule.adaptive import AdaptivePolicy
from watcher.schedule.even import EvenPolicy
from watcher.schedule.feasibility import Shortfall, overspent, promised_gap, worst_detection
from watcher.schedule.load import Load, Profile
from watcher.schedule.promise import Unkept, longest_gaps, unkept
from watcher.schedule.state import (
    Evidence,
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
    "AdaptivePolicy",
    "EvenPolicy",
    "Evidence",
    "Load",
    "Policy",
    "PoolView",
    "Profile",
    "QueryState",
    "Shortfall",
    "Slot",
    "Unkept",
    "UsageView",
    "Why",
    "extra_requests",
    "failed",
    "failing",
    "longest_gaps",
    "looked",
    "overspent",
    "promised_gap",
    "unkept",
    "wanted",
    "worst_detection",
]
