"""Hooks: a token in the path or nothing at all, little is read, nothing is believed, and a flood is turned away."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from starlette.applications import Starlette
from starlette.types import Message
from structlog.testing import capture_logs

from tests.web import fakes
from watcher.secret import Secret
from watcher.web.hooks import MAX_BODY, PER_MINUTE, Listener

TOKEN = "0123456789abcdef-unguessable"
CALLBACK = {
    "alertTime": "1631703720000",
    "timeZone": "UTC+8",
    "projectName": "classroom",
    "cname": "c1",
    "enContent": "video freeze rate\u226510%",
    "callId": "6141d1efc3421ca63b6470e5",
}


class Ears:
    """Knows one project of one account, and writes down what it hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[str | None, str | None, str | None]] = []
        self.answered: Counter[tuple[str, str]] = Counter()

    def hint(self, *, provider: str | None, account: str | None, project: str | None) -> int:
        self.heard.append((provider, account, project))
        return int(provider in (None, "agora") and account in (None, "acme") and project in (None, "classroom"))

    def hook_answered(self, hook: str, outcome: str) -> None:
        self.answered[hook, outcome] += 1


_: type[Listener] = Ears


def application(ears: Ears, token: str | None = TOKEN) -> Starlette:
    """What the daemon serves."""
    secret = None if token is None else Secret.of(token)
    return fakes.application(hints=ears, hook_token=secret)


@asynccontextmanager
async def client(ears: Ears, token: str | None = TOKEN) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application."""
    transport = httpx.ASGITransport(application(ears, token), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://example.com") as found:
        yield found


async def test_agora_s_callback_is_a_hint_for_its_project() -> None:
    """Answered at once; of the body only the project's name narrows where to look."""
    ears = Ears()
    async with client(ears) as web:
        answer = await web.post(f"/hooks/agora/{TOKEN}", json=CALLBACK)
    assert (answer.status_code, answer.json()) == (202, {"looking_at": 1})
    assert ears.heard == [("agora", None, "classroom")]
    assert ears.answered == {("agora", "accepted"): 1}


async def test_a_name_of_theirs_that_is_none_of_ours_means_every_project() -> None:
    """The console's names need not be the configuration's."""
    ears = Ears()
    async with client(ears) as web:
        answer = await web.post(f"/hooks/agora/{TOKEN}", json={**CALLBACK, "projectName": "P"})
    assert answer.status_code == 202
    assert ears.heard == [("agora", None, "P"), ("agora", None, None)]


async def test_look_takes_nothing_or_names() -> None:
    """An empty body means everything; an account or project that does not exist is said so."""
    ears = Ears()
    async with client(ears) as web:
        assert (await web.post(f"/hooks/look/{TOKEN}")).status_code == 202
        named = {"account": "acme", "project": "classroom"}
        assert (await web.post(f"/hooks/look/{TOKEN}", json=named)).status_code == 202
        assert (await web.post(f"/hooks/look/{TOKEN}", json={"project": "other"})).status_code == 422
    assert ears.heard == [(None, None, None), (None, "acme", "classroom"), (None, None, "other")]


@pytest.mark.parametrize(
    "path", ["agora/wrong", "look/wrong", f"agora/{TOKEN}x", f"look/{TOKEN[:-1]}", "look/", "else"]
)
async def test_a_wrong_token_is_a_page_that_does_not_exist(path: str) -> None:
    """404 like any other unknown page, nothing heard, nothing counted."""
    ears = Ears()
    async with client(ears) as web:
        answer = await web.post(f"/hooks/{path}", json=CALLBACK)
        unknown = await web.post("/nowhere", json=CALLBACK)
    assert answer.status_code == 404
    assert answer.json() == unknown.json()
    assert (ears.heard, ears.answered) == ([], {})


async def test_without_a_token_there_are_no_hooks() -> None:
    """An empty token opens nothing either."""
    ears = Ears()
    async with client(ears, token=None) as web:
        assert (await web.post("/hooks/look/None")).status_code == 404
        assert (await web.post("/hooks/agora/")).status_code == 404
    assert ears.heard == []


async def test_a_body_that_is_too_long_is_not_read() -> None:
    """413 by what it announces, and by what arrives where it announces nothing."""

    ears = Ears()
    async with client(ears) as web:
        announced = await web.post(f"/hooks/agora/{TOKEN}", content=b" " * (MAX_BODY + 1))
        fits = await web.post(f"/hooks/look/{TOKEN}", content=b" " * MAX_BODY)
    assert (announced.status_code, fits.status_code) == (413, 202)
    assert ears.heard == [(None, None, None)]
    read: list[int] = []
    said: list[Message] = []

    async def receive() -> Message:
        read.append(1024)
        return {"type": "http.request", "body": b" " * 1024, "more_body": True}

    async def send(message: Message) -> None:
        said.append(message)

    path = f"/hooks/look/{TOKEN}"
    scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": [], "http_version": "1.1"}
    await application(ears)(scope, receive, send)
    assert said[0]["status"] == 413
    assert sum(read) == MAX_BODY + 1024
    assert len(ears.heard) == 1


@pytest.mark.parametrize("body", ["[]", "1", "{", '"x"', "nothing", "[" * 5000, '{"project": ' + "[" * 5000])
async def test_what_is_no_object_is_refused(body: str) -> None:
    """400, and nobody looks for it."""
    ears = Ears()
    async with client(ears) as web:
        assert (await web.post(f"/hooks/look/{TOKEN}", content=body)).status_code == 400
    assert ears.heard == []


async def test_values_of_other_kinds_are_no_names() -> None:
    """A project that is a number, a list or absurdly long is none of ours, and no crash."""
    ears = Ears()
    async with client(ears) as web:
        for value in (7, ["classroom"], None):
            assert (await web.post(f"/hooks/look/{TOKEN}", json={"project": value})).status_code == 202
        assert (await web.post(f"/hooks/look/{TOKEN}", json={"project": "x" * 9000})).status_code == 422
    assert all(len(project or "") <= 200 for _, _, project in ears.heard)


async def test_a_flood_is_turned_away() -> None:
    """So many a minute are taken, the rest is 429 with `Retry-After`; the other hook goes on."""
    ears = Ears()
    async with client(ears) as web:
        statuses = Counter([(await web.post(f"/hooks/look/{TOKEN}")).status_code for _ in range(PER_MINUTE + 20)])
        answer = await web.post(f"/hooks/look/{TOKEN}")
        other = await web.post(f"/hooks/agora/{TOKEN}", json=CALLBACK)
    assert statuses[202] in (PER_MINUTE, PER_MINUTE + 1)
    assert statuses[429] == PER_MINUTE + 20 - statuses[202]
    assert answer.headers["retry-after"] == "60"
    assert other.status_code == 202
    assert len(ears.heard) == statuses[202] + 1


async def test_wrong_tokens_do_not_use_up_the_right_one_s_share() -> None:
    """Who guesses cannot shut the door on who knows."""
    ears = Ears()
    async with client(ears) as web:
        for n in range(3 * PER_MINUTE):
            assert (await web.post(f"/hooks/look/{n}")).status_code == 404
        assert (await web.post(f"/hooks/look/{TOKEN}")).status_code == 202


async def test_nothing_of_a_hook_is_logged_when_it_crashes() -> None:
    """A fault of ours names the hook, and neither its token nor what it was sent."""

    class Broken(Ears):
        def hint(self, *, provider: str | None, account: str | None, project: str | None) -> int:
            raise RuntimeError(f"a mistake beside {project}")

    with capture_logs() as logs:
        async with client(Broken()) as web:
            answer = await web.post(f"/hooks/look/{TOKEN}", json={"project": "hunter2"})
    assert answer.status_code == 500
    said = json.dumps(logs) + answer.text
    assert "page_failed" in said
    assert TOKEN not in said
    assert "hunter2" not in said
