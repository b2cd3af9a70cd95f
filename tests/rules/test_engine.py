"""The evaluator as the daemon uses it: corrections, reloads, restarts with other rules, faults, bounds, views."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.rules.series import START, W, answer, points, query, rule, series
from tests.rules.test_semantics import event, short
from watcher.model import Answer, Cause, Points, SavedAlert, Series, Span, State, Transition, fold
from watcher.rules import alert as alert_module
from watcher.rules import engine as engine_module
from watcher.rules.engine import Engine, Verdicts
from watcher.rules.rule import Level, Rule
from watcher.rules.settings import Judging

MAIN = series()
HOUR = 180  # windows


def engine_of(*rules: Rule) -> Engine:
    """An engine with the default patience."""
    return Engine(rules=rules, settings=Judging())


def nothing(of: Series, since: int) -> Points | None:
    """A store without points."""
    return None


def through_json(saved: Sequence[SavedAlert]) -> list[SavedAlert]:
    """Memories as they come back from a disk."""
    return [replace(s, body=json.loads(json.dumps(s.body))) for s in saved]


def restored(
    rules: Sequence[Rule], saved: Sequence[SavedAlert], text: str, *, now: float = 0.0
) -> tuple[Engine, Verdicts]:
    """A new engine after a restart, with the points of `text` in the store."""
    engine = Engine(rules=rules, settings=Judging())
    known = points(MAIN, text)

    def of(wanted: Series, since: int) -> Points | None:
        return known if wanted == MAIN else None

    windows = len(known)
    verdicts = engine.restore(
        through_json(saved),
        queries=[query(MAIN, settle=0)],
        covered={query(MAIN).id: START + windows * W},
        points=of,
        now=now,
    )
    return engine, verdicts


# ── corrections ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_extension_is_only_what_is_new() -> None:
    """Looks that overlap say nothing twice; entries are numbered from 1."""
    engine = engine_of(rule(hold=40))
    log = [*engine.receive(answer(MAIN, "1% 9% 9%"), 10.0).transitions]
    log += engine.receive(answer(MAIN, "9% 9% 9% 1%", start=START + W), 20.0).transitions
    log += engine.receive(answer(MAIN, "9% 1%", start=START + 3 * W), 30.0).transitions
    assert short(log) == "P1 F3 R4"
    assert [(t.seq, t.known_at) for t in log] == [(1, 10.0), (2, 20.0), (3, 20.0)]


def test_a_revision_that_still_fires_says_nothing() -> None:
    """Another value on the same side of the line changes no entry."""
    engine = engine_of(rule())
    engine.receive(answer(MAIN, "1% 9% 1%"), 0.0)
    assert engine.receive(answer(MAIN, "1% 8% 2%"), 1.0).transitions == ()


def test_a_correction_voids_from_the_first_divergent_entry() -> None:
    """The incident began later than was said: one entry that voids and says what is, then what follows."""
    engine = engine_of(rule(hold=20))
    log = [*engine.receive(answer(MAIN, "9% 9% 9% 1%"), 0.0).transitions]
    assert short(log) == "P0 F1 R3"
    more = engine.receive(answer(MAIN, "1% 9% 9% 1%"), 1.0).transitions
    assert short(more) == "P1 F2 R3"
    assert [(t.cause, t.retracts) for t in more] == [
        (Cause.REVISED, event(0)),
        (Cause.THRESHOLD, None),
        (Cause.THRESHOLD, None),
    ]
    assert fold([*log, *more]) == [(event(1), State.PENDING), (event(2), State.FIRING), (event(3), State.RESOLVED)]


def test_a_correction_to_what_stands_repeats_what_stands() -> None:
    """The resolve was wrong and nothing follows: the entry that stands is said again and voids the rest."""
    engine = engine_of(rule())
    log = [*engine.receive(answer(MAIN, "9% 1%"), 0.0).transitions]
    (void,) = engine.receive(answer(MAIN, "9% 9%"), 1.0).transitions
    assert (void.state, void.at, void.starts_at, void.retracts) == (State.FIRING, event(0), event(0), event(1))
    assert fold([*log, void]) == [(event(0), State.FIRING)]


def test_a_correction_knows_what_stood_before_the_horizon() -> None:
    """Fired three hours ago, resolved just now, and that was wrong: what stands is the firing of three hours ago."""
    engine = engine_of(rule())
    text = f"9%x{3 * HOUR - 2}"
    first = engine.receive(answer(MAIN, f"{text} 1%"), 0.0)
    log = first.transitions
    other, _ = restored([rule()], first.alerts, f"{text} 1%")
    for each in (engine, other):
        (void,) = each.receive(answer(MAIN, "9%", start=START + (3 * HOUR - 1) * W), 1.0).transitions
        assert (void.state, void.at, void.retracts) == (State.FIRING, event(0), event(3 * HOUR - 1))
        assert fold([*log, void]) == [(event(0), State.FIRING)]


def test_a_correction_to_nothing_is_inactive() -> None:
    """It never was: everything is void."""
    engine = engine_of(rule())
    log = [*engine.receive(answer(MAIN, "9% 1%"), 0.0).transitions]
    (void,) = engine.receive(answer(MAIN, "1% 1%"), 1.0).transitions
    assert (void.state, void.retracts) == (State.INACTIVE, event(0))
    assert fold([*log, void]) == []


def test_what_was_said_stands_while_a_revision_is_undecided() -> None:
    """A revised window that now waits for its companion voids nothing before it is decided."""
    engine = engine_of(rule(require_users_above=20))
    engine.receive(answer(series("users"), "_ 50 50"), 0.0)
    assert short(engine.receive(answer(MAIN, "1% 9% 1%"), 0.0).transitions) == "F1 R2"
    assert engine.receive(answer(MAIN, "9% 9% 1%"), 10.0).transitions == ()
    log = engine.tick(310.0).transitions
    assert short(log) == "F0 R2"
    assert log[0].retracts == event(0)


def test_a_window_that_comes_late_fills_its_hole() -> None:
    """Judged without it at first, corrected with it."""
    engine = engine_of(rule(hold=40))
    assert short(engine.receive(answer(MAIN, "9% 9% _ 9%", settled=START), 0.0).transitions) == "P0 F3"
    (fired,) = engine.receive(answer(MAIN, "9%", start=START + 2 * W), 1.0).transitions
    assert (fired.state, fired.at, fired.retracts) == (State.FIRING, event(2), event(2))


def test_what_is_older_than_the_horizon_is_dropped_and_counted() -> None:
    """An hour of windows behind the newest may change; what lies further back may not."""
    engine = engine_of(rule())
    engine.receive(answer(MAIN, f"1%x{3 * HOUR - 1}"), 0.0)
    log = engine.receive(answer(MAIN, f"9% 1%x{3 * HOUR - 2}"), 1.0).transitions
    assert log == ()
    assert engine.stats.losses.stale == 2 * HOUR
    recent = 3 * HOUR - HOUR
    assert short(engine.receive(answer(MAIN, "9% 1%", start=START + recent * W), 2.0).transitions) == (
        f"F{recent} R{recent + 1}"
    )


def test_a_long_reply_is_judged_whole() -> None:
    """Catching up on hours at once loses none of them to the horizon."""
    engine = engine_of(rule())
    log = engine.receive(answer(MAIN, f"9% 1%x{5 * HOUR} 9%"), 0.0).transitions
    assert short(log) == f"F0 R1 F{5 * HOUR + 2}"


# ── reload ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_removed_rule_resolves_its_alerts_with_that_reason() -> None:
    """Firing is resolved, pending becomes inactive; both say why."""
    engine = engine_of(rule("Firing"), rule("Pending", hold=600), rule("Quiet", above=0.5))
    engine.receive(answer(MAIN, "1% 9% 9%"), 0.0)
    verdicts = engine.reload([], 50.0)
    ended = {t.rule: t for t in verdicts.transitions}
    assert {name: t.state for name, t in ended.items()} == {"Firing": State.RESOLVED, "Pending": State.INACTIVE}
    assert {(t.cause, t.at, t.known_at) for t in ended.values()} == {(Cause.RULE_CHANGED, event(2), 50.0)}
    assert ended["Firing"].severity == "critical"
    assert len(verdicts.forgotten) == 1
    assert engine.alerts() == ()


def test_changed_labels_end_one_alert_and_begin_another() -> None:
    """The fingerprint is another, so the old alert ends; the new one is judged from now."""
    engine = engine_of(rule())
    engine.receive(answer(MAIN, "9% 9%"), 0.0)
    ended = engine.reload([rule(labels={"team": "av"})], 1.0).transitions
    assert [(t.state, t.cause) for t in ended] == [(State.RESOLVED, Cause.RULE_CHANGED)]
    log = engine.receive(answer(MAIN, "9%", start=START + 2 * W), 2.0).transitions
    assert short(log) == "F2"
    assert log[0].labels["team"] == "av"


def test_a_changed_threshold_judges_from_now() -> None:
    """Nothing earlier is judged again, and a firing alert goes on firing until the new rule clears it."""
    engine = engine_of(rule(), rule("Other", above=0.5))
    engine.receive(answer(MAIN, "1% 9% 9%"), 0.0)
    assert engine.reload([rule(above=0.2), rule("Other", above=0.05)], 1.0).transitions == ()
    log = engine.receive(answer(MAIN, "9% 9% 9%", start=START + W), 2.0).transitions
    assert sorted((t.rule, short([t])) for t in log) == [("Other", "F3"), ("VideoFreezing", "R3")]


def test_a_longer_for_counts_what_was_held_before() -> None:
    """A pending alert keeps its start."""
    engine = engine_of(rule(hold=600))
    engine.receive(answer(MAIN, "1% 9% 9%"), 0.0)
    engine.reload([rule(hold=60)], 1.0)
    log = engine.receive(answer(MAIN, "9% 9% 9%", start=START + 2 * W), 2.0).transitions
    assert short(log) == "F4"
    assert log[0].starts_at == event(1)


def test_a_changed_text_changes_nothing_else() -> None:
    """Severity and texts apply to what is said next; the past may still be corrected."""
    engine = engine_of(rule())
    engine.receive(answer(MAIN, "1% 9%"), 0.0)
    engine.reload([rule(severity="info", texts={"summary": "new"})], 1.0)
    (over,) = engine.receive(answer(MAIN, "1%", start=START + 2 * W), 2.0).transitions
    assert (over.severity, over.annotations["summary"]) == ("info", "new")
    (void,) = engine.receive(answer(MAIN, "1% 1%"), 3.0).transitions
    assert (void.cause, void.retracts) == (Cause.REVISED, event(1))


def test_a_rule_that_returns_goes_on_counting() -> None:
    """An alert's log never repeats a number, not even across a restart."""
    engine = engine_of(rule())
    first = engine.receive(answer(MAIN, "9% 1%"), 0.0)
    gone = engine.reload([], 1.0)
    engine.reload([rule()], 2.0)
    (again,) = engine.receive(answer(MAIN, "9%", start=START + 2 * W), 3.0).transitions
    assert (first.transitions[-1].seq, again.seq) == (2, 3)
    other, _ = restored([rule()], gone.alerts, "9% 1% 1%")
    (later,) = other.receive(answer(MAIN, "9%", start=START + 3 * W), 3.0).transitions
    assert later.seq == 3


def test_no_data_that_is_no_longer_asked_for_ends() -> None:
    """Taking `no_data` out of a rule resolves its companion alert only."""
    engine = engine_of(rule(no_data_after=60))
    assert short(engine.receive(answer(MAIN, "9% _x4"), 0.0).transitions) == "F0 F4"
    (ended,) = engine.reload([rule()], 1.0).transitions
    assert (ended.state, ended.cause, ended.labels.get("reason")) == (State.RESOLVED, Cause.RULE_CHANGED, "no_data")


def test_retired_alerts_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest are forgotten first, and counted."""
    monkeypatch.setattr(engine_module, "MAX_RETIRED", 2)
    engine = engine_of(*[rule(f"R{i}") for i in range(3)])
    log = engine.receive(answer(MAIN, "9%"), 0.0).transitions
    verdicts = engine.reload([], 1.0)
    assert verdicts.forgotten == (log[0].alert_id,)
    assert {a.alert_id for a in verdicts.alerts} == {t.alert_id for t in log[1:]}
    assert engine.stats.forgotten == 1


# ── restart ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def first_look(*rules: Rule) -> Verdicts:
    """What is recorded of an engine that saw a firing condition."""
    return engine_of(*rules).receive(answer(MAIN, "1% 9% 9%"), 0.0)


def test_rules_that_went_while_the_daemon_was_down() -> None:
    """The alert ends with that reason, from its memory alone."""
    saved = first_look(rule(labels={"team": "av"})).alerts
    engine, verdicts = restored([], saved, "1% 9% 9%", now=99.0)
    (ended,) = verdicts.transitions
    assert (ended.state, ended.cause, ended.known_at, ended.seq) == (State.RESOLVED, Cause.RULE_CHANGED, 99.0, 2)
    assert (ended.rule, ended.severity, ended.labels["team"]) == ("VideoFreezing", "critical", "av")
    assert engine.alerts() == ()


def test_series_that_went_while_the_daemon_was_down() -> None:
    """A project taken out of the config ends its alerts as a removed rule does."""
    engine = engine_of(rule())
    saved = through_json(first_look(rule()).alerts)
    (ended,) = engine.restore(saved, queries=[], covered={}, points=nothing, now=5.0).transitions
    assert (ended.state, ended.cause, ended.at) == (State.RESOLVED, Cause.RULE_CHANGED, event(1))


def test_a_threshold_that_changed_while_the_daemon_was_down() -> None:
    """As after a reload: the state stays, and the new rule judges from the newest window on."""
    saved = first_look(rule()).alerts
    engine, verdicts = restored([rule(above=0.2)], saved, "1% 9% 9%")
    assert verdicts.transitions == ()
    assert engine.alerts()[0].state is State.FIRING
    assert short(engine.receive(answer(MAIN, "9%", start=START + 3 * W), 1.0).transitions) == "R3"


def test_a_rule_that_is_new_after_a_restart_judges_from_now() -> None:
    """Recorded history is not paged again by a rule that did not exist then."""
    engine, verdicts = restored([rule(), rule("New")], first_look(rule()).alerts, "1% 9% 9%")
    assert verdicts.transitions == ()
    log = engine.receive(answer(MAIN, "9%", start=START + 3 * W), 1.0).transitions
    assert [(t.rule, short([t])) for t in log] == [("New", "F3")]


def test_a_companion_seen_before_the_restart_is_remembered_as_far_back() -> None:
    """Users of the last hours were looked at, then a restart, then the first look at the signal: idle stays idle."""
    users, hours = series("users"), 5 * HOUR

    def recorded(of: Series, since: int) -> Points | None:
        first = max((since - START) // W, 0)
        return points(users, f"0x{hours - first - 1}", start=START + first * W)

    engine = engine_of(rule())
    covered = {query(users).id: START + hours * W}
    engine.restore([], queries=[query(users)], covered=covered, points=recorded, now=0.0)
    low = replace(rule(), level=replace(rule().level, above=False))
    engine.reload([low], 0.0)
    assert engine.receive(answer(MAIN, f"0x{hours - 1}"), 1.0).transitions == ()


@pytest.mark.parametrize("body", [{}, {"v": 2}, {"v": 1, "series": "x"}, {"retired": True, "seq": "many"}])
def test_a_memory_that_is_not_ours_is_counted_and_left(body: dict[str, object]) -> None:
    """Damaged or foreign: the alert begins anew, and nothing crashes."""
    engine, verdicts = restored([rule()], [SavedAlert(alert_id="x", rule="VideoFreezing", body=body)], "1% 9%")
    assert verdicts.transitions == ()
    assert engine.stats.unreadable == 1


def test_a_rule_that_calls_its_condition_clear_ends() -> None:
    """A pack with such a rule is refused; made by hand it flaps, window by window, and holds nobody up."""
    of = replace(rule(above=0.05), clear=Level(above=False, value=0.5))
    assert short(engine_of(of).receive(answer(MAIN, "9% 9% 9% 9%"), 0.0).transitions) == "F0 R1 F2 R3"


def test_an_unreadable_memory_goes_on_from_the_log() -> None:
    """What fires is known to fire, ends once, and its entries are numbered on: nothing is said twice."""
    first = engine_of(rule()).receive(answer(MAIN, "1% 9% 9%"), 0.0)
    (fired,) = first.transitions
    damaged = [replace(s, body={"v": 0}) for s in first.alerts]
    known = points(MAIN, "1% 9% 9%")
    for rules, states in (([rule()], []), ([], [State.RESOLVED])):
        engine = engine_of(*rules)
        verdicts = engine.restore(
            damaged,
            queries=[query(MAIN, settle=0)],
            covered={query(MAIN).id: START + 3 * W},
            points=lambda of, since: known if of == MAIN else None,
            now=0.0,
            log_of=lambda alert: [fired] if alert == fired.alert_id else [],
        )
        assert engine.stats.unreadable == 1
        assert [t.state for t in verdicts.transitions] == states
        assert [t.seq for t in verdicts.transitions] == [2] * len(states)
        later = engine.receive(answer(MAIN, "9% 1%", start=START + 3 * W), 1.0).transitions
        assert [(t.state, t.seq, t.starts_at) for t in later] == [(State.RESOLVED, 2, event(1))] * len(rules)


def test_an_unreadable_memory_of_another_account_is_left_alone() -> None:
    """Whose it is stands in the log alone: an engine ends only what its own account said."""
    first = engine_of(rule()).receive(answer(MAIN, "9%"), 0.0)
    other = replace(query(MAIN), account="elsewhere")
    verdicts = engine_of().restore(
        [replace(s, body={}) for s in first.alerts],
        queries=[other],
        covered={},
        points=nothing,
        now=0.0,
        log_of=lambda alert: first.transitions,
    )
    assert verdicts.transitions == ()
    assert verdicts.forgotten == ()


def test_memories_are_written_when_there_is_news_only() -> None:
    """At birth, with each entry, and twice an hour: not at every look."""
    engine = engine_of(rule(), rule("Quiet", above=0.5))
    written = len(engine.receive(answer(MAIN, "1%x9"), 0.0).alerts)
    for look in range(1, 54):
        written += len(engine.receive(answer(MAIN, "1%x9", start=START + look * 10 * W), 0.0).alerts)
    assert written <= 2 * (1 + 3 * 2)
    assert len(engine.receive(answer(MAIN, "9%", start=START + 540 * W), 0.0).alerts) == 1


def test_columns_forget_what_nobody_looks_at() -> None:
    """After two days of looks a column holds a few hours at most."""
    engine = engine_of(rule())
    for look in range(300):
        engine.receive(answer(series("users"), "50x29", start=START + look * 30 * W), 0.0)
        engine.receive(answer(MAIN, "1%x29", start=START + look * 30 * W), 0.0)
    columns = engine._known.columns
    assert {series.signal: len(column) < 3 * HOUR for series, column in columns.items()} == {
        "users": True,
        "video_freeze_ratio": True,
    }


def test_a_series_that_is_no_longer_asked_for_does_not_hold_its_neighbours() -> None:
    """A project's other columns are bounded although one alert's mark stands still."""
    engine = engine_of(rule(), rule("Joins", signal="join_success_ratio", below=0.9))
    engine.receive(answer(series("join_success_ratio"), "99%"), 0.0)
    for look in range(40):
        engine.receive(answer(MAIN, "1%x479", start=START + look * 480 * W), 0.0)
    assert max(len(column) for column in engine._known.columns.values()) < 5000


# ── faults ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_one_rule_that_crashes_stops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named and counted, stays as it was, and catches up once it works again."""
    judge = alert_module.judge

    def crash(alert: alert_module.Alert, *args: object, **kwargs: object) -> list[alert_module.Change]:
        result = judge(alert, *args, **kwargs)  # type: ignore[arg-type]
        if alert.rule.name == "Bad":
            raise ZeroDivisionError("a bug")
        return result

    engine = engine_of(rule("Bad"), rule("Good"))
    monkeypatch.setattr(engine_module, "judge", crash)
    log = engine.receive(answer(MAIN, "1% 9%"), 0.0).transitions
    assert [t.rule for t in log] == ["Good"]
    assert engine.stats.crashes == {"Bad": 1}
    monkeypatch.setattr(engine_module, "judge", judge)
    log = engine.receive(answer(MAIN, "1% 9% 9%"), 0.0).transitions
    assert [(t.rule, short([t])) for t in log] == [("Bad", "F1")]


def test_a_template_that_fails_is_counted_and_the_page_goes_out() -> None:
    """The words are plain, the page is there."""
    engine = engine_of(rule(texts={"summary": "{{ 1 / (value - value) }}"}))
    (fired,) = engine.receive(answer(MAIN, "9%"), 0.0).transitions
    assert fired.annotations == {"summary": "VideoFreezing on classroom Native"}
    assert engine.stats.unrendered == 1


def test_points_that_were_not_asked_for_are_dropped_and_counted() -> None:
    """Windows outside the span, and series that the query does not bring."""
    engine = engine_of(rule())
    brought = answer(MAIN, "1% 9% 9%")
    narrowed = replace(brought, asked=Span(START, START + W), points=(*brought.points, points(series("users"), "5")))
    assert engine.receive(narrowed, 0.0).transitions == ()
    assert engine.stats.losses.outside == 3


def test_an_empty_first_answer_is_harmless() -> None:
    """Nothing settled, nothing brought: the alert is there, and what comes later is judged."""
    engine = engine_of(rule())
    assert engine.receive(answer(MAIN, "_ _", settled=START), 0.0).transitions == ()
    assert [v.frontier for v in engine.alerts()] == [0]
    assert short(engine.receive(answer(MAIN, "_ 9%"), 0.0).transitions) == "F1"


def test_several_series_of_one_query_are_judged_each_on_its_own() -> None:
    """A query that brings several series has one answer for all."""
    other = series(product="WebRTC")
    one, two = answer(MAIN, "9% 9%"), answer(other, "1% 9%")
    both = Answer(
        query=replace(query(MAIN), series=(MAIN, other)),
        asked=one.asked,
        settled=one.settled,
        points=one.points + two.points,
        received_at=0.0,
    )
    log = engine_of(rule()).receive(both, 0.0).transitions
    assert sorted((t.labels["product"], short([t])) for t in log) == [("Native", "F0"), ("WebRTC", "F1")]


# ── views ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_view_says_where_an_alert_stands() -> None:
    """Identity, state, since when, newest value and limit."""
    engine = engine_of(rule(hold=20, labels={"team": "av"}))
    log: list[Transition] = list(engine.receive(answer(MAIN, "1% 9% 8%"), 0.0).transitions)
    (view,) = engine.alerts()
    assert (view.id, view.rule, view.severity) == (log[0].alert_id, "VideoFreezing", "critical")
    assert (view.state, view.since, view.frontier) == (State.FIRING, event(2), event(2))
    assert (view.value, view.threshold) == (0.08, 0.05)
    assert view.labels == {**MAIN.labels(), "team": "av"}


def test_unguarded_episodes_are_marked() -> None:
    """As long as they last."""
    engine = engine_of(rule(require_users_above=20))
    engine.receive(answer(MAIN, "9%"), 0.0)
    engine.tick(300.0)
    assert engine.alerts()[0].marks == {"unguarded"}
    assert engine.alerts()[0].says == ("judged without the signal that the rule requires, which stayed unknown",)
    engine.receive(answer(MAIN, "1%", start=START + W), 400.0)
    assert engine.alerts()[0].marks == frozenset()


def test_the_newest_values_are_the_vendors_own() -> None:
    """For the exporter: the newest window of each series that has any, at its event time."""
    engine = engine_of(rule())
    engine.receive(answer(MAIN, "1% 9% _"), 0.0)
    engine.receive(answer(series("users"), "_"), 0.0)
    assert list(engine.newest()) == [(MAIN, 0.09, event(1))]


def test_what_stands_is_counted_by_severity_without_reading_windows() -> None:
    """As `alerts` would say, for a scrape of ten thousand of them."""
    engine = engine_of(rule(hold=40), rule("Other", hold=0))
    engine.receive(answer(MAIN, "1% 9%"), 0.0)
    views = [(view.state, view.severity) for view in engine.alerts()]
    assert engine.standing() == Counter(views)
    assert {state for state, _ in views} == {State.PENDING, State.FIRING}
    assert engine.firing() == Counter(view.rule for view in engine.alerts() if view.state is State.FIRING)


# ── a clock that was ahead ───────────────────────────────────────────────────────────────────────────────────────────


def test_what_a_clock_that_was_ahead_told_does_not_keep_the_present_from_paging() -> None:
    """Windows of "five hours from now" are forgotten, states go on as said, and the present is judged again."""
    engine, ahead = engine_of(rule(hold=40)), 5 * HOUR * W
    log = [*engine.receive(answer(MAIN, "1% 9% 9% 9%"), 10.0).transitions]
    log += engine.receive(answer(MAIN, "9% 9% 1% 1%", start=START + ahead), 20.0).transitions
    assert log[-1].state is State.RESOLVED
    now = START + 4 * W
    saved = engine.turn_back(query(MAIN), now, 30.0).alerts
    late = engine.receive(answer(MAIN, "1% 9% 9% 9% 1%", start=now), 40.0).transitions
    assert [(t.state, t.at) for t in late] == [
        (State.PENDING, now + 2 * W),
        (State.FIRING, now + 4 * W),
        (State.RESOLVED, now + 5 * W),
    ]
    again, _ = restored([rule(hold=40)], saved, "1% 9% 9% 9%")
    assert [t.at for t in again.receive(answer(MAIN, "1% 9% 9% 9% 1%", start=now), 40.0).transitions] == [
        t.at for t in late
    ]


def test_an_alert_that_fired_ahead_of_time_resolves_in_the_present() -> None:
    """It stays firing until the present says otherwise, and never ends before it began."""
    engine, ahead = engine_of(rule()), 5 * HOUR * W
    engine.receive(answer(MAIN, "1% 1%"), 10.0)
    (fired,) = engine.receive(answer(MAIN, "9% 9%", start=START + ahead), 20.0).transitions
    assert fired.state is State.FIRING
    now = START + 2 * W
    engine.turn_back(query(MAIN), now, 30.0)
    (over,) = engine.receive(answer(MAIN, "1% 1%", start=now), 40.0).transitions
    assert (over.state, over.seq) == (State.RESOLVED, fired.seq + 1)
    assert over.starts_at <= over.at
