"""Arbitrary values to record, for properties."""

from __future__ import annotations

from hypothesis import strategies as st

from watcher.model import Cause, Delivery, Notification, Obligation, State, Transition

texts = st.text(max_size=40)
numbers = st.floats(allow_nan=False, allow_infinity=False)
optional = st.none() | numbers
labels = st.dictionaries(texts, texts, max_size=4)
instants = st.floats(min_value=0, max_value=4e9)
seconds = st.integers(min_value=0, max_value=2**40)

transitions = st.builds(
    Transition,
    alert_id=texts,
    seq=st.integers(min_value=1, max_value=10**9),
    rule=texts,
    labels=labels,
    severity=texts,
    state=st.sampled_from(State),
    at=seconds,
    starts_at=seconds,
    known_at=instants,
    cause=st.sampled_from(Cause),
    value=optional,
    threshold=optional,
    peak=optional,
    users=optional,
    unguarded=st.booleans(),
    retracts=st.none() | seconds,
    annotations=labels,
)
obligations = st.builds(
    Obligation,
    id=texts,
    target=texts,
    transition=transitions,
    created_at=instants,
    route=labels,
    dropped=texts,
)
notifications = st.builds(
    Notification,
    id=texts,
    target=texts,
    obligations=st.just(()),
    alerts=st.lists(texts, max_size=3).map(tuple),
    kind=texts,
    title=texts,
    text=texts,
    html=texts,
    created_at=instants,
    delivery=st.sampled_from(Delivery),
    attempts=st.integers(min_value=0, max_value=10**6),
    next_at=instants,
    sent_at=st.none() | instants,
    error=texts,
)
