"""Agora's bodies: every example of the documentation, every refusal, and whatever else a body can be."""

from __future__ import annotations

import json
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.errors import ProviderError, Reason
from watcher.model import Span
from watcher.providers.agora.metrics import METRICS
from watcher.providers.agora.payload import Group, by_group, by_uid, flat, top
from watcher.providers.agora.refusals import contents
from watcher.providers.agora.values import Column, Oddity, Tally
from watcher.providers.http import Reply

USERS, DELAY, AUDIO = METRICS["users"], METRICS["network_delay_ratio"], METRICS["audio_freeze_ratio"]
T = 1_631_837_400
ASKED = Span(T, T + 60)


def reply(body: object, status: int = 200) -> Reply:
    """A reply with a JSON body, or with these bytes."""
    return Reply(status=status, body=body if isinstance(body, bytes) else json.dumps(body).encode(), date=5.0)


def read(body: object, status: int = 200) -> object:
    """The contents of a reply."""
    return contents(reply(body, status), lambda text: text.replace("hush", "***"))


def pairs(column: Column) -> list[tuple[int, float]]:
    """A column as (seconds after T, value)."""
    return [(int(s) - T, float(v)) for s, v in zip(column.start, column.value, strict=True)]


# ── the documentation's examples ─────────────────────────────────────────────────────────────────────────────────────


def test_rows_of_a_series() -> None:
    """Users and a rate by slot, `message` being success or null."""
    for message in ("success", None, "null", ""):
        rows = [{"userCount": 112, "ts": T}, {"userCount": 113, "ts": T + 20}, {"userCount": 114, "ts": T + 40}]
        tally = Tally()
        column = flat(read({"code": 200, "message": message, "data": rows}), USERS, ASKED, tally)
        assert pairs(column) == [(0, 112.0), (20, 113.0), (40, 114.0)]
        assert not tally
    body = b'{"code":200,"data":[{"networkDelay":0.0120,"ts":1631837400},{"networkDelay":0,"ts":1631837420}]}'
    assert pairs(flat(read(body), DELAY, ASKED, Tally())) == [(0, 0.012), (20, 0.0)]


def test_rows_by_user() -> None:
    """Users above 2^31 keep their number; the nesting is undone."""
    values = [{"ts": T, "networkDelay": 0.389}, {"ts": T + 20, "networkDelay": 0.389}]
    data = read({"code": 200, "data": [{"uid": 2303692334, "values": values}, {"uid": 2963430861, "values": values}]})
    columns = by_uid(data, DELAY, ASKED, {2303692334, 2963430861}, Tally())
    assert {uid: pairs(column) for uid, column in columns.items()} == {
        2303692334: [(0, 0.389), (20, 0.389)],
        2963430861: [(0, 0.389), (20, 0.389)],
    }


def test_rows_by_user_that_are_odd() -> None:
    """A uid as text is read; users not asked for, and lists that are none, are dropped and counted."""
    row = {"ts": T, "networkDelay": 0.5}
    data = [
        {"uid": "7", "values": [row]},
        {"uid": 8, "values": [row]},
        {"uid": 7, "values": None},
        {"uid": 7, "values": 3},
        {"uid": True, "values": [row]},
        {"values": [row]},
        "row",
    ]
    tally = Tally()
    assert {uid: pairs(c) for uid, c in by_uid(data, DELAY, ASKED, {7}, tally).items()} == {7: [(0, 0.5)]}
    assert tally == {
        Oddity.TEXT_NUMBER: 1,
        Oddity.UNASKED: 3,
        Oddity.NO_VALUE: 1,
        Oddity.NOT_A_ROW: 2,
    }


def test_rows_by_group() -> None:
    """Flat rows with the dimension's name as a key."""
    rows = [
        {"userCount": 236, "sdk": "3.6.1.1", "ts": T},
        {"userCount": 82, "sdk": "4.1.1", "ts": T},
        {"userCount": 235, "sdk": "3.6.1.1", "ts": T + 20},
        {"userCount": 85, "sdk": "9.9", "ts": T + 20},
        {"userCount": 85, "sdk": 4, "ts": T + 20},
    ]
    tally = Tally()
    columns = by_group(read({"code": 200, "data": rows}), USERS, "sdk", ASKED, {"3.6.1.1", "4.1.1"}, tally)
    assert {name: pairs(column) for name, column in columns.items()} == {
        "3.6.1.1": [(0, 236.0), (20, 235.0)],
        "4.1.1": [(0, 82.0)],
    }
    assert tally == {Oddity.UNASKED: 2}


@pytest.mark.parametrize("nested", [True, False])
def test_top_groups(nested: bool) -> None:
    """`data.list` as in the examples, or the bare array of the schema; worst first whatever the order was."""
    rows = [
        {"audioFreezeRate": 0, "windowStartTs": T, "userCount": 2, "device": "80HH", "windowEndTs": T + 20},
        {"audioFreezeRate": 0.0508, "windowStartTs": T, "userCount": 2, "device": "ldn-al00", "windowEndTs": T + 20},
        {"audioFreezeRate": 0, "windowStartTs": T, "device": "20KNA004CD", "windowEndTs": T + 20},
    ]
    data = read({"code": 200, "message": None, "data": {"list": rows} if nested else rows})
    groups = top(data, AUDIO, "device", False, Tally())
    assert groups == (Group("ldn-al00", 0.0508, 2.0), Group("20KNA004CD", 0.0, None), Group("80HH", 0.0, 2.0))
    assert top(data, AUDIO, "device", True, Tally())[-1].name == "ldn-al00"


def test_top_groups_that_are_odd() -> None:
    """More groups than documented, unnamed ones and impossible values are dropped and counted."""
    rows: list[object] = [{"audioFreezeRate": 0.1, "device": f"d{n}"} for n in range(60)]
    rows += [{"audioFreezeRate": 7, "device": "x"}, {"audioFreezeRate": 0.1}, {"device": "x"}, 5]
    tally = Tally()
    assert len(top(rows, AUDIO, "device", False, tally)) == 50
    assert tally == {Oddity.TOO_MANY: 10, Oddity.IMPOSSIBLE: 1, Oddity.NOT_A_ROW: 2, Oddity.NO_VALUE: 1}
    assert len(top([{"audioFreezeRate": 0.1, "device": "x" * 5000}], AUDIO, "device", False, Tally())[0].name) == 100


# ── no data is not zero ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"code": 200, "data": None}, []),
        ({"code": 200, "data": []}, []),
        ({"code": 200}, []),
        ({"data": None}, []),
        ({"data": [{"networkDelay": 0.5, "ts": T}]}, [(0, 0.5)]),
        ({"code": None, "data": [{"networkDelay": 0.5, "ts": T}]}, [(0, 0.5)]),
        ({"code": 0, "message": "string", "data": [{"networkDelay": 0.5, "ts": T}]}, [(0, 0.5)]),
        ({"code": 0, "data": None}, []),
        ({"code": "200", "data": [{"networkDelay": 0.5, "ts": T}]}, [(0, 0.5)]),
        ({"code": 200, "data": [{"ts": T}, {"networkDelay": None, "ts": T + 20}]}, []),
        (
            {"code": 200, "data": [{"networkDelay": 0, "ts": T}, {"networkDelay": 1, "ts": T + 40}]},
            [(0, 0.0), (40, 1.0)],
        ),
    ],
)
def test_what_is_not_there_is_no_point(body: object, expected: list[tuple[int, float]]) -> None:
    """Null, empty, a missing slot, key or value give no point; a zero in a row is a zero."""
    assert pairs(flat(read(body), DELAY, ASKED, Tally())) == expected


@pytest.mark.parametrize(
    ("rows", "expected", "oddities"),
    [
        ([{"networkDelay": 0.2, "ts": T + 20}, {"networkDelay": 0.1, "ts": T}], [(0, 0.1), (20, 0.2)], {"unsorted": 1}),
        ([{"networkDelay": 0.2, "ts": T}, {"networkDelay": 0.1, "ts": T}], [(0, 0.1)], {"duplicate": 1}),
        ([{"networkDelay": 0.2, "ts": T}, {"networkDelay": None, "ts": T}], [(0, 0.2)], {"no_value": 1}),
        ([{"networkDelay": 0.2, "ts": T + 10}], [], {"unaligned": 1}),
        ([{"networkDelay": 0.2, "ts": T - 20}, {"networkDelay": 0.2, "ts": T + 60}], [], {"outside": 2}),
        ([{"networkDelay": 0.2, "ts": T * 1000}], [], {"milliseconds": 1}),
        ([{"networkDelay": 0.2, "ts": T + 0.5}, {"networkDelay": 0.2}], [], {"no_time": 2}),
        ([{"networkDelay": 0.2, "ts": True}, {"networkDelay": 0.2, "ts": [T]}], [], {"no_time": 2}),
        ([{"networkDelay": 0.2, "ts": str(T)}], [(0, 0.2)], {"text_number": 1}),
        ([{"networkDelay": 0.2, "ts": float(T)}], [(0, 0.2)], {}),
        ([{"networkDelay": 1.01, "ts": T}, {"networkDelay": -0.01, "ts": T}], [], {"impossible": 2}),
        ([{"networkDelay": 5, "ts": T}], [], {"impossible": 1}),
        ([{"networkDelay": "0.25", "ts": T}], [(0, 0.25)], {"text_number": 1}),
        ([{"networkDelay": "nan", "ts": T}, {"networkDelay": "inf", "ts": T}], [], {"not_a_number": 2}),
        ([{"networkDelay": "1_0", "ts": T}, {"networkDelay": "٣", "ts": T}], [], {"not_a_number": 2}),
        ([{"networkDelay": "9" * 500, "ts": T}, {"networkDelay": "1e999", "ts": T}], [], {"not_a_number": 2}),
        ([{"networkDelay": "1e308", "ts": T}], [], {"not_a_number": 1}),
        ([{"networkDelay": True, "ts": T}, {"networkDelay": {}, "ts": T}], [], {"not_a_number": 2}),
        ([{"networkDelay": 10**30, "ts": T}], [], {"not_a_number": 1}),
        (
            [{"networkDelay": 10**400, "ts": T}, {"networkDelay": 0.1, "ts": 10**400}],
            [],
            {"not_a_number": 1, "no_time": 1},
        ),
        ([None, 5, "x", [], {"networkDelay": 0.2, "ts": T}], [(0, 0.2)], {"not_a_row": 4}),
        ([{"userCount": 5, "ts": T}], [], {"no_value": 1}),
    ],
)
def test_odd_rows_are_repaired_or_dropped_and_counted(
    rows: list[object], expected: list[tuple[int, float]], oddities: dict[str, int]
) -> None:
    """Each kind of oddity, its effect and its count."""
    tally = Tally()
    assert pairs(flat(rows, DELAY, ASKED, tally)) == expected
    assert {str(oddity): count for oddity, count in tally.items()} == oddities


def test_negative_counts_are_dropped() -> None:
    """A count has no upper bound, and no negative values."""
    tally = Tally()
    rows = [{"userCount": -1, "ts": T}, {"userCount": 1_000_000, "ts": T + 20}]
    assert pairs(flat(rows, USERS, ASKED, tally)) == [(20, 1_000_000.0)]
    assert tally == {Oddity.IMPOSSIBLE: 1}


@pytest.mark.parametrize("data", [{}, {"list": []}, "rows", 5, True])
def test_data_of_another_shape_is_malformed(data: object) -> None:
    """An object where rows should be is an error, not an empty answer."""
    with pytest.raises(ProviderError) as caught:
        flat(data, DELAY, ASKED, Tally())
    assert caught.value.reason is Reason.MALFORMED


# ── refusals ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("prefix", ["", "Service package limit check error, ", "  SERVICE: "])
@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("qps limit error", Reason.RATE),
        ("qpm limit error", Reason.RATE),
        ("qpd limit error", Reason.DAY_QUOTA),
        ("query latency limit error", Reason.TOO_FRESH),
        ("query time range limit error", Reason.TOO_OLD),
        ("query duration limit error", Reason.TOO_LONG),
        ("query time length limit error", Reason.TOO_LONG),
        ("you have no auth to access this service, please buy or upgrade your service package", Reason.PLAN),
        ("no auth", Reason.PLAN),
    ],
)
def test_refusals_inside_http_200(prefix: str, message: str, reason: Reason) -> None:
    """A 200 with code 300 is a refusal; the message tells which, prefixed or not, in any case."""
    for text in (prefix + message, (prefix + message).upper()):
        with pytest.raises(ProviderError) as caught:
            read({"code": 300, "message": text, "data": None})
        error = caught.value
        assert (error.reason, error.elsewhere, error.sent, error.vendor_time) == (reason, False, True, 5.0)


@pytest.mark.parametrize(
    ("status", "body", "reason", "elsewhere"),
    [
        (200, {"code": 300, "message": "something new", "data": None}, Reason.OTHER, False),
        (200, {"code": 300, "message": None, "data": None}, Reason.OTHER, False),
        (200, {"code": 300, "message": {"a": 1}, "data": [{"ts": T}]}, Reason.OTHER, False),
        (
            200,
            {"code": 400, "message": "Bad request, parameter : startTs can not be null", "data": None},
            Reason.REQUEST,
            False,
        ),
        (200, {"code": 401, "message": "unauthorised"}, Reason.AUTH, False),
        (200, {"code": 403, "message": "wrong authorisation"}, Reason.AUTH, False),
        (200, {"code": 404, "message": "wrong API"}, Reason.REQUEST, False),
        (200, {"code": 429, "message": ""}, Reason.RATE, False),
        (200, {"code": 500, "message": "Unknown Error", "data": None}, Reason.SERVER, False),
        (200, {"code": 777, "data": []}, Reason.OTHER, False),
        (200, {"code": True, "data": []}, Reason.MALFORMED, False),
        (200, {"code": "ok", "data": []}, Reason.MALFORMED, False),
        (200, {"code": 200.5, "data": []}, Reason.MALFORMED, False),
        (200, {"code": 0, "message": "string"}, Reason.MALFORMED, False),
        (200, {"message": "Unauthorized"}, Reason.MALFORMED, False),
        (200, {}, Reason.MALFORMED, False),
        (200, [], Reason.MALFORMED, False),
        (200, "success", Reason.MALFORMED, False),
        (200, b"<html>captive portal</html>", Reason.MALFORMED, False),
        (200, b'{"code":200,"data":[{"ts":163', Reason.MALFORMED, False),
        (200, b'{"code":200,"data":[{"ts":1631837400,"networkDelay":NaN}]}', Reason.MALFORMED, False),
        (200, b"", Reason.MALFORMED, False),
        (204, b"", Reason.MALFORMED, False),
        (302, b"", Reason.MALFORMED, False),
        # gateways in front of the service: no code, so the status speaks first
        (401, {"message": "Unauthorized"}, Reason.AUTH, False),
        (401, {"message": "Invalid authentication credentials"}, Reason.AUTH, False),
        (403, {"message": "you have no auth to access this service, please buy"}, Reason.PLAN, False),
        (404, {"message": "no Route matched with those values"}, Reason.REQUEST, False),
        (429, {"message": "API rate limit exceeded"}, Reason.RATE, False),
        (429, {"code": 300, "message": "qpd limit error", "data": None}, Reason.DAY_QUOTA, False),
        (400, {"code": 400, "message": "Bad request, parameter : ts can not be null"}, Reason.REQUEST, False),
        (500, {"code": 500, "message": "Unknown Error"}, Reason.SERVER, True),
        (502, b"<html>Bad Gateway</html>", Reason.SERVER, True),
        (503, {"code": 200, "data": []}, Reason.SERVER, True),
        (504, b"", Reason.TIMEOUT, True),
    ],
)
def test_other_failures(status: int, body: object, reason: Reason, elsewhere: bool) -> None:
    """Service bodies, gateway bodies and no bodies at all: one reason each, and never a success."""
    with pytest.raises(ProviderError) as caught:
        read(body, status)
    assert (caught.value.reason, caught.value.elsewhere) == (reason, elsewhere)


def test_vendor_text_is_shown_short_and_without_secrets() -> None:
    """A gateway that echoes what we sent does not make it public."""
    for status, code in ((200, 400), (400, 400), (401, None)):
        with pytest.raises(ProviderError) as caught:
            read({"code": code, "message": "token hush\n\x1b[31m" + "x" * 5000}, status)
        assert "hush" not in str(caught.value)
        assert "***" in str(caught.value)
        assert str(caught.value).isprintable()
        assert len(caught.value.detail) <= 200


# ── anything at all ──────────────────────────────────────────────────────────────────────────────────────────────────

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(T // 20, T // 20 + 5).map(lambda n: n * 20)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["200", "NaN", 10**400, -0.0, 1e308])
)
keys = st.sampled_from(["code", "message", "data", "list", "ts", "networkDelay", "uid", "values", "sdk", "userCount"])
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys | st.text(max_size=3), inner, max_size=5)
)
bodies = st.fixed_dictionaries({"code": st.sampled_from([200, 0, 300]), "data": anything}) | anything


@given(bodies, st.sampled_from([200, 200, 200, 401, 429, 503]))
def test_any_json_is_points_or_an_error(body: object, status: int) -> None:
    """No body crashes a reader, and what is read is always on the grid, in order, finite and possible."""
    try:
        data = read(body, status)
        columns = [
            flat(data, DELAY, ASKED, Tally()),
            *by_uid(data, DELAY, ASKED, {7}, Tally()).values(),
            *by_group(data, DELAY, "sdk", ASKED, {"a"}, Tally()).values(),
        ]
        groups = top(data, DELAY, "sdk", False, Tally())
    except ProviderError:
        return
    for column in columns:
        assert np.all(column.start % 20 == 0)
        assert np.all(np.diff(column.start) > 0)
        assert np.all((column.start >= ASKED.start) & (column.start < ASKED.end))
        assert np.all((column.value >= 0) & (column.value <= 1))
    assert all(0 <= group.value <= 1 for group in groups)


@given(st.binary(max_size=200))
def test_any_bytes_are_an_error_or_json(raw: bytes) -> None:
    """Bytes that are no JSON object with a code or data are refused."""
    with pytest.raises(ProviderError):
        read(raw)


@given(
    st.dictionaries(st.sampled_from([T, T + 20, T + 40]), st.floats(0, 1)),
    st.lists(st.tuples(st.sampled_from([T, T + 20, T + 40]), st.floats(0, 1)), max_size=4),
    st.randoms(use_true_random=False),
)
def test_order_does_not_matter_and_the_last_of_a_slot_holds(
    final: dict[int, float], stale: list[tuple[int, float]], random: Random
) -> None:
    """Rows shuffled among slots give the same column; an earlier row of the same slot is counted and gone."""
    order = list(final.items())
    random.shuffle(order)
    superseded = [(slot, value) for slot, value in stale if slot in final]
    rows: list[object] = [{"ts": slot, "networkDelay": value} for slot, value in superseded + order]
    tally = Tally()
    column = flat(rows, DELAY, ASKED, tally)
    assert dict(zip(column.start.tolist(), column.value.tolist(), strict=True)) == final
    assert column.start.tolist() == sorted(final)
    assert tally[Oddity.DUPLICATE] == len(superseded)
