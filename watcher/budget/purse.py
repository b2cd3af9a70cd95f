"""The budget as one look sees it: the first request is spent already, and few more may follow.

A retry or a second domain is a new spend, and at most one extra per look (design, invariant 1), so that a vendor in
trouble costs no more than twice what a healthy one does. Looks that page through results need more; their provider says
how many. A refund gives the unit back to the account, never the attempt to the look: a host that cannot be reached must
not be tried for ever. A quota per second is waited for, since that is a second; every other ends the look.
"""

from __future__ import annotations

from collections.abc import Sequence

from watcher.budget.ledger import Ledger
from watcher.budget.quota import SECOND, Refusal
from watcher.model import Purse, Spend

_PATIENCE = 2  # waits for a quota per second; one is enough unless a request was never answered


class LookPurse:
    """A `Purse` for one look."""

    def __init__(self, *, ledger: Ledger, pools: Sequence[str], first: Spend, extra: int = 1) -> None:
        self._ledger = ledger
        self._pools = tuple(pools)
        self._last: Spend | None = first
        self._extra = extra
        self.refusal: Refusal | None = None
        """What the ledger said when it last refused, for the log."""

    async def spend(self) -> bool:
        """Record one more request durably; False where this look may make no more, or the budget refuses.

        Raises `StoreError` where it cannot be recorded: no request may leave then either.
        """
        if self._extra <= 0:
            return False
        self._extra -= 1
        decision = await self._ledger.spend(self._pools)
        for _ in range(_PATIENCE):
            if not (isinstance(decision, Refusal) and decision.window == SECOND):
                break
            await self._ledger.wait_until(decision.at)
            decision = await self._ledger.spend(self._pools)
        if isinstance(decision, Refusal):
            self.refusal = decision
            return False
        self._last = decision
        return True

    async def refund(self) -> None:
        """Take the last spend back, durably; nothing where it is back already. Raises `StoreError`: it stands then."""
        if self._last is not None:
            await self._ledger.refund(self._last)
            self._last = None

    async def answered(self, vendor_time: float | None) -> None:
        """The last request was answered, with this `Date`. Raises `StoreError`."""
        if self._last is not None:
            await self._ledger.answered(self._last, vendor_time)


def _port(purse: LookPurse) -> Purse:
    """That a `LookPurse` is a `Purse` is for the type checker to say."""
    return purse
