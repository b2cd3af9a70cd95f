"""How the states of queries change with what looks bring."""

from __future__ import annotations

from dataclasses import replace

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
    assert [s.unforgiven for s in states] == [0, 2, 1, 0]
    states = looked(states, "q03", at=TODAY + 10, covered_until=TODAY)
    assert not failing(states)
    assert all(s.unforgiven == 0 and s.not_before == TODAY + 600 for s in states[1:3])


def test_what_is_forgiven_is_not_forgotten() -> None:
    """A query has failed until it is answered, whatever others were; of another family nothing is forgiven."""
    states = failed(FRESH, "q01", at=TODAY)
    states = looked(states, "q00", at=TODAY + 10, covered_until=TODAY)
    assert [(s.failures, s.unforgiven) for s in states] == [(0, 0), (1, 0), (0, 0), (0, 0)]
    assert states[1].seen is None
    assert looked(states, "q03", at=TODAY + 20, covered_until=TODAY)[1].failures == 1
    assert looked(states, "q01", at=TODAY + 20, covered_until=TODAY)[1].failures == 0
    assert failed(states, "q01", at=TODAY + 20)[1].unforgiven == 1
    elsewhere = tuple(replace(s, query=replace(s.query, family="other")) if s.query.id == "q02" else s for s in FRESH)
    states = looked(failed(elsewhere, "q02", at=TODAY), "q00", at=TODAY + 10, covered_until=TODAY)
    assert states[2].unforgiven == 1


def test_queries_that_fail_while_others_succeed_have_to_recover_by_themselves() -> None:
    """Forgiven once; who fails again has a trouble of its own, though another failed just before it as well."""
    states = FRESH
    for minute in (1, 2, 3):
        for query in ("q00", "q01"):
            states = failed(states, query, at=TODAY + 60 * minute)
        states = looked(states, "q02", at=TODAY + 60 * minute + 30, covered_until=TODAY)
    assert [(s.failures, s.unforgiven) for s in states[:2]] == [(3, 2), (3, 2)]
    assert looked(states, "q03", at=TODAY + 900, covered_until=TODAY)[0].unforgiven == 2


def test_a_recovery_frees_all_that_failed_with_it() -> None:
    """What had failed by itself and is answered: whatever ailed it, the others may be well too. Not so one that was
    forgiven: what freed it has been said."""
    states = FRESH
    for minute in (1, 2):
        for query in ("q00", "q01", "q02"):
            states = failed(states, query, at=TODAY + 60 * minute)
        states = looked(states, "q03", at=TODAY + 60 * minute + 30, covered_until=TODAY)
    assert [s.unforgiven for s in states] == [1, 1, 1, 0]
    states = looked(states, "q00", at=TODAY + 200, covered_until=TODAY)
    assert [s.unforgiven for s in states] == [0, 0, 0, 0]
    states = failed(states, "q01", at=TODAY + 210)
    assert looked(states, "q02", at=TODAY + 220, covered_until=TODAY)[1].unforgiven == 1


def test_a_second_domain_is_tried_on_a_first_failure_only() -> None:
    """Later ones would burn the budget that the recovery needs."""
    assert extra_requests(FRESH, "q00") == 1
    states = looked(FRESH, "q01", at=TODAY, covered_until=TODAY)
    states = failed(states, "q00", at=TODAY + 60)
    assert [extra_requests(states, query) for query in ("q00", "q01")] == [0, 0]
    states = looked(states, "q02", at=TODAY + 90, covered_until=TODAY)
    assert [extra_requests(states, query) for query in ("q00", "q01")] == [0, 1]
