"""Who is affected, from the emulator's groups to the message: in time, within the cap, and no page later for it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from tests.app import world
from tests.conftest import EPOCH
from watcher.alerts.affected import AFFECTED
from watcher.app.daemon import Daemon
from watcher.app.desk import read_alerts
from watcher.app.inquiry import Outcome
from watcher.clock import DAY, HOUR, VirtualClock, sleep
from watcher.metrics import render
from watcher.model import Notification, State, Transition, fold
from watcher.store import open_readonly

START = EPOCH + 12 * HOUR
TWO = [{"name": "classroom", "app_id": world.APP_ID, "signals": ["users", "video_freeze_ratio", "join_success_ratio"]}]
RULES = """
rules:
  - alert: VideoFreezing
    signal: video_freeze_ratio
    when: {avg: 1m, above: 5%}
    for: 2m
    clear: {below: 3%, for: 2m}
    require: {users: {above: 20}}
    severity: critical
"""
SHARED = """
rules:
  - alert: First
    signal: video_freeze_ratio
    when: {last: 1, above: 5%}
    require: {users: {above: 20}}
    severity: critical
  - alert: Second
    signal: video_freeze_ratio
    when: {last: 1, above: 5%}
    for: 3m
    require: {users: {above: 20}}
    severity: critical
"""
PATIENCE = {"premium": 180.0, "enterprise": 60.0}


@pytest.fixture
def clock() -> VirtualClock:
    """Noon: enough users that groups can be told apart."""
    return VirtualClock(epoch=START, jumping=True)


def hurt(start: float, minutes: float, *, product: str = "WebRTC", **where: str) -> dict[str, Any]:
    """Video of one group freezes."""
    return {**world.incident(start, minutes, product, videoFreezeRate="40%"), "where": where}


class Scene:
    """One daemon at a time, on a state and in a world that stay."""

    def __init__(
        self,
        clock: VirtualClock,
        folder: Path,
        incidents: list[dict[str, Any]],
        *,
        plan: str = "enterprise",
        **more: Any,
    ) -> None:
        faults = more.pop("faults", [])
        tale = world.scenario(plan=plan, incidents=incidents, faults=faults)
        self.here = world.World(clock=clock, folder=folder, story=tale, epoch=clock.now())
        self.folder = folder
        self.clock = clock
        more = {"rules_text": RULES, "affected": {}, **more}
        self.data = world.config(folder, plan=plan, projects=TWO, state=f"sqlite:///{folder}/state.db", **more)
        self.daemon: Daemon | None = None

    async def live(self, seconds: float, look: Callable[[Daemon], None] = lambda daemon: None) -> None:
        self.daemon = self.here.daemon(self.data)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.daemon.run)
            await sleep(self.clock, seconds)
            look(self.daemon)
            await self.daemon.stop()

    async def live_until(self, done: Callable[[], bool]) -> None:
        """Stop within a second of what is waited for, an hour from now at the latest."""
        daemon = self.here.daemon(self.data)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(daemon.run)
            for _ in range(HOUR):
                await sleep(self.clock, 1.0)
                if done():
                    break
            await daemon.stop()

    async def dies(self, when: Callable[[str], bool]) -> None:
        """Live until the first request whose path `when` accepts, which kills the process before it is sent."""
        wire = self.here.wire
        inner = wire.handle_async_request

        async def deadly(request: httpx.Request) -> httpx.Response:
            if when(request.url.path):
                raise SystemExit("killed")
            return await inner(request)

        wire.handle_async_request = deadly  # type: ignore[method-assign]
        with pytest.raises(BaseExceptionGroup, match="nursery"):
            await self.here.daemon(self.data).run()
        wire.handle_async_request = inner  # type: ignore[method-assign]

    def watched(self) -> tuple[dict[str, list[float]], list[float]]:
        """From now on, when each query is looked at, and when somebody asks for groups."""
        looks: dict[str, list[float]] = {}
        questions: list[float] = []
        wire = self.here.wire
        inner = wire.handle_async_request

        async def noting(request: httpx.Request) -> httpx.Response:
            what = {name: request.url.params.get(name, "") for name in ("appid", "productType", "metric")}
            times = questions if "top20" in request.url.path else looks.setdefault(f"{request.url.path} {what}", [])
            times.append(self.clock.now())
            return await inner(request)

        wire.handle_async_request = noting  # type: ignore[method-assign]
        return looks, questions

    def mail(self) -> list[Notification]:
        return [accepted.notification for accepted in self.here.senders["mail"].accepted]

    def kinds(self) -> list[str]:
        return [message.kind for message in self.mail()]

    def asked(self) -> int:
        """Requests for groups, by the vendor's own count."""
        requests: Any = self.here.emulator.report()["requests"]
        return sum(sum(n.values()) for name, n in requests.items() if "top20" in name)

    def log(self) -> list[Transition]:
        reader = open_readonly(f"sqlite:///{self.folder}/state.db")
        try:
            return reader.transitions()
        finally:
            reader.close()


def says(message: Notification) -> str:
    """The line of a message that says who is hurt."""
    return next((line for line in message.text.splitlines() if line.startswith("affected: ")), "")


def spent(daemon: Daemon) -> tuple[int, Mapping[Outcome, int]]:
    parts = daemon._parts
    assert parts is not None
    inquiries = parts.loops["acme"].inquiries
    return inquiries.allowance.requests, inquiries.outcomes


async def test_the_group_follows_the_page(tmp_path: Path, clock: VirtualClock) -> None:
    """Page, then an update that names the group with its users and the project's value; API and metrics know too."""
    scene = Scene(clock, tmp_path, [hurt(1200, 20, sdk="4.1.1")])
    metrics: list[str] = []
    await scene.live(1900, lambda daemon: metrics.append(render(daemon.snapshot()).decode()))
    assert scene.kinds() == ["firing", "update"]
    page, update = scene.mail()
    assert says(page) == ""
    assert says(update).startswith("affected: SDK 4.1.1 (WebRTC): ")
    assert "of video time frozen, " in says(update)
    assert "users in the group; project " in says(update)
    assert update.created_at - page.created_at <= PATIENCE["enterprise"]
    reader = open_readonly(f"sqlite:///{tmp_path}/state.db")
    [alert] = read_alerts(reader, clock.now())
    reader.close()
    assert [(a.dimension, a.group) for a in alert.affected] == [("sdk", "4.1.1")]
    assert alert.affected[0].value > 2 * alert.affected[0].base
    assert alert.affected_says == says(update).removeprefix("affected: ")
    assert 'watcher_affected_inquiries_total{account="acme",outcome="told"} 1.0' in metrics[0]
    assert 'watcher_affected_requests_total{account="acme"} 5.0' in metrics[0]
    log = scene.log()
    assert fold(log) == fold([entry for entry in log if entry.updates is None])


@pytest.mark.parametrize("plan", ["premium", "enterprise"])
async def test_seeded_incidents_are_told_in_time(tmp_path: Path, plan: str) -> None:
    """A day of incidents of one group each: each page says why not, or is followed in time; nothing is over."""
    dice = random.Random(5)
    groups = [{"sdk": "4.1.1"}, {"net": "Wi-Fi"}, {"country": "India"}, {"os": "iOS 16.5"}]
    incidents = [
        hurt(
            (n + dice.uniform(0.2, 0.7)) * HOUR * 3,
            40,
            product=dice.choice(["Native", "WebRTC"]),
            **dice.choice(groups),
        )
        for n in range(8)
    ]
    clock = VirtualClock(epoch=EPOCH, jumping=True)  # one day of the vendor's quotas
    scene = Scene(clock, tmp_path, incidents, plan=plan)
    counts: list[tuple[int, Mapping[Outcome, int]]] = []
    await scene.live(DAY, lambda daemon: counts.append(spent(daemon)))
    pages: dict[str, Notification] = {}
    answered = 0
    for message in scene.mail():
        if message.kind == "firing":
            pages[message.alerts[0]] = message
            answered += bool(says(message))
        elif message.kind == "update":
            page = pages[message.alerts[0]]
            assert 0 <= message.created_at - page.created_at <= PATIENCE[plan]
            assert says(message)
            answered += 1
    paged = scene.kinds().count("firing")
    assert paged >= 6
    assert answered == paged
    [(requests, outcomes)] = counts
    assert requests == scene.asked() <= {"premium": 9, "enterprise": 28}[plan]
    assert outcomes[Outcome.TOLD] >= {"premium": 1, "enterprise": 4}[plan]
    assert scene.here.refused() == 0
    assert scene.daemon is not None


async def test_the_cap_holds_to_the_request_through_a_restart(tmp_path: Path, clock: VirtualClock) -> None:
    """Three requests a day, of which the first alert takes three: the next page says so, after a restart as before."""
    incidents = [hurt(n * 3600 + 600, 15, sdk="4.1.1") for n in range(3)]
    scene = Scene(clock, tmp_path, incidents, affected={"per_day": 3})
    await scene.live(5400)
    assert scene.asked() == 3
    await scene.live(5400)
    assert scene.asked() == 3
    firing = [message for message in scene.mail() if message.kind == "firing"]
    assert [says(message) for message in firing] == [
        "",
        "affected: not asked: the request budget did not allow it",
        "affected: not asked: the request budget did not allow it",
    ]
    assert scene.kinds().count("update") == 1


async def test_nothing_is_asked_where_it_is_turned_off(tmp_path: Path, clock: VirtualClock) -> None:
    """`per_day: 0`: no request, no update, no word about it."""
    scene = Scene(clock, tmp_path, [hurt(1200, 15, sdk="4.1.1")], affected={"per_day": 0})
    await scene.live(3000)
    assert scene.kinds() == ["firing", "resolved"]
    assert scene.asked() == 0
    assert not any("affected" in message.text for message in scene.mail())


async def test_only_the_dimensions_that_are_wanted(tmp_path: Path, clock: VirtualClock) -> None:
    """What the configuration leaves out is not asked, and what was asked is named where nobody stands out."""
    scene = Scene(clock, tmp_path, [hurt(1200, 15, sdk="4.1.1")], affected={"dimensions": ["country", "os"]})
    await scene.live(2400)
    nobody = "affected: no country or OS stands out (video_freeze_ratio)"
    assert [says(message) for message in scene.mail()] == ["", nobody]
    assert scene.asked() == 2


async def test_two_alerts_of_an_incident_share_one_question(tmp_path: Path, clock: VirtualClock) -> None:
    """What fires while it is asked gets its answer; what fires soon after has it in its page."""
    scene = Scene(clock, tmp_path, [hurt(1200, 15, sdk="4.1.1")], rules_text=SHARED)
    await scene.live(2000)
    told = [(message.kind, says(message)[:27]) for message in scene.mail()]
    assert told == [
        ("firing", ""),
        ("update", "affected: SDK 4.1.1 (WebRTC"),
        ("firing", "affected: SDK 4.1.1 (WebRTC"),
    ]
    assert scene.asked() == 5


async def test_what_fires_at_once_has_one_question(tmp_path: Path, clock: VirtualClock) -> None:
    """Two rules that fire on one answer: each page has its update, with the same words, for the price of one."""
    rules_text = SHARED.replace("for: 3m", "for: 0s")
    scene = Scene(clock, tmp_path, [hurt(1200, 15, sdk="4.1.1")], rules_text=rules_text)
    await scene.live(2000)
    assert scene.kinds() == ["firing", "firing", "update", "update"]
    first, second = map(says, scene.mail()[2:])
    assert first == second
    assert first.startswith("affected: SDK 4.1.1 (WebRTC)")
    assert scene.asked() == 5


@pytest.mark.parametrize("kind", ["http_500", "timeout", "truncated"])
async def test_a_vendor_that_does_not_say_costs_one_request(tmp_path: Path, clock: VirtualClock, kind: str) -> None:
    """The page is out; the update says that it is unknown, and no second request is spent on it."""
    fault = {"kind": kind, "where": {"endpoint": ["quality_top20"]}}
    scene = Scene(clock, tmp_path, [hurt(1200, 15, sdk="4.1.1")], faults=[fault])
    await scene.live(2000)
    assert scene.kinds() == ["firing", "update"]
    assert says(scene.mail()[1]) == "affected: unknown: the vendor did not say"
    assert scene.asked() <= 1


@pytest.mark.parametrize(
    ("allowed", "down", "expected"),
    [
        (28, 0, "affected: SDK 4.1.1 (WebRTC)"),  # asked anew, the request that was cut off counted
        (1, 0, "affected: not asked: the r"),  # which was the only one
        (28, 90, None),  # too late to be of use
    ],
)
async def test_a_kill_loses_no_question(
    tmp_path: Path, clock: VirtualClock, allowed: int, down: float, expected: str | None
) -> None:
    """The process dies while it waits for an answer: the next one goes on, in the same time and from the same cap."""
    scene = Scene(clock, tmp_path, [hurt(1200, 15, sdk="4.1.1")], affected={"per_day": allowed})
    await scene.dies(lambda path: "top20" in path)
    await sleep(clock, down)
    await scene.live(1800)
    assert scene.kinds() == ["firing", *(["update"] if expected else []), "resolved"]
    assert [says(m)[: len(expected)] for m in scene.mail()[1:-1] if expected] == ([expected] if expected else [])
    page, follows, *_ = scene.mail()
    assert not expected or follows.created_at - page.created_at <= PATIENCE["enterprise"]
    assert json.loads(_note(tmp_path))["spent"] == 1 + scene.asked() <= allowed


async def test_a_restart_after_the_answer_says_it_once(tmp_path: Path, clock: VirtualClock) -> None:
    """Update and what is remembered of the alert are one step: the next process neither asks nor says it again."""
    scene = Scene(clock, tmp_path, [hurt(1200, 15, sdk="4.1.1")], affected={"dimensions": ["sdk"]})
    await scene.live_until(lambda: "update" in scene.kinds())
    page, update = scene.mail()
    assert update.created_at - page.created_at < PATIENCE["enterprise"] / 2  # there is still time to ask again
    await scene.live(1200)
    assert scene.kinds() == ["firing", "update", "resolved"]
    assert scene.asked() == 1
    assert [entry.updates for entry in scene.log() if entry.updates is not None] == [2]  # 1 is pending


async def test_the_end_of_an_alert_ends_its_question(tmp_path: Path, clock: VirtualClock) -> None:
    """What is over before it was asked about is not asked about, and counted."""
    scene = Scene(clock, tmp_path, [hurt(1200, 15, sdk="4.1.1")])
    outcomes: list[Mapping[Outcome, int]] = []

    def ends(daemon: Daemon) -> None:
        parts = daemon._parts
        assert parts is not None
        inquiries = parts.loops["acme"].inquiries
        [fires] = [e for e in scene.log() if e.state is State.FIRING and e.updates is None]
        again = replace(fires, alert_id="another", known_at=clock.now(), starts_at=fires.starts_at + HOUR)
        states = parts.loops["acme"].states
        over = replace(again, seq=again.seq + 1, state=State.RESOLVED)
        assert inquiries.note([again], (), states) == (again,)
        assert inquiries.note([over], (), states) == (over,)
        assert inquiries.note([again, over], (), states) == (again, over)
        assert not inquiries._open
        outcomes.append(inquiries.outcomes)

    await scene.live(1900, ends)
    assert outcomes[0][Outcome.OVER] == 1
    assert scene.asked() == 5


def _note(folder: Path) -> str:
    """What is remembered of what was asked."""
    import sqlite3

    with sqlite3.connect(folder / "state.db") as state:
        ((value,),) = state.execute("SELECT value FROM notes WHERE key = 'affected'")
    return str(value)


@pytest.mark.parametrize(("plan", "hours"), [("premium", 24), ("enterprise", 8)])
async def test_pages_and_promises_are_as_without_it(tmp_path: Path, plan: str, hours: int) -> None:
    """The same day with and without: each page before its question, the same pages, no promise broken, none refused."""
    incidents = [hurt((n + 0.4) * HOUR * 4, 40, sdk="4.1.1") for n in range(5)]
    pages: list[dict[tuple[str, int], float]] = []
    for name, affected in (("with", {}), ("without", {"per_day": 0})):
        (folder := tmp_path / name).mkdir()
        scene = Scene(VirtualClock(epoch=START, jumping=True), folder, incidents, plan=plan, affected=affected)
        looks, questions = scene.watched()
        await scene.live(hours * HOUR)
        promised = world.built(scene.data, folder).accounts[0].gaps
        assert max(b - a for times in looks.values() for a, b in pairwise(times)) <= max(promised.values()) + 1
        assert scene.here.refused() == 0
        told = [message.created_at for message in scene.mail() if message.kind == "firing"]
        assert bool(questions) is (name == "with")
        assert all(any(0 <= at - page <= PATIENCE[plan] for page in told) for at in questions)
        found = {(e.alert_id, e.at): e.known_at for e in scene.log() if e.state is State.FIRING and e.updates is None}
        assert sorted(found.values()) == sorted(told)
        pages.append(found)
    with_, without = pages
    assert with_.keys() == without.keys()
    first = min(without, key=without.__getitem__)
    assert with_[first] == without[first]
    waits = [max(known - at for (_, at), known in found.items()) for found in pages]
    assert waits[0] <= max(waits[1], *promised.values())


def test_the_annotation_has_a_name() -> None:
    """Templates and receivers rely on it."""
    assert AFFECTED == "affected"
