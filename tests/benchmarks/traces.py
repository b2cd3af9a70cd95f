"""Seeded traces of a vendor's windows: what the schedules are compared on (20-second windows of one Agora project).

A trace is what the vendor knew: every window of every series, and the incidents that were put into it. Shapes:

day          users follow a day curve with two peaks and an empty night; seven incidents a day, onsets follow the load
day_quiet    the same with few users in the night instead of none
flat         as many users at every hour, incidents at any time, each on one signal only
bursty       the day's incidents come in two clusters
empty        nobody in calls
adversarial  values near the line, lone windows over it, an alert that flaps, holes, a night that is not like the others

Incidents last 1-60 minutes (log-uniform); 70 % of them touch 2-4 series, with onsets up to 40 s apart. Nothing here
knows a schedule: the same seed gives the same trace to all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from watcher.clock import DAY, HOUR
from watcher.model import USERS, Floats, Ints, Series

EPOCH = 1_767_571_200  # 2026-01-05T00:00:00Z, a Monday
WIDTH = 20
PEAK = {"Native": 1200.0, "WebRTC": 300.0}
SHAPES = ("day", "day_quiet", "flat", "bursty", "empty", "adversarial")

SIGNALS = {
    5: ("users", "video_freeze_ratio", "audio_freeze_ratio"),
    7: ("users", "video_freeze_ratio", "audio_freeze_ratio", "network_delay_ratio"),
    9: ("users", "video_freeze_ratio", "audio_freeze_ratio", "network_delay_ratio", "join_success_ratio"),
    13: (
        "users", "channels", "video_freeze_ratio", "audio_freeze_ratio", "network_delay_ratio", "join_success_ratio",
        "join_success_5s_ratio",
    ),
}  # fmt: skip
"""Signals that make so many queries of one project with both products (WebRTC has no audio freeze ratio)."""

LINES = {
    "video_freeze_ratio": 0.05,
    "audio_freeze_ratio": 0.03,
    "network_delay_ratio": 0.10,
    "join_success_ratio": 0.95,
    "join_success_5s_ratio": 0.90,
}


class Incident(NamedTuple):
    """One incident: per series the instant at which it begins there, and when it is over everywhere."""

    onset: float
    end: float
    begins: dict[Series, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """Columns by series (window starts, values), and what was put into them."""

    columns: dict[Series, tuple[Ints, Floats]]
    incidents: tuple[Incident, ...]
    start: int
    end: int


def series_of(queries: int, account: str = "acme", project: str = "classroom") -> tuple[Series, ...]:
    """The series that so many queries bring."""
    return tuple(
        Series(account, "agora", project, product, "", signal)
        for product in PEAK
        for signal in SIGNALS[queries]
        if not (product == "WebRTC" and signal == "audio_freeze_ratio")
    )


def load(at: Floats, shape: str) -> Floats:
    """Share of the peak at instants `at`: two humps, nobody between about midnight and five; half on weekends."""
    if shape in ("flat", "empty"):
        return np.full(len(at), 0.0 if shape == "empty" else 0.6)
    hour = (at % DAY) / HOUR
    humps = 0.85 * np.exp(-(((hour - 11.0) / 3.2) ** 2)) + np.exp(-(((hour - 18.5) / 2.8) ** 2))
    humps = np.maximum(humps, 0.06) if shape == "day_quiet" else np.maximum(humps - 0.03, 0.0)
    if shape == "adversarial":  # what the first nights taught does not hold in the third
        humps = np.where(at // DAY % 3 == 2, np.maximum(humps, 0.2), humps)
    weekend = (at // DAY + 3) % 7 >= 5
    result: Floats = humps * np.where(weekend, 0.5, 1.0)
    return result


def generate(shape: str, *, seed: int, days: int, queries: int, per_day: int = 7) -> Trace:
    """A trace of whole days from `EPOCH`."""
    dice = np.random.default_rng([seed, SHAPES.index(shape)])
    starts = np.arange(EPOCH, EPOCH + days * DAY, WIDTH, dtype=np.int64)
    share = load(starts.astype(np.float64), shape)
    listed = series_of(queries)
    judged = [s for s in listed if s.signal in LINES]
    incidents = () if shape == "empty" else tuple(_incidents(shape, dice, days, judged, starts, share, per_day))
    columns = {s: _column(s, shape, dice, starts, share, incidents) for s in listed}
    return Trace(columns=columns, incidents=incidents, start=EPOCH, end=EPOCH + days * DAY)


def _incidents(
    shape: str,
    dice: np.random.Generator,
    days: int,
    judged: Sequence[Series],
    starts: Ints,
    share: Floats,
    per_day: int,
) -> Iterator[Incident]:
    windows = DAY // WIDTH
    for day in range(days):
        chance = share[day * windows : (day + 1) * windows].copy()
        if shape == "bursty":
            centres = dice.choice(windows, size=2, p=chance / chance.sum())
            near = np.min(np.abs(np.arange(windows)[:, None] - centres[None, :]), axis=1)
            chance *= near < 45 * 60 // WIDTH
        for at in np.sort(dice.choice(windows, size=per_day, p=chance / chance.sum())):
            onset = float(starts[day * windows + at]) + dice.uniform(0, WIDTH)
            end = onset + 60.0 * 60.0 ** dice.uniform(0, 1)
            many = 1 if shape == "flat" or dice.uniform() < 0.3 else int(dice.integers(2, 5))
            touched = dice.choice(len(judged), size=min(many, len(judged)), replace=False)
            begins = {judged[i]: onset + (dice.uniform(0, 40) if n else 0.0) for n, i in enumerate(touched)}
            yield Incident(onset, end, begins)


def _column(
    series: Series,
    shape: str,
    dice: np.random.Generator,
    starts: Ints,
    share: Floats,
    incidents: Sequence[Incident],
) -> tuple[Ints, Floats]:
    users = np.round(PEAK[series.product] * share * (1 + 0.03 * np.sin(starts / 1700.0)))
    if series.signal == USERS:
        return starts, users
    if series.signal == "channels":
        return starts, np.ceil(users / 8)
    values = _normal(series, shape, dice, len(starts))
    line = LINES[series.signal]
    for incident in incidents:
        if (begin := incident.begins.get(series)) is not None:
            _spoil(values, starts, begin, max(incident.end, begin + 20), _bad(line, dice))
    present = users > 0
    if shape == "adversarial":
        present &= dice.uniform(size=len(starts)) > 0.02
    return starts[present], values[present]


def _normal(series: Series, shape: str, dice: np.random.Generator, count: int) -> Floats:
    """Healthy values: well on the right side of the line, or, where the trace is hostile, close to it."""
    line = LINES[series.signal]
    far = abs((1.0 if line > 0.5 else 0.0) - line)  # from perfect to the line
    noise = np.exp(0.35 * dice.standard_normal(count))
    worse = np.minimum(0.16 * far * noise, 0.8 * far)
    if shape == "adversarial":
        worse = np.minimum(0.75 * far * noise**0.3, 0.97 * far)
        lone = dice.uniform(size=count) < 0.004
        worse[lone] = 1.5 * far
        if series.product == "Native" and series.signal == "video_freeze_ratio":
            phase = np.arange(count) % 45 < 5  # flaps: 100 s bad in every 15 minutes
            worse[phase & (np.arange(count) // 1080 % 4 == 2)] = 1.5 * far
    result: Floats = 1.0 - worse if line > 0.5 else worse
    return result


def _bad(line: float, dice: np.random.Generator) -> float:
    depth = dice.uniform(1.5, 4.0)
    return max(0.0, 1 - (1 - line) * depth) if line > 0.5 else min(0.95, line * depth)


def _spoil(values: Floats, starts: Ints, begin: float, end: float, bad: float) -> None:
    """Windows wholly inside an incident get its level, those at its edges a part of it."""
    low, high = np.searchsorted(starts, [begin - WIDTH, end])
    part = np.minimum(starts[low:high] + WIDTH, end) - np.maximum(starts[low:high], begin)
    share = np.clip(part / WIDTH, 0.0, 1.0)
    values[low:high] = values[low:high] * (1 - share) + bad * share


def write_csv(trace: Trace, path: Path) -> int:
    """The trace as a file of design section 8, in order of time; the number of rows."""
    names = [f"{s.account},{s.project},{s.product},{s.channel}" for s in trace.columns]
    rows = 0
    with path.open("w", encoding="utf-8") as file:
        file.write("ts,account,project,product,channel,signal,value,weight\n")
        for begin in range(trace.start, trace.end, HOUR):
            for (series, (starts, values)), name in zip(trace.columns.items(), names, strict=True):
                low, high = np.searchsorted(starts, [begin, begin + HOUR])
                file.writelines(
                    f"{ts},{name},{series.signal},{value:.6g},\n"
                    for ts, value in zip(starts[low:high].tolist(), values[low:high].tolist(), strict=True)
                )
                rows += int(high - low)
    return rows
