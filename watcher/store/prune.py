"""What may be forgotten: the only place where history leaves the state.

Points leave by age, an hour of a series at a time. Records leave by whole *episodes*, oldest first: up to an entry that
ended one, that is old, and after which nobody was left holding a page or waiting for one. So the log that remains still
folds to the same timeline from there on, an alert that has fired for longer than the retention keeps its beginning and
those who were told of it, and an undelivered message is never forgotten. Deleting every row past its age was
considered: a restart would then no longer know whom to tell that a month-old alert is over.

One call removes about `BATCH` rows, since spends and commits wait behind it.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from watcher.clock import HOUR
from watcher.model import Delivery, State
from watcher.store.database import Row, Transaction
from watcher.store.packing import POINT
from watcher.store.reader import UNSENT

BATCH = 5_000  # rows, or windows; a few tens of milliseconds

_ENTRIES = """
    SELECT t.seq, t.state, t.known_at, o.target, o.state, n.delivery
    FROM transitions AS t
    LEFT JOIN obligations AS o ON o.alert_id = t.alert_id AND o.seq = t.seq
    LEFT JOIN notifications AS n ON n.id = o.notification
    WHERE t.alert_id = ? ORDER BY t.seq
"""
_NOTIFICATIONS = f"""
    DELETE FROM notifications WHERE n IN (
      SELECT n FROM notifications WHERE created_at < ? AND NOT {UNSENT}
      AND NOT EXISTS (SELECT 1 FROM obligations WHERE notification = notifications.id) LIMIT ?
    )
"""  # noqa: S608 - our own text
_SPENDS = "DELETE FROM spends WHERE id IN (SELECT id FROM spends WHERE at < ? LIMIT ?)"
_GAPS = "DELETE FROM gaps WHERE noticed_at < ?"  # few: one for each time that windows were lost
_SILENCES = "DELETE FROM silences WHERE ends_at < ?"  # few: people make them
_ACKS = "DELETE FROM acks WHERE at < ?"
_COVERED = "DELETE FROM covered WHERE until < ?"  # one for each query that ever was
_UNFINISHED = (Delivery.QUEUED, Delivery.SENDING)
_OVER = (State.RESOLVED, State.INACTIVE)


def prune(tx: Transaction, *, points_before: int, records_before: float) -> int:
    """Remove about `BATCH` rows at most; how many. 0 where nothing is left to forget."""
    removed = tx.run(_COVERED, (points_before,)) + sum(
        tx.run(statement, (records_before,)) for statement in (_GAPS, _SILENCES, _ACKS)
    )
    removed += _prune_points(tx, points_before, BATCH)
    removed += _prune_episodes(tx, records_before, BATCH - removed)
    for statement in (_NOTIFICATIONS, _SPENDS):
        removed += tx.run(statement, (records_before, max(0, BATCH - removed)))
    return removed


def _prune_points(tx: Transaction, before: int, room: int) -> int:
    removed = 0
    for (series,) in tx.rows("SELECT id FROM series"):
        if removed >= room:
            return removed
        hours = tx.rows(
            "SELECT begin, length(points) FROM hours WHERE series_id = ? AND begin <= ? ORDER BY begin LIMIT ?",
            (series, before - HOUR, room - removed),
        )
        end, gone = _first_hours(hours, room - removed)
        tx.run("DELETE FROM hours WHERE series_id = ? AND begin < ?", (series, end))
        removed += gone
    tx.run("DELETE FROM series WHERE NOT EXISTS (SELECT 1 FROM hours WHERE series_id = series.id)")
    return removed


def _first_hours(hours: Iterable[Row], room: int) -> tuple[int, int]:
    """Up to where they hold no more than `room` windows, and how many they hold."""
    end = gone = 0
    for begin, size in hours:
        windows = size // POINT.itemsize
        if gone + windows > room:
            break
        end, gone = begin + HOUR, gone + windows
    return end, gone


def _prune_episodes(tx: Transaction, before: float, room: int) -> int:
    removed = 0
    for (alert,) in tx.rows("SELECT DISTINCT +alert_id FROM transitions WHERE known_at < ?", (before,)):
        if removed >= room:
            break
        over = _last_over(tx.walk(_ENTRIES, (alert,)), before, room - removed)
        if over is not None:
            removed += tx.run("DELETE FROM obligations WHERE alert_id = ? AND seq <= ?", (alert, over))
            removed += tx.run("DELETE FROM transitions WHERE alert_id = ? AND seq <= ?", (alert, over))
    return removed


def _last_over(rows: Iterable[Row], before: float, room: int) -> int | None:
    """The last entry up to which an alert's log may be forgotten, or an earlier such one where that fills the room."""
    over: int | None = None
    seen = 0
    holding: set[str] = set()  # targets whose newest message said that the alert fires
    for (seq, state, known_at), owed in groupby(rows, key=lambda row: row[:3]):
        if known_at >= before or (over is not None and seen >= room):
            break
        for *_, target, duty, delivery in owed:
            if duty == "open" or delivery in _UNFINISHED:
                return over
            if duty == "discharged":
                (holding.add if state == State.FIRING else holding.discard)(target)
            seen += 1
        if state in _OVER and not holding:
            over = seq
    return over
