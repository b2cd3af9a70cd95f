"""One call read for somebody who asks: who was in it, and their rows (dossier sections 3, 4.2, 7).

    meeting       the one that is meant (`callfind`)
    connections   who was in it, with what they came
    publishers    with all rows of what each sent
    subscribers   with all rows of what each received, where they fit into the requests that may be spent

Apart from the looks. They read what is new of every session and keep how far they came; this reads everything of one
meeting and keeps nothing: its rows go into a grid of its own, which is thrown away with the answer. So a question can
change no point. Pages are the vendor's own: cursors made by hand save what was read before, and nothing was.

Subscribers grow as n(n-1), and some of them would show people by the accident of their place in a list, so they are
begun only where all of them fit; else a note says what it takes.

The meeting decides whether there is an answer: until it is found failures are raised. Afterwards every end is a note.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from watcher.calls import MOST_REQUESTS, CallWish
from watcher.clock import MINUTE, hhmm
from watcher.errors import ProviderError, Reason, clip
from watcher.providers.vonage import documents, readings, wire
from watcher.providers.vonage.calendar import Window, window_at
from watcher.providers.vonage.callfind import Finder, Meeting
from watcher.providers.vonage.client import OutOfBudget, Talk, VendorRefusal
from watcher.providers.vonage.clients import Client, client_of
from watcher.providers.vonage.refusals import Action
from watcher.providers.vonage.roster import OPEN
from watcher.providers.vonage.rows import NEVER, WIDTH, Grid, Ints, StreamMemo, milliseconds
from watcher.providers.vonage.settings import Project, VonageAccount, is_session_id
from watcher.providers.vonage.wire import Oddity, Stat, Tally

MAX_PAGES = 50  # of one list of people
MOST_ROWS = 1_000_000  # of one call
MOST_ID = 100  # characters of an id that is shown

_MOST_OF_STREAM = documents.ROWS[-1]  # rows of one stream: eight hours
_SMALLER = 8  # how much smaller a page is tried, once, where the vendor finds one too large


class Person(NamedTuple):
    """A connection: when it was there, in milliseconds (`NEVER`: only its streams are known), and with what."""

    began: int
    ended: int
    client: Client


@dataclass(frozen=True, slots=True)
class Stream:
    """A publisher or a subscriber. `connection` is empty where the vendor does not say whose it is."""

    id: str
    publishes: bool
    connection: str
    memo: StreamMemo


@dataclass(slots=True, kw_only=True)
class Reading:
    """What was read of a call. `cut` is the vendor time until which it should all be there."""

    session: str
    meeting: Meeting
    others: tuple[Meeting, ...]
    cut: float
    notes: list[str]
    tally: Tally
    people: dict[str, Person] = field(default_factory=dict)
    streams: dict[tuple[str, str], Stream] = field(default_factory=dict)  # by kind and id; numbered in this order
    cropped: int = 0  # streams of which not all rows were read
    refusal: ProviderError | None = None  # what ended the reading early
    grid: Grid = field(default_factory=Grid)


class Inquiry:
    """One question about one project's session."""

    def __init__(
        self,
        *,
        account: VonageAccount,
        project: Project,
        wish: CallWish,
        talk: Talk,
        now: float,
        shows_running: bool | None,
    ) -> None:
        self._account = account
        self._project = project
        self._wish = wish
        self._talk = talk
        self._now = now
        self._shows_running = shows_running
        self._small = False
        self._notes: list[str] = []

    async def read(self) -> Reading | None:
        """The call, as far as the purse allows; None where there is none. Raises `ProviderError`."""
        session = self._project.channels.get(self._wish.channel, self._wish.channel)
        if not is_session_id(session):
            await self._talk.give_back()
            return None
        finder = Finder(project=self._project, wish=self._wish, talk=self._talk, now=self._now, notes=self._notes)
        found = await finder.find(session)
        if found is None:
            if (window := self._window()) is not None:
                what = f"no meeting is shown in the vendor's maintenance, complete by {hhmm(window.complete)} UTC"
                raise ProviderError(Reason.MAINTENANCE, what)
            return None
        meeting, others = found
        reading = Reading(
            session=session,
            meeting=meeting,
            others=others,
            cut=self._now - self._account.delay,
            notes=self._notes,
            tally=self._talk.tally,
        )
        reading.grid.begin(meeting.began // (WIDTH * 1000) * WIDTH)
        await self._inside(reading)
        self._remark(reading)
        return reading

    # ── who, and how they fared ──────────────────────────────────────────────────────────────────────────────────────

    async def _inside(self, reading: Reading) -> None:
        for kind in ("connections", "publishers", "subscribers"):
            if kind == "subscribers" and not self._fits(reading):
                return
            try:
                await self._everybody(reading, kind)
            except OutOfBudget:
                why = "the budget or the time for this question was over"
            except VendorRefusal as refusal:
                too_large = refusal.action is Action.SMALLER
                reading.refusal = None if too_large else refusal.error()
                why = "even small pages are too large for the vendor" if too_large else str(reading.refusal)
            except ProviderError as error:
                reading.refusal, why = error, str(error)
            else:
                continue
            self._notes.append(f"stopped at the {kind}, not all of them were read: {why}")
            return

    def _fits(self, reading: Reading) -> bool:
        """Whether all subscribers can be read with what may still be spent."""
        number = reading.meeting.subscribers
        if number is None:
            return True
        needed = self._talk.requests + math.ceil(number / self._page_size(reading, "subscribers"))
        if needed > min(self._wish.requests, MOST_REQUESTS):
            self._notes.append(
                f"what each received was not read ({number} subscribers): it takes {needed} requests in all"
            )
            return False
        return number > 0

    async def _everybody(self, reading: Reading, kind: str) -> None:
        """Every page of one of the meeting's lists."""
        take: Callable[[Reading, str, Sequence[wire.Party]], None]
        take = self._take_people if kind == "connections" else self._take_streams
        at, seen = "", {""}
        for _ in range(MAX_PAGES):
            body = await self._page(reading, kind, at)
            parties = readings.parties(readings.found(body), kind, began=reading.meeting.began)
            if parties is None:
                self._notes.append(f"the {kind} were missing from an answer")
                return
            take(reading, kind, list(readings.objects(parties.resources)))
            at = readings.following(parties.page_info, seen, self._talk.tally)
            if not at:
                return
            if len(reading.grid) > MOST_ROWS:
                break
        self._talk.tally[Oddity.OVERFLOW] += 1
        self._notes.append(f"there are more {kind} than are read of one call")

    async def _page(self, reading: Reading, kind: str, at: str) -> wire.Body:
        variables = {
            **documents.beginning(reading.meeting.began),
            "id": reading.session,
            "meeting": reading.meeting.id,
            "at": at,
            "first": self._page_size(reading, kind),
            **({} if kind == "connections" else {"rows": self._rows(reading)}),
        }
        try:
            return await self._talk.graphql(documents.whole(self._project.id, kind), variables)
        except (VendorRefusal, ProviderError) as refusal:
            if self._small or not _is_too_large(refusal):
                raise
        self._small = True
        self._talk.tally[Oddity.TOO_BIG] += 1
        return await self._page(reading, kind, at)

    def _page_size(self, reading: Reading, kind: str) -> int:
        fitting = documents.whole_fits(self._account.most_nodes, 0 if kind == "connections" else self._rows(reading))
        return max(1, fitting // _SMALLER) if self._small else fitting

    def _rows(self, reading: Reading) -> int:
        """As many rows as a stream of the whole meeting can have: one about every half minute, and some to spare."""
        seconds = min(reading.meeting.ended / 1000, self._now) - reading.meeting.began / 1000
        return min(_MOST_OF_STREAM, math.ceil(max(seconds, 0) / WIDTH * 1.2) + 10)

    def _take_people(self, reading: Reading, _: str, parties: Sequence[wire.Party]) -> None:
        for party in parties:
            name = clip(party.connection_id or "", MOST_ID)
            began, ended = readings.span(party.created_at, party.destroyed_at)
            if not name or began == NEVER:
                self._talk.tally[Oddity.NO_TIME] += 1
            elif name in reading.people:
                self._talk.tally[Oddity.DUPLICATE] += 1
            else:
                reading.people[name] = Person(began, max(began, ended), client_of(party))

    def _take_streams(self, reading: Reading, kind: str, parties: Sequence[wire.Party]) -> None:
        taken: list[tuple[StreamMemo, list[Stat], Ints]] = []
        for party in parties:
            name = clip(readings.stream_id(party, kind), MOST_ID)
            began, _ = readings.span(party.created_at, None)
            if not name or began == NEVER:
                self._talk.tally[Oddity.NO_TIME] += 1
                continue
            if (kind, name) in reading.streams:
                self._talk.tally[Oddity.DUPLICATE] += 1
                continue
            connection = clip(party.connection_id or "", MOST_ID)
            memo = StreamMemo(len(reading.streams), began)
            reading.streams[kind, name] = Stream(name, kind == "publishers", connection, memo)
            if connection:
                reading.people.setdefault(connection, Person(NEVER, OPEN, Client()))
            rows = readings.stats(party)
            total = party.stream_stats_collection.total_count if party.stream_stats_collection else None
            reading.cropped += (total or 0) > len(rows)
            times = milliseconds([row.created_at for row in rows])
            rows, times, _, _ = readings.timely(rows, times, self._now, reading.tally)
            taken.append((memo, rows, times))
        reading.grid.add_many(taken, reading.tally)

    def _window(self) -> Window | None:
        return window_at(self._now) if self._account.maintenance == "vendor" else None

    def _remark(self, reading: Reading) -> None:
        """What else whoever reads it has to know."""
        say = self._notes.append
        if reading.cropped:
            say(f"of {reading.cropped} streams only the first {_MOST_OF_STREAM} rows were read")
        if self._shows_running is False and self._wish.at is None:
            say("this project shows no running meetings: this is the latest that has ended")
        if self._talk.partial:
            say("the vendor answered in part")
        if (window := self._window()) is not None:
            say(f"the vendor's maintenance is complete by {hhmm(window.complete)} UTC: until then some may be missing")
        delay = self._account.delay / MINUTE
        say(f"each stream is measured about every {WIDTH} s; Advanced Insights is about {delay:g} min behind")


def _is_too_large(refusal: VendorRefusal | ProviderError) -> bool:
    if isinstance(refusal, VendorRefusal):
        return refusal.action is Action.SMALLER
    return refusal.reason is Reason.TOO_LARGE
