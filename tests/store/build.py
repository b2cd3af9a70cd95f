"""Values to record, invented and short to write in a test. Light to import: a process that is killed starts with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from watcher.model import Cause, Delivery, Notification, Obligation, Points, Series, State, Transition, obligation_id

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
