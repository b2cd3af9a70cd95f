"""One call for somebody who asks: the right meeting, everybody in it, honest means, and looks that never notice."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import httpx
import numpy as np
import pytest

from tests.conftest import EPOCH
from tests.emulator.vonage.helpers import plain, project, session
from tests.providers.doubles import FakePurse, HandClock, Vendor, answer
from tests.providers.vonage.stage import NOON, Stage, account
from watcher.calls import Bucket, CallReader, CallView, CallWish, Stay
from watcher.clock import VirtualClock
from watcher.errors import ProviderError, Reason, Refused
from watcher.model import Dimension
from watcher.providers.vonage import callread, callview
from watcher.providers.vonage.queries import SIGNALS, asked, pools
from watcher.providers.vonage.source import VonageSource, open_source

LAG = 300
LOSS, HEARD = "video_packet_loss_ratio", "received_video_packet_loss_ratio"
BITRATE = "video_bitrate_bytes_per_second"
KNOWN = {"visibility": "per_sample", "loss": "ratio", "bitrate": "kilobytes"}
SESSION = "1_MX4xMjM0NTY3OH5-scripted"


@pytest.fixture
def clock() -> VirtualClock:
    """Noon of the emulator's day: `board` has been running for an hour."""
    return VirtualClock(epoch=NOON, jumping=True)


def crowded(people: int = 4, **changes: Any) -> dict[str, Any]:
    """A world of one session that began an hour before noon."""
    meeting = {"start": "+11h", "duration": "2h", "participants": people}
    return plain(projects=[project(sessions=[session(meetings=[meeting])], **changes)])


def lossy(**changes: Any) -> dict[str, Any]:
    """Half of the publishers lose 10 % for half of the hour."""
    return {
        "project": "classroom",
        "start": "+11h20m",
        "duration": "30m",
        "roles": ["publisher"],
        "streams": "50%",
        "levels": {"videoPacketLoss": "10%"},
        **changes,
    }


async def ask(stage: Stage, channel: str = "", *, requests: int = 20, **wish: Any) -> CallView | None:
    """A question about `board`, with so many requests at most."""
    purse = FakePurse(extra=requests - 1)
    stage.purses.append(purse)
    asked = channel or stage.emulator.session_id("classroom", "board")
    return await stage.source.read_call(CallWish(channel=asked, project="classroom", requests=requests, **wish), purse)


async def told(stage: Stage, channel: str = "", **how: Any) -> CallView:
    """The same, of a call that there is."""
    view = await ask(stage, channel, **how)
    assert view is not None
    return view


def noted(view: CallView, words: str) -> bool:
    return any(words in note for note in view.notes)


# ── what a person reads ──────────────────────────────────────────────────────────────────────────────────────────────


async def test_everybody_is_shown_the_worst_first(clock: VirtualClock) -> None:
    """Who lost packets for half of the hour stands before who did not; four requests tell all of it."""
    stage = Stage(clock, {**crowded(), "incidents": [lossy()]}, account(KNOWN))
    view = await told(stage)
    assert stage.purses[-1].spent == 4
    assert (view.began, view.ended, view.running, view.users) == (NOON - 3600, None, True, 4)
    losses = [stay.values[LOSS] for stay in view.stays]
    assert losses == sorted(losses, reverse=True)
    assert losses[0] == pytest.approx(0.1 * 60 / 110 + 0.004 * 50 / 110, abs=0.002)
    assert losses[-1] == 0.004
    calm = view.stays[-1]
    assert calm.values == pytest.approx(
        {
            LOSS: 0.004,
            "audio_packet_loss_ratio": 0.003,
            "video_latency_seconds": 0.08,
            "audio_latency_seconds": 0.06,
            BITRATE: 1_100 * 125,
            "audio_bitrate_bytes_per_second": 36 * 125,
            **{name: calm.values[name] for name in calm.values if name.startswith("received_")},
        }
    )
    assert calm.values[HEARD] == 0.004
    assert {stay.left for stay in view.stays} == {None}
    assert all(NOON - 3600 <= (stay.joined or 0) <= NOON - 3540 for stay in view.stays)
    assert {stay.client for stay in view.stays} <= {
        "js 2.27.3, Chrome 118", "js 2.26.0, Firefox 119", "ios 2.27.0", "android 2.27.0"
    }  # fmt: skip
    assert {stay.place for stay in view.stays} <= {"US", "DE", "BR"}
    assert noted(view, "about 5 min behind")


async def test_minutes_have_the_mean_over_streams_and_who_was_there(clock: VirtualClock) -> None:
    """Inside the incident the mean over the streams is told, and up to what the vendor has everybody is counted."""
    stage = Stage(clock, {**crowded(), "incidents": [lossy()]}, account(KNOWN))
    view = await told(stage)
    minutes = {minute.start: minute.values for minute in view.minutes}
    assert [minute.start for minute in view.minutes] == list(range(int(NOON) - 3600, int(NOON) - LAG, 60))
    bad = sum(stay.values[LOSS] > 0.01 for stay in view.stays)
    assert 0 < bad < 4
    assert minutes[int(NOON) - 1800][LOSS] == pytest.approx((bad * 0.1 + (4 - bad) * 0.004) / 4)
    assert minutes[int(NOON) - 3000][LOSS] == 0.004
    assert minutes[int(NOON) - 1800][HEARD] == 0.004
    assert minutes[int(NOON) - 1800]["users"] == 4


async def test_spread_and_breakdowns_say_who_has_it(clock: VirtualClock) -> None:
    """People by how much they lose, and by what they came with."""
    stage = Stage(clock, {**crowded(24), "incidents": [lossy()]}, account(KNOWN))
    view = await told(stage, requests=100)
    spread = view.spreads[0]
    assert spread.signal == LOSS
    assert [(b.low, b.high) for b in spread.buckets] == [(0, 0.01), (0.01, 0.03), (0.03, 0.05), (0.05, 0.1), (0.1, 1)]
    bad = sum(stay.values[LOSS] > 0.01 for stay in view.stays)
    assert [bucket.users for bucket in spread.buckets] == [24 - bad, 0, 0, bad, 0]
    assert [breakdown.signal for breakdown in view.breakdowns] == [LOSS, "audio_packet_loss_ratio"]
    assert {split.dimension for split in view.breakdowns[0].splits} == {
        Dimension.SDK, Dimension.BROWSER, Dimension.COUNTRY
    }  # fmt: skip
    country = next(split for split in view.breakdowns[0].splits if split.dimension is Dimension.COUNTRY)
    assert country.counts == "streams"
    for group in country.groups:
        own = [stay.values[LOSS] for stay in view.stays if stay.place == group.name]
        assert (group.value, group.users) == pytest.approx((sum(own) / len(own), len(own)), abs=1e-5)


async def test_one_group_is_no_breakdown(clock: VirtualClock) -> None:
    """Where all have the same in common, that says nothing."""
    stage = Stage(clock, crowded(1), account(KNOWN))
    view = await told(stage)
    assert len(view.stays) == 1
    assert view.breakdowns == ()


async def test_one_user_of_many(clock: VirtualClock) -> None:
    """Only theirs: what they sent, minute by minute, and what they received; whoever is nobody is said to be."""
    incident = lossy(streams="25%")
    stage = Stage(clock, {**crowded(6), "incidents": [incident]}, account(KNOWN))
    everybody = await told(stage)
    worst = everybody.stays[0]
    view = await told(stage, user=worst.user)
    assert view.stays == (worst,)
    assert view.users == 6
    minutes = {minute.start: minute.values for minute in view.minutes}
    assert minutes[int(NOON) - 1800][LOSS] == pytest.approx(0.1)
    assert minutes[int(NOON) - 1800][HEARD] == 0.004
    assert "users" not in minutes[int(NOON) - 1800]
    assert (view.spreads, view.breakdowns) == ((), ())
    nobody = await told(stage, user="somebody-else")
    assert (nobody.stays, nobody.minutes) == ((), ())
    assert noted(nobody, "nobody of this id")


async def test_a_configured_name_is_a_channel(clock: VirtualClock) -> None:
    """The page of a named session has its name; both ways to ask show the same call under that name."""
    stage = Stage(clock, crowded(), account(KNOWN))
    board = stage.emulator.session_id("classroom", "board")
    plainly = await told(stage)
    assert plainly.channel == board
    stage.settings = account({**KNOWN, "channels": {"lecture": board}})
    stage.open()
    by_name, by_id = await told(stage, "lecture"), await told(stage, board)
    assert by_name == by_id
    assert by_name.channel == "lecture"
    assert by_name.stays == plainly.stays


# ── which meeting ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("answers", [{"range": "created"}, {"range": "overlap"}, {"cursors": "sealed"}])
async def test_the_meeting_of_a_moment(clock: VirtualClock, answers: dict[str, str]) -> None:
    """A return within ten minutes has the same id: the beginning tells which one is meant, and whose rows are whose."""
    meetings = [
        {"start": "+8h", "duration": "20m", "participants": 5},
        {"start": "+11h", "duration": "25m", "participants": 2},
        {"start": "+11h25m", "duration": "15m", "participants": 3},
    ]
    world = plain(projects=[project(sessions=[session(meetings=meetings)])], answers=answers)
    stage = Stage(clock, world, account(KNOWN))
    first = await told(stage, at=NOON - 4 * 3600 + 300)
    again = await told(stage, at=NOON - 3600 + 60)
    latest = await told(stage)
    assert [view.users for view in (first, again, latest)] == [5, 2, 3]
    assert [len(view.stays) for view in (first, again, latest)] == [5, 2, 3]
    assert again.call == latest.call != first.call
    assert (latest.began, latest.ended, latest.running) == (NOON - 2100, NOON - 1200, False)
    assert [(other.began, other.users) for other in latest.others] == [(NOON - 4 * 3600, 5), (NOON - 3600, 2)]
    assert all(stay.values[LOSS] == 0.004 for stay in (*again.stays, *latest.stays))
    assert max(stay.left or math.inf for stay in latest.stays) == NOON - 1200
    between = await told(stage, at=NOON - 2 * 3600)
    assert between.call == first.call


async def test_a_moment_before_all_meetings_shows_the_next(clock: VirtualClock) -> None:
    """Nothing is kept from before: whoever asks sees the first one after, which the app says."""
    stage = Stage(clock, crowded(), account(KNOWN))
    view = await told(stage, at=NOON - 2 * 3600)
    assert view.began == NOON - 3600
    assert stage.purses[-1].spent == 7  # three to look 2, 8 and 20 days back
    view = await told(stage, at=NOON - 2 * 3600, requests=2)
    assert view.began == NOON - 3600
    assert noted(view, "not all of its meetings could be listed")


async def test_a_call_of_days_ago_is_found_by_looking_further_back() -> None:
    """A question of the next morning finds the evening's call, for a request more; without one, it says so."""
    late = VirtualClock(epoch=NOON + 3 * 86400, jumping=True)
    stage = Stage(late, crowded(), account(KNOWN))
    view = await told(stage)
    assert (view.began, view.running) == (NOON - 3600, False)
    assert stage.purses[-1].spent == 6
    with pytest.raises(ProviderError) as caught:
        await ask(stage, requests=2)
    assert caught.value.reason is Reason.BUDGET
    assert "no meeting within 48 h" in str(caught.value)
    with pytest.raises(ProviderError) as caught:
        await ask(stage, at=NOON - 30 * 86400)
    assert caught.value.reason is Reason.TOO_OLD
    assert stage.purses[-1].refunds == 1


@pytest.mark.parametrize("unknown", ["fail", "drop"])
async def test_an_unknown_session_is_none(clock: VirtualClock, unknown: str) -> None:
    """Neither an error nor an empty list of meetings is a call; what cannot be an id is not even asked for."""
    stage = Stage(clock, {**crowded(), "answers": {"unknown_session": unknown}}, account(KNOWN))
    assert await ask(stage, "1_MX40_unknown") is None
    assert stage.purses[-1].refunds == 0
    assert await ask(stage, 'no "id" {at all}') is None
    assert stage.purses[-1].refunds == 1


# ── budget, sizes, failures ──────────────────────────────────────────────────────────────────────────────────────────


async def test_a_spent_budget_shows_what_was_read(clock: VirtualClock) -> None:
    """One request shows a meeting, two show people, three their values; notes say what is missing."""
    stage = Stage(clock, crowded(), account(KNOWN))
    one, two, three = [await told(stage, requests=requests) for requests in (1, 2, 3)]
    assert (one.users, one.stays) == (4, ())
    assert noted(one, "stopped at the connections")
    assert len(two.stays) == 4
    assert {stay.values.get(LOSS) for stay in two.stays} == {None}
    assert noted(two, "stopped at the publishers")
    assert {stay.values.get(LOSS) for stay in three.stays} == {0.004}
    assert noted(three, "what each received was not read (12 subscribers): it takes 4 requests in all")
    assert not any(name.startswith("received_") for stay in three.stays for name in stay.values)
    assert not any(name.startswith("received_") for minute in three.minutes for name in minute.values)
    assert all(purse.spent <= requests for purse, requests in zip(stage.purses, (1, 2, 3), strict=True))


async def test_a_purse_that_refuses_early_is_believed(clock: VirtualClock) -> None:
    """The account's budget may allow less than was wished for: what was read is shown, nothing more is asked."""
    stage = Stage(clock, crowded(), account(KNOWN))
    purse = FakePurse(extra=2)
    board = stage.emulator.session_id("classroom", "board")
    view = await stage.source.read_call(CallWish(channel=board, project="classroom"), purse)
    assert view is not None
    assert purse.spent == 3
    assert noted(view, "stopped at the subscribers, not all of them were read: the budget or the time")


async def test_small_pages_tell_the_same(clock: VirtualClock) -> None:
    """Whatever is read in many pages is what is read in few."""
    scene = {**crowded(14), "incidents": [lossy()]}
    whole = await told(Stage(clock, scene, account(KNOWN)), requests=100)
    stage = Stage(clock, scene, account(KNOWN, most_nodes=2_000))
    paged = await told(stage, requests=200)
    assert stage.purses[-1].spent > 30
    assert paged == whole


@pytest.mark.parametrize("count", ["existing", "pages"])
async def test_a_page_that_is_too_large_is_asked_smaller_once(clock: VirtualClock, count: str) -> None:
    """1014 of a listed session is a matter of size: an eighth is tried; if that is too much, a note says so."""
    scene = {**crowded(10), "limits": {"nodes": 7_000}, "answers": {"nodes": count}}
    stage = Stage(clock, scene, account(KNOWN))
    view = await told(stage, requests=100)
    assert view.oddities["too_big"] == 1
    assert {stay.values[HEARD] for stay in view.stays} == {0.004}
    assert not noted(view, "stopped")
    stage = Stage(clock, {**scene, "limits": {"nodes": 200}}, account(KNOWN))
    view = await told(stage, requests=100)
    assert view.oddities["too_big"] == 1
    assert noted(view, "even small pages are too large for the vendor")


async def test_a_missing_add_on_is_named(clock: VirtualClock) -> None:
    """A question of a few nodes can only be refused for the plan."""
    stage = Stage(clock, crowded(advanced=False), account(KNOWN))
    with pytest.raises(ProviderError) as caught:
        await ask(stage)
    assert caught.value.reason is Reason.PLAN


@pytest.mark.parametrize(
    ("fault", "oddity"),
    [("shuffled", None), ("duplicates", "duplicate"), ("loop_cursor", "loop"), ("unknown_values", None)],
)
async def test_answers_that_lie_are_seen_through(clock: VirtualClock, fault: str, oddity: str | None) -> None:
    """Order, doubles, circles, unheard-of words: everybody is there once, with the same values."""
    truth = await told(Stage(clock, crowded(6), account(KNOWN)))
    scene = {**crowded(6), "faults": [{"kind": fault, "from": "+10h", "until": "+13h"}]}
    view = await told(Stage(clock, scene, account(KNOWN)))
    assert {stay.user: stay.values for stay in view.stays} == {stay.user: stay.values for stay in truth.stays}
    assert view.minutes == truth.minutes
    if oddity is not None:
        assert view.oddities[oddity] > 0


@pytest.mark.parametrize("kind", ["null_values", "missing_fields"])
async def test_holes_have_no_vote(clock: VirtualClock, kind: str) -> None:
    """A value that is not there is not zero."""
    fault = {"kind": kind, "share": 0.8, "from": "+10h", "until": "+13h"}
    view = await told(Stage(clock, {**crowded(), "faults": [fault]}, account(KNOWN)))
    shown = {stay.values[LOSS] for stay in view.stays if LOSS in stay.values}
    assert shown == {0.004}


# ── units ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_bitrate_without_a_unit_is_left_out(clock: VirtualClock) -> None:
    """Kilobits or kilobytes is told by two hundred wide pictures: before, none is shown; these very rows may tell."""
    few = [session(meetings=[{"start": "+11h50m", "duration": "1h", "participants": 2}])]
    stage = Stage(clock, plain(projects=[project(sessions=few)]), account({"visibility": "per_sample"}))
    view = await told(stage)
    assert all(LOSS in stay.values and BITRATE not in stay.values for stay in view.stays)
    assert noted(view, "bitrates are left out")
    many = await told(Stage(clock, crowded(6), account({"visibility": "per_sample"})))
    assert {stay.values[BITRATE] for stay in many.stays} == {1_100 * 125}
    assert not noted(many, "bitrates are left out")


async def test_percent_in_these_rows_holds_for_this_call_and_teaches_nobody(clock: VirtualClock) -> None:
    """A loss above 1 can only be percent; what looks know is theirs to find out."""
    rows = {"loss": "percent", "null_latency": "0%"}
    stage = Stage(clock, {**crowded(rows=rows), "incidents": [lossy()]}, account({"visibility": "per_sample"}))
    view = await told(stage)
    assert view.stays[-1].values[LOSS] == 0.004
    assert 0.04 < view.stays[0].values[LOSS] < 0.07
    scale = stage.source.stats["classroom"].units.scale()
    assert (scale.loss, scale.bitrate) == (1.0, None)
    assert not stage.source.stats["classroom"].units.changed


# ── beside the looks ─────────────────────────────────────────────────────────────────────────────────────────────────


async def test_looks_do_not_notice_a_question() -> None:
    """Every answer of every look is the same, whether somebody asks between them or not."""
    traffic = {"sessions": 2, "participants": 4, "length": "20m"}
    over = session(name="over", meetings=[{"start": "+1h", "duration": "10m", "participants": 3}])
    scene = plain(projects=[project(sessions=[session(), over], traffic=traffic)])
    scene["incidents"] = [lossy(start="+12h2m")]
    stages = []
    for questions in (False, True):
        stage = Stage(VirtualClock(epoch=NOON, jumping=True), scene, account({}))
        for _ in range(8):
            await stage.look()
            if questions:
                assert await ask(stage) is not None
                assert await ask(stage, stage.emulator.session_id("classroom", "over")) is not None
                assert await ask(stage, user="nobody", requests=2) is not None
            await stage.clock.sleep_until(stage.clock.now() + 60)
        stages.append(stage)
    quiet, asked = stages
    assert quiet.values == asked.values
    assert len(quiet.values) > 100
    rosters = [stage.source.stats["classroom"].roster for stage in stages]
    assert set(rosters[0].sessions) == set(rosters[1].sessions)
    for one, other in zip(quiet.answers, asked.answers, strict=True):
        assert (one.asked, one.settled, one.oddities, one.learned) == (
            other.asked, other.settled, other.oddities, other.learned
        )  # fmt: skip
        assert [points.series for points in one.points] == [points.series for points in other.points]
        assert all(np.array_equal(a.value, b.value) for a, b in zip(one.points, other.points, strict=True))


async def test_meetings_that_are_shown_afterwards(clock: VirtualClock) -> None:
    """Where running ones are not shown, the latest that has ended is, and is said to be that."""
    meetings = [
        {"start": "+9h", "duration": "40m", "participants": 3},
        {"start": "+11h30m", "duration": "2h", "participants": 3},
    ]
    hidden = project(sessions=[session(meetings=meetings)], visibility={"mode": "after_meeting_end"})
    settings = account({**KNOWN, "visibility": "after_meeting_end"})
    view = await told(Stage(clock, plain(projects=[hidden]), settings))
    assert (view.began, view.running) == (NOON - 3 * 3600, False)
    assert noted(view, "the latest that has ended")


async def test_a_question_in_maintenance_says_so() -> None:
    """In the vendor's window something may be missing, until it is complete."""
    night = VirtualClock(epoch=NOON - 6.5 * 3600, jumping=True)
    rooms = [session(meetings=[{"start": "+5h", "duration": "2h", "participants": 2}])]
    stage = Stage(night, plain(projects=[project(sessions=rooms)]), account(KNOWN))
    assert noted(await told(stage), "maintenance is complete by 07:30 UTC")
    script = Script()
    script.meeting["createdAt"] = None
    script.source = open_source(
        account(KNOWN), SIGNALS, clock=HandClock(NOON - 6.5 * 3600), transport=script.vendor.transport()
    )
    with pytest.raises(ProviderError) as caught:
        await script.ask()
    assert caught.value.reason is Reason.MAINTENANCE


def test_pools_are_those_of_the_projects_looks() -> None:
    """Each request spends where looks spend; without the add-on there is nothing to ask."""
    settings = account({}, {"name": "other", "key": "87654321"})
    source = open_source(settings, SIGNALS, clock=HandClock(NOON))
    _: CallReader = source
    assert isinstance(source, CallReader)
    assert source.call_pools("other") == ("acme/insights", "acme/insights/other")
    stats = next(query for query in source.queries if query.id == "acme/classroom/stats")
    assert source.call_pools("classroom") == stats.pools
    assert set(asked(settings)) == {*source.call_pools("classroom"), *source.call_pools("other")}
    assert set(asked(settings)) <= {pool.id for pool in pools(settings)}
    with pytest.raises(Refused) as caught:
        source.call_pools("nobody's")
    assert caught.value.status == 404
    without = account(plan="insights")
    with pytest.raises(Refused, match="Advanced Insights") as caught:
        open_source(without, SIGNALS, clock=HandClock(NOON)).call_pools("classroom")
    assert caught.value.status == 409
    assert asked(without) == ()


# ── a scripted vendor ────────────────────────────────────────────────────────────────────────────────────────────────


def stamp(seconds: float) -> str:
    """An instant after the script's meeting began."""
    return datetime.fromtimestamp(NOON + seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def connection(name: str, **changes: Any) -> dict[str, Any]:
    return {"connectionId": name, "createdAt": stamp(0), "destroyedAt": None, "sdkType": "js", **changes}


def row(at: float, **changes: Any) -> dict[str, Any]:
    return {"createdAt": stamp(at), "hasVideo": True, "hasAudio": True, **changes}


def publisher(name: str, owner: str, *rows: Mapping[str, Any], total: int | None = None) -> dict[str, Any]:
    return {
        "connectionId": owner,
        "createdAt": stamp(0),
        "stream": {"streamId": name},
        "streamStatsCollection": {"totalCount": len(rows) if total is None else total, "resources": list(rows)},
    }


class Script:
    """A vendor with one meeting that began at noon, whose lists are written by hand; asked half an hour later."""

    def __init__(self, **lists: list[Any]) -> None:
        self.meeting: dict[str, Any] = {"meetingId": "m-1", "createdAt": stamp(0), "destroyedAt": None}
        self.session = SESSION
        self.lists: dict[str, list[Any]] = {"connections": [], "publishers": [], "subscribers": [], **lists}
        self.counts: dict[str, int] = {}
        self.replies: list[Callable[[], httpx.Response] | None] = []
        self.vendor = Vendor(self._respond)
        self.source: VonageSource = open_source(
            account(KNOWN), SIGNALS, clock=HandClock(NOON + 1800), transport=self.vendor.transport()
        )

    async def ask(self, *, requests: int = 20, **wish: Any) -> CallView | None:
        purse = FakePurse(extra=requests - 1)
        asked = CallWish(channel=SESSION, project="classroom", requests=requests, **wish)
        return await self.source.read_call(asked, purse)

    async def told(self, **how: Any) -> CallView:
        view = await self.ask(**how)
        assert view is not None
        return view

    def _respond(self, request: httpx.Request) -> httpx.Response:
        reply = self.replies.pop(0) if self.replies else None
        if reply is not None:
            return reply()
        query = json.loads(request.content)["query"]
        kind = next(kind for kind in self.lists if f"{kind}(first" in query)
        if "Meetings(" in query:
            counts = {kind: self.counts.get(kind, len(self.lists[kind])) for kind in ("connections", "subscribers")}
            meeting = {**self.meeting, **{kind: {"totalCount": count} for kind, count in counts.items()}}
        else:
            people = {"totalCount": len(self.lists[kind]), "resources": self.lists[kind]}
            meeting = {**self.meeting, kind: people}
        found = {"resources": [{"sessionId": self.session, "meetings": {"resources": [meeting]}}]}
        return answer({"data": {"project": {"sessionData": {"found": found}}}}, at=NOON + 1800)


def stay_of(view: CallView, user: str) -> Stay:
    return next(stay for stay in view.stays if stay.user == user)


async def test_streams_have_one_vote_each() -> None:
    """A stream is the mean of its judged rows, a person the mean of their streams: not of all rows together."""
    calm = [row(at, videoPacketLoss=0.01) for at in (40, 70, 100)]
    camera = publisher("cam", "ann", row(10, videoPacketLoss=0.9), *calm)
    shared = [row(at, videoPacketLoss=0.03) for at in (45, 105)]
    screen = publisher("screen", "ann", *shared, row(75, videoPacketLoss=0.9, hasVideo=False))
    view = await Script(connections=[connection("ann")], publishers=[camera, screen]).told()
    assert view.stays[0].values == {LOSS: 0.02}
    minutes = {minute.start - int(NOON): minute.values[LOSS] for minute in view.minutes if LOSS in minute.values}
    assert minutes == {0: 0.02, 60: 0.02}


async def test_a_stream_stands_for_whoever_publishes_it() -> None:
    """Asked by a stream, its owner is shown, with all they send."""
    streams = [publisher(f"s{i}", f"c{i % 2}", row(60, videoPacketLoss=i / 100)) for i in range(4)]
    heard = {**publisher("s1", "c0", row(60, videoPacketLoss=0.5, hasVideo=True)), "subscriberId": "sub"}
    script = Script(connections=[connection("c0"), connection("c1")], publishers=streams, subscribers=[heard])
    view = await script.told(user="s3")
    assert [stay.user for stay in view.stays] == ["c1"]
    assert [minute.values for minute in view.minutes] == [{LOSS: 0.02}]
    view = await script.told(user="c0")
    assert [minute.values for minute in view.minutes] == [{LOSS: 0.01, HEARD: 0.5}]
    assert (await script.told(user="sub")).stays == ()


async def test_a_share_is_clipped_at_all() -> None:
    """Where ratios are configured, seven is not seven times everything."""
    streams = [publisher("cam", "ann", row(60, videoPacketLoss=7.0))]
    view = await Script(connections=[connection("ann")], publishers=streams).told()
    assert view.stays[0].values == {LOSS: 1.0}
    assert view.spreads[0].buckets[-1].users == 1


async def test_buckets_hold_their_lower_edge_and_all_that_is_lost() -> None:
    """3 % is in 3 to 5 %, and whoever loses everything is in the last one."""
    shares = (0.0, 0.01, 0.03, 0.05, 0.1, 1.0)
    people = [publisher(f"s{i}", f"c{i}", row(60, videoPacketLoss=share)) for i, share in enumerate(shares)]
    view = await Script(connections=[connection(f"c{i}") for i in range(6)], publishers=people).told()
    assert [spread.signal for spread in view.spreads] == [LOSS]
    assert [bucket.users for bucket in view.spreads[0].buckets] == [1, 1, 1, 1, 2]
    assert view.spreads[0].buckets[-1] == Bucket(0.1, 1.0, 2)


async def test_who_comes_and_goes_is_counted_by_the_minute() -> None:
    """A connection counts in every minute that it was there in, and its times are the vendor's."""
    brief = connection("brief", createdAt=stamp(130), destroyedAt=stamp(185))
    view = await Script(connections=[connection("long"), brief]).told()
    assert [minute.values["users"] for minute in view.minutes[:5]] == [1, 1, 2, 2, 1]
    stay = stay_of(view, "brief")
    assert (stay.joined, stay.left) == (NOON + 130, NOON + 185)
    assert view.minutes[-1].start == NOON + 1800 - LAG - 60


async def test_hostile_text_and_times_do_no_harm() -> None:
    """Long, unprintable, missing, of wrong kinds: cut, blanked, dropped, counted; and nobody else is lost."""
    hostile = [
        connection("x" * 5000, browser="B" * 5000, country="\x1b[31mred\n"),
        connection("bad\u202eid\n"),
        connection("", sdkType="ios"),
        connection("timeless", createdAt="yesterday"),
        connection("ann", destroyedAt="1970-01-01T00:00:00.000Z"),
        connection("ann", country="XX"),
        {"connectionId": 17},
        None,
    ]
    streams = [
        publisher("cam", "ann", row(60, videoPacketLoss=0.02), row(90, videoPacketLoss=-4), row(80_000), row(120)),
        publisher("", "ann", row(60, videoPacketLoss=0.9)),
        publisher("orphan", "unlisted", row(60, videoPacketLoss=0.04), {"createdAt": "1970-01-01T00:00:00.000Z"}),
        publisher("nobody", "", row(60, videoPacketLoss=0.9)),
        {"stream": None, "createdAt": stamp(0)},
    ]
    view = await Script(connections=hostile, publishers=streams).told()
    assert {len(stay.user) <= callread.MOST_ID and stay.user.isprintable() for stay in view.stays} == {True}
    assert [stay.user for stay in view.stays[:2]] == ["unlisted", "ann"]
    assert view.stays[0].joined is None
    assert view.stays[1].values == {LOSS: 0.02}
    assert (view.stays[1].joined, view.stays[1].left) == (NOON, NOON)
    assert view.stays[1].place == ""
    assert len(view.stays) == 4
    assert view.oddities == {
        "no_time": 5, "impossible": 1, "outdated": 1, "mistyped": 1, "future": 1, "duplicate": 1
    }  # fmt: skip
    assert max(len(stay.client) for stay in view.stays) <= 90
    assert all(stay.place.isprintable() for stay in view.stays)


async def test_a_meeting_without_time_or_of_the_future_is_none() -> None:
    """What cannot be placed in time is no call, and another session's meetings are not this one's."""
    script = Script()
    script.meeting["createdAt"] = "soon"
    assert await script.ask() is None
    script.meeting["createdAt"] = "2027-01-01T00:00:00.000Z"
    assert await script.ask() is None
    script = Script()
    script.session = "1_MX4_another"
    assert await script.ask() is None


def refusal(code: int) -> Callable[[], httpx.Response]:
    errors = [{"message": "no", "errorCode": code}]
    return lambda: answer({"errors": errors, "data": None}, at=NOON)


def failure(status: int) -> Callable[[], httpx.Response]:
    return lambda: answer(b"{}", status=status, at=NOON)


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (failure(503), "server"),
        (failure(429), "rate"),
        (refusal(1012), "internal error"),
        (refusal(1017), "a session is not known"),
        (lambda: answer(b"<html>", at=NOON), "malformed"),
    ],
)
async def test_a_failure_after_something_was_read_is_a_note(reply: Callable[[], httpx.Response], why: str) -> None:
    """The people are known by then: they are shown, and why there is nothing more."""
    script = Script(connections=[connection("ann")], publishers=[publisher("cam", "ann")])
    script.replies = [None, None, reply]
    view = await script.told()
    assert [stay.user for stay in view.stays] == ["ann"]
    assert noted(view, "stopped at the publishers")
    assert noted(view, why)
    assert len(script.vendor.requests) == 3


@pytest.mark.parametrize(
    ("reply", "reason"),
    [(failure(503), Reason.SERVER), (refusal(1012), Reason.SERVER), (refusal(1014), Reason.PLAN)],
)
async def test_a_failure_of_the_first_request_is_one(reply: Callable[[], httpx.Response], reason: Reason) -> None:
    """Nothing was read: that is an error, not an empty call."""
    script = Script(connections=[connection("ann")])
    script.replies = [reply]
    with pytest.raises(ProviderError) as caught:
        await script.ask()
    assert caught.value.reason is reason


async def test_a_failure_of_a_further_list_is_a_note() -> None:
    """A meeting after the wished time is known by then: it is shown, with what could not be listed."""
    script = Script(connections=[connection("ann")])
    script.replies = [None, failure(503)]
    view = await script.told(at=NOON - 600)
    assert [stay.user for stay in view.stays] == ["ann"]
    assert noted(view, "not all of its meetings could be listed")
    script.meeting["createdAt"] = None
    script.replies = [None, failure(503)]
    with pytest.raises(ProviderError) as caught:
        await script.ask()
    assert caught.value.reason is Reason.SERVER


async def test_absurd_counts_are_cut() -> None:
    """A number that no meeting has is not reckoned with."""
    script = Script(connections=[connection("ann")])
    script.counts["subscribers"] = 10**400
    view = await script.told()
    assert noted(view, "what each received was not read (1000000 subscribers)")


async def test_errors_in_the_place_of_the_session_are_no_absence() -> None:
    """A partial answer without the session does not say that there is none; beside one, it is a note."""
    script = Script(connections=[connection("ann")])
    partial = {
        "data": {"project": {"sessionData": {"found": {"resources": [None]}}}},
        "errors": [{"message": "later", "errorCode": 1012}],
    }
    script.replies = [lambda: answer(partial, at=NOON)]
    with pytest.raises(ProviderError) as caught:
        await script.ask()
    assert caught.value.reason is Reason.SERVER
    script.replies = [None, lambda: answer(partial, at=NOON)]
    view = await script.told()
    assert noted(view, "the connections were missing from an answer")
    assert noted(view, "the vendor answered in part")


async def test_what_bounds_cost_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """People, minutes, rows of a stream: the worst and the newest are kept, and a note tells of the rest."""
    monkeypatch.setattr(callview, "MOST_STAYS", 2)
    monkeypatch.setattr(callview, "MOST_MINUTES", 10)
    people = [connection(f"c{i}") for i in range(5)]
    streams = [publisher(f"s{i}", f"c{i}", row(60, videoPacketLoss=i / 100), total=1500) for i in range(5)]
    view = await Script(connections=people, publishers=streams).told()
    assert [stay.user for stay in view.stays] == ["c4", "c3"]
    assert len(view.minutes) == 10
    assert view.minutes[-1].start == NOON + 1800 - LAG - 60
    assert noted(view, "5 people were in it: the 2 worst are shown")
    assert noted(view, "of 5 streams only the first 1000 rows")


@pytest.mark.parametrize(("bound", "most"), [("MAX_PAGES", 2), ("MOST_ROWS", 300)])
async def test_pages_end_at_the_bound(
    monkeypatch: pytest.MonkeyPatch, clock: VirtualClock, bound: str, most: int
) -> None:
    """A list without end is given up, counted and told."""
    monkeypatch.setattr(callread, bound, most)
    stage = Stage(clock, crowded(14), account(KNOWN, most_nodes=2_000))
    view = await told(stage, requests=200)
    assert view.oddities["overflow"] >= 1
    assert noted(view, "there are more publishers than are read of one call")


async def test_other_meetings_are_bounded_to_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many meetings of a session those around the one that is shown are named, in order."""
    monkeypatch.setattr(callview, "MOST_OTHERS", 3)
    busy = VirtualClock(epoch=EPOCH + 13 * 3600, jumping=True)
    meetings = [{"start": f"+{h}h", "duration": "10m", "participants": 2} for h in range(1, 13)]
    stage = Stage(busy, plain(projects=[project(sessions=[session(meetings=meetings)])]), account(KNOWN))
    view = await told(stage, at=EPOCH + 6 * 3600 + 60)
    assert view.began == EPOCH + 6 * 3600
    assert [other.began for other in view.others] == [EPOCH + h * 3600 for h in (4, 5, 7)]
