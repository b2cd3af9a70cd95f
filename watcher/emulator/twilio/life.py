"""Who was in which room when: stays, each with its sid, from joining to leaving, and the words for its end.

A pure function of the scenario: what a room's people do is drawn from its key. `Lives` remembers the last rooms worked
out, which changes nothing but the time it takes.

Somebody's time in a room is a row of stays. Each attempt to connect may fail, by the shares that hold when it begins;
who is in may be cut off, by the shares of incidents during their presence and of the healthy ones over all of it; who
was cut off comes back, or does not. A stay that nothing ended, ends when its person wants it to, or with the room.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from watcher.emulator.dice import bits, millis, unit
from watcher.emulator.twilio.endings import BY_WORD, COMPLETED, NORMAL, Ending, Manner
from watcher.emulator.twilio.rooms import Room, chosen
from watcher.emulator.twilio.world import EDGES, Incident, made_up_sid

_KEPT_STAYS = 400_000
_MOST_STAYS = 20  # of one person in one room: nobody flickers for ever
_ATTEMPT = (1.0, 14.0)  # how long a failing attempt takes; the vendor's SDK gives up after 15 s
_PAUSE = (3.0, 15.0)  # until the next attempt
_LEAST = 1.0  # a stay is at least so long before it is cut
_CONFLICTING = (53205, 53002)  # codes seen beside `disconnected_via_api` (dossier, section 8)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stay:
    """One participant sid: one connection. `code` contradicts `ending` where conflicts are wanted."""

    key: int
    sid: str
    identity: str
    join: float
    leave: float
    ending: Ending
    code: int | None
    region: str
    sdk: str
    browser: str

    @property
    def edge(self) -> str:
        """Where the client came in."""
        return EDGES.get(self.region, "roaming")

    @property
    def failed(self) -> bool:
        """Whether the client never got in."""
        return self.ending.manner is Manner.ATTEMPT


class Lives:
    """Works out stays, and remembers the last rooms."""

    def __init__(self, incidents: Sequence[Incident]) -> None:
        self._incidents = tuple(incidents)
        self._rooms: OrderedDict[int, tuple[Stay, ...]] = OrderedDict()
        self.remembered = 0

    def stays(self, room: Room) -> tuple[Stay, ...]:
        """Everybody's stays in that room, by joining."""
        stays = self._rooms.get(room.key)
        if stays is not None:
            self._rooms.move_to_end(room.key)
            return stays
        stays = tuple(sorted(_stays(room, self._striking(room)), key=lambda stay: (stay.join, stay.sid)))
        self._rooms[room.key] = stays
        self.remembered += len(stays)
        while self.remembered > _KEPT_STAYS and len(self._rooms) > 1:
            _, oldest = self._rooms.popitem(last=False)
            self.remembered -= len(oldest)
        return stays

    def _striking(self, room: Room) -> tuple[Incident, ...]:
        """The incidents that touch this room."""
        return tuple(
            incident
            for incident in self._incidents
            if incident.account == room.account.name
            and incident.start < room.end
            and incident.end > room.start
            and (
                room.name in incident.rooms if incident.rooms else unit(room.key ^ incident.key) < incident.rooms_share
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Someone:
    """A person in a room: what is drawn for them, and the incidents they feel."""

    room: Room
    key: int
    identity: str
    region: str
    sdk: str
    browser: str
    incidents: tuple[Incident, ...]

    def share(self, word: str, at: float) -> tuple[float, Incident | None]:
        """The share of an ending at an instant, and the incident it is of: the last that speaks of it."""
        for incident in reversed(self.incidents):
            if incident.start <= at < incident.end and word in incident.endings:
                return incident.endings[word], incident
        return self.room.account.endings.get(word, 0.0), None

    def drawn(self, manner: Manner, at: float, chance: float) -> Ending | None:
        """The ending of that manner that befalls an event at `at`; None: none does."""
        words = dict.fromkeys(self.room.account.endings)
        for incident in self.incidents:
            words.update(dict.fromkeys(incident.endings))
        for word in words:
            ending = BY_WORD[word]
            if ending.manner is manner:
                chance -= self.share(word, at)[0]
                if chance < 0:
                    return ending
        return None

    def stay(self, number: int, join: float, leave: float, ending: Ending) -> Stay:
        key = bits(self.key ^ 0x57A7, number)
        code = ending.code
        if ending is NORMAL and unit(key, 1) < self.room.account.conflicts:
            code = _CONFLICTING[bits(key, 2) % len(_CONFLICTING)]
        return Stay(
            key=key,
            sid=made_up_sid("PA", key),
            identity=self.identity,
            join=millis(join),
            leave=millis(leave),
            ending=ending,
            code=code,
            region=self.region,
            sdk=self.sdk,
            browser=self.browser,
        )


def _stays(room: Room, incidents: tuple[Incident, ...]) -> Iterator[Stay]:
    if room.plan is not None and room.plan.people:
        yield from _written(room)
        return
    for number in range(room.participants):
        key = bits(room.key, 100 + number)
        mix = room.account.mix
        region = chosen(mix.regions, unit(key, 1))
        sdk = chosen(mix.sdks, unit(key, 2))
        browser = chosen(mix.browsers, unit(key, 3)) if "-js " in sdk else ""
        someone = _Someone(
            room=room,
            key=key,
            identity=f"user-{bits(key, 4) % 1_000_000}",
            region=region,
            sdk=sdk,
            browser=browser,
            incidents=tuple(
                incident
                for incident in incidents
                if (not incident.regions or region in incident.regions)
                and (not incident.sdks or sdk in incident.sdks)
                and (not incident.browsers or browser in incident.browsers)
            ),
        )
        yield from _life(someone, first=number == 0)


def _written(room: Room) -> Iterator[Stay]:
    """The people of a room as the scenario has them."""
    assert room.plan is not None
    mix = room.account.mix
    for number, person in enumerate(room.plan.people):
        key = bits(room.key, 100 + number)
        yield Stay(
            key=key,
            sid=made_up_sid("PA", key),
            identity=person.identity,
            join=millis(room.start + person.join),
            leave=millis(room.start + person.join + person.stay),
            ending=person.ending,
            code=person.code,
            region=person.region or chosen(mix.regions, unit(key, 1)),
            sdk=person.sdk or chosen(mix.sdks, unit(key, 2)),
            browser=person.browser or chosen(mix.browsers, unit(key, 3)),
        )


def _life(someone: _Someone, *, first: bool) -> Iterator[Stay]:
    """One person's stays, from coming to leaving. The first to come is there from start to end."""
    room, key = someone.room, someone.key
    crowd = room.account.crowd
    slack = min(crowd.spread, (room.end - room.start) / 4)
    at = room.start if first else room.start + slack * unit(key, 5)
    kicked = room.completed and (first or unit(key, 6) < 0.5)  # half of the others leave before
    last = room.end if first or kicked else room.end - slack * unit(key, 7)
    cuts = sorted(_cuts(someone, at, last, first=first), key=lambda cut: cut[0])
    failures = 0
    for number in range(_MOST_STAYS):
        if last - at < _LEAST:
            return
        pause = _PAUSE[0] + (_PAUSE[1] - _PAUSE[0]) * unit(key ^ 0xBAC, number)
        failing = someone.drawn(Manner.ATTEMPT, at, unit(key ^ 0xA77, number))
        if failing is not None:
            took = _ATTEMPT[0] + (_ATTEMPT[1] - _ATTEMPT[0]) * unit(key ^ 0x700, number)
            leave = min(last, at + took)
            yield someone.stay(number, at, leave, failing)
            failures += 1
            if failures > crowd.retries:
                return
            at = leave + pause
            continue
        failures = 0
        cut = next(((when, ending) for when, ending in cuts if at + _LEAST <= when < last), None)
        if cut is None:
            break
        yield someone.stay(number, at, cut[0], cut[1])
        if cut[1] is not NORMAL and unit(key ^ 0xC0E, number) >= crowd.returns:
            return
        at = cut[0] + pause
    else:
        return
    ending = COMPLETED if kicked else someone.drawn(Manner.LEAVE, last, unit(key, 8)) or NORMAL
    yield someone.stay(number, at, last, ending)


def _cuts(someone: _Someone, start: float, last: float, *, first: bool) -> Iterator[tuple[float, Ending]]:
    """Every instant at which something would throw this person out, or they leave to come back."""
    key, account = someone.key, someone.room.account
    if not first and unit(key, 9) < account.crowd.churn:
        yield start + (last - start) * (0.2 + 0.6 * unit(key, 10)), NORMAL
    sources: list[tuple[Incident | None, str, float, float, float]] = [
        (None, word, share, start, last) for word, share in account.endings.items()
    ]
    for incident in someone.incidents:
        begin, end = max(start, incident.start), min(last, incident.end)
        if end > begin:
            sources += [(incident, word, share, begin, end) for word, share in incident.endings.items()]
    for incident_, word, share, begin, end in sources:
        ending = BY_WORD[word]
        if ending.manner is not Manner.CUT:
            continue
        own = bits(key ^ (incident_.key if incident_ else 0), ending.code or 0)
        when = begin + (end - begin) * unit(own, 1)
        if unit(own, 2) < share and someone.share(word, when)[1] is incident_:
            yield when, ending
