"""Who asks: JSON Web Tokens of both kinds, as the dossier's sections 1.2, 1.3 and 4.3 say.

Legacy: HS256 with the project's secret in `X-OPENTOK-AUTH`; unified: RS256 with the application's key as a Bearer
token. The times inside are checked against the server's clock: `iat` at most 5 s ahead, `exp` still to come, and for
legacy REST calls a lifetime of at most 5 minutes (Insights tolerates an hour, so no limit there).

Which code belongs to which fault is not documented; chosen here (INFERRED): no token at all 1001; one that is no
token, of another algorithm, too early or too late 1011; an unknown key or application 1000; a signature that does not
fit 1020.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import jwt

from watcher.emulator.vonage.world import Project

Surface = Literal["insights", "rest"]

_AHEAD = 5.0
_REST_LIFETIME = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Denied:
    """Why a token does not count: the Insights error code, and the words of the REST API."""

    code: int
    message: str


class Gate:
    """Knows the projects by their ids."""

    def __init__(self, projects: Sequence[Project]) -> None:
        self._projects = {project.id: project for project in projects}

    def enter(self, *, legacy: str | None, bearer: str | None, now: float, surface: Surface) -> Project | Denied:
        """The project that a request's headers speak for. `now` is server time."""
        if legacy:
            return self._check(legacy, "HS256", now, surface)
        scheme, _, token = (bearer or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            return Denied(code=1001, message="Authentication is required.")
        return self._check(token.strip(), "RS256", now, surface)

    def _check(
        self, token: str, algorithm: Literal["HS256", "RS256"], now: float, surface: Surface
    ) -> Project | Denied:
        claims = _unverified(token, algorithm)
        if claims is None:
            return Denied(code=1011, message="Invalid token.")
        name = "iss" if algorithm == "HS256" else "application_id"
        project = self._projects.get(str(claims.get(name, "")))
        if project is None or project.kind != ("legacy" if algorithm == "HS256" else "unified"):
            return Denied(code=1000, message="Invalid issuer format")
        try:
            jwt.decode(token, project.secret.reveal(), algorithms=[algorithm], options=_SIGNATURE_ONLY)
        except jwt.InvalidTokenError:
            return Denied(code=1020, message="Invalid signature")
        return _timely(claims, project, now, surface) or project


_SIGNATURE_ONLY: Any = {
    "verify_signature": True,
    "verify_exp": False,
    "verify_iat": False,
    "verify_nbf": False,
    "verify_aud": False,
    "verify_iss": False,
    "verify_sub": False,
    "verify_jti": False,
}


def _unverified(token: str, algorithm: str) -> Mapping[str, Any] | None:
    """The claims of something that is a token of that algorithm."""
    try:
        if jwt.get_unverified_header(token).get("alg") != algorithm:
            return None
        claims: Mapping[str, Any] = jwt.decode(token, options={"verify_signature": False})
    except jwt.InvalidTokenError:
        return None
    return claims


def _timely(claims: Mapping[str, Any], project: Project, now: float, surface: Surface) -> Denied | None:
    issued, expires = _number(claims.get("iat")), _number(claims.get("exp"))
    if issued is None or expires is None:
        return Denied(code=1011, message="Token without iat or exp.")
    if issued > now + _AHEAD:
        return Denied(code=1011, message="issued time cannot be greater than the current time")
    if expires <= now:
        return Denied(code=1011, message="Token has expired.")
    if project.kind == "legacy":
        if claims.get("ist") != "project":
            return Denied(code=1011, message="Invalid ist claim")
        if surface == "rest" and expires - issued > _REST_LIFETIME:
            return Denied(code=1011, message="Token lifetime is longer than 5 minutes.")
    return None


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
