"""The configuration: every bad file is refused with its places, all at once, and what reads well is what was meant.

Each file of `tests/config` says in its head how it is refused: one line per problem, ` … ` standing for any text.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watcher.config import Config, build, load, secrets_missing
from watcher.errors import ConfigError
from watcher.listener import address
from watcher.yamlfile import loads

HERE = Path(__file__).parent / "config"
ROOT = HERE.parent.parent
GOOD = (HERE / "good.yaml").read_text()
EXPECT = "# refused: "

CONFIGS = sorted(path.name for path in HERE.glob("*.bad.yaml"))
PACKS = sorted(path.name for path in (HERE / "packs").glob("*.bad.yaml"))


def expected(path: Path) -> list[list[str]]:
    """The fragments of each problem that a bad file announces."""
    lines = path.read_text().splitlines()
    return [line.removeprefix(EXPECT).split(" … ") for line in lines if line.startswith(EXPECT)]


def told(text: str, name: str) -> list[str]:
    """Every problem of a configuration, as `check` prints it."""
    with pytest.raises(ConfigError) as caught:
        build(loads(text, name), Path())
    return [str(problem) for problem in caught.value.problems]


def fits(line: str, fragments: list[str]) -> bool:
    """Whether a line begins with the first fragment and has the others after it, in order."""
    at = 0
    for index, fragment in enumerate(fragments):
        found = line.find(fragment, at)
        if found < 0 or (index == 0 and found > 0):
            return False
        at = found + len(fragment)
    return True


def assert_told(lines: list[str], wanted: list[list[str]]) -> None:
    assert len(lines) == len(wanted), lines
    for line, fragments in zip(lines, wanted, strict=True):
        assert fits(line, fragments), f"{line!r} is not like {' … '.join(fragments)!r}"
        assert ", " in line, f"{line!r} does not say what to do"


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths in problems are as a user sees them, who runs `check` in the file's folder."""
    monkeypatch.chdir(HERE)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_bad_configuration_is_refused_with_every_place(name: str) -> None:
    """Each problem is one line `file:line:column: what, and what to do`, and no other comes with it."""
    assert_told(told((HERE / name).read_text(), name), expected(HERE / name))


@pytest.mark.parametrize("name", PACKS)
def test_a_bad_pack_is_refused_with_every_place(name: str) -> None:
    """A pack's problems are told by the configuration that names it."""
    text = GOOD.replace("packs/good.yaml", f"packs/{name}")
    assert_told(told(text, "good.yaml"), expected(HERE / "packs" / name))


def test_the_bad_files_are_there() -> None:
    """A folder that moved must not make the tests above pass for want of files."""
    assert len(CONFIGS) >= 25
    assert len(PACKS) >= 15


def test_the_good_file_is_good() -> None:
    """What every bad file differs from in one way is accepted."""
    config = load(HERE / "good.yaml")
    assert [account.name for account in config.accounts] == ["acme"]
    assert [rule.name for rule in config.rules] == ["VideoFreezing"]


def test_the_example_loads() -> None:
    """The example is a whole configuration, without problems and without warnings."""
    config = load(ROOT / "config.example.yaml")
    assert config.warnings == ()
    assert config.rules
    assert [account.name for account in config.accounts] == ["acme", "rooms", "rtc"]


@pytest.mark.parametrize("plan", ["premium", "enterprise"])
def test_the_shipped_rules_fit_both_plans(plan: str) -> None:
    """The shipped pack keeps its promises for one project with both products, on either plan."""
    text = (ROOT / "config.example.yaml").read_text().replace("plan: enterprise", f"plan: {plan}")
    assert build(loads(text, "config.yaml"), ROOT).rules


@pytest.mark.parametrize("queries", [9, 13])
def test_what_premium_can_serve(queries: int) -> None:
    """Nine queries fit Premium; of thirteen, what `check` says to drop is enough."""
    five = ["users", "video_freeze_ratio", "audio_freeze_ratio", "network_delay_ratio", "join_success_ratio"]
    signals = five if queries == 9 else [*five, "channels", "join_success_5s_ratio"]
    listed = f"app_id: 0123456789abcdef0123456789abcdef, signals: [{', '.join(signals)}]"
    text = GOOD.replace("enterprise", "premium").replace("app_id: 0123456789abcdef0123456789abcdef", listed)
    if queries == 9:
        config = build(loads(text, "good.yaml"), HERE)
        assert len(config.accounts[0].queries) == queries
        return
    (line,) = told(text, "good.yaml")
    named = {query.rpartition("/")[2] for query in line.partition(", drop ")[2].split(", ") if "/" in query}
    assert named == {"channels", "join_success_5s_ratio"}
    less = text.replace(", channels, join_success_5s_ratio", "")
    assert len(build(loads(less, "good.yaml"), HERE).accounts[0].queries) == 9


def test_words_that_yaml_reads_as_something_else_are_words() -> None:
    """A target called `on`, a project called `no` and a day are text, as their author meant."""
    text = GOOD.replace("pager", "on").replace("classroom", "no").replace("name: acme", "name: 2026-01-01")
    config = build(loads(text, "good.yaml"), HERE)
    assert list(config.alerts.targets) == ["on"]
    assert config.alerts.routes[0].to == ("on",)
    assert config.accounts[0].name == "2026-01-01"
    assert {query.series[0].project for query in config.accounts[0].queries} == {"no"}


def test_a_rule_for_another_vendor_waits_for_it() -> None:
    """A pack of a vendor that is not configured is a warning where it is named, and nothing to say in a folder."""
    text = GOOD.replace("packs/good.yaml", "packs/vonage.yaml")
    config = build(loads(text + "operators: [pager]\n", "good.yaml"), HERE)
    assert any("provider that is not configured" in str(warning) for warning in config.warnings)
    shipped = build(loads(GOOD.replace("packs/good.yaml", str(HERE.parent.parent / "rules")), "good.yaml"), HERE)
    assert not any("provider that is not configured" in str(warning) for warning in shipped.warnings)


def test_literal_secrets_are_warned_about_and_not_shown() -> None:
    """A secret that stands in the file loads with a warning that names its place and not its text."""
    text = GOOD.replace("!env SECRET", "hunter2").replace("!env PAGER", "json://tok3n@example.com/")
    config = build(loads(text, "good.yaml"), HERE)
    shown = "\n".join(map(str, config.warnings)) + repr(config)
    assert "good.yaml:7:22: customer_secret stands in the file" in shown
    assert "hunter2" not in shown
    assert "tok3n" not in shown


def test_missing_secrets_are_named_with_their_places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Environment variable and file: where it is named, and what to do."""
    for name in ("ID", "PAGER"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "empty").write_text("\n")
    text = GOOD.replace("!env SECRET", f"!file {tmp_path}/empty")
    lines = sorted(map(str, secrets_missing(build(loads(text, "good.yaml"), HERE))))
    assert lines == [
        "good.yaml:10:18: target pager: environment variable PAGER is not set: export it before starting",
        "good.yaml:6:18: customer_id: environment variable ID is not set: export it before starting",
        f"good.yaml:7:22: customer_secret: {tmp_path}/empty is empty: write the secret into it",
    ]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("127.0.0.1:9469", ("127.0.0.1", 9469)),
        ("[::1]:9469", ("::1", 9469)),
        (":9469", ("0.0.0.0", 9469)),
        ("localhost:0", ("localhost", 0)),
    ],
)
def test_addresses(text: str, meant: tuple[str, int]) -> None:
    """Host and port, with brackets around IPv6 and nothing for every address."""
    assert address(text) == meant


@given(st.text(alphabet=list("accounts: []{}-\n\"'!env plsrut1%"), max_size=200))
@settings(max_examples=150)
def test_any_text_is_a_configuration_or_refused(text: str) -> None:
    """Whatever a file holds, the answer is a configuration or a ConfigError."""
    with contextlib.suppress(ConfigError):
        assert isinstance(build(loads(text, "any.yaml"), HERE), Config)


@given(st.lists(st.sampled_from(GOOD.splitlines()), max_size=20), st.integers(0, 400))
@settings(max_examples=150)
def test_a_mangled_configuration_is_refused_not_a_crash(lines: list[str], cut: int) -> None:
    """Lines of a good file in any order, cut anywhere."""
    with contextlib.suppress(ConfigError):
        build(loads("\n".join(lines)[:cut], "any.yaml"), HERE)


def test_what_must_hold_together_must_be_measured_in_one_place() -> None:
    """A rule of two vendors' signals can never hold, and is told so rather than kept for ever silent."""
    vonage = "  - {name: rooms, provider: vonage, projects: [{name: tutoring, key: '12345678', secret: !env S}]}\n"
    text = GOOD.replace("targets:", f"{vonage}targets:", 1).replace("packs/good.yaml", "packs/two_vendors.yaml")
    with pytest.raises(ConfigError, match="measures video_freeze_ratio and video_packet_loss_ratio in one place"):
        build(loads(text, "good.yaml"), HERE)
