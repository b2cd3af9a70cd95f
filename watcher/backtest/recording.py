"""A CSV of recorded points as columns by series, read once, row by row, into arrays.

What makes a row unreadable (a missing column, a number that is none) ends the reading with the line it is on: a file
that is not what it claims must not become half an answer. What the vendor itself might have sent, or a dump might have
mixed up (rows out of order, a window twice, NaN, a ratio below 0, a window off the grid, a series that nobody asks for)
is put right or left out, counted by kind with the first line of each, and shown with the result.

Memory is 16 bytes a row and `max_rows` bounds it. pandas and a whole-file `numpy.loadtxt` were considered: the one is a
dependency for one reader, the other cannot read mixed columns without holding the text. The csv module reads a million
rows in about two seconds, which a backtest of that length does not notice.
"""

from __future__ import annotations

import csv
import math
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from watcher.errors import ConfigError, Problem, clip
from watcher.model import SIGNALS, Floats, Ints, Query, Series, Unit

COLUMNS = ("ts", "account", "project", "product", "channel", "signal", "value")
WEIGHT = "weight"
MAX_ROWS = 50_000_000

_LONGEST_FIELD = 1_000  # characters: a quote that is never closed must not swallow the file
_LATEST = 2**40  # seconds: beyond it a time is in another unit

if TYPE_CHECKING:
    import _csv

UNSORTED = "unsorted"  # put in order
DUPLICATE = "duplicate"  # the same window again: the later row counts
NOT_FINITE = "not_finite"  # NaN or infinite: as if the row were absent
OUT_OF_RANGE = "out_of_range"  # a ratio outside 0-1, a negative count: left out
UNALIGNED = "unaligned"  # not the start of a window of its series: left out
UNCONFIGURED = "unconfigured"  # a series that no query of the configuration brings: left out
KINDS = (UNSORTED, DUPLICATE, NOT_FINITE, OUT_OF_RANGE, UNALIGNED, UNCONFIGURED)


class Column(NamedTuple):
    """One series: window starts (ascending, unique), values (finite), weights where the file has any (NaN: unknown)."""

    start: Ints
    value: Floats
    weight: Floats | None = None


@dataclass(slots=True)
class Oddities:
    """What was put right or left out: rows by kind, and the line where each kind was met first."""

    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    first: dict[str, int] = field(default_factory=dict)

    def add(self, kind: str, line: int, rows: int = 1) -> None:
        self.counts[kind] += rows
        self.first.setdefault(kind, line)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """What the vendor knew. `begin` is the start of the first window, `end` the end of the last (event time)."""

    columns: Mapping[Series, Column]
    begin: int
    end: int
    rows: int
    oddities: Oddities = field(default_factory=Oddities)

    def silent(self, queries: Sequence[Query]) -> list[Series]:
        """Series that the queries ask for and the file says nothing of."""
        return [s for query in queries for s in query.series if s not in self.columns]

    def holes(self, queries: Sequence[Query]) -> int:
        """Windows between a series' first and last that the file does not have."""
        widths = {series: query.width for query in queries for series in query.series}
        return sum(
            (int(c.start[-1]) - int(c.start[0])) // widths[s] + 1 - len(c.start) for s, c in self.columns.items()
        )


@dataclass(slots=True)
class _Gathered:
    """One series while the file is read. The first row out of order is remembered by its line."""

    series: Series
    width: int
    unit: Unit
    start: array[int] = field(default_factory=lambda: array("q"))
    value: array[float] = field(default_factory=lambda: array("d"))
    weight: array[float] | None = None
    last: int = -1
    sorted: bool = True


def read(path: Path, queries: Sequence[Query], *, max_rows: int = MAX_ROWS) -> Recording:
    """The file's points of the series that `queries` bring. Raises `ConfigError` with the line that cannot be read."""
    oddities = Oddities()
    gathered: dict[tuple[str, ...], _Gathered | None] = {}
    wanted = {_key(s): (s, query.width) for query in queries for s in query.series}
    rows = 0
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = _Reader(path, csv.reader(file, strict=True))
            for row in reader.rows():
                rows += 1
                if rows > max_rows:
                    raise reader.problem(f"more than {max_rows:,} rows", "cut the file, or raise --max-rows")
                reader.take(row, gathered, wanted, oddities)
    except OSError as error:
        raise ConfigError([Problem(str(path), 0, 0, f"cannot be read: {error.strerror}", "name a CSV file")]) from None
    except UnicodeDecodeError:
        raise ConfigError([Problem(str(path), 0, 0, "is not UTF-8 text", "name a CSV file")]) from None
    columns = {g.series: _finished(g, oddities) for g in gathered.values() if g is not None and len(g.start)}
    if not columns:
        what = "no row is of a series that the configuration asks for" if rows else "there are no rows"
        raise ConfigError([Problem(str(path), 0, 0, what, "compare account, project, product and signal names")])
    widths = dict(wanted.values())
    return Recording(
        columns=columns,
        begin=min(int(c.start[0]) for c in columns.values()),
        end=max(int(c.start[-1]) + widths[s] for s, c in columns.items()),
        rows=rows,
        oddities=oddities,
    )


def _key(series: Series) -> tuple[str, ...]:
    return series.account, series.project, series.product, series.channel, series.signal


class _Reader:
    """The rows of one file, and where they are."""

    def __init__(self, path: Path, lines: _csv.Reader) -> None:
        self._path = path
        self._lines = lines
        self._at: dict[str, int] = {}
        self._width = 0

    def problem(self, what: str, remedy: str) -> ConfigError:
        """A fault of the current line."""
        return ConfigError([Problem(str(self._path), self._lines.line_num, 1, what, remedy)])

    def rows(self) -> Iterator[list[str]]:
        """Every row after the header that is not blank."""
        csv.field_size_limit(_LONGEST_FIELD)
        try:
            header = [name.strip() for name in next(self._lines, [])]
            missing = [name for name in COLUMNS if name not in header]
            if missing:
                raise self.problem(
                    f"missing columns: {', '.join(missing)}", f"the header is {','.join(COLUMNS)},{WEIGHT}"
                )
            if twice := sorted({name for name in header if header.count(name) > 1}):
                raise self.problem(f"columns named twice: {clip(', '.join(twice))}", "name each once")
            self._at = {name: header.index(name) for name in (*COLUMNS, WEIGHT) if name in header}
            self._width = len(header)
            for row in self._lines:
                if row:
                    yield row
        except csv.Error as error:
            raise self.problem(f"not CSV: {error}", "quote fields that hold commas or quotes") from None

    def take(
        self,
        row: list[str],
        gathered: dict[tuple[str, ...], _Gathered | None],
        wanted: Mapping[tuple[str, ...], tuple[Series, int]],
        oddities: Oddities,
    ) -> None:
        """One row into its series."""
        at = self._at
        if len(row) != self._width:
            raise self.problem(f"{len(row)} fields, the header has {self._width}", "mend the row")
        key = (row[at["account"]], row[at["project"]], row[at["product"]], row[at["channel"]], row[at["signal"]])
        try:
            into = gathered[key]
        except KeyError:
            into = gathered[key] = self._begin(key, wanted)
        start, value = self._instant(row[at["ts"]]), self._number(row[at["value"]], "value")
        if into is None:
            oddities.add(UNCONFIGURED, self._lines.line_num)
        elif start % into.width:
            oddities.add(UNALIGNED, self._lines.line_num)
        elif not math.isfinite(value):
            oddities.add(NOT_FINITE, self._lines.line_num)
        elif value < 0 or (value > 1 and into.unit is Unit.RATIO):
            oddities.add(OUT_OF_RANGE, self._lines.line_num)
        else:
            if start <= into.last:
                into.sorted = False
                if start < into.last:
                    oddities.add(UNSORTED, self._lines.line_num)
                else:
                    oddities.add(DUPLICATE, self._lines.line_num, 0)
            into.last = start
            into.start.append(start)
            into.value.append(value)
            if WEIGHT in at:
                self._weigh(into, row[at[WEIGHT]])

    def _begin(self, key: tuple[str, ...], wanted: Mapping[tuple[str, ...], tuple[Series, int]]) -> _Gathered | None:
        if key[-1] not in SIGNALS:
            raise self.problem(f"unknown signal {clip(key[-1], 40)}", f"use one of {', '.join(SIGNALS)}")
        if key not in wanted:
            return None
        series, width = wanted[key]
        return _Gathered(series, width, SIGNALS[series.signal].unit)

    def _instant(self, text: str) -> int:
        try:
            start = int(text)
        except ValueError:
            start = -1
        if not 0 <= start < _LATEST:
            raise self.problem(f"ts {clip(text, 40)!r} is not a time", "write whole Unix seconds of the window's start")
        return start

    def _number(self, text: str, name: str) -> float:
        try:
            return float(text)
        except ValueError:
            raise self.problem(
                f"{name} {clip(text, 40)!r} is not a number", "write a number, or leave the row out"
            ) from None

    def _weigh(self, into: _Gathered, text: str) -> None:
        """Weights are kept from the first that is given on; before it they are unknown."""
        weight = self._number(text, WEIGHT) if text else math.nan
        if into.weight is None:
            if not text:
                return
            into.weight = array("d", [math.nan]) * (len(into.start) - 1)
        into.weight.append(weight if weight >= 0 else math.nan)


def _finished(gathered: _Gathered, oddities: Oddities) -> Column:
    """The arrays in order, each window once: of several rows the last one counts."""
    start: Ints = np.frombuffer(gathered.start, dtype=np.int64)
    value: Floats = np.frombuffer(gathered.value, dtype=np.float64)
    weight: Floats | None = None
    if gathered.weight is not None:
        gathered.weight.extend([math.nan] * (len(start) - len(gathered.weight)))
        weight = np.frombuffer(gathered.weight, dtype=np.float64)
    if gathered.sorted:
        return Column(start, value, weight)
    order = np.argsort(start, kind="stable")
    start = start[order]
    keep = np.append(start[1:] != start[:-1], True)
    oddities.counts[DUPLICATE] += int(len(start) - keep.sum())
    order = order[keep]
    return Column(start[keep], value[order], None if weight is None else weight[order])
