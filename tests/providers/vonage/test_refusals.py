"""Refusals: every code of the vendor's list has an action, in both shapes, and no secret comes back in words."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.conftest import EPOCH
from tests.emulator.vonage.helpers import KEY, SECRET, plain, project
from tests.providers.doubles import FakePurse, HandClock, Vendor, answer
from tests.providers.vonage.stage import NOON, Stage, account, unified
from watcher.clock import VirtualClock
from watcher.errors import ProviderError, Reason
from watcher.providers.vonage.refusals import CODES, Action, of_gateway, refused
from watcher.providers.vonage.source import open_source
from watcher.providers.vonage.tokens import Tokens


def words(text: str) -> str:
    return text.replace(SECRET, "***")


def test_every_code_has_an_action() -> None:
    """23 codes, and none of them is left to chance."""
    assert sorted(CODES) == list(range(1000, 1023))
    assert {code for code, meaning in CODES.items() if meaning.action is Action.STOP} == {1000, 1008, 1015, 1019, 1021}
    assert {code for code, meaning in CODES.items() if meaning.action is Action.SIGN} == {1001, 1011, 1016, 1020}


@pytest.mark.parametrize("code", sorted(CODES))
def test_both_shapes_are_read(code: int) -> None:
    """A list of errors, and one error without data, mean the same."""
    one = {"errorCode": code, "message": f"no, {SECRET}"}
    assert refused([one], words).code == code
    found = of_gateway(json.dumps({"error": one}).encode(), words)
    assert found is not None
    assert found.code == code
    assert SECRET not in str(found.error())


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b'{"error": 4}', b'{"errors": []}', b"\xff", b"{" * 5000])
def test_what_is_no_refusal(body: bytes) -> None:
    """Pages, fragments and other JSON are nobody's word."""
    assert of_gateway(body, words) is None


@pytest.mark.parametrize(
    "errors", [[None], [5], [{"errorCode": "ten"}], [{"errorCode": [1014]}], [{}], [{"message": 3}]]
)
def test_errors_of_no_shape(errors: list[Any]) -> None:
    """What cannot be read is an error all the same."""
    assert refused(errors, words).code is None


@pytest.mark.parametrize(
    ("code", "reason", "requests"),
    [
        (1000, Reason.AUTH, 1),
        (1001, Reason.AUTH, 2),
        (1002, Reason.TOO_OLD, 2),
        (1005, Reason.REQUEST, 1),
        (1008, Reason.AUTH, 1),
        (1011, Reason.AUTH, 2),
        (1012, Reason.SERVER, 1),
        (1014, Reason.PLAN, 1),
        (1016, Reason.AUTH, 2),
        (1019, Reason.AUTH, 1),
        (1020, Reason.AUTH, 2),
        (1021, Reason.AUTH, 1),
        (1022, Reason.REQUEST, 1),
    ],
)
async def test_a_code_costs_what_its_action_costs(code: int, reason: Reason, requests: int) -> None:
    """Signed anew once, clamped once, or nothing: and then the look fails under its reason."""
    clock = VirtualClock(epoch=NOON, jumping=True)
    scenario = {**plain(projects=[project()]), "faults": [{"kind": f"error_{code}", "from": "+12h", "until": "+13h"}]}
    stage = Stage(clock, scenario, account({"visibility": "per_sample"}))
    with pytest.raises(ProviderError) as caught:
        await stage.look()
    assert caught.value.reason is reason
    assert str(code) in caught.value.detail
    assert stage.purses[0].spent == requests


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (answer(b"<!DOCTYPE html><html>Log in", at=EPOCH), Reason.MALFORMED),
        (answer(b"", status=302, at=EPOCH, location="https://login.example.com/"), Reason.AUTH),
        (answer({"message": "slow"}, status=429, at=EPOCH, retry_after="30"), Reason.RATE),
        (answer(b"<html>", status=403, at=EPOCH), Reason.RATE),
        (answer({"code": -1, "message": "Invalid signature"}, status=403, at=EPOCH), Reason.AUTH),
        (answer(b"<html>", status=503, at=EPOCH), Reason.SERVER),
        (answer({"data": None}, at=EPOCH), Reason.MALFORMED),
        (answer({"data": {"project": None}}, at=EPOCH), Reason.MALFORMED),
        (answer({"data": {"project": {"sessionData": None}}}, at=EPOCH), Reason.MALFORMED),
        (answer({"errors": [{"message": "Cannot query field"}]}, status=400, at=EPOCH), Reason.REQUEST),
        (answer(b'{"data": {"project": ', at=EPOCH), Reason.MALFORMED),
        (answer([1, 2], at=EPOCH), Reason.MALFORMED),
        (answer({"data": 7}, at=EPOCH), Reason.MALFORMED),
    ],
)
async def test_what_a_gateway_says_is_never_data(response: httpx.Response, reason: Reason) -> None:
    """Pages, redirects, throttling and shapes nobody documented fail the look, with the cause named."""
    clock = HandClock(EPOCH + 12 * 3600)
    vendor = Vendor(lambda request: response)
    settings = account({"visibility": "per_sample"}, maintenance="none")
    source = open_source(settings, frozenset({"users"}), clock=clock, transport=vendor.transport())
    with pytest.raises(ProviderError) as caught:
        await source.look(source.queries[0], None, FakePurse(extra=50))
    assert caught.value.reason is reason
    assert SECRET not in caught.value.detail
    assert vendor.requests[0].headers["x-opentok-auth"] not in caught.value.detail
    assert KEY not in caught.value.detail


@pytest.mark.parametrize("unified_", [False, True])
async def test_a_gateway_that_echoes_shows_no_secret(unified_: bool) -> None:
    """What was sent in secret comes back as stars, whichever credential it was."""
    clock = HandClock(EPOCH)

    def echo(request: httpx.Request) -> httpx.Response:
        sent = request.headers.get("authorization") or request.headers["x-opentok-auth"]
        return answer({"errors": [{"message": f"{sent.split()[-1]} {SECRET}"[-150:], "errorCode": 1019}]}, at=EPOCH)

    own = account(unified()) if unified_ else account()
    source = open_source(own, frozenset({"users"}), clock=clock, transport=Vendor(echo).transport())
    with pytest.raises(ProviderError) as caught:
        await source.look(source.queries[0], None, FakePurse(extra=5))
    assert caught.value.reason is Reason.AUTH
    if not unified_:
        assert SECRET not in caught.value.detail
        assert "***" in caught.value.detail


def test_the_token_sent_last_is_scrubbed() -> None:
    """Legacy tokens are new each time; the newest is what a gateway could echo."""
    tokens = Tokens(project=account().projects[0], vendor_now=lambda: EPOCH)
    token = tokens.headers()["x-opentok-auth"]
    assert tokens.secrets() == (token, SECRET)


async def test_a_refused_connection_gives_its_spend_back() -> None:
    """Where not one byte left, the request is refunded."""

    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    source = open_source(account(), frozenset({"users"}), clock=HandClock(EPOCH), transport=Vendor(refuse).transport())
    purse = FakePurse(extra=5)
    with pytest.raises(ProviderError):
        await source.look(source.queries[0], None, purse)
    assert purse.refunds == 1
