"""What users write for Twilio Video, and the vendor's numbers behind it (dossier sections 1, 4, 5, 7, 8).

A project is one Twilio account or subaccount: the credential alone picks it, no address names it (section 4), and the
vendor counts each by itself (section 7). So each has a credential and a pool of its own.

The vendor publishes how many *reads a second* its Video product allows (80), and not how many requests may be under way
at once. Looks of an account follow each other and so do the requests in one, so never more than one is under way; that
needs no setting. The rate is ten a second by default, since nobody says whether this API counts against the 80.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Set
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from watcher.clock import HOUR, MINUTE
from watcher.errors import clip
from watcher.providers.provider import Account, Address, Fault, Name
from watcher.providers.twilio.endings import Basis, Class
from watcher.secret import Secret
from watcher.yamlfile import Duration, Strict

HOST = "https://insights.twilio.com"
MAX_PROJECTS = 50

_SID = re.compile(r"(AC|SK)[0-9a-f]{32}\Z")
_ENDING = re.compile(r"[0-9]{5}\Z|[A-Za-z][A-Za-z_]{2,99}\Z")


def _account_sid(text: str) -> str:
    return _sid(text, "AC", "an account SID; copy the AC… from the console's first page")


def _key_sid(text: str) -> str:
    return _sid(text, "SK", "the SID of an API key; copy the SK… from the console's page of keys")


def _sid(text: str, kind: str, what: str) -> str:
    if not (_SID.match(text) and text.startswith(kind)):
        raise ValueError(f"is not {what}")
    return text


def _ending(text: str) -> str:
    if not _ENDING.match(text):
        raise ValueError(f"{clip(text, 40)!r} is no ending; write an error code in quotes, or an end_reason")
    return text.lower()


class Expected(Strict):
    """How much there is to read, for the plan's arithmetic; more is read all the same, as the budget allows.

    At most so many that the list of all rooms (1,000 to a page) is read within the time of one look.
    """

    rooms_per_day: Annotated[int, Field(ge=1, le=20_000)] = 2_000


class Only(Strict):
    """Which rooms are read; empty: all of them. The vendor filters its list by each (section 1.1)."""

    room_types: tuple[Literal["go", "peer_to_peer", "group", "group_small"], ...] = ()
    codecs: tuple[Literal["VP8", "H264", "VP9", "opus"], ...] = ()
    room_name: Annotated[str, Field(max_length=200)] = ""

    def parameters(self) -> dict[str, tuple[str, ...]]:
        """As the list takes them: a key is repeated for each of its values."""
        names = (self.room_name,) if self.room_name else ()
        found: dict[str, tuple[str, ...]] = {"RoomType": self.room_types, "Codec": self.codecs, "RoomName": names}
        return {key: values for key, values in found.items() if values}


class Project(Strict):
    """One account or subaccount, by an API key or by its auth token.

    `longest` is how long a call may last and still be judged whole: whoever left is told of when the room has ended.
    `failure_basis` says which of a row's two words decides; `classes` files an ending elsewhere, by code or end_reason.
    """

    name: Name
    account_sid: Annotated[str, AfterValidator(_account_sid)] | None = None
    auth_token: Secret | None = None
    api_key: Annotated[str, AfterValidator(_key_sid)] | None = None
    api_secret: Secret | None = None
    longest: Annotated[Duration, Field(ge=10 * MINUTE, le=15 * HOUR)] = 2 * HOUR
    failure_basis: Basis = "either"
    classes: Mapping[Annotated[str, AfterValidator(_ending)], Class] = Field(default_factory=dict)
    only: Only = Only()
    expected: Expected = Expected()

    def credential(self) -> tuple[str, Secret]:
        """User and password of HTTP Basic; `check` has seen to it that there is one pair."""
        user, password = (self.api_key, self.api_secret) if self.api_key else (self.account_sid, self.auth_token)
        assert user is not None
        assert password is not None
        return user, password


class Quotas(Strict):
    """Requests a second for each (sub)account."""

    per_second: Annotated[int, Field(ge=1, le=1_000)] = 10


def _some(projects: tuple[Project, ...]) -> tuple[Project, ...]:
    if not 0 < len(projects) <= MAX_PROJECTS:
        raise ValueError(f"lists {len(projects)}; list 1 to {MAX_PROJECTS} of them")
    return projects


class TwilioAccount(Account):
    """Twilio (sub)accounts that are looked at together, one after the other.

    `delay` is how long after a room's end the vendor may take (section 5: up to 30 minutes, mostly 10), `every` the
    distance of two looks. `margin` is what each quota is kept short of.
    """

    provider: Literal["twilio"]
    projects: Annotated[tuple[Project, ...], AfterValidator(_some)]
    quotas: Quotas = Quotas()
    margin: Annotated[int, Field(ge=0, le=999)] = 1
    delay: Annotated[Duration, Field(ge=10 * MINUTE, le=HOUR)] = 30 * MINUTE
    every: Annotated[Duration, Field(ge=30, le=HOUR)] = MINUTE
    base_url: Address = HOST


def check(account: TwilioAccount, needed: Set[str]) -> tuple[Fault, ...]:
    """What cannot work although each field reads well."""
    return tuple(_projects(account))


def _projects(account: TwilioAccount) -> Iterator[Fault]:
    seen: dict[tuple[str, str], int] = {}
    for index, project in enumerate(account.projects):
        loc = ("projects", index)
        for what in ("name", "account_sid", "api_key"):
            value = getattr(project, what)
            if value is not None and seen.setdefault((what, value), index) != index:
                yield Fault((*loc, what), f"{what} {value} is used twice", "give each project its own")
        pairs = (project.account_sid, project.auth_token), (project.api_key, project.api_secret)
        whole = sum(None not in pair for pair in pairs)
        if whole != 1 or any(pair.count(None) == 1 for pair in pairs):
            yield Fault(
                loc,
                f"project {project.name} needs either `api_key` and `api_secret` or `account_sid` and `auth_token`",
                "write one of the two pairs",
            )
