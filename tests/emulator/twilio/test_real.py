"""Twilio's own SDK over real sockets: rooms and participants through its public calls, pages included.

These run on asyncio in real time, as production does. The SDK blocks, so it is called in a thread.
"""

from __future__ import annotations

import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from anyio import to_thread
from twilio.base.exceptions import (  # type: ignore[import-untyped]
    TwilioException,
    TwilioRestException,
    TwilioServiceException,
)
from twilio.http.http_client import TwilioHttpClient  # type: ignore[import-untyped]
from twilio.rest import Client  # type: ignore[import-untyped]

from tests.emulator.twilio.helpers import KEY, ROOMS, SECRET, SID, TOKEN, account, basic, plain, room, scenario
from tests.real.processes import ended, free_port, running, terminate
from tests.tls import certificate
from watcher.clock import WallClock
from watcher.emulator.twilio.server import Emulator, build_twilio
from watcher.httpserver import serve

FAILED = {"identity": "ben", "join": "1m", "stay": "31s", "ending": 53405}
FINE = {"identity": "ann", "stay": "20m"}


@pytest.fixture
def anyio_backend() -> str:
    """The event loop of production."""
    return "asyncio"


def hours(count: int, **changes: Any) -> list[dict[str, Any]]:
    """Rooms of ann and ben, one an hour, the last over an hour ago."""
    return [
        {"name": f"r{number}", "start": f"-{number + 2}h", "duration": "30m", "people": [FINE, FAILED], **changes}
        for number in range(count)
    ]


@asynccontextmanager
async def served(
    data: dict[str, Any], *, tls_cert: str | None = None, tls_key: str | None = None
) -> AsyncIterator[tuple[Emulator, int]]:
    """An emulator on a free port of the loopback."""
    emulator = build_twilio(scenario(data, epoch=time.time()), WallClock())
    async with anyio.create_task_group() as tasks:

        async def listen(*, task_status: anyio.abc.TaskStatus[int]) -> None:
            await serve(
                emulator.app,
                host="127.0.0.1",
                port=0,
                tls_cert=tls_cert,
                tls_key=tls_key,
                date_header=False,
                task_status=task_status,
            )

        port: int = await tasks.start(listen)
        yield emulator, port
        tasks.cancel_scope.cancel()


def sdk(base: str, user: str = KEY, password: str = SECRET) -> Iterator[Client]:
    """The vendor's client, led to the emulator by the base URL that it shows in public."""
    http = TwilioHttpClient(timeout=10)
    client = Client(user, password, SID, http_client=http)
    client.insights.base_url = base
    yield client
    assert http.session is not None
    http.session.close()


async def test_the_sdk_lists_rooms_and_participants() -> None:
    """Over HTTP with an API key: five rooms by pages of two, filters, one room, its participants by pages of one."""
    async with served(plain(accounts=[account(rooms=hours(5))])) as (emulator, port):

        def call() -> None:
            for client in sdk(f"http://127.0.0.1:{port}"):
                rooms = client.insights.v1.rooms
                listed = rooms.list(page_size=2)
                assert [one.room_name for one in listed] == ["r0", "r1", "r2", "r3", "r4"]
                assert all(isinstance(one.create_time, datetime) for one in listed)
                assert {(one.duration_sec, one.unique_participants, one.codecs[-1]) for one in listed} == {
                    (1800, 2, "opus")
                }
                since = datetime.now(UTC) - timedelta(hours=4, minutes=30)
                found = rooms.list(created_after=since, created_before=datetime.now(UTC), room_type=["group", "go"])
                assert [one.room_name for one in found] == ["r0", "r1", "r2"]
                assert [one.room_name for one in rooms.stream(room_name="r3", limit=7)] == ["r3"]
                fetched = rooms(listed[1].room_sid).fetch()
                assert (fetched.room_sid, fetched.processing_state) == (listed[1].room_sid, "complete")
                people = fetched.participants.list(page_size=1)
                assert [(one.participant_identity, one.error_code, one.duration_sec) for one in people] == [
                    ("ben", 53405, 31),
                    ("ann", None, 1200),
                ]
                assert people[0].end_reason == "media_connection_failed_or_media_activity_ceased"
                one = fetched.participants(people[0].participant_sid).fetch()
                assert (one.participant_sid, one.leave_time) == (people[0].participant_sid, people[0].leave_time)
                page = rooms.page(page_size=3)
                following = page.next_page()
                assert following is not None
                assert [one.room_name for one in following] == ["r3", "r4"]
                back = following.previous_page()
                assert [one.room_name for one in back or ()] == ["r0", "r1", "r2"]

        await to_thread.run_sync(call)
        report: Any = emulator.report()
        assert report["requests"]["rooms"] == {"answered": 3 + 1 + 1 + 3}
        assert report["participants"] == {"handed_out": 2, "handed_again": 1, "final": 2}


async def test_the_sdk_over_https_with_an_auth_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The account's sid and token work as well, and links lead to HTTPS."""
    cert, key = certificate(tmp_path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(cert))
    data = plain(accounts=[account(rooms=hours(3))])
    async with served(data, tls_cert=str(cert), tls_key=str(key)) as (_, port):

        def call() -> None:
            for client in sdk(f"https://localhost:{port}", SID, TOKEN):
                listed = client.insights.v1.rooms.list(page_size=1)
                assert [one.room_name for one in listed] == ["r0", "r1", "r2"]
                assert {one.account_sid for one in listed} == {SID}
                assert str(listed[0].url).startswith(f"https://localhost:{port}/v1/Video/Rooms/RM")

        await to_thread.run_sync(call)


@pytest.mark.parametrize(("errors", "kind"), [("legacy", TwilioRestException), ("rfc9457", TwilioServiceException)])
async def test_the_sdk_understands_refusals(errors: str, kind: type[Any]) -> None:
    """In either body, each by its own exception: wrong credentials, a room that is not there, a page too large."""
    data = plain(accounts=[account(rooms=hours(1))], answers={"errors": errors})
    nobody = "RM" + "f" * 32
    async with served(data) as (_, port):

        def call() -> None:
            for client in sdk(f"http://127.0.0.1:{port}"):
                with pytest.raises(kind) as missing:
                    client.insights.v1.rooms(nobody).fetch()
                assert (missing.value.status, missing.value.code) == (404, 20404)
                with pytest.raises(TwilioException):
                    client.insights.v1.rooms.list(page_size=1001)
            for stranger in sdk(f"http://127.0.0.1:{port}", KEY, "wrong"):
                with pytest.raises(kind) as refused:
                    stranger.insights.v1.rooms(nobody).fetch()
                assert (refused.value.status, refused.value.code) == (401, 20003)

        await to_thread.run_sync(call)


async def test_requests_under_way_over_http() -> None:
    """Of five at once only three are answered where no more are allowed; a client that hangs up frees its place."""
    faults = [{"kind": "timeout", "where": {"endpoint": ["room"]}}]
    limits = {"concurrent": 3, "latency": "400ms"}
    async with served(plain(accounts=[account(rooms=hours(1))], limits=limits, faults=faults)) as (emulator, port):
        base = f"http://127.0.0.1:{port}"
        path = emulator.room_sid("acme", "r0")
        async with httpx.AsyncClient(base_url=base, headers=basic(), trust_env=False) as client:
            statuses: list[int] = []

            async def ask() -> None:
                statuses.append((await client.get(ROOMS)).status_code)

            async with anyio.create_task_group() as tasks:
                for _ in range(5):
                    tasks.start_soon(ask)
            assert sorted(statuses) == [200, 200, 200, 429, 429]
            for _ in range(3):
                with pytest.raises(httpx.ReadTimeout):
                    await client.get(f"{ROOMS}/{path}", timeout=0.05)
            await anyio.sleep(0.2)
            assert (await client.get(ROOMS)).headers["twilio-concurrent-requests"] == "1"
        report: Any = emulator.report()
        assert report["under_way"]["acme"]["limit"] == 3


async def test_a_reset_is_one_of_tcp() -> None:
    """And the next request is answered."""
    faults = [{"kind": "reset", "every": 2}]
    async with (
        served(plain(accounts=[account(rooms=[room(start="-2h")])], faults=faults)) as (_, port),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=basic(), trust_env=False) as client,
    ):
        assert (await client.get(ROOMS)).status_code == 200
        with pytest.raises(httpx.ReadError):
            await client.get(ROOMS)
        assert len((await client.get(ROOMS)).json()["rooms"]) == 1


async def test_the_command(tmp_path: Path) -> None:
    """`watcher emulate twilio` plays the shipped example over HTTPS until SIGTERM; a bad file exits 2 in one go."""
    cert, key = certificate(tmp_path)
    port = free_port()
    scenario_file = str(Path(__file__).parent / "example.yaml")
    words = ["emulate", "twilio", "--listen", f"127.0.0.1:{port}", "--scenario", scenario_file]
    context = ssl.create_default_context(cafile=str(cert))
    with running([*words, "--tls-cert", str(cert), "--tls-key", str(key)], folder=tmp_path) as process:
        base = f"https://localhost:{port}"
        async with httpx.AsyncClient(base_url=base, headers=basic(), verify=context, trust_env=False) as client:
            with anyio.fail_after(20):
                while not (body := await _tried(client)):  # noqa: ASYNC110 - a process has no event to wait for
                    await anyio.sleep(0.05)
        board = next(one for one in body["rooms"] if one["room_name"] == "board")
        assert (board["unique_participants"], board["end_reason"]) == (4, "room_ended_via_api")
        assert board["url"].startswith(base)
        terminate(process)
        assert await ended(process, seconds=10) == 0
    (tmp_path / "bad.yaml").write_text("accounts: []\nfaults: [{kind: earthquake}]\n")
    with running(["emulate", "twilio", "--scenario", "bad.yaml"], folder=tmp_path, log="bad.log") as process:
        assert await ended(process, seconds=20) == 2
    lines = (tmp_path / "bad.log").read_text().splitlines()
    assert [line.split(": ")[0] for line in lines] == ["bad.yaml:1:11", "bad.yaml:2:17"]


async def _tried(client: httpx.AsyncClient) -> dict[str, Any] | None:
    """A list of rooms, once somebody listens."""
    with contextlib.suppress(httpx.TransportError):
        body: dict[str, Any] = (await client.get(ROOMS, params={"PageSize": 1000})).json()
        return body
    return None
