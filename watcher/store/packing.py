"""Points as they lie in the state: the windows of one series that begin within one hour, packed into one value.

They are written a few at a time and read by the week: a restart looks back over four weeks of every series against a
baseline, and a row for each window is a walk of 120,000 rows and three numbers made of each. Packed by the hour the
same is 672 values that are numpy's as they are, and a look still writes one or two of them anew, of 4 kB.

Considered and not taken: packing what is old and keeping rows for what is new, which would be two places to look for a
window that is revised late; longer pieces, which a look would write for nothing; means of five minutes beside the
points, which could disagree with them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from watcher.clock import HOUR
from watcher.model import Points

POINT = np.dtype([("start", "<i8"), ("value", "<f8"), ("weight", "<f8")])  # an unknown weight is NaN
Packed = npt.NDArray[np.void]

_SECURE_DELETE = ("OFF", "ON", "FAST")  # as SQLite numbers them


def by_hour(points: Points) -> Iterator[tuple[int, Packed]]:
    """The points as they are to be packed, with the start of their hour; an hour again where they are out of order."""
    rows = np.empty(len(points), POINT)
    rows["start"], rows["value"] = points.start, points.value
    rows["weight"] = np.nan if points.weight is None else points.weight
    return _split(rows)


def merged(known: bytes, later: Packed) -> bytes:
    """What is packed already and what is said later, in order of time: of one window the last word counts."""
    newest_first = np.concatenate([np.frombuffer(known, POINT), later])[::-1]
    _, at = np.unique(newest_first["start"], return_index=True)
    return newest_first[at].tobytes()


def unpacked(hours: Iterable[bytes]) -> Packed:
    """The windows of some hours."""
    return np.frombuffer(b"".join(hours), POINT)


def has_rows(connection: sqlite3.Connection) -> bool:
    """Whether an older release's points wait to be packed."""
    return bool(connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'points'").fetchone())


def pack_rows(connection: sqlite3.Connection) -> None:
    """Pack what older releases kept as one row for each window (`points`).

    Of one series after the other, each in a transaction of its own: a start that is killed on the way is gone on with
    by the next, and what one series frees the others use, so that the disk need not hold everything twice. What is
    deleted is not overwritten (Debian's SQLite does), since it would be written for nothing: it is there, packed.
    """
    if not has_rows(connection):
        return
    (overwrites,) = connection.execute("PRAGMA secure_delete").fetchone()
    connection.execute("PRAGMA secure_delete = OFF")
    for (series,) in connection.execute("SELECT id FROM series").fetchall():
        connection.execute("BEGIN IMMEDIATE")
        try:
            _pack(connection, series)
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
    connection.execute("DROP TABLE points")
    connection.execute(f"PRAGMA secure_delete = {_SECURE_DELETE[overwrites]}")


def _pack(connection: sqlite3.Connection, series: int) -> None:
    rows = connection.execute(
        "SELECT start, value, ifnull(weight, 9e999) FROM points WHERE series_id = ? ORDER BY start", (series,)
    )
    found = np.fromiter(rows, POINT)
    found["weight"][np.isinf(found["weight"])] = np.nan
    connection.executemany(
        "INSERT INTO hours (series_id, begin, points) VALUES (?, ?, ?)",
        ((series, begin, piece.tobytes()) for begin, piece in _split(found)),
    )
    connection.execute("DELETE FROM points WHERE series_id = ?", (series,))


def _split(rows: Packed) -> Iterator[tuple[int, Packed]]:
    for piece in np.split(rows, np.flatnonzero(np.diff(rows["start"] // HOUR)) + 1) if len(rows) else ():
        yield int(piece["start"][0]) // HOUR * HOUR, piece
