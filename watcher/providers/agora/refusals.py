"""Whether a reply is a success: Agora's codes, messages and gateway bodies (dossier section 7). Pure.

A refusal usually arrives as HTTP 200 with `code: 300`, so a 200 proves nothing until the body's code was read; a
gateway's body has no code, so the HTTP status is read before its absence may mean success; `message` is read for
refusals only, since success says "success", "null", null or nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from watcher.errors import ProviderError, Reason, clip
from watcher.providers.agora.values import Tally, number
from watcher.providers.http import Reply, decode, status_error

_REFUSALS = (
    ("qpd limit", Reason.DAY_QUOTA),
    ("qpm limit", Reason.RATE),
    ("qps limit", Reason.RATE),
    ("rate limit", Reason.RATE),
    ("latency limit", Reason.TOO_FRESH),
    ("time range limit", Reason.TOO_OLD),
    ("duration limit", Reason.TOO_LONG),
    ("time length limit", Reason.TOO_LONG),
    ("no auth", Reason.PLAN),
)
"""What a refusal's message contains, in lower case (section 7). Matched within, since a prefix was seen in the wild."""

_UNREADABLE = -1
_CODES = {
    400: Reason.REQUEST,
    401: Reason.AUTH,
    403: Reason.AUTH,
    404: Reason.REQUEST,
    429: Reason.RATE,
    _UNREADABLE: Reason.MALFORMED,
}

Scrub = Callable[[str], str]


def contents(reply: Reply, scrub: Scrub) -> object:
    """The `data` of a reply that is a success, None where the vendor has nothing. Raises as `success` does."""
    return success(reply, scrub, "data").get("data")


def success(reply: Reply, scrub: Scrub, key: str) -> dict[str, object]:
    """The body of a reply that is a success, with the vendor's rows under `key`.

    Raises `ProviderError` for everything else. `scrub` takes secrets out of vendor text that is shown.
    """
    if reply.status != 200:
        raise gateway_refusal(reply, scrub)
    body = decode(reply)
    if not isinstance(body, dict):
        raise ProviderError(Reason.MALFORMED, "the answer is no JSON object", vendor_time=reply.date)
    refuse(body, reply, scrub, key)
    return body


def refuse(body: Mapping[str, object], reply: Reply, scrub: Scrub, key: str) -> None:
    """Raise `ProviderError` unless the body of an HTTP 200 says success."""
    code = _code(body)
    if code == 200 or (code in (0, None) and key in body):
        return
    if code in (0, None):
        raise ProviderError(Reason.MALFORMED, f"the answer has neither code nor {key}", vendor_time=reply.date)
    message = _message(body)
    reason = _refusal(message)
    if reason is None:
        reason = Reason.SERVER if 500 <= code < 600 else _CODES.get(code, Reason.OTHER)
    raise ProviderError(reason, f"code {code}: {scrub(message)}", vendor_time=reply.date)


def gateway_refusal(reply: Reply, scrub: Scrub) -> ProviderError:
    """What an HTTP status other than 200 means."""
    message = ""
    try:
        body = decode(reply)
    except ProviderError:
        body = None  # HTML, mostly: the status says enough
    if isinstance(body, dict):
        message = _message(body)
    error = status_error(reply, scrub(message))
    if error is None:
        return ProviderError(Reason.MALFORMED, f"HTTP {reply.status} with no answer", vendor_time=reply.date)
    if 400 <= reply.status < 500 and (reason := _refusal(message)) is not None:
        return ProviderError(reason, error.detail, retry_after=error.retry_after, vendor_time=reply.date)
    return error


def _code(body: Mapping[str, object]) -> int | None:
    """The body's code, None where it has none. One that is no number is a code nevertheless, and not success."""
    code = body.get("code")
    if code is None:
        return None
    value = number(code, Tally())
    return int(value) if value is not None and value.is_integer() else _UNREADABLE


def _message(body: Mapping[str, object]) -> str:
    message = body.get("message")
    return clip(message, 160) if isinstance(message, str) else ""


def _refusal(message: str) -> Reason | None:
    lower = message.lower()
    return next((reason for words, reason in _REFUSALS if words in lower), None)
