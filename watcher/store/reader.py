"""What can be read of the state: by the daemon itself, and by other commands beside it.

Every method is one query, so each sees one committed state, whatever is written meanwhile (`points` looks up a number
before that never changes). Which index serves it is asserted in `tests/store/test_plans.py`. Where a time range is read
in the order recorded it says `ORDER BY +n`: the plus keeps SQLite from walking the whole table in that order to save
itself the sort.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from watcher.clock import HOUR
from watcher.model import (
    Ack,
    Delivery,
    Gap,
    Notification,
    Obligation,
    Points,
    SavedAlert,
    Series,
    Silence,
    Span,
    Spend,
    Standing,
    State,
    Transition,
)
from watcher.store.codec import from_text
from watcher.store.database import Database
from watcher.store.packing import unpacked

SERIES = "account = ? AND provider = ? AND project = ? AND product = ? AND channel = ? AND signal = ?"
UNSENT = "delivery IN ('queued', 'sending')"  # as the partial index says it, or SQLite would not use that
assert f"delivery IN ('{Delivery.QUEUED}', '{Delivery.SENDING}')" == UNSENT

_OBLIGATION = "SELECT o.id, o.target, t.body, o.created_at, o.route, o.reason FROM obligations AS o"
_NEWEST_DUTY = (  # SQLite takes `seq` from the row that has the maximum
    "SELECT alert_id, target, seq, max(n) FROM obligations"
    " WHERE reason IS NULL OR reason NOT IN ({}) GROUP BY target, alert_id"
)
_ITS_TRANSITION = "JOIN transitions AS t ON t.alert_id = o.alert_id AND t.seq = o.seq"

_STANDING = f"""
    WITH newest AS (
      SELECT alert_id, max(n) AS any_, max(CASE WHEN state = 'discharged' THEN n END) AS said
      FROM obligations WHERE target = ? GROUP BY alert_id
    )
    SELECT
      o.id, o.target, t.body, o.created_at, o.route, o.reason, s.state, m.created_at,
      (SELECT state FROM transitions WHERE alert_id = o.alert_id ORDER BY seq DESC LIMIT 1)
    FROM newest
    JOIN obligations AS o ON o.n = newest.any_
    {_ITS_TRANSITION}
    LEFT JOIN obligations AS d ON d.n = newest.said
    LEFT JOIN transitions AS s ON s.alert_id = d.alert_id AND s.seq = d.seq
    LEFT JOIN notifications AS m ON m.id = d.notification
    WHERE t.state = 'firing' OR s.state = 'firing'
    ORDER BY newest.any_
"""  # noqa: S608 - our own text


class SqliteReader:
    """The reading methods of the port (`model.StoreReader`). Raises `StoreError`."""

    def __init__(self, *, database: Database) -> None:
        self._db = database

    def series(self) -> list[Series]:
        """Every series that has points."""
        columns = ", ".join(Series._fields)
        return [Series(*row) for row in self._db.rows(f"SELECT {columns} FROM series ORDER BY {columns}")]  # noqa: S608 - our own names

    def points(self, series: Series, since: int) -> Points | None:
        """Recorded points of a series whose window starts at or after `since`; None where there are none."""
        named = self._db.rows(f"SELECT id, width FROM series WHERE {SERIES}", series)  # noqa: S608 - our own text
        if not named:
            return None
        id_, width = named[0]
        hours = self._db.rows(
            "SELECT points FROM hours WHERE series_id = ? AND begin > ? ORDER BY begin", (id_, since - HOUR)
        )
        found = unpacked(points for (points,) in hours)
        found = found[np.searchsorted(found["start"], since) :]
        if not len(found):
            return None
        weight = found["weight"].copy()
        return Points(
            series=series,
            width=width,
            start=found["start"].copy(),
            value=found["value"].copy(),
            weight=None if np.isnan(weight).all() else weight,
        )

    def covered(self) -> dict[str, int]:
        """Query id -> event time up to which it is covered."""
        return dict(self._db.rows("SELECT query, until FROM covered"))

    def gaps(self, since: float) -> list[Gap]:
        """Those noticed at or after `since`, oldest first."""
        rows = self._db.rows(
            'SELECT query, start, "end", noticed_at, reason FROM gaps WHERE noticed_at >= ? ORDER BY noticed_at',
            (since,),
        )
        return [Gap(query, Span(start, end), noticed_at, reason) for query, start, end, noticed_at, reason in rows]

    def alerts(self) -> list[SavedAlert]:
        """What the evaluator goes on with."""
        rows = self._db.rows("SELECT alert_id, rule, body FROM alerts")
        return [SavedAlert(alert_id=a, rule=rule, body=from_text(body, dict[str, Any])) for a, rule, body in rows]

    def transitions(self, *, alert: str | None = None, since: float = 0.0) -> list[Transition]:
        """In the order recorded; `since` is compared with `known_at`."""
        if alert is None:
            rows = self._db.rows("SELECT body FROM transitions WHERE known_at >= ? ORDER BY +n", (since,))
        else:
            rows = self._db.rows(
                "SELECT body FROM transitions WHERE alert_id = ? AND known_at >= ? ORDER BY seq", (alert, since)
            )
        return [from_text(body, Transition) for (body,) in rows]

    def latest(self) -> list[Transition]:
        """The newest entry of each alert that has any, in the order recorded: where a start goes on, not the log."""
        rows = self._db.rows(
            "SELECT t.body FROM (SELECT alert_id, max(seq) AS seq FROM transitions GROUP BY alert_id)"
            " JOIN transitions AS t USING (alert_id, seq) ORDER BY t.n"
        )
        return [from_text(body, Transition) for (body,) in rows]

    def holders(self, never_told: Collection[str]) -> dict[str, frozenset[str]]:
        """Alert -> targets whose newest obligation about it says that it fires.

        Obligations dropped for one of the reasons `never_told` do not count.
        """
        rows = self._db.rows(
            f"SELECT o.alert_id, o.target FROM ({_NEWEST_DUTY.format(_marks(never_told))}) AS o"  # noqa: S608 - our own text
            " JOIN transitions AS t ON t.alert_id = o.alert_id AND t.seq = o.seq WHERE t.state = ?",
            (*never_told, State.FIRING),
        )
        found: dict[str, set[str]] = {}
        for alert, target in rows:
            found.setdefault(alert, set()).add(target)
        return {alert: frozenset(targets) for alert, targets in found.items()}

    def owed_targets(self) -> set[str]:
        """The targets of open obligations and of notifications that were not sent yet."""
        rows = self._db.rows(
            f"SELECT target FROM obligations WHERE state = 'open' UNION SELECT target FROM notifications WHERE {UNSENT}"  # noqa: S608 - our own text
        )
        return {target for (target,) in rows}

    def obligations(self, since: float = 0.0) -> list[Obligation]:
        """Every obligation created at or after `since`, in the order recorded; `dropped` holds the reason, if any."""
        rows = self._db.rows(f"{_OBLIGATION} {_ITS_TRANSITION} WHERE o.created_at >= ? ORDER BY +o.n", (since,))
        return [_obligation(*row) for row in rows]

    def open_obligations(self, target: str) -> list[Obligation]:
        """Neither discharged nor dropped, oldest first."""
        rows = self._db.rows(
            f"{_OBLIGATION} {_ITS_TRANSITION} WHERE o.target = ? AND o.state = 'open' ORDER BY o.n", (target,)
        )
        return [_obligation(*row) for row in rows]

    def standing(self, target: str) -> list[Standing]:
        """Of each alert that still fires, or that the target believes to fire.

        An alert whose end nobody was obliged to tell (the target was not configured then) fires no longer: left out.
        """
        found: list[Standing] = []
        for *owed, said, said_at, now_is in self._db.rows(_STANDING, (target,)):
            latest = _obligation(*owed)
            if latest.transition.state is not State.FIRING or now_is == State.FIRING:
                found.append(Standing(latest=latest, told=said == State.FIRING, said_at=said_at))
        return found

    def silences(self, since: float) -> list[Silence]:
        """Those that end at or after `since`, oldest first."""
        rows = self._db.rows("SELECT body FROM silences WHERE ends_at >= ? ORDER BY +n", (since,))
        return [from_text(body, Silence) for (body,) in rows]

    def acks(self) -> list[Ack]:
        """The newest of each alert."""
        return [from_text(body, Ack) for (body,) in self._db.rows("SELECT body FROM acks")]

    def notifications(self, since: float) -> list[Notification]:
        """Those created at or after `since`, in the order recorded."""
        rows = self._db.rows("SELECT body FROM notifications WHERE created_at >= ? ORDER BY +n", (since,))
        return [from_text(body, Notification) for (body,) in rows]

    def notifications_about(self, alert: str, limit: int) -> list[Notification]:
        """The newest messages that discharged a duty to tell of an alert, newest first."""
        rows = self._db.rows(
            "SELECT body FROM notifications WHERE id IN (SELECT notification FROM obligations WHERE alert_id = ?)"
            " ORDER BY +n DESC LIMIT ?",
            (alert, limit),
        )
        return [from_text(body, Notification) for (body,) in rows]

    def obligations_about(self, alert: str, limit: int) -> list[Obligation]:
        """The newest duties to tell of an alert, newest first; `dropped` holds the reason, if any."""
        rows = self._db.rows(
            f"{_OBLIGATION} {_ITS_TRANSITION} WHERE o.alert_id = ? ORDER BY +o.n DESC LIMIT ?", (alert, limit)
        )
        return [_obligation(*row) for row in rows]

    def unsent(self, target: str) -> list[Notification]:
        """QUEUED and SENDING, oldest first."""
        rows = self._db.rows(f"SELECT body FROM notifications WHERE target = ? AND {UNSENT} ORDER BY n", (target,))  # noqa: S608 - our own text
        return [from_text(body, Notification) for (body,) in rows]

    def spends(self, account: str, since: float) -> list[Spend]:
        """Those at or after `since`, oldest first."""
        rows = self._db.rows(
            "SELECT id, account, pools, at, skew, units FROM spends WHERE account = ? AND at >= ? ORDER BY at, id",
            (account, since),
        )
        return [
            Spend(id=i, account=a, pools=from_text(pools, tuple[str, ...]), at=at, skew=skew, units=units)
            for i, a, pools, at, skew, units in rows
        ]

    def close(self) -> None:
        """Let go of the file. Closing twice is fine."""
        self._db.close()


def _marks(values: Collection[str]) -> str:
    return ", ".join("?" * len(values))


def _obligation(
    id_: str, target: str, transition: str, created_at: float, route: str, reason: str | None
) -> Obligation:
    return Obligation(
        id=id_,
        target=target,
        transition=from_text(transition, Transition),
        created_at=created_at,
        route=from_text(route, dict[str, str]),
        dropped=reason or "",
    )
