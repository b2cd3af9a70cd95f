"""Limits that move, slowly: the sentences of docs/rules.md about baselines and objectives, one window at a time.

No numpy and no grids: slots are looked up by their seconds, and medians are Python's own.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from tests.rules import oracle
from tests.rules.oracle import World
from watcher.rules.rule import Aggregate, Baseline, Kind, Part, Rule


def holds(world: World, part: Part, rule: Rule, t: int) -> bool | None:
    """Whether a judged window is past what is allowed; None where too little is known to say."""
    if part.burn is not None:
        return burns(world, part, rule, t)
    assert part.baseline is not None
    limit = limit_at(world, part, part.baseline, rule, t)
    value = oracle.aggregate(world, rule, t)
    return None if limit is None else value > limit if part.level.above else value < limit


def limit_at(world: World, part: Part, baseline: Baseline, rule: Rule, t: int) -> float | None:
    """The median of the reference and the larger of its spread and the least that matters."""
    length = -(-baseline.slot // world.width) * world.width
    begins = list(reference(part, baseline, rule, t, world.width, length))
    means = [m for b in begins if b is not None and (m := slot_mean(world, rule, b, length)) is not None]
    if 2 * len(means) < len(begins):
        return None
    normal = statistics.median(means)
    spread = statistics.median([abs(m - normal) for m in means])
    room = max(baseline.spread * 1.4826 * spread, baseline.at_least)
    return normal + room if part.level.above else normal - room


def reference(part: Part, baseline: Baseline, rule: Rule, t: int, width: int, length: int) -> Iterator[int | None]:
    """Where the slots begin that say what is normal at event time `t`; None for those that never were."""
    count = baseline.span // length
    if not baseline.period:
        looks = -(-part.aggregate.seconds // width) * width
        newest = (t - looks - rule.hold) // length * length
        yield from (newest - (i + 1) * length for i in range(count))
        return
    wall = clock(t - width, baseline.zone)
    hour = wall // baseline.span * baseline.span
    for cycle in range(1, baseline.cycles + 1):
        for i in range(count):
            begin = instant(hour - cycle * baseline.period + i * length, baseline.zone)
            yield None if begin is None else begin // length * length


def clock(at: int, zone: str) -> int:
    """What a clock on the wall shows at an instant, as if it were UTC."""
    shown = datetime.fromtimestamp(at, ZoneInfo(zone)).replace(tzinfo=UTC)
    return int(shown.timestamp())


def instant(wall: int, zone: str) -> int | None:
    """When a clock on the wall showed that, at first; None where it was put forward over it."""
    at = int(datetime.fromtimestamp(wall, UTC).replace(tzinfo=ZoneInfo(zone), fold=0).timestamp())
    return at if clock(at, zone) == wall else None


def slot_mean(world: World, rule: Rule, begin: int, length: int) -> float | None:
    """What `avg` says of the judged windows that begin in a slot."""
    ends = [t for t in range(begin + world.width, begin + length + 1, world.width)]  # noqa: C416 - reads as it is said
    judged = [t for t in ends if oracle.is_judged(world, rule, t)]
    if not judged:
        return None
    averaged = replace(rule, aggregate=Aggregate(kind=Kind.AVG, seconds=length))
    whole = replace(world, values={t: v for t, v in world.values.items() if begin < t <= begin + length})
    return oracle.aggregate(whole, averaged, ends[-1])


def burns(world: World, part: Part, rule: Rule, t: int) -> bool | None:
    """Whether both averages are past the share of failures that burns too fast; half of the long time must be known.

    Of the time before the vendor's first word on this signal nothing is known, also where nobody was there.
    """
    assert part.burn is not None
    back = oracle.window_times(part.aggregate, t, world.width)
    begun = min([*world.values, *world.answered])
    known = [u for u in back if u >= begun and (oracle.is_judged(world, rule, u) or oracle.is_idle(world, rule, u))]
    if 2 * len(known) < len(back):
        return None
    shorter = oracle.aggregate(world, replace(rule, aggregate=part.burn.short), t)
    return oracle.past(part.level, oracle.aggregate(world, rule, t)) and oracle.past(part.level, shorter)
