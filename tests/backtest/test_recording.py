"""A recording is read whole, or refused with the line that is wrong; what is put right is counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks import worlds
from watcher.backtest.recording import Recording, read
from watcher.errors import ConfigError
from watcher.model import Query

HEAD = "ts,account,project,product,channel,signal,value,weight\n"
T = 1_767_571_200


@pytest.fixture
def queries(tmp_path: Path) -> tuple[Query, ...]:
    """Of one project on Enterprise."""
    return worlds.config(tmp_path, plan="enterprise", queries=5).accounts[0].queries


def row(
    ts: object, value: object, signal: str = "video_freeze_ratio", weight: str = "", product: str = "Native"
) -> str:
    return f"{ts},acme,classroom,{product},,{signal},{value},{weight}\n"


def reads(folder: Path, queries: tuple[Query, ...], text: str, **more: int) -> Recording:
    path = folder / "points.csv"
    path.write_text(text)
    return read(path, queries, **more)


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("", 0, "missing columns"),
        ("ts,account,project,product,channel,signal\n", 1, "missing columns: value"),
        ("ts,ts,account,project,product,channel,signal,value\n", 1, "columns named twice: ts"),
        (HEAD + row(T, 0.1) + "1,2,3\n", 3, "3 fields, the header has 8"),
        (HEAD + row("soon", 0.1), 2, "ts 'soon' is not a time"),
        (HEAD + row(-20, 0.1), 2, "ts '-20' is not a time"),
        (HEAD + row(T * 1000_000, 0.1), 2, "is not a time"),
        (HEAD + row(T, "much"), 2, "value 'much' is not a number"),
        (HEAD + row(T, ""), 2, "value '' is not a number"),
        (HEAD + row(T, 0.1, weight="heavy"), 2, "weight 'heavy' is not a number"),
        (HEAD + row(T, 0.1, signal="happiness"), 2, "unknown signal happiness"),
        (HEAD + row(T, 0.1) + '1,"2\n', 3, "not CSV"),
        (HEAD + row(T, 0.1, product="Elsewhere"), 0, "no row is of a series"),
        (HEAD, 0, "there are no rows"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_line(
    tmp_path: Path, queries: tuple[Query, ...], text: str, line: int, what: str
) -> None:
    """One problem, at the line it is on, with what to do."""
    with pytest.raises(ConfigError) as caught:
        reads(tmp_path, queries, text)
    (problem,) = caught.value.problems
    assert what in problem.what
    assert problem.line == line
    assert problem.remedy


def test_rows_out_of_order_and_twice_are_put_right_and_counted(tmp_path: Path, queries: tuple[Query, ...]) -> None:
    """The order does not matter, the later of two rows for a window counts, and the first line of each is named."""
    text = HEAD + row(T + 40, 0.4) + row(T, 0.1) + row(T + 20, 0.2) + row(T, 0.9)
    recording = reads(tmp_path, queries, text)
    (column,) = recording.columns.values()
    assert column.start.tolist() == [T, T + 20, T + 40]
    assert column.value.tolist() == [0.9, 0.2, 0.4]
    assert recording.oddities.counts["unsorted"] == 2
    assert recording.oddities.counts["duplicate"] == 1
    assert recording.oddities.first["unsorted"] == 3


def test_a_neighbouring_duplicate_counts_once_and_the_later_row_stands(
    tmp_path: Path, queries: tuple[Query, ...]
) -> None:
    """The same window twice in a row."""
    recording = reads(tmp_path, queries, HEAD + row(T, 0.1) + row(T, 0.3))
    (column,) = recording.columns.values()
    assert column.value.tolist() == [0.3]
    assert recording.oddities.counts["duplicate"] == 1
    assert recording.oddities.first["duplicate"] == 3


@pytest.mark.parametrize(
    ("bad", "kind"),
    [
        (row(T + 20, "NaN"), "not_finite"),
        (row(T + 20, "inf"), "not_finite"),
        (row(T + 20, -0.1), "out_of_range"),
        (row(T + 20, 1.5), "out_of_range"),
        (row(T + 20, -3, signal="users"), "out_of_range"),
        (row(T + 7, 0.1), "unaligned"),
        (row(T + 20, 0.1, signal="channels"), "unconfigured"),
    ],
)
def test_what_a_vendor_might_have_sent_is_left_out_and_counted(
    tmp_path: Path, queries: tuple[Query, ...], bad: str, kind: str
) -> None:
    """Each kind by its own name, with its first line; the other rows stand."""
    recording = reads(tmp_path, queries, HEAD + row(T, 0.1) + bad + row(T + 40, 0.2))
    assert {k: n for k, n in recording.oddities.counts.items() if n} == {kind: 1}
    assert recording.oddities.first == {kind: 3}
    assert sum(len(c.start) for c in recording.columns.values()) == 2


def test_gaps_are_counted(tmp_path: Path, queries: tuple[Query, ...]) -> None:
    """Windows between a series' first and last that the file does not have."""
    recording = reads(tmp_path, queries, HEAD + row(T, 0.1) + row(T + 100, 0.1))
    assert recording.holes(queries) == 4
    assert len(recording.silent(queries)) == 4


def test_more_rows_than_allowed(tmp_path: Path, queries: tuple[Query, ...]) -> None:
    """Refused at the first row too many, not after reading the rest."""
    with pytest.raises(ConfigError, match="more than 2 rows"):
        reads(tmp_path, queries, HEAD + row(T, 0.1) * 3, max_rows=2)
    assert reads(tmp_path, queries, HEAD + row(T, 0.1) * 2, max_rows=2).rows == 2


def test_columns_in_any_order_and_weights_are_optional(tmp_path: Path, queries: tuple[Query, ...]) -> None:
    """Names decide, a byte order mark does not matter, and a weight that is missing is unknown."""
    text = "\ufeffvalue,signal,channel,product,project,account,ts\n0.1,video_freeze_ratio,,Native,classroom,acme,"
    recording = reads(tmp_path, queries, f"{text}{T}\n")
    (column,) = recording.columns.values()
    assert (column.start.tolist(), column.value.tolist(), column.weight) == ([T], [0.1], None)
    weighed = reads(tmp_path, queries, HEAD + row(T, 0.1) + row(T + 20, 0.2, weight="5"))
    (column,) = weighed.columns.values()
    assert column.weight is not None
    assert str(column.weight.tolist()) == "[nan, 5.0]"


def test_no_file(tmp_path: Path, queries: tuple[Query, ...]) -> None:
    """A file that is not there, or is not text, is said so."""
    with pytest.raises(ConfigError, match="cannot be read"):
        read(tmp_path / "none.csv", queries)
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not UTF-8"):
        read(tmp_path / "bytes.csv", queries)
