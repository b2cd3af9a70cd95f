"""The state machine on its own: a track in two pieces gives what it gives in one, wherever it is cut."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from watcher.model import State
from watcher.rules.timeline import Mark, Timers, Track, advance

W = 20
FIRST = 1_000_000

_windows = st.lists(
    st.tuples(
        st.sampled_from(["met", "unknown", "clear", "clear", "between", "missing", "missing"]), st.integers(1, 5)
    ),
    min_size=1,
    max_size=16,
)
_timers = st.builds(
    Timers,
    hold=st.sampled_from([0, 20, 50, 100]),
    clear=st.sampled_from([0, 20, 70]),
    keep=st.sampled_from([0, 50, 130]),
    forget=st.sampled_from([100, 300, 100_000]),
)


def track_of(kinds: list[str], values: list[float], *, first: int = FIRST) -> Track:
    """The judged windows of a list of kinds, one per window of the grid."""
    judged = [(first + (i + 1) * W, kind) for i, kind in enumerate(kinds) if kind != "missing"]
    met = [i for i, (_, kind) in enumerate(judged) if kind in ("met", "unknown")]
    clear = np.array([kind == "clear" for _, kind in judged], dtype=np.bool_)
    return Track(
        width=W,
        times=np.array([at for at, _ in judged], dtype=np.int64),
        met=np.array(met, dtype=np.int64),
        unknown=np.array([judged[i][1] == "unknown" for i in met], dtype=np.bool_),
        clear=lambda: clear,
        values=np.array(values[: len(judged)]),
        worse_above=True,
    )


def part(kinds: list[str], values: list[float], low: int, high: int) -> Track:
    """The windows [low, high) of the same, as a track of their own."""
    before = sum(kind != "missing" for kind in kinds[:low])
    return track_of(kinds[low:high], values[before:], first=FIRST + low * W)


@settings(max_examples=400, deadline=None)
@given(_windows, _timers, st.lists(st.floats(0, 1), min_size=80, max_size=80), st.data())
def test_any_two_cuts_change_nothing(
    runs: list[tuple[str, int]], timers: Timers, values: list[float], data: st.DataObject
) -> None:
    """Entries and final mark are the same in three pieces as in one: every timer is carried in the mark."""
    kinds = [kind for kind, times in runs for _ in range(times)]
    end = len(kinds)
    whole, mark = advance(timers, track_of(kinds, values), Mark(FIRST), FIRST + end * W)
    cuts = sorted((data.draw(st.integers(0, end)), data.draw(st.integers(0, end))))
    at, pieces = Mark(FIRST), []
    for low, high in zip([0, *cuts], [*cuts, end], strict=True):
        entries, at = advance(timers, part(kinds, values, low, high), at, FIRST + high * W)
        pieces += entries
    assert pieces == whole
    if mark.state in (State.PENDING, State.FIRING):
        assert at == mark
    else:
        assert (at.at, at.state, at.entered, at.last) == (mark.at, mark.state, mark.entered, mark.last)


def test_a_part_of_a_track_is_a_track() -> None:
    """`until` and `after` cut times, conditions, clear and values alike."""
    whole = track_of(["met", "clear", "missing", "unknown", "clear"], [0.1, 0.2, 0.3, 0.4])
    cut = whole.until(FIRST + 4 * W)
    assert cut.times.tolist() == [FIRST + W, FIRST + 2 * W, FIRST + 4 * W]
    assert (cut.met.tolist(), cut.unknown.tolist()) == ([0, 2], [False, True])
    assert cut.clear().tolist() == [False, True, False]
    assert cut.values is not None
    assert cut.values.tolist() == [0.1, 0.2, 0.3]
    rest = whole.after(FIRST + 2 * W)
    assert rest.times.tolist() == [FIRST + 4 * W, FIRST + 5 * W]
    assert (rest.met.tolist(), rest.unknown.tolist()) == ([0], [True])
    assert rest.clear().tolist() == [False, True]
    assert rest.values is not None
    assert rest.values.tolist() == [0.3, 0.4]
