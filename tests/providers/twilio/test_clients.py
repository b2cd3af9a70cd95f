"""By SDK, browser and media region: of those who left in ten minutes, from rows that are read anyway."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from watcher.alerts.affected import stand_out
from watcher.model import Dimension
from watcher.providers.twilio import rows
from watcher.providers.twilio.clients import splits
from watcher.providers.twilio.endings import Verdict
from watcher.providers.twilio.memory import Stay
from watcher.providers.twilio.rows import Client, Oddity, Tally

FAILURES = "participant_failure_ratio"
ROOM = "RM" + "0" * 32
JS, IOS = Client("twilio-video-js 2.34.0", "Chrome 143", "us1"), Client("twilio-video-ios 5.11.1", "", "ie1")


def stays(count: int, client: Client, *, failed: int = 0) -> list[Stay]:
    """People with one client, of whom the first few failed."""
    return [Stay(f"{client.sdk}-{n}", ROOM, 0, Verdict(failed=n < failed), client) for n in range(count)]


def row(**changes: Any) -> dict[str, Any]:
    """Somebody who left."""
    plain = {
        "participant_sid": "PA" + "0" * 32,
        "room_sid": ROOM,
        "status": "completed",
        "leave_time": "2026-01-01T10:00:00Z",
        "media_region": "us1",
        "publisher_info": {"name": "twilio-video-js", "sdk_version": "2.34.0"},
    }
    return {**plain, **changes}


def test_groups_and_their_rest() -> None:
    """A share of each group, how many they are, and the share of all others, those without a name among them."""
    found = splits([*stays(10, JS, failed=1), *stays(4, IOS, failed=3), *stays(2, Client(), failed=2)], FAILURES)
    assert [split.dimension for split in found] == [Dimension.SDK, Dimension.BROWSER, Dimension.MEDIA_REGION]
    assert {(split.counts, split.whole) for split in found} == {("participants", 6 / 16)}
    js, ios = found[0].groups
    assert js == ("twilio-video-js 2.34.0", 0.1, 10.0, (5 / 6, 6.0))
    assert ios == ("twilio-video-ios 5.11.1", 0.75, 4.0, (3 / 12, 12.0))
    assert [group.name for group in found[1].groups] == ["Chrome 143"]


def test_an_sdk_stands_out() -> None:
    """As its page says it."""
    everybody = [*stays(100, JS, failed=2), *stays(30, IOS, failed=15)]
    hurts = stand_out(splits(everybody, FAILURES), FAILURES, 1.0)  # in the one minute that was worst
    assert {h.base for h in hurts} == {17 / 130}, "beside all of the same ten minutes"
    assert {(h.dimension, h.group, h.value, h.users) for h in hurts} == {
        (Dimension.SDK, IOS.sdk, 0.5, 30.0),
        (Dimension.MEDIA_REGION, "ie1", 0.5, 30.0),
    }


def test_nobody_is_no_split() -> None:
    """Of nobody, and of people without a client, nothing is told."""
    assert splits([], FAILURES) == ()
    assert splits(stays(30, Client(), failed=9), FAILURES) == ()
    assert splits(stays(30, JS), FAILURES)[0].groups[0].rest == (0.0, 0.0)


@pytest.mark.parametrize(
    ("changes", "client"),
    [
        ({}, Client("twilio-video-js 2.34.0", "", "us1")),
        ({"publisher_info": {}}, Client("", "", "us1")),
        ({"publisher_info": None, "media_region": None}, Client()),
        (
            {"publisher_info": {"name": "twilio-video-js", "browser_name": "Chrome", "browser_major": "143"}},
            Client("twilio-video-js", "Chrome 143", "us1"),
        ),
        ({"publisher_info": {"name": "x" * 5_000}}, Client("x" * 39 + "…", "", "us1")),
    ],
)
def test_a_row_says_with_what_somebody_came(changes: dict[str, Any], client: Client) -> None:
    """As far as it does; text of end users is cut."""
    tally: Tally = Counter()
    found = rows.stay(row(**changes), ROOM, 2e9, tally)
    assert found is not None
    assert found.client == client
    assert not tally.total()


def test_an_odd_publisher_costs_its_client_alone() -> None:
    """Text where an object belongs, a number where text belongs: counted, and the person counts."""
    tally: Tally = Counter()
    for info in ("js", {"name": 7}):
        found = rows.stay(row(publisher_info=info), ROOM, 2e9, tally)
        assert found is not None
        assert found.client == Client("", "", "us1")
    assert tally == {Oddity.MISTYPED: 2}


def test_a_number_without_bound_is_none() -> None:
    """Four hundred digits are no duration and no code; the person counts."""
    tally: Tally = Counter()
    found = rows.stay(row(duration_sec=10**400, error_code=10**400), ROOM, 2e9, tally)
    assert found is not None
    assert (found.duration, found.code) == (None, None)
    assert tally == {Oddity.MISTYPED: 2}
