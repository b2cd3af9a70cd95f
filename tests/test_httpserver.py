"""The HTTP server in a task group: ports, TLS, cancellation, limits. Real sockets on asyncio."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from tests.tls import certificate
from watcher.clock import real_monotonic
from watcher.errors import ListenError
from watcher.httpserver import RESET, serve


@pytest.fixture
def anyio_backend() -> str:
    """The event loop of production."""
    return "asyncio"


def app(handler: Callable[[Request], Awaitable[PlainTextResponse]] | None = None) -> Starlette:
    """One page."""

    async def hello(request: Request) -> PlainTextResponse:
        return PlainTextResponse("hello")

    return Starlette(routes=[Route("/", handler or hello)])


@asynccontextmanager
async def serving(*args: Any, **kwargs: Any) -> AsyncIterator[int]:
    """A server for the length of a block; yields its port."""
    async with anyio.create_task_group() as tasks:
        port = await tasks.start(partial(serve, *args, host="127.0.0.1", **{"port": 0, **kwargs}))
        yield port
        tasks.cancel_scope.cancel()


async def test_serves_on_a_free_port_until_cancelled() -> None:
    """Port 0 is reported once it answers; afterwards nobody listens there any more."""
    async with serving(app()) as port, httpx.AsyncClient() as client:
        response = await client.get(f"http://127.0.0.1:{port}/")
        assert response.text == "hello"
        assert "server" not in response.headers
        assert "date" in response.headers
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), timeout=2):
        pass
    async with serving(app(), port=port) as again:
        assert again == port


async def test_the_date_may_be_left_to_the_app() -> None:
    """With `date_header=False` there is no second clock in the answer."""
    async with serving(app(), date_header=False) as port, httpx.AsyncClient() as client:
        assert "date" not in (await client.get(f"http://127.0.0.1:{port}/")).headers


async def test_a_taken_port_is_a_clear_error() -> None:
    """Address, port and reason, before anything starts."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ListenError, match=f"cannot listen on 127.0.0.1:{port}: Address already in use"):
            await serve(app(), host="127.0.0.1", port=port)
    with pytest.raises(ListenError, match=r"cannot listen on no-such-host\.invalid:0"):
        await serve(app(), host="no-such-host.invalid", port=0)


async def test_tls(tmp_path: Path) -> None:
    """HTTPS with a certificate the client trusts, TLS 1.2 being enough."""
    cert, key = certificate(tmp_path)
    context = ssl.create_default_context(cafile=str(cert))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with (
        serving(app(), tls_cert=str(cert), tls_key=str(key)) as port,
        httpx.AsyncClient(verify=context) as client,
    ):
        assert (await client.get(f"https://localhost:{port}/")).text == "hello"


async def test_a_bad_certificate_is_a_clear_error(tmp_path: Path) -> None:
    """A missing file and a file that is no certificate are named."""
    broken = tmp_path / "broken.pem"
    broken.write_text("no certificate")
    for path in (tmp_path / "missing.pem", broken):
        with pytest.raises(ListenError, match=f"cannot use the TLS certificate {path}"):
            await serve(app(), host="127.0.0.1", port=0, tls_cert=str(path))


async def test_shutdown_lets_a_request_finish_but_not_for_ever() -> None:
    """A quick request under way is answered after cancellation; one that hangs is cut off within seconds."""
    entered = anyio.Event()

    async def quick(request: Request) -> PlainTextResponse:
        entered.set()
        await anyio.sleep(0.3)
        return PlainTextResponse("finished")

    async with httpx.AsyncClient() as client, anyio.create_task_group() as asking:
        answers: list[str] = []
        async with serving(app(quick)) as port:

            async def ask() -> None:
                answers.append((await client.get(f"http://127.0.0.1:{port}/")).text)

            asking.start_soon(ask)
            await entered.wait()
    assert answers == ["finished"]

    async def never(request: Request) -> PlainTextResponse:
        await anyio.sleep_forever()
        raise AssertionError

    began = real_monotonic()
    async with httpx.AsyncClient() as client, anyio.create_task_group() as asking, serving(app(never)) as port:

        async def hang() -> None:
            with pytest.raises(httpx.HTTPStatusError):
                (await client.get(f"http://127.0.0.1:{port}/")).raise_for_status()

        asking.start_soon(hang)
        await anyio.sleep(0.2)
    assert real_monotonic() - began < 4


async def test_connections_are_bounded_and_the_surplus_is_told() -> None:
    """The third connection of two is closed at once and counted; after one leaves there is room again."""
    refused = []
    async with serving(app(), max_connections=2, on_refused=lambda: refused.append(1)) as port:
        address = f"http://127.0.0.1:{port}/"
        async with httpx.AsyncClient() as one, httpx.AsyncClient() as two, httpx.AsyncClient() as three:
            for client in (one, two):
                assert (await client.get(address)).status_code == 200
            with pytest.raises(httpx.TransportError):
                await three.get(address)
            assert refused == [1]
            await one.aclose()
            with anyio.fail_after(5):
                while True:
                    try:
                        assert (await three.get(address)).status_code == 200
                        break
                    except httpx.TransportError:
                        await anyio.sleep(0.05)


async def test_the_app_can_reset_its_connection() -> None:
    """What an app finds in its scope's state resets the connection it came on, without an answer."""

    async def reset(request: Request) -> PlainTextResponse:
        getattr(request.state, RESET)()
        await anyio.sleep(0.05)
        return PlainTextResponse("too late")

    async with serving(app(reset)) as port:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as raw:
            raw.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            with pytest.raises(ConnectionResetError):
                await anyio.to_thread.run_sync(raw.recv, 100)


async def test_nothing_of_the_signal_handling_changes() -> None:
    """SIGTERM stays with the program: the handlers are the same before and while serving."""
    import signal

    before = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    async with serving(app()):
        assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == before
