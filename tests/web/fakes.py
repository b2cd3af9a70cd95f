"""Fakes behind page and API, typed against their ports, and the application around them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from starlette.applications import Starlette

from tests.conftest import EPOCH
from tests.web import boards
from watcher.errors import Refused
from watcher.listener import ProxySettings
from watcher.metrics import Snapshot, render
from watcher.model import Series
from watcher.secret import Secret
from watcher.web import Access, NewAck, NewSilence, ReadyReport, Views, build_web, hooks_vonage, shapes
from watcher.web.asking import (
    AskedCall,
    AskedGroups,
    CallBucket,
    CallElse,
    CallGroup,
    CallMinute,
    CallSpread,
    CallStay,
    DayGroup,
    ShownCall,
    ShownGroups,
)
from watcher.web.hooks import Listener
from watcher.web.views import Board, Curve
from watcher.workers import InlineWorkers

NOW = float(boards.END)


class FakeViews:
    """Shows what it was given, notes what is asked; refuses the id `none`."""

    def __init__(self, board: Board | None = None) -> None:
        self.now = board or boards.board(alerts=1)
        self.wishes: list[Any] = []
        self.asked = 0

    async def board(self) -> Board:
        self.asked += 1
        return self.now

    async def alert(self, alert: str) -> tuple[shapes.AlertDetail, Curve | None]:
        found = next((a for a in self.now.alerts.alerts if a.id == alert), None)
        if found is None:
            raise Refused(404, "no such alert is on record")
        return detail(found), self.now.alert_curves[alert]

    async def series(self, series: Series, seconds: int) -> shapes.SeriesPoints:
        if series.account == "none":
            raise Refused(404, "no such series has points in that time")
        labels = dict(zip(Series._fields[:-1], series[:-1], strict=True))
        return shapes.SeriesPoints(**labels, chart=chart())

    async def explain(self, rule: str) -> shapes.Explained:
        if rule == "none":
            raise Refused(404, "there is no such rule")
        return explained(rule, self.now)

    async def add_silence(self, wish: NewSilence) -> shapes.ChangedSilence:
        self.wishes.append(wish)
        return shapes.ChangedSilence(silence=boards.silence("room"), matching=1, durable=True)

    async def expire_silence(self, silence: str) -> shapes.ChangedSilence:
        if silence == "none":
            raise Refused(404, "no such silence holds: see the list")
        self.wishes.append(silence)
        return shapes.ChangedSilence(silence=boards.silence("room"), matching=1, durable=True)

    async def acknowledge(self, alert: str, wish: NewAck) -> shapes.ChangedAck:
        self.wishes.append((alert, wish))
        ack = shapes.ShownAck(alert_id=alert, seq=1, author=wish.author, comment=wish.comment, at=boards.at(0))
        return shapes.ChangedAck(ack=ack, durable=True)

    async def call(self, account: str, asked: AskedCall) -> ShownCall:
        if asked.channel == "none":
            raise Refused(404, "the vendor knows of no such call")
        self.wishes.append((account, asked))
        return shown_call(asked.channel)

    async def groups(self, account: str, asked: AskedGroups) -> ShownGroups:
        if asked.signal == "none":
            raise Refused(422, "there are no days of that")
        self.wishes.append((account, asked))
        return shown_groups(asked.by)


_: Views = FakeViews()


def shown_groups(by: str = "sdk") -> ShownGroups:
    """Two groups of a week, of which one fared worse than all."""
    return ShownGroups(
        account="school",
        provider="agora",
        project="classroom",
        product="Native",
        signal="daily_video_freeze_ratio",
        by=by,
        start="2026-01-01T00:00:00Z",
        end="2026-01-08T00:00:00Z",
        whole=0.011,
        groups=[
            DayGroup(group="4.2.0", value=0.008, behind=7_200_000.0),
            DayGroup(group="4.2.1", value=0.05, behind=360_000.0),
        ],
        counts="seconds",
        notes=["the newest may still change"],
        read_at=boards.at(0),
        requests=2,
    )


def shown_call(channel: str = "lecture") -> ShownCall:
    """Two users, of whom one fared badly."""

    def stay(user: str, frozen: float) -> CallStay:
        return CallStay(
            user=user,
            name=f"user-{user}",
            joined=boards.at(600),
            left=None,
            client="4.2.1 Android",
            place="Wi-Fi",
            ending="",
            failed=False,
            values={"video_freeze_ratio": frozen},
        )

    return ShownCall(
        account="school",
        provider="agora",
        project="classroom",
        channel=channel,
        call="c1",
        began=boards.at(900),
        ended=None,
        running=True,
        users=2,
        stays=[stay("7", 0.22), stay("8", 0.0)],
        minutes=[CallMinute(at=boards.at(120), values={"users": 2.0, "video_freeze_ratio": 0.11})],
        spreads=[
            CallSpread(
                signal="video_freeze_ratio",
                buckets=[CallBucket(low=0, high=0.03, users=1), CallBucket(low=0.1, high=1, users=1)],
            )
        ],
        groups=[
            CallGroup(dimension="sdk", group="4.2.1", signal="video_freeze_ratio", value=0.22, users=1, counts="users")
        ],
        others=[CallElse(call="c0", began=boards.at(9000), ended=boards.at(8000), users=5)],
        notes=["figures are 100 s behind"],
        read_at=boards.at(0),
        requests=4,
    )


def chart() -> shapes.Chart:
    """Two points, an end that is open."""
    return shapes.Chart(
        signal="video_freeze_ratio",
        starts_at=boards.at(3600),
        ends_at=boards.at(0),
        threshold=0.05,
        clear=None,
        points=[(boards.END - 20, 0.1), (boards.END, 0.2)],
        spans=[shapes.Span(state="firing", starts_at=boards.at(900), ends_at=None)],
    )


def detail(alert: shapes.ShownAlert) -> shapes.AlertDetail:
    """An alert with a message that failed, one duty that was dropped, and a correction in its log."""
    entry = shapes.LogEntry(
        seq=1,
        state="firing",
        at=boards.at(780),
        known_at=boards.at(700),
        cause="threshold",
        value=0.14,
        threshold=0.05,
        users=263.0,
        retracts=None,
        updates=None,
    )
    message = shapes.Message(
        target="oncall-slack",
        kind="firing",
        title=f"[FIRING] {alert.rule} {alert.labels.get('channel', '')}",
        reason="news",
        delivery="sent",
        created_at=boards.at(700),
        sent_at=boards.at(699),
        attempts=2,
        error=alert.labels.get("channel", ""),
    )
    return shapes.AlertDetail(
        id=alert.id,
        rule=alert.rule,
        labels=alert.labels,
        alert=alert,
        log=[msgspec.structs.replace(entry, seq=2, retracts=boards.at(800), cause="revised"), entry],
        notifications=[message],
        unsaid=[shapes.Unsaid(target="oncall-mail", seq=1, reason="off_hours")],
        chart=chart(),
    )


def explained(rule: str, board: Board) -> shapes.Explained:
    """A rule with an alert, whose labels are those of the board's first."""
    labels = board.alerts.alerts[0].labels if board.alerts.alerts else {"project": "project-1"}
    alert = shapes.ExplainedAlert(
        labels=labels,
        state="firing",
        since=boards.at(780),
        value=0.14,
        threshold=0.05,
        known_until=None,
        marks=["late"],
        why="fires",
        affected="",
    )
    account = shapes.ExplainedAccount(
        account="acme",
        page_seconds=shapes.PageSeconds(earliest=41.0, mean=120.0, p95=300.0, worst=600.0),
        onset_to_page_seconds=shapes.OnsetSeconds(mean=240.0, p95=420.0, worst=720.0),
        looks_per_day=480.0,
        requests_today=12.0,
        requests_allowed=479,
        alerts=[alert],
    )
    return shapes.Explained(rule=rule, signal="video_freeze_ratio", accounts=[account])


class Deaf:
    """Hears no hooks. Port `hooks.Listener`."""

    def hint(self, *, provider: str | None, account: str | None, project: str | None) -> int:
        return 0

    def hook_answered(self, hook: str, outcome: str) -> None:
        return


async def is_ready() -> ReadyReport:
    """Everything is there."""
    return ReadyReport(config=True, state=True, listener=True)


def metrics() -> bytes:
    """A real page of metrics."""
    return render(Snapshot(now=EPOCH, version="0", started_at=EPOCH))


def application(
    views: Views | None = None,
    *,
    token: str | None = None,
    proxy: ProxySettings | None = None,
    now: Callable[[], float] = lambda: NOW,
    metrics: Callable[[], bytes] = metrics,
    ready: Callable[[], Awaitable[ReadyReport]] = is_ready,
    hints: Listener | None = None,
    hook_token: Secret | None = None,
    vonage: hooks_vonage.Hear | None = None,
) -> Starlette:
    """What the daemon serves, around fakes."""
    secret = None if token is None else Secret.of(token)
    return build_web(
        metrics=metrics,
        ready=ready,
        views=views or FakeViews(),
        access=Access(token=lambda: secret, proxy=lambda: proxy, now=now),
        workers=InlineWorkers(),
        hints=hints or Deaf(),
        hook_token=lambda: hook_token,
        vonage=vonage,
    )
