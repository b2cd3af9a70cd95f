"""What a vendor's module offers to the rest of the program, as one frozen value of functions.

A value instead of a base class to inherit from: the functions of `check`, `pools` and `queries` are pure and work on
settings alone (`check` and `plan` run where no secret resolves and no vendor is near), and only `open` makes something
that lives. A module object was considered too; a typed value lets mypy see a function that does not fit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Generic, NamedTuple, Protocol, TypeVar, runtime_checkable
from urllib.parse import urlsplit

import httpx
from pydantic import AfterValidator

from watcher.budget.quota import Pool
from watcher.clock import Clock
from watcher.errors import clip
from watcher.model import Query, Source
from watcher.yamlfile import Loc, Strict

_MAX_NAME = 63


def _name(text: str) -> str:
    fit = 0 < len(text) <= _MAX_NAME and text.isascii() and text[0].isalnum()
    if not (fit and all(c.isalnum() or c in "_.-" for c in text)):
        raise ValueError(f"{clip(text, 40)!r} is not a name; use letters, digits, _ . and -, at most {_MAX_NAME}")
    return text


Name = Annotated[str, AfterValidator(_name)]
"""The user's word for an account or project: a label, and a part of ids, so it holds no slash."""


def _address(text: str) -> str:
    try:
        parts = urlsplit(text)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fits = False
    if not fits or not text.isascii() or not text.isprintable() or any(c in text for c in "@?# "):
        raise ValueError("is not an address; write it like https://insights.example.com")
    return text.rstrip("/")


Address = Annotated[str, AfterValidator(_address)]
"""An origin, with or without a path below it: no credential, query, fragment or slash at the end."""


class Account(Strict):
    """What every account has. A provider's settings add the rest."""

    name: Name
    provider: str


class Fault(NamedTuple):
    """A problem inside an account's stanza: `loc` is relative to it, for `Document.problem`."""

    loc: Loc
    what: str
    remedy: str


class Heard(StrEnum):
    """What became of a vendor's post: a closed set, so that it can be a metric label."""

    TAKEN = "taken"
    IGNORED = "ignored"  # of no use, and not wrong: nothing to repeat
    MALFORMED = "malformed"
    FORGED = "forged"  # the signature is missing or wrong


@runtime_checkable
class Hearing(Protocol):
    """A source that vendors post to as well."""

    def hear(self, token: str, authorization: str | None, body: bytes) -> Heard | None:
        """Take a post in; None where the token in its path is not known here."""
        ...


S = TypeVar("S", bound=Account)
_S_contra = TypeVar("_S_contra", bound=Account, contravariant=True)


class Open(Protocol[_S_contra]):
    """Makes the source of one account. Secrets are read here at the earliest."""

    def __call__(
        self,
        settings: _S_contra,
        needed: Set[str],
        *,
        clock: Clock,
        offset: float = 0.0,
        learned: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> Source:
        """`offset`: seconds that vendor time was last known to lead the run clock. `learned`: the last `Answer.learned`
        of an earlier run. `transport` replaces the network."""
        ...


def _none(settings: Account, needed: Set[str]) -> tuple[Query, ...]:
    """Of nothing does this vendor tell the past."""
    return ()


def _nowhere(settings: Account) -> tuple[str, ...]:
    """Nothing can be asked of this vendor but looks."""
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider(Generic[S]):
    """A vendor.

    `needed` is everywhere the signals that rules and exports ask for. `signals` are those the vendor can give at all,
    `missing` says in one sentence each why an account may lack a well-known signal: its plan, a setting, the vendor.
    `unweighted` are the signals that come without the number of users or streams behind them.
    `only_one` says why a daemon may hold only one account of it, where that is so. `check` finds what pydantic cannot
    see in one field; `pools` and `queries` are the account's quotas and requests, both empty where `check` refuses.
    `past` are requests outside the schedule, of a live series each: what the vendor's own statistics say of its past,
    in longer windows. `Source.look` carries them out.
    `asked` are the ids of the pools in which somebody spends who asks for what looks do not tell (`calls`, `groups`).
    """

    settings: type[S]
    signals: frozenset[str]
    missing: Mapping[str, str]
    check: Callable[[S, Set[str]], tuple[Fault, ...]]
    pools: Callable[[S], tuple[Pool, ...]]
    queries: Callable[[S, Set[str]], tuple[Query, ...]]
    open: Open[S]
    past: Callable[[S, Set[str]], tuple[Query, ...]] = _none
    asked: Callable[[S], tuple[str, ...]] = _nowhere
    unweighted: frozenset[str] = frozenset()
    only_one: str = ""
