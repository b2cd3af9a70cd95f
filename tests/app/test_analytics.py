"""The client of Call Inspector and Data Insights against the emulator: two readings of one dossier meet.

Each was written without the other. Where the dossier contradicts itself the emulator has a switch, and the client has
to come to the same figures whichever way it is set, or to count what it does not take.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import pytest

from tests.app.world import Wire
from tests.providers.doubles import APP, CUSTOMER, SECRET, FakePurse, account
from watcher.clock import DAY, HOUR, VirtualClock
from watcher.emulator.agora import Emulator, build_agora
from watcher.emulator.scenario import reads
from watcher.errors import ProviderError, Reason
from watcher.model import Span
from watcher.providers.agora.insights.client import Dimension as InsightDimension
from watcher.providers.agora.insights.client import InsightClient
from watcher.providers.agora.insights.settings import METRICS
from watcher.providers.agora.inspector.client import Dimension, Freeze, InspectorClient, PerMinute
from watcher.providers.agora.inspector.figures import WANTED
from watcher.providers.agora.inspector.rows import Session
from watcher.providers.agora.inspector.streams import MIDS
from watcher.providers.agora.settings import AgoraAccount
from watcher.providers.agora.source import open_source
from watcher.providers.agora.values import Oddity, Tally

NOON = 1_767_268_800
DAYS = Span(NOON // DAY * DAY - 4 * DAY, NOON // DAY * DAY - 2 * DAY)
LISTED, READ = Span(NOON - HOUR, NOON - 30), Span(NOON - 900, NOON - 160)
OFTEN = {"per_second": 1000, "per_minute": 1000, "per_day": 1_000_000}


@dataclass(frozen=True)
class Stand:
    """Client and emulator, face to face."""

    emulator: Emulator
    inspector: InspectorClient
    insights: InsightClient
    purse: FakePurse
    tally: Tally

    async def room(self) -> str:
        """The id of the call in the named channel."""
        found = await self.inspector.lists(APP, LISTED, self.purse, self.tally, channel="room")
        return found.calls[0].id


@asynccontextmanager
async def stand(
    *, answers: Mapping[str, Any] | None = None, faults: list[dict[str, Any]] | None = None, plan: str = "premium"
) -> AsyncIterator[Stand]:
    """A project with one call that everybody is in for hours, and small ones, at noon; no quotas."""
    clock = VirtualClock(epoch=float(NOON), jumping=True)
    story = {
        "faults": faults or [],
        "incidents": [{"project": "classroom", "start": "-3h", "duration": "4h", "levels": {"videoPacketLoss": "12%"}}],
        "accounts": [
            {
                "name": "acme",
                "customer_id": CUSTOMER,
                "customer_secret": SECRET,
                "plan": plan,
                "limits": {"call_lists": OFTEN, "call_details": OFTEN, "insight": OFTEN},
                "answers": dict(answers or {}),
                "projects": [
                    {
                        "name": "classroom",
                        "app_id": APP,
                        "products": {"Native": {"peak_users": 200}, "WebRTC": {"peak_users": 60}},
                        "calls": {"length": "24h"},
                        "channels": [{"name": "room", "share": "60%"}],
                    }
                ],
            }
        ],
    }
    emulator = build_agora(reads(json.dumps(story), epoch=float(NOON)), clock)
    settings: AgoraAccount = account(plan=plan, call_inspector={"requests_per_day": 1000})
    source = open_source(settings, frozenset(), clock=clock, transport=Wire(emulator))
    try:
        yield Stand(emulator, source.inspector, source.insights, FakePurse(extra=10_000), Tally())
    finally:
        await source.aclose()


async def calls(here: Stand) -> dict[str, Any]:
    """What the client makes of every call of Call Inspector."""
    purse, tally, inspector = here.purse, here.tally, here.inspector
    listed = await inspector.lists(APP, LISTED, purse, tally)
    room = next(call for call in listed.calls if call.channel == "room")
    users: list[Session] = []
    for number in range(1, 10):
        got = await inspector.sessions(APP, room.id, READ, purse, tally, page=number)
        users += got.sessions
        if got.page.last:
            break
    talking = [session.sid for session in users if session.speaker]
    streams = await inspector.metrics(APP, room.id, READ, talking[:20], purse, tally)
    return {
        "calls": [(call.id, call.created, call.peak_users, call.runs_in(*READ)) for call in listed.calls],
        "users": [(session.sid, session.uid, session.is_web, session.there_in(*READ)) for session in users],
        "mids": {(stream.mid, stream.web) for stream in streams},
        "loss": {stream.mid: float(np.mean(stream.value)) for stream in streams if "loss" in MIDS[stream.mid].meaning},
        "frozen": [call.video_freeze for call in listed.calls],
        "groups": [
            await inspector.statistics(APP, room.id, READ, "video_freeze_rate", dimension, purse, tally)
            for dimension in get_args(Dimension)
        ],
        "buckets": [
            [(bucket.name, bucket.users) for bucket in found if bucket.users]
            for metric in get_args(Freeze)
            for found in [await inspector.freeze_buckets(APP, room.id, READ, metric, purse, tally)]
        ],
        "minutes": {
            metric: (await inspector.by_minute(APP, room.id, READ, metric, purse, tally)).value.tolist()
            for metric in get_args(PerMinute)
        },
    }


async def days(here: Stand) -> dict[str, Any]:
    """What the client makes of Data Insights, by day and by group."""
    found: dict[str, Any] = {}
    for signal, metric in METRICS.items():
        column = await here.insights.by_time(APP, signal, "Native", DAYS, "1d", here.purse, here.tally)
        found[signal] = column.value.tolist()
        whole = await here.insights.by_group(APP, signal, "Native", DAYS, here.purse, here.tally)
        found[f"{signal} as a whole"] = [group.value for group in whole]
        if not metric.other:
            groups = await here.insights.by_group(
                APP, signal, "Native", DAYS, here.purse, here.tally, dimension="sdk", names=("4.1.1", "3.6.1.1")
            )
            found[f"{signal} by sdk"] = [(group.name, group.value) for group in groups]
    return found


_usual: list[tuple[dict[str, Any], dict[str, Any]]] = []


async def usual() -> tuple[dict[str, Any], dict[str, Any]]:
    """Calls and days where the vendor has no whims; it says the same every time, so it is asked once."""
    if not _usual:
        async with stand() as here:
            _usual.append((await calls(here), await days(here)))
    return _usual[0]


async def test_every_call_is_understood() -> None:
    """All calls, all metric ids, all metrics: nothing is odd, nothing empty, and Native and Web are told apart."""
    async with stand() as here:
        found = await calls(here)
        by_day = await days(here)
        assert not here.tally
    assert {mid for mid, web in found["mids"] if not web} == set(MIDS) - {20013, 20036, 20037, 20038}
    assert {mid for mid, web in found["mids"] if web} == set(MIDS) - {20013, 20005, 20015, 20017, 20018}
    assert all(4 < found["loss"][mid] < 25 for mid in (20017, 20018, 20036, 20038))
    assert all(found["loss"][mid] < 1 for mid in (20015, 20016, 20037))
    assert all(len(groups) >= 4 for groups in found["groups"])
    assert all(found["buckets"])
    assert [len(values) for values in found["minutes"].values()] == [12] * 5
    assert all(by_day.values())
    assert all(len(values) == 2 for signal, values in by_day.items() if " " not in signal)


ALIKE = [
    {"call_success": "0"}, {"call_acu": "average"}, {"live_destroyed": "null"}, {"live_destroyed": "zero"},
    {"total_size": "page"}, {"session_has_more": True}, {"uid": "string"}, {"roles": "string"},
    {"empty_buckets": True}, {"product_type": "optional"}, {"peaks": "concurrent"},
    {"empty_quality": "null"},
]  # fmt: skip


@pytest.mark.parametrize("answers", ALIKE, ids=lambda answers: "-".join(f"{k}-{v}" for k, v in answers.items()))
async def test_contradictions_that_change_nothing(answers: dict[str, Any]) -> None:
    """Whichever way the vendor writes it, the client comes to the same figures at most counting texts for numbers."""
    async with stand(answers=answers) as other:
        assert (await calls(other), await days(other)) == await usual()
        assert set(other.tally) <= {Oddity.TEXT_NUMBER}


@pytest.mark.parametrize(
    ("answers", "more", "fewer"),
    [
        ({}, set(), {20013}),
        ({"picture_qp": True}, {20013}, set()),
        ({"memory": False}, set(), {20013, 20039, 20040}),
        ({"streams": "high_first"}, set(), {20013}),
    ],
    ids=["default", "picture_qp", "memory", "streams"],
)
async def test_metric_ids_of_one_page_only(answers: dict[str, Any], more: set[int], fewer: set[int]) -> None:
    """They are known where they come and not missed where they do not; ids are kept as they came."""
    async with stand(answers=answers) as here:
        streams = await here.inspector.metrics(
            APP, await here.room(), READ, await speakers(here), here.purse, here.tally
        )
        assert not here.tally
    came = {stream.mid for stream in streams}
    assert more <= came
    assert not fewer & came
    assert {20001, 20006, 20024} <= came
    high, low = [np.mean(np.concatenate([s.value for s in streams if s.mid == mid])) for mid in (20024, 20006)]
    assert bool(high > 5 * low) is (answers.get("streams") != "high_first")
    assert not {20006, 20024} & WANTED  # so no signal depends on which of them is which


async def test_the_other_spelling_of_the_peaks_is_found() -> None:
    """A server that knows peakCurrent only costs one further request, once; the figures are the same."""
    async with stand() as usual, stand(answers={"peaks": "current"}) as other:
        for here in (usual, other):
            for _ in range(2):
                await here.insights.by_time(APP, "daily_peak_users", "", DAYS, "1d", here.purse, here.tally)
        assert (usual.purse.spent, other.purse.spent) == (1, 2)
        assert other.tally == {Oddity.OTHER_NAME: 1}


async def test_rates_in_percent_are_no_rates() -> None:
    """A freeze rate above 1 cannot be one: it is left out and counted, never read as a hundred times too much."""
    async with stand(answers={"call_rates": "percent"}) as here:
        found = await calls(here)
        assert here.tally[Oddity.IMPOSSIBLE] > 0
        assert found["loss"]
        assert all(rate is None or rate <= 1 for rate in found["frozen"])


async def test_days_that_begin_in_china_keep_their_stamps() -> None:
    """The client returns what the vendor says: 16:00 UTC."""
    async with stand(answers={"day": "utc+8"}) as here:
        column = await here.insights.by_time(APP, "daily_users", "", DAYS, "1d", here.purse, here.tally)
        assert [at % DAY // HOUR for at in column.start.tolist()] == [16, 16, 16]


@pytest.mark.parametrize(("known", "further"), [("both", 0), ("long", 1), ("short", 2)])
async def test_both_spellings_of_dimensions(known: str, further: int) -> None:
    """The vendor's pages disagree about two of them: on code 400 the other one is tried, once for all that follow."""

    asked: list[tuple[str, InsightDimension, tuple[str, ...]]] = [
        ("daily_video_freeze_ratio", "sdk", ()),
        ("daily_audio_freeze_ratio", "net", ()),
        ("daily_users", "sdk", ("4.1.1",)),
        ("daily_users", "os", ()),
    ]

    async def ask(here: Stand) -> list[Any]:
        return [
            await here.insights.by_group(
                APP, signal, "Native", DAYS, here.purse, here.tally, dimension=dimension, names=names
            )
            for _ in range(2)
            for signal, dimension, names in asked
        ]

    async with stand() as usual, stand(answers={"dimensions": known}) as here:
        found = await ask(here)
        assert all(found)
        assert found == await ask(usual)
        assert here.purse.spent == usual.purse.spent + further
        assert here.tally == ({Oddity.OTHER_NAME: further} if further else {})


async def test_the_other_spelling_of_a_peak_as_a_whole() -> None:
    """Aggregation knows the peaks by the same names as days do, and what one has learned serves the other."""
    async with stand() as usual, stand(answers={"peaks": "current"}) as other:
        found = [
            await here.insights.by_group(APP, "daily_peak_users", "", DAYS, here.purse, here.tally)
            for here in (usual, other, other)
        ]
        assert found[0]
        assert found[0] == found[1] == found[2]
        await other.insights.by_time(APP, "daily_peak_users", "", DAYS, "1d", other.purse, other.tally)
        assert (usual.purse.spent, other.purse.spent) == (1, 2)  # the first of a look is spent already
        assert other.tally == {Oddity.OTHER_NAME: 1}


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ({"kind": "qps"}, Reason.RATE), ({"kind": "qpd"}, Reason.DAY_QUOTA), ({"kind": "no_auth"}, Reason.PLAN),
        ({"kind": "http_429"}, Reason.RATE), ({"kind": "http_401"}, Reason.AUTH), ({"kind": "http_502"}, Reason.SERVER),
        ({"kind": "code_500"}, Reason.SERVER), ({"kind": "html"}, Reason.MALFORMED),
        ({"kind": "truncated"}, Reason.MALFORMED),
    ],
    ids=lambda given: given["kind"] if isinstance(given, dict) else "",
)  # fmt: skip
async def test_refusals_have_their_reasons(kind: dict[str, Any], reason: Reason) -> None:
    """Each family refuses in the same words, and the client hears them alike."""
    async with stand(faults=[kind]) as here:
        for ask in (
            lambda: here.inspector.lists(APP, LISTED, here.purse, here.tally),
            lambda: here.inspector.metrics(APP, "c1", READ, ["s1"], here.purse, here.tally),
            lambda: here.inspector.freeze_buckets(APP, "c1", READ, "video_freeze_rate", here.purse, here.tally),
            lambda: here.insights.by_time(APP, "daily_users", "", DAYS, "1d", here.purse, here.tally),
            lambda: here.insights.by_group(APP, "daily_users", "", DAYS, here.purse, here.tally),
        ):
            with pytest.raises(ProviderError) as refused:
                await ask()
            assert refused.value.reason is reason


@pytest.mark.parametrize("kind", ["shuffled", "duplicates", "null_values", "holes", "data_null", "data_empty"])
async def test_odd_rows_are_counted_or_put_in_order(kind: str) -> None:
    """No order is no matter; what is double, null or missing is left out; none of it raises."""
    async with stand() as usual, stand(faults=[{"kind": kind, "where": {"endpoint": ["call_metrics"]}}]) as bent:
        whole, found = [
            await here.inspector.metrics(
                APP, await here.room(), READ, await speakers(here), here.purse, here.tally, wanted=[20018]
            )
            for here in (usual, bent)
        ]
        pairs = [{(s.sid, s.peer, at) for s in streams for at in s.at.tolist()} for streams in (whole, found)]
        assert pairs[1] <= pairs[0]
        if kind in ("shuffled", "duplicates"):
            assert pairs[1] == pairs[0]
            assert bent.tally
        elif kind in ("data_null", "data_empty"):
            assert not pairs[1]
        else:
            assert 0 < len(pairs[1]) < len(pairs[0])


async def speakers(here: Stand) -> list[str]:
    """Sessions of those who send."""
    page = await here.inspector.sessions(APP, await here.room(), READ, here.purse, here.tally)
    return [session.sid for session in page.sessions if session.speaker]
