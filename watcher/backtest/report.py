"""What a backtest found, as the document of design section 8, and as sentences for a person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from watcher.app.account import AccountLoop
from watcher.app.report import Episode, dropped, episodes, requests
from watcher.backtest.memory import MemoryStore
from watcher.backtest.recording import Recording
from watcher.backtest.source import RecordedSource
from watcher.clock import DAY, rfc3339
from watcher.model import Query
from watcher.rules.engine import Engine

WEEK = 7 * DAY

Report = dict[str, Any]


def found(store: MemoryStore) -> list[Episode]:
    """Every firing episode that stands, with when it was told."""
    owed = {o.id: o for o in store.obligations()}
    return episodes(store.log, store.notifications(0.0), owed)


def wait_of(episode: Episode) -> float | None:
    """Seconds from `condition_at` to the first message that names it; None where none ever did.

    None is negative: a page whose alert was corrected to a later beginning was early, which makes up for no late one.
    """
    return None if episode.notified_at is None else max(0.0, episode.notified_at - episode.fired_at)


def document(
    store: MemoryStore,
    recording: Recording,
    queries: Sequence[Query],
    *,
    policy: str,
    engines: Sequence[Engine],
    loops: Sequence[AccountLoop] = (),
    sources: Sequence[RecordedSource] = (),
    ended_at: float,
) -> Report:
    """The report. `loops` and `sources` are empty where there was no budget."""
    told = found(store)
    widths = {query.id: query.width for query in queries}
    lost = sum((gap.span.end - gap.span.start) // widths[gap.query] for gap in store.gaps(0.0))
    waits = sorted(wait for episode in told if (wait := wait_of(episode)) is not None)
    weeks = (recording.end - recording.begin) / WEEK
    return {
        "alerts": [_alert(episode) for episode in told],
        "requests": requests([usage for loop in loops for usage in loop.ledger.usage(ended_at)]),
        "points": {
            "received": store.received,
            "judged": store.received - sum(dropped(engine) for engine in engines),
            "lost": lost,
        },
        "policy": policy,
        "gaps": {
            "broken": sum(source.broken for source in sources),
            "longest_seconds": round(max((gap for s in sources for gap in s.longest.values()), default=0.0), 1),
        },
        "looks": dict(sum((Counter(loop.stats.reasons) for loop in loops), Counter())),
        "pages": {
            "alerts": len(told),
            "per_week": round(len(waits) / weeks, 2),
            "messages_per_week": round(len(store.notifications(0.0)) / weeks, 2),
            "never_paged": len(told) - len(waits),
            "wait_seconds": {
                "mean": round(sum(waits) / len(waits), 1) if waits else None,
                "p95": round(waits[min(len(waits) - 1, int(0.95 * len(waits)))], 1) if waits else None,
                "max": round(waits[-1], 1) if waits else None,
            },
        },
        "looking_back": _looking_back(engines),
        "input": {
            "rows": recording.rows,
            "begin": rfc3339(recording.begin),
            "end": rfc3339(recording.end),
            "holes": recording.holes(queries),
            "series_without_rows": len(recording.silent(queries)),
            **recording.oddities.counts,
            "first_line": dict(recording.oddities.first),
        },
    }


def _looking_back(engines: Sequence[Engine]) -> list[Report]:
    """Each rule that looks back: at how many places, from when on it could judge at the first and at all of them."""
    found: dict[str, list[int | None]] = {}
    for engine in engines:
        for rule, _, since in engine.judged_from():
            found.setdefault(rule, []).append(since)
    return [
        {
            "rule": rule,
            "places": len(each),
            "never_judged": each.count(None),
            "judged_from": rfc3339(min((at for at in each if at is not None), default=None)),
            "everywhere_from": None if None in each else rfc3339(max(at for at in each if at is not None)),
        }
        for rule, each in found.items()
    ]


def _alert(episode: Episode) -> Report:
    wait = wait_of(episode)
    return episode.as_json() | {
        "condition_at": rfc3339(episode.fired_at),
        "wait_seconds": None if wait is None else round(wait, 3),
    }


def sentences(report: Report) -> Iterator[str]:
    """The same for a person."""
    source, pages, points = report["input"], report["pages"], report["points"]
    yield f"{source['rows']:,} rows from {source['begin']} to {source['end']}, policy {report['policy']}"
    for kind in ("holes", "series_without_rows", *source["first_line"]):
        if source[kind]:
            line = source["first_line"].get(kind)
            yield f"  {kind.replace('_', ' ')}: {source[kind]:,}" + (f", first on line {line}" if line else "")
    yield f"windows: {points['judged']:,} judged of {points['received']:,} received, {points['lost']:,} lost"
    for row in report["requests"]:
        yield (
            f"requests: {row['account']} {row['family']}: {row['total']:,} in all, "
            f"at most {row['spent']} of {row['limit']} a {row['window']}"
        )
    if report["looks"]:
        yield "looks: " + ", ".join(f"{why} {count:,}" for why, count in sorted(report["looks"].items()))
    waits = pages["wait_seconds"]
    yield f"alerts: {pages['alerts']}, {pages['per_week']:g} pages a week in {pages['messages_per_week']:g} messages"
    if waits["mean"] is not None:
        mean, most, longest = waits["mean"], waits["p95"], waits["max"]
        yield f"wait to the page: mean {mean:.0f} s, 95 % within {most:.0f} s, at most {longest:.0f} s"
    by_rule = Counter(alert["rule"] for alert in report["alerts"])
    for rule, count in by_rule.most_common():
        yield f"  {rule}: {count}"
    for rule in report["looking_back"]:
        if rule["never_judged"] == rule["places"]:
            yield f"{rule['rule']} was never judged: too little is known of the past; give it one with --past"
        else:
            never = f", but never at {rule['never_judged']} of {rule['places']} places"
            yield f"{rule['rule']} is judged from {rule['judged_from']} on{never if rule['never_judged'] else ''}"
    if "difference" in report:
        yield from _compared(report["difference"])


def _compared(difference: Report) -> Iterator[str]:
    """What another configuration would have done, beside this one."""
    first, second = difference["pages_per_week"]
    yield f"the other: {second:g} pages a week beside {first:g}; {difference['both']} alerts are paged by both"
    later = difference["second_later_seconds"]
    if later is not None:
        yield f"  for those it pages {abs(later):.0f} s {'later' if later > 0 else 'sooner'} on average"
    for key, whose in (("only_first", "this one"), ("only_second", "the other")):
        for rule, count in Counter(alert["rule"] for alert in difference[key]).most_common():
            yield f"  only {whose}: {rule}, {count}"
