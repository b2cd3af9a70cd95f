"""What the headers of a request say."""

from __future__ import annotations

import base64
import binascii

from starlette.types import Scope


def header(scope: Scope, name: bytes) -> str | None:
    """A request's header; `name` in lower case."""
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), None)


def basic(authorization: str | None) -> tuple[str, str] | None:
    """User and password of an `Authorization` header; None where it is not HTTP Basic, empty where it is unreadable."""
    scheme, _, given = (authorization or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, _, password = base64.b64decode(given.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return user, password
