"""The daemon and an emulated Twilio, end to end in virtual time: shipped rules, real routing, no staging."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
import yaml

from tests.alerts.fakes import FakeSender
from tests.conftest import EPOCH
from tests.emulator.twilio.helpers import KEY, SECRET, account, plain, traffic
from watcher.app.daemon import Daemon
from watcher.clock import HOUR, MINUTE, VirtualClock, rfc3339, sleep
from watcher.config import build
from watcher.emulator.twilio.scenario import reads
from watcher.emulator.twilio.server import Emulator, build_twilio
from watcher.model import Series
from watcher.store import open_readonly
from watcher.yamlfile import loads

NOON = EPOCH + 12 * HOUR
PACK = Path(__file__).parents[2] / "rules" / "twilio.yaml"


class Calls:
    """An emulated vendor, a daemon that watches it, and a target that keeps what it gets."""

    def __init__(
        self,
        clock: VirtualClock,
        folder: Path,
        scenario: dict[str, Any],
        *,
        wire: Callable[[httpx.AsyncBaseTransport], httpx.AsyncBaseTransport] = lambda inner: inner,
        **changes: Any,
    ) -> None:
        self.clock = clock
        self.emulator: Emulator = build_twilio(reads(json.dumps(scenario), epoch=EPOCH), clock)
        self.sender = FakeSender(clock)
        self._folder = folder
        self._changes = changes
        self.transport = wire(httpx.ASGITransport(app=self.emulator.app))
        self.daemon = self.start()

    def start(self) -> Daemon:
        """A daemon on the state that is there."""
        project = {"name": "support", "api_key": KEY, "api_secret": SECRET, **self._changes}
        config = {
            "accounts": [
                {"name": "rtc", "provider": "twilio", "base_url": "http://twilio.example.com", "projects": [project]}
            ],
            "targets": {"oncall": "json://localhost/"},
            "routes": [{"to": ["oncall"]}],
            "rules": [str(PACK)],
            "state": f"sqlite:///{self._folder}/state.db",
        }
        self.daemon = Daemon(
            config=build(loads(yaml.safe_dump(config), "config.yaml"), self._folder),
            clock=self.clock,
            transports={"rtc": self.transport},
            senders=lambda target, url: self.sender,
        )
        return self.daemon

    async def run(self, seconds: float) -> dict[str, Any]:
        """Run the daemon for so long; the report of design section 8."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.daemon.run)
            await sleep(self.clock, seconds)
            report = await self.daemon.report()
            await self.daemon.stop()
            tasks.cancel_scope.cancel()
        return report

    def texts(self) -> list[str]:
        """Every message, in order."""
        found = [sending.notification for sending in self.sender.accepted]
        return [f"{n.title}\n{n.text}" for n in found]


def busy(*incidents: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Forty rooms at a time, of which some show late and grow, and these incidents."""
    visibility = {"slow": {"share": "20%", "by": "15m"}, "late": {"share": "20%", "by": "4m"}, "amended": "10%"}
    own = account(rooms=[], traffic=traffic(rooms=40, participants=6, length="15m", vary="20%"), visibility=visibility)
    return plain(accounts=[own], incidents=list(incidents), **changes)


def outage(start: str = "+12h10m", duration: str = "20m", **endings: str) -> dict[str, Any]:
    return {"account": "acme", "start": start, "duration": duration, "endings": endings or {"53405": "60%"}}


def fired(report: dict[str, Any], rule: str) -> list[dict[str, Any]]:
    """The episodes of a rule, as the report has them."""
    return [alert for alert in report["alerts"] if alert["rule"] == rule]


async def test_an_outage_pages_once_says_how_late_it_is_and_ends(tmp_path: Path) -> None:
    """Twenty minutes of broken media: one page within the promise, whose text says that it is post-call, one end."""
    clock = VirtualClock(epoch=NOON, jumping=True)
    here = Calls(clock, tmp_path, busy(outage()))
    report = await here.run(3 * HOUR)
    [alert] = fired(report, "ParticipantsFailing")
    assert rfc3339(int(NOON + 10 * MINUTE)) <= alert["starts_at"] <= rfc3339(int(NOON + 25 * MINUTE))
    assert rfc3339(int(NOON + 20 * MINUTE)) <= alert["notified_at"] <= rfc3339(int(NOON + 55 * MINUTE))
    assert alert["ended_at"] is not None
    [first, *_] = [text for text in here.texts() if "ended with a failure" in text]
    assert "after they are over, 10 to 30 minutes late" in first
    assert "told after calls are over, up to 30 min later" in first
    assert "53405" in first
    assert sum(row["refused_by_vendor"] for row in report["requests"]) == 0
    assert report["points"]["lost"] == 0
    counted: Any = here.emulator.report()
    assert counted["participant_reads"]["most"] <= 2


async def test_a_quiet_day_pages_nobody(tmp_path: Path) -> None:
    """Healthy calls, half of the rooms late: minutes that grow are no incident and no missing data."""
    clock = VirtualClock(epoch=NOON, jumping=True)
    here = Calls(clock, tmp_path, busy())
    report = await here.run(4 * HOUR)
    assert report["alerts"] == []
    assert here.texts() == []


async def test_a_stop_in_the_middle_pages_nobody_twice(tmp_path: Path) -> None:
    """Stopped between page and end: the same episode goes on, and its end is told once."""
    clock = VirtualClock(epoch=NOON, jumping=True)
    here = Calls(clock, tmp_path, busy(outage()))
    await here.run(50 * MINUTE)
    pages = len(here.texts())
    assert pages >= 1
    await sleep(clock, 7 * MINUTE)
    here.start()
    report = await here.run(2 * HOUR)
    [alert] = fired(report, "ParticipantsFailing")
    assert alert["ended_at"] is not None
    texts = [text for text in here.texts() if "ended with a failure" in text or "ParticipantsFailing" in text]
    assert len(texts) == 2


class Forgetful(httpx.AsyncBaseTransport):
    """The emulator, whose list of rooms has about half of them while it `forgets`."""

    forgets = False

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        reply = await self._inner.handle_async_request(request)
        if not self.forgets or request.url.path.endswith("/Participants"):
            return reply
        body = json.loads(await reply.aread())
        body["rooms"] = [room for room in body["rooms"] if room["room_sid"][-1] < "8"]
        stream = httpx.ByteStream(json.dumps(body).encode())
        return httpx.Response(reply.status_code, stream=stream, headers={"date": reply.headers["date"]})


async def test_a_list_of_half_of_the_rooms_after_a_restart_corrects_nothing(tmp_path: Path) -> None:
    """Restarted in the middle of an outage at a vendor that leaves rooms out for ten minutes: nothing that is on record
    becomes less, and the alert that fires is not corrected away."""
    clock = VirtualClock(epoch=NOON, jumping=True)
    here = Calls(clock, tmp_path, busy(outage()), wire=Forgetful)
    wire = here.transport
    assert isinstance(wire, Forgetful)
    await here.run(50 * MINUTE)
    before = recorded(tmp_path)
    assert sum(before.values()) > 100
    wire.forgets = True
    here.start()
    await here.run(10 * MINUTE)
    after = recorded(tmp_path)
    assert {at: (n, after.get(at)) for at, n in before.items() if after.get(at, 0.0) < n} == {}
    wire.forgets = False
    here.start()
    report = await here.run(2 * HOUR)
    [alert] = fired(report, "ParticipantsFailing")
    assert alert["ended_at"] is not None
    assert not any("correct" in text.lower() for text in here.texts())


def recorded(folder: Path) -> dict[int, float]:
    """People by minute, as the store has them."""
    reader = open_readonly(f"sqlite:///{folder}/state.db")
    try:
        points = reader.points(Series("rtc", "twilio", "support", "", "", "users"), 0)
    finally:
        reader.close()
    return dict(zip(points.start.tolist(), points.value.tolist(), strict=True)) if points is not None else {}


@pytest.mark.parametrize(("code", "rule"), [("53104", "ParticipantsKeptOut"), ("53206", "QuotaRefusesParticipants")])
async def test_each_kind_of_failure_has_its_own_rule(tmp_path: Path, code: str, rule: str) -> None:
    """A shut door and a full account page as what they are."""
    clock = VirtualClock(epoch=NOON, jumping=True)
    here = Calls(clock, tmp_path, busy(outage(**{code: "40%"})))
    report = await here.run(2 * HOUR)
    assert len(fired(report, rule)) == 1
    assert fired(report, "ParticipantsDropping") == []


async def test_a_page_names_the_sdk_that_suffers(tmp_path: Path) -> None:
    """Media breaks for one SDK alone: the page itself says so, with its people, and no request was made for it."""
    clock = VirtualClock(epoch=NOON, jumping=True)
    ios = outage() | {"sdks": ["twilio-video-ios 5.11.1"]}
    here = Calls(clock, tmp_path, busy(ios))
    await here.run(100 * MINUTE)
    [first, *_] = [text for text in here.texts() if "ended with a failure" in text]
    assert "affected: SDK twilio-video-ios 5.11.1: " in first
    assert "of participants failed" in first
    assert " participants in the group; project " in first
