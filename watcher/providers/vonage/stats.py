"""A look at one project's Advanced Insights: discovery, counts, rows, points (dossier sections 3 to 5, 7).

Which windows a look answers for. Up to `cut`, the vendor's time less its delay, everything should be there, so that is
where an answer ends; where something was left unread, earlier. Points are made of every bucket that got a row, however
old, and `asked` begins with the oldest: a late row makes its bucket grow, and the evaluator judges it anew (design,
invariant 3). What memory does not hold whole is never made a point of: after a restart rows are read again from a
little before where the record ends, and buckets before that are left as they were recorded.

Three modes of visibility (3.2). Where the vendor shows running meetings, absence means something: windows settle two
minutes after they are answered for. Where it shows meetings only after their end, or nobody knows yet, nothing ever
settles by absence: neither health nor an outage. One running meeting that shows rows decides it, and is remembered.

Maintenance (3.4): data that comes is judged as ever. A look that fails inside a window, or brings nothing new although
people are connected, freezes the project until the window is complete; then everything since is read again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from watcher.clock import HOUR, MINUTE, Clock, hhmm
from watcher.errors import ProviderError, Reason, clip
from watcher.log import get
from watcher.model import USERS, Answer, Points, Purse, Query, Series, Span, Split
from watcher.providers.vendortime import VendorTime
from watcher.providers.vonage import clients, points
from watcher.providers.vonage.calendar import Window, window_at
from watcher.providers.vonage.client import Client, OutOfBudget, VendorRefusal
from watcher.providers.vonage.live import Live
from watcher.providers.vonage.points import MEASURED, Value, Votes
from watcher.providers.vonage.queries import SETTLE, Target
from watcher.providers.vonage.reader import Moment, Reader
from watcher.providers.vonage.roster import OPEN, Roster, present_in
from watcher.providers.vonage.rows import KEEP, WIDTH, Grid
from watcher.providers.vonage.settings import VonageAccount
from watcher.providers.vonage.units import Units
from watcher.providers.vonage.wire import Tally

FIRST_LOOK = HOUR  # how far back a project is read that never was
OVERLAP = 5 * MINUTE  # read again before the end of the record, after a restart
CATCH_UP = KEEP - HOUR  # further back nothing is caught up with
SUSPECTS = 5  # sessions whose subscribers are read because they look bad
SUSPECT_FOR = 5 * MINUTE
FROZEN_AFTER = 3 * WIDTH  # seconds without a new row that are unusual while people are connected
_CROWDS = 40  # newest windows whose people are counted anew at each look
_WORST = 3  # sessions named in a message
_WHOLE_ID = 80  # characters of theirs: ids have some 72, and are asked for by them (`watcher call`)
_PROBES = 3  # live sessions asked for, to find out whether running meetings are shown


@dataclass(slots=True)
class _Emitted:
    """Points of this look: per series, value by window start."""

    values: dict[Series, dict[int, Value]]

    def put(self, series: Series, start: int, value: Value) -> None:
        self.values.setdefault(series, {})[start] = value

    def points(self) -> tuple[Points, ...]:
        found = []
        for series, values in self.values.items():
            starts = sorted(values)
            weighs = series.signal in MEASURED
            found.append(
                Points(
                    series=series,
                    width=WIDTH,
                    start=np.array(starts, np.int64),
                    value=np.array([values[s].value for s in starts], np.float64),
                    weight=np.array([values[s].weight for s in starts], np.float64) if weighs else None,
                )
            )
        return tuple(found)

    def begins(self) -> int | None:
        return min((start for values in self.values.values() for start in values), default=None)


class StatsWatch:
    """One project's sessions, over all looks."""

    def __init__(
        self,
        *,
        account: VonageAccount,
        target: Target,
        client: Client,
        vendor_time: VendorTime,
        clock: Clock,
        live: Live,
        units: Units,
    ) -> None:
        project = target.project
        self.units = units
        self.grid = Grid()
        self.roster = Roster()
        self.reader = Reader(
            project=project.id,
            roster=self.roster,
            grid=self.grid,
            most_nodes=account.most_nodes,
            longest=float(project.longest),
        )
        self._account = account
        self._project = project
        self._query = target.query
        self._client = client
        self._vendor_time = vendor_time
        self._clock = clock
        self._live = live
        self._channels: Mapping[str, str] = project.channels
        self._lines = {"audio_loss": project.lines.audio_loss, "video_loss": project.lines.video_loss}
        self._begun = False
        self._frozen: tuple[float, Window] | None = None
        self._covered = 0
        self._people: dict[tuple[Series, int], int] = {}
        self._fed_at = -math.inf
        self._fed: tuple[str, ...] = ()
        self._log = get("vonage").bind(account=account.name, project=project.name)
        self.reader.shows_running = units.shows_running

    async def look(self, query: Query, covered: int | None, purse: Purse) -> Answer:
        """See `model.Source.look`."""
        tally: Tally = Tally()
        moment = self._moment()
        lost = self._begin(covered, moment)
        if (window := self._thaw(moment)) is not None:
            await purse.refund()  # nothing is asked before it is complete
            raise _maintenance(window)
        whole = await self._read(purse, moment, tally)
        self.units.learn(self.grid, shows_running=self.reader.shows_running)
        self._notice_freeze(moment)
        self.reader.tidy(moment)
        self.grid.trim(int(moment.now), tally)
        answer = self._answer(query, covered, moment, whole=whole, lost=lost, tally=tally)
        self._covered = max(self._covered, answer.asked.end)
        return answer

    # ── when ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _moment(self) -> Moment:
        now = self._vendor_time.earliest()
        delay = float(self._account.delay)
        return Moment(now=now, cut=now - delay, linger=delay + 10 * MINUTE + 15 * MINUTE)

    def _begin(self, covered: int | None, moment: Moment) -> Span | None:
        """At the first look: where memory begins, and what could not be caught up with."""
        if self._begun:
            return None
        self._begun = True
        end = _floor(moment.cut)
        if covered is None:
            self.grid.begin(end - FIRST_LOOK)
            return None
        self._covered = covered
        oldest = end - CATCH_UP
        self.grid.begin(max(_floor(covered - OVERLAP), oldest))
        return Span(covered, oldest) if covered < oldest else None

    # ── maintenance ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _thaw(self, moment: Moment) -> Window | None:
        """The window that the project is frozen in; once that is complete, everything since is read again."""
        if self._frozen is None:
            return None
        since, window = self._frozen
        if moment.now < window.complete:
            return window
        self._frozen = None
        start = _floor(since)
        self.grid.forget(start)
        self.grid.begin(max(self.grid.floor, start))
        self.roster.rewind()
        self._log.info("maintenance_over", read_again_from=hhmm(start))
        return None

    def _freeze(self, window: Window, moment: Moment) -> ProviderError:
        if self._frozen is None:
            since = min(max(self._covered, self.grid.floor), moment.cut) - OVERLAP
            self._frozen = (since, window)
            self._log.warning("maintenance", until=hhmm(window.complete))
        return _maintenance(window)

    def _window(self, moment: Moment) -> Window | None:
        return window_at(moment.now) if self._account.maintenance == "vendor" else None

    def _notice_freeze(self, moment: Moment) -> None:
        """Inside a window: nothing new although meetings run is maintenance, not silence."""
        window = self._window(moment)
        if window is None or not self.reader.shows_running:
            return
        running = [
            stream
            for session in self.roster.sessions.values()
            for meeting in session.meetings.values()
            if meeting.ended == OPEN
            for stream in meeting.publishers.values()
            if stream.ended == OPEN
        ]
        newest = max((stream.recent[-1] for stream in running if stream.recent), default=None)
        empty = not self.roster.sessions and self._live.anybody(moment.now)
        if empty or (newest is not None and newest / 1000 < moment.cut - FROZEN_AFTER):
            raise self._freeze(window, moment)

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _read(self, purse: Purse, moment: Moment, tally: Tally) -> bool:
        """Whether everything could be asked for; raises `ProviderError`."""
        talk = self._client.talk(purse, tally)
        counted = False
        try:
            await self._want(moment)
            if self._project.summaries:
                await self.reader.discover(talk, moment)
            await self.reader.count(talk, moment)
            counted = True
            await self.reader.read(talk, moment)
        except OutOfBudget:
            return counted
        except VendorRefusal as refusal:
            raise self._explained(refusal.error(), moment) from refusal
        except ProviderError as error:
            raise self._explained(error, moment) from error
        if not talk.requests:
            await talk.give_back()
        return True

    def _explained(self, error: ProviderError, moment: Moment) -> ProviderError:
        """A vendor in trouble inside a maintenance window is in maintenance."""
        window = self._window(moment)
        troubled = error.reason in (Reason.SERVER, Reason.TIMEOUT, Reason.NETWORK, Reason.MALFORMED)
        return self._freeze(window, moment) if window is not None and troubled else error

    async def _want(self, moment: Moment) -> None:
        """Sessions that the user names, that the webhooks know, and that the user's own list holds."""
        for session_id in self._channels.values():
            if (session := self.reader.want(session_id, moment)) is not None:
                session.named = True
        for session_id in self._project.sessions:
            self.reader.want(session_id, moment)
        self._want_heard_of(moment)
        feed = self._project.feed
        if feed is not None:
            if moment.now - self._fed_at >= feed.every:
                self._fed_at = moment.now
                await self._feed(feed.url.reveal())
            for session_id in self._fed:
                self.reader.want(session_id, moment)

    def _want_heard_of(self, moment: Moment) -> None:
        """Sessions of the webhooks, once Insights may show them: each asked for in vain is split out of its batch."""
        delay = float(self._account.delay)
        probes = _PROBES if self.reader.shows_running is None else 0
        for session_id, began, ended in self._live.sessions(moment.now, linger=moment.linger + 10 * MINUTE):
            shown_at = began + delay
            if not self.reader.shows_running:
                if ended is not None:
                    shown_at = ended + 12 * MINUTE + delay  # a meeting is over after ten quiet minutes
                elif probes > 0 and shown_at <= moment.now:
                    probes -= 1
                else:
                    continue
            if shown_at <= moment.now:
                self.reader.want(session_id, moment)

    async def _feed(self, url: str) -> None:
        try:
            found = await self._client.feed(url)
        except ProviderError as error:
            self._log.warning("feed_failed", reason=error.reason)
            return
        listed = found.get("sessions") if isinstance(found, dict) else found
        items = listed if isinstance(listed, list) else []
        self._fed = tuple(item for item in items[:10_000] if isinstance(item, str) and 3 <= len(item) <= 255)

    # ── points ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _answer(
        self, query: Query, covered: int | None, moment: Moment, *, whole: bool, lost: Span | None, tally: Tally
    ) -> Answer:
        begin = max(self.grid.floor, 0) if covered is None or not self._covered else self._covered
        reached = self.reader.complete_until(moment) if whole else float(begin)
        end = max(_floor(reached), begin)
        emitted = _Emitted({})
        touched = self.grid.touched(until=end)
        for start in self._with_neighbours(touched, end):
            self._bucket(emitted, start)
        self._count_people(emitted, begin, end)
        if touched:
            self._suspect(touched[-1], moment)
        first = emitted.begins()
        asked = Span(begin if first is None else min(first, begin), end)
        return Answer(
            query=query,
            asked=asked,
            settled=self._settled(asked, moment),
            points=emitted.points(),
            received_at=self._clock.now(),
            lost=lost,
            oddities={str(oddity): count for oddity, count in tally.items() if count},
            worst=self._worst,
            splits=self._splits,
        )

    def _settled(self, asked: Span, moment: Moment) -> int:
        if not self.reader.shows_running:
            return asked.start
        return max(asked.start, min(asked.end, _floor(moment.cut)) - SETTLE * WIDTH)

    def _with_neighbours(self, touched: list[int], end: int) -> list[int]:
        """The buckets to make points of: a stall is told by two of them, so the next ones may change too."""
        wanted = set(touched)
        for start in touched:
            wanted.update(s for s in (start + WIDTH, start + 2 * WIDTH) if s + WIDTH <= end)
        return sorted(wanted)

    def _bucket(self, emitted: _Emitted, start: int) -> None:
        who = self.roster.who()
        votes = points.votes(self.grid, start, who)
        if votes is None:
            return
        sessions = who.session[votes.stream]
        publishes = who.publishes[votes.stream]
        chosen = {"": publishes}
        for channel, session_id in self._channels.items():
            session = self.roster.sessions.get(session_id)
            if session is not None:
                chosen[channel] = sessions == session.number
        for channel, mask in chosen.items():
            mine = {s.signal: s for s in self._query.series if s.channel == channel and s.signal in MEASURED}
            for signal, value in points.measure(votes, mask, mine, self.units.scale(), self._lines).items():
                emitted.put(mine[signal], start, value)

    def _count_people(self, emitted: _Emitted, begin: int, end: int) -> None:
        """Connections and sessions per window: nobody is a value too, where the vendor shows who is there."""
        low = min(begin, max(end - _CROWDS * WIDTH, self.grid.floor))
        starts = np.arange(low, end, WIDTH, dtype=np.int64)
        if not len(starts):
            return
        crowds = self.roster.crowds()
        who = {series: series.channel for series in self._query.series if series.signal in (USERS, "channels")}
        numbers = {c: s.number for c, i in self._channels.items() if (s := self.roster.sessions.get(i))}
        per_session: dict[int, np.ndarray[tuple[int, ...], np.dtype[np.int64]]] = {}
        for number, crowd in crowds:
            present = present_in(crowd, starts, WIDTH)
            per_session[number] = per_session[number] + present if number in per_session else present
        empty = np.zeros(len(starts), np.int64)
        everybody = sum(per_session.values(), empty)
        rooms = sum((np.minimum(present, 1) for present in per_session.values()), empty)
        for series, channel in who.items():
            if channel:
                counted = per_session.get(numbers.get(channel, -1), empty)
            else:
                counted = everybody if series.signal == USERS else rooms
            silent = not self._knows_nobody(channel)
            for start, count in zip(starts.tolist(), counted.tolist(), strict=True):
                if (count or not silent) and self._people.get((series, start)) != count:
                    self._people[series, start] = count
                    emitted.put(series, start, Value(float(count), float(count)))
        for key in [key for key in self._people if key[1] < low]:
            del self._people[key]

    def _knows_nobody(self, channel: str) -> bool:
        """Whether an empty window may be called so: running meetings are shown, and nothing live says otherwise."""
        if not self.reader.shows_running:
            return False
        if channel:
            return not self._live.connected(self._channels[channel])
        return not self._live.anybody(self._clock.now())

    # ── who is it ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _suspect(self, start: int, moment: Moment) -> None:
        """Have the subscribers of the worst sessions read for a while."""
        votes = points.votes(self.grid, start, self.roster.who())
        if votes is None:
            return
        lines = self._project.lines
        limits = {
            "video_packet_loss_ratio": lines.video_loss,
            "audio_packet_loss_ratio": lines.audio_loss,
            "video_latency_seconds": lines.latency,
            "audio_latency_seconds": lines.latency,
            "video_stall_ratio": 0.2,
        }
        badness: dict[int, float] = {}
        for signal, line in limits.items():
            for number, value in self._by_session(votes, signal).items():
                badness[number] = max(badness.get(number, 0.0), value.value / line)
        bad = sorted((number for number, by in badness.items() if by > 1), key=lambda n: -badness[n])
        for number in bad[:SUSPECTS]:
            session = self.roster.sessions.get(self.roster.names.get(number, ""))
            if session is not None:
                session.subscribers_until = moment.now + SUSPECT_FOR

    def _by_session(self, votes: Votes, signal: str) -> dict[int, Value]:
        sessions = self.roster.who().session[votes.stream]
        found: dict[int, Value] = {}
        for number in np.unique(sessions).tolist():
            told = points.measure(votes, sessions == number, (signal,), self.units.scale(), self._lines)
            if signal in told:
                found[number] = told[signal]
        return found

    def _worst(self, series: Series, at: int) -> str:
        """The sessions behind a value, worst first: `2_MX4…ab 12.5% of 8 streams, …`; empty where nobody can tell."""
        if series.channel or series.signal not in MEASURED:
            return ""
        votes = points.votes(self.grid, at - WIDTH, self.roster.who())
        if votes is None:
            return ""
        found = self._by_session(votes, series.signal)
        low_is_bad = "bitrate" in series.signal
        ranked = sorted(found.items(), key=lambda item: item[1].value if low_is_bad else -item[1].value)
        return ", ".join(
            f"{clip(self.roster.names.get(number, '?'), _WHOLE_ID)} {_shown(series.signal, value.value)} "
            f"of {value.weight:.0f} streams"
            for number, value in ranked[:_WORST]
            if low_is_bad or value.value > 0
        )

    def _splits(self, series: Series, at: int) -> tuple[Split, ...]:
        """A value by its streams' clients; nothing where nobody can tell."""
        who = self.roster.who()
        votes = points.votes(self.grid, at - WIDTH, who) if series.signal in MEASURED else None
        if votes is None:
            return ()
        chosen = who.publishes[votes.stream]
        if series.channel:
            session = self.roster.sessions.get(self._channels.get(series.channel, ""))
            if session is None:
                return ()
            chosen = who.session[votes.stream] == session.number
        return clients.splits(
            votes,
            chosen,
            who.client[votes.stream],
            self.roster.clients,
            signal=series.signal,
            scale=self.units.scale(),
            lines=self._lines,
        )


def _shown(signal: str, value: float) -> str:
    if signal.endswith("_ratio"):
        return f"{value * 100:.1f}%"
    if signal.endswith("_seconds"):
        return f"{value * 1000:.0f} ms"
    return f"{value / 125:.0f} kbit/s"


def _maintenance(window: Window) -> ProviderError:
    return ProviderError(
        Reason.MAINTENANCE, f"the vendor's maintenance, complete by {hhmm(window.complete)} UTC", sent=False
    )


def _floor(at: float) -> int:
    return math.floor(at / WIDTH) * WIDTH
