"""The past that nobody watched, from the vendor's own statistics, where a rule looks back on it.

A rule against what is normal is silent until it has seen half of its weeks. What the vendor tells afterwards fills the
time before the first look: piece by piece, the oldest first, until the days of the first look are settled. Then it is
never asked again, since what was measured itself counts first. What it tells is recorded beside the series
(`Series.hourly`), so that a restart and `explain` know it too; how far it was read stands with what queries cover.

What is wanted of a series is fixed, durably, when it is first asked for: a project where nobody is has no first own
slot, and would be asked about each new day for ever. It is wanted anew where a rule looks back further than it was
read, or where all that was wanted is too old to count.

These requests are no part of the schedule. One leaves only while nothing is due for a while, and is given up when that
while is over. It spends what its pool can spare: it leaves what the pool's own looks need of the rest of the day, and
half of what an even day would have left; and of the minute it leaves what the largest of those looks takes, unless the
minute is over before the next look of any kind. So no look is later for it. As queries of the schedule they would have
been promised, paged for when they fail, and refused by `check` where the past of a large account takes a week to be
read; here it only takes that week.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import msgspec

from watcher import log
from watcher.app.recorder import Recorder
from watcher.budget.ledger import Ledger
from watcher.budget.purse import LookPurse
from watcher.budget.quota import Refusal
from watcher.budget.usage import Usage
from watcher.clock import DAY, HOUR, MINUTE, Clock, real_deadline
from watcher.errors import ProviderError, Reason, StoreError, clip
from watcher.model import Answer, Commit, LedgerStore, Query, Source, Span
from watcher.rules.engine import Engine
from watcher.workers import Workers

LONGEST = 10.0  # real seconds for one request
ROOM = 15.0  # real seconds in which nothing else may be due
SHARE = 0.5  # of what is left of a pool's day, at most
PATIENCE = float(MINUTE)  # beyond the vendor's delay: its limits are strict, and clocks differ
AFTER_FAILURE = float(HOUR)
_NOTE = "past"
_OF_THE_ACCOUNT = (Reason.RATE, Reason.DAY_QUOTA)  # else it is one query that fails


class PastReader:
    """Reads what one account's rules lack. `queries` are those of `Provider.past`, `scheduled` all that have turns."""

    def __init__(
        self,
        *,
        account: str,
        queries: Sequence[Query],
        scheduled: Sequence[Query],
        covered: Mapping[str, int],
        source: Source,
        ledger: Ledger,
        engine: Engine,
        recorder: Recorder,
        clock: Clock,
        notes: LedgerStore,
        workers: Workers,
    ) -> None:
        self._queries = tuple(queries)
        self._scheduled = tuple(scheduled)
        self._covered = {query.id: covered[query.id] for query in queries if query.id in covered}
        self._account = account
        self._wanted: dict[str, Span] = {}
        self._source = source
        self._ledger = ledger
        self._engine = engine
        self._recorder = recorder
        self._clock = clock
        self._notes = notes
        self._workers = workers
        self.oddities: Counter[str] = Counter()
        self._not_before = 0.0
        self._refused: dict[str, float] = {}  # query -> run seconds before which it is not asked again
        self._log = log.get("past")

    async def open(self) -> None:
        """What was wanted before this start; without it, what is lacking now is."""
        try:
            text = await self._workers.run(partial(self._notes.note, self._account, _NOTE))
            self._wanted = msgspec.json.decode(text, type=dict[str, Span]) if text is not None else {}
        except StoreError as error:
            self._recorder.fails(error)
        except msgspec.DecodeError as error:
            self._log.warning("past_unreadable", error=clip(str(error)))

    async def step(self, usage: Sequence[Usage], free_until: float) -> None:
        """One request, where something is lacking, can be afforded, and nothing else is due before `free_until`."""
        now = self._clock.now()
        room = (free_until - now) / self._clock.rate
        if now < self._not_before or room < ROOM:
            return
        query = self._next(usage, free_until)
        lacking = self._lacking(query) if query is not None else None
        if query is None or lacking is None:
            return
        try:
            begin = await self._fix(query, lacking)
            spend = await self._ledger.spend(query.pools)
            if isinstance(spend, Refusal):
                return
            purse = LookPurse(ledger=self._ledger, pools=query.pools, first=spend, extra=0)
            answer = await self._ask(query, begin, purse)
            await self._take_in(query, answer)
        except ProviderError as error:
            wait = AFTER_FAILURE if error.reason is not Reason.DAY_QUOTA else float(DAY)
            again = now + max(wait, error.retry_after or 0.0)
            if error.reason in _OF_THE_ACCOUNT:
                self._not_before = again
                await self._ledger.refused(query.pools, error)
            self._refused[query.id] = again
            self._log.warning("past_not_told", query=query.id, reason=str(error.reason), detail=error.detail)
        except StoreError as error:
            self._recorder.fails(error)
            self._not_before = now + AFTER_FAILURE
        except Exception as error:  # noqa: BLE001 - what is good to know besides must not end the looks
            self._refused[query.id] = now + float(DAY)
            self._log.error("past_crashed", query=query.id, error=type(error).__name__)

    def _next(self, usage: Sequence[Usage], free_until: float) -> Query | None:
        """Of what is lacking and can be had now, what was read the least far."""
        now = self._clock.now()
        asked = [q for q in self._queries if self._refused.get(q.id, 0.0) <= now]
        found = [q for q in asked if self._is_due(q) and self._affords(q, usage, free_until)]
        return min(found, key=lambda q: (self._covered.get(q.id, 0), q.id), default=None)

    def _is_due(self, query: Query) -> bool:
        """Whether a look would bring what is lacking: not read yet, or to be told anew."""
        lacking = self._lacking(query)
        offered = self._ledger.vendor_now() - query.delay
        if lacking is None or lacking.start + query.width > offered:
            return False
        covered = self._read_until(query, lacking)
        if covered is None:
            return True
        settled = covered - query.settle * query.width
        return settled < lacking.end and covered + query.every + PATIENCE <= offered

    def _lacking(self, query: Query) -> Span | None:
        """What is wanted of a query, as it was fixed or is to be."""
        now, fixed = self._engine.lacks_past(query.series[0]), self._wanted.get(query.id)
        if now is None or fixed is None:
            return now
        return now if now.start < fixed.start - DAY or now.start >= fixed.end else fixed

    def _read_until(self, query: Query, lacking: Span) -> int | None:
        """Up to where that was read; a clock that was ahead may have said that it was."""
        covered = self._covered.get(query.id, math.inf)
        is_other = self._wanted.get(query.id, lacking) != lacking
        return None if is_other or covered > self._ledger.vendor_now() else int(covered)

    def _affords(self, query: Query, usage: Sequence[Usage], free_until: float) -> bool:
        """Whether each of its pools can spare a request."""
        return all(
            view.left >= 1 and view.blocked_until is None and self._spares(view, free_until)
            for view in usage
            if view.pool in query.pools
        )

    def _spares(self, view: Usage, free_until: float) -> bool:
        """Whether a pool keeps enough for its own looks, and half of what an even day has left."""
        now = self._clock.now()
        own = [q for q in self._scheduled if view.pool in q.pools]
        if view.window_seconds == DAY:
            needed = sum(q.requests * DAY / q.apart for q in own)
            rest = min(max(view.resets_at - now, 0.0) / DAY, 1.0)
            return view.left - 1 >= max(needed, (1 - SHARE) * view.allowed) * rest
        largest = max((q.requests for q in own), default=0)
        over = now + LONGEST * self._clock.rate + view.window_seconds
        return view.left - 1 >= largest or over <= free_until

    async def _ask(self, query: Query, begin: int, purse: LookPurse) -> Answer:
        with real_deadline(LONGEST):
            return await self._source.look(query, begin, purse)
        raise ProviderError(Reason.TIMEOUT, f"no answer within {LONGEST:.0f} s")

    async def _fix(self, query: Query, lacking: Span) -> int:
        """Remember what is wanted; from where on it is to be read."""
        read_until = self._read_until(query, lacking)
        if self._wanted.get(query.id) != lacking:
            if read_until is None and query.id in self._covered:  # else a restart believes that it was read
                self._covered[query.id] = lacking.start
                await self._recorder.record(Commit(covered={query.id: lacking.start}))
            wanted = self._wanted | {query.id: lacking}
            text = msgspec.json.encode(wanted).decode()
            await self._workers.run(partial(self._notes.put_note, self._account, _NOTE, text))
            self._wanted = wanted
        return lacking.start if read_until is None else read_until

    async def _take_in(self, query: Query, answer: Answer) -> None:
        """Record how far it was read, and judge by it from now on."""
        self.oddities.update(answer.oddities)
        self._covered[query.id] = answer.asked.end
        told = [replace(points, series=points.series.hourly) for points in answer.points]
        await self._recorder.record(Commit(points=told, covered={query.id: answer.asked.end}))
        for points in answer.points:
            self._engine.tell(points)
