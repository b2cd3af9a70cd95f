"""The rates follow the risk of each query's own place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from watcher.clock import DAY
from watcher.model import Query, Series
from watcher.schedule import Load, QueryState
from watcher.schedule.load import WEEK
from watcher.schedule.rates import solve

_NOW = 1_767_571_200.0 + DAY / 2
_RARELY = 1e9  # seconds: promises that never decide a rate


def _state(name: str, load: Load | None) -> QueryState:
    series = Series("acme", "agora", "classroom", name, "", "video_freeze_ratio")
    query = Query(id=name, account="acme", series=(series,), pools=("p",), width=20, delay=40.0, reach=2_400.0)
    return QueryState(query=query, load=load)


def _load(users: float) -> Load:
    return Load(week=np.full(WEEK, users), average=1.0, bend=0.0, bent_at=0)


def test_each_query_is_weighed_by_its_own_place() -> None:
    """With the square root of the users there; whose users are not known counts as the mean of the others."""
    few, many = _load(1.0), _load(16.0)
    states = [_state("a", few), _state("b", many), _state("c", None), _state("d", many), _state("e", replace(few))]
    rates = solve(states, [_RARELY] * 5, now=_NOW, resets_at=_NOW + DAY / 2, reserve=0.0, left=100.0).now
    assert rates / rates[0] == pytest.approx([1.0, 4.0, np.sqrt(6.0), 4.0, 1.0])
    assert rates.sum() * DAY / 2 == pytest.approx(100.0)
