"""What was recorded: exported, judged again in virtual time, and explained."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from watcher import log
from watcher.cli.common import FILE, config_option, exits, json_option, print_json, seconds


@click.command()
@config_option
@click.option("--data", type=FILE, required=True, help="CSV: ts,account,project,product,channel,signal,value,weight.")
@click.option("--policy", type=click.Choice(["adaptive", "even"]), default="adaptive", show_default=True)
@click.option("--unlimited", is_flag=True, help="Judge every window at its event time: no budget, no delay.")
@click.option("--against", type=FILE, default=None, metavar="CONFIG", help="Run this configuration too, and compare.")
@click.option("--past", type=FILE, default=None, help="CSV of the time before, for rules that look back.")
@click.option("--max-rows", type=click.IntRange(1), default=50_000_000, show_default=True)
@json_option
@exits
def backtest(
    config: Path,
    data: Path,
    policy: str,
    unlimited: bool,
    against: Path | None,
    past: Path | None,
    max_rows: int,
    as_json: bool,
) -> None:
    """Say what these rules would have paged over recorded points, how late, and at what cost.

    The daemon's own schedule, ledger, rules and routes run in virtual time and see the file only through their
    queries, quotas and the vendor's delay. Opens no state, sends nothing and needs none of the secrets.
    """
    from watcher.backtest.compare import backtest as run_backtest
    from watcher.backtest.report import sentences
    from watcher.config import load

    loaded = load(config, pages=False)
    other = None if against is None else load(against, pages=False)
    document = run_backtest(
        loaded,
        data,
        policy="even" if policy == "even" else "adaptive",
        unlimited=unlimited,
        against=other,
        past=past,
        max_rows=max_rows,
    )
    if as_json:
        print_json(document)
    else:
        for line in sentences(document):
            click.echo(line)


@click.command()
@config_option
@click.option("--since", default=None, metavar="DURATION", help="Only the newest part, such as 7d.  [default: all]")
@click.option("--output", "-o", type=FILE, default=None, help="Write to this file instead of stdout.")
@exits
def export(config: Path, since: str | None, output: Path | None) -> None:
    """Write the recorded points as CSV, for `watcher backtest`. The daemon may be running."""
    from watcher.clock import WallClock
    from watcher.config import load
    from watcher.export import export as write
    from watcher.store import open_readonly

    begin = 0
    if since is not None:
        begin = int(WallClock().now()) - seconds(since, "--since")
    reader = open_readonly(load(config, pages=False).state)
    try:
        if output is None:
            rows = write(reader, sys.stdout, since=begin)
        else:
            with output.open("w", encoding="utf-8", newline="") as file:
                rows = write(reader, file, since=begin)
    except OSError as error:
        raise click.ClickException(f"{output}: {error.strerror}") from None
    finally:
        reader.close()
    click.echo(f"{rows:,} rows", err=True)


@click.command()
@config_option
@click.argument("rule")
@json_option
@exits
def explain(config: Path, rule: str, as_json: bool) -> None:
    """Say how soon RULE can page, what it sees now, why it is or is not firing, and what was spent to know it.

    Reads the recorded state beside the daemon. Exits 2 where there is no such rule or no state.
    """
    from watcher.clock import WallClock
    from watcher.config import load
    from watcher.explain import as_json as explain_json
    from watcher.explain import explain as explained
    from watcher.explain import lines
    from watcher.store import open_readonly

    log.configure(level="critical")
    loaded = load(config, pages=False)
    chosen = next((r for r in loaded.rules if r.name == rule), None)
    if chosen is None:
        names = ", ".join(sorted(r.name for r in loaded.rules))
        raise click.BadParameter(f"no rule is called {rule}; there are {names}", param_hint="RULE")
    now = WallClock().now()
    reader = open_readonly(loaded.state)
    try:
        found = explained(loaded, chosen, reader, now=now)
    finally:
        reader.close()
    if as_json:
        print_json(explain_json(chosen, found))
    else:
        for line in lines(chosen, found, now=now):
            click.echo(line)
