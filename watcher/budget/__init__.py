"""Quotas and the durable ledger: whether a request may leave, and proof of what has left (design, invariant 1)."""

from watcher.budget.ledger import KEEP, Ledger
from watcher.budget.purse import LookPurse
from watcher.budget.quota import MIN_SKEW, Grant, Kind, Pool, Quota, Refusal, Scope, decide, pool_id
from watcher.budget.usage import Counts, Usage

__all__ = [
    "KEEP",
    "MIN_SKEW",
    "Counts",
    "Grant",
    "Kind",
    "Ledger",
    "LookPurse",
    "Pool",
    "Quota",
    "Refusal",
    "Scope",
    "Usage",
    "decide",
    "pool_id",
]
