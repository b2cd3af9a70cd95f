"""Days by groups for whoever asks: what can be asked of a project, what is asked of the vendor, and what is told."""

from __future__ import annotations

from typing import Any

import httpx
import msgspec
import pytest

from tests.providers.agora.stage import T, purse, source, vendor
from tests.providers.doubles import APP, HandClock
from watcher.clock import DAY, HOUR
from watcher.errors import ProviderError, Reason, Refused
from watcher.groups import Grouping, GroupTotal, GroupView, GroupWish
from watcher.providers.agora.source import AgoraSource

NOON = T + 13 * HOUR
WISH = GroupWish(
    signal="daily_video_freeze_ratio", project="classroom", by="sdk", start=T - 2 * DAY, end=T, product="Native"
)


def agora(answers: Any = None, *, at: float = NOON) -> AgoraSource:
    return source(vendor({"quality/aggregation": answers} if answers else {}), HandClock(at))


def rows(request: httpx.Request) -> dict[str, Any]:
    """Two versions, or the whole."""
    wanted = msgspec.json.decode(request.content)
    if "dimension" not in wanted:
        return {"code": 200, "message": "null", "data": [{"refUsage": 1_000, "videoFreezeRate": 0.011}]}
    found = [
        {"sdkVersion": "4.2.1", "refUsage": 100, "videoFreezeRate": 0.05},
        {"sdkVersion": "4.2.0", "refUsage": 900, "videoFreezeRate": 0.007},
    ]
    return {"code": 200, "message": "null", "data": found}


async def test_the_groups_and_the_whole_are_two_requests() -> None:
    """The largest group first; the whole beside them, and what the shares are of."""
    here = agora(rows)
    spent = purse(2)
    assert await here.read_groups(WISH, spent) == GroupView(
        signal="daily_video_freeze_ratio",
        product="Native",
        by="sdk",
        start=T - 2 * DAY,
        end=T,
        groups=(GroupTotal("4.2.0", 0.007, 54_000.0), GroupTotal("4.2.1", 0.05, 6_000.0)),
        whole=0.011,
        counts="seconds",
        notes=("days are computed anew for two days after them, so the newest may still change",),
    )
    assert spent.spent == 2


async def test_without_the_whole_the_groups_are_an_answer_too() -> None:
    """The budget or the vendor may refuse it: it says so."""

    def whole_fails(request: httpx.Request) -> Any:
        return rows(request) if b"dimension" in request.content else httpx.Response(500, stream=httpx.ByteStream(b""))

    cut = await agora(rows).read_groups(WISH, purse(1))
    assert (len(cut.groups), cut.whole) == (2, None)
    assert "the whole was not asked for: no request was left for it" in cut.notes
    failed = await agora(whole_fails).read_groups(WISH, purse(4))
    assert (len(failed.groups), failed.whole) == (2, None)
    assert failed.notes[-1].startswith("the whole is not known: server")


async def test_groups_that_cannot_be_had_are_an_error() -> None:
    """The vendor's reason goes up."""
    with pytest.raises(ProviderError) as refused:
        await agora(lambda _: {"code": 429, "message": "too many"}).read_groups(WISH, purse(1))
    assert refused.value.reason in (Reason.RATE, Reason.DAY_QUOTA)


@pytest.mark.parametrize(("at", "newest"), [(T + 6 * HOUR + 20, T), (T + 6 * HOUR - 20, T - DAY), (T + 13 * HOUR, T)])
def test_what_can_be_asked_of_quality(at: float, newest: int) -> None:
    """The days of the plan, by seven words, of the project's products that have it."""
    found = agora(at=at).grouping("classroom", "daily_video_freeze_ratio")
    assert found == Grouping(
        by=("country", "region", "network", "sdk", "os", "device", "channel_size"),
        products=("Native", "WebRTC"),
        start=T - 13 * DAY,
        end=newest,
        pools=("acme/insights",),
    )


def test_a_live_signal_means_its_days() -> None:
    """What has none is refused with what there is; Web users hear no freezes."""
    here = agora()
    assert here.grouping("classroom", "video_freeze_ratio") == here.grouping("classroom", "daily_video_freeze_ratio")
    assert here.grouping("classroom", "audio_freeze_ratio").products == ("Native",)
    usage = here.grouping("classroom", "daily_users")
    assert usage.products == ()
    assert "channel_size" not in usage.by
    assert usage.end == T, "usage is told twelve hours later"
    assert agora(at=T + 7 * HOUR).grouping("classroom", "daily_users").end == T - DAY
    for signal in ("users", "video_packet_loss_ratio", "daily_peak_users", "x"):
        with pytest.raises(Refused, match="it has daily_video_freeze_ratio"):
            here.grouping("classroom", signal)


async def test_words_are_the_vendors_on_the_wire() -> None:
    """Network and size are spelt otherwise there; a country narrows regions; the end is inclusive."""
    sent: list[dict[str, Any]] = []

    def keep(request: httpx.Request) -> dict[str, Any]:
        sent.append({**msgspec.json.decode(request.content), **request.url.params})
        return {"code": 200, "data": []}

    here = agora(keep)
    for by, country in (("network", ""), ("channel_size", ""), ("region", "Germany")):
        await here.read_groups(
            GroupWish(
                signal="join_success_ratio",
                project="classroom",
                by=by,
                start=T - DAY,
                end=T,
                product="WebRTC",
                country=country,
            ),
            purse(1),
        )
    assert [one["dimension"] for one in sent] == ["network", "channelSize", "region"]
    assert {(o["metric"], o["productType"], o["appid"], o["startTs"], o["endTs"]) for o in sent} == {
        ("joinSuccessRate", "WebRTC", APP, T - DAY, T - 1)
    }
    assert sent[2]["filters"] == [{"name": "country", "value": "Germany"}]


def test_a_plan_without_data_insights() -> None:
    """Standard has Call Inspector only."""
    calls = {"requests_per_day": 500}
    here = source(vendor({}), HandClock(NOON), plan="standard", call_inspector=calls)
    with pytest.raises(Refused, match="plan standard has no Data Insights"):
        here.grouping("classroom", "daily_users")
