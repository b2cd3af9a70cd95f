"""Calls and sessions as a function of time: any window, any order, found again by id, and small in memory."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import EPOCH
from tests.emulator.helpers import NOON
from tests.emulator.test_traffic import traffic
from watcher.clock import DAY
from watcher.emulator.agora.calls import Calls, Session
from watcher.emulator.agora.seats import Seats
from watcher.emulator.agora.spread import Spread
from watcher.emulator.traffic import GROUPS
from watcher.emulator.world import LOSSES, QUALITY_METRICS

N = int(NOON)


@given(
    start=st.integers(0, 3 * DAY), width=st.integers(0, 7200), delay=st.integers(1, 4000), seed=st.integers(0, 50),
    length=st.sampled_from(["90s", "20m", "1h", "5h"]), stay=st.sampled_from(["75s", "7m", "40m"]),
)  # fmt: skip
@settings(max_examples=30, deadline=None)
def test_a_call_is_the_same_from_every_window(
    start: int, width: int, delay: int, seed: int, length: str, stay: str
) -> None:
    """Whatever is asked and when: a call found is found by its id, its sessions by theirs, inside it and in order."""
    calls = Calls(traffic(seed=seed, jitter="20%", calls={"length": length, "stay": stay}))
    at = int(EPOCH) + start
    fresh = at + width + delay
    found = calls.within(at, at + width, fresh)
    assert found
    assert {call.name for call in found} >= {"room"}
    for call in found[:3]:
        assert calls.call(calls.id_of(call), fresh) == call
        assert call.begin <= at + width
        assert call.end > at
        assert call.finished is (call.destroyed <= fresh)
        sessions = list(calls.sessions(call, at, at + width, fresh))
        for session in sessions[:5]:
            assert calls.session(call, calls.sid_of(session), fresh) == session
            assert call.begin <= session.joined < session.leaves <= call.destroyed
            assert session.left in (None, session.leaves)
        later = calls.call(calls.id_of(call), fresh + DAY)
        assert later is not None
        assert (later.begin, later.finished) == (call.begin, True)
        ended = {calls.sid_of(s): s for s in calls.sessions(later, at, at + width, fresh + DAY)}
        for session in sessions:
            if session.left is not None:  # what is over does not change any more
                assert ended[calls.sid_of(session)] == session


@given(start=st.integers(0, 2 * DAY), seed=st.integers(0, 100), peak=st.integers(0, 300))
@settings(max_examples=30, deadline=None)
def test_all_channels_together_are_the_project(start: int, seed: int, peak: int) -> None:
    """In any slot the sessions of all calls are the project's users, and the calls its channels."""
    source = traffic(seed=seed, jitter="20%", products={"Native": {"peak_users": peak}}, day={"trough": "0%"})
    calls = Calls(source)
    slot = (int(EPOCH) + start) // 20 * 20
    fresh = slot + 4000
    here: list[Session] = []
    live = 0
    for call in calls.within(slot, slot + 19, fresh):
        inside = [s for s in calls.sessions(call, slot, slot + 19, fresh) if s.begin <= slot < s.end]
        here += inside
        live += bool(inside)
    at = np.array([slot], dtype=np.int64)
    assert len(here) == source.users("Native", "", at)[0]
    assert live == source.channels("Native", "", at)[0]
    assert len({session.uid for session in here}) == len(here)


@given(
    metric=st.sampled_from([*QUALITY_METRICS, *LOSSES]), level=st.floats(0, 1), peak=st.integers(2, 9000),
    jitter=st.sampled_from(["0%", "5%"]), value=st.sampled_from([None, *GROUPS["sdk"][:4]]),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_seats_fit_the_channel(metric: str, level: float, peak: int, jitter: str, value: str | None) -> None:
    """The mean over the seats taken is the channel's bad share, however many they are; all stay in 0..1."""
    incident: dict[str, Any] = {"project": "classroom", "start": "+12h", "duration": "1h", "levels": {metric: level}}
    if value is not None:
        incident["where"] = {"sdk": value}
    source = traffic(
        jitter=jitter, incidents=[incident], products={"Native": {"peak_users": peak}},
        channels=[{"name": "room", "share": "100%"}],
    )  # fmt: skip
    slots = np.array([N, N + 20], dtype=np.int64)
    seats = Seats(source, "Native", 0)
    taken = seats.taken(slots)
    rates = seats.rates(metric, np.arange(taken.max(), dtype=np.int64), slots)
    assert np.nanmin(rates) >= -1e-9
    assert np.nanmax(rates) <= 1 + 1e-9
    bad = 1 - rates if metric.startswith("join") else rates
    np.testing.assert_allclose(np.nanmean(bad, axis=0), source.bad_rows(metric, "Native", slots)[0], atol=1e-9)


def test_a_call_of_thousands_needs_little_memory() -> None:
    """A day-long call of 2,000 seats: its statistics take a small part of a table of all seats and slots."""
    source = traffic(
        products={"Native": {"peak_users": 2000}}, channels=[{"name": "hall", "share": "100%"}],
        calls={"length": "24h", "stay": "1h"}, jitter="5%",
    )  # fmt: skip
    calls = Calls(source)
    (call,) = calls.within(N - 600, N, N + 20, "hall")
    tracemalloc.start()
    rows = Spread(calls, call, start=N - 600, end=N, fresh=N).minutes("videoFreezeRate")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(rows) == 10
    assert peak < 2000 * DAY // 20 * 8 / 4
