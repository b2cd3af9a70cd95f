"""What users write for an Agora account, the plans' numbers and the hosts (dossier sections 1, 2, 6, 10.4).

A plan fills every number; each can be overridden, because Agora raises limits for customers who ask (section 7).
Starter is a known word, so that it is refused with the reason instead of as a typing error; Standard has Call Inspector
only. What belongs to one family of requests alone stands with it (`inspector.settings`, `insights.settings`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Set
from typing import Annotated, Literal, NamedTuple
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from watcher.budget.quota import Scope
from watcher.errors import clip
from watcher.providers.agora.insights.settings import INSIGHT_PLANS, METRICS, InsightLimits, InsightQuota
from watcher.providers.agora.inspector.settings import CALL_PLANS, CallInspector, CallLimits, CallQuota
from watcher.providers.agora.slots import Window
from watcher.providers.provider import Account, Fault, Name
from watcher.secret import Secret
from watcher.yamlfile import Duration, Strict

Product = Literal["Native", "WebRTC"]
Signal = Literal[
    "users",
    "channels",
    "video_freeze_ratio",
    "audio_freeze_ratio",
    "network_delay_ratio",
    "join_success_ratio",
    "join_success_5s_ratio",
]
Region = Literal[
    "us-west-1", "us-east-1", "ap-southeast-1", "ap-northeast-1", "eu-west-1", "eu-central-1", "cn-east-1", "cn-north-1"
]

MAX_CHANNELS = 50  # over all projects: each name is a label value (design, section 2)
_MAX_PROJECTS = 100
_LEAST_REACH = 300.0  # seconds: below this no plan's budget could keep up
_SUFFIXES = ("agora.io", "sd-rtn.com")


class Plan(NamedTuple):
    """The real-time numbers of a plan (section 6): requests, and seconds."""

    per_minute: int
    per_day: int
    delay: int
    look_back: int
    span: int


PLANS = {"premium": Plan(3, 480, 40, 2400, 2400), "enterprise": Plan(10, 1440, 20, 3600, 3600)}


def _app_id(text: str) -> str:
    if len(text) != 32 or not all(c in "0123456789abcdefABCDEF" for c in text):
        raise ValueError("is not an App ID; copy its 32 hexadecimal digits from Agora's console")
    return text


def _base_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        labels = (parts.hostname or "").rstrip(".").split(".")
        fits = parts.scheme in ("http", "https") and all(labels) and parts.port != 0
    except ValueError:
        fits = False
    if not fits or not text.isascii() or not text.isprintable() or any(c in text for c in "@?# "):
        raise ValueError("is not an address; write it like https://api.example.com")
    return text.rstrip("/")


def _unique(values: tuple[str, ...]) -> tuple[str, ...]:
    if not values:
        raise ValueError("is empty; name at least one, or remove the key")
    for value, count in Counter(values).items():
        if count > 1:
            raise ValueError(f"names {clip(value, 40)} twice; name it once")
    return values


def _channel(text: str) -> str:
    if not 0 < len(text) <= 64 or not text.isprintable():
        raise ValueError("is not a channel name; Agora's have 1 to 64 printable characters")
    return text


BaseUrl = Annotated[str, AfterValidator(_base_url)]


class Project(Strict):
    """One App ID. `signals` replaces what the rules need; `channels` adds queries for these channels."""

    name: Name
    app_id: Annotated[str, AfterValidator(_app_id)]
    products: Annotated[tuple[Product, ...], AfterValidator(_unique)] = ("Native", "WebRTC")
    signals: Annotated[tuple[Signal, ...], AfterValidator(_unique)] | None = None
    channels: Annotated[tuple[Annotated[str, AfterValidator(_channel)], ...], AfterValidator(_unique)] | None = None


def _some(projects: tuple[Project, ...]) -> tuple[Project, ...]:
    # pydantic's own length constraint would complain a second time whenever a project is faulty
    if not 0 < len(projects) <= _MAX_PROJECTS:
        raise ValueError(f"lists {len(projects)}; list 1 to {_MAX_PROJECTS} of them")
    return projects


class RequestQuota(Strict):
    """Requests that the vendor allows; None takes the plan's."""

    per_minute: Annotated[int, Field(ge=1, le=100_000)] | None = None
    per_day: Annotated[int, Field(ge=1, le=10_000_000)] | None = None


class Quotas(Strict):
    """Quotas by family of endpoints."""

    realtime: RequestQuota = RequestQuota()
    call_inspector: CallQuota = CallQuota()
    insights: InsightQuota = InsightQuota()


class AgoraAccount(Account):
    """An Agora customer account.

    `delay`, `look_back` and `span` override the plan's real-time seconds; `margin` is how many requests stay unused
    below each limit. `quota_scope` says what a real-time quota is counted for: the family of endpoints (the safe
    reading of section 6), each endpoint, or each App ID. `call_inspector` turns samples of running calls on. `base_url`
    is one address without failover; `base_urls` are several with it.
    """

    provider: Literal["agora"]
    plan: Literal["starter", "standard", "premium", "enterprise"]
    customer_id: Secret
    customer_secret: Secret
    projects: Annotated[tuple[Project, ...], AfterValidator(_some)]
    quotas: Quotas = Quotas()
    quota_scope: Scope = "family"
    margin: Annotated[int, Field(ge=0, le=10_000)] = 1
    delay: Duration | None = None
    look_back: Duration | None = None
    span: Duration | None = None
    call_inspector: CallInspector | None = None
    region: Literal["global", "cn"] = "global"
    neighbour: Region | None = None
    base_url: BaseUrl | None = None
    base_urls: Annotated[tuple[BaseUrl, ...], AfterValidator(_unique)] | None = None

    def limits(self) -> Plan | None:
        """The plan's numbers with the overrides in place; None where the plan has no real-time API."""
        if (plan := PLANS.get(self.plan)) is None:
            return None
        own = self.quotas.realtime
        return Plan(
            per_minute=plan.per_minute if own.per_minute is None else own.per_minute,
            per_day=plan.per_day if own.per_day is None else own.per_day,
            delay=plan.delay if self.delay is None else self.delay,
            look_back=plan.look_back if self.look_back is None else self.look_back,
            span=plan.span if self.span is None else self.span,
        )

    def call_limits(self) -> CallLimits | None:
        """The plan's numbers of Call Inspector; None where it has none, or no samples are wanted."""
        return None if self.call_inspector is None else self.inspector_limits()

    def inspector_limits(self) -> CallLimits | None:
        """The plan's numbers of Call Inspector; None where it has none."""
        plan, own = CALL_PLANS.get(self.plan), self.quotas.call_inspector
        if plan is None:
            return None
        delay = None if self.call_inspector is None else self.call_inspector.delay
        return plan._replace(
            per_second=plan.per_second if own.per_second is None else own.per_second,
            per_day=plan.per_day if own.per_day is None else own.per_day,
            calls=plan.calls if delay is None else plan.calls._replace(delay=delay),
        )

    def insight_limits(self) -> InsightLimits | None:
        """The plan's numbers of Data Insights; None where it has none."""
        plan, own = INSIGHT_PLANS.get(self.plan), self.quotas.insights
        if plan is None:
            return None
        return plan._replace(
            per_minute=plan.per_minute if own.per_minute is None else own.per_minute,
            per_day=plan.per_day if own.per_day is None else own.per_day,
        )

    def primaries(self) -> tuple[str, ...]:
        """Base URLs in the order of preference; the second is where a failed look turns."""
        if self.base_url is not None:
            return (self.base_url,)
        if self.base_urls is not None:
            return self.base_urls
        return tuple(f"https://api.{suffix}" for suffix in self._suffixes())

    def neighbours(self) -> tuple[str, ...]:
        """Base URLs of the neighbouring region, where one is named."""
        if self.neighbour is None:
            return ()
        return tuple(f"https://api-{self.neighbour}.{suffix}" for suffix in self._suffixes())

    def _suffixes(self) -> tuple[str, ...]:
        return _SUFFIXES if self.region == "global" else _SUFFIXES[::-1]


def window(limits: Plan) -> Window:
    """The part of a plan that bounds time."""
    return Window(delay=limits.delay, look_back=limits.look_back, span=limits.span)


def check(account: AgoraAccount, needed: Set[str]) -> tuple[Fault, ...]:
    """What cannot work although each field reads well."""
    return (*_plan(account), *_samples(account), *_days(account, needed), *_hosts(account), *_projects(account))


def _plan(account: AgoraAccount) -> Iterator[Fault]:
    limits = account.limits()
    if limits is None and account.plan == "standard" and account.call_inspector is None:
        yield Fault(
            ("plan",),
            "plan standard has no real-time API: Agora offers it on Premium and Enterprise only",
            "sample calls instead (`call_inspector: {requests_per_day: 500}`), or take the account out",
        )
    elif limits is None and account.plan == "starter":
        yield Fault(
            ("plan",),
            "plan starter has no REST API at all: Agora offers samples of calls from Standard on",
            "write the plan that the account has, or take it out",
        )
    if limits is None:
        return
    for key, value in (("per_minute", limits.per_minute), ("per_day", limits.per_day)):
        if value <= account.margin:
            yield Fault(
                ("quotas", "realtime", key),
                f"{key} {value} leaves no request above the margin of {account.margin}",
                "raise it or lower `margin`",
            )
    if window(limits).reach < _LEAST_REACH:
        yield Fault(
            ("look_back",),
            f"windows would be lost after {max(window(limits).reach, 0):g}s with look_back {limits.look_back}s, "
            f"delay {limits.delay}s and span {limits.span}s",
            "keep look_back and span well above delay",
        )


_LONGEST_HELD = 4
"""Seconds for which one sample may hold up the real-time looks, which leave five seconds early."""


def _samples(account: AgoraAccount) -> Iterator[Fault]:
    limits, wish = account.call_limits(), account.call_inspector
    if limits is None or wish is None:
        return
    loc = ("call_inspector", "requests_per_day")
    most, least = limits.per_day - account.margin, wish.least_per_day(len(account.projects))
    if wish.requests_per_day > most:
        yield Fault(loc, f"requests_per_day {wish.requests_per_day} is more than the plan allows", f"write {most}")
    elif wish.requests_per_day < least:
        yield Fault(
            loc,
            f"requests_per_day {wish.requests_per_day} is too few: a sample of {wish.requests} requests per project "
            f"is needed every 48 min, or windows are lost",
            f"write at least {least}, or sample fewer `calls` or `pages`",
        )
    allowed = max(1, limits.per_second - account.margin)
    held = math.ceil(wish.requests / allowed) - 1
    if account.limits() is not None and held > _LONGEST_HELD:
        yield Fault(
            ("call_inspector", "calls"),
            f"a sample of {wish.requests} requests at {allowed} a second holds up real-time looks for {held} s",
            f"sample at most {(allowed * (_LONGEST_HELD + 1) - wish.pages) // 2} calls",
        )


def _days(account: AgoraAccount, needed: Set[str]) -> Iterator[Fault]:
    limits = account.insight_limits()
    if limits is None or not needed & METRICS.keys():
        return
    for key, value in (("per_minute", limits.per_minute), ("per_day", limits.per_day)):
        if value <= account.margin:
            yield Fault(
                ("quotas", "insights", key),
                f"{key} {value} leaves no request above the margin of {account.margin}",
                "raise it or lower `margin`",
            )


def _hosts(account: AgoraAccount) -> Iterator[Fault]:
    own = account.base_url is not None or account.base_urls is not None
    if account.base_url is not None and account.base_urls is not None:
        yield Fault(("base_url",), "base_url and base_urls exclude each other", "keep one of them")
    if own and account.neighbour is not None:
        yield Fault(("neighbour",), "neighbour means Agora's own hosts, and base_url replaces them", "keep one of them")


def _projects(account: AgoraAccount) -> Iterator[Fault]:
    names: set[str] = set()
    app_ids: set[str] = set()
    for index, project in enumerate(account.projects):
        loc = ("projects", index)
        if project.name in names:
            yield Fault((*loc, "name"), f"project {project.name} exists twice", "give each its own name")
        if project.app_id.lower() in app_ids:
            yield Fault((*loc, "app_id"), "this App ID is listed twice", "list each once: it would be asked for twice")
        names.add(project.name)
        app_ids.add(project.app_id.lower())
        if project.products == ("WebRTC",) and "audio_freeze_ratio" in (project.signals or ()):
            yield Fault((*loc, "signals"), "Agora has no audio_freeze_ratio for WebRTC", "add Native, or take it out")
    if (total := sum(len(p.channels or ()) for p in account.projects)) > MAX_CHANNELS:
        yield Fault(("projects",), f"{total} channels are listed, {MAX_CHANNELS} may be", "list fewer")
