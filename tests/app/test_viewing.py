"""What readers see of a running daemon, in virtual time: the board, its bounds, and that readers cost looks nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from tests.app import town
from tests.app.town import START, Town
from watcher.app import board as boards
from watcher.app.viewing import FRESH
from watcher.clock import HOUR, MINUTE, VirtualClock
from watcher.errors import Refused, StoreError
from watcher.explain import as_json, explain
from watcher.metrics import AccountHealth
from watcher.model import Series, alert_id
from watcher.store import SqliteReader, open_readonly
from watcher.web import NewSilence
from watcher.web.sections import Drawing
from watcher.web.views import Board

PLACE = {"account": "acme", "provider": "agora", "project": "classroom", "product": "Native"}
ALERT = alert_id("VideoFreezing", PLACE)


@pytest.fixture
def clock() -> VirtualClock:
    """Virtual time from noon on."""
    return VirtualClock(epoch=START, jumping=True)


def at(minutes: float) -> float:
    """So many minutes into the story."""
    return START + minutes * MINUTE


def freezing(clock: VirtualClock, folder: Path, *, minutes: float = 300) -> Town:
    """Video of acme's native users freezes from 20 min on."""
    tale = town.story(incidents=[town.incident("classroom", 1200, minutes)])
    return Town(clock=clock, folder=folder, tale=tale)


async def test_the_board_says_everything_of_an_alert_that_fires(tmp_path: Path, clock: VirtualClock) -> None:
    """What, where, since when, how bad, for whom, why, who was told; its hour with the lines and the spans."""
    here = freezing(clock, tmp_path)
    async with here.running(town.config(tmp_path)) as daemon:
        await clock.sleep_until(at(60))
        board = await daemon.viewing.board()
        detail, curve = await daemon.viewing.alert(ALERT)
    (alert,) = board.alerts.alerts
    assert (alert.id, alert.state, alert.labels, alert.told) == (ALERT, "firing", PLACE, ["pager"])
    assert alert.value is not None
    assert 0.12 < alert.value < 0.16
    assert alert.users is not None
    assert "video_freeze_ratio above 5% held for" in alert.why
    assert (board.status.firing, board.status.projects, board.status.users) == (
        {alert.severity: 1},
        ["classroom"],
        alert.users,
    )
    drawn = board.alert_curves[ALERT]
    assert drawn.end - drawn.start == HOUR
    assert drawn.threshold == alert.threshold == 0.05
    pending, firing = drawn.stays
    assert (pending.firing, pending.start, pending.end) == (False, int(at(20)) + 20, firing.start)
    assert (firing.firing, firing.end) == (True, None)
    assert (drawn.values[drawn.ends > at(21)] > 0.1).all()
    assert curve is not None
    assert curve.stays == drawn.stays
    assert [entry.state for entry in detail.log] == ["firing", "pending"]
    assert [(m.target, m.kind, m.delivery) for m in detail.notifications] == [("pager", "firing", "sent")]
    assert detail.chart is not None
    assert len(detail.chart.points) == len(curve.values)
    Drawing().board(board)


async def test_signals_accounts_looks_rules_and_targets(tmp_path: Path, clock: VirtualClock) -> None:
    """One row of each thing that is configured, with what the daemon's own parts say of it."""
    here = freezing(clock, tmp_path)
    async with here.running(town.config(tmp_path)) as daemon:
        await clock.sleep_until(at(90))
        board = await daemon.viewing.board()
        loops = dict(daemon._parts.loops) if daemon._parts else {}
    assert len(board.signals.signals) == len(board.curves) == 12
    assert all(curve is not None and len(curve.values) > 100 for curve in board.curves)
    worst = next(s for s in board.signals.signals if s.signal == "video_freeze_ratio" and s.account == "acme")
    assert (worst.product, worst.threshold, worst.stale) == ("Native", 0.05, False)
    assert {a.account: (a.sight, a.observed_ratio) for a in board.accounts.accounts} == {
        "acme": ("seen", 1.0),
        "beta": ("seen", 1.0),
    }
    for account in board.accounts.accounts:
        for quota in account.quotas:
            standing = loops[account.account].ledger.usage(clock.now())
            usage = next(u for u in standing if (u.family, u.window) == (quota.family, quota.window))
            assert (quota.allowed, quota.limit) == (usage.allowed, usage.limit)
            assert quota.spent <= quota.expected <= quota.allowed
    days = [q for a in board.accounts.accounts for q in a.quotas if (q.family, q.window) == ("realtime", "day")]
    assert all(q.expected > q.spent for q in days), "the day goes on as its last hour did"
    assert len(board.schedule.looks) == 12
    certain = [look for look in board.schedule.looks if look.certain]
    assert {look.query for look in certain} == {loop.slot.query_id for loop in loops.values() if loop.slot}
    assert [rule.firing for rule in board.rules.rules if rule.rule == "VideoFreezing"] == [1]
    assert {target.target for target in board.targets.targets} == {"pager", "mail", "ops"} & {
        t.target for t in board.targets.targets
    }


async def test_what_cannot_be_seen_is_said(tmp_path: Path, clock: VirtualClock) -> None:
    """Before the first look, while an account is down, and not any more when it is back."""
    here = freezing(clock, tmp_path)
    async with here.running(town.config(tmp_path)) as daemon:
        with pytest.raises(Refused):
            await daemon.viewing.board()
        await clock.sleep_until(at(30))
        assert [t.kind for t in (await daemon.viewing.board()).status.troubles] == []
        here.wire.down.update(town.ACME_HOSTS)
        await clock.sleep_until(at(60))
        board = await daemon.viewing.board()
        (blind,) = (t for t in board.status.troubles if t.kind == "blind")
        assert blind.what.startswith("acme cannot be seen: the vendor cannot be reached")
        assert blind.since is not None
        (alert,) = (a for a in board.alerts.alerts if a.id == ALERT)
        assert (alert.state, alert.unjudged_since is not None) == ("firing", True)
        here.wire.down.clear()
        await clock.sleep_until(at(120))
        assert (await daemon.viewing.board()).status.troubles == []


async def test_an_alert_that_is_over_is_still_shown(tmp_path: Path, clock: VirtualClock) -> None:
    """Under "over lately", and by its own page around its end; what never was is 404; a restart forgets neither."""
    here = freezing(clock, tmp_path, minutes=20)
    for until in (120, 130):
        async with here.running(town.config(tmp_path)) as daemon:
            await clock.sleep_until(at(until))
            board = await daemon.viewing.board()
            detail, curve = await daemon.viewing.alert(ALERT)
            with pytest.raises(Refused, match="no such alert"):
                await daemon.viewing.alert("nobody")
        assert board.alerts.alerts == []
        assert [(p.id, p.peak is not None) for p in board.past] == [(ALERT, True)]
        assert (detail.alert, detail.log[0].state) == (None, "resolved")
        assert curve is not None
        assert any(stay.firing and stay.end is not None for stay in curve.stays)
        Drawing().alert(detail, curve, board)


async def test_what_people_change_is_seen_at_once(tmp_path: Path, clock: VirtualClock) -> None:
    """Not only when the board would be made anew."""
    here = freezing(clock, tmp_path)
    async with here.running(town.config(tmp_path)) as daemon:
        await clock.sleep_until(at(60))
        before = await daemon.viewing.board()
        wish = NewSilence(match={"alert": (ALERT,)}, seconds=600, author="kim")
        made = await daemon.viewing.add_silence(wish)
        after = await daemon.viewing.board()
        await daemon.viewing.expire_silence(made.silence.id)
        await clock.sleep_until(at(60) + 1)
        ended = await daemon.viewing.board()
    assert [[a.muted for a in b.alerts.alerts] for b in (before, after, ended)] == [[None], ["silenced"], [None]]
    assert [s.state for s in ended.silences.silences] == ["expired"]


async def test_explain_says_what_the_command_says(tmp_path: Path, clock: VirtualClock) -> None:
    """The same document, and 404 for a rule that is not there."""
    here = freezing(clock, tmp_path)
    async with here.running(town.config(tmp_path)) as daemon:
        await clock.sleep_until(at(60))
        found = await daemon.viewing.explain("VideoFreezing")
        with pytest.raises(Refused, match="no such rule"):
            await daemon.viewing.explain("nothing")
        rule = next(rule for rule in daemon.config.rules if rule.name == "VideoFreezing")
        reader = open_readonly(daemon.config.state)
        said = as_json(rule, explain(daemon.config, rule, reader, now=clock.now()))
        reader.close()
    assert msgspec.to_builtins(found) == said


async def test_a_series_is_given_as_far_back_as_asked(tmp_path: Path, clock: VirtualClock) -> None:
    """Every window of it, in order; one that is not there is 404."""
    here = freezing(clock, tmp_path)
    series = Series("acme", "agora", "classroom", "Native", "", "users")
    async with here.running(town.config(tmp_path)) as daemon:
        await clock.sleep_until(at(60))
        found = await daemon.viewing.series(series, 600)
        with pytest.raises(Refused, match="no such series"):
            await daemon.viewing.series(series._replace(channel="none"), 600)
    reader = open_readonly(f"sqlite:///{tmp_path}/state.db")
    known = max(until for query, until in reader.covered().items() if query.startswith("acme/"))
    points = reader.points(series, known - 600)
    reader.close()
    assert points is not None
    assert found.chart.points == list(zip((points.start + 20).tolist(), points.value.tolist(), strict=True))
    assert len(found.chart.points) >= 15


async def test_a_state_that_cannot_be_read_leaves_what_is_known(
    tmp_path: Path, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The alerts, without charts: the disk is not needed to say what fires."""

    def fails(self: SqliteReader, *args: Any, **more: Any) -> Any:
        raise StoreError("disk I/O error")

    here = freezing(clock, tmp_path)
    async with here.running(town.config(tmp_path)) as daemon:
        await clock.sleep_until(at(60))
        with monkeypatch.context() as broken:
            for name in ("points", "transitions", "gaps", "spends", "notifications_about"):
                broken.setattr(SqliteReader, name, fails)
            board = await daemon.viewing.board()
            with pytest.raises(Refused, match="cannot be read now"):
                await daemon.viewing.alert(ALERT)
    assert [a.id for a in board.alerts.alerts] == [ALERT]
    assert board.alert_curves == {}
    assert set(board.curves) == {None}


async def test_bounds_are_kept_and_what_they_cost_is_said(
    tmp_path: Path, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So many alerts, charts and looks, and how many more there are."""
    for name, most in (("MAX_ALERTS", 0), ("MAX_CHARTS", 5), ("MAX_LOOKS", 7)):
        monkeypatch.setattr(boards, name, most)
    here = freezing(clock, tmp_path)
    async with here.running(town.config(tmp_path)) as daemon:
        await clock.sleep_until(at(60))
        board = await daemon.viewing.board()
    assert (len(board.alerts.alerts), board.alerts.left_out) == (0, 1)
    assert (len(board.signals.signals), len(board.curves), board.signals.left_out) == (5, 5, 7)
    assert (len(board.schedule.looks), board.schedule.left_out) == (7, 5)
    assert board.status.firing, "the headline counts them all"


@pytest.mark.parametrize(
    ("blind", "age", "sight"),
    [(True, 10, "blind"), (False, None, "starting"), (False, 99, "seen"), (False, 101, "late")],
)
def test_how_an_account_is_seen(blind: bool, age: float | None, sight: str) -> None:
    """Blind by its looks, starting before the first answer, late beyond what was promised."""
    health = AccountHealth(
        account="acme",
        provider="agora",
        signals=(),
        looks={},
        look_seconds=0.0,
        scheduled={},
        budget_refusals=0,
        windows_covered=0,
        windows_lost=0,
        oddities={},
        limits={},
        covered_at={"q": None if age is None else START - age},
        age_limits={"q": 100.0},
        quotas=(),
        pools=(),
    )
    assert boards.sight_of(health, blind=blind, now=START) == sight
    assert boards.sight_of(None, blind=False, now=START) == "starting"


async def test_fifty_readers_cost_one_and_move_no_look_and_no_page(
    tmp_path: Path, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests leave and pages come at the same instants, to the last digit, whether they read or not; what fifty
    readers are shown every five seconds is made once for all of them."""
    composed = []
    compose = boards.compose

    def counted(*args: Any, **more: Any) -> Board:
        composed.append(clock.now())
        return compose(*args, **more)

    monkeypatch.setattr(boards, "compose", counted)
    alone = await _hour(clock, tmp_path / "alone", readers=0)
    assert composed == []
    again = VirtualClock(epoch=START, jumping=True)
    watched = await _hour(again, tmp_path / "watched", readers=50)
    assert alone == watched
    assert alone["pages"]
    assert 600 <= len(composed) <= 3600 / FRESH


async def _hour(clock: VirtualClock, folder: Path, *, readers: int) -> Mapping[str, Any]:
    """An hour with an incident in it: when requests left, and when what was told, since its start."""
    folder.mkdir()
    here = freezing(clock, folder)
    async with here.running(town.config(folder)) as daemon, anyio.create_task_group() as tasks:
        await clock.sleep_until(at(1))

        async def read() -> None:
            while True:
                await daemon.viewing.board()
                await clock.sleep_until(clock.now() + 5)

        for _ in range(readers):
            tasks.start_soon(read)
        await clock.sleep_until(at(61))
        tasks.cancel_scope.cancel()
    return {
        "looks": {name: [round(left - START, 3) for left in tap.left] for name, tap in here.taps.items()},
        "pages": [(round(when - START, 3), title) for when, title in here.told("pager")],
    }


async def test_a_daemon_that_never_saw_anything_says_so(tmp_path: Path, clock: VirtualClock) -> None:
    """Both accounts are down from the start: blind, no signals, and a page all the same."""
    here = freezing(clock, tmp_path)
    here.wire.down.update({*town.ACME_HOSTS, town.BETA_HOST})
    async with here.running(town.config(tmp_path)) as daemon:
        await clock.sleep_until(at(0.1))
        board = await daemon.viewing.board()
    assert {a.sight for a in board.accounts.accounts} == {"blind"}
    assert [t.kind for t in board.status.troubles] == ["blind", "blind"]
    assert board.signals.signals == []
    Drawing().board(board)
