"""Project insights: one point a Pacific day, a day and a half behind (dossier sections 1, 2.3, 3.2, 5.4).

The vendor's days end at Pacific midnight; windows here lie on the UTC grid, so a day's point stands at 00:00 UTC of its
date. That is up to eight hours off and never matters: a daily figure that is 36 to 48 hours old cannot be judged by the
hour. Its product says `daily`, and latency and bitrate of a day are signals of their own: no rule mixes them with live
ones.

A day counts as settled three days after it ended. Figures may be null, missing or without attempts: then there is no
point. Rates are failures over attempts, weighed by attempts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np

from watcher.clock import DAY, HOUR, Clock
from watcher.model import Answer, Points, Purse, Query, Series, Span
from watcher.providers.vendortime import VendorTime
from watcher.providers.vonage import documents, wire
from watcher.providers.vonage.calendar import pacific_day
from watcher.providers.vonage.client import Client, OutOfBudget, Talk, VendorRefusal
from watcher.providers.vonage.points import Value
from watcher.providers.vonage.queries import DAILY, DAILY_DELAY, DAILY_SIGNALS
from watcher.providers.vonage.settings import Project
from watcher.providers.vonage.wire import Metric, Oddity, Tally

FIRST_DAYS = 7
KEPT_DAYS = 85  # the vendor keeps daily figures for 90
_AGAIN = 3  # days that are read again: the newest may be revised
MAX_PAGES = 9
_GROUPINGS = {"country": "COUNTRY", "sdk_type": "SDK_TYPE", "browser": "BROWSER"}


class Daily:
    """One project's days."""

    def __init__(self, *, project: Project, client: Client, vendor_time: VendorTime, clock: Clock) -> None:
        self._project = project
        self._client = client
        self._vendor_time = vendor_time
        self._clock = clock

    async def look(self, query: Query, covered: int | None, purse: Purse) -> Answer:
        """See `model.Source.look`."""
        tally: Tally = Tally()
        talk = self._client.talk(purse, tally)
        now = self._vendor_time.earliest()
        end = math.floor((now - DAILY_DELAY) / DAY) * DAY + DAY  # what is younger may be there already
        oldest = end - KEPT_DAYS * DAY
        begin = end - FIRST_DAYS * DAY if covered is None else max(covered - _AGAIN * DAY, oldest)
        begin = min(begin, end - DAY)
        found: dict[Series, dict[int, Value]] = {}
        try:
            await self._read(talk, query, begin, end, "", found)
            if self._project.daily is not None and self._project.daily.group_by is not None:
                await self._read(talk, query, begin, end, self._project.daily.group_by, found)
        except VendorRefusal as refusal:
            raise refusal.error() from refusal
        except OutOfBudget:
            tally[Oddity.UNREAD] += 1
            end = begin
        span = Span(begin, max(begin, end - DAY))
        return Answer(
            query=query,
            asked=span,
            settled=max(span.start, math.floor((now - DAILY_DELAY - DAY) / DAY) * DAY),
            points=tuple(_points(series, days, span) for series, days in found.items() if days),
            received_at=self._clock.now(),
            lost=Span(covered, oldest) if covered is not None and covered < oldest else None,
            oddities={str(oddity): count for oddity, count in tally.items() if count},
        )

    async def _read(
        self, talk: Talk, query: Query, begin: int, end: int, group: str, found: dict[Series, dict[int, Value]]
    ) -> None:
        text = documents.daily(self._project.id, _GROUPINGS.get(group, ""))
        wanted = {(series.product, series.signal): series for series in query.series}
        at, seen = "", {""}
        for _ in range(MAX_PAGES):
            variables = {"start": begin * 1000, "end": (end + 12 * HOUR) * 1000, "at": at}
            body = await talk.graphql(text, variables)
            data = body.data.project.project_data if body.data and body.data.project else None
            for metric in (data.resources if data else None) or ():
                if metric is not None:
                    self._metric(metric, group, wanted, found, talk.tally)
            page = data.page_info if data else None
            if page is None or not page.has_next_page or not page.end_cursor:
                return
            if page.end_cursor in seen:
                break
            at = page.end_cursor
            seen.add(at)
        talk.tally[Oddity.LOOP] += 1

    def _metric(
        self,
        metric: Metric,
        group: str,
        wanted: Mapping[tuple[str, str], Series],
        found: dict[Series, dict[int, Value]],
        tally: Tally,
    ) -> None:
        day = pacific_day(metric.interval_start)
        if day is None:
            tally[Oddity.NO_TIME] += 1
            return
        product = DAILY
        if group:
            label = {"country": metric.country, "sdk_type": metric.sdk_type, "browser": metric.browser}[group]
            product = f"{DAILY} {label}"
        for signal, value in _values(metric):
            series = wanted.get((product, signal))
            if series is not None:
                found.setdefault(series, {})[day] = value


def _values(metric: Metric) -> Iterator[tuple[str, Value]]:
    for signal, name in DAILY_SIGNALS.items():
        counted: wire.Attempts | None = getattr(metric.errors, name) if name and metric.errors else None
        attempts, failures = (counted.attempts, counted.failures) if counted is not None else (None, None)
        if attempts and failures is not None and 0 <= failures <= attempts:
            yield signal, Value(failures / attempts, attempts)
    usage = metric.usage
    published = usage.streamed_published_minutes if usage else None
    subscribed = usage.streamed_subscribed_minutes if usage else None
    for signal, minutes in (("daily_published_seconds", published), ("daily_subscribed_seconds", subscribed)):
        if minutes is not None and minutes >= 0:
            yield signal, Value(minutes * 60.0, math.nan)
    weight = subscribed if subscribed else math.nan
    leg = (metric.quality.subscriber or metric.quality.publisher) if metric.quality else None
    if leg is not None and leg.latency_ms_avg is not None and leg.latency_ms_avg >= 0:
        yield "daily_latency_seconds", Value(leg.latency_ms_avg / 1000.0, weight)
    if leg is not None and leg.video_bitrate_kbps_avg is not None and leg.video_bitrate_kbps_avg >= 0:
        yield "daily_video_bitrate_bytes_per_second", Value(leg.video_bitrate_kbps_avg * 125.0, weight)


def _points(series: Series, days: Mapping[int, Value], span: Span) -> Points:
    starts = sorted(day for day in days if span.start <= day < span.end)
    return Points(
        series=series,
        width=DAY,
        start=np.array(starts, np.int64),
        value=np.array([days[day].value for day in starts], np.float64),
        weight=np.array([days[day].weight for day in starts], np.float64),
    )
