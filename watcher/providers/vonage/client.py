"""Requests to Vonage for one project: GraphQL and REST, signed, spent, bounded (dossier sections 1, 4, 6).

Every request is a spend, recorded before it leaves (design, invariant 1). The first of a look is recorded before the
look begins; `Talk` asks for each further one, and where the budget refuses it says so by `OutOfBudget`, which is no
failure: what was read so far counts, the rest waits for the next look.

What a refusal means is decided in `refusals`. Here is what is done about it on the spot: a refused token is signed anew
once; everything else goes up to whoever knows what was asked. A query that is answered in part is an answer, with the
errors counted: whoever reads it knows what is missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

import httpx
import msgspec

from watcher.clock import real_monotonic
from watcher.errors import ProviderError, Reason
from watcher.model import Purse
from watcher.providers import http
from watcher.providers.exchange import exchange
from watcher.providers.http import Reply
from watcher.providers.vendortime import VendorTime
from watcher.providers.vonage import wire
from watcher.providers.vonage.refusals import Action, Refused, of_gateway, refused, throttled
from watcher.providers.vonage.settings import Project
from watcher.providers.vonage.tokens import Tokens
from watcher.providers.vonage.wire import Body, Oddity, Tally

BODY_LIMIT = 32 * 1024 * 1024  # bytes after inflating: 50,000 nodes are about 15 MB
DEADLINE = 30.0  # real seconds for one GraphQL exchange (section 4.1)
REST_DEADLINE = 20.0
LONGEST = 20.0  # real seconds of a look after which the rest of it waits for the next one

Variables = Mapping[str, object]


class OutOfBudget(Exception):  # noqa: N818 - not an error: the look ends early
    """No further request may leave now."""


class VendorRefusal(Exception):  # noqa: N818 - reads so where it is caught
    """The vendor refused a query as a whole."""

    def __init__(self, refused: Refused, date: float | None) -> None:
        self.refused = refused
        self.date = date
        super().__init__(str(refused.code))

    @property
    def action(self) -> Action:
        return self.refused.meaning.action

    def error(self) -> ProviderError:
        return self.refused.error(self.date)


@dataclass(frozen=True, slots=True)
class Called:
    """What a REST call brought: a status that means something (200, 404, 408), and its JSON."""

    status: int
    body: object


class Client:
    """The requests of one project. Connections are the account's."""

    def __init__(
        self,
        *,
        project: Project,
        insights_url: str,
        rest_url: str,
        vendor_time: VendorTime,
        connections: httpx.AsyncClient,
        longest: float = LONGEST,
    ) -> None:
        """`longest`: real seconds of a look; without end where time is virtual, and real time says nothing."""
        self.project = project
        self.longest = longest
        self._insights_url = insights_url
        self._rest_url = rest_url
        self._vendor_time = vendor_time
        self._http = connections
        self._tokens = Tokens(project=project, vendor_now=vendor_time.earliest)

    def talk(self, purse: Purse, tally: Tally, *, paid: bool = True) -> Talk:
        """The requests of one look; `paid` says that the first is spent already."""
        return Talk(client=self, purse=purse, tally=tally, paid=paid)

    async def exchange(self, request: httpx.Request, purse: Purse, *, deadline: float) -> Reply:
        """One spend."""
        return await exchange(
            self._http,
            request,
            purse=purse,
            vendor_time=self._vendor_time,
            limit_bytes=BODY_LIMIT,
            deadline=deadline,
        )

    def graphql_request(self, query: str, variables: Variables) -> httpx.Request:
        body = msgspec.json.encode({"query": query, "variables": dict(variables)})
        headers = {"content-type": "application/json", **self._tokens.headers()}
        return self._http.build_request("POST", self._insights_url, content=body, headers=headers)

    def rest_request(self, session: str, what: str) -> httpx.Request:
        path = f"/v2/project/{quote(self.project.id, safe='')}/session/{quote(session, safe='')}/{what}"
        return self._http.build_request("GET", self._rest_url + path, headers=self._tokens.headers())

    async def feed(self, url: str) -> object:
        """The JSON of the user's own list of sessions: no spend, it is not the vendor's. Raises `ProviderError`."""
        reply = await http.fetch(self._http, self._http.build_request("GET", url), limit_bytes=2**20, deadline=5.0)
        if (error := http.status_error(reply)) is not None:
            raise error
        return http.decode(reply)

    def renew(self) -> None:
        self._tokens.renew()

    def scrub(self, text: str) -> str:
        """Vendor text without what we sent in secret: a gateway may echo a request."""
        for secret in self._tokens.secrets():
            text = text.replace(secret, "***")
        return text


class Talk:
    """One look's requests."""

    def __init__(self, *, client: Client, purse: Purse, tally: Tally, paid: bool) -> None:
        self.tally = tally
        self.partial = False
        self.requests = 0
        self._until = real_monotonic() + client.longest
        self.broke = False  # the budget refused: nothing more is asked in this look
        self._client = client
        self._purse = purse
        self._paid = paid

    async def graphql(self, query: str, variables: Variables) -> Body:
        """The answer to a query, possibly in part. Raises `VendorRefusal`, `ProviderError` or `OutOfBudget`."""
        try:
            return await self._graphql(query, variables)
        except VendorRefusal as refusal:
            if refusal.action is not Action.SIGN:
                raise
            self._client.renew()
            first = refusal.error()
        try:
            return await self._graphql(query, variables)
        except OutOfBudget:
            raise first from None

    async def rest(self, session: str, what: str) -> Called:
        """A REST call. 404 and 408 are answers; everything else but 200 raises `ProviderError`."""
        await self._spend()
        request = self._client.rest_request(session, what)
        reply = await self._client.exchange(request, self._purse, deadline=REST_DEADLINE)
        if reply.status in (404, 408):
            return Called(reply.status, None)
        self._fail_unless_ok(reply)
        return Called(reply.status, http.decode(reply))

    async def give_back(self) -> None:
        """Nothing was asked: the spend that the look began with is taken back."""
        if self._paid:
            await self._purse.refund()
            self._paid = False

    async def _spend(self) -> None:
        if self.broke or real_monotonic() > self._until:
            self.broke = True
            raise OutOfBudget
        if self._paid:
            self._paid = False
        elif not await self._purse.spend():
            self.broke = True
            raise OutOfBudget
        self.requests += 1

    async def _graphql(self, query: str, variables: Variables) -> Body:
        await self._spend()
        request = self._client.graphql_request(query, variables)
        reply = await self._client.exchange(request, self._purse, deadline=DEADLINE)
        if reply.status != 200:
            found = of_gateway(reply.body, self._client.scrub)
            if found is not None and found.code is not None:
                raise VendorRefusal(found, reply.date)
            self._fail_unless_ok(reply)
        body = wire.decode(reply, self.tally)
        if body.error is not None:
            raise VendorRefusal(refused([body.error], self._client.scrub), reply.date)
        project = body.data.project if body.data is not None else None
        useful = project is not None and (project.session_data is not None or project.project_data is not None)
        if body.errors and useful:
            told = refused(body.errors, self._client.scrub)
            if told.meaning.action is Action.PAGE:  # of some cursors, where others are first pages
                raise VendorRefusal(told, reply.date)
            self.partial = True
            self.tally[Oddity.PARTIAL] += len(body.errors)
        elif body.errors:
            raise VendorRefusal(refused(body.errors, self._client.scrub), reply.date)
        elif not useful:
            raise ProviderError(Reason.MALFORMED, "the answer has neither data nor errors", vendor_time=reply.date)
        return body

    def _fail_unless_ok(self, reply: Reply) -> None:
        status = reply.status
        if 200 <= status < 300:
            return
        found = of_gateway(reply.body, self._client.scrub)
        words = found.detail if found is not None else ""
        is_json = reply.body.lstrip()[:1] in (b"{", b"[")
        if status == 429 or (status == 403 and not is_json and not reply.body.lstrip().startswith(b"<errorPayload")):
            raise throttled(reply, f"HTTP {status}")
        if 300 <= status < 400:
            what = f"HTTP {status}: sent to a login page; is the address right?"
            raise ProviderError(Reason.AUTH, what, vendor_time=reply.date)
        error = http.status_error(reply, words)
        assert error is not None
        raise error
