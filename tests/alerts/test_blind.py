"""The daemon's own troubles fire once, resolve once, and survive a restart."""

from __future__ import annotations

import pytest

from tests.alerts.build import T0
from watcher.alerts.blind import (
    BLIND,
    NOT_DURABLE,
    RULE_CRASHED,
    TARGET_FAILING,
    AccountSight,
    RuleSight,
    StoreSight,
    TargetSight,
    own_troubles,
)
from watcher.alerts.message import Item, Kind, compose
from watcher.model import Cause, Obligation, State, Transition, obligation_id

SEES = AccountSight(account="acme", provider="agora")
FINE = StoreSight()


def blind(since: float, looks: int = 5, reason: str = "auth") -> AccountSight:
    """An account that has not answered since then."""
    return AccountSight(
        account="acme", provider="agora", blind_since=T0 + since, failed_looks=looks, reason=reason, detail="HTTP 401"
    )


def last(*entries: Transition) -> dict[str, Transition]:
    """As the store would say."""
    return {entry.alert_id: entry for entry in entries}


@pytest.mark.parametrize(
    ("now", "looks", "fires"), [(599, 5, False), (600, 5, True), (3000, 1, False), (3000, 2, True)]
)
def test_an_account_is_blind_after_ten_minutes_or_two_looks_whichever_is_later(
    now: float, looks: int, fires: bool
) -> None:
    """One failed look of a slow plan and a minute's hiccup of a fast one are no trouble yet."""
    assert bool(own_troubles([blind(0, looks)], FINE, {}, now=T0 + now)) is fires


def test_a_blind_account_fires_once_and_resolves_once() -> None:
    """The last transition is the whole state, so asking again after a restart changes nothing."""
    (fired,) = own_troubles([blind(0)], FINE, {}, now=T0 + 700.5)
    assert (fired.rule, fired.state, fired.seq, fired.cause) == (BLIND, State.FIRING, 1, Cause.BLIND)
    assert (fired.starts_at, fired.at, fired.known_at) == (T0, T0 + 700, T0 + 700.5)
    assert fired.labels == {"account": "acme", "provider": "agora", "project": ""}
    assert own_troubles([blind(0, reason="timeout")], FINE, last(fired), now=T0 + 800) == []
    (over,) = own_troubles([SEES], FINE, last(fired), now=T0 + 900)
    assert (over.alert_id, over.state, over.seq, over.starts_at) == (fired.alert_id, State.RESOLVED, 2, T0)
    assert own_troubles([SEES], FINE, last(over), now=T0 + 1000) == []
    (again,) = own_troubles([blind(2000)], FINE, last(over), now=T0 + 3000)
    assert (again.seq, again.state) == (3, State.FIRING)


def test_a_short_relapse_does_not_resolve_before_it_sees() -> None:
    """Blind again for a moment is still blind: only an answer resolves."""
    (fired,) = own_troubles([blind(0)], FINE, {}, now=T0 + 700)
    assert own_troubles([blind(690, looks=1)], FINE, last(fired), now=T0 + 710) == []


def test_a_removed_account_is_no_trouble_any_more() -> None:
    """It resolves with that reason."""
    (fired,) = own_troubles([blind(0)], FINE, {}, now=T0 + 700)
    (over,) = own_troubles([], FINE, last(fired), now=T0 + 800)
    assert (over.state, over.cause) == (State.RESOLVED, Cause.RULE_CHANGED)
    assert own_troubles([], FINE, last(over), now=T0 + 900) == []


def test_a_state_that_cannot_be_written_fires_at_once() -> None:
    """No waiting: nothing is looked at meanwhile."""
    failing = StoreSight(failing_since=T0 + 5.0, detail="database or disk is full")
    (fired,) = own_troubles([SEES], failing, {}, now=T0 + 6)
    assert (fired.rule, fired.state, fired.starts_at) == (NOT_DURABLE, State.FIRING, T0 + 5)
    assert own_troubles([SEES], failing, last(fired), now=T0 + 7) == []
    (over,) = own_troubles([SEES], FINE, last(fired), now=T0 + 8)
    assert over.state is State.RESOLVED


def test_the_message_says_who_is_blind_since_when_and_why() -> None:
    """An operator reads the reason, not a number."""
    (fired,) = own_troubles([blind(0)], FINE, {}, now=T0 + 700)
    duty = Obligation(id=obligation_id(fired, "ops"), target="ops", transition=fired, created_at=T0 + 700)
    message = compose([Item(kind=Kind.FIRING, obligations=(duty,))])
    assert message.title == "[FIRING] WatcherAccountBlind: acme"
    assert "acme (agora) cannot be seen since 00:00 UTC, auth: HTTP 401" in message.text
    assert "no news of them is not good news" in message.text
    assert "value" not in message.text


def test_a_target_that_takes_nothing_for_ten_minutes_is_a_trouble_until_it_works() -> None:
    """A start is no cure: only a message that it took since then resolves."""
    fails = TargetSight(target="pager", failing_since=T0, waiting=3, hung=1)
    assert own_troubles([], FINE, {}, targets=[fails], now=T0 + 599) == []
    (fired,) = own_troubles([], FINE, {}, targets=[fails], now=T0 + 600)
    assert (fired.rule, fired.labels, fired.starts_at) == (TARGET_FAILING, {"target": "pager"}, T0)
    assert fired.annotations["summary"] == "Target pager has taken no message since 00:00 UTC, 1 attempts hang"
    assert own_troubles([], FINE, last(fired), targets=[TargetSight(target="pager")], now=T0 + 700) == []
    (over,) = own_troubles([], FINE, last(fired), targets=[TargetSight(target="pager", worked=True)], now=T0 + 800)
    assert (over.state, over.cause) == (State.RESOLVED, Cause.BLIND)
    (gone,) = own_troubles([], FINE, last(fired), targets=[], now=T0 + 800)
    assert (gone.cause, gone.annotations["summary"]) == (Cause.RULE_CHANGED, "pager is no longer configured")


def test_a_rule_that_crashes_is_a_trouble_at_once_until_it_is_judged() -> None:
    """Per account, and over only after an answer without a crash."""
    bad = RuleSight(account="acme", provider="agora", rule="VideoFreezing", crashing_since=T0)
    (fired,) = own_troubles([], FINE, {}, rules=[bad], now=T0)
    assert (fired.rule, fired.labels["rule_name"]) == (RULE_CRASHED, "VideoFreezing")
    unsure = RuleSight(account="acme", provider="agora", rule="VideoFreezing")
    assert own_troubles([], FINE, last(fired), rules=[unsure], now=T0 + 60) == []
    fine = RuleSight(account="acme", provider="agora", rule="VideoFreezing", judged=True)
    (over,) = own_troubles([], FINE, last(fired), rules=[fine], now=T0 + 60)
    assert (over.state, over.annotations["summary"]) == (State.RESOLVED, "Rule VideoFreezing is judged again on acme")
