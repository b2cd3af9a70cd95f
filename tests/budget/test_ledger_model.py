"""The ledger against a vendor that counts by its own clock, through everything that can happen to a daemon.

The model keeps true time; our wall clock may be set at will, the vendor's is some offset away, requests take up to 4 s
to arrive and answers up to 4 s to come back. The daemon is killed between record and send, in flight, and after the
answer. The vendor's own count of arrivals is the only judge: in no UTC minute, no 60 s, no UTC day and no 30 s may it
see more than we allow ourselves, which is one below its limits.
"""

from __future__ import annotations

import math

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.budget.doubles import NOON, HandClock, MemoryStore, agora, over, run
from watcher.budget import Ledger, LookPurse, Pool, Quota, Refusal
from watcher.clock import DAY, HOUR, day_start
from watcher.errors import Reason, StoreError
from watcher.model import Spend
from watcher.workers import InlineWorkers

REALTIME = agora(minute=3, day=13)
CALLS = Pool(id="acme/calls", account="acme", family="calls", quotas=(Quota.rolling(4, 30),))
POOLS = st.sampled_from([(REALTIME.id,), (REALTIME.id,), (CALLS.id,), (REALTIME.id, CALLS.id)])
WAYS = st.floats(0, 4)
MIDNIGHT = day_start(NOON) + DAY
STEPS = st.sampled_from([-20 * HOUR, -6 * HOUR, -700.0, -45.0, -3.0, 3.0, 45.0, 700.0, 6 * HOUR, 20 * HOUR])


class Daemon(RuleBasedStateMachine):
    """One account, one vendor."""

    def __init__(self) -> None:
        super().__init__()
        self.arrivals: dict[str, list[float]] = {REALTIME.id: [], CALLS.id: []}
        self.lied = False
        self.doubted = 0.0

    @initialize(start=st.integers(-7200, 7200), offset=st.sampled_from([0.0, 3.0, -4.0, 50.0, -3600.0, 9000.0]))
    def begin(self, start: int, offset: float) -> None:
        """An installation near midnight. Until its first answer a wrong clock cannot be told, so it gets one."""
        self.clock = HandClock(MIDNIGHT + start)
        self.store = MemoryStore()
        self.offset = offset
        self.restart()
        self.until_granted((REALTIME.id,))
        self.arrive((REALTIME.id,), 0.3)
        self.reply(self.last, 0.2)

    # the vendor's side

    def vendor_now(self) -> float:
        return self.clock.true + self.offset

    def arrive(self, pools: tuple[str, ...], way: float) -> None:
        self.clock.wait(way)
        for pool in pools:
            self.arrivals[pool].append(self.vendor_now())

    def reply(self, spend: Spend, way: float, *, lie: float = 0.0) -> None:
        date = math.floor(self.vendor_now() + lie)
        self.clock.wait(way)
        run(self.ledger.answered(spend, date))

    # our side

    def until_granted(self, pools: tuple[str, ...]) -> None:
        """No starvation: waking when told is enough, and what it can move later is bounded."""
        waited = 0.0
        for _ in range(6):
            decision = run(self.ledger.spend(pools))
            if isinstance(decision, Spend):
                self.last = decision
                return
            wait = decision.at - self.clock.now()
            assert wait > 0
            waited += wait
            self.clock.wait(wait)
        raise AssertionError(f"still refused after {waited} s")

    @rule(pools=POOLS, there=WAYS, back=WAYS)
    def look(self, pools: tuple[str, ...], there: float, back: float) -> None:
        """A look that is granted or not, and answered."""
        decision = run(self.ledger.spend(pools))
        if isinstance(decision, Spend):
            self.arrive(pools, there)
            self.reply(decision, back)
            self.lied = False
            self.doubted = 0.0

    @rule(pools=POOLS, there=WAYS)
    def look_as_soon_as_possible(self, pools: tuple[str, ...], there: float) -> None:
        """The greediest schedule there is."""
        self.until_granted(pools)
        self.arrive(pools, there)
        self.reply(self.last, 0.1)
        self.lied = False
        self.doubted = 0.0

    @rule(pools=POOLS, there=WAYS, gone=st.floats(0, 25))
    def look_without_answer(self, pools: tuple[str, ...], there: float, gone: float) -> None:
        """The request arrives; nothing ever comes back."""
        if isinstance(run(self.ledger.spend(pools)), Spend):
            self.arrive(pools, there)
            self.clock.wait(gone)

    @rule(pools=POOLS, connecting=st.floats(0, 25))
    def slow_look(self, pools: tuple[str, ...], connecting: float) -> None:
        """A connection that takes long to come about, then an answer."""
        decision = run(self.ledger.spend(pools))
        if isinstance(decision, Spend):
            self.arrive(pools, connecting)
            self.reply(decision, 0.1)
            self.lied = False
            self.doubted = 0.0

    @rule(pools=POOLS, back=WAYS)
    def look_over_two_domains(self, pools: tuple[str, ...], back: float) -> None:
        """The first cannot be reached and is refunded, the second answers."""
        first = run(self.ledger.spend(pools))
        if isinstance(first, Refusal):
            return
        purse = LookPurse(ledger=self.ledger, pools=pools, first=first)
        run(purse.refund())
        if run(purse.spend()):
            self.arrive(pools, 0.5)
            date = math.floor(self.vendor_now())
            self.clock.wait(back)
            run(purse.answered(date))
            self.lied = False
            self.doubted = 0.0
        assert not run(purse.spend())

    @rule(pools=POOLS, sent=st.booleans(), way=WAYS)
    def killed(self, pools: tuple[str, ...], sent: bool, way: float) -> None:
        """kill -9 between record and send, or with the request in flight."""
        if isinstance(run(self.ledger.spend(pools)), Spend) and sent:
            self.arrive(pools, way)
        self.restart()

    @rule()
    def restart(self) -> None:
        """A new process on the same state and machine."""
        self.ledger = Ledger(
            account="acme",
            pools=(REALTIME, CALLS),
            store=self.store,
            clock=self.clock,
            workers=InlineWorkers(),
            boot="boot-1",
        )
        run(self.ledger.open())

    @rule(seconds=st.sampled_from([0.5, 10.0, 29.0, 55.0, 65.0, 300.0, 1500.0, 5 * HOUR]) | st.floats(0, 90))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.clock.wait(seconds)

    @rule()
    def wait_until_midnight(self) -> None:
        """To a few seconds before the vendor's day ends."""
        ahead = day_start(self.vendor_now()) + DAY - 4 - self.vendor_now()
        self.clock.wait(max(0.0, ahead))

    @rule(seconds=STEPS, down=st.booleans())
    def step(self, seconds: float, down: bool) -> None:
        """Someone sets our wall clock, while we run or while we do not."""
        self.clock.step(seconds)
        self.doubted += abs(seconds)
        if down:
            self.restart()

    @precondition(lambda self: not self.lied and not self.doubted)
    @rule(pools=POOLS, lie=st.sampled_from([-20 * HOUR, -3000.0, 3000.0, 20 * HOUR]))
    def wrong_date(self, pools: tuple[str, ...], lie: float) -> None:
        """One server of many has a wrong clock."""
        decision = run(self.ledger.spend(pools))
        if isinstance(decision, Spend):
            self.arrive(pools, 0.2)
            self.reply(decision, 0.2, lie=lie)
            self.lied = True

    @rule(pools=POOLS)
    def store_fails(self, pools: tuple[str, ...]) -> None:
        """What cannot be recorded does not leave."""
        self.store.broken = True
        try:
            decision = run(self.ledger.spend(pools))
        except StoreError:
            decision = None
        assert not isinstance(decision, Spend)
        self.store.broken = False

    @rule()
    def vendor_refuses_the_minute(self) -> None:
        """Someone else used it up."""
        run(self.ledger.exhausted(REALTIME.id, None, Reason.RATE))

    @invariant()
    def the_vendor_never_counts_too_many(self) -> None:
        """By its own clock and its own arrivals."""
        assert not over(self.arrivals[REALTIME.id], minute=2, day=12)
        assert not over(self.arrivals[CALLS.id], rolling=(3, 30.0))

    @invariant()
    def reports_hold_what_the_ledger_believes(self) -> None:
        """Usage is computable at any moment, and no pool has negative room."""
        if hasattr(self, "ledger"):
            for usage in self.ledger.usage(self.clock.now()):
                assert 0 <= usage.left <= usage.allowed
                assert usage.free_at >= self.clock.now() - 1e-3


TestDaemon = Daemon.TestCase
TestDaemon.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)
