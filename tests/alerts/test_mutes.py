"""Silences, inhibition, maintenance and acknowledgements: tables of single decisions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.alerts.build import LABELS, T0, transition
from watcher.alerts.maintenance import Maintenance, active
from watcher.alerts.mutes import Firing, Inhibit, Mutes, silenced
from watcher.alerts.reasons import Dropped
from watcher.alerts.settings import BENEATH
from watcher.clock import wall_time
from watcher.model import SHARE, Ack, Silence, State, Transition

SILENCE = Silence(
    id="s",
    match={"rule": ("VideoFreezing",), "project": ("classroom", "lobby")},
    starts_at=T0 + 100.0,
    ends_at=T0 + 200.0,
    author="kim",
    comment="deploying",
    created_at=T0 + 90.0,
)
ALERT = transition(State.FIRING, 150)


def alert(
    *, severity: str = "critical", rule: str = "Any", signal: str = "video_freeze_ratio", **place: str
) -> Transition:
    """An alert that fires at a place."""
    return transition(State.FIRING, 150, rule=rule, severity=severity, signal=signal, labels=place)


@pytest.mark.parametrize(
    ("at", "since", "expected"),
    [
        (99.0, 99.0, None),
        (100.0, 99.0, Dropped.SILENCED),
        (200.0, 99.0, Dropped.SILENCED),
        (201.0, 99.0, None),
        (201.0, 200.0, Dropped.SILENCED),
    ],
)
def test_a_silence_holds_between_its_ends_and_for_what_became_known_under_it(
    at: float, since: float, expected: Dropped | None
) -> None:
    """Both ends belong to it."""
    assert silenced(ALERT, [SILENCE], at=T0 + at, since=T0 + since) is expected


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        ({}, Dropped.SILENCED),
        ({"alert": (ALERT.alert_id,)}, Dropped.SILENCED),
        ({"severity": ("warning", "critical")}, Dropped.SILENCED),
        ({"signal": ("video_freeze_ratio",)}, Dropped.SILENCED),
        ({"project": ("lobby",)}, None),
        ({"channel": ("",)}, Dropped.SILENCED),
        ({"rule": ("VideoFreezing",), "product": ("WebRTC",)}, None),
    ],
)
def test_a_silence_matches_by_every_key(match: Mapping[str, tuple[str, ...]], expected: Dropped | None) -> None:
    """Labels, and the words beside them; a label that is not there is empty."""
    assert silenced(ALERT, [replace(SILENCE, match=match)], at=T0 + 150, since=T0 + 150) is expected


PROJECT = {"account": "a", "provider": "agora", "project": "p"}


@pytest.mark.parametrize(
    ("source", "target", "inhibited"),
    [
        (alert(**PROJECT), alert(**PROJECT, channel="c"), True),
        (alert(**PROJECT, product="Native"), alert(**PROJECT, product="Native", channel="c"), True),
        (alert(provider="agora"), alert(**PROJECT, channel="c"), True),
        (alert(**PROJECT, channel="c"), alert(**PROJECT), False),
        (alert(**PROJECT), alert(**PROJECT, rule="Other"), False),
        (alert(**PROJECT, product="Native"), alert(**PROJECT, product="WebRTC", channel="c"), False),
        (alert(**PROJECT, signal="users"), alert(**PROJECT, channel="c"), False),
        (alert(**PROJECT, severity="warning"), alert(**PROJECT, channel="c"), False),
        (alert(**PROJECT, severity="warning"), alert(**PROJECT, severity="info", channel="c"), True),
        (alert(**PROJECT, signal=""), alert(**PROJECT, signal="", channel="c"), False),
        (alert(**PROJECT, signal=f"{SHARE}/video_freeze_ratio"), alert(**PROJECT, channel="c"), True),
        (alert(**PROJECT, signal=f"{SHARE}/users"), alert(**PROJECT, channel="c"), False),
    ],
)
def test_an_alert_mutes_those_beneath_it(source: Transition, target: Transition, inhibited: bool) -> None:
    """Same signal, same place but narrower, and not more severe; the daemon's own alerts (no signal) mute nothing."""
    expected = Dropped.INHIBITED if inhibited else None
    assert Firing([source, target], [BENEATH.value()]).inhibits(target) is expected
    assert Firing([target], [BENEATH.value()]).inhibits(target) is None


def test_named_inhibition_follows_its_labels_and_never_mutes_both() -> None:
    """Two alerts that are sources and targets at once would mute each other: neither is muted."""
    rule = Inhibit(source={"rule": ("Down",)}, target={}, equal=("account",))
    down, same, other = alert(rule="Down", account="a"), alert(account="a"), alert(account="b")
    firing = Firing([down, same, other], [rule])
    assert [firing.inhibits(a) for a in (down, same, other)] == [None, Dropped.INHIBITED, None]
    again = alert(rule="Down", account="a", project="q")
    assert Firing([down, again], [rule]).inhibits(again) is None


def test_a_storm_of_sources_is_bounded() -> None:
    """Of a thousand alike two are kept, the most severe among them."""
    many = [alert(severity="info", project=f"p{i}") for i in range(1000)]
    worst = alert(severity="critical", project="worst")
    rule = Inhibit(source={"signal": ("video_freeze_ratio",)}, target={"rule": ("Slow",)})
    firing = Firing([*many, worst, *many], [rule])
    assert firing.inhibits(alert(rule="Slow", signal="x", severity="critical", channel="z")) is Dropped.INHIBITED


BERLIN = Maintenance(name="nightly", days=frozenset(range(7)), start=120, end=180, zone="Europe/Berlin")


def utc(text: str) -> float:
    """`2026-03-29 01:30` in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def open_minutes(window: Maintenance, first: str, hours: int) -> int:
    """How many minutes of a stretch the window is open."""
    return sum(active(window, utc(first) + 60 * minute) for minute in range(60 * hours))


@pytest.mark.parametrize(
    ("day", "start", "end", "minutes"),
    [
        ("2026-03-28 12:00", 120, 180, 0),  # the hour that is skipped
        ("2026-03-28 12:00", 60, 300, 180),
        ("2026-03-28 12:00", 90, 150, 30),
        ("2026-10-24 12:00", 120, 180, 120),  # the hour that comes twice
        ("2026-10-24 12:00", 60, 300, 300),
        ("2026-06-01 12:00", 120, 180, 60),
        ("2026-06-01 12:00", 0, 1440, 1440),
        ("2026-06-01 12:00", 1380, 60, 120),
    ],
)
def test_a_weekly_window_is_what_the_wall_clock_shows(day: str, start: int, end: int, minutes: int) -> None:
    """Across both changes of daylight saving in Berlin, and on a plain day."""
    assert open_minutes(replace(BERLIN, start=start, end=end), day, 24) == minutes


def test_a_window_past_midnight_belongs_to_the_day_it_begins_on() -> None:
    """Saturday 23:00 to 01:00 is open on Sunday's first hour and not on Saturday's."""
    window = Maintenance(name="w", days=frozenset([5]), start=23 * 60, end=60)
    assert [active(window, utc(f"2026-01-{day} {time}")) for day, time in (
        ("03", "00:30"), ("03", "22:59"), ("03", "23:00"), ("04", "00:59"), ("04", "01:00"), ("04", "23:30")
    )] == [False, False, True, True, False, False]  # fmt: skip


def test_a_window_of_instants_is_open_between_them() -> None:
    """The end does not belong to it."""
    window = Maintenance(name="w", span=(100.0, 200.0))
    assert [active(window, at) for at in (99.0, 100.0, 199.9, 200.0)] == [False, True, True, False]


@given(st.integers(0, 2**31), st.sampled_from(["Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "UTC"]))
def test_a_window_and_its_complement_cover_the_day_once(at: int, zone: str) -> None:
    """Whatever the zone does, each instant is in exactly one of 02:15–14:45 and 14:45–02:15."""
    one = Maintenance(name="a", start=135, end=885, zone=zone)
    other = Maintenance(name="b", start=885, end=135, zone=zone)
    assert active(one, at) is not active(other, at)
    assert 0 <= wall_time(at, zone)[1] < 1440


def test_an_acknowledgement_holds_until_the_alert_changes() -> None:
    """A newer entry of the alert's log is a change."""
    mutes = Mutes(acks={ALERT.alert_id: Ack(alert_id=ALERT.alert_id, seq=3, author="kim", comment="", at=0.0)})
    assert mutes.in_hand(replace(ALERT, seq=3))
    assert not mutes.in_hand(replace(ALERT, seq=4))
    assert not mutes.in_hand(alert(**LABELS))
