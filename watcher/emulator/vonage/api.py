"""What each request to Vonage's APIs gets, and what of it is counted.

How a request is answered, top to bottom, is `Api.graphql` and `Api.rest`: who asks, what is counted, which faults
strike, then refusals, then the answer. Both are plain functions of the request and an instant. Tokens, limits and
`Date` follow the server's clock (the run clock plus the scenario's skew); what has happened and what can be seen of it
follow the run clock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from watcher.clock import DAY, rfc3339
from watcher.emulator.breakage import PAGE, deform, instead
from watcher.emulator.counting import Pool
from watcher.emulator.faults import Facts, Fault, Injector
from watcher.emulator.meter import Meter
from watcher.emulator.replies import HTML, Manner, Reply
from watcher.emulator.vonage import rest
from watcher.emulator.vonage.calendar import outages
from watcher.emulator.vonage.daily import Nightly
from watcher.emulator.vonage.graph import Answered, Graph, Question, failed, unauthenticated
from watcher.emulator.vonage.handed import HandedOut
from watcher.emulator.vonage.life import Lives, Publisher, Subscriber
from watcher.emulator.vonage.pages import Asking, Store
from watcher.emulator.vonage.samples import timing
from watcher.emulator.vonage.sessions import Sessions
from watcher.emulator.vonage.tokens import Denied, Gate
from watcher.emulator.vonage.view import View
from watcher.emulator.vonage.world import Outage, Project, Scenario

LEGACY_PATH, UNIFIED_PATH = "/graphql", "/video/insights-api/graphql"

_RETRY_AFTER = "30"  # INFERRED
_UNAUTHENTICATED = (1000, 1001, 1011, 1016, 1020)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the headers and the connection say."""

    path: str
    host: str
    address: str
    legacy: str | None
    bearer: str | None


class _Wire(msgspec.Struct):
    """The JSON of a GraphQL request. Names as on the wire."""

    query: str
    variables: dict[str, Any] | None = None
    operationName: str | None = None  # noqa: N815


class Api:
    """The state of the server (counters and memories only) and its decisions."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._gate = Gate(scenario.projects)
        self._graph = Graph(coded=scenario.answers.validation == "coded")
        self._known = {project.id: project for project in scenario.projects}
        self.lives = Lives(scenario.incidents)
        self.stores = {
            project.id: Store(
                project=project,
                sessions=Sessions(project),
                lives=self.lives,
                nightly=Nightly(
                    project=project, incidents=scenario.incidents, delay=scenario.daily_delay, jitter=scenario.jitter
                ),
            )
            for project in scenario.projects
        }
        self._injector = Injector(faults=scenario.faults, seed=scenario.seed)
        self._foreign = tuple(fault for fault in scenario.faults if fault.kind == "foreign")
        self._meter = Meter()
        self._handed = HandedOut()
        self.requests: Counter[tuple[str, str]] = Counter()  # (endpoint, outcome): both from closed sets
        self._nodes: Counter[str] = Counter(worst=0, total=0, refused=0)

    def server_time(self, host: str, at: float) -> float:
        """What the server's clock shows at run time `at`."""
        return at + self._injector.skew(host.lower(), at)

    # ── GraphQL ──────────────────────────────────────────────────────────────────────────────────────────────────

    def graphql(self, asked: Asked, body: bytes | None, at: float) -> Reply:
        """The answer to a GraphQL request at run time `at`, counted."""
        server_now = self.server_time(asked.host, at)
        legacy_only = asked.path == LEGACY_PATH
        caller = self._gate.enter(
            legacy=asked.legacy, bearer=None if legacy_only else asked.bearer, now=server_now, surface="insights"
        )
        project = None if isinstance(caller, Denied) else caller
        wire = _wire(body)
        read = self._graph.read(wire.query) if wire and project else None
        endpoint = read.endpoint if isinstance(read, Question) and read.endpoint else "graphql"
        faults = self._strike(asked, endpoint, project, at)
        fits = self._spend(asked, project, server_now, at)
        outcome, reply = self._graphql(caller, wire, read, faults, fits, at)
        self.requests[endpoint, outcome] += 1
        return replace(reply, wait=reply.wait + faults["slow"].seconds) if "slow" in faults else reply

    def _graphql(
        self,
        caller: Project | Denied,
        wire: _Wire | None,
        read: Question | Answered | None,
        faults: Mapping[str, Fault],
        fits: bool,
        at: float,
    ) -> tuple[str, Reply]:
        """The outcome in one word for the report, and the reply."""
        if (broken := instead(faults, _status)) is not None:
            return broken
        if isinstance(caller, Denied):
            return f"401 {caller.code}", _json(unauthenticated(caller.code, caller.message), 401)
        if not fits:
            return "throttled", _status(int(self._scenario.limits.throttle[5:]))
        if (forced := next((int(kind[6:]) for kind in faults if kind.startswith("error_")), None)) is not None:
            denied = forced in _UNAUTHENTICATED
            body = unauthenticated(forced) if denied else failed(forced)
            return f"{'401' if denied else 'error'} {forced}", _json(body, 401 if denied else 200)
        if wire is None:
            return "400", _json({"errors": [{"message": "The body is no GraphQL request."}]}, 400)
        if isinstance(read, Answered):
            return "400", _json(read.body, read.status)
        assert read is not None
        return self._run(caller, wire, read, faults, at)

    def _run(
        self, project: Project, wire: _Wire, read: Question, faults: Mapping[str, Fault], at: float
    ) -> tuple[str, Reply]:
        near = tuple(outages(self._scenario.maintenance, at - DAY, at + 1))
        unreachable = self._unreachable(near, read, at)
        if unreachable == "http_503":
            return "maintenance", _status(503)
        if unreachable == "timeout":
            return "maintenance", Reply(manner=Manner.SILENT)
        ask = Asking(
            store=self.stores[project.id],
            known=self._known,
            view=View(now=at, visibility=project.visibility, outages=near),
            answers=self._scenario.answers,
            jitter=self._scenario.jitter,
            faults=faults,
            unreachable=unreachable,
            most_nodes=self._scenario.limits.nodes,
        )
        answered = self._graph.answer(read, ask=ask, variables=wire.variables or {}, name=wire.operationName)
        self._nodes["worst"] = max(self._nodes["worst"], answered.nodes)
        self._nodes["total"] += answered.nodes
        self._nodes["refused"] += answered.too_large
        reply, whole = _spoil(answered, faults)
        if whole and not answered.too_large:
            for stream, ranks in ask.handed:
                self._handed.add(stream, ranks)
        if answered.slow:
            reply = replace(reply, wait=self._scenario.answers.slow_fields)
        code = next(iter(answered.codes), None)
        return ("answered" if code is None else f"error {code}"), reply

    def _unreachable(self, near: Sequence[Outage], read: Question, at: float) -> str:
        """How the API answers in a maintenance window; the nightly figures know none."""
        if read.endpoint == "projectData" or not any(o.start <= at < o.end for o in near):
            return ""
        return self._scenario.maintenance.answer

    # ── REST ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def rest(self, asked: Asked, project_id: str, call: rest.Call, at: float) -> Reply:
        """The answer to a REST call at run time `at`, counted."""
        server_now = self.server_time(asked.host, at)
        legacy = project_id.isdigit()
        caller = self._gate.enter(
            legacy=asked.legacy if legacy else None,
            bearer=None if legacy else asked.bearer,
            now=server_now,
            surface="rest",
        )
        if isinstance(caller, Project) and caller.id != project_id:
            caller = Denied(code=1019, message="Token does not belong to the project")
        project = None if isinstance(caller, Denied) else caller
        faults = self._strike(asked, call.endpoint, project, at)
        fits = self._spend_rest(project, server_now)
        broken = instead(faults, _status)
        if broken is not None:
            outcome, reply = broken
        elif isinstance(caller, Denied):
            reply = rest.refused(caller, call, legacy=legacy)
            outcome = str(reply.status)
        elif not fits:
            reply = rest.problem(429, "Too many requests", call)
            outcome, reply = "throttled", replace(reply, headers=(("retry-after", _RETRY_AFTER),))
        else:
            store = self.stores[caller.id]
            reply = rest.respond(call, store, now=at, answers=self._scenario.answers, faults=faults)
            outcome = "answered" if reply.status == 200 else str(reply.status)
            reply, _ = deform(reply, faults)
        self.requests[call.endpoint, outcome] += 1
        return replace(reply, wait=faults["slow"].seconds) if "slow" in faults else reply

    # ── what is counted ──────────────────────────────────────────────────────────────────────────────────────────

    def _strike(self, asked: Asked, endpoint: str, project: Project | None, at: float) -> Mapping[str, Fault]:
        facts = Facts(host=asked.host, project=project.name if project else "", endpoint=endpoint)
        return {fault.kind: fault for fault in self._injector.strike(facts, at)}

    def _spend(self, asked: Asked, project: Project | None, server_now: float, at: float) -> bool:
        """Count a request against its key and its address; whether both still have room."""
        limits = self._scenario.limits
        ahead = server_now - at
        sharing = [f for f in self._foreign if project and (not f.where.project or project.name in f.where.project)]

        def foreign(start: float, end: float) -> int:
            return sum(fault.foreign(start - ahead, end - ahead) for fault in sharing)

        pools = [Pool("", "insights", asked.address)]
        if project is not None:
            pools.append(Pool(project.name, "insights"))
        fits = [
            self._meter.spend(
                pool,
                server_now,
                seconds=limits.seconds,
                limit=limits.requests,
                foreign=foreign if pool.account else lambda start, end: 0,
            )
            for pool in pools
        ]
        return all(fits)

    def _spend_rest(self, project: Project | None, server_now: float) -> bool:
        if project is None:
            return True
        limits = self._scenario.limits
        return self._meter.spend(
            Pool(project.name, "rest"),
            server_now,
            seconds=limits.rest_seconds,
            limit=limits.rest_requests,
            foreign=lambda start, end: 0,
        )

    # ── reports ──────────────────────────────────────────────────────────────────────────────────────────────────

    def report(self, at: float) -> dict[str, object]:
        """See `Emulator.report`."""
        requests: dict[str, dict[str, int]] = {}
        for (endpoint, outcome), count in sorted(self.requests.items()):
            requests.setdefault(endpoint, {})[outcome] = count
        total, unique = self._handed.totals()
        return {
            "vendor": "vonage",
            "now": rfc3339(at),
            "quotas": self._meter.report(),
            "nodes": {"limit": self._scenario.limits.nodes, **self._nodes},
            "requests": requests,
            "faults": dict(self._injector.struck),
            "rows": {"handed_out": unique, "handed_again": total - unique},
            "dropped": {
                "pools": self._meter.dropped_pools,
                "streams": self._handed.dropped_streams,
                "intervals": self._handed.forgotten_spans,
            },
        }

    def rows(self, at: float, since: float) -> list[dict[str, object]]:
        """See `Emulator.rows`."""
        near = tuple(outages(self._scenario.maintenance, at - DAY, at + 1))
        found: list[dict[str, object]] = []
        for store in self.stores.values():
            view = View(now=at, visibility=store.project.visibility, outages=near)
            for session in store.sessions.within(since, at):
                for meeting in view.meetings(session):
                    crew = self.lives.crew(session, meeting)
                    streams: tuple[Publisher | Subscriber, ...] = (*crew.publishers, *crew.subscribers())
                    for stream in streams:
                        if stream.end < since or not view.began(stream.start):
                            continue
                        when = timing(stream, store.project.samples)
                        ranks = view.ranks(when, meeting)
                        first = when.until(since - 0.001)
                        handed = self._handed.of(stream.key)
                        found.append(
                            {
                                "project": store.project.name,
                                "session": session.session_id,
                                "kind": "publisher" if isinstance(stream, Publisher) else "subscriber",
                                "id": stream.id,
                                "visible": len(ranks) - ranks.below(first),
                                "handed_out": handed.unique(first),
                                "handed_again": handed.total - handed.unique(),
                            }
                        )
        return found


def _wire(body: bytes | None) -> _Wire | None:
    try:
        return msgspec.json.decode(body, type=_Wire) if body else None
    except (msgspec.DecodeError, RecursionError):
        return None


def _status(status: int) -> Reply:
    """What a gateway says: not JSON, but for a throttled key's."""
    headers = (("retry-after", _RETRY_AFTER),) if status in (429, 503) else ()
    if status in (401, 404, 429):
        return replace(_json({"message": f"Gateway status {status}"}, status), headers=headers)
    return Reply(status=status, body=PAGE, media=HTML, headers=headers)


def _spoil(answered: Answered, faults: Mapping[str, Fault]) -> tuple[Reply, bool]:
    """The reply as it leaves, and whether its rows can reach the client."""
    body, whole = answered.body, True
    if "errors_only" in faults:
        body, whole = {"errors": failed(1012)["errors"]}, False
    elif "null_data" in faults:
        body, whole = {"data": None}, False
    reply, intact = deform(_json(body, answered.status), faults)
    return reply, whole and intact


def _json(body: Mapping[str, Any], status: int = 200) -> Reply:
    return Reply(status=status, body=msgspec.json.encode(body))
