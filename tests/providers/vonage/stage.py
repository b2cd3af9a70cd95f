"""A client and an emulated vendor in one process, in virtual time: looks by hand, compared with what the vendor saw."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import httpx

from tests.conftest import EPOCH
from tests.emulator.vonage.helpers import KEY, SECRET, rsa
from tests.providers.doubles import FakePurse
from watcher.clock import VirtualClock
from watcher.emulator.vonage.scenario import reads
from watcher.emulator.vonage.server import Emulator, build_vonage, summary
from watcher.model import Answer, Points, Query, Series
from watcher.providers.vonage.queries import SIGNALS, queries
from watcher.providers.vonage.settings import VonageAccount
from watcher.providers.vonage.source import VonageSource, open_source
from watcher.secret import Secret

NOON = EPOCH + 12 * 3600
APPLICATION = "00000000-0000-4000-8000-000000000001"


def account(*projects: Mapping[str, Any], **changes: Any) -> VonageAccount:
    """A valid account; each mapping changes one legacy project."""
    plain = {"name": "classroom", "key": KEY, "secret": Secret.of(SECRET)}
    return VonageAccount.model_validate(
        {
            "name": "acme",
            "provider": "vonage",
            "base_url": "http://vonage.example.com",
            "projects": tuple(plain | dict(project) for project in projects or ({},)),
        }
        | changes
    )


def unified(**changes: Any) -> dict[str, Any]:
    """A unified application as one of `account`'s projects."""
    own = {"name": "clinic", "key": None, "secret": None, "application": APPLICATION}
    return {**own, "private_key": Secret.of(rsa()[0]), **changes}


class Stage:
    """An emulator, a source that asks it, and what every look brought."""

    def __init__(
        self,
        clock: VirtualClock,
        scenario: Mapping[str, Any],
        settings: VonageAccount | None = None,
        *,
        epoch: float = EPOCH,
        needed: frozenset[str] = SIGNALS,
        learned: str | None = None,
    ) -> None:
        self.clock = clock
        self.settings = settings or account()
        self.needed = needed
        self.emulator: Emulator = build_vonage(reads(json.dumps(scenario), epoch=epoch), clock)
        self.answers: list[Answer] = []
        self.values: dict[tuple[Series, int], tuple[float, float]] = {}
        self.covered: dict[str, int] = {}
        self.purses: list[FakePurse] = []
        self.source = self.open(learned)

    def open(self, learned: str | None = None) -> VonageSource:
        """A new client, as after a restart."""
        transport = httpx.ASGITransport(app=self.emulator.app, client=("10.0.0.1", 1))
        self.source = open_source(self.settings, self.needed, clock=self.clock, learned=learned, transport=transport)
        return self.source

    def query(self, kind: str = "stats", project: str = "classroom") -> Query:
        return next(q for q in queries(self.settings, self.needed) if q.id == f"acme/{project}/{kind}")

    async def look(self, kind: str = "stats", project: str = "classroom", *, requests: int = 90) -> Answer:
        """One look, with so many requests at most."""
        query, purse = self.query(kind, project), FakePurse(extra=requests - 1)
        self.purses.append(purse)
        answer = await self.source.look(query, self.covered.get(query.id), purse)
        self.answers.append(answer)
        self.covered[query.id] = max(answer.asked.end, self.covered.get(query.id, 0))
        for points in answer.points:
            self._keep(points)
        return answer

    async def looks(self, seconds: float, *, every: float = 60.0, **how: Any) -> None:
        """Looks at a steady pace for so long."""
        until = self.clock.now() + seconds
        while self.clock.now() < until:
            await self.look(**how)
            await self.clock.sleep_until(self.clock.now() + every)

    def series(self, signal: str, channel: str = "", *, product: str = "", project: str = "classroom") -> Series:
        return Series("acme", "vonage", project, product, channel, signal)

    def value(self, signal: str, start: float, channel: str = "", **where: str) -> tuple[float, float] | None:
        """The last value and weight told of a window."""
        return self.values.get((self.series(signal, channel, **where), int(start)))

    def rows(self, since: float | None = None) -> dict[str, dict[str, Any]]:
        """What the emulator says was visible and handed out, by kind of stream."""
        return {str(row["kind"]): row for row in summary(self.emulator.rows(since=since))}

    def oddities(self) -> dict[str, int]:
        """What was repaired or dropped in all looks."""
        total: dict[str, int] = {}
        for answer in self.answers:
            for name, count in answer.oddities.items():
                total[name] = total.get(name, 0) + count
        return total

    def _keep(self, points: Points) -> None:
        weights = points.weight if points.weight is not None else points.value
        for start, value, weight in zip(points.start, points.value, weights, strict=True):
            self.values[points.series, int(start)] = (float(value), float(weight))
