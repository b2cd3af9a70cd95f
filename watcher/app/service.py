"""The daemon as a process: configuration file, listener, signals, service manager.

SIGTERM and SIGINT drain and stop, SIGHUP reads configuration and packs again; a file that is wrong keeps the running
configuration and says so, in the log and in a gauge (design, invariant 10). The listener's address and the state's URL
are read at the start only: changing them under a running scraper or lock is a restart, and a warning says so.
"""

from __future__ import annotations

import signal
import sys
from functools import partial
from pathlib import Path

import anyio
from anyio.abc import TaskGroup, TaskStatus
from starlette.applications import Starlette

from watcher import log
from watcher.app.daemon import Daemon
from watcher.app.systemd import ServiceManager, service_manager
from watcher.clock import Clock
from watcher.config import Config, load, secrets_missing
from watcher.errors import ConfigError
from watcher.httpserver import serve as serve_http
from watcher.listener import address
from watcher.metrics import render
from watcher.web import Access, ReadyReport, build_probes, build_web
from watcher.workers import ThreadWorkers

GIVE_WAY = 0.0005
"""Seconds after which a thread that computes gives way to the event loop. Python's own 5 ms, met at every turn of a
look while a page is drawn, would add up to a tenth of a second."""

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
    manager = service_manager()
    sys.setswitchinterval(GIVE_WAY)
    config = ready_config(path)
    for warning in config.warnings:
        _log.warning("config_warning", problem=str(warning))
    daemon = Daemon(config=config, clock=clock)
    async with anyio.create_task_group() as tasks:
        listening = anyio.Event()
        metrics, ready = partial(_metrics, daemon), partial(_ready, daemon, listening)
        web = build_web(
            metrics=metrics,
            ready=ready,
            views=daemon.viewing,
            access=Access(
                token=lambda: daemon.config.http.token, proxy=lambda: daemon.config.http.proxy, now=clock.now
            ),
            workers=ThreadWorkers(1),
            vonage=partial(daemon.heard, "vonage"),
            hints=daemon,
            hook_token=lambda: daemon.config.http.hook_token,
        )
        await _listen(tasks, web, config.http.listen)
        if config.http.metrics_listen is not None:
            await _listen(tasks, build_probes(metrics=metrics, ready=ready), config.http.metrics_listen)
        listening.set()
        await tasks.start(partial(_signals, daemon, path, manager))
        tasks.start_soon(manager.keep_fed)
        manager.ready(_status(config))
        await daemon.run()
        tasks.cancel_scope.cancel()
    _log.info("stopped")


async def _listen(tasks: TaskGroup, app: Starlette, listen: str) -> None:
    """Serve an application there until the tasks are cancelled. Raises `ListenError`."""
    host, port = address(listen)
    bound = await tasks.start(lambda task_status: serve_http(app, host=host, port=port, task_status=task_status))
    _log.info("listening", host=host, port=bound)


def _metrics(daemon: Daemon) -> bytes:
    return render(daemon.snapshot())


async def _ready(daemon: Daemon, listening: anyio.Event) -> ReadyReport:
    """What `/readyz` tells; the configuration is always there, since without one nothing would be listening."""
    return ReadyReport(config=True, state=await daemon.writable(), listener=listening.is_set())


def _status(config: Config) -> str:
    return f"{len(config.accounts)} accounts, {len(config.rules)} rules, {len(config.alerts.targets)} targets"


async def _signals(daemon: Daemon, path: Path, manager: ServiceManager, *, task_status: TaskStatus[None]) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
        task_status.started()  # who is told "ready" may reload at once, and SIGHUP unheard would end the process
        async for received in signals:
            if received != signal.SIGHUP:
                _log.info("stopping", signal=signal.Signals(received).name)
                manager.stopping()
                await daemon.stop()
                return
            manager.reloading()
            reloaded = await _reload(daemon, path)
            manager.ready(_status(reloaded) if reloaded else "reload refused, see the log: the old configuration runs")


async def _reload(daemon: Daemon, path: Path) -> Config | None:
    """In a thread, since a thousand rules take a second to read and pages shall leave meanwhile. None: refused."""
    try:
        config = await ThreadWorkers(1).run(partial(ready_config, path))
    except ConfigError as error:
        daemon.reload_refused()
        _log.error("reload_refused", problems=[str(p) for p in error.problems[:20]], count=len(error.problems))
        return None
    except Exception as error:  # noqa: BLE001 - a mistake in reading must not stop what runs
        daemon.reload_refused()
        _log.error("reload_refused", problems=[f"{path}: could not be read ({type(error).__name__})"], count=1)
        return None
    for key, old, new in (
        ("state", daemon.config.state, config.state),
        ("http.listen", daemon.config.http.listen, config.http.listen),
        ("http.metrics_listen", daemon.config.http.metrics_listen, config.http.metrics_listen),
    ):
        if old != new:
            _log.warning("needs_restart", key=key)
    daemon.reload(config)
    _log.info("reloaded", accounts=len(config.accounts), rules=len(config.rules))
    return config
