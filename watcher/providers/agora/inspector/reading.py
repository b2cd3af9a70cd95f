"""The requests that a question about one call is made of: the most telling first, within what it may cost (8.5).

    1  list         the calls of the channel (`callview`): the one request that nothing can be told without
    2  sessions     a page: a hundred of those who were in it, the latest joiners first, and what froze for each
    3  statistics   ten: users and both freezes by the minute, users by their freezes, freezes by six groupings
    4  sessions     further pages, with at most half of the requests that are left
    5  metrics      packet loss and bitrates, 20 stays a request, those that froze most first

Statistics always leave one request to the metrics, so that of three requests the second tells who was there and the
third how the worst fared; from thirteen on a call of twenty stays is told whole. Of a call of 1,000 users 20 requests
tell all the statistics, 500 stays and the streams of the worst 80; all of it is 71. About one user there are no
statistics. Statistics after all users were considered: a large call in a short time would then have none, and they
tell of everyone.

What the purse does not grant is left out and named. So is what the vendor refuses of one request; where it refuses the
account or cannot be reached, nothing more is asked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from watcher.calls import MOST_STAYS, Bucket
from watcher.errors import ProviderError, Reason
from watcher.model import Dimension, Group, Purse, Span, Split
from watcher.providers.agora.inspector import choice, client
from watcher.providers.agora.inspector.client import MAX_SIDS, Freeze, InspectorClient, PerMinute, SessionPage
from watcher.providers.agora.inspector.edge import Edge
from watcher.providers.agora.inspector.figures import WANTED, Votes
from watcher.providers.agora.inspector.rows import MAX_ROWS, Call, Session
from watcher.providers.agora.inspector.streams import MIDS, Stream
from watcher.providers.agora.splits import DIMENSIONS
from watcher.providers.agora.values import Oddity, Tally

T = TypeVar("T")

MOST_GROUPS = 20  # of a dimension, and buckets

_BY_MINUTE: Mapping[str, PerMinute] = {
    "users": "user_count",
    "video_freeze_ratio": "video_freeze_rate",
    "audio_freeze_ratio": "audio_freeze_rate",
}
_RATES: Mapping[str, Freeze] = {
    "video_freeze_ratio": "video_freeze_rate",
    "audio_freeze_ratio": "audio_freeze_rate",
}
_GROUPS: Mapping[Dimension, client.Dimension] = {**DIMENSIONS, Dimension.REGION: "region"}

_OF_ONE = frozenset(
    {
        Reason.REQUEST,
        Reason.TOO_OLD,
        Reason.TOO_LONG,
        Reason.TOO_LARGE,
        Reason.MALFORMED,
        Reason.OTHER,
        Reason.PLAN,
    }
)
"""Refusals that say nothing of other requests. `PLAN`: that plans have all three statistics is not documented."""


@dataclass(slots=True, kw_only=True)
class Allowance:
    """A purse of at most so many requests in all; the first is spent already. What is handed back is not used again."""

    purse: Purse
    most: int
    spent: int = 1

    @property
    def left(self) -> int:
        return self.most - self.spent

    async def spend(self) -> bool:
        if self.left <= 0 or not await self.purse.spend():
            return False
        self.spent += 1
        return True

    async def refund(self) -> None:
        await self.purse.refund()

    async def answered(self, vendor_time: float | None) -> None:
        await self.purse.answered(vendor_time)


@dataclass(slots=True, kw_only=True)
class Reading:
    """What is asked of one call, and what came of it.

    Figures are of `span`; sessions are asked for `joined`, which reaches further back, since whether the vendor means
    those who were there or those who came is not documented. `user` narrows all to one, of whom everything measured
    is kept in `streams`.
    """

    client: InspectorClient
    app_id: str
    call: Call
    span: Span
    joined: Span
    user: int | None
    allowance: Allowance
    edge: Edge
    votes: Votes
    tally: Tally
    found: dict[str, Session] = field(default_factory=dict)
    streams: list[Stream] = field(default_factory=list)
    minutes: dict[int, dict[str, float]] = field(default_factory=lambda: defaultdict(dict))
    buckets: tuple[Bucket, ...] = ()
    splits: list[Split] = field(default_factory=list)
    answered: bool = False  # whether the vendor said who was there
    refusal: ProviderError | None = None  # what ended the reading early
    _remarks: list[str] = field(default_factory=list)
    _unasked: list[str] = field(default_factory=list)
    _why: str = "the requests or the time allowed were spent"
    _refused: Reason | None = None  # of the last request
    _over: bool = False
    _again: bool = False  # one broken connection is tried once more

    async def carry_out(self) -> None:
        """Ask for everything, as far as it is granted. Raises what the purse does."""
        more = await self._page(1, "who was in it")
        if self.user is None:
            await self._by_minute()
            await self._spread()
            await self._grouped()
        kept = self.allowance.left - self.allowance.left // 2
        page = 2
        while more:
            more = await self._page(page, f"those who joined before the latest {len(self.found)}", kept=kept)
            page += 1
        await self._metrics()

    @property
    def there(self) -> tuple[Session, ...]:
        """The stays found that touch the span."""
        return tuple(session for session in self.found.values() if session.there_in(*self.span))

    @property
    def frozen(self) -> str:
        """Whose freezes spread and groups are about: the video's, or the audio's of a call that has no video."""
        silent = self.call.video_freeze is None and self.call.audio_freeze is not None
        return "audio_freeze_ratio" if silent else "video_freeze_ratio"

    @property
    def notes(self) -> tuple[str, ...]:
        """What could not be read, and why."""
        missing = (f"not asked, since {self._why}: {', '.join(self._unasked)}",) if self._unasked else ()
        return (*dict.fromkeys(self._remarks), *missing)

    async def _page(self, number: int, what: str, *, kept: int = 0) -> bool:
        """A page of sessions; whether another one follows."""
        uids = () if self.user is None else (self.user,)
        request = partial(self.client.sessions, self.app_id, self.call.id, self.joined, self.allowance, self.tally)
        page: SessionPage | None = await self._ask(what, partial(request, page=number, uids=uids), kept=kept)
        if page is None:
            return False
        self.answered = True
        own = [session for session in page.sessions if self.user in (None, session.uid)]
        fresh = {session.sid: session for session in own if session.sid not in self.found}
        self.tally.update({Oddity.UNASKED: len(page.sessions) - len(own), Oddity.REPEATED: len(own) - len(fresh)})
        self.found |= fresh
        if page.page.last or not fresh:
            return False
        if number * MAX_ROWS >= MOST_STAYS:
            self._remarks.append(f"only the latest {len(self.found)} of {page.page.total} stays were listed")
            return False
        return True

    async def _by_minute(self) -> None:
        for signal, metric in _BY_MINUTE.items():
            request = partial(self.client.by_minute, *self._of, metric, self.allowance, self.tally)
            column = await self._ask(f"{signal} by the minute", request, kept=1)
            if self._refused is Reason.PLAN:
                return
            if column is not None:
                for start, value in zip(column.start.tolist(), column.value.tolist(), strict=True):
                    self.minutes[start][signal] = value

    async def _spread(self) -> None:
        request = partial(self.client.freeze_buckets, *self._of, _RATES[self.frozen], self.allowance, self.tally)
        counts = await self._ask("users by their freezes", request, kept=1)
        self.buckets = tuple(
            Bucket(count.low or 0.0, count.high or 0.0, count.users) for count in (counts or ())[:MOST_GROUPS]
        )

    async def _grouped(self) -> None:
        for dimension, word in _GROUPS.items():
            request = partial(self.client.statistics, *self._of, _RATES[self.frozen], word, self.allowance, self.tally)
            counts = await self._ask(f"freezes by {dimension}", request, kept=1)
            if self._refused is Reason.PLAN:
                return
            few = (counts or ())[:MOST_GROUPS]
            groups = tuple(Group(count.name, count.value or 0.0, float(count.users)) for count in few)
            if groups:
                self.splits.append(Split(dimension=dimension, groups=groups))

    async def _metrics(self) -> None:
        """The streams of those who were there, the worst first; fewer at once where an answer was too large."""
        wanted = WANTED if self.user is None else frozenset(MIDS)
        left, size = list(choice.worst_first(self.there)), MAX_SIDS
        whole = len(left)
        while left:
            part = left[:size]
            request = partial(self.client.metrics, *self._of, [session.sid for session in part], self.allowance)
            what = f"packet loss and bitrates of {len(left)} of {whole} stays"
            streams = await self._ask(what, partial(request, self.tally, wanted=wanted))
            if streams is not None:
                self._take(part, streams)
                left = left[size:]
            elif self._refused is Reason.TOO_LARGE and len(part) > 1:
                self.tally[Oddity.HALVED] += 1
                size = len(part) // 2
            else:
                self.tally[Oddity.UNREAD] += len(left)
                return

    def _take(self, part: Sequence[Session], streams: tuple[Stream, ...]) -> None:
        for session in part:
            own = [stream for stream in streams if stream.sid == session.sid]
            self.votes.take(session.sid, own, frozenset({session.sid} if session.is_web else ()))
        if self.user is not None:
            self.streams += streams

    @property
    def _of(self) -> tuple[str, str, Span]:
        return self.app_id, self.call.id, self.span

    async def _ask(self, what: str, request: Callable[[], Awaitable[T]], *, kept: int = 0) -> T | None:
        """What one request brings, leaving `kept` to others; None where it was not granted or is refused: noted."""
        self._refused = None
        if self._over or self.allowance.left <= kept or not await self._granted():
            self._unasked.append(what)
            return None
        try:
            return await self._tried(request, kept)
        except ProviderError as error:
            self.edge.learn(error)
            self._refused = error.reason
            self._remarks.append(f"{what}: {error}")
            if error.reason not in _OF_ONE:
                self._over, self._why, self.refusal = True, "the vendor failed", error
            return None

    async def _tried(self, request: Callable[[], Awaitable[T]], kept: int) -> T:
        """Once more after a broken connection, where there is a request for it; that happens once in a reading."""
        try:
            return await request()
        except ProviderError as error:
            again = error.reason is Reason.NETWORK and not self._again and self.allowance.left > kept
            if not again or not await self._granted():
                raise
            self._again = True
        return await request()

    async def _granted(self) -> bool:
        """A purse that has refused once is not asked again: each time it might wait."""
        self._over = not await self.allowance.spend()
        return not self._over
