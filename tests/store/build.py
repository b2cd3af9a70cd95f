"""Values to record, invented: short to write in a test, and arbitrary ones for properties."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from hypothesis import strategies as st

from watcher.model import (
    Cause,
    Delivery,
    Notification,
    Obligation,
    Points,
    Series,
    State,
    Transition,
    obligation_id,
)

FREEZE = Series("acme", "agora", "classroom", "Native", "", "video_freeze_ratio")
USERS = FREEZE.sibling("users")
T0 = 1_767_225_600


def column(
    values: Mapping[int, float], *, series: Series = FREEZE, width: int = 20, weights: Sequence[float] | None = None
) -> Points:
    """Points by window start."""
    return Points(
        series=series,
        width=width,
        start=np.array(sorted(values), dtype=np.int64),
        value=np.array([values[s] for s in sorted(values)], dtype=np.float64),
        weight=None if weights is None else np.array(weights, dtype=np.float64),
    )


def entry(alert: str, seq: int, state: State, *, at: int = T0, known_at: float | None = None) -> Transition:
    """One entry of an alert's log."""
    return Transition(
        alert_id=alert,
        seq=seq,
        rule="VideoFreezing",
        labels={"account": "acme", "project": "classroom"},
        severity="critical",
        state=state,
        at=at,
        starts_at=at - 60,
        known_at=float(at if known_at is None else known_at),
        cause=Cause.THRESHOLD,
    )


def owed(transition: Transition, target: str = "slack", *, dropped: str = "") -> Obligation:
    """The duty to tell a target."""
    return Obligation(
        id=obligation_id(transition, target),
        target=target,
        transition=transition,
        created_at=transition.known_at,
        route={"rule": transition.rule},
        dropped=dropped,
    )


def message(id_: str, *duties: Obligation, delivery: Delivery = Delivery.QUEUED) -> Notification:
    """One message for the target of its duties."""
    return Notification(
        id=id_,
        target=duties[0].target,
        obligations=tuple(d.id for d in duties),
        alerts=tuple(d.transition.alert_id for d in duties),
        kind="firing",
        title="Video freezes",
        text="5 %",
        html="<p>5 %</p>",
        created_at=duties[0].created_at,
        delivery=delivery,
    )


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
