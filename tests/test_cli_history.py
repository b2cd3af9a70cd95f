"""Plan, backtest, export and explain as a user types them: one document, exit codes, no state, no secret."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.backtest.test_backtest import found
from tests.benchmarks import traces, worlds
from tests.benchmarks.traces import EPOCH, SIGNALS
from tests.test_cli import watcher
from watcher.model import Answer, Commit, Points, Span
from watcher.rules.engine import Engine
from watcher.store import open_store


def write_config(folder: Path, *, plan: str = "premium", name: str = "config.yaml") -> None:
    """Secrets that do not exist, and a state in a folder that does not."""
    (folder / "rules.yaml").write_text(worlds.rules(SIGNALS[7]))
    (folder / name).write_text(
        f"""
accounts:
  - name: acme
    provider: agora
    plan: {plan}
    customer_id: !env NO_SUCH_ID
    customer_secret: !file /no/such/secret
    projects:
      - name: classroom
        app_id: {worlds.APP_ID}
        signals: [{", ".join(SIGNALS[7])}]
targets: {{pager: !env NO_SUCH_URL}}
routes: [{{to: pager}}]
rules: [rules.yaml]
state: sqlite:///state/state.db
"""
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration and a day of points."""
    place = tmp_path_factory.mktemp("history")
    write_config(place)
    traces.write_csv(traces.generate("day", seed=6, days=1, queries=7), place / "points.csv")
    return place


def document(folder: Path, *words: str) -> Any:
    """What a command prints with `--json`; everything else it says goes to stderr."""
    ended = watcher(*words, "--json", folder=folder)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def test_plan(folder: Path) -> None:
    """A table and a document, without secrets and without a state."""
    table = watcher("plan", folder=folder)
    assert table.returncode == 0, table.stderr
    assert "acme/classroom/Native/video_freeze_ratio" in table.stdout
    (account,) = document(folder, "plan")["accounts"]
    assert {row["rule"] for row in account["rules"]} == {r["alert"] for r in _rules(folder)}
    assert not (folder / "state").exists()


def test_check_says_what_plan_says(tmp_path: Path) -> None:
    """The same numbers; and `check` asks for a minimum behind a ratio, which nobody needs who pages nobody."""
    write_config(tmp_path)
    assert watcher("check", folder=tmp_path).returncode == 2
    rules = tmp_path / "rules.yaml"
    rules.write_text(rules.read_text().replace("for: 40s", "for: 40s\n  require: {users: {above: 20}}"))
    assert document(tmp_path, "check")["plan"]["accounts"] == document(tmp_path, "plan")["accounts"]


def _rules(folder: Path) -> Any:
    return yaml.safe_load((folder / "rules.yaml").read_text())["rules"]


def test_plan_that_cannot_be_kept(folder: Path, tmp_path: Path) -> None:
    """Exit 2, the rule's line, and what to do."""
    write_config(tmp_path)
    text = (
        (tmp_path / "rules.yaml")
        .read_text()
        .replace("for: 40s", "for: 40s\n  detect_within: 2m\n  require: {users: {above: 20}}")
    )
    (tmp_path / "rules.yaml").write_text(text)
    for command in ("plan", "check"):
        ended = watcher(command, folder=tmp_path)
        assert ended.returncode == 2
        assert "rules.yaml:" in ended.stderr
        assert "raise detect_within to" in ended.stderr
        assert ended.stdout == ""


def test_backtest_says_the_same_under_either_policy_and_unlimited(folder: Path) -> None:
    """One JSON document on stdout each; the alerts are those of an observer of everything."""
    reports = [
        document(folder, "backtest", "--data", "points.csv", *more)
        for more in ((), ("--policy", "even"), ("--unlimited",))
    ]
    adaptive, even, unlimited = reports
    assert found(adaptive) == found(even) == found(unlimited)
    assert [r["policy"] for r in reports] == ["adaptive", "even", "unlimited"]
    assert len(adaptive["alerts"]) >= 5
    assert not (folder / "state").exists()
    said = watcher("backtest", "--data", "points.csv", folder=folder)
    assert said.returncode == 0
    assert "wait to the page" in said.stdout


def test_backtest_against_another_configuration(folder: Path) -> None:
    """Both reports, and what differs."""
    write_config(folder, plan="enterprise", name="bigger.yaml")
    both = document(folder, "backtest", "--data", "points.csv", "--against", "bigger.yaml")
    assert both["difference"]["both"] == len(both["alerts"]) == len(both["against"]["alerts"])
    assert both["difference"]["second_later_seconds"] < 0
    said = watcher("backtest", "--data", "points.csv", "--against", "bigger.yaml", folder=folder)
    assert "the other" in said.stdout


@pytest.mark.parametrize(
    ("text", "more", "line"),
    [
        ("ts,value\n1,2\n", (), ":1:"),
        ("ts,account,project,product,channel,signal,value,weight\n20,acme,classroom,Native,,users,x,\n", (), ":2:"),
        (None, ("--max-rows", "100"), ":102:"),
    ],
)
def test_backtest_of_a_file_that_is_none(folder: Path, tmp_path: Path, text: str | None, more: Any, line: str) -> None:
    """Exit 2 and the line, on stderr and in the one document of stdout."""
    write_config(tmp_path)
    (tmp_path / "points.csv").write_text(text if text is not None else (folder / "points.csv").read_text())
    ended = watcher("backtest", "--data", "points.csv", "--json", *more, folder=tmp_path)
    assert ended.returncode == 2
    assert f"points.csv{line}" in ended.stderr
    assert "Traceback" not in ended.stderr
    (problem,) = json.loads(ended.stdout)["problems"]
    assert f"{problem['file']}:{problem['line']}:".endswith(f"points.csv{line}")


def test_export_and_explain_read_what_was_recorded(tmp_path: Path) -> None:
    """What was stored comes out as the backtest's CSV, and a rule that fires is explained with its value."""
    write_config(tmp_path)
    assert watcher("export", folder=tmp_path).returncode == 2
    trace = _half_a_day(traces.generate("day", seed=6, days=1, queries=7))
    _record(tmp_path, trace)
    ended = watcher("export", "--output", "out.csv", folder=tmp_path)
    assert ended.returncode == 0, ended.stderr
    with (tmp_path / "out.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == sum(len(starts) for starts, _ in trace.columns.values())
    assert list(rows[0]) == ["ts", "account", "project", "product", "channel", "signal", "value", "weight"]
    series, (starts, values) = next(iter(trace.columns.items()))
    mine = [r for r in rows if r["product"] == series.product and r["signal"] == series.signal]
    assert [(int(r["ts"]), float(r["value"])) for r in mine] == list(zip(starts.tolist(), values.tolist(), strict=True))
    traces.write_csv(trace, tmp_path / "points.csv")
    again = [document(tmp_path, "backtest", "--unlimited", "--data", name) for name in ("out.csv", "points.csv")]
    assert found(again[0]) == found(again[1])
    told = document(tmp_path, "explain", "BadVideoFreezeRatio")
    (account,) = told["accounts"]
    assert {a["labels"]["product"] for a in account["alerts"]} == {"Native", "WebRTC"}
    assert account["page_seconds"]["earliest"] == 41
    assert account["page_seconds"]["earliest"] < account["page_seconds"]["mean"] < account["page_seconds"]["worst"]
    (firing,) = [a for a in account["alerts"] if a["labels"]["product"] == "Native"]
    assert firing["state"] == "firing"
    assert firing["value"] > firing["threshold"] == 0.05
    assert "fires since" in firing["why"]
    said = watcher("explain", "BadVideoFreezeRatio", folder=tmp_path)
    assert said.returncode == 0, said.stderr
    assert "at the earliest" in said.stdout
    assert "requests of the account are spent today" in said.stdout
    assert watcher("explain", "Nothing", folder=tmp_path).returncode == 2


def _half_a_day(trace: traces.Trace) -> traces.Trace:
    """Until noon, with native video that freezes in the last ten minutes."""
    noon = EPOCH + 43_200
    columns = {}
    for series, (starts, values) in trace.columns.items():
        mine = starts < noon
        starts, values = starts[mine], values[mine].copy()
        if series.signal == "video_freeze_ratio" and series.product == "Native":
            values[starts >= noon - 600] = 0.2
        columns[series] = starts, values
    return replace(trace, columns=columns, end=noon)


def _record(folder: Path, trace: traces.Trace) -> None:
    """The trace as the daemon would have left it."""
    config = worlds.config(folder, plan="premium", queries=7)
    write_config(folder)
    store = open_store(f"sqlite:///{folder}/state/state.db")
    engine = Engine(rules=config.rules, settings=config.judging)
    noon = trace.end
    for query in config.accounts[0].queries:
        (series,) = query.series
        starts, values = trace.columns[series]
        store.commit(Commit(points=[Points(series=series, width=20, start=starts, value=values)]))
        near = starts >= noon - 3600
        points = Points(series=series, width=20, start=starts[near], value=values[near])
        answer = Answer(
            query=query,
            asked=Span(noon - 3600, noon),
            settled=noon,
            points=(points,),
            received_at=float(noon),
        )
        verdicts = engine.receive(answer, float(noon))
        store.commit(Commit(covered={query.id: noon}, alerts=verdicts.alerts, transitions=verdicts.transitions))
    store.close()
