"""Who the users of a slot are: seats, taken from the first, so that a slot with 50 users has seats 0 to 49 taken.

What realtime counts, Call Inspector lists one by one; both follow from the same table of users because a seat is no
more than a place in it. A seat has a temperament per metric and a country, SDK, … for good: its own part of the row's
bad share is the whole's times its temperament, divided by the mean temperament of the seats taken, as everywhere in
`traffic`. So the users of a channel, averaged, show what the channel shows.

Temperaments and groups repeat after `_ROUND` seats, which keeps tables small however many users there are; means over
the first n seats are read from running sums. Groups are laid out by multiples of an irrational number instead of drawn,
so that any run of seats holds each group in its share, but for one or two.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cache, cached_property

import numpy as np
import numpy.typing as npt

from watcher.emulator.chance import draws
from watcher.emulator.dice import unit
from watcher.emulator.traffic import Bools, Traffic, as_rate, shares
from watcher.model import Floats, Ints

_ROUND = 4096
_KEPT_ROWS = 16
_STEPS = {"country": 2, "region": 3, "net": 5, "sdk": 7, "os": 11, "device": 13}  # √ of a prime: one walk for each


@dataclass(frozen=True)
class _Row:
    """What is the same for all seats of a row: seats taken, bad share, and the incidents of one group."""

    taken: Ints
    whole: Floats
    hit: list[tuple[Bools, str, int, Floats]]


@dataclass(frozen=True)
class Seats:
    """The seats of one row of `Traffic.heads`: a named channel, or all channels without a name together (row -1)."""

    traffic: Traffic
    product: str
    row: int
    _rows: dict[tuple[str, int, int], _Row] = field(default_factory=dict)  # of the last few questions

    @cached_property
    def name(self) -> str:
        """The channel's, empty for the last row."""
        channels = self.traffic.project.channels
        return "" if self.row < 0 else channels[self.row].name

    def taken(self, slots: Ints) -> Ints:
        """How many seats are taken."""
        taken: Ints = self.traffic.heads(self.product, slots)[self.row]
        return taken

    def groups(self, dimension: str, seats: Ints) -> Ints:
        """Which of `GROUPS[dimension]` each seat belongs to."""
        start = unit(self.traffic.key("group of seats", self.product, self.name, dimension), 0)
        places = (start + (seats % _ROUND) * math.sqrt(_STEPS[dimension])) % 1.0
        return np.searchsorted(_edges(dimension), places, side="right").astype(np.int64)

    def rates(self, metric: str, seats: Ints, slots: Ints) -> Floats:
        """A row per seat, a column per slot of a stretch of the grid; NaN where the seat is free."""
        if not len(slots):
            return np.empty((len(seats), 0))
        row = self._row(metric, slots)
        return as_rate(metric, np.where(seats[:, None] < row.taken, self._bad(metric, seats, row), np.nan))

    def _row(self, metric: str, slots: Ints) -> _Row:
        """The row in a stretch of the grid, worked out once for all sessions of a request."""
        key = (metric, int(slots[0]), len(slots))
        if key not in self._rows:
            if len(self._rows) >= _KEPT_ROWS:
                self._rows.clear()
            self._rows[key] = _Row(
                taken=self.taken(slots),
                whole=np.nan_to_num(self.traffic.bad_rows(metric, self.product, slots)[self.row]),
                hit=self.traffic.groups_hit(metric, self.product, slots),
            )
        return self._rows[key]

    def _bad(self, metric: str, seats: Ints, row: _Row) -> Floats:
        whole, taken = row.whole, row.taken
        temper = self._tempers(metric)
        everyone = np.ones(_ROUND)
        parts = self._split(whole, seats, temper, everyone, taken)
        for during, dimension, group, level in row.hit:
            inside = (self.groups(dimension, np.arange(_ROUND)) == group).astype(np.float64)
            hit = _first(inside, taken)
            others = taken - hit
            some = np.maximum(hit, 1)
            least = (whole * taken - others) / some  # the others can be no worse than bad all the time
            own = np.where(others > 0, np.clip(level, least, np.maximum(whole * taken / some, least)), whole)
            rest = np.maximum(whole * taken - own * hit, 0.0) / np.maximum(others, 1)
            spared = self._split(np.minimum(rest, 1.0), seats, temper, 1 - inside, taken)
            member = inside[seats % _ROUND][:, None] > 0
            parts = np.where(during, np.where(member, own, spared), parts)
        return parts

    def _split(self, whole: Floats, seats: Ints, temper: Floats, among: Floats, taken: Ints) -> Floats:
        """A bad share divided over the seats `among` (1 or 0 each), so that their mean is the whole."""
        spread = self.traffic.spread * (1 - whole)
        middle = _first(temper * among, taken) / np.maximum(_first(among, taken), 1)
        parts: Floats = whole * (1 + spread * temper[seats % _ROUND][:, None]) / (1 + spread * middle)
        return parts

    def _tempers(self, metric: str) -> Floats:
        key = self.traffic.key("seat", metric, self.product, self.name)
        return 2 * draws(key, np.arange(_ROUND, dtype=np.int64)) - 1


def uid_rates(traffic: Traffic, metric: str, product: str, channel: str, slots: Ints) -> dict[int, Floats]:
    """The rates of the channel's known uids; NaN where the user had not come yet."""
    for row, known in enumerate(traffic.project.channels):
        uids = known.uids.get(product, ())
        if known.name == channel and uids:
            rates = Seats(traffic, product, row).rates(metric, np.arange(len(uids), dtype=np.int64), slots)
            return dict(zip(uids, rates, strict=True))  # first named, first come
    return {}


@cache
def _edges(dimension: str) -> Floats:
    """Where one group's share of the seats ends and the next one's begins."""
    edges: Floats = np.cumsum(shares(dimension))[:-1]
    return edges


def _first(values: npt.NDArray[np.float64], count: Ints) -> Floats:
    """The sum over the first `count` seats of a table that repeats."""
    sums = np.concatenate(([0.0], np.cumsum(values)))
    total: Floats = (count // _ROUND) * sums[-1] + sums[count % _ROUND]
    return total
