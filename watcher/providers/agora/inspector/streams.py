"""Bodies of `call/metrics`: what every stream was like, by metric id (dossier section 8.3). Pure.

The vendor has no filter: an hour of twenty users in a large call is tens of megabytes, of which packet loss is a tenth.
So a body is read in layers: sessions, series, and only of the series that are wanted the values. A layer that is not
what it should be costs that session or series, and is counted; a body that is no JSON at all is refused as a whole.

Native and WebRTC count loss differently (what is left after retransmission, and what the network lost), so no figure
is ever made of both. Which product a user has is told by the ids themselves, since only Web reports 20036 to 20038.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import msgspec
import numpy as np

from watcher.errors import ProviderError, Reason
from watcher.model import Floats, Ints, Span
from watcher.providers.agora.refusals import Scrub, refuse
from watcher.providers.agora.values import MILLISECONDS, Oddity, Tally, measured, number, whole
from watcher.providers.http import Reply

T = TypeVar("T")

BODY_LIMIT = 32 * 1024 * 1024  # bytes after inflating
MAX_PAIRS = 2_000_000  # lists in one body: each costs more memory than its bytes


class Mid(NamedTuple):
    """What a metric id means, and its unit."""

    meaning: str
    unit: str


MIDS: Mapping[int, Mid] = {
    20001: Mid("app CPU", "%"),
    20002: Mid("system CPU", "%"),
    20003: Mid("audio send bitrate", "Kbps"),
    20004: Mid("audio receive bitrate", "Kbps"),
    20005: Mid("audio render freeze", "ms"),
    20006: Mid("video send bitrate, low stream", "Kbps"),
    20007: Mid("video capture", "fps"),
    20008: Mid("video send, high stream", "fps"),
    20009: Mid("video receive bitrate, high stream", "Kbps"),
    20010: Mid("video receive, high stream", "fps"),
    20011: Mid("video render freeze", "ms"),
    20013: Mid("picture QP", ""),
    20015: Mid("uplink audio loss", "%"),
    20016: Mid("end-to-end audio loss", "%"),
    20017: Mid("uplink video loss", "%"),
    20018: Mid("end-to-end video loss", "%"),
    20019: Mid("received width, high stream", "px"),
    20020: Mid("received height, high stream", "px"),
    20021: Mid("SDK scheduling delay", "ms"),
    20022: Mid("round trip to the router", "ms"),
    20023: Mid("video send, low stream", "fps"),
    20024: Mid("video send bitrate, high stream", "Kbps"),
    20025: Mid("capture volume", "dB"),
    20026: Mid("playback volume", "dB"),
    20027: Mid("sent width, high stream", "px"),
    20028: Mid("sent height, high stream", "px"),
    20030: Mid("video receive bitrate, low stream", "Kbps"),
    20031: Mid("video receive, low stream", "fps"),
    20032: Mid("received width, low stream", "px"),
    20033: Mid("received height, low stream", "px"),
    20034: Mid("sent width, low stream", "px"),
    20035: Mid("sent height, low stream", "px"),
    20036: Mid("WebRTC: downlink video loss", "%"),
    20037: Mid("WebRTC: uplink audio loss", "%"),
    20038: Mid("WebRTC: uplink video loss", "%"),
    20039: Mid("app memory", "%"),
    20040: Mid("system memory", "%"),
}
WEB_ONLY = frozenset({20036, 20037, 20038})


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Stream:
    """One metric of one session: `at[i]` in Unix seconds, ascending; `peer` None: the user's own side or device.

    `value` is in the unit of `MIDS`; `web` says that the session is a Web user's.
    """

    sid: str
    mid: int
    peer: int | None
    web: bool
    at: Ints
    value: Floats


class _Body(msgspec.Struct):
    code: object = None
    message: object = None
    metrics: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Session(msgspec.Struct):
    sid: object = None
    data: msgspec.Raw = msgspec.Raw(b"null")


class _Series(msgspec.Struct):
    mid: object = None
    peer_uid: object = None
    kvs: msgspec.Raw = msgspec.Raw(b"null")


def read(
    reply: Reply, scrub: Scrub, asked: Span, sids: Collection[str], wanted: Collection[int], tally: Tally
) -> tuple[Stream, ...]:
    """The streams of the `wanted` metrics of the sessions asked for. Raises `ProviderError`."""
    if reply.body.count(b"[") > MAX_PAIRS:
        what = f"more than {MAX_PAIRS} values in one answer"
        raise ProviderError(Reason.TOO_LARGE, what, vendor_time=reply.date)
    try:
        body = msgspec.json.decode(reply.body, type=_Body)
    except (msgspec.DecodeError, RecursionError):
        what = "not a JSON object, or cut short"
        raise ProviderError(Reason.MALFORMED, what, vendor_time=reply.date) from None
    given = {"metrics": None} if body.metrics is not msgspec.UNSET else {}
    refuse({"code": body.code, "message": body.message, **given}, reply, scrub, "metrics")
    if not given or isinstance(body.metrics, msgspec.UnsetType):
        tally[Oddity.NO_ROWS] += 1
        return ()
    found: dict[tuple[str, int, int | None], Stream] = {}
    for session in _each(body.metrics, _Session, tally):
        if not isinstance(session.sid, str) or session.sid not in sids:
            tally[Oddity.UNASKED] += 1
            continue
        for stream in _streams(session.sid, session.data, asked, wanted, tally):
            if found.setdefault((stream.sid, stream.mid, stream.peer), stream) is not stream:
                tally[Oddity.REPEATED] += 1
    return tuple(found.values())


def _streams(sid: str, data: msgspec.Raw, asked: Span, wanted: Collection[int], tally: Tally) -> Iterator[Stream]:
    series: list[tuple[int, int | None, msgspec.Raw]] = []
    for one in _each(data, _Series, tally):
        mid, peer = whole(one.mid, tally), whole(one.peer_uid, tally)
        if mid is None or mid not in MIDS:
            tally[Oddity.UNKNOWN_MID] += 1
        else:
            series.append((mid, peer or None, one.kvs))
    web = any(mid in WEB_ONLY for mid, _, _ in series)
    for mid, peer, kvs in series:
        if mid not in wanted:
            continue
        at, value = _values(kvs, MIDS[mid], asked, tally)
        if len(at):
            yield Stream(sid=sid, mid=mid, peer=peer, web=web, at=at, value=value)


def _each(raw: msgspec.Raw, kind: type[T], tally: Tally) -> Iterator[T]:
    """The members of an array that are of a kind."""
    try:
        members = msgspec.json.decode(raw, type=list[msgspec.Raw] | None) or []
    except msgspec.DecodeError:
        tally[Oddity.NOT_A_ROW] += 1
        return
    for member in members:
        try:
            yield msgspec.json.decode(member, type=kind)
        except msgspec.DecodeError:
            tally[Oddity.NOT_A_ROW] += 1


def _values(kvs: msgspec.Raw, mid: Mid, asked: Span, tally: Tally) -> tuple[Ints, Floats]:
    """Pairs of time and value, in order and each time once; those that cannot be read are left out."""
    try:
        pairs = np.array(msgspec.json.decode(kvs, type=list[tuple[float, float]]), np.float64).reshape(-1, 2)
    except msgspec.DecodeError:
        pairs = np.array(list(_mended(kvs, tally)), np.float64).reshape(-1, 2)
    at, value = pairs[:, 0], pairs[:, 1]
    late = at >= MILLISECONDS
    outside = ~late & ((at < asked.start) | (at >= asked.end) | (at != np.floor(at)))
    wrong = (value < 0) | (value > (100.0 if mid.unit == "%" else 1e9))
    if mid.unit == "dB":
        wrong = np.zeros(len(value), np.bool_)
    for oddity, odd in ((Oddity.MILLISECONDS, late), (Oddity.OUTSIDE, outside), (Oddity.IMPOSSIBLE, wrong)):
        if count := int(np.count_nonzero(odd)):
            tally[oddity] += count
    keep = ~(late | outside | wrong)
    at, value = at[keep].astype(np.int64), value[keep]
    if np.any(np.diff(at) < 0):
        tally[Oddity.UNSORTED] += 1
    unique, last = np.unique(at[::-1], return_index=True)
    if len(unique) < len(at):
        tally[Oddity.DUPLICATE] += len(at) - len(unique)
    return unique, value[::-1][last]


def _mended(kvs: msgspec.Raw, tally: Tally) -> Iterator[tuple[float, float]]:
    """The pairs among whatever it is."""
    whatever: object = msgspec.json.decode(kvs)
    if whatever is None:
        tally[Oddity.NO_VALUE] += 1
    for pair in whatever if isinstance(whatever, list) else ():
        if not isinstance(pair, list) or len(pair) != 2:
            tally[Oddity.NOT_A_ROW] += 1
            continue
        at = number(pair[0], tally)
        value = None if at is None else measured(pair[1], tally, most=math.inf)
        if at is None:
            tally[Oddity.NO_TIME] += 1
        elif value is not None:
            yield at, value
