"""How the API says no: the body of before or RFC 9457's, and what each code means here (dossier section 6).

Both shapes carry the vendor's `code`, and it tells more than the status: 20403 is a closed account and 20006 a refused
one, both HTTP 403. Where no body can be read the status decides, as for every vendor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import msgspec

from watcher.errors import ProviderError, Reason, clip
from watcher.providers import http
from watcher.providers.http import Reply

Scrub = Callable[[str], str]

CODES: Mapping[int, tuple[Reason, str]] = MappingProxyType(
    {
        20001: (Reason.REQUEST, "a parameter it does not take"),
        20003: (Reason.AUTH, "credential refused"),
        20004: (Reason.REQUEST, "method not allowed"),
        20005: (Reason.AUTH, "the account is not active"),
        20006: (Reason.AUTH, "access denied"),
        20008: (Reason.AUTH, "test credentials may not read this"),
        20403: (Reason.AUTH, "the account is suspended or closed"),
        20429: (Reason.RATE, "too many requests at once"),
        20500: (Reason.SERVER, "an error of its own"),
        20503: (Reason.SERVER, "not available"),
    }
)
NO_SUCH = 20404


class _Problem(msgspec.Struct):
    """Either body; whatever else it holds. `title` and `detail` are RFC 9457's, `message` is the older one's."""

    code: int | str | None = None
    message: object = None
    detail: object = None
    title: object = None


def refused(reply: Reply, scrub: Scrub) -> ProviderError | None:
    """What an answer other than 2xx says; None for an answer. `scrub` takes out what must not be shown."""
    if 200 <= reply.status < 300:
        return None
    if 300 <= reply.status < 400:
        what = f"HTTP {reply.status}: sent elsewhere; is the address right?"
        return ProviderError(Reason.AUTH, what, vendor_time=reply.date)
    problem = _problem(reply.body)
    words = _words(problem, scrub)
    code = _code(problem)
    if code not in CODES:
        return http.status_error(reply, words)
    reason, meaning = CODES[code]
    detail = f"{code}, {meaning} ({words})" if words else f"{code}, {meaning}"
    return ProviderError(
        reason, detail, retry_after=reply.retry_after, elsewhere=reason is Reason.SERVER, vendor_time=reply.date
    )


def is_missing(reply: Reply) -> bool:
    """The room is gone, or not there yet."""
    return reply.status == 404


def _problem(body: bytes) -> _Problem:
    try:
        return msgspec.json.decode(body[:65_536], type=_Problem)
    except (msgspec.DecodeError, RecursionError):
        return _Problem()


def _code(problem: _Problem) -> int:
    code = problem.code
    if isinstance(code, str):
        return int(code) if code.isascii() and code.isdecimal() and len(code) < 7 else 0
    return code or 0


def _words(problem: _Problem, scrub: Scrub) -> str:
    for text in (problem.message, problem.detail, problem.title):
        if isinstance(text, str) and text:
            return clip(scrub(text), 160)  # in this order: a secret cut in two is not found
    return ""
