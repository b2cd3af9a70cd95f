"""How the API says no: the body of before, or RFC 9457's (dossier, section 6), and the codes with their HTTP statuses.

Which status goes with 20005, 20006, 20008 and 20403 is not documented: 403 (INFERRED).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from watcher.emulator.breakage import PAGE
from watcher.emulator.replies import HTML, JSON, Reply
from watcher.emulator.twilio.world import Answers

PROBLEM = "application/problem+json"

_CODES: Mapping[int, tuple[int, str]] = {
    20001: (400, "Bad request"),
    20003: (401, "Authenticate"),
    20004: (405, "Method not allowed"),
    20005: (403, "Account not active"),
    20006: (403, "Access Denied"),
    20008: (403, "Resource not accessible with Test Account Credentials"),
    20403: (403, "Forbidden"),
    20404: (404, "The requested resource was not found"),
    20429: (429, "Too Many Requests"),
    20500: (500, "Internal Server Error"),
    20503: (503, "Service Unavailable"),
}
_OF_STATUS: Mapping[int, int] = {400: 20001, 401: 20003, 403: 20006, 404: 20404, 429: 20429}


def refusal(code: int, answers: Answers, *, words: str = "", path: str = "") -> Reply:
    """A refusal with one of the vendor's codes."""
    status, default = _CODES[code]
    message = words or default
    more = f"https://www.twilio.com/docs/errors/{code}"
    if answers.errors == "rfc9457":
        problem: dict[str, Any] = {"type": more, "title": default, "status": status, "code": code, "detail": message}
        if path:
            problem["instance"] = path
        return Reply(status=status, body=msgspec.json.encode(problem), media=PROBLEM)
    body: dict[str, Any] = {"code": code, "message": message, "more_info": more, "status": status}
    if code == 20003:
        body["detail"] = ""  # as captured
    return Reply(status=status, body=msgspec.json.encode(body), media=JSON)


def missing(path: str, answers: Answers) -> Reply:
    """No such room, participant or path."""
    resource = path.removeprefix("/v1")
    return refusal(20404, answers, words=f"The requested resource {resource} was not found", path=path)


def gateway(status: int, answers: Answers) -> Reply:
    """A status that something in front of the service gives: a page, or the JSON of the code that belongs to it."""
    code = _OF_STATUS.get(status)
    return Reply(status=status, body=PAGE, media=HTML) if code is None else refusal(code, answers)
