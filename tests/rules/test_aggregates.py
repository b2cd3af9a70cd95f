"""Aggregates: what each means, and that the same windows give the same bits however a column is cut."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.model import Floats
from watcher.rules.aggregates import rolling, rolling_count
from watcher.rules.rule import Aggregate, Kind
from watcher.rules.shorthand import windows as values

NAN = math.nan


def column(text: str) -> Floats:
    """A dense column from shorthand."""
    return np.array([NAN if v is None else v for v in values(text)], dtype=np.float64)


def agg(kind: Kind, seconds: int, percent: int = 0) -> Aggregate:
    """An aggregate over a duration."""
    return Aggregate(kind=kind, seconds=seconds, percent=percent)


@pytest.mark.parametrize(
    ("seconds", "width", "windows"), [(60, 20, 3), (50, 20, 3), (20, 20, 1), (10, 20, 1), (61, 20, 4), (300, 30, 10)]
)
def test_how_many_windows_a_duration_takes(seconds: int, width: int, windows: int) -> None:
    """Those with event time in (t - duration, t]: one minute of 20 s windows is three."""
    assert agg(Kind.AVG, seconds).windows(width) == windows


@pytest.mark.parametrize(
    ("aggregate", "text", "expected"),
    [
        (Aggregate(kind=Kind.LAST), "1 _ 3", [1, NAN, 3]),
        (agg(Kind.AVG, 60), "1 2 3 6", [1, 1.5, 2, 11 / 3]),
        (agg(Kind.AVG, 60), "1 _ 3 _ _ _", [1, 1, 2, 3, 3, NAN]),
        (agg(Kind.MIN, 60), "3 _ 1 2 5 4", [3, 3, 1, 1, 1, 2]),
        (agg(Kind.MAX, 60), "3 _ 1 2 5 4", [3, 3, 3, 2, 5, 5]),
        (agg(Kind.PERCENTILE, 80, 50), "4 1 3 2", [4, 1, 3, 2]),
        (agg(Kind.PERCENTILE, 80, 95), "4 1 3 _", [4, 4, 4, 4]),
        (agg(Kind.PERCENTILE, 80, 1), "4 1 3 _", [4, 1, 1, 1]),
    ],
)
def test_each_aggregate_on_a_few_windows(aggregate: Aggregate, text: str, expected: list[float]) -> None:
    """Over the present of the windows looked back on; absent where none is; percentiles are nearest-rank."""
    np.testing.assert_array_equal(rolling(column(text), None, aggregate, 20), expected)


@pytest.mark.parametrize(
    ("text", "weights", "expected"),
    [
        ("1 3", [1, 3], [1, 2.5]),  # weighted where weights are known
        ("1 3", [NAN, 3], [1, 2]),  # one unknown: each counts alike
        ("1 3 5 7", [NAN, 1, 3, 4], [1, 2, 3, 5.75]),  # and weighted again once it is out of sight
        ("1 3", [0, 3], [NAN, 3]),  # nothing behind it at all
        ("1 _ 3", [1, NAN, 3], [1, 1, 2.5]),  # the weight of a missing window is not missed
    ],
)
def test_averages_are_weighted_where_weights_are_known(text: str, weights: list[float], expected: list[float]) -> None:
    """Weight by users or streams; a plain mean where any of them is unknown."""
    found = rolling(column(text), np.array(weights, dtype=np.float64), agg(Kind.AVG, 60), 20)
    np.testing.assert_array_equal(found, expected)


def test_a_count_looks_back_on_n_windows() -> None:
    """How many of the last three hold, from the first window on."""
    holds = np.array([1, 1, 0, 1, 1, 1], dtype=np.bool_)
    assert rolling_count(holds, 3).tolist() == [1, 2, 2, 2, 2, 3]
    assert rolling_count(holds[:2], 10).tolist() == [1, 2]
    assert rolling_count(holds[:0], 3).tolist() == []


_any = st.lists(st.one_of(st.just(NAN), st.floats(0, 1)), min_size=1, max_size=60)
_kinds = st.sampled_from([Kind.AVG, Kind.MIN, Kind.MAX, Kind.PERCENTILE])


@given(_any, st.lists(st.floats(0.5, 100), min_size=60, max_size=60), _kinds, st.integers(1, 25), st.data())
def test_the_same_windows_give_the_same_bits(
    found: list[float], weights: list[float], kind: Kind, k: int, data: st.DataObject
) -> None:
    """Cut anywhere, with the windows it looks back on: not one bit differs from the whole column's."""
    whole, mass = np.array(found), np.array(weights[: len(found)])
    aggregate = agg(kind, k * 20, 90)
    first = data.draw(st.integers(0, len(found) - 1))
    last = data.draw(st.integers(first, len(found)))
    low = max(first - k + 1, 0)
    for weight in (None, mass):
        part = rolling(whole[low:last], None if weight is None else weight[low:last], aggregate, 20)
        expected = rolling(whole, weight, aggregate, 20)[first:last]
        assert part[first - low :].tobytes() == expected.tobytes()


@given(_any, _kinds, st.integers(1, 25))
def test_aggregates_are_what_their_names_say(found: list[float], kind: Kind, k: int) -> None:
    """Against the plain definition, window by window."""
    result = rolling(np.array(found), None, agg(kind, k * 20, 90), 20)
    for i, ours in enumerate(result.tolist()):
        present = sorted(v for v in found[max(i - k + 1, 0) : i + 1] if not math.isnan(v))
        if not present:
            assert math.isnan(ours)
            continue
        expected = {
            Kind.AVG: math.fsum(present) / len(present),
            Kind.MIN: present[0],
            Kind.MAX: present[-1],
            Kind.PERCENTILE: present[math.ceil(0.9 * len(present) - 1e-9) - 1],
        }[kind]
        assert ours == pytest.approx(expected, rel=1e-12, abs=1e-300)


def test_a_long_percentile_is_sorted_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """A day's percentile over a day of windows never holds all its looks at once, and is the same."""
    noise = np.random.default_rng(7).random(500)
    whole = rolling(noise, None, agg(Kind.PERCENTILE, 4000, 90), 20)
    monkeypatch.setattr("watcher.rules.aggregates._BLOCK", 1000)
    np.testing.assert_array_equal(rolling(noise, None, agg(Kind.PERCENTILE, 4000, 90), 20), whole)
