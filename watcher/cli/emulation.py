"""The built-in emulators: one vendor as a server, and the demo."""

from __future__ import annotations

import json
from pathlib import Path

import anyio
import click

from watcher import log
from watcher.cli.common import FILE, exits, json_option, print_json, seconds


@click.command()
@click.option("--for", "wall", default="60s", show_default=True, metavar="DURATION", help="Wall time until it stops.")
@click.option("--rate", type=click.FloatRange(1, 600), default=60, show_default=True, help="Virtual per real second.")
@click.option("--report", type=FILE, default=None, help="Also write the closing report, as JSON, to this file.")
@json_option
@exits
def demo(wall: str, rate: float, report: Path | None, as_json: bool) -> None:
    """Watch the main job: emulator and daemon together, an hour in a minute, with pages printed as they leave."""
    from watcher.demo import run_demo

    lasts = seconds(wall, "--for")
    if report is not None and not report.parent.is_dir():
        raise click.BadParameter(f"{report.parent} is not a folder", param_hint="--report")
    log.configure(level="error")
    document = anyio.run(lambda: run_demo(seconds=lasts, rate=rate, say=lambda text: click.echo(text, err=as_json)))
    if report is not None:
        report.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    if as_json:
        print_json(document)


@click.command()
@click.argument("vendor", type=click.Choice(["agora", "vonage", "twilio"]))
@click.option("--listen", default="127.0.0.1:8469", show_default=True, metavar="HOST:PORT")
@click.option("--scenario", type=FILE, required=True, help="What happens in this vendor's world (docs/emulator.md).")
@click.option("--tls-cert", type=FILE, default=None, help="PEM file: serve HTTPS.")
@click.option("--tls-key", type=FILE, default=None, help="PEM file, where the key is not in the certificate's.")
@click.option("--virtual-clock", "virtual", metavar="EPOCH,RATE,STARTED", hidden=True, default=None)
@exits
def emulate(
    vendor: str, listen: str, scenario: Path, tls_cert: Path | None, tls_key: Path | None, virtual: str | None
) -> None:
    """Serve one vendor's API from a scenario: for tests, demos and game days."""
    from watcher.clock import WallClock, virtual_clock
    from watcher.emulator.serve import emulate as serve_vendor

    log.configure(level="info")
    host, port = _address(listen)
    clock = virtual_clock(virtual) if virtual else WallClock()
    anyio.run(
        lambda: serve_vendor(
            vendor=vendor, scenario=scenario, host=host, port=port, clock=clock, tls_cert=tls_cert, tls_key=tls_key
        )
    )


def _address(listen: str) -> tuple[str, int]:
    from watcher.listener import address

    try:
        return address(listen)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--listen") from None
