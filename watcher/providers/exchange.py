"""One request of an account: carried out, and told to whoever keeps count (design, invariant 1).

What leaves was spent before, durably, by whoever holds the purse. Here is what follows: the vendor's own clock is read
off any answer, also off one that fails later, and the spend is taken back only where not one byte was written. Each
vendor's client builds its request and reads its reply; in between they are alike.
"""

from __future__ import annotations

import httpx

from watcher.errors import ProviderError
from watcher.model import Purse
from watcher.providers import http
from watcher.providers.http import Reply
from watcher.providers.vendortime import VendorTime


async def exchange(
    connections: httpx.AsyncClient,
    request: httpx.Request,
    *,
    purse: Purse,
    vendor_time: VendorTime,
    limit_bytes: int = http.BODY_LIMIT,
    deadline: float = http.DEADLINE,
) -> Reply:
    """One spend. Raises `ProviderError` and `StoreError`."""

    async def heard(date: float | None) -> None:
        vendor_time.heard(date)
        await purse.answered(date)

    try:
        reply = await http.fetch(connections, request, limit_bytes=limit_bytes, deadline=deadline)
    except ProviderError as error:
        if error.vendor_time is not None:
            await heard(error.vendor_time)
        if not error.sent:
            await purse.refund()
        raise
    await heard(reply.date)
    return reply
