"""Which endings are failures: the table of the dossier, and what users change of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType

import pytest

from watcher.providers.twilio.endings import CODES, WORDS, Basis, Class, Judge

BASES: tuple[Basis, ...] = ("either", "end_reason", "error_code")


def judge(basis: Basis = "either", classes: Mapping[str, Class] = MappingProxyType({})) -> Judge:
    return Judge(basis=basis, classes=classes)


def test_all_words_are_filed() -> None:
    """The vendor lists 47 words: so many of each class as in the dossier's table."""
    assert Counter(WORDS.values()) == {
        "normal": 2,
        "drop": 6,
        "connect": 11,
        "config": 24,
        "quota": 2,
        "warning": 1,
        "unclassified": 1,
    }


@pytest.mark.parametrize("word", sorted(WORDS))
def test_capitals_change_nothing(word: str) -> None:
    """Two of the vendor's words have capitals: a word is known in any case."""
    assert judge().of(word.upper(), None, 600) == judge().of(word, None, 600)
    assert judge().of(word, None, 600).strange == ()


@pytest.mark.parametrize(("code", "fails"), [(53118, False), (53205, False), (53216, False), (53405, True)])
def test_some_codes_never_make_a_failure(code: int, fails: bool) -> None:
    """A room that was closed, a second tab and a session that was long enough are no failures."""
    assert judge().of(None, code, 600).failed is fails


def test_a_drop_within_fifteen_seconds_also_never_got_in() -> None:
    """Below the line, or with no duration: dropped and kept out; at the line only dropped."""
    for duration, out in ((14, True), (None, True), (15, False)):
        verdict = judge().of(None, 53001, duration)
        assert (verdict.failed, verdict.dropped, verdict.kept_out) == (True, True, out)


def test_an_unknown_code_is_a_failure_and_an_unknown_word_is_not() -> None:
    """Both are named."""
    assert judge().of(None, 59999, 60)[:4] == (True, False, False, False)
    assert judge().of(None, 59999, 60).strange == ("59999",)
    assert not judge().of("went_for_tea", None, 60).failed
    assert judge().of("went_for_tea", 0, 60).strange == ("went_for_tea",)


def test_null_and_zero_are_no_error() -> None:
    """The vendor writes both."""
    for code in (None, 0):
        verdict = judge().of("disconnected_via_api", code, 60)
        assert not verdict.failed
        assert not verdict.conflict


def test_a_contradiction_is_counted_and_the_basis_decides() -> None:
    """`disconnected_via_api` with 53002, as in one of the vendor's samples."""
    found = {basis: judge(basis).of("disconnected_via_api", 53002, 60) for basis in BASES}
    assert all(verdict.conflict for verdict in found.values())
    assert {basis: verdict.failed for basis, verdict in found.items()} == {
        "either": True,
        "end_reason": False,
        "error_code": True,
    }
    assert not judge().of("signaling_connection_timed_out", 53002, 60).conflict


def test_a_moved_ending_moves_by_both_names() -> None:
    """Filed by its code or by its word, it counts so whichever the row has."""
    for key in ("53205", "participant_disconnected_because_of_duplicate_identity"):
        moved = judge(classes={key: "drop"})
        assert moved.of(None, 53205, 60).dropped
        assert moved.of("participant_disconnected_because_of_duplicate_identity", None, 60).dropped
    assert (
        not judge(classes={"53405": "normal"}).of("media_connection_failed_or_media_activity_ceased", 53405, 60).failed
    )
    assert judge(classes={"59999": "quota"}).of(None, 59999, 60).refused
    assert judge(classes={"59999": "quota"}).of(None, 59999, 60).strange == ()


def test_codes_without_a_word_are_known() -> None:
    """The dossier's list of those that only `error_code` can say."""
    assert {CODES[c] for c in (53006, 53305, 53407)} == {"connect"}
    assert CODES[53406] == "drop"
    assert {CODES[c] for c in (53114, 53117, 53123, 53127, 53207, 53209, 53217, 53408)} == {"config"}
    assert {CODES[c] for c in (53216, 53600, 53699)} == {"normal"}
