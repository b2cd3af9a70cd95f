"""One request to Agora: authentication, the second domain, and what purse and clock are told (dossier section 2).

Every request is a spend. The first of a look is recorded before the look begins; a second one goes out only if the
purse grants it, and a spend is handed back only where the edge proves that nothing left (design, invariant 1). What
the second domain is worth is decided in `domains`; cancellation at any point leaves spent what may have been sent.

One `Exchange` serves all three families of an account: they share its credential, hosts and connections.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping

import httpx
import msgspec

from watcher.errors import ProviderError
from watcher.log import get
from watcher.model import Purse
from watcher.providers import http
from watcher.providers.agora.domains import Domains
from watcher.providers.agora.refusals import contents, gateway_refusal, success
from watcher.providers.exchange import exchange
from watcher.providers.http import Reply
from watcher.providers.vendortime import VendorTime
from watcher.secret import Secret

Params = Mapping[str, str]


class Exchange:
    """The requests of one account. `aclose` it."""

    def __init__(
        self,
        *,
        account: str,
        customer_id: Secret,
        customer_secret: Secret,
        domains: Domains,
        vendor_time: VendorTime,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._log = get("agora").bind(account=account)
        self._id = customer_id
        self._secret = customer_secret
        self._domains = domains
        self._vendor_time = vendor_time
        self._http = http.open_client(transport=transport)

    async def aclose(self) -> None:
        await self._http.aclose()

    async def get(self, path: str, params: Params, purse: Purse) -> object:
        """The `data` of a successful answer. Raises `ProviderError`."""
        return contents(await self.reply("GET", path, params, purse), self.scrub)

    async def page(self, path: str, params: Params, key: str, purse: Purse) -> dict[str, object]:
        """The body of a successful answer with its rows under `key`. Raises `ProviderError`."""
        return success(await self.reply("GET", path, params, purse), self.scrub, key)

    async def post(self, path: str, params: Params, body: Mapping[str, object], purse: Purse) -> object:
        """The `data` of the answer to a JSON body. Raises `ProviderError`."""
        reply = await self.reply("POST", path, params, purse, body=msgspec.json.encode(body))
        return contents(reply, self.scrub)

    async def reply(
        self,
        method: str,
        path: str,
        params: Params,
        purse: Purse,
        *,
        body: bytes | None = None,
        limit_bytes: int = http.BODY_LIMIT,
    ) -> Reply:
        """The reply to one request, from a second domain where the first cannot be reached and the purse grants it."""
        try:
            return await self._request(method, path, params, body, limit_bytes, purse)
        except ProviderError as error:
            if not error.elsewhere or not self._domains.failed(error):
                raise
            self._log.warning("domain_switched", reason=error.reason, detail=error.detail)
            if not await purse.spend():
                raise
        try:
            return await self._request(method, path, params, body, limit_bytes, purse)
        except ProviderError as error:
            if error.elsewhere:
                self._domains.failed(error)
            raise

    def scrub(self, text: str) -> str:
        """Vendor text without what we sent in secret: a gateway may echo a request."""
        for secret in (self._authorization().removeprefix("Basic "), self._secret.reveal(), self._id.reveal()):
            text = text.replace(secret, "***")
        return text

    async def _request(
        self, method: str, path: str, params: Params, body: bytes | None, limit_bytes: int, purse: Purse
    ) -> Reply:
        """One spend: ask the current domain, and tell purse and clock what came of it."""
        headers = {"authorization": self._authorization()} | ({"content-type": "application/json"} if body else {})
        request = self._http.build_request(
            method, self._domains.current + path, params=dict(params), headers=headers, content=body
        )
        reply = await exchange(self._http, request, purse=purse, vendor_time=self._vendor_time, limit_bytes=limit_bytes)
        if reply.status < 500:
            self._domains.worked()
        if reply.status >= 500:
            raise gateway_refusal(reply, self.scrub)  # another domain may answer
        return reply

    def _authorization(self) -> str:
        pair = f"{self._id.reveal()}:{self._secret.reveal()}"
        return "Basic " + base64.b64encode(pair.encode()).decode()
