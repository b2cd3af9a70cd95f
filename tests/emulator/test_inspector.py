"""Call Inspector: each documented shape, what its sessions have to do with realtime, and its own limits."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import pytest

from tests.emulator.helpers import APP, NOON, OTHER_APP, Caller, plain, project
from watcher.clock import HOUR, VirtualClock

N = int(NOON)
NATIVE = {
    20001, 20002, 20003, 20004, 20005, 20006, 20007, 20008, 20009, 20010, 20011, 20015, 20016, 20017, 20018, 20019,
    20020, 20021, 20022, 20023, 20024, 20025, 20026, 20027, 20028, 20030, 20031, 20032, 20033, 20034, 20035, 20039,
    20040,
}  # fmt: skip
WEB = NATIVE - {20005, 20015, 20017, 20018} | {20036, 20037, 20038}


@pytest.fixture
def now() -> VirtualClock:
    """Noon of the first day."""
    return VirtualClock(epoch=NOON, jumping=True)


def lasting(**calls: Any) -> dict[str, Any]:
    """A project whose one call is in the middle of its day at noon."""
    return project(calls={"length": "24h", "stay": "40m", **calls})


def world(**changes: Any) -> dict[str, Any]:
    """`plain` with such a project."""
    of = changes.pop("of", {})
    data = plain(**changes)
    data["accounts"][0]["projects"] = [{**lasting(), **of}]
    return data


async def the_call(caller: Caller, **given: Any) -> str:
    """The id of the call in the named channel."""
    body = await caller.body("call_lists", cname="room", **given)
    return str(body["call_lists"][0]["call_id"])


async def everyone(caller: Caller, call_id: str, **given: Any) -> list[dict[str, Any]]:
    """All sessions, page by page."""
    found: list[dict[str, Any]] = []
    while True:
        page = len(found) // 100 + 1
        body = await caller.body("call_sessions", call_id=call_id, page_no=page, page_size=100, **given)
        found += body["call_info"]
        if len(found) >= body["total_size"]:
            return found


def product_of(session: dict[str, Any]) -> str:
    """The product of a session."""
    return "WebRTC" if session["platform"] == "Web" else "Native"


# ── call/lists ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_rows_of_lists(now: VirtualClock) -> None:
    """The documented keys in their order, newest call first; a call that is over has its end."""
    data = plain()
    data["accounts"][0]["projects"] = [project(calls={"length": "20m"})]
    body = await Caller(data, now).body("call_lists", start_ts=N - HOUR, page_size=100)
    assert list(body) == [
        "code", "message", "requestId", "total_size", "page_no", "page_size", "has_more", "call_lists",
    ]  # fmt: skip
    assert (body["code"], body["message"], body["has_more"]) == (200, "", False)
    rows = body["call_lists"]
    assert body["total_size"] == len(rows)
    over = next(row for row in rows if row["finished"])
    assert list(over) == [
        "call_id", "cname", "created_ts", "destroyed_ts", "finished", "call_pcu", "call_acu",
        "call_audio_freeze_rate", "call_video_freeze_rate",
    ]  # fmt: skip
    assert [row["created_ts"] for row in rows] == sorted((row["created_ts"] for row in rows), reverse=True)
    assert all(row["created_ts"] < row["destroyed_ts"] <= N - 20 for row in rows if row["finished"])
    assert all("destroyed_ts" not in row for row in rows if not row["finished"])
    assert {row["call_id"] for row in rows} == {row["call_id"] for row in rows if row["call_id"].startswith("c")}
    assert all(row["call_acu"] >= row["call_pcu"] > 0 for row in rows)
    assert any(row["call_acu"] > row["call_pcu"] for row in rows)


async def test_calls_of_a_channel_do_not_overlap_and_leave_no_gap(now: VirtualClock) -> None:
    """One name has several calls over time; where a channel is never empty, the next begins as the last one ends."""
    data = plain()
    data["accounts"][0]["projects"] = [project(calls={"length": "20m"})]
    rows = (await Caller(data, now).body("call_lists", start_ts=N - 2 * HOUR, cname="room"))["call_lists"]
    assert {row["cname"] for row in rows} == {"room"}
    assert len(rows) >= 6
    for newer, older in itertools.pairwise(rows):
        assert older["destroyed_ts"] + 1 == newer["created_ts"] == older["created_ts"] + 1200


async def test_pages_of_lists(now: VirtualClock) -> None:
    """Twenty a page; a size over 100 is clamped, not refused; pages make up the whole; beyond it is nothing."""
    data = plain()
    data["accounts"][0]["projects"] = [
        project(products={"Native": {"peak_users": 1000}}, calls={"length": "1h"}, channels=[])
    ]
    caller = Caller(data, now)
    asked = {"start_ts": N - HOUR}
    first = await caller.body("call_lists", **asked)
    assert (len(first["call_lists"]), first["page_no"], first["page_size"], first["has_more"]) == (20, 1, 20, True)
    big = await caller.body("call_lists", page_size=1000, **asked)
    assert (len(big["call_lists"]), big["page_size"]) == (100, 100)
    pages = [await caller.body("call_lists", page_no=page, page_size=70, **asked) for page in (1, 2, 3, 4)]
    ids = [row["call_id"] for page in pages for row in page["call_lists"]]
    assert len(ids) == len(set(ids)) == big["total_size"] == pages[0]["total_size"] > 210
    assert [page["has_more"] for page in pages] == [True, True, True, False]
    assert (await caller.body("call_lists", page_no=99, **asked))["call_lists"] == []
    assert (await caller.body("call_lists", cname="nowhere", **asked))["total_size"] == 0
    (one,) = (await caller.body("call_lists", cname="native-7", start_ts=N - 700, end_ts=N - 699))["call_lists"]
    assert one["cname"] == "native-7"


async def test_empty_channels_have_no_calls(now: VirtualClock) -> None:
    """A channel that empties ends its call, and the next user begins another."""
    gone = {"project": "classroom", "channel": "room", "start": "+11h30m", "duration": "5m", "levels": {"userCount": 0}}
    rows = (await Caller(world(incidents=[gone]), now).body("call_lists", start_ts=N - HOUR, cname="room"))[
        "call_lists"
    ]
    assert [row["finished"] for row in rows] == [False, True]
    assert rows[0]["created_ts"] == N - 25 * 60
    assert rows[1]["destroyed_ts"] == N - 30 * 60 - 1


# ── call/sessions ────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_rows_of_sessions(now: VirtualClock) -> None:
    """The documented keys in their order, the latest joiner first; who is still there has not left."""
    caller = Caller(world(), now)
    body = await caller.body("call_sessions", call_id=await the_call(caller))
    assert list(body) == ["code", "message", "requestId", "total_size", "page_no", "page_size", "call_info"]
    sessions = await everyone(caller, await the_call(caller), start_ts=N - 2 * HOUR)
    left = next(s for s in sessions if s["finished"] and product_of(s) == "Native")
    assert list(left) == [
        "sid", "cname", "uid", "account", "network", "platform", "speaker", "roles", "sdk_version", "device_type",
        "join_ts", "leave_ts", "finished", "user_audio_freeze_rate", "user_video_freeze_rate",
    ]  # fmt: skip
    assert len(left["sid"]) == 32
    joins = [session["join_ts"] for session in sessions]
    assert joins == sorted(joins, reverse=True)
    assert all(session["join_ts"] < session["leave_ts"] <= N - 100 for session in sessions if session["finished"])
    assert all("leave_ts" not in session for session in sessions if not session["finished"])
    assert all("user_audio_freeze_rate" not in s for s in sessions if product_of(s) == "WebRTC")
    assert any(session["uid"] > 2**31 for session in sessions)


async def test_who_is_there_is_whom_realtime_counts(now: VirtualClock) -> None:
    """In every slot, the sessions that touch it are exactly realtime's users of the channel, product by product."""
    data = world(jitter="30%")
    caller = Caller(data, now)
    sessions = await everyone(caller, await the_call(caller), start_ts=N - 1500)
    for product in ("Native", "WebRTC"):
        rows = await caller.rows("usage", cname="room", productType=product, startTs=N - 1500, endTs=N - 300)
        for row in rows:
            touching = [
                s
                for s in sessions
                if product_of(s) == product
                and s["join_ts"] < row["ts"] + 20
                and (not s["finished"] or s["leave_ts"] >= row["ts"])
            ]
            assert len(touching) == row["userCount"]
            assert len({s["uid"] for s in touching}) == len(touching)


async def test_sessions_end_and_seats_are_taken_again(now: VirtualClock) -> None:
    """Nobody stays longer than the scenario says, and a rejoin of a known user has another sid."""
    caller = Caller(world(of={"calls": {"length": "24h", "stay": "10m"}}), now)
    sessions = await everyone(caller, await the_call(caller), start_ts=N - 1800)
    assert max(s["leave_ts"] - s["join_ts"] for s in sessions if s["finished"]) <= 600
    known = [session for session in sessions if session["uid"] == 2_303_692_334]
    assert len(known) >= 3
    assert len({session["sid"] for session in known}) == len(known)
    asked = await caller.body("call_sessions", call_id=await the_call(caller), uids="2303692334", start_ts=N - 1800)
    assert [session["sid"] for session in asked["call_info"]] == [session["sid"] for session in known]


async def test_paging_of_sessions_needs_both(now: VirtualClock) -> None:
    """With one of the two alone, the first twenty."""
    caller = Caller(world(), now)
    call_id = await the_call(caller)
    for given in ({"page_no": 2}, {"page_size": 5}):
        body = await caller.body("call_sessions", call_id=call_id, **given)
        assert (body["page_no"], body["page_size"], len(body["call_info"])) == (1, 20, 20)
    second = await caller.body("call_sessions", call_id=call_id, page_no=2, page_size=5)
    assert (second["page_no"], len(second["call_info"])) == (2, 5)
    assert second["call_info"][0] == (await caller.body("call_sessions", call_id=call_id))["call_info"][5]


async def test_servers_are_hidden_unless_asked_for(now: VirtualClock) -> None:
    """Linux users are there with exclude_server_user=false only; they are after all others and count."""
    caller = Caller(world(), now)
    call_id = await the_call(caller)
    hidden = await everyone(caller, call_id)
    shown = await everyone(caller, call_id, exclude_server_user="false")
    assert "Linux" not in {session["platform"] for session in hidden}
    assert shown[:-1] == hidden
    assert (shown[-1]["platform"], shown[-1]["roles"]) == ("Linux", ["Cloud Recording"])


async def test_an_unknown_call_has_nothing(now: VirtualClock) -> None:
    """Made-up ids, ids of other projects and sids of other calls are no errors; they have no rows."""
    data = world()
    data["accounts"][0]["projects"].append(project(name="second", app_id=OTHER_APP))
    caller = Caller(data, now)
    other = (await caller.body("call_lists", appid=OTHER_APP, cname="room"))["call_lists"][0]["call_id"]
    own = await the_call(caller)
    for call_id in ("c123", "c" + "0" * 32, other, own[:-1] + ("1" if own[-1] == "0" else "0"), own[1:]):
        body = await caller.body("call_sessions", call_id=call_id)
        assert (body["code"], body["total_size"], body["call_info"]) == (200, 0, [])
        assert (await caller.body("call_metrics", call_id=call_id, sids="x"))["metrics"] == []
        assert (await caller.body("call_freeze_bucket", call_id=call_id, metric="video_freeze_rate"))["data"] == []
    assert (await caller.body("call_metrics", call_id=own, sids="x," + "0" * 32))["metrics"] == []


async def test_sdks_are_shared_out_as_realtime_does(now: VirtualClock) -> None:
    """Each SDK has as many users in the sessions as in realtime's groups, give or take two."""
    data = world(of={"products": {"Native": {"peak_users": 1000}}})
    caller = Caller(data, now)
    rows = await caller.rows("usage", cname="room", dimension="sdk", startTs=N - 420, endTs=N - 400)
    sessions = await everyone(caller, await the_call(caller), start_ts=N - 420, end_ts=N - 401)
    here = Counter(s["sdk_version"] for s in sessions if not s["finished"] or s["leave_ts"] >= N - 400)
    for row in rows:
        assert abs(here[row["sdk"]] - row["userCount"]) <= 2


async def test_a_generated_channel_is_known_by_its_call(now: VirtualClock) -> None:
    """Eight users in a channel without a name of its own, of one product; its sessions carry its name."""
    caller = Caller(world(), now)
    rows = (await caller.body("call_lists", page_size=100))["call_lists"]
    names = {row["cname"] for row in rows}
    assert {"room", "native-0", "native-6", "webrtc-1"} <= names
    assert APP not in names
    call = next(row for row in rows if row["cname"] == "native-3")
    sessions = await everyone(caller, call["call_id"])
    assert {(s["cname"], product_of(s)) for s in sessions} == {("native-3", "Native")}
    assert call["call_pcu"] == 8
    assert sum(s["speaker"] for s in sessions if not s["finished"]) == 2


# ── call/metrics ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def series(caller: Caller, sessions: list[dict[str, Any]], **given: Any) -> dict[str, list[dict[str, Any]]]:
    """`data` of each sid."""
    call_id = await the_call(caller)
    sids = ",".join(session["sid"] for session in sessions)
    body = await caller.body("call_metrics", call_id=call_id, sids=sids, **given)
    return {entry["sid"]: entry["data"] for entry in body["metrics"]}


async def test_every_mid_of_the_dossier(now: VirtualClock) -> None:
    """Each product has its own mids, speakers those of sending too; peer 0 is the user, another the one received."""
    caller = Caller(world(), now)
    sessions = [s for s in await everyone(caller, await the_call(caller)) if s["speaker"]]
    found = await series(caller, sessions)
    for product, expected in (("Native", NATIVE), ("WebRTC", WEB)):
        mids = {one["mid"] for s in sessions if product_of(s) == product for one in found[s["sid"]]}
        assert mids == expected
    uids = {session["uid"] for session in sessions}
    for session in sessions:
        peers = {one["peer_uid"] for one in found[session["sid"]]}
        assert peers == uids - {session["uid"]} | {0}
        sent = {one["mid"] for one in found[session["sid"]] if one["peer_uid"] == 0}
        assert {20003, 20024} <= sent
        assert not {20004, 20005, 20011, 20016} & sent
    listener = next(s for s in await everyone(caller, await the_call(caller)) if not s["speaker"])
    heard = (await series(caller, [listener]))[listener["sid"]]
    assert not {20003, 20015, 20037} & {one["mid"] for one in heard}
    assert Counter(one["mid"] for one in heard)[20016] == 4  # once per peer


async def test_a_peer_who_rejoined_is_one_peer(now: VirtualClock) -> None:
    """Each metric once per peer and not once per stay; it holds what they sent in all of their stays."""
    caller = Caller(world(of={"calls": {"length": "24h", "stay": "10m"}}), now)
    everybody = await everyone(caller, await the_call(caller), start_ts=N - 3500)
    again = {s["join_ts"] for s in everybody if s["uid"] == 2303692334}
    listener = next(
        s for s in everybody
        if not s["speaker"] and any(s["join_ts"] + 60 < at < s.get("leave_ts", 0) - 60 for at in again)
    )  # fmt: skip
    found = (await series(caller, [listener], start_ts=N - 3500))[listener["sid"]]
    assert set(Counter((one["mid"], one["peer_uid"]) for one in found).values()) == {1}
    (audio,) = (one["kvs"] for one in found if (one["mid"], one["peer_uid"]) == (20004, 2303692334))
    assert any(audio[0][0] < at < audio[-1][0] for at in again)


async def test_reports_come_every_two_seconds_with_gaps(now: VirtualClock) -> None:
    """[seconds, value] within the span; 2 s apart, now and then 4 or 6."""
    caller = Caller(world(), now)
    sessions = (await everyone(caller, await the_call(caller)))[-10:]
    steps: Counter[int] = Counter()
    for data in (await series(caller, sessions)).values():
        for one in data:
            stamps = [at for at, _ in one["kvs"]]
            assert all(N - 600 <= at < N - 301 for at in stamps)
            steps.update(b - a for a, b in itertools.pairwise(stamps))
    assert steps[2] > 20 * steps[4] > 0
    assert all(step % 2 == 0 for step in steps)


async def test_freezes_of_the_samples_are_the_rates(now: VirtualClock) -> None:
    """What a session's freeze times add up to is its freeze rate, and the mean over all is realtime's."""
    bad = {"project": "classroom", "start": "+11h", "duration": "2h", "levels": {"videoFreezeRate": "20%"}}
    caller = Caller(world(incidents=[bad], jitter="5%"), now)
    sessions = [s for s in await everyone(caller, await the_call(caller)) if product_of(s) == "Native"]
    sessions = [s for s in sessions if s["join_ts"] < N - 600 and not s["finished"]]
    assert len(sessions) > 30
    shares = []
    for at in range(0, len(sessions), 20):
        for data in (await series(caller, sessions[at : at + 20], start_ts=N - 600, end_ts=N - 301)).values():
            frozen = next(one["kvs"] for one in data if one["mid"] == 20011)
            assert all(0 <= value <= 6000 for _, value in frozen)
            shares.append(sum(value for _, value in frozen) / (1000 * (frozen[-1][0] - frozen[0][0] + 2)))
    rows = await caller.rows("quality", cname="room", startTs=N - 600, endTs=N - 300)
    rate = sum(row["videoFreezeRate"] for row in rows) / len(rows)
    assert sum(shares) / len(shares) == pytest.approx(rate, rel=0.05)
    assert max(shares) > min(shares) * 1.3
    whole = [session["user_video_freeze_rate"] for session in sessions]
    assert sum(whole) / len(whole) == pytest.approx(rate, rel=0.05)


async def test_nothing_of_a_freeze_is_lost_in_a_gap(now: VirtualClock) -> None:
    """The report after a missing one covers both: over all streams, freeze times are the rate to one in a hundred."""
    caller = Caller(world(of={"healthy": {"videoFreezeRate": "10%"}}), now)
    sessions = await everyone(caller, await the_call(caller))
    frozen = seconds = reports = 0
    for at in range(0, 60, 20):
        for data in (await series(caller, sessions[at : at + 20])).values():
            for kvs in (one["kvs"] for one in data if one["mid"] == 20011):
                frozen += sum(value for _, value in kvs[1:])  # what the first covers is not known
                seconds += kvs[-1][0] - kvs[0][0]
                reports += len(kvs) - 1
    assert reports < 0.98 * seconds / 2
    assert frozen / 1000 / seconds == pytest.approx(0.1, rel=0.01)


async def test_a_value_is_the_same_whatever_window_is_asked(now: VirtualClock) -> None:
    """A narrow question and a later one find the very same reports; nothing after the delay is told."""
    caller = Caller(world(jitter="5%"), now)
    session = next(s for s in await everyone(caller, await the_call(caller)) if s["speaker"] and not s["finished"])
    wide = (await series(caller, [session]))[session["sid"]]
    narrow = (await series(caller, [session], start_ts=N - 471, end_ts=N - 433))[session["sid"]]
    await now.sleep_until(NOON + 200)
    later = (await series(caller, [session], start_ts=N - 471, end_ts=N - 433))[session["sid"]]
    assert later == narrow
    for one in narrow:
        (same,) = (w["kvs"] for w in wide if (w["mid"], w["peer_uid"]) == (one["mid"], one["peer_uid"]))
        assert one["kvs"] == [pair for pair in same if N - 471 <= pair[0] < N - 433]


LOSSY = {
    "project": "classroom", "channel": "room", "start": "+11h", "duration": "2h",
    "levels": {"audioPacketLoss": "6%", "videoPacketLoss": "12%"},
}  # fmt: skip


async def losses(caller: Caller, product: str, mids: tuple[int, ...]) -> dict[str, dict[int, float]]:
    """Mean loss per sid and mid, of one product's speakers."""
    sessions = [s for s in await everyone(caller, await the_call(caller)) if product_of(s) == product]
    found = {}
    for at in range(0, len(sessions), 20):
        for sid, data in (await series(caller, sessions[at : at + 20], start_ts=N - 400)).items():
            means: dict[int, list[float]] = {}
            for one in data:
                if one["mid"] in mids:
                    means.setdefault(one["mid"], []).extend(value for _, value in one["kvs"])
            found[sid] = {mid: sum(values) / len(values) for mid, values in means.items() if values}
    return found


@pytest.mark.parametrize(
    ("product", "audio", "video"),
    [("Native", (20015, 20016), (20017, 20018)), ("WebRTC", (20037, 20016), (20038, 20036))],
)
async def test_packet_loss_of_an_incident(
    now: VirtualClock, product: str, audio: tuple[int, ...], video: tuple[int, ...]
) -> None:
    """Percent, under the product's own mids; the users' mean is the level, and the other product is spared."""
    caller = Caller(world(incidents=[{**LOSSY, "products": [product]}], jitter="5%"), now)
    found = (await losses(caller, product, audio + video)).values()
    for mids, level in ((audio, 6.0), (video, 12.0)):
        values = [value for means in found for mid, value in means.items() if mid in mids]
        assert sum(values) / len(values) == pytest.approx(level, rel=0.1)
    other = "WebRTC" if product == "Native" else "Native"
    assert max(v for means in (await losses(caller, other, (20016,))).values() for v in means.values()) < 1


async def test_an_incident_of_one_sdk_hits_its_sessions(now: VirtualClock) -> None:
    """Only the sessions of that SDK freeze and lose; statistics by SDK say the same."""
    bad = {"project": "classroom", "start": "+11h", "duration": "2h", "where": {"sdk": "3.6.1.1"}}
    levels = {"videoFreezeRate": "40%", "videoPacketLoss": "30%"}
    data = world(incidents=[{**bad, "levels": levels}], of={"products": {"Native": {"peak_users": 400}}})
    caller = Caller(data, now)
    call_id = await the_call(caller)
    sessions = [s for s in await everyone(caller, call_id, start_ts=N - 500) if s["join_ts"] > N - HOUR + 30]
    for session in sessions:
        expected = 0.4 if session["sdk_version"] == "3.6.1.1" else 0.009
        assert session["user_video_freeze_rate"] == pytest.approx(expected, abs=0.01)
    rows = (await caller.body("call_statistics", call_id=call_id, metric="video_freeze_rate", dimension="sdk"))["data"]
    by_sdk = {row["dimension_value"]: row for row in rows}
    assert by_sdk["3.6.1.1"]["value"] == pytest.approx(0.4, abs=0.01)
    assert by_sdk["4.1.1"]["value"] == pytest.approx(0.009, abs=0.01)
    hit = {s["sid"] for s in sessions if s["sdk_version"] == "3.6.1.1"}
    for sid, means in (await losses(caller, "Native", (20018,))).items():
        if sid in {s["sid"] for s in sessions} and means:
            assert (means[20018] > 10) is (sid in hit)


# ── statistics ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_statistics_rows(now: VirtualClock) -> None:
    """Their shapes, their message, their units; users of all groups and buckets are the users of the span."""
    caller = Caller(world(jitter="5%"), now)
    call_id = await the_call(caller)
    users = len({s["uid"] for s in await everyone(caller, call_id) if product_of(s) == "Native"})
    body = await caller.body("call_statistics", call_id=call_id, metric="audio_freeze_rate", dimension="os")
    assert list(body) == ["code", "message", "requestId", "data"]
    assert body["message"] == "Success request: /beta/analytics/call/statistics"
    assert [list(row) for row in body["data"]] == [["dimension_value", "user_count", "value"]] * len(body["data"])
    assert sum(row["user_count"] for row in body["data"]) == users
    body = await caller.body("call_freeze_bucket", call_id=call_id, metric="audio_freeze_rate")
    assert body["data"] == [{"bucket": "[0%,3%)", "user_count": users}]


@pytest.mark.parametrize(
    ("level", "bucket"), [("2.9%", "[0%,3%)"), ("3%", "[3%,5%)"), ("5%", "[5%,10%)"), ("10%", "[10%,100%)")]
)
async def test_freeze_buckets(now: VirtualClock, level: str, bucket: str) -> None:
    """Lower bounds belong to the bucket; empty ones may be left out or shown."""
    data = world(of={"healthy": {"videoFreezeRate": level}})
    caller = Caller(data, now)
    asked = {"call_id": await the_call(caller), "metric": "video_freeze_rate"}
    rows = (await caller.body("call_freeze_bucket", **asked))["data"]
    assert [row["bucket"] for row in rows] == [bucket]
    data["accounts"][0]["answers"] = {"empty_buckets": True}
    rows = (await Caller(data, now).body("call_freeze_bucket", **asked))["data"]
    assert sorted(row["bucket"] for row in rows) == ["[0%,3%)", "[10%,100%)", "[3%,5%)", "[5%,10%)"]
    assert [row["bucket"] for row in rows if row["user_count"]] == [bucket]


async def test_statistics_by_minute(now: VirtualClock) -> None:
    """On the 60 s grid, unsorted, full minutes only; frozen are users over 3 % (audio) or 5 % (video)."""
    bad = {"project": "classroom", "start": "+11h55m", "duration": "2m", "levels": {"videoFreezeRate": "6%"}}
    caller = Caller(world(incidents=[bad]), now)
    asked = {"call_id": await the_call(caller), "start_ts": N - 600, "end_ts": N - 101}
    found = {}
    for metric in ("user_count", "video_freeze_rate", "video_freeze_user_count", "audio_freeze_user_count"):
        rows = (await caller.body("call_statistics_time", metric=metric, **asked))["data"]
        stamps = [row["ts"] for row in rows]
        assert sorted(stamps) == list(range(N - 600, N - 120, 60))
        assert stamps != sorted(stamps)
        found[metric] = {row["ts"]: row["value"] for row in rows}
    assert found["user_count"][N - 300] == 66
    assert found["video_freeze_rate"][N - 300] == pytest.approx(0.06)
    assert found["video_freeze_rate"][N - 360] == pytest.approx(0.009)
    assert found["video_freeze_user_count"] == {ts: 66 if ts in (N - 300, N - 240) else 0 for ts in found["user_count"]}
    assert set(found["audio_freeze_user_count"].values()) == {0}


@pytest.mark.parametrize("seconds", [0, 20, 60, 3540])
async def test_who_comes_as_the_span_ends_is_in_none_of_its_minutes(now: VirtualClock, seconds: int) -> None:
    """Spans that end on a whole minute have as many minutes as that, however many join at its very end."""
    caller = Caller(world(of={"products": {"Native": {"peak_users": 400}}}), now)
    end = N - 180
    asked: dict[str, Any] = {"call_id": await the_call(caller), "start_ts": end - seconds, "end_ts": end}
    joins = {s["join_ts"] // 20 * 20 for s in await everyone(caller, **asked)}
    assert end in joins
    for metric in ("user_count", "video_freeze_rate", "video_freeze_user_count"):
        rows = (await caller.body("call_statistics_time", metric=metric, **asked))["data"]
        assert sorted(row["ts"] for row in rows) == list(
            range((end - seconds) // 60 * 60, max(end, end - seconds + 1), 60)
        )
