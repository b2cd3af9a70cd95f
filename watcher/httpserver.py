"""Serving an ASGI app over HTTP(S) inside the caller's task group: uvicorn, fenced in.

Used by the daemon's own pages and by the emulators alike, so it knows neither. uvicorn wants to own the process: it
handles signals, exits on a taken port, logs to its own loggers and dies halfway when its task is cancelled. Here none
of that leaks out: signals stay with `app.run`, a taken port is a `ListenError` before anything starts, its loggers are
silent, and cancellation becomes its orderly shutdown with a deadline. hypercorn runs on trio as well and was
considered; the daemon runs on asyncio only, where uvicorn is the better kept of the two (design, section 9: tests in
virtual time enter the app through `httpx.ASGITransport` instead).

The connections of one server are bounded; each one turned away is told to the caller, who counts it (invariant 8).
An app finds under `scope["state"][RESET]` what only the transport can do: drop the connection with a TCP reset. The
emulators' faults use it.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import uvicorn
from anyio.abc import TaskStatus
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from watcher.errors import ListenError

RESET = "reset"
"""Key in `scope["state"]`: a function without arguments that resets the connection the request came on."""

MAX_CONNECTIONS = 512

_GRACE = 1  # whole seconds (uvicorn's unit) that a request under way gets at shutdown before it is cancelled
_BACKLOG = 128
_SILENT = logging.CRITICAL + 1
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # linger for 0 s: the kernel sends RST instead of FIN


async def serve(
    app: ASGIApp,
    *,
    host: str,
    port: int,
    tls_cert: str | None = None,
    tls_key: str | None = None,
    date_header: bool = True,
    max_connections: int = MAX_CONNECTIONS,
    on_refused: Callable[[], None] | None = None,
    task_status: TaskStatus[int] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Serve `app` until cancelled; reports the port it listens on once it accepts connections.

    `port` 0 takes a free one. Of several addresses of `host` the first is taken. `tls_cert` and `tls_key` are PEM
    files; the key may be inside the certificate file. `date_header=False` leaves `Date` to the app. A connection beyond
    `max_connections` is closed at once and `on_refused` is called. At cancellation the port closes at once, requests
    under way get a second, then they are cancelled. Needs the asyncio backend. Raises `ListenError`.
    """
    config = _Config(
        app,
        http=_Connection,
        ws="none",
        lifespan="off",
        loop="none",
        log_config=None,
        log_level=_SILENT,
        access_log=False,
        server_header=False,
        date_header=date_header,
        proxy_headers=False,
        timeout_graceful_shutdown=_GRACE,
        ssl_certfile=tls_cert,
        ssl_keyfile=tls_key,
    )
    config.max_connections = max_connections
    config.on_refused = on_refused
    try:
        config.load()
    except OSError as error:  # ssl.SSLError among them
        reason = error.strerror or str(error) or type(error).__name__
        raise ListenError(f"cannot use the TLS certificate {tls_cert} with key {tls_key}: {reason}") from error
    listener = await _listen(host, port)
    with listener:
        server = _Server(config)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.run_shielded, listener)
            try:
                await server.accepting.wait()
                task_status.started(listener.getsockname()[1])
                await anyio.sleep_forever()
            finally:
                server.should_exit = True


async def _listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises `ListenError` with the address and the reason."""
    try:
        addresses = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, proto, _, address = addresses[0]
        listener = socket.socket(family, kind, proto)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(_BACKLOG)
        except OSError:
            listener.close()
            raise
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ListenError(f"cannot listen on {host}:{port}: {reason}") from error
    listener.setblocking(False)
    return listener


class _Config(uvicorn.Config):
    max_connections: int = MAX_CONNECTIONS
    on_refused: Callable[[], None] | None = None


class _Server(uvicorn.Server):
    def __init__(self, config: _Config) -> None:
        super().__init__(config)
        self.accepting = anyio.Event()

    async def run_shielded(self, listener: socket.socket) -> None:
        """Serve until `should_exit`: cancellation must not tear uvicorn apart between its tasks and its sockets."""
        with anyio.CancelScope(shield=True):
            try:
                await self.serve(sockets=[listener])
            finally:
                self.accepting.set()  # whoever waits must not wait for a server that is gone

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.accepting.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # signals belong to the program


class _Connection(H11Protocol):
    def connection_made(self, transport: Any) -> None:  # asyncio's type, which is never imported here
        super().connection_made(transport)
        config = self.config
        assert isinstance(config, _Config)
        if len(self.connections) > config.max_connections:
            transport.abort()
            if config.on_refused is not None:
                config.on_refused()
            return

        def reset() -> None:
            linger = transport.get_extra_info("socket")
            if linger is not None:
                linger.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            transport.abort()

        self.app_state = {**self.app_state, RESET: reset}
