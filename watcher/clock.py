"""The only module that reads a clock or sleeps.

Two kinds of time exist and are never mixed (design, invariant 12):

* the *run clock* (`Clock`): schedule, `for`, quotas, token lifetimes and `Retry-After`.
  In production it is the wall clock; in the demo and in tests it is virtual, `epoch + rate x monotonic`,
  and the emulator shares it, so that a day can pass in seconds.
* *real time* (`real_deadline`): transport timeouts, the sender's deadline, drain and watchdog.
  A virtual hour must not make a socket wait shorter than the kernel needs.

An instant is a float of Unix seconds and a duration a float of seconds, everywhere inside the program.
`datetime` was considered (most anchors use it); vendors speak whole Unix seconds, points live in numpy columns of them,
and one representation with conversion only where text leaves (`rfc3339`) leaves no place for a zone to go missing.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol
from zoneinfo import ZoneInfo

import anyio

MINUTE = 60
HOUR = 3600
DAY = 86_400

_RECHECK = 30.0  # seconds of run time after which a sleeper looks at the clock again: a stepped clock is noticed


class Clock(Protocol):
    """The run clock."""

    @property
    def rate(self) -> float:
        """Run seconds per real second: 1 in production."""
        ...

    @property
    def virtual(self) -> bool:
        """True where time may jump while a thread works, so that threads must run inline."""
        ...

    def now(self) -> float:
        """The instant, in Unix seconds. May step in production, as wall clocks do."""
        ...

    def monotonic(self) -> float:
        """Run seconds since some start; never steps. For telling a stepped clock from elapsed time."""
        ...

    async def sleep_until(self, at: float) -> None:
        """Return once `now() >= at`; at once where it already is.

        Also once as much time has passed as lay before `at` when called: a clock set back must not make a sleeper
        oversleep. Who waits for an instant looks again when woken.
        """
        ...


class WallClock:
    """The machine's clock: what production runs on."""

    rate = 1.0
    virtual = False

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        """Counts while the machine sleeps, so that waking up is not taken for a stepped clock."""
        return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()

    async def sleep_until(self, at: float) -> None:
        await _sleep_until(self, at)


class VirtualClock:
    """`epoch + rate x monotonic`, on the event loop's own clock.

    On the loop's clock, because trio's autojumping test clock then moves this one too. Two processes share a virtual
    clock by agreeing on `epoch` and `started` (a reading of `CLOCK_MONOTONIC`, which Linux shares between processes).
    """

    def __init__(self, *, epoch: float, rate: float = 1.0, started: float | None = None, jumping: bool = False) -> None:
        self.rate = rate
        self.virtual = jumping
        self._epoch = epoch
        self._started = started

    def now(self) -> float:
        return self._epoch + self.monotonic()

    def monotonic(self) -> float:
        if self._started is None:
            self._started = self._real()
        return (self._real() - self._started) * self.rate

    def _real(self) -> float:
        return anyio.current_time() if self.virtual else time.monotonic()

    async def sleep_until(self, at: float) -> None:
        await _sleep_until(self, at)


def virtual_clock(text: str) -> VirtualClock:
    """`EPOCH,RATE,STARTED`: a clock that several processes share, for campaigns on accelerated time."""
    epoch, rate, started = (float(part) for part in text.split(","))
    return VirtualClock(epoch=epoch, rate=rate, started=started)


async def _sleep_until(clock: Clock, at: float) -> None:
    over = clock.monotonic() + max(0.0, at - clock.now())
    while (left := min(at - clock.now(), over - clock.monotonic())) > 0:  # noqa: ASYNC110 - a clock may step
        await anyio.sleep((left if clock.virtual else min(left, _RECHECK)) / clock.rate)


async def sleep(clock: Clock, seconds: float) -> None:
    """Sleep for `seconds` of run time."""
    await clock.sleep_until(clock.now() + seconds)


@contextmanager
def real_deadline(seconds: float) -> Iterator[anyio.CancelScope]:
    """Cancel the block after `seconds` of real time; `scope.cancelled_caught` says whether it happened."""
    with anyio.move_on_after(seconds) as scope:
        yield scope


async def real_sleep(seconds: float) -> None:
    """Sleep for `seconds` of real time."""
    await anyio.sleep(seconds)


def real_monotonic() -> float:
    """Real seconds since some start, for measuring how long something took."""
    return time.monotonic()


def cpu_seconds() -> float:
    """CPU seconds of this process, for the program's own cost."""
    return time.process_time()


def boot_id(clock: Clock) -> str:
    """Names this boot of the machine, within which `monotonic` readings of two processes compare; empty if not."""
    if not isinstance(clock, WallClock):
        return ""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def rfc3339(at: float | None) -> str | None:
    """`2026-01-31T10:02:20Z`; fractions are kept to the millisecond where there are any.

    None stays None, and so does what the calendar does not have: instants of vendors come here as well.
    """
    if at is None or not math.isfinite(at):
        return None
    try:
        whole = datetime.fromtimestamp(math.floor(at), UTC).strftime("%Y-%m-%dT%H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return None
    millis = int((at - math.floor(at)) * 1000)
    return f"{whole}.{millis:03d}Z" if millis else f"{whole}Z"


def hhmm(at: float) -> str:
    """`10:02` in UTC, for sentences."""
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M")


def wall_time(at: float, zone: str) -> tuple[int, int]:
    """What a wall clock in a time zone shows: the day of the week (0 is Monday) and the minute of the day.

    Raises `ValueError` or `KeyError` where no such zone is known.
    """
    local = datetime.fromtimestamp(at, ZoneInfo(zone))
    return local.weekday(), local.hour * 60 + local.minute


def parse_rfc3339(text: str) -> float:
    """Unix seconds of `2026-01-31T10:02:20Z` or with an offset. Raises `ValueError`, also where the zone is missing."""
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError("has no time zone; write it like 2026-01-31T10:02:20Z")
    return at.timestamp()


def day_start(at: float) -> float:
    """00:00 UTC of the day `at` lies in: where daily quotas begin."""
    return math.floor(at / DAY) * float(DAY)


def minute_start(at: float) -> float:
    """The start of the UTC minute `at` lies in."""
    return math.floor(at / MINUTE) * float(MINUTE)
