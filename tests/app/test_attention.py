"""What points and alerts say to the schedule: idleness only by zeros, evidence once per cause, nothing twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks import worlds
from watcher.app.attention import APART_HINTS, CALM, Attention
from watcher.config import Config
from watcher.model import Answer, Cause, Points, Query, Series, Span, State, Transition, alert_id
from watcher.rules.engine import Engine
from watcher.schedule import Evidence, QueryState, Why

T = 1_767_600_000


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Five queries of one project on Enterprise: users of both products, and three that rules judge."""
    return worlds.config(tmp_path, plan="enterprise", queries=5)


@pytest.fixture
def queries(config: Config) -> Mapping[str, Query]:
    """By product and signal."""
    return {f"{q.series[0].product} {q.series[0].signal}": q for q in config.accounts[0].queries}


USERS, VIDEO, AUDIO = "Native users", "Native video_freeze_ratio", "Native audio_freeze_ratio"
WEB_USERS, WEB_VIDEO = "WebRTC users", "WebRTC video_freeze_ratio"


def attention(config: Config) -> Attention:
    return Attention(queries=config.accounts[0].queries, rules=config.rules)


def answer(query: Query, values: Sequence[float | None], *, start: int = T, settle: bool = True) -> Answer:
    """One look's windows from `start` on; None is absent."""
    end = start + len(values) * query.width
    at = [start + i * query.width for i, v in enumerate(values) if v is not None]
    points = Points(
        series=query.series[0],
        width=query.width,
        start=np.array(at, dtype=np.int64),
        value=np.array([v for v in values if v is not None], dtype=np.float64),
    )
    settled = end - (query.settle * query.width if settle else 0)
    return Answer(query=query, asked=Span(start, end), settled=settled, points=(points,), received_at=float(end + 25))


def dressed(one: Attention, query: Query, covered: Mapping[str, int]) -> QueryState:
    """The query's state with what is known of it."""
    states = [QueryState(query=query, covered_until=float(covered[query.id]), last_look=float(covered[query.id]))]
    (state,) = one.dress(states, covered, 0.0)
    return state


def transition(series: Series, state: State, starts: int, at: int) -> Transition:
    rule = f"Bad{series.signal.title().replace('_', '')}"
    labels = series.labels()
    return Transition(
        alert_id=alert_id(rule, labels),
        seq=1,
        rule=rule,
        labels=labels,
        severity="critical",
        state=state,
        at=at,
        starts_at=starts,
        known_at=float(at),
        cause=Cause.THRESHOLD,
    )


# ── idle ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_zeros_of_the_users_signal_spare_the_looks(config: Config, queries: Mapping[str, Query]) -> None:
    """What lies within settled zeros counts as covered, for the product concerned and for no other."""
    one = attention(config)
    covered = {q.id: T + 200 for q in queries.values()}
    skipped = one.received(answer(queries[USERS], [0.0] * 90), (), covered)
    settled = T + 88 * 20
    assert skipped == {queries[VIDEO].id: settled, queries[AUDIO].id: settled}
    covered |= skipped
    assert dressed(one, queries[VIDEO], covered).idle
    assert not dressed(one, queries[WEB_VIDEO], covered).idle
    assert not dressed(one, queries[USERS], covered).idle


def test_silence_is_not_idleness(config: Config, queries: Mapping[str, Query]) -> None:
    """A vendor that says nothing of the users, or has holes in its zeros, spares no look."""
    one = attention(config)
    covered = {q.id: T + 200 for q in queries.values()}
    assert one.received(answer(queries[USERS], [None] * 90), (), covered) == {}
    assert not dressed(one, queries[VIDEO], covered).idle
    holes = [0.0] * 30 + [None] + [0.0] * 59
    assert one.received(answer(queries[USERS], holes), (), covered) == {}
    assert not dressed(one, queries[VIDEO], covered).idle


def test_the_first_user_ends_idleness(config: Config, queries: Mapping[str, Query]) -> None:
    """Covered up to the end of the zeros and no further; from then on the query is looked at again."""
    one = attention(config)
    covered = {q.id: T + 200 for q in queries.values()}
    skipped = one.received(answer(queries[USERS], [0.0] * 60 + [3.0] * 30), (), covered)
    assert skipped[queries[VIDEO].id] == T + 60 * 20
    covered |= skipped
    assert not dressed(one, queries[VIDEO], covered).idle


def test_what_was_not_seen_before_the_zeros_is_still_owed(config: Config, queries: Mapping[str, Query]) -> None:
    """A query that has windows with users to fetch is not idle, however empty it is now."""
    one = attention(config)
    covered = {q.id: T for q in queries.values()}
    assert one.received(answer(queries[USERS], [5.0] * 30 + [0.0] * 60), (), covered) == {}
    assert not dressed(one, queries[VIDEO], covered).idle


def test_zeros_join_from_answer_to_answer(config: Config, queries: Mapping[str, Query]) -> None:
    """Answers overlap; a night is one run of zeros."""
    one = attention(config)
    covered = {q.id: T + 200 for q in queries.values()}
    covered |= one.received(answer(queries[USERS], [0.0] * 90), (), covered)
    later = one.received(answer(queries[USERS], [0.0] * 90, start=T + 86 * 20), (), covered)
    assert later[queries[VIDEO].id] == T + (86 + 88) * 20


# ── evidence ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def evidence(one: Attention, query: Query, covered_until: int) -> Evidence | None:
    return dressed(one, query, {query.id: covered_until}).evidence


def test_a_pending_alert_asks_for_what_could_confirm_it(config: Config, queries: Mapping[str, Query]) -> None:
    """Up to the event time at which it would fire; once covered, no more."""
    one = attention(config)
    one.judged([transition(queries[VIDEO].series[0], State.PENDING, T, T)])
    found = evidence(one, queries[VIDEO], T)
    assert found is not None
    assert (found.reason, found.covers) == (Why.PENDING, T + 40)
    assert evidence(one, queries[VIDEO], T + 40) is None
    assert evidence(one, queries[AUDIO], T) is None


def test_a_firing_alert_asks_its_neighbours_once(config: Config, queries: Mapping[str, Query]) -> None:
    """The judged queries of its project, its own product first; not itself, and not users."""
    one = attention(config)
    one.judged([transition(queries[VIDEO].series[0], State.FIRING, T, T + 40)])
    near, far = evidence(one, queries[AUDIO], T), evidence(one, queries[WEB_VIDEO], T)
    assert near is not None
    assert far is not None
    assert near.reason is far.reason is Why.SIBLING
    assert near.rank < far.rank
    assert evidence(one, queries[AUDIO], int(near.covers)) is None
    assert evidence(one, queries[VIDEO], T) is None
    assert evidence(one, queries[USERS], T) is None


def test_an_incident_that_is_over_when_it_is_found_asks_its_neighbours_too(
    config: Config, queries: Mapping[str, Query]
) -> None:
    """What began with it elsewhere may be over as well, and is to be paged all the same."""
    one = attention(config)
    series = queries[VIDEO].series[0]
    one.judged([transition(series, State.FIRING, T, T + 40), transition(series, State.RESOLVED, T, T + 200)])
    found = evidence(one, queries[AUDIO], T)
    assert found is not None
    assert found.reason is Why.SIBLING
    everywhere = {query.id: int(found.covers) for query in queries.values()}
    one.dress([], everywhere, 0.0)
    assert evidence(one, queries[AUDIO], T) is None, "once every neighbour was looked at, it is no news"


def test_who_is_known_to_be_in_trouble_is_not_asked(config: Config, queries: Mapping[str, Query]) -> None:
    """A neighbour that fires already has nothing to add to what was found."""
    one = attention(config)
    one.judged([transition(queries[name].series[0], State.FIRING, T, T + 40) for name in (VIDEO, AUDIO)])
    assert evidence(one, queries[AUDIO], T) is None
    assert evidence(one, queries[WEB_VIDEO], T) is not None


def test_an_alert_that_flaps_does_not_keep_its_neighbours_busy(config: Config, queries: Mapping[str, Query]) -> None:
    """Back within half an hour it is no news; after a long quiet it is again."""
    one = attention(config)
    video, audio = queries[VIDEO].series[0], queries[AUDIO]
    one.judged([transition(video, State.FIRING, T, T + 40), transition(video, State.RESOLVED, T, T + 100)])
    one.judged([transition(video, State.FIRING, T + 400, T + 440)])
    assert evidence(one, audio, T + 400) is None
    one.judged([transition(video, State.RESOLVED, T + 400, T + 500)])
    back = T + 500 + CALM
    one.judged([transition(video, State.FIRING, back, back + 40)])
    assert evidence(one, audio, back) is not None


def test_a_hint_asks_once_for_its_project(config: Config, queries: Mapping[str, Query]) -> None:
    """Judged queries up to the hint's window; another hint at once is no news, and other projects do not hear it."""
    one = attention(config)
    one.hint("classroom", T + 7.0)
    found = evidence(one, queries[VIDEO], T - 100)
    assert found is not None
    assert (found.reason, found.covers) == (Why.HINT, T)
    assert evidence(one, queries[USERS], T - 100) is None
    one.hint("classroom", T + 60.0)
    assert evidence(one, queries[VIDEO], T) is None
    one.hint("classroom", T + 7.0 + APART_HINTS)
    assert evidence(one, queries[VIDEO], T) is not None
    other = attention(config)
    other.hint("elsewhere", T)
    assert evidence(other, queries[VIDEO], T - 100) is None


def test_a_hint_about_an_empty_place_asks_whether_anybody_is_there(
    config: Config, queries: Mapping[str, Query]
) -> None:
    """While nobody is in calls only the users query can tell."""
    one = attention(config)
    covered = {q.id: T + 200 for q in queries.values()}
    covered |= one.received(answer(queries[USERS], [0.0] * 90), (), covered)
    one.hint("classroom", T + 3000.0)
    found = dressed(one, queries[USERS], covered).evidence
    assert found is not None
    assert found.reason is Why.HINT


def test_silence_asks_for_the_users_before_it_is_judged(config: Config, queries: Mapping[str, Query]) -> None:
    """An answer that ends in nothing waits for the users of its place, where a rule would page for no data."""
    rules = [replace(rule, no_data_after=600) for rule in config.rules]
    one = Attention(queries=config.accounts[0].queries, rules=rules)
    silent = answer(queries[VIDEO], [0.01] * 10 + [None] * 80)
    assert one.unexplained(silent)
    found = evidence(one, queries[USERS], T)
    assert found is not None
    assert (found.reason, found.covers) == (Why.SILENT, silent.settled)
    one.received(answer(queries[USERS], [0.0] * 90), (), {q.id: T for q in queries.values()})
    assert not one.unexplained(silent)
    assert not attention(config).unexplained(silent), "no rule would page for it"


# ── after a restart ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_profiles_come_back_from_their_notes(config: Config, queries: Mapping[str, Query]) -> None:
    """What was learned is noted once an hour of it is new, and is there after a restart; a foreign note is not."""
    one = attention(config)
    one.received(answer(queries[USERS], [400.0] * 400), (), {})
    notes = one.notes()
    assert list(notes) == ["load/classroom/Native/"]
    assert one.notes() == {}
    again = attention(config)
    assert set(notes) < set(again.note_keys())
    engine = Engine(rules=config.rules, settings=config.judging)
    again.recall(engine, notes)
    state = dressed(again, queries[VIDEO], {queries[VIDEO].id: T})
    assert state.load is not None
    assert dressed(again, queries[WEB_VIDEO], {queries[WEB_VIDEO].id: T}).load is None
    foreign = attention(config)
    foreign.recall(engine, dict.fromkeys(foreign.note_keys(), "nothing"))
    assert dressed(foreign, queries[VIDEO], {queries[VIDEO].id: T}).load is None


def test_an_alert_that_stands_is_no_news_after_a_restart(config: Config, queries: Mapping[str, Query]) -> None:
    """Its neighbours were asked before; a pending one still asks to be confirmed."""
    engine = Engine(rules=config.rules, settings=config.judging)
    engine.receive(answer(queries[VIDEO], [0.5] * 30), float(T + 700))
    one = attention(config)
    one.recall(engine, {})
    assert any(view.state is State.FIRING for view in engine.alerts())
    assert evidence(one, queries[AUDIO], T) is None
