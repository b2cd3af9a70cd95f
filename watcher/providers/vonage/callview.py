"""From what was read of a call to what a person reads: who fared how, minute by minute, and who has it in common. Pure.

Each stream has one vote, as in the points that page: its value is the mean of its rows, a person's the mean over their
streams, a minute's the mean over the streams that were measured in it. So everything here is one operation, the mean of
rows by groups (`_means`), done twice. What is not measured has no vote: media that is off, nulls, a bitrate whose unit
is not known, a stream's first half minute (`rows`).

What somebody sends has the plain names of signals, what they receive has them after `received_`: where a room has no
simulcast, figures of what is sent tell of the worst receiver (dossier, 3.1), so the two are never put into one mean.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from watcher.calls import MOST_STAYS, Breakdown, Bucket, CallView, Minute, OtherCall, Spread, Stay
from watcher.clock import DAY, MINUTE
from watcher.errors import clip
from watcher.model import USERS
from watcher.providers.vonage.callfind import Meeting
from watcher.providers.vonage.callread import MOST_ID, Person, Reading
from watcher.providers.vonage.clients import splits
from watcher.providers.vonage.points import MEASURED, MEDIA, Bools, Floats, Ints, Scale, Votes
from watcher.providers.vonage.roster import OPEN, present_in
from watcher.providers.vonage.rows import NEVER, VALUES

RECEIVED = "received_"
MOST_MINUTES = DAY // MINUTE
MOST_OTHERS = 20

SIGNALS = tuple(next(s for s, made in MEASURED.items() if made == (value, "mean")) for value in VALUES)
"""The signal of each column of values."""

_LOSS = "packet_loss_ratio"
_LOSSES = tuple((column, value) for column, value in enumerate(VALUES) if value.endswith("loss"))
_EDGES = (0.0, 0.01, 0.03, 0.05, 0.1, 1.0)  # of shares of packets: the vendor calls 3 to 5 % bad (section 8)
_DECIMALS = 6  # of rows kept in four bytes: 3 % is 0.03, and not a little less
_OURS = Scale(loss=1.0, bitrate=1.0)  # these values are in our units by then


@dataclass(frozen=True, slots=True, eq=False)
class _Figures:
    """Every row: its stream, the start of its minute, its values in our units (NaN: not measured)."""

    stream: Ints
    minute: Ints
    values: Floats


class _Parties:
    """Whose the streams are, by number of stream and of person."""

    def __init__(self, reading: Reading) -> None:
        self.names = list(reading.people)
        self.people = list(reading.people.values())
        number = {name: i for i, name in enumerate(self.names)}
        streams = reading.streams.values()
        self.whose: Ints = np.array([number.get(stream.connection, -1) for stream in streams], np.int64)
        self.publishes: Bools = np.array([stream.publishes for stream in streams], np.bool_)

    def chosen(self, wanted: Sequence[int] | None) -> Bools:
        """The streams of some people; None: everybody's."""
        return np.ones(len(self.whose), np.bool_) if wanted is None else np.isin(self.whose, wanted)


def view(reading: Reading, *, user: str, channel: str, scale: Scale) -> CallView:
    """The call; of one `user` only, by connection or stream, where that is given."""
    parties = _Parties(reading)
    figures = _figures(reading, scale)
    streams = _means(figures.values, figures.stream, len(parties.whose))
    sent, received = (
        _means(streams[mask], parties.whose[mask], len(parties.people))
        for mask in ((parties.whose >= 0) & parties.publishes, (parties.whose >= 0) & ~parties.publishes)
    )
    wanted = _wanted(reading, parties.names, user) if user else None
    stays = sorted(
        (
            _stay(parties.names[i], parties.people[i], {**_named(sent[i]), **_named(received[i], RECEIVED)})
            for i in (range(len(parties.people)) if wanted is None else wanted)
        ),
        key=_best_last,
    )
    meeting = reading.meeting
    return CallView(
        call=clip(meeting.id, MOST_ID),
        channel=channel,
        began=meeting.began / 1000,
        ended=_instant(meeting.ended),
        running=meeting.ended == OPEN,
        users=len(parties.people) if meeting.users is None else meeting.users,
        stays=tuple(stays[:MOST_STAYS]),
        minutes=tuple(_minutes(reading, parties, figures, wanted)),
        spreads=() if user else tuple(_spreads(sent)),
        breakdowns=() if user else tuple(_breakdowns(parties, streams)),
        others=_others(reading),
        notes=(*_remarks(scale, stays, user=user), *reading.notes),
        refusal=reading.refusal,
        oddities={str(oddity): count for oddity, count in reading.tally.items() if count},
    )


# ── figures ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _figures(reading: Reading, scale: Scale) -> _Figures:
    starts = reading.grid.touched(until=OPEN)
    buckets = [rows for start in starts if (rows := reading.grid.bucket(start)) is not None]
    if not buckets:
        return _Figures(np.empty(0, np.int64), np.empty(0, np.int64), np.empty((0, len(VALUES))))
    rows = np.concatenate(buckets)
    factors = np.array([np.nan if (factor := scale.of(name)) is None else factor for name in VALUES])
    values = np.where(rows["flags"][:, None] & MEDIA > 0, rows["values"].astype(np.float64), np.nan) * factors
    for column, _ in _LOSSES:
        values[:, column] = np.minimum(values[:, column], 1.0)
    minute = np.repeat(np.array(starts, np.int64) // MINUTE * MINUTE, [len(bucket) for bucket in buckets])
    return _Figures(rows["stream"].astype(np.int64), minute, values)


def _means(values: Floats, group: Ints, groups: int) -> Floats:
    """The mean of each group's values, by column; NaN where it has none."""
    means = np.full((groups, values.shape[1]), np.nan)
    for column, given in enumerate(values.T):
        there = ~np.isnan(given)
        counts = np.bincount(group[there], minlength=groups)
        sums = np.bincount(group[there], given[there], groups)
        np.divide(sums, counts, out=means[:, column], where=counts > 0)
    return means.round(_DECIMALS)


def _named(values: Floats, prefix: str = "") -> dict[str, float]:
    return {prefix + signal: float(v) for signal, v in zip(SIGNALS, values, strict=True) if not np.isnan(v)}


# ── people ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _wanted(reading: Reading, names: Sequence[str], user: str) -> list[int]:
    """Whoever has this connection, or publishes this stream."""
    owners = {stream.connection for stream in reading.streams.values() if stream.publishes and stream.id == user}
    return [i for i, name in enumerate(names) if name == user or name in owners]


def _stay(name: str, person: Person, values: Mapping[str, float]) -> Stay:
    client = person.client
    return Stay(
        user=name,
        joined=_instant(person.began),
        left=_instant(person.ended),
        client=", ".join(part for part in (client.sdk, client.browser) if part),
        place=client.country,
        values=values,
    )


def _instant(at: int) -> float | None:
    return None if at in (NEVER, OPEN) else at / 1000


def _best_last(stay: Stay) -> tuple[float, float]:
    """By the most loss, in what they send or receive; of whom nothing is known last."""
    worst = max((value for signal, value in stay.values.items() if signal.endswith(_LOSS)), default=-1.0)
    return -worst if stay.values else 1.0, stay.joined or 0.0


# ── minutes, spreads, breakdowns ─────────────────────────────────────────────────────────────────────────────────────


def _minutes(reading: Reading, parties: _Parties, figures: _Figures, wanted: Sequence[int] | None) -> Iterator[Minute]:
    """Every minute of which anything is known, the last `MOST_MINUTES` of them."""
    begin = reading.meeting.began // 1000 // MINUTE * MINUTE
    end = min(reading.meeting.ended / 1000, reading.cut)
    starts = np.arange(begin, end, MINUTE, dtype=np.int64)[-MOST_MINUTES:]
    if not len(starts):
        return
    mine = parties.chosen(wanted)
    sent = _by_minute(figures, mine & parties.publishes, starts)
    received = _by_minute(figures, mine & ~parties.publishes, starts)
    spans = [(person.began, person.ended) for person in parties.people if person.began != NEVER]
    crowd = present_in(np.array(spans, np.int64).reshape(-1, 2), starts, MINUTE)
    for i, start in enumerate(starts.tolist()):
        users = {USERS: float(crowd[i])} if wanted is None and spans else {}
        values = {**users, **_named(sent[i]), **_named(received[i], RECEIVED)}
        if values:
            yield Minute(start, values)


def _by_minute(figures: _Figures, streams: Bools, starts: Ints) -> Floats:
    """The mean over the streams in each minute, of which each is the mean of its rows there."""
    mine = streams[figures.stream] & (figures.minute >= starts[0]) & (figures.minute <= starts[-1])
    minute = (figures.minute[mine] - starts[0]) // MINUTE
    votes, which = np.unique(minute * len(streams) + figures.stream[mine], return_inverse=True)
    return _means(_means(figures.values[mine], which, len(votes)), votes // max(len(streams), 1), len(starts))


def _spreads(sent: Floats) -> Iterator[Spread]:
    """How many people lose how much of what they send."""
    for column, _ in _LOSSES[::-1]:  # video first
        losses = sent[:, column]
        users, edges = np.histogram(losses[~np.isnan(losses)], _EDGES)  # all is lost: in the last one
        if users.any():
            buckets = zip(edges.tolist(), edges.tolist()[1:], users.tolist(), strict=False)
            yield Spread(signal=SIGNALS[column], buckets=tuple(Bucket(*bucket) for bucket in buckets))


def _breakdowns(parties: _Parties, streams: Floats) -> Iterator[Breakdown]:
    """What is lost of what is sent, by the clients behind it, where there are several kinds."""
    known = [person.client for person in parties.people]
    for column, value in _LOSSES[::-1]:
        votes = Votes(np.arange(len(streams)), {value: streams[:, column]})
        found = splits(votes, parties.publishes, parties.whose, known, signal=SIGNALS[column], scale=_OURS, lines={})
        if telling := tuple(split for split in found if len(split.groups) > 1):
            yield Breakdown(signal=SIGNALS[column], splits=telling)


def _others(reading: Reading) -> tuple[OtherCall, ...]:
    """The nearest of the session's other meetings, in order."""

    def away(other: Meeting) -> int:
        return abs(other.began - reading.meeting.began)

    nearest = sorted(reading.others, key=away)[:MOST_OTHERS]
    return tuple(
        OtherCall(clip(other.id, MOST_ID), other.began / 1000, _instant(other.ended), other.users)
        for other in sorted(nearest, key=lambda other: other.began)
    )


def _remarks(scale: Scale, stays: Sequence[Stay], *, user: str) -> Iterator[str]:
    if user and not stays:
        yield "nobody of this id was found in the call: ask by a connection or a stream"
    if len(stays) > MOST_STAYS:
        yield f"{len(stays)} people were in it: the {MOST_STAYS} worst are shown"
    if scale.bitrate is None:
        yield "bitrates are left out: whether this project's are kilobits or kilobytes is not known yet"
