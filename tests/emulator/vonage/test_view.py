"""What the API shows when: lag, meetings that must be over, maintenance and back-fill, retention, the Pacific clock."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import EPOCH
from tests.emulator.vonage.helpers import KEY, NOON, Caller, plain, project, scenario, session, session_query
from watcher.clock import DAY, VirtualClock
from watcher.emulator.vonage.calendar import next_midnight, outages, pacific_midnight, pacific_offset
from watcher.emulator.vonage.life import Lives
from watcher.emulator.vonage.samples import timing
from watcher.emulator.vonage.sessions import Sessions
from watcher.emulator.vonage.view import Ranks, View
from watcher.emulator.vonage.world import Maintenance, Outage, Scenario

COUNTS = """{ resources { meetings { resources { createdAt destroyedAt publishers(first: 1) { totalCount
  resources { destroyedAt streamStatsCollection { totalCount } } } } } } }"""


# ── the Pacific clock ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "hours"),
    [
        ("2026-01-15T00:00:00Z", -8), ("2026-07-15T00:00:00Z", -7),
        ("2026-03-08T09:59:59Z", -8), ("2026-03-08T10:00:00Z", -7),
        ("2026-11-01T08:59:59Z", -7), ("2026-11-01T09:00:00Z", -8),
        ("2024-03-10T10:00:00Z", -7), ("2024-11-03T09:00:00Z", -8), ("2027-03-14T09:59:59Z", -8),
    ],
)  # fmt: skip
def test_pacific_offsets(text: str, hours: int) -> None:
    """Second Sunday of March to first Sunday of November, at two in the morning of the clock that ends."""
    at = datetime.fromisoformat(text).timestamp()
    assert pacific_offset(at) == hours * 3600
    assert pacific_offset(at, "PST") == -8 * 3600


@settings(max_examples=100, deadline=None)
@given(at=st.integers(1_262_304_000, 2_082_758_400))
def test_pacific_days(at: int) -> None:
    """Every instant lies in a day of 23 to 25 hours, from one local midnight to the next."""
    midnight = pacific_midnight(at)
    after = next_midnight(midnight)
    assert midnight <= at < after
    assert after - midnight in (23 * 3600, 24 * 3600, 25 * 3600)
    for start in (midnight, after):
        assert (start + pacific_offset(start)) % DAY == 0
        assert pacific_midnight(start) == start


@pytest.mark.parametrize(("text", "hours"), [("2026-03-08", 23), ("2026-11-01", 25), ("2026-06-01", 24)])
def test_days_of_the_change(text: str, hours: int) -> None:
    """They are an hour shorter, or longer."""
    midnight = pacific_midnight(datetime.fromisoformat(f"{text}T20:00:00Z").timestamp())
    assert next_midnight(midnight) - midnight == hours * 3600


def test_the_regular_windows() -> None:
    """Daily 21 to 23 and Sunday 4 to 7 local time, complete half an hour and an hour later."""
    found = outages(Maintenance(zone="PT", further=(), answer="frozen"), EPOCH, EPOCH + 4 * DAY)
    spans = [
        tuple(datetime.fromtimestamp(at, UTC).strftime("%a %H:%M") for at in (o.start, o.end, o.complete))
        for o in found
    ]
    assert spans == [
        ("Thu 05:00", "Thu 07:00", "Thu 07:30"),
        ("Fri 05:00", "Fri 07:00", "Fri 07:30"),
        ("Sat 05:00", "Sat 07:00", "Sat 07:30"),
        ("Sun 05:00", "Sun 07:00", "Sun 07:30"),
        ("Sun 12:00", "Sun 15:00", "Sun 16:00"),
    ]
    summer = EPOCH + 200 * DAY
    for zone, hour in (("PT", 4), ("PST", 5)):
        maintenance = Maintenance(zone=zone, further=(), answer="frozen")  # type: ignore[arg-type]
        assert (outages(maintenance, summer, summer + DAY)[0].start - summer) / 3600 % 24 == hour
    assert outages(Maintenance(zone="none", further=(), answer="frozen"), EPOCH, EPOCH + DAY) == []


# ── pages over what is hidden ────────────────────────────────────────────────────────────────────────────────────────


@given(
    end=st.integers(0, 60),
    hidden=st.sets(st.integers(0, 59)),
    offset=st.integers(0, 70),
    first=st.integers(1, 70),
    below=st.integers(0, 80),
)
def test_ranks(end: int, hidden: set[int], offset: int, first: int, below: int) -> None:
    """Pages and counts equal those of the plain list of ranks that are seen."""
    gone = tuple(sorted(rank for rank in hidden if rank < end))
    ranks = Ranks(end=end, hidden=gone)
    seen = [rank for rank in range(end) if rank not in hidden]
    assert len(ranks) == len(seen)
    assert list(ranks.page(offset, first)) == seen[offset : offset + first]
    assert ranks.below(below) == sum(1 for rank in seen if rank < below)


# ── rows in time ─────────────────────────────────────────────────────────────────────────────────────────────────────


def seen(world: Scenario, now: float) -> list[float]:
    """When the rows of the first stream of `board` were measured, of those that can be seen."""
    store = world.projects[0]
    found = Sessions(store).within(EPOCH, EPOCH + DAY)[0]
    meeting = found.meetings[0]
    crew = Lives(world.incidents).crew(found, meeting)
    near = tuple(outages(world.maintenance, now - DAY, now + 1))
    view = View(now=now, visibility=store.visibility, outages=near)
    if not view.meeting(meeting):
        return []
    when = timing(crew.publishers[0], store.samples)
    return [when.at(when.raw(rank)) for rank in view.ranks(when, meeting).page(0, 10_000)]


def test_rows_show_after_the_lag() -> None:
    """Each row as soon as it is five minutes old, not before."""
    world = scenario(plain())
    everything = seen(world, EPOCH + DAY)
    for now in (NOON, NOON + 1, NOON + 17.3, NOON + 3000):
        assert seen(world, now) == [at for at in everything if at <= now - 300]


def test_late_rows_come_later() -> None:
    """A share of the rows comes two minutes after its time, in between those that are there already."""
    world = scenario(plain(projects=[project(visibility={"late": {"share": "25%", "by": "2m"}})]))
    everything = seen(world, EPOCH + DAY)
    prompt, late = 0, 0
    for at in everything:
        if at in seen(world, at + 300):
            prompt += 1
        else:
            late += 1
            assert at not in seen(world, at + 419.9)
            assert at in seen(world, at + 420)
    assert late / (late + prompt) == pytest.approx(0.25, abs=0.01)
    assert any(seen(world, now) != everything[: len(seen(world, now))] for now in range(int(NOON), int(NOON) + 300, 30))


def test_a_meeting_that_must_be_over() -> None:
    """Nothing until ten minutes after the last one left and the lag; then all of it."""
    world = scenario(plain(projects=[project(visibility={"mode": "after_meeting_end"})]))
    over = EPOCH + 13 * 3600 + 600
    assert seen(world, over + 299) == []
    everything = seen(world, over + 300)
    assert len(everything) > 230
    assert seen(world, over + DAY) == everything
    late = {"mode": "after_meeting_end", "late": {"share": "50%", "by": "2m"}}
    world = scenario(plain(projects=[project(visibility=late)]))
    assert len(seen(world, over + 300)) == pytest.approx(len(everything) / 2, abs=1)
    assert seen(world, over + 420) == everything


def test_maintenance_holds_back_and_fills_in() -> None:
    """Frozen in the window, newer rows at once after it, the missed ones in between them bit by bit, all in the end."""
    window = {"start": "+11h30m", "duration": "20m", "backfill": "10m"}
    world = scenario(plain(maintenance={"windows": [window]}))
    begins, ends = EPOCH + 11.5 * 3600, EPOCH + 11.5 * 3600 + 1200
    everything = seen(world, EPOCH + DAY)
    frozen = seen(world, begins)
    assert frozen == [at for at in everything if at <= begins - 300]
    assert seen(world, ends - 1) == frozen
    missed = {at for at in everything if begins <= at + 300 < ends}
    counts = []
    for now in (ends, ends + 200, ends + 400, ends + 599):
        shown = seen(world, now)
        assert set(everything) - missed >= set(shown) - missed
        assert [at for at in shown if at not in missed] == [
            at for at in everything if at <= now - 300 and at not in missed
        ]
        counts.append(len(missed.intersection(shown)))
    assert counts == sorted(counts)
    assert counts[0] <= 3
    assert 10 < counts[1] < counts[2] < len(missed)
    assert seen(world, ends + 600) == [at for at in everything if at <= ends + 300]


def test_a_meeting_that_would_show_in_maintenance() -> None:
    """It shows when the window is complete."""
    over = 13 * 3600 + 600 + 300
    outage = Outage(start=EPOCH + over - 60, end=EPOCH + over + 600, complete=EPOCH + over + 900)
    world = scenario(plain(projects=[project(visibility={"mode": "after_meeting_end"})]))
    meeting = Sessions(world.projects[0]).within(EPOCH, EPOCH + DAY)[0].meetings[0]

    def shown(now: float) -> bool:
        return View(now=now, visibility=world.projects[0].visibility, outages=(outage,)).meeting(meeting)

    assert not shown(outage.end + 1)
    assert not shown(outage.complete - 1)
    assert shown(outage.complete)


# ── over the API ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def ask(data: dict[str, Any], now: float) -> dict[str, Any]:
    """The body of an answer about `board` at an instant."""
    caller = Caller(data, VirtualClock(epoch=now, jumping=True))
    found: dict[str, Any] = (await caller.post(session_query(caller.id(), COUNTS))).json()
    return found


def meeting_of(body: dict[str, Any]) -> dict[str, Any]:
    """The one meeting in it."""
    found: dict[str, Any] = body["data"]["project"]["sessionData"]["sessions"]["resources"][0]["meetings"]["resources"][
        0
    ]
    return found


async def test_ends_are_null_until_they_are_known() -> None:
    """A stream's end shows after the lag, the meeting's after ten quiet minutes more."""
    end = EPOCH + 13 * 3600
    running = meeting_of(await ask(plain(), NOON))
    assert (running["destroyedAt"], running["publishers"]["resources"][0]["destroyedAt"]) == (None, None)
    quiet = meeting_of(await ask(plain(), end + 301))
    assert quiet["destroyedAt"] is None
    assert quiet["publishers"]["resources"][0]["destroyedAt"] == "2026-01-01T13:00:00.000Z"
    assert meeting_of(await ask(plain(), end + 901))["destroyedAt"] == "2026-01-01T13:00:00.000Z"


async def test_a_session_not_yet_visible_is_not_found() -> None:
    """1017 until the lag has passed, and with meetings that must be over until they are."""
    start = EPOCH + 11 * 3600
    assert (await ask(plain(), start + 299))["errors"][0]["errorCode"] == 1017
    assert "errors" not in await ask(plain(), start + 301)
    after = plain(projects=[project(visibility={"mode": "after_meeting_end"})])
    assert (await ask(after, NOON))["errors"][0]["errorCode"] == 1017
    assert meeting_of(await ask(after, EPOCH + 13 * 3600 + 901))["destroyedAt"] == "2026-01-01T13:00:00.000Z"


async def test_retention() -> None:
    """Twenty-one days after its creation a meeting is gone."""
    assert "errors" not in await ask(plain(), EPOCH + 21 * DAY + 11 * 3600 - 1)
    assert (await ask(plain(), EPOCH + 21 * DAY + 11 * 3600 + 1))["errors"][0]["errorCode"] == 1017


async def test_a_return_within_ten_minutes_shows_two_rows_of_one_meeting() -> None:
    """The same id twice, each with its own times."""
    meetings = [{"start": "+11h", "duration": "5m"}, {"start": "+11h12m", "duration": "5m"}]
    data = plain(projects=[project(sessions=[session(meetings=meetings)])])
    caller = Caller(data, VirtualClock(epoch=NOON, jumping=True))
    inside = "{ resources { meetings { totalCount resources { meetingId createdAt destroyedAt } } } }"
    found = (await caller.data(session_query(caller.id(), inside)))["sessionData"]["sessions"]["resources"][0][
        "meetings"
    ]
    first, second = found["resources"]
    assert first["meetingId"] == second["meetingId"]
    assert (first["createdAt"], first["destroyedAt"]) == ("2026-01-01T11:00:00.000Z", "2026-01-01T11:05:00.000Z")
    assert second["createdAt"] == "2026-01-01T11:12:00.000Z"


async def test_one_meeting_of_several() -> None:
    """By its id, where a session has more of them."""
    meetings = [{"start": "+10h", "duration": "5m"}, {"start": "+11h", "duration": "5m"}]
    data = plain(projects=[project(sessions=[session(meetings=meetings)])])
    caller = Caller(data, VirtualClock(epoch=NOON, jumping=True))
    inside = "{ resources { meetings%s { totalCount resources { meetingId } } } }"
    found = (await caller.data(session_query(caller.id(), inside % "")))["sessionData"]["sessions"]["resources"][0]
    first, second = (meeting["meetingId"] for meeting in found["meetings"]["resources"])
    assert first != second
    query = session_query(caller.id(), inside % f'(meetingId: "{second}")')
    only = (await caller.data(query))["sessionData"]["sessions"]["resources"][0]["meetings"]
    assert only == {"totalCount": 1, "resources": [{"meetingId": second}]}


@pytest.mark.parametrize(
    ("answer", "status", "words"),
    [
        ("error_1012", 200, "1012"),
        ("http_503", 503, "Temporarily unavailable"),
        ("empty", 200, '"resources":[]'),
        ("frozen", 200, "meetings"),
    ],
)
async def test_answers_in_maintenance(answer: str, status: int, words: str) -> None:
    """Every way in which the API may behave in a window; the nightly figures know no window."""
    window = {"start": "+11h45m", "duration": "30m", "backfill": "5m"}
    data = plain(maintenance={"windows": [window], "answer": answer})
    caller = Caller(data, VirtualClock(epoch=NOON, jumping=True))
    response = await caller.post(session_query(caller.id(), COUNTS))
    assert response.status_code == status
    assert words in response.text
    assert "projectData" in await caller.data(
        f"{{ project(projectId: {KEY}) {{ projectData(start: 0) {{ totalCount }} }} }}"
    )


def test_summaries_hidden_by_vanishing_and_by_rules_agree_with_the_view() -> None:
    """The quick way of counting visible sessions equals asking the view about each."""
    traffic = {"sessions": 30, "participants": 2, "length": "20m", "gap": "3m"}
    store = scenario(plain(projects=[project(sessions=[], traffic=traffic)])).projects[0]
    sessions = Sessions(store)
    for now in (NOON, NOON + 31.5):
        view = View(now=now, visibility=store.visibility, outages=())
        total, _ = sessions.page(NOON - 7200, view.cut + 0.001, created=True, named=lambda s: False, offset=0, first=1)
        expected = [s for s in sessions.within(NOON - 7200, now) if view.meetings(s)]
        assert total == len([s for s in expected if s.created >= NOON - 7200])
