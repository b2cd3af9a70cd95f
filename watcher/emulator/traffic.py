"""What every 20-second slot measured: pure, seeded, any slot alone and in any order.

Users follow the day curve of the project; quality exists only where there are users. The parts fit the whole exactly:
users of channels and groups add up to the project's, and the project's rate is the mean of its channels' (and a
channel's of its uids', a rate of its groups') weighted by users. So a client that compares them finds no contradiction
that the vendor would not have.

A part's rate is the whole's times a temperament of its own, divided by the weighted mean of all temperaments. The
temperaments draw together as the whole nears 1, which keeps every part at or below 1 without clipping (clipping would
break the mean). All of it happens to the *bad* share of a rate (for the join rates, 1 - rate).

An incident of one group (`where: {sdk: 4.2.1}`) makes the whole worse by the group's share of users; cut by the same
dimension, that group alone has the level and the others keep theirs. Cut by another dimension it spreads evenly.

Drawing the parts first and summing them was considered: then a project-wide level asked for by a scenario would only
be met on average. Slots are handled as numpy columns; a table of parts has one row per part, one column per slot.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import numpy.typing as npt

from watcher.emulator.chance import draws, key_of
from watcher.emulator.world import Incident, Project
from watcher.model import Floats, Ints

Bools = npt.NDArray[np.bool_]

SLOT = 20

_KNOT = 300  # seconds between the knots of slow noise
_SPREAD = 0.5  # how far temperaments may lie from 1; more than a half would need clipping
_CALM_USERS = 4.0  # baseline slots of so few users often have no fault at all: exactly 0
BETTER_UP = ("joinSuccessRate", "joinSuccessIn5sRate")

GROUPS: Mapping[str, tuple[str, ...]] = {
    "country": (
        "China", "India", "United States", "Brazil", "Indonesia", "Japan", "Germany", "Viet Nam", "Mexico", "Egypt",
        "Turkey", "Thailand", "France", "United Kingdom", "Italy", "South Africa", "South Korea", "Colombia", "Spain",
        "Argentina", "Kenya", "Poland", "Canada", "Morocco", "Malaysia", "Peru", "Australia", "Chile", "Romania",
        "Netherlands",
    ),
    "region": ("Asia", "Europe", "North America", "South America", "Africa", "Oceania"),
    "net": ("Wi-Fi", "4G", "5G", "Ethernet", "3G", "unknown"),
    "sdk": (
        "4.1.1", "3.6.1.1", "4.2.6", "4.3.0", "3.7.2", "4.0.0", "3.5.1", "4.1.0", "4.2.1", "3.7.0", "3.4.6", "4.4.0",
    ),
    "os": ("Android 13", "iOS 16.5", "Windows 10", "Android 12", "iOS 15.7", "macOS 13", "Windows 11", "Android 11"),
    "device": tuple(f"{maker}-{n}" for n in range(10, 20) for maker in ("ldn", "80HH", "KNA", "ip", "mx", "Tab")),
}  # fmt: skip
"""The values of each dimension, most used first. The names are the emulator's own, but for those in the dossier."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """One project's traffic. Slots are given as their starts, int64 Unix seconds, multiples of 20.

    A rate is NaN where there were no users. Products the project does not have, and channels without a name in the
    scenario, have no users.
    """

    project: Project
    seed: int
    jitter: float
    incidents: tuple[Incident, ...]  # of this project, in the file's order

    # ── users ────────────────────────────────────────────────────────────────────────────────────────────────────

    def users(self, product: str, channel: str, slots: Ints) -> Ints:
        """Users per slot; empty `channel`: the whole project."""
        return self._select(self.heads(product, slots), channel)

    def channels(self, product: str, channel: str, slots: Ints) -> Ints:
        """Channels with users per slot; with a channel named, 1 where it has users."""
        heads = self.heads(product, slots)
        if channel:
            return (self._select(heads, channel) > 0).astype(np.int64)
        unnamed = -(-heads[-1] // self.project.users_per_channel)
        total: Ints = (heads[:-1] > 0).sum(axis=0) + unnamed
        return total

    def heads(self, product: str, slots: Ints) -> Ints:
        """A table of users: a row per named channel, then one for all others together."""
        channels = self.project.channels
        total = self._curve(product, slots)
        for incident in self._incidents(product, "userCount", slots):
            if not incident.channel:
                total = np.where(_during(incident, slots), np.rint(incident.levels["userCount"]), total)
        heads = np.empty((len(channels) + 1, len(slots)), dtype=np.int64)
        if channels:
            portions = np.array([[channel.share] for channel in channels])
            keys = np.array([[self.key("share", product, c.name)] for c in channels], dtype=np.uint64)
            heads[:-1] = np.floor(total * portions * (1 - self.jitter * draws(keys, slots // _KNOT)) + 1e-9)
        heads[-1] = total - heads[:-1].sum(axis=0)
        for incident in self._incidents(product, "userCount", slots):
            if incident.channel:
                row = self._row(incident.channel)
                heads[row] = np.where(_during(incident, slots), np.rint(incident.levels["userCount"]), heads[row])
        return heads

    def _curve(self, product: str, slots: Ints) -> Floats:
        """The project's users by the day curve, as whole numbers."""
        level = self.project.peaks.get(product, 0.0) * self.project.day.levels(
            np.asarray(slots + SLOT / 2, dtype=np.float64)
        )
        whole: Floats = np.rint(level * (1 + self.jitter * self._slow(self.key("users", product), slots)))
        return whole

    # ── rates ────────────────────────────────────────────────────────────────────────────────────────────────────

    def rate(self, metric: str, product: str, channel: str, slots: Ints) -> Floats:
        """A rate per slot; empty `channel`: the whole project."""
        return as_rate(metric, self._bad(metric, product, channel, slots))

    def _bad(self, metric: str, product: str, channel: str, slots: Ints) -> Floats:
        heads = self.heads(product, slots)
        parts = self._bad_rows(metric, product, heads, slots)
        if not channel:
            return mean(parts, heads)
        if channel not in self._names():
            return np.full(len(slots), np.nan)
        row = self._row(channel)
        return np.where(heads[row] > 0, parts[row], np.nan)

    def bad_rows(self, metric: str, product: str, slots: Ints) -> Floats:
        """The bad share of each channel, rows as in `heads`."""
        return self._bad_rows(metric, product, self.heads(product, slots), slots)

    def _bad_rows(self, metric: str, product: str, heads: Ints, slots: Ints) -> Floats:
        parts = self._bad_parts(metric, product, heads, slots)
        if metric == "joinSuccessIn5sRate":  # who joined within 5 s has joined
            parts = np.maximum(parts, self._bad_parts("joinSuccessRate", product, heads, slots))
        return parts

    def _bad_parts(self, metric: str, product: str, heads: Ints, slots: Ints) -> Floats:
        """The bad share of each channel, rows as in `heads`."""
        names = [*self._names(), ""]
        keys = np.array([[self.key("temper", metric, product, name)] for name in names], dtype=np.uint64)
        parts = self._split(self._bad_whole(metric, product, heads.sum(axis=0), slots), heads, tempers(keys))
        for incident in self._incidents(product, metric, slots):
            if incident.channel:
                row = self._row(incident.channel)
                level = self._about(incident.levels[metric], metric, product, slots)
                parts[row] = np.where(_during(incident, slots), level, parts[row])
        for during, dimension, row, level in self.groups_hit(metric, product, slots):
            share = shares(dimension)[row]
            parts = np.where(during, share * level + (1 - share) * parts, parts)
        return parts

    def groups_hit(self, metric: str, product: str, slots: Ints) -> list[tuple[Bools, str, int, Floats]]:
        """Incidents of one group: when, the dimension, the group's row, the bad share. Of two at once, the later."""
        hit: list[tuple[Bools, str, int, Floats]] = []
        taken = np.zeros(len(slots), dtype=np.bool_)
        for incident in reversed(self._incidents(product, metric, slots)):
            if incident.group is not None:
                dimension, value = incident.group
                during = _during(incident, slots) & ~taken
                taken = taken | during
                level = self._about(incident.levels[metric], metric, product, slots)
                hit.append((during, dimension, GROUPS[dimension].index(value), level))
        return hit

    def _bad_whole(self, metric: str, product: str, users: Ints, slots: Ints) -> Floats:
        """The project's bad share before incidents of single channels."""
        whole = self._about(self.project.healthy[metric], metric, product, slots)
        if self.jitter:  # the fewer users, the more slots without a single fault
            calm = draws(self.key("calm", metric, product), slots) < np.exp(-users / _CALM_USERS)
            whole = np.where(calm, 0.0, whole)
        for incident in self._incidents(product, metric, slots):
            if not incident.channel and incident.group is None:
                level = self._about(incident.levels[metric], metric, product, slots)
                whole = np.where(_during(incident, slots), level, whole)
        return whole

    def _about(self, level: float, metric: str, product: str, slots: Ints) -> Floats:
        """The bad share of a rate that lies around `level`."""
        bad = 1 - level if metric in BETTER_UP else level
        key = self.key("rate", metric, product)
        noise = 0.6 * self._slow(key, slots) + 0.4 * (2 * draws(key, slots) - 1)
        return np.minimum(bad * (1 + self.jitter * noise), 1.0)

    # ── parts of a rate ──────────────────────────────────────────────────────────────────────────────────────────

    def group_users(self, product: str, channel: str, dimension: str, slots: Ints) -> Ints:
        """A row of users per value of `dimension` (`GROUPS`); each column adds up to the users of the slot."""
        users = self.users(product, channel, slots)
        bounds = np.array([[0.0], *([total] for total in accumulate(shares(dimension)))])
        edges = np.rint(bounds * users).astype(np.int64)
        rows: Ints = np.diff(edges, axis=0)
        return rows

    def group_rates(self, metric: str, product: str, channel: str, dimension: str, slots: Ints) -> Floats:
        """A row of rates per value of `dimension`; NaN where the group had no users."""
        heads = self.group_users(product, channel, dimension, slots)
        names = GROUPS[dimension]
        keys = np.array([[self.key("group", metric, product, dimension, name)] for name in names], dtype=np.uint64)
        whole = np.nan_to_num(self._bad(metric, product, channel, slots))
        temper = tempers(keys)
        parts = self._split(whole, heads, temper)
        for during, hit_dimension, row, level in self.groups_hit(metric, product, slots):
            if hit_dimension == dimension:
                parts = np.where(during, self._single_out(whole, heads, temper, row, level), parts)
        return as_rate(metric, np.where(heads > 0, parts, np.nan))

    def _single_out(self, whole: Floats, heads: Ints, temper: Floats, row: int, level: Floats) -> Floats:
        """Give one part its level and the others what is left of the whole, so that the weighted mean stays."""
        users, group = heads.sum(axis=0), heads[row]
        others = users - group
        some = np.maximum(group, 1)
        least = (whole * users - others) / some  # the others can be no worse than bad all the time
        own = np.where(others > 0, np.clip(level, least, np.maximum(whole * users / some, least)), whole)
        own = np.where(group > 0, own, 0.0)
        rest = np.maximum(whole * users - own * group, 0.0) / np.maximum(others, 1)
        apart = heads.copy()
        apart[row] = 0
        parts = self._split(rest, apart, temper)
        parts[row] = own
        return parts

    def _split(self, whole: Floats, heads: Ints, temper: Floats) -> Floats:
        """Share a bad rate out over parts so that its weighted mean stays; see the module's docstring."""
        factors = 1 + self.spread * (1 - whole) * temper
        middle = mean(factors, heads)
        parts: Floats = whole * factors / np.where(np.isnan(middle), 1.0, middle)
        return parts

    @property
    def spread(self) -> float:
        """How far temperaments may take a part of a small bad share from the whole's."""
        return min(_SPREAD, 10 * self.jitter)

    # ── small things ─────────────────────────────────────────────────────────────────────────────────────────────

    def _names(self) -> list[str]:
        return [channel.name for channel in self.project.channels]

    def _row(self, channel: str) -> int:
        return self._names().index(channel)

    def _select(self, heads: Ints, channel: str) -> Ints:
        total: Ints
        if not channel:
            total = heads.sum(axis=0)
        elif channel in self._names():
            total = heads[self._row(channel)]
        else:
            total = np.zeros(heads.shape[1], dtype=np.int64)
        return total

    def _incidents(self, product: str, metric: str, slots: Ints) -> list[Incident]:
        """Those that may touch the slots."""
        if not self.incidents or not len(slots):
            return []
        first, last = int(slots.min()), int(slots.max())
        return [
            i
            for i in self.incidents
            if product in i.products and metric in i.levels and i.start <= last and i.end > first
        ]

    def key(self, *parts: str) -> int:
        """The key of everything drawn for `parts` of this project."""
        return key_of(self.seed, self.project.app_id, *parts)

    def _slow(self, key: int, slots: Ints) -> Floats:
        """Noise in [-1, 1) that drifts over minutes."""
        knot, rest = np.divmod(slots, _KNOT)
        here, there = draws(key, knot), draws(key, knot + 1)
        drift: Floats = 2 * (here + (there - here) * (rest / _KNOT)) - 1
        return drift


def shares(dimension: str) -> list[float]:
    """Each group's share of the users, most used first."""
    weights = [1 / (rank + 1) for rank in range(len(GROUPS[dimension]))]
    return [weight / sum(weights) for weight in weights]


def _during(incident: Incident, slots: Ints) -> Bools:
    return (slots >= incident.start) & (slots < incident.end)


def tempers(keys: npt.ArrayLike) -> Floats:
    """One number in [-1, 1) per key: how a part differs from the whole, for good."""
    return 2 * draws(keys, np.zeros(1, dtype=np.int64)) - 1


def mean(parts: Floats, heads: Ints) -> Floats:
    """The weighted mean of each column; NaN where no one is there.

    Added up row by row: `sum` adds in another order when a column stands alone, and a slot must not depend on its
    neighbours, not even in the last bit.
    """
    weight = heads.sum(axis=0)
    total = np.add.accumulate(parts * heads, axis=0)[-1]
    return np.where(weight > 0, total / np.maximum(weight, 1), np.nan)


def as_rate(metric: str, bad: Floats) -> Floats:
    """From the bad share to the rate the vendor reports."""
    return 1 - bad if metric in BETTER_UP else bad
