"""One call for whoever asks for it: a question that waits for its turn among the looks, and is then read in one go.

    ask (any task) ─► queue ─► the account's loop, between two looks ─► purse: time? promises? ledger? ─► what was read

Looks of an account follow each other and sources rely on it, so a question is not read beside them but between them, by
the same loop: when no look is due, no page waits, and long enough before the next one. It leaves earlier than that, for
what it has read by then is an answer too.

What it costs is bounded thrice. Whoever asks says the most (`CallWish.requests`). The ledger lets nothing leave that a
quota forbids. And where looks divide a day's budget with it (Agora's samples), each request must be one that the policy
can spare, as with who is affected: promises first. A cap of its own was considered: it would forbid what nobody needs.

Nothing is kept: a question is answered, refused with words for a person, or forgotten with whoever asked.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import anyio

from watcher import log
from watcher.app.recorder import Recorder
from watcher.budget.ledger import Ledger
from watcher.budget.purse import LookPurse
from watcher.budget.quota import Refusal
from watcher.calls import CallReader, CallView, CallWish
from watcher.clock import Clock, hhmm, real_deadline, real_monotonic
from watcher.errors import ProviderError, Reason, Refused, StoreError
from watcher.model import Source, Spend
from watcher.schedule.state import Policy, QueryState

PATIENCE = 60.0  # real seconds that somebody waits at most
LONGEST_READ = 25.0  # real seconds after which what was read is the answer
_GRACE = 5.0  # real seconds that a request which has left may take beyond that
LEAST_ROOM = 3.0  # real seconds before the next look in which a read is worth beginning
MAX_WAITING = 4


class Outcome(StrEnum):
    """What became of a question: a closed set, so that it can be a metric label."""

    TOLD = "told"
    UNKNOWN = "unknown"  # the vendor knows of no such call
    BUDGET = "budget"
    FAILED = "failed"  # the vendor or the state did not answer
    LATE = "late"  # no turn came before whoever asked had waited enough


@dataclass(frozen=True, slots=True)
class CallAnswer:
    """What was read of a project, when by the vendor's clock, and how many requests it took."""

    view: CallView
    project: str
    at: float
    requests: int


@dataclass(slots=True, eq=False)
class _Question:
    wish: CallWish
    pools: tuple[str, ...]
    answered: anyio.Event = field(default_factory=anyio.Event)
    answer: CallAnswer | Refused | None = None


class Calls:
    """One account's. `step` belongs to its loop, `ask` to anybody; `ring` wakes the loop."""

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
        self.provider = next((series.provider for query in source.queries for series in query.series), "")
        self._account = account
        self._reader = source if isinstance(source, CallReader) else None
        self._projects = sorted({series.project for query in source.queries for series in query.series})
        self._ledger = ledger
        self._policy = policy
        self._recorder = recorder
        self._clock = clock
        self._ring = ring
        self._log = log.get("calls").bind(account=account)
        self._waiting: deque[_Question] = deque()

    async def ask(
        self, channel: str, *, project: str = "", user: str = "", at: float | None = None, requests: int
    ) -> CallAnswer:
        """Wait for the turn, and for what is read then. Raises `Refused` with words for a person."""
        wish = CallWish(channel=channel, project=self._project(project), user=user, at=at, requests=requests)
        if self._reader is None:
            raise Refused(409, f"account {self._account} cannot be asked for single calls")
        question = _Question(wish, self._reader.call_pools(wish.project))
        if len(self._waiting) >= MAX_WAITING:
            raise Refused(429, f"{MAX_WAITING} others wait for a call already: try again in a minute")
        self._waiting.append(question)
        self._ring()
        try:
            with real_deadline(PATIENCE):
                await question.answered.wait()
        finally:
            if question in self._waiting:
                self._waiting.remove(question)
        if question.answer is None:
            self.outcomes[Outcome.LATE] += 1
            raise Refused(504, f"looks left no time for it within {PATIENCE:.0f} s: try again")
        if isinstance(question.answer, Refused):
            raise question.answer
        return question.answer

    def _project(self, wanted: str) -> str:
        if wanted in self._projects:
            return wanted
        names = ", ".join(self._projects)
        if wanted:
            raise Refused(404, f"account {self._account} has no project {wanted}: it has {names}")
        if len(self._projects) != 1:
            raise Refused(422, f"say which project of account {self._account}: {names}")
        return self._projects[0]

    async def step(self, states: Sequence[QueryState], free_until: float) -> bool:
        """Read the call that was asked for first, if there is time before `free_until` (run clock); whether it was."""
        room = (free_until - self._clock.now()) / self._clock.rate
        if not self._waiting or room < LEAST_ROOM:
            return False
        question = self._waiting.popleft()
        try:
            question.answer = await self._read(question, states, min(room - _margin(room), LONGEST_READ))
            self.outcomes[Outcome.TOLD] += 1
        except Refused as refused:
            question.answer = refused
        except Exception as error:  # noqa: BLE001 - a fault in reading for one person costs that answer, not the looks
            self._log.error("call_crashed", error=type(error).__name__)
            question.answer = self._over(Outcome.FAILED, Refused(500, "it could not be read: a fault of watcher's"))
        finally:
            question.answered.set()
        return True

    async def _read(self, question: _Question, states: Sequence[QueryState], seconds: float) -> CallAnswer:
        """Raises `Refused`."""
        wish, pools = question.wish, question.pools
        purse = await self._begun(question, states, seconds)
        try:
            view = await self._asked(wish, purse, seconds)
        except ProviderError as error:
            await self._ledger.refused(pools, error)
            raise self._over(Outcome.FAILED, Refused(502, f"the vendor did not say: {error}")) from None
        except StoreError as error:
            raise self._unrecorded(error) from None
        finally:
            self.requests += purse.spent
        if view is None:
            when = "" if wish.at is None else " at that time"
            what = f"the vendor knows of no call {wish.channel!r} in project {wish.project}{when}"
            raise self._over(Outcome.UNKNOWN, Refused(404, f"{what}; it took {purse.spent} requests"))
        if view.refusal is not None:
            await self._ledger.refused(pools, view.refusal)
        self.oddities.update(view.oddities)
        self._log.info("call_read", project=wish.project, requests=purse.spent)
        return CallAnswer(view, wish.project, self._ledger.vendor_now(), purse.spent)

    async def _begun(self, question: _Question, states: Sequence[QueryState], seconds: float) -> _CallPurse:
        """A purse with the first request spent. Raises `Refused`."""
        pools = question.pools

        def spares() -> bool:
            return not self._shared(states, pools) or self._spare_now(states, pools)

        if not spares():
            what = "the looks of this account need what is left of today's requests, or fail just now: try again later"
            raise self._over(Outcome.BUDGET, Refused(429, what))
        try:
            spend = await self._ledger.spend(pools)
        except StoreError as error:
            raise self._unrecorded(error) from None
        if isinstance(spend, Refusal):
            what = f"the request budget allows none before {hhmm(spend.at)} UTC ({spend.window}, {spend.reason})"
            raise self._over(Outcome.BUDGET, Refused(429, what))
        until = math.inf if self._clock.virtual else real_monotonic() + seconds
        return _CallPurse(self._ledger, pools, spend, extra=question.wish.requests - 1, until=until, spares=spares)

    async def _asked(self, wish: CallWish, purse: LookPurse, seconds: float) -> CallView | None:
        assert self._reader is not None
        with real_deadline(seconds + _GRACE):
            return await self._reader.read_call(wish, purse)
        raise ProviderError(Reason.TIMEOUT, f"no answer within {seconds + _GRACE:.0f} s")

    def _shared(self, states: Sequence[QueryState], pools: Sequence[str]) -> bool:
        """Whether looks are promised from the same day's budget."""
        days = {pool.id for pool in self._ledger.pools if pool.day is not None and pool.id in pools}
        return any(days.intersection(state.query.pools) for state in states)

    def _spare_now(self, states: Sequence[QueryState], pools: Sequence[str]) -> bool:
        """Whether the policy gives a request now, or within the second that a quota per second may ask for."""
        now = self._clock.now()
        return self._policy.spare(states, self._ledger.usage(now), pools, now) <= now + 1.0

    def _over(self, outcome: Outcome, refused: Refused) -> Refused:
        self.outcomes[outcome] += 1
        return refused

    def _unrecorded(self, error: StoreError) -> Refused:
        self._recorder.fails(error)
        return self._over(Outcome.FAILED, Refused(503, "the state cannot be written, so no request may leave"))


def _margin(room: float) -> float:
    """Seconds of the room that are kept for a request that has left."""
    return min(_GRACE, room / 2)


class _CallPurse(LookPurse):
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

    async def spend(self) -> bool:
        """See `model.Purse`."""
        if real_monotonic() > self._until or not self._spares() or not await super().spend():
            return False
        self.spent += 1
        return True
