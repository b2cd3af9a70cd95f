"""What time it is at the vendor: a lower bound, learned from each answer's `Date` header.

An answer's `Date` (whole seconds, rounded down) was true when it was written, so `Date - arrival` bounds the vendor's
lead over our clock from below, short of the truth by less than a second plus the answer's way back. A lower bound is
what slots need: too early costs at most one slot of freshness, too late a refusal and one unit of a small budget.

It is kept against the monotonic reading of the run clock, so that a stepped clock here changes nothing. Only the newest
answer counts: keeping the best of several would be a second closer, and wrong as soon as the two clocks drift.
The ledger learns from the same header for another end (stamps with seconds of skew, kept across restarts); what it
knows at start comes in as `offset`.
"""

from __future__ import annotations

from watcher.clock import DAY, Clock

_FIRST_GUESS = 5.0  # seconds by which a machine's clock may be ahead before the vendor was heard
_ABSURD = float(DAY)  # TLS would not work with such a clock: that header is wrong


class VendorTime:
    """The vendor's clock, as far as it was heard."""

    def __init__(self, *, clock: Clock, offset: float) -> None:
        self._clock = clock
        self._lead = clock.now() + offset - _FIRST_GUESS - clock.monotonic()

    def earliest(self) -> float:
        """An instant that the vendor's clock has reached for sure (once heard), in Unix seconds."""
        return self._clock.monotonic() + self._lead

    def heard(self, date: float | None) -> None:
        """An answer that carried `date` has just arrived. A date more than a day off is not believed."""
        if date is not None and abs(date - self._clock.now()) <= _ABSURD:
            self._lead = date - self._clock.monotonic()
