"""The nightly figures: late, in Pacific days, and every split adding up to the whole."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from tests.conftest import EPOCH
from tests.emulator.vonage.helpers import KEY, Caller, plain, project
from watcher.clock import DAY, VirtualClock

MIDNIGHT = EPOCH + 8 * 3600  # of the first of January, in California
TRAFFIC = {"sessions": 10, "participants": 4, "length": "1h"}


async def figures(
    arguments: str, fields: str, *, now: float = MIDNIGHT + 3 * DAY, data: dict[str, Any] | None = None
) -> list[dict[str, Any]]:
    """The resources of a `projectData`."""
    data = data or plain(projects=[project(sessions=[], traffic=TRAFFIC)])
    caller = Caller(data, VirtualClock(epoch=now, jumping=True))
    query = f"{{ project(projectId: {KEY}) {{ projectData({arguments}) {{ totalCount resources {{ {fields} }} }} }} }}"
    found = (await caller.data(query))["projectData"]
    rows: list[dict[str, Any]] = found["resources"]
    assert found["totalCount"] == len(rows)
    return rows


async def test_a_day_appears_once_and_late() -> None:
    """42 h after it has ended, not a second before."""
    due = MIDNIGHT + DAY + 42 * 3600
    start = 'start: "2026-01-01T08:00:00Z", interval: DAILY'
    assert await figures(start, "intervalStart", now=due - 1) == []
    found = await figures(start, "intervalStart intervalEnd", now=due)
    assert found == [{"intervalStart": "2026-01-01T08:00:00.000Z", "intervalEnd": "2026-01-02T08:00:00.000Z"}]


async def test_daily_buckets_go_back_ninety_days() -> None:
    """Start 0 is the oldest there is; months go back a year."""
    now = EPOCH + 400 * DAY
    days = await figures("start: 0, interval: DAILY, first: 1000", "intervalStart", now=now)
    assert 86 <= len(days) <= 90
    assert len({day["intervalStart"] for day in days}) == len(days)
    months = await figures("start: 0, interval: MONTHLY", "intervalStart intervalEnd", now=now)
    assert len(months) == 13
    assert months[3] == {"intervalStart": "2026-05-01T07:00:00.000Z", "intervalEnd": "2026-06-01T07:00:00.000Z"}
    for before, after in pairwise(months):
        assert before["intervalEnd"] == after["intervalStart"]
    weeks = await figures("start: 0, interval: WEEKLY", "intervalStart", now=now)
    assert 12 <= len(weeks) <= 14


@pytest.mark.parametrize(
    ("start", "interval"),
    [("2026-02-01", "DAILY"), ("2025-12-20", "WEEKLY"), ("2025-10-01", "MONTHLY")],
)
async def test_auto(start: str, interval: str) -> None:
    """The longer the range, the longer the intervals; the answer says which."""
    caller = Caller(
        plain(projects=[project(sessions=[], traffic=TRAFFIC)]), VirtualClock(epoch=EPOCH + 50 * DAY, jumping=True)
    )
    query = f'{{ project(projectId: {KEY}) {{ projectData(start: "{start}") {{ interval }} }} }}'
    assert (await caller.data(query))["projectData"] == {"interval": interval}


async def test_groups_and_filters_add_up() -> None:
    """Any grouping has the sum of no grouping; a filter is its group's part."""
    fields = "errors { connect { attempts failures } } usage { streamedPublishedMinutes }"
    day = 'start: "2026-01-01T08:00:00Z", end: "2026-01-02T08:00:00Z", interval: DAILY'
    whole = (await figures(day, fields))[0]
    groups = await figures(f"{day}, groupBy: [SDK_TYPE, COUNTRY]", f"sdkType country {fields}")
    assert len(groups) == 24
    assert len({(group["sdkType"], group["country"]) for group in groups}) == 24
    minutes = [group["usage"]["streamedPublishedMinutes"] for group in groups]
    assert sum(minutes) == pytest.approx(whole["usage"]["streamedPublishedMinutes"])
    attempts = sum(group["errors"]["connect"]["attempts"] for group in groups)
    assert attempts == pytest.approx(whole["errors"]["connect"]["attempts"], abs=12)
    js = (await figures(f"{day}, sdkType: JS", fields))[0]
    assert js["errors"]["connect"]["attempts"] == pytest.approx(0.6 * whole["errors"]["connect"]["attempts"], abs=1)
    some = await figures(f"{day}, groupBy: SDK_TYPE, sdkType: [JS, IOS]", "sdkType")
    assert [group["sdkType"] for group in some] == ["JS", "IOS"]


async def test_filters_leave_participant_minutes_alone() -> None:
    """As documented: SDK, region and browser filters do not apply to them."""
    fields = "usage { participantMinutes { from3To6Publishers } streamedPublishedMinutes }"
    day = 'start: "2026-01-01T08:00:00Z", interval: DAILY'
    whole, part = (await figures(day, fields))[0], (await figures(f"{day}, browser: FIREFOX", fields))[0]
    assert part["usage"]["participantMinutes"] == whole["usage"]["participantMinutes"]
    assert part["usage"]["streamedPublishedMinutes"] < whole["usage"]["streamedPublishedMinutes"] / 5


async def test_an_incident_shows_in_its_day() -> None:
    """Six hours at 20 % failures of half the sessions make the day's mean."""
    incident = {
        "project": "classroom",
        "sessions_share": "50%",
        "start": "+12h",
        "duration": "6h",
        "levels": {"connectFailures": "20%"},
    }
    data = plain(projects=[project(sessions=[], traffic=TRAFFIC)], incidents=[incident])
    fields = "errors { connect { attempts failures } publish { attempts failures } }"
    errors = (await figures('start: "2026-01-01T08:00:00Z", interval: DAILY', fields, data=data))[0]["errors"]
    assert errors["connect"]["failures"] / errors["connect"]["attempts"] == pytest.approx(0.004 + 0.196 / 8, abs=0.002)
    assert errors["publish"]["failures"] / errors["publish"]["attempts"] == pytest.approx(0.006, abs=0.001)


async def test_distributions() -> None:
    """All buckets together are the minutes there were."""
    names = " ".join(f"ms{edge}" for edge in (50, *range(100, 1001, 100), "1000Plus"))
    fields = f"usage {{ streamedPublishedMinutes }} quality {{ publisher {{ latencyDistribution {{ {names} }} }} }}"
    row = (await figures('start: "2026-01-01T08:00:00Z", interval: DAILY', fields))[0]
    buckets = row["quality"]["publisher"]["latencyDistribution"]
    assert sum(buckets.values()) == pytest.approx(row["usage"]["streamedPublishedMinutes"])
    assert buckets["ms100"] > buckets["ms300"]


async def test_pages_of_groups() -> None:
    """A page is a cut of the whole, made alone."""
    clock = VirtualClock(epoch=EPOCH + 20 * DAY, jumping=True)
    caller = Caller(plain(projects=[project(sessions=[], traffic=TRAFFIC)]), clock)
    base = "start: 1765000000, interval: DAILY, groupBy: [BROWSER, REGION]"
    fields = """totalCount pageInfo { hasNextPage endCursor }
      resources { intervalStart browser region usage { sipUserMinutes } }"""
    query = "{{ project(projectId: {}) {{ projectData({}) {{ {} }} }} }}"
    whole = (await caller.data(query.format(KEY, f"{base}, first: 1000", fields)))["projectData"]
    assert whole["totalCount"] == len(whole["resources"]) == 44 * 12
    collected: list[Any] = []
    cursor = ""
    while True:
        arguments = f'{base}, first: 70, endCursor: "{cursor}"'
        part = (await caller.data(query.format(KEY, arguments, fields)))["projectData"]
        collected += part["resources"]
        if not part["pageInfo"]["hasNextPage"]:
            break
        cursor = part["pageInfo"]["endCursor"]
    assert collected == whole["resources"]
