"""Every query that the dossier prints, its documented shape, and the errors that the API has for wrong ones."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tests.conftest import EPOCH
from tests.emulator.vonage.helpers import (
    APPLICATION,
    KEY,
    NOON,
    OTHER_KEY,
    SECRET,
    UNIFIED,
    Caller,
    application,
    legacy_token,
    plain,
    project,
    session,
    session_query,
    unified_token,
)
from watcher.clock import VirtualClock

STATS = (
    "createdAt hasAudio hasVideo audioCodec audioLatencyMs audioBitrateKbps audioPacketLoss "
    "videoCodec videoLatencyMs videoBitrateKbps videoPacketLoss videoResolution"
)
SUBSCRIBER_STATS = STATS.replace("hasAudio hasVideo", "subscribeToAudio subscribeToVideo")

GOLDEN = f"""{{ resources {{ sessionId mediaMode publisherMinutes subscriberMinutes meetings {{ totalCount resources {{
  meetingId connections {{ totalCount resources {{ connectionId createdAt destroyedAt sdkType sdkVersion browser
    browserVersion guid userAgent
    publishers {{ totalCount resources {{ createdAt destroyedAt connectionId stream {{ streamId }}
      streamStatsCollection {{ totalCount resources {{ {STATS} }} }} }} }}
    subscribers {{ totalCount resources {{ subscriberId connectionId createdAt destroyedAt
      streamStatsCollection {{ totalCount resources {{ {SUBSCRIBER_STATS} }} }} }} }} }} }} }} }} }} }}"""
"""The selection behind the one real response of the dossier (2.2), and its subscribers."""

DISCOVERY = """query ($start: Date!, $cur: String) { project(projectId: "12345678") { sessionData {
  sessionSummaries(start: $start, first: 1000, endCursor: $cur) { totalCount pageInfo { hasNextPage endCursor }
    resources { sessionId meetings(first: 10) { resources {
      createdAt destroyedAt totalConnections maxConcurrentStreams } } } } } } }"""

STEP_A = """query ($ids: [String]!, $since: Date!) { project(projectId: "12345678") { sessionData {
  sessions(sessionIds: $ids, first: 50) { resources { sessionId
    meetings(start: $since, first: 10) { resources { meetingId createdAt destroyedAt
      connections { totalCount maxConcurrent }
      publishers(first: 100) { totalCount pageInfo { hasNextPage endCursor }
        resources { connectionId createdAt destroyedAt stream { streamId }
          streamStatsCollection(first: 1) { totalCount } } } } } } } } } }"""


def cursor(offset: int) -> str:
    """A cursor made by hand."""
    return base64.b64encode(f"insights-resource:{offset}".encode()).decode()


@pytest.fixture
def now() -> VirtualClock:
    """Noon of the first day: the session `board` has lasted an hour."""
    return VirtualClock(epoch=NOON, jumping=True)


# ── the queries of the dossier ───────────────────────────────────────────────────────────────────────────────────────


async def test_the_golden_response(now: VirtualClock) -> None:
    """A publisher alone for 17 s: the shape, nulls and first sample of the one real response."""
    alone = session(meetings=[{"start": "+11h", "duration": "17s", "participants": 1}])
    caller = Caller(plain(projects=[project(sessions=[alone])]), now)
    data = await caller.data(session_query(caller.id(), GOLDEN))
    found = data["sessionData"]["sessions"]["resources"][0]
    assert list(found) == ["sessionId", "mediaMode", "publisherMinutes", "subscriberMinutes", "meetings"]
    assert found["mediaMode"] == "routed"
    assert found["publisherMinutes"] == pytest.approx(17 / 60, abs=0.03)
    assert found["subscriberMinutes"] == 0
    meeting = found["meetings"]["resources"][0]
    assert found["meetings"]["totalCount"] == 1
    connection = meeting["connections"]["resources"][0]
    assert connection["subscribers"] == {"totalCount": 0, "resources": []}
    assert connection["createdAt"] == "2026-01-01T11:00:00.000Z"
    assert connection["destroyedAt"] == "2026-01-01T11:00:17.000Z"
    publisher = connection["publishers"]["resources"][0]
    assert publisher["connectionId"] == connection["connectionId"]
    stats = publisher["streamStatsCollection"]
    assert stats["totalCount"] == 1
    row = stats["resources"][0]
    assert list(row) == STATS.split()
    assert "2026-01-01T11:00:02.250Z" <= row["createdAt"] <= "2026-01-01T11:00:09.500Z"
    assert (row["audioLatencyMs"], row["videoLatencyMs"]) == (None, None)
    assert (row["audioCodec"], row["videoCodec"], row["videoResolution"]) == ("opus", "VP8", "1280x720")
    assert row["videoBitrateKbps"] == 137.5  # 1,100 kbit/s, an eighth of it


async def test_subscribers_of_a_mesh(now: VirtualClock) -> None:
    """Four people: twelve subscriptions, each with its own rows."""
    caller = Caller(plain(), now)
    data = await caller.data(session_query(caller.id(), GOLDEN))
    connections = data["sessionData"]["sessions"]["resources"][0]["meetings"]["resources"][0]["connections"]
    subscribers = [s for c in connections["resources"] for s in c["subscribers"]["resources"]]
    assert connections["totalCount"] == 4
    assert len(subscribers) == 12
    assert len({s["subscriberId"] for s in subscribers}) == 12
    row = subscribers[0]["streamStatsCollection"]["resources"][0]
    assert list(row) == SUBSCRIBER_STATS.split()
    assert row["videoLatencyMs"] == 80


async def test_discovery(now: VirtualClock) -> None:
    """Summaries list running and finished sessions; only the finished ones have an end."""
    early = {"name": "early", "meetings": [{"start": "+8h", "duration": "1h", "participants": 3}]}
    caller = Caller(plain(projects=[project(sessions=[session(), early])]), now)
    data = await caller.data(DISCOVERY, {"start": int(NOON - 86_000), "cur": ""})
    summaries = data["sessionData"]["sessionSummaries"]
    assert summaries["totalCount"] == 2
    assert summaries["pageInfo"] == {"hasNextPage": False, "endCursor": None}
    assert [s["sessionId"] for s in summaries["resources"]] == [caller.id("early"), caller.id()]
    assert [s["meetings"]["resources"] for s in summaries["resources"]] == [
        [
            {
                "createdAt": "2026-01-01T08:00:00.000Z",
                "destroyedAt": "2026-01-01T09:00:00.000Z",
                "totalConnections": 3,
                "maxConcurrentStreams": 3,
            }
        ],
        [
            {
                "createdAt": "2026-01-01T11:00:00.000Z",
                "destroyedAt": None,
                "totalConnections": 4,
                "maxConcurrentStreams": 4,
            }
        ],
    ]


async def test_two_step_read(now: VirtualClock) -> None:
    """Step A counts the rows of each stream, step B reads those behind an offset by aliases: none comes twice."""
    caller = Caller(plain(), now)
    data = await caller.data(STEP_A, {"ids": [caller.id()], "since": "2026-01-01T10:30:00Z"})
    meeting = data["sessionData"]["sessions"]["resources"][0]["meetings"]["resources"][0]
    assert meeting["connections"] == {"totalCount": 4, "maxConcurrent": 4}
    publishers = meeting["publishers"]["resources"]
    counts = [p["streamStatsCollection"]["totalCount"] for p in publishers]
    assert all(105 <= count <= 110 for count in counts)  # 55 minutes: the last five are not there yet
    aliases = " ".join(
        f'p{i}: publishers(first: 1, endCursor: "{cursor(i)}") {{ resources {{ stream {{ streamId }} '
        f'streamStatsCollection(first: 20, endCursor: "{cursor(count - 3)}") {{ pageInfo {{ hasNextPage endCursor }} '
        f"resources {{ {STATS} }} }} }} }}"
        for i, count in enumerate(counts)
    )
    inside = f'{{ resources {{ meetings(meetingId: "{meeting["meetingId"]}") {{ resources {{ {aliases} }} }} }} }}'
    data = await caller.data(session_query(caller.id(), inside))
    again = data["sessionData"]["sessions"]["resources"][0]["meetings"]["resources"][0]
    for i, publisher in enumerate(publishers):
        only = again[f"p{i}"]["resources"][0]
        assert only["stream"] == publisher["stream"]
        assert len(only["streamStatsCollection"]["resources"]) == 3
        assert only["streamStatsCollection"]["pageInfo"] == {"hasNextPage": False, "endCursor": None}
    assert caller.emulator.report()["rows"] == {"handed_out": 12, "handed_again": 0}


async def test_the_widest_project_data_query() -> None:
    """Everything of the nightly figures, in intervals cut at Pacific midnight."""
    clock = VirtualClock(epoch=EPOCH + 3.3 * 86_400, jumping=True)
    caller = Caller(plain(projects=[project(traffic={"sessions": 10, "participants": 4, "length": "1h"})]), clock)
    tiers = "from1To2Publishers from3To6Publishers from11To35Publishers from36PlusPublishers"
    data = await caller.data(
        f"""query ($start: Date!) {{ project(projectId: {KEY}) {{ projectData(start: $start, interval: DAILY) {{
          interval totalCount pageInfo {{ hasNextPage endCursor }}
          resources {{ intervalStart intervalEnd country region sdkType sdkVersion browser browserVersion
            usage {{ streamedPublishedMinutes streamedSubscribedMinutes hlsMinutes participantMinutes {{ {tiers} }} }}
            quality {{ publisher {{ videoBitrateKbpsAvg latencyMsAvg latencyDistribution {{ ms50 ms1000Plus }}
                videoBitrateDistribution {{ kbps100 kbps3000Plus }} }}
              subscriber {{ videoBitrateKbpsAvg }} }}
            errors {{ connect {{ attempts failures }} publish {{ attempts failures }}
              subscribe {{ attempts failures }} }}
          }} }} }} }}""",
        {"start": int(EPOCH)},
    )
    found = data["projectData"]
    assert found["interval"] == "DAILY"
    first = found["resources"][0]
    assert first["intervalStart"] == "2025-12-31T08:00:00.000Z"
    assert first["intervalEnd"] == "2026-01-01T08:00:00.000Z"
    assert first["sdkType"] is None
    assert first["usage"]["streamedPublishedMinutes"] == pytest.approx(240 * 4 * 60)
    assert first["usage"]["participantMinutes"]["from3To6Publishers"] == pytest.approx(240 * 4 * 60)
    assert first["errors"]["connect"] == {"attempts": 960, "failures": 4}
    assert first["quality"]["subscriber"] == {"videoBitrateKbpsAvg": pytest.approx(1100)}
    assert len(found["resources"]) == found["totalCount"] == 2


async def test_fragments_directives_and_typename(now: VirtualClock) -> None:
    """What GraphQL has beyond fields works as in any server."""
    caller = Caller(plain(), now)
    body = """query ($ids: [String]!, $no: Boolean = false) { project(projectId: "12345678") { __typename sessionData {
      sessions(sessionIds: $ids) { ...page resources { again: sessionId mediaMode @include(if: $no)
        meetings { resources { ... on Meeting { publishers(first: 1) { resources {
          streamStatsCollection(first: 2) { resources { __typename at: createdAt ...Loss } } } } } } } } } } } }
      fragment page on ResourceCollection { totalCount }
      fragment Loss on PublisherStats { videoPacketLoss @skip(if: $no) audioPacketLoss @skip(if: true) }"""
    data = await caller.data(body, {"ids": [caller.id()]})
    assert data["__typename"] == "Project"
    sessions = data["sessionData"]["sessions"]
    assert sessions["totalCount"] == 1
    assert list(sessions["resources"][0]) == ["again", "meetings"]
    publishers = sessions["resources"][0]["meetings"]["resources"][0]["publishers"]["resources"]
    rows = publishers[0]["streamStatsCollection"]["resources"]
    assert [list(row) for row in rows] == [["__typename", "at", "videoPacketLoss"]] * 2
    assert rows[0]["__typename"] == "PublisherStats"


# ── identity and dates ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("written", ["12345678", '"12345678"'])
async def test_a_numeric_id_with_and_without_quotes(now: VirtualClock, written: str) -> None:
    """Both are the same project."""
    caller = Caller(plain(), now)
    query = f"{{ project(projectId: {written}) {{ projectData(start: 0) {{ totalCount }} }} }}"
    assert "projectData" in await caller.data(query)


@pytest.mark.parametrize(
    "start",
    ['"2026-01-01T10:00:00Z"', '"2026-01-01T10:00:00.000+00:00"', "1767261600", "1767261600000", '"1767261600"'],
)
async def test_dates_in_every_form(now: VirtualClock, start: str) -> None:
    """ISO text, seconds, milliseconds, digits in quotes."""
    caller = Caller(plain(), now)
    inside = f"{{ resources {{ meetings(start: {start}) {{ totalCount }} }} }}"
    data = await caller.data(session_query(caller.id(), inside))
    assert data["sessionData"]["sessions"]["resources"] == [{"meetings": {"totalCount": 1}}]
    later = inside.replace("10:00", "11:30").replace("1767261600", "1767267000")
    data = await caller.data(session_query(caller.id(), later))
    assert data["sessionData"]["sessions"]["resources"] == [{"meetings": {"totalCount": 0}}]


async def test_unified_applications(now: VirtualClock) -> None:
    """A Bearer token of the application reads its sessions, on the unified path only."""
    caller = Caller(plain(projects=[application()]), now)
    board = caller.id("board", "clinic")
    query = session_query(board, "{ totalCount }", APPLICATION)
    data = await caller.data(query, path=UNIFIED, headers=caller.bearer())
    assert data["sessionData"]["sessions"] == {"totalCount": 1}
    response = await caller.post(query, headers=caller.bearer())
    assert (response.status_code, response.json()["error"]["errorCode"]) == (401, 1001)


async def test_the_unified_path_takes_legacy_tokens(now: VirtualClock) -> None:
    """As the vendor's sample does."""
    caller = Caller(plain(), now)
    assert await caller.data(session_query(caller.id(), "{ totalCount }"), path=UNIFIED)


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"exp": int(NOON) - 1}, 1011),
        ({"iat": int(NOON) + 60}, 1011),
        ({"iat": None}, 1011),
        ({"ist": "account"}, 1011),
        ({"key": "999"}, 1000),
        ({"secret": SECRET[::-1]}, 1020),
    ],
)
async def test_legacy_tokens_refused(now: VirtualClock, claims: dict[str, Any], code: int) -> None:
    """Out of time, of the wrong kind, by strangers, with another secret: 401 in the other shape."""
    caller = Caller(plain(), now)
    headers = {"X-OPENTOK-AUTH": legacy_token(NOON, **claims)}
    response = await caller.post("{ project(projectId: 1) { __typename } }", headers=headers)
    assert response.status_code == 401
    assert list(response.json()) == ["error"]
    assert response.json()["error"]["errorCode"] == code


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, 1001),
        ({"X-OPENTOK-AUTH": "rubbish"}, 1011),
        ({"Authorization": "Bearer a.b.c"}, 1011),
        ({"Authorization": "Basic eA=="}, 1001),
        ({"X-OPENTOK-AUTH": unified_token(NOON)}, 1011),
        ({"Authorization": f"Bearer {unified_token(NOON, application='x')}"}, 1000),
    ],
)
async def test_no_token_or_none_of_this_kind(now: VirtualClock, headers: dict[str, str], code: int) -> None:
    """Each has its code."""
    caller = Caller(plain(projects=[project(), application()]), now)
    response = await caller.post("{ project(projectId: 1) { __typename } }", path=UNIFIED, headers=headers)
    assert (response.status_code, response.json()["error"]["errorCode"]) == (401, code)


async def test_insights_tolerates_a_token_of_an_hour(now: VirtualClock) -> None:
    """The five minutes are REST's."""
    caller = Caller(plain(), now)
    headers = {"X-OPENTOK-AUTH": legacy_token(NOON, exp=int(NOON) + 3600)}
    assert await caller.data(session_query(caller.id(), "{ totalCount }"), headers=headers)


async def test_ids_of_others(now: VirtualClock) -> None:
    """Malformed, unknown, another project of the same kind, one of the other kind."""
    other = project(name="other", key=OTHER_KEY)
    caller = Caller(plain(projects=[project(), other, application()]), now)
    for written, code in (("not-an-id", 1008), ("999", 1015), (OTHER_KEY, 1019), (APPLICATION, 1021)):
        errors = await caller.errors(f'{{\n  project(projectId: "{written}") {{ sessionData {{ __typename }} }} }}')
        assert [error["errorCode"] for error in errors] == [code]
    assert errors[0]["path"] == ["project"]
    assert errors[0]["locations"] == [{"line": 2, "column": 3}]


async def test_the_documented_error(now: VirtualClock) -> None:
    """1008 word for word, data beside it."""
    caller = Caller(plain(), now)
    response = await caller.post('{\n  project(projectId: "x") { __typename } }')
    assert response.json() == {
        "errors": [
            {
                "message": "You must provide a valid project ID.",
                "locations": [{"line": 2, "column": 3}],
                "path": ["project"],
                "errorCode": 1008,
            }
        ],
        "data": {"project": None},
    }


# ── wrong questions ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("inside", "code"),
    [
        ("sessions(sessionIds: []) { totalCount }", 1018),
        ('sessions(sessionIds: ["2_MX4x"]) { totalCount }', 1017),
        ("sessionSummaries(start: 0) { totalCount }", 1002),
        ('sessionSummaries(start: "2025-12-01T00:00:00Z") { totalCount }', 1002),
        ('sessionSummaries(start: "2026-01-01T11:00:00Z", end: "2026-01-01T10:00:00Z") { totalCount }', 1002),
        ('sessionSummaries(start: "2026-01-01T11:00:00Z", endCursor: "!") { totalCount }', 1005),
        ('sessionSummaries(start: "2026-01-01T11:00:00Z", endCursor: "eA==") { totalCount }', 1005),
        ('sessionSummaries(start: "2026-01-01T11:00:00Z", first: 0) { totalCount }', 1004),
    ],
)
async def test_wrong_session_questions(now: VirtualClock, inside: str, code: int) -> None:
    """Each mistake has its own code; since both lists are never null, sessionData is."""
    caller = Caller(plain(), now)
    response = await caller.post(f"{{ project(projectId: {KEY}) {{ sessionData {{ {inside} }} }} }}")
    assert response.status_code == 200
    assert [error["errorCode"] for error in response.json()["errors"]] == [code]
    assert response.json()["data"] == {"project": {"sessionData": None}}


async def test_wrong_project_questions(now: VirtualClock) -> None:
    """A version that is none, a range that ends before it starts or has not begun."""
    caller = Caller(plain(), now)
    for arguments, code in (
        ('start: 0, sdkVersion: ["2.27"]', 1007),
        ("start: 1767261600, end: 1767261599", 1002),
        ('start: "2026-02-01T00:00:00Z"', 1002),
    ):
        errors = await caller.errors(f"{{ project(projectId: {KEY}) {{ projectData({arguments}) {{ totalCount }} }} }}")
        assert [error["errorCode"] for error in errors] == [code]


async def test_without_the_add_on(now: VirtualClock) -> None:
    """Sessions are 1014, the nightly figures are not."""
    caller = Caller(plain(projects=[project(advanced=False)]), now)
    errors = await caller.errors(session_query(caller.id(), "{ totalCount }"))
    assert [(e["errorCode"], e["path"]) for e in errors] == [(1014, ["project", "sessionData"])]
    assert await caller.data(f"{{ project(projectId: {KEY}) {{ projectData(start: 0) {{ totalCount }} }} }}")


async def test_an_unknown_id_can_be_dropped(now: VirtualClock) -> None:
    """By the scenario's switch; else one fails the whole call."""
    query = 'sessions(sessionIds: ["{id}", "2_nobody"]) {{ totalCount resources {{ sessionId }} }}'
    dropping = Caller(plain(answers={"unknown_session": "drop"}), now)
    inside = query.format(id=dropping.id())
    data = await dropping.data(f"{{ project(projectId: {KEY}) {{ sessionData {{ {inside} }} }} }}")
    assert data["sessionData"]["sessions"] == {"totalCount": 1, "resources": [{"sessionId": dropping.id()}]}
    failing = Caller(plain(), now)
    errors = await failing.errors(f"{{ project(projectId: {KEY}) {{ sessionData {{ {inside} }} }} }}")
    assert [error["errorCode"] for error in errors] == [1017]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("{ project(projectId: 1) { nothing } }", 1022),
        ("{ project { __typename } }", 1013),
        ("{ project(projectId: 1) { projectData(start: 0, interval: [DAILY, WEEKLY]) { totalCount } } }", 1003),
        ('{ project(projectId: 1) { projectData(start: 0, first: "9") { totalCount } } }', 1006),
        ('{ project(projectId: 1) { projectData(start: "yesterday") { totalCount } } }', 1022),
        ("query ($s: Date!) { project(projectId: 1) { projectData(start: $s) { totalCount } } }", 1013),
        ("{ project(projectId: 1) {", 1022),
    ],
)
async def test_validation(now: VirtualClock, query: str, code: int) -> None:
    """Standard errors, without data; with a code only where the scenario says so."""
    response = await Caller(plain(), now).post(query)
    assert response.status_code == 400
    assert list(response.json()) == ["errors"]
    assert "errorCode" not in response.json()["errors"][0]
    response = await Caller(plain(answers={"validation": "coded"}), now).post(query)
    assert response.json()["errors"][0]["errorCode"] == code


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"\xff", b'{"query": 1}', b'{"query": "' + b"x" * 2_000_001])
async def test_bodies_that_are_no_request(now: VirtualClock, body: bytes) -> None:
    """400, whatever it is."""
    caller = Caller(plain(), now)
    response = await caller.request("POST", "/graphql", content=body, headers=caller.headers())
    assert response.status_code == 400


async def test_mutations_and_nested_fragments(now: VirtualClock) -> None:
    """Nothing can be changed; fragments within fragments, doubling each time, are counted in no time."""
    caller = Caller(plain(), now)
    assert (await caller.post("mutation { x }")).status_code == 400
    bomb = " ".join(f"fragment F{i} on Session {{ ...F{i + 1} ... on Session {{ ...F{i + 1} }} }}" for i in range(40))
    query = session_query(caller.id(), "{ resources { ...F0 } }") + bomb + " fragment F40 on Session { sessionId }"
    assert (await caller.post(query)).status_code == 200
    deep = "{" + " project(projectId: 1) {" * 3000
    assert (await caller.post(deep)).status_code == 400


# ── pages ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_paging_by_server_cursors(now: VirtualClock) -> None:
    """Pages follow each other without gap or overlap; the last one has no cursor; padding may be missing."""
    caller = Caller(plain(), now)
    seen: list[str] = []
    position: str | None = ""
    for _ in range(40):
        inside = (
            "{ resources { meetings { resources { publishers(first: 1) { resources { "
            f'streamStatsCollection(first: 7, endCursor: "{position}") {{ totalCount '
            "pageInfo { hasNextPage endCursor } resources { createdAt } } } } } } } }"
        )
        data = await caller.data(session_query(caller.id(), inside))
        meeting = data["sessionData"]["sessions"]["resources"][0]["meetings"]["resources"][0]
        stats = meeting["publishers"]["resources"][0]["streamStatsCollection"]
        seen += [row["createdAt"] for row in stats["resources"]]
        assert stats["pageInfo"]["hasNextPage"] == (stats["pageInfo"]["endCursor"] is not None)
        if stats["pageInfo"]["endCursor"] is None:
            break
        position = stats["pageInfo"]["endCursor"].rstrip("=")
    assert len(seen) == stats["totalCount"] > 100
    assert seen == sorted(set(seen))


async def test_page_sizes(now: VirtualClock) -> None:
    """50 by default and 1000 at most, 10 and 10 for meetings; beyond that clamped, or refused by switch."""
    sessions = [{"name": f"s{i}", "meetings": [{"start": "+11h", "duration": "1h"}]} for i in range(60)]
    caller = Caller(plain(projects=[project(sessions=sessions)]), now)
    ids = [caller.id(f"s{i}") for i in range(60)]
    data = await caller.data(session_query(ids, "{ totalCount resources { sessionId } }"))
    assert len(data["sessionData"]["sessions"]["resources"]) == 50
    query = session_query(ids, "{ totalCount resources { sessionId } }").replace("])", "], first: 1000)")
    data = await caller.data(query)
    assert [s["sessionId"] for s in data["sessionData"]["sessions"]["resources"]] == ids
    summaries = f"{{ project(projectId: {KEY}) {{ sessionData {{ sessionSummaries(start: 1767261600, first: 5000)"
    assert await caller.data(summaries + " { totalCount resources { meetings(first: 99) { totalCount } } } } } }")
    strict = Caller(plain(answers={"over_limit": "refuse"}), now)
    errors = await strict.errors(summaries + " { totalCount } } } }")
    assert [error["errorCode"] for error in errors] == [1005]


async def test_sealed_cursors(now: VirtualClock) -> None:
    """Cursors made by hand are refused; the server's own work."""
    caller = Caller(plain(answers={"cursors": "sealed"}), now)
    pages = 'publishers(first: 1, endCursor: "{c}") {{ pageInfo {{ endCursor }} }}'
    inside = "{{ resources {{ meetings {{ resources {{ " + pages + " }} }} }} }}"
    query = session_query(caller.id(), inside.format(c=""))
    data = await caller.data(query)
    meeting = data["sessionData"]["sessions"]["resources"][0]["meetings"]["resources"][0]
    own = meeting["publishers"]["pageInfo"]["endCursor"]
    assert await caller.data(session_query(caller.id(), inside.format(c=own)))
    response = await caller.post(session_query(caller.id(), inside.format(c=cursor(1))))
    assert [e["errorCode"] for e in response.json()["errors"]] == [1005]
    path = ["project", "sessionData", "sessions", "resources", 0, "meetings", "resources", 0, "publishers"]
    assert response.json()["errors"][0]["path"] == path
    assert response.json()["data"]["project"]["sessionData"]["sessions"]["resources"][0]["meetings"] == {
        "resources": [{"publishers": None}]
    }


async def test_range_by_creation_or_overlap(now: VirtualClock) -> None:
    """`start` selects by creation, or by overlap where the scenario says so."""
    summaries = 'sessionSummaries(start: "2026-01-01T11:30:00Z") { totalCount }'
    query = f"{{ project(projectId: {KEY}) {{ sessionData {{ {summaries} }} }} }}"
    data = await Caller(plain(), now).data(query)
    assert data["sessionData"]["sessionSummaries"] == {"totalCount": 0}
    data = await Caller(plain(answers={"range": "overlap"}), now).data(query)
    assert data["sessionData"]["sessionSummaries"] == {"totalCount": 1}


# ── limits ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_documented_count_of_nodes(now: VirtualClock) -> None:
    """Two sessions, meetings of ten, publishers and statistics of fifty: 51,023, and one less is refused as 1014."""
    by_pages = {"nodes": "pages"}
    sessions = [session(), session(name="second")]
    inside = (
        "{ resources { meetings(first: 10) { resources { publishers(first: 50) { resources { "
        "streamStatsCollection(first: 50) { resources { createdAt } } } } } } } }"
    )
    caller = Caller(plain(projects=[project(sessions=sessions)], limits={"nodes": 51_023}, answers=by_pages), now)
    query = session_query([caller.id(), caller.id("second")], inside)
    await caller.data(query)
    nodes: Any = caller.emulator.report()["nodes"]
    assert nodes == {"limit": 51_023, "worst": 51_023, "total": 51_023, "refused": 0}
    tight = Caller(plain(projects=[project(sessions=sessions)], limits={"nodes": 51_022}, answers=by_pages), now)
    errors = await tight.errors(query)
    assert [(e["errorCode"], e["path"], e["message"]) for e in errors] == [
        (1014, ["project", "sessionData"], "This query requires the Advanced Insights add-on")
    ]
    assert tight.emulator.report()["rows"] == {"handed_out": 0, "handed_again": 0}


async def test_counts_alone_cost_no_nodes(now: VirtualClock) -> None:
    """Step A with its counts is far below what the same pages would cost with rows."""
    caller = Caller(plain(), now)
    await caller.data(STEP_A, {"ids": [caller.id()], "since": int(NOON - 3600)})
    nodes: Any = caller.emulator.report()["nodes"]
    assert nodes["worst"] == 1 + 1 + 1 + 4  # project, session, meeting, publishers
    by_pages = Caller(plain(answers={"nodes": "pages"}), now)
    await by_pages.data(STEP_A, {"ids": [by_pages.id()], "since": int(NOON - 3600)})
    nodes = by_pages.emulator.report()["nodes"]
    assert nodes["worst"] == 1 + 1 * (1 + 10 * (1 + 100))


async def test_nodes_that_exist(now: VirtualClock) -> None:
    """The limit counts what is there: a query of huge pages over few rows runs, one node less and it is 1014 alone."""
    caller = Caller(plain(), now)
    query = session_query(caller.id(), GOLDEN)
    await caller.data(query)
    nodes: Any = caller.emulator.report()["nodes"]
    expected = 1 + 1 + 1 + 4 + 4 + 4 * 50 + 12 + 12 * 50
    assert nodes["worst"] == expected
    tight = Caller(plain(limits={"nodes": expected - 1}), now)
    response = await tight.post(query)
    assert response.json()["data"] == {"project": {"sessionData": None}}
    assert [error["errorCode"] for error in response.json()["errors"]] == [1014]
    assert tight.emulator.report()["rows"] == {"handed_out": 0, "handed_again": 0}


async def test_fewer_than_a_hundred_in_thirty_seconds(now: VirtualClock) -> None:
    """The hundredth within any 30 s is refused with 429 and Retry-After, per key and per address."""
    caller = Caller(plain(projects=[project(), project(name="other", key=OTHER_KEY)]), now)
    query = f"{{ project(projectId: {KEY}) {{ __typename }} }}"
    for _ in range(99):
        assert (await caller.post(query)).status_code == 200
    refused = await caller.post(query)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "30")
    other = {"X-OPENTOK-AUTH": legacy_token(NOON, key=OTHER_KEY)}
    assert (await caller.post(query.replace(KEY, OTHER_KEY), headers=other)).status_code == 429  # the same address
    caller.use_address("10.0.0.2")
    assert (await caller.post(query.replace(KEY, OTHER_KEY), headers=other)).status_code == 200
    assert (await caller.post(query)).status_code == 429  # the same key
    await caller.clock.sleep_until(caller.clock.now() + 30)
    assert (await caller.post(query)).status_code == 200
    quotas: Any = caller.emulator.report()["quotas"]
    spent = {(q["account"], q["part"]): (q["spent"], q["total"], q["refused"]) for q in quotas}
    assert spent["classroom", ""] == (101, 102, 2)
    assert spent["", "10.0.0.1"] == (101, 101, 2)
    assert spent["", "10.0.0.2"] == (2, 3, 0)
    assert {(q["family"], q["window"], q["limit"]) for q in quotas} == {("insights", "30s", 100)}


async def test_throttling_by_503(now: VirtualClock) -> None:
    """The other mode, which says nothing in JSON."""
    caller = Caller(plain(limits={"requests": 2, "throttle": "http_503"}), now)
    await caller.post("{ project(projectId: 1) { __typename } }")
    refused = await caller.post("{ project(projectId: 1) { __typename } }")
    assert refused.status_code == 503
    assert refused.headers["content-type"].startswith("text/html")


async def test_slow_fields(now: VirtualClock) -> None:
    """Minutes make a query slow; nothing else does."""
    caller = Caller(plain(answers={"slow_fields": "4s"}), now)
    began = now.now()
    await caller.data(session_query(caller.id(), "{ resources { sessionId } }"))
    assert now.now() - began < 0.5
    await caller.data(session_query(caller.id(), "{ resources { publisherMinutes } }"))
    assert now.now() - began == pytest.approx(4, abs=0.5)


async def test_browsers_and_preflights(now: VirtualClock) -> None:
    """A browser is sent to log in, OPTIONS is fine, an unknown path is 404."""
    caller = Caller(plain(), now)
    for path in ("/", "/video/insights-api/"):
        response = await caller.get(path, headers={})
        assert response.status_code == 302
        assert "login" in response.headers["location"]
    assert (await caller.request("OPTIONS", UNIFIED)).status_code == 200
    assert (await caller.get("/nowhere")).status_code == 404


async def test_the_report_over_http(now: VirtualClock) -> None:
    """The same as in-process, and the rows where they are asked for."""
    caller = Caller(plain(), now)
    await caller.data(session_query(caller.id(), GOLDEN))
    served = (await caller.get("/_emulator/report?rows=total", headers={})).json()
    streams = served.pop("streams")
    assert served == json.loads(json.dumps(caller.emulator.report()))
    by_kind = {s["kind"]: s for s in streams}
    assert by_kind["publisher"]["streams"] == 4
    assert by_kind["publisher"]["handed_out"] == 200  # 50 of each: the default page
    assert by_kind["publisher"]["visible"] == by_kind["publisher"]["read_visible"] > 400
    everything = (await caller.get("/_emulator/report?rows=all&since=0", headers={})).json()["streams"]
    assert len(everything) == 16
    assert (await caller.get("/_emulator/report?rows=all&since=x", headers={})).status_code == 400
