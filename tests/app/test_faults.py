"""A vendor in trouble, in every way it can be: the daemon stays up, says so, and neither invents health nor loses time.

For each fault the same story: both accounts have an incident that is paged; then one vendor account fails, its incident
ends unseen, and the vendor comes back. Each case is held against a run of the same story without the fault.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from tests.app import town
from tests.app.town import ACME_HOSTS, START, Probe, Town, minutes
from watcher.alerts.blind import BLIND, BLIND_AFTER
from watcher.app.daemon import TROUBLES_EVERY
from watcher.clock import DAY, HOUR, VirtualClock
from watcher.errors import Reason
from watcher.model import State

BROKEN = minutes(40)  # after START
LOOK_BACK = {"premium": 2400, "enterprise": 3600}
DOWN = "both domains down"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One fault of the vendor. `faults` strike acme only; `lasts` and `then` are seconds: of it, and after it."""

    name: str
    reason: Reason
    faults: tuple[dict[str, Any], ...] = ()
    down: tuple[str, ...] = ()  # hosts that refuse connections
    lasts: float = minutes(30)
    then: float = minutes(40)
    plan: str = "enterprise"
    start: float = START


def _kind(name: str, kind: str, reason: Reason, *, settings: dict[str, Any] | None = None, **more: Any) -> Case:
    return Case(name=name, reason=reason, faults=({"kind": kind, **(settings or {})},), **more)


CASES = (
    _kind("wrong credentials", "http_401", Reason.AUTH),
    _kind("plan without the API", "no_auth", Reason.PLAN),
    _kind("429 from the gateway", "http_429", Reason.RATE),
    _kind("unknown path", "http_404", Reason.REQUEST),
    _kind("500", "http_500", Reason.SERVER),
    _kind("502 with HTML", "http_502", Reason.SERVER),
    _kind("500 inside 200", "code_500", Reason.SERVER),
    _kind("resets", "reset", Reason.NETWORK),
    _kind("cut off", "cut_off", Reason.NETWORK),
    _kind("timeouts", "timeout", Reason.TIMEOUT),
    _kind("HTML", "html", Reason.MALFORMED),
    _kind("truncated JSON", "truncated", Reason.MALFORMED),
    _kind("huge body", "huge", Reason.TOO_LARGE, settings={"bytes": 9_000_000}),
    _kind("qps", "qps", Reason.RATE),
    _kind("qpm", "qpm", Reason.RATE),
    _kind("qpd", "qpd", Reason.DAY_QUOTA, start=START + 10 * HOUR, lasts=minutes(80)),
    _kind("500 for two hours", "http_500", Reason.SERVER, lasts=2 * HOUR),
    _kind("500 on Premium", "http_500", Reason.SERVER, plan="premium", then=minutes(60)),
    Case(name=DOWN, reason=Reason.NETWORK, down=ACME_HOSTS),
    Case(name="both domains down for six hours", reason=Reason.NETWORK, down=ACME_HOSTS, lasts=6 * HOUR),
)


def _param(case: Case) -> Any:
    """Where a body is refused halfway, httpx leaves its own generators to the collector, and trio says so."""
    leaves = "ignore:Exception ignored in. <async_generator:pytest.PytestUnraisableExceptionWarning"
    marks = [pytest.mark.filterwarnings(leaves)] if case.reason is Reason.TOO_LARGE else []
    return pytest.param(case, id=case.name, marks=marks)


@pytest.fixture
def clock_at_start() -> VirtualClock:
    """Virtual time from noon on."""
    return VirtualClock(epoch=START, jumping=True)


@pytest.fixture(scope="session")
def undisturbed() -> dict[tuple[object, ...], list[float]]:
    """When beta's requests left in runs without a fault, once for each story."""
    return {}


def tale(case: Case, *, healthy: bool = False) -> dict[str, Any]:
    """Incidents of both accounts from 20 min before the trouble to 15 min into it."""
    incidents = [town.incident(project, BROKEN - minutes(20), 35) for project in ("classroom", "arena")]
    limits = {"from": f"+{BROKEN:.0f}s", "until": f"+{BROKEN + case.lasts:.0f}s", "where": {"account": ["acme"]}}
    faults = [] if healthy else [{**fault, **limits} for fault in case.faults]
    return town.story(plan=case.plan, incidents=incidents, faults=faults)


async def live(here: Town, case: Case, folder: Path) -> Probe:
    """The whole story of a case, with a look at the metrics before, at the end of, and after the trouble."""
    probe = Probe()
    clock = here.clock
    async with here.running(town.config(folder, plan=case.plan)) as daemon:
        await clock.sleep_until(case.start + BROKEN - 1)
        probe.before = town.scrape(daemon)
        await clock.sleep_until(case.start + BROKEN)
        here.wire.down.update(case.down)
        await clock.sleep_until(case.start + BROKEN + case.lasts - 1)
        probe.during = town.scrape(daemon)
        await clock.sleep_until(case.start + BROKEN + case.lasts)
        here.wire.down.clear()
        await clock.sleep_until(case.start + BROKEN + case.lasts + case.then)
        probe.after = town.scrape(daemon)
        probe.report = await daemon.report()
        assert not daemon.restarts
    return probe


@pytest.mark.parametrize("case", [_param(case) for case in CASES])
async def test_a_vendor_in_trouble(
    tmp_path: Path, case: Case, undisturbed: dict[tuple[object, ...], list[float]]
) -> None:
    """Up, named, paged once; nothing healthy invented, nobody else disturbed, nothing lost that could be had."""
    clock = VirtualClock(epoch=case.start, jumping=True)
    here = Town(clock=clock, folder=tmp_path, tale=tale(case), epoch=case.start)
    with capture_logs() as logs:
        probe = await live(here, case, tmp_path)
    begun, over = case.start + BROKEN, case.start + BROKEN + case.lasts
    seen_again = _first_success(here, over)
    assert_named(probe, logs, case)
    assert_operators_heard_once(here, begun, seen_again)
    assert_nothing_healthy_invented(here, begun, seen_again)
    assert_budget_kept(here)
    assert_no_window_lost_needlessly(here, case, over, seen_again)
    await assert_beta_did_not_notice(here, case, tmp_path, undisturbed)


def _first_success(here: Town, over: float) -> float:
    """The first request to acme after the trouble: it is answered."""
    return next(at for at in here.taps["acme"].left if at >= over)


def assert_named(probe: Probe, logs: list[Any], case: Case) -> None:
    """The reason is in the metric and in the log, and gone afterwards; only the account in trouble is meant."""
    assert town.blind_reasons(probe.before, "acme") == set()
    assert town.blind_reasons(probe.during, "acme") == {str(case.reason)}
    assert town.metric(probe.during, "watcher_account_up", account="acme") == 0
    assert town.metric(probe.during, "watcher_account_up", account="beta") == 1
    assert town.blind_reasons(probe.after, "acme") == set()
    assert town.metric(probe.after, "watcher_account_up", account="acme") == 1
    failed = town.metric(probe.during, "watcher_looks_total", account="acme", outcome=str(case.reason))
    answered = town.metric(probe.during, "watcher_looks_total", account="acme", outcome="ok")
    assert failed >= 1
    assert answered == town.metric(probe.before, "watcher_looks_total", account="acme", outcome="ok")
    said = [entry for entry in logs if entry["event"] == "account_not_seen"]
    assert [(entry["account"], entry["reason"]) for entry in said] == [("acme", str(case.reason))]
    assert [entry["account"] for entry in logs if entry["event"] == "account_seen_again"] == ["acme"]


def assert_operators_heard_once(here: Town, begun: float, seen_again: float) -> None:
    """One page some ten minutes in, said again every four hours, and one resolve after the first answers."""
    own = [t for t in here.transitions("acme") if t.rule == BLIND]
    assert [t.state for t in own] == [State.FIRING, State.RESOLVED]
    told = here.told("ops")
    repeats = [at for at, title in told if title.startswith("[STILL FIRING]")]
    (paged, first), (resolved, last) = [(at, title) for at, title in told if at not in repeats]
    assert [first.partition("]")[0], last.partition("]")[0]] == ["[FIRING", "[RESOLVED"]
    assert len(repeats) == int((resolved - paged) // (4 * HOUR))
    assert begun + BLIND_AFTER <= paged <= begun + 2 * BLIND_AFTER
    assert seen_again <= resolved <= seen_again + 600
    assert own[0].starts_at >= begun
    assert "acme" in own[0].annotations["summary"]


def assert_nothing_healthy_invented(here: Town, begun: float, seen_again: float) -> None:
    """What fired when sight was lost fires until the vendor has answered, and is told over only then."""
    fires = [t for t in here.transitions("acme") if t.rule == "VideoFreezing"]
    meanwhile = [t for t in fires if begun <= t.known_at < seen_again]
    assert [t for t in meanwhile if t.state is not State.FIRING] == []
    assert [t.state for t in fires if t.known_at < begun][-1] is State.FIRING
    assert fires[-1].state is State.RESOLVED
    assert fires[-1].known_at >= seen_again
    titles = [title for at, title in here.told("pager") if "classroom" in title and begun <= at < seen_again]
    assert {title.partition("]")[0] for title in titles} <= {"[STILL FIRING"}
    told = [title.partition("]")[0] for _, title in here.told("pager") if "classroom" in title]
    assert [word for word in told if word != "[STILL FIRING"] == ["[FIRING", "[RESOLVED"]


def assert_budget_kept(here: Town) -> None:
    """By the vendor's own count: nothing refused for quota, nowhere as much as the limit."""
    for account in ("acme", "beta"):
        for row in here.quotas(account):
            assert row["refused"] == 0, row
            assert row["spent"] < row["limit"], row


def assert_no_window_lost_needlessly(here: Town, case: Case, over: float, seen_again: float) -> None:
    """What the vendor still had when it came back is fetched; what it had not is a recorded gap."""
    catch_up = minutes(8 if case.plan == "premium" else 4)
    still_there = over - LOOK_BACK[case.plan] + catch_up
    slots = here.slots("acme")
    assert len(slots) == 2 * len(town.SIGNALS)
    for key, stretches in slots.items():
        missed = [(a[1], b[0]) for a, b in pairwise(stretches)]
        assert all(end <= still_there for _, end in missed), (key, missed)
        assert stretches[-1][1] >= over
    recorded = {(gap.query.split("/")[2], gap.span) for gap in here.gaps("acme")}
    assert bool(recorded) == any(len(stretches) > 1 for stretches in slots.values())
    if case.lasts < LOOK_BACK[case.plan] - minutes(20):
        assert not recorded


async def assert_beta_did_not_notice(
    here: Town, case: Case, folder: Path, undisturbed: dict[tuple[object, ...], list[float]]
) -> None:
    """Every request of the other account left at the very instant at which it leaves in a run without the fault."""
    key = (case.plan, case.start, case.lasts, case.then)
    if key not in undisturbed:
        quiet = folder / "quiet"
        quiet.mkdir()
        clock = VirtualClock(epoch=case.start, jumping=True)
        peace = Town(clock=clock, folder=quiet, tale=tale(case, healthy=True), epoch=case.start)
        await live(peace, Case(name="none", reason=case.reason, **_times(case)), quiet)
        undisturbed[key] = peace.taps["beta"].left
    assert here.taps["beta"].left == undisturbed[key]
    states = [t.state for t in here.transitions("beta") if t.rule == "VideoFreezing"]
    assert states[-2:] == [State.FIRING, State.RESOLVED]
    assert here.gaps("beta") == []


def _times(case: Case) -> dict[str, Any]:
    return {"plan": case.plan, "start": case.start, "lasts": case.lasts, "then": case.then}


# ── troubles with a story of their own ───────────────────────────────────────────────────────────────────────────────


async def test_one_domain_down(tmp_path: Path, clock_at_start: VirtualClock) -> None:
    """The other domain serves: nothing is lost, nobody is paged, and no look costs two requests more than once."""
    here = Town(clock=clock_at_start, folder=tmp_path, tale=town.story())
    async with here.running(town.config(tmp_path)) as daemon:
        await clock_at_start.sleep_until(START + minutes(30))
        asked = len(here.taps["acme"].left)
        here.wire.down.add(ACME_HOSTS[0])
        await clock_at_start.sleep_until(START + minutes(90))
        metrics = town.scrape(daemon)
        looks = town.metric(metrics, "watcher_looks_total", account="acme", outcome="ok")
    assert looks == town.metric(metrics, "watcher_looks_total", account="acme")
    assert len(here.taps["acme"].left) - asked > 40
    assert len(here.taps["acme"].left) == looks + 1, "one look found out, on the second domain all the others began"
    assert here.told("ops") == []
    assert here.gaps("acme") == []
    assert all(len(stretches) == 1 for stretches in here.slots("acme").values())
    assert_budget_kept(here)


@pytest.mark.parametrize("skew", [-90, 90, -2 * HOUR, 2 * HOUR])
async def test_a_vendor_whose_clock_is_off(tmp_path: Path, skew: float) -> None:
    """Learned from the first answers: slots, quotas and the day follow the vendor's clock, across its midnight."""
    start = START + 9.75 * HOUR
    clock = VirtualClock(epoch=start, jumping=True)
    fault = {"kind": "clock_skew", "seconds": skew, "where": {"host": [*ACME_HOSTS]}}
    here = Town(clock=clock, folder=tmp_path, tale=town.story(faults=[fault]), epoch=start)
    async with here.running(town.config(tmp_path)) as daemon:
        await clock.sleep_until(start + 4.5 * HOUR)
        metrics = town.scrape(daemon)
    assert town.metric(metrics, "watcher_account_up", account="acme") == 1
    looks = town.metric(metrics, "watcher_looks_total", account="acme")
    answered = town.metric(metrics, "watcher_looks_total", account="acme", outcome="ok")
    assert answered > 120
    assert looks - answered <= 2
    for stretches in here.slots("acme").values():
        assert len(stretches) == 1
        assert stretches[0][1] > clock.now() + skew - minutes(20)
    assert here.gaps("acme") == []
    assert here.told("ops") == []
    assert_budget_kept(here)


async def test_a_skewed_vendor_clock_is_remembered_over_a_restart(tmp_path: Path, clock_at_start: VirtualClock) -> None:
    """The first look after a restart is asked in the vendor's time, so it is not refused as too fresh."""
    fault = {"kind": "clock_skew", "seconds": -minutes(3), "where": {"host": [*ACME_HOSTS]}}
    here = Town(clock=clock_at_start, folder=tmp_path, tale=town.story(faults=[fault]))
    async with here.running(town.config(tmp_path)):
        await clock_at_start.sleep_until(START + minutes(30))
    async with here.running(town.config(tmp_path)) as daemon:
        await clock_at_start.sleep_until(START + minutes(40))
        metrics = town.scrape(daemon)
    answered = town.metric(metrics, "watcher_looks_total", account="acme", outcome="ok")
    assert answered > 0
    assert town.metric(metrics, "watcher_looks_total", account="acme") == answered


@pytest.mark.parametrize("jump", [-minutes(10), minutes(10)])
async def test_a_vendor_clock_that_jumps_for_an_hour(tmp_path: Path, clock_at_start: VirtualClock, jump: float) -> None:
    """What was said of a future that had not come (nothing) is not believed once the clock is right: it is fetched."""
    here = Town(clock=clock_at_start, folder=tmp_path, tale=_jumps(jump, {"kind": "data_empty"}))
    async with here.running(town.config(tmp_path)) as daemon:
        await clock_at_start.sleep_until(START + 4 * HOUR)
        assert not daemon.restarts
        assert town.blind_reasons(town.scrape(daemon), "acme") == set()
        fired = town.metric(town.scrape(daemon), "watcher_alerts", state="firing")
    assert fired == 0
    for stretches in here.slots("acme").values():
        assert stretches[-1][0] <= START + 2 * HOUR
        assert stretches[-1][1] > START + 4 * HOUR - minutes(20)
    assert any(t.state is State.FIRING and t.rule == "VideoFreezing" for t in here.transitions("acme"))
    assert here.gaps("beta") == []
    assert_budget_kept(here)


@pytest.mark.parametrize("jump", [-5 * HOUR, 5 * HOUR])
async def test_a_vendor_clock_that_jumps_far(tmp_path: Path, clock_at_start: VirtualClock, jump: float) -> None:
    """Within the budget whatever the time is, and soon after it is right again everything is asked as before."""
    here = Town(clock=clock_at_start, folder=tmp_path, tale=_jumps(jump))
    async with here.running(town.config(tmp_path)) as daemon:
        await clock_at_start.sleep_until(START + 4 * HOUR)
        assert not daemon.restarts
        now = town.scrape(daemon)
    after = [at for at in here.taps["acme"].left if at > START + 2 * HOUR]
    assert after[0] < START + 2 * HOUR + minutes(10)
    assert town.blind_reasons(now, "acme") == set()
    paged = [(at - START, title) for at, title in here.told("pager") if at > START + 2.5 * HOUR]
    assert [title.partition("]")[0] for _, title in paged if "classroom" in title] == ["[FIRING", "[RESOLVED"]
    assert paged[0][0] < 2.5 * HOUR + minutes(20)
    assert town.blind_reasons(now, "beta") == set()
    assert here.gaps("beta") == []
    assert_budget_kept(here)


def _jumps(jump: float, *more: dict[str, Any]) -> dict[str, Any]:
    """Acme's servers are `jump` seconds ahead from the first hour to the second; an incident follows in the third."""
    limits = {"from": "+1h", "until": "+2h", "where": {"host": [*ACME_HOSTS]}}
    faults = [{**fault, **limits} for fault in ({"kind": "clock_skew", "seconds": jump}, *more)]
    return town.story(incidents=[town.incident("classroom", 2.5 * HOUR, 20)], faults=faults)


async def test_somebody_else_spends_the_minute(tmp_path: Path, clock_at_start: VirtualClock) -> None:
    """Where others take most of each minute, only what they force is refused, and their share is left to them."""
    foreign = {"kind": "foreign", "per_minute": 20, "from": "+30m", "until": "+60m", "where": {"account": ["acme"]}}
    here = Town(clock=clock_at_start, folder=tmp_path, tale=town.story(faults=[foreign]))
    async with here.running(town.config(tmp_path)) as daemon:
        await clock_at_start.sleep_until(START + minutes(59))
        during = town.scrape(daemon)
        await clock_at_start.sleep_until(START + minutes(120))
        after = town.scrape(daemon)
    (minute,) = [row for row in here.quotas("acme") if row["window"] == "minute"]
    (day,) = [row for row in here.quotas("acme") if row["window"] == "day"]
    assert day["refused"] == 0
    assert minute["spent"] < minute["limit"]
    assert 0 < minute["refused"] <= 31, "once a minute at most: a refusal is taken at its word"
    assert town.blind_reasons(during, "acme") <= {"rate"}
    assert town.blind_reasons(after, "acme") == set()
    assert town.metric(after, "watcher_refused_requests_total", account="acme") == minute["refused"]
    assert all(len(stretches) == 1 for stretches in here.slots("acme").values())
    assert here.gaps("acme") == []


async def test_somebody_else_spends_the_day(tmp_path: Path) -> None:
    """The day is refused once, then nothing is asked until 00:00 UTC; operators are told why, and when it is over."""
    start = START + 8 * HOUR  # 20:00
    clock = VirtualClock(epoch=start, jumping=True)
    here = Town(clock=clock, folder=tmp_path, tale=_spent(town.story()), epoch=start)
    async with here.running(town.config(tmp_path)) as daemon:
        await clock.sleep_until(start + 3.9 * HOUR)
        evening = town.scrape(daemon)
        asked = len(here.taps["acme"].left)
        await clock.sleep_until(start + 6 * HOUR)
        night = town.scrape(daemon)
    assert town.blind_reasons(evening, "acme") == {"day_quota"}
    (day,) = [row for row in here.quotas("acme") if row["window"] == "day"]
    assert day["refused"] == 1
    midnight = (start // DAY + 1) * DAY
    assert sum(at < midnight for at in here.taps["acme"].left) == asked == 1
    assert [title.partition("]")[0] for _, title in here.told("ops")] == ["[FIRING", "[RESOLVED"]
    (paged, _), (resolved, _) = here.told("ops")
    assert paged <= start + BLIND_AFTER + 2 * TROUBLES_EVERY
    assert midnight < resolved < midnight + minutes(10)
    assert town.blind_reasons(night, "acme") == set()


def _spent(tale: dict[str, Any]) -> dict[str, Any]:
    """Others have spent acme's day by eight in the evening, at less than a minute's limit."""
    fault = {"kind": "foreign", "per_minute": 1.5, "from": "-20h", "until": "+3h", "where": {"account": ["acme"]}}
    return {**tale, "faults": [fault]}


async def test_a_restart_while_blind(tmp_path: Path, clock_at_start: VirtualClock) -> None:
    """A daemon that starts while the vendor is down neither resolves the operators' page nor repeats it."""
    fault = {"kind": "http_500", "from": "+30m", "until": "+70m", "where": {"account": ["acme"]}}
    here = Town(clock=clock_at_start, folder=tmp_path, tale=town.story(faults=[fault]))
    data = town.config(tmp_path)
    for until in (50, 65, 120):
        async with here.running(data) as daemon:
            await clock_at_start.sleep_until(START + minutes(until) - 1)
            blind = town.blind_reasons(town.scrape(daemon), "acme")
        assert blind == (set() if until == 120 else {"server"})
    assert [title.partition("]")[0] for _, title in here.told("ops")] == ["[FIRING", "[RESOLVED"]
    assert here.told("ops")[1][0] >= START + minutes(70)
    assert here.gaps("acme") == []


class _Broken(httpx.AsyncBaseTransport):
    """A mistake of ours, or of a library: not an error that anyone expects."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        raise RuntimeError("a mistake")


async def test_a_crash_in_one_account(tmp_path: Path, clock_at_start: VirtualClock) -> None:
    """Begun anew, ever more slowly; counted, and told to the operators; the other account goes on."""
    here = Town(clock=clock_at_start, folder=tmp_path, tale=town.story())
    whole = here.taps["acme"]
    async with here.running(town.config(tmp_path)) as daemon:
        await clock_at_start.sleep_until(START + minutes(20))
        whole.inner = _Broken()
        await clock_at_start.sleep_until(START + minutes(60))
        metrics = town.scrape(daemon)
        whole.inner = here.wire
        await clock_at_start.sleep_until(START + minutes(180))
        after = town.scrape(daemon)
    assert 3 <= town.metric(metrics, "watcher_task_restarts_total", task="account acme") <= 12
    assert town.metric(metrics, "watcher_account_up", account="acme") == 0
    assert [title.partition("]")[0] for _, title in here.told("ops")] == ["[FIRING", "[RESOLVED"]
    assert town.metric(after, "watcher_account_up", account="acme") == 1
    assert town.metric(after, "watcher_account_up", account="beta") == 1
    assert town.metric(after, "watcher_task_restarts_total", task="account beta") == 0
    assert here.gaps("beta") == []
    assert_budget_kept(here)


class _Stumbling(httpx.AsyncBaseTransport):
    """Breaks off requests for the join rate of native users, while others are answered: two looks of it, or all."""

    def __init__(self, clock: VirtualClock, inner: httpx.AsyncBaseTransport, *, looks: float) -> None:
        self.failed: list[float] = []  # when looks were made that came to nothing
        self.answered: list[float] = []
        self.looks = looks
        self._inner = inner
        self._clock = clock

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        now, wanted = self._clock.now(), request.url.params
        if (wanted.get("metric"), wanted.get("productType")) != ("joinSuccessRate", "Native"):
            return await self._inner.handle_async_request(request)
        second_domain = bool(self.failed) and now - self.failed[-1] < 1.0
        if len(self.failed) < self.looks or (second_domain and self.looks):
            if not second_domain:
                self.failed.append(now)
            raise httpx.ReadError("connection reset")
        self.answered.append(now)
        return await self._inner.handle_async_request(request)


async def test_two_hiccups_in_a_row_are_no_blindness(tmp_path: Path, clock_at_start: VirtualClock) -> None:
    """One query fails twice while the others answer: it is asked again soon, so that nobody is paged for it."""
    here = Town(clock=clock_at_start, folder=tmp_path, tale=town.story())
    async with here.running(town.config(tmp_path)) as daemon:
        await clock_at_start.sleep_until(START + minutes(30))
        stumbling = here.taps["acme"].inner = _Stumbling(clock_at_start, here.wire, looks=2)
        await clock_at_start.sleep_until(START + minutes(70))
        after = town.scrape(daemon)
    first, second = stumbling.failed
    assert min(at for at in stumbling.answered if at > second) - second < minutes(1.5)
    assert second - first < minutes(3)
    assert here.told("ops") == []
    assert town.blind_reasons(after, "acme") == set()
    assert here.gaps("acme") == []
    assert_budget_kept(here)


async def test_one_query_that_goes_on_failing_is_blindness(tmp_path: Path, clock_at_start: VirtualClock) -> None:
    """Paged after ten minutes, tried about once a round, and over within a round of its recovery."""
    here = Town(clock=clock_at_start, folder=tmp_path, tale=town.story())
    async with here.running(town.config(tmp_path)) as daemon:
        await clock_at_start.sleep_until(START + minutes(30))
        stumbling = here.taps["acme"].inner = _Stumbling(clock_at_start, here.wire, looks=math.inf)
        await clock_at_start.sleep_until(START + minutes(70))
        blind = town.blind_reasons(town.scrape(daemon), "acme")
        stumbling.looks = 0
        await clock_at_start.sleep_until(START + minutes(100))
    begun = stumbling.failed[0]
    assert blind == {"network"}
    (paged, firing), (over, resolved) = here.told("ops")
    assert (firing.partition("]")[0], resolved.partition("]")[0]) == ("[FIRING", "[RESOLVED")
    assert begun + BLIND_AFTER <= paged <= begun + BLIND_AFTER + 2 * TROUBLES_EVERY
    assert over <= START + minutes(70) + minutes(7) + 2 * TROUBLES_EVERY  # six queries, one a minute, and one more
    assert 7 <= len(stumbling.failed) <= 12
    assert here.gaps("acme") == []
    assert_budget_kept(here)
