"""One test message to one target, outside of any state: for `watcher notify`."""

from __future__ import annotations

from watcher.alerts.message import trial
from watcher.alerts.send import AppriseSender, acceptable
from watcher.clock import Clock, real_deadline
from watcher.config import Config
from watcher.errors import ConfigError, Problem, SendError
from watcher.secret import SecretMissing
from watcher.workers import ThreadWorkers


async def send_trial(config: Config, target: str, *, clock: Clock) -> None:
    """Return once the target accepted the message. Raises `ConfigError` (no such target) or `SendError`."""
    url = config.alerts.targets.get(target)
    if url is None:
        known = ", ".join(config.alerts.targets) or "there are none"
        raise ConfigError([Problem(config.path, 0, 0, f"unknown target {target}", f"use one of: {known}")])
    try:
        accepted = acceptable(url)
    except SecretMissing as missing:
        raise ConfigError([config.document.problem(("targets", target), f"target {target}: {missing}")]) from None
    if not accepted:
        what = f"target {target} is not a URL that Apprise accepts"
        raise ConfigError([config.document.problem(("targets", target), what, "see the service's page at Apprise")])
    sender = AppriseSender(url=url, workers=ThreadWorkers(1))
    with real_deadline(config.alerts.delivery.deadline) as deadline:
        await sender.send(trial(target, clock.now()))
    if deadline.cancelled_caught:
        raise SendError(f"{target} did not answer within {config.alerts.delivery.deadline} s")
