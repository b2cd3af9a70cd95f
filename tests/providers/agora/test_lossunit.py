"""Whether packet loss can be in the unit that is configured: what proves it, what raises doubts, and what follows."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from tests.providers.agora.stage import CALLS, T, body, call, listed, purse, query, series, session, source, vendor
from watcher.model import Answer
from watcher.providers.agora.inspector.figures import Votes
from watcher.providers.agora.inspector.lossunit import ENOUGH, LossUnit
from watcher.providers.agora.values import Oddity, Tally

START = T - 780  # of the ten minutes that a first look is about


@pytest.mark.parametrize(
    ("configured", "looks", "counted"),
    [
        ("percent", [(ENOUGH - 1, 0)], [0]),
        ("percent", [(ENOUGH, 0)], [ENOUGH]),
        ("percent", [(ENOUGH // 2, 0), (ENOUGH // 2, 0), (7, 0), (0, 0)], [0, ENOUGH // 2, 7, 0]),
        ("percent", [(1, 1), (5 * ENOUGH, 0)], [0, 0]),  # proven once and for all
        ("percent", [(ENOUGH, 0), (9, 1), (9, 0)], [ENOUGH, 0, 0]),  # the doubt was none
        ("ratio", [(5 * ENOUGH, 0)], [0]),
        ("ratio", [(9, 0), (50, 1), (8, 0), (0, 0)], [0, 50, 8, 0]),
    ],
)
def test_what_the_values_tell(
    configured: Literal["percent", "ratio"], looks: list[tuple[int, int]], counted: list[int]
) -> None:
    """Look after look: values above 0, and above 1; how many are counted as odd."""
    unit, found = LossUnit(configured), []
    for lossy, above_one in looks:
        tally = Tally()
        unit.check(Votes(loss_scale=1.0, lines={}, lossy=lossy, above_one=above_one), tally)
        found.append(tally[Oddity.LOSS_UNIT])
    assert found == counted


def told(found: Answer) -> set[str]:
    """The signals that have values."""
    return {p.series.signal for p in found.points}


async def test_what_was_seen_once_holds_for_later_looks() -> None:
    """A percentage under `ratio`: the look that shows it tells no loss, nor does a quiet one later; bitrates stay."""
    loss = [7.0]

    def metrics(_: object) -> dict[str, Any]:
        pairs = [(at, loss[0]) for at in range(START, START + 600, 2)]
        data = [series(20018, 1, pairs), series(20009, 1, [(at, 800) for at, _ in pairs]), series(20017, 0, pairs)]
        return body("metrics", [{"sid": "A", "data": data}])

    wire = vendor(
        {
            "lists": lambda _: listed(call("a")),
            "sessions": lambda _: body("call_info", [session("A")]),
            "metrics": metrics,
        }
    )
    agora = source(wire, call_inspector=CALLS | {"loss": "ratio"})
    for value in (7.0, 0.5, 1.0):
        loss[0] = value
        found = await agora.look(query(agora), None, purse(3))
        assert told(found) == {"video_bitrate_bytes_per_second", "sampled_users_ratio"}
        assert found.oddities == {"loss_unit": 300}
    agora = source(wire, call_inspector=CALLS | {"loss": "ratio"})
    for value in (0.5, 1.0):  # everything lost is no percentage
        loss[0] = value
        found = await agora.look(query(agora), None, purse(3))
        assert "video_packet_loss_ratio" in told(found)
        assert found.oddities == {}


@pytest.mark.parametrize(("value", "odd"), [(0.5, [{}, {}, {}, {"loss_unit": 300}]), (0.0, [{}] * 4)])
async def test_a_doubt_leaves_the_figures(value: float, odd: list[dict[str, int]]) -> None:
    """Small losses may be small: they are told, and counted; where nothing is lost nothing is doubted."""
    rows = [{"sid": "A", "data": [series(20018, 1, [(at, value) for at in range(START, START + 600, 2)])]}]
    wire = vendor(
        {
            "lists": lambda _: listed(call("a")),
            "sessions": lambda _: body("call_info", [session("A")]),
            "metrics": lambda _: body("metrics", rows),
        }
    )
    agora = source(wire)
    found = [await agora.look(query(agora), None, purse(3)) for _ in odd]
    assert [answer.oddities for answer in found] == odd
    assert all("video_packet_loss_ratio" in told(answer) for answer in found)


async def test_uplinks_prove_nothing_that_is_not_told() -> None:
    """Only values that are read weigh: what the sender lost is not asked for."""
    data = [series(20017, 0, [(START + 2, 50)]), series(20018, 1, [(START + 2, 0.5)])]
    wire = vendor(
        {
            "lists": lambda _: listed(call("a")),
            "sessions": lambda _: body("call_info", [session("A")]),
            "metrics": lambda _: body("metrics", [{"sid": "A", "data": data}]),
        }
    )
    agora = source(wire, call_inspector=CALLS | {"loss": "ratio"})
    found = await agora.look(query(agora), None, purse(3))
    assert "video_packet_loss_ratio" in told(found)
