"""What the slots measured: any slot alone, parts that fit the whole, incidents where they belong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.conftest import EPOCH
from tests.emulator.helpers import APP, NOON, plain, project, scenario
from watcher.clock import DAY
from watcher.emulator.agora.seats import uid_rates
from watcher.emulator.traffic import GROUPS, Traffic
from watcher.emulator.world import QUALITY_METRICS
from watcher.model import Floats, Ints

METRICS = st.sampled_from(QUALITY_METRICS)


def traffic(*, seed: int = 1, jitter: str = "5%", incidents: list[dict[str, Any]] | None = None, **of: Any) -> Traffic:
    """The traffic of one project."""
    data = plain(seed=seed, jitter=jitter, incidents=incidents or [])
    data["accounts"][0]["projects"] = [project(**of)]
    world = scenario(data)
    return Traffic(
        project=world.accounts[0].projects[0], seed=world.seed, jitter=world.jitter, incidents=world.incidents
    )


def slots(start: float, count: int) -> Ints:
    """`count` slots from the one holding `start`."""
    return np.arange(count, dtype=np.int64) * 20 + int(start) // 20 * 20


def everything(source: Traffic, metric: str, at: Ints) -> list[Ints | Floats]:
    """Each kind of number for some slots."""
    return [
        source.users("Native", "", at),
        source.users("WebRTC", "room", at),
        source.channels("Native", "", at),
        source.rate(metric, "Native", "", at),
        source.rate(metric, "Native", "room", at),
        source.group_users("Native", "", "sdk", at),
        source.group_rates(metric, "Native", "room", "country", at),
        uid_rates(source, metric, "Native", "room", at)[2963430861],
    ]


@given(metric=METRICS, start=st.integers(0, 3 * DAY), order=st.permutations(range(12)))
@settings(max_examples=40, deadline=None)
def test_any_slot_alone_and_in_any_order(metric: str, start: int, order: list[int]) -> None:
    """A slot's numbers do not depend on which others are asked for, nor on when."""
    at = slots(EPOCH + start, 12)
    incident = {"project": "classroom", "start": "+1h", "duration": "1h", "levels": {metric: 0.5}}
    together = everything(traffic(incidents=[incident]), metric, at)
    mixed = everything(traffic(incidents=[incident]), metric, at[order])
    alone = everything(traffic(incidents=[incident]), metric, at[5:6])
    for whole, shuffled, single in zip(together, mixed, alone, strict=True):
        np.testing.assert_array_equal(whole[..., order], shuffled)
        np.testing.assert_array_equal(whole[..., 5:6], single)


def test_the_seed_decides() -> None:
    """Same seed, same numbers; another seed, others."""
    at = slots(NOON, 50)
    same = traffic(seed=3).rate("videoFreezeRate", "Native", "", at)
    np.testing.assert_array_equal(same, traffic(seed=3).rate("videoFreezeRate", "Native", "", at))
    assert (same != traffic(seed=4).rate("videoFreezeRate", "Native", "", at)).all()


def test_users_follow_the_day_and_the_week() -> None:
    """Peak at the peak hour, trough twelve hours later, weekends by their factor."""
    day = {"trough": "10%", "peak_hour": 15, "week": [1, 1, 1, 1, 1, 0.5, 0]}
    source = traffic(jitter="0%", products={"Native": {"peak_users": 1000}}, day=day)
    hour = 3600
    at = np.array([EPOCH + 15 * hour, EPOCH + 3 * hour, EPOCH + 9 * hour], dtype=np.int64)  # a Thursday
    assert source.users("Native", "", at).tolist() == [1000, 100, 550]
    assert source.users("Native", "", at + 2 * DAY).tolist() == [500, 50, 275]  # Saturday
    assert source.users("Native", "", at + 3 * DAY).tolist() == [0, 0, 0]  # Sunday


@given(
    metric=METRICS,
    level=st.floats(0, 1),
    jitter=st.sampled_from(["0%", "5%", "50%"]),
    dimension=st.sampled_from(list(GROUPS)),
    peak=st.integers(1, 3000),
    seed=st.integers(0, 1000),
)
@settings(max_examples=80, deadline=None)
def test_parts_fit_the_whole(metric: str, level: float, jitter: str, dimension: str, peak: int, seed: int) -> None:
    """Groups add up to the users; the mean of their rates, weighted by users, is the rate; all stay in 0..1."""
    source = traffic(
        seed=seed, jitter=jitter, products={"Native": {"peak_users": peak}}, healthy={metric: level}, channels=[]
    )
    at = slots(NOON, 8)
    users = source.users("Native", "", at)
    rate = source.rate(metric, "Native", "", at)
    heads = source.group_users("Native", "", dimension, at)
    parts = source.group_rates(metric, "Native", "", dimension, at)
    np.testing.assert_array_equal(heads.sum(axis=0), users)
    np.testing.assert_array_equal(np.isnan(parts), heads == 0)
    assert np.nanmin(parts) >= -1e-12
    assert np.nanmax(parts) <= 1 + 1e-12
    np.testing.assert_allclose((np.nan_to_num(parts) * heads).sum(axis=0) / users, rate, atol=1e-9)


@given(metric=METRICS, level=st.floats(0, 1), bad=st.floats(0, 1), seed=st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_channels_and_uids_fit_the_whole(metric: str, level: float, bad: float, seed: int) -> None:
    """What the named channels leave over of users and rate is a possible rest, with and without an incident in one."""
    incident = {"project": "classroom", "channel": "room", "start": "+12h", "duration": "1m", "levels": {metric: bad}}
    source = traffic(seed=seed, jitter="5%", incidents=[incident], healthy={metric: level})
    at = slots(NOON - 60, 9)
    users, inside = source.users("Native", "", at), source.users("Native", "room", at)
    assert (inside <= users).all()
    whole, part = source.rate(metric, "Native", "", at), source.rate(metric, "Native", "room", at)
    rest = (whole * users - part * inside) / (users - inside)
    assert (rest > -1e-9).all()
    assert (rest < 1 + 1e-9).all()
    uids = uid_rates(source, metric, "Native", "room", at)
    others = (part * inside - sum(uids.values())) / (inside - len(uids))
    assert (others > -1e-9).all()
    assert (others < 1 + 1e-9).all()
    channels = source.channels("Native", "", at)
    assert (channels >= 1).all()
    assert (channels <= users).all()


def test_a_channel_incident_shows_in_the_project_by_its_share() -> None:
    """Half of the users at 40 % and half at 10 % are 25 % together."""
    incident = {
        "project": "classroom", "channel": "room", "start": "+12h", "duration": "40s",
        "levels": {"videoFreezeRate": "40%"},
    }  # fmt: skip
    source = traffic(jitter="0%", incidents=[incident], healthy={"videoFreezeRate": "10%"})
    at = slots(NOON - 20, 4)
    room = source.rate("videoFreezeRate", "Native", "room", at)
    whole = source.rate("videoFreezeRate", "Native", "", at)
    assert room.tolist() == pytest.approx([0.1, 0.4, 0.4, 0.1])
    assert whole.tolist() == pytest.approx([0.1, 0.25, 0.25, 0.1])


def test_an_incident_covers_the_slots_that_start_in_it() -> None:
    """Its products only, its slots only; of two on one slot the later in the file wins."""
    both: dict[str, Any] = {"project": "classroom", "start": "+12h"}
    incidents = [
        {**both, "products": ["Native"], "duration": "1m", "levels": {"networkDelay": 1}},
        {**both, "duration": "20s", "levels": {"networkDelay": 0.5, "userCount": 7}},
    ]
    source = traffic(jitter="0%", incidents=incidents, healthy={"networkDelay": 0})
    at = slots(NOON - 20, 5)
    assert source.rate("networkDelay", "Native", "", at).tolist() == [0, 0.5, 1, 1, 0]
    assert source.rate("networkDelay", "WebRTC", "", at).tolist() == [0, 0.5, 0, 0, 0]
    assert source.users("Native", "", at).tolist() == [100, 7, 100, 100, 100]
    assert source.users("WebRTC", "", at).tolist() == [30, 7, 30, 30, 30]


def test_join_within_5s_is_never_better_than_join() -> None:
    """Who joined within 5 s has joined: an incident of one drags the other."""
    incident = {"project": "classroom", "start": "+12h", "duration": "1m", "levels": {"joinSuccessRate": "60%"}}
    source = traffic(incidents=[incident])
    at = slots(NOON - 60, 9)
    join = source.rate("joinSuccessRate", "Native", "", at)
    quick = source.rate("joinSuccessIn5sRate", "Native", "", at)
    assert (quick <= join).all()
    assert join[4] == pytest.approx(0.6, abs=0.03)


def test_no_users_no_quality() -> None:
    """Without users there are no rates, no groups, no uids; unknown products and channels have no users."""
    gone = {"project": "classroom", "start": "+12h", "duration": "1m", "levels": {"userCount": 0}}
    source = traffic(incidents=[gone])
    at = slots(NOON, 3)
    for values in everything(source, "videoFreezeRate", at):
        assert np.isnan(values).all() or not values.any()
    assert np.isnan(source.rate("videoFreezeRate", "Native", "", at)).all()
    later = slots(NOON + 60, 3)
    assert not source.users("Native", "nowhere", later).any()
    assert np.isnan(source.rate("videoFreezeRate", "Native", "nowhere", later)).all()
    assert uid_rates(source, "videoFreezeRate", "Native", "nowhere", later) == {}
    native_only = traffic(products={"Native": {"peak_users": 5}})
    assert not native_only.users("WebRTC", "", later).any()


def test_uids_come_first_in_the_order_given() -> None:
    """With one user in the channel, the first uid is there and the second is not."""
    one = {"project": "classroom", "channel": "room", "start": "+12h", "duration": "1m", "levels": {"userCount": 1}}
    found = uid_rates(traffic(incidents=[one]), "networkDelay", "Native", "room", slots(NOON, 1))
    assert not np.isnan(found[2303692334]).any()
    assert np.isnan(found[2963430861]).all()


def test_few_users_often_have_no_fault_at_all() -> None:
    """Exact zeros occur beside long fractions, and more often where there are few users."""
    few = traffic(products={"Native": {"peak_users": 3}}).rate("videoFreezeRate", "Native", "", slots(NOON, 500))
    many = traffic(products={"Native": {"peak_users": 300}}).rate("videoFreezeRate", "Native", "", slots(NOON, 500))
    assert 100 < int((few == 0).sum()) < 400
    assert (many > 0).all()
    assert traffic().project.app_id == APP


@given(metric=METRICS, level=st.floats(0, 1), peak=st.integers(1, 3000), value=st.sampled_from(GROUPS["sdk"]))
@example(metric="joinSuccessRate", level=1.0, peak=1, value="4.2.6")  # better than the whole, which it is alone
@settings(max_examples=60, deadline=None)
def test_an_incident_of_one_group_fits_the_whole(metric: str, level: float, peak: int, value: str) -> None:
    """Whichever group is hit, groups stay within 0 to 1 and their weighted mean is the project's rate."""
    incident = {"project": "classroom", "start": "+12h", "duration": "1h", "levels": {metric: level}}
    source = traffic(incidents=[{**incident, "where": {"sdk": value}}], products={"Native": {"peak_users": peak}})
    at = slots(NOON, 6)
    whole = source.rate(metric, "Native", "", at)
    for dimension in ("sdk", "country"):
        heads = source.group_users("Native", "", dimension, at)
        parts = source.group_rates(metric, "Native", "", dimension, at)
        known = parts[~np.isnan(parts)]
        assert ((known >= -1e-9) & (known <= 1 + 1e-9)).all()
        np.testing.assert_allclose((np.nan_to_num(parts) * heads).sum(axis=0), whole * heads.sum(axis=0), atol=1e-6)


def test_a_drill_down_finds_the_group_that_is_bad() -> None:
    """The group has the level, its neighbours the healthy one, the whole its share; before and after nothing."""
    incident = {"project": "classroom", "start": "+12h", "duration": "1m", "levels": {"videoFreezeRate": 0.4}}
    source = traffic(
        jitter="0%",
        incidents=[{**incident, "where": {"sdk": "4.2.1"}}],
        products={"Native": {"peak_users": 100_000}},
    )
    at = slots(NOON - 20, 5)
    parts = source.group_rates("videoFreezeRate", "Native", "", "sdk", at)
    row = GROUPS["sdk"].index("4.2.1")
    assert parts[row] == pytest.approx([0.009, 0.4, 0.4, 0.4, 0.009])
    assert np.delete(parts, row, axis=0) == pytest.approx(np.full((len(parts) - 1, 5), 0.009), abs=1e-4)
    share = (1 / 9) / sum(1 / rank for rank in range(1, 13))
    hit = 0.009 + share * (0.4 - 0.009)
    assert source.rate("videoFreezeRate", "Native", "", at) == pytest.approx([0.009, hit, hit, hit, 0.009])
    assert source.group_rates("videoFreezeRate", "Native", "", "net", at)[:, 1] == pytest.approx(np.full(6, hit))


def test_of_two_groups_hit_at_once_the_later_counts() -> None:
    """Incidents of two dimensions on the same slots do not add up."""
    incident = {"project": "classroom", "start": "+12h", "duration": "1m", "levels": {"networkDelay": 0.5}}
    both = traffic(incidents=[{**incident, "where": {"net": "4G"}}, {**incident, "where": {"os": "iOS 16.5"}}])
    last = traffic(incidents=[{**incident, "where": {"os": "iOS 16.5"}}])
    at = slots(NOON, 3)
    for dimension in ("net", "os"):
        one, other = (s.group_rates("networkDelay", "Native", "", dimension, at) for s in (both, last))
        np.testing.assert_array_equal(one, other)
