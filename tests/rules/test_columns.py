"""Columns: what they take in, what they refuse and count, and how they tell the kinds of absence apart."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.rules.series import START, W, points, series
from watcher.model import Points, Span
from watcher.rules import columns
from watcher.rules.columns import Column, Losses

MAIN = series()


def taken(*texts: str, start: int = START) -> tuple[Column, Losses]:
    """A column that took each text in, one after the other, at the same place."""
    column, losses = Column(width=W), Losses()
    for text in texts:
        column.merge(points(MAIN, text, start=start), after=0, losses=losses)
    return column, losses


def read(column: Column, windows: int, start: int = START) -> list[float | None]:
    """The values of the first windows from `start`."""
    found, _, _ = column.window(start // W, start // W + windows)
    return [None if math.isnan(v) else v for v in found.tolist()]


def raw(starts: list[int], values: list[float], *, width: int = W, weight: list[float] | None = None) -> Points:
    """Points as a vendor may send them: in any order, and twice."""
    return Points(
        series=MAIN,
        width=width,
        start=np.array(starts, dtype=np.int64),
        value=np.array(values, dtype=np.float64),
        weight=None if weight is None else np.array(weight, dtype=np.float64),
    )


def test_points_lie_on_the_grid_with_holes_between() -> None:
    """Missing windows are absent, before and behind the column too."""
    column, _ = taken("1 _ 3")
    assert read(column, 5, START - W) == [None, 1, None, 3, None]
    assert (column.begins, column.frontier) == (START, START + 3 * W)


def test_shuffled_and_duplicated_points_are_sorted_out() -> None:
    """Any order; of one window the later one stands."""
    column, losses = Column(width=W), Losses()
    column.merge(raw([START + 40, START, START + 40, START + 20], [9, 1, 3, 2]), after=0, losses=losses)
    assert read(column, 3) == [1, 2, 3]


def test_a_revision_replaces_and_says_so_once() -> None:
    """Only what is new counts as a change."""
    column, losses = taken("1 2 3")
    version = column.version
    assert not column.merge(points(MAIN, "1 2 3"), after=0, losses=losses)
    assert column.version == version
    assert column.merge(points(MAIN, "1 5 3"), after=0, losses=losses)
    assert read(column, 3) == [1, 5, 3]
    assert column.version > version


def test_a_reply_that_omits_a_window_takes_nothing_back() -> None:
    """A hole in a later reply leaves the value standing."""
    column, _ = taken("1 2 3", "1 _ 3")
    assert read(column, 3) == [1, 2, 3]


def test_older_points_grow_the_column_to_the_left() -> None:
    """A shuffled stream may bring the past later."""
    column, losses = taken("5", start=START + 100)
    column.merge(points(MAIN, "1 2"), after=0, losses=losses)
    assert read(column, 6) == [1, 2, None, None, None, 5]


def test_what_is_decided_is_left_alone_and_counted() -> None:
    """A window whose event time is at the limit is stale, the next one is taken."""
    column, losses = taken("1 2 3")
    assert column.merge(points(MAIN, "7 7 7"), after=START + 2 * W, losses=losses)
    assert read(column, 3) == [1, 2, 7]
    assert losses.stale == 2


@pytest.mark.parametrize(
    ("brought", "counted"),
    [
        (raw([START + 7], [1.0]), Losses(unaligned=1)),
        (raw([START, START + 60], [1.0, 2.0], width=60), Losses(unaligned=2)),
        (raw([START, START + 20, START + 40], [math.nan, math.inf, 1e200]), Losses(not_finite=3)),
    ],
)
def test_what_cannot_be_placed_or_added_up_is_counted(brought: Points, counted: Losses) -> None:
    """Off the grid, of another length, or not a number: dropped, never judged."""
    column, losses = Column(width=W), Losses()
    assert not column.merge(brought, after=0, losses=losses)
    assert losses == counted
    assert len(column) == 0


def test_weights_are_kept_where_they_mean_something() -> None:
    """A negative, infinite or missing weight is unknown; a value without weight after one with makes it unknown."""
    column, losses = Column(width=W), Losses()
    starts = [START + i * W for i in range(4)]
    column.merge(raw(starts, [1, 1, 1, 1], weight=[5, -1, math.inf, math.nan]), after=0, losses=losses)
    assert [column.weight_at(s) for s in starts] == [5, None, None, None]
    assert column.merge(raw(starts[:1], [1]), after=0, losses=losses)
    assert column.weight_at(START) is None


def test_answered_windows_are_known_to_be_empty() -> None:
    """Absent and settled is definitive; asked and not settled is not; lost spans never are."""
    column, losses = Column(width=W), Losses()
    assert column.answer(Span(START, START + 5 * W), START + 3 * W, after=0, losses=losses)
    assert (column.frontier, column.asked_until) == (START + 3 * W, START + 5 * W)
    assert not column.answer(Span(START, START + 2 * W), START + 2 * W, after=0, losses=losses)
    column.answer(Span(START + 7 * W, START + 9 * W), START + 9 * W, after=0, losses=losses)
    _, _, answered = column.window(START // W, START // W + 9)
    assert answered.tolist() == [True] * 3 + [False] * 4 + [True] * 2
    assert column.holes() == (Span(START + 3 * W, START + 7 * W),)


def test_holes_survive_a_restart() -> None:
    """From the span that was asked for and its holes, the same windows are answered."""
    column, losses = Column(width=W), Losses()
    column.restore_answered(
        Span(START, START + 9 * W), [Span(START - W, START + W), Span(START + 60, START + 100)], losses
    )
    _, _, answered = column.window(START // W, START // W + 9)
    assert answered.tolist() == [False, True, True, False, False, True, True, True, True]


def test_trimming_forgets_the_oldest_windows_only() -> None:
    """What starts before the limit goes; the rest stays in place."""
    column, _ = taken("1 2 3 4")
    column.trim(START + 2 * W)
    assert read(column, 4) == [None, None, 3, 4]
    column.trim(START + 100 * W)
    assert len(column) == 0
    assert column.frontier == START + 4 * W


def test_a_column_has_a_limit_and_counts_what_it_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Growing beyond the limit loses the oldest windows; bringing older ones to a full column loses those."""
    monkeypatch.setattr(columns, "MAX_WINDOWS", 5)
    column, losses = taken("1 2 3 4")
    column.merge(points(MAIN, "5 6 7", start=START + 4 * W), after=0, losses=losses)
    assert read(column, 7) == [None, None, 3, 4, 5, 6, 7]
    assert losses.overgrown == 2
    column.merge(points(MAIN, "9 9 8"), after=0, losses=losses)
    assert read(column, 7) == [None, None, 8, 4, 5, 6, 7]
    assert losses.overgrown == 4
    assert len(column) == 5


def test_values_are_found_by_the_window_that_holds_an_instant() -> None:
    """A companion with longer windows answers for every instant within them."""
    column, losses = Column(width=60), Losses()
    column.merge(raw([START, START + 60], [1, 2], width=60), after=0, losses=losses)
    found = column.at(np.array([START - 20, START, START + 40, START + 60, START + 120], dtype=np.int64))
    assert [None if math.isnan(v) else v for v in found.tolist()] == [None, 1, 1, 2, None]
    assert [column.value_at(START + s) for s in (-20, 40, 60, 120)] == [None, 1, 2, None]
    assert column.newest() == (2, START + 120)
    assert Column(width=W).newest() is None
