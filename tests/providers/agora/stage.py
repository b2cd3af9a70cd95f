"""A recorded vendor: Call Inspector's answers by path, in the shape of the documentation's examples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import httpx

from tests.providers.doubles import FakePurse, HandClock, Vendor, account, answer
from watcher.model import Query
from watcher.providers.agora.source import AgoraSource, open_source

T = 1_767_225_600  # a midnight, so on every grid
CALLS = {"requests_per_day": 900, "calls": 2, "users_per_call": 3}
PATH = "/beta/analytics/call/"

Answers = Mapping[str, Callable[[httpx.Request], Any]]
"""Last part of the path -> the JSON body, bytes, or a whole response."""


def call(id_: str, **changes: Any) -> dict[str, Any]:
    """A running call of the last ten minutes."""
    own = {
        "call_id": id_,
        "cname": f"room-{id_}",
        "created_ts": T - 900,
        "destroyed_ts": 0,
        "finished": False,
        "call_pcu": 10,
        "call_acu": 12,
        "call_audio_freeze_rate": 0.01,
        "call_video_freeze_rate": 0.02,
    }
    return own | changes


def session(sid: str, **changes: Any) -> dict[str, Any]:
    """A user who is there."""
    own = {
        "sid": sid,
        "cname": "room",
        "uid": 2_963_430_861,
        "account": f"user-{sid}",
        "network": "Wi-Fi",
        "platform": "Android",
        "speaker": True,
        "roles": ["SPEAKER"],
        "sdk_version": "4.2.1",
        "device_type": "Android (13)",
        "join_ts": T - 900,
        "leave_ts": 0,
        "finished": False,
        "user_audio_freeze_rate": 0.01,
        "user_video_freeze_rate": 0.03,
    }
    return own | changes


def series(mid: int, peer: Any, pairs: Iterable[Iterable[Any]]) -> dict[str, Any]:
    """One metric of one session."""
    return {"mid": mid, "kvs": [list(pair) for pair in pairs], "peer_uid": peer}


def listed(*calls: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A page of calls."""
    return body("call_lists", list(calls), total_size=len(calls), page_no=1, page_size=100, has_more=False) | more


def body(key: str, rows: Any, **more: Any) -> dict[str, Any]:
    """A success."""
    return {"code": 200, "message": "", "requestId": "15c99", key: rows, **more}


def vendor(answers: Answers) -> Vendor:
    """Answers by the last part of the path; what is not named is an unknown path."""

    def respond(request: httpx.Request) -> httpx.Response:
        name = request.url.path.removeprefix(PATH).removeprefix("/beta/insight/")
        if name not in answers:
            return answer({"message": "no Route matched with those values"}, status=404, at=T)
        found = answers[name](request)
        return found if isinstance(found, httpx.Response) else answer(found, at=T)

    return Vendor(respond)


def source(
    vendor: Vendor, clock: HandClock | None = None, needed: Iterable[str] = (), **changes: object
) -> AgoraSource:
    """An open source that samples calls."""
    wish = {"call_inspector": CALLS} | changes
    return open_source(account(**wish), frozenset(needed), clock=clock or HandClock(T), transport=vendor.transport())


def query(agora: AgoraSource, end: str = "calls") -> Query:
    """The query of a family, by the end of its id."""
    return next(q for q in agora.queries if q.id.endswith(end))


def purse(requests: int) -> FakePurse:
    """As many requests as this in all."""
    return FakePurse(extra=requests - 1)
