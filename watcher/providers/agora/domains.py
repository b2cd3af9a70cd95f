"""Which of Agora's domains to ask, and whether a second one is worth a request (dossier section 2). Pure state.

Agora advises: the same domain once more, then the other primary domain, then a neighbouring region's; on a pure network
fault the other primary is skipped. Each of these is a unit of a budget of two or nine a minute, so here it is: the
other domain at once, once; the next look starts where something worked. When the second failed as well, the fault is
not a domain's: each later look tries the next domain, without an extra request, until one answers.
"""

from __future__ import annotations

from watcher.errors import ProviderError, Reason


class Domains:
    """The ring of base URLs: primaries first, then neighbours."""

    def __init__(self, *, primaries: tuple[str, ...], neighbours: tuple[str, ...] = ()) -> None:
        self._ring = (*primaries, *neighbours)
        self._first_neighbour = len(primaries) if neighbours else None
        self._at = 0
        self._failures = 0

    @property
    def current(self) -> str:
        """The domain that the next request goes to."""
        return self._ring[self._at]

    def worked(self) -> None:
        """The current domain answered."""
        self._failures = 0

    def failed(self, error: ProviderError) -> bool:
        """The current domain failed, so move on; True where asking the new one at once is worth a request."""
        self._failures += 1
        pure_network = error.reason is Reason.NETWORK or not error.sent
        if self._at == 0 and pure_network and self._first_neighbour is not None:
            self._at = self._first_neighbour
        else:
            self._at = (self._at + 1) % len(self._ring)
        return self._failures == 1 and len(self._ring) > 1
