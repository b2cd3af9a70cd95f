"""Scenario files: what they mean, and everything wrong with them at once, with its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.conftest import EPOCH
from tests.emulator.twilio.helpers import KEY, SECRET, SID, TOKEN, account, people, plain, room, scenario, traffic
from watcher.emulator.twilio.endings import BY_WORD, ENDINGS, HEALTHY
from watcher.emulator.twilio.scenario import read, reads
from watcher.emulator.twilio.world import Backlog
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
    acme, clinic = world.accounts
    assert (acme.sid, acme.api_keys[0].sid) == (SID, KEY)
    assert acme.generated is not None
    assert (acme.generated.rooms, acme.generated.length, acme.generated.day.trough) == (40, 2400, 0.2)
    assert (acme.crowd.returns, acme.crowd.retries, acme.crowd.completed) == (0.8, 2, 0.25)
    assert acme.mix.sdks[0][0] == "twilio-video-js 2.34.0"
    assert [round(until, 9) for _, until in acme.mix.sdks] == [0.6, 0.8, 1.0]
    board = acme.named[0]
    assert [(p.identity, p.join, p.stay, p.ending.code, p.code) for p in board.people] == [
        ("ann", 0, 1800, 53118, 53118),
        ("ben", 120, 31, 53405, 53405),
        ("ben", 180, 1200, None, None),
        ("cleo", 300, 12, 53000, None),
    ]
    assert acme.endings["53001"] == 0.015
    assert (acme.visibility.delay, acme.visibility.slow, acme.visibility.slowest) == (480, 0.1, 1800)
    assert acme.visibility.backlogs == (Backlog(start=EPOCH + 7200, end=EPOCH + 8400),)
    assert clinic.visibility.running
    assert clinic.endings == HEALTHY
    assert clinic.sid.startswith("AC")
    assert (world.limits.concurrent, world.limits.latency, world.limits.retry_after) == (20, 0.05, "seconds")
    assert world.incidents[0].regions == ("ie1",)
    assert world.incidents[0].endings == {"53405": 0.25, "unable_to_connect_to_room": 0.2}
    assert [fault.kind for fault in world.faults] == ["slow", "busy", "error_20503", "repeat_page"]
    assert world.faults[1].slots == 10


def test_defaults() -> None:
    """An account with one kind of credential is enough; the numbers are the dossier's."""
    world = scenario({"accounts": [{"name": "a", "auth_token": "t"}]})
    seen = world.accounts[0].visibility
    assert (seen.delay, seen.kept, seen.running) == (600, 7 * 86_400, False)
    assert (world.limits.concurrent, world.limits.per_second, world.limits.retry_after) == (0, 80, "none")
    assert (world.answers.errors, world.answers.no_error, world.seed) == ("legacy", "nothing", 1)


def test_the_words_for_endings() -> None:
    """All 47 of the vendor's, each by its code too where it has one; codes without words; and nothing at all."""
    assert len(ENDINGS) == 47
    assert len({ending.reason for ending in ENDINGS}) == 47
    assert len({ending.code for ending in ENDINGS if ending.code}) == 45
    assert BY_WORD["53405"] is BY_WORD["media_connection_failed_or_media_activity_ceased"]
    assert BY_WORD["53122"].reason == "recording_operation_requested_is_not_supported_for_the_Room_type"
    assert BY_WORD["53501"].reason == "unable_to_acquire_TURN_credentials"
    assert (BY_WORD["53407"].reason, BY_WORD["53407"].code) == ("unknown", 53407)
    assert (BY_WORD["none"].reason, BY_WORD["none"].code) == (None, None)


def test_made_up_sids_stay() -> None:
    """Ids do not depend on what else is in the file, nor on the seed."""
    first = scenario(plain())
    second = scenario(plain(seed=9, accounts=[account(rooms=[room(name="other"), room()])]))
    assert first.accounts[0].named[0].sid == second.accounts[0].named[1].sid
    anonymous = [scenario({"seed": seed, "accounts": [account(sid=None)]}).accounts[0].sid for seed in (1, 2)]
    assert anonymous[0] == anonymous[1]
    assert len(anonymous[0]) == 34


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (plain(accounts=[]), ["accounts: tuple should have at least 1 item"]),
        (plain(accounts=[account(auth_token=None, api_keys=[])]), ["account acme has neither auth_token nor api_keys"]),
        (plain(accounts=[account(sid="AC12")]), ["accounts[0].sid: string should match"]),
        (plain(accounts=[account(sidd=SID)]), ["unknown key accounts[0].sidd, did you mean `sid`?"]),
        (
            plain(accounts=[account(), account(rooms=[])]),
            ["account acme is used twice", f"sid {SID} is used twice", f"sid {KEY} is used twice"],
        ),
        (plain(accounts=[account(mix={"regions": {"us1": 0}})]), ["the weights of regions are all zero"]),
        (plain(accounts=[account(mix={"room_types": {"large": 1}})]), ["accounts[0].mix.room_types"]),
        (plain(accounts=[account(endings={"53999": "1%"})]), ["unknown ending 53999, "]),
        (
            plain(accounts=[account(endings={"room_not_fond": "1%"})]),
            ["unknown ending room_not_fond, did you mean `room_not_found`?"],
        ),
        (
            plain(accounts=[account(endings={"53000": "60%", "53104": "60%"})]),
            ["shares of attempts are more than 100% together"],
        ),
        (
            plain(accounts=[account(traffic={"rooms": 5000, "length": "1m"})]),
            ["traffic makes more than 1,000,000 rooms in the time they are kept"],
        ),
        (
            plain(accounts=[account(visibility={"slow": {"share": "5%", "by": "5m"}})]),
            ["slow rooms would come before the others"],
        ),
        (
            plain(accounts=[account(visibility={"timeout": "60%", "stuck": "60%"})]),
            ["timeout and stuck are more than 100% together"],
        ),
        (plain(accounts=[account(rooms=[room(), room()])]), ["at one time room of acme board at"]),
        (
            plain(accounts=[account(rooms=[room(people=[{"identity": "a", "stay": "1m"}])])]),
            ["people and participants exclude each other"],
        ),
        (plain(accounts=[account(rooms=[people({"ending": 12345})])]), ["unknown ending 12345"]),
        (plain(accounts=[account(rooms=[people({"stay": "2h"})])]), ["user-0 stays until after the room's end"]),
        (plain(epoch="+1h"), ["epoch counts from itself"]),
    ],
)
def test_contradictions(data: dict[str, Any], words: list[str]) -> None:
    """One clear sentence each."""
    found = problems(data)
    assert len(found) == len(words), found
    for one, expected in zip(sorted(found), words, strict=True):
        assert one.startswith(expected)


@pytest.mark.parametrize(
    ("incident", "words"),
    [
        ({"account": "nobody"}, "unknown account nobody, use one of: acme"),
        ({"rooms": ["x"]}, "account acme has no room x"),
        ({"rooms": ["board"], "rooms_share": "5%"}, "rooms and rooms_share exclude each other"),
        ({"regions": ["mars"]}, "account acme has no mars among its regions, use us1, ie1, sg1"),
        ({"sdks": ["x 1"]}, "account acme has no x 1 among its sdks"),
        ({"browsers": ["x 1"]}, "account acme has no x 1 among its browsers"),
        ({"endings": {}}, "endings are empty"),
        ({"endings": {"x": "1%"}}, "unknown ending x"),
        ({"duration": "0s"}, "duration is zero"),
    ],
)
def test_incidents_that_cannot_be(incident: dict[str, Any], words: str) -> None:
    """References and empty ones."""
    good = {"account": "acme", "start": "+1h", "duration": "1m", "endings": {"53405": "8%"}}
    assert [one[: len(words)] for one in problems(plain(incidents=[{**good, **incident}]))] == [words]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"kind": "melt"}, "faults[0].kind has an unknown value"),
        ({"kind": "slow"}, "slow needs seconds"),
        ({"kind": "busy", "share": "5%"}, "busy has no share"),
        ({"kind": "html", "factor": 2}, "html has no factor"),
        ({"kind": "next_elsewhere"}, "next_elsewhere has no origin to lead to"),
        ({"kind": "html", "text": "x"}, "html has no text"),
        ({"kind": "vanish", "share": 2}, "share is outside 0 to 1"),
        ({"kind": "foreign", "per_minute": 3, "where": {"endpoint": ["rooms"]}}, "foreign cannot be limited by"),
        ({"kind": "html", "where": {"project": ["x"]}}, "html cannot be limited by project"),
        ({"kind": "html", "where": {"endpoint": ["quality"]}}, "unknown endpoint quality"),
        ({"kind": "html", "where": {"account": ["x"]}}, "unknown account x, use acme"),
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
            "accounts:",
            "  - name: a",
            "    auth_token: !env NO_SUCH_SECRET",
            "    endings: {53001: 1%, 99999: 1%}",
            "  - name: b",
            "    auth_token: hunter2",
            "    api_keys: [{sid: SK00000000000000000000000000000000, secret: !file /nonexistent}]",
            "incidents:",
            "  - {account: c, start: +1m, duration: 1m, endings: {53405: 8%}}",
        ]
    )
    with pytest.raises(ConfigError) as caught:
        reads(text, epoch=EPOCH, name="file.yaml")
    lines = str(caught.value).splitlines()
    places = ["file.yaml:3:17:", "file.yaml:4:33:", "file.yaml:7:66:", "file.yaml:9:15:"]
    assert [line.split(" ", 1)[0] for line in lines] == places
    assert "NO_SUCH_SECRET is not set" in lines[0]
    assert "hunter2" not in str(caught.value)


def test_secrets_do_not_show() -> None:
    """Not in the scenario's own text either."""
    world = scenario(plain(accounts=[account(traffic=traffic())]))
    assert TOKEN not in repr(world)
    assert SECRET not in repr(world)
