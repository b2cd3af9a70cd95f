"""A task that crashes is begun anew, ever more slowly (invariant 9)."""

from __future__ import annotations

import anyio
import pytest

from watcher.app.supervise import CALM, FIRST_WAIT, supervise
from watcher.clock import VirtualClock, sleep


async def test_crashes_are_spaced_and_counted_and_an_end_is_an_end(clock: VirtualClock) -> None:
    """Three crashes wait 5, 10 and 20 s; returning ends it."""
    began: list[float] = []
    crashes: list[float] = []

    async def work() -> None:
        began.append(clock.monotonic())
        if len(began) <= 3:
            raise RuntimeError("a mistake")

    await supervise("work", work, clock=clock, on_crash=lambda: crashes.append(clock.monotonic()))
    assert len(crashes) == 3
    assert [b - began[0] for b in began] == pytest.approx([0, 5, 15, 35])


async def test_after_a_calm_time_waiting_begins_small_again(clock: VirtualClock) -> None:
    """A crash a day is not a crash loop."""
    began: list[float] = []

    async def work() -> None:
        began.append(clock.monotonic())
        await sleep(clock, CALM + 1)
        if len(began) <= 2:
            raise RuntimeError("a mistake")

    await supervise("work", work, clock=clock, on_crash=lambda: None)
    assert began[2] - began[1] == pytest.approx(CALM + 1 + FIRST_WAIT)


async def test_cancellation_is_not_a_crash(clock: VirtualClock) -> None:
    """Stopping the program begins nothing anew."""
    crashes: list[int] = []
    with anyio.move_on_after(1) as scope:
        await supervise("work", anyio.sleep_forever, clock=clock, on_crash=lambda: crashes.append(1))
    assert scope.cancelled_caught
    assert not crashes
