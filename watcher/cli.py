"""Commands and exit codes, nothing else: 0 done, 1 a check failed, 2 bad usage or configuration.

With `--json`, stdout is exactly one JSON document and all else goes to stderr (design, section 8).
What a command needs is imported inside it, so that `--help` and `check` stay quick.
"""

from __future__ import annotations

import faulthandler
import getpass
import json
import os
import sys
import threading
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, NoReturn, ParamSpec, TypeVar

import anyio
import click

from watcher import __version__, log
from watcher.errors import ConfigError, ListenError, Problem, StoreError, WatcherError, clip

P = ParamSpec("P")
R = TypeVar("R")

FAILED, USAGE = 1, 2

_FILE = click.Path(dir_okay=False, path_type=Path)


def _exits(command: Callable[P, R]) -> Callable[P, R]:
    """Turn what can be expected to go wrong into one line on stderr and the right exit code."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except (WatcherError, ExceptionGroup) as raised:
            error = _alone(raised)
            if isinstance(error, ConfigError):
                for problem in error.problems:
                    click.echo(str(problem), err=True)
                sys.exit(USAGE)
            if not isinstance(error, WatcherError):
                raise
            click.echo(f"watcher: {error}", err=True)
            _leave(USAGE if isinstance(error, ListenError | StoreError) else FAILED)

    return run


def _alone(error: Exception) -> Exception:
    """What ended a task group, where that was one thing: anyio wraps whatever leaves one."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _config_option(command: Callable[P, R]) -> Callable[P, R]:
    return click.option(
        "--config",
        "-c",
        type=_FILE,
        default=Path("config.yaml"),
        show_default=True,
        envvar="WATCHER_CONFIG",
        help="The configuration file.",
    )(command)


def _json_option(command: Callable[P, R]) -> Callable[P, R]:
    return click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")(command)


def _user() -> str:
    """Who asks, as the machine knows them."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # no such user, as in some containers
        return "unknown"


def _print_json(document: Any) -> None:
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__)
def main() -> None:
    """Real-time call-quality alerting for Agora and Vonage Video.

    Polls the vendors' quality APIs inside each plan's request budget, judges every window against rules in YAML, pages
    on-call staff through Apprise and exports everything to Prometheus.

    \b
    New here?   watcher demo                      see it page, on the built-in emulator
    Setting up? watcher check -c config.yaml      explains what is wrong with a configuration
                watcher test-rules FILE...        runs the tests of rule packs
                watcher notify -c config.yaml T   sends a test message to target T
    Running?    watcher run -c config.yaml
    """


@main.command()
@_config_option
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info", show_default=True
)
@click.option("--virtual-clock", "virtual", metavar="EPOCH,RATE,STARTED", hidden=True, default=None)
@_exits
def run(config: Path, log_level: str, virtual: str | None) -> None:
    """Run the daemon. SIGTERM drains and stops; SIGHUP reads config and rules again.

    Logs are JSON on stderr. Exits 2 where the configuration is wrong, a secret is missing or another watcher holds the
    same state.
    """
    from watcher.app.service import serve
    from watcher.clock import WallClock, virtual_clock

    log.configure(level=log_level)
    faulthandler.enable()  # a watchdog's SIGABRT leaves the lines where every thread stood, and no values
    clock = virtual_clock(virtual) if virtual else WallClock()
    anyio.run(lambda: serve(config, clock=clock))
    _leave()


def _leave(code: int = 0) -> NoReturn:
    """End now, though a thread may still be held by a target that hangs: what it was to do is recorded."""
    if threading.active_count() > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


@main.command()
@_config_option
@_json_option
@_exits
def check(config: Path, as_json: bool) -> None:
    """Check configuration and rules: every problem as file:line:column, with what to do.

    Opens no state, sends nothing and needs none of the secrets. Exits 2 where anything is wrong.
    """
    from watcher.config import load
    from watcher.plan import as_json as plan_json
    from watcher.plan import lines, plans

    problems: tuple[Problem, ...] = ()
    try:
        loaded = load(config)
    except ConfigError as error:
        problems = error.problems
    if as_json:
        warnings = () if problems else loaded.warnings
        _print_json(
            {
                "ok": not problems,
                "problems": [_problem(p) for p in problems],
                "warnings": [_problem(p) for p in warnings],
                "plan": None if problems else plan_json(plans(loaded)),
            }
        )
    elif problems:
        raise ConfigError(problems)
    else:
        for warning in loaded.warnings:
            click.echo(f"warning: {warning}", err=True)
        counts = (len(loaded.accounts), len(loaded.rules), len(loaded.alerts.targets))
        click.echo("{}: {} accounts, {} rules, {} targets".format(loaded.path, *counts))
        for line in lines(plans(loaded)):
            click.echo(line)
    if problems:
        sys.exit(USAGE)


def _problem(problem: Problem) -> dict[str, Any]:
    return {
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "what": problem.what,
        "remedy": problem.remedy,
    }


@main.command("test-rules")
@click.argument("files", nargs=-1, required=True, type=_FILE)
@_json_option
@_exits
def test_rules(files: tuple[Path, ...], as_json: bool) -> None:
    """Run the tests of rule packs in FILES (docs/rules.md says how to write them). Exits 1 where one fails.

    Opens no state, sends nothing and needs no configuration. Exits 2 where a file or a pack that it names is wrong.
    """
    from watcher.rules.rehearsal import rehearse

    results = {}
    problems: list[Problem] = []
    for path in files:
        try:
            results[str(path)] = rehearse(path)
        except ConfigError as error:
            problems += error.problems
    failed = [failure for tests in results.values() for test in tests for failure in test.failures]
    if as_json:
        _print_json(
            {
                "ok": not problems and not failed,
                "problems": [_problem(p) for p in problems],
                "files": [
                    {
                        "file": file,
                        "tests": [
                            {"name": t.name, "ok": not t.failures, "failures": [_problem(f) for f in t.failures]}
                            for t in tests
                        ],
                    }
                    for file, tests in results.items()
                ],
            }
        )
    else:
        for failure in failed:
            click.echo(str(failure))
        for file, tests in results.items():
            bad = sum(bool(test.failures) for test in tests)
            click.echo(f"{file}: {len(tests) - bad} passed" + (f", {bad} failed" if bad else ""))
        for problem in problems:
            click.echo(str(problem), err=True)
    sys.exit(USAGE if problems else FAILED if failed else 0)


@main.command()
@_config_option
@click.argument("target")
@_exits
def notify(config: Path, target: str) -> None:
    """Send a test message to TARGET, as the configuration names it. Exits 1 where it was not accepted."""
    from watcher.app.trial import send_trial
    from watcher.clock import WallClock
    from watcher.config import load

    log.configure(level="error")
    loaded = load(config, pages=False)
    anyio.run(lambda: send_trial(loaded, target, clock=WallClock()))
    click.echo(f"{target} accepted a test message")


@main.command()
@_config_option
@_json_option
@_exits
def alerts(config: Path, as_json: bool) -> None:
    """List what fires or is about to, from the state: with a daemon or without."""
    from watcher.app import ask
    from watcher.clock import WallClock
    from watcher.config import load

    found = ask.alerts(load(config, pages=False), clock=WallClock())
    if as_json:
        _print_json({"alerts": found})
        return
    for alert in found:
        where = " ".join(f"{name}={value}" for name, value in alert["labels"].items() if value)
        marks = [*(["silenced"] if alert["silenced"] else []), *filter(None, [alert["acknowledged_by"]])]
        note = f" ({', '.join(marks)})" if marks else ""
        line = f"{alert['id']} {alert['state']} {alert['severity']} {alert['rule']} since {alert['starts_at']} {where}"
        click.echo(clip(line + note, 500))


@main.command()
@_config_option
@click.argument("alert")
@click.option("--author", default=_user, show_default="you", help="Who has it in hand.")
@click.option("--comment", default="", help="For those who look.")
@_exits
def ack(config: Path, alert: str, author: str, comment: str) -> None:
    """Acknowledge ALERT, by its id: it is not repeated until it changes."""
    from watcher.app import ask
    from watcher.clock import WallClock
    from watcher.config import load
    from watcher.web import NewAck

    ask.acknowledge(load(config, pages=False), alert, NewAck(author=author, comment=comment), clock=WallClock())
    click.echo(f"{alert} is acknowledged by {author}")


@main.group()
def silence() -> None:
    """Keep matching alerts from being said, for a while. The end of what was told is told all the same."""


@silence.command("add")
@_config_option
@click.argument("matchers", nargs=-1, required=True, metavar="LABEL=VALUE[,VALUE]...")
@click.option("--for", "length", default="2h", show_default=True, metavar="DURATION", help="How long it holds.")
@click.option("--until-resolved", is_flag=True, help="End it with the last alert that it matches.")
@click.option("--author", default=_user, show_default="you", help="Who silences.")
@click.option("--comment", default="", help="Why.")
@_exits
def silence_add(
    config: Path, matchers: tuple[str, ...], length: str, until_resolved: bool, author: str, comment: str
) -> None:
    """Silence the alerts that match every LABEL=VALUE; also rule=, severity=, signal= and alert=ID."""
    from watcher.app import ask
    from watcher.clock import WallClock
    from watcher.config import load
    from watcher.web import NewSilence
    from watcher.yamlfile import duration

    match = dict(_matcher(text) for text in matchers)
    try:
        seconds = duration(length)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--for") from None
    if not seconds:
        raise click.BadParameter("is nothing; write it like 2h", param_hint="--for")
    wish = NewSilence(match=match, seconds=seconds, author=author, comment=comment, until_resolved=until_resolved)
    made = ask.add_silence(load(config, pages=False), wish, clock=WallClock())["silence"]
    click.echo(f"{made['id']} silences until {made['ends_at']}")


def _matcher(text: str) -> tuple[str, tuple[str, ...]]:
    name, equals, values = text.partition("=")
    if not name or not equals:
        raise click.BadParameter(f"{text!r} is not a matcher; write it like rule=VideoFreezing", param_hint="MATCHERS")
    return name, tuple(values.split(","))


@silence.command("list")
@_config_option
@_json_option
@_exits
def silence_list(config: Path, as_json: bool) -> None:
    """List silences that hold, and those that ended within a day."""
    from watcher.app import ask
    from watcher.clock import WallClock
    from watcher.config import load

    found = ask.silences(load(config, pages=False), clock=WallClock())
    if as_json:
        _print_json({"silences": found})
        return
    for one in found:
        match = " ".join(f"{name}={','.join(values)}" for name, values in one["match"].items())
        ends = f"until {one['ends_at']}{' or resolved' if one['until_resolved'] else ''}"
        click.echo(clip(f"{one['id']} {one['state']} {ends} {match} by {one['author']}: {one['comment']}", 500))


@silence.command("expire")
@_config_option
@click.argument("silence_id", metavar="ID")
@_exits
def silence_expire(config: Path, silence_id: str) -> None:
    """End a silence now; what it muted and still fires is said."""
    from watcher.app import ask
    from watcher.clock import WallClock
    from watcher.config import load

    ask.expire_silence(load(config, pages=False), silence_id, clock=WallClock())
    click.echo(f"{silence_id} is over")


@main.command()
@click.option("--for", "wall", default="60s", show_default=True, metavar="DURATION", help="Wall time until it stops.")
@click.option("--rate", type=click.FloatRange(1, 600), default=60, show_default=True, help="Virtual per real second.")
@click.option("--report", type=_FILE, default=None, help="Also write the closing report, as JSON, to this file.")
@_json_option
@_exits
def demo(wall: str, rate: float, report: Path | None, as_json: bool) -> None:
    """Watch the main job: emulator and daemon together, an hour in a minute, with pages printed as they leave."""
    from watcher.demo import run_demo
    from watcher.yamlfile import duration

    try:
        seconds = duration(wall)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--for") from None
    if report is not None and not report.parent.is_dir():
        raise click.BadParameter(f"{report.parent} is not a folder", param_hint="--report")
    log.configure(level="error")
    document = anyio.run(lambda: run_demo(seconds=seconds, rate=rate, say=lambda text: click.echo(text, err=as_json)))
    if report is not None:
        report.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    if as_json:
        _print_json(document)


@main.command()
@click.argument("vendor", type=click.Choice(["agora", "vonage", "twilio"]))
@click.option("--listen", default="127.0.0.1:8469", show_default=True, metavar="HOST:PORT")
@click.option("--scenario", type=_FILE, required=True, help="What happens in this vendor's world (docs/emulator.md).")
@click.option("--tls-cert", type=_FILE, default=None, help="PEM file: serve HTTPS.")
@click.option("--tls-key", type=_FILE, default=None, help="PEM file, where the key is not in the certificate's.")
@click.option("--virtual-clock", "virtual", metavar="EPOCH,RATE,STARTED", hidden=True, default=None)
@_exits
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
    from watcher.config import address

    try:
        return address(listen)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--listen") from None


@main.command()
@_config_option
@_json_option
@_exits
def plan(config: Path, as_json: bool) -> None:
    """Say which queries run, what each costs, and how soon each rule can page.

    Times are from the moment a rule's condition has held long enough, vendor delay and grouping included. Opens no
    state and needs none of the secrets. Exits 2 where the configuration is wrong or a `detect_within` cannot be kept.
    """
    from watcher.config import load
    from watcher.plan import as_json as plan_json
    from watcher.plan import lines, plans

    found = plans(load(config, pages=False))
    if as_json:
        _print_json(plan_json(found))
    else:
        for line in lines(found):
            click.echo(line)


@main.command()
@_config_option
@click.option("--data", type=_FILE, required=True, help="CSV: ts,account,project,product,channel,signal,value,weight.")
@click.option("--policy", type=click.Choice(["adaptive", "even"]), default="adaptive", show_default=True)
@click.option("--unlimited", is_flag=True, help="Judge every window at its event time: no budget, no delay.")
@click.option("--against", type=_FILE, default=None, metavar="CONFIG", help="Run this configuration too, and compare.")
@click.option("--max-rows", type=click.IntRange(1), default=50_000_000, show_default=True)
@_json_option
@_exits
def backtest(
    config: Path, data: Path, policy: str, unlimited: bool, against: Path | None, max_rows: int, as_json: bool
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
        max_rows=max_rows,
    )
    if as_json:
        _print_json(document)
    else:
        for line in sentences(document):
            click.echo(line)


@main.command()
@_config_option
@click.option("--since", default=None, metavar="DURATION", help="Only the newest part, such as 7d.  [default: all]")
@click.option("--output", "-o", type=_FILE, default=None, help="Write to this file instead of stdout.")
@_exits
def export(config: Path, since: str | None, output: Path | None) -> None:
    """Write the recorded points as CSV, for `watcher backtest`. The daemon may be running."""
    from watcher.clock import WallClock
    from watcher.config import load
    from watcher.export import export as write
    from watcher.store import open_readonly

    begin = 0
    if since is not None:
        begin = int(WallClock().now()) - _seconds(since, "--since")
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


def _seconds(text: str, option: str) -> int:
    from watcher.yamlfile import duration

    try:
        return duration(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=option) from None


@main.command()
@_config_option
@click.argument("rule")
@_json_option
@_exits
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
        _print_json(explain_json(chosen, found))
    else:
        for line in lines(chosen, found, now=now):
            click.echo(line)
