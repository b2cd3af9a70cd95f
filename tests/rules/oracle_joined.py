"""Joined rules, slowly: the sentences of docs/rules.md, one window at a time, on top of the plain oracle.

A part at a place is True, False or None (not known); `all` and `any` join these with three values. No numpy, no grids,
and nothing shared with the evaluator but the rule's fields.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tests.rules import oracle, oracle_past
from tests.rules.oracle import World
from watcher.rules.rule import WEIGHT, Join, Part, Rule

Worlds = Mapping[str, World]
"""What is finally known at one place, by signal; only what was ever answered for."""


def divided(top: World, bottom: World) -> World:
    """A pair of counts as a world of its own: failures by attempts, weighted by attempts."""
    both = set(top.values) & set(bottom.values)
    return World(
        width=top.width,
        first=max(top.first, bottom.first),
        last=min(top.last, bottom.last),
        values={t: top.values[t] / bottom.values[t] if bottom.values[t] else 0.0 for t in both},
        weights={t: bottom.values[t] for t in both},
        answered=top.answered & bottom.answered,
        companions=top.companions,
    )


def world_of(part: Part, worlds: Worlds) -> World | None:
    """The windows of one part at a place."""
    if part.signal not in worlds:
        return None
    if not part.per:
        return worlds[part.signal]
    return divided(worlds[part.signal], worlds[part.per]) if part.per in worlds else None


def rule_of(part: Part, rule: Rule) -> Rule:
    """A rule of one signal that says what the part does."""
    own = replace(rule, signal=part.signal, aggregate=part.aggregate, level=part.level, clear=part.clear, per="")
    return replace(own, others=(), share=None, baseline=None, burn=None)


@dataclass(frozen=True, slots=True)
class Place:
    """All parts of a rule at one label set."""

    rule: Rule
    worlds: Worlds

    def sides(self) -> list[tuple[World, Rule]]:
        """The parts that were ever answered for."""
        return [(world, rule_of(part, self.rule)) for world, part in self._parts()]

    def _parts(self) -> list[tuple[World, Part]]:
        found = [(world_of(part, self.worlds), part) for part in self.rule.parts]
        return [(world, part) for world, part in found if world is not None]

    def _known(self, t: int, *, clear: bool) -> list[bool | None]:
        said: list[bool | None] = []
        for world, part in self._parts():
            rule = rule_of(part, self.rule)
            within = t <= world.last and t >= world.first and oracle.is_judged(world, rule, t)
            judge = oracle.cleared if clear else oracle.breached
            if within and (part.baseline is not None or part.burn is not None):
                past = oracle_past.holds(world, part, rule, t)
                said.append(None if past is None else past != clear)
            else:
                said.append(judge(world, rule, t) if within else None)
        if self.rule.join is Join.ALL:
            said += [None] * (len(self.rule.parts) - len(said))
        return said

    def holds(self, t: int) -> bool | None:
        """Three-valued."""
        said = self._known(t, clear=False)
        if self.rule.join is Join.ALL:
            return False if False in said else None if None in said or not said else True
        return True if True in said else None if None in said or not said else False

    def cleared(self, t: int) -> bool:
        said = self._known(t, clear=True)
        return any(s is True for s in said) if self.rule.join is Join.ALL else all(s is True for s in said)

    def guard(self, t: int) -> bool | None:
        """`require`: met, not met, or unknown."""
        answers: list[bool | None] = []
        for requirement in self.rule.require:
            if requirement.signal == WEIGHT:
                world = world_of(self.rule.parts[0], self.worlds)
                values = {} if world is None else world.weights
            else:
                values = self.worlds[requirement.signal].values if requirement.signal in self.worlds else {}
            answers.append(oracle.past(requirement.level, values[t]) if t in values else None)
        return False if False in answers else None if None in answers else True

    def value(self, t: int) -> float | None:
        """The first part's number."""
        if self.rule.join is Join.ANY or not self.sides() or world_of(self.rule.parts[0], self.worlds) is None:
            return None
        world, rule = self.sides()[0]
        within = world.first <= t <= world.last and oracle.is_judged(world, rule, t)
        return oracle.aggregate(world, rule, t) if within else None


@dataclass(frozen=True, slots=True)
class Alone:
    """A joined rule at one place."""

    place: Place

    @property
    def width(self) -> int:
        return self.place.sides()[0][0].width

    def grid(self) -> range:
        worlds = [world for world, _ in self.place.sides()]
        return range(min(w.first for w in worlds), max(w.last for w in worlds) + 1, self.width)

    def is_judged(self, t: int) -> bool:
        return self.place.holds(t) is not None

    def met(self, t: int) -> bool | None:
        return self.place.guard(t) if self.place.holds(t) else False

    def cleared(self, t: int) -> bool:
        return self.place.cleared(t)

    def value(self, t: int) -> float | None:
        return self.place.value(t)


@dataclass(frozen=True, slots=True)
class Shared:
    """A share of places."""

    rule: Rule
    places: Sequence[Place]

    @property
    def width(self) -> int:
        return self.places[0].sides()[0][0].width

    def grid(self) -> range:
        worlds = [world for place in self.places for world, _ in place.sides()]
        return range(min(w.first for w in worlds), max(w.last for w in worlds) + 1, self.width)

    def counted(self, t: int) -> list[Place]:
        """The places that count: judged, and `require` not plainly unmet."""
        return [p for p in self.places if p.holds(t) is not None and p.guard(t) is not False]

    def is_judged(self, t: int) -> bool:
        return bool(self.counted(t))

    def value(self, t: int) -> float:
        return sum(bool(p.holds(t)) for p in self.counted(t)) / len(self.counted(t))

    def met(self, t: int) -> bool | None:
        share = self.rule.share
        assert share is not None
        return oracle.past(share.level, self.value(t)) and len(self.counted(t)) >= share.at_least

    def cleared(self, t: int) -> bool:
        share = self.rule.share
        assert share is not None
        if share.clear is not None:
            return oracle.past(share.clear, self.value(t))
        return not oracle.past(share.level, self.value(t))
