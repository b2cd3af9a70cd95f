"""A look at Advanced Insights against the emulated vendor: every row once, and what becomes of it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.emulator.vonage.helpers import application, plain, project, session
from tests.providers.vonage.stage import NOON, Stage, account, unified
from watcher.clock import VirtualClock
from watcher.errors import ProviderError, Reason
from watcher.providers.vonage.rows import WIDTH

LAG = 300


@pytest.fixture
def clock() -> VirtualClock:
    """Noon of the emulator's day: `board` has been running for an hour, and runs for another."""
    return VirtualClock(epoch=NOON, jumping=True)


def world(**changes: Any) -> dict[str, Any]:
    return plain(projects=[project(**changes)])


def watched(**changes: Any) -> dict[str, Any]:
    """Settings that leave nothing to be found out."""
    return {"visibility": "per_sample", "loss": "ratio", "bitrate": "kilobytes", **changes}


@pytest.mark.timeout(360)  # a minute of computing, if nothing is beside it
async def test_every_row_is_read_once_and_weighed(clock: VirtualClock) -> None:
    """Twenty sessions with people coming and going for an hour: no row is missing, none comes twice."""
    stage = Stage(clock, world(sessions=[], traffic={"sessions": 20, "participants": 10, "length": "20m"}))
    await stage.looks(3600)
    begin = NOON - LAG - 3600
    last = clock.now() - 60 - LAG
    publishers = stage.rows(begin)["publisher"]
    newest = stage.rows(last)["publisher"]["visible"]
    assert publishers["handed_out"] == publishers["visible"] - newest
    assert publishers["handed_again"] == 0
    assert stage.rows(begin)["subscriber"]["handed_out"] == 0
    assert max(purse.spent for purse in stage.purses[1:]) <= 12


async def test_values_are_the_mean_over_streams(clock: VirtualClock) -> None:
    """With exact levels every signal has its level as value and the number of streams as weight."""
    stage = Stage(clock, world(), account(watched()))
    await stage.looks(300)
    start = int(NOON - LAG) - 120
    assert stage.value("video_packet_loss_ratio", start) == pytest.approx((0.004, 4))
    assert stage.value("video_bitrate_bytes_per_second", start) == pytest.approx((1_100 * 125, 4), rel=0.5)
    assert stage.value("users", start) == (4, 4)
    assert stage.value("channels", start) == (1, 1)
    assert stage.value("video_stall_ratio", start) == (0, 4)


async def test_an_incident_shows_in_mean_share_and_p95(clock: VirtualClock) -> None:
    """Half of the streams lose 10 %: the mean, the share over the line and the percentile all say so."""
    incident = {
        "project": "classroom",
        "streams": "50%",
        "start": "+12h",
        "duration": "10m",
        "roles": ["publisher"],
        "levels": {"videoPacketLoss": "10%"},
    }
    many = [session(meetings=[{"start": "+11h", "duration": "3h", "participants": 40}])]
    stage = Stage(clock, {**world(sessions=many), "incidents": [incident]}, account(watched()))
    await clock.sleep_until(NOON + 10 * 60)
    await stage.look()
    over = stage.value("video_packet_loss_over_ratio", NOON + 120)
    mean = stage.value("video_packet_loss_ratio", NOON + 120)
    assert over is not None
    assert 0.3 < over[0] < 0.7
    assert over[1] >= 38
    assert mean is not None
    assert mean[0] == pytest.approx(over[0] * 0.1 + (1 - over[0]) * 0.004, rel=0.01)
    assert stage.value("video_packet_loss_p95_ratio", NOON + 120) == pytest.approx((0.1, over[1]))


async def test_a_stall_needs_two_buckets(clock: VirtualClock) -> None:
    """No bitrate although video is on: from the second bucket on that is a stall of every stream."""
    incident = {"project": "classroom", "start": "+12h", "duration": "10m", "levels": {"videoBitrateKbps": 0}}
    stage = Stage(clock, {**world(), "incidents": [incident]}, account(watched()))
    await clock.sleep_until(NOON + 12 * 60)
    await stage.look()
    assert stage.value("video_stall_ratio", NOON - 30) == (0, 4)
    assert stage.value("video_stall_ratio", NOON + 60) == (1, 4)
    first = stage.value("video_stall_ratio", NOON)
    assert first is not None
    assert first[0] < 1


async def test_late_rows_make_their_bucket_grow(clock: VirtualClock) -> None:
    """Rows that come two minutes late are found, and the points of their windows are told again with more weight."""
    late = {"mode": "per_sample", "late": {"share": "20%", "by": "2m"}}
    many = [session(meetings=[{"start": "+11h", "duration": "3h", "participants": 20}])]
    stage = Stage(clock, world(sessions=many, visibility=late), account(watched()))
    await stage.looks(1800)
    weights: dict[int, list[float]] = {}
    series = stage.series("video_packet_loss_ratio")
    for answer in stage.answers:
        for points in answer.points:
            if points.series == series and points.weight is not None:
                for start, weight in zip(points.start.tolist(), points.weight.tolist(), strict=True):
                    weights.setdefault(start, []).append(weight)
    grown = [told for told in weights.values() if len(told) > 1]
    assert len(grown) > 20
    assert all(told == sorted(told) for told in grown)
    rows = stage.rows(NOON - LAG - 3600)["publisher"]
    settled = stage.rows(clock.now() - LAG - 240)["publisher"]
    assert rows["handed_out"] >= rows["visible"] - settled["visible"]


async def test_a_restart_reads_only_the_end_again(clock: VirtualClock) -> None:
    """A new client goes on from the record: five minutes are read again, and their points come out the same."""
    stage = Stage(clock, world(), account(watched()))
    await stage.looks(1200)
    before = dict(stage.values)
    again = stage.rows()["publisher"]["handed_again"]
    assert again == 0
    stage.open()
    await stage.looks(300)
    rows = stage.rows(NOON - LAG - 3600)["publisher"]
    assert 0 < rows["handed_again"] <= 4 * 20
    changed = {key for key, value in before.items() if stage.values[key] != pytest.approx(value)}
    assert not changed
    last = stage.rows(clock.now() - 60 - LAG)["publisher"]["visible"]
    assert rows["handed_out"] == rows["visible"] - last


async def test_a_spent_budget_ends_the_look_not_the_rows(clock: VirtualClock) -> None:
    """With few requests a look, nothing is answered for that was not read, and in the end nothing is missing."""
    stage = Stage(clock, world(sessions=[], traffic={"sessions": 40, "participants": 8}), account(watched()))
    first: dict[int, float] = {}
    for _ in range(30):
        answer = await stage.look(requests=4)
        for points in answer.points:
            assert points.start.max() + WIDTH <= answer.asked.end
            if points.series.signal == "video_packet_loss_ratio" and points.weight is not None:
                for start, weight in zip(points.start.tolist(), points.weight.tolist(), strict=True):
                    first.setdefault(start, weight)
        await clock.sleep_until(clock.now() + 60)
    assert stage.oddities()["unread"] > 0
    await stage.looks(300)
    rows = stage.rows(NOON - LAG - 3600)["publisher"]
    newest = stage.rows(clock.now() - 60 - LAG)["publisher"]["visible"]
    assert rows["handed_out"] == rows["visible"] - newest
    assert rows["handed_again"] == 0
    assert first
    for start, weight in first.items():  # told once, and whole
        value = stage.value("video_packet_loss_ratio", start)
        assert value is not None
        assert value[1] == weight


async def test_sealed_cursors_are_paged_through(clock: VirtualClock) -> None:
    """Where cursors made by hand are refused (1005), whole meetings are read, and each row still counts once."""
    stage = Stage(clock, {**world(), "answers": {"cursors": "sealed"}}, account(watched()))
    await stage.looks(300)
    rows = stage.rows(NOON - LAG - 3600)["publisher"]
    newest = stage.rows(clock.now() - 60 - LAG)["publisher"]["visible"]
    assert rows["handed_out"] >= rows["visible"] - newest
    assert stage.value("video_packet_loss_ratio", NOON - LAG - 120) == pytest.approx((0.004, 4))


@pytest.mark.parametrize("count", ["existing", "pages"])
async def test_a_query_that_is_too_large_is_halved(clock: VirtualClock, count: str) -> None:
    """1014 is answered with a probe and smaller batches, not with despair, whichever way the vendor counts nodes."""
    limited = {
        **world(sessions=[], traffic={"sessions": 40, "participants": 8}),
        "limits": {"nodes": 20_000 if count == "pages" else 2_500},
        "answers": {"nodes": count},
    }
    stage = Stage(clock, limited, account(watched(summaries=False, feed=None, sessions=())))
    names = [str(row["session"]) for row in stage.emulator.rows(since=NOON - 900)]
    stage.settings = account(watched(summaries=False, sessions=tuple(sorted(set(names)))))
    stage.open()
    await stage.looks(300)
    assert stage.oddities()["too_big"] > 0
    report: Any = stage.emulator.report()
    assert report["nodes"]["worst"] > report["nodes"]["limit"]
    assert stage.value("video_packet_loss_ratio", NOON - LAG - 60) is not None


@pytest.mark.parametrize("summaries", [True, False])
async def test_a_missing_add_on_is_named(clock: VirtualClock, summaries: bool) -> None:
    """1014 that the smallest query gets as well is the plan's, and says so."""
    listed = watched(summaries=summaries, sessions=("2_MX4xMjM0NTY3OH5-one", "2_MX4xMjM0NTY3OH5-two"))
    stage = Stage(clock, world(advanced=False), account(listed))
    with pytest.raises(ProviderError) as caught:
        await stage.look()
    assert caught.value.reason is Reason.PLAN


@pytest.mark.parametrize("unknown", ["fail", "drop"])
async def test_an_unknown_session_takes_no_other_with_it(clock: VirtualClock, unknown: str) -> None:
    """1017 splits the list until the unknown id stands alone; it rests before it is asked for again."""
    stage = Stage(clock, {**world(), "answers": {"unknown_session": unknown}})
    board = stage.emulator.session_id("classroom", "board")
    stage.settings = account(watched(summaries=False, sessions=("1_MX40_unknown_one", board, "1_MX40_unknown_two")))
    stage.open()
    first = await stage.look()
    assert first.oddities["unknown_session"] == 2
    assert stage.value("video_packet_loss_ratio", NOON - LAG - 60) == pytest.approx((0.004, 4))
    await clock.sleep_until(clock.now() + 60)
    second = await stage.look()
    assert "unknown_session" not in second.oddities


async def test_meetings_shown_after_their_end_settle_nothing(clock: VirtualClock) -> None:
    """Where running meetings are not shown, absence is neither health nor an outage; the rows count once they come."""
    stage = Stage(
        clock,
        world(
            visibility={"mode": "after_meeting_end"},
            sessions=[session(meetings=[{"start": "+11h", "duration": "70m", "participants": 3}])],
        ),
        account({"loss": "ratio"}),
    )
    await stage.looks(1200)
    assert stage.values == {}
    assert all(answer.settled <= answer.asked.start for answer in stage.answers)
    await stage.looks(2400)
    assert stage.value("video_packet_loss_ratio", NOON + 120) == pytest.approx((0.004, 3))
    assert stage.value("users", NOON + 120) == (3, 3)
    assert stage.rows(NOON)["publisher"]["handed_again"] == 0


async def test_running_meetings_are_found_out_and_kept(clock: VirtualClock) -> None:
    """One running meeting with rows decides the mode; the text for the next start says so."""
    stage = Stage(clock, world())
    answer = await stage.look()
    assert answer.learned is not None
    assert '"running":true' in answer.learned
    assert answer.settled > answer.asked.start
    await clock.sleep_until(clock.now() + 60)
    assert (await stage.look()).learned is None


async def test_bitrates_wait_for_their_unit(clock: VirtualClock) -> None:
    """No absolute bitrate is told before two hundred wide pictures have shown the unit; then all of memory is told."""
    many = [session(meetings=[{"start": "+11h50m", "duration": "2h", "participants": 10}])]
    stage = Stage(clock, world(sessions=many), account({"visibility": "per_sample"}))
    await stage.look()
    assert stage.value("video_bitrate_bytes_per_second", NOON - LAG - 60) is None
    await stage.looks(900)
    value = stage.value("video_bitrate_bytes_per_second", NOON - LAG - 60)
    assert value is not None
    assert value[0] > 50_000


@pytest.mark.parametrize(("factor", "unit"), [(8, "kilobytes"), (1, "kilobits")])
async def test_the_unit_of_bitrates_is_told_by_their_size(clock: VirtualClock, factor: int, unit: str) -> None:
    """Both readings of the dossier are recognised, and give the same bytes per second."""
    many = [session(meetings=[{"start": "+11h", "duration": "2h", "participants": 10}])]
    stage = Stage(clock, world(sessions=many, rows={"bitrate_factor": factor, "null_latency": "0%"}))
    answer = await stage.look()
    assert answer.learned is not None
    assert f'"bitrate":"{unit}"' in answer.learned
    value = stage.value("video_bitrate_bytes_per_second", NOON - LAG - 60)
    assert value is not None
    assert value[0] == pytest.approx(1_100 * 125, rel=0.01)


async def test_percent_is_recognised_and_holds_for_what_was_read(clock: VirtualClock) -> None:
    """A loss above 1 can only be percent: every value in memory is told anew, a hundredth of what it seemed."""
    incident = {"project": "classroom", "start": "+12h", "duration": "10m", "levels": {"videoPacketLoss": "9%"}}
    stage = Stage(
        clock, {**world(rows={"loss": "percent", "null_latency": "0%"}), "incidents": [incident]}, account({})
    )
    await stage.look()
    assert stage.value("video_packet_loss_ratio", NOON - LAG - 60) == pytest.approx((0.4, 4))
    await clock.sleep_until(NOON + 600)
    answer = await stage.look()
    assert answer.learned is not None
    assert '"loss":"percent"' in answer.learned
    assert stage.value("video_packet_loss_ratio", NOON - LAG - 60) == pytest.approx((0.004, 4))
    assert stage.value("video_packet_loss_ratio", NOON + 120) == pytest.approx((0.09, 4))
    stage.open(answer.learned)
    stage.covered.clear()
    stage.values.clear()
    await stage.look()
    assert stage.value("video_packet_loss_ratio", NOON + 120) == pytest.approx((0.09, 4))


async def test_a_named_session_has_series_of_its_own(clock: VirtualClock) -> None:
    """A channel's points are made of publishers and subscribers; the project's of publishers only."""
    stage = Stage(clock, world())
    stage.settings = account(watched(channels={"lecture": stage.emulator.session_id("classroom", "board")}))
    stage.open()
    await stage.looks(300)
    assert stage.value("video_packet_loss_ratio", NOON - LAG - 120, "lecture") == pytest.approx((0.004, 16))
    assert stage.value("video_packet_loss_ratio", NOON - LAG - 120) == pytest.approx((0.004, 4))
    assert stage.value("users", NOON - LAG - 120, "lecture") == (4, 4)
    assert stage.rows(NOON - LAG - 60)["subscriber"]["handed_again"] == 0


async def test_subscribers_are_read_of_suspects_only(clock: VirtualClock) -> None:
    """The session that looks bad has its subscribers read, the healthy one does not; the message can name it."""
    two = [session(), session(name="calm")]
    incident = {
        "project": "classroom",
        "sessions": ["board"],
        "start": "+12h",
        "duration": "20m",
        "levels": {"videoPacketLoss": "9%"},
    }
    stage = Stage(clock, {**world(sessions=two), "incidents": [incident]}, account(watched()))
    await stage.looks(900)
    bad = stage.emulator.session_id("classroom", "board")
    read = {str(row["session"]) for row in stage.emulator.rows() if row["kind"] == "subscriber" and row["handed_out"]}
    assert read == {bad}
    answer = stage.answers[-1]
    assert answer.worst is not None
    text = answer.worst(stage.series("video_packet_loss_ratio"), int(NOON) + 150)
    assert text.startswith(bad[:59])
    assert "9.0% of" in text


async def test_a_return_within_ten_minutes_is_a_meeting_of_the_same_id(clock: VirtualClock) -> None:
    """Two meetings with one id are told apart by their beginning, and both are read whole."""
    meetings = [
        {"start": "+11h30m", "duration": "25m", "participants": 3},
        {"start": "+12h", "duration": "30m", "participants": 3},
    ]
    stage = Stage(clock, world(sessions=[session(meetings=meetings)]), account(watched()))
    await stage.looks(1200)
    rows = stage.rows(NOON - LAG - 3600)["publisher"]
    newest = stage.rows(clock.now() - 60 - LAG)["publisher"]["visible"]
    assert rows["streams"] >= 6
    assert rows["handed_out"] == rows["visible"] - newest
    assert rows["handed_again"] == 0


async def test_both_credentials_through_one_client(clock: VirtualClock) -> None:
    """A legacy project and a unified application are read in one account, each with its own token."""
    both = plain(projects=[project(), application()])
    stage = Stage(clock, both, account(watched(), {**unified(), **watched()}))
    await stage.look()
    await stage.look(project="clinic")
    assert stage.value("video_packet_loss_ratio", NOON - LAG - 60) == pytest.approx((0.004, 4))
    assert stage.value("video_packet_loss_ratio", NOON - LAG - 60, project="clinic") == pytest.approx((0.004, 4))


async def test_a_row_is_told_within_a_poll_of_becoming_visible(clock: VirtualClock) -> None:
    """Every window is told at the latest one poll interval and a second after all of its rows could be seen."""
    stage = Stage(clock, world(), account(watched()))
    told: dict[int, float] = {}
    for _ in range(30):
        answer = await stage.look()
        for points in answer.points:
            if points.series.signal == "video_packet_loss_ratio":
                for start in points.start.tolist():
                    told.setdefault(start, clock.now())
        await clock.sleep_until(clock.now() + 60)
    fresh = {start: at for start, at in told.items() if start >= NOON}
    assert len(fresh) > 40
    assert all(at - (start + WIDTH + LAG) <= 61 for start, at in fresh.items())
