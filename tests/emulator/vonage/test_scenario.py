"""Scenario files: what they mean, and everything wrong with them at once, with its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import EPOCH
from tests.emulator.vonage.helpers import APPLICATION, KEY, SECRET, application, plain, project, rsa, scenario, session
from watcher.emulator.vonage.scenario import read, reads
from watcher.emulator.vonage.world import HEALTHY, Outage
from watcher.errors import ConfigError

EXAMPLE = Path(__file__).parent / "example.yaml"


def problems(data: dict[str, Any]) -> list[str]:
    """What is wrong with a scenario, without places."""
    with pytest.raises(ConfigError) as caught:
        scenario(data)
    return [f"{problem.what}, {problem.remedy}" for problem in caught.value.problems]


def test_the_example_loads() -> None:
    """Everything in it arrives where it belongs."""
    world = read(EXAMPLE, epoch=EPOCH)
    classroom, clinic = world.projects
    assert (classroom.kind, classroom.id, clinic.kind, clinic.id) == ("legacy", KEY, "unified", APPLICATION)
    assert classroom.generated is not None
    assert (classroom.generated.rooms, classroom.generated.length, classroom.generated.day.trough) == (40, 2700, 0.2)
    assert classroom.crowd.audio_only == 0.1
    lecture = classroom.named[0]
    assert [(m.start - EPOCH, m.end - EPOCH, m.participants) for m in lecture.meetings] == [
        (-1800, 5400, 25),
        (5700, 7500, 10),
    ]
    assert (classroom.samples.dropped, classroom.samples.bitrate_factor) == (0.02, 8)
    assert (classroom.visibility.late, classroom.visibility.late_by) == (0.05, 120)
    assert classroom.hooks is not None
    assert (classroom.hooks.duplicates, classroom.hooks.attempts) == (0.05, 5)
    assert clinic.visibility.mode == "after_meeting_end"
    assert clinic.hooks is None
    assert (world.maintenance.zone, world.maintenance.answer) == ("PT", "error_1012")
    first = world.incidents[0]
    assert (first.start - EPOCH, first.end - first.start, first.streams) == (240, 360, 0.4)
    assert world.incidents[1].levels == {"videoBitrateKbps": 0, "networkDisconnected": 0.2}
    assert [fault.kind for fault in world.faults] == ["slow", "partial", "error_1012"]


def test_defaults() -> None:
    """A project is enough."""
    world = scenario({"projects": [{"name": "p", "key": "1", "secret": SECRET}]})
    assert (world.limits.requests, world.limits.seconds, world.limits.nodes) == (100, 30, 500_000)
    assert (world.jitter, world.seed, world.daily_delay) == (0.05, 1, 42 * 3600)
    assert world.projects[0].generated is None
    assert world.projects[0].healthy == HEALTHY
    assert (world.projects[0].visibility.mode, world.projects[0].visibility.lag) == ("per_sample", 300)
    assert world.maintenance.zone == "none"


def test_maintenance_windows() -> None:
    """Start, length and the time of filling in, as three instants."""
    world = scenario(plain(maintenance={"windows": [{"start": "+1h", "duration": "30m", "backfill": "10m"}]}))
    start = EPOCH + 3600
    assert world.maintenance.further == (Outage(start=start, end=start + 1800, complete=start + 2400),)


def test_a_private_key_will_do() -> None:
    """Its public half is taken; both halves check the same signatures."""
    public = scenario(plain(projects=[application()])).projects[0]
    private = scenario(plain(projects=[application(public_key=None, private_key=rsa()[0])])).projects[0]
    assert public.secret.reveal().strip() == private.secret.reveal().strip()


def test_the_same_name_gives_the_same_id_and_an_own_id_stays() -> None:
    """Ids do not depend on what else is in the file."""
    other = session(name="other", id="2_MX4-own_id")
    first = scenario(plain(projects=[project()])).projects[0].named
    second = scenario(plain(projects=[project(sessions=[other, session()])], seed=9)).projects[0].named
    assert first[0].session_id == second[1].session_id
    assert second[0].session_id == "2_MX4-own_id"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (plain(projects=[]), ["projects: tuple should have at least 1 item"]),
        (plain(projects=[project(secret=None)]), ["project classroom has neither key and secret nor application"]),
        (plain(projects=[project(application=APPLICATION)]), ["project classroom has neither"]),
        (plain(projects=[application(private_key=rsa()[0])]), ["project clinic has neither"]),
        (plain(projects=[application(public_key="rubbish")]), ["public_key is no RSA key"]),
        (plain(projects=[application(public_key=None, private_key="x")]), ["private_key is no RSA key"]),
        (plain(projects=[project(secret="short")]), ["secret is shorter than 32 characters"]),
        (plain(projects=[project(), project()]), ["key 12345678 is used twice", "project classroom is used twice"]),
        (plain(projects=[project(key="x1")]), ["projects[0].key: string should match"]),
        (plain(projects=[project(keyy="1")]), ["unknown key projects[0].keyy, did you mean `key`?"]),
        (plain(projects=[project(sessions=[session(), session()])]), ["session board is used twice"]),
        (
            plain(projects=[project(sessions=[session(id="2_x"), session(name="b", id="2_x")])]),
            ["id 2_x is used twice"],
        ),
        (
            plain(projects=[project(sessions=[session(meetings=[{"start": "+1h", "duration": "1h"}] * 2)])]),
            ["meeting 2 of board begins before the one before it has ended"],
        ),
        (
            plain(projects=[project(traffic={"sessions": 5000, "length": "1m"})]),
            ["traffic makes more than 1,000,000 sessions in 21 days"],
        ),
        (
            plain(projects=[project(webhooks={"url": "ftp://x", "signature": "short"})]),
            ["projects[0].webhooks.url: string should match"],
        ),
        (
            plain(projects=[project(webhooks={"url": "http://x", "signature": "short"})]),
            ["signature is shorter than 32 characters"],
        ),
        (plain(epoch="+1h"), ["epoch counts from itself"]),
    ],
)
def test_contradictions(data: dict[str, Any], words: list[str]) -> None:
    """One clear sentence each."""
    found = problems(data)
    assert len(found) == len(words)
    for one, expected in zip(sorted(found), words, strict=True):
        assert one.startswith(expected)


@pytest.mark.parametrize(
    ("incident", "words"),
    [
        ({"project": "nobody"}, "unknown project nobody, use one of: classroom"),
        ({"sessions": ["x"]}, "project classroom has no session x"),
        ({"sessions": ["board"], "sessions_share": "5%"}, "sessions and sessions_share exclude each other"),
        ({"levels": {}}, "levels are empty"),
        ({"duration": "0s"}, "duration is zero"),
        ({"levels": {"videoLoss": 1}}, "unknown key incidents[0].levels.videoLoss"),
    ],
)
def test_incidents_that_cannot_be(incident: dict[str, Any], words: str) -> None:
    """References and empty ones."""
    good = {"project": "classroom", "start": "+1h", "duration": "1m", "levels": {"videoPacketLoss": "8%"}}
    assert [one[: len(words)] for one in problems(plain(incidents=[{**good, **incident}]))] == [words]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"kind": "melt"}, "faults[0].kind has an unknown value"),
        ({"kind": "slow"}, "slow needs seconds"),
        ({"kind": "slow", "seconds": -1}, "an answer cannot come before its request"),
        ({"kind": "html", "share": "5%"}, "html has no share"),
        ({"kind": "html", "slots": 3}, "html has no slots"),
        ({"kind": "partial", "share": 2}, "share is outside 0 to 1"),
        ({"kind": "html", "every": 2, "probability": "5%"}, "every and probability exclude each other"),
        ({"kind": "html", "from": "+2m", "until": "+1m"}, "until is not after from"),
        ({"kind": "foreign", "per_minute": 3, "every": 2}, "foreign has no every and no probability"),
        ({"kind": "foreign", "per_minute": 3, "where": {"host": ["x"]}}, "foreign cannot be limited by host"),
        ({"kind": "html", "where": {"metric": ["x"]}}, "html cannot be limited by metric"),
        ({"kind": "html", "where": {"endpoint": ["quality"]}}, "unknown endpoint quality"),
        ({"kind": "html", "where": {"project": ["x"]}}, "unknown project x"),
    ],
)
def test_faults_that_cannot_be(fault: dict[str, Any], words: str) -> None:
    """Settings that a kind does not have, and places that do not exist."""
    assert [one[: len(words)] for one in problems(plain(faults=[fault]))] == [words]


def test_places_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """File, line and column; a secret that is not there is a problem as any other, and none is ever printed."""
    monkeypatch.delenv("NO_SUCH_SECRET", raising=False)
    text = "\n".join(
        [
            "projects:",
            "  - name: a",
            '    key: "1"',
            "    secret: !env NO_SUCH_SECRET",
            "  - name: b",
            '    key: "2"',
            "    secret: hunter2",
            "incidents:",
            "  - {project: c, start: +1m, duration: 1m, levels: {videoPacketLoss: 8%}}",
        ]
    )
    with pytest.raises(ConfigError) as caught:
        reads(text, epoch=EPOCH, name="file.yaml")
    lines = str(caught.value).splitlines()
    assert [line.split(" ", 1)[0] for line in lines] == ["file.yaml:4:13:", "file.yaml:7:13:", "file.yaml:9:15:"]
    assert "NO_SUCH_SECRET is not set" in lines[0]
    assert "hunter2" not in str(caught.value)


def test_secrets_do_not_show() -> None:
    """Not in the scenario's own text either."""
    world = scenario(plain(projects=[project(webhooks={"url": "http://x", "signature": "s" * 40}), application()]))
    assert SECRET not in repr(world)
    assert "s" * 40 not in repr(world)
    assert json.dumps(rsa()[1])[1:-1] not in repr(world)
