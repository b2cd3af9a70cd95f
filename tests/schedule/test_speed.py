"""What a step of budget and schedule costs with a full day of Enterprise behind it: figures, no absolute limits."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.schedule.vendor import TODAY, enterprise
from watcher.budget import decide
from watcher.clock import DAY, real_monotonic
from watcher.schedule import EvenPolicy


def milliseconds(call: Callable[[], object], rounds: int = 200) -> float:
    """The best of some rounds, which is what the machine can do."""
    best = float("inf")
    for _ in range(rounds):
        start = real_monotonic()
        call()
        best = min(best, real_monotonic() - start)
    return best * 1000


@pytest.mark.bench
def test_the_cost_of_a_step() -> None:
    """The decision over 1,439 spends, the choice among 13 queries, and the usage that the choice is made from."""
    account = enterprise(13).until(TODAY + DAY - 60)
    policy, ledger, now = EvenPolicy(), account.ledger, account.clock.now()
    usage = ledger.usage(now)
    figures = {
        "decide": milliseconds(lambda: decide(ledger.pools, ledger._book, now)),
        "next": milliseconds(lambda: policy.next(account.states, usage, now)),
        "usage": milliseconds(lambda: ledger.usage(now)),
    }
    print({name: f"{value:.3f} ms" for name, value in figures.items()})
    assert account.spent() >= 1430
