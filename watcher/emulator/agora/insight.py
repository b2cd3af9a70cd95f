"""Data Insights' answers: the traffic of realtime added up over hours and days (dossier, section 5).

Figures are read from the same slots, a day's worth at a time: the mean of a rate is weighted by users, peaks are the
largest slot, joins are arrivals plus the turns that `calls` makes within stay and length. Until day T+2 a day's figures
are provisional: counts too low, bad shares off by some per cent; from then on they stay.

Usage is of both products together, since its requests name none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from watcher.clock import DAY, HOUR, MINUTE
from watcher.emulator.agora.insight_ask import InsightAsk
from watcher.emulator.agora.reply import Found, holed, mix_rows, number
from watcher.emulator.dice import unit
from watcher.emulator.faults import Fault
from watcher.emulator.traffic import BETTER_UP, GROUPS, SLOT, Traffic, shares
from watcher.emulator.world import PRODUCTS, Answers
from watcher.model import Floats, Ints

_TOP = 20
_TOP_DEVICES = 50
_VIDEO_SHARE = 0.75  # of the minutes of all users; the rest is audio only
_ATTEMPTS_PER_HOUR = 1.5  # joins that a user tries in an hour: what the join rates are shares of
_MOST_DAYS = 31


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """How much is known at `now`: slots up to `fresh`; days older than two, and `amended_after`, for good."""

    fresh: int
    now: int
    amended_after: int

    def final(self, at: int) -> bool:
        """Whether the day of an instant has been recomputed."""
        return self.now >= (at // DAY + 2) * DAY + self.amended_after


def answer(ask: InsightAsk, traffic: Traffic, *, known: Known, answers: Answers, faults: Mapping[str, Fault]) -> Found:
    """Answer `ask`, already found to be within the plan's limits."""
    figures = _Figures(traffic, ask, known)
    if ask.seconds:
        shift = 8 * HOUR if answers.day == "utc+8" and ask.seconds == DAY else 0
        starts, column = figures.by_time(shift)
        values = holed(starts, column, faults, ask.metric, ask.product)
        data = [{ask.metric: value, "ts": at} for at, value in values]
        return Found(message="success", data=mix_rows(data, faults))
    rows = figures.groups() if ask.dimension else figures.whole()
    return Found(message="null", data=mix_rows(rows, faults))  # the text, as in the examples


class _Sum(NamedTuple):
    """A bad share or a count with what it is a share of."""

    value: float
    weight: float


class _Figures:
    """One request being added up."""

    def __init__(self, traffic: Traffic, ask: InsightAsk, known: Known) -> None:
        self._traffic = traffic
        self._ask = ask
        self._known = known
        self._products = (ask.product,) if ask.product else PRODUCTS
        self._quality = "quality" in ask.endpoint.name

    def by_time(self, shift: int) -> tuple[Ints, Floats]:
        """Starts and values of the rows; the last may begin at the very end of the span. `shift`: of a day's start."""
        seconds = self._ask.seconds
        first = (self._ask.start + shift) // seconds * seconds - shift
        starts: list[int] = []
        found: list[float] = []
        for at in range(first, self._ask.end + 1, seconds):
            value = self._rate(at, at + seconds) if self._quality else self._usage(at, at + seconds)
            if value is not None:
                starts.append(at)
                found.append(value)
        return np.array(starts, dtype=np.int64), np.array(found, dtype=np.float64)

    # ── aggregation ──────────────────────────────────────────────────────────────────────────────────────────────

    def whole(self) -> list[dict[str, Any]]:
        """One row for all."""
        ask = self._ask
        end = ask.end
        if not self._quality:
            value = self._usage(ask.start, end)
            return [] if value is None else [{ask.metric: number(value)}]
        rate = self._rate(ask.start, end)
        if rate is None:
            return []
        return [{"refUsage": self._reference(self._minutes(ask.start, end)), ask.metric: number(rate)}]

    def groups(self) -> list[dict[str, Any]]:
        """A row per value of the dimension, the most used first."""
        ask = self._ask
        names = GROUPS[ask.dimension]
        found: list[tuple[float, dict[str, str], float]] = []
        for place, part in enumerate(self._parts()):
            name = names[place]
            if part.weight <= 0 or (ask.values is not None and name not in ask.values):
                continue
            if self._quality:
                rate = part.value / part.weight
                found.append((self._reference(part.weight), {ask.spelling: name}, self._sensed(rate)))
            else:
                found.append((part.weight, {ask.spelling: name}, float(round(part.value))))
        found.sort(key=lambda row: -row[0])
        most = _TOP_DEVICES if ask.dimension == "device" else _TOP
        return [
            {**label, **({"refUsage": weight} if self._quality else {}), ask.metric: number(value)}
            for weight, label, value in found[:most]
        ]

    def _parts(self) -> list[_Sum]:
        """Per value of the dimension: bad share times minutes and minutes, or the usage and its share."""
        ask = self._ask
        portion = self._portion()
        if not self._quality:
            value = self._usage(ask.start, ask.end) or 0.0
            return [_Sum(value * share * portion, value * share * portion) for share in shares(ask.dimension)]
        bad = np.zeros(len(GROUPS[ask.dimension]))
        weight = np.zeros(len(GROUPS[ask.dimension]))
        for slots, truth in self._days(ask.start, ask.end):
            for product in self._measured():
                heads = self._traffic.group_users(product, "", ask.dimension, slots)
                rates = np.nan_to_num(self._traffic.group_rates(ask.metric, product, "", ask.dimension, slots))
                bad += (self._badness(rates) * heads).sum(axis=1) * SLOT / MINUTE * truth.counts * truth.rates
                weight += heads.sum(axis=1) * SLOT / MINUTE * truth.counts
        return [_Sum(float(b) * portion, float(w) * portion) for b, w in zip(bad, weight, strict=True)]

    def _portion(self) -> float:
        """The share of users that the filter leaves."""
        if not self._ask.country:
            return 1.0
        known = dict(zip(GROUPS["country"], shares("country"), strict=True))
        return known.get(self._ask.country, 0.0)

    # ── rates ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _rate(self, start: int, end: int) -> float | None:
        total = weight = 0.0
        for slots, truth in self._days(start, end):
            for product in self._measured():
                users = self._traffic.users(product, "", slots)
                rates = np.nan_to_num(self._traffic.rate(self._ask.metric, product, "", slots))
                total += float((self._badness(rates) * users).sum()) * truth.counts * truth.rates
                weight += float(users.sum()) * truth.counts
        return self._sensed(total / weight) if weight else None

    def _minutes(self, start: int, end: int) -> float:
        """Minutes of users of the products asked for."""
        return sum(
            float(self._traffic.users(product, "", slots).sum()) * SLOT / MINUTE * truth.counts
            for slots, truth in self._days(start, end)
            for product in self._measured()
        )

    def _reference(self, minutes: float) -> int:
        """The denominator of a rate: join attempts, audio, video or all minutes."""
        factor = {
            "joinSuccessRate": _ATTEMPTS_PER_HOUR / 60,
            "joinSuccessIn5sRate": _ATTEMPTS_PER_HOUR / 60,
            "audioFreezeRate": 1 - _VIDEO_SHARE,
            "videoFreezeRate": _VIDEO_SHARE,
        }.get(self._ask.metric, 1.0)
        return round(minutes * factor)

    def _badness(self, rates: Floats) -> Floats:
        return 1 - rates if self._ask.metric in BETTER_UP else rates

    def _sensed(self, bad: float) -> float:
        bad = min(1.0, bad)
        return 1 - bad if self._ask.metric in BETTER_UP else bad

    def _measured(self) -> tuple[str, ...]:
        if self._ask.metric == "audioFreezeRate":  # on Native only (dossier, 3.6)
            return tuple(product for product in self._products if product == "Native")
        return self._products

    # ── usage ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _usage(self, start: int, end: int) -> float | None:
        """The metric over a stretch; None where nothing is known of it."""
        days = [self._usage_of(slots, truth) for slots, truth in self._days(start, end)]
        if not days:
            return None
        if self._ask.metric.startswith("peak") or self._ask.metric == "channelCount":
            return max(days)
        return float(round(sum(days)))

    def _usage_of(self, slots: Ints, truth: _Truth) -> float:
        users = np.array([self._traffic.users(product, "", slots) for product in PRODUCTS]).sum(axis=0)
        minutes = float(users.sum()) * SLOT / MINUTE
        calls = self._traffic.project.calls
        match self._ask.metric:
            case "peakConcurrentUsers" | "peakCurrentUsers":
                value = float(users.max())
            case "peakConcurrentChannels" | "peakCurrentChannels" | "channelCount":
                value = float(self._channels(slots).max())
            case "userCount":
                value = float(users.max()) + minutes * MINUTE / calls.stay
            case "sessionCount":
                arrivals = float(np.maximum(np.diff(users), 0).sum()) + float(users[0])
                value = arrivals + minutes * MINUTE * (1 / calls.stay + 1 / calls.length)
            case "totalVideoDuration":
                value = minutes * _VIDEO_SHARE
            case "totalAudioDuration":
                value = minutes * (1 - _VIDEO_SHARE)
            case _:
                value = minutes
        return float(round(value * truth.counts))

    def _channels(self, slots: Ints) -> Ints:
        """Channels with users of either product, a mixed one once."""
        heads = [self._traffic.heads(product, slots) for product in PRODUCTS]
        named = (heads[0][:-1] + heads[1][:-1] > 0).sum(axis=0)
        size = self._traffic.project.users_per_channel
        total: Ints = named - (-heads[0][-1] // size) - (-heads[1][-1] // size)
        return total

    # ── days ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _days(self, start: int, end: int) -> Iterator[tuple[Ints, _Truth]]:
        """The known slots that start in [start, end), day by day, with how true they are by now."""
        first = -(-start // SLOT) * SLOT
        end = min(end, self._known.fresh - SLOT + 1, first + _MOST_DAYS * DAY)
        while first < end:
            last = min(end, (first // DAY + 1) * DAY)
            yield np.arange(first, last, SLOT, dtype=np.int64), self._truth(first)
            first = last if last % SLOT == 0 else end

    def _truth(self, at: int) -> _Truth:
        if self._known.final(at):
            return _Truth(counts=1.0, rates=1.0)
        key = self._traffic.key("provisional", self._ask.metric.replace("Current", "Concurrent"))
        day = at // DAY
        return _Truth(counts=0.94 + 0.05 * unit(key, day), rates=0.85 + 0.1 * unit(key, -day))


class _Truth(NamedTuple):
    """By what factor figures differ from the final ones."""

    counts: float
    rates: float
