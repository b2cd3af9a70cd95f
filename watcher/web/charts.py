"""Charts as SVG inside the page: drawn here, so that they need no script, no library and no second request.

Two sizes of one drawing. A *spark* is for hundreds of series: forty steps of ninety seconds, the worst of each, in
whole units, as few bytes as a line can be (relative steps; the text beside it says the numbers). A *chart* is
for one alert: every window, threshold and clear line, and when it was pending and firing. Axis labels are HTML beside
it, so that they keep their size when the drawing is stretched to a telephone or a wide screen.

Everything here is numbers made into path data: no text of a vendor gets into the markup.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from markupsafe import Markup, escape

from watcher.alerts.wording import number
from watcher.model import SIGNALS, Floats, Unit, Worse, judged_by, unit_of
from watcher.web.views import Curve

SPARK = (40, 16)
CHART = (600, 120)
_BROKEN_AFTER = 3  # missing windows that break the line, as they restart a rule's timer


def spark(curve: Curve) -> Markup:
    """A small line, the worst value of each ninety seconds, with the threshold if there is one."""
    width, height = SPARK
    steps = _steps(curve, width)
    low, high = bounds(curve, steps[~np.isnan(steps)])
    rows = np.where(np.isnan(steps), steps, np.round((high - steps) / (high - low) * height))
    limit = "" if curve.threshold is None else f"<path d=M0,{_y(curve.threshold, low, high, height):.0f}h{width - 1} />"
    line = f'{limit}<path class=l d="{_runs(rows)}"/>'
    return Markup(f'<svg viewBox="0 0 {width - 1} {height}" preserveAspectRatio=none>{line}</svg>')  # noqa: S704 - numbers


def chart(curve: Curve) -> Markup:
    """The large one. Its words for those who cannot see it are its label."""
    width, height = CHART
    low, high = bounds(curve, curve.values)
    span = max(curve.end - curve.start, 1)

    def x(at: float) -> float:
        return min(max((at - curve.start) / span, 0.0), 1.0) * width

    shades = [
        f'<path class="{"firing" if stay.firing else "pending"}" d="M{left:.1f} 0H{right:.1f}V{height}H{left:.1f}z"/>'
        for stay in curve.stays
        if (right := x(curve.end if stay.end is None else stay.end)) - (left := x(stay.start)) > 0
    ]
    lines = [
        f'<path class="{name}" d="M0 {_y(level, low, high, height):.1f}H{width}"/>'
        for name, level in (("clear", curve.clear), ("limit", curve.threshold))
        if level is not None and not (name == "clear" and level == curve.threshold)
    ]
    points = "".join(
        f"{'M' if begins else 'L'}{x(at):.1f} {_y(value, low, high, height):.1f}" for begins, at, value in _walk(curve)
    )
    opening = f'<svg class=chart viewBox="0 0 {width} {height}" preserveAspectRatio=none role=img'
    drawing = f'{"".join(shades)}{"".join(lines)}<path class=line d="{points}"/>'
    return Markup(f'{opening} aria-label="{escape(words(curve))}">{drawing}</svg>')  # noqa: S704 - all but the label is numbers


def words(curve: Curve) -> str:
    """What the chart shows, in a sentence."""
    name = judged_by(curve.signal)
    if not len(curve.values):
        return f"{name}: no data in this hour"
    ends = [number(float(v), name) for v in (curve.values.min(), curve.values.max(), curve.values[-1])]
    limit = "" if curve.threshold is None else f", limit {number(curve.threshold, name)}"
    return f"{name} over the last hour: {ends[0]} to {ends[1]}, now {ends[2]}{limit}"


def bounds(curve: Curve, values: Floats) -> tuple[float, float]:
    """What the vertical axis spans: from nothing where more is worse, around the numbers where less is."""
    levels = [level for level in (curve.threshold, curve.clear) if level is not None]
    seen = [*levels, *((float(values.min()), float(values.max())) if len(values) else ())]
    low, high = (min(seen), max(seen)) if seen else (0.0, 1.0)
    info = SIGNALS.get(judged_by(curve.signal))
    if info is not None and info.worse is Worse.DOWN:
        room = max((high - low) * 0.15, abs(high) * 0.02, 1e-9)
        ceiling = 1.0 if unit_of(curve.signal) is Unit.RATIO and high <= 1.0 else math.inf
        return low - room, max(min(high + room, ceiling), low + 1e-9)
    return min(low, 0.0), max(high * 1.1, min(low, 0.0) + 1e-9)


def _y(value: float, low: float, high: float, height: float) -> float:
    return min(max((high - value) / (high - low), 0.0), 1.0) * height


def _steps(curve: Curve, count: int) -> Floats:
    """The worst value of each of `count` equal parts; NaN where there is none. A long window fills all its parts."""
    part = max((curve.end - curve.start) / count, 1)
    found = np.full(count, np.nan)
    info = SIGNALS.get(judged_by(curve.signal))
    worst = np.fmin if info is not None and info.worse is Worse.DOWN else np.fmax
    last = np.ceil((curve.ends - curve.start) / part).astype(np.int64) - 1
    for back in range(math.ceil(curve.width / part)):
        index = last - back
        inside = (index >= 0) & (index < count)
        worst.at(found, index[inside], curve.values[inside])
    return found


def _runs(rows: Floats) -> str:
    """Path data of a row per step, each relative to the one before; steps on one level are one."""
    parts: list[str] = []
    before: float | None = None
    level = 0  # steps on one level that are still to be drawn
    for index, row in enumerate([*rows.tolist(), math.nan]):
        if row == before:
            level += 1
            continue
        if level:
            parts.append(f"h{level}")
            level = 0
        if math.isnan(row):
            alone = before is not None and parts[-1].startswith("M")
            parts += ["h0"] if alone else []  # a dot
            before = None
            continue
        parts.append(f"M{index} {row:.0f}" if before is None else f"l1{row - before:+.0f}".replace("+", " "))
        before = row
    return "".join(parts)


def _walk(curve: Curve) -> Iterator[tuple[bool, int, float]]:
    """(begins a run, end of window, value)."""
    before: int | None = None
    for at, value in zip(curve.ends.tolist(), curve.values.tolist(), strict=True):
        yield before is None or at - before > _BROKEN_AFTER * curve.width, at, value
        before = at
