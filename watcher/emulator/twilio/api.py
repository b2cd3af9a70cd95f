"""What each request to Twilio's Log Analyzer gets, and what of it is counted.

How a request is answered, top to bottom, is `Api.begin`: who asks, which faults strike, what is counted, then
refusals, then the answer. It is a plain function of the request, an instant, and the requests still under way: `end`
says when one of them is through, since the vendor limits how many there may be at once. The rate limit and `Date`
follow the server's clock (the run clock plus the scenario's skew); what has happened and what can be seen of it follow
the run clock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from typing import Any

import msgspec

from watcher.clock import rfc3339
from watcher.emulator.breakage import deform, instead, mix
from watcher.emulator.counting import Pool
from watcher.emulator.faults import Facts, Fault, Injector
from watcher.emulator.meter import Meter
from watcher.emulator.replies import Reply
from watcher.emulator.twilio.ask import ROOMS_PATH, Bad, Sheet, link, sheet
from watcher.emulator.twilio.bend import bend, bent, struck
from watcher.emulator.twilio.books import Books
from watcher.emulator.twilio.gate import Gate
from watcher.emulator.twilio.life import Lives
from watcher.emulator.twilio.records import participant_record, room_record
from watcher.emulator.twilio.refusals import gateway, missing, refusal
from watcher.emulator.twilio.rooms import MOST_LENGTH, Room, Rooms
from watcher.emulator.twilio.view import Seen, View
from watcher.emulator.twilio.world import Account, Scenario

_KEPT_RECORDS = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a request says. `base` is the scheme and host it came to; the sids are empty where the path has none."""

    endpoint: str
    base: str
    path: str
    host: str
    authorization: str | None
    room: str
    participant: str
    query: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The reply; the account whose request is under way until `Api.end`; and what the reply hands out if it arrives."""

    reply: Reply
    account: str = ""
    room: int = 0
    stays: Sequence[tuple[int, bool]] = ()


@dataclass(slots=True)
class _UnderWay:
    """Requests of one account that have come and are not answered yet."""

    now: int = 0
    worst: int = 0
    refused: int = 0


@dataclass(slots=True)
class _Page:
    """Rows for one page of a list, and where the next begins; None: there is none."""

    rows: list[Any]
    following: int | None
    stays: list[tuple[int, bool]] = field(default_factory=list)


class Api:
    """The state of the server (counters and memories only) and its decisions."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._gate = Gate(scenario.accounts)
        self._rooms = {account.name: Rooms(account) for account in scenario.accounts}
        self._lives = Lives(scenario.incidents)
        self._injector = Injector(faults=scenario.faults, seed=scenario.seed)
        self._foreign = tuple(fault for fault in scenario.faults if fault.kind == "foreign")
        self._meter = Meter()
        self._under_way = {account.name: _UnderWay() for account in scenario.accounts}
        self._books = Books()
        self._records: dict[tuple[int, str], msgspec.Raw] = {}  # of rooms that will not change
        self.requests: Counter[tuple[str, str]] = Counter()  # (endpoint, outcome): both from closed sets

    def server_time(self, host: str, at: float) -> float:
        """What the server's clock shows at run time `at`."""
        return at + self._injector.skew(host.lower(), at)

    # ── one request ──────────────────────────────────────────────────────────────────────────────────────────────

    def begin(self, asked: Asked, at: float) -> Verdict:
        """The answer to a request at run time `at`, counted. Whoever gets it calls `end` once it is sent."""
        server_now = self.server_time(asked.host, at)
        account = self._gate.enter(asked.authorization)
        name = account.name if account else ""
        facts = Facts(host=asked.host.lower(), account=name, endpoint=asked.endpoint)
        faults = {fault.kind: fault for fault in self._injector.strike(facts, at)}
        fits = account is None or self._spend(account, faults, server_now, at)
        outcome, verdict = self._answer(asked, account, faults, fits, at)
        self.requests[asked.endpoint, outcome] += 1
        reply = verdict.reply
        headers = list(reply.headers)
        if account is not None:
            headers.append(("twilio-concurrent-requests", str(self._under_way[name].now)))
        if reply.status == 429:
            headers += self._retry_after(server_now)
        wait = faults["slow"].seconds if "slow" in faults else 0.0
        if outcome == "answered":
            wait += self._scenario.limits.latency
        return replace(verdict, account=name, reply=replace(reply, headers=tuple(headers), wait=wait))

    def end(self, verdict: Verdict, *, sent: bool) -> None:
        """The request is through: answered whole (`sent`), or its client has gone."""
        if verdict.account:
            self._under_way[verdict.account].now -= 1
        if not sent:
            return
        for key, final in verdict.stays:
            self._books.hand(key, final=final)

    def _answer(
        self, asked: Asked, account: Account | None, faults: Mapping[str, Fault], fits: bool, at: float
    ) -> tuple[str, Verdict]:
        """The outcome in one word for the report, and the verdict."""
        answers = self._scenario.answers
        if (broken := instead(faults, lambda status: gateway(status, answers))) is not None:
            return broken[0], Verdict(reply=broken[1])
        if account is None:
            return "20003", Verdict(reply=refusal(20003, answers, path=asked.path))
        if not fits:
            return "20429", Verdict(reply=refusal(20429, answers, path=asked.path))
        for kind in faults:
            if kind.startswith("error_"):
                return kind[6:], Verdict(reply=refusal(int(kind[6:]), answers, path=asked.path))
        verdict = self._found(asked, account, faults, at)
        if isinstance(verdict, Bad):
            return "20001", Verdict(reply=refusal(20001, answers, words=verdict.words, path=asked.path))
        if verdict is None:
            return "20404", Verdict(reply=missing(asked.path, answers))
        reply, whole = deform(verdict.reply, faults)
        return "answered", replace(verdict, reply=reply, stays=verdict.stays if whole else ())

    def _found(self, asked: Asked, account: Account, faults: Mapping[str, Fault], at: float) -> Verdict | Bad | None:
        """The answer; None where there is no such thing."""
        view = View(now=at, answers=self._scenario.answers)
        rooms = self._rooms[account.name]
        if asked.endpoint == "rooms":
            return self._list_rooms(asked, rooms, view, faults, at)
        room = rooms.find(asked.room)
        if room is None or not rooms.visible(room, at) or struck(faults, "vanish", room.key):
            return None
        if asked.endpoint == "room":
            return Verdict(reply=_json(self._room(room, view, faults, asked.base, at)))
        if asked.endpoint == "participants":
            self._books.read(room.key)
            return self._list_participants(asked, room, view, faults, at)
        seen = next((s for s in view.stays(room, self._lives.stays(room)) if s.stay.sid == asked.participant), None)
        if seen is None:
            return None
        record, usable = self._participant(room, seen, faults, asked.base, at)
        return Verdict(reply=_json(record), room=room.key, stays=((seen.stay.key, seen.final),) if usable else ())

    # ── lists ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _list_rooms(
        self, asked: Asked, rooms: Rooms, view: View, faults: Mapping[str, Fault], at: float
    ) -> Verdict | Bad:
        wanted = sheet(asked.query, filters=True)
        if isinstance(wanted, Bad):
            return wanted
        offset, size = _stretch(wanted, faults)
        found, more = rooms.page(wanted.wanted, now=at, offset=offset, size=size)
        page = _Page(
            rows=[
                self._room(room, view, faults, asked.base, at)
                for room in found
                if not struck(faults, "vanish", room.key)
            ],
            following=offset + size if more else None,
        )
        return _listed("rooms", f"{asked.base}{ROOMS_PATH}", wanted, page, faults)

    def _list_participants(
        self, asked: Asked, room: Room, view: View, faults: Mapping[str, Fault], at: float
    ) -> Verdict | Bad:
        wanted = sheet(asked.query, filters=False)
        if isinstance(wanted, Bad):
            return wanted
        offset, size = _stretch(wanted, faults)
        seen = view.stays(room, self._lives.stays(room))
        page = _Page(rows=[], following=offset + size if len(seen) > offset + size else None)
        for one in seen[offset : offset + size]:
            record, usable = self._participant(room, one, faults, asked.base, at)
            page.rows.append(record)
            if usable:
                page.stays.append((one.stay.key, one.final))
        url = f"{asked.base}{ROOMS_PATH}/{room.sid}/Participants"
        return replace(_listed("participants", url, wanted, page, faults), room=room.key)

    # ── rows ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _room(self, room: Room, view: View, faults: Mapping[str, Fault], base: str, at: float) -> Any:
        """One room's record; remembered as bytes once it is final, since lists repeat it for a week."""
        spoilt = bent(faults)
        if not spoilt and (known := self._records.get((room.key, base))) is not None:
            return known
        seen = view.stays(room, self._lives.stays(room))
        record = room_record(room, seen, view=view, answers=self._scenario.answers, base=base)
        if spoilt:
            return bend(record, room.key, faults, at)[0]
        if view.settled(room) and at >= room.published + room.account.visibility.late_by:
            while len(self._records) >= _KEPT_RECORDS:
                del self._records[next(iter(self._records))]
            self._records[room.key, base] = msgspec.Raw(msgspec.json.encode(record))
        return record

    def _participant(
        self, room: Room, seen: Seen, faults: Mapping[str, Fault], base: str, at: float
    ) -> tuple[dict[str, Any], bool]:
        record = participant_record(room, seen, answers=self._scenario.answers, base=base)
        return bend(record, seen.stay.key, faults, at)

    # ── what is counted ──────────────────────────────────────────────────────────────────────────────────────────

    def _spend(self, account: Account, faults: Mapping[str, Fault], server_now: float, at: float) -> bool:
        """Count a request against its account's rate and its requests under way; whether both have room."""
        limits = self._scenario.limits
        ahead = server_now - at
        sharing = [f for f in self._foreign if not f.where.account or account.name in f.where.account]
        fits = self._meter.spend(
            Pool(account.name, "reads"),
            server_now,
            seconds=1.0,
            limit=limits.per_second and limits.per_second + 1,  # the vendor allows 80, not fewer than 80
            foreign=lambda start, end: sum(fault.foreign(start - ahead, end - ahead) for fault in sharing),
        )
        under_way = self._under_way[account.name]
        under_way.now += 1
        under_way.worst = max(under_way.worst, under_way.now)
        others = faults["busy"].slots if "busy" in faults else 0
        if limits.concurrent and under_way.now + others > limits.concurrent:
            under_way.refused += 1
            return False
        return fits

    def _retry_after(self, server_now: float) -> list[tuple[str, str]]:
        limits = self._scenario.limits
        match limits.retry_after:
            case "seconds":
                return [("retry-after", str(limits.retry_seconds))]
            case "date":
                return [("retry-after", formatdate(server_now + limits.retry_seconds, usegmt=True))]
            case "none":
                return []

    # ── reports ──────────────────────────────────────────────────────────────────────────────────────────────────

    def report(self, at: float) -> dict[str, object]:
        """See `Emulator.report`."""
        requests: dict[str, dict[str, int]] = {}
        for (endpoint, outcome), count in sorted(self.requests.items()):
            requests.setdefault(endpoint, {})[outcome] = count
        quotas = self._meter.report()
        for quota in quotas:
            if quota["limit"]:
                quota["limit"] = self._scenario.limits.per_second
        return {
            "vendor": "twilio",
            "now": rfc3339(at),
            "quotas": quotas,
            "under_way": {
                name: {
                    "limit": self._scenario.limits.concurrent,
                    "worst": tally.worst,
                    "refused": tally.refused,
                }
                for name, tally in self._under_way.items()
            },
            "requests": requests,
            "faults": dict(self._injector.struck),
            **self._books.report(),
            "dropped": {
                "pools": self._meter.dropped_pools,
                "stays": self._books.dropped_stays,
                "rooms": self._books.dropped_rooms,
            },
        }

    def rooms(self, at: float, since: float) -> list[dict[str, object]]:
        """See `Emulator.rooms`."""
        return [
            {
                "account": account,
                "room": room.sid,
                "name": room.name,
                "start": room.start,
                "end": room.end,
                "published": room.published,
                "settled": room.settled if room.final else None,
                "participants": len(self._shown(room)),
                "visible": rooms.visible(room, at),
                "reads": self._books.reads(room.key),
            }
            for account, rooms in self._rooms.items()
            for room in rooms.within(since, at)
            if room.end <= at
        ]

    def participants(self, at: float, since: float, until: float) -> list[dict[str, object]]:
        """See `Emulator.participants`."""
        found: list[dict[str, object]] = []
        for account, rooms in self._rooms.items():
            for room in rooms.within(since - MOST_LENGTH, until):
                for stay in self._shown(room):
                    if not since <= stay.leave < until:
                        continue
                    handed = self._books.stay(stay.key)
                    seen = View(now=at, answers=self._scenario.answers).stay(room, stay)
                    found.append(
                        {
                            "account": account,
                            "room": room.sid,
                            "participant": stay.sid,
                            "identity": stay.identity,
                            "join": stay.join,
                            "leave": stay.leave,
                            "end_reason": stay.ending.reason,
                            "error_code": stay.code,
                            "region": stay.region,
                            "sdk": stay.sdk,
                            "browser": stay.browser,
                            "visible": seen is not None and rooms.visible(room, at),
                            "final": seen is not None and seen.final,
                            "handed_out": handed.total,
                            "handed_final": handed.final,
                        }
                    )
        return found

    def _shown(self, room: Room) -> list[Any]:
        """The stays of a room that ever show."""
        hidden = self._scenario.answers.failed_attempts == "nothing"
        return [stay for stay in self._lives.stays(room) if not (hidden and stay.failed)]


def _stretch(asked: Sheet, faults: Mapping[str, Fault]) -> tuple[int, int]:
    """Where the rows of a page begin, and how many it may have."""
    offset, size = asked.offset, asked.size
    if "repeat_page" in faults:
        offset = max(0, offset - size)
    if "short_page" in faults:
        size = max(1, size // 2)
    return offset, size


def _listed(key: str, url: str, asked: Sheet, page: _Page, faults: Mapping[str, Fault]) -> Verdict:
    """A list with its meta."""
    before = None if not asked.offset else max(0, asked.offset - asked.size)
    own = link(url, asked, page=asked.page, offset=asked.offset if asked.token else None)
    following = None if page.following is None else link(url, asked, page=asked.page + 1, offset=page.following)
    rows, stays = page.rows, page.stays
    if "empty_page" in faults:
        rows, stays, following = [], [], link(url, asked, page=asked.page + 1, offset=asked.offset)
    if "loop_page" in faults:
        following = own
    if "next_elsewhere" in faults and following is not None:
        following = f"{(faults['next_elsewhere'].text or '').rstrip('/')}{following[following.index('/v1/') :]}"
    body: dict[str, Any] = {
        "meta": {
            "page": asked.page,
            "page_size": asked.size,
            "first_page_url": link(url, asked, page=0, offset=None),
            "previous_page_url": None
            if before is None
            else link(url, asked, page=max(0, asked.page - 1), offset=before),
            "url": own,
            "next_page_url": following,
            "key": key,
        },
        key: mix(rows, faults),
    }
    if "data_null" in faults:
        body[key], stays = None, []
    if "no_meta" in faults:
        del body["meta"]
    return Verdict(reply=_json(body), stays=tuple(stays))


def _json(body: Any) -> Reply:
    return Reply(body=msgspec.json.encode(body))
