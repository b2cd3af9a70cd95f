"""Who asks: HTTP Basic with an account's sid and auth token, or an API key's sid and secret (dossier, section 4).

No path names an account, so the credential picks it; one account's credentials say nothing about another's rooms.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Sequence

from watcher.emulator.twilio.world import Account
from watcher.secret import Secret


class Gate:
    """Knows the accounts by their credentials."""

    def __init__(self, accounts: Sequence[Account]) -> None:
        self._known: dict[str, tuple[Account, Secret]] = {}
        for account in accounts:
            if account.auth_token is not None:
                self._known[account.sid] = account, account.auth_token
            for key in account.api_keys:
                self._known[key.sid] = account, key.secret

    def enter(self, authorization: str | None) -> Account | None:
        """The account a header speaks for; None for nobody's."""
        scheme, _, given = (authorization or "").partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            user, _, password = base64.b64decode(given.strip(), validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        account, secret = self._known.get(user, (None, None))
        if account is None or secret is None:
            return None
        return account if hmac.compare_digest(password.encode(), secret.reveal().encode()) else None
