"""What every store must do, whatever holds the data: the store's tests inherit `StoreContract` and say how to open it.

Nothing here knows SQLite. `open` gives a store on the same state each time, so that closing and opening again shows
what is durable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Protocol

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.store.anything import notifications, obligations, transitions
from tests.store.build import FREEZE, T0, USERS, column, entry, message, owed
from watcher.errors import StoreError
from watcher.model import (
    Ack,
    Commit,
    Delivery,
    Gap,
    Notification,
    Obligation,
    Points,
    SavedAlert,
    Silence,
    Span,
    Spend,
    State,
    Store,
    StoreReader,
    Transition,
    fold,
)


class FullStore(Store, StoreReader, Protocol):
    """Both ports: what the daemon writes, and what other commands read."""


Opener = Callable[[], FullStore]


def values(points: Points | None) -> dict[int, float]:
    """Window start -> value."""
    return {} if points is None else dict(zip(points.start.tolist(), points.value.tolist(), strict=True))


def everything(store: FullStore) -> tuple[object, ...]:
    """All that can be read, to compare a state before and after."""
    return (
        [(series, values(store.points(series, 0))) for series in store.series()],
        store.covered(),
        store.gaps(0.0),
        store.alerts(),
        store.transitions(),
        store.obligations(),
        store.notifications(0.0),
        store.spends("acme", 0.0),
        store.note("acme", "offset"),
    )


def prune_all(store: Store, *, points_before: int = 0, records_before: float = 0.0) -> int:
    """Prune until nothing is left to forget."""
    total = 0
    while removed := store.prune(points_before=points_before, records_before=records_before):
        total += removed
    return total


class StoreContract:
    """Inherit, and define the fixture `fresh`: each call makes a new, empty state and gives its opener."""

    @pytest.fixture
    def opener(self, fresh: Callable[[], Opener]) -> Opener:
        """Opens the same state each time."""
        return fresh()

    @pytest.fixture
    def store(self, opener: Opener) -> Iterator[FullStore]:
        """One open store."""
        store = opener()
        yield store
        store.close()

    # ── the step ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def test_a_step_is_read_back_after_a_restart(self, opener: Opener) -> None:
        """Every part of a commit is there in the next process."""
        firing = entry("a", 1, State.FIRING)
        gap = Gap("q", Span(T0, T0 + 40), T0 + 99.5, "vendor down")
        step = Commit(
            points=[column({T0: 0.1, T0 + 20: 0.2}), column({T0: 12.0}, series=USERS, weights=[3.0])],
            covered={"q": T0 + 40},
            gaps=[gap],
            alerts=[SavedAlert(alert_id="a", rule="VideoFreezing", body={"n": 1, "at": [1, 2.5, None, "x"]})],
            transitions=[firing],
            obligations=[owed(firing), owed(firing, "mail", dropped="no route")],
        )
        first = opener()
        first.commit(step)
        written = everything(first)
        first.close()
        second = opener()
        assert everything(second) == written
        assert second.series() == sorted([FREEZE, USERS])
        assert values(second.points(FREEZE, 0)) == {T0: 0.1, T0 + 20: 0.2}
        assert second.covered() == {"q": T0 + 40}
        assert second.gaps(T0) == [gap]
        assert second.gaps(T0 + 100) == []
        assert second.alerts() == list(step.alerts)
        assert second.transitions() == [firing]
        assert second.obligations() == list(step.obligations)
        assert second.open_obligations("slack") == [owed(firing)]
        assert second.open_obligations("mail") == []
        second.close()

    def test_a_step_that_cannot_be_recorded_leaves_nothing(self, store: FullStore) -> None:
        """One contradiction at the end of a step undoes the points, alerts and entries before it."""
        firing = entry("a", 1, State.FIRING)
        store.commit(Commit(transitions=[firing]))
        before = everything(store)
        orphan = owed(entry("b", 7, State.FIRING))
        for step in (
            Commit(points=[column({T0: 1.0})], covered={"q": 1}, transitions=[entry("a", 1, State.RESOLVED)]),
            Commit(points=[column({T0: 1.0})], alerts=[SavedAlert(alert_id="z", rule="r", body={})], gaps=[
                Gap("q", Span(0, 20), 1.0, "r")], transitions=[entry("c", 1, State.FIRING)], obligations=[orphan]),
        ):  # fmt: skip
            with pytest.raises(StoreError):
                store.commit(step)
            assert everything(store) == before

    def test_recording_a_step_again_changes_nothing(self, store: FullStore) -> None:
        """After a crash between commit and answer the step is recorded again: no duplicate, nothing reopened."""
        firing, resolved = entry("a", 1, State.FIRING), entry("a", 2, State.RESOLVED, at=T0 + 60)
        sent, dropped = owed(firing), owed(firing, "mail")
        step = Commit(
            points=[column({T0: 0.5})],
            gaps=[Gap("q", Span(0, 20), 1.0, "r")],
            transitions=[firing, resolved],
            obligations=[sent, dropped, owed(resolved)],
        )
        store.commit(step)
        store.record_notification(message("n", sent))
        store.drop_obligations({dropped.id: "silenced"}, T0 + 1.0)
        before = everything(store)
        store.commit(step)
        store.commit(replace(step, transitions=[replace(firing, known_at=firing.known_at + 30), resolved]))
        assert everything(store) == before
        assert store.open_obligations("slack") == [owed(resolved)]
        assert store.open_obligations("mail") == []

    def test_forgotten_alerts_leave_and_their_log_stays(self, store: FullStore) -> None:
        """Forgetting is about the evaluator's own state; one that is saved in the same step is kept."""
        saved = [SavedAlert(alert_id=i, rule="r", body={"i": i}) for i in "abc"]
        store.commit(Commit(alerts=saved, transitions=[entry("a", 1, State.FIRING)]))
        store.commit(Commit(alerts=[saved[1]], forgotten=["a", "b"]))
        assert {a.alert_id for a in store.alerts()} == {"b", "c"}
        assert len(store.transitions(alert="a")) == 1

    # ── points ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def test_points_are_revised_and_filled_in(self, store: FullStore) -> None:
        """A later value of a window replaces the earlier one; an earlier window that comes late takes its place."""
        store.commit(Commit(points=[column({T0 + 20: 0.2, T0 + 60: 0.6})]))
        store.commit(Commit(points=[column({T0: 0.0, T0 + 20: 0.25, T0 + 40: 0.4}), column({}, series=USERS)]))
        assert values(store.points(FREEZE, 0)) == {T0: 0.0, T0 + 20: 0.25, T0 + 40: 0.4, T0 + 60: 0.6}
        assert values(store.points(FREEZE, T0 + 40)) == {T0 + 40: 0.4, T0 + 60: 0.6}
        assert store.points(FREEZE, T0 + 61) is None
        assert store.points(USERS, 0) is None
        assert store.series() == [FREEZE]

    def test_weights_are_kept_where_there_are_any(self, store: FullStore) -> None:
        """A series without weights has none; where only some windows have one, the others are NaN."""
        store.commit(
            Commit(points=[column({T0: 0.5}), column({T0: 0.1, T0 + 20: 0.2}, series=USERS, weights=[7.0, 8.0])])
        )
        store.commit(Commit(points=[column({T0 + 20: 0.3}, series=USERS)]))
        plain, weighted = store.points(FREEZE, 0), store.points(USERS, 0)
        assert plain is not None
        assert plain.weight is None
        assert plain.width == 20
        assert weighted is not None
        assert weighted.weight is not None
        np.testing.assert_array_equal(weighted.weight, [7.0, np.nan])

    def test_a_series_with_a_new_window_length_begins_anew(self, store: FullStore) -> None:
        """Windows of two lengths lie on two grids and cannot be judged together."""
        store.commit(Commit(points=[column({T0: 0.1, T0 + 20: 0.2}), column({T0: 5.0}, series=USERS)]))
        store.commit(Commit(points=[column({T0 + 30: 0.3}, width=30)]))
        points = store.points(FREEZE, 0)
        assert points is not None
        assert points.width == 30
        assert values(points) == {T0 + 30: 0.3}
        assert values(store.points(USERS, 0)) == {T0: 5.0}

    @settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(columns=st.lists(st.dictionaries(st.integers(0, 2**33), st.floats(allow_nan=False, allow_infinity=False))))
    def test_any_chunks_of_points_merge_as_a_dict_would(
        self, fresh: Callable[[], Opener], columns: list[dict[int, float]]
    ) -> None:
        """The newest value of each window, bit for bit, in order."""
        store = fresh()()
        merged: dict[int, float] = {}
        for chunk in columns:
            store.commit(Commit(points=[column(chunk)]))
            merged |= chunk
        read = values(store.points(FREEZE, 0))
        prune_all(store, points_before=2**40)
        assert read == merged
        assert list(read) == sorted(read)
        assert store.series() == []
        store.close()

    # ── round trips ──────────────────────────────────────────────────────────────────────────────────────────────────

    @settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(obligation=obligations, transition=transitions, notification=notifications)
    def test_records_come_back_as_they_were(
        self,
        fresh: Callable[[], Opener],
        obligation: Obligation,
        transition: Transition,
        notification: Notification,
    ) -> None:
        """Whatever a record holds, the next process reads the same."""
        opener = fresh()
        store = opener()
        log = {(t.alert_id, t.seq): t for t in (transition, obligation.transition)}
        obligation = replace(obligation, transition=log[obligation.transition.alert_id, obligation.transition.seq])
        store.commit(Commit(transitions=list(log.values()), obligations=[obligation]))
        store.record_notification(notification)
        read = (store.transitions(), store.obligations(), store.notifications(0.0))
        store.close()
        again = opener()
        assert (again.transitions(), again.obligations(), again.notifications(0.0)) == read
        assert read == (list(log.values()), [obligation], [notification])
        again.close()

    def test_text_without_utf8_form_is_recorded_all_the_same(self, store: FullStore) -> None:
        """Half of a surrogate pair in a vendor's text must not keep a page from being recorded."""
        firing = replace(entry("a", 1, State.FIRING), annotations={"summary": "room \ud800"})
        store.commit(Commit(transitions=[firing], obligations=[owed(firing)]))
        store.record_notification(replace(message("n", owed(firing)), title="room \udfff", text="a\0b"))
        assert store.transitions()[0].annotations == {"summary": "room ?"}
        (kept,) = store.notifications(0.0)
        assert (kept.title, kept.text) == ("room ?", "a\0b")

    def test_names_that_cannot_be_stored_are_an_error_of_the_store(self, store: FullStore) -> None:
        """A name is not replaced, since it must be found again; the step is refused as a whole."""
        for step in (
            Commit(points=[column({T0: 1.0})], covered={"query \ud800": 1}),
            Commit(points=[column({T0: 1.0})], covered={"q": 2**70}),
        ):
            with pytest.raises(StoreError, match="cannot be stored"):
                store.commit(step)
        assert store.series() == []

    # ── obligations and notifications ────────────────────────────────────────────────────────────────────────────────

    def test_a_notification_discharges_its_obligations(self, store: FullStore) -> None:
        """Recorded together: the message waits to be sent and its obligations are no longer open."""
        first, second = entry("a", 1, State.FIRING), entry("b", 1, State.FIRING)
        store.commit(Commit(transitions=[first, second], obligations=[owed(first), owed(second), owed(first, "mail")]))
        queued = message("n", owed(first), owed(second))
        store.record_notification(queued)
        assert store.open_obligations("slack") == []
        assert store.open_obligations("mail") == [owed(first, "mail")]
        assert store.unsent("slack") == [queued]
        assert store.unsent("mail") == []
        sending = replace(queued, delivery=Delivery.SENDING, attempts=1)
        store.update_notification(sending)
        assert store.unsent("slack") == [sending]
        sent = replace(sending, delivery=Delivery.SENT, sent_at=T0 + 3.25)
        store.update_notification(sent)
        assert store.unsent("slack") == []
        assert store.notifications(0.0) == [sent]
        assert store.notifications(queued.created_at + 1) == []

    def test_an_obligation_is_discharged_once(self, store: FullStore) -> None:
        """A second message for one duty is refused as a whole; so is one for a dropped or an unknown duty."""
        transitions_ = [entry(alert, 1, State.FIRING) for alert in "abcd"]
        a, b, c, unknown = (owed(t) for t in transitions_)
        store.commit(Commit(transitions=transitions_, obligations=[a, b, c]))
        store.record_notification(message("n", a))
        store.drop_obligations({b.id: "silenced"}, T0 + 0.0)
        before = everything(store)
        for taken in (a, b, unknown):
            with pytest.raises(StoreError, match=taken.id):
                store.record_notification(message("m", c, taken))
            assert everything(store) == before

    def test_a_notification_recorded_again_takes_its_newest_state(self, store: FullStore) -> None:
        """The first recording may have succeeded without anybody knowing: the same message again is fine."""
        firing = entry("a", 1, State.FIRING)
        store.commit(Commit(transitions=[firing], obligations=[owed(firing)]))
        store.record_notification(message("n", owed(firing)))
        sent = message("n", owed(firing), delivery=Delivery.SENT)
        store.record_notification(sent)
        assert store.notifications(0.0) == [sent]
        assert store.unsent("slack") == []

    def test_what_was_said_and_not_said_about_an_alert(self, store: FullStore) -> None:
        """Messages and duties of that alert alone, the newest first, as many as asked; with the reason of a drop."""
        first, second, other = entry("a", 1, State.FIRING), entry("a", 2, State.RESOLVED), entry("b", 1, State.FIRING)
        duties = [owed(first), owed(second), owed(other), owed(first, "mail")]
        store.commit(Commit(transitions=[first, second, other], obligations=duties))
        for number, duty in enumerate(duties[:3]):
            store.record_notification(message(f"n{number}", duty))
        store.drop_obligations({owed(first, "mail").id: "silenced"}, T0 + 1.0)
        assert [n.id for n in store.notifications_about("a", 10)] == ["n1", "n0"]
        assert [n.id for n in store.notifications_about("a", 1)] == ["n1"]
        told = [(o.target, o.transition.seq, o.dropped) for o in store.obligations_about("a", 10)]
        assert told == [("mail", 1, "silenced"), ("slack", 2, ""), ("slack", 1, "")]
        assert len(store.obligations_about("a", 2)) == 2
        assert store.notifications_about("nobody", 10) == []
        assert store.obligations_about("nobody", 10) == []

    def test_drops_keep_their_first_reason(self, store: FullStore) -> None:
        """Dropping twice is fine; dropping what was discharged, or was never there, is refused as a whole."""
        first, second, third = (entry(alert, 1, State.FIRING) for alert in "abc")
        store.commit(Commit(transitions=[first, second, third], obligations=[owed(first), owed(second), owed(third)]))
        store.drop_obligations({owed(first).id: "silenced"}, T0 + 1.0)
        store.drop_obligations({owed(first).id: "capped"}, T0 + 2.0)
        store.record_notification(message("n", owed(second)))
        assert [o.dropped for o in store.obligations()] == ["silenced", "", ""]
        for wrong in (owed(second).id, "never recorded"):
            with pytest.raises(StoreError, match=wrong):
                store.drop_obligations({owed(third).id: "silenced", wrong: "silenced"}, T0 + 3.0)
        assert store.open_obligations("slack") == [owed(third)]

    def test_what_a_start_goes_on_from(self, store: FullStore) -> None:
        """The newest entry of each alert, who holds which page, and who is owed something: without reading the log."""
        told, over, cut = entry("told", 1, State.FIRING), entry("over", 1, State.FIRING), entry("cut", 1, State.FIRING)
        end, pending = entry("over", 2, State.RESOLVED), entry("new", 1, State.PENDING)
        duties = [
            owed(told),
            owed(told, "mail"),
            owed(over),
            owed(end),
            owed(cut),
            owed(cut, "mail", dropped="late"),
        ]
        store.commit(Commit(transitions=[told, over, cut, end, pending], obligations=duties))
        assert store.latest() == [told, cut, end, pending]
        assert store.holders(["late"]) == {"told": {"slack", "mail"}, "cut": {"slack"}}
        assert store.holders([]) == {"told": {"slack", "mail"}, "cut": {"slack", "mail"}}
        assert store.owed_targets() == {"slack", "mail"}
        store.record_notification(message("n", owed(told, "mail"), delivery=Delivery.SENT))
        assert store.owed_targets() == {"slack"}
        store.drop_obligations({owed(told).id: "gone"}, T0)
        assert store.holders(["gone"])["told"] == {"mail"}

    def test_oldest_first(self, store: FullStore) -> None:
        """Obligations and messages come in the order recorded, also where the clock was stepped back meanwhile."""
        log = [entry(f"a{9 - i}", 1, State.FIRING, known_at=T0 - 100.0 * i) for i in range(10)]
        for transition in log:
            store.commit(Commit(transitions=[transition], obligations=[owed(transition)]))
        assert [o.transition for o in store.open_obligations("slack")] == log
        assert store.transitions() == log
        assert store.transitions(alert="a3") == [log[6]]
        assert store.transitions(since=T0 - 150.0) == log[:2]
        for transition in log:
            store.record_notification(message(f"n{transition.alert_id}", owed(transition)))
        assert [n.alerts for n in store.unsent("slack")] == [(t.alert_id,) for t in log]

    def test_what_people_decide_is_kept(self, opener: Opener) -> None:
        """Silences by their end, one acknowledgement an alert, the newest word of each, durable."""
        store = opener()
        one = Silence(
            id="s1",
            match={"rule": ("VideoFreezing", "Other")},
            starts_at=T0 + 0.5,
            ends_at=T0 + 60.25,
            author="kim",
            comment="deploying",
            created_at=T0 + 0.0,
            until_resolved=True,
        )
        two = replace(one, id="s2", match={}, ends_at=T0 + 600.0, until_resolved=False)
        ack = Ack(alert_id="a", seq=3, author="kim", comment="looking", at=T0 + 1.0)
        store.commit(Commit(silences=[one, two], acks=[ack]))
        shorter, newer = replace(two, ends_at=T0 + 100.0), replace(ack, seq=4, at=T0 + 9.0)
        store.commit(Commit(silences=[shorter], acks=[newer]))
        store.close()
        again = opener()
        assert again.silences(0.0) == [one, shorter]
        assert again.silences(T0 + 61.0) == [shorter]
        assert again.acks() == [newer]
        prune_all(again, records_before=T0 + 61.0)
        assert (again.silences(0.0), again.acks()) == ([shorter], [])
        again.close()

    def test_where_a_target_stands(self, store: FullStore) -> None:
        """Per alert the newest obligation, whether the newest that was said is a beginning, and when it was."""
        log = {
            "told": [State.FIRING],
            "muted": [State.FIRING],
            "open": [State.FIRING],
            "over": [State.FIRING, State.RESOLVED],
            "ending": [State.FIRING, State.RESOLVED],
            "forgotten": [State.FIRING],
        }
        duties = {
            (alert, n): owed(entry(alert, n, state, at=T0 + n))
            for alert, states in log.items()
            for n, state in enumerate(states, start=1)
        }
        store.commit(Commit(transitions=[o.transition for o in duties.values()], obligations=list(duties.values())))
        store.commit(Commit(transitions=[entry("forgotten", 2, State.RESOLVED, at=T0 + 2)]))
        for key in (("told", 1), ("over", 1), ("over", 2), ("ending", 1), ("forgotten", 1)):
            store.record_notification(message("-".join(map(str, key)), duties[key]))
        store.drop_obligations({duties["muted", 1].id: "silenced"}, T0 + 5.0)
        standing = {s.latest.transition.alert_id: (s.latest.id, s.told, s.said_at) for s in store.standing("slack")}
        assert standing == {
            "told": (duties["told", 1].id, True, T0 + 1.0),
            "muted": (duties["muted", 1].id, False, None),
            "open": (duties["open", 1].id, False, None),
            "ending": (duties["ending", 2].id, True, T0 + 1.0),
        }
        assert store.standing("mail") == []

    def test_an_unknown_notification_cannot_be_updated(self, store: FullStore) -> None:
        """What was never recorded cannot be marked as sent."""
        with pytest.raises(StoreError, match="never recorded"):
            store.update_notification(message("n", owed(entry("a", 1, State.FIRING))))

    # ── the ledger ───────────────────────────────────────────────────────────────────────────────────────────────────

    def test_spends_are_kept_replaced_and_refunded(self, opener: Opener) -> None:
        """Per account, oldest first, durable; a corrected stamp replaces; a refund may come twice."""
        store = opener()
        one = Spend(id="1", account="acme", pools=("realtime", "day"), at=T0 + 0.5, skew=5.0)
        two = Spend(id="2", account="acme", pools=("realtime",), at=T0 - 3.0, skew=6.5, units=240.0)
        other = Spend(id="3", account="other", pools=(), at=T0 + 0.0, skew=5.0)
        for spend in (one, two, other):
            store.record_spend(spend)
        assert store.spends("acme", 0.0) == [two, one]
        assert store.spends("acme", T0) == [one]
        moved = replace(one, at=T0 - 9.0, skew=7.0)
        store.record_spend(moved)
        store.refund("2")
        store.refund("2")
        store.close()
        again = opener()
        assert again.spends("acme", 0.0) == [moved]
        assert again.spends("other", 0.0) == [other]
        again.close()

    def test_notes_are_kept_per_account_and_key(self, opener: Opener) -> None:
        """A note is read back after a restart, and replaced by the next one."""
        store = opener()
        assert store.note("acme", "offset") is None
        store.put_note("acme", "offset", "1.5")
        store.put_note("acme", "offset", "2.5")
        store.put_note("other", "offset", "é")
        store.close()
        again = opener()
        assert (again.note("acme", "offset"), again.note("other", "offset")) == ("2.5", "é")
        assert again.note("acme", "blind_until") is None
        again.close()

    # ── forgetting ───────────────────────────────────────────────────────────────────────────────────────────────────

    def test_pruning_forgets_what_is_old(self, store: FullStore) -> None:
        """Old points, coverage, gaps, spends and finished episodes with their messages go; newer ones stay."""
        for day in (0, 10):
            at = T0 + day * 86_400
            firing, resolved = entry("a", day + 1, State.FIRING, at=at), entry("a", day + 2, State.RESOLVED, at=at + 60)
            store.commit(
                Commit(
                    points=[column({at: 0.5}), column({at: 1.0}, series=USERS)],
                    covered={f"q{day}": at},
                    gaps=[Gap("q", Span(at, at + 20), float(at), "r")],
                    transitions=[firing, resolved],
                    obligations=[owed(firing), owed(resolved), owed(firing, "mail", dropped="no route")],
                )
            )
            store.record_notification(message(f"n{day}", owed(firing), owed(resolved), delivery=Delivery.SENT))
            store.record_spend(Spend(id=f"s{day}", account="acme", pools=(), at=float(at), skew=5.0))
        cut = T0 + 5 * 86_400
        assert prune_all(store, points_before=cut, records_before=float(cut)) == 11
        assert values(store.points(FREEZE, 0)) == {T0 + 864_000: 0.5}
        assert store.covered() == {"q10": T0 + 864_000}
        assert [g.span.start for g in store.gaps(0.0)] == [T0 + 864_000]
        assert [t.seq for t in store.transitions()] == [11, 12]
        assert len(store.obligations()) == 3
        assert [n.id for n in store.notifications(0.0)] == ["n10"]
        assert [s.id for s in store.spends("acme", 0.0)] == ["s10"]

    def test_pruning_keeps_what_is_not_over(self, store: FullStore) -> None:
        """A month-old alert that still fires keeps its beginning and who was told; an unsent page stays as well."""
        far = T0 + 10**7
        still = [entry("still", 1, State.FIRING), entry("still", 2, State.INACTIVE, at=T0 + 20)]
        still += [entry("still", 3, State.FIRING, at=T0 + 40)]  # a correction moved its beginning: nobody heard of that
        unsent = [entry("unsent", 1, State.FIRING), entry("unsent", 2, State.RESOLVED, at=T0 + 60)]
        waiting = [entry("waiting", 1, State.FIRING), entry("waiting", 2, State.RESOLVED, at=T0 + 60)]
        duties = [owed(still[0]), owed(unsent[0]), owed(unsent[1]), owed(waiting[0]), owed(waiting[1])]
        store.commit(Commit(transitions=[*still, *unsent, *waiting], obligations=duties))
        store.record_notification(message("held", duties[0], delivery=Delivery.SENT))
        store.record_notification(message("unsent", duties[1], duties[2], delivery=Delivery.SENDING))
        store.record_notification(message("waiting", duties[3], delivery=Delivery.SENT))
        before = everything(store)
        assert prune_all(store, records_before=float(far)) == 0
        assert everything(store) == before
        ended = entry("still", 4, State.RESOLVED, at=T0 + 80)
        store.commit(Commit(transitions=[ended], obligations=[owed(ended)]))
        store.record_notification(message("over", owed(ended), delivery=Delivery.SENT))
        prune_all(store, records_before=float(far))
        assert {t.alert_id for t in store.transitions()} == {"unsent", "waiting"}

    def test_pruning_forgets_whole_episodes(self, store: FullStore) -> None:
        """An episode whose end is not old yet stays from its beginning on."""
        log = [
            entry("a", 1, State.PENDING, at=T0),
            entry("a", 2, State.INACTIVE, at=T0 + 20),
            entry("a", 3, State.PENDING, at=T0 + 40),
            entry("a", 4, State.FIRING, at=T0 + 60),
            entry("a", 5, State.RESOLVED, at=T0 + 900),
        ]
        store.commit(Commit(transitions=log))
        assert prune_all(store, records_before=T0 + 600.0) == 2
        assert store.transitions() == log[2:]

    @settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        steps=st.lists(st.tuples(st.sampled_from(State), st.integers(0, 3), st.booleans()), max_size=30),
        cut=st.integers(0, 60),
    )
    def test_what_pruning_leaves_folds_to_the_same_timeline(
        self, fresh: Callable[[], Opener], steps: list[tuple[State, int, bool]], cut: int
    ) -> None:
        """From the first entry left on, the settled timeline is as before, and nobody's held page is forgotten."""
        store = fresh()()
        log: list[Transition] = []
        at = T0
        for number, (state, gap, told) in enumerate(steps, start=1):
            at += gap
            transition = replace(entry("a", number, state, at=at), retracts=at - 2 if gap == 0 and log else None)
            log.append(transition)
            duties = [owed(transition)] if told and state in (State.FIRING, State.RESOLVED) else []
            store.commit(Commit(transitions=[transition], obligations=duties))
            if duties:
                store.record_notification(message(f"n{number}", *duties, delivery=Delivery.SENT))
        held = [o.transition for o in store.obligations()]
        prune_all(store, records_before=float(T0 + cut))
        left = store.transitions()
        assert left == log[len(log) - len(left) :]
        if left:
            assert [e for e in fold(log) if e[0] > left[0].at + 2] == [e for e in fold(left) if e[0] > left[0].at + 2]
        if held and held[-1].state is State.FIRING:
            assert held[-1] in left
        store.close()

    def test_pruning_goes_in_bounded_batches(self, store: FullStore) -> None:
        """One call takes a bounded part, so that spends never wait long; repeated calls take it all."""
        windows = {T0 + 20 * i: 0.5 for i in range(12_000)}
        store.commit(Commit(points=[column(windows), column(windows, series=USERS)]))
        log = [entry("a", i, State.INACTIVE if i % 2 else State.PENDING) for i in range(1, 12_001)]
        store.commit(Commit(transitions=log))
        sizes = []
        while removed := store.prune(points_before=T0 + 10**7, records_before=T0 + 1e7):
            sizes.append(removed)
        assert sum(sizes) == 24_000 + 12_000 - 1  # the last entry is PENDING: not over
        assert max(sizes) <= 5_100

    def test_pruning_takes_no_window_that_is_young_enough(self, store: FullStore) -> None:
        """Windows may leave together with their neighbours, but none before its time; soon after it each is gone."""
        windows = {T0 + 20 * i: 0.5 for i in range(1_000)}
        store.commit(Commit(points=[column(windows)]))
        for cut in (T0 + 5_010, T0 + 7_200, T0 + 9_999):
            prune_all(store, points_before=cut)
            left = values(store.points(FREEZE, 0))
            assert left.keys() >= {start for start in windows if start >= cut}
            assert min(left) > cut - 3_600

    # ── being there ──────────────────────────────────────────────────────────────────────────────────────────────────

    def test_probe_writes_and_leaves_no_trace(self, store: FullStore) -> None:
        """A state that can be written says nothing, as often as it is asked."""
        before = everything(store)
        store.probe()
        store.probe()
        assert everything(store) == before

    def test_a_closed_store_refuses(self, opener: Opener) -> None:
        """After `close`, which may come twice, everything is a StoreError."""
        store = opener()
        store.close()
        store.close()
        with pytest.raises(StoreError):
            store.probe()
        with pytest.raises(StoreError):
            store.covered()
