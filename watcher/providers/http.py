"""The HTTP edge that all vendors share: one bounded exchange, and the one place where its failures get their reason.

Decided here: what may come in (how many bytes, for how long, in which encoding), which failures prove that nothing
left, and which HTTP status means what. Vendors' own refusals, which often arrive as HTTP 200, are their modules' part.

*Nothing left* matters because only such a spend may be taken back (design, invariant 1). A connection that could not
be made proves it: httpcore resolves, connects and shakes hands before it writes the first byte of a request, and raises
`ConnectError`, `ConnectTimeout` or `PoolTimeout` only there. Everything later, a `WriteError` and the whole deadline
included, counts as sent: a byte too many in the ledger beats a refusal by the vendor.

Bodies are read raw and inflated here under a limit, instead of through httpx's decoders: those inflate each chunk
whole, so 64 kB of gzip become 64 MB before anyone can count (invariant 8). httpx's timeouts bound single reads only
and its mock transports ignore them, so the exchange as a whole has a deadline in real time.

Nothing of a request but its failure's kind goes into an error: no URL (App IDs, tokens), no header (invariant 6).
One client per account, with its own connections, keeps a hanging vendor from starving the others (invariant 9).
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx
import msgspec

from watcher.clock import DAY, real_deadline
from watcher.errors import ProviderError, Reason, clip

BODY_LIMIT = 8 * 1024 * 1024  # bytes after inflating
DEADLINE = 15.0  # real seconds for one exchange, body included
_CONNECT, _READ = 5.0, 10.0  # real seconds for a handshake, for each read or write
_CONNECTIONS = 4  # per account: one look at a time, and a failed-over one beside it
_CONTAINERS = 250_000  # objects and arrays in one body: each costs far more memory than its bytes
_INFLATE_STEP = 64 * 1024

_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An HTTP answer, whatever its status. `date` is its `Date` header in Unix seconds (whole), None without one.

    `retry_after` is what the vendor wishes, in seconds.
    """

    status: int
    body: bytes
    date: float | None = None
    retry_after: float | None = None


Inflate = Callable[[bytes, int], bytes]
"""Takes a raw piece and the room left; gives at most that much of the body."""


def open_client(*, transport: httpx.AsyncBaseTransport | None = None) -> httpx.AsyncClient:
    """A client for one account: TLS 1.2 or newer, HTTP/1.1, no redirects, no cookies kept.

    A proxy is taken from the environment (`HTTPS_PROXY`, `NO_PROXY`) except for loopback, where the emulator stands.
    `transport` replaces the network in tests and in the demo.
    """
    loopback: dict[str, httpx.AsyncBaseTransport | None] = (
        {} if transport else {f"all://{host}": None for host in ("127.0.0.1", "localhost", "[::1]")}
    )
    return httpx.AsyncClient(
        transport=transport,
        mounts=loopback,
        timeout=httpx.Timeout(_READ, connect=_CONNECT, pool=_CONNECT),
        limits=httpx.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=1),
        headers={"accept": "application/json", "accept-encoding": "gzip", "user-agent": "watcher"},
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        follow_redirects=False,
    )


async def fetch(
    client: httpx.AsyncClient,
    request: httpx.Request,
    *,
    limit_bytes: int = BODY_LIMIT,
    deadline: float = DEADLINE,
) -> Reply:
    """Carry out one request within `deadline` real seconds, reading at most `limit_bytes` of inflated body.

    Returns a reply for every HTTP status. Raises `ProviderError` where none arrived whole: NETWORK, TIMEOUT,
    TOO_LARGE or MALFORMED (encoding), with `sent` as in the module's text. Its `vendor_time` is the `Date` header
    where the head of an answer did arrive.
    """
    date: float | None = None
    with real_deadline(deadline) as scope:
        try:
            response = await client.send(request, stream=True)
            try:
                date = _http_date(response.headers.get("date"))
                body = await _read(response, limit_bytes)
            finally:
                await response.aclose()
            reply = Reply(
                status=response.status_code,
                body=body,
                date=date,
                retry_after=_retry_after(response.headers.get("retry-after"), date),
            )
        except _Refused as refused:
            raise ProviderError(refused.reason, refused.detail, vendor_time=date) from None
        except httpx.TransportError as error:
            raise _failure(error, date) from error
    if scope.cancelled_caught:
        what = f"no whole answer within {deadline:g} s"
        raise ProviderError(Reason.TIMEOUT, what, elsewhere=True, vendor_time=date)
    return reply


def decode(reply: Reply) -> object:
    """The JSON value of a body. Raises `ProviderError` MALFORMED (HTML, truncated, NaN, too deep) or TOO_LARGE."""
    body = reply.body
    if body.count(b"{") + body.count(b"[") > _CONTAINERS:
        what = f"more than {_CONTAINERS} objects in one answer"
        raise ProviderError(Reason.TOO_LARGE, what, vendor_time=reply.date)
    try:
        value: object = msgspec.json.decode(body)
    except msgspec.DecodeError:
        what = "HTML, not JSON" if body.lstrip()[:1] == b"<" else "not JSON, or cut short"
        raise ProviderError(Reason.MALFORMED, what, vendor_time=reply.date) from None
    except RecursionError:
        raise ProviderError(Reason.MALFORMED, "JSON nested too deeply", vendor_time=reply.date) from None
    return value


def status_error(reply: Reply, detail: str = "") -> ProviderError | None:
    """What an HTTP status says by itself; None for 2xx. `detail` must not hold secrets: it is shown."""
    reason = _status_reason(reply.status)
    if reason is None:
        return None
    return ProviderError(
        reason,
        f"HTTP {reply.status}: {detail}" if detail else f"HTTP {reply.status}",
        retry_after=reply.retry_after,
        elsewhere=reply.status >= 500,
        vendor_time=reply.date,
    )


def _status_reason(status: int) -> Reason | None:
    match status:
        case _ if 200 <= status < 300:
            return None
        case 401 | 403:
            return Reason.AUTH
        case 408 | 504:
            return Reason.TIMEOUT
        case 429:
            return Reason.RATE
        case _ if 400 <= status < 500:
            return Reason.REQUEST
        case _ if status >= 500:
            return Reason.SERVER
    return Reason.MALFORMED  # 1xx and 3xx: these APIs never redirect


def _failure(error: httpx.TransportError, date: float | None) -> ProviderError:
    if isinstance(error, httpx.UnsupportedProtocol):
        return ProviderError(Reason.REQUEST, "the address is not http or https", sent=False)
    reason = Reason.TIMEOUT if isinstance(error, httpx.TimeoutException) else Reason.NETWORK
    detail = f"the exchange broke off ({type(error).__name__})"
    if isinstance(error, httpx.ConnectError):
        detail = f"no connection: {clip(str(error), 120)}"  # the system's words: they hold no URL and no header
    return ProviderError(reason, detail, elsewhere=True, sent=not isinstance(error, _NOT_SENT), vendor_time=date)


# ── the body ─────────────────────────────────────────────────────────────────────────────────────────────────────────


class _Refused(Exception):  # noqa: N818 - internal: becomes a ProviderError once the head's date is known
    def __init__(self, reason: Reason, detail: str) -> None:
        self.reason = reason
        self.detail = detail


async def _read(response: httpx.Response, limit: int) -> bytes:
    inflate = _inflater(response.headers.get("content-encoding", ""))
    body = bytearray()
    async for chunk in _chunks(response):
        room = limit - len(body) + 1  # one byte over is enough to know
        body += inflate(chunk, room)
        if len(body) > limit:
            raise _Refused(Reason.TOO_LARGE, f"the answer is larger than {limit} bytes")
    return bytes(body)


async def _chunks(response: httpx.Response) -> AsyncIterator[bytes]:
    """Raw pieces of bounded size, so that inflating one of them is bounded work."""
    async for chunk in response.aiter_raw():
        for at in range(0, len(chunk), _INFLATE_STEP):
            yield chunk[at : at + _INFLATE_STEP]


def _inflater(encoding: str) -> Inflate:
    match encoding.strip().lower():
        case "" | "identity":
            return lambda chunk, room: chunk[:room]
        case "gzip" | "x-gzip" | "deflate":
            return _unzip()
    raise _Refused(Reason.MALFORMED, f"content-encoding {clip(encoding, 40)} was not asked for")


def _unzip() -> Inflate:
    stream = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)  # 32: gzip or zlib, by its head

    def inflate(chunk: bytes, room: int) -> bytes:
        try:
            return stream.decompress(chunk, room)
        except zlib.error:
            raise _Refused(Reason.MALFORMED, "broken compression") from None

    return inflate


# ── heads ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _http_date(text: str | None) -> float | None:
    if not text:
        return None
    try:
        return parsedate_to_datetime(text).replace(tzinfo=UTC).timestamp()  # HTTP dates are GMT, whatever they say
    except (ValueError, TypeError, OverflowError):
        return None


def _retry_after(text: str | None, date: float | None) -> float | None:
    """Seconds to wait: a number, or a date measured against the same answer's `Date`. Capped at a day."""
    if not text:
        return None
    if text.strip().isdecimal() and text.isascii():
        return float(min(int(text[:12]), DAY))
    at = _http_date(text)
    if at is None or date is None:
        return None
    return min(max(at - date, 0.0), float(DAY))
