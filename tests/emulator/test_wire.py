"""The emulator over real HTTP on loopback: what only a wire can show. Real sockets on asyncio."""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from tests.emulator.helpers import APP, NOON, PATHS, basic, plain, scenario
from tests.tls import certificate
from watcher.clock import VirtualClock, real_monotonic
from watcher.emulator.agora import build_agora
from watcher.httpserver import serve


@pytest.fixture
def anyio_backend() -> str:
    """The event loop of production."""
    return "asyncio"


class Wire:
    """An emulator on one or two ports, its clock at noon and running sixty times as fast."""

    def __init__(self, *faults: dict[str, Any]) -> None:
        self.clock = VirtualClock(epoch=NOON, rate=60.0)
        self.emulator = build_agora(scenario(plain(faults=list(faults))), self.clock)

    @asynccontextmanager
    async def up(self, *, tls_cert: str | None = None, tls_key: str | None = None) -> AsyncIterator[str]:
        """Serve for the length of a block; yields `host:port`."""
        async with anyio.create_task_group() as tasks:
            start = partial(
                serve,
                self.emulator.app,
                host="127.0.0.1",
                port=0,
                date_header=False,
                tls_cert=tls_cert,
                tls_key=tls_key,
            )
            yield f"localhost:{await tasks.start(start)}"
            tasks.cancel_scope.cancel()

    def url(self, where: str, scheme: str = "http") -> str:
        """A good request at this moment."""
        now = int(self.clock.now())
        query = f"startTs={now - 700}&endTs={now - 100}&appid={APP}&productType=Native&metric=userCount"
        return f"{scheme}://{where}{PATHS['usage']}?{query}"


async def test_a_good_answer_and_the_report_over_http() -> None:
    """The same rows as in-process, one `Date` (the run clock's), and the report beside the API."""
    wire = Wire()
    async with wire.up() as where, httpx.AsyncClient() as client:
        response = await client.get(wire.url(where), headers=basic())
        assert len(response.json()["data"]) == 30
        (date,) = response.headers.get_list("date")
        assert abs(parsedate_to_datetime(date).timestamp() - wire.clock.now()) < 120
        report = (await client.get(f"http://{where}/_emulator/report")).json()
        assert report["requests"] == {"usage": {"answered": 1}}


async def test_a_post_over_http() -> None:
    """A body is read from the wire, in pieces too; one that is too large says nothing, and breaks nothing."""
    wire = Wire({"kind": "cut_off", "where": {"metric": ["sessionCount"]}})
    day = int(NOON) // 86_400 * 86_400 - 3 * 86_400
    asked = {"startTs": day, "endTs": day + 86_400, "metric": "totalDuration"}

    async def pieces() -> AsyncIterator[bytes]:
        for byte in json.dumps(asked).encode():
            yield bytes([byte])

    async with wire.up() as where, httpx.AsyncClient() as client:
        url = f"http://{where}{PATHS['insight_usage_aggregation']}?appid={APP}"
        whole = await client.post(url, json=asked, headers=basic())
        assert whole.json()["data"] == [{"totalDuration": 130 * 1440}]
        assert (await client.post(url, content=pieces(), headers=basic())).json() == whole.json()
        large = await client.post(url, content=b"{" + b" " * 1_000_000 + b"}", headers=basic())
        assert large.json()["code"] == 400
        with pytest.raises(httpx.RemoteProtocolError):
            await client.post(url, json={**asked, "metric": "sessionCount"}, headers=basic())
        assert (await client.post(url, json=asked, headers=basic())).json() == whole.json()


async def test_https(tmp_path: Path) -> None:
    """The vendor's API is HTTPS only; so can the emulator be."""
    cert, key = certificate(tmp_path)
    wire = Wire()
    context = ssl.create_default_context(cafile=str(cert))
    async with wire.up(tls_cert=str(cert), tls_key=str(key)) as where, httpx.AsyncClient(verify=context) as client:
        assert (await client.get(wire.url(where, "https"), headers=basic())).json()["code"] == 200


@pytest.mark.parametrize("tls", [False, True])
async def test_a_reset_is_a_reset(tmp_path: Path, tls: bool) -> None:
    """The kernel says "connection reset by peer" and not a byte of an answer comes; the next request is fine."""
    cert, key = certificate(tmp_path)
    wire = Wire({"kind": "reset", "every": 2})
    files = (str(cert), str(key)) if tls else (None, None)
    verify: ssl.SSLContext | bool = ssl.create_default_context(cafile=str(cert)) if tls else True
    scheme = "https" if tls else "http"
    async with wire.up(tls_cert=files[0], tls_key=files[1]) as where, httpx.AsyncClient(verify=verify) as client:
        assert (await client.get(wire.url(where, scheme), headers=basic())).status_code == 200
        with pytest.raises(httpx.ReadError):
            await client.get(wire.url(where, scheme), headers=basic())
        assert (await client.get(wire.url(where, scheme), headers=basic())).status_code == 200


async def test_a_silent_server_holds_the_connection_until_the_client_gives_up() -> None:
    """The client's own timeout ends it; the server lets go and goes on."""
    wire = Wire({"kind": "timeout", "every": 2})
    async with wire.up() as where, httpx.AsyncClient() as client:
        assert (await client.get(wire.url(where), headers=basic())).status_code == 200
        with pytest.raises(httpx.ReadTimeout):
            await client.get(wire.url(where), headers=basic(), timeout=0.3)
        assert (await client.get(wire.url(where), headers=basic())).status_code == 200


async def test_a_silent_request_does_not_keep_the_server_from_stopping() -> None:
    """A held connection costs the shutdown its second of grace, no more."""
    wire = Wire({"kind": "timeout"})
    async with httpx.AsyncClient(timeout=30) as client, anyio.create_task_group() as asking:
        began = real_monotonic()
        async with wire.up() as where:

            async def ask() -> None:
                response = await client.get(wire.url(where), headers=basic())
                assert response.status_code == 500  # the server's own last word to a request it cancels

            asking.start_soon(ask)
            await anyio.sleep(0.2)
    assert real_monotonic() - began < 4


async def test_an_answer_is_cut_off_in_the_middle() -> None:
    """More bytes are promised than come."""
    wire = Wire({"kind": "cut_off"})
    async with wire.up() as where, httpx.AsyncClient() as client:
        with pytest.raises(httpx.RemoteProtocolError, match="without sending complete"):
            await client.get(wire.url(where), headers=basic())


async def test_truncated_json_is_a_whole_http_answer() -> None:
    """Content-Length fits; only the JSON does not."""
    wire = Wire({"kind": "truncated"})
    async with wire.up() as where, httpx.AsyncClient() as client:
        response = await client.get(wire.url(where), headers=basic())
        with pytest.raises(json.JSONDecodeError):
            response.json()


async def test_a_huge_body_streams_and_can_be_left() -> None:
    """200 MB by default, without a Content-Length; a client that stops at 1 MB is let go, and the server goes on."""
    wire = Wire({"kind": "huge"})
    async with wire.up() as where, httpx.AsyncClient() as client:
        async with client.stream("GET", wire.url(where), headers=basic()) as response:
            assert "content-length" not in response.headers
            size = 0
            async for chunk in response.aiter_raw():
                size += len(chunk)
                if size > 1_000_000:
                    break
        assert size < 3_000_000
        report = (await client.get(f"http://{where}/_emulator/report")).json()
        assert report["slots"] == []


async def test_a_whole_huge_body_arrives() -> None:
    """Read to its end it has the size asked for."""
    wire = Wire({"kind": "huge", "bytes": 5_000_000})
    async with wire.up() as where, httpx.AsyncClient() as client:
        response = await client.get(wire.url(where), headers=basic())
        assert len(response.content) == 5_000_000


async def test_slow_takes_run_time() -> None:
    """Thirty run seconds at sixty times the speed are half a real second."""
    wire = Wire({"kind": "slow", "seconds": 30})
    async with wire.up() as where, httpx.AsyncClient() as client:
        began = real_monotonic()
        await client.get(wire.url(where), headers=basic())
        assert 0.4 < real_monotonic() - began < 3


async def test_a_slow_answer_to_nobody_is_not_handed_out() -> None:
    """A client that gave up before the answer came has learned nothing; one that waited has."""
    wire = Wire({"kind": "slow", "seconds": 30, "every": 2})
    async with wire.up() as where, httpx.AsyncClient() as client:

        def newest() -> int:
            slots: Any = wire.emulator.report()["slots"]
            return int(slots[0]["intervals"][-1][1])

        await client.get(wire.url(where), headers=basic())
        before = newest()
        await anyio.sleep(0.7)  # 42 run seconds: later requests reach further
        with pytest.raises(httpx.ReadTimeout):
            await client.get(wire.url(where), headers=basic(), timeout=0.2)
        await anyio.sleep(0.7)
        assert wire.emulator.report()["requests"] == {"usage": {"answered": 2}}
        assert newest() == before
        for _ in range(2):
            await client.get(wire.url(where), headers=basic())
        assert newest() > before


async def test_two_ports_fail_apart() -> None:
    """One emulator behind two addresses: a fault names the one it hits by its port."""
    wire = Wire({"kind": "http_502", "where": {"host": ["127.0.0.1"]}})
    async with wire.up() as one, wire.up() as two, httpx.AsyncClient() as client:
        bad = await client.get(wire.url(one.replace("localhost", "127.0.0.1")), headers=basic())
        good = await client.get(wire.url(two), headers=basic())
        assert (bad.status_code, good.status_code) == (502, 200)
        assert wire.emulator.report()["requests"] == {"usage": {"502": 1, "answered": 1}}
