"""Who may ask, and how often: the gateway's refusals, and the service package's (dossier, sections 6 and 7)."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, replace

import msgspec

from watcher.clock import DAY, MINUTE
from watcher.emulator.agora.ask import Ask, Endpoint, Refusal
from watcher.emulator.breakage import PAGE
from watcher.emulator.counting import Pool, Window
from watcher.emulator.faults import Fault
from watcher.emulator.headers import basic
from watcher.emulator.replies import HTML, Reply
from watcher.emulator.world import Account, Limits, Project, family_of

NO_AUTH = "you have no auth to access this service, please buy or upgrade your service package"
QUOTA_WORDS = {"second": "qps limit error", "minute": "qpm limit error", "day": "qpd limit error"}
_FORCED = {"qps": "second", "qpm": "minute", "qpd": "day"}
_SPAN_WORDS = {"duration": "query duration limit error", "length": "query time length limit error"}
_CALL_GROUPS = ("call_lists", "call_details")


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks and for what, as far as the gateway knows."""

    account: Account | None
    project: Project | None
    refusal: str  # the gateway's words, or empty


def caller(accounts: Mapping[str, Account], authorization: str | None, app_id: str) -> Caller:
    """Credentials and App ID looked up; `accounts` by customer id."""
    given = basic(authorization)
    if given is None:
        return Caller(account=None, project=None, refusal="Unauthorized")
    customer, secret = given
    wrong = "Invalid authentication credentials"
    account = accounts.get(customer)
    expected = account.customer_secret.reveal() if account else ""
    if account is None or not hmac.compare_digest(secret.encode(), expected.encode()):
        return Caller(account=None, project=None, refusal=wrong)
    project = next((project for project in account.projects if project.app_id == app_id), None)
    return Caller(account=account, project=project, refusal=wrong if app_id and project is None else "")


def pool(account: Account, endpoint: Endpoint, app_id: str) -> Pool:
    """What this request shares its counters with (dossier, section 6: the scope is not known for sure).

    Families have different limits, so the widest scope pools no more than the two of Call Inspector.
    """
    family = family_of(endpoint.group)
    match account.quota.scope:
        case "account":
            return Pool(account.name, "calls" if family in _CALL_GROUPS else family)
        case "endpoint":
            return Pool(account.name, family, endpoint.name)
        case "app_id":
            known = any(project.app_id == app_id for project in account.projects)
            return Pool(account.name, family, app_id if known else "")
        case "family":
            return Pool(account.name, family)


def windows(limits: Limits) -> list[Window]:
    """In the order in which they are checked: second, minute, day."""
    widths = (("second", 1, limits.per_second), ("minute", MINUTE, limits.per_minute), ("day", DAY, limits.per_day))
    return [Window(name, seconds, limit) for name, seconds, limit in widths if limit is not None]


def package_refusal(
    wanted: Ask, account: Account, faults: Mapping[str, Fault], server_now: int, over: Window | None
) -> str:
    """Why the plan forbids it, in the vendor's words; empty where it does not. Each inequality is strict."""
    limits = account.limits[wanted.endpoint.group]
    if not limits.allowed or "no_auth" in faults:
        return NO_AUTH
    for kind, window in _FORCED.items():
        if kind in faults:
            return QUOTA_WORDS[window]
    if over is not None:
        return QUOTA_WORDS[over.name]
    if not wanted.start > server_now - limits.look_back:
        return "query time range limit error"
    if not wanted.end < server_now - limits.delay:
        return "query latency limit error"
    if limits.span is not None and not wanted.end - wanted.start < limits.span:
        return _SPAN_WORDS[account.answers.span_refusal]
    return ""


def fault_status(status: int) -> Reply:
    """An error status: the service's own, the load balancer's, or the gateway's."""
    if status == 500:
        return replace(refuse(Refusal(500, "Unknown Error")), status=500)
    return Reply(status=502, body=PAGE, media=HTML) if status == 502 else gateway(status)


def refuse(refusal: Refusal) -> Reply:
    """A business error as the service says it."""
    return Reply(body=msgspec.json.encode({"code": refusal.code, "message": refusal.message, "data": None}))


def gateway(status: int, words: str = "") -> Reply:
    """What the gateway in front of the service says: no `code` (dossier, section 7)."""
    default = {
        401: "Unauthorized",
        404: "no Route matched with those values",
        429: "API rate limit exceeded",
    }
    return Reply(status=status, body=msgspec.json.encode({"message": words or default[status]}))
