"""The state of a backtest: the ports of `model` over dictionaries, kept for one run and never written anywhere.

Points are counted, not kept: the recording has them, and the engine holds what it judges. A SQLite file in memory was
considered; half of a month's backtest would be spent in it, to make durable what nobody will read.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import replace

from watcher.budget.ledger import KEEP
from watcher.model import (
    Ack,
    Commit,
    Delivery,
    Gap,
    Notification,
    Obligation,
    Points,
    SavedAlert,
    Series,
    Silence,
    Spend,
    Standing,
    State,
    Store,
    StoreReader,
    Transition,
)


class MemoryStore:
    """`model.Store` and `model.StoreReader` for one run. `received` counts windows, each once."""

    def __init__(self) -> None:
        self.received = 0
        self.log: list[Transition] = []
        self._newest: dict[Series, int] = {}
        self._covered: dict[str, int] = {}
        self._gaps: list[Gap] = []
        self._obligations: dict[str, Obligation] = {}
        self._open: dict[str, dict[str, Obligation]] = {}
        self._notifications: dict[str, Notification] = {}
        self._latest: dict[str, Transition] = {}
        self._standing: dict[str, dict[str, Standing]] = {}  # target -> alert -> where it stands
        self._notes: dict[tuple[str, str], str] = {}
        self._spends: dict[str, Spend] = {}
        self._order: deque[str] = deque()

    # ── the step ──

    def commit(self, step: Commit) -> None:
        for points in step.points:
            self._count(points)
        self._covered.update(step.covered)
        self._gaps += step.gaps
        self.log += step.transitions
        self._latest |= {t.alert_id: t for t in step.transitions}
        for obligation in step.obligations:
            self._obligations[obligation.id] = obligation
            self._stand(obligation)
            if not obligation.dropped:
                self._open.setdefault(obligation.target, {})[obligation.id] = obligation

    def _stand(self, owed: Obligation) -> None:
        alerts, alert = self._standing.setdefault(owed.target, {}), owed.transition.alert_id
        alerts[alert] = replace(alerts.get(alert, Standing(latest=owed)), latest=owed)

    def _count(self, points: Points) -> None:
        newest = self._newest.get(points.series, -1)
        self.received += int((points.start > newest).sum())
        if len(points):
            self._newest[points.series] = max(newest, int(points.start[-1]))

    def series(self) -> list[Series]:
        return list(self._newest)

    def points(self, series: Series, since: int) -> Points | None:
        return None

    def covered(self) -> dict[str, int]:
        return dict(self._covered)

    def gaps(self, since: float) -> list[Gap]:
        return [gap for gap in self._gaps if gap.noticed_at >= since]

    def alerts(self) -> list[SavedAlert]:
        return []

    def transitions(self, *, alert: str | None = None, since: float = 0.0) -> list[Transition]:
        return [t for t in self.log if t.known_at >= since and alert in (None, t.alert_id)]

    def latest(self) -> list[Transition]:
        return list(self._latest.values())

    def holders(self, never_told: Collection[str]) -> dict[str, frozenset[str]]:
        return {}  # read at a start only, and a run begins with nothing

    def owed_targets(self) -> set[str]:
        return {target for target, owed in self._open.items() if owed}

    def silences(self, since: float) -> list[Silence]:
        return []

    def acks(self) -> list[Ack]:
        return []

    # ── messages ──

    def standing(self, target: str) -> list[Standing]:
        alerts = self._standing.get(target, {})
        return [s for alert, s in alerts.items() if self._stands(alert, s)]

    def _stands(self, alert: str, standing: Standing) -> bool:
        if standing.latest.transition.state is State.FIRING:
            return self._latest[alert].state is State.FIRING
        return standing.told

    def obligations(self, since: float = 0.0) -> list[Obligation]:
        return [o for o in self._obligations.values() if o.created_at >= since]

    def open_obligations(self, target: str) -> list[Obligation]:
        return list(self._open.get(target, {}).values())

    def drop_obligations(self, reasons: Mapping[str, str], at: float) -> None:
        for id_ in reasons:
            self._open[self._obligations[id_].target].pop(id_, None)

    def record_notification(self, notification: Notification) -> None:
        self._notifications[notification.id] = notification
        for id_ in notification.obligations:
            self._open[notification.target].pop(id_, None)
            transition = self._obligations[id_].transition
            alerts = self._standing[notification.target]
            alerts[transition.alert_id] = replace(
                alerts[transition.alert_id],
                told=transition.state is State.FIRING,
                said_at=notification.created_at,
            )

    def update_notification(self, notification: Notification) -> None:
        self._notifications[notification.id] = notification

    def unsent(self, target: str) -> list[Notification]:
        waiting = (Delivery.QUEUED, Delivery.SENDING)
        return [n for n in self._notifications.values() if n.target == target and n.delivery in waiting]

    def notifications(self, since: float) -> list[Notification]:
        return [n for n in self._notifications.values() if n.created_at >= since]

    def notifications_about(self, alert: str, limit: int) -> list[Notification]:
        return [n for n in reversed(self._notifications.values()) if alert in n.alerts][:limit]

    def obligations_about(self, alert: str, limit: int) -> list[Obligation]:
        return [o for o in reversed(self._obligations.values()) if o.transition.alert_id == alert][:limit]

    # ── the ledger ──

    def spends(self, account: str, since: float) -> list[Spend]:
        return [s for s in self._spends.values() if s.account == account and s.at + s.skew >= since]

    def record_spend(self, spend: Spend) -> None:
        if spend.id not in self._spends:
            self._order.append(spend.id)
        self._spends[spend.id] = spend
        while (oldest := self._spends.get(self._order[0])) is None or oldest.at < spend.at - KEEP:
            self._spends.pop(self._order.popleft(), None)

    def refund(self, spend_id: str) -> None:
        self._spends.pop(spend_id, None)

    def note(self, account: str, key: str) -> str | None:
        return self._notes.get((account, key))

    def put_note(self, account: str, key: str, value: str) -> None:
        self._notes[account, key] = value

    # ── upkeep ──

    def prune(self, *, points_before: int, records_before: float) -> int:
        return 0

    def probe(self) -> None:
        return

    def close(self) -> None:
        return


def _ports(store: MemoryStore) -> tuple[Store, StoreReader]:
    """That a `MemoryStore` is both is for the type checker to say."""
    return store, store
