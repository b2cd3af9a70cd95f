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

import msgspec
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
_ENOUGH = 1000  # bitrates to tell their unit by

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Rows = npt.NDArray[np.void]

VALUES = ("audio_loss", "audio_latency", "audio_bitrate", "video_loss", "video_latency", "video_bitrate")

ROW = np.dtype([("stream", "i4"), ("at", "i4"), ("flags", "u1"), *((name, "f4") for name in VALUES)])
"""`at`: milliseconds inside the bucket."""

_astuple = msgspec.structs.astuple


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
        self.parts.append(rows)
        self.rows += len(rows)
        self.merged = False


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
        numbers = np.array([_astuple(stat)[:8] for stat in stats], np.float64)
        values = numbers[:, 2:]
        wrong = (values < 0) | (np.abs(values) > _ABSURD)
        wrong[:, (0, 3)] |= values[:, (0, 3)] > 100.0
        if wrong.any():
            tally[Oddity.IMPOSSIBLE] += int(wrong.sum())
            values[wrong] = np.nan
        index = np.repeat(np.array([memo.index for memo, _, _ in read], np.int32), lengths)
        began = np.repeat(np.array([memo.began for memo, _, _ in read], np.int64), lengths)
        on = np.nan_to_num(numbers[:, :2]) > 0
        flags = on[:, 0] * AUDIO + on[:, 1] * VIDEO + self._low(read, values[:, 5], on[:, 1], lengths) * LOW
        self._learn(stats, values, on[:, 1])
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
        start = times // (WIDTH * 1000) * WIDTH
        late = start < self.floor
        if late.any():
            tally[Oddity.OUTDATED] += int(late.sum())
        keep = ~late & judged
        start, times = start[keep], times[keep]
        rows = np.empty(len(start), ROW)
        rows["stream"], rows["flags"] = index[keep], flags[keep]
        rows["at"] = times - start * 1000
        for column, name in enumerate(VALUES):
            rows[name] = values[keep, column]
        order = np.argsort(start, kind="stable")
        start, rows = start[order], rows[order]
        edges = np.flatnonzero(np.diff(start)) + 1
        for part in np.split(np.arange(len(start)), edges):
            if not len(part):
                continue
            first = int(start[part[0]])
            bucket = self._buckets.setdefault(first, _Bucket())
            before = bucket.rows
            bucket.add(rows[part])
            self._rows += bucket.rows - before
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
            found = np.flatnonzero(video & (values[:, 5] > 0)).tolist()
            wide = [i for i in found if _width(stats[i].video_resolution) >= _WIDE]
            self.widest = np.concatenate([self.widest, values[wide, 5].astype(np.float32)])[:_ENOUGH]

    def _drop(self, start: int) -> None:
        bucket = self._buckets.pop(start)
        self._rows -= bucket.rows
        self._touched.discard(start)


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
    if not all(len(stamp) == 24 and stamp[23] == "Z" for stamp in stamps):  # type: ignore[arg-type, index]
        raise ValueError("not in the documented form")
    return np.array([stamp[:23] for stamp in stamps], "datetime64[ms]").astype(np.int64)  # type: ignore[index]


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
