"""Real clients over real sockets: the vendor's own SDKs, webhooks to a listening server, resets on the wire.

These run on asyncio in real time, as production does. The SDKs block, so they are called in a thread.
"""

from __future__ import annotations

import gc
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import opentok  # type: ignore[import-untyped]
import pytest
import vonage  # type: ignore[import-untyped]
from anyio import to_thread

from tests.emulator.vonage.helpers import (
    APPLICATION,
    KEY,
    SECRET,
    application,
    legacy_token,
    plain,
    project,
    rsa,
    scenario,
    session,
    session_query,
)
from tests.emulator.vonage.test_hooks import Sink
from tests.tls import certificate
from watcher.clock import WallClock
from watcher.emulator.vonage.server import Emulator, build_vonage
from watcher.httpserver import serve

LIVE = session(meetings=[{"start": "-20m", "duration": "2h", "participants": 3}])
IDLE = session(name="idle", meetings=[{"start": "+2h", "duration": "1h"}])


@pytest.fixture
def anyio_backend() -> str:
    """The event loop of production."""
    return "asyncio"


@asynccontextmanager
async def served(
    data: dict[str, Any], *, tls_cert: str | None = None, tls_key: str | None = None
) -> AsyncIterator[tuple[Emulator, int]]:
    """An emulator on a free port of the loopback."""
    emulator = build_vonage(scenario(data, epoch=time.time()), WallClock())
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


async def test_the_opentok_sdk_lists_streams() -> None:
    """Over HTTP with a project's key and secret: the list, one stream, an idle session."""
    async with served(plain(projects=[project(sessions=[LIVE, IDLE])])) as (emulator, port):
        client = opentok.Client(KEY, SECRET, api_url=f"http://127.0.0.1:{port}", timeout=10)
        live, idle = (emulator.session_id("classroom", name) for name in ("board", "idle"))
        streams = await to_thread.run_sync(client.list_streams, live)
        assert streams.count == len(streams) == 3
        assert {stream.videoType for stream in streams} == {"camera"}
        one = await to_thread.run_sync(client.get_stream, live, streams.items[1].id)
        assert one.id == streams.items[1].id
        assert (await to_thread.run_sync(client.list_streams, idle)).count == 0
        with pytest.raises(opentok.exceptions.RequestError):
            await to_thread.run_sync(client.list_streams, "nonsense")
        stranger = opentok.Client(KEY, "x" * 40, api_url=f"http://127.0.0.1:{port}", timeout=10)
        with pytest.raises(opentok.exceptions.AuthError):
            await to_thread.run_sync(stranger.list_streams, live)


async def test_the_vonage_sdk_lists_streams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over HTTPS with an application's private key: the list, one stream, and the error the SDK has a class for."""
    cert, key = certificate(tmp_path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(cert))
    data = plain(projects=[application(sessions=[LIVE, IDLE])])
    async with served(data, tls_cert=str(cert), tls_key=str(key)) as (emulator, port):
        live, idle = (emulator.session_id("clinic", name) for name in ("board", "idle"))

        def call() -> None:
            options = vonage.HttpClientOptions(video_host=f"localhost:{port}", timeout=10, max_retries=0)
            auth = vonage.Auth(application_id=APPLICATION, private_key=rsa()[0])
            video = vonage.Vonage(auth=auth, http_client_options=options).video
            streams = video.list_streams(live)
            assert [stream.video_type for stream in streams] == ["camera"] * 3
            assert video.get_stream(live, streams[2].id) == streams[2]
            with pytest.raises(vonage.VonageError, match="404"):
                video.list_streams(idle)

        await to_thread.run_sync(call)
        gc.collect()  # the SDK's connections live as long as its last response
        await anyio.sleep(0.05)


async def test_a_query_over_http_and_a_reset() -> None:
    """GraphQL through uvicorn; the address is the connection's; a reset is one of TCP."""
    faults = [{"kind": "reset", "every": 2, "where": {"endpoint": ["sessions"]}}]
    async with served(plain(projects=[project(sessions=[LIVE])], faults=faults)) as (emulator, port):
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            query = session_query(emulator.session_id("classroom", "board"), "{ totalCount }")
            headers = {"X-OPENTOK-AUTH": legacy_token(time.time())}
            response = await client.post("/graphql", json={"query": query}, headers=headers)
            assert response.json()["data"]["project"]["sessionData"]["sessions"] == {"totalCount": 1}
            with pytest.raises(httpx.ReadError):
                await client.post("/graphql", json={"query": query}, headers=headers)
        quotas: Any = emulator.report()["quotas"]
        assert {(quota["account"], quota["part"], quota["total"]) for quota in quotas} == {
            ("", "127.0.0.1", 2),
            ("classroom", "", 2),
        }


async def test_webhooks_over_http() -> None:
    """Events of a session that begins now arrive at a server that listens on the loopback."""
    sink = Sink(enough=5)
    async with anyio.create_task_group() as tasks:

        async def listen(*, task_status: anyio.abc.TaskStatus[int]) -> None:
            await serve(sink.app, host="127.0.0.1", port=0, task_status=task_status)

        port: int = await tasks.start(listen)
        soon = session(meetings=[{"start": "+1s", "duration": "1m", "participants": 2}])
        webhooks = {"url": f"http://127.0.0.1:{port}/hooks/vonage/token", "delay": "0s"}
        data = plain(projects=[project(sessions=[soon], webhooks=webhooks, crowd={"spread": "0s"})])
        emulator = build_vonage(scenario(data, epoch=time.time()), WallClock())
        tasks.start_soon(emulator.run)
        with anyio.fail_after(20):
            await sink.enough.wait()
        tasks.cancel_scope.cancel()
    kinds = sorted(event["event"] for event in sink.events[:5])
    assert kinds == ["connectionCreated", "connectionCreated", "sessionCreated", "streamCreated", "streamCreated"]
