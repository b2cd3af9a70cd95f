"""Who is behind a value: one slot of a project's product by network, SDK, country, OS, device (dossier, section 3.3).

One request each, of the real-time quotas. Only shares can be split, since a count has no value to compare; channels
cannot, since `top20` has no `cname`; `region` says less than `country` for the same request, so it is not asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from watcher.clock import DAY
from watcher.model import Dimension, Group, Purse, Series, Split, Splitting
from watcher.providers.agora.client import Dimension as Vendors
from watcher.providers.agora.client import Place, RealtimeClient
from watcher.providers.agora.metrics import METRICS
from watcher.providers.agora.queries import Target
from watcher.providers.agora.settings import Plan

DIMENSIONS: Mapping[Dimension, Vendors] = MappingProxyType(
    {
        Dimension.NETWORK: "net",
        Dimension.SDK: "sdk",
        Dimension.COUNTRY: "country",
        Dimension.OS: "os",
        Dimension.DEVICE: "device",
    }
)
"""Our dimensions, the most telling first, and Agora's words."""


class Splits:
    """Of one account. A question gets what a minute lets out, in the time in which a day's requests come by one: on
    Premium two dimensions in three minutes, on Enterprise all of them in one."""

    def __init__(self, targets: Iterable[Target], client: RealtimeClient, limits: Plan, margin: int) -> None:
        self._client = client
        self._targets = {target.query.series[0]: target for target in targets}
        self._most = min(len(DIMENSIONS), limits.per_minute - margin)
        self._patience = DAY / limits.per_day

    def splitting(self, series: Series) -> Splitting | None:
        """See `model.Splitter`."""
        target = self._targets.get(series)
        if target is None or series.channel or not METRICS[series.signal].ratio:
            return None
        return Splitting(
            dimensions=tuple(DIMENSIONS), pools=target.query.pools, most=self._most, patience=self._patience
        )

    async def split(self, series: Series, dimension: Dimension, start: int, purse: Purse) -> Split:
        """See `model.Splitter`."""
        target = self._targets[series]
        assert target.product is not None
        place = Place(app_id=target.project.app_id, product=target.product)
        found, tally = await self._client.top(place, series.signal, start, DIMENSIONS[dimension], purse)
        groups = tuple(Group(g.name, g.value, g.users) for g in found if g.users is not None)
        return Split(dimension=dimension, groups=groups, oddities={str(o): n for o, n in tally.items()})
