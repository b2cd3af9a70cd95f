"""Who was in which meeting when: the connections, publishers and subscribers inside.

A pure function of the scenario: what a meeting's people do is drawn from its key. `Lives` remembers the last meetings
worked out, which changes nothing but the time it takes.

Opposed to that, a simulation that steps through time was considered: it would have to be run forward to any instant
asked for, and its history kept for 21 days.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from watcher.emulator.dice import bits, millis, unit, uuid
from watcher.emulator.vonage.sessions import Meeting, Session
from watcher.emulator.vonage.world import Crowd, Incident, Project, Role

Reason = Literal[
    "clientDisconnected", "forceDisconnected", "networkDisconnected", "forceUnpublished", "mediaStopped"
]  # fmt: skip

_KEPT_LIVES = 200_000  # connections, publishers and subscribers remembered
_MIN_STAY = 20.0  # seconds between two breaks of one participant: nobody flickers
_PAUSE = (3.0, 15.0)  # how long somebody who dropped out stays away


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Connection:
    """A client's stay; a return after a break is a new one with the same `guid`."""

    key: int
    id: str
    guid: int
    start: float
    end: float
    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Publisher:
    """A stream, from publish to unpublish. `alone`: nobody can subscribe."""

    key: int
    id: str
    connection: Connection
    start: float
    end: float
    reason: Reason
    audio_only: bool
    alone: bool
    incidents: tuple[Incident, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Subscriber:
    """One client's subscription to one stream."""

    key: int
    id: str
    connection: Connection
    publisher: Publisher
    start: float
    end: float
    incidents: tuple[Incident, ...]


@dataclass(slots=True, kw_only=True)
class Crew:
    """Everybody in one meeting, each list by start. Subscribers grow as n(n-1), so they are worked out when asked."""

    session: Session
    meeting: Meeting
    connections: tuple[Connection, ...]
    publishers: tuple[Publisher, ...]
    incidents: tuple[Incident, ...]
    _subscribers: tuple[Subscriber, ...] | None = field(default=None, repr=False)

    def subscribers(self) -> tuple[Subscriber, ...]:
        if self._subscribers is None:
            self._subscribers = tuple(sorted(self._pairs(), key=lambda s: (s.start, s.key)))
        return self._subscribers

    def _pairs(self) -> Iterator[Subscriber]:
        for publisher in self.publishers:
            for connection in self.connections:
                if connection.guid == publisher.connection.guid:
                    continue
                key = bits(publisher.key ^ connection.key, 3)
                start = max(connection.start, publisher.start) + 0.3 + unit(key, 1)
                end = min(connection.end, publisher.end)
                if end - start > 1.0:
                    yield Subscriber(
                        key=key,
                        id=uuid(key),
                        connection=connection,
                        publisher=publisher,
                        start=millis(start),
                        end=end,
                        incidents=_striking(self.incidents, "subscriber", key, start, end),
                    )


class Lives:
    """Works out crews, and remembers the last ones."""

    def __init__(self, incidents: Sequence[Incident]) -> None:
        self._incidents = tuple(incidents)
        self._crews: OrderedDict[int, Crew] = OrderedDict()
        self.remembered = 0  # connections, publishers and subscribers

    def crew(self, session: Session, meeting: Meeting) -> Crew:
        """Everybody in that meeting."""
        crew = self._crews.get(meeting.key)
        if crew is not None:
            self._crews.move_to_end(meeting.key)
            return crew
        crew = _crew(session, meeting, self._striking(session, meeting))
        self._crews[meeting.key] = crew
        self.remembered += _weight(crew)
        while self.remembered > _KEPT_LIVES and len(self._crews) > 1:
            _, oldest = self._crews.popitem(last=False)
            self.remembered -= _weight(oldest)
        return crew

    def _striking(self, session: Session, meeting: Meeting) -> tuple[Incident, ...]:
        """The incidents that touch this meeting."""
        return tuple(
            incident
            for incident in self._incidents
            if incident.project == session.project.name
            and incident.start < meeting.end
            and incident.end > meeting.start
            and (
                session.name in incident.sessions
                if incident.sessions
                else unit(session.key ^ incident.key) < incident.sessions_share
            )
        )


def _weight(crew: Crew) -> int:
    return len(crew.connections) + len(crew.publishers) * (1 + len(crew.connections))  # subscribers included


def _crew(session: Session, meeting: Meeting, incidents: tuple[Incident, ...]) -> Crew:
    crowd = session.project.crowd
    connections: list[Connection] = []
    publishers: list[Publisher] = []
    for number in range(meeting.participants):
        person = bits(meeting.key, 10 + number)
        stays = list(_stays(session.project, meeting, number, person, incidents))
        connections += stays
        if number < crowd.publishers:
            published = (_publisher(crowd, stay, meeting, incidents) for stay in stays)
            publishers += [publisher for publisher in published if publisher is not None]
    return Crew(
        session=session,
        meeting=meeting,
        connections=tuple(sorted(connections, key=lambda c: (c.start, c.key))),
        publishers=tuple(sorted(publishers, key=lambda p: (p.start, p.key))),
        incidents=incidents,
    )


def _stays(
    project: Project, meeting: Meeting, number: int, person: int, incidents: tuple[Incident, ...]
) -> Iterator[Connection]:
    """One participant's connections: from coming to leaving, cut where the network failed."""
    crowd = project.crowd
    room = min(crowd.spread, (meeting.end - meeting.start) / 4)
    start = meeting.start + (room * unit(person, 1) if number else 0.0)
    last = meeting.end - (room * unit(person, 2) if number else 0.0)
    guid = bits(person, 3)
    part = 0

    def stay(begin: float, end: float, reason: Reason) -> Connection:
        key = bits(person, 1000 + part)
        return Connection(key=key, id=uuid(key), guid=guid, start=millis(begin), end=millis(end), reason=reason)

    for cut in _cuts(crowd, person, number, start, last, incidents):
        if start + _MIN_STAY <= cut <= last - _MIN_STAY:
            yield stay(start, cut, "networkDisconnected")
            part += 1
            start = cut + _PAUSE[0] + (_PAUSE[1] - _PAUSE[0]) * unit(person, 500 + part)
    chance = unit(person, 4)
    lost = project.healthy["networkDisconnected"]
    yield stay(
        start,
        last,
        "forceDisconnected"
        if chance < crowd.forced
        else "networkDisconnected"
        if chance < crowd.forced + lost
        else "clientDisconnected",
    )


def _cuts(
    crowd: Crowd, person: int, number: int, start: float, last: float, incidents: tuple[Incident, ...]
) -> list[float]:
    cuts = []
    if number and unit(person, 5) < crowd.churn:  # the first to come stays: the meeting is never empty by chance
        cuts.append(start + (last - start) * (0.2 + 0.6 * unit(person, 6)))
    for incident in incidents:
        level = incident.levels.get("networkDisconnected", 0.0)
        begin, end = max(start, incident.start), min(last, incident.end)
        if end > begin and unit(person ^ incident.key, 7) < level:
            cuts.append(begin + (end - begin) * unit(person ^ incident.key, 8))
    return sorted(cuts)


def _publisher(
    crowd: Crowd, connection: Connection, meeting: Meeting, incidents: tuple[Incident, ...]
) -> Publisher | None:
    key = bits(connection.key, 20)
    start = connection.start + 0.25 + 1.25 * unit(key, 1)
    end, reason = connection.end, connection.reason
    chance = unit(key, 2)
    if chance < crowd.unpublished + crowd.media_stopped:
        reason = "forceUnpublished" if chance < crowd.unpublished else "mediaStopped"
        end = start + (end - start) * (0.5 + 0.4 * unit(key, 3))
    if end - start <= 1.0:
        return None
    return Publisher(
        key=key,
        id=uuid(key),
        connection=connection,
        start=millis(start),
        end=millis(end),
        reason=reason,
        audio_only=unit(key, 4) < crowd.audio_only,
        alone=meeting.participants == 1,
        incidents=_striking(incidents, "publisher", key, start, end),
    )


def _striking(incidents: tuple[Incident, ...], role: Role, key: int, start: float, end: float) -> tuple[Incident, ...]:
    """The incidents that a stream feels."""
    return tuple(
        incident
        for incident in incidents
        if role in incident.roles
        and incident.start <= end
        and incident.end > start
        and unit(key ^ incident.key, 9) < incident.streams
    )
