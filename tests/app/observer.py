"""An observer of all windows: what the same rules would fire if nothing had a budget or a delay.

It asks an emulator of the same story, whose limits are lifted, for everything at once, and judges with one call of the
`Engine` per query: no schedule, no ledger, no store, no re-reading.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.app import world
from tests.providers.doubles import FakePurse
from watcher.clock import DAY, Clock
from watcher.model import Span, State, Transition
from watcher.rules.engine import Engine

Fired = tuple[str, tuple[tuple[str, str], ...], int]
"""Rule, labels, condition_at."""

_WIDE = {"look_back": "3d", "span": "3d"}


async def observe(
    *,
    clock: Clock,
    folder: Path,
    story: Mapping[str, Any],
    epoch: float,
    since: float,
    data: Mapping[str, Any],
    bent: Sequence[Mapping[str, Any]] = (),
) -> tuple[set[Fired], dict[str, Span]]:
    """What fires from `since` until now, and the windows that were there to be seen, per query.

    `bent` are the faults that belong to the data itself: a slot that is never offered is a hole to everyone.
    """
    free = copy.deepcopy(dict(story))
    free["faults"] = [dict(fault) for fault in bent]
    for account in free["accounts"]:
        account["limits"] = {"per_minute": 1_000_000, "per_day": 1_000_000, **_WIDE}
    wide = copy.deepcopy(dict(data))
    for account in wide["accounts"]:
        account |= {"quotas": {"realtime": {"per_minute": 100_000, "per_day": 1_000_000}}, **_WIDE}
    here = world.World(clock=clock, folder=folder, story=free, epoch=epoch)
    config = world.built(wide, folder)
    account_config = config.accounts[0]
    source = account_config.provider.open(
        account_config.settings, account_config.needed, clock=clock, transport=here.wire
    )
    engine = Engine(rules=config.rules, settings=config.judging.model_copy(update={"horizon": 4 * DAY}))
    log: list[Transition] = []
    seen: dict[str, Span] = {}
    for query in account_config.queries:  # users come first, so nothing is undecided
        answer = await source.look(query, int(since) // 20 * 20, FakePurse())
        seen[query.id] = answer.asked
        log += engine.receive(answer, clock.now()).transitions
    log += engine.tick(clock.now() + config.judging.undecided_for).transitions  # what no answer will decide any more
    await source.aclose()
    return {_fired(t) for t in log if t.state is State.FIRING and t.retracts is None}, seen


def _fired(transition: Transition) -> Fired:
    return transition.rule, tuple(sorted(transition.labels.items())), transition.at
