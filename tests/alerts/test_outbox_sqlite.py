"""The crash points again, on the real store: die at every write, reopen the file, go on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from tests.alerts.build import LABELS, obligation, outbox, route, routing, settle, transition
from tests.alerts.fakes import Fail, FakeSender, Killed
from tests.conftest import EPOCH
from watcher.alerts.route import NEVER_TOLD, oblige
from watcher.clock import VirtualClock
from watcher.model import Commit, Delivery, State, Store, alert_id
from watcher.store import open_store

WRITES = ("commit", "drop_obligations", "record_notification", "update_notification")

FIRED = transition(State.FIRING, 0)
ENDED = transition(State.RESOLVED, 50, seq=2)
TAKEN_BACK = [
    transition(State.FIRING, 0, labels={**LABELS, "channel": "b"}),
    transition(State.INACTIVE, 0, seq=2, retracts=0, labels={**LABELS, "channel": "b"}),
]


class Mortal:
    """A store whose process dies at the `number`-th write, before or after it took effect."""

    def __init__(self, store: Store, number: int, *, after_effect: bool) -> None:
        self._store = store
        self._left = number
        self._after_effect = after_effect
        self._dead = False

    def __getattr__(self, name: str) -> Any:
        call: Callable[..., Any] = getattr(self._store, name)
        return self._mortal(call) if name in WRITES else call

    def _mortal(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def write(*args: Any) -> Any:
            self._left -= 1
            dies = self._left < 0
            if self._dead or (dies and not self._after_effect):
                self._dead = True
                raise Killed
            result = call(*args)
            if dies:
                self._dead = True
                raise Killed
            return result

        return write


async def live(url: str, sender: FakeSender, clock: VirtualClock, *, die_at: int, after_effect: bool) -> bool:
    """One process: record what is not recorded, deliver everything. Whether it survived."""
    real = open_store(url)
    store = cast("Store", Mortal(real, die_at, after_effect=after_effect))
    survived = True
    try:
        recorded = {(t.alert_id, t.seq) for t in store.transitions()}
        for batch in ([FIRED], [ENDED], TAKEN_BACK):
            new = [t for t in batch if (t.alert_id, t.seq) not in recorded]
            store.commit(Commit(transitions=new, obligations=[obligation(t) for t in new]))
            async with outbox(store, sender, clock).opened() as box:
                await settle(box, clock, until=clock.now() + 60)
    except* Killed:
        survived = False
    finally:
        real.close()
    return survived


@pytest.mark.parametrize("after_effect", [False, True])
@pytest.mark.parametrize("die_at", range(14))
async def test_dying_at_any_write_loses_nothing(
    clock: VirtualClock, tmp_path: Path, die_at: int, after_effect: bool
) -> None:
    """Beginning and end arrive in order, a repeat has the same id, and the books are closed."""
    url = f"sqlite:///{tmp_path}/state.db"
    sender = FakeSender(clock, [Fail()])
    survived = await live(url, sender, clock, die_at=die_at, after_effect=after_effect)
    assert await live(url, sender, clock, die_at=10_000, after_effect=False)
    store = open_store(url)
    assert store.open_obligations("slack") == []
    messages = store.notifications(0.0)
    assert {m.delivery for m in messages} == {Delivery.SENT}
    store.close()
    assert [m.kind for m in messages] in (["firing", "resolved"], ["was_firing"])
    accepted = [s.notification.id for s in sender.accepted]
    assert list(dict.fromkeys(accepted)) == [m.id for m in messages]
    assert len(accepted) - len(messages) <= (0 if survived else 1)


def test_what_is_told_is_read_back_from_the_file(tmp_path: Path) -> None:
    """After a restart the alert's end goes to who was told, by what the store says."""
    url = f"sqlite:///{tmp_path}/state.db"
    store = open_store(url)
    store.commit(Commit(transitions=[FIRED], obligations=[obligation(FIRED)]))
    store.close()
    store = open_store(url)
    told = store.holders(NEVER_TOLD)
    store.close()
    assert told == {alert_id("VideoFreezing", LABELS): frozenset({"slack"})}
    end = oblige([ENDED], routing(route("mail")), told, now=EPOCH)
    assert [o.target for o in end.obligations] == ["slack"]
