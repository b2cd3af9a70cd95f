"""The one broad `except` of the program: a task that crashes is named, counted and begun anew, ever more slowly.

Nothing is expected to crash; what is expected is a value or one of `errors`. This keeps a mistake in one account from
silencing the others (design, invariant 9), and it waits longer each time, so that a crash loop burns no budget.
"""

from __future__ import annotations

import traceback
from collections.abc import Awaitable, Callable

from watcher import log
from watcher.clock import HOUR, Clock, sleep
from watcher.errors import clip

FIRST_WAIT = 5.0  # run seconds
LONGEST_WAIT = float(HOUR)
CALM = 600.0  # run seconds without a crash after which waiting begins small again


async def supervise(
    name: str, work: Callable[[], Awaitable[None]], *, clock: Clock, on_crash: Callable[[], None]
) -> None:
    """Run `work` until it returns; begin it anew where it crashes."""
    wait = FIRST_WAIT
    while True:
        began = clock.monotonic()
        try:
            return await work()
        except Exception as error:  # noqa: BLE001 - see the module's docstring
            on_crash()
            if clock.monotonic() - began > CALM:
                wait = FIRST_WAIT
            log.get("supervise").error(
                "task_crashed", task=name, error=type(error).__name__, where=_where(error), again_in_seconds=wait
            )
        await sleep(clock, wait)
        wait = min(2 * wait, LONGEST_WAIT)


def _where(error: BaseException) -> list[str]:
    """The last frames as `file:line function`: no values, which could hold secrets."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    frames = traceback.extract_tb(error.__traceback__)[-4:]
    return [clip(f"{f.filename.rpartition('/')[2]}:{f.lineno} {f.name}") for f in frames]
