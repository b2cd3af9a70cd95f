"""`watcher call` and `watcher groups`: what they print, and what they say where there is nothing to print."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from click.testing import CliRunner, Result

from tests.app import world
from tests.real.processes import free_port
from tests.web.fakes import shown_call, shown_groups
from watcher.app import ask
from watcher.cli import main
from watcher.cli.asking import group_lines, lines
from watcher.web.asking import AskedCall, AskedGroups


def call(folder: Path, *words: str) -> Result:
    return command(folder, "call", *words)


def command(folder: Path, *words: str) -> Result:
    """One of them, with a configuration whose daemon does not run."""
    config = folder / "config.yaml"
    data = {**world.config(folder), "http": {"listen": f"127.0.0.1:{free_port()}"}}
    config.write_text(yaml.safe_dump(data))
    return CliRunner().invoke(main, [*words, "-c", str(config)])


def text(**changes: Any) -> str:
    """The whole of an answer as it is printed."""
    found = {**msgspec.to_builtins(shown_call()), **changes}
    return "\n".join(lines(found, users=20))


def test_it_reads_from_top_to_bottom() -> None:
    """Which call, what is missing, the minutes, the spread, the groups, the users; each value in its unit."""
    shown = text()
    assert shown.startswith("lecture (call c1) in school/classroom: ")
    assert ", goes on, 2 users; read at " in shown
    assert "with 4 requests" in shown.splitlines()[0]
    assert "  figures are 100 s behind" in shown.splitlines()
    assert "users by video freeze: 0% to 3%: 1, 10% to 100%: 1" in shown
    parts = [shown.index(word) for word in ("UTC", "users by", "sdk", "user-7", "user-8", "other calls")]
    assert parts == sorted(parts)
    (line,) = (line for line in shown.splitlines() if "user-7" in line)
    assert line.split() == ["7", "user-7", *line.split()[2:4], "4.2.1", "Android", "Wi-Fi", "22%"]
    assert "ending" not in shown, "a column that is empty is left out"


def test_units_follow_the_name() -> None:
    """Also of what is no signal of a rule."""
    values = {"video_bitrate_bytes_per_second": 125_000.0, "local_rtt_seconds": 0.0425, "receive_fps": 24.0}
    shown = text(minutes=[{"at": "2026-01-31T10:15:00Z", "values": values}])
    (line,) = (line for line in shown.splitlines() if "1000 kbit/s" in line)
    assert line.split() == ["01-31", "10:15", "1000", "kbit/s", "42.5", "ms", "24"]
    assert "video bitrate" in shown
    assert "receive fps" in shown


def test_what_is_long_is_cut() -> None:
    """Users, minutes and groups beyond what fits a screen are counted; text of vendors stays in its line."""
    stay = {
        **msgspec.to_builtins(shown_call())["stays"][0],
        "name": "a\x1b[31m\n" + "x" * 500,
        "failed": True,
        "ending": "E",
    }
    group = {"dimension": "sdk", "group": "g", "signal": "users", "value": 1.0, "users": 1.0, "counts": "users"}
    minute = {"at": "2026-01-31T10:15:00Z", "values": {"users": 1.0}}
    shown = text(stays=[stay] * 30, groups=[group] * 8, minutes=[minute] * 40, others=[], notes=["n" * 999])
    assert "  and 10 more: --users 30 or --json has them" in shown
    assert "  and 3 more" in shown
    assert "30 of 40 minutes" in shown
    assert "\x1b" not in shown
    assert max(map(len, shown.splitlines())) < 400
    assert shown.count("failed: E") == 20


def test_the_minutes_around_what_was_asked_for() -> None:
    """A third of them after it; the newest without, and never fewer than there are."""
    minutes = [{"at": f"2026-01-31T{10 + n // 60}:{n % 60:02}:00Z", "values": {"users": 1.0}} for n in range(120)]
    found = {**msgspec.to_builtins(shown_call()), "minutes": minutes, "stays": [], "groups": [], "others": []}

    def printed(at: str | None) -> tuple[str, str, int]:
        rows = [line.split()[1] for line in lines(found, users=1, at=at) if line.startswith("01-31 1")]
        return rows[0], rows[-1], len(rows)

    assert printed(None) == ("11:30", "11:59", 30)
    assert printed("2026-01-31T12:00+01:00") == printed("2026-01-31T11:00:30Z") == ("10:41", "11:10", 30)
    assert printed("2026-01-31T09:00:00Z") == ("10:00", "10:29", 30)
    assert printed("2026-01-31T12:30:00Z") == ("11:30", "11:59", 30)


def test_what_does_not_fit_beside_the_rest_is_named() -> None:
    """Columns of trouble stay; the order is the answer's."""
    names = [f"quantity_{n}" for n in range(7)] + ["video_packet_loss_ratio", "local_rtt_seconds"]
    stay = {**msgspec.to_builtins(shown_call())["stays"][0], "values": dict.fromkeys(names, 0.5)}
    shown = text(stays=[stay])
    (head,) = (line for line in shown.splitlines() if line.startswith("user "))
    assert head.split("place")[1].split("  ")[1:] == [
        *(f"quantity {n}" for n in range(4)),
        "video packet loss",
        "local rtt",
    ]
    assert "  not shown, see --json: quantity 4, quantity 5, quantity 6" in shown.splitlines()


def test_an_answer_with_next_to_nothing() -> None:
    """A vendor that tells little: no heading of what is not there."""
    empty: dict[str, Any] = {
        "stays": [],
        "minutes": [],
        "spreads": [],
        "groups": [],
        "others": [],
        "notes": [],
        "users": None,
    }
    shown = text(**empty, channel="", began=None, running=None)
    assert shown.startswith("c1 in school/classroom: begin not told to end not told; read at ")
    assert len(shown.splitlines()) == 1


def test_without_a_daemon_nobody_asks(tmp_path: Path) -> None:
    """Only it may spend the budget: what to do is said."""
    result = call(tmp_path, "acme", "lecture")
    assert result.exit_code == 1
    assert "no daemon listens at 127.0.0.1:" in result.output
    assert "watcher run" in result.output
    assert (
        json.loads(
            CliRunner()
            .invoke(main, ["call", "acme", "x", "--json", "-c", str(tmp_path / "config.yaml")], catch_exceptions=False)
            .stdout
        )["ok"]
        is False
    )


@pytest.mark.parametrize("words", [("--requests", "0"), ("--requests", "201"), ("--users", "0"), ()])
def test_usage(tmp_path: Path, words: tuple[str, ...]) -> None:
    """What cannot be meant is refused before anybody is asked."""
    assert call(tmp_path, *(("acme", "x", *words) if words else ("acme",))).exit_code == 2


def test_the_wish_is_handed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every option, and the account in the path."""
    asked: list[tuple[str, AskedCall]] = []

    def answer(config: object, account: str, wish: AskedCall) -> dict[str, Any]:
        asked.append((account, wish))
        return dict(msgspec.to_builtins(shown_call()))

    monkeypatch.setattr(ask, "call", answer)
    words = ("--project", "p", "--user", "7", "--at", "2026-01-31T10:15Z", "--requests", "9", "--users", "1")
    result = call(tmp_path, "acme", "lecture", *words)
    assert result.exit_code == 0, result.output
    wish = AskedCall(channel="lecture", project="p", user="7", at="2026-01-31T10:15Z", requests=9)
    assert asked == [("acme", wish)]
    assert "and 1 more" in result.output
    document = json.loads(call(tmp_path, "acme", "lecture", "--json").output)
    assert document == msgspec.to_builtins(shown_call())


def test_days_by_groups() -> None:
    """Of which days, the whole, the groups in their order, and what their shares are of."""
    shown = list(group_lines(msgspec.to_builtins(shown_groups())))
    head = "daily_video_freeze_ratio of school/classroom/Native, 2026-01-01 to 2026-01-07: 1.1% in all"
    assert shown[:2] == [head, "  the newest may still change"]
    assert [line.split() for line in shown[3:]] == [
        ["sdk", "daily", "video", "freeze", "hours", "of", "media"],
        ["4.2.0", "0.8%", "2000"],
        ["4.2.1", "5%", "100"],
    ]


def test_days_by_groups_with_next_to_nothing() -> None:
    """Without the whole, without what a share is of, without a name, without any group."""
    found = {**msgspec.to_builtins(shown_groups()), "whole": None, "notes": [], "product": "", "counts": "joins"}
    found["groups"] = [{"group": "", "value": 0.5, "behind": None}, {"group": "a", "value": 0.25, "behind": 12.0}]
    shown = list(group_lines(found))
    assert shown[0].endswith("of school/classroom, 2026-01-01 to 2026-01-07")
    assert [line.split() for line in shown[-2:]] == [["(unnamed)", "50%"], ["a", "25%", "12"]]
    assert list(group_lines({**found, "groups": []}))[-1] == "  the vendor tells of no group"


def test_the_wish_for_groups_is_handed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every option; without `--by` there is nothing to ask."""
    asked: list[tuple[str, AskedGroups]] = []

    def answer(config: object, account: str, wish: AskedGroups) -> dict[str, Any]:
        asked.append((account, wish))
        return dict(msgspec.to_builtins(shown_groups()))

    monkeypatch.setattr(ask, "groups", answer)
    words = ("--by", "region", "--project", "p", "--product", "Native", "--days", "3", "--country", "Germany")
    result = command(tmp_path, "groups", "acme", "daily_users", *words, "--until", "2026-01-31T00:00Z")
    assert result.exit_code == 0, result.output
    assert asked == [
        (
            "acme",
            AskedGroups(
                signal="daily_users",
                by="region",
                project="p",
                product="Native",
                until="2026-01-31T00:00Z",
                days=3,
                country="Germany",
            ),
        )
    ]
    document = json.loads(command(tmp_path, "groups", "acme", "s", "--by", "sdk", "--json").output)
    assert document == msgspec.to_builtins(shown_groups())
    assert command(tmp_path, "groups", "acme", "s").exit_code == 2
