"""A small Twilio to ask, and how to ask it in-process."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import httpx

from tests.conftest import EPOCH
from watcher.clock import Clock
from watcher.emulator.twilio.scenario import reads
from watcher.emulator.twilio.server import Emulator, build_twilio
from watcher.emulator.twilio.world import Scenario

SID = "AC" + "a" * 32
TOKEN = "0123456789abcdef0123456789abcdef"
KEY = "SK" + "b" * 32
SECRET = "key-secret-0123456789"
NOON = EPOCH + 12 * 3600
ROOMS = "/v1/Video/Rooms"


def plain(**changes: Any) -> dict[str, Any]:
    """A scenario as data: one account with one room. `changes` replace top keys."""
    return {"accounts": [account()], **changes}


def account(**changes: Any) -> dict[str, Any]:
    """The account of `plain`: a room `board` of three, an hour long, over at 11:00. Nothing goes wrong by itself."""
    fields: dict[str, Any] = {
        "name": "acme",
        "sid": SID,
        "auth_token": TOKEN,
        "api_keys": [{"sid": KEY, "secret": SECRET}],
        "crowd": {"churn": "0%", "completed": "0%"},
        "endings": {},
        "rooms": [room()],
    }
    return {**fields, **changes}


def room(**changes: Any) -> dict[str, Any]:
    """The room `board`."""
    fields: dict[str, Any] = {"name": "board", "start": "+10h", "duration": "1h", "participants": 3}
    return {**fields, **changes}


def people(*written: dict[str, Any]) -> dict[str, Any]:
    """The room `board` with these people, each for ten minutes unless they say otherwise."""
    fields = {key: value for key, value in room().items() if key != "participants"}
    rows = [{"identity": f"user-{number}", "stay": "10m", **one} for number, one in enumerate(written)]
    return {**fields, "people": rows}


def traffic(**changes: Any) -> dict[str, Any]:
    """Rooms all day: ten at a time, half an hour each."""
    return {"rooms": 10, "participants": 5, "length": "30m", **changes}


def scenario(data: Mapping[str, Any], *, epoch: float = EPOCH) -> Scenario:
    """Data as a scenario: JSON is YAML."""
    return reads(json.dumps(data), epoch=epoch)


def basic(user: str = KEY, password: str = SECRET, scheme: str = "Basic") -> dict[str, str]:
    """An Authorization header."""
    return {"Authorization": f"{scheme} {base64.b64encode(f'{user}:{password}'.encode()).decode()}"}


class Caller:
    """Asks an emulator in-process."""

    def __init__(self, data: Mapping[str, Any], clock: Clock, *, epoch: float = EPOCH) -> None:
        self.clock = clock
        self.emulator: Emulator = build_twilio(scenario(data, epoch=epoch), clock)
        transport = httpx.ASGITransport(app=self.emulator.app)
        self._client = httpx.AsyncClient(transport=transport, base_url="https://insights.example.com")

    async def get(
        self, path: str = ROOMS, *, headers: Mapping[str, str] | None = None, **given: object
    ) -> httpx.Response:
        """One request, by default with the key of `account`; `None` leaves a parameter out."""
        params = {name: value for name, value in given.items() if value is not None}
        return await self._client.get(path, params=params or None, headers=basic() if headers is None else headers)  # type: ignore[arg-type]

    async def request(self, method: str, path: str) -> httpx.Response:
        """Anything else."""
        return await self._client.request(method, path, headers=basic())

    async def body(self, path: str = ROOMS, **given: Any) -> dict[str, Any]:
        """The JSON of an answer that has to be good."""
        response = await self.get(path, **given)
        assert response.status_code == 200, response.text
        found: dict[str, Any] = response.json()
        return found

    async def rooms(self, **given: Any) -> list[dict[str, Any]]:
        """The rooms of one page."""
        found: list[dict[str, Any]] = (await self.body(**given))["rooms"]
        return found

    async def participants(self, name: str = "board", **given: Any) -> list[dict[str, Any]]:
        """The participants of one page, of a room that is written down."""
        found: list[dict[str, Any]] = (await self.body(f"{self.path(name)}/Participants", **given))["participants"]
        return found

    async def pages(self, path: str = ROOMS, **given: Any) -> list[list[dict[str, Any]]]:
        """All pages of a list, by following the links; at most a hundred."""
        body = await self.body(path, **given)
        pages = [body[body["meta"]["key"]]]
        while (following := body["meta"]["next_page_url"]) and len(pages) < 100:
            body = await self.body(following)
            pages.append(body[body["meta"]["key"]])
        return pages

    def path(self, name: str = "board", account: str = "acme") -> str:
        """The path of a room that is written down."""
        return f"{ROOMS}/{self.emulator.room_sid(account, name)}"

    def report(self) -> Any:
        """What the emulator counted."""
        return self.emulator.report()
