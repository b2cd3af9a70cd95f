"""The emulator's own counts: requests over sliding windows, rows handed out, both bounded."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.emulator.vonage.helpers import NOON, Caller, plain, project, session_query
from tests.emulator.vonage.test_graph import cursor
from watcher.clock import VirtualClock
from watcher.emulator.counting import Pool
from watcher.emulator.meter import Meter
from watcher.emulator.vonage.handed import HandedOut


def nobody(start: float, end: float) -> int:
    """Others send nothing."""
    return 0


@given(st.lists(st.floats(0, 120), min_size=1, max_size=80).map(sorted), st.integers(1, 12))
def test_the_worst_stretch(times: list[float], limit: int) -> None:
    """`spent` is the largest count of any 30 s, and exactly the requests at or over the limit are refused."""
    meter = Meter()
    fits = [meter.spend(Pool("a", "f"), at, seconds=30, limit=limit, foreign=nobody) for at in times]
    counts = [sum(1 for other in times[: i + 1] if other > at - 30) for i, at in enumerate(times)]
    assert fits == [count < limit for count in counts]
    report: Any = meter.report()[0]
    assert (report["spent"], report["total"], report["refused"]) == (max(counts), len(times), fits.count(False))


def test_a_meter_has_bounds() -> None:
    """Too many pools are let pass and counted; a flood keeps its memory."""
    meter = Meter()
    for number in range(1_005):
        meter.spend(Pool("", "insights", str(number)), 0.0, seconds=30, limit=1, foreign=nobody)
    assert meter.dropped_pools == 5
    assert len(meter.report()) == 1_000
    for _ in range(25_000):
        meter.spend(Pool("", "insights", "0"), 1.0, seconds=30, limit=0, foreign=nobody)
    assert meter.report()[0]["spent"] == 20_000


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 12)), max_size=40))
def test_rows_as_a_set(pages: list[tuple[int, int]]) -> None:
    """Merged intervals know as much as a set of ranks would."""
    books = HandedOut()
    ranks: set[int] = set()
    total = 0
    for start, length in pages:
        books.add(7, range(start, start + length))
        ranks |= set(range(start, start + length))
        total += length
    assert books.of(7).unique() == len(ranks)
    assert books.of(7).unique(10) == len([rank for rank in ranks if rank >= 10])
    assert books.of(7).total == total
    assert books.totals() == (total, len(ranks))


def test_handed_out_has_bounds() -> None:
    """Holes without end forget the oldest interval, and say so."""
    books = HandedOut()
    for rank in range(0, 1_000, 2):
        books.add(1, [rank])
    assert books.forgotten_spans == 300
    assert books.of(1).unique() == 200
    assert books.of(2).unique() == 0


async def test_lost_rows_and_rows_read_twice_show() -> None:
    """A client that reads one stream of four, its first half twice, sees just that in the books."""
    clock = VirtualClock(epoch=NOON, jumping=True)
    caller = Caller(plain(projects=[project()]), clock)
    inside = (
        "{{ resources {{ meetings {{ resources {{ publishers(first: 1) {{ resources {{ stream {{ streamId }} "
        "streamStatsCollection(first: {}) {{ totalCount resources {{ createdAt }} }} }} }} }} }} }} }}"
    )
    await caller.data(session_query(caller.id(), inside.format(50)))
    data = await caller.data(session_query(caller.id(), inside.format(1000)))
    meeting = data["sessionData"]["sessions"]["resources"][0]["meetings"]["resources"][0]
    stream = meeting["publishers"]["resources"][0]
    rows = {(row["kind"], row["id"]): row for row in caller.emulator.rows()}
    assert len(rows) == 4 + 12
    total = stream["streamStatsCollection"]["totalCount"]
    read = rows["publisher", stream["stream"]["streamId"]]
    assert (read["visible"], read["handed_out"], read["handed_again"]) == (total, total, 50)
    assert sum(row["handed_out"] == 0 for row in rows.values()) == 15
    recent = {row["id"]: row for row in caller.emulator.rows(since=NOON - 900)}
    assert recent[stream["stream"]["streamId"]]["visible"] == recent[stream["stream"]["streamId"]]["handed_out"] == 20


async def test_a_count_alone_hands_out_nothing() -> None:
    """Only rows that are selected are on the books."""
    clock = VirtualClock(epoch=NOON, jumping=True)
    caller = Caller(plain(), clock)
    inside = (
        "{ resources { meetings { resources { publishers { resources { streamStatsCollection { totalCount } } } } } } }"
    )
    await caller.data(session_query(caller.id(), inside))
    assert caller.emulator.report()["rows"] == {"handed_out": 0, "handed_again": 0}


async def test_the_same_seed_gives_the_same_bytes() -> None:
    """Whole answers, twice; another seed gives others."""
    answers = []
    for seed in (1, 1, 2):
        traffic = {"sessions": 5, "participants": 3, "length": "30m"}
        data = plain(jitter="20%", seed=seed, projects=[project(traffic=traffic)])
        caller = Caller(data, VirtualClock(epoch=NOON, jumping=True))
        query = """{ project(projectId: 12345678) { sessionData { sessionSummaries(start: 1767261600) {
          resources { sessionId publisherMinutes meetings { resources { createdAt totalStreams } } } } } } }"""
        answers.append((await caller.post(query)).text)
        inside = """{ resources { meetings { resources { subscribers(first: 2) { resources { streamStatsCollection {
          resources { createdAt videoPacketLoss videoLatencyMs } } } } } } } }"""
        answers.append((await caller.post(session_query(caller.id(), inside))).text)
    assert answers[:2] == answers[2:4]
    assert answers[0] != answers[4]
    assert answers[1] != answers[5]


async def test_half_an_hour_read_in_two_steps() -> None:
    """Who counts first and then reads behind an offset, once a minute, loses no row and reads none twice."""
    clock = VirtualClock(epoch=NOON, jumping=True)
    traffic = {"sessions": 6, "participants": 4, "length": "10m", "gap": "2m"}
    data = plain(jitter="5%", projects=[project(sessions=[], traffic=traffic, crowd={"churn": "30%"})])
    caller = Caller(data, clock)
    seen: dict[str, list[str]] = {}
    for _ in range(50):
        await clock.sleep_until(clock.now() + 60)
        for stream, rows in await read_new(caller, seen):
            seen.setdefault(stream, []).extend(rows)
    books: list[Any] = caller.emulator.rows(since=NOON)
    assert sum(row["visible"] for row in books if row["kind"] == "publisher") > 1_500
    for row in books:
        if row["kind"] == "publisher":
            assert row["visible"] == row["handed_out"]
        assert row["handed_again"] == 0
    for rows in seen.values():
        assert rows == sorted(set(rows))


async def read_new(caller: Caller, seen: dict[str, list[str]]) -> list[tuple[str, list[str]]]:
    """The rows behind what was seen, of every stream that has grown."""
    since = int(caller.clock.now()) - 1800
    step_a = """query ($s: Date!) { project(projectId: 12345678) { sessionData {
      sessionSummaries(start: $s, first: 1000) { resources { sessionId } } } } }"""
    found = (await caller.data(step_a, {"s": since}))["sessionData"]["sessionSummaries"]["resources"]
    if not found:
        return []
    counts = """{ resources { sessionId meetings { resources { publishers { resources {
      stream { streamId } streamStatsCollection { totalCount } } } } } } }"""
    data = await caller.data(session_query([s["sessionId"] for s in found], counts))
    new: list[tuple[str, list[str]]] = []
    for one in data["sessionData"]["sessions"]["resources"]:
        publishers = one["meetings"]["resources"][0]["publishers"]["resources"]
        grown = [
            (index, p["stream"]["streamId"])
            for index, p in enumerate(publishers)
            if p["streamStatsCollection"]["totalCount"] > len(seen.get(p["stream"]["streamId"], []))
        ]
        aliases = " ".join(
            f'p{index}: publishers(first: 1, endCursor: "{cursor(index)}") {{ resources {{ stream {{ streamId }} '
            f'streamStatsCollection(first: 100, endCursor: "{cursor(len(seen.get(stream, [])))}") {{ '
            "resources { createdAt } } } }"
            for index, stream in grown
        )
        if not aliases:
            continue
        inside = f"{{ resources {{ meetings {{ resources {{ {aliases} }} }} }} }}"
        data = await caller.data(session_query(one["sessionId"], inside))
        meeting = data["sessionData"]["sessions"]["resources"][0]["meetings"]["resources"][0]
        for index, stream in grown:
            only = meeting[f"p{index}"]["resources"][0]
            assert only["stream"]["streamId"] == stream
            new.append((stream, [row["createdAt"] for row in only["streamStatsCollection"]["resources"]]))
    return new
