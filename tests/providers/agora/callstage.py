"""A recorded call of any size, and how to read it: what tests of one call share."""

from __future__ import annotations

from typing import Any

import httpx

from tests.providers.agora.stage import PATH, T, body, call, listed, purse, series, session
from tests.providers.doubles import Vendor
from watcher.calls import CallView, CallWish
from watcher.model import Span
from watcher.providers.agora.source import AgoraSource

LATE = "Call Inspector is 150 s behind on premium"
END = T - 180  # the newest whole minute that is told on Premium, 150 s late
WHOLE = ["lists", "sessions", *["statistics/time"] * 3, "freeze/bucket", *["statistics"] * 6, "metrics"]
SPENT = "not asked, since the requests or the time allowed were spent: "


def room(users: int = 3, **changes: Any) -> dict[str, Any]:
    """A call of some users: user n froze for n thousandths of the video and lost n per cent of it, at most 99."""
    there = [
        session(f"S{n:04}", uid=n, user_video_freeze_rate=n / 1000, user_audio_freeze_rate=0.0)
        for n in range(1, users + 1)
    ]

    def sessions(request: httpx.Request) -> dict[str, Any]:
        first = (int(request.url.params["page_no"]) - 1) * 100
        return body("call_info", there[first : first + 100], total_size=users)

    def metrics(request: httpx.Request) -> dict[str, Any]:
        sids = request.url.params["sids"].split(",")
        rows = [{"sid": sid, "data": [series(20018, 9, [(END - 90, int(sid[1:]) % 100)])]} for sid in sids]
        return body("metrics", rows)

    def minutes(request: httpx.Request) -> dict[str, Any]:
        value = users if request.url.params["metric"] == "user_count" else 0.25
        return body("data", [{"ts": END - 60, "value": value}, {"ts": END - 120, "value": 0}])

    def groups(request: httpx.Request) -> dict[str, Any]:
        name = request.url.params["dimension"]
        return body(
            "data", [{"dimension_value": f"{name}{n}", "user_count": n, "value": n / 100} for n in range(1, 31)]
        )

    return {
        "lists": lambda _: listed(call("a", cname="room")),
        "sessions": sessions,
        "metrics": metrics,
        "statistics/time": minutes,
        "freeze/bucket": lambda _: body("data", [{"bucket": "[3%,5%)", "user_count": 2}]),
        "statistics": groups,
    } | changes


def wish(**changes: Any) -> CallWish:
    """The latest call of a channel."""
    return CallWish(**{"channel": "room", "project": "classroom"} | changes)


async def read(agora: AgoraSource, **changes: Any) -> CallView:
    """A call that is found, with as many requests as are wished."""
    own = wish(**changes)
    found = await agora.read_call(own, purse(own.requests))
    assert found is not None
    return found


def asked(wire: Vendor) -> list[str]:
    """What was asked, in order."""
    return [request.url.path.removeprefix(PATH) for request in wire.requests]


def span_of(request: httpx.Request) -> Span:
    """What a request was about."""
    return Span(int(request.url.params["start_ts"]), int(request.url.params["end_ts"]))
