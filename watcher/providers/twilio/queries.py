"""Which queries an account needs, and what they spend. Pure.

One for each project: a list of rooms and the participants of those that are new give all signals at once. A look is
several requests; `requests` says how many at the traffic that is `expected`, so that what `check` and `plan` promise is
arithmetic, not hope.
"""

from __future__ import annotations

import math
from collections.abc import Set

from watcher.budget.quota import Pool, Quota
from watcher.clock import DAY, HOUR, MINUTE
from watcher.model import USERS, Query, Series
from watcher.providers.twilio.client import PAGE_SIZE
from watcher.providers.twilio.settings import Project, TwilioAccount

WIDTH = MINUTE
ROOM_LIFE = DAY  # seconds: no room lasts longer (section 5), so whoever left at t was in a room begun since t - this
CATCH_UP = 6 * DAY - HOUR  # the vendor keeps 7 days, of which a room may take one
MOST_REQUESTS = 400  # in one look, whatever there is to read
LIST_ALL_EVERY = 15 * MINUTE  # seconds between two lists of all rooms that may still matter
BEHIND = 10 * MINUTE  # whose people are named behind a value: what the shipped rules average over, as a minute is few
SLACK = HOUR  # what a room may need to show and settle, beyond how long it lasted
_READS = 2  # requests for the participants of a room: when it shows, and when it is final

RATIOS = ("participant_failure_ratio", "participant_drop_ratio", "connect_failure_ratio", "quota_refusal_ratio")
SIGNALS = frozenset({USERS, "channels", *RATIOS})


def query_id(account: TwilioAccount, project: Project) -> str:
    return f"{account.name}/{project.name}/calls"


def queries(account: TwilioAccount, needed: Set[str]) -> tuple[Query, ...]:
    """The account's queries for the signals that are `needed`."""
    return tuple(_query(account, project, needed) for project in account.projects)


def pools(account: TwilioAccount) -> tuple[Pool, ...]:
    """One pool per project: the vendor counts every (sub)account by itself."""
    quota = Quota.per_second(account.quotas.per_second, margin=account.margin)
    return tuple(
        Pool(id=pool_of(account, project), account=account.name, family="video", quotas=(quota,))
        for project in account.projects
    )


def asked(account: TwilioAccount) -> tuple[str, ...]:
    """Where somebody who asks for one call spends: beside the looks at its project."""
    return tuple(pool_of(account, project) for project in account.projects)


def pool_of(account: TwilioAccount, project: Project) -> str:
    """The project's one pool."""
    return f"{account.name}/video/{project.name}"


def _query(account: TwilioAccount, project: Project, needed: Set[str]) -> Query:
    signals = [s for s in (USERS, "channels", *RATIOS) if s in needed or s == USERS]
    rooms = project.expected.rooms_per_day
    recent = _pages(rooms, project.longest + SLACK + account.delay)
    all_of_them = _pages(rooms, ROOM_LIFE + project.longest + SLACK + account.delay)
    lists = recent + math.ceil((all_of_them - recent) * min(account.every / LIST_ALL_EVERY, 1))
    reads = math.ceil(_READS * rooms * account.every / DAY)
    return Query(
        id=query_id(account, project),
        account=account.name,
        series=tuple(Series(account.name, account.provider, project.name, "", "", s) for s in signals),
        pools=(pool_of(account, project),),
        width=WIDTH,
        delay=float(account.delay),
        reach=float(CATCH_UP),
        settle=math.ceil(account.delay / WIDTH),
        every=float(account.every),
        amended=float(project.longest + account.delay),
        requests=min(lists + reads, MOST_REQUESTS),
        most_requests=MOST_REQUESTS,
    )


def _pages(rooms_per_day: int, seconds: float) -> int:
    """Of a list of the rooms that began within so long."""
    return math.ceil(rooms_per_day * seconds / DAY / PAGE_SIZE)
