"""Whether packet loss can be in the unit that is configured (dossier sections 8.3, 12). Pure.

The vendor's pages show percent and never say so, and no recording is known. Read wrongly, a tenth of all packets is a
thousandth and nobody is paged, or a healthy network pages all night. The values themselves tell, and only one of them
is needed: a fraction is never above 1. So

    `ratio`    and a value above 1: all loss is left out from now on, since the values below 1 are as wrong as that one
    `percent`  and none above 1 among a thousand that are above 0: what is told is kept, but doubted

and both are counted at every look, as `loss_unit`. In two seconds a stream has some hundred packets, so in percent the
loss of a single one is about 1: a thousand losses below that are no network. Guessing the unit by itself was
considered: until a guess is sure it is what must not happen here, a page or a silence by a factor of a hundred.
"""

from __future__ import annotations

from typing import Literal

from watcher.providers.agora.inspector.figures import Votes
from watcher.providers.agora.values import Oddity, Tally

ENOUGH = 1000  # values above 0, of which one in percent would be above 1


class LossUnit:
    """What one project's values have told of their unit."""

    def __init__(self, configured: Literal["percent", "ratio"]) -> None:
        self._configured = configured
        self._lossy = 0
        self._is_percent = False
        self.doubted = False

    @property
    def wrong(self) -> bool:
        """Whether that is certain, so that no loss can be told."""
        return self.doubted and self._is_percent

    def check(self, votes: Votes, tally: Tally) -> None:
        """Weigh a look's values, count what cannot be, and take loss that is wrong for certain out of the votes."""
        self._lossy += votes.lossy
        self._is_percent |= votes.above_one > 0
        if self._configured == "ratio":
            self.doubted = self._is_percent
        else:
            self.doubted = not self._is_percent and self._lossy >= ENOUGH
        if self.doubted and votes.lossy:
            tally[Oddity.LOSS_UNIT] += votes.lossy
        if self.wrong:
            votes.forget_loss()
