"""What users write for Vonage, what `check` refuses, and what queries and pools follow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from tests.providers.vonage.stage import account, unified
from watcher.config import build, secrets_missing
from watcher.errors import ConfigError
from watcher.providers.vonage.queries import SIGNALS, pools, queries
from watcher.providers.vonage.settings import check
from watcher.schedule.feasibility import overspent, promised_gap
from watcher.secret import Secret
from watcher.yamlfile import loads


def test_addresses_follow_the_credential() -> None:
    """A key goes to the legacy hosts, an application to the unified ones; base_url stands in for both."""
    own = account({}, unified(), base_url=None)
    legacy, application = own.projects
    assert own.insights_url(legacy) == "https://insights.opentok.com/graphql"
    assert own.rest_url(legacy) == "https://api.opentok.com"
    assert own.insights_url(application) == "https://tools.vonage.com/video/insights-api/graphql"
    assert own.rest_url(application) == "https://video.api.vonage.com"
    stand_in = account({}, unified(), base_url="http://127.0.0.1:1234")
    assert [stand_in.insights_url(p) for p in stand_in.projects] == [
        "http://127.0.0.1:1234/graphql",
        "http://127.0.0.1:1234/video/insights-api/graphql",
    ]


@pytest.mark.parametrize(
    ("projects", "words"),
    [
        (({"secret": None},), "neither"),
        (({"private_key": Secret.of("x")},), "neither"),
        (({}, {"name": "other"}), "key 12345678 is used twice"),
        (({}, unified(name="classroom")), "name classroom is used twice"),
        (({"channels": {"a": "2_MX4", "b": "2_MX4"}},), "two names"),
        (({"channels": {f"c{i}": f"2_MX4{i}" for i in range(51)}},), "51 channels"),
        (({"daily": {"group_by": "country"}},), "belong together"),
    ],
)
def test_what_cannot_work_is_refused(projects: tuple[dict[str, Any], ...], words: str) -> None:
    """Each with its reason, before anything is asked."""
    faults = check(account(*projects), SIGNALS)
    assert any(words in fault.what for fault in faults), faults
    assert all(fault.remedy for fault in faults)


@pytest.mark.parametrize(
    "project",
    [{"key": "12x"}, {"sessions": ("a b",)}, {"channels": {"x": "no/slash"}}, {"daily": {"names": ("U S",)}}],
)
def test_what_reads_badly_is_refused(project: dict[str, Any]) -> None:
    """Keys, session ids and group names have forms."""
    with pytest.raises(ValidationError):
        account(project)


def test_three_queries_at_most_for_each_project() -> None:
    """Statistics always, presence where there is something to hear or name, days where some rule wants them."""
    ids = [q.id for q in queries(account({"channels": {"lecture": "2_MX4"}}, unified(daily=None)), SIGNALS)]
    assert ids == ["acme/classroom/stats", "acme/classroom/live", "acme/classroom/daily", "acme/clinic/stats"]
    assert [q.id for q in queries(account(plan="insights"), SIGNALS)] == ["acme/classroom/daily"]
    assert [q.id for q in queries(account(), frozenset({"users"}))] == ["acme/classroom/stats"]


def test_one_address_is_shared_by_all_projects() -> None:
    """Each statistics query spends in its key's pool and in that of the egress address, 99 in any 30 s."""
    own = account({}, unified())
    by_id = {pool.id: pool for pool in pools(own)}
    for query in queries(own, SIGNALS):
        if query.id.endswith("/stats"):
            assert "acme/insights" in query.pools
            assert len(query.pools) == 2
        assert set(query.pools) <= set(by_id)
    assert [q.allowed for q in by_id["acme/insights"].quotas] == [99]


def test_a_plan_that_cannot_be_kept_is_refused() -> None:
    """More projects than one address can serve: the arithmetic says so before a window is lost."""

    def many(count: int, sessions: int) -> Any:
        return account(
            *(
                {"name": f"p{i}", "key": str(10_000 + i), "expected": {"sessions": sessions, "publishers": 10}}
                for i in range(count)
            )
        )

    good, bad = many(2, 300), many(50, 100_000)
    assert overspent(queries(good, SIGNALS), pools(good)) == ()
    gaps = promised_gap(queries(good, SIGNALS), pools(good))
    stats = [gap for query, gap in gaps.items() if query.id.endswith("/stats")]
    assert max(stats) < 200
    assert max(promised_gap(queries(bad, SIGNALS), pools(bad)).values()) > 1500


def config(folder: Path, *accounts: dict[str, Any]) -> Any:
    (folder / "rules.yaml").write_text(
        "rules: [{alert: A, signal: video_packet_loss_ratio, when: {last: 1, above: 5%},"
        " require: {users: {above: 1}}, severity: critical}]"
    )
    data = {
        "accounts": list(accounts),
        "targets": {"oncall": "json://localhost/"},
        "routes": [{"to": ["oncall"]}],
        "rules": ["rules.yaml"],
        "state": "sqlite:///state.db",
    }
    return build(loads(yaml.safe_dump(data).replace("'!env", "!env").replace("NAME'", "NAME"), "config.yaml"), folder)


def stanza(name: str, key: str, secret: str = "s" * 40) -> dict[str, Any]:
    return {"name": name, "provider": "vonage", "projects": [{"name": "p", "key": key, "secret": secret}]}


def test_there_is_one_account(tmp_path: Path) -> None:
    """Two accounts would each spend the address's whole quota: refused, with the way out."""
    with pytest.raises(ConfigError, match="make its projects projects of one"):
        config(tmp_path, stanza("one", "1"), stanza("two", "2", "t" * 40))


def test_secrets_inside_projects_are_found(tmp_path: Path) -> None:
    """A missing one is named with its place, a literal one is warned of."""
    warned = config(tmp_path, stanza("one", "1"))
    assert [w.what for w in warned.warnings if "secret" in w.what] == ["secret stands in the file"]
    missing = config(tmp_path, stanza("one", "1", "!env NO_SUCH_NAME"))
    (problem,) = secrets_missing(missing)
    assert "NO_SUCH_NAME" in problem.what
    assert problem.line > 0
