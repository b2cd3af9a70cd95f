"""Rows of statistics in memory: columns per 30-second bucket, each row once (dossier sections 3.1, 7.2).

The vendor writes a row per stream about every 30 s, on no grid. A row belongs to the bucket [s, s+30) that holds its
`createdAt`; points are made of buckets (`points`). A row is known by its stream and its time to the millisecond, so
reading it again replaces it: that is the upsert, and it needs no index beside the bucket, since the time names it.

Rows are kept as numpy columns of 4 bytes: 3,000 streams of six hours are two million rows, which as objects would be a
gigabyte. Buckets older than `KEEP`, and what does not fit into `MAX_ROWS`, are dropped, oldest first, and counted.
`floor` is where memory begins: a row of an earlier time cannot be judged any more, since its bucket would be torn.

Units are the vendor's here. What a loss of 0.8 means (80 % or 0.8 %) may become known later, and then holds for all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from operator import attrgetter
from typing import cast

import numpy as np
import numpy.typing as npt

from watcher.clock import HOUR
from watcher.providers.vonage.wire import Oddity, Stat, Tally

WIDTH = 30
KEEP = 6 * HOUR
MAX_ROWS = 2_500_000
YOUNG = 30_000  # milliseconds: rows of a stream's first half minute are not judged (section 8)
AHEAD = 120_000  # milliseconds that a row may lead the vendor's clock

AUDIO, VIDEO, LOW = 1, 2, 4  # bits of `flags`: what is on, and that the bitrate is next to none

_LOW_SHARE = 0.05  # of a stream's own usual bitrate (section 5.3)
_ABSURD = 1e9
_WIDE = 640  # pixels
_ENOUGH = 250  # bitrates to tell their unit by
_MOST_STREAMS = 1 << 20  # numbers of streams, beyond every bound of theirs

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Rows = npt.NDArray[np.void]

VALUES = ("audio_loss", "audio_latency", "audio_bitrate", "video_loss", "video_latency", "video_bitrate")

_FORM = "0000-00-00T00:00:00.000Z"
_DIGITS = np.array([i for i, sign in enumerate(_FORM) if sign == "0"])
_MARKS = np.array([i for i, sign in enumerate(_FORM) if sign != "0"])
_MARKED = np.frombuffer(_FORM.encode(), np.uint8)[_MARKS]
_IN_DAY = (36_000_000, 3_600_000, 600_000, 60_000, 10_000, 1000, 100, 10, 1)  # milliseconds per digit
_IN_DATE = tuple(10**power for power in range(7, -1, -1))

_VENDORS = (
    "audio_packet_loss",
    "audio_latency_ms",
    "audio_bitrate_kbps",
    "video_packet_loss",
    "video_latency_ms",
    "video_bitrate_kbps",
)
BITRATE = VALUES.index("video_bitrate")

ROW = np.dtype([("stream", "i4"), ("at", "i4"), ("flags", "u1"), ("values", "f4", (len(VALUES),))])
"""`at`: milliseconds inside the bucket; `values` in the order of `VALUES`."""


@dataclass(slots=True)
class StreamMemo:
    """What rows of one stream need to be understood: when it began, and what bitrate is usual for it."""

    index: int
    began: int  # milliseconds
    usual: float = 0.0
    rows: int = 0


@dataclass(slots=True)
class _Bucket:
    parts: list[Rows] = field(default_factory=list)  # as they came
    rows: int = 0
    merged: bool = False  # there is one part, and it is in order

    def whole(self) -> Rows:
        """Its rows, each (stream, time) once, the later copy of two; sorted by stream and time."""
        if not self.merged:
            self.parts = [_distinct(np.concatenate(self.parts))]
            self.rows = len(self.parts[0])
            self.merged = True
        return self.parts[0]

    def add(self, rows: Rows) -> None:
        """Take rows in that are in order and each there once."""
        self.merged = not self.parts
        self.parts.append(rows)
        self.rows += len(rows)


class Grid:
    """The rows of one project."""

    def __init__(self) -> None:
        self.floor = 0  # seconds: memory begins here
        self.widest: Floats = np.empty(0, np.float32)  # video bitrates of wide pictures, until a unit is known
        self.most_loss = 0.0
        self._buckets: dict[int, _Bucket] = {}  # by start, in seconds
        self._touched: set[int] = set()
        self._rows = 0

    def __len__(self) -> int:
        return self._rows

    def begin(self, at: int) -> None:
        """Keep rows from this bucket on only: earlier ones were not all read."""
        self.floor = at
        for start in [s for s in self._buckets if s < at]:
            self._drop(start)

    def forget(self, since: int) -> None:
        """Drop what came from then on: it will be read again."""
        for start in [s for s in self._buckets if s >= since]:
            self._drop(start)
        self._touched = {start for start in self._touched if start < since}

    def add(self, memo: StreamMemo, stats: Sequence[Stat], times: Ints, tally: Tally) -> None:
        """Take rows of one stream in, with their times in milliseconds."""
        self.add_many([(memo, stats, times)], tally)

    def add_many(self, read: Sequence[tuple[StreamMemo, Sequence[Stat], Ints]], tally: Tally) -> None:
        """Take rows of many streams in at once."""
        stats = [stat for _, rows, _ in read for stat in rows]
        if not stats:
            return
        times = np.concatenate([times for _, _, times in read])
        lengths = [len(rows) for _, rows, _ in read]
        audio, video = (_is_set(stats, name) for name in ("has_audio", "has_video"))
        values = np.stack([_column(stats, name) for name in _VENDORS], axis=1)
        wrong = (values < 0) | (np.abs(values) > _ABSURD)
        wrong[:, (0, 3)] |= values[:, (0, 3)] > 100.0
        if wrong.any():
            tally[Oddity.IMPOSSIBLE] += int(wrong.sum())
            values[wrong] = np.nan
        index = np.repeat(np.array([memo.index for memo, _, _ in read], np.int32), lengths)
        began = np.repeat(np.array([memo.began for memo, _, _ in read], np.int64), lengths)
        flags = audio * AUDIO + video * VIDEO + self._low(read, values[:, 5], video, lengths) * LOW
        self._learn(stats, values, video)
        self._put(times, times - began >= YOUNG, index, flags, values, tally)

    def touched(self, *, until: int) -> list[int]:
        """The buckets that changed and end at or before then, in order; they are taken for dealt with."""
        found = sorted(start for start in self._touched if start + WIDTH <= until)
        self._touched.difference_update(found)
        return found

    def touch(self, starts: Iterable[int]) -> None:
        """Have these buckets dealt with again."""
        self._touched.update(start for start in starts if start in self._buckets)

    def touch_all(self) -> None:
        """Have everything dealt with again: units have changed."""
        self._touched.update(self._buckets)

    def bucket(self, start: int) -> Rows | None:
        """The rows of a bucket, sorted by stream and time; None where there are none."""
        bucket = self._buckets.get(start)
        if bucket is None:
            return None
        before = bucket.rows
        rows = bucket.whole()
        self._rows += bucket.rows - before
        return rows

    def trim(self, now: int, tally: Tally) -> None:
        """Drop what is too old, and what is too much."""
        for start in sorted(self._buckets):
            if start >= now - KEEP and self._rows <= MAX_ROWS:
                break
            if start >= now - KEEP:
                tally[Oddity.OVERFLOW] += self._buckets[start].rows
            self._drop(start)
            self.floor = max(self.floor, start + WIDTH)

    # ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _put(
        self,
        times: Ints,
        judged: npt.NDArray[np.bool_],
        index: npt.NDArray[np.int32],
        flags: npt.NDArray[np.int64],
        values: npt.NDArray[np.float64],
        tally: Tally,
    ) -> None:
        """Into their buckets, in order: sorted once for all of them, since a reply holds many buckets."""
        number = times // (WIDTH * 1000)
        late = number * WIDTH < self.floor
        if late.any():
            tally[Oddity.OUTDATED] += int(late.sum())
        at = times - number * (WIDTH * 1000)
        key = (number * _MOST_STREAMS + index) * (WIDTH * 1000) + at
        order = np.argsort(key, kind="stable")
        order = order[(~late & judged)[order]]
        key = key[order]
        if not len(order):
            return
        order = order[np.concatenate([key[1:] != key[:-1], [True]])]  # the later copy of two
        rows = np.empty(len(order), ROW)
        rows["stream"], rows["flags"], rows["at"] = index[order], flags[order], at[order]
        rows["values"] = values[order]
        number = number[order]
        edges = [0, *(np.flatnonzero(np.diff(number)) + 1).tolist(), len(rows)]
        for low, high in pairwise(edges):
            first = int(number[low]) * WIDTH
            self._buckets.setdefault(first, _Bucket()).add(rows[low:high])
            self._rows += high - low
            self._touched.add(first)

    def _low(
        self,
        read: Sequence[tuple[StreamMemo, Sequence[Stat], Ints]],
        bitrate: npt.NDArray[np.float64],
        video: npt.NDArray[np.bool_],
        lengths: Sequence[int],
    ) -> npt.NDArray[np.bool_]:
        """Where a video stream sends next to nothing, by its own measure."""
        usual = np.repeat(np.array([memo.usual for memo, _, _ in read]), lengths)
        low: npt.NDArray[np.bool_] = video & (bitrate <= _LOW_SHARE * usual) & ~np.isnan(bitrate)
        good = video & (bitrate > 0) & ~low
        which = np.repeat(np.arange(len(read)), lengths)
        sums = np.bincount(which, np.where(good, bitrate, 0.0), len(read))
        counts = np.bincount(which[good], minlength=len(read))
        for (memo, _, _), total, count in zip(read, sums, counts, strict=True):
            if count:
                memo.rows += int(count)
                memo.usual += (total / count - memo.usual) * count / memo.rows
        return low

    def _learn(self, stats: Sequence[Stat], values: npt.NDArray[np.float64], video: npt.NDArray[np.bool_]) -> None:
        """What tells the units: the largest loss, and bitrates of pictures at least 640 wide (section 5)."""
        loss = values[:, (0, 3)]
        if loss.size and not np.isnan(loss).all():
            self.most_loss = max(self.most_loss, float(np.nanmax(loss)))
        if len(self.widest) < _ENOUGH:
            found = np.flatnonzero(video & (values[:, 5] > 0))[: _ENOUGH - len(self.widest)].tolist()
            wide = [i for i in found if _width(stats[i].video_resolution) >= _WIDE]
            self.widest = np.concatenate([self.widest, values[wide, 5].astype(np.float32)])[:_ENOUGH]

    def _drop(self, start: int) -> None:
        bucket = self._buckets.pop(start)
        self._rows -= bucket.rows
        self._touched.discard(start)


def _is_set(stats: Sequence[Stat], name: str) -> npt.NDArray[np.bool_]:
    return np.fromiter(map(attrgetter(name), stats), np.bool_, len(stats))


def _column(stats: Sequence[Stat], name: str) -> npt.NDArray[np.float64]:
    """One field of all rows; NaN where it is not there."""
    return np.array([*map(attrgetter(name), stats)], np.float64)


def _distinct(rows: Rows) -> Rows:
    key = rows["stream"].astype(np.int64) * (WIDTH * 1000) + rows["at"]
    order = np.argsort(key, kind="stable")
    key = key[order]
    last = np.concatenate([key[1:] != key[:-1], [True]]) if len(key) else np.empty(0, np.bool_)
    return rows[order][last]


def _width(resolution: str | None) -> int:
    width, _, _ = (resolution or "").partition("x")
    return int(width) if width.isascii() and width.isdigit() and len(width) < 6 else 0


def milliseconds(stamps: Sequence[str | None]) -> Ints:
    """Times as the vendor writes them, `2020-07-09T09:14:57.530Z`, in milliseconds; the smallest integer for others."""
    try:
        return _plainly(stamps)
    except (TypeError, ValueError, IndexError):
        return np.array([_carefully(stamp) for stamp in stamps], np.int64)


NEVER = int(np.iinfo(np.int64).min)


def _plainly(stamps: Sequence[str | None]) -> Ints:
    """All of them in the documented form, digit by digit as columns; raises where one is not in it."""
    texts: Sequence[str] = cast("Sequence[str]", stamps)  # None raises, as wanted
    joined = "".join(texts).encode("ascii")
    if not texts:
        return np.empty(0, np.int64)
    if len(joined) != 24 * len(texts):
        raise ValueError("not in the documented form")
    signs = np.frombuffer(joined, np.uint8).reshape(-1, 24)
    digits = signs[:, _DIGITS] - np.uint8(ord("0"))  # what is less than a zero becomes more than a nine
    if (signs[:, _MARKS] != _MARKED).any() or digits.max() > 9:
        raise ValueError("not in the documented form")
    columns = np.ascontiguousarray(digits.T).astype(np.int64)
    day, in_day = (
        _weighed(columns[part], weights) for part, weights in ((slice(8), _IN_DATE), (slice(8, 17), _IN_DAY))
    )
    if (day == day[0]).all():
        return _midnight(int(day[0])) + in_day
    days, which = np.unique(day, return_inverse=True)
    return np.array([_midnight(one) for one in days.tolist()])[which] + in_day


def _weighed(columns: Ints, weights: Sequence[int]) -> Ints:
    """The sum of columns by weight: by hand, since a product of matrices would wake threads for it."""
    total = np.zeros(columns.shape[1], np.int64)
    for column, weight in zip(columns, weights, strict=True):
        total += column * weight
    return total


def _midnight(date: int) -> int:
    """20200709 in milliseconds; raises for a date that does not exist."""
    at = datetime(date // 10_000, date // 100 % 100, date % 100, tzinfo=UTC)
    return round(at.timestamp()) * 1000


def _carefully(stamp: str | None) -> int:
    """Any ISO form with a zone or without, which then is UTC."""
    if stamp is None or len(stamp) > 40:
        return NEVER
    try:
        at = datetime.fromisoformat(stamp)
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
        return round(at.timestamp() * 1000)
    except (ValueError, OverflowError):
        return NEVER
