"""A look at the days of one of a project's series (dossier sections 5.1, 6).

Each day has one point, at midnight UTC of its date, as a signal of its own: `daily_video_freeze_ratio` is not
`video_freeze_ratio`, and its product says `daily` too, so no rule judges the one with the other. A day is there when
the plan's delay has passed since its end, and the vendor computes it anew on the second day after it: three days are
read at each look, so that the record is right in the end. What was judged by the first figure stays judged.

Some pages of the vendor show days that begin at midnight in China. Such a day is filed under its own date, and counted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from watcher.clock import DAY, Clock
from watcher.model import Answer, Points, Purse, Query, Series, Span
from watcher.providers.agora.insights.client import InsightClient
from watcher.providers.agora.insights.settings import DAILY, InsightLimits
from watcher.providers.agora.values import Column, Oddity, Tally
from watcher.providers.vendortime import VendorTime

AGAIN = 2  # days before the newest that are computed again on day T+2


class Daily:
    """One project's days."""

    def __init__(
        self, *, app_id: str, limits: InsightLimits, client: InsightClient, vendor_time: VendorTime, clock: Clock
    ) -> None:
        self._app_id = app_id
        self._limits = limits
        self._client = client
        self._vendor_time = vendor_time
        self._clock = clock

    async def look(self, query: Query, covered: int | None, purse: Purse) -> Answer:
        """See `model.Source.look`. One request, spent already; two until the spelling of a peak is known."""
        tally: Tally = Tally()
        asked, lost = self._asked(covered)
        series = query.series[0]
        product = series.product.removeprefix(DAILY).strip()
        column = await self._client.by_time(self._app_id, series.signal, product, asked, "1d", purse, tally)
        return Answer(
            query=query,
            asked=asked,
            settled=max(asked.start, asked.end - AGAIN * DAY),
            points=tuple(_points(series, column, asked, tally)),
            received_at=self._clock.now(),
            lost=lost,
            oddities={str(oddity): count for oddity, count in tally.items() if count},
        )

    def _asked(self, covered: int | None) -> tuple[Span, Span | None]:
        """Whole days, strictly inside what one request may span and how far back it may go."""
        now = self._vendor_time.earliest()
        end = math.floor((now - self._limits.delay - 1) / DAY) * DAY
        oldest = math.ceil((now - self._limits.back + 1) / DAY) * DAY
        longest = (self._limits.span - 1) // DAY * DAY + DAY  # less the second that the inclusive end is earlier
        if covered is None:
            return Span(max(oldest, end - longest), end), None
        seen = min(covered, end)
        start = max(seen - AGAIN * DAY, oldest)
        start = min(start, end - DAY)
        return Span(start, min(end, start + longest)), Span(seen, start) if start > seen else None


def _points(series: Series, column: Column, asked: Span, tally: Tally) -> Sequence[Points]:
    days: dict[int, float] = {}
    for at, value in zip(column.start.tolist(), column.value.tolist(), strict=True):
        day = math.floor(at / DAY + 0.5) * DAY
        if day != at:
            tally[Oddity.OTHER_ZONE] += 1
        if asked.start <= day < asked.end:
            days[day] = value
        else:
            tally[Oddity.OUTSIDE] += 1
    if not days:
        return ()
    starts = sorted(days)
    values = np.array([days[day] for day in starts], np.float64)
    return (Points(series=series, width=DAY, start=np.array(starts, np.int64), value=values),)
