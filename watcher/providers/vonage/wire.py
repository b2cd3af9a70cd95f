"""Bodies of GraphQL answers as structs, and how much of a bent one can still be read (dossier sections 2, 4.3).

Decoded into structs, not into dictionaries: a reply holds tens of thousands of rows of statistics, and msgspec fills
structs at three times the speed and a third of the memory. What is not asked for is skipped, what is missing is None.
A value of a wrong kind would refuse the whole body; such a body is read a second time without types, the wrong values
are taken out and counted, and the rest is kept: one odd field of one row must not cost a minute of all sessions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import msgspec

from watcher.errors import ProviderError, Reason
from watcher.providers.http import Reply

MAX_OBJECTS = 400_000  # in one body: an empty one costs fifty times its bytes


class Oddity(StrEnum):
    """What was repaired or dropped: a closed set, so that it can be a metric label."""

    MISTYPED = "mistyped"  # a value of another kind than documented: taken for none
    NO_TIME = "no_time"  # a row or meeting without a readable time: dropped, as all below
    FUTURE = "future"  # a row from later than the vendor's own clock
    IMPOSSIBLE = "impossible"  # a negative number, or a share beyond every unit: that value only
    OUTDATED = "outdated"  # a row of a time that is decided, or no longer kept
    DUPLICATE = "duplicate"  # a row that is here already: the later copy holds
    NOT_ASKED = "not_asked"  # another stream than the one asked for
    CURSOR = "cursor"  # an offset that did not continue where it should: read again
    LOOP = "loop"  # pages that do not end: stopped
    PARTIAL = "partial"  # errors beside data
    TOO_BIG = "too_big"  # a query halved, because the vendor found it too large
    UNKNOWN_SESSION = "unknown_session"
    UNREAD = "unread"  # left for the next look, because the budget of this one was spent
    OVERFLOW = "overflow"  # what a bound of ours cost


Tally = Counter[Oddity]


class PageInfo(msgspec.Struct, rename="camel"):
    has_next_page: bool | None = None
    end_cursor: str | None = None


class Stat(msgspec.Struct, rename="camel", gc=False):
    """One row of statistics of a publisher or subscriber (`hasAudio` and `hasVideo` stand for both).

    Plain values only, so the garbage collector need not walk the tens of thousands of them in a reply.
    """

    has_audio: bool | None = None
    has_video: bool | None = None
    audio_packet_loss: float | None = None
    audio_latency_ms: float | None = None
    audio_bitrate_kbps: float | None = None
    video_packet_loss: float | None = None
    video_latency_ms: float | None = None
    video_bitrate_kbps: float | None = None
    created_at: str | None = None
    video_resolution: str | None = None


class Stats(msgspec.Struct, rename="camel"):
    total_count: int | None = None
    page_info: PageInfo | None = None
    resources: list[Stat | None] | None = None


class Stream(msgspec.Struct, rename="camel"):
    stream_id: str | None = None


class Party(msgspec.Struct, rename="camel"):
    """A publisher, a subscriber, or a connection."""

    subscriber_id: str | None = None
    connection_id: str | None = None
    created_at: str | None = None
    destroyed_at: str | None = None
    sdk_type: str | None = None
    sdk_version: str | None = None
    browser: str | None = None
    browser_version: str | None = None
    country: str | None = None
    stream: Stream | None = None
    stream_stats_collection: Stats | None = None


class Parties(msgspec.Struct, rename="camel"):
    total_count: int | None = None
    page_info: PageInfo | None = None
    resources: list[Party | None] | None = None


class Meeting(msgspec.Struct, rename="camel"):
    meeting_id: str | None = None
    created_at: str | None = None
    destroyed_at: str | None = None
    connections: Parties | None = None
    publishers: Parties | None = None
    subscribers: Parties | None = None


class Meetings(msgspec.Struct, rename="camel"):
    total_count: int | None = None
    page_info: PageInfo | None = None
    resources: list[Meeting | None] | None = None


class Session(msgspec.Struct, rename="camel"):
    session_id: str | None = None
    meetings: Meetings | None = None


class Sessions(msgspec.Struct, rename="camel"):
    total_count: int | None = None
    page_info: PageInfo | None = None
    resources: list[Session | None] | None = None


class Attempts(msgspec.Struct):
    attempts: float | None = None
    failures: float | None = None


class Errors(msgspec.Struct):
    connect: Attempts | None = None
    publish: Attempts | None = None
    subscribe: Attempts | None = None


class Usage(msgspec.Struct, rename="camel"):
    streamed_published_minutes: float | None = None
    streamed_subscribed_minutes: float | None = None


class Leg(msgspec.Struct, rename="camel"):
    video_bitrate_kbps_avg: float | None = None
    latency_ms_avg: float | None = None


class Quality(msgspec.Struct):
    publisher: Leg | None = None
    subscriber: Leg | None = None


class Metric(msgspec.Struct, rename="camel"):
    """Project data of one day, or of one group of it."""

    interval_start: str | None = None
    country: str | None = None
    sdk_type: str | None = None
    browser: str | None = None
    usage: Usage | None = None
    quality: Quality | None = None
    errors: Errors | None = None


class ProjectData(msgspec.Struct, rename="camel"):
    page_info: PageInfo | None = None
    resources: list[Metric | None] | None = None


class Project(msgspec.Struct, rename="camel"):
    """`session_data`: by alias, so that one query asks for many things."""

    session_data: dict[str, Sessions | None] | None = None
    project_data: ProjectData | None = None


class Data(msgspec.Struct):
    project: Project | None = None


class Body(msgspec.Struct):
    data: Data | None = None
    errors: list[msgspec.Raw] | None = None
    error: msgspec.Raw | None = None


class _Loose(msgspec.Struct):
    """A body whose inside is of any shape."""

    data: Any = None
    errors: Any = None
    error: msgspec.Raw | None = None


_DECODER = msgspec.json.Decoder(Body)
_KINDS: Mapping[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("createdAt", "destroyedAt", "intervalStart", "videoResolution", "endCursor"), str),
    **dict.fromkeys(("sessionId", "meetingId", "streamId", "subscriberId", "connectionId"), str),
    **dict.fromkeys(("country", "sdkType", "sdkVersion", "browser", "browserVersion"), str),
    **dict.fromkeys(("hasAudio", "hasVideo", "hasNextPage"), bool),
    **dict.fromkeys(("audioPacketLoss", "audioLatencyMs", "audioBitrateKbps"), (int, float)),
    **dict.fromkeys(("videoPacketLoss", "videoLatencyMs", "videoBitrateKbps"), (int, float)),
    **dict.fromkeys(("videoBitrateKbpsAvg", "latencyMsAvg", "attempts", "failures"), (int, float)),
    **dict.fromkeys(("streamedPublishedMinutes", "streamedSubscribedMinutes"), (int, float)),
    **dict.fromkeys(("data", "project", "sessionData", "projectData", "pageInfo", "stream", "usage", "quality"), dict),
    **dict.fromkeys(("meetings", "connections", "publishers", "subscribers", "streamStatsCollection"), dict),
    **dict.fromkeys(("publisher", "subscriber", "connect", "publish", "subscribe"), dict),
    "resources": list,
    "totalCount": int,
}
"""Field -> what it has to be. `errors` is a list at the top and an object inside project data, so it is not here."""


def decode(reply: Reply, tally: Tally) -> Body:
    """The body of an answer. Raises `ProviderError` MALFORMED (a page, cut short, too deep) or TOO_LARGE."""
    body = reply.body
    if body.count(b"{") > MAX_OBJECTS:
        what = f"more than {MAX_OBJECTS} objects in one answer"
        raise ProviderError(Reason.TOO_LARGE, what, vendor_time=reply.date)
    try:
        return _DECODER.decode(body)
    except msgspec.ValidationError:
        pass
    except msgspec.DecodeError:
        what = "a page, not JSON: is the address right?" if body.lstrip()[:1] == b"<" else "not JSON, or cut short"
        raise ProviderError(Reason.MALFORMED, what, vendor_time=reply.date) from None
    except RecursionError:
        raise ProviderError(Reason.MALFORMED, "JSON nested too deeply", vendor_time=reply.date) from None
    try:
        loose = msgspec.json.decode(body, type=_Loose)
        data = msgspec.convert(_clean(loose.data, "data", tally), Data | None)
        errors = loose.errors if isinstance(loose.errors, list) else []
        return Body(data=data, errors=[msgspec.Raw(msgspec.json.encode(error)) for error in errors], error=loose.error)
    except (msgspec.ValidationError, RecursionError):
        raise ProviderError(Reason.MALFORMED, "an answer of an unknown shape", vendor_time=reply.date) from None


def _clean(value: object, name: str, tally: Tally) -> object:
    """The value without what is of a wrong kind; containers are walked."""
    wanted = _KINDS.get(name)
    if value is None:
        return None
    if wanted is not None and (not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool)):
        tally[Oddity.MISTYPED] += 1
        return None
    if isinstance(value, dict):
        return {key: _clean(inner, key, tally) for key, inner in value.items()}
    if isinstance(value, list):
        items = [_clean(inner, "", tally) for inner in value]
        kept = [item for item in items if item is None or isinstance(item, dict)]
        tally[Oddity.MISTYPED] += len(items) - len(kept)
        return kept
    return value
