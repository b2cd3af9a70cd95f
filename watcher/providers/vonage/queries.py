"""Which queries an account needs, and what they spend. Pure.

Three for each project, each with its own lateness, so that a point is always judged among its own kind:

    stats   Advanced Insights on a 30-second grid, some five minutes behind: packet loss, latency, bitrate, stalls
    live    disconnects as the webhooks tell them, reconciled by REST: no delay but the way of a webhook
    daily   project insights, one point a day, a day and a half behind; their product says so ("daily"), and what also
            exists live has another name, so that no rule on the one judges the other

A look is several requests here. `requests` says how many at the traffic that is `expected`, so that what `check` and
`plan` promise is arithmetic, not hope.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Literal

from watcher.budget.quota import Pool, Quota
from watcher.clock import DAY, HOUR, MINUTE
from watcher.model import USERS, Query, Series
from watcher.providers.vonage import documents
from watcher.providers.vonage.points import MEASURED
from watcher.providers.vonage.rows import KEEP, WIDTH
from watcher.providers.vonage.settings import Project, VonageAccount

Kind = Literal["stats", "live", "daily"]

DAILY = "daily"  # the product of project insights' series: never mixed with live ones
DAILY_DELAY = 56.0 * HOUR  # after 24:00 UTC of a date: its Pacific day ends eight hours later, its figures come by 48 h
LIVE_WIDTH = 60
LIVE_DELAY = 10.0
SETTLE = 4  # windows of statistics that may still get rows: some come two minutes late
MOST_REQUESTS = 90  # in one look, whatever there is to read

STATS_SIGNALS = frozenset({USERS, "channels", *MEASURED})
LIVE_SIGNALS = frozenset({"disconnect_ratio"})
DAILY_SIGNALS: Mapping[str, str] = {
    "connect_failure_ratio": "connect",
    "publish_failure_ratio": "publish",
    "subscribe_failure_ratio": "subscribe",
    "daily_published_seconds": "",
    "daily_subscribed_seconds": "",
    "daily_latency_seconds": "",
    "daily_video_bitrate_bytes_per_second": "",
}
SIGNALS = STATS_SIGNALS | LIVE_SIGNALS | frozenset(DAILY_SIGNALS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A query, whose it is, and of which kind."""

    query: Query
    project: Project
    kind: Kind


def queries(account: VonageAccount, needed: Set[str]) -> tuple[Query, ...]:
    """The account's queries for the signals that are `needed`."""
    return tuple(target.query for target in targets(account, needed))


def targets(account: VonageAccount, needed: Set[str]) -> tuple[Target, ...]:
    """Likewise, with the projects they are about; in a stable order."""
    return tuple(target for project in account.projects for target in _of(account, project, needed))


def pools(account: VonageAccount) -> tuple[Pool, ...]:
    """One pool per project and API, and one for the address that all of them leave from."""
    quotas, margin = account.quotas, account.margin
    if min(quotas.insights.per_30s, quotas.egress.per_30s, quotas.rest.per_30s) <= margin:
        return ()
    found = [_pool(account, f"{account.name}/insights", "insights_egress", quotas.egress.per_30s)]
    for project in account.projects:
        found.append(_pool(account, insights_pool(account, project), "insights", quotas.insights.per_30s))
        found.append(_pool(account, rest_pool(account, project), "rest", quotas.rest.per_30s))
    return tuple(found)


def insights_pool(account: VonageAccount, project: Project) -> str:
    return f"{account.name}/insights/{project.name}"


def rest_pool(account: VonageAccount, project: Project) -> str:
    return f"{account.name}/rest/{project.name}"


def asked(account: VonageAccount) -> tuple[str, ...]:
    """Where somebody who asks for one call spends: beside the looks at its project's statistics."""
    if account.plan != "advanced":
        return ()
    return tuple(dict.fromkeys(pool for project in account.projects for pool in insights_pools(account, project)))


def insights_pools(account: VonageAccount, project: Project) -> tuple[str, ...]:
    """The pools of a request to a project's Insights: that of the address, and its own."""
    return (f"{account.name}/insights", insights_pool(account, project))


def _pool(account: VonageAccount, identity: str, family: str, limit: int) -> Pool:
    quota = Quota.rolling(limit, 30, margin=account.margin)
    return Pool(id=identity, account=account.name, family=family, quotas=(quota,))


def _of(account: VonageAccount, project: Project, needed: Set[str]) -> Iterator[Target]:
    wanted = needed if project.signals is None else frozenset[str](project.signals) | (needed - STATS_SIGNALS)
    if account.plan == "advanced":
        yield _stats(account, project, wanted)
    if project.hooks is not None or project.channels:
        yield _live(account, project)
    if project.daily is not None and wanted & frozenset(DAILY_SIGNALS):
        yield _daily(account, project, wanted)


def _stats(account: VonageAccount, project: Project, wanted: Set[str]) -> Target:
    signals = [signal for signal in (USERS, "channels", *MEASURED) if signal in wanted or signal == USERS]
    series = [
        Series(account.name, account.provider, project.name, "", channel, signal)
        for channel in ("", *project.channels)
        for signal in signals
        if not (channel and signal == "channels")
    ]
    query = Query(
        id=f"{account.name}/{project.name}/stats",
        account=account.name,
        series=tuple(series),
        pools=insights_pools(account, project),
        width=WIDTH,
        delay=float(account.delay),
        reach=KEEP - HOUR,
        settle=SETTLE,
        every=float(account.every),
        requests=_requests(project),
        most_requests=MOST_REQUESTS,
        nodes=_nodes(),
    )
    return Target(query=query, project=project, kind="stats")


def _requests(project: Project) -> int:
    """Requests of one look at the traffic that is expected: discovery, counts, rows."""
    sessions = project.expected.sessions
    streams = sessions * project.expected.publishers
    return min(
        MOST_REQUESTS,
        int(project.summaries) + math.ceil(sessions / documents.SESSIONS) + math.ceil(streams / documents.STREAMS),
    )


def _nodes() -> int:
    """The most nodes of any query of a look, by the vendor's way of counting."""
    return max(documents.counts_nodes(documents.SESSIONS), documents.read_nodes(documents.STREAMS, documents.ROWS[0]))


def _live(account: VonageAccount, project: Project) -> Target:
    series = Series(account.name, account.provider, project.name, "", "", "disconnect_ratio")
    query = Query(
        id=f"{account.name}/{project.name}/live",
        account=account.name,
        series=(series,) if project.hooks is not None else (),
        pools=(rest_pool(account, project),),
        width=LIVE_WIDTH,
        delay=LIVE_DELAY,
        reach=float(HOUR),
        settle=1,
        every=float(MINUTE),
        requests=1,
        most_requests=20,
    )
    return Target(query=query, project=project, kind="live")


def _daily(account: VonageAccount, project: Project, wanted: Set[str]) -> Target:
    daily = project.daily
    assert daily is not None
    products = (DAILY, *(f"{DAILY} {name}" for name in daily.names))
    series = tuple(
        Series(account.name, account.provider, project.name, product, "", signal)
        for product in products
        for signal in DAILY_SIGNALS
        if signal in wanted
    )
    query = Query(
        id=f"{account.name}/{project.name}/daily",
        account=account.name,
        series=series,
        pools=insights_pools(account, project),
        width=DAY,
        delay=DAILY_DELAY,
        reach=80.0 * DAY,
        settle=1,
        every=2.0 * HOUR,
        requests=1 + bool(daily.names),
        most_requests=10,
    )
    return Target(query=query, project=project, kind="daily")
