"""A chart as a PNG for mail: the signal, the limit, and when it was over the limit. The only module that draws.

Mail shows it inline by Content-ID: webmail and Outlook show no data URI, and a picture fetched from somewhere would
tell that somewhere who reads the mail, and need us to be reachable. It holds numbers and times only, no vendor text:
what is drawn cannot be escaped, and the font knows few scripts. Colours are told apart by brightness as well.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence

from watcher.alerts.wording import number
from watcher.clock import MINUTE, hhmm
from watcher.model import SIGNALS, Chart, Unit, Worse

SIZE = (600, 190)  # as shown; drawn twice as large for sharp screens
_SCALE = 2
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 12, 22, 24
_STEPS = tuple(MINUTE * n for n in (1, 2, 5, 10, 15, 30, 60, 120, 180, 360))
_INK, _GRID, _LINE, _LIMIT, _SHADE = "#374151", "#e5e7eb", "#1d4ed8", "#b91c1c", "#fde8e8"


def draw(chart: Chart) -> bytes:
    """The chart as a PNG."""
    return _Picture(chart).png()


class _Picture:
    def __init__(self, chart: Chart) -> None:
        from PIL import Image, ImageDraw, ImageFont  # 6 MB that only who sends mail with a chart needs

        self._chart = chart
        self._image = Image.new("RGB", (SIZE[0] * _SCALE, SIZE[1] * _SCALE), "white")
        self._pen = ImageDraw.Draw(self._image)
        self._font = ImageFont.load_default(11 * _SCALE)
        self._from, self._to = chart.points[0][0] - chart.width, chart.points[-1][0]
        self._low, self._high, self._step = _scale(*_bounds(chart))

    def png(self) -> bytes:
        """Drawn from back to front."""
        self._shade()
        self._axes()
        self._limit()
        self._signal()
        raw = io.BytesIO()
        self._image.quantize(32).save(raw, "PNG", optimize=True)
        return raw.getvalue()

    def _shade(self) -> None:
        end = self._to if self._chart.ended_at is None else self._chart.ended_at
        left, right = self._x(max(self._chart.starts_at, self._from)), self._x(min(end, self._to))
        if left < right:
            self._pen.rectangle((left, self._y(self._high), right, self._y(self._low)), fill=_SHADE)

    def _axes(self) -> None:
        for i in range(round((self._high - self._low) / self._step) + 1):
            value = self._low + i * self._step
            y = self._y(value)
            self._pen.line((self._x(self._from), y, self._x(self._to), y), fill=_GRID, width=_SCALE)
            self._write((self._x(self._from) - 6 * _SCALE, y), number(value, self._chart.signal), "rm", _INK)
        for at in self._ticks():
            x = self._x(at)
            self._pen.line((x, self._y(self._low), x, self._y(self._low) + 4 * _SCALE), fill=_INK, width=_SCALE)
            self._write((x, self._y(self._low) + 6 * _SCALE), hhmm(at), "ma", _INK)

    def _limit(self) -> None:
        """Dashed, and named at its end."""
        limit = self._chart.threshold
        if limit is None:
            return
        y, right = self._y(limit), self._x(self._to)
        x = self._x(self._from)
        while x < right:
            self._pen.line((x, y, min(x + 8 * _SCALE, right), y), fill=_LIMIT, width=2 * _SCALE)
            x += 13 * _SCALE
        self._write((right, 4 * _SCALE), f"limit {number(limit, self._chart.signal)}", "ra", _LIMIT)

    def _signal(self) -> None:
        """A line with a hole wherever three windows or more are missing."""
        for part in _unbroken(self._chart):
            places = [(self._x(at), self._y(value)) for at, value in part]
            if len(places) == 1:
                (x, y) = places[0]
                self._pen.ellipse((x - 3, y - 3, x + 3, y + 3), fill=_LINE)
            else:
                self._pen.line(places, fill=_LINE, width=2 * _SCALE, joint="curve")

    def _ticks(self) -> Iterator[int]:
        length = self._to - self._from
        step = next((s for s in _STEPS if length / s <= 7), _STEPS[-1])
        return iter(range(-(-self._from // step) * step, self._to + 1, step))

    def _write(self, place: tuple[float, float], text: str, anchor: str, colour: str) -> None:
        self._pen.text(place, text, fill=colour, font=self._font, anchor=anchor)

    def _x(self, at: float) -> float:
        width = SIZE[0] - _LEFT - _RIGHT
        return (_LEFT + width * (at - self._from) / (self._to - self._from)) * _SCALE

    def _y(self, value: float) -> float:
        height = SIZE[1] - _TOP - _BOTTOM
        return (_TOP + height * (self._high - value) / (self._high - self._low)) * _SCALE


def _bounds(chart: Chart) -> tuple[float, float]:
    """What the vertical axis spans: from nothing where more is worse, around the numbers where less is."""
    values = [value for _, value in chart.points] + ([] if chart.threshold is None else [chart.threshold])
    info = SIGNALS.get(chart.signal)
    low, high = min(values), max(values)
    if info is not None and info.worse is Worse.DOWN:
        room = max((high - low) * 0.15, abs(high) * 0.02, 1e-9)
        return low - room, min(high + room, 1.0) if info.unit is Unit.RATIO and high <= 1.0 else high + room
    return min(low, 0.0), max(high * 1.1, 1e-9)


def _scale(low: float, high: float) -> tuple[float, float, float]:
    """Bounds around them and the step between lines, in numbers that people count in: at most six lines."""
    least = (high - low) / 5
    whole = 10.0 ** math.floor(math.log10(least))
    step = next(whole * n for n in (1, 2, 2.5, 5, 10, 20) if whole * n * 4.999 >= high - low)
    return math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step, step


def _unbroken(chart: Chart) -> Iterator[Sequence[tuple[int, float]]]:
    part: list[tuple[int, float]] = []
    for point in chart.points:
        if part and point[0] - part[-1][0] > 3 * chart.width:
            yield part
            part = []
        part.append(point)
    yield part
