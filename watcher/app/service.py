"""The daemon as a process: configuration file, listener, signals.

SIGTERM and SIGINT drain and stop, SIGHUP reads configuration and packs again; a file that is wrong keeps the running
configuration and says so, in the log and in a gauge (design, invariant 10). The listener's address and the state's URL
are read at the start only: changing them under a running scraper or lock is a restart, and a warning says so.
"""

from __future__ import annotations

import signal
from functools import partial
from pathlib import Path

import anyio

from watcher import log
from watcher.app.daemon import Daemon
from watcher.clock import Clock
from watcher.config import Config, address, load, secrets_missing
from watcher.errors import ConfigError
from watcher.httpserver import serve as serve_http
from watcher.metrics import render
from watcher.web import ReadyReport, build_web
from watcher.workers import ThreadWorkers

_log = log.get("service")


def ready_config(path: Path) -> Config:
    """A configuration whose secrets are there. Raises `ConfigError` with everything that is wrong."""
    config = load(path)
    if missing := secrets_missing(config):
        raise ConfigError(missing)
    return config


async def serve(path: Path, *, clock: Clock) -> None:
    """Run the daemon of a configuration file until a signal stops it.

    Raises `ConfigError`, `StateLocked`, `StoreError` or `ListenError` where it cannot start.
    """
    config = ready_config(path)
    for warning in config.warnings:
        _log.warning("config_warning", problem=str(warning))
    daemon = Daemon(config=config, clock=clock)
    async with anyio.create_task_group() as tasks:
        host, port = address(config.http.listen)
        listening = anyio.Event()
        web = build_web(
            metrics=lambda: render(daemon.snapshot()),
            ready=partial(_ready, daemon, listening),
            hints=daemon,
            hook_token=lambda: daemon.config.http.hook_token,
        )
        bound = await tasks.start(lambda task_status: serve_http(web, host=host, port=port, task_status=task_status))
        listening.set()
        _log.info("listening", host=host, port=bound)
        tasks.start_soon(_signals, daemon, path)
        await daemon.run()
        tasks.cancel_scope.cancel()
    _log.info("stopped")


async def _ready(daemon: Daemon, listening: anyio.Event) -> ReadyReport:
    """What `/readyz` tells; the configuration is always there, since without one nothing would be listening."""
    return ReadyReport(config=True, state=await daemon.writable(), listener=listening.is_set())


async def _signals(daemon: Daemon, path: Path) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
        async for received in signals:
            if received != signal.SIGHUP:
                _log.info("stopping", signal=signal.Signals(received).name)
                await daemon.stop()
                return
            await _reload(daemon, path)


async def _reload(daemon: Daemon, path: Path) -> None:
    """In a thread, since a thousand rules take a second to read and pages shall leave meanwhile."""
    try:
        config = await ThreadWorkers(1).run(partial(ready_config, path))
    except ConfigError as error:
        daemon.reload_refused()
        _log.error("reload_refused", problems=[str(p) for p in error.problems[:20]], count=len(error.problems))
        return
    except Exception as error:  # noqa: BLE001 - a mistake in reading must not stop what runs
        daemon.reload_refused()
        _log.error("reload_refused", problems=[f"{path}: could not be read ({type(error).__name__})"], count=1)
        return
    for key, old, new in (
        ("state", daemon.config.state, config.state),
        ("http.listen", daemon.config.http.listen, config.http.listen),
    ):
        if old != new:
            _log.warning("needs_restart", key=key)
    daemon.reload(config)
    _log.info("reloaded", accounts=len(config.accounts), rules=len(config.rules))
