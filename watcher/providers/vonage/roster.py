"""What is known of sessions, meetings and streams: who is to be asked about, and how far each stream was read.

A session is a room that is used again; a meeting is one occupation of it, known by its id *and* its beginning, since a
return within ten minutes has the old id (dossier, 3.5). A stream stands at some place of its meeting's list, and
`seen` of its rows were read: both are offsets that the next cursor is made of, and both are checked against what comes
back (`Stream.continues`), because the vendor documents no order.

Everything here is bounded: sessions by `MAX_SESSIONS`, streams by `MAX_STREAMS`; numbers of streams are used again once
no row of theirs can be in memory any more. What has ended and was read is forgotten, but for the name of the meeting.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from watcher.clock import MINUTE
from watcher.providers.vonage.clients import MAX_CLIENTS, Client
from watcher.providers.vonage.points import Who
from watcher.providers.vonage.rows import KEEP, Ints, StreamMemo

MAX_SESSIONS = 20_000
MAX_STREAMS = 100_000
OPEN = int(np.iinfo(np.int64).max)  # the end of what has not ended

_RECENT = 64  # times of the newest rows that are remembered per stream
_BACK = 12  # rows that a failed check goes back first

_NOBODY = Client()

MeetingKey = tuple[str, int]


@dataclass(slots=True, kw_only=True)
class Stream:
    """A publisher or subscriber. `place` is its offset in the meeting's list, `seen` how many of its rows were read.

    `seen` None: not placed yet. `recent` are the times of the last rows seen, in order, in milliseconds; `expected` is
    what the row at `seen` was before a check failed.
    """

    id: str
    kind: str  # "publishers" or "subscribers"
    memo: StreamMemo
    ended: int
    place: int
    total: int = 0
    seen: int | None = None
    recent: deque[int] = field(default_factory=lambda: deque(maxlen=_RECENT))
    expected: int | None = None
    tries: int = 0  # in this look, without getting on

    @property
    def unread(self) -> bool:
        return self.seen is None or self.seen < self.total

    def continues(self, offset: int, times: Sequence[int]) -> bool:
        """Whether rows with these ascending times may stand at `offset`."""
        if self.expected is not None and times[0] > self.expected:
            return False
        return not self.recent or offset == 0 or times[0] > self.recent[-1]

    def read(self, offset: int, positions: int, times: Sequence[int]) -> None:
        """Rows from `offset` on are here now."""
        self.expected = None
        self.tries = 0
        for at in times:
            if not self.recent or at > self.recent[-1]:
                self.recent.append(at)
        self.seen = offset + positions

    def go_back(self) -> None:
        """A check failed: begin further back, where the rows can be compared, then at the first."""
        seen = self.seen or 0
        steps = _BACK if self.expected is None else seen
        back = max(0, seen - steps)
        known = list(self.recent)
        gone = min(seen - back, len(known))
        self.expected = known[-gone] if 0 < gone == seen - back and back > 0 else None
        if gone < seen - back or back == 0:
            back, self.expected = 0, None
            self.recent.clear()
        else:
            for _ in range(gone):
                self.recent.pop()
        self.seen = back


@dataclass(slots=True, kw_only=True)
class Meeting:
    """One occupation of a session. `skip` counts the meetings of the same id that are listed before it.

    `crowd` holds beginning and end of each connection, in milliseconds.
    """

    id: str
    began: int
    ended: int
    skip: int = 0
    crowd: Ints = field(default_factory=lambda: np.empty((0, 2), np.int64))
    publishers: dict[str, Stream] = field(default_factory=dict)
    subscribers: dict[str, Stream] = field(default_factory=dict)

    @property
    def key(self) -> MeetingKey:
        return self.id, self.began

    def streams(self) -> Iterator[Stream]:
        yield from self.publishers.values()
        yield from self.subscribers.values()


@dataclass(slots=True, kw_only=True)
class Session:
    """A room. `named`: it has series of its own. `sure`: the vendor has shown it before. Instants are the vendor's."""

    id: str
    number: int
    named: bool = False
    sure: bool = False
    since: float  # meetings that began before are not asked for
    wanted_at: float  # when something last said that it is, or was, in use
    not_before: float = 0.0
    subscribers_until: float = 0.0
    meetings: dict[MeetingKey, Meeting] = field(default_factory=dict)
    done: dict[MeetingKey, int] = field(default_factory=dict)


class Roster:
    """The sessions of one project."""

    def __init__(self) -> None:
        self.sessions: dict[str, Session] = {}
        self.names: dict[int, str] = {}  # session number -> id, for as long as its rows may be here
        self.overflow = 0
        self._numbers = 0
        self._session_of: list[int] = []
        self._publishes: list[bool] = []
        self._source: list[int] = []
        self._client: list[int] = []
        self._clients: dict[Client, int] = {}
        self._free: deque[tuple[float, int]] = deque()
        self._old_names: deque[tuple[float, int]] = deque()
        self._who: Who | None = None

    def session(self, session_id: str, *, since: float, now: float) -> Session | None:
        """The session, known from now on; None where there are too many."""
        known = self.sessions.get(session_id)
        if known is None:
            if len(self.sessions) >= MAX_SESSIONS:
                self.overflow += 1
                return None
            self._numbers += 1
            known = Session(id=session_id, number=self._numbers, since=since, wanted_at=now)
            self.sessions[session_id] = known
            self.names[known.number] = session_id
        return known

    def stream(
        self,
        session: Session,
        meeting: Meeting,
        *,
        kind: str,
        party: str,
        source: str,
        began: int,
        now: float,
        client: Client = _NOBODY,
    ) -> Stream | None:
        """The stream of a meeting, known from now on; None where there are too many."""
        own = meeting.publishers if kind == "publishers" else meeting.subscribers
        found = own.get(party)
        if found is None:
            index = self._index(now)
            if index is None:
                self.overflow += 1
                return None
            self._session_of[index] = session.number
            self._publishes[index] = kind == "publishers"
            publisher = meeting.publishers.get(source) if kind == "subscribers" else None
            self._source[index] = publisher.memo.index if publisher is not None else -1
            self._client[index] = self._kind(client)
            self._who = None
            found = own[party] = Stream(
                id=party, kind=kind, memo=StreamMemo(index=index, began=began), ended=OPEN, place=0
            )
        return found

    def who(self) -> Who:
        """Every stream's session and role, as arrays."""
        if self._who is None:
            self._who = Who(
                session=np.array(self._session_of, np.int64),
                publishes=np.array(self._publishes, np.bool_),
                source=np.array(self._source, np.int64),
                client=np.array(self._client, np.int64),
            )
        return self._who

    @property
    def clients(self) -> Sequence[Client]:
        """The kinds of client known, as `Who.client` counts them."""
        return tuple(self._clients)

    def _kind(self, client: Client) -> int:
        """Its number; -1 where nothing is said of it, and where there are too many."""
        if not any(client):
            return -1
        if client not in self._clients and len(self._clients) >= MAX_CLIENTS:
            self.overflow += 1
            return -1
        return self._clients.setdefault(client, len(self._clients))

    def end_meeting(self, session: Session, meeting: Meeting, now: float) -> None:
        """It is over and read: forget all but its name."""
        for stream in meeting.streams():
            self._free.append((now + KEEP + 2 * MINUTE, stream.memo.index))
        session.meetings.pop(meeting.key, None)
        session.done[meeting.key] = meeting.began

    def end_session(self, session: Session, now: float) -> None:
        """Nothing more is to be asked about it."""
        for meeting in list(session.meetings.values()):
            self.end_meeting(session, meeting, now)
        self.sessions.pop(session.id, None)
        self._old_names.append((now + KEEP + 2 * MINUTE, session.number))

    def tidy(self, now: float, *, oldest: float) -> None:
        """Let go of names that nobody needs any more; meetings that began before `oldest` are not listed again."""
        while self._old_names and self._old_names[0][0] <= now:
            self.names.pop(self._old_names.popleft()[1], None)
        for session in self.sessions.values():
            if session.done:
                session.done = {key: began for key, began in session.done.items() if began >= oldest * 1000}

    def unread(self) -> Iterator[tuple[Session, Meeting, Stream]]:
        """Every stream that has rows which were not read."""
        for session in self.sessions.values():
            for meeting in session.meetings.values():
                for stream in meeting.streams():
                    if stream.unread:
                        yield session, meeting, stream

    def rewind(self) -> None:
        """Place every stream anew: what was read of it is to be read again, from wherever memory begins now."""
        for session in self.sessions.values():
            for meeting in session.meetings.values():
                for stream in meeting.streams():
                    stream.seen = None
                    stream.expected = None
                    stream.recent.clear()

    def crowds(self) -> list[tuple[int, npt.NDArray[np.int64]]]:
        """Session number and connections of every meeting known."""
        return [
            (session.number, meeting.crowd)
            for session in self.sessions.values()
            for meeting in session.meetings.values()
            if len(meeting.crowd)
        ]

    def _index(self, now: float) -> int | None:
        if self._free and self._free[0][0] <= now:
            return self._free.popleft()[1]
        if len(self._session_of) >= MAX_STREAMS:
            return None
        self._session_of.append(0)
        self._publishes.append(False)
        self._source.append(-1)
        self._client.append(-1)
        return len(self._session_of) - 1


def present_in(crowd: Ints, starts: Ints, width: int) -> Ints:
    """How many connections, each its beginning and end in milliseconds, were there at some time of each window."""
    began = np.sort(crowd[:, 0])
    ended = np.sort(crowd[:, 1])
    low, high = starts * 1000, (starts + width) * 1000
    return np.searchsorted(began, high, side="left") - np.searchsorted(ended, low, side="right")
