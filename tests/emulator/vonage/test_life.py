"""Who was in which call: pure, found again by id, and without contradictions."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import EPOCH
from tests.emulator.vonage.helpers import KEY, NOON, plain, project, scenario
from watcher.emulator.counting import most_at_once
from watcher.emulator.vonage.life import Crew, Lives
from watcher.emulator.vonage.sessions import Session, Sessions, encode
from watcher.emulator.vonage.world import Project, Scenario

HOUR = 3600.0
TRAFFIC = {"sessions": 20, "participants": 6, "length": "40m", "gap": "5m"}


def generated(**changes: object) -> Project:
    """A project with twenty rooms and nothing else."""
    return scenario(plain(projects=[project(sessions=[], traffic={**TRAFFIC, **changes})])).projects[0]


def crews(world: Scenario, start: float, end: float) -> list[Crew]:
    """Everybody in every meeting of a stretch of time."""
    lives = Lives(world.incidents)
    return [lives.crew(s, m) for s in Sessions(world.projects[0]).within(start, end) for m in s.meetings]


def test_sessions_are_found_again_by_their_ids() -> None:
    """The id is all it takes, and nobody else's id finds anything."""
    sessions = Sessions(generated())
    for session in sessions.within(NOON, NOON + HOUR):
        assert sessions.find(session.session_id) == session
        assert len(session.session_id) <= 255
        damaged = session.session_id[:-3] + ("AAA" if not session.session_id.endswith("AAA") else "BBB")
        assert sessions.find(damaged) is None
        for room in (0, 19, 20, -1):
            assert sessions.find(encode(KEY, session.created, room, 7, 0)) is None  # well formed, but no session's
    other = Sessions(scenario(plain(projects=[project(key="1", sessions=[], traffic=TRAFFIC)])).projects[0])
    assert other.find(session.session_id) is None
    assert not other.well_formed(session.session_id)
    assert sessions.find("2_") is None


def test_every_room_is_taken_all_the_time_without_gap() -> None:
    """With no gap and no day curve exactly so many sessions run at any instant."""
    sessions = Sessions(generated(gap="0s"))
    for at in (NOON, NOON + 17, NOON + 5 * HOUR, EPOCH + 400 * 86_400):
        assert len([s for s in sessions.within(at, at + 0.001) if s.created <= at]) == 20


def test_the_day_curve_thins_them_out() -> None:
    """At the trough there are fewer, at the peak all."""
    sessions = Sessions(generated(gap="0s", day={"trough": "10%", "peak_hour": 15}))
    assert len(sessions.within(EPOCH + 15.2 * HOUR, EPOCH + 15.2 * HOUR + 1)) == 20
    assert len(sessions.within(EPOCH + 3.5 * HOUR, EPOCH + 3.5 * HOUR + 1)) <= 6


@settings(max_examples=25, deadline=None)
@given(
    offset=st.integers(0, 120),
    first=st.integers(1, 60),
    start=st.floats(0, 3 * HOUR),
    length=st.floats(1, 4 * HOUR),
    created=st.booleans(),
)
def test_pages_are_cuts_of_the_whole(offset: int, first: int, start: float, length: float, created: bool) -> None:
    """A page made alone equals the cut of the whole list, named sessions among the others included."""
    named = [{"name": f"s{i}", "meetings": [{"start": f"+{10 * i}m", "duration": "30m"}]} for i in range(18)]
    sessions = Sessions(scenario(plain(projects=[project(sessions=named, traffic=TRAFFIC)])).projects[0])
    start += EPOCH
    end = start + length

    def inside(session: Session) -> bool:
        return session.created < end and (session.created >= start if created else session.meetings[-1].end > start)

    whole = [session for session in sessions.within(start, end) if inside(session)]
    total, page = sessions.page(start, end, created=created, named=inside, offset=offset, first=first)
    assert total == len(whole)
    assert page == whole[offset : offset + first]


def test_lives_fit_into_each_other() -> None:
    """Streams lie inside connections, connections inside the meeting, subscriptions inside both; all ids differ."""
    busy = {"churn": "60%", "audio_only": "20%", "unpublished": "10%", "media_stopped": "10%", "spread": "5m"}
    world = scenario(plain(projects=[project(sessions=[], traffic=TRAFFIC, crowd=busy)]))
    ids: list[str] = []
    reasons = set()
    for crew in crews(world, NOON, NOON + HOUR):
        meeting = crew.meeting
        assert crew.connections[0].start == meeting.start
        assert max(c.end for c in crew.connections) == pytest.approx(meeting.end, abs=0.001)
        for publisher in crew.publishers:
            assert publisher.connection.start <= publisher.start < publisher.end <= publisher.connection.end
        for subscriber in crew.subscribers():
            assert subscriber.connection.guid != subscriber.publisher.connection.guid
            assert subscriber.start >= max(subscriber.connection.start, subscriber.publisher.start)
            assert subscriber.end == min(subscriber.connection.end, subscriber.publisher.end)
            assert subscriber.start < subscriber.end
        assert [c.start for c in crew.connections] == sorted(c.start for c in crew.connections)
        ids += [connection.id for connection in crew.connections]
        ids += [publisher.id for publisher in crew.publishers]
        ids += [subscriber.id for subscriber in crew.subscribers()]
        reasons |= {connection.reason for connection in crew.connections}
        reasons |= {publisher.reason for publisher in crew.publishers}
    assert len(ids) == len(set(ids)) > 1000
    assert reasons >= {"clientDisconnected", "networkDisconnected", "forceUnpublished", "mediaStopped"}


def test_churn_comes_back_as_a_new_connection() -> None:
    """Whoever drops out has a second connection with the same guid, seconds later, and never a fast flicker."""
    world = scenario(plain(projects=[project(sessions=[], traffic=TRAFFIC, crowd={"churn": "100%"})]))
    for crew in crews(world, NOON, NOON + 60):
        by_guid: dict[int, list[float]] = {}
        for connection in crew.connections:
            by_guid.setdefault(connection.guid, []).extend((connection.start, connection.end))
        assert len(by_guid) == 6
        for times in by_guid.values():
            assert times == sorted(times)
            if len(times) == 4:
                assert 3 <= times[2] - times[1] <= 15.01
        assert sum(len(times) == 4 for times in by_guid.values()) == 5  # the first to come stays


def test_an_incident_cuts_connections() -> None:
    """Its share of those who are there lose the network in it."""
    incident = {
        "project": "classroom",
        "start": "+11h30m",
        "duration": "10m",
        "levels": {"networkDisconnected": "50%"},
    }
    big = {"name": "hall", "meetings": [{"start": "+11h", "duration": "2h", "participants": 200}]}
    world = scenario(plain(projects=[project(sessions=[big])], incidents=[incident]))
    crew = crews(world, NOON, NOON + 1)[0]
    cut = [
        connection
        for connection in crew.connections
        if connection.reason == "networkDisconnected" and EPOCH + 11.5 * HOUR <= connection.end < EPOCH + 11.7 * HOUR
    ]
    assert 80 <= len(cut) <= 120
    assert len({connection.guid for connection in crew.connections}) == 200


def test_an_incident_of_some_sessions() -> None:
    """Only the share of sessions, and of streams of the right kind in them, feel it."""
    incident = {
        "project": "classroom",
        "sessions_share": "50%",
        "streams": "30%",
        "roles": ["subscriber"],
        "start": "+11h",
        "duration": "2h",
        "levels": {"videoPacketLoss": "9%"},
    }
    world = scenario(plain(projects=[project(sessions=[], traffic=TRAFFIC)], incidents=[incident]))
    all_crews = crews(world, NOON, NOON + HOUR)
    struck = [crew for crew in all_crews if crew.incidents]
    assert 0.25 < len(struck) / len(all_crews) < 0.75
    subscribers = [s for crew in struck for s in crew.subscribers()]
    assert 0.2 < sum(bool(s.incidents) for s in subscribers) / len(subscribers) < 0.4
    assert not any(p.incidents for crew in all_crews for p in crew.publishers)


def test_meetings_and_the_ten_minute_rule() -> None:
    """A return within ten minutes keeps the id, a later one has a new one; the end is known when that is sure."""
    meetings = [
        {"start": "+10h", "duration": "10m"},
        {"start": "+10h15m", "duration": "10m"},
        {"start": "+11h", "duration": "10m"},
    ]
    world = scenario(plain(projects=[project(sessions=[{"name": "board", "meetings": meetings}])]))
    first, second, third = Sessions(world.projects[0]).within(EPOCH, EPOCH + 86_400)[0].meetings
    assert first.meeting_id == second.meeting_id != third.meeting_id
    assert [m.over - EPOCH for m in (first, second, third)] == [
        10.25 * HOUR, 10 * HOUR + 35 * 60, 11 * HOUR + 20 * 60
    ]  # fmt: skip
    hasty = {"visibility": {"ten_minute_rule": False}}
    world = scenario(plain(projects=[project(sessions=[{"name": "board", "meetings": meetings}], **hasty)]))
    assert [m.over - m.end for m in Sessions(world.projects[0]).within(EPOCH, NOON)[0].meetings] == [0, 0, 0]


def test_forgetting_changes_nothing() -> None:
    """What is remembered of crews is bounded, and a crew worked out anew is the same."""
    world = scenario(plain(projects=[project(sessions=[], traffic={**TRAFFIC, "sessions": 150, "participants": 40})]))
    lives = Lives(world.incidents)
    sessions = Sessions(world.projects[0]).within(NOON, NOON + HOUR)
    first = lives.crew(sessions[0], sessions[0].meetings[0])
    for session in sessions:
        lives.crew(session, session.meetings[0])
    assert lives.remembered <= 200_000
    again = lives.crew(sessions[0], sessions[0].meetings[0])
    assert again is not first
    assert [c.id for c in again.connections] == [c.id for c in first.connections]


def test_most_at_once() -> None:
    """Ends come before starts of the same instant."""
    assert most_at_once([]) == 0
    assert most_at_once([(0, 2), (1, 3), (2, 4)]) == 2
    assert most_at_once([(0, 5), (1, 5), (2, 5)]) == 3
