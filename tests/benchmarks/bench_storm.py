"""A storm: a thousand alerts in one minute, through the real recorder, store and outboxes, to two targets.

The alerts become known in small steps spread over the minute, as looks bring them, in ten groups. Virtual time, so that
the minute is exact; measured in real time is how long a step takes from its transitions until each target's sender has
been called with what is due at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.alerts.build import LABELS, T0, transition
from watcher.alerts.desk import Desk
from watcher.alerts.outbox import Outbox
from watcher.alerts.route import Routing
from watcher.alerts.settings import AlertsSettings, RouteSettings
from watcher.app.recorder import Recorder
from watcher.clock import Clock, real_monotonic
from watcher.model import Commit, Notification, State, Transition
from watcher.secret import Secret
from watcher.store import open_store
from watcher.workers import InlineWorkers

GROUPS = 10
TARGETS = ("slack", "mail")


class _Counting:
    """A sender that accepts and keeps who was named, not the message."""

    def __init__(self) -> None:
        self.messages: Counter[str] = Counter()  # by the project that names the group
        self.named: set[str] = set()
        self.largest = 0

    async def send(self, notification: Notification) -> None:
        projects = {detail.labels["project"] for detail in notification.details}
        self.messages.update(projects)
        self.named.update(detail.alert_id for detail in notification.details)
        self.largest = max(self.largest, len(notification.text) + len(notification.html))


@dataclass(frozen=True, slots=True, kw_only=True)
class Storm:
    """What came of it: messages by target and group, alerts named, real seconds per step."""

    messages: Mapping[str, Mapping[str, int]]
    named: Mapping[str, int]
    seconds: Sequence[float]
    largest: int


async def storm(folder: Path, clock: Clock, *, alerts: int = 1000, steps: int = 60, interval: int = 60) -> Storm:
    """So many alerts, spread over a minute in so many steps; then until the groups have said all."""
    store, workers = open_store(f"sqlite:///{folder}/storm.db"), InlineWorkers()
    route = RouteSettings(to=TARGETS, group_interval=f"{interval}s", group_by=("project",))  # type: ignore[arg-type]
    settings = AlertsSettings(targets={name: Secret.of(f"json://{name}.invalid") for name in TARGETS}, routes=(route,))
    routing, desk = Routing.of(settings, page_ended_within=1e12), Desk(settings)
    senders = {name: _Counting() for name in TARGETS}
    boxes = {
        name: Outbox(
            target=name, sender=sender, store=store, workers=workers, clock=clock, timing=routing.timing,
            delivery=settings.delivery, mutes=desk.mutes, limits=settings.limits(), detailed=True,
        )
        for name, sender in senders.items()
    }  # fmt: skip
    recorder = Recorder(
        store=store, workers=workers, clock=clock, routing=routing, told={}, outboxes=boxes, desk=desk
    )  # fmt: skip
    seconds: list[float] = []
    async with boxes["slack"].opened(), boxes["mail"].opened():
        for step in range(steps):
            await clock.sleep_until(T0 + step * 60 / steps)
            found = [_alert(number) for number in range(step * alerts // steps, (step + 1) * alerts // steps)]
            began = real_monotonic()
            await recorder.record(Commit(transitions=found))
            for box in boxes.values():
                await _due(box, clock)
            seconds.append(real_monotonic() - began)
        for _ in range(2):
            await clock.sleep_until(clock.now() + interval)
            for box in boxes.values():
                await _due(box, clock)
    store.close()
    return Storm(
        messages={name: dict(sender.messages) for name, sender in senders.items()},
        named={name: len(sender.named) for name, sender in senders.items()},
        seconds=seconds,
        largest=max(sender.largest for sender in senders.values()),
    )


async def _due(box: Outbox, clock: Clock) -> None:
    """Step while anything is due now."""
    while (at := await box.step()) is not None and at <= clock.now():
        pass


def _alert(number: int) -> Transition:
    """Each about another room, in one of the groups."""
    labels = {**LABELS, "project": f"project{number % GROUPS}", "channel": f"room {number}"}
    return transition(State.FIRING, 0, labels=labels, known_at=0)
