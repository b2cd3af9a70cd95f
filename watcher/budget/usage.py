"""How an account's quotas stand, as plain values: for metrics, the schedule and the report (design, section 8)."""

from __future__ import annotations

from dataclasses import dataclass

from watcher.errors import Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """How one quota of one pool stands. Instants are the run clock's.

    `spent` is what the current fixed window holds (assumed units included), `left` how many more the ledger would grant
    in it, `resets_at` when the next one begins for sure, `free_at` when one more request could leave. `worst` is the
    most requests of any single fixed window, `total` all requests in the record; `granted` are those since the start,
    refunds not taken off, so that it never falls. `blocked_until` is set, with the vendor's `reason`, where the vendor
    refused. `capped`: the day's quota is the user's own cap (`Pool.capped`).
    """

    account: str
    family: str
    pool: str
    window: str
    window_seconds: int
    limit: int
    allowed: int
    spent: float
    left: float
    resets_at: float
    free_at: float
    blocked_until: float | None
    reason: Reason | None
    worst: int
    total: int
    refused_by_vendor: int
    granted: int = 0
    capped: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What the ledger did since it was opened: for counters, so nothing here ever falls."""

    granted: int = 0
    refused: int = 0
    refunded: int = 0
    restamped: int = 0
    assumed_units: int = 0
    clock_steps: int = 0
    dates_not_believed: int = 0
    store_failures: int = 0
