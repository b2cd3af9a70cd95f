"""What the Vonage client costs: a large reply from bytes to points, and an hour of a busy project."""

from __future__ import annotations

import gc
import time
import tracemalloc
from dataclasses import dataclass

import msgspec
import numpy as np

from tests.emulator.vonage.helpers import plain, project
from tests.providers.vonage.stage import NOON, Stage, account
from watcher.clock import VirtualClock
from watcher.providers.http import Reply
from watcher.providers.vonage import wire
from watcher.providers.vonage.points import MEASURED, Scale, Who, measure, votes
from watcher.providers.vonage.rows import WIDTH, Grid, StreamMemo, milliseconds
from watcher.providers.vonage.wire import Body, Tally

BASE = 1_767_268_800
LAG = 300


def large_reply(*, streams: int = 1000, rows: int = 30) -> bytes:
    """One reply with a quarter of an hour of a thousand streams, as the vendor writes it."""

    def stat(stream: int, row: int) -> dict[str, object]:
        at = BASE * 1000 + row * 30_000 + stream * 37 % 30_000
        stamp = f"{np.datetime64(at, 'ms')}Z"
        return {
            "createdAt": stamp,
            "hasAudio": True,
            "hasVideo": True,
            "audioPacketLoss": 0.003017 + row % 7 / 1e5,
            "audioLatencyMs": 61.25 + row % 11,
            "audioBitrateKbps": 4.49,
            "videoPacketLoss": 0.004002 + stream % 13 / 1e5,
            "videoLatencyMs": None if row % 5 == 0 else 80.4,
            "videoBitrateKbps": 137.5,
            "videoResolution": "1280x720",
        }

    def answer(stream: int) -> dict[str, object]:
        stats = {"totalCount": rows, "resources": [stat(stream, row) for row in range(rows)]}
        party = {"stream": {"streamId": f"stream-{stream}"}, "streamStatsCollection": stats}
        meeting = {"publishers": {"resources": [party]}}
        return {"resources": [{"meetings": {"resources": [meeting]}}]}

    data = {"data": {"project": {"sessionData": {f"r{i}": answer(i) for i in range(streams)}}}}
    return msgspec.json.encode(data)


def read_reply(body: bytes) -> int:
    """Decode, take every row once, make points of every bucket; how many points that was."""
    tally: Tally = Tally()
    reply = Reply(status=200, body=body)
    answers = wire.decode(reply, tally)
    grid = Grid()
    grid.begin(BASE - 3600)
    assert answers.data is not None
    assert answers.data.project is not None
    sessions = answers.data.project.session_data or {}
    stats = [_stats(found) for found in sessions.values()]
    times = milliseconds([stat.created_at for rows in stats for stat in rows])
    parts = np.split(times, np.cumsum([len(rows) for rows in stats])[:-1])
    read = [
        (StreamMemo(index=index, began=0), rows, part)
        for index, (rows, part) in enumerate(zip(stats, parts, strict=True))
    ]
    del answers, sessions, stats
    grid.add_many(read, tally)
    count = len(read)
    del read
    who = Who(
        session=np.zeros(count, np.int64),
        publishes=np.ones(count, np.bool_),
        source=np.full(count, -1, np.int64),
        client=np.full(count, -1, np.int64),
    )
    everybody = np.ones(count, np.bool_)
    scale, lines = Scale(loss=1.0, bitrate=1000.0), {"audio_loss": 0.05, "video_loss": 0.03}
    told = 0
    for start in grid.touched(until=BASE + 86_400):
        found_votes = votes(grid, start, who)
        if found_votes is not None:
            chosen = everybody[: len(found_votes.stream)]
            told += len(measure(found_votes, chosen, MEASURED, scale, lines))
    return told


def _stats(found: wire.Sessions | None) -> list[wire.Stat]:
    assert found is not None
    session = (found.resources or [None])[0]
    assert session is not None
    assert session.meetings is not None
    meeting = (session.meetings.resources or [None])[0]
    assert meeting is not None
    assert meeting.publishers is not None
    party = (meeting.publishers.resources or [None])[0]
    assert party is not None
    assert party.stream_stats_collection is not None
    return [stat for stat in party.stream_stats_collection.resources or () if stat is not None]


@dataclass(frozen=True)
class Cost:
    """`share`: how fast reading is, beside msgspec's decoding of the same bytes into the same structs."""

    megabytes: float
    share: float
    seconds: float
    memory: float  # peak, in bodies


def cost(body: bytes, *, rounds: int = 25) -> Cost:
    """Both measured side by side in CPU time, the best of so many rounds each: with five, a busy machine decided."""
    decoder = msgspec.json.Decoder(Body)
    decoding, reading = [], []
    for _ in range(rounds):
        gc.collect()
        began = time.process_time()
        decoder.decode(body)
        decoding.append(time.process_time() - began)
        gc.collect()
        began = time.process_time()
        read_reply(body)
        reading.append(time.process_time() - began)
    gc.collect()
    tracemalloc.start()
    read_reply(body)
    peak = tracemalloc.get_traced_memory()[1] + len(body)
    tracemalloc.stop()
    return Cost(len(body) / 1e6, min(decoding) / min(reading), min(reading), peak / len(body))


@dataclass(frozen=True)
class Hour:
    """What an hour of looks came to, by the emulator's own count."""

    requests: int
    worst: int
    limit: int
    refused: int
    visible: int
    read: int
    again: int
    latest: float  # seconds from visible to told, at worst


async def hour(clock: VirtualClock, *, sessions: int, participants: int) -> Hour:
    """An hour of that many live sessions, with looks every minute."""
    traffic = {"sessions": sessions, "participants": participants}
    scenario = plain(projects=[project(sessions=[], traffic=traffic)])
    stage = Stage(clock, scenario, account({"visibility": "per_sample", "bitrate": "kilobytes"}))
    latest = 0.0
    until = clock.now() + 3600
    told: set[int] = set()
    while True:
        answer = await stage.look()
        for points in answer.points:
            if points.series.signal == "video_packet_loss_ratio":
                for start in points.start.tolist():
                    if start >= NOON and start not in told:
                        told.add(start)
                        latest = max(latest, clock.now() - (start + WIDTH + LAG))
        if clock.now() >= until:
            break
        await clock.sleep_until(clock.now() + 60)
    report = stage.emulator.report()
    quotas = report["quotas"]
    assert isinstance(quotas, list)
    begun = NOON - LAG - 3600
    handed = [row for row in stage.emulator.rows(since=begun) if row["kind"] == "publisher"]

    def total(name: str) -> int:
        return sum(int(str(row[name])) for row in handed)

    return Hour(
        requests=max(row["total"] for row in quotas),
        worst=max(row["spent"] for row in quotas),
        limit=quotas[0]["limit"],
        refused=sum(row["refused"] for row in quotas),
        visible=total("visible"),
        read=total("handed_out"),
        again=total("handed_again"),
        latest=latest,
    )
