"""The API's description: valid by itself, of every route and no other, and true of every answer."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator
from jsonschema.validators import validator_for
from openapi_spec_validator import validate
from starlette.routing import Route

from tests.web import boards
from tests.web.fakes import FakeViews, application
from tests.web.test_api import BEARER, SILENCE, TOKEN
from watcher.web import shapes
from watcher.web.api import PREFIX

pytestmark = pytest.mark.anyio

ALERT = f"{0:016x}"
BLIND = shapes.Trouble(kind="blind", what="acme cannot be seen", since=None)
ASKED: dict[str, tuple[str, str, Any]] = {
    "status": ("GET", "/status", None),
    "alerts": ("GET", "/alerts", None),
    "alert": ("GET", f"/alerts/{ALERT}", None),
    "acknowledge": ("POST", f"/alerts/{ALERT}/ack", {"author": "kim"}),
    "silences": ("GET", "/silences", None),
    "add_silence": ("POST", "/silences", SILENCE),
    "expire_silence": ("DELETE", "/silences/5117ce", None),
    "signals": ("GET", "/signals", None),
    "series": ("GET", "/series?account=acme&provider=agora&project=p&signal=users&seconds=60", None),
    "accounts": ("GET", "/accounts", None),
    "call": ("POST", "/accounts/school/call", {"channel": "lecture", "at": "2026-01-31T10:15:00Z", "requests": 5}),
    "groups": ("POST", "/accounts/school/groups", {"signal": "daily_video_freeze_ratio", "by": "sdk", "days": 3}),
    "schedule": ("GET", "/schedule", None),
    "rules": ("GET", "/rules", None),
    "explain": ("GET", "/rules/VideoFreezing/explain", None),
    "targets": ("GET", "/targets", None),
}
"""How each operation is asked so that it answers."""

REFUSED: dict[str, tuple[str, str, Any, int]] = {
    "alert": ("GET", "/alerts/nobody", None, 404),
    "series": ("GET", "/series?account=acme", None, 422),
    "series too long": ("GET", "/series?account=a&provider=p&project=p&signal=users&seconds=86401", None, 422),
    "series unknown": ("GET", "/series?account=none&provider=p&project=p&signal=users", None, 404),
    "explain": ("GET", "/rules/none/explain", None, 404),
    "expire_silence": ("DELETE", "/silences/none", None, 404),
    "add_silence": ("POST", "/silences", {}, 422),
    "call": ("POST", "/accounts/school/call", {"channel": "none"}, 404),
    "groups": ("POST", "/accounts/school/groups", {"signal": "none", "by": "sdk"}, 422),
    "groups of a year": ("POST", "/accounts/school/groups", {"signal": "s", "by": "sdk", "days": 366}, 422),
    "call of nothing": ("POST", "/accounts/school/call", {"channel": ""}, 422),
    "call too dear": ("POST", "/accounts/school/call", {"channel": "lecture", "requests": 201}, 422),
}


def client() -> httpx.AsyncClient:
    """On the machine itself."""
    board = boards.board(alerts=3, channel="room", troubles=(BLIND,))
    transport = httpx.ASGITransport(application(FakeViews(board), token=TOKEN))
    return httpx.AsyncClient(transport=transport, base_url=f"http://localhost{PREFIX}", headers=BEARER)


async def description() -> dict[str, Any]:
    """As it is served."""
    async with client() as web:
        found: dict[str, Any] = (await web.get("/openapi.json")).json()
    return found


def operations(document: dict[str, Any]) -> dict[str, tuple[str, str, dict[str, Any]]]:
    """`operationId` -> method, path and operation."""
    return {
        operation["operationId"]: (method.upper(), path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def check(document: dict[str, Any], schema: dict[str, Any], instance: Any) -> None:
    """Strictly: what is not described is not there."""
    closed = {
        name: {**one, "additionalProperties": one.get("additionalProperties", False)} if "properties" in one else one
        for name, one in document["components"]["schemas"].items()
    }
    whole = {**schema, "components": {"schemas": closed}}
    assert validator_for(whole, default=Draft202012Validator) is Draft202012Validator
    Draft202012Validator(whole, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(instance)


async def test_the_description_is_valid() -> None:
    """By a validator of OpenAPI 3.1 that others wrote."""
    document = await description()
    validate(document)  # raises with the reason
    assert document["openapi"].startswith("3.1")


async def test_every_route_is_described_and_the_other_way_round() -> None:
    """Methods included; the description itself is the one exception."""
    served = {
        (method, route.path.removeprefix(PREFIX))
        for route in application(FakeViews()).routes
        if isinstance(route, Route) and route.path.startswith(PREFIX)
        for method in (route.methods or set()) - {"HEAD"}
    }
    described = {(method, path) for method, path, _ in operations(await description()).values()}
    assert served - described == {("GET", "/openapi.json")}
    assert described <= served
    assert set(operations(await description())) == set(ASKED), "and every one of them is asked below"


@pytest.mark.parametrize("name", ASKED)
async def test_every_answer_is_as_described(name: str) -> None:
    """Every field, its type and its format, and no other field."""
    document = await description()
    method, path, body = ASKED[name]
    async with client() as web:
        answer = await web.request(method, path, json=body)
    assert answer.status_code == 200, answer.text
    (content,) = operations(document)[name][2]["responses"]["200"]["content"].values()
    check(document, content["schema"], answer.json())


@pytest.mark.parametrize("name", REFUSED)
async def test_every_refusal_is_as_described(name: str) -> None:
    """Its status is one of those that are listed, and it says what is wrong."""
    document = await description()
    method, path, body, status = REFUSED[name]
    async with client() as web:
        answer = await web.request(method, path, json=body)
    assert answer.status_code == status
    responses = operations(document)[name.split()[0]][2]["responses"]
    (content,) = responses[str(status)]["content"].values()
    check(document, content["schema"], answer.json())


@pytest.mark.parametrize("name", ["add_silence", "acknowledge", "call", "groups"])
async def test_what_is_taken_is_what_is_described(name: str) -> None:
    """A body that the description allows is taken; one with a field that it does not know is refused by both."""
    document = await description()
    method, path, body = ASKED[name]
    (content,) = operations(document)[name][2]["requestBody"]["content"].values()
    check(document, content["schema"], body)
    async with client() as web:
        answer = await web.request(method, path, json={**body, "extra": 1})
    assert answer.status_code == 422


async def test_changes_need_the_token_and_reading_may_not() -> None:
    """As the description says it of each."""
    for method, _, operation in operations(await description()).values():
        assert ({} in operation["security"]) is (method == "GET")
