"""Rule packs: what a good one means, and every way in which one can be wrong, with its place and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rules.series import series
from watcher.errors import ConfigError
from watcher.model import Series
from watcher.rules.pack import load_packs
from watcher.rules.rule import Aggregate, Kind, Level, Place, Requirement, Rule, feeds, needed_signals, unfed

BAD = sorted((Path(__file__).parent / "bad").glob("*.yaml"))

FULL = """\
rules:
  - alert: VideoFreezing
    signal: video_freeze_ratio
    where: {provider: agora, project: [classroom, lab], channel: ""}
    when: {avg: 1m, above: 5%}
    for: 2m
    keep_firing_for: 10m
    clear: {below: 3%, for: 3m}
    require: {users: {above: 20}, channels: {above: 1}}
    no_data: {after: 10m, then: alert}
    severity: critical
    labels: {team: av}
    annotations: {dashboard: "https://example.com/{{ project }}"}
    detect_within: 10m
    summary: "Video freezes {{ value | percent }} on {{ project }}, {{ team }}"
    runbook: https://example.com/freezing
"""


def write(folder: Path, name: str, text: str) -> Path:
    """A pack on disk."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def minimal(name: str, when: str = "{last: 1, above: 5%}") -> str:
    """The shortest pack there is."""
    return (
        f"rules:\n  - alert: {name}\n    signal: video_freeze_ratio\n    when: {when}\n"
        "    require: {users: {above: 20}}\n"
    )


def test_every_key_arrives_where_it_belongs(tmp_path: Path) -> None:
    """A rule with every key, as a frozen value in base units."""
    path = write(tmp_path, "full.yaml", FULL)
    (rule,) = load_packs([path])
    assert rule == Rule(
        name="VideoFreezing",
        signal="video_freeze_ratio",
        where={
            "provider": frozenset({"agora"}),
            "project": frozenset({"classroom", "lab"}),
            "channel": frozenset({""}),
        },
        aggregate=Aggregate(kind=Kind.AVG, seconds=60),
        level=Level(above=True, value=0.05),
        hold=120,
        keep_firing_for=600,
        clear=Level(above=False, value=0.03),
        clear_for=180,
        require=(
            Requirement(signal="channels", level=Level(above=True, value=1)),
            Requirement(signal="users", level=Level(above=True, value=20)),
        ),
        no_data_after=600,
        severity="critical",
        labels={"team": "av"},
        texts={
            "summary": "Video freezes {{ value | percent }} on {{ project }}, {{ team }}",
            "runbook": "https://example.com/freezing",
            "dashboard": "https://example.com/{{ project }}",
        },
        detect_within=600,
        place=Place(str(path), 2, 5),
    )


@pytest.mark.parametrize(
    ("when", "aggregate", "level"),
    [
        ("{last: 1, below: 95%}", Aggregate(kind=Kind.LAST), Level(above=False, value=0.95)),
        ("{min: 90s, above: 0.05}", Aggregate(kind=Kind.MIN, seconds=90), Level(above=True, value=0.05)),
        ("{max: 1h, above: 0}", Aggregate(kind=Kind.MAX, seconds=3600), Level(above=True, value=0)),
        (
            "{p95: 5m, above: 5%}",
            Aggregate(kind=Kind.PERCENTILE, seconds=300, percent=95),
            Level(above=True, value=0.05),
        ),
        ("{p5: 5m, above: 5%}", Aggregate(kind=Kind.PERCENTILE, seconds=300, percent=5), Level(above=True, value=0.05)),
        ("{of: {k: 2, n: 3}, above: 5%}", Aggregate(kind=Kind.OF, k=2, n=3), Level(above=True, value=0.05)),
    ],
)
def test_each_aggregate(tmp_path: Path, when: str, aggregate: Aggregate, level: Level) -> None:
    """Exactly one aggregate with one side of a level, in the units users write."""
    (rule,) = load_packs([write(tmp_path, "a.yaml", minimal("A", when))])
    assert (rule.aggregate, rule.level) == (aggregate, level)


def test_defaults(tmp_path: Path) -> None:
    """What is left out: no timers, clear is the negation of when, silence is kept, a warning."""
    (rule,) = load_packs([write(tmp_path, "a.yaml", minimal("A"))])
    assert (rule.hold, rule.keep_firing_for, rule.clear, rule.clear_for) == (0, 0, None, 0)
    assert (rule.no_data_after, rule.severity, rule.where) == (None, "warning", {})


def test_clear_may_be_a_time_alone_and_silence_may_be_kept(tmp_path: Path) -> None:
    """`clear: {for: 3m}` is the negation of when for three minutes; `then: keep` makes no companion alert."""
    text = minimal("A") + "    clear: {for: 3m}\n    no_data: {after: 10m, then: keep}\n"
    (rule,) = load_packs([write(tmp_path, "a.yaml", text)])
    assert (rule.clear, rule.clear_for, rule.no_data_after) == (None, 180, None)


@pytest.mark.parametrize("path", BAD, ids=lambda p: p.stem)
def test_each_fault_names_its_place_and_remedy(path: Path) -> None:
    """Each bad pack has exactly the problems that it says of itself."""
    lines = path.read_text().splitlines()
    expected = [line.removeprefix("# expect ") for line in lines if line.startswith("# expect ")]
    assert expected, "a bad pack says what is wrong with it"
    with pytest.raises(ConfigError) as caught:
        load_packs([path])
    found = [str(p).removeprefix(f"{path}:").replace(str(path), "FILE") for p in caught.value.problems]
    assert len(found) == len(expected), found
    for problem, beginning in zip(found, expected, strict=True):
        assert problem.startswith(beginning)


def test_every_problem_of_every_file_comes_at_once(tmp_path: Path) -> None:
    """Two broken files, a missing one and a name used twice across two good ones: one error with all of it."""
    paths = [
        write(tmp_path, "one.yaml", minimal("A", "{last: 1}")),
        write(tmp_path, "two.yaml", "rules: [\n"),
        tmp_path / "none.yaml",
        write(tmp_path, "three.yaml", minimal("Same")),
        write(tmp_path, "four.yaml", minimal("Same")),
    ]
    with pytest.raises(ConfigError) as caught:
        load_packs(paths)
    files = sorted(Path(p.file).name for p in caught.value.problems)
    assert files == ["four.yaml", "none.yaml", "one.yaml", "two.yaml"]
    assert f"alert Same is already at {tmp_path}/three.yaml:2:5" in str(caught.value)


def test_a_folder_is_its_packs_without_tests_and_hidden_versions(tmp_path: Path) -> None:
    """`*.yaml` at any depth, sorted; not below `tests`, `optional` and dotted folders, and no file twice."""
    write(tmp_path, "optional/needs_a_setting.yaml", minimal("C"))
    write(tmp_path, "b.yaml", minimal("B"))
    write(tmp_path, "deep/a.yaml", minimal("A"))
    write(tmp_path, "tests/b_test.yaml", "tests: []\n")
    write(tmp_path, "..2026_01_01/b.yaml", minimal("B"))
    write(tmp_path, "notes.txt", "not yaml: [")
    rules = load_packs([tmp_path, tmp_path / "b.yaml"])
    assert [rule.name for rule in rules] == ["B", "A"]
    assert [rule.name for rule in load_packs([tmp_path / "optional"])] == ["C"]


def test_a_folder_without_packs_is_a_problem(tmp_path: Path) -> None:
    """A wrong path must not mean "no rules" silently."""
    with pytest.raises(ConfigError, match=r"holds no \*\.yaml"):
        load_packs([tmp_path])


def test_too_many_rules_are_refused(tmp_path: Path) -> None:
    """A generated pack of more than a thousand rules is a mistake."""
    rules = "".join(minimal(f"R{i}").removeprefix("rules:\n") for i in range(1001))
    with pytest.raises(ConfigError, match="there are 1001 rules"):
        load_packs([write(tmp_path, "many.yaml", "rules:\n" + rules)])


@pytest.mark.parametrize(
    ("where", "of", "fed"),
    [
        ({}, series(), True),
        ({}, series("users"), False),
        ({"provider": frozenset({"vonage"})}, series(), False),
        ({"product": frozenset({"Native", "WebRTC"})}, series(), True),
        ({"channel": frozenset({""})}, series(), True),
        ({"channel": frozenset({""})}, series(channel="lobby"), False),
        ({"channel": frozenset({"lobby"})}, series(channel="lobby"), True),
    ],
)
def test_which_series_feed_a_rule(where: dict[str, frozenset[str]], of: Series, fed: bool) -> None:
    """The signal and every matcher must agree; an empty text matches series without the label."""
    rule = Rule(
        name="A",
        signal="video_freeze_ratio",
        where=where,
        aggregate=Aggregate(kind=Kind.LAST),
        level=Level(above=True, value=0.05),
    )
    assert feeds(rule, of) is fed


def test_which_signals_rules_need(tmp_path: Path) -> None:
    """What is judged, what is joined, and `users` with anything, since idleness is told by it."""
    assert needed_signals(()) == frozenset()
    rules = load_packs([write(tmp_path, "full.yaml", FULL), write(tmp_path, "a.yaml", minimal("A"))])
    assert needed_signals(rules[1:]) == {"video_freeze_ratio", "users"}
    assert needed_signals(rules) == {"video_freeze_ratio", "users", "channels"}


def test_rules_that_nothing_feeds_are_found(tmp_path: Path) -> None:
    """No series for the signal, or none that could answer a `require`; a project-wide companion will do."""
    (full,) = load_packs([write(tmp_path, "full.yaml", FULL)])
    assert "no configured account measures video_freeze_ratio" in unfed([full], [series("users")])[0][1]
    missing = unfed([full], [series(), series("users")])
    assert [reason for _, reason in missing] == [
        "no configured account measures channels where VideoFreezing looks, so `require` is never met"
    ]
    assert unfed([full], [series(), series("users", product=""), series("channels")]) == []


def test_only_what_changes_verdicts_changes_the_judging_key(tmp_path: Path) -> None:
    """A new text or severity keeps judging as before; a new threshold does not."""
    (rule,) = load_packs([write(tmp_path, "a.yaml", FULL)])
    (text,) = load_packs([write(tmp_path, "b.yaml", FULL.replace("critical", "info").replace("freezes", "stutters"))])
    (level,) = load_packs([write(tmp_path, "c.yaml", FULL.replace("above: 5%", "above: 6%"))])
    (silence,) = load_packs([write(tmp_path, "d.yaml", FULL.replace("after: 10m", "after: 20m"))])
    assert text.judging_key() == rule.judging_key()
    assert level.judging_key() != rule.judging_key()
    assert (silence.judging_key(), level.judging_key(no_data=True)) == (
        rule.judging_key(),
        rule.judging_key(no_data=True),
    )
    assert silence.judging_key(no_data=True) != rule.judging_key(no_data=True)
