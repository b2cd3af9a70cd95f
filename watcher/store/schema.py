"""The tables, and how an older state becomes one of today.

Migrations are only ever appended. Each runs in one transaction with its version number, so that a crash leaves the
version before it. A state newer than this program is refused: an older program would miss what the newer one records.

What is queried is a column; the rest of a record is its JSON body, which a person can read with the `sqlite3` shell. A
column beside a body repeats a part of it and is always written with it.

Sizes decide the shape of the points alone: 1,000 series keep 130 million of them in 30 days. So a series is named once,
a point is its start, its value and its weight, 24 bytes, packed by the hour (`packing`), which makes 26 to 40 on disk.
Hours are numbered rows with an index beside them: in a table without numbers (WITHOUT ROWID) a value above a kilobyte
has a page of its own, and hours of minutes took twice the room. All tables are numbered in the order recorded (`n`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from watcher.errors import StoreError

APPLICATION_ID = 0x77746372  # "wtcr": tells our file from any other SQLite file

_V1 = (
    """
    CREATE TABLE series (
      id INTEGER PRIMARY KEY,
      account TEXT NOT NULL,
      provider TEXT NOT NULL,
      project TEXT NOT NULL,
      product TEXT NOT NULL,
      channel TEXT NOT NULL,
      signal TEXT NOT NULL,
      width INTEGER NOT NULL,  -- seconds; a series has one window length
      UNIQUE (account, provider, project, product, channel, signal)
    ) STRICT
    """,
    """
    CREATE TABLE points (
      series_id INTEGER NOT NULL REFERENCES series (id),
      start INTEGER NOT NULL,
      value REAL NOT NULL,
      weight REAL,
      PRIMARY KEY (series_id, start)
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE covered (
      query TEXT PRIMARY KEY,
      until INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE gaps (
      query TEXT NOT NULL,
      start INTEGER NOT NULL,
      "end" INTEGER NOT NULL,
      noticed_at REAL NOT NULL,
      reason TEXT NOT NULL,
      PRIMARY KEY (query, start, "end")
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX gaps_by_time ON gaps (noticed_at)",
    """
    CREATE TABLE alerts (
      alert_id TEXT PRIMARY KEY,
      rule TEXT NOT NULL,
      body TEXT NOT NULL
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE transitions (
      n INTEGER PRIMARY KEY,
      alert_id TEXT NOT NULL,
      seq INTEGER NOT NULL,
      state TEXT NOT NULL,
      at INTEGER NOT NULL,
      known_at REAL NOT NULL,
      body TEXT NOT NULL,
      UNIQUE (alert_id, seq)
    ) STRICT
    """,
    "CREATE INDEX transitions_by_time ON transitions (known_at)",
    """
    CREATE TABLE notifications (
      n INTEGER PRIMARY KEY,
      id TEXT NOT NULL UNIQUE,
      target TEXT NOT NULL,
      delivery TEXT NOT NULL,
      created_at REAL NOT NULL,
      body TEXT NOT NULL
    ) STRICT
    """,
    "CREATE INDEX notifications_unsent ON notifications (target, n) WHERE delivery IN ('queued', 'sending')",
    "CREATE INDEX notifications_by_time ON notifications (created_at)",
    """
    CREATE TABLE obligations (
      n INTEGER PRIMARY KEY,
      id TEXT NOT NULL UNIQUE,
      target TEXT NOT NULL,
      alert_id TEXT NOT NULL,
      seq INTEGER NOT NULL,
      created_at REAL NOT NULL,
      route TEXT NOT NULL,
      state TEXT NOT NULL CHECK (state IN ('open', 'discharged', 'dropped')),
      notification TEXT REFERENCES notifications (id),
      reason TEXT,
      dropped_at REAL,
      FOREIGN KEY (alert_id, seq) REFERENCES transitions (alert_id, seq),
      CHECK ((state = 'discharged') = (notification IS NOT NULL)),
      CHECK ((state = 'dropped') = (reason IS NOT NULL))
    ) STRICT
    """,
    "CREATE INDEX obligations_open ON obligations (target, n) WHERE state = 'open'",
    "CREATE INDEX obligations_of_transition ON obligations (alert_id, seq)",
    "CREATE INDEX obligations_of_notification ON obligations (notification) WHERE notification IS NOT NULL",
    "CREATE INDEX obligations_by_time ON obligations (created_at)",
    """
    CREATE TABLE spends (
      id TEXT PRIMARY KEY,
      account TEXT NOT NULL,
      at REAL NOT NULL,
      skew REAL NOT NULL,
      units REAL NOT NULL,
      pools TEXT NOT NULL
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX spends_by_time ON spends (account, at)",
    """
    CREATE TABLE notes (
      account TEXT NOT NULL,
      key TEXT NOT NULL,
      value TEXT NOT NULL,
      PRIMARY KEY (account, key)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE TABLE probe (id INTEGER PRIMARY KEY CHECK (id = 1), count INTEGER NOT NULL) STRICT",
)

_V2 = (  # silences, acknowledgements, and where a target stands with an alert
    """
    CREATE TABLE silences (
      n INTEGER PRIMARY KEY,
      id TEXT NOT NULL UNIQUE,
      ends_at REAL NOT NULL,
      body TEXT NOT NULL
    ) STRICT
    """,
    "CREATE INDEX silences_by_end ON silences (ends_at)",
    """
    CREATE TABLE acks (
      alert_id TEXT PRIMARY KEY,
      at REAL NOT NULL,
      body TEXT NOT NULL
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX obligations_by_target ON obligations (target, alert_id, n)",
)

_V3 = (  # points by the hour; `packing.pack_rows` follows
    """
    CREATE TABLE hours (
      n INTEGER PRIMARY KEY,
      series_id INTEGER NOT NULL REFERENCES series (id),
      begin INTEGER NOT NULL,
      points BLOB NOT NULL CHECK (length(points) % 24 = 0),
      UNIQUE (series_id, begin)
    ) STRICT
    """,
)

MIGRATIONS: Sequence[Sequence[str]] = (_V1, _V2, _V3)


def version_of(connection: sqlite3.Connection) -> int:
    """The schema version of a state: 0 for a new file. Raises `StoreError` where the file is something else."""
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    application = int(connection.execute("PRAGMA application_id").fetchone()[0])
    if application != APPLICATION_ID:
        tables = int(connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0])
        if version or application or tables:
            raise StoreError("is a database of another program: give the state a file of its own")
    return version


def migrate(connection: sqlite3.Connection, migrations: Sequence[Sequence[str]] = MIGRATIONS) -> None:
    """Bring a state up to date, one transaction per version. Raises `StoreError` where it is newer than known."""
    version = version_of(connection)
    if version > len(migrations):
        raise StoreError(newer_than_known(version, len(migrations)))
    for number, statements in enumerate(migrations[version:], start=version + 1):
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement in statements:
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {number}")
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")


def newer_than_known(version: int, known: int) -> str:
    """What is wrong with a state of a later release, and what to do."""
    return (
        f"was written by a newer release (schema {version}, this one knows {known}): "
        "run that release, or give this one a state of its own"
    )
