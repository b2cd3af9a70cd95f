"""Async tests run in virtual time unless their folder says otherwise (`tests/real/` runs on asyncio, in real time)."""

from __future__ import annotations

import os
from typing import Any

import hypothesis
import pytest
import trio.testing

from watcher.clock import VirtualClock

hypothesis.settings.register_profile("default", deadline=None, print_blob=True)
hypothesis.settings.register_profile("soak", deadline=None, print_blob=True, max_examples=10_000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

EPOCH = 1_767_225_600.0  # 2026-01-01T00:00:00Z, a Thursday


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """Every sleep jumps to the next deadline: a day passes in seconds."""
    return "trio", {"clock": trio.testing.MockClock(autojump_threshold=0)}


@pytest.fixture
def clock() -> VirtualClock:
    """The run clock of a test in virtual time: starts at `EPOCH`."""
    return VirtualClock(epoch=EPOCH, jumping=True)
