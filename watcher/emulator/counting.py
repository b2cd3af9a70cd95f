"""The emulator's own bookkeeping: what was spent in each quota window, and which slots were handed out.

Fixed windows on the server's clock (the UTC minute and day), every request counted, refused ones too, because the
vendors do not say that refusals are free (Agora dossier, section 6). Independent of `watcher.budget` on purpose: the
daemon's claim "no window was overspent" is checked against this count, not against its own.

What was handed out is kept as merged intervals, so that a test can compute which windows the client never fetched
without keeping a line per row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from watcher.model import Span

_KEPT_WINDOWS = 64  # per pool: a clock that steps back finds its counts again
_MAX_POOLS = 1_000
_MAX_KEYS = 2_000
_MAX_SPANS = 2_000


class Window(NamedTuple):
    """A quota window: `limit` requests per `seconds`, on the UTC grid."""

    name: str
    seconds: int
    limit: int


class Pool(NamedTuple):
    """What shares one set of counters. `part` is the endpoint or App ID where a quota is per one of them."""

    account: str
    family: str
    part: str = ""


@dataclass(slots=True)
class _Tally:
    window: Window
    counts: dict[int, int]
    spent: int = 0  # the worst single window, of the client's own requests
    foreign: int = 0  # the worst single window, of somebody else's
    total: int = 0
    refused: int = 0


class Quotas:
    """Counts requests per pool and window.

    `strict` reads the vendor's table literally: a request is refused unless the count, itself included, stays below
    the limit. A limit of 1 (Agora's Standard plan, per second) allows one: nothing at all cannot be meant (INFERRED).
    """

    def __init__(self) -> None:
        self._tallies: dict[Pool, list[_Tally]] = {}
        self.dropped_pools = 0

    def spend(
        self,
        pool: Pool,
        windows: Sequence[Window],
        now: float,
        *,
        strict: bool,
        foreign: Callable[[float, float], int],
    ) -> Window | None:
        """Count one request at server time `now`; the first window it overspends, None where it fits.

        `foreign(start, end)` is how many requests of others fell into a stretch of server time.
        """
        tallies = self._tallies.get(pool)
        if tallies is None:
            if len(self._tallies) >= _MAX_POOLS:
                self.dropped_pools += 1
                return None
            tallies = self._tallies[pool] = [_Tally(window, {}) for window in windows]
        over: Window | None = None
        for tally in tallies:
            index = int(now // tally.window.seconds)
            own = tally.counts[index] = tally.counts.pop(index, 0) + 1
            if len(tally.counts) > _KEPT_WINDOWS:
                del tally.counts[next(iter(tally.counts))]  # the longest unused
            others = foreign(float(index * tally.window.seconds), now)
            tally.spent = max(tally.spent, own)
            tally.foreign = max(tally.foreign, others)
            tally.total += 1
            allowed = max(1, tally.window.limit - 1) if strict else tally.window.limit
            if own + others > allowed and over is None:
                over = tally.window
        return over

    def refused(self, pool: Pool, window: Window) -> None:
        """The request just counted was refused for that window."""
        for tally in self._tallies.get(pool, ()):
            if tally.window.name == window.name:
                tally.refused += 1

    def report(self) -> list[dict[str, object]]:
        """One object per pool and window: `spent` is the worst single window, `total` all requests ever."""
        return [
            {
                "account": pool.account,
                "family": pool.family,
                "part": pool.part,
                "window": tally.window.name,
                "limit": tally.window.limit,
                "spent": tally.spent,
                "total": tally.total,
                "refused": tally.refused,
                "foreign": tally.foreign,
            }
            for pool, tallies in self._tallies.items()
            for tally in tallies
        ]


class Coverage:
    """The union of slots handed out, per query key."""

    def __init__(self) -> None:
        self._spans: dict[tuple[str, ...], list[Span]] = {}
        self.dropped_keys = 0  # queries not recorded, because there were too many different ones
        self.forgotten_spans = 0  # oldest stretches let go, because a query had too many of them

    def add(self, key: tuple[str, ...], spans: Sequence[Span]) -> None:
        """Note that these slots (starts in [start, end)) reached the client."""
        known = self._spans.get(key)
        if known is None:
            if len(self._spans) >= _MAX_KEYS:
                self.dropped_keys += 1
                return
            known = []
        merged = merge([*known, *spans])
        surplus = max(0, len(merged) - _MAX_SPANS)
        self.forgotten_spans += surplus
        self._spans[key] = merged[surplus:]

    def spans(self) -> Mapping[tuple[str, ...], Sequence[Span]]:
        """Sorted, disjoint, not touching."""
        return self._spans


def by_endpoint(requests: Mapping[tuple[str, str], int]) -> dict[str, dict[str, int]]:
    """Counts of (endpoint, outcome) as reports show them: per endpoint, how many ended how."""
    found: dict[str, dict[str, int]] = {}
    for (endpoint, outcome), count in sorted(requests.items()):
        found.setdefault(endpoint, {})[outcome] = count
    return found


def merge(spans: Sequence[Span]) -> list[Span]:
    """The union of spans as sorted, disjoint, not touching spans; empty ones vanish."""
    merged: list[Span] = []
    for span in sorted(spans):
        if span.end <= span.start:
            continue
        if merged and span.start <= merged[-1].end:
            if span.end > merged[-1].end:
                merged[-1] = Span(merged[-1].start, span.end)
        else:
            merged.append(span)
    return merged


def most_at_once(spans: Sequence[tuple[float, float]]) -> int:
    """The largest number of [start, end) that hold one instant."""
    edges = sorted([(start, 1) for start, _ in spans] + [(end, -1) for _, end in spans])
    now = most = 0
    for _, change in edges:
        now += change
        most = max(most, now)
    return most
