"""`watcher emulate`: one vendor's API over HTTP or HTTPS until a signal stops it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import anyio
from starlette.types import ASGIApp

from watcher import log
from watcher.clock import Clock
from watcher.emulator.agora import build_agora
from watcher.emulator.scenario import read as read_agora
from watcher.emulator.twilio.scenario import read as read_twilio
from watcher.emulator.twilio.server import build_twilio
from watcher.emulator.vonage.scenario import read as read_vonage
from watcher.emulator.vonage.server import build_vonage
from watcher.httpserver import serve


async def emulate(
    *, vendor: str, scenario: Path, host: str, port: int, clock: Clock, tls_cert: Path | None, tls_key: Path | None
) -> None:
    """Serve `vendor` from a scenario file. Raises `ConfigError` or `ListenError`."""
    app, run = _built(vendor, scenario, clock)
    async with anyio.create_task_group() as tasks:
        if run is not None:
            tasks.start_soon(run)
        bound = await tasks.start(
            lambda task_status: serve(
                app,
                host=host,
                port=port,
                tls_cert=str(tls_cert) if tls_cert else None,
                tls_key=str(tls_key) if tls_key else None,
                date_header=False,  # the emulator's own, from the run clock
                task_status=task_status,
            )
        )
        log.get("emulator").info("listening", vendor=vendor, host=host, port=bound)
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async for _ in signals:
                break
        tasks.cancel_scope.cancel()


def _built(vendor: str, scenario: Path, clock: Clock) -> tuple[ASGIApp, Callable[[], Coroutine[Any, Any, None]] | None]:
    """The vendor's app, and what runs beside it (Vonage posts web hooks)."""
    if vendor == "vonage":
        vonage = build_vonage(read_vonage(scenario, epoch=clock.now()), clock)
        return vonage.app, vonage.run
    if vendor == "twilio":
        return build_twilio(read_twilio(scenario, epoch=clock.now()), clock).app, None
    return build_agora(read_agora(scenario, epoch=clock.now()), clock).app, None
