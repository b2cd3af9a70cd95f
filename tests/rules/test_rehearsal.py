"""Rule tests: the shorthand, what a test may say, what is wrong with one, and the tests that ship with the packs."""

from __future__ import annotations

from pathlib import Path

import pytest

from watcher.errors import ConfigError
from watcher.rules.pack import load_packs
from watcher.rules.rehearsal import rehearse
from watcher.rules.shorthand import windows

PACKS = Path(__file__).parents[2] / "rules"
SHIPPED = sorted((PACKS / "tests").glob("*.yaml"))

PACK = """\
rules:
  - alert: Freezing
    signal: video_freeze_ratio
    when: {avg: 1m, above: 5%}
    for: 40s
    require: {weight: {above: 5}}
    active: {from: "08:00", to: "18:00", time_zone: Europe/Berlin}
    summary: "{{ value | percent }} of {{ users | number }}"
"""
TEST = """\
rules: [pack.yaml]
window: 30s
tests:
  - name: with weights
    start: 2026-07-06T06:00:00Z
    series:
      - {signal: video_freeze_ratio, channel: a, values: 1% 9%x9, weights: 10x10}
      - {signal: video_freeze_ratio, channel: b, values: 9%x10, weights: 2x10}
    expect:
      - {at: 3m, alert: Freezing, labels: {channel: a}, state: firing, value: 9%, users: 10, summary: 9% of 10}
      - {at: 5m, alert: Freezing, labels: {channel: b}, state: inactive}
    log:
      - {alert: Freezing, labels: {channel: a}, says: "pending 1m30s, firing 2m30s"}
"""


def written(folder: Path, test: str = TEST, pack: str = PACK) -> Path:
    """A test file beside its pack."""
    (folder / "pack.yaml").write_text(pack)
    path = folder / "test.yaml"
    path.write_text(test)
    return path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("9%x3", [0.09] * 4),
        ("1+2x3", [1, 3, 5, 7]),
        ("10-2x2 5", [10, 8, 6, 5]),
        ("_ 1 _x3 2", [None, 1, None, None, None, 2]),
        ("400ms 1s", [0.4, 1]),
        ("1%+1%x1", [0.01, 0.02]),
        ("-3", [-3]),
        ("", []),
    ],
)
def test_the_shorthand(text: str, expected: list[float | None]) -> None:
    """promtool's notation: a value and how many more, a step, windows without data."""
    assert windows(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["9%y3", "_+1x3", "x3", "1 two", "1x9999999", "1x99999 1x9", "5x", "nan"])
def test_what_is_no_shorthand(text: str) -> None:
    """What is not understood, or would fill the memory, is refused."""
    with pytest.raises(ValueError, match=r"; write "):
        windows(text)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_tests_that_ship_pass(path: Path) -> None:
    """Every shipped test of a pack passes."""
    results = rehearse(path)
    assert results
    assert [str(failure) for result in results for failure in result.failures] == []


def test_every_shipped_pack_has_tests_of_every_rule() -> None:
    """Each pack, optional ones too, has a file of its name in `rules/tests/` that names each of its alerts."""
    packs = sorted([*PACKS.glob("*.yaml"), *(PACKS / "optional").glob("*.yaml")])
    assert packs
    assert {pack.name for pack in packs} == {path.name for path in SHIPPED}
    for pack in packs:
        text = (PACKS / "tests" / pack.name).read_text()
        for rule in load_packs([pack]):
            assert f"alert: {rule.name}," in text


def test_a_test_that_passes(tmp_path: Path) -> None:
    """Weights, windows of another length, a start that matters for hours, two series of one rule."""
    (result,) = rehearse(written(tmp_path))
    assert (result.name, result.failures) == ("with weights", ())


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            "state: firing",
            "state: resolved",
            ":10:64: with weights: at 3m Freezing{channel=a} is firing, not resolved (p",
        ),
        ("value: 9%", "value: 8%", ":10:79: with weights: at 3m Freezing{channel=a} has value 0.09, not 0.08"),
        ("users: 10", "users: 11", ":10:90: with weights: at 3m Freezing{channel=a} has users 10.0, not 11.0"),
        (
            "summary: 9% of 10",
            "summary: 9%",
            ":10:103: with weights: at 3m Freezing{channel=a} has summary 9% of 10, not 9%",
        ),
        ("state: inactive", "state: firing", "is inactive, not firing (nothing was said of it)"),
        ("firing 2m30s", "firing 3m30s", "does not go so (pending 1m30s, firing 2m30s)"),
        ('says: "pending 1m30s, firing 2m30s"', 'says: ""', "does not go so (pending 1m30s, firing 2m30s)"),
        ("T06:00:00Z", "T05:57:00Z", "is inactive, not firing"),  # three minutes before eight in Berlin
    ],
)
def test_a_test_that_fails_says_what_was(tmp_path: Path, old: str, new: str, told: str) -> None:
    """Each failure has its place, what was there instead, and the whole timeline."""
    assert old in TEST
    (result,) = rehearse(written(tmp_path, TEST.replace(old, new)))
    assert any(told in str(failure) for failure in result.failures), result.failures


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("rules: [pack.yaml]", "rules: [none.yaml]", "none.yaml: cannot be read"),
        ("alert: Freezing,", "alert: Freezin,", ":10:25: no rule is named Freezin, name one of the packs' alerts"),
        ("firing 2m30s", "burning 2m30s", ":13:55: 'burning' is no state"),
        ("firing 2m30s", "firing later", ":13:55: 'later' is not a duration"),
        ("weights: 2x10", "weights: 2x9", ":8:74: there are 10 weights for 11 windows, write one for each"),
        ("9%x9,", "9%y9,", ":7:58: tests[0].series[0].values '9%y9' is no value"),
        ("2026-07-06T06:00:00Z", "noon", ":5:12: tests[0].start is not an instant"),
        ("2026-07-06T06:00:00Z", "2026-07-06T06:00:00", ":5:12: tests[0].start is not an instant"),
        ("window: 30s", "window: 0s", ":2:9: window is not the length of a window"),
        ("signal: video_freeze_ratio, channel: b", "signal: video_freez_ratio", "unknown signal video_freez_ratio"),
        ("state: inactive", "states: inactive", "unknown key tests[0].expect[1].states, did you mean `state`?"),
    ],
)
def test_what_is_wrong_with_a_test_file(tmp_path: Path, old: str, new: str, told: str) -> None:
    """A mistake in the file is no failure of a rule: it is refused with its place."""
    assert old in TEST
    with pytest.raises(ConfigError) as caught:
        rehearse(written(tmp_path, TEST.replace(old, new)))
    assert told in str(caught.value)


def test_everything_wrong_comes_at_once(tmp_path: Path) -> None:
    """A broken pack and a test that expects nothing: both are told."""
    test = "rules: [pack.yaml, other.yaml]\ntests:\n  - name: nothing\n    series: []\n"
    (tmp_path / "other.yaml").write_text(PACK)
    with pytest.raises(ConfigError) as caught:
        rehearse(written(tmp_path, test))
    assert "alert Freezing is already at" in str(caught.value)
    with pytest.raises(ConfigError, match=r":3:5: test nothing expects nothing, write `expect:` or `log:`"):
        rehearse(written(tmp_path, test.replace(", other.yaml", "")))
    with pytest.raises(ConfigError, match="tests is empty"):
        rehearse(written(tmp_path, "rules: [pack.yaml]\ntests: []\n"))


def test_what_is_only_tried_out_may_lack_a_minimum(tmp_path: Path) -> None:
    """A rule on a bare ratio pages nobody in a test; in a pack that pages it is refused."""
    text = "rules:\n  - {alert: Bare, signal: video_freeze_ratio, when: {last: 1, above: 5%}}\n"
    (tmp_path / "bare.yaml").write_text(text)
    with pytest.raises(ConfigError, match="no minimum behind it"):
        load_packs([tmp_path / "bare.yaml"])
    (rule,) = load_packs([tmp_path / "bare.yaml"], pages=False)
    assert rule.name == "Bare"
