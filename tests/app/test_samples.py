"""Samples of calls in the whole program: a page on packet loss from Agora, inside the cap, beside the live queries."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import httpx
import numpy as np
import pytest
import yaml

from tests.app import world
from tests.app.world import spent
from tests.conftest import EPOCH
from tests.providers.doubles import FakePurse
from watcher.app.report import Report
from watcher.clock import HOUR, VirtualClock
from watcher.emulator.agora import build_agora
from watcher.emulator.scenario import reads
from watcher.emulator.traffic import Traffic
from watcher.emulator.world import PRODUCTS
from watcher.metrics import render
from watcher.providers.agora.settings import AgoraAccount
from watcher.providers.agora.source import open_source

CAP = 500
MORNING = EPOCH + 10 * HOUR  # somebody is in calls
BEGAN, LASTED = MORNING + 2 * HOUR, 40 * 60
LOSS = """
  - alert: VideoLoss
    signal: video_packet_loss_ratio
    when: {avg: 3m, above: 5%}
    for: 2m
    clear: {below: 3%, for: 3m}
    require: {weight: {above: 20}}
    severity: critical
    summary: "{{ value | percent }} lost"
"""


class Watched(httpx.AsyncBaseTransport):
    """When each real-time query was asked."""

    def __init__(self, inner: httpx.AsyncBaseTransport, clock: VirtualClock) -> None:
        self._inner, self._clock = inner, clock
        self.asked: dict[tuple[str, ...], list[float]] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.startswith("/beta/realtime/"):
            key = tuple(request.url.params.get(name, "") for name in ("metric", "productType"))
            self.asked.setdefault(key, []).append(self._clock.now())
        return await self._inner.handle_async_request(request)


def story() -> dict[str, Any]:
    """One large channel among many small ones; Native loses 10 % of its video for forty minutes."""
    lossy = world.incident(BEGAN - EPOCH, LASTED / 60, "Native", videoPacketLoss="10%")
    told = world.scenario(plan="premium", incidents=[lossy])
    told["accounts"][0]["projects"][0]["channels"] = [{"name": "lecture", "share": "50%"}]
    return told


async def hours(folder: Path, clock: VirtualClock, *, samples: bool) -> tuple[Report, Watched, world.World]:
    """Four hours of a Premium account, with samples or without."""
    await clock.sleep_until(MORNING)
    here = world.World(clock=clock, folder=folder, story=story(), epoch=EPOCH)
    wire = Watched(here.wire, clock)
    here.wire = wire  # type: ignore[assignment]
    data: dict[str, Any] = world.config(folder, plan="premium", rules_text=world.RULES + (LOSS if samples else ""))
    if samples:
        data["accounts"][0]["call_inspector"] = {"requests_per_day": CAP, "calls": 3, "users_per_call": 20}
    return await here.live(data, 4 * HOUR), wire, here


def users_at(minute: float) -> float:
    """The users who are in calls in a minute, by the emulator's own traffic."""
    told = reads(yaml.safe_dump(story()), epoch=EPOCH)
    (project,) = told.accounts[0].projects
    traffic = Traffic(project=project, seed=told.seed, jitter=told.jitter, incidents=told.incidents)
    slots = int(minute) + np.arange(0, 60, 20, dtype=np.int64)
    return float(sum(traffic.users(product, "", slots).mean() for product in PRODUCTS))


async def test_a_page_on_packet_loss_from_samples(tmp_path: Path, clock: VirtualClock) -> None:
    """The loss of a large call pages within the promise, says how large the sample was, and is over once."""
    report, _, here = await hours(tmp_path, clock, samples=True)
    (page,) = [alert for alert in report["alerts"] if alert["rule"] == "VideoLoss"]
    assert page["labels"]["product"] == "Native"
    assert page["starts_at"] == "2026-01-01T12:02:00Z"  # two bad minutes of three: their mean is over 5 %
    assert page["fired_at"] == "2026-01-01T12:04:00Z"
    assert page["ended_at"] is not None
    texts = [sending.notification.text for sending in here.senders["pager"].accepted]
    said = [text for text in texts if "VideoLoss" in text]
    there = users_at(MORNING + 2 * HOUR + 180)  # 12:03 to 12:04, which is when it fires
    assert 1100 < there < 1400
    assert f"sample of 16 of {there:.0f} users ({16 / there:.1%})" in said[0]  # of 36, those who were there then
    assert "lecture 13.0% of 60 streams" in said[0]
    books = spent(here.emulator)
    assert set(books["refused"].values()) == {0}
    assert 0 < books["total"]["day"] <= CAP
    rows = [row for row in report["requests"] if row["family"] == "call_inspector"]
    assert {row["window"]: row["limit"] for row in rows} == {"1s": 3, "day": 2000}
    assert {row["total"] for row in rows} == {books["total"]["day"]}
    assert report["points"]["lost"] == 0


async def test_samples_do_not_touch_the_promised_gaps_of_the_live_queries(tmp_path: Path) -> None:
    """With samples as without: no live query waits longer than it was promised, and no fewer looks are made."""
    looks = {}
    for samples in (False, True):
        own = VirtualClock(epoch=EPOCH, jumping=True)
        folder = tmp_path / str(samples)
        folder.mkdir()
        promised = world.built(world.config(folder, plan="premium"), folder).accounts[0].gaps
        _, wire, here = await hours(folder, own, samples=samples)
        assert here.refused() == 0
        longest = max(b - a for times in wire.asked.values() for a, b in pairwise(times))
        assert longest <= max(promised.values()) + 1
        assert (spent(here.emulator)["total"]["day"] > 0) is samples
        looks[samples] = sum(len(times) for times in wire.asked.values())
    assert looks[True] >= 0.97 * looks[False]


async def look(
    folder: Path, answers: dict[str, Any], fault: str = "", **wish: str
) -> dict[tuple[str, str], list[float]]:
    """What one look of the configured account's source tells of the lossy hour, oddities among it."""
    own = VirtualClock(epoch=BEGAN + 1200, jumping=True)
    told = story()
    told["accounts"][0] |= {
        "limits": {group: {"per_second": 1000} for group in ("call_lists", "call_details")},
        "answers": told["accounts"][0]["answers"] | answers,
    }
    told["faults"] = [{"kind": fault}] if fault else []
    emulator = build_agora(reads(yaml.safe_dump(told), epoch=EPOCH), own)
    data: dict[str, Any] = world.config(folder, plan="premium")
    data["accounts"][0]["call_inspector"] = {"requests_per_day": CAP, "calls": 3, "users_per_call": 20, **wish}
    settings = world.built(data, folder).accounts[0].settings
    assert isinstance(settings, AgoraAccount)
    source = open_source(settings, frozenset(), clock=own, transport=world.Wire(emulator))
    calls = next(query for query in source.queries if query.family == "call_inspector")
    found = await source.look(calls, None, FakePurse(extra=99))
    await source.aclose()
    values = {(p.series.product, p.series.signal): p.value.tolist() for p in found.points}
    return values | {("", kind): [float(count)] for kind, count in found.oddities.items()}


LOST = ("Native", "video_packet_loss_ratio")


async def test_rows_that_come_twice_count_once(tmp_path: Path) -> None:
    """A call, a user, a user's streams, one of them, a value: with the first of each twice, the figures stand."""
    usual, other = await look(tmp_path, {}), await look(tmp_path, {}, fault="duplicates")
    assert {kind for _, kind in other.keys() - usual.keys()} == {"repeated", "duplicate", "unsorted"}
    assert {key: other[key] for key in usual} == usual


@pytest.mark.parametrize(
    "answers",
    [{"streams": "high_first"}, {"picture_qp": True}, {"memory": False}],
    ids=lambda answers: next(iter(answers)),
)
async def test_contradictions_of_the_streams_change_no_figure(tmp_path: Path, answers: dict[str, Any]) -> None:
    """Which of 20006 and 20024 is the low stream, an id of old pages, two of one page: no value moves."""
    usual = await look(tmp_path, {})
    assert 0.05 < max(usual[LOST]) < 0.2
    assert len(usual) == 18  # eight signals of two products, the share, and calls beyond the page that is listed
    assert ("", "unlisted") in usual
    assert await look(tmp_path, answers) == usual


async def test_loss_as_a_fraction_is_the_same_loss_where_that_is_configured(tmp_path: Path) -> None:
    """Both readings of the dossier, each with the setting that fits: the same figures, and nothing odd."""
    usual, other = await look(tmp_path, {}), await look(tmp_path, {"loss": "fraction"}, loss="ratio")
    assert usual.keys() == other.keys()
    for key, values in usual.items():
        assert other[key] == pytest.approx(values, abs=0.02 if "over" in key[1] else 1e-4)


async def test_a_percentage_read_as_a_fraction_is_no_loss_at_all(tmp_path: Path) -> None:
    """Or healthy streams would page: it is left out and counted, everything else stays."""
    usual, wrong = await look(tmp_path, {}), await look(tmp_path, {}, loss="ratio")
    assert wrong.pop(("", "loss_unit"))[0] > 1000
    assert wrong == {key: values for key, values in usual.items() if "loss" not in key[1]}


async def test_a_fraction_read_as_a_percentage_is_counted(tmp_path: Path) -> None:
    """What is told is a hundredth of what is lost, and no rule sees it: the count does."""
    usual, wrong = await look(tmp_path, {}), await look(tmp_path, {"loss": "fraction"})
    assert wrong.pop(("", "loss_unit"))[0] > 1000
    assert wrong[LOST] == pytest.approx([value / 100 for value in usual[LOST]], abs=1e-5)


@pytest.mark.parametrize(
    ("vendor", "configured", "pages"),
    [("fraction", "ratio", 1), ("fraction", "percent", 0), ("percent", "ratio", 0)],
)
async def test_the_unit_of_loss_in_the_whole_program(
    tmp_path: Path, clock: VirtualClock, vendor: str, configured: str, pages: int
) -> None:
    """It pages where it is configured as it comes (percent: above); elsewhere it is in /metrics, and pages nobody."""
    await clock.sleep_until(BEGAN - 1800)
    told = story()
    told["accounts"][0]["answers"]["loss"] = vendor
    here = world.World(clock=clock, folder=tmp_path, story=told, epoch=EPOCH)
    data: dict[str, Any] = world.config(tmp_path, plan="premium", rules_text="rules:" + LOSS)
    wish = {"requests_per_day": CAP, "calls": 3, "users_per_call": 20, "loss": configured}
    data["accounts"][0]["call_inspector"] = wish
    daemon = here.daemon(data)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(daemon.run)
        await clock.sleep_until(BEGAN + 1.2 * HOUR)
        report, metrics = await daemon.report(), render(daemon.snapshot()).decode()
        await daemon.stop()
    assert [alert["rule"] for alert in report["alerts"]] == ["VideoLoss"] * pages
    assert ('kind="loss_unit"' in metrics) is not bool(pages)


async def test_standard_has_samples_alone(tmp_path: Path, clock: VirtualClock) -> None:
    """One request a second, five minutes late, an hour at most: a page all the same, its share by peaks."""
    await clock.sleep_until(BEGAN - HOUR)
    told = story() | {"accounts": [story()["accounts"][0] | {"plan": "standard", "quota": {"strict": False}}]}
    here = world.World(clock=clock, folder=tmp_path, story=told, epoch=EPOCH)
    data: dict[str, Any] = world.config(tmp_path, plan="standard", rules_text="rules:" + LOSS)
    data["accounts"][0]["call_inspector"] = {"requests_per_day": 900, "calls": 3, "users_per_call": 20}
    report = await here.live(data, 3 * HOUR)
    (page,) = report["alerts"]
    assert (page["labels"]["product"], page["fired_at"]) == ("Native", "2026-01-01T12:04:00Z")
    assert page["ended_at"] is not None
    said = here.senders["pager"].accepted[0].notification.text
    assert "sample of 17 of about 1581 users (1.1%)" in said  # really 1,367: the peaks of what ran in that minute
    assert set(spent(here.emulator)["refused"].values()) == {0}
    assert report["points"]["lost"] == 0
