"""Rows and points against a slow, plain reading of the same rules; and what the bounds of memory cost."""

from __future__ import annotations

import math
import random as random_module
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.providers.vonage import rows as rows_module
from watcher.providers.vonage.points import Scale, Who, measure, votes
from watcher.providers.vonage.rows import NEVER, VALUES, WIDTH, YOUNG, Grid, StreamMemo, milliseconds
from watcher.providers.vonage.wire import Oddity, Stat, Tally

BASE = 1_767_268_800  # a bucket's start
RATIO = Scale(loss=1.0, bitrate=125.0)

maybe = st.none() | st.floats(0, 1, width=32)
stat = st.tuples(
    st.integers(0, 4),  # stream
    st.integers(0, 120_000),  # milliseconds after BASE
    st.booleans(),  # video on
    maybe,  # loss
    st.none() | st.sampled_from([0.0, 40.0, 80.0]),  # bitrate
)
Given = tuple[int, int, bool, float | None, float | None]


def put(grid: Grid, given_: list[Given], memos: dict[int, StreamMemo], tally: Tally) -> None:
    for stream, at, video, loss, bitrate in given_:
        memo = memos.setdefault(stream, StreamMemo(index=stream, began=BASE * 1000 - YOUNG))
        row = Stat(has_audio=True, has_video=video, video_packet_loss=loss, video_bitrate_kbps=bitrate)
        grid.add(memo, [row], np.array([BASE * 1000 + at]), tally)


def everybody(streams: int) -> Who:
    return Who(
        session=np.zeros(streams, np.int64),
        publishes=np.ones(streams, np.bool_),
        source=np.full(streams, -1),
        client=np.full(streams, -1),
    )


@given(st.lists(stat, max_size=60))
def test_means_are_over_streams_of_means_over_rows(given_: list[Given]) -> None:
    """Whatever the order, the doubles and the holes: the plain reading gives the same value and weight."""
    grid = Grid()
    grid.begin(BASE)
    put(grid, given_, {}, Tally())
    last = {(stream, at): (video, loss) for stream, at, video, loss, _ in given_}
    for start in range(BASE, BASE + 150, WIDTH):
        by_stream: dict[int, list[float]] = defaultdict(list)
        for (stream, at), (video, loss) in last.items():
            if start * 1000 <= BASE * 1000 + at < (start + WIDTH) * 1000 and video and loss is not None:
                by_stream[stream].append(loss)
        found = votes(grid, start, everybody(5))
        chosen = np.ones(5 if found is None else len(found.stream), np.bool_)
        signal = "video_packet_loss_ratio"
        told = measure(found, chosen, (signal,), RATIO, {}).get(signal) if found else None
        if not by_stream:
            assert told is None
        else:
            assert told is not None
            means = [math.fsum(values) / len(values) for values in by_stream.values()]
            assert told.weight == len(means)
            assert told.value == pytest.approx(math.fsum(means) / len(means), abs=1e-6)


@given(st.lists(stat, max_size=40), st.randoms())
def test_reading_again_changes_nothing(given_: list[Given], random: object) -> None:
    """The same rows once more, in another order, leave every bucket as it was."""
    first = {(stream, at): (stream, at, video, loss, bitrate) for stream, at, video, loss, bitrate in given_}
    once, twice = Grid(), Grid()
    memos: dict[int, StreamMemo] = {}
    for grid in (once, twice):
        grid.begin(BASE)
        put(grid, sorted(first.values(), key=lambda row: row[1]), dict(memos), Tally())
    again = list(first.values())
    assert isinstance(random, random_module.Random)
    random.shuffle(again)
    put(twice, again, {}, Tally())
    for start in range(BASE, BASE + 150, WIDTH):
        one, two = once.bucket(start), twice.bucket(start)
        if one is None:
            assert two is None
        else:
            assert two is not None
            assert one["stream"].tolist() == two["stream"].tolist()
            assert one["at"].tolist() == two["at"].tolist()
    assert len(once) == len(twice) or not first


def test_a_row_that_comes_twice_in_one_answer_is_one() -> None:
    """The later copy holds, and the row has one vote."""
    grid = Grid()
    grid.begin(BASE)
    stats = [Stat(has_video=True, video_packet_loss=loss) for loss in (0.5, 0.5, 0.1)]
    grid.add(StreamMemo(index=0, began=0), stats, np.array([BASE * 1000, BASE * 1000 + 9, BASE * 1000]), Tally())
    bucket = grid.bucket(BASE)
    assert bucket is not None
    assert bucket["at"].tolist() == [0, 9]
    assert bucket["values"][0, VALUES.index("video_loss")] == pytest.approx(0.1)


def low(stream: int, at: int, bitrate: float) -> Given:
    return stream, at, True, 0.0, bitrate


@pytest.mark.parametrize(
    ("bitrates", "stalled"),
    [
        ([80.0, 80.0, 80.0], 0.0),
        ([80.0, 80.0, 0.0], 0.0),  # one row proves nothing
        ([80.0, 0.0, 0.0], 1.0),
        ([0.0, 80.0, 0.0], 0.0),
        ([80.0, 3.0, 3.0], 1.0),  # under a twentieth of what is usual
        ([80.0, 30.0, 30.0], 0.0),
    ],
)
def test_a_stall_is_two_rows(bitrates: list[float], stalled: float) -> None:
    """By the stream's own measure, in this bucket and the one before."""
    grid = Grid()
    grid.begin(BASE)
    put(grid, [low(0, i * WIDTH * 1000, bitrate) for i, bitrate in enumerate(bitrates)], {}, Tally())
    found = votes(grid, BASE + 2 * WIDTH, everybody(1))
    assert found is not None
    assert found.values["stalled"].tolist() == [stalled]


def test_a_stall_is_counted_at_its_source() -> None:
    """Subscriptions to a stalled publisher have no vote of their own; another's subscription has."""
    grid = Grid()
    grid.begin(BASE)
    rows = [low(stream, i * WIDTH * 1000, 0.0) for stream in (0, 1, 3) for i in range(2)]
    rows += [low(2, i * WIDTH * 1000, 80.0) for i in range(2)]
    put(grid, rows, {}, Tally())
    who = Who(
        session=np.zeros(4, np.int64),
        publishes=np.array([True, False, True, False]),
        source=np.array([-1, 0, -1, 2]),
        client=np.full(4, -1),
    )
    found = votes(grid, BASE + WIDTH, who)
    assert found is not None
    assert np.array_equal(found.values["stalled"], [1.0, math.nan, 0.0, 1.0], equal_nan=True)


def test_young_rows_have_no_vote() -> None:
    """The first half minute of a stream is how connections begin, not how they are."""
    grid = Grid()
    grid.begin(BASE)
    memo = StreamMemo(index=0, began=BASE * 1000)
    stats = [Stat(has_video=True, video_packet_loss=0.5), Stat(has_video=True, video_packet_loss=0.1)]
    grid.add(memo, stats, np.array([BASE * 1000 + 5000, BASE * 1000 + 35_000]), Tally())
    assert grid.bucket(BASE) is None
    assert grid.bucket(BASE + WIDTH) is not None


@pytest.mark.parametrize("value", [-0.1, 1e12])
def test_impossible_values_are_none(value: float) -> None:
    """A negative or absurd number is counted and has no vote; the rest of its row has."""
    grid, tally = Grid(), Tally()
    grid.begin(BASE)
    row = Stat(has_video=True, video_packet_loss=value, video_bitrate_kbps=50.0)
    grid.add(StreamMemo(index=0, began=0), [row], np.array([BASE * 1000]), tally)
    bucket = grid.bucket(BASE)
    assert bucket is not None
    assert np.isnan(bucket["values"][0, VALUES.index("video_loss")])
    assert bucket["values"][0, VALUES.index("video_bitrate")] == 50.0
    assert tally[Oddity.IMPOSSIBLE] == 1


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is too old or too much goes, oldest first, is counted, and moves the floor: no bucket is ever torn."""
    monkeypatch.setattr(rows_module, "MAX_ROWS", 50)
    grid, tally = Grid(), Tally()
    grid.begin(BASE)
    put(grid, [low(i % 5, i * 3000, 80.0) for i in range(100)], {}, tally)
    grid.trim(BASE + 300, tally)
    assert len(grid) <= 50
    assert tally[Oddity.OVERFLOW] >= 50
    assert grid.floor > BASE
    before = tally[Oddity.OUTDATED]
    put(grid, [low(0, 0, 80.0)], {}, tally)
    assert tally[Oddity.OUTDATED] == before + 1
    assert grid.bucket(BASE) is None


def test_times_as_documented_and_otherwise() -> None:
    """The documented form, other ISO forms, and what is none."""
    documented = "2020-07-09T09:14:57.530Z"
    assert milliseconds([documented]).tolist() == [1594286097530]
    assert milliseconds([documented, "2020-07-09T11:14:57.53+02:00", "2020-07-09T09:14:57", None, "soon"]).tolist() == [
        1594286097530,
        1594286097530,
        1594286097000,
        NEVER,
        NEVER,
    ]
