"""The SQLite store keeps the contract."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path

import pytest

from tests.store.contract import Opener, StoreContract
from watcher.store import open_store


class TestSqlite(StoreContract):
    """Every test of the contract, on files in a folder of its own."""

    @pytest.fixture
    def fresh(self, tmp_path: Path) -> Callable[[], Opener]:
        """Each call names a new file."""
        numbers = count()
        return lambda: partial(open_store, f"sqlite:///{tmp_path}/{next(numbers)}/state.db")
