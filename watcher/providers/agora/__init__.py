"""Agora: the real-time part of the Analytics REST API (dossier sections 1-4, 6, 7).

    settings   what users write, the plans' numbers, the hosts
    queries    which requests an account needs; signal names <-> Agora's metric names
    slots      which 20-second slots one request may ask for, and the longest gap that loses none
    domains    which host to ask, and whether a second one is worth a request
    payload    bodies -> refusals, columns of values
    client     one request with authentication and failover
    source     a look: covered -> answer

Call Inspector and Data Insights have other limits and delays; they are not asked here.
"""

from __future__ import annotations

from watcher.providers.agora.queries import METRICS, pools, queries
from watcher.providers.agora.settings import AgoraAccount, check
from watcher.providers.agora.source import open_source
from watcher.providers.provider import Provider

_NO_LOSS = "Agora has no live packet loss: it exists per user and call only, minutes late (Call Inspector)"

AGORA = Provider(
    settings=AgoraAccount,
    signals=frozenset(METRICS),
    missing={
        f"{media}_packet_loss{part}_ratio": _NO_LOSS for media in ("video", "audio") for part in ("", "_p95", "_over")
    },
    check=check,
    pools=pools,
    queries=queries,
    open=open_source,
)
