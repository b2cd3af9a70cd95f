"""What each request gets, from the dossier's sections 2 to 8 and 11 alone.

How a request is answered, top to bottom, is `Api.decide`: who asks, what is counted, which faults strike, then the
gateway's refusals (HTTP status, no `code`), then the service's in the dossier's order (parameters, plan, quota, range,
latency, duration), then data. It is a plain function of the request and an instant; `replies.deliver` does the I/O.

The server has a clock of its own: the run clock plus the scenario's skew, counted in whole seconds. Quotas, limits,
slots and `Date` follow it; incidents and the times of faults follow the run clock.

Where the dossier leaves a question open the choice is a switch of the scenario (`world.Answers`) or marked INFERRED
where it is made. Chosen here: routes are matched before credentials (an unknown path is 404 to anyone); an App ID of
somebody else is the gateway's 401; every request with valid credentials counts, whatever becomes of it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from watcher.clock import rfc3339
from watcher.emulator.agora import insight, insight_ask, inspector, inspector_ask, realtime, realtime_ask
from watcher.emulator.agora.ask import Ask, Endpoint, Refusal, parameters
from watcher.emulator.agora.calls import Calls
from watcher.emulator.agora.gate import (
    QUOTA_WORDS,
    Caller,
    caller,
    fault_status,
    gateway,
    package_refusal,
    pool,
    refuse,
    windows,
)
from watcher.emulator.agora.reply import Found, body
from watcher.emulator.breakage import deform, instead
from watcher.emulator.counting import Coverage, Pool, Quotas, Window, by_endpoint
from watcher.emulator.faults import Facts, Fault, Injector
from watcher.emulator.replies import Reply
from watcher.emulator.traffic import Traffic
from watcher.emulator.world import Account, Project, Scenario
from watcher.model import Span

_PREFIX = "Service package limit check error, "


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The outcome in a word for the report, the reply, and which slots of which query it hands out if it arrives."""

    outcome: str
    reply: Reply
    query: tuple[str, ...] | None = None
    slots: Sequence[Span] = ()
    over_quota: bool = False


class Api:
    """The state of the server (counters only) and its decisions."""

    def __init__(self, scenario: Scenario) -> None:
        self._accounts = {account.customer_id: account for account in scenario.accounts}
        self._traffic = {
            project.app_id: Traffic(
                project=project,
                seed=scenario.seed,
                jitter=scenario.jitter,
                incidents=tuple(i for i in scenario.incidents if i.project == project.name),
            )
            for account in scenario.accounts
            for project in account.projects
        }
        self._amended_after = scenario.amended_after
        self._injector = Injector(faults=scenario.faults, seed=scenario.seed)
        self._quotas = Quotas()
        self._coverage = Coverage()
        self.requests: Counter[tuple[str, str]] = Counter()  # (endpoint, outcome): both from closed sets

    def server_time(self, host: str, at: float) -> float:
        """What the server's clock shows at run time `at`."""
        return at + self._injector.skew(host, at)

    def decide(
        self, endpoint: Endpoint, *, host: str, authorization: str | None, query: bytes, content: bytes, at: float
    ) -> Verdict:
        """The answer to one request at run time `at`, counted."""
        given = parameters(query)
        if endpoint.method == "POST":
            given = insight_ask.parameters(given, content)
        asking = caller(self._accounts, authorization, given.get("appid", ""))
        facts = Facts(
            host=host,
            account=asking.account.name if asking.account else "",
            project=asking.project.name if asking.project else "",
            endpoint=endpoint.name,
            metric=given.get("metric", ""),
            product=given.get("productType", ""),
        )
        faults = {fault.kind: fault for fault in self._injector.strike(facts, at)}
        server_now = math.floor(self.server_time(host, at))
        over: Window | None = None
        shared: Pool | None = None
        if asking.account is not None:
            shared = pool(asking.account, endpoint, given.get("appid", ""))
            over = self._spend(shared, asking.account, endpoint, server_now, at)
        verdict = self._answer(endpoint, given, asking, faults, server_now, over)
        if shared is not None and over is not None and verdict.over_quota:
            self._quotas.refused(shared, over)
        self.requests[endpoint.name, verdict.outcome] += 1
        if "slow" in faults:
            return replace(verdict, reply=replace(verdict.reply, wait=faults["slow"].seconds))
        return verdict

    def handed_out(self, query: tuple[str, ...], slots: Sequence[Span]) -> None:
        """The answer has left for a client that was still there."""
        self._coverage.add(query, slots)

    def _answer(
        self,
        endpoint: Endpoint,
        given: Mapping[str, str],
        asking: Caller,
        faults: Mapping[str, Fault],
        server_now: int,
        over: Window | None,
    ) -> Verdict:
        if (broken := instead(faults, fault_status)) is not None:
            return Verdict(outcome=broken[0], reply=broken[1])
        account, project = asking.account, asking.project
        if account is None or (project is None and asking.refusal):
            return Verdict(outcome="401", reply=gateway(401, asking.refusal))
        wanted = _ask(endpoint, given, account)
        if isinstance(wanted, Refusal):
            return Verdict(outcome=f"code {wanted.code}", reply=refuse(wanted))
        if "code_500" in faults:
            return Verdict(outcome="code 500", reply=refuse(Refusal(500, "Unknown Error")))
        words = package_refusal(wanted, account, faults, server_now, over)
        over_quota = words in QUOTA_WORDS.values()
        if over_quota and account.quota.refuse_with == "gateway":
            return Verdict(outcome="429", reply=gateway(429), over_quota=True)
        if words:
            prefix = _PREFIX if account.answers.message_prefix else ""
            return Verdict(outcome=words, reply=refuse(Refusal(300, prefix + words)), over_quota=over_quota)
        assert project is not None  # an App ID is required by every endpoint
        found = self._find(wanted, account, faults, server_now)
        raw, telling = body(found, faults)
        reply, whole = deform(Reply(body=raw), faults)
        if found.query is None or not telling or not whole:
            return Verdict(outcome="answered", reply=reply)
        return Verdict(
            outcome="answered", reply=reply, query=_query_key(wanted, account, project, found.query), slots=found.slots
        )

    def _find(self, wanted: Ask, account: Account, faults: Mapping[str, Fault], server_now: int) -> Found:
        traffic = self._traffic[wanted.app_id]
        fresh = server_now - account.limits[wanted.endpoint.group].delay
        match wanted:
            case realtime_ask.RealtimeAsk():
                return realtime.answer(
                    wanted, traffic, server_now=server_now, fresh=fresh, answers=account.answers, faults=faults
                )
            case inspector_ask.InspectorAsk():
                return inspector.answer(wanted, Calls(traffic), fresh=fresh, answers=account.answers, faults=faults)
            case insight_ask.InsightAsk():
                known = insight.Known(fresh=fresh, now=server_now, amended_after=self._amended_after)
                return insight.answer(wanted, traffic, known=known, answers=account.answers, faults=faults)
        raise AssertionError(wanted)

    # ── what is counted ──────────────────────────────────────────────────────────────────────────────────────────

    def _spend(self, shared: Pool, account: Account, endpoint: Endpoint, server_now: int, at: float) -> Window | None:
        others = self._injector.others(Facts(account=account.name), server_now - at)
        limits = windows(account.limits[endpoint.group])
        return self._quotas.spend(shared, limits, server_now, strict=account.quota.strict, foreign=others)

    def report(self, at: float) -> dict[str, object]:
        """See `Emulator.report`."""
        return {
            "vendor": "agora",
            "now": rfc3339(at),
            "quotas": self._quotas.report(),
            "requests": by_endpoint(self.requests),
            "faults": dict(self._injector.struck),
            "slots": [
                {**dict(zip(_QUERY_KEY, key, strict=True)), "intervals": [list(span) for span in spans]}
                for key, spans in self._coverage.spans().items()
            ],
            "dropped": {
                "pools": self._quotas.dropped_pools,
                "queries": self._coverage.dropped_keys,
                "intervals": self._coverage.forgotten_spans,
            },
        }


def _ask(endpoint: Endpoint, given: Mapping[str, str], account: Account) -> Ask | Refusal:
    match endpoint.group.partition("_")[0]:
        case "realtime":
            return realtime_ask.ask(endpoint, given)
        case "call":
            return inspector_ask.ask(endpoint, given)
        case _:
            return insight_ask.ask(endpoint, given, account.answers)


_QUERY_KEY = ("account", "project", "endpoint", "app_id", "product", "metric", "cname", "split")


def _query_key(wanted: Ask, account: Account, project: Project, query: tuple[str, ...]) -> tuple[str, ...]:
    return (account.name, project.name, wanted.endpoint.name, wanted.app_id, *query)
