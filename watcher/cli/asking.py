"""What only the vendors know, one call or days by groups: through the running daemon, which holds the budget."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import click

from watcher.cli.common import config_option, exits, json_option, print_json
from watcher.clock import parse_rfc3339
from watcher.errors import clip

Row = Sequence[str]

_MINUTES = 30  # that are printed
_GROUPS = 5  # of a dimension
_COLUMNS = 6  # of values beside each other
_TROUBLE = ("users", "failed", "freeze", "loss", "latency", "rtt", "cpu", "")
_CELL, _LAST = 40, 80  # characters of a cell, and of the last one in a row
_UNITS = (("_bytes_per_second", 0.008, " kbit/s"), ("_ratio", 100.0, "%"), ("_seconds", 1000.0, " ms"))


@click.command()
@config_option
@click.argument("account")
@click.argument("channel")
@click.option("--project", default="", help="Its project, where the account has several.")
@click.option("--user", default="", help="Only this one of its users, by the id that the list has.")
@click.option("--at", default=None, metavar="TIME", help="When it ran, like 2026-01-31T10:15Z.  [default: the latest]")
@click.option("--requests", type=click.IntRange(1, 200), default=20, show_default=True, help="Spend at most so many.")
@click.option("--users", type=click.IntRange(1, 2000), default=20, show_default=True, help="Print so many users.")
@json_option
@exits
def call(
    config: Path,
    account: str,
    channel: str,
    project: str,
    user: str,
    at: str | None,
    requests: int,
    users: int,
    as_json: bool,
) -> None:
    """Say who was in a call of CHANNEL and how each fared: an Agora channel, Vonage session or Twilio room.

    The running daemon reads it between two looks, within the account's budget.
    """
    from watcher.app import ask
    from watcher.config import load
    from watcher.web.asking import AskedCall

    wish = AskedCall(channel=channel, project=project, user=user, at=at, requests=requests)
    found = ask.call(load(config, pages=False), account, wish)
    if as_json:
        print_json(found)
        return
    for line in lines(found, users=users, at=at):
        click.echo(line)


@click.command()
@config_option
@click.argument("account")
@click.argument("signal")
@click.option("--by", required=True, help="country, region, network, sdk, os, device or channel_size.")
@click.option("--project", default="", help="Where the account has several.")
@click.option("--product", default="", help="Native or WebRTC, where the project has both.")
@click.option("--days", type=click.IntRange(1, 31), default=7, show_default=True, help="So many whole UTC days.")
@click.option("--until", default=None, metavar="TIME", help="Up to this day.  [default: the newest that there is]")
@click.option("--country", default="", help="With --by region: the regions of this country.")
@json_option
@exits
def groups(
    config: Path,
    account: str,
    signal: str,
    by: str,
    project: str,
    product: str,
    days: int,
    until: str | None,
    country: str,
    as_json: bool,
) -> None:
    """Say by groups of users how SIGNAL was over whole days: which SDK, country or network has been worse.

    Of Agora's Data Insights, for signals like daily_video_freeze_ratio. The running daemon asks, for two requests.
    """
    from watcher.app import ask
    from watcher.config import load
    from watcher.web.asking import AskedGroups

    wish = AskedGroups(signal=signal, by=by, project=project, product=product, until=until, days=days, country=country)
    found = ask.groups(load(config, pages=False), account, wish)
    if as_json:
        print_json(found)
        return
    for line in group_lines(found):
        click.echo(line)


def group_lines(found: Mapping[str, Any]) -> Iterator[str]:
    """Days by groups as text, in the vendor's order: the largest group first."""
    signal, counts = found["signal"], found["counts"]
    where = "/".join(filter(None, (found["account"], found["project"], found["product"])))
    whole = "" if found["whole"] is None else f": {_amount(signal, found['whole'])} in all"
    yield f"{signal} of {where}, {found['start'][:10]} to {_last_day(found['end'])}{whole}"
    for note in found["notes"]:
        yield f"  {clip(note, 300)}"
    if not found["groups"]:
        yield "  the vendor tells of no group"
        return
    behind = {"joins": "joins", "seconds": "hours of media"}.get(counts, "")
    rows = [
        (g["group"] or "(unnamed)", _amount(signal, g["value"]), _behind(counts, g["behind"])) for g in found["groups"]
    ]
    yield ""
    yield from _table([(found["by"].replace("_", " "), _title(signal), behind), *rows])


def _behind(counts: str, value: float | None) -> str:
    if value is None:
        return ""
    return f"{value / 3600:.1f}".removesuffix(".0") if counts == "seconds" else f"{value:.0f}"


def _last_day(end: str) -> str:
    """The day before the end, which is not part of it."""
    return str(date.fromisoformat(end[:10]) - timedelta(days=1))


def lines(found: Mapping[str, Any], *, users: int, at: str | None = None) -> Iterator[str]:
    """One call as text, its minutes around `at` or the newest; vendors' words are cut, and printable."""
    yield _head(found)
    for note in found["notes"]:
        yield f"  {clip(note, 300)}"
    yield from _minutes(found["minutes"], at)
    for spread in found["spreads"]:
        buckets = ", ".join(
            f"{_amount(spread['signal'], b['low'])} to {_amount(spread['signal'], b['high'])}: {b['users']}"
            for b in spread["buckets"]
            if b["users"]
        )
        yield from ("", f"users by {_title(spread['signal'])}: {buckets}")
    yield from _groups(found["groups"])
    yield from _stays(found["stays"], users)
    if others := found["others"]:
        yield from ("", "other calls of this channel")
        yield from _table([("began", "ended", "users", "call"), *(_else(other) for other in others)])


def _head(found: Mapping[str, Any]) -> str:
    name = found["channel"] or found["call"]
    call = f" (call {clip(found['call'], 60)})" if found["call"] != name else ""
    began = _time(found["began"]) or "begin not told"
    end = ", goes on" if found["running"] else f" to {_time(found['ended']) or 'end not told'}"
    count = "" if found["users"] is None else f", {found['users']} users"
    where = f"{found['account']}/{found['project']}"
    spent = f"{found['requests']} request{'' if found['requests'] == 1 else 's'}"
    return f"{clip(name, 100)}{call} in {where}: {began}{end}{count}; read at {_time(found['read_at'])} with {spent}"


def _minutes(minutes: Sequence[Mapping[str, Any]], at: str | None) -> Iterator[str]:
    if not minutes:
        return
    last = (
        len(minutes)
        if at is None
        else sum(parse_rfc3339(minute["at"]) <= parse_rfc3339(at) for minute in minutes) + _MINUTES // 3
    )
    last = max(min(last, len(minutes)), min(_MINUTES, len(minutes)))
    shown = minutes[max(0, last - _MINUTES) : last]
    names, more = _columns(shown)
    rows = [(_time(m["at"])[:-3], *(_optional(name, m["values"]) for name in names)) for m in shown]
    left = f" ({len(shown)} of {len(minutes)} minutes)" if len(shown) < len(minutes) else ""
    yield ""
    yield from _table([(f"UTC{left}", *map(_title, names)), *rows])
    yield from more


def _columns(rows: Sequence[Mapping[str, Any]]) -> tuple[list[str], tuple[str, ...]]:
    """The names of values that fit beside each other, those that tell of trouble first to stay; and what is left."""
    names = list(dict.fromkeys(name for row in rows for name in row["values"]))
    ranked = sorted(names, key=lambda name: next(i for i, word in enumerate(_TROUBLE) if word in name))[:_COLUMNS]
    more = ", ".join(_title(name) for name in names if name not in ranked)
    return [name for name in names if name in ranked], (f"  not shown, see --json: {more}",) if more else ()


def _groups(groups: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    kinds = list(dict.fromkeys((group["dimension"], group["signal"]) for group in groups))
    for dimension, signal in kinds:
        found = [g for g in groups if (g["dimension"], g["signal"]) == (dimension, signal)]
        yield ""
        yield from _table(
            [
                (dimension.replace("_", " "), found[0]["counts"], _title(signal)),
                *((g["group"], f"{g['users']:.0f}", _amount(signal, g["value"])) for g in found[:_GROUPS]),
            ]
        )
        if len(found) > _GROUPS:
            yield f"  and {len(found) - _GROUPS} more"


def _stays(stays: Sequence[Mapping[str, Any]], users: int) -> Iterator[str]:
    if not stays:
        return
    shown = stays[:users]
    names, more = _columns(shown)
    ends = any(stay["ending"] for stay in shown)
    head = ("user", "name", "joined", "left", "client", "place", *map(_title, names), *(("ending",) if ends else ()))
    rows = [
        (
            stay["user"],
            stay["name"],
            _time(stay["joined"]),
            _time(stay["left"]),
            stay["client"],
            stay["place"],
            *(_optional(name, stay["values"]) for name in names),
            *((f"{'failed: ' if stay['failed'] else ''}{stay['ending']}",) if ends else ()),
        )
        for stay in shown
    ]
    yield ""
    yield from _table([head, *rows])
    yield from more
    if left := len(stays) - len(shown):
        yield f"  and {left} more: --users {min(len(stays), 2000)} or --json has them"


def _else(other: Mapping[str, Any]) -> Row:
    users = "" if other["users"] is None else str(other["users"])
    return _time(other["began"]), _time(other["ended"]), users, other["call"]


def _table(rows: Sequence[Row]) -> Iterator[str]:
    """Columns as wide as their widest cell; one that is empty in every row is left out."""
    cells = [[*(clip(cell, _CELL) for cell in row[:-1]), clip(row[-1], _LAST)] for row in rows]
    kept = [i for i in range(len(cells[0])) if any(row[i] for row in cells[1:])]
    widths = [max(len(row[i]) for row in cells) for i in kept]
    for row in cells:
        yield "  ".join(row[i].ljust(width) for i, width in zip(kept, widths, strict=True)).rstrip()


def _time(text: str | None) -> str:
    """`01-31 10:15:20`: the year is known to whoever was paged."""
    return "" if not text else text[5:19].replace("T", " ")


def _title(signal: str) -> str:
    for suffix, _, _ in _UNITS:
        signal = signal.removesuffix(suffix)
    return signal.replace("_", " ")


def _optional(name: str, values: Mapping[str, float]) -> str:
    return _amount(name, values[name]) if name in values else ""


def _amount(name: str, value: float) -> str:
    """In the unit that the name ends with."""
    factor, unit = next(((factor, unit) for suffix, factor, unit in _UNITS if name.endswith(suffix)), (1.0, ""))
    return f"{value * factor:.1f}".removesuffix(".0") + unit
