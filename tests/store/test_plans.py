"""Every query of the port is served by the index made for it, however much the state holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.store.build import FREEZE, T0, column, entry, message, owed
from watcher.model import Commit, SavedAlert, Spend, State
from watcher.store.database import Database, Row, Transaction
from watcher.store.lock import StateLock
from watcher.store.sqlite import SqliteStore


class ExplainingTransaction(Transaction):
    """Notes the plan of each statement before it is carried out."""

    plans: list[str]

    def _explain(self, sql: str, values: Sequence[object]) -> None:
        self.plans += [row[3] for row in super().rows(f"EXPLAIN QUERY PLAN {sql}", values)]

    def rows(self, sql: str, values: Sequence[object] = ()) -> list[Row]:
        self._explain(sql, values)
        return super().rows(sql, values)

    def walk(self, sql: str, values: Sequence[object] = ()) -> Iterator[Row]:
        self._explain(sql, values)
        return super().walk(sql, values)

    def run(self, sql: str, values: Sequence[object] = ()) -> int:
        self._explain(sql, values)
        return super().run(sql, values)


class ExplainingDatabase(Database):
    """Notes the plan of each query."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, readonly=False)
        self.plans: list[str] = []

    def rows(self, sql: str, values: Sequence[object] = ()) -> list[Row]:
        self.plans += [row[3] for row in super().rows(f"EXPLAIN QUERY PLAN {sql}", values)]
        return super().rows(sql, values)

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        with super().transaction():
            transaction = ExplainingTransaction(self._connection)
            transaction.plans = self.plans
            yield transaction


@pytest.fixture
def database(tmp_path: Path) -> Iterator[ExplainingDatabase]:
    """An empty state whose plans are noted."""
    database = ExplainingDatabase(tmp_path / "s.db")
    yield database
    database.close()


@pytest.fixture
def store(database: ExplainingDatabase, tmp_path: Path) -> Iterator[SqliteStore]:
    """A store on it with something in each table."""
    store = SqliteStore(database=database, lock=StateLock(tmp_path / "lock"))
    for number in range(40):
        firing = entry(f"a{number}", 1, State.FIRING)
        store.commit(
            Commit(
                points=[column({T0 + i: 1.0 for i in range(40)}, series=FREEZE._replace(channel=f"c{number}"))],
                covered={f"q{number}": T0},
                alerts=[SavedAlert(alert_id=f"a{number}", rule="r", body={})],
                transitions=[firing],
                obligations=[owed(firing)],
            )
        )
        store.record_notification(message(f"n{number}", owed(firing)))
        store.record_spend(Spend(id=f"s{number}", account="acme", pools=(), at=1.0, skew=5.0))
    database.plans.clear()
    yield store
    store.close()


HOT: dict[str, tuple[Callable[[SqliteStore], object], set[str]]] = {
    "points": (
        lambda s: s.points(FREEZE._replace(channel="c1"), T0),
        {
            "SEARCH series USING INDEX sqlite_autoindex_series_1 (account=? AND provider=? AND project=? AND product=?"
            " AND channel=? AND signal=?)",
            "SEARCH hours USING INDEX sqlite_autoindex_hours_1 (series_id=? AND begin>?)",
        },
    ),
    "open obligations": (
        lambda s: s.open_obligations("slack"),
        {
            "SEARCH o USING INDEX obligations_open (target=?)",
            "SEARCH t USING INDEX sqlite_autoindex_transitions_1 (alert_id=? AND seq=?)",
        },
    ),
    "unsent": (
        lambda s: s.unsent("slack"),
        {"SEARCH notifications USING INDEX notifications_unsent (target=?)"},
    ),
    "spends": (
        lambda s: s.spends("acme", 0.5),
        {"SEARCH spends USING INDEX spends_by_time (account=? AND at>?)"},
    ),
    "an alert's log": (
        lambda s: s.transitions(alert="a1"),
        {"SEARCH transitions USING INDEX sqlite_autoindex_transitions_1 (alert_id=?)"},
    ),
    "a note": (
        lambda s: s.note("acme", "offset"),
        {"SEARCH notes USING PRIMARY KEY (account=? AND key=?)"},
    ),
    "silences": (
        lambda s: s.silences(5.0),
        {"SEARCH silences USING INDEX silences_by_end (ends_at>?)", "USE TEMP B-TREE FOR ORDER BY"},
    ),
    "gaps": (
        lambda s: s.gaps(5.0),
        {"SEARCH gaps USING INDEX gaps_by_time (noticed_at>?)"},
    ),
}


@pytest.mark.parametrize("name", HOT)
def test_hot_queries_search_their_index(name: str, store: SqliteStore, database: ExplainingDatabase) -> None:
    """No scan and no sort, whatever has gathered in the table."""
    call, plan = HOT[name]
    call(store)
    assert set(database.plans) == plan


def test_what_was_said_about_an_alert_is_searched(store: SqliteStore, database: ExplainingDatabase) -> None:
    """By the alert, through its duties; only the rows of one alert are put in order."""
    store.notifications_about("a7", 50)
    store.obligations_about("a7", 50)
    assert not [plan for plan in database.plans if plan.startswith("SCAN")]
    assert {plan.partition(" USING")[0] for plan in database.plans if plan.startswith("SEARCH")} == {
        "SEARCH notifications",
        "SEARCH obligations",
        "SEARCH o",
        "SEARCH t",
    }


def test_reading_a_time_range_searches(store: SqliteStore, database: ExplainingDatabase) -> None:
    """What is read since an instant is found by time, and put in order afterwards."""
    store.transitions(since=5.0)
    store.notifications(5.0)
    store.obligations(5.0)
    assert {p for p in database.plans if "TEMP B-TREE" not in p} == {
        "SEARCH transitions USING INDEX transitions_by_time (known_at>?)",
        "SEARCH notifications USING INDEX notifications_by_time (created_at>?)",
        "SEARCH o USING INDEX obligations_by_time (created_at>?)",
        "SEARCH t USING INDEX sqlite_autoindex_transitions_1 (alert_id=? AND seq=?)",
    }


def test_writing_and_pruning_scan_nothing_that_grows(store: SqliteStore, database: ExplainingDatabase) -> None:
    """Only the few series, queries and gaps are ever walked as a whole."""
    firing = entry("b", 1, State.FIRING)
    store.commit(Commit(points=[column({T0: 1.0})], transitions=[firing], obligations=[owed(firing)]))
    store.record_notification(message("m", owed(firing)))
    store.update_notification(message("m", owed(firing)))
    store.refund("s1")
    store.prune(points_before=T0 + 5, records_before=T0 + 1e6)
    scans = {plan for plan in database.plans if plan.startswith("SCAN")}
    assert scans <= {
        "SCAN series",
        "SCAN series USING COVERING INDEX sqlite_autoindex_series_1",
        "SCAN covered",
        "SCAN spends USING COVERING INDEX spends_by_time",
        "SCAN acks",  # few: people make them
    }
