"""A look at Agora over a fake wire: what is asked, spent, learned and answered."""

from __future__ import annotations

import base64
import contextlib
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import anyio
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.providers.doubles import APP, CUSTOMER, SECRET, TOKEN, FakePurse, HandClock, Vendor, account, answer
from watcher.errors import ProviderError, Reason
from watcher.model import Answer, Query, Source, Span
from watcher.providers.agora.client import Place
from watcher.providers.agora.payload import Group
from watcher.providers.agora.source import AgoraSource, open_source
from watcher.providers.agora.values import Oddity
from watcher.secret import Secret

T = 1_767_225_600
ALL = frozenset({"users", "channels", "video_freeze_ratio", "audio_freeze_ratio", "network_delay_ratio"}) | {
    "join_success_ratio",
    "join_success_5s_ratio",
}
A, B = "api.agora.io", "api.sd-rtn.com"
NATIVE = Place(app_id=APP, product="Native")
FREEZE = "acme/classroom/Native/video_freeze_ratio"


def source(vendor: Vendor, clock: HandClock, **changes: object) -> AgoraSource:
    """An open source at a fake vendor."""
    return open_source(account(**changes), ALL, clock=clock, transport=vendor.transport())


def query(source: Source, id_: str = FREEZE) -> Query:
    """A query of a source by its id."""
    return next(q for q in source.queries if q.id == id_)


def asked(vendor: Vendor, number: int = -1) -> Span:
    """The span of a request."""
    params = vendor.requests[number].url.params
    return Span(int(params["startTs"]), int(params["endTs"]))


def ok(body: object = None, at: float | None = T) -> Callable[[httpx.Request], httpx.Response]:
    """A vendor that answers with these rows."""
    return lambda request: answer({"code": 200, "message": None, "data": body}, at=at)


async def refusal(source: Source, purse: FakePurse, covered: int | None = None, id_: str = FREEZE) -> ProviderError:
    """The error of a look; nothing of it shows a secret."""
    with pytest.raises(ProviderError) as caught:
        await source.look(query(source, id_), covered, purse)
    shown = repr(caught.value) + "".join(traceback.format_exception(caught.value, chain=True))
    assert not [secret for secret in (SECRET, CUSTOMER, TOKEN, APP) if secret in shown]
    return caught.value


async def test_a_look_from_query_to_answer() -> None:
    """Rows of the span asked become points; the newest two slots are not settled."""
    clock = HandClock(T)
    vendor = Vendor(ok([{"videoFreezeRate": 0.25, "ts": T - 80}, {"videoFreezeRate": 0, "ts": T - 100}], at=T))
    agora = source(vendor, clock)
    await agora.look(query(agora), None, FakePurse())
    purse = FakePurse()
    found = await agora.look(query(agora), T - 120, purse)
    assert asked(vendor) == found.asked == Span(T - 160, T - 60)
    assert found.settled == T - 100
    (points,) = found.points
    assert (points.series, points.width, points.weight) == (query(agora).series[0], 20, None)
    assert points.start.tolist() == [T - 100, T - 80]
    assert points.value.tolist() == [0.0, 0.25]
    assert found.oddities == {"unsorted": 1}
    assert (found.lost, found.received_at, purse.spent, purse.heard) == (None, T, 1, [T])
    await agora.aclose()


async def test_an_empty_answer_has_no_points_and_says_what_was_asked() -> None:
    """Nothing from the vendor is no data for the span that was asked, not an error."""
    agora = source(Vendor(ok()), HandClock(T))
    found = await agora.look(query(agora), T - 200, FakePurse())
    assert (found.points, found.oddities) == ((), {})
    assert found.asked.start == T - 240
    with pytest.raises(KeyError):
        await agora.look(Query(**{**as_dict(query(agora)), "id": "acme/none"}), None, FakePurse())


def as_dict(query: Query) -> dict[str, Any]:
    """The fields of a query."""
    return {name: getattr(query, name) for name in Query.__slots__}


async def test_what_is_lost_is_recorded() -> None:
    """Covered long ago: the answer names the windows that the vendor no longer has."""
    agora = source(Vendor(ok()), HandClock(T))
    found = await agora.look(query(agora), T - 7200, FakePurse())
    assert found.lost == Span(T - 7200, found.asked.start)
    assert T - 2400 < found.asked.start <= T - 2340


async def test_requests_have_the_documented_shape() -> None:
    """Path, parameters, headers and authentication of each of the seven metrics, project-wide and of a channel."""
    project = {"name": "classroom", "app_id": APP, "products": ("Native",), "channels": ("a b&c=1",)}
    vendor = Vendor(ok())
    agora = source(vendor, HandClock(T), projects=(project,))
    for each in agora.queries:
        await agora.look(each, None, FakePurse())
    sent = [(r.url.path, r.url.params["metric"], r.url.params.get("cname")) for r in vendor.requests]
    quality = ["videoFreezeRate", "audioFreezeRate", "networkDelay", "joinSuccessRate", "joinSuccessIn5sRate"]
    usage, other = "/beta/realtime/usage/by_time_20sec", "/beta/realtime/quality/by_time_20sec"
    assert sent == [
        (usage, "userCount", None),
        (usage, "channelCount", None),
        *((other, metric, None) for metric in quality),
        (usage, "userCount", "a b&c=1"),
        *((other, metric, "a b&c=1") for metric in quality),
    ]
    request = vendor.requests[0]
    assert request.method == "GET"
    assert set(request.url.params) == {"startTs", "endTs", "appid", "productType", "metric"}
    assert (request.url.params["appid"], request.url.params["productType"]) == (APP, "Native")
    assert request.headers["authorization"] == f"Basic {TOKEN}"
    assert base64.b64decode(TOKEN).decode() == f"{CUSTOMER}:{SECRET}"
    assert request.headers["accept"] == "application/json"
    assert vendor.hosts == [A] * 13


async def test_users_of_a_channel() -> None:
    """`uids` go only with a channel, at most ten, on a quality signal."""
    values = [{"ts": T, "networkDelay": 0.389}]
    vendor = Vendor(ok([{"uid": 2963430861, "values": values}, {"uid": 5, "values": values}]))
    agora = source(vendor, HandClock(T))
    room = Place(app_id=APP, product="Native", channel="demo")
    span = Span(T, T + 20)
    columns, tally = await agora.client.by_uid(room, "network_delay_ratio", span, [2963430861, 2303692334], FakePurse())
    assert vendor.requests[0].url.params["uids"] == "2963430861,2303692334"
    assert vendor.requests[0].url.params["cname"] == "demo"
    assert {uid: column.value.tolist() for uid, column in columns.items()} == {2963430861: [0.389]}
    assert tally == {Oddity.UNASKED: 1}
    for place, signal, uids in (
        (NATIVE, "network_delay_ratio", [1]),
        (room, "users", [1]),
        (room, "network_delay_ratio", []),
        (room, "network_delay_ratio", list(range(11))),
    ):
        with pytest.raises(ValueError, match="uids need"):
            await agora.client.by_uid(place, signal, span, uids, FakePurse())
    assert len(vendor.requests) == 1


async def test_groups_of_a_dimension() -> None:
    """Each name in double quotes, which are percent-encoded; not for channels."""
    vendor = Vendor(ok([{"userCount": 236, "sdk": "3.6.1.1", "ts": T}]))
    agora = source(vendor, HandClock(T))
    span = Span(T, T + 20)
    columns, _ = await agora.client.by_group(NATIVE, "users", span, "sdk", ["3.6.1.1", "4.1.1"], FakePurse())
    assert columns["3.6.1.1"].value.tolist() == [236.0]
    assert b"dimensionValues=%223.6.1.1%22%2C%224.1.1%22" in vendor.requests[0].url.query
    assert vendor.requests[0].url.params["dimension"] == "sdk"
    for signal, names in (("channels", ["a"]), ("users", []), ("users", ['a"b']), ("users", ["a"] * 51)):
        with pytest.raises(ValueError, match="groups need"):
            await agora.client.by_group(NATIVE, signal, span, "sdk", names, FakePurse())


async def test_top_groups() -> None:
    """Both top20 calls; a rate comes with the users behind it, and the worst is first for either direction."""
    rows = [{"joinSuccessRate": rate, "device": name, "userCount": 2} for rate, name in ((1, "x"), (0.5, "y"))]
    vendor = Vendor(ok({"list": rows}))
    agora = source(vendor, HandClock(T))
    groups, _ = await agora.client.top(NATIVE, "join_success_ratio", T, "device", FakePurse())
    assert groups == (Group("y", 0.5, 2.0), Group("x", 1.0, 2.0))
    await agora.client.top(NATIVE, "users", T, "net", FakePurse())
    first, second = vendor.requests
    assert first.url.path == "/beta/realtime/quality/dimension/top20"
    assert dict(first.url.params) == {
        "appid": APP,
        "productType": "Native",
        "ts": str(T),
        "metric": "joinSuccessRate",
        "dimension": "device",
        "extraMetrics": "userCount",
    }
    assert second.url.path == "/beta/realtime/usage/dimension/top20"
    assert "extraMetrics" not in second.url.params
    for place, signal, slot in (
        (NATIVE, "channels", T),
        (NATIVE, "users", T + 10),
        (Place(app_id=APP, product="Native", channel="c"), "users", T),
    ):
        with pytest.raises(ValueError, match="top groups need"):
            await agora.client.top(place, signal, slot, "net", FakePurse())


# ── what refusals teach ──────────────────────────────────────────────────────────────────────────────────────────────


def refuse(message: str, at: float | None) -> Callable[[httpx.Request], httpx.Response]:
    """A vendor that refuses."""
    return lambda request: answer({"code": 300, "message": message, "data": None}, at=at)


@pytest.mark.parametrize("skew", [-3600, -600, -10, 4, 90, 3600])
async def test_a_wrong_clock_costs_one_refusal_at_most(skew: int) -> None:
    """The first answer's date, refusal or not, puts the next look right; nothing is learned about the plan."""
    clock = HandClock(T)
    clock.step(skew)  # ours is off, the vendor's is right
    true = -float(skew)

    def strict(request: httpx.Request) -> httpx.Response:
        now = clock.now() + true
        start, end = (int(request.url.params[key]) for key in ("startTs", "endTs"))
        if not start > now - 2400:
            return refuse("query time range limit error", now)(request)
        if not end < now - 40:
            return refuse("query latency limit error", now)(request)
        return ok(at=now)(request)

    vendor = Vendor(strict)
    agora = source(vendor, clock)
    purse = FakePurse()
    if -10 <= skew <= 4:  # what the first guess allows for
        await agora.look(query(agora), None, purse)
    else:
        assert (await refusal(agora, purse)).reason is (Reason.TOO_FRESH if skew > 0 else Reason.TOO_OLD)
    clock.advance(10)
    found = await agora.look(query(agora), None, purse)
    assert found.asked == Span(T - 2360, T - 40)


async def test_a_vendor_further_behind_than_its_plan_is_learned() -> None:
    """Too fresh although our time is right: one slot later each time, and no window is lost by it."""
    clock = HandClock(T)
    vendor = Vendor(ok())
    agora = source(vendor, clock)
    await agora.look(query(agora), None, FakePurse())
    before = asked(vendor)
    vendor.respond = refuse("query latency limit error", T)
    assert (await refusal(agora, FakePurse(), before.end)).reason is Reason.TOO_FRESH
    assert (await refusal(agora, FakePurse(), before.end)).reason is Reason.TOO_FRESH
    vendor.respond = ok()
    found = await agora.look(query(agora), before.end - 400, FakePurse())
    assert found.asked == Span(before.end - 440, T - 60 - 40)
    assert found.lost is None


async def test_a_vendor_that_keeps_less_than_its_plan_is_learned() -> None:
    """Too old although our time is right: one slot less far back, and what that costs is recorded as lost."""
    clock = HandClock(T)
    vendor = Vendor(ok())
    agora = source(vendor, clock)
    await agora.look(query(agora), None, FakePurse())
    oldest = asked(vendor).start + 20  # the first look was careful about the time; now it is known
    vendor.respond = refuse("query time range limit error", T)
    assert (await refusal(agora, FakePurse(), T - 7200)).reason is Reason.TOO_OLD
    vendor.respond = ok()
    found = await agora.look(query(agora), T - 7200, FakePurse())
    assert found.asked.start >= oldest
    assert found.asked.start - asked(vendor, 1).start == 20
    assert found.lost == Span(T - 7200, found.asked.start)


async def test_a_too_long_request_is_halved_and_goes_on_where_it_was() -> None:
    """Splitting loses nothing: the next looks take one part after the other."""
    vendor = Vendor(refuse("query duration limit error", T))
    agora = source(vendor, HandClock(T))
    covered = T - 2000
    assert (await refusal(agora, FakePurse(), covered)).reason is Reason.TOO_LONG
    vendor.respond = ok()
    looks = 0
    while covered < T - 100:
        found = await agora.look(query(agora), covered, FakePurse())
        assert found.asked.start == covered - 40
        assert found.asked.end - found.asked.start <= 1000
        assert found.lost is None
        covered, looks = found.asked.end, looks + 1
    assert looks == 3


@pytest.mark.parametrize(
    ("message", "reason"),
    [("qpd limit error", Reason.DAY_QUOTA), ("qps limit error", Reason.RATE), ("no auth", Reason.PLAN)],
)
async def test_refusals_of_quota_and_plan_teach_nothing_and_go_nowhere_else(message: str, reason: Reason) -> None:
    """One request, one spend, heard, and the same span is asked next time."""
    vendor = Vendor(refuse(message, T))
    agora = source(vendor, HandClock(T))
    purse = FakePurse()
    for _ in range(2):
        assert (await refusal(agora, purse, T - 500)).reason is reason
    assert (purse.spent, purse.refunds, purse.heard, vendor.hosts) == (1, 0, [T, T], [A, A])
    assert asked(vendor, 1).start == T - 540


# ── the second domain ────────────────────────────────────────────────────────────────────────────────────────────────


def connect_error(request: httpx.Request) -> httpx.Response:
    """No connection."""
    raise httpx.ConnectError("All connection attempts failed", request=request)


def connect_timeout(request: httpx.Request) -> httpx.Response:
    """No connection in time."""
    raise httpx.ConnectTimeout("", request=request)


def reset(request: httpx.Request) -> httpx.Response:
    """A connection that broke once the request was on its way."""
    raise httpx.ReadError("", request=request)


def slow(request: httpx.Request) -> httpx.Response:
    """No answer in time."""
    raise httpx.ReadTimeout("", request=request)


def broken(request: httpx.Request) -> httpx.Response:
    """A failing server."""
    return answer(b"<html>", status=502, at=T)


def unauthorized(request: httpx.Request) -> httpx.Response:
    """Credentials refused."""
    return answer({"message": f"Invalid authentication credentials {SECRET} {TOKEN}"}, status=401, at=T)


Outcome = Callable[[httpx.Request], httpx.Response]
good = ok()
OUTCOMES: Mapping[str, Outcome] = {
    "good": good,
    "connect": connect_error,
    "connect-timeout": connect_timeout,
    "reset": reset,
    "slow": slow,
    "502": broken,
    "401": unauthorized,
}
UNSENT = {"connect", "connect-timeout"}
ELSEWHERE = UNSENT | {"reset", "slow", "502"}


def scripted(outcomes: Sequence[str]) -> Vendor:
    """A vendor whose n-th request ends as told, the last outcome repeating."""
    left = list(outcomes)

    def respond(request: httpx.Request) -> httpx.Response:
        return OUTCOMES[left.pop(0) if len(left) > 1 else left[0]](request)

    return Vendor(respond)


@pytest.mark.parametrize(
    ("script", "reason", "hosts", "spent", "refunds"),
    [
        (["good"], None, [A], 1, 0),
        (["502", "good"], None, [A, B], 2, 0),
        (["reset", "good"], None, [A, B], 2, 0),
        (["slow", "good"], None, [A, B], 2, 0),
        (["connect", "good"], None, [A, B], 2, 1),
        (["connect-timeout", "good"], None, [A, B], 2, 1),
        (["502", "502"], Reason.SERVER, [A, B], 2, 0),
        (["connect", "connect"], Reason.NETWORK, [A, B], 2, 2),
        (["502", "connect"], Reason.NETWORK, [A, B], 2, 1),
        (["connect", "401"], Reason.AUTH, [A, B], 2, 1),
        (["401"], Reason.AUTH, [A], 1, 0),
    ],
)
async def test_failover_of_one_look(
    script: list[str], reason: Reason | None, hosts: list[str], spent: int, refunds: int
) -> None:
    """At most one extra request, handed back only where nothing left."""
    vendor = scripted(script)
    agora = source(vendor, HandClock(T))
    purse = FakePurse()
    if reason is None:
        await agora.look(query(agora), None, purse)
    else:
        assert (await refusal(agora, purse)).reason is reason
    assert (vendor.hosts, purse.spent, purse.refunds) == (hosts, spent, refunds)


async def test_no_second_request_leaves_without_a_grant() -> None:
    """The budget refuses: the first error stands, and the next look begins at the other domain."""
    vendor = scripted(["502", "good"])
    agora = source(vendor, HandClock(T))
    purse = FakePurse(extra=0)
    assert (await refusal(agora, purse)).reason is Reason.SERVER
    assert (vendor.hosts, purse.spent) == ([A], 1)
    await agora.look(query(agora), None, purse)
    assert vendor.hosts == [A, B]


async def test_later_looks_start_where_something_worked_and_spend_nothing_extra_while_nothing_does() -> None:
    """Over a long outage of both domains each look costs one request; after it, failover is there again."""
    vendor = scripted(["502", "good", "good", "502", "reset", "502", "502", "502", "good", "502", "good"])
    agora = source(vendor, HandClock(T))
    spends = []
    for _ in range(8):
        purse = FakePurse()
        try:
            await agora.look(query(agora), None, purse)
        except ProviderError as error:
            spends.append((str(error.reason), purse.spent))
        else:
            spends.append(("good", purse.spent))
    assert vendor.hosts == [A, B, B, B, A, B, A, B, A, A, B]
    assert spends == [
        ("good", 2),
        ("good", 1),
        ("network", 2),
        ("server", 1),
        ("server", 1),
        ("server", 1),
        ("good", 1),
        ("good", 2),
    ]


async def test_a_single_base_url_is_never_asked_twice_in_a_look() -> None:
    """No second domain, no extra request."""
    vendor = scripted(["502"])
    agora = source(vendor, HandClock(T), base_url="http://127.0.0.1:9/agora/")
    purse = FakePurse()
    assert (await refusal(agora, purse)).reason is Reason.SERVER
    assert purse.spent == len(vendor.requests) == 1
    assert vendor.requests[0].url.path == "/agora/beta/realtime/quality/by_time_20sec"


@given(
    st.lists(st.sampled_from(sorted(OUTCOMES)), min_size=1, max_size=12),
    st.lists(st.integers(0, 1), min_size=6, max_size=6),
)
def test_every_request_has_its_spend(script: list[str], extras: list[int]) -> None:
    """Whatever fails in whatever order: as many requests as spends, refunds for the unsent, heard for the answered."""

    async def run() -> None:
        vendor = scripted(script)
        agora = source(vendor, HandClock(T))
        done = 0
        for extra in extras:
            purse = FakePurse(extra=extra)
            with contextlib.suppress(ProviderError):
                await agora.look(query(agora), None, purse)
            made = vendor.requests[done:]
            ends = [script[min(n, len(script) - 1)] for n in range(done, len(vendor.requests))]
            done = len(vendor.requests)
            assert len(made) == purse.spent <= 1 + extra
            assert purse.refunds == sum(end in UNSENT for end in ends)
            assert len(purse.heard) == sum(end in {"good", "502", "401"} for end in ends)
            assert all(end in ELSEWHERE for end in ends[:-1])
        await agora.aclose()

    anyio.run(run)


# ── cancellation and secrets ─────────────────────────────────────────────────────────────────────────────────────────


class SlowPurse(FakePurse):
    """A purse whose named step takes long, so that a look can be cancelled inside it."""

    def __init__(self, step: str) -> None:
        super().__init__()
        self._step = step
        self.steps: list[str] = []

    async def _pause(self, step: str) -> None:
        self.steps.append(step)
        if step == self._step:
            await anyio.sleep(60)

    async def spend(self) -> bool:
        granted = await super().spend()
        await self._pause("spend")
        return granted

    async def refund(self) -> None:
        await self._pause("refund")
        await super().refund()

    async def answered(self, vendor_time: float | None) -> None:
        await self._pause("answered")
        await super().answered(vendor_time)


class Stuck(httpx.AsyncBaseTransport):
    """A vendor that takes the request and never answers."""

    def __init__(self) -> None:
        self.requests = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests += 1
        await anyio.sleep(60)
        raise AssertionError("cancelled before")


async def test_cancellation_in_flight_leaves_the_spend() -> None:
    """A request that may have left stays spent, and the source works afterwards."""
    stuck = Stuck()
    agora = open_source(account(), ALL, clock=HandClock(T), transport=stuck)
    purse = FakePurse()
    with anyio.move_on_after(1) as scope:
        await agora.look(query(agora), None, purse)
    assert scope.cancelled_caught
    assert (stuck.requests, purse.spent, purse.refunds, purse.heard) == (1, 1, 0, [])


async def test_a_vendor_that_hangs_is_given_up_at_the_deadline() -> None:
    """The transport ignores timeouts; the exchange's own deadline does not: both domains, two spends."""
    stuck = Stuck()
    agora = open_source(account(), ALL, clock=HandClock(T), transport=stuck)
    purse = FakePurse()
    with anyio.fail_after(35):
        assert (await refusal(agora, purse)).reason is Reason.TIMEOUT
    assert (stuck.requests, purse.spent, purse.refunds) == (2, 2, 0)


@pytest.mark.parametrize(
    ("step", "script", "requests", "refunds"),
    [
        ("spend", ["502"], 1, 0),
        ("refund", ["connect"], 1, 0),
        ("answered", ["good"], 1, 0),
        ("answered", ["502"], 1, 0),
    ],
)
async def test_cancellation_between_the_steps_never_frees_what_left(
    step: str, script: list[str], requests: int, refunds: int
) -> None:
    """Cancelled inside the purse: no request without a spend, no refund of a request that left."""
    vendor = scripted(script)
    agora = source(vendor, HandClock(T))
    purse = SlowPurse(step)
    with anyio.move_on_after(1) as scope:
        await agora.look(query(agora), None, purse)
    assert scope.cancelled_caught
    assert purse.steps[-1] == step
    assert (len(vendor.requests), purse.refunds) == (requests, refunds)
    assert purse.spent >= len(vendor.requests)
    again: Answer | None = None
    vendor.respond = ok()
    again = await agora.look(query(agora), None, FakePurse())
    assert again.asked.end > again.asked.start


async def test_no_secret_shows_anywhere(capsys: pytest.CaptureFixture[str]) -> None:
    """Not in errors, whose text may come from a gateway that echoes us, not in reprs, not in the log."""
    vendor = scripted(["502", "401"])
    agora = source(vendor, HandClock(T))
    error = await refusal(agora, FakePurse())
    assert "***" in error.detail
    shown = repr(agora) + repr(agora.client) + repr(vars(agora.client)) + repr(vendor.requests[0].headers)
    printed = capsys.readouterr()
    assert "domain_switched" in printed.out + printed.err
    for secret in (SECRET, CUSTOMER, TOKEN):
        assert secret not in shown + printed.out + printed.err


async def test_secrets_with_line_breaks_cannot_add_headers() -> None:
    """Whatever the secret holds, the header is one line of base64."""
    vendor = Vendor(ok())
    agora = source(vendor, HandClock(T), customer_secret=Secret.of("a\r\nx-evil: 1\u00e9"))
    await agora.look(query(agora), None, FakePurse())
    assert "x-evil" not in vendor.requests[0].headers
    pair = base64.b64decode(vendor.requests[0].headers["authorization"].removeprefix("Basic "))
    assert pair.decode() == f"{CUSTOMER}:a\r\nx-evil: 1\u00e9"
