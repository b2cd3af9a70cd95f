"""Random rules and random ways for points to arrive, and the world that they finally add up to.

Values, weights and levels are sixty-fourths, so that every sum is exact and the oracle's plain arithmetic must agree to
the last bit with the columns'.

Streams begin shortly before clocks in Kathmandu were put forward by a quarter of an hour: real weeks are longer than
any change of clocks, and so must be the short "weeks" of these rules.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tests.rules.oracle import World
from tests.rules.series import W, query, series
from watcher.model import Answer, Points, Series, Span, Transition
from watcher.rules.engine import Engine
from watcher.rules.rule import WEIGHT, Aggregate, Baseline, Burn, Join, Kind, Level, Part, Requirement, Rule, Share

CHANGE, CHANGING = 504_901_800, "Asia/Kathmandu"  # 1986-01-01T00:00 was 00:15 there
START = CHANGE - 200
MAIN = series()
USERS = series("users")
ROOMS = ("a", "b", "c")
OF = {
    "main": MAIN,
    "users": USERS,
    "delay": series("network_delay_ratio"),
    "channels": series("channels"),
    **{room: series(channel=room) for room in ROOMS},
}


@dataclass(frozen=True, slots=True)
class Delivery:
    """One answer in small numbers: windows [start, start + len) by index, and how many of them are settled."""

    which: str
    start: int
    windows: tuple[tuple[float, float | None] | None, ...]  # value and weight
    settled: int

    def answer(self, number: int) -> Answer:
        """The answer, as a look brings it."""
        of = OF[self.which]
        kept = [(self.start + i, w) for i, w in enumerate(self.windows) if w is not None]
        weights = [np.nan if w[1] is None else w[1] for _, w in kept]
        at = START + self.start * W
        points = Points(
            series=of,
            width=W,
            start=np.array([START + i * W for i, _ in kept], dtype=np.int64),
            value=np.array([w[0] for _, w in kept], dtype=np.float64),
            weight=np.array(weights, dtype=np.float64) if any(w[1] is not None for _, w in kept) else None,
        )
        return Answer(
            query=query(of),
            asked=Span(at, at + len(self.windows) * W),
            settled=at + self.settled * W,
            points=(points,),
            received_at=known_at(number),
        )


def known_at(number: int) -> float:
    """The run clock at the n-th delivery: a minute apart, so that waiting for a companion matters."""
    return START + 10_000.0 + number * 60.0


@dataclass(slots=True)
class Final:
    """What a sequence of deliveries adds up to: later versions of a window replace earlier ones."""

    values: dict[str, dict[int, tuple[float, float | None]]] = field(default_factory=lambda: {name: {} for name in OF})
    answered: dict[str, set[int]] = field(default_factory=lambda: {name: set() for name in OF})
    firsts: dict[str, int] = field(default_factory=dict)  # series -> its first window that was asked for
    lasts: dict[str, int] = field(default_factory=dict)  # series -> the end of what is known of it

    def take(self, delivery: Delivery) -> None:
        """Add one delivery."""
        for i, window in enumerate(delivery.windows):
            if window is not None:
                self.values[delivery.which][delivery.start + i] = window
        which = delivery.which
        settled = range(delivery.start, delivery.start + delivery.settled)
        self.answered[which].update(settled)
        known = [*settled, *(delivery.start + i for i, w in enumerate(delivery.windows) if w is not None)]
        self.firsts[which] = min(self.firsts.get(which, delivery.start), delivery.start)
        self.lasts[which] = max([self.lasts.get(which, 0), *(i + 1 for i in known)])

    @property
    def first(self) -> int | None:
        """The main series' first window, where it was ever asked for."""
        return self.firsts.get("main")

    def world(self, which: str = "main") -> World:
        """The oracle's view of one series."""

        def event(i: int) -> int:
            return START + (i + 1) * W

        main = self.values[which]
        return World(
            width=W,
            first=event(self.firsts.get(which, 0)),
            last=START + self.lasts.get(which, 0) * W,
            values={event(i): v for i, (v, _) in main.items()},
            weights={event(i): w for i, (_, w) in main.items() if w is not None},
            answered=frozenset(event(i) for i in self.answered[which]),
            companions={"users": {event(i): v for i, (v, _) in self.values["users"].items()}},
        )

    def points(self, of: Series, since: int) -> Points | None:
        """What the store would have recorded."""
        which = next(name for name, s in OF.items() if s == of)
        kept = [(i, w) for i, w in sorted(self.values[which].items()) if START + i * W >= since]
        if not kept:
            return None
        return Points(
            series=of,
            width=W,
            start=np.array([START + i * W for i, _ in kept], dtype=np.int64),
            value=np.array([w[0] for _, w in kept], dtype=np.float64),
            weight=np.array([np.nan if w[1] is None else w[1] for _, w in kept], dtype=np.float64),
        )


def run(engine: Engine, deliveries: Sequence[Delivery], *, first: int = 0) -> list[Transition]:
    """Feed an engine; ticks come between the looks, as in the daemon."""
    log: list[Transition] = []
    for number, delivery in enumerate(deliveries, first):
        now = known_at(number)
        log += engine.receive(delivery.answer(number), now).transitions
        log += engine.tick(now + 30).transitions
    return log


# ── strategies ───────────────────────────────────────────────────────────────────────────────────────────────────────

_LEVELS = [0.0, 1 / 64, 2 / 64, 3 / 64, 4 / 64, 5 / 64, 9 / 64]
_SMALL = {"at_least": st.sampled_from([1 / 64, 3 / 64]), "slot": st.sampled_from([40, 50])}
_LINE = Level(above=True, value=3 / 64)
_aggregates = st.one_of(
    st.just(Aggregate(kind=Kind.LAST)),
    st.builds(
        Aggregate,
        kind=st.sampled_from([Kind.AVG, Kind.MIN, Kind.MAX]),
        seconds=st.sampled_from([10, 20, 30, 60, 100, 140]),
    ),
    st.builds(
        Aggregate,
        kind=st.just(Kind.PERCENTILE),
        seconds=st.sampled_from([60, 100]),
        percent=st.sampled_from([1, 50, 67, 95]),
    ),
    st.integers(1, 4).flatmap(lambda n: st.builds(Aggregate, kind=st.just(Kind.OF), k=st.integers(1, n), n=st.just(n))),
)


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    """A rule on the main series, of any shape."""
    above = draw(st.booleans())
    level, back = (4 / 64, 2 / 64) if above else (2 / 64, 4 / 64)
    return Rule(
        name="Random",
        signal=MAIN.signal,
        aggregate=draw(_aggregates),
        level=Level(above=above, value=level),
        hold=draw(st.sampled_from([0, 0, 20, 30, 40, 100])),
        keep_firing_for=draw(st.sampled_from([0, 0, 60, 130])),
        clear=draw(st.sampled_from([None, Level(above=not above, value=back)])),
        clear_for=draw(st.sampled_from([0, 20, 50])),
        require=draw(st.sampled_from([(), (Requirement(signal="users", level=Level(above=True, value=20)),)])),
        no_data_after=draw(st.sampled_from([None, 20, 60])),
    )


_PARTS = [(series().signal, 4 / 64, 2 / 64), ("network_delay_ratio", 3 / 64, 1 / 64)]


@st.composite
def joined_rules(draw: st.DrawFn, *, share: bool = False, counts: bool = False) -> Rule:
    """A rule on several series, of any shape."""
    require = draw(st.sampled_from([(), (Requirement(signal="users", level=Level(above=True, value=20)),)]))
    parts = [
        Part(
            signal=signal,
            aggregate=draw(_aggregates),
            level=Level(above=True, value=level),
            clear=draw(st.sampled_from([None, Level(above=False, value=back)])),
        )
        for signal, level, back in _PARTS[: 1 if share else 2]
    ]
    if counts:
        parts = [Part(signal="channels", per="users", aggregate=draw(_aggregates), level=Level(above=True, value=0.75))]
        require = draw(st.sampled_from([(), (Requirement(signal=WEIGHT, level=Level(above=True, value=20)),)]))
    lead, *others = parts
    shared = Share(
        level=Level(above=True, value=draw(st.sampled_from([0.3, 0.5, 0.6]))),
        at_least=draw(st.integers(1, 3)),
        clear=draw(st.sampled_from([None, Level(above=False, value=0.25)])),
    )
    return Rule(
        name="Random",
        signal=lead.signal,
        per=lead.per,
        aggregate=lead.aggregate,
        level=lead.level,
        clear=lead.clear,
        others=tuple(others),
        join=draw(st.sampled_from(Join)) if others else Join.ALL,
        share=shared if share else None,
        hold=draw(st.sampled_from([0, 0, 20, 30, 40, 100])),
        keep_firing_for=draw(st.sampled_from([0, 0, 60, 130])),
        clear_for=draw(st.sampled_from([0, 20, 50])),
        require=require,
    )


_looks = st.builds(Aggregate, kind=st.just(Kind.AVG), seconds=st.sampled_from([20, 40, 60, 100]))
_baselines = st.one_of(
    st.builds(Baseline, span=st.sampled_from([80, 160, 400]), spread=st.sampled_from([1, 3]), **_SMALL),
    st.builds(
        Baseline,
        span=st.sampled_from([80, 120]),
        period=st.sampled_from([240, 360]),
        cycles=st.integers(1, 3),
        spread=st.sampled_from([1, 3]),
        **_SMALL,
    ),
)
_clocks = st.builds(
    Baseline,
    span=st.sampled_from([80, 120]),
    period=st.sampled_from([1200, 1320]),
    zone=st.just(CHANGING),
    spread=st.sampled_from([1, 3]),
    **_SMALL,
)


@st.composite
def moving_rules(draw: st.DrawFn, *, burn: bool = False, clocks: bool = False) -> Rule:
    """A rule whose limit moves, weeks of some minutes long (`clocks`: by a clock that changes meanwhile); or an
    objective with one burn or two; perhaps joined."""
    signal, level, back = _PARTS[0]
    lead = Part(
        signal=signal,
        aggregate=draw(_looks),
        level=Level(above=draw(st.booleans()), value=math.nan),
        baseline=draw(_clocks if clocks else _baselines),
    )
    others = draw(st.sampled_from([(), (Part(signal=_PARTS[1][0], aggregate=draw(_aggregates), level=_LINE),)]))
    join = draw(st.sampled_from(Join)) if others else Join.ALL
    if burn:
        lead, *more = [
            Part(
                signal=signal,
                aggregate=Aggregate(kind=Kind.AVG, seconds=draw(st.sampled_from([80, 160, 300]))),
                level=Level(above=True, value=share),
                burn=Burn(short=draw(_looks), budget=1 / 64),
            )
            for share in draw(st.sampled_from([(level,), (level, back)]))
        ]
        others, join = tuple(more), Join.ANY if more else Join.ALL
    return Rule(
        name="Random",
        signal=lead.signal,
        aggregate=lead.aggregate,
        level=lead.level,
        baseline=lead.baseline,
        burn=lead.burn,
        others=others,
        join=join,
        hold=draw(st.sampled_from([0, 0, 20, 30, 40])),
        keep_firing_for=draw(st.sampled_from([0, 0, 60])),
        clear_for=draw(st.sampled_from([0, 20, 50])),
        require=draw(st.sampled_from([(), (Requirement(signal="users", level=Level(above=True, value=20)),)])),
    )


_runs = st.lists(st.tuples(st.sampled_from([None, *_LEVELS]), st.integers(1, 7)), min_size=1, max_size=14)
Windows = dict[str, list[tuple[float, float | None] | None]]
"""Windows of series by name, each a value and a weight."""

_EXACT = [None, 0.0, 16.0, 32.0]
_user_runs = st.lists(st.tuples(st.sampled_from([None, 0.0, 10.0, 30.0, 30.0]), st.integers(1, 12)), max_size=8)


@st.composite
def final_windows(draw: st.DrawFn) -> Windows:
    """The final windows of both series, in runs; the main one may carry weights."""
    weighted = draw(st.booleans())
    main: list[tuple[float, float | None] | None] = []
    for value, times in draw(_runs):
        weights = draw(st.sampled_from([None, 0.0, 1.0, 2.0, 8.0])) if weighted else None
        main += [None if value is None else (value, weights)] * times
    users: list[tuple[float, float | None] | None] = []
    for value, times in draw(_user_runs):
        users += [None if value is None else (value, None)] * times
    return {"main": main, "users": users[: len(main)]}


_counts = st.lists(st.tuples(st.sampled_from(_EXACT), st.integers(1, 7)), min_size=1, max_size=10)


@st.composite
def several_windows(draw: st.DrawFn, *, rooms: bool = False, counts: bool = False) -> Windows:
    """The final windows of several series: two quality signals, or three rooms, or two counts; users beside them."""
    found: Windows = {}
    for which in ROOMS if rooms else () if counts else ("main", "delay"):
        found[which] = [None if v is None else (v, None) for v, times in draw(_runs) for _ in range(times)]
    for which in ("channels", "users") if counts else ():
        found[which] = [None if v is None else (v, None) for v, times in draw(_counts) for _ in range(times)]
    if not counts:
        longest = max(map(len, found.values()))
        found["users"] = [None if v is None else (v, None) for v, times in draw(_user_runs) for _ in range(times)]
        del found["users"][longest:]
    return found


@st.composite
def shuffled(draw: st.DrawFn, of: st.SearchStrategy[Windows] | None = None) -> list[Delivery]:
    """The final windows cut into answers of any length, in any order, each perhaps revised from something else first,
    some never fetched, some with windows that come late."""
    final = draw(final_windows() if of is None else of)
    chunks: list[tuple[int, Delivery]] = []
    for which, windows in final.items():
        at = 0
        while at < len(windows):
            size = draw(st.integers(1, 12))
            part = tuple(windows[at : at + size])
            fate = draw(st.sampled_from(["once", "once", "revised", "late", "lost", "unsettled"]))
            order = draw(st.integers(0, 100))
            if fate == "revised":
                other = tuple((draw(st.sampled_from(_LEVELS)), None) if w is not None else None for w in part)
                chunks.append((order - 50, Delivery(which, at, other, len(part))))
            if fate == "late":
                chunks.append((order - 50, Delivery(which, at, tuple(None for _ in part), draw(st.integers(0, 3)) % 2)))
            if fate != "lost":
                settled = 0 if fate == "unsettled" else len(part)
                chunks.append((order, Delivery(which, at, part, settled)))
            at += size
    return [delivery for _, delivery in sorted(chunks, key=lambda c: c[0])]


@st.composite
def in_order(draw: st.DrawFn, of: st.SearchStrategy[Windows] | None = None) -> list[Delivery]:
    """Looks as a client makes them: forward, each re-reading the two newest slots of the one before (which may
    have been absent or other then), with spans lost in between."""
    final = draw(final_windows() if of is None else of)
    streams: dict[str, list[Delivery]] = {}
    for which, windows in final.items():
        looks: list[Delivery] = []
        at = 0
        while at < len(windows):
            end = min(at + draw(st.integers(1, 20)), len(windows))
            start = max(at - 2, 0)
            part: list[tuple[float, float | None] | None] = list(windows[start:end])
            for fresh in range(max(len(part) - 2, 0), len(part)):
                if part[fresh] is not None and end < len(windows):
                    kept = part[fresh]
                    part[fresh] = draw(st.sampled_from([None, kept, kept, (_LEVELS[5], None)]))
            looks.append(Delivery(which, start, tuple(part), max(len(part) - 2, 0)))
            at = end + (draw(st.integers(1, 6)) if draw(st.integers(0, 4)) == 0 else 0)
        streams[which] = looks
    merged: list[Delivery] = []
    while any(streams.values()):
        which = draw(st.sampled_from([name for name, left in streams.items() if left]))
        merged.append(streams[which].pop(0))
    return merged


def summary(log: Sequence[Transition]) -> list[Mapping[str, Any]]:
    """Entries as plain data, for comparing."""
    return [
        {"seq": t.seq, "at": t.at, "state": t.state, "known_at": t.known_at, "cause": t.cause, "retracts": t.retracts}
        for t in log
    ]
