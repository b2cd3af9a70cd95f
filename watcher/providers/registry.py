"""The vendors, by the word users write after `provider:`. One line each; nothing else lists them.

The config looks a stanza's `provider` up here and parses the stanza with that vendor's `settings`. A pydantic union
discriminated by `provider` was considered: it needs two members to exist, and its errors name every member's fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from watcher.providers.agora import AGORA
from watcher.providers.provider import Provider
from watcher.providers.twilio import TWILIO
from watcher.providers.vonage import VONAGE

PROVIDERS: Mapping[str, Provider[Any]] = MappingProxyType(
    {
        "agora": AGORA,
        "vonage": VONAGE,
        "twilio": TWILIO,
    }
)
