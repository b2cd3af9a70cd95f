"""The Containerfile, as far as it can be judged without a registry to build from."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import yaml

from tests.deploy.files import DEPLOY, ROOT
from tests.real.stand import Stand, story

TEXT = (DEPLOY / "Containerfile").read_text()


def instructions() -> list[tuple[str, str]]:
    """Word and arguments, continuation lines joined, comments left out."""
    joined = re.sub(r"\\\n", " ", re.sub(r"(?m)^#.*\n", "", TEXT))
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line)]


def only(word: str) -> str:
    (found,) = (rest for name, rest in instructions() if name == word)
    return found


def test_everything_is_pinned() -> None:
    """One base, by digest, of the Python that the tests run on; packages by hash, or from what was built here."""
    bases = {rest.split(" AS ")[0] for word, rest in instructions() if word == "FROM"}
    assert len(bases) == 1
    version = f"{sys.version_info.major}\\.{sys.version_info.minor}"
    assert re.fullmatch(rf"docker\.io/library/python:{version}\.\d+-slim-bookworm@sha256:[0-9a-f]{{64}}", bases.pop())
    commands = [c for word, rest in instructions() if word == "RUN" for c in rest.split("&&") if "pip " in c]
    assert commands
    for command in commands:
        assert "--require-hashes" in command or "--no-deps" in command or "venv" in command, command


def test_it_runs_as_nobody_in_particular() -> None:
    """The same number as in Kubernetes, not root, and the owner of the state's folder."""
    uid = only("USER").partition(":")[0]
    stateful = yaml.safe_load((DEPLOY / "kubernetes/base/statefulset.yaml").read_text())
    assert int(uid) == stateful["spec"]["template"]["spec"]["securityContext"]["runAsUser"] > 0
    assert f"install -d -o {uid} -g {uid} -m 700 /var/lib/watcher" in TEXT
    assert json.loads(only("ENTRYPOINT")) == ["watcher"]
    assert json.loads(only("CMD"))[0] == "run"


def test_the_builder_gets_what_is_copied_and_no_more() -> None:
    """Every source is in the context; a state, a secret or the history is not."""
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    copies = (rest.split() for word, rest in instructions() if word == "COPY" and "--from" not in rest)
    sources = [path for *paths, _ in copies for path in paths]
    assert set(sources) == set(kept)
    assert all((ROOT / path).exists() for path in sources)
    for path in ("state.db", ".git", "config.yaml", ".venv", "deploy/kubernetes"):
        assert not any(fnmatch(path, pattern) for pattern in kept)


async def test_the_health_check_tells_a_running_daemon(tmp_path: Path) -> None:
    """Its command succeeds beside a daemon, and fails once that is gone."""
    stand = Stand(tmp_path)
    stand.write_story(story())
    stand.write_config(targets={}, routes=[])
    check = json.loads(only("HEALTHCHECK").partition(" CMD ")[2])
    check = [sys.executable, *(word.replace("9469", str(stand.port)) for word in check[1:])]
    async with stand.daemon() as process:
        assert subprocess.run(check, capture_output=True, timeout=20, check=False).returncode == 0
        await stand.stops(process)
    assert subprocess.run(check, capture_output=True, timeout=20, check=False).returncode != 0
