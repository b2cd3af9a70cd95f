"""The REST calls: shapes, statuses, credentials."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import EPOCH
from tests.emulator.vonage.helpers import (
    APPLICATION,
    KEY,
    NOON,
    OTHER_KEY,
    Caller,
    application,
    legacy_token,
    plain,
    project,
    session,
)
from watcher.clock import DAY, VirtualClock


@pytest.fixture
def now() -> VirtualClock:
    """Noon: four people in `board`."""
    return VirtualClock(epoch=NOON, jumping=True)


def path(session_id: str, what: str = "stream", project_id: str = KEY) -> str:
    """A REST path."""
    return f"/v2/project/{project_id}/session/{session_id}/{what}"


async def test_streams(now: VirtualClock) -> None:
    """The list in its documented shape, and one of it alone."""
    caller = Caller(plain(), now)
    body = (await caller.get(path(caller.id()))).json()
    assert body["count"] == len(body["items"]) == 4
    assert [list(item) for item in body["items"]] == [["id", "videoType", "name", "layoutClassList"]] * 4
    assert body["items"][0]["videoType"] == "camera"
    one = await caller.get(path(caller.id(), f"stream/{body['items'][2]['id']}"))
    assert one.json() == body["items"][2]


async def test_streams_are_those_of_insights(now: VirtualClock) -> None:
    """The same ids on both sides."""
    caller = Caller(plain(), now)
    inside = "{ resources { meetings { resources { publishers { resources { stream { streamId } } } } } } }"
    query = f'{{ project(projectId: {KEY}) {{ sessionData {{ sessions(sessionIds: ["{caller.id()}"]) {inside} }} }} }}'
    meeting = (await caller.data(query))["sessionData"]["sessions"]["resources"][0]["meetings"]["resources"][0]
    body = (await caller.get(path(caller.id()))).json()
    assert [p["stream"]["streamId"] for p in meeting["publishers"]["resources"]] == [i["id"] for i in body["items"]]


async def test_audio_only_streams_have_no_video_type(now: VirtualClock) -> None:
    """As the webhook text says."""
    caller = Caller(plain(projects=[project(crowd={"audio_only": "100%"})]), now)
    items = (await caller.get(path(caller.id()))).json()["items"]
    assert [list(item) for item in items] == [["id", "name", "layoutClassList"]] * 4


async def test_connections(now: VirtualClock) -> None:
    """The list in its documented shape; who has just left is Disconnected."""
    caller = Caller(plain(), now)
    body = (await caller.get(path(caller.id(), "connection"))).json()
    assert list(body) == ["count", "projectId", "sessionId", "items"]
    assert (body["count"], body["projectId"], body["sessionId"]) == (4, KEY, caller.id())
    assert list(body["items"][0]) == ["connectionId", "createdAt", "connectionState"]
    assert body["items"][0]["createdAt"] == round((EPOCH + 11 * 3600) * 1000)
    leaving = VirtualClock(epoch=EPOCH + 13 * 3600 - 2, jumping=True)
    caller = Caller(plain(), leaving)
    states = {i["connectionState"] for i in (await caller.get(path(caller.id(), "connection"))).json()["items"]}
    assert states == {"Connected", "Disconnected"}


async def test_idle_over_and_bad_ids(now: VirtualClock) -> None:
    """404 before anybody came, an empty list after, 404 when it is forgotten, 408 for what is no id."""
    caller = Caller(plain(), VirtualClock(epoch=EPOCH, jumping=True))
    early = await caller.get(path(caller.id()))
    assert (early.status_code, early.json()["code"]) == (404, -1)
    after = Caller(plain(), VirtualClock(epoch=EPOCH + 14 * 3600, jumping=True))
    assert (await after.get(path(after.id()))).json() == {"count": 0, "items": []}
    absent = Caller(plain(answers={"empty_items": "absent"}), VirtualClock(epoch=EPOCH + 14 * 3600, jumping=True))
    assert (await absent.get(path(absent.id()))).json() == {"count": 0}
    old = Caller(plain(), VirtualClock(epoch=EPOCH + 23 * DAY, jumping=True))
    assert (await old.get(path(old.id()))).status_code == 404
    present = Caller(plain(), now)
    for what in ("stream", "connection"):
        assert (await present.get(path("nonsense", what))).status_code == 408
    assert (await present.get(path(present.id(), "stream/nonsense"))).status_code == 408
    unknown = "00000000-0000-4000-8000-00000000000f"
    assert (await present.get(path(present.id(), f"stream/{unknown}"))).status_code == 404


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": int(NOON) + 400},  # longer than five minutes
        {"exp": int(NOON) - 1},
        {"iat": int(NOON) + 30, "exp": int(NOON) + 100},
        {"secret": "x" * 40},
        {"key": OTHER_KEY},
        {"ist": "account"},
    ],
)
async def test_legacy_tokens_refused(now: VirtualClock, claims: dict[str, Any]) -> None:
    """403, JSON or XML as the request accepts."""
    caller = Caller(plain(), now)
    headers = {"X-OPENTOK-AUTH": legacy_token(NOON, **claims)}
    response = await caller.get(path(caller.id()), headers={**headers, "Accept": "application/json"})
    assert response.status_code == 403
    assert list(response.json()) == ["code", "message", "description"]
    response = await caller.get(path(caller.id()), headers={**headers, "Accept": "*/*"})
    assert response.status_code == 403
    assert response.text.startswith("<errorPayload><code>-1</code><message>")


async def test_a_token_ahead_of_time_says_so(now: VirtualClock) -> None:
    """In the words that users have reported."""
    caller = Caller(plain(), now)
    headers = {"X-OPENTOK-AUTH": legacy_token(NOON + 60), "Accept": "application/json"}
    response = await caller.get(path(caller.id()), headers=headers)
    assert response.json()["message"].startswith("issued time cannot be great")


async def test_projects_of_others(now: VirtualClock) -> None:
    """A good token opens its own project only."""
    data = plain(projects=[project(), project(name="other", key=OTHER_KEY, sessions=[session()])])
    caller = Caller(data, now)
    assert (await caller.get(path(caller.id("board", "other"), project_id=OTHER_KEY))).status_code == 403
    assert (await caller.get(path(caller.id("board", "other")))).status_code == 408  # no id of this project


async def test_unified_applications(now: VirtualClock) -> None:
    """Bearer, of fifteen minutes; 401 without."""
    caller = Caller(plain(projects=[application()]), now)
    where = path(caller.id("board", "clinic"), project_id=APPLICATION)
    assert (await caller.get(where, headers=caller.bearer())).json()["count"] == 4
    assert (await caller.get(where, headers={})).status_code == 401
    assert (await caller.get(where, headers=caller.headers())).status_code == 401


async def test_a_limit_of_requests(now: VirtualClock) -> None:
    """None by default; where there is one, the vendor's 429."""
    caller = Caller(plain(limits={"rest_requests": 4, "rest_window": "1s"}), now)
    statuses = [(await caller.get(path(caller.id()))).status_code for _ in range(5)]
    assert statuses == [200, 200, 200, 429, 429]
    quotas: Any = caller.emulator.report()["quotas"]
    assert [(q["account"], q["family"], q["spent"], q["refused"]) for q in quotas] == [("classroom", "rest", 5, 2)]


async def test_generated_sessions(now: VirtualClock) -> None:
    """They are there in REST as well, before Insights knows of them."""
    data = plain(projects=[project(sessions=[], traffic={"sessions": 5, "participants": 3, "length": "1h"})])
    caller = Caller(data, now)
    summaries = "sessionSummaries(start: 1767261600) { resources { sessionId meetings { resources { destroyedAt } } } }"
    query = f"{{ project(projectId: {KEY}) {{ sessionData {{ {summaries} }} }} }}"
    found = (await caller.data(query))["sessionData"]["sessionSummaries"]["resources"]
    live = [s["sessionId"] for s in found if s["meetings"]["resources"][0]["destroyedAt"] is None]
    counts = [(await caller.get(path(session_id))).json()["count"] for session_id in live]
    assert counts.count(3) >= 4
