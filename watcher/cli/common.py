"""What the commands share: how they fail, their usual options, and one JSON document on stdout."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, NoReturn, ParamSpec, TypeVar

import click

from watcher.errors import ConfigError, ListenError, Problem, StoreError, WatcherError

P = ParamSpec("P")
R = TypeVar("R")

FAILED, USAGE = 1, 2

FILE = click.Path(dir_okay=False, path_type=Path)


def exits(command: Callable[P, R]) -> Callable[P, R]:
    """Turn what can be expected to go wrong into lines on stderr and the right exit code.

    With `--json` the reasons are the one document on stdout too, in the form that `check --json` gives them.
    """

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except click.ClickException as refused:
            if kwargs.get("as_json"):
                _print_failure([_said(refused.format_message())])
            raise
        except (WatcherError, ExceptionGroup) as raised:
            error = _alone(raised)
            if isinstance(error, ConfigError):
                for problem in error.problems:
                    click.echo(str(problem), err=True)
                if kwargs.get("as_json"):
                    _print_failure(error.problems)
                sys.exit(USAGE)
            if not isinstance(error, WatcherError):
                raise
            if kwargs.get("as_json"):
                _print_failure([_said(str(error))])
            click.echo(f"watcher: {error}", err=True)
            leave(USAGE if isinstance(error, ListenError | StoreError) else FAILED)

    return run


def _alone(error: Exception) -> Exception:
    """What ended a task group, where that was one thing: anyio wraps whatever leaves one."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def leave(code: int = 0) -> NoReturn:
    """End now, though a thread may still be held by a target that hangs: what it was to do is recorded."""
    if threading.active_count() > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def config_option(command: Callable[P, R]) -> Callable[P, R]:
    return click.option(
        "--config",
        "-c",
        type=FILE,
        default=Path("config.yaml"),
        show_default=True,
        envvar="WATCHER_CONFIG",
        help="The configuration file.",
    )(command)


def json_option(command: Callable[P, R]) -> Callable[P, R]:
    return click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")(command)


def print_json(document: Any) -> None:
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


def _print_failure(problems: Sequence[Problem]) -> None:
    print_json({"ok": False, "problems": [problem_json(p) for p in problems]})


def _said(what: str) -> Problem:
    """What is wrong with no place in a file."""
    return Problem(file="", line=0, column=0, what=what, remedy="")


def problem_json(problem: Problem) -> dict[str, Any]:
    return {
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "what": problem.what,
        "remedy": problem.remedy,
    }


def seconds(text: str, option: str) -> int:
    """A duration as users write it."""
    from watcher.yamlfile import duration

    try:
        return duration(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=option) from None
