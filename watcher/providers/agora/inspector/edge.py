"""How near to now, and how far back, Call Inspector may be asked (dossier section 6).

One for an account, for samples and for single calls alike: the plan's delays, and what refusals have taught beyond
them, are the vendor's lateness, whoever met it. The vendor's inequalities are strict, so every edge is a second inside.
"""

from __future__ import annotations

import math

from watcher.errors import ProviderError, Reason
from watcher.log import get
from watcher.providers.agora.inspector.figures import WIDTH
from watcher.providers.agora.inspector.settings import Reach
from watcher.providers.vendortime import VendorTime

_LATEST = 300  # seconds that refusals may teach to stay back
_AGEING = 300  # seconds that pass at most until the last request about a window is answered


class Edge:
    """What may be asked now, of one account."""

    def __init__(self, *, account: str, vendor_time: VendorTime) -> None:
        self.later = 0  # seconds that refusals have taught to stay back
        self._vendor_time = vendor_time
        self._log = get("agora").bind(account=account)

    def newest(self, reach: Reach) -> int:
        """The latest end of a request, in Unix seconds."""
        return math.floor(self._vendor_time.earliest()) - reach.delay - 1 - self.later

    def oldest(self, reach: Reach) -> int:
        """The earliest beginning of a request, in Unix seconds, with time to carry out several."""
        return math.floor(self._vendor_time.earliest()) - reach.back + _AGEING

    def learn(self, error: ProviderError) -> None:
        """Stay back further from now on, where the vendor said that it was asked too early."""
        if error.reason is Reason.TOO_FRESH and self.later < _LATEST:
            self.later += WIDTH
            self._log.warning("limits_learned", reason=error.reason, seconds_later=self.later)
