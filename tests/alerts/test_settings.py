"""Targets and routes as users write them: every problem with its place, and no secret in any of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from watcher.alerts.settings import AlertsSettings, check, warnings
from watcher.errors import ConfigError
from watcher.yamlfile import loads

GOOD = """\
targets:
  oncall-slack: !env SLACK_URL
  oncall-mail: mailto://user:hunter2@mail.example.com
  ops: json://ops.example.com/hook
routes:
  - match: {severity: critical, team: [video, audio]}
    to: [oncall-slack, oncall-mail]
    group_by: [rule, project]
    group_wait: 10s
    group_interval: 5m
  - to: oncall-mail
operators: [ops]
delivery: {deadline: 15s, give_up_after: 12h}
"""


def problems(text: str, *, secrets: bool = False) -> list[str]:
    """Every problem of a text, whether of its shape or between its parts."""
    document = loads(text, "c.yaml")
    try:
        settings = document.parse(AlertsSettings)
    except ConfigError as error:
        return [str(p) for p in error.problems]
    return [str(p) for p in check(document, settings, secrets=secrets)]


def warned(text: str) -> list[str]:
    """Every warning of a text."""
    document = loads(text, "c.yaml")
    return [str(p) for p in warnings(document, document.parse(AlertsSettings))]


def test_a_good_config_has_no_problem_and_keeps_its_values() -> None:
    """All keys are read, in base units, with one word standing for a list of one."""
    document = loads(GOOD)
    settings = document.parse(AlertsSettings)
    assert problems(GOOD) == []
    assert warned(GOOD) == []
    assert settings.routes[0].match == {"severity": ("critical",), "team": ("video", "audio")}
    assert (settings.routes[0].group_wait, settings.routes[0].group_interval) == (10, 300)
    assert settings.routes[1].to == ("oncall-mail",)
    assert (settings.delivery.deadline, settings.delivery.give_up_after) == (15, 43_200)
    assert settings.operator_targets() == ("ops",)


def test_targets_of_every_kind_are_read() -> None:
    """A URL, and three mappings; header values are secrets."""
    text = """\
targets:
  a: json://a.example.com
  b: {webhook: "https://b.example.com/x", headers: {authorization: !env NO_SUCH_KEY}}
  c: {alertmanager: "http://127.0.0.1:9093"}
  d: {heartbeat: "https://d.example.com/ping", every: 1m}
routes: [{to: [a, b, c]}]
"""
    settings = loads(text).parse(AlertsSettings)
    assert problems(text) == []
    assert warned(text) == []
    kinds = [type(target).__name__ for target in settings.targets.values()]
    assert kinds == ["Secret", "WebhookSettings", "AlertmanagerSettings", "HeartbeatSettings"]
    assert "example.com" not in repr(settings)


def test_defaults_are_those_of_the_design() -> None:
    """A route says only where to; the rest is grouped by rule and project, at once, then once a minute."""
    settings = loads("targets: {a: json://a.example.com}\nroutes: [{to: a}]\n").parse(AlertsSettings)
    route = settings.routes[0]
    assert (route.match, route.group_by, route.group_wait, route.group_interval) == ({}, ("rule", "project"), 0, 60)
    assert settings.operator_targets() == ("a",)
    assert AlertsSettings().operator_targets() == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "targets: {slack: json://a.example.com}\nroutes: [{to: [slakc]}]\n",
            "c.yaml:2:16: unknown target slakc, did you mean `slack`?",
        ),
        (
            "targets: {a: json://a.example.com}\nroutes: [{to: a, match: {severity: critcal}}]\n",
            "c.yaml:2:36: unknown severity critcal, did you mean `critical`?",
        ),
        (
            "targets: {a: json://a.example.com}\nroutes: [{to: a, repeat_interval: 5s}]\n",
            "c.yaml:2:35: repeat_interval is under a minute, 4h is usual, 0 for never",
        ),
        (
            "targets: {a: json://a.example.com}\nroutes: [{to: a, match: {team: 5}}]\n",
            "c.yaml:2:32: routes[0].match.team is not text or a list of text",
        ),
        ("targets: {a: 'carrier-pigeon://x'}\n", "c.yaml:1:14: target a is not a URL that Apprise accepts"),
        ("targets: {'a b': json://a.example.com}\n", "c.yaml:1:11: 'a b' is not a target's name"),
        (
            "targets: {a: {webhook: 'ftp://a.example.com'}}\n",
            "c.yaml:1:14: target a is not a web address, write it like https://example.com/path",
        ),
        ("targets: {a: {slack: x}}\n", "c.yaml:1:14: targets.a is no target, write a URL, or a mapping with one of"),
        (
            "targets: {a: {webhook: 'http://a.example.com', alertmanager: 'http://b.example.com'}}\n",
            "c.yaml:1:14: targets.a is no target",
        ),
        (
            "targets: {a: {heartbeat: 'http://a.example.com'}}\nroutes: [{to: a}]\n",
            "c.yaml:2:15: a is a heartbeat, name a target that takes messages",
        ),
        (
            "inhibit: [{source: {rule: A}}]\n",
            "c.yaml:1:11: mutes everything, name source and target, or set beneath: true",
        ),
        (
            "maintenance: [{name: w, from: '25:00', to: '01:00'}]\n",
            "c.yaml:1:31: maintenance[0].from is not a time of day",
        ),
        ("maintenance: [{name: w, from: '22:00'}]\n", "c.yaml:1:15: maintenance[0] says not when, write either from"),
        (
            "maintenance: [{name: w, from: '22:00', to: '23:00', time_zone: Mars/Base}]\n",
            "c.yaml:1:64: maintenance[0].time_zone is not a time zone of this machine",
        ),
        (
            "maintenance: [{name: w, starts: 2026-01-02T00:00:00Z, ends: 2026-01-01T00:00:00Z}]\n",
            "c.yaml:1:15: maintenance[0] ends before it starts, swap them",
        ),
        (
            "maintenance: [{name: w, days: [someday], from: '01:00', to: '02:00'}]\n",
            "c.yaml:1:31: maintenance[0].days has no",
        ),
        ("delivery: {max_per_hour: 1}\n", "c.yaml:1:26: delivery.max_per_hour is not 2 to 10,000"),
        ("flapping: {beginnings: 1}\n", "c.yaml:1:24: flapping.beginnings is not 2 to 50"),
        ("operators: [ops]\n", "c.yaml:1:13: unknown target ops, use one of the targets: there are none"),
        ("delivery: {deadline: 0s}\n", "c.yaml:1:22: delivery.deadline is not 1s to 5m"),
        ("delivery: {give_up_after: 10s}\n", "c.yaml:1:27: delivery.give_up_after is under a minute"),
        (
            "targets: {a: json://a.example.com}\nroutes: [{to: a, group_interval: 2d}]\n",
            "c.yaml:2:34: group_interval is over a day",
        ),
        (
            "targets: {a: json://a.example.com}\nroutes: [{to: a, group_by: [rule, rule]}]\n",
            "c.yaml:2:28: a label is named twice",
        ),
        ("routes: [{match: {}}]\n", "c.yaml:1:10: routes[0].to is missing"),
    ],
)
def test_each_fault_is_one_line_with_its_place(text: str, expected: str) -> None:
    """File, line, column, what is wrong and what to do about it."""
    found = problems(text)
    assert len(found) == 1
    assert found[0].startswith(expected)


def test_all_faults_come_at_once() -> None:
    """Three faults in three parts are three lines."""
    text = "targets: {a: nope}\nroutes: [{to: b}]\ndelivery: {deadline: 1h}\n"
    assert len(problems(text)) == 3


def test_the_number_of_targets_is_bounded() -> None:
    """Each target costs a task and a thread, so fifty-one are refused."""
    text = "targets:\n" + "".join(f"  t{i}: json://h{i}.example.com\n" for i in range(51))
    assert problems(text) == ["c.yaml:1:1: more than 50 targets, merge some"]


def test_secrets_elsewhere_are_looked_at_only_when_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without leave an unset variable is no problem; with leave it is, and so is what it holds, which never shows."""
    text = "targets: {a: !env NO_SUCH_URL}\n"
    assert problems(text) == []
    assert "NO_SUCH_URL is not set" in problems(text, secrets=True)[0]
    monkeypatch.setenv("NO_SUCH_URL", "bogus-hunter2")
    (line,) = problems(text, secrets=True)
    assert "not a URL that Apprise accepts" in line
    assert "hunter2" not in line


def test_a_bad_literal_url_is_never_shown(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Most of a URL is a secret: neither the problem nor a stray log line repeats it."""
    (line,) = problems("targets: {a: 'slack://hunter2'}\n")
    assert "hunter2" not in line
    assert "hunter2" not in "".join(capfd.readouterr())


def test_what_is_probably_not_meant_is_a_warning() -> None:
    """An unused target, and a severity that reaches nobody."""
    text = (
        "targets: {a: json://a.example.com, b: json://b.example.com}\nroutes: [{match: {severity: critical}, to: a}]\n"
    )
    assert warned(text) == [
        "c.yaml:1:36: target b is in no route, add it to a route or remove it",
        "c.yaml:2:1: no route takes alerts of severity warning, nobody is told of them: add a route",
        "c.yaml:2:1: no route takes alerts of severity info, nobody is told of them: add a route",
    ]
