"""The unit file, as systemd's own tools judge it, and as the program needs it."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.deploy.files import DEPLOY, program

UNIT = DEPLOY / "systemd" / "watcher.service"
MOST_EXPOSURE = 1.5


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file system with systemd's own units, the unit, and what it starts."""
    folder = tmp_path_factory.mktemp("root")
    shutil.copytree("/lib/systemd/system", folder / "lib/systemd/system", symlinks=True)
    for text in ("opt/watcher/bin/watcher", "bin/kill"):
        path = folder / text
        path.parent.mkdir(parents=True)
        path.touch(mode=0o755)
    (folder / "etc/systemd/system").mkdir(parents=True)
    shutil.copy(UNIT, folder / "etc/systemd/system")
    return folder


def analyze(*words: str) -> str:
    """All that systemd-analyze says; it must not fail."""
    line = [program("systemd-analyze", "systemd"), "--no-pager", *words]
    done = subprocess.run(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_verify_has_nothing_to_say(root: Path) -> None:
    """No unknown key, no missing program, no bad reference."""
    assert analyze("verify", f"--root={root}", "watcher.service") == ""


def test_a_unit_with_a_mistake_would_be_noticed(root: Path, tmp_path: Path) -> None:
    """The silence above means something."""
    shutil.copytree(root, tmp_path / "root", symlinks=True)
    copy = tmp_path / "root/etc/systemd/system/watcher.service"
    copy.write_text(copy.read_text().replace("DynamicUser=", "DynamicUsers="))
    assert "DynamicUsers" in analyze("verify", f"--root={tmp_path}/root", "watcher.service")


def test_it_is_hardened() -> None:
    """The overall exposure is at most 1.5 of 10."""
    verdict = analyze("security", "--offline=true", f"--threshold={round(MOST_EXPOSURE * 10)}", str(UNIT))
    found = re.search(r"Overall exposure level for watcher\.service: ([0-9.]+)", verdict)
    assert found, verdict
    assert 0 < float(found[1]) <= MOST_EXPOSURE


def test_it_asks_for_what_the_program_does() -> None:
    """Notify and watchdog, restarts without end, no core, time to drain, and room for the longest start."""
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(UNIT.read_text())
    service = unit["Service"]
    assert (service["Type"], service["Restart"], service["DynamicUser"]) == ("notify", "always", "yes")
    assert unit["Unit"]["StartLimitIntervalSec"] == "0"
    assert service["LimitCORE"] == "0"
    assert float(service["WatchdogSec"].removesuffix("s")) >= 30
    assert float(service["TimeoutStopSec"].removesuffix("s")) > 10
    assert service["LoadCredential"].startswith("watcher:")
