"""What somebody asks of an account that looks do not tell: one call, or whole days by groups of users.

    ask (any task) ─► queue ─► the account's loop, between two looks ─► purse: time? promises? ledger? ─► what was read

Looks of an account follow each other and sources rely on it, so a question is not answered beside them but between
them, by the same loop: when no look is due, no page waits, and long enough before the next one. It ends earlier than
that, for what it has read by then is an answer too. Where looks follow each other within seconds, as those of many
projects do, no such place comes: after half a minute it takes a few seconds all the same, which such looks can wait.

What it costs is bounded thrice. Whoever asks says the most. The ledger lets nothing leave that a quota forbids. And
promises go first: where looks divide a day's budget with it (Agora's samples and days), each must be one that the
policy can spare, as with who is affected; of a short quota a look's worth stays, unless it is full again by the next
look; where nobody looks but history may be read (Data Insights), half of an even day stays. A cap of its own was
considered: it would forbid what nobody needs.

Nothing is kept: a question is answered, refused with words for a person, or forgotten with whoever asked. Whoever goes
away is not asked for any more, and what somebody outside hints at is looked at before the reading goes on.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Generic, TypeVar, cast

import anyio

from watcher import log
from watcher.app.recorder import Recorder
from watcher.budget.ledger import Ledger
from watcher.budget.purse import LookPurse
from watcher.budget.quota import SECOND, Refusal
from watcher.calls import MOST_REQUESTS, CallReader, CallView, CallWish, ran
from watcher.clock import DAY, Clock, hhmm, real_deadline, real_monotonic, rfc3339
from watcher.errors import ProviderError, Reason, Refused, StoreError, clip
from watcher.groups import GroupReader, GroupView, GroupWish
from watcher.model import Purse, Source, Spend
from watcher.schedule.state import Policy, QueryState

PATIENCE = 60.0  # real seconds that somebody waits for their turn
LONGEST_READ = 25.0  # real seconds after which what was read is the answer
GRACE = 5.0  # real seconds that a request which has left may take beyond that
LEAST_ROOM = 3.0  # real seconds before the next look in which a read is worth beginning
LATE_ROOM = 6.0  # what is taken after half the patience, where looks are never that far apart
MAX_WAITING = 4
_OF_GROUPS = 2  # requests: the groups, and the whole
_SOON = 1.0  # run seconds within which a policy's request is one for now: a quota per second may ask for that
_KEPT = 0.5  # of what an even day has left, where history may need it

T = TypeVar("T")


class Outcome(StrEnum):
    """What became of a question: a closed set, so that it can be a metric label."""

    TOLD = "told"
    UNKNOWN = "unknown"  # the vendor knows of nothing like that
    BUDGET = "budget"
    FAILED = "failed"  # the vendor or the state did not answer
    LATE = "late"  # no turn came before whoever asked had waited enough


@dataclass(frozen=True, slots=True)
class Told(Generic[T]):
    """What was read, of which account's project, when by the vendor's clock, and how many requests it took."""

    view: T
    account: str
    provider: str
    project: str
    at: float
    requests: int


@dataclass(slots=True, eq=False)
class _Question:
    """What is to be read, from these pools, for at most so many requests, leaving a share of the day to others.

    `gone`: nobody waits for it any more.
    """

    read: Callable[[Purse], Awaitable[object]]
    pools: tuple[str, ...]
    requests: int
    kept: float
    since: float
    begun: anyio.Event = field(default_factory=anyio.Event)
    answered: anyio.Event = field(default_factory=anyio.Event)
    answer: tuple[object, int] | Refused | None = None
    gone: bool = False


class Questions:
    """One account's. `step` belongs to its loop, the rest to anybody; `ring` wakes the loop."""

    def __init__(
        self,
        *,
        account: str,
        source: Source,
        ledger: Ledger,
        policy: Policy,
        recorder: Recorder,
        clock: Clock,
        ring: Callable[[], None],
    ) -> None:
        self.outcomes: Counter[Outcome] = Counter(dict.fromkeys(Outcome, 0))
        self.oddities: Counter[str] = Counter()
        self.requests = 0
        series = [series for query in source.queries for series in query.series]
        self._account = account
        self._provider = next((one.provider for one in series), "")
        self._projects = sorted({one.project for one in series})
        self._source = source
        self._ledger = ledger
        self._policy = policy
        self._recorder = recorder
        self._clock = clock
        self._ring = ring
        self._log = log.get("questions").bind(account=account)
        self._waiting: deque[_Question] = deque()
        self._ended = False
        self._hurried = False

    # ── what can be asked: each raises `Refused` with words for a person ─────────────────────────────────────────────

    async def call(self, wish: CallWish) -> Told[CallView]:
        """One call; the wish's project may be left out where there is one only."""
        reader, project = self._source, self.project(wish.project)
        if not isinstance(reader, CallReader):
            raise Refused(409, f"account {self._account} cannot be asked for single calls")
        pools = reader.call_pools(project)

        async def read(purse: Purse) -> CallView | None:
            most = min(wish.requests, 1 + self._left_of_day(pools))  # what is read first depends on how much can be
            return await reader.read_call(replace(wish, project=project, requests=most), purse)

        told = await self._ask(read, pools, wish.requests, project)
        if told.view is None:
            self._count(Outcome.UNKNOWN)
            when = "" if wish.at is None else " at that time"
            what = f"the vendor knows of no call {clip(wish.channel, 100)!r} in project {project}{when}"
            cost = f"{told.requests} request{'' if told.requests == 1 else 's'}"
            raise Refused(404, f"{what}, or not yet: a call shows some minutes late; it took {cost}")
        self._count(Outcome.TOLD)
        view = told.view
        if wish.at is not None and not ran(view, wish.at):
            view = replace(view, notes=(f"no call of it ran at {rfc3339(wish.at)}: this is the nearest", *view.notes))
        return replace(cast("Told[CallView]", told), view=view)

    async def groups(
        self, signal: str, *, by: str, project: str, product: str, until: float | None, days: int, country: str
    ) -> Told[GroupView]:
        """Whole days up to `until`, or to the newest that there is, by groups."""
        reader, project = self._source, self.project(project)
        if not isinstance(reader, GroupReader):
            raise Refused(409, f"the vendor of account {self._account} tells nothing of days by groups")
        offer = reader.grouping(project, signal)
        if by not in offer.by:
            raise Refused(422, f"{signal} can be asked by {', '.join(offer.by)}")
        if country and by != "region":
            raise Refused(422, "a country narrows a breakdown by region")
        if product and not offer.products:
            raise Refused(422, f"{signal} is of all products together: leave the product out")
        if product not in offer.products and (product or len(offer.products) > 1):
            raise Refused(422, f"say of which product: {', '.join(offer.products)}")
        end = offer.end if until is None else min(math.ceil(until / DAY) * DAY, offer.end)
        start = max(end - days * DAY, offer.start)
        if start >= end:
            have = f"{rfc3339(offer.start)} to {rfc3339(offer.end)}"
            raise Refused(422, f"the vendor has the days from {have} only")
        wish = GroupWish(
            signal=signal,
            project=project,
            by=by,
            start=start,
            end=end,
            product=product or next(iter(offer.products), ""),
            country=country,
        )

        async def read(purse: Purse) -> GroupView:
            return await reader.read_groups(wish, purse)

        told = await self._ask(read, offer.pools, _OF_GROUPS, project, kept=_KEPT)
        self._count(Outcome.TOLD)
        return told

    def project(self, wanted: str) -> str:
        """The project that is meant; the only one where none is named."""
        if wanted in self._projects:
            return wanted
        names = ", ".join(self._projects)
        if wanted:
            raise Refused(404, f"account {self._account} has no project {clip(wanted, 63)}: it has {names}")
        if len(self._projects) != 1:
            raise Refused(422, f"say which project of account {self._account}: {names}")
        return self._projects[0]

    async def _ask(
        self,
        read: Callable[[Purse], Awaitable[T]],
        pools: tuple[str, ...],
        requests: int,
        project: str,
        *,
        kept: float = 0.0,
    ) -> Told[T]:
        """Wait for the turn, with patience, and for what is read then, which is bounded by itself."""
        if self._ended:
            raise _anew()
        if len(self._waiting) >= MAX_WAITING:
            raise Refused(429, f"{MAX_WAITING} others wait for an answer already: try again in a minute")
        question = _Question(read, pools, requests, kept, since=real_monotonic())
        self._waiting.append(question)
        self._ring()
        try:
            with real_deadline(PATIENCE):
                await question.begun.wait()
            if question.begun.is_set():
                await question.answered.wait()
        finally:
            question.gone = True
            if question in self._waiting:
                self._waiting.remove(question)
        if question.answer is None and self._ended:
            raise _anew()
        if question.answer is None:
            self._count(Outcome.LATE)
            raise Refused(504, f"looks left no time for it within {PATIENCE:.0f} s: try again")
        if isinstance(question.answer, Refused):
            raise question.answer
        view, spent = question.answer
        return Told(cast("T", view), self._account, self._provider, project, self._ledger.vendor_now(), spent)

    # ── the account's loop ───────────────────────────────────────────────────────────────────────────────────────────

    async def step(self, states: Sequence[QueryState], free_until: float, verdict: float = math.inf) -> bool:
        """Answer who asked first, if there is time before the next look at `free_until` and the next verdict, which may
        be a page (run clock); whether that was done."""
        if not self._waiting:
            return False
        room, page = ((at - self._clock.now()) / self._clock.rate for at in (free_until, verdict))
        if real_monotonic() - self._waiting[0].since > PATIENCE / 2:
            room = max(room, LATE_ROOM)
        room = min(room, page)
        if room < LEAST_ROOM:
            return False
        question = self._waiting.popleft()
        question.begun.set()
        self._hurried = False
        try:
            question.answer = await self._read(question, states, free_until, min(room - _margin(room), LONGEST_READ))
        except Refused as refused:
            question.answer = refused
        except Exception as error:  # noqa: BLE001 - a fault in reading for one person costs that answer, not the looks
            self._log.error("question_crashed", error=type(error).__name__)
            question.answer = self._over(Outcome.FAILED, Refused(500, "it could not be read: a fault of watcher's"))
        finally:
            question.answered.set()
        return True

    def hurry(self) -> None:
        """Something is to be looked at now: what has been read by now is the answer."""
        self._hurried = True

    def close(self) -> None:
        """The loop ends, for a reload or after a crash: whoever waits need not wait for another one."""
        self._ended = True
        for question in self._waiting:
            question.answer = _anew()
            question.begun.set()
            question.answered.set()
        self._waiting.clear()

    async def _read(
        self, question: _Question, states: Sequence[QueryState], free_until: float, seconds: float
    ) -> tuple[object, int]:
        """What was read within so many seconds, and the requests that it took. Raises `Refused`."""
        purse = await self._begun(question, states, free_until, seconds)
        try:
            view = await self._asked(question, purse, seconds + GRACE)
        except ProviderError as error:
            await self._ledger.refused(question.pools, error)
            raise self._over(Outcome.FAILED, Refused(502, f"the vendor did not say: {error}")) from None
        except StoreError as error:
            raise self._unrecorded(error) from None
        finally:
            self.requests += purse.spent
        if isinstance(view, CallView):
            self.oddities.update(view.oddities)
            if view.refusal is not None:
                await self._ledger.refused(question.pools, view.refusal)
        self._log.info("question_answered", requests=purse.spent)
        return view, purse.spent

    async def _begun(
        self, question: _Question, states: Sequence[QueryState], free_until: float, seconds: float
    ) -> _Purse:
        """A purse with the first request spent. Raises `Refused`."""
        pools = question.pools

        def spares() -> bool:
            wanted = not (question.gone or self._hurried)
            return wanted and self._spares(states, pools, question.kept, free_until)

        if not spares():
            what = "looks or history need what is left of the account's requests, or looks fail now: try again later"
            raise self._over(Outcome.BUDGET, Refused(429, what))
        try:
            spend = await self._ledger.spend(pools)
            if isinstance(spend, Refusal) and spend.window == SECOND:  # a look a moment ago
                await self._ledger.wait_until(spend.at)
                spend = await self._ledger.spend(pools)
        except StoreError as error:
            raise self._unrecorded(error) from None
        if isinstance(spend, Refusal):
            what = f"the request budget allows none before {hhmm(spend.at)} UTC ({spend.window}, {spend.reason})"
            raise self._over(Outcome.BUDGET, Refused(429, what))
        until = math.inf if self._clock.virtual else real_monotonic() + seconds
        return _Purse(self._ledger, pools, spend, extra=question.requests - 1, until=until, spares=spares)

    async def _asked(self, question: _Question, purse: LookPurse, seconds: float) -> object:
        with real_deadline(seconds):
            return await question.read(purse)
        raise ProviderError(Reason.TIMEOUT, f"no answer within {seconds:.0f} s")

    def _spares(self, states: Sequence[QueryState], pools: Sequence[str], kept: float, free_until: float) -> bool:
        """Whether looks, which come from `free_until` on, and history can do without one more request of these pools.

        A quota per second is waited for, so it never says no.
        """
        now, usage = self._clock.now(), self._ledger.usage(self._clock.now())
        for view in (v for v in usage if v.pool in pools and v.window_seconds > 1):
            own = [state.query for state in states if view.pool in state.query.pools]
            if view.window_seconds < DAY:
                look = max((query.requests for query in own), default=0)
                if view.left - 1 < look and now + view.window_seconds > free_until:
                    return False
            elif own:
                if self._policy.spare(states, usage, pools, now) > now + _SOON:
                    return False
            elif kept and view.left - 1 < kept * view.allowed * min(max(view.resets_at - now, 0.0) / DAY, 1.0):
                return False
        return True

    def _left_of_day(self, pools: Sequence[str]) -> int:
        """Requests that the day still has; more than anybody may ask for where it has no end."""
        views = self._ledger.usage(self._clock.now())
        return int(min((v.left for v in views if v.pool in pools and v.window_seconds == DAY), default=MOST_REQUESTS))

    def _count(self, outcome: Outcome) -> None:
        self.outcomes[outcome] += 1

    def _over(self, outcome: Outcome, refused: Refused) -> Refused:
        self._count(outcome)
        return refused

    def _unrecorded(self, error: StoreError) -> Refused:
        self._recorder.fails(error)
        return self._over(Outcome.FAILED, Refused(503, "the state cannot be written, so no request may leave"))


def _anew() -> Refused:
    return Refused(503, "the account begins anew: ask again in a moment")


def _margin(room: float) -> float:
    """Seconds of the room that are kept for a request that has left."""
    return min(GRACE, room / 2)


class _Purse(LookPurse):
    """A purse that also closes when the time is over, and where looks need the rest of a shared day."""

    def __init__(
        self,
        ledger: Ledger,
        pools: Sequence[str],
        first: Spend,
        *,
        extra: int,
        until: float,
        spares: Callable[[], bool],
    ) -> None:
        super().__init__(ledger=ledger, pools=pools, first=first, extra=extra)
        self.spent = 1
        self._until = until
        self._spares = spares

    async def refund(self) -> None:
        """See `model.Purse`."""
        self.spent -= self._last is not None
        await super().refund()

    async def spend(self) -> bool:
        """See `model.Purse`."""
        if real_monotonic() > self._until or not self._spares() or not await super().spend():
            return False
        self.spent += 1
        return True
