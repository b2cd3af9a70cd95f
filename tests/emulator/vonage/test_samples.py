"""Rows of statistics: when they come, which exist, what they say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import EPOCH
from tests.emulator.vonage.helpers import plain, project, scenario, session
from watcher.emulator.vonage.life import Crew, Lives
from watcher.emulator.vonage.samples import Gauge, Stream, Timing, timing
from watcher.emulator.vonage.sessions import Sessions
from watcher.emulator.vonage.world import SampleStyle

STYLE = SampleStyle(
    dropped=0.0,
    null_latency=0.0,
    bitrate_factor=8.0,
    percent_loss=False,
    early_pair=False,
    amended=0.0,
    amend_after=0.0,
    amend_factor=1.0,
)


def crew(incidents: list[dict[str, Any]] | None = None, **changes: Any) -> Crew:
    """The session `board` of a project."""
    world = scenario(plain(projects=[project(**changes)], incidents=incidents or []))
    found = Sessions(world.projects[0]).within(EPOCH, EPOCH + 86_400)[0]
    return Lives(world.incidents).crew(found, found.meetings[0])


def rows(found: Crew, stream: Stream, *, jitter: float = 0.0, seen: float = 1e9) -> list[dict[str, Any]]:
    """Every row of a stream."""
    style = found.session.project.samples
    when = timing(stream, style)
    gauge = Gauge(project=found.session.project, jitter=jitter, stream=stream, timing=when)
    return [gauge.row(rank, seen) for rank in range(when.until(stream.end))]


# ── when ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@settings(max_examples=150, deadline=None)
@given(
    key=st.integers(0, 2**64 - 1),
    length=st.floats(0.5, 2000),
    dropped=st.sampled_from([0.0, 0.05, 0.2, 0.5]),
    pair=st.booleans(),
    at=st.floats(-10, 2100),
)
def test_counts_agree_with_counting(key: int, length: float, dropped: float, pair: bool, at: float) -> None:
    """`until` and `raw` in constant time equal going through all rows one by one."""
    when = Timing(key=key, start=EPOCH, end=EPOCH + length, style=replace(STYLE, dropped=dropped, early_pair=pair))
    block = round(1 / dropped) if dropped else 0
    raw = [number for number in range(80) if when.at(number) < when.end - 0.0005]
    gaps = {number for number in raw if block and number % block == when._gap(number // block, block)}
    existing = [number for number in raw if number not in gaps]
    assert when.until(EPOCH + at) == sum(1 for number in existing if when.at(number) <= EPOCH + at)
    assert [when.raw(rank) for rank in range(len(existing))] == existing


@given(key=st.integers(0, 2**64 - 1))
def test_the_grid_is_loose(key: int) -> None:
    """The first row after 2 to 8 s, then every 30 s give or take one, at whole milliseconds, ascending."""
    when = Timing(key=key, start=EPOCH, end=EPOCH + 600, style=STYLE)
    times = [when.at(number) for number in range(20)]
    assert 2 <= times[0] - EPOCH <= 8
    for number, at in enumerate(times):
        assert abs(at - times[0] - 30 * number) <= 1.001
        assert round(at * 1000) / 1000 == at
    assert times == sorted(times)


def test_the_early_pair() -> None:
    """A very short stream may begin with two rows seconds apart, the first without any bitrate."""
    short = session(meetings=[{"start": "+11h", "duration": "40s", "participants": 2}])
    found = crew(sessions=[short], rows={"early_pair": True, "null_latency": "0%"})
    read = rows(found, found.publishers[0])
    assert [row["videoBitrateKbps"] for row in read] == [0.0, *[137.5] * (len(read) - 1)]
    assert len(read) in (2, 3)


# ── what ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_healthy_values_are_exact_without_jitter() -> None:
    """Loss as a ratio, latency in milliseconds, bitrate an eighth."""
    found = crew()
    publisher = found.publishers[0]
    read = rows(found, publisher)
    for row in read:
        assert {name: value for name, value in row.items() if name != "createdAt"} == {
            "hasAudio": True, "hasVideo": True,
            "audioCodec": "opus", "audioLatencyMs": 60.0, "audioBitrateKbps": 4.5, "audioPacketLoss": 0.003,
            "videoCodec": "VP8", "videoLatencyMs": 80.0, "videoBitrateKbps": 137.5, "videoPacketLoss": 0.004,
            "videoResolution": "1280x720",
        }  # fmt: skip
    assert len({row["createdAt"] for row in read}) == len(read)
    subscriber = rows(found, found.subscribers()[0])[0]
    assert subscriber["subscribeToVideo"] is True
    assert "hasVideo" not in subscriber


def test_jitter_spreads_around_the_level() -> None:
    """Every value its own noise, the mean stays."""
    found = crew()
    read = [row for p in found.publishers for row in rows(found, p, jitter=0.2)]
    for name, level in (("videoPacketLoss", 0.004), ("audioPacketLoss", 0.003), ("videoLatencyMs", 80.0)):
        values = [row[name] for row in read]
        assert min(values) >= 0.799 * level
        assert max(values) <= 1.201 * level
        assert sum(values) / len(values) == pytest.approx(level, rel=0.03)
        assert len(set(values)) > 100
    losses = [row["videoPacketLoss"] / 0.004 for row in read]
    others = [row["audioPacketLoss"] / 0.003 for row in read]
    covariance = sum((a - 1) * (b - 1) for a, b in zip(losses, others, strict=True)) / len(losses)
    assert abs(covariance) < 0.003  # independent: together they would show 0.013


def test_an_incident_replaces_levels_of_its_rows() -> None:
    """From its start until before its end, for the levels it names."""
    incident = {
        "project": "classroom",
        "sessions": ["board"],
        "start": "+11h30m",
        "duration": "5m",
        "levels": {"videoPacketLoss": "8%", "videoBitrateKbps": 120, "videoLatencyMs": 600},
    }
    found = crew([incident])
    inside = {True: set(), False: set()}  # type: dict[bool, set[tuple[Any, ...]]]
    for row in rows(found, found.publishers[1]):
        during = "2026-01-01T11:30:00.000Z" <= row["createdAt"] < "2026-01-01T11:35:00.000Z"
        names = ("videoPacketLoss", "videoBitrateKbps", "videoLatencyMs", "audioPacketLoss", "videoResolution")
        inside[during].add(tuple(row[name] for name in names))
    assert inside == {True: {(0.08, 15.0, 600.0, 0.003, "320x240")}, False: {(0.004, 137.5, 80.0, 0.003, "1280x720")}}


def test_a_stall() -> None:
    """Video on and no bitrate."""
    incident = {"project": "classroom", "start": "+11h", "duration": "2h", "levels": {"videoBitrateKbps": 0}}
    found = crew([incident])
    read = rows(found, found.subscribers()[0])
    assert {(row["subscribeToVideo"], row["videoBitrateKbps"]) for row in read} == {(True, 0.0)}


def test_units() -> None:
    """Loss in percent and bitrate as it is, by the scenario's switches; a ratio beyond 1 cannot be."""
    incident = {"project": "classroom", "start": "+11h", "duration": "1h", "levels": {"audioPacketLoss": "100%"}}
    style = {"loss": "percent", "bitrate_factor": 1, "null_latency": "0%"}
    found = crew([incident], rows=style)
    read = rows(found, found.publishers[0], jitter=0.4)
    assert max(row["audioPacketLoss"] for row in read) == 100.0
    row = rows(found, found.publishers[0])[-1]
    assert (row["audioPacketLoss"], row["videoPacketLoss"], row["videoBitrateKbps"]) == (0.3, 0.4, 1100.0)


def test_null_latency() -> None:
    """A share of publishers' rows, none of subscribers', all of somebody who is alone."""
    found = crew(rows={"null_latency": "40%"})
    read = [row for p in found.publishers for row in rows(found, p)]
    nulls = sum(row["audioLatencyMs"] is None for row in read) / len(read)
    assert 0.33 < nulls < 0.47
    assert all((row["audioLatencyMs"] is None) == (row["videoLatencyMs"] is None) for row in read)
    assert all(row["audioLatencyMs"] == 60 for row in rows(found, found.subscribers()[0]))
    alone = crew(sessions=[session(meetings=[{"start": "+11h", "duration": "1h", "participants": 1}])])
    assert {row["videoLatencyMs"] for row in rows(alone, alone.publishers[0])} == {None}


def test_audio_only() -> None:
    """No video anywhere, and nothing made up for it; its subscribers do not get any either."""
    found = crew(crowd={"audio_only": "100%"})
    for stream in (found.publishers[0], found.subscribers()[0]):
        row = rows(found, stream)[0]
        video: Mapping[str, Any] = {name: value for name, value in row.items() if name.startswith("video")}
        assert video == {
            "videoCodec": None, "videoLatencyMs": None, "videoBitrateKbps": 0.0, "videoPacketLoss": 0.0,
            "videoResolution": None,
        }  # fmt: skip
        assert row["audioBitrateKbps"] == 4.5


def test_amended_rows() -> None:
    """A share of the rows reads higher at first and settles later."""
    found = crew(rows={"null_latency": "0%", "amended": {"share": "25%", "after": "10m", "factor": 2}})
    young = [row["videoPacketLoss"] for p in found.publishers for row in rows(found, p, seen=599)]
    assert set(young) == {0.004, 0.008}
    assert 0.18 < sum(loss == 0.008 for loss in young) / len(young) < 0.32
    assert {row["videoPacketLoss"] for p in found.publishers for row in rows(found, p, seen=600)} == {0.004}
