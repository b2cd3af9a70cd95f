"""Agora's real-time analytics API as a server, from the dossier's sections 2, 3, 4, 6, 7 and 11 alone.

How a request is answered, top to bottom, is `_Api.decide`: who asks, what is counted, which faults strike, then the
gateway's refusals (HTTP status, no `code`), then the service's in the dossier's order (parameters, plan, quota, range,
latency, duration), then rows. It is a plain function of the request and an instant; `replies.deliver` does the I/O.

The server has a clock of its own: the run clock plus the scenario's skew, counted in whole seconds. Quotas, limits,
slots and `Date` follow it; incidents and the times of faults follow the run clock.

Where the dossier leaves a question open the choice is a switch of the scenario (`scenario.Answers`) or marked INFERRED
where it is made. Chosen here: routes are matched before credentials (an unknown path is 404 to anyone); an App ID of
somebody else is the gateway's 401; every request with valid credentials counts, whatever becomes of it.

`GET /_emulator/report` is ours and no part of the vendor's API: the same as `Emulator.report()`, for tests of other
processes; no credentials, nothing counted, no faults.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from email.utils import formatdate

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from watcher.clock import DAY, MINUTE, Clock, rfc3339
from watcher.emulator.agora_ask import REALTIME, Ask, Endpoint, Refusal, ask, parameters
from watcher.emulator.agora_rows import rows
from watcher.emulator.breakage import PAGE, deform, instead
from watcher.emulator.counting import Coverage, Pool, Quotas, Window
from watcher.emulator.faults import Facts, Fault, Injector
from watcher.emulator.replies import HTML, JSON, Reply, deliver, header
from watcher.emulator.traffic import Traffic
from watcher.emulator.world import Account, Limits, Project, Scenario
from watcher.model import Span

FAMILY = "realtime"
REPORT_PATH = "/_emulator/report"

_PREFIX = "Service package limit check error, "
_NO_AUTH = "you have no auth to access this service, please buy or upgrade your service package"
_QUOTA_WORDS = {"second": "qps limit error", "minute": "qpm limit error", "day": "qpd limit error"}
_FORCED = {"qps": "second", "qpm": "minute", "qpd": "day"}
_SPAN_WORDS = {"duration": "query duration limit error", "length": "query time length limit error"}


class Emulator:
    """A running Agora: `app` is ASGI, `report()` is what it counted."""

    def __init__(self, *, scenario: Scenario, clock: Clock) -> None:
        self._api = _Api(scenario)
        self._clock = clock
        self.app = Starlette(
            routes=[
                *(Route(e.path, _Handler(self._api, e, clock), methods=["GET"]) for e in REALTIME),
                Route(REPORT_PATH, self._serve_report, methods=["GET"]),
            ],
            exception_handlers={404: self._no_route, 405: self._no_route},
        )
        self.app.router.redirect_slashes = False

    def report(self) -> dict[str, object]:
        """Everything counted so far, JSON-able.

        `quotas`: per account, family, part (endpoint or App ID where the scope is one) and window: `limit`, `spent`
        (the worst single window), `total`, `refused`, `foreign` (the worst window of others' requests). `requests`: per
        endpoint, how many ended how. `faults`: per kind, how often it struck. `slots`: per query key the intervals
        [start, end) of slots handed out. `dropped`: what the bounds of this bookkeeping cost.
        """
        return self._api.report(self._clock.now())

    async def _serve_report(self, request: Request) -> Response:
        return Response(msgspec.json.encode(self.report()), media_type=JSON)

    async def _no_route(self, request: Request, error: Exception) -> Response:
        self._api.requests["unknown path", "404"] += 1
        now = self._clock.now()
        date = formatdate(self._api.server_time(_host(request.scope), now), usegmt=True)
        return Response(_gateway(404).body, 404, {"date": date}, media_type=JSON)


def build_agora(scenario: Scenario, clock: Clock) -> Emulator:
    """Agora's real-time API as a server that plays `scenario` on `clock`."""
    return Emulator(scenario=scenario, clock=clock)


class _Handler:
    """One endpoint as ASGI. A class, so that Starlette hands over the raw connection: some answers are no answers."""

    def __init__(self, api: _Api, endpoint: Endpoint, clock: Clock) -> None:
        self._api = api
        self._endpoint = endpoint
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        host = _host(scope)
        verdict = self._api.decide(
            self._endpoint,
            host=host,
            authorization=header(scope, b"authorization"),
            query=scope["query_string"],
            at=self._clock.now(),
        )
        sent = await deliver(
            verdict.reply,
            scope,
            receive,
            send,
            clock=self._clock,
            server_time=lambda: self._api.server_time(host, self._clock.now()),
        )
        if sent and verdict.query is not None:
            self._api.handed_out(verdict.query, verdict.slots)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Caller:
    """Who asks and for what, as far as the gateway knows."""

    account: Account | None
    project: Project | None
    refusal: str  # the gateway's words, or empty


@dataclass(frozen=True, slots=True, kw_only=True)
class _Verdict:
    """The outcome in a word for the report, the reply, and which slots of which query it hands out if it arrives."""

    outcome: str
    reply: Reply
    query: tuple[str, ...] | None = None
    slots: Sequence[Span] = ()


class _Api:
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
        self._injector = Injector(faults=scenario.faults, seed=scenario.seed)
        self._foreign = tuple(fault for fault in scenario.faults if fault.kind == "foreign")
        self._quotas = Quotas()
        self._coverage = Coverage()
        self.requests: Counter[tuple[str, str]] = Counter()  # (endpoint, outcome): both from closed sets

    def server_time(self, host: str, at: float) -> float:
        """What the server's clock shows at run time `at`."""
        return at + self._injector.skew(host, at)

    # ── one request ──────────────────────────────────────────────────────────────────────────────────────────────

    def decide(self, endpoint: Endpoint, *, host: str, authorization: str | None, query: bytes, at: float) -> _Verdict:
        """The answer to one request at run time `at`, counted."""
        given = parameters(query)
        caller = self._caller(authorization, given.get("appid", ""))
        facts = Facts(
            host=host,
            account=caller.account.name if caller.account else "",
            project=caller.project.name if caller.project else "",
            endpoint=endpoint.name,
            metric=given.get("metric", ""),
            product=given.get("productType", ""),
        )
        faults = {fault.kind: fault for fault in self._injector.strike(facts, at)}
        server_now = math.floor(self.server_time(host, at))
        over = None
        pool = None
        if caller.account is not None:
            pool = _pool(caller.account, endpoint, given.get("appid", ""))
            over = self._spend(pool, caller.account, server_now, at)
        verdict = self._answer(endpoint, given, caller, faults, server_now, pool, over)
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
        caller: _Caller,
        faults: Mapping[str, Fault],
        server_now: int,
        pool: Pool | None,
        over: Window | None,
    ) -> _Verdict:
        if (broken := instead(faults, _fault_status)) is not None:
            return _Verdict(outcome=broken[0], reply=broken[1])
        if caller.account is None or (caller.project is None and caller.refusal):
            return _Verdict(outcome="401", reply=_gateway(401, caller.refusal))
        wanted = ask(endpoint, given)
        if isinstance(wanted, Refusal):
            return _Verdict(outcome=f"code {wanted.code}", reply=_refuse(wanted))
        if "code_500" in faults:
            return _Verdict(outcome="code 500", reply=_refuse(Refusal(500, "Unknown Error")))
        account = caller.account
        words = self._package_refusal(wanted, account, faults, server_now, pool, over)
        if words in _QUOTA_WORDS.values() and account.quota.refuse_with == "gateway":
            return _Verdict(outcome="429", reply=_gateway(429))
        if words:
            prefix = _PREFIX if account.answers.message_prefix else ""
            return _Verdict(outcome=words, reply=_refuse(Refusal(300, prefix + words)))
        return self._rows(wanted, account, faults, server_now)

    def _package_refusal(
        self,
        wanted: Ask,
        account: Account,
        faults: Mapping[str, Fault],
        server_now: int,
        pool: Pool | None,
        over: Window | None,
    ) -> str:
        """Why the plan forbids it, in the vendor's words; empty where it does not. Each inequality is strict."""
        limits = account.limits
        if not limits.realtime or "no_auth" in faults:
            return _NO_AUTH
        for kind, window in _FORCED.items():
            if kind in faults:
                return _QUOTA_WORDS[window]
        if over is not None and pool is not None:
            self._quotas.refused(pool, over)
            return _QUOTA_WORDS[over.name]
        if not wanted.start > server_now - limits.look_back:
            return "query time range limit error"
        if not wanted.end < server_now - limits.delay:
            return "query latency limit error"
        if not wanted.end - wanted.start < limits.span:
            return _SPAN_WORDS[account.answers.span_refusal]
        return ""

    def _rows(self, wanted: Ask, account: Account, faults: Mapping[str, Fault], server_now: int) -> _Verdict:
        found = rows(
            wanted,
            self._traffic[wanted.app_id],
            server_now=server_now,
            delay=account.limits.delay,
            answers=account.answers,
            faults=faults,
        )
        data: object = found.data
        if "data_null" in faults:
            data = None
        elif "data_empty" in faults:
            data = {"list": []} if wanted.endpoint.top else []
        message: str | None = None if wanted.dimension else "success"  # as the documented examples have it
        if (other := faults.get("message")) is not None:
            message = other.text
        code = 0 if "code_zero" in faults else 200
        reply, whole = deform(Reply(body=msgspec.json.encode({"code": code, "message": message, "data": data})), faults)
        if data is not found.data or not whole:
            return _Verdict(outcome="answered", reply=reply)  # an answer that tells nothing
        return _Verdict(outcome="answered", reply=reply, query=_query_key(wanted, account), slots=found.handed_out)

    # ── who asks ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _caller(self, authorization: str | None, app_id: str) -> _Caller:
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "basic":
            return _Caller(account=None, project=None, refusal="Unauthorized")
        wrong = "Invalid authentication credentials"
        try:
            customer, _, secret = base64.b64decode(token.strip(), validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return _Caller(account=None, project=None, refusal=wrong)
        account = self._accounts.get(customer)
        expected = account.customer_secret.reveal() if account else ""
        if account is None or not hmac.compare_digest(secret.encode(), expected.encode()):
            return _Caller(account=None, project=None, refusal=wrong)
        project = next((project for project in account.projects if project.app_id == app_id), None)
        return _Caller(account=account, project=project, refusal=wrong if app_id and project is None else "")

    # ── what is counted ──────────────────────────────────────────────────────────────────────────────────────────

    def _spend(self, pool: Pool, account: Account, server_now: int, at: float) -> Window | None:
        ahead = server_now - at
        sharing = [f for f in self._foreign if not f.where.account or account.name in f.where.account]

        def foreign(start: float, end: float) -> int:
            return sum(fault.foreign(start - ahead, end - ahead) for fault in sharing)

        windows = _windows(account.limits)
        return self._quotas.spend(pool, windows, server_now, strict=account.quota.strict, foreign=foreign)

    def report(self, at: float) -> dict[str, object]:
        """See `Emulator.report`."""
        requests: dict[str, dict[str, int]] = {}
        for (endpoint, outcome), count in sorted(self.requests.items()):
            requests.setdefault(endpoint, {})[outcome] = count
        return {
            "vendor": "agora",
            "now": rfc3339(at),
            "quotas": self._quotas.report(),
            "requests": requests,
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


_QUERY_KEY = ("account", "project", "endpoint", "app_id", "product", "metric", "cname", "split")


def _query_key(wanted: Ask, account: Account) -> tuple[str, ...]:
    """`split` tells answers about parts (a dimension, uids) from those about the whole."""
    project = next(p.name for p in account.projects if p.app_id == wanted.app_id)
    split = wanted.dimension or ("uids" if wanted.uids else "")
    endpoint = wanted.endpoint.name
    return (account.name, project, endpoint, wanted.app_id, wanted.product, wanted.metric, wanted.channel, split)


def _windows(limits: Limits) -> list[Window]:
    """In the order in which they are checked: second, minute, day."""
    widths = (("second", 1, limits.per_second), ("minute", MINUTE, limits.per_minute), ("day", DAY, limits.per_day))
    return [Window(name, seconds, limit) for name, seconds, limit in widths if limit is not None]


def _pool(account: Account, endpoint: Endpoint, app_id: str) -> Pool:
    """What this request shares its counters with (dossier, section 6: the scope is not known for sure)."""
    match account.quota.scope:
        case "account":
            return Pool(account.name, "all")
        case "endpoint":
            return Pool(account.name, FAMILY, endpoint.name)
        case "app_id":
            known = any(project.app_id == app_id for project in account.projects)
            return Pool(account.name, FAMILY, app_id if known else "")
        case "family":
            return Pool(account.name, FAMILY)


def _fault_status(status: int) -> Reply:
    """An error status: the service's own, the load balancer's, or the gateway's."""
    if status == 500:
        return replace(_refuse(Refusal(500, "Unknown Error")), status=500)
    return Reply(status=502, body=PAGE, media=HTML) if status == 502 else _gateway(status)


def _refuse(refusal: Refusal) -> Reply:
    return Reply(body=msgspec.json.encode({"code": refusal.code, "message": refusal.message, "data": None}))


def _gateway(status: int, words: str = "") -> Reply:
    """What the gateway in front of the service says: no `code` (dossier, section 7)."""
    default = {
        401: "Unauthorized",
        404: "no Route matched with those values",
        429: "API rate limit exceeded",
    }
    return Reply(status=status, body=msgspec.json.encode({"message": words or default[status]}))


def _host(scope: Scope) -> str:
    return (header(scope, b"host") or "").lower()
