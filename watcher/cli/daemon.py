"""The daemon, and a test message through one of its targets."""

from __future__ import annotations

import faulthandler
from pathlib import Path

import anyio
import click

from watcher import log
from watcher.cli.common import config_option, exits, leave


@click.command()
@config_option
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info", show_default=True
)
@click.option("--virtual-clock", "virtual", metavar="EPOCH,RATE,STARTED", hidden=True, default=None)
@exits
def run(config: Path, log_level: str, virtual: str | None) -> None:
    """Run the daemon. SIGTERM drains and stops; SIGHUP reads config and rules again.

    Logs are JSON on stderr. Exits 2 where the configuration is wrong, a secret is missing or another watcher holds the
    same state.
    """
    from watcher.app.service import serve
    from watcher.clock import WallClock, virtual_clock

    log.configure(level=log_level)
    # A watchdog's SIGABRT leaves the lines where the event loop stood, and no values: the loop is in the main thread,
    # to which the kernel hands it. Not all threads: CPython walks the others' frames while they run, and may crash over
    # it before it came to the loop's (python/cpython#116008).
    faulthandler.enable(all_threads=False)
    clock = virtual_clock(virtual) if virtual else WallClock()
    anyio.run(lambda: serve(config, clock=clock))
    leave()


@click.command()
@config_option
@click.argument("target")
@exits
def notify(config: Path, target: str) -> None:
    """Send a test message to TARGET, as the configuration names it. Exits 1 where it was not accepted."""
    from watcher.app.trial import send_trial
    from watcher.clock import WallClock
    from watcher.config import load

    log.configure(level="error")
    loaded = load(config, pages=False)
    anyio.run(lambda: send_trial(loaded, target, clock=WallClock()))
    click.echo(f"{target} accepted a test message")
