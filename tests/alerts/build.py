"""Short ways to write transitions, obligations and outboxes in tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from tests.alerts.fakes import FakeSender, FakeStore
from tests.conftest import EPOCH
from watcher.alerts.limits import Limits
from watcher.alerts.mutes import Mutes
from watcher.alerts.outbox import Outbox
from watcher.alerts.route import Routing, Timing
from watcher.alerts.settings import DeliverySettings, RouteSettings
from watcher.clock import Clock
from watcher.model import Cause, Commit, Obligation, State, Store, Transition, alert_id, obligation_id
from watcher.workers import InlineWorkers, Workers

T0 = int(EPOCH)

UNLIMITED = Limits(per_hour=10_000)

LABELS = {"account": "acme", "provider": "agora", "project": "classroom", "product": "Native"}


def transition(
    state: State,
    at: int,
    *,
    seq: int = 1,
    rule: str = "VideoFreezing",
    labels: Mapping[str, str] = LABELS,
    severity: str = "critical",
    starts_at: int | None = None,
    known_at: float | None = None,
    cause: Cause = Cause.THRESHOLD,
    value: float | None = 0.093,
    peak: float | None = 0.12,
    users: float | None = 42.0,
    unguarded: bool = False,
    retracts: int | None = None,
    signal: str = "video_freeze_ratio",
    annotations: Mapping[str, str] | None = None,
) -> Transition:
    """A transition `at` seconds after the epoch of tests."""
    return Transition(
        alert_id=alert_id(rule, labels),
        seq=seq,
        rule=rule,
        labels=labels,
        severity=severity,
        state=state,
        at=T0 + at,
        starts_at=T0 + (at if starts_at is None else starts_at),
        known_at=T0 + (at if known_at is None else known_at),
        cause=cause,
        value=value,
        threshold=0.05,
        peak=peak,
        users=users,
        unguarded=unguarded,
        retracts=None if retracts is None else T0 + retracts,
        signal=signal,
        annotations={} if annotations is None else annotations,
    )


def obligation(
    entry: Transition, target: str = "slack", *, route: Mapping[str, str] | None = None, created_at: float | None = None
) -> Obligation:
    """That `target` must hear of `entry`."""
    return Obligation(
        id=obligation_id(entry, target),
        target=target,
        transition=entry,
        created_at=entry.known_at if created_at is None else created_at,
        route={"rule": entry.rule, "project": entry.labels.get("project", "")} if route is None else route,
    )


def commit(store: FakeStore, *entries: Transition, target: str = "slack") -> list[Obligation]:
    """Record transitions and that `target` must hear of each."""
    duties = [obligation(entry, target) for entry in entries]
    store.commit(Commit(transitions=entries, obligations=duties))
    return duties


def outbox(
    store: Store,
    sender: FakeSender,
    clock: Clock,
    *,
    target: str = "slack",
    timing: Timing = Timing(interval=0.0),  # noqa: B008
    deadline: int = 20,
    give_up_after: int = 86_400,
    workers: Workers = InlineWorkers(),  # noqa: B008
    mutes: Callable[[], Mutes] = Mutes,
    limits: Limits = UNLIMITED,
) -> Outbox:
    """An outbox of fakes; groups do not wait unless told."""
    pace: Callable[[Obligation], Timing] = lambda _: timing  # noqa: E731
    return Outbox(
        target=target,
        sender=sender,
        store=store,
        workers=workers,
        clock=clock,
        timing=pace,
        mutes=mutes,
        limits=limits,
        delivery=DeliverySettings(deadline=f"{deadline}s", give_up_after=f"{give_up_after}s"),  # type: ignore[arg-type]
    )


def routing(*routes: RouteSettings, operators: Sequence[str] = (), page_ended_within: float = 3600.0) -> Routing:
    return Routing(routes=routes, operators=tuple(operators), page_ended_within=page_ended_within)


def route(*to: str, group_by: Sequence[str] = ("rule", "project"), **match: str) -> RouteSettings:
    """A route to `to` for alerts with these labels."""
    return RouteSettings(match={k: (v,) for k, v in match.items()}, to=to, group_by=tuple(group_by))


async def settle(box: Outbox, clock: Clock, *, until: float | None = None) -> None:
    """Step until the box has nothing due before `until` (run clock; default: now)."""
    limit = clock.now() if until is None else until
    for _ in range(10_000):
        at = await box.step()
        if at is None or at > limit:
            return
        await clock.sleep_until(at)
    raise AssertionError("the outbox never settles")
