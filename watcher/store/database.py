"""One SQLite connection as the store needs it: durable, one caller at a time, its errors in our words.

WAL, so that readers (`export`, `alerts`) and the daemon never wait for each other. `synchronous=FULL`, because in WAL
mode anything less acknowledges a commit that a power cut can take back, and then a restart would spend a budget twice
or repeat a page; it costs one fsync a commit, and we commit a few times a minute. Transactions are begun by hand
(`isolation_level=None`): the implicit ones of the sqlite3 module begin too late to cover what was read first.

Callers may come from any thread, one at a time; the lock makes that so where they forget.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from watcher.errors import StoreError, StoreRefused
from watcher.store import packing, schema

_BUSY_TIMEOUT = 2.0  # seconds to wait for a foreign program (a backup, a shell) that holds the write lock
_WAL_LIMIT = 64 * 1024 * 1024  # bytes the WAL file is cut back to; it grows past that only under a long reader

Row = tuple[Any, ...]  # as SQLite gives it: the reader knows each column's type


class Database:
    """An open connection. Raises `StoreError` from every method."""

    def __init__(self, path: Path, *, readonly: bool) -> None:
        self.path = path
        self._lock = threading.Lock()
        with mapped(path):
            try:
                self._connection = _open_readonly(path) if readonly else _open(path)
            except StoreError as error:
                raise StoreError(f"{path} {error}") from error

    def rows(self, sql: str, values: Sequence[object] = ()) -> list[Row]:
        """Every row of a query."""
        with self._lock, mapped(self.path):
            return self._connection.execute(sql, values).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """All that happens inside is durable once the block is left, or never happened."""
        with self._lock, mapped(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield Transaction(self._connection)
                self._connection.execute("COMMIT")
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    def close(self) -> None:
        """Write back the WAL and let go of the file. Closing twice is fine."""
        with self._lock, mapped(self.path):
            self._connection.close()


class Transaction:
    """What can be done inside a transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def rows(self, sql: str, values: Sequence[object] = ()) -> list[Row]:
        """Every row of a query."""
        return self._connection.execute(sql, values).fetchall()

    def run(self, sql: str, values: Sequence[object] = ()) -> int:
        """Carry out one statement; the number of rows it changed."""
        return self._connection.execute(sql, values).rowcount

    def walk(self, sql: str, values: Sequence[object] = ()) -> Iterator[Row]:
        """The rows of a query, read as they are asked for."""
        yield from self._connection.execute(sql, values)

    def run_many(self, sql: str, values: Iterable[Sequence[object]]) -> None:
        """Carry out one statement for each of `values`."""
        self._connection.executemany(sql, values)


def _open(path: Path) -> sqlite3.Connection:
    _create(path)
    connection = sqlite3.connect(path, timeout=_BUSY_TIMEOUT, isolation_level=None, check_same_thread=False)
    try:
        schema.version_of(connection)  # before anything is written into a file that may not be ours
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute(f"PRAGMA journal_size_limit = {_WAL_LIMIT}")
        schema.migrate(connection)
        packing.pack_rows(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _open_readonly(path: Path) -> sqlite3.Connection:
    if not path.exists():
        raise StoreError("does not exist: start the daemon once, or name the state that it uses")
    uri = f"{path.absolute().as_uri()}?mode=ro"
    connection = sqlite3.connect(uri, uri=True, timeout=_BUSY_TIMEOUT, isolation_level=None, check_same_thread=False)
    try:
        version, known = schema.version_of(connection), len(schema.MIGRATIONS)
        if version > known:
            raise StoreError(schema.newer_than_known(version, known))
        if version < known:
            raise StoreError("was written by an older release: start the daemon once, it brings the state up to date")
        if packing.has_rows(connection):
            raise StoreError("is being brought up to date by the daemon: wait for it, or start it once more")
    except BaseException:
        connection.close()
        raise
    return connection


def _create(path: Path) -> None:
    """Make the file, for its owner alone; SQLite gives its side files the same mode."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return
    os.close(file)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)  # the name of the file, too, survives a power cut
    finally:
        os.close(folder)


@contextmanager
def mapped(path: Path) -> Iterator[None]:
    """Errors of SQLite and the file system as `StoreError`: which file, what, and what to do.

    So are values that SQLite has no form for (a name with half of a surrogate pair, an integer beyond 64 bits).
    """
    try:
        yield
    except sqlite3.Error as error:
        raise StoreError(f"{path}: {_explain(path, error)}") from error
    except (UnicodeEncodeError, OverflowError) as error:
        raise StoreRefused(
            f"{path}: a value cannot be stored ({type(error).__name__}): mend what it comes from"
        ) from error
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror or error}: {_remedy(path)}") from error


_DAMAGED = (
    "is damaged: stop the daemon, move the file and its -wal away, and start again or restore a backup; "
    "`sqlite3 FILE .recover` saves what can be read"
)


def _explain(path: Path, error: sqlite3.Error) -> str:
    match getattr(error, "sqlite_errorcode", 0) & 0xFF:  # the low byte is the kind, the rest the detail
        case sqlite3.SQLITE_FULL:
            return f"the disk is full: free space under {path.parent}"
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return _DAMAGED
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
            return f"{error}: {_remedy(path)}"
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return "another program holds the state's write lock: end it"
    return str(error)


def _remedy(path: Path) -> str:
    return f"{path.parent} must be a folder that this user may write to, on a file system with space left"
