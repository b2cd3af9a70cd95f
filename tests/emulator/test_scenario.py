"""Scenario files: what they mean, and everything wrong with one at once."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import EPOCH
from watcher.emulator.faults import Facts, Fault, Injector, Where, moment
from watcher.emulator.scenario import read, reads
from watcher.emulator.world import Limits
from watcher.errors import ConfigError

EXAMPLE = Path(__file__).parent / "example.yaml"

HEAD = """\
accounts:
  - name: acme
    customer_id: id
    customer_secret: secret
    plan: premium
    projects:
      - name: classroom
        app_id: "01"
        products: {Native: {peak_users: 10}}
        channels: [{name: room, share: 50%}]
"""


def problems(text: str) -> list[str]:
    """Every problem of a scenario, as printed."""
    with pytest.raises(ConfigError) as caught:
        reads(text, epoch=EPOCH, name="s.yaml")
    return [str(problem) for problem in caught.value.problems]


def test_the_example_loads_with_its_plans() -> None:
    """The shipped scenario is whole: accounts, plan numbers, uids beyond 2^31, moments, faults."""
    scenario = read(EXAMPLE, epoch=EPOCH)
    acme, beta = scenario.accounts
    assert acme.limits["realtime"] == Limits(
        allowed=True, per_minute=3, per_day=480, look_back=2400, span=2400, delay=40
    )
    assert beta.limits["realtime"] == Limits(
        allowed=True, per_minute=10, per_day=1440, look_back=3600, span=3600, delay=20
    )
    assert acme.projects[0].channels[0].uids["Native"] == (2303692334, 2963430861, 7)
    assert acme.projects[1].healthy["videoFreezeRate"] == 0.02
    assert acme.projects[1].healthy["networkDelay"] == 0.008
    first, second, third = scenario.incidents
    assert (first.start, first.end, first.products) == (EPOCH - 1200, EPOCH - 900, ("Native",))
    assert (second.channel, second.products) == ("lecture", ("Native", "WebRTC"))
    assert third.levels == {"userCount": 0.0}
    reset = scenario.faults[2]
    assert (reset.kind, reset.since, reset.until) == ("reset", EPOCH + 3000, EPOCH + 3300)
    assert "acme-secret" not in repr(scenario)


@pytest.mark.parametrize("plan", ["starter", "standard"])
def test_small_plans_have_no_realtime(plan: str) -> None:
    """Starter and Standard cannot ask at all, unless a scenario says otherwise."""
    text = HEAD.replace("plan: premium", f"plan: {plan}")
    assert not reads(text, epoch=EPOCH).accounts[0].limits["realtime"].allowed
    given_limits = "{realtime: true, per_second: 1, per_minute: 2, per_day: 3, look_back: 4m, span: 5m, delay: 6s}"
    overridden = text.replace("    projects", f"    limits: {given_limits}\n    projects")
    assert reads(overridden, epoch=EPOCH).accounts[0].limits["realtime"] == Limits(
        allowed=True, per_second=1, per_minute=2, per_day=3, look_back=240, span=300, delay=6
    )


def test_moments_count_from_the_files_own_epoch_if_it_has_one() -> None:
    """An epoch in the file replaces the caller's; absolute moments stand by themselves."""
    text = HEAD + (
        "epoch: 2026-03-01T00:00:00Z\n"
        "incidents:\n"
        "  - {project: classroom, start: -4m, duration: 1m, levels: {networkDelay: 1}}\n"
        '  - {project: classroom, start: "2026-03-01T01:00:00+01:00", duration: 1m, levels: {networkDelay: 1}}\n'
    )
    scenario = reads(text, epoch=EPOCH)
    assert scenario.epoch == 1_772_323_200
    assert [incident.start for incident in scenario.incidents] == [1_772_323_200 - 240, 1_772_323_200]


def test_everything_wrong_with_the_shape_comes_at_once() -> None:
    """Unknown keys, missing keys, unknown kinds and bad literals, each with its place."""
    found = problems(
        "seed: x\naccounts:\n  - {name: a, customer_id: i, customer_secret: s, plan: gold, projects: []}\n"
        "faults: [{kind: snow}, {kind: slow, sconds: 5}]\n"
        "incidents: [{project: p, start: noon, duration: 5, levels: {videoFreze: 5%}}]\n"
    )
    text = "\n".join(found)
    assert "s.yaml:1:7: seed" in text
    assert "s.yaml:3:57: accounts[0].plan has an unknown value, use 'starter'" in text
    assert "s.yaml:4:17: faults[0].kind has an unknown value" in text
    assert "s.yaml:4:37: unknown key faults[1].sconds, did you mean `seconds`?" in text
    assert "s.yaml:5:33: incidents[0].start is not a moment, write it like +4m" in text
    assert "incidents[0].duration is not a duration" in text
    assert "unknown key incidents[0].levels.videoFreze, did you mean `videoFreezeRate`?" in text
    assert len(found) >= 7


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("epoch: +4m\n", "s.yaml:11:8: epoch counts from itself"),
        (
            "incidents: [{project: x, start: +0s, duration: 1m, levels: {userCount: 1}}]\n",
            "s.yaml:11:23: unknown project x, use one of: classroom",
        ),
        (
            "incidents: [{project: classroom, products: [WebRTC], start: +0s, duration: 1m, levels: {userCount: 1}}]\n",
            "project classroom has no WebRTC",
        ),
        (
            "incidents: [{project: classroom, channel: hall, start: +0s, duration: 1m, levels: {userCount: 1}}]\n",
            "project classroom has no channel hall",
        ),
        ("incidents: [{project: classroom, start: +0s, duration: 0s, levels: {userCount: 1}}]\n", "duration is zero"),
        ("incidents: [{project: classroom, start: +0s, duration: 1m, levels: {}}]\n", "levels are empty"),
        (
            "incidents: [{project: classroom, where: {sdk: none}, start: +0s, duration: 1m, levels: {userCount: 1}}]\n",
            "no user has sdk none, use 4.1.1",
        ),
        (
            "incidents: [{project: classroom, where: {net: 4G}, start: +0s, duration: 1m, levels: {userCount: 1}}]\n",
            "userCount cannot be limited by where",
        ),
        (
            "incidents: [{project: classroom, channel: room, where: {net: 4G}, start: +0s, duration: 1m, "
            "levels: {networkDelay: 1}}]\n",
            "where and channel exclude each other",
        ),
        ("faults: [{kind: slow}]\n", "s.yaml:11:10: slow needs seconds, add `seconds:`"),
        ("faults: [{kind: slow, seconds: -1}]\n", "an answer cannot come before its request"),
        ("faults: [{kind: reset, seconds: 1}]\n", "s.yaml:11:24: reset has no seconds, remove it"),
        ("faults: [{kind: holes, share: 2}]\n", "share is outside 0 to 1"),
        ("faults: [{kind: reset, text: x}]\n", "reset has no text"),
        ("faults: [{kind: reset, every: 2, probability: 10%}]\n", "every and probability exclude each other"),
        ("faults: [{kind: reset, from: +2m, until: +1m}]\n", "until is not after from"),
        ("faults: [{kind: reset, from: 2027-01-01T00:00:00Z, until: +1m}]\n", "until is not after from"),
        ("faults: [{kind: clock_skew, seconds: 5, every: 2}]\n", "clock_skew has no every and no probability"),
        (
            "faults: [{kind: clock_skew, seconds: 5, where: {metric: [userCount]}}]\n",
            "clock_skew cannot be limited by metric, use host",
        ),
        (
            "faults: [{kind: foreign, per_minute: 5, where: {host: [h]}}]\n",
            "foreign cannot be limited by host, use account",
        ),
        ("faults: [{kind: reset, where: {endpoint: [use]}}]\n", "unknown endpoint use, use call_freeze_bucket"),
        ("faults: [{kind: reset, where: {project: [p]}}]\n", "unknown project p, use classroom"),
    ],
)
def test_contradictions(more: str, expected: str) -> None:
    """What no single value shows is told with its place and remedy."""
    assert any(expected in line for line in problems(HEAD + more)), problems(HEAD + more)


def test_names_and_shares_within_accounts() -> None:
    """Two accounts with the same credentials, projects, App IDs, and channels over 100 %: all told."""
    twice = HEAD + HEAD.removeprefix("accounts:\n").replace("share: 50%}", "share: 60%}, {name: room, share: 60%}")
    text = "\n".join(problems(twice))
    for what in ("account acme", "customer_id id", "project classroom", "app_id 01", "channel room"):
        assert f"{what} is used twice" in text
    assert "shares are more than 100% together" in text
    assert "project classroom has no product" in "\n".join(problems(HEAD.replace("{Native: {peak_users: 10}}", "{}")))
    uids = HEAD.replace("share: 50%", "share: 50%, uids: {Native: [5], WebRTC: [5]}")
    assert "uid 5 is used twice" in "\n".join(problems(uids))
    missing = HEAD.replace("customer_secret: secret", "customer_secret: !env WATCHER_NOT_SET")
    assert "environment variable WATCHER_NOT_SET is not set, export it" in "\n".join(problems(missing))


@given(st.text(max_size=30))
def test_a_moment_is_read_or_refused(text: str) -> None:
    """No text crashes the reader of moments."""
    with contextlib.suppress(ValueError):
        assert abs(moment(text).seconds) < 1e12


@pytest.mark.parametrize(
    ("host", "named", "matches"),
    [
        ("api-one.example.com", "api-one.example.com", True),
        ("127.0.0.1:8001", "127.0.0.1:8001", True),
        ("127.0.0.1:8001", "127.0.0.1", True),
        ("127.0.0.1:8001", "127.0.0.1:8002", False),
        ("api-two.example.com", "api-one.example.com", False),
    ],
)
def test_a_host_is_named_with_or_without_its_port(host: str, named: str, matches: bool) -> None:
    """Two names or two ports of one emulator can fail apart."""
    assert Where(host=(named,)).matches(Facts(host=host)) is matches


def test_foreign_requests_are_spread_evenly() -> None:
    """Two a minute for an hour are 120, whatever the cuts; none before, none after."""
    fault = Fault(kind="foreign", since=1000.0, until=4600.0, per_minute=2.0)
    assert fault.foreign(0.0, 10_000.0) == 120
    assert fault.foreign(0.0, 1000.0) == fault.foreign(4600.0, 9000.0) == 0
    assert sum(fault.foreign(float(t), float(t + 7)) for t in range(900, 4700, 7)) == 120
    assert fault.foreign(1000.0, 1060.0) == 2


def test_foreign_requests_in_server_time() -> None:
    """Faults go by the run clock, quotas by the server's, which may be ahead; only those that the facts meet count."""
    where = Where(account=("acme",))
    faults = [
        Fault(kind="foreign", since=1000.0, until=2000.0, per_minute=60.0, where=where),
        Fault(kind="foreign", since=1000.0, until=2000.0, per_minute=6.0),
    ]
    injector = Injector(faults=faults, seed=1)
    assert injector.others(Facts(account="acme"), 500.0)(1500.0, 1560.0) == 66
    assert injector.others(Facts(account="acme"), 500.0)(1000.0, 1500.0) == 0
    assert injector.others(Facts(account="other"), 0.0)(1000.0, 1060.0) == 6
