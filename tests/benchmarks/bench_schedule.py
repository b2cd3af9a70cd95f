"""What the adaptive schedule is worth: waits beside five other ways to spend the same requests, on the same traces.

    (a) even       every query in turn, staggered (`--policy even`, through the whole backtest as the adaptive one)
    (b) open loop  rates with the square root of the true load, users at their longest gap, no evidence
    (c) clairvoyant looks exactly when there is something to page, and only then
    (d) scraping   the newest point at a fixed interval, `for` as Prometheus does it
    (e) dark       two requests a minute until the day's are spent

(b) to (e) are worked out from the conditions and the instants of their looks; an alert never paged counts as 7,200 s.
`python -m tests.benchmarks.bench_schedule` prints the table; `--seeds`, `--days` and `--only` narrow it.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tests.benchmarks import traces, worlds
from tests.benchmarks.traces import EPOCH, LINES, Trace, load
from watcher.backtest.compare import run
from watcher.clock import DAY, MINUTE
from watcher.config import Config
from watcher.model import USERS, Floats, Query, Series

NEVER = 7200.0
TUNED_ON = (1, 2, 3)
VERIFIED_ON = (11, 12, 13)
BUSY = tuple([("premium", n, "day") for n in (5, 7, 9)] + [("enterprise", n, "day") for n in (5, 9, 13)])


class Condition(NamedTuple):
    """One alert that an observer of everything would page: what, and the event time its condition held long enough."""

    series: Series
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Waits by condition, in the order of the conditions, and of the first page of each incident."""

    waits: Floats
    first: Floats
    missed: int

    @property
    def mean(self) -> float:
        return float(self.waits.mean())

    @property
    def p95(self) -> float:
        return float(np.quantile(self.waits, 0.95))

    @property
    def mean_first(self) -> float:
        return float(self.first.mean())


@dataclass(slots=True, kw_only=True)
class Result:
    """One plan, number of queries and shape, over several seeds."""

    name: str
    outcomes: dict[str, list[Outcome]] = field(default_factory=dict)
    used: list[float] = field(default_factory=list)  # share of the requests that the days allow
    broken: int = 0  # promised gaps
    over: int = 0  # requests over a quota
    lost: int = 0  # windows
    wrong: int = 0  # alerts that an observer of everything would not have, or has and the run has not
    longest: float = 0.0

    def share(self, policy: str, of: str, what: str) -> float:
        """Mean of a figure over seeds, as a share of another policy's."""
        ours, theirs = (np.mean([getattr(o, what) for o in self.outcomes[p]]) for p in (policy, of))
        return float(ours / theirs)


def measure(plan: str, queries: int, shape: str, *, seeds: Sequence[int], days: int) -> Result:
    """Run everything on the traces of these seeds."""
    result = Result(name=f"{plan} {queries} {shape}")
    with tempfile.TemporaryDirectory() as folder:
        config = worlds.config(Path(folder), plan=plan, queries=queries)
        for seed in seeds:
            trace = traces.generate(shape, seed=seed, days=days, queries=queries)
            _one(result, config, trace, shape)
    return result


def _one(result: Result, config: Config, trace: Trace, shape: str) -> None:
    recording = worlds.recording(trace)
    observed = run(config, recording, unlimited=True)
    conditions = [_condition(alert) for alert in observed["alerts"]]
    found = {policy: run(config, recording, policy=policy) for policy in ("adaptive", "even")}
    _check(result, config, trace, found["adaptive"], observed)
    if not conditions:
        return
    groups = _groups(trace, conditions)
    waits = {policy: _waits(report, conditions) for policy, report in found.items()}
    waits |= _others(
        config.accounts[0].queries, config.accounts[0].pools[0].quotas[1].allowed, trace, shape, conditions
    )
    for policy, column in waits.items():
        column = np.minimum(column, NEVER)
        first = np.array([_first(column, group, conditions) for group in groups])
        outcome = Outcome(waits=column, first=first, missed=int((column >= NEVER).sum()))
        result.outcomes.setdefault(policy, []).append(outcome)


def _condition(alert: Mapping[str, Any]) -> Condition:
    labels = alert["labels"]
    signal = next(s for s in LINES if f"Bad{s.title().replace('_', '')}" == alert["rule"])
    series = Series(labels["account"], labels["provider"], labels["project"], labels["product"], "", signal)
    return Condition(series, _unix(alert["condition_at"]))


def _unix(text: str) -> float:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def _groups(trace: Trace, conditions: Sequence[Condition]) -> list[list[int]]:
    """Positions of the conditions by incident: the newest one on its series; lone ones for themselves."""
    found: dict[int, list[int]] = {}
    for position, condition in enumerate(conditions):
        began = [
            n
            for n, i in enumerate(trace.incidents)
            if i.begins.get(condition.series, math.inf) < condition.at <= i.end + 60
        ]
        found.setdefault(began[-1] if began else -1 - position, []).append(position)
    return list(found.values())


def _first(waits: Floats, group: Sequence[int], conditions: Sequence[Condition]) -> float:
    began = min(conditions[i].at for i in group)
    return min(min(conditions[i].at + float(waits[i]) for i in group) - began, NEVER)


def _waits(report: Mapping[str, Any], conditions: Sequence[Condition]) -> Floats:
    told = {_condition(a): a["wait_seconds"] for a in report["alerts"] if a["wait_seconds"] is not None}
    return np.array([told.get(condition, NEVER) for condition in conditions])


def _check(
    result: Result, config: Config, trace: Trace, report: Mapping[str, Any], observed: Mapping[str, Any]
) -> None:
    """The promises that no average may buy."""
    account = config.accounts[0]
    wanted = {(_condition(a)) for a in observed["alerts"]}
    paged = {(_condition(a)) for a in report["alerts"] if a["wait_seconds"] is not None}
    result.wrong += len(wanted ^ paged)
    result.lost += report["points"]["lost"]
    result.over += sum(max(0, row["spent"] - row["limit"] + 1) for row in report["requests"])
    result.broken += report["gaps"]["broken"]
    day = next(row for row in report["requests"] if row["window"] == "day")
    allowed = account.pools[0].quotas[1].allowed
    result.used.append(day["total"] / (allowed * (trace.end - trace.start) / DAY))


# ── the other ways ───────────────────────────────────────────────────────────────────────────────────────────────────


def _others(
    queries: Sequence[Query], allowed: int, trace: Trace, shape: str, conditions: Sequence[Condition]
) -> dict[str, Floats]:
    judged = [q for q in queries if q.series[0].signal in LINES]
    context = len(queries) - len(judged)
    reach, delay = queries[0].reach, queries[0].delay
    days = (trace.end - trace.start) // DAY
    open_loop: dict[Series, list[Floats]] = {}
    dark: dict[Series, list[float]] = {q.series[0]: [] for q in queries}
    for day in range(days):
        begin = float(EPOCH + day * DAY)
        for series, looks in _open_loop(judged, allowed - context * DAY / reach, reach, shape, begin).items():
            open_loop.setdefault(series, []).append(looks)
        for n in range(allowed):
            dark[queries[n % len(queries)].series[0]].append(begin + n // 2 * MINUTE + n % 2)
    every = len(queries) * DAY / allowed
    scrapes = {q.series[0]: trace.start + i * DAY / allowed for i, q in enumerate(queries)}
    return {
        "open_loop": _by_looks({s: np.concatenate(looks) for s, looks in open_loop.items()}, conditions, delay),
        "clairvoyant": _clairvoyant(conditions, delay),
        "scraping": np.array([_scraped(trace, c, scrapes[c.series], every, delay) for c in conditions]),
        "dark": _by_looks({s: np.array(looks) for s, looks in dark.items()}, conditions, delay, kept=reach),
    }


def _open_loop(judged: Sequence[Query], budget: float, reach: float, shape: str, begin: float) -> dict[Series, Floats]:
    """Looks of one day at rates that know the load of every minute, spread out among the queries."""
    minutes: Floats = begin + np.arange(0.0, DAY, MINUTE) + MINUTE / 2
    share = load(minutes, shape)
    risk = np.sqrt(share)
    low, high = 0.0, 1.0
    rates = np.zeros(len(minutes))
    for _ in range(60):  # bisection: simple, and not the schedule's own way
        k = (low + high) / 2
        rates = np.where(share > 0, np.maximum(k * risk, 1 / reach), 0.0)
        low, high = (k, high) if len(judged) * rates.sum() * MINUTE < budget else (low, k)
    looks: dict[Series, Floats] = {}
    for n, query in enumerate(judged):
        passed = np.concatenate([[0.0], np.cumsum(rates) * MINUTE]) + n / len(judged)
        turns = np.arange(math.ceil(passed[0]), math.floor(passed[-1]) + 1)
        looks[query.series[0]] = np.interp(turns, passed, begin + np.arange(0, DAY + 1, MINUTE))
    return looks


def _by_looks(
    looks: Mapping[Series, Floats], conditions: Sequence[Condition], delay: float, kept: float = math.inf
) -> Floats:
    """Each condition waits for the first look at its series that can see it; gone where that comes too late."""
    waits = []
    for series, at in conditions:
        times = looks[series]
        n = int(np.searchsorted(times, at + delay + 1))
        wait = float(times[n]) - at if n < len(times) else NEVER
        waits.append(wait if wait <= kept else NEVER)
    return np.array(waits)


def _clairvoyant(conditions: Sequence[Condition], delay: float) -> Floats:
    """As soon as it can be seen, two a minute at most."""
    waits, sent = [], [-math.inf, -math.inf]
    for _, at in sorted(conditions, key=lambda c: c.at):
        now = max(at + delay + 1, sent[-2] + MINUTE + 10)
        sent.append(now)
        waits.append(now - at)
    return np.array(waits)


def _scraped(trace: Trace, condition: Condition, first: float, every: float, delay: float) -> float:
    """Two scrapes in a row that see a bad newest point make `for: 40s` fire at the second."""
    start, value = trace.columns[condition.series]
    line = LINES[condition.series.signal]
    turn = math.ceil((condition.at - 60 - first) / every)
    bad_before = False
    for n in range(turn, turn + 3):
        at = first + n * every
        position = int(np.searchsorted(start + traces.WIDTH, at - delay - 1, side="right")) - 1
        newest = float(value[position]) if position >= 0 and at - start[position] < 300 else math.nan
        bad = newest < line if line > 0.5 else newest > line
        if bad and bad_before and at >= condition.at:
            return at - condition.at
        bad_before = bad
    return NEVER


# ── the table ────────────────────────────────────────────────────────────────────────────────────────────────────────

POLICIES = ("adaptive", "even", "open_loop", "clairvoyant", "scraping", "dark")


def line(result: Result) -> str:
    """One row: shares of (a), then absolute means."""
    if not result.outcomes:
        kept = f"broken {result.broken} over {result.over} lost {result.lost}"
        return f"{result.name:24} used {np.mean(result.used):.3f} {kept}"
    cells = [f"{result.share('adaptive', 'even', what):.2f}" for what in ("mean", "mean_first", "p95")]
    cells += [f"{result.share('adaptive', 'open_loop', what):.2f}" for what in ("mean", "mean_first")]
    means = [f"{np.mean([o.mean for o in result.outcomes[p]]):6.0f}" for p in POLICIES]
    missed = sum(o.missed for o in result.outcomes["adaptive"])
    return (
        f"{result.name:24} {' '.join(cells)} | {' '.join(means)} | used {np.mean(result.used):.3f} "
        f"broken {result.broken} over {result.over} lost {result.lost} missed {missed} wrong {result.wrong}"
    )


HEAD = f"{'':24} {'mean first p95 of (a), mean first of (b)':24} | means s: " + " ".join(POLICIES)


def table(seeds: Sequence[int], days: int, only: str = "") -> None:
    """Print every row."""
    rows = [*BUSY, ("premium", 7, "day_quiet"), ("enterprise", 9, "day_quiet")]
    rows += [
        (plan, 7, shape) for shape in ("flat", "bursty", "adversarial", "empty") for plan in ("premium", "enterprise")
    ]
    print(f"seeds {list(seeds)}, {days} days each\n{HEAD}")
    for plan, queries, shape in rows:
        if only in f"{plan} {queries} {shape}":
            print(line(measure(plan, queries, shape, seeds=seeds, days=days)), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, nargs="+", default=[*TUNED_ON, *VERIFIED_ON])
    parser.add_argument("--days", type=int, default=14)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    table(options.seeds, options.days, options.only)

__all__ = ["USERS", "measure", "table"]
