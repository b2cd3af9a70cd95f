"""Requests to Twilio for one project: signed, spent, paged, bounded (dossier sections 1, 3, 4, 6, 7).

Every page is a spend, recorded before it leaves (design, invariant 1). The first of a look is recorded before the look
begins; where the budget refuses a further one the list is `cut`, which is no failure: what was read counts, the rest
waits for the next look.

A link to the next page comes from the vendor's body, and the credential goes with it. So only what it asks for is taken
from it, and only where it is of the same list at the same origin, or at the vendor's own where requests go through a
gateway; anything else ends the list, counted, as do pages that go in a circle.
A list that did not end by itself says so (`whole`): nothing is concluded from what is not in it.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urljoin

import httpx

from watcher.clock import real_monotonic
from watcher.errors import ProviderError, Reason
from watcher.model import Purse
from watcher.providers import http
from watcher.providers.exchange import exchange
from watcher.providers.http import Reply
from watcher.providers.twilio.refusals import is_missing, refused
from watcher.providers.twilio.rows import Oddity, Row, Tally
from watcher.providers.twilio.settings import HOST, Project
from watcher.providers.vendortime import VendorTime

ROOMS = "/v1/Video/Rooms"
PAGE_SIZE = 1000
MAX_PAGES = 100  # of one list
LONGEST = 20.0  # real seconds of a look after which the rest of it waits for the next one
_LINK = 4_000  # characters

Parameters = Mapping[str, str | Sequence[str]]


@dataclass(frozen=True, slots=True)
class Listed:
    """The rows of a list. `whole`: it ended by itself. `missing`: there is no such room (any more, or yet).

    `cut`: the budget or the time of the look was spent before the end.
    """

    rows: tuple[Row, ...] = ()
    whole: bool = True
    missing: bool = False
    cut: bool = False


class Client:
    """The requests of one project. Connections are the account's."""

    def __init__(
        self,
        *,
        project: Project,
        base_url: str,
        vendor_time: VendorTime,
        connections: httpx.AsyncClient,
        longest: float = LONGEST,
    ) -> None:
        """`longest`: real seconds of a look; without end where time is virtual, and real time says nothing."""
        self.longest = longest
        self.only = project.only.parameters()
        self._project = project
        self._base_url = base_url
        self._vendor_time = vendor_time
        self._http = connections

    def talk(self, purse: Purse, tally: Tally) -> Talk:
        """The requests of one look, of which the first is spent already."""
        return Talk(client=self, purse=purse, tally=tally)

    def address(self, path: str, parameters: Parameters | None = None) -> httpx.URL:
        return httpx.URL(self._base_url + path).copy_merge_params(parameters or {})

    async def get(self, url: httpx.URL, purse: Purse) -> Reply:
        """One spend."""
        user, password = self._project.credential()
        request = self._http.build_request("GET", url, headers={"authorization": _basic(user, password.reveal())})
        return await exchange(self._http, request, purse=purse, vendor_time=self._vendor_time)

    def follow(self, url: httpx.URL, path: str, following: str) -> httpx.URL | None:
        """The next page of the list at `url`; None where its link leads away from that."""
        try:
            there = httpx.URL(urljoin(str(url), following[:_LINK]))
        except (httpx.InvalidURL, ValueError):
            return None
        places = {_place(url), _place(httpx.URL(HOST + path))}
        return url.copy_with(query=there.query) if _place(there) in places else None

    def scrub(self, text: str) -> str:
        """Vendor text without what we sent in secret: a gateway may echo a request."""
        user, password = self._project.credential()
        secret = password.reveal()
        for hidden in (secret, _basic(user, secret).removeprefix("Basic ")):
            text = text.replace(hidden, "***")
        return text


class Talk:
    """One look's requests, one after the other."""

    def __init__(self, *, client: Client, purse: Purse, tally: Tally) -> None:
        self.tally = tally
        self._client = client
        self._purse = purse
        self._paid = True
        self._broke = False
        self._until = real_monotonic() + client.longest

    async def rooms(self, created_after: str, created_before: str, *, name: str = "") -> Listed:
        """Every room that began in [after, before); of one name, whatever its type. Raises `ProviderError`."""
        created = {"CreatedAfter": created_after, "CreatedBefore": created_before}
        wanted = {"RoomName": name} if name else self._client.only
        listed = await self._list(ROOMS, "rooms", {**wanted, **created})
        if listed.missing:
            raise ProviderError(Reason.REQUEST, "HTTP 404: no list of rooms there; is the address right?")
        return listed

    async def participants(self, room: str) -> Listed:
        """Everybody who was in a room. Raises `ProviderError`."""
        return await self._list(f"{ROOMS}/{room}/Participants", "participants", {})

    async def room(self, room: str) -> Listed:
        """One room by its SID, as a list of one. Raises `ProviderError`."""
        return await self._one(f"{ROOMS}/{room}")

    async def participant(self, room: str, participant: str) -> Listed:
        """One of those who were in a room, by SID, as a list of one. Raises `ProviderError`."""
        return await self._one(f"{ROOMS}/{room}/Participants/{participant}")

    async def give_back(self) -> None:
        """Nothing was asked: the spend that this began with is taken back."""
        if self._paid:
            await self._purse.refund()
            self._paid = False

    async def _one(self, path: str) -> Listed:
        reply = await self._get(self._client.address(path))
        if reply is None:
            return Listed(whole=False, cut=True)
        if is_missing(reply):
            return Listed(whole=False, missing=True)
        if (error := refused(reply, self._client.scrub)) is not None:
            raise error
        body = http.decode(reply)
        if not isinstance(body, dict):
            raise ProviderError(Reason.MALFORMED, "an answer of an unknown shape", vendor_time=reply.date)
        return Listed((body,))

    async def _list(self, path: str, key: str, parameters: Parameters) -> Listed:
        url = self._client.address(path, {**parameters, "PageSize": str(PAGE_SIZE)})
        seen = {str(url)}
        rows: list[Row] = []
        for _ in range(MAX_PAGES):
            reply = await self._get(url)
            if reply is None:
                return Listed(tuple(rows), whole=False, cut=True)
            if is_missing(reply):
                return Listed(tuple(rows), whole=False, missing=True)
            if (error := refused(reply, self._client.scrub)) is not None:
                raise error
            page, following = self._page(http.decode(reply), key, reply)
            if page is None:
                return Listed(tuple(rows), whole=False)
            rows += page
            if following is None:
                return Listed(tuple(rows))
            found = self._client.follow(url, path, following)
            if found is None or str(found) in seen:
                self.tally[Oddity.FOREIGN_LINK if found is None else Oddity.LOOP] += 1
                return Listed(tuple(rows), whole=False)
            seen.add(str(found))
            url = found
        self.tally[Oddity.OVERFLOW] += 1
        return Listed(tuple(rows), whole=False)

    async def _get(self, url: httpx.URL) -> Reply | None:
        """None where no further request may leave now."""
        if self._broke or real_monotonic() > self._until:
            return None
        if self._paid:
            self._paid = False
        elif not await self._purse.spend():
            self._broke = True
            return None
        return await self._client.get(url, self._purse)

    def _page(self, body: object, key: str, reply: Reply) -> tuple[list[Row] | None, str | None]:
        """The rows of a page, None where it has no list; and the link to the next one."""
        if not isinstance(body, dict):
            raise ProviderError(Reason.MALFORMED, "an answer of an unknown shape", vendor_time=reply.date)
        meta = body.get("meta")
        if not isinstance(meta, dict):
            self.tally[Oddity.NO_META] += 1
            meta = {}
        items = body.get(key)
        if not isinstance(items, list):
            self.tally[Oddity.NO_LIST] += 1
            return None, None
        rows: list[Row] = [item for item in items if isinstance(item, dict)]
        self.tally[Oddity.MISTYPED] += len(items) - len(rows)
        following = meta.get("next_page_url")
        if following is not None and not isinstance(following, str):
            self.tally[Oddity.MISTYPED] += 1
            following = None
        return rows, following or None


def _place(url: httpx.URL) -> tuple[str, bytes, bytes, str]:
    """Where an address leads, whatever it asks for there."""
    return url.scheme, url.netloc, url.userinfo, url.path


def _basic(user: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def iso(at: float) -> str:
    """Whole seconds in UTC, as the vendor's own library writes them."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
