"""Tokens: claims as documented, lifetimes, and that a clock ahead or behind locks nobody out."""

from __future__ import annotations

from typing import Any

import jwt
import pytest

from tests.conftest import EPOCH
from tests.emulator.vonage.helpers import KEY, SECRET, rsa
from tests.providers.doubles import HandClock
from tests.providers.vonage.stage import APPLICATION, account, unified
from watcher.errors import ProviderError, Reason
from watcher.providers.vonage.tokens import BACK, LEGACY_LIFE, UNIFIED_LIFE, Tokens
from watcher.secret import Secret

UNCHECKED: Any = {"verify_exp": False, "verify_iat": False}


def test_a_legacy_token_is_new_for_each_request() -> None:
    """HS256, three minutes, dated back, `ist` project, and never the same twice."""
    clock = HandClock(EPOCH + 0.7)
    tokens = Tokens(project=account().projects[0], vendor_now=clock.now)
    first, second = tokens.headers()["x-opentok-auth"], tokens.headers()["x-opentok-auth"]
    claims = jwt.decode(first, SECRET, algorithms=["HS256"], options=UNCHECKED)
    assert (claims["iss"], claims["ist"]) == (KEY, "project")
    assert claims["iat"] == EPOCH - BACK
    assert claims["exp"] - claims["iat"] == LEGACY_LIFE <= 300
    assert first != second
    assert jwt.get_unverified_header(first) == {"alg": "HS256", "typ": "JWT"}


def test_a_unified_token_is_kept_for_most_of_its_life() -> None:
    """RS256, fifteen minutes, signed anew at four fifths of them, or when the vendor refused it."""
    clock = HandClock(EPOCH)
    tokens = Tokens(project=account(unified()).projects[0], vendor_now=clock.now)
    first = tokens.headers()["authorization"].removeprefix("Bearer ")
    claims = jwt.decode(first, rsa()[1], algorithms=["RS256"], options=UNCHECKED)
    assert claims["application_id"] == APPLICATION
    assert claims["exp"] - claims["iat"] == UNIFIED_LIFE
    clock.advance(0.8 * UNIFIED_LIFE - BACK - 1)
    assert tokens.headers()["authorization"].endswith(first)
    clock.advance(2)
    renewed = tokens.headers()["authorization"]
    assert not renewed.endswith(first)
    tokens.renew()
    assert tokens.headers()["authorization"] != renewed


def test_a_clock_set_back_signs_anew() -> None:
    """A token from the future would be refused."""
    clock = HandClock(EPOCH)
    tokens = Tokens(project=account(unified()).projects[0], vendor_now=clock.now)
    first = tokens.headers()
    clock.step(-3600)
    assert tokens.headers() != first


def test_a_key_that_cannot_sign_is_named() -> None:
    """Text that is no RSA key fails as a refusal, without the text."""
    project = account(unified(private_key=Secret.of("-----BEGIN nonsense"))).projects[0]
    tokens = Tokens(project=project, vendor_now=lambda: EPOCH)
    with pytest.raises(ProviderError) as caught:
        tokens.headers()
    assert caught.value.reason is Reason.AUTH
    assert "nonsense" not in str(caught.value)
    assert not caught.value.sent
