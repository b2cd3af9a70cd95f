"""The nightly figures: `projectData`, per Pacific day, a day and a half behind (dossier, 2.3, 3.2, 5.4).

A day's figures follow from the scenario by arithmetic, not by adding up its calls: sessions by the day curve, people
and minutes by the plan, failures by the healthy rate or the incident's, weighted by the hours it lasted. The split by
SDK, country and browser is a product of fixed shares, so that every grouping and every filter adds up to the same
whole and a page of them can be made without the pages before it. Several intervals add up their days.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product
from typing import Any

import numpy as np

from watcher.clock import DAY
from watcher.emulator.dice import bits, stamp, unit
from watcher.emulator.vonage.calendar import next_midnight, pacific_midnight, pacific_offset
from watcher.emulator.vonage.fast import Row
from watcher.emulator.vonage.world import Incident, Project

DAILY_KEPT, MONTHLY_KEPT = 90 * DAY, 366 * DAY

GROUPS: Mapping[str, tuple[str, Mapping[str, float]]] = {
    "SDK_TYPE": ("sdkType", {"JS": 0.6, "IOS": 0.2, "ANDROID": 0.15, "WINDOWS": 0.05}),
    "SDK_VERSION": ("sdkVersion", {"2.27.3": 0.5, "2.26.0": 0.3, "2.25.2": 0.2}),
    "COUNTRY": ("country", {"US": 0.4, "BR": 0.2, "DE": 0.15, "FR": 0.1, "MX": 0.1, "IN": 0.05}),
    "REGION": ("region", {"California": 0.5, "Texas": 0.3, "New York": 0.2}),
    "BROWSER": ("browser", {"CHROME": 0.7, "SAFARI": 0.15, "FIREFOX": 0.1, "EDGE": 0.05}),
    "BROWSER_VERSION": ("browserVersion", {"118": 0.6, "117": 0.3, "116": 0.1}),
}
"""Field and shares of each grouping. The values are the emulator's own."""

TIERS = ((2, "from1To2Publishers"), (6, "from3To6Publishers"), (8, "from7To8Publishers"), (10, "from9To10Publishers"),
         (35, "from11To35Publishers"), (math.inf, "from36PlusPublishers"))  # fmt: skip

_OTHER_TIERS = (
    "from36To40Publishers", "from41PlusPublishers", "from1To4Publishers", "from1To8Publishers", "from1To10Publishers",
    "from5To8Publishers", "from11To20Publishers", "from21To35Publishers",
)  # fmt: skip
_LATENCIES = (50, 100, 200, 300, 400, 500, 600, 700, 800, 900, 1000)
_BITRATES = (100, 200, 300, 400, 500, 600, 700, 800, 900, 1000, 1200, 1400, 1600, 1800, 2000, 2250, 2500, 2750, 3000)
_VERSION = re.compile(r"\d+\.\d+\.\d+\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is asked of the nightly figures. `filters`: values per grouping, none for all."""

    start: float
    end: float
    interval: str
    groups: tuple[str, ...]
    filters: Mapping[str, tuple[str, ...]]

    def bad_version(self) -> bool:
        """Whether an SDK version is not of the form 0.0.0."""
        return not all(_VERSION.match(version) for version in self.filters.get("SDK_VERSION", ()))


@dataclass(slots=True)
class _Figures:
    """One stretch of time, before it is split."""

    seconds: float = 0.0
    sessions: float = 0.0
    connections: float = 0.0
    published: float = 0.0  # minutes
    subscribed: float = 0.0
    attended: float = 0.0
    publishes: float = 0.0
    subscribes: float = 0.0
    failed_connects: float = 0.0
    failed_publishes: float = 0.0
    failed_subscribes: float = 0.0
    video_kbps: float = 0.0  # times seconds
    latency_ms: float = 0.0

    def add(self, other: _Figures) -> None:
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


class Nightly:
    """The figures of one project."""

    def __init__(self, *, project: Project, incidents: Sequence[Incident], delay: float, jitter: float) -> None:
        self._project = project
        self._incidents = tuple(i for i in incidents if i.project == project.name)
        self._delay = delay
        self._jitter = jitter

    def resolve(self, wish: Wish) -> str:
        """What AUTO comes to (INFERRED: the vendor does not say)."""
        if wish.interval != "AUTO":
            return wish.interval
        length = wish.end - wish.start
        return "DAILY" if length <= 31 * DAY else "WEEKLY" if length <= 90 * DAY else "MONTHLY"

    def intervals(self, wish: Wish, now: float) -> list[tuple[float, float, list[float]]]:
        """Start, end and days of every interval that has figures, in order."""
        interval = self.resolve(wish)
        found: dict[float, tuple[float, float, list[float]]] = {}
        for day in self._days(wish, now, MONTHLY_KEPT if interval == "MONTHLY" else DAILY_KEPT):
            start, end = _interval(day, interval)
            found.setdefault(start, (start, end, []))[2].append(day)
        return list(found.values())

    def page(self, wish: Wish, now: float, offset: int, first: int) -> tuple[int, list[Row]]:
        """How many metrics there are, and a page of them: interval by interval, group by group."""
        intervals = self.intervals(wish, now)
        parts = list(product(*(self._values(wish, group) for group in wish.groups)))
        total = len(intervals) * len(parts)
        share = math.prod(
            sum(GROUPS[group][1].get(value, 0.0) for value in values)
            for group, values in wish.filters.items()
            if values and group not in wish.groups
        )
        rows = []
        summed: dict[float, _Figures] = {}
        for place in range(offset, min(offset + first, total)):
            start, end, days = intervals[place // len(parts)]
            part = dict(zip(wish.groups, parts[place % len(parts)], strict=True))
            if start not in summed:
                summed[start] = self._sum(days)
            split = math.prod(GROUPS[group][1][value] for group, value in part.items())
            rows.append(_metric(summed[start], start, end, part, split * share, split))
        return total, rows

    def _values(self, wish: Wish, group: str) -> list[str]:
        wanted = wish.filters.get(group, ())
        return [value for value in GROUPS[group][1] if not wanted or value in wanted]

    def _days(self, wish: Wish, now: float, kept: float) -> Iterator[float]:
        """Pacific midnights of the days that are published and wanted."""
        day = pacific_midnight(max(wish.start, now - kept))
        while day < wish.end:
            after = next_midnight(day)
            if after + self._delay > now:
                return
            yield day
            day = after

    # ── one day ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _sum(self, days: Sequence[float]) -> _Figures:
        total = _Figures()
        for day in days:
            total.add(self._day(day, next_midnight(day)))
        return total

    def _day(self, start: float, end: float) -> _Figures:
        figures = _Figures(seconds=end - start)
        generated = self._project.generated
        if generated is not None:
            hours = np.arange(start, end, 3600.0)
            turns = generated.rooms * (end - start) / (generated.length + generated.gap)
            sessions = round(turns * float(generated.day.levels(hours).mean()) * self._wobble(start, 1))
            self._meet(figures, sessions, generated.participants, generated.length)
        for named in self._project.named:
            for meeting in named.meetings:
                if start <= meeting.start < end:
                    self._meet(figures, 1, meeting.participants, meeting.end - meeting.start)
        figures.failed_connects = figures.connections * self._mean("connectFailures", start, end)
        figures.failed_publishes = figures.publishes * self._mean("publishFailures", start, end)
        figures.failed_subscribes = figures.subscribes * self._mean("subscribeFailures", start, end)
        figures.video_kbps = self._mean("videoBitrateKbps", start, end) * self._wobble(start, 2) * figures.seconds
        figures.latency_ms = self._mean("videoLatencyMs", start, end) * self._wobble(start, 3) * figures.seconds
        return figures

    def _meet(self, figures: _Figures, sessions: float, people: int, length: float) -> None:
        publishers = min(people, self._project.crowd.publishers)
        figures.sessions += sessions
        figures.connections += sessions * people
        figures.publishes += sessions * publishers
        figures.subscribes += sessions * publishers * (people - 1)
        figures.attended += sessions * people * length / 60
        figures.published += sessions * publishers * length / 60
        figures.subscribed += sessions * publishers * (people - 1) * length / 60

    def _mean(self, level: str, start: float, end: float) -> float:
        """The day's mean level, weighted by the hours of the incidents."""
        mean = self._project.healthy[level]
        for incident in self._incidents:
            if level in incident.levels:
                hours = max(0.0, min(end, incident.end) - max(start, incident.start)) / (end - start)
                share = (1.0 if incident.sessions else incident.sessions_share) * hours
                mean += (incident.levels[level] - mean) * share
        return mean

    def _wobble(self, day: float, what: int) -> float:
        return 1 + self._jitter * (2 * unit(bits(self._project.key, 70 + what), round(day)) - 1)


# ── as the answer's rows ─────────────────────────────────────────────────────────────────────────────────────────────


def _interval(day: float, interval: str) -> tuple[float, float]:
    """The interval a Pacific day lies in: itself, its week from Monday, its month."""
    if interval == "DAILY":
        return day, next_midnight(day)
    local = day + pacific_offset(day)
    if interval == "WEEKLY":
        monday = local - (int(local // DAY) + 3) % 7 * DAY
        return _midnight(monday), _midnight(monday + 7 * DAY)
    date = datetime.fromtimestamp(local, UTC)
    first = datetime(date.year, date.month, 1, tzinfo=UTC)
    after = datetime(date.year + date.month // 12, date.month % 12 + 1, 1, tzinfo=UTC)
    return _midnight(first.timestamp()), _midnight(after.timestamp())


def _midnight(local: float) -> float:
    """A Pacific date, given as if it were UTC, as the instant of its midnight."""
    return pacific_midnight(local + 12 * 3600 - pacific_offset(local))


def _metric(figures: _Figures, start: float, end: float, part: Mapping[str, str], share: float, split: float) -> Row:
    """`share` is this row's part of what filters apply to, `split` of what only grouping applies to."""
    fields: dict[str, Any] = {GROUPS[group][0]: None for group in GROUPS}
    fields |= {GROUPS[group][0]: value for group, value in part.items()}
    people = figures.connections / figures.sessions if figures.sessions else 0.0
    usage: dict[str, Any] = {
        "streamedPublishedMinutes": figures.published * share,
        "streamedSubscribedMinutes": figures.subscribed * share,
        "participantMinutes": tiers(people, figures.attended * split),
    }
    for name in (
        "hdArchiveComposedMinutes", "sdArchiveComposedMinutes", "individualArchiveMinutes",
        "hdBroadcastComposedMinutes", "sdBroadcastComposedMinutes", "hlsMinutes", "sipUserMinutes",
        "experienceComposer", "experienceComposerArchive", "experienceComposerBroadcast",
    ):  # fmt: skip
        usage[name] = 0.0
    failures = {
        "connect": _failures(figures.connections, figures.failed_connects, share),
        "publish": _failures(figures.publishes, figures.failed_publishes, share),
        "subscribe": _failures(figures.subscribes, figures.failed_subscribes, share),
    }
    guid = {f"guid{name.capitalize()}": None for name in failures}
    return Row(
        {
            "intervalStart": stamp(start),
            "intervalEnd": stamp(end),
            **fields,
            "usage": Row(usage),
            "quality": Row(
                {
                    "publisher": _quality(figures, figures.published * share),
                    "subscriber": _quality(figures, figures.subscribed * share),
                }
            ),
            "errors": Row({**failures, **guid}),
        }
    )


def tiers(people: float, minutes: float) -> Row:
    """Participant minutes by the size of the call; the tiers of other rate plans are null."""
    chosen = next(name for most, name in TIERS if people <= most)
    values: dict[str, float | None] = {name: minutes if name == chosen else 0.0 for _, name in TIERS}
    return Row({**values, **dict.fromkeys(_OTHER_TIERS)})


def _failures(attempts: float, failures: float, share: float) -> Row:
    return Row({"attempts": round(attempts * share), "failures": round(failures * share)})


def _quality(figures: _Figures, minutes: float) -> Row:
    kbps, latency = figures.video_kbps / figures.seconds, figures.latency_ms / figures.seconds
    return Row(
        {
            "videoBitrateKbpsAvg": kbps,
            "latencyMsAvg": latency,
            "latencyDistribution": Row(_distribution("ms", _LATENCIES, latency, minutes)),
            "videoBitrateDistribution": Row(_distribution("kbps", _BITRATES, kbps, minutes)),
        }
    )


def _distribution(unit_name: str, edges: Sequence[int], mean: float, minutes: float) -> dict[str, float]:
    """Minutes per bucket, named by its upper edge, falling off around the mean."""
    below = [1 / (1 + math.exp(-max(-50.0, min(50.0, (edge - mean) / (mean / 4 + 1))))) for edge in edges]
    shares = [high - low for low, high in zip([0.0, *below], [*below, 1.0], strict=True)]
    names = [*(f"{unit_name}{edge}" for edge in edges), f"{unit_name}{edges[-1]}Plus"]
    return {name: minutes * share for name, share in zip(names, shares, strict=True)}
