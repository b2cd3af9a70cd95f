"""One message to one Apprise URL: the only module that imports Apprise.

Apprise is fenced in, because several of its defaults are traps for a pager (each found in its 2.2 source, and tested):

* It prints URLs with tokens at debug level, and `url(privacy=True)` still shows header values. Its loggers are cut
  off by `log.configure`, and nothing here ever renders a URL or repeats what Apprise captured.
* `?optional=yes` in a URL turns a failure into success, so only attempts are counted; `?retry=` is overruled.
* With a `service_timeout` (default 60 s) it gives up on its own thread and reports a failure while that still sends.
  It is 0 here, so that `notify` returns when the attempt is over: the outbox has the deadline, and a late success
  counts.
* Redirects would carry the token to wherever they point: not followed unless the URL asks for it.

The result says only whether the service accepted, so every failure is worth another try and none is permanent here.

Which body a service gets: mail a page with charts (`mail`), of which Apprise makes the plain part as well; services
whose own default is HTML (Telegram) the HTML; all others, which are chats and telephones, the brief in plain text,
which Apprise escapes for those that take Markdown only. Ours never goes out as Markdown: what vendors wrote would have
to be escaped for each dialect, and `neutral` makes the plain form safe in all of them.
"""

from __future__ import annotations

from functools import partial

import apprise
from apprise.attachment.memory import AttachMemory
from apprise.plugins.email import NotifyEmail

from watcher.alerts import mail
from watcher.errors import SendError
from watcher.model import Notification
from watcher.secret import Secret
from watcher.workers import Workers

MAX_ATTEMPTS_AT_ONCE = 4
"""Attempts of one target that may be in flight together: one, and those that hang (see `outbox`)."""

_SOCKET_TIMEOUT = 10.0  # seconds to connect and between bytes, unless the URL says `cto` and `rto`

_TYPES = {"firing": "failure", "resolved": "success", "was_firing": "info", "digest": "warning"}


class AppriseSender:
    """Sends through one URL. `workers` are this target's own threads: a hung one takes no one else's."""

    def __init__(self, *, url: Secret, workers: Workers) -> None:
        self._url = url
        self._workers = workers
        self._idle: list[apprise.NotifyBase] = []  # a plugin is used by one thread at a time

    async def send(self, notification: Notification) -> None:
        """Return once the service accepted the message. Raises `SendError`."""
        accepted = await self._workers.run(partial(self._notify, notification), abandon_on_cancel=True)
        if not accepted:
            raise SendError("the service did not accept the message")

    def _notify(self, notification: Notification) -> bool:
        plugin = self._idle.pop() if self._idle else _plugin(self._url)
        if plugin is None:
            raise SendError("the URL is not one that Apprise accepts")
        body, body_format = _body(plugin, notification)
        service = apprise.Apprise(asset=plugin.asset)
        service.add(plugin)
        try:
            result = service.notify(
                body=body,
                title=notification.title,
                notify_type=_TYPES.get(notification.kind, "info"),
                body_format=body_format,
                attach=_attachment(plugin, notification, body),
            )
        except Exception as error:  # noqa: BLE001 - a plugin of a hundred: whatever it raises is one failed attempt
            raise SendError(f"the service's plugin raised {type(error).__name__}") from None
        if len(self._idle) < MAX_ATTEMPTS_AT_ONCE:
            self._idle.append(plugin)  # kept, since it remembers how fast the service may be called
        return any(bool(attempt) for service_result in result for attempt in service_result)


def shows_charts(url: Secret) -> bool:
    """Whether messages to the URL can show pictures. Raises `SecretMissing` where it cannot be read."""
    return isinstance(_plugin(url), NotifyEmail)


def acceptable(url: Secret) -> bool:
    """Whether Apprise makes a service of the URL. Raises `SecretMissing` where it cannot be read."""
    return _plugin(url) is not None


def _plugin(url: Secret) -> apprise.NotifyBase | None:
    asset = apprise.AppriseAsset(
        app_id="watcher",
        app_desc="call-quality alerts",
        app_url="",
        async_mode=False,  # in the calling thread: no pool of Apprise's own
        service_timeout=0,
        default_service_retry=0,
        storage_mode="memory",
        secure_logging=True,
        http_redirects=False,
        interpret_escapes=False,
        allow_templates=False,
        pgp_autogen=False,
        pem_autogen=False,
        timezone="UTC",
        language="en",
    )
    plugin = apprise.Apprise.instantiate(url.reveal(), asset=asset)
    if plugin is None:
        return None
    plugin.retry = 0
    if isinstance(plugin, NotifyEmail):
        plugin.inline = True  # a picture that the page names is shown in its place
    if "overflow_mode" not in vars(plugin):
        plugin.overflow_mode = apprise.OverflowMode.TRUNCATE  # ten text messages at night say no more than one
    for name in ("socket_connect_timeout", "socket_read_timeout"):
        if name not in vars(plugin):
            setattr(plugin, name, _SOCKET_TIMEOUT)
    return plugin


def _body(plugin: apprise.NotifyBase, notification: Notification) -> tuple[str, apprise.NotifyFormat]:
    """HTML where that is the service's default and fits it (a cut could open a tag), else plain text."""
    if plugin.resolve_format() == apprise.NotifyFormat.HTML:
        body = mail.page(notification) if isinstance(plugin, NotifyEmail) else notification.html
        if len(body) <= plugin.body_maxlen:
            return body, apprise.NotifyFormat.HTML
    return notification.brief or notification.text, apprise.NotifyFormat.TEXT


def _attachment(plugin: apprise.NotifyBase, notification: Notification, body: str) -> apprise.AppriseAttachment | None:
    """The pictures that the body names."""
    if not isinstance(plugin, NotifyEmail) or not notification.charts or "cid:" not in body:
        return None
    attachment = apprise.AppriseAttachment(asset=plugin.asset)
    for name, picture in mail.pictures(notification):
        attachment.add(AttachMemory(picture, name=name, mimetype="image/png"))  # type: ignore[no-untyped-call]
    return attachment
