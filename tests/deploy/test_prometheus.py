"""The alerts about watcher itself, as promtool judges them."""

from __future__ import annotations

import re
import subprocess
from typing import Any

import pytest
import yaml

from tests.deploy.files import DEPLOY, program

FOLDER = DEPLOY / "prometheus"
ALERTS = "watcher-alerts.yaml"
UNIT_TESTS = "watcher-alerts.test.yaml"


def rules() -> list[dict[str, Any]]:
    """The alerting rules, in the order of the file."""
    document = yaml.safe_load((FOLDER / ALERTS).read_text())
    return [rule for group in document["groups"] for rule in group["rules"]]


@pytest.mark.parametrize(
    "words",
    [("check", "config", "prometheus.yaml"), ("check", "rules", ALERTS), ("test", "rules", UNIT_TESTS)],
    ids=" ".join,
)
def test_promtool_is_content(words: tuple[str, ...]) -> None:
    """The scrape configuration, the rules, and the rules' own unit tests."""
    line = [program("promtool", "prometheus"), *words]
    done = subprocess.run(line, cwd=FOLDER, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_seen_firing() -> None:
    """promtool is content with the unit tests, and these expect each alert at least once."""
    tests = yaml.safe_load((FOLDER / UNIT_TESTS).read_text())["tests"]
    expected = {
        *(case["alertname"] for t in tests for case in t.get("alert_rule_test", ()) if case["exp_alerts"]),
        *(
            name
            for t in tests
            for case in t.get("promql_expr_test", ())
            for sample in case["exp_samples"]
            for name in re.findall(r'alertname="(\w+)"', sample["labels"])
        ),
    }
    assert expected == {rule["alert"] for rule in rules()}


def test_every_alert_says_what_to_do() -> None:
    """A severity that routes know, a sentence for the pager, and where to look."""
    for rule in rules():
        assert rule["labels"]["severity"] in ("critical", "warning"), rule["alert"]
        assert set(rule["annotations"]) == {"summary", "description"}, rule["alert"]
        assert rule["annotations"]["description"].endswith("."), rule["alert"]
        assert re.match(r"Watcher[A-Z]", rule["alert"])
