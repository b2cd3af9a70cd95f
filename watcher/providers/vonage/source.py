"""A Vonage account as the rest of the program sees it (ports `model.Source` and `calls.CallReader`).

Each query goes to its kind's reader; a question about one call is answered beside them.
"""

from __future__ import annotations

import math
from collections.abc import Set
from dataclasses import replace

import httpx
import msgspec

from watcher.calls import CallView, CallWish
from watcher.clock import Clock
from watcher.errors import Refused
from watcher.model import Answer, Purse, Query
from watcher.providers import http
from watcher.providers.provider import Heard
from watcher.providers.vendortime import VendorTime
from watcher.providers.vonage import callview
from watcher.providers.vonage.callread import Inquiry
from watcher.providers.vonage.client import LONGEST, Client
from watcher.providers.vonage.daily import Daily
from watcher.providers.vonage.live import Live
from watcher.providers.vonage.queries import Target, insights_pools, targets
from watcher.providers.vonage.settings import Project, VonageAccount
from watcher.providers.vonage.stats import StatsWatch
from watcher.providers.vonage.units import Found, Units
from watcher.providers.vonage.wire import Tally


def open_source(
    settings: VonageAccount,
    needed: Set[str],
    *,
    clock: Clock,
    offset: float = 0.0,
    learned: str | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
) -> VonageSource:
    """The source of an account that `check` accepts. Raises `SecretMissing`."""
    for project in settings.projects:
        project.secret_value().resolve()
    return VonageSource(
        settings=settings,
        targets=targets(settings, needed),
        clock=clock,
        vendor_time=VendorTime(clock=clock, offset=offset),
        known=_known(learned),
        connections=http.open_client(transport=transport),
    )


class VonageSource:
    """All projects of an account. Looks of an account follow each other."""

    def __init__(
        self,
        *,
        settings: VonageAccount,
        targets: tuple[Target, ...],
        clock: Clock,
        vendor_time: VendorTime,
        known: dict[str, Found],
        connections: httpx.AsyncClient,
    ) -> None:
        self._connections = connections
        self._settings = settings
        self._vendor_time = vendor_time
        self._targets = targets
        self._units = {p.name: Units(project=p, known=known.get(p.name, Found())) for p in settings.projects}
        self._clients = {
            project.name: Client(
                project=project,
                insights_url=settings.insights_url(project),
                rest_url=settings.rest_url(project),
                vendor_time=vendor_time,
                connections=connections,
                longest=math.inf if clock.virtual else LONGEST,
            )
            for project in settings.projects
        }

        def live(project: Project) -> Live:
            return Live(project=project, client=self._clients[project.name], vendor_time=vendor_time, clock=clock)

        self.live = {project.name: live(project) for project in settings.projects}
        self.stats = {
            target.project.name: StatsWatch(
                account=settings,
                target=target,
                client=self._clients[target.project.name],
                vendor_time=vendor_time,
                clock=clock,
                live=self.live[target.project.name],
                units=self._units[target.project.name],
            )
            for target in targets
            if target.kind == "stats"
        }
        self._daily = {
            target.project.name: Daily(
                project=target.project, client=self._clients[target.project.name], vendor_time=vendor_time, clock=clock
            )
            for target in targets
            if target.kind == "daily"
        }
        self._by_query = {target.query.id: target for target in targets}

    @property
    def queries(self) -> tuple[Query, ...]:
        return tuple(target.query for target in self._targets)

    async def look(self, query: Query, covered: int | None, purse: Purse) -> Answer:
        """See `model.Source`."""
        target = self._by_query[query.id]
        name = target.project.name
        match target.kind:
            case "stats":
                answer = await self.stats[name].look(query, covered, purse)
            case "live":
                answer = await self.live[name].look(query, covered, purse)
            case "daily":
                answer = await self._daily[name].look(query, covered, purse)
        return replace(answer, learned=self._learned())

    def call_pools(self, project: str) -> tuple[str, ...]:
        """See `calls.CallReader`."""
        found = self._project(project)
        if self._settings.plan != "advanced":
            raise Refused(
                409, "single calls are read from Advanced Insights: it takes the add-on, and `plan: advanced` here"
            )
        return insights_pools(self._settings, found)

    async def read_call(self, wish: CallWish, purse: Purse) -> CallView | None:
        """See `calls.CallReader`. What looks know is read, and never changed."""
        project = self._project(wish.project)
        units = self._units[project.name]
        inquiry = Inquiry(
            account=self._settings,
            project=project,
            wish=wish,
            talk=self._clients[project.name].talk(purse, Tally()),
            now=self._vendor_time.earliest(),
            shows_running=units.shows_running,
        )
        reading = await inquiry.read()
        if reading is None:
            return None
        names = {session: name for name, session in project.channels.items()}
        return callview.view(
            reading,
            user=wish.user,
            channel=names.get(reading.session, reading.session),
            scale=units.scale(beside=reading.grid),
        )

    def hear(self, token: str, authorization: str | None, body: bytes) -> Heard | None:
        """A webhook's post: what became of it; None where the token is nobody's here."""
        heard = (live.hear(token, authorization, body) for live in self.live.values())
        return next((outcome for outcome in heard if outcome is not None), None)

    async def aclose(self) -> None:
        await self._connections.aclose()

    def _project(self, name: str) -> Project:
        found = next((project for project in self._settings.projects if project.name == name), None)
        if found is None:
            raise Refused(404, "this account has no such project")
        return found

    def _learned(self) -> str | None:
        """What all projects' numbers mean, after something became known."""
        if not any(units.changed for units in self._units.values()):
            return None
        for units in self._units.values():
            units.changed = False
        return msgspec.json.encode({name: units.found() for name, units in self._units.items()}).decode()


def _known(text: str | None) -> dict[str, Found]:
    """What was known before; nothing where it is not readable: a foreign note must not stop the daemon."""
    try:
        return msgspec.json.decode(text or "{}", type=dict[str, Found])
    except msgspec.DecodeError:
        return {}
