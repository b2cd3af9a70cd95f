"""An Agora stanza as users write it: every fault with its place, and the queries and pools that follow from it."""

from __future__ import annotations

import pytest

from tests.providers.doubles import APP, account
from watcher.budget.quota import Quota
from watcher.errors import ConfigError
from watcher.model import SIGNALS
from watcher.providers.agora import AGORA
from watcher.providers.agora.metrics import METRICS
from watcher.providers.agora.settings import AgoraAccount
from watcher.providers.registry import PROVIDERS
from watcher.yamlfile import loads

STANZA = f"""\
name: acme
provider: agora
plan: premium
customer_id: !env AGORA_CUSTOMER_ID
customer_secret: !env AGORA_CUSTOMER_SECRET
projects:
  - {{name: classroom, app_id: {APP}, products: [Native, WebRTC]}}
"""
ALL = frozenset(AGORA.signals)
REALTIME = frozenset(METRICS)


def problems(text: str) -> list[str]:
    """What parsing a stanza finds."""
    with pytest.raises(ConfigError) as caught:
        loads(text, "c.yaml").parse(AgoraAccount)
    return [str(problem) for problem in caught.value.problems]


def faults(**changes: object) -> list[str]:
    """What checking an account finds, as `place: what`."""
    return [f"{'.'.join(map(str, f.loc))}: {f.what}" for f in AGORA.check(account(**changes), ALL)]


def test_a_stanza_is_read_without_its_secrets() -> None:
    """The example of the documentation parses, passes its check, and resolves nothing."""
    document = loads(STANZA)
    provider = PROVIDERS[document.data["provider"]]
    settings = document.parse(provider.settings)
    assert provider.check(settings, ALL) == ()
    assert "***" in repr(settings)
    assert len(provider.queries(settings, REALTIME)) == 13
    days = provider.queries(settings, ALL)[13:]
    assert len(days) == 5 * 2 - 1 + 8  # five rates of two products, without Web's audio; eight counts of the project
    assert all(q.id.startswith(("acme/classroom/daily ", "acme/classroom/daily_")) for q in days)


def test_what_the_registry_offers_agrees_with_the_words_of_the_program() -> None:
    """Signals are known ones, so are those that may be missing, and each name is its own settings' word."""
    for name, provider in PROVIDERS.items():
        assert provider.signals <= set(SIGNALS)
        assert set(provider.missing) <= set(SIGNALS)
        assert provider.settings.model_fields["provider"].annotation.__args__ == (name,)
    assert "no live packet loss" in AGORA.missing["video_packet_loss_ratio"]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("name: acme", "name: a/b", "c.yaml:1:7: name 'a/b' is not a name, use letters, digits, _ . and -, at most 63"),
        ("name: acme", "name: ''", "c.yaml:1:7: name '' is not a name, use letters, digits, _ . and -, at most 63"),
        ("premium", "gold", "c.yaml:3:7: plan has an unknown value"),
        (APP, "0123", "c.yaml:7:31: projects[0].app_id is not an App ID, copy its 32 hexadecimal digits"),
        (APP, "g" * 32, "c.yaml:7:31: projects[0].app_id is not an App ID"),
        ("Native,", "Android,", "c.yaml:7:76: projects[0].products[0] has an unknown value"),
        ("[Native, WebRTC]", "[]", "projects[0].products is empty, name at least one"),
        ("[Native, WebRTC]", "[Native, Native]", "projects[0].products names Native twice, name it once"),
        ("products: [Native, WebRTC]", "signals: [video_packet_loss_ratio]", "signals[0] has an unknown value"),
        ("products: [Native, WebRTC]", "channels: ['']", "channels[0] is not a channel name"),
        ("products: [Native, WebRTC]", "channels: [a, a]", "channels names a twice"),
        (STANZA[STANZA.index("projects:") :], "projects: []", "c.yaml:6:11: projects lists 0, list 1 to 100 of them"),
        ("name: acme", "name: acme\nregion: eu", "region has an unknown value"),
        ("name: acme", "name: acme\nneighbour: mars-1", "neighbour has an unknown value"),
        ("name: acme", "name: acme\nbase_url: api.example.com", "base_url is not an address, write it like https://"),
        ("name: acme", "name: acme\nbase_url: https://user:pw@example.com", "base_url is not an address"),
        ("name: acme", "name: acme\nbase_url: https://example.com/?key=1", "base_url is not an address"),
        ("name: acme", "name: acme\nbase_url: 'http://[bad'", "base_url is not an address"),
        ("name: acme", "name: acme\nbase_url: 'http://host:99999'", "base_url is not an address"),
        ("name: acme", "name: acme\nbase_url: https://api..example.com", "base_url is not an address"),
        ("name: acme", "name: acme\nbase_urls: []", "base_urls is empty"),
        ("name: acme", "name: acme\ndelay: 40", "delay is not a duration, write it like 90s"),
        ("name: acme", "name: acme\nmargin: -1", "margin: input should be greater than or equal to 0"),
        (
            "name: acme",
            "name: acme\nquotas: {realtime: {per_minute: 0}}",
            "quotas.realtime.per_minute: input should be",
        ),
        ("name: acme", "name: acme\nquotas: {realtime: {per_hour: 5}}", "unknown key quotas.realtime.per_hour"),
        ("name: acme", "name: acme\nquota_scope: all", "quota_scope has an unknown value"),
        ("customer_id: !env AGORA_CUSTOMER_ID\n", "", "customer_id is missing, add `customer_id:`"),
    ],
)
def test_faults_of_one_field_have_their_place(old: str, new: str, expected: str) -> None:
    """Each is one line that starts with file, line and column and says what to write."""
    assert old in STANZA
    lines = problems(STANZA.replace(old, new))
    assert len(lines) == 1
    assert expected in lines[0]


@pytest.mark.parametrize("plan", ["starter", "standard"])
def test_plans_without_a_real_time_api_are_refused_with_the_reason(plan: str) -> None:
    """They are known words; they have no pool and no query."""
    (fault,) = faults(plan=plan)
    assert fault.startswith(f"plan: plan {plan} has no RE" if plan == "starter" else f"plan: plan {plan} has no real-")
    assert ("samples of calls from Standard on" in fault) == (plan == "starter")
    assert AGORA.pools(account(plan=plan)) == ()
    assert AGORA.queries(account(plan=plan), ALL) == ()


PROJECT = {"name": "classroom", "app_id": APP}
OTHER = {"name": "lobby", "app_id": "f" * 32}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        (
            {"margin": 3},
            [
                "quotas.realtime.per_minute: per_minute 3 leaves no request above the margin of 3",
                "quotas.insights.per_minute: per_minute 3 leaves no request above the margin of 3",
            ],
        ),
        (
            {"quotas": {"realtime": {"per_day": 1}}},
            ["quotas.realtime.per_day: per_day 1 leaves no request above the margin of 1"],
        ),
        (
            {"look_back": "5m"},
            ["look_back: windows would be lost after 169s with look_back 300s, delay 40s and span 2400s"],
        ),
        (
            {"span": "40s", "delay": "0s"},
            ["look_back: windows would be lost after 0s with look_back 2400s, delay 0s and span 40s"],
        ),
        (
            {"base_url": "http://127.0.0.1:1", "base_urls": ("https://a.example.com",)},
            ["base_url: base_url and base_urls exclude each other"],
        ),
        (
            {"base_url": "http://127.0.0.1:1", "neighbour": "eu-west-1"},
            ["neighbour: neighbour means Agora's own hosts, and base_url replaces them"],
        ),
        (
            {"projects": (PROJECT, PROJECT | {"app_id": APP.upper()})},
            ["projects.1.name: project classroom exists twice", "projects.1.app_id: this App ID is listed twice"],
        ),
        (
            {"projects": (PROJECT | {"products": ("WebRTC",), "signals": ("audio_freeze_ratio",)},)},
            ["projects.0.signals: Agora has no audio_freeze_ratio for WebRTC"],
        ),
        (
            {
                "projects": (
                    PROJECT | {"channels": tuple(f"c{n}" for n in range(26))},
                    OTHER | {"channels": tuple(f"c{n}" for n in range(25))},
                )
            },
            ["projects: 51 channels are listed, 50 may be"],
        ),
    ],
)
def test_faults_between_fields(changes: dict[str, object], expected: list[str]) -> None:
    """What pydantic cannot see in one field."""
    assert faults(**changes) == expected


def test_queries_of_a_project() -> None:
    """Users first and always, the needed signals of each product, never audio freeze of WebRTC; stable ids."""
    needed = {"video_freeze_ratio", "audio_freeze_ratio", "video_packet_loss_ratio"}
    found = AGORA.queries(account(), needed)
    assert [query.id for query in found] == [
        "acme/classroom/Native/users",
        "acme/classroom/Native/video_freeze_ratio",
        "acme/classroom/Native/audio_freeze_ratio",
        "acme/classroom/WebRTC/users",
        "acme/classroom/WebRTC/video_freeze_ratio",
    ]
    one = found[1]
    assert one.series[0] == ("acme", "agora", "classroom", "Native", "", "video_freeze_ratio")
    assert (one.width, one.delay, one.reach, one.settle, one.account) == (20, 40.0, 2269.0, 2, "acme")
    assert one.pools == ("acme/realtime",)


def test_queries_of_channels_and_of_listed_signals() -> None:
    """A list replaces what the rules need; a channel has its own queries, without a count of channels."""
    project = PROJECT | {
        "products": ("Native",),
        "signals": ("channels", "join_success_ratio", "users"),
        "channels": ("lobby", "a b"),
    }
    assert [query.id for query in AGORA.queries(account(projects=(project,)), {"video_freeze_ratio"})] == [
        "acme/classroom/Native/users",
        "acme/classroom/Native/channels",
        "acme/classroom/Native/join_success_ratio",
        "acme/classroom/Native/users/lobby",
        "acme/classroom/Native/join_success_ratio/lobby",
        "acme/classroom/Native/users/a b",
        "acme/classroom/Native/join_success_ratio/a b",
    ]


def test_nothing_needed_still_asks_for_users() -> None:
    """Idleness has to be seen."""
    assert [query.id for query in AGORA.queries(account(), set())] == [
        "acme/classroom/Native/users",
        "acme/classroom/WebRTC/users",
    ]


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ("family", ["acme/realtime"]),
        ("endpoint", ["acme/realtime/usage", "acme/realtime/quality"]),
        ("app_id", ["acme/realtime/classroom", "acme/realtime/lobby"]),
    ],
)
def test_pools_by_scope(scope: str, expected: list[str]) -> None:
    """Each pool has the plan's two quotas, and every query spends in a pool that exists."""
    settings = account(quota_scope=scope, projects=(PROJECT, OTHER), margin=2, plan="enterprise")
    pools = [pool for pool in AGORA.pools(settings) if pool.family == "realtime"]
    assert [pool.id for pool in pools] == expected
    assert all(pool.quotas == (Quota.per_minute(10, margin=2), Quota.per_day(1440, margin=2)) for pool in pools)
    assert {pool for query in AGORA.queries(settings, REALTIME) for pool in query.pools} == set(expected)


def test_every_number_can_be_overridden() -> None:
    """Quotas, delay, look-back and span; what is not named stays the plan's."""
    settings = account(quotas={"realtime": {"per_day": 5000}}, delay="1m", look_back="1h", span="30m")
    assert settings.limits() == (3, 5000, 60, 3600, 1800)
    assert AGORA.pools(settings)[0].quotas == (Quota.per_minute(3), Quota.per_day(5000))
    assert AGORA.queries(settings, set())[0].delay == 60.0


@pytest.mark.parametrize(
    ("changes", "primaries", "neighbours"),
    [
        ({}, ("https://api.agora.io", "https://api.sd-rtn.com"), ()),
        ({"region": "cn"}, ("https://api.sd-rtn.com", "https://api.agora.io"), ()),
        (
            {"neighbour": "eu-west-1"},
            ("https://api.agora.io", "https://api.sd-rtn.com"),
            ("https://api-eu-west-1.agora.io", "https://api-eu-west-1.sd-rtn.com"),
        ),
        ({"base_url": "http://127.0.0.1:8080/agora/"}, ("http://127.0.0.1:8080/agora",), ()),
        (
            {"base_urls": ("https://a.example.com", "https://b.example.com")},
            ("https://a.example.com", "https://b.example.com"),
            (),
        ),
    ],
)
def test_hosts(changes: dict[str, object], primaries: tuple[str, ...], neighbours: tuple[str, ...]) -> None:
    """The vendor's two domains in the region's order, a neighbour where named, or exactly what is written."""
    settings = account(**changes)
    assert (settings.primaries(), settings.neighbours()) == (primaries, neighbours)
