"""The past of one live series by the hour (dossier sections 5.1, 6): whole days, oldest first, one request a look.

What is wanted is a time before anybody looked, so nothing is in a hurry and the oldest goes first: it is what the
vendor forgets next. A day is there when the plan's delay has passed since its end. The vendor computes it anew on day
T+2, so once all is read a look reads the newest days again, as many as a request may span: on Premium three, so that
day T is read on T+3 for the last time, and the answer says up to where it is settled.

Hours are what the vendor gives at the finest (a minute value is undocumented). An hour is a mean over its own divisor,
so of what is normal it says as much as its parts do, but hours differ less from each other than shorter means: a spread
made of them is too narrow, and what a rule takes for the least that matters (`at_least`) has to hold.

The vendor may fill an hour without anybody with 0, and users of the hour are told of both products together, so nothing
here tells a silent hour from a bad one. Where lower is worse, 0 is dropped: as what is normal it would keep the rule
silent, and an hour in which not one join succeeds is no normal one. Where higher is worse it stays: a calm hour has it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from watcher.clock import DAY, HOUR, Clock
from watcher.model import SIGNALS, Answer, Points, Purse, Query, Span, Worse
from watcher.providers.agora.insights.client import InsightClient
from watcher.providers.agora.insights.daily import AGAIN
from watcher.providers.agora.insights.settings import PAST, InsightLimits
from watcher.providers.agora.queries import Target
from watcher.providers.agora.values import Column, Oddity, Tally
from watcher.providers.vendortime import VendorTime


class Hourly:
    """The hours of an account's live series."""

    def __init__(
        self,
        *,
        targets: Iterable[Target],
        limits: InsightLimits,
        client: InsightClient,
        vendor_time: VendorTime,
        clock: Clock,
    ) -> None:
        self._targets = {target.query.id: target for target in targets}
        self._limits = limits
        self._client = client
        self._vendor_time = vendor_time
        self._clock = clock

    async def look(self, query: Query, covered: int | None, purse: Purse) -> Answer:
        """See `model.Source.look`. Raises `ProviderError`."""
        target, tally = self._targets[query.id], Tally()
        series = query.series[0]
        asked = self._asked(covered)
        column = await self._client.by_time(
            target.project.app_id, PAST[series.signal], series.product, asked, "1h", purse, tally
        )
        kept = _inside(column, asked, tally)
        if SIGNALS[series.signal].worse is Worse.DOWN:
            tally[Oddity.EMPTY_HOUR] += int(np.count_nonzero(kept & (column.value == 0)))
            kept &= column.value != 0
        points = Points(series=series, width=HOUR, start=column.start[kept], value=column.value[kept])
        return Answer(
            query=query,
            asked=asked,
            settled=max(asked.start, asked.end - AGAIN * DAY),
            points=(points,) if len(points) else (),
            received_at=self._clock.now(),
            oddities={str(oddity): count for oddity, count in tally.items() if count},
        )

    def _asked(self, covered: int | None) -> Span:
        """Whole days, strictly inside what one request may span and how far back it may go."""
        now = self._vendor_time.earliest()
        end = math.floor((now - self._limits.quality_delay - 1) / DAY) * DAY
        oldest = math.ceil((now - self._limits.back + 1) / DAY) * DAY
        longest = (self._limits.span - 1) // DAY * DAY + DAY  # less the second that the inclusive end is earlier
        wished = oldest if covered is None else covered // DAY * DAY
        start = max(oldest, min(wished, end - longest))
        return Span(start, min(end, start + longest))


def _inside(column: Column, asked: Span, tally: Tally) -> npt.NDArray[np.bool_]:
    """The hours that were asked for; a zone that is off by part of an hour has none."""
    on_grid = column.start % HOUR == 0
    inside = (column.start >= asked.start) & (column.start < asked.end)
    tally[Oddity.UNALIGNED] += int(np.count_nonzero(~on_grid))
    tally[Oddity.OUTSIDE] += int(np.count_nonzero(on_grid & ~inside))
    return np.asarray(on_grid & inside)
