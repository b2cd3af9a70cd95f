"""Tokens for both kinds of credential (dossier sections 1.2, 1.3): signed here, shown nowhere.

Legacy: HS256 in `X-OPENTOK-AUTH`, three minutes, a new one for each request; REST refuses `exp - iat` over five
minutes. Unified: RS256 in `Authorization: Bearer`, fifteen minutes, renewed at 80 % of that, since signing with RSA
takes milliseconds. Both are dated ten seconds back, by the vendor's clock where its `Date` has told it: a token from
the future is refused, and a daemon whose clock is off must not be locked out for it.

The times in a token are the run clock's. Where that clock is virtual the emulator shares it.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable
from typing import Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from watcher.errors import ProviderError, Reason
from watcher.providers.vonage.settings import Project

BACK = 10  # seconds that `iat` lies in the past
LEGACY_LIFE = 180
UNIFIED_LIFE = 900
_RENEW = 0.8


class Tokens:
    """Signs for one project. `vendor_now` tells the vendor's time as far as it is known."""

    def __init__(self, *, project: Project, vendor_now: Callable[[], float]) -> None:
        self._project = project
        self._now = vendor_now
        self._key: RSAPrivateKey | None = None
        self._kept: tuple[str, float] | None = None  # token, and when it is to be renewed
        self._last = ""

    def headers(self) -> dict[str, str]:
        """The header that authenticates a request made now. Raises `ProviderError` where the key cannot sign."""
        if self._project.kind == "legacy":
            return {"x-opentok-auth": self._legacy()}
        return {"authorization": f"Bearer {self._unified()}"}

    def renew(self) -> None:
        """The vendor refused a token: make a new one for the next request."""
        self._kept = None

    def secrets(self) -> tuple[str, ...]:
        """What must not be shown: the secret, and the token that was sent last."""
        return (*((self._last,) if self._last else ()), self._project.secret_value().reveal())

    def _legacy(self) -> str:
        now = math.floor(self._now())
        claims = {"iss": self._project.id, "ist": "project", "iat": now - BACK, "exp": now - BACK + LEGACY_LIFE}
        return self._sign(claims, self._project.secret_value().reveal(), "HS256")

    def _unified(self) -> str:
        now = self._now()
        if self._kept is None or not self._kept[1] - UNIFIED_LIFE <= now < self._kept[1]:
            issued = math.floor(now) - BACK
            claims = {"application_id": self._project.id, "iat": issued, "exp": issued + UNIFIED_LIFE}
            self._kept = self._sign(claims, self._private_key(), "RS256"), issued + _RENEW * UNIFIED_LIFE
        return self._kept[0]

    def _private_key(self) -> RSAPrivateKey:
        if self._key is None:
            try:
                key = load_pem_private_key(self._project.secret_value().reveal().encode(), None)
            except (ValueError, TypeError, UnsupportedAlgorithm):
                key = None
            if not isinstance(key, RSAPrivateKey):
                raise ProviderError(Reason.AUTH, "private_key is no RSA key in PEM", sent=False)
            self._key = key
        return self._key

    def _sign(self, claims: dict[str, Any], key: str | RSAPrivateKey, algorithm: str) -> str:
        self._last = jwt.encode({**claims, "jti": str(uuid.uuid4())}, key, algorithm=algorithm)
        return self._last
