"""Bodies of lists, sessions and the three statistics (dossier sections 8.1, 8.2, 8.4). Pure.

Read strictly where a misreading would name the wrong call or user, tolerantly where the vendor's own documents
disagree: ids come as numbers beyond 2^31 or as text, `roles` as text or a list, rows in any order. A row without its id
is dropped and counted; any other field that cannot be read is None.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from watcher.errors import clip
from watcher.model import Span
from watcher.providers.agora.values import Column, Oddity, Tally, instant, measured, number, objects, rows_of, whole

MAX_ROWS = 100  # on a page
_MAX_GROUPS = 1_000  # of a statistic: devices, mostly
_ID = re.compile(r"[0-9A-Za-z_.:-]{1,128}\Z", re.ASCII)
_BUCKET = re.compile(r"\[(\d{1,3})%,\s*(\d{1,3})%\)\Z", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call. `created` and `destroyed` in Unix seconds; `finished` None where the vendor does not say.

    `peak_users` is its most users at once, `all_users` all who ever joined (section 8.1). Freeze rates are 0-1.
    """

    id: str
    channel: str
    created: int
    destroyed: int | None
    finished: bool | None
    peak_users: int | None
    all_users: int | None
    audio_freeze: float | None
    video_freeze: float | None

    @property
    def ended(self) -> int | None:
        """When it was over; None while it runs, of which it is not documented what `destroyed` says then."""
        over = self.finished is not False and self.destroyed is not None and self.destroyed > self.created
        return self.destroyed if over else None

    @property
    def users(self) -> int | None:
        """All who ever joined, as far as that is told: where it is an average, the peak is nearer."""
        return max(self.all_users or 0, self.peak_users or 0) or None

    def runs_in(self, start: int, end: int) -> bool:
        """Whether it ran at some time in [start, end)."""
        return self.created < end and (self.ended is None or self.ended > start)


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One user's stay in a call: a rejoin is another."""

    sid: str
    uid: int | None
    account: str
    network: str
    platform: str
    sdk: str
    device: str
    speaker: bool | None
    roles: tuple[str, ...]
    joined: int | None
    left: int | None
    finished: bool | None
    audio_freeze: float | None
    video_freeze: float | None

    @property
    def is_web(self) -> bool:
        """What a platform calls itself; only the word for Web users matters here."""
        return self.platform.lower().startswith("web")

    @property
    def ended(self) -> int | None:
        """When the user had left; None while they are there."""
        over = self.finished is not False and self.left is not None and self.left > (self.joined or 0)
        return self.left if over else None

    def there_in(self, start: int, end: int) -> bool:
        """Whether the user was there at some time in [start, end)."""
        return (self.joined is None or self.joined < end) and (self.ended is None or self.ended > start)


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """Users of a group, or of a bucket of freeze rates, and their mean value where one is given."""

    name: str
    users: int
    value: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PageOf:
    """What a page says of the pages. `total` is how many match in all, as far as the vendor says (section 8.1)."""

    number: int
    rows: int
    total: int
    more: bool

    @property
    def last(self) -> bool:
        """Whether no page follows. A full page that counts itself only may be one of many: the next one tells."""
        counts_itself = self.rows == MAX_ROWS == self.total
        return not self.rows or not (self.more or counts_itself or self.number * MAX_ROWS < self.total)


def under(key: str, body: dict[str, object], tally: Tally) -> object:
    """What stands under a key of a success; that it has none is no proof that there is nothing."""
    if key not in body:
        tally[Oddity.NO_ROWS] += 1
    return body.get(key)


def page_of(body: dict[str, object], number_: int, rows: int) -> PageOf:
    """`total_size` may be the number on this page or of all: the larger reading is taken, never below the rows."""
    total = whole(body.get("total_size"), Tally())
    return PageOf(number=number_, rows=rows, total=max(total or 0, rows), more=body.get("has_more") is True)


def calls(data: object, tally: Tally) -> tuple[Call, ...]:
    """The rows of `call_lists`, each call once.

    One freeze rate that cannot be a share says that none is: then the worst calls would be those that are left.
    """
    own = Tally()
    found = tuple(_calls(data, own))
    tally.update(own)
    if own[Oddity.IMPOSSIBLE]:
        return tuple(replace(call, audio_freeze=None, video_freeze=None) for call in found)
    return found


def sessions(data: object, tally: Tally) -> tuple[Session, ...]:
    """The rows of `call_info`, each session once."""
    found: dict[str, Session] = {}
    for row in objects(rows_of(data), tally):
        sid = _id(row.get("sid"), tally)
        if sid is None:
            continue
        if sid in found:
            tally[Oddity.REPEATED] += 1
            continue
        found[sid] = Session(
            sid=sid,
            uid=whole(row.get("uid"), tally),
            account=_text(row.get("account")),
            network=_text(row.get("network")),
            platform=_text(row.get("platform")),
            sdk=_text(row.get("sdk_version")),
            device=_text(row.get("device_type")),
            speaker=_flag(row.get("speaker")),
            roles=_roles(row.get("roles")),
            joined=_time(row.get("join_ts"), tally),
            left=_time(row.get("leave_ts"), tally),
            finished=_flag(row.get("finished")),
            audio_freeze=_share(row.get("user_audio_freeze_rate"), tally),
            video_freeze=_share(row.get("user_video_freeze_rate"), tally),
        )
    return tuple(found.values())


def groups(data: object, tally: Tally) -> tuple[Count, ...]:
    """Rows `{"dimension_value": name, "user_count": n, "value": rate}`, the worst first."""
    found: list[Count] = []
    for row in objects(rows_of(data), tally):
        name, users = row.get("dimension_value"), whole(row.get("user_count"), tally)
        value = measured(row.get("value"), tally, most=1.0)
        if len(found) >= _MAX_GROUPS:
            tally[Oddity.TOO_MANY] += 1
        elif not isinstance(name, str) or users is None or users < 0:
            tally[Oddity.NOT_A_ROW] += 1
        elif value is not None:
            found.append(Count(name=clip(name, 100), users=users, value=value))
    return tuple(sorted(found, key=lambda count: (-(count.value or 0.0), count.name)))


def buckets(data: object, tally: Tally) -> tuple[Count, ...]:
    """Rows `{"bucket": "[3%,5%)", "user_count": n}`, the lowest first; an empty bucket may be left out."""
    found: list[Count] = []
    for row in objects(rows_of(data), tally):
        name, users = row.get("bucket"), whole(row.get("user_count"), tally)
        match = _BUCKET.match(name.strip()) if isinstance(name, str) else None
        if match is None or users is None or users < 0:
            tally[Oddity.NOT_A_ROW] += 1
            continue
        low, high = (int(text) / 100 for text in match.groups())
        found.append(Count(name=match.string, users=users, low=low, high=high))
    return tuple(sorted(found, key=lambda count: count.low or 0.0))


def minutes(data: object, span: Span, tally: Tally, *, ratio: bool) -> Column:
    """Rows `{"ts": minute, "value": v}` of the minutes that touch a span, which come in no order."""
    found: dict[int, float] = {}
    for row in objects(rows_of(data), tally):
        at = instant(row.get("ts"), tally)
        value = measured(row.get("value"), tally, most=1.0 if ratio else math.inf)
        if at is not None and at % 60:
            tally[Oddity.UNALIGNED] += 1
        elif at is not None and not span.start - 60 < at < span.end:
            tally[Oddity.OUTSIDE] += 1
        elif at is not None and value is not None:
            if at in found:
                tally[Oddity.DUPLICATE] += 1
            found[at] = value
    starts = sorted(found)
    return Column(np.array(starts, np.int64), np.array([found[at] for at in starts], np.float64))


def _calls(data: object, tally: Tally) -> Iterator[Call]:
    seen: set[str] = set()
    for row in objects(rows_of(data), tally):
        identity = _id(row.get("call_id"), tally)
        created = instant(row.get("created_ts"), tally)
        if identity is None or created is None:
            continue
        if identity in seen:
            tally[Oddity.REPEATED] += 1
            continue
        seen.add(identity)
        yield Call(
            id=identity,
            channel=_text(row.get("cname")),
            created=created,
            destroyed=_time(row.get("destroyed_ts"), tally),
            finished=_flag(row.get("finished")),
            peak_users=_count(row.get("call_pcu"), tally),
            all_users=_count(row.get("call_acu"), tally),
            audio_freeze=_share(row.get("call_audio_freeze_rate"), tally),
            video_freeze=_share(row.get("call_video_freeze_rate"), tally),
        )


def _id(raw: object, tally: Tally) -> str | None:
    """An id goes back to the vendor in a query, so it is made of plain characters, without a comma."""
    if isinstance(raw, str) and _ID.match(raw):
        return raw
    tally[Oddity.NO_ID] += 1
    return None


def _time(raw: object, tally: Tally) -> int | None:
    """A time that may be missing, null or 0, as of what has not ended."""
    return None if raw in (None, 0, "", "0") else instant(raw, tally)


def _share(raw: object, tally: Tally) -> float | None:
    return None if raw is None else measured(raw, tally, most=1.0)


def _count(raw: object, tally: Tally) -> int | None:
    value = number(raw, tally)
    return int(value) if value is not None and value >= 0 else None


def _flag(raw: object) -> bool | None:
    return raw if isinstance(raw, bool) else None


def _text(raw: object) -> str:
    return clip(raw, 100) if isinstance(raw, str) else ""


def _roles(raw: object) -> tuple[str, ...]:
    given = raw if isinstance(raw, list) else [raw]
    return tuple(clip(role, 40) for role in given[:10] if isinstance(role, str) and role)
