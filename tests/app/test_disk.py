"""The state cannot be written for an hour: a full disk, a read-only folder (design, invariants 1 and 5).

SQLite itself is told so, in the daemon's own connection, so that everything above it meets the errors it would meet.
`tests/real/test_disk.py` has a process whose disk is really full.
"""

from __future__ import annotations

import sqlite3
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.alerts.fakes import Accept, Fail
from tests.app import town
from tests.app.town import START, Town
from watcher.app.daemon import Daemon
from watcher.clock import MINUTE, VirtualClock
from watcher.errors import StoreError
from watcher.model import Delivery, Spend, State
from watcher.store import open_readonly

FAILING = {"full": "PRAGMA max_page_count = 1", "read-only": "PRAGMA query_only = ON"}
MENDED = {"full": "PRAGMA max_page_count = 4294967294", "read-only": "PRAGMA query_only = OFF"}
"""A count below the file's size means: not one page more."""


@pytest.fixture
def clock() -> VirtualClock:
    """Virtual time from noon on."""
    return VirtualClock(epoch=START, jumping=True)


def at(minutes: float) -> float:
    """So many minutes into the story."""
    return START + minutes * MINUTE


def tell(daemon: Daemon, pragma: str) -> None:
    """To the daemon's own connection: nothing else is where a disk fails."""
    connection: Any = daemon._store._db._connection
    connection.execute(pragma)


@pytest.mark.parametrize("how", FAILING)
async def test_an_hour_without_a_state_that_can_be_written(tmp_path: Path, clock: VirtualClock, how: str) -> None:
    """No request leaves; pages decided before and the operators' own go out, marked; then all goes on, none twice."""
    incidents = [town.incident("classroom", 20 * MINUTE, 70), town.incident("arena", 55 * MINUTE, 90)]
    here = Town(clock=clock, folder=tmp_path, tale=town.story(incidents=incidents))
    pager = here.sender("pager", None)
    pager.default = Fail()
    async with here.running(town.config(tmp_path)) as daemon:
        await clock.sleep_until(at(50))
        assert pager.attempts, "a page was decided, and could not be delivered"
        tell(daemon, FAILING[how])
        _fill(daemon, clock.now())
        broken = clock.now()
        pager.default = Accept()
        await clock.sleep_until(at(110))
        tell(daemon, MENDED[how])
        mended = clock.now()
        await clock.sleep_until(at(200))
        assert not daemon.restarts
    requests = [left for tap in here.taps.values() for left in tap.left]
    assert [left for left in requests if broken < left < mended] == [], "a request left without its record"
    assert [left for left in requests if left > mended]
    _assert_pages(here, broken, mended)
    _assert_record(tmp_path, here)
    told = [(target, len(here.told(target))) for target in here.senders]
    async with here.running(town.config(tmp_path)):
        await clock.sleep_until(at(220))
    assert [(target, len(here.told(target))) for target in here.senders] == told, "a restart repeats nothing"


def _fill(daemon: Daemon, now: float) -> None:
    """Use up the room in the pages that a file has which may not grow: spends of nobody, until no more fit anywhere."""
    for _ in range(3000):
        with suppress(StoreError):
            daemon._store.record_spend(Spend(id=uuid.uuid4().hex, account="", pools=(), at=now, skew=0.0))


def _assert_pages(here: Town, broken: float, mended: float) -> None:
    """The page that was decided before arrives during the fault, and so does the operators', marked."""
    classroom = [(when, title) for when, title in here.told("pager") if "classroom" in title]
    assert [title.partition("]")[0] for _, title in classroom] == ["[FIRING", "[RESOLVED"]
    assert broken < classroom[0][0] < mended < classroom[1][0]
    arena = [title.partition("]")[0] for _, title in here.told("pager") if "arena" in title]
    assert arena == ["[FIRING", "[RESOLVED"]
    own = [s for s in here.senders["ops"].accepted if "WatcherNotDurable" in s.notification.title]
    assert [s.notification.kind for s in own] == ["firing", "resolved"]
    assert broken < own[0].at < broken + 120
    assert "not durable: the state cannot be written" in own[0].notification.text
    assert mended < own[1].at < mended + 120
    assert "not durable" not in own[1].notification.text


def _assert_record(folder: Path, here: Town) -> None:
    """Nothing is corrupted, nothing is owed, and everything that was accepted is on the record under its own id."""
    with sqlite3.connect(folder / "state.db") as state:
        assert state.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert state.execute("PRAGMA foreign_key_check").fetchall() == []
    reader = open_readonly(f"sqlite:///{folder}/state.db")
    notifications, obligations = reader.notifications(0.0), reader.obligations()
    log = reader.transitions()
    reader.close()
    said = {duty for n in notifications for duty in n.obligations}
    assert [o.id for o in obligations if not o.dropped and o.id not in said] == []
    assert {n.delivery for n in notifications} == {Delivery.SENT}
    accepted = [s.notification.id for sender in here.senders.values() for s in sender.accepted]
    assert sorted(accepted) == sorted(n.id for n in notifications)
    own = [t.state for t in log if t.rule == "WatcherNotDurable"]
    assert own == [State.FIRING, State.RESOLVED]
    for account in ("acme", "beta"):
        assert all(row["refused"] == 0 for row in here.quotas(account))
