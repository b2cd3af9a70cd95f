"""What a plan promises: per query and rule, from the same numbers by which `check` refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from watcher.clock import DAY
from watcher.config import Config, build
from watcher.errors import ConfigError
from watcher.plan import as_json, lines, plans
from watcher.yamlfile import loads

APP_ID = "0123456789abcdef0123456789abcdef"


def rule(name: str = "Freezing", signal: str = "video_freeze_ratio", **more: Any) -> dict[str, Any]:
    return {"alert": name, "signal": signal, "when": {"last": 1, "above": 0.05}, "for": "40s", **more}


def config(
    folder: Path,
    *rules: dict[str, Any],
    plan: str = "premium",
    route: Any = None,
    account: Any = None,
    **project: Any,
) -> Config:
    """One account with one project; the rules are all there is to ask for."""
    (folder / "rules.yaml").write_text(yaml.safe_dump({"rules": list(rules)}))
    document = {
        "accounts": [
            {
                "name": "acme",
                "provider": "agora",
                "plan": plan,
                "customer_id": "id",
                "customer_secret": "secret",
                "projects": [{"name": "classroom", "app_id": APP_ID, **project}],
                **(account or {}),
            }
        ],
        "targets": {"pager": "json://pager.invalid/"},
        "routes": [{"to": ["pager"], **(route or {})}],
        "rules": ["rules.yaml"],
        "state": "sqlite:///state.db",
    }
    return build(loads(yaml.safe_dump(document), str(folder / "config.yaml")), folder, pages=False)


def refusal(folder: Path, *rules: dict[str, Any], **more: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        config(folder, *rules, **more)
    return [f"{problem.what}; {problem.remedy}" for problem in caught.value.problems]


def test_a_signal_that_no_rule_asks_for_is_not_polled(tmp_path: Path) -> None:
    """One rule: its signal and users of both products, and the plan names what is left out."""
    (plan,) = plans(config(tmp_path, rule()))
    assert sorted({q.query.series[0].signal for q in plan.queries}) == ["users", "video_freeze_ratio"]
    assert len(plan.queries) == 4
    assert "network_delay_ratio" in plan.not_asked
    (more,) = plans(config(tmp_path, rule(), rule("Slow", "network_delay_ratio")))
    assert len(more.queries) == 6


def test_the_plan_spends_the_day_and_no_more(tmp_path: Path) -> None:
    """Looks a day add up to what the reserve leaves, promises to less, and no gap is longer than promised."""
    for size in ("premium", "enterprise"):
        (plan,) = plans(config(tmp_path, rule(), plan=size))
        allowed = 479 if size == "premium" else 1439
        looks = sum(q.per_day for q in plan.queries)
        assert 0.85 * allowed <= looks <= allowed
        assert sum(q.least_per_day for q in plan.queries) < 0.97 * allowed
        assert all(q.usual_gap <= q.longest_gap < q.query.reach for q in plan.queries)


def test_times_hold_delay_window_and_grouping(tmp_path: Path) -> None:
    """Mean, 95 % and worst in order; `group_wait` is part of each, `for` only of the time from the onset."""
    (plain,) = plans(config(tmp_path, rule()))
    (held,) = plans(config(tmp_path, rule(), route={"group_wait": "90s"}))
    (other,) = plans(config(tmp_path, rule(), route={"group_wait": "90s", "match": {"severity": ["critical"]}}))
    wait, later = plain.rules[0].wait, held.rules[0].wait
    assert 40 < wait.mean < wait.p95 < wait.worst
    assert (later.mean - wait.mean, later.worst - wait.worst) == (90, 90)
    assert other.rules[0].wait == wait
    assert plain.rules[0].onset.worst == pytest.approx(wait.worst + 40 + 20)
    gap = plain.account.gaps["acme/classroom/Native/video_freeze_ratio"]
    assert wait.worst == pytest.approx(gap + 40 + 20)


def test_what_a_rule_joins_is_looked_at_as_soon(tmp_path: Path) -> None:
    """`detect_within` bounds the users query of a rule that requires it, and leaves others alone."""
    users = "acme/classroom/Native/users"
    loose = config(tmp_path, rule(detect_within="25m")).accounts[0].gaps
    bound = config(tmp_path, rule(detect_within="25m", require={"users": {"above": 20}})).accounts[0].gaps
    assert loose["acme/classroom/Native/video_freeze_ratio"] <= 1500 - 60
    assert bound[users] <= 1500 - 60
    assert bound[users] <= loose[users]
    own_pools = {"quota_scope": "endpoint"}
    free = config(tmp_path, rule(detect_within="15m"), account=own_pools).accounts[0].gaps
    joined = config(tmp_path, rule(detect_within="15m", require={"users": {"above": 20}}), account=own_pools)
    assert free[users] > 900 - 60 >= joined.accounts[0].gaps[users]


@pytest.mark.parametrize("within", ["20m", "12m", "10m"])
def test_a_promise_that_can_be_kept_is_kept(tmp_path: Path, within: str) -> None:
    """The worst time of the plan is what `detect_within` allows, and the promises fit the day."""
    (plan,) = plans(config(tmp_path, rule(detect_within=within, require={"users": {"above": 20}}), plan="enterprise"))
    assert plan.rules[0].wait.worst <= (plan.rules[0].rule.detect_within or 0)
    assert sum(DAY / q.longest_gap for q in plan.queries) < 0.97 * 1439


def test_a_promise_that_cannot_be_kept_is_refused_with_the_ways_out(tmp_path: Path) -> None:
    """What it can take, and to raise it, drop a query or take a bigger plan; doing either is enough."""
    slow = rule("Slow", "network_delay_ratio")
    (told,) = refusal(tmp_path, rule(detect_within="10m"), slow)
    assert "Freezing promises a page within 10.0 min, but acme can take" in told
    assert "raise detect_within to" in told
    assert "requests a day" in told
    minutes = float(told.split("raise detect_within to ")[1].split(" min")[0])
    assert 10 < minutes < 30
    config(tmp_path, rule(detect_within=f"{int(minutes * 60) + 7}s"), slow)
    config(tmp_path, rule(detect_within="10m"), slow, plan="enterprise")


def test_dropping_what_is_named_is_enough(tmp_path: Path) -> None:
    """Where queries that no rule judges stand in the way, they are the cheapest to lose."""
    signals = ["users", "channels", "video_freeze_ratio", "network_delay_ratio"]
    (told,) = refusal(tmp_path, rule(detect_within="20m"), signals=signals)
    dropped = {part.rpartition("/")[2] for part in told.split("drop ")[1].split(", or ")[0].split(", ")}
    assert "channels" in dropped
    assert "video_freeze_ratio" not in dropped


def test_one_impossible_rule_does_not_blame_another(tmp_path: Path) -> None:
    """A promise that is kept with room is not named beside one that is not."""
    slow = rule("Slow", "network_delay_ratio", detect_within="60m")
    told = refusal(tmp_path, rule(detect_within="5m"), slow)
    assert [line.split()[0] for line in told] == ["Freezing"]


def test_the_document_and_the_table_say_the_same(tmp_path: Path) -> None:
    """`--json` has what the table shows, and a promise is its worst time."""
    found = plans(config(tmp_path, rule(detect_within="45m")))
    (account,) = as_json(found)["accounts"]
    (judged,) = account["rules"]
    assert judged["rule"] == "Freezing"
    assert judged["detect_within"] == 2700
    assert set(judged["wait_seconds"]) == {"mean", "p95", "worst"}
    assert {q["query"] for q in account["queries"]} == {q.query.id for q in found[0].queries}
    text = "\n".join(lines(found))
    for query in account["queries"]:
        assert query["query"] in text
    assert "Freezing" in text
    assert account["pools"][0]["promised_per_day"] < 479


def test_where_no_day_is_divided_looks_are_as_far_apart_as_makes_sense(tmp_path: Path) -> None:
    """Vonage's quotas are of 30 s: a look a minute, each request's nodes named, and no promise of looking less."""
    (tmp_path / "rules.yaml").write_text(
        yaml.safe_dump({"rules": [rule("Loss", "video_packet_loss_ratio", where={"provider": "vonage"})]})
    )
    document = {
        "accounts": [
            {
                "name": "rooms",
                "provider": "vonage",
                "projects": [{"name": "tutoring", "key": "12345678", "secret": "secret"}],
            }
        ],
        "targets": {"pager": "json://pager.invalid/"},
        "routes": [{"to": ["pager"]}],
        "rules": ["rules.yaml"],
        "state": "sqlite:///state.db",
    }
    found = plans(build(loads(yaml.safe_dump(document), str(tmp_path / "config.yaml")), tmp_path, pages=False))
    (account,) = as_json(found)["accounts"]
    stats = next(q for q in account["queries"] if q["query"].endswith("/stats"))
    assert stats["usual_gap_seconds"] == 60
    assert 60 <= stats["longest_gap_seconds"] < 120
    assert 1_000 < stats["nodes_per_request"] < 500_000
    assert "nodes a request" in "\n".join(lines(found))


def test_a_rule_of_several_signals_needs_them_all(tmp_path: Path) -> None:
    """Both signals are asked for, and the slower of them says how soon the rule can page."""
    both = {
        "alert": "Both",
        "all": [
            {"signal": "video_freeze_ratio", "when": {"last": 1, "above": 0.05}},
            {"signal": "network_delay_ratio", "when": {"avg": "2m", "above": 0.1}},
        ],
        "for": "40s",
    }
    (plan,) = plans(config(tmp_path, both))
    assert {"video_freeze_ratio", "network_delay_ratio"} <= {q.query.series[0].signal for q in plan.queries}
    (row,) = plan.rules
    assert row.wait.worst >= max(q.longest_gap for q in plan.queries if q.judged)
    assert row.onset.worst - row.wait.worst == 40 + 120
