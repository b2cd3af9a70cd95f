"""What people decided, as the outboxes plan by it, and the silence that ends with its alert."""

from __future__ import annotations

from dataclasses import replace

from tests.alerts.build import LABELS, T0, transition
from watcher.alerts.desk import KEEP_OVER, Desk, new_silence
from watcher.alerts.settings import AlertsSettings
from watcher.model import Ack, Silence, State, Transition

F, R = State.FIRING, State.RESOLVED
OTHER = {**LABELS, "channel": "other"}
SILENCE = new_silence(
    {"rule": ("VideoFreezing",)}, now=float(T0), seconds=1e5, author="kim", comment="", until_resolved=True
)


def desk(*firing: Transition, silence: Silence = SILENCE) -> Desk:
    """A desk with a silence and alerts that fire."""
    made = Desk(AlertsSettings())
    made.restore(firing, [silence], [])
    return made


def test_a_silence_ends_when_the_last_alert_it_matches_ends() -> None:
    """Not with the first of two, not with an alert that it does not match, and at the instant of the record."""
    both = desk(transition(F, 10), transition(F, 10, labels=OTHER))
    assert both.ended_with([transition(R, 20, seq=2)], T0 + 30.0) == []
    pair = [transition(R, 20, seq=2), transition(R, 20, seq=2, labels=OTHER)]
    assert both.ended_with(pair, T0 + 30.0) == [replace(SILENCE, ends_at=T0 + 30.0)]
    assert desk(transition(F, 10, rule="Else")).ended_with([transition(R, 20, seq=2, rule="Else")], T0 + 30.0) == []


def test_a_silence_ends_with_an_alert_that_came_and_went_in_one_step() -> None:
    """And one that begins again in the same step goes on."""
    episode = [transition(F, 10), transition(R, 20, seq=2)]
    assert len(desk().ended_with(episode, T0 + 30.0)) == 1
    assert desk().ended_with([*episode, transition(F, 25, seq=3)], T0 + 30.0) == []


def test_other_silences_and_those_that_are_over_do_not_end() -> None:
    """Only one with `until_resolved`, and only once."""
    ends = [transition(R, 20, seq=2)]
    assert desk(transition(F, 10), silence=replace(SILENCE, until_resolved=False)).ended_with(ends, T0 + 30.0) == []
    assert desk(transition(F, 10), silence=replace(SILENCE, ends_at=T0 + 15.0)).ended_with(ends, T0 + 30.0) == []


def test_an_acknowledgement_is_forgotten_with_the_alert_and_a_silence_a_day_after_its_end() -> None:
    """What is kept in memory is bounded by what fires and what people asked for lately."""
    made = desk(transition(F, 10))
    alert = transition(F, 10).alert_id
    made.note([], acks=[Ack(alert_id=alert, seq=1, author="kim", comment="", at=0.0)], now=T0 + 20.0)
    assert made.mutes().in_hand(transition(F, 10))
    made.note([transition(R, 30, seq=2)], now=T0 + 40.0)
    assert not made.mutes().acks
    assert len(made.silences) == 1
    made.note([], now=SILENCE.ends_at + KEEP_OVER)
    assert not made.silences
