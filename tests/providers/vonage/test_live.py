"""Webhooks and REST: events in any order and number make the same picture, and REST has the last word."""

from __future__ import annotations

import hashlib
import itertools
import json
import random
from collections.abc import Callable
from typing import Any

import httpx
import jwt
import pytest

from tests.conftest import EPOCH
from tests.emulator.vonage.helpers import KEY, plain, project
from tests.providers.doubles import FakePurse, HandClock, Vendor, answer
from tests.providers.vonage.stage import NOON, Stage, account
from watcher.clock import VirtualClock
from watcher.providers.provider import Heard
from watcher.providers.vonage import live as live_module
from watcher.providers.vonage.live import Live
from watcher.providers.vonage.source import VonageSource, open_source
from watcher.secret import Secret

TOKEN = "a-token-that-nobody-guesses"
SIGNATURE = "0123456789abcdef0123456789abcdef"
BOARD = "2_MX4xMjM0NTY3OH5-board"

Respond = Callable[[httpx.Request], httpx.Response]


def event(kind: str, at: float, *, session: str = BOARD, connection: str = "c1", **more: Any) -> bytes:
    body: dict[str, Any] = {"sessionId": session, "projectId": KEY, "event": kind, "timestamp": round(at * 1000)}
    if kind.startswith("connection"):
        body["connection"] = {"id": connection, "createdAt": round(at * 1000), "data": ""}
    return json.dumps({**body, **more}).encode()


def left(at: float, connection: str, reason: str = "networkDisconnected") -> bytes:
    return event("connectionDestroyed", at, connection=connection, reason=reason)


class Hall:
    """A source that is posted to, with REST as scripted."""

    def __init__(self, respond: Respond | None = None, **project_: Any) -> None:
        self.clock = HandClock(EPOCH)
        self.vendor = Vendor(respond or (lambda request: answer({"message": "no"}, status=404, at=self.clock.now())))
        hooks = {"token": Secret.of(TOKEN), **project_.pop("hooks", {})}
        settings = account({"hooks": hooks, **project_})
        needed = frozenset({"users", "disconnect_ratio"})
        self.source: VonageSource = open_source(settings, needed, clock=self.clock, transport=self.vendor.transport())
        self.live: Live = self.source.live["classroom"]
        self.query = next(q for q in self.source.queries if q.id.endswith("/live"))

    def post(self, body: bytes, *, token: str = TOKEN, authorization: str | None = None) -> Heard | None:
        return self.source.hear(token, authorization, body)

    async def ratios(self) -> list[tuple[int, float, float]]:
        """What a look tells of disconnects."""
        told = await self.source.look(self.query, None, FakePurse(extra=20))
        return [
            (int(start - EPOCH), float(value), float(weight))
            for points in told.points
            if points.weight is not None
            for start, value, weight in zip(points.start, points.value, points.weight, strict=True)
        ]


async def test_events_in_any_order_and_number_mean_the_same() -> None:
    """Shuffled and doubled, they give one picture: who is there, and which share of endings was the network's."""
    events = [
        event("sessionCreated", EPOCH),
        *(event("connectionCreated", EPOCH + i, connection=f"c{i}") for i in range(8)),
        left(EPOCH + 30, "c0"),
        left(EPOCH + 31, "c1"),
        left(EPOCH + 32, "c2", "clientDisconnected"),
        left(EPOCH + 70, "c3", "forceDisconnected"),
    ]
    pictures = set()
    for seed in range(40):
        hall = Hall()
        hall.clock.advance(130)
        posts = events + random.Random(seed).sample(events, 5)
        random.Random(seed + 1000).shuffle(posts)
        for body in posts:
            assert hall.post(body) is Heard.TAKEN
        hall.clock.advance(20)
        room = hall.live._rooms[BOARD]
        pictures.add((tuple(await hall.ratios()), tuple(sorted(room.connected))))
    assert pictures == {(((0, 2 / 3, 3.0), (60, 0.0, 1.0)), ("c4", "c5", "c6", "c7"))}


async def test_a_window_without_endings_has_no_ratio() -> None:
    """Nobody left: there is no share of nothing."""
    hall = Hall()
    hall.post(event("connectionCreated", EPOCH))
    hall.clock.advance(300)
    assert await hall.ratios() == []


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        (b"", Heard.MALFORMED),
        (b"[1]", Heard.MALFORMED),
        (b"{" * 10_000, Heard.MALFORMED),
        (b'{"event": "sessionCreated"}', Heard.MALFORMED),
        (b"x" * (live_module.MAX_BODY + 1), Heard.MALFORMED),
        (event("archiveStarted", EPOCH), Heard.IGNORED),
        (event("sessionCreated", EPOCH, session="x"), Heard.IGNORED),
        (event("sessionCreated", EPOCH, projectId="87654321"), Heard.IGNORED),
        (b'{"event": "connectionCreated", "sessionId": "2_MX4", "connection": {"id": null}}', Heard.TAKEN),
        (event("streamCreated", EPOCH, stream={"id": "s"}), Heard.TAKEN),
        (event("connectionDestroyed", 9e12), Heard.TAKEN),
    ],
)
def test_posts_that_are_none(body: bytes, outcome: Heard) -> None:
    """What cannot be read is refused, what is of no use is thanked for, and neither crashes."""
    assert Hall().post(body) is outcome


def test_an_unknown_token_is_nobodys() -> None:
    """The path's token is the address's secret."""
    assert Hall().post(event("sessionCreated", EPOCH), token="another-token-of-16") is None


def signed(body: bytes, *, secret: str = SIGNATURE, **claims: Any) -> str:
    own = {"iss": "Vonage", "iat": int(EPOCH), "payload_hash": hashlib.sha256(body).hexdigest(), **claims}
    return "Bearer " + jwt.encode(own, secret, algorithm="HS256")


@pytest.mark.parametrize(
    ("authorization", "good"),
    [
        (signed(event("sessionCreated", EPOCH)), True),
        (None, False),
        ("Bearer nonsense", False),
        ("Basic abc", False),
        (signed(event("sessionCreated", EPOCH), secret="another-secret-of-enough-characters"), False),
        (signed(b"another body"), False),
        (signed(event("sessionCreated", EPOCH), payload_hash=None), False),
        (signed(event("sessionCreated", EPOCH), iat=int(EPOCH) - 2 * 86_400), False),
    ],
)
def test_signed_posts(authorization: str | None, good: bool) -> None:
    """With a signature secret, only a token of that secret over this very body is believed."""
    hall = Hall(hooks={"signature": Secret.of(SIGNATURE)})
    outcome = hall.post(event("sessionCreated", EPOCH), authorization=authorization)
    assert outcome is (Heard.TAKEN if good else Heard.FORGED)


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions, connections and endings have their limits, and what those cost is counted."""
    monkeypatch.setattr(live_module, "MAX_SESSIONS", 5)
    monkeypatch.setattr(live_module, "MAX_CONNECTIONS", 3)
    monkeypatch.setattr(live_module, "MAX_ENDED", 4)
    hall = Hall()
    for i in range(10):
        hall.post(event("connectionCreated", EPOCH, session=f"{BOARD}{i}"))
        hall.post(event("connectionCreated", EPOCH, connection=f"c{i}"))
        hall.post(left(EPOCH, f"gone{i}"))
    assert len(hall.live._rooms) == 5
    assert max(len(room.connected) for room in hall.live._rooms.values()) <= 3
    assert len(hall.live._ended) == 4
    assert hall.live.dropped > 10


@pytest.mark.parametrize(
    ("replies", "live"),
    [
        ([answer({"count": 1, "items": [{"connectionId": "c9", "connectionState": "Connected"}]})], True),
        ([answer({"count": 1, "items": [{"connectionId": "c9", "connectionState": "Disconnected"}]})], False),
        ([answer({"count": 0})], False),
        ([answer({"message": "Session not found"}, status=404)], False),
        ([answer({"message": "Invalid session"}, status=408)], False),
        ([answer({"count": "many", "items": 7})], False),
    ],
)
async def test_what_rest_says_of_a_named_session(replies: list[httpx.Response], live: bool) -> None:
    """Connected is live, 404 is idle, 408 is a bad id: all of them are answers."""
    hall = Hall(lambda request: replies[0], channels={"board": BOARD})
    await hall.ratios()
    assert hall.live.connected(BOARD) is live
    assert hall.vendor.requests[0].url.path == f"/v2/project/{KEY}/session/{BOARD}/connection"


async def test_rest_corrects_what_webhooks_missed() -> None:
    """A lost `connectionDestroyed` is found out by the list; a session that REST calls empty is over."""
    hall = Hall(lambda request: answer({"count": 0, "items": []}, at=EPOCH))
    hall.post(event("connectionCreated", EPOCH))
    assert hall.live.connected(BOARD)
    hall.clock.advance(live_module.STALE + 60)
    await hall.ratios()
    assert not hall.live.connected(BOARD)
    assert [name for name, *_ in hall.live.sessions(hall.clock.now(), linger=600)] == [BOARD]
    assert list(hall.live.sessions(hall.clock.now() + 3600, linger=600)) == []


async def test_the_stream_list_stands_in_for_a_missing_connection_list() -> None:
    """Where connections are not offered, streams tell that somebody is there."""
    answers = itertools.cycle(
        [answer({}, status=404), answer({"count": 1, "items": [{"id": "s"}]}), answer({"count": 0})]
    )
    hall = Hall(lambda request: next(answers), channels={"board": BOARD})
    hall.post(event("connectionCreated", EPOCH))
    await hall.ratios()
    assert hall.live.connected(BOARD)
    hall.clock.advance(60)
    await hall.ratios()
    assert not hall.live.connected(BOARD)
    assert [r.url.path.rpartition("/")[2] for r in hall.vendor.requests] == ["connection", "stream", "stream"]


@pytest.mark.parametrize(("mode", "worst"), [("per_sample", 12), ("after_meeting_end", 40)])
async def test_sessions_heard_of_are_asked_for_when_they_can_be_shown(mode: str, worst: int) -> None:
    """Thirty sessions known by webhooks alone are read, and none is asked for before Insights may have it."""
    clock = VirtualClock(epoch=NOON, jumping=True)
    rooms = [
        {"name": f"r{i}", "meetings": [{"start": "+12h1m", "duration": "20m", "participants": 3}]} for i in range(30)
    ]
    data = plain(projects=[project(sessions=rooms, visibility={"mode": mode})])
    stage = Stage(clock, data, account({"summaries": False, "hooks": {"token": Secret.of(TOKEN)}}))
    ids = [stage.emulator.session_id("classroom", f"r{i}") for i in range(30)]
    for minute in range(75):
        for session_id in ids if minute in (2, 22) else ():
            body = event("connectionCreated", NOON + 120, session=session_id)
            gone = event("connectionDestroyed", NOON + 1260, session=session_id, reason="clientDisconnected")
            assert stage.source.hear(TOKEN, None, body if minute == 2 else gone) is Heard.TAKEN
        await stage.look()
        await clock.sleep_until(clock.now() + 60)
    rows = stage.rows(NOON)["publisher"]
    assert rows["handed_out"] == rows["visible"] > 3000
    assert max(purse.spent for purse in stage.purses) <= worst
    assert stage.oddities().get("unknown_session", 0) <= 3 * 8


async def test_nothing_to_ask_costs_nothing() -> None:
    """Without named or doubtful sessions the look's spend is given back."""
    hall = Hall()
    purse = FakePurse()
    await hall.source.look(hall.query, None, purse)
    assert (purse.refunds, hall.vendor.requests) == (1, [])


async def test_a_named_session_is_live_by_the_emulators_word() -> None:
    """Against the emulated vendor: live while the call runs, idle before and after."""
    clock = VirtualClock(epoch=NOON, jumping=True)
    stage = Stage(clock, plain(projects=[project()]))
    board = stage.emulator.session_id("classroom", "board")
    stage.settings = account({"channels": {"lecture": board}})
    live = stage.open().live["classroom"]
    await stage.look("live")
    assert live.connected(board)
    await clock.sleep_until(NOON + 2 * 3600)
    await stage.look("live")
    assert not live.connected(board)
