"""The backtest tells what the daemon would have done: held against an observer of everything, and against its rules."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.benchmarks import traces, worlds
from tests.benchmarks.bench_baselines import trailing
from tests.benchmarks.traces import EPOCH
from watcher.app.report import Episode
from watcher.backtest.compare import difference, run
from watcher.backtest.recording import Column, Recording
from watcher.backtest.replay import PolicyName
from watcher.backtest.report import sentences, wait_of
from watcher.backtest.source import past_of
from watcher.config import Config
from watcher.detection import worst
from watcher.model import Series

DAYS = 2


def unix(text: str) -> float:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def found(report: dict[str, Any]) -> set[tuple[str, str, str]]:
    """Which alerts, by rule, product and `condition_at`."""
    return {(a["rule"], a["labels"]["product"], a["condition_at"]) for a in report["alerts"]}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Seven queries on Premium."""
    return worlds.config(tmp_path_factory.mktemp("config"), plan="premium", queries=7)


@pytest.fixture(scope="module")
def recording() -> Recording:
    """Two days of the day curve."""
    return worlds.recording(traces.generate("day", seed=5, days=DAYS, queries=7))


@pytest.mark.parametrize("policy", ["adaptive", "even"])
def test_the_same_alerts_as_an_observer_of_everything(config: Config, recording: Recording, policy: PolicyName) -> None:
    """Every condition that `--unlimited` finds is paged, no other is, within the promise and the budget."""
    report, observed = run(config, recording, policy=policy), run(config, recording, unlimited=True)
    assert found(report) == found(observed)
    assert len(observed["alerts"]) >= 10
    assert report["points"]["lost"] == 0
    assert report["points"]["judged"] == report["points"]["received"] <= recording.rows
    for row in report["requests"]:
        assert row["spent"] < row["limit"], row
    account = config.accounts[0]
    bound = max(
        worst(rule, q, account.queries, account.gaps, routes=config.alerts.routes, undecided_for=300)
        for rule in config.rules
        for q in account.queries
    )
    waits = [a["wait_seconds"] for a in report["alerts"]]
    assert all(account.queries[0].delay <= wait for wait in waits)
    if policy == "adaptive":
        assert max(waits) <= bound
        assert report["gaps"]["broken"] == 0


def test_the_report_is_the_contract(config: Config, recording: Recording) -> None:
    """Fields, times and their arithmetic as design section 8 has them."""
    report = run(config, recording)
    alert = report["alerts"][0]
    assert {"rule", "labels", "starts_at", "fired_at", "notified_at", "ended_at", "delivered_to"} <= alert.keys()
    assert alert["condition_at"] == alert["fired_at"]
    assert alert["delivered_to"] == ["pager"]
    assert alert["wait_seconds"] == pytest.approx(unix(alert["notified_at"]) - unix(alert["condition_at"]), abs=1.001)
    assert unix(alert["condition_at"]) - unix(alert["starts_at"]) == 40
    assert {row["window"] for row in report["requests"]} == {"minute", "day"}
    for row in report["requests"]:
        assert {"account", "family", "window", "spent", "limit", "total", "refused_by_vendor"} <= row.keys()
    assert set(report["points"]) == {"received", "judged", "lost"}
    assert sum(report["looks"].values()) == report["requests"][0]["total"]


def test_unlimited_waits_for_nothing(config: Config, recording: Recording) -> None:
    """Every page leaves at its event time, and nothing is requested."""
    report = run(config, recording, unlimited=True)
    assert {a["wait_seconds"] for a in report["alerts"]} == {0}
    assert report["requests"] == []
    assert report["points"]["received"] == recording.rows


def test_the_same_run_twice_is_the_same(config: Config, recording: Recording) -> None:
    """Nothing depends on the machine's clock or on chance."""
    assert run(config, recording) == run(config, recording)


def test_two_configurations_beside_each_other(config: Config, recording: Recording, tmp_path: Path) -> None:
    """A bigger plan pages for the same, sooner; a rule that is gone is named as only the first's."""
    bigger = worlds.config(tmp_path, plan="enterprise", queries=7)
    first, second = run(config, recording), run(bigger, recording)
    compared = difference(first, second)
    assert compared["both"] == len(first["alerts"]) == len(second["alerts"])
    assert compared["only_first"] == compared["only_second"] == []
    assert compared["second_later_seconds"] < 0
    fewer = replace(config, rules=config.rules[1:])
    without = difference(first, run(fewer, recording))
    assert {a["rule"] for a in without["only_first"]} == {config.rules[0].name}


def test_nobody_in_calls_costs_only_the_users_queries(config: Config) -> None:
    """Two empty days: users at their promised gap and at most 5 % more, nothing paged, nothing lost."""
    empty = worlds.recording(traces.generate("empty", seed=1, days=DAYS, queries=7))
    report = run(config, empty)
    gaps = [gap for query, gap in config.accounts[0].gaps.items() if query.endswith("/users")]
    allowed = 1.05 * sum(DAYS * 86_400 / gap for gap in gaps) + len(config.accounts[0].queries) + len(gaps)
    assert report["requests"][0]["total"] <= allowed
    assert report["alerts"] == []
    assert report["points"]["lost"] == report["gaps"]["broken"] == 0


def test_a_silence_of_the_vendor_is_a_gap_and_not_health(config: Config, recording: Recording) -> None:
    """Two hours without rows, in which an alert stood: it is neither resolved by silence nor fired again."""
    series = Series("acme", "agora", "classroom", "Native", "", "video_freeze_ratio")
    column = recording.columns[series]
    start, value = column.start, column.value.copy()
    noon = EPOCH + 12 * 3600
    value[(start >= noon) & (start < noon + 600)] = 0.5
    keep = (start < noon + 600) | (start >= noon + 7800)
    cut = replace(recording, columns={**recording.columns, series: Column(start[keep], value[keep])})
    for report in (run(config, cut), run(config, cut, unlimited=True)):
        firing = [
            a
            for a in report["alerts"]
            if a["rule"] == "BadVideoFreezeRatio"
            and a["labels"]["product"] == "Native"
            and unix(a["fired_at"]) <= noon + 7800
            and (a["ended_at"] is None or unix(a["ended_at"]) > noon + 60)
        ]
        (standing,) = firing
        assert unix(standing["fired_at"]) <= noon + 100
        assert unix(standing["ended_at"]) >= noon + 7800


def test_one_look_sees_no_more_than_the_vendor_shows(config: Config, recording: Recording) -> None:
    """No page leaves before the vendor's delay is over, and the first look is no clairvoyant."""
    report = run(config, recording)
    assert min(a["wait_seconds"] for a in report["alerts"]) >= 40
    assert np.mean([a["wait_seconds"] for a in report["alerts"]]) > 60


# ── rules that look back ─────────────────────────────────────────────────────────────────────────────────────────────


def steady(of: Series, begin: int, end: int, value: float) -> Recording:
    """One series that never moves."""
    starts = np.arange(begin, end, 20, dtype=np.int64)
    return Recording(columns={of: Column(starts, np.full(len(starts), value))}, begin=begin, end=end, rows=len(starts))


@pytest.mark.parametrize("unlimited", [False, True])
def test_a_backtest_knows_what_was_recorded_before_and_says_from_when_it_could_judge(
    config: Config, unlimited: bool
) -> None:
    """An hour of 9 % after hours of 1 %: with the past it is found from the first windows on, without it never."""
    of = next(s for q in config.accounts[0].queries for s in q.series if s.signal == "video_freeze_ratio")
    begin = EPOCH // 3600 * 3600
    before, data = steady(of, begin - 4 * 3600, begin, 0.01), steady(of, begin, begin + 3000, 0.09)
    looking = replace(config, rules=(trailing(),))
    alone = run(looking, data, unlimited=unlimited)
    assert alone["alerts"] == []
    (said,) = alone["looking_back"]
    assert (said["places"], said["never_judged"], said["judged_from"]) == (2, 2, None)
    assert any("never judged" in line for line in sentences(alone))
    known = run(looking, data, unlimited=unlimited, past=before)
    (said,) = known["looking_back"]
    assert (said["rule"], said["never_judged"], unix(said["judged_from"])) == ("trailing", 1, begin + 20)
    assert said["everywhere_from"] is None  # there are no rows of the other product
    assert [a["rule"] for a in known["alerts"]] == ["trailing"]
    assert begin < unix(known["alerts"][0]["condition_at"]) < begin + 900


def test_a_past_that_reaches_into_the_data_is_cut_there(config: Config) -> None:
    """What is to be judged is read from the data alone."""
    of = next(s for q in config.accounts[0].queries for s in q.series if s.signal == "video_freeze_ratio")
    begin = EPOCH // 3600 * 3600
    points = past_of(steady(of, begin - 600, begin + 600, 0.5), config.accounts[0].queries, begin=begin)(of, 0)
    assert points is not None
    assert (len(points), int(points.start[-1])) == (30, begin - 20)


@pytest.mark.parametrize(("notified", "wait"), [(None, None), (160.0, 60.0), (100.0, 0.0), (40.0, 0.0)])
def test_a_page_that_was_early_makes_up_for_no_late_one(notified: float | None, wait: float | None) -> None:
    """Where a correction moved the beginning behind its page, the wait is none, and not less than none."""
    episode = Episode(alert_id="a", rule="R", labels={}, starts_at=90, fired_at=100, notified_at=notified)
    assert wait_of(episode) == wait
