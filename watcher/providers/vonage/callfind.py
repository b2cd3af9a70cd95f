"""Which meeting of a session somebody means who asks for one call (dossier sections 3.3, 3.5, 7.1).

The one that ran at the wished time, or the last that began before it: a page about the end of a call may come after it.
Meetings are listed without their people. That is a query of a few nodes, so 1014 can only mean the add-on (4.2), and it
also says how many connections and subscribers there were in each, before any of them is asked for.

The vendor documents no order, so of a span every page is listed. The spans go back from the wished time, each a few
times as long as the one before, until one holds a meeting: one span of all that is kept could hold hundreds of pages.
"""

from __future__ import annotations

from typing import NamedTuple

from watcher.calls import CallWish, nearest
from watcher.clock import DAY, HOUR
from watcher.errors import ProviderError, Reason
from watcher.providers.vonage import documents, readings, wire
from watcher.providers.vonage.client import OutOfBudget, Talk, VendorRefusal
from watcher.providers.vonage.refusals import Action
from watcher.providers.vonage.roster import OPEN
from watcher.providers.vonage.rows import AHEAD, NEVER
from watcher.providers.vonage.settings import RETENTION, Project
from watcher.providers.vonage.wire import Oddity

MAX_LISTED = 5  # pages of meetings, for one span of time

_FURTHER = 4  # how many times as far back is looked next, where no meeting was found
_ABSURD = 1_000_000  # people


class Meeting(NamedTuple):
    """One of the session's. Instants are milliseconds; `ended` is `OPEN` while it runs; None what is not told."""

    id: str
    began: int
    ended: int
    users: int | None
    subscribers: int | None


class Finder:
    """One question's meeting; what has to be said about it goes to `notes`."""

    def __init__(self, *, project: Project, wish: CallWish, talk: Talk, now: float, notes: list[str]) -> None:
        self._project = project
        self._wish = wish
        self._talk = talk
        self._now = now
        self._at = now if wish.at is None else min(wish.at, now)
        self._oldest = now - RETENTION
        self._notes = notes

    async def find(self, session: str) -> tuple[Meeting, tuple[Meeting, ...]] | None:
        """The meeting, and the others that were listed, in order; None where there is none. Raises `ProviderError`."""
        if self._at < self._oldest:
            await self._talk.give_back()
            what = f"the vendor keeps meetings for {RETENTION // DAY:.0f} days"
            raise ProviderError(Reason.TOO_OLD, what, sent=False)
        try:
            listed = await self._meetings(session)
        except VendorRefusal as refusal:
            if refusal.action is Action.SPLIT:
                return None
            raise refusal.error() from refusal
        if not listed:
            return None
        meeting = nearest(listed, self._wish.at, lambda one: one.began / 1000, _end)
        assert meeting is not None
        return meeting, tuple(other for other in listed if other is not meeting)

    async def _meetings(self, session: str) -> list[Meeting]:
        """Those about the wished time; where none began before it, further and further back."""
        found: dict[tuple[str, int], Meeting] = {}
        back = float(self._project.longest)
        start, end = max(self._at - back, self._oldest), min(self._at + back, self._now)
        while True:
            try:
                found = await self._listed(session, start, end) | found
            except (OutOfBudget, VendorRefusal, ProviderError) as stopped:
                if found:
                    self._notes.append("not all of its meetings could be listed: another may be nearer")
                    break
                if isinstance(stopped, OutOfBudget):
                    what = f"no meeting within {back / _FURTHER / HOUR:g} h, and no request left to look further back"
                    raise ProviderError(Reason.BUDGET, what) from None
                raise
            if start == self._oldest or any(meeting.began <= self._at * 1000 for meeting in found.values()):
                break
            back *= _FURTHER
            start, end = max(self._at - back, self._oldest), start
        return sorted(found.values(), key=lambda meeting: meeting.began)

    async def _listed(self, session: str, start: float, end: float) -> dict[tuple[str, int], Meeting]:
        """The meetings of a span by id and beginning. Raises what its first page fails with."""
        found: dict[tuple[str, int], Meeting] = {}
        at, seen = "", {""}
        for page in range(MAX_LISTED):
            variables = {"ids": [session], "from": documents.stamp(start), "until": documents.stamp(end), "at": at}
            try:
                body = await self._talk.graphql(documents.meetings(self._project.id), variables)
            except (OutOfBudget, VendorRefusal, ProviderError):
                if not page:
                    raise
                break
            meetings = self._of_session(readings.found(body), session)
            for meeting in readings.objects(meetings.resources if meetings else None):
                self._list(found, meeting)
            at = readings.following(meetings.page_info if meetings else None, seen, self._talk.tally)
            if not at:
                return found
        self._notes.append("the session has more meetings than were listed: another may be nearer")
        return found

    def _of_session(self, sessions: wire.Sessions | None, wanted: str) -> wire.Meetings | None:
        """The session's part of an answer. Raises `ProviderError` where there are errors in its place."""
        for session in readings.objects(sessions.resources if sessions else None):
            if session.session_id == wanted:
                return session.meetings
            self._talk.tally[Oddity.NOT_ASKED] += 1
        if self._talk.partial:
            raise ProviderError(Reason.SERVER, "errors in the place of the session")
        return None

    def _list(self, found: dict[tuple[str, int], Meeting], meeting: wire.Meeting) -> None:
        began, ended = readings.span(meeting.created_at, meeting.destroyed_at)
        if not meeting.meeting_id or began == NEVER:
            self._talk.tally[Oddity.NO_TIME] += 1
        elif began > self._now * 1000 + AHEAD:
            self._talk.tally[Oddity.FUTURE] += 1
        else:
            users, subscribers = _count(meeting.connections), _count(meeting.subscribers)
            found[meeting.meeting_id, began] = Meeting(meeting.meeting_id, began, ended, users, subscribers)


def _end(meeting: Meeting) -> float | None:
    return None if meeting.ended == OPEN else meeting.ended / 1000


def _count(parties: wire.Parties | None) -> int | None:
    total = parties.total_count if parties else None
    return None if total is None else min(max(total, 0), _ABSURD)
