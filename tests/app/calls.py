"""A vendor of running calls for tests of the daemon: one of 1,000 users, and quotas that it counts and enforces itself.

Only what a sample needs, with plain numbers: losses are a function of time. It keeps to the plan's limits strictly, in
the order in which the vendor's documents list them, and counts whatever arrives, refused or not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx

from tests.providers.doubles import answer
from watcher.clock import DAY, Clock

EVERY = 20  # seconds between two values of a stream
LARGE = 1000  # users of the largest call


class CallVendor:
    """Answers `/beta/analytics/call/…` for one account."""

    def __init__(self, clock: Clock, *, loss: Callable[[int], float], per_second: int = 3, per_day: int = 2000) -> None:
        """`loss`: percent at an instant (Unix seconds)."""
        self._clock = clock
        self._loss = loss
        self._per_second, self._per_day = per_second, per_day
        self.seconds: Counter[int] = Counter()
        self.days: Counter[int] = Counter()
        self.paths: Counter[str] = Counter()
        self.refused: list[str] = []
        self.calls = {"large": LARGE, "small": 12, "tiny": 3}
        self._began = int(clock.now()) - 3 * 3600

    def answer(self, request: httpx.Request) -> httpx.Response:
        """One request, counted; a refusal is HTTP 200 with code 300."""
        now = self._clock.now()
        self.seconds[int(now)] += 1
        self.days[int(now // DAY)] += 1
        name = request.url.path.rpartition("/")[2]
        self.paths[name] += 1
        start, end = (int(request.url.params[key]) for key in ("start_ts", "end_ts"))
        delay, longest = (20, 16 * 3600) if name == "lists" else (150, 3 * 3600)
        refusal = (
            "qps limit error" if self.seconds[int(now)] >= self._per_second
            else "qpd limit error" if self.days[int(now // DAY)] >= self._per_day
            else "query latency limit error" if not end < now - delay
            else "query time length limit error" if not end - start < longest
            else ""
        )  # fmt: skip
        if refusal:
            self.refused.append(refusal)
            body: dict[str, Any] = {"code": 300, "message": refusal, "data": None}
        else:
            body = {"code": 200, "message": "", **getattr(self, f"_{name}")(request.url.params, start, end)}
        return answer(body, at=now)

    def _lists(self, params: httpx.QueryParams, start: int, end: int) -> dict[str, Any]:
        rows = [
            {"call_id": name, "cname": f"room-{name}", "created_ts": self._began, "finished": False, "call_pcu": users}
            for name, users in self.calls.items()
        ]
        return {"total_size": len(rows), "has_more": False, "call_lists": rows}

    def _sessions(self, params: httpx.QueryParams, start: int, end: int) -> dict[str, Any]:
        call, users = params["call_id"], self.calls[params["call_id"]]
        first = (int(params["page_no"]) - 1) * 100
        rows = [
            {"sid": f"{call}-{n}", "uid": 2**31 + n, "platform": "Android", "join_ts": self._began, "finished": False}
            for n in range(first, min(first + 100, users))
        ]
        return {"total_size": users, "call_info": rows}

    def _metrics(self, params: httpx.QueryParams, start: int, end: int) -> dict[str, Any]:
        pairs = [[at, self._loss(at)] for at in range(-(-start // EVERY) * EVERY, end, EVERY)]
        data = [{"mid": 20018, "peer_uid": peer, "kvs": pairs} for peer in (1, 2)]
        return {"metrics": [{"sid": sid, "data": data} for sid in params["sids"].split(",")]}


class Both(httpx.AsyncBaseTransport):
    """Calls to one double, everything else to another; when each real-time query was asked is kept."""

    def __init__(self, calls: CallVendor, others: httpx.AsyncBaseTransport, clock: Clock) -> None:
        self._calls, self._others, self._clock = calls, others, clock
        self.asked: dict[tuple[str, ...], list[float]] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.startswith("/beta/analytics/call/"):
            return self._calls.answer(request)
        key = tuple(request.url.params.get(name, "") for name in ("metric", "productType"))
        self.asked.setdefault(key, []).append(self._clock.now())
        return await self._others.handle_async_request(request)
