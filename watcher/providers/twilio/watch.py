"""A look at one project: list the rooms, read the participants of those that are new, tell the minutes that changed
(dossier section 5).

Which minutes a look answers for. Up to `delay` before the vendor's time everything should be there, so that is how far
an answer settles. What is younger is told as far as it is known, and told anew as it grows: the evaluator judges a
minute again when its point changes (design, invariant 3), and the first third of an outage's rooms is enough to page.

What is not read because the budget of a look is spent holds back the answer's end: a restart begins a little before
where the record ends, and must find it. One room that cannot be read holds back nothing; it is tried again, counted.

Memory does not outlive the process, and what is on record came from a memory that was whole. So after a restart the
minutes of before are told again only once everything was read again: told in between, a minute of which a third is read
would take back two thirds of an outage. The same holds where an answer was thrown away, as that of a clock that was
ahead is: memory begins anew then, since the minutes in it count as told. Of which less is found than is on record may
be told of less later still, once that is certain (`record`).

A room may run for a day and shows only when it is over, and rooms are listed by when they began. So the list that finds
all is that of a day before the oldest minute in memory; it is read every quarter of an hour, since it is megabytes. In
between the list begins where a call of the `longest` expected length would have, which finds nearly every room at once.
Where the long list is more than one look can read, the two take turns.
"""

from __future__ import annotations

import math

from watcher.clock import HOUR, MINUTE, Clock
from watcher.errors import ProviderError, Reason, clip
from watcher.log import get
from watcher.model import Answer, PointsOf, Purse, Query, Series, Span, Split
from watcher.providers.twilio import clients, points, record, rows
from watcher.providers.twilio.client import Client, Talk, iso
from watcher.providers.twilio.endings import Judge
from watcher.providers.twilio.memory import Room, Rooms, Stay, Stays
from watcher.providers.twilio.queries import BEHIND, CATCH_UP, LIST_ALL_EVERY, RATIOS, ROOM_LIFE, SLACK, WIDTH
from watcher.providers.twilio.record import Record
from watcher.providers.twilio.rows import Oddity, Tally
from watcher.providers.twilio.settings import Project, TwilioAccount
from watcher.providers.vendortime import VendorTime

FIRST_LOOK = HOUR  # how far back behind the vendor's delay a project is read that never was
_LONG_LISTS = 3  # that may be cut short before a restart goes on without one
_BROKEN = 3  # rooms of one look that cannot be read: the rest of them waits
_BACK = 10 * MINUTE  # by which time may go back; what was planned by a clock a little ahead comes a little later
_NAMES = 50  # unknown endings that are named in the log, once each
_ROOMS_OWN = (Reason.SERVER, Reason.TIMEOUT, Reason.MALFORMED, Reason.TOO_LARGE, Reason.REQUEST)


class Watch:
    """One project's rooms, over all looks."""

    def __init__(
        self,
        *,
        account: TwilioAccount,
        project: Project,
        client: Client,
        vendor_time: VendorTime,
        clock: Clock,
    ) -> None:
        self._delay = float(account.delay)
        self._kept = project.longest + SLACK
        self._list_all_at = 0.0
        self._was_cut = False
        self._long_lists = _LONG_LISTS  # to be tried before what is held back is told
        self._client = client
        self._vendor_time = vendor_time
        self._clock = clock
        self.judge = Judge(basis=project.failure_basis, classes=project.classes)
        self._named: set[str] = set()
        self._begun = False
        self._since = -math.inf  # the time at which memory began
        self._latest = -math.inf  # the latest time that a look went by
        self._told: int | None = None  # the end of the newest answer
        self._recorded_until = -math.inf  # event time before which nothing is told until everything was read again
        self._settled = 0  # event time up to which an absence was final
        self._recalled: record.Counts = {}  # what an earlier run told
        self._record = Record({}, 0.0)
        self._log = get("twilio").bind(account=account.name, project=project.name)
        self.rooms = Rooms()
        self.stays = Stays(0)

    def recall(self, query: Query, recorded: PointsOf, since: int, covered: int) -> None:
        """What an earlier run told from `since` on. Raises what `recorded` does."""
        first = max(since, _floor(covered - self._kept))
        columns = (recorded(series, first) for series in query.series)
        self._recalled = record.counts(column for column in columns if column is not None)

    async def look(self, query: Query, covered: int | None, purse: Purse) -> Answer:
        """See `model.Source.look`."""
        tally: Tally = Tally()
        now = self._vendor_time.earliest()
        self._begin(covered, now)
        self._latest = now
        lost = Span(covered, oldest) if covered is not None and covered < (oldest := _floor(now - CATCH_UP)) else None
        talk = self._client.talk(purse, tally)
        whole = await self._list(talk, now)
        now = self._vendor_time.earliest()  # the first answer tells the vendor's time better
        self._latest = max(self._latest, now)
        try:
            unread = await self._read(talk, now)
        finally:
            self._record.looked(tally, now)
        if not self._long_lists and not self.rooms.awaited(self._recorded_until):
            self._recorded_until = -math.inf
        if self._record.is_certain and self.rooms.complete(self._since):
            self.stays.touched |= self._record.let_go(self.stays.floor)
        tally[Oddity.UNREAD] += len(unread)
        answer = self._answer(query, covered, now, whole=whole, unread=unread, lost=lost, tally=tally)
        if whole and not unread and not self._record.is_open(now):
            self._forget(now)
        return answer

    def talk(self, purse: Purse) -> Talk:
        """The requests of somebody who asks for one room: nothing of it is remembered here."""
        return self._client.talk(purse, Tally())

    # ── how far back ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _begin(self, covered: int | None, now: float) -> None:
        """Where memory begins: at the first look, and anew where the last answer was not taken, or where it began by a
        clock that was ahead. Where such a clock only planned, what it planned is brought forward."""
        taken_back = self._told is not None and (covered is None or covered < self._told)
        anew = self._begun and (taken_back or now < self._since - _BACK)
        if self._begun and not anew:
            if now < self._latest - _BACK:
                self._list_all_at = min(self._list_all_at, now + LIST_ALL_EVERY)
                self.rooms.bring_forward(now)
            return
        stands = Record(self._on_record(), now)
        self._begun, self._since, self._recalled = True, now, {}
        self.rooms, self.stays = Rooms(), Stays(0)
        self._list_all_at, self._was_cut, self._long_lists = 0.0, False, _LONG_LISTS
        self._record = stands
        if covered is not None or anew:
            self._recorded_until = now if covered is None else covered
            self.stays.trim(max(_floor(self._recorded_until - self._kept), _floor(now - CATCH_UP)))
            self._settled = max(_floor(self._recorded_until - self._delay), self.stays.floor)
        else:
            self.stays.trim(_floor(now - self._delay - FIRST_LOOK))
            self._settled = self.stays.floor
        self._told = None

    def _on_record(self) -> record.Counts:
        """What was told, by an earlier run or since memory began; what still stands of before that as it was told."""
        told = (points.measure(start, self.stays.minute(start)) for start in self.stays.minutes)
        return {**{minute.start: minute.counts for minute in told}, **self._record.minutes, **self._recalled}

    def _forget(self, now: float) -> None:
        self.stays.trim(_floor(now - self._delay - self._kept))
        self.rooms.trim(self.stays.floor)
        self._record.trim(self.stays.floor)

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _list(self, talk: Talk, now: float) -> bool:
        """Whether all rooms were listed. Raises `ProviderError`."""
        oldest = self.stays.floor - ROOM_LIFE
        everything = now >= self._list_all_at and not self._was_cut
        since = oldest if everything else max(oldest, now - self._delay - self._kept)
        listed = await talk.rooms(iso(since), iso(math.floor(now) + 1))
        talk.tally[Oddity.UNREAD] += listed.cut
        if everything and listed.whole:
            self._list_all_at, self._long_lists = now + LIST_ALL_EVERY, 0
        elif everything:
            self._long_lists = max(0, self._long_lists - 1)
        self._was_cut = everything and not listed.whole
        found = (rows.room(row, talk.tally) for row in listed.rows)
        self.rooms.take((row for row in found if row is not None), now, self.stays.floor, talk.tally)
        if everything and listed.whole:
            self._record.listed(clean=not record.hiding(talk.tally))
        return listed.whole

    async def _read(self, talk: Talk, now: float) -> list[Room]:
        """The due rooms that are left over. Raises `ProviderError` where it is more than a room that fails."""
        due, well, fresh, failed = self.rooms.due(now), 0, 0, list[ProviderError]()
        for number, room in enumerate(due):
            try:
                if not await self._participants(talk, room, now):
                    return due[number:]
                well += 1
            except ProviderError as error:
                if error.reason not in _ROOMS_OWN:
                    raise
                fresh += not room.failures  # one that failed before is known to be broken by itself
                self.rooms.has_failed(room, now, talk.tally)
                failed.append(error)
                if len(failed) >= _BROKEN:
                    break
        if fresh > well:
            raise failed[-1]
        return [room for room in due if room.next_at <= now and not room.done]

    async def _participants(self, talk: Talk, room: Room, now: float) -> bool:
        """False where the budget ended first: the room is as due as it was. Raises `ProviderError`."""
        odd = record.hiding(talk.tally)
        listed = await talk.participants(room.sid)
        seen: set[str] = set()
        all_there = listed.whole
        for row in listed.rows:
            early = talk.tally[Oddity.FUTURE]
            stay = rows.stay(row, room.sid, now, talk.tally)
            all_there = all_there and talk.tally[Oddity.FUTURE] == early  # else our clock is behind: once more
            if stay is None:
                continue
            talk.tally[Oddity.DUPLICATE] += stay.sid in seen
            seen.add(stay.sid)
            verdict = self.judge.of(stay.reason, stay.code, stay.duration)
            self._name(verdict.strange, talk.tally)
            talk.tally[Oddity.CONFLICT] += verdict.conflict
            self.stays.put(Stay(stay.sid, room.sid, _floor(stay.left), verdict, stay.client), talk.tally)
        if listed.cut:
            return False
        if listed.missing:
            self.rooms.was_missing(room, now, talk.tally)
        else:
            hides = record.hiding(talk.tally) > odd
            self.rooms.was_read(room, now, talk.tally, whole=all_there, hides=hides)
        return True

    def _name(self, strange: tuple[str, ...], tally: Tally) -> None:
        """Say each unknown ending once: someone has to decide what it counts as."""
        tally[Oddity.UNKNOWN_ENDING] += len(strange)
        for ending in strange:
            if ending not in self._named and len(self._named) < _NAMES:
                self._named.add(ending)
                self._log.warning("unknown_ending", ending=clip(ending, 80), remedy="file it under `classes`")

    # ── points ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _answer(
        self,
        query: Query,
        covered: int | None,
        now: float,
        *,
        whole: bool,
        unread: list[Room],
        lost: Span | None,
        tally: Tally,
    ) -> Answer:
        limit = min([now, *(room.ended for room in unread if not room.read and not room.failures)])
        end = _floor(min(now - self._delay, limit))
        begin = self.stays.floor if covered is None else max(covered, self.stays.floor)
        end = end if whole else begin  # what was not listed may hold anybody
        due = sorted(s for s in self.stays.touched if s + WIDTH <= limit and s >= self._recorded_until)
        known = (points.measure(start, self.stays.minute(start)) for start in due)
        minutes = [minute for minute in known if not self._record.has_more(minute)]
        told = [minute.start for minute in minutes]
        self.stays.touched.difference_update(told)
        self._record.told(told)
        first, last = (told[0], told[-1] + WIDTH) if told else (begin, begin)
        asked = Span(min(first, begin, self._settled), max(end, last, begin))
        if whole and math.isinf(self._recorded_until):  # else an absent minute may be one that is held back
            self._settled = max(self._settled, end)
        self._told = asked.end
        return Answer(
            query=query,
            asked=asked,
            settled=self._settled,
            points=points.columns(minutes, query.series),
            received_at=self._clock.now(),
            lost=lost,
            oddities={str(oddity): count for oddity, count in tally.items() if count},
            worst=self._worst,
            splits=self._splits,
        )

    def _worst(self, series: Series, at: int) -> str:
        """Endings and rooms behind a value, most first."""
        return points.worst(self._behind(at), series.signal)

    def _splits(self, series: Series, at: int) -> tuple[Split, ...]:
        """See `model.Splits`."""
        return clients.splits(self._behind(at), series.signal) if series.signal in RATIOS else ()

    def _behind(self, at: int) -> list[Stay]:
        """Who left in the minutes that a value at event time `at` is made of."""
        return [stay for start in range(at - BEHIND, at, WIDTH) for stay in self.stays.minute(start)]


def _floor(at: float) -> int:
    return math.floor(at / WIDTH) * WIDTH
