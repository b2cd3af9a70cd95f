"""One room as whoever was paged sees it: everybody who was in it, and how each stay ended (dossier sections 1, 2, 8).

    the room: by its SID, or the one of a name that ran at the time ─► its participants, all pages
                                                                  └─► or one of them, by SID: one request

A page names rooms by SID. A name is asked for as the vendor's filter and compared here, since whether that filter means
the whole name is not documented. Who is asked for by identity is found in the whole list, as one may have joined twice.

It reads apart from the looks: their memory of rooms and people stays as it was, so that what somebody asks changes no
point. Whoever is still there counts here and never there, as a stay is judged by its end.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from watcher.calls import MOST_STAYS, Breakdown, CallView, CallWish, Minute, OtherCall, Stay, nearest
from watcher.clock import MINUTE
from watcher.errors import ProviderError, Reason, clip
from watcher.providers.twilio import clients, memory, rows
from watcher.providers.twilio.client import Listed, Talk, iso
from watcher.providers.twilio.endings import Judge, Verdict
from watcher.providers.twilio.queries import CATCH_UP, ROOM_LIFE
from watcher.providers.twilio.rows import Oddity, RoomRow, Row, Tally

_OTHERS = 20
_FAILURES = "participant_failure_ratio"
_LONGEST = ROOM_LIFE  # seconds that are told by the minute

LATE = "Twilio tells of a room ten to thirty minutes after its end, and has no figures of media"


@dataclass(frozen=True, slots=True)
class _Person:
    """A participant's row: the stay as it is shown, and what it counts as where it is over."""

    stay: Stay
    ended: memory.Stay | None


async def read_call(wish: CallWish, talk: Talk, judge: Judge, now: float) -> CallView | None:
    """See `calls.CallReader`; `now` is vendor time. Raises `ProviderError`."""
    found = await _rooms(wish, talk, now)
    room = nearest(found, wish.at, lambda row: row.created, lambda row: row.ended)
    if room is None:
        return None
    notes = [LATE]
    refusal: ProviderError | None = None
    try:
        listed = await _participants(wish, talk, room)
    except ProviderError as error:
        listed, refusal = Listed(whole=False), error
        notes.append(f"participants were not read: {error}")
    notes += _missing(listed)
    people = list(_people(listed.rows, room, judge, talk.tally))
    if wish.user:
        people = [p for p in people if wish.user in (p.stay.user, p.stay.name)]
        if not people and refusal is None and not listed.cut:
            notes.append(f"nobody {clip(wish.user, 60)} was in it")
    if not room.final:
        notes.append("the vendor is not done with this room: more may come")
    people.sort(key=lambda p: (not p.stay.failed, p.stay.joined or 0.0, p.stay.user))
    over = [p.ended for p in people if p.ended is not None]
    return CallView(
        call=room.sid,
        channel=room.name,
        began=room.created,
        ended=room.ended,
        running=room.running,
        users=None if wish.user or not listed.whole else len({p.stay.name or p.stay.user for p in people}),
        stays=tuple(p.stay for p in people[:MOST_STAYS]),
        minutes=tuple(_minutes(people, now)),
        breakdowns=_breakdowns(over),
        others=tuple(OtherCall(r.sid, r.created, r.ended, None) for r in found if r is not room)[:_OTHERS],
        notes=tuple(notes),
        refusal=refusal,
        oddities={str(oddity): count for oddity, count in talk.tally.items() if count},
    )


async def _rooms(wish: CallWish, talk: Talk, now: float) -> list[RoomRow]:
    """The room of a SID, or those of a name, the newest first. Raises `ProviderError`."""
    if rows.ROOM.match(wish.channel):
        listed = await talk.room(wish.channel)
    else:
        since = now - CATCH_UP if wish.at is None else wish.at - ROOM_LIFE
        until = now + 1 if wish.at is None else min(now, wish.at + MINUTE) + 1
        if until <= since:
            await talk.give_back()
            return []
        listed = await talk.rooms(iso(since), iso(until), name=wish.channel)
    read = (rows.room(row, talk.tally) for row in listed.rows)
    meant = [row for row in read if row is not None and wish.channel in (row.sid, row.name)]
    if listed.rows and not meant and rows.ROOM.match(wish.channel):
        raise ProviderError(Reason.MALFORMED, "the vendor answered with another room than the one asked for")
    return sorted({row.sid: row for row in meant}.values(), key=lambda row: -(row.created or 0.0))


async def _participants(wish: CallWish, talk: Talk, room: RoomRow) -> Listed:
    if rows.PARTICIPANT.match(wish.user):
        return await talk.participant(room.sid, wish.user)
    return await talk.participants(room.sid)


def _missing(listed: Listed) -> Iterator[str]:
    read = f"{len(listed.rows)} participants were read"
    if listed.cut:
        yield f"{read}: the requests allowed, or the time, were spent"
    elif listed.rows and not listed.whole:
        yield f"{read}: the vendor's list did not end by itself"


def _people(found: Sequence[Row], room: RoomRow, judge: Judge, tally: Tally) -> Iterator[_Person]:
    """Each participant once; a later copy of two holds."""
    by_sid: dict[str, Row] = {}
    for row in found:
        sid = rows.text(row, "participant_sid", tally)
        if sid is None or not rows.PARTICIPANT.match(sid):
            tally[Oddity.NO_SID] += 1
            continue
        tally[Oddity.DUPLICATE] += sid in by_sid
        by_sid[sid] = row
    for sid, row in by_sid.items():
        yield _person(sid, row, room, judge, tally)


def _person(sid: str, row: Row, room: RoomRow, judge: Judge, tally: Tally) -> _Person:
    joined, left = rows.instant(row, "join_time", tally), rows.instant(row, "leave_time", tally)
    seconds = rows.whole(row, "duration_sec", tally)
    if joined is None and left is not None and seconds is not None and seconds >= 0:
        joined = left - seconds
    verdict = Verdict()
    reason, code = rows.text(row, "end_reason", tally), rows.whole(row, "error_code", tally)
    if left is not None:
        verdict = judge.of(reason, code, None if seconds is None else float(seconds))
    client = rows.client_of(row, tally)
    places = (rows.text(row, key, tally) for key in ("edge_location", "media_region"))
    stay = Stay(
        user=sid,
        name=clip(rows.text(row, "participant_identity", tally) or "", 100),
        joined=joined,
        left=left,
        client=" ".join(part for part in (client.sdk, client.browser) if part),
        place=" ".join(clip(place, 40) for place in places if place),
        ending=_ending(reason, code),
        failed=verdict.failed,
    )
    start = math.floor((left or 0.0) / MINUTE) * MINUTE
    ended = memory.Stay(sid, room.sid, start, verdict, client) if left is not None else None
    return _Person(stay, ended)


def _ending(reason: str | None, code: int | None) -> str:
    """`53405 media_connection_failed_or_media_activity_ceased`"""
    return " ".join(filter(None, (str(code) if code else "", clip(reason or "", 80))))


def _minutes(people: Sequence[_Person], now: float) -> Iterator[Minute]:
    """Who was there in each minute, and who left in it, well or not. Who came back at once is one user all the same."""
    present, left, failed = Counter[int](), Counter[int](), Counter[int]()
    there = defaultdict[str, set[int]](set)
    for person in people[:MOST_STAYS]:
        stay = person.stay
        if stay.joined is not None:
            first, last = (math.floor(at / MINUTE) * MINUTE for at in (stay.joined, min(stay.left or now, now)))
            there[stay.name or stay.user] |= set(range(first, min(last, first + _LONGEST) + 1, MINUTE))
        if person.ended is not None:
            left[person.ended.start] += 1
            failed[person.ended.start] += stay.failed
    for minutes in there.values():
        present.update(minutes)
    seen = sorted(present.keys() | left.keys())
    for start in seen[-_LONGEST // MINUTE :]:
        values = {"users": present[start], "left": left[start], "failed": failed[start]}
        yield Minute(start, {name: float(count) for name, count in values.items()})


def _breakdowns(over: Sequence[memory.Stay]) -> tuple[Breakdown, ...]:
    """By client, where something is wrong and there is something to compare it with."""
    splits = tuple(split for split in clients.splits(over, _FAILURES) if len(split.groups) > 1)
    return (Breakdown(signal=_FAILURES, splits=splits),) if splits and any(s.verdict.failed for s in over) else ()
