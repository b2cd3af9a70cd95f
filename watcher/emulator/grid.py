"""When generated rooms are used: each for a while, then a silence, over and over, as often as the day curve says.

A pure function of room and turn, so that a room is found again from the two numbers in its id and no list is kept;
stretches of time are cut out of columns. Starts are whole milliseconds, as the APIs print them.
"""

from __future__ import annotations

import math

import numpy as np

from watcher.emulator.chance import draws
from watcher.emulator.day import Day
from watcher.emulator.dice import bits, millis, unit
from watcher.model import Floats, Ints

_MOST_TURNS = 2**40


class Grid:
    """`rooms` places at the day's peak; a turn is `length` seconds of use and `gap` of silence. `key`: of all draws.

    `keys`: what is drawn for each room is drawn from its own.
    """

    def __init__(self, *, key: int, rooms: int, length: float, gap: float, day: Day) -> None:
        self.rooms = rooms
        self.length = length
        self._period = length + gap
        self._day = day
        keys = [bits(key, room) for room in range(rooms)]
        self.keys = np.array(keys, dtype=np.uint64)
        self._phases = np.array([unit(bits(key ^ 0x0F_F5E7, room)) * self._period for room in range(rooms)])

    def key(self, room: int) -> int:
        """One of `keys`."""
        return int(self.keys[room])

    def start(self, room: int, turn: int) -> float:
        """When that turn begins, whether it takes place or not."""
        return millis(float(self._phases[room]) + turn * self._period)

    def held(self, room: int, turn: int) -> bool:
        """Whether there is such a room and that turn takes place. Both may be whatever a client made up."""
        if not (0 <= room < self.rooms and abs(turn) < _MOST_TURNS):
            return False
        return unit(self.key(room), turn) < self._day.level(self.start(room, turn))

    def within(self, start: float, end: float) -> tuple[Ints, Ints, Floats]:
        """Room, turn and start of every turn that takes place and overlaps [start, end)."""
        if end <= start:
            none = np.empty(0, dtype=np.int64)
            return none, none, np.empty(0)
        first = np.floor((start - self.length - self._phases) / self._period).astype(np.int64)
        count = math.ceil((end - start + self.length) / self._period) + 2
        turns = first[:, None] + np.arange(count, dtype=np.int64)
        starts = np.floor((self._phases[:, None] + turns * self._period) * 1000 + 0.5) / 1000
        held = draws(self.keys[:, None], turns) < self._day.levels(starts)
        chosen = held & (starts < end) & (starts + self.length > start)
        at_room, at_turn = np.nonzero(chosen)
        return at_room.astype(np.int64), turns[at_room, at_turn], starts[at_room, at_turn]
