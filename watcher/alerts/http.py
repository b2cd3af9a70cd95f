"""Targets that speak plain HTTP: a webhook, an Alertmanager, a heartbeat.

Here a status and `Retry-After` are seen, which Apprise hides. What the target asks for is honoured (`outbox` bounds
it), and only answers that say that this very message is wrong (400, 413, 422) are final: a path can be mended
within the day that a message is tried.

Redirects are not followed, as they would carry the token to wherever they point, and bodies of answers are not read.
An attempt has a deadline of its own and can be cancelled, unlike a thread, so nothing hangs here.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from email.utils import parsedate_to_datetime
from typing import Any

import anyio
import httpx
import msgspec

from watcher import __version__
from watcher.alerts.wording import when
from watcher.clock import Clock, real_deadline, rfc3339
from watcher.errors import SendError
from watcher.model import Detail, Notification, Standing, Transition
from watcher.secret import Secret

DEADLINE = 15.0  # real seconds for one attempt
VALID = 300.0  # run seconds for which an Alertmanager believes that an alert fires, unless it hears again
RESEND = 60.0  # run seconds between two times that it hears

_FINAL = frozenset({400, 413, 422})


class HttpPost:
    """Speaks to one URL. Raises `SendError`."""

    def __init__(self, *, url: Secret, headers: Mapping[str, Secret], clock: Clock, path: str = "") -> None:
        self._url = url
        self._path = path
        self._headers = headers
        self._clock = clock
        self._tls: ssl.SSLContext | None = None

    async def send(self, method: str, content: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        """Return once the target answered with success."""
        if self._tls is None:
            self._tls = httpx.create_ssl_context()
        own = {name: value.reveal() for name, value in self._headers.items()}
        sent = {"user-agent": f"watcher/{__version__}", **(headers or {}), **own}
        url = self._url.reveal().rstrip("/") + self._path if self._path else self._url.reveal()
        try:
            with real_deadline(DEADLINE) as deadline:
                async with (
                    httpx.AsyncClient(verify=self._tls, trust_env=False, timeout=DEADLINE) as client,
                    client.stream(method, url, content=content, headers=sent) as answer,
                ):
                    self._judge(answer)
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:  # its text may hold the URL: only its kind
            raise SendError(f"no answer ({type(error).__name__})") from None
        if deadline.cancelled_caught:
            raise SendError("no answer in time")

    def _judge(self, answer: httpx.Response) -> None:
        status = answer.status_code
        if not 200 <= status < 300:
            wish = retry_after(answer.headers.get("retry-after"), self._clock.now())
            raise SendError(f"HTTP {status}", permanent=status in _FINAL, retry_after=wish)


def retry_after(text: str | None, now: float) -> float | None:
    """Seconds that `Retry-After` asks for, as a number or as a date; None where it asks for nothing."""
    if text is None:
        return None
    if text.strip().isascii() and text.strip().isdigit():
        return float(text.strip()[:9])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except ValueError:
        return None


class WebhookSender:
    """Posts each message as JSON, in the shape of `_document`."""

    def __init__(self, *, post: HttpPost) -> None:
        self._post = post

    async def send(self, notification: Notification) -> None:
        """Return once the target accepted the message. Raises `SendError`.

        The id is also the `Idempotency-Key`: a message that comes twice says so.
        """
        body = msgspec.json.encode(_document(notification))
        headers = {"content-type": "application/json", "idempotency-key": notification.id}
        await self._post.send("POST", body, headers)


def _document(notification: Notification) -> dict[str, Any]:
    """Version 1 of what a webhook gets. Times are RFC 3339, ratios 0-1; `ended_at` is null while an alert fires."""
    return {
        "version": 1,
        "id": notification.id,
        "target": notification.target,
        "kind": notification.kind,
        "reason": notification.reason,
        "title": notification.title,
        "text": notification.text,
        "alerts": [
            {
                "id": detail.alert_id,
                "rule": detail.rule,
                "severity": detail.severity,
                "labels": dict(detail.labels),
                "annotations": dict(detail.annotations),
                "starts_at": rfc3339(detail.starts_at),
                "fired_at": rfc3339(detail.fired_at),
                "ended_at": rfc3339(detail.ended_at),
                "signal": detail.signal,
                "value": detail.value,
                "threshold": detail.threshold,
                "normal": detail.normal,
                "peak": detail.peak,
                "users": detail.users,
                "most_users": detail.most_users,
            }
            for detail in notification.details
        ],
    }


class AlertmanagerSender:
    """Tells an Alertmanager what fires, by its API v2.

    Alertmanager forgets an alert that it does not hear of, so what fires is said again each minute (`refresh`), without
    a record: the next minute says the same. An alert's beginning and end are messages like any other, durable and in
    order. One at a time: a refresh on its way must not arrive after the end of what it says.
    """

    def __init__(self, *, post: HttpPost, clock: Clock) -> None:
        self._post = post
        self._clock = clock
        self._turn = anyio.Lock()

    async def send(self, notification: Notification) -> None:
        """Return once Alertmanager accepted the alerts of the message. Raises `SendError`."""
        async with self._turn:
            await self._say(notification.details)

    async def refresh(
        self,
        told: Callable[[], Sequence[Standing]],
        unseen: Callable[[], Mapping[str, Transition]] = dict,
    ) -> None:
        """Say again what fires; what cannot be judged since its account is `unseen` says so. Raises `SendError`."""
        async with self._turn:
            blind = unseen()
            if details := [_again(known.latest.transition, blind) for known in told()]:
                await self._say(details)

    async def _say(self, details: Sequence[Detail]) -> None:
        until = self._clock.now() + VALID
        body = msgspec.json.encode([_alert(detail, until) for detail in details])
        await self._post.send("POST", body, {"content-type": "application/json"})


def _again(entry: Transition, unseen: Mapping[str, Transition]) -> Detail:
    blind = unseen.get(entry.labels.get("account", "")) if entry.signal else None
    detail = Detail.of(entry)
    if blind is None:
        return detail
    mark = {"unjudged": f"cannot be judged since {when(blind.starts_at)}: its account is not seen"}
    return replace(detail, annotations={**detail.annotations, **mark})


def _alert(detail: Detail, until: float) -> dict[str, Any]:
    """Event times: an alert starts and ends when the vendor's windows say, not when we noticed."""
    labels = {_NAME.sub("_", name): value for name, value in detail.labels.items() if value}
    ends = until if detail.ended_at is None else max(detail.ended_at, detail.starts_at + 1)
    return {
        "labels": {**labels, "alertname": detail.rule, "severity": detail.severity},
        "annotations": {_NAME.sub("_", name): value for name, value in detail.annotations.items() if value},
        "startsAt": rfc3339(detail.starts_at),
        "endsAt": rfc3339(ends),
    }


_NAME = re.compile(r"^[^A-Za-z_]|[^A-Za-z0-9_]")  # what Alertmanager takes in no name
