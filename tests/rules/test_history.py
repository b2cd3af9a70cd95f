"""What was normal: slots, medians, spreads, wall clocks, and how the past is kept, forgotten and read again."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.rules.series import START, answer, points, query, rule, series
from watcher.model import Points, Series, State, Transition
from watcher.rules.columns import Column, Losses
from watcher.rules.engine import Engine
from watcher.rules.history import History, Slots, limits
from watcher.rules.past import Past, _Newest
from watcher.rules.rule import Aggregate, Baseline, Burn, Kind, Rule
from watcher.rules.settings import Judging

HOUR, WEEK, SLOT = 3600, 7 * 86_400, 300
TWO_HOURS = Baseline(spread=3, at_least=0.02, span=2 * HOUR)
WEEKS = Baseline(spread=3, at_least=0.02, period=WEEK, cycles=4)


def at(text: str) -> int:
    """Unix seconds of an instant in UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def past(values: dict[int, float]) -> Slots:
    """Slots with some means, by when they begin."""
    base, end = min(values) // SLOT, max(values) // SLOT + 1
    means = np.full(end - base, np.nan)
    for begin, value in values.items():
        means[begin // SLOT - base] = value
    return Slots(SLOT, base, means)


def hours(*each: tuple[int, float]) -> Slots:
    """Whole hours of one value."""
    return past({begin + i * SLOT: value for begin, value in each for i in range(12)})


def limit(slots: Slots, baseline: Baseline, start: int, *, above: bool = True, before: int = 0) -> tuple[float, float]:
    """What is normal and the limit for one window."""
    normal, line = limits(slots, baseline, above=above, starts=np.array([start]), before=before)
    return float(normal[0]), float(line[0])


def test_a_series_that_never_moved_has_the_least_effect_for_its_limit() -> None:
    """A spread of zero pages for no hair: the limit is `at_least` away, on either side."""
    slots = past({i * SLOT: 0.5 for i in range(24)})
    assert limit(slots, TWO_HOURS, 2 * HOUR) == (0.5, 0.52)
    assert limit(slots, TWO_HOURS, 2 * HOUR, above=False) == (0.5, 0.48)


def test_a_restless_series_has_room_for_its_spread() -> None:
    """Three times 1.4826 MAD beyond the median, where that is more than `at_least`."""
    slots = past({i * SLOT: 0.1 if i % 2 else 0.3 for i in range(24)})
    assert limit(slots, TWO_HOURS, 2 * HOUR) == pytest.approx((0.2, 0.2 + 3 * 1.4826 * 0.1))


def test_half_of_the_reference_must_be_known() -> None:
    """Twelve slots of 24 give a limit, eleven do not."""
    half = {i * SLOT: 0.1 for i in range(12)}
    assert limit(past(half), TWO_HOURS, 2 * HOUR) == pytest.approx((0.1, 0.12))
    del half[0]
    assert np.isnan(limit(past(half), TWO_HOURS, 2 * HOUR)).all()


def test_a_trailing_span_ends_before_what_is_judged() -> None:
    """The averages and the `for` that are being judged are no part of what they are held against."""
    slots = past({i * SLOT: 0.1 if i < 24 else 0.9 for i in range(48)})
    assert limit(slots, TWO_HOURS, 4 * HOUR, before=2 * HOUR) == pytest.approx((0.1, 0.12))
    assert limit(slots, TWO_HOURS, 4 * HOUR)[0] == 0.9


def test_the_same_hour_of_other_weeks_and_one_odd_week() -> None:
    """Only that hour counts, and an outage in one week of four does not become normal."""
    now = at("2026-07-06T09:30")
    monday = at("2026-07-06T09:00")
    weeks = [(monday - n * WEEK, 0.9 if n == 2 else 0.1) for n in range(1, 5)]
    others = [(monday - n * WEEK + HOUR, 0.5) for n in range(1, 5)]
    assert limit(hours(*weeks, *others), WEEKS, now) == pytest.approx((0.1, 0.12))
    assert limit(hours(*weeks[:2]), replace(WEEKS, spread=1), now)[0] == 0.5  # two weeks are half: a middle, wide apart
    assert np.isnan(limit(hours(*weeks[:1]), WEEKS, now)).all()


def test_the_hour_is_that_of_the_wall_clock() -> None:
    """Berlin puts its clocks forward on 2026-03-29: nine o'clock there is 08:00 UTC before and 07:00 UTC after."""
    slots = hours(*[(at(f"2026-03-{day:02}T08:00"), 0.1) for day in (2, 9, 16, 23)])
    berlin = replace(WEEKS, zone="Europe/Berlin")
    assert limit(slots, berlin, at("2026-03-30T07:10")) == pytest.approx((0.1, 0.12))
    assert np.isnan(limit(slots, berlin, at("2026-03-30T08:10"))).all()
    assert limit(slots, WEEKS, at("2026-03-30T08:10")) == pytest.approx((0.1, 0.12))


def test_an_hour_begins_where_it_does_on_the_wall() -> None:
    """Nine o'clock in Kolkata is half past three in UTC."""
    slots = hours(*[(at("2026-07-06T03:30") - n * WEEK, 0.1) for n in range(1, 5)])
    kolkata = replace(WEEKS, zone="Asia/Kolkata")
    assert limit(slots, kolkata, at("2026-07-06T03:30"))[0] == 0.1
    assert limit(slots, kolkata, at("2026-07-06T04:29"))[0] == 0.1
    assert np.isnan(limit(slots, kolkata, at("2026-07-06T03:29"))).all()


def test_an_hour_just_after_the_clocks_changed_is_found() -> None:
    """New York, 2026-03-08: four in the morning is 08:00 UTC there, an hour after the clocks were put forward."""
    slots = hours((at("2026-03-08T08:00"), 0.1))
    here = replace(WEEKS, zone="America/New_York", cycles=2)
    assert limit(slots, here, at("2026-03-15T08:10"))[0] == 0.1


def test_the_users_of_another_place_are_read_anew() -> None:
    """Those of one place are kept until the next one's are wanted."""
    asked: list[str] = []

    def recorded(of: Series, since: int) -> Points:
        asked.append(of.product)
        return points(of, "5x9", start=START, width=60)

    users, one = _Newest(recorded), series("users")
    for product in ("a", "a", "b", "b"):
        users.column(one._replace(product=product), START)
    assert asked == ["a", "b"]


def test_a_message_says_whose_normal_it_is() -> None:
    """Where a part of it is the vendor's word alone."""

    def daily(of: Series, since: int) -> Points | None:
        starts = np.arange(START - 28 * 86_400, START, 86_400)
        return Points(series=of, width=86_400, start=starts, value=np.full(28, 0.04)) if of == series() else None

    engine = Engine(rules=[unusual(WEEKS)], settings=Judging())
    looked = query(series(), width=60)
    engine.restore([], queries=[looked], covered={looked.id: START}, points=lambda *_: None, now=0.0, earlier=daily)
    said = engine.receive(answer(series(), "90%x9", start=START, width=60), 0.0).transitions
    summary = "video_freeze_ratio 90% (normal 4% by the vendor's statistics, limit 6%)"
    assert [t.annotations["summary"] for t in said if t.state is State.FIRING] == [summary]


ZONES = {  # a zone, and when its clocks are put forward or back
    "Europe/Berlin": ("2026-03-29T01:00", "2026-10-25T01:00"),
    "America/New_York": ("2026-03-08T07:00", "2026-11-01T06:00"),
    "America/St_Johns": ("2026-03-08T05:30", "2026-11-01T04:30"),
    "Australia/Lord_Howe": ("2026-04-04T15:00", "2026-10-03T15:30"),
    "Pacific/Chatham": ("2026-04-04T14:00", "2026-09-26T14:00"),
    "Asia/Kolkata": ("2026-06-01T00:00",),
    "UTC": ("2026-06-01T00:00",),
}


@settings(max_examples=150, deadline=None, derandomize=True)
@given(data=st.data())
def test_the_same_hour_of_the_week_in_any_zone_whatever_its_clocks_did_meanwhile(data: st.DataObject) -> None:
    """Every slot says which hour of the week its wall clock shows: so does what is normal, for four weeks and after."""
    zone = data.draw(st.sampled_from(sorted(ZONES)))
    change = at(data.draw(st.sampled_from(ZONES[zone])))
    now = change + data.draw(st.integers(-3 * 24 * 60, 30 * 24 * 60)) * 60

    def shown(instant: int) -> float:
        wall = datetime.fromtimestamp(instant, ZoneInfo(zone))
        return float(wall.weekday() * 24 + wall.hour)

    weeks = [now - n * WEEK + i * SLOT for n in range(1, 5) for i in range(-40, 41)]
    slots = past({begin // SLOT * SLOT: shown(begin // SLOT * SLOT) for begin in weeks})
    normal, _ = limit(slots, replace(WEEKS, zone=zone), now)
    assert normal == shown(now)


AROUND = {  # a zone, and instants at which its clocks were put forward or back
    "Europe/Berlin": ("2025-03-30T01:00", "2025-10-26T01:00", "2026-03-29T01:00", "2026-10-25T01:00"),
    "America/New_York": ("2025-03-09T07:00", "2025-11-02T06:00", "2026-03-08T07:00", "2026-11-01T06:00"),
    "America/St_Johns": ("2025-03-09T05:30", "2025-11-02T04:30", "2026-03-08T05:30", "2026-11-01T04:30"),
    "Australia/Lord_Howe": ("2025-04-05T15:00", "2025-10-04T15:30", "2026-04-04T15:00", "2026-10-03T15:30"),
    "Asia/Kathmandu": ("2025-03-30T01:00", "2026-10-25T01:00"),
    "UTC": ("2025-03-30T01:00", "2026-10-25T01:00"),
}


@pytest.mark.parametrize(("zone", "change"), [(zone, change) for zone in AROUND for change in AROUND[zone]])
def test_one_week_before_is_that_hour_of_that_day_and_no_other(zone: str, change: str) -> None:
    """Every hour of two weeks after the clocks changed, against the hour that the wall showed seven days before: in its
    first run where it came twice, and of a week without that hour nothing is known."""
    begin = at(change) // HOUR * HOUR - 9 * 86_400
    every = range(begin, begin + 24 * 86_400, SLOT)

    def shown(instant: int) -> tuple[int, int, int]:
        wall = datetime.fromtimestamp(instant, ZoneInfo(zone))
        return wall.toordinal(), wall.hour, wall.fold

    number = {hour: float(n) for n, hour in enumerate(sorted({shown(instant) for instant in every}))}
    slots = past({instant: number[shown(instant)] for instant in every})
    starts = np.arange(begin + 8 * 86_400, begin + 24 * 86_400, HOUR // 2)
    normal, _ = limits(slots, replace(WEEKS, zone=zone, cycles=1), above=True, starts=starts, before=0)
    hours_ = [shown(start) for start in starts.tolist()]
    np.testing.assert_array_equal(normal, [number.get((day - 7, hour, 0), np.nan) for day, hour, _ in hours_])


def test_a_history_is_bounded() -> None:
    """It keeps as many slots as it reaches back, the newest."""
    history = History(width=20, slot=SLOT, reach=10 * SLOT)
    for n in range(100):
        history.seal(past({n * SLOT: float(n)}), until=(n + 1) * SLOT)
    assert len(history) == 11
    assert history.with_(Slots(SLOT)).at(np.array([89, 99])).tolist() == [89.0, 99.0]
    assert np.isnan(history.with_(Slots(SLOT)).at(np.array([88]))).all()


# ── in the engine ────────────────────────────────────────────────────────────────────────────────────────────────────


def unusual(baseline: Baseline = TWO_HOURS) -> Rule:
    """Five minutes above what was normal."""
    five = Aggregate(kind=Kind.AVG, seconds=300)
    return replace(rule(above=float("nan"), aggregate=five), baseline=baseline)


def of(text: str, *, baseline: Baseline = TWO_HOURS) -> tuple[Engine, tuple[Transition, ...]]:
    """An engine that was given one series in windows of a minute."""
    engine = Engine(rules=[unusual(baseline)], settings=Judging())
    return engine, engine.receive(answer(series(), text, width=60), 0.0).transitions


def test_too_little_history_is_neither_alarm_nor_health_and_is_seen() -> None:
    """Not judged, and said: in the alert's mark and words, and counted by rule."""
    engine, said = of("1%x9 90%x20")
    assert said == ()
    (view,) = engine.alerts()
    assert "learning" in view.marks
    assert any("too little is known of the past" in words for words in view.says)
    assert (view.value, view.threshold) == (0.9, None)
    assert engine.learning() == {"VideoFreezing": 1}
    engine.receive(answer(series(), "1%x130", start=START + 31 * 60, width=60), 0.0)
    assert engine.learning() == {}


def test_a_message_says_what_normal_would_have_been() -> None:
    """In the entry and, where the rule has no summary, in its words."""
    _, said = of("1%x149 6%x30")
    assert [t.state for t in said] == [State.FIRING]
    assert (said[0].normal, said[0].threshold) == pytest.approx((0.01, 0.03))
    assert said[0].annotations["summary"] == "video_freeze_ratio 4% (normal 1%, limit 3%)"


def test_the_end_says_what_normal_was_when_it_began() -> None:
    """The worst value stands beside the limit that it broke, not beside one that the fault itself has lifted."""
    words = {"summary": "{{ value | percent }} normal {{ normal | percent }} limit {{ threshold | percent }}"}
    engine = Engine(rules=[replace(unusual(), texts=words)], settings=Judging())
    said = engine.receive(answer(series(), "1%x149 30%x75 1%x30", width=60), 0.0).transitions
    assert [t.state for t in said] == [State.FIRING, State.RESOLVED]
    assert said[1].annotations["summary"] == "30% normal 1% limit 3%"
    _, plain = of("1%x149 30%x75 1%x30")
    assert plain[1].annotations["summary"] == "video_freeze_ratio 30% (normal 1%, limit 3%)"


def test_an_objective_says_how_fast_its_budget_burns() -> None:
    """The value over the long time, the objective, and how many times too many failures that is."""
    hour, five = (Aggregate(kind=Kind.AVG, seconds=s) for s in (3600, 300))
    base = rule(signal="join_success_ratio", below=1 - 10 * 0.01, aggregate=hour)
    engine = Engine(rules=[replace(base, burn=Burn(short=five, budget=0.01))], settings=Judging())
    said = engine.receive(answer(series("join_success_ratio"), "100%x59 40%x29", width=60), 0.0).transitions
    assert [t.state for t in said] == [State.FIRING]
    words = "join_success_ratio 89% over 1h, objective 99%: 11 times the failures that it allows"
    assert said[0].annotations["summary"] == words
    assert said[0].normal == pytest.approx(0.99)


def test_an_objective_waits_for_half_of_its_long_time() -> None:
    """A fresh start is no outage of an hour: twenty-nine minutes say nothing, thirty do; idle time counts as known."""
    hour, five = (Aggregate(kind=Kind.AVG, seconds=s) for s in (3600, 300))
    burning = replace(rule(above=0.1, aggregate=hour), burn=Burn(short=five, budget=0.01))
    engine = Engine(rules=[burning], settings=Judging())
    said = engine.receive(answer(series(), "90%x39", width=60), 0.0).transitions
    assert [t.at for t in said] == [START + 30 * 60]
    idle = Engine(rules=[burning], settings=Judging())
    idle.receive(answer(series("users"), "0x29 50x10", width=60), 0.0)
    said = idle.receive(answer(series(), "_x30 90%x10", width=60), 0.0).transitions
    assert [t.at for t in said] == [START + 31 * 60]


def test_what_is_recorded_is_read_again_and_a_coarser_source_stands_where_there_is_nothing() -> None:
    """After a restart the limit is known at once; daily figures of a time before serve where own points end."""
    own = {"values": "2%x1439"}

    def recorded(of: Series, since: int) -> Points | None:
        return points(of, own["values"], start=START, width=60) if of == series() else None

    def daily(of: Series, since: int) -> Points | None:
        if of != series():
            return None
        starts = np.arange(START - 28 * 86_400, START, 86_400)
        return Points(series=of, width=86_400, start=starts, value=np.full(28, 0.04))

    def restored(earlier: bool) -> float | None:
        engine = Engine(rules=[unusual(WEEKS)], settings=Judging())
        looked = query(series(), width=60)
        covered = {looked.id: START + 86_400}
        source = daily if earlier else None
        engine.restore([], queries=[looked], covered=covered, points=recorded, now=0.0, earlier=source)
        engine.receive(answer(series(), "1%x9", start=START + 86_400, width=60), 0.0)
        return engine.alerts()[0].normal

    assert restored(earlier=False) is None
    assert restored(earlier=True) == pytest.approx(0.04)


def test_the_vendor_tells_of_the_time_before_the_first_own_slot_only() -> None:
    """What is empty later is so because nobody was there: the vendor, who fills it with 0, is not heard about it."""
    history = History(width=60, slot=SLOT, reach=20 * SLOT)
    history.tell(past(dict.fromkeys(range(0, 10 * SLOT, SLOT), 0.0)))
    live = past({4 * SLOT: 0.3, 8 * SLOT: 0.5})
    known = history.with_(live)
    means = known.at(np.arange(10))
    assert np.array_equal(means, [0, 0, 0, 0, 0.3, np.nan, np.nan, np.nan, 0.5, np.nan], equal_nan=True)
    trailing = Baseline(spread=4, at_least=0.02, span=4 * SLOT)
    assert not history.is_told(live, trailing, 8 * SLOT, 0)  # slots 4 to 7
    assert history.is_told(live, trailing, 7 * SLOT, 0)


def test_a_restart_anywhere_knows_what_was_normal_where_windows_are_missing() -> None:
    """A slot whose last window is missing has its mean all the same: limits are those of a life without a restart."""
    rng = np.random.default_rng(5)
    values = [None if rng.random() < 0.1 else float(rng.integers(1, 64)) / 1024 for _ in range(1700)]
    values[164] = values[179] = values[194] = None  # each the last of a slot, at which some restart cuts
    longer = replace(TWO_HOURS, span=26 * HOUR)  # than columns are kept
    looked = query(series(), width=60, settle=0)
    for at_ in range(1600, 1660):

        def recorded(of: Series, since: int, *, until: int = at_) -> Points | None:
            first = max(0, (since - START) // 60)
            return points(of, values[first:until], start=START + first * 60, width=60) if of == series() else None

        straight, restarted = (Engine(rules=[unusual(longer)], settings=Judging()) for _ in range(2))
        straight.receive(answer(series(), values[:at_], width=60), 0.0)
        restarted.restore([], queries=[looked], covered={looked.id: START + at_ * 60}, points=recorded, now=0.0)
        for engine in (straight, restarted):
            engine.receive(answer(series(), [0.02] * 8, start=START + at_ * 60, width=60), 0.0)
        (expected,), (found,) = straight.alerts(), restarted.alerts()
        assert expected.normal is not None
        assert (found.normal, found.threshold) == (expected.normal, expected.threshold), at_


def test_a_restart_is_made_in_pieces_and_reads_the_users_of_a_place_once() -> None:
    """A piece for each judged series, so that others may have the store between; a place's users are read once."""
    signals = ("video_freeze_ratio", "network_delay_ratio")
    asked: list[Series] = []

    def recorded(of: Series, since: int) -> Points | None:
        asked.append(of)
        begin = max(since, START)
        return points(of, [0.02 if of.signal != "users" else 50.0] * ((end - begin) // 60), start=begin, width=60)

    end = START + 3 * 86_400
    queries = [query(series(signal), width=60) for signal in ("users", *signals)]
    engine = Engine(rules=[replace(unusual(), name=s, signal=s) for s in signals], settings=Judging())
    steps = engine.restoring([], queries=queries, covered={q.id: end for q in queries}, points=recorded, now=0.0)
    assert [done is None for done in steps] == [True] * 3 + [False]
    assert [s.signal for s in asked[3:]] == ["video_freeze_ratio", "users", "network_delay_ratio"]


def test_a_clock_that_was_ahead_leaves_nothing_in_the_past() -> None:
    """What is turned back is forgotten there too."""
    history = History(width=60, slot=SLOT, reach=HOUR)
    history.seal(past({i * SLOT: 0.1 for i in range(10)}), until=10 * SLOT)
    history.turn_back(4 * SLOT)
    assert len(history) == 4


def test_what_columns_forgot_gives_the_same_limit_as_what_they_keep() -> None:
    """Ten hours in pieces of seven minutes, with idle stretches across slots, end at the limit of one answer of all."""
    rng = np.random.default_rng(3)
    values = rng.integers(1, 64, 644) / 64
    users = np.where(np.arange(644) % 17 < 4, 0.0, 50.0)
    values[users == 0] = 0.0
    settings = Judging()
    whole, pieces = (Engine(rules=[unusual()], settings=settings) for _ in range(2))
    for engine, size in ((whole, 644), (pieces, 7)):
        for at_ in range(0, 644, size):
            begin = START + at_ * 60
            engine.receive(answer(series("users"), users[at_ : at_ + size].tolist(), start=begin, width=60), 0.0)
            engine.receive(answer(series(), values[at_ : at_ + size].tolist(), start=begin, width=60), 0.0)
            ours, theirs = engine.alerts()[0], whole.alerts()[0]
            assert size == 644 or at_ + size < 644 or (ours.normal, ours.threshold) == (theirs.normal, theirs.threshold)
    assert whole.alerts()[0].normal is not None


def test_a_column_forgets_whole_slots_only() -> None:
    """What it may forget ends where a slot begins: half a slot that is forgotten would have no mean, or a wrong one."""
    column = Column(width=60)
    values = [0.25 if minute % 5 < 3 else 0.75 for minute in range(60)]
    column.merge(points(series(), values, start=0, width=60), after=0, losses=Losses())
    kept = Past({series(): column}, lambda of, signal: (of.sibling(signal),))
    kept.learn([unusual()])
    for before in (13 * 60, 17 * 60):
        column.trim(kept.cut(series(), before))
        assert column.begins == before // SLOT * SLOT
    history = kept.at(series(), series().signal)
    assert history is not None
    assert history.with_(Slots(SLOT)).means.tolist() == pytest.approx([0.45] * 3)


def test_the_finer_of_two_sources_counts() -> None:
    """A slot that is known keeps its mean where the other source has another."""
    history = History(width=60, slot=SLOT, reach=HOUR)
    history.seal(past({0: 0.4, SLOT: 0.4}), until=2 * SLOT)
    history.seal(Slots(SLOT, 0, np.array([0.1, np.nan])), until=2 * SLOT)
    assert history.with_(Slots(SLOT)).at(np.array([0, 1])).tolist() == [0.1, 0.4]
