"""From a target's settings to what speaks to it, and the two targets that are spoken to by the clock.

Only here do kinds of targets meet, so that a new one is its settings, its sender, and a line here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

from watcher import log
from watcher.alerts.desk import Desk
from watcher.alerts.http import RESEND, AlertmanagerSender, HttpPost, WebhookSender
from watcher.alerts.limits import Flapping, Limits
from watcher.alerts.outbox import Outbox
from watcher.alerts.route import Timing
from watcher.alerts.send import MAX_ATTEMPTS_AT_ONCE, AppriseSender, shows_charts
from watcher.alerts.settings import AlertsSettings
from watcher.alerts.targets import AlertmanagerSettings, HeartbeatSettings, HttpTarget, WebhookSettings
from watcher.app.sight import Sight
from watcher.clock import Clock, sleep
from watcher.errors import SendError
from watcher.model import Obligation, Sender
from watcher.secret import Secret
from watcher.workers import Workers

EVERYTHING = Limits(per_hour=1_000_000, flapping=Flapping(beginnings=0))
"""For a target that has limits of its own."""


def sender_of(target: Secret | HttpTarget, *, clock: Clock, threads: Callable[[int], Workers]) -> Sender:
    """What speaks to a target that takes messages."""
    match target:
        case WebhookSettings():
            return WebhookSender(post=HttpPost(url=target.url, headers=target.headers, clock=clock))
        case AlertmanagerSettings():
            post = HttpPost(url=target.url, headers=target.headers, clock=clock, path="/api/v2/alerts")
            return AlertmanagerSender(post=post, clock=clock)
        case Secret():
            return AppriseSender(url=target, workers=threads(MAX_ATTEMPTS_AT_ONCE))
    raise AssertionError("a heartbeat takes no messages")


def charted(target: Secret | HttpTarget) -> bool:
    """Whether a target's messages can show pictures."""
    return isinstance(target, Secret) and shows_charts(target)


def timing_of(target: Secret | HttpTarget, timing: Callable[[Obligation], Timing]) -> Callable[[Obligation], Timing]:
    """How a target's groups wait: an Alertmanager groups and repeats by itself."""
    if isinstance(target, AlertmanagerSettings):
        return lambda obligation: replace(timing(obligation), wait=0.0, interval=0.0, repeat=math.inf)
    return timing


def limits_of(target: Secret | HttpTarget, settings: AlertsSettings) -> Limits:
    """How much a target hears: an Alertmanager everything, as it has limits of its own."""
    return EVERYTHING if isinstance(target, AlertmanagerSettings) else settings.limits()


async def keep_alertmanager(name: str, sender: AlertmanagerSender, outbox: Outbox, desk: Desk, *, clock: Clock) -> None:
    """Say again what fires, often enough that it does not expire there; for ever."""
    failing = _Failing(name)
    while True:
        await sleep(clock, RESEND)
        try:
            await sender.refresh(outbox.told, desk.unseen)
        except SendError as error:
            failing.fails(error)
        else:
            failing.works()


async def beat(name: str, settings: HeartbeatSettings, sights: Mapping[str, Sight], *, clock: Clock) -> None:
    """Fetch the heartbeat's URL each time its interval is over and a look was answered within it; for ever."""
    post = HttpPost(url=settings.url, headers=settings.headers, clock=clock)
    failing = _Failing(name)
    said_at = clock.now()
    while True:
        await sleep(clock, settings.every)
        answered = max((s.answered_at for s in sights.values() if s.answered_at is not None), default=None)
        if answered is None or answered < said_at:
            continue
        now = clock.now()
        try:
            await post.send("GET")
        except SendError as error:
            failing.fails(error)
        else:
            said_at = now
            failing.works()


class _Failing:
    """Logs once when a target fails, and once when it works again."""

    def __init__(self, target: str) -> None:
        self._log = log.get("senders").bind(target=target)
        self._failing = False

    def fails(self, error: SendError) -> None:
        if not self._failing:
            self._log.warning("target_failing", detail=error.detail)
        self._failing = True

    def works(self) -> None:
        if self._failing:
            self._log.info("target_recovered")
        self._failing = False
