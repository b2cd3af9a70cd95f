"""When generated rooms are used: the same from either side, by columns and one by one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import EPOCH
from watcher.emulator.day import Day
from watcher.emulator.grid import Grid

FLAT = Day(trough=1.0, peak_hour=15.0, week=(1.0,) * 7)
HALF = Day(trough=0.5, peak_hour=15.0, week=(0.5,) * 7)


@given(st.integers(0, 2**63), st.integers(1, 20), st.integers(60, 7200), st.integers(0, 600), st.integers(0, 86_400))
def test_columns_and_single_turns_agree(key: int, rooms: int, length: int, gap: int, since: int) -> None:
    """What a stretch of time holds is what each turn says of itself; nothing that overlaps it is left out."""
    grid = Grid(key=key, rooms=rooms, length=length, gap=gap, day=HALF)
    start = EPOCH + since
    found = {
        (room, turn): at for room, turn, at in zip(*(c.tolist() for c in grid.within(start, start + 900)), strict=True)
    }
    for (room, turn), at in found.items():
        assert grid.held(room, turn)
        assert grid.start(room, turn) == at
        assert at < start + 900
        assert at + length > start
        for near in (turn - 1, turn + 1):
            begin = grid.start(room, near)
            overlaps = begin < start + 900 and begin + length > start
            assert ((room, near) in found) == (grid.held(room, near) and overlaps)


def test_as_often_as_the_day_says() -> None:
    """With a flat curve every turn takes place, at half the curve half of them."""
    whole, half = (Grid(key=7, rooms=50, length=600, gap=0, day=day) for day in (FLAT, HALF))
    everything = len(whole.within(EPOCH, EPOCH + 86_400)[0])
    assert abs(everything - 50 * 144) <= 100
    share = len(half.within(EPOCH, EPOCH + 86_400)[0]) / everything
    assert 0.3 < share < 0.45  # half of Thursday's, which lies between a half and the whole over the day


def test_made_up_places_do_not_exist() -> None:
    """Numbers out of an id that somebody made up."""
    grid = Grid(key=7, rooms=5, length=600, gap=0, day=FLAT)
    assert grid.held(4, 0)
    assert not any(grid.held(room, turn) for room, turn in [(5, 0), (-1, 0), (0, 2**60), (0, -(2**200))])
    assert len(grid.within(EPOCH, EPOCH)[0]) == 0
