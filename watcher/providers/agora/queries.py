"""Which requests an account needs, and what they spend. Pure.

Three families, each with its own quotas, so that what one spends or suffers is nothing to the others:

    real-time       one request brings one metric of one product of one project or channel (dossier sections 1.3 and 4),
                    so each is a query with one series
    call_inspector  a sample of the running calls of a project, where the user allows it requests: packet loss, bitrates
    insights        the days of a project, where a rule needs them: their product says `daily`

`users` of every project and product is always among the first: it weighs the rates, which come without denominators,
and it tells an idle hour from a blind one. `audio_freeze_ratio` is never asked of WebRTC, which has none (section 3.6).
`channels` of one channel would say whether that channel exists: not asked either. Native and WebRTC are series of their
own everywhere: what the vendor counts as lost differs between them.
"""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import dataclass

from watcher.budget.quota import Pool, Quota, pool_id
from watcher.clock import DAY, HOUR
from watcher.model import USERS, Query, Series
from watcher.providers.agora.insights.daily import AGAIN
from watcher.providers.agora.insights.settings import DAILY, PAST, InsightLimits
from watcher.providers.agora.insights.settings import METRICS as DAILY_METRICS
from watcher.providers.agora.inspector import sample
from watcher.providers.agora.inspector.figures import MEASURED, SAMPLED, WIDTH
from watcher.providers.agora.inspector.settings import ASKED_PER_DAY
from watcher.providers.agora.metrics import METRICS
from watcher.providers.agora.settings import AgoraAccount, Plan, Product, Project, window
from watcher.providers.agora.slots import SETTLE, SLOT

REALTIME, SAMPLES, DAYS = "realtime", "call_inspector", "insights"


SIGNALS = frozenset({*METRICS, *MEASURED, SAMPLED, *DAILY_METRICS})


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A query, the project that it is about, and the product where it is about one."""

    query: Query
    project: Project
    product: Product | None = None


def queries(account: AgoraAccount, needed: Set[str]) -> tuple[Query, ...]:
    """The account's queries for the signals that are `needed`; none where its plan offers nothing that is wanted."""
    return tuple(target.query for target in targets(account, needed))


def targets(account: AgoraAccount, needed: Set[str]) -> tuple[Target, ...]:
    """Likewise, with their projects; in a stable order, real-time ones and their users first."""
    return (*_realtime(account, needed), *_samples(account), *_days(account, needed))


def _realtime(account: AgoraAccount, needed: Set[str]) -> Iterator[Target]:
    if (limits := account.limits()) is None:
        return
    for project in account.projects:
        for product in project.products:
            for channel, signal in _asked(project, product, needed):
                yield _target(account, limits, project, product, channel, signal)


def _samples(account: AgoraAccount) -> Iterator[Target]:
    """One query for each project: what is sampled is exported, whether a rule needs it or not."""
    limits, wish = account.call_limits(), account.call_inspector
    if limits is None or wish is None:
        return
    for project in account.projects:
        place = Series(account.name, account.provider, project.name, "", "", SAMPLED)
        series = [place._replace(product=p, signal=signal) for p in project.products for signal in MEASURED]
        query = Query(
            id=f"{account.name}/{project.name}/calls",
            account=account.name,
            series=(*series, place),
            pools=(f"{account.name}/{SAMPLES}",),
            width=WIDTH,
            delay=float(limits.calls.delay),
            reach=sample.REACH,
            settle=sample.SETTLE,
            every=float(WIDTH),
            requests=wish.requests,
            most_requests=wish.requests,
            family=SAMPLES,
        )
        yield Target(query=query, project=project)


def _days(account: AgoraAccount, needed: Set[str]) -> Iterator[Target]:
    """One query for each series: a look is one request, and a plan lets two or three out in a minute."""
    if (limits := account.insight_limits()) is None:
        return
    for project in account.projects:
        for signal in DAILY_METRICS:
            for product in _daily_products(project, signal) if signal in needed else ():
                series = Series(account.name, account.provider, project.name, product, "", signal)
                yield Target(query=_daily(account, limits, series), project=project)


def _daily(account: AgoraAccount, limits: InsightLimits, series: Series) -> Query:
    return Query(
        id="/".join(word for word in (account.name, series.project, series.product, series.signal) if word),
        account=account.name,
        series=(series,),
        pools=(f"{account.name}/{DAYS}",),
        width=DAY,
        delay=float(limits.delay),
        reach=2.0 * DAY,  # it is kept for weeks, but a day that is told later is no news
        settle=AGAIN,
        every=6.0 * HOUR,
        most_requests=2 if DAILY_METRICS[series.signal].other else 1,
        family=DAYS,
    )


def past(account: AgoraAccount, needed: Set[str]) -> tuple[Target, ...]:
    """What Data Insights tell, by the hour, of the past of the live series of signals that are `needed`.

    Of channels they tell nothing, and of users and channels in number something else (`insights.settings.PAST`).
    """
    limits, told = account.insight_limits(), needed & PAST.keys()
    if limits is None:
        return ()
    return tuple(
        Target(query=_hours(account, limits, series), project=live.project, product=live.product)
        for live in _realtime(account, told)
        for series in live.query.series
        if series.signal in told and not series.channel
    )


def _hours(account: AgoraAccount, limits: InsightLimits, series: Series) -> Query:
    return Query(
        id="/".join((account.name, series.project, series.product, series.signal, "hours")),
        account=account.name,
        series=(series,),
        pools=(f"{account.name}/{DAYS}",),
        width=HOUR,
        delay=float(limits.quality_delay),
        reach=float(limits.back),
        settle=AGAIN * DAY // HOUR,
        every=float(DAY),
        family=DAYS,
    )


def _daily_products(project: Project, signal: str) -> Iterator[str]:
    """Usage is the whole project's, so that a rule on quality can ask for it; quality is told by product.

    Web has no audio freezes.
    """
    if not DAILY_METRICS[signal].quality:
        yield ""
        return
    for product in project.products:
        if not (signal == "daily_audio_freeze_ratio" and product == "WebRTC"):
            yield f"{DAILY} {product}"


def pools(account: AgoraAccount) -> tuple[Pool, ...]:
    """The account's quota pools; none where `check` finds that no request would be left."""
    return (*_realtime_pools(account), *_sample_pools(account), *_day_pools(account))


def asked(account: AgoraAccount) -> tuple[str, ...]:
    """Where somebody who asks for one call spends, or for days by groups: in the pools of the samples and the days."""
    return (*calls_pools(account), *days_pools(account))


def calls_pools(account: AgoraAccount) -> tuple[str, ...]:
    """That of Call Inspector; none where the account has none."""
    return tuple(pool.id for pool in _sample_pools(account))


def days_pools(account: AgoraAccount) -> tuple[str, ...]:
    """That of Data Insights; none where the account has none."""
    return tuple(pool.id for pool in _day_pools(account))


def _sample_pools(account: AgoraAccount) -> Iterator[Pool]:
    """The day's limit is the vendor's, and what is allowed of it is the user's cap; a few for whoever asks for a call
    where no samples are wanted, but real-time figures."""
    limits, wish = account.inspector_limits(), account.call_inspector
    cap = ASKED_PER_DAY if wish is None else wish.requests_per_day
    refused = wish is None and account.limits() is None
    if limits is None or limits.per_day <= cap or refused:
        return
    quotas = (
        Quota.per_second(limits.per_second, margin=account.margin),
        Quota.per_day(limits.per_day, margin=limits.per_day - cap),
    )
    yield Pool(id=f"{account.name}/{SAMPLES}", account=account.name, family=SAMPLES, quotas=quotas, capped=True)


def _day_pools(account: AgoraAccount) -> Iterator[Pool]:
    limits = account.insight_limits()
    if limits is None or min(limits.per_minute, limits.per_day) <= account.margin:
        return
    quotas = (
        Quota.per_minute(limits.per_minute, margin=account.margin),
        Quota.per_day(limits.per_day, margin=account.margin),
    )
    yield Pool(id=f"{account.name}/{DAYS}", account=account.name, family=DAYS, quotas=quotas, capped=True)


def _realtime_pools(account: AgoraAccount) -> tuple[Pool, ...]:
    """By `quota_scope`."""
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
    return tuple(Pool(id=id_, account=account.name, family=REALTIME, quotas=quotas) for id_ in ids)


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
    path = [account.name, project.name, product, signal] + ([channel] if channel else [])
    query = Query(
        id="/".join(path),
        account=account.name,
        series=(Series(account.name, account.provider, project.name, product, channel, signal),),
        pools=(_pool_id(account, project.name, METRICS[signal].endpoint),),
        width=SLOT,
        delay=float(limits.delay),
        reach=window(limits).reach,
        settle=SETTLE,
        family=REALTIME,
    )
    return Target(query=query, project=project, product=product)


def _pool_id(account: AgoraAccount, project: str, endpoint: str) -> str:
    return pool_id(account=account.name, family=REALTIME, scope=account.quota_scope, endpoint=endpoint, project=project)
