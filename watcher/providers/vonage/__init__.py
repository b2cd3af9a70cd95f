"""Vonage Video (OpenTok): Advanced Insights, project insights, REST and webhooks (the vendor's dossier, all sections).

settings   what users write, credentials of both kinds, hosts
queries    which queries an account needs, what they spend; signals <-> where they come from
tokens     JWTs of both kinds
refusals   the 23 error codes, and what each is answered with
documents  the texts of the GraphQL queries and their nodes
wire       bodies as structs
client     one request, spent and signed
calendar   maintenance windows, Pacific days
roster     sessions, meetings, streams: how far each was read
reader     discovery, counts, new rows
rows       rows in memory, each once
points     from rows to signals
clients    whose streams they are: SDK, browser, country
units      what the vendor's numbers mean
stats      a look at Advanced Insights
callfind   one call for somebody who asks: which meeting it is
callread   who was in it, and their rows
callview   from there to what they see
live       webhooks and REST: who is there now
daily      a look at project insights
source     all of it as one account
"""

from __future__ import annotations

from watcher.providers.provider import Provider
from watcher.providers.vonage.queries import SIGNALS, asked, pools, queries
from watcher.providers.vonage.settings import VonageAccount, check
from watcher.providers.vonage.source import open_source

_NO_FREEZE = "Vonage reports no freezes to servers: `video_stall_ratio` is the nearest it has"
_NO_JOIN = "Vonage counts failed connections by the day only: `connect_failure_ratio`"

VONAGE = Provider(
    settings=VonageAccount,
    signals=SIGNALS,
    missing={
        "video_freeze_ratio": _NO_FREEZE,
        "audio_freeze_ratio": _NO_FREEZE,
        "join_success_ratio": _NO_JOIN,
        "join_success_5s_ratio": _NO_JOIN,
    },
    check=check,
    pools=pools,
    queries=queries,
    asked=asked,
    open=open_source,
    only_one="Vonage counts requests per egress address as well, and each account would spend all of them",
)
