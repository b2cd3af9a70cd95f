"""What fires, who has it in hand, and silences: through the running daemon, or the state where none runs."""

from __future__ import annotations

import getpass
from pathlib import Path

import click

from watcher.cli.common import config_option, exits, json_option, print_json, seconds
from watcher.errors import clip


def _user() -> str:
    """Who asks, as the machine knows them."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # no such user, as in some containers
        return "unknown"


@click.command()
@config_option
@json_option
@exits
def alerts(config: Path, as_json: bool) -> None:
    """List what fires or is about to, from the state: with a daemon or without."""
    from watcher.app import ask
    from watcher.clock import WallClock
    from watcher.config import load

    found = ask.alerts(load(config, pages=False), clock=WallClock())
    if as_json:
        print_json({"alerts": found})
        return
    for alert in found:
        where = " ".join(f"{name}={value}" for name, value in alert["labels"].items() if value)
        marks = [*(["silenced"] if alert["silenced"] else []), *filter(None, [alert["acknowledged_by"]])]
        note = f" ({', '.join(marks)})" if marks else ""
        line = f"{alert['id']} {alert['state']} {alert['severity']} {alert['rule']} since {alert['starts_at']} {where}"
        click.echo(clip(line + note, 500))
        if alert["affected_says"]:
            click.echo(clip(f"  affected: {alert['affected_says']}", 500))


@click.command()
@config_option
@click.argument("alert")
@click.option("--author", default=_user, show_default="you", help="Who has it in hand.")
@click.option("--comment", default="", help="For those who look.")
@exits
def ack(config: Path, alert: str, author: str, comment: str) -> None:
    """Acknowledge ALERT, by its id: it is not repeated until it changes."""
    from watcher.app import ask
    from watcher.clock import WallClock
    from watcher.config import load
    from watcher.web.shapes import NewAck

    ask.acknowledge(load(config, pages=False), alert, NewAck(author=author, comment=comment), clock=WallClock())
    click.echo(f"{alert} is acknowledged by {author}")


@click.group()
def silence() -> None:
    """Keep matching alerts from being said, for a while. The end of what was told is told all the same."""


@silence.command("add")
@config_option
@click.argument("matchers", nargs=-1, required=True, metavar="LABEL=VALUE[,VALUE]...")
@click.option("--for", "length", default="2h", show_default=True, metavar="DURATION", help="How long it holds.")
@click.option("--until-resolved", is_flag=True, help="End it with the last alert that it matches.")
@click.option("--author", default=_user, show_default="you", help="Who silences.")
@click.option("--comment", default="", help="Why.")
@exits
def silence_add(
    config: Path, matchers: tuple[str, ...], length: str, until_resolved: bool, author: str, comment: str
) -> None:
    """Silence the alerts that match every LABEL=VALUE; also rule=, severity=, signal= and alert=ID."""
    from watcher.app import ask
    from watcher.clock import WallClock
    from watcher.config import load
    from watcher.web.shapes import NewSilence

    match = dict(_matcher(text) for text in matchers)
    lasts = seconds(length, "--for")
    if not lasts:
        raise click.BadParameter("is nothing; write it like 2h", param_hint="--for")
    wish = NewSilence(match=match, seconds=lasts, author=author, comment=comment, until_resolved=until_resolved)
    changed = ask.add_silence(load(config, pages=False), wish, clock=WallClock())
    made, count = changed["silence"], changed["matching"]
    what = {0: "nothing that fires now", 1: "one alert that fires now"}.get(count, f"{count} alerts that fire now")
    click.echo(f"{made['id']} silences until {made['ends_at']}, {what}")


def _matcher(text: str) -> tuple[str, tuple[str, ...]]:
    name, equals, values = text.partition("=")
    if not name or not equals:
        raise click.BadParameter(f"{text!r} is not a matcher; write it like rule=VideoFreezing", param_hint="MATCHERS")
    return name, tuple(values.split(","))


@silence.command("list")
@config_option
@json_option
@exits
def silence_list(config: Path, as_json: bool) -> None:
    """List silences that hold, and those that ended within a day."""
    from watcher.app import ask
    from watcher.clock import WallClock
    from watcher.config import load

    found = ask.silences(load(config, pages=False), clock=WallClock())
    if as_json:
        print_json({"silences": found})
        return
    for one in found:
        match = " ".join(f"{name}={','.join(values)}" for name, values in one["match"].items())
        ends = f"until {one['ends_at']}{' or resolved' if one['until_resolved'] else ''}"
        click.echo(clip(f"{one['id']} {one['state']} {ends} {match} by {one['author']}: {one['comment']}", 500))


@silence.command("expire")
@config_option
@click.argument("silence_id", metavar="ID")
@exits
def silence_expire(config: Path, silence_id: str) -> None:
    """End a silence now; what it muted and still fires is said."""
    from watcher.app import ask
    from watcher.clock import WallClock
    from watcher.config import load

    ask.expire_silence(load(config, pages=False), silence_id, clock=WallClock())
    click.echo(f"{silence_id} is over")
