"""What the parts know that the status page shows, taken in one go on the event loop.

Only values that nobody changes any more are taken (frozen entries, views, counters as a `Snapshot`), and nothing is
worked out: what is made of them (`board`) is made in a thread, so that no reader of the page holds up a look.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from watcher.alerts.blind import AccountSight, StoreSight
from watcher.alerts.desk import Desk
from watcher.alerts.mutes import Mutes
from watcher.alerts.route import Told
from watcher.app.account import AccountLoop
from watcher.app.recorder import Recorder
from watcher.config import Config
from watcher.metrics import Snapshot
from watcher.model import Series, Silence, State, Transition
from watcher.rules.view import AlertView
from watcher.schedule import QueryState, Slot

_STANDING = frozenset({State.FIRING, State.PENDING})


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """Where an account's queries stand: `slot` is its very next look; `ahead` the vendor's clock less ours.

    `covered` is the event time up to which each series is known, `known_until` the latest of them (0 before any).
    """

    states: tuple[QueryState, ...]
    slot: Slot | None
    known_until: int
    covered: Mapping[Series, int]
    ahead: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """Everything as of `snapshot.now`; accounts that have not begun yet have no turn."""

    config: Config
    snapshot: Snapshot
    firing: Sequence[Transition]
    pending: Sequence[Transition]
    over: Sequence[Transition]
    views: Mapping[str, AlertView]
    unseen: Mapping[str, Transition]
    mutes: Mutes
    silences: Sequence[Silence]
    told: Told
    sights: Sequence[AccountSight]
    store: StoreSight
    turns: Mapping[str, Turn]


def gather(
    *,
    config: Config,
    snapshot: Snapshot,
    desk: Desk,
    recorder: Recorder,
    sights: Sequence[AccountSight],
    loops: Mapping[str, AccountLoop],
) -> Material:
    """References only, but for the views of alerts that stand."""
    return Material(
        config=config,
        snapshot=snapshot,
        firing=tuple(desk.firing.values()),
        pending=tuple(desk.pending.values()),
        over=desk.over,
        views={view.id: view for loop in loops.values() for view in loop.engine.alerts(_STANDING)},
        unseen=desk.unseen(),
        mutes=desk.mutes(),
        silences=desk.silences,
        told=recorder.told,
        sights=sights,
        store=recorder.sight,
        turns={
            name: Turn(
                states=loop.states,
                slot=loop.slot,
                known_until=max(loop.covered.values(), default=0),
                covered={s: loop.covered.get(i, 0) for i, query in loop.queries.items() for s in query.series},
                ahead=loop.ledger.offset,
            )
            for name, loop in loops.items()
        },
    )
