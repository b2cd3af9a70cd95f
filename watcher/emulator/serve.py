"""`watcher emulate`: one vendor's API over HTTP or HTTPS until a signal stops it."""

from __future__ import annotations

import signal
from pathlib import Path

import anyio

from watcher import log
from watcher.clock import Clock
from watcher.emulator.agora import build_agora
from watcher.emulator.scenario import read
from watcher.httpserver import serve


async def emulate(
    *, vendor: str, scenario: Path, host: str, port: int, clock: Clock, tls_cert: Path | None, tls_key: Path | None
) -> None:
    """Serve `vendor` from a scenario file. Raises `ConfigError` or `ListenError`."""
    assert vendor == "agora", "the command line offers no other"
    emulator = build_agora(read(scenario, epoch=clock.now()), clock)
    async with anyio.create_task_group() as tasks:
        bound = await tasks.start(
            lambda task_status: serve(
                emulator.app,
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
