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
    "call_lists": "/beta/analytics/call/lists",
    "call_sessions": "/beta/analytics/call/sessions",
    "call_metrics": "/beta/analytics/call/metrics",
    "call_statistics": "/beta/analytics/call/statistics",
    "call_freeze_bucket": "/beta/analytics/call/freeze/bucket",
    "call_statistics_time": "/beta/analytics/call/statistics/time",
    "insight_usage": "/beta/insight/usage/by_time",
    "insight_quality": "/beta/insight/quality/by_time",
    "insight_usage_aggregation": "/beta/insight/usage/aggregation",
    "insight_quality_aggregation": "/beta/insight/quality/aggregation",
}

OFTEN = {"per_second": 1_000_000, "per_minute": 1_000_000, "per_day": 1_000_000}
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
        "limits": {**OFTEN, "call_lists": OFTEN, "call_details": OFTEN, "insight": OFTEN},
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
        if endpoint.startswith("call"):
            return {"start_ts": now - 600, "end_ts": now - 301, "appid": APP}
        if endpoint.startswith("insight"):
            product = {"metric": "networkDelay", "productType": "Native"} if "quality" in endpoint else {}
            day = now // 86_400 * 86_400 - 2 * 86_400
            span = {"startTs": day, "endTs": day + 86_400, "aggregateGranularity": "1h"}
            return {**span, "appid": APP, "metric": "totalDuration", **product}
        common: dict[str, object] = {
            "appid": APP,
            "productType": "Native",
            "metric": "userCount" if endpoint.startswith("usage") else "videoFreezeRate",
        }
        if endpoint.endswith("top20"):
            return {"ts": (now - 120) // 20 * 20, **common, "dimension": "sdk"}
        return {"startTs": now - 660, "endTs": now - 60, **common}

    async def post(self, endpoint: str, given: object, *, query: str = f"appid={APP}") -> httpx.Response:
        """One request with a JSON body, or with bytes as they stand."""
        content = given if isinstance(given, bytes) else json.dumps(given).encode()
        return await self._client.post(
            f"http://api.example.com{PATHS[endpoint]}?{query}", content=content, headers=basic()
        )

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
