"""Whether an account can be seen, from what its looks and its budget say (design, invariants 4 and 11).

An account is seen when all of its queries are: one App ID whose credentials were withdrawn must not hide behind eight
others that answer. It is one alert all the same, since operators shall hear once: the detail says how many queries it
is about. A budget that is gone until midnight, ours or by the vendor's word, is blindness too, though no look fails.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from watcher import log
from watcher.alerts.blind import BLIND_LOOKS, AccountSight
from watcher.app.supervise import CALM
from watcher.budget.usage import Usage
from watcher.clock import DAY, hhmm
from watcher.errors import ProviderError, Reason
from watcher.model import Transition

_NOTHING_HELPS = frozenset({Reason.AUTH, Reason.PLAN, Reason.DAY_QUOTA, Reason.BUDGET})
"""What does not get better by itself before somebody acts or the day ends: logged as an error."""

_LAST_MINUTES = 600.0
"""Seconds before the reset in which an empty budget is the plan come true: an even day ends with its last request."""

_JAM = 300.0
"""Seconds beyond its length for which a short window may stay full. Only spends that a wrong clock dated into the
future keep one full for longer: no look fails then, since none is made."""

_EDGE = 60.0
"""Seconds before the vendor lets us in again in which that is not news: each answer moves the instant a little."""


class _Shut(NamedTuple):
    reason: Reason
    until: float


@dataclass(frozen=True, slots=True)
class _Failure:
    since: float
    looks: int
    reason: Reason
    detail: str


class Sight:
    """Kept by one account's loop; logs once when sight is lost, changes its cause, or returns.

    `told` is the operators' page that stands from before this start, where one does: it holds until every query was
    looked at, since a start is not an answer.
    """

    def __init__(self, *, account: str, provider: str, queries: int, told: Transition | None = None) -> None:
        self._account = account
        self._provider = provider
        self._queries = queries
        self._failing: dict[str, _Failure] = {}
        self._in_a_row = 0
        self._shut: _Failure | None = None
        self._crash: _Failure | None = None
        self._back_since: float | None = None  # when looks were answered again after a crash
        self._stale: _Failure | None = None
        self._before = _before(told) if told else None
        self._looked_at: set[str] = set()  # queries, since the start
        self._log = log.get("sight").bind(account=account)
        self._logged: Reason | None = None
        self.answered_at: float | None = None

    def failed(self, query: str, error: ProviderError, now: float) -> None:
        """A look at `query` failed."""
        known = self._failing.get(query)
        self._failing[query] = _Failure(
            since=known.since if known else now,
            looks=known.looks + 1 if known else 1,
            reason=error.reason,
            detail=error.detail,
        )
        self._in_a_row += 1
        self._looked(query)
        self._note(now)

    def answered(self, query: str, now: float) -> None:
        """A look at `query` was answered; an empty answer counts."""
        self.answered_at = now
        self._failing.pop(query, None)
        self._stale = None
        self._back(now)
        self._in_a_row = 0
        self._looked(query)
        self._note(now)

    def crashed(self, now: float) -> None:
        """The account's task crashed: until a look is answered again, nobody looks.

        Where it crashes again and again, an answer in between is no sight: only being calm ends it.
        """
        known = self._crash
        looks = known.looks + 1 if known else 1
        since = known.since if known else now
        self._crash = _Failure(since=since, looks=looks, reason=Reason.OTHER, detail=f"its task crashed, {looks} times")
        self._back_since = None
        self._note(now)

    def _back(self, now: float) -> None:
        """An answer after a crash."""
        if self._crash is None:
            return
        if self._back_since is None:
            self._back_since = now
        if now - self._back_since > CALM:
            self._crash = self._back_since = None

    def stale(self, overdue: bool, now: float) -> None:
        """Nobody has had an answer for far too long, for whatever reason."""
        if not overdue:
            self._stale = None
        elif self._stale is None:
            detail = "no answer for far longer than promised"
            self._stale = _Failure(since=now, looks=BLIND_LOOKS, reason=Reason.OTHER, detail=detail)
        self._note(now)

    def budget(self, usage: Sequence[Usage], now: float) -> None:
        """How the quotas stand: a pool that is shut for long cannot be seen through."""
        shut = next((found for u in usage if (found := _shut_by(u, now)) is not None), None)
        if shut is None:
            self._shut = None
        elif self._shut is None or self._shut.reason is not shut.reason:
            since = self._shut.since if self._shut else now
            detail = f"until {hhmm(shut.until)} UTC"
            self._shut = _Failure(since=since, looks=BLIND_LOOKS, reason=shut.reason, detail=detail)
        self._note(now)

    def view(self) -> AccountSight:
        """As the operators' alert wants it."""
        causes = self._causes()
        if not causes:
            return AccountSight(account=self._account, provider=self._provider)
        latest = causes[-1]
        count = len(self._failing)
        whole = latest in (self._before, self._stale, self._crash, self._shut) or count == self._queries
        part = "" if whole else f"{count} of {self._queries} queries"
        return AccountSight(
            account=self._account,
            provider=self._provider,
            blind_since=min(cause.since for cause in causes),
            failed_looks=max(self._in_a_row, *(cause.looks for cause in causes)),
            reason=str(latest.reason),
            detail=", ".join(filter(None, (part, latest.detail))),
        )

    def reason(self) -> Reason | None:
        """Why the account cannot be seen; None while it can."""
        causes = self._causes()
        return causes[-1].reason if causes else None

    def _causes(self) -> list[_Failure]:
        """The causes, the most telling last: what takes the whole account, else the newest failure."""
        failing = sorted(self._failing.values(), key=lambda failure: failure.since)
        once = self._crash is not None and self._crash.looks == 1 and self._back_since is not None
        crash = None if once else self._crash
        return [*filter(None, (self._before, self._stale)), *failing, *filter(None, (crash, self._shut))]

    def _looked(self, query: str) -> None:
        self._looked_at.add(query)
        if len(self._looked_at) >= self._queries:
            self._before = None

    def _note(self, now: float) -> None:
        reason = self.reason()
        if reason is self._logged:
            return
        if reason is None:
            self._log.info("account_seen_again")
        else:
            detail = self._causes()[-1].detail
            level = self._log.error if reason in _NOTHING_HELPS else self._log.warning
            level("account_not_seen", reason=str(reason), detail=detail)
        self._logged = reason


def _before(told: Transition) -> _Failure:
    """What is known of the blindness that an earlier run told of."""
    reason = next((r for r in Reason if r == told.annotations.get("reason")), Reason.OTHER)
    return _Failure(since=told.starts_at, looks=BLIND_LOOKS, reason=reason, detail="as before this start")


def _shut_by(usage: Usage, now: float) -> _Shut | None:
    """Why nothing can be asked of a pool for long, if so."""
    if usage.capped and usage.reason is None:
        return None  # the user's own cap on something extra: that it is spent was the wish
    if usage.window_seconds < DAY:
        if usage.blocked_until is None and usage.free_at - now > usage.window_seconds + _JAM:
            return _Shut(Reason.BUDGET, usage.free_at)
        return None
    if usage.reason is Reason.DAY_QUOTA and (usage.blocked_until or now) - now > _EDGE:
        return _Shut(Reason.DAY_QUOTA, usage.resets_at)
    if usage.left < 1 and usage.resets_at - now > _LAST_MINUTES:
        return _Shut(Reason.BUDGET, usage.resets_at)
    return None
