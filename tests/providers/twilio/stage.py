"""A client and an emulated vendor in one process, in virtual time: looks by hand, against what the vendor knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx
import numpy as np

from tests.conftest import EPOCH
from tests.emulator.twilio.helpers import KEY, SECRET, SID, TOKEN, scenario
from tests.providers.doubles import FakePurse, Vendor
from watcher.clock import VirtualClock
from watcher.emulator.twilio.server import Emulator, build_twilio
from watcher.model import Answer, Points, Query, Series
from watcher.providers.twilio.queries import SIGNALS, queries
from watcher.providers.twilio.settings import TwilioAccount
from watcher.providers.twilio.source import TwilioSource, open_source
from watcher.providers.twilio.watch import Watch
from watcher.secret import Secret

HOST = "insights.example.com"


def account(*projects: Mapping[str, Any], **changes: Any) -> TwilioAccount:
    """A valid account; each mapping changes one project with an API key."""
    plain = {"name": "calls", "api_key": KEY, "api_secret": Secret.of(SECRET)}
    return TwilioAccount.model_validate(
        {
            "name": "acme",
            "provider": "twilio",
            "base_url": f"http://{HOST}",
            "projects": tuple(plain | dict(project) for project in projects or ({},)),
        }
        | changes
    )


def by_token(**changes: Any) -> dict[str, Any]:
    """A project with an account's auth token as one of `account`'s."""
    own = {"api_key": None, "api_secret": None, "account_sid": SID, "auth_token": Secret.of(TOKEN)}
    return {**own, **changes}


class Looks:
    """A source, its looks, and what they told."""

    def __init__(
        self, clock: VirtualClock, transport: httpx.AsyncBaseTransport, settings: TwilioAccount | None = None
    ) -> None:
        self.clock = clock
        self.settings = settings or account()
        self.answers: list[Answer] = []
        self.values: dict[str, dict[int, tuple[float, float]]] = {}
        self.covered: int | None = None
        self.learned: str | None = None
        self.purse = FakePurse()
        self._transport = transport
        self.source = self.open()

    def open(self) -> TwilioSource:
        """A new client, as after a restart."""
        self.source = open_source(
            self.settings, SIGNALS, clock=self.clock, learned=self.learned, transport=self._transport
        )
        if self.covered is not None:
            self.source.recall(self.recorded, {self.query.id: self.covered})
        return self.source

    def recorded(self, series: Series, since: int) -> Points | None:
        """What was told, as a store has it."""
        found = sorted((at, value) for at, value in self.values.get(series.signal, {}).items() if at >= since)
        if not found:
            return None
        start = np.array([at for at, _ in found], np.int64)
        value, weight = np.array([value for _, value in found], np.float64).T
        return Points(series=series, width=60, start=start, value=value, weight=weight)

    @property
    def query(self) -> Query:
        return queries(self.settings, SIGNALS)[0]

    @property
    def watch(self) -> Watch:
        return self.source.watches[self.query.id]

    async def look(self, *, requests: int = 400) -> Answer:
        """One look, with so many requests at most."""
        self.purse = FakePurse(extra=requests - 1)
        answer = await self.source.look(self.query, self.covered, self.purse)
        self.answers.append(answer)
        self.covered = max(answer.asked.end, self.covered or 0)
        self.learned = answer.learned or self.learned
        for points in answer.points:
            assert points.weight is not None
            found = self.values.setdefault(points.series.signal, {})
            for start, value, weight in zip(points.start, points.value, points.weight, strict=True):
                assert answer.asked.start <= start < answer.asked.end
                found[int(start)] = (float(value), float(weight))
        return answer

    async def looks(self, seconds: float, *, every: float = 60.0, requests: int = 400) -> None:
        """Looks at a steady pace for so long."""
        until = self.clock.now() + seconds
        while self.clock.now() < until:
            await self.look(requests=requests)
            await self.clock.sleep_until(self.clock.now() + every)

    def series(self, signal: str) -> Series:
        return Series("acme", "twilio", "calls", "", "", signal)

    def people(self) -> float:
        """How many left, over all minutes told."""
        return sum(value for value, _ in self.values.get("users", {}).values())

    def counted(self, signal: str) -> int:
        """How many people a ratio counts, over all minutes told."""
        return round(sum(value * weight for value, weight in self.values.get(signal, {}).values()))

    def oddities(self) -> dict[str, int]:
        """What was repaired or dropped in all looks."""
        total: dict[str, int] = {}
        for answer in self.answers:
            for name, count in answer.oddities.items():
                total[name] = total.get(name, 0) + count
        return total


class Stage(Looks):
    """Looks at an emulator."""

    def __init__(
        self,
        clock: VirtualClock,
        data: Mapping[str, Any],
        settings: TwilioAccount | None = None,
        *,
        epoch: float = EPOCH,
    ) -> None:
        self.emulator: Emulator = build_twilio(scenario(data, epoch=epoch), clock)
        super().__init__(clock, httpx.ASGITransport(app=self.emulator.app), settings)

    def report(self) -> Any:
        return self.emulator.report()


class Script(Looks):
    """Looks at a scripted vendor."""

    def __init__(self, clock: VirtualClock, vendor: Vendor, settings: TwilioAccount | None = None) -> None:
        self.vendor = vendor
        super().__init__(clock, vendor.transport(), settings)
