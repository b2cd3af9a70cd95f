"""Which sessions there are: named ones from the scenario, and generated ones that follow the day curve.

A generated session's id holds its room and turn (`emulator.grid`), so it is found again from the id alone and no list
of sessions is kept; pages of them are cut out of columns of room and turn.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from watcher.clock import HOUR
from watcher.emulator.chance import key_of
from watcher.emulator.dice import bits, millis, uuid
from watcher.emulator.grid import Grid
from watcher.emulator.vonage.world import MEETING_GAP, RETENTION, MeetingPlan, Project
from watcher.model import Floats, Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Meeting:
    """One occupation of a session. `over` is when its end is known: after ten quiet minutes, or at the return."""

    key: int
    meeting_id: str
    start: float
    end: float
    over: float
    participants: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A room as the vendor names it. `name` is the scenario's, empty for generated ones."""

    project: Project
    key: int
    session_id: str
    name: str
    media_mode: str
    meetings: tuple[Meeting, ...]

    @property
    def created(self) -> float:
        return self.meetings[0].start


class Sessions:
    """The sessions of one project."""

    def __init__(self, project: Project) -> None:
        self.project = project
        generated = project.generated
        self._grid = (
            None
            if generated is None
            else Grid(
                key=project.key, rooms=generated.rooms, length=generated.length, gap=generated.gap, day=generated.day
            )
        )
        self._named = {named.session_id: _named_session(project, i) for i, named in enumerate(project.named)}

    @property
    def named(self) -> Mapping[str, Session]:
        """By session id."""
        return self._named

    def well_formed(self, session_id: str) -> bool:
        """Whether the text could be a session id of this project."""
        return session_id in self._named or _decode(session_id, self.project.id) is not None

    def find(self, session_id: str) -> Session | None:
        """The session, past, present or to come; None where there is none of that id."""
        if (named := self._named.get(session_id)) is not None:
            return named
        if self._grid is None or (place := _decode(session_id, self.project.id)) is None:
            return None
        if not self._grid.held(*place):
            return None
        session = self._generated(*place)
        return session if session.session_id == session_id else None

    def within(self, start: float, end: float) -> list[Session]:
        """Sessions with a meeting that overlaps [start, end), by creation."""
        rooms, turns, _ = self._turns(start, end)
        found = self._named_in(start, end)
        found += [self._generated(r, t) for r, t in zip(rooms.tolist(), turns.tolist(), strict=True)]
        return sorted(found, key=_by_creation)

    def page(
        self, start: float, end: float, *, created: bool, named: Callable[[Session], bool], offset: int, first: int
    ) -> tuple[int, list[Session]]:
        """How many sessions lie in [start, end) and a page of them, by creation, without making the others.

        With `created` a generated session counts by its creation, else by any overlap; `named` decides on the others.
        """
        rooms, turns, starts = self._turns(start, end)
        if created:
            inside = starts >= start
            rooms, turns, starts = rooms[inside], turns[inside], starts[inside]
        others = sorted((s for s in self._named.values() if named(s)), key=_by_creation)
        total = len(rooms) + len(others)
        if self._grid is None:
            return total, others[offset : offset + first]
        skipped = max(0, offset - len(others))  # so many generated ones lie before the page, whatever the named do
        order = np.lexsort((rooms, starts))[skipped : offset + first].tolist()
        merged = sorted([*(self._generated(int(rooms[i]), int(turns[i])) for i in order), *others], key=_by_creation)
        return total, merged[offset - skipped : offset - skipped + first]

    def _named_in(self, start: float, end: float) -> list[Session]:
        return [s for s in self._named.values() if any(m.start < end and m.end > start for m in s.meetings)]

    # ── generated ones ───────────────────────────────────────────────────────────────────────────────────────────

    def _turns(self, start: float, end: float) -> tuple[Ints, Ints, Floats]:
        """Room, turn and start of every generated session that overlaps [start, end)."""
        if self._grid is None:
            none = np.empty(0, dtype=np.int64)
            return none, none, np.empty(0)
        return self._grid.within(start, end)

    def _generated(self, room: int, turn: int) -> Session:
        generated = self.project.generated
        assert generated is not None
        assert self._grid is not None
        start = self._grid.start(room, turn)
        key = bits(self._grid.key(room) ^ 0x5E55_1015, turn)
        plan = MeetingPlan(start=start, end=start + generated.length, participants=generated.participants)
        return Session(
            project=self.project,
            key=key,
            session_id=encode(self.project.id, start, room, turn, key),
            name="",
            media_mode="routed",
            meetings=_meetings(self.project, key, (plan,)),
        )


def _by_creation(session: Session) -> tuple[float, int]:
    return session.created, session.key


def _named_session(project: Project, index: int) -> Session:
    named = project.named[index]
    key = key_of(project.key, "named", named.name)
    return Session(
        project=project,
        key=key,
        session_id=named.session_id,
        name=named.name,
        media_mode=named.media_mode,
        meetings=_meetings(project, key, named.meetings),
    )


def _meetings(project: Project, key: int, plans: Sequence[MeetingPlan]) -> tuple[Meeting, ...]:
    """The meeting rows: a return within ten minutes is a further row with the same id (dossier, 3.5)."""
    rule = project.visibility.ten_minute_rule
    meetings: list[Meeting] = []
    for index, plan in enumerate(plans):
        after = plans[index + 1].start if index + 1 < len(plans) else math.inf
        over = min(plan.end + MEETING_GAP, max(after, plan.end)) if rule else plan.end
        returned = index > 0 and plan.start - plans[index - 1].end < MEETING_GAP
        meetings.append(
            Meeting(
                key=bits(key, 100 + index),
                meeting_id=meetings[-1].meeting_id if returned else uuid(bits(key, 200 + index)),
                start=millis(plan.start),
                end=millis(plan.end),
                over=over,
                participants=plan.participants,
            )
        )
    return tuple(meetings)


# ── session ids ──────────────────────────────────────────────────────────────────────────────────────────────────────


def encode(project_id: str, created: float, room: int, turn: int, key: int) -> str:
    """An id that looks like the vendor's: `2_`, then base64 of version, project, creation and our own place."""
    text = f"1~{project_id}~~{round(created * 1000)}~{room:x}.{turn:x}.{key & 0xFFFF_FFFF:08x}~"
    return "2_" + base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _decode(session_id: str, project_id: str) -> tuple[int, int] | None:
    """Room and turn of an id that could be this project's; (-1, -1) for a named one's."""
    if len(session_id) > 255 or not session_id.startswith("2_"):
        return None
    body = session_id[2:]
    try:
        parts = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True).decode().split("~")
        version, owner, _, created, place, rest = parts
        int(created)
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None
    if version != "1" or owner != project_id or rest:
        return None
    try:
        room, turn, _ = place.split(".")
        return int(room, 16), int(turn, 16)
    except ValueError:
        return -1, -1


def turns_kept(rooms: int, length: float, gap: float) -> float:
    """How many generated sessions lie in the time the vendor keeps: what one look back costs."""
    return rooms * (RETENTION + HOUR) / (length + gap)
