"""What the commands for people do: read the state, and change it through the daemon that holds it, or without one.

Reading goes past the daemon, straight to the state, which any number of readers may open. Changing goes to the daemon
where one listens, since it alone may write while it runs; where nobody listens the state is opened, changed and closed.
A flag to choose was considered: whoever silences an alert at night should not have to know whether the daemon is up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import httpx
import msgspec

from watcher.app.desk import Offline, read_alerts, silence_shape
from watcher.app.questions import GRACE, LONGEST_READ, PATIENCE
from watcher.clock import Clock
from watcher.config import Config
from watcher.errors import Refused, clip
from watcher.listener import address
from watcher.secret import SecretMissing
from watcher.store import open_readonly, open_store
from watcher.web.asking import AskedCall, AskedGroups
from watcher.web.shapes import ChangedAck, ChangedSilence, NewAck, NewSilence

Document = dict[str, Any]
Changed = ChangedSilence | ChangedAck

_TIMEOUT = 10.0  # real seconds
_LONG = PATIENCE + LONGEST_READ + GRACE + 10.0  # where the daemon waits for a turn, and then for a vendor
_SHOWN_OVER = 86_400.0  # seconds for which a silence that is over is still listed


def alerts(config: Config, *, clock: Clock) -> list[Document]:
    """What fires or is about to. Raises `StoreError`."""
    reader = open_readonly(config.state)
    try:
        return [msgspec.structs.asdict(alert) for alert in read_alerts(reader, clock.now())]
    finally:
        reader.close()


def silences(config: Config, *, clock: Clock) -> list[Document]:
    """Silences that hold, will hold, or ended within a day. Raises `StoreError`."""
    reader = open_readonly(config.state)
    try:
        known = reader.silences(clock.now() - _SHOWN_OVER)
        return [msgspec.structs.asdict(silence_shape(silence, clock.now())) for silence in known]
    finally:
        reader.close()


def add_silence(config: Config, wish: NewSilence, *, clock: Clock) -> Document:
    """Begin a silence. Raises `Refused` or `StoreError`."""
    body = msgspec.json.encode(wish)
    return _change(config, "POST", "silences", body, lambda state: state.add_silence(wish), clock)


def expire_silence(config: Config, silence: str, *, clock: Clock) -> Document:
    """End a silence now. Raises `Refused` or `StoreError`."""
    return _change(config, "DELETE", f"silences/{silence}", b"", lambda state: state.expire_silence(silence), clock)


def acknowledge(config: Config, alert: str, wish: NewAck, *, clock: Clock) -> Document:
    """Note that somebody has an alert in hand. Raises `Refused` or `StoreError`."""
    body = msgspec.json.encode(wish)
    return _change(config, "POST", f"alerts/{alert}/ack", body, lambda state: state.acknowledge(alert, wish), clock)


def call(config: Config, account: str, asked: AskedCall) -> Document:
    """One call, as the daemon reads it. Raises `Refused`."""
    return _asked(config, account, "call", msgspec.json.encode(asked))


def groups(config: Config, account: str, asked: AskedGroups) -> Document:
    """Whole days by groups, as the daemon reads them. Raises `Refused`."""
    return _asked(config, account, "groups", msgspec.json.encode(asked))


def _asked(config: Config, account: str, what: str, body: bytes) -> Document:
    """The daemon holds the budget, so without it nobody may ask a vendor."""
    path = f"accounts/{quote(account, safe='')}/{what}"
    try:
        return _through_daemon(config, "POST", path, body, timeout=_LONG)
    except httpx.ConnectError:
        what = f"no daemon listens at {config.http.listen}, and only it may spend the budget: start it (watcher run)"
        raise Refused(503, what) from None


def _change(
    config: Config,
    method: str,
    path: str,
    body: bytes,
    offline: Callable[[Offline], Changed],
    clock: Clock,
) -> Document:
    try:
        return _through_daemon(config, method, path, body)
    except httpx.ConnectError:
        store = open_store(config.state)
        try:
            return dict(msgspec.to_builtins(offline(Offline(store=store, clock=clock))))
        finally:
            store.close()


def _through_daemon(config: Config, method: str, path: str, body: bytes, *, timeout: float = _TIMEOUT) -> Document:
    """Ask the daemon that listens. Raises `httpx.ConnectError` where none does, and `Refused`."""
    host, port = address(config.http.listen)
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - where we listen, not what we open
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}/api/v1/{path}"
    headers = {"content-type": "application/json"}
    try:
        if config.http.token is not None:
            headers["authorization"] = f"Bearer {config.http.token.reveal()}"
        with httpx.Client(timeout=timeout, trust_env=False) as client:
            answer = client.request(method, url, content=body, headers=headers)
        document: Any = answer.json()
    except httpx.ConnectError:
        raise
    except (httpx.HTTPError, ValueError) as error:
        what = str(error) if isinstance(error, SecretMissing) else f"{url} did not answer as watcher does"
        raise Refused(502, what) from None
    if answer.is_error:
        raise Refused(answer.status_code, clip(str(document.get("error", answer.reason_phrase)), 400))
    return dict(document)
