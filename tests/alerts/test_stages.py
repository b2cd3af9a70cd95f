"""The stages of the pipeline after what there is to say: muting, repeats, damping, the cap. Each with its reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.alerts.build import LABELS, T0, obligation, transition
from watcher.alerts.flapping import damp
from watcher.alerts.hours import Hours, Weekly
from watcher.alerts.limits import Flapping, Limits
from watcher.alerts.maintenance import Maintenance
from watcher.alerts.message import compose
from watcher.alerts.mutes import Mutes
from watcher.alerts.pipeline import Plan, View, plan
from watcher.alerts.reasons import Dropped, Held, Said
from watcher.alerts.route import Timing
from watcher.alerts.settings import BENEATH
from watcher.clock import HOUR
from watcher.model import Ack, Obligation, Silence, Standing, State, Transition

F, R = State.FIRING, State.RESOLVED

FIRED = obligation(transition(F, 100))
ENDED = obligation(transition(R, 150, seq=2))
ALERT = FIRED.transition.alert_id
TOLD = {ALERT: Standing(latest=FIRED, told=True, said_at=T0 + 100.0)}
UNTOLD = {ALERT: Standing(latest=FIRED)}

SILENCE = Silence(
    id="s", match={}, starts_at=float(T0), ends_at=T0 + 1e5, author="kim", comment="", created_at=float(T0)
)
QUIET = Mutes(silences=(SILENCE,))


def planned(obligations: Sequence[Obligation] = (), view: View | None = None, *, now: float, **timing: float) -> Plan:
    """A plan some seconds after the epoch."""
    pace = Timing(**{"interval": 0.0, **timing})  # type: ignore[arg-type]
    return plan(obligations, view=view or View(), timing=lambda _: pace, now=T0 + now)


def kinds(result: Plan) -> list[list[str]]:
    """What each draft says."""
    return [[str(item.kind) for item in draft.items] for draft in result.drafts]


def test_what_begins_under_a_silence_is_dropped_with_that_reason() -> None:
    """A beginning, and one that is over already."""
    for open_ in ([FIRED], [FIRED, ENDED]):
        result = planned(open_, View(mutes=QUIET), now=160)
        assert (result.drafts, set(result.dropped.values())) == ((), {Dropped.SILENCED})
        assert result.next_at == (T0 + 180 if len(open_) == 1 else None)  # whether it may be said by then
        assert len(result.dropped) == len(open_)


def test_the_end_of_what_was_told_goes_through_every_mute() -> None:
    """A silence must not leave an incident open; the end of what was never told has nothing to take back."""
    window = Maintenance(name="always", span=(0.0, 1e12))
    mutes = Mutes(silences=(SILENCE,), maintenance=(window,))
    assert kinds(planned([ENDED], View(mutes=mutes, standing=TOLD), now=160)) == [["resolved"]]
    for standing in (UNTOLD, {}):
        assert planned([ENDED], View(mutes=mutes, standing=standing), now=160).dropped == {ENDED.id: Dropped.NOT_TOLD}


def test_stages_answer_in_their_order() -> None:
    """Silence before inhibition before maintenance: the first reason counts."""
    wide = obligation(transition(F, 90, labels={k: v for k, v in LABELS.items() if k != "product"}))
    standing = {wide.transition.alert_id: Standing(latest=wide, told=True, said_at=T0 + 90.0)}
    window = Maintenance(name="always", span=(0.0, 1e12))
    reasons = []
    for silences in ((SILENCE,), ()):
        for inhibits in ((BENEATH.value(),), ()):
            for maintenance in ((window,), ()):
                mutes = Mutes(silences=silences, inhibits=inhibits, maintenance=maintenance)
                result = planned([FIRED], View(mutes=mutes, standing=standing), now=160)
                reasons.append(result.dropped.get(FIRED.id))
    s, i, m = Dropped.SILENCED, Dropped.INHIBITED, Dropped.MAINTENANCE
    assert reasons == [s, s, s, s, i, i, m, None]


def test_outside_its_hours_a_route_tells_no_beginning_and_makes_up_for_it_when_they_begin() -> None:
    """Dropped with that reason, looked at again each minute, and said as muted until now; ends always go."""
    office = Timing(interval=0.0, hours=(Hours(active=(Weekly(start=9 * 60, end=17 * 60, zone="Europe/Berlin"),)),))
    night, morning = T0 + 160, T0 + 8 * 3600  # 01:02 and 09:00 in Berlin
    early = plan([FIRED], view=View(), timing=lambda _: office, now=night)
    assert (early.drafts, early.dropped, early.next_at) == ((), {FIRED.id: Dropped.OFF_HOURS}, T0 + 180)
    silent = plan([], view=View(standing=UNTOLD), timing=lambda _: office, now=morning - 1)
    assert (silent.drafts, silent.next_at) == ((), morning)
    late = plan([], view=View(standing=UNTOLD), timing=lambda _: office, now=morning)
    assert (kinds(late), late.drafts[0].reason) == ([["firing"]], Said.UNMUTED)
    assert kinds(plan([ENDED], view=View(standing=TOLD), timing=lambda _: office, now=night)) == [["resolved"]]
    told = View(standing=TOLD)
    assert plan([], view=told, timing=lambda _: replace(office, repeat=3600.0), now=morning - 60).drafts == ()


def test_a_target_hears_while_any_of_its_routes_speaks() -> None:
    """Two routes with other hours to one target: the reason holds only where both are silent."""
    days, nights = Hours(active=(Weekly(start=480, end=1200),)), Hours(mute=(Weekly(start=480, end=1200),))
    either = Timing(hours=(days, nights))
    assert all(either.speaks(T0 + 3600 * hour) for hour in range(24))
    assert [hour for hour in range(24) if not Timing(hours=(days,)).speaks(T0 + 3600 * hour)] == [
        *range(8),
        *range(20, 24),
    ]
    both = Hours(active=(Weekly(start=480, end=1200),), mute=(Weekly(days=frozenset([3]), start=720, end=780),))
    assert [hour for hour in range(8, 20) if not both.hold(T0 + 3600 * hour)] == [12]  # 2026-01-01 is a Thursday


def test_a_wide_alert_mutes_those_beneath_it_in_the_same_batch_and_also_where_it_is_silenced_itself() -> None:
    """A hundred channels and their project at once are one message, or none."""
    wide = obligation(transition(F, 90))
    narrow = [obligation(transition(F, 90, labels={**LABELS, "channel": f"c{i}"})) for i in range(100)]
    mutes = Mutes(inhibits=(BENEATH.value(),))
    result = planned([*narrow, wide], View(mutes=mutes), now=160)
    assert kinds(result) == [["firing"]]
    assert set(result.dropped.values()) == {Dropped.INHIBITED}
    quiet = replace(mutes, silences=(replace(SILENCE, match={"alert": (wide.transition.alert_id,)}),))
    assert planned([*narrow, wide], View(mutes=quiet), now=160).drafts == ()


def test_an_alert_that_still_fires_is_repeated() -> None:
    """After the interval, not before; the plan says when; nobody is reminded by a route that is gone."""
    view = View(standing=TOLD)
    early = planned(view=view, now=100 + 3599, repeat=3600)
    assert (early.drafts, early.next_at) == ((), T0 + 3700)
    due = planned(view=view, now=3700, repeat=3600)
    assert kinds(due) == [["still_firing"]]
    assert due.drafts[0].reason is Said.REPEAT
    assert [o.id for o in due.drafts[0].reminders] == [f"{FIRED.id}-again-{T0 + 3700}"]
    assert planned(view=view, now=1e6, repeat=float("inf")).drafts == ()
    gone = plan((), view=view, timing=lambda _: Timing(routed=False), now=T0 + 1e6)
    assert (gone.drafts, gone.next_at) == ((), None)


def test_a_group_is_repeated_as_one_message() -> None:
    """When one is due, all that fire are; one that somebody has in hand is not."""
    duties = [obligation(transition(F, 100, labels={**LABELS, "channel": c})) for c in "abc"]
    ids = [o.transition.alert_id for o in duties]
    standing = {
        a: Standing(latest=o, told=True, said_at=T0 + 100.0 * i)
        for i, (a, o) in enumerate(zip(ids, duties, strict=True))
    }
    acks = {ids[1]: Ack(alert_id=ids[1], seq=1, author="kim", comment="", at=0.0)}
    result = planned(view=View(standing=standing, mutes=Mutes(acks=acks)), now=3600, repeat=3600)
    assert [draft.alerts for draft in result.drafts] == [(ids[0], ids[2])]


def test_an_acknowledged_alert_stops_repeating_until_it_changes() -> None:
    """Its end is told; a new beginning is news."""
    ack = Mutes(acks={ALERT: Ack(alert_id=ALERT, seq=1, author="kim", comment="", at=0.0)})
    view = View(standing=TOLD, mutes=ack)
    assert planned(view=view, now=1e6).drafts == ()
    assert kinds(planned([ENDED], view, now=200)) == [["resolved"]]
    again = obligation(transition(F, 300, seq=3))
    assert kinds(planned([again], View(mutes=ack), now=400)) == [["firing"]]
    changed = {ALERT: Standing(latest=again, told=True, said_at=T0 + 300.0)}
    assert kinds(planned(view=View(standing=changed, mutes=ack), now=1e6)) == [["still_firing"]]


def test_what_still_fires_when_its_silence_ends_is_said() -> None:
    """At the next full minute at the latest, as a firing that says that it was muted; group_wait does not delay it."""
    muted = planned(view=View(standing=UNTOLD, mutes=QUIET), now=130)
    assert (muted.drafts, muted.next_at) == ((), T0 + 180)
    over = Mutes(silences=(replace(SILENCE, ends_at=T0 + 150.0),))
    result = planned(view=View(standing=UNTOLD, mutes=over), now=180, wait=30)
    assert kinds(result) == [["firing"]]
    assert result.drafts[0].reason is Said.UNMUTED
    assert "note: it was muted until now" in compose(result.drafts[0].items).text


def test_nobody_is_reminded_of_what_is_busy_open_or_told_not_to() -> None:
    """An undelivered message, an open obligation, a view that says so."""
    assert planned(view=View(standing=TOLD, busy={ALERT}), now=1e6).drafts == ()
    assert kinds(planned([ENDED], View(standing=TOLD), now=1e6)) == [["resolved"]]
    assert planned(view=View(standing=TOLD, remind=False), now=1e6).drafts == ()


# ── damping ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def change(state: State, seq: int, at: float) -> Obligation:
    """An entry that became known at its time."""
    return obligation(transition(state, int(at), seq=seq))


def test_the_fourth_beginning_in_an_hour_is_named_flapping() -> None:
    """It is said at once; three are not."""
    four = change(F, 7, 1800)
    began = [T0 + at for at in (0.0, 600.0, 1200.0, 1800.0)]
    result = planned([four], View(began={ALERT: began}), now=1800)
    (draft,) = result.drafts
    message = compose(draft.items)
    assert message.title.startswith("[FIRING, FLAPPING] ")
    assert "note: flapping: it began 4 times lately, what follows waits until it stays as it is" in message.text
    three = planned([four], View(began={ALERT: began[1:]}), now=1800)
    assert "FLAPPING" not in compose(three.drafts[0].items).title


def test_a_flapping_alert_says_its_end_once_it_is_calm() -> None:
    """The changes in between are dropped as they are overtaken; one obligation stays open."""
    own = [change(R, 8, 1900), change(F, 9, 1950), change(R, 10, 2000)]
    early = damp(own, told=True, flaps=5, calm=900, now=T0 + 2899)
    assert (early.item, early.held, early.until, early.dropped) == (None, own[2], T0 + 2900, tuple(own[:2]))
    late = damp(own[2:], told=True, flaps=5, calm=900, now=T0 + 2900)
    assert late.item is not None
    assert "flapping: it began 5 times lately, it has calmed down" in compose([late.item]).text


def test_a_flapping_alert_that_settles_on_firing_says_nothing_more() -> None:
    """The target believes that it fires, and so it is."""
    own = [change(R, 8, 1900), change(F, 9, 1950)]
    assert damp(own, told=True, flaps=5, calm=900, now=T0 + 2850).dropped == tuple(own)


def test_flapping_that_was_never_told_is_one_message() -> None:
    """Short episodes found whole in each look: when calm, one message spans them, without an end nobody waits for."""
    own = [change(R, 6, 1700), change(F, 7, 1800), change(R, 8, 1900)]
    late = damp(own, told=False, flaps=4, calm=900, now=T0 + 2800)
    assert late.item is not None
    assert (str(late.item.kind), late.item.obligations, late.dropped) == ("was_firing", tuple(own[1:]), (own[0],))
    assert damp(own[:1], told=False, flaps=4, calm=900, now=T0 + 1700).dropped == (own[0],)


@settings(max_examples=200)
@given(st.lists(st.sampled_from([5.0, 60.0, 240.0, 1000.0, 2000.0]), min_size=1, max_size=60))
def test_however_an_alert_flaps_messages_are_few_and_the_last_is_true(gaps: list[float]) -> None:
    """Four episodes an hour, and what the calm ends say; and the target ends up with the truth."""
    limits = Limits(flapping=Flapping())
    now, seq, told, messages = 0.0, 0, False, 0
    began: list[float] = []
    open_: list[Obligation] = []

    def look(at: float) -> float | None:
        nonlocal told, messages, open_
        standing = {ALERT: Standing(latest=FIRED, told=told, said_at=T0 + at)}
        result = planned(open_, View(began={ALERT: began}, standing=standing, limits=limits, remind=False), now=at)
        for draft in result.drafts:
            messages += 1
            told = draft.items[-1].last.state is F
        taken = {*result.dropped, *(i for d in result.drafts for i in d.obligations)}
        open_ = [o for o in open_ if o.id not in taken]
        assert len(open_) <= 1
        return result.next_at

    for gap in gaps:
        now, seq = now + gap, seq + 1
        state = F if seq % 2 else R
        if state is F:
            began.append(T0 + now)
        open_.append(change(state, seq, now))
        look(now)
    look(now + HOUR)
    assert told is (len(gaps) % 2 == 1)
    assert messages <= 2 * (4 * (now / HOUR + 1)) + 2


# ── the cap ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def storm(count: int, severity: str = "warning") -> list[Obligation]:
    """Alerts of as many projects: a group each."""
    return [
        obligation(transition(F, 100, severity=severity, labels={**LABELS, "project": f"{severity}{i}"}))
        for i in range(count)
    ]


def test_the_last_message_of_the_hour_is_a_summary_of_all_that_is_ready() -> None:
    """The most urgent go alone; the last takes the rest and says until when more waits."""
    view = View(limits=Limits(per_hour=4), sent=[T0 + 50.0])
    result = planned([*storm(10), *storm(2, "critical")], view, now=160)
    assert [len(draft.items) for draft in result.drafts] == [1, 1, 10]
    assert [draft.items[0].last.severity for draft in result.drafts] == ["critical", "critical", "warning"]
    summary = result.drafts[-1]
    assert (summary.reason, summary.until) == (Said.SUMMARY, T0 + 50 + HOUR)
    text = compose(summary.items, full_until=summary.until).text
    assert text.startswith("Summary of 10 alerts\nnote: this target's messages of the hour are used up")
    assert result.held == {}


def test_over_the_cap_everything_waits_and_is_said_as_one_message() -> None:
    """Nothing is dropped; the plan says when there is room."""
    view = View(limits=Limits(per_hour=2), sent=[T0 + 50.0, T0 + 60.0])
    result = planned(storm(3), view, now=160)
    assert (result.drafts, set(result.held.values()), result.next_at) == ((), {Held.RATE_CAP}, T0 + 50 + HOUR)
    later = planned(storm(3), view, now=50 + HOUR)
    assert [(len(d.items), d.reason) for d in later.drafts] == [(3, Said.SUMMARY)]


@pytest.mark.parametrize("cap", [2, 5, 60])
def test_no_hour_has_more_messages_than_the_cap(cap: int) -> None:
    """Two new groups each minute for half a day, and at the end everything was said."""
    sent: list[float] = []
    open_: list[Obligation] = []
    said = 0
    for minute in range(720 + 61):
        now = 60.0 * minute
        if minute < 720:
            open_ += [
                obligation(transition(F, int(now), labels={**LABELS, "project": f"{minute}-{i}"})) for i in range(2)
            ]
        result = planned(open_, View(limits=Limits(per_hour=cap), sent=sent), now=now)
        sent += [T0 + now] * len(result.drafts)
        taken = {i for d in result.drafts for i in d.obligations}
        said += len(taken)
        open_ = [o for o in open_ if o.id not in taken]
    assert (said, open_) == (1440, [])
    assert max(sum(at - HOUR < other <= at for other in sent) for at in sent) <= cap


def entries(text: str) -> list[Transition]:
    """`FR` as a log of one alert."""
    return [transition(F if c == "F" else R, 100 + i, seq=i + 1) for i, c in enumerate(text)]


@settings(max_examples=150)
@given(
    st.sampled_from(["F", "FR", "FRF", "R", "RF", "RFR"]),
    st.booleans(),
    st.booleans(),
    st.sampled_from([0, 1, 60]),
    st.booleans(),
)
def test_every_obligation_gets_exactly_one_decision(text: str, told: bool, silent: bool, sent: int, busy: bool) -> None:
    """Said, dropped or held, whatever the stages say together."""
    duties = [obligation(entry) for entry in entries(text)]
    view = View(
        standing=TOLD if told else {},
        mutes=QUIET if silent else Mutes(),
        limits=Limits(per_hour=2),
        sent=[T0 + 90.0] * sent,
        busy={ALERT} if busy else (),
    )
    result = planned(duties, view, now=300)
    said = [i for d in result.drafts for i in d.obligations]
    assert sorted([*said, *result.dropped, *result.held]) == sorted(o.id for o in duties)
