"""From `state: sqlite:///…` to an open store.

A state in memory is not offered: it would page again for everything after each restart, and forget what was spent.
"""

from __future__ import annotations

from pathlib import Path

from watcher.errors import StoreError
from watcher.store.database import Database, mapped
from watcher.store.lock import StateLock
from watcher.store.reader import SqliteReader
from watcher.store.sqlite import SqliteStore

_PREFIX = "sqlite:///"


def state_path(url: str) -> Path:
    """The file a state URL names: `sqlite:////absolute/path` or `sqlite:///relative/path`. Raises ValueError."""
    path = url.removeprefix(_PREFIX)
    if path == url or not path.strip("/ ") or path.endswith("/") or path == ":memory:" or "\0" in path:
        raise ValueError("is not a state; write sqlite:////absolute/path or sqlite:///relative/path")
    return Path(path)


def open_store(url: str) -> SqliteStore:
    """Open the state, made new or brought up to date where needed, and hold it until `close` or the process's end.

    Its folder is made where it does not exist, for its owner alone. Raises `StateLocked` where another process holds
    it, and `StoreError` where it cannot be used, with what to do.
    """
    path = _path(url)
    with mapped(path):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = StateLock(path.with_name(f"{path.name}.lock"))
    try:
        return SqliteStore(database=Database(path, readonly=False), lock=lock)
    except BaseException:
        lock.release()
        raise


def open_readonly(url: str) -> SqliteReader:
    """Open the state for reading, beside a daemon or without one. Raises `StoreError`."""
    return SqliteReader(database=Database(_path(url), readonly=True))


def _path(url: str) -> Path:
    try:
        return state_path(url)
    except ValueError as error:
        raise StoreError(f"{url} {error}") from None
