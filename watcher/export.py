"""The daemon's own history as a CSV that `watcher backtest` reads (design, section 8): read beside the daemon.

Series by series, in the order of their names and times, since that is how they lie in the state; a backtest puts series
together by itself. Memory is one series' history.
"""

from __future__ import annotations

import csv
import math
from typing import TextIO

import numpy as np

from watcher.model import StoreReader

HEADER = ("ts", "account", "project", "product", "channel", "signal", "value", "weight")


def export(reader: StoreReader, out: TextIO, *, since: int = 0, until: int | None = None) -> int:
    """Write every recorded window that starts in [since, until); the number of rows. Raises `StoreError`."""
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(HEADER)
    rows = 0
    for series in reader.series():
        points = reader.points(series, since)
        if points is None:
            continue
        count = len(points) if until is None else int(np.searchsorted(points.start, until))
        names = (series.account, series.project, series.product, series.channel, series.signal)
        weights = [math.nan] * count if points.weight is None else points.weight[:count].tolist()
        for ts, value, weight in zip(
            points.start[:count].tolist(), points.value[:count].tolist(), weights, strict=True
        ):
            writer.writerow((ts, *names, repr(value), "" if math.isnan(weight) else repr(weight)))
        rows += count
    return rows
