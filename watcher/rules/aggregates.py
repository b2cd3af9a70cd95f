"""Aggregates over the last windows, for a whole column at once.

Each window's result is made of its own k values in an order that depends on k alone: sums are built by doubling (pairs,
then pairs of pairs), never by a running total, so the same points give the same bits however the column was cut
(invariant 3). A running sum would be one pass instead of log2(k), and would remember every value it ever saw.

All functions take dense grids with NaN for what is absent and return one value per window, NaN where none of the k was
present.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from watcher.model import Floats, Ints
from watcher.rules.rule import Aggregate, Bools, Kind

_BLOCK = 1 << 19  # values sorted at a time: bounds the memory of a percentile over a long column

Fold = Callable[[Floats, Floats], Floats]


def rolling(values: Floats, weights: Floats | None, aggregate: Aggregate, width: int) -> Floats:
    """The aggregate at every window. `OF` gives the newest value: its condition is a count (`rolling_count`)."""
    k = aggregate.windows(width)
    match aggregate.kind:
        case Kind.LAST | Kind.OF:
            return values
        case Kind.AVG:
            return _mean(values, weights, k)
        case Kind.MIN:
            return _over_last(values, k, np.fmin, np.nan)
        case Kind.MAX:
            return _over_last(values, k, np.fmax, np.nan)
        case Kind.PERCENTILE:
            return _nearest_rank(values, aggregate.percent, k)


def rolling_count(holds: Bools, n: int) -> Ints:
    """How many of the last `n` windows hold. Whole numbers: a running total is exact here, and cheapest."""
    total = np.zeros(len(holds) + 1, dtype=np.int64)
    np.cumsum(holds, out=total[1:])
    counts = total[1:].copy()
    counts[n:] -= total[1:-n]
    return counts


def _mean(values: Floats, weights: Floats | None, k: int) -> Floats:
    """Weighted where every present value of the k has a weight above nothing; else each counts alike."""
    present = ~np.isnan(values)
    filled = np.where(present, values, 0.0)
    counts = rolling_count(present, k)
    if weights is None:
        return _ratio(_over_last(filled, k, np.add, 0.0), counts.astype(np.float64))
    weighed = present & ~np.isnan(weights)
    weight = np.where(weighed, weights, 0.0)
    mass = _over_last(weight, k, np.add, 0.0)
    by_weight = _ratio(_over_last(filled * weight, k, np.add, 0.0), mass)
    if weighed.all():
        return by_weight
    plain = _ratio(_over_last(filled, k, np.add, 0.0), counts.astype(np.float64))
    return np.where(rolling_count(weighed, k) == counts, by_weight, plain)


def _ratio(top: Floats, bottom: Floats) -> Floats:
    result = np.full(len(top), np.nan)
    np.divide(top, bottom, out=result, where=bottom > 0)
    return result


def _over_last(values: Floats, k: int, fold: Fold, neutral: float) -> Floats:
    """`fold` over each window and the k-1 before it, from blocks of 1, 2, 4, … windows, newest block first."""
    result: Floats | None = None
    block, size, taken = values, 1, 0
    while True:
        if k & size:
            part = _later(block, taken, neutral)
            result = part if result is None else fold(result, part)
            taken += size
        size *= 2
        if size > k:
            break
        block = fold(block, _later(block, size // 2, neutral))
    assert result is not None
    return result


def _later(values: Floats, by: int, neutral: float) -> Floats:
    """The same values `by` windows later; before the column began there is nothing."""
    if by == 0:
        return values
    moved = np.full(len(values), neutral)
    moved[by:] = values[: len(values) - by] if by < len(values) else 0.0
    return moved


def _nearest_rank(values: Floats, percent: int, k: int) -> Floats:
    """The smallest present value that at least `percent` % of the present values do not exceed."""
    if not len(values):
        return values
    padded = np.concatenate([np.full(k - 1, np.nan), values])
    looks = np.lib.stride_tricks.sliding_window_view(padded, k)
    result = np.empty(len(values))
    step = max(1, _BLOCK // k)
    for at in range(0, len(values), step):
        ordered = np.sort(looks[at : at + step], axis=1)  # NaN sorts last
        counts = np.count_nonzero(~np.isnan(ordered), axis=1)
        ranks = np.maximum(-(-percent * counts // 100), 1) - 1
        result[at : at + step] = np.take_along_axis(ordered, ranks[:, None], axis=1)[:, 0]
    return result
