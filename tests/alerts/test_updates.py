"""An update says more of an alert that fires: to whom, when, and never instead of or before a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from tests.alerts.build import LABELS, T0, obligation, outbox, route, routing, transition
from tests.alerts.fakes import FakeSender, FakeStore
from watcher.alerts.affected import AFFECTED
from watcher.alerts.heard import Heard
from watcher.alerts.limits import Limits
from watcher.alerts.message import Item, Kind, compose
from watcher.alerts.mutes import Mutes
from watcher.alerts.pipeline import Plan, View, plan
from watcher.alerts.reasons import Dropped, Held, Said
from watcher.alerts.route import Group, Timing, oblige
from watcher.clock import VirtualClock
from watcher.model import Ack, Commit, Obligation, Silence, Standing, State, Transition, alert_id, fold

F, R, I = State.FIRING, State.RESOLVED, State.INACTIVE  # noqa: E741
ALERT = alert_id("VideoFreezing", LABELS)
GROUP: Group = (("project", "classroom"), ("rule", "VideoFreezing"))
WHO = "SDK 4.2.1 (Native): 22% of video time frozen, 410 users in the group; project 1.1%"


def update(seq: int = 2, *, of: int = 1, at: int = 100) -> Transition:
    return replace(transition(F, at, seq=seq, annotations={AFFECTED: WHO}), updates=of)


def planned(
    entries: Sequence[Transition],
    *,
    told: bool,
    spoke_at: Mapping[Group, float] | None = None,
    mutes: Mutes | None = None,
    sent: Sequence[float] = (),
    timing: Timing | None = None,
    now: float = T0 + 110,
) -> Plan:
    """The plan of a target that does or does not believe that the alert fires."""
    duties = [obligation(entry) for entry in entries]
    standing = {ALERT: Standing(latest=obligation(transition(F, 100)), told=told, said_at=T0 if told else None)}
    view = View(
        spoke_at=spoke_at or {},
        standing=standing,
        mutes=mutes or Mutes(),
        sent=sent,
        limits=Limits(per_hour=10),
    )
    return plan(duties, view=view, timing=lambda _: timing or Timing(), now=now)


def says(result: Plan) -> list[str]:
    return [
        f"{item.kind} {' '.join(str(o.transition.seq) for o in item.obligations)}"
        for draft in result.drafts
        for item in draft.items
    ]


@pytest.mark.parametrize(
    ("entries", "told", "expected", "dropped"),
    [
        ([update()], True, ["update 2"], 0),
        ([update()], False, ["firing 2"], 0),  # its beginning was muted: the update is the beginning
        ([transition(F, 100), update()], False, ["firing 1 2"], 0),  # folded into the page that has not left
        ([transition(F, 100), update(), transition(R, 150, seq=3)], False, ["was_firing 1 2 3"], 0),
        ([update(), transition(R, 150, seq=3)], True, ["resolved 2 3"], 0),
        ([transition(F, 100), update(), transition(I, 100, seq=3, retracts=100)], False, [], 3),
        ([update(), transition(I, 100, seq=3, retracts=100)], True, ["resolved 3"], 1),
        ([update(), update(3)], True, ["update 2 3"], 0),
    ],
)
def test_what_an_update_becomes(entries: list[Transition], told: bool, expected: list[str], dropped: int) -> None:
    """With the beginning or the end that is said anyway; alone, an item of its own for who holds the page."""
    result = planned(entries, told=told)
    assert says(result) == expected
    assert len(result.dropped) == dropped


def test_an_update_neither_waits_for_the_interval_nor_begins_one() -> None:
    """It leaves at once after its page, and the next page of the group is no later for it."""
    other = replace(transition(F, 105, labels={**LABELS, "product": "WebRTC"}))
    pace = Timing(interval=60.0)
    result = planned([update(), other], told=True, spoke_at={GROUP: T0 + 100}, timing=pace)
    assert says(result) == ["update 2"]
    assert result.drafts[0].reason is Said.UPDATE
    assert set(result.held.values()) == {Held.GROUP_INTERVAL}
    assert result.next_at == T0 + 160


async def test_a_page_after_an_update_leaves_on_time(clock: VirtualClock) -> None:
    """By the outbox itself: the group's interval counts from the page, not from its update."""
    store, sender = FakeStore(), FakeSender(clock)
    box = outbox(store, sender, clock, timing=Timing(interval=60.0))
    start = clock.now()

    def at(entry: Transition, seconds: float) -> Obligation:
        return obligation(entry, created_at=start + seconds)

    other = transition(F, 55, labels={**LABELS, "product": "WebRTC"})
    async with box.opened():
        for entry, seconds in ((transition(F, 0), 0.0), (update(at=0), 50.0), (other, 61.0)):
            store.commit(Commit(transitions=[entry], obligations=[at(entry, seconds)]))
            await clock.sleep_until(start + seconds)
            await box.step()
    kinds = [accepted.notification.kind for accepted in sender.accepted]
    assert kinds == ["firing", "update", "firing"]


def ack(seq: int) -> Mutes:
    return Mutes(acks={ALERT: Ack(alert_id=ALERT, seq=seq, author="ann", comment="", at=T0 + 105.0)})


def test_who_has_it_in_hand_is_not_disturbed() -> None:
    """An update of an acknowledged alert is dropped with that reason, and does not take it out of anybody's hand."""
    result = planned([update()], told=True, mutes=ack(1))
    assert list(result.dropped.values()) == [Dropped.IN_HAND]
    assert ack(1).in_hand(update())
    assert not ack(1).in_hand(transition(F, 300, seq=3))


def test_a_silence_mutes_an_update() -> None:
    """As it mutes a beginning: what is silenced is not said by the back door."""
    silence = Silence(
        id="s",
        match={"rule": ("VideoFreezing",)},
        starts_at=T0,
        ends_at=T0 + 900.0,
        author="a",
        comment="",
        created_at=T0,
    )
    result = planned([update()], told=True, mutes=Mutes(silences=(silence,)))
    assert list(result.dropped.values()) == [Dropped.SILENCED]


def test_half_of_the_hour_is_for_news() -> None:
    """Where a target has heard half of what it may, an update takes no room; a page that holds one does."""
    recent = [T0 + 100.0] * 5
    assert list(planned([update()], told=True, sent=recent).dropped.values()) == [Dropped.NO_ROOM]
    assert says(planned([update()], told=True, sent=recent[1:])) == ["update 2"]
    assert says(planned([update()], told=False, sent=recent)) == ["firing 2"]


def test_updates_go_to_those_who_hold_the_page() -> None:
    """Not to whom the routes have come to name since, and not to a holder whom they no longer do."""
    both = routing(route("slack"), route("mail"))
    result = oblige([update()], both, {ALERT: frozenset({"slack", "gone"})}, now=T0)
    assert [o.target for o in result.obligations] == ["slack"]
    assert result.told == {ALERT: frozenset({"slack", "gone"})}


def test_an_alert_that_nobody_holds_is_told_by_its_update() -> None:
    """After a reload that removed every holder, the last entry is what today's routes are told, update or not."""
    result = oblige([update()], routing(route("slack")), {}, now=T0)
    assert [o.target for o in result.obligations] == ["slack"]
    assert result.told == {ALERT: frozenset({"slack"})}


def test_an_update_is_no_beginning() -> None:
    """An alert does not flap because something more became known of it."""
    heard = Heard(within=3600.0)
    heard.note([obligation(transition(F, 100)), obligation(update())])
    assert [len(began) for began in heard.began.values()] == [1]


def test_the_fold_is_what_it_was() -> None:
    """Updates anywhere in a log leave its settled timeline alone."""
    log = [transition(F, 100), transition(R, 150, seq=2), transition(F, 200, seq=3)]
    told = [log[0], update(2), replace(log[1], seq=3), replace(log[2], seq=4), update(5, of=4, at=200)]
    assert fold(told) == fold(log)


def test_the_message_says_who_is_hurt() -> None:
    """In every form, after what it is about; a page that is late enough has it too, once."""
    alone = compose([Item(kind=Kind.UPDATE, obligations=(obligation(update()),))])
    assert alone.title == "[UPDATE] VideoFreezing: classroom, Native"
    folded = compose([Item(kind=Kind.FIRING, obligations=(obligation(transition(F, 100)), obligation(update())))])
    assert folded.title == "[FIRING] VideoFreezing: classroom, Native"
    for written in (alone, folded):
        assert written.text.count(f"affected: {WHO}") == 1
        assert WHO in written.brief
        assert "SDK 4.2.1" in written.html


def test_a_correction_that_fires_stays_one_when_more_is_known() -> None:
    """What was corrected is still said to be, though the update itself corrects nothing."""
    corrected = transition(F, 100, seq=3, retracts=100)
    item = Item(kind=Kind.FIRING, obligations=(obligation(corrected), obligation(update(4, of=3))))
    assert "(corrected)" in compose([item]).title


def test_an_answer_that_was_not_told_goes_with_the_end() -> None:
    """Of an alert that ended first: with the one message sent; an end that follows an update is silent."""
    over = transition(R, 150, seq=3)
    began = compose(
        [Item(kind=Kind.WAS_FIRING, obligations=tuple(map(obligation, (transition(F, 100), update(), over))))]
    )
    ended = compose([Item(kind=Kind.RESOLVED, obligations=(obligation(update()), obligation(over)))])
    for written in (began, ended):
        assert written.text.count(f"affected: {WHO}") == 1
        assert WHO in written.brief
    assert "affected" not in compose([Item(kind=Kind.RESOLVED, obligations=(obligation(over),))]).text


def test_hostile_groups_are_words() -> None:
    """A user who names a device like a mention or like markup changes nothing but a name (invariant 7)."""
    bad = replace(update(), annotations={AFFECTED: "device <b>@everyone</b> [x](http://evil.invalid)\nFIRING: fake"})
    written = compose([Item(kind=Kind.UPDATE, obligations=(obligation(bad),))])
    assert "<b>@" not in written.html
    assert "@everyone" not in written.text
    assert not any(line.startswith("FIRING") for line in written.text.splitlines())
