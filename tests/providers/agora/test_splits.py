"""What an Agora account can be asked about who is behind a value, and how the answer is read."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.providers.agora.stage import T, purse, vendor
from tests.providers.doubles import APP, HandClock, account
from watcher.errors import ProviderError
from watcher.model import USERS, Dimension, Group, Series, Splitter
from watcher.providers.agora.source import AgoraSource, open_source

FREEZE = "video_freeze_ratio"
TOP = "/beta/realtime/quality/dimension/top20"


def opened(plan: str, answers: Any = None, **more: Any) -> tuple[AgoraSource, Any]:
    """An account that watches video, and the vendor behind it."""
    wire = vendor(answers or {})
    settings = account(plan=plan, **more)
    clock = HandClock(T)
    return open_source(settings, {USERS, "channels", FREEZE}, clock=clock, transport=wire.transport()), wire


@pytest.mark.parametrize(("plan", "most", "patience"), [("premium", 2, 180.0), ("enterprise", 5, 60.0)])
def test_a_plan_says_how_much_and_how_soon(plan: str, most: int, patience: float) -> None:
    """Two dimensions in three minutes on Premium, all in one on Enterprise, from the pool of the signal itself."""
    source, _ = opened(plan)
    found = source.splitting(_freeze(source))
    assert found is not None
    assert (found.most, found.patience) == (most, patience)
    assert found.dimensions[:2] == (Dimension.NETWORK, Dimension.SDK)
    assert found.pools == next(q.pools for q in source.queries if _freeze(source) in q.series)
    assert isinstance(source, Splitter)


def test_what_cannot_be_split() -> None:
    """Counts, single channels, and what the account does not ask for."""
    source, _ = opened("premium")
    series = _freeze(source)
    assert source.splitting(series.sibling(USERS)) is None
    assert source.splitting(series._replace(channel="room")) is None
    assert source.splitting(series.sibling("network_delay_ratio")) is None


async def test_one_request_for_one_dimension() -> None:
    """By Agora's own words, for the slot as given, with users; a group without them is left out and counted."""

    def groups(request: httpx.Request) -> dict[str, Any]:
        assert dict(request.url.params) == {
            "appid": APP, "productType": "Native", "ts": str(T - 60), "metric": "videoFreezeRate",
            "dimension": "net", "extraMetrics": "userCount",
        }  # fmt: skip
        rows = [
            {"videoFreezeRate": 0.22, "net": "4G", "userCount": 410},
            {"videoFreezeRate": 0.01, "net": "Wi-Fi", "userCount": 900},
            {"videoFreezeRate": 0.5, "net": "5G"},
            {"videoFreezeRate": 7, "net": "odd", "userCount": 9},
        ]
        return {"code": 200, "message": None, "data": {"list": rows}}

    source, wire = opened("premium", {TOP: groups})
    split = await source.split(_freeze(source), Dimension.NETWORK, T - 60, purse(1))
    assert split.dimension is Dimension.NETWORK
    assert set(split.groups) == {Group("4G", 0.22, 410.0), Group("Wi-Fi", 0.01, 900.0)}
    assert sum(split.oddities.values()) == 1
    assert len(wire.requests) == 1


async def test_no_second_domain_is_paid_for() -> None:
    """A purse without a further request: what fails fails, and one request was spent."""
    spent = purse(1)

    def late(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("no answer", request=request)

    source, wire = opened("premium", {TOP: late})
    with pytest.raises(ProviderError):
        await source.split(_freeze(source), Dimension.SDK, T - 60, spent)
    assert (spent.spent, len(wire.requests)) == (1, 1)


def _freeze(source: AgoraSource) -> Series:
    """The account's series of the signal."""
    return next(s for q in source.queries for s in q.series if s.signal == FREEZE and s.product == "Native")
