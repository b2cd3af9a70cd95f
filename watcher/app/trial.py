"""One test message to one target, outside of any state: for `watcher notify`."""

from __future__ import annotations

from watcher.alerts.message import trial
from watcher.alerts.settings import check_target
from watcher.alerts.targets import HeartbeatSettings
from watcher.app.senders import sender_of
from watcher.clock import Clock, real_deadline
from watcher.config import Config
from watcher.errors import ConfigError, Problem, SendError
from watcher.workers import ThreadWorkers


async def send_trial(config: Config, target: str, *, clock: Clock) -> None:
    """Return once the target accepted the message. Raises `ConfigError` (no such target) or `SendError`."""
    settings = config.alerts.targets.get(target)
    if settings is None:
        known = ", ".join(config.alerts.targets) or "there are none"
        raise ConfigError([Problem(config.path, 0, 0, f"unknown target {target}", f"use one of: {known}")])
    if problems := check_target(config.document, target, settings):
        raise ConfigError(problems)
    if isinstance(settings, HeartbeatSettings):
        what = f"{target} is a heartbeat"
        raise ConfigError([config.document.problem(("targets", target), what, "name a target that takes messages")])
    sender = sender_of(settings, clock=clock, threads=ThreadWorkers)
    with real_deadline(config.alerts.delivery.deadline) as deadline:
        await sender.send(trial(target, clock.now()))
    if deadline.cancelled_caught:
        raise SendError(f"{target} did not answer within {config.alerts.delivery.deadline} s")
