"""Before anything runs: the configuration, its rules, and what the plan promises. Opens no state, needs no secret."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from watcher.cli.common import FAILED, FILE, USAGE, config_option, exits, json_option, print_json, problem_json
from watcher.errors import ConfigError, Problem


@click.command()
@config_option
@json_option
@exits
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
        print_json(
            {
                "ok": not problems,
                "problems": [problem_json(p) for p in problems],
                "warnings": [problem_json(p) for p in warnings],
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


@click.command("test-rules")
@click.argument("files", nargs=-1, required=True, type=FILE)
@json_option
@exits
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
        print_json(
            {
                "ok": not problems and not failed,
                "problems": [problem_json(p) for p in problems],
                "files": [
                    {
                        "file": file,
                        "tests": [
                            {"name": t.name, "ok": not t.failures, "failures": [problem_json(f) for f in t.failures]}
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


@click.command()
@config_option
@json_option
@exits
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
        print_json(plan_json(found))
    else:
        for line in lines(found):
            click.echo(line)
