"""How the states of queries change with what looks bring."""

from __future__ import annotations

from tests.schedule.vendor import PREMIUM, TODAY
from watcher.schedule import QueryState, extra_requests, failed, failing, looked, wanted

QUERIES = PREMIUM.queries(4)
FRESH = tuple(QueryState(query=query) for query in QUERIES)


def test_an_answer_covers_and_ends_failures_and_urgency() -> None:
    """The state after a good look knows nothing of the bad ones before."""
    states = wanted(failed(FRESH, "q01", at=TODAY, retry_after=30), ("q01",))
    assert (states[1].failures, states[1].not_before, states[1].urgent) == (1, TODAY + 30, True)
    states = looked(states, "q01", at=TODAY + 60, covered_until=TODAY)
    assert states[1] == QueryState(query=QUERIES[1], covered_until=TODAY, last_look=TODAY + 60)
    assert states[0] == FRESH[0]


def test_seen_is_the_last_good_look_or_what_is_covered() -> None:
    """A failed look shows nothing; a restart forgets looks, not windows."""
    state = QueryState(query=QUERIES[0], covered_until=TODAY, last_look=TODAY + 90)
    assert state.seen == TODAY + 90
    assert failed((state,), "q00", at=TODAY + 500)[0].seen == TODAY + QUERIES[0].delay
    assert QueryState(query=QUERIES[0], covered_until=TODAY).seen == TODAY + QUERIES[0].delay
    assert FRESH[0].seen is None


def test_the_first_success_after_an_outage_frees_the_others() -> None:
    """That was the account's trouble, so nobody waits for a back-off any more; the vendor's own wishes stand."""
    states = looked(FRESH, "q00", at=TODAY - 10, covered_until=TODAY - 80)
    for query in ("q01", "q02", "q01"):
        states = failed(states, query, at=TODAY, retry_after=600)
    assert failing(states)
    assert [s.alone for s in states] == [0, 1, 0, 0]  # every outage begins with some query
    states = looked(states, "q03", at=TODAY + 10, covered_until=TODAY)
    assert not failing(states)
    assert all(s.failures == 0 and s.last_look is None and s.not_before == TODAY + 600 for s in states[1:3])


def test_a_freed_query_is_known_to_have_failed_until_it_was_looked_at() -> None:
    """Its failures are forgotten, and that nothing was seen since is not; of another family nothing is freed."""
    states = failed(FRESH, "q01", at=TODAY)
    assert not any(s.freed for s in states)
    states = looked(states, "q00", at=TODAY + 10, covered_until=TODAY)
    assert [s.freed for s in states] == [False, True, False, False]
    assert looked(states, "q03", at=TODAY + 20, covered_until=TODAY)[1].freed
    assert not looked(states, "q01", at=TODAY + 20, covered_until=TODAY)[1].freed
    assert not failed(states, "q01", at=TODAY + 20)[1].freed


def test_a_query_that_fails_while_others_succeed_has_to_recover_by_itself() -> None:
    """Twice right after another's success: its trouble is its own."""
    states = looked(FRESH, "q01", at=TODAY, covered_until=TODAY)
    for minute in (1, 2, 3):
        states = failed(states, "q00", at=TODAY + 60 * minute)
        states = looked(states, "q01", at=TODAY + 60 * minute + 30, covered_until=TODAY)
    assert (states[0].failures, states[0].alone) == (2, 3)
    assert looked(states, "q00", at=TODAY + 900, covered_until=TODAY)[0].alone == 0


def test_a_second_domain_is_tried_on_a_first_failure_only() -> None:
    """Later ones would burn the budget that the recovery needs."""
    assert extra_requests(FRESH, "q00") == 1
    states = looked(FRESH, "q01", at=TODAY, covered_until=TODAY)
    states = failed(states, "q00", at=TODAY + 60)
    assert [extra_requests(states, query) for query in ("q00", "q01")] == [0, 0]
    states = looked(states, "q02", at=TODAY + 90, covered_until=TODAY)
    assert [extra_requests(states, query) for query in ("q00", "q01")] == [0, 1]
