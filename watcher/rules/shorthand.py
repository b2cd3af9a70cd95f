"""A series in a few characters, as promtool writes them: for the tests that users write of their rules.

Values stand apart by blanks. `9%x10` is eleven windows of 9 % (the value and ten more), `1+2x3` is 1 3 5 7, `10-2x3` is
10 8 6 4, `_` is a window for which the vendor answered with nothing, `_x3` three of them. Percent and milliseconds are
taken as everywhere else in a pack.
"""

from __future__ import annotations

import re

from watcher.yamlfile import quantity

MAX_WINDOWS = 100_000  # of one series: 23 days of 20 s

_ITEM = re.compile(
    r"(?P<value>_|-?[0-9.]+(?:e-?[0-9]+)?(?:%|ms|s)?)(?P<step>[+-][0-9.]+(?:%|ms|s)?)?(?:x(?P<times>[0-9]{1,6}))?\Z"
)


def windows(text: str) -> list[float | None]:
    """The values of a series, None for a window without data. Raises `ValueError`."""
    found: list[float | None] = []
    for item in text.split():
        match = _ITEM.match(item)
        if match is None or (match["value"] == "_" and match["step"]):
            raise ValueError(f"{item[:40]!r} is no value; write them like 5%, 9%x10, 1+2x3, _ or _x3")
        times = int(match["times"] or 0)
        if len(found) + times >= MAX_WINDOWS:
            raise ValueError(f"has more than {MAX_WINDOWS} windows; write a shorter test")
        if match["value"] == "_":
            found += [None] * max(times, 1)
            continue
        first, step = quantity(match["value"]), quantity(match["step"]) if match["step"] else 0.0
        found += [first + step * i for i in range(times + 1)]
    return found
