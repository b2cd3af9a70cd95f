"""The YAML loader: what users mean, and every problem with its place."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.errors import ConfigError
from watcher.secret import Secret
from watcher.yamlfile import Duration, Quantity, Strict, duration, load, loads, quantity


def problems(text: str) -> list[str]:
    """Every problem of a text, as printed."""
    with pytest.raises(ConfigError) as caught:
        loads(text, "f.yaml")
    return [str(p) for p in caught.value.problems]


def test_reads_surprising_scalars_as_text() -> None:
    """`on:` stays a key, `12:30` stays text, and dates are not made into objects."""
    data = loads("on: 12:30\nyes: no\nday: 2026-01-02\noctal: 0123\nn: 7\nf: 1.5\nt: true\ne:\n").data
    assert data == {
        "on": "12:30",
        "yes": "no",
        "day": "2026-01-02",
        "octal": "0123",
        "n": 7,
        "f": 1.5,
        "t": True,
        "e": None,
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb:\n  c: 1\n  c: 2\n", "f.yaml:4:3: duplicate key c, keep one of them"),
        ("a: &x 1\nb: *x\n", "f.yaml:1:4: anchors and aliases are not read, mend the YAML"),
        ("a: [1, 2\n", "f.yaml:2:1: expected ',' or ']', but got '<stream end>', mend the YAML"),
        ("a: !shell ls\n", "f.yaml:1:4: unknown tag !shell, use !env, !file or !credential"),
        ('a: "\\ud800"\n', "f.yaml:1:4: holds half a character (a lone surrogate), write the whole character"),
        ("a: !env\n", "f.yaml:1:4: !env names nothing, write !env NAME"),
        ("? [1]\n: 2\n", "f.yaml:1:3: a key must be text, write `name: value`"),
    ],
)
def test_names_the_place_of_what_is_not_accepted(text: str, expected: str) -> None:
    """Each fault of the YAML itself is one line with file, line, column and remedy."""
    assert expected in problems(text)


def test_deep_nesting_is_a_problem_not_a_crash() -> None:
    """Ten thousand brackets are refused."""
    assert problems("[" * 10_000)


class Inner(Strict):
    """A shape inside."""

    wait: Duration = 0
    level: Quantity


class Outer(Strict):
    """A shape with a list of shapes."""

    name: str
    key: Secret
    inner: tuple[Inner, ...] = ()


def test_all_shape_problems_come_at_once_with_their_places() -> None:
    """A missing key, an unknown key with a suggestion, a wrong type and a bad literal: four lines."""
    document = loads("nam: x\nkey: !env KEY\ninner:\n  - level: often\n    wait: 5\n  - levle: 1\n", "c.yaml")
    with pytest.raises(ConfigError) as caught:
        document.parse(Outer)
    lines = [str(p) for p in caught.value.problems]
    assert "c.yaml:1:1: name is missing, add `name:`" in lines
    assert "c.yaml:1:1: unknown key nam, did you mean `name`?" in lines
    assert "c.yaml:4:12: inner[0].level is not a number, write it like 5%, 0.05, 20 or 400ms" in lines
    assert "c.yaml:5:11: inner[0].wait is not a duration, write it like 90s, 2m, 1h30m or 7d" in lines
    assert "c.yaml:6:5: unknown key inner[1].levle, did you mean `level`?" in lines
    assert "c.yaml:6:5: inner[1].level is missing, add `level:`" in lines


def test_secrets_are_masked_until_revealed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret shows nowhere, is read on demand, and names what is missing."""
    monkeypatch.setenv("KEY", "hunter2")
    parsed = loads("name: x\nkey: !env KEY\n").parse(Outer)
    assert "hunter2" not in repr(parsed)
    assert "hunter2" not in parsed.model_dump_json()
    assert parsed.key.reveal() == "hunter2"
    missing = Secret("file", str(tmp_path / "nothing"))
    with pytest.raises(ValueError, match="cannot read"):
        missing.reveal()


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("2m", 120), ("1h30m", 5400), ("7d", 604_800), (0, 0), ("0s", 0)]
)
def test_durations(text: object, seconds: int) -> None:
    """A duration names its unit."""
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", 5, "m", "1m1h", "-1s", True, None, 1.5, "400d"])
def test_refused_durations(text: object) -> None:
    """A number without a unit is refused: its meaning would be a guess."""
    with pytest.raises(ValueError, match="write it like"):
        duration(text)


@pytest.mark.parametrize(
    ("text", "value"), [("5%", 0.05), ("0.5%", 0.005), (20, 20.0), ("400ms", 0.4), ("2s", 2.0), (0.05, 0.05)]
)
def test_quantities(text: object, value: float) -> None:
    """Percent and milliseconds become base units."""
    assert quantity(text) == value


@given(st.text(max_size=300))
def test_any_text_is_read_or_refused_never_a_crash(text: str) -> None:
    """Whatever a file holds, the answer is data or a ConfigError."""
    with contextlib.suppress(ConfigError):
        loads(text)


def test_a_missing_file_is_one_problem(tmp_path: Path) -> None:
    """The path and the reason, no traceback."""
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path / "none.yaml")
