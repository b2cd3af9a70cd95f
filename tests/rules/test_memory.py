"""Memories: whatever an alert holds comes back from its JSON, and nothing else is believed."""

from __future__ import annotations

import json
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tests.rules.series import rule, series
from watcher.model import Cause, SavedAlert, Span, State
from watcher.rules import memory
from watcher.rules.alert import Alert, new_alert
from watcher.rules.timeline import Entry, Mark

_times = st.integers(0, 2**40)
_shares = st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False))
_entries = st.builds(
    Entry,
    at=_times,
    state=st.sampled_from(State),
    starts_at=_times,
    cause=st.sampled_from(Cause),
    peak=_shares,
    unguarded=st.booleans(),
)
_marks = st.builds(
    Mark,
    at=_times,
    state=st.sampled_from(State),
    entered=_times,
    since=_times,
    held=st.integers(0, 1000),
    peak=_shares,
    unguarded=st.booleans(),
    last=_times,
    falling=st.one_of(st.none(), _times),
    cleared=st.one_of(st.none(), st.integers(0, 1000)),
)


@st.composite
def alerts(draw: st.DrawFn) -> Alert:
    """An alert with any past."""
    alert = new_alert(rule(no_data_after=60, labels={"team": "av"}), series(), silence=draw(st.booleans()), after=0)
    alert.mark = draw(_marks)
    alert.seq = draw(st.integers(0, 10**6))
    alert.base = draw(st.one_of(st.none(), _entries))
    alert.tail = tuple(draw(st.lists(_entries, max_size=3)))
    alert.waived = draw(_times)
    alert.undecided_since = draw(st.one_of(st.none(), st.floats(0, 1e10)))
    alert.holes = tuple(draw(st.lists(st.builds(Span, _times, _times), max_size=3)))
    alert.saved = True
    return alert


@given(alerts())
def test_a_memory_is_the_whole_alert(alert: Alert) -> None:
    """Through JSON and back, to the last bit."""
    saved = memory.save(alert)
    body = memory.read(replace(saved, body=json.loads(json.dumps(saved.body))))
    assert isinstance(body, memory.Body)
    again = new_alert(alert.rule, memory.series_of(body), silence=body.silence, after=0)
    memory.recall(again, body)
    assert again == alert
    assert (saved.alert_id, saved.rule, body.key) == (alert.id, alert.rule.name, alert.key)
    assert (body.labels, body.severity) == (alert.labels, alert.rule.severity)


def test_a_retired_alert_keeps_its_count_only() -> None:
    """What no rule means any more is a number, and the series it was about."""
    retired = memory.Retired("id", "VideoFreezing", series(), 7)
    saved = retired.saved()
    assert memory.read(replace(saved, body=json.loads(json.dumps(saved.body)))) == retired


@given(
    st.dictionaries(st.sampled_from(["v", "retired", "series", "seq", "mark"]), st.integers() | st.text() | st.none())
)
def test_any_other_body_is_refused_not_a_crash(body: dict[str, object]) -> None:
    """A body that this version did not write is no memory."""
    assert memory.read(SavedAlert(alert_id="x", rule="r", body=body)) is None
