"""The HTTP edge against real sockets: what proves that nothing left, what is bounded, what each failure is called."""

from __future__ import annotations

import contextlib
import gzip
import socket
import ssl
import traceback
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import httpx
import pytest
from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.tls import TLSListener, TLSStream
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.providers.doubles import Vendor, answer
from watcher.errors import ProviderError, Reason
from watcher.providers.http import BODY_LIMIT, Reply, decode, fetch, open_client, status_error

SECRETS = ("app-id-in-query", "token-in-header", "cookie-value")
Behaviour = Callable[[SocketStream], Awaitable[None]]


@pytest.fixture
def anyio_backend() -> str:
    """Real sockets, real time."""
    return "asyncio"


class Server:
    """Accepts on loopback and behaves as told; counts what came and what went."""

    def __init__(self, behave: Callable[[Server, SocketStream], Awaitable[None]]) -> None:
        self._behave = behave
        self.port = 0
        self.received = b""
        self.sent = 0
        self.connections = 0

    @contextlib.asynccontextmanager
    async def run(self) -> AsyncIterator[Server]:
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        self.port = listener.extra(SocketAttribute.local_port)
        async with listener, anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, self._serve)
            yield self
            tasks.cancel_scope.cancel()

    async def _serve(self, stream: SocketStream) -> None:
        self.connections += 1
        async with stream:
            with contextlib.suppress(anyio.BrokenResourceError, anyio.EndOfStream, anyio.ClosedResourceError):
                await self._behave(self, stream)

    async def read(self, stream: SocketStream) -> None:
        """One request's head."""
        while b"\r\n\r\n" not in self.received:
            self.received += await stream.receive()

    async def send(self, stream: SocketStream, data: bytes) -> None:
        await stream.send(data)
        self.sent += len(data)


async def look(url: str, *, deadline: float = 5.0, limit: int = BODY_LIMIT) -> Reply:
    """One request that carries secrets where requests have them."""
    async with open_client() as client:
        request = client.build_request(
            "GET", url, params={"appid": SECRETS[0]}, headers={"authorization": f"Basic {SECRETS[1]}"}
        )
        return await fetch(client, request, deadline=deadline, limit_bytes=limit)


async def failure(url: str, *, deadline: float = 5.0, limit: int = BODY_LIMIT) -> ProviderError:
    """The error of one request; no trace of it shows a secret."""
    with pytest.raises(ProviderError) as caught:
        await look(url, deadline=deadline, limit=limit)
    shown = repr(caught.value) + "".join(traceback.format_exception(caught.value, chain=True))
    assert not [secret for secret in SECRETS if secret in shown]
    return caught.value


async def close_at_once(server: Server, stream: SocketStream) -> None:
    """Accepts and hangs up."""


async def close_after_head(server: Server, stream: SocketStream) -> None:
    """Reads the request, then hangs up."""
    await server.read(stream)


async def reset_after_head(server: Server, stream: SocketStream) -> None:
    """Reads the request, then resets the connection."""
    await server.read(stream)
    raw = stream.extra(SocketAttribute.raw_socket)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")


async def cut_body(server: Server, stream: SocketStream) -> None:
    """Promises more than it sends."""
    await server.read(stream)
    await server.send(
        stream, b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\ndate: Thu, 01 Jan 2026 00:00:07 GMT\r\n\r\n{}"
    )


async def hang(server: Server, stream: SocketStream) -> None:
    """Reads the request and never answers."""
    await server.read(stream)
    await anyio.sleep(60)


async def drip(server: Server, stream: SocketStream) -> None:
    """Sends a byte now and then, so that no single read is ever slow."""
    await server.read(stream)
    await server.send(stream, b"HTTP/1.1 200 OK\r\ndate: Thu, 01 Jan 2026 00:00:07 GMT\r\n\r\n")
    while True:
        await server.send(stream, b" ")
        await anyio.sleep(0.02)


async def speak_otherwise(server: Server, stream: SocketStream) -> None:
    """Answers in another protocol."""
    await server.read(stream)
    await server.send(stream, b"220 mail.example.com ESMTP\r\n\r\n")


@pytest.mark.parametrize(
    ("behave", "reason", "date"),
    [
        (close_at_once, Reason.NETWORK, None),
        (close_after_head, Reason.NETWORK, None),
        (reset_after_head, Reason.NETWORK, None),
        (speak_otherwise, Reason.NETWORK, None),
        (cut_body, Reason.NETWORK, 1_767_225_607.0),
        (hang, Reason.TIMEOUT, None),
        (drip, Reason.TIMEOUT, 1_767_225_607.0),
    ],
)
async def test_a_failure_after_the_connection_counts_as_sent(
    behave: Callable[[Server, SocketStream], Awaitable[None]], reason: Reason, date: float | None
) -> None:
    """The spend stands, another domain may help, and the date of a head that did come is kept."""
    async with Server(behave).run() as server:
        error = await failure(f"http://127.0.0.1:{server.port}/", deadline=0.5)
    assert (error.reason, error.sent, error.elsewhere, error.vendor_time) == (reason, True, True, date)


async def test_a_refused_connection_proves_that_nothing_left() -> None:
    """No listener: the spend may be taken back."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        error = await failure(f"http://127.0.0.1:{taken.getsockname()[1]}/")
    assert (error.reason, error.sent, error.elsewhere) == (Reason.NETWORK, False, True)


async def test_an_unknown_host_proves_that_nothing_left() -> None:
    """A name that does not resolve."""
    error = await failure("http://vendor.invalid/")
    assert (error.reason, error.sent, error.elsewhere) == (Reason.NETWORK, False, True)


async def test_a_failed_handshake_proves_that_nothing_left() -> None:
    """A server that answers TLS with plain text sees no byte of the request itself."""

    async def plain(server: Server, stream: SocketStream) -> None:
        server.received = await stream.receive()
        await server.send(stream, b"HTTP/1.1 400 no TLS here\r\n\r\n")

    async with Server(plain).run() as server:
        error = await failure(f"https://127.0.0.1:{server.port}/")
    assert (error.reason, error.sent) == (Reason.NETWORK, False)
    assert b"GET" not in server.received


async def test_no_room_in_the_pool_proves_that_nothing_left() -> None:
    """Connections that hang use up the account's own pool, and no more than it."""
    async with Server(hang).run() as server, open_client() as client, anyio.create_task_group() as tasks:

        async def occupy() -> None:
            await client.get(f"http://127.0.0.1:{server.port}/", timeout=60)

        for _ in range(4):
            tasks.start_soon(occupy)
        while server.connections < 4:  # noqa: ASYNC110 - the server counts, and tells no one
            await anyio.sleep(0.01)
        request = client.build_request("GET", f"http://127.0.0.1:{server.port}/", timeout=httpx.Timeout(5, pool=0.1))
        with pytest.raises(ProviderError) as caught:
            await fetch(client, request)
        assert (caught.value.reason, caught.value.sent, server.connections) == (Reason.TIMEOUT, False, 4)
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("url", ["ftp://vendor.example.com/", "//vendor.example.com/"])
async def test_an_address_of_another_kind_is_our_fault(url: str) -> None:
    """Nothing leaves, and no other domain is tried."""
    error = await failure(url)
    assert (error.reason, error.sent, error.elsewhere) == (Reason.REQUEST, False, False)


async def test_a_200_mb_body_is_cut_at_the_limit_without_memory_growth() -> None:
    """The client hangs up soon after 8 MB; its memory stays within a few times that."""

    async def flood(server: Server, stream: SocketStream) -> None:
        await server.read(stream)
        await server.send(stream, b"HTTP/1.1 200 OK\r\ncontent-length: 200000000\r\n\r\n")
        for _ in range(200_000_000 // 65_536):
            await server.send(stream, b"x" * 65_536)

    async with Server(flood).run() as server:
        tracemalloc.start()
        try:
            error = await failure(f"http://127.0.0.1:{server.port}/", deadline=60)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert (error.reason, error.elsewhere) == (Reason.TOO_LARGE, False)
    assert server.sent < 40_000_000
    assert peak < 4 * BODY_LIMIT


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_compression_bomb_is_cut_at_the_limit(encoding: str) -> None:
    """200 kB that inflate to 200 MB are refused at 8 MB, and memory follows the limit, not the bomb."""
    zeros = bytes(1_000_000)
    packer = zlib.compressobj(9, wbits=31 if encoding == "gzip" else 15)
    bomb = b"".join(packer.compress(zeros) for _ in range(200)) + packer.flush()
    assert len(bomb) < 300_000
    vendor = Vendor(lambda request: answer(bomb, content_encoding=encoding))
    async with open_client(transport=vendor.transport()) as client:
        tracemalloc.start()
        try:
            with pytest.raises(ProviderError) as caught:
                await fetch(client, client.build_request("GET", "https://vendor.example.com/"))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert caught.value.reason is Reason.TOO_LARGE
    assert peak < 4 * BODY_LIMIT


@pytest.mark.parametrize(
    ("body", "encoding", "expected"),
    [
        (gzip.compress(b"[1]", mtime=0), "gzip", b"[1]"),
        (zlib.compress(b"[1]"), "deflate", b"[1]"),
        (b"[1]", "identity", b"[1]"),
        (b"x" * 100, "", b"x" * 100),
        (gzip.compress(b"x" * 100, mtime=0), "GZip", b"x" * 100),
        (b"[1]", "gzip", Reason.MALFORMED),
        (b"[1]", "br", Reason.MALFORMED),
        (b"x" * 101, "", Reason.TOO_LARGE),
        (gzip.compress(b"x" * 101, mtime=0), "gzip", Reason.TOO_LARGE),
    ],
)
async def test_bodies_are_inflated_up_to_the_limit(body: bytes, encoding: str, expected: bytes | Reason) -> None:
    """The limit counts what comes out, to the byte."""
    vendor = Vendor(lambda request: answer(body, at=7.0, content_encoding=encoding))
    async with open_client(transport=vendor.transport()) as client:
        request = client.build_request("GET", "https://vendor.example.com/")
        if isinstance(expected, bytes):
            assert (await fetch(client, request, limit_bytes=100)).body == expected
            return
        with pytest.raises(ProviderError) as caught:
            await fetch(client, request, limit_bytes=100)
    assert (caught.value.reason, caught.value.vendor_time, caught.value.sent) == (expected, 7.0, True)


async def test_redirects_are_not_followed_and_cookies_not_kept() -> None:
    """A vendor sends us nowhere and marks us with nothing."""
    vendor = Vendor(
        lambda request: answer(b"", status=302, location="https://elsewhere.example.com/", set_cookie="a=b")
    )
    async with open_client(transport=vendor.transport()) as client:
        for _ in range(2):
            reply = await fetch(client, client.build_request("GET", "https://vendor.example.com/"))
            assert reply.status == 302
        assert not client.cookies
    assert vendor.hosts == ["vendor.example.com"] * 2
    assert not [r for r in vendor.requests if "cookie" in r.headers]


async def test_a_proxy_of_the_environment_is_for_the_vendor_not_for_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """The request goes to the proxy that the environment names; the emulator beside us is asked directly."""

    async def proxy(server: Server, stream: SocketStream) -> None:
        await server.read(stream)
        await server.send(stream, b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nproxy")

    async def emulator(server: Server, stream: SocketStream) -> None:
        await server.read(stream)
        await server.send(stream, b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\ndirect")

    for name in ("ALL_PROXY", "NO_PROXY", "all_proxy", "no_proxy", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    async with Server(proxy).run() as middle, Server(emulator).run() as beside:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{middle.port}")
        assert (await look("http://vendor.invalid/")).body == b"proxy"
        assert (await look(f"http://127.0.0.1:{beside.port}/")).body == b"direct"


async def test_cancellation_passes_through() -> None:
    """A look that is called off raises nothing of ours."""
    async with Server(hang).run() as server:
        with anyio.move_on_after(0.2) as scope:
            await look(f"http://127.0.0.1:{server.port}/")
    assert scope.cancelled_caught


async def test_tls_1_2_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The vendor names no TLS 1.3: a server without it is understood."""
    certificate = tmp_path / "server.pem"
    certificate.write_bytes(self_signed("localhost"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    tcp = await anyio.create_tcp_listener(local_host="127.0.0.1")
    listener = TLSListener(tcp, ssl_context=context, standard_compatible=False)

    async def serve(stream: TLSStream) -> None:
        async with stream:
            await stream.receive()
            await stream.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")

    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, serve)
        reply = await look(f"https://localhost:{tcp.extra(SocketAttribute.local_port)}/")
        tasks.cancel_scope.cancel()
    assert reply.body == b"{}"


def self_signed(host: str) -> bytes:
    """Key and certificate of a server, valid for an hour."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return plain + certificate.public_bytes(pem)


@pytest.mark.parametrize(
    ("status", "reason", "elsewhere"),
    [
        (200, None, False),
        (204, None, False),
        (301, Reason.MALFORMED, False),
        (304, Reason.MALFORMED, False),
        (400, Reason.REQUEST, False),
        (401, Reason.AUTH, False),
        (403, Reason.AUTH, False),
        (404, Reason.REQUEST, False),
        (408, Reason.TIMEOUT, False),
        (429, Reason.RATE, False),
        (451, Reason.REQUEST, False),
        (500, Reason.SERVER, True),
        (503, Reason.SERVER, True),
        (504, Reason.TIMEOUT, True),
        (599, Reason.SERVER, True),
    ],
)
def test_statuses(status: int, reason: Reason | None, elsewhere: bool) -> None:
    """Each HTTP status has one reason; only a server's own fault is worth asking elsewhere."""
    error = status_error(Reply(status=status, body=b"", date=5.0, retry_after=3.0))
    if reason is None:
        assert error is None
    else:
        assert error is not None
        assert (error.reason, error.elsewhere, error.sent) == (reason, elsewhere, True)
        assert (error.vendor_time, error.retry_after) == (5.0, 3.0)


@pytest.mark.parametrize(
    ("header", "date", "expected"),
    [
        ("120", None, 120.0),
        ("0", None, 0.0),
        ("999999999999999999999999", None, 86_400.0),
        ("Thu, 01 Jan 2026 00:02:00 GMT", 1_767_225_600.0, 120.0),
        ("Wed, 31 Dec 2025 00:00:00 GMT", 1_767_225_600.0, 0.0),
        ("Thu, 01 Jan 2099 00:00:00 GMT", 1_767_225_600.0, 86_400.0),
        ("Thu, 01 Jan 2026 00:02:00 GMT", None, None),
        ("soon", 1_767_225_600.0, None),
        ("-5", None, None),
        ("1.5", None, None),
        ("٣", None, None),
        ("", None, None),
    ],
)
async def test_retry_after(header: str, date: float | None, expected: float | None) -> None:
    """Seconds or a date, capped at a day; nonsense is no wish."""

    def respond(request: httpx.Request) -> httpx.Response:
        response = answer(b"{}", status=429, at=date)
        response.headers["retry-after"] = header.encode().decode("latin-1")
        return response

    async with open_client(transport=Vendor(respond).transport()) as client:
        reply = await fetch(client, client.build_request("GET", "https://vendor.example.com/"))
    assert reply.retry_after == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("Thu, 01 Jan 2026 00:00:00 GMT", 1_767_225_600.0),
        ("Thu, 01 Jan 2026 00:00:00 -0000", 1_767_225_600.0),
        ("yesterday", None),
        ("Thu, 99 Foo 2026 00:00:00 GMT", None),
        ("Thu, 01 Jan 99999999 00:00:00 GMT", None),
        ("", None),
    ],
)
async def test_dates(header: str, expected: float | None) -> None:
    """The vendor's clock in Unix seconds, or nothing; never an exception."""
    vendor = Vendor(lambda request: answer(b"{}", date=header))
    async with open_client(transport=vendor.transport()) as client:
        reply = await fetch(client, client.build_request("GET", "https://vendor.example.com/"))
    assert reply.date == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"a": [1, null, "x"]}', {"a": [1, None, "x"]}),
        (b"<!DOCTYPE html><html>", Reason.MALFORMED),
        (b'{"a": [1, 2', Reason.MALFORMED),
        (b'{"a": NaN}', Reason.MALFORMED),
        (b'{"a": 1e999}', Reason.MALFORMED),
        (b"", Reason.MALFORMED),
        (b"\xff\xfe", Reason.MALFORMED),
        (b'{"a": "\\ud800"}', Reason.MALFORMED),
        (b"1" * 100_000, Reason.MALFORMED),
        (b"[" * 100_000, Reason.MALFORMED),
        (b"[" + b"{}," * 300_000 + b"{}]", Reason.TOO_LARGE),
    ],
)
def test_json(body: bytes, expected: object) -> None:
    """A value, or MALFORMED or TOO_LARGE; bodies made of containers are refused before they are built."""
    reply = Reply(status=200, body=body, date=9.0)
    if isinstance(expected, Reason):
        with pytest.raises(ProviderError) as caught:
            decode(reply)
        assert (caught.value.reason, caught.value.vendor_time) == (expected, 9.0)
    else:
        assert decode(reply) == expected
