"""Where the daemon listens and who may see its pages there: the settings under `http`.

Open pages belong on loopback. On any other address there must be a way to know who reads, a token or a proxy that knows
who signed in, or the daemon does not start: a page that names customers' rooms must not be public by one forgotten
line. What Prometheus and probes read can have an address of its own, so that they need no secret.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Annotated

from pydantic import AfterValidator, Field

from watcher.errors import Problem
from watcher.secret import Secret
from watcher.yamlfile import Document, Strict


def address(text: str) -> tuple[str, int]:
    """`127.0.0.1:9469`, `[::1]:9469`, `:9469` (every address) as host and port. Raises `ValueError`."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise ValueError(f"{text!r} is not an address; write it like 127.0.0.1:9469")
    return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104 - only where the user leaves the host out


def loopback(host: str) -> bool:
    """Whether a host is this machine and nothing else, by name or number."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _listen(text: str) -> str:
    address(text)
    return text


def _network(text: str) -> str:
    try:
        ipaddress.ip_network(text)
    except ValueError as error:
        raise ValueError(f"{error}, write it like 10.1.2.0/24 or 10.1.2.3") from None
    return text


class ProxySettings(Strict):
    """A reverse proxy that signs people in: requests from its `networks` that name somebody in `header` may read.

    The proxy must take that header from what clients send.
    """

    header: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,64}$")]
    networks: Annotated[tuple[Annotated[str, AfterValidator(_network)], ...], Field(min_length=1, max_length=50)]

    def trusts(self, peer: str) -> bool:
        """Whether a peer's address is the proxy's."""
        try:
            found = ipaddress.ip_address(peer)
        except ValueError:
            return False
        found = getattr(found, "ipv4_mapped", None) or found
        return any(found in ipaddress.ip_network(network) for network in self.networks)


class Http(Strict):
    """Where the daemon's own pages are served.

    Whoever changes anything there must show the `token`; `hook_token` is the last part of the hooks' paths, and without
    it there are no hooks. `metrics_listen` is a second address, for `/metrics`, `/healthz` and `/readyz` alone, open to
    whoever reaches it.
    """

    token: Secret | None = None
    hook_token: Secret | None = None
    listen: Annotated[str, AfterValidator(_listen)] = "127.0.0.1:9469"
    metrics_listen: Annotated[str, AfterValidator(_listen)] | None = None
    proxy: ProxySettings | None = None


def check(document: Document, http: Http) -> Iterator[Problem]:
    """An address that others reach, and nothing that tells who they are; the same address twice."""
    host, port = address(http.listen)
    if not loopback(host) and http.token is None and http.proxy is None:
        what = f"http.listen {http.listen} can be reached from elsewhere, and anybody could read"
        remedy = "set http.token (or http.proxy), or listen on 127.0.0.1; http.metrics_listen opens /metrics alone"
        yield document.problem(("http", "listen"), what, remedy)
    if http.metrics_listen is not None and port and address(http.metrics_listen) == (host, port):
        yield document.problem(("http", "metrics_listen"), "is http.listen again", "use another port, or leave it out")
