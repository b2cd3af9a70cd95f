"""Users by the minute, as real-time looks counted them: what is known of a minute, and what is kept."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from tests.providers.agora.stage import T
from watcher.clock import HOUR
from watcher.model import Answer, Points, Query, Series, Span
from watcher.providers.agora.headcount import KEPT, Headcount


def look(
    users: Mapping[int, float], asked: Span, *, product: str = "Native", channel: str = "", signal: str = "users"
) -> Answer:
    """A real-time look."""
    series = Series("acme", "agora", "classroom", product, channel, signal)
    query = Query(id="q", account="acme", series=(series,), pools=("p",), width=20, delay=40.0, reach=2000.0, settle=2)
    points = Points(
        series=series,
        width=20,
        start=np.array(list(users), np.int64),
        value=np.array(list(users.values()), np.float64),
    )
    return Answer(
        query=query, asked=asked, settled=asked.end - 40, points=(points,) if users else (), received_at=float(T)
    )


def minutes(told: Headcount, asked: Span, *products: str) -> dict[int, float]:
    """What is known of the project."""
    return told.by_minute("classroom", products or ("Native", "WebRTC"), asked)


def test_a_minute_is_the_mean_of_its_slots_and_the_sum_of_its_products() -> None:
    """A later look corrects an earlier one; a minute for which one product was not asked is not known."""
    told = Headcount()
    told.take(look({T: 3.0, T + 20: 6.0, T + 40: 0.0, T + 60: 90.0}, Span(T, T + 120)))
    assert minutes(told, Span(T, T + 120)) == {}
    told.take(look({T: 10.0, T + 20: 10.0, T + 40: 10.0}, Span(T, T + 60), product="WebRTC"))
    assert minutes(told, Span(T, T + 180)) == {T: 13.0}
    told.take(look({T + 40: 3.0}, Span(T + 40, T + 60)))
    assert minutes(told, Span(T, T + 180)) == {T: 14.0}
    assert minutes(told, Span(T, T + 180), "Native") == {T: 4.0, T + 60: 90.0}
    assert told.by_minute("other", ["Native"], Span(T, T + 120)) == {}


@pytest.mark.parametrize(
    ("users", "known"),
    [
        ({}, {T: 5.0, T + 60: 5.0}),  # never anybody: nobody
        ({T: 7.0, T + 140: 9.0}, {T: 12.0, T + 60: 12.0}),  # a hole: the nearest
        ({T + 160: 9.0}, {T: 14.0, T + 60: 14.0}),
    ],
)
def test_rows_that_are_not_there(users: dict[int, float], known: dict[int, float]) -> None:
    """Only of minutes that the vendor has answered for, and settled."""
    told = Headcount()
    told.take(look(dict.fromkeys(range(T, T + 180, 20), 5.0), Span(T, T + 220)))
    told.take(look(users, Span(T, T + 160), product="WebRTC"))
    assert minutes(told, Span(T - 60, T + 120)) == known


def test_nobody_at_all_is_no_count() -> None:
    """Nothing is a share of nobody: then the calls themselves say more."""
    told = Headcount()
    told.take(look({}, Span(T, T + 600)))
    assert minutes(told, Span(T, T + 120), "Native") == {}


def test_only_live_users_of_a_whole_project_count() -> None:
    """Not those of a channel, no other signal."""
    told = Headcount()
    told.take(look({T: 3.0}, Span(T, T + 120), channel="lecture"))
    told.take(look({T: 3.0}, Span(T, T + 120), signal="channels"))
    assert minutes(told, Span(T, T + 60), "Native") == {}


def test_two_hours_are_kept() -> None:
    """Whatever the daemon's age."""
    told = Headcount()
    for hour in range(30):
        start = T + hour * HOUR
        told.take(look(dict.fromkeys(range(start, start + HOUR, 20), 5.0), Span(start, start + HOUR)))
    oldest, newest = start + HOUR - 40 - KEPT, start + HOUR  # of what is settled
    known = set(minutes(told, Span(T, start + 2 * HOUR), "Native"))
    assert known == set(range(oldest // 60 * 60, newest, 60))
    assert sum(len(counts.users) for counts in told._counts.values()) == (newest - oldest) // 20
