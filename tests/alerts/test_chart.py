"""What a chart shows, and that it can be drawn whatever the numbers are."""

from __future__ import annotations

import io
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.alerts.build import T0, obligation, transition
from watcher.alerts.chart import LONGEST, chart_of, most_users, series_of, since
from watcher.alerts.message import Item, Kind
from watcher.alerts.picture import SIZE, draw
from watcher.model import Chart, Points, Series, State

SERIES = Series("acme", "agora", "classroom", "Native", "", "video_freeze_ratio")
FIRED = transition(State.FIRING, 120, starts_at=0)
ENDED = transition(State.RESOLVED, 600, seq=2, starts_at=0)


def item(entry: object = FIRED) -> Item:
    """One alert's beginning, or its end."""
    kind = Kind.FIRING if entry is FIRED else Kind.RESOLVED
    return Item(kind=kind, obligations=(obligation(FIRED if entry is FIRED else ENDED),))


def points(values: list[float], *, start: int = -600, weight: list[float] | None = None) -> Points:
    """Windows of 20 s in a row."""
    starts = np.arange(T0 + start, T0 + start + 20 * len(values), 20, dtype=np.int64)
    behind = None if weight is None else np.array(weight)
    return Points(series=SERIES, width=20, start=starts, value=np.array(values), weight=behind)


def test_an_alert_names_its_series_and_the_daemons_own_has_none() -> None:
    """Labels that are not of place do not matter."""
    assert series_of(transition(State.FIRING, 0)) == SERIES
    assert series_of(transition(State.FIRING, 0, signal="")) is None


def test_a_chart_begins_with_some_calm_and_never_holds_more_than_a_day() -> None:
    """A quarter of an hour for a short incident, a quarter of its length for a long one."""
    assert since(item(), T0 + 200) == T0 - 900
    assert since(item(ENDED), T0 + 700) == T0 - 900
    long = Item(kind=Kind.FIRING, obligations=(obligation(transition(State.FIRING, 60, starts_at=-40_000)),))
    assert since(long, T0) == T0 - 50_000
    older = Item(kind=Kind.FIRING, obligations=(obligation(transition(State.FIRING, 60, starts_at=-200_000)),))
    assert since(older, T0) == T0 - LONGEST


def test_many_points_are_thinned_by_the_worst_of_neighbours() -> None:
    """A spike of one window in a day stays to be seen, and the chart is bounded."""
    values = [0.01] * 4000
    values[1234] = 0.5
    chart = chart_of(item(), points(values))
    assert chart is not None
    assert len(chart.points) <= 240
    assert (T0 - 600 + 1234 * 20 + 20, 0.5) in chart.points
    assert all(a[0] < b[0] for a, b in pairwise(chart.points))


def test_one_point_is_no_line() -> None:
    """Nothing to see is no picture."""
    assert chart_of(item(), points([0.1])) is None


def test_users_affected_are_the_most_of_any_window_of_the_incident() -> None:
    """Not those before or after it; by weights where nothing counts users; unknown while it goes on."""
    users = points([900.0] * 19 + [100.0] * 20 + [412.0] + [100.0] * 10 + [900.0] * 20, start=-400)
    assert most_users(item(ENDED), users, None) == 412
    assert most_users(item(ENDED), None, points([0.1] * 60, weight=[7.0] * 60)) == 7
    assert most_users(item(ENDED), None, points([0.1] * 60)) is None
    assert most_users(item(), users, None) is None


@given(
    values=st.lists(st.floats(0, 1e9, allow_subnormal=False), min_size=2, max_size=50),
    signal=st.sampled_from(["video_freeze_ratio", "join_success_ratio", "video_bitrate_bytes_per_second", "unknown"]),
    threshold=st.none() | st.floats(0, 1e9, allow_subnormal=False),
    ended=st.none() | st.integers(-2000, 2000),
)
def test_any_numbers_can_be_drawn(values: list[float], signal: str, threshold: float | None, ended: int | None) -> None:
    """All equal, huge, tiny, zero, an incident outside the picture: always a small PNG of the same size."""
    chart = Chart(
        alert_id="a",
        signal=signal,
        starts_at=T0,
        ended_at=None if ended is None else T0 + ended,
        threshold=threshold,
        width=20,
        points=tuple((T0 + i * 20, value) for i, value in enumerate(values)),
    )
    raw = draw(chart)
    assert len(raw) < 60_000
    with Image.open(io.BytesIO(raw)) as image:
        assert image.size == (SIZE[0] * 2, SIZE[1] * 2)


@pytest.mark.parametrize("gap", [40, 100])
def test_a_hole_in_the_data_is_a_hole_in_the_line(gap: int) -> None:
    """A single missing window is bridged, three or more are not."""
    ats = [T0, T0 + 20, T0 + 20 + gap, T0 + 40 + gap]
    chart = Chart(
        alert_id="a", signal="video_freeze_ratio", starts_at=T0 + 9999, ended_at=None, threshold=None, width=20,
        points=tuple((at, 0.1) for at in ats),
    )  # fmt: skip
    with Image.open(io.BytesIO(draw(chart))) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    blue = (np.abs(pixels - (29, 78, 216)).max(axis=2) < 24).any(axis=0)
    inner = blue[np.flatnonzero(blue)[0] : np.flatnonzero(blue)[-1]]
    assert inner.all() == (gap == 40)
