"""Which domain is asked, and when a second one is worth a request."""

from __future__ import annotations

import pytest

from watcher.errors import ProviderError, Reason
from watcher.providers.agora.domains import Domains

SERVER = ProviderError(Reason.SERVER, elsewhere=True)
BROKEN = ProviderError(Reason.NETWORK, elsewhere=True)
SLOW_CONNECT = ProviderError(Reason.TIMEOUT, elsewhere=True, sent=False)
SLOW_ANSWER = ProviderError(Reason.TIMEOUT, elsewhere=True)


def test_the_second_is_tried_once_and_then_they_alternate() -> None:
    """Two failures in a row: later looks alternate without an extra request, until one works."""
    domains = Domains(primaries=("a", "b"))
    assert domains.failed(SERVER)
    assert domains.current == "b"
    assert not domains.failed(SERVER)
    for expected in ("a", "b", "a"):
        assert domains.current == expected
        assert not domains.failed(SERVER)
    assert domains.current == "b"
    domains.worked()
    assert domains.current == "b"
    assert domains.failed(SERVER)
    assert domains.current == "a"


def test_one_domain_has_no_second() -> None:
    """A single base_url is asked again at the next look, and never twice in one."""
    domains = Domains(primaries=("a",))
    assert not domains.failed(BROKEN)
    assert domains.current == "a"


@pytest.mark.parametrize(("error", "second"), [(SERVER, "b"), (SLOW_ANSWER, "b"), (BROKEN, "na"), (SLOW_CONNECT, "na")])
def test_a_pure_network_fault_goes_to_the_neighbouring_region(error: ProviderError, second: str) -> None:
    """From the first primary, the other primary is skipped unless a server answered or might have."""
    domains = Domains(primaries=("a", "b"), neighbours=("na", "nb"))
    assert domains.failed(error)
    assert domains.current == second


def test_every_domain_comes_round() -> None:
    """Failing looks pass every domain of the ring."""
    domains = Domains(primaries=("a", "b"), neighbours=("na", "nb"))
    seen = []
    for _ in range(8):
        seen.append(domains.current)
        domains.failed(SERVER)
    assert seen == ["a", "b", "na", "nb"] * 2
