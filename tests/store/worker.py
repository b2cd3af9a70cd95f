"""The process that is killed: writes step after step as the daemon does, and says what has returned.

A step is a commit (points of three series, coverage, saved alert, a transition, two obligations), a spend, the
notification that discharges both, and its delivery. Each line on stdout (`commit 7`) is written once the call returned.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace

from tests.store.build import FREEZE, column, entry, message, owed
from watcher.model import Commit, Delivery, SavedAlert, Series, Spend, State
from watcher.store import SqliteStore, open_store

SERIES = tuple(FREEZE._replace(channel=f"c{n}") for n in range(3))
ALERTS = 5
WINDOWS = 200  # points of each series in a step: enough pages that an instant can fall between two of them


def values(step: int, series: Series) -> dict[int, float]:
    """The points that a step writes: its own windows, all with its number."""
    return {20 * (step * WINDOWS + i): float(step) for i in range(WINDOWS)}


def perform(store: SqliteStore, step: int) -> None:
    """One step; the state alternates so that the log of an alert fires and resolves."""
    alert, seq = f"a{step % ALERTS}", step // ALERTS + 1
    transition = entry(alert, seq, State.FIRING if seq % 2 else State.RESOLVED, at=20 * step)
    duties = (owed(transition), owed(transition, "mail"))
    store.commit(
        Commit(
            points=[column(values(step, series), series=series) for series in SERIES],
            covered={"q": 20 * (step + 1)},
            alerts=[SavedAlert(alert_id=alert, rule="r", body={"step": step})],
            transitions=[transition],
            obligations=duties,
        )
    )
    say("commit", step)
    store.record_spend(Spend(id=f"s{step}", account="acme", pools=("p",), at=float(step), skew=5.0))
    say("spend", step)
    notification = message(f"n{step}", *duties)
    store.record_notification(notification)
    say("notification", step)
    store.update_notification(replace(notification, delivery=Delivery.SENT, sent_at=float(step)))
    say("sent", step)


def say(what: str, step: int) -> None:
    """Unbuffered: the line is out before the next call begins."""
    os.write(1, f"{what} {step}\n".encode())


def main(url: str) -> None:
    """Go on after the last step of which anything is recorded, until killed."""
    store = open_store(url)
    step = len(store.transitions())
    while True:
        perform(store, step)
        step += 1


if __name__ == "__main__":
    main(sys.argv[1])
