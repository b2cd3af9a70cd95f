"""The commands as a user types them: exit codes, one JSON document, help, and no traceback whatever is wrong."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.real.processes import command
from tests.test_config import CONFIGS, EXPECT, HERE

COMMANDS = ["run", "check", "plan", "backtest", "export", "explain", "demo", "emulate", "notify", "test-rules"]
SECRETS = {"ID": "customer-4711", "SECRET": "hunter2", "PAGER": "json://127.0.0.1:9/"}


def watcher(
    *words: str, folder: Path, secrets: bool = False, more: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """One command to its end, in a folder; the secrets of `good.yaml` are in the environment only where asked for."""
    bare = {name: value for name, value in os.environ.items() if name not in SECRETS}
    environment = bare | (SECRETS if secrets else {}) | (more or {})
    return subprocess.run(
        command(*words), cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


class Hook(ThreadingHTTPServer):
    """A web hook that answers everything with one status and keeps what it got."""

    def __init__(self, status: int) -> None:
        super().__init__(("127.0.0.1", 0), _HookRequest)
        self.status = status
        self.bodies: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        return f"json://127.0.0.1:{self.server_address[1]}/"


class _HookRequest(BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.bodies.append(json.loads(body))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's own name
        """Silent."""


@contextlib.contextmanager
def hook(status: int) -> Iterator[Hook]:
    """A running web hook."""
    server = Hook(status)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


# ── help and usage ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("words", [[], *([name] for name in COMMANDS)])
def test_every_command_has_help(words: list[str], tmp_path: Path) -> None:
    """`--help` and `-h` explain and exit 0, without any file."""
    ended = watcher(*words, "--help" if words else "-h", folder=tmp_path)
    assert ended.returncode == 0
    assert "Usage:" in ended.stdout
    assert not ended.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["runn"],
        ["run", "--fast"],
        ["run", "extra"],
        ["demo", "--for", "60"],
        ["demo", "--rate", "0"],
        ["emulate", "zoom", "--scenario", "x.yaml"],
        ["emulate", "agora"],
        ["emulate", "agora", "--scenario", "x.yaml", "--listen", "nowhere"],
        ["notify"],
        ["test-rules"],
    ],
)
def test_wrong_usage_exits_2(words: list[str], tmp_path: Path) -> None:
    """What the command line does not know is told on stderr, exit 2."""
    ended = watcher(*words, folder=tmp_path)
    assert ended.returncode == 2
    assert "Error:" in ended.stderr
    assert not ended.stdout


@pytest.mark.parametrize("words", [["check"], ["run"], ["notify", "pager"]])
def test_a_missing_configuration_exits_2(words: list[str], tmp_path: Path) -> None:
    """The file that is not there is named, in one line."""
    ended = watcher(*words, folder=tmp_path)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "config.yaml: cannot be read (No such file or directory), name a file\n"


# ── check ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", CONFIGS[::4])
def test_check_refuses_in_lines_and_exits_2(name: str) -> None:
    """One line per problem on stderr, nothing on stdout, no traceback, exit 2."""
    ended = watcher("check", "-c", name, folder=HERE)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "Traceback" not in ended.stderr
    assert len(ended.stderr.splitlines()) == (HERE / name).read_text().count(EXPECT)


@pytest.mark.parametrize("name", ["good.yaml", "all_at_once.bad.yaml", "nothing.yaml"])
def test_check_in_json_is_one_document(name: str) -> None:
    """With `--json`, stdout is exactly one document that holds every problem, and stderr is empty."""
    ended = watcher("check", "-c", name, "--json", folder=HERE)
    document = json.loads(ended.stdout)
    assert document["ok"] is (name == "good.yaml")
    assert bool(document["problems"]) is not document["ok"]
    assert ended.returncode == (0 if document["ok"] else 2)
    assert not ended.stderr
    for problem in document["problems"]:
        assert set(problem) == {"file", "line", "column", "what", "remedy"}


def test_check_needs_no_secret_and_opens_no_state(tmp_path: Path) -> None:
    """It says what the configuration comes to on a machine that has neither, and leaves nothing behind."""
    state = tmp_path / "not" / "yet" / "state.db"
    text = (HERE / "good.yaml").read_text().replace("state.db", str(state)).replace("packs", str(HERE / "packs"))
    (tmp_path / "config.yaml").write_text(text)
    ended = watcher("check", folder=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "acme (agora): 4 queries" in ended.stdout
    assert "VideoFreezing" in ended.stdout.partition("time to the page")[2]
    assert not state.parent.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


def test_check_takes_the_example() -> None:
    """The example is accepted, with the sums of its plan."""
    ended = watcher("check", "-c", "config.example.yaml", folder=HERE.parent.parent)
    assert ended.returncode == 0, ended.stderr
    assert "1439 a day" in ended.stdout


# ── test-rules ───────────────────────────────────────────────────────────────────────────────────────────────────────

RULE_TEST = """\
rules: [pack.yaml]
tests:
  - name: a freeze pages
    series: [{signal: users, values: 50x9}, {signal: video_freeze_ratio, values: 1% 9%x3 1%}]
    expect: [{at: 1m, alert: Freezing, state: STATE}]
"""
RULE_PACK = """\
rules:
  - alert: Freezing
    signal: video_freeze_ratio
    when: {last: 1, above: 5%}
    for: 20s
    require: {users: {above: 20}}
"""


def write_rule_test(folder: Path, state: str) -> None:
    """A pack and a test of it; paths in a test file are relative to it."""
    (folder / "inside").mkdir()
    (folder / "inside" / "pack.yaml").write_text(RULE_PACK)
    (folder / "inside" / "test.yaml").write_text(RULE_TEST.replace("STATE", state))


@pytest.mark.parametrize(("state", "code"), [("firing", 0), ("pending", 1), ("burning", 2)])
def test_rules_are_tested_with_an_exit_code(tmp_path: Path, state: str, code: int) -> None:
    """0 where all pass, 1 where one fails, 2 where the file is wrong; a failure has its place and the timeline."""
    write_rule_test(tmp_path, state)
    ended = watcher("test-rules", "inside/test.yaml", folder=tmp_path)
    assert ended.returncode == code
    assert "Traceback" not in ended.stderr
    if code == 0:
        assert ended.stdout == "inside/test.yaml: 1 passed\n"
    if code == 1:
        assert ended.stdout.splitlines() == [
            "inside/test.yaml:5:47: a freeze pages: at 1m Freezing is firing, not pending "
            "(pending 40s, firing 1m, resolved 2m)",
            "inside/test.yaml: 0 passed, 1 failed",
        ]
    if code == 2:
        assert ended.stderr.startswith("inside/test.yaml:5:47: tests[0].expect[0].state has an unknown value")
        assert not ended.stdout


def test_rule_tests_in_json_are_one_document(tmp_path: Path) -> None:
    """With `--json`, stdout is one document with every file and what is wrong with those that could not be read."""
    write_rule_test(tmp_path, "inactive")
    ended = watcher("test-rules", "inside/test.yaml", "none.yaml", "--json", folder=tmp_path)
    document = json.loads(ended.stdout)
    assert (ended.returncode, document["ok"], ended.stderr) == (2, False, "")
    assert [problem["file"] for problem in document["problems"]] == ["none.yaml"]
    ((test,),) = [file["tests"] for file in document["files"]]
    assert (test["name"], test["ok"], test["failures"][0]["line"]) == ("a freeze pages", False, 5)


# ── run, where it cannot start ───────────────────────────────────────────────────────────────────────────────────────


def write_config(folder: Path, **changes: str) -> None:
    """`good.yaml` in a folder of its own, with some of its lines changed."""
    text = (HERE / "good.yaml").read_text().replace("packs", str(HERE / "packs"))
    text += "http: {listen: 127.0.0.1:0}\n"
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    (folder / "config.yaml").write_text(text)


def test_run_names_every_secret_that_is_missing(tmp_path: Path) -> None:
    """One line for each, exit 2, and no state is made."""
    write_config(tmp_path)
    ended = watcher("run", folder=tmp_path)
    assert ended.returncode == 2
    lines = ended.stderr.splitlines()
    assert len(lines) == 3
    for name in SECRETS:
        assert any(f"environment variable {name} is not set" in line for line in lines)
    assert not (tmp_path / "state.db").exists()


def test_run_names_a_secret_file_that_is_missing(tmp_path: Path) -> None:
    """The path and the reason, in one line."""
    write_config(tmp_path, **{"!env SECRET": "!file nothing.txt"})
    ended = watcher("run", folder=tmp_path, secrets=True)
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert line.startswith("config.yaml:7:22: customer_secret: cannot read nothing.txt")


def test_run_refuses_a_target_that_only_its_secret_shows_to_be_wrong(tmp_path: Path) -> None:
    """A URL that Apprise does not take is refused at start, without being shown."""
    write_config(tmp_path)
    ended = watcher("run", folder=tmp_path, secrets=True, more={"PAGER": "slakc://tok3n"})
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert line.startswith("config.yaml:10:18: target pager is not a URL that Apprise accepts")
    assert "tok3n" not in line


def test_a_taken_port_exits_2(tmp_path: Path) -> None:
    """Address and reason in one line, for the daemon and for the emulator."""
    (tmp_path / "world.yaml").write_text((HERE.parent / "emulator" / "example.yaml").read_text())
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        write_config(tmp_path, **{"127.0.0.1:0": address})
        for words in (["run"], ["emulate", "agora", "--scenario", "world.yaml", "--listen", address]):
            ended = watcher(*words, folder=tmp_path, secrets=True)
            assert ended.returncode == 2, ended.stderr
            assert ended.stderr.splitlines()[-1] == f"watcher: cannot listen on {address}: Address already in use"
            assert "Traceback" not in ended.stderr


def test_a_state_that_cannot_be_made_exits_2(tmp_path: Path) -> None:
    """A file where the state's folder should be is one line."""
    (tmp_path / "taken").write_text("")
    write_config(tmp_path, **{"state.db": f"{tmp_path}/taken/state.db"})
    ended = watcher("run", folder=tmp_path, secrets=True)
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
    assert len([line for line in ended.stderr.splitlines() if not line.startswith("{")]) == 1


def test_a_bad_scenario_exits_2(tmp_path: Path) -> None:
    """The emulator's own file is told about in the same way."""
    (tmp_path / "world.yaml").write_text("accounts: []\nfaults: [{kind: earthquake}]\n")
    ended = watcher("emulate", "agora", "--scenario", "world.yaml", folder=tmp_path)
    assert ended.returncode == 2
    assert all(line.startswith("world.yaml:") for line in ended.stderr.splitlines())


# ── notify ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_notify_accepted(tmp_path: Path) -> None:
    """The target gets a message that says of itself that it is a test; exit 0."""
    write_config(tmp_path)
    with hook(204) as target:
        ended = watcher("notify", "pager", folder=tmp_path, secrets=True, more={"PAGER": target.url})
    assert (ended.returncode, ended.stdout) == (0, "pager accepted a test message\n"), ended.stderr
    (body,) = target.bodies
    assert body["title"].startswith("[TEST]")
    assert not (tmp_path / "state.db").exists()


@pytest.mark.parametrize("status", [400, 500, 0])
def test_notify_refused(tmp_path: Path, status: int) -> None:
    """A target that refuses, fails or is not there: one line without the URL, exit 1."""
    write_config(tmp_path)
    with hook(status) if status else contextlib.nullcontext() as target:
        url = target.url if target else "json://127.0.0.1:9/"
        more = {"PAGER": f"{url}tok3n"}
        ended = watcher("notify", "pager", folder=tmp_path, secrets=True, more=more)
    assert (ended.returncode, ended.stdout) == (1, "")
    (line,) = ended.stderr.splitlines()
    assert line.startswith("watcher: ")
    assert "tok3n" not in line
    assert target is None or len(target.bodies) == 1


def test_notify_an_unknown_target(tmp_path: Path) -> None:
    """The targets that exist are named; exit 2."""
    write_config(tmp_path)
    ended = watcher("notify", "pagre", folder=tmp_path, secrets=True)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "config.yaml: unknown target pagre, use one of: pager\n"


def test_notify_a_target_without_its_secret(tmp_path: Path) -> None:
    """What is missing and where it is named; exit 2."""
    write_config(tmp_path)
    ended = watcher("notify", "pager", folder=tmp_path)
    assert ended.returncode == 2
    assert ended.stderr.startswith("config.yaml:10:18: target pager: environment variable PAGER is not set")


@pytest.mark.parametrize(
    "words", [("plan",), ("backtest", "--data", "none.csv"), ("alerts",), ("silence", "list"), ("explain", "Any")]
)
def test_a_wrong_configuration_is_one_json_document_too(words: tuple[str, ...], tmp_path: Path) -> None:
    """Whichever command meets it: the problems are the document on stdout, and lines on stderr."""
    (tmp_path / "config.yaml").write_text("accounts: 7\n", encoding="utf-8")
    ended = watcher(*words, "--json", folder=tmp_path)
    assert ended.returncode == 2
    document = json.loads(ended.stdout)
    assert document["ok"] is False
    assert document["problems"][0]["line"] == 1
    assert "config.yaml:1:" in ended.stderr


def test_a_rule_that_is_not_there_is_one_json_document_too() -> None:
    """What a command finds wrong with its own arguments is said in the same form."""
    ended = watcher("explain", "NoSuchRule", "-c", "good.yaml", "--json", folder=HERE)
    assert ended.returncode == 2
    assert "NoSuchRule" in json.loads(ended.stdout)["problems"][0]["what"]
