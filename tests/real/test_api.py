"""The commands for people against a daemon that runs: through its listener, with its token."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.app import world
from tests.real.processes import command, free_port, running, until_ready

TOKEN = "0123456789abcdef0123"


def ask(folder: Path, *words: str, token: str = TOKEN) -> subprocess.CompletedProcess[str]:
    """Run one command beside the daemon."""
    full = [*command(*words), "-c", "config.yaml"]
    environment = {**os.environ, "WATCHER_TOKEN": token}
    return subprocess.run(full, cwd=folder, env=environment, capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.timeout(90)
async def test_a_silence_is_made_through_the_running_daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemon holds the state, so it is asked; a wrong token is refused in words; the token shows nowhere."""
    (tmp_path / "token").write_text(TOKEN)
    port = free_port()
    data = world.config(tmp_path)
    data["http"] = {"listen": f"127.0.0.1:{port}"}
    text = yaml.safe_dump(data).replace("http:\n", "http:\n  token: !env WATCHER_TOKEN\n")
    (tmp_path / "config.yaml").write_text(text)
    monkeypatch.setenv("WATCHER_TOKEN", TOKEN)
    with running(["run", "-c", "config.yaml"], folder=tmp_path):
        await until_ready(port)
        made = ask(tmp_path, "silence", "add", "rule=VideoFreezing")
        assert (made.returncode, made.stderr) == (0, "")
        assert "nothing that fires now" in made.stdout
        wrong = ask(tmp_path, "silence", "add", "rule=Other", token="x" * 20)
        assert (wrong.returncode, "show http.token" in wrong.stderr) == (1, True)
        listed = ask(tmp_path, "silence", "list").stdout
        assert made.stdout.split()[0] in listed
        assert "rule=Other" not in listed
        gone = ask(tmp_path, "ack", "nobody")
        assert (gone.returncode, gone.stderr) == (1, "watcher: no such alert fires: see the list\n")
    assert TOKEN not in made.stdout + wrong.stderr + listed + (tmp_path / "watcher.log").read_text()
