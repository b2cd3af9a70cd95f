"""The durable state: points, alerts, the log of transitions, obligations, notifications, and what was spent.

SQLite by default, since one process on one machine needs no server to be up before it can page. The port
(`model.Store`) is free of its particulars; a store for several replicas joins here, chosen by the URL's scheme, and
must pass the same suite (`tests/store/contract.py`). Nothing here decides what an alert or a budget means (design,
sections 3 and 4).
"""

from watcher.store.opening import open_readonly, open_store, state_path
from watcher.store.reader import SqliteReader
from watcher.store.sqlite import SqliteStore

__all__ = ["SqliteReader", "SqliteStore", "open_readonly", "open_store", "state_path"]
