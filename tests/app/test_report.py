"""The parts of the report that speak of requests and of episodes (design, section 8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from tests.alerts.build import T0, obligation, transition
from tests.app.test_sight import DAY_USAGE
from watcher.app.report import episodes, requests
from watcher.model import Delivery, Notification, State, Transition


def test_pools_of_one_family_are_one_row_per_window() -> None:
    """Scripts read one object per account, family and window: the fullest pool, and the sums."""
    quality = replace(DAY_USAGE, pool="acme/realtime/quality", worst=300, total=310, refused_by_vendor=1)
    usage = replace(DAY_USAGE, pool="acme/realtime/usage", worst=120, total=130)
    minute = replace(usage, window="minute", limit=3, worst=2)
    assert requests([quality, usage, minute]) == [
        {
            "account": "acme",
            "family": "realtime",
            "window": "day",
            "spent": 300,
            "limit": 480,
            "total": 440,
            "refused_by_vendor": 1,
        },
        {
            "account": "acme",
            "family": "realtime",
            "window": "minute",
            "spent": 2,
            "limit": 3,
            "total": 130,
            "refused_by_vendor": 0,
        },
    ]


FIRING, RESOLVED, INACTIVE, PENDING = State.FIRING, State.RESOLVED, State.INACTIVE, State.PENDING


def entry(seq: int, state: State, at: int, known: int, *, retracts: int | None = None, rule: str = "R") -> Transition:
    """An entry of a log, in seconds after the epoch of tests."""
    return transition(state, at, seq=seq, known_at=known, retracts=retracts, rule=rule)


def told(log: Sequence[Transition], handed_over: Mapping[int, int]) -> list[tuple[int, int | None, int | None]]:
    """Of each episode when it fired, ended and was told, where the entry of a number was handed over at a time."""
    owed = {o.id: o for o in map(obligation, log)}
    notifications = [
        Notification(
            id=o.id,
            target=o.target,
            obligations=(o.id,),
            alerts=(o.transition.alert_id,),
            kind="firing",
            title="",
            text="",
            html="",
            created_at=0.0,
            delivery=Delivery.SENT,
            sent_at=T0 + handed_over[o.transition.seq],
        )
        for o in owed.values()
        if o.transition.seq in handed_over
    ]
    return [(e.fired_at - T0, after(e.ended_at), after(e.notified_at)) for e in episodes(log, notifications, owed)]


def after(at: float | None) -> int | None:
    """Seconds after the epoch of tests."""
    return None if at is None else int(at - T0)


FIRST = entry(1, FIRING, 100, 110)
OVER = entry(9, RESOLVED, 900, 910)


@pytest.mark.parametrize(
    ("log", "handed_over", "found"),
    [
        pytest.param(
            [FIRST, entry(2, FIRING, 140, 200, retracts=100), OVER],
            {1: 120, 9: 920},
            [(140, 900, 120)],
            id="it began later",
        ),
        pytest.param(
            [FIRST, entry(2, FIRING, 60, 200, retracts=60), OVER],
            {1: 120, 9: 920},
            [(60, 900, 120)],
            id="it began earlier",
        ),
        pytest.param(
            [FIRST, entry(2, PENDING, 100, 200, retracts=100), entry(3, FIRING, 140, 200), OVER],
            {1: 120, 9: 920},
            [(140, 900, 120)],
            id="it was pending for longer",
        ),
        pytest.param(
            [FIRST, entry(2, FIRING, 140, 200, retracts=100), entry(3, FIRING, 60, 300, retracts=60), OVER],
            {1: 120, 9: 920},
            [(60, 900, 120)],
            id="corrected twice",
        ),
        pytest.param(
            [FIRST, entry(2, INACTIVE, 100, 200, retracts=100)],
            {1: 120, 2: 210},
            [],
            id="nothing replaces it",
        ),
        pytest.param(
            [FIRST, entry(2, INACTIVE, 100, 200, retracts=100), entry(3, FIRING, 400, 410), OVER],
            {1: 120, 2: 210, 3: 420, 9: 920},
            [(400, 900, 420)],
            id="taken back, and fired anew",
        ),
        pytest.param(
            [FIRST, entry(2, INACTIVE, 100, 200, retracts=100), entry(3, FIRING, 140, 200, rule="Other")],
            {1: 120, 2: 210},
            [(140, None, None)],
            id="another alert",
        ),
        pytest.param(
            [
                FIRST,
                entry(2, RESOLVED, 200, 210),
                entry(3, FIRING, 100, 300, retracts=100),
                entry(4, RESOLVED, 140, 300),
                entry(5, FIRING, 400, 300),
            ],
            {1: 120, 2: 220, 5: 420},
            [(100, 140, 120), (400, None, 420)],
            id="two in place of it: the one of the same time",
        ),
        pytest.param(
            [
                FIRST,
                entry(2, RESOLVED, 200, 210),
                entry(3, FIRING, 400, 410),
                entry(4, FIRING, 400, 500, retracts=100),
            ],
            {1: 120, 2: 220, 3: 420},
            [(400, None, 420)],
            id="one in place of two: the one of the same time",
        ),
        pytest.param(
            [
                FIRST,
                entry(2, RESOLVED, 200, 210),
                entry(3, FIRING, 300, 310),
                entry(4, RESOLVED, 900, 910, retracts=200),
            ],
            {3: 320},
            [(100, 900, 320)],
            id="the one before went on",
        ),
    ],
)
def test_a_page_for_what_was_corrected_is_the_page_of_what_replaces_it(
    log: list[Transition], handed_over: Mapping[int, int], found: list[tuple[int, int | None, int | None]]
) -> None:
    """Nobody is paged again where a correction moves a beginning (`oblige`), so what went out in time is what counts:
    else the episode would seem told at its end."""
    assert told(log, handed_over) == found
