"""What can be read of the state: by the daemon itself, and by other commands beside it.

Every method is one query, so each sees one committed state, whatever is written meanwhile. Which index serves it is
asserted in `tests/store/test_plans.py`. Where a time range is read in the order recorded it says `ORDER BY +n`: the
plus keeps SQLite from walking the whole table in that order to save itself the sort.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from watcher.model import Delivery, Gap, Notification, Obligation, Points, SavedAlert, Series, Span, Spend, Transition
from watcher.store.codec import from_text
from watcher.store.database import Database

SERIES = "account = ? AND provider = ? AND project = ? AND product = ? AND channel = ? AND signal = ?"
UNSENT = "delivery IN ('queued', 'sending')"  # as the partial index says it, or SQLite would not use that
assert f"delivery IN ('{Delivery.QUEUED}', '{Delivery.SENDING}')" == UNSENT

_OBLIGATION = "SELECT o.id, o.target, t.body, o.created_at, o.route, o.reason FROM obligations AS o"
_ITS_TRANSITION = "JOIN transitions AS t ON t.alert_id = o.alert_id AND t.seq = o.seq"


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
        rows = self._db.rows(
            "SELECT start, value, weight, width FROM points JOIN series ON id = series_id"  # noqa: S608 - our own text
            f" WHERE {SERIES} AND start >= ? ORDER BY start",
            (*series, since),
        )
        if not rows:
            return None
        starts, values, weights, widths = zip(*rows, strict=True)
        weighted = any(weight is not None for weight in weights)
        return Points(
            series=series,
            width=widths[0],
            start=np.array(starts, dtype=np.int64),
            value=np.array(values, dtype=np.float64),
            weight=np.array(weights, dtype=np.float64) if weighted else None,  # an unknown weight is NaN
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

    def notifications(self, since: float) -> list[Notification]:
        """Those created at or after `since`, in the order recorded."""
        rows = self._db.rows("SELECT body FROM notifications WHERE created_at >= ? ORDER BY +n", (since,))
        return [from_text(body, Notification) for (body,) in rows]

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
