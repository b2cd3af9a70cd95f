"""`/hooks/vonage/<token>`: where Vonage posts its session-monitoring events (dossier, section 6.4).

What is decided here is HTTP alone: how much may come in, how fast, and which status the vendor gets to see. It retries
whatever is not 2xx, and its older text switches a hook off after fifty failures in half an hour, so an event that is of
no use is thanked for like any other; only who cannot be the vendor is refused. The token is the address's secret: an
unknown one is a page that does not exist.
"""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from watcher.clock import real_deadline
from watcher.providers.provider import Heard

MAX_BODY = 64 * 1024
WITHIN = 5.0  # real seconds for a body to arrive

Hear = Callable[[str, str | None, bytes], Heard | None]
"""Token, `Authorization`, body -> what became of it; None for a token that is nobody's."""

_STATUS = {Heard.TAKEN: 204, Heard.IGNORED: 204, Heard.MALFORMED: 400, Heard.FORGED: 401, None: 404}


def routes(hear: Hear) -> list[BaseRoute]:
    """The hook's route."""

    async def post(request: Request) -> Response:
        body = bytearray()
        with real_deadline(WITHIN) as deadline:
            try:
                async for chunk in request.stream():
                    body += chunk
                    if len(body) > MAX_BODY:
                        return Response(status_code=413)
            except ClientDisconnect:
                return Response(status_code=400)
        if deadline.cancelled_caught:
            return Response(status_code=408)
        token = request.path_params["token"]
        return Response(status_code=_STATUS[hear(token, request.headers.get("authorization"), bytes(body))])

    return [Route("/hooks/vonage/{token}", post, methods=["POST"])]
