"""Boards as the daemon would make them, of any size: for the page, its browser and its figures."""

from __future__ import annotations

import msgspec
import numpy as np

from tests.conftest import EPOCH
from watcher.clock import HOUR, rfc3339
from watcher.model import SIGNALS, Unit, Worse, unit_of
from watcher.web import shapes
from watcher.web.views import Board, Curve, Stay

WIDTH = 20
END = int(EPOCH) + 10 * HOUR
NAMES = [name for name, info in SIGNALS.items() if info.unit is Unit.RATIO and info.worse is Worse.UP]


def at(seconds_ago: float) -> str:
    """An instant before the board's end."""
    return rfc3339(END - int(seconds_ago)) or ""


def curve(seed: int, *, signal: str = "video_freeze_ratio", firing: bool = False, end: int = END) -> Curve:
    """An hour of a signal that wanders, as real ones do; with an incident in its last quarter where it fires."""
    dice = np.random.default_rng(seed)
    ends = np.arange(end - HOUR + WIDTH, end + 1, WIDTH)
    values = np.abs(0.012 + np.cumsum(dice.normal(0, 0.0012, len(ends)))) + dice.random(len(ends)) * 0.004
    begins = end - 900
    if firing:
        values[ends > begins] += 0.13
    stays = (Stay(firing=False, start=begins, end=begins + 120), Stay(firing=True, start=begins + 120, end=None))
    return Curve(
        signal=signal,
        start=end - HOUR,
        end=end,
        width=WIDTH,
        ends=ends,
        values=values,
        threshold=0.05,
        clear=0.03,
        stays=stays if firing else (),
    )


def alert(number: int, *, channel: str = "", **changes: object) -> shapes.ShownAlert:
    """One of many: its rule, project and severity follow its number."""
    labels = {"account": "acme", "provider": "agora", "project": f"project-{number % 7}", "product": "WebRTC"}
    group = channel or "4.2.1"  # both are text of end users
    found = shapes.ShownAlert(
        id=f"{number:016x}",
        rule=f"VideoFreezing{number % 5}",
        state="firing",
        severity=("critical", "warning")[number % 2],
        labels=labels | ({"channel": channel} if channel else {}),
        starts_at=at(900),
        fired_at=at(780),
        value=0.143,
        threshold=0.05,
        normal=None,
        users=263.0 + number,
        summary=f"Video freezes 14.3% of the time on project-{number % 7} (WebRTC), limit 5%",
        affected=[
            shapes.Affected(
                dimension="sdk",
                group=group,
                signal="video_freeze_ratio",
                value=0.22,
                users=410.0,
                base=0.143,
            )
        ],
        affected_says=f"SDK {group} (WebRTC): 22% of video time frozen, 410 users in the group; project 14.3%",
        silenced=False,
        acknowledged_by=None,
        unjudged_since=None,
        signal="video_freeze_ratio",
        clear=0.03,
        peak=0.151,
        description="A share of all video time, not of users.",
        runbook="https://wiki.example.com/freeze",
        why=f"fires since {at(780)}: video_freeze_ratio above 5% held for 120 s; newest value 14.3%",
        known_until=at(0),
        told=["oncall-mail", "oncall-slack"],
        muted=None,
        holds=120,
        clears=180,
        unguarded=False,
    )
    return msgspec.structs.replace(found, **changes)


def signal(number: int, channel: str = "") -> shapes.Signal:
    """One of many series."""
    name = NAMES[number % len(NAMES)]
    return shapes.Signal(
        account="acme",
        provider="agora",
        project=f"project-{number // 50}",
        product=("Native", "WebRTC")[number % 2],
        channel=channel,
        signal=name,
        unit=str(unit_of(name)),
        value=0.012 + number / 10_000,
        at=at(0),
        stale=False,
        threshold=0.05,
        clear=0.03,
    )


def board(
    *,
    alerts: int = 0,
    series: int = 9,
    rules: int = 8,
    channel: str = "",
    troubles: tuple[shapes.Trouble, ...] = (),
    end: int = END,
    can_change: bool = True,
) -> Board:
    """A whole board; `channel` names the room that everything is about."""
    firing = [alert(number, channel=channel) for number in range(alerts)]
    counts = {severity: sum(a.severity == severity for a in firing) for severity in ("critical", "warning")}
    return Board(
        status=shapes.Status(
            version="0.1.0",
            now=at(0),
            started_at=at(7 * HOUR),
            firing={severity: count for severity, count in counts.items() if count},
            pending=0,
            since=at(900) if firing else None,
            users=263.0 if firing else None,
            projects=sorted({a.labels["project"] for a in firing}),
            troubles=list(troubles),
            data_until=at(40),
            data_age_seconds=40.0,
            can_change=can_change,
        ),
        alerts=shapes.Alerts(alerts=firing, left_out=0),
        past=[past(number, channel) for number in range(3)],
        silences=shapes.Silences(silences=[silence(channel)] if channel else []),
        signals=shapes.Signals(signals=[signal(number, channel) for number in range(series)], left_out=0),
        accounts=shapes.Accounts(accounts=[account()]),
        schedule=shapes.Schedule(looks=[look(number, channel) for number in range(min(series, 500))], left_out=0),
        rules=shapes.Rules(rules=[rule(number) for number in range(rules)]),
        targets=shapes.Targets(targets=[target("oncall-slack"), target("oncall-mail")]),
        curves=[curve(number, signal=NAMES[number % len(NAMES)], end=end) for number in range(series)],
        alert_curves={a.id: curve(number, firing=True, end=end) for number, a in enumerate(firing)},
    )


def past(number: int, channel: str = "") -> shapes.PastAlert:
    """An incident of this morning."""
    return shapes.PastAlert(
        id=f"{number + 1000:016x}",
        rule="AudioFreezing",
        severity="warning",
        labels={"account": "acme", "project": "project-1"} | ({"channel": channel} if channel else {}),
        starts_at=at(7200 + 600 * number),
        ended_at=at(6900 + 600 * number),
        signal="audio_freeze_ratio",
        peak=0.12,
        threshold=0.03,
        cause="threshold",
    )


def silence(channel: str) -> shapes.ShownSilence:
    """For an hour yet."""
    return shapes.ShownSilence(
        id="5117ce",
        match={"channel": [channel]},
        starts_at=at(600),
        ends_at=at(-3000),
        author=channel,
        comment=channel,
        created_at=at(600),
        until_resolved=True,
        state="active",
    )


def account(name: str = "acme") -> shapes.Account:
    """One that is seen, at half of its day."""
    return shapes.Account(
        account=name,
        provider="agora",
        sight="seen",
        reason="",
        since=None,
        observed_ratio=0.9981,
        windows_lost=12,
        data_until=at(40),
        data_age_seconds=40.0,
        quotas=[
            shapes.Quota(
                pool=f"{name}/realtime",
                family="realtime",
                window=window,
                spent=spent,
                allowed=allowed,
                limit=allowed + 1,
                expected=min(spent * 2, allowed),
                resets_at=at(-14 * HOUR),
            )
            for window, spent, allowed in (("minute", 1.0, 9), ("day", 612.0, 1439))
        ],
    )


def look(number: int, channel: str = "") -> shapes.Look:
    """One of many."""
    return shapes.Look(
        account="acme",
        query=f"acme/project-{number // 50}/WebRTC/{NAMES[number % len(NAMES)]}/{channel}".rstrip("/"),
        at=at(-20 - number),
        reason="near" if number == 0 else "promise",
        certain=number == 0,
        last_at=at(40),
        covered_until=at(60),
        failures=0,
    )


def rule(number: int) -> shapes.RuleRow:
    """One of many."""
    return shapes.RuleRow(
        rule=f"VideoFreezing{number}",
        signal="video_freeze_ratio",
        severity=("critical", "warning")[number % 2],
        condition="video_freeze_ratio above 5%",
        holds=120,
        threshold=0.05,
        clear=0.03,
        firing=0,
        errors=0,
    )


def target(name: str) -> shapes.Target:
    """One that takes what it is sent."""
    return shapes.Target(
        target=name,
        failing=False,
        open=0,
        oldest_age_seconds=0.0,
        in_flight=0,
        hung=0,
        sent=12,
        expired=0,
        refused=0,
        not_durable=0,
        held={},
        dropped={"silenced": 2},
        failed={},
    )
