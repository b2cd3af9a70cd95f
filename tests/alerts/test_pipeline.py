"""Every open obligation is said, dropped or held, for a reason: the tables of `plan`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.alerts.build import LABELS, T0, obligation, transition
from watcher.alerts.pipeline import MAX_OBLIGATIONS, Plan, View, plan
from watcher.alerts.reasons import Dropped, Held
from watcher.alerts.route import Group, Timing
from watcher.model import Obligation, Standing, State, Transition

F, R, I = State.FIRING, State.RESOLVED, State.INACTIVE  # noqa: E741

GROUP: Group = (("project", "classroom"), ("rule", "VideoFreezing"))


def planned(
    obligations: Sequence[Obligation],
    *,
    busy: Sequence[str] = (),
    spoke_at: Mapping[Group, float] | None = None,
    timing: Timing = Timing(),  # noqa: B008
    now: float = T0 + 1000,
) -> Plan:
    """A plan with everything else at rest: an alert whose first entry is its end was told that it fires."""
    standing: dict[str, Standing] = {}
    for duty in sorted(obligations, key=lambda o: -o.transition.seq):
        standing[duty.transition.alert_id] = Standing(latest=duty, told=duty.transition.state is not F, said_at=T0)
    view = View(busy=busy, spoke_at=spoke_at or {}, standing=standing)
    return plan(obligations, view=view, timing=lambda _: timing, now=now)


def says(result: Plan) -> list[list[str]]:
    """Per draft: `firing 1`, `was_firing 1 2`, by sequence numbers."""
    return [
        [" ".join([str(i.kind), *(str(o.transition.seq) for o in i.obligations)]) for i in draft.items]
        for draft in result.drafts
    ]


def seqs(ids: Mapping[str, str]) -> dict[int, str]:
    """By sequence number instead of id."""
    return {int(i.split("-")[1]): reason for i, reason in ids.items()}


@pytest.mark.parametrize(
    ("entries", "expected", "dropped"),
    [
        ([transition(F, 100)], [["firing 1"]], []),
        ([transition(R, 150, seq=2)], [["resolved 2"]], []),
        ([transition(F, 100), transition(R, 150, seq=2)], [["was_firing 1 2"]], []),
        (
            [transition(R, 150, seq=2), transition(F, 200, seq=3)],
            [["resolved 2", "firing 3"]],
            [],
        ),
        (
            [transition(F, 100), transition(R, 150, seq=2), transition(F, 200, seq=3)],
            [["was_firing 1 2", "firing 3"]],
            [],
        ),
        ([transition(F, 100), transition(I, 100, seq=2, retracts=100)], [], [1, 2]),
        ([transition(I, 100, seq=2, retracts=100)], [["resolved 2"]], []),
        (
            [transition(F, 100), transition(R, 150, seq=2), transition(F, 100, seq=3, retracts=150)],
            [["firing 1"]],
            [2, 3],
        ),
        (
            [transition(R, 150, seq=2), transition(F, 100, seq=3, retracts=150)],
            [],
            [2, 3],
        ),
        (
            [transition(F, 100), transition(I, 100, seq=2, retracts=100), transition(F, 120, seq=3)],
            [["firing 3"]],
            [1, 2],
        ),
    ],
    ids=str,
)
def test_what_an_alerts_open_obligations_say(
    entries: list[Transition], expected: list[list[str]], dropped: list[int]
) -> None:
    """Beginning, end, both in one, and what was taken back before it was said."""
    result = planned([obligation(entry) for entry in entries])
    assert says(result) == expected
    assert seqs(result.dropped) == dict.fromkeys(dropped, Dropped.SUPERSEDED)
    assert (result.held, result.next_at) == ({}, None)


def test_an_alert_with_an_undelivered_message_waits_and_others_do_not() -> None:
    """Its end must not overtake its beginning; a neighbour in the same group goes."""
    ours = obligation(transition(R, 150, seq=2))
    other = obligation(transition(F, 150, labels={**LABELS, "product": "WebRTC"}))
    result = planned([ours, other], busy=[ours.transition.alert_id])
    assert says(result) == [["firing 1"]]
    assert result.held == {ours.id: Held.IN_ORDER}


def test_an_alerts_end_never_leaves_in_another_group_than_its_beginning() -> None:
    """Routes that changed in between must not split what belongs together."""
    first = obligation(transition(F, 100), route={"rule": "a"})
    second = obligation(transition(R, 150, seq=2), route={"rule": "b"})
    third = obligation(transition(F, 200, seq=3), route={"rule": "b"})
    assert says(planned([third, second, first])) == [["was_firing 1 2", "firing 3"]]
    moved = obligation(transition(F, 200, seq=3), route={"rule": "a"})
    assert says(planned([moved, second])) == [["resolved 2", "firing 3"]]


def test_the_first_message_of_a_group_waits_for_group_wait() -> None:
    """Counted from its oldest obligation; the plan says when to look again."""
    waiting = [obligation(transition(F, 100), created_at=T0 + 100)]
    early = planned(waiting, timing=Timing(wait=30), now=T0 + 129)
    assert (early.drafts, set(early.held.values()), early.next_at) == ((), {Held.GROUP_WAIT}, T0 + 130)
    assert says(planned(waiting, timing=Timing(wait=30), now=T0 + 130)) == [["firing 1"]]


def test_the_next_message_of_a_group_waits_for_group_interval() -> None:
    """Counted from the last; what comes in between gathers into a digest."""
    waiting = [obligation(transition(F, 100, labels={**LABELS, "channel": c})) for c in "ab"]
    early = planned(waiting, spoke_at={GROUP: T0 + 90}, now=T0 + 149)
    assert (early.drafts, set(early.held.values()), early.next_at) == ((), {Held.GROUP_INTERVAL}, T0 + 150)
    assert says(planned(waiting, spoke_at={GROUP: T0 + 90}, now=T0 + 150)) == [["firing 1", "firing 1"]]


def test_a_clock_stepped_back_delays_a_group_by_one_wait_at_most() -> None:
    """A last message in the future counts as just now, and so does an obligation."""
    waiting = [obligation(transition(F, 100), created_at=T0 + 90_000)]
    assert planned(waiting, spoke_at={GROUP: T0 + 90_000}, now=T0 + 100).next_at == T0 + 160
    assert planned(waiting, timing=Timing(wait=30), now=T0 + 100).next_at == T0 + 130


def test_groups_are_separate_messages() -> None:
    """Two projects, two messages, by the labels recorded with the obligations."""
    two = [obligation(transition(F, 100, labels={**LABELS, "project": p})) for p in ("a", "b")]
    assert says(planned(two)) == [["firing 1"], ["firing 1"]]
    assert len({d.id for d in planned(two).drafts}) == 2


def test_a_message_discharges_a_bounded_number() -> None:
    """What does not fit goes into the group's next message, an interval later."""
    many = [obligation(transition(F, 100, labels={**LABELS, "channel": f"{i}"})) for i in range(MAX_OBLIGATIONS + 7)]
    result = planned(many)
    assert [len(d.obligations) for d in result.drafts] == [MAX_OBLIGATIONS]
    assert (len(result.held), set(result.held.values()), result.next_at) == (7, {Held.GROUP_INTERVAL}, T0 + 1060)


def test_a_storm_of_a_thousand_alerts_in_a_minute_is_two_messages() -> None:
    """At most 1 + ceil(1 min / group_interval) per group, whatever order they come in."""
    spoke: dict[Group, float] = {}
    messages = 0
    open_: list[Obligation] = []
    for second in range(121):
        if second < 60:
            open_ += [
                obligation(transition(F, second, labels={**LABELS, "channel": f"{second}-{i}"})) for i in range(8)
            ]
        result = planned(open_, spoke_at=spoke, now=T0 + second)
        for draft in result.drafts:
            messages += 1
            spoke |= dict.fromkeys(draft.groups, T0 + second)
            open_ = [o for o in open_ if o.id not in draft.obligations]
    assert (messages, open_) == (2, [])


@settings(max_examples=100)
@given(st.permutations(range(6)), st.sets(st.integers(0, 2)))
def test_a_plan_is_complete_and_does_not_depend_on_the_order_given(order: list[int], busy: set[int]) -> None:
    """Every obligation has exactly one decision, and planning again gives the same ids."""
    all_ = [
        obligation(entry)
        for c in "abc"
        for entry in (
            transition(F, 100, labels={**LABELS, "channel": c}),
            transition(R, 150, seq=2, labels={**LABELS, "channel": c}),
        )
    ]
    ids = [all_[2 * i].transition.alert_id for i in busy]
    first = planned(all_, busy=ids)
    again = planned([all_[i] for i in order], busy=ids)
    said = [o for d in first.drafts for o in d.obligations]
    assert sorted([*said, *first.dropped, *first.held]) == sorted(o.id for o in all_)
    assert [d.id for d in first.drafts] == [d.id for d in again.drafts]
