"""How much of what happened the API shows at one instant (dossier, sections 2.2 and 5).

A room that is over shows `delay` after its end, or later (`rooms.Room.published`), as still being processed; at
`settled` its record is final. Between the two a participant may be missing still (`late`), or their row may say
something that it will not say later (`amended`): that they are still there, that they left for no reason, or for a
wrong one. Whether running rooms show at all is not known; where they do, each event shows `lag` after it happened.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from watcher.emulator.dice import bits, unit
from watcher.emulator.twilio.endings import DROPPED, NORMAL
from watcher.emulator.twilio.life import Stay
from watcher.emulator.twilio.rooms import Room
from watcher.emulator.twilio.world import Answers

Reading = Literal["final", "open", "reasonless", "wrong"]

_LATE, _LATER, _AMENDED, _AMENDMENT = 0x1A7E, 0x1A7F, 0xA3E4D, 0xA3E4E


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A stay as its row reads: `open` has no end yet. `final`: no later row of this stay will differ."""

    stay: Stay
    open: bool
    reason: str | None
    code: int | None
    final: bool


class View:
    """What of a room shows at `now`. Whether the room shows at all is `rooms.Rooms.visible`."""

    __slots__ = ("_answers", "_now")

    def __init__(self, *, now: float, answers: Answers) -> None:
        self._now = now
        self._answers = answers

    def over(self, room: Room) -> bool:
        """Whether the room's end shows."""
        return room.published <= self._now or (
            room.account.visibility.running and room.end + room.account.visibility.lag <= self._now
        )

    def state(self, room: Room) -> str:
        """The room's processing_state, with underscores."""
        if room.settled <= self._now and room.final:
            return room.final
        return room.early

    def settled(self, room: Room) -> bool:
        """Whether nothing in the room's own record will change, as far as the API says."""
        return room.settled <= self._now and bool(room.final)

    def stays(self, room: Room, stays: tuple[Stay, ...]) -> list[Seen]:
        """The participants that show, newest first (INFERRED)."""
        found = [seen for stay in stays if (seen := self.stay(room, stay)) is not None]
        return found[::-1]

    def stay(self, room: Room, stay: Stay) -> Seen | None:
        """One participant's row; None where it does not show."""
        seen = room.account.visibility
        if stay.failed and self._answers.failed_attempts == "nothing":
            return None
        appears = min(room.published, stay.join + seen.lag) if seen.running else room.published
        if unit(stay.key ^ _LATE) < seen.late:
            appears += seen.late_by * unit(stay.key ^ _LATER)
        if appears > self._now:
            return None
        ends = min(room.published, stay.leave + seen.lag) if seen.running else room.published
        if ends > self._now:
            return Seen(stay=stay, open=True, reason=None, code=None, final=False)
        return _read(stay, self._reading(room, stay))

    def _reading(self, room: Room, stay: Stay) -> Reading:
        if room.settled <= self._now or unit(stay.key ^ _AMENDED) >= room.account.visibility.amended:
            return "final"
        readings: tuple[Reading, ...] = ("open", "reasonless", "wrong")
        return readings[bits(stay.key ^ _AMENDMENT) % 3]


def _read(stay: Stay, reading: Reading) -> Seen:
    match reading:
        case "final":
            return Seen(stay=stay, open=False, reason=stay.ending.reason, code=stay.code, final=True)
        case "open":
            return Seen(stay=stay, open=True, reason=None, code=None, final=False)
        case "reasonless":
            return Seen(stay=stay, open=False, reason=None, code=None, final=False)
        case "wrong":
            other = DROPPED if stay.ending is NORMAL else NORMAL
            return Seen(stay=stay, open=False, reason=other.reason, code=other.code, final=False)
