"""The calls behind a page are named by the newest answer of the query that knows them."""

from __future__ import annotations

from dataclasses import replace

from watcher.app.worst import AFTERWARDS, WORST, named
from watcher.model import Answer, Cause, Query, Series, Span, State, Transition

LOSS = Series("acme", "agora", "classroom", "Native", "", "video_packet_loss_ratio")
USERS = LOSS.sibling("users")


def answer(series: Series, said: str = "") -> Answer:
    """An answer of a query with one series, which may name calls."""
    query = Query(id=series.signal, account="acme", series=(series,), pools=(), width=60, delay=0.0, reach=600.0)
    worst = (lambda asked, at: f"{said} at {at}") if said else None
    return Answer(query=query, asked=Span(0, 60), settled=60, points=(), received_at=60.0, worst=worst)


def transition(state: State = State.FIRING) -> Transition:
    """A change of an alert on packet loss."""
    return Transition(
        alert_id="a",
        seq=1,
        rule="Loss",
        labels=LOSS.labels(),
        severity="critical",
        state=state,
        at=60,
        starts_at=60,
        known_at=90.0,
        cause=Cause.THRESHOLD,
        signal=LOSS.signal,
    )


def test_a_page_that_waited_for_another_query_names_its_calls() -> None:
    """What it joins came last; who knows the calls answered before."""
    (found,) = named([transition()], [answer(LOSS, "sample of 4 of 100 users"), answer(USERS)])
    assert found.annotations == {WORST: "sample of 4 of 100 users at 60"}


def test_only_what_fires_is_named_and_only_by_who_knows_its_series() -> None:
    """An end has no worst calls; another signal's calls are not this one's."""
    assert named([transition(State.RESOLVED)], [answer(LOSS, "x")])[0].annotations == {}
    assert named([transition()], [answer(USERS, "x")])[0].annotations == {}
    assert named([], [answer(LOSS, "x")]) == ()


def test_a_vendor_that_tells_afterwards_has_it_said() -> None:
    """Also in pages of users' own rules, and where no call is named: when it was told, and how late that can be."""
    told = answer(LOSS)
    late = replace(told, query=replace(told.query, delay=1800.0, amended=9000.0))
    (found,) = named([transition()], [late])
    assert found.annotations == {AFTERWARDS: "told after calls are over, up to 30 min later"}
    assert named([transition(State.RESOLVED)], [late])[0].annotations == {}
