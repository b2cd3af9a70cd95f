"""What can go wrong, as a tree, and why, as data.

    WatcherError
    ├── ConfigError      every problem of a config or rule pack at once; exit 2
    ├── ProviderError    one look failed; `reason` drives schedule, metric label and log field alike
    ├── StoreError       the state cannot be read or written: no request leaves
    │   ├── StateLocked  another process holds the state; exit 2
    │   └── StoreRefused what was to be written contradicts what is there: trying again cannot help
    ├── SendError        one attempt at one target failed; `permanent` says whether another can help
    ├── Refused          a change that a person asked for is not made; `status` as HTTP numbers it
    └── ListenError      an address cannot be listened on; exit 2

Foreign exceptions are mapped once, at the edge that met them, with the cause kept and vendor text cut short.
A refusal by our own budget is a value (`budget.Refusal`), not an exception: it is the plan working.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Why a look failed: a closed set, so that it can be a metric label."""

    AUTH = "auth"  # credentials refused
    PLAN = "plan"  # the plan does not include this API
    DAY_QUOTA = "day_quota"  # the vendor says the day's budget is spent
    RATE = "rate"  # too many requests in a short window
    TOO_FRESH = "too_fresh"  # asked for windows the vendor does not have yet
    TOO_OLD = "too_old"  # asked for windows the vendor no longer has
    TOO_LONG = "too_long"  # asked for more than one reply may span
    REQUEST = "request"  # the vendor found the request malformed
    SERVER = "server"  # 5xx
    NETWORK = "network"  # no connection, reset
    TIMEOUT = "timeout"
    MALFORMED = "malformed"  # HTML, truncated JSON, an unexpected shape
    TOO_LARGE = "too_large"  # body over the limit
    MAINTENANCE = "maintenance"
    BUDGET = "budget"  # our own budget is spent: known before asking
    OTHER = "other"


class WatcherError(Exception):
    """Root of all errors raised on purpose."""


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One fault of a file: where, what, and what to do about it. Lines and columns count from 1; 0 is unknown."""

    file: str
    line: int
    column: int
    what: str
    remedy: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{place}: {self.what}, {self.remedy}" if self.remedy else f"{place}: {self.what}"


class ConfigError(WatcherError):
    """All problems of one load, sorted by place."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(str(p) for p in self.problems))


class ProviderError(WatcherError):
    """One look failed.

    `retry_after` is the vendor's own wish in run seconds, `elsewhere` says that another domain may answer,
    `sent` that at least one byte of the request left (so the spend stands: invariant 1).
    `detail` is cut to 200 characters and never holds a header or a URL.
    """

    def __init__(
        self,
        reason: Reason,
        detail: str = "",
        *,
        retry_after: float | None = None,
        elsewhere: bool = False,
        sent: bool = True,
        vendor_time: float | None = None,
    ) -> None:
        self.reason = reason
        self.detail = clip(detail)
        self.retry_after = retry_after
        self.elsewhere = elsewhere
        self.sent = sent
        self.vendor_time = vendor_time
        super().__init__(f"{reason}: {self.detail}" if self.detail else str(reason))


class StoreError(WatcherError):
    """The state could not be read or written."""


class StateLocked(StoreError):  # noqa: N818 - a state, and it reads so where it is caught
    """Another process holds the state folder."""


class StoreRefused(StoreError):  # noqa: N818 - likewise
    """What was to be written contradicts the record, or has no form in it. Trying again cannot help."""


class SendError(WatcherError):
    """One attempt at one target failed."""

    def __init__(self, detail: str, *, permanent: bool = False, retry_after: float | None = None) -> None:
        self.detail = clip(detail)
        self.permanent = permanent
        self.retry_after = retry_after
        super().__init__(self.detail)


class Refused(WatcherError):  # noqa: N818 - an answer to a person
    """A change that a person asked for is not made: the text says why and what to do."""

    def __init__(self, status: int, what: str) -> None:
        self.status = status
        super().__init__(what)


class ListenError(WatcherError):
    """An address, port or TLS certificate that a server cannot be started on."""


def clip(text: str, limit: int = 200) -> str:
    """Text of others, one line, printable, at most `limit` characters."""
    line = text[: limit * 4]
    if not line.isprintable():
        line = "".join(c if c.isprintable() else " " for c in line)
    return line if len(line) <= limit else line[: limit - 1] + "…"
