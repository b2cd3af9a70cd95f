"""Small readings of GraphQL answers, in which every part may be missing: lists without their holes, spans, cursors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from watcher.providers.vonage import wire
from watcher.providers.vonage.roster import OPEN
from watcher.providers.vonage.rows import AHEAD, NEVER, Ints, milliseconds
from watcher.providers.vonage.wire import Oddity, Stat, Tally

T = TypeVar("T")


def found(body: wire.Body) -> wire.Sessions | None:
    project = body.data.project if body.data else None
    return (project.session_data or {}).get("found") if project else None


def objects(items: Sequence[T | None] | None) -> Iterator[T]:
    return (item for item in items or () if item is not None)


def span(created: str | None, destroyed: str | None) -> tuple[int, int]:
    began, ended = milliseconds([created, destroyed]).tolist()
    return began, OPEN if destroyed is None else began if ended == NEVER else ended


def stream_id(party: wire.Party, kind: str) -> str:
    """A publisher is known by its stream, a subscriber by its own id; empty where that is missing."""
    source = party.stream.stream_id if party.stream else None
    return (party.subscriber_id if kind == "subscribers" else source) or ""


def timely(rows: list[Stat], times: Ints, now: float, tally: Tally) -> tuple[list[Stat], Ints, int, int]:
    """The rows of a readable time that is not in the future, and their times; how many had none, and how many such."""
    future = times > now * 1000 + AHEAD
    good = (times != NEVER) & ~future
    timeless, early = int((times == NEVER).sum()), int(future.sum())
    tally[Oddity.NO_TIME] += timeless
    tally[Oddity.FUTURE] += early
    if good.all():
        return rows, times, timeless, early
    return [row for row, fits in zip(rows, good, strict=True) if fits], times[good], timeless, early


def following(page: wire.PageInfo | None, seen: set[str], tally: Tally) -> str:
    """The cursor of the next page; empty after the last one, and where the pages go in a circle."""
    if page is None or not page.has_next_page or not page.end_cursor:
        return ""
    if page.end_cursor in seen or len(page.end_cursor) > 1000:
        tally[Oddity.LOOP] += 1
        return ""
    seen.add(page.end_cursor)
    return page.end_cursor


def parties(found: wire.Sessions | None, kind: str, *, began: int | None = None) -> wire.Parties | None:
    for session in objects(found.resources if found else None):
        for meeting in objects(session.meetings.resources if session.meetings else None):
            if began is None or span(meeting.created_at, None)[0] == began:
                page: wire.Parties | None = getattr(meeting, kind)
                return page
    return None


def only_party(sessions: wire.Sessions | None, kind: str) -> wire.Party | None:
    page = parties(sessions, kind)
    return next(objects(page.resources if page else None), None)


def stats(party: wire.Party | None) -> list[Stat]:
    collection = party.stream_stats_collection if party else None
    return list(objects(collection.resources if collection else None))
