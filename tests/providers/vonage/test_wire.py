"""Bodies: the vendor's one real answer, our queries against its schema, and how much of a bent body is read."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from graphql import build_schema, parse, validate

from tests.conftest import EPOCH
from watcher.emulator.vonage.graph import _SCHEMA
from watcher.errors import ProviderError, Reason
from watcher.providers.http import Reply
from watcher.providers.vonage import documents, wire
from watcher.providers.vonage.calendar import Window, pacific_day, window_at
from watcher.providers.vonage.rows import milliseconds
from watcher.providers.vonage.wire import Oddity, Tally

GOLDEN_STAT = {
    "createdAt": "2020-07-09T09:15:03.500Z",
    "hasAudio": True,
    "hasVideo": True,
    "audioCodec": "opus",
    "audioLatencyMs": None,
    "audioBitrateKbps": 1.88,
    "audioPacketLoss": 0,
    "videoCodec": "VP8",
    "videoLatencyMs": None,
    "videoBitrateKbps": 8.25,
    "videoPacketLoss": 0,
    "videoResolution": "1280x720",
}
GOLDEN_PUBLISHER = {
    "createdAt": "2020-07-09T09:14:57.780Z",
    "destroyedAt": "2020-07-09T09:15:14.485Z",
    "connectionId": "24676616-dbc2-4cb7-a986-14dafd452ab0",
    "stream": {"streamId": "7bc2656b-cbc9-442d-a1e0-4af9aa2e864a"},
    "streamStatsCollection": {"totalCount": 1, "resources": [GOLDEN_STAT]},
}


def golden(**stat: Any) -> dict[str, Any]:
    """The dossier's real answer (2.2), its publisher where a meeting lists them; `stat` changes its row."""
    row = {**GOLDEN_STAT, **stat}
    publisher = {**GOLDEN_PUBLISHER, "streamStatsCollection": {"totalCount": 1, "resources": [row]}}
    connection = {
        "connectionId": "24676616-dbc2-4cb7-a986-14dafd452ab0",
        "createdAt": "2020-07-09T09:14:57.530Z",
        "destroyedAt": "2020-07-09T09:15:14.485Z",
        "sdkType": "js",
        "sdkVersion": "2.17.0",
        "browser": "Chrome",
        "guid": "0feee5f3-8dbc-4918-b693-6b7df0c5027c",
        "publishers": {"totalCount": 1, "resources": [publisher]},
    }
    meeting = {
        "meetingId": "edb26699-9eba-4a99-a32f-6a18841080ce",
        "createdAt": "2020-07-09T09:14:57.530Z",
        "connections": {"totalCount": 1, "resources": [connection]},
        "publishers": {"totalCount": 1, "resources": [publisher]},
    }
    session = {
        "sessionId": "2_MX40NjIw",
        "mediaMode": "routed",
        "publisherMinutes": 0.27841666666666665,
        "subscriberMinutes": 0,
        "meetings": {"totalCount": 1, "resources": [meeting]},
    }
    return {"data": {"project": {"sessionData": {"sessions": {"resources": [session]}}}}}


def read(body: object, tally: Tally | None = None) -> wire.Body:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return wire.decode(Reply(status=200, body=raw, date=EPOCH), Tally() if tally is None else tally)


def only_meeting(body: wire.Body) -> wire.Meeting:
    assert body.data is not None
    assert body.data.project is not None
    sessions = (body.data.project.session_data or {})["sessions"]
    assert sessions is not None
    (session,) = sessions.resources or [None]
    assert session is not None
    assert session.meetings is not None
    (meeting,) = session.meetings.resources or [None]
    assert meeting is not None
    return meeting


def only_stat(body: wire.Body) -> wire.Stat:
    meeting = only_meeting(body)
    assert meeting.publishers is not None
    (publisher,) = meeting.publishers.resources or [None]
    assert publisher is not None
    assert publisher.stream_stats_collection is not None
    (stat,) = publisher.stream_stats_collection.resources or [None]
    assert stat is not None
    return stat


def test_the_one_real_answer_is_read() -> None:
    """Nulls, whole numbers, milliseconds and fields that nobody asked for."""
    tally: Tally = Tally()
    stat = only_stat(read(golden(), tally))
    assert stat.video_bitrate_kbps == 8.25
    assert stat.video_latency_ms is None
    assert stat.audio_packet_loss == 0
    assert milliseconds([stat.created_at]).tolist() == [1594286103500]
    assert not tally


@pytest.mark.parametrize(
    ("field", "value"),
    [("videoPacketLoss", "much"), ("hasVideo", 1), ("createdAt", 5), ("videoResolution", {}), ("audioLatencyMs", True)],
)
def test_a_value_of_another_kind_costs_only_itself(field: str, value: object) -> None:
    """It is none, it is counted, and the rest of its row is read."""
    tally: Tally = Tally()
    stat = only_stat(read(golden(**{field: value}), tally))
    plain = msgspec.convert({**GOLDEN_STAT, field: None}, wire.Stat)
    assert stat == plain
    assert tally == {Oddity.MISTYPED: 2}  # the vendor's answer lists it under connection and meeting


@pytest.mark.parametrize("rows", [None, 5, ["x", None, 7], {"a": 1}])
def test_lists_that_are_none(rows: object) -> None:
    """Where a list should be, anything may be."""
    body = golden()
    publishers = body["data"]["project"]["sessionData"]["sessions"]["resources"][0]["meetings"]["resources"][0]
    publishers["publishers"]["resources"] = rows
    meeting = only_meeting(read(body))
    assert meeting.publishers is not None
    assert [party for party in meeting.publishers.resources or () if party is not None] == []


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"<html>", Reason.MALFORMED),
        (b'{"data":', Reason.MALFORMED),
        (b"[1]", Reason.MALFORMED),
        (b'{"data": {"project": NaN}}', Reason.MALFORMED),
        (b'{"data": ' + b'{"a":' * 20_000, Reason.MALFORMED),
        (b'{"data": [' + b"{}," * (wire.MAX_OBJECTS + 1), Reason.TOO_LARGE),
    ],
)
def test_bodies_that_are_none(body: bytes, reason: Reason) -> None:
    """Pages, fragments and floods are refused before they cost anything."""
    with pytest.raises(ProviderError) as caught:
        read(body)
    assert caught.value.reason is reason
    assert caught.value.vendor_time == EPOCH


def test_our_queries_fit_the_vendors_schema() -> None:
    """Every text the client may send is valid, and holds the project's id as a literal only."""
    schema = build_schema(_SCHEMA.read_text(encoding="utf-8"))
    texts = [
        documents.counts("1"),
        documents.probe("1"),
        documents.summaries("1"),
        *(documents.more("1", kind) for kind in ("connections", "publishers", "subscribers")),
        *(documents.read("1", kind, count) for kind in ("publishers", "subscribers") for count in (1, 64)),
        *(documents.whole("1", kind) for kind in ("connections", "publishers", "subscribers")),
        documents.meetings("1"),
        *(documents.daily("1", group) for group in ("", "COUNTRY", "SDK_TYPE", "BROWSER")),
    ]
    for text in texts:
        assert validate(schema, parse(text)) == []
        assert 'projectId:"1"' in text
        assert "Minutes" not in text.replace("streamedPublishedMinutes", "").replace("streamedSubscribedMinutes", "")


def test_nodes_stay_far_below_the_limit() -> None:
    """By pages, the count that is never too small: fifty thousand at most, a tenth of what is allowed."""
    assert documents.counts_nodes(documents.SESSIONS) <= 50_000
    assert documents.read_nodes(documents.STREAMS, documents.ROWS[1]) <= 50_000
    assert documents.summaries_nodes() <= 50_000
    for rows in (0, 142, 1000):
        people = documents.whole_fits(50_000, rows)
        assert 2 * people * (2 + rows) < 50_000 - 4
        assert people == 1000 or 2 * (people + 1) * (2 + rows) > 49_000
    assert documents.whole_fits(1_000, 1000) == 1


def test_cursors_are_offsets() -> None:
    """As the vendor writes them; none for the first page."""
    assert documents.cursor(10) == "aW5zaWdodHMtcmVzb3VyY2U6MTA="
    assert documents.cursor(0) == ""


@pytest.mark.parametrize(
    ("hour", "window"),
    [
        (3.99, None),
        (4.0, Window(4.0, 7.0, 7.5)),
        (7.49, Window(4.0, 7.0, 7.5)),
        (7.5, None),
        (12.0, None),
        (3 * 24 + 10.99, None),
        (3 * 24 + 11.0, Window(83.0, 87.0, 88.0)),
        (3 * 24 + 5.0, Window(76.0, 79.0, 79.5)),
        (4 * 24 + 12.0, None),
    ],
)
def test_maintenance_windows(hour: float, window: Window | None) -> None:
    """Every night, and on Sundays around noon UTC (the epoch is a Thursday)."""
    found = window_at(EPOCH + hour * 3600)
    assert found == (None if window is None else Window(*(EPOCH + at * 3600 for at in window)))


@pytest.mark.parametrize(
    ("stamp", "day"),
    [
        ("2020-02-01T08:00:00.000Z", "2020-02-01"),
        ("2020-07-01T07:00:00.000Z", "2020-07-01"),
        ("2020-03-09T07:00:00Z", "2020-03-09"),
        ("yesterday", None),
        (None, None),
    ],
)
def test_pacific_days_are_dates(stamp: str | None, day: str | None) -> None:
    """Midnight in California is 08:00 UTC in winter and 07:00 in summer."""
    found = pacific_day(stamp)
    assert found == (None if day is None else milliseconds([f"{day}T00:00:00.000Z"])[0] // 1000)
