"""One call of the emulated Agora, read as whoever was paged does: within the account's budget, and what it shows."""

from __future__ import annotations

from typing import Any

import pytest

from tests.app.world import Wire, spent
from tests.budget.doubles import MemoryStore
from tests.emulator import helpers
from tests.emulator.helpers import APP, NOON, plain, project, scenario
from tests.providers.doubles import FakePurse, account
from watcher.budget.ledger import Ledger
from watcher.budget.purse import LookPurse
from watcher.calls import CallView, CallWish
from watcher.clock import HOUR, VirtualClock
from watcher.emulator.agora import Emulator, build_agora
from watcher.errors import ProviderError, Reason
from watcher.model import Dimension, Spend
from watcher.providers.agora import AGORA
from watcher.providers.agora.settings import AgoraAccount
from watcher.providers.agora.source import AgoraSource, open_source
from watcher.secret import Secret
from watcher.workers import InlineWorkers

LATE = "Call Inspector is 150 s behind on premium"


@pytest.fixture
def now() -> VirtualClock:
    """Ten minutes past noon of the first day: no call has just begun."""
    return VirtualClock(epoch=NOON + 600, jumping=True)


def world(plan: str, length: str = "30m", **changes: Any) -> dict[str, Any]:
    """An account on a plan with its own limits, and one named channel whose calls have a length."""
    data = plain(**changes.pop("top", {}))
    made = {"calls": {"length": length, "stay": "20m"}, "products": {"Native": {"peak_users": 20}}}
    data["accounts"] = [helpers.account(plan=plan, limits={}, projects=[project(**made | changes)])]
    return data


def settings(plan: str, **changes: Any) -> AgoraAccount:
    """The same account as the daemon has it; on Standard there is none without samples."""
    own = {"customer_id": Secret.of("id"), "customer_secret": Secret.of("secret"), "plan": plan}
    own |= {"call_inspector": {"requests_per_day": 500}} if plan == "standard" else {}
    return account(**own | {"projects": ({"name": "classroom", "app_id": APP},)} | changes)


def opened(data: dict[str, Any], clock: VirtualClock, **changes: Any) -> tuple[AgoraSource, Emulator]:
    """A source that asks an emulator."""
    emulator = build_agora(scenario(data), clock)
    own = settings(data["accounts"][0]["plan"], **changes)
    return open_source(own, frozenset(), clock=clock, transport=Wire(emulator)), emulator


def wish(**changes: Any) -> CallWish:
    """The latest call of the named channel."""
    return CallWish(**{"channel": "room", "project": "classroom"} | changes)


async def paced(source: AgoraSource, clock: VirtualClock, own: AgoraAccount, asked: CallWish) -> CallView:
    """Read with the account's own ledger: at the pace, and within the day, that it allows."""
    pools = [pool for pool in AGORA.pools(own) if pool.id in source.call_pools(asked.project)]
    ledger = Ledger(account="acme", pools=pools, store=MemoryStore(), clock=clock, workers=InlineWorkers())
    await ledger.open()
    await clock.sleep_until(clock.now() + 60)  # a ledger without a memory waits out what may have been spent before
    first = await ledger.spend([pool.id for pool in pools])
    assert isinstance(first, Spend)
    purse = LookPurse(ledger=ledger, pools=[pool.id for pool in pools], first=first, extra=asked.requests - 1)
    found = await source.read_call(asked, purse)
    assert found is not None
    return found


async def read(source: AgoraSource, **changes: Any) -> CallView:
    """Read without a ledger."""
    asked = wish(**changes)
    found = await source.read_call(asked, FakePurse(extra=asked.requests - 1))
    assert found is not None
    return found


def measured(found: CallView) -> int:
    """Stays whose streams were read."""
    return sum("video_packet_loss_ratio" in stay.values for stay in found.stays)


def crowd() -> dict[str, Any]:
    """Calls of three hundred users, of whom hardly any comes or goes while one lasts."""
    return world(
        "premium",
        products={"Native": {"peak_users": 300}},
        calls={"length": "15m", "stay": "24h", "servers": 0, "speakers": 1},
        channels=[{"name": "room", "share": "100%"}],
    )


@pytest.mark.parametrize(
    ("cap", "requests", "stays", "streams"),
    [(200, 200, 302, 301), (200, 20, 302, 100), (12, 200, 100, 0), (200, 3, 100, 20)],
)
async def test_a_large_call_stays_within_the_cap(
    clock: VirtualClock, cap: int, requests: int, stays: int, streams: int
) -> None:
    """By the vendor's own count, to the request, at two a second; who speaks alone receives nothing to be measured."""
    own = settings("premium", call_inspector={"requests_per_day": cap, "calls": 1})
    source, emulator = opened(crowd(), clock, call_inspector=own.call_inspector)
    began = clock.now()
    found = await paced(source, clock, own, wish(requests=requests, at=clock.now() - 1200))
    books = spent(emulator)
    assert (len(found.stays), measured(found)) == (stays, streams)
    assert books["total"]["day"] == min(cap, requests, 31)
    assert set(books["refused"].values()) == {0}
    assert clock.now() - began - 60 <= books["total"]["day"] / 2 + 1
    assert set(found.oddities) <= {"unread"}
    await source.aclose()


@pytest.mark.parametrize("plan", ["standard", "premium", "enterprise"])
@pytest.mark.parametrize("length", ["30m", "24h"])
@pytest.mark.parametrize("ago", [None, 0, 2 * HOUR, 23 * HOUR])
async def test_the_vendor_refuses_nothing(now: VirtualClock, plan: str, length: str, ago: int | None) -> None:
    """Of any plan, for calls short and long, now and long ago: every request is inside its limits, also the pace."""
    own = settings(plan)
    source, emulator = opened(world(plan, length), now)
    at = None if ago is None else NOON - ago
    found = await paced(source, now, own, wish(at=at, requests=30))
    assert set(spent(emulator)["refused"].values()) == {0}
    assert not [note for note in found.notes if ": " in note]
    assert found.oddities == {}
    assert measured(found) == len(found.stays) > 10
    assert (len(found.breakdowns[0].splits), len(found.spreads)) == (6, 1)
    assert [set(minute.values) for minute in found.minutes[1:-1]] == [
        {"users", "video_freeze_ratio", "audio_freeze_ratio"}
    ] * (len(found.minutes) - 2)
    if at is not None:
        assert found.began is not None
        assert found.began <= at
        assert found.ended is None or found.ended > at - HOUR


async def test_the_call_of_the_alert_names_who_suffered(now: VirtualClock) -> None:
    """An SDK that froze and lost an hour ago: its users come first, its group too; the user's minutes tell when."""
    bad = {"project": "classroom", "start": "+11h", "duration": "10m", "where": {"sdk": "4.2.1"}}
    levels = {"videoFreezeRate": "40%", "videoPacketLoss": "30%"}
    data = world("enterprise", products={"Native": {"peak_users": 120}}, top={"incidents": [{**bad, "levels": levels}]})
    data["accounts"][0]["limits"] = {"call_lists": helpers.OFTEN, "call_details": helpers.OFTEN}
    source, _ = opened(data, now)
    found = await read(source, at=NOON - HOUR + 400.0, requests=30)
    assert (found.channel, found.running) == ("room", False)
    assert found.began is not None
    assert found.ended is not None
    assert found.began <= NOON - HOUR + 400 < found.ended
    hurt = [stay for stay in found.stays if stay.values["video_freeze_ratio"] > 0.05]
    assert hurt == list(found.stays[: len(hurt)])
    assert {stay.client.split()[0] for stay in hurt} == {"4.2.1"}
    (by_sdk,) = [split for split in found.breakdowns[0].splits if split.dimension is Dimension.SDK]
    assert by_sdk.groups[0].name == "4.2.1"
    assert by_sdk.groups[0].value > 0.05 > by_sdk.groups[1].value
    assert sum(bucket.users for bucket in found.spreads[0].buckets) == sum(g.users for g in by_sdk.groups)
    assert found.others
    one = await read(source, at=NOON - HOUR + 400.0, user=hurt[0].user)
    assert {stay.user for stay in one.stays} == {hurt[0].user}
    assert one.stays[0] == hurt[0]
    lossy = {m.start for m in one.minutes if m.values.get("video_packet_loss_ratio", 0.0) > 0.2}
    assert lossy
    assert lossy <= set(range(int(NOON) - HOUR, int(NOON) - HOUR + 600, 60))
    assert {m.start for m in one.minutes if m.values.get("video_freeze_ratio", 0.0) > 0.3} == lossy
    assert {"app_cpu_ratio", "received_fps", "local_rtt_seconds"} <= set(one.minutes[0].values)


async def test_a_vendor_that_refuses_or_knows_nothing(now: VirtualClock) -> None:
    """A channel that never was, a time that is no longer kept, a plan with less than it is taken for."""
    source, _ = opened(world("standard"), now)
    assert await source.read_call(wish(channel="nowhere"), FakePurse()) is None
    with pytest.raises(ProviderError) as error:
        await source.read_call(wish(at=NOON - 25.0 * HOUR), FakePurse())
    assert error.value.reason is Reason.TOO_OLD
    late = world("premium")
    late["accounts"][0]["limits"] = {"call_lists": helpers.OFTEN, "call_details": {**helpers.OFTEN, "delay": "200s"}}
    source, _ = opened(late, now)
    first = await read(source)
    assert first.notes[1].startswith("who was in it: too_fresh: ")
    second = await read(source)
    assert second.notes[0] == "Call Inspector is 210 s behind on premium"
    assert measured(second) == len(second.stays) > 10, second.notes
