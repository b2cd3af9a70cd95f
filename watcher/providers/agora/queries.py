"""Which requests an account needs, and what they spend. Pure; the only place that knows Agora's metric names.

One request brings one metric of one product of one project or channel (dossier sections 1.3 and 4), so each is a query
with one series. `users` of every project and product is always among them: it weighs the rates, which come without
denominators, and it tells an idle hour from a blind one. `audio_freeze_ratio` is never asked of WebRTC, which has none
(section 3.6). `channels` of one channel would say whether that channel exists: not asked either.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from watcher.budget.quota import Pool, Quota, pool_id
from watcher.model import USERS, Query, Series
from watcher.providers.agora.settings import AgoraAccount, Plan, Product, Project, window
from watcher.providers.agora.slots import SETTLE, SLOT

FAMILY = "realtime"


class Metric(NamedTuple):
    """Agora's name of a signal, the endpoint group that has it, and whether it is a share (0-1) or a count."""

    name: str
    endpoint: str  # "usage" or "quality"
    ratio: bool


METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        "users": Metric("userCount", "usage", ratio=False),
        "channels": Metric("channelCount", "usage", ratio=False),
        "video_freeze_ratio": Metric("videoFreezeRate", "quality", ratio=True),
        "audio_freeze_ratio": Metric("audioFreezeRate", "quality", ratio=True),
        "network_delay_ratio": Metric("networkDelay", "quality", ratio=True),
        "join_success_ratio": Metric("joinSuccessRate", "quality", ratio=True),
        "join_success_5s_ratio": Metric("joinSuccessIn5sRate", "quality", ratio=True),
    }
)
"""Signals that Agora's real-time API has (section 4), by our names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A query and how Agora calls what it asks for."""

    query: Query
    app_id: str
    product: Product
    metric: Metric

    @property
    def series(self) -> Series:
        return self.query.series[0]


def queries(account: AgoraAccount, needed: Set[str]) -> tuple[Query, ...]:
    """The account's queries for the signals that are `needed`; none where its plan has no real-time API."""
    return tuple(target.query for target in targets(account, needed))


def targets(account: AgoraAccount, needed: Set[str]) -> tuple[Target, ...]:
    """Likewise, with Agora's names; in a stable order, users first."""
    limits = account.limits()
    if limits is None:
        return ()
    return tuple(
        _target(account, limits, project, product, channel, signal)
        for project in account.projects
        for product in project.products
        for channel, signal in _asked(project, product, needed)
    )


def pools(account: AgoraAccount) -> tuple[Pool, ...]:
    """The account's quota pools, by `quota_scope`; none where `check` finds that no request would be left."""
    limits = account.limits()
    if limits is None or min(limits.per_minute, limits.per_day) <= account.margin:
        return ()
    quotas = (
        Quota.per_minute(limits.per_minute, margin=account.margin),
        Quota.per_day(limits.per_day, margin=account.margin),
    )
    ids = dict.fromkeys(
        _pool_id(account, project.name, endpoint) for project in account.projects for endpoint in ("usage", "quality")
    )
    return tuple(Pool(id=id_, account=account.name, family=FAMILY, quotas=quotas) for id_ in ids)


def _asked(project: Project, product: str, needed: Set[str]) -> Iterator[tuple[str, str]]:
    wanted = needed if project.signals is None else frozenset[str](project.signals)
    for channel in ("", *(project.channels or ())):
        for signal in METRICS:
            weighs = signal == USERS and not channel
            if weighs or (signal in wanted and not _pointless(signal, product, channel)):
                yield channel, signal


def _pointless(signal: str, product: str, channel: str) -> bool:
    return (signal == "audio_freeze_ratio" and product == "WebRTC") or (signal == "channels" and channel != "")


def _target(
    account: AgoraAccount, limits: Plan, project: Project, product: Product, channel: str, signal: str
) -> Target:
    metric = METRICS[signal]
    path = [account.name, project.name, product, signal] + ([channel] if channel else [])
    query = Query(
        id="/".join(path),
        account=account.name,
        series=(Series(account.name, account.provider, project.name, product, channel, signal),),
        pools=(_pool_id(account, project.name, metric.endpoint),),
        width=SLOT,
        delay=float(limits.delay),
        reach=window(limits).reach,
        settle=SETTLE,
    )
    return Target(query=query, app_id=project.app_id, product=product, metric=metric)


def _pool_id(account: AgoraAccount, project: str, endpoint: str) -> str:
    return pool_id(account=account.name, family=FAMILY, scope=account.quota_scope, endpoint=endpoint, project=project)
