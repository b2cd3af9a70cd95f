"""The settled timeline, slowly: one window at a time, in plain Python, from the sentences of the design (section 5).

It shares no code with the evaluator but the rule's fields, and no numpy: it is to be read and believed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from watcher.model import SIGNALS, State, Worse
from watcher.rules.rule import Aggregate, Kind, Level, Rule


@dataclass(slots=True)
class World:
    """Everything that is finally known, by event time. `answered` holds event times at which absence is definitive."""

    width: int
    first: int  # event time of the first window
    last: int  # event time of the last window that is present or answered
    values: Mapping[int, float]
    weights: Mapping[int, float] = field(default_factory=dict)
    answered: frozenset[int] = frozenset()
    companions: Mapping[str, Mapping[int, float]] = field(default_factory=dict)

    def grid(self) -> range:
        """Every event time that is judged or missing."""
        return range(self.first, self.last + 1, self.width)


@dataclass(frozen=True, slots=True)
class Told:
    """One entry of the settled timeline."""

    at: int
    state: State
    starts_at: int
    expired: bool = False
    peak: float | None = None
    unguarded: bool = False


def is_idle(world: World, rule: Rule, t: int) -> bool:
    """Nobody was there, so nothing was measured."""
    if world.weights.get(t) == 0 and t in world.values:
        return True
    if SIGNALS[rule.signal].worse is Worse.CONTEXT or world.companions.get("users", {}).get(t) != 0:
        return False
    if t not in world.values:
        return True
    return world.values[t] == 0 and SIGNALS[rule.signal].worse is Worse.UP


def is_judged(world: World, rule: Rule, t: int) -> bool:
    """The vendor gave a value that means something."""
    return t in world.values and not is_idle(world, rule, t)


def aggregate(world: World, rule: Rule, t: int) -> float:
    """The rule's number at a judged window."""
    how = rule.aggregate
    if how.kind in (Kind.LAST, Kind.OF):
        return world.values[t]
    back = [u for u in window_times(how, t, world.width) if is_judged(world, rule, u)]
    found = [world.values[u] for u in back]
    match how.kind:
        case Kind.MIN:
            return min(found)
        case Kind.MAX:
            return max(found)
        case Kind.PERCENTILE:
            return sorted(found)[max(math.ceil(how.percent * len(found) / 100), 1) - 1]
    weights = [world.weights.get(u) for u in back]
    if any(w is None for w in weights):
        return math.fsum(found) / len(found)
    known = [w for w in weights if w is not None]
    return math.fsum(v * w for v, w in zip(found, known, strict=True)) / math.fsum(known)


def window_times(how: Aggregate, t: int, width: int) -> list[int]:
    """Event times in (t - duration, t], on the grid; at least the window itself."""
    return [u for u in range(t, t - max(how.seconds, 1), -width)]  # noqa: C416 - reads as the definition does


def past(level: Level, value: float) -> bool:
    """Strictly on the level's side."""
    return value > level.value if level.above else value < level.value


def breached(world: World, rule: Rule, t: int) -> bool:
    """`when`, at a judged window."""
    if rule.aggregate.kind is not Kind.OF:
        return past(rule.level, aggregate(world, rule, t))
    back = [t - i * world.width for i in range(rule.aggregate.n)]
    return sum(is_judged(world, rule, u) and past(rule.level, world.values[u]) for u in back) >= rule.aggregate.k


def cleared(world: World, rule: Rule, t: int) -> bool:
    """`clear`, at a judged window."""
    if rule.clear is None:
        return not breached(world, rule, t)
    if rule.aggregate.kind is not Kind.OF:
        return past(rule.clear, aggregate(world, rule, t))
    back = [t - i * world.width for i in range(rule.aggregate.n)]
    bad = sum(is_judged(world, rule, u) and not past(rule.clear, world.values[u]) for u in back)
    return bad < rule.aggregate.k


def guard(world: World, rule: Rule, t: int) -> bool | None:
    """`require` at a window: met, not met, or unknown."""
    known = [
        past(r.level, world.companions[r.signal][t]) if t in world.companions.get(r.signal, {}) else None
        for r in rule.require
    ]
    if False in known:
        return False
    return None if None in known else True


class Look(Protocol):
    """What the machine asks of each window."""

    @property
    def width(self) -> int: ...

    def grid(self) -> range:
        """Every event time that is judged or missing."""
        ...

    def is_judged(self, t: int) -> bool: ...

    def met(self, t: int) -> bool | None:
        """Whether the condition holds at a judged window; None where only an unknown `require` is in the way."""
        ...

    def cleared(self, t: int) -> bool: ...

    def value(self, t: int) -> float | None: ...


@dataclass(frozen=True, slots=True)
class Single:
    """A rule of one signal."""

    world: World
    rule: Rule

    @property
    def width(self) -> int:
        return self.world.width

    def grid(self) -> range:
        return self.world.grid()

    def is_judged(self, t: int) -> bool:
        return is_judged(self.world, self.rule, t)

    def met(self, t: int) -> bool | None:
        return guard(self.world, self.rule, t) if breached(self.world, self.rule, t) else False

    def cleared(self, t: int) -> bool:
        return cleared(self.world, self.rule, t)

    def value(self, t: int) -> float | None:
        return aggregate(self.world, self.rule, t)


def settled(world: World, rule: Rule, *, forget_after: int) -> list[Told]:
    """The settled timeline of the rule's alert."""
    return machine(Single(world, rule), rule, forget_after=forget_after)


def machine(look: Look, rule: Rule, *, forget_after: int) -> list[Told]:
    """The settled timeline of an alert, whatever its windows are made of."""
    w = look.width
    told: list[Told] = []
    state = State.INACTIVE
    since = 0
    elapsed = 0
    clear_elapsed: int | None = None
    falling: int | None = None
    last_judged = 0
    missing = 0
    peak: float | None = None
    unguarded = False

    def enter(to: State, at: int, *, expired: bool = False) -> None:
        nonlocal state
        state = to
        told.append(Told(at, to, since, expired, peak, unguarded))

    for t in look.grid():
        if not look.is_judged(t):
            missing += 1
            if missing == 3:
                clear_elapsed = None
                if state is State.PENDING:
                    enter(State.INACTIVE, t)
            if state is State.FIRING and t - last_judged >= forget_after:
                enter(State.RESOLVED, t, expired=True)
            continue
        missing, last_judged = 0, t
        value = look.value(t)
        met = look.met(t)
        worst = max if rule.level.above or rule.share is not None else min
        if state is State.FIRING or (state is State.PENDING and met is not False):
            known = [v for v in (peak, value) if v is not None]
            peak = worst(known) if known else None
        if state is State.PENDING:
            if met is False:
                enter(State.INACTIVE, t)
            else:
                elapsed += w
                unguarded = unguarded or met is None
                if elapsed >= rule.hold:
                    enter(State.FIRING, t)
                    clear_elapsed, falling = None, None
        elif state is State.FIRING:
            if met is not False:
                falling = None
            elif falling is None:
                falling = t
            if not look.cleared(t):
                clear_elapsed = None
            else:
                clear_elapsed = 0 if clear_elapsed is None else clear_elapsed + w
                assert falling is not None
                if clear_elapsed >= rule.clear_for and t - falling >= rule.keep_firing_for:
                    enter(State.RESOLVED, t)
        elif met is not False:
            since, elapsed, peak, unguarded = t, 0, value, met is None
            if rule.hold == 0:
                enter(State.FIRING, t)
                clear_elapsed, falling = None, None
            else:
                enter(State.PENDING, t)
    return told


def silence(world: World, rule: Rule, *, forget_after: int) -> list[Told]:
    """The settled timeline of the companion alert that says that data stopped."""
    assert rule.no_data_after is not None
    told: list[Told] = []
    since: int | None = None
    elapsed = missing = last_known = 0
    firing = False
    for t in world.grid():
        judged, idle = is_judged(world, rule, t), is_idle(world, rule, t)
        nothing = not judged and not idle and t in world.answered
        if judged or idle:
            missing, last_known = 0, t
            since = None
            if firing:
                firing = False
                told.append(Told(t, State.RESOLVED, told[-1].starts_at))
        elif nothing:
            missing, last_known = 0, t
            if firing:
                continue
            if since is None:
                since, elapsed = t, 0
            else:
                elapsed += world.width
            if elapsed >= rule.no_data_after:
                firing = True
                told.append(Told(t, State.FIRING, since))
        else:
            missing += 1
            if missing == 3 and not firing:
                since = None
            if firing and t - last_known >= forget_after:
                firing = False
                since = None
                told.append(Told(t, State.RESOLVED, told[-1].starts_at, expired=True))
    return told
