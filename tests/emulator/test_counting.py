"""The emulator's own bookkeeping: windows of the server's clock, and the union of what was handed out."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watcher.emulator import counting
from watcher.emulator.counting import Coverage, Pool, Quotas, Window, merge
from watcher.model import Span

POOL = Pool("acme", "realtime")
MINUTE = Window("minute", 60, 3)
DAY = Window("day", 86_400, 480)


def nobody(start: float, end: float) -> int:
    """No one else spends."""
    return 0


@given(st.lists(st.integers(0, 600), max_size=80), st.integers(1, 5), st.booleans())
@settings(max_examples=100, deadline=None)
def test_every_window_is_counted_apart(times: list[int], limit: int, strict: bool) -> None:
    """Whatever the order of times, a request is over exactly when its own minute is; the worst minute is reported."""
    quotas = Quotas()
    counts: Counter[int] = Counter()
    over = 0
    for at in times:
        counts[at // 60] += 1
        verdict = quotas.spend(POOL, [Window("minute", 60, limit)], at, strict=strict, foreign=nobody)
        beyond = counts[at // 60] > (max(1, limit - 1) if strict else limit)
        assert (verdict is not None) is beyond
        if verdict is not None:
            quotas.refused(POOL, verdict)
            over += 1
    if times:
        (row,) = quotas.report()
        assert (row["spent"], row["total"], row["refused"]) == (max(counts.values()), len(times), over)


@pytest.mark.parametrize(
    ("times", "strict", "expected"),
    [
        ([0.0, 59.9], True, [None, None]),
        ([0.0, 1.0, 59.9], True, [None, None, "minute"]),
        ([0.0, 1.0, 59.9], False, [None, None, None]),
        ([58.0, 59.0, 60.0, 61.0, 62.0], True, [None, None, None, None, "minute"]),
        ([58.0, 59.0, 59.5, 60.0], True, [None, None, "minute", None]),
    ],
)
def test_minutes_begin_on_the_utc_grid(times: list[float], strict: bool, expected: list[str | None]) -> None:
    """Two bursts on both sides of a full minute pass; the strict reading allows one less than the limit."""
    quotas = Quotas()
    found = [quotas.spend(POOL, [MINUTE, DAY], at, strict=strict, foreign=nobody) for at in times]
    assert [window.name if window else None for window in found] == expected


@pytest.mark.parametrize("strict", [True, False])
def test_a_limit_of_one_allows_one(strict: bool) -> None:
    """One a second is one a second, in the strict reading too."""
    quotas = Quotas()
    second = Window("second", 1, 1)
    found = [quotas.spend(POOL, [second], at, strict=strict, foreign=nobody) for at in (0.0, 0.5, 1.0)]
    assert found == [None, second, None]


def test_the_day_begins_at_midnight_utc() -> None:
    """479 of 480 pass in a day, the next is refused for the day, and midnight opens it again."""
    quotas = Quotas()
    wide = Window("minute", 60, 1000)
    for i in range(479):
        assert quotas.spend(POOL, [wide, DAY], i * 180.0, strict=True, foreign=nobody) is None
    assert quotas.spend(POOL, [wide, DAY], 86_399.0, strict=True, foreign=nobody) == DAY
    assert quotas.spend(POOL, [wide, DAY], 86_400.0, strict=True, foreign=nobody) is None


def test_the_smaller_window_is_named_first_and_every_request_counts() -> None:
    """Over both, the minute is named; refused requests fill the windows like any other."""
    quotas = Quotas()
    small_day = Window("day", 86_400, 4)
    named = [quotas.spend(POOL, [MINUTE, small_day], 1.0, strict=False, foreign=nobody) for _ in range(5)]
    assert named == [None, None, None, MINUTE, MINUTE]
    assert quotas.spend(POOL, [MINUTE, small_day], 61.0, strict=False, foreign=nobody) == small_day


def test_requests_of_others_count_but_are_told_apart() -> None:
    """Somebody else's two leave none of three; the report shows whose was whose."""
    quotas = Quotas()
    verdict = quotas.spend(POOL, [MINUTE], 30.0, strict=True, foreign=lambda start, end: 2)
    assert verdict == MINUTE
    (row,) = quotas.report()
    assert (row["spent"], row["foreign"]) == (1, 2)


def test_a_clock_that_steps_back_finds_its_counts_again() -> None:
    """A minute that was used up stays used up after an hour elsewhere."""
    quotas = Quotas()
    for at in [0.0, 1.0, *(3600.0 + 60 * i for i in range(30))]:
        quotas.spend(POOL, [MINUTE], at, strict=True, foreign=nobody)
    assert quotas.spend(POOL, [MINUTE], 2.0, strict=True, foreign=nobody) == MINUTE


def test_after_a_long_stay_in_the_future_the_past_is_counted_again() -> None:
    """More windows than are kept lie ahead: those are let go first, and the present fills up as ever."""
    quotas = Quotas()
    for minute in range(1000, 1100):
        quotas.spend(POOL, [MINUTE], minute * 60.0, strict=True, foreign=nobody)
    found = [quotas.spend(POOL, [MINUTE], float(at), strict=True, foreign=nobody) for at in range(3)]
    assert found == [None, None, MINUTE]


def test_pools_windows_and_keys_are_bounded_and_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each bound is reached, keeps its size and counts what it cost."""
    monkeypatch.setattr(counting, "_MAX_POOLS", 2)
    monkeypatch.setattr(counting, "_MAX_KEYS", 2)
    monkeypatch.setattr(counting, "_MAX_SPANS", 3)
    quotas = Quotas()
    for i in range(4):
        quotas.spend(Pool("acme", "realtime", str(i)), [MINUTE], 0.0, strict=True, foreign=nobody)
    assert (len(quotas.report()), quotas.dropped_pools) == (2, 2)
    coverage = Coverage()
    for i in range(5):
        coverage.add(("a",), [Span(100 * i, 100 * i + 20)])
        coverage.add((str(i),), [Span(0, 20)])
    assert coverage.spans()[("a",)] == [Span(200, 220), Span(300, 320), Span(400, 420)]
    assert (coverage.forgotten_spans, coverage.dropped_keys, len(coverage.spans())) == (2, 4, 2)


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60))))
@settings(max_examples=200, deadline=None)
def test_merging_spans_is_their_union(pairs: list[tuple[int, int]]) -> None:
    """The same slots, in sorted, disjoint spans that do not touch."""
    spans = [Span(*pair) for pair in pairs]
    merged = merge(spans)
    assert {i for s in spans for i in range(s.start, s.end)} == {i for s in merged for i in range(s.start, s.end)}
    assert all(a.end < b.start for a, b in itertools.pairwise(merged))
    assert all(s.start < s.end for s in merged)
