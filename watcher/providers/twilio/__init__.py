"""Twilio Video's Log Analyzer: rooms that are over, and how each participant's stay ended (the vendor's dossier).

settings   what users write, credentials of both kinds
queries    which queries an account needs, what they spend
endings    the 47 words and the 53xxx codes, and which of them are failures
refusals   how the API says no, in both bodies
rows       rows of the lists as values, whatever they hold
client     one request, spent and signed; lists by their pages
memory     rooms and stays, each once
points     from stays to signals
record     what an earlier run told, and when less may be told of it
clients    by SDK, browser and region
watch      a look at one project
source     all of it as one account

Nothing here is live: a call is told of when it is over, ten to thirty minutes later.
"""

from __future__ import annotations

from watcher.providers.provider import Provider
from watcher.providers.twilio.queries import SIGNALS, asked, pools, queries
from watcher.providers.twilio.settings import TwilioAccount, check
from watcher.providers.twilio.source import open_source

_NO_MEDIA = "Twilio's API has no figures of media: it tells how participants' stays ended, after the call"
_NO_JOIN = "Twilio tells of joins that failed: `connect_failure_ratio`"

TWILIO = Provider(
    settings=TwilioAccount,
    signals=SIGNALS,
    missing={
        **dict.fromkeys(("video_freeze_ratio", "audio_freeze_ratio", "network_delay_ratio"), _NO_MEDIA),
        **dict.fromkeys(("video_packet_loss_ratio", "audio_packet_loss_ratio", "video_stall_ratio"), _NO_MEDIA),
        **dict.fromkeys(("join_success_ratio", "join_success_5s_ratio"), _NO_JOIN),
    },
    check=check,
    pools=pools,
    queries=queries,
    asked=asked,
    open=open_source,
)
