"""Which groups stand out, and the sentence about them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.alerts.affected import LEAST_USERS, MOST, says, stand_out
from watcher.model import SIGNALS, Dimension, Group, Hurt, Rest, Series, Split

FREEZE = "video_freeze_ratio"
CLASSROOM = Series("acme", "agora", "classroom", "WebRTC", "", FREEZE)


def split(*groups: Group, dimension: Dimension = Dimension.SDK) -> Split:
    return Split(dimension=dimension, groups=groups)


def names(*groups: Group, signal: str = FREEZE, base: float, users: float = 0.0) -> list[str]:
    return [hurt.group for hurt in stand_out([split(*groups)], signal, base, users)]


@pytest.mark.parametrize(
    ("signal", "base", "groups", "expected"),
    [
        (FREEZE, 0.06, [Group("new", 0.22, 100), Group("old", 0.01, 300)], ["new"]),
        (FREEZE, 0.22, [Group("new", 0.22, 100), Group("old", 0.22, 300)], []),
        (FREEZE, 0.06, [Group("new", 0.22, LEAST_USERS - 1), Group("old", 0.05, 300)], []),
        (FREEZE, 0.0044, [Group("new", 0.012, 100), Group("old", 0.002, 300)], []),  # twice nothing is nothing
        (FREEZE, 0.09, [Group("new", 0.12, 100), Group("old", 0.08, 300)], []),  # half as bad again is chance
        (FREEZE, 0.18, [Group("large", 0.22, 400), Group("old", 0.02, 100)], ["large"]),  # most are in it: it is it
        (FREEZE, 0.22, [Group("all", 0.22, 400)], []),  # nobody to compare with
        ("join_success_ratio", 0.90, [Group("new", 0.6, 100), Group("old", 0.99, 300)], ["new"]),
        ("join_success_ratio", 0.9825, [Group("new", 0.99, 100), Group("old", 0.98, 300)], []),
        ("video_latency_seconds", 0.35, [Group("far", 0.8, 100), Group("near", 0.2, 300)], ["far"]),
        ("video_bitrate_bytes_per_second", 8e4, [Group("slow", 2e4, 100), Group("fast", 1e5, 300)], ["slow"]),
        ("video_bitrate_bytes_per_second", 8e4, [Group("slow", 7e4, 100), Group("fast", 9e4, 300)], []),
    ],
)
def test_a_group_stands_out_from_the_rest(signal: str, base: float, groups: list[Group], expected: list[str]) -> None:
    """By what it is beside everybody else, with enough users, in the direction that hurts."""
    assert names(*groups, signal=signal, base=base) == expected


def test_those_who_are_not_named_count_as_the_rest() -> None:
    """A vendor that names its worst groups only has more users than their sum: the rest is what they leave."""
    worst = [Group("new", 0.10, 200), Group("odd", 0.09, 100)]
    assert names(*worst, base=0.02, users=2000) == ["new", "odd"]
    assert names(*worst, base=0.09, users=2000) == []
    assert names(*worst, base=0.06, users=2000) == []  # by their own sum alone, nobody else would have had any trouble


def test_what_the_source_knows_of_the_rest_holds() -> None:
    """A percentile has no mean to work the others out from: the source says what they have."""
    new, old = Group("new", 0.2, 100, Rest(0.02, 300)), Group("old", 0.02, 300, Rest(0.2, 100))
    assert names(new, old, base=0.2) == ["new"]


@pytest.mark.parametrize("others", [0, LEAST_USERS - 1, LEAST_USERS])
@pytest.mark.parametrize("known", [True, False])
def test_a_group_with_hardly_anybody_beside_it_stands_out_from_nothing(others: int, known: bool) -> None:
    """Whether the source says who the others are or they are worked out: as many as a group itself must have."""
    most = Group("most", 0.2, 300, Rest(0.0, others) if known else None)
    whole = 0.2 * 300 / (300 + others)
    assert names(most, base=whole, users=300 + others) == (["most"] if others == LEAST_USERS else [])


def test_the_most_of_the_trouble_comes_first() -> None:
    """Ranked by users times what is worse, across dimensions, and no more than can be read."""
    sdk = split(Group("4.2.1", 0.22, 400), Group("4.1.0", 0.01, 1600))
    device = split(
        *(Group(f"phone {n}", 0.5, 30) for n in range(5)), Group("other", 0.03, 1850), dimension=Dimension.DEVICE
    )
    found = stand_out([device, sdk], FREEZE, 0.052)
    assert len(found) == MOST
    assert [(h.dimension, h.group) for h in found[:2]] == [(Dimension.SDK, "4.2.1"), (Dimension.DEVICE, "phone 0")]


def test_the_sentence_is_the_promised_one() -> None:
    """Group, product, value in words, users, and the whole beside it."""
    hurt = Hurt(dimension=Dimension.SDK, group="4.2.1", signal=FREEZE, value=0.22, users=410.0, base=0.011)
    told = says([hurt], CLASSROOM, [Dimension.SDK])
    assert told == "SDK 4.2.1 (WebRTC): 22% of video time frozen, 410 users in the group; project 1.1%"


def test_no_group_is_an_answer() -> None:
    """It names what was asked and of what, so that nobody looks there again; another alert may share it."""
    told = says([], CLASSROOM, [Dimension.NETWORK, Dimension.SDK])
    assert told == "no network or SDK stands out (video_freeze_ratio)"
    assert says([], CLASSROOM, []) == ""


def test_a_name_is_one_line_and_no_longer_than_can_be_read() -> None:
    """Names are text of end users (invariant 7): what could begin a line of its own, or fill a page, is cut."""
    [name] = names(Group("phone\nFIRING: fake " + "x" * 500, 0.22, 100), Group("old", 0.01, 300), base=0.06)
    assert name.startswith("phone FIRING: fake x")
    assert len(name) == 60
    assert name.isprintable()


SHARES = st.floats(0, 1)
GROUPS = st.lists(st.builds(Group, st.text(max_size=200), SHARES, st.floats(0, 1e6)), max_size=60)


@given(groups=GROUPS, base=SHARES, signal=st.sampled_from(sorted(SIGNALS)))
def test_whatever_the_vendor_says_there_is_an_answer(groups: list[Group], base: float, signal: str) -> None:
    """Any numbers and names: at most three groups, all large enough, names bounded, and a sentence."""
    found = stand_out([split(*groups)], signal, base)
    assert len(found) <= MOST
    assert all(hurt.users >= LEAST_USERS and len(hurt.group) <= 60 for hurt in found)
    assert says(found, CLASSROOM, [Dimension.SDK])
