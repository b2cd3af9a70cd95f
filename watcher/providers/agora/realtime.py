"""A look at the real-time API: from a query and what is covered already to an answer (dossier sections 3, 6, 7).

What refusals teach is kept here, next to what is asked: too fresh, too old or too long means that the account's limits
are not its plan's, unless the answer's own `Date` shows that merely our idea of the vendor's time was off, which that
same header has then put right.
"""

from __future__ import annotations

from collections.abc import Iterable

from watcher.clock import Clock
from watcher.errors import ProviderError, Reason
from watcher.log import get
from watcher.model import Answer, Points, Purse, Query, Span
from watcher.providers.agora.client import Place, RealtimeClient
from watcher.providers.agora.queries import Target
from watcher.providers.agora.slots import SETTLE, SLOT, Learned, Window, choose
from watcher.providers.vendortime import VendorTime


class Realtime:
    """All real-time queries of an account: what one of them is taught holds for the others."""

    def __init__(
        self,
        *,
        account: str,
        targets: Iterable[Target],
        window: Window,
        client: RealtimeClient,
        clock: Clock,
        vendor_time: VendorTime,
    ) -> None:
        self._log = get("agora").bind(account=account)
        self._client = client
        self._targets = {target.query.id: target for target in targets}
        self._window = window
        self._clock = clock
        self._vendor_time = vendor_time
        self._learned = Learned()

    async def look(self, query: Query, covered: int | None, purse: Purse) -> Answer:
        """Fetch what is new since `covered`, reading again the slots that were not settled then.

        `covered` is `asked.end` of the query's last answer. Raises `ProviderError`.
        """
        target = self._targets[query.id]
        series = query.series[0]
        assert target.product is not None
        ask = choose(now=self._vendor_time.earliest(), covered=covered, window=self._window, learned=self._learned)
        place = Place(app_id=target.project.app_id, product=target.product, channel=series.channel)
        try:
            column, tally = await self._client.series(place, series.signal, ask.span, purse)
        except ProviderError as error:
            self._learn(error, ask.span)
            raise
        points = Points(series=series, width=SLOT, start=column.start, value=column.value)
        return Answer(
            query=query,
            asked=ask.span,
            settled=ask.span.end - SETTLE * SLOT,
            points=(points,) if len(points) else (),
            received_at=self._clock.now(),
            lost=ask.lost,
            oddities={str(oddity): count for oddity, count in tally.items()},
        )

    def _learn(self, error: ProviderError, asked: Span) -> None:
        before = self._learned
        date = error.vendor_time
        match error.reason:
            case Reason.TOO_FRESH if date is None or asked.end < date - self._window.delay:
                self._learned = before.too_fresh()
            case Reason.TOO_OLD if date is None or asked.start > date - self._window.look_back:
                self._learned = before.too_old()
            case Reason.TOO_LONG:
                self._learned = before.too_long(asked)
        if self._learned != before:
            self._log.warning(
                "limits_learned",
                reason=error.reason,
                slots_later=self._learned.later,
                slots_shorter_back=self._learned.shorter_back,
                longest_seconds=self._learned.longest,
            )
