"""What users write for Twilio: pairs of credentials, quotas, what is planned for."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from tests.emulator.twilio.helpers import KEY, SID
from tests.providers.twilio.stage import account, by_token
from watcher.providers.twilio import TWILIO
from watcher.providers.twilio.queries import SIGNALS, pools, queries
from watcher.providers.twilio.settings import check
from watcher.secret import Secret


def test_both_credentials_are_taken() -> None:
    """A key, or an account's token."""
    assert check(account(), SIGNALS) == ()
    assert check(account(by_token()), SIGNALS) == ()


@pytest.mark.parametrize(
    "project",
    [
        {"api_key": None, "api_secret": None},
        {"api_secret": None},
        {"account_sid": SID, "auth_token": Secret.of("x")},
        {"account_sid": SID},
    ],
)
def test_one_whole_pair_is_needed(project: dict[str, Any]) -> None:
    """None, half of one, or both are refused."""
    (fault,) = check(account(project), SIGNALS)
    assert fault.loc == ("projects", 0)


def test_names_and_keys_are_used_once() -> None:
    """Two projects of one key would be read twice, out of one quota."""
    faults = check(account({}, {}), SIGNALS)
    assert [fault.loc[-1] for fault in faults] == ["name", "api_key"]


@pytest.mark.parametrize(
    "project",
    [
        {"api_key": SID},
        {"api_key": KEY.upper()},
        {"classes": {"5": "drop"}},
        {"classes": {"53205": "fine"}},
        {"longest": 5},
        {"expected": {"rooms_per_day": 20_001}},
    ],
)
def test_what_cannot_be_is_refused(project: dict[str, Any]) -> None:
    """Other SIDs, endings and classes that are none, calls of five seconds."""
    with pytest.raises(ValidationError):
        account(project)


def test_every_project_has_a_pool_and_a_query_of_its_own() -> None:
    """The vendor counts each (sub)account by itself; ten a second less the margin."""
    settings = account({}, by_token(name="other"))
    assert [pool.id for pool in pools(settings)] == ["acme/video/calls", "acme/video/other"]
    assert [(q.window, q.allowed) for q in pools(settings)[0].quotas] == [("1s", 9)]
    one, two = queries(settings, {"participant_failure_ratio"})
    assert (one.pools, two.pools) == (("acme/video/calls",), ("acme/video/other",))
    assert [series.signal for series in one.series] == ["users", "participant_failure_ratio"]
    assert (one.width, one.delay, one.settle) == (60, 1800.0, 30)  # what is younger than `delay` may still come


def test_a_look_is_planned_for_by_its_requests() -> None:
    """2,000 rooms a day: a page of the newest, a share of all three, and three participants' lists a minute."""
    (query,) = queries(account(), SIGNALS)
    assert query.requests == 2 + 3
    (busy,) = queries(account({"expected": {"rooms_per_day": 20_000}}), SIGNALS)
    assert busy.requests == 3 + 2 + 28


def test_the_provider_says_what_it_lacks() -> None:
    """No signal is both given and missing, and each that is missing has its reason."""
    assert not TWILIO.signals & set(TWILIO.missing)
    assert all(reason.endswith(("call", "`")) for reason in TWILIO.missing.values())
