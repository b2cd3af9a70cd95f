"""When a request can be spared that is no look: after promises, from the reserve, not the last of a short quota."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.schedule.vendor import TODAY, Account, enterprise, premium
from watcher.clock import DAY, HOUR
from watcher.schedule import AdaptivePolicy, EvenPolicy, Evidence, Policy, Why, longest_gaps
from watcher.schedule.state import QueryState


def spare(account: Account, change: Callable[[QueryState], QueryState] = lambda state: state) -> float:
    """Seconds from now on."""
    now = account.clock.now()
    states = [change(state) for state in account.states]
    pools = states[0].query.pools
    return account.policy.spare(states, account.ledger.usage(now), pools, now) - now


def adaptive(account: Account) -> Account:
    account.policy = AdaptivePolicy(gaps=longest_gaps(account.queries, account.pools))
    return account


@pytest.mark.parametrize("policy", [AdaptivePolicy, EvenPolicy])
def test_a_quiet_account_has_one_to_spare(policy: type) -> None:
    """A few queries on a plan that has enough: at once, or when the short quota lets one out."""
    account = enterprise(3)
    if policy is AdaptivePolicy:
        adaptive(account)
    account.until(TODAY + 2 * HOUR)
    assert spare(account) <= 70.0


def test_nothing_is_spared_while_the_vendor_fails() -> None:
    """What was saved is for the recovery."""
    account = adaptive(enterprise(3)).until(TODAY + HOUR)
    broken = lambda state: replace(state, failures=1, last_look=account.clock.now())  # noqa: E731
    assert math.isinf(spare(account, broken))


def test_nothing_is_spared_of_what_promises_need() -> None:
    """With the day nearly spent there is no reserve, whatever the short quota says."""
    account = adaptive(premium(9)).until(TODAY + HOUR)
    assert spare(account) < math.inf
    usage = account.ledger.usage(account.clock.now())
    day = next(view for view in usage if view.window_seconds == DAY)
    tight = [replace(view, left=300.0) if view is day else view for view in usage]
    states = account.states
    assert math.isinf(account.policy.spare(states, tight, states[0].query.pools, account.clock.now()))


def test_the_last_room_is_for_promises() -> None:
    """One request left in the minute and a promise within it: after the promise, not before."""
    account = adaptive(premium(9)).until(TODAY + HOUR)
    now = account.clock.now()
    usage = [replace(v, left=1.0, free_at=now) if v.window_seconds < DAY else v for v in account.ledger.usage(now)]
    pools = account.states[0].query.pools
    due = [replace(s, covered_until=now - 3000.0, last_look=now - 3000.0) for s in account.states[:1]]
    waits = account.policy.spare([*due, *account.states[1:]], usage, pools, now)
    assert waits > now


def test_the_last_room_is_for_what_a_page_waits_for() -> None:
    """A pending alert's look goes first, also where it failed and is forgiven; a sibling's does not."""
    account = adaptive(premium(9)).until(TODAY + HOUR)
    now = account.clock.now()
    pools = account.states[0].query.pools

    def at(why: Why, left: float, failures: int = 0, forgiven: int = 0) -> float:
        usage = [replace(v, left=left, free_at=now) if v.window_seconds < DAY else v for v in account.ledger.usage(now)]
        calm = [replace(s, covered_until=now - 60.0, last_look=now - 60.0) for s in account.states]
        calm[0] = replace(
            calm[0],
            evidence=Evidence(reason=why, covers=now),
            last_look=now - 90.0,
            failures=failures,
            forgiven=forgiven,
        )
        return account.policy.spare(calm, usage, pools, now)

    assert at(Why.PENDING, 1.0) > now
    assert at(Why.PENDING, 2.0) == now
    assert now < at(Why.PENDING, 1.0, failures=1, forgiven=1) < math.inf
    assert at(Why.PENDING, 1.0, failures=1) == now
    assert at(Why.SIBLING, 1.0) == now


def test_even_keeps_the_last_of_a_minute() -> None:
    """Without the adaptive schedule too, one request of a short quota stays for looks."""
    account = enterprise(3).until(TODAY + HOUR)
    now = account.clock.now()
    usage = [replace(v, left=1.0) if v.window_seconds < DAY else v for v in account.ledger.usage(now)]
    policy: Policy = account.policy
    assert math.isinf(policy.spare(account.states, usage, account.states[0].query.pools, now))
