"""The two-step incremental read of Advanced Insights (dossier, section 7.2): counts first, then only what grew.

    discover   which sessions had meetings lately, by `sessionSummaries`
    count      who is in their meetings, and how many rows each stream has
    read       the rows that are new, many streams in one request, each from the offset it was read to

Cursors are offsets made by hand, so nothing is taken on trust: a page must belong to the stream that was meant and
begin after the last row that is known. If not (a late row was put in between, the order changed), the stream is read
again from a little further back, then from its first row; the grid takes each row once, however often it comes. Where
the vendor refuses such cursors, whole meetings are paged through with its own (`_read_whole`).

What is too large is halved (1014, after a probe has shown that the add-on is not what is missing), what holds an
unknown session is split (1017) until it stands alone, and an unknown session rests before it is asked for again: it may
be too young, too old or somebody else's. Where the budget ends a look early, the streams left unread say so, and
`Outcome.complete_until` holds back everything that is not whole.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import numpy as np

from watcher.clock import HOUR, MINUTE
from watcher.errors import ProviderError, Reason
from watcher.log import get
from watcher.providers.vonage import documents, readings, wire
from watcher.providers.vonage.client import OutOfBudget, Talk, VendorRefusal
from watcher.providers.vonage.clients import Client, client_of
from watcher.providers.vonage.refusals import Action
from watcher.providers.vonage.roster import OPEN, Meeting, Roster, Session, Stream
from watcher.providers.vonage.rows import KEEP, NEVER, WIDTH, Grid, Ints, StreamMemo, milliseconds
from watcher.providers.vonage.settings import RETENTION
from watcher.providers.vonage.wire import Oddity, Stat

MAX_PAGES = 50  # of one list
REST_UNKNOWN = 5 * MINUTE  # seconds until an unknown session is asked for again
SWEEP_EVERY = 30 * MINUTE  # a look at everything that may still run
_LATELY = 20 * MINUTE  # how far back the short sweep between two of those goes
_TRIES = 4  # at one stream in one look without getting on
_WHOLE_ROWS, _WHOLE_STREAMS = 1000, 25

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """When a look happens, in vendor time: `now`, and what the vendor should have by then (`cut`)."""

    now: float
    cut: float
    linger: float  # seconds for which an ended meeting is still asked about


class Reader:
    """Reads one project into its roster and grid."""

    def __init__(self, *, project: str, roster: Roster, grid: Grid, most_nodes: int, longest: float) -> None:
        self.roster = roster
        self.grid = grid
        self.shows_running: bool | None = None  # whether the vendor shows meetings before they end; None: not known yet
        self._project = project
        self._longest = longest
        self._batch = max(1, min(documents.SESSIONS, (most_nodes - 1) // (documents.counts_nodes(1) - 1)))
        self._streams = documents.STREAMS
        self._nodes = most_nodes
        self._addon = False  # proven to be there
        self._own_cursors = True
        self._swept = -math.inf
        self._log = get("vonage").bind(project=project)

    # ── discovery ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def discover(self, talk: Talk, moment: Moment) -> None:
        """Find sessions with recent meetings: everything now and then, the newest ones in between."""
        full = moment.now - self._swept >= (SWEEP_EVERY if self.shows_running else REST_UNKNOWN)
        back = self._longest + HOUR if full else _LATELY
        start = min(moment.cut, self.grid.floor or moment.cut) - back if full else moment.cut - back
        start = max(start, moment.now - RETENTION)
        try:
            await self._summaries(talk, start, moment)
        except VendorRefusal as refusal:
            if refusal.action is not Action.CLAMP:
                raise
            await self._summaries(talk, max(start, moment.now - RETENTION + HOUR), moment)
        if full:
            self._swept = moment.now

    async def _summaries(self, talk: Talk, start: float, moment: Moment) -> None:
        at = ""
        seen = {at}
        for _ in range(MAX_PAGES):
            body = await talk.graphql(documents.summaries(self._project), {"start": documents.stamp(start), "at": at})
            found = readings.found(body)
            for summary in readings.objects(found.resources if found else None):
                self._summary(summary, moment)
            at = readings.following(found.page_info if found else None, seen, talk.tally)
            if not at:
                return
        talk.tally[Oddity.LOOP] += 1

    def _summary(self, summary: wire.Session, moment: Moment) -> None:
        if not summary.session_id or summary.meetings is None:
            return
        for meeting in readings.objects(summary.meetings.resources):
            began, ended = readings.span(meeting.created_at, meeting.destroyed_at)
            if began != NEVER and self._matters(began, ended, moment):
                self.want(summary.session_id, moment, sure=True)
                return

    def want(self, session_id: str, moment: Moment, *, sure: bool = False) -> Session | None:
        """A session is, or was a short while ago, in use."""
        since = max(moment.now - self._longest, moment.now - RETENTION)
        session = self.roster.session(session_id, since=since, now=moment.now)
        if session is not None:
            session.wanted_at = moment.now
            if sure and not session.sure:
                session.sure, session.not_before = True, 0.0
        return session

    def _matters(self, began: int, ended: int, moment: Moment) -> bool:
        """Whether rows of a meeting may still come, or belong to what is to be caught up with."""
        if began < (moment.now - RETENTION) * 1000:
            return False
        return ended >= min(moment.now - moment.linger, max(self.grid.floor, moment.now - self._longest)) * 1000

    # ── counting ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def count(self, talk: Talk, moment: Moment) -> None:
        """Step A, for every session that is asked about at all."""
        due = [s for s in self.roster.sessions.values() if s.not_before <= moment.now]
        for sure in (True, False):
            some = sorted((s for s in due if s.sure is sure), key=lambda s: (s.since, s.number))
            for batch in _chunks(some, self._batch):
                await self._count(talk, batch, moment)

    async def _count(self, talk: Talk, batch: Sequence[Session], moment: Moment) -> None:
        since = min(session.since for session in batch)
        variables = {"ids": [s.id for s in batch], "since": documents.stamp(since), "after": ""}
        try:
            body = await talk.graphql(documents.counts(self._project), variables)
        except VendorRefusal as refusal:
            await self._refused(talk, refusal, batch, moment, lambda part: self._count(talk, part, moment))
            return
        self._addon = True
        by_id = {session.id: session for session in batch}
        shown: set[str] = set()
        found = readings.found(body)
        for answered in readings.objects(found.resources if found else None):
            session = by_id.get(answered.session_id or "")
            if session is None or session.id in shown:
                talk.tally[Oddity.NOT_ASKED] += session is None
                continue
            shown.add(session.id)
            await self._session(talk, session, answered, since, moment)
        if not talk.partial:
            for session in batch:
                if session.id not in shown:
                    self._unknown(talk, session, moment)

    async def _session(
        self, talk: Talk, session: Session, answered: wire.Session, since: float, moment: Moment
    ) -> None:
        session.sure = True
        listed = list(readings.objects(answered.meetings.resources if answered.meetings else None))
        seen = {""}
        after = readings.following(answered.meetings.page_info if answered.meetings else None, seen, talk.tally)
        for _ in range(MAX_PAGES):
            if not after:
                break
            variables = {"ids": [session.id], "since": documents.stamp(since), "after": after}
            found = readings.found(await talk.graphql(documents.counts(self._project), variables))
            page = next(readings.objects(found.resources if found else None), None)
            meetings = page.meetings if page else None
            listed += readings.objects(meetings.resources if meetings else None)
            after = readings.following(meetings.page_info if meetings else None, seen, talk.tally)
        places: dict[str, int] = defaultdict(int)
        known: set[tuple[str, int]] = set()
        for meeting in listed:
            began, ended = readings.span(meeting.created_at, meeting.destroyed_at)
            if not meeting.meeting_id or began == NEVER:
                talk.tally[Oddity.NO_TIME] += 1
                continue
            key = (meeting.meeting_id, began)
            if key in known:
                continue
            known.add(key)
            skip = places[meeting.meeting_id]
            places[meeting.meeting_id] += 1
            if key not in session.done and (key in session.meetings or self._matters(began, ended, moment)):
                mine = session.meetings.setdefault(key, Meeting(id=meeting.meeting_id, began=began, ended=ended))
                mine.ended, mine.skip = ended, skip
                await self._meeting(talk, session, mine, meeting, moment)

    async def _meeting(
        self, talk: Talk, session: Session, mine: Meeting, meeting: wire.Meeting, moment: Moment
    ) -> None:
        connections = await self._everybody(talk, session, mine, "connections", meeting.connections)
        crowd = [readings.span(c.created_at, c.destroyed_at) for c in connections]
        mine.crowd = np.array([pair for pair in crowd if pair[0] != NEVER], np.int64).reshape(-1, 2)
        publishers = await self._everybody(talk, session, mine, "publishers", meeting.publishers)
        clients = {c.connection_id: client_of(c) for c in connections if c.connection_id}
        self._streams_of(talk, session, mine, "publishers", publishers, moment, clients)
        if session.named or session.subscribers_until > moment.now:
            subscribers = await self._everybody(talk, session, mine, "subscribers", None)
            self._streams_of(talk, session, mine, "subscribers", subscribers, moment, clients)
        if mine.ended == OPEN and any(stream.total for stream in mine.publishers.values()):
            self.shows_running = True
        if mine.ended == OPEN:
            session.wanted_at = moment.now

    async def _everybody(
        self, talk: Talk, session: Session, meeting: Meeting, kind: str, first: wire.Parties | None
    ) -> list[wire.Party]:
        """All of a meeting's list, its further pages included; all pages where there is no `first`."""
        found = list(readings.objects(first.resources if first else None))
        seen = {""} if first else set()
        at = readings.following(first.page_info, seen, talk.tally) if first else ""
        for page in range(MAX_PAGES):
            if not at and (first or page):
                return found
            variables = {
                "id": session.id,
                "meeting": meeting.id,
                "skip": documents.cursor(meeting.skip),
                "at": at,
                "first": 1000 if kind == "subscribers" else documents.PEOPLE * 5,
            }
            body = await talk.graphql(documents.more(self._project, kind), variables)
            parties = readings.parties(readings.found(body), kind)
            found += readings.objects(parties.resources if parties else None)
            at = readings.following(parties.page_info if parties else None, seen, talk.tally)
        talk.tally[Oddity.LOOP] += 1
        return found

    def _streams_of(
        self,
        talk: Talk,
        session: Session,
        meeting: Meeting,
        kind: str,
        parties: Sequence[wire.Party],
        moment: Moment,
        clients: Mapping[str, Client],
    ) -> None:
        seen: set[str] = set()
        twice = 0
        for place, party in enumerate(parties):
            source = party.stream.stream_id if party.stream else None
            name = readings.stream_id(party, kind)
            began, ended = readings.span(party.created_at, party.destroyed_at)
            if not name or began == NEVER:
                talk.tally[Oddity.NO_TIME] += 1
                continue
            if name in seen:
                talk.tally[Oddity.DUPLICATE] += 1
                twice += 1
                continue
            seen.add(name)
            stream = self.roster.stream(
                session,
                meeting,
                kind=kind,
                party=name,
                source=source or "",
                began=began,
                now=moment.now,
                client=clients.get(party.connection_id or "", Client()),
            )
            if stream is None:
                talk.tally[Oddity.OVERFLOW] += 1
                continue
            total = party.stream_stats_collection.total_count if party.stream_stats_collection else None
            stream.place, stream.ended = place - twice, ended
            stream.total = stream.total if total is None else max(total, 0)
            stream.tries = 0
            if stream.seen is not None and stream.seen > stream.total:
                stream.go_back()

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def read(self, talk: Talk, moment: Moment) -> None:
        """Step B, until nothing is unread or the budget is spent."""
        try:
            while True:
                todo = [(s, m, x) for s, m, x in self.roster.unread() if x.tries < _TRIES]
                if not todo:
                    return
                if not self._own_cursors:
                    await self._read_whole(talk, todo, moment)
                    return
                for _, _, stream in todo:
                    if stream.seen is None:
                        stream.seen = self._first_offset(stream, moment)
                todo.sort(key=lambda item: (item[2].kind, self._read_until(item[2])))  # nobody starves
                for batch in _batches(todo, self._streams, self._nodes):
                    await self._read(talk, batch, moment)
        except OutOfBudget:
            talk.tally[Oddity.UNREAD] += sum(1 for _ in self.roster.unread())
            raise

    def _first_offset(self, stream: Stream, moment: Moment) -> int:
        """Where the rows that are wanted begin, guessed from their number: earlier rather than later."""
        floor = self.grid.floor * 1000
        if stream.memo.began >= floor - 2 * WIDTH * 1000:
            return 0
        newest = min(moment.cut * 1000, stream.ended)
        wanted = math.ceil(max(newest - floor, 0) / (WIDTH * 1000) * 1.05) + 4
        return max(0, stream.total - wanted)

    async def _read(self, talk: Talk, batch: Sequence[tuple[Session, Meeting, Stream]], moment: Moment) -> None:
        kind = batch[0][2].kind
        size = _page_size(max(stream.total - (stream.seen or 0) for _, _, stream in batch))
        offsets = [stream.seen or 0 for _, _, stream in batch]
        variables: dict[str, object] = {"n": size}
        for i, ((session, meeting, stream), offset) in enumerate(zip(batch, offsets, strict=True)):
            variables[f"s{i}"] = session.id
            variables[f"m{i}"] = meeting.id
            variables[f"k{i}"] = documents.cursor(meeting.skip)
            variables[f"p{i}"] = documents.cursor(stream.place)
            variables[f"c{i}"] = documents.cursor(offset)
        try:
            body = await talk.graphql(documents.read(self._project, kind, len(batch)), variables)
        except VendorRefusal as refusal:
            if refusal.action is Action.PAGE:
                if self._own_cursors:
                    self._log.warning("cursors_refused", detail=refusal.refused.detail)
                self._own_cursors = False
                return
            await self._refused(talk, refusal, batch, moment, lambda part: self._read(talk, part, moment))
            return
        project = body.data.project if body.data else None
        answers = (project.session_data if project else None) or {}
        taken: list[tuple[StreamMemo, list[Stat], Ints]] = []
        parties = [readings.only_party(answers.get(f"r{i}"), kind) for i in range(len(batch))]
        stats = [readings.stats(party) for party in parties]
        times = _split(
            milliseconds([stat.created_at for rows in stats for stat in rows]), [len(rows) for rows in stats]
        )
        for (_, meeting, stream), offset, party, rows, at in zip(batch, offsets, parties, stats, times, strict=True):
            stream.tries += 1
            if party is None or party.stream_stats_collection is None:
                continue  # gone in the middle of it: asked again, a few times, then with the next look
            mine = self._meant(talk, meeting, stream, party)
            if mine is None:
                continue
            if mine is not stream and (mine.seen or 0) != offset:
                continue  # somebody else's rows, from a place that means nothing to them
            total = party.stream_stats_collection.total_count
            if total is not None:
                mine.total = max(total, 0)
            self._take(talk, mine, offset, rows, at, moment, taken)
        self.grid.add_many(taken, talk.tally)

    def _meant(self, talk: Talk, meeting: Meeting, stream: Stream, party: wire.Party) -> Stream | None:
        """The stream that rows belong to; where that is another than the one asked for, its place is learned."""
        name = readings.stream_id(party, stream.kind)
        if name == stream.id:
            return stream
        talk.tally[Oddity.NOT_ASKED] += 1
        own = meeting.publishers if stream.kind == "publishers" else meeting.subscribers
        other = own.get(name)
        if other is not None:
            other.place, stream.place = stream.place, other.place
        return other

    def _take(
        self,
        talk: Talk,
        stream: Stream,
        offset: int,
        rows: list[Stat],
        times: Ints,
        moment: Moment,
        taken: list[tuple[StreamMemo, list[Stat], Ints]],
    ) -> None:
        """Rows of one stream, if they continue what is known."""
        rows, times, timeless, future = readings.timely(rows, times, moment.now, talk.tally)
        ordered = np.unique(times)
        talk.tally[Oddity.DUPLICATE] += len(times) - len(ordered)
        positions = len(ordered) + timeless
        if not positions:
            stream.total = min(stream.total, offset) if not future else offset
            stream.seen = stream.total
            return
        early = stream.expected is None and not stream.recent and offset > 0
        if len(ordered) and early and ordered[0] > self.grid.floor * 1000:
            stream.seen = max(0, offset - documents.ROWS[1])  # the guess was too late
            return
        if len(ordered) and not stream.continues(offset, ordered.tolist()):
            talk.tally[Oddity.CURSOR] += 1
            stream.go_back()
            return
        stream.read(offset, positions, ordered.tolist())
        if len(rows):
            taken.append((stream.memo, rows, times))

    async def _read_whole(self, talk: Talk, todo: Sequence[tuple[Session, Meeting, Stream]], moment: Moment) -> None:
        """Page through whole meetings with the vendor's own cursors: rows are read again, and taken once."""
        meetings = {(session.id, meeting.key, stream.kind): (session, meeting) for session, meeting, stream in todo}
        for (_, _, kind), (session, meeting) in meetings.items():
            at, seen = "", {""}
            for _ in range(MAX_PAGES):
                variables = {
                    **documents.beginning(meeting.began),
                    "id": session.id,
                    "meeting": meeting.id,
                    "at": at,
                    "first": _WHOLE_STREAMS,
                    "rows": _WHOLE_ROWS,
                }
                body = await talk.graphql(documents.whole(self._project, kind), variables)
                parties = readings.parties(readings.found(body), kind, began=meeting.began)
                self._take_whole(talk, meeting, kind, parties, moment)
                at = readings.following(parties.page_info if parties else None, seen, talk.tally)
                if not at:
                    break

    def _take_whole(
        self, talk: Talk, meeting: Meeting, kind: str, parties: wire.Parties | None, moment: Moment
    ) -> None:
        own = meeting.publishers if kind == "publishers" else meeting.subscribers
        taken: list[tuple[StreamMemo, list[Stat], Ints]] = []
        for party in readings.objects(parties.resources if parties else None):
            stream = own.get(readings.stream_id(party, kind))
            stats = party.stream_stats_collection
            if stream is None or stats is None:
                continue
            rows = list(readings.objects(stats.resources))
            stream.recent.clear()
            stream.expected = None
            if len(rows) < stream.total:
                talk.tally[Oddity.OVERFLOW] += stream.total - len(rows)
            times = milliseconds([row.created_at for row in rows])
            self._take(talk, stream, 0, rows, times, moment, taken)
            stream.seen = stream.total
        self.grid.add_many(taken, talk.tally)

    # ── refusals ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _refused(
        self,
        talk: Talk,
        refusal: VendorRefusal,
        batch: Sequence[T],
        moment: Moment,
        again: Callable[[Sequence[T]], Awaitable[None]],
    ) -> None:
        """Halve what is too large, split what holds an unknown session; raises what else it is."""
        if refusal.action not in (Action.SMALLER, Action.SPLIT):
            raise refusal
        if refusal.action is Action.SMALLER:
            await self._probe(talk, refusal, _session_of(batch[0]))
            talk.tally[Oddity.TOO_BIG] += 1
            if len(batch) == 1:
                raise ProviderError(
                    Reason.TOO_LARGE, "one session alone is too large a query", vendor_time=refusal.date
                )
            half = max(1, len(batch) // 2)
            if isinstance(batch[0], Session):
                self._batch = min(self._batch, half)
            else:
                self._streams = min(self._streams, half)
        elif len({_session_of(item).id for item in batch}) == 1:
            self._unknown(talk, _session_of(batch[0]), moment)
            for item in batch:
                if not isinstance(item, Session):
                    item[2].tries = _TRIES  # type: ignore[index]
            return
        for part in _halves(batch):
            await again(part)

    async def _probe(self, talk: Talk, refusal: VendorRefusal, session: Session) -> None:
        """1014 says that the add-on is missing, and may mean that the query was too large: ask for next to nothing."""
        if self._addon:
            return
        try:
            await talk.graphql(documents.probe(self._project), {"ids": [session.id]})
        except VendorRefusal as second:
            if second.action is not Action.SPLIT:
                raise refusal from None
        self._addon = True

    def _unknown(self, talk: Talk, session: Session, moment: Moment) -> None:
        """Too young, too old, or somebody else's: it rests."""
        talk.tally[Oddity.UNKNOWN_SESSION] += 1
        session.sure = False
        session.not_before = moment.now + REST_UNKNOWN

    # ── afterwards ───────────────────────────────────────────────────────────────────────────────────────────────────

    def tidy(self, moment: Moment) -> None:
        """Forget what has ended, was read, and will not grow any more."""
        quiet = (moment.now - moment.linger) * 1000
        for session in list(self.roster.sessions.values()):
            for meeting in list(session.meetings.values()):
                gone = meeting.ended < quiet - KEEP * 1000 or meeting.began < (moment.now - RETENTION) * 1000
                if gone or (meeting.ended < quiet and not any(stream.unread for stream in meeting.streams())):
                    self.roster.end_meeting(session, meeting, moment.now)
            if session.meetings:
                session.since = min(m.began for m in session.meetings.values()) / 1000 - MINUTE
            elif session.sure and self.shows_running:
                session.since = max(session.since, moment.cut - HOUR)
            if not session.named and not session.meetings and session.wanted_at < moment.now - moment.linger:
                self.roster.end_session(session, moment.now)
        self.roster.tidy(moment.now, oldest=moment.now - RETENTION)

    def _read_until(self, stream: Stream) -> int:
        """The time, in milliseconds, up to which a stream was read."""
        return stream.recent[-1] if stream.recent else max(stream.memo.began, self.grid.floor * 1000)

    def complete_until(self, moment: Moment) -> float:
        """The event time up to which nothing is unread that points are made of and the vendor gives."""
        waiting = [
            self._read_until(stream)
            for session, _, stream in self.roster.unread()
            if stream.tries < _TRIES and (session.named or stream.kind == "publishers")
        ]
        return min([moment.cut, *(at / 1000 for at in waiting)])


# ── small readings ───────────────────────────────────────────────────────────────────────────────────────────────────


def _split(times: Ints, lengths: Sequence[int]) -> list[Ints]:
    return np.split(times, np.cumsum(lengths)[:-1])


def _session_of(item: object) -> Session:
    return item if isinstance(item, Session) else item[0]  # type: ignore[index]


def _page_size(rows: int) -> int:
    return next((size for size in documents.ROWS if size >= rows), documents.ROWS[-1])


def _chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    walk = iter(items)
    while chunk := list(islice(walk, size)):
        yield chunk


def _batches(
    todo: Sequence[tuple[Session, Meeting, Stream]], most: int, nodes: int
) -> Iterator[Sequence[tuple[Session, Meeting, Stream]]]:
    """Streams of one kind and of one size of page together, as many as the nodes allow."""
    groups: dict[tuple[str, int], list[tuple[Session, Meeting, Stream]]] = defaultdict(list)
    for item in todo:
        groups[item[2].kind, _page_size(item[2].total - (item[2].seen or 0))].append(item)
    for (_, rows), group in groups.items():
        fitting = max(1, min(most, (nodes - 1) // (documents.read_nodes(1, rows) - 1)))
        yield from _chunks(group, fitting)


def _halves(items: Sequence[T]) -> tuple[Sequence[T], Sequence[T]]:
    middle = max(1, len(items) // 2)
    return items[:middle], items[middle:]
