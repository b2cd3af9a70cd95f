"""What each field of the schema answers, from one project's world at one instant.

Objects of the answer are `fast.Row`s: their plain fields are filled in when they are made, everything that costs more
(pages, minutes, counts) is a resolver. Only what a query selects is worked out, and only rows that are selected count
as handed out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphql import GraphQLError, GraphQLObjectType, GraphQLSchema

from watcher.emulator.breakage import mix
from watcher.emulator.counting import most_at_once
from watcher.emulator.dice import bits, stamp, unit, uuid
from watcher.emulator.vonage.bend import bend_rows, struck, unknown
from watcher.emulator.vonage.daily import Wish, tiers
from watcher.emulator.vonage.fast import Leaves, Row
from watcher.emulator.vonage.life import Connection, Crew, Publisher, Subscriber
from watcher.emulator.vonage.pages import Asking, Info, failure, page, page_info, resources, window
from watcher.emulator.vonage.samples import Gauge, Stream, timing
from watcher.emulator.vonage.sessions import Meeting, Session
from watcher.emulator.vonage.view import View

_ID = re.compile(r"-?\d{1,18}\Z|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z")
_FILTERS = {
    "SDK_TYPE": "sdkType", "SDK_VERSION": "sdkVersion", "COUNTRY": "country", "REGION": "region",
    "BROWSER": "browser", "BROWSER_VERSION": "browserVersion",
}  # fmt: skip
_CLIENTS = (
    ("js", "2.27.3", "Chrome", "118", "Mozilla%2F5.0+%28X11%3B+Linux+x86_64%29", None),
    ("js", "2.26.0", "Firefox", "119", "Mozilla%2F5.0+%28Windows+NT+10.0%29", None),
    ("ios", "2.27.0", None, None, "OpenTok-iOS%2F2.27.0", "iPhone15,2"),
    ("android", "2.27.0", None, None, "OpenTok-Android%2F2.27.0", "Pixel 7"),
)
_PLACES = (("US", "California", "San Jose"), ("DE", "Berlin", "Berlin"), ("BR", "Bahia", "Salvador"))


@dataclass(frozen=True, slots=True)
class _Place:
    """A meeting, and everybody in it that can be seen."""

    crew: Crew
    view: View

    def connections(self) -> list[Connection]:
        return [c for c in self.crew.connections if self.view.began(c.start)]

    def publishers(self) -> list[Publisher]:
        return [p for p in self.crew.publishers if self.view.began(p.start)]

    def subscribers(self) -> list[Subscriber]:
        return [s for s in self.crew.subscribers() if self.view.began(s.start)]


def attach(schema: GraphQLSchema) -> None:
    """Give the schema's fields their resolvers."""
    table: Mapping[str, Mapping[str, Callable[..., Any]]] = {
        "Query": {"project": _project},
        "Project": {"projectData": _project_data, "sessionData": _session_data},
        "SessionData": {"sessions": _sessions, "session": _session, "sessionSummaries": _summaries},
        "Session": {"meetings": _meetings, **_MINUTES_OF_SESSION},
        "SessionSummary": {"meetings": _summary_meetings, **_MINUTES_OF_SESSION},
        "Meeting": {
            "connections": _connections_of_meeting,
            "publishers": _publishers_of_meeting,
            "subscribers": _subscribers_of_meeting,
            **_MINUTES_OF_MEETING,
        },
        "MeetingSummary": {
            "totalConnections": lambda s, i: len(s.of.connections()),
            "totalStreams": lambda s, i: len(s.of.publishers()),
            "totalSubscribers": lambda s, i: len(s.of.subscribers()),
            "maxConcurrentConnections": lambda s, i: _most(s.of.connections()),
            "maxConcurrentStreams": lambda s, i: _most(s.of.publishers()),
            "maxConcurrentSubscribers": lambda s, i: _most(s.of.subscribers()),
            **_MINUTES_OF_MEETING,
        },
        "Connection": {"publishers": _publishers_of_connection, "subscribers": _subscribers_of_connection},
        "Publisher": {"streamStatsCollection": _samples, "subscribers": _subscribers_of_publisher},
        "Subscriber": {"streamStatsCollection": _samples},
    }
    for kind in schema.type_map.values():
        if not isinstance(kind, GraphQLObjectType):
            continue
        fields = kind.fields
        for name, resolver in table.get(kind.name, {}).items():
            fields[name].resolve = resolver
        if "resources" in fields:
            fields["resources"].resolve = resources
            fields["pageInfo"].resolve = page_info
        if "maxConcurrent" in fields:
            fields["maxConcurrent"].resolve = lambda source, info: source.of.most()


# ── projects ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _project(_: None, info: Info, projectId: str) -> Row:  # noqa: N803 - the schema's name
    ask: Asking = info.context
    own = ask.store.project
    if not _ID.match(projectId):
        raise failure(1008)
    if projectId != own.id:
        other = ask.known.get(projectId)
        if other is None:
            raise failure(1015)
        raise failure(1019 if other.kind == own.kind else 1021)  # which of the two when: INFERRED
    return Row({}, ask)


def _project_data(_: Row, info: Info, **given: Any) -> Row:
    ask: Asking = info.context
    start, end = given["start"], given.get("end")
    wish = Wish(
        start=start,
        end=ask.view.now if end is None else end,
        interval=given.get("interval") or "AUTO",
        groups=tuple(dict.fromkeys(group for group in given.get("groupBy") or () if group)),
        filters={group: tuple(v for v in given.get(name) or () if v) for group, name in _FILTERS.items()},
    )
    if wish.end < wish.start or wish.start > ask.view.now:
        raise failure(1002)
    if wish.bad_version():
        raise failure(1007)
    part = window(ask, "ProjectData", given)
    total, rows = ask.store.nightly.page(wish, ask.view.now, part.offset, part.first)
    if (null := ask.faults.get("null_values")) is not None:
        for place, row in enumerate(rows):
            if unit(bits(ask.store.project.key, 90), part.offset + place) < null.share:
                row["usage"] = None
    collection = page(part, total, lambda: mix(rows, ask.faults))
    collection["interval"] = ask.store.nightly.resolve(wish)
    return collection


def _session_data(_: Row, info: Info) -> Row:
    ask: Asking = info.context
    if not ask.store.project.advanced:
        raise failure(1014)
    if ask.unreachable == "error_1012":
        raise failure(1012)
    return Row({}, ask)


# ── sessions ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _sessions(_: Row, info: Info, **given: Any) -> Row:
    ask: Asking = info.context
    wanted = list(dict.fromkeys(given["sessionIds"]))
    if not wanted:
        raise failure(1018)
    found = [] if ask.unreachable == "empty" else [session for one in wanted if (session := _find(ask, one))]
    if len(found) < len(wanted) and ask.answers.unknown_session == "fail" and not ask.unreachable:
        raise failure(1017)
    part = window(ask, "Sessions", given)
    return page(part, len(found), lambda: _session_rows(ask, part.of(found)))


def _session(_: Row, info: Info, sessionId: str) -> Row:  # noqa: N803 - the schema's name
    ask: Asking = info.context
    session = _find(ask, sessionId)
    if session is None:
        raise failure(1017)
    return _session_row(ask, session)


def _find(ask: Asking, session_id: str | None) -> Session | None:
    """The session, if the store shows any of it."""
    session = ask.store.sessions.find(session_id or "")
    if session is None or not ask.view.meetings(session) or struck(ask.faults, "vanish", session.key):
        return None
    return session


def _session_rows(ask: Asking, sessions: Sequence[Session]) -> list[Row | GraphQLError]:
    """A page of sessions; the `partial` fault puts an error in the place of some."""
    return [
        failure(1012) if struck(ask.faults, "partial", session.key) else _session_row(ask, session)
        for session in mix(sessions, ask.faults)
    ]


def _session_row(ask: Asking, session: Session) -> Row:
    mode = unknown(ask.faults, session.media_mode)
    return Row({"sessionId": session.session_id, "mediaMode": mode}, session)


def _summaries(_: Row, info: Info, **given: Any) -> Row:
    ask: Asking = info.context
    view = ask.view
    start, end = _range(ask, given)
    part = window(ask, "SessionSummaries", given)
    if ask.unreachable == "empty":
        return page(part, 0, list)

    def shown(session: Session) -> bool:
        return not struck(ask.faults, "vanish", session.key) and bool(_matching(ask, session, start, end))

    sessions = ask.store.sessions
    if view.live and "vanish" not in ask.faults:
        until = min(end, view.cut + 0.001)
        created = ask.answers.range == "created"
        total, found = sessions.page(
            max(start, view.horizon()), until, created=created, named=shown, offset=part.offset, first=part.first
        )
    else:
        seen = [session for session in sessions.within(start, min(end, view.now)) if shown(session)]
        total, found = len(seen), list(part.of(seen))
    return page(part, total, lambda: _session_rows(ask, found))


def _range(ask: Asking, given: Mapping[str, Any]) -> tuple[float, float]:
    """The range asked for; nothing older than what is kept may be asked for (dossier, 3.3)."""
    start, end = given.get("start"), given.get("end")
    if start is not None and start < ask.view.horizon():
        raise failure(1002)
    if start is not None and end is not None and end < start:
        raise failure(1002)
    return (ask.view.horizon() if start is None else start), (float("inf") if end is None else end)


def _matching(ask: Asking, session: Session, start: float, end: float) -> list[Meeting]:
    """The visible meetings in a range, by creation or overlap: the vendor does not say which (dossier, 7.1)."""
    created = ask.answers.range == "created"
    return [
        meeting
        for meeting in ask.view.meetings(session)
        if meeting.start < end and (meeting.start >= start if created else meeting.end > start)
    ]


# ── meetings ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _meetings(source: Row, info: Info, **given: Any) -> Row:
    ask: Asking = info.context
    start, end = _range(ask, given)
    wanted = given.get("meetingId")
    found = [m for m in _matching(ask, source.of, start, end) if wanted is None or m.meeting_id == wanted]
    part = window(ask, "Meetings", given)
    return page(part, len(found), lambda: _meeting_rows(ask, source.of, part.of(found)))


def _summary_meetings(source: Row, info: Info, **given: Any) -> Row:
    ask: Asking = info.context
    found = ask.view.meetings(source.of)
    part = window(ask, "MeetingSummaries", given)
    return page(part, len(found), lambda: _meeting_rows(ask, source.of, part.of(found)))


def _meeting_rows(ask: Asking, session: Session, meetings: Sequence[Meeting]) -> list[Row]:
    return [
        Row(
            {
                "meetingId": meeting.meeting_id,
                "createdAt": stamp(meeting.start),
                "destroyedAt": _stamped(ask.view.closed(meeting)),
            },
            _Place(ask.store.lives.crew(session, meeting), ask.view),
        )
        for meeting in mix(meetings, ask.faults)
    ]


def _places(ask: Asking, session: Session) -> list[_Place]:
    return [_Place(ask.store.lives.crew(session, m), ask.view) for m in ask.view.meetings(session)]


def _minutes(view: View, spans: Sequence[Connection | Publisher | Subscriber]) -> float:
    return sum(view.spent(span.start, span.end) for span in spans) / 60


def _attendance(places: Sequence[_Place]) -> Row:
    people = max((place.crew.meeting.participants for place in places), default=0)
    return tiers(people, sum(_minutes(place.view, place.connections()) for place in places))


_MINUTES_OF_MEETING: Mapping[str, Callable[..., Any]] = {
    "publisherMinutes": lambda s, i: _minutes(s.of.view, s.of.publishers()),
    "subscriberMinutes": lambda s, i: _minutes(s.of.view, s.of.subscribers()),
    "participantMinutes": lambda s, i: _attendance([s.of]),
}
_MINUTES_OF_SESSION: Mapping[str, Callable[..., Any]] = {
    "publisherMinutes": lambda s, i: sum(_minutes(p.view, p.publishers()) for p in _places(i.context, s.of)),
    "subscriberMinutes": lambda s, i: sum(_minutes(p.view, p.subscribers()) for p in _places(i.context, s.of)),
    "participantMinutes": lambda s, i: _attendance(_places(i.context, s.of)),
}


# ── inside a meeting ─────────────────────────────────────────────────────────────────────────────────────────────────


def _connections_of_meeting(source: Row, info: Info, **given: Any) -> Row:
    place: _Place = source.of
    return _people(info.context, "MeetingConnections", place.connections(), given, place, _connection_row)


def _publishers_of_meeting(source: Row, info: Info, **given: Any) -> Row:
    place: _Place = source.of
    return _people(info.context, "MeetingPublishers", place.publishers(), given, place, _publisher_row)


def _subscribers_of_meeting(source: Row, info: Info, **given: Any) -> Row:
    place: _Place = source.of
    return _people(info.context, "MeetingSubscribers", place.subscribers(), given, place, _subscriber_row)


def _publishers_of_connection(source: Row, info: Info, **given: Any) -> Row:
    place, connection = source.of
    found = [publisher for publisher in place.publishers() if publisher.connection is connection]
    return _people(info.context, "ConnectionPublishers", found, given, place, _publisher_row)


def _subscribers_of_connection(source: Row, info: Info, **given: Any) -> Row:
    place, connection = source.of
    found = [subscriber for subscriber in place.subscribers() if subscriber.connection is connection]
    return _people(info.context, "ConnectionSubscribers", found, given, place, _subscriber_row)


def _subscribers_of_publisher(source: Row, info: Info, **given: Any) -> Row:
    place, publisher = source.of
    found = [subscriber for subscriber in place.subscribers() if subscriber.publisher is publisher]
    return _people(info.context, "PublisherSubscribers", found, given, place, _subscriber_row)


def _people(
    ask: Asking,
    kind: str,
    found: Sequence[Any],
    given: Mapping[str, Any],
    place: _Place,
    render: Callable[[Asking, _Place, Any], Row],
) -> Row:
    part = window(ask, kind, given)
    return page(
        part,
        len(found),
        lambda: mix([render(ask, place, one) for one in part.of(found)], ask.faults),
        lambda: _most(found),
    )


def _connection_row(ask: Asking, place: _Place, connection: Connection) -> Row:
    sdk, version, browser, browser_version, agent, device = _CLIENTS[connection.guid % len(_CLIENTS)]
    country, region, city = _PLACES[connection.guid // 64 % len(_PLACES)]
    return Row(
        {
            "connectionId": connection.id,
            "createdAt": stamp(connection.start),
            "destroyedAt": _stamped(ask.view.ended(connection.end)),
            "guid": uuid(connection.guid),
            "sdkType": unknown(ask.faults, sdk),
            "sdkVersion": version,
            "browser": browser,
            "browserVersion": browser_version,
            "userAgent": agent,
            "country": country,
            "region": region,
            "city": city,
            "deviceModel": device,
        },
        (place, connection),
    )


def _publisher_row(ask: Asking, place: _Place, publisher: Publisher) -> Row:
    return Row(
        {
            "connectionId": publisher.connection.id,
            "createdAt": stamp(publisher.start),
            "destroyedAt": _stamped(ask.view.ended(publisher.end)),
            "stream": _stream_row(ask, publisher),
        },
        (place, publisher),
    )


def _subscriber_row(ask: Asking, place: _Place, subscriber: Subscriber) -> Row:
    return Row(
        {
            "subscriberId": subscriber.id,
            "connectionId": subscriber.connection.id,
            "createdAt": stamp(subscriber.start),
            "destroyedAt": _stamped(ask.view.ended(subscriber.end)),
            "stream": _stream_row(ask, subscriber.publisher),
        },
        (place, subscriber),
    )


def _stream_row(ask: Asking, publisher: Publisher) -> Row:
    return Row(
        {
            "streamId": publisher.id,
            "hasAudioTrack": True,
            "hasVideoTrack": not publisher.audio_only,
            "videoType": None if publisher.audio_only else unknown(ask.faults, "camera"),
        }
    )


# ── rows of statistics ───────────────────────────────────────────────────────────────────────────────────────────────


def _samples(source: Row, info: Info, **given: Any) -> Row:
    ask: Asking = info.context
    place, stream = source.of
    meeting = place.crew.meeting
    when = timing(stream, ask.store.project.samples)
    ranks = ask.view.ranks(when, meeting)
    part = window(ask, "StreamStatsCollection", given)

    def rows() -> Leaves:
        wanted = ranks.page(part.offset, part.first)
        gauge = Gauge(project=ask.store.project, jitter=ask.jitter, stream=stream, timing=when)
        now = ask.view.now
        found = [gauge.row(r, now - ask.view.visible_since(meeting, when.at(when.raw(r)))) for r in wanted]
        whole, kept = bend_rows(found, wanted, ask.faults, stream.key, now, last=part.offset + part.first >= len(ranks))
        ask.handed.append((stream.key, kept))
        return Leaves(whole)

    return page(part, len(ranks), rows)


def _most(spans: Sequence[Connection | Publisher | Subscriber | Stream]) -> int:
    return most_at_once([(span.start, span.end) for span in spans])


def _stamped(at: float | None) -> str | None:
    return None if at is None else stamp(at)
