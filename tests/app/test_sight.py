"""Whether an account can be seen (invariants 4 and 11)."""

from __future__ import annotations

from dataclasses import replace

from watcher.app.sight import Sight
from watcher.app.supervise import CALM
from watcher.budget.usage import Usage
from watcher.clock import DAY
from watcher.errors import ProviderError, Reason

T0 = 1_767_225_600.0

DAY_USAGE = Usage(
    account="acme",
    family="realtime",
    pool="acme/realtime",
    window="day",
    window_seconds=DAY,
    limit=480,
    allowed=479,
    spent=0.0,
    left=479.0,
    resets_at=T0 + DAY,
    free_at=T0,
    blocked_until=None,
    reason=None,
    worst=0,
    total=0,
    refused_by_vendor=0,
)


def sight() -> Sight:
    """Of an account with three queries."""
    return Sight(account="acme", provider="agora", queries=3)


def test_one_failed_look_is_noted_and_the_next_answer_ends_it() -> None:
    """A hiccup is visible at once, and is over with the query's next answer."""
    eye = sight()
    eye.failed("a", ProviderError(Reason.SERVER, "HTTP 502"), T0)
    assert eye.reason() is Reason.SERVER
    assert eye.view().failed_looks == 1
    eye.answered("a", T0 + 60)
    assert eye.reason() is None
    assert eye.view().blind_since is None


def test_a_query_that_always_fails_does_not_hide_behind_others() -> None:
    """One App ID whose credentials were withdrawn: the others answer, the account is not seen whole."""
    eye = sight()
    for look in range(3):
        eye.failed("a", ProviderError(Reason.AUTH, "HTTP 401"), T0 + look * 600)
        eye.answered("b", T0 + look * 600 + 60)
    view = eye.view()
    assert view.blind_since == T0
    assert view.failed_looks == 3
    assert view.reason == "auth"
    assert view.detail == "1 of 3 queries, HTTP 401"


def test_failures_of_different_queries_count_together() -> None:
    """A vendor that is down fails each query once a round: the account knows after two looks."""
    eye = sight()
    eye.failed("a", ProviderError(Reason.TIMEOUT), T0)
    eye.failed("b", ProviderError(Reason.TIMEOUT), T0 + 180)
    assert eye.view().failed_looks == 2
    assert eye.view().blind_since == T0


def test_a_spent_day_is_blindness_though_no_look_fails() -> None:
    """Our own budget or the vendor's word: nothing is asked until midnight, and the cause is named."""
    eye = sight()
    eye.budget([replace(DAY_USAGE, left=0.0)], T0 + 3600)
    assert eye.view().reason == "budget"
    assert eye.view().failed_looks >= 2
    eye.budget([replace(DAY_USAGE, blocked_until=T0 + DAY, reason=Reason.DAY_QUOTA)], T0 + 7200)
    assert eye.view().reason == "day_quota"
    assert eye.view().blind_since == T0 + 3600
    eye.budget([DAY_USAGE], T0 + DAY)
    assert eye.view().blind_since is None


def test_a_spent_cap_of_the_users_own_is_no_blindness() -> None:
    """It was set to end somewhere; what the vendor refuses is blindness all the same."""
    eye = sight()
    eye.budget([replace(DAY_USAGE, left=0.0, capped=True)], T0 + 3600)
    assert eye.view().reason == ""
    refused = replace(DAY_USAGE, capped=True, blocked_until=T0 + DAY, reason=Reason.DAY_QUOTA)
    eye.budget([refused], T0 + 7200)
    assert eye.view().reason == "day_quota"


def test_the_last_request_of_an_even_day_is_no_blindness() -> None:
    """Minutes before the reset an empty budget is the plan come true."""
    eye = sight()
    eye.budget([replace(DAY_USAGE, left=0.0)], T0 + DAY - 300)
    assert eye.reason() is None


def test_a_crashed_task_is_blindness_until_a_look_is_answered() -> None:
    """Nobody looks while the task is down, however healthy the vendor is; one crash is over with one answer."""
    eye = sight()
    eye.crashed(T0)
    assert eye.view().blind_since == T0
    assert "crashed" in eye.view().detail
    eye.answered("a", T0 + 60)
    assert eye.reason() is None


def test_an_answer_between_two_crashes_is_no_sight() -> None:
    """A task that answers once and crashes, over and over, is blind from its first crash until it has been calm."""
    eye = sight()
    for n in range(5):
        eye.crashed(T0 + 300 * n)
        eye.answered("a", T0 + 300 * n + 10)
    assert eye.view().blind_since == T0
    assert eye.view().failed_looks == 5
    eye.answered("a", T0 + 1210 + CALM)
    assert eye.reason() is Reason.OTHER
    eye.answered("a", T0 + 1211 + CALM)
    assert eye.reason() is None
    eye.crashed(T0 + DAY)
    assert eye.view().blind_since == T0 + DAY
