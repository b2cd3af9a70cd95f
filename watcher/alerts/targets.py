"""What a target may be: an Apprise URL, or one of three kinds that need more than a URL.

A mapping with one telling key (`webhook`, `alertmanager`, `heartbeat`) rather than a `type`, so that the key that
matters is the one that is read first. URLs are secrets, since most carry a token; so are header values.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Discriminator, Tag

from watcher.secret import Secret
from watcher.yamlfile import Duration, Strict

KINDS = ("webhook", "alertmanager", "heartbeat")


class WebhookSettings(Strict):
    """Messages as JSON, by POST."""

    webhook: Secret
    headers: Mapping[str, Secret] = {}

    @property
    def url(self) -> Secret:
        return self.webhook


class AlertmanagerSettings(Strict):
    """An Alertmanager of one's own, by its base URL: it groups, routes and repeats, we say what fires."""

    alertmanager: Secret
    headers: Mapping[str, Secret] = {}

    @property
    def url(self) -> Secret:
        return self.alertmanager


class HeartbeatSettings(Strict):
    """A dead man's switch: fetched every so often, but only after a look was answered (design, invariant 11)."""

    heartbeat: Secret
    every: Duration = 300
    headers: Mapping[str, Secret] = {}

    @property
    def url(self) -> Secret:
        return self.heartbeat


HttpTarget = WebhookSettings | AlertmanagerSettings | HeartbeatSettings


def _kind(value: object) -> str:
    if isinstance(value, Mapping):
        return next((kind for kind in KINDS if kind in value), "")
    return next((kind for kind in KINDS if hasattr(value, kind)), "url")


def _one_kind(value: object) -> object:
    if isinstance(value, Mapping) and sum(kind in value for kind in KINDS) != 1:
        raise ValueError(f"is no target; write a URL, or a mapping with one of {', '.join(KINDS)}")
    return value


TargetSettings = Annotated[
    Annotated[Secret, Tag("url")]
    | Annotated[WebhookSettings, Tag("webhook")]
    | Annotated[AlertmanagerSettings, Tag("alertmanager")]
    | Annotated[HeartbeatSettings, Tag("heartbeat")],
    Discriminator(_kind),
    BeforeValidator(_one_kind),
]


def url_of(target: Secret | HttpTarget) -> Secret:
    """The URL of any kind of target."""
    return target if isinstance(target, Secret) else target.url


def is_web(url: Secret) -> bool:
    """Whether a URL is one that HTTP can be spoken with. Raises `SecretMissing` where it cannot be read."""
    try:
        parts = urlsplit(url.reveal())
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
