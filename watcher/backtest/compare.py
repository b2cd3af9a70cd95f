"""From configurations and a file to the document that `watcher backtest` prints; and two of them side by side."""

from __future__ import annotations

from pathlib import Path

import anyio

from watcher import log
from watcher.backtest.recording import MAX_ROWS, Recording, read
from watcher.backtest.replay import PolicyName, replay
from watcher.backtest.report import Report, document
from watcher.backtest.source import hourly
from watcher.backtest.unlimited import judge_all
from watcher.config import Config

_MOST_SHOWN = 1_000  # alerts that only one of two configurations pages for


def backtest(
    config: Config,
    data: Path,
    *,
    policy: PolicyName = "adaptive",
    unlimited: bool = False,
    against: Config | None = None,
    past: Path | None = None,
    max_rows: int = MAX_ROWS,
) -> Report:
    """Run a configuration over a file, and another one where given. Raises `ConfigError` for a file that is not one.

    `past` holds what was recorded earlier (an export): of what lies before the data, rules know what was normal.
    """
    log.configure(level="critical")

    def report_of(one: Config) -> Report:
        recording, earlier = _recording(one, data, max_rows), _past(one, past, max_rows)
        return run(one, recording, policy=policy, unlimited=unlimited, past=earlier)

    report = report_of(config)
    if against is None:
        return report
    other = report_of(against)
    return report | {"against": other, "difference": difference(report, other)}


def run(
    config: Config,
    recording: Recording,
    *,
    policy: PolicyName = "adaptive",
    unlimited: bool = False,
    past: Recording | None = None,
) -> Report:
    """One configuration over one recording."""
    if unlimited:
        return anyio.run(lambda: _unlimited(config, recording, past))
    return anyio.run(lambda: _limited(config, recording, policy, past))


def difference(report: Report, other: Report) -> Report:
    """What only one of the two pages for, and what both do is found later or sooner in the other (seconds)."""
    ours, theirs = ({_key(a): a for a in r["alerts"] if a["notified_at"] is not None} for r in (report, other))
    both = ours.keys() & theirs.keys()
    later = [theirs[key]["wait_seconds"] - ours[key]["wait_seconds"] for key in both]
    return {
        "only_first": [ours[key] for key in ours if key not in both][:_MOST_SHOWN],
        "only_second": [theirs[key] for key in theirs if key not in both][:_MOST_SHOWN],
        "both": len(both),
        "second_later_seconds": round(sum(later) / len(later), 1) if later else None,
        "pages_per_week": [report["pages"]["per_week"], other["pages"]["per_week"]],
    }


def _key(alert: Report) -> tuple[str, str, tuple[tuple[str, str], ...]]:
    return alert["rule"], alert["condition_at"], tuple(sorted(alert["labels"].items()))


def _recording(config: Config, data: Path, max_rows: int) -> Recording:
    return read(data, [query for account in config.accounts for query in account.queries], max_rows=max_rows)


def _past(config: Config, path: Path | None, max_rows: int) -> Recording | None:
    if path is None:
        return None
    wanted = [query for account in config.accounts for query in (*account.queries, *hourly(account.past))]
    return read(path, wanted, max_rows=max_rows)


async def _limited(config: Config, recording: Recording, policy: PolicyName, past: Recording | None) -> Report:
    done = await replay(config, recording, policy=policy, past=past)
    return document(
        done.store,
        recording,
        [query for account in config.accounts for query in account.queries],
        policy=policy,
        engines=[loop.engine for loop in done.loops],
        loops=done.loops,
        sources=done.sources,
        ended_at=done.ended_at,
    )


async def _unlimited(config: Config, recording: Recording, past: Recording | None) -> Report:
    messages, engine, ended_at = await judge_all(config, recording, past)
    return document(
        messages.store,
        recording,
        [query for account in config.accounts for query in account.queries],
        policy="unlimited",
        engines=[engine],
        ended_at=ended_at,
    )
