"""Faults of a scenario: when one strikes, and which requests it strikes. What it then does is the vendor's module's.

A fault is limited in time (`from`, `until`), in place (`where`) and in number (`every: N` or `probability: P`); all
three must agree. `every` counts the requests that the other two let through, and `probability` is drawn from the seed
and that count, never from a generator with a state: the same requests in the same order meet the same faults.

A schedule of faults per request ("the 7th answer is cut") was considered: exact, but it breaks whenever the client
learns to ask one request less.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated

from pydantic import BeforeValidator, Field

from watcher.emulator.chance import key_of
from watcher.emulator.dice import unit
from watcher.yamlfile import Duration, Quantity, Strict, duration

# ── as written ───────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in time as scenario files write it: Unix seconds, or seconds from the emulator's epoch."""

    seconds: float
    relative: bool

    def at(self, epoch: float) -> float:
        """Unix seconds."""
        return epoch + self.seconds if self.relative else self.seconds


_STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)\Z")


def moment(value: object) -> Moment:
    """`+4m` and `-1h30m` count from the epoch; `2026-01-31T10:00:00Z` stands by itself."""
    with contextlib.suppress(ValueError):  # +5, the thirtieth of February: told below
        if isinstance(value, str) and value[:1] in ("+", "-"):
            offset = duration(value[1:])
            return Moment(float(offset if value[0] == "+" else -offset), relative=True)
        if isinstance(value, str) and _STAMP.match(value):
            return Moment(datetime.fromisoformat(value).timestamp(), relative=False)
    raise ValueError("is not a moment; write it like +4m, -1h30m, +0s or 2026-01-31T10:00:00Z")


MomentField = Annotated[Moment, BeforeValidator(moment)]


class WhereShape(Strict):
    """The requests a fault is limited to; each list means "one of these", and no list means "any"."""

    account: tuple[str, ...] = ()
    project: tuple[str, ...] = ()
    endpoint: tuple[str, ...] = ()
    host: tuple[str, ...] = ()
    metric: tuple[str, ...] = ()
    product: tuple[str, ...] = ()


class FaultShape(Strict):
    """What every vendor's faults have in common; the vendor adds `kind` and its own settings."""

    from_: MomentField | None = Field(None, alias="from")
    until: MomentField | None = None
    every: Annotated[int, Field(ge=1)] | None = None
    probability: Annotated[Quantity, Field(ge=0, le=1)] | None = None
    where: WhereShape = WhereShape()
    seconds: Quantity | None = None
    per_minute: Quantity | None = None
    bytes: Annotated[int, Field(ge=1, le=2_000_000_000)] | None = None
    share: Quantity | None = None
    slots: Annotated[int, Field(ge=1, le=10)] | None = None
    after: Duration | None = None
    factor: Quantity | None = None
    text: str | None = None


# ── as used ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of a request before it is judged; empty where the request does not say."""

    host: str = ""
    account: str = ""
    project: str = ""
    endpoint: str = ""
    metric: str = ""
    product: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """See `WhereShape`."""

    account: tuple[str, ...] = ()
    project: tuple[str, ...] = ()
    endpoint: tuple[str, ...] = ()
    host: tuple[str, ...] = ()
    metric: tuple[str, ...] = ()
    product: tuple[str, ...] = ()

    def matches(self, facts: Facts) -> bool:
        """True where every list that is given holds the request's own. A host may be named with or without port."""
        return (
            (not self.account or facts.account in self.account)
            and (not self.project or facts.project in self.project)
            and (not self.endpoint or facts.endpoint in self.endpoint)
            and (not self.metric or facts.metric in self.metric)
            and (not self.product or facts.product in self.product)
            and (not self.host or facts.host in self.host or facts.host.rpartition(":")[0] in self.host)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault, resolved: instants in Unix seconds of the run clock, settings with their defaults filled in."""

    kind: str
    since: float = float("-inf")
    until: float = float("inf")
    every: int | None = None
    probability: float | None = None
    where: Where = field(default_factory=Where)
    seconds: float = 0.0
    per_minute: float = 0.0
    size: int = 0
    share: float = 1.0
    slots: int = 0
    after: int = 0
    factor: float = 1.0
    text: str | None = None

    def foreign(self, start: float, end: float) -> int:
        """How many requests somebody else has sent in [start, end) at `per_minute`, spread evenly since `since`."""
        opened = self.since if self.since > float("-inf") else 0.0
        start, end = max(start, opened), min(end, self.until)
        if end <= start:
            return 0
        return int((end - opened) * self.per_minute // 60) - int((start - opened) * self.per_minute // 60)


class Injector:
    """Decides which faults strike a request, and counts them."""

    def __init__(self, *, faults: Sequence[Fault], seed: int) -> None:
        self._faults = tuple(faults)
        self._keys = tuple(key_of(seed, "fault", str(i), fault.kind) for i, fault in enumerate(faults))
        self._met = [0] * len(self._faults)
        self.struck = {fault.kind: 0 for fault in self._faults}

    def strike(self, facts: Facts, at: float) -> tuple[Fault, ...]:
        """The faults that strike this request, in the file's order. `at` is the run clock."""
        hits = []
        for index, fault in enumerate(self._faults):
            if not (fault.since <= at < fault.until and fault.where.matches(facts)):
                continue
            self._met[index] += 1
            if fault.every is not None and self._met[index] % fault.every:
                continue
            if fault.probability is not None and unit(self._keys[index], self._met[index]) >= fault.probability:
                continue
            self.struck[fault.kind] += 1
            hits.append(fault)
        return tuple(hits)

    def others(self, facts: Facts, ahead: float) -> Callable[[float, float], int]:
        """How many requests others sent in a stretch of server time, by the `foreign` faults that `facts` meet.

        The server's clock is `ahead` of the run clock by so many seconds.
        """
        sharing = [fault for fault in self._faults if fault.kind == "foreign" and fault.where.matches(facts)]
        return lambda start, end: sum(fault.foreign(start - ahead, end - ahead) for fault in sharing)

    def skew(self, host: str, at: float) -> float:
        """Seconds by which the server's clock is ahead of the run clock. Counts nothing: asking is not a request."""
        facts = Facts(host=host)
        return sum(
            fault.seconds
            for fault in self._faults
            if fault.kind == "clock_skew" and fault.since <= at < fault.until and fault.where.matches(facts)
        )
