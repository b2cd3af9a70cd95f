"""Who is affected: one call of a thousand users within a cap on requests, and the real-time groups of a slot."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.providers.agora.stage import T, body, call, listed, purse, series, session, source, vendor
from tests.providers.doubles import APP, answer
from watcher.model import Span
from watcher.providers.agora.client import Place
from watcher.providers.agora.inspector.drilldown import Picture, drill_down
from watcher.providers.agora.inspector.settings import CallInspector
from watcher.providers.agora.source import AgoraSource
from watcher.providers.agora.values import Oddity, Row, Tally

SPAN = Span(T - 600, T - 300)
LISTING = Span(T - 3600, T - 60)
OLD, NEW = "4.1.0", "4.2.1"


def crowd(users: int) -> dict[str, Any]:
    """A call in which every fourth user has a new SDK and loses 22 %, the others 1 %."""
    there = [session(f"S{n:04}", uid=2**31 + n, sdk_version=NEW if n % 4 == 0 else OLD) for n in range(users)]
    sdk = {user["sid"]: user["sdk_version"] for user in there}

    def sessions(request: httpx.Request) -> dict[str, Any]:
        first = (int(request.url.params["page_no"]) - 1) * 100
        return body("call_info", there[first : first + 100], total_size=users)

    def metrics(request: httpx.Request) -> dict[str, Any]:
        rows = [
            {"sid": sid, "data": [series(20018, 1, [(T - 590, 22 if sdk[sid] == NEW else 1)])]}
            for sid in request.url.params["sids"].split(",")
        ]
        return body("metrics", rows)

    calls = [call("small"), call("large", call_pcu=users)]
    return {"lists": lambda _: listed(*calls), "sessions": sessions, "metrics": metrics}


async def drill(agora: AgoraSource, most: int, granted: int, tally: Tally) -> tuple[Picture | None, int]:
    """A picture, and what it spent."""
    spent = purse(granted)
    wish = CallInspector(requests_per_day=1000)
    found = await drill_down(agora.inspector, APP, LISTING, SPAN, wish, spent, tally, most=most)
    return found, spent.spent


async def test_a_call_of_a_thousand_users_is_sixty_one_requests() -> None:
    """One list, ten pages of sessions, fifty of metrics; grouped by SDK, the worst first, with its users."""
    wire = vendor(crowd(1000))
    tally = Tally()
    found, spent = await drill(source(wire), 61, 61, tally)
    assert found is not None
    assert (found.requests, spent, len(wire.requests)) == (61, 61, 61)
    assert (len(found.sessions), found.share, dict(tally)) == (1000, 1.0, {})
    rows = found.rows("Native", "video_packet_loss_ratio", "sdk")
    assert [(row.dimension, row.value, row.users) for row in rows] == [("sdk", NEW, 250.0), ("sdk", OLD, 750.0)]
    assert [row.metric for row in rows] == pytest.approx([0.22, 0.01])
    assert found.rows("WebRTC", "video_packet_loss_ratio", "sdk") == ()


@pytest.mark.parametrize("cap", [2, 11, 12, 40, 60])
@pytest.mark.parametrize("by_purse", [True, False])
async def test_the_cap_is_kept_to_the_request(cap: int, by_purse: bool) -> None:
    """Whether it is the caller's or the purse's; what was read says how much of the call it is."""
    wire = vendor(crowd(1000))
    tally = Tally()
    found, spent = await drill(source(wire), 1000 if by_purse else cap, cap if by_purse else 1000, tally)
    assert found is not None
    assert found.requests == spent == len(wire.requests) == cap
    read = 20 * max(0, cap - 11)
    assert len(found.read) == read
    assert tally[Oddity.UNREAD] == (len(found.sessions) - read if len(found.sessions) else 0)


async def test_a_percentage_is_no_fraction_here_either() -> None:
    """Then a call as a whole tells no loss, and how many values say so."""
    tally, wish = Tally(), CallInspector(requests_per_day=1000, loss="ratio")
    client = source(vendor(crowd(40))).inspector
    found = await drill_down(client, APP, LISTING, SPAN, wish, purse(9), tally, most=9)
    assert found is not None
    assert found.rows("Native", "video_packet_loss_ratio", "sdk") == ()
    assert tally == {Oddity.LOSS_UNIT: 40}


async def test_nothing_runs() -> None:
    """Then the list is all that was asked."""
    wire = vendor({"lists": lambda _: listed()})
    assert await drill(source(wire), 10, 10, Tally()) == (None, 1)


async def test_a_page_that_repeats_ends_the_pages() -> None:
    """Whatever the vendor says of how many there are."""
    own = crowd(1000)
    page = own["sessions"](httpx.Request("GET", "https://api.example.com/", params={"page_no": "1"}))
    wire = vendor(own | {"sessions": lambda _: page})
    tally = Tally()
    found, _ = await drill(source(wire), 100, 100, tally)
    assert found is not None
    assert len(found.sessions) == 100
    assert tally[Oddity.REPEATED] == 100
    assert sum(r.url.path.endswith("sessions") for r in wire.requests) == 2


async def test_a_breakdown_of_a_slot() -> None:
    """A request for each dimension; where the purse refuses, what is known so far, and how many are missing."""

    def groups(request: httpx.Request) -> dict[str, Any]:
        name = request.url.params["dimension"]
        rows = [{"videoFreezeRate": rate, name: f"{name}{rate}", "userCount": 5} for rate in (0.1, 0.3)]
        return {"code": 200, "data": {"list": rows}}

    path = "/beta/realtime/quality/dimension/top20"
    wire = vendor({path: groups})
    api = source(wire).client
    place = Place(app_id=APP, product="Native")
    tally = Tally()
    rows, tally = await api.breakdown(place, "video_freeze_ratio", T - 60, ["sdk", "net", "os"], purse(2))
    assert [(r.dimension, r.value, r.users, r.metric) for r in rows] == [
        ("sdk", "sdk0.3", 5.0, 0.3),
        ("sdk", "sdk0.1", 5.0, 0.1),
        ("net", "net0.3", 5.0, 0.3),
        ("net", "net0.1", 5.0, 0.1),
    ]
    assert tally == {Oddity.UNREAD: 1}
    assert len(wire.requests) == 2
    usage = vendor(
        {
            "/beta/realtime/usage/dimension/top20": lambda _: answer(
                {"code": 200, "data": {"list": [{"userCount": 7, "os": "Android"}]}}, at=T
            )
        }
    )
    rows, _ = await source(usage).client.breakdown(place, "users", T - 60, ["os"], purse(1))
    assert rows == (Row(dimension="os", value="Android", users=7.0, metric=7.0),)
