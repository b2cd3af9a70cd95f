"""What is written to the state: each method is one transaction, durable on return (design, invariants 1 and 5).

Everything may be said twice. A step that was committed but whose caller died before it knew is committed again after
the restart and changes nothing: a log entry is known by (alert, seq), an obligation and a notification by their ids.
What *contradicts* the record is refused as a whole: another entry under the same number, an obligation discharged by
two messages. That is a fault of the program, and taking the first or the last word would hide a page that was lost or
sent twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from watcher.errors import StoreRefused
from watcher.model import (
    Commit,
    Gap,
    Notification,
    Obligation,
    Points,
    SavedAlert,
    Spend,
    Store,
    StoreReader,
    Transition,
)
from watcher.store.codec import to_text
from watcher.store.database import Database, Transaction
from watcher.store.lock import StateLock
from watcher.store.packing import by_hour, merged
from watcher.store.prune import prune
from watcher.store.reader import SERIES, SqliteReader


class SqliteStore(SqliteReader):
    """The port (`model.Store`) on one SQLite file. `open_store` makes it."""

    def __init__(self, *, database: Database, lock: StateLock) -> None:
        super().__init__(database=database)
        self._lock: StateLock | None = lock

    # ── the step ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def commit(self, step: Commit) -> None:
        """All of a step or nothing. An alert that the step both forgets and saves is saved."""
        with self._db.transaction() as tx:
            for column in step.points:
                _put_points(tx, column)
            tx.run_many("INSERT OR REPLACE INTO covered (query, until) VALUES (?, ?)", step.covered.items())
            _put_gaps(tx, step.gaps)
            tx.run_many("DELETE FROM alerts WHERE alert_id = ?", ((alert,) for alert in step.forgotten))
            _put_alerts(tx, step.alerts)
            for transition in step.transitions:
                _put_transition(tx, transition)
            for obligation in step.obligations:
                _put_obligation(tx, obligation)
            tx.run_many(
                "INSERT INTO silences (id, ends_at, body) VALUES (?, ?, ?)"
                " ON CONFLICT (id) DO UPDATE SET ends_at = excluded.ends_at, body = excluded.body",
                ((silence.id, silence.ends_at, to_text(silence)) for silence in step.silences),
            )
            tx.run_many(
                "INSERT OR REPLACE INTO acks (alert_id, at, body) VALUES (?, ?, ?)",
                ((ack.alert_id, ack.at, to_text(ack)) for ack in step.acks),
            )

    # ── obligations and notifications ────────────────────────────────────────────────────────────────────────────────

    def drop_obligations(self, reasons: Mapping[str, str], at: float) -> None:
        """Obligation id -> reason. One that is dropped already keeps its first reason; a discharged one is refused."""
        with self._db.transaction() as tx:
            for id_, reason in reasons.items():
                dropped = tx.run(
                    "UPDATE obligations SET state = 'dropped', reason = ?, dropped_at = ?"
                    " WHERE id = ? AND state = 'open'",
                    (reason, at, id_),
                )
                if not dropped and _state_of(tx, id_)[0] != "dropped":
                    raise StoreRefused(f"obligation {id_} cannot be dropped: it was discharged")

    def record_notification(self, notification: Notification) -> None:
        """Insert with the obligations it discharges, in one transaction. Recorded again, its newest state counts.

        Raises `StoreError` where one of them is unknown, dropped, or discharged by another notification.
        """
        with self._db.transaction() as tx:
            tx.run(
                "INSERT INTO notifications (id, target, delivery, created_at, body) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (id) DO UPDATE SET delivery = excluded.delivery, body = excluded.body",
                (
                    notification.id,
                    notification.target,
                    str(notification.delivery),
                    notification.created_at,
                    to_text(notification),
                ),
            )
            for id_ in notification.obligations:
                discharged = tx.run(
                    "UPDATE obligations SET state = 'discharged', notification = ? WHERE id = ? AND state = 'open'",
                    (notification.id, id_),
                )
                if not discharged and (was := _state_of(tx, id_)) != ("discharged", notification.id):
                    raise StoreRefused(
                        f"obligation {id_} cannot be discharged by {notification.id}: it was {was[0]} {was[1] or ''}"
                    )

    def update_notification(self, notification: Notification) -> None:
        """Its newest delivery state, attempts and times. Raises `StoreError` where it was never recorded."""
        with self._db.transaction() as tx:
            if not tx.run(
                "UPDATE notifications SET delivery = ?, body = ? WHERE id = ?",
                (str(notification.delivery), to_text(notification), notification.id),
            ):
                raise StoreRefused(f"notification {notification.id} was never recorded")

    # ── the ledger ───────────────────────────────────────────────────────────────────────────────────────────────────

    def record_spend(self, spend: Spend) -> None:
        """Durable on return. Recording the same id again replaces it (a stamp corrected by the vendor's clock)."""
        with self._db.transaction() as tx:
            tx.run(
                "INSERT OR REPLACE INTO spends (id, account, at, skew, units, pools) VALUES (?, ?, ?, ?, ?, ?)",
                (spend.id, spend.account, spend.at, spend.skew, spend.units, to_text(spend.pools)),
            )

    def refund(self, spend_id: str) -> None:
        """Forget a spend, durably. One that is not there (refunded before a crash) is fine."""
        with self._db.transaction() as tx:
            tx.run("DELETE FROM spends WHERE id = ?", (spend_id,))

    def note(self, account: str, key: str) -> str | None:
        """A small durable fact about an account (learned clock offset, blind until)."""
        rows = self._db.rows("SELECT value FROM notes WHERE account = ? AND key = ?", (account, key))
        return str(rows[0][0]) if rows else None

    def put_note(self, account: str, key: str, value: str) -> None:
        """Write or replace a note."""
        with self._db.transaction() as tx:
            tx.run("INSERT OR REPLACE INTO notes (account, key, value) VALUES (?, ?, ?)", (account, key, value))

    # ── upkeep ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def prune(self, *, points_before: int, records_before: float) -> int:
        """Forget some old points and finished records, in one short transaction; the number of rows removed.

        One call removes a bounded batch, so that nobody waits long behind it: call again until it returns 0.
        """
        with self._db.transaction() as tx:
            return prune(tx, points_before=points_before, records_before=records_before)

    def probe(self) -> None:
        """Raise `StoreError` unless a write would succeed now: by writing, since only a commit meets the full disk."""
        with self._db.transaction() as tx:
            tx.run("INSERT INTO probe (id, count) VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET count = count + 1")

    def close(self) -> None:
        """Let go of the file, then of the lock. Closing twice is fine."""
        try:
            super().close()
        finally:
            if self._lock is not None:
                self._lock.release()
                self._lock = None


def _put_points(tx: Transaction, column: Points) -> None:
    """Insert or revise. A series whose window length changed begins anew: its old points lie on another grid."""
    if not len(column):
        return
    found = tx.rows(f"SELECT id, width FROM series WHERE {SERIES}", column.series)  # noqa: S608 - our own text
    if found:
        ((series, width),) = found
        if width != column.width:
            tx.run("DELETE FROM hours WHERE series_id = ?", (series,))
            tx.run("UPDATE series SET width = ? WHERE id = ?", (column.width, series))
    else:
        ((series,),) = tx.rows(
            "INSERT INTO series (account, provider, project, product, channel, signal, width)"
            " VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING id",
            (*column.series, column.width),
        )
    for begin, rows in by_hour(column):
        known = tx.rows("SELECT points FROM hours WHERE series_id = ? AND begin = ?", (series, begin))
        tx.run(
            "INSERT INTO hours (series_id, begin, points) VALUES (?, ?, ?)"
            " ON CONFLICT (series_id, begin) DO UPDATE SET points = excluded.points",
            (series, begin, merged(known[0][0] if known else b"", rows)),
        )


def _put_gaps(tx: Transaction, gaps: Iterable[Gap]) -> None:
    tx.run_many(
        'INSERT INTO gaps (query, start, "end", noticed_at, reason) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING',
        ((gap.query, gap.span.start, gap.span.end, gap.noticed_at, gap.reason) for gap in gaps),
    )


def _put_alerts(tx: Transaction, alerts: Sequence[SavedAlert]) -> None:
    tx.run_many(
        "INSERT OR REPLACE INTO alerts (alert_id, rule, body) VALUES (?, ?, ?)",
        ((alert.alert_id, alert.rule, to_text(alert.body)) for alert in alerts),
    )


def _put_transition(tx: Transaction, entry: Transition) -> None:
    """Append. The same entry again (state and event time) changes nothing; another under its number is refused."""
    added = tx.run(
        "INSERT INTO transitions (alert_id, seq, state, at, known_at, body) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (alert_id, seq) DO NOTHING",
        (entry.alert_id, entry.seq, str(entry.state), entry.at, entry.known_at, to_text(entry)),
    )
    if not added:
        ((state, at),) = tx.rows(
            "SELECT state, at FROM transitions WHERE alert_id = ? AND seq = ?", (entry.alert_id, entry.seq)
        )
        if (state, at) != (str(entry.state), entry.at):
            raise StoreRefused(
                f"entry {entry.seq} of alert {entry.alert_id} ({entry.rule}) is recorded as {state} at {at}, "
                f"not {entry.state} at {entry.at}"
            )


def _put_obligation(tx: Transaction, owed: Obligation) -> None:
    """Append. One that is known stays as it is, discharged or dropped as it may be by now."""
    tx.run(
        "INSERT INTO obligations (id, target, alert_id, seq, created_at, route, state, reason, dropped_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
        (
            owed.id,
            owed.target,
            owed.transition.alert_id,
            owed.transition.seq,
            owed.created_at,
            to_text(owed.route),
            "dropped" if owed.dropped else "open",
            owed.dropped or None,
            owed.created_at if owed.dropped else None,
        ),
    )


def _state_of(tx: Transaction, id_: str) -> tuple[str, str | None]:
    """State and notification of an obligation. Raises `StoreError` where it was never recorded."""
    rows = tx.rows("SELECT state, notification FROM obligations WHERE id = ?", (id_,))
    if not rows:
        raise StoreRefused(f"obligation {id_} was never recorded")
    return rows[0][0], rows[0][1]


_: tuple[type[Store], type[StoreReader]] = (SqliteStore, SqliteReader)
