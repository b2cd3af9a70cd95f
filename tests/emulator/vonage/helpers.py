"""A small Vonage to ask, and how to ask it in-process."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tests.conftest import EPOCH
from watcher.clock import Clock
from watcher.emulator.vonage.scenario import reads
from watcher.emulator.vonage.server import Emulator, build_vonage
from watcher.emulator.vonage.world import Scenario

KEY = "12345678"
SECRET = "0123456789abcdef0123456789abcdef01234567"
OTHER_KEY = "87654321"
APPLICATION = "00000000-0000-4000-8000-000000000001"
NOON = EPOCH + 12 * 3600

LEGACY, UNIFIED = "/graphql", "/video/insights-api/graphql"


@cache
def rsa() -> tuple[str, str]:
    """A private key and its public half, as PEM, the same for the whole run."""
    key = generate_private_key(public_exponent=65_537, key_size=2048)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    return private, public


def plain(**changes: Any) -> dict[str, Any]:
    """A scenario as data: one legacy project with one named session, no noise. `changes` replace top keys."""
    return {"jitter": "0%", "projects": [project()], **changes}


def project(**changes: Any) -> dict[str, Any]:
    """The legacy project of `plain`: a session `board` of four that began an hour before noon and lasts two."""
    fields: dict[str, Any] = {
        "name": "classroom",
        "key": KEY,
        "secret": SECRET,
        "crowd": {"churn": "0%"},
        "rows": {"null_latency": "0%"},
        "sessions": [session()],
    }
    return {**fields, **changes}


def application(**changes: Any) -> dict[str, Any]:
    """A unified application with the same session."""
    fields = {name: value for name, value in project().items() if name not in ("key", "secret")}
    return {**fields, "name": "clinic", "application": APPLICATION, "public_key": rsa()[1], **changes}


def session(**changes: Any) -> dict[str, Any]:
    """The session `board`."""
    fields: dict[str, Any] = {"name": "board", "meetings": [{"start": "+11h", "duration": "2h", "participants": 4}]}
    return {**fields, **changes}


def scenario(data: Mapping[str, Any], *, epoch: float = EPOCH) -> Scenario:
    """Data as a scenario: JSON is YAML."""
    return reads(json.dumps(data), epoch=epoch)


def legacy_token(now: float, *, key: str = KEY, secret: str = SECRET, **claims: Any) -> str:
    """A legacy token of three minutes."""
    body = {"iss": key, "ist": "project", "iat": int(now) - 10, "exp": int(now) + 170, "jti": "x", **claims}
    return jwt.encode({name: value for name, value in body.items() if value is not None}, secret, algorithm="HS256")


def unified_token(now: float, *, application: str = APPLICATION, **claims: Any) -> str:
    """A unified token of fifteen minutes."""
    body = {"application_id": application, "iat": int(now) - 10, "exp": int(now) + 890, "jti": "x", **claims}
    return jwt.encode({name: value for name, value in body.items() if value is not None}, rsa()[0], algorithm="RS256")


class Caller:
    """Asks an emulator in-process."""

    def __init__(
        self, data: Mapping[str, Any], clock: Clock, *, epoch: float = EPOCH, address: str = "10.0.0.1"
    ) -> None:
        self.clock = clock
        self.emulator: Emulator = build_vonage(scenario(data, epoch=epoch), clock)
        self.use_address(address)

    def use_address(self, address: str) -> None:
        """Ask from another address from now on."""
        transport = httpx.ASGITransport(app=self.emulator.app, client=(address, 1))
        self._client = httpx.AsyncClient(transport=transport, base_url="http://vonage.example.com")

    def headers(self) -> dict[str, str]:
        """Good legacy credentials."""
        return {"X-OPENTOK-AUTH": legacy_token(self.clock.now())}

    def bearer(self) -> dict[str, str]:
        """Good unified credentials."""
        return {"Authorization": f"Bearer {unified_token(self.clock.now())}"}

    async def post(
        self,
        query: str,
        variables: Mapping[str, Any] | None = None,
        *,
        path: str = LEGACY,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """One GraphQL request."""
        body = {"query": query, "variables": variables or {}, "operationName": None}
        return await self._client.post(path, json=body, headers=self.headers() if headers is None else headers)

    async def data(self, query: str, variables: Mapping[str, Any] | None = None, **how: Any) -> dict[str, Any]:
        """The project part of an answer that has to be good."""
        response = await self.post(query, variables, **how)
        assert response.status_code == 200, response.text
        body = response.json()
        assert "errors" not in body, body
        found: dict[str, Any] = body["data"]["project"]
        return found

    async def errors(self, query: str, variables: Mapping[str, Any] | None = None, **how: Any) -> list[dict[str, Any]]:
        """The errors of an answer that has to be HTTP 200."""
        response = await self.post(query, variables, **how)
        assert response.status_code == 200, response.text
        found: list[dict[str, Any]] = response.json()["errors"]
        return found

    async def get(self, path: str, *, headers: Mapping[str, str] | None = None) -> httpx.Response:
        """One GET that wants JSON, by default with legacy credentials."""
        given = self.headers() if headers is None else headers
        return await self._client.get(path, headers={"Accept": "application/json", **given})

    async def request(self, method: str, path: str, **how: Any) -> httpx.Response:
        """Anything else."""
        return await self._client.request(method, path, **how)

    def id(self, name: str = "board", project: str = "classroom") -> str:
        """The id of a named session."""
        return self.emulator.session_id(project, name)


def session_query(session_ids: str | list[str], inside: str, project_id: str = KEY) -> str:
    """A query for sessions, with `inside` as their selection."""
    ids = json.dumps([session_ids] if isinstance(session_ids, str) else session_ids)
    return f'{{ project(projectId: "{project_id}") {{ sessionData {{ sessions(sessionIds: {ids}) {inside} }} }} }}'
