"""A small Agora to ask, and how to ask it in-process."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import httpx

from tests.conftest import EPOCH
from watcher.clock import Clock
from watcher.emulator.agora import Emulator, build_agora
from watcher.emulator.scenario import reads
from watcher.emulator.world import Scenario

APP = "00000000000000000000000000000001"
OTHER_APP = "00000000000000000000000000000002"
NOON = EPOCH + 12 * 3600

PATHS = {
    "usage": "/beta/realtime/usage/by_time_20sec",
    "quality": "/beta/realtime/quality/by_time_20sec",
    "usage_top20": "/beta/realtime/usage/dimension/top20",
    "quality_top20": "/beta/realtime/quality/dimension/top20",
}

ROOM: Mapping[str, Any] = {"name": "room", "share": "50%", "uids": {"Native": [2303692334, 2963430861], "WebRTC": [9]}}


def plain(**changes: Any) -> dict[str, Any]:
    """A scenario as data: one enterprise account without quotas, one project, no noise. `changes` replace top keys."""
    scenario: dict[str, Any] = {
        "jitter": "0%",
        "accounts": [account()],
    }
    return {**scenario, **changes}


def account(**changes: Any) -> dict[str, Any]:
    """The one account of `plain`."""
    fields: dict[str, Any] = {
        "name": "acme",
        "customer_id": "id",
        "customer_secret": "secret",
        "plan": "enterprise",
        "limits": {"per_minute": 1_000_000, "per_day": 1_000_000},
        "projects": [project()],
    }
    return {**fields, **changes}


def project(**changes: Any) -> dict[str, Any]:
    """The one project of `plain`: 100 users on Native and 30 on WebRTC, all day."""
    fields: dict[str, Any] = {
        "name": "classroom",
        "app_id": APP,
        "products": {"Native": {"peak_users": 100}, "WebRTC": {"peak_users": 30}},
        "day": {"trough": "100%"},
        "channels": [dict(ROOM)],
    }
    return {**fields, **changes}


def scenario(data: Mapping[str, Any], *, epoch: float = EPOCH) -> Scenario:
    """Data as a scenario: JSON is YAML."""
    return reads(json.dumps(data), epoch=epoch)


def basic(user: str = "id", password: str = "secret", scheme: str = "Basic") -> dict[str, str]:
    """An Authorization header."""
    return {"Authorization": f"{scheme} {base64.b64encode(f'{user}:{password}'.encode()).decode()}"}


class Caller:
    """Asks an emulator in-process."""

    def __init__(self, data: Mapping[str, Any], clock: Clock, *, epoch: float = EPOCH) -> None:
        self.clock = clock
        self.emulator: Emulator = build_agora(scenario(data, epoch=epoch), clock)
        self._client = httpx.AsyncClient(transport=httpx.ASGITransport(app=self.emulator.app))

    async def get(
        self, endpoint: str, *, host: str = "api.example.com", headers: Mapping[str, str] | None = None, **given: object
    ) -> httpx.Response:
        """One request; `None` leaves a parameter out. By default: users of the last ten minutes."""
        params = {**self.defaults(endpoint), **given}
        kept = {name: str(value) for name, value in params.items() if value is not None}
        path = PATHS.get(endpoint, endpoint)
        return await self._client.get(
            f"http://{host}{path}", params=kept, headers=basic() if headers is None else headers
        )

    async def fetch(
        self, target: str, *, method: str = "GET", headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """One request to a path and query as they stand."""
        url = f"http://api.example.com{target}"
        return await self._client.request(method, url, headers=basic() if headers is None else headers)

    def defaults(self, endpoint: str) -> dict[str, object]:
        """A good request at this moment."""
        now = int(self.clock.now())
        common: dict[str, object] = {
            "appid": APP,
            "productType": "Native",
            "metric": "userCount" if endpoint.startswith("usage") else "videoFreezeRate",
        }
        if endpoint.endswith("top20"):
            return {"ts": (now - 120) // 20 * 20, **common, "dimension": "sdk"}
        return {"startTs": now - 660, "endTs": now - 60, **common}

    async def body(self, endpoint: str, **given: Any) -> dict[str, Any]:
        """The JSON of an answer that has to be HTTP 200."""
        response = await self.get(endpoint, **given)
        assert response.status_code == 200, response.text
        body: dict[str, Any] = response.json()
        return body

    async def rows(self, endpoint: str, **given: Any) -> list[dict[str, Any]]:
        """The rows of an answer that has to be good."""
        body = await self.body(endpoint, **given)
        assert body["code"] == 200, body
        data = body["data"]
        found: list[dict[str, Any]] = data["list"] if endpoint.endswith("top20") else data
        return found
