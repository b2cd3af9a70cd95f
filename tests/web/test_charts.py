"""Charts as markup: what the path says, where it breaks, and that nothing but numbers gets in."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from tests.web import boards
from watcher.web.charts import CHART, SPARK, bounds, chart, spark, words
from watcher.web.views import Curve, Stay

END = boards.END


def flat(values: dict[int, float], *, width: int = 20, signal: str = "video_freeze_ratio") -> Curve:
    """A curve of an hour with these values, by seconds before its end."""
    ends = np.array(sorted(END - ago for ago in values), dtype=np.int64)
    return Curve(
        signal=signal,
        start=END - 3600,
        end=END,
        width=width,
        ends=ends,
        values=np.array([values[END - int(end)] for end in ends]),
        threshold=0.05,
        clear=0.03,
    )


def rows(markup: str) -> dict[int, int]:
    """Step -> row of a spark, by walking its path."""
    (path,) = re.findall(r'<path class=l d="([^"]*)"', markup)
    found: dict[int, int] = {}
    x = y = 0
    for name, one, other in re.findall(r"([Mlh])(\d+)(?: ?(-?\d+))?", path):
        if name == "M":
            x, y = int(one), int(other)
        elif name == "l":
            x, y = x + int(one), y + int(other)
        else:
            found |= {x + step: y for step in range(int(one) + 1)}
            x += int(one)
        found[x] = y
    return found


def test_a_spark_has_the_worst_of_each_step_and_a_hole_where_nothing_was() -> None:
    """Where more is worse the highest, where less is worse the lowest; the last step is the newest window."""
    values = dict.fromkeys(range(0, 3600, 20), 0.01)
    values |= {20: 0.11}
    for ago in range(900, 1080, 20):
        del values[ago]
    seen = rows(spark(flat(values)))
    assert set(range(SPARK[0])) - set(seen) == {28, 29}
    assert seen[39] == min(seen.values()), "the peak is at the top, in the last step"
    worse_down = rows(spark(flat({**dict.fromkeys(range(0, 3600, 20), 0.99), 20: 0.5}, signal="join_success_ratio")))
    assert worse_down[39] == max(worse_down.values()) > worse_down[38]


@pytest.mark.parametrize("seed", range(20))
def test_a_spark_s_path_says_every_step(seed: int) -> None:
    """Walked as a browser walks it, the path gives back the row that each step has."""
    dice = np.random.default_rng(seed)
    values = {
        ago: float(v) for ago, v in zip(range(0, 3600, 90), dice.choice([0.0, 0.02, 0.04, 0.09], 40), strict=True)
    }
    for ago in dice.choice(list(values), 8, replace=False).tolist():
        del values[ago]
    curve = flat(values, width=90)
    low, high = bounds(curve, curve.values)
    expected = {39 - ago // 90: round((high - v) / (high - low) * SPARK[1]) for ago, v in values.items()}
    assert rows(spark(curve)) == expected


def test_long_windows_fill_their_steps() -> None:
    """Five-minute windows are no row of dots."""
    seen = rows(spark(flat(dict.fromkeys(range(0, 3600, 300), 0.02), width=300)))
    assert len(seen) == SPARK[0]


def test_a_chart_breaks_where_three_windows_are_missing() -> None:
    """Two missing ones are bridged, as the rules do."""
    values = dict.fromkeys(range(0, 3600, 20), 0.01)
    for ago in (100, 120, 1000, 1020, 1040):
        del values[ago]
    (path,) = re.findall(r'class=line d="([^"]*)"', chart(flat(values)))
    assert path.count("M") == 2
    assert path.count("L") == len(values) - 2


def test_a_chart_shows_when_it_was_pending_and_firing() -> None:
    """Where in the hour, cut at its edges; threshold and clear are lines of their own, at their heights."""
    curve = flat(dict.fromkeys(range(0, 3600, 20), 0.1))
    stays = (
        Stay(firing=True, start=END - 9000, end=END - 3000),
        Stay(firing=False, start=END - 900, end=END - 600),
        Stay(firing=True, start=END - 600, end=None),
    )
    markup = chart(replace(curve, stays=stays))
    spans = re.findall(r'class="(pending|firing)" d="M([\d.]+) 0H([\d.]+)V', markup)
    width = CHART[0]
    assert [(name, float(a), float(b)) for name, a, b in spans] == [
        ("firing", 0.0, width / 6),
        ("pending", width * 0.75, width * 5 / 6),
        ("firing", width * 5 / 6, width),
    ]
    heights = {name: float(y) for name, y in re.findall(r'class="(clear|limit)" d="M0 ([\d.]+)H', markup)}
    assert heights["limit"] == pytest.approx(CHART[1] * (1 - 0.05 / 0.11), abs=0.06)
    assert heights["clear"] == pytest.approx(CHART[1] * (1 - 0.03 / 0.11), abs=0.06)


def test_a_chart_without_points_says_so() -> None:
    """And draws its lines."""
    empty = replace(flat({0: 0.1}), ends=np.array([], dtype=np.int64), values=np.array([]))
    assert "no data in this hour" in words(empty)
    assert 'class="limit"' in chart(empty)


@pytest.mark.parametrize("value", [0.0, -0.0, 1e-12, 1e15, -5.0])
def test_any_number_can_be_drawn(value: float) -> None:
    """One value for an hour: no division by nothing, no number in exponents, nothing out of the picture."""
    for signal in ("video_freeze_ratio", "join_success_ratio", "users", "a/b"):
        curve = replace(flat(dict.fromkeys(range(0, 3600, 20), value), signal=signal), threshold=None, clear=None)
        for drawn in (spark(curve), chart(curve)):
            markup = re.sub('aria-label="[^"]*"', "", drawn)
            assert "nan" not in markup
            assert "e+" not in markup
            assert all(0 <= float(y) <= CHART[1] for y in re.findall(r"[ML][\d.]+ (-?[\d.]+)", markup))
