"""Agora: the Analytics REST API (dossier sections 1 to 8).

settings   what users write, the plans' real-time numbers, the hosts
queries    which queries an account needs, and the pools that they spend
domains    which host to ask, and whether a second one is worth a request
exchange   one request with authentication and failover
refusals   bodies -> success, or what the vendor refuses
values     what counts as a number; a name for everything odd
source     all of it as one account

metrics, slots, payload, client, realtime    the real-time API
inspector/   Call Inspector: samples of running calls, and one call as a whole
insights/    Data Insights: days
"""

from __future__ import annotations

from watcher.providers.agora.insights.settings import METRICS as DAILY
from watcher.providers.agora.inspector.figures import MEASURED, SAMPLED
from watcher.providers.agora.metrics import METRICS
from watcher.providers.agora.queries import SIGNALS, asked, past, pools, queries
from watcher.providers.agora.settings import AgoraAccount, check
from watcher.providers.agora.source import open_source
from watcher.providers.provider import Provider

_SAMPLED = (
    "Agora has no live packet loss: it exists in single calls only, minutes late; "
    "sample some with `call_inspector: {requests_per_day: 500}` in the account"
)
_PLAN = "the real-time API needs Premium or Enterprise"
_DAYS = "Data Insights need Premium or Enterprise"

AGORA = Provider(
    settings=AgoraAccount,
    signals=SIGNALS,
    missing=dict.fromkeys((*MEASURED, SAMPLED), _SAMPLED) | dict.fromkeys(METRICS, _PLAN) | dict.fromkeys(DAILY, _DAYS),
    check=check,
    pools=pools,
    queries=queries,
    past=lambda account, needed: tuple(target.query for target in past(account, needed)),
    asked=asked,
    open=open_source,
    unweighted=frozenset(METRICS) | frozenset(DAILY),
)
