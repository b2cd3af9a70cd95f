"""What tests of accounts share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from watcher.store import SqliteStore, open_store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """An empty state."""
    made = open_store(f"sqlite:///{tmp_path / 's.db'}")
    yield made
    made.close()
