"""From the rows of a bucket to the values of signals (design, section 6; dossier sections 5 and 8). Pure.

Every stream has one vote. Its value in a bucket is the mean of its rows there (usually one, by the vendor's jitter
sometimes two or none); a signal is the mean over the streams, their 95th percentile, or the share of them over a line,
and its weight is how many they were. So weighing a minute's windows by weight weighs streams, not rows.

What is not measured has no vote: media that is off, values that are null, rows of a stream's first half minute (these
never get here). A bucket in which nobody measured a signal has no value of it at all: absence is not health.

A stream is stalled in a bucket where all its video rows have next to no bitrate, there and in the bucket before in
which it has any: two rows at least, so that a single empty row is no stall (dossier, 5.3). A subscription to a stalled
publisher is not counted a second time.

A project is judged by its publishers, whose figures say how the worst subscriber fares (3.1); subscribers are read of
some sessions only and would bias it. A named session is judged by everybody in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from watcher.providers.vonage.rows import AUDIO, BITRATE, LOW, VALUES, VIDEO, WIDTH, Grid

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

MEASURED: Mapping[str, tuple[str, str]] = {
    "audio_packet_loss_ratio": ("audio_loss", "mean"),
    "audio_packet_loss_p95_ratio": ("audio_loss", "p95"),
    "audio_packet_loss_over_ratio": ("audio_loss", "over"),
    "video_packet_loss_ratio": ("video_loss", "mean"),
    "video_packet_loss_p95_ratio": ("video_loss", "p95"),
    "video_packet_loss_over_ratio": ("video_loss", "over"),
    "audio_latency_seconds": ("audio_latency", "mean"),
    "audio_latency_p95_seconds": ("audio_latency", "p95"),
    "video_latency_seconds": ("video_latency", "mean"),
    "video_latency_p95_seconds": ("video_latency", "p95"),
    "audio_bitrate_bytes_per_second": ("audio_bitrate", "mean"),
    "video_bitrate_bytes_per_second": ("video_bitrate", "mean"),
    "video_stall_ratio": ("stalled", "mean"),
}
"""Signal -> the value of each stream behind it, and what is made of those."""

MEDIA = np.array([AUDIO if name.startswith("audio") else VIDEO for name in VALUES], np.uint8)


class Scale(NamedTuple):
    """From the vendor's units to ours. `bitrate` None: its unit is not known yet."""

    loss: float
    bitrate: float | None

    def of(self, value: str) -> float | None:
        """The factor for a column."""
        match value.rpartition("_")[2]:
            case "loss":
                return self.loss
            case "latency":
                return 0.001
            case "bitrate":
                return self.bitrate
        return 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Who:
    """By stream: its session, whether it publishes, the publisher that a subscription receives, the kind of client that
    it comes from (-1: unknown, both)."""

    session: Ints
    publishes: Bools
    source: Ints
    client: Ints


@dataclass(frozen=True, slots=True, eq=False)
class Votes:
    """A bucket by stream: `values[name][i]` is that of `stream[i]`, NaN where it has none. Streams ascend."""

    stream: Ints
    values: Mapping[str, Floats]


class Value(NamedTuple):
    """A signal in one bucket."""

    value: float
    weight: float


def votes(grid: Grid, start: int, who: Who) -> Votes | None:
    """What every stream says in a bucket; None where there are no rows."""
    rows = grid.bucket(start)
    if rows is None or not len(rows):
        return None
    stream, first = _streams(rows)
    means = _means(rows["values"].astype(np.float64), rows["flags"][:, None] & MEDIA > 0, first)
    found = {name: means[:, column] for column, name in enumerate(VALUES)}
    found["stalled"] = _stalled(grid, start, stream, *_low(rows, first), who)
    return Votes(stream, found)


def measure(
    votes: Votes, chosen: Bools, signals: Iterable[str], scale: Scale, lines: Mapping[str, float]
) -> dict[str, Value]:
    """Signals over the chosen streams, without those that none of them measured or whose unit is not known.

    `lines` says per value (`video_loss`) where a stream counts as over it.
    """
    found: dict[str, Value] = {}
    ready: dict[str, Floats] = {}
    for signal in signals:
        name, kind = MEASURED[signal]
        if name not in ready:
            ready[name] = _given(votes.values[name][chosen], name, scale.of(name))
        values = ready[name]
        if not len(values):
            continue
        match kind:
            case "p95":
                result = _p95(np.sort(values))
            case "over":
                result = int(np.count_nonzero(values > lines[name])) / len(values)
            case _:
                result = float(values.sum()) / len(values)
        found[signal] = Value(result, float(len(values)))
    return found


def _given(values: Floats, name: str, factor: float | None) -> Floats:
    """The votes that there are, in our units; none where the unit is not known."""
    if factor is None:
        return values[:0]
    given: Floats = values[~np.isnan(values)] * factor
    return np.minimum(given, 1.0) if name.endswith("loss") else given


def _p95(ordered: Floats) -> float:
    """The 95th percentile, between its two neighbours: as `numpy.quantile` has it, at a tenth of the cost."""
    place = 0.95 * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return float(ordered[low] + (ordered[high] - ordered[low]) * (place - low))


def _means(values: Floats, on: Bools, first: npt.NDArray[np.intp]) -> Floats:
    """The mean of each stream's values that count, by column; NaN where none does."""
    counts = on & ~np.isnan(values)
    if len(first) == len(values):  # one row each: the usual case
        return np.where(counts, values, np.nan)
    sums = np.add.reduceat(np.where(counts, values, 0.0), first)
    number = np.add.reduceat(counts.astype(np.float64), first)
    result: Floats = np.divide(sums, number, out=np.full(sums.shape, np.nan), where=number > 0)
    return result


def _streams(rows: npt.NDArray[np.void]) -> tuple[Ints, npt.NDArray[np.intp]]:
    """The streams of a bucket, ascending as its rows do, and where the rows of each begin."""
    index = rows["stream"]
    first = np.flatnonzero(np.concatenate([[True], index[1:] != index[:-1]]))
    return index[first].astype(np.int64), first


def _low(rows: npt.NDArray[np.void], first: npt.NDArray[np.intp]) -> tuple[Bools, Bools]:
    """Which streams have video rows, and of which all have next to no bitrate."""
    flags = rows["flags"]
    video = (flags & VIDEO > 0) & ~np.isnan(rows["values"][:, BITRATE])
    has = np.add.reduceat(video.astype(np.int64), first)
    low = np.add.reduceat((video & (flags & LOW > 0)).astype(np.int64), first)
    return has > 0, (has > 0) & (low == has)


def _stalled(grid: Grid, start: int, stream: Ints, has: Bools, low: Bools, who: Who) -> Floats:
    before: dict[int, bool] = {}
    if low.any():
        for earlier in (start - 2 * WIDTH, start - WIDTH):  # the nearer one has the last word
            rows = grid.bucket(earlier)
            if rows is not None and len(rows):
                theirs, first = _streams(rows)
                had, were = _low(rows, first)
                before.update(zip(theirs[had].tolist(), were[had].tolist(), strict=True))
    stalled = np.full(len(stream), np.nan)
    stalled[has] = 0.0
    for i in np.flatnonzero(low):
        stalled[i] = float(before.get(int(stream[i]), False))
    if len(who.source):
        source = who.source[stream]
        silent = {int(s) for s in stream[low & who.publishes[stream]]}
        if silent:
            stalled[np.isin(source, list(silent)) & (source >= 0)] = np.nan
    return stalled
